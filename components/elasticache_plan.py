"""What a region's cache looks like, decided before anything is built.

Limits are AWS's own; each names its source. "API" is the ElastiCache API reference (`CreateReplicationGroup`), "user
guide" the Amazon ElastiCache user guide.

Valkey, not Redis OSS: ElastiCache goes on with Valkey and stops at Redis OSS 7.1, a node costs a fifth less, clients
speak to both alike, and both have global datastores and IAM logins (user guide, "Comparing node-based Valkey, Memcached
and Redis OSS clusters").
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.alarms import Alarm
from components.errors import ArgsError
from components.kms import Role

ENGINE = "valkey"
PORT = 6379
#: Both log types of a Valkey replication group that the provider knows (API, LogType).
LOGS = ("slow-log", "engine-log")

#: Versions of Valkey that ElastiCache creates, as of cfn-lint 1.58, and the family of their parameter groups (user
#: guide, "Valkey and Redis OSS parameters").
FAMILIES: Mapping[str, str] = {
    "7.2": "valkey7",
    "8.0": "valkey8",
    "8.1": "valkey8",
    "8.2": "valkey8",
    "9.0": "valkey9",
    "9.1": "valkey9",
}

#: Shards of one cluster, and nodes of one cluster of a node type before a raised quota (API, NumNodeGroups; user guide,
#: "Quotas").
MAX_SHARDS = MAX_NODES = 90
#: Replicas of one shard (API, ReplicasPerNodeGroup).
MAX_REPLICAS = 5
#: Days that a daily snapshot can be kept (user guide, "Scheduling automatic backups").
MAX_SNAPSHOT_DAYS = 35
#: A primary region and two others (user guide, "Global datastores: prerequisites and limitations").
MAX_REGIONS = 3
#: Connections that a node accepts; cannot be changed (user guide, "Valkey and Redis OSS parameters", maxclients).
MAX_CLIENTS = 65_000

#: What the requirement gives a node (section 3): 16 GB, here for data, beside what is reserved.
NODE_BYTES = 16 * 10**9
#: Kept free for snapshots and failover, percent of a node's memory: the default, and what AWS recommends (user guide,
#: "Managing reserved memory").
RESERVED_PERCENT = 25

_SIZES = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
_M6 = (6_854_542_746, 13_891_921_715, 27_966_669_210, 56_116_178_125, 111_325_552_312, 168_715_971_994, 225_000_375_228)
_M8 = (7_294_178_820, 15_222_495_510, 31_866_224_640, 65_856_864_256, 133_838_143_488, 201_819_422_720, 269_800_701_952)
_R6 = (
    14_037_181_030,
    28_261_849_702,
    56_711_183_565,
    113_609_865_216,
    225_000_375_228,
    341_206_346_547,
    450_000_750_456,
)
_R8 = (
    15_222_495_510,
    31_866_224_640,
    65_856_864_256,
    133_838_143_488,
    269_800_701_952,
    405_763_260_416,
    541_725_818_880,
)

#: `maxmemory` by size from large on, bytes, of every family that is current and can be in a global datastore (user
#: guide, "Valkey node-type specific parameters"; "Global datastores: prerequisites and limitations"). Data tiering
#: (r6gd) and network (c7gn) families are left out: this cache needs neither.
MAXMEMORY: Mapping[str, tuple[int, ...]] = {"m6g": _M6, "m7g": _M6, "m8g": _M8, "r6g": _R6, "r7g": _R6, "r8g": _R8}


def data_bytes(node_type: str) -> int:
    """What a node type has for data: its `maxmemory` without what is reserved.

    Raises:
        ArgsError: It is not a node type that this service runs its cache on, or has too little.
    """
    match = re.fullmatch(r"cache\.([a-z0-9]+)\.([a-z0-9]+)", node_type)
    if match is None:
        raise ArgsError(
            f"node type is {node_type!r}",
            why="an ElastiCache node type is cache.<family>.<size>",
            remedy="Write it like cache.r7g.xlarge",
        )
    family, size = match.groups()
    if family not in MAXMEMORY:
        why = "it is of an older generation, or has hardware that this cache makes no use of"
        if family.startswith("t"):
            why = "a burstable type cannot be in a global datastore"
        if family == "r6gd":
            why = "it moves data to disks, which needs data tiering and slows the cache down"
        raise ArgsError(f"node type is {node_type}", why=why, remedy=f"Take one of {', '.join(MAXMEMORY)}")
    if size not in _SIZES:
        raise ArgsError(
            f"node type is {node_type}", why=f"{family} comes in {', '.join(_SIZES)}", remedy="Take one of these sizes"
        )
    usable = MAXMEMORY[family][_SIZES.index(size)] * (100 - RESERVED_PERCENT) // 100
    if usable < NODE_BYTES:
        raise ArgsError(
            f"node type is {node_type}",
            why=f"it has {usable / 10**9:.1f} GB for data, and the requirement gives each node {NODE_BYTES // 10**9}",
            remedy="Take cache.r7g.xlarge (21.2 GB) or larger",
        )
    return usable


def family(version: str) -> str:
    """The family of the parameter groups of a version.

    Raises:
        ArgsError: ElastiCache does not create it.
    """
    if version not in FAMILIES:
        raise ArgsError(
            f"engine version is {version!r}",
            why=f"ElastiCache creates Valkey {', '.join(FAMILIES)}",
            remedy="Write major.minor, such as 8.2; ElastiCache itself chooses the patch",
        )
    return FAMILIES[version]


def check_regions(regions: Sequence[str]) -> None:
    """Refuses regions that cannot be in one global datastore.

    Args:
        regions: All of them, primary first.

    Raises:
        ArgsError: There are too many, or one is named twice.
    """
    if len(set(regions)) < len(regions):
        raise ArgsError(
            f"regions of the cache are {', '.join(regions)}", why="a global datastore has one member in each region"
        )
    if len(regions) > MAX_REGIONS:
        raise ArgsError(
            f"regions of the cache are {', '.join(regions)}",
            why=f"a global datastore has a primary region and at most {MAX_REGIONS - 1} others",
            remedy=f"Give {', '.join(regions[MAX_REGIONS:])} a cache of its own, with role primary",
        )


@dataclass(frozen=True, kw_only=True)
class Windows:
    """When ElastiCache may take snapshots (daily) and maintain (weekly), UTC.

    Attributes:
        snapshot: ``hh:mm-hh:mm``.
        maintenance: ``ddd:hh:mm-ddd:hh:mm``.

    Raises:
        ArgsError: A window is malformed or shorter than an hour (API, PreferredMaintenanceWindow; user guide,
            "Scheduling automatic backups"), or the two overlap.
    """

    snapshot: str
    maintenance: str

    def __post_init__(self) -> None:
        clock = r"([01]\d|2[0-3]):([0-5]\d)"
        day = f"({'|'.join(_DAYS)})"
        if not re.fullmatch(f"{clock}-{clock}", self.snapshot):
            raise ArgsError(f"snapshot window is {self.snapshot!r}", why="it is written hh:mm-hh:mm, in UTC")
        if not re.fullmatch(f"{day}:{clock}-{day}:{clock}", self.maintenance):
            raise ArgsError(
                f"maintenance window is {self.maintenance!r}", why="it is written ddd:hh:mm-ddd:hh:mm, in UTC"
            )
        snapshot = _span(self.snapshot, _DAY_MINUTES)
        maintenance = _span(self.maintenance, 7 * _DAY_MINUTES)
        for what, span in {"snapshot": snapshot, "maintenance": maintenance}.items():
            if len(span) < 60:
                raise ArgsError(f"{what} window is {len(span)} minutes long", why="ElastiCache needs at least 60")
        if any(minute % _DAY_MINUTES in snapshot for minute in maintenance):
            raise ArgsError(
                f"snapshot window {self.snapshot} overlaps maintenance window {self.maintenance}",
                why="a node that is being replaced is no source of a snapshot",
                remedy="Move one of them",
            )


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60


def _span(window: str, cycle: int) -> frozenset[int]:
    """The minutes of a window in a cycle of that many; it may run into the next one."""
    start, end = (_minute(moment) for moment in window.split("-"))
    return frozenset((start + passed) % cycle for passed in range((end - start) % cycle))


def _minute(moment: str) -> int:
    *day, hours, minutes = moment.split(":")
    return (_DAYS.index(day[0]) * _DAY_MINUTES if day else 0) + int(hours) * 60 + int(minutes)


#: Before dawn in America, on days when no database is maintained, and never both regions at once.
WINDOWS: Mapping[Role, Windows] = {
    "primary": Windows(snapshot="05:00-06:00", maintenance="tue:09:00-tue:10:00"),
    "standby": Windows(snapshot="05:00-06:00", maintenance="thu:09:00-thu:10:00"),
}


def plan_nodes(shards: int, replicas: int, *, zones: Sequence[str]) -> tuple[str, ...]:
    """The nodes of a cluster, by what follows its identifier in theirs: ``0002-001``.

    Any node of a shard may be its primary: after a failover they keep their names.

    Args:
        shards: How many parts the keys are spread over.
        replicas: Of each shard, 1 to 5.
        zones: The zones of the region.

    Raises:
        ArgsError: ElastiCache would refuse the cluster, or it would not survive the loss of a zone.
    """
    if not 1 <= shards <= MAX_SHARDS:
        raise ArgsError(f"shards are {shards}", why=f"a cluster has 1 to {MAX_SHARDS}")
    if not 1 <= replicas <= MAX_REPLICAS:
        raise ArgsError(
            f"replicas are {replicas}",
            why=f"a shard has up to {MAX_REPLICAS}, and without one Multi-AZ has nothing to fail over to",
        )
    if shards * (1 + replicas) > MAX_NODES:
        raise ArgsError(
            f"shards are {shards}, with {replicas} replicas each",
            why=f"that makes {shards * (1 + replicas)} nodes, and a cluster has {MAX_NODES} of one type",
            remedy="Take larger nodes, or have the quota raised and this limit with it",
        )
    if len(zones) < 2:
        raise ArgsError(f"zones are {', '.join(zones) or 'none'}", why="Multi-AZ needs two")
    return tuple(f"{shard:04}-{node:03}" for shard in range(1, shards + 1) for node in range(1, replicas + 2))


def plan_parameters() -> Mapping[str, str]:
    """The parameter group of the primary; a global datastore gives every other region a copy."""
    return {
        # Only a new group can have it; a cluster of several shards needs it.
        "cluster-enabled": "yes",
        "maxmemory-policy": "allkeys-lru",
        "reserved-memory-percent": str(RESERVED_PERCENT),
        # Microseconds: the upper end of what the requirement promises of the cache (L2, 2 to 5 ms).
        "slowlog-log-slower-than": "5000",
    }


@dataclass(frozen=True, kw_only=True)
class UserPlan:
    """One user to be.

    Attributes:
        key: Ends the logical name and its id.
        name: What clients log in as; ``None`` for its id, which IAM asks for.
        engine: Whose user it is.
        access: What it may do, as Valkey's ACL.
        login: How it logs in.
    """

    key: str
    name: str | None
    engine: str
    access: str
    login: str


#: Engine of the user group. A group of Valkey's own takes no user without a password, and a password for the one that
#: nobody uses would be one more secret in the state; a Valkey cluster takes groups of either engine (user guide,
#: "Role-Based Access Control").
GROUP_ENGINE = "redis"

USERS = (
    # Who does not log in is `default`, in every cluster. The built-in one may do everything; this takes its place.
    UserPlan(key="default", name="default", engine="redis", access="off -@all", login="no-password-required"),
    # IAM wants the user's name to be its id (user guide, "Authenticating with IAM"). Clients that read from the nearest
    # replica ask INFO for the zones; it counts as dangerous for what it tells.
    UserPlan(key="app", name=None, engine=ENGINE, access="on ~* &* +@all -@admin -@dangerous +info", login="iam"),
)

#: Longest id of a replication group (API, ReplicationGroupId).
_MAX_ID = 40


def check_name(name: str) -> None:
    """Refuses a logical name from which no identifiers can be made.

    Raises:
        ArgsError: ElastiCache would refuse what is made of it.
    """
    longest = max(len(user.key) for user in USERS) + len("--00000000")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) + longest > _MAX_ID:
        raise ArgsError(
            f"the cache is named {name!r}",
            why=f"its identifiers begin with it: lower-case letters, digits and single hyphens, up to "
            f"{_MAX_ID - longest} of them",
        )


def plan_events_policy(topic: str, *, account_id: str) -> dict[str, Any]:
    """Who may publish events of the cache: ElastiCache, which calls as the account, and nobody in clear text.

    Source: user guide, "Managing ElastiCache Amazon SNS notifications": ElastiCache shows itself by ``SourceOwner``
    only, and stops for good after one refusal.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "EventsOfThisAccount",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {"StringEquals": {"aws:SourceOwner": account_id}},
            },
            {
                "Sid": "NobodyInClearText",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }


