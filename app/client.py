"""A typed client of the API.

    with Client("http://127.0.0.1:8080", "dsk_...") as docsearch:
        written = docsearch.add(Document(title="Green tea", content="Steam the leaves."))
        docsearch.wait(written.task_id)
        for hit in docsearch.search(SearchRequest(q="leaf", facets=("tags",))).hits:
            print(hit.fields["title"])

What the API refuses is raised as `ProblemError`. What may work another time (429, 503, no answer) is tried again,
at most three times, after what ``Retry-After`` says, or with full jitter.

A write may be carried out although its answer is lost. One that does the same when it is sent twice is tried again. One
that would then be refused for what it did itself (with a version, or a bulk request that creates, deletes or has
versions) is tried again only if it was not carried out: it was answered 429, or no connection came about. Otherwise
`UnansweredError`, or a `ProblemError` with `may_be_done`, says that it may have been: look before you send it again.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
import msgspec

from app.access.keys import ApiKey
from app.document import Document
from app.http.administration import (
    Audit,
    AuditRow,
    ErasureRequest,
    KeyList,
    KeyRequest,
    NewKey,
    NewToken,
    TokenRequest,
    Verification,
    Whoami,
)
from app.http.documents import Accepted, BulkAnswer, Line, Tasks, Versions
from app.http.searches import (
    MultiAnswer,
    MultiRequest,
    PopularQueries,
    SearchAnswer,
    Suggestions,
    Synonym,
    Synonyms,
)
from app.index.model import Filter, Hit
from app.search.parse import SearchRequest
from app.store.documents import Effect, Found
from app.store.erasures import Erasure
from app.store.tasks import State, Task
from app.tls import trusting

__all__ = ["Client", "Document", "Line", "ProblemError", "SearchRequest", "State", "UnansweredError"]

ATTEMPTS: Final = 3
FIRST_DELAY: Final = 0.2
LAST_DELAY: Final = 10.0
"""Between attempts: a random time up to 0.2 s, 0.4 s, ...; never longer than 10 s."""

_NOT_DONE: Final = frozenset({429})
_AGAIN: Final = _NOT_DONE | {503}
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_T = TypeVar("_T")


class ProblemError(Exception):
    """What the API refused.

    Attributes:
        status: The HTTP status.
        code: What kind of problem it is, such as ``precondition-failed``.
        detail: What is wrong, and why.
        remedy: What to do about it.
        pointer: Where in the request.
        correlation_id: Finds the log lines of the request.
        may_be_done: Whether it may have been carried out all the same, by this attempt (from 500 on) or one before.
    """

    def __init__(self, status: int, body: dict[str, Any], *, may_be_done: bool = False) -> None:
        self.status, self.may_be_done = status, may_be_done
        self.code: str = body.get("code", "unknown")
        self.detail: str = body.get("detail", f"HTTP {status}")
        self.remedy: str = body.get("remedy", "")
        self.pointer: str = body.get("pointer", "")
        self.correlation_id: str = body.get("correlation_id", "")
        super().__init__(f"{status} {self.code}: {self.detail}")


class UnansweredError(httpx.TransportError):
    """No answer came to a write that is not sent twice: it may have been carried out."""


class Client:
    """A client, for one key or token. It keeps connections open; close it, or use it in a ``with``.

    Args:
        url: Where the API is.
        credential: An API key or a tenant token.
        timeout: For each attempt, s.
        transport: Carries requests instead of the network.
        ca: File with the certificates that the API's is checked by; by default those that httpx comes with.
        certificate: File with the certificate that the API is shown, its chain and its private key (mTLS).
        key: File with that private key, if it is another one.

    Raises:
        OSError: A file cannot be read, or does not hold that.
    """

    def __init__(
        self,
        url: str,
        credential: str,
        *,
        timeout: float = 15.0,
        transport: httpx.BaseTransport | None = None,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
    ) -> None:
        headers = {"authorization": f"Bearer {credential}", "user-agent": "docsearch-client"}
        trusted: ssl.SSLContext | bool = True
        if ca is not None or certificate is not None:
            trusted = trusting(ca) if ca else httpx.create_ssl_context()
            if certificate is not None:
                trusted.load_cert_chain(certificate, key)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport, verify=trusted)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of connections."""
        self._http.close()

    def search(self, request: SearchRequest) -> SearchAnswer:
        """Searches: one page."""
        return self._ask("POST", "/v1/search", SearchAnswer, body=request)

    def hits(self, request: SearchRequest) -> Iterator[Hit]:
        """Searches, page after page, to the end."""
        while True:
            answer = self.search(request)
            yield from answer.hits
            if not answer.next:
                return
            request = msgspec.structs.replace(request, cursor=answer.next, offset=0)

    def multi_search(self, *requests: SearchRequest) -> MultiAnswer:
        """Carries out several searches at once."""
        return self._ask("POST", "/v1/multi-search", MultiAnswer, body=MultiRequest(requests))

    def suggest(self, prefix: str, size: int = 5) -> Suggestions:
        """Completes what is being typed."""
        return self._ask("GET", "/v1/suggest", Suggestions, params={"q": prefix, "size": size})

    def popular(self, size: int = 20, *, found_nothing: bool = False) -> PopularQueries:
        """What is asked most, or most in vain."""
        params = {"size": size, "found": "nothing" if found_nothing else "anything"}
        return self._ask("GET", "/v1/popular-queries", PopularQueries, params=params)

    def synonyms(self) -> Synonyms:
        """All synonyms."""
        return self._ask("GET", "/v1/synonyms", Synonyms)

    def put_synonym(self, word: str, *alternatives: str) -> Synonyms:
        """Says what a word may also be called."""
        return self._ask("PUT", f"/v1/synonyms/{quote(word, safe='')}", Synonyms, body=Synonym(alternatives))

    def delete_synonym(self, word: str) -> None:
        """Takes a word's synonyms away."""
        try:
            self._ask("DELETE", f"/v1/synonyms/{quote(word, safe='')}", type(None))
        except ProblemError as problem:
            if not _done_before(problem):
                raise

    def add(self, document: Document) -> Accepted:
        """Adds a document, unless the same one is there: so it may be tried again."""
        return self._ask("POST", "/v1/documents", Accepted, body=document)

    def put(self, document_id: UUID, document: Document, *, version: int | None = None) -> Accepted:
        """Replaces a document, or adds it under this id.

        Args:
            document_id: Which.
            document: What it becomes.
            version: The version that it must have.
        """
        return self._ask("PUT", f"/v1/documents/{document_id}", Accepted, body=document, version=version)

    def patch(self, document_id: UUID, changes: dict[str, Any], *, version: int | None = None) -> Accepted:
        """Changes some of a document."""
        return self._ask("PATCH", f"/v1/documents/{document_id}", Accepted, body=changes, version=version)

    def delete(self, document_id: UUID, *, version: int | None = None) -> Accepted:
        """Deletes a document.

        If an answer is lost and the next attempt finds no document, it is deleted: by the first one, whose version and
        task nobody knows then (0 and None).
        """
        try:
            return self._ask("DELETE", f"/v1/documents/{document_id}", Accepted, version=version)
        except ProblemError as problem:
            if _done_before(problem):
                return Accepted(document_id, 0, Effect.DELETED, None)
            raise

    def get(self, document_id: UUID) -> Found:
        """Reads a document."""
        return self._ask("GET", f"/v1/documents/{document_id}", Found)

    def versions(self, document_id: UUID) -> Versions:
        """Reads the versions of a document that were replaced."""
        return self._ask("GET", f"/v1/documents/{document_id}/versions", Versions)

    def bulk(self, lines: Iterable[Line]) -> BulkAnswer:
        """Writes many documents at once.

        Raises:
            UnansweredError: No answer came, and a line would be refused for what it may have done: it creates a
                document under an id, deletes one, or has a version.
        """
        every = [*lines]
        body = b"\n".join(map(msgspec.json.encode, every))
        media, twice = "application/x-ndjson", all(map(_does_the_same_twice, every))
        return self._ask("POST", "/v1/documents/bulk", BulkAnswer, body=body, media=media, twice=twice)

    def tasks(self, state: State | None = None, size: int = 20) -> Tasks:
        """The newest tasks."""
        params = {"size": size} | ({"state": state.value} if state else {})
        return self._ask("GET", "/v1/tasks", Tasks, params=params)

    def task(self, task_id: UUID) -> Task:
        """Where a task is."""
        return self._ask("GET", f"/v1/tasks/{task_id}", Task)

    def cancel(self, task_id: UUID) -> Task:
        """Takes back what a task was to do, as long as work on it has not begun."""
        return self._ask("DELETE", f"/v1/tasks/{task_id}", Task)

    def wait(self, task_id: UUID | None, seconds: float = 60.0) -> Task | None:
        """Waits until a task has ended.

        Args:
            task_id: The task; None, as a write without effect has it, is no wait.
            seconds: At most so long, s.

        Raises:
            TimeoutError: It has not ended by then.
        """
        if task_id is None:
            return None
        end, pause = time.monotonic() + seconds, 0.05
        while True:
            task = self.task(task_id)
            if task.state not in (State.ENQUEUED, State.PROCESSING):
                return task
            if time.monotonic() >= end:
                raise TimeoutError(f"task {task_id} is {task.state} after {seconds:g} s")
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

    def token(self, subject: str, filters: tuple[Filter, ...] = (), seconds: int = 900) -> NewToken:
        """Makes a short-lived token that is bound to filters."""
        return self._ask("POST", "/v1/tokens", NewToken, body=TokenRequest(subject, filters, seconds))

    def whoami(self) -> Whoami:
        """For whom the credential is."""
        return self._ask("GET", "/v1/me", Whoami)

    def keys(self) -> KeyList:
        """API keys, the newest first."""
        return self._ask("GET", "/v1/keys", KeyList)

    def create_key(
        self, *scopes: str, name: str = "", rate_limit: int | None = None, expires_at: datetime | None = None
    ) -> NewKey:
        """Makes an API key, which is in this answer and nowhere else.

        Raises:
            UnansweredError: No answer came: a key may be there that nobody has.
        """
        return self._ask("POST", "/v1/keys", NewKey, body=KeyRequest(scopes, name, rate_limit, expires_at), twice=False)

    def revoke_key(self, prefix: str) -> ApiKey:
        """Revokes an API key, by its prefix or its id."""
        return self._ask("DELETE", f"/v1/keys/{quote(prefix, safe='')}", ApiKey)

    def audit(self) -> Iterator[AuditRow]:
        """The audit trail, the newest first, page after page to its beginning."""
        before: int | None = None
        while True:
            page = self._ask("GET", "/v1/audit", Audit, params={"before": before} if before else None)
            yield from page.rows
            if page.next is None:
                return
            before = page.next

    def verify_audit(self, known: Verification | None = None) -> Verification:
        """Goes through the audit trail to its end, or until it is broken.

        Args:
            known: An earlier verdict to begin behind; by default the whole trail is gone through.
        """
        while True:
            params = {"after": known.rows, "head": known.head} if known and known.rows else None
            known = self._ask("GET", "/v1/audit/verify", Verification, params=params)
            if known.ended or not known.whole:
                return known

    def erase(self, user_id: str | int) -> Erasure:
        """Erases all documents of a user. To ask twice does what asking once does."""
        return self._ask("POST", "/v1/erasures", Erasure, body=ErasureRequest(user_id))

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[_T],
        *,
        body: Any = None,
        params: dict[str, Any] | None = None,
        version: int | None = None,
        media: str = "application/json",
        twice: bool = True,
    ) -> _T:
        """Sends a request until it is answered; one that may not come ``twice`` only until it may have been taken."""
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"content-type": media} if content is not None else {}
        if version is not None:
            headers["if-match"] = f'"{version}"'
            twice = False
        may_be_done = False
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer = self._http.request(method, path, content=content, headers=headers, params=params)
            except httpx.TransportError as error:
                sent = not isinstance(error, _NOT_SENT)
                if sent and not twice:
                    told = f"{method} {path} has no answer, and may have been carried out: {error}"
                    raise UnansweredError(told) from error
                if last:
                    raise
                may_be_done |= sent
                _pause(attempt, None)
                continue
            may_be_done |= answer.is_server_error
            if answer.status_code in (_AGAIN if twice else _NOT_DONE) and not last:
                _pause(attempt, answer.headers.get("retry-after"))
                continue
            break
        if answer.is_success:
            if kind is type(None):
                return kind()
            return msgspec.json.decode(answer.content, type=kind)
        try:
            problem = msgspec.json.decode(answer.content, type=dict[str, Any])
        except msgspec.DecodeError:
            problem = {}
        raise ProblemError(answer.status_code, problem, may_be_done=may_be_done)


def _done_before(problem: ProblemError) -> bool:
    """Whether what is to go is not there, and an attempt before whose answer was lost may have seen to that."""
    return problem.status == httpx.codes.NOT_FOUND and problem.may_be_done


def _does_the_same_twice(line: Line) -> bool:
    """Whether a line that is sent again finds what it did, and leaves it at that."""
    creates = line.action == "create" and line.id is not None
    return line.version is None and line.action != "delete" and not creates


def _pause(attempt: int, retry_after: str | None) -> None:
    if retry_after and retry_after.isdecimal():
        time.sleep(min(float(retry_after), LAST_DELAY))
    else:
        time.sleep(random.uniform(0, min(FIRST_DELAY * 2**attempt, LAST_DELAY)))  # noqa: S311 - spreads load
