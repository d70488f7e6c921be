"""Every part is killed while documents are written and searched: nothing acknowledged is lost, nothing is there twice.

Writers write documents of their own, one request after the other, so that each knows what its documents may be: what
was acknowledged last, or what was sent after it without an answer. They go on while a part dies and comes back.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from app.errors import ApiError
from app.index.full_text import FullText
from app.index.model import Comparable
from app.runtime import open_search
from app.search.model import NoCache
from app.store import documents
from app.store.database import connect
from app.store.embedded import SUPERUSER
from app.tenancy import internal
from tests.app.history import History
from tests.app.services.server import Server
from tests.app.services.servers import QUEUE_SETTLES_SECONDS
from tests.app.world import World, world_of
from tests.bench.plant import Plant, running
from tests.bench.wire import Wire, request
from tests.soak.callers import PATIENCE_SECONDS, Callers, comes_true
from tests.soak.model import Scale, Tell, Verdict

PROMISE: Final = (
    "kill -9 of PostgreSQL, Redis, RabbitMQ, OpenSearch, API and worker under load, >= 20 times each, >= 10,000 "
    "acknowledged writes per target: 0 lost, 0 twice, and in the end the index is what the database is"
)

VICTIMS: Final = ("postgresql", "redis", "rabbitmq", "opensearch", "api", "worker")
WRITERS: Final = 4
BULK: Final = 10
"""Documents of a request, at most."""


@dataclass(frozen=True)
class Size:
    """How much is done of each target.

    Attributes:
        kills: How often it is killed.
        writes: Writes that are acknowledged meanwhile, at least.
    """

    kills: int
    writes: int


SIZES: Final = {Scale.QUICK: Size(1, 200), Scale.FULL: Size(20, 10_000)}


def run(scale: Scale, seed: int, tell: Tell, victims: tuple[str, ...] = VICTIMS) -> Verdict:
    """Starts everything, and kills one part after the other."""
    figures: dict[str, float | int | str] = {}
    broken: list[str] = []
    # An opened breaker would keep a part that is back from being used for a minute.
    with running(tell, breaker_open_seconds=1.0) as plant:
        for victim in victims:
            found, wrong = _target(plant, victim, SIZES[scale], random.Random(f"{seed} {victim}"), tell)
            figures |= {f"{victim}_{name}": value for name, value in found.items()}
            broken += [f"{victim}: {one}" for one in wrong]
    notes = ("kill -9 is not a loss of power: what a process has handed to the kernel is on disk in any case",)
    return Verdict("kills", PROMISE, figures, tuple(broken), seed, notes)


class Load(Callers):
    """Callers that write and search.

    Args:
        port: Of the API.
        key: Theirs.
        chance: Where chance comes from.
    """

    def __init__(self, port: int, key: str, chance: random.Random) -> None:
        super().__init__()
        self._port, self._key, self._chance = port, key, chance
        self.history = History()
        self.acknowledged = 0
        self.answers: Counter[int] = Counter()
        self.last_write = time.monotonic()
        self.longest_pause = 0.0

    def has_written(self, count: float) -> bool:
        """Whether so many writes were acknowledged."""
        return self.acknowledged >= count

    async def _run(self) -> None:
        writers = [self._write(random.Random(self._chance.random())) for _ in range(WRITERS)]
        await asyncio.gather(*writers, self._search())

    async def _write(self, chance: random.Random) -> None:
        mine: list[UUID] = []
        wire = Wire(self._port)
        while not self._stopping.is_set():
            known = set(chance.sample(mine, min(len(mine), BULK // 2)))
            fresh = {uuid4() for _ in range(BULK // 2)}
            mine += fresh
            texts = {one: None if one in known and chance.random() < 0.3 else f"tea {uuid4()}" for one in known | fresh}
            versions = await self._send(wire, texts)
            for one, text in texts.items():
                self.history.note(one, text, versions.get(one))
            self.acknowledged += len(versions)
            if versions:
                now = time.monotonic()
                self.longest_pause = max(self.longest_pause, now - self.last_write)
                self.last_write = now
            await asyncio.sleep(chance.random() / 5 if versions else 0.05)
        wire.close()

    async def _send(self, wire: Wire, texts: dict[UUID, str | None]) -> dict[UUID, int]:
        """Writes documents in one request; gives the versions that were acknowledged."""
        lines = [
            {"action": "delete", "id": str(one)} if text is None else {"id": str(one), "document": {"title": text}}
            for one, text in texts.items()
        ]
        body = "\n".join(json.dumps(one) for one in lines).encode()
        answer = await self._call(wire, "/v1/documents/bulk", body, "application/x-ndjson")
        results = answer.get("results", ())
        return {UUID(one["document_id"]): one["version"] for one in results if one["status"] in (200, 202)}

    async def _search(self) -> None:
        wire = Wire(self._port)
        while not self._stopping.is_set():
            await self._call(wire, "/v1/search", json.dumps({"q": "tea", "size": 5}).encode(), "application/json")
            await asyncio.sleep(0.02)
        wire.close()

    async def _call(self, wire: Wire, path: str, body: bytes, media: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(30):
                status, answer = await wire.send(request("POST", path, body, self._key, media))
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self.answers[0] += 1
            return {}
        self.answers[status] += 1
        return dict(json.loads(answer)) if status in (200, 202) else {}


def _target(
    plant: Plant, victim: str, size: Size, chance: random.Random, tell: Tell
) -> tuple[dict[str, float | int], list[str]]:
    server: Server = getattr(plant, victim)
    tenant = f"kills-{victim}"
    key = plant.tenant(tenant)
    load, wrong = Load(plant.api.port, key, chance), []
    with load.going():
        if victim == "rabbitmq":
            time.sleep(QUEUE_SETTLES_SECONDS)
        for kill in range(1, size.kills + 1):
            time.sleep(0.5 + chance.random())
            server.kill()
            time.sleep(chance.random())
            server.spawn()
            server.wait()
            if not comes_true(partial(load.has_written, size.writes * kill / size.kills)):
                wrong.append(f"no more than {load.acknowledged} writes were taken after kill {kill}")
                break
            tell(f"kills: {victim} {kill} of {size.kills}, {load.acknowledged:,} writes acknowledged")
    wrong += [f"{one.name} {one.folder.name} has ended by itself: {one.last_words()}" for one in plant.ended()]
    wrong += asyncio.run(check(plant, tenant, load.history))
    # 0 is no answer at all, as from an API that was killed; 503 says that it cannot, and when to ask again.
    may = {200, 202, 503} | ({0} if victim == "api" else set())
    if strange := {status: count for status, count in load.answers.items() if status not in may}:
        wrong.append(f"answers by status: {strange}")
    figures = {"kills": kill, "acknowledged": load.acknowledged, "longest_pause_s": load.longest_pause}
    return figures, wrong


async def check(plant: Plant, tenant: str, history: History) -> list[str]:
    """What does not hold of a tenant's documents, once nothing waits for the index any more."""
    settings = plant.settings
    admin = await connect(settings, SUPERUSER)
    try:
        tenant_id = await admin.fetchval("SELECT tenant_id FROM tenants WHERE name = $1", tenant)
        open_tasks = "SELECT count(*) FROM tasks WHERE tenant_id = $1 AND (state <> 'succeeded' OR done <> total)"
        if not await _settled(admin, open_tasks, tenant_id):
            left = await admin.fetchval(open_tasks, tenant_id)
            return [f"{left} tasks are open, and none was done for {PATIENCE_SECONDS:.0f} s"]
        letters = await admin.fetchval("SELECT count(*) FROM dead_letters WHERE tenant_id = $1", tenant_id)
    finally:
        await admin.close()
    async with world_of(settings) as world:
        return ([f"{letters} dead letters"] if letters else []) + await _compare(plant, world, tenant_id, history)


