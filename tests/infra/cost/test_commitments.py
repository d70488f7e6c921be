from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ConfigError
from infra.cost.commitments import NONE, Commitment, Commitments, Discount, apply, covered, idle, load, upfront
from infra.cost.model import Estimate, Line, Range, total
from tests.infra.cost.lines import (
    CACHE_NODES,
    DATABASE,
    EC2,
    HOT,
    NODES,
    OBJECTS,
    estimate,
    estimates,
    hours,
    line,
    price,
)

TODAY = date(2026, 12, 1)

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "commitments.yaml"
        path.write_text(text)
        return path

    return written


def commitment(kind: Any = "compute_savings_plan", **values: Any) -> Commitment:
    return Commitment(**({"name": "plan", "kind": kind, "years": 3, "payment": "partial_upfront"} | values))


def commitments(*some: Commitment, discount: Discount | None = None) -> Commitments:
    return Commitments(commitments=some, discount=discount)


def applied(its: Line, *some: Commitment) -> Estimate:
    return apply(estimate(its), commitments(*some))


def parts(made: Estimate) -> dict[str, tuple[Range, Decimal]]:
    return {line.what: (line.quantity, line.factor) for line in made.lines}


# What they make of a line


def test_what_always_runs_is_covered_and_the_rest_is_at_list_price() -> None:
    assert parts(applied(line(quantity=hours(24, 42, 84)), commitment())) == {
        "nodes (plan, Compute Savings Plan)": (hours(24), Decimal("0.5")),
        "nodes": (hours(0, 18, 60), Decimal(1)),
    }


def test_a_fleet_that_does_not_scale_costs_half_for_three_years() -> None:
    its = line(DATABASE, hours(1), "2.696")
    assert applied(its, commitment("rds_reserved")).monthly == Range.of("984.04")


def test_what_is_committed_to_is_paid_where_less_runs() -> None:
    made = applied(line(quantity=hours(24, 42, 84), usd="1"), commitment(hours="expected"))
    assert parts(made) == {
        "nodes (plan, Compute Savings Plan)": (hours(24, 42, 42), Decimal("0.5")),
        "nodes (plan, committed and not used)": (hours(18, 0, 0), Decimal("0.5")),
        "nodes": (hours(0, 0, 42), Decimal(1)),
    }
    assert made.monthly.min == made.monthly.expected == 42 * 730 / 2


def test_a_share_of_the_hours_may_be_covered() -> None:
    made = applied(line(quantity=hours(20, 40, 80)), commitment(coverage=Decimal("0.75")))
    assert parts(made)["nodes"] == (hours(5, 25, 65), Decimal(1))


def test_two_commitments_share_a_line() -> None:
    three = commitment(coverage=Decimal("0.6"))
    one = commitment(name="one", years=1, coverage=Decimal("0.4"))
    made = applied(line(quantity=hours(10)), three, one)
    assert parts(made) == {
        "nodes (plan, Compute Savings Plan)": (hours(6), Decimal("0.5")),
        "nodes (one, Compute Savings Plan)": (hours(4), Decimal("0.7")),
    }


def test_a_default_saving_says_that_it_is_an_assumption_and_whose() -> None:
    three, one = (applied(line(), commitment(years=years)).lines[0].assumed for years in (3, 1))
    assert three == (
        "50% less for 3 years: the requirement's own assumption for three years (section 8), not a quoted price"
    )
    assert one == "30% less for 1 year: an assumption of this project for one year, not a quoted price"


def test_a_quoted_saving_names_its_source() -> None:
    its = commitment(saving=Decimal("0.46"), source="AWS's offer of 2026-11-30")
    (made,) = applied(line(), its).lines
    assert made.factor == Decimal("0.54")
    assert made.assumed == "46% less for 3 years: AWS's offer of 2026-11-30"


