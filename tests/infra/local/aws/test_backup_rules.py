"""What AWS Backup refuses."""

from typing import Any

import pytest

from infra.local.aws.backup_rules import (
    lock_rules,
    plan_rules,
    restore_plan_rules,
    restore_selection_rules,
    selection_rules,
    vault_rules,
)
from infra.local.resource import UNKNOWN, Props

RULE: Props = {
    "ruleName": "daily",
    "targetVaultName": "backup",
    "schedule": "cron(0 3 * * ? *)",
    "startWindow": 60,
    "completionWindow": 120,
    "lifecycle": {"deleteAfter": 35},
}
SELECTION: Props = {"name": "backup-database", "resources": ["arn:aws:rds:us-east-1:1:db:one", UNKNOWN]}
TEST_PLAN: Props = {
    "name": "docsearch_1",
    "scheduleExpression": "cron(0 12 ? * TUE *)",
    "recoveryPointSelection": {
        "includeVaults": [UNKNOWN],
        "recoveryPointTypes": ["SNAPSHOT"],
        "selectionWindowDays": 7,
    },
}
TEST: Props = {"name": "database", "protectedResourceType": "RDS", "protectedResourceArns": ["*"]}


def rules(**changes: Any) -> Props:
    return {"name": "backup-daily", "rules": [{**RULE, **changes}]}


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (vault_rules, {"name": "backup-1234567"}),
        (vault_rules, {"name": UNKNOWN}),
        (lock_rules, {"minRetentionDays": 7, "maxRetentionDays": 400, "changeableForDays": 3}),
        (lock_rules, {"minRetentionDays": UNKNOWN}),
        (plan_rules, rules()),
        (plan_rules, {"name": "p", "rules": UNKNOWN}),
        (plan_rules, rules(lifecycle={"coldStorageAfter": 30, "deleteAfter": 120})),
        (plan_rules, rules(lifecycle={"coldStorageAfter": 30, "deleteAfter": -1})),
        (plan_rules, rules(schedule="cron(0 5 1 * ? *)")),
        (plan_rules, rules(enableContinuousBackup=True)),
        (selection_rules, SELECTION),
        (selection_rules, {"name": "s", "resources": ["arn:aws:s3:::logs-*"]}),
        (selection_rules, {"name": "s", "selectionTags": [{"key": "a", "value": "b", "type": "STRINGEQUALS"}]}),
        (restore_plan_rules, TEST_PLAN),
        (restore_selection_rules, {**TEST, "validationWindowHours": 0}),
        (restore_selection_rules, {**TEST, "protectedResourceType": UNKNOWN}),
    ],
)
def test_what_is_taken(check: Any, said: Props) -> None:
    assert [*check(said)] == []


@pytest.mark.parametrize(
    ("check", "said", "message"),
    [
        (vault_rules, {"name": "a"}, "must match"),
        (vault_rules, {"name": "a" * 51}, "must match"),
        (lock_rules, {"minRetentionDays": 0}, "at least 1 day"),
        (lock_rules, {"maxRetentionDays": 36501}, "cannot exceed 36500"),
        (lock_rules, {"minRetentionDays": 9, "maxRetentionDays": 8}, "greater than MaxRetentionDays"),
        (lock_rules, {"changeableForDays": 2}, "from 3 to 36500"),
        (plan_rules, {"name": "a b", "rules": []}, "must match"),
        (plan_rules, {"name": "p", "rules": [RULE, RULE]}, "used more than once"),
        (plan_rules, rules(ruleName="a" * 51), "must match"),
        (plan_rules, rules(startWindow=59), "must be 60 or more"),
        (plan_rules, rules(completionWindow=119), "60 minutes more than the start window"),
        (plan_rules, rules(schedule="cron(0 3 * * * *)"), "Invalid cron expression"),
        (plan_rules, rules(schedule="cron(0 3 ? * ? *)"), "Invalid cron expression"),
        (plan_rules, rules(schedule="rate(1 day)"), "Invalid cron expression"),
        (plan_rules, rules(schedule="cron(0,30 3 * * ? *)"), "as frequent as hourly"),
        (plan_rules, rules(lifecycle={"deleteAfter": 0}), "from 1 to 36500"),
        (plan_rules, rules(lifecycle={"coldStorageAfter": 30, "deleteAfter": 119}), "at least 90 days more"),
        (
            plan_rules,
            rules(copyActions=[{"lifecycle": {"coldStorageAfter": 1, "deleteAfter": 90}}]),
            "at least 90 days more",
        ),
        (plan_rules, rules(enableContinuousBackup=True, lifecycle=None), "Lifecycle must be specified"),
        (plan_rules, rules(enableContinuousBackup=True, lifecycle={"deleteAfter": 36}), "from 1 to 35 days"),
        (
            plan_rules,
            rules(enableContinuousBackup=True, lifecycle={"coldStorageAfter": UNKNOWN, "deleteAfter": 35}),
            "unavailable for continuous",
        ),
        (selection_rules, {"name": "s"}, "needs resources, conditions or tags"),
        (selection_rules, {"name": "s", "resources": ["a"] * 501}, "500 ARNs, or 30"),
        (selection_rules, {"name": "s", "resources": ["a:*"] * 31}, "500 ARNs, or 30"),
        (selection_rules, {"name": "s", "resources": ["arn:aws:s3:::*-logs"]}, "at the end of the ARN"),
        (restore_plan_rules, {**TEST_PLAN, "name": "docsearch-1"}, "must match"),
        (restore_plan_rules, {**TEST_PLAN, "startWindowHours": 169}, "from 1 to 168"),
        (restore_plan_rules, {**TEST_PLAN, "scheduleExpression": "cron(* * * * ? *)"}, "as frequent as hourly"),
        (
            restore_plan_rules,
            {**TEST_PLAN, "recoveryPointSelection": {"includeVaults": ["*"], "recoveryPointTypes": []}},
            "recoveryPointTypes must be given",
        ),
        (
            restore_plan_rules,
            {**TEST_PLAN, "recoveryPointSelection": {**TEST_PLAN["recoveryPointSelection"], "selectionWindowDays": 0}},
            "from 1 to 365",
        ),
        (restore_selection_rules, {**TEST, "name": "a-b"}, "must match"),
        (restore_selection_rules, {**TEST, "validationWindowHours": 169}, "from 0 to 168"),
        (restore_selection_rules, {**TEST, "protectedResourceType": "rds"}, "is none of Aurora"),
        (restore_selection_rules, {**TEST, "protectedResourceArns": ["*", "arn"]}, "not both"),
    ],
)
def test_what_is_refused(check: Any, said: Props, message: str) -> None:
    (failure,) = check(said)
    assert message in failure.reason
