"""The cache of a region, as the engine receives it."""

import json
from typing import Any

import pytest

from components.alarms import Alarms, AlarmsArgs
from components.elasticache import ElastiCache, ElastiCacheArgs
from components.elasticache_plan import NODE_ALARMS, Windows, plan_events_policy, plan_parameters
from components.errors import ArgsError
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from infra.local.aws import facts

ACCOUNT = "012345678901"
REGION = "us-east-1"
GLOBAL = "ldgnf-cache-0badcafe"
GROUP = "aws:elasticache/replicationGroup:ReplicationGroup"
DATASTORE = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"
USER = "aws:elasticache/user:User"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
OUTPUTS = {
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    GROUP: {"configurationEndpointAddress": "clustercfg.cache.amazonaws.com"},
    DATASTORE: {"globalReplicationGroupId": GLOBAL},
}


def args(**changes: Any) -> ElastiCacheArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=REGION, role="primary"))
    network = NetworkArgs(
        account_id=ACCOUNT,
        region=REGION,
        cidr="10.0.0.0/16",
        zones=("us-east-1a", "us-east-1b", "us-east-1c"),
        flow_log_key=keys["logs"],
    )
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "role": "primary",
        "network": Network("network", network),
        "keys": keys,
        "alarms": Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
        "node_type": "cache.r7g.xlarge",
        "engine_version": "8.2",
    }
    return ElastiCacheArgs(**(given | changes))


def outputs(cache: ElastiCache) -> dict[str, Any]:
    names = ("address", "port", "identifier", "arn", "global_id", "user", "user_arn")
    return {name: getattr(cache, name) for name in names}


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: outputs(ElastiCache("cache", args(events=("ops@example.com",)))), outputs=OUTPUTS)


@pytest.fixture(scope="module")
def follower(recorded: Any) -> Any:
    return recorded(
        lambda: outputs(ElastiCache("cache", args(role="standby", global_id=GLOBAL, replicas=2))), outputs=OUTPUTS
    )


@pytest.fixture(scope="module")
def unlocked(recorded: Any) -> Any:
    return recorded(lambda: ElastiCache("cache", args(locked=False)), outputs=OUTPUTS)


#: What is said in either role.
SAID_BY_ALL = {
    "replicationGroupId": "cache-0badcafe",
    "description": "Cache of docsearch",
    "automaticFailoverEnabled": True,
    "multiAzEnabled": True,
    "port": 6379,
    "subnetGroupName": "cache",
    "securityGroupIds": ["network-cache-id"],
    "userGroupIds": ["cache-0badcafe"],
    "kmsKeyId": "arn:aws:kms:::keys-messages",
    "snapshotRetentionLimit": 35,
    "snapshotWindow": "05:00-06:00",
    "autoMinorVersionUpgrade": True,
    "applyImmediately": False,
    "finalSnapshotIdentifier": "cache-0badcafe-final",
    "notificationTopicArn": "arn:aws:sns:::cache-events",
    "logDeliveryConfigurations": [
        {
            "logType": log,
            "logFormat": "json",
            "destinationType": "cloudwatch-logs",
            "destination": f"/aws/vendedlogs/elasticache/cache-0badcafe/{log}",
        }
        for log in ("slow-log", "engine-log")
    ],
}


def test_the_primary_is_what_the_requirement_asks_for(run: Any) -> None:
    group = run.one(GROUP)
    assert group.inputs == SAID_BY_ALL | {
        "engine": "valkey",
        "engineVersion": "8.2",
        "nodeType": "cache.r7g.xlarge",
        "clusterMode": "enabled",
        "numNodeGroups": 3,
        "replicasPerNodeGroup": 1,
        "parameterGroupName": "cache",
        "transitEncryptionEnabled": True,
        "transitEncryptionMode": "required",
        "atRestEncryptionEnabled": True,
        "maintenanceWindow": "tue:09:00-tue:10:00",
    }
    assert group.protect
    # What the global datastore changes in every region must not be changed here as well.
    assert group.ignore_changes == ("engineVersion", "nodeType", "numNodeGroups", "parameterGroupName")


def test_a_standby_takes_from_the_datastore_what_it_may_not_set(follower: Any) -> None:
    group = follower.one(GROUP)
    assert group.inputs == SAID_BY_ALL | {
        "globalReplicationGroupId": GLOBAL,
        "replicasPerNodeGroup": 2,
        "maintenanceWindow": "thu:09:00-thu:10:00",
    }
    assert group.protect
    assert group.ignore_changes == ()
    for pair in facts.all_facts()[GROUP].conflicts:
        assert not {*pair} <= group.inputs.keys(), "the provider refuses them together"
    assert follower.of("aws:elasticache/parameterGroup:ParameterGroup") == []
    assert follower.of(DATASTORE) == []


