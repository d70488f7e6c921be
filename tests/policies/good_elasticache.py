"""What is good about the cache in both plans."""

from collections.abc import Callable
from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

GROUP: Final = "aws:elasticache/replicationGroup:ReplicationGroup"
GLOBAL: Final = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"
PARAMETERS: Final = "aws:elasticache/parameterGroup:ParameterGroup"
SUBNETS: Final = "aws:elasticache/subnetGroup:SubnetGroup"
USER: Final = "aws:elasticache/user:User"
USERS: Final = "aws:elasticache/userGroup:UserGroup"


def leads(group: Resource) -> bool:
    """The one of the primary region."""
    return "globalReplicationGroupId" not in group.props


def follows(group: Resource) -> bool:
    """A member that inherits."""
    return not leads(group)


def nobody(user: Resource) -> bool:
    """Whoever does not log in."""
    return bool(user.props["userName"] == "default")


def somebody(user: Resource) -> bool:
    """Whoever does."""
    return not nobody(user)


def parameter(name: str, value: str | None) -> Callable[[list[Any]], list[Any]]:
    """The parameters with one changed, or without it."""
    return lambda every: [
        {**one, "value": value} if one["name"] == name else one
        for one in every
        if value is not None or one["name"] != name
    ]


GOOD: tuple[Good, ...] = (
    Good(GROUP, "kmsKeyId", "redis-encryption", (GONE, "", "alias/aws/elasticache")),
    Good(GROUP, "atRestEncryptionEnabled", "redis-encryption", (GONE, False), where=leads),
    Good(GROUP, "transitEncryptionEnabled", "redis-encryption", (GONE, False), where=leads),
    Good(GROUP, "transitEncryptionMode", "redis-encryption", (GONE, "preferred"), where=leads),
    Good(GROUP, "userGroupIds", "redis-auth", (GONE, [], [""])),
    Good(USERS, "userIds", "redis-auth", (GONE, [], lambda ids: ["default", *ids[1:]])),
    Good(USER, "accessString", "redis-auth", ("on -@all", "off on -@all", "-@all"), where=nobody),
    Good(USERS, "userIds", "redis-default-user", (lambda ids: ids[1:],), unknown=False),
    Good(USER, "", "redis-default-user", where=nobody),
    Good(
        USER,
        "authenticationMode.type",
        "redis-auth",
        (GONE, "no-password-required", "password"),
        where=somebody,
    ),
    Good(
        USER, "authenticationMode", "redis-auth", (GONE, {"type": "password", "passwords": ["x" * 16]}), where=somebody
    ),
    Good(
        USER,
        "accessString",
        "redis-acl",
        (
            GONE,
            "on ~* &* +@all",
            "on ~* &* +@all -@admin",
            "on ~* &* +@all -@dangerous",
            "on ~* &* -@admin -@dangerous +@all",
            "on ~* &* allcommands",
            "on ~* &* -@all +@admin",
        ),
        where=somebody,
    ),
    Good(GROUP, "subnetGroupName", "redis-private", (GONE, "")),
    Good(GROUP, "securityGroupIds", "redis-private", (GONE, [])),
    Good(GROUP, "automaticFailoverEnabled", "redis-ha", (GONE, False)),
    Good(GROUP, "multiAzEnabled", "redis-ha", (GONE, False)),
    Good(GROUP, "replicasPerNodeGroup", "redis-ha", (GONE, 0)),
    Good(GLOBAL, "automaticFailoverEnabled", "redis-ha", (GONE, False)),
    Good(SUBNETS, "subnetIds", "redis-ha", (GONE, [], lambda ids: ids[:2], lambda ids: [ids[0]] * 3)),
    Good(GROUP, "snapshotRetentionLimit", "redis-backup", (GONE, 0, 1)),
    Good(GROUP, "finalSnapshotIdentifier", "redis-backup", (GONE, "")),
    Good(
        GROUP,
        "nodeType",
        "redis-shape",
        (
            GONE,
            "cache.t4g.medium",
            "cache.t3.small",
            "cache.m4.large",
            "cache.r4.large",
            "cache.r6gd.xlarge",
            "cache.r7g",
        ),
        where=leads,
    ),
    Good(GROUP, "engine", "redis-shape", (GONE, "redis", "memcached"), where=leads),
    Good(GROUP, "engineVersion", "redis-shape", (GONE, "7.1", "6.2"), where=leads),
    Good(GROUP, "clusterMode", "redis-shape", (GONE, "disabled", "compatible"), where=leads),
    Good(GROUP, "numNodeGroups", "redis-shape", (GONE, 0, 501), where=leads),
    Good(GLOBAL, "cacheNodeType", "redis-shape", ("cache.t4g.medium", "cache.m4.large")),
    Good(GLOBAL, "numNodeGroups", "redis-shape", (0,)),
    Good(
        PARAMETERS,
        "parameters",
        "redis-shape",
        (GONE, parameter("cluster-enabled", None), parameter("cluster-enabled", "no")),
    ),
    Good(GROUP, "logDeliveryConfigurations", "redis-logs", (GONE, [], lambda logs: logs[:1], lambda logs: logs[1:])),
    Good(GROUP, "logDeliveryConfigurations[*].destination", "redis-logs", (GONE, "")),
    Good(GROUP, "applyImmediately", "redis-change-window", (True,)),
    Good(GROUP, "maintenanceWindow", "redis-change-window", (GONE, "")),
    Good(GROUP, "autoMinorVersionUpgrade", "redis-change-window", (GONE, False)),
)
