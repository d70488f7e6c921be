"""Tiers of a domain, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from infra.cost.model import Estimate, Range
from infra.cost.of_opensearch import CONNECTION, DOMAIN, included, normalized
from infra.cost.pricing import NoFigureError
from infra.plan import Change
from tests.infra.cost.priced import figures, made, priced

SUBNETS = [made("aws:ec2/subnet:Subnet", zone, availabilityZone=zone) for zone in "abc"]


def domain(ebs: dict[str, Any] | None = None, **data: Any) -> Change:
    its = {"instanceType": "m6g.large.search", "instanceCount": 2, **data}
    storage = ebs or {"ebsEnabled": False}
    return made(DOMAIN, engineVersion="OpenSearch_3.3", clusterConfig=its, ebsOptions=storage)


def gaps(found: Estimate) -> list[str]:
    return [f"{gap.what}: {gap.why}" for gap in (*found.unknown, *found.unpriced)]


@pytest.mark.parametrize(
    ("gib", "iops", "mibps"),
    [(10, 3000, 125), (169, 3000, 125), (170, 3000, 250), (1024, 3000, 250), (1025, 3075, 250), (4000, 12000, 500)],
)
def test_a_larger_volume_includes_more(gib: int, iops: int, mibps: int) -> None:
    assert included(Decimal(gib)) == (Decimal(iops), Decimal(mibps))


def test_what_a_domain_does_not_have_is_not_priced() -> None:
    assert [line.what for line in priced(domain()).lines] == ["hot nodes, 2 x m6g.large.search"]


def test_all_iops_of_io1_are_paid_for() -> None:
    found = priced(domain({"ebsEnabled": True, "volumeType": "io1", "volumeSize": 100, "iops": 1000}))
    assert ("storage:io1:iops", Decimal(2000)) in [(line.price.sku, line.quantity.expected) for line in found.lines]


def test_less_than_what_is_included_costs_nothing_back() -> None:
    found = priced(
        domain({"ebsEnabled": True, "volumeType": "gp3", "volumeSize": 4000, "iops": 3000, "throughput": 125})
    )
    assert [line.price.sku for line in found.lines] == ["instance:m6g.large.search", "storage:gp3"]


def test_nodes_of_a_kind_that_is_not_known_are_unpriced() -> None:
    odd = [{"nodeType": "machine-learning", "nodeConfig": {"enabled": True, "count": 3, "type": "m6g.large.search"}}]
    assert gaps(priced(domain(nodeOptions=odd))) == ["machine-learning nodes: only coordinators are known"]


def test_coordinators_that_are_switched_off_cost_nothing() -> None:
    off = [{"nodeType": "coordinator", "nodeConfig": {"enabled": False}}]
    assert len(priced(domain(nodeOptions=off)).lines) == 1


@pytest.mark.parametrize(
    ("type_", "hours"),
    [
        ("t3.small.search", 1),
        ("t3.medium.search", 2),
        ("m5.large.search", 4),
        ("m5.xlarge.search", 8),
        ("m5.12xlarge.search", 96),
    ],
)
def test_hours_are_normalized_by_size(type_: str, hours: int) -> None:
    assert normalized(type_) == hours


@pytest.mark.parametrize("type_", ["", "m5.search", "m5.huge.search", "ultrawarm1"])
def test_a_size_that_is_not_known_is_a_gap(type_: str) -> None:
    with pytest.raises(NoFigureError):
        normalized(type_)


def test_searches_that_the_cache_answers_bring_nothing_out_of_the_domain() -> None:
    use = figures(load__searches_per_second=100, load__engine_answer_kb=10, load__cache_hit_rate=Decimal("0.7"))
    sent, none = (
        [line for line in priced(*SUBNETS, domain(), use=its).lines if "zones" in line.what]
        for its in (use, use.model_copy(update={"load": use.load.model_copy(update={"cache_hit_rate": Decimal(1)})}))
    )
    # 30 misses a second, 10 KB each, two of three to another zone, on both sides.
    gb = Decimal(30 * 10 * 730 * 3600) / 2**20 * 2 / 3 * 2
    assert abs(sent[0].quantity.expected - gb) < Decimal("0.000001")
    assert not none


def test_what_a_follower_takes_leaves_the_region_of_its_leader() -> None:
    its = made(CONNECTION, remoteDomainInfo={"region": "us-west-2"})
    (line,) = priced(its, use=figures(search__followed_gb=100)).lines
    assert (line.price.sku, line.price.region) == ("cross-cluster:us-west-2->us-east-1", "us-west-2")
    assert line.monthly == Range.of(2)
