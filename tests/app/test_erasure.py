"""Erasure of a user: what goes, what stays, and what nobody can bring back."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from app import compliance, logbook
from app.access.keys import digest_of
from app.errors import ForbiddenError, InvalidRequestError, SettingsError
from app.ledger import FileLedger
from app.runtime import open_service, open_worker
from app.store import audit, documents, erasures, tasks
from app.store.audit import Origin
from app.store.cancel import cancel
from app.store.database import connect
from app.store.documents import Operation, Stored
from app.store.embedded import SUPERUSER
from app.store.erasures import Subjects
from app.store.tasks import State
from app.tenancy import Right, Scope
from tests.app.household import SUBJECTS, erase, finish, found, house, of, put_as_task, run
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]


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


async def test_what_another_was_given_before_the_worker_came_stays(world: World) -> None:
    scope = await world.tenant("a")
    first = await world.put(scope, of("bob", "His, at first"))
    await world.put(scope, of("ada", "Old"), first.document_id)
    await world.index_all()
    asked = await erase(world, scope, "ada")
    await world.put(scope, of("ada", "Still hers"), first.document_id)
    await world.put(scope, of("bob", "His"), first.document_id)
    his = await world.put(scope, of("bob", "His, changed"), first.document_id)
    new = await world.put(scope, of("ada", "Of another day"))
    await finish(world)
    assert await found(world, scope) == {his.document_id, new.document_id}
    assert await world.index.versions(scope.tenant_id) == {his.document_id: 5, new.document_id: 1}
    async with world.app.read(scope) as connection:
        assert (await documents.get(connection, scope.tenant_id, his.document_id)).title == "His, changed"
        kept = await documents.versions(connection, scope.tenant_id, his.document_id)
        task = await tasks.get(connection, scope.tenant_id, asked.task_id)
    assert [one.document["title"] for one in kept] == ["His"]
    assert (task.state, task.done, task.total, task.failed) == (State.SUCCEEDED, 2, 2, 0)


async def test_what_is_the_users_again_or_was_changed_before_the_worker_came_goes(world: World) -> None:
    """A change holds what it does not change, and what is taken back brings back what there was."""
    scope = await world.tenant("a")
    changed, restored = [await world.put(scope, of("ada", f"Diary {number}")) for number in range(2)]
    await world.index_all()
    assert (await erase(world, scope, "ada")).documents == 2
    await world.write(scope, Operation(kind="patch", document_id=changed.document_id, patch={"title": "Diary"}))
    task_id = await put_as_task(world, scope, of("bob", "His"), restored.document_id)
    async with world.app.write(scope) as connection:
        await cancel(connection, scope, Origin(), task_id, max_bytes=10_000)
    await finish(world)
    assert await found(world, scope) == set()
    assert await world.admin("SELECT * FROM documents WHERE title <> '' OR metadata <> '{}'") == []
    assert await world.admin("SELECT * FROM document_versions") == []


async def test_what_was_deleted_before_the_worker_came_is_counted(world: World) -> None:
    scope = await world.tenant("a")
    gone = await world.put(scope, of("ada"))
    await world.index_all()
    asked = await erase(world, scope, "ada")
    await world.write(scope, Operation(kind="delete", document_id=gone.document_id))
    back = await world.put(scope, of("bob", "His"), gone.document_id)
    await finish(world)
    assert await found(world, scope) == {back.document_id}
    async with world.app.read(scope) as connection:
        task = await tasks.get(connection, scope.tenant_id, asked.task_id)
    assert (task.state, task.done, task.total) == (State.SUCCEEDED, 2, 2)


async def test_whose_a_document_was_is_kept_no_longer_than_the_document(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, of("ada"))
    await erase(world, scope, "ada")
    await house(world).step()
    (noted,) = await world.admin("SELECT * FROM erased_documents")
    assert (noted["buried"], noted["subject"], noted["version"]) == (True, None, 2)


async def test_a_document_that_never_rests_holds_no_erasure_up(world: World) -> None:
    scope = await world.tenant("a")
    old = await world.put(scope, of("ada", "Old"))
    await world.index_all()
    await erase(world, scope, "ada")
    its = house(world)
    await world.put(scope, of("bob", "His 0"), old.document_id)
    assert await its.step() == 1, "until his is there, the index has hers"
    await world.index_all()
    last = await world.put(scope, of("bob", "His 1"), old.document_id)
    assert await its.step() == 0
    await world.index_all()
    assert await world.index.versions(scope.tenant_id) == {old.document_id: last.version}


async def his_over_hers(world: World) -> tuple[Scope, Stored, list[UUID]]:
    """A document of Ada, in the index; two changes by which it is Bob's, on their way; and then her erasure."""
    scope = await world.tenant("a")
    first = await world.put(scope, of("ada", "Hers"))
    await world.index_all()
    asked = [await put_as_task(world, scope, of("bob", f"His {number}"), first.document_id) for number in range(2)]
    await erase(world, scope, "ada")
    return scope, first, asked


@pytest.mark.parametrize("how", ["refused", "taken back"])
async def test_what_waits_for_an_index_that_still_has_the_users_version_is_waited_for(how: str, world: World) -> None:
    scope, first, asked = await his_over_hers(world)
    its = house(world)
    assert await its.step() == 1
    if how == "refused":
        async with world.queue.delivery() as delivery:
            assert delivery
            await delivery.dead(delivery.batch.claims, "failed to parse")
        await world.put(scope, of("bob", "His, mended"), first.document_id)
    else:
        async with world.app.write(scope) as connection:
            await cancel(connection, scope, Origin(), asked[1], max_bytes=10_000)
    assert await its.step() == 1
    assert await world.index.versions(scope.tenant_id) == {first.document_id: 1}
    await world.index_all()
    assert await its.step() == 0
    assert 1 not in (await world.index.versions(scope.tenant_id)).values()


async def test_what_was_the_users_before_changes_that_are_taken_back_is_there_no_more(world: World) -> None:
    scope, _, asked = await his_over_hers(world)
    its = house(world)
    await its.step()
    async with world.app.write(scope) as connection:
        for task_id in reversed(asked):
            await cancel(connection, scope, Origin(), task_id, max_bytes=10_000)
    await finish(world)
    assert await found(world, scope) == set()
    assert [row["status"] for row in await world.admin("SELECT status FROM documents")] == ["DELETED"]
    assert 1 not in (await world.index.versions(scope.tenant_id)).values()


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


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_an_index_said_of_a_version_that_was_the_users_is_forgotten(when: str, world: World) -> None:
    """Of a document that became another's before the erasure was asked for, or after it and before the worker came."""
    scope = await world.tenant("a")
    first = await world.put(scope, of("ada"))
    async with world.queue.delivery() as delivery:
        assert delivery
        await delivery.dead(delivery.batch.claims, "failed to parse field: 'canary'")
    if when == "after":
        await erase(world, scope, "ada")
    await world.put(scope, of("bob", "His"), first.document_id)
    if when == "before":
        await erase(world, scope, "ada")
    await finish(world)
    assert await found(world, scope) == {first.document_id}
    assert [row["reason"] for row in await world.admin("SELECT reason FROM dead_letters")] == ["erased"]
    errors = [one["reason"] for row in await world.admin("SELECT errors FROM tasks") for one in row["errors"]]
    assert errors == ["erased"]


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
        "SELECT delete_old_tasks()",
        "SELECT lock_refusals(current_tenant(), '{}')",
        "SELECT forget_refusals(current_tenant(), '{}')",
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
