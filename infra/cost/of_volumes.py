"""What EBS volumes cost: of nodes, of instances, and those that Kubernetes makes for claims.

EBS user guide, "General Purpose SSD volumes": a gp3 volume includes 3,000 IOPS and 125 MiB/s, whatever its size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from infra.cost.model import Charge, Range
from infra.cost.pricing import Around, Charges, NoFigureError, Resource, UnpricedError, plain, prices

EC2: Final = "AmazonEC2"

STORAGE_CLASS: Final = "kubernetes:storage.k8s.io/v1:StorageClass"

GP3_IOPS, GP3_MIBPS = Decimal(3000), Decimal(125)
IO2_TIER: Final = Decimal(32_000)
"""IOPS of an io2 volume at the first price (EBS pricing)."""

_WITH_IOPS: Final = ("gp3", "io1", "io2")
_TYPES: Final = (*_WITH_IOPS, "gp2", "st1", "sc1", "standard")


@dataclass(frozen=True)
class Volume:
    """One kind of volume.

    Attributes:
        kind: Its type, such as gp3.
        gib: Its size.
        iops: Provisioned.
        mibps: Provisioned, of gp3.
    """

    kind: str
    gib: Decimal
    iops: Decimal = Decimal(0)
    mibps: Decimal = Decimal(0)

    def charges(self, what: str, count: Range) -> Iterator[Charge]:
        """What so many of it cost: each of them has its own storage, IOPS and throughput.

        Raises:
            UnpricedError: Its type, or so many IOPS, have no price here.
        """
        if self.kind not in _TYPES:
            raise UnpricedError(what, f"{self.kind} is no type of EBS volume that is priced here")
        sku = f"ebs:{self.kind}"
        yield Charge(f"{what}, {self.kind}, {plain(self.gib)} GiB each", EC2, f"{sku}:storage", count * self.gib)
        if self.kind == "gp3":
            beyond = max(Decimal(0), self.iops - GP3_IOPS)
            yield Charge(f"{what}, IOPS beyond 3,000", EC2, f"{sku}:iops", count * beyond)
            beyond = max(Decimal(0), self.mibps - GP3_MIBPS)
            yield Charge(f"{what}, MiB/s beyond 125", EC2, f"{sku}:throughput", count * beyond)
        elif self.kind == "io1":
            yield Charge(f"{what}, IOPS", EC2, f"{sku}:iops", count * self.iops)
        elif self.kind == "io2":
            if self.iops > IO2_TIER:
                raise UnpricedError(what, f"{plain(self.iops)} IOPS are more than the first {IO2_TIER:,f}")
            yield Charge(f"{what}, IOPS", EC2, f"{sku}:iops:tier1", count * self.iops)


def read(resource: Resource, at: str, *, gib: str, kind: str, iops: str, mibps: str, usual: str = "gp2") -> Volume:
    """The volume that a block of a resource describes, by the names that the block has for each property."""
    found = resource.text(f"{at}{kind}", usual)
    return Volume(
        kind=found,
        gib=resource.number(f"{at}{gib}"),
        iops=resource.number(f"{at}{iops}", 0) if found in _WITH_IOPS else Decimal(0),
        mibps=resource.number(f"{at}{mibps}", 0) if found == "gp3" else Decimal(0),
    )


@prices("aws:ebs/volume:Volume", "storage, IOPS and throughput")
def volume(resource: Resource, around: Around) -> Charges:
    """A volume by itself."""
    its = read(resource, "", gib="size", kind="type", iops="iops", mibps="throughput")
    yield from its.charges("volume", Range.of(1))


@prices("aws:ebs/snapshot:Snapshot", "storage")
def snapshot(resource: Resource, around: Around) -> Charges:
    """A snapshot, whose size nobody knows before it is made."""
    raise NoFigureError("volumeId", "does not say how much of the volume is in use")


# Volumes of Kubernetes


@prices("kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster", "volumes")
def broker_volumes(resource: Resource, around: Around) -> Charges:
    """A volume for each broker, as its operator makes them (rabbitmq/cluster-operator: 10Gi unless told)."""
    count = Range.of(resource.number("spec.replicas", 1))
    size = resource.text("spec.persistence.storage", "10Gi")
    class_ = (
        resource.text("spec.persistence.storageClassName", "")
        if resource.has("spec.persistence.storageClassName")
        else ""
    )
    yield from _claimed(class_, size, around).charges(f"volumes, one to each of {plain(count.expected)} brokers", count)


@prices("kubernetes:apps/v1:StatefulSet", "volumes")
def set_volumes(resource: Resource, around: Around) -> Charges:
    """A volume for each claim template and replica."""
    count = Range.of(resource.number("spec.replicas", 1))
    for at in resource.each("spec.volumeClaimTemplates"):
        size = resource.text(f"{at}.spec.resources.requests.storage")
        class_ = resource.text(f"{at}.spec.storageClassName") if resource.has(f"{at}.spec.storageClassName") else ""
        yield from _claimed(class_, size, around).charges(
            f"volumes, one to each of {plain(count.expected)} pods", count
        )


@prices("kubernetes:core/v1:PersistentVolumeClaim", "volume")
def claimed_volume(resource: Resource, around: Around) -> Charges:
    """A volume for a claim."""
    class_ = resource.text("spec.storageClassName") if resource.has("spec.storageClassName") else ""
    size = resource.text("spec.resources.requests.storage")
    yield from _claimed(class_, size, around).charges("volume", Range.of(1))


def _claimed(name: str, size: str, around: Around) -> Volume:
    """What a storage class makes of a claim.

    Raises:
        NoFigureError: The plan does not hold the class, or it is not one of EBS.
    """
    for one in around.all(STORAGE_CLASS):
        if one.group("metadata").get("name") != name:
            continue
        if one.text("provisioner") != "ebs.csi.aws.com":
            raise UnpricedError(f"volumes of storage class {name}", "only ebs.csi.aws.com is priced here")
        kind = one.text("parameters.type", "gp3")
        return Volume(
            kind=kind,
            gib=(quantity(size) / 2**30).to_integral_value(rounding="ROUND_CEILING"),  # EBS has whole GiB
            iops=one.number("parameters.iops", 0),
            mibps=one.number("parameters.throughput", 0),
        )
    raise NoFigureError("storageClassName", f"is {name or 'the default'}, which the plan does not hold")


_QUANTITY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([a-zA-Z]{0,2})")
_SUFFIXES: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P"), 1)},
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi"), 1)},
}


def quantity(text: str) -> Decimal:
    """A quantity of Kubernetes, such as `500m` or `200Gi`, as a number.

    Raises:
        NoFigureError: It is none.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in _SUFFIXES:
        raise NoFigureError("quantity", f"is {text[:60]!r}, which Kubernetes does not take")
    return Decimal(match[1]) * _SUFFIXES[match[2]]
