"""Workloads together with what belongs to them: how many pods there are, who may take one away, who reaches them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple

from policies.pods import DAEMON_SET, DEPLOYMENT, KUBERNETES, PODS, RABBITMQ, STATEFUL_SET, pod_of
from policies.rule import (
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    at_least,
    judge,
    look,
    number,
    stack_rule,
    unverified,
)
from policies.selection import both, carries, namespace, selects, together
from policies.wants import NAMED

AUTOSCALERS: Final = (
    "kubernetes:autoscaling/v2:HorizontalPodAutoscaler",
    "kubernetes:autoscaling/v1:HorizontalPodAutoscaler",
)
BUDGET: Final = "kubernetes:policy/v1:PodDisruptionBudget"
SERVICE: Final = "kubernetes:core/v1:Service"
SERVICE_ACCOUNT: Final = "kubernetes:core/v1:ServiceAccount"
BINDINGS: Final = (
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding",
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding",
)
NETWORK_POLICY: Final = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
TARGETS: Final = "kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding"

SCALED: Final = (DEPLOYMENT, STATEFUL_SET)
"""What has a number of pods, and may have an autoscaler."""

# How many there are


@stack_rule(
    "k8s-replicas-pdb",
    on=(*SCALED, RABBITMQ, *AUTOSCALERS, BUDGET, SERVICE),
    severity=Severity.HIGH,
    why="Too few pods are gone with a zone; without a budget a drain takes all, and one that is too tight stops it",
    remedy="Run three pods of what a Service reaches and two of any other, under one PodDisruptionBudget",
    reference=f"{KUBERNETES}/tasks/run-application/configure-pdb/",
)
def replicas(
    stack: Stack, *, serving: Annotated[int, Bounds(1, 100)] = 3, standing_by: Annotated[int, Bounds(1, 100)] = 2
) -> Iterator[Finding]:
    """There is a pod for each zone, or, where one works and another waits, one that waits; a budget lets some go.

    `serving` is for pods that a Service reaches. No Service reaches a controller: one of its pods holds the lock and
    works, so a third adds nothing, and `standing_by` is for those.
    """
    for workload in stack.of(*SCALED):
        reached = serves(stack, workload)
        found = list(_replicas(stack, workload, at_least(standing_by if reached is False else serving)))
        if reached is None and not list(_replicas(stack, workload, at_least(standing_by))):
            found = [unverified(one.path, urn=one.urn) for one in found]
        yield from found
        pods = _least(stack, workload)
        labels = pod_of(workload).labels
        yield from _budget(stack, workload, labels, pods, most=1 if workload.type == STATEFUL_SET else None)
    for cluster in stack.of(RABBITMQ):
        # The label that the operator gives every pod of the cluster (RabbitMQ, "Using the Cluster Operator").
        labels = {"app.kubernetes.io/name": cluster.get("metadata.name")}
        # A queue has three members: with two gone at once it has no majority.
        yield from _budget(stack, cluster, labels, cluster.get("spec.replicas"), most=1)


def serves(stack: Stack, workload: Resource) -> bool | None:
    """Whether a Service reaches its pods; None if that is not known yet."""
    answers = [
        both(together(workload, service), carries(service.get("spec.selector"), pod_of(workload).labels))
        for service in stack.of(SERVICE)
        if service.get("spec.selector") not in (None, {})
    ]
    if any(answers):
        return True
    return None if any(answer is None for answer in answers) else False


def autoscalers(stack: Stack, workload: Resource) -> list[Resource]:
    """What sets its number of pods."""
    kind = workload.type.rpartition(":")[2]
    return [
        one
        for one in stack.of(*AUTOSCALERS)
        if together(one, workload)
        and one.get("spec.scaleTargetRef.kind") == kind
        and _known(one.get("spec.scaleTargetRef.name"))
        and one.get("spec.scaleTargetRef.name") == workload.get("metadata.name")
    ]


def _replicas(stack: Stack, workload: Resource, want: Want) -> Iterator[Finding]:
    scalers = autoscalers(stack, workload)
    for scaler in scalers:
        yield from judge(scaler.get("spec.minReplicas"), "spec.minReplicas", want, urn=scaler.urn)
    # An update sets the number again, until the autoscaler corrects it.
    if not scalers or workload.get("spec.replicas") is not None:
        yield from judge(workload.get("spec.replicas"), "spec.replicas", want, urn=workload.urn)


def _least(stack: Stack, workload: Resource) -> Any:
    """The number of its pods at the quietest hour."""
    scalers = autoscalers(stack, workload)
    return scalers[0].get("spec.minReplicas") if scalers else workload.get("spec.replicas")


def _budget(stack: Stack, workload: Resource, labels: Any, pods: Any, *, most: int | None) -> Iterator[Finding]:
    answers = [
        (one, both(together(one, workload), selects(one.get("spec.selector"), labels))) for one in stack.of(BUDGET)
    ]
    budgets = [one for one, answer in answers if answer]
    if len(budgets) > 1:
        yield Finding("", f"has {len(budgets)} PodDisruptionBudgets: the API then evicts no pod", urn=workload.urn)
    elif any(answer is None for _, answer in answers):
        yield unverified("", urn=workload.urn)
    elif not budgets:
        yield Finding("", "has pods that no PodDisruptionBudget selects", urn=workload.urn)
    for budget in budgets:
        yield from _permits(budget, pods, most)


def _permits(budget: Resource, pods: Any, most: int | None) -> Iterator[Finding]:
    given = [name for name in ("maxUnavailable", "minAvailable") if budget.get(f"spec.{name}") is not None]
    if len(given) != 1:
        yield Finding("spec", "must give either maxUnavailable or minAvailable", urn=budget.urn)
        return
    path = f"spec.{given[0]}"
    value = budget.get(path)
    if value is UNKNOWN:
        yield unverified(path, urn=budget.urn)
        return
    count = number(pods)
    if count is None or not 1 <= count < _MANY:
        # That it is no number of pods was said of the workload.
        return
    some = _scaled(value, count)
    if some is None:
        yield Finding(path, "is neither a number nor a percentage", urn=budget.urn)
        return
    going = some if given[0] == "maxUnavailable" else count - some
    allowed = most or max(1, count // 3)
    if going < 1:
        yield Finding(path, f"lets none of {count:g} pods go: a drain of its node would wait for ever", urn=budget.urn)
    elif going > allowed:
        yield Finding(path, f"lets {going:g} of {count:g} pods go at once, must be at most {allowed:g}", urn=budget.urn)


_MANY: Final = 1_000_000
"""More pods than any cluster has, and more seconds than any of them waits."""


def _scaled(value: Any, count: float) -> float | None:
    """A number of pods, or the share that a percentage is, which the API rounds up."""
    if (found := number(value)) is not None:
        return found if math.isfinite(found) else None
    match = re.fullmatch(r"(\d{1,3})%", value) if isinstance(value, str) else None
    return math.ceil(count * int(match[1]) / 100) if match else None


@stack_rule(
    "k8s-autoscaling",
    on=(*SCALED, *AUTOSCALERS, SERVICE),
    severity=Severity.HIGH,
    why="Pods that cannot become more answer slower and slower, then not at all",
    remedy="Give each Deployment behind a Service an autoscaler with room above its least",
    reference=f"{KUBERNETES}/tasks/run-application/horizontal-pod-autoscale/",
)
def autoscaling(stack: Stack) -> Iterator[Finding]:
    """What a Service reaches has an autoscaler, which scales something and has room to."""
    scaled = {scaler.urn for workload in stack.of(*SCALED) for scaler in autoscalers(stack, workload)}
    unread = False
    for scaler in stack.of(*AUTOSCALERS):
        target = [scaler.get(f"spec.scaleTargetRef.{name}") for name in ("kind", "name")]
        if UNKNOWN in target or namespace(scaler) is UNKNOWN:
            unread = True
            yield unverified("spec.scaleTargetRef", urn=scaler.urn)
        elif scaler.urn not in scaled:
            yield Finding("spec.scaleTargetRef", "names no workload of this stack", urn=scaler.urn)
        least = number(scaler.get("spec.minReplicas")) or 1
        yield from judge(scaler.get("spec.maxReplicas"), "spec.maxReplicas", _above(least), urn=scaler.urn)
    for workload in stack.of(DEPLOYMENT):
        if not unread and serves(stack, workload) and not autoscalers(stack, workload):
            yield Finding("", "is reached by a Service, and has no autoscaler", urn=workload.urn)


# Who reaches them


@stack_rule(
    "k8s-service-target",
    on=(*SCALED, DAEMON_SET, SERVICE, TARGETS),
    severity=Severity.HIGH,
    why="A Service that selects no pods, or a target group without its Service, answers nobody",
    remedy="Let the Service select the labels of the pods, and the TargetGroupBinding name the Service and its port",
    reference="https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/targetgroupbinding/"
    "targetgroupbinding/",
)
def service_target(stack: Stack) -> Iterator[Finding]:
    """The load balancer finds a Service, and the Service finds pods."""
    for service in stack.of(SERVICE):
        selector = service.get("spec.selector")
        if selector in (None, {}) and service.get("spec.type") == "ExternalName":
            continue
        answers = [
            both(together(service, workload), carries(selector, pod_of(workload).labels))
            for workload in stack.of(*SCALED, DAEMON_SET)
        ]
        if selector in (None, {}) or not any(answers):
            if any(answer is None for answer in answers):
                yield unverified("spec.selector", urn=service.urn)
            else:
                yield Finding("spec.selector", "selects no pods of this stack", urn=service.urn)
    for binding in stack.of(TARGETS):
        yield from _reference(stack, binding)


def _reference(stack: Stack, binding: Resource) -> Iterator[Finding]:
    name, port = binding.get("spec.serviceRef.name"), binding.get("spec.serviceRef.port")
    for path, value in (("name", name), ("port", port)):
        if value is UNKNOWN:
            yield unverified(f"spec.serviceRef.{path}", urn=binding.urn)
    if name is UNKNOWN:
        return
    named = [one for one in stack.of(SERVICE) if one.get("metadata.name") == name and together(one, binding)]
    if not named:
        unread = any(UNKNOWN in (one.get("metadata.name"), namespace(one)) for one in stack.of(SERVICE))
        path = "spec.serviceRef.name"
        if unread or namespace(binding) is UNKNOWN:
            yield unverified(path, urn=binding.urn)
        else:
            yield Finding(path, "names no Service of this stack", urn=binding.urn)
    for service in named if port is not UNKNOWN else ():
        ports = service.get("spec.ports")
        known = ports if isinstance(ports, list) else []
        offered = [look(one, key) for one in known for key in ("port", "name")]
        if ports is UNKNOWN or any(one is UNKNOWN for one in (*known, *offered)):
            yield unverified("spec.ports", urn=service.urn)
        elif port is None or port not in offered:
            yield Finding("spec.serviceRef.port", "is no port of its Service", urn=binding.urn)


@stack_rule(
    "k8s-grace",
    on=(*SCALED, SERVICE),
    severity=Severity.MEDIUM,
    why="A pod that stops at once drops what it answers, and what the load balancer still sends it",
    remedy="Let containers wait in preStop until no more is sent, and give the pod time for that and for its answers",
    reference=f"{KUBERNETES}/concepts/workloads/pods/pod-lifecycle/#pod-termination",
)
def grace(
    stack: Stack, *, wait: Annotated[int, Bounds(1, 3600)] = 5, drain: Annotated[int, Bounds(1, 3600)] = 30
) -> Iterator[Finding]:
    """Pods behind a Service wait `wait` seconds before they stop, and then have `drain` seconds to finish."""
    for workload in stack.of(*SCALED):
        if not serves(stack, workload):
            continue
        pod = pod_of(workload)
        waits = [0.0]
        for at, container in pod.containers("containers"):
            if not look(container, "ports"):
                continue
            hook = look(container, "lifecycle.preStop")
            path = f"{at}.lifecycle.preStop"
            if hook is UNKNOWN:
                yield unverified(path, urn=workload.urn)
            elif (seconds := look(hook, "sleep.seconds")) is not None:
                yield from judge(seconds, f"{path}.sleep.seconds", at_least(wait), urn=workload.urn)
                waits.append(min(number(seconds) or 0, _MANY))
            else:
                yield from judge(look(hook, "exec") or look(hook, "httpGet"), path, _GIVEN, urn=workload.urn)
        period = pod.get("terminationGracePeriodSeconds")
        path = pod.path("terminationGracePeriodSeconds")
        # Kubernetes gives 30 s where nothing is said.
        want = at_least(math.ceil(max(waits)) + drain)
        yield from judge(30 if period is None else period, path, want, urn=workload.urn)


_GIVEN: Final = Want("given", lambda value: isinstance(value, Mapping) and bool(value))


# What they may do


class _Account(NamedTuple):
    namespace: Any
    name: Any


@stack_rule(
    "k8s-automount",
    on=(*PODS, SERVICE_ACCOUNT, *BINDINGS),
    severity=Severity.HIGH,
    why="A token of the cluster's API in a pod that does not need it is one more that can be stolen",
    remedy="Say automountServiceAccountToken: false of the account, and true only of pods whose account has a binding",
    reference=f"{KUBERNETES}/tasks/configure-pod-container/configure-service-account/"
    "#opt-out-of-api-credential-automounting",
)
def automount(stack: Stack) -> Iterator[Finding]:
    """Only pods whose own account has rights in the cluster get its token."""
    for account in stack.of(SERVICE_ACCOUNT):
        path = "automountServiceAccountToken"
        yield from judge(account.get(path), path, _OFF, urn=account.urn)
    bound, unread = _bound(stack)
    for resource in stack.of(*PODS):
        pod = pod_of(resource)
        name = pod.get("serviceAccountName")
        mounts = pod.get("automountServiceAccountToken")
        if pod.partial and name is None and mounts is None:
            continue
        path = pod.path("serviceAccountName")
        yield from judge(name, path, _OWN, urn=resource.urn)
        path = pod.path("automountServiceAccountToken")
        if mounts is not True:
            yield from judge(mounts, path, _SAID, urn=resource.urn)
        elif name is not UNKNOWN and _Account(namespace(resource), name) not in bound:
            if unread or namespace(resource) is UNKNOWN:
                yield unverified(path, urn=resource.urn)
            else:
                yield Finding(path, "is true, and its account has no binding that would need it", urn=resource.urn)


_OFF: Final = Want("false", lambda value: value is False)
_SAID: Final = Want("true or false", lambda value: isinstance(value, bool))
_OWN: Final = Want("an account of its own", lambda value: NAMED.holds(value) and value != "default")


def _bound(stack: Stack) -> tuple[list[_Account], bool]:
    """Accounts that a binding names, and whether there may be more."""
    found, unread = [], False
    for binding in stack.of(*BINDINGS):
        subjects = binding.get("subjects")
        unread = unread or subjects is UNKNOWN
        for subject in subjects if isinstance(subjects, list) else ():
            account = _Account(look(subject, "namespace") or namespace(binding), look(subject, "name"))
            unread = unread or UNKNOWN in account
            if look(subject, "kind") == "ServiceAccount":
                found.append(account)
    return found, unread


@stack_rule(
    "k8s-network-policy",
    on=(*PODS, NETWORK_POLICY),
    severity=Severity.HIGH,
    why="Without a policy every pod of the cluster reaches every other, and the internet",
    remedy="Make the policies of `closed_namespace` (components/pods.py) in the namespace",
    reference=f"{KUBERNETES}/concepts/services-networking/network-policies/#default-policies",
)
def network_policy(stack: Stack) -> Iterator[Finding]:
    """In each namespace with pods one policy closes all of them, in both directions, to all that no policy opens."""
    closed, unread = [], False
    for policy in stack.of(NETWORK_POLICY):
        answer = _closes(policy)
        unread = unread or answer is None or (answer and namespace(policy) is UNKNOWN)
        if answer:
            closed.append(namespace(policy))
    seen: list[Any] = []
    for resource in stack.of(*PODS):
        its = namespace(resource)
        if its is UNKNOWN:
            yield unverified("metadata.namespace", urn=resource.urn)
        elif its not in seen and its not in closed:
            seen.append(its)
            if unread:
                yield unverified("metadata.namespace", urn=resource.urn)
            else:
                text = "is a namespace without a NetworkPolicy that closes all its pods for Ingress and Egress"
                yield Finding("metadata.namespace", text, urn=resource.urn)


def _closes(policy: Resource) -> bool | None:
    """Whether a policy is about all pods, in both directions."""
    types, selector = policy.get("spec.policyTypes"), policy.get("spec.podSelector")
    everyone = selector is not UNKNOWN and (
        selector is None or (isinstance(selector, Mapping) and not any(selector.values()))
    )
    if types in (None, []):
        # As the API does: both if it has rules for what goes out, otherwise what comes in.
        types = ["Ingress", "Egress"] if policy.get("spec.egress") else ["Ingress"]
    if isinstance(types, list) and not {"Ingress", "Egress"} <= {one for one in types if isinstance(one, str)}:
        return None if any(one is UNKNOWN for one in types) and (everyone or selector is UNKNOWN) else False
    if selector is UNKNOWN:
        return None
    return (None if types is UNKNOWN else isinstance(types, list)) if everyone else False


def _above(least: float) -> Want:
    return Want(f"above {least:g}", lambda value: (number(value) or 0) > least)


def _known(value: Any) -> bool:
    return isinstance(value, str) and value != ""
