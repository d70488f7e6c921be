"""What is stateful, locked and retained: every type has been decided on, and every property exists."""

import json
import math
from typing import Any

import pytest

from infra.local.aws import facts
from infra.plan import MASKED, UNKNOWN
from infra.stateful import (
    CLOSED,
    GUARDS,
    LOCKED_BY,
    LOCKS,
    POLICIES,
    RETENTION,
    STATEFUL,
    STATELESS,
    Lock,
    UnjudgeableError,
    is_bookkeeping,
    known,
    loss,
)
from tests.regions import STACKS, plan, region

PROGRAM = sorted({change.type for stack in STACKS for change in plan(stack).changes if not is_bookkeeping(change.type)})


def test_every_type_of_the_program_is_decided_on() -> None:
    assert [type_ for type_ in PROGRAM if type_ not in {*STATEFUL, *GUARDS, *STATELESS}] == []


def test_no_type_is_decided_on_twice() -> None:
    assert {*STATEFUL} & {*GUARDS} == set()
    assert STATELESS & {*STATEFUL, *GUARDS} == set()


def test_a_reason_ends_a_sentence_that_begins_with_it() -> None:
    for reason in (*STATEFUL.values(), *GUARDS.values()):
        assert reason[0].islower()
        assert not reason.endswith(".")


def test_what_nobody_decided_on_counts_as_stateful() -> None:
    for replaced in (True, False):
        assert "nobody has decided" in loss("aws:neptune/cluster:Cluster", replaced=replaced)
        assert loss("docsearch:rds:Rds", replaced=replaced) == ""
        assert loss("aws:ec2/subnet:Subnet", replaced=replaced) == ""


def test_a_guard_may_be_replaced_and_not_deleted() -> None:
    for type_ in GUARDS:
        assert loss(type_, replaced=True) == ""
        assert loss(type_, replaced=False) == GUARDS[type_]


AWS_PATHS = [
    (type_, path)
    for type_, paths in [
        *((type_, [lock.path for lock in locks]) for type_, locks in (*LOCKS.items(), *CLOSED.items())),
        *((type_, [path]) for type_, path in POLICIES.items()),
        *((type_, [path]) for locks in LOCKED_BY.values() for type_, path, _ in locks),
        *((type_, [name]) for type_, locks in LOCKED_BY.items() for _, _, name in locks),
    ]
    for path in paths
    if type_.startswith("aws:")
]


@pytest.mark.parametrize(("type_", "path"), AWS_PATHS)
def test_properties_exist_in_the_sdk(type_: str, path: str) -> None:
    schema = facts.inputs(type_)
    for step in path.split("."):
        assert step in schema
        schema = schema[step].fields


def test_defaults_are_the_providers() -> None:
    for type_, locks in LOCKS.items():
        about = facts.all_facts().get(type_)
        for lock in locks:
            if about and lock.path in about.defaults:
                assert about.defaults[lock.path] == lock.default, (type_, lock.path)
    for type_, retention in RETENTION.items():
        about = facts.all_facts().get(type_)
        for name, days in retention.read({}).items():
            if about and name in about.defaults:
                assert (about.defaults[name] or math.inf) == days or about.defaults[name] == days, (type_, name)


def test_each_lock_of_the_program_is_on_where_the_region_is_locked() -> None:
    """A lock of the table that the program never puts on would be a misspelt one."""
    for type_, locks in LOCKS.items():
        resources = [one for stack in STACKS for one in region(stack).resources if one.type == type_]
        for lock in locks:
            # A copy has no snapshot of its own to end with; a log group goes when its program says so.
            assert not resources or lock.path == "skipDestroy" or any(lock.holds(one.inputs) for one in resources), lock


def test_pulumis_lock_is_only_on_what_is_decided_on() -> None:
    for stack in STACKS:
        for one in region(stack).resources:
            if one.protect and not is_bookkeeping(one.type):
                assert one.type in {*STATEFUL, *GUARDS, *STATELESS}


