"""When a region's data is backed up, for how long it is kept, and what the roles for it may do.

Only RDS and S3 hold what cannot be made again: the search index is rebuilt from the documents. The database's
point-in-time recovery stays with RDS, which also replicates it to the other region: continuous backups of AWS Backup
would take over the instance's retention and window, and every later plan would show a difference. Its snapshots here
are for a longer time, and out of reach of whoever may delete the database. Neither service has cold storage in AWS
Backup, so nothing moves there.

"API" is the AWS Backup API reference, "guide" the AWS Backup developer guide. Hours are UTC.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.alarms import Alarm
from components.errors import ArgsError
from components.kms import Policy
from components.rds_plan import Windows

Kind = Literal["database", "documents"]
#: What AWS Backup calls each kind (API, ProtectedResourceType).
RESOURCE_TYPES: dict[Kind, str] = {"database": "RDS", "documents": "S3"}

#: The longest point-in-time recovery (guide, "Continuous backups").
CONTINUOUS_DAYS = 35
#: How long the snapshot stays in the primary region that a copy is made of, days: a copy that fails is tried again the
#: next day, from a new one.
TRANSIT_DAYS = 7
#: The longest that AWS Backup keeps anything, days: 100 years (API, Lifecycle).
MAX_DAYS = 36_500
#: The least time to think again before a lock in compliance mode can never be opened, days (API, ChangeableForDays).
MIN_COOLING_OFF_DAYS = 3

#: When backups begin, apart from each other: RDS makes one snapshot of an instance at a time.
HOURS = {"copies": 1, "daily": 3, "monthly": 5}
#: A job that did not begin by then is given up, minutes; the least is 60 (API, StartWindowMinutes).
START_MINUTES = 60
#: A job that did not end by then is given up, minutes: AWS's default of a week, for the first copy of a large bucket.
COMPLETION_MINUTES = 7 * 24 * 60
#: A backup that begins during a window of the database, or in the time before it, fails, minutes (guide, "AWS Backup
#: metrics with CloudWatch", NumberOfBackupJobsFailed).
GUARD_MINUTES = 60

#: What restored copies are called, by AWS Backup itself (guide, "Restore testing inferred metadata").
RESTORED = "awsbackup-restore-test"
#: What the snapshots of AWS Backup are called.
SNAPSHOT = "awsbackup:*"

_DAY = 24 * 60
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, kw_only=True)
class Retention:
    """For how long backups are kept, days.

    Attributes:
        daily: Daily ones, and how far back a document can be recovered to any second: 1 to 35.
        monthly: Those of the first of a month.
        copies: Those in the standby region.

    Raises:
        ArgsError: AWS Backup keeps nothing for that long.
    """

    daily: int = CONTINUOUS_DAYS
    monthly: int = 366
    copies: int = CONTINUOUS_DAYS

    def __post_init__(self) -> None:
        if not 1 <= self.daily <= CONTINUOUS_DAYS:
            raise ArgsError(
                f"retention.daily is {self.daily} days",
                why=f"a continuous backup goes back 1 to {CONTINUOUS_DAYS}",
                remedy="Keep the monthly ones for longer",
            )
        for name, days in (("monthly", self.monthly), ("copies", self.copies)):
            if not 1 <= days <= MAX_DAYS:
                raise ArgsError(f"retention.{name} is {days} days", why=f"AWS Backup keeps backups 1 to {MAX_DAYS}")


@dataclass(frozen=True, kw_only=True)
class VaultLock:
    """How a vault refuses to give up its backups.

    Attributes:
        min_days: Nothing is deleted sooner, and no job with a shorter retention succeeds.
        max_days: No job with a longer retention succeeds.
        cooling_off_days: ``None`` for governance mode: who has the right to open a lock still can, as ``locked: false``
            must. A number turns compliance mode on, FOR EVER: after so many days nobody, not even AWS, can open the
            lock, shorten it, or delete the vault before its last backup expires.

    Raises:
        ArgsError: AWS Backup would refuse the lock.
    """

    min_days: int = TRANSIT_DAYS
    max_days: int = 400
    cooling_off_days: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_days <= self.max_days <= MAX_DAYS:
            raise ArgsError(
                f"the lock keeps backups {self.min_days} to {self.max_days} days",
                why=f"they are kept 1 to {MAX_DAYS} days, and no less than the least",
            )
        cooling = self.cooling_off_days
        if cooling is not None and not MIN_COOLING_OFF_DAYS <= cooling <= MAX_DAYS:
            raise ArgsError(
                f"lock.cooling_off_days is {cooling}",
                why=f"compliance mode begins after {MIN_COOLING_OFF_DAYS} to {MAX_DAYS} days, and never ends",
                remedy="Leave it out for governance mode",
            )

    def check(self, retention: Retention) -> None:
        """Refuses backups that the vault would refuse: their jobs would fail, a day later.

        Raises:
            ArgsError: A retention is outside of the lock.
        """
        rows = {
            "daily": retention.daily,
            "monthly": retention.monthly,
            "copies": retention.copies,
            "the copies' snapshots": TRANSIT_DAYS,
        }
        for name, days in rows.items():
            if not self.min_days <= days <= self.max_days:
                raise ArgsError(
                    f"retention of {name} is {days} days",
                    why=f"the vault's lock takes {self.min_days} to {self.max_days}, and fails every other job",
                )


@dataclass(frozen=True)
class Rule:
    """One rule of a backup plan.

    Attributes:
        name: Unique in its plan.
        schedule: When, as AWS's cron expression.
        days: How long its backups are kept.
        continuous: Whether any second of that time can be recovered.
        copy_days: How long a copy is kept in the other region's vault; ``None`` for no copy.
    """

    name: str
    schedule: str
    days: int
    continuous: bool = False
    copy_days: int | None = None

    def inputs(self, vault: Any, copy_to: Any = None) -> dict[str, Any]:
        """The rule as argument of ``aws.backup.Plan``, for a vault's name and the ARN of the copies' vault."""
        found: dict[str, Any] = {
            "rule_name": self.name,
            "target_vault_name": vault,
            "schedule": self.schedule,
            "start_window": START_MINUTES,
            "completion_window": COMPLETION_MINUTES,
            "enable_continuous_backup": self.continuous,
            "lifecycle": {"delete_after": self.days},
        }
        if self.copy_days is not None:
            found["copy_actions"] = [{"destination_vault_arn": copy_to, "lifecycle": {"delete_after": self.copy_days}}]
        return found


def plan_rules(kind: Kind, retention: Retention) -> tuple[Rule, ...]:
    """The rules for what a primary region holds."""
    return (
        Rule("daily", f"cron(0 {HOURS['daily']} * * ? *)", retention.daily, continuous=kind == "documents"),
        Rule("monthly", f"cron(0 {HOURS['monthly']} 1 * ? *)", retention.monthly),
    )


def plan_copies(retention: Retention) -> Rule:
    """The rule by which a standby keeps copies of the primary's data."""
    return Rule("copies", f"cron(0 {HOURS['copies']} * * ? *)", TRANSIT_DAYS, copy_days=retention.copies)


