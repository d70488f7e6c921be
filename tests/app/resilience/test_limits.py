"""A limit lets a burst through and then its rate, in Redis or without, and takes from all limits or from none."""

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import pytest
import uvloop
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.errors import RateLimitedError
from app.redis_client import open_client
from app.resilience.breaker import Breaker, State
from app.resilience.limits import Decision, Limit, Limiter, decide, of_key, of_tenant
from app.settings import load
from tests.app.services.servers import Redis, RedisCluster

pytestmark = pytest.mark.anyio


def test_the_burst_is_what_is_due_in_ten_seconds() -> None:
    assert Limit("a", 6000).burst == 1000
    assert Limit("a", 60).burst == 10
    assert Limit("a", 3).burst == 3


@given(st.integers(1, 100_000), st.lists(st.floats(0, 20), min_size=1, max_size=300))
def test_no_more_than_the_burst_and_the_rate_ever_pass(per_minute: int, gaps: list[float]) -> None:
    limit, now, due = Limit("a", per_minute), 1_800_000_000.0, [0.0]
    passed: list[float] = []
    for gap in gaps:
        now += gap
        decision, due = decide([limit], due, now)
        if decision.allowed:
            passed.append(now)
            assert 0 <= decision.remaining < limit.burst
        else:
            # At the moment that it names one is let through.
            assert decision.retry_after > 0
            assert decide([limit], due, now + decision.retry_after)[0].allowed
    for at, begin in enumerate(passed):
        for number, end in enumerate(passed[at:], 1):
            assert number <= limit.burst + (end - begin) / limit.interval + 1e-3


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    limit, due = Limit("a", 60), [0.0]
    for second in range(1000):
        decision, due = decide([limit], due, 1e9 + second)
        assert decision.allowed


def test_a_refused_request_takes_from_no_limit() -> None:
    wide, narrow = Limit("wide", 6000), Limit("narrow", 1)
    _, due = decide([wide, narrow], [0.0, 0.0], 100.0)
    decision, after = decide([wide, narrow], due, 100.0)
    assert not decision.allowed
    assert decision.limit is narrow
    assert after == due


async def test_without_redis_a_process_keeps_limits_by_itself() -> None:
    now, limiter = [1000.0], Limiter(None, clock=lambda: now[0])
    limit = Limit("a", 60)
    for _ in range(10):
        await limiter.take(limit)
    with pytest.raises(RateLimitedError, match="more than 60 requests a minute") as refused:
        await limiter.take(limit)
    assert refused.value.retry_after == pytest.approx(1.0)
    await limiter.take(Limit("b", 60))
    now[0] += 1.0
    await limiter.take(limit)