def test_the_primary_begins_a_global_datastore_and_survives_a_failover(run: Any) -> None:
    datastore = run.one(DATASTORE)
    assert datastore.inputs == {
        "globalReplicationGroupIdSuffix": "cache-0badcafe",
        "globalReplicationGroupDescription": "Cache of docsearch in all its regions",
        "primaryReplicationGroupId": "cache-0badcafe",
        "automaticFailoverEnabled": True,
        "engineVersion": "8.2",
        "parameterGroupName": "cache",
        "cacheNodeType": "cache.r7g.xlarge",
        "numNodeGroups": 3,
    }
    assert datastore.protect
    assert datastore.ignore_changes == ("primaryReplicationGroupId",)


def test_promotion_is_a_change_of_role_that_replaces_nothing(run: Any, follower: Any) -> None:
    about = facts.all_facts()[GROUP]
    before, after = (which.one(GROUP) for which in (follower, run))
    assert before.urn == after.urn
    changed = {key for key in before.inputs | after.inputs if before.inputs.get(key) != after.inputs.get(key)}
    # The provider has these from AWS: to say them, or to say them no longer, is no change.
    assert changed & about.replaces == {"globalReplicationGroupId", "atRestEncryptionEnabled"}
    assert changed & about.replaces <= {*about.computed}
    assert "kmsKeyId" not in changed


def test_parameters_are_those_of_the_plan(run: Any) -> None:
    group = run.one("aws:elasticache/parameterGroup:ParameterGroup").inputs
    assert group["family"] == "valkey8"
    assert {item["name"]: item["value"] for item in group["parameters"]} == plan_parameters()


def test_applications_log_in_with_iam_and_nobody_as_default(run: Any) -> None:
    default, app = run.one(USER, "cache-default"), run.one(USER, "cache-app")
    assert default.inputs == {
        "userId": "cache-default-0badcafe",
        "userName": "default",
        "engine": "redis",
        "accessString": "off -@all",
        "authenticationMode": {"type": "no-password-required"},
    }
    assert app.inputs == {
        "userId": "cache-app-0badcafe",
        "userName": "cache-app-0badcafe",
        "engine": "valkey",
        "accessString": "on ~* &* +@all -@admin -@dangerous +info",
        "authenticationMode": {"type": "iam"},
    }
    group = run.one("aws:elasticache/userGroup:UserGroup").inputs
    assert group == {
        "userGroupId": "cache-0badcafe",
        "engine": "redis",
        "userIds": ["cache-default-0badcafe", "cache-app-0badcafe"],
    }


def test_no_input_holds_a_password_or_a_token(run: Any) -> None:
    for resource in run.resources:
        assert not {"passwords", "passwordsWo", "authToken", "authTokenWo"} & resource.inputs.keys()


def test_it_lives_in_the_data_subnets_of_every_zone(run: Any) -> None:
    group = run.one("aws:elasticache/subnetGroup:SubnetGroup").inputs
    assert group["subnetIds"] == ["network-data-a-id", "network-data-b-id", "network-data-c-id"]


def test_every_log_has_an_encrypted_group_before_the_cluster(run: Any) -> None:
    for log in ("slow-log", "engine-log"):
        group = run.one("aws:cloudwatch/logGroup:LogGroup", f"cache-{log}")
        assert group.inputs == {
            "name": f"/aws/vendedlogs/elasticache/cache-0badcafe/{log}",
            "kmsKeyId": "arn:aws:kms:::keys-logs",
            "retentionInDays": 365,
            "deletionProtectionEnabled": True,
        }
        assert group.protect
        assert group.urn in run.one(GROUP).depends_on_urns


def test_events_go_to_a_topic_that_elasticache_can_publish_to(run: Any) -> None:
    topic = run.one("aws:sns/topic:Topic", "cache-events")
    assert "kmsMasterKeyId" not in topic.inputs, "ElastiCache drops a topic that is encrypted with a customer key"
    assert topic.protect
    policy = run.one("aws:sns/topicPolicy:TopicPolicy", "cache-events")
    assert json.loads(policy.inputs["policy"]) == plan_events_policy("arn:aws:sns:::cache-events", account_id=ACCOUNT)
    assert policy.urn in run.one(GROUP).depends_on_urns
    subscription = run.one("aws:sns/topicSubscription:TopicSubscription", "cache-events-ops-example-com").inputs
    assert subscription == {
        "topic": "arn:aws:sns:::cache-events",
        "protocol": "email",
        "endpoint": "ops@example.com",
    }