def test_a_lock_is_on_by_its_value_or_its_default() -> None:
    lock = Lock("deleteAutomatedBackups", on=False, default=True)
    assert not lock.holds({})
    assert lock.holds({"deleteAutomatedBackups": False})
    assert not lock.holds({"deleteAutomatedBackups": True})


KEPT_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": MASKED}


@pytest.mark.parametrize("value", [UNKNOWN, MASKED, KEPT_SECRET])
def test_what_is_not_known_is_not_guessed(value: Any) -> None:
    for props in ({"a": value}, {"a": {"b": value}}):
        with pytest.raises(UnjudgeableError):
            known(props, "a.b", 1)
    assert known({"a": {}}, "a.b", 1) == 1
    assert known({"a": {"b": False}}, "a.b", 1) is False


# Retention

PLAN = "aws:backup/plan:Plan"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
IMAGES = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
LOGS = "aws:cloudwatch/logGroup:LogGroup"


def backup(days: int | None = 35, **more: Any) -> dict[str, Any]:
    kept = {"lifecycle": {"deleteAfter": days}} if days else {}
    return {"rules": [{"ruleName": "daily", **kept, **more}]}


def copies(days: int, to: str = "west") -> list[dict[str, Any]]:
    return [{"destinationVaultArn": to, "lifecycle": {"deleteAfter": days}}]


def expiry(status: str = "Enabled", prefix: str = "", **more: Any) -> dict[str, Any]:
    return {"rules": [{"id": "retention", "status": status, "filter": {"prefix": prefix}, **more}]}


def images(count: int, status: str = "untagged") -> dict[str, Any]:
    selection = {"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": count}
    return {"policy": json.dumps({"rules": [{"selection": selection, "action": {"type": "expire"}}]})}


SHORTER = [
    (LOGS, {"retentionInDays": 365}, {"retentionInDays": 30}, "retentionInDays 365 -> 30"),
    (LOGS, {"retentionInDays": 0}, {"retentionInDays": 30}, "retentionInDays unlimited -> 30"),
    (LOGS, {}, {"retentionInDays": 30}, "retentionInDays unlimited -> 30"),
    (
        "aws:rds/instance:Instance",
        {"backupRetentionPeriod": 35},
        {"backupRetentionPeriod": 7},
        "backupRetentionPeriod 35 -> 7",
    ),
    ("aws:rds/instance:Instance", {"backupRetentionPeriod": 35}, {}, "backupRetentionPeriod 35 -> 0"),
    ("aws:kms/key:Key", {}, {"deletionWindowInDays": 7}, "deletionWindowInDays 30 -> 7"),
    (
        "aws:secretsmanager/secret:Secret",
        {"recoveryWindowInDays": 30},
        {"recoveryWindowInDays": 0},
        "recoveryWindowInDays 30 -> 0",
    ),
    (
        "aws:elasticache/replicationGroup:ReplicationGroup",
        {"snapshotRetentionLimit": 35},
        {},
        "snapshotRetentionLimit 35 -> 0",
    ),
    (
        "aws:backup/vaultLockConfiguration:VaultLockConfiguration",
        {"minRetentionDays": 7},
        {},
        "minRetentionDays 7 -> 0",
    ),
    (PLAN, backup(35), backup(7), "daily 35 -> 7"),
    (PLAN, backup(None), backup(7), "daily unlimited -> 7"),
    (PLAN, backup(35), {"rules": []}, "daily 35 -> 0"),
    (PLAN, backup(enableContinuousBackup=True), backup(), "daily enableContinuousBackup 1 -> 0"),
    (PLAN, backup(copyActions=copies(35)), backup(copyActions=copies(7)), "daily copy to west 35 -> 7"),
    (PLAN, backup(copyActions=copies(35)), backup(copyActions=copies(35, "east")), "daily copy to west 35 -> 0"),
    (
        LIFECYCLE,
        expiry(expiration={"days": 730}),
        expiry(expiration={"days": 30}),
        'retention {"filter": {"prefix": ""}} 730 -> 30',
    ),
    (LIFECYCLE, {}, expiry(expiration={"days": 30}), 'retention {"filter": {"prefix": ""}} unlimited -> 30'),
    (
        LIFECYCLE,
        expiry("Disabled", expiration={"days": 30}),
        expiry(expiration={"days": 30}),
        'retention {"filter": {"prefix": ""}} unlimited -> 30',
    ),
    (
        LIFECYCLE,
        expiry(prefix="logs/", expiration={"days": 30}),
        expiry(expiration={"days": 30}),
        'retention {"filter": {"prefix": ""}} unlimited -> 30',
    ),
    (
        LIFECYCLE,
        expiry(expiration={"date": "2027-01-01"}),
        expiry(expiration={"date": "2026-01-01"}),
        'retention {"filter": {"prefix": ""}} 2026-01-01 unlimited -> 0',
    ),
    (
        LIFECYCLE,
        expiry(noncurrentVersionExpiration={"noncurrentDays": 35, "newerNoncurrentVersions": 5}),
        expiry(noncurrentVersionExpiration={"noncurrentDays": 35}),
        'retention {"filter": {"prefix": ""}} newerNoncurrentVersions 5 -> 0',
    ),
    (IMAGES, images(200), images(20), '{"tagStatus": "untagged", "countType": "imageCountMoreThan"} 200 -> 20'),
    (
        IMAGES,
        images(200),
        images(200, "any"),
        '{"tagStatus": "any", "countType": "imageCountMoreThan"} unlimited -> 200',
    ),
]


