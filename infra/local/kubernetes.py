"""The `kubernetes` package of the local cloud.

What answers depends on the `kubeconfig` of the provider:

- none, or one whose server is under `.invalid` (a name that never exists, RFC 2606): the *store*. Every object is
  validated as strictly as a server of the configured Kubernetes version would, and kept. Nothing acts on it: there are
  no pods, no status and no defaults filled in.
- a server on this machine: that *server*, by server-side apply (`infra.local.kubernetes_server`).
- any other server is refused. Work on the local cloud never reaches a cluster that somebody depends on.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from infra.local.kubernetes_objects import (
    DEFAULT_NAMESPACE,
    Kind,
    Mutable,
    adopted,
    compare,
    drifted,
    fixed_fields,
    identity,
    named,
    parse_identity,
    wire,
    with_data,
    without_nulls,
)
from infra.local.kubernetes_schema import CustomKind, Schemas
from infra.local.resource import (
    UNKNOWN,
    Coverage,
    Diff,
    Failure,
    Props,
    ProviderError,
    Ref,
    Session,
    State,
    has_unknown,
)
from infra.local.store import Store

if TYPE_CHECKING:
    from infra.local.kubernetes_server import Server

DEFAULT_VERSION = "1.35"
"""Of Kubernetes; the version that the clusters of the stacks run."""

_ALWAYS_THERE = frozenset({DEFAULT_NAMESPACE, "kube-node-lease", "kube-public", "kube-system"})
"""Namespaces that every cluster has and that cannot be deleted."""

_WITHOUT_GENERATION = frozenset({"", "autoscaling", "rbac.authorization.k8s.io"})
"""API groups whose objects carry no `metadata.generation`."""


@dataclass(frozen=True)
class Settings:
    """What the program told the provider.

    Attributes:
        namespace: Of objects that name none.
        mutable: Which objects may change their data in place.
        force: Whether to take over fields that others manage.
    """

    namespace: str = DEFAULT_NAMESPACE
    mutable: Mutable = field(default_factory=Mutable)
    force: bool = False


class KubernetesPackage:
    """The `kubernetes` provider.

    Args:
        store: Where objects are kept when no server is given.
        version: Of Kubernetes, for the store.
        custom: Kinds beside the built-in ones, for the store.

    Raises:
        LocalCloudError: There are no schemas of that version.
    """

    name = "kubernetes"
    version = version("pulumi-kubernetes")

    def __init__(
        self, store: Store, *, version: str = DEFAULT_VERSION, custom: Mapping[Kind, CustomKind] | None = None
    ) -> None:
        self._store = store
        self._schemas = Schemas(version, custom)

    def configure(self, config: Props) -> Session:
        """Open a session for one `kubernetes.Provider` of the program.

        Clusters in the store are told apart by `clusterIdentifier`, else by the server's name, else by `context`.

        Raises:
            ProviderError: The kubeconfig cannot be used, or asks for something that is not done here.
        """
        if config.get("renderYamlToDirectory"):
            raise ProviderError("the local cloud renders no YAML: leave renderYamlToDirectory out of the provider")
        kubeconfig = _kubeconfig(config)
        host = urlsplit(kubeconfig.host).hostname or "" if kubeconfig else ""
        settings = Settings(
            namespace=config.get("namespace") or (kubeconfig.namespace if kubeconfig else "") or DEFAULT_NAMESPACE,
            mutable=Mutable(_flag(config, "enableConfigMapMutable"), _flag(config, "enableSecretMutable")),
            force=_flag(config, "enablePatchForce"),
        )
        if kubeconfig is None or host.endswith(".invalid"):
            cluster = config.get("clusterIdentifier") or host or config.get("context") or "local"
            return StoreSession(self._store, f"kubernetes/{cluster}", self._schemas, settings)
        if not _here(host):
            raise ProviderError(
                f"the kubeconfig names the API server {kubeconfig.host}, and the local cloud only works with servers "
                "on this machine: leave kubeconfig out of the provider (also unset KUBECONFIG), or go to AWS without "
                "--local"
            )
        if str(config.get("enableServerSideApply", "true")).lower() == "false":
            raise ProviderError("the local cloud only applies on the server: leave enableServerSideApply out")
        from infra.local.kubernetes_server import Server  # noqa: PLC0415 (heavy: see there)

        return ServerSession(Server(kubeconfig.content, kubeconfig.context, force=settings.force), settings)


def coverage(version: str = DEFAULT_VERSION) -> list[Coverage]:
    """Which kinds there are without a server; with one, all that it serves are executed."""
    schemas = Schemas(version)
    note = f"validated against Kubernetes {schemas.version}; executed where the provider has a kubeconfig"
    return [Coverage(kind.token, "recorded", note) for kind in schemas.kinds()]


class _ObjectSession:
    """What the two kinds of session share: everything that needs no cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check(self, ref: Ref, old: Props, new: Props) -> tuple[Props, list[Failure]]:
        """Fill in apiVersion, kind, name and namespace, and refuse what a server would refuse."""
        kind = Kind.of(ref.type)
        object = without_nulls(new)
        given = {"apiVersion": kind.api_version, "kind": kind.name, **object}
        failures = [
            Failure(field, f"is {given[field]}, but the type {ref.type} says {says}")
            for field, says in (("apiVersion", kind.api_version), ("kind", kind.name))
            if given[field] != says
        ]
        object = self._placed(kind, named(ref, old, given))
        return object, failures or self._refused(kind, object)

    def diff(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props) -> Diff:
        """Compare with the inputs before, into which `read` put what drifted."""
        before = old_inputs or adopted(old_outputs)
        return compare(Kind.of(ref.type), before, new, self._settings.mutable)

    def _placed(self, kind: Kind, object: Props) -> Props:
        metadata = object.get("metadata", {})
        if not isinstance(metadata, dict) or "namespace" in metadata or not self._namespaced(kind):
            return object
        return {**object, "metadata": {**metadata, "namespace": self._settings.namespace}}

    def _namespaced(self, kind: Kind) -> bool:
        raise NotImplementedError

    def _refused(self, kind: Kind, object: Props) -> list[Failure]:
        raise NotImplementedError


