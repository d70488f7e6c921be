"""What an operator does by hand for the law: erasures, the ledger of them, and the audit trail gone through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from app import logbook
from app.access.keys import digest_of
from app.administration import as_owner, connect
from app.aws.logins import with_secrets
from app.errors import SettingsError
from app.ledger import ledger_at
from app.runtime import open_worker
from app.settings import Settings
from app.store import audit, erasures, tenants
from app.store.audit import Origin
from app.store.erasures import Erasure, Subjects

BATCH: Final = 500
"""Documents of a transaction."""


@dataclass(frozen=True)
class Trail:
    """A tenant's audit trail, gone through.

    Attributes:
        tenant: The tenant: its name, or its id if it is no longer there.
        tenant_id: Its id.
        verdict: What was found.
        heads: How many heads that were kept elsewhere it was compared with.
    """

    tenant: str
    tenant_id: UUID
    verdict: audit.Verdict
    heads: int


async def erase_user(settings: Settings, tenant: str, user_id: str) -> Erasure:
    """Asks for an erasure; the worker carries it out."""
    settings = await with_secrets(settings)
    async with as_owner(settings, tenant) as (_, scope, pools), pools.write(scope) as connection:
        subjects = Subjects(partial(digest_of, settings.secret("api_key_pepper")))
        return await erasures.ask(connection, scope, Origin(), subjects, user_id)


async def export(settings: Settings, place: str) -> int:
    """Adds to a ledger the erasures that it lacks, and says how many those were."""
    connection = await connect(settings)
    try:
        entries = await erasures.entries(connection)
        return await ledger_at(place, settings).add(await erasures.deployment(connection), entries)
    finally:
        await connection.close()


async def replay(settings: Settings, place: str, tell: Callable[[str], None]) -> int:
    """Does all erasures of a ledger again that the database knows nothing of, and returns when nothing is left.

    Raises:
        SettingsError: The ledger is broken, or of another deployment, or a key that something in it was hashed with is
            not given. Then nothing has been done.
    """
    settings = await with_secrets(settings)
    connection = await connect(settings)
    try:
        entries = await ledger_at(place, settings).read(await erasures.deployment(connection))
        unknown = {*await erasures.unknown(connection, [UUID(entry["erasure_id"]) for entry in entries])}
        todo = [entry for entry in entries if UUID(entry["erasure_id"]) in unknown]
        peppers = [Subjects(partial(digest_of, pepper)) for pepper in settings.secrets("api_key_pepper")]
        by_key = {subjects.key: subjects for subjects in peppers}
        if foreign := [entry for entry in todo if entry["key"] not in by_key]:
            others = ", ".join(f"{key} (last on {day[:10]})" for key, day in _last_use(foreign).items())
            raise SettingsError(
                f"{len(foreign):,} erasures were hashed with another key",
                why=f"whose they are cannot be found out without the peppers {others}",
                remedy="Set API_KEY_PEPPER_PREVIOUS to the peppers that were used then, with blanks between",
            )
        used = [by_key[key] for key in _last_use(todo)]
        for tenant_id in dict.fromkeys(UUID(entry["tenant_id"]) for entry in todo):
            names = await erasures.subjects_of(connection, tenant_id)
            people = {subjects.digest(tenant_id, name).hex(): name for subjects in used for name in names}
            for entry in todo:
                if entry["tenant_id"] == str(tenant_id):
                    count = await erasures.replay(connection, entry, people.get(entry["subject"]), batch=BATCH)
                    tell(f"{entry['erasure_id']}: {count:,} documents")
    finally:
        await connection.close()
    await finish(settings)
    return len(todo)


def _last_use(entries: Iterable[dict[str, Any]]) -> dict[str, str]:
    """By key that something was hashed with, when it was last: entries are in the order of time."""
    return {entry["key"]: entry["asked_at"] for entry in entries}


async def finish(settings: Settings) -> None:
    """Works until no erasure is open: nothing else has to run, and nothing is served meanwhile."""
    its = settings.model_copy(update={"database_user": "", "broker_host": "", "erasure_ledger": ""})
    async with open_worker(its) as (worker, _):
        assert worker.house
        while True:
            while await worker.step():
                pass
            if not await worker.house.step():
                return
            await asyncio.sleep(1.0)


async def verify(settings: Settings, tenant: str | None, heads: Path | None) -> list[Trail]:
    """Goes through the audit trail, tenant by tenant, and compares it with heads that were kept elsewhere.

    Raises:
        SettingsError: The file of heads is broken or of another deployment.
    """
    connection = await connect(settings)
    try:
        kept: dict[UUID, dict[int, str]] = {}
        for entry in logbook.read(heads, "audit", await erasures.deployment(connection)) if heads else ():
            kept.setdefault(UUID(entry["tenant_id"]), {})[entry["rows"]] = entry["head"]
        every = await tenants.every(connection)
        if tenant:
            chosen = {tenant: await tenants.find(connection, tenant)}
        else:
            # Whoever is gone left a trail, or should have.
            trails = {row[0] for row in await connection.fetch("SELECT DISTINCT tenant_id FROM audit")} | kept.keys()
            chosen = {**every, **{str(one): one for one in trails - {*every.values()}}}
        found = []
        for name, tenant_id in chosen.items():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                verdict = await audit.verify(connection, tenant_id, kept.get(tenant_id))
            found.append(Trail(name, tenant_id, verdict, len(kept.get(tenant_id, {}))))
        return found
    finally:
        await connection.close()


async def keep_heads(settings: Settings, file: Path, trails: list[Trail]) -> int:
    """Notes the heads of trails that are whole, and says how many of them are new."""
    connection = await connect(settings)
    try:
        deployment = await erasures.deployment(connection)
    finally:
        await connection.close()
    now = datetime.now(UTC).isoformat()
    entries: list[dict[str, Any]] = [
        {
            "trail": f"{one.tenant_id} {one.verdict.rows}",
            "tenant_id": str(one.tenant_id),
            "rows": one.verdict.rows,
            "head": one.verdict.head,
            "at": now,
        }
        for one in trails
        if one.verdict.broken_at is None and one.verdict.rows
    ]
    return logbook.add(file, "audit", deployment, entries, key="trail")
