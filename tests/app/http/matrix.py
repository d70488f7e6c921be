"""Who may do what, written down once by hand: every operation, every role, every kind of credential, every answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar, Final

import asyncpg
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from app.document import Document
from app.resilience.limits import Limiter
from app.settings import Settings
from app.store.database import connect
from app.store.embedded import SUPERUSER
from app.tenancy import Scope
from tests.app.access.provider import SETTINGS, Provider
from tests.app.http.conftest import Api, Caller, api_of
from tests.app.world import fill_every_table

CREDENTIALS: Final = ("own", "other", "none", "expired", "forged")
"""For one's own things; for another tenant's; without any; too old; made by somebody else."""

RIGHTS: Final[Mapping[str, frozenset[str]]] = {
    "key:read": frozenset({"read"}),
    "key:write": frozenset({"write"}),
    "key:admin": frozenset({"admin"}),
    "token": frozenset({"read"}),
    "user:reader": frozenset({"read"}),
    "user:writer": frozenset({"read", "write"}),
    "user:tenant-admin": frozenset({"read", "write", "admin"}),
    "user:nobody": frozenset(),
}
"""What each role may do. Not taken from the service: it is what the service is held to."""


@dataclass(frozen=True, kw_only=True)
class Expect:
    """What an operation answers.

    Attributes:
        right: What it takes; None if it is for everybody.
        own: The status for one's own things.
        other: The status for another tenant's things; None if it is about no thing in particular.
        token: The status for a tenant token, which is bound to a filter; None if it is one's own.
        user: The status for a user of the identity provider, likewise.
        claims: Whether another tenant's id is free here: what is written there is one's own, and theirs stays as it is.
        more: What is sent besides.
    """

    right: str | None
    own: int = 200
    other: int | None = None
    token: int | None = None
    user: int | None = None
    claims: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def status(self, role: str, credential: str) -> int:
        """What somebody is answered."""
        if self.right is None:
            return self.own
        if credential not in ("own", "other"):
            return 401
        if self.right not in RIGHTS[role]:
            return 403
        if role == "token" and self.token:
            return self.token
        if role.startswith("user:") and self.user:
            return self.user
        return self.other if credential == "other" and self.other else self.own


DOCUMENT: Final = {"json": {"title": "Written NUMBER"}}
LINE: Final = {"content": '{"document": {"title": "Line NUMBER"}}', "headers": {"content-type": "application/x-ndjson"}}

EXPECTED: Final[Mapping[str, Expect]] = {
    "search": Expect(right="read", more={"json": {"q": "tea", "facets": ["author", "tags"], "highlight": {}}}),
    "search_by_url": Expect(right="read", more={"params": {"q": "tea", "facets": "author,tags"}}),
    "multi_search": Expect(right="read", more={"json": {"searches": [{"q": "tea"}, {}]}}),
    "suggest": Expect(right="read", more={"params": {"q": "t"}}),
    "list_synonyms": Expect(right="admin"),
    "put_synonym": Expect(right="admin", claims=True, more={"json": {"alternatives": ["cha"]}}),
    "delete_synonym": Expect(right="admin", own=204, other=404),
    "add_document": Expect(right="write", own=202, more=DOCUMENT),
    "write_documents": Expect(right="write", own=202, more=LINE),
    "get_document": Expect(right="read", other=404, token=403),
    "put_document": Expect(right="write", own=202, claims=True, more=DOCUMENT),
    "patch_document": Expect(right="write", own=202, other=404, more=DOCUMENT),
    "delete_document": Expect(right="write", own=202, other=404),
    "get_versions": Expect(right="read", other=404, token=403),
    "list_tasks": Expect(right="read", token=403),
    "get_task": Expect(right="read", other=404, token=403),
    # The task of a write that nobody has begun to work on.
    "cancel_task": Expect(right="write", other=404),
    "popular_queries": Expect(right="admin"),
    "erase_user": Expect(right="admin", own=202, more={"json": {"user_id": "nobody"}}),
    "whoami": Expect(right="read"),
    "create_token": Expect(right="read", own=201, token=400, user=400, more={"json": {"subject": "x"}}),
    "list_keys": Expect(right="admin"),
    "create_key": Expect(right="admin", own=201, more={"json": {"scopes": ["read"]}}),
    "revoke_key": Expect(right="admin", other=404),
    "read_audit": Expect(right="admin"),
    "verify_audit": Expect(right="admin"),
    "live": Expect(right=None),
    "started": Expect(right=None),
    "ready": Expect(right=None),
    "health": Expect(right=None),
    "metrics": Expect(right=None),
}
"""By operation. Whoever adds one says here who may use it, and what others are answered."""


@dataclass(frozen=True)
class Listed:
    """An operation as the description has it."""

    name: str
    method: str
    path: str
    scope: str | None


def listed(description: Mapping[str, Any]) -> list[Listed]:
    """Every operation of an OpenAPI document."""
    return [
        Listed(one["operationId"], method.upper(), path, one.get("x-scope"))
        for path, methods in description["paths"].items()
        for method, one in methods.items()
        if method in ("get", "put", "post", "delete", "patch", "head", "options", "trace")
    ]


def unexpected(description: Mapping[str, Any]) -> list[str]:
    """What the description has and nobody said who may use it, and the other way round."""
    found = {one.name: one for one in listed(description)}
    missing = [f"{name} is in no row of EXPECTED: say there who may use it" for name in sorted({*found} - {*EXPECTED})]
    gone = [f"{name} is expected, and there is none" for name in sorted({*EXPECTED} - {*found})]
    other = [
        f"{name} takes {one.scope}, and {EXPECTED[name].right} is expected"
        for name, one in found.items()
        if name in EXPECTED and one.scope != EXPECTED[name].right
    ]
    return missing + gone + other


@dataclass
class Matrix:
    """The API with two tenants, and somebody of every role with credentials of every kind."""

    api: Api
    mine: Scope
    theirs: Scope
    callers: Mapping[tuple[str, str], Caller]
    admin: asyncpg.Connection
    numbers: Any = field(default_factory=count)
    cells: int = 0
    broken: list[str] = field(default_factory=list)
    any: dict[str, str] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)
    claimed: dict[str, str] = field(default_factory=dict)

    WORD: ClassVar[str] = "zwiebelfisch"
    """What is in rows of the other tenant, and nowhere else."""
    CLAIMED: ClassVar[str] = "anglerlatein"
    """A word that both have said something of."""

    async def hold(self, operations: Sequence[Listed]) -> None:
        """Goes through every cell."""
        self.any, self.foreign = await self._mine_new(), await self._theirs_any()
        claimed = "SELECT document_id::text FROM documents WHERE tenant_id = $1 ORDER BY 1 DESC LIMIT 1"
        await self.admin.execute("INSERT INTO synonyms VALUES ($1, $2, '{x}')", self.theirs.tenant_id, self.CLAIMED)
        self.claimed = {
            "document_id": await self.admin.fetchval(claimed, self.theirs.tenant_id),
            "word": self.CLAIMED,
        }
        before = await self._theirs_now()
        for one in operations:
            if one.name not in EXPECTED:
                continue  # told by `unexpected`
            for role in RIGHTS:
                # Wrong credentials from one address are slowed down, which is not what is looked at.
                self.api.service.limits = Limiter(None)
                for credential in CREDENTIALS:
                    await self._cell(one, role, credential)
            after = await self._theirs_now()
            if changed := [table for table, rows in after.items() if rows != before[table]]:
                self.broken.append(f"{one.name} changed the other tenant's {', '.join(changed)}")
                before = after

    async def _cell(self, one: Listed, role: str, credential: str) -> None:
        self.cells += 1
        expect = EXPECTED[one.name]
        wanted = expect.status(role, credential)
        # What is about nothing, or is refused, takes nothing away.
        used = "{" in one.path and credential == "own" and wanted < 400
        theirs = self.claimed if expect.claims else self.foreign
        things = theirs if credential == "other" else await self._mine_new() if used else self.any
        path = one.path.format(**things)
        # A document that is there already, word for word, is not written twice.
        more = json.loads(json.dumps(expect.more).replace("NUMBER", str(self.cells)))
        answer = await self.callers[role, credential](one.method, path, **more)
        cell = f"{one.name} as {role} with {credential} credentials"
        if answer.status_code != wanted:
            self.broken.append(f"{cell}: {answer.status_code} instead of {wanted}: {answer.text[:200]}")
        if wanted == 401 and not answer.headers.get("www-authenticate", "").startswith("Bearer"):
            self.broken.append(f"{cell}: it is not said which credentials are taken")
        if wanted >= 400 and answer.headers.get("content-type") != "application/problem+json":
            self.broken.append(f"{cell}: the answer is no problem of RFC 9457")
        foreign = {self.WORD, str(self.theirs.tenant_id), *self.foreign.values()}
        said = answer.text + json.dumps(dict(answer.headers))
        if leaked := [word for word in foreign if word in said and word not in path]:
            self.broken.append(f"{cell}: LEAK of {leaked[0]}: {answer.text[:200]}")

    async def _mine_new(self) -> dict[str, str]:
        """Things of one's own that nobody has used yet."""
        number, tenant = next(self.numbers), self.mine.tenant_id
        stored = await self.api.world.put(self.mine, Document(title=f"Mine {number}"))
        _, key = await self.api.service.keys.create(self.admin, tenant, scopes=["read"])
        await self.admin.execute("INSERT INTO synonyms VALUES ($1, $2, '{x}')", tenant, f"word{number}")
        newest = "SELECT task_id FROM tasks WHERE tenant_id = $1 ORDER BY created_at DESC LIMIT 1"
        return {
            "document_id": str(stored.document_id),
            "task_id": str(await self.admin.fetchval(newest, tenant)),
            "word": f"word{number}",
            "prefix": key.prefix,
        }

    async def _theirs_any(self) -> dict[str, str]:
        """Things of the other tenant."""
        found = await self.admin.fetchrow(
            """
            SELECT (SELECT document_id FROM documents WHERE tenant_id = $1 ORDER BY 1 LIMIT 1)::text AS document_id,
                   (SELECT task_id FROM tasks WHERE tenant_id = $1 ORDER BY 1 LIMIT 1)::text AS task_id,
                   (SELECT prefix FROM api_keys WHERE tenant_id = $1 ORDER BY 1 LIMIT 1) AS prefix
            """,
            self.theirs.tenant_id,
        )
        assert found
        return {**dict(found), "word": self.WORD}

    async def _theirs_now(self) -> dict[str, str]:
        """Every row of the other tenant, by table."""
        tables = await self.admin.fetch(
            """
            SELECT DISTINCT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
              AND c.relnamespace = 'public'::regnamespace
            """
        )
        counted = [
            f"SELECT '{row[0]}' AS name, md5(string_agg(t::text, ',' ORDER BY t::text)) AS rows "
            f"FROM {row[0]} t WHERE tenant_id = '{self.theirs.tenant_id}'"
            for row in tables
        ]
        return {row["name"]: row["rows"] for row in await self.admin.fetch(" UNION ALL ".join(counted))}


