"""The broker: a cluster that survives a zone, durable queues, TLS, and no way in from outside.

It is run either by Amazon MQ (`aws:mq/broker:Broker`) or by the RabbitMQ cluster operator (`RabbitmqCluster`, an object
of Kubernetes). What Kubernetes' own objects must be is told by the rules for pods; what the operator makes of its
object is judged here, since those pods are in no plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from policies.rule import (
    FALSE,
    GIVEN,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Want,
    at_least,
    items,
    judge,
    look,
    must,
    number,
    one_of,
    rule,
    shown,
    unverified,
)
from policies.wants import NAMED, OWN_KEY, TEXTS, different, exactly

BROKER: Final = "aws:mq/broker:Broker"
CLUSTER: Final = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"

MQ_GUIDE: Final = "https://docs.aws.amazon.com/amazon-mq/latest/developer-guide"
DOCS: Final = "https://www.rabbitmq.com"

_M7G: Final = re.compile(r"mq\.m7g\.(large|\d*xlarge)")
"""What RabbitMQ 4 runs on; a medium is for tests (developer guide, "RabbitMQ 4" and "Sizing guidelines")."""

_ZONES: Final = 3


@rule(
    "mq-ha",
    on=BROKER,
    severity=Severity.CRITICAL,
    why="A single broker loses its messages with its zone, and AWS refuses a cluster of the wrong shape",
    remedy="Keep CLUSTER_MULTI_AZ, RabbitMQ 4 on mq.m7g and three subnets (components/rabbitmq.py)",
    key="broker.amazon.instance_type",
    reference=f"{MQ_GUIDE}/rabbitmq-broker-architecture-cluster.html",
)
def mq_ha(broker: Resource) -> Iterator[Finding]:
    """A cluster of three zones, of a version whose queues are quorum queues by default."""
    yield from must(broker, "engineType", one_of("RabbitMQ"))
    # Absent is a single instance.
    yield from must(broker, "deploymentMode", one_of("CLUSTER_MULTI_AZ"))
    four = Want("4.2 or later, without a patch", _is_four)
    yield from must(broker, "engineVersion", four)
    large = Want("an mq.m7g, large or more", lambda value: isinstance(value, str) and bool(_M7G.fullmatch(value)))
    yield from must(broker, "hostInstanceType", large)
    yield from must(broker, "subnetIds", different(_ZONES))
    # Absent is false, which Amazon MQ refuses.
    yield from must(broker, "autoMinorVersionUpgrade", TRUE)


def _is_four(version: Any) -> bool:
    found = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", version) if isinstance(version, str) else None
    return found is not None and (int(found[1]), int(found[2])) >= (4, 2)


@rule(
    "mq-secure",
    on=BROKER,
    severity=Severity.CRITICAL,
    why="A public broker, or one under AWS's own key, gives messages to others, and nobody sees who came",
    remedy="Keep it private, with the messages key and the general log (components/rabbitmq.py)",
    reference=f"{MQ_GUIDE}/amazon-mq-security.html",
)
def mq_secure(broker: Resource) -> Iterator[Finding]:
    """Private, encrypted with a key of ours, and its log kept."""
    yield from must(broker, "publiclyAccessible", FALSE)
    yield from must(broker, "securityGroups", TEXTS)
    # Absent is true.
    no = Want("false", lambda value: value is False)
    yield from must(broker, "encryptionOptions.useAwsOwnedKey", no)
    if broker.get("encryptionOptions") is not UNKNOWN:
        yield from must(broker, "encryptionOptions.kmsKeyId", OWN_KEY)
    yield from must(broker, "logs.general", TRUE)


@rule(
    "mq-change-window",
    on=BROKER,
    severity=Severity.MEDIUM,
    why="A change would restart nodes at once, and not at night",
    remedy="Keep apply_immediately false and a maintenance window",
    key="broker.maintenance",
    reference=f"{MQ_GUIDE}/maintaining-brokers.html",
)
def mq_change_window(broker: Resource) -> Iterator[Finding]:
    """Changes and upgrades wait for a window of ours."""
    yield from must(broker, "applyImmediately", FALSE)
    yield from must(broker, "maintenanceWindowStartTime.timeOfDay", NAMED)


@rule(
    "rabbit-cluster-ha",
    on=CLUSTER,
    severity=Severity.CRITICAL,
    why="Without a majority in other zones and on other machines, the loss of one stops every queue",
    remedy="Take 3, 5 or 7 nodes, apart from each other (plan_cluster in components/rabbitmq_plan.py)",
    key="broker.cluster.nodes",
    reference=f"{DOCS}/docs/clustering",
)
def cluster_ha(cluster: Resource, *, nodes: Annotated[int, Bounds(3, 9)] = 3) -> Iterator[Finding]:
    """An odd number of nodes, each on a machine of its own, spread over the zones."""
    odd = Want(
        f"odd, {nodes} or more",
        lambda value: (found := number(value)) is not None and found >= nodes and found % 2 == 1,
    )
    yield from must(cluster, "spec.replicas", odd)
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    apart = f"spec.affinity.podAntiAffinity.{required}"
    yield from _some(cluster, apart, {"topologyKey": one_of("kubernetes.io/hostname"), "labelSelector": GIVEN})
    spread = "spec.override.statefulSet.spec.template.spec.topologySpreadConstraints"
    zone = one_of("topology.kubernetes.io/zone")
    yield from _some(
        cluster,
        spread,
        {
            "topologyKey": zone,
            "whenUnsatisfiable": one_of("DoNotSchedule"),
            "maxSkew": exactly(1),
            "labelSelector": GIVEN,
        },
    )


def _some(its: Resource, path: str, wanted: dict[str, Want]) -> Iterator[Finding]:
    """That a list has an item that is as wanted."""
    doubts: list[str] = []
    for where, item in items(its, path):
        values = {name: look(item, name) for name in wanted}
        if any(value is not UNKNOWN and not wanted[name].holds(value) for name, value in values.items()):
            continue
        unknown = [name for name, value in values.items() if value is UNKNOWN]
        if not unknown:
            return
        doubts.append(where if item is UNKNOWN else f"{where}.{unknown[0]}")
    if doubts:
        yield unverified(doubts[0])
    else:
        text = ", ".join(f"{name} {want.text}" for name, want in wanted.items())
        yield Finding(path, f"have none with {text}")


_SETTINGS: Final = "spec.rabbitmq.additionalConfig"


def _settings(cluster: Resource) -> dict[str, str] | None:
    """The keys of the configuration; None while it is not known."""
    text = cluster.get(_SETTINGS)
    if text is UNKNOWN:
        return None
    found = {}
    for line in text.splitlines() if isinstance(text, str) else ():
        key, equals, value = line.partition("=")
        if equals and not key.strip().startswith("#"):
            found[key.strip()] = value.strip()
    return found


@rule(
    "rabbit-cluster-queues",
    on=CLUSTER,
    severity=Severity.CRITICAL,
    why="A classic queue is on one node and lost with it; a cluster that splits in two would answer twice",
    remedy="Keep quorum queues and pause_minority (plan_cluster_configuration in components/rabbitmq_plan.py)",
    key="broker.cluster.copies",
    reference=f"{DOCS}/docs/quorum-queues",
)
def cluster_queues(cluster: Resource, *, copies: Annotated[int, Bounds(3, 7)] = 3) -> Iterator[Finding]:
    """Queues are quorum queues of so many copies, and a minority stops."""
    settings = _settings(cluster)
    if settings is None:
        yield unverified(_SETTINGS)
        return
    odd = Want(
        f"odd, {copies} or more",
        lambda value: isinstance(value, str) and value in {str(count) for count in range(copies | 1, 10, 2)},
    )
    for name, want in {
        "default_queue_type": one_of("quorum"),
        "quorum_queue.initial_cluster_size": odd,
        "quorum_queue.continuous_membership_reconciliation.enabled": one_of("true"),
        "quorum_queue.continuous_membership_reconciliation.target_group_size": odd,
        "cluster_partition_handling": one_of("pause_minority"),
    }.items():
        if not want.holds(settings.get(name)):
            yield Finding(_SETTINGS, f"{name} is {shown(settings.get(name))}, must be {want.text}")


@rule(
    "rabbit-cluster-tls",
    on=CLUSTER,
    severity=Severity.CRITICAL,
    why="Passwords and messages would cross the network in clear text",
    remedy="Keep the TLS secret, and the listeners without TLS off (plan_cluster in components/rabbitmq_plan.py)",
    key="broker.cluster.tls_secret",
    reference=f"{DOCS}/kubernetes/operator/using-operator",
)
def cluster_tls(cluster: Resource) -> Iterator[Finding]:
    """TLS 1.2 or later, and nothing else listens."""
    yield from must(cluster, "spec.tls.secretName", NAMED)
    if cluster.get("spec.tls") is not UNKNOWN:
        yield from must(cluster, "spec.tls.disableNonTLSListeners", TRUE)
    settings = _settings(cluster)
    # A configuration that is not known is `rabbit-cluster-queues`' to say.
    for name, value in (settings or {}).items():
        if name.startswith("ssl_options.versions.") and value not in ("tlsv1.2", "tlsv1.3"):
            yield Finding(_SETTINGS, f"{name} is {shown(value)}, must be tlsv1.2 or tlsv1.3")
        if name.startswith("listeners.tcp") and value != "none":
            yield Finding(_SETTINGS, f"{name} is {shown(value)}, must be none")
    if settings is not None and not any(name.startswith("ssl_options.versions.") for name in settings):
        yield Finding(_SETTINGS, "has no ssl_options.versions, must have tlsv1.2 or tlsv1.3")


@rule(
    "rabbit-cluster-private",
    on=CLUSTER,
    severity=Severity.CRITICAL,
    why="A load balancer or a port of each node would open the broker to whatever reaches the nodes",
    remedy="Keep service.type ClusterIP (plan_cluster in components/rabbitmq_plan.py)",
    reference="https://kubernetes.io/docs/concepts/services-networking/service/",
)
def cluster_private(cluster: Resource) -> Iterator[Finding]:
    """The broker is reached from within the cluster only."""
    inside = Want("ClusterIP or absent", lambda value: value is None or value == "ClusterIP")
    yield from must(cluster, "spec.service.type", inside)
    yield from must(cluster, "spec.override.service.spec.type", inside)


_UNITS: Final = {"Gi": 1, "Ti": 1024, "G": 0.93, "T": 931}


@rule(
    "rabbit-cluster-storage",
    on=CLUSTER,
    severity=Severity.CRITICAL,
    why="Messages that are not on a disk that stays are gone with their pod",
    remedy="Keep a volume of each node, and claims that stay (plan_cluster in components/rabbitmq_plan.py)",
    key="broker.cluster.storage_gib",
    reference=f"{DOCS}/kubernetes/operator/using-operator",
)
def cluster_storage(cluster: Resource, *, gib: Annotated[int, Bounds(1, 16384)] = 8) -> Iterator[Finding]:
    """Each node has a volume of so many GiB, of our class, that outlives it. The operator takes "0" for none."""
    yield from must(cluster, "spec.persistence.storageClassName", NAMED)
    if cluster.get("spec.persistence") is not UNKNOWN:
        large = Want(f"{gib}Gi or more", lambda value: _gib(value) >= gib)
        yield from must(cluster, "spec.persistence.storage", large)
    claims = "spec.override.statefulSet.spec.persistentVolumeClaimRetentionPolicy"
    for name in ("whenDeleted", "whenScaled"):
        yield from must(cluster, f"{claims}.{name}", Want("Retain or absent", lambda value: value in (None, "Retain")))


def _gib(quantity: Any) -> float:
    found = re.fullmatch(r"(\d{1,9})([GT]i?)", quantity) if isinstance(quantity, str) else None
    return int(found[1]) * _UNITS[found[2]] if found else 0


@rule(
    "rabbit-cluster-resources",
    on=CLUSTER,
    severity=Severity.HIGH,
    why="Without reservations a neighbour takes its processor; without a limit it stops publishers by a guess",
    remedy="Keep requests, and the memory's limit equal to its request (plan_cluster in components/rabbitmq_plan.py)",
    key="broker.cluster.memory_gib",
    reference=f"{DOCS}/docs/production-checklist",
)
def cluster_resources(cluster: Resource) -> Iterator[Finding]:
    """Processor and memory are reserved, and the memory is limited to that."""
    for path in ("spec.resources.requests.cpu", "spec.resources.requests.memory"):
        yield from must(cluster, path, GIVEN)
    memory = cluster.get("spec.resources.requests.memory")
    same = Want("what is requested", lambda value: GIVEN.holds(value) and value == memory)
    if memory is not UNKNOWN and GIVEN.holds(memory):
        yield from must(cluster, "spec.resources.limits.memory", same)


@rule(
    "rabbit-cluster-image",
    on=CLUSTER,
    severity=Severity.MEDIUM,
    why="A tag can be moved: what was tested and what runs would differ",
    remedy="Pin the image by digest",
    key="broker.cluster.image",
    reference="https://kubernetes.io/docs/concepts/containers/images/",
)
def cluster_image(cluster: Resource) -> Iterator[Finding]:
    """The image is pinned by digest."""
    pinned = Want(
        "pinned by digest",
        lambda value: isinstance(value, str) and bool(re.fullmatch(r"[^@\s]+@sha256:[0-9a-f]{64}", value)),
    )
    yield from must(cluster, "spec.image", pinned)


@rule(
    "rabbit-cluster-grace",
    on=CLUSTER,
    severity=Severity.HIGH,
    why="A node that is killed before it has handed its queues on leaves them without a majority for a while",
    remedy="Keep terminationGracePeriodSeconds (plan_cluster in components/rabbitmq_plan.py)",
    reference=f"{DOCS}/docs/upgrade",
)
def cluster_grace(cluster: Resource, *, seconds: Annotated[int, Bounds(60, 604800)] = 600) -> Iterator[Finding]:
    """A node has time to hand its queues on; the operator's own default is a week."""
    long = Want(f"absent, or {seconds} or more", lambda value: value is None or at_least(seconds).holds(value))
    yield from judge(cluster.get("spec.terminationGracePeriodSeconds"), "spec.terminationGracePeriodSeconds", long)
