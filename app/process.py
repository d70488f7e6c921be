"""A running process: HTTP and index work in one event loop, started in order and stopped in order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Final, Protocol

import structlog
import uvicorn
from pydantic import SecretStr

from app.errors import SettingsError
from app.http import health
from app.http.app import OPERATIONS, application
from app.http.call import Operation
from app.runtime import Service, open_service, open_worker
from app.search.popular import Warmer
from app.settings import SECRETS, Settings
from app.store.database import connect
from app.store.embedded import SUPERUSER, Embedded
from app.store.schema import migrate
from app.tls import Inbound
from app.trace import tracing, wanted

log = structlog.get_logger(__name__)

EMBEDDED_POOL: dict[str, int] = {"pool_min": 1, "pool_max": 10}
"""Connections to a PostgreSQL that one process has to itself, and whose ``max_connections`` is 100."""

HANDSHAKE_SECONDS: Final = 10.0
"""A client has so long for its handshake, s: a connection that stays silent costs no longer."""

GOODBYE_SECONDS: Final = 2.0
"""A client has so long to say goodbye too, s. Who keeps a connection for later does not listen to it, and would hold up
the end of a process by uvloop's 30 s."""

BACKLOG: Final = 2048
"""Connections that wait to be taken, as uvicorn has it."""


def owner(settings: Settings) -> str:
    """The login that owns the schema.

    Raises:
        SettingsError: It is not said.
    """
    if settings.database_user:
        return settings.database_user
    if settings.embedded or settings.database_host.startswith("/"):
        return SUPERUSER
    raise SettingsError("DATABASE_USER is not set", why="administration is done by the owner of the schema")


class _Beside(Protocol):
    """What runs beside the answering of requests, until it is told to stop."""

    async def run(self) -> None: ...
    def stop(self) -> None: ...


@asynccontextmanager
async def database_of(settings: Settings) -> AsyncIterator[Settings]:
    """Where the database is: embedded, a server of its own, started, migrated, and stopped at the end.

    Raises:
        UnavailableError: It does not start.
    """
    if not settings.embedded:
        yield settings
        return
    # Secrets are looked up while the service still is embedded: from then on nothing says so.
    secrets = {name: settings.secret(name).decode() for name in SECRETS}
    server = await asyncio.to_thread(Embedded.start, settings.folder / "postgres")
    try:
        await server.create(settings.database_name)
        where = {"database_host": server.host, "database_port": server.port, "database_tls": "disable"}
        files: dict[str, object] = {f"{name}_file": None for name in secrets}
        found = settings.model_copy(
            update={**where, **EMBEDDED_POOL, **files, "address": settings.listen_at}
            | {name: SecretStr(value) for name, value in secrets.items()}
        )
        await migrate(lambda: connect(found, SUPERUSER))
        yield found
    finally:
        await asyncio.to_thread(server.stop)


async def serve(
    settings: Settings, *, with_worker: bool, ready: Callable[[str], None], probes_only: bool = False
) -> None:
    """Answers requests until SIGINT or SIGTERM, and works on the index beside it.

    Args:
        settings: Where everything is.
        with_worker: Whether to index, too.
        ready: Is told the URL once requests are answered.
        probes_only: Whether nothing is answered but probes and metrics.

    Raises:
        SettingsError: A port is taken, or the files of TLS do not work.
    """
    # The index of a standby follows the primary's, and its database takes nothing.
    with_worker = with_worker and not settings.standby_of
    tls = Inbound.of(settings)
    with ExitStack() as listening:
        listener = listening.enter_context(_listening(settings, settings.port, "--port, or DOCSEARCH_PORT"))
        aside = None
        if settings.probe_port is not None:
            aside = listening.enter_context(_listening(settings, settings.probe_port, "DOCSEARCH_PROBE_PORT"))
        opened = open_service(settings, with_worker=with_worker, probes_only=probes_only)
        async with _traced(settings), opened as (service, worker):
            server = _Server(service, health.OPERATIONS if probes_only else OPERATIONS, listener, tls)
            probes = _Server(service, health.OPERATIONS, aside) if aside else None
            if tls:
                service.metrics.expiring(tls.expires_at)
            beside: list[_Beside] = [one for one in (worker, service.relay) if one]
            if not (probes_only or settings.standby_of):
                beside += [service.popular, Warmer(service.database, service.search)]
            work = [asyncio.create_task(one.run()) for one in beside]
            try:
                with _signals(server.leave):
                    ready(server.url)
                    await _answer(server, probes)
            finally:
                for one in beside:
                    one.stop()
                await asyncio.gather(*work)
            log.info("stopped")


