"""What all pods have in common: pinned images, the restricted standard, zones, closed namespaces."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.pods import (
    HTTPS,
    POD_IDENTITY_AGENT,
    check_image,
    closed_namespace,
    cluster_dns,
    container_security,
    credentials,
    https,
    internet,
    namespace_peer,
    pod_security,
    pod_security_labels,
    port,
    spread,
)

#: RFC 1918, and where a node's metadata service answers (RFC 3927).
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
BLOCKS = st.builds("{}.{}.0.0/16".format, st.integers(0, 255), st.integers(0, 255))
DIGESTS = st.from_regex("[0-9a-f]{64}", fullmatch=True)
KEBAB = st.from_regex(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)


def policies(*needs: Any) -> dict[str, Any]:
    return dict(closed_namespace(*needs))


@given(repository=st.from_regex(r"[a-z0-9][a-z0-9./:-]*", fullmatch=True), digest=DIGESTS)
def test_an_image_is_pinned_by_its_whole_digest(repository: str, digest: str) -> None:
    check_image(f"{repository}@sha256:{digest}")
    for loose in (f"{repository}:v1", f"{repository}@sha256:{digest[1:]}", f"{repository} @sha256:{digest}", digest):
        with pytest.raises(ArgsError, match="a tag can be moved"):
            check_image(loose)


@pytest.mark.parametrize(("given", "name"), [({}, "image"), ({"name": "the broker's image"}, "the broker's image")])
def test_an_error_names_the_image(given: dict[str, str], name: str) -> None:
    with pytest.raises(ArgsError) as error:
        check_image("app:latest", **given)
    assert str(error.value) == (
        f"{name} is 'app:latest': a tag can be moved: what was tested and what runs would differ. "
        "Pin it as <repository>@sha256:<64 hexadecimal digits>."
    )


def test_a_namespace_refuses_whatever_is_not_restricted() -> None:
    assert pod_security_labels()["pod-security.kubernetes.io/enforce"] == "restricted"
    assert set(pod_security_labels().values()) == {"restricted"}


@given(user=st.integers(1, 2**31 - 1))
def test_a_pod_is_never_root_and_has_the_runtime_s_filter(user: int) -> None:
    security = pod_security(user)
    assert security["run_as_non_root"] is True
    assert security["run_as_user"] == security["run_as_group"] == user
    assert security["seccomp_profile"] == {"type": "RuntimeDefault"}


def test_a_container_can_neither_rise_nor_write() -> None:
    assert container_security() == {
        "allow_privilege_escalation": False,
        "read_only_root_filesystem": True,
        "run_as_non_root": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_is_given_is_no_other_pod_s() -> None:
    container_security()["privileged"] = True
    pod_security(1)["run_as_non_root"] = False
    pod_security_labels().clear()
    assert "privileged" not in container_security()
    assert pod_security(1)["run_as_non_root"] is True
    assert pod_security_labels()


@given(labels=st.dictionaries(KEBAB, KEBAB, min_size=1))
def test_pods_are_even_over_zones_or_wait(labels: dict[str, str]) -> None:
    found = spread(labels)
    assert (found["topology_key"], found["max_skew"]) == ("topology.kubernetes.io/zone", 1)
    assert found["when_unsatisfiable"] == "DoNotSchedule"
    assert found["label_selector"] == {"match_labels": labels}
    assert found["match_label_keys"] == ["pod-template-hash"]


def test_pods_may_be_uneven_where_it_is_said() -> None:
    found = spread({"app": "search"}, over="kubernetes.io/hostname", otherwise="ScheduleAnyway")
    assert (found["topology_key"], found["when_unsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")


def test_a_closed_namespace_resolves_names_and_no_more() -> None:
    found = policies()
    assert found["deny-all"] == {"pod_selector": {}, "policy_types": ["Ingress", "Egress"]}
    assert found["allow-needs"]["policy_types"] == ["Egress"]
    (dns,) = found["allow-needs"]["egress"]
    assert dns == {"to": [cluster_dns()], "ports": [port(53, "UDP"), port(53)]}
    assert set(found) == {"deny-all", "allow-needs"}


@given(blocks=st.lists(BLOCKS, min_size=1))
def test_a_closed_namespace_opens_what_its_pods_need_and_lets_nobody_in(blocks: list[str]) -> None:
    found = policies(credentials(), https(*blocks))
    assert not [policy for policy in found.values() if "ingress" in policy]
    dns, agent, apis = found["allow-needs"]["egress"]
    assert [dns] == policies()["allow-needs"]["egress"]
    assert agent == {"to": [{"ip_block": {"cidr": POD_IDENTITY_AGENT}}], "ports": [{"protocol": "TCP", "port": 80}]}
    assert [peer["ip_block"]["cidr"] for peer in apis["to"]] == blocks
    assert apis["ports"] == [{"protocol": "TCP", "port": HTTPS}]


def test_names_are_resolved_by_the_cluster_s_own_pods() -> None:
    assert cluster_dns() == {
        **namespace_peer("kube-system"),
        "pod_selector": {"match_labels": {"k8s-app": "kube-dns"}},
    }
    assert namespace_peer("kube-system") == {
        "namespace_selector": {"match_labels": {"kubernetes.io/metadata.name": "kube-system"}}
    }


@given(address=st.ip_addresses(v=4).map(str).map(IPv4Address))
def test_every_address_that_the_world_routes_is_the_internet(address: IPv4Address) -> None:
    assert _internet(address) or not address.is_global


@given(
    address=st.sampled_from(PRIVATE).flatmap(lambda network: st.ip_addresses(network=network)).map(str).map(IPv4Address)
)
def test_no_private_network_and_no_node_s_metadata_is_the_internet(address: IPv4Address) -> None:
    assert not _internet(address)


def _internet(address: IPv4Address) -> bool:
    rule: Any = internet()
    (peer,) = rule["to"]
    block = peer["ip_block"]
    return address in IPv4Network(block["cidr"]) and not any(address in IPv4Network(out) for out in block["except_"])
