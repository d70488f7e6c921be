"""Objects of the cluster other than pods: names and labels, rights, networks, what is reached from outside, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policies.pack import MASKED
from policies.pods import KUBERNETES, PODS, pod_of
from policies.rule import (
    ABSENT,
    GIVEN,
    UNKNOWN,
    Finding,
    Resource,
    Severity,
    Want,
    items,
    judge,
    look,
    must,
    one_of,
    rule,
    unverified,
)
from policies.wants import NAMED
from policies.workloads import BINDINGS, NETWORK_POLICY, SERVICE

NAMESPACE: Final = "kubernetes:core/v1:Namespace"
SECRET: Final = "kubernetes:core/v1:Secret"  # noqa: S105 - a type
CONFIG_MAP: Final = "kubernetes:core/v1:ConfigMap"
ROLE: Final = "kubernetes:rbac.authorization.k8s.io/v1:Role"
CLUSTER_ROLE: Final = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
INGRESSES: Final = (
    "kubernetes:networking.k8s.io/v1:Ingress",
    "kubernetes:gateway.networking.k8s.io/v1:Gateway",
)

# What is reached from outside

_INSIDE: Final = Want("ClusterIP", lambda value: value is None or (isinstance(value, str) and value == "ClusterIP"))


@rule(
    "k8s-service-exposure",
    on=(SERVICE, *INGRESSES),
    severity=Severity.CRITICAL,
    why="A Service with a port on every node, or a load balancer of its own, is reached past the firewall",
    remedy="Keep the Service a ClusterIP; what the internet reaches goes through components/ingress.py",
    reference=f"{KUBERNETES}/concepts/services-networking/service/#publishing-services-service-types",
)
def service_exposure(resource: Resource) -> Iterator[Finding]:
    """Services are reached from within the cluster only."""
    if resource.type in INGRESSES:
        yield Finding("", "opens a way in from outside that no listener of ours guards")
        return
    yield from must(resource, "spec.type", _INSIDE)
    yield from must(resource, "spec.externalIPs", ABSENT)


# Namespaces

_PSA: Final = "pod-security.kubernetes.io/"


@rule(
    "k8s-namespace-psa",
    on=NAMESPACE,
    severity=Severity.CRITICAL,
    why="A namespace that enforces nothing takes any pod, whoever makes it and from wherever",
    remedy="Give the namespace `pod_security_labels` (components/pods.py)",
    reference=f"{KUBERNETES}/concepts/security/pod-security-admission/",
)
def namespace_psa(namespace: Resource) -> Iterator[Finding]:
    """Namespaces refuse pods that do not meet `restricted`, in the cluster's own version of it."""
    path = "metadata.labels"
    labels = namespace.get(path)
    if labels is UNKNOWN:
        yield unverified(path)
        return
    has: Mapping[str, Any] = labels if isinstance(labels, Mapping) else {}
    yield from judge(has.get(f"{_PSA}enforce"), f"{path}.{_PSA}enforce", one_of("restricted"))
    version = has.get(f"{_PSA}enforce-version")
    if version is not None:
        yield from judge(version, f"{path}.{_PSA}enforce-version", one_of("latest"))


# Rights

_LEVER: Final = frozenset({"escalate", "bind", "impersonate"})
_READ: Final = frozenset({"get", "list", "watch"})
_WRITE: Final = frozenset({"create", "update", "patch"})

GRAVE: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("", "secrets"): _READ | _WRITE,
    ("", "pods"): _WRITE,
    ("", "pods/exec"): frozenset({"create", "get"}),
    ("", "pods/attach"): frozenset({"create", "get"}),
    ("", "pods/ephemeralcontainers"): _WRITE,
    ("", "nodes/proxy"): _READ | _WRITE,
    ("", "namespaces"): _WRITE,
    ("", "persistentvolumes"): frozenset({"create"}),
    ("", "serviceaccounts/token"): frozenset({"create"}),
    ("apps", "deployments"): _WRITE,
    ("apps", "daemonsets"): _WRITE,
    ("apps", "statefulsets"): _WRITE,
    ("apps", "replicasets"): _WRITE,
    ("batch", "jobs"): _WRITE,
    ("batch", "cronjobs"): _WRITE,
    ("rbac.authorization.k8s.io", "roles"): _WRITE,
    ("rbac.authorization.k8s.io", "rolebindings"): _WRITE,
    ("rbac.authorization.k8s.io", "clusterroles"): _WRITE,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _WRITE,
    ("certificates.k8s.io", "certificatesigningrequests/approval"): _WRITE,
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): _WRITE,
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): _WRITE,
}
"""What makes its holder the cluster's administrator sooner or later, if it holds in every namespace.

Source: Kubernetes, "Role Based Access Control Good Practices", privilege escalation risks.
"""

