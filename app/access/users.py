"""Users of an identity provider: access tokens of OAuth 2.0 (RFC 9068) or OpenID Connect, and whom they are for here.

A login comes from settings and is off without them. The provider says who somebody is, which tenant they belong to and
which roles they have; what a role may do is said by `app.tenancy.Role`, and whether the tenant is served by
`app.access.admission`. What is refused follows RFC 8725: the algorithm is not the token's to choose, issuer and
audience have to be the ones of the settings, and a token that was made for something else opens nothing.
"""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

import jwt

from app.access.issuer import ALGORITHMS, Issuer
from app.errors import ForbiddenError, SettingsError, UnauthenticatedError
from app.settings import Settings
from app.tenancy import Role, Scope, rights_of

MAX_TOKEN: Final = 16 * 2**10
"""Characters that a token may have: servers take headers of 8 to 16 KiB as a rule."""

TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What a token may say it is, if it says so: not, for example, a logout token (RFC 9068, section 4)."""

_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_AGAIN: Final = "Ask your identity provider for a new one"


class Users:
    """Opens access tokens.

    Args:
        settings: What a token has to say.
        issuer: Knows the provider's keys.

    Raises:
        SettingsError: A token of any other application of the provider would open this one.
    """

    def __init__(self, settings: Settings, issuer: Issuer) -> None:
        if not settings.oidc_audience:
            raise SettingsError(
                "OIDC_ISSUER is set without OIDC_AUDIENCE",
                why="tokens that the provider makes for other applications would open this one",
                remedy="Set OIDC_AUDIENCE to the name that the provider has for this API",
            )
        self._settings, self._issuer = settings, issuer

    async def authenticate(self, token: str) -> Scope:
        """Whom a token is for.

        Raises:
            UnauthenticatedError: It is malformed, forged, expired, not valid yet, of another issuer or for others.
            ForbiddenError: It names no tenant.
            UnavailableError: The keys to check it with cannot be had.
        """
        kid, algorithm = _head(token)
        key = await self._issuer.key(kid, algorithm)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=self._settings.oidc_leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise UnauthenticatedError("the token has expired", remedy=_AGAIN) from None
        except jwt.ImmatureSignatureError:
            raise _invalid("it is not valid yet") from None
        except jwt.InvalidAudienceError:
            raise _invalid("it is for another audience") from None
        except jwt.InvalidIssuerError:
            raise _invalid("it is of another issuer") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, ArithmeticError, RecursionError):
            raise _invalid("its signature or a claim is wrong") from None
        return self._scope(claims)

    def _scope(self, claims: dict[str, Any]) -> Scope:
        settings = self._settings
        subject = _claim(claims, settings.oidc_subject_claim)
        if not isinstance(subject, str) or not re.fullmatch(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}", subject):
            raise _invalid(f"its {settings.oidc_subject_claim} is no subject of 1 to 200 characters")
        tenant = _claim(claims, settings.oidc_tenant_claim)
        if not isinstance(tenant, str) or not _ID.fullmatch(tenant):
            raise ForbiddenError(
                "the token names no tenant",
                why=f"its {settings.oidc_tenant_claim} is not the id of one",
                remedy="The identity provider has to put the tenant's id there",
            )
        return Scope(
            tenant_id=UUID(tenant),
            actor=f"user:{subject}",
            rights=rights_of(self._roles(_claim(claims, settings.oidc_roles_claim))),
        )

    def _roles(self, claimed: Any) -> set[Role]:
        """The roles among what a claim lists, or has between blanks; a provider has others for other applications."""
        names = claimed.split() if isinstance(claimed, str) else claimed if isinstance(claimed, list) else []
        prefix = self._settings.oidc_role_prefix
        return {role for role in Role if f"{prefix}{role}" in names}


def _head(token: str) -> tuple[str | None, str]:
    """The kid and the algorithm of a token that may be looked at any further."""
    if len(token) > MAX_TOKEN:
        raise _invalid(f"it has more than {MAX_TOKEN:,} characters")
    try:
        head = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        raise _invalid("it is no JWT") from None
    algorithm, kind = head.get("alg"), head.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _invalid(f"it is not signed by {' or '.join(ALGORITHMS)}")
    if not isinstance(kind, str) or kind.lower() not in TYPES or "crit" in head:
        raise _invalid("it is of a kind that is not taken here")
    return head.get("kid"), algorithm


def _claim(claims: dict[str, Any], name: str) -> Any:
    """A claim by its name or, where one lies within another, by its JSON Pointer (RFC 6901)."""
    if not name.startswith("/"):
        return claims.get(name)
    found: Any = claims
    for step in name[1:].split("/"):
        if not isinstance(found, dict):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found


def _invalid(why: str) -> UnauthenticatedError:
    return UnauthenticatedError("the token is not valid", why=why, remedy=_AGAIN)
