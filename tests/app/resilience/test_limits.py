"""A limit lets a burst through and then its rate, in Redis or without, and takes from all limits or from none."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import RateLimitedError
from app.redis_client import open_client
from app.resilience.limits import Limit, Limiter, decide, of_key, of_tenant
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
