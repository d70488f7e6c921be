"""OpenSearch of a region, as the engine receives it."""

import json
from typing import Any

import pulumi_aws as aws
import pytest

from components.alarms import Alarms, AlarmsArgs
from components.errors import ArgsError
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.opensearch import CustomEndpoint, Leader, OpenSearch, OpenSearchArgs
from components.opensearch_alarms import plan_alarms
from components.opensearch_plan import Nodes, Volume
from components.storage import Storage, StorageArgs
from infra.local.aws.opensearch_rules import domain_rules

ACCOUNT = "012345678901"
DOMAIN = "aws:opensearch/domain:Domain"
GROUP = "aws:cloudwatch/logGroup:LogGroup"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
ROLE = "aws:iam/role:Role"
RIGHTS = "aws:iam/rolePolicy:RolePolicy"
SERVICE_ROLE = "aws:iam/serviceLinkedRole:ServiceLinkedRole"
LOG_RIGHTS = "aws:cloudwatch/logResourcePolicy:LogResourcePolicy"
CONNECTION = "aws:opensearch/outboundConnection:OutboundConnection"
ACCEPTER = "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter"
OUTPUTS = {
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    DOMAIN: {"endpoint": "vpc-opensearch.us-east-1.es.amazonaws.com"},
}
PATTERN = f"arn:aws:es:us-east-1:{ACCOUNT}:domain/opensearch-*"


def args(region: str = "us-east-1", **changes: Any) -> OpenSearchArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=region, role="primary"))
    network = NetworkArgs(
        account_id=ACCOUNT,
        region=region,
        cidr="10.0.0.0/16",
        zones=tuple(f"{region}{zone}" for zone in "abc"),
        flow_log_key=keys["logs"],
    )
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "role": "primary",
        "network": Network("network", network),
        "keys": keys,
        "alarms": Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
        "storage": Storage("storage", StorageArgs(account_id=ACCOUNT, region=region, key=keys["data"])),
        "engine_version": "OpenSearch_3.3",
        "hot": Nodes(count=21, instance_type="m6g.4xlarge.search"),
        "master_type": "m6g.2xlarge.search",
        "volume": Volume(size_gib=2048, throughput_mibps=500),
        "warm": Nodes(count=12, instance_type="ultrawarm1.medium.search"),
        "coordinators": Nodes(count=6, instance_type="m6g.2xlarge.search"),
        "cold": True,
    }
    return OpenSearchArgs(**(given | changes))


def leader(region: str = "us-east-1") -> Leader:
    return Leader(region=region, domain_name="opensearch-deadbeef", provider=aws.Provider("away", region=region))


def outputs(domain: OpenSearch) -> dict[str, Any]:
    names = ("endpoint", "arn", "domain_name", "master_role_arn", "snapshot_role_arn", "snapshot_path")
    return {name: getattr(domain, name) for name in (*names, "connection_alias")}


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: outputs(OpenSearch("opensearch", args(service_linked_role=True))), outputs=OUTPUTS)


@pytest.fixture(scope="module")
def follower(recorded: Any) -> Any:
    def program() -> dict[str, Any]:
        return outputs(OpenSearch("opensearch", args("us-west-2", role="standby", leader=leader())))

    return recorded(program, outputs=OUTPUTS)


@pytest.fixture(scope="module")
def unlocked(recorded: Any) -> Any:
    return recorded(lambda: OpenSearch("opensearch", args(locked=False, service_linked_role=True)), outputs=OUTPUTS)


def ours(run: Any, token: str) -> list[Any]:
    return [item for item in run.of(token) if item.name.startswith("opensearch")]


def policy(item: Any, name: str = "policy") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(item.inputs[name])
    return document


