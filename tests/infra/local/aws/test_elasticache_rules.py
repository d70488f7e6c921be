"""What ElastiCache refuses."""

from typing import Any

import pytest

from infra.local.aws import elasticache
from infra.local.aws.elasticache_rules import (
    global_group_rules,
    parameter_rules,
    replication_group_rules,
    user_group_rules,
    user_rules,
)
from infra.local.resource import UNKNOWN, Props
from tests.infra.local.aws.world import refusals

LEADER: Props = {
    "replicationGroupId": "cache",
    "engine": "valkey",
    "engineVersion": "8.2",
    "nodeType": "cache.r7g.xlarge",
    "clusterMode": "enabled",
    "numNodeGroups": 3,
    "replicasPerNodeGroup": 1,
    "automaticFailoverEnabled": True,
    "multiAzEnabled": True,
    "subnetGroupName": "cache",
    "transitEncryptionEnabled": True,
    "transitEncryptionMode": "required",
    "atRestEncryptionEnabled": True,
    "kmsKeyId": UNKNOWN,
    "userGroupIds": [UNKNOWN],
    "snapshotRetentionLimit": 35,
    "snapshotWindow": "05:00-06:00",
    "maintenanceWindow": "sun:23:30-mon:01:00",
    "logDeliveryConfigurations": [{"logType": "slow-log"}, {"logType": "engine-log"}],
}
_ITS_OWN = ("engine", "engineVersion", "nodeType", "clusterMode", "numNodeGroups", "transitEncryptionEnabled")
FOLLOWER: Props = {
    **{name: LEADER[name] for name in LEADER if name not in (*_ITS_OWN, "transitEncryptionMode")},
    "globalReplicationGroupId": UNKNOWN,
}
IAM: Props = {"userId": "app", "userName": "app", "engine": "valkey", "authenticationMode": {"type": "iam"}}


@pytest.mark.parametrize("said", [LEADER, FOLLOWER, dict.fromkeys(LEADER, UNKNOWN)], ids=["leader", "follower", "?"])
def test_cluster_that_is_taken(said: Props) -> None:
    assert [*replication_group_rules(said)] == []


@pytest.mark.parametrize(
    ("broken", "property_", "message"),
    [
        ({"replicationGroupId": "1st"}, "replicationGroupId", "not a valid identifier"),
        ({"replicationGroupId": "a--b"}, "replicationGroupId", "not a valid identifier"),
        ({"replicationGroupId": "a" * 41}, "replicationGroupId", "up to 40"),
        ({"finalSnapshotIdentifier": "a-"}, "finalSnapshotIdentifier", "not a valid identifier"),
        ({"engineVersion": "7.1"}, "engineVersion", "Cannot find version 7.1 for engine valkey"),
        ({"nodeType": "cache.r6gd.xlarge"}, "dataTieringEnabled", "required by r6gd"),
        ({"dataTieringEnabled": True}, "dataTieringEnabled", "supported by no other"),
        ({"numNodeGroups": 0}, "numNodeGroups", "from 1 to 500"),
        ({"replicasPerNodeGroup": 6}, "replicasPerNodeGroup", "from 0 to 5"),
        ({"replicasPerNodeGroup": 0}, "multiAzEnabled", "at least one replica"),
        ({"numCacheClusters": 7}, "numCacheClusters", "from 1 to 6"),
        ({"snapshotRetentionLimit": 36}, "snapshotRetentionLimit", "from 0 to 35"),
        ({"clusterMode": "disabled"}, "clusterMode", "in cluster mode only"),
        ({"multiAzEnabled": False, "automaticFailoverEnabled": False}, "automaticFailoverEnabled", "must be true"),
        ({"userGroupIds": ["one", "two"]}, "userGroupIds", "takes one user group"),
        ({"atRestEncryptionEnabled": False}, "kmsKeyId", "only with at-rest encryption"),
        ({"durability": "sync"}, "durability", "Valkey 9.0 or later"),
        ({"durability": "async", "engineVersion": "9.0", "multiAzEnabled": False}, "durability", "and Multi-AZ"),
        ({"snapshotWindow": "05:00-05:30"}, "snapshotWindow", "at least 60 minutes"),
        ({"snapshotWindow": "5-6"}, "snapshotWindow", "expected format"),
        ({"maintenanceWindow": "05:00-06:00"}, "maintenanceWindow", "expected format"),
        ({"maintenanceWindow": "tue:05:00-tue:05:59"}, "maintenanceWindow", "at least 60 minutes"),
        ({"logDeliveryConfigurations": [{"logType": "slow-log"}] * 2}, "logDeliveryConfigurations", "one delivery"),
    ],
)
def test_cluster_that_is_refused(broken: Props, property_: str, message: str) -> None:
    (failure,) = replication_group_rules({**LEADER, **broken})
    assert failure.property == property_
    assert message in failure.reason


