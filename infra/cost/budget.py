"""Budgets: what a month may cost, what one change may add, and whether that is exceeded.

The figure that is compared is the month at expected use, with commitments: what is expected to be billed. What has a
gap is never within a budget: nobody knows what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from components.errors import ConfigError
from infra.cost.charts import money
from infra.cost.model import CURRENCY, Estimate, Range, total

_AMOUNT: Final = re.compile(r"(?P<figure>-?[0-9.,_ ]*[0-9]) *(?P<currency>[^0-9\s.,_-]*)")
_FIGURE: Final = re.compile(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?")
MONTH: Final = "the month"
INCREASE: Final = "the increase"
"""What a budget limits."""

_REMEDY: Final = "Write it as `60000 USD`, without separators"


def parse(text: str, *, what: str) -> Decimal:
    """An amount of dollars, of text such as `60000 USD`.

    Args:
        text: The amount.
        what: Where it stands, for the error.

    Raises:
        ConfigError: It has no currency, another one, or is no amount.
    """
    said = f"{what} is {text!r}"
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ConfigError(said, why="it is no amount of money", remedy=_REMEDY)
    figure, currency = found["figure"], found["currency"]
    if not currency:
        raise ConfigError(said, why="it has no currency", remedy=_REMEDY)
    if currency != CURRENCY:
        why = f"list prices are in {CURRENCY}, and no rate of exchange is known here"
        raise ConfigError(said, why=why, remedy=f"Write it in {CURRENCY}, such as `60000 {CURRENCY}`")
    if figure.startswith("-"):
        raise ConfigError(said, why="it is negative", remedy="Write 0 or more; a change that saves is within any limit")
    if not _FIGURE.fullmatch(figure):
        raise ConfigError(said, why="its figure can be read in more than one way", remedy=_REMEDY)
    return Decimal(figure)


@dataclass(frozen=True)
class Reason:
    """Why a budget is not kept.

    Attributes:
        what: What is compared: `the month` or `the increase`.
        limit: Dollars that it may be.
        figure: Dollars that it is, as far as is known.
        missing: How many charges have no figure; 0 if the figure is whole.
        of: Whose it is: a stack's name, or several.
    """

    what: str
    limit: Decimal
    figure: Decimal
    missing: int = 0
    of: str = ""

    @property
    def over(self) -> Decimal:
        """Dollars beyond the limit; 0 or less where only what is missing keeps it from being within."""
        return self.figure - self.limit

    def __str__(self) -> str:
        who = f"{self.of}: " if self.of else ""
        least = "at least " if self.missing else ""
        said = f"{who}{self.what} is {least}{money(self.figure, 2)}"
        if self.over > 0:
            return f"{said}, {money(self.over, 2)} over its limit of {money(self.limit, 2)}"
        gaps = "1 charge has" if self.missing == 1 else f"{self.missing} charges have"
        return f"{said}, and {gaps} no figure: it may be over its limit of {money(self.limit, 2)}"

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "of": self.of,
            "what": self.what,
            "limit": format(self.limit, "f"),
            "figure": format(self.figure, "f"),
            "over": format(self.over, "f"),
            "missing": self.missing,
        }


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes:
        monthly: Dollars that a month may cost; None for no limit.
        increase: Dollars that one change may add to the month; None for no limit.
    """

    monthly: Decimal | None = None
    increase: Decimal | None = None

    @classmethod
    def of(cls, monthly: str | None = None, increase: str | None = None, *, where: str = "budget") -> Budget:
        """A budget of text, as a stack file or the command line gives it.

        Args:
            monthly: What a month may cost, such as `60000 USD`.
            increase: What one change may add to it.
            where: Where they stand, for the error.

        Raises:
            ConfigError: An amount without currency, in another one, or that is none.
        """
        most = None if monthly is None else parse(monthly, what=f"{where}: the month")
        if most == 0:
            raise ConfigError(
                f"{where}: the month is {monthly!r}",
                why="nothing that runs costs nothing",
                remedy="Write what it may cost; for no limit, leave it out",
            )
        return cls(most, None if increase is None else parse(increase, what=f"{where}: the increase"))

    def __bool__(self) -> bool:
        return self.monthly is not None or self.increase is not None


def exceeded(
    budget: Budget, estimates: Iterable[Estimate], *, before: Iterable[Estimate] | None = None, of: str = ""
) -> tuple[Reason, ...]:
    """Why a budget is not kept; nothing if it is.

    Args:
        budget: What may be spent.
        estimates: Of all that the budget is for, as it will be, with the commitments that hold.
        before: The same as it was; None where there is nothing to compare with, and then no increase is judged.
        of: Whose budget it is, for the text.
    """
    after = tuple(estimates)
    found = []
    if budget.monthly is not None:
        found.append(Reason(MONTH, budget.monthly, _sum(after).expected, _missing(after), of))
    if budget.increase is not None and before is not None:
        was = tuple(before)
        added = _sum(after) - _sum(was)
        # What was not known before may be what is known now: neither end of the difference is sure.
        found.append(Reason(INCREASE, budget.increase, added.expected, _missing((*after, *was)), of))
    return tuple(reason for reason in found if reason.over > 0 or reason.missing)


def _sum(estimates: Iterable[Estimate]) -> Range:
    return total(one.monthly for one in estimates)


def _missing(estimates: Iterable[Estimate]) -> int:
    return sum(len(one.unpriced) + len(one.unknown) for one in estimates)
