"""Tenant tokens: short-lived, for a browser or an end user, with a filter that nobody who holds one can take off.

A token is a JWT that this service signs (HS256) and that only reads. It is made with an API key and ends with it:
when the key is revoked its tokens open nothing, and they share its rate limit.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
import msgspec

from app.access.keys import Keys
from app.errors import InvalidRequestError, UnauthenticatedError
from app.index.model import Filter
from app.keyring import Keyring
from app.tenancy import Right, Scope

ISSUER: Final = "docsearch"
AUDIENCE: Final = "docsearch-search"
ALGORITHM: Final = "HS256"

DEFAULT_SECONDS: Final = 900
MAX_SECONDS: Final = 3600
"""How long a token opens: by default, and at most, s."""

SKEW_SECONDS: Final = 30
"""How far the clocks of two processes may be apart, s."""

_REQUIRED: Final = ["exp", "iat", "sub", "aud", "iss", "tenant", "key", "filters"]


def signed_here(token: str) -> bool:
    """Whether a token claims to be of this service; anything that is no token does, too, and is refused as one."""
    try:
        return bool(jwt.get_unverified_header(token).get("alg") == ALGORITHM)
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        return True


class Tokens:
    """Makes tokens and opens with them.

    Args:
        ring: What signs them, and what signed those that still open.
        keys: Says whether the API key that a token was made with still opens.
    """

    def __init__(self, ring: Keyring, keys: Keys) -> None:
        self._ring, self._keys = ring, keys

    def create(
        self, scope: Scope, *, subject: str, forced: tuple[Filter, ...], seconds: int = DEFAULT_SECONDS
    ) -> tuple[str, datetime]:
        """Makes a token.

        Args:
            scope: Of the API key; its own forced filters, if it has any, are passed on.
            subject: Whom it is for, in the caller's terms.
            forced: What every query with it is bound to.
            seconds: How long it opens, s.

        Returns:
            The token, and when it ends.

        Raises:
            ForbiddenError: The key may not read.
            InvalidRequestError: It would open for too long, or not at all, or is not made with an API key.
        """
        scope.require(Right.READ)
        if not 1 <= seconds <= MAX_SECONDS:
            raise InvalidRequestError(f"seconds is {seconds}", why=f"a token opens for 1 to {MAX_SECONDS} s")
        if not 1 <= len(subject) <= 200:
            raise InvalidRequestError(f"the subject has {len(subject)} characters", why="it has 1 to 200")
        if scope.key_id is None or scope.actor.startswith("token:"):
            raise InvalidRequestError("a token makes no token", remedy="Ask with an API key")
        now = datetime.now(UTC)
        expires = now + timedelta(seconds=seconds)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": expires,
            "jti": str(uuid4()),
            "tenant": str(scope.tenant_id),
            "key": str(scope.key_id),
            "filters": msgspec.json.encode((*scope.forced, *forced)).decode(),
        }
        return jwt.encode(claims, self._ring.signing, algorithm=ALGORITHM), expires

    async def authenticate(self, token: str) -> Scope:
        """Whom a token is for.

        Raises:
            UnauthenticatedError: It is malformed, signed by somebody else, altered or expired, or its key was revoked.
        """
        try:
            claims = self._claims(token)
            tenant_id, key_id = UUID(claims["tenant"]), UUID(claims["key"])
            forced = msgspec.json.decode(claims["filters"], type=tuple[Filter, ...])
        except jwt.ExpiredSignatureError:
            raise UnauthenticatedError("the token has expired", remedy="Ask for a new one") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, msgspec.DecodeError, RecursionError):
            raise UnauthenticatedError("the token is not valid", remedy="Ask for a new one") from None
        per_minute = await self._keys.limit_of(tenant_id, key_id)
        return Scope(
            tenant_id=tenant_id,
            actor=f"token:{claims['sub']}",
            rights=frozenset({Right.READ}),
            forced=forced,
            key_id=key_id,
            per_minute=per_minute,
        )

    def _claims(self, token: str) -> dict[str, Any]:
        """What a token says, whichever of the keys signed it."""
        *others, last = self._ring.keys
        for key in others:
            with suppress(jwt.InvalidSignatureError):
                return _decoded(token, key)
        return _decoded(token, last)


def _decoded(token: str, key: bytes) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        # One algorithm, which is not the token's to choose.
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        issuer=ISSUER,
        leeway=SKEW_SECONDS,
        options={"require": _REQUIRED},
    )
    return claims
