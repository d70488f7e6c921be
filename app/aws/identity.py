"""Who this process is in AWS: credentials of the usual chain (Pod Identity, IRSA, environment, profile), and signing.

botocore finds and refreshes them; that may take a call to an agent, so it is done in a thread. What is signed here is
signed by botocore's own signer (Signature Version 4): a request to a service, or a link that stands for a password.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from app.errors import SettingsError, UnavailableError

# botocore is imported by who signs something: it takes a third of a second, and most processes on a desk need none.
if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

FROZEN_SECONDS: Final = 60.0
"""Credentials are asked for again after so long, s. botocore has new ones 10 minutes before the old ones end."""

TOKEN_SECONDS: Final = 900
"""A login token opens a connection for so long, s: RDS's and ElastiCache's own figure (user guides, "IAM")."""


class Identity:
    """The credentials of this process in one region.

    Args:
        region: Such as ``us-east-1``.
        find: Finds credentials, as botocore has them: what refreshes itself has ``get_frozen_credentials``.
        clock: Tells the time, s.
    """

    def __init__(
        self, region: str, *, find: Callable[[], Any] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.region = region
        self._find, self._clock = find or _chain, clock
        self._source: Any = None
        self._frozen: ReadOnlyCredentials | None = None
        self._read_at = 0.0

    async def credentials(self) -> ReadOnlyCredentials:
        """Credentials that are valid for some minutes.

        Raises:
            SettingsError: Nobody gives this process any.
            UnavailableError: Who gives them does not answer.
        """
        if self._frozen is None or self._clock() - self._read_at >= FROZEN_SECONDS:
            # Two at once ask twice, which does no harm: botocore lets one of them refresh.
            self._frozen = await asyncio.to_thread(self._read)
            self._read_at = self._clock()
        return self._frozen

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """What was read last, for a signer that cannot wait; `credentials` comes before it."""
        assert self._frozen is not None, "nobody has waited for credentials"
        return self._frozen

    async def headers(
        self, service: str, url: str, body: bytes, headers: Mapping[str, str], *, method: str = "POST"
    ) -> dict[str, str]:
        """The headers of a request, signed."""
        from botocore.auth import S3SigV4Auth, SigV4Auth  # noqa: PLC0415
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        request = AWSRequest(method, url, data=body, headers=dict(headers))
        # S3 signs a path as it is, where the others tidy it up first, and wants the digest of the body besides.
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        signer(await self.credentials(), service, self.region).add_auth(request)
        return dict(request.headers.items())

    async def database_token(self, host: str, port: int, user: str) -> str:
        """What a user of RDS logs in with instead of a password."""
        return await self._link("rds-db", f"{host}:{port}", {"Action": "connect", "DBUser": user})

    async def cache_token(self, name: str, user: str) -> str:
        """What a user of ElastiCache logs in with instead of a password.

        Args:
            name: Identifier of the replication group: the token is for it, not for the address of one of its nodes.
            user: Name of the user, which is its id.
        """
        return await self._link("elasticache", name, {"Action": "connect", "User": user})

    async def _link(self, service: str, host: str, query: Mapping[str, str]) -> str:
        from botocore.auth import SigV4QueryAuth  # noqa: PLC0415
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415

        request = AWSRequest("GET", f"https://{host}/?{urlencode(query)}")
        SigV4QueryAuth(await self.credentials(), service, self.region, expires=TOKEN_SECONDS).add_auth(request)
        # The scheme is for the signer alone: the token begins with the host.
        return str(request.url).removeprefix("https://")

    def _read(self) -> ReadOnlyCredentials:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            if self._source is None:
                self._source = self._find()
            if self._source is None:
                raise SettingsError(
                    "this process has no credentials in AWS",
                    remedy="Give its service account a role (EKS Pod Identity), or set AWS_PROFILE",
                )
            frozen: ReadOnlyCredentials = self._source.get_frozen_credentials()
        except ClientError as error:
            raise SettingsError(
                "another role cannot be taken",
                why=str(error.response["Error"]["Code"]),
                remedy="The rights of this process's role, and the trust policy of the other one, must allow "
                "sts:AssumeRole and sts:TagSession",
            ) from error
        except (BotoCoreError, OSError) as error:
            # Their texts name the provider and the address that was asked, never what it answered.
            raise UnavailableError("AWS gives no credentials", why=type(error).__name__, retry_after=1) from error
        return frozen


def elsewhere(service: str) -> str:
    """Where a service is instead of in AWS, without a slash behind it; empty if nobody says so.

    Args:
        service: As environment variables name it, such as ``SECRETS_MANAGER`` (AWS SDKs and Tools reference,
            "Service-specific endpoints").
    """
    return (os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL") or "").rstrip("/")


def domain(region: str) -> str:
    """What the names of AWS's services end with in a region."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _chain() -> Any:
    from botocore.session import Session  # noqa: PLC0415

    return Session().get_credentials()


def _assumed(region: str, role_arn: str) -> Any:
    """Credentials of a role that this process takes, and takes again before they end."""
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    session = Session()
    own = session.get_credentials()
    if own is None:
        return None
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=partial(session.create_client, region_name=region),
        source_credentials=own,
        role_arn=role_arn,
        extra_args={"RoleSessionName": "docsearch"},
    )
    return DeferredRefreshableCredentials(method="assume-role", refresh_using=fetcher.fetch_credentials)


@cache
def identity(region: str, role_arn: str = "") -> Identity:
    """The one identity of this process in a region.

    Args:
        region: Such as ``us-east-1``.
        role_arn: A role that it takes; by default it is itself.

    Raises:
        SettingsError: No region is said.
    """
    if not region:
        raise SettingsError("AWS_REGION is not set", why="what is signed for AWS is signed for one region")
    return Identity(region, find=partial(_assumed, region, role_arn) if role_arn else None)