@pytest.mark.parametrize(("type_", "before", "after", "says"), SHORTER)
def test_less_long(type_: str, before: dict[str, Any], after: dict[str, Any], says: str) -> None:
    assert RETENTION[type_].shortened(before, after) == [says]
    assert RETENTION[type_].shortened(before, before) == []


@pytest.mark.parametrize(
    ("type_", "before", "after"),
    [
        (LOGS, {"retentionInDays": 30}, {}),
        (LOGS, {"retentionInDays": 30}, {"retentionInDays": 0}),
        (PLAN, backup(7), backup(35, copyActions=copies(7), enableContinuousBackup=True)),
        (PLAN, {"rules": []}, backup(7)),
        (LIFECYCLE, expiry(expiration={"days": 30}), {}),
        (LIFECYCLE, expiry(expiration={"days": 30}), expiry("Disabled", expiration={"days": 30})),
        (LIFECYCLE, expiry(), expiry(transitions=[{"days": 30, "storageClass": "GLACIER_IR"}])),
        (IMAGES, images(20), {"policy": "{}"}),
        (IMAGES, images(20), images(200)),
    ],
)
def test_as_long_or_longer(type_: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert RETENTION[type_].shortened(before, after) == []


@pytest.mark.parametrize(
    ("type_", "after"),
    [
        (LOGS, {"retentionInDays": UNKNOWN}),
        (LOGS, {"retentionInDays": "30"}),
        (LOGS, {"retentionInDays": True}),
        (PLAN, {"rules": UNKNOWN}),
        (PLAN, {"rules": [UNKNOWN]}),
        (PLAN, backup(lifecycle=UNKNOWN)),
        (LIFECYCLE, expiry(expiration=UNKNOWN)),
        (LIFECYCLE, expiry(status=UNKNOWN)),
        (IMAGES, {"policy": UNKNOWN}),
        (IMAGES, {"policy": "not JSON"}),
        (IMAGES, {"policy": "[]"}),
        (IMAGES, {"policy": '{"rules": [{}]}'}),
    ],
)
def test_a_length_that_cannot_be_read_is_never_passed(type_: str, after: dict[str, Any]) -> None:
    with pytest.raises(UnjudgeableError):
        RETENTION[type_].shortened({}, after)


def test_retention_of_both_regions_can_be_read() -> None:
    for stack in STACKS:
        read = [RETENTION[one.type].read(one.inputs) for one in region(stack).resources if one.type in RETENTION]
        assert len(read) > 20
        assert sum(map(len, read)) >= len(read)
