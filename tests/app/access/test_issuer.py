"""A provider's keys: rotated without a restart, asked for rarely, used for a while when it is away."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.access.issuer import MAX_BYTES, Fetch, Issuer, KeySet, open_issuer
from app.errors import SettingsError, UnauthenticatedError, UnavailableError
from app.settings import load
from tests.app.access.provider import EC, ISSUER, RSA, SETTINGS, Provider, jwk, public

pytestmark = pytest.mark.anyio

REFRESH, INTERVAL, MAX_AGE = 300.0, 30.0, 3600.0


class Known:
    """A provider, what knows its keys, and the time."""

    def __init__(self) -> None:
        self.provider, self.now = Provider(keys={"old": RSA}), 0.0
        self.issuer = Issuer(
            self._fetch,
            refresh_seconds=REFRESH,
            interval_seconds=INTERVAL,
            max_age_seconds=MAX_AGE,
            clock=lambda: self.now,
        )

    async def _fetch(self) -> KeySet:
        await asyncio.sleep(0)
        if self.provider.down:
            self.provider.asked += 1
            raise UnavailableError("away")
        return await self.provider.fetch()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_keys_are_asked_for_once_by_all_who_come_first() -> None:
    known = Known()
    found = await asyncio.gather(*(known.issuer.key("old", "RS256") for _ in range(20)))
    assert found == [public(RSA)] * 20
    assert known.provider.asked == 1


async def test_a_key_that_is_new_is_found_and_one_that_is_gone_opens_nothing() -> None:
    known = Known()
    await known.issuer.key("old", "RS256")
    known.provider.keys = {"new": EC}
    known.now += INTERVAL
    assert await known.issuer.key("new", "ES256") == public(EC)
    with pytest.raises(UnauthenticatedError, match="no key of its kid"):
        await known.issuer.key("old", "RS256")


async def test_kids_that_are_made_up_ask_at_most_once_in_an_interval() -> None:
    known = Known()
    await known.issuer.key("old", "RS256")
    for second in range(int(INTERVAL * 3) + 1):
        known.now = float(second)
        for number in range(10):
            with pytest.raises(UnauthenticatedError):
                await known.issuer.key(f"made up {number}", "RS256")
    assert known.provider.asked == 4


async def test_keys_of_some_age_are_used_and_fetched_again_beside() -> None:
    known = Known()
    await known.issuer.key("old", "RS256")
    known.now += REFRESH
    assert await known.issuer.key("old", "RS256") == public(RSA)
    await known.settle()
    assert known.provider.asked == 2


async def test_while_the_provider_is_away_its_keys_are_used_for_a_bounded_time() -> None:
    known = Known()
    await known.issuer.key("old", "RS256")
    known.provider.down = True
    known.now = MAX_AGE - 1
    assert await known.issuer.key("old", "RS256") == public(RSA)
    with pytest.raises(UnauthenticatedError):
        await known.issuer.key("made up", "RS256")
    known.now = MAX_AGE
    with pytest.raises(UnavailableError) as away:
        await known.issuer.key("old", "RS256")
    assert away.value.retry_after == INTERVAL
    known.provider.down = False
    known.now += INTERVAL
    assert await known.issuer.key("old", "RS256") == public(RSA)


async def test_a_provider_that_is_away_from_the_start_is_asked_rarely_and_nobody_waits_for_it() -> None:
    known = Known()
    known.provider.down = True
    for _ in range(50):
        with pytest.raises(UnavailableError, match="not known"):
            await known.issuer.key("old", "RS256")
    assert known.provider.asked == 1


async def test_who_hangs_up_does_not_end_what_others_wait_for() -> None:
    known = Known()
    first = asyncio.ensure_future(known.issuer.key("old", "RS256"))
    second = asyncio.ensure_future(known.issuer.key("old", "RS256"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == public(RSA)
    await known.issuer.close()


def test_a_key_without_a_kid_is_found_if_it_is_the_only_one() -> None:
    alone = KeySet.read({"keys": [jwk(RSA), jwk(EC)]})
    assert alone.find(None, "RS256") == public(RSA)
    assert alone.find("x", "RS256") is None
    two = KeySet.read({"keys": [jwk(RSA, "a"), jwk(RSA, "b")]})
    assert two.find(None, "RS256") is None
    assert two.find("b", "RS256") == public(RSA)
    assert two.find("b", "ES256") is None


PRIVATE = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA))
SHARED = {"kty": "oct", "k": "c2VjcmV0", "kid": "a"}


@pytest.mark.parametrize(
    "unfit",
    [
        SHARED,
        {**SHARED, "alg": "HS256"},
        jwk(RSA, "a", use="enc"),
        jwk(RSA, "a", alg="HS256"),
        jwk(RSA, "a", alg="PS256"),
        jwk(RSA, "a", key_ops=["encrypt"]),
        jwk(rsa.generate_private_key(65537, 1024), "a"),
        jwk(ec.generate_private_key(ec.SECP384R1()), "a"),
        {**jwk(RSA, "a"), "n": "!"},
        {**jwk(RSA, "a"), "n": 3},
        {**jwk(EC, "a"), "x": ""},
        {"kty": "RSA", "kid": "a"},
        {**jwk(RSA), "kid": 3},
        PRIVATE,
        "a",
        None,
        [],
    ],
)
def test_what_is_no_key_to_check_with_is_left_out(unfit: Any) -> None:
    assert len(KeySet.read({"keys": [unfit, jwk(EC, "b")]}).keys) == 1
    with pytest.raises(ValueError, match="no key"):
        KeySet.read({"keys": [unfit]})


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": "x"}, {"keys": {}}, {"keys": []}])
def test_what_is_no_set_of_keys_replaces_none(document: Any) -> None:
    with pytest.raises(ValueError, match="no key"):
        KeySet.read(document)


def fetch_of(handle: Callable[[httpx.Request], httpx.Response], **more: Any) -> Fetch:
    return Fetch(load(**{**SETTINGS, **more}), httpx.MockTransport(handle))


async def test_keys_are_where_the_metadata_says_or_the_settings() -> None:
    provider, asked = Provider(), []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if "well-known" in request.url.path:
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": "https://keys.example/1"})
        return httpx.Response(200, json=provider.answer())

    assert (await fetch_of(handle)()).find("rsa", "RS256") == public(RSA)
    assert (await fetch_of(handle, oidc_keys_url="https://other.example/k")()).find("ec", "ES256") == public(EC)
    assert asked == [f"{ISSUER}/.well-known/openid-configuration", "https://keys.example/1", "https://other.example/k"]


async def never() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.sleep(60)


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 10_000


WRONG: dict[str, Callable[[], httpx.Response]] = {
    "500": lambda: httpx.Response(500, json={"keys": [jwk(RSA)]}),
    "a redirect": lambda: httpx.Response(302, headers={"location": "http://169.254.169.254/"}),
    "no JSON": lambda: httpx.Response(200, text="<html>"),
    "no object": lambda: httpx.Response(200, json=[jwk(RSA)]),
    "deep": lambda: httpx.Response(200, text="[" * 100_000),
    "too large": lambda: httpx.Response(200, text=" " * (MAX_BYTES + 1)),
    "without an end": lambda: httpx.Response(200, content=endless()),
    "too slow": lambda: httpx.Response(200, content=never()),
    "compressed": lambda: httpx.Response(
        200, content=gzip.compress(b" " * 50_000_000), headers={"content-encoding": "gzip"}
    ),
    "no keys": lambda: httpx.Response(200, json={"keys": []}),
    "bytes": lambda: httpx.Response(200, content=b"\xff\xfe"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_an_answer_without_keys_is_none_in_bounded_time_and_size(name: str) -> None:
    fetch = fetch_of(lambda _: WRONG[name](), oidc_keys_url="https://keys.example/", oidc_fetch_seconds=0.2)
    async with asyncio.timeout(10):
        with pytest.raises(UnavailableError, match="does not answer"):
            await fetch()
    await fetch.close()


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://else.example", "jwks_uri": "https://keys.example/"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": "http://keys.example/"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER, "jwks_uri": "https://[::"},
        {"issuer": ISSUER, "jwks_uri": 3},
    ],
)
async def test_metadata_leads_nowhere_else(metadata: Any) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "login.example"
        return httpx.Response(200, json=metadata)

    with pytest.raises(UnavailableError):
        await fetch_of(handle)()


@pytest.mark.parametrize(
    "url", ["http://login.example", "login.example", "ftp://x", "https://", "https://user@c.example"]
)
@pytest.mark.parametrize("name", ["oidc_issuer", "oidc_keys_url"])
def test_a_provider_is_asked_over_tls(name: str, url: str) -> None:
    with pytest.raises(SettingsError, match=name.upper()):
        fetch_of(lambda _: httpx.Response(500), **{name: url})


def test_a_provider_on_this_machine_may_do_without() -> None:
    fetch_of(lambda _: httpx.Response(500), oidc_issuer="http://127.0.0.1:9/realm")


def test_certificates_that_are_none_are_said_so(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    for text in (None, "no certificate"):
        if text:
            file.write_text(text)
        with pytest.raises(SettingsError, match="OIDC_CA"):
            fetch_of(lambda _: httpx.Response(500), oidc_ca=file)


async def test_by_the_settings_keys_are_known_and_connections_closed() -> None:
    provider = Provider()
    async with open_issuer(load(**SETTINGS), provider.transport()) as known:
        assert await known.key("ec", "ES256") == public(EC)
        provider.down = True
        assert await known.key("rsa", "RS256") == public(RSA)
