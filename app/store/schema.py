"""Brings the database to the schema of this version, by Alembic. Safe to run twice, and by two at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.errors import UnavailableError
from app.store.database import Connection as Reader

MIGRATIONS: Final = Path(__file__).parent / "migrations"

LOCK: Final = 0x646F6373
"""The advisory lock that one migration at a time holds ("docs")."""


async def migrate(connect: Any) -> Sequence[str]:
    """Applies what is missing.

    Args:
        connect: Opens a connection of asyncpg as the owner of the schema.

    Returns:
        The revisions that were applied; none if the schema was current.

    Raises:
        UnavailableError: PostgreSQL does not answer.
    """
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            # Of the session, not of a transaction: it is held until everything is committed.
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
            await connection.commit()
            try:
                return await connection.run_sync(_upgrade)
            finally:
                await connection.rollback()
                await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
                await connection.commit()
    except (OSError, asyncpg.PostgresConnectionError) as error:
        raise UnavailableError("PostgreSQL does not answer", why=str(error)) from error
    finally:
        await engine.dispose()


async def current(connection: Reader) -> bool:
    """Whether a database has the schema of this version."""
    if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
        return False
    return bool(await connection.fetchval("SELECT version_num FROM alembic_version") == newest())


def newest() -> str:
    """The revision that this version needs."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def _upgrade(connection: Connection) -> Sequence[str]:
    before = MigrationContext.configure(connection).get_current_revision()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()
    script = ScriptDirectory.from_config(config)
    return [found.revision for found in reversed([*script.iterate_revisions("head", before or "base")])]
