"""Answers are kept in memory and in Redis, for a while, and no write leaves an old one standing."""

import asyncio
from collections.abc import AsyncIterator, Sized
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from app.index.model import Hit, Match, Query, Result
from app.redis_client import open_client
from app.resilience.breaker import Breaker, State
from app.search.cache import ENTRY_BYTES, LayeredCache
from app.search.model import Answer, Cache, Level, key_of
from app.settings import load
from app.tenancy import internal
from tests.app.services.servers import Redis, RedisCluster

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def answer(total: int = 1, level: str = Level.FULL_TEXT, **more: bool) -> Answer:
    hit = Hit(uuid4(), 1.5, 3, {"title": "Tea", "tags": ["a"]}, {"title": ["<mark>Tea</mark>"]}, ("x", 2.5))
    return Answer(Result(total, True, [hit], []), level, **more)


async def key(cache: Cache, tenant_id: UUID, text: str = "tea") -> str:
    return key_of(internal(tenant_id, "t").query(Query(Match(text))), await cache.generation(tenant_id))


async def test_an_answer_is_fresh_then_stale_then_gone() -> None:
    clock = Clock()
    cache, tenant = LayeredCache(None, clock=clock), uuid4()
    at, given = await key(cache, tenant), answer()
    assert await cache.get(at) is None
    await cache.put(at, given)
    clock.now += 299
    found = await cache.get(at)
    assert found is not None
    assert (found.result, found.level, found.stale, found.age_seconds) == (given.result, Level.MEMORY, False, 299)
    clock.now += 2
    found = await cache.get(at)
    assert found is not None
    assert found.stale
    clock.now += 60
    assert await cache.get(at) is None


async def test_who_waits_for_an_answer_goes_on_before_redis_is_told_of_it() -> None:
    told: list[str] = []

    class Client:
        def register_script(self, script: str) -> None:
            del script

        async def set(self, key: str, raw: bytes, px: int) -> bool:
            del key, raw, px
            told.append("redis")
            return True

    cache = LayeredCache(cast("Any", Client()))
    made: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def make() -> None:
        keeping.append(asyncio.create_task(cache.put(f"search:{uuid4()}:0:x", answer())))
        made.set_result("answer")

    async def wait() -> None:
        told.append(await asyncio.shield(made))

    keeping: list[asyncio.Task[None]] = []
    await asyncio.gather(wait(), make())
    await keeping[0]
    assert told == ["answer", "redis"]


async def test_a_write_of_its_tenant_ends_it_and_no_other_s_does() -> None:
    cache, tenant, other = LayeredCache(None), uuid4(), uuid4()
    await cache.put(await key(cache, tenant), answer())
    await cache.advance(other)
    assert await cache.get(await key(cache, tenant))
    await cache.advance(tenant)
    assert await cache.get(await key(cache, tenant)) is None
    before = await cache.generation(tenant)
    await cache.advance(tenant)
    assert await cache.generation(tenant) > before


async def test_the_last_answer_is_there_when_no_other_is() -> None:
    cache, tenant = LayeredCache(None), uuid4()
    assert cache.last(await key(cache, tenant)) is None
    await cache.put(await key(cache, tenant), answer(7))
    await cache.advance(tenant)
    last = cache.last(await key(cache, tenant))
    assert last is not None
    assert (last.result.total, last.stale, last.degraded) == (7, True, True)
    assert cache.last(await key(cache, tenant, "coffee")) is None


async def test_an_answer_from_before_the_index_has_settled_is_kept_until_it_has() -> None:
    clock = Clock()
    cache, tenant = LayeredCache(None, clock=clock), uuid4()
    await cache.advance(tenant)
    clock.now += 10
    at = await key(cache, tenant)
    await cache.put(at, answer(level=Level.OPENSEARCH))
    clock.now += 19
    found = await cache.get(at)
    assert found is not None
    assert not found.stale
    clock.now += 2
    found = await cache.get(at)
    assert found is not None
    assert found.stale


async def test_what_another_engine_said_is_kept_for_a_moment() -> None:
    clock = Clock()
    cache, tenant = LayeredCache(None, clock=clock), uuid4()
    at = await key(cache, tenant)
    await cache.put(at, answer(degraded=True))
    clock.now += 11
    found = await cache.get(at)
    assert found is not None
    assert found.stale
    assert found.degraded


