"""The RabbitMQ cluster operator, and what it and its clusters may reach.

Version 2.22 or later of the operator. It watches one namespace and has rights in that one alone: not a ClusterRole, as
its authors install it, so that it can read no secret of anybody else.
"""

from collections.abc import Sequence
from typing import cast

from pulumi_kubernetes.apiextensions.v1 import CustomResourceDefinitionSpecArgsDict, JSONSchemaPropsArgsDict
from pulumi_kubernetes.core.v1 import PodSpecArgsDict
from pulumi_kubernetes.meta.v1 import LabelSelectorArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicyPortArgsDict, NetworkPolicySpecArgsDict
from pulumi_kubernetes.rbac.v1 import PolicyRuleArgsDict

from components import rabbitmq_crd
from components.pods import closed_namespace, container_security, https, namespace_peer, pod_security, port, spread
from components.rabbitmq_plan import METRICS_PORT, NODE_PORTS, PORT, ClusterSpec, node_labels

#: Where the operator runs: nothing else does, so that its secrets are nobody else's.
NAMESPACE = "rabbitmq-system"
NAME = "rabbitmq-cluster-operator"
#: One works, the other waits for its lease.
REPLICAS = 2

#: Listens for the kubelet alone.
_HEALTH_PORT = 8081

_READ = ["get", "list", "watch"]
_WRITE = ["create", "update"]


def operator_labels() -> dict[str, str]:
    """What selects the operator's pods. A Deployment's selector can never change."""
    return {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "rabbitmq-operator"}


def plan_rights() -> list[PolicyRuleArgsDict]:
    """What the operator may do in the namespace of its clusters.

    It makes everything that a cluster consists of, looks into its pods, and gives each cluster the rights to find its
    members and to tell events: Kubernetes lets nobody give rights that he does not have.
    """
    return [
        _rule(["configmaps", "persistentvolumeclaims", "secrets", "serviceaccounts", "services"], *_READ, *_WRITE),
        _rule(["endpoints"], *_READ),
        _rule(["events"], "create", "get", "patch"),
        _rule(["pods"], *_READ, "update"),
        _rule(["pods/exec"], "create"),
        _rule(["statefulsets"], *_READ, *_WRITE, "delete", group="apps"),
        _rule(["endpointslices"], *_READ, group="discovery.k8s.io"),
        _rule(["roles", "rolebindings"], *_READ, *_WRITE, "delete", group="rbac.authorization.k8s.io"),
        _rule([rabbitmq_crd.PLURAL], *_READ, *_WRITE, group=rabbitmq_crd.GROUP),
        _rule([f"{rabbitmq_crd.PLURAL}/finalizers"], "update", group=rabbitmq_crd.GROUP),
        _rule([f"{rabbitmq_crd.PLURAL}/status"], "get", "update", "patch", group=rabbitmq_crd.GROUP),
    ]


def plan_election_rights() -> list[PolicyRuleArgsDict]:
    """What the operator may do in its own namespace: agree with its double on who works."""
    return [
        _rule(["leases"], *_READ, *_WRITE, "patch", "delete", group="coordination.k8s.io"),
        _rule(["events"], "create", "patch"),
    ]


def _rule(resources: list[str], *verbs: str, group: str = "") -> PolicyRuleArgsDict:
    return {"api_groups": [group], "resources": resources, "verbs": sorted(verbs)}


