"""Plans, from documents such as the engine writes."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.automation import EngineEvent, OpType

from infra.plan import OPS, Change, Plan, read

PREFIX = "urn:pulumi:prod::docsearch::"
VPC = f"{PREFIX}docsearch:network:Network$aws:ec2/vpc:Vpc::network"
PARENT = f"{PREFIX}docsearch:network:Network::network"


def event(
    op: str,
    *,
    urn: str = VPC,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    done: bool = False,
    **more: Any,
) -> EngineEvent:
    """A step that begins, or (done) has ended; `old` and `new` are the inputs before and after."""
    type_ = urn.split("::")[2].split("$")[-1]
    metadata: dict[str, Any] = {"op": op, "urn": urn, "type": type_, **more}
    for side, inputs in (("old", old), ("new", new)):
        if inputs is not None:
            metadata[side] = {"type": type_, "urn": urn, "parent": PARENT, "inputs": inputs}
    name = "resOutputsEvent" if done else "resourcePreEvent"
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, name: {"metadata": metadata}})


def plan(events: Iterable[EngineEvent]) -> Plan:
    return read(events, stack="prod", region="us-east-1", cloud="local")


def only(events: Iterable[EngineEvent]) -> Change:
    (change,) = plan(events).changes
    return change


CREATED = [
    event("create", new={"cidrBlock": "10.0.0.0/16"}),
    event("create", new={"cidrBlock": "10.0.0.0/16"}, done=True),
]
REPLACED = [
    event("create-replacement", old={"a": 1}, new={"a": 2}, detailedDiff={"a": {"diffKind": "update-replace"}}),
    event("create-replacement", old={"a": 1}, new={"a": 2}, done=True),
    event("replace", old={"a": 1}, new={"a": 2}),
    event("replace", old={"a": 1}, new={"a": 2}, done=True),
    event("delete-replaced", old={"a": 1}),
    event("delete-replaced", old={"a": 1}, done=True),
]
DELETED_FIRST = [*REPLACED[4:], *REPLACED[2:4], *REPLACED[:2]]


def test_beginning_and_end_of_a_step_are_one_change() -> None:
    change = only(CREATED)
    assert change == Change(
        urn=VPC, type="aws:ec2/vpc:Vpc", op="create", inputs={"cidrBlock": "10.0.0.0/16"}, parent=PARENT
    )
    assert change.name == "network"


@pytest.mark.parametrize("steps", [REPLACED, DELETED_FIRST], ids=["new one first", "old one first"])
def test_the_steps_of_a_replacement_are_one_change_with_the_new_inputs(steps: list[EngineEvent]) -> None:
    change = only(steps)
    assert change.op == "replace"
    assert change.inputs == {"a": 2}
    assert change.before == {"a": 1}
    assert change.replaced_by == ("a",)
    assert change.parent == PARENT


def test_a_replacement_that_is_only_finished_has_no_inputs_of_its_own() -> None:
    """An interrupted run left the old resource, the new one is as it should be: the engine only deletes."""
    same = event("same", old={"a": 2}, new={"a": 2})
    for steps in ([same, REPLACED[4]], [REPLACED[4], same]):
        assert only(steps).op == "replace"
        assert only(steps).inputs == {"a": 2}


def test_an_update_names_what_differs() -> None:
    diff = {"tags.owner": {"diffKind": "update"}, "enableDnsSupport": {"diffKind": "add"}}
    change = only([event("update", old={"a": 1}, new={"a": 2}, detailedDiff=diff, diffs=["tags", "enableDnsSupport"])])
    assert change.op == "update"
    assert change.before == {"a": 1}
    assert change.inputs == {"a": 2}
    assert change.paths == ("tags.owner", "enableDnsSupport")
    assert change.replaced_by == ()


def test_a_provider_that_gives_no_details_still_names_properties() -> None:
    change = only([event("replace", old={}, new={}, diffs=["a", "b"], keys=["b"])])
    assert change.paths == ("a", "b")
    assert change.replaced_by == ("b",)


def test_a_deleted_resource_shows_what_it_had() -> None:
    change = only([event("delete", old={"a": 1}), event("delete", old={"a": 1}, done=True)])
    assert change.op == "delete"
    assert change.inputs == {"a": 1}
    assert change.before == {"a": 1}


def test_what_stays_the_same_is_in_the_plan_and_changes_nothing() -> None:
    found = plan([event("same", old={"a": 1}, new={"a": 1})])
    assert [change.op for change in found.changes] == ["same"]
    assert found.changing == ()


def test_a_refresh_says_at_the_end_what_it_found() -> None:
    """It begins as `refresh`; the end tells whether the resource is the same, changed or gone."""
    other = f"{PREFIX}aws:ec2/eip:Eip::a"
    third = f"{PREFIX}aws:ec2/eip:Eip::b"
    found = plan(
        [
            event("refresh", old={"a": 1}, new={"a": 1}),
            event("refresh", urn=other, old={}, new={}),
            event("refresh", urn=third, old={}, new={}),
            event("update", old={"a": 1}, new={"a": 2}, done=True, detailedDiff={"a": {"diffKind": "update"}}),
            event("delete", urn=other, old={}, done=True),
            event("same", urn=third, old={}, new={}, done=True),
        ]
    )
    assert [(change.urn, change.op) for change in found.changes] == [
        (VPC, "update"),
        (other, "delete"),
        (third, "same"),
    ]
    assert found.changes[0].paths == ("a",)
    assert found.changes[0].inputs == {"a": 2}


def guarded(step: EngineEvent, *, before: bool, after: bool = False) -> EngineEvent:
    """The step, with Pulumi's lock before and after."""
    shown = step.resource_pre_event or step.res_outputs_event
    assert shown is not None
    for state, protect in ((shown.metadata.old, before), (shown.metadata.new, after)):
        if state is not None:
            state.protect = protect
    return step


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_protection_is_part_of_a_change(before: bool, after: bool) -> None:
    change = only([guarded(event("same", old={}, new={}), before=before, after=after)])
    assert (change.protected_before, change.protect) == (before, after)


