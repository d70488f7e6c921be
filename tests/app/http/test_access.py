"""Keys, tokens and limits. Every operation with every kind of credential is `tests/soak/rows/authorization.py`."""

import asyncio
import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest

from app.errors import UnavailableError
from app.settings import Settings
from app.store import tenants
from app.store.database import connect
from app.store.embedded import SUPERUSER
from tests.app.http.conftest import Api, Caller, api_of, problem

pytestmark = [pytest.mark.services, pytest.mark.anyio]


async def test_a_key_is_taken_in_either_header(api: Api) -> None:
    caller = await api.tenant("mine")
    assert (await api.http.get("/v1/me", headers={"x-api-key": caller.credential})).status_code == 200
    assert (await api.http.get("/v1/me", headers={"authorization": f"bearer {caller.credential}"})).status_code == 200
    problem(
        await api.http.get("/v1/me", headers={"authorization": f"Basic {caller.credential}"}), 401, "unauthenticated"
    )


async def test_a_key_is_kept_as_a_hash_alone(api: Api) -> None:
    caller = await api.tenant("mine")
    (row,) = await api.world.admin("SELECT * FROM api_keys")
    secret = caller.credential.rpartition("_")[2]
    assert secret not in str(dict(row))
    assert row["key_hash"] == api.service.keys.digest(caller.credential)
    assert caller.credential not in (await caller("GET", "/v1/keys")).text


def ten_seconds_later(api: Api) -> None:
    """All that was looked up is looked up again."""
    for one in (api.service.keys.known, api.service.keys.parents, api.service.admission.known):
        one.forget()


async def test_an_expired_key_opens_nothing(api: Api) -> None:
    admin = await api.tenant("mine")
    soon = datetime.now(UTC) + timedelta(seconds=3)
    caller = await api.key(admin.tenant_id, "read", expires_at=soon)
    assert (await caller("GET", "/v1/me")).status_code == 200
    await asyncio.sleep((soon - datetime.now(UTC)).total_seconds() + 0.1)
    problem(await caller("GET", "/v1/me"), 401, "unauthenticated")


async def test_a_revoked_key_and_its_tokens_open_nothing(api: Api) -> None:
    admin = await api.tenant("mine")
    reader = await api.key(admin.tenant_id, "read")
    token = (await reader("POST", "/v1/tokens", json={"subject": "u"})).json()["token"]
    bearer = Caller(api, token, admin.tenant_id)
    assert (await bearer("GET", "/v1/me")).json()["actor"] == "token:u"
    gone = await admin("DELETE", f"/v1/keys/{reader.prefix}")
    assert gone.json()["is_active"] is False
    ten_seconds_later(api)
    problem(await reader("GET", "/v1/me"), 401, "unauthenticated")
    problem(await bearer("GET", "/v1/me"), 401, "unauthenticated")


async def test_a_key_of_another_tenant_cannot_be_revoked(api: Api) -> None:
    mine, theirs = await api.tenant("mine"), await api.tenant("theirs")
    problem(await mine("DELETE", f"/v1/keys/{theirs.prefix}"), 404, "not-found")
    assert {one["prefix"] for one in (await mine("GET", "/v1/keys")).json()["keys"]} == {mine.prefix}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scopes": []},
        {"scopes": ["root"]},
        {"scopes": ["read"], "rate_limit": 0},
        {"scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
        {"scopes": ["read"], "tenant_id": str(uuid4())},
        {"scopes": ["read"], "name": "x" * 201},
    ],
)
async def test_a_key_that_could_do_nothing_is_not_made(body: Any, api: Api) -> None:
    problem(await (await api.tenant("mine"))("POST", "/v1/keys", json=body), 400, "invalid-request")


