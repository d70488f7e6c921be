from dataclasses import replace
from decimal import Decimal

import pytest

from infra.cost.case import CACHE, DOMAIN, NODES, Case, pool_of
from infra.cost.commitments import NONE
from infra.cost.levers import COPIES, OFF_PEAK, USABLE, WAYS, Lever, levers
from infra.cost.model import Range, total
from infra.cost.usage import Figures
from tests.infra.cost.service import at, dollars, service


@pytest.fixture(scope="module")
def found() -> dict[str, Lever]:
    return {one.way.name: one for one in levers(service())}


@pytest.fixture(scope="module")
def dear() -> dict[str, Lever]:
    return {one.way.name: one for one in levers(at("2"))}


def pair(name: str, case: Case | None = None) -> tuple[Case, Case]:
    way = next(way for way in WAYS if way.name == name)
    its = way.pair(service() if case is None else case)
    return its.used, its.unused


def hot(case: Case) -> list[int]:
    return [int(one.inputs["clusterConfig"]["instanceCount"]) for one in case.held(DOMAIN)]


# All of them


def test_every_way_of_section_8_has_a_line(found: dict[str, Lever]) -> None:
    assert list(found) == [
        "reserved instances",
        "Spot",
        "lifecycle of indexes",
        "lifecycle of objects",
        "caching",
        "off-peak scaling",
    ]


@pytest.mark.parametrize("name", [way.name for way in WAYS])
def test_a_lever_saves_the_difference_of_two_estimates(name: str, found: dict[str, Lever]) -> None:
    used, unused = pair(name)
    its = found[name]
    assert (its.used, its.unused) == (used.monthly, unused.monthly)
    assert its.saves == its.unused - its.used
    assert its.saves.expected > 0
    assert 0 < its.share <= 1
    assert used.gaps == unused.gaps == ()


@pytest.mark.parametrize("name", [way.name for way in WAYS])
def test_what_our_total_counts_on_is_in_it(name: str, found: dict[str, Lever]) -> None:
    its = found[name]
    assert (its.used if its.way.counted else its.unused) == service().monthly
    assert its.way.counted is (name != "off-peak scaling")


@pytest.mark.parametrize("name", [way.name for way in WAYS])
def test_at_twice_the_prices_a_lever_saves_twice_as_much(
    name: str, found: dict[str, Lever], dear: dict[str, Lever]
) -> None:
    assert dear[name].saves == found[name].saves * 2
    assert dear[name].share == found[name].share
    for before, after in zip(dollars(found[name].about), dollars(dear[name].about), strict=True):
        assert abs(after - 2 * before) <= 1


def test_json_is_exact_text(found: dict[str, Lever]) -> None:
    shown = found["Spot"].as_json()
    assert shown["share"] == "0.7000"
    assert shown["counted"] is True
    assert set(shown["saves"]) == {"min", "expected", "max"}


# Each


def test_reservations_save_half_of_what_they_cover(found: dict[str, Lever]) -> None:
    assert found["reserved instances"].share == Decimal("0.5")
    assert found["reserved instances"].unused == total(one.monthly for one in service().listed)


def test_without_commitments_reservations_save_nothing_and_say_so() -> None:
    its = next(one for one in levers(service().under(NONE)) if one.way.name == "reserved instances")
    assert its.saves == Range()
    assert its.share == 0
    assert its.about == "nothing is committed to"


def test_spot_saves_what_the_usage_file_says_that_it_does(found: dict[str, Lever]) -> None:
    assert found["Spot"].share == service().usage.all.compute.spot_saving

    def dearer(figures: Figures) -> Figures:
        compute = figures.compute.model_copy(update={"spot_saving": Decimal("0.40")})
        return figures.model_copy(update={"compute": compute})

    its = next(one for one in levers(service().using(dearer)) if one.way.name == "Spot")
    assert its.share == Decimal("0.4")
    assert its.unused == found["Spot"].unused


def test_without_spot_the_same_nodes_are_on_demand() -> None:
    used, unused = pair("Spot")
    sizes = [[one.inputs["scalingConfig"] for one in case.held(NODES)] for case in (used, unused)]
    assert sizes[0] == sizes[1]
    assert {one.inputs["capacityType"] for one in unused.held(NODES)} == {"ON_DEMAND"}


def test_old_indexes_on_hot_nodes_take_as_many_as_their_copies_need() -> None:
    used, unused = pair("lifecycle of indexes")
    figures = service().usage.of("prod").search
    needed = 21 + (figures.warm_gb + figures.cold_gb).expected * COPIES / USABLE / 2048
    assert hot(used) == [21, 21]
    assert needed <= hot(unused)[0] < needed + 3
    assert not [line for line in unused.lines if "warm" in line.what or line.what.startswith("cold")]


def test_the_more_is_old_the_more_its_lifecycle_saves(found: dict[str, Lever]) -> None:
    def older(figures: Figures) -> Figures:
        search = figures.search
        grown = search.model_copy(update={"warm_gb": search.warm_gb * 2, "cold_gb": search.cold_gb * 2})
        return figures.model_copy(update={"search": grown})

    its = next(one for one in levers(service().using(older)) if one.way.name == "lifecycle of indexes")
    assert its.saves.expected > found["lifecycle of indexes"].saves.expected


def test_objects_without_rules_are_all_in_standard() -> None:
    _, unused = pair("lifecycle of objects")
    buckets = [line for line in unused.lines if line.type == "aws:s3/bucket:Bucket" and line.price.unit == "GB-Mo"]
    assert {line.price.sku.partition(":")[0] for line in buckets} == {"standard"}


def test_without_caching_the_search_engine_carries_all_of_the_load() -> None:
    used, unused = pair("caching")
    assert hot(unused) == [54, 54]  # 21 / (1 - 0.60) = 52.5, as many in each of three zones
    assert used.held(CACHE)
    assert not unused.held(CACHE)
    assert {unused.usage.of(stack).load.cache_hit_rate for stack in ("prod", "dr")} == {Decimal(0)}


def test_off_peak_half_of_the_hours_have_the_least_nodes() -> None:
    used, _ = pair("off-peak scaling")
    nodes = used.usage.of("prod").compute.nodes
    assert nodes["cluster-general-a"] == Range(Decimal(8), Decimal(11), Decimal(28))
    assert Decimal("0.5") == OFF_PEAK
    assert set(nodes) == {one.name for one in used.held(NODES) if pool_of(one) == "general"}


def test_what_the_usage_file_says_of_nodes_goes_before_the_assumption() -> None:
    def measured(figures: Figures) -> Figures:
        compute = figures.compute.model_copy(update={"nodes": {"cluster-general-a": Range.of(9)}})
        return figures.model_copy(update={"compute": compute})

    used, _ = pair("off-peak scaling", service().using(measured))
    assert used.usage.of("dr").compute.nodes["cluster-general-a"] == Range.of(9)


def test_one_region_has_levers_too() -> None:
    alone = levers(replace(service(), plans=service().plans[:1]))
    assert all(one.saves.expected > 0 for one in alone)
