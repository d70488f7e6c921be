"""The cache: encrypted, asking who comes, in more than one zone, backed up.

A replication group with a `globalReplicationGroupId` is a member of a global datastore and takes engine, node type,
shards, parameters and encryption from the one that leads it: ElastiCache refuses to be told them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from policies.rule import (
    ABSENT,
    FALSE,
    GIVEN,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    at_least,
    items,
    judge,
    look,
    must,
    number,
    one_of,
    rule,
    stack_rule,
    unverified,
)
from policies.wants import NAMED, OWN_KEY, TEXTS, different, no_secret, unless

GROUP: Final = "aws:elasticache/replicationGroup:ReplicationGroup"
GLOBAL: Final = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"
PARAMETERS: Final = "aws:elasticache/parameterGroup:ParameterGroup"
SUBNETS: Final = "aws:elasticache/subnetGroup:SubnetGroup"
USER: Final = "aws:elasticache/user:User"
USERS: Final = "aws:elasticache/userGroup:UserGroup"

MEMBER: Final = "globalReplicationGroupId"

GUIDE: Final = "https://docs.aws.amazon.com/AmazonElastiCache/latest/dg"


def unless_member(group: Resource, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What a member of a global datastore has from the one that leads it."""
    return unless(group.get(MEMBER), MEMBER, findings)


@rule(
    "redis-encryption",
    on=GROUP,
    severity=Severity.CRITICAL,
    why="What is cached of documents could be read on the wire, on a disk or in a snapshot",
    remedy="Keep encryption as ElastiCache sets it (components/elasticache.py); at rest it cannot be added afterwards",
    reference=f"{GUIDE}/encryption.html",
)
def encryption(group: Resource) -> Iterator[Finding]:
    """TLS only, and disks encrypted with a key of ours; a member's key is its own, the rest is inherited."""
    yield from must(group, "kmsKeyId", OWN_KEY)
    for name in ("atRestEncryptionEnabled", "transitEncryptionEnabled"):
        yield from unless_member(group, must(group, name, TRUE))
    yield from unless_member(group, must(group, "transitEncryptionMode", one_of("required")))


@rule(
    "redis-auth",
    on=(GROUP, USERS, USER),
    severity=Severity.HIGH,
    why="Whoever reaches the port could read and flush every tenant's cache",
    remedy="Keep the user group, IAM users, and the default user off (USERS in components/elasticache_plan.py)",
    reference=f"{GUIDE}/Clusters.RBAC.html",
)
def auth(its: Resource) -> Iterator[Finding]:
    """Users log in with tokens of IAM; nobody without a password is let in.

    The user `default`, who is whoever does not log in, must be one of ours that is switched off: the built-in one may
    do everything.
    """
    if its.type == GROUP:
        yield from must(its, "userGroupIds", TEXTS)
        yield from no_secret(its, "authToken", why="it is one password for all")
    elif its.type == USERS:
        yield from must(its, "userIds", TEXTS)
        for path, user in items(its, "userIds"):
            if user == "default":
                yield Finding(path, "is default, must be a user of ours: the built-in one may do everything")
    else:
        yield from _user(its)


def _user(user: Resource) -> Iterator[Finding]:
    name = user.get("userName")
    if name == "default":
        off = Want("off, and nothing else", lambda value: isinstance(value, str) and "off" in _words(value))
        on = Want("without on", lambda value: not isinstance(value, str) or "on" not in _words(value))
        yield from must(user, "accessString", off)
        if user.get("accessString") is not UNKNOWN and off.holds(user.get("accessString")):
            yield from must(user, "accessString", on)
        return
    exception = UNKNOWN if name is UNKNOWN else None
    yield from unless(exception, "userName", must(user, "authenticationMode.type", one_of("iam")))
    yield from unless(exception, "userName", must(user, "noPasswordRequired", FALSE))
    yield from unless(exception, "userName", no_secret(user, "passwords", why="users log in with tokens"))


def _words(access: str) -> list[str]:
    return access.lower().split()


