"""The service's roles, decided before anything is built: their pods, scaling, network rules and rights in AWS."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from pulumi_kubernetes.autoscaling.v2 import HorizontalPodAutoscalerSpecArgsDict
from pulumi_kubernetes.core.v1 import PodSpecArgsDict, ProbeArgsDict
from pulumi_kubernetes.meta.v1 import LabelSelectorArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicyPeerArgsDict, NetworkPolicySpecArgsDict

from components.eks_plan import POOL_LABEL
from components.errors import ArgsError
from components.ingress import DEREGISTRATION_SECONDS, PORTS, PROBE_PORT
from components.pods import (
    DNS_LABEL,
    HTTPS,
    check_image,
    closed_namespace,
    container_security,
    credentials,
    https,
    internet,
    namespace_peer,
    pod_security,
    port,
    spread,
)

#: From the end of a pod to its last new request, s: the time in which the load balancer, and every node, learns of it.
DRAIN_SECONDS = 15

Need = Literal["database", "search", "cache", "broker"]

#: Where what a role may need listens inside the VPC, each over TLS.
STORE_PORTS: Mapping[Need, int] = {"database": 5432, "search": HTTPS, "cache": 6379, "broker": 5671}

#: What pods may open inside the VPC.
VPC_PORTS = tuple(STORE_PORTS.values())

#: The user of the image: no account of any node.
USER_ID = 10001

#: Where a Secret with the login at the broker is mounted, and the certificate that the broker is known by. Only a
#: broker in the cluster has one: its operator keeps logins in Secrets.
BROKER_FOLDER = "/etc/docsearch/broker"

#: What every pod gets its environment from.
CONFIG_MAP = "settings"

#: How many pods a rolling update may have beyond those that there are, %, rounded up (requirement, section 6).
SURGE_PERCENT = 25

#: Connections to a server of the database that no pod's pool may have: its own and those of RDS, of the Job that
#: migrates, of whoever looks by hand, and of pods that leave while others have come.
RESERVED_CONNECTIONS = 200

#: Connections that a pod has to a server at most (requirement, section 1), and at least: those that it keeps open.
POOL_CONNECTIONS = (10, 50)

#: What a pod waits for beside its own probe: that the load balancer finds it healthy. The controller sets it for a pod
#: that names its TargetGroupBinding (AWS Load Balancer Controller, "Pod readiness gate").
READINESS_GATE = "target-health.elbv2.k8s.aws"

#: Where the second version of a role gets its names from.
CANDIDATE = "candidate"


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Nodes that are set apart: each has the label ``key=value`` and the taint ``key=value:NoSchedule``.

    Attributes:
        key: Of label and taint.
        value: Of both.
    """

    key: str = POOL_LABEL
    value: str = "indexing"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A second version of a role, which runs beside the first (requirement, section 6).

    It has a Deployment, a Service and, for a public role, a target group of its own: how much of the requests it gets
    is the listener's weight of that group, 0 to 100, and changes at once and without a pod being touched. A role that
    works on a queue has no weight: its candidate takes what its share of the pods is.

    Attributes:
        image: Its image, pinned by digest.
        percent: Its pods, of the role's, %, 1 to 100: what it must be able to take. Never less than 3 pods.

    Raises:
        ArgsError: The image is not pinned, or the share is none.
    """

    image: str
    percent: int = 100

    def __post_init__(self) -> None:
        check_image(self.image)
        if not 1 <= self.percent <= 100:
            raise ArgsError(f"a candidate has {self.percent}% of its role's pods", why="it must be 1 to 100")


@dataclass(frozen=True, kw_only=True)
class RoleSpec:
    """One role of the service.

    Attributes:
        name: Such as ``search``: the names of its objects, and what the image is told to run.
        min_replicas: At least so many pods, 3 or more: with one zone lost and one pod being replaced, one is left.
        max_replicas: At most so many.
        cpu_millicores: Reserved per pod, thousandths of a vCPU. Not a limit: one would slow a pod on an idle node.
        memory_mib: Reserved and limit per pod, MiB.
        port: Where it answers by TLS, 8080 to 8088. Probes and metrics are in clear text, at `PROBE_PORT`.
        public: Whether the load balancer calls it.
        target_cpu_percent: Of what is reserved; above it pods are added.
        target_memory_percent: Likewise.
        internet: Whether its pods may open HTTPS connections out of the VPC: to identity providers, and to S3, whose
            gateway endpoint has public addresses.
        needs: What it works with: decides what its pods may open, and their rights in AWS.
        secrets: The environment variables of the secrets that it may read; ``None`` for all that the service has.
        pool: Nodes set apart that it prefers, and runs without if there are none.
        candidate: A second version beside the first.

    Raises:
        ArgsError: Kubernetes would refuse the role, or it could not survive the loss of a zone.
    """

    name: str
    min_replicas: int
    max_replicas: int
    cpu_millicores: int = 1000
    memory_mib: int = 2048
    port: int = PORTS.start
    public: bool = True
    target_cpu_percent: int = 70
    target_memory_percent: int = 80
    internet: bool = False
    needs: tuple[Need, ...] = ()
    secrets: tuple[str, ...] | None = None
    pool: Pool | None = None
    candidate: Candidate | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(DNS_LABEL, self.name):
            raise ArgsError(f"a role is called {self.name!r}", why="it becomes a DNS label")
        if self.name.endswith(f"-{CANDIDATE}"):
            raise ArgsError(f"a role is called {self.name!r}", why="a candidate of a role is called so")
        if self.min_replicas < 3:
            raise ArgsError(
                f"role {self.name} has {self.min_replicas} replicas at least",
                why="with one zone lost and one pod being replaced, none of two is left",
                remedy="Take 3 or more",
            )
        if self.max_replicas < self.min_replicas:
            raise ArgsError(
                f"role {self.name} has at least {self.min_replicas} and at most {self.max_replicas} replicas",
                why="the autoscaler refuses it",
            )
        if self.port not in PORTS:
            raise ArgsError(
                f"role {self.name} listens on {self.port}",
                why=f"the security groups let the load balancer reach {PORTS.start} to {PORTS.stop - 1}",
            )
        if self.port == PROBE_PORT:
            raise ArgsError(f"role {self.name} listens on {self.port}", why="probes are answered there, in clear text")
        for what, value in {"cpu_millicores": self.cpu_millicores, "memory_mib": self.memory_mib}.items():
            if value < 1:
                raise ArgsError(f"role {self.name} reserves {what} {value}", why="the autoscaler divides by it")
        for what, value in {"CPU": self.target_cpu_percent, "memory": self.target_memory_percent}.items():
            if not 1 <= value <= 100:
                raise ArgsError(f"role {self.name} is scaled at {value}% {what}", why="it must be 1 to 100")
        for need in self.needs:
            if need not in get_args(Need):
                raise ArgsError(f"role {self.name} needs {need!r}", why=f"there are {', '.join(get_args(Need))}")
        if "database" in self.needs and not self.internet:
            raise ArgsError(
                f"role {self.name} needs the database without internet",
                why="it asks S3 for erasures first, whose gateway endpoint has public addresses, which its network "
                "policy would refuse",
                remedy="Set internet=True: such traffic stays in AWS",
            )

    @property
    def indexes(self) -> bool:
        """Whether it brings documents into the index."""
        return {"search", "broker"} <= {*self.needs}


#: The requirement's figures (section 1). Search fetches the keys of identity providers, and falls back on the database.
SEARCH = RoleSpec(name="search", min_replicas=20, max_replicas=50, internet=True, needs=("search", "cache", "database"))
DOCUMENT = RoleSpec(
    name="document",
    min_replicas=10,
    max_replicas=20,
    port=8081,
    internet=True,
    needs=("database", "cache"),
    secrets=("CURSOR_KEY_ARN", "API_KEY_PEPPER_ARN", "TENANT_TOKEN_KEY_ARN"),
)
#: It brings the outbox to the broker and takes its work from there: nobody calls it. It tells the cache what is new.
#: What it does can be done again, so spare nodes will do.
INDEX = RoleSpec(
    name="index",
    min_replicas=10,
    max_replicas=15,
    port=8083,
    public=False,
    internet=True,
    needs=("broker", "search", "database", "cache"),
    secrets=(),
    pool=Pool(),
)


@dataclass(frozen=True)
class Release:
    """One version of a role: what becomes a Deployment.

    Attributes:
        role: The role.
        name: Of its objects: the role's name, or with ``-candidate`` behind.
        image: What it runs.
        min_replicas: At least so many pods.
    """

    role: RoleSpec
    name: str
    image: str
    min_replicas: int

    @property
    def kind(self) -> str:
        """``stable`` or ``candidate``: what the pods call themselves in metrics."""
        return "stable" if self.name == self.role.name else CANDIDATE

    @property
    def labels(self) -> dict[str, str]:
        """What selects its pods, and no others."""
        return release_labels(self.name)


def plan_releases(role: RoleSpec, *, image: str) -> tuple[Release, ...]:
    """The versions of a role that run side by side: one, or two while a candidate is tried."""
    stable = Release(role, role.name, image, role.min_replicas)
    if role.candidate is None:
        return (stable,)
    # Rounded up, and as many as survive the loss of a zone.
    pods = max(3, -(-role.min_replicas * role.candidate.percent // 100))
    return stable, Release(role, f"{role.name}-{CANDIDATE}", role.candidate.image, pods)


def plan_pool(roles: Sequence[RoleSpec], *, max_connections: int) -> int:
    """Connections that each pod may have to one server of the database, so that all pods together find room.

    A pod has one pool of them to the primary and one to each read replica, so no server has more than one of each pod.
    Counted are all pods that the autoscalers may make of all releases, in the middle of a rolling update of all.

    Args:
        roles: The roles.
        max_connections: Of a server.

    Returns:
        As many as the requirement asks for where they fit, else fewer: who finds none free waits for one.

    Raises:
        ArgsError: There is no room for what each pod keeps open.
    """
    least, most = POOL_CONNECTIONS
    pods = sum(
        -(-role.max_replicas * (100 + SURGE_PERCENT) // 100) * (2 if role.candidate else 1)
        for role in roles
        if "database" in role.needs
    )
    found = min(most, (max_connections - RESERVED_CONNECTIONS) // max(pods, 1))
    if found < least:
        raise ArgsError(
            f"{pods} pods share {max_connections} connections to a server of the database",
            why=f"each keeps {least} open, and {RESERVED_CONNECTIONS} are no pod's",
            remedy="Take fewer pods at most, or more max_connections",
        )
    return found


def fingerprint(settings: Mapping[str, str]) -> str:
    """A short digest of settings, the same whatever their order."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]


