"""What a region's OpenSearch domain looks like, decided before anything is built.

Every domain is Multi-AZ with standby, the one kind that AWS promises 99.99% for. Limits are AWS's own; each names its
source. "API" is the OpenSearch Service API reference (`CreateDomain`), "guide" the developer guide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from components.errors import ArgsError

if TYPE_CHECKING:  # A stack file is checked with this, too, and needs no SDK for it.
    from components.kms import Role

#: The newest that the API has: TLS 1.2 and 1.3, FIPS ciphers, post-quantum key exchange (API, TLSSecurityPolicy).
TLS_POLICY = "Policy-Min-TLS-1-2-FIPS-PQ-2026-10"

#: What each published log is called in its log group's name (API, LogType). The API has no others.
LOGS: Mapping[str, str] = {
    "index-slow": "INDEX_SLOW_LOGS",
    "search-slow": "SEARCH_SLOW_LOGS",
    "application": "ES_APPLICATION_LOGS",
    "audit": "AUDIT_LOGS",
}

#: With standby: that many zones, and one master in each (CreateDomain: "must use 3 Availability Zones", "must have 3
#: nodes that are eligible to be master nodes").
ZONES = MASTERS = 3
#: Data and warm nodes of one domain, without asking AWS for more (guide, "Domain and instance quotas").
MAX_NODES = 80
#: Fewest and most warm nodes (API, WarmCount).
WARM_NODES = (2, 150)
#: All data and warm nodes together, GiB (guide, "Domain and instance quotas": 3 PiB).
MAX_STORAGE_GIB = 3 * 2**20
#: Longest domain name (API, DomainName), and what the random part takes of it: a hyphen and 8 hexadecimal digits.
NAME_LENGTH, SUFFIX_LENGTH = 28, 9

#: Versions that CreateDomain takes (ListVersions, 2026) and standard support covers. With standby 1.3 would do.
VERSIONS = ("2.11", "2.13", "2.15", "2.17", "2.19", "3.1", "3.3", "3.5")
#: The last minor version of a major: it alone may be connected to a domain of the next (guide, "Cross-cluster
#: replication").
LAST_MINOR: Mapping[int, int] = {1: 3, 2: 19}


class Capacity(NamedTuple):
    """What an instance type has.

    Attributes:
        vcpus: Virtual CPUs.
        memory_gib: Memory; half of it, but at most 32 GiB, is the Java heap.
        storage_gib: The largest gp3 volume that AWS attaches to it.
    """

    vcpus: int
    memory_gib: int
    storage_gib: int

    @property
    def heap_gib(self) -> int:
        """Java heap (guide, "Java process quota")."""
        return min(self.memory_gib // 2, 32)


_TIB = 1024
_SIZES = {"large": 2, "xlarge": 4} | {f"{n}xlarge": 4 * n for n in (2, 4, 8, 9, 12, 18)}
#: GiB of memory per vCPU, and the largest gp3 volume in TiB by size (guide, "EBS volume size quotas"). These are the
#: families that AWS listed for Multi-AZ with standby, without those that have local disks and take no EBS (i3, r6gd).
#: Newer ones (m7g, r7g, ...) are left out until their limits are known here. Burstable ones are refused by AWS.
FAMILIES: Mapping[str, tuple[int, Mapping[str, float]]] = {
    "c5": (2, {"large": 0.25, "xlarge": 0.5, "2xlarge": 1, "4xlarge": 1.5, "9xlarge": 3.5, "18xlarge": 7}),
    "c6g": (2, {"large": 0.25, "xlarge": 0.5, "2xlarge": 1, "4xlarge": 1.5, "8xlarge": 3, "12xlarge": 4.5}),
    "m5": (4, {"large": 1, "xlarge": 2, "2xlarge": 3, "4xlarge": 6, "12xlarge": 18}),
    "m6g": (4, {"large": 1, "xlarge": 2, "2xlarge": 3, "4xlarge": 6, "8xlarge": 12, "12xlarge": 18}),
    "r5": (8, {"large": 2, "xlarge": 3, "2xlarge": 6, "4xlarge": 12, "12xlarge": 24}),
    "r6g": (8, {"large": 2, "xlarge": 3, "2xlarge": 6, "4xlarge": 12, "8xlarge": 16, "12xlarge": 24}),
}

#: What a warm node can address in S3, GiB (guide, "UltraWarm storage quotas"). The API's third type has no quota there.
WARM_TYPES: Mapping[str, int] = {"ultrawarm1.medium.search": 1536, "ultrawarm1.large.search": 20 * _TIB}

#: Memory that a dedicated master needs (GiB) up to a number of other nodes (guide, "Dedicated master nodes").
MASTER_MEMORY: Mapping[int, int] = {10: 8, 30: 16, 75: 32, 125: 64, 200: 128}


def capacity(instance_type: str) -> Capacity:
    """What an instance type has.

    Raises:
        ArgsError: It is not a type that this service runs its domain on.
    """
    match = re.fullmatch(r"([a-z0-9]+)\.([a-z0-9]+)\.search", instance_type)
    if match is None:
        raise ArgsError(
            f"instance type is {instance_type!r}",
            why="an OpenSearch instance type is <family>.<size>.search",
            remedy="Write it like m6g.4xlarge.search",
        )
    family, size = match.groups()
    if family not in FAMILIES:
        why = "its limits in a domain with standby are not known here"
        if family.startswith("t"):
            why = "a domain with standby takes no burstable type"
        elif family in ("i3", "r6gd", "r7gd", "im4gn", "i4g", "i4i"):
            why = "it has local disks and takes no EBS volume"
        elif family == "ultrawarm1":
            why = "it serves warm indexes only"
        raise ArgsError(f"instance type is {instance_type}", why=why, remedy=f"Take one of {', '.join(FAMILIES)}")
    ratio, volumes = FAMILIES[family]
    if size not in volumes:
        raise ArgsError(
            f"instance type is {instance_type}",
            why=f"{family} comes in {', '.join(volumes)}",
            remedy="Take one of these sizes",
        )
    return Capacity(_SIZES[size], _SIZES[size] * ratio, round(volumes[size] * _TIB))


def parse_version(version: str) -> tuple[int, int]:
    """Major and minor of an engine version.

    Raises:
        ArgsError: It is malformed, or AWS does not create it in standard support.
    """
    match = re.fullmatch(r"OpenSearch_(\d{1,2})\.(\d{1,2})", version)
    if match is None:
        raise ArgsError(
            f"engine version is {version!r}",
            why="AWS names it OpenSearch_<major>.<minor>",
            remedy=f"Write it like OpenSearch_{VERSIONS[-1]}",
        )
    if version.removeprefix("OpenSearch_") not in VERSIONS:
        raise ArgsError(
            f"engine version is {version}",
            why=f"AWS creates {', '.join(VERSIONS)} in standard support",
            remedy="Take one of these",
        )
    return int(match[1]), int(match[2])


def may_connect(follower: str, leader: str) -> bool:
    """Whether a domain may follow one of another version: the same major, or the last minor below the next major.

    Source: guide, "Cross-cluster replication". A follower is upgraded before its leader, since an older one cannot read
    what a newer one wrote. When the connection is made, the leader may not be the older one either: then only the same
    version does, which a plan cannot tell from an upgrade.

    Raises:
        ArgsError: A version is malformed or not offered.
    """
    ours, theirs = parse_version(follower), parse_version(leader)
    if ours[0] == theirs[0]:
        return ours >= theirs
    return ours[0] == theirs[0] + 1 and LAST_MINOR.get(theirs[0]) == theirs[1]


#: Fewest GiB of a volume (guide, "EBS volume size quotas").
MIN_VOLUME_GIB = 10
#: Baseline of gp3 that OpenSearch includes: 3 IOPS per GiB and 250 MiB/s per 3,000 GiB begun, between these. It takes
#: no lower figure (pricing calculator, "gp3 storage").
GP3_IOPS, GP3_MIBPS = (3_000, 16_000), (250, 1_000)


@dataclass(frozen=True, kw_only=True)
class Volume:
    """gp3 storage of one data node.

    Attributes:
        size_gib: Its size. It can grow in place, and shrink by a blue/green deployment only.
        iops: Provisioned; ``None`` for what the size includes.
        throughput_mibps: Provisioned, MiB/s; ``None`` for what the size includes.

    Raises:
        ArgsError: OpenSearch would refuse the volume whatever it is attached to.
    """

    size_gib: int
    iops: int | None = None
    throughput_mibps: int | None = None

    def __post_init__(self) -> None:
        if self.size_gib < MIN_VOLUME_GIB:
            raise ArgsError(f"storage is {self.size_gib} GiB", why=f"a data node has at least {MIN_VOLUME_GIB} GiB")
        iops, throughput = self.provisioned
        # Each 3 TiB begun may have another volume's worth; no volume takes more than 500 IOPS per GiB.
        volumes = ceil(self.size_gib / (3 * _TIB))
        lowest, highest = self._included[0], max(self._included[0], min(GP3_IOPS[1] * volumes, 500 * self.size_gib))
        if not lowest <= iops <= highest:
            raise ArgsError(f"IOPS are {iops}", why=f"{self.size_gib} GiB of gp3 take {lowest} to {highest}")
        lowest, highest = self._included[1], max(self._included[1], min(GP3_MIBPS[1] * volumes, iops // 4))
        if not lowest <= throughput <= highest:
            raise ArgsError(
                f"throughput is {throughput} MiB/s",
                why=f"{self.size_gib} GiB of gp3 with {iops} IOPS take {lowest} to {highest}",
            )

    @property
    def _included(self) -> tuple[int, int]:
        iops = min(GP3_IOPS[1], max(GP3_IOPS[0], 3 * self.size_gib))
        return iops, min(GP3_MIBPS[1], ceil(self.size_gib / 3000) * GP3_MIBPS[0])

    @property
    def provisioned(self) -> tuple[int, int]:
        """IOPS and MiB/s to ask for: left out, a change of size would set both back to the smallest volume's."""
        iops, throughput = self._included
        return self.iops or iops, self.throughput_mibps or throughput


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Nodes of one kind.

    Attributes:
        count: How many, in all zones together.
        instance_type: Of each, such as ``m6g.4xlarge.search``.
    """

    count: int
    instance_type: str


@dataclass(frozen=True, kw_only=True)
class DomainPlan:
    """One domain to be, known to be acceptable to AWS.

    Attributes:
        engine_version: ``OpenSearch_<major>.<minor>``.
        hot: Data nodes: hold what is written and searched.
        masters: Dedicated masters: hold the cluster together.
        warm: UltraWarm nodes: search older indexes in S3; ``None`` for none.
        coordinators: Route requests and merge answers; ``None`` leaves that to the data nodes.
        volume: Storage of each data node.
        cold: Whether indexes can be laid by in S3 without any node.
    """

    engine_version: str
    hot: Nodes
    masters: Nodes
    warm: Nodes | None
    coordinators: Nodes | None
    volume: Volume
    cold: bool

    @property
    def nodes(self) -> int:
        """All nodes, masters included."""
        return sum(nodes.count for nodes in (self.hot, self.masters, self.warm, self.coordinators) if nodes)

    def cluster_config(self) -> dict[str, Any]:
        """The plan as the provider's ``cluster_config``."""
        config: dict[str, Any] = {
            "instance_type": self.hot.instance_type,
            "instance_count": self.hot.count,
            "dedicated_master_enabled": True,
            "dedicated_master_type": self.masters.instance_type,
            "dedicated_master_count": self.masters.count,
            "zone_awareness_enabled": True,
            "zone_awareness_config": {"availability_zone_count": ZONES},
            "multi_az_with_standby_enabled": True,
            "warm_enabled": self.warm is not None,
            "cold_storage_options": {"enabled": self.cold},
        }
        if self.warm is not None:
            config |= {"warm_type": self.warm.instance_type, "warm_count": self.warm.count}
        if self.coordinators is not None:
            node = {"enabled": True, "type": self.coordinators.instance_type, "count": self.coordinators.count}
            config["node_options"] = [{"node_type": "coordinator", "node_config": node}]
        return config