async def test_a_token_sees_what_its_filter_lets_through_and_cannot_take_it_off(api: Api) -> None:
    admin = await api.tenant("mine")
    ada = await admin.add(title="One", author="ada")
    await admin.add(title="Two zanzibar", author="bob")
    await api.index_all()
    forced = [{"kind": "term", "field": "author", "values": ["ada"]}]
    token = (await admin("POST", "/v1/tokens", json={"subject": "u", "filters": forced})).json()["token"]
    bearer = Caller(api, token, admin.tenant_id)
    assert await bearer.found() == [ada]
    assert await bearer.found(filters=[{"kind": "term", "field": "author", "values": ["bob"]}]) == []
    facets = (await bearer("POST", "/v1/search", json={"facets": ["author"]})).json()["facets"]
    assert facets[0]["buckets"] == [{"value": "ada", "count": 1}]
    problem(await bearer("GET", f"/v1/documents/{ada}"), 403, "forbidden")
    misspelt = {"q": "zanzibas", "fuzzy": "auto"}
    assert (await admin("POST", "/v1/search", json=misspelt)).json()["corrected"] == {"zanzibas": ["zanzibar"]}
    said = (await bearer("POST", "/v1/search", json=misspelt)).json()
    assert (said["hits"], said["corrected"]) == ([], {}), "words of what it may not see"
    cursor = (await bearer("POST", "/v1/search", json={"size": 1})).json()["next"]
    problem(await admin("POST", "/v1/search", json={"size": 1, "cursor": cursor}), 400, "invalid-cursor")
    problem(await bearer("POST", "/v1/tokens", json={"subject": "v"}), 400, "invalid-request")


def forge(token: str, key: str, algorithm: str = "HS256", **claims: Any) -> str:
    held = {**jwt.decode(token, options={"verify_signature": False}), **claims}
    return jwt.encode({name: value for name, value in held.items() if value is not None}, key, algorithm=algorithm)


async def test_a_token_that_was_not_signed_here_opens_nothing(api: Api) -> None:
    admin, other = await api.tenant("mine"), await api.tenant("theirs")
    token = (await admin("POST", "/v1/tokens", json={"subject": "u", "seconds": 60})).json()["token"]
    key = api.service.settings.secret("tenant_token_key").decode()
    head, body, signature = token.split(".")
    other_body = base64.urlsafe_b64encode(json.dumps({"tenant": str(other.tenant_id)}).encode()).decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    past = datetime.now(UTC) - timedelta(hours=1)
    forged = {
        "another key": forge(token, "x" * 48),
        "no signature": f"{none}.{body}.",
        "another body": f"{head}.{other_body}.{signature}",
        "expired": forge(token, key, exp=past),
        "another audience": forge(token, key, aud="elsewhere"),
        "another issuer": forge(token, key, iss="elsewhere"),
        "no expiry": forge(token, key, exp=None),
        "another algorithm": forge(token, key * 2, "HS512"),
        "another tenant": forge(token, key, tenant=str(other.tenant_id)),
        "no tenant": forge(token, key, tenant="x"),
        "filters that are none": forge(token, key, filters="[1]"),
    }
    for name, one in forged.items():
        answer = await Caller(api, one, None)("GET", "/v1/me")
        assert answer.status_code == 401, (name, answer.text)
    assert (await Caller(api, token, None)("GET", "/v1/me")).status_code == 200


@pytest.mark.parametrize("seconds", [0, -1, 3601])
async def test_a_token_is_short_lived(seconds: int, api: Api) -> None:
    answer = await (await api.tenant("a"))("POST", "/v1/tokens", json={"subject": "u", "seconds": seconds})
    problem(answer, 400, "invalid-request")


