"""The time that a request has, and trying again within it.

A deadline belongs to a request and is known wherever it is worked on (a context variable), so that no part of the work
goes on when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import structlog

from app.errors import ApiError, DeadlineExceededError, OverloadedError, UnavailableError
from app.resilience.breaker import OpenError, UntriedError

log = structlog.get_logger(__name__)

T = TypeVar("T")

_ENDS: ContextVar[float | None] = ContextVar("deadline", default=None)

ATTEMPTS: Final = 3
FIRST_DELAY: Final = 1.0
"""Requirement, section 2: three attempts, the delay doubling from 1 s, with jitter. A search in OpenSearch
begins with 0.1 s instead: somebody waits for it, and another node that has the shard can answer at once."""

PARTS: Final = 5
"""In so many parts the time is counted that is given to what is called. A process that stands still (no CPU, a long
collection of garbage) cannot read an answer: all the time of a stall counts as one part at most."""

RETRY_RATIO: Final = 0.1
"""Retries are a tenth of the calls at most: of a dependency that is down, more would be a second load on top."""


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Waits so long, s, or until what works in rounds is told to stop."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


async def unless(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Waits for work, and says whether it has ended: it is left when what works in rounds is told to stop."""
    both = [asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if ended := both[0].done():
            await both[0]
        return ended
    finally:
        for one in both:
            one.cancel()
        await asyncio.gather(*both, return_exceptions=True)


@contextmanager
def surviving(what: str) -> Iterator[None]:
    """Goes around one round of what goes on for ever: whatever goes wrong is told, and a next round comes."""
    try:
        yield
    except ApiError as error:
        log.warning(f"{what}_interrupted", code=error.code, reason=error.detail)
    except Exception:
        # Nobody knows of it: it is told with all there is.
        log.exception(f"{what}_failed")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What happens inside has so much time, s, or less if a deadline around it ends sooner."""
    end = time.monotonic() + seconds
    around = _ENDS.get()
    token = _ENDS.set(end if around is None else min(end, around))
    try:
        yield
    finally:
        _ENDS.reset(token)


@contextmanager
def apart(seconds: float) -> Iterator[None]:
    """What happens inside has so much time, s, whatever is left to whoever began it: others wait for it, too."""
    token = _ENDS.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS.reset(token)


def left(most: float) -> float:
    """The time that is left, s, and no more than some.

    Raises:
        UntriedError: None is left.
    """
    ends = _ENDS.get()
    if ends is None:
        return most
    remaining = ends - time.monotonic()
    if remaining <= 0:
        raise UntriedError("the answer took too long", remedy="Ask for less, or later")
    return min(remaining, most)


@asynccontextmanager
async def limit(what: str, most: float) -> AsyncIterator[None]:
    """Ends what happens inside after so much time, s, or at the deadline.

    The time is that in which this process ran: what it did not see while it stood still (`PARTS`) is nobody's delay.

    Raises:
        UntriedError: The request has no time left.
        DeadlineExceededError: It has none any more.
        UnavailableError: What was called did not answer in its own time.
    """
    seconds = left(most)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as timeout:
            timer: asyncio.TimerHandle

            def passed(parts: int) -> None:
                nonlocal timer
                if parts == PARTS:
                    timeout.reschedule(loop.time())
                else:
                    timer = loop.call_later(seconds / PARTS, passed, parts + 1)

            timer = loop.call_later(seconds / PARTS, passed, 1)
            try:
                yield
            finally:
                timer.cancel()
    except TimeoutError as error:
        if seconds < most:
            raise DeadlineExceededError("the answer took too long", why=f"{what} was waited for") from error
        raise UnavailableError(f"{what} did not answer within {most:g} s", retry_after=1) from error


class Budget:
    """Keeps retries a share of the calls.

    Args:
        ratio: Retries per call, in the long run.
        reserve: Retries that may be made at once.
    """

    def __init__(self, ratio: float = RETRY_RATIO, reserve: float = 10.0) -> None:
        self._ratio, self._reserve, self._tokens = ratio, reserve, reserve

    def called(self) -> None:
        """A first attempt was made."""
        self._tokens = min(self._reserve, self._tokens + self._ratio)

    def take(self) -> bool:
        """Whether there may be a retry."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


async def retrying(
    call: Callable[[], Awaitable[T]],
    *,
    budget: Budget,
    attempts: int = ATTEMPTS,
    first: float = FIRST_DELAY,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    chance: Callable[[], float] = random.random,
) -> T:
    """Calls, and calls again while the dependency does not answer: what is called has to bear being called twice.

    Before the second attempt it waits a random time up to ``first``, before the third up to twice that ("full jitter":
    Marc Brooker, AWS Architecture Blog, "Exponential Backoff And Jitter"), and never beyond the deadline.

    Args:
        call: Makes one attempt.
        budget: Of the dependency.
        attempts: Attempts at most.
        first: The longest wait before the second attempt, s.
        sleep: Waits.
        chance: A random number from 0 to 1.

    Raises:
        UnavailableError: No attempt has worked; the last one's.
    """
    budget.called()
    for attempt in range(1, attempts + 1):
        try:
            return await call()
        except OpenError:
            raise
        except (UnavailableError, OverloadedError):
            delay = chance() * first * 2 ** (attempt - 1)
            if attempt == attempts or delay >= left(delay + 1.0) or not budget.take():
                raise
        await sleep(delay)
    raise AssertionError("unreachable")
