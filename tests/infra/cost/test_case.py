from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cost.case import CACHE, DOMAIN, GLOBAL_CACHE, INSTANCE, NODES, Case, in_zones, pool_of
from infra.cost.commitments import NONE
from infra.cost.model import total
from tests.infra.cost.service import service, without_price


@given(st.decimals(0, 10_000, places=3))
def test_instances_are_shared_by_all_zones_and_suffice(count: Decimal) -> None:
    found = in_zones(count)
    assert found % 3 == 0
    assert found >= max(Decimal(3), count)
    assert found < count + 3 or found == 3


def test_a_case_is_the_plans_as_they_are() -> None:
    its = service()
    assert its.gaps == ()
    assert its.monthly == total(one.monthly for one in its.committed)
    assert its.under(NONE).monthly == total(one.monthly for one in its.listed)
    assert {line.stack for line in its.lines} == {"prod", "dr"}


def test_a_change_gives_another_case_and_leaves_the_first() -> None:
    its = service()
    before = its.monthly
    more = its.domain(instanceCount=24)
    assert [int(one.inputs["clusterConfig"]["instanceCount"]) for one in more.held(DOMAIN)] == [24, 24]
    assert [int(one.inputs["clusterConfig"]["instanceCount"]) for one in its.held(DOMAIN)] == [21, 21]
    assert more.monthly.expected > before.expected
    assert its.monthly == before


def test_a_change_to_what_is_there_already_changes_nothing() -> None:
    same = service().domain(instanceCount=21, volumeSize=2048, warmCount=12, coordinators=6)
    assert same.monthly == service().monthly


def test_a_value_may_differ_by_stack() -> None:
    its = service().domain(instanceCount=lambda stack: {"prod": 24, "dr": 27}[stack])
    assert [one.inputs["clusterConfig"]["instanceCount"] for one in its.held(DOMAIN)] == [24, 27]
    assert [one.inputs["clusterConfig"]["instanceCount"] for one in its.held(DOMAIN, "dr")] == [27]


def test_without_warm_nodes_there_is_no_cold_storage_either() -> None:
    its = service().domain(warmCount=0)
    config = its.held(DOMAIN)[0].inputs["clusterConfig"]
    assert config["warmEnabled"] is False
    assert config["coldStorageOptions"] == {"enabled": False}
    assert "warmCount" not in config
    assert not [line for line in its.lines if "ultrawarm" in line.price.sku or "cold" in line.price.sku]


def test_without_coordinators_none_is_billed() -> None:
    assert not [line for line in service().domain(coordinators=0).lines if line.what.startswith("coordinator")]


def test_a_pool_is_shared_evenly_by_its_node_groups() -> None:
    its = service().nodes("general", desiredSize=48, instanceTypes=["m7i.2xlarge"])
    groups = [one.inputs for one in its.held(NODES, "prod") if pool_of(one) == "general"]
    assert [one["scalingConfig"]["desiredSize"] for one in groups] == [16, 16, 16]
    assert {tuple(one["instanceTypes"]) for one in groups} == {("m7i.2xlarge",)}
    others = [one.inputs for one in its.held(NODES) if pool_of(one) != "general"]
    assert others == [one.inputs for one in service().held(NODES) if pool_of(one) != "general"]


def test_one_region_alone_answers_all_searches_and_sends_its_cache_nowhere() -> None:
    alone = service().primary_alone()
    assert [plan.stack for plan in alone.plans] == ["prod"]
    assert not alone.held(GLOBAL_CACHE)
    before, after = (case.usage.of("prod") for case in (service(), alone))
    assert after.load.searches_per_second == before.load.searches_per_second * 2
    assert after.load.documents_per_second == before.load.documents_per_second
    assert after.cache.replicated_gb.max == 0
    assert alone.gaps == ()


def test_what_goes_is_not_billed_any_more() -> None:
    its = service().without(CACHE, GLOBAL_CACHE, INSTANCE)
    assert not [line for line in its.lines if line.price.service == "AmazonElastiCache"]
    assert not its.held(CACHE)


def test_a_standby_is_told_how_its_primary_changed() -> None:
    peer = service().peer(allocated_gib=100, node_type="cache.r7g.large").usage.of("dr").peer
    assert peer is not None
    assert peer.database is not None
    assert peer.cache is not None
    assert (peer.database.allocated_gib, peer.cache.node_type) == (100, "cache.r7g.large")
    assert (peer.database.engine, peer.cache.engine) == ("postgres", "valkey")


def test_what_has_no_price_is_a_gap_of_the_case() -> None:
    assert [gap.stack for gap in without_price("alb:hour").gaps] == ["prod", "dr"]


@pytest.mark.parametrize("count", [3, 9, 48])
def test_each_hot_node_costs_the_same(count: int) -> None:
    def hot(case: Case) -> Decimal:
        lines = (line for one in case.listed for line in one.lines if line.what.startswith("hot nodes"))
        return total(line.monthly for line in lines).expected

    assert hot(service().domain(instanceCount=count)) == hot(service()) * count / 21