async def _settled(admin: asyncpg.Connection, query: str, tenant_id: UUID) -> bool:
    """Waits until nothing is left, for as long as it becomes less."""
    least, end = None, 0.0
    while left := await admin.fetchval(query, tenant_id):
        if least is None or left < least:
            least, end = left, time.monotonic() + PATIENCE_SECONDS
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.2)
    return True


async def _compare(plant: Plant, world: World, tenant_id: UUID, history: History) -> list[str]:
    async with world.app.read(internal(tenant_id, "kills")) as connection:
        versions = dict(await documents.current_versions(connection, tenant_id))
        found = await documents.many(connection, tenant_id, [*versions])
    wrong = history.violations({one.document_id: one.title for one in found}, versions)
    if others := Counter(one.status for one in found if one.status != "INDEXED"):
        wrong.append(f"documents are not indexed: {dict(others)}")
    search = open_search(plant.settings, world.app, NoCache())
    engines: dict[str, Comparable] = {"full_text": FullText(world.app, world.work), "opensearch": search}
    try:
        for name, engine in engines.items():
            with suppress(ApiError):
                await engine.refresh()
            entries = [one async for one in engine.entries(tenant_id)]
            indexed = dict(entries)
            differ = [one for one in {*indexed, *versions} if indexed.get(one) != versions.get(one)]
            wrong += [f"{name} has {one} at {indexed.get(one)}, not {versions.get(one)}" for one in differ[:10]]
            if len(entries) != len(indexed):
                wrong.append(f"{name} has {len(entries) - len(indexed)} documents twice")
    finally:
        await search.close()
    return wrong
