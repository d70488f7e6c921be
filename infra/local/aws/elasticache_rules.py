"""What ElastiCache refuses and moto does not.

Source, where nothing else is said: botocore's documentation of CreateReplicationGroup, CreateUser, CreateUserGroup and
CreateCacheParameterGroup. A value that is not known yet breaks no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props

_VALUE, _COMBINATION = "InvalidParameterValue", "InvalidParameterCombination"

_VERSIONS = {
    "redis": ("4.0.10", "5.0.6", "6.0", "6.2", "7.0", "7.1"),
    "valkey": ("7.2", "8.0", "8.1", "8.2", "9.0", "9.1"),
}
"""What ElastiCache creates, as of cfn-lint 1.58."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _number(props: Mapping[str, Any], name: str) -> int | None:
    value = props.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def version_of(props: Mapping[str, Any]) -> tuple[int, ...]:
    """The engine version as numbers; empty where it is not known."""
    value = props.get("engineVersion")
    return tuple(map(int, re.findall(r"\d+", value))) if isinstance(value, str) else ()


def replication_group_rules(props: Props) -> Iterator[Failure]:
    """Rules for one replication group."""
    yield from _names(props)
    yield from _engine(props)
    yield from _shape(props)
    yield from _security(props)
    yield from _durability(props)
    yield from _windows(props)
    kinds = [str(block.get("logType")) for block in shapes.blocks(props, "logDeliveryConfigurations")]
    if len(kinds) != len({*kinds}):
        yield Failure(
            "logDeliveryConfigurations", f"{_VALUE}: each log type takes one delivery configuration: {', '.join(kinds)}"
        )


def _names(props: Props) -> Iterator[Failure]:
    for name in ("replicationGroupId", "finalSnapshotIdentifier"):
        value = props.get(name)
        longest = 40 if name == "replicationGroupId" else 255
        if isinstance(value, str) and not (
            re.fullmatch(r"(?!.*--)[a-zA-Z][a-zA-Z0-9-]*(?<!-)", value) and len(value) <= longest
        ):
            yield Failure(
                name,
                f"{_VALUE}: The parameter {name} is not a valid identifier: {value}. Identifiers begin with a letter, "
                f"have up to {longest} ASCII letters, digits and hyphens, and no two hyphens together or at the end.",
            )


def _engine(props: Props) -> Iterator[Failure]:
    engine, version, node = props.get("engine"), props.get("engineVersion"), props.get("nodeType")
    member = "globalReplicationGroupId" in props
    if not member and "nodeType" not in props:
        # The provider's own words.
        yield Failure("nodeType", '"node_type" is required unless "global_replication_group_id" is set.')
    if isinstance(engine, str) and isinstance(version, str) and version not in _VERSIONS.get(engine, (version,)):
        yield Failure("engineVersion", f"{_VALUE}: Cannot find version {version} for engine {engine}")
    if engine == "valkey" and "transitEncryptionEnabled" not in props:
        yield Failure(
            "transitEncryptionEnabled",
            f"{_COMBINATION}: TransitEncryptionEnabled must be given, as true or false, when the engine is valkey",
        )
    if isinstance(node, str):
        tiered, tiering = ".r6gd." in node, props.get("dataTieringEnabled")
        if tiered is not bool(tiering) and isinstance(tiering, bool | None):
            yield Failure(
                "dataTieringEnabled",
                f"{_COMBINATION}: Data tiering is required by r6gd node types, and supported by no other: {node}",
            )


