"""What a process is made of, by its settings."""

import asyncio
from uuid import uuid4

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.document import Document
from app.errors import UnavailableError
from app.index.model import Match, Query
from app.queue.model import Depth
from app.resilience.limits import of_tenant
from app.runtime import open_service, open_worker
from app.settings import Settings
from app.store.database import Database
from app.store.documents import Operation
from tests.app.services.server import free_port
from tests.app.services.servers import RabbitMQ
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]


async def test_without_a_broker_a_worker_takes_from_the_outbox(world: World) -> None:
    scope = await world.tenant("a")
    await world.write(scope, Operation(kind="create", document=Document(title="Tea")))
    async with open_worker(world.settings) as (worker, relay):
        assert relay is None
        assert await worker.step() == 1
    assert (await world.index.search(scope.query(Query(Match("tea"))))).total == 1


async def test_with_a_broker_a_worker_gets_what_its_relay_brings_there(world: World, rabbitmq: RabbitMQ) -> None:
    scope = await world.tenant("a")
    await world.write(scope, Operation(kind="create", document=Document(title="Tea")))
    told = rabbitmq.settings() | {"broker_password": SecretStr("guest")}
    async with open_worker(world.settings.model_copy(update=told)) as (worker, relay):
        assert relay is not None
        assert await worker.step() == 0, "what waits in the outbox is not yet at the broker"
        running = [asyncio.create_task(relay.run()), asyncio.create_task(worker.run())]
        async with asyncio.timeout(30):
            while (await world.queue.depth()).ready:
                await asyncio.sleep(0.05)
        relay.stop()
        worker.stop()
        await asyncio.gather(*running)
    assert (await world.index.search(scope.query(Query(Match("tea"))))).total == 1


async def test_a_login_that_reads_and_indexes_has_one_pool(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    really = Database.open

    async def counted(settings: Settings, user: str) -> Database:
        opened.append(user)
        return await really(settings, user)

    monkeypatch.setattr(Database, "open", counted)
    async with open_service(world.settings, with_worker=True):
        assert opened == ["docsearch_document", "docsearch_index"]
    opened.clear()
    scope = await world.tenant("a")
    await world.write(scope, Operation(kind="create", document=Document(title="Tea")))
    index = world.settings.model_copy(update={"database_user": "docsearch_index"})
    async with open_service(index, with_worker=True, probes_only=True) as (service, worker):
        assert worker is not None
        assert await worker.step() == 1
        assert (await service.database.health()).ok
    assert opened == ["docsearch_index"]


async def test_metrics_are_shown_while_nobody_can_tell_how_much_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_service(world.settings, with_worker=True) as (service, _):

        async def away() -> Depth:
            raise UnavailableError("PostgreSQL does not answer")

        await service.refresh_metrics()
        assert "queue_depth 0.0" in service.metrics.text().decode()
        monkeypatch.setattr(service.queue, "depth", away)
        await service.refresh_metrics()
        text = service.metrics.text().decode()
    assert "queue_depth NaN" in text
    assert "queue_oldest_seconds NaN" in text
    assert "db_pool_connections" in text


async def test_that_a_breaker_is_open_is_seen_from_outside(world: World) -> None:
    nobody = {"cache_host": "127.0.0.1", "cache_port": free_port(), "cache_tls": False}
    async with open_service(world.settings.model_copy(update=nobody), with_worker=False) as (service, _):
        assert 'circuit_breaker_state{dependency="Redis",state="closed"} 1.0' in service.metrics.text().decode()
        with capture_logs() as logs:
            for _ in range(20):
                await service.limits.take(of_tenant(uuid4(), 60))
        assert 'circuit_breaker_state{dependency="Redis",state="open"} 1.0' in service.metrics.text().decode()
    assert {"dependency": "Redis", "state": "open"}.items() <= next(
        one for one in logs if one["event"] == "breaker_changed"
    ).items()
