"""Cases: caches."""

from typing import Any

from infra.local.resource import Props, State
from tests.infra.local.aws.case import Case, attribute
from tests.infra.local.aws.world import Place

GROUP = "aws:elasticache/replicationGroup:ReplicationGroup"


def subnets(place: Place) -> str:
    """A subnet group that clusters can be put into, made once."""
    found = place.call("elasticache", "DescribeCacheSubnetGroups")["CacheSubnetGroups"]
    if not any(group["CacheSubnetGroupName"] == "cache" for group in found):
        place.call(
            "elasticache",
            "CreateCacheSubnetGroup",
            CacheSubnetGroupName="cache",
            CacheSubnetGroupDescription="cache",
            SubnetIds=place.subnets,
        )
    return "cache"


def common(place: Place, name: str, **more: Any) -> Props:
    """What a cluster says in either role."""
    return {
        "replicationGroupId": name,
        "description": "one",
        "replicasPerNodeGroup": 1,
        "automaticFailoverEnabled": True,
        "multiAzEnabled": True,
        "port": 6379,
        "subnetGroupName": subnets(place),
        "securityGroupIds": [place.groups[0]],
        "userGroupIds": ["readers"],
        "kmsKeyId": place.key,
        "snapshotRetentionLimit": 35,
        "snapshotWindow": "05:00-06:00",
        "maintenanceWindow": "tue:09:00-tue:10:00",
        "autoMinorVersionUpgrade": True,
        "applyImmediately": False,
        "notificationTopicArn": place.topic,
        "logDeliveryConfigurations": [log("engine-log"), log("slow-log")],
        **more,
    }


def leader(place: Place, name: str, **more: Any) -> Props:
    """A cluster that leads, or stands alone."""
    return common(
        place,
        name,
        **{
            "engine": "valkey",
            "engineVersion": "8.1",
            "nodeType": "cache.r7g.xlarge",
            "clusterMode": "enabled",
            "numNodeGroups": 3,
            "parameterGroupName": "tuned",
            "transitEncryptionEnabled": True,
            "transitEncryptionMode": "required",
            "atRestEncryptionEnabled": True,
            **more,
        },
    )


def log(kind: str) -> Props:
    """One log's delivery."""
    return {"logType": kind, "logFormat": "json", "destinationType": "cloudwatch-logs", "destination": f"logs/{kind}"}


def datastore(place: Place, name: str) -> str:
    """A global datastore that a cluster of this name leads, made once."""
    groups = place.call("elasticache", "DescribeGlobalReplicationGroups")["GlobalReplicationGroups"]
    for group in groups:
        if group["GlobalReplicationGroupId"].endswith(f"-{name}"):
            return str(group["GlobalReplicationGroupId"])
    lead(place, name)
    made = place.call(
        "elasticache",
        "CreateGlobalReplicationGroup",
        GlobalReplicationGroupIdSuffix=name,
        PrimaryReplicationGroupId=name,
    )
    return str(made["GlobalReplicationGroup"]["GlobalReplicationGroupId"])


def lead(place: Place, name: str) -> str:
    """A cluster that a global datastore could be made of."""
    place.call(
        "elasticache",
        "CreateReplicationGroup",
        ReplicationGroupId=name,
        ReplicationGroupDescription="leads",
        Engine="valkey",
        EngineVersion="8.1",
        CacheNodeType="cache.r7g.xlarge",
        ClusterMode="enabled",
        NumNodeGroups=3,
        ReplicasPerNodeGroup=1,
        AutomaticFailoverEnabled=True,
        MultiAZEnabled=True,
        TransitEncryptionEnabled=True,
        TransitEncryptionMode="required",
        AtRestEncryptionEnabled=True,
    )
    return name


def _resize(place: Place, state: State) -> Any:
    return place.call(
        "elasticache", "ModifyReplicationGroup", ReplicationGroupId=state.id, CacheNodeType="cache.r7g.2xlarge"
    )


