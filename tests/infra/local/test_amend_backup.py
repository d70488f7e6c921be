"""A backup plan can be changed, and goes when it is deleted."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.local.amend import amend


@pytest.fixture
def backup() -> Iterator[Any]:
    amend("backup")
    with mock_aws():
        client = boto3.client(
            "backup", region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local"
        )
        yield client
        client.close()


def plan(days: int) -> dict[str, Any]:
    rule = {"RuleName": "daily", "TargetBackupVaultName": "some", "Lifecycle": {"DeleteAfterDays": days}}
    return {"BackupPlanName": "daily", "Rules": [rule]}


def test_a_plan_that_is_changed_keeps_its_id_and_gets_a_version(backup: Any) -> None:
    made = backup.create_backup_plan(BackupPlan=plan(7))
    changed = backup.update_backup_plan(BackupPlanId=made["BackupPlanId"], BackupPlan=plan(14))
    assert changed["BackupPlanArn"] == made["BackupPlanArn"]
    assert changed["VersionId"] != made["VersionId"]
    found = backup.get_backup_plan(BackupPlanId=made["BackupPlanId"])
    assert found["BackupPlan"]["Rules"][0]["Lifecycle"] == {"DeleteAfterDays": 14}


def test_a_plan_that_is_deleted_is_gone_and_its_name_free(backup: Any) -> None:
    for _ in "12":
        id = backup.create_backup_plan(BackupPlan=plan(7))["BackupPlanId"]
        backup.delete_backup_plan(BackupPlanId=id)
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            backup.get_backup_plan(BackupPlanId=id)
    assert backup.list_backup_plans()["BackupPlansList"] == []


def test_a_plan_that_does_not_exist_cannot_be_changed(backup: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        backup.update_backup_plan(BackupPlanId="none", BackupPlan=plan(7))