@pytest.mark.parametrize(
    ("left_out", "property_", "message"),
    [
        ("nodeType", "nodeType", '"node_type" is required unless "global_replication_group_id" is set.'),
        ("subnetGroupName", "subnetGroupName", "requires a cache subnet group"),
    ],
)
def test_cluster_that_says_too_little(left_out: str, property_: str, message: str) -> None:
    (failure,) = replication_group_rules({name: LEADER[name] for name in LEADER if name != left_out})
    assert failure.property == property_
    assert message in failure.reason


def test_nothing_secret_goes_over_open_lines() -> None:
    failures = [*replication_group_rules({**LEADER, "transitEncryptionEnabled": False, "authToken": "canary"})]
    assert {failure.property for failure in failures} == {"authToken", "userGroupIds", "transitEncryptionMode"}
    assert not any("canary" in failure.reason for failure in failures)


def test_valkey_says_whether_it_encrypts() -> None:
    said = {name: LEADER[name] for name in LEADER if not name.startswith("transit") and name != "userGroupIds"}
    (failure,) = replication_group_rules(said)
    assert "must be given, as true or false, when the engine is valkey" in failure.reason


def test_several_zones_need_failover() -> None:
    reasons = [failure.reason for failure in replication_group_rules({**LEADER, "automaticFailoverEnabled": False})]
    assert "automatic_failover_enabled must be true if multi_az_enabled is true" in reasons


def test_a_global_datastore_is_not_durable() -> None:
    (failure,) = replication_group_rules({**FOLLOWER, "durability": "sync"})
    assert "not supported with global datastores" in failure.reason
    assert [*replication_group_rules({**LEADER, "engineVersion": "9.0", "durability": "sync"})] == []


@pytest.mark.parametrize("said", [IAM, dict.fromkeys(IAM, UNKNOWN), {**IAM, "userId": UNKNOWN}])
def test_user_that_is_taken(said: Props) -> None:
    assert [*user_rules(said)] == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"userName": "other"}, "User Id and User name must be same for authentication type: iam"),
        ({"authenticationMode": {"type": "no-password-required"}}, "not supported for users of engine valkey"),
        ({"authenticationMode": {}, "noPasswordRequired": True}, "not supported for users of engine valkey"),
        ({"passwords": ["sixteen-characters"]}, "not allowed with authentication type: iam"),
        ({"authenticationMode": {"type": "password", "passwords": ["short"]}}, "between 16-128 characters"),
        ({"authenticationMode": {"type": "password", "passwords": ["sixteen-characters"] * 3}}, "at most 2"),
        ({"userId": "App", "userName": "App"}, "lower-case letters"),
    ],
)
def test_user_that_is_refused(said: Props, message: str) -> None:
    (failure,) = user_rules({**IAM, **said})
    assert message in failure.reason


