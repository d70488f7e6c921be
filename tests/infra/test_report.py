"""What the commands show, made from plans."""

import io
from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType

from infra import report
from infra.deploy import Outcome
from infra.plan import Change, Op, Plan

PREFIX = "urn:pulumi:prod::docsearch::"
STACK = f"{PREFIX}pulumi:pulumi:Stack::docsearch-prod"


def change(type_: str, name: str, op: Op = "create", parent: str = STACK, **more: Any) -> Change:
    return Change(urn=f"{PREFIX}{type_}::{name}", type=type_, op=op, parent=parent, **more)


ROOT = Change(urn=STACK, type="pulumi:pulumi:Stack", op="create")
PROVIDER = change("pulumi:providers:aws", "aws")
NETWORK = change("docsearch:network:Network", "network")
VPC = change("aws:ec2/vpc:Vpc", "network", parent=NETWORK.urn)
INNER = change("docsearch:network:Tier", "network-private", parent=NETWORK.urn)
SUBNET = change("aws:ec2/subnet:Subnet", "network-private-a", parent=INNER.urn)
KEY = change("aws:kms/key:Key", "stray")


def plan(*changes: Change, stack: str = "prod") -> Plan:
    return Plan(stack, "us-east-1", "local", changes)


WHOLE = plan(ROOT, PROVIDER, NETWORK, VPC, INNER, SUBNET, KEY)


def shown(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=300, color_system=None)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def rows(what: RenderableType) -> list[list[str]]:
    return [line.split() for line in shown(what).splitlines()]


def test_a_resource_belongs_to_the_component_at_the_top() -> None:
    belongs = report.components(WHOLE)
    assert {WHOLE.changes[i].name: belongs[WHOLE.changes[i].urn] for i in (2, 4, 5)} == {
        "network": "network",
        "network-private": "network",
        "network-private-a": "network",
    }
    assert {belongs[item.urn] for item in (ROOT, PROVIDER, KEY)} == {"stack"}


def test_a_resource_whose_parent_is_not_in_the_plan_belongs_to_none() -> None:
    assert report.components(plan(VPC)) == {VPC.urn: "stack"}


def test_the_summary_counts_what_happens_and_says_when_nothing_does() -> None:
    moved = plan(VPC, change("aws:kms/key:Key", "a", "replace"), change("aws:kms/key:Key", "b", "same"))
    assert str(report.summary_line(moved)) == "prod (us-east-1, local): 1 create, 1 replace, 1 same"
    assert str(report.summary_line(plan(change("aws:kms/key:Key", "b", "same")))) == (
        "prod (us-east-1, local): 1 same; no changes"
    )


def test_only_what_changes_is_listed_with_what_forces_a_replacement() -> None:
    text = shown(
        report.changes_table(
            plan(
                change("aws:kms/key:Key", "kept", "same"),
                change("aws:kms/key:Key", "key", "update", paths=("tags.owner", "policy")),
                change("aws:rds/instance:Instance", "db", "replace", paths=("engine", "tags"), replaced_by=("engine",)),
            )
        )
    )
    assert "kept" not in text
    assert ["~", "key", "aws:kms/key:Key", "tags.owner,", "policy"] in [line.split() for line in text.splitlines()]
    assert "±  db" in text
    assert "replaced by engine" in text
    assert text.rstrip().endswith("prod (us-east-1, local): 1 update, 1 replace, 1 same")


def test_drift_is_told_by_urn() -> None:
    gone = change("aws:kms/key:Key", "gone", "delete")
    changed = change("aws:kms/key:Key", "key", "update", paths=("enableKeyRotation",))
    found = rows(report.drift_table(plan(gone, changed, change("aws:kms/key:Key", "same", "same"))))
    assert [gone.urn, "gone"] in found
    assert [changed.urn, "changed", "enableKeyRotation"] in found
    assert "2 resources differ" in shown(report.drift_table(plan(gone, changed)))
    assert "as the state says" in shown(report.drift_table(plan(change("aws:kms/key:Key", "same", "same"))))


def outcomes(*given: tuple[str, Iterable[Change], float]) -> dict[str, Outcome]:
    return {stack: Outcome(plan(*changes, stack=stack), seconds, {}) for stack, changes, seconds in given}


def test_resources_are_counted_by_component_and_add_up_to_what_the_engine_says() -> None:
    found = rows(report.resources_table(outcomes(("prod", WHOLE.changes, 12.34), ("dr", [ROOT, KEY], 1))))
    assert ["network", "4", "-"] in found
    assert ["stack", "3", "2"] in found
    assert ["resources", "7", "2"] in found
    assert ["create", "7", "2"] in found
    assert ["seconds", "12.3", "1.0"] in found
    assert not any(row[:1] == ["delete"] for row in found)


def test_outputs_are_shown_by_name_as_they_are() -> None:
    text = shown(report.outputs_table({"b": ["x", 1], "a": "[secret]", "c": "tags[owner]"}))
    assert [line.strip().split(maxsplit=1) for line in text.splitlines()][1:] == [
        ["a", "[secret]"],
        ["b", '["x", 1]'],
        ["c", "tags[owner]"],
    ]


def test_no_table_takes_values_for_markup() -> None:
    odd = change("aws:kms/key:Key", "[bold]", "update", paths=("tags[/owner]",))
    for table in (
        report.changes_table(plan(odd)),
        report.drift_table(plan(odd)),
        report.rows_table(["a", "b"], [("[bold]", "tags[/owner]")]),
    ):
        assert "[bold]" in shown(table)
        assert "tags[/owner]" in shown(table)


def test_an_outcome_as_json_is_its_plan_with_components_outputs_and_time() -> None:
    outcome = Outcome(WHOLE, 1.23456, {"region": "us-east-1"})
    assert report.outcome_json(outcome) == {
        **WHOLE.as_json(),
        "components": {"stack": 3, "network": 4},
        "outputs": {"region": "us-east-1"},
        "seconds": 1.235,
    }
