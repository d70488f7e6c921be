"""Runs migrations by Alembic. Apart from `app.store.schema`, because Alembic takes a second to import."""

from __future__ import annotations

from collections.abc import Sequence
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
from app.store.schema import MIGRATIONS

LOCK: Final = 0x646F6373
"""The advisory lock that one migration at a time holds ("docs")."""


async def upgrade(connect: Any) -> Sequence[str]:
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


def _upgrade(connection: Connection) -> Sequence[str]:
    before = MigrationContext.configure(connection).get_current_revision()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()
    script = ScriptDirectory.from_config(config)
    return [found.revision for found in reversed([*script.iterate_revisions("head", before or "base")])]
