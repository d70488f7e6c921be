"""Erasure of a person's documents in PostgreSQL (GDPR, article 17).

Whose documents they are stands in ``metadata.user_id``. An erasure keeps a keyed hash of that and no name: enough to
find the same person's documents in a database that was restored from before, and nothing to whoever has no key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from msgspec import Struct

from app.errors import InvalidRequestError
from app.store import audit, tasks
from app.store.audit import Origin
from app.store.database import Connection
from app.tenancy import Right, Scope

FIELD: Final = "metadata.user_id"

MAX_SUBJECT: Final = 1_000
"""As long as a value of the metadata, characters (`app.document.MAX_VALUE`)."""


class Erasure(Struct, frozen=True):
    """An erasure that was asked for.

    Attributes:
        erasure_id: Its id.
        task_id: The task that ends when nothing of the person is left.
        documents: Documents that it is about.
    """

    erasure_id: UUID
    task_id: UUID
    documents: int


@dataclass(frozen=True)
class Open:
    """An erasure that is not finished."""

    tenant_id: UUID
    erasure_id: UUID
    task_id: UUID


@dataclass(frozen=True)
class Subjects:
    """Keyed hashes of who is erased.

    Attributes:
        hash: Hashes a text with a key that is not in the database (`app.access.keys.Keys.digest`).
    """

    hash: Callable[[str], str]

    def digest(self, tenant_id: UUID, subject: str) -> bytes:
        """What is kept of a person: of each tenant something else."""
        return bytes.fromhex(self.hash(f"erasure {tenant_id} {subject}"))

    @property
    def key(self) -> str:
        """Tells one key from another, and nothing of it."""
        return self.hash("erasure key")[:16]


def check_subject(subject: str | int) -> str:
    """Whose documents to erase, as text: a number in the metadata is the same person as its digits.

    Raises:
        InvalidRequestError: No document can say that.
    """
    text = str(subject)
    if not 1 <= len(text) <= MAX_SUBJECT or "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        raise InvalidRequestError(
            "user_id cannot be a user's", why=f"it has 1 to {MAX_SUBJECT:,} characters", pointer="/user_id"
        )
    return text


async def ask(connection: Connection, scope: Scope, origin: Origin, subjects: Subjects, subject: str | int) -> Erasure:
    """Notes what is a person's. The worker erases it.

    Args:
        connection: A transaction on the primary that sees the tenant.
        scope: Who asks.
        origin: From where.
        subjects: Hashes names.
        subject: What ``metadata.user_id`` of the documents holds.

    Raises:
        ForbiddenError: The scope may not administrate.
        InvalidRequestError: No document can be of that person.
    """
    scope.require(Right.ADMIN)
    name = check_subject(subject)
    # Whoever writes is before this, and is found, or behind it, and was written after it was asked.
    await audit.lock(connection, scope.tenant_id)
    erasure_id, task_id = uuid4(), uuid4()
    documents: int = await connection.fetchval("SELECT note_erasure($1, $2)", erasure_id, name)
    # One more: what is done in the end, beyond the documents.
    await tasks.create(connection, scope.tenant_id, task_id, kind="erasure", total=documents + 1)
    await _insert(
        connection, scope.tenant_id, erasure_id, subjects.digest(scope.tenant_id, name), subjects.key, task_id
    )
    resource, detail = f"erasure/{erasure_id}", {"documents": documents, "field": FIELD}
    await audit.record(connection, scope, origin, action="erase_user", resource=resource, detail=detail)
    return Erasure(erasure_id, task_id, documents)


async def _insert(
    connection: Connection, tenant_id: UUID, erasure_id: UUID, digest: bytes, key: str, task_id: UUID
) -> None:
    await connection.execute(
        """
        INSERT INTO erasures (tenant_id, erasure_id, field, subject_hash, hash_key, task_id)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        tenant_id,
        erasure_id,
        FIELD,
        digest,
        key,
        task_id,
    )


async def unfinished(connection: Connection) -> list[Open]:
    """Erasures of all tenants that are not finished, the oldest first.

    Args:
        connection: A transaction of the worker's login.
    """
    rows = await connection.fetch(
        """
        SELECT tenant_id, erasure_id, task_id FROM erasures
        WHERE finished_at IS NULL AND task_id IS NOT NULL ORDER BY asked_at, erasure_id LIMIT 100
        """
    )
    return [Open(**dict(row)) for row in rows]


async def bury(connection: Connection, one: Open, most: int) -> int:
    """Erases some of the documents of an erasure from PostgreSQL, and queues them for the indexes.

    What is another's by now stays, without the versions that were the user's.
    """
    return int(
        await connection.fetchval(
            "SELECT erase_documents($1, $2, $3, $4)", one.tenant_id, one.erasure_id, one.task_id, most
        )
    )


async def waiting(connection: Connection, one: Open) -> bool:
    """Whether something of an erasure is on its way to an index. What was written since it was buried is not asked.

    Args:
        connection: A transaction of the worker's login that sees the tenant.
        one: The erasure.
    """
    return bool(
        await connection.fetchval(
            """
            SELECT EXISTS (SELECT FROM outbox JOIN erased_documents AS noted USING (tenant_id, document_id)
                           WHERE tenant_id = $1 AND erasure_id = $2 AND outbox.version <= noted.version)
            """,
            one.tenant_id,
            one.erasure_id,
        )
    )


