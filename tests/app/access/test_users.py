"""Access tokens: what is right opens, and what is forged, altered, old, or for others does not; roles become rights."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import example, given
from hypothesis import strategies as st

from app.access.issuer import Issuer
from app.access.tokens import signed_here
from app.access.users import MAX_TOKEN, Users
from app.errors import ApiError, ForbiddenError, SettingsError, UnauthenticatedError
from app.settings import load
from app.tenancy import ROLES, Right, Role
from tests.app.access.provider import AUDIENCE, ISSUER, RSA, SETTINGS, Provider, public

pytestmark = pytest.mark.anyio

TENANT = uuid4()


def at(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


async def opened(token: str, provider: Provider | None = None, **more: Any) -> Any:
    its = load(**{**SETTINGS, **more})
    return await Users(its, issuer_of(provider or Provider())).authenticate(token)


def issuer_of(provider: Provider) -> Issuer:
    return Issuer(provider.fetch, refresh_seconds=300, interval_seconds=30, max_age_seconds=3600)


@pytest.mark.parametrize("kid", ["rsa", "ec"])
@pytest.mark.parametrize("role", Role)
async def test_a_role_is_what_the_one_table_says(role: Role, kid: str) -> None:
    scope = await opened(Provider().token(kid, tenant=str(TENANT), roles=[role, "of another application"]))
    assert (scope.tenant_id, scope.actor, scope.rights) == (TENANT, "user:ada", ROLES[role])
    assert (scope.forced, scope.key_id, scope.per_minute) == ((), None, None)


def test_a_role_may_no_less_than_the_one_before_it() -> None:
    assert ROLES[Role.READER] < ROLES[Role.WRITER] < ROLES[Role.TENANT_ADMIN] == {*Right}
    assert {*ROLES} == {*Role}


@pytest.mark.parametrize("roles", [None, [], "", {}, 3, ["admin"], ["Reader"], ["reader "], [["reader"]], [3], True])
async def test_without_a_role_of_ours_nobody_may_anything(roles: Any) -> None:
    scope = await opened(Provider().token(tenant=str(TENANT), roles=roles))
    assert scope.rights == frozenset()
    with pytest.raises(ForbiddenError, match="the credentials have none"):
        scope.require(Right.READ)


async def test_claims_are_where_the_settings_say() -> None:
    claims: dict[str, Any] = {
        "https://example.com/tenant": str(TENANT).upper(),
        "realm": {"a/b": {"roles": "profile ds:writer ds:root reader"}},
        "client_id": "robot",
    }
    where: Any = {
        "oidc_tenant_claim": "https://example.com/tenant",
        "oidc_roles_claim": "/realm/a~1b/roles",
        "oidc_role_prefix": "ds:",
        "oidc_subject_claim": "client_id",
    }
    scope = await opened(Provider().token(**claims), **where)
    assert (scope.tenant_id, scope.actor, scope.rights) == (TENANT, "user:robot", ROLES[Role.WRITER])


@pytest.mark.parametrize("tenant", [None, "", "acme", 3, [str(TENANT)], str(TENANT) + "\n", TENANT.hex, "' OR 1=1"])
async def test_a_token_has_to_name_a_tenant(tenant: Any) -> None:
    with pytest.raises(ForbiddenError, match="names no tenant"):
        await opened(Provider().token(tenant=tenant))


@pytest.mark.parametrize("subject", ["", "x" * 201, "a\0b", "a\nb", "\ud800"])
async def test_a_subject_can_be_written_down(subject: Any) -> None:
    with pytest.raises(UnauthenticatedError, match="no subject"):
        await opened(Provider().token(tenant=str(TENANT), name=subject), oidc_subject_claim="name")
    with pytest.raises(UnauthenticatedError, match="no subject"):
        await opened(Provider().token(tenant=str(TENANT), sub=None))


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def signed_with_the_public_key(token: str, algorithm: str) -> str:
    """The best known forgery: what everybody may have, used as a shared secret."""
    pem = public(RSA).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = f"{encoded({'alg': algorithm, 'typ': 'JWT', 'kid': 'rsa'})}.{token.split('.')[1]}"
    made = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"


#: Tokens are made when this file is read, and used minutes later.
LONG, LONGER = at(days=1), at(days=2)
PROVIDER = Provider()
RIGHT = PROVIDER.token(tenant=str(TENANT), roles=["tenant-admin"])
HEAD, BODY, SIGNATURE = RIGHT.split(".")
OTHERS = encoded({**jwt.decode(RIGHT, options={"verify_signature": False}), "tenant": str(uuid4())})
STRANGER = rsa.generate_private_key(65537, 2048)
FORGED = {
    "alg none": f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': 'rsa'})}.{BODY}.",
    "alg nOnE": f"{encoded({'alg': 'nOnE', 'kid': 'rsa'})}.{BODY}.",
    "alg none with a signature": f"{encoded({'alg': 'none', 'kid': 'rsa'})}.{BODY}.{SIGNATURE}",
    "no alg": f"{encoded({'typ': 'JWT'})}.{BODY}.{SIGNATURE}",
    "alg of another type": f"{encoded({'alg': ['RS256']})}.{BODY}.{SIGNATURE}",
    "HS256 with the public key": signed_with_the_public_key(RIGHT, "HS256"),
    "RS256 that is HS256 with the public key": signed_with_the_public_key(RIGHT, "RS256"),
    "RS512": jwt.encode({"sub": "ada"}, RSA, algorithm="RS512", headers={"kid": "rsa"}),
    "PS256": jwt.encode({"sub": "ada"}, RSA, algorithm="PS256", headers={"kid": "rsa"}),
    "ES256 by the kid of an RSA key": PROVIDER.token("rsa", ec.generate_private_key(ec.SECP256R1())),
    "a stranger's key by a known kid": PROVIDER.token("rsa", STRANGER, tenant=str(TENANT)),
    "a stranger's key by its own kid": PROVIDER.token("stranger", STRANGER, tenant=str(TENANT)),
    "a key within the token": PROVIDER.token("x", STRANGER, head={"jwk": {"kty": "RSA"}, "jku": "https://evil.example"}),
    "another body": f"{HEAD}.{OTHERS}.{SIGNATURE}",
    "another head": f"{encoded({'alg': 'RS256', 'kid': 'rsa', 'typ': 'jwt'})}.{BODY}.{SIGNATURE}",
    "no signature": f"{HEAD}.{BODY}.",
    "crit": PROVIDER.token(head={"crit": ["exp"], "exp": 1}, tenant=str(TENANT)),
    "a logout token": PROVIDER.token(head={"typ": "logout+jwt"}, tenant=str(TENANT)),
    "kid that is no text": f"{encoded({'alg': 'RS256', 'kid': 7})}.{BODY}.{SIGNATURE}",
    "kid that is a path": PROVIDER.token("../../etc/passwd", RSA),
    "expired": PROVIDER.token(exp=at(seconds=-31)),
    "not valid yet": PROVIDER.token(nbf=LONG, exp=LONGER),
    "issued in the future": PROVIDER.token(iat=LONG, exp=LONGER),
    "no expiry": PROVIDER.token(exp=None),
    "expiry that is no time": PROVIDER.token(exp="tomorrow"),
    "another audience": PROVIDER.token(aud="elsewhere"),
    "other audiences": PROVIDER.token(aud=["elsewhere", AUDIENCE + "x"]),
    "no audience": PROVIDER.token(aud=None),
    "another issuer": PROVIDER.token(iss=ISSUER + "/"),
    "no issuer": PROVIDER.token(iss=None),
    "too long": PROVIDER.token(filler="x" * MAX_TOKEN),
    "deep": base64.urlsafe_b64encode(b"[" * 9000).decode() + ".e30.x",
    "three dots": "a.b.c.d",
    "nothing": "",
    "no text": "\ud800.a.b",
    "an encrypted token": f"{encoded({'alg': 'RSA-OAEP', 'enc': 'A256GCM'})}.a.b.c.d",
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
async def test_what_is_forged_old_or_for_others_opens_nothing(name: str) -> None:
    with pytest.raises(UnauthenticatedError) as refused:
        await opened(FORGED[name], PROVIDER)
    assert refused.value.remedy
    assert (await opened(RIGHT, PROVIDER)).rights == {*Right}


async def test_an_expiry_that_no_clock_reaches_is_no_error_of_ours() -> None:
    body = json.dumps({"exp": float("inf"), "iss": ISSUER, "aud": AUDIENCE, "sub": "x"}).encode()
    with pytest.raises(UnauthenticatedError):
        await opened(jwt.api_jws.encode(body, RSA, algorithm="RS256", headers={"kid": "rsa"}))


async def test_clocks_may_be_apart_by_a_leeway_that_is_bounded() -> None:
    late, early = (
        Provider().token(exp=at(seconds=-20), tenant=str(TENANT)),
        Provider().token(iat=at(seconds=20), tenant=str(TENANT)),
    )
    for token in (late, early):
        assert (await opened(token)).tenant_id == TENANT
        with pytest.raises(UnauthenticatedError):
            await opened(token, oidc_leeway_seconds=5)
    with pytest.raises(SettingsError, match="OIDC_LEEWAY_SECONDS"):
        load(oidc_leeway_seconds=121)


async def test_one_of_several_audiences_will_do() -> None:
    assert (await opened(Provider().token(aud=["account", AUDIENCE], tenant=str(TENANT)))).tenant_id == TENANT


def test_a_login_without_an_audience_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match="OIDC_AUDIENCE"):
        Users(load(oidc_issuer=ISSUER), issuer_of(Provider()))


@given(
    st.text(max_size=60)
    | st.builds(
        lambda a, b, c: f"{a}.{b}.{c}",
        *[st.binary(max_size=30).map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="))] * 3,
    )
)
@example("..")
@example(HEAD + "..")
async def test_whatever_comes_is_refused_in_our_words(token: str) -> None:
    assert isinstance(signed_here(token), bool)
    with pytest.raises(ApiError) as refused:
        await opened(token, PROVIDER)
    assert refused.value.status == 401


@given(st.integers(0, len(RIGHT) - 1), st.characters(codec="ascii"))
async def test_a_token_that_was_altered_anywhere_opens_nothing_more(where: int, letter: str) -> None:
    altered = RIGHT[:where] + letter + RIGHT[where + 1 :]
    try:
        scope = await opened(altered, PROVIDER)
    except UnauthenticatedError:
        return
    # Base64 has spare bits at its end, and letters that decoders skip: the same bytes, or the very same token.
    assert (scope.tenant_id, scope.rights) == (TENANT, frozenset(Right))
    assert isinstance(scope.tenant_id, UUID)
