"""AWS Backup, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal

import pytest

from infra.cost.model import Estimate, Range
from infra.cost.of_backup import PLAN, TEST, TESTED, monthly
from infra.cost.pricing import NoFigureError
from infra.plan import Change
from tests.infra.cost.priced import backup_plan, figures, made, peer, priced

DAYS = Decimal(730) / 24


def gaps(found: Estimate) -> set[str]:
    return {f"{gap.what}: {gap.why}" for gap in (*found.unknown, *found.unpriced)}


def restoring(kind: str = "S3", schedule: str = "cron(0 12 ? * TUE *)") -> tuple[Change, Change]:
    return made(TEST, scheduleExpression=schedule), made(TESTED, "docs", protectedResourceType=kind)


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        ("cron(0 12 ? * TUE *)", DAYS / 7),
        ("cron(0 12 ? * TUE,FRI *)", DAYS / 7 * 2),
        ("cron(0 12 * * ? *)", DAYS),
        ("cron(0 5 1 * ? *)", Decimal(1)),
        ("cron(0 5 1,15 * ? *)", Decimal(2)),
    ],
)
def test_a_schedule_runs_so_often_in_a_month(schedule: str, times: Decimal) -> None:
    assert monthly(schedule) == times


@pytest.mark.parametrize(
    "schedule",
    ["", "rate(1 day)", "cron(* * * * ? *)", "cron(0 0 L * ? *)", "cron(0 5 ? 1 MON *)", "cron(0 1 ? * MON-FRI *)"],
)
def test_a_schedule_that_cannot_be_counted_is_a_gap(schedule: str) -> None:
    with pytest.raises(NoFigureError):
        monthly(schedule)


def test_a_plan_that_the_usage_file_does_not_name_is_a_gap() -> None:
    found = priced(made(PLAN, "daily", rules=[{"copyActions": [{}]}]))
    assert gaps(found) == {
        "storage: backup.plans.daily: it is missing in the usage file",
        "copies: backup.plans.daily: it is missing in the usage file",
    }


def test_a_plan_may_run_beside_what_it_copies() -> None:
    """A standby's plan runs in its primary's region, and copies into its own."""
    plans = {"copies": backup_plan(rds_gb=10, rds_copies_gb=20, copied_gb=30, runs_in="us-west-2")}
    found = priced(made(PLAN, "copies", rules=[{"copyActions": [{}]}]), use=figures(backup__plans=plans, peer=peer()))
    assert [(line.price.region, line.quantity.expected) for line in found.lines] == [
        ("us-west-2", Decimal(10)),
        ("us-east-1", Decimal(20)),
        ("us-west-2", Decimal(30)),
    ]
    assert found.lines[-1].price.sku == "cross-region-copy:us-west-2->us-east-1"


def test_a_test_of_what_is_not_priced_here_is_unpriced() -> None:
    use = figures(backup__restored_gb={"docs": Range.of(5)})
    assert gaps(priced(*restoring("EFS"), use=use)) == {
        "restore tests of EFS: only those of RDS and S3 are priced here"
    }


def test_a_test_of_unknown_size_is_a_gap_and_the_test_itself_is_priced() -> None:
    found = priced(*restoring())
    assert gaps(found) == {"restore: backup.restored_gb.docs: it is missing in the usage file"}
    assert [line.what for line in found.lines] == ["restore tests"]


def test_a_selection_without_its_plan_is_a_gap() -> None:
    found = priced(restoring()[1], use=figures(backup__restored_gb={"docs": Range.of(5)}))
    assert gaps(found) == {
        "tests: restoreTestingPlanName: it is one of 0 plans of its component",
        "restore: restoreTestingPlanName: it is one of 0 plans of its component",
    }
