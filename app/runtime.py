"""What a process is made of: opened in the order in which things need each other, closed the other way round."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from app.access.admission import Admission
from app.access.keys import Keys
from app.access.tokens import Tokens
from app.aws.logins import with_secrets
from app.errors import ApiError, SettingsError
from app.housekeeping import Housekeeping
from app.index.full_text import FullText
from app.index.model import Index
from app.keyring import Keyring
from app.ledger import ledger_of
from app.observe import Metrics
from app.queue.model import Queue
from app.redis_client import Client, Writes, open_client
from app.resilience.breaker import Breaker, State
from app.resilience.limits import Limiter
from app.resilience.room import Room
from app.search.cache import LayeredCache
from app.search.cursor import Cursors
from app.search.model import Cache, NoCache
from app.search.parse import Bounds
from app.search.popular import Counter
from app.search.service import SearchService
from app.settings import SECRETS, Settings
from app.store import erasures, schema
from app.store.database import Database
from app.store.outbox import OutboxQueue
from app.store.placements import StoredLayouts
from app.store.synonyms import StoredSynonyms
from app.store.writer import Writer
from app.worker import Worker

if TYPE_CHECKING:
    from app.access.users import Users
    from app.index.opensearch import OpenSearch
    from app.queue.rabbitmq import Relay

log = structlog.get_logger(__name__)


@dataclass
class Service:
    """The parts of a process that answers requests.

    Attributes:
        settings: What it was told.
        database: Pools of the login that answers requests.
        writer: Writes documents.
        search: Answers queries.
        engines: What it asks: the engine of choice, then those that stand in.
        cache: What it asks before.
        queue: Where index work waits, if this process works on it, too.
        relay: Brings the outbox to the broker, if this process does and there is one.
        keys: Opens API keys.
        tokens: Opens tenant tokens.
        users: Opens access tokens of an identity provider, if there is one.
        admission: Lets tenants in.
        limits: Counts requests.
        room: Holds their bodies.
        cursors: Signs cursors.
        bounds: How much a query may ask for.
        metrics: What is counted.
        popular: Counts what is asked.
        started_at: When it started, s of the monotonic clock.
        clock: Tells the time, s.
        seen_at: When the database was last seen to answer, s of the clock; it did at the start.
        leaving: Whether it is about to end: it answers, and is not ready any more.
    """

    settings: Settings
    database: Database
    writer: Writer
    search: SearchService
    engines: tuple[Index, ...]
    cache: Cache
    queue: Queue | None
    keys: Keys
    tokens: Tokens
    users: Users | None
    admission: Admission
    limits: Limiter
    room: Room
    cursors: Cursors
    bounds: Bounds
    metrics: Metrics
    popular: Counter
    relay: Relay | None = None
    started_at: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = time.monotonic
    seen_at: float = field(default_factory=time.monotonic)
    leaving: bool = False

    async def refresh_metrics(self) -> None:
        """Brings what is measured, not counted, up to date."""
        size, idle, most = self.database.usage()
        for state, value in {"in_use": size - idle, "idle": idle, "max": most}.items():
            self.metrics.pool.labels(state).set(value)
        for replica, seconds in self.database.lags().items():
            self.metrics.replica_lag.labels(replica).set(seconds)
        if self.queue is not None:
            ready, age = math.nan, math.nan
            # Nobody knows how much waits, and all else is to be seen most of all while something is away.
            with suppress(ApiError):
                depth = await self.queue.depth()
                ready, age = depth.ready, depth.oldest_seconds
            self.metrics.waiting(ready, age)


@asynccontextmanager
async def open_service(
    settings: Settings, *, with_worker: bool, probes_only: bool = False
) -> AsyncIterator[tuple[Service, Worker | None]]:
    """Opens what a process needs to answer requests, and with a worker what it needs to index.

    Args:
        settings: Where everything is.
        with_worker: Whether to index, too.
        probes_only: Whether it answers nothing that takes credentials: then it needs no secret.

    Raises:
        UnavailableError: PostgreSQL does not answer.
        SettingsError: A secret is missing, or the schema is another version's.
    """
    async with AsyncExitStack() as stack:
        if not probes_only:
            settings = await with_secrets(settings)
        database = await Database.open(settings, settings.database_user or "docsearch_document")
        stack.push_async_callback(database.close)
        await check_schema(database)
        await check_ledger(settings, database)
        work: Database | None = None
        if with_worker:
            work = database
            # Two logins need two pools; one that does both would only open twice as many connections.
            if not settings.database_user:
                work = await Database.open(settings, "docsearch_index")
                stack.push_async_callback(work.close)
        metrics = Metrics(settings.release)
        redis, redis_breaker, writes = open_client(settings), _breaker("Redis", settings, metrics), Writes()
        alone = with_worker and not settings.broker_host
        cache = cache_of(settings, redis, redis_breaker, alone=alone, writes=writes)
        stack.push_async_callback(cache.close)
        engines = open_engines(settings, database, work, cache, stack, metrics)
        queue, relay, worker = None, None, None
        if work is not None:
            queue, relay = open_queue(settings, work, stack, metrics)
            worker = worker_of(settings, work, queue, engines, cache)
        rings = {name: Keyring(_of_no_use() if probes_only else settings.secrets(name)) for name in SECRETS}
        keys = Keys(database, rings["api_key_pepper"], writes=not settings.standby_of)
        popular = Counter(database)
        search = SearchService(engines, cache, noted=popular.note, timed=metrics.asked)
        stack.push_async_callback(search.close)
        service = Service(
            settings=settings,
            database=database,
            writer=Writer(database, max_bytes=settings.max_document_bytes),
            search=search,
            engines=engines,
            cache=cache,
            queue=queue,
            keys=keys,
            tokens=Tokens(rings["tenant_token_key"], keys),
            users=None if probes_only else await open_users(settings, stack),
            admission=Admission(database),
            limits=Limiter(redis, redis_breaker, writes=writes),
            room=Room(settings.max_bodies * settings.max_body_bytes),
            cursors=Cursors(rings["cursor_key"], seconds=settings.cursor_seconds),
            bounds=Bounds(settings.max_page, settings.max_clauses, settings.max_depth),
            metrics=metrics,
            popular=popular,
            relay=relay,
        )
        yield service, worker


def _of_no_use() -> tuple[bytes, ...]:
    """What a process holds that opens nothing."""
    return (secrets.token_bytes(32),)


@asynccontextmanager
async def open_worker(settings: Settings) -> AsyncIterator[tuple[Worker, Relay | None]]:
    """Opens what a process needs that only indexes, and with a broker what brings the outbox there.

    Raises:
        UnavailableError: PostgreSQL does not answer.
        SettingsError: The schema is another version's.
    """
    async with AsyncExitStack() as stack:
        work = await Database.open(settings, settings.database_user or "docsearch_index")
        stack.push_async_callback(work.close)
        await check_schema(work)
        await check_ledger(settings, work)
        cache = cache_of(settings, open_client(settings), _breaker("Redis", settings), alone=False)
        stack.push_async_callback(cache.close)
        engines = open_engines(settings, work, work, cache, stack)
        queue, relay = open_queue(settings, work, stack)
        yield worker_of(settings, work, queue, engines, cache), relay


def open_queue(
    settings: Settings, work: Database, stack: AsyncExitStack, metrics: Metrics | None = None
) -> tuple[Queue, Relay | None]:
    """Where index work waits: at the broker, with what brings it there, or in the outbox itself.

    Args:
        settings: Where the broker is, if there is one.
        work: Pools of the worker's login.
        stack: Closes it.
        metrics: Say whether its breaker is open.
    """
    if not settings.broker_host:
        return outbox_queue(work, settings), None
    # Imported by who has one alone, as the client of OpenSearch.
    from app.queue.rabbitmq import RabbitQueue, Relay  # noqa: PLC0415

    broker = RabbitQueue(settings, work, breaker=_breaker("RabbitMQ", settings, metrics))
    stack.push_async_callback(broker.close)
    return broker, Relay(work, broker, batch=settings.worker_batch)


def open_engines(
    settings: Settings,
    database: Database,
    work: Database | None,
    cache: Cache,
    stack: AsyncExitStack,
    metrics: Metrics | None = None,
) -> tuple[Index, ...]:
    """The engine of choice, then the one that stands in for it.

    Args:
        settings: Where OpenSearch is, if there is one.
        database: Pools of the login that reads.
        work: Pools of the worker's login, if this process indexes.
        cache: Knows when what is known of a tenant is old.
        stack: Closes them.
        metrics: Say whether its breaker is open.
    """
    full_text = FullText(database, work)
    if not settings.opensearch_host:
        return (full_text,)
    search = open_search(settings, database, cache, metrics)
    stack.push_async_callback(search.close)
    return search, full_text


async def open_users(settings: Settings, stack: AsyncExitStack) -> Users | None:
    """What opens access tokens, if the settings name who makes them.

    Raises:
        SettingsError: They cannot be told from those that are for others.
    """
    if not settings.oidc_issuer:
        return None
    # Imported by who has a provider alone: an HTTP client takes time and memory.
    from app.access.issuer import open_issuer  # noqa: PLC0415
    from app.access.users import Users  # noqa: PLC0415

    return Users(settings, await stack.enter_async_context(open_issuer(settings)))


def open_search(settings: Settings, database: Database, cache: Cache, metrics: Metrics | None = None) -> OpenSearch:
    """OpenSearch, with the layouts of tenants and the synonyms that the database has."""
    # Imported by who has one alone: its client takes half a second.
    from app.index.opensearch import OpenSearch  # noqa: PLC0415
    from app.index.opensearch_client import connect  # noqa: PLC0415

    return OpenSearch(
        connect(settings),
        layouts=StoredLayouts(database),
        synonyms_of=StoredSynonyms(database, cache.generation).of,
        breaker=_breaker("OpenSearch", settings, metrics),
    )


def _breaker(name: str, settings: Settings, metrics: Metrics | None = None) -> Breaker:
    """The breaker of a dependency, whose states are logged and, in a process that has metrics, among them."""

    def changed(dependency: str, state: State) -> None:
        log.warning("breaker_changed", dependency=dependency, state=state.value)
        if metrics:
            metrics.breaker(dependency, state)

    if metrics:
        metrics.breaker(name, State.CLOSED)
    return Breaker(name, open_seconds=settings.breaker_open_seconds, changed=changed)


def cache_of(
    settings: Settings, client: Client | None, breaker: Breaker, *, alone: bool, writes: Writes | None = None
) -> Cache:
    """The cache of a process.

    Args:
        settings: How long an answer is kept.
        client: Redis, which tells a process of what others write.
        breaker: Of Redis.
        alone: Whether this process indexes everything itself, so that it knows of every write without Redis.
        writes: Whether Redis takes any.
    """
    if client is None and not alone:
        return NoCache()
    return LayeredCache(client, breaker=breaker, writes=writes, seconds=settings.cache_seconds)


def outbox_queue(work: Database, settings: Settings) -> OutboxQueue:
    """The outbox as a queue, as the settings have it."""
    return OutboxQueue(work, batch=settings.worker_batch, attempts=settings.worker_attempts)


async def check_schema(database: Database) -> None:
    """Checks that the database has the schema of this version.

    Raises:
        SettingsError: It has not.
    """
    async with database.find_key("") as connection:
        if not await schema.whole(connection):
            raise SettingsError(
                "the database is not whole",
                why="tables lack keys, row-level security or grants, as after a restore that was cut off",
                remedy="Restore it again, with pg_restore --exit-on-error",
            )
        if not await schema.current(connection):
            raise SettingsError(
                "the database does not have the schema of this version", remedy="Run docsearch-api migrate first"
            )


async def check_ledger(settings: Settings, database: Database) -> None:
    """Checks that all that was ever erased is erased in this database: a restored one may be older.

    Raises:
        SettingsError: Something is not, or the ledger cannot be read.
        UnavailableError: Where it is kept does not answer: what nobody can tell is not served.
    """
    ledger = ledger_of(settings)
    if ledger is None:
        return
    async with database.find_key("") as connection:
        deployment = await erasures.deployment(connection)
    noted = await ledger.ids(deployment)
    async with database.find_key("") as connection:
        behind = await erasures.unknown(connection, noted)
    if behind:
        raise SettingsError(
            f"the database knows nothing of {len(behind):,} of {len(noted):,} erasures",
            why="it is older than they are, and holds what was erased",
            remedy=f"Run docsearch-api erasures replay {settings.erasure_ledger}, then rebuild-index",
        )


def worker_of(settings: Settings, work: Database, queue: Queue, engines: Sequence[Index], cache: Cache) -> Worker:
    """What brings documents into the indexes, and keeps house beside it. Embedded, it leaves the machine to others."""
    # Only OpenSearch has to be waited for before the disk is clean.
    settle = None if settings.opensearch_host else 0.0
    house = Housekeeping(work, engines, cache, ledger=ledger_of(settings), settle_seconds=settle)
    batches = settings.worker_batches if settings.broker_host else 1
    return Worker(work, queue, engines, cache, house, batches=batches)
