"""What an OpenSearch domain costs, tier by tier.

OpenSearch Service pricing: nodes of every kind by the hour; storage, IOPS and throughput of every *data* node (masters
and coordinators bring their own disks); warm and cold storage by what is in them, replicas not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from infra.cost.model import HOURS, Charge, Range
from infra.cost.of_eks import crossed
from infra.cost.pricing import Around, Charges, NoFigureError, Resource, UnpricedError, plain, prices
from infra.cost.usage import SECONDS
from stacks.offers import OPENSEARCH_VERSIONS

ES: Final = "AmazonES"
DOMAIN: Final = "aws:opensearch/domain:Domain"
CONNECTION: Final = "aws:opensearch/outboundConnection:OutboundConnection"

KB_PER_GB: Final = Decimal(2**20)

_STANDARD: Final = {*(f"OpenSearch_{version}" for version in OPENSEARCH_VERSIONS), "Elasticsearch_7.10"}
_EXTENDED_DEARER: Final = "2026-11-07"
"""From that day on, extended support of versions that ended on 2025-11-07 costs as much as the instances."""

_NORMALIZED: Final = {"small": 1, "medium": 2, "large": 4, "xlarge": 8}
_SIZE: Final = re.compile(r"[a-z0-9]+\.(?:(small|medium|large|xlarge)|(\d{1,3})xlarge)\.search")


@prices(DOMAIN, "hot nodes")
def hot_nodes(domain: Resource, around: Around) -> Charges:
    """Data nodes."""
    count = domain.number("clusterConfig.instanceCount", 1)
    yield _nodes("hot nodes", count, domain.text("clusterConfig.instanceType", "m4.large.search"))


@prices(DOMAIN, "hot storage")
def hot_storage(domain: Resource, around: Around) -> Charges:
    """Each data node has a volume of its own."""
    if not domain.flag("ebsOptions.ebsEnabled"):
        return
    count, each = domain.number("clusterConfig.instanceCount", 1), domain.number("ebsOptions.volumeSize")
    kind = domain.text("ebsOptions.volumeType", "gp2")
    sku = "storage:magnetic" if kind == "standard" else f"storage:{kind}"
    what = f"storage of hot nodes, {plain(count)} x {plain(each)} GiB {kind}"
    yield Charge(what, ES, sku, Range.of(count * each))


@prices(DOMAIN, "hot IOPS and throughput")
def hot_performance(domain: Resource, around: Around) -> Charges:
    """What is provisioned beyond what gp3 includes; all that is provisioned of io1."""
    kind = domain.text("ebsOptions.volumeType", "gp2") if domain.flag("ebsOptions.ebsEnabled") else ""
    if kind not in ("gp3", "io1"):
        return
    count, each = domain.number("clusterConfig.instanceCount", 1), domain.number("ebsOptions.volumeSize")
    included_iops, included_mibps = included(each) if kind == "gp3" else (Decimal(0), Decimal(0))
    iops = max(Decimal(0), domain.number("ebsOptions.iops", included_iops) - included_iops)
    what = f"IOPS of hot nodes beyond {plain(included_iops)}, {plain(count)} x {plain(iops)}"
    yield Charge(what, ES, f"storage:{kind}:iops", Range.of(count * iops))
    if kind == "gp3":
        mibps = max(Decimal(0), domain.number("ebsOptions.throughput", included_mibps) - included_mibps)
        what = f"MiB/s of hot nodes beyond {plain(included_mibps)}, {plain(count)} x {plain(mibps)}"
        yield Charge(what, ES, "storage:gp3:throughput", Range.of(count * mibps))


def included(gib: Decimal) -> tuple[Decimal, Decimal]:
    """IOPS and MiB/s that a gp3 volume includes: 3,000 or 3 per GiB; 125, or from 170 GiB 250 per 3 TiB begun.

    Source: OpenSearch Service pricing, and the notes of the price snapshot.
    """
    volumes = (gib / 3072).to_integral_value(rounding="ROUND_CEILING")
    return max(Decimal(3000), 3 * gib if gib > 1024 else Decimal(0)), Decimal(125) if gib < 170 else 250 * volumes


@prices(DOMAIN, "masters")
def masters(domain: Resource, around: Around) -> Charges:
    """Dedicated masters."""
    if domain.flag("clusterConfig.dedicatedMasterEnabled"):
        count = domain.number("clusterConfig.dedicatedMasterCount", 3)
        yield _nodes("masters", count, domain.text("clusterConfig.dedicatedMasterType"))


@prices(DOMAIN, "warm nodes")
def warm_nodes(domain: Resource, around: Around) -> Charges:
    """UltraWarm nodes."""
    if domain.flag("clusterConfig.warmEnabled"):
        count = domain.number("clusterConfig.warmCount")
        yield _nodes("warm nodes", count, domain.text("clusterConfig.warmType"))


@prices(DOMAIN, "warm storage")
def warm_storage(domain: Resource, around: Around) -> Charges:
    """What is in UltraWarm, in S3."""
    if domain.flag("clusterConfig.warmEnabled"):
        stored = around.share(around.figures.search.warm_gb, DOMAIN)
        yield Charge("warm storage", ES, "storage:ultrawarm-managed", stored, "search.warm_gb")


@prices(DOMAIN, "cold storage")
def cold_storage(domain: Resource, around: Around) -> Charges:
    """What is in cold storage, in S3."""
    if domain.flag("clusterConfig.coldStorageOptions.enabled"):
        stored = around.share(around.figures.search.cold_gb, DOMAIN)
        yield Charge("cold storage", ES, "storage:cold-managed", stored, "search.cold_gb")


@prices(DOMAIN, "coordinators")
def coordinators(domain: Resource, around: Around) -> Charges:
    """Nodes that route queries and hold no data."""
    for what, count, type_ in _options(domain):
        yield _nodes(what, count, type_)


@prices(DOMAIN, "extended support")
def extended_support(domain: Resource, around: Around) -> Charges:
    """The charge for versions that are out of standard support, on every node but UltraWarm's."""
    version = domain.text("engineVersion") if domain.has("engineVersion") else f"OpenSearch_{OPENSEARCH_VERSIONS[-1]}"
    if version in _STANDARD:
        return
    nodes = [
        (domain.number("clusterConfig.instanceCount", 1), domain.text("clusterConfig.instanceType", "m4.large.search"))
    ]
    if domain.flag("clusterConfig.dedicatedMasterEnabled"):
        count = domain.number("clusterConfig.dedicatedMasterCount", 3)
        nodes.append((count, domain.text("clusterConfig.dedicatedMasterType")))
    nodes += [(count, type_) for _, count, type_ in _options(domain)]
    for count, type_ in nodes:
        what = f"extended support of {version}, {plain(count)} x {type_}"
        if around.day >= _EXTENDED_DEARER:
            yield Charge(what, ES, f"instance:{type_}", Range.of(count * HOURS))
        else:
            yield Charge(what, ES, "extended-support:nih", Range.of(count * normalized(type_) * HOURS))