async def work(settings: Settings, *, ready: Callable[[], None]) -> None:
    """Works on the index until SIGINT or SIGTERM, and with a broker brings the outbox there."""
    async with _traced(settings), open_worker(settings) as (worker, relay):

        def stop() -> None:
            worker.stop()
            if relay:
                relay.stop()

        with _signals(stop):
            ready()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(worker.run())
                if relay:
                    tasks.create_task(relay.run())
        log.info("stopped")


@asynccontextmanager
async def _traced(settings: Settings) -> AsyncIterator[None]:
    """Sends traces, if the environment says where to."""
    if not wanted():
        yield
        return
    tracing.start(settings.trace_ratio, settings.release)
    try:
        yield
    finally:
        # What is left is sent, which takes as long as its receiver does.
        await asyncio.to_thread(tracing.stop)


async def _answer(server: _Server, probes: _Server | None) -> None:
    """Answers until the server is told to stop, and probes until it has finished."""
    if probes is None:
        await server.answer()
        return
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(probes.answer())
        await server.answer()
        probes.should_exit, probes.force_exit = True, server.force_exit


def url_of(host: str, port: int, *, secure: bool) -> str:
    """Where to call what listens there."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
    return f"{'https' if secure else 'http'}://{_authority(here, port)}/"


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to us, and does not wait long for who does not answer.

    Args:
        service: The parts that answer.
        operations: What can be asked for.
        listener: Where.
        tls: How connections are secured.
    """

    def __init__(
        self, service: Service, operations: Sequence[Operation], listener: socket.socket, tls: Inbound | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application(service, operations),
                loop="uvloop",
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                # By default it believes what loopback forwards; who is believed here, a setting says (`app.http.app`).
                proxy_headers=False,
                timeout_graceful_shutdown=int(service.settings.drain_seconds),
                timeout_keep_alive=75,
            )
        )
        self._service, self._listener, self._tls = service, listener, tls

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._listener.getsockname()[:2]
        return url_of(host, port, secure=self._tls is not None)

    async def answer(self) -> None:
        """Answers until it is told to stop, and what it has begun by then."""
        await self.serve(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes connections."""
        if self._tls is None:
            await super().startup(sockets)
            return
        await super().startup([])

        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        # As uvicorn does it, but for how long is waited for the other side: it has no options for that.
        self.servers = [
            await asyncio.get_running_loop().create_server(
                protocol,
                sock=self._listener,
                backlog=BACKLOG,
                ssl=self._tls.context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
        ]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # It would raise them again once it has stopped.
        yield

    def leave(self) -> None:
        """Stops: is not ready, then takes no new connections; asked again, goes on to the next, at last at once."""
        # Connections that are kept are closed in the end, which drops what is sent over them in that moment. Whoever
        # balances requests has to know before.
        notice = 0.0 if self._service.leaving else self._service.settings.notice_seconds
        self._service.leaving = True
        if notice:
            asyncio.get_running_loop().call_later(notice, self._close)
        else:
            self.force_exit = self.should_exit
            self._close()

    def _close(self) -> None:
        self.should_exit = True


@contextmanager
def _signals(act: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _authority(host: str, port: int) -> str:
    """An address with its port, as in an URL: of IPv6 in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _listening(settings: Settings, port: int, by: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.listen_at else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.listen_at, port))
        except OSError as error:
            raise SettingsError(
                f"{_authority(settings.listen_at, port)} cannot be listened at",
                why=error.strerror or str(error),
                remedy=f"Choose another one by {by}",
            ) from error
        listener.listen(BACKLOG)
        yield listener
