"""What the service does by itself: finishes erasures, and deletes every day what is older than its tenant keeps it.

Every worker has it, and one of them does it at a time: whoever holds the advisory lock, which ends with its holder.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from app.index.model import Index, Outcome
from app.ledger import Ledger
from app.resilience.deadline import pause, surviving, unless
from app.search.model import Cache
from app.store import documents, erasures
from app.store.database import Connection, Database
from app.store.erasures import Open
from app.tenancy import internal

log = structlog.get_logger(__name__)

ACTOR: Final = "worker"

LOCK: Final = 0x686F7573
"""The advisory lock of whoever keeps house ("hous")."""

BATCH: Final = 500
"""Documents, or tasks, that are deleted in one transaction."""

PUT_BACK: Final = 20
"""Documents that are read and written again at once: each may have a MiB."""

LOOK_SECONDS: Final = 2.0
"""How long to wait before looking for an erasure again, s."""

SETTLE_SECONDS: Final = 45.0
"""OpenSearch keeps what was deleted for its replicas for 30 s; after so long it can be taken off the disk."""

HOUR: Final = 2
"""When old documents are deleted, UTC (requirement, section 9)."""


class Housekeeping:
    """Keeps house.

    Args:
        database: Pools of the worker's login.
        indexes: Where documents are, besides.
        cache: Where answers with them are.
        ledger: Where erasures are noted outside of the database, if anywhere: none is carried out before it is there.
        settle_seconds: How long an erasure waits between the last write and the disk, s; by default `SETTLE_SECONDS`.
        clock: Tells the time.
    """

    def __init__(
        self,
        database: Database,
        indexes: Sequence[Index],
        cache: Cache,
        *,
        ledger: Ledger | None = None,
        settle_seconds: float | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database, self._indexes, self._cache, self._ledger = database, indexes, cache, ledger
        self._settle = SETTLE_SECONDS if settle_seconds is None else settle_seconds
        self._clock = clock
        # The first night is caught up with: nobody knows whether somebody was there.
        self._next = clock()
        self._settled: dict[UUID, float] = {}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Lets it end after the step that it is at."""
        self._stopping.set()

    async def run(self) -> None:
        """Keeps house until it is told to stop. Whatever happens, it goes on."""
        while not self._stopping.is_set():
            # The index work beside it does not end for it.
            with surviving("housekeeping"):
                await self.step()
            await pause(self._stopping, LOOK_SECONDS)

    async def step(self) -> int:
        """Does what there is to do, unless another worker is at it.

        Returns:
            How many erasures are still open.
        """
        async with self._alone() as connection:
            if connection is None:
                return 0
            opened = await erasures.unfinished(connection)
            night = self._clock() >= self._next
            # Every night, too: a ledger that this region did not keep until now lacks what the other one noted.
            if self._ledger and (opened or night):
                await self._ledger.add(await erasures.deployment(connection), await erasures.entries(connection))
            left = 0
            for one in opened:
                finished = False
                # One that cannot go on holds up neither the others nor what comes every night.
                with surviving("erasure"):
                    finished = await self._erase(one)
                left += not finished
            if night:
                if not await connection.fetchval("SELECT retention_is_scheduled()"):
                    await self.delete_old()
                tonight = self._clock().replace(hour=HOUR, minute=0, second=0, microsecond=0)
                self._next = tonight if tonight > self._clock() else tonight + timedelta(days=1)
            return left

    async def delete_old(self) -> int:
        """Deletes what is older than its tenant keeps it, and tasks that ended long ago, batch after batch.

        Returns:
            How many documents that were.
        """
        deleted = await self._delete("documents")
        await self._delete("tasks")
        return deleted

    async def _delete(self, what: str) -> int:
        total = 0
        while True:
            async with self._database.outbox() as connection:
                deleted: int = await connection.fetchval(f"SELECT delete_old_{what}($1)", BATCH)
            total += deleted
            if not deleted or self._stopping.is_set():
                return total
            log.info(f"old_{what}_deleted", **{what: deleted})

    async def _erase(self, one: Open) -> bool:
        """Brings an erasure on, and says whether it is finished."""
        scope = internal(one.tenant_id, ACTOR)
        while True:
            async with self._database.write(scope) as connection:
                if not await erasures.bury(connection, one, BATCH):
                    break
        async with self._database.read(scope) as connection:
            if await erasures.waiting(connection, one):
                self._settled.pop(one.erasure_id, None)
                return False
            awaited = await erasures.awaited(connection, one)
            gone = await erasures.erased(connection, one)
        if not await self._have(one.tenant_id, awaited):
            self._settled.pop(one.erasure_id, None)
            return False
        now = time.monotonic()
        if now - self._settled.setdefault(one.erasure_id, now) < self._settle:
            return False
        try:
            for index in self._indexes:
                # It may take an hour.
                if not await unless(self._stopping, index.expunge(one.tenant_id, gone)):
                    return False
        finally:
            whole = await self._put_back(one)
        if not whole:
            return False
        # After the indexes: what is answered from here on cannot hold it any more.
        if not await self._cache.forget(one.tenant_id):
            return False
        async with self._database.write(scope) as connection:
            await erasures.finish(connection, one)
        self._settled.pop(one.erasure_id, None)
        log.info("erasure_finished", erasure=str(one.erasure_id))
        return True

    async def _have(self, tenant_id: UUID, awaited: Mapping[UUID, int]) -> bool:
        """Whether every index has some documents at a version at least, or not at all."""
        for index in self._indexes if awaited else ():
            found = await index.versions_of(tenant_id, [*awaited])
            if any(version < awaited[document_id] for document_id, version in found.items()):
                return False
        return True

    async def _put_back(self, one: Open) -> bool:
        """Writes again what is there of an erasure's documents: it may have come while the indexes were expunged.

        Every time, whatever was expunged: who was killed in between knows nothing of it.

        Returns:
            Whether every index has it.
        """
        scope, whole = internal(one.tenant_id, ACTOR), True
        async with self._database.read(scope) as connection:
            ids = await erasures.kept(connection, one)
        for at in range(0, len(ids), PUT_BACK):
            async with self._database.read(scope) as connection:
                found = await documents.many(connection, one.tenant_id, ids[at : at + PUT_BACK])
            writes = [its.write(one.tenant_id) for its in found if its.status != "FAILED"]
            for index in self._indexes if writes else ():
                whole &= all(its.outcome is not Outcome.FAILED for its in await index.write(writes))
        return whole

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection | None]:
        """A transaction that holds the lock; None if another worker does."""
        async with self._database.outbox() as connection:
            # It waits for OpenSearch, which may take longer than a transaction usually may do nothing.
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            got = await connection.fetchval("SELECT NOT pg_is_in_recovery() AND pg_try_advisory_xact_lock($1)", LOCK)
            yield connection if got else None