def normalized(type_: str) -> int:
    """Normalized instance hours of an hour: 4 of large, 8 of xlarge, 16 of 2xlarge and so on."""
    match = _SIZE.fullmatch(type_)
    if match is None:
        raise NoFigureError("clusterConfig.instanceType", f"is {type_[:60]!r}, whose size is not known")
    return _NORMALIZED[match[1]] if match[1] else 8 * int(match[2])


def _options(domain: Resource) -> Iterator[tuple[str, Decimal, str]]:
    for at in domain.each("clusterConfig.nodeOptions"):
        if domain.flag(f"{at}.nodeConfig.enabled"):
            kind = domain.text(f"{at}.nodeType")
            if kind != "coordinator":
                raise UnpricedError(f"{kind[:60]} nodes", "only coordinators are known")
            yield "coordinators", domain.number(f"{at}.nodeConfig.count"), domain.text(f"{at}.nodeConfig.type")


def _nodes(what: str, count: Decimal, type_: str) -> Charge:
    return Charge(f"{what}, {plain(count)} x {type_}", ES, f"instance:{type_}", Range.of(count * HOURS))


# Traffic


@prices(DOMAIN, "traffic between zones")
def answers(domain: Resource, around: Around) -> Charges:
    """What searches that the cache has no answer to bring out of the domain into other zones, billed on both sides."""
    load = around.figures.load
    sent = load.searches_per_second * load.engine_answer_kb * ((1 - load.cache_hit_rate) * SECONDS / KB_PER_GB)
    yield crossed(
        "search engine and pods", around.share(sent, DOMAIN) * (around.crossing * 2), "load.searches_per_second"
    )


@prices(CONNECTION, "traffic between regions")
def followed(connection: Resource, around: Around) -> Charges:
    """What this domain takes from the one that it follows; it leaves the other region."""
    source = connection.text("remoteDomainInfo.region")
    sku = f"cross-cluster:{source}->{around.region}"
    moved = around.share(around.figures.search.followed_gb, CONNECTION)
    yield Charge("cross-cluster replication", ES, sku, moved, "search.followed_gb", region=source)
