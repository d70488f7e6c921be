from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.pods import PODS, TEMPLATES
from policies.rule import UNKNOWN, Finding, Resource, Stack
from tests.policies.plans import RULES, broken, everything, judge, of

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
POD = "spec.template.spec"
CONTAINER = f"{POD}.containers[0]"
OURS = [id_ for id_ in RULES if id_.startswith("k8s-")]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["*", "10%", "[secret]", "Always", "0.0.0.0/0", "ServiceAccount", UNKNOWN]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


def search() -> Resource:
    return next(one for one in of("prod", DEPLOYMENT) if one.name == "search-search")


def pod(type_: str, spec: dict[str, Any]) -> Resource:
    """A resource of a type with this pod."""
    props: dict[str, Any] = {"spec": spec}
    for step in reversed([step for step in TEMPLATES[type_].split(".") if step]):
        props = {step: props}
    return Resource(f"urn:pulumi:s::p::{type_}::one", type_, props)


@pytest.mark.parametrize("rule", [id_ for id_ in OURS if id_ != "k8s-secret-plain"])
def test_the_plans_hold_every_rule(rule: str) -> None:
    assert not list(everything(rule))


def test_a_container_may_not_undo_what_its_pod_says() -> None:
    path = f"{CONTAINER}.securityContext.runAsNonRoot"
    assert judge("k8s-security-context", broken(search(), path, False)) == [Finding(path, "is false, must be true")]
    assert judge("k8s-security-context", broken(search(), path, ...)) == []


def test_a_container_must_say_what_its_pod_does_not() -> None:
    found = judge("k8s-security-context", broken(search(), f"{POD}.securityContext.seccompProfile", ...))
    path = f"{CONTAINER}.securityContext.seccompProfile.type"
    assert found == [Finding(path, "is absent, here and for the pod, and must be RuntimeDefault or Localhost")]


@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize("type_", PODS)
def test_every_container_of_every_kind_of_workload_is_judged(type_: str, kind: str) -> None:
    bad = pod(type_, {kind: [{"name": "one", "securityContext": {"privileged": True}}]})
    paths = [one.path for one in judge("k8s-security-context", bad)]
    assert f"{TEMPLATES[type_]}spec.{kind}[0].securityContext.privileged" in paths


def test_only_what_is_given_is_judged_of_pods_that_the_operator_completes() -> None:
    bare = pod("kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster", {"containers": [{"name": "rabbitmq"}]})
    assert all(judge(rule, bare) == [] for rule in ("k8s-security-context", "k8s-resources", "k8s-image-digest"))


def test_one_unknown_container_hides_no_bad_one() -> None:
    both = broken(search(), f"{POD}.containers", [UNKNOWN, {"name": "two"}])
    found = judge("k8s-probes", both)
    assert Finding(f"{POD}.containers[0]", "is not known before the update", verified=False) in found
    assert Finding(f"{POD}.containers[1].livenessProbe", "is absent, must be given, with an action") in found


def test_a_sidecar_that_stays_needs_probes_and_a_starter_does_not() -> None:
    first = [{"name": "log", "restartPolicy": "Always"}, {"name": "once"}]
    paths = [one.path for one in judge("k8s-probes", broken(search(), f"{POD}.initContainers", first))]
    assert paths == [f"{POD}.initContainers[0].{probe}" for probe in ("readinessProbe", "livenessProbe")]


@pytest.mark.parametrize("amount", ["1", "100m", "0.5", "1e3", "2Gi", 1, 0.25])
def test_amounts_as_kubernetes_writes_them_are_taken(amount: Any) -> None:
    assert judge("k8s-resources", broken(search(), f"{CONTAINER}.resources.requests.cpu", amount)) == []


def test_the_skew_between_zones_is_a_threshold() -> None:
    path = f"{POD}.topologySpreadConstraints[0].maxSkew"
    two = broken(search(), path, 2)
    assert judge("k8s-spread", two) == [Finding(path, "is 2, must be 1 to 1")]
    assert judge("k8s-spread", two, skew=2) == []


def test_charts_and_patches_are_refused() -> None:
    chart = Resource("urn:pulumi:s::p::kubernetes:helm.sh/v3:Release::one", "kubernetes:helm.sh/v3:Release", {})
    assert judge("k8s-visible", chart) == [Finding("", "is a Release, and its pods cannot be judged")]


PATHS = (
    *("apiVersion", "metadata", "metadata.labels", "metadata.namespace", "metadata.name", "metadata.annotations"),
    *("spec", "spec.selector", "spec.type", "spec.externalIPs", "spec.replicas", "spec.template", "spec.ports"),
    *("spec.minReplicas", "spec.maxReplicas", "spec.scaleTargetRef", "spec.maxUnavailable", "spec.minAvailable"),
    *("spec.policyTypes", "spec.podSelector", "spec.ingress", "spec.egress", "spec.serviceRef", "spec.jobTemplate"),
    *("spec.template.metadata", "spec.template.metadata.annotations", "spec.template.metadata.labels", POD),
    *(f"{POD}.{name}" for name in ("containers", "initContainers", "volumes", "securityContext", "serviceAccountName")),
    *(f"{POD}.{name}" for name in ("topologySpreadConstraints", "terminationGracePeriodSeconds", "hostNetwork")),
    *(f"{POD}.securityContext.{name}" for name in ("sysctls", "seccompProfile", "runAsUser", "seLinuxOptions")),
    *("rules", "roleRef", "subjects", "aggregationRule", "data", "stringData", "automountServiceAccountToken"),
)
INSIDE = ("image", "env", "ports", "resources", "lifecycle", "livenessProbe", "securityContext", "restartPolicy")


@given(st.data())
def test_no_value_anywhere_makes_a_rule_fail(data: st.DataObject) -> None:
    rule = RULES[data.draw(st.sampled_from(OURS))]
    of_it = [one for type_ in rule.types for one in of("prod", type_)]
    resource = data.draw(st.sampled_from(of_it)) if of_it else Resource("urn:a::b::c::d", rule.types[0], {})
    path = data.draw(st.sampled_from(PATHS))
    value = data.draw(VALUES)
    if data.draw(st.booleans()):
        path, value = f"{POD}.containers", [{data.draw(st.sampled_from(INSIDE)): value}]
    # What is on the way may be something else than a map.
    mutant = replace(resource, props=_put(resource.props, path.split("."), value))
    if rule.whole:
        rest = [one for one in of_it if one.urn != resource.urn]
        assert isinstance(rule.judge(Stack([mutant, *rest])), list)
    else:
        assert isinstance(rule.judge(mutant), list)


def _put(value: Any, path: list[str], new: Any) -> Any:
    inner = value if isinstance(value, dict) else {}
    return {**inner, path[0]: _put(inner.get(path[0]), path[1:], new) if path[1:] else new}