_STRONG: Final = frozenset({"cluster-admin", "admin", "edit", "system:masters"})
"""Roles of every cluster with rights over secrets (Kubernetes, "Using RBAC Authorization", user-facing roles)."""


@rule(
    "k8s-rbac",
    on=(ROLE, CLUSTER_ROLE, *BINDINGS),
    severity=Severity.CRITICAL,
    why="Who may do everything, give rights away, or read every secret, is the cluster's administrator",
    remedy="Name groups, resources and verbs one by one; give rights over secrets and pods within one namespace",
    reference=f"{KUBERNETES}/concepts/security/rbac-good-practices/",
)
def rbac(resource: Resource) -> Iterator[Finding]:
    """Rights are named, and go to accounts of pods."""
    if resource.type in BINDINGS:
        yield from _binding(resource)
        return
    if resource.type == CLUSTER_ROLE:
        yield from must(resource, "aggregationRule", ABSENT)
    for at, one in items(resource, "rules"):
        if one is UNKNOWN:
            yield unverified(at)
            continue
        for name, words in (("verbs", _LEVER), ("apiGroups", frozenset()), ("resources", frozenset())):
            for path, word in _words(one, name, at):
                yield from judge(word, path, _plain_word(words))
        for path, url in _words(one, "nonResourceURLs", at):
            yield from judge(url, path, _URL)
        if resource.type == CLUSTER_ROLE:
            yield from _everywhere(one, at)


def _binding(binding: Resource) -> Iterator[Finding]:
    yield from must(binding, "roleRef.name", _MODEST)
    for at, subject in items(binding, "subjects"):
        yield from judge(look(subject, "kind"), f"{at}.kind", one_of("ServiceAccount"))
        if look(subject, "kind") == "ServiceAccount":
            yield from judge(look(subject, "name"), f"{at}.name", _ACCOUNT)


_MODEST: Final = Want(
    "a role with named rights", lambda value: isinstance(value, str) and value != "" and value not in _STRONG
)
_ACCOUNT: Final = Want("an account of its own", lambda value: NAMED.holds(value) and value != "default")
_URL: Final = Want("a path without *", lambda value: isinstance(value, str) and "*" not in value)


def _plain_word(forbidden: frozenset[str]) -> Want:
    def holds(value: Any) -> bool:
        return isinstance(value, str) and "*" not in value and value not in forbidden

    return Want("named" + (f", and none of {', '.join(sorted(forbidden))}" if forbidden else ""), holds)


def _words(one: Any, name: str, at: str) -> list[tuple[str, Any]]:
    found = look(one, name)
    if found is UNKNOWN:
        return [(f"{at}.{name}", UNKNOWN)]
    return [(f"{at}.{name}[{index}]", word) for index, word in enumerate(found if isinstance(found, list) else [])]


def _everywhere(one: Any, at: str) -> Iterator[Finding]:
    if look(one, "resourceNames") not in (None, [], UNKNOWN):
        return
    groups, resources, verbs = (
        {word for _, word in _words(one, name, at) if isinstance(word, str)}
        for name in ("apiGroups", "resources", "verbs")
    )
    for (group, name), grave in GRAVE.items():
        if group in groups and name in resources and grave & verbs:
            text = f"lets {name} be used in every namespace ({', '.join(sorted(grave & verbs))})"
            yield Finding(f"{at}.resources", text)


# Networks


@rule(
    "k8s-network-open",
    on=NETWORK_POLICY,
    severity=Severity.HIGH,
    why="A policy that opens pods to everybody, or lets them call everybody, undoes the one that closed them",
    remedy="Name who may come in and where pods may go, with ports (components/pods.py)",
    reference=f"{KUBERNETES}/concepts/services-networking/network-policies/",
)
def network_open(policy: Resource) -> Iterator[Finding]:
    """What a policy opens has an other end and ports; no pod calls its node's metadata."""
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for at, one in items(policy, f"spec.{direction}"):
            if one is UNKNOWN:
                yield unverified(at)
                continue
            for name in (side, "ports"):
                yield from judge(look(one, name), f"{at}.{name}", GIVEN)
            peers = look(one, side)
            for index, peer in enumerate(peers if isinstance(peers, list) else ()):
                yield from _peer(peer, f"{at}.{side}[{index}]", direction)


