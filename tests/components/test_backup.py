"""Vault, plans and restore tests of a region, as the engine receives them."""

import json
from typing import Any

import pulumi_aws as aws
import pytest

from components.alarms import Alarms, AlarmsArgs
from components.backup import SILENCE_HOURS, Backup, BackupArgs, BackupSource
from components.backup_plan import Retention, VaultLock
from components.errors import ArgsError
from components.kms import DATA_CLASSES, Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.rds import Rds, RdsArgs
from components.rds_plan import Volume, Windows
from components.storage import Storage, StorageArgs

ACCOUNT = "012345678901"
SOURCE = f"arn:aws:rds:us-east-1:{ACCOUNT}:db:database-0badcafe"
VAULT = "aws:backup/vault:Vault"
LOCK = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
PLAN = "aws:backup/plan:Plan"
SELECTION = "aws:backup/selection:Selection"
TEST_PLAN = "aws:backup/restoreTestingPlan:RestoreTestingPlan"
TEST = "aws:backup/restoreTestingSelection:RestoreTestingSelection"
POLICY = "aws:iam/rolePolicy:RolePolicy"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
OUTPUTS: dict[str, dict[str, Any]] = {
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    "aws:rds/instance:Instance": {"address": "host", "resourceId": "db-ABC"},
}


def args(region: str = "us-east-1", **changes: Any) -> BackupArgs:
    role = changes.get("role", "primary")
    replica_of = dict.fromkeys(DATA_CLASSES, "arn:key") if role == "standby" else None
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=region, role=role, replica_of=replica_of))
    alarms = Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"]))
    network = Network(
        "network",
        NetworkArgs(
            account_id=ACCOUNT,
            region=region,
            cidr="10.0.0.0/16",
            zones=tuple(f"{region}{zone}" for zone in "abc"),
            flow_log_key=keys["logs"],
        ),
    )
    database = RdsArgs(
        account_id=ACCOUNT,
        role=role,
        network=network,
        keys=keys,
        alarms=alarms,
        instance_class="db.m7g.4xlarge",
        replica_class="db.m7g.2xlarge",
        replicas=0,
        engine_version="17.9",
        volume=Volume(size_gib=1024, max_gib=4096),
        source_arn=SOURCE if role == "standby" else None,
    )
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "role": "primary",
        "network": network,
        "keys": keys,
        "alarms": alarms,
        "database": Rds("database", database),
        "storage": Storage("storage", StorageArgs(account_id=ACCOUNT, region=region, key=keys["data"])),
    }
    return BackupArgs(**(given | changes))


