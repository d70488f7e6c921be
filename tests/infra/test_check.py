"""How a check ends, and its JSON document."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ConfigError
from infra import errors
from infra.check import EXIT_CODES, Check, StackCheck, Status, priced
from infra.cost.budget import Budget
from infra.cost.rates import budget_of
from infra.cost.statement import Basis
from infra.findings import rules
from infra.formats import formatted
from infra.program import PROJECT
from policies.rule import Severity
from tests.infra.checks import (
    DATABASE,
    INCREASE,
    MONTHLY,
    WAIVER,
    check,
    finding,
    gap,
    objection,
    plan,
    price,
    stack,
)

SCHEMA: dict[str, Any] = json.loads((PROJECT / "docs" / "schemas" / "check.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())

findings = st.builds(
    finding,
    severity=st.sampled_from(Severity),
    kind=st.sampled_from(["violation", "unverified", "waived"]),
    path=st.sampled_from(["a", "b", ""]),
    urn=st.sampled_from([DATABASE, ""]),
)
objections = st.builds(
    objection, waiver=st.sampled_from([None, WAIVER]), expired=st.sampled_from([None, WAIVER]), what=st.text()
)
prices = st.builds(
    lambda before, after, missing, missed: price(before, after, *missing, missed=missed),
    st.sampled_from([0, 900, 1100]),
    st.sampled_from([950, 1000, 1150, 2000]),
    st.sampled_from([(), (gap(),), (gap(), gap(what="storage"))]),
    st.sampled_from([(), (gap(),)]),
)
stacks = st.builds(
    lambda said, failed, known, planned, priced, priceless, budget: stack(
        *said,
        failed=failed,
        known=frozenset(one.identity for one in known),
        plan=plan("update") if planned else None,
        price=priced if planned and not priceless else None,
        priceless=priceless if planned else "",
        budget=budget,
    ),
    st.lists(findings | objections, max_size=6),
    st.sampled_from(["", "the engine stopped"]),
    st.lists(findings, max_size=3),
    st.booleans(),
    prices,
    st.sampled_from(["", "", "there are no prices of region eu-west-1"]),
    st.sampled_from([Budget(), MONTHLY, INCREASE]),
)
checks = st.builds(
    lambda every, new_only, prices: Check("0" * 40, tuple(every), new_only, prices),
    st.lists(stacks, max_size=3),
    st.booleans(),
    st.sampled_from([None, Basis(date(2026, 11, 20), 7)]),
)


def test_a_change_that_nothing_is_against_is_ok() -> None:
    assert (check().status, check().exit_code) == (Status.OK, 0)


@pytest.mark.parametrize("severity", Severity)
def test_a_violation_stops_the_change_unless_it_is_advice(severity: Severity) -> None:
    its = check(finding(severity=severity))
    assert its.status == (Status.OK if severity is Severity.MEDIUM else Status.POLICY)


@pytest.mark.parametrize("kind", ["unverified", "waived"])
def test_what_is_unverified_or_waived_stops_nothing(kind: str) -> None:
    assert check(finding(kind=kind)).status is Status.OK


def test_an_objection_stops_the_change_unless_it_is_waived() -> None:
    assert check(objection()).status is Status.DESTRUCTIVE
    assert check(objection(expired=WAIVER)).status is Status.DESTRUCTIVE
    assert check(objection(waiver=WAIVER)).status is Status.OK


@given(its=checks)
def test_the_gravest_decides(its: Check) -> None:
    expected = Status.OK
    if its.unsure:
        expected = Status.INCOMPLETE
    if its.over_budget:
        expected = Status.OVER_BUDGET
    if its.objections:
        expected = Status.DESTRUCTIVE
    if its.blocking:
        expected = Status.POLICY
    if any(one.failed for one in its.stacks):
        expected = Status.INCOMPLETE
    assert its.status is expected


def test_each_status_has_the_exit_code_of_its_error() -> None:
    assert {
        Status.OK: 0,
        Status.POLICY: errors.PolicyError.exit_code,
        Status.DESTRUCTIVE: errors.DestructiveError.exit_code,
        Status.OVER_BUDGET: errors.BudgetError.exit_code,
        Status.INCOMPLETE: errors.IncompleteError.exit_code,
    } == EXIT_CODES


def test_what_the_base_has_already_stops_the_change_only_if_it_is_asked_to() -> None:
    old, new = finding(path="old"), finding(path="new")
    known = frozenset({old.identity})
    assert check(stack(old, known=known)).status is Status.POLICY
    assert check(stack(old, known=known), new_only=True).status is Status.OK
    its = check(stack(old, new, known=known), new_only=True)
    assert [found for _, found in its.blocking] == [new]
    assert [found for _, found in its.violations] == [old, new]


def test_a_finding_is_the_same_when_only_its_figures_differ() -> None:
    old, now = finding(message="is 3, must be at least 7"), finding(message="is 5, must be at least 7")
    assert check(stack(now, known=frozenset({old.identity})), new_only=True).status is Status.OK


def test_what_is_destroyed_and_what_failed_counts_with_new_only_too() -> None:
    assert check(objection(), new_only=True).status is Status.DESTRUCTIVE
    assert check(stack(failed="the engine stopped"), new_only=True).status is Status.INCOMPLETE


@given(its=checks)
def test_new_only_never_stops_more(its: Check) -> None:
    narrow = Check(its.base, its.stacks, new_only=True)
    wide = Check(its.base, its.stacks)
    assert {found for _, found in narrow.blocking} <= {found for _, found in wide.blocking}
    assert narrow.objections == wide.objections
    assert {reason for _, reason in narrow.over_budget} <= {reason for _, reason in wide.over_budget}
    assert set(narrow.unsure) <= set(wide.unsure)


def test_the_summary_says_how_many_of_each() -> None:
    advice = finding(severity=Severity.MEDIUM)
    its = check(finding(), advice, finding(kind="unverified"), finding(kind="waived"), objection())
    assert its.summary == (
        f"policy: 1 finding, 1 piece of advice, 1 destructive change, {len(rules())} rules looked at 4 resources"
        " of 1 stack, 1 value unverified, 1 waived"
    )


def test_resources_are_counted_in_the_plans_that_there_are() -> None:
    its = check(stack(plan=plan("same", "create")), stack(stack="dr", plan=None, failed="the engine stopped"))
    assert its.resources == 2


# What it costs


def costing(*arguments: Any, budget: Budget = MONTHLY, missed: tuple[Any, ...] = (), **changes: Any) -> Check:
    return check(stack(price=price(*arguments, missed=missed), budget=budget), **changes)


def test_a_change_within_its_budget_is_ok() -> None:
    assert costing(900, 1000).status is Status.OK
    assert costing(5000, 5100, budget=INCREASE).status is Status.OK
    assert costing(900, 10**6, budget=Budget()).status is Status.OK


def test_a_change_beyond_its_budget_is_stopped() -> None:
    its = costing(900, 1001)
    assert (its.status, its.exit_code) == (Status.OVER_BUDGET, 11)
    assert its.summary.startswith("over budget: ")
    assert its.summary.endswith("1 budget exceeded, +$101 a month")
    assert costing(5000, 5101, budget=INCREASE).status is Status.OVER_BUDGET


def test_what_saves_is_stopped_only_by_the_month() -> None:
    assert costing(5000, 4000, budget=INCREASE).status is Status.OK
    assert costing(5000, 4000).status is Status.OVER_BUDGET


def test_a_budget_that_the_base_exceeds_already_is_known() -> None:
    assert costing(1100, 1100, new_only=True).status is Status.OK
    assert costing(1100, 1150, new_only=True).status is Status.OK
    assert costing(900, 1150, new_only=True).status is Status.OVER_BUDGET
    assert costing(1100, 1201, budget=INCREASE, new_only=True).status is Status.OVER_BUDGET


def test_a_price_that_is_not_whole_never_keeps_a_budget() -> None:
    its = costing(900, 950, gap())
    assert (its.status, its.exit_code) == (Status.INCOMPLETE, 12)
    assert its.summary.endswith("1 budget in doubt, +$50 a month, as far as is known")
    assert costing(900, 950, gap(), budget=INCREASE).status is Status.INCOMPLETE


def test_a_price_that_is_not_whole_hides_nothing_that_stops_the_change() -> None:
    its = costing(900, 950, gap())
    destructive = replace(its, stacks=(replace(its.stacks[0], objections=(objection(),)), *its.stacks[1:]))
    assert destructive.unsure
    assert destructive.status is Status.DESTRUCTIVE


def test_a_price_that_is_not_whole_is_said_where_there_is_no_budget() -> None:
    its = costing(900, 950, gap(), budget=Budget())
    assert its.status is Status.OK
    assert its.summary.endswith("+$50 a month, as far as is known")


def test_what_has_no_figure_in_the_base_already_is_known() -> None:
    for budget in (MONTHLY, INCREASE):
        assert costing(900, 950, gap(), missed=(gap(),), budget=budget, new_only=True).status is Status.OK
        assert costing(900, 950, gap(), missed=(gap(),), budget=budget).status is Status.INCOMPLETE
        other = gap(what="broker storage")
        its = costing(900, 950, gap(), other, missed=(gap(),), budget=budget, new_only=True)
        assert its.status is Status.INCOMPLETE


def test_without_any_price_no_budget_is_kept() -> None:
    for budget, status in ((MONTHLY, Status.INCOMPLETE), (Budget(), Status.OK)):
        its = check(stack(priceless="there are no prices of region eu-west-1", budget=budget))
        assert its.status is status


def test_what_is_destroyed_weighs_more_than_what_it_costs() -> None:
    expensive = price(900, 2000)
    assert check(stack(objection(), price=expensive, budget=MONTHLY)).status is Status.DESTRUCTIVE
    assert check(stack(finding(), price=expensive, budget=MONTHLY)).status is Status.POLICY


class Fixed:
    """Rates that know one region."""

    def __init__(self, known: str) -> None:
        self.known = known

    def difference(self, its: Any) -> Any:
        if its.region != self.known:
            raise ConfigError(f"there are no prices of region {its.region!r}", remedy="Add them")
        return price(900, 950)


def test_a_stack_is_priced_with_the_budget_of_its_file() -> None:
    rates: Any = Fixed("us-east-1")
    its = priced(stack(), rates)
    assert its.price is not None
    assert its.budget == budget_of("prod")
    gone = priced(StackCheck("gone", "", failed="Pulumi.gone.yaml is gone"), rates)
    assert (gone.price, gone.priceless) == (None, "")


def test_a_stack_without_prices_says_why() -> None:
    rates: Any = Fixed("eu-west-1")
    its = priced(stack(), rates)
    assert its.price is None
    assert its.priceless == "there are no prices of region 'us-east-1'. Add them."


# The document


@given(its=checks)
def test_the_document_is_as_its_schema_says(its: Check) -> None:
    made = formatted(its, "json")
    assert isinstance(made, str)
    VALIDATOR.validate(json.loads(made))


WHOLE = check(
    stack(
        *(finding(), finding(kind="unverified"), finding(kind="waived"), objection(waiver=WAIVER), objection()),
        price=price(900, 1100, gap()),
        budget=MONTHLY,
    ),
    prices=Basis(date(2026, 11, 20), 7),
)


def broken(change: Callable[[Any], object]) -> Any:
    document = json.loads(str(formatted(WHOLE, "json")))
    VALIDATOR.validate(document)
    change(document)
    return document


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.pop("base"),
        lambda it: it.update(more=1),
        lambda it: it.update(status="fine"),
        lambda it: it.update(exit_code=0),
        lambda it: it["stacks"][0].update(more=1),
        lambda it: it["stacks"][0]["summary"].pop("create"),
        lambda it: it["stacks"][0]["summary"].update(create=-1),
        lambda it: it["stacks"][0]["findings"][0].pop("new"),
        lambda it: it["stacks"][0]["findings"][0].update(kind="waived"),
        lambda it: it["stacks"][0]["findings"][0].update(severity="low"),
        lambda it: it["stacks"][0]["findings"][0]["place"].update(line=0),
        lambda it: it["stacks"][0]["findings"][0]["place"].update(column=1),
        lambda it: it["stacks"][0]["objections"][0]["waiver"].pop("owner"),
        lambda it: it["stacks"][0]["objections"][0]["waiver"].update(expires="soon"),
        lambda it: it["stacks"][0]["objections"][0].pop("expired"),
        lambda it: it["stacks"][0].pop("price"),
        lambda it: it["stacks"][0]["price"].pop("gaps"),
        lambda it: it["stacks"][0]["price"]["monthly"].update(expected=200),
        lambda it: it["stacks"][0]["price"]["changes"][0].update(kind="moved"),
        lambda it: it["stacks"][0]["over_budget"][0].pop("new"),
        lambda it: it["prices"].update(snapshot_date="soon"),
    ],
)
def test_a_document_that_is_not_as_its_schema_says_is_found(change: Callable[[Any], object]) -> None:
    assert not VALIDATOR.is_valid(broken(change))


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for inner in schema.values():
            yield from objects(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects(inner)


def test_the_schema_is_closed_and_describes_every_property() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    every = list(objects(SCHEMA))
    assert len(every) > 5
    for one in every:
        if "properties" not in one:  # Names are not known before: a component, a type.
            assert one["additionalProperties"]
            continue
        assert one["additionalProperties"] is False
        assert set(one["required"]) == set(one["properties"])
        assert all(its.get("description") for its in one["properties"].values())