_SOME: Final = Want("narrower than all namespaces", lambda value: value is None or GIVEN.holds(_selector(value)))
_METADATA: Final = ("169.254.0.0/16", "169.254.169.254/32")


def _selector(value: Any) -> Any:
    return {key: inner for key, inner in value.items() if inner} if isinstance(value, Mapping) else value


def _peer(peer: Any, at: str, direction: str) -> Iterator[Finding]:
    if peer is UNKNOWN:
        yield unverified(at)
        return
    if not isinstance(peer, Mapping) or not any(peer.get(key) is not None for key in _PEERS):
        yield Finding(at, "names nobody in particular")
        return
    if look(peer, "podSelector") is None:
        yield from judge(look(peer, "namespaceSelector"), f"{at}.namespaceSelector", _SOME)
    block = look(peer, "ipBlock")
    if block is None:
        return
    path = f"{at}.ipBlock.cidr"
    cidr = look(block, "cidr")
    if not isinstance(cidr, str):
        yield from judge(cidr, path, NAMED)
    elif cidr.endswith("/0") and direction == "ingress":
        yield Finding(path, "is every address")
    elif cidr.endswith("/0"):
        excepted = look(block, "except")
        if excepted is UNKNOWN or (isinstance(excepted, list) and UNKNOWN in excepted):
            yield unverified(f"{at}.ipBlock.except")
        elif not (isinstance(excepted, list) and any(one in excepted for one in _METADATA)):
            yield Finding(f"{at}.ipBlock.except", "must hold 169.254.0.0/16: a node's metadata gives the node's rights")


_PEERS: Final = ("podSelector", "namespaceSelector", "ipBlock")


# Secrets

_SECRET_NAME: Final = re.compile(
    r"(?:^|[_.-])(?:password|passwd|passphrase|secret|token|credentials?|(?:private|api|access|secret)[_.-]?key)$",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")


@rule(
    "k8s-secret-plain",
    on=(SECRET, CONFIG_MAP, *PODS),
    severity=Severity.CRITICAL,
    why="A secret as plain text is in the state, in every log of a preview, and in the hands of who reads either",
    remedy="Give it as a Pulumi secret in a Secret, or read it in the pod from Secrets Manager (components/secrets.py)",
    reference="https://www.pulumi.com/docs/iac/concepts/secrets/",
)
def secret_plain(resource: Resource) -> Iterator[Finding]:
    """The values of Secrets are secret to Pulumi, and nothing else holds one."""
    if resource.type == SECRET:
        for path in ("data", "stringData"):
            yield from _masked(resource.get(path), path)
    elif resource.type == CONFIG_MAP:
        for path in ("data", "binaryData"):
            values = resource.get(path)
            for name, value in values.items() if isinstance(values, Mapping) else ():
                yield from _open(str(name), value, f"{path}.{name}")
    else:
        for at, container in pod_of(resource).containers():
            env = look(container, "env")
            for index, one in enumerate(env if isinstance(env, list) else ()):
                yield from _open(str(look(one, "name")), look(one, "value"), f"{at}.env[{index}].value")


def _masked(values: Any, path: str) -> Iterator[Finding]:
    if values in (None, {}, MASKED):
        return
    if values is UNKNOWN:
        yield unverified(path)
    elif not isinstance(values, Mapping):
        yield Finding(path, "is no map of values")
    else:
        for name, value in values.items():
            if value is UNKNOWN:
                yield unverified(f"{path}.{name}")
            elif value != MASKED:
                yield Finding(f"{path}.{name}", "is plain text, must be secret")


def _open(name: str, value: Any, path: str) -> Iterator[Finding]:
    if value is UNKNOWN:
        if _SECRET_NAME.search(name):
            yield unverified(path)
    elif isinstance(value, str) and value:
        # The value is not shown: it may be what should not be here.
        if value == MASKED:
            yield Finding(path, "is secret, and whoever reads the object reads it")
        elif _SECRET_NAME.search(name) or _SECRET_TEXT.search(value):
            yield Finding(path, "looks like a secret in plain text")
