"""The keys of an identity provider: fetched without holding anybody up, and used for a while when it is away.

fresh            used as they are
older            used, and fetched again in the background
kid not known    fetched again, unless that was tried a moment ago: made-up kids cost the provider nothing
too old          used no more: whoever signed with a stolen key is locked out in bounded time
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.errors import SettingsError, UnauthenticatedError, UnavailableError
from app.settings import Settings
from app.tls import trusting

log = structlog.get_logger(__name__)

ALGORITHMS: Final = {"RS256": "RSA", "ES256": "EC"}
"""What a token may be signed by, and the type of key for it (RFC 7518, section 3.1). Never what a shared secret signs:
a public key is no secret."""

MIN_RSA_BITS: Final = 2048
"""RFC 7518, section 3.3."""

MAX_BYTES: Final = 256 * 2**10
MAX_KEYS: Final = 100
"""What a provider may answer, bytes, and the keys of it that are looked at: a few kilobytes and keys are usual."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey


@dataclass(frozen=True)
class KeySet:
    """The keys that a provider signs with now.

    Attributes:
        keys: Algorithm, kid (None if it has none) and key of each.
    """

    keys: tuple[tuple[str, str | None, PublicKey], ...]

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> KeySet:
        """The keys of a JWKS that can be used here; the others are left out (RFC 7517, section 5).

        Raises:
            ValueError: None can.
        """
        listed = document.get("keys")
        usable = [key for one in (listed if isinstance(listed, list) else [])[:MAX_KEYS] if (key := _read(one))]
        if not usable:
            raise ValueError("it has no key for " + " or ".join(ALGORITHMS))
        return cls(tuple(usable))

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key of a kid for an algorithm; without a kid the only key for it, if there is one only."""
        found = [key for its, its_kid, key in self.keys if its == algorithm and kid in (None, its_kid)]
        return found[0] if found and (kid is not None or len(found) == 1) else None


def _read(jwk: Any) -> tuple[str, str | None, PublicKey] | None:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None  # for encryption; or a private key, which everybody then has
    if isinstance(operations := jwk.get("key_ops"), list) and "verify" not in operations:
        return None
    algorithm = next((name for name, kty in ALGORITHMS.items() if kty == jwk.get("kty")), None)
    kid = jwk.get("kid")
    if algorithm is None or jwk.get("alg", algorithm) != algorithm or not isinstance(kid, str | None):
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    strong = (
        key.key_size >= MIN_RSA_BITS
        if isinstance(key, RSAPublicKey)
        else isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    )
    return (algorithm, kid, key) if strong else None


class Issuer:
    """Knows the keys of a provider.

    Args:
        fetch: Asks the provider for them.
        refresh_seconds: From this age on keys are fetched again in the background, s.
        interval_seconds: The provider is asked at most once in so long, whatever tokens come, s.
        max_age_seconds: While the provider is away its keys are used up to this age, s.
        clock: Tells the time, s.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[KeySet]],
        *,
        refresh_seconds: float,
        interval_seconds: float,
        max_age_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch, self._clock = fetch, clock
        self._refresh, self._interval, self._max_age = refresh_seconds, interval_seconds, max_age_seconds
        self._keys: KeySet | None = None
        self._fetched_at = self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    async def key(self, kid: str | None, algorithm: str) -> PublicKey:
        """The key that a token says it was signed with.

        Raises:
            UnauthenticatedError: The provider has no such key.
            UnavailableError: No keys are known, and the provider does not answer.
        """
        if self._known() is None:
            await self._ask()
        keys = self._known()
        if keys is None:
            raise UnavailableError(
                "the keys of the identity provider are not known",
                why="it does not answer",
                remedy="Try again, or use an API key",
                retry_after=self._interval,
            )
        if self._clock() - self._fetched_at >= self._refresh:
            self._start()
        found = keys.find(kid, algorithm)
        if found is None:
            # It may be new: who rotates keys signs with them at once.
            await self._ask()
            found = (self._known() or keys).find(kid, algorithm)
        if found is None:
            raise UnauthenticatedError(
                "the token is not valid", why="the identity provider has no key of its kid", remedy="Ask for a new one"
            )
        return found

    async def close(self) -> None:
        """Ends what is being asked."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _known(self) -> KeySet | None:
        return self._keys if self._clock() - self._fetched_at < self._max_age else None

    async def _ask(self) -> None:
        """Asks the provider, with all who want to know, if it was not asked a moment ago."""
        task = self._start()
        if task is not None:
            await asyncio.shield(task)

    def _start(self) -> asyncio.Task[None] | None:
        if self._asking is None and self._clock() - self._asked_at >= self._interval:
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._update())
        return self._asking

    async def _update(self) -> None:
        try:
            self._keys = await self._fetch()
            self._fetched_at = self._clock()
        except UnavailableError as error:
            log.warning("the identity provider gives no keys", reason=error.detail)
        finally:
            self._asking = None


class Fetch:
    """Asks a provider for its keys: within a time, up to a size, over TLS, and nobody else whom it may name.

    Args:
        settings: Who it is.
        transport: How it is reached, instead of by the network.

    Raises:
        SettingsError: An URL is none that may be asked, or the certificates are none.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        for name, url in {"OIDC_ISSUER": settings.oidc_issuer, "OIDC_KEYS_URL": settings.oidc_keys_url}.items():
            if url and not _may_be_asked(url):
                raise SettingsError(
                    f"{name} is not an https URL", why="whoever is between could put keys of their own there"
                )
        try:
            trusted = trusting(settings.oidc_ca)
        except OSError as error:
            raise SettingsError("OIDC_CA cannot be used", why=str(error)) from error
        self._client = httpx.AsyncClient(
            transport=transport,
            verify=trusted,
            headers={"accept": "application/json", "accept-encoding": "identity"},
            timeout=settings.oidc_fetch_seconds,
        )

    async def __call__(self) -> KeySet:
        """The keys.

        Raises:
            UnavailableError: It does not answer, or not with keys.
        """
        try:
            async with asyncio.timeout(self._settings.oidc_fetch_seconds):
                return KeySet.read(await self._get(self._settings.oidc_keys_url or await self._discover()))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError, RecursionError) as error:
            raise UnavailableError("the identity provider does not answer", why=str(error) or "in time") from error

    async def close(self) -> None:
        """Closes connections."""
        await self._client.aclose()

    async def _discover(self) -> str:
        """Where the keys are, by the provider's metadata (OpenID Connect Discovery 1.0, section 4)."""
        issuer = self._settings.oidc_issuer
        metadata = await self._get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if metadata.get("issuer") != issuer:
            raise ValueError("its metadata is of another issuer")
        url = metadata.get("jwks_uri")
        if not isinstance(url, str) or not _may_be_asked(url):
            raise ValueError("its metadata has no https URL of keys")
        return url

    async def _get(self, url: str) -> Mapping[str, Any]:
        read = bytearray()
        async with self._client.stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"it answers {answer.status_code}")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("its answer is compressed, which was not asked for: how large it is is not known")
            async for chunk in answer.aiter_bytes():
                read += chunk
                if len(read) > MAX_BYTES:
                    raise ValueError(f"its answer has more than {MAX_BYTES:,} bytes")
        found: dict[str, Any] = msgspec.json.decode(read, type=dict)
        return found


def _may_be_asked(url: str) -> bool:
    """Whether an URL is https; to this machine, http will do."""
    try:
        parts = urlsplit(url)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        return False
    safe = parts.scheme == "https" or (local and parts.scheme == "http")
    return safe and bool(parts.hostname) and parts.username is None


@asynccontextmanager
async def open_issuer(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> AsyncIterator[Issuer]:
    """What knows a provider's keys by the settings.

    Raises:
        SettingsError: An URL is none that may be asked, or the certificates are none.
    """
    fetch = Fetch(settings, transport)
    issuer = Issuer(
        fetch,
        refresh_seconds=settings.oidc_refresh_seconds,
        interval_seconds=settings.oidc_interval_seconds,
        max_age_seconds=settings.oidc_max_age_seconds,
    )
    try:
        yield issuer
    finally:
        await issuer.close()
        await fetch.close()