#: Replication lag within a region and between regions that is worth a look, seconds. Nothing is lost with a cache that
#: the database cannot give again, so it wakes nobody.
LAG_SECONDS, GLOBAL_LAG_SECONDS = 5, 30

#: Of each node.
NODE_ALARMS = (
    Alarm(
        name="cpu",
        # Of the one thread that runs commands: with four cores and more, the host's figure says nothing about it.
        metric="EngineCPUUtilization",
        threshold=80,
        minutes=15,
        # A node that says nothing is being replaced, or is lost.
        missing="breaching",
        because="A node of the cache is short of CPU, or silent: see the slow log, and what the topic of events says",
    ),
    Alarm(
        name="memory",
        metric="DatabaseMemoryUsagePercentage",
        threshold=90,
        minutes=30,
        because="A node of the cache is nearly full: soon keys are evicted before they expire",
    ),
    Alarm(
        name="evictions",
        metric="Evictions",
        threshold=1000,
        minutes=15,
        statistic="Sum",
        because="The cache evicts keys that are still good: more shards or larger nodes, or shorter lives of keys",
    ),
    Alarm(
        name="connections",
        metric="CurrConnections",
        threshold=MAX_CLIENTS * 4 // 5,
        severity="page",
        because=f"Connections run out, and a node takes {MAX_CLIENTS}: look for a pool that leaks",
    ),
    Alarm(
        name="lag",
        metric="ReplicationLag",
        threshold=LAG_SECONDS,
        statistic="Maximum",
        # The primary of a shard has none.
        missing="notBreaching",
        because="A replica is behind its shard's primary: it would take over without the latest keys",
    ),
    Alarm(
        name="logins",
        metric="AuthenticationFailures",
        threshold=10,
        statistic="Sum",
        missing="notBreaching",
        because="Somebody fails to log in to the cache: an expired token that is not renewed, or an intruder",
    ),
)

#: Of a region that follows another.
GLOBAL_ALARMS = (
    Alarm(
        name="global-lag",
        metric="GlobalDatastoreReplicationLag",
        threshold=GLOBAL_LAG_SECONDS,
        statistic="Maximum",
        # Silence means that nothing is replicated.
        missing="breaching",
        because="The cache is behind the primary region's: after a failover it would be cold",
    ),
)
