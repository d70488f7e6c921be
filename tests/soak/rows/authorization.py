"""Row 13: nobody does what is not theirs to do, and nobody sees what is another tenant's.

First the whole matrix: every operation of the OpenAPI document, every role, and credentials that are one's own, for
another tenant's things, missing, expired or forged. Then statements by chance, sent as the logins that answer requests,
straight to PostgreSQL: row-level security by itself, as if the service had forgotten the tenant each time.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from app.http.app import openapi
from app.settings import Settings
from app.store.database import Database, connect
from app.store.embedded import SUPERUSER
from app.tenancy import Scope
from tests.app.http.matrix import Matrix, listed, matrix_of, unexpected
from tests.app.statements import Found, Statements, alter, ask, tables_of
from tests.app.world import copy_of, fill_every_table, prepare, running, world_of
from tests.soak.model import Scale, Tell, Verdict

PROMISE = (
    "every operation x role x credential as written down, 0 leaks in >= 10,000 random statements below the service"
)

LOGINS = ("docsearch_document", "docsearch_search")
"""The logins that answer requests."""

STATEMENTS = {Scale.QUICK: 400, Scale.FULL: 12_000}
WORDS = ("zwiebelfisch", "quastenflosser", "mondkalb")
"""What is in the rows of one tenant each, and nowhere else."""


def run(scale: Scale, seed: int, tell: Tell) -> Verdict:
    """Goes through the matrix, and sends statements."""
    with running() as server:

        async def all_of_it() -> tuple[Matrix, Found]:
            await prepare(server)
            async with copy_of(server) as settings, matrix_of(settings) as matrix:
                await matrix.hold(listed(json.loads(openapi())))
            tell(f"{matrix.cells:,} cells of the matrix")
            async with copy_of(server) as settings:
                return matrix, await statements(settings, STATEMENTS[scale], seed, tell)

        matrix, found = asyncio.run(all_of_it())
    return Verdict(
        row="authorization",
        promise=PROMISE,
        figures={
            "cells": matrix.cells,
            "queries": found.queries,
            "changes": found.changes,
            "answered_as_own_rows_give": found.equal,
            "refused": found.refused,
            "leaks": len(found.leaks),
        },
        broken=(*unexpected(json.loads(openapi())), *matrix.broken, *found.leaks),
        seed=seed,
    )


async def statements(settings: Settings, number: int, seed: int, tell: Tell) -> Found:
    """Sends so many statements, as each login and for each tenant in turn."""
    chance, found = random.Random(seed), Found()
    async with world_of(settings) as world:
        scopes = {word: await world.tenant(word) for word in WORDS}
        for word, scope in scopes.items():
            await fill_every_table(world, scope, word)
    admin = await connect(settings, SUPERUSER)
    logins = {login: await Database.open(settings, login) for login in LOGINS}
    try:
        # What the planner knows of a table's values must not be told, either.
        await admin.execute("ANALYZE")
        ids = {word: await _ids(admin, scope.tenant_id) for word, scope in scopes.items()}
        tables = {login: await tables_of(admin, login) for login in LOGINS}
        for login, its in tables.items():
            for table in its.read:
                if await admin.fetchval(f"SELECT count(DISTINCT tenant_id) FROM {table}") < len(WORDS):
                    found.leaks.append(f"{login} reads {table}, which is empty: fill it in tests.app.world")
        for at in range(number):
            login = LOGINS[at % len(LOGINS)]
            mine, theirs = chance.sample(WORDS, 2)
            made = Statements(tables[login], scopes[mine], scopes[theirs], theirs, chance)
            act = alter if chance.random() < 0.15 else ask
            await act(made, logins[login], admin, scopes[mine], _foreign(mine, ids), found)
            if at % 2000 == 1999:
                tell(f"{at + 1:,} statements, {len(found.leaks)} leaks")
        for login, database in logins.items():
            found.leaks += await _besides(database, login, *[scopes[word] for word in WORDS[:2]])
    finally:
        for database in logins.values():
            await database.close()
        await admin.close()
    return found


async def _ids(admin: asyncpg.Connection, tenant_id: UUID) -> list[str]:
    rows = await admin.fetch("SELECT document_id::text FROM documents WHERE tenant_id = $1", tenant_id)
    return [str(tenant_id), *(row[0] for row in rows)]


def _foreign(mine: str, ids: dict[str, list[str]]) -> Sequence[str]:
    return [text for word, its in ids.items() if word != mine for text in (word, *its)]


async def _besides(database: Database, login: str, scope: Scope, theirs: Scope) -> list[str]:
    """What is no query of rows: statistics, taking the policies off, another role, and foreign rows written."""
    broken = []
    async with database.read(scope) as connection:
        told = await connection.fetch(
            """
            SELECT DISTINCT tablename FROM pg_stats s
            WHERE schemaname = 'public' AND tablename <> 'alembic_version'
              AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = s.tablename::regclass AND attname = 'tenant_id')
            """
        )
    broken += [f"{login} is told of values by the statistics of {row[0]}" for row in told]
    foreign = theirs.tenant_id
    for statement in (
        "SET LOCAL row_security = off; SELECT count(*) FROM documents",
        "SET LOCAL ROLE docsearch_admin",
        "SET LOCAL SESSION AUTHORIZATION docsearch_index",
        "ALTER TABLE documents DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own ON documents",
        "SELECT count(*) FROM documents_p0",
        "SELECT count(*) FROM outbox",
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM documents",
        f"INSERT INTO synonyms VALUES ('{foreign}', 'a', '{{b}}')",
        f"UPDATE tenants SET per_minute = 1 WHERE tenant_id = '{foreign}'",
        f"UPDATE synonyms SET tenant_id = '{foreign}'",
    ):
        try:
            async with database.write(scope) as connection:
                await connection.execute(statement)
                broken.append(f"{login} may {statement}")
                raise asyncpg.InsufficientPrivilegeError  # nothing of it stays
        except asyncpg.InsufficientPrivilegeError:
            continue
    return broken
