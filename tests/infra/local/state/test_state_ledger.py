import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import infra.local.state.ledger as ledger_module
from infra.local.state.files import CorruptFileError, Log
from infra.local.state.journal import Kind, StateError
from infra.local.state.ledger import Ledger, Update

UPDATE = Update(id="u1", kind="update", version=0, started=1_750_000_000, token_sha256="", engine="v3.250.0")
SECOND = replace(UPDATE, id="u2")


def clock() -> float:
    return 1_750_000_060.0


def urn(name: str) -> str:
    return f"urn:pulumi:prod::docsearch::thing:index:Thing::{name}"


def resource(name: str) -> dict[str, Any]:
    return {"urn": urn(name), "custom": True, "id": name, "type": "thing:index:Thing"}


def begin(sequence: int, operation: int, name: str) -> dict[str, Any]:
    pending = {"resource": resource(name), "type": "creating"}
    return {"kind": int(Kind.BEGIN), "sequenceID": sequence, "operationID": operation, "operation": pending}


def success(sequence: int, operation: int, name: str) -> dict[str, Any]:
    return {
        "kind": int(Kind.SUCCESS),
        "sequenceID": sequence,
        "operationID": operation,
        "state": resource(name),
    }


def batch(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"entries": entries}).encode()


def names(ledger: Ledger) -> list[str]:
    return [state["id"] for state in json.loads(ledger.export().body).get("resources", [])]


def pending(ledger: Ledger) -> list[str]:
    return [op["resource"]["id"] for op in json.loads(ledger.export().body).get("pending_operations", [])]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "organization" / "docsearch" / "prod"


@pytest.fixture
def ledger(folder: Path) -> Ledger:
    return Ledger.create(folder, clock, tags={"env": "prod"}, state=None)


def up(ledger: Ledger, update: Update, *created: str) -> None:
    ledger.begin(update, None)
    for number, name in enumerate(created, start=1):
        ledger.append(batch(begin(2 * number - 1, number, name), success(2 * number, number, name)))
    ledger.end(succeeded=True)


def test_new_stack_is_empty_and_readable_by_the_engine(ledger: Ledger) -> None:
    exported = json.loads(ledger.export().untyped())
    assert exported["version"] == 3
    assert exported["deployment"]["manifest"] == {"time": "0001-01-01T00:00:00Z", "magic": "", "version": ""}
    assert ledger.resources() == 0


def test_new_stack_can_begin_with_a_state(folder: Path) -> None:
    state = {"version": 3, "deployment": {"manifest": {}, "resources": [resource("a")]}}
    ledger = Ledger.create(folder, clock, tags={}, state=state)
    assert names(ledger) == ["a"]
    with pytest.raises(FileExistsError):
        Ledger.create(folder, clock, tags={}, state=None)


def test_update_becomes_the_checkpoint(ledger: Ledger, folder: Path) -> None:
    up(ledger, UPDATE, "a", "b")
    assert names(ledger) == ["a", "b"]
    assert ledger.resources() == 2
    assert (ledger.version, ledger.running) == (1, None)
    assert names(Ledger(folder, clock)) == ["a", "b"]


def test_state_during_an_update_is_checkpoint_and_journal_combined(ledger: Ledger) -> None:
    up(ledger, UPDATE, "a")
    ledger.begin(SECOND, None)
    assert names(ledger) == ["a"]
    ledger.append(batch(begin(1, 1, "b")))
    assert (names(ledger), pending(ledger)) == (["a"], ["b"])
    ledger.append(batch(success(2, 1, "b"), begin(3, 2, "c")))
    assert (names(ledger), pending(ledger)) == (["b", "a"], ["c"])


def test_interrupted_update_leaves_its_pending_operations(ledger: Ledger, folder: Path) -> None:
    ledger.begin(UPDATE, None)
    ledger.append(batch(begin(1, 1, "a"), success(2, 1, "a"), begin(3, 2, "b")))
    reopened = Ledger(folder, clock)
    assert reopened.running
    reopened.end(succeeded=False)
    assert (names(reopened), pending(reopened)) == (["a"], ["b"])
    assert reopened.history()[0]["result"] == "failed"


def test_update_goes_on_after_the_service_was_restarted(ledger: Ledger, folder: Path) -> None:
    ledger.begin(UPDATE, None)
    ledger.append(batch(begin(1, 1, "a"), success(2, 1, "a")))
    reopened = Ledger(folder, clock)
    reopened.append(batch(begin(3, 2, "b"), success(4, 2, "b")))
    reopened.end(succeeded=True)
    assert names(reopened) == ["a", "b"]


def test_batch_that_was_cut_off_is_as_if_never_sent(ledger: Ledger, folder: Path) -> None:
    ledger.begin(UPDATE, None)
    ledger.append(batch(begin(1, 1, "a"), success(2, 1, "a")))
    ledger.append(batch(begin(3, 2, "b"), success(4, 2, "b")))
    journal = folder / "update.journal"
    journal.write_bytes(journal.read_bytes()[:-20])
    reopened = Ledger(folder, clock)
    assert names(reopened) == ["a"]
    reopened.append(batch(begin(3, 2, "b"), success(4, 2, "b")))
    assert names(reopened) == ["a", "b"]


