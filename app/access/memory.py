"""What was looked up a moment ago, and may be used again: briefly as a rule, longer while the database is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cachetools import LRUCache

from app.errors import ApiError, DeadlineExceededError, OverloadedError, UnavailableError

FRESH_SECONDS: Final = 10.0
"""How long what was found is not looked up again, s: how long a revoked key or a suspended tenant may still open."""

STALE_SECONDS: Final = 300.0
"""How long what was found is used while the database does not answer, s: longer than a fail-over within a region takes
(60 to 120 s for RDS Multi-AZ). While it is away nothing can be revoked, either; what was revoked in the last
`FRESH_SECONDS` before opens for so long at most, counted from when it was found."""

AGAIN_SECONDS: Final = 1.0
"""After a look-up that had no answer, the next one for the same key comes so much later, s."""

_NO_ANSWER: Final = (UnavailableError, OverloadedError, DeadlineExceededError)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Found(Generic[V]):
    value: V
    found_at: float
    ask_at: float


class Memory(Generic[K, V]):
    """Remembers answers to look-ups that decide who may do what. Those who ask for one key at once share a look-up.

    Args:
        clock: Tells the time, s.
        size: Answers that are kept; the longest unused is forgotten first.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, size: int = 10_000) -> None:
        self._clock = clock
        self._found: LRUCache[K, _Found[V]] = LRUCache(size)
        self._asked: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, find: Callable[[], Awaitable[V]]) -> V:
        """What is remembered, or else what is found.

        Args:
            key: What is looked up.
            find: Looks it up. A refusal that it raises is not remembered, and ends what was.

        Raises:
            ApiError: What `find` raises: a refusal, or that there is no answer and nothing is remembered.
        """
        kept = self._found.get(key)
        if kept is not None and self._clock() < kept.ask_at:
            return kept.value
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(key, find))
            task.add_done_callback(lambda done: self._ended(key, done))
        # Whoever hangs up takes the answer from nobody else.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Forgets everything."""
        self._found.clear()

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        del self._asked[key]
        if not task.cancelled():
            task.exception()  # it is told to whoever still waits; perhaps nobody does

    async def _ask(self, key: K, find: Callable[[], Awaitable[V]]) -> V:
        kept = self._found.get(key)
        try:
            value = await find()
        except _NO_ANSWER:
            now = self._clock()
            if kept is None or now - kept.found_at >= STALE_SECONDS:
                raise
            kept.ask_at = min(now + AGAIN_SECONDS, kept.found_at + STALE_SECONDS)
            return kept.value
        except ApiError:
            self._found.pop(key, None)
            raise
        now = self._clock()
        self._found[key] = _Found(value, now, now + FRESH_SECONDS)
        return value