def check_windows(windows: Windows) -> None:
    """Refuses windows of the database in which a backup would have to begin: RDS would fail it.

    Raises:
        ArgsError: A backup may begin within a window, or within an hour before it.
    """
    for name, hour in HOURS.items():
        for day in range(7):
            start = day * _DAY + hour * 60
            for what, (opens, closes) in _windows(windows):
                if start < closes and opens - GUARD_MINUTES < start + START_MINUTES:
                    raise ArgsError(
                        f"the {what} window {getattr(windows, what)} is too close to {hour:02}:00",
                        why=f"{name} backups begin until {hour + 1:02}:00, and RDS makes none in its own windows or in "
                        "the hour before",
                        remedy=f"Move it, for example to {max(HOURS.values()) + 2:02}:00 or later",
                    )


def _windows(windows: Windows) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each window in minutes since Monday, in the week and around its ends."""
    start, end = (_minutes(clock) for clock in windows.backup.split("-"))
    length = (end - start) % _DAY
    yield from (("backup", (day * _DAY + start, day * _DAY + start + length)) for day in range(-1, 8))
    start, end = (_DAYS.index(moment[:3]) * _DAY + _minutes(moment[4:]) for moment in windows.maintenance.split("-"))
    length = (end - start) % (7 * _DAY)
    yield from (("maintenance", (start + week, start + week + length)) for week in (-7 * _DAY, 0, 7 * _DAY))


def _minutes(clock: str) -> int:
    hours, minutes = map(int, clock.split(":"))
    return hours * 60 + minutes


def plan_trust() -> Policy:
    """Who may use the roles: AWS Backup. It is handed them by plans of this account only, which needs iam:PassRole."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "backup.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }


def plan_backup_policy(
    *, account_id: str, database: str, bucket: str, vaults: Sequence[str], keys: Sequence[str]
) -> Policy:
    """What a backup needs: to read what it is of, and to write into our vaults.

    Args:
        account_id: The account, 12 digits.
        database: ARN of the instance.
        bucket: ARN of the bucket.
        vaults: ARN of every vault that is written to.
        keys: ARN of every key that data or backups are encrypted with.

    Returns:
        The policy document. Source: guide, "Managed policies for AWS Backup", cut down to what we have.
    """
    snapshots = f"arn:aws:rds:*:{account_id}:snapshot:{SNAPSHOT}"
    return _document(
        _allow(
            "SnapshotsOfTheDatabase",
            "rds:AddTagsToResource rds:CopyDBSnapshot rds:CreateDBSnapshot rds:ListTagsForResource",
            database,
            snapshots,
        ),
        _allow("SnapshotsThatExpire", "rds:DeleteDBSnapshot rds:ModifyDBSnapshotAttribute", snapshots),
        _allow(
            "Bucket",
            "s3:GetBucketAcl s3:GetBucketLocation s3:GetBucketNotification s3:GetBucketTagging s3:GetBucketVersioning "
            "s3:GetInventoryConfiguration s3:ListBucket s3:ListBucketVersions s3:PutBucketNotification "
            "s3:PutInventoryConfiguration",
            bucket,
        ),
        _allow(
            "Objects",
            "s3:GetObject s3:GetObjectAcl s3:GetObjectTagging s3:GetObjectVersion s3:GetObjectVersionAcl "
            "s3:GetObjectVersionTagging",
            f"{bucket}/*",
        ),
        # By events AWS Backup follows what changes in the bucket.
        _allow(
            "EventsOfTheBucket",
            "events:DeleteRule events:DescribeRule events:DisableRule events:EnableRule events:ListTargetsByRule "
            "events:PutRule events:PutTargets events:RemoveTargets",
            f"arn:aws:events:*:{account_id}:rule/AwsBackupManagedRule*",
        ),
        _allow(
            "Lists",
            "cloudwatch:GetMetricData events:ListRules rds:DescribeDBInstances rds:DescribeDBSnapshots "
            "tag:GetResources",
            "*",
        ),
        _allow("Vaults", "backup:CopyFromBackupVault backup:CopyIntoBackupVault backup:DescribeBackupVault", *vaults),
        _allow("TagsOfBackups", "backup:TagResource", f"arn:aws:backup:*:{account_id}:recovery-point:*"),
        *_keys(keys),
    )


