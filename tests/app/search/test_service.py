"""The nearest level answers, the next one stands in, and what everybody asks is asked once."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import msgspec
import pytest
from structlog.testing import capture_logs

from app.errors import InvalidQueryError, OverloadedError, UnavailableError
from app.index.model import Match, Position, Query, Result, Sort, Suggest, Suggestion
from app.resilience import deadline
from app.resilience.bulkhead import Bulkhead, Size
from app.search.cache import LayeredCache
from app.search.model import Level, NoCache
from app.search.service import SKEW_SECONDS, SearchService
from app.tenancy import ScopedQuery, ScopedSuggest, internal

pytestmark = pytest.mark.anyio

SCOPE = internal(uuid4(), "t")
QUERY = SCOPE.query(Query(Match("tea")))


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """An engine that answers with a count of its calls, or fails."""

    def __init__(self, level: str) -> None:
        self.level, self.calls = level, 0
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def search(self, query: ScopedQuery) -> Result:
        self.calls += 1
        if self.gate:
            await self.gate.wait()
        deadline.left(1.0)
        if self.error:
            raise self.error
        return Result(self.calls, True, [], [])

    async def suggest(self, suggest: ScopedSuggest) -> Sequence[Suggestion]:
        if self.error:
            raise self.error
        return [Suggestion(f"{suggest.suggest.prefix}a", "word")]


class Setup:
    def __init__(self, **more: Bulkhead) -> None:
        self.clock = Clock()
        self.first, self.second = Engine(Level.OPENSEARCH), Engine(Level.FULL_TEXT)
        self.cache = LayeredCache(None, clock=self.clock)
        self.service = SearchService((self.first, self.second), self.cache, clock=self.clock, **more)  # type: ignore[arg-type]


async def test_the_second_time_it_comes_from_memory_until_something_is_written() -> None:
    its = Setup()
    levels = [(await its.service.search(QUERY)).level for _ in range(2)]
    await its.cache.advance(SCOPE.tenant_id)
    levels.append((await its.service.search(QUERY)).level)
    assert levels == [Level.OPENSEARCH, Level.MEMORY, Level.OPENSEARCH]


async def test_another_engine_stands_in_and_says_so() -> None:
    its = Setup()
    its.first.error = UnavailableError("gone")
    found = await its.service.search(QUERY)
    assert (found.level, found.degraded) == (Level.FULL_TEXT, True)
    assert (await its.service.suggest(SCOPE.suggest(Suggest("te"))))[1] == Level.FULL_TEXT


async def test_an_engine_that_goes_on_failing_is_logged_every_ten_seconds() -> None:
    its = Setup()
    its.first.error = UnavailableError("gone")
    with capture_logs() as said:
        for number in range(200):
            await its.service.search(SCOPE.query(Query(Match(str(number)))))
            its.clock.now += 0.125
    # A line of the first failure, and one of each 10 s with all that came since.
    assert [(one["event"], one["engine"], one["times"]) for one in said] == [
        ("engine_failed", Level.OPENSEARCH, 1),
        ("engine_failed", Level.OPENSEARCH, 80),
        ("engine_failed", Level.OPENSEARCH, 80),
    ]
    assert its.first.calls == 200


async def test_a_query_that_is_wrong_is_asked_of_nobody_else() -> None:
    its = Setup()
    its.first.error = InvalidQueryError("no")
    with pytest.raises(InvalidQueryError):
        await its.service.search(QUERY)
    assert its.second.calls == 0


async def test_with_every_engine_down_the_last_answer_counts() -> None:
    its = Setup()
    await its.service.search(QUERY)
    await its.cache.advance(SCOPE.tenant_id)
    its.first.error = its.second.error = UnavailableError("gone")
    found = await its.service.search(QUERY)
    assert (found.result.total, found.stale, found.degraded) == (1, True, True)
    with pytest.raises(UnavailableError):
        await its.service.search(SCOPE.query(Query(Match("never asked"))))


async def test_what_many_ask_at_once_is_asked_once() -> None:
    its = Setup()
    its.first.gate = asyncio.Event()
    asked = [asyncio.create_task(its.service.search(QUERY)) for _ in range(50)]
    await asyncio.sleep(0.01)
    asked[0].cancel()
    its.first.gate.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert its.first.calls == 1
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(not isinstance(one, BaseException) for one in found[1:])


async def test_a_stale_answer_is_given_at_once_and_asked_again_once() -> None:
    its = Setup()
    await its.service.search(QUERY)
    its.clock.now += 310
    its.first.gate = asyncio.Event()
    found = [await its.service.search(QUERY) for _ in range(5)]
    assert [(one.result.total, one.stale) for one in found] == [(1, True)] * 5
    await asyncio.sleep(0)
    its.first.gate.set()
    await asyncio.sleep(0.01)
    fresh = await its.service.search(QUERY)
    assert (fresh.result.total, fresh.stale, its.first.calls) == (2, False, 2)


async def test_a_refresh_that_fails_leaves_the_stale_answer() -> None:
    its = Setup()
    await its.service.search(QUERY)
    its.clock.now += 310
    its.first.error = its.second.error = UnavailableError("gone")
    for _ in range(3):
        assert (await its.service.search(QUERY)).stale
        await asyncio.sleep(0.001)


async def test_beyond_its_bulkhead_it_sheds_or_answers_with_what_it_knows() -> None:
    its = Setup(bulkhead=Bulkhead("searching", Size(1, 1, 1)))
    await its.service.search(QUERY)
    await its.cache.advance(SCOPE.tenant_id)
    its.first.gate = asyncio.Event()
    others = [SCOPE.query(Query(Match(str(number)))) for number in range(3)]
    asked = [asyncio.create_task(its.service.search(one)) for one in others[:2]]
    await asyncio.sleep(0.01)
    with pytest.raises(OverloadedError) as shed:
        await its.service.search(others[2])
    assert shed.value.retry_after
    assert (await its.service.search(QUERY)).stale
    assert its.second.calls == 0, "who is overloaded does not pass it on"
    its.first.gate.set()
    await asyncio.gather(*asked)


async def test_pages_behind_a_cursor_are_not_kept() -> None:
    its = Setup()
    page = SCOPE.query(Query(Match("tea"), after=Position((1.0,), uuid4())))
    totals = [(await its.service.search(page)).result.total for _ in range(2)]
    assert totals == [1, 2]


async def test_a_page_by_score_is_read_from_the_engine_that_began() -> None:
    """Scores of two engines are no more alike than their names: a page would be shown again, or never."""
    its = Setup()
    by_score = SCOPE.query(Query(Match("tea"), after=Position((1.0,), uuid4(), engine=Level.OPENSEARCH)))
    by_date = SCOPE.query(
        Query(sort=(Sort("published_at"),), after=Position(("2024-01-01",), uuid4(), engine=Level.OPENSEARCH))
    )
    its.first.error = UnavailableError("gone")
    with pytest.raises(UnavailableError, match="scores of another engine") as refused:
        await its.service.search(by_score)
    assert refused.value.retry_after
    assert its.second.calls == 0
    assert (await its.service.search(by_date)).level == Level.FULL_TEXT
    its.first.error = None
    assert (await its.service.search(by_score)).level == Level.OPENSEARCH
    begun = SCOPE.query(Query(Match("tea"), after=Position((0.05,), uuid4(), engine=Level.FULL_TEXT)))
    found = await its.service.search(begun)
    assert (found.level, found.degraded) == (Level.FULL_TEXT, True)


async def test_a_point_in_time_from_before_an_erasure_is_left() -> None:
    its = Setup()
    seen: list[Position] = []
    search = its.first.search

    async def look(query: ScopedQuery) -> Result:
        assert query.query.after
        seen.append(query.query.after)
        return await search(query)

    its.first.search = look  # type: ignore[method-assign]
    old = Position((1.0,), uuid4(), "old", its.clock.now, Level.OPENSEARCH)
    await its.service.search(SCOPE.query(Query(after=old)))
    await its.cache.forget(SCOPE.tenant_id)
    await its.service.search(SCOPE.query(Query(after=old)))
    new = msgspec.structs.replace(old, snapshot="new", snapshot_at=its.clock.now + SKEW_SECONDS)
    await its.service.search(SCOPE.query(Query(after=new)))
    assert [one.snapshot for one in seen] == ["old", "", "new"]
    assert {one.document_id for one in seen} == {old.document_id}


async def test_who_joins_a_search_does_not_have_the_time_of_whoever_began_it() -> None:
    its = Setup()
    its.first.gate = asyncio.Event()

    async def hurried() -> None:
        with deadline.within(0.01):
            await its.service.search(QUERY)

    first = asyncio.create_task(hurried())
    await asyncio.sleep(0)
    second = asyncio.create_task(its.service.search(QUERY))
    await asyncio.sleep(0.02)
    its.first.gate.set()
    assert (await second).level == Level.OPENSEARCH
    await first
    assert its.first.calls == 1


async def test_without_a_cache_everything_is_asked() -> None:
    engine = Engine(Level.FULL_TEXT)
    service = SearchService((engine,), NoCache())  # type: ignore[arg-type]
    assert [(await service.search(QUERY)).degraded for _ in range(2)] == [False, False]
    assert engine.calls == 2


async def test_closing_ends_what_is_under_way() -> None:
    its = Setup()
    its.first.gate = asyncio.Event()
    asked = asyncio.create_task(its.service.search(QUERY))
    await asyncio.sleep(0.01)
    await its.service.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
