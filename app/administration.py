"""What an operator does by hand, as the owner of the schema: keys, loading, and the index made again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import asyncpg

from app import sample as sample_
from app.access import keys
from app.access.keys import ApiKey, Keys
from app.aws.logins import with_secrets
from app.document import check
from app.errors import ApiError
from app.http.documents import read_line
from app.keyring import Keyring
from app.process import owner
from app.runtime import open_worker
from app.settings import Settings
from app.store import audit, documents, tenants
from app.store import database as database_
from app.store.audit import Origin
from app.store.database import Database
from app.store.documents import Operation
from app.tenancy import Scope, internal

ACTOR: Final = "operator"

BATCH: Final = 500
"""Documents of a transaction."""


async def connect(settings: Settings) -> asyncpg.Connection:
    """A connection as the owner of the schema."""
    return await database_.connect(settings, owner(settings))


async def schedule_retention(settings: Settings) -> bool:
    """Has pg_cron delete old documents, and says whether it does; otherwise the worker does."""
    connection = await connect(settings)
    try:
        return bool(await connection.fetchval("SELECT schedule_retention()"))
    finally:
        await connection.close()


async def create_key(
    settings: Settings,
    tenant: str,
    *,
    new_tenant: bool,
    scopes: Sequence[str],
    name: str,
    rate_limit: int | None,
    expires_at: datetime | None,
) -> tuple[str, ApiKey]:
    """Makes a key, and the tenant if it is to be made."""
    settings = await with_secrets(settings)
    async with as_owner(settings, tenant, new_tenant=new_tenant) as (connection, scope, pools):
        # Used by nobody before this process is gone: it has not to wait until the pepper of today is known everywhere.
        peppers = Keyring(settings.secrets("api_key_pepper"), settle_seconds=0)
        made = await Keys(pools, peppers).create(
            connection, scope.tenant_id, scopes=scopes, name=name, rate_limit=rate_limit, expires_at=expires_at
        )
        detail = {"scopes": made[1].scopes}
        resource = f"key/{made[1].prefix}"
        await audit.record(connection, scope, Origin(), action="create_key", resource=resource, detail=detail)
        return made


async def list_keys(settings: Settings, tenant: str) -> list[ApiKey]:
    """A tenant's keys."""
    async with as_owner(settings, tenant) as (connection, scope, _):
        return await keys.every(connection, scope.tenant_id)


async def revoke_key(settings: Settings, tenant: str, prefix: str) -> ApiKey:
    """Ends a key."""
    async with as_owner(settings, tenant) as (connection, scope, _):
        gone = await keys.revoke(connection, scope.tenant_id, prefix)
        await audit.record(connection, scope, Origin(), action="revoke_key", resource=f"key/{gone.prefix}")
        return gone


async def suspend(settings: Settings, tenant: str, *, suspended: bool) -> None:
    """Ends or resumes answering a tenant."""
    async with as_owner(settings, tenant) as (connection, scope, _):
        await tenants.suspend(connection, scope.tenant_id, suspended=suspended)
        action = "suspend_tenant" if suspended else "resume_tenant"
        await audit.record(connection, scope, Origin(), action=action, resource=f"tenant/{tenant}")


async def limit(settings: Settings, tenant: str, per_minute: int | None) -> None:
    """Sets a tenant's limit, requests per minute; None for the service's."""
    async with as_owner(settings, tenant) as (connection, scope, _):
        await tenants.limit(connection, scope.tenant_id, per_minute)
        detail = {"per_minute": per_minute}
        resource = f"tenant/{tenant}"
        await audit.record(connection, scope, Origin(), action="limit_tenant", resource=resource, detail=detail)


async def retain(settings: Settings, tenant: str, years: int) -> None:
    """Sets how long a tenant's documents are kept, years."""
    async with as_owner(settings, tenant) as (connection, scope, _):
        await tenants.retain(connection, scope.tenant_id, years)
        detail = {"years": years}
        resource = f"tenant/{tenant}"
        await audit.record(connection, scope, Origin(), action="retain_documents", resource=resource, detail=detail)


async def load(
    settings: Settings, tenant: str, lines: Iterable[bytes], *, new_tenant: bool, tell: Callable[[str], None]
) -> tuple[int, int]:
    """Writes documents from lines of a bulk request, and brings them into the index.

    Returns:
        How many lines were done, and how many were not.
    """
    done = failed = 0
    async with as_owner(settings, tenant, new_tenant=new_tenant) as (_, scope, pools):
        numbered = enumerate(lines, 1)
        while batch := [*islice(numbered, BATCH)]:
            operations: dict[int, Operation] = {}
            for number, line in batch:
                if not line.strip():
                    continue
                try:
                    operations[number] = read_line(line, settings.max_document_bytes)
                except ApiError as error:
                    failed += 1
                    tell(f"line {number}: {error}")
            for number, result in zip(operations, await _write(pools, scope, [*operations.values()]), strict=True):
                if isinstance(result, ApiError):
                    failed += 1
                    tell(f"line {number}: {result}")
                else:
                    done += 1
    await index_all(settings)
    return done, failed


async def sample(settings: Settings, tenant: str) -> str:
    """Loads the sample unless it is there, and makes a key for it.

    Returns:
        The key: it reads, writes and administrates, for a week.
    """
    made, _ = await create_key(
        settings,
        tenant,
        new_tenant=True,
        scopes=("read", "write", "admin"),
        name="printed by serve --sample",
        rate_limit=None,
        expires_at=datetime.now(UTC) + timedelta(days=7),
    )
    async with as_owner(settings, tenant) as (connection, scope, pools):
        if not await connection.fetchval("SELECT true FROM documents WHERE tenant_id = $1 LIMIT 1", scope.tenant_id):
            operations = [
                Operation(kind="put", document_id=one, document=check(document, max_bytes=settings.max_document_bytes))
                for one, document in sample_.corpus()
            ]
            await _write(pools, scope, operations)
    await index_all(settings)
    return made


async def index_all(settings: Settings) -> int:
    """Works until nothing waits for the index, and says how much that was; what waits stands in the outbox."""
    total = 0
    async with open_worker(settings.model_copy(update={"database_user": "", "broker_host": ""})) as (worker, _):
        while worked := await worker.step():
            total += worked
    return total


async def _write(pools: Database, scope: Scope, operations: Sequence[Operation]) -> list[documents.Stored | ApiError]:
    if not operations:
        return []
    async with pools.write(scope) as connection:
        _, results = await documents.apply(connection, scope, Origin(), operations, kind="bulk")
    return results


@asynccontextmanager
async def as_owner(
    settings: Settings, tenant: str, *, new_tenant: bool = False
) -> AsyncIterator[tuple[asyncpg.Connection, Scope, Database]]:
    """A transaction of the owner, the scope of a tenant, and pools of the login that answers requests."""
    connection = await connect(settings)
    pools = await Database.open(settings.model_copy(update={"database_user": ""}), "docsearch_document")
    try:
        async with connection.transaction():
            every = await tenants.every(connection)
            if tenant not in every and new_tenant:
                tenant_id = await tenants.create(connection, tenant)
            else:
                tenant_id = await tenants.find(connection, tenant)
        async with connection.transaction():
            yield connection, internal(tenant_id, ACTOR), pools
    finally:
        await pools.close()
        await connection.close()
