"""The requirement's ways to save (section 8), each with and without, as the estimate has them.

A lever is two cases: the service as it is planned, and the same without the lever, or with it where the plan does not
count on it. What it saves is the difference of the two, beside what the requirement says that it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from infra.cost.case import (
    CACHE,
    DOMAIN,
    GENERAL,
    GLOBAL_CACHE,
    NODES,
    Case,
    Props,
    in_zones,
    pool_of,
)
from infra.cost.charts import money
from infra.cost.commitments import NONE
from infra.cost.model import Range, total
from infra.cost.usage import Figures
from infra.plan import Change

LIFECYCLE: Final = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"

USABLE: Final = Decimal("0.95") * Decimal("0.80")
"""Of a data node's disk, what is for indexes: 5% are the operating system's, 20% OpenSearch's own (developer guide,
"Calculating storage requirements")."""

COPIES: Final = 3
"""Of each hot shard: a primary and two replicas (section 1). Warm and cold storage are S3's, and need no replicas."""

LOAD_SAVED: Final = Decimal("0.60")
"""Of the search engine's load, what caching takes off (section 8: "Reduce Elasticsearch load by 60%")."""

OFF_PEAK: Final = Decimal("0.5")
"""Share of the hours in which the least number of nodes does. An assumption of this project: twelve hours a day."""


class Pair(NamedTuple):
    """The service with a lever and without it."""

    used: Case
    unused: Case


@dataclass(frozen=True)
class Way:
    """One of the requirement's ways to save.

    Attributes:
        name: Its name.
        claimed: What the requirement says of it, in its words.
        pair: The case with it and the case without it, of the service as it is planned.
        about: What differs between the two, from both.
        counted: Whether our total counts on it.
    """

    name: str
    claimed: str
    pair: Callable[[Case], Pair]
    about: Callable[[Pair], str]
    counted: bool = True


@dataclass(frozen=True)
class Lever:
    """What a way to save does.

    Attributes:
        way: The way.
        used: Dollars in a month with it, of all regions.
        unused: Dollars in a month without it.
        of: Dollars of what is there only without it.
        about: What differs.
    """

    way: Way
    used: Range
    unused: Range
    of: Range
    about: str

    @property
    def saves(self) -> Range:
        """Dollars in a month; negative where it costs more than it saves."""
        return self.unused - self.used

    @property
    def share(self) -> Decimal:
        """Of what is there only without it, what it saves in the expected month, as a share of 1."""
        return self.saves.expected / self.of.expected if self.of.expected else Decimal(0)

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "name": self.way.name,
            "claimed": self.way.claimed,
            "counted": self.way.counted,
            "with": self.used.as_json(),
            "without": self.unused.as_json(),
            "saves": self.saves.as_json(),
            "of": self.of.as_json(),
            "share": f"{self.share:.4f}",
            "about": self.about,
        }


def levers(case: Case) -> tuple[Lever, ...]:
    """Every lever of the requirement.

    Args:
        case: The service as it is planned, with its commitments.
    """
    return tuple(_lever(way, way.pair(case)) for way in WAYS)


def _lever(way: Way, pair: Pair) -> Lever:
    used, unused = (_charged(one) for one in pair)
    more = (dollars - used.get(key, Range()) for key, dollars in unused.items())
    of = total(its.each(lambda dollars: max(Decimal(0), dollars)) for its in more)
    return Lever(way, pair.used.monthly, pair.unused.monthly, of, way.about(pair))


def _charged(case: Case) -> dict[tuple[str, str, str, Decimal], Range]:
    """Dollars by what is charged for, and at which part of its list price."""
    found: dict[tuple[str, str, str, Decimal], Range] = {}
    for line in case.lines:
        key = line.stack, line.urn, line.price.sku, line.factor
        found[key] = found.get(key, Range()) + line.monthly
    return found


# Each with and without


def _reserved(case: Case) -> Pair:
    return Pair(case, case.under(NONE))


def _about_reserved(pair: Pair) -> str:
    terms = sorted({one.years for one in pair.used.commitments.commitments})
    if not terms:
        return "nothing is committed to"
    hours = total(line.monthly for line in pair.unused.lines if line.price.unit == "Hrs").expected
    saved = pair.unused.monthly.expected - pair.used.monthly.expected
    years = " and ".join(map(str, terms))
    return (
        f"commitments of {years} years on what always runs: {money(saved)} of the {money(hours)} that all hours cost; "
        "what autoscaling adds, Spot, storage and transfer are not covered"
    )


def _spot(case: Case) -> Pair:
    def edit(change: Change, stack: str) -> Props:
        return {**change.inputs, "capacityType": "ON_DEMAND"}

    return Pair(case, case.edited(NODES, edit))


def _about_spot(pair: Pair) -> str:
    groups = [one for one in pair.used.held(NODES) if one.inputs.get("capacityType") == "SPOT"]
    pools = ", ".join(sorted({pool_of(one) for one in groups}))
    nodes = sum(int(one.inputs["scalingConfig"]["desiredSize"]) for one in groups)
    return f"{nodes} nodes of {pools or 'no pool'} on Spot, in all regions; what they do can wait for a node"


