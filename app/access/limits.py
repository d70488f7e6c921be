"""How often a caller may ask: the generic cell rate algorithm, which lets a burst through and then keeps to the rate.

For every name one time is kept: when the next request would be on schedule. A request is taken unless that lies further
ahead than the burst allows (ITU-T I.371, appendix A: the virtual scheduling algorithm).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from cachetools import LRUCache

from app.errors import RateLimitedError

MAX_NAMES: Final = 100_000
"""Names that are kept: beyond it the one that asked longest ago starts afresh."""

BURST_SECONDS: Final = 10.0
"""Requests of so much time may come at once, s."""


class Limits(Protocol):
    """Whoever counts."""

    async def take(self, name: str, per_minute: int) -> None:
        """Counts a request.

        Raises:
            RateLimitedError: It is one too many; it says when the next one is on schedule.
        """


class LocalLimits:
    """Counts in this process. With N processes a caller may get N times its rate.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: LRUCache[str, float] = LRUCache(MAX_NAMES)

    async def take(self, name: str, per_minute: int) -> None:
        """Counts a request."""
        now, step = self._clock(), 60.0 / per_minute
        due = max(self._due.get(name, now), now)
        early = due - now - max(BURST_SECONDS - step, 0.0)
        if early > 1e-9:
            raise RateLimitedError(
                f"more than {per_minute:,} requests per minute",
                remedy=f"Try again in {max(1, round(early))} s",
                retry_after=early,
            )
        self._due[name] = due + step
