"""A Redis that only reads, as a standby region has it, is read from, and neither written to nor taken for dead."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from redis.exceptions import ReadOnlyError, ResponseError
from structlog.testing import capture_logs

from app.errors import RateLimitedError, UnavailableError
from app.index.model import Match, Query, Result
from app.redis_client import READ_ONLY_SECONDS, Client, Writes, failure, open_client
from app.resilience.breaker import Breaker, State
from app.resilience.limits import Limit, Limiter
from app.search.cache import LayeredCache
from app.search.model import Answer, Level, key_of
from app.settings import load
from app.tenancy import internal
from tests.app.services.servers import Redis, RedisReplica

pytestmark = pytest.mark.anyio


@pytest.fixture
def follower(redis: Redis, services_folder: Path) -> Iterator[RedisReplica]:
    its = RedisReplica(services_folder / "redis-replica", redis)
    try:
        its.start()
        yield its
    finally:
        its.stop()


class Region:
    """What one process of a region has of Redis."""

    def __init__(self, client: Client) -> None:
        self.client, self.now = client, 1_000.0
        self.breaker, self.writes = Breaker("Redis"), Writes(clock=lambda: self.now)
        self.cache = LayeredCache(client, breaker=self.breaker, writes=self.writes)
        self.limits = Limiter(client, self.breaker, writes=self.writes, clock=lambda: 5.0)


@asynccontextmanager
async def region(server: Redis) -> AsyncIterator[Region]:
    client = open_client(load(**server.settings()))
    assert client is not None
    try:
        yield Region(client)
    finally:
        await client.aclose()


async def followed(home: Region, away: Region) -> None:
    """Returns when what was written at home is there."""
    mark = str(uuid4())
    await home.client.set(mark, "1")
    end = time.monotonic() + 60
    while not await away.client.exists(mark):
        assert time.monotonic() < end, "the replica does not follow"
        await asyncio.sleep(0.01)


@pytest.mark.services
async def test_in_a_standby_region_answers_of_the_primary_are_read_and_nothing_fails_for_what_is_refused(
    redis: Redis, follower: RedisReplica
) -> None:
    tenant = internal(uuid4(), "t")
    queries = [tenant.query(Query(Match(str(number)))) for number in range(60)]
    answer = Answer(Result(1, True, [], []), Level.OPENSEARCH)
    async with region(redis) as home, region(follower) as away:
        await home.cache.advance(tenant.tenant_id)
        generation = await home.cache.generation(tenant.tenant_id)
        await home.cache.put(key_of(queries[0], generation), answer)
        await followed(home, away)
        with capture_logs() as said:
            assert await away.cache.generation(tenant.tenant_id) == generation
            found = await away.cache.get(key_of(queries[0], generation))
            assert found is not None
            assert found.level == Level.REDIS
            limit = Limit(f"limit:{uuid4()}", 60 * 5)
            for one in queries[1:]:
                await away.cache.put(key_of(one, generation), answer)
            for _ in range(limit.burst):
                await away.limits.take(limit)
            with pytest.raises(RateLimitedError):
                await away.limits.take(limit)
            # What it has made itself it keeps itself.
            kept = await away.cache.get(key_of(queries[1], generation))
            assert kept is not None
            assert kept.level == Level.MEMORY
            assert away.breaker.state is State.CLOSED
            health = await away.cache.health()
            assert (health.ok, health.detail["reads_only"]) == (True, True)
            # It is promoted: within half a minute it is written to.
            await away.client.execute_command("REPLICAOF", "NO", "ONE")
            away.now += READ_ONLY_SECONDS
            await away.limits.take(limit)
            assert await away.client.exists(limit.key)
            assert (await away.cache.health()).detail["reads_only"] is False
        assert [one["event"] for one in said] == ["redis_reads_only", "redis_takes_writes"]


def test_after_a_refusal_the_next_write_is_tried_later() -> None:
    now = 0.0
    writes = Writes(clock=lambda: now)
    assert not writes.refused
    writes.note(refused=True)
    assert writes.refused
    now = READ_ONLY_SECONDS
    assert not writes.refused


@pytest.mark.parametrize(
    "said",
    [
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError("Error running script (call to f_0): @user_script:8: -READONLY You can't write against a read"),
    ],
)
def test_a_refused_write_is_told_from_a_redis_that_does_not_answer(said: Exception) -> None:
    assert isinstance(failure(said), ReadOnlyError)
    for error in (ResponseError("OOM command not allowed"), ConnectionError("gone")):
        assert isinstance(failure(error), UnavailableError)
