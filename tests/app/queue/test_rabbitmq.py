"""Batches travel by RabbitMQ; whatever it loses, repeats or refuses, the outbox decides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import msgspec
import pytest

from app.document import Document
from app.errors import UnavailableError
from app.index.model import Match, Query, Write, Written
from app.queue.model import Batch, Claim
from app.queue.rabbitmq import BATCHES_PER_TENANT, DELIVERY_LIMIT, RabbitQueue, Relay
from app.resilience.breaker import Breaker
from app.search.model import NoCache
from app.settings import Settings, load
from app.store import tasks
from app.store.documents import Operation
from app.store.tasks import State
from app.tenancy import Scope
from app.worker import Worker
from tests.app.services.server import free_port
from tests.app.services.servers import QUEUE_SETTLES_SECONDS, RabbitMQ
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]


class Line:
    """A relay, a queue of its own name, and a worker."""

    def __init__(self, world: World, server: RabbitMQ, *, lost_seconds: float = 300.0) -> None:
        self.world = world
        self.settings = load(**server.settings())
        self.name = f"test.{uuid4().hex[:8]}"
        self.queue = RabbitQueue(self.settings, world.work, name=self.name)
        self.relay = Relay(world.work, self.queue, batch=4, lost_seconds=lost_seconds)
        self.worker = Worker(world.work, self.queue, (world.index,), NoCache())

    async def work(self) -> int:
        """Works until nothing has arrived for a moment."""
        total = 0
        while True:
            await self.queue.wait(0.3)
            worked = await self.worker.step()
            if not worked:
                return total
            total += worked

    async def write(self, scope: Scope, number: int) -> None:
        documents = [Document(title=f"Tea {at} {uuid4()}") for at in range(number)]
        await self.world.write(scope, *(Operation(kind="create", document=one) for one in documents), kind="bulk")

    async def outbox(self) -> int:
        return (await self.queue.depth()).ready

    async def found(self, scope: Scope) -> int:
        return (await self.world.index.search(scope.query(Query(Match("tea"))))).total

    async def clean(self) -> None:
        connection = await amqp(self.settings)
        async with connection:
            channel = await connection.channel()
            for name in (self.name, f"{self.name}.dead"):
                await channel.queue_delete(name)
        await self.queue.close()


async def amqp(settings: Settings) -> aio_pika.abc.AbstractConnection:
    return await aio_pika.connect(host="127.0.0.1", port=settings.broker_port)


async def take_and_fail(line: Line) -> None:
    async with line.queue.delivery() as delivery:
        if delivery is not None:
            raise ZeroDivisionError


async def until(act: Callable[[], Awaitable[int]]) -> None:
    """Tries until something was done: a broker that has just started has not found all its queues yet."""
    for _ in range(40):
        with suppress(UnavailableError):
            if await act():
                return
        await asyncio.sleep(0.25)
    pytest.fail("nothing was done within 10 s")


@pytest.fixture
async def line(world: World, rabbitmq: RabbitMQ) -> AsyncIterator[Line]:
    its = Line(world, rabbitmq)
    yield its
    await its.clean()


async def test_what_was_written_travels_in_batches_of_one_tenant(line: Line) -> None:
    one, other = await line.world.tenant("a"), await line.world.tenant("b")
    await line.write(one, 10)
    await line.write(other, 3)
    assert await line.relay.step() == 13
    assert await line.relay.step() == 0, "what is on its way is not published again"
    assert await line.outbox() == 13, "a row goes only when its document is in the index"
    seen = []
    await line.queue.wait(2)
    async with line.queue.delivery() as delivery:
        assert delivery is not None
        seen = [delivery.batch.tenant_id, *{claim.tenant_id for claim in delivery.batch.claims}]
        assert len(delivery.batch.claims) <= 4
        await delivery.done((), {})
    assert len({*seen}) == 1


async def test_another_tenant_waits_behind_ten_batches_of_a_backlog_at_most(line: Line) -> None:
    one, other = await line.world.tenant("a"), await line.world.tenant("b")
    await line.write(one, 4 * 2 * BATCHES_PER_TENANT)
    while await line.relay.step():
        pass
    await line.write(other, 1)
    assert await line.relay.step() == 1
    taken = list[UUID]()
    while other.tenant_id not in taken:
        await line.queue.wait(2)
        async with line.queue.delivery() as delivery:
            assert delivery is not None
            taken.append(delivery.batch.tenant_id)
    assert len(taken) <= BATCHES_PER_TENANT + 1


async def test_what_is_done_of_a_backlog_makes_room_for_whole_batches(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 4 * (BATCHES_PER_TENANT + 2))
    assert [await line.relay.step() for _ in range(2)] == [4 * BATCHES_PER_TENANT, 0]
    await line.queue.wait(2)
    async with line.queue.delivery() as delivery:
        assert delivery is not None
        claims = delivery.batch.claims
        await delivery.done(claims[:2], {})
        assert await line.relay.step() == 0
        await delivery.done(claims[2:], {})
        assert await line.relay.step() == 4
    while await line.outbox():
        await line.work()
        await line.relay.step()
    assert await line.found(scope) == 4 * (BATCHES_PER_TENANT + 1), "all but what was said to be done"


async def test_a_worker_brings_it_into_the_index_and_ends_the_task(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 10)
    await line.relay.step()
    assert await line.work() == 10
    assert (await line.outbox(), await line.found(scope)) == (0, 10)
    async with line.world.app.read(scope) as connection:
        (task,) = await tasks.page(connection, scope.tenant_id, state=None, size=10)
    assert (task.state, task.done, task.failed) == (State.SUCCEEDED, 10, 0)


async def test_a_batch_that_comes_twice_is_indexed_and_counted_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed, write = list[Write](), line.world.index.write

    async def noted(batch: Sequence[Write]) -> Sequence[Written]:
        indexed.extend(batch)
        return await write(batch)

    monkeypatch.setattr(line.world.index, "write", noted)
    scope = await line.world.tenant("a")
    await line.write(scope, 4)
    await line.relay.step()
    await line.world.admin("UPDATE outbox SET published_at = NULL")
    await line.relay.step()
    assert await line.work() == 8
    async with line.world.app.read(scope) as connection:
        (task,) = await tasks.page(connection, scope.tenant_id, state=None, size=10)
    assert (task.done, await line.found(scope), len(indexed)) == (4, 4, 4)


async def test_what_the_broker_lost_is_published_again(world: World, rabbitmq: RabbitMQ) -> None:
    line = Line(world, rabbitmq, lost_seconds=0.2)
    scope = await world.tenant("a")
    await line.write(scope, 3)
    await line.relay.step()
    connection = await amqp(line.settings)
    async with connection:
        channel = await connection.channel()
        await (await channel.get_queue(line.name)).purge()
    await asyncio.sleep(0.25)
    assert await line.relay.step() == 3
    assert await line.work() == 3
    assert await line.found(scope) == 3
    await line.clean()


async def test_an_interrupted_batch_comes_again(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 3)
    await line.relay.step()
    await line.queue.wait(2)
    with pytest.raises(ZeroDivisionError):
        await take_and_fail(line)
    assert await line.work() == 3
    assert await line.outbox() == 0


async def test_what_kills_every_worker_is_a_dead_letter_with_a_reason(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 1)
    await line.relay.step()
    taken = 0
    for _ in range(DELIVERY_LIMIT + 5):
        await line.queue.wait(0.5)
        with suppress(ZeroDivisionError):
            await take_and_fail(line)
            continue
        taken += 1
    assert taken == DELIVERY_LIMIT + 1
    assert await line.queue.bury_dead() == 1
    assert await line.outbox() == 0
    letters = await line.world.admin("SELECT reason FROM dead_letters")
    assert len(letters) == 1
    assert "delivered 10 times" in letters[0]["reason"]


async def test_of_a_batch_that_kills_every_worker_only_the_one_document_that_does_it_is_given_up(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope, start = await line.world.tenant("a"), tasks.start
    await line.write(scope, 4)
    culprit = (await line.world.admin("SELECT max(outbox_id) AS id FROM outbox"))[0]["id"]

    async def dies(connection: Any, tenant_id: UUID, claims: Sequence[Claim]) -> None:
        if culprit in {claim.outbox_id for claim in claims}:
            raise ZeroDivisionError
        await start(connection, tenant_id, claims)

    monkeypatch.setattr("app.worker.tasks.start", dies)
    assert await line.relay.step() == 4
    for _ in range(2 * (DELIVERY_LIMIT + 5)):
        await line.queue.wait(0.5)
        with suppress(ZeroDivisionError):
            await line.worker.step()
        await line.queue.bury_dead()
        if not await line.outbox():
            break
    assert await line.found(scope) == 3
    (letter,) = await line.world.admin("SELECT outbox_id, reason FROM dead_letters")
    assert letter["outbox_id"] == culprit
    assert "delivered 10 times" in letter["reason"]


async def test_a_message_that_is_no_batch_is_set_aside(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.queue.publish([])
    connection = await amqp(line.settings)
    async with connection:
        channel = await connection.channel()
        for body in (b"", b"\xc1", msgspec.msgpack.encode({"tenant_id": "x"})):
            await channel.default_exchange.publish(aio_pika.Message(body), line.name)
    await line.write(scope, 2)
    await line.relay.step()
    for _ in range(5):
        await line.queue.wait(0.3)
        await line.worker.step()
    assert await line.found(scope) == 2
    assert await line.queue.bury_dead() == 3


async def test_documents_that_fail_come_again_later_by_the_outbox(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 2)
    await line.relay.step()
    await line.queue.wait(2)
    async with line.queue.delivery() as delivery:
        assert delivery is not None
        await delivery.again(delivery.batch.claims, "the engine is full")
    assert await line.relay.step() == 0, "not before its time"
    await line.world.admin("UPDATE outbox SET available_at = now()")
    assert await line.relay.step() == 2
    assert await line.work() == 2


async def test_an_outage_of_something_else_costs_no_delivery(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 2)

    async def down(*_: object) -> None:
        raise UnavailableError("the engine does not answer")

    for _ in range(DELIVERY_LIMIT + 3):
        await line.relay.step()
        await line.queue.wait(2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(line.worker, "_index", down)
            with pytest.raises(UnavailableError, match="the engine"):
                await line.worker.step()
        await line.world.admin("UPDATE outbox SET available_at = now()")
    assert await line.queue.bury_dead() == 0
    await line.relay.step()
    assert await line.work() == 2
    assert await line.found(scope) == 2


async def test_an_outage_of_the_database_costs_no_delivery(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 2)
    await line.relay.step()

    @asynccontextmanager
    async def down(_: object) -> AsyncIterator[None]:
        raise UnavailableError("PostgreSQL does not answer")
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line.world.work, "write", down)
        for _ in range(DELIVERY_LIMIT + 3):
            await line.queue.wait(2)
            with pytest.raises(UnavailableError, match="PostgreSQL"):
                await line.worker.step()
    assert await line.queue.bury_dead() == 0
    assert await line.work() == 2
    assert (await line.outbox(), await line.found(scope)) == (0, 2)


async def test_what_was_in_hand_as_the_database_and_the_connection_went_is_done_once(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 2)
    await line.relay.step()
    await line.queue.wait(2)

    async def lose_both() -> None:
        async with line.queue.delivery() as delivery:
            assert delivery is not None
            monkeypatch.setattr(delivery, "again", _refused)
            await line.queue._drop()
            raise UnavailableError("PostgreSQL does not answer")

    with pytest.raises(UnavailableError):
        await lose_both()
    assert await line.work() == 2
    assert (await line.outbox(), await line.found(scope)) == (0, 2)


async def test_what_was_delivered_too_often_stays_while_the_database_is_away(line: Line) -> None:
    scope = await line.world.tenant("a")
    await line.write(scope, 1)
    await line.relay.step()
    for _ in range(DELIVERY_LIMIT + 1):
        await line.queue.wait(0.5)
        with suppress(ZeroDivisionError):
            await take_and_fail(line)
    await line.queue.wait(0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.queue.rabbitmq._Delivery.dead", _refused)
        with pytest.raises(UnavailableError):
            await line.queue.bury_dead()
    assert await line.queue.bury_dead() == 1
    assert len(await line.world.admin("SELECT reason FROM dead_letters")) == 1


async def _refused(*_: object, **__: object) -> None:
    raise UnavailableError("PostgreSQL does not answer")


async def test_a_killed_broker_loses_nothing_that_it_has_confirmed(line: Line, rabbitmq: RabbitMQ) -> None:
    scope = await line.world.tenant("a")
    line.queue._breaker = Breaker("RabbitMQ", open_seconds=0.2)
    await line.write(scope, 5)
    await line.relay.step()
    await line.queue.wait(2)
    await asyncio.sleep(QUEUE_SETTLES_SECONDS)
    rabbitmq.kill()
    try:
        await line.write(scope, 3)
        with pytest.raises(UnavailableError):
            await line.relay.step()
        assert not (await line.queue.health()).ok
    finally:
        rabbitmq.spawn()
        await asyncio.to_thread(rabbitmq.wait)
    await until(line.relay.step)
    await until(line.work)
    assert (await line.outbox(), await line.found(scope)) == (0, 8)
    assert (await line.queue.health()).ok


async def test_nobody_there_is_unavailable(world: World) -> None:
    settings = load(broker_host="127.0.0.1", broker_port=free_port(), broker_tls=False)
    queue = RabbitQueue(settings, world.work)
    with pytest.raises(UnavailableError, match="RabbitMQ does not answer"):
        await queue.publish([Batch(uuid4(), ())])
    assert not (await queue.health()).ok
    await queue.wait(0.05)
    await queue.close()


async def canceled(**_: object) -> None:
    """What aiormq throws into a call when another task closes the connection."""
    raise asyncio.CancelledError


async def test_a_call_that_the_client_cancels_by_itself_is_an_outage_and_ends_no_task(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aio_pika.connect", canceled)
    queue = RabbitQueue(load(broker_host="127.0.0.1", broker_tls=False), world.work)
    with pytest.raises(UnavailableError, match="RabbitMQ does not answer"):
        await queue.publish([Batch(uuid4(), ())])
    await queue._answer(canceled())
    relay = asyncio.create_task(Relay(world.work, queue).run())
    await asyncio.sleep(0.2)
    assert not relay.done(), "it goes on"
    relay.cancel()
    with pytest.raises(asyncio.CancelledError):
        await relay


async def test_a_task_that_is_canceled_in_a_call_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    connecting = asyncio.Event()

    async def hangs(**_: object) -> None:
        connecting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("aio_pika.connect", hangs)
    queue = RabbitQueue(load(broker_host="127.0.0.1", broker_tls=False), world.work)
    publishing = asyncio.create_task(queue.publish([Batch(uuid4(), ())]))
    await connecting.wait()
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing


async def test_a_relay_and_a_worker_run_until_they_are_told_to_stop(line: Line) -> None:
    scope = await line.world.tenant("a")
    running = [asyncio.create_task(line.relay.run()), asyncio.create_task(line.worker.run())]
    for _ in range(5):
        await line.write(scope, 7)
    for _ in range(200):
        if await line.outbox() == 0:
            break
        await asyncio.sleep(0.05)
    assert await line.found(scope) == 35
    line.relay.stop()
    line.worker.stop()
    await asyncio.wait_for(asyncio.gather(*running), 10)


async def test_whoever_is_interrupted_while_it_connects_leaves_nothing_half_open(line: Line) -> None:
    for milliseconds in range(1, 30):
        with suppress(TimeoutError):
            async with asyncio.timeout(milliseconds / 1000):
                await line.queue.wait(5)
        await line.queue.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(milliseconds / 1000):
                await line.queue.wait(5)
        # And now without: whatever is there has to do.
        assert (await line.queue.health()).ok
    await line.write(await line.world.tenant("a"), 10)
    await line.relay.step()
    assert await line.work() == 10


async def test_a_worker_survives_what_nobody_knows_of(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    started, once = tasks.start, [ZeroDivisionError("nobody knows of it")]

    async def fails_once(*given: Any) -> None:
        if once:
            raise once.pop()
        await started(*given)

    monkeypatch.setattr("app.worker.tasks.start", fails_once)
    scope = await line.world.tenant("a")
    await line.write(scope, 10)
    await line.relay.step()
    working = asyncio.create_task(line.worker.run())
    async with asyncio.timeout(20):
        while await line.found(scope) < 10:
            await asyncio.sleep(0.1)
    assert not once
    line.worker.stop()
    await working
