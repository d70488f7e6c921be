"""Prices for a terminal: what is shown, and that nothing looks more certain than it is."""

import io
from dataclasses import replace
from decimal import Decimal

import pytest
from rich.console import Console, RenderableType

from infra.cost.budget import Reason
from infra.cost.change import Difference, DoubleRunning
from infra.cost.model import Confidence, Range
from infra.cost.sections import Section, Sheet
from infra.cost.statement import grouping
from infra.cost.table import (
    MOST,
    difference_line,
    difference_rows,
    difference_table,
    gaps_table,
    named,
    plus,
    statement_table,
    total_line,
)
from tests.infra.cost.statements import BASIS, bill, database, estimate, gap, line, price, statement

COMPONENT = grouping("component")
DR = bill(line(stack="dr", urn=line().urn.replace(":prod:", ":dr:")), stack="dr", region="us-west-2")


def shown(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=400, color_system=None)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def rows(what: RenderableType) -> list[list[str]]:
    return [text.split() for text in shown(what).splitlines()]


def test_a_row_has_least_expected_and_most_at_list_and_with_commitments() -> None:
    found = rows(statement_table(statement(), COMPONENT))
    assert (
        found[0] == "component list min list expected list max committed min committed expected committed max".split()
    )
    assert found[1] == "search $14,906.60 $15,651.93 $16,397.26 $7,453.30 $7,825.96 $8,198.63".split()
    assert found[2][0] == "database"
    assert found[3] == "total per month $16,876.14 $17,621.47 $18,366.80 $8,438.07 $8,810.74 $9,183.40".split()


def test_without_commitments_there_is_one_price() -> None:
    found = rows(statement_table(statement(basis=replace(BASIS, commitments="")), COMPONENT))
    assert found[0] == ["component", "min", "expected", "max"]
    assert "at list price" not in shown(total_line(statement(basis=replace(BASIS, commitments=""))))


def test_several_stacks_have_a_row_each_above_the_total() -> None:
    found = [row[:2] for row in rows(statement_table(statement(bill(), DR), COMPONENT))]
    assert found[3:6] == [["prod", "(us-east-1)"], ["dr", "(us-west-2)"], ["total", "per"]]


def test_of_many_resources_the_dearest_are_shown_and_the_rest_is_one_row() -> None:
    many = [
        line(urn=f"urn:pulumi:prod::docsearch::aws:kms/key:Key::key-{number}", quantity=Range.of(number))
        for number in range(MOST + 5)
    ]
    text = shown(statement_table(statement(bill(*many)), grouping("resource")))
    assert "prod: key-44 (aws:kms/key:Key)" in text
    assert "key-4 " not in text
    assert ["5", "more"] in [row[:2] for row in rows(statement_table(statement(bill(*many)), grouping("resource")))]


def test_a_resource_is_shown_by_stack_name_and_type() -> None:
    assert named(line().urn) == "prod: search (aws:opensearch/domain:Domain)"
    assert named("AmazonES") == "AmazonES"


def test_how_sure_it_is_is_said() -> None:
    recalled = line(component="queue", price=price(sku="other", confidence=Confidence.RECALLED))
    text = shown(statement_table(statement(bill(line(), recalled)), COMPONENT))
    assert "confidence: 50.0% source-exact (1 price), 0.0% derived (0 prices), 50.0% recalled (1 price)" in text
    assert "1 price is only recalled" in text
    assert "100.0% of it is a list price times an assumed factor" in text
    assert "prices: list prices of 2026-11-20, 7 days old" in text
    assert "only recalled" not in shown(statement_table(statement(), COMPONENT))


def test_stale_prices_are_said_with_the_way_to_renew_them() -> None:
    text = shown(statement_table(statement(basis=replace(BASIS, age_days=200)), COMPONENT))
    assert "200 days old, which is stale (limit 90); docsearch cost refresh renews them" in text
    assert text.splitlines()[-1].startswith("incomplete: prod: $8,811 a month")


def test_what_has_no_figure_is_counted_and_named() -> None:
    its = statement(bill(unpriced=(gap(), gap(urn="urn:pulumi:prod::docsearch::aws:mq/broker:Broker::other"))))
    text = shown(statement_table(its, COMPONENT))
    assert "prod: queue: broker hours  queue (aws:mq/broker:Broker) and 1 more  the snapshot has no" in text
    assert text.splitlines()[-1].endswith("for what has a figure; 2 unpriced")


def test_gaps_that_differ_are_not_counted_as_one() -> None:
    assert len(rows(gaps_table([gap(), gap(why="another reason"), gap()]))) == 3


def test_a_budget_that_is_exceeded_is_said() -> None:
    over = Reason("the month", Decimal(8000), Decimal("8810.74"), 0, "prod")
    text = shown(statement_table(statement(bill(over=(over,))), COMPONENT))
    assert "budget: prod: the month is $8,810.74, $810.74 over its limit of $8,000.00" in text
    assert text.splitlines()[-1].startswith("over budget: prod: ")


def test_names_are_no_markup() -> None:
    assert "[red]tags[owner]" in shown(statement_table(statement(bill(line(component="[red]tags[owner]"))), COMPONENT))


def test_what_stands_beside_is_shown_without_its_chart() -> None:
    section = Section("A title", "A text", "<svg/>", Sheet("", ("what", "dollars"), (("a", "$1"), ("total", "$1"))))
    text = shown(statement_table(statement(), COMPONENT, [section]))
    assert "A title\nwhat   dollars\na           $1\ntotal       $1\nA text\n" in text
    assert "svg" not in text


# Differences


def change(after: Range | None = None, **changes: object) -> Difference:
    before = estimate(line(quantity=Range.of(1000)), database())
    now = estimate(line(quantity=after or Range(Decimal(1000), Decimal(1500), Decimal(3000))), database())
    return replace(Difference(before, now), **changes)  # type: ignore[arg-type]


def test_a_difference_has_the_components_that_it_touches_and_the_whole() -> None:
    assert difference_rows(change()) == [
        ("search", "$1,021", "$1,532", "+$510", "$0 to +$2,042"),
        ("total", "$2,991", "$3,501", "+$510", "$0 to +$2,042"),
    ]


def test_what_saves_has_a_minus() -> None:
    assert difference_rows(change(Range.of(500)))[0][3:] == ("-$510", "-$510 to -$510")


def test_a_difference_is_one_line() -> None:
    assert difference_line(change()) == "prod: $2,991 -> $3,501 a month, +$510 ($0 to +$2,042)"


def test_a_difference_that_is_not_whole_says_so() -> None:
    its = change(after=None)
    its = replace(its, after=replace(its.after, unpriced=(gap(),)))
    assert difference_line(its).endswith("; incomplete, 1 charge without a figure")


def test_a_difference_shows_what_is_paid_besides() -> None:
    moving = DoubleRunning(
        database().urn, "aws:rds/instance:Instance", "database", "holds data", Range.of(72), Range.of(198), "assumed"
    )
    text = shown(difference_table(change(replaced=(moving,))))
    assert "replacing database: $198 once ($198 to $198): it holds data; both run for a while, assumed" in text


@pytest.mark.parametrize(("value", "text"), [("3.2", "+$3"), ("0.2", "$0"), ("-0.2", "$0"), ("-7", "-$7")])
def test_a_difference_of_dollars_has_its_sign(value: str, text: str) -> None:
    assert plus(Decimal(value)) == text


def test_a_statement_with_a_base_shows_the_change() -> None:
    text = shown(statement_table(statement(bill(difference=change())), COMPONENT))
    assert "prod: the change" in text
    assert "prod: $2,991 -> $3,501 a month" in text
