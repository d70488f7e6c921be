"""An index filled from the database, which is the truth. While it goes on, searches find what they found before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from app.comparison import WAIT_SECONDS, Comparison, Difference, compare, settle
from app.errors import ApiError, DeadlineExceededError, OverloadedError, UnavailableError
from app.index.model import Comparable, Outcome, Write, Written
from app.queue.model import PART_BYTES
from app.store import documents
from app.store.database import Database
from app.tenancy import internal

BATCH: Final = 500
"""Documents that are read and written at once; of large ones, so many as the worker takes at once (`PART_BYTES`)."""

DIFFERENT: Final = 20
"""Documents that are put right at once: each may be as large as one can be, and they are few."""

ATTEMPTS: Final = 6
"""How often a batch is tried before the command gives up: with pauses of 0.5 s, 1 s, ... 16 s, about half a minute."""

WriteBatch = Callable[[Sequence[Write]], Awaitable[Sequence[Written]]]
Copied = Callable[[int, UUID], Awaitable[None]]

ACTOR: Final = "operator"


async def fill(
    work: Database, tenant_id: UUID, write: WriteBatch, *, after: UUID | None = None, copied: Copied | None = None
) -> int:
    """Writes all documents of a tenant.

    Args:
        work: Pools of the worker's login.
        tenant_id: Whose documents.
        write: Takes a batch.
        after: Where it ended the last time; None begins at the beginning.
        copied: Is told after each batch how many documents it was, and the last of them.

    Returns:
        How many that were.

    Raises:
        UnavailableError: They cannot be written, time and again.
    """
    total = 0
    while True:
        async with work.read(internal(tenant_id, ACTOR)) as connection:
            found = await documents.page(connection, tenant_id, after, BATCH, max_bytes=PART_BYTES)
        if not found:
            return total
        await _written(write, [one.write(tenant_id) for one in found])
        total += len(found)
        after = found[-1].document_id
        if copied:
            await copied(len(found), after)


async def repair(work: Database, tenant_id: UUID, index: Comparable, difference: Difference, *, wait: float) -> None:
    """Makes documents that differ what the database has."""
    ids = [*difference.found]
    for at in range(0, len(ids), DIFFERENT):
        some = ids[at : at + DIFFERENT]
        # Looked at again: what was written meanwhile is right, and newer than what was seen. An index is never ahead of
        # the database, unless the database was restored: then its versions are of a time that has not been.
        indexed = await index.versions_of(tenant_id, some)
        async with work.read(internal(tenant_id, ACTOR)) as connection:
            found = {one.document_id: one for one in await documents.many(connection, tenant_id, some)}
        foreign = [one for one, version in indexed.items() if one not in found or found[one].version < version]
        if foreign:
            await index.remove(tenant_id, foreign)
        await _written(index.restore, [one.write(tenant_id) for one in found.values()])
    await settle(work, tenant_id, index, difference, wait=wait)


async def made_equal(
    work: Database, name: str, tenant_id: UUID, index: Comparable, *, wait: float = WAIT_SECONDS
) -> Comparison:
    """Compares an index with the database, and puts right what differs."""
    difference = await compare(work, tenant_id, index, wait=min(wait, 1.0))
    if difference.found:
        await repair(work, tenant_id, index, difference, wait=wait)
    return difference.verdict(name, index.level)


async def rebuild_in_place(
    work: Database, name: str, tenant_id: UUID, index: Comparable, *, wait: float = WAIT_SECONDS
) -> Comparison:
    """Writes all documents of a tenant again where they are, and compares. Each is found all the while, old or new."""
    await fill(work, tenant_id, index.restore)
    return await made_equal(work, name, tenant_id, index, wait=wait)


async def _written(write: WriteBatch, batch: Sequence[Write]) -> None:
    """Writes a batch, and again what was not taken. What never will be stays away: the comparison tells of it."""
    pause = 0.5
    for attempt in range(ATTEMPTS):
        reason: ApiError
        try:
            failed = [one for one in await write(batch) if one.outcome is Outcome.FAILED]
        except (UnavailableError, OverloadedError, DeadlineExceededError) as error:
            reason = error
        else:
            if not failed:
                return
            batch = [one.write for one in failed]
            reason = UnavailableError(f"{len(batch)} documents were not written", why=failed[0].reason)
        if attempt + 1 == ATTEMPTS:
            raise reason
        await asyncio.sleep(pause)
        pause *= 2
