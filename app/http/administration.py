"""Keys, tokens and the audit trail, over HTTP."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from starlette.responses import Response

from app.access import keys
from app.access.keys import ApiKey
from app.access.tokens import DEFAULT_SECONDS
from app.errors import InvalidRequestError
from app.http.call import Call, Operation, Parameter, answer
from app.index.model import Filter
from app.resilience import deadline
from app.search import parse
from app.store import audit, erasures
from app.store.erasures import Erasure, Subjects
from app.tenancy import Right

VERIFYING: Final = 0.5
"""Share of the time that a request has in which it goes through the trail: the rest is for saying how far it came."""

_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")


class KeyRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made.

    Attributes:
        scopes: What it may do: ``read``, ``write``, ``admin``.
        name: What it is for.
        rate_limit: Requests per minute; by default what the service grants.
        expires_at: From when on it opens nothing.
    """

    scopes: tuple[str, ...]
    name: str = ""
    rate_limit: int | None = None
    expires_at: datetime | None = None


class NewKey(Struct, frozen=True):
    """A key that was made. It is shown here and never again."""

    api_key: str
    key: ApiKey


class KeyList(Struct, frozen=True):
    """A tenant's keys, the newest first."""

    keys: list[ApiKey]


class TokenRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made.

    Attributes:
        subject: Whom it is for, in your own terms.
        filters: What every search with it is bound to, in the words of a search.
        seconds: How long it opens, 1 to 3,600 s.
    """

    subject: str
    filters: tuple[Filter, ...] = ()
    seconds: int = DEFAULT_SECONDS


class NewToken(Struct, frozen=True):
    """A token that was made, and when it ends."""

    token: str
    expires_at: datetime


class AuditRow(Struct, frozen=True):
    """Who did what, from where."""

    seq: int
    at: datetime
    actor: str
    action: str
    resource: str
    address: str
    user_agent: str
    correlation_id: str
    detail: dict[str, Any]
    hash: str


class Audit(Struct, frozen=True):
    """Rows of the trail, the newest first: fewer than asked for where they are large.

    Attributes:
        rows: The rows.
        next: What ``before`` is for the next page; null if there is none.
    """

    rows: list[AuditRow]
    next: int | None


class Verification(Struct, frozen=True):
    """Whether the trail is whole: keep ``rows`` and ``head`` elsewhere, and a later cut at its end shows, too.

    Attributes:
        whole: Whether every row that was looked at follows from the one before.
        rows: The number of the last one that was.
        broken_at: The first row that does not.
        head: The last hash.
        ended: Whether that was all of them. If it was not, go on with ``after`` as ``rows`` and ``head`` as ``head``.
    """

    whole: bool
    rows: int
    broken_at: int | None
    head: str
    ended: bool


class ErasureRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose documents to erase.

    Attributes:
        user_id: What their ``metadata.user_id`` holds: text, or a whole number.
    """

    user_id: str | int


class Whoami(Struct, frozen=True):
    """For whom the credentials are."""

    tenant_id: UUID
    actor: str
    scopes: list[str]
    filters: list[Filter]


async def whoami(call: Call) -> Response:
    """For whom the credentials are."""
    scope = call.scope
    return answer(Whoami(scope.tenant_id, scope.actor, sorted(scope.rights), [*scope.forced]))


async def list_keys(call: Call) -> Response:
    """A tenant's keys."""
    async with call.service.database.read(call.scope) as connection:
        return answer(KeyList(await keys.every(connection, call.scope.tenant_id)))


async def create_key(call: Call) -> Response:
    """Makes a key."""
    call.primary_only()
    given: KeyRequest = await call.json(KeyRequest)
    async with call.service.database.write(call.scope) as connection:
        secret, made = await call.service.keys.create(
            connection,
            call.scope.tenant_id,
            scopes=given.scopes,
            name=given.name,
            rate_limit=given.rate_limit,
            expires_at=given.expires_at,
        )
        await call.record(connection, "create_key", f"key/{made.prefix}", {"scopes": made.scopes})
    return answer(NewKey(secret, made), 201)


async def revoke_key(call: Call) -> Response:
    """Ends a key."""
    call.primary_only()
    async with call.service.database.write(call.scope) as connection:
        gone = await keys.revoke(connection, call.scope.tenant_id, call.request.path_params["prefix"].replace("\0", ""))
        await call.record(connection, "revoke_key", f"key/{gone.prefix}")
    return answer(gone)


