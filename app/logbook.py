"""What is kept outside of what is restored: the erasure ledger, and the heads of the audit trail.

A logbook is only added to. A line is a JSON object that names the deployment and the hash of all lines before, so one
that is altered, lost, moved or of another deployment is told from a good one. What was cut off at the end in whole
lines cannot be seen in the file itself: keep it where nobody can write but by adding. A ledger in a bucket
(`app.ledger`) is many logbooks of one line.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import orjson

from app.errors import SettingsError

Book = Literal["erasures", "audit"]

_START: Final = "0" * 64


def read(file: Path, book: Book, deployment: UUID) -> list[dict[str, Any]]:
    """The entries of a logbook, the oldest first. All of it has to be whole: half a ledger erases half.

    Raises:
        SettingsError: It cannot be read, a line of it is broken, or it is of another deployment or kind.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{file} cannot be read",
            why=error.strerror or str(error),
            remedy="Take it from where it is kept; docsearch-api makes a first one by: erasures export FILE",
        ) from error
    return parse(str(file), raw, book, deployment)


def parse(place: str, raw: bytes, book: Book, deployment: UUID) -> list[dict[str, Any]]:
    """The entries of a logbook that was read from somewhere.

    Raises:
        SettingsError: A line of it is broken, or it is of another deployment or kind.
    """
    return [entry for entry, _ in _lines(place, raw, book, deployment)]


def first_line(book: Book, deployment: UUID, entry: Mapping[str, Any]) -> bytes:
    """A logbook of one entry."""
    return _line(_START, book, deployment, entry)[0]


def add(file: Path, book: Book, deployment: UUID, entries: Sequence[Mapping[str, Any]], *, key: str) -> int:
    """Adds entries that are not there yet, and returns when they are on disk.

    Args:
        file: The logbook; made if there is none.
        book: What it holds.
        deployment: Whose it is.
        entries: What to add; values are text and numbers.
        key: The member that tells entries apart.

    Returns:
        How many were added.

    Raises:
        SettingsError: It cannot be written, or what is there is broken.
    """
    try:
        with file.open("a+b") as out:
            # One writer at a time: a line names all lines before it.
            fcntl.flock(out, fcntl.LOCK_EX)
            out.seek(0)
            there = _lines(str(file), out.read(), book, deployment)
            known = {entry[key] for entry, _ in there}
            last = there[-1][1] if there else _START
            new = [dict(entry) for entry in entries if entry[key] not in known]
            for entry in new:
                line, last = _line(last, book, deployment, entry)
                out.write(line)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise SettingsError(f"{file} cannot be written", why=error.strerror or str(error)) from error
    return len(new)


def _line(last: str, book: Book, deployment: UUID, entry: Mapping[str, Any]) -> tuple[bytes, str]:
    """A line, with its hash."""
    body = {"book": book, "deployment": str(deployment), **entry}
    its = _hash(last, body)
    return orjson.dumps({**body, "hash": its}) + b"\n", its


def _lines(place: str, raw: bytes, book: Book, deployment: UUID) -> list[tuple[dict[str, Any], str]]:
    """Entries with their hashes."""
    found: list[tuple[dict[str, Any], str]] = []
    last = _START
    lines = raw.split(b"\n")
    if lines.pop():
        raise _broken(place, len(lines) + 1, "it is cut off in the middle")
    for number, line in enumerate(lines, 1):
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise _broken(place, number, "it is no JSON") from error
        if not isinstance(entry, dict) or not {"book", "deployment", "hash"} <= entry.keys():
            raise _broken(place, number, "it is no entry of a logbook")
        if entry["book"] != book:
            raise SettingsError(f"{place} holds {str(entry['book'])[:40]!r}", why=f"{book} was expected")
        if entry["deployment"] != str(deployment):
            raise SettingsError(
                f"{place} is of the deployment {str(entry['deployment'])[:40]}",
                why=f"this is {deployment}",
                remedy="Take the one that was kept for this database",
            )
        said = entry.pop("hash")
        last = _hash(last, entry)
        if said != last:
            raise _broken(place, number, "it does not follow from the lines before it")
        found.append((entry, last))
    return found


def _broken(place: str, number: int, why: str) -> SettingsError:
    return SettingsError(
        f"line {number} of {place} is broken", why=why, remedy="Take an older version of it, or another copy"
    )


def _hash(last: str, body: Mapping[str, Any]) -> str:
    return hashlib.sha256(last.encode() + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
