"""The outbox: what was written and is not in the index yet. Embedded, it is the queue as well.

A row is written in the transaction of its document and deleted when the document is in the index, whoever carried it
there. A worker holds its rows by row locks, in a transaction: when it dies they are free again at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app.index.model import Health
from app.queue.model import Batch, Claim, Depth, parts
from app.store import tasks
from app.store.database import Connection, Database

FIRST_DELAY: Final = 1.0
LAST_DELAY: Final = 300.0
"""A document that failed comes again after 1 s, 2 s, 4 s, ... and at the latest after 5 min, less jitter: a random part
of that, up to a half, so that what failed in different batches does not come again all at once."""

OUTAGE_DELAY: Final = 5.0
"""What waits for an index that is down is tried again after so long, s, less jitter."""

_NIL: Final = UUID(int=0)


@dataclass(frozen=True)
class New:
    """A row that is added.

    Attributes:
        task_id: What waits for the document.
        document_id: The document.
        version: Its version.
        trace: The trace that the index work continues; empty if there is none.
    """

    task_id: UUID
    document_id: UUID
    version: int
    trace: str


async def enqueue(connection: Connection, tenant_id: UUID, written: Sequence[New]) -> None:
    """Adds rows, in the transaction that writes the documents.

    Args:
        connection: The transaction.
        tenant_id: Whose documents.
        written: The rows.
    """
    await connection.execute(
        """
        INSERT INTO outbox (tenant_id, task_id, document_id, version, trace)
        SELECT $1, task_id, document_id, version, trace
        FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::text[]) AS written (task_id, document_id, version, trace)
        """,
        tenant_id,
        [one.task_id for one in written],
        [one.document_id for one in written],
        [one.version for one in written],
        [one.trace for one in written],
    )


async def waiting(connection: Connection, tenant_id: UUID, claims: Sequence[Claim]) -> list[tuple[Claim, int]]:
    """Those of some claims whose rows are there, each with the size of its document, bytes; the others are done."""
    rows = await connection.fetch(
        """
        SELECT outbox_id, coalesce(size_bytes, 0) AS size FROM outbox LEFT JOIN documents USING (tenant_id, document_id)
        WHERE tenant_id = $1 AND outbox_id = ANY($2)
        """,
        tenant_id,
        [claim.outbox_id for claim in claims],
    )
    sizes = {row["outbox_id"]: row["size"] for row in rows}
    return [(claim, sizes[claim.outbox_id]) for claim in claims if claim.outbox_id in sizes]


async def settle(connection: Connection, claims: Sequence[Claim], versions: dict[UUID, int]) -> None:
    """Documents are in the index: their rows go, their tasks count them, their status says so.

    Args:
        connection: A transaction of the worker that sees the tenant.
        claims: Claims of one tenant.
        versions: The version of each document that the index got.
    """
    gone = await _remove(connection, claims)
    if not gone:
        return
    tenant_id = gone[0].tenant_id
    await tasks.count(connection, tenant_id, gone)
    await _lock(connection, tenant_id, versions)
    await connection.execute(
        """
        UPDATE documents SET status = 'INDEXED'
        FROM unnest($2::uuid[], $3::bigint[]) AS indexed (id, version)
        WHERE tenant_id = $1 AND document_id = indexed.id AND documents.version = indexed.version
          AND status IN ('PENDING', 'FAILED')
        """,
        tenant_id,
        list(versions),
        list(versions.values()),
    )


async def postpone(
    connection: Connection, claims: Sequence[Claim], reason: str, *, attempts: int, counted: bool = True
) -> None:
    """Documents failed: they come again later, or never after so many attempts.

    Args:
        connection: A transaction of the worker that sees the tenant.
        claims: Claims of one tenant.
        reason: Why.
        attempts: So many, and it is given up.
        counted: Whether this was one of them.
    """
    # What failed together comes again together: in pieces it would be many batches.
    jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
    if not counted:
        await connection.execute(
            """
            UPDATE outbox SET last_error = $2, published_at = NULL, available_at = now() + make_interval(secs => $3)
            WHERE outbox_id = ANY($1)
            """,
            [claim.outbox_id for claim in claims],
            reason[:1000],
            OUTAGE_DELAY * jitter,
        )
        return
    given_up = [claim for claim in claims if claim.attempts + 1 >= attempts]
    await bury(connection, given_up, f"given up after {attempts} attempts: {reason}")
    again = [claim for claim in claims if claim.attempts + 1 < attempts]
    await connection.executemany(
        """
        UPDATE outbox SET attempts = attempts + 1, last_error = $2, published_at = NULL,
                          available_at = now() + make_interval(secs => $3)
        WHERE outbox_id = $1
        """,
        [
            (claim.outbox_id, reason[:1000], min(FIRST_DELAY * 2**claim.attempts, LAST_DELAY) * jitter)
            for claim in again
        ],
    )


async def bury(connection: Connection, claims: Sequence[Claim], reason: str) -> None:
    """Documents will never be in the index: dead letters with a reason, and their tasks fail."""
    gone = await _remove(connection, claims)
    if not gone:
        return
    tenant_id = gone[0].tenant_id
    await connection.executemany(
        """
        INSERT INTO dead_letters (outbox_id, tenant_id, document_id, version, task_id, attempts, reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
        """,
        [
            (one.outbox_id, tenant_id, one.document_id, one.version, one.task_id, one.attempts + 1, reason[:1000])
            for one in gone
        ],
    )
    await tasks.count(connection, tenant_id, gone, reason=reason[:1000])
    await _lock(connection, tenant_id, [claim.document_id for claim in gone])
    await connection.execute(
        """
        UPDATE documents SET status = 'FAILED'
        FROM unnest($2::uuid[], $3::bigint[]) AS dead (id, version)
        WHERE tenant_id = $1 AND document_id = dead.id AND documents.version = dead.version AND status = 'PENDING'
        """,
        tenant_id,
        [claim.document_id for claim in gone],
        [claim.version for claim in gone],
    )


async def _remove(connection: Connection, claims: Sequence[Claim]) -> list[Claim]:
    """Deletes rows and says which were there: what is counted twice was delivered twice."""
    ids = sorted(claim.outbox_id for claim in claims)
    rows = await connection.fetch("DELETE FROM outbox WHERE outbox_id = ANY($1) RETURNING outbox_id", ids)
    gone = {row["outbox_id"] for row in rows}
    return [claim for claim in claims if claim.outbox_id in gone]


async def _lock(connection: Connection, tenant_id: UUID, ids: Collection[UUID]) -> None:
    """Locks documents in the order of their ids: whoever writes them at that moment does so in the same order."""
    await connection.fetch(
        "SELECT FROM documents WHERE tenant_id = $1 AND document_id = ANY($2) ORDER BY document_id FOR NO KEY UPDATE",
        tenant_id,
        [*ids],
    )


async def depth(connection: Connection) -> Depth:
    """How much waits, over all tenants. The dead are counted by tenant, where row-level security shows them."""
    row = await connection.fetchrow(
        """
        SELECT count(*) AS ready, coalesce(extract(epoch FROM now() - min(written_at)), 0)::float8 AS oldest FROM outbox
        """
    )
    assert row is not None
    return Depth(row["ready"], max(row["oldest"], 0.0), 0)


@dataclass
class _Delivery:
    """A batch whose rows this transaction holds."""

    batch: Batch
    _connection: Connection
    _attempts: int
    _answering: bool = False

    async def done(self, claims: Sequence[Claim], versions: dict[UUID, int]) -> None:
        await self._begin()
        await settle(self._connection, claims, versions)

    async def again(self, claims: Sequence[Claim], reason: str, *, counted: bool = True) -> None:
        await self._begin()
        await postpone(self._connection, claims, reason, attempts=self._attempts, counted=counted)

    async def dead(self, claims: Sequence[Claim], reason: str) -> None:
        await self._begin()
        await bury(self._connection, claims, reason)

    async def _begin(self) -> None:
        """Locks all that answers are about before the first one: each would begin anew with its own lowest id."""
        if self._answering:
            return
        self._answering = True
        await tasks.lock(self._connection, self.batch.tenant_id, {claim.task_id for claim in self.batch.claims})
        await _lock(self._connection, self.batch.tenant_id, {claim.document_id for claim in self.batch.claims})


class OutboxQueue:
    """The outbox as a queue: nothing has to be published, the rows are the messages.

    Tenants take turns, so that the one with the longest queue holds nobody up. A delivery is what is written into an
    index at once (`app.queue.model.PART_BYTES`): what its answers lock is locked until it ends.

    Args:
        database: Pools of the worker's login.
        batch: Documents of a delivery at most.
        attempts: Attempts until a document is a dead letter.
        poll_seconds: How often to look when nothing said that there is something, s.
    """

    def __init__(self, database: Database, *, batch: int, attempts: int, poll_seconds: float = 0.2) -> None:
        self._database, self._batch, self._attempts, self._poll = database, batch, attempts, poll_seconds
        self._last = _NIL
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Something was written in this process: no need to wait for the next look."""
        self._news.set()

    async def publish(self, batches: Sequence[Batch]) -> None:
        """Nothing to do: what is in the outbox is published."""
        if batches:
            self.wake()

    @asynccontextmanager
    async def delivery(self) -> AsyncIterator[_Delivery | None]:
        """The next batch of the tenant whose turn it is."""
        async with self._database.outbox() as connection:
            rows = await self._take(connection, after=self._last) or await self._take(connection, after=_NIL)
            if not rows:
                yield None
                return
            tenant_id = self._last = rows[0]["tenant_id"]
            await connection.execute("SELECT set_config('docsearch.tenant_id', $1, true)", str(tenant_id))
            there = await waiting(connection, tenant_id, [Claim(**dict(row)) for row in rows])
            part = next(parts(there))
            yield _Delivery(Batch(tenant_id, tuple(part)), connection, self._attempts)

    async def _take(self, connection: Connection, *, after: UUID) -> list[Any]:
        return await connection.fetch(
            """
            SELECT outbox_id, tenant_id, document_id, version, task_id, attempts, written_at, trace FROM outbox
            WHERE tenant_id = (
                SELECT tenant_id FROM outbox WHERE tenant_id > $1 AND available_at <= now()
                ORDER BY tenant_id, outbox_id LIMIT 1 FOR UPDATE SKIP LOCKED
            ) AND available_at <= now()
            ORDER BY available_at, outbox_id LIMIT $2 FOR UPDATE SKIP LOCKED
            """,
            after,
            self._batch,
        )

    async def wait(self, seconds: float) -> None:
        """Returns when this process has written something, or it is time to look."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), min(seconds, self._poll))
        self._news.clear()

    async def depth(self) -> Depth:
        """How much waits."""
        async with self._database.outbox() as connection:
            return await depth(connection)

    async def health(self) -> Health:
        """As well as PostgreSQL."""
        found = await self._database.health()
        return Health(found.ok, {"kind": "outbox"}, found.reason)

    async def close(self) -> None:
        """The pools are not its own."""
