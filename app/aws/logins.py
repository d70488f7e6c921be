"""How a process logs in to what it needs: by what the settings hold, by Secrets Manager, or by a signed token.

A token is made for each new connection and is good for 15 minutes; a connection that is open outlives it. A password in
Secrets Manager is read again when it is refused, so that who rotates it does not have to tell anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

import structlog
from pydantic import SecretStr
from redis.credentials import CredentialProvider

from app.aws import secrets
from app.aws.identity import identity
from app.aws.secrets import Login, RotatedLogin
from app.errors import SettingsError
from app.settings import MIN_SECRET, SECRETS, Settings

log = structlog.get_logger(__name__)

Password = str | Callable[[], Awaitable[str]] | None
"""What asyncpg takes: a password, or what makes one for each new connection."""


async def with_secrets(settings: Settings) -> Settings:
    """The settings, with what the service signs and hashes with read from where it is, and what it did so with before.

    Raises:
        SettingsError: A secret cannot be read.
        UnavailableError: Secrets Manager does not answer.
    """
    arns = {name: arn for name in SECRETS if (arn := settings.arn(name))}
    found = await asyncio.gather(*(_versions(f"{name.upper()}_ARN", arn) for name, arn in arns.items()))
    update: dict[str, SecretStr | str] = {}
    for name, (text, former) in zip(arns, found, strict=True):
        update |= {name: SecretStr(text), f"{name}_arn": ""}
        if former:
            given: SecretStr | None = getattr(settings, f"{name}_previous")
            older = given.get_secret_value() if given else ""
            update[f"{name}_previous"] = SecretStr(f"{former} {older}")
    return settings.model_copy(update=update)


async def _versions(variable: str, arn: str) -> tuple[str, str]:
    """A secret, and the one before it; empty if that opens nothing."""
    text, former = await asyncio.gather(secrets.read(variable, arn), secrets.read_previous(variable, arn))
    former = (former or "").strip()
    if former and (len(former) < MIN_SECRET or len(former.split()) > 1):
        # What somebody put there until there was a real one must open nothing; and words are former ones, each of them.
        log.warning("former_secret_ignored", variable=variable)
        former = ""
    return text, "" if former == text.strip() else former


@cache
def rotated(variable: str, arn: str) -> RotatedLogin:
    """The one copy of a login that this process keeps."""
    return RotatedLogin(variable, arn)


class DatabaseLogin:
    """How one user logs in to PostgreSQL.

    Args:
        settings: What is said of it.
        user: The user.
    """

    def __init__(self, settings: Settings, user: str) -> None:
        self._settings, self._user = settings, user
        arn = settings.database_password_arn
        self._secret = rotated("DATABASE_PASSWORD_ARN", arn) if arn else None

    def password(self, host: str) -> Password:
        """The password at a host, or what makes one for each connection; None if the login needs none."""
        its = self._settings

        async def make() -> str:
            login = await self._secret.get() if self._secret else Login("", "")
            # A secret that says whose it is, as the master user's does, is nobody else's.
            if login.password and (login.user or self._user) == self._user:
                return login.password
            if its.database_login == "iam":
                return await identity(its.aws_region).database_token(host, its.database_port, self._user)
            raise SettingsError(
                f"{self._user} has no password", why=f"DATABASE_PASSWORD_ARN has the one of {login.user}"
            )

        if self._secret is not None or its.database_login == "iam":
            return make
        return its.database_password.get_secret_value() if its.database_password else None

    def refused(self) -> bool:
        """PostgreSQL has refused it: whether to try once more, since the next password may be another one."""
        if self._secret is not None:
            self._secret.refused()
        return self._secret is not None


class CacheLogin(CredentialProvider):
    """How this process logs in to ElastiCache: with a token that is made for each new connection.

    Args:
        region: Of the cache.
        name: Its identifier.
        user: Name of the user.
    """

    def __init__(self, region: str, name: str, user: str) -> None:
        self._region, self._name, self._user = region, name, user

    async def get_credentials_async(self) -> tuple[str, str]:
        """The user, and a token."""
        return self._user, await identity(self._region).cache_token(self._name, self._user)


def cache_login(settings: Settings) -> CredentialProvider | None:
    """How to log in to Redis, if not by the settings' own user and password.

    Raises:
        SettingsError: A token cannot be made: it is for a cache and for a user, and both have names.
    """
    if settings.cache_login != "iam":
        return None
    for name, value in {"CACHE_NAME": settings.cache_name, "CACHE_USER": settings.cache_user}.items():
        if not value:
            raise SettingsError(f"{name} is not set", why="a login token names the cache and the user that it is for")
    identity(settings.aws_region)
    return CacheLogin(settings.aws_region, settings.cache_name, settings.cache_user)


async def broker_login(settings: Settings) -> Login:
    """How to log in to RabbitMQ: looked up for each connection, since a mounted Secret changes as one elsewhere does.

    Raises:
        SettingsError: It is nowhere.
        UnavailableError: Secrets Manager does not answer.
    """
    if settings.broker_password_arn:
        found = await rotated("BROKER_PASSWORD_ARN", settings.broker_password_arn).get()
        return Login(settings.broker_user or found.user or "guest", found.password)
    if folder := settings.broker_login_folder:
        user, password = await asyncio.to_thread(lambda: [_file(folder / name) for name in ("username", "password")])
        return Login(user, password)
    given = settings.broker_password
    return Login(settings.broker_user or "guest", given.get_secret_value() if given else "guest")


def broker_refused(settings: Settings) -> None:
    """RabbitMQ has refused the login."""
    if settings.broker_password_arn:
        rotated("BROKER_PASSWORD_ARN", settings.broker_password_arn).refused()


def _file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read", why=type(error).__name__) from error
