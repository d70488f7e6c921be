"""What `docsearch cost` answers: the price of stacks, what it rests on, and how sure it is. As JSON and as CSV.

A figure is never more certain than what it is made of: without a price for everything, or with prices that are too old,
a statement is *incomplete*, whatever its budget says.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from components.errors import ConfigError
from infra.cost.model import CURRENCY, Confidence, Estimate, Gap, Line, Range, total

if TYPE_CHECKING:
    from infra.cost.budget import Reason
    from infra.cost.change import Difference
    from infra.cost.curve import Curve
    from infra.cost.levers import Lever
    from infra.cost.relief import Verdict
    from infra.cost.requirement import Row
    from infra.cost.workloads import Attribution

MAX_AGE_DAYS: Final = 90
"""Days after which a snapshot is stale: AWS changes list prices a few times a year, and mostly lowers them."""

GROUPINGS: Final = ("component", "service", "resource", "tag=KEY")

UNTAGGED: Final = "(no tag)"


class Status(StrEnum):
    """How a statement ended, the gravest first."""

    INCOMPLETE = "incomplete"
    OVER_BUDGET = "over budget"
    OK = "ok"


EXIT_CODES: Final = {Status.OK: 0, Status.OVER_BUDGET: 11, Status.INCOMPLETE: 12}
"""Those of `infra.errors`."""


@dataclass(frozen=True)
class Grouping:
    """What lines are added up by.

    Attributes:
        name: `component`, `service`, `resource` or `tag=KEY`.
        key: What a line is counted under.
    """

    name: str
    key: Callable[[Line], str]


def grouping(name: str) -> Grouping:
    """The grouping of a name.

    Raises:
        ConfigError: There is none of that name.
    """
    keys: dict[str, Callable[[Line], str]] = {
        "component": lambda line: line.component,
        "service": lambda line: line.price.service,
        "resource": lambda line: line.urn,
    }
    what, equals, tag = name.partition("=")
    if what == "tag" and equals and tag:
        return Grouping(name, lambda line: line.tags.get(tag, UNTAGGED))
    if name not in keys:
        raise ConfigError(
            f"--by {name}: there is no such grouping",
            remedy=f"Known: {', '.join(GROUPINGS)}, such as tag=owner",
        )
    return Grouping(name, keys[name])


@dataclass(frozen=True)
class Bill:
    """One stack's price.

    Attributes:
        listed: At list price.
        committed: With commitments and discounts; the same where there are none.
        over: Why its budget is not kept; empty if it is, or there is none.
        difference: What the change from a base makes of it; None without a base.
    """

    listed: Estimate
    committed: Estimate
    over: tuple[Reason, ...] = ()
    difference: Difference | None = None


@dataclass(frozen=True)
class Basis:
    """What the figures rest on.

    Attributes:
        day: Day of the price snapshot.
        age_days: How old it is.
        max_age_days: How old it may be.
        usage: The usage file.
        commitments: The commitments file; empty for list prices.
    """

    day: date
    age_days: int
    max_age_days: int = MAX_AGE_DAYS
    usage: str = ""
    commitments: str = ""

    @property
    def stale(self) -> bool:
        """Whether the prices are too old to be relied on, or of a day that has not come."""
        return not 0 <= self.age_days <= self.max_age_days

    @property
    def age(self) -> str:
        """Of which day the prices are, and how old that is."""
        if self.age_days < 0:
            return f"list prices of {self.day}, which has not come yet"
        limit = f", which is stale (limit {self.max_age_days})" if self.stale else ""
        return f"list prices of {self.day}, {self.age_days} days old{limit}"

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "snapshot_date": self.day.isoformat(),
            "snapshot_age_days": self.age_days,
            "stale": self.stale,
            "usage": self.usage,
            "commitments": self.commitments,
        }


@dataclass(frozen=True)
class Group:
    """Lines that were added up.

    Attributes:
        name: What they have in common.
        listed: Dollars in a month at list price.
        committed: With commitments.
    """

    name: str
    listed: Range
    committed: Range


@dataclass(frozen=True)
class Statement:
    """The price of one stack or several.

    Attributes:
        bills: Each stack, primary first.
        basis: What the figures rest on.
        over: Why the budget of all of them together is not kept.
        base: The commit that differences start from; empty without one.
        requirement: The requirement's own bill beside ours; None if nobody asked.
        verdict: Whether that is inside what the requirement says, and what keeps it from that; None if nobody asked.
        levers: What each way to save is worth; None if nobody asked.
        curve: What it costs at other sizes; None if nobody asked.
        workloads: Where the nodes of each stack go; None if nobody asked.
    """

    bills: tuple[Bill, ...]
    basis: Basis
    over: tuple[Reason, ...] = ()
    base: str = ""
    requirement: tuple[Row, ...] | None = None
    verdict: Verdict | None = None
    levers: tuple[Lever, ...] | None = None
    curve: Curve | None = None
    workloads: Mapping[str, Attribution] | None = None

    @property
    def listed(self) -> Range:
        """Dollars in a month at list price."""
        return total(bill.listed.monthly for bill in self.bills)

    @property
    def monthly(self) -> Range:
        """Dollars in a month with commitments: what is expected to be billed."""
        return total(bill.committed.monthly for bill in self.bills)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Everything that is billed, with commitments."""
        return tuple(line for bill in self.bills for line in bill.committed.lines)

    @property
    def unpriced(self) -> tuple[Gap, ...]:
        """What has no price."""
        return tuple(gap for bill in self.bills for gap in bill.listed.unpriced)

    @property
    def unknown(self) -> tuple[Gap, ...]:
        """What is not known before the update."""
        return tuple(gap for bill in self.bills for gap in bill.listed.unknown)

    @property
    def free(self) -> dict[str, str]:
        """Why a type costs nothing, by type token."""
        return {type_: why for bill in self.bills for type_, why in sorted(bill.listed.free.items())}

    @property
    def exceeded(self) -> tuple[Reason, ...]:
        """Why budgets are not kept."""
        return (*(reason for bill in self.bills for reason in bill.over), *self.over)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the figures are not the whole price; empty if they are."""
        found = []
        if self.unpriced:
            found.append(f"{len(self.unpriced)} unpriced")
        if self.unknown:
            found.append(f"{len(self.unknown)} unknown")
        if self.basis.stale:
            found.append(self.basis.age)
        return tuple(found)

    @property
    def status(self) -> Status:
        """How it ended."""
        if self.doubts:
            return Status.INCOMPLETE
        return Status.OVER_BUDGET if any(reason.over > 0 for reason in self.exceeded) else Status.OK

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.status]

    def by(self, its: Grouping) -> tuple[Group, ...]:
        """What lines add up to, the dearest first; together they are the whole."""
        listed = _sums((line for bill in self.bills for line in bill.listed.lines), its)
        committed = _sums(self.lines, its)
        groups = (
            Group(name, listed.get(name, Range()), committed.get(name, Range()))
            for name in dict.fromkeys([*listed, *committed])
        )
        return tuple(sorted(groups, key=lambda group: (-group.committed.expected, group.name)))

    @property
    def confidence(self) -> dict[Confidence, Range]:
        """How much of the month rests on prices of each confidence, the surest first."""
        found = _sums(self.lines, Grouping("confidence", lambda line: line.price.confidence.value))
        return {level: found.get(level.value, Range()) for level in Confidence}

    @property
    def prices(self) -> dict[Confidence, int]:
        """How many different prices of each confidence it is made of."""
        found = {line.price for line in self.lines}
        return {level: sum(price.confidence is level for price in found) for level in Confidence}

    @property
    def assumed(self) -> Range:
        """How much of the month is a list price times an assumed factor: commitments, Spot."""
        return total(line.monthly for line in self.lines if line.assumed)

    def share(self, part: Range) -> Decimal:
        """How much of the expected month a part is, as a share of 1."""
        whole = self.monthly.expected
        return part.expected / whole if whole else Decimal(0)

    def as_json(self, its: Grouping | None = None) -> dict[str, Any]:
        """The form that `--json` prints: docs/schemas/cost.json.

        Args:
            its: Another grouping than by component, in `groups`.
        """
        return {
            **self.summary_json(),
            "groups": _groups_json(its.name, self.by(its)) if its else None,
            "free": self.free,
            "base": self.base,
            "stacks": [_bill_json(bill) for bill in self.bills],
            "lines": [line_json(line) for line in self.lines],
            "requirement": None if self.requirement is None else [row.as_json() for row in self.requirement],
            "verdict": self.verdict.as_json() if self.verdict else None,
            "levers": None if self.levers is None else [lever.as_json() for lever in self.levers],
            "curve": self.curve.as_json() if self.curve else None,
            "workloads": None
            if self.workloads is None
            else [_nodes_json(stack, its) for stack, its in self.workloads.items()],
        }

    def summary_json(self) -> dict[str, Any]:
        """What `docsearch up --json` says of the price, too."""
        return {
            "status": self.status.value,
            "exit_code": self.exit_code,
            "currency": CURRENCY,
            "monthly": self.monthly.as_json(),
            "list": self.listed.as_json(),
            "components": {group.name: group.committed.as_json() for group in self.by(grouping("component"))},
            "unpriced": [gap.as_json() for gap in self.unpriced],
            "unknown": [gap.as_json() for gap in self.unknown],
            **self.basis.as_json(),
            "confidence": {
                level.value: {
                    "share": f"{self.share(part):.6f}",
                    "monthly": part.as_json(),
                    "prices": self.prices[level],
                }
                for level, part in self.confidence.items()
            },
            "assumed": {"share": f"{self.share(self.assumed):.6f}", "monthly": self.assumed.as_json()},
            "over_budget": [reason.as_json() for reason in self.exceeded],
        }

    def as_csv(self) -> str:
        """One row a line, with the source of its price."""
        text = io.StringIO()
        rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        rows.writeheader()
        rows.writerows(_flat(line_json(line)) for line in self.lines)
        return text.getvalue()


def _sums(lines: Iterable[Line], its: Grouping) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for line in lines:
        name = its.key(line)
        found[name] = found.get(name, Range()) + line.monthly
    return found


def _groups_json(name: str, groups: Iterable[Group]) -> dict[str, Any]:
    return {
        "by": name,
        "rows": [
            {"name": group.name, "monthly": group.committed.as_json(), "list": group.listed.as_json()}
            for group in groups
        ],
    }


def _bill_json(bill: Bill) -> dict[str, Any]:
    return {
        "stack": bill.listed.stack,
        "region": bill.listed.region,
        "monthly": bill.committed.monthly.as_json(),
        "list": bill.listed.monthly.as_json(),
        "over_budget": [reason.as_json() for reason in bill.over],
        "difference": difference_json(bill.difference) if bill.difference else None,
    }


def _nodes_json(stack: str, its: Attribution) -> dict[str, Any]:
    return {
        "stack": stack,
        "workloads": [
            {
                "urn": one.urn,
                "namespace": one.namespace,
                "name": one.name,
                "pool": one.pool,
                "replicas": one.replicas.as_json(),
                "cpu": one.cpu.as_json(),
                "memory_gib": one.memory_gib.as_json(),
                "monthly": one.monthly.as_json(),
            }
            for one in its.workloads
        ],
        "idle": {pool: dollars.as_json() for pool, dollars in its.idle.items()},
        "unplaced": [{"urn": urn, "why": why} for urn, why in its.unplaced],
    }


def difference_json(its: Difference) -> dict[str, Any]:
    """A difference, with what has no figure in it."""
    return {**its.as_json(), "gaps": [gap.as_json() for gap in its.gaps]}


def line_json(line: Line) -> dict[str, Any]:
    """A line, with its price and where that is from."""
    price = line.price
    return {
        "stack": line.stack,
        "component": line.component,
        "urn": line.urn,
        "type": line.type,
        "what": line.what,
        "monthly": line.monthly.as_json(),
        "quantity": line.quantity.as_json(),
        "unit": price.unit,
        "usd": format(price.usd, "f"),
        "factor": format(line.factor, "f"),
        "assumed": line.assumed,
        "usage": line.usage,
        "service": price.service,
        "sku": price.sku,
        "region": price.region,
        "confidence": price.confidence.value,
        "as_of": price.as_of,
        "source": price.source,
        "note": price.note,
    }


def _flat(row: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{name}_{end}": figure for end, figure in value.items()}
        else:
            found[name] = _inert(str(value))
    return found


def _inert(text: str) -> str:
    """Text in one line that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


COLUMNS: Final = (
    *("stack", "component", "urn", "type", "what", "monthly_min", "monthly_expected", "monthly_max"),
    *("quantity_min", "quantity_expected", "quantity_max", "unit", "usd", "factor", "assumed", "usage"),
    *("service", "sku", "region", "confidence", "as_of", "source", "note"),
)
"""Of the CSV: those of a line in the JSON document, a column for each bound."""