async def test_memory_is_bounded_and_a_giant_is_not_kept() -> None:
    room = 20 * 2 * ENTRY_BYTES
    cache, tenant = LayeredCache(None, memory_bytes=room), uuid4()
    for number in range(500):
        await cache.put(await key(cache, tenant, str(number)), answer())
    size = (await cache.health()).detail["bytes"]
    assert isinstance(size, int)
    assert room / 2 < size <= room
    # Nor does anything else grow with every query that was ever asked.
    assert all(len(one) <= 40 for one in vars(cache).values() if isinstance(one, Sized))
    giant = answer()
    giant.result.hits[0].fields["content"] = "x" * 2**21
    await cache.put(await key(cache, tenant, "giant"), giant)
    assert await cache.get(await key(cache, tenant, "giant")) is None


async def test_a_late_answer_of_before_a_write_does_not_stand_in_for_one_of_after_it() -> None:
    cache, tenant = LayeredCache(None), uuid4()
    old = await key(cache, tenant)
    await cache.advance(tenant)
    new = await key(cache, tenant)
    await cache.put(new, answer(2))
    await cache.put(old, answer(1))
    found, last = await cache.get(new), cache.last(new)
    assert found
    assert last
    assert (found.result.total, last.result.total) == (2, 2)


@pytest.fixture(params=["redis", "redis_cluster"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[LayeredCache, LayeredCache]]:
    """The caches of two processes."""
    server: Redis | RedisCluster = request.getfixturevalue(request.param)
    settings = load(**server.settings())
    caches = [LayeredCache(open_client(settings)) for _ in range(2)]
    yield caches[0], caches[1]
    for cache in caches:
        await cache.close()


@pytest.mark.services
async def test_processes_share_answers_and_generations(pair: tuple[LayeredCache, LayeredCache]) -> None:
    (one, other), tenant = pair, uuid4()
    given = answer()
    await one.put(await key(one, tenant), given)
    found = await other.get(await key(other, tenant))
    assert found is not None
    assert (found.result, found.level) == (given.result, Level.REDIS)
    found = await other.get(await key(other, tenant))
    assert found is not None
    assert found.level == Level.MEMORY
    await one.advance(tenant)
    assert await one.get(await key(one, tenant)) is None
    await asyncio.sleep(1.01)
    assert await other.generation(tenant) == await one.generation(tenant)
    assert await other.get(await key(other, tenant)) is None


@pytest.mark.services
async def test_a_dead_redis_is_a_miss_and_a_write_meanwhile_is_told_later(redis: Redis) -> None:
    clock, tenant = Clock(), uuid4()
    breaker = Breaker("Redis", clock=clock)
    settings = load(**redis.settings())
    here = LayeredCache(open_client(settings), breaker=breaker, clock=clock)
    there = LayeredCache(open_client(settings))
    await here.put(await key(here, tenant), answer())
    before = await there.generation(tenant)
    redis.kill()
    try:
        assert await here.get(await key(here, tenant)), "memory goes on"
        await here.advance(tenant)
        assert await here.get(await key(here, tenant)) is None
        assert not (await here.health()).ok
        for _ in range(20):
            await here.get(await key(here, tenant))
        assert breaker.state is State.OPEN
        await here.put(await key(here, tenant), answer())
        for _ in range(3):
            clock.now += 1.1
            assert await here.get(await key(here, tenant)), "nothing was written since"
    finally:
        redis.spawn()
        await asyncio.to_thread(redis.wait)
    clock.now += 61
    await here.advance(uuid4())
    await asyncio.sleep(1.01)
    assert await there.generation(tenant) > before
    assert (await here.health()).ok
    await here.close()
    await there.close()


@pytest.mark.services
async def test_what_is_to_be_forgotten_is_served_by_nobody_not_even_in_need(
    pair: tuple[LayeredCache, LayeredCache],
) -> None:
    """Erased documents stand in answers: here, in Redis, and in the memory of every other process."""
    (one, other), tenant, foreign = pair, uuid4(), uuid4()
    old, kept = await key(other, tenant), await key(other, foreign)
    await other.put(old, answer())
    await other.put(kept, answer())
    assert other.last(old)
    assert await one.forget(tenant)
    assert await one.get(old) is None
    assert await one.get(kept)
    await asyncio.sleep(1.01)
    new = await key(other, tenant)
    assert new != old
    assert other.last(old) is None
    assert other.last(new) is None
    await other.put(old, answer())
    assert await other.get(old) is None, "an answer that was being made meanwhile is not kept"
    await other.advance(tenant)
    await other.put(await key(other, tenant), answer())
    assert await other.get(await key(other, tenant))
    assert other.last(kept)


@pytest.mark.services
async def test_nothing_counts_as_forgotten_while_redis_does_not_answer(redis: Redis) -> None:
    cache, tenant = LayeredCache(open_client(load(**redis.settings()))), uuid4()
    redis.kill()
    try:
        assert not await cache.forget(tenant)
    finally:
        redis.spawn()
        await asyncio.to_thread(redis.wait)
    assert await cache.forget(tenant)
    await cache.close()
