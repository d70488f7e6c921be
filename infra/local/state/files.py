"""Files that survive a SIGKILL at any moment, and that say so when they did not survive something else.

Two kinds. A *sealed* file is replaced whole, and its first line holds the hash of the rest. A *log* only grows, and
each of its lines holds its own checksum: a last line that a crash cut short was never acknowledged, so it is dropped,
but a bad line anywhere else is damage and an error.
"""

import fcntl
import hashlib
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from infra.local.state.journal import Json, StateError

_OWNER_ONLY = 0o600


class CorruptFileError(StateError):
    """A file of the state folder is not what was written to it."""


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """Content of a sealed file.

    Attributes:
        body: The bytes that the seal covers.
        sha256: Hexadecimal hash of ``body``.
        facts: What else the first line says about the body.
    """

    body: bytes
    sha256: str
    facts: Json


def write_sealed(path: Path, body: bytes, **facts: object) -> None:
    """Replace a file in one step: a reader, or a crash, sees the old content or the new, never a mixture."""
    seal = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), **facts}
    draft = path.with_name(path.name + ".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY), "wb") as file:
        file.write(json.dumps(seal).encode() + b"\n" + body)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_sealed(path: Path, *, remedy: str) -> Sealed:
    """Read a sealed file and check it.

    Args:
        path: The file.
        remedy: What the reader of the error can do if the file is damaged.

    Raises:
        CorruptFileError: The content does not match the seal.
        FileNotFoundError: There is no such file.
    """
    first, _, body = path.read_bytes().partition(b"\n")
    facts = _seal(path, first, remedy)
    sha256 = hashlib.sha256(body).hexdigest()
    if len(body) != facts["bytes"]:
        raise _corrupt(path, f"it has {len(body)} bytes after its first line, which says {facts['bytes']}", remedy)
    if sha256 != facts["sha256"]:
        raise _corrupt(path, f"its content hashes to {sha256[:12]}..., its first line says {facts['sha256']}", remedy)
    return Sealed(body=body, sha256=sha256, facts=facts)


def read_seal(path: Path, *, remedy: str) -> Json:
    """The first line of a sealed file alone: enough for a list, where the body need not be read."""
    with path.open("rb") as file:
        return _seal(path, file.readline().rstrip(b"\n"), remedy)


def _seal(path: Path, line: bytes, remedy: str) -> Json:
    try:
        facts: Json = json.loads(line)
        return {**facts, "bytes": int(facts["bytes"]), "sha256": str(facts["sha256"])}
    except (ValueError, TypeError, KeyError) as unreadable:
        raise _corrupt(path, "its first line is not the seal that every state file begins with", remedy) from unreadable


def _corrupt(path: Path, why: str, remedy: str) -> CorruptFileError:
    return CorruptFileError(f"state file {path} is corrupt", why=why, remedy=remedy)


class Log:
    """An append-only file of checksummed lines.

    A line goes to the operating system in one write before `append` returns, so a SIGKILL of this process loses
    nothing that was acknowledged. (A power cut can: lines are not synced one by one.)
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, *, remedy: str) -> Self:
        """Open for appending; create if absent, and cut off a last line that was never acknowledged.

        Raises:
            CorruptFileError: A line before the last is damaged.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, _OWNER_ONLY)
        try:
            intact = sum(len(line) + _LINE_OVERHEAD for line in read_log(path, remedy=remedy))
            os.ftruncate(descriptor, intact)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def append(self, record: bytes) -> None:
        """Append one record, which may hold no newline.

        Raises:
            OSError: The disk is full or failing; nothing of the record stays in the file.
        """
        if b"\n" in record:
            raise ValueError("a record of a log is one line")
        line = b"%08x %b\n" % (zlib.crc32(record), record)
        before = os.fstat(self._descriptor).st_size
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            os.ftruncate(self._descriptor, before)
            raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_LINE_OVERHEAD = len(b"00000000 \n")


def read_log(path: Path, *, remedy: str) -> list[bytes]:
    """The records of a log, oldest first; empty if there is no such file.

    Raises:
        CorruptFileError: A line is damaged, other than a last one that was cut short.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        checksum, _, record = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(record):
            raise _corrupt(path, f"line {number} of {len(lines) - 1} does not match its checksum", remedy)
        records.append(record)
    return records


def write_secret(path: Path, secret: bytes) -> None:
    """Write a key or token once, whole or not at all, readable by its owner only.

    Raises:
        FileExistsError: It is there already.
    """
    draft = path.with_name(path.name + ".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY), "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(draft)
    finally:
        draft.unlink()


def read_secret(path: Path) -> bytes:
    """Read a key or token.

    Raises:
        StateError: Others than the owner may read it.
        FileNotFoundError: There is no such file.
    """
    secret = path.read_bytes().strip()
    if (mode := path.stat().st_mode & 0o777) & 0o077:
        raise StateError(
            f"{path} has mode {mode:04o}",
            why="it holds a secret of the local state, which others than its owner could read",
            remedy=f"chmod 600 {path}",
        )
    return secret


def lock_folder(folder: Path) -> int:
    """Take a folder for this process until it ends; the returned descriptor holds the lock.

    Raises:
        StateError: Another process has it.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, _OWNER_ONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StateError(
            f"state folder {folder} is in use",
            why="another state service serves it, and two would overwrite each other",
            remedy="Use that one, or stop it first",
        ) from None
    return descriptor
