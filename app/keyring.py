"""What the service signs and hashes with, while it changes: the secret of today, and former ones that still open."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

SETTLE_SECONDS: Final = 3600.0
"""For so long, s, a process that knows a former secret goes on to sign with it. A rollout takes less (its Deployment
gives up after 10 minutes without progress), and until it is over there are processes that know no other one."""


class Keyring:
    """A secret and those before it.

    Args:
        keys: The secret, then the former ones, the newest first.
        settle_seconds: How long the newest of the former ones signs, s; 0 where what is made is used elsewhere later.
        clock: Tells the time, s.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        *,
        settle_seconds: float = SETTLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = tuple(dict.fromkeys(keys))
        self._clock, self._settled_at = clock, clock() + (settle_seconds if len(self.keys) > 1 else 0.0)

    @property
    def current(self) -> bytes:
        """The secret of today."""
        return self.keys[0]

    @property
    def settled(self) -> bool:
        """Whether every process knows it."""
        return self._clock() >= self._settled_at

    @property
    def signing(self) -> bytes:
        """What to sign with: every process opens that."""
        return self.keys[0 if self.settled else 1]
