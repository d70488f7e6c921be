"""Address blocks and firewall rules, as plans."""

import re
from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.network_plan import (
    FLOWS,
    GROUPS,
    INTERNET,
    MAX_ZONES,
    TIERS,
    Flow,
    Subnet,
    plan_rules,
    plan_subnets,
)

LETTERS = "abcdef"
blocks = st.integers(0, 255).map(lambda octet: IPv4Network(f"10.{octet}.0.0/16"))
zone_lists = st.lists(st.sampled_from(LETTERS), min_size=2, max_size=MAX_ZONES, unique=True).map(
    lambda letters: [f"us-east-1{letter}" for letter in letters]
)


@given(blocks, zone_lists)
def test_every_zone_gets_one_subnet_of_each_tier(block: IPv4Network, zones: list[str]) -> None:
    plan = plan_subnets(block, zones)
    assert [(subnet.zone, subnet.tier) for subnet in plan] == [(zone, tier) for zone in zones for tier in TIERS]
    assert len({subnet.name for subnet in plan}) == len(plan)


@given(blocks, zone_lists)
def test_subnets_lie_inside_the_block_and_never_overlap(block: IPv4Network, zones: list[str]) -> None:
    plan = plan_subnets(block, zones)
    assert all(subnet.block.subnet_of(block) for subnet in plan)
    assert not [pair for pair in combinations(plan, 2) if pair[0].block.overlaps(pair[1].block)]


@given(blocks, zone_lists)
def test_adding_a_zone_at_the_end_moves_no_subnet(block: IPv4Network, zones: list[str]) -> None:
    shorter = zones[:2]
    assert plan_subnets(block, zones)[: len(shorter) * len(TIERS)] == plan_subnets(block, shorter)


@given(blocks, zone_lists)
def test_pods_get_the_most_addresses(block: IPv4Network, zones: list[str]) -> None:
    size: dict[str, int] = {}
    for subnet in plan_subnets(block, zones):
        size.setdefault(subnet.tier, subnet.block.num_addresses)
        assert subnet.block.num_addresses == size[subnet.tier], "zones are alike"
    assert size == {"private": 8192, "data": 4096, "public": 2048}


@given(blocks, blocks, zone_lists)
def test_two_regions_share_addresses_only_if_their_blocks_are_one(
    one: IPv4Network, other: IPv4Network, zones: list[str]
) -> None:
    overlap = [
        (a, b) for a in plan_subnets(one, zones) for b in plan_subnets(other, zones) if a.block.overlaps(b.block)
    ]
    assert bool(overlap) == (one == other)


def test_names_are_the_same_in_every_region() -> None:
    names = [
        [subnet.name for subnet in plan_subnets(IPv4Network("10.0.0.0/16"), [f"{region}a", f"{region}c"])]
        for region in ("us-east-1", "us-west-2")
    ]
    assert names[0] == names[1] == ["public-a", "private-a", "data-a", "public-c", "private-c", "data-c"]


def test_prod_gets_these_addresses() -> None:
    plan = plan_subnets(IPv4Network("10.0.0.0/16"), ["us-east-1a", "us-east-1b"])
    assert plan[3:] == (
        Subnet("public", "us-east-1b", IPv4Network("10.0.112.0/21")),
        Subnet("private", "us-east-1b", IPv4Network("10.0.64.0/19")),
        Subnet("data", "us-east-1b", IPv4Network("10.0.96.0/20")),
    )


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.0.0.0/15", "10.0.0.0/17", "10.0.0.0/24"])
def test_a_block_of_another_size_is_refused(cidr: str) -> None:
    with pytest.raises(ArgsError, match=f"cidr is {cidr}: a region takes a /16"):
        plan_subnets(IPv4Network(cidr), ["us-east-1a", "us-east-1b"])


@pytest.mark.parametrize("letters", ["", "a", "abcde"])
def test_too_few_or_too_many_zones_are_refused(letters: str) -> None:
    with pytest.raises(ArgsError, match=f"2 to 4 zones, these are {len(letters)}"):
        plan_subnets(IPv4Network("10.0.0.0/16"), [f"us-east-1{letter}" for letter in letters])


def test_a_repeated_zone_is_refused() -> None:
    with pytest.raises(ArgsError, match="zones name us-east-1a more than once"):
        plan_subnets(IPv4Network("10.0.0.0/16"), ["us-east-1a", "us-east-1b", "us-east-1a"])


def test_only_the_load_balancer_is_open_to_the_internet() -> None:
    open_rules = [
        (rule.group, rule.ports) for rule in plan_rules() if rule.direction == "ingress" and rule.peer == INTERNET
    ]
    assert open_rules == [("load_balancer", (443, 443)), ("load_balancer", (80, 80))]


def test_only_nodes_reach_the_internet_and_only_over_https() -> None:
    out = [(rule.group, rule.ports) for rule in plan_rules() if rule.direction == "egress" and rule.peer == INTERNET]
    assert out == [("nodes", (443, 443))]


def test_data_stores_answer_nodes_and_start_nothing() -> None:
    for store in ("database", "cache", "search", "broker", "endpoints"):
        rules = [rule for rule in plan_rules() if rule.group == store]
        assert [(rule.direction, rule.peer) for rule in rules] == [("ingress", "nodes")], store


def test_only_nodes_among_themselves_are_unfiltered() -> None:
    assert {(rule.group, rule.peer) for rule in plan_rules() if rule.ports is None} == {("nodes", "nodes")}


def test_every_group_takes_part() -> None:
    assert {rule.group for rule in plan_rules()} == set(GROUPS)


def test_both_ends_of_every_flow_between_groups_agree() -> None:
    halves = {
        direction: {
            (rule.group, rule.peer, rule.ports) if direction == "egress" else (rule.peer, rule.group, rule.ports)
            for rule in plan_rules()
            if rule.direction == direction and rule.peer != INTERNET
        }
        for direction in ("egress", "ingress")
    }
    assert halves["egress"] == halves["ingress"] != set()


def test_rules_have_names_of_their_own_and_texts_that_aws_accepts() -> None:
    names = [rule.name for rule in plan_rules()]
    assert len(set(names)) == len(names)
    # EC2 API, IpRange: up to 255 of these characters.
    allowed = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
    for text in [*(flow.why for flow in FLOWS), *GROUPS.values()]:
        assert allowed.fullmatch(text), text


def test_a_flow_to_an_unknown_group_is_refused() -> None:
    with pytest.raises(ArgsError, match="a flow names the group 'databse'"):
        plan_rules([Flow("nodes", "databse", (5432, 5432), "typing error")])
