"""Objects on a real API server, which is built from source (about 8 minutes, once) and runs without controllers."""

import json
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes.dynamic import DynamicClient  # type: ignore[import-untyped]

from infra.cache import cache_folder, made_once
from infra.gobuild import ensure_go, go_build, needed_version
from infra.local.kubernetes import KubernetesPackage
from infra.local.kubernetes_objects import Kind
from infra.local.kubernetes_server import FIELD_MANAGER, Server
from infra.local.resource import UNKNOWN, ProviderError, Ref, Session
from infra.local.store import Store

pytestmark = pytest.mark.engine

SOURCE = Path(__file__).parents[2] / "kube"
READY_SECONDS = 120.0

NAMESPACE = "kubernetes:core/v1:Namespace"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SECRET = "kubernetes:core/v1:Secret"
JOB = "kubernetes:batch/v1:Job"
SERVICE = "kubernetes:core/v1:Service"


def build() -> Path:
    """The folder with `etcd` and `kube-apiserver`, at the versions that go.mod pins."""
    pinned = re.search(r"k8s\.io/kubernetes v(\S+)", (SOURCE / "go.mod").read_text())
    assert pinned is not None
    stamp = f"k8s.io/component-base/version.gitVersion=v{pinned[1]}"
    packages = {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"}
    target = cache_folder() / "kube" / pinned[1]

    def make(draft: Path) -> None:
        go = ensure_go(needed_version(SOURCE), print)
        for program, package in packages.items():
            go_build(
                go,
                package,
                draft / program,
                module=SOURCE,
                doing=f"building {program}",
                report=print,
                stamp=stamp if program == "kube-apiserver" else "",
            )

    made_once(
        target, make, whole=lambda folder: all((folder / program).is_file() for program in packages), report=print
    )
    return target


@dataclass(frozen=True)
class ApiServer:
    """A running API server.

    Attributes:
        kubeconfig: That lets an administrator in.
        client: The official client, for what happens behind our back.
    """

    kubeconfig: dict[str, Any]
    client: DynamicClient

    def resource(self, api_version: str, kind: str) -> Any:
        return self.client.resources.get(api_version=api_version, kind=kind)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def signing_key(path: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    programs, folder = build(), tmp_path_factory.mktemp("kube")
    etcd, peer, port = free_port(), free_port(), free_port()
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
    key = signing_key(folder / "service-accounts.pem")
    commands: list[list[str | Path]] = [
        [
            programs / "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        ],
        [
            programs / "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={folder / 'certificates'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            # There is no network to announce the server in.
            "--endpoint-reconciler-type=none",
        ],
    ]
    with ExitStack() as running:
        processes = []
        for number, command in enumerate(commands):
            log = running.enter_context((folder / f"{number}.log").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            running.callback(process.wait)
            running.callback(process.kill)
            processes.append(process)
        yield connect(port, token, folder, processes)


def connect(port: int, token: str, folder: Path, processes: list[subprocess.Popen[bytes]]) -> ApiServer:
    """Wait for the server and open it."""
    deadline = time.monotonic() + READY_SECONDS
    certificate = folder / "certificates/apiserver.crt"
    said = ""
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "local",
            "clusters": [
                {
                    "name": "local",
                    "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(certificate)},
                }
            ],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "admin"}}],
            "users": [{"name": "admin", "user": {"token": token}}],
        }
        try:
            server = ApiServer(kubeconfig, Server(kubeconfig, "local")._dynamic)
            server.client.request("get", "/readyz")
            server.resource("v1", "Namespace").get(name="default")
        except Exception as error:  # noqa: BLE001 (whatever it is, it ends or the deadline does)
            said = str(error)
            time.sleep(0.3)
        else:
            return server
    logs = "\n".join(log.read_text()[-1000:] for log in sorted(folder.glob("*.log")))
    raise AssertionError(f"the API server is not ready: {said}\n{logs}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "recorded.sqlite")
    yield store
    store.close()


@pytest.fixture
def session(api_server: ApiServer, store: Store) -> Session:
    return KubernetesPackage(store).configure({"kubeconfig": json.dumps(api_server.kubeconfig)})


@pytest.fixture
def namespace(session: Session, api_server: ApiServer) -> Iterator[str]:
    """A namespace of the test's own."""
    name, _, _ = create(session, NAMESPACE, {"metadata": {"name": f"test-{secrets.token_hex(4)}"}})
    yield name
    finalize(api_server, name)


def finalize(api_server: ApiServer, name: str) -> None:
    """Delete a namespace as its controller would, which does not run here."""
    namespaces = api_server.resource("v1", "Namespace")
    with suppress(Exception):
        namespaces.delete(name=name)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}}
    with suppress(Exception):
        api_server.client.request("put", f"/api/v1/namespaces/{name}/finalize", body=body)


