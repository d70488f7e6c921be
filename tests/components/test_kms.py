"""Customer keys: who may use which, and that no region can lose them."""

import json
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.kms import DATA_CLASSES, CustomerKey, DataClass, Kms, KmsArgs, check_follows, plan_key_policy

ACCOUNT = "012345678901"
KEY, REPLICA, ALIAS = "aws:kms/key:Key", "aws:kms/replicaKey:ReplicaKey", "aws:kms/alias:Alias"
PRIMARY_ARNS = {name: f"arn:aws:kms:us-east-1:{ACCOUNT}:key/mrk-{name}" for name in DATA_CLASSES}


def primary(**changes: Any) -> KmsArgs:
    return KmsArgs(**({"account_id": ACCOUNT, "region": "us-east-1", "role": "primary"} | changes))


def standby(**changes: Any) -> KmsArgs:
    given_ = {"account_id": ACCOUNT, "region": "us-west-2", "role": "standby", "replica_of": PRIMARY_ARNS}
    return KmsArgs(**(given_ | changes))


def statements(data_class: DataClass) -> dict[str, dict[str, Any]]:
    policy = plan_key_policy(data_class, account_id=ACCOUNT, region="us-east-1")
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_primary_creates_one_rotating_multi_region_key_per_class(recorded: Any) -> None:
    run = recorded(lambda: Kms("keys", primary()))
    assert [key.name for key in run.of(KEY)] == sorted(f"keys-{name}" for name in DATA_CLASSES)
    for key in run.of(KEY):
        assert key.inputs["multiRegion"] is True
        assert key.inputs["enableKeyRotation"] is True
        assert key.inputs["deletionWindowInDays"] == 30
    assert run.of(REPLICA) == []


def test_standby_replicates_every_key_under_a_policy_of_its_own_region(recorded: Any) -> None:
    run = recorded(lambda: Kms("keys", standby()))
    assert run.of(KEY) == []
    for name in DATA_CLASSES:
        replica = run.one(REPLICA, f"keys-{name}")
        assert replica.inputs["primaryKeyArn"] == PRIMARY_ARNS[name]
        assert replica.inputs["deletionWindowInDays"] == 30
        assert json.loads(replica.inputs["policy"]) == plan_key_policy(name, account_id=ACCOUNT, region="us-west-2")


@pytest.mark.parametrize("args", [primary(), standby()], ids=["primary", "standby"])
def test_every_key_has_a_fixed_alias(recorded: Any, args: KmsArgs) -> None:
    run = recorded(lambda: Kms("keys", args), outputs={KEY: {"keyId": "mrk-1"}, REPLICA: {"keyId": "mrk-1"}})
    assert {alias.inputs["name"] for alias in run.of(ALIAS)} == {f"alias/docsearch/{name}" for name in DATA_CLASSES}
    for alias in run.of(ALIAS):
        assert alias.depends_on == {alias.name}
        assert alias.inputs["targetKeyId"] == "mrk-1"


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("make", [primary, standby])
def test_keys_are_protected_until_unlocked(recorded: Any, make: Any, locked: bool) -> None:
    run = recorded(lambda: Kms("keys", make(locked=locked)))
    keys = run.of(KEY) + run.of(REPLICA)
    assert [key.protect for key in keys] == [locked] * len(DATA_CLASSES)


def test_a_key_is_found_by_its_class_and_arns_are_what_a_standby_takes(recorded: Any) -> None:
    def program() -> dict[str, Any]:
        keys = Kms("keys", primary())
        assert isinstance(keys["logs"], CustomerKey)
        return {"one": keys["logs"].arn, "id": keys["logs"].id, "all": keys.arns}

    run = recorded(program, outputs={KEY: {"keyId": "mrk-1"}})
    assert run.result["one"] == "arn:aws:kms:::keys-logs"
    assert run.result["id"] == "mrk-1"
    assert run.result["all"] == {name: f"arn:aws:kms:::keys-{name}" for name in DATA_CLASSES}


def test_a_standby_accepts_outputs_of_another_stack(recorded: Any) -> None:
    arns = {name: pulumi.Output.from_input(arn) for name, arn in PRIMARY_ARNS.items()}
    run = recorded(lambda: Kms("keys", standby(replica_of=arns)))
    assert run.one(REPLICA, "keys-data").inputs["primaryKeyArn"] == PRIMARY_ARNS["data"]