def _indexes(case: Case) -> Pair:
    def hot(stack: str) -> int:
        figures, domain = case.usage.of(stack).search, _domain(case, stack)
        kept = (figures.warm_gb + figures.cold_gb).expected * COPIES / USABLE
        more = kept / Decimal(str(domain["ebsOptions"]["volumeSize"]))
        return in_zones(Decimal(str(domain["clusterConfig"]["instanceCount"])) + more)

    return Pair(case, case.domain(instanceCount=hot, warmCount=0))


def _about_indexes(pair: Pair) -> str:
    stacks = [plan.stack for plan in pair.used.plans]
    figures = [pair.used.usage.of(stack).search for stack in stacks]
    stored = sum((one.warm_gb + one.cold_gb).expected for one in figures) / 1024
    hot, more = (sum(_count(one, stack) for stack in stacks) for one in pair)
    return (
        f"{stored:,.0f} TiB of old indexes in warm and cold storage; on hot nodes, which keep {COPIES} copies on disks "
        f"of which {USABLE:.0%} is for indexes, they would take {more} nodes instead of {hot}"
    )


def _objects(case: Case) -> Pair:
    return Pair(case, case.without(LIFECYCLE))


def _about_objects(pair: Pair) -> str:
    figures = [pair.used.usage.of(plan.stack) for plan in pair.used.plans]
    stored = sum(bucket.stored_gb.expected for one in figures for bucket in one.buckets.values()) / 1024
    return f"{stored:,.0f} TiB of objects by age in cheaper classes of S3; without rules all of it would be in Standard"


def _caching(case: Case) -> Pair:
    def more(key: str) -> Callable[[str], int]:
        return lambda stack: in_zones(_held(case, stack, key) / (1 - LOAD_SAVED))

    def uncached(figures: Figures) -> Figures:
        load = figures.load.model_copy(update={"cache_hit_rate": Decimal(0)})
        return figures.model_copy(update={"load": load})

    bare = case.domain(instanceCount=more("instanceCount"), coordinators=more("coordinators"))
    return Pair(case, bare.without(CACHE, GLOBAL_CACHE).using(uncached))


def _about_caching(pair: Pair) -> str:
    stacks = [plan.stack for plan in pair.used.plans]
    hot, more = (sum(_count(one, stack) for stack in stacks) for one in pair)
    return (
        f"at the size that the plan is made for, caches that take {LOAD_SAVED:.0%} off the search engine's load; "
        f"without them it would take {more} hot nodes instead of {hot}, and as many more coordinators"
    )


def _off_peak(case: Case) -> Pair:
    averages = {
        one.name: Range(low, high * (1 - OFF_PEAK) + low * OFF_PEAK, most)
        for one in case.held(NODES)
        if pool_of(one) == GENERAL
        for low, high, most in [
            [Decimal(str(one.inputs["scalingConfig"][key])) for key in ("minSize", "desiredSize", "maxSize")]
        ]
    }

    def scaled(figures: Figures) -> Figures:
        nodes = {**averages, **figures.compute.nodes}
        return figures.model_copy(update={"compute": figures.compute.model_copy(update={"nodes": nodes})})

    return Pair(case.using(scaled), case)


def _about_off_peak(pair: Pair) -> str:
    groups = [one.inputs["scalingConfig"] for one in pair.unused.held(NODES) if pool_of(one) == GENERAL]
    high, low = (sum(int(scaling[key]) for scaling in groups) for key in ("desiredSize", "minSize"))
    return (
        f"{low} nodes instead of {high} for {OFF_PEAK:.0%} of the hours (an assumption); the estimate counts {high} in "
        "all hours, so that this comes on top"
    )


def _domain(case: Case, stack: str) -> Props:
    return next(one.inputs for one in case.held(DOMAIN, stack))


def _count(case: Case, stack: str) -> int:
    return int(_domain(case, stack)["clusterConfig"]["instanceCount"])


def _held(case: Case, stack: str, key: str) -> Decimal:
    config = _domain(case, stack)["clusterConfig"]
    if key != "coordinators":
        return Decimal(str(config[key]))
    counts = (one["nodeConfig"]["count"] for one in config["nodeOptions"] if one["nodeType"] == "coordinator")
    return Decimal(str(sum(counts)))


WAYS: Final = (
    Way("reserved instances", "3-year reserved instances: 50% savings, $15,000 a month", _reserved, _about_reserved),
    Way("Spot", "70% cost reduction on compute of indexing", _spot, _about_spot),
    Way("lifecycle of indexes", "old indices in S3: 90% storage savings", _indexes, _about_indexes),
    Way("lifecycle of objects", "compress inactive data, delete after 2 years", _objects, _about_objects),
    Way("caching", "reduces the search engine's load by 60%", _caching, _about_caching),
    Way("off-peak scaling", "scale down during off-peak hours", _off_peak, _about_off_peak, counted=False),
)
"""All of section 8's, in its order, those of the data's lifecycle in two."""
