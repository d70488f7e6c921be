"""The API as it is deployed, on this machine: four real services, a process that answers, and one that indexes."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app import upkeep
from app.administration import create_key
from app.settings import Settings, load
from app.store.database import connect
from app.store.embedded import SUPERUSER, Embedded
from app.store.schema import migrate
from infra.program import PROJECT
from tests.app.services.server import DeadError, Server
from tests.app.services.servers import OpenSearch, PostgreSQL, RabbitMQ, Redis
from tests.bench.driver import Orders

TENANT = "bench"

SECRETS = {name: name * 4 for name in ("cursor_key", "api_key_pepper", "tenant_token_key")}

INDEXED_SECONDS = 300.0
"""What was written is in the index by then, on a machine that has other things to do."""

UNLIMITED = 10**9
"""Requests per minute: the limits are kept, and never reached."""


Service = PostgreSQL | Redis | RabbitMQ | OpenSearch

Reached = Callable[[Service], Mapping[str, Any]]


class WarmOpenSearch(OpenSearch):
    """OpenSearch as it is in the long run: more heap, the compiler that optimizes, the collector that it comes with.

    It refuses requests when its heap is 95% full, garbage included, and lets only G1 collect that before.
    """

    heap = "2g"
    compiler = ()
    collector = ("-XX:+UseG1GC", "-XX:G1ReservePercent=25", "-XX:InitiatingHeapOccupancyPercent=30")


class Cache(Redis):
    """Redis as ElastiCache runs it: nothing is on disk, and a node that is killed comes back empty."""

    appendonly = "no"


class Process(Server):
    """A process of the service.

    Args:
        folder: Where its log goes.
        words: What it is told to do.
        settings: What it is told of.
    """

    name = "docsearch-api"

    def __init__(self, folder: Path, words: Sequence[str], settings: Settings) -> None:
        super().__init__(folder)
        self._words, self._settings = words, settings
        self._said_before = 0

    def spawn(self) -> None:
        """Starts it, and returns at once."""
        self._said_before = self.log.stat().st_size if self.log.exists() else 0
        super().spawn()

    def command(self) -> Sequence[str | Path]:
        """The command, as an operator has it."""
        return [Path(sys.executable).with_name("docsearch-api"), *self._words]

    def environment(self) -> dict[str, str]:
        """Its settings, each by its variable."""
        given = self._settings.model_dump(exclude_unset=True)
        fields = Settings.model_fields
        told = {str(fields[name].validation_alias): _text(value) for name, value in given.items()}
        return {**told, "DOCSEARCH_PORT": str(self.port), "PYTHONPATH": str(PROJECT)}

    def answers(self) -> bool:
        """Whether it is ready; one that has no port, whether it says so."""
        if self._words[0] == "worker":
            return b"Working" in self.log.read_bytes()[self._said_before :]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    @property
    def cpu(self) -> float:
        """CPU time that it has used, s."""
        assert self._process is not None
        user, system = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> tuple[float, float]:
        """Resident memory, now and at its highest, MB."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        now, most = (re.search(rf"{name}:\s+(\d+)", status) for name in ("VmRSS", "VmHWM"))
        assert now
        assert most
        return int(now[1]) / 1024, int(most[1]) / 1024


