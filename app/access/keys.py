"""API keys: made once, kept as a hash, looked up by a prefix.

A key is ``dsk_PREFIX_SECRET``. The prefix finds its row; the hash over the whole key, HMAC-SHA256 with a pepper that is
not in the database, decides. A secret has 256 bits of chance, so a fast hash is as good as a slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from app.access.memory import Memory
from app.errors import ApiError, InvalidRequestError, NotFoundError, UnauthenticatedError
from app.keyring import Keyring
from app.store import tenants
from app.store.database import Connection, Database
from app.tenancy import Right, Scope, internal

KEY: Final = re.compile(r"dsk_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")

USED_SECONDS: Final = 60.0
"""How exact ``last_used_at`` is, s: a write per request would cost more than the request."""

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


class ApiKey(Struct, frozen=True):
    """What is known of a key; never the key.

    Attributes:
        key_id: Its id.
        prefix: The part that may be shown.
        name: What it is for.
        scopes: What it may do.
        rate_limit: Requests per minute; None for the default.
        created_at: When it was made.
        expires_at: From when on it opens nothing; None for never.
        last_used_at: When it was used last, to a minute.
        is_active: Whether it was not revoked.
    """

    key_id: UUID
    prefix: str
    name: str
    scopes: list[str]
    rate_limit: int | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    is_active: bool


class _Parent(Struct, frozen=True):
    rate_limit: int | None
    expires_at: datetime | None


_COLUMNS: Final = ", ".join(ApiKey.__struct_fields__)


def digest_of(pepper: bytes, key: str) -> str:
    """What is kept of a key."""
    return hmac.new(pepper, key.encode(), hashlib.sha256).hexdigest()


class Keys:
    """Makes keys and opens with them.

    Args:
        database: Pools of a login that answers requests.
        peppers: The HMAC key, and former ones: what was hashed with one is hashed again when it is used.
        writes: Whether the database takes any. A refused one costs the connection, and a key opens without.
    """

    def __init__(self, database: Database, peppers: Keyring, *, writes: bool = True) -> None:
        self._database, self._peppers, self._writes = database, peppers, writes
        self.known: Memory[str, tuple[Scope, datetime | None]] = Memory()
        self.parents: Memory[tuple[UUID, UUID], _Parent] = Memory()

    def digest(self, key: str) -> str:
        """What is kept of a key, once every process knows the pepper of today."""
        return digest_of(self._peppers.current, key)

    async def authenticate(self, key: str) -> Scope:
        """Whose key it is, and what it may do.

        Raises:
            UnauthenticatedError: It is malformed, unknown, revoked or expired. Which of them is not said.
            UnavailableError: The database does not answer, and the key has not been used for a while.
        """
        match = KEY.fullmatch(key)
        if not match:
            raise _refused()
        digest = self.digest(key)
        scope, expires_at = await self.known.get(digest, lambda: self._find(match[1], key))
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise _refused()
        return scope

    async def _find(self, prefix: str, key: str) -> tuple[Scope, datetime | None]:
        async with self._database.find_key(prefix) as connection:
            row = await connection.fetchrow(f"SELECT tenant_id, key_hash, {_COLUMNS} FROM api_keys")
        # All compared in any case: how long it takes says nothing of whether there is such a prefix, or which pepper.
        kept = row["key_hash"] if row else "0" * 64
        right = [hmac.compare_digest(kept, digest_of(pepper, key)) for pepper in self._peppers.keys]
        if row is None or not any(right) or not row["is_active"]:
            raise _refused()
        scope = Scope(
            tenant_id=row["tenant_id"],
            actor=f"key:{prefix}",
            rights=frozenset(Right(name) for name in row["scopes"]),
            key_id=row["key_id"],
            per_minute=row["rate_limit"],
        )
        await self._use(scope, row["last_used_at"])
        if not right[0] and self._peppers.settled:
            await self._hash_again(scope, kept, self.digest(key))
        return scope, row["expires_at"]

    async def _hash_again(self, scope: Scope, former: str, digest: str) -> None:
        # As in `_use`; and of two who do it at once, or of whoever knows less, none undoes it.
        if not self._writes:
            return
        with suppress(ApiError):
            async with self._database.write(scope) as connection:
                await connection.execute(
                    "UPDATE api_keys SET key_hash = $3 WHERE key_id = $1 AND key_hash = $2",
                    scope.key_id,
                    former,
                    digest,
                )

    async def _use(self, scope: Scope, last: datetime | None) -> None:
        now = datetime.now(UTC)
        if not self._writes or (last and now - last < timedelta(seconds=USED_SECONDS)):
            return
        # Nobody should wait for it: the key opens all the same.
        with suppress(ApiError):
            async with self._database.write(scope) as connection:
                await connection.execute("UPDATE api_keys SET last_used_at = $2 WHERE key_id = $1", scope.key_id, now)

    async def limit_of(self, tenant_id: UUID, key_id: UUID) -> int | None:
        """The limit of a key that a token was made with, requests per minute: what its tokens share with it.

        Raises:
            UnauthenticatedError: The key was revoked, or has expired.
            UnavailableError: The database does not answer, and the key's tokens have not been used for a while.
        """
        parent = await self.parents.get((tenant_id, key_id), lambda: self._parent(tenant_id, key_id))
        if parent.expires_at is not None and parent.expires_at <= datetime.now(UTC):
            raise _parent_ended()
        return parent.rate_limit

    async def _parent(self, tenant_id: UUID, key_id: UUID) -> _Parent:
        async with self._database.read(internal(tenant_id, "tokens")) as connection:
            row = await connection.fetchrow(
                "SELECT rate_limit, expires_at FROM api_keys WHERE key_id = $1 AND is_active", key_id
            )
        if row is None:
            raise _parent_ended()
        return _Parent(**dict(row))

    async def create(
        self,
        connection: Connection,
        tenant_id: UUID,
        *,
        scopes: Sequence[str],
        name: str = "",
        rate_limit: int | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[str, ApiKey]:
        """Makes a key. It is returned here and never again.

        Args:
            connection: A transaction that sees the tenant, or an administrator's.
            tenant_id: Whose key.
            scopes: What it may do: ``read``, ``write``, ``admin``.
            name: What it is for.
            rate_limit: Requests per minute.
            expires_at: From when on it opens nothing.

        Raises:
            InvalidRequestError: It could do nothing, or never, or a part of it cannot be kept.
        """
        check_scopes(scopes)
        tenants.check_limit("rate_limit", rate_limit)
        if expires_at is not None and not _is_ahead(expires_at):
            raise InvalidRequestError(
                f"expires_at is {expires_at.isoformat()}",
                why="it must be in the future, before the year 10000 in UTC, with a time zone",
            )
        if len(name) > 200 or "\0" in name:
            raise InvalidRequestError("the name is too long or holds U+0000", why="it has 200 characters at most")
        prefix = "".join(secrets.choice(_ALPHABET) for _ in range(12))
        key = f"dsk_{prefix}_{secrets.token_urlsafe(32)}"
        row = await connection.fetchrow(
            f"""
            INSERT INTO api_keys (tenant_id, prefix, key_hash, name, scopes, rate_limit, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}
            """,
            tenant_id,
            prefix,
            digest_of(self._peppers.signing, key),
            name,
            sorted({*scopes}),
            rate_limit,
            expires_at,
        )
        return key, _key(row)


def _is_ahead(when: datetime) -> bool:
    """Whether a time is one that comes, with a time zone, and within UTC's calendar."""
    try:
        return when.tzinfo is not None and when.astimezone(UTC) > datetime.now(UTC)
    except OverflowError:
        return False


