import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.kubernetes_objects import (
    AUTONAMED,
    Kind,
    Mutable,
    compare,
    drifted,
    fixed_fields,
    identity,
    named,
    parse_identity,
    wire,
    with_data,
)
from infra.local.resource import UNKNOWN, ProviderError, Ref

DEPLOYMENT = Kind("apps", "v1", "Deployment")
SECRET = Kind("", "v1", "Secret")
CONFIG_MAP = Kind("", "v1", "ConfigMap")


def ref(name: str = "api", seed: bytes = b"seed") -> Ref:
    return Ref(f"urn:pulumi:prod::docsearch::kubernetes:apps/v1:Deployment::{name}", DEPLOYMENT.token, name, seed)


@pytest.mark.parametrize(
    ("token", "kind", "api_version"),
    [
        ("kubernetes:core/v1:Namespace", Kind("", "v1", "Namespace"), "v1"),
        ("kubernetes:apps/v1:Deployment", DEPLOYMENT, "apps/v1"),
        (
            "kubernetes:networking.k8s.io/v1:NetworkPolicy",
            Kind("networking.k8s.io", "v1", "NetworkPolicy"),
            "networking.k8s.io/v1",
        ),
        ("kubernetes:karpenter.sh/v1:NodePool", Kind("karpenter.sh", "v1", "NodePool"), "karpenter.sh/v1"),
    ],
)
def test_a_token_is_a_kind_and_back(token: str, kind: Kind, api_version: str) -> None:
    assert Kind.of(token) == kind
    assert kind.token == token
    assert kind.api_version == api_version


@pytest.mark.parametrize(
    "token", ["kubernetes:yaml:ConfigFile", "aws:ec2/vpc:Vpc", "kubernetes:apps/v1:", "kubernetes"]
)
def test_a_token_of_something_else_is_refused(token: str) -> None:
    with pytest.raises(ProviderError, match=re.escape(token)):
        Kind.of(token)


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        (DEPLOYMENT, "deployments.apps"),
        (Kind("networking.k8s.io", "v1", "NetworkPolicy"), "networkpolicies.networking.k8s.io"),
        (Kind("networking.k8s.io", "v1", "Ingress"), "ingresses.networking.k8s.io"),
        (Kind("", "v1", "Endpoints"), "endpoints"),
        (Kind("", "v1", "Namespace"), "namespaces"),
        (Kind("gateway.networking.k8s.io", "v1", "Gateway"), "gateways.gateway.networking.k8s.io"),
    ],
)
def test_kinds_are_called_as_servers_call_them(kind: Kind, resource: str) -> None:
    assert kind.resource == resource


names = st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True)


@given(st.none() | names, names)
def test_an_id_holds_namespace_and_name(namespace: str | None, name: str) -> None:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    assert parse_identity(identity({"metadata": metadata})) == (namespace or "", name)


# Names


def test_a_name_is_made_up_from_the_logical_name() -> None:
    metadata = named(ref(), {}, {"metadata": {"labels": {"a": "b"}}})["metadata"]
    assert re.fullmatch(r"api-[0-9a-f]{8}", metadata["name"])
    assert metadata["annotations"] == {AUTONAMED: "true"}
    assert metadata["labels"] == {"a": "b"}


def test_the_seed_decides_the_name() -> None:
    first, again, other = (named(ref(seed=seed), {}, {})["metadata"]["name"] for seed in (b"1", b"1", b"2"))
    assert first == again != other


def test_a_made_up_name_stays() -> None:
    old = named(ref(seed=b"1"), {}, {})
    assert named(ref(seed=b"2"), old, {}) == old


def test_a_name_that_was_given_before_is_not_adopted() -> None:
    assert named(ref(), {"metadata": {"name": "given"}}, {})["metadata"]["name"].startswith("api-")


@pytest.mark.parametrize("metadata", [{"name": "given"}, {"name": UNKNOWN}, {"generateName": "x-"}])
def test_a_given_name_is_left_alone(metadata: dict[str, Any]) -> None:
    assert named(ref(), {}, {"metadata": metadata}) == {"metadata": metadata}
    assert named(ref(), {}, {"metadata": UNKNOWN}) == {"metadata": UNKNOWN}


# Differences


def deployment(**changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "search"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "api"}}},
        **changes,
    }


def spec(**changes: Any) -> dict[str, Any]:
    return {"spec": {**deployment()["spec"], **changes}}


