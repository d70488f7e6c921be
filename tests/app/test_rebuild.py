"""`rebuild-index` and `verify-index`, as an operator has them: the index deleted, damaged, written to, interrupted."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from app import upkeep
from app.document import Document
from app.errors import DeadlineExceededError, UnavailableError
from app.index.model import Outcome, Query, Write, Written
from app.index.placement import SCHEMA, Tier
from app.queue.model import PART_BYTES
from app.rebuild import fill
from app.store import documents
from app.store.documents import Operation, Stored
from app.tenancy import Scope
from tests.app.domain import LAYOUT_SECONDS, Domain, domain_of
from tests.app.services.servers import OpenSearch as Server
from tests.app.world import SECRETS, World

pytestmark = [pytest.mark.services, pytest.mark.anyio]

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def domain(world: World, opensearch: Server) -> AsyncIterator[Domain]:
    async with domain_of(world, opensearch) as its:
        yield its


def environment(domain: Domain) -> dict[str, str]:
    its = domain.settings
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DOCSEARCH_", "DATABASE_"))}
    return clean | {
        "DATABASE_HOST": its.database_host,
        "DATABASE_PORT": str(its.database_port),
        "DATABASE_NAME": its.database_name,
        "DATABASE_TLS": "disable",
        "DATABASE_POOL_MIN": "0",
        "OPENSEARCH_HOST": its.opensearch_host,
        "OPENSEARCH_PORT": str(its.opensearch_port),
        "OPENSEARCH_TLS": "false",
        **{name.upper(): value for name, value in SECRETS.items()},
    }


def start(domain: Domain, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app", *words],
        cwd=ROOT,
        env=environment(domain),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def run(domain: Domain, *words: str) -> tuple[int, str, str]:
    process = start(domain, *words)
    out, err = await asyncio.to_thread(process.communicate, timeout=120)
    return process.returncode, out, err


async def rebuild(domain: Domain, *words: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, err = await run(domain, "rebuild-index", "--json", "--grace", "0.5", *words)
    assert code in (0, 3), err
    return code, json.loads(out)


async def tenant(domain: Domain, name: str, number: int) -> tuple[Scope, list[UUID]]:
    scope = await domain.world.tenant(name)
    made = [Operation(kind="create", document=Document(title=f"Tea {name} {at}")) for at in range(number)]
    stored = [one for one in await domain.world.write(scope, *made) if isinstance(one, Stored)]
    gone = stored[0].document_id
    await domain.world.write(scope, Operation(kind="delete", document_id=gone))
    await domain.world.index_all()
    return scope, [one.document_id for one in stored if one.document_id != gone]


async def test_an_index_that_was_deleted_is_made_again_as_the_database_has_it(domain: Domain) -> None:
    small, _ = await tenant(domain, "small", 30)
    large, _ = await tenant(domain, "large", 1200)
    await domain.world.tenant("empty")
    await upkeep.place(domain.settings, "large", Tier.MEDIUM, dry_run=False, tell=print, grace=0.1)
    await domain.clear()
    code, _, err = await run(domain, "verify-index")
    assert (code, "OpenSearch lacks an index" in err) == (1, True), err
    code, out, err = await run(domain, "migrate")
    assert (code, "rebuild-index makes it from the database" in out) == (0, True), err
    assert await domain.indexes() == set(), "an empty index would answer that there is nothing"
    code, out, err = await run(domain, "rebuild-index", "--grace", "0.1")
    assert code == 0, err
    for level in ("opensearch", "full_text"):
        for name, number in {"small": "29", "large": "1,199", "empty": "0"}.items():
            line = rf"^{name} +{level} +{number} +([0-9a-f]{{16}}) +{number} +\1 +equal$"
            assert re.search(line, out, re.MULTILINE), out
    await asyncio.sleep(LAYOUT_SECONDS)
    for scope in (small, large):
        async with domain.world.app.read(scope) as connection:
            there = await documents.current_versions(connection, scope.tenant_id)
        assert await domain.search.versions(scope.tenant_id) == there
        assert await domain.world.index.versions(scope.tenant_id) == there
    code, found, _ = await run(domain, "verify-index", "--json")
    assert code == 0
    assert [(one["tenant"], one["equal"]) for one in json.loads(found)] == [
        (name, True) for _ in range(2) for name in ("empty", "large", "small")
    ]
    code, _, err = await run(domain, "rebuild-index", "--tenant", "nobody")
    assert (code, "there is no tenant 'nobody'" in err) == (1, True)


async def test_what_differs_is_found_and_put_right_and_other_tenants_are_left_alone(domain: Domain) -> None:
    scope, ids = await tenant(domain, "damaged", 20)
    other, _ = await tenant(domain, "other", 5)
    engine, stray = domain.search, uuid4()
    async with domain.world.app.read(scope) as connection:
        (found,) = await documents.many(connection, scope.tenant_id, ids[:1])

    def write(document_id: UUID, version: int) -> Write:
        return Write(tenant_id=scope.tenant_id, document_id=document_id, version=version, entry=found.entry())

    # A document is lost, one is of a time that has not been, and one was never in the database.
    for index in (engine, domain.world.index):
        await index.remove(scope.tenant_id, ids[:1])
        await index.write([write(ids[1], 7), write(stray, 3)])
    await engine.refresh()
    before = await domain.indexes()
    code, out, _ = await run(domain, "verify-index", "--wait", "0.2")
    assert code == 3
    assert len(re.findall(r"DIFFERS: 1 missing, 1 too many, 1 of another version$", out, re.MULTILINE)) == 2, out
    assert len(re.findall(r"^other .* equal$", out, re.MULTILINE)) == 2
    code, compared = await rebuild(domain, "--tenant", "damaged")
    assert (code, [(one["tenant"], one["documents"], one["equal"]) for one in compared]) == (
        0,
        [("damaged", 19, True)] * 2,
    )
    assert await domain.indexes() == before, "the index of others was not made again"
    async with domain.world.app.read(scope) as connection:
        there = await documents.current_versions(connection, scope.tenant_id)
    for level in (engine, domain.world.index):
        assert await level.versions(scope.tenant_id) == there
        assert len(await level.versions(other.tenant_id)) == 4
    # What was put right takes the next version.
    await domain.world.put(scope, Document(title="Next"), ids[1])
    await domain.world.index_all()
    assert (await engine.versions(scope.tenant_id))[ids[1]] == there[ids[1]] + 1
    vocabulary = await domain.world.admin("SELECT documents FROM vocabulary WHERE word = 'damaged'")
    assert [row["documents"] for row in vocabulary] == [18]


async def test_while_writes_go_on_both_are_equal_in_the_end(domain: Domain) -> None:
    scope, ids = await tenant(domain, "busy", 200)
    work = asyncio.create_task(domain.world.worker.run())
    stopping = asyncio.Event()

    async def write() -> int:
        count = 0
        while not stopping.is_set():
            operations = [Operation(kind="create", document=Document(title=f"New {uuid4()}"))]
            operations.append(Operation(kind="put", document_id=ids[count % 100], document=Document(title=f"{count}")))
            operations.append(Operation(kind="delete", document_id=ids[100 + count]) if count < 50 else operations[1])
            await domain.world.write(scope, *operations[: 3 if count < 50 else 2])
            count += 1
            await asyncio.sleep(0.02)
        return count

    writing = asyncio.create_task(write())
    for words in ((), ("--tenant", "busy")):
        code, compared = await rebuild(domain, *words)
        assert (code, [one["equal"] for one in compared]) == (0, [True, True]), compared
    stopping.set()
    assert await writing > 20
    await domain.settle()
    domain.world.worker.stop()
    await work
    code, out, _ = await run(domain, "verify-index", "--json")
    assert (code, [one["equal"] for one in json.loads(out)]) == (0, [True, True])


async def test_large_documents_are_read_and_written_a_few_at_a_time_and_each_once(world: World) -> None:
    scope = await world.tenant("a")
    sizes = [*([1] * 8), 2 * PART_BYTES, *([PART_BYTES // 3] * 7), 0]
    made = [Document(title="Tea", content=f"{at:07} " * (size // 8)) for at, size in enumerate(sizes)]
    stored = await world.write(scope, *(Operation(kind="put", document_id=uuid4(), document=one) for one in made))
    (gone, *_), batches = [one.document_id for one in stored if isinstance(one, Stored)], list[list[Write]]()
    await world.write(scope, Operation(kind="delete", document_id=gone))

    async def write(batch: Sequence[Write]) -> Sequence[Written]:
        batches.append([*batch])
        return [Written(one, Outcome.APPLIED) for one in batch]

    assert await fill(world.work, scope.tenant_id, write) == len(sizes)
    assert {one.document_id for batch in batches for one in batch} == {
        one.document_id for one in stored if isinstance(one, Stored)
    }
    assert sum(map(len, batches)) == len(sizes)
    for batch in batches:
        size = sum(len(one.entry.content) for one in batch if one.entry)
        assert len(batch) == 1 or size <= PART_BYTES


async def test_a_batch_that_takes_too_long_is_tried_again(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, Document(title="Tea"))
    tried = list[Sequence[Write]]()

    async def write(batch: Sequence[Write]) -> Sequence[Written]:
        tried.append(batch)
        if len(tried) == 1:
            raise DeadlineExceededError("PostgreSQL took longer than 10 s")
        return [Written(one, Outcome.APPLIED) for one in batch]

    assert await fill(world.work, scope.tenant_id, write) == 1
    assert len(tried) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_interrupted_it_leaves_the_old_index_and_goes_on_when_it_is_run_again(
    number: signal.Signals, domain: Domain
) -> None:
    scope, _ = await tenant(domain, "a", 2600)
    before = await domain.indexes()
    process = start(domain, "rebuild-index", "--grace", "0.1")
    assert process.stderr is not None
    line = await asyncio.to_thread(process.stderr.readline)
    assert f"500 documents copied to docsearch-small-{SCHEMA}-000002" in line
    process.send_signal(number)
    _, err = await asyncio.to_thread(process.communicate, timeout=60)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in err
        assert "run it again" in err
    await domain.search.refresh()
    assert (await domain.search.search(scope.query(Query(size=1)))).total == 2599
    assert await domain.behind("docsearch-small") == before
    code, compared = await rebuild(domain)
    assert (code, [(one["documents"], one["equal"]) for one in compared]) == (0, [(2599, True)] * 2)
    assert (await domain.search.search(scope.query(Query(size=1)))).total == 2599
    assert len(await domain.indexes()) == 1


async def test_a_tenant_alone_is_not_made_again_in_an_index_that_is_gone(domain: Domain) -> None:
    await tenant(domain, "a", 3)
    await domain.clear()
    code, _, err = await run(domain, "rebuild-index", "--tenant", "a")
    assert (code, "a shares an index that is not there" in err) == (1, True), err
    with pytest.raises(UnavailableError, match="lacks an index"):
        await upkeep.verify(domain.settings)
