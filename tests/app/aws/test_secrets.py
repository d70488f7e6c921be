"""Secrets by ARN: from moto's Secrets Manager, which checks signatures and rights; no error shows a value."""

import json
from functools import partial
from typing import Any

import httpx
import pytest
from botocore.credentials import Credentials

from app.aws.identity import Identity, identity
from app.aws.secrets import DOUBT_SECONDS, KEPT_SECONDS, RotatedLogin, parse_login, read, read_previous
from app.errors import ApiError, SettingsError, UnavailableError
from app.resilience.deadline import retrying
from tests.app.aws.cloud import REGION, checking, client

pytestmark = pytest.mark.anyio

VALUE = "hunter2" * 9
NOWHERE = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:cursor-key-AbCdEf"


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        del seconds

    monkeypatch.setattr("app.aws.secrets.retrying", partial(retrying, sleep=at_once))


def made(url: str, **value: Any) -> str:
    return str(client("secretsmanager", url).create_secret(Name="cursor-key", **value)["ARN"])


@pytest.mark.services
async def test_a_secret_is_read_by_its_arn_and_a_new_version_at_the_next_time(aws: str) -> None:
    arn = made(aws, SecretString=VALUE)
    assert await read("CURSOR_KEY_ARN", arn) == VALUE
    client("secretsmanager", aws).put_secret_value(SecretId=arn, SecretString="another")
    assert await read("CURSOR_KEY_ARN", arn) == "another"


@pytest.mark.services
async def test_what_a_secret_was_before_is_read_if_it_was_anything(aws: str) -> None:
    arn = made(aws, SecretString=VALUE)
    assert await read_previous("CURSOR_KEY_ARN", arn) is None
    client("secretsmanager", aws).put_secret_value(SecretId=arn, SecretString="another")
    assert (await read("CURSOR_KEY_ARN", arn), await read_previous("CURSOR_KEY_ARN", arn)) == ("another", VALUE)
    client("secretsmanager", aws).put_secret_value(SecretId=arn, SecretString="a third")
    assert await read_previous("CURSOR_KEY_ARN", arn) == "another"
    with pytest.raises(SettingsError, match="it is no ARN"):
        await read_previous("CURSOR_KEY_ARN", "cursor-key")


@pytest.mark.services
async def test_a_signature_opens_what_its_role_may_and_a_forged_one_nothing(aws: str) -> None:
    arn = made(aws, SecretString=VALUE)
    iam = client("iam", aws)
    iam.create_user(UserName="pod")
    made_ = iam.create_access_key(UserName="pod")["AccessKey"]
    keys = Credentials(made_["AccessKeyId"], made_["SecretAccessKey"])

    async def ask(who: Credentials) -> str:
        async with httpx.AsyncClient() as http:
            # From now on moto checks who asks, and what for.
            await http.post(f"{aws}/moto-api/reset-auth", content="0")
        return await read("CURSOR_KEY_ARN", arn, who=Identity(REGION, find=lambda: who))

    with pytest.raises(SettingsError, match=r"CURSOR_KEY_ARN.* cannot be read: this process may not read it"):
        await ask(keys)
    async with httpx.AsyncClient() as http:
        await http.post(f"{aws}/moto-api/reset-auth", content="1000000000")
    # Which secret is asked for moto does not look at.
    right = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [right]})
    iam.put_user_policy(UserName="pod", PolicyName="read", PolicyDocument=policy)
    assert await ask(keys) == VALUE
    with pytest.raises(SettingsError, match="cannot be read") as refused:
        await ask(Credentials(keys.access_key, "forged"))
    assert VALUE not in str(refused.value)


@pytest.mark.services
async def test_the_login_that_rds_keeps_of_its_master_user_is_read(aws: str) -> None:
    login = '{"username": "docsearch_admin", "password": "p"}'
    its = client("secretsmanager", aws).create_secret(Name="rds!db-0badcafe", SecretString=login)
    assert "secret:rds!db-" in its["ARN"]
    assert await read("DATABASE_PASSWORD_ARN", its["ARN"]) == login


