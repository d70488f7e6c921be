"""Pods: what each may do to its node, what it may use of it, and how it says that it works.

Wherever a pod is made: in a Deployment or any other workload, alone, or in what a RabbitMQ cluster changes of its
operator's pods. Of the last only what is given is judged: the rest is the operator's, and what the cluster's own object
decides is in `policies.rabbitmq`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from policies.rule import (
    ABSENT,
    FALSE,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Want,
    items,
    judge,
    look,
    must,
    number,
    one_of,
    rule,
    unverified,
)
from policies.selection import selects

DEPLOYMENT: Final = "kubernetes:apps/v1:Deployment"
STATEFUL_SET: Final = "kubernetes:apps/v1:StatefulSet"
DAEMON_SET: Final = "kubernetes:apps/v1:DaemonSet"
RABBITMQ: Final = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"

TEMPLATES: Final[Mapping[str, str]] = {
    DEPLOYMENT: "spec.template.",
    STATEFUL_SET: "spec.template.",
    DAEMON_SET: "spec.template.",
    "kubernetes:apps/v1:ReplicaSet": "spec.template.",
    "kubernetes:core/v1:ReplicationController": "spec.template.",
    "kubernetes:core/v1:PodTemplate": "template.",
    "kubernetes:batch/v1:Job": "spec.template.",
    "kubernetes:batch/v1:CronJob": "spec.jobTemplate.spec.template.",
    "kubernetes:core/v1:Pod": "",
    RABBITMQ: "spec.override.statefulSet.spec.template.",
}
"""Where each type says what its pods are."""

PODS: Final = tuple(TEMPLATES)
LASTING: Final = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)
"""Workloads whose pods are there to stay."""

OPAQUE: Final = (
    "kubernetes:helm.sh/v3:Release",
    *(f"{type_}Patch" for type_ in PODS if type_ != RABBITMQ),
)

KUBERNETES: Final = "https://kubernetes.io/docs"
STANDARDS: Final = f"{KUBERNETES}/concepts/security/pod-security-standards/#restricted"


@dataclass(frozen=True)
class Pod:
    """A pod as a resource describes it.

    Attributes:
        resource: Of whom.
        at: Path of what describes it, with a dot at its end.
        partial: Whether somebody else fills in what is not given.
    """

    resource: Resource
    at: str
    partial: bool

    @property
    def labels(self) -> Any:
        """Its labels."""
        return self.resource.get(f"{self.at}metadata.labels")

    def path(self, path: str) -> str:
        """The path of something in its `spec`."""
        return f"{self.at}spec.{path}"

    def get(self, path: str) -> Any:
        """Something of its `spec`."""
        return self.resource.get(self.path(path))

    def containers(self, *kinds: str) -> Iterator[tuple[str, Any]]:
        """Path and value of each container, those that come first and those that come later included."""
        for kind in kinds or ("containers", "initContainers", "ephemeralContainers"):
            yield from items(self.resource, self.path(kind))

    def running(self) -> Iterator[tuple[str, Any]]:
        """Those that run as long as the pod: its containers, and what starts before them and stays."""
        yield from self.containers("containers")
        for path, container in self.containers("initContainers"):
            if container is not UNKNOWN and look(container, "restartPolicy") == "Always":
                yield path, container

    def says(self, value: Any, path: str, want: Want) -> Iterator[Finding]:
        """Judges a value; where another fills in, an absent one is theirs."""
        if value is not None or not self.partial:
            yield from judge(value, path, want)


def pod_of(resource: Resource) -> Pod:
    """The pod that a resource makes."""
    return Pod(resource, TEMPLATES[resource.type], partial=resource.type == RABBITMQ)


# What it may do to its node

_PROFILE: Final = Want(
    "RuntimeDefault or Localhost", lambda value: value in ("RuntimeDefault", "Localhost") if _text(value) else False
)
_APPARMOR: Final = Want(
    "RuntimeDefault, Localhost or absent",
    lambda value: value is None or (_text(value) and value in ("RuntimeDefault", "Localhost")),
)
_APPARMOR_NOTE: Final = Want(
    "runtime/default or localhost/*",
    lambda value: _text(value) and (value in ("", "runtime/default") or value.startswith("localhost/")),
)
_APPARMOR_NOTES: Final = "container.apparmor.security.beta.kubernetes.io/"
_NOT_ROOT: Final = Want(
    "absent or a user other than 0", lambda value: value is None or ((found := number(value)) is not None and found > 0)
)
_DROPS_ALL: Final = Want("a list with ALL", lambda value: isinstance(value, list) and "ALL" in value)
_PROC: Final = Want("Default or absent", lambda value: value is None or (_text(value) and value in ("", "Default")))
_SELINUX: Final = Want(
    "absent or a container's type",
    lambda value: (
        value is None
        or (_text(value) and value in ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"))
    ),
)
_SYSCTLS: Final = frozenset(
    "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.ip_unprivileged_port_start net.ipv4.tcp_syncookies "
    "net.ipv4.ping_group_range net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout "
    "net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes".split()
)
_SAFE: Final = Want("a safe sysctl", lambda value: _text(value) and value in _SYSCTLS)
_CAPABILITY: Final = one_of("NET_BIND_SERVICE")

_ALONE: Final = (
    ("windowsOptions.hostProcess", FALSE),
    ("appArmorProfile.type", _APPARMOR),
    ("seLinuxOptions.type", _SELINUX),
    ("seLinuxOptions.user", ABSENT),
    ("seLinuxOptions.role", ABSENT),
    ("runAsUser", _NOT_ROOT),
)
"""What a security context may not say, of a pod or of a container."""

_CONTAINER: Final = (
    ("privileged", FALSE),
    ("procMount", _PROC),
    ("allowPrivilegeEscalation", Want("false", lambda value: value is False)),
    ("readOnlyRootFilesystem", TRUE),
    ("capabilities.drop", _DROPS_ALL),
)
_INHERITED: Final = (("runAsNonRoot", TRUE), ("seccompProfile.type", _PROFILE))
"""What a container has of its pod unless it says otherwise."""


@rule(
    "k8s-security-context",
    on=PODS,
    severity=Severity.CRITICAL,
    why="A container that may do more than it needs takes its node with it when it is broken into",
    remedy="Give the pod `pod_security` and each container `container_security` (components/pods.py)",
    reference=STANDARDS,
)
def security_context(resource: Resource) -> Iterator[Finding]:
    """Pods meet the standard `restricted`, and their containers write to volumes only."""
    pod = pod_of(resource)
    own = pod.path("securityContext")
    for path, want in _ALONE:
        yield from must(resource, f"{own}.{path}", want)
    for path, sysctl in items(resource, f"{own}.sysctls"):
        yield from judge(look(sysctl, "name"), f"{path}.name", _SAFE)
    for path, want in _INHERITED:
        yield from _inherited(pod, path, want)
    for at, container in pod.containers():
        if container is not UNKNOWN:
            yield from _container(pod, f"{at}.securityContext", look(container, "securityContext"))
    yield from _annotations(pod)


def _container(pod: Pod, at: str, context: Any) -> Iterator[Finding]:
    for path, want in _ALONE:
        yield from judge(look(context, path), f"{at}.{path}", want)
    for path, want in _CONTAINER:
        yield from pod.says(look(context, path), f"{at}.{path}", want)
    added = look(context, "capabilities.add")
    for capability in added if isinstance(added, list) else [added]:
        if capability is not None:
            yield from judge(capability, f"{at}.capabilities.add", _CAPABILITY)


def _inherited(pod: Pod, path: str, want: Want) -> Iterator[Finding]:
    above = pod.get(f"securityContext.{path}")
    if above is not None:
        yield from judge(above, pod.path(f"securityContext.{path}"), want)
    for at, container in pod.containers():
        value = look(container, f"securityContext.{path}")
        where = f"{at}.securityContext.{path}"
        if value is not None:
            yield from judge(value, where, want)
        elif above is None and not pod.partial:
            yield Finding(where, f"is absent, here and for the pod, and must be {want.text}")


def _annotations(pod: Pod) -> Iterator[Finding]:
    path = f"{pod.at}metadata.annotations"
    notes = pod.resource.get(path)
    for name, value in notes.items() if isinstance(notes, Mapping) else ():
        if str(name).startswith(_APPARMOR_NOTES):
            yield from judge(value, f"{path}.{name}", _APPARMOR_NOTE)


_VOLUMES: Final = frozenset(
    "configMap csi downwardAPI emptyDir ephemeral persistentVolumeClaim projected secret".split()
)
_NO_PORT: Final = Want("absent", lambda value: value is None or number(value) == 0)


@rule(
    "k8s-host-access",
    on=PODS,
    severity=Severity.CRITICAL,
    why="A pod in its node's network, processes or files is the node, with the node's rights in AWS",
    remedy="Give the pod a Service, a claim or a ConfigMap instead of its node's network, processes or files",
    reference=f"{KUBERNETES}/concepts/security/pod-security-standards/#baseline",
)
def host_access(resource: Resource) -> Iterator[Finding]:
    """Pods share neither network, processes, files nor ports with their nodes."""
    pod = pod_of(resource)
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        yield from must(resource, pod.path(name), FALSE)
    for path, volume in items(resource, pod.path("volumes")):
        if volume is UNKNOWN:
            yield unverified(path)
            continue
        for kind, value in volume.items() if isinstance(volume, Mapping) else ():
            if kind != "name" and value is not None and kind not in _VOLUMES:
                yield Finding(f"{path}.{kind}", f"is given, and a volume must be one of {', '.join(sorted(_VOLUMES))}")
    for at, container in pod.containers():
        ports = look(container, "ports")
        for index, port in enumerate(ports if isinstance(ports, list) else ()):
            yield from judge(look(port, "hostPort"), f"{at}.ports[{index}].hostPort", _NO_PORT)
        for handler in _HANDLERS:
            if look(container, handler.rpartition(".")[0]) is UNKNOWN:
                # Said by the rules that want a probe, or a hook.
                continue
            yield from judge(look(container, f"{handler}.host"), f"{at}.{handler}.host", ABSENT)


_HANDLERS: Final = tuple(
    f"{of}.{kind}"
    for of in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")
    for kind in ("httpGet", "tcpSocket")
)
"""With a `host`, the node's agent would call whom it says."""