#: What a cluster's own description does not tell: where it is, and what only the provider knows.
_UNTOLD = frozenset({"applyImmediately", "subnetGroupName"})

CACHES = (
    Case(
        "aws:elasticache/subnetGroup:SubnetGroup",
        lambda place, world: {"subnetIds": place.subnets[:2], "description": "one"},
        change=lambda place, world: {"subnetIds": place.subnets, "description": "two", "tags": {"c": "d"}},
        behind=lambda place, state: place.call(
            "elasticache", "ModifyCacheSubnetGroup", CacheSubnetGroupName=state.id, SubnetIds=place.subnets[1:]
        ),
        drifts="subnetIds",
    ),
    Case(
        "aws:elasticache/user:User",
        lambda place, world: {
            "userId": "app",
            "userName": "app",
            "engine": "valkey",
            "accessString": "on ~* +@read",
            "authenticationMode": {"type": "iam"},
        },
        change=lambda place, world: {"accessString": "on ~* +@all", "tags": {"c": "d"}},
        behind=attribute("elasticache", "ModifyUser", UserId="{}", AccessString="off -@all"),
        drifts="accessString",
    ),
    Case(
        "aws:elasticache/user:User",
        lambda place, world: {
            "userId": "nobody",
            "userName": "default",
            "engine": "redis",
            "accessString": "off -@all",
            "authenticationMode": {"type": "no-password-required"},
        },
        change=lambda place, world: {
            "authenticationMode": {"type": "password", "passwords": ["sixteen-characters"]},
        },
        behind=attribute("elasticache", "ModifyUser", UserId="{}", AccessString="on ~* +@all"),
        drifts="accessString",
        # Nobody is shown a password.
        unseen=frozenset({"authenticationMode"}),
        name="default",
    ),
    Case(
        GROUP,
        lambda place, world: leader(place, "alone", finalSnapshotIdentifier="alone-final"),
        change=lambda place, world: {
            "description": "two",
            "engineVersion": "8.2",
            "nodeType": "cache.r7g.4xlarge",
            "numNodeGroups": 4,
            "replicasPerNodeGroup": 2,
            "securityGroupIds": place.groups,
            "userGroupIds": ["writers"],
            "snapshotRetentionLimit": 7,
            "maintenanceWindow": "wed:09:00-wed:10:00",
            "logDeliveryConfigurations": [log("slow-log")],
            "tags": {"c": "d"},
        },
        behind=_resize,
        drifts="nodeType",
        unseen=_UNTOLD | {"finalSnapshotIdentifier"},
        name="leader",
    ),
    Case(
        GROUP,
        lambda place, world: common(place, "follower", globalReplicationGroupId=datastore(world.east, "followed")),
        change=lambda place, world: {"description": "two", "replicasPerNodeGroup": 2},
        behind=attribute(
            "elasticache", "ModifyReplicationGroup", ReplicationGroupId="{}", SnapshotWindow="01:00-02:00"
        ),
        drifts="snapshotWindow",
        # Of these, an import tells what the primary has.
        unseen=_UNTOLD,
        region="west",
        name="follower",
    ),
    Case(
        "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup",
        lambda place, world: {
            "globalReplicationGroupIdSuffix": "global",
            "primaryReplicationGroupId": lead(place, "leads"),
            "automaticFailoverEnabled": True,
            "engineVersion": "8.1",
            "cacheNodeType": "cache.r7g.xlarge",
            "numNodeGroups": 3,
        },
        change=lambda place, world: {"cacheNodeType": "cache.r7g.2xlarge", "engineVersion": "8.2", "numNodeGroups": 5},
        behind=attribute(
            "elasticache",
            "ModifyGlobalReplicationGroup",
            GlobalReplicationGroupId="{}",
            ApplyImmediately=True,
            CacheNodeType="cache.r7g.4xlarge",
        ),
        drifts="cacheNodeType",
    ),
)
