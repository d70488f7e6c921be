"""How two regions differ, property by property, and why they may: every other difference is a mistake.

Places are compared as roles: region names, zones, the address block and the ids that AWS makes up are the same in both
once each is written as `<region>` and so on. A value that is not known before the update cannot be compared yet. What
remains must have a reason in `REASONS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Network
from typing import Any, Final

from infra.plan import UNKNOWN, Change, Plan

ABSENT: Final = "(absent)"

_ID: Final = re.compile(
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"  # certificates, health checks
    r"|(?<=\bdb-)[0-9A-Z]{26}\b"  # databases
    r"|(?<=[-/_])[0-9a-f]{7,17}(-[A-Za-z0-9]{6})?\b"  # EC2, load balancers; automatic names, and those of secrets
)
"""Ids that AWS makes up, and the suffixes of automatic names; a digest of an image is longer and stays."""

_ADDRESS: Final = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(/\d{1,2})?(?![\d.])")


@dataclass(frozen=True)
class Difference:
    """One property that differs between two regions.

    Attributes:
        resource: Type and logical name.
        path: Property path; empty when the whole resource is missing in one region.
        one, other: The values, as JSON.
        reason: Why that is so; empty when nobody said why.
    """

    resource: str
    path: str
    one: str
    other: str
    reason: str


@dataclass(frozen=True)
class Reason:
    """Why a difference is wanted.

    Attributes:
        resource: Pattern (as in a shell) of type and logical name.
        paths: Patterns of property paths; an empty one stands for a resource that only one region has.
        why: What a reader of the difference should know.
    """

    resource: str
    paths: tuple[str, ...]
    why: str


ONLY_HERE: Final = ("",)

REASONS: Final[tuple[Reason, ...]] = (
    Reason("pulumi:providers:aws aws", ("defaultTags*",), "Everything is tagged with its stack"),
    Reason("pulumi:providers:aws aws-peer", ONLY_HERE, "A standby sets on the primary's side what the primary cannot"),
    Reason("aws:kms/key:Key *", ONLY_HERE, "The primary holds the original keys"),
    Reason("aws:kms/replicaKey:ReplicaKey *", ONLY_HERE, "The standby holds replicas of the primary's keys"),
    Reason("random:*:RandomPassword secrets-*", ONLY_HERE, "The primary makes the secrets, the standby copies them"),
    Reason("aws:route53/zone:Zone domain", ONLY_HERE, "All regions answer in one zone, the primary's"),
    Reason("aws:route53/record:Record domain-*", ONLY_HERE, "What is said once for all regions, the primary says"),
    Reason("aws:route53/record:Record dns-write", ("failoverRoutingPolicies*",), "The primary takes writes first"),
    Reason(
        "aws:cloudwatch/metricAlarm:MetricAlarm dns-unhealthy",
        ("alarmActions*", "okActions*"),
        "Route 53 has its metrics in us-east-1 only, and an alarm reaches topics of its own region only",
    ),
    Reason("aws:* storage-*replication", ONLY_HERE, "The standby makes the primary's buckets copy into its own"),
    Reason("pulumi:providers:kubernetes kubernetes", ("kubeconfig",), "Each region has a cluster of its own"),
    Reason("aws:rds/instanceAutomatedBackupsReplication:*", ONLY_HERE, "The standby keeps the primary's backups, too"),
    Reason("* database-master", ONLY_HERE, "A replica has the users of its source"),
    Reason("aws:* database-replica-*", ONLY_HERE, "The cross-region replica serves the reads of the standby"),
    Reason("aws:rds/eventSubscription:*", ("sourceIds*",), "The primary has read replicas, the standby has none"),
    Reason(
        "kubernetes:core/v1:ConfigMap search",
        ("data.DATABASE_*", "data.CACHE_HOST", "data.OPENSEARCH_HOST"),
        "Each region reads from its own stores",
    ),
    Reason(
        "kubernetes:core/v1:ConfigMap search", ("data.DOCSEARCH_STANDBY_OF",), "A standby sends writes to its primary"
    ),
    Reason(
        "kubernetes:apps/v1:Deployment *", ("*.docsearch/settings",), "A digest of the settings, which hold addresses"
    ),
    Reason("kubernetes:batch/v1:Job *", ("*.docsearch/settings",), "A digest of the settings, which hold addresses"),
    Reason(
        "kubernetes:batch/v1:Job *", ("*.env*",), "The primary makes the schema; the standby looks whether it is there"
    ),
    Reason("aws:iam/rolePolicy:RolePolicy search-migrate", ("policy",), "The primary's is the owner of the database"),
    Reason("aws:cloudwatch/metricAlarm:MetricAlarm database-lag", ONLY_HERE, "Only a replica can lag"),
    Reason(
        "aws:rds/instance:Instance database",
        ("replicateSourceDb", "engine*", "allocatedStorage", "dbName", "username", "password"),
        "The standby's database is a replica: it has these from the primary's",
    ),
    Reason(
        "aws:rds/instance:Instance database",
        ("skipFinalSnapshot", "finalSnapshotIdentifier"),
        "RDS makes no final snapshot of a replica",
    ),
    Reason("aws:rds/instance:Instance database", ("maintenanceWindow",), "The standby is patched a day before"),
    Reason("aws:elasticache/*", ("maintenanceWindow",), "The standby is patched before the primary"),
    Reason("aws:opensearch/domain:Domain *", ("offPeakWindowOptions*",), "Night comes three hours later there"),
    Reason("aws:iam/serviceLinkedRole:*", ONLY_HERE, "The account has one such role, and the primary makes it"),
    Reason("aws:elasticache/globalReplicationGroup:*", ONLY_HERE, "The primary makes the datastore, standbys join it"),
    Reason("aws:elasticache/parameterGroup:*", ONLY_HERE, "A member of a datastore has the primary's parameters"),
    Reason(
        "aws:elasticache/replicationGroup:ReplicationGroup cache",
        ("clusterMode", "nodeType", "numNodeGroups", "engine*", "*Encryption*", "parameterGroupName", "global*"),
        "A member of a datastore has these from the primary's",
    ),
    Reason("aws:cloudwatch/metricAlarm:MetricAlarm cache-global-lag", ONLY_HERE, "Only a follower can lag"),
    Reason("aws:cloudwatch/metricAlarm:MetricAlarm opensearch-*", ONLY_HERE, "Only a follower can lag"),
    Reason("aws:opensearch/*Connection* *", ONLY_HERE, "The standby follows the primary's index"),
    Reason("aws:ecr/replicationConfiguration:*", ONLY_HERE, "The standby copies the primary's images"),
    Reason("aws:backup/* backup-copies", ONLY_HERE, "The standby keeps copies of the primary's backups"),
    Reason("aws:backup/* backup-*", ONLY_HERE, "A replica is backed up where its source is"),
    Reason("aws:cloudwatch/metricAlarm:MetricAlarm backup-none", ONLY_HERE, "Backups are made where the writes are"),
    Reason("aws:iam/rolePolicy:RolePolicy backup", ("policy",), "The standby also reads the primary's backups"),
)
"""Every wanted difference; `tests/infra/test_parity_regions.py` fails on one that is missing here, or here in vain."""


def compare(one: Plan, other: Plan) -> list[Difference]:
    """Every difference between two regions' plans, in the order of the first."""
    left, right = _resources(one), _resources(other)
    found = []
    for resource in [*left, *(resource for resource in right if resource not in left)]:
        if resource not in left or resource not in right:
            here, there = ("present" if resource in side else ABSENT for side in (left, right))
            found.append(Difference(resource, "", here, there, _reason(resource, "")))
            continue
        for path, a, b in _differences(left[resource], right[resource]):
            found.append(Difference(resource, path, _text(a), _text(b), _reason(resource, path)))
    return found


