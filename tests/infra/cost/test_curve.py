from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.opensearch_plan import MASTER_MEMORY, capacity
from infra.cost.case import BROKERS, CACHE, DOMAIN, INSTANCE, NODES, Case, pool_of
from infra.cost.curve import DOCUMENTS, RULES, SCALES, SEARCHES, Curve, Growth, Point, curve, sized
from infra.cost.requirement import ASKED
from stacks.offers import INSTANCE_SIZES
from tests.infra.cost.service import service

scales = st.integers(1, 100)
few = settings(max_examples=25)


@pytest.fixture(scope="module")
def found() -> Curve:
    return curve(service())


def exact(value: Any) -> Any:
    """Values with every number as a Decimal: a plan from mocks has floats."""
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


@cache
def scaled(scale: int) -> Case:
    return sized(service(), scale)


def of(case: Case, type_: str) -> dict[str, Any]:
    return dict(case.held(type_, "prod")[0].inputs)


# The largest is the plan


def test_the_largest_scale_is_the_plan_itself() -> None:
    made = sized(service(), 100)
    for before, after in zip(service().plans, made.plans, strict=True):
        assert [its.urn for its in before.changes] == [its.urn for its in after.changes]
        for one, other in zip(before.changes, after.changes, strict=True):
            assert exact(dict(one.inputs)) == exact(dict(other.inputs)), one.name


def test_the_scales_are_the_requirement_s(found: Curve) -> None:
    assert [(point.documents, point.searches_per_second) for point in found.points] == [
        (10_000_000, 1_000),
        (100_000_000, 10_000),
        (1_000_000_000, 100_000),
    ]
    assert (DOCUMENTS * SCALES[-1], SEARCHES * SCALES[-1]) == (10**9, 10**5)


@pytest.mark.parametrize("scale", SCALES)
def test_all_regions_together_answer_the_searches_of_a_scale(scale: int) -> None:
    usage = sized(service(), scale).usage
    asked = sum(usage.of(stack).load.searches_per_second.expected for stack in ("prod", "dr"))
    assert asked == SEARCHES * scale


def test_documents_of_the_usage_file_are_those_of_the_largest_scale() -> None:
    before, after = service().usage.of("prod"), sized(service(), 100).usage.of("prod")
    assert after.load.documents_per_second == before.load.documents_per_second
    assert after.search.warm_gb == before.search.warm_gb
    assert sized(service(), 1).usage.of("prod").search.warm_gb * 100 == before.search.warm_gb


# What each size can carry


@few
@given(scales)
def test_hot_nodes_carry_the_load_and_are_as_many_in_each_zone(scale: int) -> None:
    domain = of(scaled(scale), DOMAIN)
    config, disks = domain["clusterConfig"], domain["ebsOptions"]
    size = capacity(config["instanceType"])
    assert config["instanceCount"] % 3 == 0
    assert config["instanceCount"] >= 3
    # 20 nodes of 16 vCPU at 100 times; the plan's 21 disks of 2 TiB.
    assert config["instanceCount"] * size.vcpus >= Decimal(20 * 16 * scale) / 100
    assert config["instanceCount"] * disks["volumeSize"] >= Decimal(21 * 2048 * scale) / 100
    assert disks["volumeSize"] <= size.storage_gib
    assert disks["iops"] >= 3000
    assert disks["throughput"] >= 125


@few
@given(scales)
def test_the_rest_of_the_domain_keeps_its_shape(scale: int) -> None:
    config = of(scaled(scale), DOMAIN)["clusterConfig"]
    (option,) = config["nodeOptions"]
    coordinators = option["nodeConfig"]["count"]
    others = config["instanceCount"] + config["warmCount"] + coordinators
    memory = next(gib for most, gib in MASTER_MEMORY.items() if others <= most)
    assert config["dedicatedMasterCount"] == 3
    assert capacity(config["dedicatedMasterType"]).memory_gib >= memory
    assert config["warmCount"] % 3 == coordinators % 3 == 0
    assert config["warmCount"] * 100 >= 10 * scale
    assert coordinators * capacity(option["nodeConfig"]["type"]).vcpus * 100 >= 5 * 8 * scale


@few
@given(scales)
def test_nodes_of_the_cluster_carry_the_load(scale: int) -> None:
    case = scaled(scale)
    pools: dict[str, list[dict[str, Any]]] = {}
    for one in case.held(NODES, "prod"):
        pools.setdefault(pool_of(one), []).append(dict(one.inputs))
    for groups in pools.values():
        for group in groups:
            scaling = group["scalingConfig"]
            assert scaling["minSize"] <= scaling["desiredSize"] <= scaling["maxSize"]
    assert sum(group["scalingConfig"]["desiredSize"] for group in pools["general"]) * 100 >= 40 * scale
    brokers = of(case, BROKERS)["spec"]
    assert brokers["replicas"] >= 3
    assert sum(group["scalingConfig"]["desiredSize"] for group in pools["brokers"]) >= brokers["replicas"]
    (type_,) = pools["brokers"][0]["instanceTypes"]
    assert brokers["replicas"] * INSTANCE_SIZES[type_].vcpus * 100 >= 5 * 8 * scale


