"""Rules for backups."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_backup import GOOD, LOCK, NOTICES, PLAN, SELECTION, TEST, TESTS, VAULT
from tests.policies.good_rds import INSTANCE, primary
from tests.policies.plans import broken, changed, everything, judge, of

VAULT_URN = of("prod", VAULT)[0].urn
IDS = sorted({good.rule for good in GOOD})


def its(stack: str, type_: str, ending: str = "") -> Resource:
    """The one whose name ends so."""
    (found,) = (one for one in of(stack, type_) if one.name.endswith(ending))
    return found


def put(path: str, value: Any) -> Callable[[Resource], Resource]:
    """Breaks one property."""
    return lambda resource: broken(resource, path, value)


DOCUMENTS = its("prod", PLAN, "-documents")
DATABASE = its("prod", PLAN, "-database")
COPIES = its("dr", PLAN, "-copies")


@pytest.mark.parametrize("rule", IDS)
def test_the_plans_break_no_rule(rule: str) -> None:
    assert list(everything(rule)) == []


@pytest.mark.parametrize(
    ("type_", "path", "value", "message"),
    [
        (VAULT, "kmsKeyArn", "alias/aws/backup", "is alias/aws/backup, must be a key of ours"),
        (VAULT, "forceDestroy", True, "is true, must be false or absent"),
        (LOCK, "minRetentionDays", 6, "is 6, must be at least 7"),
        (LOCK, "maxRetentionDays", 365, "is 365, must be absent, or at least 366"),
    ],
)
def test_a_broken_vault_is_named(type_: str, path: str, value: Any, message: str) -> None:
    good = its("prod", type_)
    assert judge("backup-vault", broken(good, path, value)) == [Finding(path, message)]
    assert judge("backup-vault", broken(good, path, UNKNOWN)) == [
        Finding(path, "is not known before the update", False)
    ]


@pytest.mark.parametrize(
    ("rule", "type_", "message"),
    [
        ("backup-vault-lock", LOCK, "has no lock"),
        ("backup-restore-test", TESTS, "is never restored from"),
        ("backup-notices", NOTICES, "reports no failures"),
    ],
)
def test_what_a_vault_lacks_is_said_of_it(rule: str, type_: str, message: str) -> None:
    gone = changed("prod", its("prod", type_).urn, lambda _: None)
    assert judge(rule, gone) == [Finding("", message, urn=VAULT_URN)]


def test_a_lock_of_an_unknown_vault_may_be_the_one() -> None:
    lock = its("prod", LOCK)
    hidden = changed("prod", lock.urn, lambda one: replace(broken(one, "backupVaultName", UNKNOWN), links={}))
    assert {found.verified for found in judge("backup-vault-lock", hidden)} == {False}


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("rules[0].lifecycle.deleteAfter", 6, Finding("rules[0].lifecycle.deleteAfter", "is 6, must be at least 7")),
        ("rules[1].lifecycle.deleteAfter", 364, Finding("rules", "have none that keeps backups for 365 days")),
        ("rules[0].schedule", "cron(0 3 ? * SUN *)", Finding("rules", "have none that runs daily")),
    ],
)
def test_backups_are_daily_and_kept(path: str, value: Any, found: Finding) -> None:
    stack = changed("prod", DATABASE.urn, put(path, value))
    assert judge("backup-retention", stack) == [replace(found, urn=DATABASE.urn)]
    hidden = changed("prod", DATABASE.urn, put(path, UNKNOWN))
    assert [(one.path, one.verified) for one in judge("backup-retention", hidden)] == [(path, False)]


def test_retention_is_what_a_stack_asks_for() -> None:
    assert judge("backup-retention", "prod", days=35, longest=366) == []
    assert {found.path for found in judge("backup-retention", "prod", days=36)} == {"rules[0].lifecycle.deleteAfter"}
    assert {found.path for found in judge("backup-retention", "prod", longest=367)} == {"rules"}
    assert judge("backup-retention", "dr", days=35, longest=366) == []


def test_documents_are_backed_up_continuously() -> None:
    stack = changed("prod", DOCUMENTS.urn, put("rules[0].enableContinuousBackup", False))
    message = "have none that is continuous, must have one for buckets"
    assert judge("backup-continuous", stack) == [Finding("rules", message, urn=DOCUMENTS.urn)]


def test_every_plan_selects_and_the_database_is_selected() -> None:
    selection = its("prod", SELECTION, "-database")
    (database,) = filter(primary, of("prod", INSTANCE))
    assert judge("backup-selection", changed("prod", selection.urn, lambda _: None)) == [
        Finding("", "selects nothing", urn=DATABASE.urn),
        Finding("", "is in no backup plan's selection", urn=database.urn),
    ]
    lost = changed("prod", DATABASE.urn, lambda _: None)
    assert judge("backup-selection", lost) == [Finding("planId", "is no plan here", urn=selection.urn)]
    empty = changed("prod", selection.urn, put("resources", []))
    assert judge("backup-selection", empty) == [
        Finding("resources", "is empty, must be a list with an entry", urn=selection.urn),
        Finding("", "is in no backup plan's selection", urn=database.urn),
    ]


def test_a_standby_gets_copies_from_another_region() -> None:
    vault = its("dr", VAULT).urn
    assert judge("backup-dr", changed("dr", COPIES.urn, lambda _: None)) == [Finding("", "gets no copies", urn=vault)]
    at_home = changed("dr", COPIES.urn, lambda plan: replace(plan, provider={"region": "us-west-2"}))
    assert judge("backup-dr", at_home) == [
        Finding("rules", "copy within us-west-2, not from another region", urn=COPIES.urn)
    ]
    hidden = changed("dr", COPIES.urn, put("rules", UNKNOWN))
    assert judge("backup-dr", hidden) == [Finding("rules", "is not known before the update", False, COPIES.urn)]


def test_copies_are_kept_as_long_as_a_stack_asks_for() -> None:
    assert judge("backup-dr", "dr", days=35) == []
    assert [found.message for found in judge("backup-dr", "dr", days=36)] == ["is 35, must be at least 36"]
    assert judge("backup-dr", "prod", days=36) == []


def test_both_kinds_of_data_are_restored() -> None:
    plan, test = its("prod", TESTS), its("prod", TEST, "-documents")
    none = changed("prod", test.urn, lambda _: None)
    assert judge("backup-restore-test", none) == [Finding("", "restores nothing of S3", urn=plan.urn)]
    hidden = changed("prod", test.urn, put("protectedResourceType", UNKNOWN))
    assert [found.verified for found in judge("backup-restore-test", hidden)] == [False]


@given(places(GOOD), ANYTHING)
def test_no_value_makes_a_rule_raise(place: tuple[str, Resource, str], value: Any) -> None:
    judged(*place, value)
