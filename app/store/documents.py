"""Documents in PostgreSQL, which is the truth: one transaction writes documents, versions, outbox and audit trail.

One function writes, a single document as well as ten thousand: `apply`. Writers of one tenant come one after the other
(`app.store.audit.lock`), so what an operation is decided by (its version, a duplicate) still holds when it is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import asyncpg
import msgspec
import orjson
from msgspec import Struct

from app import document as documents
from app.document import Document
from app.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
)
from app.index.model import Entry, Write
from app.store import audit, outbox, tasks
from app.store.audit import Origin
from app.store.database import Connection
from app.tenancy import Right, Scope
from app.trace import tracing

Kind = Literal["create", "put", "patch", "delete"]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What is to be done to one document.

    Attributes:
        kind: ``create`` adds one (without an id, unless the same is there already), ``put`` replaces it or adds it,
            ``patch`` changes some of it, ``delete`` removes it.
        document_id: Which; None gives a new one an id.
        document: What it becomes, checked (`app.document.check`); for ``create`` and ``put``.
        patch: What changes, as a merge patch; for ``patch``.
        if_match: The version that it must have; 0 for any that is there; None for no condition.
        again: Whether a ``put`` makes a version even of what is there already: it may be on its way no more.
    """

    kind: Kind
    document_id: UUID | None = None
    document: Document | None = None
    patch: Any = None
    if_match: int | None = None
    again: bool = False


class Effect(StrEnum):
    """What became of an operation."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    UNCHANGED = "unchanged"
    """It is what it was to become."""
    DUPLICATE = "duplicate"
    """The same document is there, under another id."""


class Stored(Struct, frozen=True):
    """What an operation did.

    Attributes:
        document_id: The document; of a duplicate, the one that is there.
        version: Its version now.
        effect: What was done.
    """

    document_id: UUID
    version: int
    effect: Effect

    @property
    def changed(self) -> bool:
        """Whether there is something to bring into the index."""
        return self.effect in (Effect.CREATED, Effect.UPDATED, Effect.DELETED)


class Found(Struct, frozen=True):
    """A document as it is stored.

    Attributes:
        document_id: Its id.
        version: Counts its changes from 1.
        status: ``PENDING`` until this version is in the index, then ``INDEXED``; ``FAILED`` if it never will be. One
            that is sent again is tried again, even if nothing in it has changed.
    """

    document_id: UUID
    version: int
    status: str
    title: str
    content: str
    author: str
    language: str
    tags: list[str]
    metadata: dict[str, Any]
    created_at: datetime
    published_at: datetime
    updated_at: datetime

    def entry(self) -> Entry:
        """The document as it is indexed."""
        return Entry(
            title=self.title,
            content=self.content,
            author=self.author,
            language=self.language,
            tags=tuple(self.tags),
            metadata=self.metadata,
            created_at=self.created_at,
            published_at=self.published_at,
            updated_at=self.updated_at,
        )

    def write(self, tenant_id: UUID) -> Write:
        """What an index is told of it: one that was deleted goes, and who is late with an older version is too late."""
        entry = None if self.status == "DELETED" else self.entry()
        return Write(tenant_id=tenant_id, document_id=self.document_id, version=self.version, entry=entry)


class Version(Struct, frozen=True):
    """A version that was replaced.

    Attributes:
        version: Its number.
        replaced_at: When the next one came.
        document: What it was.
    """

    version: int
    replaced_at: datetime
    document: dict[str, Any]


@dataclass
class _Row:
    """What is known of a document while operations are gone through."""

    version: int
    alive: bool
    digest: bytes
    created_at: datetime
    published_at: datetime
    failed: bool = False


_COLUMNS: Final = ", ".join(Found.__struct_fields__)

_UPSERT: Final = """
    INSERT INTO documents (tenant_id, document_id, version, status, title, content, author, language, tags, metadata,
                           content_hash, size_bytes, created_at, published_at, updated_at)
    SELECT $1, document_id, version, status, title, content, author, language,
           ARRAY(SELECT jsonb_array_elements_text(tags::jsonb)), metadata::jsonb, content_hash, size_bytes, created_at,
           published_at, $2
    FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
                $11::text[], $12::bytea[], $13::int[], $14::timestamptz[], $15::timestamptz[])
        AS given (document_id, version, status, title, content, author, language, tags, metadata, content_hash,
                  size_bytes, created_at, published_at)
    ON CONFLICT (tenant_id, document_id) DO UPDATE SET
        version = excluded.version, status = excluded.status, title = excluded.title, content = excluded.content,
        author = excluded.author, language = excluded.language, tags = excluded.tags, metadata = excluded.metadata,
        content_hash = excluded.content_hash, size_bytes = excluded.size_bytes, created_at = excluded.created_at,
        published_at = excluded.published_at, updated_at = excluded.updated_at
