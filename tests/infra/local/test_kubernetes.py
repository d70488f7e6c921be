import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.kubernetes import KubernetesPackage, coverage
from infra.local.kubernetes_objects import AUTONAMED, Kind
from infra.local.kubernetes_schema import CustomKind
from infra.local.resource import UNKNOWN, Failure, ProviderError, Ref, Session
from infra.local.store import Store

NAMESPACE = "kubernetes:core/v1:Namespace"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SECRET = "kubernetes:core/v1:Secret"
STORAGE_CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
CANARY = "canary-58aa01"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "recorded.sqlite")
    yield store
    store.close()


@pytest.fixture
def package(store: Store) -> KubernetesPackage:
    return KubernetesPackage(store)


@pytest.fixture
def session(package: KubernetesPackage) -> Session:
    return package.configure({})


def ref(type_: str, name: str = "api", seed: bytes = b"seed") -> Ref:
    return Ref(f"urn:pulumi:prod::docsearch::{type_}::{name}", type_, name, seed)


def check(session: Session, type_: str, inputs: dict[str, Any]) -> dict[str, Any]:
    checked, failures = session.check(ref(type_), {}, inputs)
    assert failures == []
    return checked


def create(session: Session, type_: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    checked = check(session, type_, inputs)
    id_, outputs = session.create(ref(type_), checked, False)
    return id_, checked, outputs


def deployment(namespace: str = "default", **spec: Any) -> dict[str, Any]:
    labels = {"app": "api"}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "api", "image": "api:1"}]}}
    return {
        "metadata": {"name": "api", "namespace": namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pods, **spec},
    }


# Check


def test_api_version_kind_name_and_namespace_are_filled_in(session: Session) -> None:
    checked = check(session, CONFIG_MAP, {"data": {"k": "v"}})
    assert checked["apiVersion"] == "v1"
    assert checked["kind"] == "ConfigMap"
    assert re.fullmatch(r"api-[0-9a-f]{8}", checked["metadata"]["name"])
    assert checked["metadata"]["annotations"] == {AUTONAMED: "true"}
    assert checked["metadata"]["namespace"] == "default"


def test_the_namespace_of_the_provider_holds_for_objects_without_their_own(package: KubernetesPackage) -> None:
    session = package.configure({"namespace": "search"})
    assert check(session, CONFIG_MAP, {})["metadata"]["namespace"] == "search"
    assert check(session, CONFIG_MAP, {"metadata": {"namespace": "own"}})["metadata"]["namespace"] == "own"
    assert "namespace" not in check(session, NAMESPACE, {})["metadata"]


@pytest.mark.parametrize(
    ("type_", "inputs", "failure"),
    [
        (
            CONFIG_MAP,
            {"kind": "Secret"},
            Failure("kind", f"is Secret, but the type {CONFIG_MAP} says ConfigMap"),
        ),
        (CONFIG_MAP, {"apiVersion": "v2"}, Failure("apiVersion", f"is v2, but the type {CONFIG_MAP} says v1")),
        (CONFIG_MAP, {"dta": {}}, Failure("dta", "unknown field; did you mean data?")),
        (
            NAMESPACE,
            {"metadata": {"namespace": "x"}},
            Failure("metadata.namespace", "Forbidden: a Namespace belongs to no namespace"),
        ),
        (
            CONFIG_MAP,
            {"metadata": {"generateName": "x-"}},
            Failure(
                "metadata.generateName",
                "is not supported by server-side apply: leave it out for a made-up name",
            ),
        ),
    ],
)
def test_what_a_server_would_refuse_is_refused(
    session: Session, type_: str, inputs: dict[str, Any], failure: Failure
) -> None:
    assert session.check(ref(type_), {}, inputs)[1] == [failure]


def test_nulls_and_unknowns_pass(session: Session) -> None:
    inputs = deployment(replicas=UNKNOWN, paused=None)
    assert check(session, DEPLOYMENT, inputs)["spec"]["replicas"] is UNKNOWN
    assert check(session, DEPLOYMENT, {**inputs, "metadata": UNKNOWN})["metadata"] is UNKNOWN


