"""The connections to Redis: one client for a process, to one server or to a cluster."""

from __future__ import annotations

import ssl
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.aws.logins import cache_login
from app.settings import Settings

Client = Redis | RedisCluster

CONNECT_SECONDS: Final = 5.0
"""The last resort alone. How long Redis is waited for is decided around each call (`app.resilience.deadline.limit`),
which knows, as the client does not, whether it was this process that stood still."""

MAX_CONNECTIONS: Final = 100


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
