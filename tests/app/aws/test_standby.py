"""A database as RDS has it: its owner is no superuser, and a replica follows it by streaming.

What may be late is read from the replica, what decides is not; a replica that dies is missed by nobody; and a region
whose only database is a replica answers reads.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from app import administration, upkeep
from app.errors import SettingsError
from app.http.app import application
from app.runtime import open_service
from app.settings import Settings, load
from app.store import database as database_
from app.store import schema, tenants
from app.store.database import Database, connect
from app.store.embedded import SUPERUSER
from app.store.schema import migrate
from app.tenancy import Scope, internal
from components.rds_plan import MASTER_USER
from tests.app.services.servers import PostgreSQL, Replica
from tests.app.world import SECRETS

pytestmark = [pytest.mark.services, pytest.mark.anyio]


@dataclass
class Pair:
    """A primary and its replica."""

    primary: PostgreSQL
    replica: Replica

    def settings(self, **more: object) -> Settings:
        where = {**self.primary.settings(), "database_readers": self.replica.host, "pool_min": 0, "pool_max": 4}
        return load(**{**where, **SECRETS, **more})

    async def caught_up(self) -> None:
        """Returns when the replica has all that the primary has."""
        connection = await connect(self.settings(), SUPERUSER)
        written = await connection.fetchval("SELECT pg_current_wal_lsn()::text")
        await connection.close()
        follower = await connect(self.settings(), SUPERUSER, host=self.replica.host)
        end = time.monotonic() + 60
        while not await follower.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written):
            assert time.monotonic() < end, "the replica does not follow"
            await asyncio.sleep(0.02)
        await follower.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    folder = Path(tempfile.mkdtemp(prefix="docsearch-", dir="/tmp"))
    folder.chmod(0o755)
    primary = PostgreSQL(folder / "primary")
    primary.start()
    asyncio.run(_as_rds_has_it(primary))
    replica = Replica(folder / "replica", primary)
    replica.start()
    try:
        yield Pair(primary, replica)
    finally:
        replica.stop()
        primary.stop()
        shutil.rmtree(folder)


async def _as_rds_has_it(primary: PostgreSQL) -> None:
    """The master user of RDS may make roles and databases, and gives its own role for tokens away; it is no superuser.

    RDS user guide, "Understanding the rds_superuser role".
    """
    its = load(**primary.settings(), **SECRETS)
    admin = await asyncpg.connect(host=primary.host, port=primary.port, user=SUPERUSER, database="postgres")
    await admin.execute(f"CREATE ROLE {MASTER_USER} LOGIN CREATEROLE CREATEDB NOSUPERUSER")
    await admin.execute("CREATE ROLE rds_iam NOLOGIN")
    await admin.execute(f"GRANT rds_iam TO {MASTER_USER} WITH ADMIN OPTION")
    await admin.execute(f"CREATE DATABASE docsearch OWNER {MASTER_USER}")
    await admin.close()
    assert await migrate(lambda: connect(its, MASTER_USER))
    assert await migrate(lambda: connect(its, MASTER_USER)) == []


async def test_the_master_user_of_rds_migrates_and_makes_tenants_and_keys(pair: Pair) -> None:
    its = pair.settings(database_user=MASTER_USER)
    key, made = await administration.create_key(
        its, "first", new_tenant=True, scopes=("read",), name="", rate_limit=None, expires_at=None
    )
    assert [one.prefix for one in await administration.list_keys(its, "first")] == [made.prefix]
    assert key.startswith("dsk_")
    connection = await connect(its, SUPERUSER)
    granted = await connection.fetch(
        "SELECT member::regrole::text AS login FROM pg_auth_members WHERE roleid = 'rds_iam'::regrole"
    )
    assert {row["login"] for row in granted} >= {"docsearch_search", "docsearch_document", "docsearch_index"}
    await connection.close()


@asynccontextmanager
async def reading(pair: Pair, **more: object) -> AsyncIterator[tuple[Database, Scope]]:
    """Pools that have a replica, and a tenant."""
    its = pair.settings(**more)
    owner = await connect(its, SUPERUSER)
    try:
        every = await tenants.every(owner)
        tenant_id = every["read"] if "read" in every else await tenants.create(owner, "read")
    finally:
        await owner.close()
    await pair.caught_up()
    database = await Database.open(its, "docsearch_document")
    try:
        yield database, internal(tenant_id, "test")
    finally:
        await database.close()


async def where(database: Database, scope: Scope, *, replica: bool) -> str:
    async with database.read(scope, replica=replica) as connection:
        return "replica" if await connection.fetchval("SELECT pg_is_in_recovery()") else "primary"


async def test_what_may_be_late_is_read_from_the_replica_and_nothing_else(pair: Pair) -> None:
    async with reading(pair) as (database, scope):
        assert [await where(database, scope, replica=True) for _ in range(3)] == ["replica"] * 3
        assert await where(database, scope, replica=False) == "primary"
        # Whose key it is, and whether a token's key still opens.
        async with database.find_key("x") as connection:
            assert not await connection.fetchval("SELECT pg_is_in_recovery()")
        assert (await database.health()).detail["replicas"] == 1


async def test_a_replica_that_dies_is_missed_by_nobody_and_used_again_when_it_is_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_, "AWAY_SECONDS", 0.5)
    async with reading(pair) as (database, scope):
        assert await where(database, scope, replica=True) == "replica"
        pair.replica.kill()
        answers = await asyncio.gather(*(where(database, scope, replica=True) for _ in range(20)))
        assert {*answers} == {"primary"}
        assert (await database.health()).detail["replicas"] == 0
        pair.replica.spawn()
        await asyncio.to_thread(pair.replica.wait)
        await asyncio.sleep(0.6)
        assert await where(database, scope, replica=True) == "replica"


async def test_a_process_starts_without_its_replica_and_finds_it_later(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_, "AWAY_SECONDS", 0.2)
    pair.replica.kill()
    its = pair.settings(replica_lag_seconds=1.8)
    database = await Database.open(its, "docsearch_document")
    try:
        scope = internal(UUID(int=1), "test")
        assert await where(database, scope, replica=True) == "primary"
        pair.replica.spawn()
        await asyncio.to_thread(pair.replica.wait)
        await reads_go_to("replica", database, scope)
    finally:
        await database.close()


async def test_a_replica_that_is_too_far_behind_is_not_read_from_until_it_has_caught_up(pair: Pair) -> None:
    async with reading(pair, replica_lag_seconds=0.6) as (database, scope):
        # Nobody writes: what is old is not behind.
        await asyncio.sleep(1.0)
        assert await where(database, scope, replica=True) == "replica"
        follower = await connect(pair.settings(), SUPERUSER, host=pair.replica.host)
        leader = await connect(pair.settings(), SUPERUSER)
        try:
            await follower.execute("SELECT pg_wal_replay_pause()")
            await leader.execute("CREATE TABLE later (x int)")
            await reads_go_to("primary", database, scope)
            detail = (await database.health()).detail
            assert detail["replicas"] == 0
            assert isinstance(detail["replica_lag_seconds"], float)
            (lag,) = database.lags().values()
            assert lag > 0.6
            # A process that starts now has never seen it whole.
            late = await Database.open(pair.settings(), "docsearch_document")
            assert await where(late, scope, replica=True) == "primary"
            assert (await late.health()).detail["replica_lag_seconds"] is None
            await late.close()
            await follower.execute("SELECT pg_wal_replay_resume()")
            await reads_go_to("replica", database, scope)
            assert (await database.health()).detail["replicas"] == 1
        finally:
            await follower.execute("SELECT pg_wal_replay_resume()")
            await leader.execute("DROP TABLE IF EXISTS later")
            await follower.close()
            await leader.close()


async def reads_go_to(server: str, database: Database, scope: Scope) -> None:
    end = time.monotonic() + 60
    while await where(database, scope, replica=True) != server:
        assert time.monotonic() < end, f"reads do not go to the {server}"
        await asyncio.sleep(0.05)


async def test_a_replica_that_says_nothing_is_left_alone_within_a_second(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(database_, "REPLICA_SECONDS", 0.2)
    with tempfile.TemporaryDirectory(prefix="docsearch-", dir="/tmp") as folder:
        server = await asyncio.start_unix_server(silent, f"{folder}/.s.PGSQL.{pair.primary.port}")
        async with reading(pair, database_readers=folder) as (database, scope):
            for _ in range(3):
                assert await where(database, scope, replica=True) == "primary"
            assert (await database.health()).detail["replicas"] == 0
        server.close()


async def test_a_region_that_follows_waits_for_the_schema_of_its_primary_and_writes_none(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = pair.settings(database_host=pair.replica.host, database_readers="", standby_of="https://write.example.com")
    assert await upkeep.follow(away, tell=print) == []
    monkeypatch.setattr(schema, "newest", lambda: "9999")
    told = r"does not have the schema of this version: .* Bring the primary region up"
    with pytest.raises(SettingsError, match=told):
        await upkeep.follow(away, tell=print)


async def test_a_region_whose_database_is_a_replica_answers_reads_and_sends_writes_to_the_primary(pair: Pair) -> None:
    at_home = pair.settings()
    key, _ = await administration.create_key(
        at_home, "away", new_tenant=True, scopes=("read", "write"), name="", rate_limit=None, expires_at=None
    )
    lines = [b'{"document": {"title": "Green tea"}}']
    assert await administration.load(at_home, "away", lines, new_tenant=False, tell=print) == (1, 0)
    await pair.caught_up()
    away = pair.settings(database_host=pair.replica.host, standby_of="https://write.example.com")
    async with open_service(away, with_worker=False) as (service, _):

        async def backend() -> int:
            async with service.database.find_key("") as connection:
                return int(await connection.fetchval("SELECT pg_backend_pid()"))

        before = await backend()
        for _ in range(10):
            service.keys.known.forget()
            await service.keys.authenticate(key)
        assert await backend() == before, "a look-up costs no connection"
        transport = httpx.ASGITransport(app=application(service), client=("192.0.2.7", 1234))
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://dr.example.com", headers=headers) as http:
            assert (await http.get("/health/ready")).json() == {"status": "UP"}
            assert f'db_replica_lag_seconds{{replica="{pair.replica.host}"}}' in (await http.get("/metrics")).text
            found = await http.post("/v1/search", json={"q": "green"})
            assert (found.status_code, found.json()["total"]) == (200, 1), found.text
            document = found.json()["hits"][0]["document_id"]
            assert (await http.get(f"/v1/documents/{document}")).json()["title"] == "Green tea"
            for method, path in (("POST", "/v1/documents"), ("PUT", f"/v1/documents/{document}")):
                answer = await http.request(method, path, json={"title": "x"})
                assert (answer.status_code, answer.json()["code"]) == (307, "standby")
                assert answer.headers["location"] == f"https://write.example.com{path}"
