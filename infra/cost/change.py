"""What a change does to the price: the month before and after, line by line, and what it costs once.

A difference is made of two estimates of one plan: of what was there before it, and of what is there after it. So at
every grouping the difference is that of the totals.

Two things are on no monthly bill. What holds data and is replaced runs twice while its data moves; and what was
committed to and is no longer there is paid on until its commitment ends.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeVar

from infra.cost.commitments import Commitment, Commitments, apply, covered
from infra.cost.estimate import estimate
from infra.cost.model import HOURS, Estimate, Gap, Line, Range, total
from infra.cost.prices import Snapshot
from infra.cost.usage import Usage
from infra.plan import Change, Plan
from infra.stateful import STATEFUL

K = TypeVar("K", bound=Hashable)

DOUBLE_RUNNING: Final = Range(Decimal(24), Decimal(72), Decimal(168))
"""Hours that a store and its replacement run side by side. An assumption of this project: a day to move the data, three
to move and compare it, a week until somebody dares to delete the old one."""

DOUBLE_RUNNING_ASSUMED: Final = "an assumption: a day to move the data, three to compare it, at most a week"


@dataclass(frozen=True)
class Shift:
    """What one resource is charged for one sku, where that differs.

    Attributes:
        urn: The resource.
        type: Its type token.
        component: The top-level component that it belongs to.
        service: AWS's service code.
        sku: What is charged.
        unit: What a quantity counts.
        was: What it was, for people; empty for what is added.
        now: What it is; empty for what is removed.
        quantity: Units in a month, the difference.
        monthly: Dollars in a month, the difference.
    """

    urn: str
    type: str
    component: str
    service: str
    sku: str
    unit: str
    was: str
    now: str
    quantity: Range
    monthly: Range

    @property
    def kind(self) -> str:
        """`added`, `removed` or `changed`."""
        if not self.was:
            return "added"
        return "changed" if self.now else "removed"

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "kind": self.kind,
            "urn": self.urn,
            "type": self.type,
            "component": self.component,
            "service": self.service,
            "sku": self.sku,
            "unit": self.unit,
            "was": self.was,
            "now": self.now,
            "quantity": self.quantity.as_json(),
            "monthly": self.monthly.as_json(),
        }


@dataclass(frozen=True)
class DoubleRunning:
    """What it costs once that a store is replaced: the old one runs on while its data moves to the new one.

    Attributes:
        urn: The resource.
        type: Its type token.
        component: The top-level component that it belongs to.
        why: What it holds, after "It".
        hours: How long both run.
        once: Dollars for that, at list price: a commitment pays for one of the two.
        assumed: Where the hours are from.
    """

    urn: str
    type: str
    component: str
    why: str
    hours: Range
    once: Range
    assumed: str = DOUBLE_RUNNING_ASSUMED

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "urn": self.urn,
            "type": self.type,
            "component": self.component,
            "why": self.why,
            "hours": self.hours.as_json(),
            "once": self.once.as_json(),
            "assumed": self.assumed,
        }


@dataclass(frozen=True)
class Stranded:
    """What a change leaves committed to and without use. It is in no estimate, and is paid until the commitment ends.

    Attributes:
        commitment: Name of the commitment.
        sku: What it was for; empty for a Savings Plan, which covers whatever runs.
        monthly: Dollars in a month.
        ends: Its last day.
    """

    commitment: str
    sku: str
    monthly: Decimal
    ends: date

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "commitment": self.commitment,
            "sku": self.sku,
            "monthly": format(self.monthly.normalize() + 0, "f"),
            "ends": self.ends.isoformat(),
        }


@dataclass(frozen=True)
class Difference:
    """What a change does to the price of one stack.

    Attributes:
        before: The month before it, with commitments.
        after: The month after it, with commitments.
        replaced: What runs twice for a while.
        stranded: What is paid on without use.
    """

    before: Estimate
    after: Estimate
    replaced: tuple[DoubleRunning, ...] = ()
    stranded: tuple[Stranded, ...] = ()

    @property
    def monthly(self) -> Range:
        """Dollars in a month that the change adds; negative for what it saves."""
        return self.after.monthly - self.before.monthly

    @property
    def once(self) -> Range:
        """Dollars that the change costs once."""
        return total(one.once for one in self.replaced)

    def by(self, key: Callable[[Line], K]) -> dict[K, Range]:
        """The difference by anything that a line says, the greatest first, what stays the same included."""
        before, after = self.before.by(key), self.after.by(key)
        found = {name: after.get(name, Range()) - before.get(name, Range()) for name in (*before, *after)}
        return dict(sorted(found.items(), key=lambda item: -abs(item[1].expected)))

    @property
    def by_component(self) -> dict[str, Range]:
        """The difference by component."""
        return self.by(lambda line: line.component)

    @property
    def by_resource(self) -> dict[str, Range]:
        """The difference by URN."""
        return self.by(lambda line: line.urn)

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """What is charged otherwise than before, the greatest first; together they are the difference."""
        before, after = _charges(self.before.lines), _charges(self.after.lines)
        found = (_shift(before.get(key, ()), after.get(key, ())) for key in dict.fromkeys([*before, *after]))
        differing = [shift for shift in found if shift.monthly or shift.quantity or shift.kind != "changed"]
        return tuple(sorted(differing, key=lambda shift: -abs(shift.monthly.expected)))

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What has no figure, before or after: the difference is not whole then."""
        every = (gap for one in (self.before, self.after) for gap in (*one.unpriced, *one.unknown))
        return tuple(dict.fromkeys(every))

    @property
    def complete(self) -> bool:
        """Whether both ends of the difference have a figure for everything."""
        return not self.gaps

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "before": self.before.monthly.as_json(),
            "after": self.after.monthly.as_json(),
            "monthly": self.monthly.as_json(),
            "components": {name: its.as_json() for name, its in self.by_component.items() if its},
            "changes": [shift.as_json() for shift in self.shifts],
            "once": self.once.as_json(),
            "replaced": [one.as_json() for one in self.replaced],
            "stranded": [one.as_json() for one in self.stranded],
            "complete": self.complete,
        }


