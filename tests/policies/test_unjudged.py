"""What no rule looks at is not passed in silence."""

from dataclasses import replace

import pytest

from policies.rule import ANY, Finding, Resource
from policies.unjudged import HARMLESS, OURS
from tests.policies.packed import Pack
from tests.policies.plans import RULES, resources
from tests.regions import STACKS

NEW = Resource("urn:pulumi:test::docsearch::aws:dynamodb/table:Table::new", "aws:dynamodb/table:Table", {})


def test_a_type_without_a_rule_is_found_by_the_pack() -> None:
    [said] = Pack().of(NEW)
    assert (said.rule, said.kind) == ("type-judged", "violation")
    assert "it is a aws:dynamodb/table:Table, at which no rule looks" in said.text


@pytest.mark.parametrize("type_", [*HARMLESS, "docsearch:rds:Rds", "pulumi:providers:aws"])
def test_what_needs_no_rule_passes(type_: str) -> None:
    assert Pack().of(replace(NEW, type=type_)) == []


def test_a_type_with_rules_is_theirs_alone() -> None:
    assert RULES["type-judged"].judge(NEW) == [Finding("", "is a aws:dynamodb/table:Table, at which no rule looks")]
    said = {one.rule for one in Pack().of(replace(NEW, type="aws:rds/instance:Instance"))}
    assert said
    assert "type-judged" not in said


def test_nothing_is_called_harmless_that_is_not_planned_or_has_a_rule() -> None:
    planned = {one.type for stack in STACKS for one in resources(stack)}
    looked_at = {type_ for rule in RULES.values() for type_ in rule.types} - {ANY}
    assert set(HARMLESS) <= planned - looked_at
    assert {type_ for type_ in planned - looked_at if not type_.startswith(OURS)} == set(HARMLESS)
