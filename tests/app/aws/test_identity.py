"""What is signed for AWS: the same as what botocore's own clients sign, with credentials that are never stale."""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import botocore.auth
import botocore.session
import pytest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError
from hypothesis import given, settings
from hypothesis import strategies as st

from app.aws import identity as identity_
from app.aws.identity import FROZEN_SECONDS, Identity, identity
from app.errors import SettingsError, UnavailableError

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 28, 5, 30, tzinfo=UTC)
KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "session/token+of=many==")


@pytest.fixture(autouse=True)
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: NOW.replace(tzinfo=None))
    identity.cache_clear()
    yield
    identity.cache_clear()


def somebody(region: str = "us-east-1", **more: Any) -> Identity:
    return Identity(region, find=lambda: Credentials(*KEYS), **more)


async def test_a_token_of_rds_is_the_one_that_botocore_makes() -> None:
    session = botocore.session.Session()
    session.set_credentials(*KEYS)
    rds: Any = session.create_client("rds", region_name="us-west-2")
    host = "database-0badcafe.abc123.us-west-2.rds.amazonaws.com"
    theirs = rds.generate_db_auth_token(DBHostname=host, Port=5432, DBUsername="docsearch_search")
    assert await somebody("us-west-2").database_token(host, 5432, "docsearch_search") == theirs


async def test_a_token_of_elasticache_is_a_link_that_aws_signs_to_the_same() -> None:
    token = await somebody().cache_token("docsearch-0badcafe", "docsearch-app-0badcafe")
    parts = urlsplit(f"https://{token}")
    query = dict(parse_qsl(parts.query))
    assert (parts.hostname, parts.path) == ("docsearch-0badcafe", "/")
    assert {name: query[name] for name in ("Action", "User", "X-Amz-Expires", "X-Amz-Security-Token")} == {
        "Action": "connect",
        "User": "docsearch-app-0badcafe",
        "X-Amz-Expires": "900",
        "X-Amz-Security-Token": KEYS[2],
    }
    assert query["X-Amz-Credential"] == f"{KEYS[0]}/20261128/us-east-1/elasticache/aws4_request"
    assert query["X-Amz-Signature"] == signature(parts.netloc, parts.query, "elasticache", "us-east-1")


def signature(host: str, query: str, service: str, region: str) -> str:
    """As AWS works it out (IAM user guide, "Create a signed AWS API request"), without botocore."""
    signed = "&".join(sorted(one for one in query.split("&") if not one.startswith("X-Amz-Signature=")))
    canonical = f"GET\n/\n{signed}\nhost:{host}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    scope = f"20261128/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{KEYS[1]}".encode()
    for part in ("20261128", region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, f"AWS4-HMAC-SHA256\n20261128T053000Z\n{scope}\n{digest}".encode(), "sha256").hex()


@settings(max_examples=30)
@given(user=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40))
async def test_whatever_a_user_is_called_the_token_is_its_own(user: str) -> None:
    token = await somebody().cache_token("cache", user)
    query = urlsplit(f"https://{token}").query
    assert dict(parse_qsl(query))["User"] == user
    assert signature("cache", query, "elasticache", "us-east-1") in token


async def test_credentials_are_asked_for_again_after_a_minute_and_not_before() -> None:
    class Source:
        asked = 0

        def get_frozen_credentials(self) -> ReadOnlyCredentials:
            self.asked += 1
            return ReadOnlyCredentials(f"key {self.asked}", "secret", "token")

    source, now = Source(), [0.0]
    its = Identity("us-east-1", find=lambda: source, clock=lambda: now[0])
    assert (await its.credentials()).access_key == "key 1"
    now[0] = FROZEN_SECONDS - 1
    assert (await its.credentials()).access_key == its.get_frozen_credentials().access_key == "key 1"
    now[0] = FROZEN_SECONDS
    assert (await its.credentials()).access_key == its.get_frozen_credentials().access_key == "key 2"


async def test_without_credentials_it_is_said_how_to_get_some() -> None:
    with pytest.raises(SettingsError, match="Pod Identity"):
        await Identity("us-east-1", find=lambda: None).credentials()


async def test_an_agent_that_does_not_answer_is_no_wrong_setting() -> None:
    class Away:
        def get_frozen_credentials(self) -> ReadOnlyCredentials:
            raise CredentialRetrievalError(provider="container-role", error_msg="http://169.254.170.23 said hunter2")

    with pytest.raises(UnavailableError, match="CredentialRetrievalError") as away:
        await Identity("us-east-1", find=Away).credentials()
    assert "hunter2" not in str(away.value)


async def test_a_pod_gets_its_credentials_from_the_agent_of_its_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "eks-pod-identity-token"
    token.write_text("of the pod")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    asked: list[tuple[str, dict[str, str]]] = []

    def agent(fetcher: Any, url: str, headers: dict[str, str]) -> dict[str, str]:
        asked.append((url, headers))
        return {
            "AccessKeyId": "ASIA1",
            "SecretAccessKey": "s",
            "Token": "t",
            "Expiration": "2999-01-01T00:00:00Z",
        }

    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher._retrieve_credentials", agent)
    found = await Identity("us-east-1").credentials()
    assert (found.access_key, found.token) == ("ASIA1", "t")
    ((url, headers),) = asked
    assert url == "http://169.254.170.23/v1/credentials"
    assert headers["Authorization"] == "of the pod"


def test_a_process_has_one_identity_for_each_region_and_none_without() -> None:
    assert identity("us-east-1") is identity("us-east-1")
    assert identity("us-west-2").region == "us-west-2"
    with pytest.raises(SettingsError, match="AWS_REGION is not set"):
        identity("")
    assert identity_.TOKEN_SECONDS == 900