def ref(type_: str) -> Ref:
    return Ref(f"urn:pulumi:prod::docsearch::{type_}::api", type_, "api", secrets.token_bytes(8))


def create(session: Session, type_: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    checked, failures = session.check(ref(type_), {}, inputs)
    assert failures == []
    id_, outputs = session.create(ref(type_), checked, False)
    return id_, checked, outputs


def deployment(namespace: str, name: str = "api", **spec: Any) -> dict[str, Any]:
    labels = {"app": "api"}
    container = {
        "name": "api",
        "image": "api:1",
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        "ports": [{"containerPort": 8080}],
    }
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pods, **spec},
    }


def test_an_object_is_applied_and_reads_back_without_drift(session: Session, namespace: str) -> None:
    id_, inputs, outputs = create(session, DEPLOYMENT, deployment(namespace))
    assert id_ == f"{namespace}/api"
    assert outputs["metadata"]["uid"]
    assert outputs["spec"]["revisionHistoryLimit"] == 10  # a default of the server
    assert outputs["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1"
    state = session.read(ref(DEPLOYMENT), id_, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs
    assert session.diff(ref(DEPLOYMENT), id_, state.inputs, state.outputs, inputs).changes == ()


def test_we_are_the_manager_of_what_we_apply(session: Session, namespace: str, api_server: ApiServer) -> None:
    create(session, CONFIG_MAP, {"metadata": {"name": "x", "namespace": namespace}, "data": {"k": "v"}})
    live = api_server.resource("v1", "ConfigMap").get(name="x", namespace=namespace).to_dict()
    (manager,) = live["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == (FIELD_MANAGER, "Apply")


def test_a_preview_asks_the_server_and_changes_nothing(session: Session, namespace: str) -> None:
    inputs, _ = session.check(ref(DEPLOYMENT), {}, deployment(namespace))
    id_, outputs = session.create(ref(DEPLOYMENT), inputs, True)
    assert id_ == ""
    assert outputs["spec"]["revisionHistoryLimit"] == 10
    assert outputs["metadata"]["uid"] is UNKNOWN
    assert session.read(ref(DEPLOYMENT), f"{namespace}/api", {}, {}) is None


def test_a_preview_in_a_namespace_that_is_still_to_come_gives_what_is_known(session: Session) -> None:
    inputs, _ = session.check(ref(DEPLOYMENT), {}, deployment("still-to-come"))
    _, outputs = session.create(ref(DEPLOYMENT), inputs, True)
    assert outputs["spec"] == inputs["spec"]


def test_an_update_changes_removes_and_keeps(session: Session, namespace: str) -> None:
    metadata = {"name": "x", "namespace": namespace}
    session_inputs = {"metadata": metadata, "data": {"a": "1", "b": "2"}}
    id_, inputs, outputs = create(session, CONFIG_MAP, session_inputs)
    new = {**inputs, "data": {"a": "3"}}
    previewed = session.update(ref(CONFIG_MAP), id_, inputs, outputs, new, True)
    assert previewed["data"] == {"a": "3"}
    assert previewed["metadata"]["uid"] == outputs["metadata"]["uid"]
    unchanged = session.read(ref(CONFIG_MAP), id_, inputs, outputs)
    assert unchanged is not None
    assert unchanged.outputs == outputs
    updated = session.update(ref(CONFIG_MAP), id_, inputs, outputs, new, False)
    assert updated["data"] == {"a": "3"}
    assert updated["metadata"]["resourceVersion"] != outputs["metadata"]["resourceVersion"]


def scaled_by_somebody(api_server: ApiServer, namespace: str) -> None:
    api_server.resource("apps/v1", "Deployment").patch(
        name="api",
        namespace=namespace,
        body={"spec": {"replicas": 7}},
        content_type="application/merge-patch+json",
        field_manager="somebody",
    )


def test_what_somebody_changed_is_seen(session: Session, namespace: str, api_server: ApiServer) -> None:
    id_, inputs, outputs = create(session, DEPLOYMENT, deployment(namespace))
    scaled_by_somebody(api_server, namespace)
    state = session.read(ref(DEPLOYMENT), id_, inputs, outputs)
    assert state is not None
    (change,) = session.diff(ref(DEPLOYMENT), id_, state.inputs, state.outputs, inputs).changes
    assert change.path == "spec.replicas"


@pytest.mark.parametrize("preview", [True, False])
def test_a_field_that_somebody_manages_is_taken_over_only_by_force(
    session: Session, namespace: str, api_server: ApiServer, store: Store, preview: bool
) -> None:
    id_, inputs, outputs = create(session, DEPLOYMENT, deployment(namespace))
    scaled_by_somebody(api_server, namespace)
    new = deployment(namespace, replicas=3)
    new = {**inputs, **new}
    with pytest.raises(ProviderError, match=r'conflict with "somebody".*\.spec\.replicas'):
        session.update(ref(DEPLOYMENT), id_, inputs, outputs, new, preview)
    config = {"kubeconfig": json.dumps(api_server.kubeconfig), "enablePatchForce": "true"}
    forced = KubernetesPackage(store).configure(config).update(ref(DEPLOYMENT), id_, inputs, outputs, new, preview)
    assert forced["spec"]["replicas"] == 3


@pytest.mark.parametrize("preview", [True, False])
def test_an_immutable_field_is_refused_in_the_words_of_the_server(
    session: Session, namespace: str, preview: bool
) -> None:
    id_, inputs, outputs = create(session, DEPLOYMENT, deployment(namespace))
    labels = {"app": "web"}
    template = {**inputs["spec"]["template"], "metadata": {"labels": labels}}
    new = {**inputs, "spec": {**inputs["spec"], "selector": {"matchLabels": labels}, "template": template}}
    assert session.diff(ref(DEPLOYMENT), id_, inputs, outputs, new).replaces
    with pytest.raises(ProviderError, match=r'Deployment\.apps "api" is invalid: spec\.selector.*field is immutable'):
        session.update(ref(DEPLOYMENT), id_, inputs, outputs, new, preview)


def test_an_object_that_is_there_already_is_refused(session: Session, namespace: str) -> None:
    create(session, DEPLOYMENT, deployment(namespace))
    with pytest.raises(ProviderError, match=r'deployments\.apps "api" already exists'):
        create(session, DEPLOYMENT, deployment(namespace))


def test_an_object_needs_its_namespace(session: Session) -> None:
    with pytest.raises(ProviderError, match=r'^namespaces "nowhere" not found$'):
        create(session, DEPLOYMENT, deployment("nowhere"))


def test_an_object_is_deleted_once(session: Session, namespace: str) -> None:
    created = create(session, DEPLOYMENT, deployment(namespace))
    session.delete(ref(DEPLOYMENT), *created)
    session.delete(ref(DEPLOYMENT), *created)
    assert session.read(ref(DEPLOYMENT), created[0], {}, {}) is None
    with pytest.raises(ProviderError, match=r'deployments\.apps "api" not found'):
        session.update(ref(DEPLOYMENT), created[0], created[1], created[2], created[1], False)


def test_an_object_that_does_not_go_names_what_holds_it(
    session: Session, namespace: str, api_server: ApiServer
) -> None:
    held = {"name": "held", "namespace": namespace, "finalizers": ["docsearch.example/hold"]}
    id_, inputs, _ = create(session, CONFIG_MAP, {"metadata": held})
    server, kind = Server(api_server.kubeconfig, "local"), Kind.of(CONFIG_MAP)
    with pytest.raises(ProviderError, match=r"still there 1 s after.*held by docsearch\.example/hold"):
        server.delete(kind, id_, seconds=1)
    server.apply(kind, {**inputs, "metadata": {**inputs["metadata"], "finalizers": None}})
    assert server.get(kind, id_) is None


def test_text_of_a_secret_reads_back_as_it_was_written(session: Session, namespace: str) -> None:
    written = {"metadata": {"name": "db", "namespace": namespace}, "stringData": {"password": "hunter2"}}
    id_, inputs, outputs = create(session, SECRET, written)
    assert outputs["data"] == {"password": "aHVudGVyMg=="}
    state = session.read(ref(SECRET), id_, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs


def test_an_imported_object_needs_no_change(session: Session, namespace: str, api_server: ApiServer) -> None:
    created = api_server.resource("v1", "ConfigMap").create(
        body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"k": "v"}},
        namespace=namespace,
    )
    assert created.metadata.uid
    state = session.read(ref(CONFIG_MAP), f"{namespace}/x", {}, {})
    assert state is not None
    inputs, failures = session.check(
        ref(CONFIG_MAP), {}, {"metadata": {"name": "x", "namespace": namespace}, "data": {"k": "v"}}
    )
    assert failures == []
    assert session.diff(ref(CONFIG_MAP), state.id, state.inputs, state.outputs, inputs).changes == ()


def test_a_custom_kind_works_once_its_definition_is_there(session: Session, namespace: str) -> None:
    group = f"g{secrets.token_hex(4)}.example.com"
    type_ = f"kubernetes:{group}/v1:Shard"
    shard = {"metadata": {"name": "one", "namespace": namespace}, "spec": {"size": 1, "free": {"x": 1}}}
    inputs, failures = session.check(ref(type_), {}, shard)
    assert failures == []
    assert session.create(ref(type_), inputs, True)[1]["spec"] == inputs["spec"]
    with pytest.raises(ProviderError, match="install its CustomResourceDefinition first"):
        session.create(ref(type_), inputs, False)
    free = {"type": "object", "x_kubernetes_preserve_unknown_fields": True}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}, "free": free}}},
    }
    definition = {
        "metadata": {"name": f"shards.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Shard", "plural": "shards"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    made = create(session, "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", definition)
    seen = session.read(ref("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"), *made)
    assert seen is not None
    assert seen.inputs == made[1]
    deadline = time.monotonic() + 30
    while True:  # The server takes a moment to serve a new kind.
        try:
            id_, outputs = session.create(ref(type_), inputs, False)
            break
        except ProviderError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    assert (id_, outputs["spec"]) == (f"{namespace}/one", shard["spec"])
    with pytest.raises(ProviderError, match=r"\.spec\.size: expected numeric"):
        session.update(ref(type_), id_, inputs, outputs, {**inputs, "spec": {"size": "big"}}, True)


def test_a_server_that_does_not_answer_is_an_error_that_names_it(store: Store, api_server: ApiServer) -> None:
    port = free_port()
    kubeconfig = json.dumps(api_server.kubeconfig)
    (server,) = re.findall(r"https://127.0.0.1:\d+", kubeconfig)
    with pytest.raises(ProviderError, match=f"https://127.0.0.1:{port} cannot be reached"):
        KubernetesPackage(store).configure({"kubeconfig": kubeconfig.replace(server, f"https://127.0.0.1:{port}")})


def test_a_server_that_does_not_let_us_in_says_so(store: Store, api_server: ApiServer) -> None:
    kubeconfig = {**api_server.kubeconfig, "users": [{"name": "admin", "user": {"token": "wrong"}}]}
    with pytest.raises(ProviderError, match="Unauthorized"):
        KubernetesPackage(store).configure({"kubeconfig": json.dumps(kubeconfig)})


# The store against the server

CONTAINER = {"name": "api", "image": "api:1"}


def pods(container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [{**CONTAINER, **container}], **spec}}


def in_template(container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return deployment("default", template=pods(container, **spec))


OBJECTS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "good deployment": (DEPLOYMENT, deployment("default"), True),
    "unknown field": (DEPLOYMENT, deployment("default", replcas=1), False),
    "wrong type": (DEPLOYMENT, deployment("default", replicas="two"), False),
    "negative replicas": (DEPLOYMENT, deployment("default", replicas=-1), False),
    "name in capitals": (DEPLOYMENT, deployment("default", name="Api"), False),
    "unknown strategy": (DEPLOYMENT, deployment("default", strategy={"type": "BlueGreen"}), False),
    "selector of others": (DEPLOYMENT, deployment("default", selector={"matchLabels": {"app": "web"}}), False),
    "empty selector": (DEPLOYMENT, deployment("default", selector={}), False),
    "no containers": (DEPLOYMENT, deployment("default", template={"metadata": {"labels": {"app": "api"}}}), False),
    "no image": (DEPLOYMENT, in_template({"image": ""}), False),
    "unknown pull policy": (DEPLOYMENT, in_template({"imagePullPolicy": "Sometimes"}), False),
    "port out of range": (DEPLOYMENT, in_template({"ports": [{"containerPort": 70000}]}), False),
    "small protocol": (DEPLOYMENT, in_template({"ports": [{"containerPort": 80, "protocol": "tcp"}]}), False),
    "bad quantity": (DEPLOYMENT, in_template({"resources": {"limits": {"memory": "1 GB"}}}), False),
    "good quantity": (DEPLOYMENT, in_template({"resources": {"limits": {"memory": "1e3", "cpu": ".5"}}}), True),
    "more asked than allowed": (
        DEPLOYMENT,
        in_template({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "500m"}}}),
        False,
    ),
    "mount of nothing": (DEPLOYMENT, in_template({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}), False),
    "mount of a volume": (
        DEPLOYMENT,
        in_template({"volumeMounts": [{"name": "x", "mountPath": "/x"}]}, volumes=[{"name": "x", "emptyDir": {}}]),
        True,
    ),
    "pods that end": (DEPLOYMENT, in_template({}, restartPolicy="Never"), False),
    "job that restarts": (JOB, {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}}, False),
    "good job": (JOB, {"spec": {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}}}, True),
    "bad label": (CONFIG_MAP, {"metadata": {"labels": {"app": "not allowed"}}}, False),
    "bad label key": (CONFIG_MAP, {"metadata": {"labels": {"-app": "x"}}}, False),
    "any annotation": (CONFIG_MAP, {"metadata": {"annotations": {"Example.com/note": "any text"}}}, True),
    "bad base64": (SECRET, {"data": {"k": "plain text"}}, False),
    "service with a number first": (SERVICE, {"metadata": {"name": "1api"}, "spec": {"ports": [{"port": 80}]}}, False),
    "unknown service type": (SERVICE, {"spec": {"type": "Ingress", "ports": [{"port": 80}]}}, False),
    "good service": (SERVICE, {"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}, True),
    "namespace with a dot": (NAMESPACE, {"metadata": {"name": "a.b"}}, False),
    "role with a colon": (
        "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole",
        {"metadata": {"name": "system:My_Role"}, "rules": []},
        True,
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_the_store_refuses_what_the_server_refuses(name: str, api_server: ApiServer, store: Store) -> None:
    type_, inputs, good = OBJECTS[name]
    checked, failures = KubernetesPackage(store).configure({}).check(ref(type_), {}, inputs)
    assert (failures == []) is good, failures
    try:
        Server(api_server.kubeconfig, "local").apply(Kind.of(type_), checked, dry_run=True)
        accepted = True
    except ProviderError:
        accepted = False
    assert accepted is good
