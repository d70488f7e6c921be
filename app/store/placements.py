"""Where tenants are, by the database: read by every process that searches or writes, changed by who moves them.

Who writes asks each time, and after it has read the documents that it writes. A document that was changed before a move
began to copy is then copied, and one that was changed later is written to both places: there is no third case. Who
searches may be late by `LAYOUT_SECONDS`: the place that a tenant has left is emptied later than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from cachetools import TTLCache

from app.errors import UnavailableError
from app.index.placement import PREFIX, SHARED, Layout, Place, Placement, Tier, layout_of, written
from app.store.database import Connection, Database
from app.tenancy import internal

LAYOUT_SECONDS: Final = 5.0
"""A search may take a tenant to be where it was so long ago, s."""

MOST_KNOWN: Final = 10_000
"""Tenants whose place a process knows."""

ACTOR: Final = "placements"


class Step(StrEnum):
    """How far a move has come. Each step may be done twice."""

    SETTLED = "settled"
    """Nothing moves."""
    MAKE = "make"
    """The new index is made, or the tenant's traces in the shared one removed."""
    COPY = "copy"
    """From here on writes go to both places, and documents are copied from the database."""
    CHECK = "check"
    """The new place is compared with the database."""
    SWAP = "swap"
    """The alias is moved, and from here on the tenant is found at the new place."""
    LEAVE = "leave"
    """When nobody can be there any more, the old place is emptied."""


BOTH: Final = (Step.COPY, Step.CHECK, Step.SWAP)
"""While these last, what is written is written to both places."""


@dataclass(frozen=True)
class Move:
    """A tenant's row.

    Attributes:
        tenant_id: The tenant, or `SHARED`.
        place: Where it is.
        step: How far it has come.
        goal: Where it is going.
        old_index: The index behind its alias before; empty if there was none.
        new_index: The index that is filled; empty if it goes into the shared one.
        copied_tenant: The tenant that was last copied from, of the shared index.
        copied_document: The document that was copied last.
        step_at: When the step began.
        now: The time of the database.
    """

    tenant_id: UUID
    place: Place
    step: Step
    goal: Place | None
    old_index: str
    new_index: str
    copied_tenant: UUID | None
    copied_document: UUID | None
    step_at: datetime
    now: datetime

    @property
    def placement(self) -> Placement:
        """Where it is found and written to."""
        return Placement(self.tenant_id, self.place, self.goal if self.step in BOTH else None)


