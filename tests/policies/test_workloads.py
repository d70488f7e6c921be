from dataclasses import replace
from typing import Any

import pytest

from policies.rule import UNKNOWN, Finding, Resource, Stack
from tests.policies.plans import broken, changed, judge, of, resources

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
AUTOSCALER = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
SERVICE = "kubernetes:core/v1:Service"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
ACCOUNT = "kubernetes:core/v1:ServiceAccount"


def named(type_: str, name: str) -> Resource:
    return next(one for one in of("prod", type_) if one.name == name)


def stack(type_: str, name: str, path: str, value: Any) -> Stack:
    """Prod with one property of one resource changed; without a path the resource is gone."""
    return changed("prod", named(type_, name).urn, lambda one: broken(one, path, value) if path else None)


def test_what_a_service_reaches_needs_three_pods_and_a_controller_two() -> None:
    found = judge("k8s-replicas-pdb", stack(DEPLOYMENT, "search-search", "spec.replicas", 2))
    urn = named(DEPLOYMENT, "search-search").urn
    assert found == [Finding("spec.replicas", "is 2, must be at least 3", urn=urn)]
    assert judge("k8s-replicas-pdb", stack(DEPLOYMENT, "load-balancer", "spec.replicas", 2)) == []
    found = judge("k8s-replicas-pdb", stack(DEPLOYMENT, "load-balancer", "spec.replicas", 1))
    assert [one.message for one in found] == ["is 1, must be at least 2"]


def test_how_many_pods_are_enough_is_a_threshold() -> None:
    found = judge("k8s-replicas-pdb", "prod", standing_by=3)
    assert {one.message for one in found} == {"is 2, must be at least 3"}
    found = judge("k8s-replicas-pdb", "prod", serving=13)
    assert {one.message for one in found} == {"is 12, must be at least 13"}


def test_the_autoscaler_counts_where_there_is_one() -> None:
    found = judge("k8s-replicas-pdb", stack(AUTOSCALER, "search-search", "spec.minReplicas", 2))
    urn = named(AUTOSCALER, "search-search").urn
    assert Finding("spec.minReplicas", "is 2, must be at least 3", urn=urn) in found


def test_an_unknown_selector_of_a_service_leaves_two_pods_unverified() -> None:
    found = judge("k8s-replicas-pdb", stack(SERVICE, "search-search", "spec.selector", UNKNOWN))
    assert found == []
    other = replace(named(SERVICE, "search-search"), urn="urn:a::b::c::other", props={"spec": {"selector": UNKNOWN}})
    queue = named(DEPLOYMENT, "queue-operator")
    near = replace(other, props={**other.props, "metadata": {"namespace": "rabbitmq-system"}})
    every = [one for one in resources("prod") if one.type != SERVICE]
    found = judge("k8s-replicas-pdb", Stack([*every, near]))
    assert Finding("spec.replicas", "is not known before the update", verified=False, urn=queue.urn) in found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"maxUnavailable": 0}, "lets none of 21 pods go: a drain of its node would wait for ever"),
        ({"minAvailable": 21}, "lets none of 21 pods go: a drain of its node would wait for ever"),
        ({"minAvailable": "100%"}, "lets none of 21 pods go: a drain of its node would wait for ever"),
        ({"maxUnavailable": "40%"}, "lets 9 of 21 pods go at once, must be at most 7"),
        ({"minAvailable": 1}, "lets 20 of 21 pods go at once, must be at most 7"),
        ({"maxUnavailable": "some"}, "is neither a number nor a percentage"),
        ({"maxUnavailable": 1, "minAvailable": 1}, "must give either maxUnavailable or minAvailable"),
        ({"maxUnavailable": UNKNOWN}, "is not known before the update"),
        ({"maxUnavailable": "33%"}, None),
        ({"minAvailable": "70%"}, None),
        ({"minAvailable": 20}, None),
    ],
)
def test_a_budget_lets_some_pods_go_and_not_too_many(spec: dict[str, Any], message: str | None) -> None:
    budget = named(BUDGET, "search-search")
    mutant = replace(budget, props={**budget.props, "spec": {"selector": budget.get("spec.selector"), **spec}})
    found = judge("k8s-replicas-pdb", changed("prod", budget.urn, lambda _: mutant))
    assert [(one.message, one.urn) for one in found] == ([(message, budget.urn)] if message else [])


def test_a_second_budget_stops_every_eviction() -> None:
    budget = named(BUDGET, "search-search")
    twice = Stack([*resources("prod"), replace(budget, urn=f"{budget.urn}-again")])
    assert [one.message for one in judge("k8s-replicas-pdb", twice)] == [
        "has 2 PodDisruptionBudgets: the API then evicts no pod"
    ]


def test_brokers_go_one_at_a_time() -> None:
    found = judge("k8s-replicas-pdb", stack(BUDGET, "queue-cluster", "spec.maxUnavailable", 2))
    assert [one.message for one in found] == ["lets 2 of 5 pods go at once, must be at most 1"]


def test_what_a_service_reaches_has_an_autoscaler() -> None:
    found = judge("k8s-autoscaling", stack(AUTOSCALER, "search-index", "", ...))
    urn = named(DEPLOYMENT, "search-index").urn
    assert found == [Finding("", "is reached by a Service, and has no autoscaler", urn=urn)]


def test_a_service_selects_pods() -> None:
    found = judge("k8s-service-target", stack(SERVICE, "search-search", "spec.selector", {"a": "b"}))
    assert found == [Finding("spec.selector", "selects no pods of this stack", urn=named(SERVICE, "search-search").urn)]


def test_grace_is_a_threshold_above_what_the_hook_waits() -> None:
    assert judge("k8s-grace", "prod", drain=45) == []
    found = judge("k8s-grace", "prod", drain=46)
    assert {one.message for one in found} == {"is 60, must be at least 61"}
    found = judge("k8s-grace", "prod", wait=16)
    assert {one.message for one in found} == {"is 15, must be at least 16"}


def test_a_token_needs_a_binding() -> None:
    path = "spec.template.spec.automountServiceAccountToken"
    found = judge("k8s-automount", stack(DEPLOYMENT, "search-search", path, True))
    text = "is true, and its account has no binding that would need it"
    assert found == [Finding(path, text, urn=named(DEPLOYMENT, "search-search").urn)]


def test_a_namespace_is_closed_in_both_directions_by_one_policy() -> None:
    found = judge("k8s-network-policy", stack(NETWORK_POLICY, "search-deny-all", "spec.policyTypes", ["Ingress"]))
    assert [one.message for one in found] == [
        "is a namespace without a NetworkPolicy that closes all its pods for Ingress and Egress"
    ]
    found = judge("k8s-network-policy", stack(NETWORK_POLICY, "search-deny-all", "spec.podSelector", UNKNOWN))
    assert [one.verified for one in found] == [False]