"""

_BURIED: Final = Document(title="", published_at=datetime(1970, 1, 1, tzinfo=UTC))
"""What is kept of a deleted document beside its id and version: nothing."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Operations that somebody asks for together.

    Attributes:
        scope: Who writes, and for which tenant.
        origin: From where.
        operations: What to do, in this order.
        kind: What its task calls itself.
        trace: The trace that it is part of.
    """

    scope: Scope
    origin: Origin
    operations: Sequence[Operation]
    kind: str = "write"
    trace: str = field(default_factory=tracing.carry)


Outcome = tuple[UUID | None, list[Stored | ApiError]]
"""The task that ends when all is in the index (None if nothing has changed), and a result per operation."""


async def apply(
    connection: Connection,
    scope: Scope,
    origin: Origin,
    operations: Sequence[Operation],
    *,
    kind: str = "write",
    max_bytes: int = 2**20,
) -> Outcome:
    """Carries out operations, each for itself: one that cannot be done leaves the others alone.

    Args:
        connection: A transaction on the primary that sees the tenant. All is written when it commits, or nothing.
        scope: Who writes, and for which tenant.
        origin: From where.
        operations: What to do, in this order.
        kind: What the task calls itself.
        max_bytes: The largest document, bytes, for what a patch makes of one.

    Raises:
        ForbiddenError: The scope may not write.
    """
    request = Request(scope=scope, origin=origin, operations=operations, kind=kind)
    (outcome,) = await apply_all(connection, [request], max_bytes=max_bytes)
    return outcome


class TogetherError(Exception):
    """Requests that each can be carried out cannot be in one transaction: two of them are about the same document."""


async def apply_all(connection: Connection, requests: Sequence[Request], *, max_bytes: int = 2**20) -> list[Outcome]:
    """Carries out requests of one tenant in their order, each with a task and a row of the audit trail of its own.

    Args:
        connection: A transaction on the primary that sees the tenant. All is written when it commits, or nothing.
        requests: What is asked for. No two name the same document.
        max_bytes: The largest document, bytes, for what a patch makes of one.

    Raises:
        ForbiddenError: A scope may not write.
        TogetherError: One that has no id was given that of a document that a later one names.
    """
    tenant_id = requests[0].scope.tenant_id
    for request in requests:
        request.scope.require(Right.WRITE)
        if request.scope.tenant_id != tenant_id:
            raise ForbiddenError("a transaction was to write for two tenants", why="each sees one alone")
    await audit.lock(connection, tenant_id)
    plan = _Plan(tenant_id, max_bytes)
    await plan.look(connection, [one for request in requests for one in request.operations])
    outcomes: list[Outcome] = []
    done: list[tasks.New] = []
    written: list[outbox.New] = []
    rows: list[audit.Entry] = []
    for request in requests:
        if plan.has_touched(request.operations):
            raise TogetherError
        results = [plan.decide(operation) for operation in request.operations]
        changed = [one for one in results if isinstance(one, Stored) and one.changed]
        if not changed:
            outcomes.append((None, results))
            continue
        task_id = uuid4()
        outcomes.append((task_id, results))
        done.append(tasks.New(task_id, request.kind, len(changed)))
        written += [outbox.New(task_id, one.document_id, one.version, request.trace) for one in changed]
        resource = f"document/{changed[0].document_id}" if len(changed) == 1 else f"task/{task_id}"
        detail = {"documents": [[str(one.document_id), one.version, one.effect] for one in changed]}
        rows.append(audit.Entry(request.scope, request.origin, request.kind, resource, detail))
    if written:
        await plan.write(connection)
        await tasks.create_all(connection, tenant_id, done)
        await outbox.enqueue(connection, tenant_id, written)
        await audit.record_all(connection, rows)
    return outcomes


class _Plan:
    """Operations against what is there: first looked up, then decided in memory, then written at once."""

    def __init__(self, tenant_id: UUID, max_bytes: int) -> None:
        self._tenant_id, self._max_bytes = tenant_id, max_bytes
        self._now = datetime.now(UTC)
        self._there: dict[UUID, _Row] = {}
        self._bodies: dict[UUID, Document] = {}
        self._by_digest: dict[bytes, UUID] = {}
        self._touched: set[UUID] = set()
        self._rows: list[tuple[Any, ...]] = []
        self._replaced: list[UUID] = []
        self._deleted: list[UUID] = []

    async def look(self, connection: Connection, operations: Sequence[Operation]) -> None:
        """Looks up all that the decisions need, in three queries at most."""
        ids = {operation.document_id for operation in operations if operation.document_id}
        rows = await connection.fetch(
            """
            SELECT document_id, version, status, content_hash, created_at, published_at FROM documents
            WHERE tenant_id = $1 AND document_id = ANY($2)
            """,
            self._tenant_id,
            list(ids),
        )
        for row in rows:
            self._there[row["document_id"]] = _row(row)
        if patched := [one.document_id for one in operations if one.kind == "patch" and one.document_id]:
            for found in await many(connection, self._tenant_id, patched):
                body = {name: getattr(found, name) for name in Document.__struct_fields__}
                self._bodies[found.document_id] = msgspec.convert(body, Document)
        digests = [one.document.digest() for one in operations if one.document_id is None and one.document]
        if digests:
            same = await connection.fetch(
                """
                SELECT content_hash, document_id, version, status, created_at, published_at FROM documents
                WHERE tenant_id = $1 AND content_hash = ANY($2) AND status <> 'DELETED'
                -- The last one counts: the oldest, and one that is in the index rather than one that never will be.
                ORDER BY status <> 'FAILED', created_at DESC
                """,
                self._tenant_id,
                digests,
            )
            for row in same:
                self._by_digest[row["content_hash"]] = row["document_id"]
                self._there.setdefault(row["document_id"], _row(row))

    def has_touched(self, operations: Sequence[Operation]) -> bool:
        """Whether a document that operations name is changed already."""
        return any(operation.document_id in self._touched for operation in operations)

    def decide(self, operation: Operation) -> Stored | ApiError:
        """What an operation does, or why it cannot be done."""
        try:
            return self._decide(operation)
        except ApiError as error:
            return error

    def _decide(self, operation: Operation) -> Stored:
        document_id = operation.document_id
        if document_id is None:
            return self._add(operation)
        if document_id in self._touched:
            raise ConflictError(
                f"document {document_id} is in this request twice",
                why="which of both comes last would be chance",
                remedy="Send one of them in a request of its own",
            )
        row = self._there.get(document_id)
        alive = row is not None and row.alive
        if operation.if_match is not None:
            self._match(document_id, row, operation.if_match)
        if operation.kind == "create" and alive:
            raise ConflictError(f"there is a document {document_id}", remedy="Replace it by PUT, or take another id")
        if operation.kind in ("patch", "delete") and not alive:
            raise NotFoundError(f"there is no document {document_id}")
        if operation.kind == "delete":
            return self._delete(document_id)
        body = operation.document
        if operation.kind == "patch":
            body = documents.check(
                documents.merged(self._bodies[document_id], operation.patch), max_bytes=self._max_bytes, now=self._now
            )
        if body is None:
            raise InvalidRequestError(f"{operation.kind} of {document_id} has no document")
        return self._put(document_id, body, row, again=operation.again)

    def _match(self, document_id: UUID, row: _Row | None, wanted: int) -> None:
        if row is None or not row.alive:
            raise PreconditionFailedError(f"there is no document {document_id}", why="If-Match asks for one")
        if wanted not in (0, row.version):
            raise PreconditionFailedError(
                f"document {document_id} has version {row.version}, not {wanted}",
                why="somebody else has changed it",
                remedy="Read it again, and make the change to what it is now",
            )

    def _add(self, operation: Operation) -> Stored:
        if operation.document is None or operation.kind not in ("create", "put"):
            raise InvalidRequestError(f"{operation.kind} has no id", remedy="Say which document")
        digest = operation.document.digest()
        if same := self._by_digest.get(digest):
            row = self._there[same]
            if row.failed:
                return self._put(same, operation.document, row)
            return Stored(same, row.version, Effect.DUPLICATE)
        return self._put(uuid4(), operation.document, None)

    def _put(self, document_id: UUID, body: Document, row: _Row | None, *, again: bool = False) -> Stored:
        digest = body.digest()
        alive = row is not None and row.alive
        # What never came into the index is not there yet, whatever the database says: it is tried again.
        same = row is not None and alive and row.digest == digest and not row.failed
        if row and same and not again and body.published_at in (None, row.published_at):
            return Stored(document_id, row.version, Effect.UNCHANGED)
        created = row.created_at if row and alive else self._now
        published = body.published_at or (row.published_at if row and alive else self._now)
        version = row.version + 1 if row else 1
        self._set(document_id, version, "PENDING", body, digest, created, published)
        if row and alive:
            self._replaced.append(document_id)
            self._forget(document_id, row.digest)
        self._by_digest.setdefault(digest, document_id)
        return Stored(document_id, version, Effect.UPDATED if alive else Effect.CREATED)

    def _delete(self, document_id: UUID) -> Stored:
        row = self._there[document_id]
        version = row.version + 1
        # The row stays, without its content: its version goes on counting, so that nothing older comes back.
        self._set(document_id, version, "DELETED", _BURIED, b"", row.created_at, row.created_at)
        self._deleted.append(document_id)
        self._forget(document_id, row.digest)
        return Stored(document_id, version, Effect.DELETED)

    def _forget(self, document_id: UUID, digest: bytes) -> None:
        """What a document was is no longer there to be a duplicate of."""
        if self._by_digest.get(digest) == document_id:
            del self._by_digest[digest]

    def _set(
        self,
        document_id: UUID,
        version: int,
        status: str,
        body: Document,
        digest: bytes,
        created: datetime,
        published: datetime,
    ) -> None:
        self._touched.add(document_id)
        self._there[document_id] = _Row(version, status != "DELETED", digest, created, published)
        # As text: a list of lists would be taken for an array of two dimensions.
        kept = (orjson.dumps(one).decode() for one in (body.tags, body.metadata))
        text = (body.title, body.content, body.author, body.language, *kept)
        size = body.size() if digest else 0
        self._rows.append((document_id, version, status, *text, digest, size, created, published))

    async def write(self, connection: Connection) -> None:
        """Writes what was decided: first the versions that are replaced, then the documents."""
        if self._replaced:
            await connection.execute(
                """
                INSERT INTO document_versions (tenant_id, document_id, version, body)
                SELECT tenant_id, document_id, version, jsonb_build_object(
                    'title', title, 'content', content, 'author', author, 'language', language, 'tags', tags,
                    'metadata', metadata, 'published_at', published_at, 'updated_at', updated_at)
                FROM documents WHERE tenant_id = $1 AND document_id = ANY($2)
                """,
                self._tenant_id,
                self._replaced,
            )
        if self._deleted:
            # Who deletes a document means all of it.
            await connection.execute(
                "DELETE FROM document_versions WHERE tenant_id = $1 AND document_id = ANY($2)",
                self._tenant_id,
                self._deleted,
            )
        # In the order of their ids, as the worker locks them (`outbox.settle`): neither then waits for the other.
        rows = sorted(self._rows, key=itemgetter(0))
        await connection.execute(_UPSERT, self._tenant_id, self._now, *map(list, zip(*rows, strict=True)))


async def get(connection: Connection, tenant_id: UUID, document_id: UUID) -> Found:
    """A document.

    Raises:
        NotFoundError: The tenant has no such document.
    """
    found = await many(connection, tenant_id, [document_id])
    if not found:
        raise NotFoundError(f"there is no document {document_id}")
    return found[0]


async def many(connection: Connection, tenant_id: UUID, ids: Sequence[UUID]) -> list[Found]:
    """Those of some documents that there are."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM documents WHERE tenant_id = $1 AND document_id = ANY($2) AND status <> 'DELETED'",
        tenant_id,
        list(ids),
    )
    return [_found(row) for row in rows]