class StoredLayouts:
    """How tenants' documents are reached, as the database has it.

    Args:
        database: Pools of any login of the service.
        prefix: What names of indexes begin with.
        seconds: How long a search takes a tenant to be where it was, s.
        clock: The time, s.
    """

    def __init__(
        self,
        database: Database,
        *,
        prefix: str = PREFIX,
        seconds: float = LAYOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._prefix, self._clock = database, prefix, clock
        self._seconds = seconds
        # Kept for longer than they are trusted: when the database is away, where a tenant was is where it is.
        self._known: TTLCache[UUID, tuple[float, Layout]] = TTLCache(MOST_KNOWN, 3600.0, clock)

    async def read(self, tenant_id: UUID) -> Layout:
        """Where a tenant is found.

        Raises:
            UnavailableError: The database does not answer, and nothing is known.
        """
        known = self._known.get(tenant_id)
        if known and known[0] > self._clock():
            return known[1]
        asked_at = self._clock()
        try:
            one, _ = await self._look(tenant_id)
        except UnavailableError:
            if known:
                return known[1]
            raise
        layout = layout_of(one.place, tenant_id, prefix=self._prefix)
        self._known[tenant_id] = asked_at + self._seconds, layout
        return layout

    async def written(self, tenants: Collection[UUID]) -> Mapping[UUID, Sequence[Layout]]:
        """Where what belongs to tenants is written, as of now."""
        found = {}
        for tenant_id in tenants:
            one, shared = await self._look(tenant_id)
            found[tenant_id] = written(one, shared, prefix=self._prefix)
        return found

    async def _look(self, tenant_id: UUID) -> tuple[Placement, Placement]:
        async with self._database.read(internal(tenant_id, ACTOR)) as connection:
            rows = await connection.fetch(f"{_SELECT} WHERE tenant_id IN ($1, $2)", tenant_id, SHARED)
        found = {row["tenant_id"]: _move(row).placement for row in rows}
        return found.get(tenant_id) or Placement(tenant_id), found.get(SHARED) or Placement(SHARED)


_SELECT: Final = "SELECT *, now() AS now FROM placements"


async def every(connection: Connection) -> dict[UUID, Move]:
    """Every row, as an administrator sees them."""
    return {row["tenant_id"]: _move(row) for row in await connection.fetch(f"{_SELECT} ORDER BY step_at, tenant_id")}


async def place(connection: Connection, tenant_id: UUID) -> Place:
    """Where a tenant is found, as an administrator sees it; who was never placed is small."""
    row = await connection.fetchrow(f"{_SELECT} WHERE tenant_id = $1", tenant_id)
    return _move(row).place if row else Place()


def place_in(rows: Mapping[UUID, Move], tenant_id: UUID) -> Place:
    """The same, of `every` row."""
    return rows[tenant_id].place if tenant_id in rows else Place()


async def find(connection: Connection, tenant_id: UUID) -> Move:
    """The row of a tenant, which is made if there is none, as an administrator sees it."""
    await connection.execute("INSERT INTO placements (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING", tenant_id)
    row = await connection.fetchrow(f"{_SELECT} WHERE tenant_id = $1", tenant_id)
    assert row is not None
    return _move(row)


async def begin(connection: Connection, tenant_id: UUID, goal: Place, *, old_index: str, new_index: str) -> None:
    """A move begins. Nothing but this row says so yet."""
    await connection.execute(
        """
        UPDATE placements SET step = 'make', next_tier = $2, next_primaries = $3, old_index = $4, new_index = $5,
                              copied_tenant = NULL, copied_document = NULL, step_at = now()
        WHERE tenant_id = $1 AND step = 'settled'
        """,
        tenant_id,
        goal.tier.value,
        goal.primaries,
        old_index,
        new_index,
    )


async def reach(connection: Connection, tenant_id: UUID, step: Step) -> None:
    """The next step begins; copying begins at the first document."""
    await connection.execute(
        """
        UPDATE placements SET step = $2, step_at = now(), copied_tenant = NULL, copied_document = NULL
        WHERE tenant_id = $1
        """,
        tenant_id,
        step.value,
    )


async def copied(connection: Connection, tenant_id: UUID, tenant: UUID, document_id: UUID) -> None:
    """Everything up to a document was copied."""
    await connection.execute(
        "UPDATE placements SET copied_tenant = $2, copied_document = $3 WHERE tenant_id = $1",
        tenant_id,
        tenant,
        document_id,
    )


async def arrive(connection: Connection, tenant_id: UUID) -> None:
    """The tenant is found at the new place, and written there alone: one row, at one moment."""
    await connection.execute(
        """
        UPDATE placements SET tier = next_tier, primaries = next_primaries, step = 'leave', step_at = now()
        WHERE tenant_id = $1 AND step = 'swap'
        """,
        tenant_id,
    )


async def settle(connection: Connection, tenant_id: UUID) -> None:
    """The move is done."""
    await connection.execute(
        """
        UPDATE placements SET step = 'settled', next_tier = NULL, next_primaries = NULL, old_index = '', new_index = '',
                              step_at = now()
        WHERE tenant_id = $1
        """,
        tenant_id,
    )


def _move(row: Any) -> Move:
    goal = Place(Tier(row["next_tier"]), row["next_primaries"]) if row["next_tier"] else None
    place, step = Place(Tier(row["tier"]), row["primaries"]), Step(row["step"])
    names = ("old_index", "new_index", "copied_tenant", "copied_document", "step_at", "now")
    return Move(row["tenant_id"], place, step, goal, **{name: row[name] for name in names})
