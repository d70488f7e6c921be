"""Journal replay, against a model of the engine's snapshot manager and against the engine's own replays."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.state.journal import Journal, JournalError, Kind, Stamp, replay

GOLDEN = Path(__file__).with_name("journal_golden.json")
STAMP = Stamp(engine="v3.250.0", time="2026-01-01T00:00:00Z")

Json = dict[str, Any]


def urn(name: str) -> str:
    return f"urn:pulumi:prod::docsearch::test:index:Thing::{name}"


def state(name: str, generation: int = 0, **fields: Any) -> Json:
    return {
        "urn": urn(name),
        "custom": True,
        "id": f"{name}-{generation}",
        "type": "test:index:Thing",
        "inputs": {"generation": generation},
        **fields,
    }


@dataclass
class Recorder:
    """What the engine's snapshot manager does, by identity: lists of live states instead of indices and marks.

    ``entries`` is the journal; ``expected[i]`` what the deployment must be after its first ``i`` entries.
    """

    base: Json
    entries: list[Json] = field(default_factory=list)
    expected: list[tuple[list[Json], list[Json]]] = field(default_factory=list)
    old: dict[int, Json] = field(default_factory=dict)
    new: dict[int, Json] = field(default_factory=dict)
    running: dict[int, Json] = field(default_factory=dict)
    operations: int = 0

    def __post_init__(self) -> None:
        self.old = dict(enumerate(deepcopy(self.base["resources"])))
        self._expect()

    def _expect(self) -> None:
        carried = [op for op in self.base.get("pending_operations", []) if op["type"] == "creating"]
        pending = [op for op in self.running.values() if op]
        self.expected.append(deepcopy(([*self.new.values(), *self.old.values()], [*pending, *carried])))

    def record(self, kind: Kind, number: int, /, **fields: Any) -> None:
        entry = {"version": 1, "kind": int(kind), "sequenceID": len(self.entries) + 1, "operationID": number}
        self.entries.append({**entry, "removeOld": None, "removeNew": None, **deepcopy(fields)})
        self._expect()

    def begin(self, operation_type: str, resource: Json | None) -> int:
        self.operations += 1
        operation = {"resource": deepcopy(resource), "type": operation_type} if resource else {}
        self.running[self.operations] = operation
        self.record(Kind.BEGIN, self.operations, **({"operation": operation} if operation else {}))
        return self.operations

    def fail(self, operation: int) -> None:
        del self.running[operation]
        self.record(Kind.FAILURE, operation)

    def create(self, operation: int, made: Json, replaces: int | None = None) -> None:
        del self.running[operation]
        self.new[operation] = deepcopy(made)
        gone = {}
        if replaces is not None and self.old[replaces].get("pendingReplacement"):
            del self.old[replaces]
            gone = {"removeOld": replaces}
        elif replaces is not None:
            self.old[replaces]["delete"] = True
            gone = {"deleteOld": replaces}
        self.record(Kind.SUCCESS, operation, state=made, **gone)

    def keep(self, operation: int, index: int, made: Json) -> None:
        """A same or an update: the new state takes the place of the old one."""
        del self.running[operation]
        self.new[operation] = deepcopy(made)
        del self.old[index]
        self.record(Kind.SUCCESS, operation, state=made, removeOld=index)

    def delete_old(self, operation: int, index: int) -> None:
        del self.running[operation]
        del self.old[index]
        self.record(Kind.SUCCESS, operation, removeOld=index)

    def delete_before_replace(self, operation: int, index: int) -> None:
        del self.running[operation]
        self.old[index]["pendingReplacement"] = True
        self.record(Kind.SUCCESS, operation, pendingReplacementOld=index)

    def delete_new(self, operation: int, made_by: int) -> None:
        del self.running[operation]
        del self.new[made_by]
        self.record(Kind.SUCCESS, operation, removeNew=made_by)

    def replace_new(self, operation: int, made_by: int, made: Json) -> None:
        del self.running[operation]
        self.new[made_by]["delete"] = True
        self.new[operation] = deepcopy(made)
        self.record(Kind.SUCCESS, operation, state=made, deleteNew=made_by)

    def outputs(self, outputs: Json, *, made_by: int | None = None, index: int | None = None) -> None:
        self.operations += 1
        where, key = (self.old, index) if made_by is None else (self.new, made_by)
        assert key is not None
        where[key] = {**where[key], "outputs": outputs}
        self.record(Kind.OUTPUTS, self.operations, removeNew=made_by, removeOld=index, state=where[key])

    def refresh_in_program(self, operation: int, index: int, found: Json | None) -> None:
        """A refresh that runs the program: what is found moves to the end of the new resources."""
        del self.running[operation]
        del self.old[index]
        if found:
            self.new[operation] = deepcopy(found)
        made = {"state": found} if found else {}
        self.record(Kind.SUCCESS, operation, isRefresh=True, removeOld=index, **made)

    def refresh(self, operation: int, index: int, found: Json | None) -> None:
        del self.running[operation]
        if found is None:
            del self.old[index]
        else:
            self.old[index] = deepcopy(found)
        self.record(
            Kind.REFRESH_SUCCESS,
            operation,
            isRefresh=True,
            removeOld=index,
            **({"state": found} if found else {}),
        )

    def rebuilt(self) -> None:
        self.old = dict(enumerate(self.old.values()))
        self.record(Kind.REBUILT_BASE_STATE, 0)


@st.composite
def recorded(draw: st.DrawFn) -> Recorder:
    """A journal of an update: perhaps a refresh first, then steps that overlap as the engine's workers do."""
    names = [f"old{index}" for index in range(draw(st.integers(0, 6)))]
    base: Json = {"manifest": STAMP.manifest(), "resources": [state(name) for name in names], "metadata": {}}
    if draw(st.booleans()):
        base["pending_operations"] = [
            {"resource": state("lost"), "type": "creating"},
            {"resource": state("half"), "type": "updating"},
        ]
    recorder = Recorder(base)
    if draw(st.booleans()):
        for index in list(recorder.old):
            operation = recorder.begin("", None)
            outcome = draw(st.sampled_from(["found", "changed", "gone", "failed"]))
            if outcome == "failed":
                recorder.fail(operation)
            else:
                found = recorder.old[index]
                changed = {**found, "outputs": {"drifted": True}}
                recorder.refresh(operation, index, {"found": found, "changed": changed, "gone": None}[outcome])
        recorder.rebuilt()
    _draw_steps(draw, recorder)
    return recorder


