"""What is watched of a region's OpenSearch domain, and when it wakes somebody.

Sources: OpenSearch Service developer guide, "Recommended CloudWatch alarms", whose thresholds are used where nothing
else is said, and "Monitoring OpenSearch cluster metrics".
"""

from components.alarms import Alarm
from components.opensearch_plan import WARM_TYPES, DomainPlan, capacity

#: Of every metric here; their dimensions are `DomainName` and `ClientId`, the account.
NAMESPACE = "AWS/ES"
#: Shards per GiB of heap that AWS advises at most (guide, "Choosing the number of shards").
SHARDS_PER_HEAP_GIB = 25


def plan_alarms(plan: DomainPlan, *, follows: bool) -> tuple[Alarm, ...]:
    """The alarms of one domain, about what its nodes and tiers can bear.

    Args:
        plan: The domain.
        follows: Whether it replicates another region's indexes.
    """
    rows = [*STATUS, *_sized(plan), *_busy("", "data nodes", percent=80), *_busy("Master", "masters", percent=50)]
    if plan.coordinators is not None:
        rows += _busy("Coordinator", "coordinating nodes", percent=80)
    if plan.warm is not None:
        rows += [
            *_busy("Warm", "warm nodes", percent=80),
            Alarm(
                name="warm-storage",
                metric="WarmFreeStorageSpace",
                # Of S3 storage only the sum means anything; MiB.
                threshold=plan.warm.count * WARM_TYPES[plan.warm.instance_type] * 1024 // 10,
                above=False,
                statistic="Sum",
                because="Nine tenths of the warm storage are full: add warm nodes, or move indexes to cold",
            ),
            Alarm(
                name="warm-migration",
                metric="HotToWarmMigrationFailureCount",
                threshold=0,
                statistic="Sum",
                minutes=1,
                because="An index could not move to warm storage: see _ultrawarm/migration/_status",
            ),
        ]
    if plan.cold:
        rows.append(
            Alarm(
                name="cold-migration",
                metric="WarmToColdMigrationFailureCount",
                threshold=0,
                statistic="Sum",
                minutes=1,
                because="An index could not move to cold storage: see _cold/migration/_status",
            )
        )
    return (*rows, *(FOLLOWING if follows else ()))


#: What says by itself that something is wrong: 0 while all is well.
STATUS = (
    Alarm(
        name="red",
        metric="ClusterStatus.red",
        threshold=0,
        statistic="Maximum",
        minutes=1,
        severity="page",
        because="A primary shard is on no node, its documents can be neither found nor written: look for lost nodes",
    ),
    Alarm(
        name="yellow",
        metric="ClusterStatus.yellow",
        threshold=0,
        statistic="Maximum",
        because="A copy of a shard is on no node: look for lost nodes and free space before another one fails",
    ),
    Alarm(
        name="writes-blocked",
        metric="ClusterIndexWritesBlocked",
        threshold=0,
        statistic="Maximum",
        severity="page",
        because="The domain refuses to write: it lacks disk space or heap",
    ),
    Alarm(
        name="snapshot",
        metric="AutomatedSnapshotFailure",
        threshold=0,
        statistic="Maximum",
        minutes=1,
        because="No automated snapshot was taken for 36 hours: usually a red index is in the way",
    ),
    Alarm(
        name="masters-unreachable",
        metric="MasterReachableFromNode",
        threshold=1,
        above=False,
        statistic="Maximum",
        severity="page",
        because="The nodes reach no master: the domain takes neither reads nor writes",
    ),
    # The two of the key exist only while there is trouble with it.
    Alarm(
        name="key-disabled",
        metric="KMSKeyError",
        threshold=0,
        statistic="Maximum",
        minutes=1,
        severity="page",
        missing="notBreaching",
        because="The key of the domain's data is disabled: enable it again",
    ),
    Alarm(
        name="key-lost",
        metric="KMSKeyInaccessible",
        threshold=0,
        statistic="Maximum",
        minutes=1,
        severity="page",
        missing="notBreaching",
        because="The domain can no longer use its key: give that back, or only snapshots bring the data back",
    ),
    Alarm(
        name="errors",
        metric="5xx",
        share_of="OpenSearchRequests",
        threshold=10,
        statistic="Sum",
        severity="page",
        # Of no requests at all there is no share.
        missing="notBreaching",
        because="Every tenth request fails: see the application log",
    ),
    Alarm(
        name="search-queue",
        metric="ThreadpoolSearchQueue",
        threshold=500,
        because="Searches queue up: see the slow log, then add data nodes",
    ),
    Alarm(
        name="write-queue",
        metric="ThreadpoolWriteQueue",
        threshold=100,
        because="Writes queue up: send larger bulk requests, or add data nodes",
    ),
    *(
        Alarm(
            name=f"{what}-throttled",
            metric=f"{what.capitalize()}Throttle",
            threshold=0,
            statistic="Maximum",
            minutes=30,
            because=f"Volumes are held back for half an hour: provision more {what}",
        )
        for what in ("iops", "throughput")
    ),
)

