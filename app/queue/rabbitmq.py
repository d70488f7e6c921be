"""RabbitMQ as the queue: a relay brings the outbox to it in batches, and workers take them from a quorum queue.

    outbox --relay, confirmed--> docsearch.index --prefetch 20--> worker --> index, and the rows go
                                       |
                             delivered 10 times in vain --> docsearch.index.dead --> again, each document by itself,
                                                                                     or a dead letter with a reason

What is in PostgreSQL decides: a message that was lost is published again once its rows have waited for too long, and
one that comes twice finds its rows gone. So the broker may be killed, emptied or replaced at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final
from uuid import UUID

import aio_pika
import msgspec
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, MessageProcessError
from aiormq.exceptions import ChannelInvalidStateError, ProbableAuthenticationError

from app.aws.logins import broker_login, broker_refused
from app.errors import ApiError, UnavailableError
from app.index.model import Health, Scalar
from app.queue.model import Batch, Claim, Depth
from app.resilience import deadline
from app.resilience.breaker import Breaker
from app.settings import Settings
from app.store import outbox
from app.store.database import Database
from app.tenancy import internal
from app.tls import trusting
from app.trace import tracing

log = structlog.get_logger(__name__)

PREFETCH: Final = 20
"""Messages that a worker has in hand (requirement, section 1). Each is a batch, not a document."""

DELIVERY_LIMIT: Final = 10
"""After so many deliveries in vain a message is a dead letter: whoever takes it dies of it."""

CONFIRM_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 5.0

LOST_SECONDS: Final = 300.0
"""What was published and is still in the outbox after so long is published again."""

BATCHES_PER_TENANT: Final = 10
"""Batches of one tenant that are on their way at most, so that another tenant's wait behind no more than these. What is
done makes room for what has waited longest."""

_GONE: Final = (AMQPError, ChannelInvalidStateError, MessageProcessError, OSError)

_ACTOR: Final = "worker"

_DECODER: Final = msgspec.msgpack.Decoder(Batch)

_WAITING: Final = """
    -- From one tenant to the next: however many rows one has, they are not gone through to find the others.
    WITH RECURSIVE tenants AS (
        (SELECT tenant_id FROM outbox ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT tenant_id FROM outbox WHERE outbox.tenant_id > tenants.tenant_id ORDER BY tenant_id LIMIT 1)
        FROM tenants WHERE tenant_id IS NOT NULL
    )
    SELECT tenant_id FROM tenants WHERE EXISTS (
        SELECT FROM (
            SELECT published_at FROM outbox WHERE outbox.tenant_id = tenants.tenant_id AND available_at <= now()
            ORDER BY available_at, outbox_id LIMIT $2
        ) AS oldest
        WHERE published_at IS NULL OR published_at < now() - make_interval(secs => $1)
    )
"""

_TAKE: Final = """
    WITH oldest AS MATERIALIZED (
        SELECT outbox_id FROM outbox WHERE tenant_id = $1 AND available_at <= now()
        ORDER BY available_at, outbox_id LIMIT $3
    )
    SELECT outbox_id, tenant_id, document_id, version, task_id, attempts, written_at, trace,
           (SELECT count(*) FROM oldest) AS oldest
    FROM outbox
    -- As an array, for which the primary key is always read, and never all rows.
    WHERE outbox_id = ANY (ARRAY(SELECT outbox_id FROM oldest))
      AND (published_at IS NULL OR published_at < now() - make_interval(secs => $2))
    ORDER BY available_at, outbox_id FOR UPDATE SKIP LOCKED
