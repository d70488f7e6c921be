"""A caller gets its rate and a burst, and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.limits import BURST_SECONDS, LocalLimits
from app.errors import RateLimitedError

pytestmark = pytest.mark.anyio


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def taken(limits: LocalLimits, name: str, per_minute: int) -> bool:
    try:
        await limits.take(name, per_minute)
    except RateLimitedError:
        return False
    return True


@given(st.lists(st.floats(0, 5), min_size=1, max_size=80), st.integers(1, 600))
async def test_no_window_holds_more_than_rate_and_burst(pauses: list[float], per_minute: int) -> None:
    clock = Clock()
    limits = LocalLimits(clock)
    times = []
    for pause in pauses:
        clock.now += pause
        if await taken(limits, "a", per_minute):
            times.append(clock.now)
    burst = max(BURST_SECONDS, 60 / per_minute)
    for first in range(len(times)):
        for last in range(first, len(times)):
            most = (times[last] - times[first] + burst) * per_minute / 60
            assert last - first + 1 <= most + 1e-6


async def test_who_waits_as_long_as_it_is_told_gets_through() -> None:
    clock = Clock()
    limits = LocalLimits(clock)
    assert [await taken(limits, "a", 12) for _ in range(3)] == [True, True, False]
    with pytest.raises(RateLimitedError) as refused:
        await limits.take("a", 12)
    assert refused.value.retry_after == pytest.approx(5.0)
    clock.now += 5.0
    assert await taken(limits, "a", 12)
    assert not await taken(limits, "a", 12)


async def test_names_do_not_count_for_each_other() -> None:
    limits = LocalLimits(Clock())
    assert [await taken(limits, name, 6) for name in "abab"] == [True, True, False, False]
