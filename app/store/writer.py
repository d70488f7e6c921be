"""Writes of one tenant that wait for each other share a transaction: a group commit.

Writers of a tenant come one after the other (`app.store.audit.lock`), so each would wait for the commits of all before
it. Here what arrives during a transaction is written by the next one, all at once. Nobody waits for company: a write
that comes alone is written alone, at once. Each keeps a task, a row of the audit trail and a result of its own, and is
answered after the commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from app.errors import ApiError, OverloadedError
from app.resilience.bulkhead import INDEXING, Bulkhead
from app.store.database import Database
from app.store.documents import Outcome, Request, apply_all
from app.tenancy import Right

log = structlog.get_logger(__name__)

GROUP: Final = 500
"""Operations of a transaction; a request that has more gets one to itself."""

WAITING: Final = 1_000
"""Requests of one tenant that may wait: at 100 in a transaction, and 10 of these in a second, one second's."""


@dataclass(frozen=True)
class _Waiting:
    request: Request
    answer: asyncio.Future[Outcome]

    @property
    def documents(self) -> set[UUID]:
        return {one.document_id for one in self.request.operations if one.document_id is not None}


class Writer:
    """Writes documents.

    Args:
        database: Pools of the login that answers requests.
        max_bytes: The largest document, bytes.
        bulkhead: How many transactions there are at once: reads have the rest of the pool.
    """

    def __init__(self, database: Database, *, max_bytes: int, bulkhead: Bulkhead | None = None) -> None:
        self._database, self._max_bytes = database, max_bytes
        self._bulkhead = bulkhead or Bulkhead("writing", INDEXING)
        self._waiting: dict[UUID, deque[_Waiting]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def write(self, request: Request) -> Outcome:
        """Carries out a request, in a transaction that has committed when this returns.

        Raises:
            ForbiddenError: Its scope may not write.
            OverloadedError: Too many wait already, of its tenant or of all.
            ApiError: It cannot be written; whoever is in the same transaction is told of what is wrong with the
                database, and never of what is wrong with a neighbour.
        """
        request.scope.require(Right.WRITE)
        tenant_id = request.scope.tenant_id
        mine = _Waiting(request, asyncio.get_running_loop().create_future())
        queue = self._waiting.get(tenant_id)
        if queue is None:
            queue = self._waiting[tenant_id] = deque()
            # In a context of its own: it writes for others after the deadline of the one that it begins with.
            task = asyncio.get_running_loop().create_task(self._run(tenant_id, queue), context=Context())
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        if len(queue) >= WAITING:
            raise OverloadedError(
                f"{WAITING:,} writes of this tenant wait", remedy="Send many documents in a request", retry_after=1
            )
        queue.append(mine)
        return await mine.answer

    async def _run(self, tenant_id: UUID, queue: deque[_Waiting]) -> None:
        """Writes until nobody waits any more."""
        try:
            while queue:
                if group := _next(queue):
                    await self._write(group)
        finally:
            del self._waiting[tenant_id]
            for one in queue:
                one.answer.cancel()

    async def _write(self, group: list[_Waiting]) -> None:
        try:
            outcomes = await self._commit(group)
        except ApiError as error:
            # The database does not answer, or takes too long: that is nobody's own, and nobody is tried alone.
            _refuse(group, error)
        except Exception as error:  # noqa: BLE001 - whatever one of them is refused for, its neighbours are not
            if len(group) == 1:
                _refuse(group, error)
                return
            log.warning("group_written_apart", requests=len(group), reason=type(error).__name__)
            for one in group:
                await self._write([one])
        else:
            for one, outcome in zip(group, outcomes, strict=True):
                if not one.answer.done():
                    one.answer.set_result(outcome)

    async def _commit(self, group: list[_Waiting]) -> list[Outcome]:
        async with self._bulkhead.enter(), self._database.write(group[0].request.scope) as connection:
            return await apply_all(connection, [one.request for one in group], max_bytes=self._max_bytes)


def _next(queue: deque[_Waiting]) -> list[_Waiting]:
    """Takes from the front what one transaction can write: no document twice, and not too many."""
    group: list[_Waiting] = []
    named: set[UUID] = set()
    operations = 0
    while queue:
        one = queue[0]
        if one.answer.done():
            queue.popleft()  # whoever asked for it has gone
            continue
        operations += len(one.request.operations)
        if group and (operations > GROUP or named & one.documents):
            break
        named |= one.documents
        group.append(queue.popleft())
    return group


def _refuse(group: list[_Waiting], error: Exception) -> None:
    for one in group:
        if not one.answer.done():
            one.answer.set_exception(error)