"""


class RabbitQueue:
    """The queue in RabbitMQ.

    Args:
        settings: Where the broker is.
        database: Pools of the worker's login: what was done is written into the outbox.
        breaker: Of the broker.
        name: Of the queue.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        breaker: Breaker | None = None,
        name: str = "docsearch.index",
        prefetch: int = PREFETCH,
    ) -> None:
        self._settings, self._database, self._breaker = settings, database, breaker or Breaker("RabbitMQ")
        self._name, self._prefetch = name, prefetch
        self._connection: AbstractConnection | None = None
        self._publishing: AbstractChannel | None = None
        self._queue: AbstractQueue | None = None
        self._dead: AbstractQueue | None = None
        self._consuming = False
        self._taken: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._opening = asyncio.Lock()

    async def publish(self, batches: Sequence[Batch]) -> None:
        """Publishes batches, and returns when the quorum has written all of them to disk."""
        traces = (claim.trace for batch in batches for claim in batch.claims)
        with tracing.batch("publish", traces, {"batch.count": len(batches)}, kind="producer"):
            await self._publish(batches)

    async def _publish(self, batches: Sequence[Batch]) -> None:
        async with self._call():
            await self._open()
            assert self._publishing is not None
            exchange = self._publishing.default_exchange
            async with asyncio.timeout(CONFIRM_SECONDS):
                await asyncio.gather(
                    *(
                        exchange.publish(
                            aio_pika.Message(
                                msgspec.msgpack.encode(batch), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                            ),
                            self._name,
                            # A queue that is not there is an error, not a place to lose messages in.
                            mandatory=True,
                        )
                        for batch in batches
                    )
                )

    @asynccontextmanager
    async def delivery(self) -> AsyncIterator[_Delivery | None]:
        """The next batch that has arrived."""
        await self._consume()
        taken = self._taken
        try:
            message = taken.get_nowait()
        except asyncio.QueueEmpty:
            yield None
            return
        try:
            batch = _DECODER.decode(message.body)
        except msgspec.DecodeError as error:
            log.warning("message_refused", reason=str(error))
            await self._answer(message.reject(requeue=False))
            yield None
            return
        delivery = _Delivery(batch, self._database, self._settings.worker_attempts)
        try:
            yield delivery
        except ApiError as error:
            # Something does not answer. That is not the message's fault, and it may be for longer than a message may be
            # delivered in vain: it is published again by the outbox, or stays in hand if that is what does not answer.
            try:
                await delivery.again(batch.claims, error.detail, counted=False)
            except ApiError:
                taken.put_nowait(message)
            else:
                await self._answer(message.ack())
            raise
        except BaseException:
            await self._answer(message.nack(requeue=True))
            raise
        await self._answer(message.ack())

    async def wait(self, seconds: float) -> None:
        """Returns when a batch has arrived."""
        with suppress(TimeoutError, ApiError):
            async with asyncio.timeout(seconds):
                await self._consume()
                message = await self._taken.get()
                self._taken.put_nowait(message)

    async def bury_dead(self) -> int:
        """Takes what was delivered too often apart, or makes it a dead letter, and says how many messages that were."""
        await self._ensure()
        assert self._dead is not None
        count = 0
        while True:
            async with self._call():
                message = await self._dead.get(fail=False)
            if message is None:
                return count
            try:
                with suppress(msgspec.DecodeError):
                    await self._bury(_DECODER.decode(message.body))
            except BaseException:
                # Not held until the connection ends: the next round finds it.
                await self._answer(message.nack(requeue=True))
                raise
            await self._answer(message.ack())
            count += 1

    async def _bury(self, batch: Batch) -> None:
        """Makes a dead letter of a document. Of several only one is at fault: each is published again by itself."""
        if len(batch.claims) > 1:
            await self.publish([Batch(batch.tenant_id, (claim,)) for claim in batch.claims])
            return
        reason = f"delivered {DELIVERY_LIMIT} times without an answer: whoever takes it ends"
        await _Delivery(batch, self._database, 1).dead(batch.claims, reason)

    def wake(self) -> None:
        """Nothing: the relay looks by itself, and the broker delivers."""

    async def depth(self) -> Depth:
        """How much waits: rows of the outbox, published or not."""
        async with self._database.outbox() as connection:
            return await outbox.depth(connection)

    async def health(self) -> Health:
        """Whether the broker answers."""
        detail: dict[str, Scalar] = {"kind": "rabbitmq"}
        try:
            await self._ensure()
            assert self._queue is not None
            async with self._call():
                found = await self._queue.declare(timeout=CONNECT_SECONDS)
        except ApiError as error:
            return Health(False, {**detail, "breaker": self._breaker.state.value}, error.detail)
        return Health(True, {**detail, "messages": found.message_count or 0})

    async def close(self) -> None:
        """Closes the connection: what was taken and not answered for comes again."""
        await self._drop()

    async def _ensure(self) -> None:
        async with self._call():
            await self._open()

    async def _consume(self) -> None:
        """Sees to it that messages arrive."""
        if self._consuming and self._connection and not self._connection.is_closed:
            return
        async with self._call():
            await self._open()
            async with self._opening:
                assert self._queue is not None
                if not self._consuming:
                    await self._queue.consume(self._arrived, timeout=CONNECT_SECONDS)
                    self._consuming = True

    async def _arrived(self, message: AbstractIncomingMessage) -> None:
        self._taken.put_nowait(message)

    async def _open(self) -> None:
        """Connects, and declares what there has to be."""
        async with self._opening:
            if self._connection is not None and not self._connection.is_closed:
                return
            await self._drop()
            settings = self._settings
            login = await broker_login(settings)
            try:
                connection = await aio_pika.connect(
                    host=settings.broker_host,
                    port=settings.broker_port,
                    login=login.user,
                    password=login.password,
                    ssl=settings.broker_tls,
                    ssl_context=trusting(settings.broker_ca) if settings.broker_tls else None,
                    timeout=CONNECT_SECONDS,
                )
            except ProbableAuthenticationError:
                broker_refused(settings)
                raise
            try:
                await self._declare(connection)
            except BaseException:
                # Whoever is interrupted here leaves nothing half open for the next one.
                await _close(connection)
                raise
            self._connection = connection

    async def _declare(self, connection: AbstractConnection) -> None:
        self._publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)
        taking = await connection.channel()
        await taking.set_qos(prefetch_count=self._prefetch)
        quorum: dict[str, Any] = {"x-queue-type": "quorum"}
        self._dead = await taking.declare_queue(f"{self._name}.dead", durable=True, arguments=quorum)
        limited = quorum | {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{self._name}.dead",
            # What is dead-lettered is gone from here only when it is there.
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        self._queue = await taking.declare_queue(self._name, durable=True, arguments=limited)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._consuming = False
        # What had arrived over it is delivered again.
        self._taken = asyncio.Queue()
        if connection is not None:
            await _close(connection)

    async def _answer(self, answer: Any) -> None:
        """Sends an answer. One that does not arrive costs a delivery more, and nothing else."""
        with suppress(*_GONE, TimeoutError), _uncanceled():
            async with asyncio.timeout(CONNECT_SECONDS):
                await answer

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        with self._breaker.guard():
            try:
                async with deadline.limit("RabbitMQ", CONFIRM_SECONDS + CONNECT_SECONDS):
                    with _uncanceled():
                        yield
            except (*_GONE, TimeoutError) as error:
                await self._drop()
                raise UnavailableError("RabbitMQ does not answer", why=type(error).__name__, retry_after=1) from error
            except (UnavailableError, asyncio.CancelledError):
                # A call that is given up half-way takes its channel with it.
                await self._drop()
                raise


@contextmanager
def _uncanceled() -> Iterator[None]:
    """Goes around calls of aiormq, which cancels those that wait when somebody else closes the connection.

    Nobody has canceled the task, which would end without a word.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionAbortedError("closed while somebody waited for an answer") from error


async def _close(connection: AbstractConnection) -> None:
    with suppress(*_GONE, TimeoutError), _uncanceled():
        async with asyncio.timeout(2):
            await connection.close()


class _Delivery:
    """A batch that a worker has in hand. What becomes of its claims is written into the outbox at once."""

    def __init__(self, batch: Batch, database: Database, attempts: int) -> None:
        self.batch = batch
        self._database, self._attempts = database, attempts

    async def done(self, claims: Sequence[Claim], versions: dict[UUID, int]) -> None:
        async with self._database.write(internal(self.batch.tenant_id, _ACTOR)) as connection:
            await outbox.settle(connection, claims, versions)

    async def again(self, claims: Sequence[Claim], reason: str, *, counted: bool = True) -> None:
        async with self._database.write(internal(self.batch.tenant_id, _ACTOR)) as connection:
            await outbox.postpone(connection, claims, reason, attempts=self._attempts, counted=counted)

    async def dead(self, claims: Sequence[Claim], reason: str) -> None:
        async with self._database.write(internal(self.batch.tenant_id, _ACTOR)) as connection:
            await outbox.bury(connection, claims, reason)


class Relay:
    """Brings what is in the outbox to the broker.

    Any number of them may run: each takes rows that no other one holds. A row is marked as published when the broker
    has confirmed its message, so one that dies in between publishes twice, which does no harm. Of each tenant it looks
    at the rows alone that have waited longest, published or not (`BATCHES_PER_TENANT`).

    Args:
        database: Pools of the worker's login.
        queue: The broker's.
        batch: Documents of a message at most.
        lost_seconds: What was published is published again after so long, s.
        poll_seconds: How often to look, s.
    """

    def __init__(
        self,
        database: Database,
        queue: RabbitQueue,
        *,
        batch: int = 500,
        lost_seconds: float = LOST_SECONDS,
        poll_seconds: float = 0.2,
    ) -> None:
        self._database, self._queue, self._batch = database, queue, batch
        self._lost, self._poll = lost_seconds, poll_seconds
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Lets it end after the round that it is at."""
        self._stopping.set()

    async def run(self) -> None:
        """Relays until it is told to stop. Whatever happens, it goes on."""
        while not self._stopping.is_set():
            rest = 1.0
            # The rows are still in the outbox.
            with deadline.surviving("relay"):
                moved = await self.step()
                await self._queue.bury_dead()
                rest = 0.0 if moved else self._poll
            if rest:
                await deadline.pause(self._stopping, rest)

    async def step(self) -> int:
        """One round over all tenants.

        Returns:
            How many claims were published.

        Raises:
            UnavailableError: PostgreSQL or the broker does not answer.
        """
        async with self._database.outbox() as connection:
            waiting = await connection.fetch(_WAITING, self._lost, self._batch * BATCHES_PER_TENANT)
        return sum([await self._relay(row["tenant_id"]) for row in waiting])

    async def _relay(self, tenant_id: UUID) -> int:
        most = self._batch * BATCHES_PER_TENANT
        async with self._database.outbox() as connection:
            rows = await connection.fetch(_TAKE, tenant_id, self._lost, most)
            if rows and rows[0]["oldest"] == most:
                # More waits. Batches that take the places of parts that are done would be smaller each time.
                rows = rows[: len(rows) // self._batch * self._batch]
            claims = [Claim(**{name: value for name, value in row.items() if name != "oldest"}) for row in rows]
            batches = [
                Batch(tenant_id, tuple(claims[at : at + self._batch])) for at in range(0, len(claims), self._batch)
            ]
            if batches:
                await self._queue.publish(batches)
                ids = [claim.outbox_id for claim in claims]
                await connection.execute("UPDATE outbox SET published_at = now() WHERE outbox_id = ANY($1)", ids)
        return len(claims)
