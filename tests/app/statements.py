"""Statements by chance, as a careless or a curious program would send them, and what a tenant must see of them.

Each is run as a login that answers requests, below row-level security, and again as the owner over the tenant's own
rows alone, which are picked out beforehand. The two have to agree: whatever differs is either a leak or a loss.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from app.store.database import Database
from app.tenancy import Scope

JOINS = (
    "JOIN {b} b ON a.tenant_id = b.tenant_id",
    "CROSS JOIN {b} b",
    "LEFT JOIN {b} b ON true",
    "FULL JOIN {b} b ON a.tenant_id = b.tenant_id",
)


@dataclass(frozen=True)
class Tables:
    """What a login may do to which columns: read from the database, so that a new table is in it.

    Attributes:
        read: The columns that may be read, by table.
        update: Those that may be changed.
        delete: The tables that rows may be deleted from.
    """

    read: Mapping[str, Sequence[str]]
    update: Mapping[str, Sequence[str]]
    delete: Sequence[str]


async def tables_of(admin: asyncpg.Connection, login: str) -> Tables:
    """The tables with a tenant's rows that a login may use."""
    rows = await admin.fetch(
        """
        SELECT c.relname AS name, has_table_privilege($1, c.oid, 'DELETE') AS delete,
               array_agg(a.attname::text) FILTER (WHERE has_column_privilege($1, c.oid, a.attnum, 'SELECT')) AS read,
               array_agg(a.attname::text) FILTER (WHERE has_column_privilege($1, c.oid, a.attnum, 'UPDATE')) AS update
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
          AND EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.attname = 'tenant_id')
        GROUP BY c.oid, c.relname ORDER BY c.relname
        """,
        login,
    )
    return Tables(
        {row["name"]: sorted(row["read"]) for row in rows if row["read"]},
        {row["name"]: sorted(row["update"]) for row in rows if row["update"]},
        [row["name"] for row in rows if row["delete"]],
    )


class Statements:
    """Makes statements.

    Args:
        tables: What they are about.
        mine: The tenant that asks.
        theirs: A tenant that is none of its business.
        word: What is in that tenant's rows and in no other's.
        chance: Where they come from.
    """

    def __init__(self, tables: Tables, mine: Scope, theirs: Scope, word: str, chance: random.Random) -> None:
        self._tables, self._mine, self._theirs = tables, mine.tenant_id, theirs.tenant_id
        self._word, self._chance = word, chance

    def select(self) -> str:
        """A query whose rows are text."""
        chance = self._chance
        kind = chance.choice(("plain", "plain", "plain", "joined", "joined", "union", "cte", "window", "nested"))
        if kind == "union":
            word = chance.choice(("UNION ALL", "UNION", "EXCEPT", "INTERSECT"))
            return f"{self._plain()} {word} {self._plain()}"
        if kind == "cte":
            return f"WITH x AS MATERIALIZED ({self._plain()}) SELECT * FROM x"
        if kind == "nested":
            return f"SELECT (SELECT string_agg(q.one, ',' ORDER BY q.one) FROM ({self._plain()}) q)"
        if kind == "window":
            a = self._table()
            over = f"count(*) OVER (PARTITION BY {self._column('a', a)})"
            return f"SELECT {over}::text AS one FROM {a} a WHERE {self._where({'a': a})}"
        if kind == "joined":
            a, b = self._table(), self._table()
            join = chance.choice(JOINS).format(b=b)
            what = chance.choice((self._column("a", a), self._column("b", b), "count(*)::text"))
            return f"SELECT {what} AS one FROM {a} a {join} WHERE {self._where({'a': a, 'b': b})}"
        return self._plain()

    def change(self) -> tuple[str, str]:
        """A statement that changes rows, and a query for how many of its own it may."""
        chance = self._chance
        if chance.random() < 0.3 and self._tables.delete:
            table = chance.choice(self._tables.delete)
            where = self._where({"a": table})
            return f"DELETE FROM {table} a WHERE {where}", f"SELECT count(*) FROM {table} a WHERE {where}"
        table = chance.choice(sorted(self._tables.update))
        column, where = chance.choice(self._tables.update[table]), self._where({"a": table})
        return (
            f"UPDATE {table} a SET {column} = {column} WHERE {where}",
            f"SELECT count(*) FROM {table} a WHERE {where}",
        )

    def over_own_rows(self, statement: str) -> str:
        """A query over rows that were picked out by their tenant beforehand, for somebody who sees all."""
        picked = ", ".join(
            f"{name} AS MATERIALIZED (SELECT * FROM public.{name} WHERE tenant_id = '{self._mine}')"
            for name in self._tables.read
            if f" {name} " in f"{statement} "
        )
        joined = ", " if statement.startswith("WITH ") else " "
        return f"WITH {picked}{joined}{statement.removeprefix('WITH ')}"

    def _plain(self) -> str:
        a = self._table()
        where = self._where({"a": a})
        column = self._column("a", a)
        listed = f"string_agg({column}, ',' ORDER BY {column})"
        what = self._chance.choice((column, column, f"DISTINCT {column}", "count(*)::text", f"max({column})", listed))
        return f"SELECT {what} AS one FROM {a} a WHERE {where}"

    def _table(self) -> str:
        return self._chance.choice(sorted(self._tables.read))

    def _column(self, alias: str, table: str) -> str:
        return f"{alias}.{self._chance.choice(self._tables.read[table])}::text"

    def _where(self, tables: Mapping[str, str], depth: int = 0) -> str:
        chance = self._chance
        alias, table = chance.choice(sorted(tables.items()))
        if depth < 2 and chance.random() < 0.4:
            parts = [self._where(tables, depth + 1) for _ in range(2)]
            return "(" + chance.choice((" OR ", " AND ", " AND NOT ")).join(parts) + ")"
        column = self._column(alias, table)
        return chance.choice(
            (
                "true",
                f"{alias}.tenant_id = '{self._theirs}'",
                f"{alias}.tenant_id <> '{self._mine}'",
                f"{alias}.tenant_id IS NOT NULL",
                f"{alias}.tenant_id IN (SELECT t.tenant_id FROM {self._table()} t)",
                f"EXISTS (SELECT FROM {self._table()} t WHERE t.tenant_id <> {alias}.tenant_id)",
                f"{column} LIKE '%{self._word}%'",
                f"{column} IS NOT NULL",
                f"length({column}) > {chance.randrange(40)}",
                # What may be asked of a row that is not seen answers by failing, if it is asked before the policy.
                f"1 / (CASE WHEN {column} LIKE '%{self._word}%' THEN 0 ELSE 1 END) = 1",
                f"1 / (CASE WHEN {alias}.tenant_id = '{self._theirs}' THEN 0 ELSE 1 END) = 1",
                f"{column}::integer > 0",
            )
        )


