"""Searches: from the nearest level that has the answer, and from the next engine when one does not answer.

    memory -> Redis -> the engine of choice -> what stands in for it -> the last answer, however old

However many ask the same at once, it is asked once. What is past its time is answered while it is asked again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from app.errors import ApiError, DeadlineExceededError, OverloadedError, UnavailableError
from app.index.model import DATE_FIELDS, Index, Position, Sort, Suggestion
from app.resilience import deadline
from app.resilience.bulkhead import SEARCH, WARMING, Bulkhead
from app.search.model import DIGEST, Answer, Cache, key_of
from app.tenancy import ScopedQuery, ScopedSuggest
from app.trace import tracing

log = structlog.get_logger(__name__)

_DOWN: Final = (UnavailableError, DeadlineExceededError, OverloadedError)

REFRESH_SECONDS: Final = 10.0
"""How long an answer may take that several wait for, or nobody, s."""


GIVE_WAY_SECONDS: Final = 0.05
"""How long warming waits before it looks again whether users leave room, s."""

SKEW_SECONDS: Final = 5.0
"""How far the clocks of OpenSearch and Redis may be apart, s."""

TELL_SECONDS: Final = 10.0
"""Of an engine that goes on failing the log is told so often, s: with a breaker open each search fails there."""


def portable(sort: Sequence[Sort]) -> bool:
    """Whether each engine can go on behind a page of another: dates and titles are the same everywhere, scores not."""
    return all(one.field in ("title", *DATE_FIELDS) for one in sort)


class Noted(Protocol):
    """Is told of every query that was answered, but of pages behind a cursor."""

    def __call__(self, query: ScopedQuery, digest: str, *, nothing: bool) -> None:
        """Takes note: on the way of every search, so it takes no time."""


class SearchService:
    """Answers queries.

    Args:
        engines: The engine of choice, then those that stand in for it. What they say is *degraded*.
        cache: What is asked first, and gets every answer.
        bulkhead: How many ask the engines at once.
        noted: Is told of queries.
        timed: Is told of each answer of an engine: its name, and how long it took, s.
        clock: Tells the time, s.
    """

    def __init__(
        self,
        engines: Sequence[Index],
        cache: Cache,
        *,
        bulkhead: Bulkhead | None = None,
        noted: Noted | None = None,
        timed: Callable[[str, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engines, self._cache = engines, cache
        self._bulkhead = bulkhead or Bulkhead("searching", SEARCH)
        self._warming = Bulkhead("warming", WARMING)
        self._noted, self._timed, self._clock = noted, timed, clock
        #: By engine: when the log may be told of its failures again, s, and how many it was not told of.
        self._untold: dict[str, tuple[float, int]] = {}
        self._flights: dict[str, asyncio.Task[Answer]] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    async def search(self, query: ScopedQuery) -> Answer:
        """What a query finds.

        Raises:
            UnavailableError: No engine answers, and nobody has asked this before.
            OverloadedError: There is more to do than can be done, and nobody has asked this before.
        """
        if query.query.after is not None:
            # Pages behind a cursor are read once, by one caller.
            query = await self._forgotten(query, query.query.after)
            async with self._bulkhead.enter():
                return await self._ask(query)
        with tracing.span("cache") as span:
            key = key_of(query, await self._cache.generation(query.tenant_id))
            kept = await self._cache.get(key)
            span.set({"cache.level": kept.level if kept else "none"})
        if kept:
            if kept.stale:
                self._fly(key, query)
            return self._note(query, key, kept)
        try:
            # Shielded: whoever gives up takes the answer from nobody else.
            return self._note(query, key, await asyncio.shield(self._fly(key, query)))
        except _DOWN:
            if last := self._cache.last(key):
                return last
            raise

    async def _forgotten(self, query: ScopedQuery, after: Position) -> ScopedQuery:
        """The page of a cursor, but of no point in time at which there still was what has been erased since."""
        if after.snapshot:
            await self._cache.generation(query.tenant_id)
            if after.snapshot_at < self._cache.floor(query.tenant_id) + SKEW_SECONDS:
                return query.behind(msgspec.structs.replace(after, snapshot="", snapshot_at=0.0))
        return query

    async def warm(self, query: ScopedQuery) -> bool:
        """Sees to it that a query's answer is kept, while users leave room for that: half of what the engines take.

        Returns:
            Whether it had to be asked.

        Raises:
            UnavailableError: The engine of choice does not answer; none that stands in is asked for that.
        """
        key = key_of(query, await self._cache.generation(query.tenant_id))
        kept = await self._cache.get(key)
        if kept and not kept.stale:
            return False
        async with self._warming.enter():
            while self._bulkhead.waiting or self._bulkhead.running * 2 >= SEARCH.usual:
                await asyncio.sleep(GIVE_WAY_SECONDS)
            with deadline.within(REFRESH_SECONDS):
                engine = self._engines[0]
                await self._cache.put(key, Answer(await engine.search(query), engine.level))
        return True

    async def suggest(self, suggest: ScopedSuggest) -> tuple[Sequence[Suggestion], str]:
        """What a prefix may become, and the engine that said so.

        Raises:
            UnavailableError: No engine answers.
            OverloadedError: There is more to do than can be done.
        """
        async with self._bulkhead.enter():
            failed: ApiError | None = None
            for engine in self._engines:
                try:
                    return await engine.suggest(suggest), engine.level
                except _DOWN as error:
                    failed = self._failed(engine, error)
            raise failed or UnavailableError("there is no engine")

    def _note(self, query: ScopedQuery, key: str, answer: Answer) -> Answer:
        if self._noted:
            self._noted(query, key[-DIGEST:], nothing=not answer.result.total)
        return answer

    def _fly(self, key: str, query: ScopedQuery) -> asyncio.Task[Answer]:
        """The one task that makes an answer."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._make(key, query))
            flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    def _landed(self, key: str, flight: asyncio.Task[Answer]) -> None:
        del self._flights[key]
        # An exception that nobody waits for any more is no news: what failed was logged.
        if not flight.cancelled():
            flight.exception()

    async def _make(self, key: str, query: ScopedQuery) -> Answer:
        # Whoever came first may have less time left than those who wait with them.
        with deadline.apart(REFRESH_SECONDS):
            async with self._bulkhead.enter():
                answer = await self._ask(query)
            # Nobody waits for it to be kept. It is in this process before anybody has it.
            keeping = asyncio.create_task(self._cache.put(key, answer))
            self._keeping.add(keeping)
            keeping.add_done_callback(self._keeping.discard)
        return answer

    async def _ask(self, query: ScopedQuery) -> Answer:
        """What the first engine says that answers."""
        after = query.query.after
        #: The one that can read this page, if only one can.
        begun = after.engine if after and not portable(query.query.sort) else ""
        failed: ApiError | None = None
        for engine in self._engines:
            if begun not in ("", engine.level):
                continue
            try:
                began = time.perf_counter()
                with tracing.span("engine", {"engine.name": engine.level}, kind="client"):
                    result = await engine.search(query)
                if self._timed:
                    self._timed(engine.level, time.perf_counter() - began)
            except _DOWN as error:
                failed = self._failed(engine, error)
                continue
            return Answer(result, engine.level, degraded=engine is not self._engines[0])
        if begun:
            raise UnavailableError(
                "the next page cannot be read",
                why=f"{begun} does not answer, and scores of another engine are others",
                remedy="Go on later, or search again without a cursor",
                retry_after=1,
            ) from failed
        raise failed or UnavailableError("there is no engine")

    def _failed(self, engine: Index, error: ApiError) -> ApiError:
        again_at, times = self._untold.get(engine.level, (0.0, 0))
        times += 1
        if (now := self._clock()) >= again_at:
            log.warning("engine_failed", engine=engine.level, code=error.code, reason=error.detail, times=times)
            again_at, times = now + TELL_SECONDS, 0
        self._untold[engine.level] = again_at, times
        return error

    async def close(self) -> None:
        """Ends what is under way for nobody."""
        flights = [*self._flights.values()]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, *self._keeping, return_exceptions=True)
