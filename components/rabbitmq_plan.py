"""What a region's broker looks like, decided before anything is built.

Limits are those of RabbitMQ and of Amazon MQ; each names its source. "Developer guide" is that of Amazon MQ, "API" its
REST API reference (`brokers`), "schema" RabbitMQ's own `rabbit.schema`, which is the authority on what may stand in a
configuration.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pulumi_aws.mq import BrokerMaintenanceWindowStartTimeArgsDict

from components.alarms import Alarm
from components.eks_plan import POOL_LABEL
from components.errors import ArgsError
from components.kms import Role
from components.pods import DNS_LABEL, check_image

#: AMQP over TLS; the listener in clear text is off.
PORT = 5671
#: Prometheus' metrics over TLS, where the cluster operator puts them.
METRICS_PORT = 15691
#: Node finder, node to node, and command line tools (RabbitMQ, "Networking and RabbitMQ", "Port Access").
NODE_PORTS = ((4369, 4369), (25672, 25672), (35672, 35682))

#: How long a consumer may hold a message without a word, ms: 30 minutes, both products' default, said aloud.
CONSUMER_TIMEOUT_MS = 30 * 60 * 1000
#: After so many failed deliveries a message is dropped, or dead-lettered where its queue says so: RabbitMQ 4's default.
DELIVERY_LIMIT = 20
#: Publishers: the largest message, bytes (RabbitMQ 4's default), and channels of one connection. A leak of channels
#: then ends a connection, not a node. Rates per tenant are the application's: RabbitMQ has no such limit.
MAX_MESSAGE_BYTES = 16 * 2**20
MAX_CHANNELS = 128
#: Share of its memory at which a node stops publishers, before the kernel stops the node.
MEMORY_WATERMARK = 0.6


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """RabbitMQ on the region's Kubernetes cluster, by the RabbitMQ cluster operator.

    Attributes:
        image: RabbitMQ 4.1 or later, pinned by digest: its configuration has keys of that version.
        operator_image: The cluster operator, pinned by digest.
        nodes: 3, 5 or 7: what can vote. 5 is the requirement's (section 1).
        copies: Members of each queue: 3 is the requirement's; 5 survives any two nodes, and is slower.
        cpus: vCPU per node, reserved. Not a limit: one would slow a node down that has to catch up.
        memory_gib: Memory per node, GiB, reserved and limit.
        storage_gib: Volume of each node, GiB. It can grow, never shrink.
        pool: Nodes set apart for it: label and taint ``docsearch/pool``; empty for any node. A broker that has a node
            to itself can use all of its processors, whatever it reserves.
        tls_secret: Secret in `namespace` with `tls.crt` and `tls.key`; see `components.rabbitmq`.
        namespace: Where the nodes run.
        clients: Namespaces whose pods may connect.
        scrapers: Namespaces whose pods may read the metrics.

    Raises:
        ArgsError: A value cannot work.
    """

    image: str
    operator_image: str
    nodes: int = 5
    copies: int = 3
    cpus: int = 8
    memory_gib: int = 16
    storage_gib: int = 200
    pool: str = ""
    tls_secret: str = "rabbitmq-tls"  # noqa: S105 - its name
    namespace: str = "rabbitmq"
    clients: Sequence[str] = ("docsearch",)
    scrapers: Sequence[str] = ()

    def __post_init__(self) -> None:
        for what, image in {"image": self.image, "operator_image": self.operator_image}.items():
            check_image(image, name=f"the broker's {what}")
        if self.nodes not in (3, 5, 7):
            raise ArgsError(
                f"the broker has {self.nodes} nodes",
                why="an odd number votes without a tie, and with fewer than 3 nothing survives the loss of one",
                remedy="Take 3, 5 or 7",
            )
        if self.copies not in (3, 5, 7) or self.copies > self.nodes:
            raise ArgsError(
                f"queues have {self.copies} copies on {self.nodes} nodes",
                why="an odd number votes without a tie, and a node holds one of them",
                remedy="Take 3, or 5 where there are as many nodes",
            )
        if self.cpus < 1:
            raise ArgsError(f"nodes of the broker have {self.cpus} vCPU", why="each needs one at least")
        if self.memory_gib < 4:
            raise ArgsError(
                f"nodes of the broker have {self.memory_gib} GiB of memory",
                why="the log that quorum queues write first takes 1.5 GiB of the 60% that a node may use",
                remedy="Take 4 or more",
            )
        if self.storage_gib < 2 * self.memory_gib:
            raise ArgsError(
                f"nodes of the broker have {self.storage_gib} GiB of storage",
                why=f"publishers are stopped while less than {self.memory_gib} GiB, a node's memory, are free",
                remedy=f"Take {2 * self.memory_gib} or more",
            )
        for what, names in {
            "tls_secret": [self.tls_secret],
            "namespace": [self.namespace],
            "clients": self.clients,
            "scrapers": self.scrapers,
        }.items():
            for name in names:
                if not re.fullmatch(DNS_LABEL, name):
                    raise ArgsError(f"the broker's {what} is {name!r}", why="it must be a DNS label")


#: Sizes of the only family that RabbitMQ 4 runs on, and vCPU of each; twice `large` and so on has 4 GiB per vCPU
#: (developer guide, "RabbitMQ 4"). A medium is for tests only (developer guide, "Sizing guidelines").
M7G_VCPUS: Mapping[str, int] = {
    "large": 2,
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "12xlarge": 48,
    "16xlarge": 64,
}
#: What Amazon MQ makes new brokers of and has quorum queues by default (developer guide, "RabbitMQ 4"). 3.13 runs on
#: mq.m5 too, but would make classic queues of all that name no type, and no configuration can change that.
ENGINE_VERSIONS = ("4.2", "4.3")
#: A cluster of Amazon MQ has three nodes, no more and no fewer (developer guide, "Cluster deployment").
AMAZON_NODES = 3
#: Letters, digits, dashes, underscores (API, brokerName; facts of the provider).
BROKER_NAME_CHARACTERS = 50
#: Neither `guest` nor with a tilde (API, users).
USER = "docsearch"
#: 12 to 250 characters, four different ones at least, none of ``,:=`` (API, users): letters and digits alone.
PASSWORD_LENGTH = 64


@dataclass(frozen=True, kw_only=True)
class AmazonSpec:
    """RabbitMQ run by Amazon MQ: three nodes, one in each of three zones. That is the service's figure, not ours.

    Attributes:
        instance_type: Such as ``mq.m7g.2xlarge`` (8 vCPU, 32 GiB): the smallest that has the 8 vCPU asked for.
        engine_version: ``major.minor``; Amazon MQ chooses the patch, and upgrades it in the maintenance window.

    Raises:
        ArgsError: Amazon MQ would refuse it, or its queues would not be quorum queues by default.
    """

    instance_type: str = "mq.m7g.2xlarge"
    engine_version: str = "4.2"

    def __post_init__(self) -> None:
        if re.fullmatch(r"\d+\.\d+\.\S+", self.engine_version):
            raise ArgsError(
                f"engine version of the broker is {self.engine_version}",
                why="Amazon MQ chooses the patch version itself",
                remedy="Write major.minor, such as 4.2",
            )
        if self.engine_version not in ENGINE_VERSIONS:
            raise ArgsError(
                f"engine version of the broker is {self.engine_version}",
                why=f"quorum queues are the default from 4 on, and Amazon MQ has {', '.join(ENGINE_VERSIONS)}",
                remedy="Take one of these",
            )
        family, _, size = self.instance_type.rpartition(".")
        if family != "mq.m7g" or size not in M7G_VCPUS:
            raise ArgsError(
                f"instance type of the broker is {self.instance_type}",
                why=f"a cluster of RabbitMQ {self.engine_version} runs on mq.m7g only, in the sizes "
                f"{', '.join(M7G_VCPUS)}",
                remedy="Take one of these sizes",
            )


def check_broker_name(prefix: str) -> None:
    """Refuses a logical name that leaves no room for the eight characters that make it unique.

    Raises:
        ArgsError: The name would be longer than Amazon MQ takes. Pulumi itself cuts only at 55.
    """
    if not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{BROKER_NAME_CHARACTERS - 8}}}", prefix):
        raise ArgsError(
            f"the broker is called {prefix!r}",
            why=f"with a suffix it has at most {BROKER_NAME_CHARACTERS} letters, digits, dashes and underscores",
        )


Day = Literal["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]
_DAYS: Mapping[str, Day] = {
    "mon": "MONDAY",
    "tue": "TUESDAY",
    "wed": "WEDNESDAY",
    "thu": "THURSDAY",
    "fri": "FRIDAY",
    "sat": "SATURDAY",
    "sun": "SUNDAY",
}

#: When Amazon MQ maintains, UTC: two hours long, after the database's window, and dr a day before prod.
MAINTENANCE: Mapping[Role, str] = {"primary": "sun:11:00", "standby": "sat:11:00"}


def plan_maintenance(start: str) -> BrokerMaintenanceWindowStartTimeArgsDict:
    """The start of the maintenance window as Amazon MQ takes it.

    Args:
        start: ``ddd:hh:mm``, UTC.

    Raises:
        ArgsError: It is malformed.
    """
    match = re.fullmatch(r"([a-z]{3}):((?:[01]\d|2[0-3]):[0-5]\d)", start)
    if match is None or match[1] not in _DAYS:
        raise ArgsError(f"maintenance of the broker starts at {start!r}", why="it is written ddd:hh:mm, in UTC")
    return {"day_of_week": _DAYS[match[1]], "time_of_day": match[2], "time_zone": "UTC"}


def plan_amazon_configuration() -> str:
    """The configuration of a broker of Amazon MQ: the few keys that it lets a customer set.

    Source: developer guide, "Configurable values" and "Resource limit configuration". Neither the type of queues (4:
    quorum) nor the number of their members (3) nor memory and disk limits are among them: the service sets those.
    """
    return _lines(
        {
            "consumer_timeout": CONSUMER_TIMEOUT_MS,
            "heartbeat": 60,
            "management.restrictions.operator_policy_changes.disabled": True,
            "quorum_queue.property_equivalence.relaxed_checks_on_redeclaration": True,
        }
    )


def plan_cluster_configuration(spec: ClusterSpec) -> str:
    """What is added to the operator's own configuration of a node. Every key is in the schema of RabbitMQ 4.1."""
    return _lines(
        {
            "default_queue_type": "quorum",
            "quorum_queue.initial_cluster_size": spec.copies,
            # A node that is replaced for good leaves queues with a copy fewer: they find another by themselves.
            "quorum_queue.continuous_membership_reconciliation.enabled": True,
            "quorum_queue.continuous_membership_reconciliation.target_group_size": spec.copies,
            # Queues that were declared as classic ones before are taken for what they are now.
            "quorum_queue.property_equivalence.relaxed_checks_on_redeclaration": True,
            # Of new virtual hosts; an operator policy, so no application can raise it.
            "default_policies.operator.delivery.vhost_pattern": ".*",
            "default_policies.operator.delivery.queue_pattern": ".*",
            "default_policies.operator.delivery.apply_to": "quorum_queues",
            "default_policies.operator.delivery.delivery_limit": DELIVERY_LIMIT,
            "cluster_partition_handling": "pause_minority",
            "vm_memory_high_watermark.relative": MEMORY_WATERMARK,
            # As much as the memory: what is in it may have to be written out.
            "disk_free_limit.absolute": spec.memory_gib * 2**30,
            "consumer_timeout": CONSUMER_TIMEOUT_MS,
            "heartbeat": 60,
            "max_message_size": MAX_MESSAGE_BYTES,
            "channel_max": MAX_CHANNELS,
            "ssl_options.versions.1": "tlsv1.3",
            "ssl_options.versions.2": "tlsv1.2",
            "log.console.level": "info",
        }
    )


