"""Tenants moved from index to index while they are searched and written: between tiers, and to make an index again.

A move is a row of `app.store.placements` and goes through its steps; each can be done again. Whoever dies in the middle
of one leaves it where it is: writes go on to both places, searches to the old one, and the next who moves anything
finishes it first. Documents come from the database, not from the old index, by the versions that they have there: what
a worker writes beside it is never older, and nothing is there twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from uuid import UUID

from app.comparison import WAIT_SECONDS
from app.errors import ConflictError
from app.index.opensearch import WRITE_SECONDS, OpenSearch
from app.index.opensearch_admin import Indexes
from app.index.placement import SHARED, Layout, Place, Tier, following, index_name, layout_of, next_layout
from app.rebuild import fill, made_equal
from app.store import placements, tenants
from app.store.database import Connection, Database
from app.store.placements import LAYOUT_SECONDS, Move, Step

GRACE_SECONDS: Final = WRITE_SECONDS + LAYOUT_SECONDS
"""Who was told where a tenant was is done with it after so long: the longest write, and the oldest layout."""

Tell = Callable[[str], None]
Reached = Callable[[str], None]


def nothing(_: str) -> None:
    """Takes it, and does nothing."""


class Mover:
    """Moves tenants. One at a time in a domain: `alone` sees to it.

    Args:
        connection: Of the owner of the schema, outside of any transaction.
        work: Pools of the worker's login.
        search: The engine.
        tell: Takes lines of progress.
        grace: How long the old place is kept, s.
        wait: How long a comparison waits for what is being written, s.
        reached: Is told of every moment at which a process may die, for tests that end it there.
    """

    def __init__(
        self,
        connection: Connection,
        work: Database,
        search: OpenSearch,
        *,
        tell: Tell = nothing,
        grace: float = GRACE_SECONDS,
        wait: float = WAIT_SECONDS,
        reached: Reached = nothing,
    ) -> None:
        self._connection, self._work, self._search = connection, work, search
        self._indexes, self._tell = Indexes(search), tell
        self._grace, self._wait, self._reached = grace, wait, reached
        self._names: Mapping[UUID, str] = {}

    async def alone(self) -> None:
        """Keeps everybody else from moving, for as long as the connection is there.

        Raises:
            ConflictError: Somebody else moves.
        """
        lock = "SELECT pg_try_advisory_lock(hashtextextended('docsearch placements', 0))"
        if not await self._connection.fetchval(lock):
            raise ConflictError(
                "tenants are being moved already", why="one moves at a time", remedy="Wait for the other command"
            )

    async def resume(self) -> list[UUID]:
        """Goes on with what was interrupted, until all are found where they were going.

        Returns:
            Who was moved.
        """
        begun = [one for one in await self._unsettled() if one.step is not Step.LEAVE]
        for one in begun:
            self._tell(f"{await self._name(one.tenant_id)}: a move that was interrupted goes on at {one.step}")
            await self._go_on(one.tenant_id)
        return [one.tenant_id for one in begun]

    async def leave(self, *, wait: bool = True) -> None:
        """Empties the places that were left.

        Args:
            wait: Whether to wait for the time at which nobody can be there any more.
        """
        for one in await self._unsettled():
            if one.step is Step.LEAVE and (wait or self._rest(one) <= 0):
                await self._go_on(one.tenant_id, to=Step.SETTLED)

    async def move(self, tenant_id: UUID, goal: Place) -> None:
        """Moves a tenant, or the shared index; to where it is already, to make its index again.

        It is found at the new place in the end; `leave` empties the old one.

        Raises:
            ConflictError: It is being moved, or what was copied differs from the database in the end.
            UnavailableError: PostgreSQL or OpenSearch does not answer. What was begun can be gone on with.
        """
        await self.leave(wait=False)
        row = await placements.find(self._connection, tenant_id)
        if row.step is Step.LEAVE:
            await self._go_on(tenant_id, to=Step.SETTLED)
            row = await placements.find(self._connection, tenant_id)
        if row.step is not Step.SETTLED:
            raise ConflictError("a move was interrupted", remedy="Finish it first: docsearch-api tenants place")
        old = await self._indexes.behind(self._layout(row.place, tenant_id).alias)
        new = ""
        if goal.tier is not Tier.SMALL or tenant_id == SHARED:
            new = index_name(self._layout(goal, tenant_id).alias, await self._indexes.every())
        elif row.place.tier is Tier.SMALL:
            raise ConflictError("a small tenant is not moved to where it is", why="its index is others', too")
        await placements.begin(self._connection, tenant_id, goal, old_index=old, new_index=new)
        await self._go_on(tenant_id)

    async def _unsettled(self) -> list[Move]:
        return [one for one in (await placements.every(self._connection)).values() if one.step is not Step.SETTLED]

    async def _go_on(self, tenant_id: UUID, *, to: Step = Step.LEAVE) -> None:
        steps: dict[Step, Callable[[Move], Awaitable[None]]] = {
            Step.MAKE: self._make,
            Step.COPY: self._copy,
            Step.CHECK: self._check,
            Step.SWAP: self._swap,
            Step.LEAVE: self._leave,
        }
        while (row := await placements.find(self._connection, tenant_id)).step not in (to, Step.SETTLED):
            self._reached(f"before {row.step}")
            await steps[row.step](row)
            self._reached(f"after {row.step}")

    async def _make(self, row: Move) -> None:
        """Nobody writes to the new place yet: what is there of the tenant is of a time before."""
        goal = _goal(row)
        if row.new_index:
            await self._search.make_index(row.new_index, self._next(goal, row.tenant_id))
        else:
            await self._search.at(self._layout(goal, row.tenant_id)).delete_tenant(row.tenant_id)
        self._reached("made")
        await placements.reach(self._connection, row.tenant_id, Step.COPY)

    async def _copy(self, row: Move) -> None:
        goal, total = _goal(row), 0
        name, where = await self._name(row.tenant_id), row.new_index or "the shared index"
        last_tenant, last_document = row.copied_tenant, row.copied_document
        if row.new_index and await self._search.make_index(row.new_index, self._next(goal, row.tenant_id)):
            # It was deleted meanwhile, with what had been copied.
            last_tenant = last_document = None
        for tenant_id in await self._who(row):
            if last_tenant and tenant_id < last_tenant:
                continue

            async def copied(number: int, last: UUID, tenant_id: UUID = tenant_id) -> None:
                nonlocal total
                total += number
                await placements.copied(self._connection, row.tenant_id, tenant_id, last)
                self._tell(f"{name}: {total:,} documents copied to {where}")
                self._reached("copied")

            index = self._search.at(self._next(goal, row.tenant_id, of=tenant_id))
            after = last_document if tenant_id == last_tenant else None
            await fill(self._work, tenant_id, index.write, after=after, copied=copied)
        await placements.reach(self._connection, row.tenant_id, Step.CHECK)

    async def _check(self, row: Move) -> None:
        """Compares the new place with the database, and puts right what differs."""
        for tenant_id in await self._who(row):
            index = self._search.at(self._next(_goal(row), row.tenant_id, of=tenant_id))
            verdict = await made_equal(self._work, await self._name(tenant_id), tenant_id, index, wait=self._wait)
            if not verdict.equal:
                raise ConflictError(
                    f"{verdict.tenant} is not moved",
                    why=f"of {verdict.stored:,} documents at the new place differ: {verdict.differences}",
                    remedy="Searches go to the old place. Run it again when the worker has caught up",
                )
        await placements.reach(self._connection, row.tenant_id, Step.SWAP)

    async def _swap(self, row: Move) -> None:
        if row.new_index:
            await self._indexes.swap(self._layout(_goal(row), row.tenant_id).alias, row.new_index)
        self._reached("swapped")
        await placements.arrive(self._connection, row.tenant_id)
        self._tell(f"{await self._name(row.tenant_id)}: found at {row.new_index or 'the shared index'} from now on")

    async def _leave(self, row: Move) -> None:
        if (rest := self._rest(row)) > 0:
            self._tell(f"{await self._name(row.tenant_id)}: the old place is kept for {rest:.0f} s more")
            await asyncio.sleep(rest)
        alias = self._layout(row.place, row.tenant_id).alias
        if row.old_index and self._is_own(row):
            await self._indexes.drop(row.old_index, alias=alias)
        elif row.old_index:
            shared = self._layout(Place(), row.tenant_id)
            if await self._indexes.behind(shared.alias):
                await self._search.at(shared).delete_tenant(row.tenant_id)
        self._reached("left")
        if row.new_index:
            await self._indexes.forget(following(self._layout(row.place, row.tenant_id)).alias)
        await placements.settle(self._connection, row.tenant_id)

    def _rest(self, row: Move) -> float:
        """How long somebody may still be at the old place, s."""
        return self._grace - (row.now - row.step_at).total_seconds()

    def _is_own(self, row: Move) -> bool:
        """Whether the old index holds nobody else."""
        own = Place() if row.tenant_id == SHARED else Place(Tier.MEDIUM)
        return row.old_index.startswith(f"{self._layout(own, row.tenant_id).alias}-")

    async def _who(self, row: Move) -> list[UUID]:
        """Whose documents are moved. Who becomes a tenant after copying began is written to both places at once."""
        if row.tenant_id != SHARED:
            return [row.tenant_id]
        placed = await placements.every(self._connection)
        every = (await tenants.every(self._connection)).values()
        return sorted(one for one in every if placements.place_in(placed, one).tier is Tier.SMALL)

    async def _name(self, tenant_id: UUID) -> str:
        if tenant_id == SHARED:
            return "the shared index"
        if tenant_id not in self._names:
            self._names = {one: name for name, one in (await tenants.every(self._connection)).items()}
        return self._names.get(tenant_id, str(tenant_id))

    def _layout(self, place: Place, tenant_id: UUID) -> Layout:
        return layout_of(place, tenant_id, prefix=self._indexes.prefix)

    def _next(self, goal: Place, moved: UUID, *, of: UUID | None = None) -> Layout:
        """Where documents of a tenant are written that is moved, by itself or with the shared index."""
        if moved == SHARED:
            return following(self._layout(goal, of or moved))
        return next_layout(goal, moved, prefix=self._indexes.prefix)


def _goal(row: Move) -> Place:
    assert row.goal is not None, "the table's constraint"
    return row.goal
