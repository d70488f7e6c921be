"""Tenants: who there is, and what holds for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from msgspec import Struct

from app.errors import ConflictError, InvalidRequestError, NotFoundError
from app.store.database import Connection

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

MAX_PER_MINUTE: Final = 2**31 - 1
"""The highest limit that a column of PostgreSQL's ``integer`` holds, requests per minute."""


class Standing(Struct, frozen=True):
    """What holds for a tenant's requests.

    Attributes:
        per_minute: Its limit, requests per minute; None for the service's.
        suspended_at: Since when it is answered nothing; None if it is served.
    """

    per_minute: int | None
    suspended_at: datetime | None


async def create(connection: Connection, name: str) -> UUID:
    """Makes a tenant.

    Args:
        connection: A transaction of an administrator.
        name: Lower-case letters, digits and hyphens.

    Raises:
        InvalidRequestError: The name cannot be used.
        ConflictError: There is one of that name.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequestError(
            f"a tenant is called {name[:80]!r}", why="a name is 1 to 63 lower-case letters, digits and hyphens"
        )
    found = await connection.fetchval(
        "INSERT INTO tenants (tenant_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING tenant_id",
        uuid4(),
        name,
    )
    if found is None:
        raise ConflictError(f"there is a tenant {name}")
    return UUID(str(found))


async def find(connection: Connection, name: str) -> UUID:
    """The tenant of a name, as an administrator sees it.

    Raises:
        NotFoundError: There is none.
    """
    found = await connection.fetchval("SELECT tenant_id FROM tenants WHERE name = $1", name)
    if found is None:
        raise NotFoundError(f"there is no tenant {name!r}", remedy="keys create --tenant NAME --new-tenant makes one")
    return UUID(str(found))


async def every(connection: Connection) -> Mapping[str, UUID]:
    """All tenants by name, as an administrator sees them."""
    rows = await connection.fetch("SELECT name, tenant_id FROM tenants ORDER BY name")
    return {row["name"]: row["tenant_id"] for row in rows}


async def standing(connection: Connection, tenant_id: UUID) -> Standing | None:
    """What holds for a tenant's requests; None if there is no such tenant."""
    row = await connection.fetchrow("SELECT per_minute, suspended_at FROM tenants WHERE tenant_id = $1", tenant_id)
    return Standing(**dict(row)) if row else None


async def suspend(connection: Connection, tenant_id: UUID, *, suspended: bool) -> None:
    """Ends or resumes answering a tenant. Suspended twice, it is so since the first time."""
    await connection.execute(
        "UPDATE tenants SET suspended_at = CASE WHEN $2 THEN coalesce(suspended_at, now()) END WHERE tenant_id = $1",
        tenant_id,
        suspended,
    )


async def limit(connection: Connection, tenant_id: UUID, per_minute: int | None) -> None:
    """Sets a tenant's limit, requests per minute; None for the service's.

    Raises:
        InvalidRequestError: It could never ask, or the limit is none that can be kept.
    """
    check_limit("the limit", per_minute)
    await connection.execute("UPDATE tenants SET per_minute = $2 WHERE tenant_id = $1", tenant_id, per_minute)


def check_limit(name: str, per_minute: int | None) -> None:
    """Checks a limit, requests per minute.

    Args:
        name: What the caller calls it.
        per_minute: The limit; None for the service's.

    Raises:
        InvalidRequestError: Nothing could ever be asked, or PostgreSQL cannot hold it.
    """
    if per_minute is not None and not 1 <= per_minute <= MAX_PER_MINUTE:
        raise InvalidRequestError(f"{name} is {per_minute} requests per minute", why=f"it is 1 to {MAX_PER_MINUTE:,}")


async def retain(connection: Connection, tenant_id: UUID, years: int) -> None:
    """Sets how long a tenant's documents are kept, years: what is older is deleted the next night."""
    await connection.execute("UPDATE tenants SET data_retention_years = $2 WHERE tenant_id = $1", tenant_id, years)