def _shape(props: Props) -> Iterator[Failure]:
    shards, replicas = _number(props, "numNodeGroups"), _number(props, "replicasPerNodeGroup")
    mode, failover = props.get("clusterMode"), props.get("automaticFailoverEnabled", False)
    for name, value, least, most in (
        ("numNodeGroups", shards, 1, 500),
        ("replicasPerNodeGroup", replicas, 0, 5),
        ("snapshotRetentionLimit", _number(props, "snapshotRetentionLimit"), 0, 35),
        ("numCacheClusters", _number(props, "numCacheClusters"), 1, 6),
    ):
        if value is not None and not least <= value <= most:
            yield Failure(name, f"{_VALUE}: Invalid {name} {value}: must be from {least} to {most}")
    if (shards or 1) > 1 and mode == "disabled":
        yield Failure("clusterMode", f"{_COMBINATION}: More than one shard is for clusters in cluster mode only")
    if (mode == "enabled" or (shards or 1) > 1) and failover is False:
        yield Failure(
            "automaticFailoverEnabled",
            f"{_COMBINATION}: AutomaticFailoverEnabled must be true for a cluster in cluster mode",
        )
    if props.get("multiAzEnabled") is True:
        if failover is False:
            # The provider's own words.
            yield Failure("multiAzEnabled", "automatic_failover_enabled must be true if multi_az_enabled is true")
        if replicas == 0:
            yield Failure("multiAzEnabled", f"{_COMBINATION}: Multi-AZ requires at least one replica in every shard")


def _security(props: Props) -> Iterator[Failure]:
    tls, member = props.get("transitEncryptionEnabled", False), "globalReplicationGroupId" in props
    groups = props.get("userGroupIds")
    if tls is False and not member:
        for name in ("authToken", "userGroupIds", "transitEncryptionMode"):
            if props.get(name):
                yield Failure(name, f"{_COMBINATION}: {name} requires in-transit encryption (TransitEncryptionEnabled)")
    if isinstance(groups, list) and len(groups) > 1:
        yield Failure("userGroupIds", f"{_VALUE}: A replication group takes one user group, not {len(groups)}")
    encrypted = props.get("atRestEncryptionEnabled", props.get("engine") == "valkey" or member)
    if props.get("kmsKeyId") and encrypted is False:
        yield Failure(
            "kmsKeyId", f"{_COMBINATION}: A KMS key can be given only with at-rest encryption (AtRestEncryptionEnabled)"
        )
    if tls is True and "subnetGroupName" not in props:
        yield Failure(
            "subnetGroupName", f"{_COMBINATION}: In-transit encryption requires a cache subnet group (CacheSubnetGroup)"
        )


def _durability(props: Props) -> Iterator[Failure]:
    """Source: user guide, "Durability: limitations"."""
    if props.get("durability") not in ("sync", "async"):
        return
    version = version_of(props)
    if "globalReplicationGroupId" in props:
        yield Failure("durability", f"{_COMBINATION}: Durability is not supported with global datastores")
    elif props.get("engine") != "valkey" or (version and version < (9,)):
        yield Failure("durability", f"{_COMBINATION}: Durability is supported on Valkey 9.0 or later")
    elif props.get("clusterMode") == "disabled" or props.get("multiAzEnabled") is False:
        yield Failure("durability", f"{_COMBINATION}: Durability requires cluster mode and Multi-AZ")


def _windows(props: Props) -> Iterator[Failure]:
    clock, day = r"([01]\d|2[0-3]):[0-5]\d", f"({'|'.join(_DAYS)})"
    for name, pattern, cycle in (
        ("snapshotWindow", f"{clock}-{clock}", 24 * 60),
        ("maintenanceWindow", f"{day}:{clock}-{day}:{clock}", 7 * 24 * 60),
    ):
        window = props.get(name)
        if not isinstance(window, str):
            continue
        if not re.fullmatch(pattern, window.lower()):
            yield Failure(name, f"{_VALUE}: {name} {window} is not in the expected format")
            continue
        start, end = (_minute(moment) for moment in window.lower().split("-"))
        if (end - start) % cycle < 60:
            yield Failure(name, f"{_VALUE}: {name} {window} is too short: it must last at least 60 minutes")


def _minute(moment: str) -> int:
    *day, hours, minutes = moment.split(":")
    return (_DAYS.index(day[0]) * 24 * 60 if day else 0) + int(hours) * 60 + int(minutes)