def source() -> BackupSource:
    return BackupSource(
        vault="backup-1234567",
        database_arn=SOURCE,
        documents="storage-documents-1",
        key_arns={name: f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{name}" for name in DATA_CLASSES},
        provider=aws.Provider("peer", region="us-east-1"),
    )


def standby() -> Backup:
    return Backup("backup", args("us-west-2", role="standby", copies_of=source()))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    def program() -> dict[str, Any]:
        backup = Backup("backup", args())
        return {name: getattr(backup, name) for name in ("vault", "vault_arn", "restore_plan")}

    return recorded(program, outputs=OUTPUTS)


@pytest.fixture(scope="module")
def follower(recorded: Any) -> Any:
    return recorded(standby, outputs=OUTPUTS)


def statements(run: Any, name: str) -> dict[str, dict[str, Any]]:
    return {each["Sid"]: each for each in json.loads(run.one(POLICY, name).inputs["policy"])["Statement"]}


@pytest.mark.parametrize("which", ["run", "follower"])
def test_a_vault_has_our_key_and_gives_nothing_up(which: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(which)
    vault = found.one(VAULT)
    assert vault.inputs == {"kmsKeyArn": "arn:aws:kms:::keys-backup", "forceDestroy": False}
    assert vault.protect
    assert vault.provider == ""
    assert found.one(LOCK).inputs == {"backupVaultName": "backup", "minRetentionDays": 7, "maxRetentionDays": 400}


def test_a_lock_may_be_opened_unless_somebody_asks_for_ever(recorded: Any, run: Any) -> None:
    assert "changeableForDays" not in run.one(LOCK).inputs
    # The update that unlocks a stack deletes the lock, which Pulumi's own would refuse.
    assert not run.one(LOCK).protect
    compliance = recorded(lambda: Backup("backup", args(lock=VaultLock(cooling_off_days=14))), outputs=OUTPUTS)
    assert compliance.one(LOCK).inputs["changeableForDays"] == 14


def test_locks_are_released_on_purpose(recorded: Any) -> None:
    run = recorded(lambda: Backup("backup", args(locked=False)), outputs=OUTPUTS)
    assert run.of(LOCK) == []
    assert run.one(VAULT).inputs["forceDestroy"] is True
    assert not run.one(VAULT).protect


def test_a_primary_backs_up_database_and_documents_each_day_and_month(run: Any) -> None:
    plans = {plan.name: plan.inputs["rules"] for plan in run.of(PLAN)}
    assert set(plans) == {"backup-database", "backup-documents"}
    for name, rules in plans.items():
        daily, monthly = rules
        assert {rule["targetVaultName"] for rule in rules} == {"backup"}
        assert (daily["lifecycle"], monthly["lifecycle"]) == ({"deleteAfter": 35}, {"deleteAfter": 366})
        assert daily["enableContinuousBackup"] is (name == "backup-documents")
        assert not any("copyActions" in rule for rule in rules)


def test_what_is_backed_up_is_named(run: Any) -> None:
    selected = {each.name: each.inputs for each in run.of(SELECTION)}
    assert selected["backup-database"]["resources"] == ["arn:aws:rds:::database"]
    assert selected["backup-documents"]["resources"] == ["arn:aws:s3:::storage-documents"]
    assert all(each["iamRoleArn"] == "arn:aws:iam:::backup" for each in selected.values())
    # AWS Backup tries the role at once.
    assert all("backup" in each.depends_on for each in run.of(SELECTION))
    rights = run.one(POLICY, "backup").urn
    assert all(rights in each.depends_on_urns for each in run.of(SELECTION))


def test_the_role_is_for_this_regions_data(run: Any) -> None:
    found = statements(run, "backup")
    assert found["Objects"]["Resource"] == ["arn:aws:s3:::storage-documents/*"]
    assert found["Vaults"]["Resource"] == ["arn:aws:backup:::backup"]
    assert found["Keys"]["Resource"] == ["arn:aws:kms:::keys-data", "arn:aws:kms:::keys-backup"]


def test_a_standby_has_the_primarys_data_copied_into_its_own_vault(follower: Any) -> None:
    plan = follower.one(PLAN)
    assert plan.name == "backup-copies"
    (rule,) = plan.inputs["rules"]
    assert rule["targetVaultName"] == "backup-1234567"
    assert rule["copyActions"] == [{"destinationVaultArn": "arn:aws:backup:::backup", "lifecycle": {"deleteAfter": 35}}]
    assert rule["lifecycle"] == {"deleteAfter": 7}
    selection = follower.one(SELECTION).inputs
    assert selection["resources"] == [SOURCE, "arn:aws:s3:::storage-documents-1"]
    # Where the data is, which the primary's own program never has to know.
    assert all("::peer::" in follower.one(type_).provider for type_ in (PLAN, SELECTION))


def test_the_role_of_copies_is_for_both_regions(follower: Any) -> None:
    found = statements(follower, "backup")
    assert found["SnapshotsOfTheDatabase"]["Resource"][0] == SOURCE
    assert found["Vaults"]["Resource"] == [
        f"arn:aws:backup:us-east-1:{ACCOUNT}:backup-vault:backup-1234567",
        "arn:aws:backup:::backup",
    ]
    keys = [f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{name}" for name in ("data", "backup")]
    assert found["Keys"]["Resource"] == [*keys, "arn:aws:kms:::keys-data", "arn:aws:kms:::keys-backup"]


@pytest.mark.parametrize(("which", "region"), [("run", "us-east-1"), ("follower", "us-west-2")])
def test_every_week_the_newest_backups_are_restored_here(
    which: str, region: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(which)
    plan = found.one(TEST_PLAN)
    assert plan.inputs == {
        "name": "docsearch_0badcafe",
        "scheduleExpression": "cron(0 12 ? * TUE *)",
        "recoveryPointSelection": {
            "algorithm": "LATEST_WITHIN_WINDOW",
            "includeVaults": ["arn:aws:backup:::backup"],
            "recoveryPointTypes": ["CONTINUOUS", "SNAPSHOT"],
            "selectionWindowDays": 7,
        },
    }
    tests = {each.name: each for each in found.of(TEST)}
    assert {name: each.inputs["protectedResourceType"] for name, each in tests.items()} == {
        "backup-restore-database": "RDS",
        "backup-restore-documents": "S3",
    }
    assert all(each.provider == "" for each in (plan, *tests.values()))
    assert all(each.inputs["protectedResourceArns"] == ["*"] for each in tests.values())
    assert all(each.inputs["iamRoleArn"] == "arn:aws:iam:::backup-restore" for each in tests.values())
    rights = statements(found, "backup-restore")
    assert rights["Database"]["Resource"][0].startswith(f"arn:aws:rds:{region}:{ACCOUNT}:db:awsbackup-restore-test")


def test_a_restored_database_is_small_and_reached_by_nobody(run: Any) -> None:
    overrides = run.one(TEST, "backup-restore-database").inputs["restoreMetadataOverrides"]
    assert overrides == {
        "dbInstanceClass": "db.m7g.large",
        "dbSubnetGroupName": "backup-restore",
        "vpcSecurityGroupIds": '["backup-restore-id"]',
    }
    group = run.one("aws:ec2/securityGroup:SecurityGroup", "backup-restore")
    assert not {"ingress", "egress"} & group.inputs.keys()
    rules = [*run.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")]
    rules += run.of("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    assert not any("backup-restore-id" in rule.inputs.values() for rule in rules)
    subnets = run.one("aws:rds/subnetGroup:SubnetGroup", "backup-restore").inputs["subnetIds"]
    assert subnets == [f"network-data-{zone}-id" for zone in "abc"]


def test_restored_documents_stay_under_our_key(run: Any) -> None:
    overrides = run.one(TEST, "backup-restore-documents").inputs["restoreMetadataOverrides"]
    assert overrides == {"encryptionType": "SSE-KMS", "kmsKey": "arn:aws:kms:::keys-data"}


def test_failures_are_heard(run: Any) -> None:
    alarms = {alarm.name: alarm.inputs for alarm in run.of(ALARM) if alarm.name.startswith("backup-")}
    assert set(alarms) == {
        "backup-failed",
        "backup-aborted",
        "backup-expired",
        "backup-copies-failed",
        "backup-none",
        "backup-restore-failed-database",
        "backup-restore-failed-documents",
    }
    assert alarms["backup-failed"]["dimensions"] == {"BackupVaultName": "backup"}
    assert alarms["backup-restore-failed-database"]["dimensions"] == {"ResourceType": "RDS"}
    assert all(alarm["alarmActions"] == ["arn:aws:sns:::alarms-ticket"] for alarm in alarms.values())
    events = run.one("aws:backup/vaultNotifications:VaultNotifications").inputs
    assert events["snsTopicArn"] == "arn:aws:sns:::alarms-ticket"
    assert "CONTINUOUS_BACKUP_INTERRUPTED" in events["backupVaultEvents"]


def test_backups_that_just_stop_are_heard(run: Any) -> None:
    silence = run.one(ALARM, "backup-none").inputs
    assert silence["treatMissingData"] == "breaching"
    assert (silence["comparisonOperator"], silence["threshold"]) == ("LessThanThreshold", 1)
    assert (silence["period"], silence["evaluationPeriods"]) == (3600, SILENCE_HOURS)
    # Of an hour or longer, CloudWatch looks back a week (PutMetricAlarm, EvaluationPeriods).
    assert 24 < SILENCE_HOURS <= 7 * 24


def test_a_standby_is_not_told_that_it_backs_up_nothing(follower: Any) -> None:
    assert not any(alarm.name == "backup-none" for alarm in follower.of(ALARM))


def test_outputs(run: Any) -> None:
    assert run.result == {
        "vault": "backup",
        "vault_arn": "arn:aws:backup:::backup",
        "restore_plan": "docsearch_0badcafe",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"account_id": "1"}, "account_id is '1': an AWS account id is 12 digits"),
        (
            {"role": "standby"},
            (
                "copies_of is not given to a standby region: its vault would stay empty. Bring the primary region up "
                "first."
            ),
        ),
        (
            {"retention": Retention(monthly=500)},
            "retention of monthly is 500 days: the vault's lock takes 7 to 400, and fails every other job.",
        ),
        (
            {"windows": Windows(backup="03:30-04:00", maintenance="sun:09:00-sun:10:00")},
            "the backup window 03:30-04:00 is too close to 03:00",
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes), outputs=OUTPUTS)
    assert str(error.value).startswith(message)


def test_a_primary_follows_nobody(recorded: Any) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(copies_of=source()), outputs=OUTPUTS)
    assert str(error.value) == (
        "copies_of is given to a primary region: it follows nobody. Set role to standby, or leave copies_of out."
    )
