"""PostgreSQL, Redis, RabbitMQ and OpenSearch on this machine, for tests."""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from app.store.embedded import SUPERUSER, Embedded
from tests.app.services import machine
from tests.app.services.server import DeadError, Server, free_port

OPENSEARCH_PORTS = range(9201, 9300)
"""Where the program that runs OpenSearch can put a node: its command line reaches no further."""


QUEUE_SETTLES_SECONDS = 4.0
"""The name of a quorum queue is on disk 3 s after it was declared (Erlang's dets writes with that delay). A broker that
is killed before finds its messages under no name, and the queue has no leader: seen with Debian's RabbitMQ 3.10.8."""


class Redis(Server):
    """Redis. What it has acknowledged is on disk: it may be killed, and knows everything when it comes back."""

    name = "Redis"
    cluster = False
    appendonly = "yes"

    def command(self) -> Sequence[str | Path]:
        """Redis, with a log of every write where it is to know everything again."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "save": "",
            "appendonly": self.appendonly,
            # Who follows it need not wait for others who might.
            "repl-diskless-sync-delay": 0,
        }
        options["cluster-enabled"] = "yes" if self.cluster else "no"
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return [machine.command("redis-server"), *flags, "--appendfsync", "always", "--maxmemory-policy", "allkeys-lru"]

    def answers(self) -> bool:
        """Whether it says PONG, and not that it is still loading."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            if connection.recv(16) != b"+PONG\r\n":
                return False
            if not self.cluster:
                return True
            connection.sendall(b"CLUSTER INFO\r\n")
            said = connection.recv(4096)
            if b"cluster_slots_assigned:0\r" in said:
                connection.sendall(b"CLUSTER ADDSLOTSRANGE 0 16383\r\n")
            return b"cluster_state:ok" in said
        return False

    def settings(self) -> dict[str, Any]:
        """What the service is told of it."""
        return {"cache_host": "127.0.0.1", "cache_port": self.port, "cache_tls": False}


class RedisCluster(Redis):
    """Redis as a cluster of one node, which holds all slots: clients have to speak to it as to a cluster."""

    name = "Redis cluster"
    cluster = True

    def settings(self) -> dict[str, Any]:
        """What the service is told of it."""
        return super().settings() | {"cache_name": "docsearch"}


class RedisReplica(Redis):
    """A Redis that follows another and only reads, as that of a standby region does.

    Args:
        folder: Where it keeps everything.
        primary: What it follows.
    """

    name = "Redis replica"

    def __init__(self, folder: Path, primary: Redis) -> None:
        super().__init__(folder)
        self._primary = primary

    def command(self) -> Sequence[str | Path]:
        """Redis, which follows."""
        return [*super().command(), "--replicaof", "127.0.0.1", str(self._primary.port)]


class RabbitMQ(Server):
    """RabbitMQ, one node: quorum queues of one member, which write to disk all the same."""

    name = "RabbitMQ"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._distribution, self._mapper = free_port(), free_port()
        self._mapping: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str | Path]:
        """The broker."""
        # Debian's command of that name in /usr/sbin changes to another user first.
        machine.command("rabbitmq-server")
        (self.folder / "plugins").write_text("[].\n")
        return ["/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def environment(self) -> Mapping[str, str]:
        """Everything of it at ports and in a folder of its own, Erlang's port mapper included."""
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"docsearch-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # The broker itself then is the process that is started, not a shell around it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def answers(self) -> bool:
        """Whether it takes connections of AMQP."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            # connection.start, a method frame on channel 0 (AMQP 0-9-1, section 2.2.4).
            return connection.recv(3) == b"\x01\x00\x00"
        return False

    def spawn(self) -> None:
        """Starts it behind a port mapper that ends with the tests, too: Erlang's own would be a daemon."""
        if self._mapping is None:
            machine.command("rabbitmq-server")
            mapper = ["epmd", "-port", str(self._mapper), "-address", "127.0.0.1"]
            self._mapping = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *mapper], stdin=subprocess.DEVNULL)
        super().spawn()

    def stop(self) -> None:
        """Ends it, and the port mapper."""
        super().stop()
        if self._mapping is not None:
            self._mapping.kill()
            self._mapping.wait()
            self._mapping = None

    def settings(self) -> dict[str, Any]:
        """What the service is told of it."""
        address = {"broker_host": "127.0.0.1", "broker_port": self.port, "broker_tls": False}
        return address | {"broker_user": "guest", "broker_password": "guest"}


