"""The ASGI application: operations by path, and around them what is the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import MethodNotAllowedError, NotFoundError
from app.http import administration, documents, health, page, searches
from app.http.call import Call, Operation, authenticate
from app.http.middleware import Envelope
from app.http.openapi import description
from app.runtime import Service
from app.store.audit import Origin
from app.trace import tracing

OPERATIONS: Final = (
    *searches.OPERATIONS,
    *documents.OPERATIONS,
    *administration.OPERATIONS,
    *health.OPERATIONS,
)
"""All that can be asked for, in the order of the description."""

INTERNAL: Final = frozenset({"/health", "/metrics"})
"""Nobody's business outside of the network: what a load balancer passes on, with X-Forwarded-For, is not found."""


def application(service: Service, operations: Sequence[Operation] = OPERATIONS) -> ASGIApp:
    """The application over the parts of a process, for all operations or some of them."""
    settings = service.settings
    return Envelope(
        _Routes(service, operations),
        metrics=service.metrics,
        deadline_seconds=settings.deadline_seconds,
        origins=settings.origins(),
    )


@cache
def openapi() -> bytes:
    """The description of the API, as JSON."""
    return msgspec.json.format(msgspec.json.encode(description(OPERATIONS, version("docsearch"))))


class _Routes:
    """Finds the operation of a request, and who asks for it."""

    def __init__(self, service: Service, operations: Sequence[Operation]) -> None:
        self._service = service
        by_path: dict[str, dict[str, Operation]] = {}
        for one in operations:
            by_path.setdefault(one.path, {})[one.method] = one
        # What is written out comes before what has a parameter there, and is found without going through the others.
        self._whole = {path for path in by_path if "{" not in path}
        self._routes = [Route(path, _nothing, name=path) for path in sorted(by_path) if path not in self._whole]
        self._by_path = by_path
        # They are of the whole: where there are probes alone, there is nothing else.
        self._files = page.files(openapi) if operations is OPERATIONS else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = self._file(request) or await self._operation(request)
        await response(scope, receive, send)

    def _file(self, request: Request) -> Response | None:
        path = request.scope["path"]
        if path not in self._files or request.method not in ("GET", "HEAD"):
            return None
        request.state.route = path
        file = self._files[path]
        return file.response(request.headers.get("if-none-match", ""))

    async def _operation(self, request: Request) -> Response:
        path, parameters = self._match(request.scope)
        request.state.route = path
        methods = self._by_path[path]
        if request.method not in methods:
            raise MethodNotAllowedError(f"{path} has no {request.method[:20]}", allowed=methods)
        if path in INTERNAL and "x-forwarded-for" in request.headers:
            raise NotFoundError(f"there is nothing at {path}")
        operation = methods[request.method]
        request.scope["path_params"] = parameters
        origin = self._origin(request)
        caller = None
        if operation.right is not None:
            with tracing.span("authenticate"):
                caller = await authenticate(request, self._service, origin.address)
            request.state.tenant, request.state.actor = str(caller.tenant_id), caller.actor
            structlog.contextvars.bind_contextvars(tenant=str(caller.tenant_id))
            caller.require(operation.right)
        if caller is None:
            return await operation.handler(Call(request, self._service, None, origin))
        with self._service.room.of(caller.tenant_id) as held:
            return await operation.handler(Call(request, self._service, caller, origin, held))

    def _match(self, scope: Scope) -> tuple[str, dict[str, str]]:
        if scope["path"] in self._whole:
            return scope["path"], {}
        for route in self._routes:
            matched, found = route.matches({**scope, "method": "GET"})
            if matched is not Match.NONE:
                return route.path, found["path_params"]
        raise NotFoundError(f"there is nothing at {scope['path'][:200]!r}", remedy="/docs lists what there is")

    def _origin(self, request: Request) -> Origin:
        address = request.client.host if request.client else ""
        # Lines of one name are one list (RFC 9110, section 5.3): what was put last may stand in a line of its own.
        forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
        if forwarded and self._service.settings.trust_forwarded:
            # The load balancer puts what it saw last; all before it is what the caller claims.
            address = forwarded.rpartition(",")[2].strip()[:64]
        return Origin(address, request.headers.get("user-agent", ""), request.state.correlation_id)


async def _nothing(request: Request) -> Response:
    raise NotFoundError(f"there is nothing at {request.url.path}")
