"""Cursors: where a page ended, signed, so that only whom it was given to goes on, with the query that it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from app.errors import InvalidCursorError
from app.index.model import Position
from app.keyring import Keyring
from app.tenancy import ScopedQuery

_VERSION: Final = 1
_MAC: Final = hashlib.sha256().digest_size


class _Cursor(Struct, frozen=True, array_like=True):
    """What is in a cursor.

    Attributes:
        version: Of this layout.
        expires: When it cannot be used any more, s since 1970.
        owner: Whose it is, and of which query: a digest.
        position: Where the page ended.
    """

    version: int
    expires: int
    owner: bytes
    position: Position


class Cursors:
    """Makes and opens cursors.

    Args:
        ring: Signs them; the same in every process.
        seconds: They can be used for so long, s.
        clock: Tells the time, s since 1970.
    """

    def __init__(self, ring: Keyring, *, seconds: float = 3600.0, clock: Callable[[], float] = time.time) -> None:
        # A key of its own: what signs something else with the same secret signs no cursor.
        self._keys = {key: hmac.digest(key, b"docsearch cursor", "sha256") for key in ring.keys}
        self._ring, self._seconds, self._clock = ring, seconds, clock

    def seal(self, query: ScopedQuery, position: Position) -> str:
        """The cursor to what comes after a position."""
        cursor = _Cursor(_VERSION, int(self._clock() + self._seconds), _owner(query), position)
        body = msgspec.msgpack.encode(cursor)
        return _text(hmac.digest(self._keys[self._ring.signing], body, "sha256") + body)

    def open(self, query: ScopedQuery, text: str) -> Position:
        """Where to go on.

        Raises:
            InvalidCursorError: It is altered, expired, of another tenant or token, or of another query.
        """
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise _invalid("it is none that was given out") from error
        if _text(raw) != text:
            # The decoder takes + for -, / for _, and any letter whose last bits are no byte's.
            raise _invalid("it is none that was given out")
        mac, body = raw[:_MAC], raw[_MAC:]
        right = [hmac.compare_digest(mac, hmac.digest(key, body, "sha256")) for key in self._keys.values()]
        if not any(right):
            raise _invalid("it is none that was given out")
        try:
            found = msgspec.msgpack.decode(body, type=_Cursor)
        except msgspec.DecodeError as error:
            raise _invalid("it is of another version") from error
        if found.version != _VERSION:
            raise _invalid("it is of another version")
        if not hmac.compare_digest(found.owner, _owner(query)):
            raise _invalid("it belongs to another query, or to somebody else")
        if found.expires < self._clock():
            raise _invalid("it has expired")
        return found.position


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _owner(query: ScopedQuery) -> bytes:
    """A digest of tenant, forced filters and query. The size of a page may change from one to the next."""
    same = msgspec.structs.replace(query.query, after=None, offset=0, size=0)
    parts = (query.tenant_id, query.forced, same)
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).digest()


def _invalid(why: str) -> InvalidCursorError:
    return InvalidCursorError(
        "the cursor cannot be used", why=why, remedy="Search again without a cursor", pointer="/cursor"
    )
