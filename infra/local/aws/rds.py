"""RDS: instances and their replicas, and the groups and subscriptions around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.local.aws import shapes
from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.aws.rds_rules import instance_rules, parameter_rules
from infra.local.resource import Failure, Props, ProviderError

_RESOURCE = {"ResourceName": "{arn}"}

_TAGS = Tagging(
    create="Tags",
    add=Call("AddTagsToResource", (), fixed=_RESOURCE),
    remove=Call("RemoveTagsFromResource", (), fixed=_RESOURCE),
    get=Call("ListTagsForResource", (), fixed=_RESOURCE, at="TagList"),
)


def _two_subnets(props: Props) -> Iterable[Failure]:
    subnets = props.get("subnetIds")
    if isinstance(subnets, list) and len(subnets) < 2:
        yield Failure(
            "subnetIds",
            "DBSubnetGroupDoesNotCoverEnoughAZs: The DB subnet group doesn't meet Availability Zone (AZ) coverage "
            "requirement. Add subnets to cover at least 2 AZs.",
        )


_SUBNETS = {"DBSubnetGroupName": "{id}"}

SUBNET_GROUP = Type(
    "aws:rds/subnetGroup:SubnetGroup",
    "rds",
    id="DBSubnetGroup.DBSubnetGroupName",
    import_id="(?P<name>.+)",
    create=Call(
        "CreateDBSubnetGroup",
        ("subnetIds",),
        {"name": "DBSubnetGroupName", "description": "DBSubnetGroupDescription"},
    ),
    read=Call("DescribeDBSubnetGroups", fixed=_SUBNETS, at="DBSubnetGroups[0]"),
    update=Call(
        "ModifyDBSubnetGroup", ("subnetIds",), {"description": "DBSubnetGroupDescription"}, _SUBNETS, whole=True
    ),
    delete=[Call("DeleteDBSubnetGroup", fixed=_SUBNETS)],
    shows={"subnetIds": "Subnets[].SubnetIdentifier"},
    tagging=_TAGS,
    outputs={"arn": "DBSubnetGroupArn", "vpcId": "VpcId"},
    validate=_two_subnets,
    autoname="name",
    missing=("DBSubnetGroupNotFoundFault", "DBSubnetGroupNotFound"),
)

_PARAMETERS = {"DBParameterGroupName": "{id}"}
_AT_ONCE = 20
"""Parameters that one call may change (RDS API reference, "ModifyDBParameterGroup")."""


def _parameter(block: Any) -> dict[str, Any]:
    """A parameter as RDS takes it; how it is applied is "immediate" unless said otherwise."""
    return {
        "ParameterName": str(block["name"]).lower(),
        "ParameterValue": str(block["value"]),
        "ApplyMethod": block.get("applyMethod", "immediate"),
    }


def _set_parameters(region: Region, context: Props, old: Props, new: Props) -> None:
    """What the program no longer says goes back to its default; the rest goes in calls of 20."""
    before = {item["ParameterName"]: item for item in map(_parameter, shapes.blocks(old, "parameters"))}
    after = {item["ParameterName"]: item for item in map(_parameter, shapes.blocks(new, "parameters"))}
    gone = [{**item, "ApplyMethod": "pending-reboot"} for name, item in before.items() if name not in after]
    for operation, items in (
        ("ResetDBParameterGroup", gone),
        ("ModifyDBParameterGroup", [item for name, item in after.items() if item != before.get(name)]),
    ):
        for start in range(0, len(items), _AT_ONCE):
            region.call(
                "rds", operation, DBParameterGroupName=context["id"], Parameters=items[start : start + _AT_ONCE]
            )


PARAMETER_GROUP = Type(
    "aws:rds/parameterGroup:ParameterGroup",
    "rds",
    id="DBParameterGroup.DBParameterGroupName",
    import_id="(?P<name>.+)",
    create=Call(
        "CreateDBParameterGroup",
        ("description",),
        {"name": "DBParameterGroupName", "family": "DBParameterGroupFamily"},
    ),
    read=Call("DescribeDBParameterGroups", fixed=_PARAMETERS, at="DBParameterGroups[0]"),
    delete=[Call("DeleteDBParameterGroup", fixed=_PARAMETERS)],
    settings=[
        Setting(
            Call(
                "ModifyDBParameterGroup",
                (),
                {
                    "parameters": "Parameters",
                    "parameters.name": "ParameterName",
                    "parameters.value": "ParameterValue",
                    "parameters.applyMethod": "ApplyMethod",
                },
            ),
            get=Call("DescribeDBParameters", (), fixed={**_PARAMETERS, "Source": "user"}),
            apply=_set_parameters,
        )
    ],
    recorded=frozenset({"skipDestroy"}),
    tagging=_TAGS,
    outputs={"arn": "DBParameterGroupArn"},
    validate=parameter_rules,
    autoname="name",
    missing=("DBParameterGroupNotFound", "DBParameterGroupNotFoundFault"),
)

_INSTANCE = {"DBInstanceIdentifier": "{identifier}"}

_SPELLED = {
    "instanceClass": "DBInstanceClass",
    "backupWindow": "PreferredBackupWindow",
    "maintenanceWindow": "PreferredMaintenanceWindow",
    "parameterGroupName": "DBParameterGroupName",
    "iamDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "caCertIdentifier": "CACertificateIdentifier",
    "customerOwnedIpEnabled": "EnableCustomerOwnedIp",
}
_COPIED = {name: _SPELLED[name] for name in _SPELLED if name not in ("backupWindow", "maintenanceWindow")}
_INSIGHTS = {"performanceInsightsEnabled": "EnablePerformanceInsights"}
_PASSWORDS = {"password": "MasterUserPassword", "passwordWo": "MasterUserPassword"}
_LOGS = {"enabledCloudwatchLogsExports": "EnableCloudwatchLogsExports"}

_REPLICA = "replicateSourceDb"
_COPIES = (_REPLICA, "snapshotIdentifier", "restoreToPointInTime")


def _prepare_instance(region: Region, props: Props) -> Props:
    """What the provider adds: backups and RDS's own password off unless asked for, where a source is, how to delete."""
    added: Props = {}
    if not any(props.get(name) for name in _COPIES):
        added["backupRetentionPeriod"] = props.get("backupRetentionPeriod", 0)
        added["manageMasterUserPassword"] = props.get("manageMasterUserPassword", False)
    source = str(props.get(_REPLICA, "")).split(":")
    if len(source) > 3 and source[3] != region.name:
        added["sourceRegion"] = source[3]
    if not props.get("skipFinalSnapshot"):
        added["finalSnapshot"] = props.get("finalSnapshotIdentifier")
    return {**props, **added}


