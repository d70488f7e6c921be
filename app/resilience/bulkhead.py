"""A bulkhead: so much is done at once and so much waits; what comes beyond that is turned away at once.

Work that is turned away costs nothing and says when to come again. Work that waits until nobody wants its answer costs
as much as any other: so whoever could not be served before the deadline is turned away, too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.errors import DeadlineExceededError, OverloadedError
from app.resilience import deadline


@dataclass(frozen=True)
class Size:
    """How much a bulkhead holds.

    Attributes:
        usual: Calls at once.
        most: Calls at once while the queue is full.
        queue: Calls that wait.
    """

    usual: int
    most: int
    queue: int


SEARCH = Size(usual=20, most=50, queue=100)
INDEXING = Size(usual=10, most=30, queue=200)
WARMING = Size(usual=1, most=1, queue=1)
"""Requirement, section 2: the sizes of its thread pools, which grow when their queue is full, as Java's do.
What is warmed has one place of its own, so that it takes none of a user's."""


class Bulkhead:
    """A bulkhead.

    Args:
        name: What it is for.
        size: How much it holds.
        clock: Tells the time, s.
    """

    def __init__(self, name: str, size: Size, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self._size, self._clock = name, size, clock
        self._running = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._usual_seconds = 0.01

    @property
    def running(self) -> int:
        """Calls under way."""
        return self._running

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._queue)

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Goes around one call.

        Raises:
            OverloadedError: There is no room, or there will be none before the deadline.
        """
        await self._admit()
        began = self._clock()
        try:
            yield
        finally:
            # An average in which the last 20 calls weigh most.
            self._usual_seconds += (self._clock() - began - self._usual_seconds) / 20
            self._leave()

    async def _admit(self) -> None:
        if self._running < self._size.usual and not self._queue:
            self._running += 1
            return
        if len(self._queue) >= self._size.queue:
            if self._running >= self._size.most:
                raise self._shed(f"{len(self._queue)} wait already")
            # The queue is full: one more at once, and it is whoever has waited longest.
            self._start_next()
        self._too_late()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with deadline.limit(f"the queue of {self.name}", 60.0):
                await turn
        except BaseException as error:
            if turn in self._queue:
                self._queue.remove(turn)
            elif turn.done() and not turn.cancelled():
                # Its turn came at the moment that it gave up.
                self._leave()
            if isinstance(error, DeadlineExceededError):
                raise self._shed("its turn did not come in time") from error
            raise

    def _too_late(self) -> None:
        """Turns away what would wait longer than it has."""
        wait = self._expected()
        if wait > deadline.left(wait + 1.0):
            raise self._shed("its turn would not come in time")

    def _start_next(self) -> bool:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)
                return True
        return False

    def _leave(self) -> None:
        self._running -= 1
        # Above the usual size only while the queue is full.
        if self._running < self._size.usual or len(self._queue) >= self._size.queue:
            self._start_next()

    def _expected(self) -> float:
        return self._usual_seconds * (len(self._queue) + 1) / max(1, self._running)

    def _shed(self, why: str) -> OverloadedError:
        return OverloadedError(
            f"there is more {self.name} than can be done", why=why, retry_after=min(30.0, max(1.0, self._expected()))
        )
