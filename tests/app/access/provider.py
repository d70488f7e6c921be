"""An identity provider: keys of its own, tokens that it signs, and what it answers to who asks for its keys."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.access.issuer import Issuer, KeySet, PublicKey
from app.access.users import Users
from app.errors import UnavailableError
from app.settings import Settings

ISSUER = "https://login.example"
AUDIENCE = "docsearch"
SETTINGS = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE}

#: Made once: an RSA key takes a tenth of a second.
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def jwk(private: Any, kid: str | None = None, **more: Any) -> dict[str, Any]:
    """The public half of a key, as a provider shows it."""
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(private, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    shown = json.loads(algorithm.to_jwk(private.public_key()))
    shown.pop("key_ops", None)
    return {**shown, **({"kid": kid} if kid else {}), **more}


@dataclass
class Provider:
    """A provider that can be down, slow, or wrong."""

    keys: dict[str, Any] = field(default_factory=lambda: {"rsa": RSA, "ec": EC})
    asked: int = 0
    down: bool = False

    def token(self, kid: str | None = "rsa", private: Any = None, /, head: Any = None, **claims: Any) -> str:
        """A token that is right, but for what is said: a claim that is None is left out."""
        key = private or self.keys[kid or "rsa"]
        now = datetime.now(UTC)
        right = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + timedelta(hours=1)}
        held = {name: value for name, value in (right | claims).items() if value is not None}
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(held, key, algorithm=algorithm, headers={**({"kid": kid} if kid else {}), **(head or {})})

    async def fetch(self) -> KeySet:
        """Its keys, without HTTP."""
        try:
            return KeySet.read(self.answer())
        except ValueError as error:
            raise UnavailableError("the identity provider does not answer", why=str(error)) from error

    def answer(self) -> dict[str, Any]:
        self.asked += 1
        return {"keys": [jwk(private, kid) for kid, private in self.keys.items()]}

    def transport(self) -> httpx.MockTransport:
        """How it is reached."""

        def handle(request: httpx.Request) -> httpx.Response:
            if self.down:
                raise httpx.ConnectError("down", request=request)
            if request.url.path.endswith("/openid-configuration"):
                return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"})
            return httpx.Response(200, json=self.answer())

        return httpx.MockTransport(handle)

    def users(self, settings: Settings) -> Users:
        """What opens its tokens."""
        its = settings.model_copy(update=SETTINGS)
        issuer = Issuer(self.fetch, refresh_seconds=300, interval_seconds=30, max_age_seconds=3600)
        return Users(its, issuer)


def public(private: Any) -> PublicKey:
    """The public half of a key."""
    found: PublicKey = private.public_key()
    return found