async def awaited(connection: Connection, one: Open) -> dict[UUID, int]:
    """The documents of an erasure that wait for the index with a later version, each with what it has to have by now.

    That they wait does not say what an index has: the version that was waited for may have failed, or been taken back.
    """
    rows = await connection.fetch(
        """
        SELECT document_id, noted.version FROM erased_documents AS noted JOIN documents USING (tenant_id, document_id)
        WHERE tenant_id = $1 AND erasure_id = $2 AND status = 'PENDING'
        """,
        one.tenant_id,
        one.erasure_id,
    )
    return {row["document_id"]: row["version"] for row in rows}


async def kept(connection: Connection, one: Open) -> list[UUID]:
    """The documents of an erasure that are there all the same: another's by now, or written again."""
    rows = await connection.fetch(
        """
        SELECT document_id FROM erased_documents JOIN documents USING (tenant_id, document_id)
        WHERE tenant_id = $1 AND erasure_id = $2 AND status NOT IN ('DELETED', 'FAILED') ORDER BY document_id
        """,
        one.tenant_id,
        one.erasure_id,
    )
    return [row["document_id"] for row in rows]


async def erased(connection: Connection, one: Open) -> list[UUID]:
    """The documents of an erasure that no index may hold: all but those that are there, and indexed or about to be.

    What an index has of a document that failed is at best the version before, and that may be what is erased.
    """
    rows = await connection.fetch(
        """
        SELECT noted.document_id FROM erased_documents AS noted
        LEFT JOIN documents USING (tenant_id, document_id)
        WHERE noted.tenant_id = $1 AND noted.erasure_id = $2 AND coalesce(status, 'DELETED') IN ('DELETED', 'FAILED')
        """,
        one.tenant_id,
        one.erasure_id,
    )
    return [row["document_id"] for row in rows]


async def finish(connection: Connection, one: Open) -> None:
    """Nothing is left: says so in the trail and in the task, and forgets which documents it was about."""
    await connection.execute("SELECT finish_erasure($1, $2)", one.tenant_id, one.erasure_id)
    await connection.execute(
        """
        UPDATE tasks SET done = total - failed, finished_at = now(), started_at = coalesce(started_at, now()),
                         state = CASE WHEN failed > 0 THEN 'failed' ELSE 'succeeded' END
        WHERE tenant_id = $1 AND task_id = $2
        """,
        one.tenant_id,
        one.task_id,
    )


# The ledger: what an operator keeps outside, and what is done with it after a restore.


async def deployment(connection: Connection) -> UUID:
    """Which deployment's data this database holds."""
    return UUID(str(await connection.fetchval("SELECT deployment_id()")))


async def entries(connection: Connection) -> list[dict[str, Any]]:
    """All erasures as entries of the ledger, as the worker or an administrator sees them."""
    rows = await connection.fetch(
        """
        SELECT erasure_id, tenant_id, field, subject_hash, hash_key, asked_at FROM erasures
        WHERE task_id IS NOT NULL ORDER BY asked_at, erasure_id
        """
    )
    return [
        {
            "erasure_id": str(row["erasure_id"]),
            "tenant_id": str(row["tenant_id"]),
            "field": row["field"],
            "subject": row["subject_hash"].hex(),
            "key": row["hash_key"],
            "asked_at": row["asked_at"].isoformat(),
        }
        for row in rows
    ]


async def unknown(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Which of some erasures the database knows nothing of: it is older than they are."""
    rows = await connection.fetch("SELECT unknown_erasures($1)", list(ids))
    return [row[0] for row in rows]


async def subjects_of(connection: Connection, tenant_id: UUID) -> list[str]:
    """Everybody whose documents, or versions of them, a tenant has; as an administrator sees them."""
    rows = await connection.fetch(
        """
        SELECT metadata ->> 'user_id' AS subject FROM documents WHERE tenant_id = $1 AND metadata ? 'user_id'
        UNION
        SELECT body -> 'metadata' ->> 'user_id' FROM document_versions
        WHERE tenant_id = $1 AND body -> 'metadata' ? 'user_id'
        """,
        tenant_id,
    )
    return [row["subject"] for row in rows if row["subject"] is not None]


async def replay(connection: Connection, entry: dict[str, Any], subject: str | None, *, batch: int) -> int:
    """Does an erasure again that a restored database knows nothing of. Whoever is interrupted begins it again.

    Args:
        connection: Of an administrator, in no transaction.
        entry: Of the ledger.
        subject: Whose documents; None if the database has none of that person.
        batch: Documents of a transaction at most.

    Returns:
        How many documents it was about.
    """
    tenant_id, erasure_id, task_id = UUID(entry["tenant_id"]), UUID(entry["erasure_id"]), uuid4()
    one, count = Open(tenant_id, erasure_id, task_id), 0
    if subject is not None:
        async with connection.transaction():
            await connection.execute("SELECT set_config('docsearch.tenant_id', $1, true)", str(tenant_id))
            count = await connection.fetchval("SELECT note_erasure($1, $2)", erasure_id, subject)
        while await bury(connection, one, batch):
            pass
    async with connection.transaction():
        if await connection.fetchval("SELECT true FROM tenants WHERE tenant_id = $1", tenant_id):
            await tasks.create(connection, tenant_id, task_id, kind="erasure", total=count + 1)
        # Last of all: until it is there, the database counts as one that knows nothing of it.
        await _insert(connection, tenant_id, erasure_id, bytes.fromhex(entry["subject"]), entry["key"], task_id)
        await connection.execute(
            "UPDATE erasures SET asked_at = $3 WHERE tenant_id = $1 AND erasure_id = $2",
            tenant_id,
            erasure_id,
            datetime.fromisoformat(entry["asked_at"]),
        )
    return count