def user_rules(props: Props) -> Iterator[Failure]:
    """Rules for one user."""
    mode = props.get("authenticationMode")
    mode = mode if isinstance(mode, Mapping) else {}
    kind, id, name = mode.get("type"), props.get("userId"), props.get("userName")
    if kind == "iam" and isinstance(id, str) and isinstance(name, str) and id != name:
        yield Failure("userName", f"{_COMBINATION}: User Id and User name must be same for authentication type: iam")
    if props.get("engine") == "valkey" and (
        kind == "no-password-required" or (kind is None and props.get("noPasswordRequired") is True)
    ):
        yield Failure(
            "authenticationMode", f"{_COMBINATION}: no-password-required is not supported for users of engine valkey"
        )
    given = [*_texts(mode.get("passwords")), *_texts(props.get("passwords"))]
    if len(given) > 2:
        yield Failure("passwords", f"{_VALUE}: A user has at most 2 passwords")
    if any(not 16 <= len(password) <= 128 for password in given):
        yield Failure("passwords", f"{_VALUE}: Passwords length must be between 16-128 characters.")
    if given and kind in ("iam", "no-password-required"):
        yield Failure("passwords", f"{_COMBINATION}: Password field is not allowed with authentication type: {kind}")
    for field in ("userId", "userGroupId"):
        value = props.get(field)
        if isinstance(value, str) and not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", value):
            yield Failure(field, f"{_VALUE}: {field} {value} must be 1 to 40 lower-case letters, digits and hyphens")


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def user_group_rules(props: Props) -> Iterator[Failure]:
    """Rules for one user group."""
    users = props.get("userIds", [])
    if props.get("engine") == "redis" and users == []:
        yield Failure("userIds", "DefaultUserRequired: User group needs to contain a user with the user name default.")
    known = _texts(users)
    if len(known) != len({*known}):
        yield Failure("userIds", f"{_VALUE}: userIds contains duplicates: {', '.join(known)}")


def global_group_rules(props: Props) -> Iterator[Failure]:
    """Rules for one global datastore."""
    suffix = props.get("globalReplicationGroupIdSuffix")
    if isinstance(suffix, str) and not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]*(-[a-zA-Z0-9]+)*", suffix):
        yield Failure(
            "globalReplicationGroupIdSuffix",
            f"{_VALUE}: The parameter GlobalReplicationGroupIdSuffix is not a valid identifier: {suffix}",
        )
    node = props.get("cacheNodeType")
    if isinstance(node, str) and re.match(r"cache\.(t\d|[mr][1-4]\.|c1)", node):
        yield Failure(
            "cacheNodeType", f"{_VALUE}: Global datastores are not supported on {node}, only on M5, R5 and younger"
        )


_FIXED = ("appendonly", "appendfsync", "maxmemory", "maxclients")
"""Parameters that nobody can set (user guide, "Valkey and Redis OSS parameters")."""

_EVICTION = (
    *(f"{which}-{how}" for which in ("allkeys", "volatile") for how in ("lru", "lfu", "random")),
    "volatile-ttl",
    "noeviction",
)


def parameter_rules(props: Props) -> Iterator[Failure]:
    """Rules for one parameter group."""
    if str(props.get("name", "")).startswith("default"):
        yield Failure("name", f"{_VALUE}: names of parameter groups of one's own do not begin with default")
    for block in shapes.blocks(props, "parameters"):
        name, value = block.get("name"), block.get("value")
        if name in _FIXED:
            yield Failure("parameters", f"{_VALUE}: The parameter {name} cannot be modified.")
        if name == "maxmemory-policy" and isinstance(value, str) and value not in _EVICTION:
            yield Failure("parameters", f"{_VALUE}: {value} is no maxmemory-policy: {', '.join(_EVICTION)}")
        if name == "reserved-memory-percent" and str(value).isdigit() and int(str(value)) > 100:
            yield Failure("parameters", f"{_VALUE}: reserved-memory-percent {value} is not from 0 to 100")
