"""The search service on Kubernetes: one namespace, and one Deployment per role of the service.

A role (search today; document and index follow) is a `RoleSpec`: everything that differs between roles is a figure in
it, everything that must hold for all of them is in `SearchService`. The namespace takes only pods that meet the Pod
Security Standard ``restricted`` and lets nothing in or out that a role does not ask for.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.autoscaling.v2 import HorizontalPodAutoscalerSpecArgsDict
from pulumi_kubernetes.core.v1 import PodSpecArgsDict, ProbeArgsDict, TopologySpreadConstraintArgsDict
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicyPortArgsDict, NetworkPolicySpecArgsDict

from components.errors import ArgsError
from components.ingress import DEREGISTRATION_SECONDS, PORTS

#: From the end of a pod to its last new request, s: the time in which the load balancer, and every node, learns of it.
DRAIN_SECONDS = 15

#: Where EKS Pod Identity gives out credentials on every node (EKS user guide, "Pod Identity agent").
POD_IDENTITY_AGENT = "169.254.170.23/32"

#: What pods may open inside the VPC: PostgreSQL, AWS services and OpenSearch, Redis, AMQP; each over TLS.
VPC_PORTS = (5432, 443, 6379, 5671)

#: Private networks, and the metadata service of a node, whose credentials are not the pods'.
NOT_THE_INTERNET = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")

#: The user of the image: no account of any node.
USER_ID = 10001

#: What every pod gets its environment from.
CONFIG_MAP = "settings"

_LABEL = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"


@dataclass(frozen=True, kw_only=True)
class RoleSpec:
    """One role of the service.

    Attributes:
        name: Such as ``search``: the names of its objects, and what the image is told to run.
        min_replicas: At least so many pods, 3 or more: with one zone lost and one pod being replaced, one is left.
        max_replicas: At most so many.
        cpu_millicores: Reserved per pod, thousandths of a vCPU. Not a limit: one would slow a pod on an idle node.
        memory_mib: Reserved and limit per pod, MiB.
        port: Where it listens, 8080 to 8089.
        target_cpu_percent: Of what is reserved; above it pods are added.
        target_memory_percent: Likewise.
        internet: Whether its pods may open HTTPS connections out of the VPC.

    Raises:
        ArgsError: Kubernetes would refuse the role, or it could not survive the loss of a zone.
    """

    name: str
    min_replicas: int
    max_replicas: int
    cpu_millicores: int = 1000
    memory_mib: int = 2048
    port: int = PORTS.start
    target_cpu_percent: int = 70
    target_memory_percent: int = 80
    internet: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(_LABEL, self.name):
            raise ArgsError(f"a role is called {self.name!r}", why="it becomes a DNS label")
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
        for what, value in {"cpu_millicores": self.cpu_millicores, "memory_mib": self.memory_mib}.items():
            if value < 1:
                raise ArgsError(f"role {self.name} reserves {what} {value}", why="the autoscaler divides by it")
        for what, value in {"CPU": self.target_cpu_percent, "memory": self.target_memory_percent}.items():
            if not 1 <= value <= 100:
                raise ArgsError(f"role {self.name} is scaled at {value}% {what}", why="it must be 1 to 100")


#: The requirement's figures (section 1): 20 to 50 instances of search. It fetches the keys of identity providers.
SEARCH = RoleSpec(name="search", min_replicas=20, max_replicas=50, internet=True)


@dataclass(frozen=True, kw_only=True)
class SearchServiceArgs:
    """What the service of a region needs.

    Attributes:
        image: The service's image, pinned by digest.
        cidr: The VPC's addresses: the load balancer calls from there, data stores and endpoints answer there.
        settings: Environment of every pod: endpoints and figures, no secrets.
        secrets: Environment variable to ARN in Secrets Manager. A pod reads the value itself, as its service account.
        roles: The roles to run.
        namespace: Where.

    Raises:
        ArgsError: The image is not pinned, a variable is malformed or given twice, or roles share a name.
    """

    image: str
    cidr: str
    settings: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    roles: Sequence[RoleSpec] = (SEARCH,)
    namespace: str = "docsearch"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^@\s]+@sha256:[0-9a-f]{64}", self.image):
            raise ArgsError(
                f"image is {self.image!r}",
                why="a tag can be moved: what was tested and what runs would differ",
                remedy="Pin it as <repository>@sha256:<64 hexadecimal digits>",
            )
        if not re.fullmatch(_LABEL, self.namespace):
            raise ArgsError(f"namespace is {self.namespace!r}", why="it must be a DNS label")
        for name in (*self.settings, *self.secrets):
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                raise ArgsError(f"a setting is called {name!r}", why="it becomes an environment variable")
        both = sorted(self.settings.keys() & self.secrets.keys())
        if both:
            raise ArgsError(f"{', '.join(both)} is both a setting and a secret", why="a pod has one value of it")
        for name in self.secrets:
            if not name.endswith("_ARN"):
                raise ArgsError(
                    f"the secret {name} does not end in _ARN",
                    why="a pod gets where a secret is, never what it is",
                    remedy=f"Call it {name}_ARN, and pass the ARN",
                )
        names = [role.name for role in self.roles]
        if not names or len(set(names)) < len(names):
            raise ArgsError(f"roles are {', '.join(names) or 'none'}", why="each needs a name of its own")


class SearchService(pulumi.ComponentResource):
    """The service in one region.

    Attributes:
        namespace: Its namespace.
        service_accounts: By role: whom Pod Identity gives rights.
        services: Name of the Service by role: what the load balancer's controller registers pods from.
    """

    namespace: pulumi.Output[str]
    service_accounts: dict[str, pulumi.Output[str]]
    services: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: SearchServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:search_service:SearchService", name, None, opts)
        self._prefix, self._args = name, args
        namespace = kubernetes.core.v1.Namespace(
            name,
            metadata={"name": args.namespace, "labels": pod_security_labels()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Names are written out, not read from other objects: a plan then shows them, and policies can judge it.
        self._first: list[pulumi.Resource] = [namespace]
        self._first += [
            kubernetes.networking.v1.NetworkPolicy(
                f"{name}-{policy}", metadata=self._metadata(policy), spec=spec, opts=self._child()
            )
            for policy, spec in plan_network_policies(args.cidr, args.roles).items()
        ]
        settings = {**args.settings, **args.secrets}
        config = kubernetes.core.v1.ConfigMap(
            name, metadata=self._metadata(CONFIG_MAP), data=settings, opts=self._child()
        )
        version = pulumi.Output.all(**settings).apply(fingerprint)
        self.service_accounts, self.services = {}, {}
        for role in args.roles:
            self._role(role, config, version)
        self.namespace = namespace.metadata.apply(lambda metadata: metadata.name or "")
        self.register_outputs({"namespace": self.namespace, "services": self.services})

    def _child(self, *, after: Sequence[pulumi.Resource] = (), **more: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=[*self._first, *after], **more)

    def _metadata(self, name: str, role: RoleSpec | None = None) -> ObjectMetaArgsDict:
        labels = {"app.kubernetes.io/part-of": "docsearch"} | ({} if role is None else role_labels(role))
        return {"name": name, "namespace": self._args.namespace, "labels": labels}

    def _role(self, role: RoleSpec, config: kubernetes.core.v1.ConfigMap, version: pulumi.Output[str]) -> None:
        name, metadata = f"{self._prefix}-{role.name}", self._metadata(role.name, role)
        account = kubernetes.core.v1.ServiceAccount(
            name, metadata=metadata, automount_service_account_token=False, opts=self._child()
        )
        deployment = kubernetes.apps.v1.Deployment(
            name,
            metadata=metadata,
            spec={
                "replicas": role.min_replicas,
                "revision_history_limit": 5,
                "progress_deadline_seconds": 600,
                "min_ready_seconds": 10,
                "strategy": {
                    "type": "RollingUpdate",
                    "rolling_update": {"max_unavailable": 0, "max_surge": "25%"},
                },
                "selector": {"match_labels": role_labels(role)},
                "template": {
                    "metadata": {
                        "labels": role_labels(role),
                        # Pods read their settings once, when they start: new settings make new pods.
                        "annotations": {"docsearch/settings": version},
                    },
                    "spec": plan_pod(role, image=self._args.image),
                },
            },
            # The number of replicas is the autoscaler's from the first day on.
            opts=self._child(after=[account, config], ignore_changes=["spec.replicas"]),
        )
        service = kubernetes.core.v1.Service(
            name,
            metadata=metadata,
            spec={
                "type": "ClusterIP",
                "selector": role_labels(role),
                "ports": [{"name": "http", "port": 80, "target_port": "http", "protocol": "TCP"}],
            },
            opts=self._child(),
        )
        kubernetes.autoscaling.v2.HorizontalPodAutoscaler(
            name, metadata=metadata, spec=plan_scaling(role), opts=self._child(after=[deployment])
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            name,
            metadata=metadata,
            spec={
                "selector": {"match_labels": role_labels(role)},
                # Rounded up, so a node can always be drained; and never so many that the rest is overrun.
                "max_unavailable": "10%",
                "unhealthy_pod_eviction_policy": "AlwaysAllow",
            },
            opts=self._child(),
        )
        self.service_accounts[role.name] = account.metadata.apply(lambda found: found.name or "")
        self.services[role.name] = service.metadata.apply(lambda found: found.name or "")


def fingerprint(settings: Mapping[str, str]) -> str:
    """A short digest of settings, the same whatever their order."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]