@dataclass
class Found:
    """What came of statements.

    Attributes:
        queries: Queries that were run.
        changes: Statements that change rows.
        equal: Those whose answer is what the tenant's own rows give.
        refused: Those that ended in an error, which gave nothing away.
        leaks: What did not hold, with the statement.
    """

    queries: int = 0
    changes: int = 0
    equal: int = 0
    refused: int = 0
    leaks: list[str] = field(default_factory=list)


async def ask(
    statements: Statements,
    database: Database,
    admin: asyncpg.Connection,
    mine: Scope,
    foreign: Sequence[str],
    found: Found,
) -> None:
    """Runs a query as a login and as the owner, and compares.

    Args:
        statements: Make it.
        database: Pools of the login.
        admin: Sees everything.
        mine: The tenant that asks.
        foreign: What is in other tenants' rows alone.
        found: Is added to.
    """
    query = statements.select()
    found.queries += 1
    try:
        async with database.read(mine) as connection:
            seen = sorted(str(row[0]) for row in await connection.fetch(query))
    except asyncpg.PostgresError as error:
        _refused(query, error, foreign, found)
        return
    _told(query, "\n".join(seen), foreign, found)
    try:
        wanted = sorted(str(row[0]) for row in await admin.fetch(statements.over_own_rows(query)))
    except asyncpg.DataError:
        # Which condition is looked at first is the planner's to say.
        found.refused += 1
        return
    if seen == wanted:
        found.equal += 1
    else:
        found.leaks.append(f"{len(seen)} rows instead of {len(wanted)}: {query}")


async def alter(
    statements: Statements,
    database: Database,
    admin: asyncpg.Connection,
    mine: Scope,
    foreign: Sequence[str],
    found: Found,
) -> None:
    """Changes rows as a login, counts them, and takes it back."""
    statement, count = statements.change()
    found.changes += 1
    try:
        async with database.write(mine) as connection:
            changed = int((await connection.execute(statement)).rpartition(" ")[2])
            raise _BackError
    except _BackError:
        pass
    except asyncpg.PostgresError as error:
        _refused(statement, error, foreign, found)
        return
    try:
        may = await admin.fetchval(statements.over_own_rows(count))
    except asyncpg.DataError:
        found.refused += 1
        return
    if changed == may:
        found.equal += 1
    else:
        found.leaks.append(f"{changed} rows changed instead of {may}: {statement}")


class _BackError(Exception):
    """Ends a transaction whose changes are not wanted."""


def _refused(statement: str, error: asyncpg.PostgresError, foreign: Sequence[str], found: Found) -> None:
    _told(statement, f"{type(error).__name__} {error} {error.detail}", foreign, found)
    if isinstance(error, asyncpg.DivisionByZeroError):
        found.leaks.append(f"a foreign row was looked at: {statement}")
    found.refused += 1


def _told(statement: str, told: str, foreign: Sequence[str], found: Found) -> None:
    # What the statement itself says is no news to who sent it.
    if news := [one for one in foreign if one in told and one not in statement]:
        found.leaks.append(f"{news[0]} was told: {statement}")