@asynccontextmanager
async def matrix_of(settings: Settings) -> AsyncIterator[Matrix]:
    """The matrix over a database of its own."""
    async with api_of(settings, **SETTINGS, key_per_minute=10**6, tenant_per_minute=10**6) as api:
        provider = Provider()
        api.service.users = provider.users(api.service.settings)
        mine, theirs = await api.world.tenant("mine"), await api.world.tenant("theirs")
        await fill_every_table(api.world, mine, "mine")
        await fill_every_table(api.world, theirs, Matrix.WORD)
        callers: dict[tuple[str, str], Caller] = {}
        for role in RIGHTS:
            kind, _, name = role.partition(":")
            made = await {"key": _keys, "token": _tokens, "user": _users}[kind](api, mine, theirs, name, provider)
            for credential, text in zip(CREDENTIALS, made, strict=True):
                callers[role, credential] = Caller(api, text, mine.tenant_id)
        admin = await connect(settings, SUPERUSER)
        try:
            yield Matrix(api, mine, theirs, callers, admin)
        finally:
            await admin.close()


async def _keys(api: Api, mine: Scope, theirs: Scope, name: str, provider: Provider) -> tuple[str, ...]:
    key, old = await api.key(mine.tenant_id, name), await api.key(mine.tenant_id, name)
    await api.world.admin("UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE prefix = $1", old.prefix)
    forged = key.credential[:-4] + ("AAAA" if key.credential[-4:] != "AAAA" else "BBBB")
    return key.credential, key.credential, "", old.credential, forged