def test_the_domain_is_what_the_requirement_asks_for(run: Any) -> None:
    domain = run.one(DOMAIN)
    said = dict(domain.inputs)
    assert json.loads(said.pop("accessPolicies"))["Version"] == "2012-10-17"
    assert said == {
        "domainName": "opensearch-0badcafe",
        "engineVersion": "OpenSearch_3.3",
        "clusterConfig": {
            "instanceType": "m6g.4xlarge.search",
            "instanceCount": 21,
            "dedicatedMasterEnabled": True,
            "dedicatedMasterType": "m6g.2xlarge.search",
            "dedicatedMasterCount": 3,
            "zoneAwarenessEnabled": True,
            "zoneAwarenessConfig": {"availabilityZoneCount": 3},
            "multiAzWithStandbyEnabled": True,
            "warmEnabled": True,
            "warmType": "ultrawarm1.medium.search",
            "warmCount": 12,
            "coldStorageOptions": {"enabled": True},
            "nodeOptions": [
                {
                    "nodeType": "coordinator",
                    "nodeConfig": {"enabled": True, "type": "m6g.2xlarge.search", "count": 6},
                }
            ],
        },
        "ebsOptions": {
            "ebsEnabled": True,
            "volumeType": "gp3",
            "volumeSize": 2048,
            "iops": 6144,
            "throughput": 500,
        },
        "encryptAtRest": {"enabled": True, "kmsKeyId": "arn:aws:kms:::keys-data"},
        "nodeToNodeEncryption": {"enabled": True},
        "domainEndpointOptions": {
            "enforceHttps": True,
            "tlsSecurityPolicy": "Policy-Min-TLS-1-2-FIPS-PQ-2026-10",
        },
        "vpcOptions": {
            "subnetIds": ["network-data-a-id", "network-data-b-id", "network-data-c-id"],
            "securityGroupIds": ["network-search-id"],
        },
        "advancedSecurityOptions": {
            "enabled": True,
            "internalUserDatabaseEnabled": False,
            "masterUserOptions": {"masterUserArn": "arn:aws:iam:::opensearch-master"},
        },
        "logPublishingOptions": [
            {
                "logType": kind,
                "cloudwatchLogGroupArn": f"arn:aws:cloudwatch:::opensearch-{log}",
                "enabled": True,
            }
            for log, kind in {
                "index-slow": "INDEX_SLOW_LOGS",
                "search-slow": "SEARCH_SLOW_LOGS",
                "application": "ES_APPLICATION_LOGS",
                "audit": "AUDIT_LOGS",
            }.items()
        ],
        "autoTuneOptions": {
            "desiredState": "ENABLED",
            "rollbackOnDisable": "NO_ROLLBACK",
            "useOffPeakWindow": True,
        },
        "offPeakWindowOptions": {
            "enabled": True,
            "offPeakWindow": {"windowStartTime": {"hours": 3, "minutes": 0}},
        },
        "softwareUpdateOptions": {"autoSoftwareUpdateEnabled": True},
    }
    assert domain.protect


def test_aws_would_refuse_nothing_of_it(run: Any, follower: Any) -> None:
    for domain in (run.one(DOMAIN), follower.one(DOMAIN)):
        assert [*domain_rules(dict(domain.inputs))] == []


def test_only_roles_of_this_account_reach_it(run: Any) -> None:
    statements = policy(run.one(DOMAIN), "accessPolicies")["Statement"]
    assert [(item["Action"], item["Resource"]) for item in statements] == [
        ("es:ESHttp*", f"{PATTERN}/*"),
        ("es:ESCrossClusterGet", PATTERN),
    ]
    for statement in statements:
        assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
        assert statement["Condition"] == {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}}


