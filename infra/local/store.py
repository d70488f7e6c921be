"""What the local cloud keeps of resources that it only records: no behaviour, nothing is checked here.

One SQLite file for all scopes (an AWS region, a Kubernetes cluster). Bodies are encrypted, since they hold secrets; the
key lies beside the file, for its owner only. A process may be killed at any moment: what `put` or `delete` returned for
is on disk, what they did not return for is there whole or not at all.

    <path>        SQLite database, mode 0600, with SQLite's own -wal and -shm files beside it
    <path>.key    Fernet key, mode 0600
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import InvalidToken

from infra.errors import LocalCloudError
from infra.local.vault import RESET, fernet

FORMAT = 1

Record = dict[str, Any]

_BUSY_SECONDS = 10.0

_TABLES = """
CREATE TABLE record (
    scope TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (scope, type, id)
) WITHOUT ROWID;
CREATE TABLE counter (scope TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Kept:
    """One recorded resource.

    Attributes:
        scope: Where it is: an AWS region, a Kubernetes cluster.
        type: What it is, in the words of the package that recorded it.
        id: Its id within scope and type.
        record: What the package wanted to keep.
    """

    scope: str
    type: str
    id: str
    record: Record


class Store:
    """The recorded resources of one local cloud, for all threads of a process.

    Args:
        path: The database; made if missing.

    Raises:
        LocalCloudError: The file or its key cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise LocalCloudError(
                f"{path} cannot be read ({error})",
                why="it was changed from outside, or the disk failed",
                remedy=f"Restore the file from a copy; or {RESET}",
            ) from error
        except BaseException:
            self._db.close()
            raise

    def put(self, scope: str, type: str, id: str, record: Mapping[str, Any]) -> None:
        """Keep a record, in place of one of the same identity. It is on disk when this returns."""
        body = self._fernet.encrypt(zlib.compress(json.dumps(record, separators=(",", ":")).encode(), 1))
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?)", (scope, type, id, body))

    def get(self, scope: str, type: str, id: str) -> Record | None:
        """The record, or None when there is none.

        Raises:
            LocalCloudError: It does not decrypt.
        """
        query = "SELECT body FROM record WHERE scope = ? AND type = ? AND id = ?"
        with self._lock:
            row = self._db.execute(query, (scope, type, id)).fetchone()
        return self._decrypt(row[0], f"{type} {id}") if row else None

    def delete(self, scope: str, type: str, id: str) -> bool:
        """Forget a record; whether there was one."""
        query = "DELETE FROM record WHERE scope = ? AND type = ? AND id = ?"
        with self._lock:
            return self._db.execute(query, (scope, type, id)).rowcount > 0

    def all(self, scope: str | None = None, type: str | None = None) -> list[Kept]:
        """The records of a scope and a type, or of every one, in the order of their identity.

        Raises:
            LocalCloudError: One does not decrypt.
        """
        query = "SELECT * FROM record WHERE scope = ifnull(?, scope) AND type = ifnull(?, type) ORDER BY 1, 2, 3"
        with self._lock:
            rows = self._db.execute(query, (scope, type)).fetchall()
        return [Kept(in_, of, id_, self._decrypt(body, f"{of} {id_}")) for in_, of, id_, body in rows]

    def count_up(self, scope: str) -> int:
        """The next number of a scope: 1, 2, 3, ... No number comes twice, also after a kill."""
        query = "INSERT INTO counter VALUES (?, 1) ON CONFLICT (scope) DO UPDATE SET value = value + 1 RETURNING value"
        with self._lock:
            ((value,),) = self._db.execute(query, (scope,)).fetchall()  # to its end, else it is not committed yet
        return int(value)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside one change: all of it is kept, or none. Other threads and processes wait."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file. Nothing is lost without it."""
        with self._lock:
            self._db.close()

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        # Each commit reaches the disk before it returns, as in the journal of the AWS side: the two must not disagree
        # after a power failure.
        self._db.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found not in {0, FORMAT}:
                raise LocalCloudError(
                    f"{self.path} has format {found}, this docsearch reads {FORMAT}",
                    why="it was written by another version",
                    remedy=f"Use that version; or {RESET}",
                )
            self._fernet = fernet(self.path.with_name(f"{self.path.name}.key"), protects=self.path, fresh=found == 0)
            if found == 0:
                for statement in filter(str.strip, _TABLES.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {FORMAT}")
            elif sample := self._db.execute("SELECT body, id FROM record LIMIT 1").fetchone():
                self._decrypt(*sample)

    def _decrypt(self, body: bytes, what: str) -> Record:
        try:
            record: Record = json.loads(zlib.decompress(self._fernet.decrypt(body)))
        except InvalidToken:
            raise LocalCloudError(
                f"{self.path} is damaged ({what} does not decrypt)",
                why="it was changed from outside, or its key is that of another file",
                remedy=f"Restore the file and its key from a copy; or {RESET}",
            ) from None
        return record