def _needs_snapshot_name(region: Region, props: Props) -> None:
    if not props.get("skipFinalSnapshot") and not props.get("finalSnapshot"):
        raise ProviderError(
            f"RDS DB Instance final_snapshot_identifier is required when skip_final_snapshot is false: {props['id']}"
        )


def _rename(region: Region, context: Props, old: Props, new: Props) -> None:
    region.call(
        "rds",
        "ModifyDBInstance",
        DBInstanceIdentifier=old["identifier"],
        NewDBInstanceIdentifier=new["identifier"],
        ApplyImmediately=True,
    )


def _promote(region: Region, context: Props, old: Props, new: Props) -> None:
    if new.get(_REPLICA):
        raise ProviderError("cannot elect new source database for replication")
    backups = {"BackupRetentionPeriod": new["backupRetentionPeriod"]} if new.get("backupRetentionPeriod") else {}
    region.call("rds", "PromoteReadReplica", DBInstanceIdentifier=new["identifier"], **backups)


def _export_logs(region: Region, context: Props, old: Props, new: Props) -> None:
    name = "enabledCloudwatchLogsExports"
    before, after = old.get(name) or [], new.get(name) or []
    region.call(
        "rds",
        "ModifyDBInstance",
        DBInstanceIdentifier=new["identifier"],
        CloudwatchLogsExportConfiguration={
            "EnableLogTypes": [log for log in after if log not in before],
            "DisableLogTypes": [log for log in before if log not in after],
        },
    )