def release_labels(name: str) -> dict[str, str]:
    """What selects the pods of one release. A Deployment's selector can never change."""
    return {"app.kubernetes.io/name": "docsearch", "app.kubernetes.io/component": name}


def role_labels(role: RoleSpec) -> dict[str, str]:
    """What selects the pods of a role's stable release."""
    return release_labels(role.name)


def plan_pod(release: Release, *, gates: Sequence[str] = (), broker_secret: str = "") -> PodSpecArgsDict:
    """The pod of a release.

    It leaves in three steps: it goes on serving while others learn of it (``DRAIN_SECONDS``), finishes what it has
    (as long as the load balancer waits for it), and has 15 s to spare before it is killed.

    Args:
        release: The release.
        gates: The TargetGroupBindings that must find the pod healthy before it counts as ready: without them a rollout
            would go on while the load balancer knows no new pod yet.
        broker_secret: The Secret with the login at the broker: ``username``, ``password`` and ``ca.crt``.
    """
    role = release.role
    spec: PodSpecArgsDict = {
        "service_account_name": role.name,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "termination_grace_period_seconds": DRAIN_SECONDS + DEREGISTRATION_SECONDS + 15,
        "security_context": {**pod_security(USER_ID), "fs_group": USER_ID},
        "topology_spread_constraints": [
            spread(release.labels),
            spread(release.labels, over="kubernetes.io/hostname", otherwise="ScheduleAnyway"),
        ],
        "containers": [
            {
                "name": role.name,
                "image": release.image,
                "image_pull_policy": "IfNotPresent",
                "args": [role.name],
                "ports": [
                    {"name": "https", "container_port": role.port, "protocol": "TCP"},
                    {"name": "probes", "container_port": PROBE_PORT, "protocol": "TCP"},
                ],
                "env": [
                    {"name": "DOCSEARCH_PORT", "value": str(role.port)},
                    # Of its own making: what calls it checks none, and there is no key to keep.
                    {"name": "DOCSEARCH_TLS", "value": "ephemeral"},
                    {"name": "DOCSEARCH_PROBE_PORT", "value": str(PROBE_PORT)},
                    {"name": "DOCSEARCH_DRAIN_SECONDS", "value": str(DEREGISTRATION_SECONDS)},
                    {"name": "DOCSEARCH_RELEASE", "value": release.kind},
                ],
                "env_from": [{"config_map_ref": {"name": CONFIG_MAP}}],
                "resources": {
                    "requests": {
                        "cpu": f"{role.cpu_millicores}m",
                        "memory": f"{role.memory_mib}Mi",
                        "ephemeral-storage": "256Mi",
                    },
                    "limits": {"memory": f"{role.memory_mib}Mi", "ephemeral-storage": "512Mi"},
                },
                "security_context": container_security(),
                # The one place that it can write to.
                "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],  # noqa: S108 - the container's own
                # A minute to start; until then the other two are silent.
                "startup_probe": _probe("/health/live", period=2, failures=30),
                # Where it is called, and as it is: the kubelet checks no certificate either.
                "readiness_probe": _probe("/health/startup", port="https", period=5, failures=3),
                # Slow to act: a restart loses warm caches, and heals nothing that a dependency has.
                "liveness_probe": _probe("/health/live", period=10, failures=6),
                "lifecycle": {"pre_stop": {"sleep": {"seconds": DRAIN_SECONDS}}},
            }
        ],
        "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "256Mi"}}],
    }
    if broker_secret and "broker" in role.needs:
        (container,) = cast("list[Any]", spec["containers"])
        container["env"] += [
            {"name": "BROKER_LOGIN_FOLDER", "value": BROKER_FOLDER},
            {"name": "BROKER_CA", "value": f"{BROKER_FOLDER}/ca.crt"},
        ]
        container["volume_mounts"].append({"name": "broker", "mount_path": BROKER_FOLDER, "read_only": True})
        # Readable to the pod's group: fs_group. A Secret that is not there keeps the pod waiting, and says so.
        cast("list[Any]", spec["volumes"]).append(
            {"name": "broker", "secret": {"secret_name": broker_secret, "default_mode": 0o440}}
        )
    if gates:
        spec["readiness_gates"] = [{"condition_type": f"{READINESS_GATE}/{gate}"} for gate in gates]
    if role.pool is not None:
        key, value = role.pool.key, role.pool.value
        spec["tolerations"] = [{"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}]
        wanted: Any = {"match_expressions": [{"key": key, "operator": "In", "values": [value]}]}
        # Rather than must: spot nodes can all be gone at once, and the queue still has to be worked off.
        spec["affinity"] = {
            "node_affinity": {
                "preferred_during_scheduling_ignored_during_execution": [{"weight": 100, "preference": wanted}]
            }
        }
    return spec


def _probe(path: str, *, period: int, failures: int, port: Literal["probes", "https"] = "probes") -> ProbeArgsDict:
    return {
        "http_get": {"path": path, "port": port, "scheme": "HTTPS" if port == "https" else "HTTP"},
        "period_seconds": period,
        "timeout_seconds": 2,
        "failure_threshold": failures,
    }


def plan_scaling(release: Release) -> HorizontalPodAutoscalerSpecArgsDict:
    """When pods are added (at once) and taken away (slowly): the requirement's figures (section 8)."""
    role = release.role
    targets = {"cpu": role.target_cpu_percent, "memory": role.target_memory_percent}
    return {
        "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": release.name},
        "min_replicas": release.min_replicas,
        "max_replicas": role.max_replicas,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": resource, "target": {"type": "Utilization", "average_utilization": percent}},
            }
            for resource, percent in targets.items()
        ],
        "behavior": {
            "scale_up": {
                "stabilization_window_seconds": 0,
                "policies": [{"type": "Percent", "value": 100, "period_seconds": 30}],
            },
            "scale_down": {
                "stabilization_window_seconds": 300,
                "policies": [{"type": "Percent", "value": 50, "period_seconds": 60}],
            },
        },
    }


