import json

import pytest
from hypothesis import given, settings

from policies import keys
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_keys import GOOD
from tests.policies.plans import RULES, broken, everything, judge, of

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == keys.__name__]


@pytest.mark.parametrize("rule", [rule for rule in MINE if rule != "sns-kms"])
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def topic(name: str) -> Resource:
    return next(one for one in of("prod", keys.TOPIC) if one.name == name)


def test_only_the_topic_of_the_cache_is_not_encrypted() -> None:
    assert {urn.rpartition("::")[2] for urn, _found in everything("sns-kms")} == {"cache-events"}


def test_keys_rotate_and_can_be_had_back() -> None:
    key = of("prod", keys.KEY)[0]
    assert judge("kms-rotation", broken(key, "enableKeyRotation", ...)) == [
        Finding("enableKeyRotation", "is absent, must be true")
    ]
    assert len(judge("kms-rotation", broken(key, "rotationPeriodInDays", 400))) == 1
    assert judge("kms-window", key, days=30) == []
    assert judge("kms-window", broken(key, "deletionWindowInDays", 29), days=30) == [
        Finding("deletionWindowInDays", "is 29, must be at least 30, or absent")
    ]


def test_a_key_that_is_off_or_cannot_be_administered_is_found() -> None:
    key, replica = of("prod", keys.KEY)[0], of("dr", keys.REPLICA_KEY)[0]
    assert [one.path for one in judge("kms-enabled", broken(key, "isEnabled", False))] == ["isEnabled"]
    assert [one.path for one in judge("kms-enabled", broken(replica, "enabled", False))] == ["enabled"]
    assert len(judge("kms-enabled", broken(key, "bypassPolicyLockoutSafetyCheck", True))) == 1


def allow(**members: object) -> str:
    root = {"Effect": "Allow", "Action": "kms:*", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}
    return json.dumps({"Statement": [root, {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", **members}]})


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ({"Principal": "*"}, "lets everybody in, and no condition names our account"),
        ({"Principal": {"AWS": "999999999999"}}, "lets in account 999999999999, which is not ours"),
        ({"Principal": {"AWS": [[]]}}, "names nobody"),
        ({"NotPrincipal": {"AWS": "1"}}, "lets in everybody who is not named"),
        ({"Principal": {"Federated": "accounts.google.com"}}, "lets in a Federated principal of no account"),
        (
            {"Principal": {"Service": "logs.amazonaws.com"}},
            "lets logs.amazonaws.com in on behalf of any account: add a condition on aws:SourceAccount",
        ),
    ],
)
def test_who_is_let_in_by_a_key_is_said(statement: dict[str, object], message: str) -> None:
    found = judge("kms-policy", broken(of("prod", keys.KEY)[0], "policy", allow(**statement)))
    assert [one.message for one in found] == [message]


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        {"ArnLike": {"AWS:SourceArn": "arn:aws:logs:us-east-1:123456789012:*"}},
        {"ForAnyValue:StringEquals": {"aws:PrincipalOrgID": ["o-abcdefghij"]}},
    ],
)
def test_a_condition_on_our_account_keeps_others_out(condition: object) -> None:
    policy = allow(Principal={"AWS": "*"}, Condition=condition)
    assert judge("kms-policy", broken(of("prod", keys.KEY)[0], "policy", policy)) == []


@pytest.mark.parametrize(
    "condition",
    [
        UNKNOWN,
        {"StringEqualsIfExists": {"aws:SourceAccount": "123456789012"}},
        {"StringNotEquals": {"aws:SourceAccount": "123456789012"}},
        {"StringLike": {"aws:SourceAccount": "*"}},
        {"StringEquals": {"aws:SourceAccount": ["123456789012", "999999999999"]}},
        {"StringEquals": {"aws:SourceAccount": []}},
        {"Bool": {"aws:SecureTransport": "true"}},
        [],
    ],
)
def test_a_condition_that_others_meet_is_none(condition: object) -> None:
    statement = {"Effect": "Allow", "Action": "sns:Publish", "Principal": {"AWS": "*"}, "Condition": condition}
    mutant = broken(topic("alarms-page"), "policy", {"Statement": statement})
    assert [one.verified for one in judge("resource-policy-public", mutant)] == [condition is not UNKNOWN]


def test_an_unknown_statement_does_not_hide_an_open_one() -> None:
    opened = {"Effect": "Allow", "Action": "sns:Publish", "Principal": "*"}
    mutant = broken(topic("alarms-page"), "policy", {"Statement": [UNKNOWN, opened]})
    assert [(one.path, one.verified) for one in judge("resource-policy-public", mutant)] == [
        ("policy.Statement[0]", False),
        ("policy.Statement[1].Principal", True),
    ]


def test_secrets_can_be_had_back() -> None:
    secret = of("prod", keys.SECRET)[0]
    assert judge("secret-window", secret, days=30) == []
    assert [one.path for one in judge("secret-window", broken(secret, "recoveryWindowInDays", 0))] == [
        "recoveryWindowInDays"
    ]


@settings(max_examples=100)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
