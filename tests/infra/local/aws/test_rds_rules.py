"""What RDS refuses."""

import pytest

from infra.local.aws import rds
from infra.local.aws.rds_rules import instance_rules, parameter_rules
from infra.local.resource import UNKNOWN, Props
from tests.infra.local.aws.world import refusals

HEAD: Props = {
    "identifier": "head",
    "engine": "postgres",
    "allocatedStorage": 1000,
    "username": "master",
    "storageType": "gp3",
    "iops": 12000,
    "storageThroughput": 500,
    "maxAllocatedStorage": 2000,
    "storageEncrypted": True,
    "kmsKeyId": UNKNOWN,
    "multiAz": True,
    "port": 5432,
    "backupRetentionPeriod": 35,
    "monitoringInterval": 15,
    "monitoringRoleArn": UNKNOWN,
    "performanceInsightsEnabled": True,
    "performanceInsightsRetentionPeriod": 465,
    "databaseInsightsMode": "advanced",
}
REPLICA: Props = {
    **{name: HEAD[name] for name in HEAD if name not in ("engine", "allocatedStorage", "username")},
    "replicateSourceDb": "arn:aws:rds:us-east-1:123456789012:db:head",
}


@pytest.mark.parametrize("said", [HEAD, REPLICA, dict.fromkeys(HEAD, UNKNOWN)], ids=["head", "replica", "unknown"])
def test_instance_that_is_taken(said: Props) -> None:
    assert [*instance_rules(said)] == []


@pytest.mark.parametrize(
    ("broken", "property_", "message"),
    [
        ({"identifier": "1st"}, "identifier", "not a valid identifier"),
        ({"identifier": "a--b"}, "identifier", "not a valid identifier"),
        ({"identifier": "a-"}, "identifier", "not a valid identifier"),
        ({"identifier": "a" * 64}, "identifier", "more than 63"),
        ({"finalSnapshotIdentifier": "-a"}, "finalSnapshotIdentifier", "not a valid identifier"),
        ({"password": "short"}, "password", "not a valid password"),
        ({"password": "with a blank"}, "password", "not a valid password"),
        ({"passwordWo": "slash/slash"}, "passwordWo", "not a valid password"),
        ({"availabilityZone": "us-east-1a"}, "availabilityZone", "not valid for Multi-AZ"),
        ({"port": 80}, "port", "from 1150 to 65535"),
        ({"backupRetentionPeriod": 36}, "backupRetentionPeriod", "from 0 to 35"),
        ({"monitoringRoleArn": None}, "monitoringRoleArn", "A MonitoringRoleARN value is required"),
        ({"monitoringInterval": 0}, "monitoringInterval", "other than 0 when you specify a MonitoringRoleARN"),
        ({"allocatedStorage": 19, "iops": 0, "storageThroughput": 0}, "allocatedStorage", "Invalid storage size"),
        ({"allocatedStorage": 399}, "iops", "storage size less than 400"),
        ({"allocatedStorage": 399, "iops": None}, "storageThroughput", "storage size less than 400"),
        ({"storageType": "gp2", "storageThroughput": None}, "iops", "Iops cannot be specified for storage type gp2"),
        ({"storageType": "io2"}, "storageThroughput", "StorageThroughput cannot be specified"),
        ({"storageType": "io1", "storageThroughput": None, "iops": 50001}, "iops", "0.5 to 50 per GiB"),
        ({"maxAllocatedStorage": 999}, "maxAllocatedStorage", "greater than storage size"),
        ({"performanceInsightsRetentionPeriod": 466}, "performanceInsightsRetentionPeriod", "31 times"),
        ({"performanceInsightsRetentionPeriod": 434}, "databaseInsightsMode", "at least 465 days"),
        ({"performanceInsightsRetentionPeriod": None}, "databaseInsightsMode", "at least 465 days"),
    ],
)
def test_instance_that_is_refused(broken: Props, property_: str, message: str) -> None:
    (failure,) = instance_rules({**HEAD, **broken})
    assert failure.property == property_
    assert message in failure.reason


def test_refused_password_is_not_repeated() -> None:
    (failure,) = instance_rules({**HEAD, "password": "canary"})
    assert "canary" not in failure.reason


@pytest.mark.parametrize("name", ["allocatedStorage", "engine", "username"])
def test_new_instance_says_what_it_is(name: str) -> None:
    said = {key: value for key, value in HEAD.items() if key != name}
    assert [(failure.property, failure.reason) for failure in instance_rules(said)] == [
        (name, f'"{name}": required field is not set')
    ]


@pytest.mark.parametrize(
    ("broken", "property_"),
    [
        ({"password": "long-enough"}, "password"),
        ({"manageMasterUserPassword": True}, "manageMasterUserPassword"),
        ({"finalSnapshotIdentifier": "last"}, "finalSnapshotIdentifier"),
    ],
)
def test_replica_that_is_refused(broken: Props, property_: str) -> None:
    (failure,) = instance_rules({**REPLICA, **broken})
    assert failure.property == property_


def test_encrypted_replica_of_another_region_needs_a_key_there() -> None:
    said = {name: value for name, value in REPLICA.items() if name != "kmsKeyId"}
    (failure,) = instance_rules(said)
    assert "without a KMS key of the destination region" in failure.reason
    assert [*instance_rules({**said, "replicateSourceDb": "head"})] == []


def test_insights_settings_need_insights() -> None:
    said = {"performanceInsightsEnabled": False, "databaseInsightsMode": "standard"}
    (failure,) = instance_rules({**HEAD, **said})
    assert "enable Performance Insights" in failure.reason


@pytest.mark.parametrize(
    ("family", "method", "taken"),
    [("postgres18", "immediate", False), ("postgres18", "pending-reboot", True), ("mysql8.4", "immediate", True)],
)
def test_static_parameter_waits_for_a_reboot(family: str, method: str, taken: bool) -> None:
    said = {"family": family, "parameters": [{"name": "max_connections", "value": "1", "applyMethod": method}]}
    assert ([*parameter_rules(said)] == []) is taken


def test_parameter_is_immediate_unless_said_otherwise() -> None:
    said = {"family": "postgres18", "parameters": [{"name": "shared_buffers", "value": "1"}, {"name": "work_mem"}]}
    (failure,) = parameter_rules(said)
    assert failure.reason.endswith("cannot use immediate apply method for static parameter shared_buffers")


def test_subnet_group_covers_two_zones() -> None:
    assert "at least 2 AZs" in refusals(rds.SUBNET_GROUP, {"subnetIds": ["one"]})[0]
    assert refusals(rds.SUBNET_GROUP, {"subnetIds": [UNKNOWN, UNKNOWN]}) == []


def test_event_sources_need_their_type() -> None:
    assert "SourceType" in refusals(rds.EVENT_SUBSCRIPTION, {"sourceIds": ["a"]})[0]
    assert refusals(rds.EVENT_SUBSCRIPTION, {"sourceIds": ["a"], "sourceType": "db-instance"}) == []