def test_every_log_has_an_encrypted_group_that_opensearch_may_write_to(run: Any) -> None:
    groups = ours(run, GROUP)
    assert [group.name for group in groups] == [
        "opensearch-application",
        "opensearch-audit",
        "opensearch-index-slow",
        "opensearch-search-slow",
    ]
    domain = run.one(DOMAIN)
    for group in groups:
        log = group.name.removeprefix("opensearch-")
        assert group.inputs == {
            "name": f"/aws/opensearch/domains/opensearch-0badcafe/{log}",
            "kmsKeyId": "arn:aws:kms:::keys-logs",
            "retentionInDays": 365,
            "deletionProtectionEnabled": True,
        }
        assert group.protect
        assert group.urn in domain.depends_on_urns
    rights = run.one(LOG_RIGHTS)
    assert rights.urn in domain.depends_on_urns, "OpenSearch tries at once"
    assert rights.inputs["policyName"] == "opensearch-0badcafe-logs"
    (statement,) = policy(rights, "policyDocument")["Statement"]
    assert statement["Principal"] == {"Service": "es.amazonaws.com"}
    assert statement["Resource"] == f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/opensearch/domains/opensearch-*/*"
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": PATTERN},
    }


def test_the_master_is_a_role_that_may_hand_the_snapshot_role_over(run: Any) -> None:
    master = run.one(ROLE, "opensearch-master")
    assert master.protect, "a domain without its master is nobody's"
    (trust,) = policy(master, "assumeRolePolicy")["Statement"]
    assert trust["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    inside, leader_, handed = policy(run.one(RIGHTS, "opensearch-master"))["Statement"]
    assert (inside["Action"], inside["Resource"]) == ("es:ESHttp*", f"{PATTERN}/*")
    assert leader_["Resource"] == f"arn:aws:es:*:{ACCOUNT}:domain/opensearch-*"
    assert (handed["Action"], handed["Resource"]) == ("iam:PassRole", "arn:aws:iam:::opensearch-snapshots")


def test_snapshots_are_read_from_everywhere_and_written_to_the_regions_own_path(run: Any, follower: Any) -> None:
    (trust,) = policy(run.one(ROLE, "opensearch-snapshots"), "assumeRolePolicy")["Statement"]
    assert trust["Principal"] == {"Service": "es.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": PATTERN},
    }
    for found, region in ((run, "us-east-1"), (follower, "us-west-2")):
        listed, read, written, key = policy(found.one(RIGHTS, "opensearch-snapshots"))["Statement"]
        bucket = "arn:aws:s3:::storage-snapshots"
        assert (listed["Action"], listed["Resource"]) == ("s3:ListBucket", bucket)
        assert (read["Action"], read["Resource"]) == ("s3:GetObject", f"{bucket}/*")
        assert written["Resource"] == f"{bucket}/{region}/*"
        assert written["Action"] == ["s3:DeleteObject", "s3:PutObject"]
        assert key["Resource"] == "arn:aws:kms:::keys-data"
        assert key["Condition"]["StringEquals"] == {"kms:ViaService": f"s3.{region}.amazonaws.com"}


def test_no_policy_names_everybody(run: Any) -> None:
    documents = [policy(item) for item in ours(run, RIGHTS)]
    documents += [policy(item, "assumeRolePolicy") for item in ours(run, ROLE)]
    documents += [policy(run.one(DOMAIN), "accessPolicies"), policy(run.one(LOG_RIGHTS), "policyDocument")]
    for statement in (statement for document in documents for statement in document["Statement"]):
        assert statement["Effect"] == "Allow"
        assert statement.get("Principal") not in ("*", {"AWS": "*"})
        assert statement.get("Resource") != "*"


def test_one_region_makes_the_accounts_role_before_its_domain(run: Any, follower: Any) -> None:
    role = run.one(SERVICE_ROLE)
    assert role.inputs["awsServiceName"] == "opensearchservice.amazonaws.com"
    assert role.protect
    assert role.urn in run.one(DOMAIN).depends_on_urns
    assert follower.of(SERVICE_ROLE) == []


def test_a_standby_asks_for_the_connection_and_accepts_it_in_the_primary_region(run: Any, follower: Any) -> None:
    assert run.of(CONNECTION) == run.of(ACCEPTER) == []
    connection, accepter = follower.one(CONNECTION), follower.one(ACCEPTER)
    assert connection.inputs == {
        "connectionAlias": "primary",
        "connectionMode": "DIRECT",
        "localDomainInfo": {"ownerId": ACCOUNT, "region": "us-west-2", "domainName": "opensearch-0badcafe"},
        "remoteDomainInfo": {"ownerId": ACCOUNT, "region": "us-east-1", "domainName": "opensearch-deadbeef"},
    }
    assert follower.one(DOMAIN).urn in connection.depends_on_urns
    assert accepter.inputs == {"connectionId": "opensearch-leader-id"}
    assert "::away::" in accepter.provider
    assert "away" not in connection.provider


def test_promotion_replaces_nothing(run: Any, follower: Any) -> None:
    before, after = follower.one(DOMAIN), run.one(DOMAIN)
    assert before.urn == after.urn
    changed = {key for key in before.inputs | after.inputs if before.inputs.get(key) != after.inputs.get(key)}
    # The policy holds the region's name, and these two are in different regions.
    assert changed == {"accessPolicies", "offPeakWindowOptions"}


def test_the_domain_has_the_alarms_of_its_plan(run: Any, follower: Any, recorded: Any) -> None:
    for found, follows in ((run, False), (follower, True)):
        alarms = [alarm for alarm in found.of(ALARM) if alarm.name.startswith("opensearch-")]
        rows: list[str] = []
        recorded(
            lambda rows=rows, follows=follows: rows.extend(
                row.name for row in plan_alarms(args().plan(), follows=follows)
            )
        )
        assert {alarm.name for alarm in alarms} == {f"opensearch-{row}" for row in rows}
        for alarm in alarms:
            queries = alarm.inputs.get("metricQueries", [])
            metrics = [query["metric"] for query in queries if "metric" in query] or [alarm.inputs]
            for metric in metrics:
                assert metric["namespace"] == "AWS/ES"
                assert metric["dimensions"] == {"DomainName": "opensearch-0badcafe", "ClientId": ACCOUNT}
    assert run.one(ALARM, "opensearch-red").inputs["alarmActions"] == ["arn:aws:sns:::alarms-page"]
    assert run.one(ALARM, "opensearch-yellow").inputs["alarmActions"] == ["arn:aws:sns:::alarms-ticket"]


def test_outputs(run: Any, follower: Any) -> None:
    assert run.result == {
        "endpoint": "vpc-opensearch.us-east-1.es.amazonaws.com",
        "arn": "arn:aws:opensearch:::opensearch",
        "domain_name": "opensearch-0badcafe",
        "master_role_arn": "arn:aws:iam:::opensearch-master",
        "snapshot_role_arn": "arn:aws:iam:::opensearch-snapshots",
        "snapshot_path": "us-east-1",
        "connection_alias": None,
    }
    assert follower.result["connection_alias"] == "primary"
    assert follower.result["snapshot_path"] == "us-west-2"


def test_all_locks_are_released_together(unlocked: Any) -> None:
    for token in (DOMAIN, GROUP, ROLE, SERVICE_ROLE):
        assert not any(item.protect for item in ours(unlocked, token)), token


def test_tiers_endpoint_and_window_come_from_the_arguments(recorded: Any) -> None:
    changes: dict[str, Any] = {
        "warm": None,
        "coordinators": None,
        "cold": False,
        "hot": Nodes(count=3, instance_type="r6g.large.search"),
        "master_type": "m6g.large.search",
        "volume": Volume(size_gib=100),
        "endpoint": CustomEndpoint(host="index.example.com", certificate_arn="arn:certificate"),
        "off_peak_start": "05:30",
        "log_retention_days": 400,
    }
    run = recorded(lambda: OpenSearch("opensearch", args(**changes)), outputs=OUTPUTS)
    said = run.one(DOMAIN).inputs
    assert said["clusterConfig"]["instanceCount"] == 3
    assert "nodeOptions" not in said["clusterConfig"]
    assert said["domainEndpointOptions"]["customEndpoint"] == "index.example.com"
    assert said["domainEndpointOptions"]["customEndpointCertificateArn"] == "arn:certificate"
    assert said["offPeakWindowOptions"]["offPeakWindow"]["windowStartTime"] == {"hours": 5, "minutes": 30}
    assert [*domain_rules(dict(said))] == []
    assert run.one(GROUP, "opensearch-audit").inputs["retentionInDays"] == 400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"leader": leader},
            "leader is given to a primary region: it follows nobody. Set role to standby, or leave leader out.",
        ),
        (
            {"role": "standby"},
            (
                "leader is not given to a standby region: its domain follows the primary region's. "
                "Bring the primary region up first."
            ),
        ),
        (
            {"role": "standby", "leader": leader},
            (
                "leader is in us-east-1: a copy in the same region is lost with the original. "
                "Point the standby at the primary's region."
            ),
        ),
        ({"off_peak_start": "3"}, "off-peak window begins at '3': its start is written hh:mm, in UTC."),
        ({"warm": None}, "cold storage is on without warm nodes: they are what attaches a cold index again."),
        (
            {"account_id": "1"},
            (
                "account_id is '1': an AWS account id is 12 digits. "
                "Quote it in the stack file, so that YAML keeps a leading zero."
            ),
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    def program() -> None:
        args(**{name: value() if callable(value) else value for name, value in changes.items()})

    with pytest.raises(ArgsError) as error:
        recorded(program)
    assert str(error.value) == message


def test_logs_are_kept_as_long_as_cloudwatch_can(recorded: Any) -> None:
    with pytest.raises(ArgsError, match=r"^log_retention_days is 100: CloudWatch Logs keeps logs for 1, 3, 5, "):
        recorded(lambda: args(log_retention_days=100))


def test_a_name_that_leaves_no_room_is_refused(recorded: Any) -> None:
    with pytest.raises(ArgsError, match=r"^the component is named 'opensearch-of-a-region': "):
        recorded(lambda: OpenSearch("opensearch-of-a-region", args()), outputs=OUTPUTS)
