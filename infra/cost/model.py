"""What an estimate is made of: figures with bounds, prices, charges, lines.

Amounts are US dollars in `Decimal`, never rounded before they are shown, so that the parts equal the whole at every
grouping. A month is 730 hours, as in AWS's own calculator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeVar

HOURS: Final = Decimal(730)
"""Hours of a month: 8,760 / 12, as AWS Pricing Calculator counts them."""

CURRENCY: Final = "USD"

K = TypeVar("K")


@dataclass(frozen=True)
class Range:
    """A figure at its least, as expected, and at its most.

    Attributes:
        min: With everything that scales at its lower bound.
        expected: As the plan and the usage file say.
        max: With everything that scales at its upper bound.
    """

    min: Decimal = Decimal(0)
    expected: Decimal = Decimal(0)
    max: Decimal = Decimal(0)

    @classmethod
    def of(cls, value: Decimal | int | str) -> Range:
        """The same figure in every case."""
        exact = Decimal(value)
        return cls(exact, exact, exact)

    def each(self, change: Callable[[Decimal], Decimal]) -> Range:
        """The same change to every figure."""
        return Range(change(self.min), change(self.expected), change(self.max))

    def __add__(self, other: Range) -> Range:
        return Range(self.min + other.min, self.expected + other.expected, self.max + other.max)

    def __sub__(self, other: Range) -> Range:
        """Case by case: the difference of two totals is the total of the differences."""
        return Range(self.min - other.min, self.expected - other.expected, self.max - other.max)

    def __mul__(self, other: Range | Decimal | int) -> Range:
        if isinstance(other, Range):
            return Range(self.min * other.min, self.expected * other.expected, self.max * other.max)
        return self.each(lambda value: value * other)

    def __bool__(self) -> bool:
        return any((self.min, self.expected, self.max))

    def as_json(self) -> dict[str, str]:
        """Exact, as text: a JSON number would be read as a binary fraction."""
        return {"min": _plain(self.min), "expected": _plain(self.expected), "max": _plain(self.max)}


def _plain(value: Decimal) -> str:
    return format(value.normalize() + 0, "f")


def total(figures: Iterable[Range]) -> Range:
    """The sum."""
    return sum(figures, start=Range())


class Confidence(StrEnum):
    """How far a price can be trusted, the surest first."""

    EXACT = "source-exact"
    DERIVED = "derived"
    RECALLED = "recalled"


@dataclass(frozen=True)
class Price:
    """One list price, on demand, before taxes.

    Attributes:
        service: AWS's service code, such as `AmazonRDS`.
        sku: What it is for, within the service, such as `instance:db.m7g.4xlarge:postgres:multi-az`.
        region: Region.
        unit: What it is per, such as `Hrs` or `GB-Mo`.
        usd: Dollars per unit.
        as_of: When it was read, `YYYY-MM` or `YYYY-MM-DD`; `unknown` where the source does not say.
        source: Where it was read.
        confidence: How far it can be trusted.
        note: Anything else that is worth knowing.
    """

    service: str
    sku: str
    region: str
    unit: str
    usd: Decimal
    as_of: str
    source: str
    confidence: Confidence
    note: str = ""


@dataclass(frozen=True)
class Charge:
    """What a pricer says that AWS bills for a resource, before a price is looked up.

    Attributes:
        what: For people, such as `hot nodes, 21 x m6g.4xlarge.search`.
        service: AWS's service code.
        sku: What it is, within the service; a family of tiers (`standard:storage`) is split by volume.
        quantity: Units in a month.
        usage: The key of the usage file that the quantity comes from; empty if the plan alone decides it.
        factor: What the list price is multiplied by, such as 0.30 for Spot.
        assumed: Why there is a factor, and where it is from; empty if there is none.
        region: Where it is billed; empty for the region of the stack. Data is billed in the region that it leaves.
    """

    what: str
    service: str
    sku: str
    quantity: Range
    usage: str = ""
    factor: Decimal = Decimal(1)
    assumed: str = ""
    region: str = ""


@dataclass(frozen=True)
class Line:
    """One charge with its price: what stands on the bill.

    Attributes:
        stack: The stack.
        urn: The resource.
        type: Its type token.
        component: The top-level component that it belongs to.
        what: For people.
        quantity: Units in a month.
        price: The list price of a unit.
        usage: The key of the usage file that the quantity comes from; empty if the plan alone decides it.
        factor: What the list price is multiplied by.
        assumed: Why there is a factor, and where it is from.
        tags: The tags of the resource, for `--by tag`.
    """

    stack: str
    urn: str
    type: str
    component: str
    what: str
    quantity: Range
    price: Price
    usage: str = ""
    factor: Decimal = Decimal(1)
    assumed: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def monthly(self) -> Range:
        """Dollars in a month."""
        return self.quantity * (self.price.usd * self.factor)


@dataclass(frozen=True)
class Gap:
    """What has no figure, and is never counted as zero.

    Attributes:
        stack: The stack.
        urn: The resource.
        type: Its type token.
        component: The top-level component that it belongs to.
        what: Which charge, value or type.
        why: Why there is no figure.
    """

    stack: str
    urn: str
    type: str
    component: str
    what: str
    why: str

    def as_json(self) -> dict[str, str]:
        """The form that `--json` prints."""
        return {
            "stack": self.stack,
            "urn": self.urn,
            "type": self.type,
            "component": self.component,
            "what": self.what,
            "why": self.why,
        }


@dataclass(frozen=True)
class Estimate:
    """What one stack costs in a month.

    Attributes:
        stack: The stack.
        region: Its region.
        lines: What is billed.
        unpriced: Charges and types that there is no price for.
        unknown: Values that are not known before the update.
        free: Why a type costs nothing, by type token, for the types that the plan holds.
        snapshot_date: Day of the price snapshot.
    """

    stack: str
    region: str
    lines: tuple[Line, ...]
    unpriced: tuple[Gap, ...] = ()
    unknown: tuple[Gap, ...] = ()
    free: Mapping[str, str] = field(default_factory=dict)
    snapshot_date: str = ""

    @property
    def monthly(self) -> Range:
        """The total."""
        return total(line.monthly for line in self.lines)

    @property
    def complete(self) -> bool:
        """Whether everything has a figure."""
        return not self.unpriced and not self.unknown

    def by(self, key: Callable[[Line], K]) -> dict[K, Range]:
        """Totals by anything that a line says, the dearest first; together they are the whole."""
        found: dict[K, Range] = {}
        for line in self.lines:
            found[key(line)] = found.get(key(line), Range()) + line.monthly
        return dict(sorted(found.items(), key=lambda item: -item[1].expected))

    @property
    def confidence(self) -> dict[Confidence, Range]:
        """How much of the total rests on prices of each confidence."""
        found = self.by(lambda line: line.price.confidence)
        return {level: found.get(level, Range()) for level in Confidence}


Props = Mapping[str, Any]