def plan_domain(
    *,
    engine_version: str,
    zones: Sequence[str],
    hot: Nodes,
    master_type: str,
    volume: Volume,
    warm: Nodes | None = None,
    coordinators: Nodes | None = None,
    cold: bool = False,
) -> DomainPlan:
    """A domain with standby.

    Args:
        engine_version: ``OpenSearch_<major>.<minor>``.
        zones: The zones of the region; a domain with standby lives in the first three.
        hot: Data nodes, a multiple of three.
        master_type: Instance type of the three masters.
        volume: Storage of each data node.
        warm: UltraWarm nodes, a multiple of three.
        coordinators: Coordinating nodes, a multiple of three.
        cold: Whether there is cold storage, which is reached through warm nodes.

    Raises:
        ArgsError: AWS would refuse the domain, or a zone would be left with fewer nodes than another.
    """
    parse_version(engine_version)
    if len(zones) < ZONES:
        raise ArgsError(
            f"zones are {', '.join(zones) or 'none'}",
            why=f"a domain with standby lives in {ZONES} zones",
            remedy="Give the network three zones",
        )
    data, master = capacity(hot.instance_type), capacity(master_type)
    _check_spread("data", hot)
    if volume.size_gib > data.storage_gib:
        raise ArgsError(
            f"storage is {volume.size_gib} GiB",
            why=f"{hot.instance_type} takes a gp3 volume of at most {data.storage_gib} GiB",
            remedy="Take less for each of more data nodes, or a larger type",
        )
    total = hot.count * volume.size_gib
    if warm is not None:
        total += warm.count * _warm_storage(warm)
    if coordinators is not None:
        capacity(coordinators.instance_type)
        _check_spread("coordinating", coordinators)
    if cold and warm is None:
        raise ArgsError("cold storage is on without warm nodes", why="they are what attaches a cold index again")
    storing = hot.count + (warm.count if warm else 0)
    if storing > MAX_NODES:
        raise ArgsError(
            f"data and warm nodes are {storing}",
            why=f"AWS allows {MAX_NODES} in a domain until it is asked for more",
            remedy="Take larger nodes, or have the quota raised and then MAX_NODES",
        )
    if total > MAX_STORAGE_GIB:
        raise ArgsError(f"storage is {total} GiB in all", why=f"a domain has at most {MAX_STORAGE_GIB} GiB (3 PiB)")
    served = storing + (coordinators.count if coordinators else 0)
    least = next(memory for count, memory in MASTER_MEMORY.items() if served <= count)
    if master.memory_gib < least:
        raise ArgsError(
            f"masters are {master_type} with {master.memory_gib} GiB",
            why=f"they look after {served} nodes, for which AWS advises {least} GiB",
            remedy="Take a larger type",
        )
    return DomainPlan(
        engine_version=engine_version,
        hot=hot,
        masters=Nodes(count=MASTERS, instance_type=master_type),
        warm=warm,
        coordinators=coordinators,
        volume=volume,
        cold=cold,
    )


