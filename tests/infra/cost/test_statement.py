"""What a statement adds up to, how sure it is, and its documents."""

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ConfigError
from infra import errors
from infra.cost.budget import Reason
from infra.cost.model import Confidence, Range, total
from infra.cost.statement import COLUMNS, EXIT_CODES, GROUPINGS, UNTAGGED, Statement, Status, grouping
from infra.program import PROJECT
from tests.infra.cost import lines as made
from tests.infra.cost.statements import BASIS, bill, database, gap, line, price, statement

SCHEMA: dict[str, Any] = json.loads((PROJECT / "docs" / "schemas" / "cost.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())

OVER = Reason("the month", Decimal(1000), Decimal(1200), 0, "prod")
DOUBT = Reason("the month", Decimal(1000), Decimal(900), 2, "prod")

bills = st.builds(
    lambda its, unpriced, over: replace(bill(), listed=its, committed=made.estimate(*its.lines[1:]), over=over),
    made.estimates,
    st.booleans(),
    st.sampled_from([(), (OVER,), (DOUBT,)]),
)
statements = st.lists(bills, min_size=1, max_size=3).map(lambda some: statement(*some))
names = st.sampled_from(["component", "service", "resource", "tag=owner"])


@given(its=statements, name=names)
def test_groups_together_are_the_whole_at_every_grouping(its: Statement, name: str) -> None:
    groups = its.by(grouping(name))
    assert total(group.committed for group in groups) == its.monthly
    assert total(group.listed for group in groups) == its.listed
    assert len({group.name for group in groups}) == len(groups)


@given(its=statements)
def test_confidence_shares_the_whole_out(its: Statement) -> None:
    assert total(its.confidence.values()) == its.monthly
    assert sum(its.prices.values()) == len({one.price for one in its.lines})


def test_the_dearest_group_comes_first() -> None:
    assert [group.name for group in statement().by(grouping("component"))] == ["search", "database"]


def test_a_tag_groups_what_carries_it_and_tells_what_does_not() -> None:
    assert {group.name for group in statement().by(grouping("tag=owner"))} == {"search-platform", UNTAGGED}


@pytest.mark.parametrize("name", ["", "region", "tag", "tag=", "components", "tag owner"])
def test_a_grouping_that_there_is_not_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        grouping(name)
    assert repr(name)[1:-1] in caught.value.what
    assert all(known in caught.value.remedy for known in GROUPINGS)


def test_a_statement_of_everything_within_its_budget_is_ok() -> None:
    its = statement()
    assert (its.status, its.exit_code, its.doubts) == (Status.OK, 0, ())


@pytest.mark.parametrize(
    ("its", "doubt"),
    [
        (statement(bill(unpriced=(gap(),))), "1 unpriced"),
        (statement(bill(unknown=(gap(), gap(what="storage")))), "2 unknown"),
        (
            statement(basis=replace(BASIS, age_days=91)),
            "list prices of 2026-11-20, 91 days old, which is stale (limit 90)",
        ),
        (statement(basis=replace(BASIS, age_days=-1)), "list prices of 2026-11-20, which has not come yet"),
    ],
)
def test_what_has_no_figure_and_what_is_too_old_makes_it_incomplete_whatever_the_budget_says(
    its: Statement, doubt: str
) -> None:
    for over in ((), (OVER,)):
        said = replace(its, over=over)
        assert (said.status, said.exit_code, said.doubts) == (Status.INCOMPLETE, 12, (doubt,))


def test_prices_are_not_stale_on_their_last_day() -> None:
    assert statement(basis=replace(BASIS, age_days=90)).status is Status.OK


@pytest.mark.parametrize(
    "its", [statement(over=(OVER,)), statement(bill(over=(OVER,))), statement(bill(), bill(over=(OVER,)))]
)
def test_a_budget_that_is_exceeded_is_said_whosever_it_is(its: Statement) -> None:
    assert (its.status, its.exit_code, its.exceeded) == (Status.OVER_BUDGET, 11, (OVER,))


def test_each_status_has_the_exit_code_of_its_error() -> None:
    assert {
        Status.OK: 0,
        Status.OVER_BUDGET: errors.BudgetError.exit_code,
        Status.INCOMPLETE: errors.IncompleteError.exit_code,
    } == EXIT_CODES


def test_what_is_assumed_is_what_has_a_factor_with_a_reason() -> None:
    its = statement(bill(line(price=price(usd=Decimal(1)), quantity=Range.of(10))))
    assert its.assumed == its.monthly == Range.of(5)
    assert replace(its.bills[0], committed=its.bills[0].listed).committed.monthly == Range.of(10)
    assert its.share(its.assumed) == 1


def test_of_nothing_every_share_is_nothing() -> None:
    its = statement(bill(line(quantity=Range())))
    assert {its.share(part) for part in its.confidence.values()} == {Decimal(0)}


# The document


@given(its=statements, name=st.none() | names)
def test_the_document_is_as_its_schema_says_and_adds_up(its: Statement, name: str | None) -> None:
    document = json.loads(json.dumps(its.as_json(grouping(name) if name else None)))
    VALIDATOR.validate(document)
    for case in ("min", "expected", "max"):
        whole = Decimal(document["monthly"][case])
        assert sum(Decimal(one[case]) for one in document["components"].values()) == whole
        assert sum(Decimal(one["monthly"][case]) for one in document["lines"]) == whole
        assert sum(Decimal(one["monthly"][case]) for one in document["stacks"]) == whole


def test_the_document_names_what_has_no_figure_and_the_source_of_each_price() -> None:
    document = statement(bill(line(), unpriced=(gap(),))).as_json()
    assert document["status"] == "incomplete"
    assert [one["why"] for one in document["unpriced"]] == ["the snapshot has no mq.m7g.large in us-east-1"]
    (one,) = document["lines"]
    assert (one["source"], one["as_of"], one["confidence"]) == ("aws-price-list", "2026-10", "source-exact")
    assert (document["snapshot_date"], document["snapshot_age_days"]) == ("2026-11-20", 7)
    assert document["free"] == {"aws:iam/role:Role": "IAM costs nothing"}


def test_the_confidence_counts_prices() -> None:
    recalled = price(confidence=Confidence.RECALLED, sku="other")
    its = statement(bill(line(), line(price=recalled), line(price=recalled)))
    found = its.as_json()["confidence"]
    assert {level: one["prices"] for level, one in found.items()} == {"source-exact": 1, "derived": 0, "recalled": 1}
    assert sum(Decimal(one["share"]) for one in found.values()) == pytest.approx(1, abs=Decimal("0.00001"))


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.pop("snapshot_date"),
        lambda it: it.update(status="fine"),
        lambda it: it.update(exit_code=1),
        lambda it: it["monthly"].update(expected=12.5),
        lambda it: it["monthly"].pop("max"),
        lambda it: it.update(unpriced=0),
        lambda it: it["components"]["search"].update(more="1"),
        lambda it: it["lines"][0].pop("source"),
        lambda it: it["lines"][0].update(confidence="certain"),
        lambda it: it["confidence"].pop("recalled"),
        lambda it: it["stacks"][0].update(over_budget=["yes"]),
    ],
)
def test_a_document_that_is_not_as_its_schema_says_is_found(change: Any) -> None:
    document = json.loads(json.dumps(statement().as_json(grouping("service"))))
    VALIDATOR.validate(document)
    change(document)
    assert not VALIDATOR.is_valid(document)


