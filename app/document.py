"""A document as callers send it, and what is checked before it is stored. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeGuard

import msgspec
from msgspec import Struct

from app.errors import InvalidDocumentError
from app.index.model import Scalar

MAX_TITLE: Final = 1_000
MAX_NAME: Final = 200
MAX_TAGS: Final = 50
MAX_METADATA: Final = 50
MAX_VALUE: Final = 1_000
"""Bounds of the parts of a document, characters and counts: what a facet or a filter can still sensibly hold."""

MAX_INDEXED: Final = 2_500
"""A title, and `USER`, in UTF-8, bytes: each is in a row of a B-tree, and PostgreSQL refuses one that has more than
2,704 bytes with all its columns (a third of a page)."""

USER: Final = "user_id"
"""The metadata field that says whose a document is."""

KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""The key of a metadata field: it becomes part of a field's name in queries."""

LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
"""The shape of a language tag (RFC 5646)."""

SAFE_INTEGER: Final = 2**53 - 1
"""Whole numbers that every JSON reader keeps exactly (RFC 8259, section 6)."""

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far a caller's clock may be ahead."""


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A document.

    Attributes:
        title: What it is called, 1 to 1,000 characters, and 2,500 bytes as UTF-8 at most.
        content: Its text.
        author: Who wrote it.
        language: A language tag such as ``en``.
        tags: What it is filed under, 50 at most.
        metadata: A caller's own fields: text, numbers and booleans, 50 at most. ``user_id`` has 2,500 bytes at most.
        published_at: When it came out, with a time zone, not in the future; by default when it is first stored.
    """

    title: str
    content: str = ""
    author: str = ""
    language: str = "en"
    tags: tuple[str, ...] = ()
    metadata: dict[str, Scalar] = {}
    published_at: datetime | None = None

    def digest(self) -> bytes:
        """SHA-256 over all but the date: documents that say the same have equal digests, whenever they came out."""
        undated = msgspec.structs.replace(self, published_at=None)
        return hashlib.sha256(msgspec.json.encode(undated, order="deterministic")).digest()

    def size(self) -> int:
        """Its size as JSON, bytes."""
        return len(msgspec.json.encode(self))


def check(document: Document, *, max_bytes: int, now: datetime | None = None) -> Document:
    """A document that can be stored: dates in UTC, tags in order and once each, 42.0 in the metadata as 42.

    JSON makes no difference between 42.0 and 42. What compares texts would: a user of the one is a user of the other.

    Raises:
        InvalidDocumentError: Something in it cannot be stored; the pointer says where.
    """
    _text("title", document.title, MAX_TITLE, least=1)
    _indexed("title", document.title)
    _text("content", document.content, max_bytes)
    _text("author", document.author, MAX_NAME)
    if not LANGUAGE.fullmatch(document.language):
        raise InvalidDocumentError(
            f"language is {document.language[:40]!r}", why="it is no language tag, such as en", pointer="/language"
        )
    _count("tags", len(document.tags), MAX_TAGS)
    for index, tag in enumerate(document.tags):
        _text(f"tags/{index}", tag, MAX_NAME, least=1)
    _count("metadata", len(document.metadata), MAX_METADATA)
    metadata = {key: _metadata(key, value) for key, value in document.metadata.items()}
    published = _date(document.published_at, now or datetime.now(UTC))
    tags = tuple(sorted({*document.tags}))
    found = msgspec.structs.replace(document, tags=tags, metadata=metadata, published_at=published)
    if (size := found.size()) > max_bytes:
        raise InvalidDocumentError(f"the document has {size:,} bytes", why=f"{max_bytes:,} is the most")
    return found


def decode(body: bytes) -> Document:
    """Reads a document from JSON.

    Raises:
        InvalidDocumentError: It is no JSON, or not the JSON of a document.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error) from error


def convert(value: Any) -> Document:
    """Reads a document from a JSON value.

    Raises:
        InvalidDocumentError: It is not the JSON of a document.
    """
    try:
        return msgspec.convert(value, Document)
    except msgspec.ValidationError as error:
        raise unreadable(error) from error


