"""A user who was erased is nowhere, and comes back by no restore.

Canaries stand in every field of the user's documents and wherever pieces of them may be kept. They are looked for in
every column of every table, in OpenSearch by search and by id, in every key of Redis and in the messages of RabbitMQ;
first before the erasure, where they have to be found, then after it, and again after an older backup was restored.
"""

import asyncio
import random
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import aio_pika
import asyncpg

from app import compliance, logbook, upkeep
from app.document import Document
from app.errors import SettingsError
from app.index.model import Match, Query
from app.queue.rabbitmq import Relay
from app.redis_client import open_client
from app.runtime import Service, open_service, open_worker
from app.settings import Settings, load
from app.store import documents, erasures, tenants
from app.store.audit import Origin
from app.store.database import connect
from app.store.documents import Operation, Stored
from app.store.embedded import SUPERUSER
from app.store.erasures import Subjects
from app.store.schema import migrate
from app.tenancy import Scope, internal
from app.worker import Worker
from tests.app.services.server import Server
from tests.app.services.servers import OpenSearch, PostgreSQL, RabbitMQ, Redis
from tests.app.world import SECRETS
from tests.soak.model import Scale, Tell, Verdict

PROMISE = "0 canaries anywhere after the erasure, and 0 after an older backup was restored and the ledger replayed"

USER = "user"