@stack_rule(
    "redis-default-user",
    on=(USERS, USER),
    severity=Severity.HIGH,
    why="Without a user of ours in its place, whoever does not log in is let in as the built-in one",
    remedy="Keep the default user in the group (components/elasticache.py)",
    reference=f"{GUIDE}/Clusters.RBAC.html",
)
def default_user(stack: Stack) -> Iterator[Finding]:
    """A user group has a user of ours who is called default; that it is switched off is `redis-auth`'s."""
    for group in stack.of(USERS):
        ids = [user for _, user in items(group, "userIds")]
        users = [user for user in stack.of(USER) if user.get("userId") in ids]
        if UNKNOWN in ids:
            users = stack.linked(group, "userIds", USER) or users
        # An empty group, and the built-in user in it, are `redis-auth`'s too.
        if not ids or "default" in ids or any(user.get("userName") == "default" for user in users):
            continue
        if (UNKNOWN in ids and not users) or any(user.get("userName") is UNKNOWN for user in users):
            yield unverified("userIds", urn=group.urn)
        else:
            yield Finding("userIds", "have none who is called default", urn=group.urn)


@rule(
    "redis-acl",
    on=USER,
    severity=Severity.HIGH,
    why="An application that is broken into could flush the cache or change its configuration",
    remedy="Keep -@admin and -@dangerous after +@all (USERS in components/elasticache_plan.py)",
    reference=f"{GUIDE}/Clusters.RBAC.html",
)
def acl(user: Resource) -> Iterator[Finding]:
    """No user may run commands of the categories admin and dangerous as a whole."""
    access = user.get("accessString")
    if access is UNKNOWN:
        # Of the user who is switched off, `redis-auth` says so.
        if user.get("userName") != "default":
            yield unverified("accessString")
        return
    if not isinstance(access, str):
        yield Finding("accessString", "is no text, must say what the user may do")
        return
    held = {"admin": False, "dangerous": False}
    for word in _words(access):
        if word in ("allcommands", "nocommands", "+@all", "-@all"):
            held = dict.fromkeys(held, word in ("allcommands", "+@all"))
        elif word[1:2] == "@" and word[2:] in held:
            held[word[2:]] = word[0] == "+"
    for category in (name for name, on in held.items() if on):
        yield Finding("accessString", f"allows @{category}, must not")


@rule(
    "redis-private",
    on=GROUP,
    severity=Severity.CRITICAL,
    why="In the default subnets and security group it is open to whatever else is there",
    remedy="Pass the network's data subnets and cache group (components/elasticache.py)",
    reference=f"{GUIDE}/VPCs.html",
)
def private(group: Resource) -> Iterator[Finding]:
    """The cache is in subnets and a security group of ours."""
    yield from must(group, "subnetGroupName", NAMED)
    yield from must(group, "securityGroupIds", TEXTS)


@rule(
    "redis-ha",
    on=(GROUP, GLOBAL, SUBNETS),
    severity=Severity.CRITICAL,
    why="With a node or a zone lost, its part of the keys is gone until somebody acts",
    remedy="Give each shard a replica in another zone, and the network three zones",
    key="cache.replicas",
    reference=f"{GUIDE}/AutoFailover.html",
)
def high_availability(
    its: Resource, *, replicas: Annotated[int, Bounds(1, 5)] = 1, zones: Annotated[int, Bounds(2, 6)] = 3
) -> Iterator[Finding]:
    """A replica of each shard takes over by itself, in another zone."""
    if its.type == SUBNETS:
        yield from must(its, "subnetIds", different(zones))
        return
    yield from must(its, "automaticFailoverEnabled", TRUE)
    if its.type == GROUP:
        yield from must(its, "multiAzEnabled", TRUE)
        if GIVEN.holds(nodes := its.get("numCacheClusters")):
            yield from judge(nodes, "numCacheClusters", at_least(1 + replicas))
        else:
            yield from must(its, "replicasPerNodeGroup", at_least(replicas))


@rule(
    "redis-backup",
    on=GROUP,
    severity=Severity.HIGH,
    why="After a flush by mistake the database carries the whole load until the cache is warm again",
    remedy="Keep snapshot_retention_limit and the final snapshot (components/elasticache.py)",
    reference=f"{GUIDE}/backups-automatic.html",
)
def backup(group: Resource, *, days: Annotated[int, Bounds(1, 35)] = 7) -> Iterator[Finding]:
    """Daily snapshots are kept for days, and a last one when the group goes."""
    yield from must(group, "snapshotRetentionLimit", at_least(days))
    yield from must(group, "finalSnapshotIdentifier", NAMED)


_TYPE: Final = re.compile(r"cache\.(m([5-9]g?|1\dg?)|r([5-9]g?|1\dg?))\.(large|\d*xlarge)")
"""What can be in a global datastore and needs no data tiering (user guide, "Global datastores: prerequisites")."""

