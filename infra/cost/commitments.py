"""What is committed to for one or three years, and what that makes of an estimate at list price.

A commitment is paid whether it is used or not. So each one that covers a line makes three of it: the hours that it
covers, at its saving; the hours beyond it, at list price; and, where less may run than was committed to, the hours that
are paid for and not used. The first two are together what the line was.

Storage, requests and transfer are never covered, nor is what has a factor already (Spot): no commitment of AWS does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field, StringConstraints

from infra.cost.model import Estimate, Line, Range, total
from stacks.stack_file import Fault, StackFile, StackFileError, Strict

DEFAULT: Final = Path(__file__).resolve().parents[2] / "stacks" / "commitments.yaml"

Kind = Literal["compute_savings_plan", "ec2_reserved", "rds_reserved", "elasticache_reserved", "opensearch_reserved"]
Payment = Literal["all_upfront", "partial_upfront", "no_upfront"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Instances = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(\.[a-z0-9-]+)*$")]


class Scope(NamedTuple):
    """What a kind of commitment covers.

    Attributes:
        service: AWS's service code.
        prefix: How the skus of its instance hours begin.
        words: What AWS calls it.
    """

    service: str
    prefix: str
    words: str


SCOPES: Final[Mapping[Kind, Scope]] = {
    # Savings Plans user guide, "Savings Plans types": EC2, Fargate and Lambda, whatever the family, size and region.
    "compute_savings_plan": Scope("AmazonEC2", "instance:", "Compute Savings Plan"),
    # EC2 user guide, "Reserved Instances".
    "ec2_reserved": Scope("AmazonEC2", "instance:", "reserved instances"),
    # RDS user guide, "Reserved DB instances": the instance, both copies of a Multi-AZ one included, and no storage.
    "rds_reserved": Scope("AmazonRDS", "instance:", "reserved DB instances"),
    # ElastiCache user guide, "Reserved nodes".
    "elasticache_reserved": Scope("AmazonElastiCache", "node:", "reserved nodes"),
    # OpenSearch Service API, `ReservedInstanceOffering`: data, master and UltraWarm node types.
    "opensearch_reserved": Scope("AmazonES", "instance:", "Reserved Instances"),
}

ASSUMED: Final[Mapping[int, tuple[Decimal, str]]] = {
    1: (Decimal("0.30"), "an assumption of this project for one year, not a quoted price"),
    3: (Decimal("0.50"), "the requirement's own assumption for three years (section 8), not a quoted price"),
}
"""The saving by years where the file gives none, and what it rests on."""

UPFRONT: Final[Mapping[Payment, Decimal]] = {
    "all_upfront": Decimal(1),
    # Savings Plans user guide, "Payment options": at least half.
    "partial_upfront": Decimal("0.5"),
    "no_upfront": Decimal(0),
}
"""How much of a commitment is paid on its first day."""


class Commitment(Strict):
    """One commitment, bought or intended."""

    name: Name = Field(description="what reports call it: small letters, digits and hyphens")
    kind: Kind = Field(description="what is bought")
    years: Literal[1, 3] = Field(description="its term, 1 or 3 years")
    payment: Payment = Field(description="when it is paid; monthly figures spread it evenly over the term")
    coverage: Decimal = Field(default=Decimal(1), gt=0, le=1, description="share of the hours that it covers, to 1")
    hours: Literal["min", "expected"] = Field(
        default="min", description="which hours that is a share of: those that always run, or those expected"
    )
    saving: Decimal | None = Field(
        default=None, ge=0, lt=1, description="what it takes off the list price, such as 0.5; needs a source"
    )
    source: str = Field(default="", description="where the saving is from, such as an offer of AWS with its date")
    stacks: tuple[str, ...] = Field(default=(), description="the stacks that it covers; all if there are none")
    instances: tuple[Instances, ...] = Field(
        default=(), description="the families or types that it covers, such as m7i or db.m7g.4xlarge; all if none"
    )
    ends: date | None = Field(default=None, description="its last day, as 2029-06-30, once it is bought")

    def _faults(self) -> Iterator[Fault]:
        if self.kind == "rds_reserved" and self.years == 3 and self.payment == "no_upfront":
            # RDS, "Reserved instances": no upfront is for one year only.
            yield Fault(
                "payment", "AWS offers no three years of RDS without upfront payment", "Write all_upfront or 1 year"
            )
        if (self.saving is None) != (not self.source):
            key, other = ("source", "saving") if self.saving is None else ("saving", "source")
            yield Fault(key, f"has no {other} beside it", "Give both, or none for the default assumption")

    @property
    def scope(self) -> Scope:
        """What its kind covers."""
        return SCOPES[self.kind]

    @property
    def takes_off(self) -> Decimal:
        """The saving, as a share of the list price."""
        return ASSUMED[self.years][0] if self.saving is None else self.saving

    @property
    def rests_on(self) -> str:
        """Where the saving is from."""
        return self.source or ASSUMED[self.years][1]

    def covers(self, line: Line) -> bool:
        """Whether it covers a line: instance hours of its kind at list price, in its stacks, of its types."""
        sku = line.price.sku
        return (
            line.price.service == self.scope.service
            and sku.startswith(self.scope.prefix)
            and line.price.unit == "Hrs"
            and line.factor == 1
            and self._within(line.stack, sku.split(":")[1])
        )

    def _within(self, stack: str, instance: str) -> bool:
        return (not self.stacks or stack in self.stacks) and (
            not self.instances or any(f"{instance}.".startswith(f"{one}.") for one in self.instances)
        )


class Discount(Strict):
    """A negotiated discount on everything, such as an Enterprise Discount Program."""

    percent: Decimal = Field(gt=0, lt=100, description="percent off every charge, after commitments")
    agreement: str = Field(min_length=3, description="the agreement that it is from")
    ends: date | None = Field(default=None, description="its last day, as 2029-06-30")


class Commitments(Strict):
    """Everything that takes something off list prices."""

    commitments: tuple[Commitment, ...] = Field(default=(), description="a list of commitments")
    discount: Discount | None = Field(default=None, description="a negotiated discount on everything")

    def _faults(self) -> Iterator[Fault]:
        first: dict[str, int] = {}
        for index, one in enumerate(self.commitments):
            if one.name in first:
                yield Fault(f"commitments.{index}.name", "is a name already", "Each commitment has its own")
            first.setdefault(one.name, index)
        yield from _twice(self.commitments)


def _twice(every: Sequence[Commitment]) -> Iterator[Fault]:
    """Commitments that pay for the same hours more than once."""
    for index, last in enumerate(every):
        same = [one for one in every[: index + 1] if one.scope.service == last.scope.service]
        # Whatever no commitment names is like everything else that none names.
        stacks = {"", *(stack for one in same for stack in one.stacks)}
        instances = {"", *(instance for one in same for instance in one.instances)}
        for stack, instance in sorted((stack, instance) for stack in stacks for instance in instances):
            covering = [one for one in same if one._within(stack, instance)]
            if last in covering and (share := sum((one.coverage for one in covering), start=Decimal(0))) > 1:
                of = " of ".join(filter(None, [instance or "everything", stack]))
                names = ", ".join(one.name for one in covering[:-1])
                yield Fault(
                    f"commitments.{index}.coverage",
                    f"together with {names} it covers {_percent(share)} of the hours of {of}, paid for twice",
                    "Lower a coverage, or give each its own stacks or instances",
                )
                break


NONE: Final = Commitments()
"""List price."""


def load(file: Path = DEFAULT, *, today: date | None = None) -> Commitments:
    """Read a file of commitments.

    Args:
        file: YAML with `commitments:` and `discount:`, each as its model says.
        today: The day on which they have to hold; the day of the clock if none is given.

    Raises:
        ConfigError: With file, line, key, value and remedy of everything that is wrong: an unknown kind, a term other
            than 1 or 3 years, a coverage above 1, hours that are paid for twice, one that has ended.
    """
    text = StackFile.read(file, whole=True)
    found = text.validated(Commitments)
    day = today or datetime.now(UTC).date()
    problems = []
    for index, one in enumerate(found.commitments):
        path = ("commitments", index, "ends")
        if one.ends and one.ends < day:
            problems.append(
                text.problem(path, f"is over on {day}", "Remove it, or renew it and write its new last day")
            )
        elif one.ends and one.ends.year > day.year + one.years:
            problems.append(text.problem(path, f"is more than {one.years} years from {day}", "Correct the day"))
    if found.discount and found.discount.ends and found.discount.ends < day:
        problems.append(text.problem(("discount", "ends"), f"is over on {day}", "Remove it, or write its new last day"))
    if problems:
        raise StackFileError(problems)
    return found


# What they make of an estimate


@dataclass(frozen=True)
class Covered:
    """What one commitment does to one line.

    Attributes:
        commitment: The commitment.
        line: The line at list price.
        hours: Hours of a month that are committed to, and paid in any case.
        used: How many of them run.
    """

    commitment: Commitment
    line: Line
    hours: Decimal
    used: Range

    @property
    def unused(self) -> Range:
        """Hours that are paid for and do not run."""
        return Range.of(self.hours) - self.used

    @property
    def usd(self) -> Decimal:
        """Dollars of an hour."""
        return self.line.price.usd * (1 - self.commitment.takes_off)

    @property
    def upfront(self) -> Decimal:
        """Dollars on the first day."""
        months = 12 * self.commitment.years
        return self.hours * self.usd * months * UPFRONT[self.commitment.payment]

    def lines(self) -> Iterator[Line]:
        """What stands on the bill for it: what is used, and what is not."""
        its, factor = self.commitment, 1 - self.commitment.takes_off
        term = "1 year" if its.years == 1 else f"{its.years} years"
        assumed = f"{_percent(its.takes_off)} less for {term}: {its.rests_on}"
        for quantity, what in (
            (self.used, f"{its.name}, {its.scope.words}"),
            (self.unused, f"{its.name}, committed and not used"),
        ):
            if quantity:
                yield replace(
                    self.line, what=f"{self.line.what} ({what})", quantity=quantity, factor=factor, assumed=assumed
                )


def covered(lines: Iterable[Line], commitments: Commitments) -> Iterator[tuple[Line, tuple[Covered, ...]]]:
    """Each line with what covers it, in the order of the file."""
    for line in lines:
        left, found = line.quantity, []
        for one in commitments.commitments:
            if one.covers(line):
                hours = one.coverage * (line.quantity.min if one.hours == "min" else line.quantity.expected)
                used = Range(min(left.min, hours), min(left.expected, hours), min(left.max, hours))
                left -= used
                found.append(Covered(one, line, hours, used))
        yield line, tuple(found)


def apply(estimate: Estimate, commitments: Commitments) -> Estimate:
    """An estimate with its commitments and discounts.

    Args:
        estimate: At list price.
        commitments: What is committed to. A coverage is a share of this estimate's own hours: what a change leaves
            committed to and without use is told by `infra.cost.change`.
    """
    lines: list[Line] = []
    for line, found in covered(estimate.lines, commitments):
        lines += (part for one in found for part in one.lines())
        rest = line.quantity - total(one.used for one in found)
        # A line of nothing stays as it is: it says that something is there.
        if rest or not found or not line.quantity:
            lines.append(replace(line, quantity=rest))
    if commitments.discount:
        lines = [_discounted(line, commitments.discount) for line in lines]
    return replace(estimate, lines=tuple(lines))


def _discounted(line: Line, discount: Discount) -> Line:
    said = f"{discount.percent:f}% less: {discount.agreement}"
    return replace(
        line,
        factor=line.factor * (1 - discount.percent / 100),
        assumed="; ".join(filter(None, [line.assumed, said])),
    )


def upfront(estimates: Iterable[Estimate], commitments: Commitments) -> Decimal:
    """Dollars that fall due on the first day of all commitments, of estimates at list price."""
    found = (one for estimate in estimates for _, each in covered(estimate.lines, commitments) for one in each)
    share = 1 - commitments.discount.percent / 100 if commitments.discount else Decimal(1)
    return sum((one.upfront for one in found), start=Decimal(0)) * share


def idle(estimates: Iterable[Estimate], commitments: Commitments) -> tuple[str, ...]:
    """Names of the commitments that cover nothing of these estimates at list price."""
    lines = [line for estimate in estimates for line in estimate.lines]
    return tuple(one.name for one in commitments.commitments if not any(map(one.covers, lines)))


def _percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f}%"
