"""What a stack file says of the stores: database, search index, cache, message broker.

Limits that AWS sets to a shape are the components' planners'; what only a region or a version list can tell is here.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from stacks.offers import OPENSEARCH_VERSIONS, POSTGRES_VERSIONS, RABBITMQ_VERSIONS, VALKEY_VERSIONS
from stacks.stack_file import DnsLabel, Fault, Gib, Image, Strict, Unit, suggest

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = f"({'|'.join(_DAYS)})"
_CLOCK: Final = r"([01]\d|2[0-3]):[0-5]\d"
GP3_SPLIT_GIB: Final = 400
"""Below this, RDS refuses gp3 iops and throughput for PostgreSQL; from it on, 12000 IOPS and 500 MiB/s come with it."""
GP3_IOPS: Final = (12000, 64000)
GP3_MIBPS: Final = (500, 4000)
"""Least and most that RDS lets one ask of gp3 from there on (RDS user guide, "gp3 storage")."""
REPLICA_VERSION_RULE: Final = "a replica has the major version of its source and is upgraded before it"


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
    password_generation: int = Field(
        default=1, ge=1, description="raise it for a new password of the master user; a standby has its primary's"
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


class OpenSearchNodes(Strict):
    """Nodes of one kind; the three zones divide them."""

    count: int = Field(ge=3, le=150, multiple_of=3, description="how many, in all three zones together")
    instance_type: str = Field(description="OpenSearch instance type of each, such as m6g.4xlarge.search")


class OpenSearchData(OpenSearchNodes):
    """The nodes that hold what is written and searched."""

    storage_gib: Gib = Field(ge=10, le=24576, description="gp3 storage of each; m6g.4xlarge takes 6144")
    iops: Annotated[int | None, Unit("IOPS")] = Field(
        default=None, ge=3000, le=128000, description="provisioned gp3 IOPS; absent means 3 per GiB, 3000 to 16000"
    )
    throughput_mibps: Annotated[int | None, Unit("MiB/s")] = Field(
        default=None, ge=250, le=8000, description="provisioned gp3 throughput; absent means 250 per 3000 GiB begun"
    )


class OpenSearchConfig(Strict):
    """The search index on OpenSearch Service, Multi-AZ with standby."""

    engine_version: str = Field(description="as OpenSearch_3.3; upgrade the standby's first")
    hot: OpenSearchData = Field(description="data nodes")
    master_type: str = Field(description="instance type of the three masters; 32 GiB up to 75 other nodes")
    warm: OpenSearchNodes = Field(description="UltraWarm nodes, for indexes that are still searched")
    coordinators: OpenSearchNodes = Field(description="nodes that route requests and merge answers")
    cold: bool = Field(default=True, description="whether indexes can be laid by in S3 without any node")
    off_peak_start: str = Field(
        pattern=rf"^{_CLOCK}$", description="when AWS may begin to update and tune, UTC, for 10 hours, as 03:00"
    )
    service_linked_role: bool = Field(
        description="whether this region makes the account's role for OpenSearch: exactly one region does, and keeps "
        "doing so when regions change roles; false everywhere if the account has had a domain in a VPC before"
    )

    def _faults(self) -> Iterator[Fault]:
        version = self.engine_version.removeprefix("OpenSearch_")
        if version not in OPENSEARCH_VERSIONS or version == self.engine_version:
            known = [f"OpenSearch_{known}" for known in OPENSEARCH_VERSIONS]
            reason = "OpenSearch Service has no such version in standard support"
            yield Fault("engine_version", reason, suggest(self.engine_version, known))


class CacheConfig(Strict):
    """Valkey on ElastiCache. Version, node type and shards are the same in every region."""

    engine_version: str = Field(pattern=r"^\d+\.\d+$", description="Valkey version, major.minor")
    node_type: str = Field(description="ElastiCache node type, such as cache.r7g.xlarge (26.3 GiB)")
    shards: int = Field(default=3, ge=1, le=90, description="parts that the keys are spread over")
    replicas: int = Field(default=1, ge=1, le=5, description="replicas of each shard, in other zones")

    def _faults(self) -> Iterator[Fault]:
        if self.engine_version not in VALKEY_VERSIONS:
            reason = "ElastiCache does not create this version of Valkey"
            yield Fault("engine_version", reason, suggest(self.engine_version, VALKEY_VERSIONS))


class BrokerCluster(Strict):
    """RabbitMQ on the region's cluster."""

    image: Image = Field(description="RabbitMQ 4.1 or later, by digest, from this region's registry")
    operator_image: Image = Field(description="RabbitMQ cluster operator 2.22 or later, by digest")
    nodes: Literal[3, 5, 7] = Field(default=5, description="nodes that vote")
    copies: Literal[3, 5, 7] = Field(default=3, description="copies of each queue; at most as many as nodes")
    cpus: Annotated[int, Unit("vCPU")] = Field(
        default=7, ge=1, le=64, description="reserved by each node: less than its machine has, which keeps some itself"
    )
    memory_gib: Gib = Field(default=16, ge=4, le=256, description="memory of each node")
    storage_gib: Gib = Field(default=200, ge=8, le=16384, description="volume of each node; never shrinks")
    tls_secret: DnsLabel = Field(default="rabbitmq-tls", description="Secret with tls.crt and tls.key, made by hand")


class BrokerAmazon(Strict):
    """RabbitMQ run by Amazon MQ: three nodes."""

    instance_type: str = Field(default="mq.m7g.2xlarge", description="mq.m7g only, large or more")
    engine_version: str = Field(default="4.2", description="RabbitMQ version, major.minor")

    def _faults(self) -> Iterator[Fault]:
        if self.engine_version not in RABBITMQ_VERSIONS:
            reason = "Amazon MQ does not create this version of RabbitMQ"
            yield Fault("engine_version", reason, suggest(self.engine_version, RABBITMQ_VERSIONS))


class BrokerConfig(Strict):
    """The message broker."""

    kind: Literal["cluster_operator", "amazon_mq"] = Field(description="who runs RabbitMQ")
    cluster: BrokerCluster = Field(description="figures of cluster_operator")
    amazon: BrokerAmazon = Field(default=BrokerAmazon(), description="figures of amazon_mq")
    maintenance: str = Field(
        pattern=rf"^{_DAY}:{_CLOCK}$", description="when Amazon MQ begins to maintain, UTC, as sun:11:00"
    )
