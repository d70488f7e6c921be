"""What may differ between stacks: one `Pulumi.<stack>.yaml` as a value that is right or does not exist.

    StackConfig
    ├── role, region, peer, account_id, locked, domain
    ├── tags         Tags
    ├── network      NetworkConfig
    ├── database     DatabaseConfig    primary, replicas, windows
    ├── alarms       AlarmsConfig
    ├── kubernetes   KubernetesConfig
    └── search       SearchConfig      replicas, requests

What is safe for every production region is a default of a component's arguments and not in here; what is the same in
each region unless somebody has a reason is a default here; what differs (role, place, sizes, versions in an upgrade) is
required and stands in the YAML. Values of secrets never come near it.

What must hold between stacks is in `stacks/fleet.py`; `stacks/settings.py` makes `docs/config.md` from these models.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from stacks.offers import POSTGRES_VERSIONS, REGIONS, RegionOffer
from stacks.stack_file import Fault, StackFile, Strict, Unit, suggest

Role = Literal["primary", "standby"]

Gib = Annotated[int, Unit("GiB")]
Mib = Annotated[int, Unit("MiB")]
TagValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.:/=+@-]{0,254}$")]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = f"({'|'.join(_DAYS)})"
_CLOCK: Final = r"([01]\d|2[0-3]):[0-5]\d"
PRIVATE_BLOCKS: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
GP3_SPLIT_GIB: Final = 400
"""Below this, RDS refuses gp3 iops and throughput for PostgreSQL; from it on, 12000 IOPS and 500 MiB/s come with it."""
GP3_IOPS: Final = (12000, 64000)
GP3_MIBPS: Final = (500, 4000)
"""Least and most that RDS lets one ask of gp3 from there on (RDS user guide, "gp3 storage")."""
REPLICA_VERSION_RULE: Final = "a replica has the major version of its source and is upgraded before it"
OLDEST_KUBERNETES_MINOR: Final = 34
"""EKS charges extended support (0.50 USD more per cluster and hour) for 1.31 to 1.33 as of November 2026."""


def divisible_by_zones(key: str, count: int, zones: int) -> Iterator[Fault]:
    """A count that has to be the same in each zone.

    A floor that zones share unevenly is not the floor it claims to be: the zone with the most copies is as likely to
    fail as any other, and what is left then is less than planned.

    Args:
        key: Key path of the count.
        count: How many.
        zones: Number of zones, at least 1.
    """
    if count % zones:
        below, above = count - count % zones, count - count % zones + zones
        choice = " or ".join(f"{n} ({n // zones} per zone)" for n in (below, above) if n)
        yield Fault(
            key, f"{zones} zones do not divide it, so one zone's loss takes more than its share", f"Write {choice}"
        )


def weekly_minutes(window: str) -> frozenset[int]:
    """Minutes of the week, from Monday 00:00 UTC, in a window; a window without a day is on each day."""
    week = 7 * 24 * 60
    ends = []
    for part in window.split("-"):
        *day, hours, minutes = part.split(":")
        ends.append((_DAYS.index(day[0]) * 24 * 60 if day else 0) + int(hours) * 60 + int(minutes))
    daily = window[0].isdigit()
    length = (ends[1] - ends[0]) % (24 * 60 if daily else week)
    starts = range(ends[0], week, 24 * 60) if daily else (ends[0],)
    return frozenset((start + minute) % week for start in starts for minute in range(length))


def may_follow(replica: str, source: str) -> bool:
    """Whether PostgreSQL of one version (`17.11`) can be a replica of another: same major, not older."""
    (major, minor), (its_major, its_minor) = (map(int, version.split(".")) for version in (replica, source))
    return major == its_major and minor >= its_minor


class Tags(Strict):
    """Default tags of every resource."""

    owner: TagValue = Field(description="team that answers for the resources")
    environment: TagValue = Field(description="production, staging or the like")
    service: TagValue = Field(description="product that the resources belong to")
    tenant_class: TagValue = Field(description="which tenants they serve: shared or the name of a dedicated one")
    cost_centre: TagValue = Field(description="where their cost is booked")

    def by_key(self) -> dict[str, str]:
        """As AWS tags, with hyphens: `cost-centre`."""
        return {key.replace("_", "-"): value for key, value in self.model_dump().items()}


class NetworkConfig(Strict):
    """Address space and zones."""

    cidr: IPv4Network = Field(description="the region's /16 of private addresses; no two regions may overlap")
    zones: tuple[str, ...] = Field(
        min_length=2, max_length=4, description="availability zones, two to four of the region"
    )

    def _faults(self) -> Iterator[Fault]:
        if self.cidr.prefixlen != 16:
            remedy = f"Write {self.cidr.network_address}/16 or another /16"
            yield Fault("cidr", "the subnet plan needs a /16: three tiers for four zones", remedy)
        if not any(self.cidr.subnet_of(block) for block in PRIVATE_BLOCKS):
            yield Fault("cidr", "it is not private address space (RFC 1918)", "Write a /16 of 10.0.0.0/8")
        for index, zone in enumerate(self.zones):
            if zone in self.zones[:index]:
                yield Fault(f"zones.{index}", "the zone is already in the list", "Name each zone once")


class DatabaseInstance(Strict):
    """The instance that takes the writes; in a standby, the replica that would after promotion."""

    instance_class: str = Field(description="RDS instance class that the region offers, such as db.m7g.4xlarge")
    allocated_gib: Gib = Field(ge=20, le=65536, description="gp3 storage to start with; RDS never shrinks it")
    max_allocated_gib: Gib = Field(ge=22, le=65536, description="where storage autoscaling stops")
    iops: Annotated[int | None, Unit("IOPS")] = Field(
        default=None,
        ge=GP3_IOPS[0],
        le=GP3_IOPS[1],
        description="provisioned gp3 IOPS, from 400 GiB on; absent means 12000",
    )
    throughput_mibps: Annotated[int | None, Unit("MiB/s")] = Field(
        default=None,
        ge=GP3_MIBPS[0],
        le=GP3_MIBPS[1],
        description="provisioned gp3 throughput, from 400 GiB on; absent means 500",
    )

    def _faults(self) -> Iterator[Fault]:
        # RDS asks for 10% between the two, or autoscaling has no room for its smallest step.
        least = -(-self.allocated_gib * 11 // 10)
        if self.max_allocated_gib < least:
            remedy = f"Write at least {least}, better {min(65536, -(-self.allocated_gib * 126 // 100))} GiB"
            yield Fault("max_allocated_gib", f"it must exceed allocated_gib ({self.allocated_gib}) by 10%", remedy)
        for key in ("iops", "throughput_mibps"):
            if getattr(self, key) is not None and self.allocated_gib < GP3_SPLIT_GIB:
                remedy = f"Remove it, or allocate {GP3_SPLIT_GIB} GiB or more"
                yield Fault(key, f"RDS refuses it below {GP3_SPLIT_GIB} GiB of gp3 for PostgreSQL", remedy)
        iops = self.iops or max(GP3_IOPS[0], -(-self.allocated_gib // 2))
        if self.iops is not None and not self.allocated_gib <= 2 * self.iops <= 100 * self.allocated_gib:
            low, high = max(GP3_IOPS[0], -(-self.allocated_gib // 2)), min(GP3_IOPS[1], 50 * self.allocated_gib)
            yield Fault("iops", "RDS allows half an IOPS to 50 IOPS per GiB", f"Write {low} to {high}")
        if self.throughput_mibps is not None and self.throughput_mibps > iops // 4:
            remedy = f"Write at most {iops // 4}, or raise iops"
            yield Fault("throughput_mibps", f"RDS allows a quarter of the IOPS ({iops})", remedy)


class DatabaseReplicas(Strict):
    """Read replicas within the region."""

    count: int = Field(ge=0, le=15, description="number of read replicas; RDS allows 15 of one source")
    instance_class: str = Field(description="RDS instance class of each")
    engine_version: str | None = Field(
        default=None, description="their PostgreSQL version during a minor upgrade; absent means the primary's"
    )


class DatabaseConfig(Strict):
    """PostgreSQL on RDS."""

    engine_version: str = Field(description="PostgreSQL version, major.minor; upgrade the standby's first")
    primary: DatabaseInstance = Field(description="the instance that takes the writes")
    replicas: DatabaseReplicas = Field(description="read replicas in this region")
    backup_window: str = Field(
        default="07:00-08:00",
        pattern=rf"^{_CLOCK}-{_CLOCK}$",
        description="daily, UTC, as 07:00-08:00; the default is night in both US regions",
    )
    maintenance_window: str = Field(
        pattern=rf"^{_DAY}:{_CLOCK}-{_DAY}:{_CLOCK}$",
        description="weekly, UTC, as sun:09:00-sun:10:00; not at the same time in two regions",
    )

    def _faults(self) -> Iterator[Fault]:
        versions = {"engine_version": self.engine_version, "replicas.engine_version": self.replicas.engine_version}
        unknown = {key: version for key, version in versions.items() if version and version not in POSTGRES_VERSIONS}
        for key, version in unknown.items():
            reason = "RDS does not create this version of PostgreSQL in standard support"
            yield Fault(key, reason, suggest(version, POSTGRES_VERSIONS))
        if not unknown and not may_follow(self.replicas.engine_version or self.engine_version, self.engine_version):
            remedy = f"Write {self.engine_version} or a later {self.engine_version.split('.')[0]}.x"
            yield Fault("replicas.engine_version", REPLICA_VERSION_RULE, remedy)
        backup, maintenance = (weekly_minutes(self.backup_window), weekly_minutes(self.maintenance_window))
        for key, length in (("backup_window", len(backup) // 7), ("maintenance_window", len(maintenance))):
            if length < 30:
                yield Fault(key, f"it lasts {length} minutes and RDS needs 30", "Make it longer")
        if backup & maintenance:
            reason = f"it overlaps backup_window ({self.backup_window}), which RDS refuses"
            yield Fault("maintenance_window", reason, "Move one of them")


class AlarmsConfig(Strict):
    """Who hears of trouble. A paging service that subscribes itself to the topics needs no address here."""

    page: tuple[Email, ...] = Field(default=(), description="e-mail addresses that a page wakes")
    ticket: tuple[Email, ...] = Field(default=(), description="e-mail addresses that tickets go to")


class KubernetesConfig(Strict):
    """The cluster that the service runs in."""

    version: str = Field(pattern=r"^1\.\d{2}$", description="Kubernetes version, as 1.35; upgrade the standby's first")
    namespace: DnsLabel = Field(default="docsearch", description="namespace of the service")

    def _faults(self) -> Iterator[Fault]:
        if int(self.version.removeprefix("1.")) < OLDEST_KUBERNETES_MINOR:
            reason = "EKS has it in extended support only, at six times the price"
            yield Fault("version", reason, f"Write 1.{OLDEST_KUBERNETES_MINOR} or newer")


class ReplicaRange(Strict):
    """Bounds of autoscaling."""

    min: int = Field(ge=1, le=1000, description="pods that always run; the zones must divide it")
    max: int = Field(ge=1, le=1000, description="pods at which autoscaling stops")

    def _faults(self) -> Iterator[Fault]:
        if self.max < self.min:
            yield Fault("max", f"it is less than min ({self.min})", f"Write at least {self.min}")


class Requests(Strict):
    """What one pod reserves on its node."""

    cpu_millicores: Annotated[int, Unit("thousandths of a vCPU")] = Field(
        ge=50, le=64000, description="processor share"
    )
    memory_mib: Mib = Field(ge=64, le=262144, description="memory, also its limit")


class SearchConfig(Strict):
    """The search service's Deployment."""

    image: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9.:_/-]*[a-z0-9])?@sha256:[0-9a-f]{64}$",
        description="container image by digest, as registry/name@sha256:<64 hex digits>: a tag could change under us",
    )
    replicas: ReplicaRange = Field(description="bounds of autoscaling")
    requests: Requests = Field(description="what one pod reserves")
    http_port: int = Field(
        default=8082,
        ge=1024,
        le=65535,
        description="port of the API (requirement, section 3); above 1023, as it runs without root",
    )