def test_a_default_user_without_a_password_is_of_redis() -> None:
    said = {"userId": "nobody", "userName": "default", "authenticationMode": {"type": "no-password-required"}}
    assert [*user_rules({**said, "engine": "redis"})] == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"engine": "redis"}, "DefaultUserRequired"),
        ({"engine": "redis", "userIds": []}, "DefaultUserRequired"),
        ({"engine": "valkey", "userIds": ["a", "a"]}, "duplicates"),
    ],
)
def test_user_group_that_is_refused(said: Props, message: str) -> None:
    (failure,) = user_group_rules(said)
    assert message in failure.reason


@pytest.mark.parametrize("said", [{"engine": "valkey"}, {"engine": "redis", "userIds": [UNKNOWN, UNKNOWN]}])
def test_user_group_that_is_taken(said: Props) -> None:
    assert [*user_group_rules(said)] == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"globalReplicationGroupIdSuffix": "a--b"}, "not a valid identifier"),
        ({"cacheNodeType": "cache.t4g.medium"}, "not supported on cache.t4g.medium"),
        ({"cacheNodeType": "cache.m4.large"}, "only on M5, R5 and younger"),
    ],
)
def test_datastore_that_is_refused(said: Props, message: str) -> None:
    (failure,) = global_group_rules(said)
    assert message in failure.reason


def test_datastore_that_is_taken() -> None:
    said = {"globalReplicationGroupIdSuffix": "cache-0badcafe", "cacheNodeType": "cache.r7g.xlarge"}
    assert [*global_group_rules(said)] == []
    assert [*global_group_rules(dict.fromkeys(said, UNKNOWN))] == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("appendonly", "yes", "appendonly cannot be modified"),
        ("maxmemory-policy", "least-used", "no maxmemory-policy"),
        ("reserved-memory-percent", "101", "not from 0 to 100"),
    ],
)
def test_parameter_that_is_refused(name: str, value: str, message: str) -> None:
    (failure,) = parameter_rules({"name": "tuned", "parameters": [{"name": name, "value": value}]})
    assert message in failure.reason


def test_parameters_that_are_taken() -> None:
    parameters: list[dict[str, Any]] = [
        {"name": "cluster-enabled", "value": "yes"},
        {"name": "maxmemory-policy", "value": "allkeys-lru"},
        {"name": "maxmemory-policy", "value": UNKNOWN},
    ]
    assert [*parameter_rules({"name": "tuned", "parameters": parameters})] == []


def test_names_that_are_reserved() -> None:
    assert "do not begin with default" in refusals(elasticache.PARAMETER_GROUP, {"name": "default.valkey8"})[0]
    assert "is reserved" in refusals(elasticache.SUBNET_GROUP, {"name": "Default"})[0]


SHARD = {"nodeGroupId": "0001", "slots": "0-16383"}


@pytest.mark.parametrize(
    ("old", "new", "replaced"),
    [
        ({"engine": "redis"}, {"engine": "valkey"}, []),
        ({"engine": "valkey"}, {"engine": "redis"}, ["engine"]),
        ({"engine": "redis"}, {"engine": "memcached"}, ["engine"]),
        ({"engine": "valkey"}, {}, []),
        ({"engineVersion": "8.2"}, {"engineVersion": "8.1"}, ["engineVersion"]),
        ({"engineVersion": "8.1"}, {"engineVersion": "8.2"}, []),
        ({"engine": "redis", "engineVersion": "6.2"}, {}, ["transitEncryptionEnabled"]),
        ({"engine": "redis", "engineVersion": "7.1"}, {}, []),
        ({"engine": "valkey", "engineVersion": "8.1"}, {}, []),
        ({}, {"nodeGroupConfigurations": [SHARD]}, ["nodeGroupConfigurations"]),
        ({"nodeGroupConfigurations": [SHARD]}, {}, ["nodeGroupConfigurations"]),
        ({"nodeGroupConfigurations": [SHARD]}, {"nodeGroupConfigurations": [SHARD]}, []),
    ],
)
def test_what_replaces_a_group_if_it_changes(old: Props, new: Props, replaced: list[str]) -> None:
    assert elasticache.REPLICATION_GROUP.replaces is not None
    assert [*elasticache.REPLICATION_GROUP.replaces(old, new)] == replaced