class StoreSession(_ObjectSession):
    """A cluster that only keeps what it is given.

    Args:
        store: Where.
        cluster: The scope in the store.
        schemas: What is valid.
        settings: Of the provider.
    """

    def __init__(self, store: Store, cluster: str, schemas: Schemas, settings: Settings) -> None:
        super().__init__(settings)
        self._store = store
        self._cluster = cluster
        self._schemas = schemas

    def create(self, ref: Ref, inputs: Props, preview: bool) -> tuple[str, Props]:
        """Keep a new object.

        Raises:
            ProviderError: It is there already, or its namespace is not.
        """
        kind = Kind.of(ref.type)
        if preview:
            return "", _previewed(inputs)
        name, namespace = inputs["metadata"]["name"], inputs["metadata"].get("namespace")
        with self._store.transaction():
            if namespace and not self._has_namespace(namespace):
                raise ProviderError(f'namespaces "{namespace}" not found')
            if self._get(kind, identity(inputs)) is not None or (kind.path == "Namespace" and name in _ALWAYS_THERE):
                raise ProviderError(f'{kind.resource} "{name}" already exists')
            born = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            object = self._put(kind, inputs, {"uid": str(uuid.uuid4()), "creationTimestamp": born}, generation=1)
        return identity(object), object

    def read(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> State | None:
        """The object as it is kept."""
        kind = Kind.of(ref.type)
        if (live := self._get(kind, id)) is None:
            return None
        return State(id, drifted(kind, inputs, outputs, live) if inputs else adopted(live), live)

    def update(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props, preview: bool) -> Props:
        """Keep the object in its new form.

        Raises:
            ProviderError: It is gone, or a server would not change the field.
        """
        kind = Kind.of(ref.type)
        name = parse_identity(id)[1]
        if fixed := list(fixed_fields(kind, old_inputs, new)):
            reasons = ", ".join(f"{path}: Invalid value: field is immutable" for path in fixed)
            raise ProviderError(f'{kind.name}{"." if kind.group else ""}{kind.group} "{name}" is invalid: {reasons}')
        if preview:
            return _previewed(new, old_outputs)
        with self._store.transaction():
            if (live := self._get(kind, id)) is None:
                raise ProviderError(f'{kind.resource} "{name}" not found')
            kept = {field: live["metadata"][field] for field in ("uid", "creationTimestamp")}
            wanted = self._object(kind, new)
            if wanted == _without_bookkeeping(live):
                return live
            specified = _specification(wanted) != _specification(live)
            return self._put(kind, new, kept, generation=live["metadata"].get("generation", 0) + specified)

    def delete(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> None:
        """Forget the object and, for a namespace, everything in it.

        Raises:
            ProviderError: It is a namespace that every cluster has.
        """
        kind = Kind.of(ref.type)
        if kind.path == "Namespace" and id in _ALWAYS_THERE:
            raise ProviderError(f'namespaces "{id}" is forbidden: this namespace may not be deleted')
        with self._store.transaction():
            if kind.path == "Namespace":
                for kept in self._store.all(self._cluster):
                    if parse_identity(kept.id)[0] == id:
                        self._store.delete(kept.scope, kept.type, kept.id)
            self._store.delete(self._cluster, kind.path, id)

    def _get(self, kind: Kind, id: str) -> Props | None:
        object = self._store.get(self._cluster, kind.path, id)
        # One object is reachable at every version of its group.
        return None if object is None else {**object, "apiVersion": kind.api_version}

    def _put(self, kind: Kind, inputs: Props, kept: Mapping[str, Any], *, generation: int) -> Props:
        object = self._object(kind, inputs)
        numbers: Props = {"resourceVersion": str(self._store.count_up(self._cluster))}
        if "spec" in object and kind.group not in _WITHOUT_GENERATION:
            numbers["generation"] = generation
        object = {**object, "metadata": {**object["metadata"], **kept, **numbers}}
        self._store.put(self._cluster, kind.path, identity(object), object)
        return object

    def _object(self, kind: Kind, inputs: Props) -> Props:
        """What a server makes of the inputs before any controller sees them."""
        object = {key: value for key, value in wire(kind, inputs).items() if key != "status"}
        if kind.path == "Secret":
            return with_data(object)
        if kind.path == "Namespace":
            metadata = object["metadata"]
            labels = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata["name"]}
            return {**object, "metadata": {**metadata, "labels": labels}}
        return object

    def _has_namespace(self, name: str) -> bool:
        return name in _ALWAYS_THERE or self._store.get(self._cluster, "Namespace", name) is not None

    def _namespaced(self, kind: Kind) -> bool:
        return kind in self._schemas and self._schemas.namespaced(kind)

    def _refused(self, kind: Kind, object: Props) -> list[Failure]:
        if kind not in self._schemas:
            raise ProviderError(
                f'no matches for kind "{kind.name}" in version "{kind.api_version}": Kubernetes '
                f"{self._schemas.version} has {self._nearest(kind)}; a kind of a CustomResourceDefinition needs its "
                "schema in infra/local/kubernetes_custom.py, or a real API server"
            )
        return _misplaced(kind, object, namespaced=self._namespaced(kind)) + self._schemas.failures(
            kind, wire(kind, object)
        )

    def _nearest(self, kind: Kind) -> str:
        others = [other.api_version for other in self._schemas.kinds() if other.name == kind.name]
        return f"{kind.name} in {', '.join(others)}" if others else "no such kind"


class ServerSession(_ObjectSession):
    """A real API server.

    Args:
        server: The server.
        settings: Of the provider.
    """

    def __init__(self, server: Server, settings: Settings) -> None:
        super().__init__(settings)
        self._server = server
        self._schemas = server.schemas()

    def create(self, ref: Ref, inputs: Props, preview: bool) -> tuple[str, Props]:
        """Apply a new object; at preview as a dry run on the server.

        Raises:
            ProviderError: The server refused, or the object is there already.
        """
        kind = Kind.of(ref.type)
        if preview:
            return "", self._tried(kind, inputs) or _previewed(inputs)
        if self._server.get(kind, identity(inputs)) is not None:
            name = inputs["metadata"]["name"]
            raise ProviderError(
                f'{kind.resource} "{name}" already exists: import it, or delete it, or give the new one another name'
            )
        live = self._server.apply(kind, inputs)
        return identity(live), live

    def read(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> State | None:
        """The object as the server has it."""
        kind = Kind.of(ref.type)
        if (live := self._server.get(kind, id)) is None:
            return None
        return State(id, drifted(kind, inputs, outputs, live) if inputs else adopted(live), live)

    def update(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props, preview: bool) -> Props:
        """Apply the object in its new form; at preview as a dry run on the server.

        Raises:
            ProviderError: The server refused, or the object is gone.
        """
        kind = Kind.of(ref.type)
        if preview and has_unknown(new):
            return _previewed(new, old_outputs)
        if self._server.get(kind, id) is None:
            raise ProviderError(f'{kind.resource} "{parse_identity(id)[1]}" not found')
        applied = self._server.apply(kind, new, dry_run=preview)
        return _previewed(applied, old_outputs) if preview else applied

    def delete(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> None:
        """Delete the object, and wait until it is gone.

        Raises:
            ProviderError: The server refused, or something holds the object.
        """
        self._server.delete(Kind.of(ref.type), id)

    def _tried(self, kind: Kind, inputs: Props) -> Props | None:
        """The answer to a dry run; None where one cannot be made before other changes are."""
        if has_unknown(inputs) or not self._server.serves(kind):
            return None
        namespace = inputs["metadata"].get("namespace")
        if namespace and self._server.get(Kind("", "v1", "Namespace"), namespace) is None:
            return None
        if self._server.get(kind, identity(inputs)) is not None:
            return None  # It is about to be deleted for this one, or creating it will fail.
        return _previewed(self._server.apply(kind, inputs, dry_run=True))

    def _namespaced(self, kind: Kind) -> bool:
        return self._server.namespaced(kind)

    def _refused(self, kind: Kind, object: Props) -> list[Failure]:
        misplaced = _misplaced(kind, object, namespaced=self._namespaced(kind))
        if self._schemas is None or kind not in self._schemas:
            return misplaced
        return misplaced + self._schemas.failures(kind, wire(kind, object))


def _misplaced(kind: Kind, object: Props, *, namespaced: bool) -> list[Failure]:
    metadata = object["metadata"] if isinstance(object.get("metadata"), dict) else {}
    failures = []
    if "namespace" in metadata and not namespaced:
        failures.append(Failure("metadata.namespace", f"Forbidden: a {kind.name} belongs to no namespace"))
    if "generateName" in metadata:
        failures.append(
            Failure("metadata.generateName", "is not supported by server-side apply: leave it out for a made-up name")
        )
    return failures


def _previewed(object: Props, live: Mapping[str, Any] | None = None) -> Props:
    """The outputs as far as they are known before anything is done."""
    before = (live or {}).get("metadata") or {}
    metadata = object.get("metadata")
    if not isinstance(metadata, Mapping):
        return {**object, "status": UNKNOWN}
    stable = {field: before.get(field, UNKNOWN) for field in ("uid", "creationTimestamp")}
    return {**object, "metadata": {**metadata, **stable, "resourceVersion": UNKNOWN}, "status": UNKNOWN}


def _without_bookkeeping(live: Props) -> Props:
    ours = ("uid", "creationTimestamp", "resourceVersion", "generation")
    return {**live, "metadata": {key: value for key, value in live["metadata"].items() if key not in ours}}


def _specification(object: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in object.items() if key not in {"metadata", "status"}}


# The provider's configuration


@dataclass(frozen=True)
class _Kubeconfig:
    content: dict[str, Any]
    context: str
    host: str
    namespace: str


def _kubeconfig(config: Props) -> _Kubeconfig | None:
    """The kubeconfig with the cluster and context that the provider chooses in it; None when there is none."""
    given = config.get("kubeconfig")
    if not given or has_unknown(given):
        return None
    content = _content(given)
    context = config.get("context") or content.get("current-context") or ""
    try:
        chosen = {**next(item["context"] for item in content["contexts"] if item["name"] == context)}
        chosen["cluster"] = config.get("cluster") or chosen["cluster"]
        host = next(item["cluster"]["server"] for item in content["clusters"] if item["name"] == chosen["cluster"])
    except (KeyError, StopIteration, TypeError) as error:
        raise ProviderError(
            f"the kubeconfig has no context {context!r} with a cluster and its server: correct it, or the context and "
            "cluster of the provider"
        ) from error
    contexts = [{"name": context, "context": chosen}]
    return _Kubeconfig({**content, "contexts": contexts}, context, str(host), chosen.get("namespace") or "")


def _content(given: Any) -> dict[str, Any]:
    """A kubeconfig that is given as its content or as the path of its file."""
    try:
        content = given if isinstance(given, dict) else yaml.safe_load(given)
        if isinstance(content, str):
            content = yaml.safe_load(Path(content).expanduser().read_text())
    except (OSError, ValueError, yaml.YAMLError):
        content = None  # The error would quote it, and it holds credentials.
    if not isinstance(content, dict):
        raise ProviderError(
            "the kubeconfig is neither a YAML or JSON object nor the path of a file that holds one: correct it, or "
            "leave it out (also unset KUBECONFIG)"
        )
    return content


def _flag(config: Props, name: str) -> bool:
    return str(config.get(name, "")).lower() == "true"


def _here(host: str) -> bool:
    """Whether a host name means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