# What it uses, and how it says that it works

_PROBE: Final = Want(
    "given, with an action",
    lambda value: (
        isinstance(value, Mapping)
        and any(value.get(kind) not in (None, {}) for kind in ("httpGet", "tcpSocket", "exec", "grpc"))
    ),
)


@rule(
    "k8s-probes",
    on=LASTING,
    severity=Severity.HIGH,
    why="Without a readiness probe requests go to pods that cannot answer; without a liveness probe a hung one stays",
    remedy="Give each container a readinessProbe and a livenessProbe",
    reference=f"{KUBERNETES}/concepts/workloads/pods/probes/",
)
def probes(resource: Resource) -> Iterator[Finding]:
    """Every container that stays says whether it is ready and whether it is alive."""
    for at, container in pod_of(resource).running():
        if container is UNKNOWN:
            yield unverified(at)
            continue
        for probe in ("readinessProbe", "livenessProbe"):
            yield from judge(look(container, probe), f"{at}.{probe}", _PROBE)


_QUANTITY: Final = re.compile(r"\+?(\d+(?:\.\d*)?|\.\d+)([numkKMGTPE]i?|[eE][+-]?\d+)?")


def _positive(value: Any) -> bool:
    if (found := number(value)) is not None:
        return found > 0
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    return match is not None and any(digit in "123456789" for digit in match[1])


