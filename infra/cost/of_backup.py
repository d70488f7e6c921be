"""What AWS Backup costs: what its plans keep and copy, and what restore tests restore.

Requests that a backup makes of a bucket are among the bucket's own; AWS's page names none for a restore, so none are
counted.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from infra.cost.model import HOURS, Charge, Range
from infra.cost.pricing import Around, Charges, NoFigureError, Resource, UnpricedError, prices
from infra.cost.usage import BackupPlan

SERVICE: Final = "AWSBackup"
PLAN: Final = "aws:backup/plan:Plan"
TEST: Final = "aws:backup/restoreTestingPlan:RestoreTestingPlan"
TESTED: Final = "aws:backup/restoreTestingSelection:RestoreTestingSelection"

_DAYS: Final = HOURS / 24


@prices(PLAN, "storage")
def kept(plan: Resource, around: Around) -> Charges:
    """What the plan's rules keep."""
    figures, key = _figures(plan, around)
    region = figures.runs_in or ""
    yield Charge("snapshots of databases", SERVICE, "warm:rds-snapshot", figures.rds_gb, f"{key}.rds_gb", region=region)
    yield Charge("backups of buckets", SERVICE, "warm:s3", figures.s3_gb, f"{key}.s3_gb", region=region)


@prices(PLAN, "copies")
def copies(plan: Resource, around: Around) -> Charges:
    """What is kept of copies where they go, and what moves them there."""
    if not any(plan.has(f"{at}.copyActions") for at in plan.each("rules")):
        return
    figures, key = _figures(plan, around)
    source = figures.runs_in or around.region
    to = around.region if source != around.region else around.peer_region()
    stored = ((figures.rds_copies_gb, "rds-snapshot", "rds"), (figures.s3_copies_gb, "s3", "s3"))
    for gb, sku, kind in stored:
        yield Charge(f"copies in {to}, {kind}", SERVICE, f"warm:{sku}", gb, f"{key}.{kind}_copies_gb", region=to)
    sku = f"cross-region-copy:{source}->{to}"
    yield Charge(f"copying to {to}", SERVICE, sku, figures.copied_gb, f"{key}.copied_gb", region=source)


def _figures(plan: Resource, around: Around) -> tuple[BackupPlan, str]:
    found = around.figures.backup.plans.get(plan.name)
    if found is None:
        raise NoFigureError(f"backup.plans.{plan.name}", "is missing in the usage file")
    return found, f"backup.plans.{plan.name}"


# Restore tests


@prices(TESTED, "tests")
def tests(selection: Resource, around: Around) -> Charges:
    """One recovery point a test."""
    yield Charge("restore tests", SERVICE, "restore-testing", Range.of(_monthly(selection, around)))


@prices(TESTED, "restore")
def restored(selection: Resource, around: Around) -> Charges:
    """What is restored, and what it costs until it is deleted again."""
    kind, often = selection.text("protectedResourceType"), _monthly(selection, around)
    key = f"backup.restored_gb.{selection.name}"
    each = around.figures.backup.restored_gb.get(selection.name)
    if each is None:
        raise NoFigureError(key, "is missing in the usage file")
    hours = often * max(Decimal(1), selection.number("validationWindowHours", 1))
    if kind == "S3":
        yield Charge("restored objects", SERVICE, "restore:s3", each * often, key)
        what = "restored objects until they are deleted"
        yield Charge(what, "AmazonS3", "standard:storage", each * (hours / HOURS), key)
    elif kind == "RDS":
        class_ = selection.text("restoreMetadataOverrides.dbInstanceClass")
        yield Charge(
            f"restored database, {class_}", "AmazonRDS", f"instance:{class_}:postgres:single-az", Range.of(hours)
        )
        what = "storage of the restored database"
        yield Charge(what, "AmazonRDS", "storage:gp3:single-az", each * (hours / HOURS), key)
    else:
        raise UnpricedError(f"restore tests of {kind[:60]}", "only those of RDS and S3 are priced here")


def _monthly(selection: Resource, around: Around) -> Decimal:
    """How often in a month the plan of a selection runs: the plan of the same component."""
    plans: dict[str, list[Resource]] = around.kept(TEST, lambda: _by_parent(around.all(TEST)))
    found = plans.get(selection.parent, [])
    if len(found) != 1:
        raise NoFigureError("restoreTestingPlanName", f"is one of {len(found)} plans of its component")
    return monthly(found[0].text("scheduleExpression"))


def _by_parent(resources: list[Resource]) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for one in resources:
        found.setdefault(one.parent, []).append(one)
    return found


def monthly(schedule: str) -> Decimal:
    """How often a schedule runs in a month: `cron(minute hour day-of-month month day-of-week year)`.

    Raises:
        NoFigureError: It is one that cannot be counted.
    """
    fields = schedule.removeprefix("cron(").removesuffix(")").split()
    if len(fields) == 6 and fields[3] == "*":
        minute, hour, day, _, weekday, _ = fields
        if minute.isdigit() and hour.isdigit():
            if weekday not in ("?", "*") and "#" not in weekday and "-" not in weekday and "/" not in weekday:
                return _DAYS / 7 * len(weekday.split(","))
            if weekday in ("?", "*") and day in ("*", "?"):
                return _DAYS
            if day.replace(",", "").isdigit():
                return Decimal(len(day.split(",")))
    raise NoFigureError("scheduleExpression", f"is {schedule[:60]!r}, whose runs cannot be counted")