def _resources(plan: Plan) -> dict[str, Any]:
    block = _block(plan)

    def placed(match: re.Match[str]) -> str:
        """An address within the region's own block (a /16), without its first half."""
        try:
            inside = IPv4Network(match[0], strict=False).subnet_of(block)
        except ValueError:  # It only looked like one.
            return match[0]
        return f"<block>.{match[0].split('.', 2)[2]}" if inside else match[0]

    def neutral(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: neutral(item) for key, item in value.items() if key != "__defaults"}
        if isinstance(value, list):
            return [neutral(item) for item in value]
        if isinstance(value, str):
            if value == UNKNOWN:
                return value
            value = _ID.sub("<id>", value.replace(plan.region, "<region>"))
            return _ADDRESS.sub(placed, value)
        return value

    return {f"{change.type} {change.name}": neutral(change.inputs) for change in plan.changes if _compared(change)}


def _compared(change: Change) -> bool:
    # The stack itself, and how a standby refers to its primary's, are the engine's own.
    return change.op != "delete" and not change.type.startswith(("pulumi:pulumi:", "pulumi:providers:pulumi"))


def _block(plan: Plan) -> IPv4Network:
    for change in plan.changes:
        if change.type == "aws:ec2/vpc:Vpc" and change.inputs.get("cidrBlock"):
            return IPv4Network(change.inputs["cidrBlock"])
    return IPv4Network("255.255.255.255/32")


def _differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if UNKNOWN in (one, other):
        return
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in [*one, *(key for key in other if key not in one)]:
            inner = f"{path}.{key}" if path else key
            yield from _differences(one.get(key, ABSENT), other.get(key, ABSENT), inner)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(a, b, f"{path}[{index}]")
    elif one != other:
        yield path, one, other


def _reason(resource: str, path: str) -> str:
    for reason in REASONS:
        if fnmatchcase(resource, reason.resource) and any(fnmatchcase(path, pattern) for pattern in reason.paths):
            return reason.why
    return ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
