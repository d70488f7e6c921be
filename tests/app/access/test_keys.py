"""API keys and tenant tokens while what they are hashed and signed with changes."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from click.testing import CliRunner

from app.access.keys import Keys, digest_of
from app.access.tokens import Tokens
from app.cli import cli
from app.errors import InvalidRequestError, UnauthenticatedError
from app.index.model import Term
from app.keyring import SETTLE_SECONDS, Keyring
from app.store import tenants
from app.store.database import connect
from app.store.embedded import SUPERUSER
from app.tenancy import Right, Scope
from tests.app.world import World

pytestmark = pytest.mark.anyio

FIRST, SECOND, THIRD = b"1" * 32, b"2" * 32, b"3" * 32


async def made(world: World, keys: Keys) -> tuple[str, Any]:
    scope = await world.tenant(uuid4().hex)
    connection = await connect(world.settings, SUPERUSER)
    try:
        return await keys.create(connection, scope.tenant_id, scopes=["read"])
    finally:
        await connection.close()


async def kept(world: World) -> str:
    ((found,),) = await world.admin("SELECT key_hash FROM api_keys")
    return str(found)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rate_limit": 0}, "rate_limit is 0 requests per minute: it is 1 to 2,147,483,647"),
        ({"rate_limit": 2**31}, "rate_limit is 2147483648 requests per minute: it is 1 to 2,147,483,647"),
        ({"rate_limit": 10**30}, "it is 1 to 2,147,483,647"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "must be in the future"),
        ({"expires_at": datetime.fromisoformat("2999-01-01T00:00:00")}, "with a time zone"),
        ({"expires_at": datetime.fromisoformat("9999-12-31T23:59:59-12:00")}, "before the year 10000 in UTC"),
    ],
)
async def test_a_key_that_cannot_be_kept_is_refused_before_anything_is_written(wrong: Any, told: str) -> None:
    nothing: Any = None
    with pytest.raises(InvalidRequestError, match=re.escape(told)):
        await Keys(nothing, Keyring([FIRST])).create(nothing, uuid4(), scopes=["read"], **wrong)


@pytest.mark.parametrize("per_minute", [0, -1, 2**31])
async def test_a_limit_that_cannot_be_kept_is_refused(per_minute: int) -> None:
    nothing: Any = None
    with pytest.raises(InvalidRequestError, match=re.escape("it is 1 to 2,147,483,647")):
        await tenants.limit(nothing, uuid4(), per_minute)


@pytest.mark.parametrize("option", [("--rate-limit", str(2**31)), ("--rate-limit", "0"), ("--days", str(10**9))])
def test_the_command_refuses_a_key_that_cannot_be_kept(option: tuple[str, str]) -> None:
    done = CliRunner().invoke(cli, ["keys", "create", "--tenant", "acme", "--scope", "read", *option])
    assert done.exit_code == 2
    assert f"Invalid value for '{option[0]}': {option[1]} is not in the range 1<=x<=" in done.output


@pytest.mark.services
async def test_a_key_of_the_former_pepper_opens_and_is_hashed_again_when_it_is_used(world: World) -> None:
    key, its = await made(world, Keys(world.app, Keyring([FIRST])))
    now = [0.0]
    young = Keys(world.app, Keyring([SECOND, FIRST], clock=lambda: now[0]))
    assert (await young.authenticate(key)).key_id == its.key_id
    # A process that was not started again yet still opens it.
    assert await kept(world) == digest_of(FIRST, key)
    now[0] = SETTLE_SECONDS
    young.known.forget()
    assert (await young.authenticate(key)).key_id == its.key_id
    assert await kept(world) == digest_of(SECOND, key)
    assert (await Keys(world.app, Keyring([THIRD, SECOND])).authenticate(key)).key_id == its.key_id
    # Who has started a moment ago, and would sign with the former one, takes nothing back.
    assert (await Keys(world.app, Keyring([SECOND, FIRST])).authenticate(key)).key_id == its.key_id
    assert await kept(world) == digest_of(SECOND, key)
    with pytest.raises(UnauthenticatedError, match="the API key is not valid"):
        await Keys(world.app, Keyring([FIRST])).authenticate(key)


@pytest.mark.services
async def test_a_key_that_nobody_used_between_two_changes_is_over(world: World) -> None:
    key, _ = await made(world, Keys(world.app, Keyring([FIRST])))
    with pytest.raises(UnauthenticatedError):
        await Keys(world.app, Keyring([THIRD, SECOND])).authenticate(key)
    assert await kept(world) == digest_of(FIRST, key)


@pytest.mark.services
async def test_a_key_that_is_made_during_a_rollout_opens_everywhere(world: World) -> None:
    key, _ = await made(world, Keys(world.app, Keyring([SECOND, FIRST])))
    for ring in (Keyring([FIRST]), Keyring([SECOND, FIRST])):
        await Keys(world.app, ring).authenticate(key)


@pytest.mark.services
async def test_a_revoked_key_or_another_secret_is_refused_under_any_pepper(world: World) -> None:
    key, _ = await made(world, Keys(world.app, Keyring([FIRST])))
    other = key[:-1] + ("A" if key[-1] != "A" else "B")
    ring = Keyring([SECOND, FIRST], settle_seconds=0)
    with pytest.raises(UnauthenticatedError):
        await Keys(world.app, ring).authenticate(other)
    await world.admin("UPDATE api_keys SET is_active = false")
    with pytest.raises(UnauthenticatedError):
        await Keys(world.app, ring).authenticate(key)
    assert await kept(world) == digest_of(FIRST, key)


class Living(Keys):
    """Keys that are never revoked."""

    def __init__(self) -> None:
        self.asked = 0

    async def limit_of(self, *_: Any) -> None:
        self.asked += 1


async def test_a_token_that_a_former_key_signed_opens_with_its_filter() -> None:
    keys, now = Living(), [0.0]
    scope = Scope(tenant_id=uuid4(), actor="key:a", rights=frozenset({Right.READ}), key_id=uuid4())
    filters = (Term("author", ("ada",)),)
    before, after = Tokens(Keyring([FIRST]), keys), Tokens(Keyring([SECOND, FIRST], clock=lambda: now[0]), keys)
    for signs, opens in ((before, after), (after, before)):
        token, _ = signs.create(scope, subject="ada", forced=filters)
        assert (await opens.authenticate(token)).forced == filters
    now[0] = SETTLE_SECONDS
    token, _ = after.create(scope, subject="ada", forced=filters)
    assert (await after.authenticate(token)).actor == "token:ada"
    asked = keys.asked
    with pytest.raises(UnauthenticatedError, match="the token is not valid"):
        await before.authenticate(token)
    assert keys.asked == asked


@pytest.mark.parametrize("key", [FIRST, SECOND])
async def test_an_old_token_is_told_so_whichever_key_signed_it(key: bytes) -> None:
    tokens, past = Tokens(Keyring([SECOND, FIRST]), Living()), datetime.now(UTC) - timedelta(hours=1)
    claims = {"iss": "docsearch", "aud": "docsearch-search", "sub": "a", "iat": past, "exp": past}
    rest = {"tenant": str(uuid4()), "key": str(uuid4()), "filters": "[]"}
    with pytest.raises(UnauthenticatedError, match="the token has expired"):
        await tokens.authenticate(jwt.encode(claims | rest, key, algorithm="HS256"))
    with pytest.raises(UnauthenticatedError, match="the token is not valid"):
        await tokens.authenticate(jwt.encode(claims | rest, THIRD, algorithm="HS256"))