def test_a_made_up_name_survives_the_next_check(session: Session) -> None:
    old = check(session, CONFIG_MAP, {"data": {"k": "1"}})
    new, _ = session.check(ref(CONFIG_MAP, seed=b"other"), old, {"data": {"k": "2"}})
    assert new["metadata"] == old["metadata"]


@pytest.mark.parametrize(
    ("type_", "says"),
    [
        (
            "kubernetes:apps/v1beta1:Deployment",
            r'no matches for kind "Deployment" in version "apps/v1beta1".*Deployment in apps/v1;',
        ),
        (
            "kubernetes:karpenter.sh/v1:NodePool",
            r'"NodePool".*no such kind; .*CustomResourceDefinition needs its schema',
        ),
        ("kubernetes:core/v1:NamespacePatch", r'no matches for kind "NamespacePatch"'),
        ("kubernetes:helm.sh/v3:Release", r'no matches for kind "Release" in version "helm.sh/v3"'),
        ("kubernetes:yaml:ConfigFile", "is no kind of Kubernetes object"),
    ],
)
def test_a_kind_that_the_version_does_not_have_is_an_error(session: Session, type_: str, says: str) -> None:
    with pytest.raises(ProviderError, match=says):
        session.check(ref(type_), {}, {})


def test_a_registered_custom_kind_is_kept_like_any_other(store: Store) -> None:
    kind = Kind("karpenter.sh", "v1", "NodePool")
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"weight": {"type": "integer"}}}},
    }
    session = KubernetesPackage(store, custom={kind: CustomKind(schema, namespaced=False)}).configure({})
    assert create(session, kind.token, {"metadata": {"name": "default"}, "spec": {"weight": 1}})[0] == "default"
    assert session.check(ref(kind.token), {}, {"spec": {"wait": 1}})[1] == [
        Failure("spec.wait", "unknown field; did you mean weight?")
    ]


# Create


