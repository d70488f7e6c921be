"""Synonyms of tenants, as searches ask for them: a query that is new is not to wait for PostgreSQL as well."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from cachetools import TTLCache

from app.store.database import Database
from app.tenancy import internal

MAX_WORDS: Final = 100_000

KEPT_SECONDS: Final = 60.0
"""A standby follows its database and its cache, each at its own pace: what it has read too early it reads again, s."""


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
        self._known: TTLCache[tuple[UUID, int, str], tuple[str, ...]] = TTLCache(MAX_WORDS, KEPT_SECONDS, clock)

    async def of(self, tenant_id: UUID, words: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The alternatives of those words that have any.

        Raises:
            UnavailableError: The database does not answer, and not all of them are known.
        """
        # Before the database is asked: what is changed in between is not kept under what comes after it.
        generation = await self._generation(tenant_id)
        keys = {word: (tenant_id, generation, word) for word in words}
        found = {word: known for word, key in keys.items() if (known := self._known.get(key)) is not None}
        if missing := [word for word in words if word not in found]:
            # Not of a replica: what it does not have yet would be kept for as long as nothing changes.
            async with self._database.read(internal(tenant_id, "synonyms")) as connection:
                rows = await connection.fetch("SELECT word, alternatives FROM synonyms WHERE word = ANY($1)", missing)
            there = {row["word"]: tuple(row["alternatives"]) for row in rows}
            for word in missing:
                found[word] = there.get(word, ())
                if generation:
                    self._known[keys[word]] = found[word]
        return {word: alternatives for word, alternatives in found.items() if alternatives}
