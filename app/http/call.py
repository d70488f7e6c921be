"""One request on its way: who asks, from where, and how its body is read and its answer written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.access.tokens import signed_here
from app.document import pointer
from app.errors import (
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RequestTimeoutError,
    StandbyError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedMediaTypeError,
)
from app.resilience import deadline
from app.resilience.limits import Limit, of_key, of_tenant, of_user
from app.resilience.room import Held
from app.runtime import Service
from app.store import audit
from app.store.audit import Origin
from app.store.database import Connection
from app.tenancy import Right, Scope

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
MERGE_PATCH: Final = "application/merge-patch+json"

READING: Final = 0.9
"""Share of the time that a request has in which its body has to come: the rest is for saying that it did not."""

STANDBY_SECONDS: Final = 30.0
"""After so long a write is tried again while the primary region is away, s: how long its name leads elsewhere."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VERSION: Final = re.compile(r'"(\d{1,18})"')


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation, for its description.

    Attributes:
        name: Its name.
        where: ``query``, ``path`` or ``header``.
        text: What it does.
        schema: Its JSON Schema.
        required: Whether it has to be given.
    """

    name: str
    where: str
    text: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that can be asked for: what is routed, and what the description is made of.

    Attributes:
        method: Its HTTP method.
        path: Its path, with parameters in braces.
        handler: Answers it.
        right: What a caller needs; None for what everybody may ask.
        name: Its id in the description.
        summary: What it does, in a line.
        tag: What it is listed under.
        body: The type of its body, if it has one.
        body_needed: Whether there has to be one.
        media: The media types that a body may have.
        answers: The type of its answer by status; None for an empty one.
        parameters: Its parameters beside those of the path.
        errors: What else it may answer, by status, beside what every operation may.
    """

    method: str
    path: str
    handler: Callable[[Call], Awaitable[Response]]
    right: Right | None
    name: str
    summary: str
    tag: str
    body: Any = None
    body_needed: bool = True
    media: tuple[str, ...] = (JSON,)
    answers: Mapping[int, Any] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()


