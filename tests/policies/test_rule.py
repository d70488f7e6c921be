"""What rules are made of: reading a value, saying what it must be, and thresholds."""

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import rule as rules
from policies.catalogue import MODULES, every_rule
from policies.rule import (
    ABSENT,
    FALSE,
    GIVEN,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    at_least,
    items,
    look,
    multiple_of,
    must,
    number,
    one_of,
    shown,
)
from tests.policies.anything import ANYTHING

PROPS = {"a": {"b": [{"c": 1}, UNKNOWN]}, "u": UNKNOWN, "n": None}
IT = Resource("urn:pulumi:prod::docsearch::t::x", "t", PROPS)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b[0].c", 1),
        ("a.b[1]", UNKNOWN),
        ("a.b[1].c", UNKNOWN),
        ("a.b[2]", None),
        ("a.b.c", None),
        ("a[0]", None),
        ("u.x.y", UNKNOWN),
        ("n", None),
        ("n.x", None),
        ("missing", None),
    ],
)
def test_a_path_leads_to_a_value_to_nothing_or_to_what_is_not_known(path: str, value: Any) -> None:
    assert IT.get(path) is value or IT.get(path) == value


def test_the_items_of_a_list_have_paths_and_an_unknown_list_is_one_unknown_item() -> None:
    assert items(IT, "a.b") == [("a.b[0]", {"c": 1}), ("a.b[1]", UNKNOWN)]
    assert items(IT, "u") == [("u", UNKNOWN)]
    assert items(IT, "n") == items(IT, "a") == []


def test_must_says_what_is_wrong_and_what_cannot_be_said() -> None:
    assert list(must(IT, "a.b[0].c", at_least(1))) == []
    assert list(must(IT, "a.b[0].c", at_least(2), why="so")) == [Finding("a.b[0].c", "is 1, must be at least 2: so")]
    assert list(must(IT, "u", TRUE)) == [Finding("u", "is not known before the update", verified=False)]


@pytest.mark.parametrize(
    ("want", "good", "bad"),
    [
        (TRUE, [True], [1, "true", None, False]),
        (FALSE, [False, None], [0, "false", True, ""]),
        (GIVEN, ["x", 0, False, [1]], [None, "", [], {}]),
        (ABSENT, [None, "", [], {}], ["x", 0, False]),
        (at_least(3), [3, 3.0, 4], [2, True, "3", None, math.nan]),
        (one_of("a", "b"), ["a", "b"], ["c", None, ["a"], 1]),
        (multiple_of(3), [3, 6.0], [0, -3, 4, True, None, math.inf, math.nan]),
    ],
    ids=lambda value: value.text if isinstance(value, Want) else "",
)
def test_a_want_holds_for_what_it_says(want: Want, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not want.holds(value)] == []
    assert [value for value in bad if want.holds(value)] == []


@given(ANYTHING)
def test_wants_are_total_and_what_is_shown_is_short(value: Any) -> None:
    for want in (TRUE, FALSE, GIVEN, ABSENT, at_least(3), one_of("a"), multiple_of(3)):
        assert isinstance(want.holds(value), bool)
    number(value)
    if value is not UNKNOWN:
        assert len(shown(value)) < 60


@given(st.text())
def test_a_text_is_shown_only_if_it_looks_like_a_setting(text: str) -> None:
    assert shown(text) in (text, "something else")
    if " " in text or len(text) > 48:
        assert shown(text) == "something else"


# Rules themselves


def test_rules_have_ids_of_one_kind_and_say_why_what_to_do_and_where_it_is_written() -> None:
    for rule in every_rule():
        assert rule.id == rule.id.lower().strip("-")
        assert 20 <= len(rule.why) <= 140, rule.id
        assert not rule.why.endswith(".")
        assert rule.remedy
        assert rule.reference.startswith("https://")
        assert rule.check.__doc__
        json.dumps(rule.as_json())


def test_every_module_has_a_rule() -> None:
    assert {rule.check.__module__ for rule in every_rule()} == {module.__name__ for module in MODULES}


def test_the_default_of_a_threshold_is_within_its_bounds() -> None:
    for rule in every_rule():
        for name, its in rule.schema.items():
            assert its["minimum"] <= its["default"] <= its["maximum"], (rule.id, name)


def test_a_rule_is_judged_with_its_own_thresholds_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RULES", {})

    @rules.rule("days", on="t", severity=Severity.HIGH, why="w", remedy="r", reference="https://example.com")
    def days(it: Resource, *, least: Annotated[int, Bounds(1, 9)] = 2) -> Iterator[Finding]:
        yield from must(it, "a.b[0].c", at_least(least))

    its = rules.RULES["days"]
    assert its.schema == {"least": {"type": "integer", "minimum": 1, "maximum": 9, "default": 2}}
    assert [finding.message for finding in its.judge(IT)] == ["is 1, must be at least 2"]
    assert its.judge(IT, {"least": 1.0}) == []
    with pytest.raises(ValueError, match="two rules are called days"):
        rules.rule("days", on="t", severity=Severity.HIGH, why="w", remedy="r", reference="https://e.com")(days)


def test_a_threshold_without_bounds_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "RULES", {})

    @rules.rule("days", on="t", severity=Severity.HIGH, why="w", remedy="r", reference="https://example.com")
    def days(it: Resource, *, least: int = 2) -> Iterator[Finding]:
        yield from must(it, "a", at_least(least))

    with pytest.raises(TypeError, match="the threshold least of days is not Annotated"):
        _ = rules.RULES["days"].schema


def test_a_stack_works_something_out_once() -> None:
    made: list[int] = []

    def make() -> str:
        made.append(1)
        return "it"

    stack = Stack([IT])
    assert [stack.kept("x", make) for _ in range(3)] == ["it"] * 3
    assert made == [1]
    assert stack.of("t", "other") == [IT]
    assert stack.by_urn[IT.urn] is IT
    assert look(IT.props, "a.b[0].c") == 1
