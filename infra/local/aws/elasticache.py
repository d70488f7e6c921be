"""ElastiCache: replication groups in cluster mode, the datastores that span regions, and who may log in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.local.aws import shapes
from infra.local.aws.cloud import Region
from infra.local.aws.elasticache_rules import (
    global_group_rules,
    parameter_rules,
    replication_group_rules,
    user_group_rules,
    user_rules,
    version_of,
)
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.resource import Failure, Props

_RESOURCE = {"ResourceName": "{arn}"}

_TAGS = Tagging(
    create="Tags",
    add=Call("AddTagsToResource", (), fixed=_RESOURCE),
    remove=Call("RemoveTagsFromResource", (), fixed=_RESOURCE),
    get=Call("ListTagsForResource", (), fixed=_RESOURCE, at="TagList"),
)

_SUBNETS = {"CacheSubnetGroupName": "{id}"}


def _subnet_rules(props: Props) -> Iterable[Failure]:
    if str(props.get("name", "")).lower() == "default":
        yield Failure("name", "InvalidParameterValue: the name default is reserved")


SUBNET_GROUP = Type(
    "aws:elasticache/subnetGroup:SubnetGroup",
    "elasticache",
    id="CacheSubnetGroup.CacheSubnetGroupName",
    import_id="(?P<name>.+)",
    create=Call(
        "CreateCacheSubnetGroup",
        ("subnetIds",),
        {"name": "CacheSubnetGroupName", "description": "CacheSubnetGroupDescription"},
    ),
    read=Call("DescribeCacheSubnetGroups", fixed=_SUBNETS, at="CacheSubnetGroups[0]"),
    update=Call(
        "ModifyCacheSubnetGroup", ("subnetIds",), {"description": "CacheSubnetGroupDescription"}, _SUBNETS, whole=True
    ),
    delete=[Call("DeleteCacheSubnetGroup", fixed=_SUBNETS)],
    shows={"subnetIds": "Subnets[].SubnetIdentifier"},
    tagging=_TAGS,
    outputs={"arn": "ARN", "vpcId": "VpcId"},
    validate=_subnet_rules,
    autoname="name",
    missing=("CacheSubnetGroupNotFoundFault",),
)

PARAMETER_GROUP = Type(
    "aws:elasticache/parameterGroup:ParameterGroup",
    "elasticache",
    id="{name}",
    checked=Call(
        "CreateCacheParameterGroup",
        ("description",),
        {"name": "CacheParameterGroupName", "family": "CacheParameterGroupFamily"},
    ),
    recorded=frozenset({"parameters"}),
    outputs={"arn": "arn:{partition}:elasticache:{region}:{account}:parametergroup:{name}"},
    validate=parameter_rules,
    autoname="name",
    note="moto has no cache parameter groups",
)


def _login(user: Any) -> Any:
    """How a user logs in; AWS shows one of the ways by another name than it takes."""
    kind = (user.get("Authentication") or {}).get("Type")
    return {"type": "no-password-required" if kind == "no-password" else kind} if kind else None


_USER = {"UserId": "{id}"}
_LOGIN = {"passwordsWo": "Passwords"}

USER = Type(
    "aws:elasticache/user:User",
    "elasticache",
    id="UserId",
    import_id="(?P<userId>.+)",
    create=Call(
        "CreateUser",
        ("accessString", "authenticationMode", "engine", "noPasswordRequired", "passwords", "userId", "userName"),
        _LOGIN,
    ),
    read=Call("DescribeUsers", fixed=_USER, at="Users[0]"),
    update=Call(
        "ModifyUser", ("accessString", "authenticationMode", "engine", "noPasswordRequired", "passwords"), _LOGIN, _USER
    ),
    delete=[Call("DeleteUser", fixed=_USER)],
    recorded=frozenset({"passwordsWoVersion"}),
    shows={"authenticationMode": _login, "noPasswordRequired": lambda _: None, "passwords": lambda _: None},
    tagging=_TAGS,
    outputs={"arn": "ARN", "authenticationMode": lambda region, props, user: _login(user or {})},
    validate=user_rules,
    missing=("UserNotFound", "UserNotFoundFault"),
)

USER_GROUP = Type(
    "aws:elasticache/userGroup:UserGroup",
    "elasticache",
    id="{userGroupId}",
    checked=Call("CreateUserGroup", ("engine", "userGroupId", "userIds")),
    outputs={"arn": "arn:{partition}:elasticache:{region}:{account}:usergroup:{userGroupId}"},
    validate=user_group_rules,
    note="moto has no cache user groups: whether one has a user named default is not checked",
)

_GROUP = {"ReplicationGroupId": "{id}"}
_AT_ONCE = {**_GROUP, "ApplyImmediately": True}
_SPELLED = {
    "description": "ReplicationGroupDescription",
    "nodeType": "CacheNodeType",
}
_ON_NODES = {"maintenanceWindow": "PreferredMaintenanceWindow", "parameterGroupName": "CacheParameterGroupName"}
"""What is sent with the group and read from a node."""
_LOGS = {"logDeliveryConfigurations.destination": "DestinationDetails.CloudWatchLogsDetails.LogGroup"}


def _log_params(blocks: Any) -> dict[str, Any]:
    return {
        block["logType"]: {
            "LogType": block["logType"],
            "LogFormat": block["logFormat"],
            "DestinationType": block["destinationType"],
            "DestinationDetails": {"CloudWatchLogsDetails": {"LogGroup": block["destination"]}},
        }
        for block in blocks or ()
    }


def _deliver_logs(region: Region, context: Props, old: Props, new: Props) -> None:
    """What the program no longer says has to be turned off."""
    name = "logDeliveryConfigurations"
    before, after = _log_params(old.get(name)), _log_params(new.get(name))
    gone = [{"LogType": kind, "Enabled": False} for kind in before if kind not in after]
    _modify(region, context, LogDeliveryConfigurations=[*gone, *after.values()])


def _logs_of(group: Any) -> Any:
    """Delivery as the provider shows it, in the order of its log types."""
    found = [
        {
            "destination": log["DestinationDetails"]["CloudWatchLogsDetails"]["LogGroup"],
            "destinationType": log["DestinationType"],
            "logFormat": log["LogFormat"],
            "logType": log["LogType"],
        }
        for log in group.get("LogDeliveryConfigurations") or ()
    ]
    return sorted(found, key=lambda log: str(log["logType"]))


def _admit(region: Region, context: Props, old: Props, new: Props) -> None:
    before, after = old.get("userGroupIds") or [], new.get("userGroupIds") or []
    changes = {
        "UserGroupIdsToAdd": [id for id in after if id not in before],
        "UserGroupIdsToRemove": [id for id in before if id not in after],
    }
    _modify(region, context, **{name: ids for name, ids in changes.items() if ids})


def _modify(region: Region, context: Props, **params: Any) -> None:
    region.call("elasticache", "ModifyReplicationGroup", **_filled(context), ApplyImmediately=True, **params)


def _filled(context: Props) -> dict[str, Any]:
    return {"ReplicationGroupId": context["id"]}


def _on_nodes(region: Region, context: Props, old: Props, new: Props) -> None:
    """A new group has them from its create."""
    names = {**_ON_NODES, "engineVersion": "EngineVersion", "notificationTopicArn": "NotificationTopicArn"}
    params = {names[name]: new[name] for name in names if name in new and new[name] != old.get(name)}
    if new.get("securityGroupIds") and new["securityGroupIds"] != old.get("securityGroupIds"):
        params["SecurityGroupIds"] = new["securityGroupIds"]
    if old and params:
        _modify(region, context, **params)


def _reshard(region: Region, context: Props, old: Props, new: Props) -> None:
    region.call(
        "elasticache",
        "ModifyReplicationGroupShardConfiguration",
        **_filled(context),
        NodeGroupCount=new["numNodeGroups"],
        ApplyImmediately=True,
    )


def _replicate(region: Region, context: Props, old: Props, new: Props) -> None:
    count = new["replicasPerNodeGroup"]
    more = count > (old.get("replicasPerNodeGroup") or 0)
    region.call(
        "elasticache",
        "IncreaseReplicaCount" if more else "DecreaseReplicaCount",
        **_filled(context),
        NewReplicaCount=count,
        ApplyImmediately=True,
    )


def _replicas(group: Any) -> Any:
    shards = group.get("NodeGroups") or []
    return len(shards[0]["NodeGroupMembers"]) - 1 if shards else None


def _leave(region: Region, context: Props) -> None:
    """A member leaves its global datastore before it goes; like the provider, not one that leads."""
    found = region.call("elasticache", "DescribeReplicationGroups", **_filled(context))["ReplicationGroups"][0]
    about = found.get("GlobalReplicationGroupInfo") or {}
    if about.get("GlobalReplicationGroupMemberRole") == "SECONDARY" and about.get("GlobalReplicationGroupId"):
        region.call(
            "elasticache",
            "DisassociateGlobalReplicationGroup",
            GlobalReplicationGroupId=about["GlobalReplicationGroupId"],
            ReplicationGroupRegion=region.name,
            **_filled(context),
        )


def _actual_version(region: Region, props: Props, group: Any) -> Any:
    members = (group or {}).get("MemberClusters")
    if not members:
        return None
    found = region.call("elasticache", "DescribeCacheClusters", CacheClusterId=members[0])["CacheClusters"]
    return found[0].get("EngineVersion")


def _replaced(old: Props, new: Props) -> Iterable[str]:
    """The properties whose change replaces, by their values (provider: `replication_group.go`, CustomizeDiff).

    Any other engine but Valkey for Redis, and back to an older version; a member of a global datastore has neither of
    its own.
    """
    before, after = old.get("engine"), new.get("engine")
    if before and after and before != after and (before, after) != ("redis", "valkey"):
        yield "engine"
    if version_of(new) and version_of(new) < version_of(old):
        yield "engineVersion"
    if before == "redis" and version_of(old) and version_of(old) < (7, 0):
        yield "transitEncryptionEnabled"
    if shapes.blocks(old, "nodeGroupConfigurations") != shapes.blocks(new, "nodeGroupConfigurations"):
        yield "nodeGroupConfigurations"


REPLICATION_GROUP = Type(
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "elasticache",
    id="ReplicationGroup.ReplicationGroupId",
    import_id="(?P<replicationGroupId>.+)",
    create=Call(
        "CreateReplicationGroup",
        (
            "atRestEncryptionEnabled",
            "autoMinorVersionUpgrade",
            "automaticFailoverEnabled",
            "clusterMode",
            "dataTieringEnabled",
            "durability",
            "engine",
            "engineVersion",
            "globalReplicationGroupId",
            "kmsKeyId",
            "multiAzEnabled",
            "notificationTopicArn",
            "numNodeGroups",
            "port",
            "replicasPerNodeGroup",
            "replicationGroupId",
            "securityGroupIds",
            "snapshotRetentionLimit",
            "snapshotWindow",
            "transitEncryptionEnabled",
            "transitEncryptionMode",
            "userGroupIds",
        ),
        {
            **_SPELLED,
            **_ON_NODES,
            **_LOGS,
            "subnetGroupName": "CacheSubnetGroupName",
            # Named, or they would only follow the create (see `settings`).
            "engineVersion": "EngineVersion",
            "notificationTopicArn": "NotificationTopicArn",
            "securityGroupIds": "SecurityGroupIds",
        },
    ),
    read=Call("DescribeReplicationGroups", fixed=_GROUP, at="ReplicationGroups[0]"),
    update=Call(
        "ModifyReplicationGroup",
        (
            "autoMinorVersionUpgrade",
            "automaticFailoverEnabled",
            "clusterMode",
            "durability",
            "engine",
            "multiAzEnabled",
            "snapshotRetentionLimit",
            "snapshotWindow",
            "transitEncryptionEnabled",
            "transitEncryptionMode",
        ),
        _SPELLED,
        _AT_ONCE,
    ),
    settings=[
        Setting(
            Call(
                "ModifyReplicationGroup", ("engineVersion", "notificationTopicArn", "securityGroupIds"), dict(_ON_NODES)
            ),
            get=Call("DescribeCacheClusters", (), fixed={"CacheClusterId": "{id}-0001-001"}, at="CacheClusters[0]"),
            apply=_on_nodes,
        ),
        Setting(Call("CreateReplicationGroup", (), _LOGS), at_create=False, apply=_deliver_logs),
        Setting(Call("CreateReplicationGroup", ("userGroupIds",)), at_create=False, apply=_admit),
        Setting(Call("CreateReplicationGroup", ("numNodeGroups",)), at_create=False, apply=_reshard),
        Setting(Call("CreateReplicationGroup", ("replicasPerNodeGroup",)), at_create=False, apply=_replicate),
    ],
    before_delete=_leave,
    delete=[Call("DeleteReplicationGroup", ("finalSnapshotIdentifier",), fixed=_GROUP)],
    recorded=frozenset({"applyImmediately", "finalSnapshotIdentifier"}),
    shows={
        "automaticFailoverEnabled": "AutomaticFailover == 'enabled'",
        "dataTieringEnabled": "DataTiering == 'enabled'",
        "description": "Description",
        "globalReplicationGroupId": "GlobalReplicationGroupInfo.GlobalReplicationGroupId",
        "logDeliveryConfigurations": _logs_of,
        "multiAzEnabled": "MultiAZ == 'enabled'",
        "nodeType": "CacheNodeType",
        "notificationTopicArn": "NotificationConfiguration.TopicArn",
        "numNodeGroups": "NodeGroups && length(NodeGroups)",
        "parameterGroupName": "CacheParameterGroup.CacheParameterGroupName",
        "port": "ConfigurationEndpoint.Port",
        "replicasPerNodeGroup": _replicas,
        "securityGroupIds": "SecurityGroups && SecurityGroups[].SecurityGroupId",
    },
    tagging=_TAGS,
    outputs={
        "arn": "ARN",
        "clusterEnabled": "ClusterEnabled",
        "configurationEndpointAddress": "ConfigurationEndpoint.Address",
        "dataTieringEnabled": "DataTiering == 'enabled'",
        "engineVersionActual": _actual_version,
        # A group learns of it only after it was made, and would seem to have changed.
        "globalReplicationGroupId": lambda region, props, group: props.get("globalReplicationGroupId"),
        "nodeType": "CacheNodeType",
        "numCacheClusters": "MemberClusters && length(MemberClusters)",
        "numNodeGroups": "NodeGroups && length(NodeGroups)",
        "port": "ConfigurationEndpoint.Port",
        "primaryEndpointAddress": lambda *_: None,
        "readerEndpointAddress": lambda *_: None,
        "replicasPerNodeGroup": lambda region, props, group: _replicas(group or {}),
    },
    validate=replication_group_rules,
    replaces=_replaced,
    autoname="replicationGroupId",
    autoname_limit=40,
    missing=("ReplicationGroupNotFoundFault", "ReplicationGroupNotFound", "CacheClusterNotFound"),
    note="in cluster mode only; changes apply at once; nothing is stored, replicated or failed over",
)

_GLOBAL = {"GlobalReplicationGroupId": "{id}"}


def _suffix(group: Any) -> Any:
    return str(group["GlobalReplicationGroupId"]).partition("-")[2]


def _fails_over(group: Any) -> Any:
    return next((member["AutomaticFailover"] == "enabled" for member in group["Members"] if _leads(member)), None)


def _leads(member: Any) -> bool:
    return bool(member["Role"] == "PRIMARY")


def _reshard_all(region: Region, context: Props, old: Props, new: Props) -> None:
    """A new datastore has the shards of its primary, which is asked for others only if it has others."""
    given = {"GlobalReplicationGroupId": context["id"]}
    found = region.call("elasticache", "DescribeGlobalReplicationGroups", **given)["GlobalReplicationGroups"][0]
    count, wanted = len(found["GlobalNodeGroups"]), new["numNodeGroups"]
    if count < wanted:
        region.call(
            "elasticache",
            "IncreaseNodeGroupsInGlobalReplicationGroup",
            **given,
            NodeGroupCount=wanted,
            ApplyImmediately=True,
        )
    elif count > wanted:
        # The highest go, as the provider has it.
        kept = sorted(group["GlobalNodeGroupId"] for group in found["GlobalNodeGroups"])[:wanted]
        region.call(
            "elasticache",
            "DecreaseNodeGroupsInGlobalReplicationGroup",
            **given,
            NodeGroupCount=wanted,
            GlobalNodeGroupsToRetain=kept,
            ApplyImmediately=True,
        )


GLOBAL_REPLICATION_GROUP = Type(
    "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup",
    "elasticache",
    id="GlobalReplicationGroup.GlobalReplicationGroupId",
    create=Call(
        "CreateGlobalReplicationGroup",
        ("globalReplicationGroupDescription", "globalReplicationGroupIdSuffix", "primaryReplicationGroupId"),
    ),
    read=Call("DescribeGlobalReplicationGroups", fixed=_GLOBAL, at="GlobalReplicationGroups[0]"),
    settings=[
        # Like the provider: what the primary brings along is changed right after, where it differs.
        Setting(
            Call(
                "ModifyGlobalReplicationGroup",
                ("automaticFailoverEnabled", "cacheNodeType", "engine", "engineVersion"),
                fixed={**_GLOBAL, "ApplyImmediately": True},
            )
        ),
        Setting(
            Call(
                "ModifyGlobalReplicationGroup",
                ("globalReplicationGroupDescription",),
                fixed={**_GLOBAL, "ApplyImmediately": True},
            ),
            at_create=False,
        ),
        Setting(
            Call(
                "IncreaseNodeGroupsInGlobalReplicationGroup",
                (),
                {"numNodeGroups": "NodeGroupCount"},
                {**_GLOBAL, "ApplyImmediately": True},
            ),
            apply=_reshard_all,
        ),
    ],
    delete=[Call("DeleteGlobalReplicationGroup", fixed={**_GLOBAL, "RetainPrimaryReplicationGroup": True})],
    recorded=frozenset({"parameterGroupName"}),
    shows={
        "automaticFailoverEnabled": _fails_over,
        "globalReplicationGroupIdSuffix": _suffix,
        "numNodeGroups": "length(GlobalNodeGroups)",
        "primaryReplicationGroupId": "Members[?Role == 'PRIMARY'].ReplicationGroupId | [0]",
    },
    outputs={
        "arn": "ARN",
        "automaticFailoverEnabled": lambda region, props, group: _fails_over(group),
        "engineVersionActual": "EngineVersion",
        "numNodeGroups": "length(GlobalNodeGroups)",
    },
    validate=global_group_rules,
    missing=("GlobalReplicationGroupNotFoundFault",),
    note="on operations that moto lacks and docsearch adds: members have what the primary has, nothing is replicated",
)

TYPES = (SUBNET_GROUP, PARAMETER_GROUP, USER, USER_GROUP, REPLICATION_GROUP, GLOBAL_REPLICATION_GROUP)
