"""What caches cost: nodes, snapshots beyond one, and what a Global Datastore sends to other regions.

A member of a Global Datastore takes engine, node type and shards from the group that leads it, which is in another
region: the other stack's plan has it, or `peer.cache` of the usage file.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, NamedTuple

from infra.cost.model import HOURS, Charge, Range
from infra.cost.of_eks import crossed
from infra.cost.of_opensearch import KB_PER_GB
from infra.cost.pricing import Around, Charges, NoFigureError, Resource, plain, prices
from infra.cost.usage import SECONDS

SERVICE: Final = "AmazonElastiCache"
GROUP: Final = "aws:elasticache/replicationGroup:ReplicationGroup"
GLOBAL: Final = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"

FREE_SNAPSHOTS: Final = 1
"""Of a cluster, a day (ElastiCache pricing)."""


class Shape(NamedTuple):
    """What all members of a Global Datastore have alike.

    Attributes:
        engine: Engine.
        node_type: Node type.
        shards: Number of shards; None where the nodes are counted together.
    """

    engine: str
    node_type: str
    shards: Decimal | None


def shape(group: Resource, around: Around) -> Shape:
    """What a group is, or for a member, what it is a member of.

    Raises:
        NoFigureError: Neither the plans nor the usage file hold what it is a member of.
    """
    if not group.has("globalReplicationGroupId") or group.has("nodeType"):
        shards = group.number("numNodeGroups") if group.has("numNodeGroups") else None
        return Shape(group.text("engine", "redis"), group.text("nodeType"), shards)
    leaders = [one for one in around.elsewhere(GROUP) if not one.has("globalReplicationGroupId")]
    if len(leaders) == 1 and around.elsewhere(GLOBAL):
        return shape(leaders[0], around)
    peer = around.figures.peer.cache if around.figures.peer else None
    if peer is None:
        raise NoFigureError("globalReplicationGroupId", "is not in the plan, and the usage file has no peer.cache")
    return Shape(peer.engine, peer.node_type, Decimal(peer.shards))


@prices(GROUP, "nodes")
def nodes(group: Resource, around: Around) -> Charges:
    """Primaries and replicas of every shard."""
    its = shape(group, around)
    replicas = group.number("replicasPerNodeGroup", 0)
    count = group.number("numCacheClusters", 1) if its.shards is None else its.shards * (1 + replicas)
    what = f"nodes, {plain(count)} x {its.node_type}, {its.engine}"
    yield Charge(what, SERVICE, f"node:{its.node_type}:{its.engine}", Range.of(count * HOURS))


@prices(GROUP, "snapshots")
def snapshots(group: Resource, around: Around) -> Charges:
    """Daily snapshots; the newest is free."""
    kept = group.number("snapshotRetentionLimit", 0)
    beyond = max(Decimal(0), kept - FREE_SNAPSHOTS)
    stored = around.share(around.figures.cache.snapshot_gb, GROUP) * beyond
    sku = f"backup:{shape(group, around).engine}"
    yield Charge(f"snapshots, {plain(beyond)} beyond the free one", SERVICE, sku, stored, "cache.snapshot_gb")


@prices(GROUP, "traffic between zones")
def between_zones(group: Resource, around: Around) -> Charges:
    """Answers, and what is written after a miss, billed on the side of the pods alone (ElastiCache pricing)."""
    load = around.figures.load
    times = (2 - load.cache_hit_rate) * SECONDS / KB_PER_GB
    moved = around.share(load.searches_per_second * load.cache_answer_kb * times, GROUP) * around.crossing
    yield crossed("pods and cache", moved, "load.searches_per_second")


@prices(GLOBAL, "traffic between regions")
def sent(datastore: Resource, around: Around) -> Charges:
    """What is sent to the other region."""
    sku = f"global-datastore:{around.region}->{around.peer_region()}"
    moved = around.share(around.figures.cache.replicated_gb, GLOBAL)
    yield Charge("Global Datastore", SERVICE, sku, moved, "cache.replicated_gb")
