"""Machines and disks of a generation that is worth its price."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from policies.eks import NODE_GROUP, STORAGE_CLASS, VOLUME
from policies.network import INSTANCE, LAUNCH_TEMPLATE
from policies.rule import UNKNOWN, Finding, Resource, Severity, Want, items, judge, look, must, rule

DATABASE: Final = "aws:rds/instance:Instance"

OLD: Final = frozenset("a1 c1 c3 c4 cc1 cc2 cg1 cr1 d2 f1 g2 g3 g3s h1 hi1 hs1 i2 m1 m2 m3 m4 p2 r3 r4 t1 t2".split())
"""Families that AWS calls previous (https://aws.amazon.com/ec2/previous-generation/), or that newer ones beat in price
and speed."""

_FAMILY: Final = re.compile(r"([a-z][a-z0-9-]*)\.[a-z0-9-]+")


def _current(value: Any) -> bool:
    found = _FAMILY.fullmatch(value) if isinstance(value, str) else None
    return found is not None and found[1] not in OLD


CURRENT: Final = Want("a type of a current generation", _current)
CURRENT_OR_ABSENT: Final = Want(CURRENT.text, lambda value: value is None or _current(value))
DISK: Final = Want("gp3 or io2", lambda value: value in ("gp3", "io2"))

TYPES: Final[dict[str, tuple[str, ...]]] = {
    INSTANCE: ("instanceType",),
    LAUNCH_TEMPLATE: ("instanceType",),
    NODE_GROUP: ("instanceTypes[*]",),
}
"""Where a resource names machines. Each store's own rules say what it may run on."""


@rule(
    "cost-old-gen",
    on=(*TYPES, DATABASE, VOLUME, STORAGE_CLASS),
    severity=Severity.MEDIUM,
    why="Old generations cost more for less, and are the first to have no capacity left",
    remedy="Take gp3 and a current family; whether of Intel, AMD or Graviton does not matter",
    reference="https://aws.amazon.com/ec2/previous-generation/",
)
def old_generation(resource: Resource) -> Iterator[Finding]:
    """Machines and disks are of a current generation."""
    for pattern in TYPES.get(resource.type, ()):
        for path, value in _each(resource, pattern):
            # Absent: a launch template takes its node group's.
            yield from judge(value, path, CURRENT_OR_ABSENT)
    yield from _disks(resource)


def _each(resource: Resource, pattern: str) -> Iterator[tuple[str, Any]]:
    each = pattern.removesuffix("[*]")
    yield from items(resource, each) if each != pattern else [(pattern, resource.get(pattern))]


def _disks(resource: Resource) -> Iterator[Finding]:
    if resource.type == VOLUME:
        yield from must(resource, "type", DISK)
    elif resource.type == DATABASE:
        # A replica takes its source's unless it is told otherwise.
        source = resource.get("replicateSourceDb")
        if resource.get("storageType") is not None or source is None:
            yield from must(resource, "storageType", DISK)
    elif resource.type == STORAGE_CLASS:
        if resource.get("provisioner") in ("ebs.csi.aws.com", "kubernetes.io/aws-ebs"):
            # Absent means gp3 to the driver.
            want = Want("gp3, io2 or absent", lambda value: value in (None, "gp3", "io2"))
            yield from must(resource, "parameters.type", want)
    elif resource.type == LAUNCH_TEMPLATE:
        for path, one in items(resource, "blockDeviceMappings"):
            disk = one if one is UNKNOWN else look(one, "ebs")
            if disk is not None:
                yield from judge(look(disk, "volumeType"), f"{path}.ebs.volumeType", DISK)
