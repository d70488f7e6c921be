"""The price of a change in every format, read back by a reader of that format."""

import io
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from rich.console import Console

from infra.check import Check
from infra.cost.change import DoubleRunning, Stranded
from infra.cost.model import Range
from infra.cost.statement import Basis
from infra.formats import BUDGET, junit, markdown, sarif, terminal
from tests.infra.checks import DATABASE, MONTHLY, check, gap, price, stack
from tests.infra.readers import cases, ended, nasty, normal, results, tables

PRICED = stack(price=price(900, 1101), budget=MONTHLY)
OLD = Basis(date(2026, 11, 20), 7)

MOVING = DoubleRunning(
    DATABASE,
    "aws:rds/instance:Instance",
    "database",
    "holds documents",
    Range(Decimal(24), Decimal(72), Decimal(168)),
    Range(Decimal(66), Decimal(198), Decimal(462)),
    "an assumption",
)
LEFT = Stranded("index", "instance:m6g.4xlarge.search", Decimal(400), date(2029, 6, 30))


def test_the_comment_shows_the_month_before_and_after_and_how_sure_that_is() -> None:
    text = markdown(check(PRICED, stack(stack="dr", region="us-west-2", price=price(500, 500)), prices=OLD))
    assert tables(text)["Price of a month"] == [
        ["stack", "component", "before", "after", "adds", "least to most"],
        ["prod", "search", "$900", "$1,101", "+$201", "+$201 to +$201"],
        ["prod", "total", "$900", "$1,101", "+$201", "+$201 to +$201"],
        ["dr", "total", "$500", "$500", "$0", "$0 to $0"],
    ]
    assert "100.0% source-exact, 0.0% derived, 0.0% recalled; 0 prices only recalled" in text
    assert "list prices of 2026-11-20, 7 days old" in text
    assert tables(text)["Budgets"][1:] == [
        ["prod", "the month is $1,101.00, $101.00 over its limit of $1,000.00", "the change"]
    ]


def test_the_comment_says_what_is_paid_besides_the_month() -> None:
    text = markdown(check(stack(price=price(900, 950, replaced=(MOVING,), stranded=(LEFT,)))))
    assert [row[:3] for row in tables(text)["Besides the month"][1:]] == [
        ["prod", "replacing database", "$198 once ($66 to $462)"],
        ["prod", "commitment index for instance:m6g.4xlarge.search", "$400 a month until 2029-06-30"],
    ]


def test_what_has_no_figure_is_named_in_every_format() -> None:
    its = check(stack(price=price(900, 950, gap()), budget=MONTHLY), stack(stack="dr", priceless="no such region"))
    assert tables(markdown(its))["Without a figure"][1:] == [
        ["prod", "queue", "broker hours", "there is no price of mq.m9.large"],
        ["dr", "", "everything", "no such region"],
    ]
    for text in (said_in(its), sarif(its), junit(its), markdown(its)):
        assert "1 charge has no figure" in text
    assert "incomplete, 1 charge without a figure" in said_in(its)


def said_in(its: Check) -> str:
    console = Console(file=io.StringIO(), width=1000)
    console.print(terminal(its))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_terminal_shows_components_only_where_something_moves() -> None:
    assert "price of a month" not in said_in(check(stack(price=price(900, 900))))
    assert "prod: $900 -> $900 a month, $0 ($0 to $0)" in said_in(check(stack(price=price(900, 900))))
    shown = said_in(check(PRICED, prices=OLD))
    assert ["prod", "search", "$900", "$1,101", "+$201", "+$201", "to", "+$201"] in [
        line.split() for line in shown.splitlines()
    ]
    assert "list prices of 2026-11-20" in shown


def test_a_budget_that_is_exceeded_is_a_result_at_its_key() -> None:
    (result,) = results(check(PRICED))
    assert (result["ruleId"], result["kind"], result["level"], result["baselineState"]) == (
        BUDGET,
        "fail",
        "error",
        "new",
    )
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "Pulumi.prod.yaml"
    assert "$101.00 over its limit" in result["message"]["text"]
    (known,) = results(check(stack(price=price(1100, 1101), budget=MONTHLY)))
    assert known["baselineState"] == "unchanged"
    (open_,) = results(check(stack(price=price(900, 950, gap()), budget=MONTHLY)))
    assert (open_["kind"], open_["level"]) == ("open", "none")


@pytest.mark.parametrize(
    ("its", "ends"),
    [
        (stack(price=price(900, 950), budget=MONTHLY), "passed"),
        (PRICED, "Failure"),
        (stack(price=price(900, 950, gap()), budget=MONTHLY), "Error"),
        (stack(priceless="no such region", budget=MONTHLY), "Error"),
        (stack(plan=None, failed="the engine stopped", budget=MONTHLY), "Skipped"),
    ],
)
def test_a_budget_is_a_case_of_its_stack(its: Any, ends: str) -> None:
    assert ended(cases(junit(check(its)))["prod (us-east-1)"][BUDGET]) == ends


def test_a_budget_that_the_base_exceeds_passes_where_only_what_is_new_counts() -> None:
    its = stack(price=price(1100, 1101), budget=MONTHLY)
    assert ended(cases(junit(check(its, new_only=True)))["prod (us-east-1)"][BUDGET]) == "passed"
    assert ended(cases(junit(check(its)))["prod (us-east-1)"][BUDGET]) == "Failure"


@given(text=nasty)
def test_any_name_makes_a_comment_and_a_log_that_can_be_read(text: str) -> None:
    broken = gap(what=text, why=text, urn=f"{DATABASE}{text}")
    its = check(stack(price=price(900, 950, broken), priceless="", budget=MONTHLY))
    if normal(text):
        assert tables(markdown(its))["Without a figure"][1][2:] == [normal(text)] * 2
    sarif(its).encode()
    cases(junit(its))
