"""The gRPC face of a local provider: the engine's requests as calls on a `Package`.

One servicer serves one package on its own port. The engine opens one connection per provider resource of the program
(one per region), and only `Configure` says which region it is, so a session belongs to its connection.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.local.resource import UNKNOWN, Change, Diff, Package, Props, ProviderError, Ref, Session, Unknown

UNKNOWN_MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes in place of a value that it does not know (pulumi sdk, `runtime/rpc.py`)."""

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
"""The key that marks a special value, such as an asset (pulumi sdk, `runtime/rpc.py`)."""

QUIET_SECONDS = 30.0

log = logging.getLogger("docsearch.local.provider")

_KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


def to_python(value: struct_pb2.Value) -> Any:
    """A protobuf value as a Python value; whole numbers become `int`, the unknown mark `UNKNOWN`."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text == UNKNOWN_MARK else text
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return props(value.struct_value)
    if kind == "list_value":
        return [to_python(item) for item in value.list_value.values]
    return None


def props(struct: struct_pb2.Struct) -> Props:
    """A protobuf struct as a dictionary."""
    return {key: to_python(value) for key, value in struct.fields.items()}


def to_value(value: Any) -> struct_pb2.Value:
    """A Python value as a protobuf value."""
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, Unknown):
        return struct_pb2.Value(string_value=UNKNOWN_MARK)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=to_struct(value))
    if isinstance(value, list | tuple):
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=[to_value(item) for item in value]))
    raise TypeError(f"a property cannot hold {type(value).__name__}")


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """A dictionary as a protobuf struct."""
    return struct_pb2.Struct(fields={key: to_value(value) for key, value in values.items()})


class InFlight:
    """Counts the requests that change something, so that a new session can wait for those of a killed engine."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        with self._condition:
            self._count += 1
        try:
            yield
        finally:
            with self._condition:
                self._count -= 1
                self._condition.notify_all()

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is in flight; False when that took longer than the given time."""
        with self._condition:
            return self._condition.wait_for(lambda: self._count == 0, timeout=seconds)


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Answers the engine for one package."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._sessions: dict[str, Session] = {}
        self._in_flight = InFlight()

    # Life of a connection

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=False, accept_resources=False)

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=self._package.version)

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": self._package.name}))

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        old, new = props(request.old_inputs), props(request.news)
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key) and key != "version"]
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
        )

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        # An engine that was killed leaves its last requests running here; a new run must not overtake them.
        if not self._in_flight.settle(QUIET_SECONDS):
            context.abort(grpc.StatusCode.UNAVAILABLE, "requests of an earlier run are still going on")
        with self._answering(context, "Configure", request.urn):
            self._sessions[context.peer()] = self._package.configure(props(request.args))
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True, acceptResources=False)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        self._sessions.pop(context.peer(), None)
        return empty_pb2.Empty()

    # Life of a resource

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        with self._answering(context, "Check", request.urn):
            inputs, failures = self._session(context).check(_ref(request), props(request.olds), props(request.news))
        return provider_pb2.CheckResponse(
            inputs=to_struct(inputs),
            failures=[provider_pb2.CheckFailure(property=item.property, reason=item.reason) for item in failures],
        )

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        with self._answering(context, "Diff", request.urn):
            diff = self._session(context).diff(
                _ref(request), request.id, props(request.old_inputs), props(request.olds), props(request.news)
            )
        return _diff_response(without(diff, request.ignoreChanges))

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        with self._answering(context, "Create", request.urn, writes=not request.preview):
            id, outputs = self._session(context).create(_ref(request), props(request.properties), request.preview)
        return provider_pb2.CreateResponse(id=id, properties=to_struct(outputs))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        with self._answering(context, "Read", request.urn):
            state = self._session(context).read(
                _ref(request), request.id, props(request.inputs), props(request.properties)
            )
        if state is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=state.id, properties=to_struct(state.outputs), inputs=to_struct(state.inputs)
        )

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        with self._answering(context, "Update", request.urn, writes=not request.preview):
            outputs = self._session(context).update(
                _ref(request),
                request.id,
                props(request.old_inputs),
                props(request.olds),
                props(request.news),
                request.preview,
            )
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        with self._answering(context, "Delete", request.urn, writes=True):
            self._session(context).delete(
                _ref(request), request.id, props(request.old_inputs), props(request.properties)
            )
        return empty_pb2.Empty()

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        # Stacks and components never look anything up, so that a plan is deterministic: see CONTRIBUTING.md.
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the local cloud answers no look-ups: {request.tok}")

    def _session(self, context: grpc.ServicerContext) -> Session:
        session = self._sessions.get(context.peer())
        if session is None:
            raise ProviderError(
                f"this {self._package.name} provider was never configured: pass an explicit provider to every resource"
            )
        return session

    @contextmanager
    def _answering(
        self, context: grpc.ServicerContext, method: str, urn: str, *, writes: bool = False
    ) -> Iterator[None]:
        started = time.monotonic()
        try:
            if writes:
                with self._in_flight.one():
                    yield
            else:
                yield
        except ProviderError as error:
            log.warning("%s %s refused: %s", method, urn, error)
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Exception as error:
            log.exception("%s %s failed", method, urn)
            context.abort(grpc.StatusCode.INTERNAL, f"local {self._package.name} provider: {error!r}")
        finally:
            log.debug("%s %s %.1f ms", method, urn, (time.monotonic() - started) * 1e3)


def without(diff: Diff, ignored: Any) -> Diff:
    """The diff without the changes at or below the ignored property paths."""
    paths = tuple(ignored)
    if not paths:
        return diff

    def kept(change: Change) -> bool:
        return not any(change.path == path or change.path.startswith((f"{path}.", f"{path}[")) for path in paths)

    return Diff(tuple(filter(kept, diff.changes)), diff.delete_before_replace)


def _diff_response(diff: Diff) -> provider_pb2.DiffResponse:
    detailed = {
        change.path: provider_pb2.PropertyDiff(kind=_KINDS[change.kind, change.replaces]) for change in diff.changes
    }
    top = {change.path.split(".")[0].split("[")[0]: None for change in diff.changes}
    replaces = {change.path.split(".")[0].split("[")[0]: None for change in diff.changes if change.replaces}
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if detailed else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=list(top),
        replaces=list(replaces),
        detailedDiff=detailed,
        hasDetailedDiff=True,
        deleteBeforeReplace=diff.delete_before_replace and diff.replaces,
    )


def _ref(request: Any) -> Ref:
    urn: str = request.urn
    type_, name = urn.split("::")[2].split("$")[-1], urn.split("::", 3)[3]
    return Ref(urn, type_, name, getattr(request, "randomSeed", b""))