@pytest.mark.parametrize(
    "its",
    [
        line(OBJECTS, Range.of(100)),
        line(factor=Decimal("0.3"), assumed="Spot"),
        line(price=price("ebs:gp3:storage", service=EC2)),
        line(price=price("extended-support:year1-2", service="AmazonRDS", unit="vCPU-Hrs")),
        line(price=price("broker:mq.m7g.large:rabbitmq:per-node", service="AmazonMQ")),
    ],
    ids=lambda its: its.price.sku,
)
def test_storage_spot_and_what_cannot_be_reserved_stay_as_they_are(its: Line) -> None:
    kinds = ("compute_savings_plan", "rds_reserved", "elasticache_reserved", "opensearch_reserved")
    every = [commitment(kind, name=f"n{number}") for number, kind in enumerate(kinds)]
    assert applied(its, *every) == estimate(its)


@pytest.mark.parametrize(
    ("kind", "sku"),
    [
        ("compute_savings_plan", NODES),
        ("ec2_reserved", NODES),
        ("rds_reserved", DATABASE),
        ("elasticache_reserved", CACHE_NODES),
        ("opensearch_reserved", HOT),
    ],
)
def test_each_kind_covers_the_hours_of_its_own_service(kind: str, sku: str) -> None:
    for other in (NODES, DATABASE, CACHE_NODES, HOT):
        assert commitment(kind).covers(line(other)) is (other == sku)


def test_a_commitment_may_be_for_some_stacks_and_types() -> None:
    its = commitment(stacks=("prod",), instances=("m7i", "m6g.large"))
    assert its.covers(line())
    assert not its.covers(line(stack="dr"))
    assert its.covers(line(price=price("instance:m6g.large:linux:on-demand", service=EC2)))
    assert not its.covers(line(price=price("instance:m6g.xlarge:linux:on-demand", service=EC2)))
    assert not its.covers(line(price=price("instance:m7.xlarge:linux:on-demand", service=EC2)))


def test_a_negotiated_discount_is_on_everything_after_commitments() -> None:
    agreed = Discount(percent=Decimal(10), agreement="EDP of 2026")
    made = apply(estimate(line(usd="1"), line(OBJECTS, Range.of(100), "1")), commitments(commitment(), discount=agreed))
    assert [its.monthly.expected for its in made.lines] == [Decimal("328.5"), Decimal(90)]
    assert made.lines[0].assumed.endswith("not a quoted price; 10% less: EDP of 2026")
    assert made.lines[1].assumed == "10% less: EDP of 2026"


def test_a_line_of_nothing_still_says_that_something_is_there() -> None:
    its = line(quantity=Range())
    assert applied(its, commitment()).lines == (its,)


def test_what_falls_due_on_the_first_day_follows_the_payment() -> None:
    def due(payment: str, years: int = 3) -> Decimal:
        its = commitment(payment=payment, years=years, saving=Decimal("0.5"), source="an offer")
        return upfront([estimate(line(quantity=hours(1), usd="2"))], commitments(its))

    assert due("all_upfront") == 730 * 36
    assert due("partial_upfront") == 730 * 18
    assert due("no_upfront") == 0
    assert due("all_upfront", 1) == 730 * 12


def test_a_commitment_that_covers_nothing_is_named() -> None:
    its = commitments(commitment(), commitment("rds_reserved", name="database"))
    assert idle([estimate(line())], its) == ("database",)
    assert idle([estimate(line()), estimate(line(DATABASE), stack="dr")], its) == ()


shares = st.decimals("0.01", "0.5", places=2)
kinds = st.sampled_from(
    ["compute_savings_plan", "ec2_reserved", "rds_reserved", "elasticache_reserved", "opensearch_reserved"]
)
some_commitments = st.lists(
    st.tuples(kinds, shares, st.sampled_from(["min", "expected"]), st.sampled_from([1, 3])), max_size=2
).map(
    lambda some: commitments(
        *(
            commitment(kind, name=f"n{number}", coverage=share, hours=of, years=years)
            for number, (kind, share, of, years) in enumerate(some)
        )
    )
)


