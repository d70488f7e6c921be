"""Around every request, in pure ASGI: correlation id, deadline, security headers, errors as problems, a log line."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import msgspec
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import (
    MEDIA_TYPE,
    ApiError,
    DeadlineExceededError,
    ForbiddenError,
    MethodNotAllowedError,
    UnauthenticatedError,
)
from app.observe import Metrics
from app.resilience import deadline
from app.trace import Span, tracing

log = structlog.get_logger(__name__)

CORRELATION: Final = "x-correlation-id"

_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,128}")

SECURITY: Final = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
"""What every answer has, unless it says otherwise itself (OWASP REST Security Cheat Sheet, "Security Headers")."""


class Envelope:
    """Everything that is the same for all requests.

    Args:
        app: What answers them.
        metrics: What is counted.
        deadline_seconds: A request is answered within, s.
        origins: What browsers may call from; nothing by default.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, deadline_seconds: float, origins: Sequence[str]) -> None:
        self._app, self._metrics, self._deadline, self._origins = app, metrics, deadline_seconds, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self._app, self._metrics, self._deadline, self._origins, scope, send).run(receive)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        seconds: float,
        origins: frozenset[str],
        scope: Scope,
        send: Send,
    ) -> None:
        self._app, self._metrics, self._deadline, self._origins = app, metrics, seconds, origins
        self._scope, self._send = scope, send
        self._headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = self._headers.get(CORRELATION, "")
        self._id = given if _ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["correlation_id"] = self._id
        self._status = 0
        self._method = scope["method"] if scope["method"] in _METHODS else "OTHER"

    async def run(self, receive: Receive) -> None:
        began = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=self._id)
        self._metrics.in_flight.inc()
        with tracing.request(self._method, self._headers) as span:
            try:
                await self._answer(receive)
            finally:
                self._metrics.in_flight.dec()
                self._count(time.perf_counter() - began, span)

    async def _answer(self, receive: Receive) -> None:
        try:
            if self._scope["method"] == "OPTIONS" and "origin" in self._headers:
                await self._preflight()
                return
            async with asyncio.timeout(self._deadline):
                with deadline.within(self._deadline):
                    await self._app(self._scope, receive, self._out)
        except TimeoutError:
            error = DeadlineExceededError(
                f"the answer was not there within {self._deadline:g} s", remedy="Ask for less"
            )
            await self._problem(error)
        except ApiError as error:
            await self._problem(error)
        except ClientDisconnect:
            log.info("client_gone")  # there is nobody to answer: it counts as 499
        except Exception:  # whatever it is, the caller gets an answer and not our reasons
            log.exception("unexpected")
            await self._problem(ApiError("something unexpected went wrong", remedy="Tell us the correlation id"))

    async def _problem(self, error: ApiError) -> None:
        if self._status:
            return  # the answer has begun: all that is left is to end the connection
        headers = {"content-type": MEDIA_TYPE}
        if error.retry_after is not None:
            headers["retry-after"] = str(max(1, round(error.retry_after)))
        if error.location:
            headers["location"] = error.location
        if isinstance(error, UnauthenticatedError):
            headers["www-authenticate"] = 'Bearer realm="docsearch"'
        if isinstance(error, MethodNotAllowedError):
            headers["allow"] = error.allowed
        await self._whole(error.status, headers, msgspec.json.encode(error.problem(self._id)))

    async def _preflight(self) -> None:
        origin = self._headers["origin"]
        if origin not in self._origins:
            raise ForbiddenError(
                "browsers may not call from there", remedy="DOCSEARCH_ALLOWED_ORIGINS lists from where"
            )
        headers = {
            "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
            "access-control-allow-headers": "authorization, content-type, if-match, if-none-match, x-api-key",
            "access-control-max-age": "600",
        }
        await self._whole(204, headers, b"")

    async def _whole(self, status: int, headers: dict[str, str], body: bytes) -> None:
        raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        await self._out({"type": "http.response.start", "status": status, "headers": raw})
        await self._out({"type": "http.response.body", "body": body})

    async def _out(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = self._with_ours(message["headers"])
        await self._send(message)

    def _with_ours(self, headers: Any) -> list[tuple[bytes, bytes]]:
        found = list(headers)
        said = {name.lower() for name, _ in found}
        ours = {**SECURITY, CORRELATION: self._id}
        origin = self._headers.get("origin")
        if origin in self._origins:
            ours |= {
                "access-control-allow-origin": origin or "",
                "access-control-expose-headers": f"etag, location, retry-after, {CORRELATION}",
                "cross-origin-resource-policy": "cross-origin",
                "vary": "origin",
            }
        return found + [(name.encode(), value.encode()) for name, value in ours.items() if name.encode() not in said]

    def _count(self, seconds: float, span: Span) -> None:
        method, status = self._method, self._status or 499
        route = self._scope["state"].get("route", "none")
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.duration.labels(method, route).observe(seconds)
        tenant = self._scope["state"].get("tenant")
        span.set(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "docsearch.correlation_id": self._id,
                "docsearch.tenant_id": tenant or "",
            }
        )
        log.info(
            "request",
            method=method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 2),
            tenant=tenant,
            actor=self._scope["state"].get("actor"),
        )


_METHODS: Final = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())
