"""A prefix of a bucket, from moto's S3, which checks signatures and rights: listed whole, and written once."""

import json
from functools import partial
from typing import Any

import httpx
import pytest
from botocore.credentials import Credentials

from app.aws.bucket import Bucket
from app.aws.identity import Identity
from app.errors import ApiError, SettingsError, UnavailableError
from app.resilience.deadline import retrying
from tests.app.aws.cloud import REGION, checking, client

pytestmark = pytest.mark.anyio

PLACE = "s3://kept-elsewhere/erasures/of_all"


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        del seconds

    monkeypatch.setattr("app.aws.bucket.retrying", partial(retrying, sleep=at_once))


def bucket(place: str = PLACE, who: Credentials | None = None) -> Bucket:
    its = Identity(REGION, find=lambda: who) if who else None
    return Bucket(place, variable="LEDGER", region=REGION, who=its)


def make(url: str) -> Any:
    s3 = client("s3", url)
    s3.create_bucket(Bucket="kept-elsewhere", CreateBucketConfiguration={"LocationConstraint": REGION})
    return s3


@pytest.mark.services
async def test_what_is_written_is_listed_page_by_page_and_read(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")
    s3, its = make(aws), bucket()
    s3.put_object(Bucket="kept-elsewhere", Key="erasures/of_all_others", Body=b"beside the prefix")
    assert await its.names() == []
    objects = {f"a/{number:02}.json": f"{number}".encode() for number in range(30)}
    assert await its.write_once(objects) == []
    assert await its.names() == [*objects]
    assert await its.read([*objects]) == [*objects.values()]
    assert await its.read([]) == []


@pytest.mark.services
async def test_nothing_is_written_over(aws: str) -> None:
    make(aws)
    its = bucket()
    assert await its.write_once({"a": b"first", "b": b"first"}) == []
    assert await its.write_once({"a": b"second", "c": b"second"}) == ["a"]
    assert await its.read(["a", "b", "c"]) == [b"first", b"first", b"second"]


@pytest.mark.services
async def test_a_role_does_there_what_its_rights_say(aws: str) -> None:
    make(aws)
    iam = client("iam", aws)
    iam.create_user(UserName="pod")
    key = iam.create_access_key(UserName="pod")["AccessKey"]
    pod = Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def may(*actions: str) -> None:
        right = {"Effect": "Allow", "Action": [*actions], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [right]})
        iam.put_user_policy(UserName="pod", PolicyName="ledger", PolicyDocument=policy)

    may("s3:ListBucket")
    with checking(aws):
        assert await bucket(who=pod).names() == []
        with pytest.raises(
            SettingsError, match=r"erasures/of_all/a cannot be written: this process may not do it\. Give"
        ):
            await bucket(who=pod).write_once({"a": b"a"})
        with pytest.raises(SettingsError, match="s3://kept-elsewhere/erasures/of_all/ cannot be listed"):
            await bucket(who=Credentials(pod.access_key, "forged")).names()
    may("s3:PutObject")
    with checking(aws):
        assert await bucket(who=pod).write_once({"a": b"a"}) == []
        with pytest.raises(SettingsError, match="cannot be listed: this process may not do it"):
            await bucket(who=pod).names()
        with pytest.raises(SettingsError, match="cannot be read: this process may not do it"):
            await bucket(who=pod).read(["a"])


@pytest.mark.services
async def test_a_bucket_or_an_object_that_is_not_there_is_named(aws: str) -> None:
    with pytest.raises(
        SettingsError, match="s3://kept-elsewhere/erasures/of_all/ cannot be listed: there is no such b"
    ):
        await bucket().names()
    with pytest.raises(SettingsError, match="erasures/of_all/a cannot be written: there is no such bucket"):
        await bucket().write_once({"a": b"a"})
    make(aws)
    with pytest.raises(SettingsError, match="erasures/of_all/b cannot be read: there is no such object"):
        await bucket().read(["b"])


@pytest.mark.services
async def test_s3_that_is_away_is_no_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match="S3 does not answer: ConnectError"):
        await bucket(who=Credentials("a", "b")).names()


@pytest.mark.parametrize(
    "place",
    [
        *("s3://", "s3:/kept/erasures", "s3://kept", "s3://kept/", "s3:///erasures", "S3://kept/erasures"),
        *("https://kept/erasures", "s3://Kept/erasures", "s3://ke/erasures", "s3://kept/a b", "s3://kept/a?b"),
        *("s3://kept//erasures", "s3://kept/erasures\n", "s3://kept/\0", "s3://arn:aws:s3:::kept/erasures"),
    ],
)
def test_what_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(SettingsError, match=r"LEDGER is .* is no place in S3\. Write it s3://BUCKET/PREFIX\."):
        bucket(place)


def test_a_place_may_end_in_a_slash_and_needs_a_region() -> None:
    assert str(bucket("s3://kept/erasures/")) == str(bucket("s3://kept/erasures")) == "s3://kept/erasures/"
    with pytest.raises(SettingsError, match="AWS_REGION is not set"):
        Bucket(PLACE, variable="LEDGER")


def error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message></Error>'.encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "why"),
    [
        (403, error("AccessDenied"), SettingsError, "this process may not do it"),
        (403, b"", SettingsError, "this process may not do it"),
        (301, error("PermanentRedirect"), SettingsError, "the bucket is in another region. AWS_REGION"),
        (400, error("AuthorizationHeaderMalformed"), SettingsError, "the bucket is in another region"),
        (400, error("SomethingNew"), SettingsError, "S3 says SomethingNew"),
        (412, error("PreconditionFailed"), SettingsError, "S3 says PreconditionFailed"),
        (418, b"<teapot", SettingsError, "S3 says 418"),
        (409, error("ConditionalRequestConflict"), UnavailableError, "ConditionalRequestConflict"),
        (503, error("SlowDown"), UnavailableError, "SlowDown"),
        (500, b"", UnavailableError, "500"),
        (200, b"<List", UnavailableError, "its list is no XML"),
    ],
)
async def test_whatever_s3_answers_is_told(
    status: int, body: bytes, kind: type[ApiError], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, content=body)

    its = bucket(who=Credentials("a", "b"))
    monkeypatch.setattr(its, "_open", lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    with pytest.raises(kind, match=why):
        await its.names()
    assert len(asked) == (3 if status >= 500 or status == 409 else 1)
    assert asked[0].url.host == "kept-elsewhere.s3.us-west-2.amazonaws.com"
    assert asked[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=a/")


async def test_a_name_with_dots_is_no_name_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append((request.url.host, request.url.path))
        return httpx.Response(200)

    its = bucket("s3://kept.else.where/erasures", who=Credentials("a", "b"))
    monkeypatch.setattr(its, "_open", lambda: httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    assert await its.read(["a"]) == [b""]
    assert hosts == [("s3.us-west-2.amazonaws.com", "/kept.else.where/erasures/a")]
