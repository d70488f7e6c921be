from decimal import Decimal

import pytest

from infra.cost.relief import DEMANDS, OURS, SECOND_REGION, Step, Verdict, verdict
from infra.cost.requirement import LEAST, MOST
from tests.infra.cost.service import at, dollars, service, without_price


@pytest.fixture(scope="module")
def found() -> Verdict:
    return verdict(service())


def test_both_regions_are_above_what_the_requirement_says_and_by_how_much(found: Verdict) -> None:
    assert not found.inside
    assert found.monthly == service().monthly
    assert found.over == service().monthly.expected - 40_000
    assert found.over > 0
    assert dollars(found.text)[:2] == [round(found.monthly.expected), round(found.over)]


def test_each_demand_by_itself_leaves_what_an_estimate_without_it_says(found: Verdict) -> None:
    for step in found.alone:
        assert step.left == step.demand.without(service()).monthly.expected
        assert step.saves == found.monthly.expected - step.left
        assert step.saves > 0
    assert [step.saves for step in found.alone] == sorted((step.saves for step in found.alone), reverse=True)


def test_every_demand_costs_something(found: Verdict) -> None:
    assert {str(step.demand) for step in found.alone} == {str(demand) for demand in DEMANDS}


def test_nothing_that_is_taken_away_leaves_a_gap() -> None:
    for demand in DEMANDS:
        assert demand.without(service()).gaps == (), demand


def test_the_second_region_alone_makes_it_impossible(found: Verdict) -> None:
    enough = [step.demand for step in found.alone if step.left <= MOST]
    assert enough == [SECOND_REGION]
    assert [step.demand for step in found.together] == enough
    assert "One demand alone makes it impossible: a full stack in a second region (section 2)" in found.text


def test_with_both_regions_as_few_demands_go_as_it_takes(found: Verdict) -> None:
    demands = [step.demand for step in found.in_both]
    assert SECOND_REGION not in demands
    assert found.in_both[-1].left <= MOST
    assert found.monthly.expected - sum(step.saves for step in found.in_both) == found.in_both[-1].left
    for kept in demands:
        case = service()
        for demand in demands:
            if demand is not kept:
                case = demand.without(case)
        assert case.monthly.expected > MOST, kept


def test_what_nobody_asked_for_is_said_to_be_our_choice(found: Verdict) -> None:
    ours = [step.demand for step in found.alone if step.demand.section == OURS]
    assert ours
    for demand in ours:
        assert str(demand).endswith("(our choice)")
    assert {demand.section for demand in DEMANDS} - {OURS} <= {str(section) for section in range(1, 11)}


def test_what_is_inside_needs_nothing_taken_away() -> None:
    cheap = verdict(at("0.5"))
    assert cheap.inside
    assert (cheap.alone, cheap.together, cheap.in_both) == ((), (), ())
    assert "inside the $25,000 to $40,000" in cheap.text


def test_what_is_below_is_not_inside_either() -> None:
    cheap = verdict(at("0.1"))
    assert not cheap.inside
    assert f"${round(LEAST - cheap.monthly.expected):,} below the $25,000 to $40,000" in cheap.text


def test_where_nothing_is_enough_that_is_said() -> None:
    dear = verdict(at("10"))
    assert "No demand alone makes it impossible." in dear.text
    assert dear.in_both[-1].left > MOST
    assert "still $" in dear.text
    assert dear.together[0].demand is SECOND_REGION


def test_what_has_a_gap_is_never_inside() -> None:
    case = without_price("alb:hour")
    doubtful = verdict(case)
    assert not doubtful.complete
    assert "2 regions cost at least $" in doubtful.text
    assert not Verdict(at("0.5").monthly, complete=False, regions=2).inside
    assert "as far as is known" in Verdict(at("0.5").monthly, complete=False, regions=2).text


def test_every_amount_of_the_verdict_is_of_the_estimate(found: Verdict) -> None:
    known = {round(value) for step in (*found.alone, *found.in_both) for value in (step.saves, step.left)}
    known |= {round(found.monthly.expected), round(found.over), round(LEAST), round(MOST)}
    assert set(dollars(found.text)) <= known


def test_json_has_every_step(found: Verdict) -> None:
    shown = found.as_json()
    assert (shown["least"], shown["most"], shown["inside"]) == ("25000", "40000", False)
    assert len(shown["alone"]) == len(DEMANDS)
    assert Decimal(shown["alone"][0]["saves"]) == round(found.alone[0].saves, 2)
    assert shown["text"] == found.text


def test_a_step_is_what_is_left_with_it_gone() -> None:
    its = Step(SECOND_REGION, Decimal(1), Decimal(2)).as_json()
    assert (its["section"], its["saves"], its["left"]) == ("2", "1.00", "2.00")
