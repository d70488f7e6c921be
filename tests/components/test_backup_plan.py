"""When data is backed up, for how long it is kept, and what the roles for it may do."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.backup_plan import (
    ALARMS,
    CONTINUOUS_DAYS,
    HOURS,
    RESOURCE_TYPES,
    START_MINUTES,
    TRANSIT_DAYS,
    Retention,
    VaultLock,
    check_windows,
    plan_backup_policy,
    plan_copies,
    plan_restore_policy,
    plan_rules,
    plan_trust,
)
from components.errors import ArgsError
from components.rds_plan import WINDOWS, Windows

DATABASE = "arn:aws:rds:us-east-1:012345678901:db:database-1"
BUCKET = "arn:aws:s3:::documents"


def statements(policy: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def backup_policy() -> dict[str, dict[str, Any]]:
    return statements(
        plan_backup_policy(
            account_id="012345678901",
            database=DATABASE,
            bucket=BUCKET,
            vaults=["arn:vault"],
            keys=["arn:key", "arn:other", "arn:key"],
        )
    )


def test_documents_can_be_recovered_to_any_second_and_the_database_by_rds() -> None:
    found = {kind: plan_rules(kind, Retention()) for kind in RESOURCE_TYPES}
    assert [rule.continuous for rule in found["documents"]] == [True, False]
    assert [rule.continuous for rule in found["database"]] == [False, False]
    assert [(rule.name, rule.days) for rule in found["database"]] == [("daily", 35), ("monthly", 366)]


def test_rules_are_at_the_hours_that_are_checked() -> None:
    daily, monthly = plan_rules("database", Retention())
    assert daily.schedule == f"cron(0 {HOURS['daily']} * * ? *)"
    assert monthly.schedule == f"cron(0 {HOURS['monthly']} 1 * ? *)"
    assert plan_copies(Retention()).schedule == f"cron(0 {HOURS['copies']} * * ? *)"


def test_backups_begin_apart_from_each_other() -> None:
    hours = sorted(HOURS.values())
    assert all(later * 60 >= earlier * 60 + START_MINUTES for earlier, later in pairwise(hours))


def test_a_rule_as_aws_takes_it() -> None:
    rule = plan_copies(Retention(copies=20)).inputs("vault", "arn:there")
    assert rule["target_vault_name"] == "vault"
    assert rule["lifecycle"] == {"delete_after": TRANSIT_DAYS}
    assert rule["copy_actions"] == [{"destination_vault_arn": "arn:there", "lifecycle": {"delete_after": 20}}]
    assert (rule["start_window"], rule["completion_window"]) == (60, 7 * 24 * 60)
    assert "copy_actions" not in plan_rules("documents", Retention())[0].inputs("vault")


@given(st.integers(1, CONTINUOUS_DAYS), st.integers(1, 36_500), st.integers(1, 36_500))
def test_a_lock_takes_exactly_what_is_within_it(daily: int, least: int, more: int) -> None:
    lock = VaultLock(min_days=min(least, TRANSIT_DAYS), max_days=min(36_500, least + more))
    retention = Retention(daily=daily, monthly=daily, copies=daily)
    fits = all(lock.min_days <= days <= lock.max_days for days in (daily, TRANSIT_DAYS))
    if fits:
        lock.check(retention)
    else:
        with pytest.raises(ArgsError, match="the vault's lock takes"):
            lock.check(retention)


def test_what_is_kept_by_default_fits_into_the_lock_by_default() -> None:
    VaultLock().check(Retention())
    assert VaultLock().cooling_off_days is None


@pytest.mark.parametrize("role", WINDOWS)
def test_the_windows_by_default_leave_room(role: Any) -> None:
    check_windows(WINDOWS[role])


@pytest.mark.parametrize(
    "windows",
    [
        Windows(backup="07:00-08:00", maintenance="sun:09:00-sun:10:00"),
        Windows(backup="07:00-08:00", maintenance="sat:09:00-sat:10:00"),
        Windows(backup="23:00-00:30", maintenance="sun:09:00-sun:10:00"),
    ],
)
def test_windows_that_leave_room(windows: Windows) -> None:
    check_windows(windows)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (
            Windows(backup="06:30-07:00", maintenance="sun:09:00-sun:10:00"),
            (
                "the backup window 06:30-07:00 is too close to 05:00: monthly backups begin until 06:00, and RDS makes "
                "none in its own windows or in the hour before. Move it, for example to 07:00 or later."
            ),
        ),
        (
            Windows(backup="23:30-01:30", maintenance="sun:09:00-sun:10:00"),
            "the backup window 23:30-01:30 is too close to 01:00",
        ),
        (
            Windows(backup="07:00-08:00", maintenance="sun:23:30-mon:01:30"),
            "the maintenance window sun:23:30-mon:01:30 is too close to 01:00",
        ),
        (
            Windows(backup="07:00-08:00", maintenance="wed:04:30-wed:05:00"),
            "the maintenance window wed:04:30-wed:05:00 is too close to 03:00",
        ),
    ],
)
def test_windows_in_which_rds_would_fail_a_backup_are_refused(windows: Windows, message: str) -> None:
    with pytest.raises(ArgsError) as error:
        check_windows(windows)
    assert str(error.value).startswith(message)


@given(st.integers(0, 47))
def test_a_window_is_refused_when_a_backup_may_begin_in_it_or_in_the_hour_before(half: int) -> None:
    opens, closes = half * 30, half * 30 + 30
    windows = Windows(
        backup=f"{opens // 60:02}:{opens % 60:02}-{closes // 60 % 24:02}:{closes % 60:02}",
        maintenance="sun:12:00-sun:12:30" if opens != 12 * 60 else "sun:13:00-sun:13:30",
    )
    starts = [day + hour * 60 for hour in HOURS.values() for day in (-1440, 0, 1440)]
    near = any(start < closes and opens - 60 < start + START_MINUTES for start in starts)
    try:
        check_windows(windows)
        refused = False
    except ArgsError:
        refused = True
    assert refused == near


def test_a_backup_reads_what_it_is_of_and_nothing_else() -> None:
    found = backup_policy()
    assert found["SnapshotsOfTheDatabase"]["Resource"] == [
        DATABASE,
        "arn:aws:rds:*:012345678901:snapshot:awsbackup:*",
    ]
    assert found["Bucket"]["Resource"] == [BUCKET]
    assert found["Objects"]["Resource"] == [f"{BUCKET}/*"]
    assert found["Vaults"]["Resource"] == ["arn:vault"]
    assert found["Keys"]["Resource"] == ["arn:key", "arn:other"]
    assert not any("s3:Put" in action for action in found["Objects"]["Action"])


def test_nobody_who_backs_up_may_delete_data() -> None:
    deletes = {
        (action, resource)
        for statement in backup_policy().values()
        for action in statement["Action"]
        for resource in statement["Resource"]
        if "Delete" in action
    }
    assert deletes == {
        ("rds:DeleteDBSnapshot", "arn:aws:rds:*:012345678901:snapshot:awsbackup:*"),
        ("events:DeleteRule", "arn:aws:events:*:012345678901:rule/AwsBackupManagedRule*"),
    }


def test_a_restore_test_makes_and_deletes_only_what_has_the_name_of_one() -> None:
    found = statements(plan_restore_policy(account_id="012345678901", region="us-east-1", keys=["arn:key"]))
    assert found["DatabaseAfterwards"]["Resource"] == ["arn:aws:rds:us-east-1:012345678901:db:awsbackup-restore-test*"]
    assert found["Bucket"]["Resource"] == ["arn:aws:s3:::awsbackup-restore-test*"]
    assert found["Objects"]["Resource"] == ["arn:aws:s3:::awsbackup-restore-test*/*"]
    databases = [arn for arn in found["Database"]["Resource"] if ":db:" in arn]
    assert databases == found["DatabaseAfterwards"]["Resource"]


def test_only_reading_lists_is_allowed_on_everything() -> None:
    restore = statements(plan_restore_policy(account_id="012345678901", region="us-east-1", keys=["arn:key"]))
    for found in (backup_policy(), restore):
        everything = [statement for statement in found.values() if "*" in statement["Resource"]]
        actions = {action for statement in everything for action in statement["Action"]}
        assert all(action.split(":")[1].startswith(("Describe", "Get", "List")) for action in actions)


def test_keys_are_handed_on_to_services_of_aws_only() -> None:
    grants = backup_policy()["KeysForServices"]
    assert grants["Action"] == ["kms:CreateGrant"]
    assert grants["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    # 10,240 characters without blanks: all inline policies of a role together (IAM user guide, "IAM quotas").
    assert len(json.dumps({"Statement": [*backup_policy().values()]}, separators=(",", ":"))) < 10_240


def test_only_aws_backup_uses_the_roles() -> None:
    (statement,) = plan_trust()["Statement"]
    assert statement["Principal"] == {"Service": "backup.amazonaws.com"}


def test_a_single_failure_is_heard() -> None:
    assert all((alarm.threshold, alarm.of, alarm.missing) == (0, 1, "notBreaching") for alarm in ALARMS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Retention(daily=36),
            "retention.daily is 36 days: a continuous backup goes back 1 to 35. Keep the monthly ones for longer.",
        ),
        (lambda: Retention(daily=0), "retention.daily is 0 days: a continuous backup goes back 1 to 35."),
        (lambda: Retention(monthly=36_501), "retention.monthly is 36501 days: AWS Backup keeps backups 1 to 36500."),
        (lambda: Retention(copies=0), "retention.copies is 0 days: AWS Backup keeps backups 1 to 36500."),
        (
            lambda: VaultLock(min_days=0),
            "the lock keeps backups 0 to 400 days: they are kept 1 to 36500 days, and no less than the least.",
        ),
        (lambda: VaultLock(min_days=8, max_days=7), "the lock keeps backups 8 to 7 days: they are kept 1 to 36500"),
        (
            lambda: VaultLock(cooling_off_days=2),
            (
                "lock.cooling_off_days is 2: compliance mode begins after 3 to 36500 days, and never ends. Leave it "
                "out for governance mode."
            ),
        ),
        (
            lambda: VaultLock(max_days=300).check(Retention()),
            "retention of monthly is 366 days: the vault's lock takes 7 to 300, and fails every other job.",
        ),
        (
            lambda: VaultLock(min_days=8).check(Retention()),
            "retention of the copies' snapshots is 7 days: the vault's lock takes 8 to 400, and fails every other job.",
        ),
    ],
)
def test_what_aws_backup_would_refuse_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ArgsError) as error:
        make()
    assert str(error.value).startswith(message)
