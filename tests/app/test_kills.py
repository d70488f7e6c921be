"""Each dependency is killed while documents are written: nothing that was acknowledged is lost, nothing is there twice.

What one machine shows of it: a process that ends at any moment. Not a machine without power: what a process has handed
to the kernel is on disk here in any case.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.document import Document
from app.errors import ApiError, UnavailableError
from app.index.full_text import FullText
from app.index.model import Index, Query
from app.index.opensearch import OpenSearch, connect
from app.queue.rabbitmq import RabbitQueue, Relay
from app.redis_client import open_client
from app.resilience.breaker import Breaker
from app.search.cache import LayeredCache
from app.search.service import SearchService
from app.settings import load
from app.store import documents
from app.store.audit import Origin
from app.store.database import connect as connect_to_database
from app.store.documents import Operation, Stored
from app.store.embedded import SUPERUSER
from app.store.schema import migrate
from app.tenancy import Scope
from app.worker import Worker
from tests.app.history import History
from tests.app.services.server import Server
from tests.app.services.servers import QUEUE_SETTLES_SECONDS, PostgreSQL, RabbitMQ, Redis
from tests.app.services.servers import OpenSearch as OpenSearchServer
from tests.app.world import SECRETS, World, world_of

pytestmark = [pytest.mark.services, pytest.mark.anyio]

WRITERS = 4


def breaker(name: str) -> Breaker:
    """One that looks again soon: a test does not wait for a minute."""
    return Breaker(name, open_seconds=0.3)


class Plant:
    """The whole way of a write, over servers that can be killed."""

    def __init__(self, world: World, engines: dict[str, Index], queue: RabbitQueue, cache: LayeredCache) -> None:
        self.world, self.engines, self.queue, self.cache = world, engines, queue, cache
        every = tuple(engines.values())
        self.relay = Relay(world.work, queue, batch=100, lost_seconds=3.0)
        self.worker = Worker(world.work, queue, every, cache)
        self.search = SearchService(every[::-1], cache)
        self.history = History()
        self.stopping = asyncio.Event()

    async def write(self, scope: Scope, chance: random.Random) -> None:
        """Writes documents of its own, one after the other, until it is told to stop."""
        mine: list[UUID] = []
        while not self.stopping.is_set():
            known = bool(mine) and chance.random() < 0.5
            document_id = chance.choice(mine) if known else uuid4()
            delete = known and chance.random() < 0.3
            text = None if delete else f"tea {uuid4()}"
            operation = Operation(
                kind="delete" if delete else "put",
                document_id=document_id,
                document=None if text is None else Document(title=text),
            )
            if not known:
                mine.append(document_id)
            try:
                async with self.world.app.write(scope) as connection:
                    _, (stored,) = await documents.apply(connection, scope, Origin(), [operation])
            except ApiError:
                self.history.note(document_id, text, None)
                await asyncio.sleep(0.05)
            else:
                if isinstance(stored, Stored):
                    self.history.note(document_id, text, stored.version)
            await asyncio.sleep(chance.random() / 25)

    async def read(self, scope: Scope) -> None:
        """Searches all the while: whatever dies, there is an answer, or a refusal in our own words."""
        while not self.stopping.is_set():
            with suppress(ApiError):
                await self.search.search(scope.query(Query(size=5)))
            await asyncio.sleep(0.02)

    async def settle(self) -> None:
        """Returns when nothing waits any more."""
        for _ in range(300):
            with suppress(ApiError):
                if (await self.queue.depth()).ready == 0:
                    return
            await asyncio.sleep(0.1)
        pytest.fail(f"not all was indexed within 30 s: {await self.queue.depth()}")


@pytest.fixture
async def plant(
    postgresql: PostgreSQL, redis: Redis, rabbitmq: RabbitMQ, opensearch: OpenSearchServer
) -> AsyncIterator[Plant]:
    name = f"kills_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(host=postgresql.host, port=postgresql.port, user=SUPERUSER, database="postgres")
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    where = {**postgresql.settings(), **redis.settings(), **rabbitmq.settings(), **opensearch.settings()}
    settings = load(**where, **SECRETS, database_name=name, pool_min=0, pool_max=8)
    await migrate(lambda: connect_to_database(settings, SUPERUSER))
    client = connect(settings)
    search = OpenSearch(client, breaker=breaker("OpenSearch"), prefix=f"test-{uuid4().hex[:8]}")
    await search.prepare(replicas=0)
    cache = LayeredCache(open_client(settings), breaker=breaker("Redis"))
    async with world_of(settings) as world:
        engines: dict[str, Index] = {"full_text": FullText(world.app, world.work), "opensearch": search}
        queue = RabbitQueue(settings, world.work, breaker=breaker("RabbitMQ"), name=f"test.{uuid4().hex[:8]}")
        yield Plant(world, engines, queue, cache)
        await queue.close()
    await cache.close()
    await client.close()


async def check(plant: Plant, scope: Scope) -> None:
    """Everything that has to hold in the end."""
    async with plant.world.app.read(scope) as connection:
        versions = dict(await documents.current_versions(connection, scope.tenant_id))
        found = await documents.many(connection, scope.tenant_id, [*versions])
        open_tasks = await connection.fetchval("SELECT count(*) FROM tasks WHERE state <> 'succeeded' OR done <> total")
        letters = await connection.fetchval("SELECT count(*) FROM dead_letters")
    assert plant.history.violations({one.document_id: one.title for one in found}, versions) == []
    assert (open_tasks, letters) == (0, 0)
    assert {one.status for one in found} == {"INDEXED"}
    for name, engine in plant.engines.items():
        await engine.refresh()
        assert await engine.versions(scope.tenant_id) == versions, name
        page = await engine.search(scope.query(Query(size=100)))
        assert page.total == len(versions), f"{name} has documents twice"


@pytest.mark.parametrize("victim", ["postgresql", "redis", "rabbitmq", "opensearch"])
async def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    victim: str, plant: Plant, chance: random.Random, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(victim)
    scope = await plant.world.tenant("a")
    with suppress(UnavailableError):
        await plant.queue.publish([])
    writers = [plant.write(scope, random.Random(chance.random())) for _ in range(WRITERS)]
    going = [asyncio.create_task(one) for one in (*writers, plant.read(scope), plant.relay.run(), plant.worker.run())]
    await asyncio.sleep(QUEUE_SETTLES_SECONDS if victim == "rabbitmq" else 0.5 + chance.random())
    server.kill()
    await asyncio.sleep(chance.random())
    server.spawn()
    await asyncio.to_thread(server.wait)
    await asyncio.sleep(1.0)
    plant.stopping.set()
    await asyncio.gather(*going[: WRITERS + 1])
    await plant.settle()
    plant.relay.stop()
    plant.worker.stop()
    await asyncio.wait_for(asyncio.gather(*going), 30)
    request.node.user_properties.append(("acknowledged", plant.history.acknowledged))
    assert plant.history.acknowledged > 50
    await check(plant, scope)
