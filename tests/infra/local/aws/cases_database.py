"""Cases: databases."""

from typing import Any

from infra.local.resource import Props, State
from tests.infra.local.aws.case import GONE, Case, attribute
from tests.infra.local.aws.world import Place, World

_PARAMETERS = [
    {"name": "max_connections", "value": "100", "applyMethod": "pending-reboot"},
    {"name": "log_min_duration_statement", "value": "500", "applyMethod": "immediate"},
]


def _instance(place: Place) -> Props:
    return {
        "instanceClass": "db.m7g.large",
        "engineVersion": "18.1",
        "autoMinorVersionUpgrade": False,
        "port": 5432,
        "vpcSecurityGroupIds": [place.groups[0]],
        "parameterGroupName": place.parameter_group,
        "caCertIdentifier": "rds-ca-rsa2048-g1",
        "iamDatabaseAuthenticationEnabled": True,
        "storageType": "gp3",
        "maxAllocatedStorage": 800,
        "iops": 12000,
        "storageThroughput": 500,
        "storageEncrypted": True,
        "kmsKeyId": place.key,
        "backupRetentionPeriod": 35,
        "backupWindow": "03:00-04:00",
        "maintenanceWindow": "sun:05:00-sun:06:00",
        "monitoringInterval": 15,
        "monitoringRoleArn": place.role,
        "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
        "skipFinalSnapshot": True,
    }


def _resize(place: Place, state: State) -> Any:
    name = state.outputs["identifier"]
    return place.call("rds", "ModifyDBInstance", DBInstanceIdentifier=name, DBInstanceClass="db.t4g.micro")


def _head(place: Place, world: World) -> Props:
    return {
        **_instance(place),
        "identifier": "head",
        "engine": "postgres",
        "allocatedStorage": 400,
        "dbName": "documents",
        "username": "master",
        "manageMasterUserPassword": True,
        "masterUserSecretKmsKeyId": place.key,
        "dbSubnetGroupName": place.subnet_group,
        "multiAz": True,
    }


DATABASE = (
    Case(
        "aws:rds/subnetGroup:SubnetGroup",
        lambda place, world: {"subnetIds": place.subnets[:2], "description": "one"},
        change=lambda place, world: {"subnetIds": place.subnets, "description": "two", "tags": {"c": "d"}},
        behind=lambda place, state: place.call(
            "rds", "ModifyDBSubnetGroup", DBSubnetGroupName=state.id, SubnetIds=place.subnets[1:]
        ),
        drifts="subnetIds",
    ),
    Case(
        "aws:rds/parameterGroup:ParameterGroup",
        lambda place, world: {"family": "postgres18", "description": "one", "parameters": _PARAMETERS},
        change=lambda place, world: {"parameters": [{**_PARAMETERS[0], "value": "200"}]},
        behind=attribute(
            "rds",
            "ModifyDBParameterGroup",
            DBParameterGroupName="{}",
            Parameters=[{"ParameterName": "max_connections", "ParameterValue": "50", "ApplyMethod": "pending-reboot"}],
        ),
        drifts="parameters",
    ),
    Case(
        "aws:rds/instance:Instance",
        _head,
        change=lambda place, world: {
            "instanceClass": "db.m7g.xlarge",
            "multiAz": False,
            "enabledCloudwatchLogsExports": ["postgresql"],
            "identifier": "renamed",
        },
        behind=_resize,
        drifts="instanceClass",
        # AWS, too, answers a lock that is off and that no program mentions.
        unseen=frozenset({"skipFinalSnapshot", "deletionProtection"}),
        name="head",
    ),
    Case(
        "aws:rds/instance:Instance",
        lambda place, world: {
            **_instance(place),
            "identifier": "reader",
            "replicateSourceDb": place.database["DBInstanceIdentifier"],
            "availabilityZone": "us-east-1b",
        },
        change=lambda place, world: {"instanceClass": "db.m7g.xlarge"},
        behind=_resize,
        drifts="instanceClass",
        unseen=frozenset({"skipFinalSnapshot", "deletionProtection"}),
        name="replica",
    ),
    Case(
        "aws:rds/instance:Instance",
        lambda place, world: {
            **_instance(place),
            "identifier": "follower",
            "replicateSourceDb": world.east.database["DBInstanceArn"],
            "dbSubnetGroupName": place.subnet_group,
            "multiAz": True,
        },
        change=lambda place, world: {"backupRetentionPeriod": 7},
        behind=_resize,
        drifts="instanceClass",
        unseen=frozenset({"skipFinalSnapshot", "deletionProtection"}),
        region="west",
        name="replica-of-another-region",
    ),
    Case(
        "aws:rds/eventSubscription:EventSubscription",
        lambda place, world: {
            "snsTopic": place.topic,
            "sourceType": "db-instance",
            "sourceIds": ["head"],
            "eventCategories": ["failover"],
        },
        change=lambda place, world: {"eventCategories": ["failover", "failure"]},
        behind=attribute("rds", "DeleteEventSubscription", SubscriptionName="{}"),
        drifts=GONE,
    ),
)
