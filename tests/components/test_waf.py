"""The web firewall, as the engine receives it."""

from typing import Any

import pytest

from components.alarms import Alarms, AlarmsArgs
from components.domain import Domain, DomainArgs
from components.errors import ArgsError
from components.ingress import Ingress, IngressArgs
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.storage import Storage, StorageArgs
from components.waf import LOG_PREFIX, Waf, WafArgs

ACCOUNT = "012345678901"
REGION = "us-east-1"
ACL = "aws:wafv2/webAcl:WebAcl"
LOG = "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"
GROUP = "aws:cloudwatch/logGroup:LogGroup"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
OUTPUTS: dict[str, dict[str, Any]] = {
    "aws:acm/certificate:Certificate": {
        "domainValidationOptions": [
            {"domainName": f"{host}.example.com", "resourceRecordName": "_n", "resourceRecordValue": "_v"}
            for host in ("api", "write", REGION)
        ]
    },
    "aws:lb/loadBalancer:LoadBalancer": {"dnsName": "in.elb.amazonaws.com", "zoneId": "ZELB", "arnSuffix": "app/1"},
    "aws:lb/targetGroup:TargetGroup": {"arnSuffix": "targetgroup/1"},
    "random:index/randomId:RandomId": {"hex": "0a1b2c3d"},
}


def args(**changes: Any) -> WafArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=REGION, role="primary"))
    alarms = Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"]))
    network = NetworkArgs(
        account_id=ACCOUNT,
        region=REGION,
        cidr="10.0.0.0/16",
        zones=("us-east-1a", "us-east-1b", "us-east-1c"),
        flow_log_key=keys["logs"],
    )
    ingress = IngressArgs(
        network=Network("network", network),
        domain=Domain("domain", DomainArgs(name="example.com", region=REGION, role="primary")),
        storage=Storage("storage", StorageArgs(account_id=ACCOUNT, region=REGION, key=keys["data"])),
        alarms=alarms,
    )
    given: dict[str, Any] = {
        "region": REGION,
        "ingress": Ingress("ingress", ingress),
        "keys": keys,
        "alarms": alarms,
    }
    return WafArgs(**(given | changes))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: Waf("waf", args()).arn, outputs=OUTPUTS)


def test_it_stands_in_front_of_the_load_balancer(run: Any) -> None:
    assert run.one("aws:wafv2/webAclAssociation:WebAclAssociation").inputs == {
        "resourceArn": "arn:aws:lb:::ingress",
        "webAclArn": "arn:aws:wafv2:::waf",
    }
    acl = run.one(ACL).inputs
    assert (acl["scope"], acl["defaultAction"]) == ("REGIONAL", {"allow": {}})
    assert run.result == "arn:aws:wafv2:::waf"


def test_rules_are_asked_in_the_order_of_the_plan(run: Any) -> None:
    rules = run.one(ACL).inputs["rules"]
    assert [rule["priority"] for rule in rules] == [0, 1, 2, 3, 4, 5]
    assert [rule["name"] for rule in rules] == ["reputation", "rate", "size", "known-bad", "common", "bodies"]
    assert rules[4]["statement"]["managedRuleGroupStatement"]["name"] == "AWSManagedRulesCommonRuleSet"
    metrics = [rule["visibilityConfig"]["metricName"] for rule in rules]
    assert len({*metrics, run.one(ACL).inputs["visibilityConfig"]["metricName"]}) == len(rules) + 1


def test_what_it_refuses_is_logged_for_a_year_under_our_key(run: Any) -> None:
    group = run.one(GROUP, "waf")
    assert group.inputs["name"] == f"{LOG_PREFIX}waf-0a1b2c3d"
    assert group.inputs["kmsKeyId"] == "arn:aws:kms:::keys-logs"
    assert group.inputs["retentionInDays"] == 365
    assert group.inputs["deletionProtectionEnabled"] is True
    assert group.protect
    log = run.one(LOG).inputs
    assert log["logDestinationConfigs"] == ["arn:aws:cloudwatch:::waf"]
    assert log["loggingFilter"]["defaultBehavior"] == "DROP"
    (kept,) = log["loggingFilter"]["filters"]
    assert kept["behavior"] == "KEEP"
    assert [each["actionCondition"]["action"] for each in kept["conditions"]] == [
        "BLOCK",
        "COUNT",
        "EXCLUDED_AS_COUNT",
    ]


def test_its_log_lets_nobody_act_as_a_user(run: Any) -> None:
    redacted = [field["singleHeader"]["name"] for field in run.one(LOG).inputs["redactedFields"]]
    assert redacted == ["authorization", "cookie", "x-api-key"]


def test_somebody_hears_when_much_is_refused(run: Any) -> None:
    alarms = {alarm.name: alarm.inputs for alarm in run.of(ALARM) if alarm.name.startswith("waf-")}
    assert set(alarms) == {"waf-blocked", "waf-mostly-blocked", "waf-throttled"}
    everything = {"WebACL": "waf", "Region": REGION, "Rule": "ALL"}
    assert alarms["waf-blocked"]["dimensions"] == everything
    assert alarms["waf-blocked"]["alarmActions"] == ["arn:aws:sns:::alarms-ticket"]
    share = alarms["waf-mostly-blocked"]
    assert share["alarmActions"] == ["arn:aws:sns:::alarms-page"]
    assert [query["metric"]["metricName"] for query in share["metricQueries"] if "metric" in query] == [
        "BlockedRequests",
        "AllowedRequests",
    ]
    # The metric of the rule, which is not its name.
    assert alarms["waf-throttled"]["dimensions"] == {**everything, "Rule": "waf-rate"}
    assert "waf-rate" in {rule["visibilityConfig"]["metricName"] for rule in run.one(ACL).inputs["rules"]}


def test_locks_are_released_on_purpose(recorded: Any) -> None:
    group = recorded(lambda: Waf("waf", args(locked=False)), outputs=OUTPUTS).one(GROUP, "waf")
    assert not group.protect
    assert group.inputs["deletionProtectionEnabled"] is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"requests_per_address": 9}, "requests_per_address is 9: AWS WAF takes 10 to 2,000,000,000."),
        (
            {"log_retention_days": 366},
            (
                "log_retention_days is 366: CloudWatch Logs keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, "
                "365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653 days."
            ),
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes), outputs=OUTPUTS)
    assert str(error.value) == message
