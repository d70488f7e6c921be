"""The API over OpenSearch and Redis: both may die, and searches go on; what they missed they get afterwards."""

from collections.abc import AsyncIterator

import pytest

from app.resilience.breaker import Breaker
from app.settings import Settings
from tests.app.http.conftest import Api, api_of
from tests.app.services.servers import OpenSearch, Redis

pytestmark = [pytest.mark.services, pytest.mark.anyio]


@pytest.fixture
async def api(settings: Settings, opensearch: OpenSearch, redis: Redis) -> AsyncIterator[Api]:
    where = {"opensearch_host": "127.0.0.1", "opensearch_port": opensearch.port, "opensearch_tls": False}
    cache = {"cache_host": "127.0.0.1", "cache_port": redis.port, "cache_tls": False}
    async with api_of(settings, **where, **cache, statement_seconds=20.0, deadline_seconds=20.0) as its:
        await its.service.engines[0].prepare(replicas=0)  # type: ignore[attr-defined]
        yield its


async def test_searches_outlive_opensearch_and_redis_and_writes_catch_up(
    api: Api, opensearch: OpenSearch, redis: Redis
) -> None:
    caller = await api.tenant("mine")
    engine, fallback = api.service.engines

    async def answer(q: str) -> tuple[str, bool, int]:
        found = (await caller("POST", "/v1/search", json={"q": q})).json()
        return found["level"], found["degraded"], found["total"]

    await caller.add(title="Green tea")
    await api.index_all()
    await engine.refresh()
    assert await answer("tea") == ("opensearch", False, 1)
    assert (await answer("tea"))[0] == "memory"
    components = (await api.http.get("/health")).json()["components"]
    assert {one["status"] for one in components.values()} == {"UP"}

    redis.kill()
    assert await answer("green") == ("opensearch", False, 1)
    opensearch.kill()
    assert await answer("green tea") == ("full_text", True, 1)
    written = await caller("POST", "/v1/documents", json={"title": "Black tea"})
    await api.worker.step()
    task = (await caller("GET", written.headers["location"])).json()
    assert task["state"] == "processing", "it is not in every index yet"
    assert (await api.world.admin("SELECT count(*) FROM outbox"))[0][0] == 1
    health = (await api.http.get("/health")).json()
    assert (health["status"], health["components"]["search"]["status"]) == ("DEGRADED", "DOWN")
    assert (await api.http.get("/health/ready")).status_code == 200

    redis.start()
    opensearch.start()
    engine._breaker = Breaker("OpenSearch")  # type: ignore[attr-defined]  # a minute later
    await api.world.admin("UPDATE outbox SET available_at = now()")
    await api.index_all()
    await engine.refresh()
    assert (await caller("GET", written.headers["location"])).json()["state"] == "succeeded"
    assert await engine.versions(caller.tenant_id) == await fallback.versions(caller.tenant_id)
    assert len(await engine.versions(caller.tenant_id)) == 2