class OpenSearch(Server):
    """OpenSearch, one node."""

    name = "OpenSearch"
    heap = "512m"
    # Quick to start rather than quick in the long run: a test is over before an optimizing compiler pays.
    compiler: Sequence[str] = ("-XX:TieredStopAtLevel=1",)
    collector: Sequence[str] = ("-XX:+UseSerialGC",)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port(OPENSEARCH_PORTS.start, OPENSEARCH_PORTS.stop)
        self._transport = free_port()

    def command(self) -> Sequence[str | Path]:
        """One node."""
        jars = machine.opensearch_jars()
        settings = self.folder / "config"
        settings.mkdir(exist_ok=True)
        (settings / "opensearch.yml").write_text(
            "\n".join(
                (
                    "network.host: 127.0.0.1",
                    f"transport.port: {self._transport}",
                    "discovery.type: single-node",
                    f'path.repo: ["{self.folder}/snapshots"]',
                    # A full disk of a developer is no reason to refuse writes.
                    "cluster.routing.allocation.disk.threshold_enabled: false",
                )
            )
        )
        (settings / "log4j2.properties").write_text(
            "status = error\nappender.console.type = Console\nappender.console.name = console\n"
            "appender.console.layout.type = PatternLayout\n"
            "appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n\n"
            "rootLogger.level = warn\nrootLogger.appenderRef.console.ref = console\n"
        )
        runner = "org.codelibs.opensearch.runner.OpenSearchRunner"
        arguments: list[str | Path] = ["-basePath", self.folder, "-confPath", settings, "-clusterName", "docsearch"]
        arguments += ["-numOfNode", "1"]
        tuned = [f"-Xms{self.heap}", f"-Xmx{self.heap}", *self.collector, *self.compiler]
        quiet = ["--enable-native-access=ALL-UNNAMED", "-Djava.locale.providers=CLDR,SPI"]
        # The node listens at the first free port behind the one that is named.
        where = ["-baseHttpPort", str(self.port - 1)]
        return [machine.java(), *tuned, *quiet, "-cp", f"{jars}/*", runner, *arguments, *where]

    def answers(self) -> bool:
        """Whether all primaries are there, and it is this one that says so.

        Raises:
            DeadError: Another one listens at its port, since the same was free for both.
        """
        if self._process is None:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/_nodes/_local/process")
            nodes = json.loads(connection.getresponse().read()).get("nodes", {})
            connection.request("GET", "/_cluster/health")
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()
        for node in nodes.values():
            if (pid := node["process"]["id"]) != self._process.pid:
                raise DeadError(f"process {pid} has taken port {self.port}, which was free")
        return answer.get("status") in ("green", "yellow") and not answer.get("initializing_shards")

    def settings(self) -> dict[str, Any]:
        """What the service is told of it."""
        return {"opensearch_host": "127.0.0.1", "opensearch_port": self.port, "opensearch_tls": False}


class PostgreSQL(Server):
    """The PostgreSQL that the embedded default brings. It listens at a socket in its folder."""

    name = "PostgreSQL"
    polite = signal.SIGINT
    host = ""

    def command(self) -> Sequence[str | Path]:
        """The server, as the user that it was made by: it refuses to be root."""
        data = self.folder / "data"
        if not self.host:
            # Made, and started once, by the service's own code.
            embedded = Embedded.start(data)
            self.host, self.port = embedded.host, embedded.port
            self._program = embedded._server.bin_path / "postgres"
            embedded.stop()
        owner = data.stat()
        who = [f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *who, "--pdeathsig", "KILL", self._program, "-D", data, "-k", self.host, "-h", ""]

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            asyncio.run(self._look())
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    async def _look(self) -> None:
        connection = await asyncpg.connect(host=self.host, port=self.port, user=SUPERUSER, database="postgres")
        await connection.close()

    def kill(self) -> None:
        """Ends it as a crash does, with all its processes: each of them leads a session of its own."""
        assert self._process is not None
        children = [pid for pid in _pids() if _parent(pid) == self._process.pid]
        super().kill()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while any(_parent(pid) is not None for pid in children):
            if time.monotonic() > end:
                raise DeadError(f"{self.name} lives on after SIGKILL")
            time.sleep(0.01)

    def settings(self) -> dict[str, Any]:
        """What the service is told of it."""
        return {"database_host": self.host, "database_port": self.port, "database_tls": "disable"}


class Replica(PostgreSQL):
    """A standby of a PostgreSQL, which follows it by streaming replication. It has its port, in a folder of its own.

    Args:
        folder: Where it keeps everything.
        primary: What it follows; it runs.
    """

    name = "PostgreSQL replica"

    def __init__(self, folder: Path, primary: PostgreSQL) -> None:
        super().__init__(folder)
        self._primary, self.port = primary, primary.port

    def command(self) -> Sequence[str | Path]:
        """The server, over a copy that is made before it is first started."""
        _, *front, program, _, data, _, _, _, _ = self._primary.command()
        mine = self.folder / "data"
        if not self.host:
            self.host = str(self.folder)
            owner = Path(data).stat()
            os.chown(self.folder, owner.st_uid, owner.st_gid)
            where = ["-h", self._primary.host, "-p", str(self.port), "-U", SUPERUSER]
            copying: list[str | Path] = [
                "-D",
                mine,
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--wal-method=stream",
            ]
            subprocess.run(
                ["setpriv", *front, Path(program).with_name("pg_basebackup"), *where, *copying],
                check=True,
                capture_output=True,
                cwd=self.folder,
            )
        return ["setpriv", *front, program, "-D", mine, "-k", self.host, "-h", ""]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int | None:
    """The parent of a process; None if it is gone, or a zombie."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state in "ZX" else int(parent)
