"""What a plan is priced by: one snapshot of prices, one usage file, one file of commitments.

Every report of a price, whichever command prints it, is made from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from infra.cost import commitments as commitment
from infra.cost import prices as price
from infra.cost import usage as use
from infra.cost.budget import Budget, exceeded
from infra.cost.change import Difference, between
from infra.cost.commitments import Commitments
from infra.cost.estimate import estimate
from infra.cost.prices import Snapshot
from infra.cost.statement import MAX_AGE_DAYS, Basis, Bill, Statement
from infra.cost.usage import Usage
from infra.cost.workloads import Attribution, attribute
from infra.plan import Plan
from infra.program import PROJECT, read_config
from stacks.fleet import stack_file


@dataclass(frozen=True)
class Rates:
    """What plans are priced by.

    Attributes:
        snapshot: The prices.
        usage: What is used of what no plan says.
        commitments: What is taken off list prices.
        basis: The same for people: days and files.
    """

    snapshot: Snapshot
    usage: Usage
    commitments: Commitments
    basis: Basis

    @classmethod
    def load(
        cls,
        today: date,
        *,
        snapshot: Path | None = None,
        usage: Path | None = None,
        commitments: Path | None = commitment.DEFAULT,
        max_age_days: int = MAX_AGE_DAYS,
    ) -> Rates:
        """Read all three.

        Args:
            today: The day by which prices are old, and commitments over.
            snapshot: The prices; None for those that are shipped.
            usage: The usage file; None for that of the project.
            commitments: The commitments; None for list prices.
            max_age_days: How old prices may be.

        Raises:
            ConfigError: One of them is missing or malformed, or a commitment is over.
        """
        usage = usage or use.DEFAULT
        prices = price.load(snapshot or price.DEFAULT)
        used = use.load(usage)
        committed = commitment.NONE if commitments is None else commitment.load(commitments, today=today)
        basis = Basis(
            prices.day,
            prices.age(today),
            max_age_days,
            usage=_shown(usage),
            commitments="" if commitments is None else _shown(commitments),
        )
        return cls(prices, used, committed, basis)

    def difference(self, plan: Plan) -> Difference:
        """What a plan does to the price.

        Raises:
            ConfigError: There are no prices of its region.
        """
        before, after = (estimate(plan, self.snapshot, self.usage, before=was) for was in (True, False))
        return between(plan, before, after, self.commitments)

    def bill(self, plan: Plan, *, compare: bool = False, budget: Budget | None = None) -> Bill:
        """What a stack costs as its plan leaves it.

        Args:
            plan: The plan.
            compare: Whether what was there before is the base of a change: then an increase is judged, too.
            budget: Instead of the stack file's.

        Raises:
            ConfigError: There are no prices of its region.
        """
        listed = estimate(plan, self.snapshot, self.usage)
        committed = commitment.apply(listed, self.commitments)
        difference = self.difference(plan) if compare else None
        its = budget_of(plan.stack) if budget is None else budget
        before = [difference.before] if difference else None
        return Bill(listed, committed, exceeded(its, [committed], before=before, of=plan.stack), difference)

    def statement(self, plans: Sequence[Plan], *, base: str = "", budget: Budget | None = None) -> Statement:
        """What stacks cost as their plans leave them.

        Args:
            plans: Of each stack, primary first.
            base: The commit that the plans start from; empty if what is up now is of no interest.
            budget: Of all of them together, instead of those of the stack files.

        Raises:
            ConfigError: There are no prices of a region.
        """
        own = Budget() if budget else None
        bills = tuple(self.bill(plan, compare=bool(base), budget=own) for plan in plans)
        over = exceeded(budget, [bill.committed for bill in bills], of="together") if budget else ()
        return Statement(bills, self.basis, over, base)

    def workloads(self, plans: Sequence[Plan]) -> dict[str, Attribution]:
        """Where the nodes of each stack go, with commitments."""
        estimates = (commitment.apply(estimate(plan, self.snapshot, self.usage), self.commitments) for plan in plans)
        return {plan.stack: attribute(plan, its, self.usage) for plan, its in zip(plans, estimates, strict=True)}


def budget_of(stack: str) -> Budget:
    """What a stack file allows."""
    cost = read_config(stack).cost
    return Budget.of(cost.monthly_budget, cost.monthly_increase, where=f"{stack_file(PROJECT, stack).name}: cost")


def _shown(file: Path) -> str:
    file = file.absolute()
    return str(file.relative_to(PROJECT)) if file.is_relative_to(PROJECT) else str(file)
