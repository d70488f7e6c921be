"""A worker ends when it is told to, whatever it waits for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from app.search.model import NoCache
from app.worker import Worker

pytestmark = pytest.mark.anyio


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
