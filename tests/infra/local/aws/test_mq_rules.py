"""What Amazon MQ refuses."""

import pytest

from infra.local.aws import mq
from infra.local.aws.mq_rules import broker_rules, configuration_rules
from infra.local.resource import UNKNOWN, Props
from tests.infra.local.aws.world import refusals

USER = {"username": "docsearch", "password": "correct-horse-battery"}
CLUSTER: Props = {
    "brokerName": "broker-0a1b2c3",
    "engineType": "RabbitMQ",
    "engineVersion": "4.2",
    "hostInstanceType": "mq.m7g.2xlarge",
    "deploymentMode": "CLUSTER_MULTI_AZ",
    "autoMinorVersionUpgrade": True,
    "publiclyAccessible": False,
    "subnetIds": ["a", "b", "c"],
    "securityGroups": ["g"],
    "encryptionOptions": {"useAwsOwnedKey": False, "kmsKeyId": UNKNOWN},
    "logs": {"general": True},
    "maintenanceWindowStartTime": {"dayOfWeek": "SUNDAY", "timeOfDay": "11:00", "timeZone": "UTC"},
    "users": [USER],
}
SINGLE: Props = {**CLUSTER, "deploymentMode": "SINGLE_INSTANCE", "subnetIds": ["a"]}
OLD: Props = {**CLUSTER, "engineVersion": "3.13", "hostInstanceType": "mq.m5.large"}
PUBLIC: Props = {**CLUSTER, "publiclyAccessible": True, "subnetIds": None, "securityGroups": None}
ACTIVE: Props = {
    **CLUSTER,
    "engineType": "ActiveMQ",
    "engineVersion": "5.18",
    "deploymentMode": "ACTIVE_STANDBY_MULTI_AZ",
    "subnetIds": ["a", "b"],
}


@pytest.mark.parametrize(
    "said",
    [CLUSTER, SINGLE, OLD, PUBLIC, ACTIVE, {**CLUSTER, "engineVersion": "4.3"}, dict.fromkeys(CLUSTER, UNKNOWN)],
    ids=["cluster", "single", "old", "public", "active", "newer", "unknown"],
)
def test_broker_that_is_taken(said: Props) -> None:
    assert [*broker_rules(said)] == []


@pytest.mark.parametrize(
    ("broken", "property_", "message"),
    [
        ({"brokerName": "a" * 51}, "brokerName", "1-50 characters"),
        ({"brokerName": "a.b"}, "brokerName", "letters, digits, dashes and underscores"),
        ({"deploymentMode": "ACTIVE_STANDBY_MULTI_AZ"}, "deploymentMode", "not supported for engine type [RABBITMQ]"),
        ({"securityGroups": [*"abcdef"]}, "securityGroups", "at most 5 security groups, not 6"),
        ({"subnetIds": []}, "subnetIds", "at least one and at most three subnets"),
        ({"subnetIds": None}, "subnetIds", "not 0"),
        ({"subnetIds": [*"abcd"]}, "subnetIds", "not 4"),
        (
            {"encryptionOptions": {"kmsKeyId": "arn:key"}},
            "encryptionOptions.useAwsOwnedKey",
            "useAwsOwnedKey must be false",
        ),
        ({"maintenanceWindowStartTime": {"timeOfDay": "24:00"}}, "maintenanceWindowStartTime.timeOfDay", "HH:MM"),
        ({"engineVersion": "3.12"}, "engineVersion", "Valid values are: [3.13, 4.2, 4.3]"),
        ({"engineVersion": "4.2.1"}, "engineVersion", "[4.2.1] is invalid"),
        ({"hostInstanceType": "mq.m5.2xlarge"}, "hostInstanceType", "not supported for engine version [4.2]"),
        (
            {"engineVersion": "3.13", "hostInstanceType": "mq.t3.micro"},
            "hostInstanceType",
            "not supported for deployment mode [CLUSTER_MULTI_AZ]",
        ),
        ({"autoMinorVersionUpgrade": False}, "autoMinorVersionUpgrade", "must be on for RabbitMQ 3.13 and later"),
        ({"logs": {"audit": True}}, "logs.audit", "Can not be configured when engine is RabbitMQ"),
        ({"storageType": "efs"}, "storageType", "[EFS] is not supported"),
        ({"ldapServerMetadata": {}}, "ldapServerMetadata", "not supported for engine type [RABBITMQ]"),
        ({"dataReplicationMode": "CRDR"}, "dataReplicationMode", "not supported for engine type [RABBITMQ]"),
        ({"users": []}, "users", "Specify exactly one user"),
        ({"users": [USER, USER]}, "users", "Specify exactly one user"),
        ({"users": [{**USER, "username": "guest"}]}, "users.username", "not guest"),
        ({"users": [{**USER, "username": "a~b"}]}, "users.username", "no tilde"),
        ({"users": [{**USER, "password": "short-one"}]}, "users.password", "12-250 characters"),
        ({"users": [{**USER, "password": "a" * 12}]}, "users.password", "at least four different ones"),
        ({"users": [{**USER, "password": "with,commas,inside"}]}, "users.password", "no comma, colon or equal sign"),
        ({"users": [{**USER, "consoleAccess": True}]}, "users.consoleAccess", "not supported"),
        ({"users": [{**USER, "groups": ["admin"]}]}, "users.groups", "not supported"),
    ],
)
def test_broker_that_is_refused(broken: Props, property_: str, message: str) -> None:
    (failure,) = broker_rules({**CLUSTER, **broken})
    assert failure.property == property_
    assert message in failure.reason