async def _tokens(api: Api, mine: Scope, theirs: Scope, name: str, provider: Provider) -> tuple[str, ...]:
    parent = await api.key(mine.tenant_id, "read")
    filters = [{"kind": "exists", "field": "author"}]
    made = (await parent("POST", "/v1/tokens", json={"subject": "u", "filters": filters})).json()["token"]
    claims = jwt.decode(made, options={"verify_signature": False})
    right = api.service.settings.secret("tenant_token_key")
    old = jwt.encode({**claims, "exp": datetime.now(UTC) - timedelta(hours=1)}, right)
    forged = jwt.encode({**claims, "tenant": str(theirs.tenant_id)}, "x" * 48)
    return made, made, "", old, forged


async def _users(api: Api, mine: Scope, theirs: Scope, name: str, provider: Provider) -> tuple[str, ...]:
    right = provider.token(tenant=str(mine.tenant_id), roles=[name])
    old = provider.token(tenant=str(mine.tenant_id), roles=[name], exp=datetime.now(UTC) - timedelta(hours=1))
    forged = provider.token("rsa", STRANGER.keys["rsa"], tenant=str(theirs.tenant_id), roles=["tenant-admin"])
    return right, right, "", old, forged


STRANGER: Final = Provider(keys={"rsa": rsa.generate_private_key(65537, 2048)})
"""Another provider, whose keys nobody asked for."""
