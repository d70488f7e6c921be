"""Erasure of a user, and deletion of what is old: what goes, what stays, and what nobody can bring back."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from app import administration, compliance, logbook
from app.access.keys import digest_of
from app.document import Document, check
from app.errors import ForbiddenError, InvalidRequestError, SettingsError
from app.housekeeping import Housekeeping
from app.index.model import Everything, Query
from app.ledger import FileLedger
from app.runtime import open_service, open_worker
from app.search.model import NoCache
from app.store import audit, documents, erasures, tasks
from app.store.audit import Origin
from app.store.database import connect
from app.store.documents import Operation
from app.store.embedded import SUPERUSER
from app.store.erasures import Erasure, Subjects
from app.store.tasks import State
from app.tenancy import Right, Scope
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]

SUBJECTS = Subjects(partial(digest_of, b"k" * 32))


def of(user: Any, title: str = "Diary") -> Document:
    metadata = {"user_id": user} if user is not None else {}
    return check(Document(title=title, content=f"words of {title}", metadata=metadata), max_bytes=10_000)


async def erase(world: World, scope: Scope, user: str | int) -> Erasure:
    async with world.app.write(scope) as connection:
        return await erasures.ask(connection, scope, Origin("192.0.2.1", "test", "c"), SUBJECTS, user)


def house(world: World, **more: Any) -> Housekeeping:
    return Housekeeping(world.work, (world.index,), NoCache(), **{"settle_seconds": 0, **more})


async def finish(world: World, **more: Any) -> None:
    its = house(world, **more)
    assert await its.step() <= 1
    await world.index_all()
    assert await its.step() == 0


async def run(world: World, statements: str) -> None:
    for one in statements.split("; "):
        await world.admin(one)


async def found(world: World, scope: Scope) -> set[UUID]:
    result = await world.index.search(scope.query(Query(clause=Everything(), size=100)))
    return {hit.document_id for hit in result.hits}


async def test_all_of_a_user_goes_and_nothing_else(world: World) -> None:
    scope, other = await world.tenant("a"), await world.tenant("b")
    mine = [await world.put(scope, of("ada", f"Diary {number}")) for number in range(3)]
    theirs = [await world.put(scope, of(user, f"Note of {user}")) for user in ("bob", "ada2", None)]
    foreign = await world.put(other, of("ada"))
    await world.put(scope, of("ada", "Diary, changed"), mine[0].document_id)
    await world.index_all()
    asked = await erase(world, scope, "ada")
    assert asked.documents == 3
    await finish(world)
    assert await found(world, scope) == {one.document_id for one in theirs}
    assert await found(world, other) == {foreign.document_id}
    assert await world.admin("SELECT * FROM document_versions") == []
    assert await world.admin("SELECT * FROM vocabulary WHERE word = 'diary' AND tenant_id = $1", scope.tenant_id) == []
    async with world.app.read(scope) as connection:
        task = await tasks.get(connection, scope.tenant_id, asked.task_id)
        assert (task.kind, task.state, task.done, task.total) == ("erasure", State.SUCCEEDED, 4, 4)
        verdict = await audit.verify(connection, scope.tenant_id)
        assert verdict.broken_at is None
        actions = [row["action"] for row in await audit.page(connection, scope.tenant_id, before=None, size=2)]
        assert actions == ["finish_erasure", "erase_user"]
    (row,) = await world.admin("SELECT * FROM erasures")
    assert (row["documents"], row["finished_at"] is not None) == (3, True)
    assert await world.admin("SELECT * FROM erased_documents") == []


async def test_versions_that_were_a_users_go_and_the_document_stays(world: World) -> None:
    scope = await world.tenant("a")
    first = await world.put(scope, of("ada", "Hers"))
    await world.put(scope, of("bob", "His"), first.document_id)
    await world.put(scope, of("bob", "Still his"), first.document_id)
    await world.index_all()
    assert (await erase(world, scope, "ada")).documents == 0
    await finish(world)
    async with world.app.read(scope) as connection:
        assert (await documents.get(connection, scope.tenant_id, first.document_id)).title == "Still his"
        kept = await documents.versions(connection, scope.tenant_id, first.document_id)
    assert [one.document["title"] for one in kept] == ["His"]


async def test_a_number_is_the_same_user_as_its_digits(world: World) -> None:
    scope = await world.tenant("a")
    for user in (42, 42.0, "42", 420, 4.2, True):
        await world.put(scope, of(user, f"Of {user!r}"))
    assert (await erase(world, scope, 42)).documents == 3
    assert (await erase(world, scope, "nobody")).documents == 0


async def test_what_is_written_after_it_was_asked_stays(world: World) -> None:
    scope = await world.tenant("a")
    old = await world.put(scope, of("ada", "Old"))
    gone = await world.put(scope, of("ada", "Gone"))
    await world.index_all()
    await erase(world, scope, "ada")
    its = house(world)
    assert await its.step() == 1
    back = await world.put(scope, of("ada", "She is back"), old.document_id)
    await world.index_all()
    assert await its.step() == 0
    assert await found(world, scope) == {back.document_id}
    assert gone.document_id not in await world.index.versions(scope.tenant_id)


async def test_no_claim_brings_an_erased_document_back(world: World) -> None:
    """What was queued, or is in the hands of a worker, when it was erased."""
    scope = await world.tenant("a")
    stored = await world.put(scope, of("ada"))
    async with world.queue.delivery() as held:
        assert held
        writes = await world.worker._read(scope.tenant_id, held.batch.claims)
        await erase(world, scope, "ada")
        assert await house(world).step() == 1
        # Another worker brings the deletion first, then this one the document that it had read before.
        (other,) = await world.admin("SELECT * FROM outbox ORDER BY outbox_id DESC LIMIT 1")
        assert other["version"] == 2
        async with world.queue.delivery() as newer:
            assert newer
            await world.worker._index(newer, newer.batch.claims)
        await world.index.write([*writes.values()])
        await held.done(held.batch.claims, {stored.document_id: 1})
    await world.index_all()
    assert await found(world, scope) == set()
    assert await house(world).step() == 0
    (row,) = await world.admin("SELECT title, deleted, words::text FROM full_text")
    assert tuple(row) == ("", True, "")


@pytest.mark.parametrize("given_up", [False, True], ids=["refused", "given up"])
async def test_a_version_stays_in_no_index_because_the_one_after_it_failed(given_up: bool, world: World) -> None:
    scope = await world.tenant("a")
    first = await world.put(scope, of("ada", "Hers"))
    kept = await world.put(scope, of("bob", "His"))
    await world.index_all()
    await world.put(scope, of("bob", "Was hers"), first.document_id)
    async with world.queue.delivery() as delivery:
        assert delivery
        claims = [replace(one, attempts=world.settings.worker_attempts - 1) for one in delivery.batch.claims]
        await (delivery.again if given_up else delivery.dead)(claims, "failed to parse")
    assert await world.index.versions(scope.tenant_id) == {first.document_id: 1, kept.document_id: 1}
    assert (await erase(world, scope, "ada")).documents == 0
    await finish(world)
    assert await world.index.versions(scope.tenant_id) == {kept.document_id: 1}
    assert await found(world, scope) == {kept.document_id}
    assert [row["document_id"] for row in await world.admin("SELECT * FROM full_text")] == [kept.document_id]
    # What it became is still there, and once it can be indexed it is found.
    async with world.app.read(scope) as connection:
        assert (await documents.get(connection, scope.tenant_id, first.document_id)).status == "FAILED"
    mended = await world.put(scope, of("bob", "Mended"), first.document_id)
    await world.index_all()
    assert await world.index.versions(scope.tenant_id) == {kept.document_id: 1, first.document_id: mended.version}


async def test_what_an_index_said_of_a_document_is_forgotten(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, of("ada"))
    other = await world.put(scope, of("bob", "Other"))
    async with world.queue.delivery() as delivery:
        assert delivery
        await delivery.dead(delivery.batch.claims, "failed to parse field: 'canary'")
    await erase(world, scope, "ada")
    await finish(world)
    letters = await world.admin("SELECT document_id, reason FROM dead_letters")
    assert {row["document_id"]: row["reason"] for row in letters} == {
        stored.document_id: "erased",
        other.document_id: "failed to parse field: 'canary'",
    }
    errors = [one for row in await world.admin("SELECT errors FROM tasks") for one in row["errors"]]
    assert {one["document_id"]: one["reason"] for one in errors} == {
        str(stored.document_id): "erased",
        str(other.document_id): "failed to parse field: 'canary'",
    }


async def test_one_worker_keeps_house_at_a_time_and_large_erasures_come_in_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.housekeeping.BATCH", 2)
    scope = await world.tenant("a")
    for number in range(5):
        await world.put(scope, of("ada", f"Diary {number}"))
    await erase(world, scope, "ada")
    first, second = house(world), house(world)
    async with first._alone() as held:
        assert held
        assert await second.step() == 0
        assert (await world.admin("SELECT count(*) FROM documents WHERE status = 'DELETED'"))[0][0] == 0
    await finish(world)
    assert (await world.admin("SELECT count(*) FROM documents WHERE status = 'DELETED'"))[0][0] == 5


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("SELECT FROM documents WHERE document_id = $1 FOR NO KEY UPDATE", "high"),
        ("DELETE FROM outbox WHERE document_id = $1", "low"),
        ("SELECT FROM tasks WHERE errors -> 0 ->> 'document_id' = $1::uuid::text FOR UPDATE", "low"),
    ],
    ids=["documents", "outbox", "tasks"],
)
async def test_what_the_worker_holds_is_waited_for_with_empty_hands(first: str, then: str, world: World) -> None:
    scope = await world.tenant("a")
    low, high = sorted((uuid4(), uuid4()))
    # Where they lie in the table, the higher id comes first.
    for one in (high, low):
        await world.put(scope, of("ada", f"Diary {one}"), one)
    await world.admin("UPDATE outbox SET last_error = 'failed to parse'")
    error = "jsonb_build_array(jsonb_build_object('document_id', document_id, 'reason', 'failed to parse'))"
    await world.admin(f"UPDATE tasks SET errors = {error} FROM outbox WHERE tasks.task_id = outbox.task_id")
    owner, worker = await connect(world.settings, SUPERUSER), await connect(world.settings, SUPERUSER)
    try:
        await owner.execute("SET enable_indexscan = off; SET enable_bitmapscan = off")
        ids = {"low": low, "high": high}
        async with worker.transaction():
            await worker.execute(first, low)
            burying = asyncio.create_task(
                owner.fetchval("SELECT bury_documents($1, $2, gen_random_uuid())", scope.tenant_id, [*ids.values()])
            )
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'"
            while not await worker.fetchval(waiting, owner.get_server_pid()):
                assert not burying.done(), "it waits for nobody"
                await asyncio.sleep(0.01)
            await worker.execute("SELECT FROM documents WHERE document_id = $1 FOR NO KEY UPDATE", ids[then])
        assert await burying == 2
    finally:
        await owner.close()
        await worker.close()


@pytest.mark.parametrize("user", ["", "x" * 1001, "a\0b", "\ud800"])
async def test_what_cannot_be_a_user_is_refused(user: str, world: World) -> None:
    scope = await world.tenant("a")
    with pytest.raises(InvalidRequestError, match="user_id"):
        await erase(world, scope, user)
    assert await world.admin("SELECT * FROM erasures") == []


async def test_only_who_administrates_erases_and_only_own_documents(world: World) -> None:
    scope, other = await world.tenant("a"), await world.tenant("b")
    await world.put(other, of("ada"))
    writer = Scope(tenant_id=scope.tenant_id, actor="test", rights=frozenset({Right.READ, Right.WRITE}))
    with pytest.raises(ForbiddenError):
        await erase(world, writer, "ada")
    assert (await erase(world, scope, "ada")).documents == 0
    for statement in (
        "SELECT erase_documents(current_tenant(), gen_random_uuid(), gen_random_uuid(), 1)",
        "SELECT bury_documents(current_tenant(), '{}', gen_random_uuid())",
        "SELECT record_audit(current_tenant(), '', '', '', '{}')",
        "SELECT delete_old_documents()",
        "SELECT * FROM erased_documents",
        "UPDATE erasures SET subject_hash = ''",
        "DELETE FROM erasures",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with world.app.write(scope) as connection:
                await connection.execute(statement)


# The ledger


async def test_the_ledger_comes_before_the_deed_and_names_nobody(world: World, tmp_path: Path) -> None:
    scope = await world.tenant("a")
    await world.put(scope, of("grace"))
    asked = await erase(world, scope, "grace")
    with pytest.raises(SettingsError, match="cannot be written"):
        await house(world, ledger=FileLedger(tmp_path / "no" / "ledger")).step()
    assert (await world.admin("SELECT status FROM documents"))[0][0] == "PENDING"
    ledger = tmp_path / "ledger"
    await finish(world, ledger=FileLedger(ledger))
    connection = await connect(world.settings, SUPERUSER)
    (entry,) = logbook.read(ledger, "erasures", await erasures.deployment(connection))
    await connection.close()
    assert entry["erasure_id"] == str(asked.erasure_id)
    assert b"grace" not in ledger.read_bytes()


async def test_nothing_is_served_while_the_ledger_is_ahead_or_broken(world: World, tmp_path: Path) -> None:
    scope = await world.tenant("a")
    await world.put(scope, of("ada"))
    await erase(world, scope, "ada")
    ledger = tmp_path / "ledger"
    settings = world.settings.model_copy(update={"erasure_ledger": str(ledger)})

    async def refused(said: str) -> None:
        with pytest.raises(SettingsError, match=said):
            async with open_service(settings, with_worker=False):
                pass
        with pytest.raises(SettingsError, match=said):
            async with open_worker(settings):
                pass

    await refused("cannot be read: No such file")
    assert await compliance.export(world.settings, str(ledger)) == 1
    async with open_service(settings, with_worker=False):
        pass
    await world.admin("DELETE FROM erasures")
    await refused("knows nothing of 1 of 1 erasures")
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:-9])
    await refused("line 1 of .* is broken: it is cut off")
    ledger.write_bytes(whole.replace(b"metadata", b"Metadata"))
    await refused("line 1 of .* is broken: it does not follow")


async def test_a_ledger_that_was_hashed_with_another_key_changes_nothing(world: World, tmp_path: Path) -> None:
    scope = await world.tenant("a")
    await world.put(scope, of("ada"))
    await erase(world, scope, "ada")
    await compliance.export(world.settings, str(tmp_path / "ledger"))
    await world.admin("DELETE FROM erasures")
    today = datetime.now(UTC).date()
    its = f"1 erasures were hashed with another key: .* without the peppers {SUBJECTS.key} .last on {today}"
    with pytest.raises(SettingsError, match=its):
        await compliance.replay(world.settings, str(tmp_path / "ledger"), print)
    assert (await world.admin("SELECT status FROM documents"))[0][0] == "PENDING"


async def test_a_ledger_is_replayed_with_every_pepper_that_was_used_in_it(world: World, tmp_path: Path) -> None:
    scope, ledger = await world.tenant("a"), str(tmp_path / "ledger")
    former = {"ada": b"k" * 32, "bob": b"l" * 32, "cyd": world.settings.secret("api_key_pepper")}
    for user, pepper in former.items():
        await world.put(scope, of(user))
        async with world.app.write(scope) as connection:
            subjects = Subjects(partial(digest_of, pepper))
            await erasures.ask(connection, scope, Origin("192.0.2.1", "test", "c"), subjects, user)
    kept = await world.put(scope, of("dan"))
    assert await compliance.export(world.settings, ledger) == 3
    await world.admin("DELETE FROM erasures")
    one = world.settings.model_copy(update={"api_key_pepper_previous": SecretStr("k" * 32)})
    with pytest.raises(SettingsError, match="1 erasures were hashed with another key"):
        await compliance.replay(one, ledger, print)
    all_ = world.settings.model_copy(update={"api_key_pepper_previous": SecretStr(f"{'l' * 32} {'k' * 32}")})
    assert await compliance.replay(all_, ledger, print) == 3
    rows = await world.admin("SELECT document_id FROM documents WHERE status <> 'DELETED'")
    assert [row["document_id"] for row in rows] == [kept.document_id]
    assert await compliance.replay(world.settings, ledger, print) == 0, "what is known needs no pepper"


async def test_a_database_without_its_last_part_is_not_served(world: World) -> None:
    await run(world, "DROP POLICY own ON documents; DROP POLICY administration ON documents")
    with pytest.raises(SettingsError, match="the database is not whole"):
        async with open_service(world.settings, with_worker=False):
            pass


# Retention


async def age(world: World, stored: documents.Stored, years: float) -> None:
    days = int(years * 365.25)
    await world.admin(
        f"UPDATE documents SET created_at = now() - interval '{days} days' WHERE document_id = $1", stored.document_id
    )


async def test_what_is_older_than_its_tenant_keeps_it_goes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.housekeeping.BATCH", 2)
    short, long = await world.tenant("short"), await world.tenant("long")
    await administration.retain(world.settings, "long", 7)
    kept = set()
    for scope in (short, long):
        for years in (0, 1.9, 2.1, 3, 6.9, 7.1):
            stored = await world.put(scope, Document(title=f"Of {years} years"))
            await age(world, stored, years)
            if years < (2 if scope is short else 7):
                kept.add(stored.document_id)
    await world.index_all()
    assert await house(world).delete_old() == 5
    assert await house(world).delete_old() == 0
    await world.index_all()
    assert await found(world, short) | await found(world, long) == kept
    rows = await world.admin("SELECT * FROM audit WHERE action = 'delete_old_documents' ORDER BY at")
    assert [row["detail"]["documents"] for row in rows if row["tenant_id"] == short.tenant_id] == [2, 2]
    assert [row["detail"] for row in rows if row["tenant_id"] == long.tenant_id] == [{"documents": 1, "years": 7}]
    for scope in (short, long):
        async with world.app.read(scope) as connection:
            assert (await audit.verify(connection, scope.tenant_id)).broken_at is None
            its = await tasks.page(connection, scope.tenant_id, state=None, size=100)
            assert {one.state for one in its} == {State.SUCCEEDED}
            assert "retention" in {one.kind for one in its}


async def test_old_documents_are_looked_for_at_once_and_then_every_night(world: World) -> None:
    now = [datetime(2026, 11, 28, 5, 0, tzinfo=UTC)]
    its = house(world, clock=lambda: now[0])
    looked = []

    async def look() -> int:
        looked.append(now[0])
        return 0

    its.delete_old = look  # type: ignore[method-assign]
    for day, hour in ((28, 5), (28, 23), (29, 1), (29, 2), (29, 3), (30, 1), (30, 4)):
        now[0] = datetime(2026, 11, day, hour, tzinfo=UTC)
        await its.step()
    assert [(one.day, one.hour) for one in looked] == [(28, 5), (29, 2), (30, 4)]


async def test_pg_cron_deletes_batch_after_batch_where_it_is(world: World) -> None:
    """What it runs, run by hand: the extension itself is no part of the PostgreSQL that is here."""
    scope = await world.tenant("a")
    for number in range(3):
        await age(world, await world.put(scope, Document(title=f"Old {number}")), 3)
    assert (await world.admin("SELECT schedule_retention()"))[0][0] is False
    await world.admin("CALL delete_all_old_documents()")
    assert (await world.admin("SELECT count(*) FROM documents WHERE status = 'DELETED'"))[0][0] == 3
    await run(
        world,
        "CREATE SCHEMA cron; CREATE TABLE cron.job (jobname text, active boolean); "
        "INSERT INTO cron.job VALUES ('delete-old-docs', true)",
    )
    await age(world, await world.put(scope, Document(title="Old again")), 3)
    await house(world).step()
    assert (await world.admin("SELECT count(*) FROM documents WHERE status = 'DELETED'"))[0][0] == 3


# The audit trail, by hand


async def test_a_trail_that_was_cut_or_made_anew_shows_against_its_heads(world: World, tmp_path: Path) -> None:
    scope = await world.tenant("a")
    for number in range(6):
        await world.put(scope, of(None, f"Note {number}"))
    heads = tmp_path / "heads"
    for _ in range(2):
        trails = await compliance.verify(world.settings, None, heads if heads.exists() else None)
        await compliance.keep_heads(world.settings, heads, trails)
    await world.write(scope, Operation(kind="put", document_id=uuid4(), document=of(None, "Later")))
    (trail,) = await compliance.verify(world.settings, "a", heads)
    assert (trail.verdict.rows, trail.verdict.broken_at, trail.heads) == (7, None, 1)
    await world.admin("DELETE FROM audit WHERE seq > 5")
    (trail,) = await compliance.verify(world.settings, None, None)
    assert trail.verdict.broken_at is None, "nobody can see it without the heads"
    (trail,) = await compliance.verify(world.settings, None, heads)
    assert (trail.verdict.rows, trail.verdict.broken_at) == (5, 6)
    await world.admin("DELETE FROM audit")
    await run(world, "DELETE FROM outbox; DELETE FROM documents; DELETE FROM tenants")
    (trail,) = await compliance.verify(world.settings, None, heads)
    assert (trail.tenant, trail.verdict.broken_at) == (str(scope.tenant_id), 1)
