"""One check of a change: what it does to each stack, what the rules say, what it would destroy, what it costs.

The change is from a base commit to the files as they are here. The base is brought up on a local cloud of its own
(`infra.base`), and the plan of each stack is made against that, by the real engine and without credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import ConfigError, DocsearchError
from infra import base as bases
from infra import clouds
from infra.cache import Report
from infra.clouds import Cloud
from infra.cost.budget import Budget, Reason, exceeded
from infra.cost.change import Difference
from infra.cost.model import Range, total
from infra.cost.statement import Basis, difference_json
from infra.cost.table import plus
from infra.errors import InterruptedUpdateError
from infra.findings import Finding, rules
from infra.gate import Objection, judge, unknown_urns
from infra.plan import Plan
from infra.program import PROJECT, read_config
from policies.waivers import FILE, Waiver, WaiverError, read_waivers
from stacks.fleet import read_fleet

if TYPE_CHECKING:
    from infra.cost.rates import Rates
    from infra.deploy import Deployment, Judged


class Status(StrEnum):
    """How a check ended, the gravest first."""

    INCOMPLETE = "incomplete"
    POLICY = "policy"
    DESTRUCTIVE = "destructive"
    OVER_BUDGET = "over budget"
    OK = "ok"


EXIT_CODES: Final = {
    Status.OK: 0,
    Status.POLICY: 9,
    Status.DESTRUCTIVE: 10,
    Status.OVER_BUDGET: 11,
    Status.INCOMPLETE: 12,
}
"""Errors of the check itself have the codes of `infra.errors`, too."""


@dataclass(frozen=True)
class StackCheck:
    """One stack.

    Attributes:
        stack: Its name.
        region: Its region.
        plan: What would change; None if there is no plan.
        findings: What the rules say of it.
        objections: What the gate has against it.
        known: Identities of the findings that the base has already.
        failed: Why there is no plan, or no whole one; empty if there is.
        price: What the change does to the price; None if there is no plan, or no price.
        priceless: Why there is a plan and no price at all; empty if there is one.
        budget: What the stack may cost.
    """

    stack: str
    region: str
    plan: Plan | None = None
    findings: tuple[Finding, ...] = ()
    objections: tuple[Objection, ...] = ()
    known: frozenset[tuple[str, ...]] = frozenset()
    failed: str = ""
    price: Difference | None = None
    priceless: str = ""
    budget: Budget = field(default_factory=Budget)

    def is_new(self, finding: Finding) -> bool:
        """Whether the change introduces it."""
        return finding.identity not in self.known

    @property
    def over(self) -> tuple[Reason, ...]:
        """Why the budget is not kept, or nobody knows whether it is."""
        if self.price is None:
            return ()
        return exceeded(self.budget, [self.price.after], before=[self.price.before], of=self.stack)

    def introduces(self, reason: Reason) -> bool:
        """Whether a budget is not kept because of the change: what the base exceeds already is known."""
        if self.price is None:
            return False
        before = self.price.before
        if reason.over <= 0:
            return bool({*self.price.after.unpriced, *self.price.after.unknown} - {*before.unpriced, *before.unknown})
        was = exceeded(Budget(monthly=self.budget.monthly), [before])
        return reason.what not in {one.what for one in was if one.over > 0}


@dataclass(frozen=True)
class Check:
    """All stacks.

    Attributes:
        base: The commit that the change starts from.
        stacks: Each stack, primary first.
        new_only: Whether only what the change introduces can fail it.
        prices: What the prices rest on; None if nothing was priced.
    """

    base: str
    stacks: tuple[StackCheck, ...]
    new_only: bool = False
    prices: Basis | None = None

    @property
    def rules(self) -> int:
        """How many rules looked."""
        return len(rules())

    @property
    def resources(self) -> int:
        """How many resources they looked at."""
        return sum(len(one.plan.changes) for one in self.stacks if one.plan)

    def of_kind(self, kind: str) -> list[tuple[StackCheck, Finding]]:
        """Findings of a kind, with their stack."""
        return [(one, finding) for one in self.stacks for finding in one.findings if finding.kind == kind]

    @property
    def violations(self) -> list[tuple[StackCheck, Finding]]:
        """What breaks a rule, advice included."""
        return self.of_kind("violation")

    @property
    def blocking(self) -> list[tuple[StackCheck, Finding]]:
        """What stops the change because of a rule."""
        return [
            (one, finding)
            for one, finding in self.violations
            if finding.blocks and (one.is_new(finding) or not self.new_only)
        ]

    @property
    def objections(self) -> list[tuple[StackCheck, Objection]]:
        """What the gate stops: what no waiver allows."""
        return [(one, its) for one in self.stacks for its in one.objections if its.waiver is None]

    @property
    def budgets(self) -> list[tuple[StackCheck, Reason]]:
        """Budgets that are not kept, or may not be, and that count."""
        return [
            (one, reason) for one in self.stacks for reason in one.over if one.introduces(reason) or not self.new_only
        ]

    @property
    def over_budget(self) -> list[tuple[StackCheck, Reason]]:
        """What stops the change because of its price."""
        return [(one, reason) for one, reason in self.budgets if reason.over > 0]

    @property
    def unsure(self) -> list[str]:
        """Budgets of which nobody can say whether they are kept: a price without figures passes none."""
        said = [str(reason) for _, reason in self.budgets if reason.over <= 0]
        return said + [f"{one.stack}: {one.priceless}" for one in self.stacks if one.priceless and one.budget]

    @property
    def failed(self) -> list[StackCheck]:
        """Stacks without a whole plan."""
        return [one for one in self.stacks if one.failed]

    @property
    def added(self) -> Range | None:
        """Dollars in a month that the change adds, in all stacks; None if no stack has a price."""
        found = [one.price.monthly for one in self.stacks if one.price]
        return total(found) if found else None

    @property
    def status(self) -> Status:
        """How it ended."""
        if self.failed:
            return Status.INCOMPLETE
        if self.blocking:
            return Status.POLICY
        if self.objections:
            return Status.DESTRUCTIVE
        if self.over_budget:
            return Status.OVER_BUDGET
        # What is known to stop the change is said first: a price with a gap only keeps it from passing.
        return Status.INCOMPLETE if self.unsure else Status.OK

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.status]

    @property
    def summary(self) -> str:
        """One line."""
        parts = [
            _count(len(self.blocking), "finding"),
            _count(len(self.objections), "destructive change"),
            f"{self.rules} rules looked at {self.resources} resources of {_count(len(self.stacks), 'stack')}",
            f"{_count(len(self.of_kind('unverified')), 'value')} unverified",
        ]
        if advice := sum(not finding.severity.blocks for _, finding in self.violations):
            parts.insert(1, _count(advice, "piece") + " of advice")
        if waived := len(self.of_kind("waived")):
            parts.append(f"{waived} waived")
        if self.over_budget:
            parts.append(f"{_count(len(self.over_budget), 'budget')} exceeded")
        if self.unsure:
            parts.append(f"{_count(len(self.unsure), 'budget')} in doubt")
        if self.added is not None:
            doubt = "" if all(one.price.complete for one in self.stacks if one.price) else ", as far as is known"
            parts.append(f"{plus(self.added.expected)} a month{doubt}")
        return f"{self.status.value}: {', '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints: docs/schemas/check.json."""
        return {
            "status": self.status.value,
            "exit_code": self.exit_code,
            "base": self.base,
            "rules": self.rules,
            "resources": self.resources,
            "prices": self.prices.as_json() if self.prices else None,
            "stacks": [_stack_json(one) for one in self.stacks],
        }


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _stack_json(one: StackCheck) -> dict[str, Any]:
    def listed(kind: str) -> Iterable[dict[str, Any]]:
        return [{**finding.as_json(), "new": one.is_new(finding)} for finding in one.findings if finding.kind == kind]

    return {
        "stack": one.stack,
        "region": one.region,
        "failed": one.failed,
        "summary": one.plan.summary if one.plan else None,
        "findings": listed("violation"),
        "unverified": listed("unverified"),
        "waived": listed("waived"),
        "objections": [its.as_json() for its in one.objections],
        "price": difference_json(one.price) if one.price else None,
        "priceless": one.priceless,
        "over_budget": [{**reason.as_json(), "new": one.introduces(reason)} for reason in one.over],
    }


