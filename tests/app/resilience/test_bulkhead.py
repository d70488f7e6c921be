"""So much at once, so much in the queue, and the rest is turned away at once with a time to come again."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import OverloadedError
from app.resilience import deadline
from app.resilience.bulkhead import INDEXING, SEARCH, Bulkhead, Size

pytestmark = pytest.mark.anyio


async def hold(bulkhead: Bulkhead, release: asyncio.Event) -> None:
    async with bulkhead.enter():
        await release.wait()


async def start(bulkhead: Bulkhead, number: int, release: asyncio.Event) -> list[asyncio.Task[None]]:
    tasks = []
    for _ in range(number):
        tasks.append(asyncio.create_task(hold(bulkhead, release)))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


@pytest.mark.parametrize(("size", "usual", "most", "queue"), [(SEARCH, 20, 50, 100), (INDEXING, 10, 30, 200)])
async def test_the_requirement_s_sizes(size: Size, usual: int, most: int, queue: int) -> None:
    bulkhead, release = Bulkhead("search", size), asyncio.Event()
    tasks = await start(bulkhead, usual, release)
    assert (bulkhead.running, bulkhead.waiting) == (usual, 0)
    tasks += await start(bulkhead, queue, release)
    assert (bulkhead.running, bulkhead.waiting) == (usual, queue)
    tasks += await start(bulkhead, most - usual, release)
    assert (bulkhead.running, bulkhead.waiting) == (most, queue)
    with pytest.raises(OverloadedError, match=f"{queue} wait already") as refused:
        async with bulkhead.enter():
            pass
    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 30
    release.set()
    await asyncio.gather(*tasks)
    assert (bulkhead.running, bulkhead.waiting) == (0, 0)


async def test_who_has_waited_longest_comes_first() -> None:
    bulkhead, order = Bulkhead("search", Size(1, 1, 10)), list[int]()

    async def call(number: int) -> None:
        async with bulkhead.enter():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(call(number) for number in range(10)))
    assert order == [*range(10)]


async def test_who_would_come_too_late_is_turned_away_at_once() -> None:
    now = [0.0]
    bulkhead, release = Bulkhead("search", Size(1, 1, 10), clock=lambda: now[0]), asyncio.Event()
    for _ in range(100):
        async with bulkhead.enter():
            now[0] += 5.0  # so long takes a call
    tasks = await start(bulkhead, 1, release)
    with deadline.within(1.0), pytest.raises(OverloadedError, match="its turn would not come in time"):
        async with bulkhead.enter():
            pass
    release.set()
    await asyncio.gather(*tasks)


async def test_who_waits_beyond_the_deadline_is_turned_away() -> None:
    bulkhead, release = Bulkhead("search", Size(1, 1, 10)), asyncio.Event()
    tasks = await start(bulkhead, 1, release)
    with deadline.within(0.05), pytest.raises(OverloadedError, match="its turn did not come in time"):
        async with bulkhead.enter():
            pass
    assert bulkhead.waiting == 0
    release.set()
    await asyncio.gather(*tasks)


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_whatever_ends_how_no_place_is_lost_and_none_is_taken_twice(seed: int) -> None:
    chance = random.Random(seed)
    size = Size(3, 5, 6)

    async def run() -> None:
        bulkhead, inside = Bulkhead("search", size), 0

        async def call() -> None:
            nonlocal inside
            async with bulkhead.enter():
                inside += 1
                assert inside <= size.most
                try:
                    await asyncio.sleep(chance.random() / 1000)
                    if chance.random() < 0.2:
                        raise ValueError
                finally:
                    inside -= 1

        tasks = []
        for _ in range(60):
            tasks.append(asyncio.create_task(call()))
            if chance.random() < 0.3:
                chance.choice(tasks).cancel()
            if chance.random() < 0.5:
                await asyncio.sleep(chance.random() / 2000)
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ends} <= {type(None), ValueError, OverloadedError, asyncio.CancelledError}
        assert (bulkhead.running, bulkhead.waiting, inside) == (0, 0, 0)

    asyncio.run(run())
