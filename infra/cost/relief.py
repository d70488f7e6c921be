"""Whether the service costs what the requirement says, and if not, which demand makes that impossible.

Each demand is taken away by itself, and what the service costs without it is estimated anew. Then they are taken away
together, the dearest first, until the rest is inside, and those are put back that it does not take. Nothing here says
that one should go: it says what each costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from components.opensearch_plan import WARM_TYPES
from infra.cost.case import (
    CACHE,
    DOMAIN,
    GENERAL,
    GLOBAL_CACHE,
    INSTANCE,
    NODES,
    Case,
    Edit,
    Props,
    in_zones,
    pool_of,
)
from infra.cost.charts import money
from infra.cost.model import Range
from infra.cost.requirement import LEAST, MOST
from infra.cost.usage import Figures
from infra.plan import Change

FIREWALL: Final = "aws:wafv2/webAcl:WebAcl"
TESTS: Final = "aws:backup/restoreTestingPlan:RestoreTestingPlan"
TESTED: Final = "aws:backup/restoreTestingSelection:RestoreTestingSelection"

OURS: Final = "ours"
"""Instead of a section: nobody asked for it, we chose it."""


@dataclass(frozen=True)
class Demand:
    """Something that costs, and could be otherwise.

    Attributes:
        section: Of the requirement; `ours` for what we chose beyond it.
        asked: What is asked for.
        instead: What there would be without it.
        without: The service without it.
    """

    section: str
    asked: str
    instead: str
    without: Callable[[Case], Case]

    def __str__(self) -> str:
        whose = "our choice" if self.section == OURS else f"section {self.section}"
        return f"{self.asked} ({whose})"


@dataclass(frozen=True)
class Step:
    """A demand that is taken away.

    Attributes:
        demand: The demand.
        saves: Dollars of the expected month that go with it.
        left: Dollars of the expected month that are left.
    """

    demand: Demand
    saves: Decimal
    left: Decimal

    def as_json(self) -> dict[str, str]:
        """The form that `--json` prints."""
        return {
            "section": self.demand.section,
            "asked": self.demand.asked,
            "instead": self.demand.instead,
            "saves": f"{self.saves:.2f}",
            "left": f"{self.left:.2f}",
        }


@dataclass(frozen=True)
class Verdict:
    """Whether the service is inside, and what it would take.

    Attributes:
        monthly: Dollars in a month of all regions, with commitments.
        complete: Whether everything has a figure; if not, it is at least so much.
        regions: How many regions that is.
        alone: Each demand taken away by itself, the dearest first.
        together: As many as it takes, the dearest first; all there are if that is not enough.
        in_both: The same, with every region kept.
    """

    monthly: Range
    complete: bool
    regions: int
    alone: tuple[Step, ...] = ()
    together: tuple[Step, ...] = ()
    in_both: tuple[Step, ...] = ()

    @property
    def over(self) -> Decimal:
        """Dollars beyond the most; negative below it."""
        return self.monthly.expected - MOST

    @property
    def inside(self) -> bool:
        """Whether it is between the least and the most, and nothing is missing."""
        return self.complete and LEAST <= self.monthly.expected <= MOST

    @cached_property
    def text(self) -> str:
        """The verdict in sentences."""
        least = "" if self.complete else "at least "
        bounds = f"the {money(LEAST)} to {money(MOST)} of the requirement"
        said = (
            f"{self.regions} regions cost {least}{money(self.monthly.expected)} in an expected month with commitments"
        )
        if self.over <= 0:
            place = "inside" if self.monthly.expected >= LEAST else f"{money(LEAST - self.monthly.expected)} below"
            doubt = "" if self.complete else ", as far as is known"
            return f"{said}: {place} {bounds}{doubt}."
        parts = [f"{said}: {money(self.over)} above {bounds}."]
        if enough := [step for step in self.alone if step.left <= MOST]:
            which = " or ".join(f"{step.demand}, which costs {money(step.saves)}" for step in enough)
            parts.append(f"One demand alone makes it impossible: {which}.")
        else:
            parts.append("No demand alone makes it impossible.")
        if self.in_both:
            listed = "; ".join(f"{step.demand} {money(step.saves)}" for step in self.in_both)
            left = self.in_both[-1].left
            end = f"{money(left)} would be left"
            if left > MOST:
                end += f", still {money(left - MOST)} above"
            parts.append(f"With every region kept, all of these would have to go: {listed}; {end}.")
        return " ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "monthly": self.monthly.as_json(),
            "least": str(LEAST),
            "most": str(MOST),
            "over": f"{self.over:.2f}",
            "inside": self.inside,
            "complete": self.complete,
            "alone": [step.as_json() for step in self.alone],
            "together": [step.as_json() for step in self.together],
            "in_both": [step.as_json() for step in self.in_both],
            "text": self.text,
        }


def verdict(case: Case) -> Verdict:
    """Whether a service is inside what the requirement says that it costs.

    Args:
        case: The service as it is planned, with the commitments that the requirement allows.
    """
    whole = case.monthly
    complete, regions = not case.gaps, len(case.plans)
    if whole.expected <= MOST:
        return Verdict(whole, complete, regions)
    alone = []
    for demand in DEMANDS:
        left = demand.without(case).monthly.expected
        if left < whole.expected:
            alone.append(Step(demand, whole.expected - left, left))
    alone.sort(key=lambda step: -step.saves)
    demands = [step.demand for step in alone]
    here = [demand for demand in demands if demand is not SECOND_REGION]
    return Verdict(whole, complete, regions, tuple(alone), _until_inside(case, demands), _until_inside(case, here))


def _until_inside(case: Case, demands: Sequence[Demand]) -> tuple[Step, ...]:
    steps = _taken(case, demands)
    for step in sorted(steps, key=lambda one: one.saves):
        others = [one.demand for one in steps if one is not step]
        # Only what saves little can be put back: the rest need not be estimated again.
        if steps[-1].left + step.saves <= MOST and (fewer := _taken(case, others)) and fewer[-1].left <= MOST:
            return _until_inside(case, others)
    return steps


def _taken(case: Case, demands: Sequence[Demand]) -> tuple[Step, ...]:
    """Demands that are taken away one after the other, until the rest is inside."""
    steps: list[Step] = []
    left = case.monthly.expected
    for demand in demands:
        case = demand.without(case)
        before, left = left, case.monthly.expected
        # What one takes with it, another has no more to take.
        if left < before:
            steps.append(Step(demand, before - left, left))
        if left <= MOST:
            break
    return tuple(steps)


# What is asked for, and what there would be without it


def _of_domain(**changed: Any) -> Callable[[Case], Case]:
    return lambda case: case.domain(**changed)


def _of(type_: str, edit: Edit) -> Callable[[Case], Case]:
    return lambda case: case.edited(type_, edit)


def _fewer_copies(case: Case) -> Case:
    """Hot nodes for two copies of each shard instead of three."""
    counts = {plan.stack: _config(case, plan.stack)["instanceCount"] for plan in case.plans}
    return case.domain(instanceCount=lambda stack: in_zones(Decimal(str(counts[stack])) * 2 / 3))


def _fewer_warm(case: Case) -> Case:
    """As many warm nodes as what is in them needs."""

    def needed(stack: str) -> int:
        stored = case.usage.of(stack).search.warm_gb.expected
        return in_zones(stored / WARM_TYPES[_config(case, stack)["warmType"]])

    return case.domain(warmCount=needed)


def _config(case: Case, stack: str) -> Props:
    (domain,) = case.held(DOMAIN, stack)
    config: Props = domain.inputs["clusterConfig"]
    return config


def _no_replica(change: Change, stack: str) -> Props | None:
    return None if change.name.rpartition("-")[2].isdigit() else change.inputs


def _one_zone(change: Change, stack: str) -> Props:
    return {**change.inputs, "multiAz": False}


def _small_cache(case: Case) -> Case:
    small = "cache.r7g.large"

    def edit(key: str) -> Edit:
        return lambda change, stack: {**change.inputs, **({key: small} if key in change.inputs else {})}

    return case.edited(CACHE, edit("nodeType")).edited(GLOBAL_CACHE, edit("cacheNodeType")).peer(node_type=small)


def _least_nodes(change: Change, stack: str) -> Props:
    if pool_of(change) != GENERAL:
        return change.inputs
    scaling = change.inputs["scalingConfig"]
    return {**change.inputs, "scalingConfig": {**scaling, "desiredSize": scaling["minSize"]}}


def _monthly_tests(change: Change, stack: str) -> Props:
    return {**change.inputs, "scheduleExpression": "cron(0 12 1 * ? *)"}


def _no_bucket_backups(case: Case) -> Case:
    def edit(change: Change, stack: str) -> Props | None:
        return None if change.inputs.get("protectedResourceType") == "S3" else change.inputs

    def unused(figures: Figures) -> Figures:
        none = {"s3_gb": Range(), "s3_copies_gb": Range()}
        plans = {name: its.model_copy(update=none) for name, its in figures.backup.plans.items()}
        return figures.model_copy(update={"backup": figures.backup.model_copy(update={"plans": plans})})

    return case.edited(TESTED, edit).using(unused)


SECOND_REGION: Final = Demand(
    "2",
    "a full stack in a second region",
    "one region that answers all searches",
    lambda case: case.primary_alone(),
)

DEMANDS: Final = (
    SECOND_REGION,
    Demand(
        "1",
        "hot nodes of 16 cores",
        "as many r5.2xlarge of 8, as section 8 prices them",
        _of_domain(instanceType="r5.2xlarge.search"),
    ),
    Demand("1", "2 TB of disk on each hot node", "1 TB", _of_domain(volumeSize=1024, iops=3072)),
    Demand("1", "2 replicas of each shard", "1 replica, and two thirds of the hot nodes", _fewer_copies),
    Demand("1", "10 to 20 warm nodes", "as many as what is in them needs", _fewer_warm),
    Demand("1", "5 coordinating nodes", "none: data nodes route the searches", _of_domain(coordinators=0)),
    Demand("1", "3 read replicas of the database", "none", _of(INSTANCE, _no_replica)),
    Demand("7", "a standby of the database in another zone", "none", _of(INSTANCE, _one_zone)),
    Demand("1", "cache nodes of 16 GB", "r7g.large, with 13 GB as section 8's r5.large", _small_cache),
    Demand(
        "1",
        "brokers of 8 vCPU and 16 GB",
        "m7i.large, with 2 vCPU and 8 GB as section 8's m5.large",
        lambda case: case.nodes("brokers", instanceTypes=["m7i.large"]),
    ),
    Demand("8", "40 application nodes", "the least that autoscaling keeps", _of(NODES, _least_nodes)),
    Demand(OURS, "restore tests every week", "one a month", _of(TESTS, _monthly_tests)),
    Demand(OURS, "backups of documents beside their copy in the other region", "the copy alone", _no_bucket_backups),
    Demand(OURS, "a web firewall", "none", lambda case: case.without(FIREWALL)),
)
"""What costs and could be otherwise. The requirement asks for backups and for tests of them (section 6), and says
neither how often nor that objects are backed up, too."""
