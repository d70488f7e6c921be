"""Callers go on beside what is done to the service; that they have ended by themselves is not overlooked."""

import asyncio

import pytest

from tests.soak.callers import Callers


class Counting(Callers):
    """Callers that count."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.count, self._most = 0, most

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self.count += 1
            if self.count == self._most:
                raise ValueError("no more")
            await asyncio.sleep(0)


def wait(callers: Counting, count: int, *, fail: bool = False) -> None:
    while callers.count < count:
        pass
    if fail:
        raise TimeoutError("nothing was sent")


# The event loop of a thread has a pair of sockets, to be woken by.
@pytest.mark.services
def test_callers_go_on_until_the_end() -> None:
    callers = Counting(most=0)
    with callers.going():
        wait(callers, 10)
    assert callers.count >= 10


@pytest.mark.services
def test_callers_that_have_ended_break_what_was_seen_meanwhile() -> None:
    callers = Counting(most=3)
    with pytest.raises(RuntimeError, match="ValueError: no more"), callers.going():
        wait(callers, 3)


@pytest.mark.services
def test_that_is_said_even_if_what_was_done_failed_for_it() -> None:
    callers = Counting(most=3)
    with pytest.raises(RuntimeError, match="ValueError: no more"), callers.going():
        wait(callers, 3, fail=True)


@pytest.mark.services
def test_what_was_done_fails_for_itself_otherwise() -> None:
    callers = Counting(most=0)
    with pytest.raises(TimeoutError, match="nothing was sent"), callers.going():
        wait(callers, 3, fail=True)
