"""The application's secrets, as the engine receives them."""

from typing import Any

import pulumi
import pytest

from components.errors import ArgsError
from components.kms import CustomerKey
from components.secrets import APPLICATION_SECRETS, LENGTH, Secrets, SecretsArgs, SecretSpec

KEY = "arn:aws:kms:us-east-1:012345678901:key/mrk-secrets"
SECRET = "aws:secretsmanager/secret:Secret"
VERSION = "aws:secretsmanager/secretVersion:SecretVersion"
PASSWORD = "random:index/randomPassword:RandomPassword"
NAMES = [spec.name for spec in APPLICATION_SECRETS]
SHARED = {name: f"canary-{name}" for name in NAMES}


def args(**changes: Any) -> SecretsArgs:
    key = CustomerKey(arn=pulumi.Output.from_input(KEY), id=pulumi.Output.from_input("mrk-secrets"))
    given: dict[str, Any] = {"key": key, "role": "primary"}
    return SecretsArgs(**(given | changes))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(
        lambda: Secrets("secrets", args()).arns, outputs={PASSWORD: {"result": pulumi.Output.secret("canary")}}
    )


@pytest.fixture(scope="module")
def follower(recorded: Any) -> Any:
    return recorded(lambda: Secrets("secrets", args(role="standby", shared=pulumi.Output.secret(SHARED))))


def test_every_secret_has_the_customer_key_and_can_be_recovered_for_a_month(run: Any) -> None:
    assert [secret.name for secret in run.of(SECRET)] == sorted(f"secrets-{name}" for name in NAMES)
    for secret in run.of(SECRET):
        assert secret.inputs["kmsKeyId"] == KEY
        assert secret.inputs["recoveryWindowInDays"] == 30
        assert secret.inputs["description"]
        assert secret.protect
        assert "name" not in secret.inputs, "a fixed name stays reserved while a deleted secret can be recovered"


def test_the_primary_makes_values_that_need_no_escaping(run: Any) -> None:
    for name in NAMES:
        made = run.one(PASSWORD, f"secrets-{name}")
        assert made.inputs == {"length": LENGTH, "special": False, "keepers": {"generation": "1"}}
        version = run.one(VERSION, f"secrets-{name}")
        assert version.inputs["secretId"] == f"secrets-{name}-id"
        assert version.inputs["secretString"]["value"] == "canary"


def test_a_value_can_be_replaced_though_its_secret_cannot(run: Any) -> None:
    assert not any(resource.protect for resource in (*run.of(PASSWORD), *run.of(VERSION)))


def test_arns_are_handed_out_once_there_is_a_value(run: Any) -> None:
    assert run.result == {name: f"secrets-{name}-id" for name in NAMES}


def test_values_leave_as_one_secret_output(recorded: Any) -> None:
    seen: list[bool] = []

    def program() -> pulumi.Output[Any]:
        values = Secrets("secrets", args()).values
        secret: pulumi.Output[bool] = pulumi.Output.from_input(values.is_secret())
        secret.apply(seen.append)
        return values

    result = recorded(program, outputs={PASSWORD: {"result": "canary"}}).result
    assert result == dict.fromkeys(NAMES, "canary")
    assert seen == [True]


def test_a_standby_takes_the_values_of_its_peer_and_makes_none(follower: Any) -> None:
    assert follower.of(PASSWORD) == []
    for name in NAMES:
        # Only a secret arrives wrapped like this: anything else would be in the state in clear text.
        assert follower.one(VERSION, f"secrets-{name}").inputs["secretString"]["value"] == f"canary-{name}"


def test_a_new_generation_makes_a_new_value(recorded: Any) -> None:
    spec = SecretSpec(name="cursor-key", purpose="signs", generation=2)
    run = recorded(lambda: Secrets("secrets", args(specs=[spec])), outputs={PASSWORD: {"result": "canary"}})
    assert run.one(PASSWORD).inputs["keepers"] == {"generation": "2"}


def test_locks_are_released_on_purpose(recorded: Any) -> None:
    run = recorded(lambda: Secrets("secrets", args(locked=False)), outputs={PASSWORD: {"result": "canary"}})
    for secret in run.of(SECRET):
        assert not secret.protect
        assert secret.inputs["recoveryWindowInDays"] == 0


def test_a_peer_that_lacks_a_secret_is_named(recorded: Any) -> None:
    # The SDK says the same in its own words around ours: the value is known only while the program runs.
    with pytest.raises(
        ValueError, match="the peer region shares no secret 'api-key-pepper': it shares cursor-key"
    ) as error:
        recorded(lambda: Secrets("secrets", args(role="standby", shared={"cursor-key": "canary"})))
    assert "Bring the primary region up first, with this version of the program." in str(error.value)
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shared": SHARED},
            (
                "shared is given to a primary region: it makes the values that the others copy. "
                "Set role to standby, or leave shared out."
            ),
        ),
        (
            {"role": "standby"},
            (
                "shared is not given to a standby region: values of its own would not open what the primary signed. "
                "Bring the primary region up first."
            ),
        ),
        (
            {"specs": [*APPLICATION_SECRETS, APPLICATION_SECRETS[0]]},
            "secrets name cursor-key more than once: each is one secret.",
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        args(**changes)
    assert str(error.value) == message


def test_a_malformed_secret_is_refused_with_its_reason() -> None:
    with pytest.raises(ArgsError) as error:
        SecretSpec(name="Cursor_Key", purpose="signs")
    assert str(error.value) == (
        "a secret is called 'Cursor_Key': its name becomes part of resource names. "
        "Use lower-case words joined by hyphens, such as cursor-key."
    )
    with pytest.raises(ArgsError, match=r"^secret cursor-key is at generation 0: generations are counted from 1\.$"):
        SecretSpec(name="cursor-key", purpose="signs", generation=0)
