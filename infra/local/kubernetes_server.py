"""A real Kubernetes API server, by the official client.

Loading that client takes a second and 90 MB: this module is only imported where a server is given.
"""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]
from kubernetes.config import ConfigException, new_client_from_config_dict  # type: ignore[import-untyped]
from kubernetes.dynamic import DynamicClient, LazyDiscoverer, Resource  # type: ignore[import-untyped]
from kubernetes.dynamic.exceptions import ResourceNotFoundError  # type: ignore[import-untyped]

from infra.errors import LocalCloudError
from infra.local.kubernetes_objects import DEFAULT_NAMESPACE, Kind, parse_identity, wire
from infra.local.kubernetes_schema import Schemas
from infra.local.resource import Props, ProviderError

FIELD_MANAGER = "docsearch"

REQUEST_SECONDS = 30.0
"""For one request; a loopback server answers in milliseconds, a starting one in seconds."""

DELETE_SECONDS = 300.0
"""Until a deleted object has to be gone: what pods get at most is 30 s, volumes take longer."""

_POLL_SECONDS = 0.2
_NOT_FOUND = 404


class _Discoverer(LazyDiscoverer):  # type: ignore[misc]
    """Discovery without the client's cache file: it is named for the port, and ports are used again."""

    def _write_cache(self) -> None:
        pass


class Server:
    """One API server.

    Args:
        kubeconfig: Content of a kubeconfig.
        context: Which of its contexts.
        force: Whether to take over fields that others manage.

    Raises:
        ProviderError: The server cannot be reached, or does not let us in.
    """

    def __init__(self, kubeconfig: dict[str, Any], context: str, *, force: bool = False) -> None:
        self._force = force
        self._lock = threading.Lock()
        self._resources: dict[Kind, Resource] = {}
        try:
            client = new_client_from_config_dict(kubeconfig, context=context, persist_config=False)
        except ConfigException as error:
            raise ProviderError(f"the kubeconfig cannot be used: {error}") from error
        self._host: str = client.configuration.host
        client.configuration.proxy = None  # The server is on this machine.
        # The client leaves its connections open; nobody ends a session, it is only dropped.
        weakref.finalize(self, client.rest_client.pool_manager.clear)
        with self._talking():
            self._dynamic = DynamicClient(client, cache_file="/nonexistent", discoverer=_Discoverer)

    def schemas(self) -> Schemas | None:
        """The schemas of the server's own version; None when there are none, so that only the server can tell."""
        version = self._dynamic.version["kubernetes"]
        try:
            return Schemas(f"{version['major']}.{version['minor'].rstrip('+')}")
        except LocalCloudError:
            return None

    def serves(self, kind: Kind) -> bool:
        """Whether the server has the kind."""
        return self._resource(kind) is not None

    def namespaced(self, kind: Kind) -> bool:
        """Whether objects of the kind live in a namespace; a kind that is yet to come is taken to."""
        resource = self._resource(kind)
        return not kind.cluster_scoped if resource is None else bool(resource.namespaced)

    def get(self, kind: Kind, id: str) -> Props | None:
        """The object, or None when it is not there.

        Raises:
            ProviderError: The server refused.
        """
        if (resource := self._resource(kind)) is None:
            return None
        namespace, name = _place(resource, id)
        try:
            with self._talking():
                answer = self._dynamic.get(resource, name=name, namespace=namespace, **_PLAIN)
        except _AbsentError:
            return None
        return _object(answer)

    def apply(self, kind: Kind, object: Props, *, dry_run: bool = False) -> Props:
        """Apply on the server, as the manager `docsearch`, and return what it made of the object.

        Raises:
            ProviderError: The server refused, in its own words.
        """
        if (resource := self._resource(kind)) is None:
            raise ProviderError(
                f'no matches for kind "{kind.name}" in version "{kind.api_version}" on {self._host}: '
                "install its CustomResourceDefinition first"
            )
        options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        with self._talking():
            answer = self._dynamic.server_side_apply(
                resource,
                body=wire(kind, object),
                namespace=object["metadata"].get("namespace"),
                field_manager=FIELD_MANAGER,
                # The client would write a Python bool in capitals.
                force_conflicts="true" if self._force else None,
                **options,
                **_PLAIN,
            )
        return _object(answer)

    def delete(self, kind: Kind, id: str, *, seconds: float = DELETE_SECONDS) -> None:
        """Delete, and wait until the object is gone.

        Raises:
            ProviderError: The server refused, or the object is still there after the given time.
        """
        if (resource := self._resource(kind)) is None:
            return
        namespace, name = _place(resource, id)
        try:
            with self._talking():
                answer = self._dynamic.delete(
                    resource, name=name, namespace=namespace, propagation_policy="Background", **_PLAIN
                )
                answer.read()  # Only then its connection can be used again.
        except _AbsentError:
            return
        deadline = time.monotonic() + seconds
        while (left := self.get(kind, id)) is not None:
            if time.monotonic() > deadline:
                held = left["metadata"].get("finalizers") or left.get("spec", {}).get("finalizers") or []
                raise ProviderError(
                    f'{kind.resource} "{name}" is still there {seconds:.0f} s after it was deleted, held by '
                    f"{', '.join(held) or 'nothing that it names'}: look at what should let it go, then delete again"
                )
            time.sleep(_POLL_SECONDS)

    def _resource(self, kind: Kind) -> Resource | None:
        with self._lock:
            if kind not in self._resources:
                try:
                    with self._talking():
                        self._resources[kind] = self._dynamic.resources.get(
                            prefix="apis" if kind.group else "api",
                            group=kind.group,
                            api_version=kind.version,
                            kind=kind.name,
                        )
                except (ResourceNotFoundError, _AbsentError):
                    return None
            return self._resources[kind]

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            if error.status == _NOT_FOUND:
                raise _AbsentError(_message(error)) from error
            raise ProviderError(_message(error)) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ProviderError(
                f"the API server {self._host} cannot be reached ({error}): start it, or correct the kubeconfig"
            ) from error


class _AbsentError(ProviderError):
    """The server has no such thing."""


_PLAIN: dict[str, Any] = {"serialize": False, "_request_timeout": REQUEST_SECONDS}


def _place(resource: Resource, id: str) -> tuple[str | None, str]:
    namespace, name = parse_identity(id)
    return (namespace or DEFAULT_NAMESPACE) if resource.namespaced else None, name


def _object(answer: Any) -> Props:
    object: Props = json.loads(answer.data)
    object["metadata"].pop("managedFields", None)
    return object


def _message(error: ApiException) -> str:
    """What the server said; its answers are `Status` objects, those of what stands before it may be anything."""
    try:
        message = json.loads(error.body)["message"]
    except (KeyError, TypeError, ValueError):
        message = f"{error.status} {error.reason}"
    return str(message)
