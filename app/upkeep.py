"""The index as an operator keeps it: tenants placed by their size, indexes made again, compared with the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.administration import ACTOR, connect
from app.comparison import WAIT_SECONDS, Comparison, compare
from app.errors import ConflictError, SettingsError
from app.index.full_text import FullText
from app.index.model import Comparable
from app.index.opensearch import OpenSearch
from app.index.opensearch_admin import Indexes
from app.index.opensearch_setup import Access, Applied, Setup, Snapshots, State
from app.index.placement import (
    SHARED,
    Layout,
    Place,
    Placement,
    Size,
    Tier,
    layout_of,
    outdated,
    place_of,
    plan,
)
from app.moves import GRACE_SECONDS, Mover, Reached, Tell, nothing
from app.rebuild import rebuild_in_place
from app.runtime import open_search
from app.search.model import NoCache
from app.settings import Settings
from app.store import audit, placements, schema, tenants
from app.store.audit import Origin
from app.store.database import Connection, Database
from app.tenancy import internal

THE_SHARED: Final = "(shared)"
"""What the index that small tenants share is called among tenants: no name of one has brackets."""


@dataclass(frozen=True)
class Planned:
    """Where a tenant is and where it should be.

    Attributes:
        tenant: Its name, or `THE_SHARED`.
        documents: How many it has.
        size_bytes: What they take on primary shards, bytes; of a small one its share of the shared index.
        tier: Its tier.
        primaries: Primary shards of its index.
        next_tier: The tier that it belongs to.
        next_primaries: Primary shards that its index should have.
    """

    tenant: str
    documents: int
    size_bytes: int
    tier: Tier
    primaries: int
    next_tier: Tier
    next_primaries: int

    @property
    def moves(self) -> bool:
        """Whether it is moved."""
        return (self.tier, self.primaries) != (self.next_tier, self.next_primaries)


@dataclass
class _Open:
    """What an operator's command works with."""

    settings: Settings
    connection: Connection
    work: Database
    full_text: FullText
    search: OpenSearch | None
    names: Mapping[str, UUID]

    def chosen(self, tenant: str | None) -> Mapping[str, UUID]:
        """One tenant, or all."""
        return {tenant: self.names[tenant]} if tenant else self.names

    async def at(self, tenant_id: UUID) -> OpenSearch:
        """Where a tenant is found now: no process's memory stands between."""
        assert self.search is not None
        place = await placements.place(self.connection, tenant_id)
        return self.search.at(layout_of(place, tenant_id, prefix=self.search.prefix))


async def prepare(settings: Settings, *, tell: Tell) -> list[Applied]:
    """Puts in place what of OpenSearch is code, and the shared index unless documents are missing from it already.

    Raises:
        SettingsError: OpenSearch lacks something, and the settings say that this is a failure.
    """
    if not settings.opensearch_host:
        return []
    async with _open(settings, None) as its:
        assert its.search is not None
        applied = await _apply(settings, its.search, tell=tell)
        shared = _shared(its.search)
        indexed = await its.connection.fetchval("SELECT EXISTS (SELECT FROM documents WHERE status = 'INDEXED')")
        for name in outdated(await Indexes(its.search).every(), prefix=its.search.prefix):
            tell(f"OpenSearch: {name} is of a former layout (docsearch-api rebuild-index makes it again)")
        if not await Indexes(its.search).behind(shared.alias):
            if indexed:
                # An empty index would answer that there is nothing; without one full text answers.
                tell("OpenSearch: no index of small tenants (docsearch-api rebuild-index makes it from the database)")
            else:
                await its.search.make(shared)
        return applied


async def follow(settings: Settings, *, tell: Tell) -> list[Applied]:
    """The same where a region follows another one: its database is a replica, and its indexes are followers.

    Nothing is written to either. The schema has to be there, and an index of OpenSearch brings its own settings along;
    what belongs to the domain is put in place, so that whoever promotes the region finds it.

    Raises:
        SettingsError: The replica does not have the schema of this version yet.
    """
    work = await Database.open(settings, settings.database_user or "docsearch_index")
    try:
        async with work.find_key("") as connection:
            if not await schema.current(connection):
                raise SettingsError(
                    "the replica does not have the schema of this version",
                    why="it has the schema of the primary, which is older, or not here yet",
                    remedy="Bring the primary region up with this version first, and try again",
                )
        if not settings.opensearch_host:
            return []
        search = open_search(settings, work, NoCache())
        try:
            return await _apply(settings, search, tell=tell, follows=True)
        finally:
            await search.close()
    finally:
        await work.close()