def plan_network_policies(
    cidr: str,
    roles: Sequence[RoleSpec],
    *,
    callers: Sequence[str] = (),
    broker_namespace: str = "",
    metrics_namespace: str = "",
) -> dict[str, NetworkPolicySpecArgsDict]:
    """What the namespace lets in and out, by name of the policy: nothing, then what every pod and each role needs.

    Args:
        cidr: The VPC's addresses: data stores and endpoints answer there. Security groups say which of them.
        roles: The roles.
        callers: Blocks that the load balancer calls from; without any, the whole VPC.
        broker_namespace: Where the broker is, if it runs in the cluster.
        metrics_namespace: Whose pods may read metrics.
    """
    policies = closed_namespace(credentials(), https(cidr))
    for role in roles:
        # The load balancer calls pods from its own addresses, which no pod selector can name.
        balancer: list[NetworkPolicyPeerArgsDict] = [{"ip_block": {"cidr": block}} for block in callers or (cidr,)]
        ingress: list[Any] = []
        if role.public:
            ingress.append({"from_": balancer, "ports": [port(role.port), port(PROBE_PORT)]})
        if metrics_namespace:
            ingress.append({"from_": [namespace_peer(metrics_namespace)], "ports": [port(PROBE_PORT)]})
        policies[f"allow-{role.name}"] = {
            "pod_selector": _pods(role),
            "policy_types": ["Ingress"],
            "ingress": ingress,
        }
        stores = [STORE_PORTS[need] for need in role.needs if STORE_PORTS.get(need, HTTPS) != HTTPS]
        if stores:
            to: list[NetworkPolicyPeerArgsDict] = [{"ip_block": {"cidr": cidr}}]
            egress: list[Any] = [{"to": to, "ports": [port(number) for number in stores]}]
            if broker_namespace and "broker" in role.needs:
                # In the cluster a Service's address is not the VPC's: the peer has to be named by its pods.
                egress.append({"to": [namespace_peer(broker_namespace)], "ports": [port(STORE_PORTS["broker"])]})
            policies[f"allow-{role.name}-stores"] = {
                "pod_selector": _pods(role),
                "policy_types": ["Egress"],
                "egress": egress,
            }
        if role.internet:
            policies[f"allow-{role.name}-out"] = {
                "pod_selector": _pods(role),
                "policy_types": ["Egress"],
                "egress": [internet()],
            }
    return policies


def _pods(role: RoleSpec) -> LabelSelectorArgsDict:
    """The pods of all releases of a role."""
    if role.candidate is None:
        return {"match_labels": role_labels(role)}
    names = [role.name, f"{role.name}-{CANDIDATE}"]
    return {
        "match_labels": {"app.kubernetes.io/name": "docsearch"},
        "match_expressions": [{"key": "app.kubernetes.io/component", "operator": "In", "values": names}],
    }
