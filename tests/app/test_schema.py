"""Migrations: once, twice, by two at once, and by an owner who is no superuser."""

import asyncio
import re

import asyncpg
import pytest

from app.errors import SettingsError, UnavailableError
from app.runtime import check_schema
from app.store.database import Database, connect
from app.store.embedded import SUPERUSER, Embedded
from app.store.schema import MIGRATIONS, current, migrate, newest
from app.tenancy import internal
from tests.app.world import copy_of, settings_of

pytestmark = [pytest.mark.services, pytest.mark.anyio]

REVISIONS = sorted(path.name[1:5] for path in (MIGRATIONS / "versions").glob("m*.py"))


async def test_migrating_twice_and_by_three_at_once_applies_everything_once(embedded: Embedded) -> None:
    async with copy_of(embedded, None) as its:
        applied = await asyncio.gather(*(migrate(lambda: connect(its, SUPERUSER)) for _ in range(3)))
        assert sorted(map(len, applied)) == [0, 0, len(REVISIONS)]
        assert sorted(revision for found in applied for revision in found) == REVISIONS
        assert newest() == REVISIONS[-1]
        assert await migrate(lambda: connect(its, SUPERUSER)) == []
        connection = await connect(its, SUPERUSER)
        assert await current(connection)
        await connection.execute("UPDATE alembic_version SET version_num = '0001'")
        assert not await current(connection)
        await connection.close()


async def test_a_later_schema_is_left_alone_and_served_with(migrated: Embedded) -> None:
    """As while a new version is rolled out, and after it was taken back."""
    async with copy_of(migrated) as its:
        connection = await connect(its, SUPERUSER)
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        assert await migrate(lambda: connect(its, SUPERUSER)) == []
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"
        await connection.close()
        database = await Database.open(its, "docsearch_search")
        await check_schema(database)
        await database.close()


async def test_a_database_without_the_schema_is_not_current(embedded: Embedded) -> None:
    async with copy_of(embedded, None) as its:
        connection = await connect(its, SUPERUSER)
        assert not await current(connection)
        await connection.close()


async def test_an_owner_who_is_no_superuser_migrates(migrated: Embedded) -> None:
    """As on RDS: the owner may make roles, and row-level security is forced on it, too."""
    async with copy_of(migrated, None) as its:
        admin = await connect(its, SUPERUSER)
        await admin.execute(
            "DO $$ BEGIN CREATE ROLE master LOGIN CREATEROLE; EXCEPTION WHEN duplicate_object THEN END $$"
        )
        await admin.execute("GRANT docsearch_app, docsearch_worker, docsearch_admin TO master WITH ADMIN OPTION")
        await admin.execute(f"ALTER DATABASE {its.database_name} OWNER TO master")
        assert await migrate(lambda: connect(its, "master")) == REVISIONS
        owner = await connect(its, "master")
        tenant_id = await owner.fetchval(
            "INSERT INTO tenants (tenant_id, name) VALUES (gen_random_uuid(), 'a') RETURNING tenant_id"
        )
        await owner.close()
        database = await Database.open(its, "docsearch_document")
        async with database.read(internal(tenant_id, "test")) as connection:
            assert await connection.fetchval("SELECT name FROM tenants") == "a"
            assert await connection.fetch("SELECT * FROM matching('x'::tsquery)") == []
        await database.close()
        await admin.close()


async def test_documents_have_ten_partitions_and_the_indexes_of_the_requirement(migrated: Embedded) -> None:
    async with copy_of(migrated) as its:
        connection = await connect(its, SUPERUSER)
        partitions = await connection.fetch(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'documents'::regclass"
        )
        assert sorted(row[0] for row in partitions) == sorted(f"documents_p{number}" for number in range(10))
        rows = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('documents', 'api_keys')"
        )
        found = {row[0]: re.sub(r"^.* USING btree ", "", row[1]) for row in rows}
        assert (
            found
            | {
                "idx_docs_tenant_created": "(tenant_id, created_at DESC)",
                "idx_docs_tenant_status": "(tenant_id, status)",
                "idx_docs_hash": "(content_hash)",
                "idx_docs_active": "(tenant_id, created_at) WHERE (status = 'INDEXED'::text)",
                "idx_docs_covering": "(tenant_id, status, created_at) INCLUDE (document_id, title)",
                "idx_api_keys_hash": "(key_hash)",
                "idx_api_keys_tenant": "(tenant_id)",
            }
            == found
        )
        await connection.close()


async def test_a_database_that_is_not_there_is_said_so(embedded: Embedded) -> None:
    with pytest.raises(SettingsError, match="refuses postgres"):
        await connect(settings_of(embedded, "nowhere"), SUPERUSER)
    nobody = settings_of(embedded, "nowhere").model_copy(update={"database_host": "/nowhere"})
    with pytest.raises(UnavailableError, match="PostgreSQL does not answer"):
        await connect(nobody, SUPERUSER)
    with pytest.raises(UnavailableError):
        await Database.open(nobody, "docsearch_search")


async def test_the_same_key_opens_no_second_row(migrated: Embedded) -> None:
    async with copy_of(migrated) as its:
        connection = await connect(its, SUPERUSER)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(
                """
                INSERT INTO tenants VALUES (gen_random_uuid(), 'a');
                INSERT INTO api_keys (tenant_id, prefix, key_hash, scopes)
                SELECT tenant_id, prefix, 'same', '{read}' FROM tenants, (VALUES ('x'), ('y')) AS keys (prefix)
                """
            )
        await connection.close()