def test_single_instance_has_one_subnet() -> None:
    (failure,) = broker_rules({**SINGLE, "subnetIds": ["a", "b"]})
    assert "exactly 1 subnets" in failure.reason
    (failure,) = broker_rules({**ACTIVE, "subnetIds": ["a"]})
    assert "exactly 2 subnets" in failure.reason


def test_public_broker_has_neither_subnets_nor_groups() -> None:
    found = broker_rules({**CLUSTER, "publiclyAccessible": True})
    assert [failure.property for failure in found] == ["securityGroups", "subnetIds"]


def test_active_brokers_have_no_clusters() -> None:
    (failure, *_) = broker_rules({**ACTIVE, "deploymentMode": "CLUSTER_MULTI_AZ"})
    assert failure.property == "deploymentMode"


def test_refused_password_is_not_repeated() -> None:
    (failure,) = broker_rules({**CLUSTER, "users": [{**USER, "password": "canary"}]})
    assert "canary" not in failure.reason


DATA = "consumer_timeout = 1800000\n# a remark\n[mq.m7g.large/CLUSTER_MULTI_AZ]\nheartbeat=60\n"
CONFIGURATION: Props = {"name": "broker-0a1b2c3", "engineType": "RabbitMQ", "engineVersion": "4.2", "data": DATA}


@pytest.mark.parametrize(
    "said",
    [CONFIGURATION, {**CONFIGURATION, "data": UNKNOWN}, {**CONFIGURATION, "engineType": "ActiveMQ", "data": "<xml/>"}],
    ids=["rabbit", "unknown", "active"],
)
def test_configuration_that_is_taken(said: Props) -> None:
    assert [*configuration_rules(said)] == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"name": "a b"}, "Configuration name [a b] is invalid"),
        ({"data": "default_queue_type = quorum"}, "key [default_queue_type] is not supported"),
        ({"data": "vm_memory_high_watermark.relative = 0.6"}, "is not supported"),
        ({"data": "heartbeat"}, "key [heartbeat] is not supported"),
        ({"data": "heartbeat = 59"}, "key [heartbeat] takes 60 to 3600, not [59]"),
        ({"data": "consumer_timeout = 2147483648"}, "takes 0 to 2147483647"),
        ({"data": "consumer_timeout = never"}, "not [never]"),
    ],
)
def test_configuration_that_is_refused(broken: Props, message: str) -> None:
    (refusal,) = refusals(mq.CONFIGURATION, {**CONFIGURATION, **broken})
    assert message in refusal