# Making one

Open = Callable[[str, Cloud], "AbstractContextManager[Deployment]"]
"""Opens a stack on a cloud, with live progress."""


def check(
    names: Sequence[str],
    base: str,
    opened: Open,
    *,
    whole: bool,
    new_only: bool,
    tell: Report,
    today: date,
    kept: bool = True,
) -> Check:
    """Check the change from a commit to what is here.

    Args:
        names: The stacks, primary first.
        base: The full id of the commit.
        opened: Opens a stack on a cloud.
        whole: Whether these are all stacks, so that waivers and stacks that nothing knows show.
        new_only: Whether only what the change introduces can fail it.
        tell: Takes lines of progress.
        today: Waivers hold until their day.
        kept: Whether a base that was kept will do.

    Raises:
        IncompleteError: The base cannot be brought up.
        ConfigError: The waivers cannot be used, or name what does not exist; or the prices, the usage file or the
            commitments cannot.
    """
    from infra.cost.rates import Rates  # noqa: PLC0415 - `up` needs waivers only

    waivers = usable_waivers(today)
    rates = Rates.load(today)
    with bases.running(base, kept=kept, tell=tell) as root:
        cloud = clouds.local(read_config(names[0]).account_id, root=root, tell=tell)
        found = [priced(_check(name, cloud, opened, waivers, today=today), rates) for name in names]
    if whole:
        found += [
            StackCheck(gone, "", failed=f"Pulumi.{gone}.yaml is gone: nothing would look after what {gone} holds")
            for gone in sorted(bases.stacks(base) - set(read_fleet(PROJECT)))
        ]
        plans = [one.plan for one in found if one.plan]
        if len(plans) == len(found) and (unknown := unknown_urns(plans, waivers)):
            raise ConfigError(
                f"{FILE.name} waives {unknown[0]}",
                why="no plan of a stack knows that URN",
                remedy="Correct it, or remove the waiver when what it allowed is done",
            )
    return Check(base, tuple(found), new_only, rates.basis)


