from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cost import commitments, prices, usage
from infra.cost.change import DOUBLE_RUNNING, Difference, between, difference
from infra.cost.commitments import NONE, Commitment, Commitments
from infra.cost.model import Estimate, Gap, Line, Range, total
from infra.plan import Change, Op, Plan
from infra.stateful import STATEFUL
from tests.infra.cost.lines import DATABASE, HOT, NODES, OBJECTS, estimate, estimates, hours, line
from tests.infra.cost.test_commitments import some_commitments
from tests.regions import plan as region

INSTANCE = "aws:rds/instance:Instance"
DOMAIN = "aws:opensearch/domain:Domain"


def happening(*changes: Change) -> Plan:
    return Plan("prod", "us-east-1", "mocks", changes)


def change(type_: str, op: Op, name: str = "a") -> Change:
    return Change(f"urn:pulumi:prod::docsearch::{type_}::{name}", type_, op)


def differing(before: Estimate, after: Estimate, *changes: Change, **values: Any) -> Difference:
    return between(happening(*changes), before, after, values.pop("commitments", NONE), **values)


def bought(kind: Any = "opensearch_reserved", **values: Any) -> Commitments:
    its = {"name": "index", "kind": kind, "years": 3, "payment": "partial_upfront", "ends": date(2029, 6, 30)}
    return Commitments(commitments=(Commitment(**(its | values)),))


# Line by line


def test_three_more_nodes_cost_three_nodes() -> None:
    found = differing(
        estimate(line(HOT, hours(21), "1", what="hot nodes, 21", component="search")),
        estimate(line(HOT, hours(24), "1", what="hot nodes, 24", component="search"), line(name="other")),
    )
    assert found.by_component == {"search": hours(3), "eks": Range.of(146)}
    search, other = found.shifts
    assert (search.kind, search.was, search.now, search.quantity) == (
        "changed",
        "hot nodes, 21",
        "hot nodes, 24",
        hours(3),
    )
    assert (other.kind, other.monthly) == ("added", Range.of(146))
    assert found.monthly == hours(3) + Range.of(146)


def test_another_instance_type_is_one_removed_and_one_added() -> None:
    found = differing(estimate(line(DATABASE, usd="1")), estimate(line(NODES, usd="3")))
    assert {one.kind: int(one.monthly.expected) for one in found.shifts} == {"added": 2190, "removed": -730}


def test_what_stays_the_same_is_not_listed() -> None:
    same = line(DATABASE)
    found = differing(estimate(same, line(name="b")), estimate(same, line(name="b", quantity=hours(2))))
    assert [one.urn for one in found.shifts] == [line(name="b").urn]
    assert len(found.by_resource) == 2


def test_another_price_for_the_same_quantity_is_a_change() -> None:
    found = differing(estimate(line(factor=Decimal("0.3"))), estimate(line()))
    (shift,) = found.shifts
    assert (shift.kind, bool(shift.quantity), shift.monthly.expected) == ("changed", False, Decimal("102.2"))


def test_a_resource_for_nothing_is_still_added() -> None:
    (shift,) = differing(estimate(), estimate(line(quantity=Range()))).shifts
    assert (shift.kind, shift.monthly) == ("added", Range())


def test_commitments_are_in_both_ends() -> None:
    found = differing(
        estimate(line(HOT, hours(21), "1")), estimate(line(HOT, hours(24), "1")), commitments=bought(ends=None)
    )
    assert found.before.monthly == Range.of(Decimal(7665))
    assert found.monthly == Range.of(Decimal(1095))


def test_json_is_of_exact_text() -> None:
    found = differing(estimate(), estimate(line())).as_json()
    assert found["monthly"] == {"min": "146", "expected": "146", "max": "146"}
    assert found["components"] == {"eks": found["monthly"]}
    assert found["changes"][0]["kind"] == "added"
    assert found["complete"] is True
    assert found["once"]["expected"] == "0"


def test_a_gap_at_either_end_makes_the_difference_incomplete_and_is_named_once() -> None:
    gap = Gap("prod", "urn", INSTANCE, "database", "hours", "no price")
    for before, after in ((estimate(unpriced=(gap,)), estimate()), (estimate(), estimate(unknown=(gap,)))):
        found = differing(before, after)
        assert not found.complete
        assert found.as_json()["complete"] is False
    assert differing(estimate(unpriced=(gap,)), estimate(unpriced=(gap,))).gaps == (gap,)


