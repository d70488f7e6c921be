"""Synonyms of tenants, as searches ask for them: a query that is new is not to wait for PostgreSQL as well."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from cachetools import TLRUCache

from app.store.database import Database
from app.tenancy import internal

MAX_TENANTS: Final = 1_000

WHOLE: Final = 1_000
"""Words of a tenant with synonyms that are all kept, those without being known by that. Who has more is asked about."""

KEPT_SECONDS: Final = 60.0
"""A standby follows its database and its cache, each at its own pace: what it has read too early it reads again, s."""

LATELY_SECONDS: Final = 1.0
"""The same of a tenant whose answers are kept under no generation, since Redis has lost it, s: every search of it
asks for synonyms then, and no change would be noticed sooner."""

_ACTOR: Final = "synonyms"

Synonyms = Mapping[str, Sequence[str]]


class StoredSynonyms:
    """Synonyms that the database has.

    What was read is kept as answers are: under the tenant's generation, which every change of a synonym raises.

    Args:
        database: Pools of the login that reads.
        generation: What a tenant's answers are kept under; 0 if nothing is kept.
        clock: Tells the time, s.
    """

    def __init__(
        self,
        database: Database,
        generation: Callable[[UUID], Awaitable[int]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._generation = database, generation
        #: What `_all` said. In a tuple: that there is too much to keep is known, too.
        self._known: TLRUCache[tuple[UUID, int], tuple[Synonyms | None]] = TLRUCache(MAX_TENANTS, _until, clock)

    async def of(self, tenant_id: UUID, words: Sequence[str]) -> Synonyms:
        """The alternatives of those words that have any.

        Raises:
            UnavailableError: The database does not answer, and they are not known.
        """
        # Before the database is asked: what is changed in between is not kept under what comes after it.
        generation = await self._generation(tenant_id)
        key = tenant_id, generation
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (await self._all(tenant_id),)
        (found,) = known
        if found is None:
            return await self._some(tenant_id, words)
        return {word: found[word] for word in words if word in found}

    async def _all(self, tenant_id: UUID) -> Synonyms | None:
        """All that a tenant has; None if that is too much to keep."""
        # Not of a replica: what it does not have yet would be kept for as long as nothing changes.
        async with self._database.read(internal(tenant_id, _ACTOR)) as connection:
            rows = await connection.fetch("SELECT word, alternatives FROM synonyms LIMIT $1", WHOLE + 1)
        return {row["word"]: row["alternatives"] for row in rows} if len(rows) <= WHOLE else None

    async def _some(self, tenant_id: UUID, words: Sequence[str]) -> Synonyms:
        async with self._database.read(internal(tenant_id, _ACTOR)) as connection:
            rows = await connection.fetch("SELECT word, alternatives FROM synonyms WHERE word = ANY($1)", [*words])
        return {row["word"]: row["alternatives"] for row in rows}


def _until(key: tuple[UUID, int], value: object, now: float) -> float:
    del value
    return now + (KEPT_SECONDS if key[1] else LATELY_SECONDS)
