"""AWS Backup: vaults and their locks, plans, what they select, and restore tests."""

from __future__ import annotations

from infra.local.aws.backup_rules import (
    lock_rules,
    plan_rules,
    restore_plan_rules,
    restore_selection_rules,
    selection_rules,
    vault_rules,
)
from infra.local.aws.model import Call, Tagging, Type

_MISSING = ("ResourceNotFoundException",)
_ARN = {"ResourceArn": "{arn}"}


def _tags(create: str) -> Tagging:
    return Tagging(
        create=create,
        add=Call("TagResource", (), fixed=_ARN),
        remove=Call("UntagResource", (), fixed=_ARN),
        get=Call("ListTags", (), fixed=_ARN, at="Tags"),
        remove_keys="TagKeyList",
        key="",
    )


_VAULT = {"BackupVaultName": "{id}"}

VAULT = Type(
    "aws:backup/vault:Vault",
    "backup",
    id="{name}",
    create=Call("CreateBackupVault", (), {"name": "BackupVaultName", "kmsKeyArn": "EncryptionKeyArn"}),
    read=Call("DescribeBackupVault", fixed=_VAULT),
    delete=[Call("DeleteBackupVault", fixed=_VAULT)],
    recorded=frozenset({"forceDestroy"}),
    tagging=_tags("BackupVaultTags"),
    outputs={"arn": "BackupVaultArn", "kmsKeyArn": "EncryptionKeyArn", "recoveryPoints": "NumberOfRecoveryPoints"},
    validate=vault_rules,
    missing=_MISSING,
    autoname="name",
    autoname_limit=50,
    note="moto keeps no backups, so a vault can always be deleted",
)

_LOCKED = {"BackupVaultName": "{backupVaultName}"}

LOCK = Type(
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration",
    "backup",
    id="{backupVaultName}",
    create=Call(
        "PutBackupVaultLockConfiguration",
        ("backupVaultName", "minRetentionDays", "maxRetentionDays", "changeableForDays"),
    ),
    read=Call("DescribeBackupVault", fixed=_LOCKED, at="[@][?Locked] | [0]"),
    delete=[Call("DeleteBackupVaultLockConfiguration", fixed=_LOCKED)],
    outputs={"backupVaultArn": "BackupVaultArn"},
    validate=lock_rules,
    missing=_MISSING,
    delete_first=True,
)

NOTIFICATIONS = Type(
    "aws:backup/vaultNotifications:VaultNotifications",
    "backup",
    id="{backupVaultName}",
    checked=Call(
        "PutBackupVaultNotifications", ("backupVaultName", "backupVaultEvents"), {"snsTopicArn": "SNSTopicArn"}
    ),
    outputs={"backupVaultArn": "arn:{partition}:backup:{region}:{account}:backup-vault:{backupVaultName}"},
    note="moto sends no notifications of vaults",
)

_RULES = {
    "rules": "BackupPlan.Rules",
    "rules.targetVaultName": "TargetBackupVaultName",
    "rules.schedule": "ScheduleExpression",
    "rules.startWindow": "StartWindowMinutes",
    "rules.completionWindow": "CompletionWindowMinutes",
    "rules.lifecycle.coldStorageAfter": "MoveToColdStorageAfterDays",
    "rules.lifecycle.deleteAfter": "DeleteAfterDays",
    "rules.copyActions.destinationVaultArn": "DestinationBackupVaultArn",
    "rules.copyActions.lifecycle.coldStorageAfter": "MoveToColdStorageAfterDays",
    "rules.copyActions.lifecycle.deleteAfter": "DeleteAfterDays",
    "advancedBackupSettings": "BackupPlan.AdvancedBackupSettings",
    "name": "BackupPlan.BackupPlanName",
}
_PLAN = {"BackupPlanId": "{id}"}

