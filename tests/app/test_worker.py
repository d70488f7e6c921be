"""A worker ends when it is told to, whatever it waits for, and takes no more at once than it can hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.queue.model import PART_BYTES, Claim, parts
from app.search.model import NoCache
from app.worker import Worker


class Idle:
    """A queue in which nothing ever arrives."""

    def __init__(self) -> None:
        self.waiting, self.left = asyncio.Event(), 0

    @asynccontextmanager
    async def delivery(self) -> AsyncIterator[None]:
        yield None

    async def wait(self, seconds: float) -> None:
        del seconds
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.left += 1


@pytest.mark.anyio
async def test_a_worker_that_waits_for_work_stops_at_once() -> None:
    queue = Idle()
    worker = Worker(cast("Any", None), cast("Any", queue), (), NoCache(), batches=3)
    run = asyncio.create_task(worker.run())
    await queue.waiting.wait()
    worker.stop()
    # It would wait for ever otherwise.
    async with asyncio.timeout(60):
        await run
    assert queue.left == 3


@given(st.lists(st.integers(0, PART_BYTES + 1) | st.integers(0, 2**20)))
def test_parts_hold_everything_in_its_order_and_are_as_large_as_they_may_be(sizes: list[int]) -> None:
    size_of = dict(enumerate(sizes))
    found = [[cast("int", one) for one in part] for part in parts(cast("list[tuple[Claim, int]]", size_of.items()))]
    assert [one for part in found for one in part] == [*size_of]
    assert all(len(part) == 1 or sum(size_of[one] for one in part) <= PART_BYTES for part in found)
    for part, following in pairwise(found):
        assert sum(size_of[one] for one in part) + size_of[following[0]] > PART_BYTES