class Shared:
    """What several processes share in place of Redis, at a time that a test sets."""

    def __init__(self, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.asked, self._due = 1_800_000_000.0, 0, dict[str, float]()
        client = open_client(load(cache_host="127.0.0.1", cache_port=1, cache_tls=False))
        self.processes = [Limiter(client, clock=lambda: self.now) for _ in range(processes)]
        for one in self.processes:
            monkeypatch.setattr(one, "_shared", self._decide)

    async def _decide(self, limits: Sequence[Limit], count: int = 1) -> Decision:
        self.asked += 1
        decision, due = decide(limits, [self._due.get(one.key, 0.0) for one in limits], self.now, count)
        self._due |= {limit.key: at for limit, at in zip(limits, due, strict=True)}
        return decision

    async def passes(self, process: int, *limits: Limit) -> bool:
        try:
            await self.processes[process].take(*limits)
        except RateLimitedError:
            return False
        return True


async def test_who_comes_often_is_asked_about_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, limit = Shared(1, monkeypatch), Limit("a", 60_000)
    for _ in range(2_000):
        shared.now += 0.005
        assert await shared.passes(0, limit)
    # All of the first second; of the nine that follow, of 200 requests each, a ninth: by twentieths, rounded down.
    assert shared.asked <= 200 + 9 * 200 / 9 + 10
    asked = shared.asked
    for _ in range(20):
        shared.now += 1.0
        assert await shared.passes(0, limit)
    assert shared.asked >= asked + 19, "who comes seldom is asked about each time"


@given(
    per_minute=st.integers(60, 6_000),
    steps=st.lists(st.tuples(st.floats(0.0005, 0.05), st.integers(20, 300)), min_size=1, max_size=12),
)
@examples(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_is_taken_ahead_never_lets_more_pass(
    per_minute: int, steps: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        shared, limit = Shared(2, patch), Limit("a", per_minute)
        began, passed = shared.now, 0
        for gap, count in steps:
            for at in range(count):
                shared.now += gap
                passed += await shared.passes(at % 2, limit)
                assert passed <= limit.burst + (shared.now - began) / limit.interval + 1


@given(share=st.floats(0.2, 0.9), per_minute=st.integers(600, 60_000))
@examples(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_who_keeps_below_the_rate_is_never_refused_for_what_was_taken_ahead(
    share: float, per_minute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        shared, limit = Shared(1, patch), Limit("a", per_minute)
        for _ in range(1_500):
            shared.now += limit.interval / share
            assert await shared.passes(0, limit)


async def test_what_is_kept_is_what_was_paid_for_whoever_comes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, limit, slow = Shared(1, monkeypatch), Limit("a", 60_000), asyncio.Event()
    for _ in range(90):
        shared.now += 0.011
        await shared.passes(0, limit)
    paid: list[int] = []

    async def slowly(limits: Sequence[Limit], count: int = 1) -> Decision:
        paid.append(count)
        if count > 1:
            await slow.wait()
        return await shared._decide(limits, count)

    monkeypatch.setattr(shared.processes[0], "_shared", slowly)
    shared.now += 0.1
    first = asyncio.create_task(shared.passes(0, limit))
    # Four times as many in the next second: what was asked for before is answered only then.
    for _ in range(400):
        await asyncio.sleep(0)
        shared.now += 0.0025
        assert await shared.passes(0, limit)
    shared.now += 0.01
    assert await shared.passes(0, limit)
    slow.set()
    assert await first
    (together,) = [one for one in paid if one > 1]
    assert shared.processes[0]._paces[(limit,)].ahead == together - 1


async def spend(server: Redis) -> None:
    settings = load(**server.settings())
    clients = [open_client(settings) for _ in range(2)]
    tenant = uuid4()
    # Two processes, one limit.
    processes = [Limiter(client) for client in clients]
    limits = of_tenant(tenant, 600), of_key(tenant, uuid4(), 60)
    try:
        for at in range(10):
            decision = await processes[at % 2].take(*limits)
            assert decision.remaining == 9 - at
            assert decision.limit is limits[1]
        with pytest.raises(RateLimitedError, match="more than 60 requests a minute"):
            await processes[0].take(*limits)
        # The tenant's own limit has not been touched by what was refused.
        assert (await processes[1].take(limits[0])).remaining >= 89
    finally:
        for client in clients:
            assert client is not None
            await client.aclose()


@pytest.mark.services
async def test_processes_share_a_limit_in_redis(redis: Redis) -> None:
    await spend(redis)


@pytest.mark.services
async def test_processes_share_a_limit_in_a_redis_cluster(redis_cluster: RedisCluster) -> None:
    await spend(redis_cluster)


@pytest.mark.services
async def test_a_dead_redis_locks_nobody_out_and_lets_nobody_flood(redis: Redis) -> None:
    client = open_client(load(cache_host="127.0.0.1", cache_port=1, cache_tls=False))
    assert client is not None
    limiter = Limiter(client, clock=lambda: 5.0)
    for _ in range(30):
        await limiter.take(Limit("a", 180))
    with pytest.raises(RateLimitedError):
        await limiter.take(Limit("a", 180))
    await client.aclose()


@pytest.mark.services
async def test_redis_takes_several_at_once_or_none(redis: Redis) -> None:
    client = open_client(load(**redis.settings()))
    assert client is not None
    limit, limiter = Limit(f"limit:{uuid4()}", 60), Limiter(client)
    for count, allowed, remaining in ((4, True, 6), (7, False, 0), (6, True, 0)):
        decision = await limiter._shared([limit], count)
        assert decision is not None
        assert (decision.allowed, decision.remaining) == (allowed, remaining)
    await client.aclose()


@pytest.mark.services
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_stall_of_this_process_is_no_late_redis(redis: Redis, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def stall() -> None:
        client = open_client(load(**redis.settings()))
        assert client is not None
        breaker = Breaker("Redis")
        limiter = Limiter(client, breaker)
        limit = Limit(f"limit:{uuid4()}", 6_000)
        try:
            for _ in range(2):  # with new connections, and with those of before
                async with asyncio.TaskGroup() as calls:
                    asked = [calls.create_task(limiter._shared([limit])) for _ in range(30)]
                    await asyncio.sleep(0)
                    # All are under way, and longer than any client waits nobody looks.
                    time.sleep(0.7)
                assert None not in [one.result() for one in asked]
            assert breaker.state is State.CLOSED
        finally:
            await client.aclose()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(stall())