def plan_restore_policy(*, account_id: str, region: str, keys: Sequence[str]) -> Policy:
    """What a restore test needs: to make things with the name of a test, and nothing else.

    Args:
        account_id: The account, 12 digits.
        region: Where it restores.
        keys: ARN of every key that backups and what is made of them are encrypted with.

    Returns:
        The policy document. Source: guide, "Managed policies for AWS Backup", cut down to what we have.
    """
    rds = f"arn:aws:rds:{region}:{account_id}"
    made = f"{rds}:db:{RESTORED}*"
    bucket = f"arn:aws:s3:::{RESTORED}*"
    return _document(
        _allow(
            "Database",
            "rds:AddTagsToResource rds:RestoreDBInstanceFromDBSnapshot",
            made,
            f"{rds}:snapshot:{SNAPSHOT}",
            *(f"{rds}:{kind}:*" for kind in ("og", "pg", "secgrp", "subgrp")),
        ),
        _allow("DatabaseAfterwards", "rds:DeleteDBInstance", made),
        _allow("Lists", "rds:DescribeDBInstances rds:DescribeDBSnapshots rds:ListTagsForResource", "*"),
        _allow(
            "Bucket",
            "s3:CreateBucket s3:GetBucketLocation s3:GetBucketOwnershipControls s3:GetBucketVersioning s3:ListBucket "
            "s3:ListBucketVersions s3:PutBucketOwnershipControls s3:PutBucketVersioning",
            bucket,
        ),
        _allow(
            "Objects",
            "s3:DeleteObject s3:DeleteObjectVersion s3:GetObject s3:GetObjectAcl s3:GetObjectTagging "
            "s3:GetObjectVersion s3:GetObjectVersionAcl s3:ListMultipartUploadParts s3:PutObject s3:PutObjectAcl "
            "s3:PutObjectTagging s3:PutObjectVersionAcl s3:PutObjectVersionTagging",
            f"{bucket}/*",
        ),
        *_keys(keys),
    )


def _document(*statements: dict[str, Any]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(sid: str, actions: str, *resources: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions.split(), "Resource": list(resources)}


def _keys(keys: Sequence[str]) -> tuple[dict[str, Any], ...]:
    used = _allow(
        "Keys", "kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey* kms:ReEncrypt*", *dict.fromkeys(keys)
    )
    granted = _allow("KeysForServices", "kms:CreateGrant", *dict.fromkeys(keys))
    return used, granted | {"Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}}


ALARMS = (
    # Metrics come every five minutes (guide, "AWS Backup metrics with CloudWatch"): one of them is enough.
    Alarm(
        name="failed",
        metric="NumberOfBackupJobsFailed",
        threshold=0,
        statistic="Sum",
        minutes=60,
        of=1,
        missing="notBreaching",
        because="A backup failed: its job says why",
    ),
    Alarm(
        name="aborted",
        metric="NumberOfBackupJobsAborted",
        threshold=0,
        statistic="Sum",
        minutes=60,
        of=1,
        missing="notBreaching",
        because="Somebody cancelled a backup",
    ),
    Alarm(
        name="expired",
        metric="NumberOfBackupJobsExpired",
        threshold=0,
        statistic="Sum",
        minutes=60,
        of=1,
        missing="notBreaching",
        because="A backup did not begin in its window, or one that should be gone could not be deleted",
    ),
    Alarm(
        name="copies-failed",
        metric="NumberOfCopyJobsFailed",
        threshold=0,
        statistic="Sum",
        minutes=60,
        of=1,
        missing="notBreaching",
        because="A copy to the other region failed: its job says why",
    ),
)

RESTORE_ALARM = Alarm(
    name="restore-failed",
    metric="NumberOfRestoreJobsFailed",
    threshold=0,
    statistic="Sum",
    minutes=60,
    of=1,
    missing="notBreaching",
    because="A restore test failed: this backup may be of no use. Its job says why",
)