def priced(one: StackCheck, rates: Rates) -> StackCheck:
    """A stack with what the change does to its price."""
    from infra.cost.rates import budget_of  # noqa: PLC0415

    if one.plan is None:
        return one
    budget = budget_of(one.stack)
    try:
        return replace(one, price=rates.difference(one.plan), budget=budget)
    except ConfigError as error:
        return replace(one, priceless=str(error), budget=budget)


def usable_waivers(today: date, file: Path = FILE) -> tuple[Waiver, ...]:
    """All waivers, none of which has expired.

    Raises:
        ConfigError: The file cannot be used, or holds one that has expired.
    """
    try:
        found = read_waivers(file, rules=list(rules()))
    except WaiverError as error:
        raise ConfigError(
            str(error), remedy="Correct it: each waiver has waives, urn, reason, owner, expires"
        ) from None
    for number, waiver in enumerate(found, 1):
        if waiver.expired(today):
            raise ConfigError(
                f"{file.name}: entry {number} expired on {waiver.expires}",
                why=f"{waiver.waives} was waived for {waiver.urn} until then",
                remedy=f"Ask {waiver.owner}: put it right, or say a new date and why",
            )
    return found


def _check(name: str, cloud: Cloud, opened: Open, waivers: Sequence[Waiver], *, today: date) -> StackCheck:
    config = read_config(name)
    try:
        judged, known = looked_at(name, cloud, opened)
    except InterruptedUpdateError:
        raise
    except DocsearchError as error:
        return StackCheck(name, config.region, failed=str(error))
    return StackCheck(
        name,
        config.region,
        judged.plan,
        judged.findings,
        judge(judged.plan, waivers, today=today),
        frozenset(finding.identity for finding in known),
    )


def looked_at(name: str, cloud: Cloud, opened: Open) -> tuple[Judged, Sequence[Finding]]:
    """What a change does to a stack of its base, what the rules say of it, and what they say of the base.

    Args:
        name: The stack.
        cloud: A cloud on which the base is up, and that is thrown away.
        opened: Opens a stack on a cloud.
    """
    _primary_first(read_config(name).peer, cloud, opened)
    with opened(name, cloud) as subject:
        judged = subject.judged()
        # Most changes break nothing, and then nobody asks what was broken before.
        known = subject.verify() if judged.findings or judged.stopped else ()
        if judged.stopped:
            # What is protected would not go. Here nothing is lost, and the rest of the plan is wanted, too.
            locked = subject.unprotect()
            judged = subject.judged()
            judged = replace(judged, plan=with_locks(judged.plan, locked))
    return judged, known


def with_locks(plan: Plan, locked: Collection[str]) -> Plan:
    """A plan from a state without locks, with those that the state had."""
    changes = (replace(change, protected_before=change.urn in locked) for change in plan.changes)
    return replace(plan, changes=tuple(changes))


def _primary_first(peer: str | None, cloud: Cloud, opened: Open) -> None:
    """Bring a standby's primary up where the change alters what regions tell each other, as it would be in earnest."""
    if peer is None:
        return
    from stacks.peer import check_outputs  # noqa: PLC0415 - brings the SDK

    with opened(peer, cloud) as primary:
        try:
            check_outputs(peer, primary.outputs())
        except ConfigError:
            primary.up()