async def versions(connection: Connection, tenant_id: UUID, document_id: UUID) -> list[Version]:
    """The versions of a document that were replaced, the newest first.

    Raises:
        NotFoundError: The tenant has no such document.
    """
    await get(connection, tenant_id, document_id)
    rows = await connection.fetch(
        """
        SELECT version, replaced_at, body FROM document_versions
        WHERE tenant_id = $1 AND document_id = $2 ORDER BY version DESC LIMIT 100
        """,
        tenant_id,
        document_id,
    )
    return [Version(row["version"], row["replaced_at"], row["body"]) for row in rows]


async def page(
    connection: Connection, tenant_id: UUID, after: UUID | None, size: int, *, max_bytes: int
) -> list[Found]:
    """The documents behind one in the order of their ids, deleted ones as well, to go through all of a tenant's.

    Args:
        connection: A transaction that sees the tenant.
        tenant_id: Whose documents.
        after: The last one of the page before; None begins at the beginning.
        size: So many at most.
        max_bytes: So much at most, bytes; a document that is larger comes alone.
    """
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM (
            SELECT *, sum(size_bytes) OVER (ORDER BY document_id) AS filled FROM (
                SELECT {_COLUMNS}, size_bytes FROM documents
                WHERE tenant_id = $1 AND ($2::uuid IS NULL OR document_id > $2)
                ORDER BY document_id LIMIT $3
            ) AS behind
        ) AS summed
        WHERE filled <= $4 OR filled = size_bytes
        ORDER BY document_id
        """,
        tenant_id,
        after,
        size,
        max_bytes,
    )
    return [_found(row) for row in rows]


async def versions_page(
    connection: Connection, tenant_id: UUID, after: UUID | None, size: int
) -> list[tuple[UUID, int]]:
    """Versions of the documents behind one in the order of their ids."""
    rows = await connection.fetch(
        """
        SELECT document_id, version FROM documents
        WHERE tenant_id = $1 AND status <> 'DELETED' AND ($2::uuid IS NULL OR document_id > $2)
        ORDER BY document_id LIMIT $3
        """,
        tenant_id,
        after,
        size,
    )
    return [(row["document_id"], row["version"]) for row in rows]


async def states_of(connection: Connection, tenant_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, tuple[int, str]]:
    """Version and status of those of some documents that there are."""
    rows = await connection.fetch(
        """
        SELECT document_id, version, status FROM documents
        WHERE tenant_id = $1 AND document_id = ANY($2) AND status <> 'DELETED'
        """,
        tenant_id,
        [*ids],
    )
    return {row["document_id"]: (row["version"], row["status"]) for row in rows}


async def current_versions(connection: Connection, tenant_id: UUID) -> Mapping[UUID, int]:
    """Version by document of all that a tenant has: what the index is compared with."""
    rows = await connection.fetch(
        "SELECT document_id, version FROM documents WHERE tenant_id = $1 AND status <> 'DELETED'", tenant_id
    )
    return {row["document_id"]: row["version"] for row in rows}


def _row(row: asyncpg.Record) -> _Row:
    return _Row(
        version=row["version"],
        alive=row["status"] != "DELETED",
        digest=row["content_hash"],
        created_at=row["created_at"],
        published_at=row["published_at"],
        failed=row["status"] == "FAILED",
    )


def _found(row: asyncpg.Record) -> Found:
    return Found(**{**row, "metadata": documents.as_given(row["metadata"])})
