"""Caches and what they are members of, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal

import pytest

from infra.cost.estimate import estimate
from infra.cost.model import Range
from infra.cost.of_elasticache import GLOBAL, GROUP
from infra.cost.usage import PeerCache, Usage
from infra.plan import UNKNOWN
from tests.infra.cost.priced import figures, made, peer, plan_of, priced, snapshot

MEMBER = made(GROUP, globalReplicationGroupId="ldgnf-x", replicasPerNodeGroup=2)
LEADS = peer().model_copy(update={"cache": PeerCache(engine="valkey", node_type="cache.m7g.large", shards=4)})


def test_a_group_without_shards_counts_its_nodes() -> None:
    found = priced(made(GROUP, nodeType="cache.m7g.large", numCacheClusters=3))
    assert [line.what for line in found.lines] == ["nodes, 3 x cache.m7g.large, redis"]


@pytest.mark.parametrize("global_id", ["ldgnf-x", UNKNOWN])
def test_a_member_is_what_the_usage_file_says_of_its_leader(global_id: str) -> None:
    its = made(GROUP, globalReplicationGroupId=global_id, replicasPerNodeGroup=2)
    found = priced(its, use=figures(peer=LEADS))
    assert [line.what for line in found.lines] == ["nodes, 12 x cache.m7g.large, valkey"]


def test_a_member_is_what_its_leader_is_where_that_is_at_hand() -> None:
    leader = made(GROUP, nodeType="cache.r7g.large", engine="redis", numNodeGroups=1)
    others = [plan_of(leader, made(GLOBAL), stack="other", region="us-west-2")]
    usage = Usage(all=figures(peer=LEADS))
    found = estimate(plan_of(MEMBER), snapshot(), usage, others=others)
    assert [line.what for line in found.lines] == ["nodes, 3 x cache.r7g.large, redis"]


def test_a_member_of_what_nobody_knows_is_a_gap() -> None:
    assert [gap.what for gap in priced(MEMBER).unknown] == [
        "nodes: globalReplicationGroupId",
        "snapshots: globalReplicationGroupId",
    ]


@pytest.mark.parametrize("kept", [0, 1])
def test_one_snapshot_is_free(kept: int) -> None:
    its = made(GROUP, nodeType="cache.m7g.large", snapshotRetentionLimit=kept)
    assert len(priced(its, use=figures(cache__snapshot_gb=50)).lines) == 1


def test_a_miss_is_written_back_and_only_the_side_of_the_pods_pays() -> None:
    subnets = [made("aws:ec2/subnet:Subnet", zone, availabilityZone=zone) for zone in "ab"]
    its = made(GROUP, nodeType="cache.m7g.large")
    use = figures(load__searches_per_second=100, load__cache_answer_kb=4, load__cache_hit_rate=Decimal("0.75"))
    (line,) = (line for line in priced(*subnets, its, use=use).lines if "zones" in line.what)
    gb = Decimal(100) * 4 * Decimal("1.25") * 730 * 3600 / 2**20 / 2
    assert abs(line.quantity.expected - gb) < Decimal("0.000001")


def test_what_is_sent_leaves_this_region() -> None:
    (line,) = priced(made(GLOBAL), use=figures(cache__replicated_gb=10, peer=peer())).lines
    assert (line.price.sku, line.monthly) == ("global-datastore:us-east-1->us-west-2", Range.of(Decimal("0.2")))
