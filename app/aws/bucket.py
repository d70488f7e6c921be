"""Objects below a prefix of a bucket in S3: listed, read, and written once. Nothing is written over or deleted."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import httpx

from app.aws.identity import Identity, domain, elsewhere, identity
from app.errors import ApiError, SettingsError, UnavailableError
from app.resilience.deadline import Budget, retrying

PLACE: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/([A-Za-z0-9][A-Za-z0-9_./-]{0,500}?)/?")
"""A place as it is written down. Names of buckets: S3 user guide, "General purpose bucket naming rules"."""

CALL_SECONDS: Final = 10.0

AT_ONCE: Final = 16
"""Objects that are read or written at once."""

_WHY: Final = {
    "NoSuchBucket": ("there is no such bucket", "Compare it with the buckets of the account"),
    "NoSuchKey": ("there is no such object", ""),
    "AccessDenied": (
        "this process may not do it",
        "Give its role s3:ListBucket, s3:GetObject, s3:PutObject there and the use of the bucket's key",
    ),
    "InvalidAccessKeyId": ("AWS does not know the credentials of this process", "Look at its role"),
    "SignatureDoesNotMatch": ("AWS does not know the credentials of this process", "Look at its role"),
    "PermanentRedirect": ("the bucket is in another region", "AWS_REGION has to be the bucket's"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "AWS_REGION has to be the bucket's"),
}

_NO_QUERY: Final[Mapping[str, str]] = MappingProxyType({})

_BY_STATUS: Final = {301: "PermanentRedirect", 403: "AccessDenied"}
"""What a status says alone: some answers have no body."""


class Bucket:
    """A prefix of a bucket.

    Args:
        place: Such as ``s3://BUCKET/PREFIX``.
        variable: What gives the place, for errors.
        who: Whose credentials, in the bucket's region; by default this process's.
        region: Of the bucket.

    Raises:
        SettingsError: The place cannot be one, or no region is said.
    """

    def __init__(self, place: str, *, variable: str, region: str = "", who: Identity | None = None) -> None:
        match = PLACE.fullmatch(place)
        if not match:
            raise SettingsError(
                f"{variable} is {place[:200]!r}", why="that is no place in S3", remedy="Write it s3://BUCKET/PREFIX"
            )
        self._bucket, self._prefix, self._budget = match[1], f"{match[2]}/", Budget()
        self._who = who or identity(region)
        given, regional = elsewhere("S3"), f"s3.{self._who.region}.{domain(self._who.region)}"
        if given or "." in self._bucket:
            # A name with dots is more labels than the certificate of S3 covers.
            self._url = f"{given or f'https://{regional}'}/{self._bucket}/"
        else:
            self._url = f"https://{self._bucket}.{regional}/"

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    async def names(self) -> list[str]:
        """What there is, by name behind the prefix, in S3's order (UTF-8).

        Raises:
            SettingsError: There is no such bucket, or this process may not list it.
            UnavailableError: S3 does not answer, three times.
        """
        found: list[str] = []
        ask = {"list-type": "2", "prefix": self._prefix}
        async with self._open() as http:
            while True:
                answer = await self._call(http, "GET", "", query=ask)
                try:
                    # What is read came from S3, by TLS.
                    page = ElementTree.fromstring(answer.content)  # noqa: S314
                except ElementTree.ParseError as error:
                    raise UnavailableError("S3 does not answer", why="its list is no XML") from error
                found += [(key.text or "").removeprefix(self._prefix) for key in page.iterfind("{*}Contents/{*}Key")]
                following = page.findtext("{*}NextContinuationToken")
                if page.findtext("{*}IsTruncated") != "true" or not following:
                    return found
                ask["continuation-token"] = following

    async def read(self, names: Sequence[str]) -> list[bytes]:
        """Objects, in the order in which they are asked for.

        Raises:
            SettingsError: There is no such object, or this process may not read it.
            UnavailableError: S3 does not answer, three times.
        """
        async with self._open() as http:
            answers = await self._few(self._call(http, "GET", self._prefix + name) for name in names)
        return [answer.content for answer in answers]

    async def write_once(self, objects: Mapping[str, bytes]) -> list[str]:
        """Makes objects, except those that there are: the first of two that write at once has made it.

        Returns:
            The names of those that were there before.

        Raises:
            SettingsError: There is no such bucket, or this process may not write there.
            UnavailableError: S3 does not answer, three times.
        """
        async with self._open() as http:
            answers = await self._few(
                self._call(http, "PUT", self._prefix + name, body=body) for name, body in objects.items()
            )
        there = httpx.codes.PRECONDITION_FAILED
        return [name for name, answer in zip(objects, answers, strict=True) if answer.status_code == there]

    def _open(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=CALL_SECONDS, trust_env=False)

    async def _few(self, calls: Iterable[Coroutine[Any, Any, httpx.Response]]) -> list[httpx.Response]:
        """Makes calls, some of them at once. The first that fails ends all."""
        free = asyncio.Semaphore(AT_ONCE)

        async def one(call: Coroutine[Any, Any, httpx.Response]) -> httpx.Response:
            async with free:
                return await call

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(call)) for call in calls]
        except* ApiError as errors:
            raise next(_leaves(errors)) from None
        return [task.result() for task in tasks]

    async def _call(
        self, http: httpx.AsyncClient, method: str, key: str, *, body: bytes = b"", query: Mapping[str, str] = _NO_QUERY
    ) -> httpx.Response:
        url = self._url + quote(key) + (f"?{urlencode(query, quote_via=quote, safe='')}" if query else "")
        headers: dict[str, str] = {}
        if method == "PUT":
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            headers = {"if-none-match": "*", "content-type": "application/json", "x-amz-checksum-sha256": digest}

        async def once() -> httpx.Response:
            signed = await self._who.headers("s3", url, body, headers, method=method)
            try:
                answer = await http.request(method, url, content=body, headers=signed)
            except httpx.HTTPError as error:
                raise UnavailableError("S3 does not answer", why=type(error).__name__) from error
            return self._checked(method, key, answer)

        return await retrying(once, budget=self._budget)

    def _checked(self, method: str, key: str, answer: httpx.Response) -> httpx.Response:
        status = answer.status_code
        if answer.is_success or (method == "PUT" and status == httpx.codes.PRECONDITION_FAILED):
            return answer
        kind = _kind(answer) or _BY_STATUS.get(status, "")
        # 409: another write of the same object is not done yet (S3 user guide, "Conditional writes").
        if answer.is_server_error or status in (httpx.codes.CONFLICT, httpx.codes.TOO_MANY_REQUESTS):
            raise UnavailableError("S3 does not answer", why=kind or str(status))
        why, remedy = _WHY.get(kind, (f"S3 says {kind[:80] or status}", ""))
        done = "written" if method == "PUT" else "read" if key else "listed"
        raise SettingsError(f"s3://{self._bucket}/{key or self._prefix} cannot be {done}", why=why, remedy=remedy)


def _kind(answer: httpx.Response) -> str:
    """The code in the body of an error; empty if there is none."""
    try:
        return ElementTree.fromstring(answer.content).findtext("Code") or ""  # noqa: S314 - as above
    except ElementTree.ParseError:
        return ""


def _leaves(errors: BaseExceptionGroup[ApiError]) -> Iterator[ApiError]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
