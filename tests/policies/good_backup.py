"""What is good about backups in both plans."""

from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

PLAN: Final = "aws:backup/plan:Plan"
SELECTION: Final = "aws:backup/selection:Selection"
VAULT: Final = "aws:backup/vault:Vault"
LOCK: Final = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
TESTS: Final = "aws:backup/restoreTestingPlan:RestoreTestingPlan"
TEST: Final = "aws:backup/restoreTestingSelection:RestoreTestingSelection"
NOTICES: Final = "aws:backup/vaultNotifications:VaultNotifications"


def copies(its: Resource) -> bool:
    """Of the plan that brings copies here."""
    return its.name.endswith("-copies")


def backs_up(its: Resource) -> bool:
    """Of a plan of this region."""
    return not copies(its)


def hourly_no_more(rules: list[Any]) -> list[Any]:
    """Every rule monthly."""
    return [{**its, "schedule": "cron(0 5 1 * ? *)"} for its in rules]


def without_event(event: str) -> Any:
    """The events without one."""
    return lambda events: [one for one in events if one != event]


GOOD: tuple[Good, ...] = (
    Good(VAULT, "kmsKeyArn", "backup-vault", (GONE, "", "alias/aws/backup")),
    Good(VAULT, "forceDestroy", "backup-vault", (True,)),
    Good(LOCK, "minRetentionDays", "backup-vault", (GONE, 0, 1)),
    Good(LOCK, "maxRetentionDays", "backup-vault", (7, 100)),
    Good(LOCK, "", "backup-vault-lock"),
    Good(LOCK, "backupVaultName", "backup-vault-lock", (), unknown=True),
    Good(PLAN, "rules[*].lifecycle.deleteAfter", "backup-retention", (GONE, 0, 1), where=backs_up),
    Good(PLAN, "rules[*].lifecycle", "backup-retention", where=backs_up),
    Good(PLAN, "rules[1]", "backup-retention", where=backs_up),
    Good(
        PLAN,
        "rules[0].schedule",
        "backup-retention",
        (GONE, "cron(0 3 ? * SUN *)", "cron(0 3 1 * ? *)"),
        where=backs_up,
    ),
    Good(PLAN, "rules", "backup-retention", (hourly_no_more,), unknown=False, where=backs_up),
    Good(
        PLAN,
        "rules[0].enableContinuousBackup",
        "backup-continuous",
        (GONE, False),
        where=lambda its: its.name == "backup-documents",
    ),
    Good(SELECTION, "", "backup-selection"),
    Good(SELECTION, "resources", "backup-selection", (GONE, [])),
    Good(SELECTION, "iamRoleArn", "backup-selection", (GONE, "")),
    Good(PLAN, "rules[*].copyActions", "backup-dr", (GONE, []), where=copies),
    Good(PLAN, "rules[*].copyActions[*].lifecycle.deleteAfter", "backup-dr", (GONE, 0, 1), where=copies),
    Good(PLAN, "rules[*].copyActions[*].destinationVaultArn", "backup-dr", (GONE, ""), where=copies),
    Good(PLAN, "rules[*].schedule", "backup-dr", (GONE, "cron(0 1 1 * ? *)"), where=copies),
    Good(TESTS, "", "backup-restore-test"),
    Good(TESTS, "scheduleExpression", "backup-restore-test", (GONE, "")),
    Good(TESTS, "recoveryPointSelection", "backup-restore-test"),
    Good(TEST, "", "backup-restore-test"),
    Good(TEST, "protectedResourceType", "backup-restore-test", (GONE, "EBS")),
    Good(NOTICES, "", "backup-notices"),
    Good(NOTICES, "snsTopicArn", "backup-notices", (GONE, "")),
    Good(
        NOTICES,
        "backupVaultEvents",
        "backup-notices",
        (
            GONE,
            [],
            *map(without_event, ("COPY_JOB_FAILED", "S3_BACKUP_OBJECT_FAILED", "S3_RESTORE_OBJECT_FAILED")),
        ),
    ),
)