async def _apply(settings: Settings, search: OpenSearch, *, tell: Tell, follows: bool = False) -> list[Applied]:
    applied = await _setup(settings, search).apply(follows=follows)
    for one in applied:
        tell(f"OpenSearch: {one}")
    lacking = [one for one in applied if one.state is State.LACKING]
    if lacking and settings.opensearch_lacking == "fail":
        raise SettingsError(
            f"{lacking[0].part} cannot be applied",
            why=lacking[0].detail,
            remedy="Install it, or set OPENSEARCH_LACKING=say",
        )
    return applied


def _setup(settings: Settings, search: OpenSearch) -> Setup:
    snapshots = None
    if settings.snapshot_bucket:
        snapshots = Snapshots(
            settings.snapshot_bucket, settings.snapshot_role, settings.snapshot_path, settings.aws_region
        )
    access = Access(*settings.let_in())
    return Setup(search, managed=settings.opensearch_login == "iam", snapshots=snapshots, access=access)


async def place(
    settings: Settings,
    tenant: str | None = None,
    tier: Tier | None = None,
    *,
    dry_run: bool,
    tell: Tell,
    grace: float = GRACE_SECONDS,
    wait: float = WAIT_SECONDS,
    reached: Reached = nothing,
) -> list[Planned]:
    """Plans where tenants belong, and moves those that are elsewhere.

    Args:
        settings: Where everything is.
        tenant: Only this one.
        tier: Where it belongs, whatever its size is.
        dry_run: Whether to plan only.
        tell: Takes lines of progress.
        grace: How long an old place is kept, s.
        wait: How long a comparison waits for what is being written, s.
        reached: For tests: is told of every moment at which a process may die.

    Raises:
        SettingsError: There is no OpenSearch: full text has no places.
        NotFoundError: There is no such tenant.
        ConflictError: Somebody else moves tenants.
    """
    async with _open(settings, tenant) as its, _interruptible(tell):
        search = _needed(its)
        mover = Mover(its.connection, its.work, search, tell=tell, grace=grace, wait=wait, reached=reached)
        if dry_run:
            return await _plan(its, search, tenant, tier)
        await mover.alone()
        await mover.resume()
        planned = await _plan(its, search, tenant, tier)
        for one in planned:
            if one.moves:
                tenant_id = SHARED if one.tenant == THE_SHARED else its.names[one.tenant]
                await mover.move(tenant_id, Place(one.next_tier, one.next_primaries))
                await _record(its.connection, tenant_id, one)
        await mover.leave()
        return planned


async def rebuild(
    settings: Settings,
    tenant: str | None = None,
    *,
    tell: Tell,
    grace: float = GRACE_SECONDS,
    wait: float = WAIT_SECONDS,
    reached: Reached = nothing,
) -> list[Comparison]:
    """Makes indexes again from the database, and compares; they may be gone altogether.

    A new index is filled beside the old one and takes its place when it is whole. A tenant alone, of those that share
    an index, and full text are written again where they are, document by document. Either way searches go on.

    Raises:
        NotFoundError: There is no such tenant.
        ConflictError: Somebody else moves tenants, or what was copied differs in the end.
    """
    async with _open(settings, tenant) as its, _interruptible(tell):
        found = []
        if its.search:
            await _setup(settings, its.search).apply()
            mover = Mover(its.connection, its.work, its.search, tell=tell, grace=grace, wait=wait, reached=reached)
            await mover.alone()
            await mover.resume()
            found += await _rebuild_search(its, its.search, mover, tenant, wait)
            await mover.leave()
        for name, tenant_id in its.chosen(tenant).items():
            found.append(await rebuild_in_place(its.work, name, tenant_id, its.full_text, wait=wait))
            tell(f"{name}: {found[-1].documents:,} documents in {found[-1].level}")
        return found


async def verify(settings: Settings, tenant: str | None = None, *, wait: float = WAIT_SECONDS) -> list[Comparison]:
    """Compares indexes with the database, and changes nothing.

    Raises:
        NotFoundError: There is no such tenant.
        UnavailableError: OpenSearch does not answer, or lacks an index.
    """
    async with _open(settings, tenant) as its:
        found = []
        for name, tenant_id in its.chosen(tenant).items():
            every: list[Comparable] = [its.full_text]
            if its.search:
                every.insert(0, await its.at(tenant_id))
            for index in every:
                difference = await compare(its.work, tenant_id, index, wait=wait)
                found.append(difference.verdict(name, index.level))
        return sorted(found, key=lambda one: (one.level != "opensearch", one.tenant))


