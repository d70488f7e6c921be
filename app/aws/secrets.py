"""Values in AWS Secrets Manager: where they are is in a setting that ends in ``_ARN``, what they are only here."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import msgspec
import structlog

from app.aws.identity import Identity, domain, elsewhere, identity
from app.errors import ApiError, SettingsError, UnavailableError
from app.resilience.deadline import Budget, retrying

log = structlog.get_logger(__name__)

ARN: Final = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):\d{12}:secret:[A-Za-z0-9/_+=.@!-]+")
"""A secret that another service keeps, such as RDS's of the master user, has a ``!`` in its name."""

READ_SECONDS: Final = 5.0

KEPT_SECONDS: Final = 3600.0
"""A login is read again after so long, s."""

DOUBT_SECONDS: Final = 5.0
"""A login that is refused is read again, but not more often than this, s: who tries to log in may be many."""

_PREVIOUS: Final = "AWSPREVIOUS"
"""The label of the version that was in force before (Secrets Manager user guide, "What's in a secret?")."""

_TYPE: Final = "application/x-amz-json-1.1"

_WHY: Final = {
    "AccessDeniedException": (
        "this process may not read it",
        "Name the secret in the rights of its role: components/search_service_plan.py, RoleSpec.secrets",
    ),
    "ResourceNotFoundException": ("there is none, or it has no value yet", "Compare it with the ARN in the console"),
    "DecryptionFailure": ("its key cannot be used", "Allow kms:Decrypt through Secrets Manager"),
    "InvalidRequestException": ("it was deleted", "Restore it: aws secretsmanager restore-secret"),
    "UnrecognizedClientException": ("AWS does not know the credentials of this process", "Look at its role"),
}

_BUSY: Final = frozenset({"ThrottlingException", "InternalServiceError", "RequestLimitExceeded"})


async def read(variable: str, arn: str, *, who: Identity | None = None) -> str:
    """The text of a secret, as it is now.

    Args:
        variable: What gives the ARN, for errors.
        arn: Where the secret is.
        who: Reads it; by default this process.

    Raises:
        SettingsError: The ARN is malformed, or the secret is missing, refused or binary. No error shows a value.
        UnavailableError: Secrets Manager does not answer, three times.
    """
    text = await _version(variable, arn, "AWSCURRENT", who)
    assert text is not None
    return text


async def read_previous(variable: str, arn: str, *, who: Identity | None = None) -> str | None:
    """The text that a secret had before it was changed last; None if it never was.

    Args:
        variable: What gives the ARN, for errors.
        arn: Where the secret is, which has to be there.
        who: Reads it; by default this process.

    Raises:
        SettingsError: The ARN is malformed, or the former text is refused or binary. No error shows a value.
        UnavailableError: Secrets Manager does not answer, three times.
    """
    return await _version(variable, arn, _PREVIOUS, who)


async def _version(variable: str, arn: str, stage: str, who: Identity | None) -> str | None:
    match = ARN.fullmatch(arn)
    if not match:
        raise SettingsError(f"{variable} is {arn[:200]!r}", why="it is no ARN of a secret in Secrets Manager")
    its = who or identity(match[1])
    return await retrying(lambda: _ask(variable, arn, stage, its), budget=Budget())


async def _ask(variable: str, arn: str, stage: str, who: Identity) -> str | None:
    url = f"{elsewhere('SECRETS_MANAGER') or f'https://secretsmanager.{who.region}.{domain(who.region)}'}/"
    body = msgspec.json.encode({"SecretId": arn, "VersionStage": stage})
    plain = {"content-type": _TYPE, "x-amz-target": "secretsmanager.GetSecretValue"}
    headers = await who.headers("secretsmanager", url, body, plain)
    try:
        async with httpx.AsyncClient(timeout=READ_SECONDS, trust_env=False) as http:
            answer = await http.post(url, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise UnavailableError("Secrets Manager does not answer", why=type(error).__name__) from error
    try:
        found: Any = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        found = {}
    found = found if isinstance(found, dict) else {}
    if answer.status_code == httpx.codes.OK:
        text = found.get("SecretString")
        if not isinstance(text, str):
            raise SettingsError(f"the secret of {variable} has no text", why="a binary one is not read")
        return text
    kind = str(found.get("__type", "")).rpartition("#")[2]
    if answer.status_code == httpx.codes.FORBIDDEN and not kind:
        kind = "AccessDeniedException"
    if stage == _PREVIOUS and kind == "ResourceNotFoundException":
        # A secret that was never changed has no such version.
        return None
    if answer.is_server_error or kind in _BUSY:
        raise UnavailableError("Secrets Manager does not answer", why=kind or str(answer.status_code))
    why, remedy = _WHY.get(kind, (f"AWS says {kind[:80] or answer.status_code}", ""))
    raise SettingsError(f"{variable}, {arn}, cannot be read", why=why, remedy=remedy)


@dataclass(frozen=True)
class Login:
    """A name and a password.

    Attributes:
        user: Whose password it is; empty if the secret does not say.
        password: The password.
    """

    user: str
    password: str = field(repr=False)


def parse_login(variable: str, text: str) -> Login:
    """A login as a secret has it: an object with ``username`` and ``password``, as RDS writes it, or a password alone.

    Raises:
        SettingsError: It is neither.
    """
    if not text.lstrip().startswith("{"):
        if not text.strip():
            raise SettingsError(f"the secret of {variable} is empty")
        return Login("", text)
    wanted = "an object has username and password, both text"
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        # The decoder's own words might repeat a piece of it.
        raise SettingsError(f"the secret of {variable} is no JSON", why=wanted) from None
    user, password = found.get("username"), found.get("password")
    if not isinstance(user, str) or not isinstance(password, str) or not password:
        raise SettingsError(f"the secret of {variable} is no login", why=wanted)
    return Login(user, password)


class RotatedLogin:
    """A login that somebody changes from time to time: it is read again when it is old, and when it is refused.

    Args:
        variable: What gives the ARN.
        arn: Where it is.
        reader: Reads a secret's text.
        clock: Tells the time, s.
    """

    def __init__(
        self, variable: str, arn: str, *, reader: Any = read, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._variable, self._arn, self._reader, self._clock = variable, arn, reader, clock
        self._login: Login | None = None
        self._read_at, self._doubted = 0.0, False

    async def get(self) -> Login:
        """The login.

        Raises:
            SettingsError: It cannot be read, and never was.
            UnavailableError: Secrets Manager does not answer, and never did.
        """
        now = self._clock()
        age = now - self._read_at
        if self._login is not None and age < (DOUBT_SECONDS if self._doubted else KEPT_SECONDS):
            return self._login
        try:
            self._login = parse_login(self._variable, await self._reader(self._variable, self._arn))
        except ApiError as error:
            if self._login is None:
                raise
            # What opened an hour ago most likely still does: nobody logs in less for a manager that is away.
            log.warning("secret_not_read", variable=self._variable, reason=error.detail)
        self._read_at, self._doubted = now, False
        return self._login

    def refused(self) -> None:
        """It does not open: the next one to ask has it read again."""
        self._doubted = True