class StackConfig(Strict):
    """One region, as its stack file says."""

    role: Role = Field(description="primary takes the writes; standby follows a primary and serves reads")
    region: str = Field(description="AWS region")
    peer: str | None = Field(default=None, description="the stack that a standby follows; a primary has none")
    failover: bool = Field(
        default=True,
        description="whether writes and the copies of the buckets go to this standby: a primary has one such standby, "
        "because a bucket has one replication and a DNS name one SECONDARY; any further one serves reads",
    )
    account_id: str = Field(pattern=r"^\d{12}$", description="AWS account as 12 digits in quotes; no other is touched")
    locked: bool = Field(
        default=True, description="whether stateful resources refuse deletion; false releases every lock, on purpose"
    )
    domain: str = Field(
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$",
        max_length=200,
        description="DNS zone of the service, the same in each region",
    )
    tags: Tags = Field(description="default tags of every resource")
    network: NetworkConfig = Field(description="address space and zones")
    database: DatabaseConfig = Field(description="PostgreSQL")
    alarms: AlarmsConfig = Field(default=AlarmsConfig(), description="who hears of trouble")
    kubernetes: KubernetesConfig = Field(description="the cluster")
    search: SearchConfig = Field(description="the search service")

    @classmethod
    def parse(cls, file: Path) -> "StackConfig":
        """Read and check one stack file.

        Args:
            file: `Pulumi.<stack>.yaml`.

        Raises:
            StackFileError: A ConfigError with every problem found. Checks between fields need each field to be right by
                itself first; checks between stacks are `check_fleet`'s.
        """
        return StackFile.read(file).validated(cls)

    def _faults(self) -> Iterator[Fault]:
        if self.role == "standby" and self.peer is None:
            yield Fault("peer", "a standby follows a primary", "Name its stack: `peer: prod`")
        if self.role == "primary" and self.peer is not None:
            yield Fault("peer", "a primary depends on no other region", "Remove it, or make the role standby")
        if self.role == "primary" and not self.failover:
            yield Fault("failover", "a primary takes the writes", "Remove it, or make the role standby")
        if offer := REGIONS.get(self.region):
            yield from self._in_region(offer)
        else:
            yield Fault("region", "AWS has no such region in its main partition", suggest(self.region, REGIONS))
        yield from divisible_by_zones("search.replicas.min", self.search.replicas.min, len(self.network.zones))

    def _in_region(self, offer: RegionOffer) -> Iterator[Fault]:
        for index, zone in enumerate(self.network.zones):
            if zone not in offer.zones:
                yield Fault(
                    f"network.zones.{index}", f"{self.region} has no such zone", f"Known: {', '.join(offer.zones)}"
                )
        database = self.database
        for key, name in (("primary", database.primary.instance_class), ("replicas", database.replicas.instance_class)):
            if name not in offer.db_classes:
                reason = f"RDS offers no such class for PostgreSQL {database.engine_version} in {self.region}"
                yield Fault(f"database.{key}.instance_class", reason, suggest(name, offer.db_classes))
        registry = re.match(r"^\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/", self.search.image)
        if registry and registry[1] != self.region:
            reason = f"its registry is in {registry[1]}: pods could not start here while that region is down"
            yield Fault("search.image", reason, f"Use the registry's replica in {self.region}")