@pytest.mark.parametrize(
    ("changes", "path", "replaces"),
    [
        (spec(replicas=4), "spec.replicas", False),
        (spec(replicas=UNKNOWN), "spec.replicas", False),
        (spec(selector={"matchLabels": {"app": "web"}}), "spec.selector.matchLabels.app", True),
        (spec(selector={"matchLabels": {"app": UNKNOWN}}), "spec.selector.matchLabels.app", True),
        ({"metadata": {"name": "web", "namespace": "search"}}, "metadata.name", True),
        ({"metadata": {"name": UNKNOWN, "namespace": "search"}}, "metadata.name", True),
        ({"metadata": {"name": "api", "namespace": "other"}}, "metadata.namespace", True),
        ({"apiVersion": "apps/v1beta1"}, "apiVersion", False),
        ({"apiVersion": "extensions/v1beta1"}, "apiVersion", True),
        ({"kind": "StatefulSet"}, "kind", True),
    ],
)
def test_what_replaces_a_deployment(changes: dict[str, Any], path: str, replaces: bool) -> None:
    (change,) = compare(DEPLOYMENT, deployment(), deployment(**changes), Mutable()).changes
    assert (change.path, change.replaces) == (path, replaces)


def test_nulls_and_absent_fields_are_the_same() -> None:
    assert compare(DEPLOYMENT, deployment(), deployment(status=None, **spec(paused=None)), Mutable()).changes == ()


REPLACING = [
    ("apps/v1:StatefulSet", ["spec", "serviceName"], "a", "b"),
    ("apps/v1:StatefulSet", ["spec", "volumeClaimTemplates"], [{"a": 1}], [{"a": 2}]),
    ("apps/v1:DaemonSet", ["spec", "selector"], {"matchLabels": {"a": "b"}}, {"matchLabels": {}}),
    ("batch/v1:Job", ["spec", "template"], {"spec": {"nodeName": "a"}}, {"spec": {"nodeName": "b"}}),
    ("core/v1:Service", ["spec", "clusterIP"], "10.0.0.1", "None"),
    ("core/v1:PersistentVolumeClaim", ["spec", "accessModes"], ["ReadWriteOnce"], ["ReadWriteMany"]),
    ("core/v1:PersistentVolumeClaim", ["spec", "storageClassName"], "gp2", "gp3"),
    ("storage.k8s.io/v1:StorageClass", ["provisioner"], "a", "b"),
    ("storage.k8s.io/v1:StorageClass", ["parameters"], {"type": "gp2"}, {"type": "gp3"}),
    ("rbac.authorization.k8s.io/v1:RoleBinding", ["roleRef"], {"name": "a"}, {"name": "b"}),
    ("rbac.authorization.k8s.io/v1:ClusterRoleBinding", ["roleRef"], {"name": "a"}, {"name": "b"}),
    ("core/v1:Pod", ["spec", "containers"], [{"image": "a"}], [{"image": "b"}]),
    ("core/v1:Secret", ["type"], "Opaque", "kubernetes.io/tls"),
]


def within(path: list[str], value: Any) -> Any:
    return {path[0]: within(path[1:], value)} if path else value


@pytest.mark.parametrize(("token", "path", "old", "new"), REPLACING)
def test_what_the_real_provider_replaces_for(token: str, path: list[str], old: Any, new: Any) -> None:
    diff = compare(Kind.of(f"kubernetes:{token}"), within(path, old), within(path, new), Mutable())
    assert diff.replaces


@pytest.mark.parametrize(
    ("token", "path", "old", "new"),
    [
        ("core/v1:PersistentVolumeClaim", ["spec", "resources"], {"requests": {"storage": "1Gi"}}, {}),
        ("apps/v1:StatefulSet", ["spec", "replicas"], 1, 2),
        ("core/v1:Service", ["spec", "ports"], [{"port": 80}], [{"port": 81}]),
        ("rbac.authorization.k8s.io/v1:RoleBinding", ["subjects"], [], [{"name": "a"}]),
        ("batch/v1:Job", ["spec", "suspend"], False, True),
    ],
)
def test_what_is_changed_in_place(token: str, path: list[str], old: Any, new: Any) -> None:
    diff = compare(Kind.of(f"kubernetes:{token}"), within(path, old), within(path, new), Mutable())
    assert diff.changes
    assert not diff.replaces


@pytest.mark.parametrize(("kind", "field"), [(SECRET, "secrets"), (CONFIG_MAP, "config_maps")])
def test_data_is_replaced_unless_the_provider_may_change_it(kind: Kind, field: str) -> None:
    old, new = {"data": {"k": "b2xk"}}, {"data": {"k": "bmV3"}}
    mutable = Mutable(**{field: True})
    assert compare(kind, old, new, Mutable()).replaces
    assert not compare(kind, old, new, mutable).replaces
    assert compare(kind, old, {**new, "immutable": True}, mutable).replaces