# What costs once


def test_a_replaced_store_runs_twice_while_its_data_moves() -> None:
    before = estimate(
        line(DATABASE, hours(1), "2", type=INSTANCE, component="database"),
        line(OBJECTS, Range.of(1000), "0.1", type=INSTANCE, component="database"),
    )
    found = differing(before, before, change(INSTANCE, "replace"), hours=Range(*map(Decimal, (24, 73, 146))))
    (one,) = found.replaced
    assert one.once == Range(Decimal(1560) * 24 / 730, Decimal(156), Decimal(312))
    assert one.why == STATEFUL[INSTANCE]
    assert found.once == one.once
    assert found.monthly == Range()
    assert found.as_json()["replaced"][0]["once"]["expected"] == "156"


def test_the_hours_that_both_run_are_said_to_be_an_assumption() -> None:
    before = estimate(line(DATABASE, type=INSTANCE))
    (one,) = differing(before, before, change(INSTANCE, "replace")).replaced
    assert one.hours == DOUBLE_RUNNING
    assert "assumption" in one.assumed


def test_requests_are_not_paid_twice() -> None:
    its = line(OBJECTS, Range.of(100), type="aws:s3/bucket:Bucket")
    asked = replace(its, price=replace(its.price, unit="1000 requests"))
    found = differing(estimate(its, asked), estimate(its), change("aws:s3/bucket:Bucket", "replace"))
    assert found.once == differing(estimate(its), estimate(), change("aws:s3/bucket:Bucket", "replace")).once


def test_the_one_that_no_commitment_covers_is_at_list_price() -> None:
    before = estimate(line(HOT, hours(1), "1", type=DOMAIN))
    found = differing(before, before, change(DOMAIN, "replace"), commitments=bought(), hours=Range.of(73))
    assert found.once == Range.of(73)


@pytest.mark.parametrize(
    "its",
    [
        change(INSTANCE, "update"),
        change(INSTANCE, "create"),
        change(INSTANCE, "delete"),
        change(INSTANCE, "same"),
        change(INSTANCE, "replace", "another"),
        change("aws:eks/nodeGroup:NodeGroup", "replace"),
    ],
    ids=lambda its: f"{its.op} {its.type} {its.name}",
)
def test_only_a_replaced_store_runs_twice(its: Change) -> None:
    before = estimate(line(DATABASE, type=INSTANCE), line(type="aws:eks/nodeGroup:NodeGroup"))
    assert differing(before, before, its).replaced == ()


# What is committed to, and gone


def test_a_bought_commitment_without_use_is_paid_until_it_ends() -> None:
    found = differing(estimate(line(HOT, hours(24), "1")), estimate(line(HOT, hours(21), "1")), commitments=bought())
    (one,) = found.stranded
    assert one.as_json() == {"commitment": "index", "sku": HOT, "monthly": "1095", "ends": "2029-06-30"}


def test_a_commitment_that_is_not_bought_yet_is_not_paid_for_what_goes() -> None:
    gone = estimate(line(HOT, hours(24), "1")), estimate()
    assert differing(*gone, commitments=bought(ends=None)).stranded == ()


def test_a_reservation_is_for_one_type_and_a_savings_plan_for_whatever_runs() -> None:
    other = replace(line(HOT, hours(24), "1"), price=replace(line(HOT).price, sku="instance:r6g.large.search"))
    (one,) = differing(estimate(line(HOT, hours(1), "1")), estimate(other), commitments=bought()).stranded
    assert one.sku == HOT
    before, after = estimate(line(NODES, hours(4), "0.2")), estimate(line(NODES, hours(2), "0.4", name="b"))
    assert differing(before, after, commitments=bought("compute_savings_plan")).stranded == ()


def test_more_of_what_is_committed_to_strands_nothing() -> None:
    grown = estimate(line(HOT, hours(21), "1")), estimate(line(HOT, hours(24), "1"))
    assert differing(*grown, commitments=bought()).stranded == ()


# Always

KEYS: tuple[Callable[[Line], object], ...] = (
    lambda its: its.component,
    lambda its: its.urn,
    lambda its: its.price.service,
    lambda its: its.stack,
    lambda its: (its.what, its.price.sku),
)


