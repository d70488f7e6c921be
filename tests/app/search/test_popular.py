"""What is asked often is known, by tenant, within bounds, and is warm before anybody asks: by one process at a time."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import msgspec
import orjson
import pytest
from hypothesis import given

from app.access.keys import digest_of
from app.errors import ApiError, UnavailableError
from app.housekeeping import Housekeeping
from app.index.model import Match, Query, Result, Term
from app.resilience.bulkhead import Bulkhead, Size
from app.search import popular
from app.search.cache import LayeredCache
from app.search.model import DIGEST, Level, NoCache, key_of
from app.search.parse import Bounds, decode, to_query
from app.search.popular import ERASED_SECONDS, Counter, Warmer, top
from app.search.service import SearchService
from app.store import erasures
from app.store.audit import Origin
from app.store.erasures import Subjects
from app.tenancy import Scope, ScopedQuery, internal
from tests.app.http.conftest import Api, api, problem
from tests.app.search.test_parse import ALMOST
from tests.app.world import World

__all__ = ["api"]

pytestmark = [pytest.mark.services, pytest.mark.anyio]


class Engine:
    """An engine that finds nothing, and says what it was asked."""

    level = Level.OPENSEARCH

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: ApiError | None = None
        self.gate: asyncio.Event | None = None

    async def search(self, query: ScopedQuery) -> Result:
        assert isinstance(query.query.clause, Match)
        self.asked.append(query.query.clause.text)
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        return Result(0, True, [], [])


def process(world: World, engine: Engine, **more: Any) -> tuple[SearchService, Counter, Warmer]:
    """What a process has."""
    counter = Counter(world.app)
    search = SearchService((engine,), LayeredCache(None), noted=counter.note, **more)  # type: ignore[arg-type]
    return search, counter, Warmer(world.app, search)


def asked(scope: Scope, text: str) -> ScopedQuery:
    return scope.query(Query(Match(text)))


async def rows(world: World, scope: Scope, *, nothing: bool = False) -> list[tuple[str, int, int]]:
    async with world.app.read(scope) as connection:
        found = await top(connection, scope.tenant_id, nothing=nothing, size=5000)
    return [(one.query["clause"]["text"], one.asked, one.found_nothing) for one in found]


async def test_queries_are_counted_over_processes_wherever_their_answer_came_from(world: World) -> None:
    scope, other = await world.tenant("a"), await world.tenant("b")
    for _ in range(2):
        search, counter, _ = process(world, Engine())
        for text in ("tea", "tea", "coffee"):
            await search.search(asked(scope, text))
        assert await counter.flush() == 2
        assert await counter.flush() == 0
    assert await rows(world, scope) == [("tea", 4, 4), ("coffee", 2, 2)]
    assert await rows(world, scope, nothing=True) == [("tea", 4, 4), ("coffee", 2, 2)]
    assert await rows(world, other) == []


async def test_what_one_person_may_see_is_not_counted(world: World) -> None:
    scope = await world.tenant("a")
    bound = Scope(tenant_id=scope.tenant_id, actor="token", rights=scope.rights, forced=(Term("author", ("ada",)),))
    search, counter, _ = process(world, Engine())
    await search.search(asked(bound, "tea"))
    assert await counter.flush() == 0


async def test_what_is_kept_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = await world.tenant("a")
    monkeypatch.setattr(popular, "KEPT", 3)
    monkeypatch.setattr(popular, "PENDING_PER_TENANT", 5)
    counter = Counter(world.app)
    for number in range(10):
        for _ in range(number + 1):
            counter.note(asked(scope, f"q{number}"), f"{number:064x}", nothing=False)
    assert await counter.flush() == 5, "those that came first, until they are written"
    assert await rows(world, scope) == [("q4", 5, 0), ("q3", 4, 0), ("q2", 3, 0)]
    await world.admin("UPDATE popular_queries SET last_at = now() - interval '31 days'")
    counter.note(asked(scope, "new"), f"{99:064x}", nothing=True)
    await counter.flush()
    assert await rows(world, scope) == [("new", 1, 1)]
    assert await rows(world, scope, nothing=True) == [("new", 1, 1)]


async def test_counts_that_cannot_be_written_harm_nobody(world: World) -> None:
    gone, scope = internal(uuid4(), "t"), await world.tenant("a")
    counter = Counter(world.app)
    counter.note(asked(gone, "tea"), "0" * 64, nothing=False)
    counter.note(asked(scope, "tea"), "0" * 64, nothing=False)
    assert await counter.flush() == 1
    assert await rows(world, scope) == [("tea", 1, 0)]


async def test_what_was_asked_goes_with_an_erasure_and_does_not_come_back(world: World) -> None:
    scope, other = await world.tenant("a"), await world.tenant("b")
    counter, late = Counter(world.app), Counter(world.app)
    for one in (scope, other):
        for its in (counter, late):
            its.note(asked(one, "ada"), "0" * 64, nothing=False)
    await counter.flush()
    subjects = Subjects(partial(digest_of, b"k" * 32))
    async with world.app.write(scope) as connection:
        await erasures.ask(connection, scope, Origin("192.0.2.1", "test", "c"), subjects, "ada")
    house = Housekeeping(world.work, (world.index,), NoCache(), settle_seconds=0)
    assert await house.step() == 0
    # Another process has counted before, and writes it only now.
    await late.flush()
    assert (await rows(world, scope), len(await rows(world, other))) == ([], 1)
    await world.admin("UPDATE erasures SET finished_at = finished_at - make_interval(secs => $1)", ERASED_SECONDS)
    late.note(asked(scope, "tea"), "1" * 64, nothing=False)
    await late.flush()
    assert await rows(world, scope) == [("tea", 1, 0)]


async def count(world: World, scope: Scope, **texts: int) -> None:
    counter = Counter(world.app)
    for text, times in texts.items():
        query = asked(scope, text)
        for _ in range(times):
            counter.note(query, key_of(query, 0)[-DIGEST:], nothing=False)
    await counter.flush()


async def test_what_is_asked_most_is_warm_and_comes_from_memory(world: World) -> None:
    scope = await world.tenant("a")
    await count(world, scope, tea=3, coffee=2, water=1)
    engine = Engine()
    search, counter, _ = process(world, engine)
    assert await Warmer(world.app, search, most=2).step() == scope.tenant_id
    assert engine.asked == ["tea", "coffee"]
    assert [(await search.search(asked(scope, one))).level for one in ("tea", "coffee", "water")] == [
        Level.MEMORY, Level.MEMORY, Level.OPENSEARCH,
    ]  # fmt: skip
    assert await counter.flush() == 3
    assert await rows(world, scope) == [("tea", 4, 1), ("coffee", 3, 1), ("water", 2, 1)], (
        "warming itself counts nothing"
    )


async def test_each_tenant_is_warmed_by_one_process_and_again_after_an_hour(world: World) -> None:
    scopes = [await world.tenant(name) for name in "abc"]
    await world.tenant("asks-nothing")
    suspended = await world.tenant("suspended")
    for scope in (*scopes, suspended):
        await count(world, scope, tea=1)
    await world.admin("UPDATE tenants SET suspended_at = now() WHERE tenant_id = $1", suspended.tenant_id)
    engines = [Engine() for _ in range(8)]
    warmers = [process(world, one)[2] for one in engines]

    async def all_of(warmer: Warmer) -> list[UUID]:
        return [one for _ in range(3) if (one := await warmer.step())]

    warmed = [one for found in await asyncio.gather(*map(all_of, warmers)) for one in found]
    assert sorted(warmed) == sorted(scope.tenant_id for scope in scopes)
    assert sum(len(one.asked) for one in engines) == 3
    await world.admin("UPDATE tenants SET warmed_at = warmed_at - interval '1 hour'")
    assert await warmers[0].step() in warmed
    assert await Warmer(world.app, process(world, Engine())[0], every=timedelta(days=1)).step() is None


async def test_warming_gives_way_to_users_and_takes_none_of_their_places(world: World) -> None:
    scope = await world.tenant("a")
    await count(world, scope, warm=1)
    engine = Engine()
    engine.gate = asyncio.Event()
    search, _, warmer = process(world, engine, bulkhead=Bulkhead("searching", Size(20, 50, 100)))
    users = [asyncio.create_task(search.search(asked(scope, f"user {number}"))) for number in range(10)]
    await asyncio.sleep(0.01)
    warming = asyncio.create_task(warmer.step())
    await asyncio.sleep(0.2)
    assert "warm" not in engine.asked
    engine.gate.set()
    await asyncio.gather(*users, warming)
    assert engine.asked[-1] == "warm"
    engine.gate = asyncio.Event()
    held = asyncio.create_task(search.warm(asked(scope, "slow")))
    await asyncio.sleep(0.01)
    assert search._bulkhead.running == 0
    engine.gate.set()
    assert await held


async def test_an_engine_that_is_down_is_left_alone(world: World) -> None:
    scope = await world.tenant("a")
    await count(world, scope, tea=2, coffee=1)
    engine = Engine()
    engine.error = UnavailableError("gone")
    await process(world, engine)[2].step()
    assert engine.asked == ["tea"]


async def test_what_another_version_has_counted_is_passed_over(world: World) -> None:
    scope = await world.tenant("a")
    await count(world, scope, tea=1)
    await world.admin(
        'INSERT INTO popular_queries VALUES ($1, \'x\', \'{"clause": {"kind": "telepathy"}}\', 9, 0, now())',
        scope.tenant_id,
    )
    engine = Engine()
    await process(world, engine)[2].step()
    assert engine.asked == ["tea"]


async def test_both_run_until_they_are_told_to_stop_and_lose_no_count(world: World) -> None:
    scope = await world.tenant("a")
    _, counter, warmer = process(world, Engine())
    running = [asyncio.create_task(one.run()) for one in (counter, warmer)]
    counter.note(asked(scope, "tea"), "0" * 64, nothing=False)
    await asyncio.sleep(0)
    counter.stop()
    warmer.stop()
    await asyncio.gather(*running)
    assert await rows(world, scope) == [("tea", 1, 0)]


@given(value=ALMOST)
def test_a_query_that_was_kept_is_the_same_query(value: dict[str, Any]) -> None:
    try:
        query = to_query(decode(msgspec.json.encode(value)), Bounds(100, 64, 5))
    except (ApiError, msgspec.MsgspecError, OverflowError):
        return
    scope = internal(uuid4(), "t")
    kept = msgspec.convert(orjson.loads(orjson.dumps(msgspec.to_builtins(query))), Query)
    assert key_of(scope.query(kept), 0) == key_of(scope.query(query), 0)


async def test_an_administrator_sees_what_is_asked_in_vain(api: Api) -> None:
    caller = await api.tenant("mine")
    await caller.add(title="Tea")
    await api.index_all()
    for q in ("tea", "tea", "tea", "nonsense"):
        await caller("POST", "/v1/search", json={"q": q})
    await api.service.popular.flush()

    async def shown(parameters: str = "") -> list[tuple[str, int, int]]:
        found = (await caller("GET", f"/v1/popular-queries{parameters}")).json()["queries"]
        return [(one["query"]["clause"]["text"], one["asked"], one["found_nothing"]) for one in found]

    assert await shown() == [("tea", 3, 0), ("nonsense", 1, 1)]
    assert await shown("?found=nothing") == [("nonsense", 1, 1)]
    assert await shown("?size=1") == [("tea", 3, 0)]
    for wrong in ("?found=x", "?size=0", "?size=1001", "?x=1"):
        problem(await caller("GET", f"/v1/popular-queries{wrong}"), 400, "invalid-request")
    problem(await (await api.key(caller.tenant_id, "read"))("GET", "/v1/popular-queries"), 403, "forbidden")