def _lines(settings: Mapping[str, str | int | float | bool]) -> str:
    """Settings in RabbitMQ's own form."""
    shown = {key: str(value).lower() if isinstance(value, bool) else value for key, value in settings.items()}
    return "".join(f"{key} = {value}\n" for key, value in shown.items())


def _only_on(pool: str) -> dict[str, Any]:
    wanted = {"matchExpressions": [{"key": POOL_LABEL, "operator": "In", "values": [pool]}]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [wanted]}}


def node_labels(cluster: str) -> dict[str, str]:
    """What the operator puts on the pods of a cluster, and selects them by."""
    return {"app.kubernetes.io/name": cluster}


def plan_cluster(cluster: str, spec: ClusterSpec, *, storage_class: str, locked: bool) -> dict[str, Any]:
    """The spec of the `RabbitmqCluster`, in the API's own spelling.

    Args:
        cluster: Its name.
        spec: Its figures.
        storage_class: Name of the class of its volumes.
        locked: Whether claims stay when the cluster goes. Where an operator deletes them all the same, the volumes
            stay, by their storage class.
    """
    amounts = {"cpu": str(spec.cpus), "memory": f"{spec.memory_gib}Gi"}
    selector = {"matchLabels": node_labels(cluster)}
    keep = "Retain" if locked else "Delete"
    return {
        "replicas": spec.nodes,
        "image": spec.image,
        "service": {"type": "ClusterIP"},
        "persistence": {"storageClassName": storage_class, "storage": f"{spec.storage_gib}Gi"},
        # The operator tells the node the limit as its memory.
        "resources": {"requests": amounts, "limits": {"memory": amounts["memory"]}},
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
                ]
            }
        }
        | ({"nodeAffinity": _only_on(spec.pool)} if spec.pool else {}),
        "tolerations": [{"key": POOL_LABEL, "operator": "Equal", "value": spec.pool, "effect": "NoSchedule"}]
        if spec.pool
        else [],
        "rabbitmq": {"additionalConfig": plan_cluster_configuration(spec)},
        "tls": {"secretName": spec.tls_secret, "disableNonTLSListeners": True},
        "override": {
            "statefulSet": {
                "spec": {
                    "persistentVolumeClaimRetentionPolicy": {"whenDeleted": keep, "whenScaled": "Retain"},
                    "template": {
                        "spec": {
                            # An override of a pod must name its containers; none of them is changed.
                            "containers": [],
                            "topologySpreadConstraints": [
                                {
                                    "topologyKey": "topology.kubernetes.io/zone",
                                    "maxSkew": 1,
                                    "whenUnsatisfiable": "DoNotSchedule",
                                    "labelSelector": selector,
                                }
                            ],
                        }
                    },
                }
            }
        },
        # Node addresses must be in DNS before the nodes look for each other.
        "delayStartSeconds": 30,
        # A node leaves when its queues have a majority without it: an hour is more than a copy takes, and a node that
        # cannot leave blocks the upgrade of the cluster no longer than that.
        "terminationGracePeriodSeconds": 3600,
    }