def objects(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for inner in schema for found in objects(inner)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for inner in schema.values() for found in objects(inner)]


def test_the_schema_is_closed_and_describes_every_property() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    every = objects(SCHEMA)
    assert len(every) > 8
    for one in every:
        if "properties" not in one:  # Names are not known before: a component, a type.
            assert one["additionalProperties"]
            continue
        assert one["additionalProperties"] is False
        assert set(one["required"]) == set(one["properties"])
        assert all(its.get("description") for its in one["properties"].values())


def test_both_schemas_say_the_same_of_a_difference() -> None:
    other = json.loads((PROJECT / "docs" / "schemas" / "check.json").read_text(encoding="utf-8"))["$defs"]
    shared = ("range", "gap", "difference", "shift", "double_running", "stranded")
    assert {name: SCHEMA["$defs"][name] for name in shared} == {name: other[name] for name in shared}


# CSV


def rows(its: Statement) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(its.as_csv())))


@given(its=statements)
def test_the_csv_has_a_row_for_each_line_and_adds_up(its: Statement) -> None:
    found = rows(its)
    assert len(found) == len(its.lines)
    assert sum((Decimal(row["monthly_expected"]) for row in found), start=Decimal(0)) == its.monthly.expected


def test_the_csv_names_its_columns_and_the_source_of_each_price() -> None:
    (first, _) = rows(statement())
    assert tuple(first) == COLUMNS
    assert (first["source"], first["usd"], first["unit"], first["factor"]) == ("aws-price-list", "1.021", "Hrs", "0.5")


@given(text=st.text())
def test_any_text_keeps_the_columns_and_is_no_formula(text: str) -> None:
    (row,) = rows(statement(bill(line(what=text, component=text))))
    assert None not in row
    assert not row["what"].startswith(("=", "+", "-", "@"))
    assert row["what"].removeprefix("'") == " ".join(text.split()).removeprefix("'")


def test_a_database_is_a_line_of_its_own() -> None:
    assert [row["component"] for row in rows(statement(bill(database())))] == ["database"]