def plan_operator_pod(image: str, *, namespace: str) -> PodSpecArgsDict:
    """The operator's pod.

    Args:
        image: Pinned by digest.
        namespace: The one that it watches.
    """
    return {
        "service_account_name": NAME,
        # It is a controller: it talks to the API server all day.
        "automount_service_account_token": True,
        "enable_service_links": False,
        "termination_grace_period_seconds": 10,
        "security_context": pod_security(1000),
        "topology_spread_constraints": [spread(operator_labels())],
        "containers": [
            {
                "name": "operator",
                "image": image,
                "image_pull_policy": "IfNotPresent",
                "command": ["/manager"],
                "args": [f"--health-probe-bind-address=:{_HEALTH_PORT}"],
                "env": [
                    {"name": "OPERATOR_NAMESPACE", "value": NAMESPACE},
                    {"name": "OPERATOR_SCOPE_NAMESPACE", "value": namespace},
                    # Its admission webhook fills in defaults and needs a certificate that nobody here issues; the
                    # program leaves nothing to defaults.
                    {"name": "ENABLE_WEBHOOKS", "value": "false"},
                    # It would log in to every cluster by the management API, which no policy lets it.
                    {"name": "DISABLE_DEPRECATED_FEATURES_CHECK", "value": "true"},
                ],
                "resources": {
                    "requests": {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "64Mi"},
                    "limits": {"memory": "256Mi", "ephemeral-storage": "128Mi"},
                },
                "security_context": container_security(),
                "readiness_probe": {
                    "http_get": {"path": "/readyz", "port": _HEALTH_PORT},
                    "period_seconds": 10,
                    "failure_threshold": 3,
                },
                "liveness_probe": {
                    "http_get": {"path": "/healthz", "port": _HEALTH_PORT},
                    "initial_delay_seconds": 15,
                    "period_seconds": 20,
                    "failure_threshold": 3,
                },
            }
        ],
    }


def plan_definition() -> CustomResourceDefinitionSpecArgsDict:
    """The spec of the CustomResourceDefinition."""
    return {
        "group": rabbitmq_crd.GROUP,
        "scope": "Namespaced",
        "names": {
            "kind": rabbitmq_crd.KIND,
            "list_kind": f"{rabbitmq_crd.KIND}List",
            "plural": rabbitmq_crd.PLURAL,
            "singular": rabbitmq_crd.KIND.lower(),
            "short_names": ["rmq"],
        },
        "versions": [
            {
                "name": rabbitmq_crd.VERSION,
                "served": True,
                "storage": True,
                "schema": {"open_apiv3_schema": cast("JSONSchemaPropsArgsDict", rabbitmq_crd.SCHEMA)},
                # Without it the operator could not write what it has to tell, and would try for ever.
                "subresources": {"status": {}},
            }
        ],
    }


def plan_operator_policies(cidr: str, service_cidr: str) -> dict[str, NetworkPolicySpecArgsDict]:
    """What the operator's namespace lets in (nothing) and out (the API server), by name of the policy."""
    return closed_namespace(https(cidr, service_cidr))


def plan_cluster_policies(
    cluster: str, spec: ClusterSpec, *, cidr: str, service_cidr: str
) -> dict[str, NetworkPolicySpecArgsDict]:
    """What the namespace of the nodes lets in and out, by name of the policy.

    Args:
        cluster: Name of the cluster.
        spec: Whose pods may connect, and read metrics.
        cidr: The VPC's addresses, those of pods and of the API server.
        service_cidr: Addresses of Services: a node's agent sees a packet before its address is translated.
    """
    nodes: LabelSelectorArgsDict = {"match_labels": node_labels(cluster)}
    ports: list[NetworkPolicyPortArgsDict] = [
        {"protocol": "TCP", "port": first, "end_port": last} for first, last in NODE_PORTS
    ]
    policies: dict[str, NetworkPolicySpecArgsDict] = {
        # The API server: nodes ask it who they are.
        **closed_namespace(https(cidr, service_cidr)),
        "allow-nodes": {
            "pod_selector": nodes,
            "policy_types": ["Ingress", "Egress"],
            "ingress": [{"from_": [{"pod_selector": nodes}], "ports": ports}],
            "egress": [{"to": [{"pod_selector": nodes}], "ports": ports}],
        },
        "allow-clients": _from_namespaces(nodes, spec.clients, PORT),
    }
    if spec.scrapers:
        policies["allow-metrics"] = _from_namespaces(nodes, spec.scrapers, METRICS_PORT)
    return policies


def _from_namespaces(pods: LabelSelectorArgsDict, namespaces: Sequence[str], number: int) -> NetworkPolicySpecArgsDict:
    return {
        "pod_selector": pods,
        "policy_types": ["Ingress"],
        "ingress": [{"from_": [namespace_peer(name) for name in namespaces], "ports": [port(number)]}],
    }