ALARMS: tuple[Alarm, ...] = (
    Alarm(
        name="cpu",
        metric="SystemCpuUtilization",
        threshold=75,
        minutes=15,
        because="The broker is short of CPU: fewer connections and channels, or a larger instance type",
    ),
    # The limit is RabbitMQ's watermark, at which it stops every publisher.
    Alarm(
        name="memory",
        metric="RabbitMQMemUsed",
        share_of="RabbitMQMemLimit",
        threshold=80,
        statistic="Maximum",
        severity="page",
        because="A node is close to its memory limit, at which it stops every publisher: drain the longest queues",
    ),
    Alarm(
        name="disk",
        metric="RabbitMQDiskFreeLimit",
        share_of="RabbitMQDiskFree",
        threshold=50,
        statistic="Minimum",
        severity="page",
        because="A node has less than twice the free disk at which it stops every publisher: drain the longest queues",
    ),
    Alarm(
        name="backlog",
        metric="MessageReadyCount",
        threshold=100_000,
        minutes=15,
        statistic="Maximum",
        because="Consumers do not keep up: documents are found later than promised",
    ),
    Alarm(
        name="unacknowledged",
        metric="MessageUnacknowledgedCount",
        threshold=10_000,
        minutes=15,
        statistic="Maximum",
        because="Consumers hold messages that they do not finish: look for one that hangs",
    ),
    Alarm(
        name="consumers",
        metric="ConsumerCount",
        threshold=1,
        above=False,
        minutes=10,
        statistic="Maximum",
        missing="breaching",
        because="Nobody consumes, or the broker tells nothing of itself: see its state in the console",
    ),
)
"""Of a broker of Amazon MQ (developer guide, "RabbitMQ broker metrics"): the namespace is ``AWS/AmazonMQ``."""
