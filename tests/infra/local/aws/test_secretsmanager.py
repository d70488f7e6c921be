"""Secrets: the window in which a deleted one can be had back, copies in other regions, and their values."""

import pytest

from infra.local.aws import secretsmanager
from infra.local.aws.cloud import AwsError
from infra.local.resource import UNKNOWN, Props
from tests.infra.local.aws.world import World, checked, document, make, ref, refusals

SECRET = ref("aws:secretsmanager/secret:Secret", "pepper")
VERSION = ref("aws:secretsmanager/secretVersion:SecretVersion", "pepper")


@pytest.mark.engine
def test_deleted_secret_keeps_its_name_for_the_window(world: World) -> None:
    session, said = world.east.session, {"name": "kept", "recoveryWindowInDays": 7}
    id, inputs, outputs = make(world.east, SECRET, said)
    session.delete(SECRET, id, inputs, outputs)
    assert session.read(SECRET, id, inputs, outputs) is None
    with pytest.raises(AwsError, match="ResourceExistsException"):
        session.create(SECRET, inputs, False)
    assert world.east.call("secretsmanager", "RestoreSecret", SecretId=id)["Name"] == "kept"


@pytest.mark.engine
def test_secret_without_a_window_is_gone_at_once(world: World) -> None:
    session, said = world.east.session, {"name": "gone", "recoveryWindowInDays": 0}
    id, inputs, outputs = make(world.east, SECRET, said)
    session.delete(SECRET, id, inputs, outputs)
    session.create(SECRET, inputs, False)


@pytest.mark.engine
def test_copies_come_and_go_and_do_not_hold_up_a_delete(world: World) -> None:
    session = world.east.session
    id, inputs, outputs = make(world.east, SECRET, {"name": "copied", "replicas": [{"region": "us-west-2"}]})
    listed = world.west.call("secretsmanager", "ListSecrets")["SecretList"]
    assert [secret["Name"] for secret in listed] == ["copied"]
    new = checked(world.east, SECRET, {"name": "copied", "replicas": [{"region": "eu-west-1"}]}, inputs)
    outputs = session.update(SECRET, id, inputs, outputs, new, False)
    assert world.west.call("secretsmanager", "ListSecrets")["SecretList"] == []
    session.delete(SECRET, id, new, outputs)
    assert session.read(SECRET, id, new, outputs) is None


@pytest.mark.engine
def test_policy_that_a_program_drops_is_taken_away(world: World) -> None:
    session = world.east.session
    said = {"name": "guarded", "policy": document("*", "Deny", Principal="*", Resource="*")}
    id, inputs, outputs = make(world.east, SECRET, said)
    new = {**checked(world.east, SECRET, {"name": "guarded"}, inputs), "policy": ""}
    session.update(SECRET, id, inputs, outputs, new, False)
    assert "ResourcePolicy" not in world.east.call("secretsmanager", "GetResourcePolicy", SecretId=id)


@pytest.mark.engine
def test_new_value_replaces_and_the_old_one_stays_readable(world: World) -> None:
    session, secret = world.east.session, world.east.secret
    id, inputs, outputs = make(world.east, VERSION, {"secretId": secret, "secretString": "one"})
    new = checked(world.east, VERSION, {"secretId": secret, "secretString": "two"}, inputs)
    diff = session.diff(VERSION, id, inputs, outputs, new)
    assert diff.replaces
    assert not diff.delete_before_replace
    session.create(VERSION, new, False)
    session.delete(VERSION, id, inputs, outputs)
    current = world.east.call("secretsmanager", "GetSecretValue", SecretId=secret)
    assert current["SecretString"] == "two"


@pytest.mark.engine
def test_value_that_is_only_written_never_comes_back(world: World) -> None:
    said = {"secretId": world.east.secret, "secretStringWo": "hidden", "secretStringWoVersion": 1}
    id, _, outputs = make(world.east, VERSION, said)
    assert outputs["hasSecretStringWo"] is True
    imported = world.east.session.read(VERSION, id, {}, {})
    assert imported is not None
    assert "secretStringWo" not in imported.inputs


@pytest.mark.parametrize("days", [1, 6, 31, -7])
def test_window_that_is_refused(days: int) -> None:
    assert "between 7 and 30 days" in refusals(secretsmanager.SECRET, {"recoveryWindowInDays": days})[0]


@pytest.mark.parametrize("said", [{"recoveryWindowInDays": 0}, {"name": "a/b_c+d=e.f@g-h"}, {"name": UNKNOWN}])
def test_secret_that_is_taken(said: Props) -> None:
    assert refusals(secretsmanager.SECRET, said) == []


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 513])
def test_name_that_is_refused(name: str) -> None:
    assert "Invalid name" in refusals(secretsmanager.SECRET, {"name": name})[0]
