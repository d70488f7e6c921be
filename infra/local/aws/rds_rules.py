"""What RDS refuses and moto does not.

Source, where nothing else is said: botocore's documentation of CreateDBInstance and ModifyDBParameterGroup. A value
that is not known yet breaks no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props

_OPEN_SOURCE = ("postgres", "mysql", "mariadb")

_SIZES = {"gp2": (20, 65536), "gp3": (20, 65536), "io1": (100, 65536), "io2": (100, 65536), "standard": (5, 3072)}
"""Least and most storage by storage type, GiB."""

_GP3_BASELINE = 400
"""GiB from which on gp3 takes IOPS and throughput; below, RDS gives the baseline and refuses both."""

_ADVANCED_DAYS = 465
"""Least retention of Performance Insights under Database Insights "advanced", days."""

_INSIGHTS_DAYS = {7, 731, *(31 * months for months in range(1, 24))}


def _number(props: Mapping[str, Any], name: str) -> int | None:
    value = props.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def instance_rules(props: Props) -> Iterator[Failure]:
    """Rules for one instance."""
    yield from _names(props)
    yield from _origin(props)
    yield from _storage(props)
    yield from _insights(props)
    if props.get("multiAz") is True and props.get("availabilityZone"):
        yield Failure(
            "availabilityZone",
            "InvalidParameterCombination: Requesting a specific availability zone is not valid for Multi-AZ instances.",
        )
    for name, least, most in (("backupRetentionPeriod", 0, 35), ("port", 1150, 65535)):
        value = _number(props, name)
        if value is not None and not least <= value <= most:
            yield Failure(name, f"InvalidParameterValue: Invalid {name} {value}: must be from {least} to {most}")
    interval = _number(props, "monitoringInterval")
    if interval and not props.get("monitoringRoleArn"):
        yield Failure(
            "monitoringRoleArn",
            "InvalidParameterCombination: A MonitoringRoleARN value is required if you specify a MonitoringInterval "
            "value other than 0.",
        )
    if interval == 0 and props.get("monitoringRoleArn"):
        yield Failure(
            "monitoringInterval",
            "InvalidParameterCombination: You must specify a MonitoringInterval value other than 0 when you specify a "
            "MonitoringRoleARN value.",
        )


def _names(props: Props) -> Iterator[Failure]:
    for name in ("identifier", "finalSnapshotIdentifier"):
        value = props.get(name)
        if isinstance(value, str) and not re.fullmatch(r"(?!.*--)[a-zA-Z][a-zA-Z0-9-]{0,254}(?<!-)", value):
            yield Failure(
                name,
                f"InvalidParameterValue: The parameter {name} is not a valid identifier: {value}. Identifiers must "
                "begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a "
                "hyphen or contain two consecutive hyphens.",
            )
    identifier = props.get("identifier")
    if isinstance(identifier, str) and len(identifier) > 63:
        yield Failure("identifier", f"InvalidParameterValue: {identifier} has more than 63 characters")
    for name in ("password", "passwordWo"):
        secret = props.get(name)
        if isinstance(secret, str) and (len(secret) < 8 or re.search(r"[^!-~]|[/\"@]", secret)):
            yield Failure(
                name,
                "InvalidParameterValue: The parameter MasterUserPassword is not a valid password. At least 8 printable "
                "ASCII characters besides '/', '@', '\"', ' ' may be used.",
            )


def _origin(props: Props) -> Iterator[Failure]:
    """What a new instance must say, and what a replica must or must not."""
    source = props.get("replicateSourceDb")
    if source is None:
        if not props.get("snapshotIdentifier") and not props.get("restoreToPointInTime"):
            for name in ("allocatedStorage", "engine", "username"):
                if name not in props:
                    yield Failure(name, f'"{name}": required field is not set')
        return
    for name in ("password", "manageMasterUserPassword"):
        if props.get(name):
            yield Failure(name, f"InvalidParameterCombination: {name} cannot be given for a read replica")
    if props.get("finalSnapshotIdentifier"):
        yield Failure(
            "finalSnapshotIdentifier",
            "InvalidParameterCombination: FinalDBSnapshotIdentifier can not be specified when deleting a replica "
            "instance",
        )
    if (
        isinstance(source, str)
        and source.startswith("arn:")
        and props.get("storageEncrypted")
        and "kmsKeyId" not in props
    ):
        yield Failure(
            "kmsKeyId",
            "InvalidParameterCombination: Cannot create a cross region encrypted read replica without a KMS key of the "
            "destination region",
        )


def _storage(props: Props) -> Iterator[Failure]:
    size, kind, engine = _number(props, "allocatedStorage"), props.get("storageType"), props.get("engine")
    if size is None or not isinstance(kind, str):
        return
    least, most = _SIZES.get(kind, (0, 1 << 32))
    if not least <= size <= most:
        yield Failure(
            "allocatedStorage",
            f"InvalidParameterValue: Invalid storage size for engine name {engine} and storage type {kind}: {size}",
        )
    iops, throughput = _number(props, "iops"), _number(props, "storageThroughput")
    if kind == "gp3" and engine in _OPEN_SOURCE and size < _GP3_BASELINE and (iops or throughput):
        yield Failure(
            "iops" if iops else "storageThroughput",
            f"InvalidParameterCombination: You can't specify IOPS or storage throughput for engine {engine} and a "
            f"storage size less than {_GP3_BASELINE}.",
        )
    if kind == "io1" and iops and not 0.5 <= iops / size <= 50:
        yield Failure("iops", f"InvalidParameterValue: {iops} IOPS are not 0.5 to 50 per GiB of {size} GiB")
    if kind in ("gp2", "standard") and iops:
        yield Failure("iops", f"InvalidParameterCombination: Iops cannot be specified for storage type {kind}")
    if kind != "gp3" and throughput:
        yield Failure(
            "storageThroughput",
            f"InvalidParameterCombination: StorageThroughput cannot be specified for storage type {kind}",
        )
    largest = _number(props, "maxAllocatedStorage")
    if largest and largest < size:
        yield Failure(
            "maxAllocatedStorage", "InvalidParameterCombination: Max storage size must be greater than storage size"
        )


def _insights(props: Props) -> Iterator[Failure]:
    enabled, days = props.get("performanceInsightsEnabled"), _number(props, "performanceInsightsRetentionPeriod")
    if days is not None and days not in _INSIGHTS_DAYS:
        yield Failure(
            "performanceInsightsRetentionPeriod",
            f"InvalidParameterValue: Invalid Performance Insights retention period {days}. Valid values are 7, 731 and "
            "31 times a number of months from 1 to 23.",
        )
    if not enabled and (days or props.get("performanceInsightsKmsKeyId")):
        yield Failure(
            "performanceInsightsEnabled",
            "InvalidParameterCombination: To set Performance Insights parameters, enable Performance Insights.",
        )
    if props.get("databaseInsightsMode") == "advanced" and (not enabled or (days or 7) < _ADVANCED_DAYS):
        yield Failure(
            "databaseInsightsMode",
            "InvalidParameterCombination: To enable the Advanced mode of Database Insights, enable Performance "
            f"Insights and set its retention to at least {_ADVANCED_DAYS} days.",
        )


_STATIC = frozenset(
    """
    autovacuum_freeze_max_age autovacuum_multixact_freeze_max_age cluster_name hot_standby huge_pages jit_provider
    max_connections max_files_per_process max_locks_per_transaction max_logical_replication_workers
    max_pred_locks_per_transaction max_prepared_transactions max_replication_slots max_wal_senders max_worker_processes
    rds.logical_replication shared_buffers shared_preload_libraries superuser_reserved_connections
    track_activity_query_size track_commit_timestamp wal_buffers wal_level
    """.split()
)
"""Parameters of PostgreSQL that take effect when the server starts (PostgreSQL manual, `context` "postmaster")."""


def parameter_rules(props: Props) -> Iterator[Failure]:
    """Rules for one parameter group."""
    if not str(props.get("family", "")).startswith("postgres"):
        return
    for block in shapes.blocks(props, "parameters"):
        if block.get("name") in _STATIC and block.get("applyMethod", "immediate") == "immediate":
            yield Failure(
                "parameters",
                f"InvalidParameterCombination: cannot use immediate apply method for static parameter {block['name']}",
            )