def _refused() -> UnauthenticatedError:
    return UnauthenticatedError("the API key is not valid", remedy="Ask an administrator of your tenant for one")


def _parent_ended() -> UnauthenticatedError:
    return UnauthenticatedError("the token's API key was revoked", remedy="Ask for a token by another key")


def check_scopes(scopes: Sequence[str]) -> None:
    """Checks what a key may do.

    Raises:
        InvalidRequestError: It is nothing, or nothing that there is.
    """
    known = sorted(Right)
    if not scopes or {*scopes} - {*known}:
        raise InvalidRequestError(
            f"scopes are {', '.join(map(repr, scopes)) or 'none'}", why=f"there are {', '.join(known)}"
        )


async def every(connection: Connection, tenant_id: UUID) -> list[ApiKey]:
    """A tenant's keys, the newest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM api_keys WHERE tenant_id = $1 ORDER BY created_at DESC, key_id", tenant_id
    )
    return [_key(row) for row in rows]


async def revoke(connection: Connection, tenant_id: UUID, prefix: str) -> ApiKey:
    """Ends a key, by its prefix or its id. It stays in the list.

    Raises:
        NotFoundError: The tenant has no such key.
    """
    row = await connection.fetchrow(
        f"""
        UPDATE api_keys SET is_active = false
        WHERE tenant_id = $1 AND (prefix = $2 OR key_id::text = $2) RETURNING {_COLUMNS}
        """,
        tenant_id,
        prefix.removeprefix("dsk_"),
    )
    if row is None:
        raise NotFoundError(f"there is no API key {prefix[:80]!r}")
    return _key(row)


def _key(row: Any) -> ApiKey:
    return ApiKey(**dict(row))