def test_a_fixed_name_is_deleted_before_it_is_made_again() -> None:
    new = deployment(**spec(selector={"matchLabels": {"app": "web"}}))
    assert compare(DEPLOYMENT, deployment(), new, Mutable()).delete_before_replace


def test_a_made_up_name_or_another_place_needs_no_deletion_first() -> None:
    selector = spec(selector={"matchLabels": {"app": "web"}})
    auto = {"metadata": {"name": "api", "namespace": "search", "annotations": {AUTONAMED: "true"}}}
    moved = {"metadata": {"name": "api", "namespace": "other"}}
    old = deployment(**auto)
    assert not compare(DEPLOYMENT, old, deployment(**selector, **auto), Mutable()).delete_before_replace
    assert not compare(DEPLOYMENT, deployment(), deployment(**selector, **moved), Mutable()).delete_before_replace
    assert not compare(DEPLOYMENT, deployment(), deployment(**spec(replicas=9)), Mutable()).delete_before_replace


def test_fields_that_a_server_would_not_change_are_named() -> None:
    kind = Kind("storage.k8s.io", "v1", "StorageClass")
    assert list(fixed_fields(kind, {"reclaimPolicy": "Delete"}, {"reclaimPolicy": "Retain"})) == ["reclaimPolicy"]
    assert list(fixed_fields(kind, {"allowVolumeExpansion": True}, {"allowVolumeExpansion": False})) == []


# Drift

values = st.recursive(
    st.booleans() | st.integers(0, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(objects, objects)
def test_inputs_stay_as_written_while_the_server_answers_the_same(inputs: dict[str, Any], live: dict[str, Any]) -> None:
    assert drifted(DEPLOYMENT, inputs, live, live) == inputs


@given(objects, objects)
def test_inputs_read_as_what_is_there_where_they_were_kept_as_written(
    inputs: dict[str, Any], live: dict[str, Any]
) -> None:
    seen = drifted(DEPLOYMENT, inputs, inputs, live)
    assert seen.keys() == inputs.keys() & live.keys()
    for key, value in seen.items():
        if not isinstance(inputs[key], dict | list):
            assert value == live[key]


def test_a_value_that_the_server_spells_its_own_way_is_no_drift() -> None:
    inputs = {"spec": {"limits": {"cpu": "1000m"}, "ports": [{"port": 80}]}}
    known = {"spec": {"limits": {"cpu": "1"}, "ports": [{"port": 80, "protocol": "TCP"}], "replicas": 1}}
    assert drifted(DEPLOYMENT, inputs, known, known) == inputs


def test_drift_is_seen_in_lists_maps_and_values() -> None:
    inputs = {"a": {"x": 1, "gone": 2}, "items": [{"image": "old"}], "more": [1]}
    known = {"a": {"x": 1, "gone": 2}, "items": [{"image": "old", "policy": "Always"}], "more": [1]}
    live = {"a": {"x": 5, "added": 1}, "items": [{"image": "new", "policy": "Always"}], "more": [1, 2]}
    assert drifted(DEPLOYMENT, inputs, known, live) == {"a": {"x": 5}, "items": [{"image": "new"}], "more": [1, 2]}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_text_of_a_secret_is_kept_as_data() -> None:
    kept = with_data({"data": {"a": encoded("1"), "b": encoded("2")}, "stringData": {"b": "3", "c": "4"}})
    assert kept == {"data": {"a": encoded("1"), "b": encoded("3"), "c": encoded("4")}}


def test_drift_of_a_secret_is_seen_in_its_text() -> None:
    inputs = {"stringData": {"same": "1", "changed": "2", "gone": "3"}}
    known = {"data": {key: encoded(value) for key, value in inputs["stringData"].items()}}
    live = {"data": {"same": encoded("1"), "changed": encoded("other")}}
    assert drifted(SECRET, inputs, known, known) == inputs
    assert drifted(SECRET, inputs, known, live) == {"stringData": {"same": "1", "changed": "other"}}


def test_schemas_of_custom_kinds_get_their_dashes_back() -> None:
    kind = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    written = {"spec": {"versions": [{"x_kubernetes_preserve_unknown_fields": True, "x": None}]}}
    assert wire(kind, written) == {"spec": {"versions": [{"x-kubernetes-preserve-unknown-fields": True}]}}
    assert wire(DEPLOYMENT, {"x_kubernetes_list_type": 1}) == {"x_kubernetes_list_type": 1}