STEPS: dict[str, tuple[object, str, int]] = {
    "previous checkpoint": (Path, "hardlink_to", 0),
    "checkpoint": (ledger_module, "write_sealed", 0),
    "history": (Log, "append", 0),
    "journal": (Path, "replace", 2),
    "stack.json": (ledger_module, "write_sealed", 1),
}
"""What `Ledger.end` does, in order: the call that each step ends with, and how many such calls come before it."""


@pytest.mark.parametrize("step", STEPS)
def test_end_that_is_killed_at_any_step_is_completed_later(
    ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    up(ledger, UPDATE, "a")
    ledger.begin(SECOND, None)
    ledger.append(batch(begin(1, 1, "b"), success(2, 1, "b")))
    kill_at(monkeypatch, *STEPS[step])
    with pytest.raises(KeyboardInterrupt):
        ledger.end(succeeded=True)
    monkeypatch.undo()

    reopened = Ledger(folder, clock)
    reopened.end(succeeded=True)
    assert names(reopened) == ["b", "a"]
    assert [(info["version"], info["result"]) for info in reopened.history()] == [(2, "succeeded"), (1, "succeeded")]
    assert reopened.running is None
    (folder / "state.json").write_bytes(b"damaged")
    assert names_of(reopened.restore().body) == ["b", "a"]


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, calls_before: int) -> None:
    really: Callable[..., Any] = getattr(owner, name)
    calls: list[None] = []

    def killed(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        if len(calls) > calls_before:
            raise KeyboardInterrupt
        return really(*args, **kwargs)

    monkeypatch.setattr(owner, name, killed)


def names_of(body: bytes) -> list[str]:
    return [state["id"] for state in json.loads(body).get("resources", [])]


def test_start_that_was_cut_off_does_not_spoil_the_next(
    ledger: Ledger, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(monkeypatch, ledger_module, "write_sealed", 0)
    with pytest.raises(KeyboardInterrupt):
        ledger.begin(UPDATE, None)
    monkeypatch.undo()
    reopened = Ledger(folder, clock)
    up(reopened, SECOND, "a")
    assert names(reopened) == ["a"]


def test_damaged_checkpoint_is_an_error_that_names_a_way_back(ledger: Ledger, folder: Path) -> None:
    up(ledger, UPDATE, "a")
    content = (folder / "state.json").read_bytes()
    (folder / "state.json").write_bytes(content.replace(b"Thing::a", b"Thing::z"))
    with pytest.raises(CorruptFileError) as caught:
        ledger.export()
    assert str(folder / "state.json") in str(caught.value)
    assert f"--root {folder.parents[2]} --restore organization/docsearch/prod" in str(caught.value)
    with pytest.raises(CorruptFileError):
        ledger.begin(SECOND, None)


def test_damaged_checkpoint_is_rebuilt_byte_for_byte(ledger: Ledger, folder: Path) -> None:
    up(ledger, UPDATE, "a")
    up(ledger, SECOND, "b", "c")
    before = ledger.export()
    (folder / "state.json").write_bytes(b"damaged")
    assert ledger.restore() == before
    assert ledger.export() == before
    assert (folder / "state.damaged.json").read_bytes() == b"damaged"


def test_checkpoint_damaged_during_an_update_is_rebuilt_and_the_update_goes_on(ledger: Ledger, folder: Path) -> None:
    up(ledger, UPDATE, "a")
    up(ledger, SECOND, "b")
    ledger.begin(replace(UPDATE, id="u3"), None)
    ledger.append(batch(begin(1, 1, "c"), success(2, 1, "c")))
    (folder / "state.json").write_bytes(b"damaged")
    with pytest.raises(CorruptFileError):
        ledger.export()
    ledger.restore()
    assert names(ledger) == ["c", "b", "a"]


def test_damaged_journal_is_an_error_and_the_checkpoint_stays(ledger: Ledger, folder: Path) -> None:
    up(ledger, UPDATE, "a")
    ledger.begin(SECOND, None)
    ledger.append(batch(begin(1, 1, "b"), success(2, 1, "b")))
    ledger.append(batch(begin(3, 2, "c")))
    journal = folder / "update.journal"
    journal.write_bytes(journal.read_bytes().replace(b"Thing::b", b"Thing::z"))
    with pytest.raises(CorruptFileError, match=r"update\.journal is corrupt: line 2 of 3.*away goes back"):
        ledger.end(succeeded=False)
    journal.rename(folder / "kept.journal")
    assert names(Ledger(folder, clock)) == ["a"]


def test_journal_of_another_checkpoint_is_refused(ledger: Ledger, folder: Path) -> None:
    up(ledger, UPDATE, "a")
    ledger.begin(SECOND, None)
    ledger.append(batch(begin(1, 1, "b"), success(2, 1, "b")))
    (folder / "state.json").unlink()
    with pytest.raises(CorruptFileError, match="does not belong to the checkpoint"):
        ledger.export()


def test_journal_that_cannot_be_replayed_names_its_file(ledger: Ledger, folder: Path) -> None:
    ledger.begin(UPDATE, None)
    ledger.append(batch({"kind": int(Kind.SUCCESS), "sequenceID": 1, "operationID": 1, "removeNew": 9}))
    with pytest.raises(StateError, match=r"update\.journal: journal entry 1 cannot be replayed.*operation 9"):
        ledger.export()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"entries": [1]}', b'{"entries": [{"kind": 99}]}', b'{"entries": [{}]}']
)
def test_batch_that_is_none_is_refused_and_not_kept(ledger: Ledger, body: bytes) -> None:
    ledger.begin(UPDATE, None)
    with pytest.raises(StateError, match="the batch"):
        ledger.append(body)
    assert names(ledger) == []


