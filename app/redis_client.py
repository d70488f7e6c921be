"""The connections to Redis: one client for a process, to one server or to a cluster."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, ResponseError

from app.aws.logins import cache_login
from app.errors import UnavailableError
from app.settings import Settings

log = structlog.get_logger(__name__)

Client = Redis | RedisCluster

CONNECT_SECONDS: Final = 5.0
"""The last resort alone. How long Redis is waited for is decided around each call (`app.resilience.deadline.limit`),
which knows, as the client does not, whether it was this process that stood still."""

MAX_CONNECTIONS: Final = 100

READ_ONLY_SECONDS: Final = 30.0
"""After a write was refused by a Redis that only reads, the next one is tried so much later, s: it may be promoted."""


class Writes:
    """Whether Redis takes writes.

    The one of a standby region follows the primary region's and answers reads alone: it is there, and a write that it
    refuses is no failure.

    Args:
        clock: Tells the time, s.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused, self._again_at = False, 0.0

    @property
    def refused(self) -> bool:
        """Whether it has refused one a moment ago, and need not be asked."""
        return self._refused and self._clock() < self._again_at

    def note(self, *, refused: bool) -> None:
        """Notes what became of a write."""
        if refused is not self._refused:
            self._refused = refused
            log.info("redis_reads_only" if refused else "redis_takes_writes")
        if refused:
            self._again_at = self._clock() + READ_ONLY_SECONDS


def failure(error: Exception) -> Exception:
    """What an error of the client means: that Redis does not answer, or only (`ReadOnlyError`) that it only reads."""
    # Of a script's write Redis 6 says it in the middle of an error of its own.
    if isinstance(error, ReadOnlyError) or (isinstance(error, ResponseError) and "-READONLY " in str(error)):
        return ReadOnlyError(str(error))
    return UnavailableError("Redis does not answer", why=type(error).__name__)


def open_client(settings: Settings) -> Client | None:
    """A client, which connects when it is first used; None if the settings name no Redis.

    A cache that has an identifier is ElastiCache's, and that is a cluster (`components/elasticache.py` makes no other).
    """
    if not settings.cache_host:
        return None
    password = settings.cache_password
    options: dict[str, Any] = {
        "host": settings.cache_host,
        "port": settings.cache_port,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "max_connections": MAX_CONNECTIONS,
        # Once, at once: a connection of the pool may be to a server that has been started again since. Whether to try
        # any further is not for the client to decide.
        "retry": Retry(NoBackoff(), 1),
        "ssl": settings.cache_tls,
    }
    if login := cache_login(settings):
        # Asked for each connection: a token opens one for 15 minutes, and ElastiCache ends it after 12 hours.
        options["credential_provider"] = login
    else:
        options |= {
            "username": settings.cache_user or None,
            "password": password.get_secret_value() if password else None,
        }
    if settings.cache_tls:
        options["ssl_min_version"] = ssl.TLSVersion.TLSv1_2
    return RedisCluster(**options) if settings.cache_name else Redis(**options)
