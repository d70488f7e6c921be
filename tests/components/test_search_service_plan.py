"""The roles of the service, as they are planned: releases, network rules, figures."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.ingress import PROBE_PORT
from components.network_plan import FLOWS
from components.pods import HTTPS, POD_IDENTITY_AGENT
from components.search_service_plan import (
    BROKER_FOLDER,
    DOCUMENT,
    INDEX,
    POOL_CONNECTIONS,
    RESERVED_CONNECTIONS,
    SEARCH,
    STORE_PORTS,
    VPC_PORTS,
    Candidate,
    RoleSpec,
    fingerprint,
    plan_network_policies,
    plan_pod,
    plan_pool,
    plan_releases,
    plan_scaling,
)

CIDR = "10.0.0.0/16"
IMAGE = f"registry/docsearch@sha256:{'0a' * 32}"
NEXT = f"registry/docsearch@sha256:{'0b' * 32}"
THREE = (SEARCH, DOCUMENT, INDEX)


@given(
    most=st.lists(st.tuples(st.integers(3, 60), st.booleans()), min_size=1, max_size=4),
    max_connections=st.integers(100, 5000),
)
def test_the_pools_of_all_pods_fit_into_a_server_or_are_refused(
    most: list[tuple[int, bool]], max_connections: int
) -> None:
    roles = [
        replace(SEARCH, min_replicas=3, max_replicas=pods, candidate=Candidate(image=NEXT) if tried else None)
        for pods, tried in most
    ]
    pods = sum(math.ceil(its.max_replicas * 1.25) * len(plan_releases(its, image=IMAGE)) for its in roles)
    room = max_connections - RESERVED_CONNECTIONS
    try:
        found = plan_pool(roles, max_connections=max_connections)
    except ArgsError:
        assert pods * POOL_CONNECTIONS[0] > room
        return
    assert POOL_CONNECTIONS[0] <= found <= POOL_CONNECTIONS[1]
    assert pods * found <= room
    assert found == POOL_CONNECTIONS[1] or pods * (found + 1) > room


def test_pools_that_do_not_fit_are_refused_with_their_reason() -> None:
    with pytest.raises(ArgsError) as error:
        plan_pool(THREE, max_connections=1000)
    assert str(error.value) == (
        "107 pods share 1000 connections to a server of the database: each keeps 10 open, and 200 are no pod's. "
        "Take fewer pods at most, or more max_connections."
    )


def test_a_role_without_the_database_takes_no_connection() -> None:
    other = replace(SEARCH, name="other", needs=("search",), max_replicas=1000)
    assert plan_pool((*THREE, other), max_connections=3000) == plan_pool(THREE, max_connections=3000) == 26
    assert plan_pool((other,), max_connections=3000) == 50


def policies(*roles: RoleSpec, **more: Any) -> dict[str, Any]:
    return plan_network_policies(CIDR, roles, **more)


@given(settings=st.dictionaries(st.text(), st.text()))
def test_a_fingerprint_follows_values_not_their_order(settings: dict[str, str]) -> None:
    assert fingerprint(settings) == fingerprint(dict(reversed(settings.items())))
    assert fingerprint(settings | {"KEY": "old"}) != fingerprint(settings | {"KEY": "new"})
    assert len(fingerprint(settings)) == 16


@given(least=st.integers(3, 500), percent=st.integers(1, 100))
def test_a_candidate_can_take_its_share_and_survives_a_zone(least: int, percent: int) -> None:
    role = RoleSpec(
        name="search", min_replicas=least, max_replicas=500, candidate=Candidate(image=NEXT, percent=percent)
    )
    stable, candidate = plan_releases(role, image=IMAGE)
    assert (stable.name, stable.image, stable.min_replicas, stable.kind) == ("search", IMAGE, least, "stable")
    assert (candidate.name, candidate.image, candidate.kind) == ("search-candidate", NEXT, "candidate")
    assert 3 <= candidate.min_replicas <= role.max_replicas
    assert candidate.min_replicas * 100 >= least * percent
    assert not set(stable.labels.items()) >= set(candidate.labels.items())


def test_a_role_without_a_candidate_is_one_release() -> None:
    (only,) = plan_releases(SEARCH, image=IMAGE)
    assert (only.name, only.image) == ("search", IMAGE)


def test_nothing_gets_in_or_out_that_no_role_asks_for() -> None:
    found = policies(SEARCH)
    assert set(found) == {"deny-all", "allow-needs", "allow-search", "allow-search-stores", "allow-search-out"}
    assert found["deny-all"] == {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]}
    (inside,) = found["allow-search"]["ingress"]
    assert inside["from_"] == [{"ip_block": {"cidr": CIDR}}]
    assert [one["port"] for one in inside["ports"]] == [8080, PROBE_PORT]
    (out,) = found["allow-search-out"]["egress"]
    assert out["ports"] == [{"protocol": "TCP", "port": 443}]
    # The address range of every VPC of ours, and the node's own credentials.
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(out["to"][0]["ip_block"]["except_"])
    bare = RoleSpec(name="bare", min_replicas=3, max_replicas=3)
    assert set(policies(bare)) == {"deny-all", "allow-needs", "allow-bare"}


def test_every_pod_may_resolve_names_get_its_credentials_and_call_aws() -> None:
    dns, identity, endpoints = policies()["allow-needs"]["egress"]
    assert dns["to"][0]["pod_selector"] == {"match_labels": {"k8s-app": "kube-dns"}}
    assert identity["to"] == [{"ip_block": {"cidr": POD_IDENTITY_AGENT}}]
    assert (endpoints["to"], endpoints["ports"]) == (
        [{"ip_block": {"cidr": CIDR}}],
        [{"protocol": "TCP", "port": 443}],
    )


@pytest.mark.parametrize(
    ("role", "ports"), [(SEARCH, {6379, 5432}), (DOCUMENT, {5432, 6379}), (INDEX, {5671, 5432, 6379})]
)
def test_a_role_opens_the_stores_that_it_needs(role: RoleSpec, ports: set[int]) -> None:
    (stores,) = policies(*THREE)[f"allow-{role.name}-stores"]["egress"]
    assert stores["to"] == [{"ip_block": {"cidr": CIDR}}]
    assert {port["port"] for port in stores["ports"]} == ports


def test_pods_may_open_what_the_network_opens_for_their_nodes() -> None:
    stores = {"database", "cache", "search", "broker", "endpoints"}
    opened = {flow.ports[0] for flow in FLOWS if flow.source == "nodes" and flow.target in stores and flow.ports}
    assert set(VPC_PORTS) == opened
    assert STORE_PORTS["search"] == HTTPS


def test_nobody_calls_the_index_role_but_who_reads_metrics() -> None:
    assert policies(INDEX)["allow-index"]["ingress"] == []
    (inside,) = policies(INDEX, metrics_namespace="monitoring")["allow-index"]["ingress"]
    assert inside == {
        "from_": [{"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "ports": [{"protocol": "TCP", "port": PROBE_PORT}],
    }


def test_who_reads_metrics_cannot_send_requests() -> None:
    balancer, metrics = policies(SEARCH, metrics_namespace="monitoring")["allow-search"]["ingress"]
    assert {one["port"] for one in balancer["ports"]} == {8080, PROBE_PORT}
    assert [one["port"] for one in metrics["ports"]] == [PROBE_PORT]


def test_callers_narrow_down_who_reaches_a_public_role() -> None:
    blocks = ["10.0.56.0/21", "10.0.120.0/21"]
    (inside,) = policies(SEARCH, callers=blocks)["allow-search"]["ingress"]
    assert inside["from_"] == [{"ip_block": {"cidr": block}} for block in blocks]


def test_a_broker_in_the_cluster_is_named_by_its_namespace() -> None:
    found = policies(*THREE, broker_namespace="rabbitmq")
    broker = found["allow-index-stores"]["egress"][1]
    assert broker["ports"] == [{"protocol": "TCP", "port": 5671}]
    assert broker["to"] == [{"namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "rabbitmq"}}}]
    assert {len(found[f"allow-{name}-stores"]["egress"]) for name in ("search", "document")} == {1}


def test_a_login_at_the_broker_is_mounted_where_it_is_needed_and_nowhere_else() -> None:
    for role in THREE:
        (release,) = plan_releases(role, image=IMAGE)
        spec: Any = plan_pod(release, broker_secret="broker")
        secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
        mounts = [mount for mount in spec["containers"][0]["volume_mounts"] if mount["name"] == "broker"]
        if "broker" not in role.needs:
            assert (secrets, mounts) == ([], [])
            continue
        assert secrets == [{"secret_name": "broker", "default_mode": 0o440}]
        assert mounts == [{"name": "broker", "mount_path": BROKER_FOLDER, "read_only": True}]
        bare: Any = plan_pod(release)
        assert not [volume for volume in bare["volumes"] if "secret" in volume]


def test_rules_hold_for_a_candidate_too() -> None:
    found = policies(replace(SEARCH, candidate=Candidate(image=NEXT)))
    for name in ("allow-search", "allow-search-stores", "allow-search-out"):
        (expression,) = found[name]["pod_selector"]["match_expressions"]
        assert expression["values"] == ["search", "search-candidate"]


def test_pods_are_added_at_once_and_taken_away_slowly() -> None:
    (release,) = plan_releases(SEARCH, image=IMAGE)
    behavior: Any = plan_scaling(release)["behavior"]
    assert behavior["scale_up"]["stabilization_window_seconds"] == 0
    assert behavior["scale_down"] == {
        "stabilization_window_seconds": 300,
        "policies": [{"type": "Percent", "value": 50, "period_seconds": 60}],
    }


def test_a_pod_says_which_release_it_is_of() -> None:
    role = replace(SEARCH, candidate=Candidate(image=NEXT))
    for release in plan_releases(role, image=IMAGE):
        spec: Any = plan_pod(release)
        env = {entry["name"]: entry["value"] for entry in spec["containers"][0]["env"]}
        assert env["DOCSEARCH_RELEASE"] == release.kind


def test_the_figures_are_the_requirements() -> None:
    assert {role.name: (role.min_replicas, role.max_replicas) for role in THREE} == {
        "document": (10, 20),
        "search": (20, 50),
        "index": (10, 15),
    }
    assert len({role.port for role in THREE}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Search"}, "a role is called 'Search': it becomes a DNS label."),
        ({"name": "a-candidate"}, "a role is called 'a-candidate': a candidate of a role is called so."),
        (
            {"min_replicas": 2},
            (
                "role search has 2 replicas at least: with one zone lost and one pod being replaced, none of two "
                "is left. Take 3 or more."
            ),
        ),
        ({"max_replicas": 4}, "role search has at least 5 and at most 4 replicas: the autoscaler refuses it."),
        (
            {"port": 80},
            "role search listens on 80: the security groups let the load balancer reach 8080 to 8089.",
        ),
        ({"port": 8089}, "role search listens on 8089: probes are answered there, in clear text."),
        ({"memory_mib": 0}, "role search reserves memory_mib 0: the autoscaler divides by it."),
        ({"target_cpu_percent": 101}, "role search is scaled at 101% CPU: it must be 1 to 100."),
        (
            {"needs": ("disk",)},
            "role search needs 'disk': there are database, search, cache, broker.",
        ),
        (
            {"needs": ("database",)},
            (
                "role search needs the database without internet: it asks S3 for erasures first, whose gateway "
                "endpoint has public addresses, which its network policy would refuse. Set internet=True: "
                "such traffic stays in AWS."
            ),
        ),
    ],
)
def test_a_role_that_cannot_work_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"name": "search", "min_replicas": 5, "max_replicas": 50}
    with pytest.raises(ArgsError) as error:
        RoleSpec(**(fields | changes))
    assert str(error.value) == message


def test_a_candidate_that_takes_nothing_is_refused() -> None:
    with pytest.raises(ArgsError) as error:
        Candidate(image=NEXT, percent=0)
    assert str(error.value) == "a candidate has 0% of its role's pods: it must be 1 to 100."
    with pytest.raises(ArgsError, match="image is 'next': a tag can be moved"):
        Candidate(image="next")
