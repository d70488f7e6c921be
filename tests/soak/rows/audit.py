"""The audit trail shows every tampering: alter, delete, reorder, insert, truncate, each kind of entry, as superuser."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from app import administration
from app.document import Document
from app.housekeeping import Housekeeping
from app.search.model import NoCache
from app.settings import Settings
from app.store import audit, erasures
from app.store.audit import Origin
from app.store.database import connect
from app.store.documents import Operation
from app.store.embedded import SUPERUSER, Embedded
from app.store.erasures import Subjects
from app.store.schema import migrate
from app.tenancy import Scope
from tests.app.world import World, settings_of, world_of
from tests.soak.model import Scale, Tell, Verdict

PROMISE = "every entry that is altered, deleted, moved, put in or cut off shows: 100%"

KINDS = frozenset(
    "write bulk create_key revoke_key suspend_tenant resume_tenant limit_tenant erase_user finish_erasure "
    "delete_old_documents".split()
)
"""Entries that the trail has at least."""

Row = dict[str, Any]

COLUMNS: dict[str, Callable[[Any, random.Random], Any]] = {
    "at": lambda value, chance: value + timedelta(microseconds=chance.choice([-1, 1, 10**6, -86_400 * 10**6])),
    "actor": lambda value, chance: value + chance.choice("x "),
    "action": lambda value, _: value[::-1],
    "resource": lambda value, _: value[:-1],
    "address": lambda value, _: value + "1",
    "user_agent": lambda value, _: value + " ",
    "correlation_id": lambda value, _: value + "0",
    "detail": lambda value, chance: {**value, "more": chance.random()},
    "previous": lambda value, chance: _flipped(value, chance),
    "hash": lambda value, chance: _flipped(value, chance),
}


def _flipped(value: bytes, chance: random.Random) -> bytes:
    raw = bytearray(value)
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return bytes(raw)


def run(scale: Scale, seed: int, tell: Tell) -> Verdict:
    """Writes a trail with every kind of entry, and tampers with it in transactions that are rolled back."""
    folder = Path(tempfile.mkdtemp(prefix="docsearch-audit-"))
    server = Embedded.start(folder / "postgres")
    try:
        return asyncio.run(_run(server, scale, seed, tell))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _run(server: Embedded, scale: Scale, seed: int, tell: Tell) -> Verdict:
    chance = random.Random(seed)
    await server.create("audit")
    settings = settings_of(server, "audit")
    await migrate(lambda: connect(settings, SUPERUSER))
    async with world_of(settings) as world:
        scope = await world.tenant("a")
        other = await world.tenant("b")
        for its in (scope, other):
            await _fill(world, settings, its, "a" if its is scope else "b", chance, 3 if scale is Scale.QUICK else 30)
    connection = await connect(settings, SUPERUSER)
    try:
        return await _tamper(connection, scope.tenant_id, other.tenant_id, scale, seed, chance, tell)
    finally:
        await connection.close()


async def _fill(world: World, settings: Settings, scope: Scope, name: str, chance: random.Random, rounds: int) -> None:
    subjects = Subjects(lambda text: text.encode().hex().ljust(64, "0")[:64])
    for _ in range(rounds):
        document = Document(title=f"Note {uuid4()}", metadata={"user_id": "ada"})
        old = await world.put(scope, document)
        await world.write(
            scope, *(Operation(kind="put", document=Document(title=f"Note {uuid4()}")) for _ in range(3)), kind="bulk"
        )
        made, key = await administration.create_key(
            settings, name, new_tenant=False, scopes=("read",), name="x", rate_limit=None, expires_at=None
        )
        del made
        await administration.revoke_key(settings, name, key.prefix)
        await administration.suspend(settings, name, suspended=True)
        await administration.suspend(settings, name, suspended=False)
        await administration.limit(settings, name, chance.randrange(1, 1000))
        async with world.app.write(scope) as its:
            await erasures.ask(its, scope, Origin("192.0.2.1", "soak", str(uuid4())), subjects, "ada")
        house = Housekeeping(world.work, (world.index,), NoCache(), settle_seconds=0)
        old = await world.put(scope, Document(title=f"Old {uuid4()}"))
        await world.admin(
            "UPDATE documents SET created_at = now() - interval '3 years' WHERE document_id = $1", old.document_id
        )
        while await house.step():
            await world.index_all()


async def _tamper(
    connection: asyncpg.Connection,
    tenant: UUID,
    other: UUID,
    scale: Scale,
    seed: int,
    chance: random.Random,
    tell: Tell,
) -> Verdict:
    rows = [
        dict(row) for row in await connection.fetch("SELECT * FROM audit WHERE tenant_id = $1 ORDER BY seq", tenant)
    ]
    last = len(rows)
    async with connection.transaction():
        before = await audit.verify(connection, tenant)
    heads = {before.rows: before.head}
    broken = (
        [] if before.broken_at is None else [f"the trail is broken at {before.broken_at} before anybody touched it"]
    )
    kinds = {row["action"] for row in rows}
    broken += [f"no entry is of the kind {kind}" for kind in sorted(KINDS - kinds)]
    counted: dict[str, int] = {}
    chosen = (
        rows
        if scale is Scale.FULL
        else [chance.choice([row for row in rows if row["action"] == one]) for one in sorted(kinds)]
    )
    for row in chosen:
        for name, tampering in _tamperings(row, rows, other, chance):
            counted[name] = counted.get(name, 0) + 1
            async with _undone(connection):
                await tampering(connection)
                found = await audit.verify(connection, tenant, heads)
                if found.broken_at is None:
                    broken.append(f"{name} of row {row['seq']} of {last} ({row['action']}) does not show")
        tell(f"audit: row {row['seq']} of {last}, {sum(counted.values())} tamperings")
    async with connection.transaction():
        if (await audit.verify(connection, tenant, heads)).broken_at is not None:
            broken.append("the trail is not whole after all was taken back")
    return Verdict(
        row="audit",
        promise=PROMISE,
        figures={"entries": last, "kinds": len(kinds), "tamperings": sum(counted.values()), **counted},
        broken=tuple(broken),
        seed=seed,
        notes=(
            "Cuts at the end, and a chain that was hashed anew from some row on, show against kept heads alone.",
            "What a superuser adds behind the last head that was kept looks like any other entry: keep heads often.",
        ),
    )


def _tamperings(
    row: Row, rows: list[Row], other: UUID, chance: random.Random
) -> list[tuple[str, Callable[[asyncpg.Connection], Any]]]:
    """What can be done to one entry, by name."""
    tenant, seq, last = row["tenant_id"], row["seq"], len(rows)

    def sql(*statements: tuple[str, Any]) -> Callable[[asyncpg.Connection], Any]:
        async def act(connection: asyncpg.Connection) -> None:
            for statement, values in statements:
                await connection.execute(statement, *values)

        return act

    def shift(by: int) -> tuple[tuple[str, Any], ...]:
        # By way of negative numbers: the key is unique at every moment.
        return (
            ("UPDATE audit SET seq = -seq WHERE tenant_id = $1 AND seq > $2", (tenant, seq)),
            (f"UPDATE audit SET seq = -seq + {by} WHERE tenant_id = $1 AND seq < 0", (tenant,)),
        )

    def anew(changed: Row, *, following: bool) -> Callable[[asyncpg.Connection], Any]:
        """Changes an entry as somebody does who knows how hashes are made."""

        async def act(connection: asyncpg.Connection) -> None:
            previous = changed["previous"]
            for its in [changed, *rows[seq:]] if following else [changed]:
                body = {name: value for name, value in its.items() if name not in ("previous", "hash")}
                digest = audit.digest(previous, body)
                await connection.execute(
                    "UPDATE audit SET actor = $3, previous = $4, hash = $5 WHERE tenant_id = $1 AND seq = $2",
                    tenant, its["seq"], its["actor"], previous, digest,
                )  # fmt: skip
                previous = digest

        return act

    found: list[tuple[str, Callable[[asyncpg.Connection], Any]]] = [
        (
            "alter",
            sql(
                (
                    f"UPDATE audit SET {name} = $3 WHERE tenant_id = $1 AND seq = $2",
                    (tenant, seq, change(row[name], chance)),
                )
            ),
        )
        for name, change in COLUMNS.items()
    ]
    changed = {**row, "actor": "nobody"}
    found += [("alter_and_hash", anew(changed, following=False)), ("alter_and_hash_all", anew(changed, following=True))]
    delete = ("DELETE FROM audit WHERE tenant_id = $1 AND seq = $2", (tenant, seq))
    found += [("delete", sql(delete)), ("delete_and_renumber", sql(delete, *shift(-1)))]
    swap = chance.choice([one["seq"] for one in rows if one["seq"] != seq])
    found.append(
        (
            "reorder",
            sql(
                ("UPDATE audit SET seq = -seq WHERE tenant_id = $1 AND seq IN ($2, $3)", (tenant, seq, swap)),
                (f"UPDATE audit SET seq = {seq + swap} + seq WHERE tenant_id = $1 AND seq < 0", (tenant,)),
            ),
        )
    )
    forged = {**row, "seq": seq + 1, "at": datetime.now(UTC), "previous": row["hash"], "actor": "forged"}
    forged["hash"] = audit.digest(row["hash"], {k: v for k, v in forged.items() if k not in ("previous", "hash")})
    put = ("INSERT INTO audit VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", tuple(forged.values()))
    if seq < last:
        found.append(("insert", sql(*shift(1), put)))
    copied = tuple({**row, "seq": last + 1}.values())
    found.append(("insert_copy", sql((put[0], copied))))
    found.append(("truncate", sql(("DELETE FROM audit WHERE tenant_id = $1 AND seq >= $2", (tenant, seq)))))
    away = (
        "UPDATE audit SET tenant_id = $3, seq = seq + 1000000 WHERE tenant_id = $1 AND seq = $2",
        (tenant, seq, other),
    )
    found.append(("give_away", sql(away)))
    return found


@asynccontextmanager
async def _undone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
