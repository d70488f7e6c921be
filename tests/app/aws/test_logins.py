"""Logins with real servers: a token or a password is made for each connection, and a changed one is found out."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from app.aws import logins, secrets
from app.aws.identity import Identity, identity
from app.aws.logins import broker_login, broker_refused, cache_login, rotated, with_secrets
from app.errors import SettingsError, UnavailableError
from app.index.opensearch import OpenSearch
from app.index.opensearch_client import connect as connect_search
from app.index.placement import SHARED, Place, layout_of
from app.redis_client import open_client
from app.settings import Settings, load
from app.store.database import Database, connect
from app.store.embedded import SUPERUSER
from components.elasticache_plan import USERS
from tests.app.services.servers import RedisCluster

pytestmark = pytest.mark.anyio

REGION = "us-east-1"
KEYS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "token" * 100)
ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:login-AbCdEf"
USER = "docsearch_login"


class Clock:
    """What botocore takes for the time."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 28, 5, 30)  # noqa: DTZ001 - as botocore has it

    def __call__(self, remove_tzinfo: bool = True) -> datetime:
        return self.now


class Manager:
    """A secret in Secrets Manager that somebody changes."""

    def __init__(self) -> None:
        self.asked, self.text = 0, ""
        self.former: str | None = None

    async def __call__(self, variable: str, arn: str, **_: Any) -> str:
        self.asked += 1
        return self.text

    async def previous(self, variable: str, arn: str) -> str | None:
        return self.former


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A time that stands still, so that a server can be told a token before it is made."""
    its = Clock()
    monkeypatch.setattr(botocore.auth, "get_current_datetime", its)
    return its


@pytest.fixture(autouse=True)
def who(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    """Who this process is."""
    its = Identity(REGION, find=lambda: KEYS)
    monkeypatch.setattr(logins, "identity", lambda region: its if region == REGION else identity(region))
    monkeypatch.setattr("app.index.opensearch_client.identity", lambda region, role_arn: its)
    rotated.cache_clear()
    yield its
    rotated.cache_clear()


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    its = Manager()
    one = secrets.RotatedLogin("X_ARN", ARN, reader=its)
    monkeypatch.setattr(logins, "rotated", lambda variable, arn: one)
    monkeypatch.setattr(secrets, "read", its)
    monkeypatch.setattr(secrets, "read_previous", its.previous)
    monkeypatch.setattr(secrets, "DOUBT_SECONDS", 0.0)
    return its


@pytest.fixture
async def admin(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """An administrator of a server that asks one user for a password."""
    connection = await connect(settings, SUPERUSER)
    hba = Path(await connection.fetchval("SHOW hba_file"))
    before = hba.read_text()
    # In the clear, as RDS takes its tokens.
    hba.write_text(f"local all {USER} password\n{before}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.execute(f"CREATE ROLE {USER} LOGIN IN ROLE docsearch_app")
    try:
        yield connection
    finally:
        hba.write_text(before)
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute(f"DROP OWNED BY {USER}")
        await connection.execute(f"DROP ROLE {USER}")
        await connection.close()


async def let_in(admin: asyncpg.Connection, password: str) -> None:
    quoted = await admin.fetchval("SELECT quote_literal($1)", password)
    await admin.execute(f"ALTER ROLE {USER} PASSWORD {quoted}")


async def opened_anew(database: Database) -> None:
    """A statement on a connection that was not there before."""
    await database._pool().expire_connections()
    async with database.find_key("x") as connection:
        assert await connection.fetchval("SELECT current_user") == USER


@pytest.mark.services
async def test_each_connection_to_postgresql_has_a_token_of_its_own(
    settings: Settings, admin: asyncpg.Connection, who: Identity, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    its = settings.model_copy(update={"database_login": "iam", "aws_region": REGION, "pool_min": 3})
    make = Identity.database_token

    async def token() -> str:
        # A folder with a socket cannot be signed for.
        return await make(who, "database", 5432, USER)

    async def counted(self: Identity, host: str, port: int, user: str) -> str:
        assert host == its.database_host
        made.append(await token())
        return made[-1]

    monkeypatch.setattr(Identity, "database_token", counted)
    first = await token()
    await let_in(admin, first)
    database = await Database.open(its, USER)
    try:
        assert made == [first] * 3
        clock.now = clock.now.replace(minute=45)
        second = await token()
        assert second != first
        await let_in(admin, second)
        async with database.find_key("x"):
            assert len(made) == 3, "a connection outlives its token"
        await opened_anew(database)
        assert made[3:] == [second]
        await let_in(admin, "what nobody has")
        with pytest.raises(UnavailableError, match="PostgreSQL does not answer") as refused:
            await opened_anew(database)
        assert second not in str(refused.value)
    finally:
        await database.close()


@pytest.mark.services
async def test_a_password_that_was_rotated_is_read_again_when_it_is_refused(
    settings: Settings, admin: asyncpg.Connection, manager: Manager
) -> None:
    its = settings.model_copy(update={"database_password_arn": ARN})
    manager.text = f'{{"username": "{USER}", "password": "first"}}'
    await let_in(admin, "first")
    database = await Database.open(its, USER)
    try:
        await opened_anew(database)
        assert manager.asked == 1
        await let_in(admin, "second")
        manager.text = manager.text.replace("first", "second")
        await opened_anew(database)
        assert manager.asked == 2
        await let_in(admin, "third")
        with pytest.raises(UnavailableError, match="PostgreSQL does not answer"):
            await opened_anew(database)
        manager.text = manager.text.replace("second", "third")
        await opened_anew(database)
    finally:
        await database.close()


@pytest.mark.services
async def test_a_process_that_is_refused_does_not_start_and_does_not_say_by_what(
    settings: Settings, admin: asyncpg.Connection, manager: Manager
) -> None:
    await let_in(admin, "right")
    manager.text = "hunter2"
    its = settings.model_copy(update={"database_password_arn": ARN})
    for opening in (Database.open(its, USER), connect(its, USER)):
        with pytest.raises(SettingsError, match=f"PostgreSQL refuses {USER}") as refused:
            await opening
        assert "hunter2" not in str(refused.value)


@pytest.mark.services
async def test_a_login_of_the_master_user_is_nobody_elses(
    settings: Settings, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def token(self: Identity, host: str, port: int, user: str) -> str:
        asked.append(user)
        return "token"

    manager.text = '{"username": "master", "password": "p"}'
    its = settings.model_copy(update={"database_password_arn": ARN, "aws_region": REGION})
    with pytest.raises(
        SettingsError, match="docsearch_index has no password: DATABASE_PASSWORD_ARN has the one of master"
    ):
        await Database.open(its, "docsearch_index")
    # Others log in with tokens beside it.
    monkeypatch.setattr(Identity, "database_token", token)
    database = await Database.open(its.model_copy(update={"database_login": "iam"}), "docsearch_index")
    await database.close()
    assert {*asked} == {"docsearch_index"}


@pytest.mark.services
async def test_redis_is_logged_in_to_with_a_token_for_each_connection(
    redis_cluster: RedisCluster, who: Identity, clock: Clock
) -> None:
    where = {**redis_cluster.settings(), "cache_user": "app-1", "cache_login": "iam", "aws_region": REGION}
    administrator = open_client(load(**redis_cluster.settings()))
    its = open_client(load(**where))
    assert administrator
    assert its

    async def admit(token: str) -> None:
        # What the platform lets the user do.
        (user,) = (one for one in USERS if one.key == "app")
        await administrator.execute_command("ACL SETUSER", "app-1", "reset", f">{token}", *user.access.split())

    try:
        await admit(await who.cache_token("docsearch", "app-1"))
        await its.set("k", "v")
        assert await its.get("k") == b"v"
        assert await its.execute_command("ACL WHOAMI", target_nodes="random") == "app-1"
        clock.now = clock.now.replace(minute=45)
        await admit(await who.cache_token("docsearch", "app-1"))
        await administrator.execute_command("CLIENT KILL", "USER", "app-1", target_nodes="all")
        assert await its.get("k") == b"v", "it logs in again with a new one"
    finally:
        await administrator.execute_command("ACL DELUSER", "app-1")
        await its.aclose()
        await administrator.aclose()


@pytest.mark.parametrize("missing", ["CACHE_NAME", "CACHE_USER", "AWS_REGION"])
def test_a_token_of_elasticache_needs_names(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    given = {"cache_host": "cache", "cache_name": "c", "cache_user": "u", "cache_login": "iam", "aws_region": REGION}
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        cache_login(load(**given | {missing.lower(): ""}))


@pytest.mark.services
async def test_requests_to_opensearch_are_signed_as_they_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[tuple[str, str]] = []

    async def judge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, target, _ = first.split(" ")
        names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert {"host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"} <= {*names}
        moment = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - as botocore has it
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        given = {name: headers[name] for name in names if name not in ("host", "x-amz-date", "x-amz-security-token")}
        again = AWSRequest(method, f"http://{headers['host']}{target}", data=body, headers=given)
        SigV4Auth(KEYS, "es", REGION).add_auth(again)
        arrived.append((headers["authorization"], again.headers["Authorization"]))
        answer = b"{}"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + (b"" if method == "HEAD" else answer))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(judge, "127.0.0.1", 0)
    where = {"opensearch_host": "127.0.0.1", "opensearch_port": server.sockets[0].getsockname()[1]}
    client = connect_search(load(**where, opensearch_tls=False, opensearch_login="iam", aws_region=REGION))
    body = {"query": {"match": {"title": "Grüner Tee"}}}
    await client.search(index="docsearch-small,docsearch-t*", body=body, params={"_source": "title,tags"})
    await client.indices.exists_alias(name="docsearch-small")
    await client.delete(index="docsearch-small", id="a/b c")
    await client.close()
    server.close()
    await server.wait_closed()
    assert len(arrived) == 3
    assert all(given == again for given, again in arrived)


@pytest.mark.services
async def test_an_error_of_a_signed_request_is_read_as_any_other() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        said = b'{"error":{"type":"resource_already_exists_exception","reason":"index [i] is there"},"status":400}'
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(said)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    where = {"opensearch_host": "127.0.0.1", "opensearch_port": server.sockets[0].getsockname()[1]}
    client = connect_search(load(**where, opensearch_tls=False, opensearch_login="iam", aws_region=REGION))
    made = await OpenSearch(client).make_index("docsearch-small-2-000001", layout_of(Place(), SHARED))
    await client.close()
    server.close()
    await server.wait_closed()
    assert made is False


async def test_the_secrets_of_the_service_are_read_from_where_they_are(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.text = "s" * 40
    its = await with_secrets(load(cursor_key_arn=ARN, api_key_pepper_arn=ARN, tenant_token_key="t" * 40))
    assert [its.secret(name)[:1] for name in ("cursor_key", "api_key_pepper", "tenant_token_key")] == [b"s", b"s", b"t"]
    assert "ssss" not in repr(its)
    manager.text = "short"
    with pytest.raises(SettingsError, match="CURSOR_KEY has 5 characters"):
        (await with_secrets(load(cursor_key_arn=ARN))).secret("cursor_key")
    with pytest.raises(SettingsError, match="CURSOR_KEY and CURSOR_KEY_ARN are both set"):
        await with_secrets(load(cursor_key="c" * 40, cursor_key_arn=ARN))


@pytest.mark.parametrize(
    ("former", "given", "found"),
    [
        (None, {}, ""),
        ("", {}, ""),
        ("s" * 40 + "\n", {}, ""),
        ("changeme", {}, ""),
        ("p" * 40 + " " + "q" * 40, {}, ""),
        ("p" * 40 + "\n", {}, "p"),
        ("p" * 40, {"api_key_pepper_previous": "o" * 40 + " " + "n" * 40}, "pon"),
        (None, {"api_key_pepper_previous": "o" * 40}, "o"),
    ],
)
async def test_what_was_signed_before_a_secret_changed_is_opened_by_the_one_before(
    former: str | None, given: dict[str, str], found: str, manager: Manager
) -> None:
    manager.text, manager.former = "s" * 40, former
    its = await with_secrets(load(api_key_pepper_arn=ARN, **given))
    assert its.secrets("api_key_pepper") == tuple(letter.encode() * 40 for letter in f"s{found}")
    assert "pppp" not in repr(its)


async def test_a_login_at_the_broker_is_a_secret_with_its_user(manager: Manager) -> None:
    manager.text = '{"username": "docsearch", "password": "first"}'
    settings = load(broker_host="b", broker_password_arn=ARN)
    assert (await broker_login(settings)).user == "docsearch"
    manager.text = manager.text.replace("first", "second")
    assert (await broker_login(settings)).password == "first"
    broker_refused(settings)
    assert (await broker_login(settings)).password == "second"
    assert (await broker_login(load(broker_user="me", broker_password="p"))).user == "me"
