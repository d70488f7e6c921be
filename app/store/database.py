"""Connections to PostgreSQL, and transactions that see one tenant.

Every transaction is begun for a `Scope` and names its tenant to row-level security (``SET LOCAL``), so that nothing of
it outlives the transaction on a connection of the pool. Reads may go to a replica, which lags behind: nothing that
decides (authorization, preconditions, reading one's own writes) is asked of one. A replica that does not answer is left
alone for a while, one that is too far behind until it has caught up, and the primary is asked in its place.
"""

from __future__ import annotations

import asyncio
import math
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

import asyncpg
import orjson
import structlog

from app.aws.logins import DatabaseLogin
from app.errors import DeadlineExceededError, OverloadedError, SettingsError, UnavailableError
from app.index.model import Health
from app.resilience import deadline
from app.settings import Settings
from app.store import lag
from app.tenancy import Scope
from app.tls import trusting
from app.trace import tracing

log = structlog.get_logger(__name__)

T = TypeVar("T")


class _Aging(asyncpg.Connection):
    """A connection of a pool, which knows when to go.

    Attributes:
        ends_at: It is closed after the first transaction that ends after this, s of the loop's clock.
    """

    __slots__ = ("ends_at",)
    ends_at: float


Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

_GONE: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was lost in the middle of a message
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.SerializationError,  # on a replica: what it replays has removed what the query was reading
)

_REFUSED: Final = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

REPLICA_SECONDS: Final = 1.0
"""A replica that has begun no transaction after so long is left alone, s: the primary can answer in that request."""

SILENCE_SECONDS: Final = 5.0
"""PostgreSQL ends a statement that takes too long itself. If it has not even done that so much later, s, its host is
gone, and nobody has closed the connection."""

JITTER: Final = 0.1
"""Connections that were opened together end within this share of their life, and not at once."""

AWAY_SECONDS: Final = 10.0
"""For so long, s."""


@dataclass
class _Replica:
    """Pools to a replica.

    Attributes:
        host: Where it is.
        pool: Its connections, which are made when they are needed: it may be away when the process starts.
        away_until: It is left alone until then, s of the loop's clock.
        whole_until: All that was written until then it surely has, s of the loop's clock.
        behind: Whether it was too far behind when it was looked at last.
    """

    host: str
    pool: asyncpg.Pool
    away_until: float = 0.0
    whole_until: float = -math.inf
    behind: bool = True


