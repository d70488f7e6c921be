"""What AWS Backup refuses and moto does not.

Sources: botocore's documentation of the operations, where nothing else is said. A value that is not known yet breaks no
rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props

_ERROR = "InvalidParameterValueException"
_MAX_DAYS = 36500
_COLD_DAYS = 90
"""Least time in cold storage, days."""

_CONTINUOUS_DAYS = 35
_MAX_START_MINUTES = 52_560_000


def _number(props: Mapping[str, Any], name: str) -> int | None:
    value = props.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _name(props: Mapping[str, Any], pattern: str, *, property_: str = "name") -> Iterator[Failure]:
    value = props.get(property_)
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield Failure(property_, f"{_ERROR}: {property_} is '{value}', but must match {pattern}")


def vault_rules(props: Props) -> Iterator[Failure]:
    """Rules for one vault."""
    yield from _name(props, r"[a-zA-Z0-9\-\_]{2,50}")


def lock_rules(props: Props) -> Iterator[Failure]:
    """Rules for the lock of a vault."""
    least, most = _number(props, "minRetentionDays"), _number(props, "maxRetentionDays")
    if least is not None and least < 1:
        yield Failure("minRetentionDays", f"{_ERROR}: MinRetentionDays must be at least 1 day")
    if most is not None and most > _MAX_DAYS:
        yield Failure("maxRetentionDays", f"{_ERROR}: MaxRetentionDays cannot exceed {_MAX_DAYS} days")
    if least is not None and most is not None and least > most:
        yield Failure("minRetentionDays", f"{_ERROR}: MinRetentionDays cannot be greater than MaxRetentionDays")
    cooling = _number(props, "changeableForDays")
    if cooling is not None and not 3 <= cooling <= _MAX_DAYS:
        yield Failure("changeableForDays", f"{_ERROR}: ChangeableForDays must be from 3 to {_MAX_DAYS} days")


def plan_rules(props: Props) -> Iterator[Failure]:
    """Rules for one backup plan."""
    yield from _name(props, r"[a-zA-Z0-9\-\_\.]{1,50}")
    rules = shapes.blocks(props, "rules")
    names = [rule["ruleName"] for rule in rules if isinstance(rule.get("ruleName"), str)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Failure("rules", f"{_ERROR}: Rule name '{name}' is used more than once")
    for rule in rules:
        yield from _rule(rule)


def _rule(rule: Mapping[str, Any]) -> Iterator[Failure]:
    for failure in _name(rule, r"[a-zA-Z0-9\-\_\.]{1,50}", property_="ruleName"):
        yield Failure("rules", failure.reason)
    start, end = _number(rule, "startWindow"), _number(rule, "completionWindow")
    if start is not None and not 60 <= start <= _MAX_START_MINUTES:
        yield Failure("rules", f"{_ERROR}: StartWindowMinutes is {start}, but must be 60 or more")
    # AWS counts the completion window from the scheduled time on (developer guide, "Creating a backup plan").
    if start is not None and end is not None and end < start + 60:
        yield Failure(
            "rules", f"{_ERROR}: CompletionWindowMinutes is {end}, but must be 60 minutes more than the start window"
        )
    schedule = rule.get("schedule")
    if isinstance(schedule, str):
        yield from _schedule(schedule, "rules")
    lifecycle = rule.get("lifecycle")
    yield from _lifecycle(lifecycle)
    if rule.get("enableContinuousBackup") is True:
        yield from _continuous(lifecycle if isinstance(lifecycle, Mapping) else {})
    for copy in shapes.blocks(rule, "copyActions"):
        yield from _lifecycle(copy.get("lifecycle"))


def _lifecycle(lifecycle: Any) -> Iterator[Failure]:
    if not isinstance(lifecycle, Mapping):
        return
    cold, gone = _number(lifecycle, "coldStorageAfter"), _number(lifecycle, "deleteAfter")
    for name, days in (("MoveToColdStorageAfterDays", cold), ("DeleteAfterDays", gone)):
        if days is not None and days != -1 and not 1 <= days <= _MAX_DAYS:
            yield Failure("rules", f"{_ERROR}: {name} is {days}, but must be from 1 to {_MAX_DAYS}")
    if cold is not None and gone is not None and -1 not in (cold, gone) and gone < cold + _COLD_DAYS:
        yield Failure(
            "rules",
            f"{_ERROR}: Invalid lifecycle. DeleteAfterDays must be at least {_COLD_DAYS} days more than "
            "MoveToColdStorageAfterDays",
        )


def _continuous(lifecycle: Mapping[str, Any]) -> Iterator[Failure]:
    # aws-cdk pull request 17602 quotes these.
    if "coldStorageAfter" in lifecycle:
        yield Failure("rules", f"{_ERROR}: MoveToColdStorageAfterDays is unavailable for continuous backups")
    if "deleteAfter" not in lifecycle:
        yield Failure("rules", f"{_ERROR}: Lifecycle must be specified for backup rule enabled continuous backup")
    days = _number(lifecycle, "deleteAfter")
    if days is not None and not 1 <= days <= _CONTINUOUS_DAYS:
        yield Failure(
            "rules", f"{_ERROR}: DeleteAfterDays of a continuous backup must be from 1 to {_CONTINUOUS_DAYS} days"
        )


def _schedule(expression: str, where: str) -> Iterator[Failure]:
    """An expression of six fields, one of the two days a question mark (EventBridge user guide, "Cron expressions")."""
    match = re.fullmatch(r"cron\((.+)\)", expression)
    fields = match[1].split() if match else []
    if len(fields) != 6 or (fields[2] == "?") == (fields[4] == "?"):
        yield Failure(where, f"{_ERROR}: Invalid cron expression: {expression}")
    elif "*" in fields[0] or "," in fields[0]:
        yield Failure(where, f"{_ERROR}: {expression}: backups can be as frequent as hourly")


def selection_rules(props: Props) -> Iterator[Failure]:
    """Rules for one selection."""
    yield from _name(props, r"[a-zA-Z0-9\-\_\.]{1,50}")
    if not any(props.get(name) for name in ("resources", "notResources", "selectionTags", "conditions")):
        yield Failure("resources", f"{_ERROR}: A selection needs resources, conditions or tags")
    for name in ("resources", "notResources"):
        arns = props.get(name)
        if not isinstance(arns, list):
            continue
        wild = [arn for arn in arns if isinstance(arn, str) and "*" in arn]
        if len(arns) > 500 or len(wild) > 30:
            yield Failure(name, f"{_ERROR}: {name} takes 500 ARNs, or 30 with wildcards")
        for arn in wild:
            if "*" in arn[:-1] and arn != "*" and not arn.endswith(":*"):
                yield Failure(name, f"{_ERROR}: {arn}: the asterisk must be at the end of the ARN")


def restore_plan_rules(props: Props) -> Iterator[Failure]:
    """Rules for one restore testing plan."""
    yield from _name(props, r"[a-zA-Z0-9_]{1,50}")
    yield from _between(props, "startWindowHours", 1, 168)
    schedule = props.get("scheduleExpression")
    if isinstance(schedule, str):
        yield from _schedule(schedule, "scheduleExpression")
    selection = props.get("recoveryPointSelection")
    if not isinstance(selection, Mapping):
        return
    for failure in _between(selection, "selectionWindowDays", 1, 365):
        yield Failure("recoveryPointSelection", failure.reason)
    for name in ("includeVaults", "recoveryPointTypes"):
        if selection.get(name) in (None, []):
            yield Failure("recoveryPointSelection", f"MissingParameterValueException: {name} must be given")


_TYPES = ("Aurora", "DocumentDB", "DynamoDB", "EBS", "EC2", "EFS", "FSx", "Neptune", "RDS", "S3")


def restore_selection_rules(props: Props) -> Iterator[Failure]:
    """Rules for one selection of a restore testing plan."""
    yield from _name(props, r"[a-zA-Z0-9_]{1,50}")
    yield from _between(props, "validationWindowHours", 0, 168)
    type_ = props.get("protectedResourceType")
    if isinstance(type_, str) and type_ not in _TYPES:
        yield Failure("protectedResourceType", f"{_ERROR}: {type_} is none of {', '.join(_TYPES)}")
    arns = props.get("protectedResourceArns")
    if isinstance(arns, list) and "*" in arns and len(arns) > 1:
        yield Failure("protectedResourceArns", f"{_ERROR}: either the wildcard or ARNs, not both")


def _between(props: Mapping[str, Any], name: str, least: int, most: int) -> Iterator[Failure]:
    value = _number(props, name)
    if value is not None and not least <= value <= most:
        yield Failure(name, f"{_ERROR}: {name} is {value}, but must be from {least} to {most}")
