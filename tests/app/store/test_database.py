"""A host of PostgreSQL that vanishes closes nothing: whoever waits for it is told in bounded time, and nobody twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from app.errors import UnavailableError
from app.resilience import deadline
from app.settings import Settings
from app.store import database
from app.store.database import Database
from app.store.writer import Writer
from app.tenancy import Scope
from tests.app.store.test_writer import put
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]

BOUND_SECONDS = 60
"""Much more than any of these takes: what is tested is that none of them waits for ever."""


class Wire:
    """A way to PostgreSQL over TCP. What was connected when the host vanished is neither answered nor closed."""

    def __init__(self, settings: Settings) -> None:
        self._socket = f"{settings.database_host}/.s.PGSQL.{settings.database_port}"
        self._lines: list[tuple[asyncio.Event, asyncio.StreamWriter]] = []
        self._served: list[asyncio.Task[None]] = []
        self.port = 0
        self.hosts = True
        """Whether there is a host for those that connect from now on."""

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._lines)

    def vanish(self) -> None:
        """The host is gone, and with it all that it was doing."""
        for there, server in self._lines:
            there.clear()
            server.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for one in self._served:
                one.cancel()
            await asyncio.gather(*self._served, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, its = asyncio.Event(), asyncio.current_task()
        assert its
        self._served.append(its)
        try:
            if not self.hosts:
                await there.wait()
            there.set()
            theirs, ours = await asyncio.open_unix_connection(self._socket)
            self._lines.append((there, ours))
            await asyncio.gather(_pass(reader, ours, there), _pass(theirs, writer, there))
        except (OSError, asyncio.CancelledError):
            pass  # one side has ended it, or the test is over
        finally:
            writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: asyncio.Event) -> None:
    while chunk := await reader.read(2**16):
        await there.wait()
        writer.write(chunk)
        await writer.drain()
    await there.wait()
    writer.close()


@pytest.fixture
async def wire(world: World) -> AsyncIterator[Wire]:
    its = Wire(world.settings)
    async with its.open():
        yield its


@pytest.fixture
async def far(world: World, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """The database at the other end of the wire."""
    monkeypatch.setattr(database, "SILENCE_SECONDS", 0.5)
    told = {"database_host": "127.0.0.1", "database_port": wire.port, "database_tls": "disable", "statement_seconds": 1}
    its = await Database.open(world.settings.model_copy(update=told), "docsearch_document")
    yield its
    await its.close()


async def test_a_writer_hears_of_a_host_that_vanished_and_the_next_write_goes_to_the_next_host(
    world: World, wire: Wire, far: Database
) -> None:
    its = Writer(far, max_bytes=2**20)
    scopes = [await world.tenant(name) for name in "abcd"]
    await asyncio.gather(*(its.write(put(scope, "tea")) for scope in scopes))
    opened = wire.connections
    assert opened > 1
    wire.vanish()
    async with asyncio.timeout(BOUND_SECONDS):
        with pytest.raises(UnavailableError, match="PostgreSQL does not answer"):
            await its.write(put(scopes[0], "coffee"))
        # The others of the pool are as silent, and nobody waits for each of them in turn.
        for scope in scopes:
            await its.write(put(scope, "coffee"))
    assert wire.connections > opened
    assert len(await world.admin("SELECT FROM documents WHERE title = 'coffee'")) == len(scopes)


async def test_a_host_that_vanishes_in_the_middle_of_a_transaction_takes_it_along(
    world: World, wire: Wire, far: Database
) -> None:
    scope = await world.tenant("a")

    async def asks() -> None:
        async with far.write(scope) as connection:
            await connection.execute("SELECT 1")
            wire.vanish()
            await connection.execute("SELECT 1")

    async def commits() -> None:
        async with far.write(scope):
            wire.vanish()

    async with asyncio.timeout(BOUND_SECONDS):
        for one in (asks, commits):
            with pytest.raises(UnavailableError, match="PostgreSQL does not answer"):
                await one()
        assert await answers(far, scope)
    opened, idle, _ = far.usage()
    assert opened == idle, "nobody holds a connection"


async def test_whoever_has_no_time_left_does_not_wait_for_a_host_that_vanished(
    world: World, wire: Wire, far: Database
) -> None:
    scope = await world.tenant("a")

    async def asks() -> None:
        async with deadline.limit("the request", 0.3), far.read(scope) as connection:
            await connection.execute("SELECT 1")
            wire.vanish()
            # Not even to be told that its question is withdrawn.
            wire.hosts = False
            await connection.execute("SELECT 1")

    async with asyncio.timeout(BOUND_SECONDS):
        with pytest.raises(UnavailableError, match="the request did not answer"):
            await asks()
        wire.hosts = True
        assert await answers(far, scope)


async def answers(its: Database, scope: Scope) -> bool:
    async with its.read(scope) as connection:
        return bool(await connection.fetchval("SELECT current_tenant()") == scope.tenant_id)


async def server_of(database: Database) -> int:
    """The process of PostgreSQL that a transaction is carried out by."""
    async with database.find_key("x") as connection:
        found: int = await connection.fetchval("SELECT pg_backend_pid()")
        assert await connection.fetchval("SELECT pg_backend_pid()") == found
    return found


async def test_a_connection_that_is_old_ends_behind_its_transaction_however_busy_it_is(settings: Settings) -> None:
    its = settings.model_copy(update={"pool_min": 1, "pool_max": 1})
    for lifetime, servers in ((1e-6, 3), (1800.0, 1)):
        opened = await Database.open(its.model_copy(update={"lifetime_seconds": lifetime}), "docsearch_document")
        try:
            assert len({await server_of(opened) for _ in range(3)}) == servers
        finally:
            await opened.close()


async def test_connections_that_were_opened_together_do_not_end_together(settings: Settings) -> None:
    its = settings.model_copy(update={"pool_min": 5, "pool_max": 5, "lifetime_seconds": 1800.0})
    before = asyncio.get_running_loop().time()
    opened = await Database.open(its, "docsearch_document")
    try:
        after = asyncio.get_running_loop().time()
        async with AsyncExitStack() as stack:
            held: list[Any] = [await stack.enter_async_context(opened.find_key("x")) for _ in range(5)]
            ends = {connection.ends_at for connection in held}
        assert len(ends) == 5
        assert before + 1620 <= min(ends)
        assert max(ends) <= after + 1800
    finally:
        await opened.close()
