"""Tenants: who there is, and what holds for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from uuid import UUID, uuid4

from app.errors import ConflictError, InvalidRequestError, NotFoundError
from app.store.database import Connection

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


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
