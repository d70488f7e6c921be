"""The index worker: brings what waits into the index. What it is killed in the middle of is done again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import structlog

from app.errors import DeadlineExceededError, OverloadedError, UnavailableError
from app.housekeeping import Housekeeping
from app.index.model import Index, Outcome, Write, Written
from app.queue.model import Claim, Delivery, Queue, parts
from app.resilience.deadline import pause, surviving, unless
from app.search.model import Cache
from app.store import documents, outbox, tasks
from app.store.database import Database
from app.tenancy import internal
from app.trace import Attributes, tracing

log = structlog.get_logger(__name__)

ACTOR: Final = "worker"

LOOK_SECONDS: Final = 5.0
"""How long to wait for work before looking again, s."""

PAUSE_SECONDS: Final = 1.0
"""How long to wait after a dependency failed, s."""


class Worker:
    """Brings documents into every index.

    Args:
        database: Pools of the worker's login.
        queue: Where the work waits.
        indexes: Where it goes: all of them have to take a document before it counts as done.
        cache: Whose answers of a tenant are old once something of it was indexed.
        house: Keeps house beside it.
        batches: How many it has in hand at once: while one waits for an answer, another one is read or counted.
    """

    def __init__(
        self,
        database: Database,
        queue: Queue,
        indexes: Sequence[Index],
        cache: Cache,
        house: Housekeeping | None = None,
        *,
        batches: int = 1,
    ) -> None:
        self._database, self._queue, self._indexes, self._cache = database, queue, indexes, cache
        self.house, self._batches = house, batches
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Lets it end after the batches that it has in hand."""
        self._stopping.set()
        if self.house:
            self.house.stop()

    async def run(self) -> None:
        """Works until it is told to stop. Whatever happens, it goes on."""
        async with asyncio.TaskGroup() as beside:
            if self.house:
                beside.create_task(self.house.run())
            for _ in range(self._batches):
                beside.create_task(self._work())

    async def _work(self) -> None:
        while not self._stopping.is_set():
            worked = None
            # What was in hand comes again.
            with surviving("work"):
                worked = await self.step()
            if worked is None:
                await pause(self._stopping, PAUSE_SECONDS)
            elif not worked:
                with surviving("wait"):
                    await unless(self._stopping, self._queue.wait(LOOK_SECONDS))

    async def step(self) -> int:
        """Works on one delivery.

        Returns:
            How many claims it held; 0 if nothing waited.
        """
        async with self._queue.delivery() as delivery:
            if delivery is None:
                return 0
            batch = delivery.batch
            about: Attributes = {"batch.size": len(batch.claims), "docsearch.tenant_id": str(batch.tenant_id)}
            with tracing.batch("index", (claim.trace for claim in batch.claims), about):
                async with self._database.write(internal(batch.tenant_id, ACTOR)) as connection:
                    await tasks.start(connection, batch.tenant_id, batch.claims)
                    # What comes a second time finds its rows gone, and is not indexed again.
                    waiting = await outbox.waiting(connection, batch.tenant_id, batch.claims)
                for part in parts(waiting):
                    await self._index(delivery, part)
        await self._cache.advance(batch.tenant_id)
        return len(batch.claims)

    async def _index(self, delivery: Delivery, claims: Sequence[Claim]) -> None:
        writes = await self._read(delivery.batch.tenant_id, claims)
        worst: dict[UUID, tuple[Outcome, str]] = {}
        down: list[str] = []
        # All of them to their end, whatever becomes of one: what is written is harmless, what is half-way is not.
        ends = await asyncio.gather(
            *(_write(index, [*writes.values()]) for index in self._indexes), return_exceptions=True
        )
        for index, end in zip(self._indexes, ends, strict=True):
            if isinstance(end, (UnavailableError, OverloadedError, DeadlineExceededError)):
                # The others got it all the same: one of them stands in for this one.
                log.warning("index_down", index=index.level, reason=end.detail)
                down.append(f"{index.level}: {end.detail}")
                continue
            if isinstance(end, BaseException):
                raise end
            for written in end:
                document_id = written.write.document_id
                if document_id not in worst or _SEVERITY[written.outcome] > _SEVERITY[worst[document_id][0]]:
                    worst[document_id] = written.outcome, written.reason
        if down:
            await delivery.again(claims, "; ".join(down), counted=False)
            return
        done, by_reason = [], dict[tuple[Outcome, str], list[Claim]]()
        for claim in claims:
            outcome, reason = worst[claim.document_id]
            if outcome in (Outcome.APPLIED, Outcome.STALE):
                done.append(claim)
            else:
                by_reason.setdefault((outcome, reason), []).append(claim)
        if done:
            await delivery.done(done, {claim.document_id: writes[claim.document_id].version for claim in done})
        for (outcome, reason), failed in by_reason.items():
            log.warning("documents_not_indexed", outcome=outcome, reason=reason, documents=len(failed))
            await (delivery.dead if outcome is Outcome.REFUSED else delivery.again)(failed, reason)

    async def _read(self, tenant_id: UUID, claims: Sequence[Claim]) -> dict[UUID, Write]:
        """What the documents of claims are by now: what is not there any more is taken out."""
        newest: dict[UUID, int] = {}
        for claim in claims:
            newest[claim.document_id] = max(claim.version, newest.get(claim.document_id, 0))
        async with self._database.read(internal(tenant_id, ACTOR)) as connection:
            found = {one.document_id: one for one in await documents.many(connection, tenant_id, [*newest])}
        writes = {}
        for document_id, version in newest.items():
            there = found.get(document_id)
            writes[document_id] = Write(
                tenant_id=tenant_id,
                document_id=document_id,
                version=max(version, there.version) if there else version,
                entry=there.entry() if there else None,
            )
        return writes


async def _write(index: Index, writes: Sequence[Write]) -> Sequence[Written]:
    with tracing.span("engine", {"engine.name": index.level}, kind="client"):
        return await index.write(writes)


_SEVERITY: Final = {Outcome.APPLIED: 0, Outcome.STALE: 1, Outcome.FAILED: 2, Outcome.REFUSED: 3}