def test_a_new_object_gets_what_a_server_gives_it(session: Session) -> None:
    id_, _, outputs = create(session, DEPLOYMENT, deployment())
    metadata = outputs["metadata"]
    assert id_ == "default/api"
    assert (outputs["apiVersion"], outputs["kind"]) == ("apps/v1", "Deployment")
    assert outputs["spec"] == deployment()["spec"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert metadata["generation"] == 1
    assert int(metadata["resourceVersion"]) > 0
    assert "status" not in outputs


def test_a_status_of_the_program_is_not_taken_for_one(session: Session) -> None:
    assert "status" not in create(session, DEPLOYMENT, {**deployment(), "status": {"readyReplicas": 2}})[2]


def test_a_namespace_is_labelled_with_its_name(session: Session) -> None:
    _, inputs, outputs = create(session, NAMESPACE, {"metadata": {"name": "search", "labels": {"team": "search"}}})
    assert outputs["metadata"]["labels"] == {"team": "search", "kubernetes.io/metadata.name": "search"}
    state = session.read(ref(NAMESPACE), "search", inputs, outputs)
    assert state is not None
    assert state.inputs == inputs


def test_an_object_that_is_there_already_is_refused(session: Session) -> None:
    create(session, DEPLOYMENT, deployment())
    with pytest.raises(ProviderError, match=r'^deployments\.apps "api" already exists$'):
        create(session, DEPLOYMENT, deployment())
    with pytest.raises(ProviderError, match=r'^namespaces "kube-system" already exists$'):
        create(session, NAMESPACE, {"metadata": {"name": "kube-system"}})


def test_an_object_needs_its_namespace(session: Session) -> None:
    with pytest.raises(ProviderError, match=r'^namespaces "search" not found$'):
        create(session, DEPLOYMENT, deployment("search"))
    create(session, NAMESPACE, {"metadata": {"name": "search"}})
    assert create(session, DEPLOYMENT, deployment("search"))[0] == "search/api"


def test_a_preview_creates_nothing_and_knows_what_the_program_gave(session: Session) -> None:
    inputs = check(session, DEPLOYMENT, deployment("not-there-yet", replicas=UNKNOWN))
    id_, outputs = session.create(ref(DEPLOYMENT), inputs, True)
    assert id_ == ""
    assert outputs["metadata"]["name"] == "api"
    assert outputs["spec"]["replicas"] is UNKNOWN
    assert outputs["metadata"]["uid"] is UNKNOWN
    assert outputs["status"] is UNKNOWN
    assert session.read(ref(DEPLOYMENT), "not-there-yet/api", {}, {}) is None


# Read


def test_what_is_gone_reads_as_nothing(session: Session) -> None:
    assert session.read(ref(DEPLOYMENT), "default/api", {}, {}) is None


def test_reading_tells_what_changed_behind_the_back(session: Session, store: Store) -> None:
    id_, inputs, outputs = create(session, DEPLOYMENT, deployment())
    (kept,) = store.all()
    store.put(kept.scope, kept.type, kept.id, {**kept.record, "spec": {**kept.record["spec"], "replicas": 9}})
    state = session.read(ref(DEPLOYMENT), id_, inputs, outputs)
    assert state is not None
    assert state.inputs == {**inputs, "spec": {**inputs["spec"], "replicas": 9}}
    (change,) = session.diff(ref(DEPLOYMENT), id_, state.inputs, state.outputs, inputs).changes
    assert change.path == "spec.replicas"


def test_an_imported_object_has_the_inputs_that_would_make_it(session: Session) -> None:
    id_, inputs, _ = create(session, DEPLOYMENT, deployment())
    state = session.read(ref(DEPLOYMENT), id_, {}, {})
    assert state is not None
    assert state.inputs == inputs


# Diff and update


def test_the_same_inputs_differ_in_nothing(session: Session) -> None:
    id_, inputs, outputs = create(session, DEPLOYMENT, deployment())
    assert session.diff(ref(DEPLOYMENT), id_, inputs, outputs, inputs).changes == ()


def test_data_of_config_maps_and_secrets_is_replaced_unless_the_provider_says_otherwise(
    package: KubernetesPackage,
) -> None:
    for type_, option in ((CONFIG_MAP, "enableConfigMapMutable"), (SECRET, "enableSecretMutable")):
        strict, mutable = package.configure({}), package.configure({option: "true"})
        old, new = {"data": {"k": "b2xk"}}, {"data": {"k": "bmV3"}}
        assert strict.diff(ref(type_), "default/x", old, {}, new).replaces
        assert not mutable.diff(ref(type_), "default/x", old, {}, new).replaces


def update(session: Session, type_: str, created: tuple[str, Any, Any], **changes: Any) -> dict[str, Any]:
    id_, inputs, outputs = created
    return session.update(ref(type_), id_, inputs, outputs, {**inputs, **changes}, False)


def test_a_change_of_the_spec_counts_as_a_generation(session: Session) -> None:
    created = create(session, DEPLOYMENT, deployment())
    before, after = created[2]["metadata"], update(session, DEPLOYMENT, created, **deployment(replicas=5))["metadata"]
    assert after["generation"] == before["generation"] + 1
    assert int(after["resourceVersion"]) > int(before["resourceVersion"])
    assert (after["uid"], after["creationTimestamp"]) == (before["uid"], before["creationTimestamp"])


def test_a_change_of_a_label_is_no_new_generation(session: Session) -> None:
    created = create(session, DEPLOYMENT, deployment())
    metadata = {**created[1]["metadata"], "labels": {"a": "b"}}
    after = update(session, DEPLOYMENT, created, metadata=metadata)["metadata"]
    assert after["labels"] == {"a": "b"}
    assert after["generation"] == 1
    assert after["resourceVersion"] != created[2]["metadata"]["resourceVersion"]


def test_an_update_that_changes_nothing_leaves_the_object_as_it_is(session: Session) -> None:
    created = create(session, DEPLOYMENT, deployment())
    assert update(session, DEPLOYMENT, created) == created[2]


def test_a_field_that_is_no_longer_given_goes(session: Session) -> None:
    id_, inputs, outputs = create(session, CONFIG_MAP, {"metadata": {"name": "x"}, "data": {"a": "1", "b": "2"}})
    updated = session.update(ref(CONFIG_MAP), id_, inputs, outputs, {**inputs, "data": {"a": "1"}}, False)
    assert updated["data"] == {"a": "1"}
    state = session.read(ref(CONFIG_MAP), id_, {}, {})
    assert state is not None
    assert state.outputs == updated


@pytest.mark.parametrize("preview", [True, False])
def test_a_field_that_a_server_would_not_change_is_refused_as_it_would(session: Session, preview: bool) -> None:
    class_ = {"metadata": {"name": "gp3"}, "provisioner": "ebs.csi.aws.com", "reclaimPolicy": "Delete"}
    id_, inputs, outputs = create(session, STORAGE_CLASS, class_)
    with pytest.raises(
        ProviderError,
        match=r'^StorageClass\.storage\.k8s\.io "gp3" is invalid: reclaimPolicy: Invalid value: field is immutable$',
    ):
        session.update(ref(STORAGE_CLASS), id_, inputs, outputs, {**inputs, "reclaimPolicy": "Retain"}, preview)


def test_an_update_of_what_is_gone_is_refused(session: Session) -> None:
    created = create(session, DEPLOYMENT, deployment())
    session.delete(ref(DEPLOYMENT), *created)
    with pytest.raises(ProviderError, match=r'^deployments\.apps "api" not found$'):
        update(session, DEPLOYMENT, created, **deployment(replicas=5))


def test_a_previewed_update_changes_nothing(session: Session) -> None:
    id_, inputs, outputs = create(session, DEPLOYMENT, deployment())
    new = {**inputs, **deployment(replicas=UNKNOWN)}
    previewed = session.update(ref(DEPLOYMENT), id_, inputs, outputs, new, True)
    assert previewed["spec"]["replicas"] is UNKNOWN
    assert previewed["metadata"]["uid"] == outputs["metadata"]["uid"]
    state = session.read(ref(DEPLOYMENT), id_, inputs, outputs)
    assert state is not None
    assert state.outputs == outputs


# Delete


def test_deleting_twice_is_no_error(session: Session) -> None:
    created = create(session, DEPLOYMENT, deployment())
    session.delete(ref(DEPLOYMENT), *created)
    session.delete(ref(DEPLOYMENT), *created)
    assert session.read(ref(DEPLOYMENT), created[0], {}, {}) is None


def test_a_namespace_goes_with_everything_in_it_and_nothing_else(session: Session, store: Store) -> None:
    namespaces = {name: create(session, NAMESPACE, {"metadata": {"name": name}}) for name in ("search", "search-2")}
    for namespace in (*namespaces, "default"):
        create(session, DEPLOYMENT, deployment(namespace))
    create(session, STORAGE_CLASS, {"metadata": {"name": "search"}, "provisioner": "x"})
    session.delete(ref(NAMESPACE), *namespaces["search"])
    assert [(kept.type, kept.id) for kept in store.all()] == [
        ("Deployment.apps", "default/api"),
        ("Deployment.apps", "search-2/api"),
        ("Namespace", "search-2"),
        ("StorageClass.storage.k8s.io", "search"),
    ]


def test_a_namespace_of_the_cluster_itself_cannot_be_deleted(session: Session) -> None:
    with pytest.raises(ProviderError, match='namespaces "default" is forbidden: this namespace may not be deleted'):
        session.delete(ref(NAMESPACE), "default", {}, {})


# Secrets


def test_text_of_a_secret_becomes_data_and_reads_back_as_text(session: Session) -> None:
    id_, inputs, outputs = create(session, SECRET, {"metadata": {"name": "db"}, "stringData": {"password": CANARY}})
    assert "stringData" not in outputs
    assert outputs["data"]["password"] != CANARY
    state = session.read(ref(SECRET), id_, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs


def test_a_secret_is_not_on_disk_in_the_clear(session: Session, tmp_path: Path) -> None:
    _, _, outputs = create(session, SECRET, {"metadata": {"name": "db"}, "stringData": {"password": CANARY}})
    hidden = [CANARY.encode(), outputs["data"]["password"].encode()]
    on_disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not [text for text in hidden if text in on_disk]


# Which cluster


def kubeconfig(server: str, **context: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "clusters": [
            {"name": "one", "cluster": {"server": server}},
            {"name": "two", "cluster": {"server": "https://two.docsearch.invalid"}},
        ],
        "contexts": [{"name": "main", "context": {"cluster": "one", "user": "me", **context}}],
        "users": [{"name": "me", "user": {"token": CANARY}}],
    }


def made_in(store: Store, package: KubernetesPackage, config: dict[str, Any]) -> list[tuple[str, str]]:
    create(package.configure(config), CONFIG_MAP, {"metadata": {"name": "x"}})
    return [(kept.scope, kept.id) for kept in store.all()]


@pytest.mark.parametrize(
    ("config", "scope"),
    [
        ({}, "kubernetes/local"),
        ({"kubeconfig": ""}, "kubernetes/local"),
        ({"kubeconfig": UNKNOWN}, "kubernetes/local"),
        ({"context": "prod"}, "kubernetes/prod"),
        ({"context": "prod", "clusterIdentifier": "us-east-1"}, "kubernetes/us-east-1"),
        ({"kubeconfig": json.dumps(kubeconfig("https://east.docsearch.invalid"))}, "kubernetes/east.docsearch.invalid"),
        (
            {"kubeconfig": json.dumps(kubeconfig("https://real.example.com")), "cluster": "two"},
            "kubernetes/two.docsearch.invalid",
        ),
    ],
)
def test_clusters_in_the_store_are_told_apart(
    store: Store, package: KubernetesPackage, config: dict[str, Any], scope: str
) -> None:
    assert made_in(store, package, config) == [(scope, "default/x")]


def test_the_namespace_of_the_context_holds(store: Store, package: KubernetesPackage) -> None:
    config = {"kubeconfig": json.dumps(kubeconfig("https://east.docsearch.invalid", namespace="kube-public"))}
    assert made_in(store, package, config) == [("kubernetes/east.docsearch.invalid", "kube-public/x")]


def test_a_kubeconfig_may_be_the_path_of_one(store: Store, package: KubernetesPackage, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig("https://east.docsearch.invalid")))
    assert made_in(store, package, {"kubeconfig": str(path)}) == [("kubernetes/east.docsearch.invalid", "default/x")]


@pytest.mark.parametrize(
    "server",
    [
        "https://ABC.gr7.us-east-1.eks.amazonaws.com",
        "https://10.0.0.1:6443",
        "https://localhost.example.com",
        "https://[::2]",
    ],
)
def test_a_cluster_elsewhere_is_never_touched(package: KubernetesPackage, server: str) -> None:
    with pytest.raises(ProviderError, match=re.escape(server)) as caught:
        package.configure({"kubeconfig": json.dumps(kubeconfig(server))})
    assert "only works with servers on this machine" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (f"token: {CANARY}: {{", "neither a YAML or JSON object nor the path"),
        (f"{CANARY}\nno such file", "neither a YAML or JSON object nor the path"),
        ("[]", "neither a YAML or JSON object nor the path"),
        (json.dumps({"users": CANARY}), "has no context ''"),
        (json.dumps({**kubeconfig("https://x.invalid"), "current-context": "other"}), "has no context 'other'"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_refused_without_quoting_it(
    package: KubernetesPackage, given: str, says: str
) -> None:
    with pytest.raises(ProviderError, match=says) as caught:
        package.configure({"kubeconfig": given})
    assert CANARY not in str(caught.value)


def test_rendering_yaml_is_refused(package: KubernetesPackage) -> None:
    with pytest.raises(ProviderError, match="renders no YAML"):
        package.configure({"renderYamlToDirectory": "out"})


def test_coverage_lists_every_kind_as_recorded() -> None:
    items = {item.token: item for item in coverage()}
    assert {NAMESPACE, DEPLOYMENT, SECRET, "kubernetes:networking.k8s.io/v1:NetworkPolicy"} <= items.keys()
    assert {item.mode for item in items.values()} == {"recorded"}
    assert "Kubernetes 1.35" in items[DEPLOYMENT].note