async def _rebuild_search(
    its: _Open, search: OpenSearch, mover: Mover, tenant: str | None, wait: float
) -> list[Comparison]:
    placed = await placements.every(its.connection)
    found = []
    if tenant is None:
        await mover.move(SHARED, placements.place_in(placed, SHARED))
    for name, tenant_id in its.chosen(tenant).items():
        place = placements.place_in(placed, tenant_id)
        if place.tier is not Tier.SMALL:
            await mover.move(tenant_id, place)
        elif tenant:
            if not await Indexes(search).behind(_shared(search).alias):
                raise ConflictError(
                    f"{tenant} shares an index that is not there",
                    remedy="Make it again for all: docsearch-api rebuild-index",
                )
            found.append(await rebuild_in_place(its.work, name, tenant_id, await its.at(tenant_id), wait=wait))
    if tenant and found:
        return found
    for name, tenant_id in its.chosen(tenant).items():
        difference = await compare(its.work, tenant_id, await its.at(tenant_id), wait=wait)
        found.append(difference.verdict(name, search.level))
    return found


async def _plan(its: _Open, search: OpenSearch, tenant: str | None, tier: Tier | None) -> list[Planned]:
    placed = await placements.every(its.connection)
    sizes = await _sizes(its, search, placed)
    found = []
    for name, tenant_id in {THE_SHARED: SHARED, **its.names}.items():
        if tenant and name != tenant:
            continue
        size = sizes[tenant_id]
        place = placements.place_in(placed, tenant_id)
        goal = place_of(tier, size.size_bytes) if tier else plan(Placement(tenant_id, place), size)
        goal = Place() if tenant_id != SHARED and goal.tier is Tier.SMALL else goal
        # Only the tier was asked for: who has it already is not moved for its shards.
        goal = place if tier is place.tier else goal
        found.append(
            Planned(name, size.documents, size.size_bytes, place.tier, place.primaries, goal.tier, goal.primaries)
        )
    return found


async def _sizes(its: _Open, search: OpenSearch, placed: Mapping[UUID, placements.Move]) -> dict[UUID, Size]:
    """Sizes by what indexes take; a small tenant has its share of the shared one, by the bytes of documents."""
    rows = await its.connection.fetch(
        """
        SELECT tenant_id, count(*) AS number, sum(size_bytes)::bigint AS size FROM documents
        WHERE status <> 'DELETED' GROUP BY tenant_id
        """
    )
    stored = {row["tenant_id"]: Size(row["number"], row["size"]) for row in rows}
    taken = await Indexes(search).sizes()
    shared_bytes = taken.get(_shared(search).alias, 0)
    small = [
        stored.get(one, Size(0, 0)) for one in its.names.values() if placements.place_in(placed, one).tier is Tier.SMALL
    ]
    whole = sum(one.size_bytes for one in small)
    found = {SHARED: Size(sum(one.documents for one in small), shared_bytes or whole)}
    for tenant_id in its.names.values():
        size = stored.get(tenant_id, Size(0, 0))
        place = placements.place_in(placed, tenant_id)
        if place.tier is Tier.SMALL:
            takes = shared_bytes * size.size_bytes // whole if whole and shared_bytes else size.size_bytes
        else:
            takes = taken.get(layout_of(place, tenant_id, prefix=search.prefix).alias, size.size_bytes)
        found[tenant_id] = Size(size.documents, takes)
    return found


async def _record(connection: Connection, tenant_id: UUID, planned: Planned) -> None:
    if tenant_id == SHARED:
        return
    detail = {"from": [planned.tier, planned.primaries], "to": [planned.next_tier, planned.next_primaries]}
    async with connection.transaction():
        await audit.record(
            connection,
            internal(tenant_id, ACTOR),
            Origin(),
            action="move_tenant",
            resource=f"tenant/{tenant_id}",
            detail=detail,
        )


@asynccontextmanager
async def _interruptible(tell: Tell) -> AsyncIterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        tell("Interrupted: searches and writes go on. To go on where it stopped, run it again.")
        raise


@asynccontextmanager
async def _open(settings: Settings, tenant: str | None) -> AsyncIterator[_Open]:
    async with AsyncExitStack() as stack:
        connection = await connect(settings)
        stack.push_async_callback(connection.close)
        if tenant:
            await tenants.find(connection, tenant)
        names = await tenants.every(connection)
        work = await Database.open(settings.model_copy(update={"database_user": ""}), "docsearch_index")
        stack.push_async_callback(work.close)
        search = None
        if settings.opensearch_host:
            search = open_search(settings, work, NoCache())
            stack.push_async_callback(search.close)
        yield _Open(settings, connection, work, FullText(work, work), search, names)


def _needed(its: _Open) -> OpenSearch:
    if its.search is None:
        raise SettingsError(
            "there is no OpenSearch to place tenants in", why="OPENSEARCH_HOST is not set; full text has no places"
        )
    return its.search


def _shared(search: OpenSearch) -> Layout:
    return layout_of(Place(), SHARED, prefix=search.prefix)