def merged(document: Document, patch: Any) -> Document:
    """A document with a merge patch (RFC 7396) applied: null removes, an object is merged, all else replaces.

    Raises:
        InvalidDocumentError: The patch is no object, or no document comes of it.
    """
    if not isinstance(patch, dict):
        raise InvalidDocumentError("the patch is no JSON object", remedy="Send the fields that change")
    try:
        return convert(_merge(msgspec.to_builtins(document), patch))
    except RecursionError as error:
        raise unreadable(error) from error


def as_given(metadata: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Metadata of the database as it was given: there 1e16 becomes a whole number, which `check` would refuse."""
    return {key: float(value) if _is_unsafe(value) else value for key, value in metadata.items()}


def unreadable(error: Exception) -> InvalidDocumentError:
    """What is wrong with a JSON that cannot be read, with the place that msgspec names as a pointer."""
    what, _, place = str(error).partition(" - at `")
    return InvalidDocumentError("the document cannot be read", why=what, pointer=pointer(place.rstrip("`")))


def pointer(place: str) -> str:
    """What msgspec calls ``$.tags[0]`` as a JSON Pointer: ``/tags/0``. Members without a name are left out."""
    return re.sub(r"\.|\[", "/", place.removeprefix("$").replace("[...]", "").replace("]", ""))


_DECODER: Final = msgspec.json.Decoder(Document)
_NOT_STORABLE: Final = re.compile("[\0\ud800-\udfff]")


def _merge(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merge(found.get(key), value)
    return found


def storable(text: str) -> bool:
    """Whether PostgreSQL and JSON can hold a text: no NUL, and no half of a surrogate pair."""
    return _NOT_STORABLE.search(text) is None


def _text(name: str, value: str, most: int, *, least: int = 0) -> None:
    if not least <= len(value) <= most:
        raise InvalidDocumentError(
            f"{name} has {len(value):,} characters", why=f"it has {least} to {most:,}", pointer=f"/{name}"
        )
    if not storable(value):
        raise InvalidDocumentError(
            f"{name} holds U+0000 or half of a surrogate pair", why="it cannot be stored", pointer=f"/{name}"
        )


def _indexed(name: str, value: str) -> None:
    if (size := len(value.encode())) > MAX_INDEXED:
        raise InvalidDocumentError(
            f"{name} has {size:,} bytes as UTF-8",
            why=f"{MAX_INDEXED:,} is the most that an index of the database holds",
            pointer=f"/{name}",
        )


def _count(name: str, found: int, most: int) -> None:
    if found > most:
        raise InvalidDocumentError(f"there are {found} {name}", why=f"{most} is the most", pointer=f"/{name}")


def _metadata(key: str, value: Scalar) -> Scalar:
    if not KEY.fullmatch(key):
        raise InvalidDocumentError(
            f"a metadata field is called {key[:80]!r}",
            why="a name is a letter or _, then up to 63 letters, digits and _",
            pointer="/metadata",
        )
    if isinstance(value, str):
        _text(f"metadata/{key}", value, MAX_VALUE)
        if key == USER:
            _indexed(f"metadata/{key}", value)
    elif _is_unsafe(value):
        raise InvalidDocumentError(
            f"metadata.{key} is a whole number beyond 2^53 - 1",
            why="JSON readers would round it",
            remedy="Send it as text",
            pointer=f"/metadata/{key}",
        )
    elif isinstance(value, float) and value.is_integer() and abs(value) <= SAFE_INTEGER:
        return int(value)
    return value


def _is_unsafe(value: Scalar) -> TypeGuard[int]:
    return isinstance(value, int) and abs(value) > SAFE_INTEGER


def _date(value: datetime | None, now: datetime) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise InvalidDocumentError(
            f"published_at is {value.isoformat()}, without a time zone",
            remedy="Add Z, or an offset such as +01:00",
            pointer="/published_at",
        )
    try:
        found = value.astimezone(UTC)
    except OverflowError:
        raise InvalidDocumentError(
            f"published_at is {value.isoformat()}",
            why="in UTC it lies outside of the calendar",
            pointer="/published_at",
        ) from None
    if found > now + CLOCK_SKEW:
        raise InvalidDocumentError(
            f"published_at is {found.isoformat()}, in the future",
            why=f"it is {now.isoformat(timespec='seconds')} here",
            pointer="/published_at",
        )
    return found
