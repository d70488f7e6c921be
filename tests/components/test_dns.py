"""The records of a region and their health check, as the engine receives them."""

from typing import Any

import pulumi_aws as aws
import pytest

from components.alarms import Alarms, AlarmsArgs
from components.dns import Dns, DnsArgs, plan_answers
from components.domain import Domain, DomainArgs, plan_hosts
from components.errors import ArgsError
from components.ingress import Ingress, IngressArgs
from components.kms import DATA_CLASSES, Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.storage import Storage, StorageArgs

ACCOUNT = "012345678901"
PEER_TOPICS = {"page": "arn:peer:page", "ticket": "arn:peer:ticket"}
CHECK = "aws:route53/healthCheck:HealthCheck"
RECORD = "aws:route53/record:Record"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
OUTPUTS: dict[str, dict[str, Any]] = {
    "aws:acm/certificate:Certificate": {
        "domainValidationOptions": [
            {"domainName": f"{host}.example.com", "resourceRecordName": "_n", "resourceRecordValue": "_v"}
            for host in ("api", "write", "us-east-1", "us-west-2")
        ]
    },
    "aws:lb/loadBalancer:LoadBalancer": {
        "dnsName": "ingress.elb.amazonaws.com",
        "zoneId": "ZELB",
        "arnSuffix": "app/1",
    },
    "aws:lb/targetGroup:TargetGroup": {"arnSuffix": "targetgroup/1"},
    "aws:route53/zone:Zone": {"zoneId": "ZONE", "nameServers": []},
}


def args(*, region: str = "us-east-1", role: Any = "primary", **changes: Any) -> DnsArgs:
    replica_of: Any = None if role == "primary" else dict.fromkeys(DATA_CLASSES, "arn:key")
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=region, role=role, replica_of=replica_of))
    network = NetworkArgs(
        account_id=ACCOUNT,
        region=region,
        cidr="10.0.0.0/16",
        zones=(f"{region}a", f"{region}b", f"{region}c"),
        flow_log_key=keys["logs"],
    )
    zone = None if role == "primary" else "ZONE"
    domain = Domain("domain", DomainArgs(name="example.com", region=region, role=role, zone_id=zone))
    alarms = Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"]))
    ingress = IngressArgs(
        network=Network("network", network),
        domain=domain,
        storage=Storage("storage", StorageArgs(account_id=ACCOUNT, region=region, key=keys["data"])),
        alarms=alarms,
    )
    given: dict[str, Any] = {
        "region": region,
        "role": role,
        "domain": domain,
        "ingress": Ingress("ingress", ingress),
        "alarms": alarms,
    }
    return DnsArgs(**(given | changes))


def standby(**changes: Any) -> Dns:
    peer = aws.Provider("peer", region="us-east-1")
    return Dns(
        "dns",
        args(region="us-west-2", role="standby", metrics_provider=peer, metrics_topics=PEER_TOPICS, **changes),
    )


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: Dns("dns", args()).health_check_id, outputs=OUTPUTS)


@pytest.fixture(scope="module")
def follower(recorded: Any) -> Any:
    return recorded(standby, outputs=OUTPUTS)


@pytest.mark.parametrize(("which", "region"), [("run", "us-east-1"), ("follower", "us-west-2")])
def test_a_region_is_lost_after_three_checks_ten_seconds_apart(
    which: str, region: str, request: pytest.FixtureRequest
) -> None:
    assert request.getfixturevalue(which).one(CHECK).inputs == {
        "type": "HTTPS",
        "fqdn": f"{region}.example.com",
        "port": 443,
        "enableSni": True,
        "resourcePath": "/health/ready",
        "requestInterval": 10,
        "failureThreshold": 3,
        "measureLatency": True,
    }


def answer(run: Any, name: str) -> dict[str, Any]:
    inputs: dict[str, Any] = run.one(RECORD, f"dns-{name}").inputs
    return inputs


@pytest.mark.parametrize(
    ("which", "region", "failover"), [("run", "us-east-1", "PRIMARY"), ("follower", "us-west-2", "SECONDARY")]
)
def test_reads_go_to_the_nearest_healthy_region_and_writes_to_the_primary(
    which: str, region: str, failover: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(which)
    common = {
        "zoneId": "ZONE",
        "type": "A",
        "aliases": [{"name": "ingress.elb.amazonaws.com", "zoneId": "ZELB", "evaluateTargetHealth": True}],
        "setIdentifier": region,
        "healthCheckId": "dns-id",
    }
    assert answer(found, "read") == common | {
        "name": "api.example.com",
        "latencyRoutingPolicies": [{"region": region}],
    }
    assert answer(found, "write") == common | {
        "name": "write.example.com",
        "failoverRoutingPolicies": [{"type": failover}],
    }


def test_the_name_that_the_check_asks_is_never_withdrawn(run: Any) -> None:
    # Else a region that was lost could not be seen to come back.
    record = answer(run, "regional")
    assert record["name"] == run.one(CHECK).inputs["fqdn"]
    assert record["aliases"][0]["evaluateTargetHealth"] is False
    assert not {"healthCheckId", "setIdentifier"} & record.keys()


def test_the_two_regions_answer_without_being_in_each_others_way() -> None:
    one = plan_answers(plan_hosts("example.com", "us-east-1"), region="us-east-1", role="primary")
    other = plan_answers(plan_hosts("example.com", "us-west-2"), region="us-west-2", role="standby")
    identities = [(answer.host, answer.routing.get("set_identifier")) for answer in (*one, *other)]
    assert len(set(identities)) == len(identities)


def test_health_is_watched_where_route_53_publishes_it(run: Any, follower: Any) -> None:
    here, there = (found.one(ALARM, "dns-unhealthy") for found in (run, follower))
    for alarm in (here, there):
        assert alarm.inputs["namespace"] == "AWS/Route53"
        assert alarm.inputs["metricName"] == "HealthCheckStatus"
        assert alarm.inputs["dimensions"] == {"HealthCheckId": "dns-id"}
        assert (alarm.inputs["comparisonOperator"], alarm.inputs["threshold"]) == ("LessThanThreshold", 1)
    assert here.inputs["alarmActions"] == ["arn:aws:sns:::alarms-page"]
    assert there.inputs["alarmActions"] == ["arn:peer:page"]
    assert here.provider == ""
    assert "::peer::" in there.provider


def test_a_further_region_takes_reads_only(recorded: Any) -> None:
    run = recorded(lambda: standby(writes=False), outputs=OUTPUTS)
    names = {record.name for record in run.of(RECORD) if record.name.startswith("dns-")}
    assert names == {"dns-regional", "dns-read"}


def test_outputs(run: Any) -> None:
    assert run.result == "dns-id"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"region": "us-west-2", "role": "standby"},
            (
                "the records of us-west-2 have no metrics_provider or no metrics_topics: Route 53 publishes the health "
                "of every check in us-east-1 only. Give a provider and the alarm topics of us-east-1."
            ),
        ),
        ({"writes": False}, "a primary region takes no writes: nobody would. Leave writes out."),
        ({"health_path": "ready"}, "health_path is 'ready': it starts with / and has 1 to 255 characters."),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes), outputs=OUTPUTS)
    assert str(error.value) == message