_AMOUNT: Final = Want("an amount above 0", _positive)


@rule(
    "k8s-resources",
    on=PODS,
    severity=Severity.HIGH,
    why="A pod that reserves nothing is evicted first; one without a limit takes its neighbours' memory or disk",
    remedy="Give each container requests for cpu and memory and a limit for memory, and each emptyDir a sizeLimit",
    reference=f"{KUBERNETES}/concepts/configuration/manage-resources-containers/",
)
def resources(resource: Resource) -> Iterator[Finding]:
    """Every container reserves processor and memory, and has an end of both memory and scratch space."""
    pod = pod_of(resource)
    for at, container in pod.containers("containers", "initContainers"):
        if container is UNKNOWN:
            yield unverified(at)
            continue
        for path in _RESERVED:
            yield from pod.says(look(container, path), f"{at}.{path}", _AMOUNT)
    for path, volume in items(resource, pod.path("volumes")):
        empty = look(volume, "emptyDir")
        if volume is not UNKNOWN and empty is not None:
            yield from judge(look(empty, "sizeLimit"), f"{path}.emptyDir.sizeLimit", _AMOUNT)


_RESERVED: Final = ("resources.requests.cpu", "resources.requests.memory", "resources.limits.memory")

_PINNED: Final = Want(
    "<repository>@sha256:<digest>",
    lambda value: isinstance(value, str) and re.fullmatch(r"[^@\s]+@sha256:[0-9a-f]{64}", value) is not None,
)
_OURS: Final = Want(
    "from a registry of ours in ECR",
    lambda value: (
        isinstance(value, str)
        and re.match(r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/", value) is not None
    ),
)


def _images(resource: Resource) -> Iterator[tuple[str, Any]]:
    pod = pod_of(resource)
    for at, container in pod.containers():
        image = look(container, "image")
        if image is not None or not pod.partial:
            yield f"{at}.image", image


@rule(
    "k8s-image-digest",
    on=PODS,
    severity=Severity.MEDIUM,
    why="A tag can be moved: what was tested and what runs would differ",
    remedy="Pin the image as <repository>@sha256:<64 hexadecimal digits>",
    reference=f"{KUBERNETES}/concepts/containers/images/#image-names",
)
def image_digest(resource: Resource) -> Iterator[Finding]:
    """Images are named by what is in them."""
    for path, image in _images(resource):
        yield from judge(image, path, _PINNED)


@rule(
    "k8s-image-registry",
    on=PODS,
    severity=Severity.HIGH,
    why="An image from elsewhere is scanned by nobody, and pods do not start while its registry is down",
    remedy="Copy the image to a repository of the region (components/registry.py), and name it there",
    reference="https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning.html",
)
def image_registry(resource: Resource) -> Iterator[Finding]:
    """Images come from our own registry."""
    for path, image in _images(resource):
        # What cannot be read yet, or is no image at all, is said once: by the rule above.
        if isinstance(image, str):
            yield from judge(image, path, _OURS)


ZONE: Final = "topology.kubernetes.io/zone"


@rule(
    "k8s-spread",
    on=(DEPLOYMENT, STATEFUL_SET, "kubernetes:apps/v1:ReplicaSet"),
    severity=Severity.HIGH,
    why="Pods that may all be in one zone are all gone with it",
    remedy="Give the pod `spread(labels)` (components/pods.py)",
    reference=f"{KUBERNETES}/concepts/scheduling-eviction/topology-spread-constraints/",
)
def over_zones(resource: Resource, *, skew: Annotated[int, Bounds(1, 10)] = 1) -> Iterator[Finding]:
    """Pods are spread evenly over zones; `skew` is the largest difference between two zones."""
    pod = pod_of(resource)
    path = pod.path("topologySpreadConstraints")
    constraints = list(items(resource, path))
    zones = [(at, one) for at, one in constraints if one is not UNKNOWN and look(one, "topologyKey") == ZONE]
    if not zones:
        unknown = [at for at, one in constraints if look(one, "topologyKey") is UNKNOWN]
        yield unverified(unknown[0]) if unknown else Finding(path, "has no entry for zones")
    for at, one in zones:
        yield from judge(look(one, "whenUnsatisfiable"), f"{at}.whenUnsatisfiable", one_of("DoNotSchedule"))
        yield from judge(look(one, "maxSkew"), f"{at}.maxSkew", Want(f"1 to {skew}", _between(1, skew)))
        if resource.type == DEPLOYMENT:
            # By default a lost zone counts as one with no pods, and keeps new ones from the zones that are left.
            yield from judge(look(one, "nodeTaintsPolicy"), f"{at}.nodeTaintsPolicy", one_of("Honor"))
        chosen = selects(look(one, "labelSelector"), pod.labels)
        if chosen is None:
            yield unverified(f"{at}.labelSelector")
        elif not chosen:
            yield Finding(f"{at}.labelSelector", "does not select the pods that it is to spread")


@rule(
    "k8s-visible",
    on=OPAQUE,
    severity=Severity.HIGH,
    why="What a chart or a patch puts into the cluster is seen by no rule before it is there",
    remedy="Write the objects themselves, as a component",
    reference="https://www.pulumi.com/registry/packages/kubernetes/api-docs/helm/v3/release/",
)
def visible(resource: Resource) -> Iterator[Finding]:
    """Workloads are written out."""
    yield Finding("", f"is a {resource.type.rpartition(':')[2]}, and its pods cannot be judged")


def _between(least: int, most: int) -> Any:
    return lambda value: (found := number(value)) is not None and least <= found <= most


def _text(value: Any) -> bool:
    return isinstance(value, str)
