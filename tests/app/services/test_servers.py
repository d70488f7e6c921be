"""The servers of the tests start, are killed, and come back with what they knew."""

import asyncio
import shutil
import socket
from pathlib import Path

import asyncpg
import httpx
import pytest

from infra.errors import EngineError
from tests.app.services import machine
from tests.app.services.machine import MissingError
from tests.app.services.server import DeadError, Server, free_port
from tests.app.services.servers import OpenSearch, PostgreSQL, RabbitMQ, Redis


def ask_redis(redis: Redis, command: str) -> str:
    with socket.create_connection(("127.0.0.1", redis.port), 5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(1024).decode()


@pytest.mark.services
def test_redis_knows_what_it_acknowledged_after_a_kill(redis: Redis) -> None:
    assert ask_redis(redis, "SET kept 1") == "+OK\r\n"
    redis.kill()
    assert not redis.answers()
    redis.start()
    assert ask_redis(redis, "GET kept") == "$1\r\n1\r\n"


@pytest.mark.services
def test_rabbitmq_comes_back_after_a_kill(rabbitmq: RabbitMQ) -> None:
    assert rabbitmq.answers()
    rabbitmq.kill()
    assert not rabbitmq.answers()
    rabbitmq.start()


@pytest.mark.services
def test_opensearch_knows_what_it_acknowledged_after_a_kill(opensearch: OpenSearch) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{opensearch.port}", timeout=30) as client:
        assert client.put("/kept/_doc/1", json={"a": 1}).status_code == 201
        opensearch.kill()
        assert not opensearch.answers()
        opensearch.start()
        assert client.get("/kept/_doc/1").json()["_source"] == {"a": 1}
        client.delete("/kept")


@pytest.mark.services
@pytest.mark.anyio
async def test_postgresql_knows_what_it_acknowledged_after_a_kill(postgresql: PostgreSQL) -> None:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(host=postgresql.host, port=postgresql.port, user="postgres", database="postgres")

    connection = await connect()
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (a int); INSERT INTO kept VALUES (1)")
    postgresql.kill()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.execute("SELECT 1")
    postgresql.spawn()
    await asyncio.to_thread(postgresql.wait)
    connection = await connect()
    assert await connection.fetchval("SELECT count(*) FROM kept") == 1
    await connection.execute("DROP TABLE kept")
    await connection.close()


class Fails(Server):
    """A server that says why, and ends."""

    name = "Fails"

    def command(self) -> list[str]:
        return ["sh", "-c", "echo the disk is full; exit 1"]

    def answers(self) -> bool:
        return False


class Hangs(Fails):
    """A server that never answers."""

    name = "Hangs"

    def command(self) -> list[str]:
        return ["sleep", "60"]


@pytest.mark.services
def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    server = Fails(tmp_path)
    with pytest.raises(DeadError, match="Fails has ended: the disk is full"):
        server.start()


@pytest.mark.services
def test_a_server_that_hangs_is_given_up_and_ended(tmp_path: Path) -> None:
    server = Hangs(tmp_path)
    server.spawn()
    with pytest.raises(DeadError, match=r"Hangs does not answer after 0\.2 s: it has said nothing"):
        server.wait(0.2)
    server.stop()
    assert not server.runs


@pytest.mark.services
def test_a_free_port_is_within_bounds() -> None:
    assert all(9201 <= free_port(9201, 9300) < 9300 for _ in range(5))


def absent(name: str, **_: object) -> str | None:
    return "/usr/bin/apt-get" if name == "apt-get" else None


def test_without_root_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", absent)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(
        MissingError, match=r"rabbitmq-server is missing, and only root can install it; .*apt-get install"
    ):
        machine.command("rabbitmq-server")


def test_without_apt_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(MissingError, match="redis-server is missing, and there is no apt-get"):
        machine.command("redis-server")


def test_without_a_network_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise EngineError("installing redis-server failed", why="could not resolve the host")

    monkeypatch.setattr(shutil, "which", absent)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(machine, "run_watched", unreachable)
    with pytest.raises(MissingError, match=r"redis-server is missing and cannot be installed: .*could not resolve"):
        machine.command("redis-server")


def test_opensearch_that_cannot_be_fetched_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise EngineError("fetching OpenSearch for the tests failed", why="no route to host")

    monkeypatch.setenv("DOCSEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "run_watched", unreachable)
    with pytest.raises(MissingError, match=r"OpenSearch is missing and cannot be fetched: .*no route to host"):
        machine.opensearch_jars()
    assert not any(tmp_path.rglob("*.jar"))


def test_services_may_not_start_while_packages_are_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(machine, "POLICY", policy)
    with machine._services_stay_down():
        assert policy.stat().st_mode & 0o111
        assert policy.read_text().endswith("exit 101\n")
    assert not policy.exists()