@dataclass
class Call:
    """A request that is being answered.

    Attributes:
        request: As it came.
        service: What answers it.
        scope_: For whom; None if everybody may ask.
        origin: From where.
        held: The room that its body takes; None if everybody may ask, and then none has one.
    """

    request: Request
    service: Service
    scope_: Scope | None
    origin: Origin
    held: Held | None = None

    @property
    def scope(self) -> Scope:
        """For whom."""
        if self.scope_ is None:
            raise UnauthenticatedError("nobody asks")
        return self.scope_

    def uuid(self, name: str) -> UUID:
        """An id in the path.

        Raises:
            NotFoundError: It is no id, so there is nothing that has it.
        """
        text = self.request.path_params[name]
        if not _UUID.fullmatch(text):
            raise NotFoundError(f"there is no {name.removesuffix('_id')} {text[:80]!r}", why="an id is an UUID")
        return UUID(text)

    def if_match(self) -> int | None:
        """The version that the caller has seen: 0 for any (``*``), None if it does not say.

        Raises:
            InvalidRequestError: It is no version.
        """
        given = self.request.headers.get("if-match")
        if given is None:
            return None
        if given.strip() == "*":
            return 0
        match = _VERSION.fullmatch(given.strip())
        if not match:
            raise InvalidRequestError(f"If-Match is {given[:80]!r}", why='it is * or an ETag such as "3"')
        return int(match[1]) or -1

    async def body(self, limit: int, *media: str) -> bytes:
        """The body, read no further than a limit.

        Args:
            limit: Bytes.
            media: The media types that are read; the first one is meant if none is said.

        Raises:
            TooLargeError: It is larger.
            OverloadedError: With what others have sent it is more than this process has room for.
            RequestTimeoutError: It does not come.
            UnsupportedMediaTypeError: It is of another type, or compressed.
        """
        headers = self.request.headers
        given = headers.get("content-type", media[0]).partition(";")[0].strip().lower()
        if given not in media:
            raise UnsupportedMediaTypeError(f"the body is {given[:80]!r}", why=f"what is read is {' or '.join(media)}")
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnsupportedMediaTypeError("the body is compressed", remedy="Send it as it is")
        too_large = TooLargeError(f"the body has more than {limit:,} bytes", remedy="Send it in parts")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            raise too_large
        read = bytearray()
        seconds = deadline.left(self.service.settings.deadline_seconds) * READING
        try:
            async with asyncio.timeout(seconds):
                async for chunk in self.request.stream():
                    # As it comes, not as it is announced: who sends nothing holds nothing.
                    read += chunk
                    if len(read) > limit:
                        raise too_large
                    if self.held:
                        self.held.grow(len(read))
        except TimeoutError as error:
            # Who sends slowly is not told that we are slow: that would be an alarm for nothing.
            raise RequestTimeoutError(
                f"the body was not there within {seconds:.1f} s",
                why=f"{len(read):,} bytes were",
                remedy="Send it in parts",
            ) from error
        return bytes(read)

    async def json(self, kind: Any, limit: int = 64 * 2**10) -> Any:
        """The body as a type.

        Raises:
            InvalidRequestError: It is no JSON of that type; the pointer says where.
        """
        try:
            return msgspec.json.decode(await self.body(limit, JSON), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            what, _, place = str(error).partition(" - at `")
            raise InvalidRequestError(
                "the body cannot be read", why=what, pointer=pointer(place.rstrip("`"))
            ) from error

    def no_parameters(self, *known: str) -> None:
        """Checks that no parameter is given that does nothing.

        Raises:
            InvalidRequestError: One is.
        """
        if unknown := sorted({*self.request.query_params} - {*known}):
            raise InvalidRequestError(
                f"there is no parameter {unknown[0][:40]!r}", why=f"there are {', '.join(known) or 'none'}"
            )

    def whole(self, name: str, default: int | None, least: int, most: int) -> int | None:
        """A parameter that is a whole number.

        Raises:
            InvalidRequestError: It is none, or out of its bounds.
        """
        text = self.request.query_params.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"\d{1,18}", text) or not least <= int(text) <= most:
            raise InvalidRequestError(f"{name} is {text[:40]!r}", why=f"it is a whole number from {least} to {most}")
        return int(text)

    async def record(
        self, connection: Connection, action: str, resource: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Adds a row to the audit trail, in the transaction of what it tells of."""
        await audit.record(connection, self.scope, self.origin, action=action, resource=resource, detail=detail)

    def primary_only(self) -> None:
        """Checks that this region takes writes.

        Raises:
            StandbyError: It follows another one, which does.
            UnavailableError: It follows another one, whose name leads here for now.
        """
        primary = self.service.settings.standby_of.rstrip("/")
        if not primary:
            return
        what, why = "this region takes no writes", "it follows another one"
        if urlsplit(primary).netloc == self.request.headers.get("host", ""):
            # While the primary is away its name leads to the standby: who is sent there would come back for ever.
            raise UnavailableError(what, why=f"{why}, which does not answer", retry_after=STANDBY_SECONDS)
        url = self.request.url
        path = self.request.scope.get("raw_path", url.path.encode()).decode("latin-1").partition("?")[0]
        location = f"{primary}{path}{f'?{url.query}' if url.query else ''}"
        raise StandbyError(what, why=why, remedy=f"Send it to {primary}", location=location)


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(msgspec.json.encode(value), status, headers=dict(headers or {}), media_type=JSON)


async def authenticate(request: Request, service: Service, address: str) -> Scope:
    """For whom a request is: by API key, tenant token or access token, in ``Authorization: Bearer`` or ``X-API-Key``.

    Raises:
        UnauthenticatedError: It has no credentials, or none that are valid.
        ForbiddenError: Its tenant is suspended, or not served here.
        RateLimitedError: Its key, its tenant, or wrong credentials from its address come too often.
    """
    headers = request.headers
    kind, _, credential = headers.get("authorization", "").partition(" ")
    if kind and kind.lower() != "bearer":
        raise UnauthenticatedError(
            "the credentials are of a kind that is not taken", remedy="Send Authorization: Bearer"
        )
    credential = credential.strip() or headers.get("x-api-key", "").strip()
    if not credential:
        raise UnauthenticatedError(
            "the request has no credentials", remedy="Send an API key as Authorization: Bearer dsk_..."
        )
    try:
        if credential.startswith("dsk_"):
            scope = await service.keys.authenticate(credential)
        elif service.users is None or signed_here(credential):
            scope = await service.tokens.authenticate(credential)
        else:
            scope = await service.users.authenticate(credential)
        await take(service, scope)
    except (UnauthenticatedError, ForbiddenError):
        await service.limits.take(Limit(f"limit:{{failures}}:{address}", service.settings.failures_per_minute))
        raise
    return scope


async def take(service: Service, scope: Scope) -> None:
    """Takes a request from the limits of whoever asks.

    Raises:
        ForbiddenError: Its tenant is suspended, or not served here.
        RateLimitedError: Its key or its tenant come too often.
    """
    standing, settings = await service.admission.admit(scope.tenant_id), service.settings
    limits = [of_tenant(scope.tenant_id, standing.per_minute or settings.tenant_per_minute)]
    if scope.key_id is not None:
        limits.append(of_key(scope.tenant_id, scope.key_id, scope.per_minute or settings.key_per_minute))
    else:
        limits.append(of_user(scope.tenant_id, scope.actor, settings.key_per_minute))
    await service.limits.take(*limits)