def _draw_steps(draw: st.DrawFn, recorder: Recorder) -> None:
    untouched = list(recorder.old)
    finish: list[tuple[int, Callable[..., None], tuple[Any, ...]]] = []
    for number in range(draw(st.integers(0, 20))):
        choices = [
            "create",
            *(["same", "update", "replace", "delete", "delete-first", "refresh", "outputs-old"] if untouched else []),
        ]
        choices += ["outputs", "undo", "replace-new"] if recorder.new else []
        choices += ["finish"] * 2 if finish else []
        match draw(st.sampled_from(choices)):
            case "create":
                made = state(f"new{number}")
                operation = recorder.begin("creating", made)
                finish.append((operation, recorder.create, (made,)))
            case "same":
                index = untouched.pop(draw(st.integers(0, len(untouched) - 1)))
                operation = recorder.begin("", None)
                recorder.keep(operation, index, recorder.old[index])
            case "update":
                index = untouched.pop(draw(st.integers(0, len(untouched) - 1)))
                made = {**recorder.old[index], "inputs": {"generation": number}}
                operation = recorder.begin("updating", made)
                finish.append((operation, recorder.keep, (index, made)))
            case "delete":
                index = untouched.pop(draw(st.integers(0, len(untouched) - 1)))
                operation = recorder.begin("deleting", recorder.old[index])
                finish.append((operation, recorder.delete_old, (index,)))
            case "replace":
                index = untouched.pop(draw(st.integers(0, len(untouched) - 1)))
                made = {**recorder.old[index], "id": f"replacement{number}"}
                recorder.create(recorder.begin("creating", made), made, index)
                operation = recorder.begin("deleting", recorder.old[index])
                finish.append((operation, recorder.delete_old, (index,)))
            case "delete-first":
                index = untouched.pop(draw(st.integers(0, len(untouched) - 1)))
                recorder.delete_before_replace(recorder.begin("deleting", recorder.old[index]), index)
                made = {**recorder.old[index], "id": f"again{number}"}
                made.pop("pendingReplacement")
                operation = recorder.begin("creating", made)
                finish.append((operation, recorder.create, (made, index)))
            case "outputs":
                recorder.outputs({"step": number}, made_by=draw(st.sampled_from(sorted(recorder.new))))
            case "outputs-old":
                index = untouched.pop(draw(st.integers(0, len(untouched) - 1)))
                recorder.outputs({"step": number}, index=index)
            case "refresh":
                index = untouched.pop(draw(st.integers(0, len(untouched) - 1)))
                found = recorder.old[index] if draw(st.booleans()) else None
                recorder.refresh_in_program(recorder.begin("", None), index, found)
            case "replace-new":
                made_by = draw(st.sampled_from(sorted(recorder.new)))
                made = {**recorder.new[made_by], "id": f"renewed{number}"}
                made.pop("delete", None)
                recorder.replace_new(recorder.begin("creating", made), made_by, made)
            case "undo":
                made_by = draw(st.sampled_from(sorted(recorder.new)))
                recorder.delete_new(recorder.begin("deleting", recorder.new[made_by]), made_by)
            case "finish":
                operation, succeed, arguments = finish.pop(draw(st.integers(0, len(finish) - 1)))
                if draw(st.integers(0, 4)):
                    succeed(operation, *arguments)
                else:
                    recorder.fail(operation)


