"""What a Kubernetes cluster costs: its control plane, and its nodes between the bounds of their groups."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from infra.cost import of_volumes
from infra.cost.model import HOURS, Charge, Range
from infra.cost.of_volumes import EC2, Volume
from infra.cost.pricing import Around, Charges, NoFigureError, OneOf, Resource, UnpricedError, plain, prices
from stacks.offers import KUBERNETES_SUPPORT

CLUSTER: Final = "aws:eks/cluster:Cluster"
GROUP: Final = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
INSTANCE: Final = "aws:ec2/instance:Instance"

METRICS: Final = 7
"""Metrics of an instance with detailed monitoring, each at the price of a custom metric (CloudWatch pricing)."""

DEFAULT_TYPE: Final = "t3.medium"
"""What EKS starts where a group names no type (EKS API, CreateNodegroup)."""

DEFAULT_GIB: Final = Decimal(20)
"""Root volume of a node without a launch template (EKS API, CreateNodegroup, diskSize)."""


@prices(CLUSTER, "control plane")
def control_plane(cluster: Resource, around: Around) -> Charges:
    """Hours, at six times the price once the version is in extended support and the cluster may stay on it."""
    version = cluster.text("version") if cluster.has("version") else max(KUBERNETES_SUPPORT, key=_parsed)
    stays = cluster.text("upgradePolicy.supportType", "EXTENDED") == "EXTENDED"
    if stays and extended(version, around.day):
        what, sku = f"control plane, {version} in extended support", "cluster:extended-support:total"
    else:
        what, sku = "control plane", "cluster:standard-support"
    yield Charge(what, "AmazonEKS", sku, Range.of(HOURS))


@prices(CLUSTER, "traffic between zones")
def between_pods(cluster: Resource, around: Around) -> Charges:
    """What pods send to each other across zones, billed where it leaves and where it arrives."""
    moved = around.share(around.figures.traffic.pods_cross_zone_gb, CLUSTER) * 2
    yield crossed("between pods", moved, "traffic.pods_cross_zone_gb")


def crossed(what: str, moved: Range, usage: str) -> Charge:
    """Data between zones; `moved` counts each side that it is billed on."""
    return Charge(f"between zones: {what}", "AWSDataTransfer", "inter-az:each-direction", moved, usage)


def extended(version: str, day: str) -> bool:
    """Whether a version of Kubernetes is in extended support on a day.

    Raises:
        NoFigureError: It is no version.
    """
    if version in KUBERNETES_SUPPORT:
        last = KUBERNETES_SUPPORT[version]
        return bool(last) and day > last
    return _parsed(version) < min(map(_parsed, KUBERNETES_SUPPORT))


def _parsed(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    if not (major.isascii() and minor.isascii() and major.isdigit() and minor.isdigit() and len(version) < 9):
        raise NoFigureError("version", f"is {version[:60]!r}, which is no version of Kubernetes")
    return int(major), int(minor)


# Nodes


@prices(GROUP, "nodes")
def nodes(group: Resource, around: Around) -> Charges:
    """Hours of nodes between the group's bounds. Of several types the autoscaler picks as it goes."""
    if group.text("amiType", "AL2_x86_64").startswith("WINDOWS"):
        raise UnpricedError("nodes", "nodes with Windows have other prices")
    count, types = bounds(group, around), _types(group, around)
    spot = group.text("capacityType", "ON_DEMAND") == "SPOT"
    saving = around.figures.compute.spot_saving if spot else Decimal(0)
    assumed = f"Spot at {plain(1 - saving)} of the price on demand (usage: compute.spot_saving)" if spot else ""
    usage = "compute.nodes" if group.name in around.figures.compute.nodes else ""
    many = f"{plain(count.expected)} x " + (f"one of {len(types)} types: " if len(types) > 1 else "")
    alternatives = tuple(
        Charge(
            f"{'Spot ' if spot else ''}nodes, {many}{type_}",
            EC2,
            f"instance:{type_}:linux:on-demand",
            count * HOURS,
            usage,
            1 - saving,
            assumed,
        )
        for type_ in types
    )
    yield alternatives[0] if len(types) == 1 else OneOf(alternatives)