@pytest.mark.services
async def test_a_role_that_is_taken_has_credentials_of_its_own_unless_it_is_refused(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = client("iam", aws)
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="master", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    taken, own = await identity(REGION, role).credentials(), await identity(REGION).credentials()
    assert taken.token
    assert taken.access_key != own.access_key == "testing"
    assert await identity(REGION, role).credentials() is taken
    iam.create_user(UserName="pod")
    keys = iam.create_access_key(UserName="pod")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    identity.cache_clear()
    told = r"another role cannot be taken: AccessDenied\. .*sts:AssumeRole"
    with checking(aws), pytest.raises(SettingsError, match=told):
        await identity(REGION, role).credentials()


@pytest.mark.services
async def test_what_cannot_be_read_is_named_with_its_reason(aws: str) -> None:
    with pytest.raises(SettingsError, match=f"CURSOR_KEY_ARN, {NOWHERE}, cannot be read: there is none") as missing:
        await read("CURSOR_KEY_ARN", NOWHERE)
    assert missing.value.exit_code == 2
    arn = made(aws, SecretBinary=VALUE.encode())
    with pytest.raises(SettingsError, match="has no text") as binary:
        await read("CURSOR_KEY_ARN", arn)
    assert VALUE not in str(binary.value)
    client("secretsmanager", aws).delete_secret(SecretId=arn, RecoveryWindowInDays=7)
    with pytest.raises(SettingsError, match="it was deleted"):
        await read("CURSOR_KEY_ARN", arn)


@pytest.mark.services
async def test_a_manager_that_is_away_is_no_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    who = Identity(REGION, find=lambda: Credentials("a", "b"))
    with pytest.raises(UnavailableError, match="Secrets Manager does not answer: ConnectError"):
        await read("CURSOR_KEY_ARN", NOWHERE, who=who)


@pytest.mark.parametrize(
    ("status", "body", "error", "why"),
    [
        (400, {"__type": "AccessDeniedException", "Message": VALUE}, SettingsError, "may not read it"),
        (400, {"__type": "com.amazon#DecryptionFailure"}, SettingsError, "its key cannot be used"),
        (400, {"__type": "SomethingNew"}, SettingsError, "AWS says SomethingNew"),
        (400, {"__type": "ThrottlingException"}, UnavailableError, "ThrottlingException"),
        (500, [VALUE], UnavailableError, "500"),
        (418, None, SettingsError, "AWS says 418"),
        (200, {"SecretString": None}, SettingsError, "has no text"),
    ],
)
async def test_whatever_aws_answers_is_told_and_never_a_value(
    status: int, body: Any, error: type[ApiError], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(*_: Any) -> httpx.Response:
        return httpx.Response(status, json=body)

    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    with pytest.raises(error, match=why) as told:
        await read("CURSOR_KEY_ARN", NOWHERE, who=Identity(REGION, find=lambda: Credentials("a", "b")))
    assert VALUE not in str(told.value)


@pytest.mark.parametrize("arn", ["cursor-key", "arn:aws:s3:::bucket", f"{NOWHERE}\nx", NOWHERE.replace("12", "1", 1)])
async def test_what_is_no_arn_is_refused_before_anybody_is_asked(arn: str) -> None:
    with pytest.raises(SettingsError, match=r"CURSOR_KEY_ARN is .*no ARN of a secret"):
        await read("CURSOR_KEY_ARN", arn)


def test_a_login_is_what_rds_writes_or_a_password_alone() -> None:
    its = parse_login("A_ARN", '{"username": "docsearch_admin", "password": "p", "port": 5432}')
    assert (its.user, its.password) == ("docsearch_admin", "p")
    assert (parse_login("A_ARN", "p").user, parse_login("A_ARN", "p").password) == ("", "p")
    assert "p'" not in repr(parse_login("A_ARN", "p"))


@pytest.mark.parametrize(
    "text",
    [
        '{"username": "a", "password": hunter2}',
        '{"username": "a", "password": "hunter2"',
        '{"username": "hunter2"}',
        '{"username": "a", "password": ["hunter2"]}',
        '{"username": "hunter2", "password": ""}',
        "  ",
        "",
    ],
)
def test_a_login_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(SettingsError, match="secret of A_ARN") as refused:
        parse_login("A_ARN", text)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__context__ is None or refused.value.__suppress_context__


class Manager:
    """A secret that somebody changes."""

    def __init__(self) -> None:
        self.asked, self.now, self.answer = 0, 1000.0, json.dumps({"username": "u", "password": "first"})
        self.error: ApiError | None = None
        self.login = RotatedLogin("A_ARN", NOWHERE, reader=self, clock=lambda: self.now)

    async def __call__(self, variable: str, arn: str) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return self.answer

    async def password(self) -> str:
        return (await self.login.get()).password


async def test_a_login_is_read_again_when_it_is_old() -> None:
    manager = Manager()
    assert [await manager.password() for _ in range(3)] == ["first"] * 3
    manager.now += KEPT_SECONDS
    manager.answer = "second"
    assert await manager.password() == "second"
    assert manager.asked == 2


async def test_a_login_that_is_refused_is_read_again_at_once_but_not_by_everybody() -> None:
    manager = Manager()
    await manager.password()
    manager.now += 60
    manager.answer = "second"
    manager.login.refused()
    assert await manager.password() == "second"
    for _ in range(20):
        manager.login.refused()
        await manager.password()
    assert manager.asked == 2
    manager.now += DOUBT_SECONDS
    await manager.password()
    assert manager.asked == 3


@pytest.mark.parametrize("answer", ["{", ""])
async def test_what_is_known_outlives_a_manager_that_is_away_or_wrong(answer: str) -> None:
    manager = Manager()
    await manager.password()
    manager.now += KEPT_SECONDS
    manager.error, manager.answer = (None, answer) if answer else (UnavailableError("away"), answer)
    assert await manager.password() == "first"
    fresh = Manager()
    fresh.error, fresh.answer = manager.error, manager.answer
    with pytest.raises(ApiError):
        await fresh.password()