def outcome(base: Json, entries: list[Json]) -> tuple[list[Json], list[Json]]:
    deployment = replay(base, entries, STAMP).deployment
    return deployment.get("resources", []), deployment.get("pending_operations", [])


@given(recorded())
def test_a_journal_cut_off_anywhere_gives_the_state_of_that_moment(recorder: Recorder) -> None:
    for length, expected in enumerate(recorder.expected):
        assert outcome(recorder.base, recorder.entries[:length]) == expected


@given(recorded(), st.randoms(use_true_random=False))
def test_order_of_arrival_and_repeated_batches_change_nothing(recorder: Recorder, random: Any) -> None:
    arrived = recorder.entries + recorder.entries[: len(recorder.entries) // 2]
    random.shuffle(arrived)
    assert replay(recorder.base, arrived, STAMP) == replay(recorder.base, recorder.entries, STAMP)


@given(recorded())
def test_replay_leaves_its_arguments_alone(recorder: Recorder) -> None:
    before = deepcopy((recorder.base, recorder.entries))
    replay(recorder.base, recorder.entries, STAMP)
    assert (recorder.base, recorder.entries) == before


@pytest.mark.parametrize("case", json.loads(GOLDEN.read_text()), ids=lambda case: case["name"])
def test_replay_agrees_with_the_engine(case: Json) -> None:
    ours = replay(case["base"], case["entries"], STAMP)
    theirs = case["engine"]
    assert (ours.version, list(ours.features)) == (theirs["version"], theirs["features"])
    for part in ("resources", "snippets", "extensions", "secrets_providers", "metadata"):
        assert ours.deployment.get(part) == theirs["deployment"].get(part), part
    # The engine lists pending operations in the random order of a Go map.
    pending = [deployment.get("pending_operations", []) for deployment in (ours.deployment, theirs["deployment"])]
    assert sorted(pending[0], key=json.dumps) == sorted(pending[1], key=json.dumps)


def test_manifest_carries_the_hash_that_the_engine_checks() -> None:
    manifest = replay({"resources": []}, [], STAMP).deployment["manifest"]
    # Taken from a state file that engine 3.250.0 wrote.
    assert manifest["magic"] == "9efda2e66c69194595f1be2c3587ab931ef188c15697bed0da0a960b45186d89"
    assert manifest["version"] == "v3.250.0"


def test_unknown_kind_is_refused_with_the_entry_named() -> None:
    journal = Journal({"resources": []}, STAMP)
    with pytest.raises(JournalError, match="journal entry 7 cannot be replayed"):
        journal.add({"kind": 42, "sequenceID": 7, "operationID": 1})


def test_entry_about_an_operation_that_never_happened_is_refused() -> None:
    journal = Journal({"resources": []}, STAMP)
    with pytest.raises(JournalError, match="removeNew is operation 3, which no earlier entry completes"):
        journal.add({"kind": int(Kind.SUCCESS), "sequenceID": 1, "operationID": 1, "removeNew": 3})


@pytest.mark.parametrize("number", [None, 0, -1, "1"])
def test_entry_without_a_usable_sequence_id_is_refused(number: object) -> None:
    with pytest.raises(JournalError, match="not a positive number"):
        replay({"resources": []}, [{"kind": 0, "sequenceID": number, "operationID": 1}], STAMP)


def test_two_resources_may_not_claim_one_alias() -> None:
    twins = [state("a", aliases=[urn("old")]), state("b", aliases=[urn("old")])]
    with pytest.raises(JournalError, match="is an alias of two resources"):
        replay({"resources": twins}, [], STAMP)


def test_secrets_manager_named_before_a_rebase_survives_it() -> None:
    manager = {"type": "service", "state": {"stack": "prod"}}
    entries = [
        {"kind": int(Kind.SECRETS_MANAGER), "sequenceID": 1, "operationID": 0, "secretsProvider": manager},
        {"kind": int(Kind.WRITE), "sequenceID": 2, "operationID": 0, "newSnapshot": {"resources": [state("a")]}},
    ]
    assert replay({"resources": []}, entries, STAMP).deployment["secrets_providers"] == manager