def _check_spread(what: str, nodes: Nodes) -> None:
    """AWS says it of data and warm nodes; uneven coordinators would leave the survivors of a zone with more each."""
    if nodes.count < ZONES or nodes.count % ZONES:
        raise ArgsError(
            f"{what} nodes are {nodes.count}",
            why=f"each of {ZONES} zones must have as many, or the loss of one takes more than its share",
            remedy=f"Take {max(ZONES, ceil(nodes.count / ZONES) * ZONES)}",
        )


def _warm_storage(warm: Nodes) -> int:
    """What one warm node can address, GiB."""
    if warm.instance_type not in WARM_TYPES:
        raise ArgsError(f"warm type is {warm.instance_type!r}", why=f"AWS has {', '.join(WARM_TYPES)}")
    _check_spread("warm", warm)
    if not WARM_NODES[0] <= warm.count <= WARM_NODES[1]:
        raise ArgsError(f"warm nodes are {warm.count}", why=f"AWS allows {WARM_NODES[0]} to {WARM_NODES[1]}")
    return WARM_TYPES[warm.instance_type]


def check_name(name: str) -> None:
    """Refuses a logical name that no domain can be named after.

    Raises:
        ArgsError: With its random part it would be too long, or it has characters that a domain's name has not.
    """
    most = NAME_LENGTH - SUFFIX_LENGTH
    if not re.fullmatch(rf"[a-z][a-z0-9-]{{1,{most - 1}}}", name):
        raise ArgsError(
            f"the component is named {name!r}",
            why=f"its domain is named after it: 2 to {most} lower-case letters, digits and hyphens, a letter first",
        )


#: When the nightly window begins, UTC. Both regions' nights overlap, which hurts nobody: what is done in it is done one
#: zone at a time or blue/green, and the domain goes on answering.
OFF_PEAK: Mapping[Role, str] = {"primary": "03:00", "standby": "06:00"}


def plan_off_peak(start: str) -> dict[str, Any]:
    """The off-peak window as the provider takes it.

    Args:
        start: ``hh:mm``, UTC; it lasts 10 hours.

    Raises:
        ArgsError: It is malformed.
    """
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", start)
    if match is None:
        raise ArgsError(f"off-peak window begins at {start!r}", why="its start is written hh:mm, in UTC")
    moment = {"hours": int(match[1]), "minutes": int(match[2])}
    return {"enabled": True, "off_peak_window": {"window_start_time": moment}}