@given(estimates, estimates, some_commitments)
def test_a_difference_is_that_of_the_totals_at_every_grouping(
    before: Estimate, after: Estimate, some: Commitments
) -> None:
    found = differing(before, after, commitments=some)
    assert found.monthly == found.after.monthly - found.before.monthly
    for key in KEYS:
        grouped = found.by(key)
        assert total(grouped.values()) == found.monthly
        for name, its in grouped.items():
            assert its == total(one.monthly for one in found.after.lines if key(one) == name) - total(
                one.monthly for one in found.before.lines if key(one) == name
            )
    assert total(shift.monthly for shift in found.shifts) == found.monthly


@given(estimates, some_commitments, st.lists(st.sampled_from([INSTANCE, DOMAIN]), max_size=3))
def test_a_change_of_nothing_costs_nothing(its: Estimate, some: Commitments, types: list[str]) -> None:
    found = differing(its, its, *(change(type_, "same") for type_ in types), commitments=some)
    assert found.monthly == Range()
    assert [*found.shifts, *found.replaced, *found.stranded] == []
    assert not any(found.by_component.values())


@given(estimates, estimates, some_commitments)
def test_a_change_and_its_opposite_are_nothing(one: Estimate, other: Estimate, some: Commitments) -> None:
    there, back = differing(one, other, commitments=some), differing(other, one, commitments=some)
    assert there.monthly + back.monthly == Range()
    assert {(shift.urn, shift.sku): shift.monthly for shift in there.shifts} == {
        (shift.urn, shift.sku): Range() - shift.monthly for shift in back.shifts
    }


# Of a plan


def grown(*, hot: int) -> Plan:
    """The whole of prod, where only the hot nodes change."""
    changes = []
    for its in region("prod").changes:
        inputs = dict(its.inputs)
        if its.type == DOMAIN:
            inputs["clusterConfig"] = {**its.inputs["clusterConfig"], "instanceCount": hot}
        op: Op = "update" if inputs != its.inputs else "same"
        changes.append(replace(its, op=op, inputs=inputs, before=its.inputs))
    return replace(region("prod"), changes=tuple(changes))


def test_three_more_hot_nodes_of_prod_are_nodes_disks_and_throughput() -> None:
    found = difference(grown(hot=24), prices.load(), usage.load(), NONE)
    # 3 x 730 h x 1.023; 3 x 2,048 GB x 0.122; 3 x 250 MiB/s x 0.064
    assert {shift.sku: shift.monthly.expected for shift in found.shifts} == {
        "instance:m6g.4xlarge.search": Decimal("2240.37"),
        "storage:gp3": Decimal("749.568"),
        "storage:gp3:throughput": Decimal(48),
    }
    assert {name: its.expected for name, its in found.by_component.items() if its} == {
        "opensearch": Decimal("3037.938")
    }
    assert found.complete
    assert found.monthly == found.after.monthly - found.before.monthly


def test_a_plan_without_changes_costs_nothing_more() -> None:
    found = difference(grown(hot=21), prices.load(), usage.load(), commitments.load())
    assert found.monthly == Range()
    assert [*found.shifts, *found.replaced, *found.stranded] == []
    assert found.before.monthly.expected > 0


def test_a_new_stack_costs_all_of_it_and_one_that_goes_saves_all_of_it() -> None:
    new = region("prod")
    gone = replace(new, changes=tuple(replace(its, op="delete", before=its.inputs) for its in new.changes))
    added, removed = (difference(its, prices.load(), usage.load(), commitments.load()) for its in (new, gone))
    assert added.before.lines == ()
    assert added.monthly == added.after.monthly
    assert removed.monthly == Range() - added.monthly


def test_a_replaced_database_of_prod_runs_twice() -> None:
    changes = tuple(
        replace(its, op="replace" if its.type == INSTANCE and its.name == "database" else "same", before=its.inputs)
        for its in region("prod").changes
    )
    found = difference(replace(region("prod"), changes=changes), prices.load(), usage.load(), NONE, hours=Range.of(73))
    (one,) = found.replaced
    # A tenth of a month: 730 h x 2.696, and 1,024 GB x 0.23.
    assert one.once.expected == Decimal("220.36")
    assert found.monthly == Range()
