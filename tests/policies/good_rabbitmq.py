"""What is good about the broker in both plans, which run it on Kubernetes."""

from collections.abc import Callable
from typing import Any, Final

from tests.policies.good import GONE, Good

CLUSTER: Final = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"

REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
APART: Final = f"spec.affinity.podAntiAffinity.{REQUIRED}"
STATEFUL: Final = "spec.override.statefulSet.spec"
SPREAD: Final = f"{STATEFUL}.template.spec.topologySpreadConstraints"
CONFIG: Final = "spec.rabbitmq.additionalConfig"


def setting(name: str, value: str | None) -> Callable[[str], str]:
    """The configuration with one setting changed, or without it."""

    def change(text: str) -> str:
        rest = [line for line in text.splitlines() if line.partition("=")[0].strip() != name]
        return "\n".join([*rest, f"{name} = {value}"] if value is not None else rest)

    return change


def settings(rule: str, *breaks: Any) -> Good:
    """Settings of the server; while none is known, one rule asks for all."""
    return Good(CLUSTER, CONFIG, rule, breaks, unknown=False)


GOOD: tuple[Good, ...] = (
    Good(CLUSTER, "spec.replicas", "rabbit-cluster-ha", (GONE, 0, 1, 2, 4, 3.5)),
    Good(CLUSTER, APART, "rabbit-cluster-ha", (GONE, [])),
    Good(CLUSTER, f"{APART}[*].topologyKey", "rabbit-cluster-ha", (GONE, "topology.kubernetes.io/region")),
    Good(CLUSTER, f"{APART}[*].labelSelector", "rabbit-cluster-ha", (GONE, {})),
    Good(CLUSTER, "spec.affinity.podAntiAffinity", "rabbit-cluster-ha", (GONE, {})),
    Good(CLUSTER, SPREAD, "rabbit-cluster-ha", (GONE, [])),
    Good(CLUSTER, f"{SPREAD}[*].topologyKey", "rabbit-cluster-ha", (GONE, "kubernetes.io/hostname")),
    Good(CLUSTER, f"{SPREAD}[*].whenUnsatisfiable", "rabbit-cluster-ha", (GONE, "ScheduleAnyway")),
    Good(CLUSTER, f"{SPREAD}[*].maxSkew", "rabbit-cluster-ha", (GONE, 5)),
    Good(CLUSTER, f"{SPREAD}[*].labelSelector", "rabbit-cluster-ha", (GONE, {})),
    settings("rabbit-cluster-queues", *(setting("default_queue_type", value) for value in (None, "classic"))),
    settings(
        "rabbit-cluster-queues",
        *(setting("quorum_queue.initial_cluster_size", value) for value in (None, "1", "2")),
    ),
    settings(
        "rabbit-cluster-queues",
        *(setting("quorum_queue.continuous_membership_reconciliation.enabled", value) for value in (None, "false")),
        *(
            setting("quorum_queue.continuous_membership_reconciliation.target_group_size", value)
            for value in (None, "1")
        ),
    ),
    settings(
        "rabbit-cluster-queues",
        *(setting("cluster_partition_handling", value) for value in (None, "ignore", "autoheal")),
    ),
    Good(CLUSTER, CONFIG, "rabbit-cluster-queues", ()),
    settings("rabbit-cluster-tls", *(setting("ssl_options.versions.2", value) for value in ("tlsv1.1", "tlsv1"))),
    settings(
        "rabbit-cluster-tls",
        lambda text: setting("ssl_options.versions.1", None)(setting("ssl_options.versions.2", None)(text)),
        setting("listeners.tcp.default", "5672"),
    ),
    Good(CLUSTER, "spec.tls", "rabbit-cluster-tls", (GONE, {})),
    Good(CLUSTER, "spec.tls.secretName", "rabbit-cluster-tls", (GONE, "")),
    Good(CLUSTER, "spec.tls.disableNonTLSListeners", "rabbit-cluster-tls", (GONE, False)),
    Good(CLUSTER, "spec.service.type", "rabbit-cluster-private", ("LoadBalancer", "NodePort")),
    Good(CLUSTER, "spec.persistence", "rabbit-cluster-storage", (GONE, {})),
    Good(CLUSTER, "spec.persistence.storageClassName", "rabbit-cluster-storage", (GONE, "")),
    Good(CLUSTER, "spec.persistence.storage", "rabbit-cluster-storage", (GONE, "0", "1Gi", "100Mi")),
    Good(
        CLUSTER, f"{STATEFUL}.persistentVolumeClaimRetentionPolicy.whenDeleted", "rabbit-cluster-storage", ("Delete",)
    ),
    Good(CLUSTER, f"{STATEFUL}.persistentVolumeClaimRetentionPolicy.whenScaled", "rabbit-cluster-storage", ("Delete",)),
    Good(CLUSTER, "spec.resources.requests.cpu", "rabbit-cluster-resources"),
    Good(CLUSTER, "spec.resources.requests.memory", "rabbit-cluster-resources"),
    Good(CLUSTER, "spec.resources.limits.memory", "rabbit-cluster-resources", (GONE, "8Gi")),
    Good(CLUSTER, "spec.resources.limits", "rabbit-cluster-resources"),
    Good(CLUSTER, "spec.image", "rabbit-cluster-image", (GONE, "rabbitmq:4", "rabbitmq")),
    Good(CLUSTER, "spec.terminationGracePeriodSeconds", "rabbit-cluster-grace", (0, 30)),
)