PLAN = Type(
    "aws:backup/plan:Plan",
    "backup",
    id="BackupPlanId",
    create=Call("CreateBackupPlan", (), _RULES),
    # It takes the whole plan, its name too, which no update can change.
    update=Call("UpdateBackupPlan", (), _RULES, _PLAN, whole=True),
    read=Call("GetBackupPlan", fixed=_PLAN),
    delete=[Call("DeleteBackupPlan", fixed=_PLAN)],
    tagging=_tags("BackupPlanTags"),
    outputs={"arn": "BackupPlanArn", "version": "VersionId"},
    validate=plan_rules,
    missing=_MISSING,
    autoname="name",
    autoname_limit=50,
    note="moto runs no backups",
)

SELECTION = Type(
    "aws:backup/selection:Selection",
    "backup",
    id="{hex}",
    checked=Call(
        "CreateBackupSelection",
        (),
        {
            "planId": "BackupPlanId",
            "name": "BackupSelection.SelectionName",
            "iamRoleArn": "BackupSelection.IamRoleArn",
            "resources": "BackupSelection.Resources",
            "notResources": "BackupSelection.NotResources",
            "selectionTags": "BackupSelection.ListOfTags",
            "selectionTags.type": "ConditionType",
            "selectionTags.key": "ConditionKey",
            "selectionTags.value": "ConditionValue",
            "conditions": "BackupSelection.Conditions",
            "conditions.stringEquals.key": "ConditionKey",
            "conditions.stringEquals.value": "ConditionValue",
            "conditions.stringLikes": "StringLike",
            "conditions.stringLikes.key": "ConditionKey",
            "conditions.stringLikes.value": "ConditionValue",
            "conditions.stringNotEquals.key": "ConditionKey",
            "conditions.stringNotEquals.value": "ConditionValue",
            "conditions.stringNotLikes": "StringNotLike",
            "conditions.stringNotLikes.key": "ConditionKey",
            "conditions.stringNotLikes.value": "ConditionValue",
        },
    ),
    validate=selection_rules,
    autoname="name",
    autoname_limit=50,
    note="moto has no selections",
)

RESTORE_PLAN = Type(
    "aws:backup/restoreTestingPlan:RestoreTestingPlan",
    "backup",
    id="{name}",
    checked=Call(
        "CreateRestoreTestingPlan",
        (),
        {
            "name": "RestoreTestingPlan.RestoreTestingPlanName",
            "recoveryPointSelection": "RestoreTestingPlan.RecoveryPointSelection",
            "scheduleExpression": "RestoreTestingPlan.ScheduleExpression",
            "scheduleExpressionTimezone": "RestoreTestingPlan.ScheduleExpressionTimezone",
            "startWindowHours": "RestoreTestingPlan.StartWindowHours",
        },
    ),
    outputs={"arn": "arn:{partition}:backup:{region}:{account}:restore-testing-plan:{name}-{hex}"},
    validate=restore_plan_rules,
    autoname="name",
    autoname_limit=50,
    note="moto has no restore tests",
)

RESTORE_SELECTION = Type(
    "aws:backup/restoreTestingSelection:RestoreTestingSelection",
    "backup",
    id="{name}:{restoreTestingPlanName}",
    checked=Call(
        "CreateRestoreTestingSelection",
        (),
        {
            "restoreTestingPlanName": "RestoreTestingPlanName",
            "name": "RestoreTestingSelection.RestoreTestingSelectionName",
            "iamRoleArn": "RestoreTestingSelection.IamRoleArn",
            "protectedResourceType": "RestoreTestingSelection.ProtectedResourceType",
            "protectedResourceArns": "RestoreTestingSelection.ProtectedResourceArns",
            "protectedResourceConditions": "RestoreTestingSelection.ProtectedResourceConditions",
            "restoreMetadataOverrides": "RestoreTestingSelection.RestoreMetadataOverrides",
            "validationWindowHours": "RestoreTestingSelection.ValidationWindowHours",
        },
    ),
    validate=restore_selection_rules,
    autoname="name",
    autoname_limit=50,
    note="moto has no restore tests",
)

TYPES = (VAULT, LOCK, NOTIFICATIONS, PLAN, SELECTION, RESTORE_PLAN, RESTORE_SELECTION)