class Plant:
    """Everything, in a folder that goes with it.

    Args:
        tell: Is told what is being done.
        reached: How a service that runs is reached, as settings; by default as it says itself.
        settings: What its processes are told besides.
    """

    def __init__(self, tell: Callable[[str], None], reached: Reached | None = None, **settings: Any) -> None:
        self._more, self._reached = settings, reached or (lambda service: service.settings())
        self.folder = Path(tempfile.mkdtemp(prefix="docsearch-", dir="/tmp"))
        # PostgreSQL runs as a user of its own, who has to get there.
        self.folder.chmod(0o755)
        self._tell = tell
        self.opensearch = WarmOpenSearch(self.folder / "opensearch")
        self.postgresql = PostgreSQL(self.folder / "postgresql")
        self.redis, self.rabbitmq = Cache(self.folder / "redis"), RabbitMQ(self.folder / "rabbitmq")
        self._services: tuple[Service, ...] = (self.postgresql, self.redis, self.rabbitmq, self.opensearch)
        self._started: list[Server] = []
        self._drivers: set[subprocess.Popen[bytes]] = set()
        self.settings = load()
        self.key = ""
        self.api: Process
        self.worker: Process

    def start(self) -> None:
        """Starts it all, with a tenant and a key."""
        where: dict[str, Any] = {}
        for server in self._services:
            self._tell(f"starting {server.name}")
            self._started.append(server)
            server.start()
            where |= self._reached(server)
        told = {
            **SECRETS,
            "database_name": "docsearch",
            "pool_max": 20,
            "key_per_minute": UNLIMITED,
            "tenant_per_minute": UNLIMITED,
            "address": "127.0.0.1",
        }
        self.settings = load(**where, **(told | self._more))
        asyncio.run(self._prepare())
        self.key = self.tenant(TENANT)
        self.api = Process(self.folder / "api", ["serve"], self.settings)
        self.worker = Process(self.folder / "worker", ["worker"], self.settings)
        for process in (self.api, self.worker):
            self._started.append(process)
            process.start()

    async def _prepare(self) -> None:
        embedded = await asyncio.to_thread(Embedded.start, self.folder / "postgresql/data")
        await embedded.create(self.settings.database_name)
        await migrate(lambda: connect(self.settings, SUPERUSER))
        await upkeep.prepare(self.settings, tell=lambda _: None)

    def tenant(self, name: str, per_minute: int | None = None) -> str:
        """Makes a tenant, and gives a key to it.

        Args:
            name: Of the tenant.
            per_minute: Requests per minute of the key; by default the service's.
        """
        made = create_key(
            self.settings,
            name,
            new_tenant=True,
            scopes=("read", "write"),
            name="bench",
            rate_limit=per_minute,
            expires_at=None,
        )
        return asyncio.run(made)[0]

    def load(self, documents: Iterable[dict[str, object]]) -> None:
        """Writes documents, and returns when all of them are in the index.

        Raises:
            DeadError: They are not.
        """
        tasks = [self._ask("POST", "/v1/documents/bulk", chunk)["task_id"] for chunk in _chunks(documents)]
        end = time.monotonic() + INDEXED_SECONDS
        for task in tasks:
            while (state := self._ask("GET", f"/v1/tasks/{task}")["state"]) != "succeeded":
                if state == "failed" or time.monotonic() > end:
                    raise DeadError(f"documents were not indexed: the task is {state}")
                time.sleep(0.05)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/x-ndjson"}
        connection = http.client.HTTPConnection("127.0.0.1", self.api.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in (200, 202):
            raise DeadError(f"{method} {path} was answered {answer.status}: {said.decode()[:300]}")
        return dict(json.loads(said))

    def ended(self) -> list[Server]:
        """What was started and does not run any more."""
        return [one for one in self._started if not one.runs]

    def stop(self) -> None:
        """Stops it all, and deletes the folder."""
        for driver in [*self._drivers]:
            driver.kill()
        for server in self._started[::-1]:
            server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def drive(self, **more: Any) -> dict[str, Any]:
        """Has the driver send what is ordered, and says besides what the API used meanwhile."""
        orders = Orders(**{"port": self.api.port, "key": self.key, **more})
        before, began = self.api.cpu, time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "tests.bench.driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
        ) as driver:
            # Whoever stops the plant ends it, and with it whoever waits here in another thread.
            self._drivers.add(driver)
            try:
                said, errors = driver.communicate(json.dumps(asdict(orders)).encode())
            except BaseException:
                driver.kill()
                raise
            finally:
                self._drivers.discard(driver)
        if driver.returncode:
            raise DeadError(f"the driver has ended: {errors.decode()[-800:]}")
        found: dict[str, Any] = json.loads(said)
        return found | {
            "api_cpu": self.api.cpu - before,
            "api_mb": self.api.memory,
            "took": time.perf_counter() - began,
        }


@contextmanager
def running(tell: Callable[[str], None], reached: Reached | None = None, **settings: Any) -> Iterator[Plant]:
    """A plant that runs inside, and is gone afterwards, whatever happens."""
    plant = Plant(tell, reached, **settings)
    try:
        plant.start()
        yield plant
    finally:
        plant.stop()


def _chunks(documents: Iterable[dict[str, object]]) -> Iterator[bytes]:
    lines = (json.dumps({"document": one}).encode() for one in documents)
    while chunk := [*itertools.islice(lines, 500)]:
        yield b"\n".join(chunk)


def _text(value: Any) -> str:
    secret = getattr(value, "get_secret_value", None)
    if secret is not None:
        return str(secret())
    return str(value).lower() if isinstance(value, bool) else str(value)