@given(estimates, some_commitments)
def test_what_is_covered_and_what_is_not_are_together_what_the_line_was(made: Estimate, some: Commitments) -> None:
    for its, found in covered(made.lines, some):
        after = apply(estimate(its), some)
        unused = total(one.unused for one in found)
        assert total(part.quantity for part in after.lines) - unused == its.quantity
        for one in found:
            assert one.used + one.unused == Range.of(one.hours)
            assert min(one.unused.min, one.unused.expected, one.unused.max) >= 0
        assert total(after.by(lambda part: part.what).values()) == after.monthly


@given(estimates, some_commitments)
def test_a_commitment_on_what_always_runs_never_costs_more_than_list_price(made: Estimate, some: Commitments) -> None:
    steady = commitments(*(one.model_copy(update={"hours": "min"}) for one in some.commitments))
    after = apply(made, steady).monthly
    assert after.min <= made.monthly.min
    assert after.expected <= made.monthly.expected
    assert after.max <= made.monthly.max
    # Its saving is the same whatever runs beyond it.
    assert made.monthly.min - after.min == made.monthly.max - after.max


@given(estimates, some_commitments)
def test_commitments_touch_nothing_but_instance_hours_at_list_price(made: Estimate, some: Commitments) -> None:
    untouched = [its for its in made.lines if its.factor != 1 or its.price.unit != "Hrs"]
    after = apply(made, some)
    assert [its for its in after.lines if its.price.unit != "Hrs" or its.factor == Decimal("0.3")] == untouched
    for key in (lambda its: its.urn, lambda its: its.stack, lambda its: its.component):
        assert after.by(key).keys() == made.by(key).keys()


@given(estimates)
def test_no_commitments_are_list_price(made: Estimate) -> None:
    assert apply(made, NONE) == made


# The file


def test_the_project_s_own_file_holds_three_years_on_what_always_runs() -> None:
    found = load()
    assert found.discount is None
    assert {one.kind for one in found.commitments} == {
        "compute_savings_plan",
        "opensearch_reserved",
        "rds_reserved",
        "elasticache_reserved",
    }
    for one in found.commitments:
        assert (one.years, one.hours, one.coverage, one.takes_off) == (3, "min", Decimal(1), Decimal("0.5"))


def test_a_file_may_say_everything(write: Write) -> None:
    found = load(
        write(
            "commitments:\n"
            "  - {name: db, kind: rds_reserved, years: 1, payment: no_upfront, coverage: 0.1, hours: expected,\n"
            "     saving: 0.28, source: an offer, stacks: [prod], instances: [db.m7g], ends: '2027-06-30'}\n"
            "discount: {percent: 7.5, agreement: EDP, ends: '2027-06-30'}\n"
        ),
        today=TODAY,
    )
    (its,) = found.commitments
    assert (its.coverage, its.saving, its.ends) == (Decimal("0.1"), Decimal("0.28"), date(2027, 6, 30))
    assert found.discount == Discount(percent=Decimal("7.5"), agreement="EDP", ends=date(2027, 6, 30))


ENTRY = {"name": "a", "kind": "compute_savings_plan", "years": "3", "payment": "no_upfront"}


