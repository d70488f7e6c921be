"""What is good about the database in both plans."""

from collections.abc import Callable
from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

INSTANCE: Final = "aws:rds/instance:Instance"
PARAMETERS: Final = "aws:rds/parameterGroup:ParameterGroup"
VERSION: Final = "aws:secretsmanager/secretVersion:SecretVersion"
SUBNETS: Final = "aws:rds/subnetGroup:SubnetGroup"
BACKUPS: Final = "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication"


def primary(instance: Resource) -> bool:
    """The one that takes the writes."""
    return "replicateSourceDb" not in instance.props


def head(instance: Resource) -> bool:
    """The one that takes the writes, or would after a promotion."""
    return not str(instance.props.get("replicateSourceDb", "arn:")).partition("arn:")[0]


def follows_afar(instance: Resource) -> bool:
    """The replica of another region's."""
    return head(instance) and not primary(instance)


def reader(instance: Resource) -> bool:
    """A replica beside its source."""
    return not head(instance)


def parameter(name: str, *bad: str) -> tuple[Callable[[list[Any]], list[Any]], ...]:
    """The parameters without one, and with worse values of it."""

    def without(every: list[Any]) -> list[Any]:
        return [one for one in every if one["name"] != name]

    def with_(value: str) -> Callable[[list[Any]], list[Any]]:
        return lambda every: [*without(every), {"name": name, "value": value, "applyMethod": "immediate"}]

    def twice(value: str) -> Callable[[list[Any]], list[Any]]:
        return lambda every: [*every, {"name": name, "value": value, "applyMethod": "immediate"}]

    return (without, *map(with_, bad), *map(twice, bad))


def parameters(rule: str, *breaks: Callable[[list[Any]], list[Any]]) -> Good:
    """Settings of the server."""
    # While all are unknown, three rules have something to ask.
    return Good(PARAMETERS, "parameters", rule, breaks, unknown=False)


GOOD: tuple[Good, ...] = (
    Good(INSTANCE, "storageEncrypted", "rds-cmk", (GONE, False)),
    Good(INSTANCE, "kmsKeyId", "rds-cmk", (GONE, "", "alias/aws/rds"), where=head),
    Good(INSTANCE, "kmsKeyId", "rds-cmk", ("", "alias/aws/rds"), unknown=False, where=reader, absent=True),
    Good(INSTANCE, "performanceInsightsKmsKeyId", "rds-cmk", (GONE, "", "alias/aws/rds")),
    Good(BACKUPS, "kmsKeyId", "rds-cmk", (GONE, "", "alias/aws/rds")),
    Good(INSTANCE, "parameterGroupName", "rds-force-ssl", (GONE, "", "default.postgres17")),
    parameters("rds-force-ssl", *parameter("rds.force_ssl", "0")),
    parameters("rds-force-ssl", *parameter("ssl_min_protocol_version", "TLSv1", "TLSv1.1")),
    parameters("rds-scram", *parameter("password_encryption", "md5")),
    parameters("rds-scram", *parameter("rds.accepted_password_auth_method", "md5+scram")),
    parameters("rds-logs", *parameter("log_connections", "0")),
    parameters("rds-logs", *parameter("log_disconnections", "0")),
    parameters("rds-logs", *parameter("log_statement", "none")),
    parameters("rds-logs", *parameter("log_lock_waits", "0")),
    Good(
        INSTANCE,
        "enabledCloudwatchLogsExports",
        "rds-logs",
        (GONE, [], ["postgresql"], ["upgrade"]),
    ),
    Good(INSTANCE, "multiAz", "rds-multi-az", (GONE, False), where=head),
    Good(SUBNETS, "subnetIds", "rds-multi-az", (GONE, [], lambda ids: ids[:2], lambda ids: [ids[0]] * 3)),
    Good(INSTANCE, "", "rds-replicas", where=lambda one: reader(one) and one.name.endswith("-1")),
    Good(INSTANCE, "replicateSourceDb", "rds-replicas", ("elsewhere",), unknown=False, where=follows_afar),
    Good(INSTANCE, "availabilityZone", "rds-replica-zones", (GONE, "")),
    Good(
        INSTANCE,
        "availabilityZone",
        "rds-replica-zones",
        ("us-east-1b",),
        unknown=False,
        where=lambda one: one.props.get("availabilityZone") != "us-east-1b",
    ),
    Good(INSTANCE, "backupRetentionPeriod", "rds-backups", (GONE, 0, 1), where=head),
    Good(INSTANCE, "deleteAutomatedBackups", "rds-backups", (GONE, True), where=head),
    Good(INSTANCE, "skipFinalSnapshot", "rds-backups", (True,), where=primary),
    Good(INSTANCE, "finalSnapshotIdentifier", "rds-backups", (GONE, ""), where=primary),
    Good(BACKUPS, "retentionPeriod", "rds-backups", (GONE, 0, 1)),
    Good(INSTANCE, "publiclyAccessible", "rds-private", (True,)),
    Good(INSTANCE, "vpcSecurityGroupIds", "rds-private", (GONE, [])),
    Good(INSTANCE, "dbSubnetGroupName", "rds-private", (GONE, ""), where=head),
    Good(INSTANCE, "manageMasterUserPassword", "rds-managed-secret", (True,), absent=True),
    Good(INSTANCE, "password", "rds-managed-secret", (GONE, ""), unknown=False, where=primary),
    Good(INSTANCE, "password", "rds-managed-secret", ("canary-canary",), where=follows_afar, absent=True),
    Good(VERSION, "", "rds-managed-secret", where=lambda one: one.name == "database-master"),
    Good(INSTANCE, "iamDatabaseAuthenticationEnabled", "rds-iam-auth", (GONE, False)),
    Good(INSTANCE, "instanceClass", "rds-class", (GONE, "db.t4g.large", "db.t3.medium")),
    Good(INSTANCE, "performanceInsightsEnabled", "rds-monitoring", (GONE, False)),
    Good(INSTANCE, "monitoringInterval", "rds-monitoring", (GONE, 0)),
    Good(INSTANCE, "monitoringRoleArn", "rds-monitoring", (GONE, "")),
    Good(INSTANCE, "maxAllocatedStorage", "rds-storage-autoscaling", (GONE, 0)),
    Good(INSTANCE, "maxAllocatedStorage", "rds-storage-autoscaling", (1024, 1100), unknown=False, where=primary),
    Good(INSTANCE, "allocatedStorage", "rds-storage-autoscaling", (4096,), where=primary),
    Good(
        INSTANCE,
        "engineLifecycleSupport",
        "rds-extended-support",
        (GONE, "open-source-rds-extended-support"),
        where=primary,
    ),
    Good(INSTANCE, "applyImmediately", "rds-change-window", (True,)),
    Good(INSTANCE, "autoMinorVersionUpgrade", "rds-change-window", (GONE, True)),
    Good(INSTANCE, "maintenanceWindow", "rds-change-window", (GONE, "")),
)
