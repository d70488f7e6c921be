"""Users of an identity provider at the API: off by default, let in by their tenant and role, beside keys and tokens."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.settings import Settings
from tests.app.access.provider import SETTINGS, Provider
from tests.app.http.conftest import Api, Caller, api_of, problem

pytestmark = [pytest.mark.services, pytest.mark.anyio]


@pytest.fixture
async def provider() -> Provider:
    return Provider()


@pytest.fixture
async def api(settings: Settings, provider: Provider) -> AsyncIterator[Api]:
    async with api_of(settings, **SETTINGS) as its:
        assert its.service.users is not None, "the settings name a provider"
        its.service.users = provider.users(its.service.settings)
        yield its


def user(api: Api, provider: Provider, tenant_id: Any, *roles: str, **claims: Any) -> Caller:
    return Caller(api, provider.token(tenant=str(tenant_id), roles=roles, **claims), tenant_id)


async def test_a_role_opens_what_it_may_and_the_trail_says_who_it_was(api: Api, provider: Provider) -> None:
    key = await api.tenant("mine")
    reader, writer, admin = (user(api, provider, key.tenant_id, role) for role in ("reader", "writer", "tenant-admin"))
    assert (await reader("GET", "/v1/me")).json() == {
        "tenant_id": str(key.tenant_id),
        "actor": "user:ada",
        "scopes": ["read"],
        "filters": [],
    }
    document = await writer.add(title="Tea")
    assert (await reader("GET", f"/v1/documents/{document}")).status_code == 200
    problem(await reader("POST", "/v1/documents", json={"title": "x"}), 403, "forbidden")
    problem(await writer("GET", "/v1/audit"), 403, "forbidden")
    rows = (await admin("GET", "/v1/audit")).json()["rows"]
    assert "user:ada" in {row["actor"] for row in rows}
    made = await admin("POST", "/v1/keys", json={"scopes": ["read"]})
    assert (await Caller(api, made.json()["api_key"], None)("GET", "/v1/me")).status_code == 200


async def test_without_a_role_a_token_opens_nothing(api: Api, provider: Provider) -> None:
    key = await api.tenant("mine")
    problem(await user(api, provider, key.tenant_id, "root")("GET", "/v1/me"), 403, "forbidden")


async def test_a_user_sees_its_own_tenant_alone(api: Api, provider: Provider) -> None:
    mine, theirs = await api.tenant("mine"), await api.tenant("theirs")
    document = await theirs.add(title="Secret")
    await api.index_all()
    admin = user(api, provider, mine.tenant_id, "tenant-admin")
    problem(await admin("GET", f"/v1/documents/{document}"), 404, "not-found")
    assert await admin.found("secret") == []


async def test_the_tenant_has_to_be_here_and_to_be_served(api: Api, provider: Provider) -> None:
    key = await api.tenant("mine")
    stranger = await user(api, provider, uuid4(), "tenant-admin")("GET", "/v1/me")
    assert "not served here" in problem(stranger, 403, "forbidden")["detail"]
    await api.world.admin("UPDATE tenants SET suspended_at = now()")
    suspended = await user(api, provider, key.tenant_id, "tenant-admin")("GET", "/v1/me")
    assert "suspended" in problem(suspended, 403, "forbidden")["detail"]


async def test_who_shows_a_tenant_that_is_not_served_is_slowed_down_as_one_who_guesses(
    settings: Settings, provider: Provider
) -> None:
    async with api_of(settings, **SETTINGS, failures_per_minute=60) as api:
        api.service.users = provider.users(api.service.settings)
        stranger = user(api, provider, uuid4(), "reader")
        statuses = [(await stranger("GET", "/v1/me")).status_code for _ in range(20)]
        assert statuses[0] == 403
        assert statuses[-1] == 429


async def test_a_user_has_a_limit_of_its_own_below_the_tenants(settings: Settings, provider: Provider) -> None:
    async with api_of(settings, **SETTINGS, key_per_minute=12) as api:
        api.service.users = provider.users(api.service.settings)
        tenant = await api.world.tenant("mine")
        one = user(api, provider, tenant.tenant_id, "reader")
        two = user(api, provider, tenant.tenant_id, "reader", sub="bob")
        assert [(await one("GET", "/v1/me")).status_code for _ in range(11)] == [200] * 10 + [429]
        assert (await two("GET", "/v1/me")).status_code == 200


async def test_what_is_wrong_with_a_token_is_said_and_guessing_is_slowed(api: Api, provider: Provider) -> None:
    key = await api.tenant("mine")
    expired = user(api, provider, key.tenant_id, "reader", exp=datetime.now(UTC) - timedelta(hours=1))
    answer = await expired("GET", "/v1/me")
    assert problem(answer, 401, "unauthenticated")["detail"] == "the token has expired"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    made_up = Caller(api, provider.token("made up", provider.keys["rsa"]), None)
    statuses = [(await made_up("GET", "/v1/me")).status_code for _ in range(25)]
    assert {*statuses} == {401, 429}
    assert provider.asked == 1


async def test_while_the_provider_has_never_answered_keys_open_and_its_tokens_wait(api: Api) -> None:
    key = await api.tenant("mine")
    provider = Provider(keys={})
    # It answers with nothing that could be used, as one that is being set up.
    api.service.users = provider.users(api.service.settings)
    answer = await Caller(api, Provider().token(tenant=str(key.tenant_id)), None)("GET", "/v1/me")
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) == 30
    assert (await key("GET", "/v1/me")).status_code == 200
    token = (await key("POST", "/v1/tokens", json={"subject": "u"})).json()["token"]
    assert (await Caller(api, token, None)("GET", "/v1/me")).json()["actor"] == "token:u"


async def test_a_user_makes_no_token_that_would_outlive_its_own(api: Api, provider: Provider) -> None:
    key = await api.tenant("mine")
    admin = user(api, provider, key.tenant_id, "tenant-admin")
    problem(await admin("POST", "/v1/tokens", json={"subject": "x"}), 400, "invalid-request")


async def test_without_a_provider_in_the_settings_no_access_token_opens_anything(settings: Settings) -> None:
    async with api_of(settings) as api:
        assert api.service.users is None
        key = await api.tenant("mine")
        token = Provider().token(tenant=str(key.tenant_id), roles=["tenant-admin"])
        problem(await Caller(api, token, None)("GET", "/v1/me"), 401, "unauthenticated")
