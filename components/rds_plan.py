"""What a region's PostgreSQL looks like, decided before anything is built.

Limits are AWS's own; each names its source. "API" is the RDS API reference (`CreateDBInstance`,
`CreateDBInstanceReadReplica`), "user guide" the Amazon RDS user guide.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal, NamedTuple

from components.alarms import Alarm
from components.errors import ArgsError
from components.kms import Role

PORT = 5432
DATABASE = "docsearch"
#: 1 to 16 characters, not reserved (API, MasterUsername). Applications log in as roles of their own, with IAM tokens.
MASTER_USER = "docsearch_admin"
#: The log types that are exported, each to a log group of ours (API, EnableCloudwatchLogsExports).
LOGS = ("postgresql", "upgrade")

#: The longest point-in-time recovery that RDS offers, days (API, BackupRetentionPeriod).
BACKUP_RETENTION_DAYS = 35
#: Of one source, in all regions together (user guide, "Working with DB instance read replicas").
MAX_REPLICAS = 15

#: Replication lag that wakes somebody: half of the recovery point objective of one minute.
LAG_SECONDS = 30


class Capacity(NamedTuple):
    """What an instance class has."""

    vcpus: int
    memory_gib: int


_TO_16 = "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge"
_TO_32 = f"{_TO_16} 24xlarge 32xlarge"
_TO_48 = f"{_TO_16} 24xlarge 48xlarge"
_VCPUS = {"large": 2, "xlarge": 4} | {f"{n}xlarge": 4 * n for n in (2, 4, 8, 12, 16, 24, 32, 48)}

#: GiB of memory per vCPU and sizes, of every family that is current and not burstable (user guide, "DB instance
#: classes"). Local-disk and high-network variants are left out: this database needs neither.
FAMILIES: Mapping[str, tuple[int, str]] = {
    "m6g": (4, _TO_16),
    "m6i": (4, _TO_32),
    "m7g": (4, _TO_16),
    "m7i": (4, _TO_48),
    "m8a": (4, _TO_48),
    "m8g": (4, _TO_48),
    "m9g": (4, _TO_48),
    "r6g": (8, _TO_16),
    "r6i": (8, _TO_32),
    "r7g": (8, _TO_16),
    "r7i": (8, _TO_48),
    "r8a": (8, _TO_48),
    "r8g": (8, _TO_48),
}

#: The oldest minor version of each major that RDS still creates, as of cfn-lint 1.58. Older majors are in paid extended
#: support, which is switched off: AWS would refuse them.
OLDEST_MINOR: Mapping[int, int] = {14: 18, 15: 13, 16: 9, 17: 5, 18: 1}


def capacity(instance_class: str) -> Capacity:
    """What a class has.

    Raises:
        ArgsError: It is not a class that this service runs its database on.
    """
    match = re.fullmatch(r"db\.([a-z0-9]+)\.([a-z0-9]+)", instance_class)
    if match is None:
        raise ArgsError(
            f"instance class is {instance_class!r}",
            why="an RDS instance class is db.<family>.<size>",
            remedy="Write it like db.m7g.4xlarge",
        )
    family, size = match.groups()
    if family not in FAMILIES:
        why = "it is of an older generation, or has hardware that PostgreSQL on gp3 makes no use of"
        if family.startswith("t"):
            why = "a burstable class runs out of CPU credits under steady load"
        raise ArgsError(f"instance class is {instance_class}", why=why, remedy=f"Take one of {', '.join(FAMILIES)}")
    ratio, sizes = FAMILIES[family]
    if size not in sizes.split():
        raise ArgsError(
            f"instance class is {instance_class}",
            why=f"{family} comes in {', '.join(sizes.split())}",
            remedy="Take one of these sizes",
        )
    return Capacity(_VCPUS[size], _VCPUS[size] * ratio)


def parse_version(version: str) -> tuple[int, int]:
    """Major and minor of a PostgreSQL version.

    Raises:
        ArgsError: It is malformed, or RDS no longer creates it in standard support.
    """
    match = re.fullmatch(r"(\d+)\.(\d+)", version)
    if match is None:
        raise ArgsError(
            f"engine version is {version!r}",
            why="a replica must run its source's minor version or a later one, so both are pinned",
            remedy="Write major.minor, such as 17.9",
        )
    major, minor = int(match[1]), int(match[2])
    if major not in OLDEST_MINOR:
        raise ArgsError(
            f"engine version is {version}",
            why="RDS has standard support for PostgreSQL " + ", ".join(map(str, OLDEST_MINOR)),
            remedy=f"Take {max(OLDEST_MINOR)}.{OLDEST_MINOR[max(OLDEST_MINOR)]} or later",
        )
    if minor < OLDEST_MINOR[major]:
        raise ArgsError(
            f"engine version is {version}",
            why=f"RDS creates PostgreSQL {major} from {major}.{OLDEST_MINOR[major]} on",
            remedy="Take a later minor version",
        )
    return major, minor


#: Smallest and largest gp3 volume, GiB (API, AllocatedStorage).
GP3_GIB = (20, 65_536)
#: From here on RDS stripes a PostgreSQL volume, and IOPS and throughput can be set (user guide, "gp3 storage").
STRIPED_GIB = 400
#: Baseline and limit of a striped volume (user guide, "gp3 storage"; API, Iops and ValidStorageOptions).
GP3_IOPS = (12_000, 64_000)
GP3_MIBPS = (500, 4_000)


@dataclass(frozen=True, kw_only=True)
class Volume:
    """gp3 storage of an instance. A replica gets the size of its source, whatever it needs itself.

    Attributes:
        size_gib: What is allocated at first. It can grow, never shrink.
        max_gib: How far RDS may grow it on its own.
        iops: Provisioned; ``None`` for what the size includes.
        throughput_mibps: Provisioned, MiB/s; ``None`` for what the size includes.

    Raises:
        ArgsError: RDS would refuse the volume.
    """

    size_gib: int
    max_gib: int
    iops: int | None = None
    throughput_mibps: int | None = None

    def __post_init__(self) -> None:
        if not GP3_GIB[0] <= self.size_gib <= GP3_GIB[1]:
            raise ArgsError(f"storage is {self.size_gib} GiB", why=f"gp3 has {GP3_GIB[0]} to {GP3_GIB[1]} GiB on RDS")
        floor = ceil(self.size_gib * 1.1)
        if not floor <= self.max_gib <= GP3_GIB[1]:
            raise ArgsError(
                f"storage may grow to {self.max_gib} GiB",
                why=f"autoscaling needs at least 10% above {self.size_gib} GiB and at most {GP3_GIB[1]} GiB",
                remedy=f"Take {min(floor, GP3_GIB[1])} or more",
            )
        if not self.striped and (self.iops, self.throughput_mibps) != (None, None):
            raise ArgsError(
                f"IOPS or throughput are set for {self.size_gib} GiB",
                why=f"RDS provisions them from {STRIPED_GIB} GiB on",
                remedy="Leave them out, or take more storage",
            )
        iops, throughput = self.provisioned
        if iops is not None and throughput is not None:
            self._check_performance(iops, throughput)

    def _check_performance(self, iops: int, throughput: int) -> None:
        lowest, highest = max(GP3_IOPS[0], ceil(self.size_gib / 2)), min(GP3_IOPS[1], 50 * self.size_gib)
        if not lowest <= iops <= highest:
            raise ArgsError(
                f"IOPS are {iops}",
                why=f"{self.size_gib} GiB of gp3 take {lowest} to {highest}: between half and 50 times the GiB",
            )
        highest = min(GP3_MIBPS[1], iops // 4)
        if not GP3_MIBPS[0] <= throughput <= highest:
            raise ArgsError(
                f"throughput is {throughput} MiB/s",
                why=f"{iops} IOPS take {GP3_MIBPS[0]} to {highest} MiB/s: at most a quarter of the IOPS",
            )

    @property
    def striped(self) -> bool:
        """Whether RDS stripes it over four volumes, which brings the higher baseline."""
        return self.size_gib >= STRIPED_GIB

    @property
    def provisioned(self) -> tuple[int | None, int | None]:
        """IOPS and MiB/s to ask for; the baseline by name, since the API wants IOPS with gp3 on replicas."""
        if not self.striped:
            return None, None
        return self.iops or max(GP3_IOPS[0], ceil(self.size_gib / 2)), self.throughput_mibps or GP3_MIBPS[0]


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, kw_only=True)
class Windows:
    """When RDS may back up (daily) and maintain (weekly), UTC.

    Attributes:
        backup: ``hh:mm-hh:mm``.
        maintenance: ``ddd:hh:mm-ddd:hh:mm``.

    Raises:
        ArgsError: A window is malformed or shorter than 30 minutes, or the two overlap (API).
    """

    backup: str
    maintenance: str

    def __post_init__(self) -> None:
        clock = r"([01]\d|2[0-3]):([0-5]\d)"
        day = f"({'|'.join(_DAYS)})"
        if not re.fullmatch(f"{clock}-{clock}", self.backup):
            raise ArgsError(f"backup window is {self.backup!r}", why="it is written hh:mm-hh:mm, in UTC")
        if not re.fullmatch(f"{day}:{clock}-{day}:{clock}", self.maintenance):
            raise ArgsError(
                f"maintenance window is {self.maintenance!r}", why="it is written ddd:hh:mm-ddd:hh:mm, in UTC"
            )
        for what, (start, end) in {"backup": self._backup(), "maintenance": self._maintenance()}.items():
            if end - start < 30:
                raise ArgsError(f"{what} window is {end - start} minutes long", why="RDS needs at least 30")
        backup, maintenance = self._backup(), self._maintenance()
        # The backup comes daily, and either window may run into the next day.
        for shift in range(-1, 9):
            start, end = (minute + shift * _DAY_MINUTES for minute in backup)
            if start < maintenance[1] and maintenance[0] < end:
                raise ArgsError(
                    f"backup window {self.backup} overlaps maintenance window {self.maintenance}",
                    why="RDS does one at a time",
                    remedy="Move one of them",
                )

    def _backup(self) -> tuple[int, int]:
        start, end = (_minutes(clock) for clock in self.backup.split("-"))
        return start, end + (_DAY_MINUTES if end <= start else 0)

    def _maintenance(self) -> tuple[int, int]:
        start, end = (
            _DAYS.index(moment[:3]) * _DAY_MINUTES + _minutes(moment[4:]) for moment in self.maintenance.split("-")
        )
        return start, end + (7 * _DAY_MINUTES if end <= start else 0)

    def later(self, days: int) -> "Windows":
        """The same hours, with maintenance that many days later."""
        moments = (
            f"{_DAYS[(_DAYS.index(moment[:3]) + days) % 7]}{moment[3:]}" for moment in self.maintenance.split("-")
        )
        return replace(self, maintenance="-".join(moments))


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


#: Before dawn in America, and never both regions at once: a standby that is backing up cannot be promoted (API,
#: PromoteReadReplica), and one that is being maintained is no standby.
WINDOWS: Mapping[Role, Windows] = {
    "primary": Windows(backup="07:00-07:30", maintenance="sun:08:00-sun:08:30"),
    "standby": Windows(backup="09:00-09:30", maintenance="wed:10:00-wed:10:30"),
}


@dataclass(frozen=True, kw_only=True)
class InstancePlan:
    """One instance to be.

    Attributes:
        name: Empty for the head of the region (primary, or the replica that would be promoted), else ``replica-<n>``.
        instance_class: Its class.
        version: Its PostgreSQL version.
        multi_az: Whether it has a synchronous standby in another zone, which takes over in 60 to 120 s.
        zone: Where a single instance is put; ``None`` lets RDS choose, as Multi-AZ requires.
        follows: ``nobody``, another ``region``, or the ``head`` of its own region.
        backup_retention_days: 0 for replicas in the region: what would be restored is the head.
        windows: Its windows.
    """

    name: str
    instance_class: str
    version: str
    multi_az: bool
    zone: str | None
    follows: Literal["nobody", "region", "head"]
    backup_retention_days: int
    windows: Windows


def plan_instances(
    *,
    role: Role,
    instance_class: str,
    version: str,
    replicas: int,
    replica_class: str,
    replica_version: str,
    zones: Sequence[str],
    windows: Windows,
) -> tuple[InstancePlan, ...]:
    """The head of the region and its read replicas.

    Replicas are numbered, not named for zones: they are spread round the zones when they are made and then stay, so a
    zone added later moves none. Each is maintained on a day of its own, none on the day of the head.

    Args:
        role: ``primary`` leads, ``standby`` follows the primary region.
        instance_class: Class of the head.
        version: PostgreSQL version of the head, ``major.minor``.
        replicas: How many read replicas, 0 to 15.
        replica_class: Their class.
        replica_version: Their version: that of the head, or a later minor one while an upgrade is under way.
        zones: The zones of the region, at least two.
        windows: Of the head.

    Returns:
        The head first, then the replicas by number.

    Raises:
        ArgsError: RDS would refuse one of them.
    """
    capacity(instance_class)
    capacity(replica_class)
    head, follower = parse_version(version), parse_version(replica_version)
    if follower[0] != head[0] or follower < head:
        raise ArgsError(
            f"replicas run PostgreSQL {replica_version} and their source runs {version}",
            why="a replica runs the same major version and no earlier minor one",
            remedy="Upgrade the replicas first, then their source",
        )
    if not 0 <= replicas <= MAX_REPLICAS:
        raise ArgsError(f"replicas are {replicas}", why=f"a source has 0 to {MAX_REPLICAS}")
    if len(zones) < 2:
        raise ArgsError(f"zones are {', '.join(zones) or 'none'}", why="a Multi-AZ instance needs two")
    first = InstancePlan(
        name="",
        instance_class=instance_class,
        version=version,
        multi_az=True,
        zone=None,
        follows="nobody" if role == "primary" else "region",
        backup_retention_days=BACKUP_RETENTION_DAYS,
        windows=windows,
    )
    rest = (
        InstancePlan(
            name=f"replica-{number}",
            instance_class=replica_class,
            version=replica_version,
            multi_az=False,
            zone=zones[(number - 1) % len(zones)],
            follows="head",
            backup_retention_days=0,
            windows=windows.later(1 + (number - 1) % 6),
        )
        for number in range(1, replicas + 1)
    )
    return (first, *rest)


class Parameter(NamedTuple):
    """One database parameter; a static one waits for a restart."""

    name: str
    value: str
    static: bool = False


def plan_parameters(max_connections: int, memory_gib: int) -> tuple[Parameter, ...]:
    """The parameter group of every instance in a region.

    Args:
        max_connections: Of each instance. PostgreSQL refuses to replay on a replica that allows fewer connections or
            workers than its source, and RDS derives both from the instance class: a smaller replica would stop. So
            both are the same plain numbers everywhere.
        memory_gib: Memory of the smallest instance.

    Raises:
        ArgsError: The smallest instance has no room for the connections.
    """
    most = connection_limit(memory_gib)
    if not 100 <= max_connections <= most:
        raise ArgsError(
            f"max_connections is {max_connections}",
            why=f"an instance with {memory_gib} GiB takes 100 to {most}",
            remedy="Take fewer connections or a larger class for the smallest instance",
        )
    return (
        Parameter("rds.force_ssl", "1"),
        # The floor; both ends of our connections speak 1.3.
        Parameter("ssl_min_protocol_version", "TLSv1.2"),
        Parameter("password_encryption", "scram-sha-256"),
        Parameter("rds.accepted_password_auth_method", "scram"),
        Parameter("shared_preload_libraries", "pg_cron,pg_stat_statements", static=True),
        Parameter("cron.database_name", DATABASE, static=True),
        Parameter("max_connections", str(max_connections), static=True),
        Parameter("max_worker_processes", "16", static=True),
        # A query on a replica may hold replay back this long (ms) and is then cancelled: half of the lag that pages.
        Parameter("max_standby_streaming_delay", str(LAG_SECONDS * 500)),
        Parameter("idle_in_transaction_session_timeout", "60000"),
        Parameter("log_connections", "1"),
        Parameter("log_disconnections", "1"),
        Parameter("log_statement", "ddl"),
        Parameter("log_lock_waits", "1"),
        # The latency promise of a whole search (p95, ms): a statement that takes it alone is worth a line.
        Parameter("log_min_duration_statement", "500"),
        Parameter("log_autovacuum_min_duration", "10000"),
        Parameter("log_temp_files", "10240"),
    )


def connection_limit(memory_gib: int) -> int:
    """What RDS itself would allow: one connection per 9.1 MiB, 5,000 at most (user guide, "Quotas and constraints")."""
    return min(memory_gib * 2**30 // 9_531_392, 5000)


#: Retention of Performance Insights by mode of Database Insights, days. `advanced` asks for at least 465 (API).
INSIGHTS_DAYS: Mapping[Literal["standard", "advanced"], int] = {"standard": 7, "advanced": 465}


def plan_alarms(plan: InstancePlan, *, volume: Volume, max_connections: int) -> tuple[Alarm, ...]:
    """The alarms of one instance, about what its class, storage and place in the chain can bear."""
    memory = capacity(plan.instance_class).memory_gib * 2**30
    rows = [
        Alarm(
            name="cpu",
            metric="CPUUtilization",
            threshold=80,
            minutes=15,
            because="PostgreSQL is short of CPU: see its top statements in Performance Insights",
        ),
        Alarm(
            name="memory",
            metric="FreeableMemory",
            threshold=memory // 20,
            above=False,
            minutes=15,
            because="PostgreSQL is short of memory: fewer connections, smaller work_mem, or a larger class",
        ),
        # RDS grows a volume that is 90% full, at most every six hours; at half of that it has not kept up.
        Alarm(
            name="storage",
            metric="FreeStorageSpace",
            threshold=volume.size_gib * 2**30 // 20,
            above=False,
            severity="page",
            because="The database's volume fills up faster than RDS grows it; full, it stops",
        ),
        Alarm(
            name="connections",
            metric="DatabaseConnections",
            threshold=max_connections * 4 // 5,
            because="Connections run out: look for a pool that leaks or a service that was scaled too far",
        ),
        Alarm(
            name="disk-queue",
            metric="DiskQueueDepth",
            threshold=64,
            minutes=15,
            because="I/O waits for the volume: compare ReadIOPS and WriteIOPS with what is provisioned",
        ),
    ]
    if plan.follows != "head":
        rows += [
            # Wraparound stops writes at 2.1 thousand million; autovacuum acts at 0.2.
            Alarm(
                name="transaction-ids",
                metric="MaximumUsedTransactionIDs",
                threshold=1e9,
                statistic="Maximum",
                because="Vacuum falls behind; writes stop when transaction ids run out",
            ),
            Alarm(
                name="replication-slots",
                metric="OldestReplicationSlotLag",
                threshold=volume.size_gib * 2**30 // 10,
                statistic="Maximum",
                # Without replicas there is no slot.
                missing="notBreaching",
                because="A replica does not fetch its log, which fills this instance's volume",
            ),
        ]
    if plan.follows != "nobody":
        rows.append(
            Alarm(
                name="lag",
                metric="ReplicaLag",
                threshold=LAG_SECONDS,
                minutes=3,
                of=2,
                statistic="Maximum",
                severity="page",
                # Silence means that nothing is replicated.
                missing="breaching",
                because=f"Replication is more than {LAG_SECONDS} s behind: the recovery point objective is 1 minute",
            )
        )
    return tuple(rows)
