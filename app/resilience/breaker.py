"""A circuit breaker: a dependency that fails is left alone for a while, instead of being waited for again and again.

One per dependency and process. It is a state machine over a clock; it starts no task and opens no connection.

    closed     calls go through; at 50% failures among the last 20 it opens
    open       calls are refused at once for 60 s
    half open  5 calls go through as probes; when all have ended it closes, or at 50% failures opens again
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.errors import DeadlineExceededError, OverloadedError, UnavailableError

FAILURES: Final = (UnavailableError, DeadlineExceededError, OverloadedError)
"""What counts as a failure. Any other answer, a refusal as well, shows that the dependency is there."""


class State(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class OpenError(UnavailableError):
    """A call was refused, because the dependency has failed a moment ago. It was not tried."""


class UntriedError(DeadlineExceededError):
    """A call was not made, because its request has no time left. It says nothing of the dependency."""


@dataclass(frozen=True)
class Permit:
    """The leave for one call. What comes of a call that began before the state changed says nothing about now."""

    epoch: int


class Breaker:
    """A breaker (requirement, section 2).

    Args:
        name: The dependency.
        window: The calls that are looked at, the last ones.
        ratio: The share of failures among them at which it opens.
        open_seconds: How long it stays open, s.
        probes: The calls that decide whether it closes again.
        clock: Tells the time, s.
        changed: Is told of each change of state.
    """

    def __init__(
        self,
        name: str,
        *,
        window: int = 20,
        ratio: float = 0.5,
        open_seconds: float = 60.0,
        probes: int = 5,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[str, State], None] | None = None,
    ) -> None:
        self.name = name
        self._ratio, self._open_seconds, self._probes = ratio, open_seconds, probes
        self._clock, self._changed = clock, changed
        self._state = State.CLOSED
        self._epoch = 0
        self._recent: deque[bool] = deque(maxlen=window)
        self._window = window
        self._opened_at = 0.0
        self._started = 0

    @property
    def state(self) -> State:
        """What it does now."""
        if self._state is State.OPEN and self._clock() >= self._opened_at + self._open_seconds:
            self._become(State.HALF_OPEN)
        return self._state

    def permit(self) -> Permit:
        """Asks for leave of a call, which has to be given back by `record` or `release`.

        Raises:
            OpenError: It is open, or has all its probes out.
        """
        state = self.state
        if state is State.OPEN:
            left = self._opened_at + self._open_seconds - self._clock()
            raise OpenError(f"{self.name} does not answer", why="it has failed several times", retry_after=max(left, 1))
        if state is State.HALF_OPEN:
            if self._started >= self._probes:
                raise OpenError(f"{self.name} does not answer", why="it is being tried", retry_after=1)
            self._started += 1
        return Permit(self._epoch)

    def record(self, permit: Permit, *, failed: bool) -> None:
        """Says how a call ended."""
        if permit.epoch != self._epoch:
            return
        self._recent.append(failed)
        wanted = self._probes if self._state is State.HALF_OPEN else self._window
        if len(self._recent) < wanted:
            return
        if sum(self._recent) >= self._ratio * len(self._recent):
            self._become(State.OPEN)
        elif self._state is State.HALF_OPEN:
            self._become(State.CLOSED)

    def release(self, permit: Permit) -> None:
        """Says that a call was given up before it showed anything: another probe may take its place."""
        if permit.epoch == self._epoch and self._state is State.HALF_OPEN:
            self._started -= 1

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Goes around one call of the dependency.

        Raises:
            OpenError: It was not tried.
        """
        permit = self.permit()
        try:
            yield
        except UntriedError:
            self.release(permit)
            raise
        except FAILURES:
            self.record(permit, failed=True)
            raise
        except Exception:
            self.record(permit, failed=False)
            raise
        except BaseException:
            self.release(permit)
            raise
        else:
            self.record(permit, failed=False)

    def _become(self, state: State) -> None:
        self._state = state
        self._epoch += 1
        self._started = 0
        self._recent.clear()
        if state is State.OPEN:
            self._opened_at = self._clock()
        if self._changed:
            self._changed(self.name, state)