@given(
    st.sampled_from(DATA_CLASSES), st.from_regex(r"\d{12}", fullmatch=True), st.sampled_from(["us-east-1", "eu-west-1"])
)
def test_the_account_can_always_manage_its_keys(data_class: DataClass, account: str, region: str) -> None:
    policy = plan_key_policy(data_class, account_id=account, region=region)
    assert {
        "Sid": "AccountAdministration",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    } in policy["Statement"]


@given(st.sampled_from(DATA_CLASSES))
def test_whoever_is_not_the_account_is_bound_by_a_condition_and_a_list_of_actions(data_class: DataClass) -> None:
    for sid, statement in statements(data_class).items():
        if sid == "AccountAdministration":
            continue
        assert ACCOUNT in json.dumps(statement["Condition"])
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        assert not {"kms:*", "*"} & set(actions)
        assert not [action for action in actions if action.startswith(("kms:Put", "kms:Schedule", "kms:Disable"))]


@pytest.mark.parametrize("data_class", ["secrets", "backup"])
def test_secrets_and_backups_are_opened_by_no_service_on_its_own(data_class: DataClass) -> None:
    assert list(statements(data_class)) == ["AccountAdministration"]


def test_log_groups_of_the_region_and_account_use_the_logs_key() -> None:
    statement = statements("logs")["LogGroupsOfThisAccount"]
    assert statement["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    assert statement["Condition"] == {
        "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:*"}
    }


def test_auto_scaling_opens_volumes_without_being_named_as_principal() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    use, grant = statements("data")["VolumesOfNodes"], statements("data")["GrantsForVolumesOfNodes"]
    for statement in (use, grant):
        assert statement["Principal"] == {"AWS": "*"}
        assert statement["Condition"]["ArnEquals"] == {"aws:PrincipalArn": role}
        assert statement["Condition"]["StringEquals"] == {"kms:CallerAccount": ACCOUNT}
    assert grant["Action"] == "kms:CreateGrant"
    assert grant["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert "Bool" not in use["Condition"]


def test_alarms_of_the_account_reach_encrypted_topics() -> None:
    statement = statements("messages")["AlarmsOfThisAccount"]
    assert statement["Principal"] == {
        "Service": ["backup.amazonaws.com", "cloudwatch.amazonaws.com", "events.rds.amazonaws.com"]
    }
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


@pytest.mark.parametrize("account", ["12345", "01234567890a", "0123456789012", ""])
def test_a_malformed_account_is_refused(account: str) -> None:
    with pytest.raises(ArgsError, match=f"account_id is {account!r}: an AWS account id is 12 digits"):
        primary(account_id=account)


def test_a_standby_without_all_keys_of_the_primary_is_refused() -> None:
    with pytest.raises(ArgsError, match=r"no key for messages, backup.*Bring the primary region up first"):
        standby(replica_of={name: PRIMARY_ARNS[name] for name in ("data", "logs", "secrets")})
    with pytest.raises(ArgsError, match="no key for data, logs, secrets, messages, backup"):
        standby(replica_of=None)


def test_a_primary_that_replicates_is_refused() -> None:
    with pytest.raises(ArgsError, match="replica_of is given to a primary region"):
        primary(replica_of=PRIMARY_ARNS)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ArgsError, match="role is 'tertiary'"):
        primary(role="tertiary")


@given(value=st.one_of(st.text(), st.integers(), st.lists(st.text())))
def test_a_standby_alone_is_given_what_its_primary_has(value: Any) -> None:
    # Also what is empty is given.
    check_follows("standby", "leader", value, leads="", follows="")
    check_follows("primary", "leader", None, leads="", follows="")
    with pytest.raises(ArgsError):
        check_follows("primary", "leader", value, leads="it follows nobody", follows="it would be empty")


def test_a_role_that_does_not_agree_with_what_it_is_given_is_told_why() -> None:
    because: Any = {"leads": "it follows nobody", "follows": "it would be empty"}
    with pytest.raises(ArgsError) as error:
        check_follows("primary", "leader", "index", **because)
    assert str(error.value) == (
        "leader is given to a primary region: it follows nobody. Set role to standby, or leave leader out."
    )
    with pytest.raises(ArgsError) as error:
        check_follows("standby", "leader", None, **because)
    assert str(error.value) == (
        "leader is not given to a standby region: it would be empty. Bring the primary region up first."
    )