def test_lost_stack_file_is_made_anew_around_the_checkpoint(ledger: Ledger, folder: Path) -> None:
    up(ledger, UPDATE, "a")
    (folder / "stack.json").write_bytes(b"damaged")
    with pytest.raises(CorruptFileError, match=r"stack\.json is corrupt.*pulumi stack init"):
        Ledger(folder, clock)
    (folder / "stack.json").unlink()
    anew = Ledger.create(folder, clock, tags={}, state=None)
    assert (names(anew), anew.version) == (["a"], 1)


def test_journal_that_a_lost_stack_file_knew_is_kept_aside(ledger: Ledger, folder: Path) -> None:
    ledger.begin(UPDATE, None)
    ledger.append(batch(begin(1, 1, "a"), success(2, 1, "a")))
    (folder / "stack.json").unlink()
    anew = Ledger.create(folder, clock, tags={}, state=None)
    up(anew, SECOND, "b")
    assert names(anew) == ["b"]
    assert b"Thing::a" in (folder / "stray.journal").read_bytes()


def test_whole_checkpoints_of_an_engine_that_does_not_journal_are_kept(ledger: Ledger) -> None:
    ledger.begin(UPDATE, None)
    ledger.checkpoint({"version": 3, "deployment": {"manifest": {}, "resources": [resource("a")]}})
    ledger.checkpoint({"version": 4, "features": ["taint"], "deployment": {"manifest": {}, "resources": []}})
    ledger.end(succeeded=True)
    exported = json.loads(ledger.export().untyped())
    assert (exported["version"], exported["features"]) == (4, ["taint"])
    assert names(ledger) == []


def test_import_replaces_the_state_and_is_in_the_history(ledger: Ledger, folder: Path) -> None:
    up(ledger, UPDATE, "a")
    ledger.overwrite(replace(SECOND, kind="import"), {"version": 3, "deployment": {"resources": [resource("b")]}})
    assert names(ledger) == ["b"]
    assert [(info["kind"], info["version"]) for info in ledger.history()] == [("import", 2), ("update", 1)]
    (folder / "state.json").write_bytes(b"damaged")
    assert names_of(ledger.restore().body) == ["a"]


def test_the_last_two_versions_can_be_exported(ledger: Ledger) -> None:
    up(ledger, UPDATE, "a")
    up(ledger, SECOND, "b")
    up(ledger, replace(UPDATE, id="u3"), "c")
    assert names_of(ledger.export(3).body) == ["c", "b", "a"]
    assert names_of(ledger.export(2).body) == ["b", "a"]
    with pytest.raises(KeyError):
        ledger.export(1)


def test_history_tells_what_the_engine_counted(ledger: Ledger) -> None:
    about = {"message": "first", "environment": {"exec.kind": "cli"}, "config": {"docsearch:x": {"string": "1"}}}
    ledger.begin(replace(UPDATE, about=about), None)
    ledger.count({"create": 3})
    assert ledger.history()[0]["result"] == "in-progress"
    ledger.end(succeeded=True)
    (info,) = ledger.history()
    assert info["resourceChanges"] == {"create": 3}
    assert (info["startTime"], info["endTime"]) == (1_750_000_000, 1_750_000_060)
    assert (info["message"], info["config"]) == ("first", about["config"])


def test_tags_are_replaced_and_kept(ledger: Ledger, folder: Path) -> None:
    ledger.tag({"a": "b"})
    assert Ledger(folder, clock).tags == {"a": "b"}
    ledger.begin(UPDATE, {"c": "d"})
    assert Ledger(folder, clock).tags == {"c": "d"}


def test_closed_ledger_takes_no_entries(ledger: Ledger) -> None:
    ledger.begin(UPDATE, None)
    ledger.close()
    with pytest.raises(StateError, match="the state service is stopping"):
        ledger.append(batch(begin(1, 1, "a")))