async def test_a_key_keeps_to_its_rate_and_its_tokens_share_it(api: Api) -> None:
    admin = await api.tenant("mine")
    slow = await api.key(admin.tenant_id, "read", rate_limit=30)
    token = (await slow("POST", "/v1/tokens", json={"subject": "u"})).json()["token"]
    answers = [await Caller(api, token, None)("GET", "/v1/me") for _ in range(11)]
    # The key's own request, the first one, has taken one of the ten that may come at once.
    assert [one.status_code for one in answers] == [200] * 9 + [429] * 2
    problem(answers[-1], 429, "rate-limited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 4
    assert (await admin("GET", "/v1/me")).status_code == 200


async def test_each_search_of_a_request_counts(api: Api) -> None:
    slow = await api.key((await api.tenant("mine")).tenant_id, "read", rate_limit=30)
    body = {"searches": [{"q": f"tea {number}"} for number in range(6)]}
    many = [(await slow("POST", "/v1/multi-search", json=body)).json()["results"] for _ in range(2)]
    statuses = [one["problem"]["status"] if "problem" in one else 200 for results in many for one in results]
    assert statuses == [200] * 10 + [429] * 2
    assert (await slow("GET", "/v1/me")).status_code == 429


async def test_a_tenant_keeps_to_its_rate_whatever_keys_it_has(settings: Settings) -> None:
    async with api_of(settings, tenant_per_minute=12) as api:
        mine, theirs = await api.tenant("mine"), await api.tenant("theirs")
        second = await api.key(mine.tenant_id, "read")
        asked = [(await one("GET", "/v1/me")).status_code for one in (mine, second) * 6]
        assert asked == [200] * 10 + [429] * 2
        assert (await theirs("GET", "/v1/me")).status_code == 200


async def limited(api: Api, tenant_id: Any, per_minute: int) -> None:
    admin = await connect(api.world.settings, SUPERUSER)
    await tenants.limit(admin, tenant_id, per_minute)
    await admin.close()


async def test_a_tenant_has_a_limit_of_its_own_beside_those_of_its_keys(settings: Settings) -> None:
    async with api_of(settings, key_per_minute=6000) as api:
        mine, theirs = await api.tenant("mine"), await api.tenant("theirs")
        slow = await api.key(mine.tenant_id, "read", rate_limit=6)
        await limited(api, mine.tenant_id, 12)
        assert [(await slow("GET", "/v1/me")).status_code for _ in range(7)] == [200] * 6 + [429]
        asked = [await mine("GET", "/v1/me") for _ in range(5)]
        assert [one.status_code for one in asked] == [200] * 4 + [429]
        assert "more than 12 requests a minute" in problem(asked[-1], 429, "rate-limited")["detail"]
        assert [(await theirs("GET", "/v1/me")).status_code for _ in range(11)] == [200] * 11


async def test_a_token_has_the_limit_that_its_key_has_now(api: Api) -> None:
    admin = await api.tenant("mine")
    reader = await api.key(admin.tenant_id, "read", rate_limit=6000)
    token = Caller(api, (await reader("POST", "/v1/tokens", json={"subject": "u"})).json()["token"], None)
    assert [(await token("GET", "/v1/me")).status_code for _ in range(11)] == [200] * 11
    await api.world.admin("UPDATE api_keys SET rate_limit = 1 WHERE prefix = $1", reader.prefix)
    ten_seconds_later(api)
    assert (await token("GET", "/v1/me")).status_code == 429


async def test_a_dead_redis_takes_no_limit_away(settings: Settings) -> None:
    async with api_of(settings, cache_host="127.0.0.1", cache_port=1, cache_tls=False) as api:
        caller = await api.tenant("mine", "read")
        await limited(api, caller.tenant_id, 12)
        assert [(await caller("GET", "/v1/me")).status_code for _ in range(11)] == [200] * 10 + [429]


async def test_a_suspended_tenant_is_refused_whatever_it_shows_and_is_served_again(api: Api) -> None:
    mine, theirs = await api.tenant("mine"), await api.tenant("theirs")
    token = Caller(api, (await mine("POST", "/v1/tokens", json={"subject": "u"})).json()["token"], None)
    for suspended in (True, False):
        admin = await connect(api.world.settings, SUPERUSER)
        await tenants.suspend(admin, mine.tenant_id, suspended=suspended)
        await admin.close()
        ten_seconds_later(api)
        for caller in (mine, token):
            answer = await caller("GET", "/v1/me")
            if suspended:
                assert "suspended" in problem(answer, 403, "forbidden")["detail"]
            else:
                assert answer.status_code == 200
        assert (await theirs("GET", "/v1/me")).status_code == 200


async def test_who_was_let_in_a_moment_ago_is_let_in_while_the_database_is_away(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller, stranger = await api.tenant("mine"), await api.tenant("theirs")
    token = Caller(api, (await caller("POST", "/v1/tokens", json={"subject": "u"})).json()["token"], None)
    assert (await token("GET", "/v1/me")).status_code == 200
    now = time.monotonic()

    async def gone(*_: Any) -> Any:
        raise UnavailableError("PostgreSQL does not answer")

    monkeypatch.setattr(api.service.database, "_acquire", gone)
    for later, status in ((60.0, 200), (400.0, 503)):
        for one in (api.service.keys.known, api.service.keys.parents, api.service.admission.known):
            monkeypatch.setattr(one, "_clock", lambda at=now + later: at)
        assert [(await one("GET", "/v1/me")).status_code for one in (caller, token)] == [status] * 2
    problem(await stranger("GET", "/v1/me"), 503, "unavailable")


async def test_who_guesses_keys_is_told_to_wait(api: Api) -> None:
    wrong = Caller(api, f"dsk_{'a' * 12}_{'b' * 43}", None)
    statuses = [(await wrong("GET", "/v1/me")).status_code for _ in range(25)]
    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429
