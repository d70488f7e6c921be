"""What a search and a document cost as the service grows, to a hundred times its size.

The smallest has 10 million documents and 1,000 searches a second; the largest is the requirement's, a billion and
100,000 (section 1, "Handling 100x Growth"), and that is what the plan is for. Smaller ones are the same service with
fewer and smaller instances: what each can carry is what the requirement's own sizes say that it carries at 100 times
(`RULES`). What is smaller keeps the shape: three zones with as much in each, three masters, a standby for each store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, NamedTuple

from components.errors import ArgsError
from components.opensearch_plan import MASTER_MEMORY, capacity
from infra.cost.case import (
    BROKERS,
    CACHE,
    DOMAIN,
    GENERAL,
    GLOBAL_CACHE,
    INSTANCE,
    NODES,
    ZONES,
    Case,
    Edit,
    Props,
    in_zones,
    pool_of,
)
from infra.cost.model import Range
from infra.cost.requirement import ASKED, NAMES, OTHER, OTHERS, Facts, service_name
from infra.cost.usage import SECONDS
from infra.plan import Change
from stacks.offers import INSTANCE_SIZES

SCALES: Final = (1, 10, 100)
LARGEST: Final = SCALES[-1]
"""The scale that the plan is for."""

DOCUMENTS, SEARCHES = 10_000_000, 1_000
"""Documents that are searched, and searches a second over all regions, at scale 1."""

MILLION: Final = Decimal(1_000_000)

HOT, WARM, COORDINATORS, BROKER_COUNT, REPLICAS = map(Decimal, (20, 10, 5, 5, 3))
"""Nodes at the largest scale (section 1)."""

APPLICATION: Final = Decimal(40)
"""Application instances at the largest scale (section 8)."""

LEAST_GIB, STRIPED_GIB = 20, 400
"""The smallest gp3 volume of a database, and the smallest of which IOPS and throughput can be provisioned (RDS user
guide, "gp3 storage")."""


class Rule(NamedTuple):
    """How one part of the service grows.

    Attributes:
        part: The part.
        grows_with: `searches`, `documents`, both, or `nothing`.
        carries: What one instance carries, and how it is stepped.
        source: Where that is from.
    """

    part: str
    grows_with: str
    carries: str
    source: str


_SECTION_1: Final = "the requirement's own sizes for a billion documents and 100,000 searches a second (section 1)"
_STEPS: Final = "the smallest size of which one in each of 3 zones suffices, then more of the plan's size, 3 at a time"
_VCPUS: Final = "an assumption: a size carries as much as it has virtual CPUs"

RULES: Final = (
    Rule(
        "hot nodes",
        "searches and documents",
        f"50 million documents and 5,000 searches a second on 16 vCPU; {_STEPS}",
        f"{_SECTION_1}: 20 of them; {_VCPUS}",
    ),
    Rule("disks of hot nodes", "documents", "2 TiB for 50 million documents, spread over the nodes", _SECTION_1),
    Rule("warm nodes", "documents", "100 million documents each, 3 at a time", f"{_SECTION_1}: 10 of them"),
    Rule(
        "coordinators",
        "searches",
        f"20,000 searches a second on 8 vCPU; {_STEPS}",
        f"{_SECTION_1}: 5 of them; {_VCPUS}",
    ),
    Rule("masters", "nothing", "3, larger with the number of other nodes", "OpenSearch guide, Dedicated master nodes"),
    Rule(
        "application nodes",
        "searches and documents",
        "one for 2,500 searches a second and 25 million documents, half each, 3 at a time",
        "the requirement's 40 instances (section 8), half for its 20 search pods and half for the other 20 (section 1)",
    ),
    Rule("indexing nodes", "documents", "one for a third of a billion documents, at least 1", "the plan's 3 on Spot"),
    Rule(
        "brokers",
        "documents",
        "200 million documents on 8 vCPU, of a size that suffices; at least the 3 of a quorum",
        f"{_SECTION_1}: 5 of them; {_VCPUS}",
    ),
    Rule(
        "database",
        "documents",
        "a billion documents on 16 vCPU and 1 TiB, the smallest size that suffices, twice for its standby",
        f"{_SECTION_1}; {_VCPUS}",
    ),
    Rule(
        "read replicas",
        "searches",
        "33,333 searches a second on 8 vCPU, the smallest size of which one suffices",
        f"{_SECTION_1}: 3 of them; {_VCPUS}",
    ),
    Rule(
        "cache",
        "searches",
        "78 GiB for 100,000 searches a second, in 3 shards of two nodes",
        "the plan's, whose memory per node is the requirement's (section 1); an assumption: as many answers are worth "
        "keeping as there are searches",
    ),
    Rule(
        "requests, data and logs",
        "searches or documents",
        "each figure of the usage file with what it grows with",
        "stacks/usage.yaml",
    ),
    Rule(
        "control plane, load balancer, gateways, endpoints, keys, alarms",
        "nothing",
        "as many as there are regions and zones",
        "the plan",
    ),
)
"""How every part grows, for whoever reads the curve."""


@dataclass(frozen=True)
class Point:
    """The service at one scale.

    Attributes:
        scale: How many times the smallest.
        case: The service.
    """

    scale: int
    case: Case

    @property
    def documents(self) -> int:
        """Documents that are searched."""
        return DOCUMENTS * self.scale

    @property
    def searches_per_second(self) -> int:
        """Searches a second, over all regions."""
        return SEARCHES * self.scale

    @cached_property
    def monthly(self) -> Range:
        """Dollars in a month of all regions, with commitments."""
        return self.case.monthly

    @property
    def per_million_searches(self) -> Decimal:
        """Dollars of the expected month for each million searches in it."""
        return self.monthly.expected / (self.searches_per_second * SECONDS / MILLION)

    @property
    def per_million_documents(self) -> Decimal:
        """Dollars of the expected month for each million documents that it holds."""
        return self.monthly.expected / (self.documents / MILLION)

    @cached_property
    def parts(self) -> Mapping[str, Decimal]:
        """Dollars of the expected month by line of the requirement's table, and by service where it has none.

        Together they are the whole.
        """
        facts = Facts(self.case)
        found = dict.fromkeys((*(asked.component for asked in ASKED), *NAMES.values(), OTHERS), Decimal(0))
        for line in self.case.lines:
            row = facts.row_of(line)
            part = service_name(line) if row == OTHER else row
            found[part] = found.get(part, Decimal(0)) + line.monthly.expected
        return found

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "scale": self.scale,
            "documents": self.documents,
            "searches_per_second": self.searches_per_second,
            "monthly": self.monthly.as_json(),
            "per_million_searches": f"{self.per_million_searches:.6f}",
            "per_million_documents": f"{self.per_million_documents:.6f}",
            "parts": {row: f"{dollars:.2f}" for row, dollars in self.parts.items()},
        }


class Growth(NamedTuple):
    """How something grows from one scale to the next.

    Attributes:
        before: The smaller scale.
        after: The larger scale.
        power: The power of the scale that its dollars grow with: 0 is fixed, 1 is linear.
    """

    before: int
    after: int
    power: Decimal

    @property
    def word(self) -> str:
        """`fixed`, `sub-linear`, `linear` or `more than linear`, to a twentieth of a power."""
        if self.power <= Decimal("0.05"):
            return "fixed"
        if self.power < Decimal("0.95"):
            return "sub-linear"
        return "linear" if self.power <= Decimal("1.05") else "more than linear"


@dataclass(frozen=True)
class Curve:
    """The service at every scale.

    Attributes:
        points: From the smallest to the largest.
    """

    points: tuple[Point, ...]

    @property
    def growth(self) -> tuple[Growth, ...]:
        """How the whole grows, from each scale to the next."""
        return self._growth([point.monthly.expected for point in self.points])

    @property
    def by_part(self) -> dict[str, tuple[Growth, ...]]:
        """How each part grows."""
        return {part: self._growth([point.parts[part] for point in self.points]) for part in self.points[0].parts}

    def _growth(self, dollars: Sequence[Decimal]) -> tuple[Growth, ...]:
        scales = [point.scale for point in self.points]
        return tuple(
            Growth(one, two, _power(one, two, *its))
            for (one, two), its in zip(pairwise(scales), pairwise(dollars), strict=True)
        )

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""

        def shown(growth: Sequence[Growth]) -> list[dict[str, Any]]:
            return [
                {"from": one.before, "to": one.after, "power": f"{one.power:.3f}", "is": one.word} for one in growth
            ]

        return {
            "points": [point.as_json() for point in self.points],
            "growth": shown(self.growth),
            "parts": {row: shown(growth) for row, growth in self.by_part.items()},
            "rules": [rule._asdict() for rule in RULES],
        }


def _power(small: int, large: int, before: Decimal, after: Decimal) -> Decimal:
    if not before or not after:
        return Decimal(0)
    return (after / before).log10() / (Decimal(large) / small).log10()


def curve(case: Case, scales: Sequence[int] = SCALES) -> Curve:
    """The service at every scale.

    Args:
        case: The service as it is planned, which is that of the largest scale.
        scales: How many times the smallest; at most the plan's own.
    """
    return Curve(tuple(Point(scale, sized(case, scale)) for scale in scales))


# The service at a scale


def sized(case: Case, scale: int) -> Case:
    """The service as it would be planned for a scale, and used at it.

    Args:
        case: The service as it is planned.
        scale: How many times the smallest, from 1 to 100.

    Raises:
        ArgsError: The plan is not for a service of that scale.
    """
    if not SCALES[0] <= scale <= LARGEST:
        raise ArgsError(
            f"scale is {scale}",
            why=f"the plan is for {LARGEST} times the smallest",
            remedy=f"Take one from {SCALES[0]} to {LARGEST}",
        )
    share = Decimal(scale) / LARGEST
    made = _search(case, share)
    made = _cluster(made, share)
    made = _database(made, share)
    made = _cache(made, share)
    stacks = [plan.stack for plan in case.plans]
    asked = sum((case.usage.of(stack).load.searches_per_second.expected for stack in stacks), start=Decimal(0))
    grown = made.usage.grown(searches=SEARCHES * scale / asked, documents=share)
    return Case(made.plans, made.snapshot, grown, made.commitments)


def _search(case: Case, share: Decimal) -> Case:
    def edit(change: Change, stack: str) -> Props:
        config, disks = dict(change.inputs["clusterConfig"]), dict(change.inputs["ebsOptions"])
        type_, planned = config["instanceType"], _exact(config["instanceCount"])
        small, hot = _in_zones(HOT * share, type_, _vcpus_of_search, part=1)
        warm = in_zones(WARM * share)
        config["nodeOptions"] = [_coordinating(option, share) for option in config["nodeOptions"]]
        others = hot + warm + sum(int(option["nodeConfig"]["count"]) for option in config["nodeOptions"])
        config |= {
            "instanceType": small,
            "instanceCount": hot,
            "warmCount": warm,
            "dedicatedMasterType": _master(config["dedicatedMasterType"], others),
        }
        return {**change.inputs, "clusterConfig": config, "ebsOptions": disks | _volume(disks, share * planned / hot)}

    return case.edited(DOMAIN, edit)


def _coordinating(option: Props, share: Decimal) -> Props:
    node = option["nodeConfig"]
    type_, count = _in_zones(COORDINATORS * share, node["type"], _vcpus_of_search, part=1)
    return {**option, "nodeConfig": {**node, "type": type_, "count": count}}


def _master(planned: str, others: int) -> str:
    memory = next(gib for most, gib in MASTER_MEMORY.items() if others <= most)
    return _fitting(Decimal(memory), _sizes(planned, lambda one: capacity(one).memory_gib, part=1), least=1)


def _volume(disks: Props, share: Decimal) -> dict[str, Any]:
    """A part of a volume, with at least what gp3 includes."""
    least = {"iops": 3000, "throughput": 125}
    size = {"volumeSize": _ceiling(_exact(disks["volumeSize"]) * share)}
    return size | {key: max(low, _ceiling(_exact(disks[key]) * share)) for key, low in least.items() if key in disks}


def _cluster(case: Case, share: Decimal) -> Case:
    desired = in_zones(APPLICATION * share)
    planned = _planned(case, "desiredSize")
    made = case.nodes(
        GENERAL,
        minSize=in_zones(_planned(case, "minSize") * desired / planned),
        desiredSize=desired,
        maxSize=in_zones(_planned(case, "maxSize") * desired / planned),
    )
    brokers = max(ZONES, _ceiling(BROKER_COUNT * share))

    def pools(change: Change, stack: str) -> Props:
        scaling = change.inputs["scalingConfig"]
        if pool_of(change) == "indexing":
            sizes = {key: _ceiling(_exact(value) * share) for key, value in scaling.items()}
            return {**change.inputs, "scalingConfig": sizes}
        if pool_of(change) != "brokers":
            return change.inputs
        (type_,) = change.inputs["instanceTypes"]
        sizes_of = _sizes(type_, lambda one: INSTANCE_SIZES[one].vcpus, part=1)
        need = BROKER_COUNT * share * sizes_of[type_]
        each = in_zones(Decimal(brokers)) // ZONES
        spare = _exact(scaling["maxSize"]) - _exact(scaling["desiredSize"])
        sizes = {"minSize": each, "desiredSize": each, "maxSize": each + int(spare)}
        return {
            **change.inputs,
            "instanceTypes": [_fitting(need, sizes_of, least=brokers)],
            "scalingConfig": sizes,
        }

    def queue(change: Change, stack: str) -> Props:
        spec = change.inputs["spec"]
        gib = _ceiling(Decimal(spec["persistence"]["storage"].removesuffix("Gi")) * share)
        return {
            **change.inputs,
            "spec": {**spec, "replicas": brokers, "persistence": {**spec["persistence"], "storage": f"{gib}Gi"}},
        }

    return made.edited(NODES, pools).edited(BROKERS, queue)


def _planned(case: Case, key: str) -> Decimal:
    """Of the general nodes of one stack: all have as many."""
    groups = [one.inputs["scalingConfig"] for one in case.held(NODES, case.plans[0].stack) if pool_of(one) == GENERAL]
    return sum((_exact(scaling[key]) for scaling in groups), start=Decimal(0))


def _database(case: Case, share: Decimal) -> Case:
    heads = [one for one in case.held(INSTANCE) if "allocatedStorage" in one.inputs]
    planned = _exact(heads[0].inputs["allocatedStorage"])
    gib = max(LEAST_GIB, _ceiling(planned * share))
    replicas = max(1, _ceiling(REPLICAS * share))

    def edit(change: Change, stack: str) -> Props | None:
        number = change.name.rpartition("-")[2]
        if number.isdigit() and int(number) > replicas:
            return None
        type_ = change.inputs["instanceClass"]
        sizes = _sizes(type_, lambda one: INSTANCE_SIZES[one].vcpus, part=2)
        need = sizes[type_] * share * (REPLICAS if number.isdigit() else 1)
        made = {**change.inputs, "instanceClass": _fitting(need, sizes, least=replicas if number.isdigit() else 1)}
        for key in ("allocatedStorage", "maxAllocatedStorage"):
            if key in made:
                made[key] = _ceiling(gib * _exact(made[key]) / planned)
        if gib < STRIPED_GIB:
            # Below, nothing can be provisioned: 3,000 IOPS and 125 MiB/s are what there is.
            made.pop("iops", None)
            made.pop("storageThroughput", None)
        return made

    return case.edited(INSTANCE, edit).peer(allocated_gib=gib)


def _cache(case: Case, share: Decimal) -> Case:
    types = {one.inputs["nodeType"] for one in case.held(CACHE) if "nodeType" in one.inputs}
    sizes = _sizes(max(types), lambda one: INSTANCE_SIZES[one].memory_gib, part=2)
    type_ = _fitting(max(sizes.values()) * share, sizes, least=1)

    def edit(key: str) -> Edit:
        return lambda change, stack: {**change.inputs, **({key: type_} if key in change.inputs else {})}

    made = case.edited(CACHE, edit("nodeType")).edited(GLOBAL_CACHE, edit("cacheNodeType"))
    return made.peer(node_type=type_)


# What fits


def _exact(value: Any) -> Decimal:
    return Decimal(str(value))


def _ceiling(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


def _vcpus_of_search(type_: str) -> float:
    return capacity(type_).vcpus


def _in_zones(instances: Decimal, planned: str, size: Callable[[str], float], *, part: int) -> tuple[str, int]:
    """The type and number that carry as much as some instances of the planned type, as many in each zone."""
    sizes = _sizes(planned, size, part=part)
    need = instances * sizes[planned]
    type_ = _fitting(need, sizes, least=ZONES)
    return type_, in_zones(need / sizes[type_])


def _fitting(need: Decimal, sizes: Mapping[str, Decimal], *, least: int) -> str:
    """The smallest type of which `least` carry the need; else the largest there is."""
    rising = sorted(sizes, key=lambda type_: sizes[type_])
    return next((type_ for type_ in rising if sizes[type_] * least >= need), rising[-1])


def _sizes(type_: str, size: Callable[[str], float], *, part: int) -> dict[str, Decimal]:
    """A type and the smaller ones of its family, each with its size; `part` is where that stands in the name."""
    names = type_.split(".")
    found: dict[str, Decimal] = {}
    for name in ("large", "xlarge", "2xlarge", "4xlarge"):
        its = ".".join([*names[:part], name, *names[part + 1 :]])
        found[its] = _exact(size(its))
        if its == type_:
            break
    return found
