"""What all pods of ours have in common: what they run, how they are locked in and spread, and whom they may talk to."""

import re
from collections.abc import Mapping

from pulumi_kubernetes.core.v1 import (
    PodSecurityContextArgsDict,
    SecurityContextArgsDict,
    TopologySpreadConstraintArgsDict,
)
from pulumi_kubernetes.networking.v1 import (
    NetworkPolicyEgressRuleArgsDict,
    NetworkPolicyPeerArgsDict,
    NetworkPolicyPortArgsDict,
    NetworkPolicySpecArgsDict,
)

from components.errors import ArgsError

#: What a Service, and so whatever shares its name, may be called (Kubernetes, "RFC 1035 Label Names").
DNS_LABEL = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"

#: APIs: AWS's, the cluster's, and OpenSearch's.
HTTPS = 443

#: Where EKS Pod Identity gives out credentials on every node (EKS user guide, "Pod Identity agent").
POD_IDENTITY_AGENT = "169.254.170.23/32"

#: Private networks, and the metadata service of a node, whose credentials are not the pods'.
NOT_THE_INTERNET = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")


def check_image(image: str, *, name: str = "image") -> None:
    """Refuses an image that is not pinned.

    Args:
        image: The image.
        name: What an error calls it.

    Raises:
        ArgsError: It is not.
    """
    if not re.fullmatch(r"[^@\s]+@sha256:[0-9a-f]{64}", image):
        raise ArgsError(
            f"{name} is {image!r}",
            why="a tag can be moved: what was tested and what runs would differ",
            remedy="Pin it as <repository>@sha256:<64 hexadecimal digits>",
        )


def pod_security_labels() -> dict[str, str]:
    """By these a namespace refuses pods that do not meet ``restricted`` (Kubernetes, "Pod Security Admission")."""
    return {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def pod_security(user: int) -> PodSecurityContextArgsDict:
    """A pod that meets ``restricted``.

    Args:
        user: Whom it runs as; also the group.
    """
    return {
        "run_as_non_root": True,
        "run_as_user": user,
        "run_as_group": user,
        "seccomp_profile": {"type": "RuntimeDefault"},
    }


def container_security() -> SecurityContextArgsDict:
    """A container that meets ``restricted`` and writes to nothing but its volumes."""
    return {
        "allow_privilege_escalation": False,
        "read_only_root_filesystem": True,
        "run_as_non_root": True,
        "capabilities": {"drop": ["ALL"]},
    }


def spread(
    labels: Mapping[str, str], *, over: str = "topology.kubernetes.io/zone", otherwise: str = "DoNotSchedule"
) -> TopologySpreadConstraintArgsDict:
    """Spreads pods evenly.

    Args:
        labels: What selects them.
        over: The label of nodes that tells places apart.
        otherwise: What becomes of a pod that would make it uneven: ``DoNotSchedule`` or ``ScheduleAnyway``.
    """
    return {
        "topology_key": over,
        "max_skew": 1,
        "when_unsatisfiable": otherwise,
        # A lost zone's nodes are tainted, and must not keep pods from going to the others.
        "node_taints_policy": "Honor",
        "label_selector": {"match_labels": labels},
        # Each rollout is spread by itself, or the old pods would decide where the new ones may go.
        "match_label_keys": ["pod-template-hash"],
    }


def closed_namespace(*needs: NetworkPolicyEgressRuleArgsDict) -> dict[str, NetworkPolicySpecArgsDict]:
    """The policies of a namespace, by name: nothing comes in, and pods may only resolve names and open what they need.

    Args:
        needs: What they may open.
    """
    return {
        "deny-all": {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]},
        "allow-needs": {
            "pod_selector": {},
            "policy_types": ["Egress"],
            "egress": [{"to": [cluster_dns()], "ports": [port(53, "UDP"), port(53)]}, *needs],
        },
    }


def credentials() -> NetworkPolicyEgressRuleArgsDict:
    """Lets pods get their credentials in AWS."""
    return {"to": [{"ip_block": {"cidr": POD_IDENTITY_AGENT}}], "ports": [port(80)]}


def https(*blocks: str) -> NetworkPolicyEgressRuleArgsDict:
    """Lets pods call what has its address in these blocks."""
    return {"to": [{"ip_block": {"cidr": block}} for block in blocks], "ports": [port(HTTPS)]}


def internet() -> NetworkPolicyEgressRuleArgsDict:
    """Lets pods call what has a public address."""
    return {
        "to": [{"ip_block": {"cidr": "0.0.0.0/0", "except_": list(NOT_THE_INTERNET)}}],
        "ports": [port(HTTPS)],
    }


def cluster_dns() -> NetworkPolicyPeerArgsDict:
    """Where names are resolved."""
    return {**namespace_peer("kube-system"), "pod_selector": {"match_labels": {"k8s-app": "kube-dns"}}}


def namespace_peer(name: str) -> NetworkPolicyPeerArgsDict:
    """All pods of a namespace."""
    return {"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": name}}}


def port(number: int, protocol: str = "TCP") -> NetworkPolicyPortArgsDict:
    """One port of a network policy."""
    return {"protocol": protocol, "port": number}