class Database:
    """Pools to the primary and to its replicas, as one login.

    Args:
        settings: Where, and how many connections.
        user: The login.
    """

    def __init__(self, settings: Settings, user: str) -> None:
        self._settings, self._login = settings, DatabaseLogin(settings, user)
        self._primary: asyncpg.Pool | None = None
        self._replicas: list[_Replica] = []
        self._turn = count()
        self._written = lag.Written()
        self._watching: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: Settings, user: str) -> Database:
        """Opens the pools.

        Raises:
            UnavailableError: The primary does not answer.
            SettingsError: It refuses the login, or has no such database.
        """
        database = cls(settings, user)
        database._primary = await _connected(settings, user, database._login)
        for host in settings.readers():
            database._replicas.append(_Replica(host, await _pool(settings, host, user, database._login, least=0)))
        if database._replicas:
            await database._look()
            database._watching = asyncio.create_task(database._watch())
        return database

    @asynccontextmanager
    async def write(self, scope: Scope) -> AsyncIterator[Connection]:
        """A transaction on the primary that sees the scope's tenant."""
        async with self._begin(self._pool(), f"BEGIN; {_see(scope.tenant_id)}") as connection:
            yield connection

    @asynccontextmanager
    async def read(self, scope: Scope, *, replica: bool = False) -> AsyncIterator[Connection]:
        """A transaction that sees the scope's tenant and changes nothing.

        Args:
            scope: Whose.
            replica: Whether an answer that lags behind will do.
        """
        begin = f"BEGIN READ ONLY; {_see(scope.tenant_id)}"
        async with AsyncExitStack() as stack:
            connection = await self._on_replica(stack, begin) if replica else None
            if connection is None:
                connection = await stack.enter_async_context(self._begin(self._pool(), begin))
            yield connection

    async def _on_replica(self, stack: AsyncExitStack, begin: str) -> Connection | None:
        """A transaction on a replica, the next one in turn; none if no replica answers."""
        clock = asyncio.get_running_loop().time
        there = self._there(clock())
        if not there:
            return None
        chosen = there[next(self._turn) % len(there)]
        try:
            async with deadline.limit("the replica", REPLICA_SECONDS):
                connection: Connection = await stack.enter_async_context(self._begin(chosen.pool, begin))
        except (UnavailableError, OverloadedError) as error:
            chosen.away_until = clock() + AWAY_SECONDS
            log.warning("replica_away", reason=_reason(error))
            return None
        return connection

    def _there(self, now: float) -> list[_Replica]:
        """The replicas that may be read from."""
        oldest = now - self._settings.replica_lag_seconds
        return [one for one in self._replicas if one.away_until <= now and one.whole_until >= oldest]

    async def _watch(self) -> None:
        """Looks after replicas for ever."""
        while True:
            await asyncio.sleep(self._settings.replica_lag_seconds / lag.LOOKS)
            with deadline.surviving("replica_watch"):
                await self._look()

    async def _look(self) -> None:
        """Finds out how far the replicas are behind."""
        clock = asyncio.get_running_loop().time
        at = clock()
        written = await self._position(self._pool())
        if written is not None:
            self._written.note(at, written)
        found = await asyncio.gather(*(self._position(one.pool) for one in self._replicas))
        for one, replayed in zip(self._replicas, found, strict=True):
            if replayed is not None:
                # While the primary is away nothing is written: what it said last counts.
                nothing_new = written is None and self._written.all(replayed)
                until = at if nothing_new else self._written.reached(replayed)
                one.whole_until = max(one.whole_until, until if until is not None else -math.inf)
            behind = clock() - one.whole_until > self._settings.replica_lag_seconds
            if behind is not one.behind:
                one.behind = behind
                log.warning("replica_behind" if behind else "replica_caught_up", replica=one.host)

    async def _position(self, pool: asyncpg.Pool) -> int | None:
        """How far a server is in the log, bytes; None if it does not say."""
        try:
            async with (
                deadline.limit("PostgreSQL", REPLICA_SECONDS),
                self._transaction(pool, "BEGIN READ ONLY") as connection,
            ):
                position: int | None = await connection.fetchval(lag.POSITION)
        except (UnavailableError, OverloadedError, DeadlineExceededError):
            return None
        return position

    def lags(self) -> dict[str, float]:
        """How far each replica may be behind, by its host, s: infinite of one that was never seen to be whole."""
        now = asyncio.get_running_loop().time() if self._replicas else 0.0
        return {one.host: now - one.whole_until for one in self._replicas}

    @asynccontextmanager
    async def find_key(self, prefix: str) -> AsyncIterator[Connection]:
        """A transaction that sees one API key, by its prefix, and no tenant."""
        async with self._begin(self._pool(), "BEGIN READ ONLY") as connection:
            await connection.execute("SELECT set_config('docsearch.key_prefix', $1, true)", prefix)
            yield connection

    @asynccontextmanager
    async def outbox(self) -> AsyncIterator[Connection]:
        """A transaction of the worker's login that sees the outbox of every tenant, and nothing else of any."""
        async with self._begin(self._pool(), "BEGIN") as connection:
            yield connection

    async def health(self) -> Health:
        """Whether the primary answers, and how much of the pool is in use."""
        pool = self._pool()
        detail: dict[str, Any] = {"pool_size": pool.get_size(), "pool_idle": pool.get_idle_size()}
        detail["replicas"] = len(self._there(asyncio.get_running_loop().time()))
        if lags := self.lags():
            worst = max(lags.values())
            detail["replica_lag_seconds"] = round(worst, 1) if math.isfinite(worst) else None
        try:
            async with self._begin(pool, "BEGIN READ ONLY") as connection:
                detail["standby"] = bool(await connection.fetchval("SELECT pg_is_in_recovery()"))
        except (UnavailableError, OverloadedError, DeadlineExceededError) as error:
            return Health(False, detail, error.detail)
        return Health(True, detail)

    def usage(self) -> tuple[int, int, int]:
        """Connections of the primary's pool: open, idle, and at most."""
        pool = self._pool()
        return pool.get_size(), pool.get_idle_size(), pool.get_max_size()

    async def close(self) -> None:
        """Closes the pools: what is under way may end within 5 s."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for pool in (*(one.pool for one in self._replicas), self._primary):
            if pool is None:
                continue
            try:
                await asyncio.wait_for(pool.close(), 5)
            except (TimeoutError, *_GONE):
                pool.terminate()

    def _pool(self) -> asyncpg.Pool:
        assert self._primary is not None, "Database.open makes one"
        return self._primary

    @asynccontextmanager
    async def _begin(self, pool: asyncpg.Pool, begin: str) -> AsyncIterator[Connection]:
        with tracing.span("database", kind="client"):
            async with self._transaction(pool, begin) as connection:
                yield connection

    @asynccontextmanager
    async def _transaction(self, pool: asyncpg.Pool, begin: str) -> AsyncIterator[Connection]:
        connection = await self._acquire(pool)
        try:
            try:
                await connection.execute(begin)
            except asyncio.CancelledError:
                # Whoever does not answer to this will not answer to a cancellation, either: nobody waits for that.
                connection.terminate()
                raise
            try:
                yield connection
            except _GONE:
                raise  # and its transaction ends with the connection
            except BaseException:
                # What went wrong first is what matters: a broken connection has rolled back already.
                try:
                    await connection.execute("ROLLBACK", timeout=SILENCE_SECONDS)
                except _GONE:
                    _end(connection)
                raise
            await connection.execute("COMMIT")
            if asyncio.get_running_loop().time() > connection.ends_at:
                # The transaction is done, however this ends.
                with suppress(*_GONE):
                    await connection.close(timeout=SILENCE_SECONDS)
        except asyncpg.QueryCanceledError as error:
            limit = self._settings.statement_seconds
            raise DeadlineExceededError(f"PostgreSQL took longer than {limit:g} s", remedy="Ask for less") from error
        except asyncpg.DeadlockDetectedError as error:
            # It has rolled back, and would go through now: two wanted the same rows in different orders.
            raise UnavailableError("PostgreSQL has undone the transaction", why="deadlock", retry_after=1) from error
        except _GONE as error:
            # It may be in the middle of something, and no pool may give it to anybody else.
            _end(connection)
            if isinstance(error, TimeoutError):
                # Its neighbours lead to the same host: they are closed instead of being waited for one by one.
                await pool.expire_connections()
            raise UnavailableError("PostgreSQL does not answer", why=_reason(error), retry_after=1) from error
        finally:
            await pool.release(connection)

    async def _acquire(self, pool: asyncpg.Pool) -> Any:
        try:
            try:
                return await pool.acquire(timeout=self._settings.pool_wait_seconds)
            except _REFUSED:
                if not self._login.refused():
                    raise
                return await pool.acquire(timeout=self._settings.pool_wait_seconds)
        except TimeoutError as error:
            wait = self._settings.pool_wait_seconds
            raise OverloadedError(
                f"no connection to PostgreSQL was free within {wait:g} s", remedy="Try again later", retry_after=1
            ) from error
        except _REFUSED as error:
            # It was let in when it started: whatever was changed since is not the caller's business.
            log.error("login_refused", reason=str(error))
            raise UnavailableError("PostgreSQL does not answer", why=_reason(error), retry_after=1) from error
        except _GONE as error:
            raise UnavailableError("PostgreSQL does not answer", why=_reason(error), retry_after=1) from error


async def connect(settings: Settings, user: str, *, host: str = "") -> asyncpg.Connection:
    """One connection, outside of any pool: to migrate, to administrate.

    Raises:
        UnavailableError: PostgreSQL does not answer.
        SettingsError: It refuses the login, or has no such database.
    """
    login = DatabaseLogin(settings, user)
    host = host or settings.database_host

    async def one() -> asyncpg.Connection:
        return await asyncpg.connect(timeout=settings.connect_seconds, **_address(settings, host, user, login))

    connection = await _let_in(one, user, login)
    await _prepare(connection)
    return connection


async def _connected(settings: Settings, user: str, login: DatabaseLogin) -> asyncpg.Pool:
    """A pool of the primary that has a connection."""

    async def opened() -> asyncpg.Pool:
        pool = await _pool(settings, settings.database_host, user, login, least=settings.pool_min)
        # A pool that keeps no connection open has not asked anybody yet.
        async with pool.acquire(timeout=settings.connect_seconds):
            return pool

    return await _let_in(opened, user, login)


async def _let_in(call: Callable[[], Awaitable[T]], user: str, login: DatabaseLogin) -> T:
    try:
        try:
            return await call()
        except _REFUSED:
            if not login.refused():
                raise
            return await call()
    except _REFUSED as error:
        raise SettingsError(
            f"PostgreSQL refuses {user}", why=str(error), remedy="Run docsearch-api migrate first"
        ) from error
    except (TimeoutError, *_GONE) as error:
        raise UnavailableError("PostgreSQL does not answer", why=_reason(error)) from error


async def _pool(settings: Settings, host: str, user: str, login: DatabaseLogin, *, least: int) -> asyncpg.Pool:
    async def begin(connection: Any) -> None:
        lifetime = settings.lifetime_seconds * random.uniform(1 - JITTER, 1)  # noqa: S311 - spreads load
        connection.ends_at = asyncio.get_running_loop().time() + lifetime
        await _prepare(connection)

    pool: asyncpg.Pool = await asyncpg.create_pool(
        min_size=min(least, settings.pool_max),
        max_size=settings.pool_max,
        max_inactive_connection_lifetime=settings.idle_seconds,
        timeout=settings.connect_seconds,
        command_timeout=settings.statement_seconds + SILENCE_SECONDS,
        connection_class=_Aging,
        init=begin,
        # Transactions leave nothing behind (``SET LOCAL`` alone): a round trip that resets is saved.
        reset=_nothing_left,
        server_settings={
            "application_name": f"docsearch {user}",
            "timezone": "UTC",
            "statement_timeout": str(int(settings.statement_seconds * 1000)),
            "idle_in_transaction_session_timeout": str(int(settings.statement_seconds * 6000)),
        },
        **_address(settings, host, user, login),
    )
    return pool


def _address(settings: Settings, host: str, user: str, login: DatabaseLogin) -> dict[str, Any]:
    return {
        "host": host,
        "port": settings.database_port,
        "database": settings.database_name,
        "user": user,
        "password": login.password(host),
        "ssl": False if host.startswith("/") else _tls(settings),
    }


def _tls(settings: Settings) -> ssl.SSLContext | Literal["require"] | bool:
    if settings.database_tls == "disable":
        return False
    if settings.database_tls == "require":
        return "require"
    return trusting(settings.database_ca)


async def _prepare(connection: asyncpg.Connection) -> None:
    try:
        for name in ("json", "jsonb"):
            await connection.set_type_codec(
                name, encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads, schema="pg_catalog"
            )
    except BaseException:
        # The pool would ask it to close, and wait: whoever does not answer to this does not answer to that.
        connection.terminate()
        raise


def _end(connection: Connection) -> None:
    """Closes a connection at once, whatever it is in the middle of; one that was closed already stays so."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _nothing_left(connection: Connection) -> None:
    if connection.is_in_transaction():
        # Whoever was interrupted in the middle: the transaction goes, and with it all that it set.
        await connection.execute("ROLLBACK")


def _see(tenant_id: UUID) -> str:
    # An UUID's text is hexadecimal digits and hyphens: nothing in it can end the literal.
    return f"SET LOCAL docsearch.tenant_id = '{UUID(str(tenant_id))}'"


def _reason(error: BaseException) -> str:
    """What went wrong, without the address: it is an answer to a caller."""
    return type(error).__name__