def difference(
    plan: Plan,
    snapshot: Snapshot,
    usage: Usage,
    commitments: Commitments,
    *,
    others: Iterable[Plan] = (),
    hours: Range = DOUBLE_RUNNING,
) -> Difference:
    """What a plan does to the price of its stack.

    Args:
        plan: What happens.
        snapshot: Prices.
        usage: What the plan cannot know; the same before and after.
        commitments: What is committed to.
        others: Plans of the other stacks.
        hours: How long a store and its replacement run side by side.

    Raises:
        ConfigError: The snapshot has no prices of the plan's region.
    """
    peers = tuple(others)
    before, after = (estimate(plan, snapshot, usage, before=was, others=peers) for was in (True, False))
    return between(plan, before, after, commitments, hours=hours)


def between(
    plan: Plan, before: Estimate, after: Estimate, commitments: Commitments, *, hours: Range = DOUBLE_RUNNING
) -> Difference:
    """The difference of two estimates of one plan.

    Args:
        plan: What happens.
        before: What was there, at list price.
        after: What will be there, at list price.
        commitments: What is committed to.
        hours: How long a store and its replacement run side by side.
    """
    return Difference(
        before=apply(before, commitments),
        after=apply(after, commitments),
        replaced=tuple(_twice(plan, before, hours)),
        stranded=tuple(_stranded(before, after, commitments)),
    )


# Line by line

Charges = Mapping[tuple[str, str, str], tuple[Line, ...]]
"""Lines by resource, service and sku: a commitment makes several of one."""


def _charges(lines: Iterable[Line]) -> Charges:
    found: dict[tuple[str, str, str], tuple[Line, ...]] = {}
    for line in lines:
        key = line.urn, line.price.service, line.price.sku
        found[key] = (*found.get(key, ()), line)
    return found


def _shift(before: tuple[Line, ...], after: tuple[Line, ...]) -> Shift:
    its = (after or before)[0]
    return Shift(
        urn=its.urn,
        type=its.type,
        component=its.component,
        service=its.price.service,
        sku=its.price.sku,
        unit=its.price.unit,
        was="; ".join(line.what for line in before),
        now="; ".join(line.what for line in after),
        quantity=total(line.quantity for line in after) - total(line.quantity for line in before),
        monthly=total(line.monthly for line in after) - total(line.monthly for line in before),
    )


# Replaced


def _twice(plan: Plan, before: Estimate, hours: Range) -> Iterator[DoubleRunning]:
    for change in plan.changes:
        if change.op == "replace" and (its := tuple(_standing(change, before))):
            yield DoubleRunning(
                urn=change.urn,
                type=change.type,
                component=its[0].component,
                why=STATEFUL[change.type],
                hours=hours,
                once=total(line.monthly for line in its) * hours.each(lambda value: value / HOURS),
            )


def _standing(change: Change, before: Estimate) -> Iterator[Line]:
    """What a store costs for as long as it is there; requests and transfer are paid once, whoever serves them."""
    if change.type in STATEFUL:
        for line in before.lines:
            if line.urn == change.urn and line.price.unit.endswith(("Hrs", "Mo")):
                yield line


# Committed to, and gone


def _stranded(before: Estimate, after: Estimate, commitments: Commitments) -> Iterator[Stranded]:
    was, now = _committed(before, commitments), _committed(after, commitments)
    for (its, sku), dollars in was.items():
        left = dollars - now.get((its, sku), Decimal(0))
        # What is not bought yet is bought for what is there.
        if its.ends and left > 0:
            yield Stranded(its.name, sku, left, its.ends)


def _committed(estimate: Estimate, commitments: Commitments) -> dict[tuple[Commitment, str], Decimal]:
    """Dollars in a month, by commitment and what it is bound to."""
    found: dict[tuple[Commitment, str], Decimal] = {}
    for line, each in covered(estimate.lines, commitments):
        for one in each:
            key = one.commitment, "" if one.commitment.kind == "compute_savings_plan" else line.price.sku
            found[key] = found.get(key, Decimal(0)) + one.hours * one.usd
    return found
