"""The service's parts over a real PostgreSQL: one embedded server, and a database of its own for each test."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from app.document import Document
from app.errors import ApiError
from app.index.full_text import FullText
from app.search.model import NoCache
from app.settings import Settings, load
from app.store import documents, tenants
from app.store.audit import Origin, record
from app.store.database import Database, connect
from app.store.documents import Operation, Stored
from app.store.embedded import SUPERUSER, Embedded
from app.store.outbox import OutboxQueue
from app.store.schema import migrate
from app.tenancy import Scope, internal
from app.worker import Worker

_NUMBERS = count(1)
TEMPLATE = "template_docsearch"


@contextmanager
def running() -> Iterator[Embedded]:
    """A server of its own."""
    # Not below pytest's folder: PostgreSQL runs as a user of its own, who has to get there.
    folder = Path(tempfile.mkdtemp(prefix="docsearch-test-"))
    its = Embedded.start(folder / "postgres")
    try:
        yield its
    finally:
        its.stop()
        shutil.rmtree(folder)


async def prepare(server: Embedded) -> None:
    """Puts a migrated database there, to copy."""
    await server.create(TEMPLATE)
    admin = await asyncpg.connect(host=server.host, port=server.port, user=SUPERUSER, database="postgres")
    # These databases outlive no crash of the machine, and need not: a kill of a process they do.
    await admin.execute("ALTER SYSTEM SET fsync = off")
    await admin.execute("SELECT pg_reload_conf()")
    its = settings_of(server, TEMPLATE)
    await migrate(lambda: connect(its, SUPERUSER))
    # Nobody else may be in a database that is copied, autovacuum included.
    await admin.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
    await admin.close()


@pytest.fixture(scope="session")
def embedded() -> Iterator[Embedded]:
    with running() as its:
        yield its


@pytest.fixture(scope="session")
def migrated(embedded: Embedded) -> Embedded:
    """The server, with a migrated database to copy."""
    asyncio.run(prepare(embedded))
    return embedded


def settings_of(server: Embedded, database: str, **more: object) -> Settings:
    where = {"database_host": server.host, "database_port": server.port, "database_name": database}
    return load(**where, pool_min=0, pool_max=8, **SECRETS, **more)


#: What the tests sign and hash with.
SECRETS = {name: name * 4 for name in ("cursor_key", "api_key_pepper", "tenant_token_key")}


@asynccontextmanager
async def copy_of(server: Embedded, template: str | None = TEMPLATE) -> AsyncIterator[Settings]:
    """A database that nobody else has."""
    name = f"test_{next(_NUMBERS)}"
    admin = await asyncpg.connect(host=server.host, port=server.port, user=SUPERUSER, database="postgres")
    # A copy of files is faster than one through the log, for a database this small.
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'} STRATEGY file_copy")
    try:
        yield settings_of(server, name)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def settings(migrated: Embedded) -> AsyncIterator[Settings]:
    """Where a migrated database is that nobody else has."""
    async with copy_of(migrated) as its:
        yield its


@dataclass
class World:
    """The service's parts over one database, without HTTP."""

    settings: Settings
    app: Database
    work: Database
    index: FullText
    queue: OutboxQueue
    worker: Worker

    async def tenant(self, name: str) -> Scope:
        admin = await connect(self.settings, SUPERUSER)
        try:
            return internal(await tenants.create(admin, name), "test")
        finally:
            await admin.close()

    async def write(self, scope: Scope, *operations: Operation, kind: str = "write") -> list[Stored | ApiError]:
        origin = Origin("192.0.2.1", "test", "c")
        async with self.app.write(scope) as connection:
            _, results = await documents.apply(connection, scope, origin, operations, kind=kind)
        return results

    async def put(self, scope: Scope, document: Document, document_id: UUID | None = None) -> Stored:
        (stored,) = await self.write(scope, Operation(kind="put", document_id=document_id, document=document))
        assert isinstance(stored, Stored), stored
        return stored

    async def index_all(self) -> int:
        """Works until nothing waits."""
        total = 0
        while worked := await self.worker.step():
            total += worked
        return total

    async def admin(self, statement: str, *values: object) -> list[asyncpg.Record]:
        connection = await connect(self.settings, SUPERUSER)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()


@asynccontextmanager
async def world_of(settings: Settings) -> AsyncIterator[World]:
    app = await Database.open(settings, "docsearch_document")
    work = await Database.open(settings, "docsearch_index")
    index = FullText(app, work)
    queue = OutboxQueue(work, batch=settings.worker_batch, attempts=settings.worker_attempts)
    try:
        yield World(settings, app, work, index, queue, Worker(work, queue, (index,), NoCache()))
    finally:
        await app.close()
        await work.close()


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    async with world_of(settings) as its:
        yield its


async def fill_every_table(world: World, scope: Scope, word: str) -> None:
    """Rows of a tenant in every table, which hold a word wherever they hold text."""
    for number in range(6):
        document = Document(
            title=f"{word} tea {number}", content=f"{word} coffee", author=word, tags=(word,), metadata={"word": word}
        )
        stored = await world.put(scope, document)
        await world.put(scope, Document(title=f"{word} changed {number}", author=word), stored.document_id)
    await world.index_all()
    await world.put(scope, Document(title=f"{word} waits"))
    tenant = scope.tenant_id
    await world.admin("UPDATE outbox SET available_at = now() + interval '1 day' WHERE tenant_id = $1", tenant)
    await world.admin(
        "INSERT INTO api_keys (tenant_id, prefix, key_hash, name, scopes) VALUES ($1, $2, $2, $3, '{read}')",
        tenant,
        f"key of {word}",
        word,
    )
    await world.admin("INSERT INTO synonyms VALUES ($1, $2, ARRAY[$2])", tenant, word)
    await world.admin("INSERT INTO popular_queries VALUES ($1, '', to_jsonb($2::text), 1, 0, now())", tenant, word)
    await world.admin("INSERT INTO erasures (tenant_id, field, subject_hash) VALUES ($1, $2, '')", tenant, word)
    await world.admin(
        "INSERT INTO dead_letters SELECT outbox_id, tenant_id, document_id, version, task_id, 1, $2 FROM outbox "
        "WHERE tenant_id = $1",
        tenant,
        word,
    )
    await world.admin(
        "INSERT INTO placements (tenant_id, new_index) VALUES ($1, $2) "
        "ON CONFLICT (tenant_id) DO UPDATE SET new_index = excluded.new_index",
        tenant,
        word,
    )
    async with world.app.write(scope) as connection:
        await record(connection, scope, Origin(user_agent=word), action="x", resource=word)