@prices(GROUP, "volumes")
def node_volumes(group: Resource, around: Around) -> Charges:
    """The volumes of each node, from its launch template."""
    template, count = _template(group, around), bounds(group, around)
    if template is None:
        its = Volume("gp3", group.number("diskSize", DEFAULT_GIB))
        yield from its.charges("volumes of nodes", count)
        return
    for at in template.each("blockDeviceMappings"):
        if template.has(f"{at}.ebs"):
            yield from _block(template, f"{at}.ebs.").charges("volumes of nodes", count)


@prices(GROUP, "detailed monitoring")
def node_metrics(group: Resource, around: Around) -> Charges:
    """A metric a minute instead of one in five."""
    template = _template(group, around)
    if template is not None and template.flag("monitoring.enabled"):
        yield _detailed(bounds(group, around))


def _detailed(count: Range) -> Charge:
    what = f"detailed monitoring, {METRICS} metrics of each instance"
    return Charge(what, "AmazonCloudWatch", "metric", count * METRICS)


def _block(resource: Resource, at: str) -> Volume:
    return of_volumes.read(resource, at, gib="volumeSize", kind="volumeType", iops="iops", mibps="throughput")


def bounds(group: Resource, around: Around) -> Range:
    """How many nodes a group has: the plan's least, desired and most, or what the usage file says."""
    told = around.figures.compute.nodes.get(group.name)
    if told is not None:
        return told
    low, high = group.number("scalingConfig.minSize"), group.number("scalingConfig.maxSize")
    expected = group.number("scalingConfig.desiredSize")
    if not low <= expected <= high:
        raise NoFigureError("scalingConfig", f"is not in order: {plain(low)} <= {plain(expected)} <= {plain(high)}")
    return Range(low, expected, high)


def _types(group: Resource, around: Around) -> list[str]:
    found = [group.text(at) for at in group.each("instanceTypes")]
    template = _template(group, around) if not found else None
    if template is not None and template.has("instanceType"):
        return [template.text("instanceType")]
    return found or [DEFAULT_TYPE]


def _template(group: Resource, around: Around) -> Resource | None:
    """A group's launch template: of those of the same component, the one whose name the group's begins with.

    Its id is made up by the cloud, and not known before the update.

    Raises:
        NoFigureError: The group has one, and the plan does not hold it.
    """
    if not group.has("launchTemplate"):
        return None
    named: dict[tuple[str, str], Resource] = around.kept(
        TEMPLATE, lambda: {(one.parent, one.name): one for one in around.all(TEMPLATE)}
    )
    words = group.name.split("-")
    for length in range(len(words), 0, -1):
        if found := named.get((group.parent, "-".join(words[:length]))):
            return found
    raise NoFigureError("launchTemplate", "is none that the plan holds under the group's name")


# Instances by themselves


@prices(INSTANCE, "hours")
def instance(resource: Resource, around: Around) -> Charges:
    """An instance that runs all month."""
    type_ = resource.text("instanceType")
    if resource.text("tenancy", "default") != "default":
        raise UnpricedError("hours", "dedicated hardware has other prices")
    yield Charge(f"instance, {type_}", EC2, f"instance:{type_}:linux:on-demand", Range.of(HOURS))


@prices(INSTANCE, "volumes")
def instance_volumes(resource: Resource, around: Around) -> Charges:
    """Its root volume, 8 GiB unless told, and all others."""
    root = "rootBlockDevice"
    size = resource.number(f"{root}.volumeSize", 8)
    kind = resource.text(f"{root}.volumeType", "gp2")
    its = Volume(kind, size, resource.number(f"{root}.iops", 0), resource.number(f"{root}.throughput", 0))
    yield from its.charges("root volume", Range.of(1))
    for at in resource.each("ebsBlockDevices"):
        yield from _block(resource, f"{at}.").charges("volume", Range.of(1))


@prices(INSTANCE, "detailed monitoring")
def instance_metrics(resource: Resource, around: Around) -> Charges:
    """A metric a minute instead of one in five."""
    if resource.flag("monitoring"):
        yield _detailed(Range.of(1))