def _master_secret(region: Region, props: Props, description: Any) -> Any:
    secret = (description or {}).get("MasterUserSecret")
    if not secret:
        return []
    return [{"secretArn": secret["SecretArn"], "kmsKeyId": secret.get("KmsKeyId"), "secretStatus": "active"}]


INSTANCE = Type(
    "aws:rds/instance:Instance",
    "rds",
    id="DBInstance.DbiResourceId",
    prepare=_prepare_instance,
    create=Call(
        "CreateDBInstance",
        None,
        {
            **_SPELLED,
            **_INSIGHTS,
            **_PASSWORDS,
            **_LOGS,
            "identifier": "DBInstanceIdentifier",
            "username": "MasterUsername",
        },
    ),
    instead={
        _REPLICA: Call(
            "CreateDBInstanceReadReplica",
            None,
            {
                **_COPIED,
                **_INSIGHTS,
                **_LOGS,
                "identifier": "DBInstanceIdentifier",
                _REPLICA: "SourceDBInstanceIdentifier",
                "sourceRegion": "SourceRegion",
            },
        ),
        "snapshotIdentifier": Call(
            "RestoreDBInstanceFromDBSnapshot",
            None,
            {**_COPIED, **_LOGS, "identifier": "DBInstanceIdentifier", "snapshotIdentifier": "DBSnapshotIdentifier"},
        ),
        "restoreToPointInTime": Call(
            "RestoreDBInstanceToPointInTime",
            None,
            {
                **_COPIED,
                **_LOGS,
                "identifier": "TargetDBInstanceIdentifier",
                "restoreToPointInTime": ".",
                "restoreToPointInTime.sourceDbInstanceIdentifier": "SourceDBInstanceIdentifier",
                "restoreToPointInTime.sourceDbInstanceAutomatedBackupsArn": "SourceDBInstanceAutomatedBackupsArn",
            },
        ),
    },
    # By the id that a rename does not change; like the provider, an import may also give the identifier.
    read=Call(
        "DescribeDBInstances", at="DBInstances[?DbiResourceId == '{id}' || DBInstanceIdentifier == '{id}'] | [0]"
    ),
    update=Call(
        "ModifyDBInstance",
        None,
        {**_SPELLED, **_INSIGHTS, **_PASSWORDS, "port": "DBPortNumber"},
        {**_INSTANCE, "ApplyImmediately": "{applyImmediately}"},
    ),
    settings=[
        Setting(
            Call("ModifyDBInstance", (), {"identifier": "NewDBInstanceIdentifier"}), at_create=False, apply=_rename
        ),
        Setting(
            Call("CreateDBInstanceReadReplica", (), {_REPLICA: "SourceDBInstanceIdentifier"}),
            at_create=False,
            apply=_promote,
        ),
        Setting(Call("CreateDBInstance", (), _LOGS), at_create=False, apply=_export_logs),
    ],
    before_delete=_needs_snapshot_name,
    delete=[
        Call(
            "DeleteDBInstance",
            ("deleteAutomatedBackups", "skipFinalSnapshot"),
            {"finalSnapshot": "FinalDBSnapshotIdentifier"},
            _INSTANCE,
        )
    ],
    recorded=frozenset(
        {
            "allowMajorVersionUpgrade",
            "applyImmediately",
            "deleteAutomatedBackups",
            "finalSnapshotIdentifier",
            "passwordWoVersion",
            "skipFinalSnapshot",
            "upgradeStorageConfig",
        }
    ),
    shows={
        "dbSubnetGroupName": "DBSubnetGroup.DBSubnetGroupName",
        "enabledCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
        "iamDatabaseAuthenticationEnabled": "IAMDatabaseAuthenticationEnabled",
        "manageMasterUserPassword": "MasterUserSecret && `true`",
        "masterUserSecretKmsKeyId": "MasterUserSecret.KmsKeyId",
        "parameterGroupName": "DBParameterGroups[0].DBParameterGroupName",
        "performanceInsightsEnabled": "PerformanceInsightsEnabled",
        "port": "Endpoint.Port",
        _REPLICA: "ReadReplicaSourceDBInstanceIdentifier",
        "vpcSecurityGroupIds": "VpcSecurityGroups[].VpcSecurityGroupId",
    },
    tagging=_TAGS,
    outputs={
        "address": "Endpoint.Address",
        "arn": "DBInstanceArn",
        "endpoint": "join(':', [Endpoint.Address, to_string(Endpoint.Port)])",
        "engineVersionActual": "EngineVersion",
        "hostedZoneId": "Endpoint.HostedZoneId",
        "identifier": "DBInstanceIdentifier",
        # It moves with the clock: a refresh would show a change each time.
        "latestRestorableTime": lambda *_: None,
        "masterUserSecrets": _master_secret,
        "parameterGroupName": "DBParameterGroups[0].DBParameterGroupName",
        "port": "Endpoint.Port",
        # It changes with every replica that comes; the provider, too, shows it only after a refresh.
        "replicas": lambda *_: None,
        "resourceId": "DbiResourceId",
        "status": "DBInstanceStatus",
        # A replica takes it over, said or not.
        "storageEncrypted": "StorageEncrypted",
        "username": "MasterUsername",
        "vpcSecurityGroupIds": "VpcSecurityGroups[].VpcSecurityGroupId",
    },
    validate=instance_rules,
    autoname="identifier",
    autoname_limit=63,
    missing=("DBInstanceNotFound", "DBInstanceNotFoundFault"),
    note="changes apply at once, whatever applyImmediately says; nothing is stored, copied or backed up",
)

