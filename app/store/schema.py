"""The schema of this version: whether a database has it, and how it gets it.

A database is migrated before the first process of a version starts, and while those of the version before go on; in
another region they go on for longer. So a version serves with later schemas, too, and a migration takes away nothing
that the version before it uses: what is not needed any more goes a version later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from app.store.database import Connection

MIGRATIONS: Final = Path(__file__).parent / "migrations"


async def migrate(connect: Any) -> Sequence[str]:
    """Applies what is missing. Safe to run twice, and by two at once.

    Args:
        connect: Opens a connection of asyncpg as the owner of the schema.

    Returns:
        The revisions that were applied; none if the schema was current.

    Raises:
        UnavailableError: PostgreSQL does not answer.
    """
    connection = await connect()
    try:
        if await current(connection):
            return []
    finally:
        await connection.close()
    # Only who migrates waits for Alembic to be imported, and has it in memory.
    from app.store.migrations.run import upgrade  # noqa: PLC0415

    return await upgrade(connect)


async def current(connection: Connection) -> bool:
    """Whether a database has the schema of this version, or of a later one."""
    if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
        return False
    found = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found is not None and str(found) >= newest()


async def whole(connection: Connection) -> bool:
    """Whether every table has its key, its row-level security and its grants: what a restore brings last, or never."""
    lacking = await connection.fetchval(
        """
        SELECT count(*) FROM pg_class AS its
        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
          AND NOT (relrowsecurity AND relforcerowsecurity
                   AND EXISTS (SELECT FROM pg_constraint WHERE conrelid = its.oid AND contype = 'p')
                   AND (relispartition OR EXISTS (SELECT FROM pg_policy WHERE polrelid = its.oid)))
        """
    )
    readable = await connection.fetchval(
        "SELECT bool_and(has_table_privilege(oid, 'SELECT')) FROM pg_class WHERE oid = to_regclass('alembic_version')"
    )
    return not lacking and readable is not False


def newest() -> str:
    """The revision that this version needs: the last of the files, which are numbered."""
    names = (path.stem for path in (MIGRATIONS / "versions").glob("m*.py"))
    return max(match[1] for name in names if (match := re.match(r"m(\d{4})_", name)))
