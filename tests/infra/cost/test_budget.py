from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ConfigError
from infra.cost.budget import Budget, Reason, exceeded, parse
from infra.cost.model import Estimate, Gap, Range
from tests.infra.cost.lines import OBJECTS, estimate, estimates, line

GAP = Gap("prod", "urn:pulumi:prod::docsearch::a::b", "aws:x/y:Z", "eks", "a charge", "no price")


def costing(dollars: str | int, *, gaps: int = 0) -> Estimate:
    return estimate(line(OBJECTS, Range.of(dollars), "1"), unpriced=(GAP,) * gaps)


def said(*reasons: Reason) -> list[str]:
    return [str(reason) for reason in reasons]


# Whether it is kept


def test_a_month_within_its_budget_gives_no_reason() -> None:
    assert exceeded(Budget(monthly=Decimal(100)), [costing(60), costing(40)]) == ()


def test_a_month_beyond_its_budget_says_both_figures_and_by_how_much() -> None:
    found = exceeded(Budget(monthly=Decimal(100)), [costing(60), costing("50.25")], of="prod and dr")
    assert said(*found) == ["prod and dr: the month is $110.25, $10.25 over its limit of $100.00"]
    assert found[0].as_json() == {
        "of": "prod and dr",
        "what": "the month",
        "limit": "100",
        "figure": "110.25",
        "over": "10.25",
        "missing": 0,
    }


def test_the_expected_month_is_compared_and_not_the_dearest() -> None:
    its = estimate(line(OBJECTS, Range(Decimal(1), Decimal(100), Decimal(1000)), "1"))
    assert exceeded(Budget(monthly=Decimal(100)), [its]) == ()


def test_an_increase_is_the_difference_of_the_totals() -> None:
    budget = Budget(increase=Decimal(5))
    assert exceeded(budget, [costing(105)], before=[costing(100)]) == ()
    (found,) = exceeded(budget, [costing(106)], before=[costing(60), costing(40)])
    assert str(found) == "the increase is $6.00, $1.00 over its limit of $5.00"
    assert exceeded(budget, [costing(1)], before=[costing(100)]) == ()


def test_an_increase_is_not_judged_where_there_is_nothing_to_compare_with() -> None:
    assert exceeded(Budget(increase=Decimal(0)), [costing(100)]) == ()


def test_no_increase_at_all_may_be_asked_for() -> None:
    budget = Budget.of(increase="0 USD")
    assert exceeded(budget, [costing(100)], before=[costing(100)]) == ()
    assert exceeded(budget, [costing("100.01")], before=[costing(100)]) != ()


def test_both_limits_are_judged() -> None:
    budget = Budget(monthly=Decimal(10), increase=Decimal(1))
    assert [one.what for one in exceeded(budget, [costing(20)], before=[costing(10)])] == ["the month", "the increase"]


def test_what_has_a_gap_is_never_within_its_budget() -> None:
    (one,) = exceeded(Budget(monthly=Decimal(100)), [costing(50, gaps=1)])
    (two,) = exceeded(Budget(monthly=Decimal(100)), [costing(50, gaps=1), costing(0, gaps=1)])
    assert str(one) == "the month is at least $50.00, and 1 charge has no figure: it may be over its limit of $100.00"
    assert "2 charges have no figure" in str(two)


def test_what_has_a_gap_and_is_beyond_its_budget_anyway_says_so() -> None:
    (found,) = exceeded(Budget(monthly=Decimal(40)), [costing(50, gaps=3)])
    assert str(found) == "the month is at least $50.00, $10.00 over its limit of $40.00"


def test_an_increase_from_what_had_a_gap_is_not_sure_either() -> None:
    budget = Budget(increase=Decimal(100))
    assert exceeded(budget, [costing(50)], before=[costing(50, gaps=1)])[0].missing == 1


def test_a_value_that_is_not_known_yet_is_a_gap() -> None:
    its = estimate(unknown=(GAP,))
    assert exceeded(Budget(monthly=Decimal(1)), [its])[0].missing == 1


def test_no_budget_is_always_kept() -> None:
    assert not Budget()
    assert Budget(monthly=Decimal(1))
    assert Budget(increase=Decimal(0))
    assert exceeded(Budget(), [costing(50, gaps=1)], before=[]) == ()


@given(st.lists(estimates, max_size=3), st.lists(estimates, max_size=3), st.decimals(0, 10**7, places=2))
def test_a_reason_is_given_exactly_where_a_limit_is_passed(
    after: list[Estimate], before: list[Estimate], limit: Decimal
) -> None:
    figure = sum((one.monthly.expected for one in after), Decimal(0))
    added = figure - sum((one.monthly.expected for one in before), Decimal(0))
    assert bool(exceeded(Budget(monthly=limit), after)) is (figure > limit)
    assert bool(exceeded(Budget(increase=limit), after, before=before)) is (added > limit)


# Amounts


@pytest.mark.parametrize(
    ("text", "amount"),
    [("60000 USD", "60000"), ("0 USD", "0"), ("1.5 USD", "1.5"), ("60000.25 USD", "60000.25"), (" 7USD ", "7")],
)
def test_an_amount_is_read_exactly(text: str, amount: str) -> None:
    assert parse(text, what="it") == Decimal(amount)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("60000", "it has no currency"),
        ("60,000", "it has no currency"),
        ("60000.50", "it has no currency"),
        ("60000 EUR", "list prices are in USD, and no rate of exchange is known here"),
        ("60000 usd", "list prices are in USD"),
        ("60000 $", "list prices are in USD"),
        ("$60000", "it is no amount of money"),
        ("USD 60000", "it is no amount of money"),
        ("USD", "it is no amount of money"),
        ("", "it is no amount of money"),
        ("lots", "it is no amount of money"),
        ("1\u0662 USD", "it is no amount of money"),
        ("nan USD", "it is no amount of money"),
        ("1e9 USD", "it is no amount of money"),
        ("60000 USD a month", "it is no amount of money"),
        ("-5 USD", "it is negative"),
        ("60,000 USD", "its figure can be read in more than one way"),
        ("60.000 USD", "its figure can be read in more than one way"),
        ("60 000 USD", "its figure can be read in more than one way"),
        ("060000 USD", "its figure can be read in more than one way"),
        ("99999999999 USD", "its figure can be read in more than one way"),
    ],
)
def test_what_is_no_amount_of_dollars_says_why_and_what_to_write(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, what="--budget")
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"--budget is {text!r}: {why}")
    assert "Write" in caught.value.remedy


def test_a_budget_of_text_names_the_place_of_what_is_wrong() -> None:
    assert Budget.of("60000 USD", "500 USD") == Budget(Decimal(60000), Decimal(500))
    assert Budget.of() == Budget()
    with pytest.raises(ConfigError, match=r"Pulumi.prod.yaml: the increase is '500': it has no currency"):
        Budget.of("60000 USD", "500", where="Pulumi.prod.yaml")


def test_a_month_for_nothing_is_no_budget() -> None:
    with pytest.raises(ConfigError, match="nothing that runs costs nothing"):
        Budget.of("0 USD")


@given(st.text())
def test_any_text_is_an_amount_or_a_clear_error(text: str) -> None:
    try:
        found: Decimal | ConfigError = parse(text, what="it")
    except ConfigError as error:
        found = error
    assert found.why and found.remedy if isinstance(found, ConfigError) else found >= 0


@given(st.integers(0, 10**9), st.integers(0, 99))
def test_every_amount_with_its_currency_is_read(dollars: int, cents: int) -> None:
    assert parse(f"{dollars}.{cents:02} USD", what="it") == Decimal(dollars) + Decimal(cents) / 100