#: Of a domain that follows another. That its connection carries nothing is a page: the recovery point is 15 minutes.
FOLLOWING = (
    Alarm(
        name="connection",
        metric="CrossClusterOutboundConnections",
        threshold=1,
        above=False,
        statistic="Maximum",
        severity="page",
        because="The connection to the primary region's domain is down: nothing is replicated",
    ),
    Alarm(
        name="replication",
        metric="ReplicationNumFailedIndices",
        threshold=0,
        statistic="Maximum",
        severity="page",
        because="An index no longer follows the primary region's: restart its replication within 12 hours",
    ),
    Alarm(
        name="replication-rule",
        metric="AutoFollowNumFailedStartReplication",
        threshold=0,
        statistic="Maximum",
        because="A new index of the primary region is not followed: see _plugins/_replication/autofollow_stats",
    ),
)


def _sized(plan: DomainPlan) -> tuple[Alarm, ...]:
    """What depends on the number and size of the nodes."""
    heap = capacity(plan.hot.instance_type).heap_gib
    return (
        Alarm(
            name="nodes",
            metric="Nodes",
            threshold=plan.nodes,
            above=False,
            statistic="Minimum",
            # AWS replaces a lost node by itself, within that time.
            minutes=60,
            because="A node is missing for an hour: AWS could not replace it",
        ),
        Alarm(
            name="storage",
            metric="FreeStorageSpace",
            # A quarter of the volume, MiB. Writes stop at a fifth of it or at 20 GiB, whichever is less.
            threshold=plan.volume.size_gib * 1024 // 4,
            above=False,
            statistic="Minimum",
            because="A data node has less than a quarter of its volume free: move indexes to warm, or add storage",
        ),
        Alarm(
            name="shards",
            metric="Shards.active",
            threshold=SHARDS_PER_HEAP_GIB * heap * plan.hot.count,
            statistic="Maximum",
            because=f"There are more than {SHARDS_PER_HEAP_GIB} shards per GiB of heap: merge small indexes",
        ),
    )


def _busy(prefix: str, what: str, *, percent: int) -> tuple[Alarm, ...]:
    """CPU and heap of one kind of node."""
    stem = f"{prefix.lower()}-" if prefix else ""
    return (
        Alarm(
            name=f"{stem}cpu",
            metric=f"{prefix}CPUUtilization",
            threshold=percent,
            statistic="Maximum",
            minutes=45,
            because=f"The {what} are short of CPU: see the slow logs, then take more or larger ones",
        ),
        Alarm(
            name=f"{stem}heap",
            metric=f"{prefix}JVMMemoryPressure",
            threshold=95,
            statistic="Maximum",
            minutes=3,
            severity="page",
            because=f"The heap of the {what} is full, next they run out of memory: fewer shards, or larger nodes",
        ),
        Alarm(
            name=f"{stem}old-heap",
            metric=f"{prefix}OldGenJVMMemoryPressure",
            threshold=80,
            statistic="Maximum",
            minutes=3,
            because=f"Garbage collection no longer frees the heap of the {what}",
        ),
    )
