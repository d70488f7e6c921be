"""Nothing goes on longer than its request, and what is tried again is tried rarely and later."""

import asyncio
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.errors import DeadlineExceededError, InvalidQueryError, UnavailableError
from app.resilience import deadline
from app.resilience.breaker import Breaker, OpenError, State, UntriedError
from app.resilience.deadline import Budget, retrying, surviving

pytestmark = pytest.mark.anyio


def test_the_nearest_deadline_counts() -> None:
    assert deadline.left(7.0) == 7.0
    with deadline.within(5.0):
        with deadline.within(100.0):
            assert deadline.left(60.0) <= 5.0
        with deadline.within(1.0):
            assert deadline.left(60.0) <= 1.0
        assert 1.0 < deadline.left(60.0) <= 5.0
    assert deadline.left(60.0) == 60.0


def test_without_time_left_nothing_begins() -> None:
    with deadline.within(0.0), pytest.raises(DeadlineExceededError):
        deadline.left(1.0)


async def test_a_slow_dependency_is_unavailable_and_a_slow_request_is_over() -> None:
    with pytest.raises(UnavailableError, match=r"engine did not answer within 0\.01 s"):
        async with deadline.limit("engine", 0.01):
            await asyncio.sleep(5)
    with deadline.within(0.01), pytest.raises(DeadlineExceededError):
        async with deadline.limit("engine", 5):
            await asyncio.sleep(5)


async def test_a_stall_of_this_process_takes_no_time_from_what_it_called() -> None:
    answer = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.05, answer.set_result, "there")
    breaker = Breaker("Redis", window=1)
    with breaker.guard():
        async with deadline.limit("Redis", 0.1):
            # The answer comes, and so does the end of its time, while nobody can look.
            time.sleep(0.2)
            assert await answer == "there"
    assert breaker.state is State.CLOSED


async def test_what_is_really_late_opens_its_breaker_also_when_this_process_stalls() -> None:
    breaker = Breaker("Redis")

    async def call() -> None:
        with pytest.raises(UnavailableError), breaker.guard():
            async with deadline.limit("Redis", 0.05):
                await asyncio.sleep(60)

    async with asyncio.TaskGroup() as calls:
        for _ in range(20):
            calls.create_task(call())
        await asyncio.sleep(0)
        time.sleep(0.1)
    assert breaker.state is State.OPEN


async def test_a_call_that_its_request_had_no_time_for_says_nothing_of_the_dependency() -> None:
    breaker = Breaker("Redis", window=1, open_seconds=0.0)
    breaker.record(breaker.permit(), failed=True)
    with deadline.within(0.0):
        for _ in range(7):
            with pytest.raises(UntriedError), breaker.guard():
                async with deadline.limit("Redis", 0.25):
                    pytest.fail("it was called")
    assert breaker.state is State.HALF_OPEN


class Calls:
    """Fails so often with some error, then answers."""

    def __init__(self, times: int, error: Exception) -> None:
        self.made, self._times, self._error = 0, times, error
        self.slept: list[float] = []

    async def __call__(self) -> int:
        self.made += 1
        if self.made <= self._times:
            raise self._error
        return self.made

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_the_third_attempt_is_the_last() -> None:
    calls = Calls(2, UnavailableError("gone"))
    assert await retrying(calls, budget=Budget(), sleep=calls.sleep) == 3
    calls = Calls(3, UnavailableError("gone"))
    with pytest.raises(UnavailableError):
        await retrying(calls, budget=Budget(), sleep=calls.sleep)
    assert calls.made == 3


@pytest.mark.parametrize("error", [InvalidQueryError("no"), OpenError("open")])
async def test_what_will_not_work_is_not_tried_again(error: Exception) -> None:
    calls = Calls(1, error)
    with pytest.raises(type(error)):
        await retrying(calls, budget=Budget(), sleep=calls.sleep)
    assert calls.made == 1


async def test_no_attempt_goes_beyond_the_deadline() -> None:
    calls = Calls(2, UnavailableError("gone"))
    with deadline.within(0.5), pytest.raises(UnavailableError):
        await retrying(calls, budget=Budget(), sleep=calls.sleep, chance=lambda: 0.9)
    assert calls.made == 1


@given(st.integers(0, 2**32))
async def test_delays_are_spread_over_all_of_a_growing_span(seed: int) -> None:
    calls = Calls(2, UnavailableError("gone"))
    await retrying(calls, budget=Budget(), first=1.0, sleep=calls.sleep, chance=random.Random(seed).random)
    assert len(calls.slept) == 2
    assert 0 <= calls.slept[0] <= 1
    assert 0 <= calls.slept[1] <= 2


async def test_of_a_dead_dependency_a_tenth_is_tried_again() -> None:
    budget, made = Budget(), 0
    for _ in range(1000):
        calls = Calls(9, UnavailableError("gone"))
        with pytest.raises(UnavailableError):
            await retrying(calls, budget=budget, sleep=calls.sleep)
        made += calls.made
    assert 1000 <= made <= 1000 * 1.1 + 10


def test_a_round_is_survived_and_told_and_an_end_is_none() -> None:
    with capture_logs() as said:
        for error in (UnavailableError("it is away"), ZeroDivisionError("nobody knows of it")):
            with surviving("work"):
                raise error
    assert [(one["event"], one["log_level"]) for one in said] == [
        ("work_interrupted", "warning"),
        ("work_failed", "error"),
    ]
    assert said[0]["reason"] == "it is away"
    assert said[1]["exc_info"]
    with pytest.raises(asyncio.CancelledError), surviving("work"):
        raise asyncio.CancelledError
