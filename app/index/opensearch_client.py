"""Connections to OpenSearch, and what its errors mean."""

from __future__ import annotations

from typing import Any, Final

import orjson
from opensearchpy import AsyncHttpConnection, AsyncOpenSearch, AWSV4SignerAsyncAuth, JSONSerializer
from opensearchpy.exceptions import SerializationError, TransportError

from app.aws.identity import identity
from app.errors import InvalidQueryError, OverloadedError, UnavailableError
from app.settings import Settings

ADMIN_SECONDS: Final = 60.0
"""How long an answer may take at most: who searches or writes gives it less."""

_TOO_MANY: Final = ("too_many_nested_clauses", "too_many_clauses")


def connect(settings: Settings) -> AsyncOpenSearch:
    """A client with as many connections as searches run at once; whether to try again is not its to decide."""
    signed: dict[str, Any] = {}
    if settings.opensearch_login == "iam":
        who = identity(settings.aws_region, settings.opensearch_role_arn)
        # Of the connection, not of the client, which takes any that is no pair of words for one.
        signed = {"connection_class": Signed, "http_auth": AWSV4SignerAsyncAuth(who, who.region, "es")}
    return AsyncOpenSearch(
        hosts=[{"host": settings.opensearch_host, "port": settings.opensearch_port}],
        use_ssl=settings.opensearch_tls,
        verify_certs=settings.opensearch_tls,
        maxsize=100,
        max_retries=0,
        timeout=ADMIN_SECONDS,
        # A page of hits is a few KiB: to compress it costs a search more than to send it between two zones. What is
        # large, a bulk request, is compressed where it is made.
        headers={"accept-encoding": "identity"},
        serializer=_Json(),
        **signed,
    )


class _Json(JSONSerializer):
    """JSON by orjson: a page of hits, or what became of 500 documents, in a fraction of the time."""

    def loads(self, s: str) -> Any:
        """Reads an answer."""
        try:
            return orjson.loads(s)
        except ValueError as error:
            raise SerializationError(s, error) from error

    def dumps(self, data: Any) -> Any:
        """Makes a request."""
        return data if isinstance(data, (str, bytes)) else orjson.dumps(data).decode()


class Signed(AsyncHttpConnection):
    """A connection whose requests are signed: credentials are waited for before, since the signer itself cannot."""

    async def perform_request(self, *args: Any, **more: Any) -> Any:
        """Sends a request."""
        await self._http_auth.signer.credentials.credentials()
        return await super().perform_request(*args, **more)

    def _raise_error(self, status_code: Any, raw_data: Any, content_type: str | None = None) -> None:
        # This class of the library does not pass on what kind of answer it got, and no JSON would be read.
        super()._raise_error(status_code, raw_data, content_type or "application/json")


def translated(error: TransportError) -> Exception:
    """What is wrong, in our own words."""
    status = error.status_code if isinstance(error.status_code, int) else 0
    if status == 429:
        return OverloadedError("OpenSearch has as much to do as it can", retry_after=1)
    if status == 404:
        return UnavailableError("OpenSearch lacks an index", why=str(error.error), remedy="Run docsearch-api migrate")
    if status == 400:
        # What is in an answer may hold names of others' indexes: it is for the log, as this one's cause.
        return InvalidQueryError("OpenSearch does not take the query", remedy="Ask for less at once", pointer="/query")
    if any(reason in _all(error) for reason in _TOO_MANY):
        # A 500 until OpenSearch's pull request 21725 of July 2026; it is the caller's fault all the same.
        return InvalidQueryError("the query has too many words", remedy="Use fewer", pointer="/query")
    return UnavailableError("OpenSearch does not answer as it should", why=f"HTTP {status}", retry_after=1)


def lost(error: TransportError) -> bool:
    """Whether a point in time is not there any more: it has passed, or a node that had a part of it has left."""
    return error.status_code == 404 or (error.status_code == 500 and "no node found for id" in _all(error))


def _all(error: TransportError) -> str:
    """All that OpenSearch has said: the reason of a shard is deep within."""
    return f"{error.error} {error.info}"
