"""A controller in the cluster: a program that works through the cluster's API, and may touch some of AWS.

It has a namespace of its own, which nothing connects to. All that it works with is there before its pods: they would
fail without their rights, and credentials are given to a pod when it starts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apps.v1 import DeploymentSpecArgsDict
from pulumi_kubernetes.core.v1 import ContainerArgsDict, PodSpecArgsDict
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicyEgressRuleArgsDict
from pulumi_kubernetes.rbac.v1 import PolicyRuleArgsDict

from components.eks import Eks
from components.eks_plan import SERVICE_CIDR
from components.network import Network
from components.pods import (
    closed_namespace,
    container_security,
    credentials,
    https,
    pod_security,
    pod_security_labels,
    spread,
)

#: No account of any node. Images run as any user, or set none that could be checked.
USER_ID = 65534

#: What it takes to follow objects.
LOOK = ["get", "list", "watch"]


class Controller:
    """What a controller consists of, as children of its component: at first all that its pods need, then they (`run`).

    Args:
        parent: The component.
        prefix: The component's logical name.
        name: Of the controller, and so of its namespace, its service account, its role in the cluster, its Deployment.
        network: Where AWS's API answers.
        cluster: Where it runs, and who gives it its role in AWS.
        policy: What it may do in AWS, as a JSON document.
        rules: What it may do in the whole cluster.
        needs: What its pods open beside the APIs of AWS and of the cluster.

    Attributes:
        name: See above.
        labels: What selects its pods.
    """

    def __init__(
        self,
        parent: pulumi.ComponentResource,
        prefix: str,
        name: str,
        *,
        network: Network,
        cluster: Eks,
        policy: pulumi.Input[str],
        rules: Sequence[PolicyRuleArgsDict],
        needs: Sequence[NetworkPolicyEgressRuleArgsDict] = (),
    ) -> None:
        self.name, self.labels = name, controller_labels(name)
        self._parent, self._prefix = parent, prefix
        alone = pulumi.ResourceOptions(parent=parent)
        namespace = kubernetes.core.v1.Namespace(
            prefix, metadata={"name": name, "labels": pod_security_labels()}, opts=alone
        )
        self._first: list[pulumi.Resource] = [namespace]
        # AWS's API, through private endpoints, and the cluster's: a node's network agent sees a packet before the
        # address of a Service is translated.
        apis = https(network.cidr, SERVICE_CIDR)
        self._first += [
            kubernetes.networking.v1.NetworkPolicy(
                f"{prefix}-{policy_name}", metadata=self.metadata(policy_name), spec=spec, opts=self.child()
            )
            for policy_name, spec in closed_namespace(credentials(), apis, *needs).items()
        ]
        self._before: list[pulumi.Resource] = [
            kubernetes.rbac.v1.ClusterRole(prefix, metadata={"name": name}, rules=rules, opts=alone),
            kubernetes.rbac.v1.ClusterRoleBinding(
                prefix, metadata={"name": name}, opts=alone, **plan_binding("ClusterRole", name, to=name)
            ),
            kubernetes.core.v1.ServiceAccount(
                prefix, metadata=self.metadata(name), automount_service_account_token=False, opts=self.child()
            ),
            cluster.pod_role(prefix, namespace=name, service_account=name, policy=policy, parent=parent),
        ]

    def metadata(self, name: str) -> ObjectMetaArgsDict:
        """What an object in its namespace is called and found by."""
        return {"name": name, "namespace": self.name, "labels": self.labels}

    def child(self, *, after: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """Options of an object in its namespace, which comes after the namespace's policies and goes before them."""
        return pulumi.ResourceOptions(parent=self._parent, depends_on=[*self._first, *after])

    def allow(
        self,
        logical_name: str,
        role: str,
        rules: Sequence[PolicyRuleArgsDict],
        *,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Gives it rights in its own namespace.

        Args:
            logical_name: Of the role and of its binding.
            role: What both are called.
            rules: The rights.
            labels: Of both.
        """
        metadata: ObjectMetaArgsDict = {"name": role, "namespace": self.name}
        if labels:
            metadata["labels"] = labels
        binding = plan_binding("Role", role, to=self.name)
        self._before += [
            kubernetes.rbac.v1.Role(logical_name, metadata=metadata, rules=rules, opts=self.child()),
            kubernetes.rbac.v1.RoleBinding(logical_name, metadata=metadata, opts=self.child(), **binding),
        ]

    def run(self, pod: PodSpecArgsDict, *, replicas: int, after: Sequence[pulumi.Resource]) -> None:
        """Starts its pods.

        Args:
            pod: See `plan_pod`.
            replicas: How many; one of them works.
            after: What else has to be there before them.
        """
        kubernetes.apps.v1.Deployment(
            self._prefix,
            metadata=self.metadata(self.name),
            spec=plan_deployment(self.labels, pod, replicas=replicas),
            opts=self.child(after=[*self._before, *after]),
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            self._prefix,
            metadata=self.metadata(self.name),
            spec={
                "selector": {"match_labels": self.labels},
                "max_unavailable": 1,
                "unhealthy_pod_eviction_policy": "AlwaysAllow",
            },
            opts=self.child(),
        )


def plan_binding(kind: str, name: str, *, to: str, namespace: str = "") -> dict[str, Any]:
    """``role_ref`` and ``subjects`` of a binding.

    Args:
        kind: ``Role`` or ``ClusterRole``.
        name: Of the role.
        to: The service account that gets its rights.
        namespace: Of the account, if it is not called like it.
    """
    return {
        "role_ref": {"api_group": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": to, "namespace": namespace or to}],
    }


def plan_deployment(labels: Mapping[str, str], pod: PodSpecArgsDict, *, replicas: int) -> DeploymentSpecArgsDict:
    """Pods of which none goes before another has come.

    Args:
        labels: What selects them.
        pod: Each of them.
        replicas: How many.
    """
    return {
        "replicas": replicas,
        "revision_history_limit": 5,
        "strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": 0, "max_surge": 1}},
        "selector": {"match_labels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }


def plan_pod(
    name: str, container: ContainerArgsDict, *, memory: str, port: int, ready: str, live: str
) -> PodSpecArgsDict:
    """The pod of a controller.

    Args:
        name: Of the controller.
        container: What its only container has of its own.
        memory: Reserved and limit, as Kubernetes writes it.
        port: Where it answers probes.
        ready: Path of the probe that tells whether it can work.
        live: Path of the probe that restarts it.
    """
    return {
        "service_account_name": name,
        # It works through the cluster's API.
        "automount_service_account_token": True,
        "enable_service_links": False,
        # As long as the cluster itself, and before what it serves; also where it is full.
        "priority_class_name": "system-cluster-critical",
        "termination_grace_period_seconds": 30,
        "security_context": {**pod_security(USER_ID), "fs_group": USER_ID},
        "topology_spread_constraints": [spread(controller_labels(name))],
        "containers": [
            {
                **container,
                "image_pull_policy": "IfNotPresent",
                "ports": [{"name": "probes", "container_port": port, "protocol": "TCP"}],
                "resources": {"requests": {"cpu": "100m", "memory": memory}, "limits": {"memory": memory}},
                "security_context": container_security(),
                "readiness_probe": {
                    "http_get": {"path": ready, "port": "probes"},
                    "period_seconds": 10,
                    "failure_threshold": 3,
                },
                "liveness_probe": {
                    "http_get": {"path": live, "port": "probes"},
                    "initial_delay_seconds": 30,
                    "period_seconds": 10,
                    "failure_threshold": 6,
                },
            }
        ],
    }


def controller_labels(name: str) -> dict[str, str]:
    """What selects the pods of a controller. A Deployment's selector can never change."""
    return {"app.kubernetes.io/name": name}
