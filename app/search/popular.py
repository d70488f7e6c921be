"""What is asked often: counted in passing, written now and then, and warmed every hour.

    search -> note (memory) -> every 30 s, one statement per tenant -> popular_queries
                                                                            |
    cache <- engine <- one query at a time, while users leave room <- every hour, one process per tenant

A query is kept as it is asked, and with it whatever a person has typed: all of a tenant's go with each of its erasures
(`finish_erasure`), 30 days after they were asked last, and beyond the 2,000 that are asked most. Queries of tokens with
a forced filter are not counted: what one person may see is not warmed for all, and nothing found there says nothing of
the tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import structlog
from msgspec import Struct

from app.errors import ApiError, InvalidQueryError
from app.index.model import Query
from app.resilience.deadline import pause
from app.search.service import SearchService
from app.store.database import Connection, Database
from app.tenancy import ScopedQuery, internal

log = structlog.get_logger(__name__)

ACTOR: Final = "popular"

FLUSH_SECONDS: Final = 30.0
"""How often counts are written, s: a process that is killed has lost so much of them."""

ERASED_SECONDS: Final = 2 * FLUSH_SECONDS
"""For so long after an erasure nothing is counted of its tenant, s: a process may still hold what was asked before."""

PENDING_PER_TENANT: Final = 1_000
PENDING: Final = 20_000
"""Queries that wait to be written. Beyond that only those are counted that are there already."""

KEPT: Final = 2_000
"""Queries that are kept of a tenant: what is warmed, and as many that may get there."""

KEPT_FOR: Final = timedelta(days=30)

WARMED: Final = 1_000
WARM_EVERY: Final = timedelta(hours=1)
"""Issue 7: the top 1,000 queries per tenant, hourly."""

LOOK_SECONDS: Final = 60.0
"""How often a process looks whether a tenant is due, s."""

_NOBODY: Final = UUID(int=0)


class Popular(Struct, frozen=True):
    """A query, and how often it was asked.

    Attributes:
        query: As it was understood: words, filters, facets, order.
        asked: How often.
        found_nothing: How often of these nothing was found.
        last_at: When it was asked last, within half a minute.
    """

    query: dict[str, Any]
    asked: int
    found_nothing: int
    last_at: datetime


@dataclass
class _Count:
    query: Query
    asked: int = 0
    nothing: int = 0


class Counter:
    """Counts queries in memory, and writes them now and then.

    Args:
        database: Pools of the login that answers requests.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[UUID, dict[bytes, _Count]] = {}
        self._size = 0
        self._stopping = asyncio.Event()

    def note(self, query: ScopedQuery, digest: str, *, nothing: bool) -> None:
        """Counts a query that was answered. It is on the way of every search: one look-up, and an addition.

        Args:
            query: What was asked.
            digest: Of the query, hexadecimal: equal queries have the same.
            nothing: Whether nothing was found.
        """
        if query.forced:
            return
        of_tenant = self._pending.setdefault(query.tenant_id, {})
        key = digest.encode()
        count = of_tenant.get(key)
        if count is None:
            if len(of_tenant) >= PENDING_PER_TENANT or self._size >= PENDING:
                return
            count = of_tenant[key] = _Count(query.query)
            self._size += 1
        count.asked += 1
        count.nothing += nothing

    def stop(self) -> None:
        """Lets it end, once it has written what it has."""
        self._stopping.set()

    async def run(self) -> None:
        """Writes counts until it is told to stop."""
        while not self._stopping.is_set():
            await pause(self._stopping, FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> int:
        """Writes what was counted, and says how many queries that were. What cannot be written is lost."""
        pending, self._pending, self._size = self._pending, {}, 0
        written = 0
        for tenant_id, counts in pending.items():
            try:
                async with self._database.write(internal(tenant_id, ACTOR)) as connection:
                    await _add(connection, tenant_id, counts)
            except (ApiError, asyncpg.PostgresError) as error:
                log.warning("queries_not_counted", tenant=str(tenant_id), reason=type(error).__name__)
            else:
                written += len(counts)
        return written


class Warmer:
    """Asks what is asked often before anybody does, tenant by tenant, every hour by one process.

    Args:
        database: Pools of the login that answers requests.
        search: Whose cache is warmed.
        every: How often a tenant is.
        most: How many queries of it.
    """

    def __init__(
        self, database: Database, search: SearchService, *, every: timedelta = WARM_EVERY, most: int = WARMED
    ) -> None:
        self._database, self._search, self._every, self._most = database, search, every, most
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Lets it end after the query that it is at."""
        self._stopping.set()

    async def run(self) -> None:
        """Warms until it is told to stop. Whatever a dependency does, it goes on."""
        while not self._stopping.is_set():
            await pause(self._stopping, LOOK_SECONDS)
            with suppress(ApiError, asyncpg.PostgresError):
                while not self._stopping.is_set() and await self.step():
                    pass

    async def step(self) -> UUID | None:
        """Warms the tenant that has waited longest.

        Returns:
            The tenant; None if none is due, or all that are due are another process's.

        Raises:
            UnavailableError: PostgreSQL does not answer.
        """
        async with self._database.write(internal(_NOBODY, ACTOR)) as connection:
            # Taken and marked in one statement: whoever dies of it has warmed it for this hour.
            tenant_id: UUID | None = await connection.fetchval("SELECT next_to_warm($1)", self._every)
        if tenant_id is None:
            return None
        async with self._database.read(internal(tenant_id, ACTOR)) as connection:
            rows = await connection.fetch(
                "SELECT query FROM popular_queries WHERE tenant_id = $1 ORDER BY asked DESC, last_at DESC LIMIT $2",
                tenant_id,
                self._most,
            )
        warmed = await self._warm(tenant_id, [row["query"] for row in rows])
        log.info("warmed", tenant=str(tenant_id), queries=len(rows), asked=warmed)
        return tenant_id

    async def _warm(self, tenant_id: UUID, queries: Sequence[dict[str, Any]]) -> int:
        scope, warmed = internal(tenant_id, ACTOR), 0
        for one in queries:
            if self._stopping.is_set():
                break
            try:
                query = msgspec.convert(one, Query)
            except msgspec.ValidationError:
                continue  # another version of the service has counted it
            try:
                warmed += await self._search.warm(scope.query(query))
            except InvalidQueryError:
                continue
            except ApiError as error:
                # An engine that is down, or has more to do than it can, is asked nothing that can wait.
                log.warning("warming_ended", tenant=str(tenant_id), code=error.code)
                break
        return warmed


async def top(connection: Connection, tenant_id: UUID, *, nothing: bool, size: int) -> list[Popular]:
    """What a tenant's callers ask most, or what they ask most of which nothing was found."""
    order = "found_nothing" if nothing else "asked"
    rows = await connection.fetch(
        f"""
        SELECT query, asked, found_nothing, last_at FROM popular_queries
        WHERE tenant_id = $1 AND {order} > 0 ORDER BY {order} DESC, last_at DESC LIMIT $2
        """,
        tenant_id,
        size,
    )
    return [Popular(**dict(row)) for row in rows]


async def _add(connection: Connection, tenant_id: UUID, counts: dict[bytes, _Count]) -> None:
    # In order, so that two processes that add the same queries do not wait for each other.
    found = sorted(counts.items())
    await connection.execute(
        """
        INSERT INTO popular_queries AS old (tenant_id, digest, query, asked, found_nothing, last_at)
        SELECT $1, digest, query, asked, nothing, now()
        FROM unnest($2::bytea[], $3::jsonb[], $4::bigint[], $5::bigint[]) AS new (digest, query, asked, nothing)
        WHERE NOT EXISTS (
            SELECT FROM erasures
            WHERE tenant_id = $1 AND (finished_at IS NULL OR finished_at > now() - make_interval(secs => $6))
        )
        ON CONFLICT (tenant_id, digest) DO UPDATE SET
            asked = old.asked + excluded.asked, found_nothing = old.found_nothing + excluded.found_nothing,
            last_at = excluded.last_at
        """,
        tenant_id,
        [bytes.fromhex(digest.decode()) for digest, _ in found],
        [msgspec.to_builtins(one.query) for _, one in found],
        [one.asked for _, one in found],
        [one.nothing for _, one in found],
        ERASED_SECONDS,
    )
    await connection.execute(
        """
        DELETE FROM popular_queries WHERE tenant_id = $1 AND digest NOT IN (
            SELECT digest FROM popular_queries WHERE tenant_id = $1 AND last_at >= now() - $2::interval
            ORDER BY asked DESC, last_at DESC LIMIT $3
        )
        """,
        tenant_id,
        KEPT_FOR,
        KEPT,
    )
