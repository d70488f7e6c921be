"""Small plans and a usage of nothing, for tests that price one thing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from infra.cost import prices, usage
from infra.cost.estimate import estimate
from infra.cost.model import Estimate, Range
from infra.cost.prices import Snapshot
from infra.cost.usage import BackupPlan, Bucket, Figures, Peer, Usage
from infra.plan import Change, Plan
from stacks.stack_file import Strict

REGION = "us-east-1"


@cache
def snapshot() -> Snapshot:
    """The project's own prices."""
    return prices.load()


@cache
def shipped() -> Usage:
    """The project's own usage."""
    return usage.load()


def _none(model: Strict) -> dict[str, Any]:
    """All figures of a group at zero, recursively; maps are empty."""
    found: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Strict):
            found[name] = value.model_copy(update=_none(value))
        else:
            found[name] = Range() if isinstance(value, Range) else {} if isinstance(value, Mapping) else value
    return found


@cache
def nothing() -> Figures:
    """Figures of a stack that nobody uses."""
    figures = shipped().all
    return figures.model_copy(update={**_none(figures), "peer": None})


def figures(**given: Any) -> Figures:
    """Figures of a stack that is used for nothing else than given: `traffic__nat_gb=100`, or a (min, expected, max)."""
    found = nothing()
    for path, value in given.items():
        found = _with(found, path.split("__"), _figure(value))
    return found


def _figure(value: Any) -> Any:
    if isinstance(value, tuple):
        return Range(*map(Decimal, value))
    return Range.of(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _with(model: Any, path: list[str], value: Any) -> Any:
    name, *rest = path
    if rest:
        inner = _with(getattr(model, name), rest, value)
    else:
        inner = value.expected if isinstance(getattr(model, name), Decimal) else value
    return model.model_copy(update={name: inner})


def bucket(**given: Any) -> Bucket:
    """A bucket that holds nothing else than given."""
    shares = {"small_share", "retrieved_share"}
    usual = {"kept_days": 365, "object_kb": 1024}
    whole: dict[str, Any] = {
        name: value if name == "kept_days" else Decimal(value) if name in shares else _figure(value)
        for name in Bucket.model_fields
        for value in [given.get(name, usual.get(name, 0))]
    }
    return Bucket.model_construct(**whole)


def backup_plan(**given: Any) -> BackupPlan:
    """A plan that keeps nothing else than given."""
    empty = {name: Range() for name in BackupPlan.model_fields if name != "runs_in"}
    return BackupPlan.model_construct(
        **{**empty, "runs_in": None, **{name: _figure(value) for name, value in given.items()}}
    )


def peer(region: str = "us-west-2") -> Peer:
    """Another region."""
    return Peer(region=region)


def made(type_: str, logical: str = "it", /, *, parent: str = "", **inputs: Any) -> Change:
    """A resource that is new."""
    return Change(f"urn:pulumi:prod::docsearch::{type_}::{logical}", type_, "create", inputs, parent=parent)


def plan_of(*changes: Change, stack: str = "prod", region: str = REGION) -> Plan:
    """A plan."""
    return Plan(stack, region, "mocks", changes)


def priced(
    *changes: Change, use: Figures | None = None, region: str = REGION, prices: Snapshot | None = None
) -> Estimate:
    """What resources cost that stand in a plan of their own."""
    return estimate(plan_of(*changes, region=region), prices or snapshot(), Usage(all=use or nothing()))