async def create_token(call: Call) -> Response:
    """Makes a token."""
    given: TokenRequest = await call.json(TokenRequest)
    parse.check_filters(given.filters, call.service.bounds)
    token, expires = call.service.tokens.create(
        call.scope, subject=given.subject, forced=given.filters, seconds=given.seconds
    )
    return answer(NewToken(token, expires), 201)


async def get_audit(call: Call) -> Response:
    """The audit trail."""
    call.no_parameters("before", "size")
    before, size = call.whole("before", None, 1, 2**62), call.whole("size", 50, 1, 1000) or 50
    async with call.service.database.read(call.scope) as connection:
        rows = await audit.page(connection, call.scope.tenant_id, before=before, size=size)
    # Numbers have no gaps, and the first is 1.
    following = rows[-1]["seq"] if rows and rows[-1]["seq"] > 1 else None
    return answer(Audit([AuditRow(**row) for row in rows], following))


async def verify_audit(call: Call) -> Response:
    """Goes through the audit trail, for as long as a request may take."""
    call.no_parameters("after", "head")
    after, head = call.whole("after", None, 1, 2**62), call.request.query_params.get("head")
    if head is not None and not _HASH.fullmatch(head):
        raise InvalidRequestError(f"head is {head[:80]!r}", why="it is a hash, 64 hexadecimal digits")
    if (after is None) != (head is None):
        raise InvalidRequestError("after and head go together", why="a row follows from a hash that is known")
    known = (after, head) if after is not None and head is not None else None
    seconds = deadline.left(call.service.settings.deadline_seconds) * VERIFYING
    async with call.service.database.read(call.scope) as connection:
        found = await audit.verify(connection, call.scope.tenant_id, known=known, seconds=seconds)
    return answer(Verification(found.broken_at is None, found.rows, found.broken_at, found.head, found.ended))


async def erase_user(call: Call) -> Response:
    """Erases all documents of a user, with their versions, from everywhere, and from every later restore.

    What is written for the user after this was asked is not erased. The task succeeds when nothing is left.
    """
    call.primary_only()
    given: ErasureRequest = await call.json(ErasureRequest)
    async with call.service.database.write(call.scope) as connection:
        asked = await erasures.ask(
            connection, call.scope, call.origin, Subjects(call.service.keys.digest), given.user_id
        )
    return answer(asked, 202, {"location": f"/v1/tasks/{asked.task_id}"})


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/me",
        handler=whoami,
        right=Right.READ,
        name="whoami",
        summary="See for whom the credentials are",
        tag="access",
        answers={200: Whoami},
    ),
    Operation(
        method="POST",
        path="/v1/tokens",
        handler=create_token,
        right=Right.READ,
        name="create_token",
        summary="Make a short-lived token that is bound to a filter",
        tag="access",
        body=TokenRequest,
        answers={201: NewToken},
    ),
    Operation(
        method="GET",
        path="/v1/keys",
        handler=list_keys,
        right=Right.ADMIN,
        name="list_keys",
        summary="List API keys",
        tag="access",
        answers={200: KeyList},
    ),
    Operation(
        method="POST",
        path="/v1/keys",
        handler=create_key,
        right=Right.ADMIN,
        name="create_key",
        summary="Make an API key",
        tag="access",
        body=KeyRequest,
        answers={201: NewKey},
    ),
    Operation(
        method="DELETE",
        path="/v1/keys/{prefix}",
        handler=revoke_key,
        right=Right.ADMIN,
        name="revoke_key",
        summary="Revoke an API key, by its prefix or its id",
        tag="access",
        answers={200: ApiKey},
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/v1/audit",
        handler=get_audit,
        right=Right.ADMIN,
        name="read_audit",
        summary="Read the audit trail, the newest first",
        tag="audit",
        answers={200: Audit},
        parameters=(
            Parameter("before", "query", "Only rows before this number", {"type": "integer", "minimum": 1}),
            Parameter("size", "query", "How many", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
        ),
    ),
    Operation(
        method="GET",
        path="/v1/audit/verify",
        handler=verify_audit,
        right=Right.ADMIN,
        name="verify_audit",
        summary="Check that the audit trail is whole",
        tag="audit",
        answers={200: Verification},
        parameters=(
            Parameter("after", "query", "Begin behind this row", {"type": "integer", "minimum": 1}),
            Parameter("head", "query", "The hash of that row", {"type": "string", "pattern": f"^{_HASH.pattern}$"}),
        ),
    ),
    Operation(
        method="POST",
        path="/v1/erasures",
        handler=erase_user,
        right=Right.ADMIN,
        name="erase_user",
        summary="Erase all documents of a user (GDPR, article 17)",
        tag="erasure",
        body=ErasureRequest,
        answers={202: Erasure},
    ),
)