@pytest.mark.parametrize("op", ["delete", "delete-replaced"])
def test_what_goes_is_as_protected_as_it_was(op: str) -> None:
    change = only([guarded(event(op, old={}), before=True)])
    assert change.protected_before
    assert change.protect


@pytest.mark.parametrize("order", [1, -1])
def test_a_lock_that_comes_off_in_a_replacement_is_off_whatever_comes_first(order: int) -> None:
    steps = [
        guarded(event("create-replacement", old={}, new={}), before=True),
        guarded(event("replace", old={}, new={}), before=True),
        guarded(event("delete-replaced", old={}), before=True),
    ]
    change = only(steps[::order])
    assert change.protected_before
    assert not change.protect


def test_what_a_refresh_found_is_what_was_before() -> None:
    """The lock was taken off by hand; the program puts it back on."""
    steps = [
        event("refresh", old={"lock": True}, new={"lock": True}),
        event("update", old={"lock": True}, new={"lock": False}, done=True),
        event("update", old={"lock": False}, new={"lock": True}),
    ]
    change = only(steps)
    assert change.before == {"lock": False}
    assert change.inputs == {"lock": True}


def test_something_new_was_nothing_before() -> None:
    change = only(CREATED)
    assert change.before == {}
    assert not change.protected_before


def test_other_events_are_no_changes() -> None:
    said = {"diagnosticEvent": {"message": "m", "color": "never", "severity": "info"}}
    assert plan([EngineEvent.from_json({"sequence": 1, "timestamp": 1, **said})]).changes == ()


@pytest.mark.parametrize("op", list(OpType))
def test_every_operation_of_the_engine_has_a_place_in_the_plan(op: OpType) -> None:
    assert only([event(op.value, old={}, new={})]).op in OPS


def test_the_json_form_is_what_programs_were_promised() -> None:
    other = f"{PREFIX}aws:ec2/eip:Eip::a"
    found = plan([*CREATED, event("same", urn=other, old={}, new={"b": 1})])
    assert found.as_json() == {
        "stack": "prod",
        "region": "us-east-1",
        "cloud": "local",
        "summary": {"create": 1, "update": 0, "replace": 0, "delete": 0, "same": 1},
        "changes": [
            {"urn": VPC, "type": "aws:ec2/vpc:Vpc", "op": "create", "inputs": {"cidrBlock": "10.0.0.0/16"}},
            {"urn": other, "type": "aws:ec2/eip:Eip", "op": "same", "inputs": {"b": 1}},
        ],
    }


def test_the_json_form_has_what_was_before_where_that_differs() -> None:
    found = plan([*REPLACED, event("delete", urn=f"{VPC}-2", old={"b": 1})]).as_json()["changes"]
    assert [change.get("before") for change in found] == [{"a": 1}, None]


steps = st.tuples(st.sampled_from("abcd"), st.sampled_from(list(OpType)), st.booleans())


@given(st.lists(steps, max_size=30))
def test_each_resource_is_in_the_plan_once_in_the_order_of_the_engine(
    given_steps: list[tuple[str, OpType, bool]],
) -> None:
    events = [
        event(op.value, urn=f"{PREFIX}aws:ec2/eip:Eip::{name}", old={}, new={}, done=done)
        for name, op, done in given_steps
    ]
    found = plan(events)
    assert [change.name for change in found.changes] == list(dict.fromkeys(name for name, _, _ in given_steps))
    assert sum(found.summary.values()) == len(found.changes)
    assert len(found.changing) == len(found.changes) - found.summary["same"]