BACKUPS_REPLICATION = Type(
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication",
    "rds",
    id="arn:{partition}:rds:{region}:{account}:auto-backup:ab-{hex}",
    checked=Call(
        "StartDBInstanceAutomatedBackupsReplication",
        ("kmsKeyId", "preSignedUrl"),
        {"retentionPeriod": "BackupRetentionPeriod", "sourceDbInstanceArn": "SourceDBInstanceArn"},
    ),
    note="moto has no replicated backups",
)

_SUBSCRIPTION = {"SubscriptionName": "{id}"}
_SUBSCRIBE = Call(
    "CreateEventSubscription",
    ("sourceType", "eventCategories", "sourceIds", "enabled"),
    {"name": "SubscriptionName", "snsTopic": "SnsTopicArn"},
)


def _subscribe_again(region: Region, context: Props, old: Props, new: Props) -> None:
    """moto has no operation that changes a subscription: the old one goes and a new one of the same name comes."""
    tags = region.call("rds", "ListTagsForResource", ResourceName=context["arn"])["TagList"]
    region.call("rds", "DeleteEventSubscription", SubscriptionName=context["id"])
    given = {
        "SourceType": new.get("sourceType"),
        "EventCategories": new.get("eventCategories"),
        "SourceIds": new.get("sourceIds"),
    }
    region.call(
        "rds",
        "CreateEventSubscription",
        SubscriptionName=context["id"],
        SnsTopicArn=new["snsTopic"],
        Enabled=new.get("enabled", True),
        Tags=tags,
        **{name: value for name, value in given.items() if value},
    )


def _sources(props: Props) -> Iterable[Failure]:
    if props.get("sourceIds") and not props.get("sourceType"):
        yield Failure("sourceIds", "InvalidParameterCombination: SourceType must be given when SourceIds are")


EVENT_SUBSCRIPTION = Type(
    "aws:rds/eventSubscription:EventSubscription",
    "rds",
    id="{name}",
    create=_SUBSCRIBE,
    read=Call("DescribeEventSubscriptions", fixed=_SUBSCRIPTION, at="EventSubscriptionsList[0]"),
    settings=[Setting(_SUBSCRIBE, at_create=False, apply=_subscribe_again)],
    delete=[Call("DeleteEventSubscription", fixed=_SUBSCRIPTION)],
    shows={"eventCategories": "EventCategoriesList", "sourceIds": "SourceIdsList"},
    tagging=_TAGS,
    outputs={"arn": "EventSubscriptionArn", "customerAwsId": "{account}"},
    validate=_sources,
    autoname="name",
    missing=("SubscriptionNotFound", "SubscriptionNotFoundFault"),
)

TYPES = (SUBNET_GROUP, PARAMETER_GROUP, INSTANCE, BACKUPS_REPLICATION, EVENT_SUBSCRIPTION)