@dataclass
class Stage:
    """The servers, and what was found on them.

    Attributes:
        canary: What stands in every field of the user's documents.
        broken: What did not hold.
        figures: What was counted.
        taken: Messages that the worker was given and has not worked on.
        segments: Whether to look at what was deleted and is still on OpenSearch's disk.
    """

    postgresql: PostgreSQL
    redis: Redis
    rabbitmq: RabbitMQ
    opensearch: OpenSearch
    folder: Path
    canary: str
    tell: Tell
    broken: list[str] = field(default_factory=list)
    figures: dict[str, float | int | str] = field(default_factory=dict)
    taken: Callable[[], list[Any]] = list
    segments: bool = False

    def settings(self, database: str, **more: Any) -> Settings:
        """A process over all of them."""
        where: dict[str, Any] = {}
        for server in (self.postgresql, self.redis, self.rabbitmq, self.opensearch):
            where |= server.settings()
        return load(**where, **SECRETS, database_name=database, pool_min=0, pool_max=8, statement_seconds=60, **more)

    def expect(self, holds: bool, what: str) -> None:
        """Notes what does not hold."""
        if not holds:
            self.broken.append(what)

    def program(self, name: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        """Runs a program of PostgreSQL."""
        where = ["-h", self.postgresql.host, "-p", str(self.postgresql.port), "-U", SUPERUSER]
        command = [str(self.postgresql._program.parent / name), *where, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, check=False)


def run(scale: Scale, seed: int, tell: Tell) -> Verdict:
    """Starts PostgreSQL, Redis, RabbitMQ and OpenSearch, erases a user, and restores a backup from before."""
    folder = Path(tempfile.mkdtemp(prefix="docsearch-erasure-", dir="/tmp"))
    folder.chmod(0o755)
    servers: list[Server] = [kind(folder / kind.__name__.lower()) for kind in (PostgreSQL, Redis, RabbitMQ, OpenSearch)]
    try:
        for server in servers:
            server.spawn()
        for server in servers:
            server.wait()
        stage = Stage(*servers, folder=folder, canary=f"cnry{seed:08x}", tell=tell)  # type: ignore[arg-type, misc]
        quick = scale is Scale.QUICK
        # OpenSearch keeps what was deleted for half a minute more: only the full form waits for it, and looks.
        with patch("app.housekeeping.SETTLE_SECONDS", 0.0) if quick else nullcontext():
            stage.segments = not quick
            asyncio.run(_run(stage, random.Random(seed), 12 if quick else 2_000))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return Verdict(
        row="erasure",
        promise=PROMISE,
        figures=stage.figures,
        broken=tuple(stage.broken),
        seed=seed,
        notes=(
            "What is scanned is what the services give out: pages of PostgreSQL keep deleted rows until a vacuum.",
            "Its log and its backups keep them until they are thrown away: that is what the ledger is for.",
        ),
    )


async def _run(stage: Stage, chance: random.Random, count: int) -> None:
    settings = stage.settings("before", erasure_ledger=str(stage.folder / "ledger.ndjson"))
    unguarded = settings.model_copy(update={"erasure_ledger": ""})
    await _create(stage, "before")
    await migrate(lambda: connect(settings, SUPERUSER))
    admin = await connect(settings, SUPERUSER)
    scope = internal(await tenants.create(admin, "a"), "soak")
    await admin.close()
    await compliance.export(settings, str(stage.folder / "ledger.ndjson"))
    async with AsyncExitStack() as stack:
        service, _ = await stack.enter_async_context(open_service(settings, with_worker=False))
        worker, relay = await stack.enter_async_context(open_worker(settings))
        assert relay
        engine: Any = service.engines[0]
        await engine.prepare(replicas=0, refresh_seconds=1)
        others = await _fill(stage, service, scope, chance, count)
        await _work(worker, relay)
        await _ask_around(stage, service, scope)
        await _remarks(stage, settings, scope)
        stage.expect(
            stage.program("pg_dump", "-Fc", "-f", stage.folder / "dump", "before").returncode == 0, "pg_dump fails"
        )
        # Some more that is on its way when the erasure comes, in the broker and in the outbox.
        await _put(service, scope, [_theirs(stage, chance) for _ in range(5)])
        await relay.step()
        queue: Any = worker._queue
        stage.taken = lambda: [*queue._taken._queue]
        await asyncio.sleep(0.5)
        await _put(service, scope, [_theirs(stage, chance) for _ in range(5)])
        for place, hits in (await _scan(stage, settings, service)).items():
            stage.expect(hits > 0 or place == "rabbitmq", f"there is no canary in {place} to be erased")
            stage.figures[f"canaries_before_in_{place}"] = hits
        stage.expect(int(stage.figures["messages_scanned"]) > 0, "no message was there to be looked at")
        stage.expect(_in_memory(stage, service) > 0, "there is no canary in memory to be erased")
        await _erase(stage, service, scope, worker, relay)
        await _nothing_left(stage, "after the erasure", settings, service, others)
        # In this process's own memory, too: it learns of the erasure when it is asked for something of the tenant.
        await asyncio.sleep(1.1)
        await service.search.search(scope.query(Query()))
        stage.expect(_in_memory(stage, service) == 0, "answers in memory hold a canary")
    await _restore(stage, settings, unguarded, scope, others)
    await _bad_input(stage, unguarded)


def _in_memory(stage: Stage, service: Service) -> int:
    """Answers that this process has in its own memory and that hold a canary."""
    cache: Any = service.cache
    return sum(stage.canary.encode() in raw for _, raw in cache._memory.values())


async def _create(stage: Stage, name: str) -> None:
    admin = await asyncpg.connect(
        host=stage.postgresql.host, port=stage.postgresql.port, user=SUPERUSER, database="postgres"
    )
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    await admin.close()


def _theirs(stage: Stage, chance: random.Random, user: str = USER) -> Document:
    """A document of the user, with a canary in every field."""
    word = f"{stage.canary}{chance.randrange(10**6)}"
    return Document(
        title=f"{word} title",
        content=f"Words before {word} words behind, and again {word}",
        author=f"{word} author",
        tags=(f"{word} tag", "common"),
        metadata={"user_id": f"{stage.canary}{user}", word: word, "n": chance.randrange(100)},
    )


async def _put(service: Service, scope: Scope, given: list[Document], ids: list[UUID] | None = None) -> list[UUID]:
    operations = [
        Operation(kind="put", document_id=ids[at] if ids else uuid4(), document=one) for at, one in enumerate(given)
    ]
    async with service.database.write(scope) as connection:
        _, results = await documents.apply(connection, scope, Origin(), operations, kind="bulk")
    assert all(isinstance(one, Stored) for one in results), results
    return [one.document_id for one in results if isinstance(one, Stored)]


async def _fill(stage: Stage, service: Service, scope: Scope, chance: random.Random, count: int) -> dict[UUID, int]:
    """Documents of the user, some of them replaced, some handed to another user; and others' documents, which stay."""
    ids: list[UUID] = []
    for at in range(0, count, 500):
        ids += await _put(service, scope, [_theirs(stage, chance) for _ in range(min(500, count - at))])
    await _put(service, scope, [_theirs(stage, chance) for _ in range(count // 4)], ids[: count // 4])
    plain = [Document(title=f"Plain {at}", content="common words", metadata={"user_id": "bob"}) for at in range(count)]
    others = await _put(service, scope, plain[: count - 2])
    # A document that was the user's once: its last version stays, the ones before go.
    handed = await _put(service, scope, [_theirs(stage, chance) for _ in range(2)])
    others += await _put(service, scope, plain[count - 2 :], handed)
    return {one: 2 if one in handed else 1 for one in others}


async def _ask_around(stage: Stage, service: Service, scope: Scope) -> None:
    """Searches that leave answers with canaries in memory and in Redis."""
    await service.engines[0].refresh()
    for text in ("words", "title", "again"):
        answer = await service.search.search(scope.query(Query(clause=Match(text), size=10)))
        stage.expect(answer.result.total > 0, f"nothing is found by {text}")


async def _remarks(stage: Stage, settings: Settings, scope: Scope) -> None:
    """Where pieces of documents may be kept besides: what an index said of one, and what was searched for."""
    admin = await connect(settings, SUPERUSER)
    one = await admin.fetchrow("SELECT * FROM documents WHERE metadata ->> 'user_id' = $1", f"{stage.canary}{USER}")
    assert one
    reason = f"failed to parse field: '{stage.canary}'"
    task = await admin.fetchval("SELECT task_id FROM tasks LIMIT 1")
    await admin.execute(
        "INSERT INTO dead_letters VALUES (-1, $1, $2, 1, $3, 5, $4)", scope.tenant_id, one["document_id"], task, reason
    )
    errors = [{"document_id": str(one["document_id"]), "reason": reason}]
    await admin.execute("UPDATE tasks SET errors = $2 WHERE task_id = $1", task, errors)
    await admin.execute(
        "INSERT INTO popular_queries VALUES ($1, '', $2, 1, 0, now())", scope.tenant_id, {"q": stage.canary}
    )
    await admin.close()


async def _work(worker: Worker, relay: Relay) -> None:
    """Works until nothing waits, through the broker."""
    for _ in range(600):
        await relay.step()
        while await worker.step():
            pass
        if (await worker._queue.depth()).ready == 0:
            return
        await worker._queue.wait(0.2)
    raise AssertionError("not all was indexed")


async def _erase(stage: Stage, service: Service, scope: Scope, worker: Worker, relay: Relay) -> None:
    async with service.database.write(scope) as connection:
        subjects = Subjects(service.keys.digest)
        asked = await erasures.ask(connection, scope, Origin(), subjects, f"{stage.canary}{USER}")
    stage.figures["documents_erased"] = asked.documents
    house = worker.house
    assert house
    while await house.step():
        await _work(worker, relay)
        await asyncio.sleep(0.5)
    stage.tell(f"erasure: {asked.documents} documents erased")


async def _nothing_left(stage: Stage, when: str, settings: Settings, service: Service, others: dict[UUID, int]) -> None:
    for place, hits in (await _scan(stage, settings, service)).items():
        stage.figures[f"canaries_{when.replace(' ', '_')}_in_{place}"] = hits
        stage.expect(hits == 0, f"{when}: {hits} canaries in {place}")
    admin = await connect(settings, SUPERUSER)
    scope = internal(await tenants.find(admin, "a"), "soak")
    await admin.close()
    async with service.database.read(scope) as connection:
        there = dict(await documents.current_versions(connection, scope.tenant_id))
    stage.expect(there == others, f"{when}: of {len(others)} documents of others {len(there)} are there")
    for engine in service.engines:
        indexed = dict(await engine.versions(scope.tenant_id))
        stage.expect(indexed == others, f"{when}: {engine.level} has {len(indexed)} of {len(others)} documents")
        found = await engine.search(scope.query(Query(clause=Match(stage.canary))))
        stage.expect(found.total == 0, f"{when}: {engine.level} finds {found.total} by a canary")


async def _scan(stage: Stage, settings: Settings, service: Service) -> dict[str, int]:
    """Canaries by place."""
    places: dict[str, Callable[[], Awaitable[int]]] = {
        "postgresql": lambda: _in_postgresql(stage, settings),
        "opensearch": lambda: _in_opensearch(stage, service),
        "redis": lambda: _in_redis(stage, settings),
        "rabbitmq": lambda: _in_rabbitmq(stage, settings),
    }
    return {place: await look() for place, look in places.items()}


async def _in_postgresql(stage: Stage, settings: Settings) -> int:
    """Rows of any table with the canary in any column, as text or as bytes."""
    admin = await connect(settings, SUPERUSER)
    tables = await admin.fetch(
        """
        SELECT oid::regclass::text FROM pg_class
        WHERE relkind = 'r' AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
          AND relnamespace::regnamespace::text NOT LIKE 'pg\\_%'
        """
    )
    stage.figures["tables_scanned"] = len(tables)
    hits = 0
    for (table,) in tables:
        hits += await admin.fetchval(
            f"SELECT count(*) FROM {table} AS one WHERE one::text ~* $1",
            f"{stage.canary}|{stage.canary.encode().hex()}",
        )
    await admin.close()
    return hits


async def _in_opensearch(stage: Stage, service: Service) -> int:
    """Documents with the canary: by a search of all fields, by reading all there is, by id, and in what was deleted."""
    client = service.engines[0]._client  # type: ignore[attr-defined]
    await client.indices.refresh(index="_all")
    wild = {"query": {"query_string": {"query": f"*{stage.canary}*", "fields": ["*"], "lenient": True}}}
    hits: int = (await client.count(index="_all", body=wild))["count"]
    after: list[Any] = []
    while True:
        body: dict[str, Any] = {"query": {"match_all": {}}, "size": 1000, "sort": ["document_id"]}
        page = (await client.search(index="docsearch-*", body=body | ({"search_after": after} if after else {})))[
            "hits"
        ]["hits"]
        if not page:
            break
        after = page[-1]["sort"]
        for one in page:
            routing = {"routing": one["_routing"]} if "_routing" in one else {}
            got = await client.get(index=one["_index"], id=one["_id"], **routing)
            hits += stage.canary in str(one) or stage.canary in str(got)
    if stage.segments and "documents_erased" in stage.figures:
        await client.indices.flush(index="docsearch-*")
        deleted = (await client.indices.stats(index="docsearch-*", metric="docs"))["_all"]["primaries"]["docs"][
            "deleted"
        ]
        stage.expect(deleted == 0, f"{deleted} deleted documents are still in the segments of OpenSearch")
    return hits


async def _in_redis(stage: Stage, settings: Settings) -> int:
    client: Any = open_client(settings)
    needle, hits, keys = stage.canary.encode(), 0, 0
    async for key in client.scan_iter(count=1000):
        keys += 1
        kind = await client.type(key)
        value = await client.get(key) if kind == b"string" else await client.dump(key)
        hits += needle in key or needle in (value or b"")
    await client.aclose()
    stage.figures["redis_keys_scanned"] = keys
    return hits


async def _in_rabbitmq(stage: Stage, settings: Settings) -> int:
    """Messages with the canary; what was looked at goes back."""
    assert settings.broker_password
    connection = await aio_pika.connect(
        host=settings.broker_host, port=settings.broker_port, login="guest", password="guest"
    )
    hits = messages = 0
    async with connection:
        for name in ("docsearch.index", "docsearch.index.dead"):
            # Closed at the end, it gives back all that was taken.
            channel = await connection.channel()
            queue = await channel.get_queue(name, ensure=False)
            found = stage.taken() if name == "docsearch.index" else []
            while message := await queue.get(fail=False):
                found.append(message)
            messages += len(found)
            hits += sum(stage.canary.encode() in one.body or stage.canary in str(one.headers) for one in found)
            await channel.close()
    stage.figures["messages_scanned"] = int(stage.figures.get("messages_scanned", 0)) + messages
    return hits


async def _restore(
    stage: Stage, settings: Settings, unguarded: Settings, scope: Scope, others: dict[UUID, int]
) -> None:
    """The backup from before the erasure: not served, replayed, made whole again, and scanned."""
    await _create(stage, "restored")
    done = stage.program("pg_restore", "--exit-on-error", "-d", "restored", stage.folder / "dump")
    stage.expect(done.returncode == 0, f"pg_restore fails: {done.stderr.decode()[-300:]}")
    its = settings.model_copy(update={"database_name": "restored"})
    stage.expect(await _in_postgresql(stage, its) > 0, "there is no canary in the backup")
    await _refused(stage, its, "knows nothing of 1 of 1 erasures")
    plain = its.model_copy(update={"database_user": SUPERUSER})
    assert settings.erasure_ledger
    # Interrupted after some of it, and begun again.
    stage.expect(await compliance.replay(plain, settings.erasure_ledger, stage.tell) == 1, "nothing was replayed")
    stage.expect(await compliance.replay(plain, settings.erasure_ledger, stage.tell) == 0, "it is replayed twice")
    for one in await upkeep.rebuild(plain, None, tell=stage.tell, grace=0):
        stage.expect(one.equal, f"{one.level} is not equal to the database that was restored")
    async with open_service(its, with_worker=False) as (service, _):
        await _nothing_left(stage, "after the restore", its, service, others)
        trail = await compliance.verify(plain, None, None)
        stage.expect(all(one.verdict.broken_at is None for one in trail), "the audit trail is broken after the replay")


async def _refused(stage: Stage, settings: Settings, said: str) -> None:
    """Neither requests are answered nor is anything indexed."""
    for opened in (open_service(settings, with_worker=False), open_worker(settings)):
        try:
            async with opened:
                stage.expect(False, f"it is served, and should not be: {said}")
        except SettingsError as error:
            stage.expect(said in str(error), f"it is refused by {error}, not by {said}")


async def _bad_input(stage: Stage, unguarded: Settings) -> None:
    """Backups and ledgers that are not whole: said so, and nothing served."""
    whole = (stage.folder / "dump").read_bytes()
    flipped = bytearray(whole)
    for at in range(len(whole) // 2, len(whole) // 2 + 64):
        flipped[at] ^= 0xFF
    for name, raw in {"cut": whole[: len(whole) * 2 // 3], "flipped": bytes(flipped)}.items():
        (stage.folder / name).write_bytes(raw)
        await _create(stage, name)
        done = stage.program("pg_restore", "--exit-on-error", "-d", name, stage.folder / name)
        stage.expect(done.returncode != 0, f"pg_restore takes a backup that is {name}")
        its = unguarded.model_copy(update={"database_name": name})
        try:
            async with open_service(its, with_worker=False):
                stage.expect(False, f"a database is served whose backup is {name}")
        except SettingsError as error:
            # Nothing came of it, or tables without what comes last.
            told = any(said in str(error) for said in ("is not whole", "does not have the schema"))
            stage.expect(told, f"a database whose backup is {name} is refused by {error}")
            stage.tell(f"erasure: a backup that is {name} is refused: {error}")
    ledger = stage.folder / "ledger.ndjson"
    entries = [line for line in ledger.read_bytes().splitlines(keepends=True) if line.strip()]
    foreign = stage.folder / "foreign.ndjson"
    logbook.add(foreign, "erasures", uuid4(), [{"erasure_id": str(uuid4())}], key="erasure_id")
    broken = stage.folder / "broken.ndjson"
    broken.write_bytes(entries[0].replace(b'"subject":"', b'"subject":"0'))
    for file, said in {foreign: "is of the deployment", broken: "line 1 of"}.items():
        its = unguarded.model_copy(update={"database_name": "restored", "erasure_ledger": str(file)})
        await _refused(stage, its, said)
        try:
            await compliance.replay(its.model_copy(update={"database_user": SUPERUSER}), str(file), stage.tell)
            stage.expect(False, f"{file.name} is replayed")
        except SettingsError as error:
            stage.expect(said in str(error), f"{file.name} is refused by {error}")
