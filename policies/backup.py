"""Backups: taken daily, kept for long, out of reach, copied to the other region, and proven to restore.

A copy belongs to a plan in the region that it is copied from, but the standby's program writes it, with a provider of
that region: what is asked of copies is asked of the standby's stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from policies.elasticache import GROUP
from policies.links import referred, referring, refers
from policies.opensearch import OUTBOUND
from policies.rds import INSTANCE, SOURCE
from policies.rule import (
    FALSE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    at_least,
    items,
    judge,
    look,
    must,
    rule,
    stack_rule,
    unverified,
)
from policies.standby import region_of, stands_by
from policies.wants import NAMED, OWN_KEY, TEXTS

PLAN: Final = "aws:backup/plan:Plan"
SELECTION: Final = "aws:backup/selection:Selection"
VAULT: Final = "aws:backup/vault:Vault"
LOCK: Final = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
TESTS: Final = "aws:backup/restoreTestingPlan:RestoreTestingPlan"
TEST: Final = "aws:backup/restoreTestingSelection:RestoreTestingSelection"
NOTICES: Final = "aws:backup/vaultNotifications:VaultNotifications"

GUIDE: Final = "https://docs.aws.amazon.com/aws-backup/latest/devguide"


@rule(
    "backup-vault",
    on=(VAULT, LOCK),
    severity=Severity.CRITICAL,
    why="A vault that can be emptied, or read with AWS's own key, is no last resort",
    remedy="Keep the backup key, force_destroy off and the days of the lock (components/backup.py)",
    reference=f"{GUIDE}/vault-lock.html",
)
def vault(
    its: Resource,
    *,
    least_days: Annotated[int, Bounds(1, 36500)] = 7,
    most_days: Annotated[int, Bounds(1, 36500)] = 366,
) -> Iterator[Finding]:
    """Encrypted with a key of ours, never emptied on the way out, and a lock that keeps backups long enough.

    The lock lets no backup go before `least_days`, and fails jobs that keep theirs longer than its own maximum: that
    must be `most_days` or more.
    """
    if its.type == VAULT:
        yield from must(its, "kmsKeyArn", OWN_KEY)
        yield from must(its, "forceDestroy", FALSE)
    else:
        yield from must(its, "minRetentionDays", at_least(least_days))
        room = Want(f"absent, or at least {most_days}", lambda value: value is None or at_least(most_days).holds(value))
        yield from must(its, "maxRetentionDays", room)


@stack_rule(
    "backup-vault-lock",
    on=(VAULT, LOCK),
    severity=Severity.CRITICAL,
    why="Whoever may delete the database may delete its backups too",
    remedy="Keep the vault's lock (components/backup.py)",
    key="backup.compliance_after_days",
    reference=f"{GUIDE}/vault-lock.html",
)
def vault_lock(stack: Stack) -> Iterator[Finding]:
    """Every vault has a lock."""
    yield from _each_vault(stack, LOCK, "backupVaultName", "has no lock")


def _each_vault(stack: Stack, type_: str, path: str, lacking: str) -> Iterator[Finding]:
    for its in stack.of(VAULT):
        found = referring(stack, path, its, [type_])
        if not found.found:
            yield unverified(path, urn=its.urn) if found.maybe else Finding("", lacking, urn=its.urn)
    for other in stack.of(type_):
        if other.get(path) is UNKNOWN:
            yield unverified(path, urn=other.urn)


@stack_rule(
    "backup-retention",
    on=(PLAN, VAULT),
    severity=Severity.HIGH,
    why="What was overwritten by mistake is often noticed only after weeks",
    remedy="Keep the retention of plan_rules (components/backup_plan.py)",
    reference=f"{GUIDE}/creating-a-backup-plan.html",
)
def retention(
    stack: Stack,
    *,
    days: Annotated[int, Bounds(1, 36500)] = 7,
    longest: Annotated[int, Bounds(1, 36500)] = 365,
) -> Iterator[Finding]:
    """Backups are made daily, each kept for `days`, and one of a plan's rules keeps them for `longest` days.

    Of plans in the region of the stack's vaults: what a plan elsewhere makes is on its way here (`backup-dr`).
    """
    for plan in _at_home(stack):
        rules = items(plan, "rules")
        kept = [look(its, "lifecycle.deleteAfter") for _, its in rules]
        for (path, _), value in zip(rules, kept, strict=True):
            yield from judge(value, f"{path}.lifecycle.deleteAfter", at_least(days), urn=plan.urn)
        if UNKNOWN not in kept and not any(at_least(longest).holds(value) for value in kept):
            yield Finding("rules", f"have none that keeps backups for {longest} days", urn=plan.urn)
        schedules = [look(its, "schedule") for _, its in rules]
        if not any(_daily(schedule) for schedule in schedules):
            unknown = [path for (path, _), its in zip(rules, schedules, strict=True) if its is UNKNOWN]
            if not unknown:
                yield Finding("rules", "have none that runs daily", urn=plan.urn)
            elif UNKNOWN not in kept:
                yield unverified(f"{unknown[0]}.schedule", urn=plan.urn)


def _at_home(stack: Stack) -> list[Resource]:
    """The plans in a region where the stack has a vault."""
    regions = [region_of(its) for its in stack.of(VAULT)]
    return [plan for plan in stack.of(PLAN) if not regions or region_of(plan) in regions]


def _daily(schedule: Any) -> bool:
    """Whether a cron expression of AWS (minute, hour, day, month, weekday, year) runs each day."""
    if not isinstance(schedule, str) or not (schedule.startswith("cron(") and schedule.endswith(")")):
        return False
    fields = schedule[5:-1].split()
    return len(fields) == 6 and all(field in ("*", "?") for field in fields[2:])


@stack_rule(
    "backup-continuous",
    on=(PLAN, SELECTION, VAULT),
    severity=Severity.HIGH,
    why="Documents of the hours since the last daily backup could not be brought back",
    remedy="Keep enableContinuousBackup for documents (plan_rules in components/backup_plan.py)",
    reference=f"{GUIDE}/point-in-time-recovery.html",
)
def continuous(stack: Stack) -> Iterator[Finding]:
    """A plan that backs buckets up does so continuously. RDS has its own point-in-time recovery."""
    for plan in _at_home(stack):
        selections = referring(stack, "planId", plan, [SELECTION]).found
        if not any(_has_bucket(selection) for selection in selections):
            continue
        values = [(path, look(its, "enableContinuousBackup")) for path, its in items(plan, "rules")]
        if any(value is True for _, value in values):
            continue
        unknown = [path for path, value in values if value is UNKNOWN]
        if unknown:
            yield unverified(f"{unknown[0]}.enableContinuousBackup", urn=plan.urn)
        else:
            yield Finding("rules", "have none that is continuous, must have one for buckets", urn=plan.urn)


def _has_bucket(selection: Resource) -> bool:
    if any("aws:s3/" in urn for urn in selection.links.get("resources", ())):
        return True
    return any(isinstance(arn, str) and arn.startswith("arn:aws:s3:") for _, arn in items(selection, "resources"))


@stack_rule(
    "backup-selection",
    on=(PLAN, SELECTION, INSTANCE),
    severity=Severity.CRITICAL,
    why="A plan that selects nothing backs nothing up, and nobody notices",
    remedy="Keep the selections of Backup (components/backup.py)",
    reference=f"{GUIDE}/assigning-resources.html",
)
def selection(stack: Stack) -> Iterator[Finding]:
    """Every plan selects something, and the primary database is selected."""
    for its in stack.of(SELECTION):
        for finding in (*must(its, "resources", TEXTS), *must(its, "iamRoleArn", NAMED)):
            yield Finding(finding.path, finding.message, finding.verified, its.urn)
        if not referred(stack, its, "planId", PLAN):
            lost = its.get("planId") is UNKNOWN and not its.links.get("planId")
            yield unverified("planId", urn=its.urn) if lost else Finding("planId", "is no plan here", urn=its.urn)
    for plan in stack.of(PLAN):
        found = referring(stack, "planId", plan, [SELECTION])
        if not found.found and not found.maybe:
            yield Finding("", "selects nothing", urn=plan.urn)
    for database in stack.of(INSTANCE) if stack.of(PLAN) else ():
        found = referring(stack, "resources", database, [SELECTION])
        if database.get(SOURCE) in (None, "") and not found.found and not found.maybe:
            yield Finding("", "is in no backup plan's selection", urn=database.urn)


@stack_rule(
    "backup-dr",
    on=(PLAN, VAULT, INSTANCE, GROUP, OUTBOUND),
    severity=Severity.HIGH,
    why="With the primary's region, or with its account's administrators, all backups would be lost",
    remedy="Keep the plan of copies in the primary's region (components/backup.py)",
    key="failover",
    reference=f"{GUIDE}/cross-region-backup.html",
)
def copies(stack: Stack, *, days: Annotated[int, Bounds(1, 36500)] = 7) -> Iterator[Finding]:
    """The vault of a standby gets a copy of the primary's backups daily, and keeps it for days.

    A standby that takes no writes has no vault, and no copies. A primary's stack cannot show its copies: the plan that
    makes them is the standby's.
    """
    if not stands_by(stack):
        return
    for its in stack.of(VAULT):
        found = [
            (plan, path, copy)
            for plan in stack.of(PLAN)
            for _, copy_rule in _rules(plan)
            for path, copy in _copies(copy_rule)
            if refers(plan, "rules", its) or look(copy, "destinationVaultArn") == its.get("arn")
        ]
        if not found:
            hidden = [plan for plan in stack.of(PLAN) if _hides_copies(plan)]
            yield unverified("rules", urn=hidden[0].urn) if hidden else Finding("", "gets no copies", urn=its.urn)
        for plan, path, copy in found:
            if region_of(plan) == region_of(its) != "":
                yield Finding("rules", f"copy within {region_of(its)}, not from another region", urn=plan.urn)
            yield from judge(look(copy, "destinationVaultArn"), f"{path}.destinationVaultArn", NAMED, urn=plan.urn)
            yield from judge(
                look(copy, "lifecycle.deleteAfter"), f"{path}.lifecycle.deleteAfter", at_least(days), urn=plan.urn
            )
            schedules = [look(copy_rule, "schedule") for _, copy_rule in _rules(plan)]
            if UNKNOWN not in schedules and not any(_daily(schedule) for schedule in schedules):
                yield Finding("rules", "have none that runs daily", urn=plan.urn)
            elif UNKNOWN in schedules:
                yield unverified("rules", urn=plan.urn)


def _rules(plan: Resource) -> list[tuple[str, Any]]:
    return items(plan, "rules")


def _copies(copy_rule: Any) -> list[tuple[str, Any]]:
    value = look(copy_rule, "copyActions")
    return [(f"copyActions[{index}]", copy) for index, copy in enumerate(value)] if isinstance(value, list) else []


def _hides_copies(plan: Resource) -> bool:
    return any(its is UNKNOWN or look(its, "copyActions") is UNKNOWN for _, its in _rules(plan))


@stack_rule(
    "backup-restore-test",
    on=(VAULT, TESTS, TEST),
    severity=Severity.HIGH,
    why="A backup that was never restored may be none",
    remedy="Keep the restore testing plan and both its selections (components/backup.py)",
    reference=f"{GUIDE}/restore-testing.html",
)
def restore_test(stack: Stack) -> Iterator[Finding]:
    """What is in a vault is restored on a schedule: databases, and documents."""
    for its in stack.of(VAULT):
        found = referring(stack, "recoveryPointSelection.includeVaults", its, [TESTS])
        if not found.found:
            path = "recoveryPointSelection.includeVaults"
            yield unverified(path, urn=its.urn) if found.maybe else Finding("", "is never restored from", urn=its.urn)
    for plan in stack.of(TESTS):
        for finding in (*must(plan, "scheduleExpression", NAMED), *must(plan, "recoveryPointSelection", _POINTS)):
            yield Finding(finding.path, finding.message, finding.verified, plan.urn)
        tests = referring(stack, "restoreTestingPlanName", plan, [TEST]).found
        kinds = [test.get("protectedResourceType") for test in tests]
        for kind in ("RDS", "S3"):
            if kind not in kinds and UNKNOWN in kinds:
                yield unverified("protectedResourceType", urn=plan.urn)
            elif kind not in kinds:
                yield Finding("", f"restores nothing of {kind}", urn=plan.urn)


_POINTS: Final = Want("given", lambda value: isinstance(value, dict) and bool(value))


@stack_rule(
    "backup-notices",
    on=(VAULT, NOTICES),
    severity=Severity.MEDIUM,
    why="A copy that fails every night stays unnoticed until it is needed",
    remedy="Keep the vault's notifications (EVENTS in components/backup.py)",
    reference=f"{GUIDE}/backup-notifications.html",
)
def notices(stack: Stack) -> Iterator[Finding]:
    """Every vault reports the jobs that fail."""
    yield from _each_vault(stack, NOTICES, "backupVaultName", "reports no failures")
    for its in stack.of(NOTICES):
        for finding in must(its, "snsTopicArn", NAMED):
            yield Finding(finding.path, finding.message, finding.verified, its.urn)
        events = [event for _, event in items(its, "backupVaultEvents")]
        for event in ("COPY_JOB_FAILED", "S3_BACKUP_OBJECT_FAILED", "S3_RESTORE_OBJECT_FAILED"):
            if event not in events and UNKNOWN in events:
                yield unverified("backupVaultEvents", urn=its.urn)
            elif event not in events:
                yield Finding("backupVaultEvents", f"have no {event}, must have it", urn=its.urn)