@few
@given(scales)
def test_databases_and_cache_carry_the_load(scale: int) -> None:
    case = scaled(scale)
    head, *replicas = [one.inputs for one in case.held(INSTANCE, "prod")]
    assert INSTANCE_SIZES[head["instanceClass"]].vcpus * 100 >= 16 * scale
    assert head["allocatedStorage"] * 100 >= 1024 * scale
    assert head["allocatedStorage"] <= head["maxAllocatedStorage"]
    assert 1 <= len(replicas) <= 3
    assert sum(INSTANCE_SIZES[one["instanceClass"]].vcpus for one in replicas) * 100 >= 3 * 8 * scale
    (standby,) = [one.inputs for one in case.held(INSTANCE, "dr")]
    assert standby["instanceClass"] == head["instanceClass"]
    cache = of(case, CACHE)
    assert INSTANCE_SIZES[cache["nodeType"]].memory_gib * 100 >= INSTANCE_SIZES["cache.r7g.xlarge"].memory_gib * scale
    assert (int(cache["numNodeGroups"]), int(cache["replicasPerNodeGroup"])) == (3, 1)


@few
@given(scales)
def test_below_400_gib_a_database_provisions_nothing(scale: int) -> None:
    for one in scaled(scale).held(INSTANCE, "prod"):
        striped = of(scaled(scale), INSTANCE)["allocatedStorage"] >= 400
        assert ("iops" in one.inputs) is ("storageThroughput" in one.inputs) is striped


@few
@given(scales)
def test_every_scale_has_a_figure_for_everything(scale: int) -> None:
    assert scaled(scale).gaps == ()


@few
@given(scales, scales)
def test_more_of_everything_never_costs_less(one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert scaled(small).monthly.expected <= scaled(large).monthly.expected


# The curve


def test_parts_are_together_the_whole_at_each_scale(found: Curve) -> None:
    for point in found.points:
        assert sum(point.parts.values()) == point.monthly.expected
        assert list(point.parts) == list(found.points[0].parts)
        assert {asked.component for asked in ASKED} <= set(point.parts)


def test_a_search_and_a_document_get_cheaper_as_the_service_grows(found: Curve) -> None:
    for cost in ([p.per_million_searches for p in found.points], [p.per_million_documents for p in found.points]):
        assert cost == sorted(cost, reverse=True)
    assert {growth.word for growth in found.growth} == {"sub-linear"}


def test_cost_of_a_search_is_the_month_over_its_searches(found: Curve) -> None:
    point = found.points[0]
    # 1,000 a second in 2,628,000 seconds are 2,628 million.
    assert point.per_million_searches == point.monthly.expected / 2628
    assert point.per_million_documents == point.monthly.expected / 10


def test_what_is_fixed_steps_or_is_linear_is_told_part_by_part(found: Curve) -> None:
    words = {part: [growth.word for growth in growths] for part, growths in found.by_part.items()}
    assert words["Kubernetes (EKS)"] == ["fixed", "fixed"]
    assert words["NAT gateways, endpoints and addresses"] == ["fixed", "fixed"]
    assert words["S3 Storage"] == ["linear", "linear"]
    assert words["the web firewall"] == ["linear", "linear"]
    for part in ("Elasticsearch", "PostgreSQL (RDS)", "Redis (ElastiCache)"):
        assert words[part] == ["sub-linear", "sub-linear"]


@pytest.mark.parametrize(
    ("power", "word"),
    [
        ("-0.1", "fixed"),
        ("0.05", "fixed"),
        ("0.06", "sub-linear"),
        ("0.94", "sub-linear"),
        ("0.95", "linear"),
        ("1.05", "linear"),
        ("1.06", "more than linear"),
    ],
)
def test_growth_has_a_word(power: str, word: str) -> None:
    assert Growth(1, 10, Decimal(power)).word == word


def test_a_part_that_costs_nothing_does_not_grow(found: Curve) -> None:
    assert [growth.power for growth in found.by_part["others"]] == [0, 0]


def test_every_rule_says_what_an_instance_carries_and_where_that_is_from() -> None:
    for rule in RULES:
        assert rule.carries
        assert rule.source
        assert rule.grows_with in {
            "searches",
            "documents",
            "searches and documents",
            "searches or documents",
            "nothing",
        }


def test_json_holds_points_growth_and_rules(found: Curve) -> None:
    shown = found.as_json()
    assert [point["scale"] for point in shown["points"]] == [1, 10, 100]
    assert Decimal(shown["points"][0]["per_million_searches"]) == round(found.points[0].per_million_searches, 6)
    assert shown["growth"][0] == {"from": 1, "to": 10, "power": f"{found.growth[0].power:.3f}", "is": "sub-linear"}
    assert len(shown["rules"]) == len(RULES)
    assert set(shown["parts"]) == set(shown["points"][0]["parts"])


def test_a_curve_may_have_other_scales() -> None:
    its = curve(service(), (5, 50))
    assert [point.scale for point in its.points] == [5, 50]
    assert [(growth.before, growth.after) for growth in its.growth] == [(5, 50)]
    assert curve(service(), (7,)).growth == ()


@pytest.mark.parametrize("scale", [0, -1, 101])
def test_a_scale_that_the_plan_is_not_for_is_refused(scale: int) -> None:
    with pytest.raises(ValueError, match=f"scale is {scale}"):
        sized(service(), scale)


def test_a_point_is_priced_with_the_commitments_of_its_case() -> None:
    point = Point(100, sized(service(), 100))
    assert point.monthly == point.case.monthly
    assert point.case.commitments == service().commitments