_INHERITED: Final = (
    "nodeType",
    "engine",
    "engineVersion",
    "parameterGroupName",
    "numNodeGroups",
    "atRestEncryptionEnabled",
    "transitEncryptionEnabled",
    "transitEncryptionMode",
)


@rule(
    "redis-shape",
    on=(GROUP, GLOBAL, PARAMETERS),
    severity=Severity.HIGH,
    why="ElastiCache refuses the group, its failover, or its place in a global datastore",
    remedy="Take a current m or r node type, cluster mode, Valkey 7.2 or later, and nothing that a member inherits",
    key="cache.node_type",
    reference=f"{GUIDE}/Redis-Global-Datastores-Getting-Started.html",
)
def shape(its: Resource, *, shards: Annotated[int, Bounds(1, 500)] = 1) -> Iterator[Finding]:
    """Engine, node type, cluster mode and number of shards are such as ElastiCache takes."""
    steady = Want("an m or r type, of generation 5 or later", lambda value: _matches(_TYPE, value))
    enough = Want(f"{shards} to 500", lambda value: (found := number(value)) is not None and shards <= found <= 500)
    if its.type == PARAMETERS:
        yield from _cluster_parameters(its)
    elif its.type == GLOBAL:
        yield from must(its, "cacheNodeType", Want(f"absent or {steady.text}", _or_absent(steady)))
        yield from must(its, "numNodeGroups", Want(f"absent or {enough.text}", _or_absent(enough)))
    else:
        member = its.get(MEMBER)
        if member is not UNKNOWN and GIVEN.holds(member):
            for name in _INHERITED:
                yield from must(its, name, ABSENT, why="a member inherits it")
        version = Want("7.2 or later", _valkey)
        for name, want in {
            "nodeType": steady,
            "engine": one_of("valkey"),
            "engineVersion": version,
            "clusterMode": one_of("enabled"),
            "numNodeGroups": enough,
        }.items():
            yield from unless_member(its, must(its, name, want))
        yield from must(its, "dataTieringEnabled", FALSE)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _or_absent(want: Want) -> Any:
    return lambda value: value is None or want.holds(value)


def _valkey(version: Any) -> bool:
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", version) if isinstance(version, str) else None
    return found is not None and (int(found[1]), int(found[2])) >= (7, 2)


def _cluster_parameters(group: Resource) -> Iterator[Finding]:
    every = items(group, "parameters")
    hidden = [path for path, item in every if look(item, "name") is UNKNOWN]
    given = [(path, item) for path, item in every if look(item, "name") == "cluster-enabled"]
    for path, item in given:
        yield from judge(look(item, "value"), f"{path}.value", one_of("yes"), why="cluster-enabled")
    if not given and hidden:
        yield unverified(hidden[0])
    elif not given:
        yield Finding("parameters", "have no cluster-enabled, must have it: yes")


@rule(
    "redis-logs",
    on=GROUP,
    severity=Severity.MEDIUM,
    why="Without them nobody sees which command blocked the others, or why a node failed over",
    remedy="Keep both logs (components/elasticache.py)",
    reference=f"{GUIDE}/Log_Delivery.html",
)
def logs(group: Resource) -> Iterator[Finding]:
    """Slow commands and the engine's own log are delivered."""
    path = "logDeliveryConfigurations"
    every = items(group, path)
    hidden = [where for where, log in every if look(log, "logType") is UNKNOWN]
    for kind in ("slow-log", "engine-log"):
        given = [(where, log) for where, log in every if look(log, "logType") == kind]
        for where, log in given:
            yield from judge(look(log, "destination"), f"{where}.destination", NAMED)
        if not given and hidden:
            yield unverified(hidden[0])
        elif not given:
            yield Finding(path, f"have no {kind}, must have it")


@rule(
    "redis-change-window",
    on=GROUP,
    severity=Severity.MEDIUM,
    why="A change that restarts nodes would do so at once, and security fixes would never come",
    remedy="Keep apply_immediately false, the window and minor upgrades (components/elasticache.py)",
    reference=f"{GUIDE}/maintenance-window.html",
)
def change_window(group: Resource) -> Iterator[Finding]:
    """Changes wait for a window, in which minor versions are upgraded."""
    yield from must(group, "applyImmediately", FALSE)
    yield from must(group, "maintenanceWindow", NAMED)
    yield from must(group, "autoMinorVersionUpgrade", TRUE)