def entries(*changes: dict[str, str | None]) -> str:
    rows = ({key: value for key, value in (ENTRY | change).items() if value is not None} for change in changes)
    return "commitments:\n" + "".join(
        "  - {" + ", ".join(f"{key}: {value}" for key, value in row.items()) + "}\n" for row in rows
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (entries({"kind": "spot"}), ["commitments[0].kind is", '"spot"', "must be 'compute_savings_plan'"]),
        (entries({"coverage": "1.2"}), ["commitments[0].coverage is 1.2", "less than or equal to 1", "share of the"]),
        (entries({"coverage": "-0.5"}), ["commitments[0].coverage is -0.5", "greater than 0"]),
        (entries({"coverage": "0"}), ["commitments[0].coverage is 0", "greater than 0"]),
        (entries({"coverage": ".nan"}), ["commitments[0].coverage"]),
        (entries({"coverage": "all"}), ["commitments[0].coverage"]),
        (entries({"years": "2"}), ["commitments[0].years is 2", "must be 1 or 3", "its term"]),
        (entries({"payment": "later"}), ["commitments[0].payment", "all_upfront"]),
        (entries({"name": None}), ["commitments[0].name", "is required and missing", "what reports call it"]),
        (entries({"saving": "1", "source": "an offer"}), ["commitments[0].saving is 1", "less than 1"]),
        (entries({"saving": "0.5"}), ["commitments[0].saving is 0.5", "has no source beside it", "Give both"]),
        (entries({"source": "an offer"}), ["commitments[0].source", "has no saving beside it"]),
        (entries({"instances": "['*']"}), ["commitments[0].instances[0]", "does not have the form"]),
        (entries({"kind": "rds_reserved"}), ["commitments[0].payment is", "no three years of RDS without upfront"]),
        (entries({"covrage": "1"}), ["commitments[0].covrage", "Perhaps `coverage` is meant"]),
        (entries({}, {}), ["commitments[1].name", "is a name already"]),
        (
            entries({"name": "a"}, {"name": "b"}),
            ["commitments[1].coverage", "together with a it covers 200% of the hours of everything, paid for twice"],
        ),
        (
            entries(
                {"coverage": "0.7"}, {"name": "b", "kind": "ec2_reserved", "instances": "[m7i]", "coverage": "0.4"}
            ),
            ["commitments[1].coverage is 0.4", "together with a it covers 110% of the hours of m7i"],
        ),
        (
            entries({"stacks": "[prod]"}, {"name": "b", "stacks": "[dr, prod]"}),
            ["together with a it covers 200% of the hours of everything of prod"],
        ),
        (entries({"ends": "'2026-11-30'"}), ["commitments[0].ends", "is over on 2026-12-01", "renew it"]),
        (entries({"ends": "'2031-01-01'"}), ["commitments[0].ends", "is more than 3 years from 2026-12-01"]),
        (entries({"ends": "2027-01-01"}), ["commitments[0].ends", "Put it in quotes"]),
        ("discount: {percent: 10, agreement: EDP, ends: '2026-11-30'}", ["discount.ends", "is over on 2026-12-01"]),
        ("discount: {percent: -1, agreement: EDP}", ["discount.percent is -1", "greater than 0"]),
        ("discount: {percent: 100, agreement: EDP}", ["discount.percent is 100", "less than 100"]),
        ("discount: {percent: 5}", ["discount.agreement", "is required and missing"]),
        ("commitments: {}", ["commitments", "must be a valid list"]),
        ("commitment: []", ["commitment", "Perhaps `commitments` is meant"]),
        ("- a", ["is not a group of keys"]),
        ("", ["is empty"]),
        ("commitments: [", ["is not YAML"]),
    ],
)
def test_what_cannot_be_meant_is_refused_with_file_key_value_and_remedy(
    write: Write, text: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(text), today=TODAY)
    assert caught.value.exit_code == 2
    for word in ["commitments.yaml", *words]:
        assert word in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_and_not_list_price(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "commitments.yaml")


@pytest.mark.parametrize(
    "text",
    [
        entries({"stacks": "[prod]"}, {"name": "b", "stacks": "[dr]"}),
        entries({"instances": "[m7i.xlarge]"}, {"name": "b", "instances": "[m7i.2xlarge, m7a]"}),
        entries({"coverage": "0.6"}, {"name": "b", "coverage": "0.4", "years": "1"}),
        entries({}, {"name": "b", "kind": "opensearch_reserved"}),
        entries({"ends": "'2026-12-01'"}),
    ],
)
def test_commitments_beside_each_other_are_allowed(write: Write, text: str) -> None:
    assert load(write(text), today=TODAY).commitments


@given(some_commitments, estimates)
def test_whatever_the_model_allows_covers_no_hour_twice(some: Commitments, made: Estimate) -> None:
    for its, found in covered(made.lines, some):
        assert total(one.used for one in found).max <= its.quantity.max
        assert sum(one.hours for one in found) <= its.quantity.expected
