"""Backups, registries and firewalls beyond the shared life cycle."""

from typing import Any

import pytest

from infra.local.aws.backup import NOTIFICATIONS, RESTORE_PLAN, RESTORE_SELECTION, SELECTION
from infra.local.aws.ecr import SCANNING
from infra.local.aws.waf import WEB_ACL
from infra.local.resource import Props
from tests.infra.local.aws.world import ACCOUNT, World, checked, make, ref

pytestmark = pytest.mark.engine

ROLE = f"arn:aws:iam::{ACCOUNT}:role/backup"
VAULT = f"arn:aws:backup:us-east-1:{ACCOUNT}:backup-vault:backup"


@pytest.mark.parametrize(
    ("token", "said", "id"),
    [
        (
            NOTIFICATIONS.token,
            {"backupVaultName": "backup", "snsTopicArn": "arn:topic", "backupVaultEvents": ["COPY_JOB_FAILED"]},
            "backup",
        ),
        (SELECTION.token, {"planId": "p", "iamRoleArn": ROLE, "resources": ["arn:aws:s3:::documents"]}, None),
        (
            SELECTION.token,
            {
                "planId": "p",
                "iamRoleArn": ROLE,
                "resources": ["*"],
                "selectionTags": [{"type": "STRINGEQUALS", "key": "a", "value": "b"}],
                "conditions": [{"stringEquals": [{"key": "aws:ResourceTag/a", "value": "b"}]}],
            },
            None,
        ),
        (
            RESTORE_PLAN.token,
            {
                "name": "docsearch_1",
                "scheduleExpression": "cron(0 12 ? * TUE *)",
                "recoveryPointSelection": {
                    "algorithm": "LATEST_WITHIN_WINDOW",
                    "includeVaults": [VAULT],
                    "recoveryPointTypes": ["CONTINUOUS", "SNAPSHOT"],
                    "selectionWindowDays": 7,
                },
            },
            "docsearch_1",
        ),
        (
            RESTORE_SELECTION.token,
            {
                "name": "database",
                "restoreTestingPlanName": "docsearch_1",
                "protectedResourceType": "RDS",
                "protectedResourceArns": ["*"],
                "iamRoleArn": ROLE,
                "restoreMetadataOverrides": {"dbSubnetGroupName": "restore"},
                "validationWindowHours": 4,
            },
            "database:docsearch_1",
        ),
    ],
)
def test_what_is_only_kept_is_held_against_the_operation_that_would_make_it(
    world: World, token: str, said: Props, id: str | None
) -> None:
    about = ref(token, f"kept-{len(said)}")
    made, inputs, outputs = make(world.east, about, said)
    assert id in (None, made)
    state = world.east.session.read(about, made, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs


@pytest.mark.parametrize(
    ("token", "said", "message"),
    [
        (
            NOTIFICATIONS.token,
            {"backupVaultName": "backup", "snsTopicArn": "arn:topic", "backupVaultEvents": ["FAILED"]},
            "Member must satisfy enum value set",
        ),
        (RESTORE_SELECTION.token, {"name": "database"}, "missing required argument"),
    ],
)
def test_what_is_only_kept_is_refused_where_the_operation_would_be(
    world: World, token: str, said: Props, message: str
) -> None:
    _, failures = world.east.session.check(ref(token), {}, said)
    assert any(message in failure.reason for failure in failures)


def web_acl(metric: str) -> Props:
    shown = {"metricName": metric, "cloudwatchMetricsEnabled": True, "sampledRequestsEnabled": True}
    return {"scope": "REGIONAL", "defaultAction": {"allow": {}}, "rules": [], "visibilityConfig": shown}


def test_a_web_acl_is_changed_and_deleted_though_somebody_else_changed_it_since(world: World) -> None:
    place, about = world.east, ref(WEB_ACL.token, "contested")
    id, inputs, outputs = make(place, about, web_acl("one"))

    def meddle() -> None:
        known: dict[str, Any] = {"Name": inputs["name"], "Scope": "REGIONAL", "Id": id}
        found = place.call("wafv2", "GetWebACL", **known)
        acl = {name: found["WebACL"][name] for name in ("DefaultAction", "VisibilityConfig")}
        place.call("wafv2", "UpdateWebACL", **known, LockToken=found["LockToken"], Rules=[], **acl)

    meddle()
    new = checked(place, about, {**web_acl("two")}, inputs)
    changed = place.session.update(about, id, inputs, outputs, new, False)
    assert changed["lockToken"] != outputs["lockToken"]
    meddle()
    place.session.delete(about, id, new, changed)
    assert place.session.read(about, id, new, changed) is None


def test_a_registry_begins_again_when_its_scanning_is_given_up(world: World) -> None:
    place, about = world.west, ref(SCANNING.token, "scanning")
    rules = [
        {"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "docsearch", "filterType": "WILDCARD"}]}
    ]
    id, inputs, outputs = make(place, about, {"scanType": "ENHANCED", "rules": rules})
    assert id == ACCOUNT
    place.session.delete(about, id, inputs, outputs)
    left = place.call("ecr", "GetRegistryScanningConfiguration")["scanningConfiguration"]
    assert left == {"scanType": "BASIC", "rules": []}