def test_every_node_has_the_alarms_of_the_table(run: Any, follower: Any) -> None:
    def own(which: Any) -> list[Any]:
        return [alarm for alarm in which.of(ALARM) if alarm.inputs["namespace"] == "AWS/ElastiCache"]

    nodes = [f"000{shard}-00{node}" for shard in (1, 2, 3) for node in (1, 2)]
    assert {alarm.name for alarm in own(run)} == {f"cache-{node}-{row.name}" for node in nodes for row in NODE_ALARMS}
    for alarm in own(run):
        cluster = alarm.inputs["dimensions"]["CacheClusterId"]
        assert alarm.inputs["dimensions"] == {"CacheClusterId": cluster, "CacheNodeId": "0001"}
        assert alarm.name.startswith(cluster.replace("-0badcafe", "") + "-")
    assert len(own(follower)) == 9 * len(NODE_ALARMS) + 1
    lag = follower.one(ALARM, "cache-global-lag").inputs
    assert lag["dimensions"] == {"ReplicationGroupId": "cache-0badcafe"}
    assert lag["metricName"] == "GlobalDatastoreReplicationLag"
    assert lag["alarmActions"] == ["arn:aws:sns:::alarms-ticket"]


def test_outputs(run: Any, follower: Any) -> None:
    assert run.result == {
        "address": "clustercfg.cache.amazonaws.com",
        "port": 6379,
        "identifier": "cache-0badcafe",
        "arn": "arn:aws:elasticache:::cache",
        "global_id": GLOBAL,
        "user": "cache-app-0badcafe",
        "user_arn": "arn:aws:elasticache:::cache-app",
    }
    assert follower.result == run.result


def test_all_locks_are_released_on_purpose_and_together(unlocked: Any) -> None:
    assert not any(resource.protect for resource in unlocked.managed if resource.name.startswith("cache"))
    group = unlocked.one(GROUP).inputs
    assert group["applyImmediately"] is True
    assert "finalSnapshotIdentifier" not in group


def test_sizes_and_windows_come_from_the_arguments(recorded: Any) -> None:
    changes: dict[str, Any] = {
        "node_type": "cache.m7g.2xlarge",
        "engine_version": "7.2",
        "shards": 2,
        "replicas": 2,
        "snapshot_days": 7,
        "windows": Windows(snapshot="01:00-02:00", maintenance="sat:03:00-sat:04:00"),
        "log_retention_days": 30,
    }
    run = recorded(lambda: ElastiCache("cache", args(**changes)), outputs=OUTPUTS)
    group = run.one(GROUP).inputs
    assert (group["nodeType"], group["engineVersion"]) == ("cache.m7g.2xlarge", "7.2")
    assert (group["numNodeGroups"], group["replicasPerNodeGroup"]) == (2, 2)
    assert (group["snapshotRetentionLimit"], group["snapshotWindow"]) == (7, "01:00-02:00")
    assert group["maintenanceWindow"] == "sat:03:00-sat:04:00"
    assert run.one("aws:elasticache/parameterGroup:ParameterGroup").inputs["family"] == "valkey7"
    assert run.one("aws:cloudwatch/logGroup:LogGroup", "cache-slow-log").inputs["retentionInDays"] == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"global_id": GLOBAL},
            (
                "global_id is given to a primary region: it leads a global datastore of its own. "
                "Set role to standby, or leave global_id out."
            ),
        ),
        (
            {"role": "standby"},
            (
                "global_id is not given to a standby region: its cache is a member of the primary region's global "
                "datastore. Bring the primary region up first."
            ),
        ),
        ({"snapshot_days": 0}, "snapshot_days is 0: ElastiCache keeps snapshots 1 to 35 days."),
        ({"snapshot_days": 36}, "snapshot_days is 36: ElastiCache keeps snapshots 1 to 35 days."),
        ({"events": ("nobody",)}, "events names 'nobody': it is no e-mail address."),
        (
            {"account_id": "1"},
            (
                "account_id is '1': an AWS account id is 12 digits. "
                "Quote it in the stack file, so that YAML keeps a leading zero."
            ),
        ),
        (
            {"node_type": "cache.r5.large"},
            (
                "node type is cache.r5.large: it is of an older generation, or has hardware that this cache makes no "
                "use of. Take one of m6g, m7g, m8g, r6g, r7g, r8g."
            ),
        ),
        (
            {"engine_version": "6.2"},
            (
                "engine version is '6.2': ElastiCache creates Valkey 7.2, 8.0, 8.1, 8.2, 9.0, 9.1. "
                "Write major.minor, such as 8.2; ElastiCache itself chooses the patch."
            ),
        ),
        ({"shards": 0}, "shards are 0: a cluster has 1 to 90."),
        (
            {"regions": ("a", "b", "c", "d")},
            (
                "regions of the cache are a, b, c, d: a global datastore has a primary region and at most 2 others. "
                "Give d a cache of its own, with role primary."
            ),
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes))
    assert str(error.value) == message


def test_logs_are_kept_as_long_as_cloudwatch_can(recorded: Any) -> None:
    with pytest.raises(ArgsError, match=r"^log_retention_days is 100: CloudWatch Logs keeps logs for 1, 3, 5, "):
        recorded(lambda: args(log_retention_days=100))


def test_a_name_that_makes_no_identifiers_is_refused(recorded: Any) -> None:
    with pytest.raises(ArgsError, match=r"^the cache is named 'Cache': "):
        recorded(lambda: ElastiCache("Cache", args()))
