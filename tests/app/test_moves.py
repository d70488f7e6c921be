"""Tenants move between tiers while they are searched and written, and whoever moves them may die at any moment."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from app import upkeep
from app.document import Document
from app.errors import ApiError, ConflictError, NotFoundError, SettingsError, UnavailableError
from app.index.model import Match, Query
from app.index.placement import MOST_DOCUMENTS, SCHEMA, SHARED, Tier
from app.moves import Mover, Reached
from app.store import documents
from app.store.audit import Origin
from app.store.database import Database, connect
from app.store.documents import Operation, Stored
from app.store.embedded import SUPERUSER
from app.store.placements import StoredLayouts
from app.tenancy import Scope
from tests.app.domain import GRACE_SECONDS, LAYOUT_SECONDS, Domain, domain_of
from tests.app.history import History
from tests.app.services.servers import OpenSearch as Server
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]

KEPT = 7
"""Documents that nobody changes: every search finds them, whatever is going on."""


@pytest.fixture
async def domain(world: World, opensearch: Server) -> AsyncIterator[Domain]:
    async with domain_of(world, opensearch) as its:
        yield its


class Killed(BaseException):
    """The process ends here."""


class Traffic:
    """A tenant that is written and searched all the while."""

    def __init__(self, domain: Domain, scope: Scope) -> None:
        self.domain, self.scope = domain, scope
        self.history = History()
        self.searches = 0
        self.wrong: list[str] = []
        self.stopping = asyncio.Event()

    async def write(self, chance: random.Random) -> None:
        mine: list[UUID] = []
        while not self.stopping.is_set():
            known = bool(mine) and chance.random() < 0.5
            document_id = chance.choice(mine) if known else uuid4()
            text = None if known and chance.random() < 0.3 else f"tea {uuid4()}"
            kind = "put" if text else "delete"
            operation = Operation(
                kind=kind,  # type: ignore[arg-type]
                document_id=document_id,
                document=Document(title=text) if text else None,
            )
            if not known:
                mine.append(document_id)
            async with self.domain.world.app.write(self.scope) as connection:
                _, (stored,) = await documents.apply(connection, self.scope, Origin(), [operation])
            if isinstance(stored, Stored):
                self.history.note(document_id, text, stored.version)
            await asyncio.sleep(chance.random() / 25)

    async def read(self) -> None:
        while not self.stopping.is_set():
            try:
                found = await self.domain.search.search(self.scope.query(Query(Match("kept"), size=100)))
            except ApiError as error:
                self.wrong.append(str(error))
            else:
                self.searches += 1
                if found.total != KEPT or len({hit.document_id for hit in found.hits}) != KEPT:
                    self.wrong.append(f"{found.total} documents of {KEPT}")
            await asyncio.sleep(0.02)


async def traffic(domain: Domain, name: str) -> Traffic:
    scope = await domain.world.tenant(name)
    kept = [Operation(kind="create", document=Document(title=f"Kept {number}")) for number in range(KEPT)]
    await domain.world.write(scope, *kept)
    await domain.world.index_all()
    await domain.search.refresh()
    return Traffic(domain, scope)


async def check(domain: Domain, its: Traffic) -> None:
    """Everything that has to hold in the end."""
    scope = its.scope
    assert its.wrong == []
    async with domain.world.app.read(scope) as connection:
        versions = dict(await documents.current_versions(connection, scope.tenant_id))
        found = await documents.many(connection, scope.tenant_id, [*versions])
        letters = await connection.fetchval("SELECT count(*) FROM dead_letters")
    mine = {one.document_id: one.title for one in found if not one.title.startswith("Kept")}
    assert its.history.violations(mine, versions) == []
    assert letters == 0
    await domain.search.refresh()
    assert await domain.search.versions(scope.tenant_id) == versions
    assert (await domain.search.search(scope.query(Query(size=1)))).total == len(versions), "documents are there twice"
    # Over all indexes, with no alias and no routing: what a move left behind somewhere would be here.
    everywhere = {"term": {"tenant_id": str(scope.tenant_id)}}
    alive = {"bool": {"filter": [everywhere], "must_not": [{"term": {"deleted": True}}]}}
    count = await domain.client.count(index="docsearch-*", body={"query": alive})
    assert count["count"] == len(versions), "an old place was not emptied"


STEPS = {f"{when} {step}" for when in ("before", "after") for step in ("make", "copy", "check", "swap")}
MOMENTS = {*STEPS, "made", "copied", "swapped", "before leave", "left"}


async def until_done(domain: Domain, act: Callable[[Reached], Awaitable[object]]) -> set[str]:
    """Does something, dies at each moment once, and begins again."""
    died: set[str] = set()

    def reached(moment: str) -> None:
        if moment not in died:
            died.add(moment)
            raise Killed

    for _ in range(40):
        try:
            await act(reached)
        except Killed:
            await asyncio.sleep(0.02)
        else:
            return died
    pytest.fail(f"it does not come to an end: {died}")


@asynccontextmanager
async def under_load(domain: Domain, chance: random.Random, *names: str) -> AsyncIterator[list[Traffic]]:
    """Tenants that are written and searched meanwhile, and checked in the end."""
    every = [await traffic(domain, name) for name in names]
    work = asyncio.create_task(domain.world.worker.run())
    going = [asyncio.create_task(its.read()) for its in every]
    going += [asyncio.create_task(its.write(random.Random(chance.random()))) for its in every]
    await asyncio.sleep(0.3)
    yield every
    for its in every:
        its.stopping.set()
    await asyncio.gather(*going)
    await domain.settle()
    domain.world.worker.stop()
    await work
    for its in every:
        assert its.searches > 10
        assert its.history.acknowledged > 20
        await check(domain, its)


async def test_moves_that_are_killed_at_every_step_lose_and_double_nothing(
    domain: Domain, chance: random.Random
) -> None:
    async with under_load(domain, chance, "moved", "other") as (moved, _):
        own = f"docsearch-tenant-{moved.scope.tenant_id}"
        for tier, primaries in {Tier.MEDIUM: 6, Tier.LARGE: 12, Tier.SMALL: 3}.items():

            async def move(reached: Reached, tier: Tier = tier) -> None:
                more = {"dry_run": False, "tell": print, "grace": GRACE_SECONDS, "reached": reached}
                await upkeep.place(domain.settings, "moved", tier, **more)  # type: ignore[arg-type]

            assert await until_done(domain, move) >= MOMENTS
            where = "docsearch-small" if tier is Tier.SMALL else own
            assert len(await domain.behind(where)) == 1
            shards = await domain.client.cat.shards(index=where, params={"format": "json"})
            assert sum(shard["prirep"] == "p" for shard in shards) == primaries
            wanted = {"docsearch-small"} if tier is Tier.SMALL else {"docsearch-small", own}
            assert {one.rpartition(f"-{SCHEMA}-")[0] for one in await domain.indexes()} == wanted


async def test_the_shared_index_is_made_again_under_load_by_whoever_is_killed_at_every_step(
    domain: Domain, chance: random.Random
) -> None:
    async with under_load(domain, chance, "one", "other") as every:
        before = await domain.indexes()

        async def rebuild(reached: Reached) -> None:
            found = await upkeep.rebuild(domain.settings, tell=print, grace=GRACE_SECONDS, reached=reached)
            assert [(one.level, one.equal) for one in found] == [(level, True) for level in LEVELS for _ in every]

        assert await until_done(domain, rebuild) >= MOMENTS
        after = await domain.indexes()
        assert len(after) == 1
        assert not after & before


LEVELS = ("opensearch", "full_text")


async def test_who_has_outgrown_the_shared_index_gets_one_of_its_own(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MOST_DOCUMENTS, Tier.SMALL, 10)
    large = await domain.world.tenant("large")
    small = await domain.world.tenant("small")
    every = [Operation(kind="create", document=Document(title=f"Tea {number}")) for number in range(11)]
    await domain.world.write(large, *every)
    await domain.world.write(small, *every[:2])
    await domain.world.index_all()
    told: list[str] = []
    planned = await upkeep.place(domain.settings, dry_run=True, tell=told.append)
    assert [(one.tenant, one.documents, one.next_tier, one.moves) for one in planned] == [
        ("(shared)", 13, Tier.SMALL, False),
        ("large", 11, Tier.MEDIUM, True),
        ("small", 2, Tier.SMALL, False),
    ]
    assert planned[0].size_bytes >= planned[1].size_bytes > planned[2].size_bytes > 0
    assert told == []
    assert await domain.world.admin("SELECT * FROM placements") == []
    await upkeep.place(domain.settings, dry_run=False, tell=told.append, grace=0.1)
    assert any("11 documents copied" in line for line in told)
    assert not any(one.moves for one in await upkeep.place(domain.settings, dry_run=False, tell=print, grace=0.1))
    await asyncio.sleep(LAYOUT_SECONDS)
    for scope, number in ((large, 11), (small, 2)):
        assert len(await domain.search.versions(scope.tenant_id)) == number
    trail = await domain.world.admin("SELECT tenant_id, detail FROM audit WHERE action = 'move_tenant'")
    assert [(row["tenant_id"], row["detail"]["to"]) for row in trail] == [(large.tenant_id, ["medium", 6])]


async def test_two_do_not_move_at_once(domain: Domain) -> None:
    await domain.world.tenant("a")
    connection = await connect(domain.settings, SUPERUSER)
    await Mover(connection, domain.world.work, domain.search).alone()
    with pytest.raises(ConflictError, match="moved already"):
        await upkeep.place(domain.settings, "a", Tier.MEDIUM, dry_run=False, tell=print)
    with pytest.raises(ConflictError, match="moved already"):
        await upkeep.rebuild(domain.settings, tell=print)
    await connection.close()
    await upkeep.place(domain.settings, "a", Tier.MEDIUM, dry_run=False, tell=print, grace=0.1)


async def test_a_new_place_that_differs_in_the_end_is_not_moved_to(domain: Domain) -> None:
    scope = await domain.world.tenant("a")
    stored = await domain.world.put(scope, Document(title="Tea"))
    poison = await domain.world.put(scope, Document(title="Poison", metadata={"x": "y" * 40_000}))
    await domain.world.index_all()

    async def move() -> None:
        more = {"dry_run": False, "tell": print, "grace": 0.1, "wait": 0.2}
        await upkeep.place(domain.settings, "a", Tier.MEDIUM, **more)  # type: ignore[arg-type]

    # A dead letter holds nobody up; the same document as if nobody had tried yet does.
    await domain.world.admin("UPDATE documents SET status = 'PENDING' WHERE document_id = $1", poison.document_id)
    with pytest.raises(ConflictError, match=r"a is not moved: of 2 documents at the new place differ: 1 missing"):
        await move()
    assert set(await domain.search.versions(scope.tenant_id)) == {stored.document_id}
    await domain.world.admin("UPDATE documents SET status = 'FAILED' WHERE document_id = $1", poison.document_id)
    await move()
    await asyncio.sleep(LAYOUT_SECONDS)
    assert set(await domain.search.versions(scope.tenant_id)) == {stored.document_id}


async def test_what_cannot_be_placed_is_said(domain: Domain) -> None:
    with pytest.raises(SettingsError, match="there is no OpenSearch"):
        await upkeep.place(domain.world.settings, dry_run=True, tell=print)
    with pytest.raises(NotFoundError, match="there is no tenant 'nobody'"):
        await upkeep.place(domain.settings, "nobody", dry_run=True, tell=print)


async def test_where_a_tenant_was_is_where_it_is_while_the_database_is_away(world: World) -> None:
    scope = await world.tenant("a")
    database = await Database.open(world.settings, "docsearch_document")
    now = [0.0]
    layouts = StoredLayouts(database, clock=lambda: now[0])
    await world.admin("INSERT INTO placements VALUES ($1, 'medium', 6)", scope.tenant_id)
    layout = await layouts.read(scope.tenant_id)
    assert (layout.tier, layout.primaries) == (Tier.MEDIUM, 6)
    await world.admin("UPDATE placements SET tier = 'large', primaries = 12")
    assert await layouts.read(scope.tenant_id) == layout
    now[0] += 6
    assert (await layouts.read(scope.tenant_id)).tier is Tier.LARGE
    await database.close()
    now[0] += 6
    assert (await layouts.read(scope.tenant_id)).tier is Tier.LARGE
    with pytest.raises(UnavailableError):
        await layouts.written({scope.tenant_id})
    with pytest.raises(UnavailableError):
        await layouts.read(uuid4())


async def test_nobody_sees_where_another_tenant_is(world: World) -> None:
    mine, theirs = await world.tenant("mine"), await world.tenant("theirs")
    for tenant_id in (mine.tenant_id, theirs.tenant_id, SHARED):
        await world.admin("INSERT INTO placements (tenant_id) VALUES ($1)", tenant_id)
    for database in (world.app, world.work):
        async with database.read(mine) as connection:
            rows = await connection.fetch("SELECT tenant_id FROM placements")
        assert {row["tenant_id"] for row in rows} == {mine.tenant_id, SHARED}