def pod_security_labels() -> dict[str, str]:
    """By these a namespace refuses pods that do not meet ``restricted`` (Kubernetes, "Pod Security Admission")."""
    return {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def role_labels(role: RoleSpec) -> dict[str, str]:
    """What selects the pods of a role. A Deployment's selector can never change."""
    return {"app.kubernetes.io/name": "docsearch", "app.kubernetes.io/component": role.name}


def plan_pod(role: RoleSpec, *, image: str) -> PodSpecArgsDict:
    """The pod of a role.

    It leaves in three steps: it goes on serving while others learn of it (``DRAIN_SECONDS``), finishes what it has
    (as long as the load balancer waits for it), and has 15 s to spare before it is killed.
    """
    return {
        "service_account_name": role.name,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "termination_grace_period_seconds": DRAIN_SECONDS + DEREGISTRATION_SECONDS + 15,
        "security_context": {
            "run_as_non_root": True,
            "run_as_user": USER_ID,
            "run_as_group": USER_ID,
            "fs_group": USER_ID,
            "seccomp_profile": {"type": "RuntimeDefault"},
        },
        "topology_spread_constraints": [
            _spread(role, "topology.kubernetes.io/zone", "DoNotSchedule"),
            _spread(role, "kubernetes.io/hostname", "ScheduleAnyway"),
        ],
        "containers": [
            {
                "name": role.name,
                "image": image,
                "image_pull_policy": "IfNotPresent",
                "args": [role.name],
                "ports": [{"name": "http", "container_port": role.port, "protocol": "TCP"}],
                "env": [
                    {"name": "DOCSEARCH_PORT", "value": str(role.port)},
                    {"name": "DOCSEARCH_DRAIN_SECONDS", "value": str(DEREGISTRATION_SECONDS)},
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
                "security_context": {
                    "allow_privilege_escalation": False,
                    "read_only_root_filesystem": True,
                    "run_as_non_root": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                # The one place that it can write to.
                "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],  # noqa: S108 - the container's own
                # A minute to start; until then the other two are silent.
                "startup_probe": _probe("/health/live", period=2, failures=30),
                "readiness_probe": _probe("/health/ready", period=5, failures=3),
                # Slow to act: a restart loses warm caches, and heals nothing that a dependency has.
                "liveness_probe": _probe("/health/live", period=10, failures=6),
                "lifecycle": {"pre_stop": {"sleep": {"seconds": DRAIN_SECONDS}}},
            }
        ],
        "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "256Mi"}}],
    }


def _probe(path: str, *, period: int, failures: int) -> ProbeArgsDict:
    return {
        "http_get": {"path": path, "port": "http"},
        "period_seconds": period,
        "timeout_seconds": 2,
        "failure_threshold": failures,
    }


def _spread(role: RoleSpec, key: str, otherwise: str) -> TopologySpreadConstraintArgsDict:
    return {
        "topology_key": key,
        "max_skew": 1,
        "when_unsatisfiable": otherwise,
        # A lost zone's nodes are tainted, and must not keep pods from going to the others.
        "node_taints_policy": "Honor",
        "label_selector": {"match_labels": role_labels(role)},
        # Each rollout is spread by itself, or the old pods would decide where the new ones may go.
        "match_label_keys": ["pod-template-hash"],
    }


def plan_scaling(role: RoleSpec) -> HorizontalPodAutoscalerSpecArgsDict:
    """When pods of a role are added (at once) and taken away (slowly): the requirement's figures (section 8)."""
    targets = {"cpu": role.target_cpu_percent, "memory": role.target_memory_percent}
    return {
        "scale_target_ref": {"api_version": "apps/v1", "kind": "Deployment", "name": role.name},
        "min_replicas": role.min_replicas,
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


def plan_network_policies(cidr: str, roles: Sequence[RoleSpec]) -> dict[str, NetworkPolicySpecArgsDict]:
    """What the namespace lets in and out, by name of the policy: nothing, then what every pod and each role needs."""
    policies: dict[str, NetworkPolicySpecArgsDict] = {
        "deny-all": {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
        "allow-needs": {
            "pod_selector": {},
            "policy_types": ["Egress"],
            "egress": [
                {
                    "to": [
                        {
                            "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "kube-system"}},
                            "pod_selector": {"match_labels": {"k8s-app": "kube-dns"}},
                        }
                    ],
                    "ports": [_port(53, "UDP"), _port(53)],
                },
                {"to": [{"ip_block": {"cidr": POD_IDENTITY_AGENT}}], "ports": [_port(80)]},
                {"to": [{"ip_block": {"cidr": cidr}}], "ports": [_port(port) for port in VPC_PORTS]},
            ],
        },
    }
    for role in roles:
        policies[f"allow-{role.name}"] = {
            "pod_selector": {"match_labels": role_labels(role)},
            "policy_types": ["Ingress"],
            # The load balancer calls pods from its own addresses, which no pod selector can name.
            "ingress": [{"from_": [{"ip_block": {"cidr": cidr}}], "ports": [_port(role.port)]}],
        }
        if role.internet:
            policies[f"allow-{role.name}-out"] = {
                "pod_selector": {"match_labels": role_labels(role)},
                "policy_types": ["Egress"],
                "egress": [
                    {
                        "to": [{"ip_block": {"cidr": "0.0.0.0/0", "except_": list(NOT_THE_INTERNET)}}],
                        "ports": [_port(443)],
                    }
                ],
            }
    return policies


def _port(port: int, protocol: str = "TCP") -> NetworkPolicyPortArgsDict:
    return {"protocol": protocol, "port": port}
