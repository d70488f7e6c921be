"""Everything that changed the local cloud, in order, on disk: moto itself keeps all in memory.

One file, one line for each request, appended after moto answered and before the caller hears of it. So a process that
is killed loses at most a change that nobody was told of, and a replay of the file gives exactly the changes that
callers know. Each line is compressed and encrypted (bodies hold secrets); the key lies beside the file, for its owner
only. The first line tells for which account the journal is, and holds the salt of all ids.

    <directory>/key        Fernet key, mode 0600
    <directory>/journal    lines of Fernet tokens, mode 0600; locked while a process has it open
"""

import fcntl
import json
import os
import secrets
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.fernet import InvalidToken

from infra.errors import LocalCloudError
from infra.local.vault import RESET, fernet

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Header:
    """What holds for a whole journal.

    Attributes:
        format: Version of the file's format and of the way ids are drawn.
        account: AWS account id that the local cloud answers as.
        salt: Hexadecimal; decides all ids.
        born: When the local cloud began, in seconds since the epoch.
    """

    format: int
    account: str
    salt: str
    born: float


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One request and how it was answered.

    Attributes:
        sequence: Its place, from 1.
        when: When it was answered, in seconds since the epoch.
        environ: The textual part of its WSGI environment.
        preserved: moto's record of header names that the environment cannot spell.
        status: HTTP status of the answer.
        digest: Of the answer's body, to notice a replay that goes another way.
        body: The request's body.
    """

    sequence: int
    when: float
    environ: dict[str, str]
    preserved: dict[str, str]
    status: int
    digest: str
    body: bytes

    def encode(self) -> bytes:
        head = {key: value for key, value in vars(self).items() if key != "body"}
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + self.body

    @classmethod
    def decode(cls, data: bytes) -> "Entry":
        head, _, body = data.partition(b"\n")
        return cls(**json.loads(head), body=body)


class Journal:
    """The journal of one directory, open for one process. Read it (`entries`) before you `append`.

    Args:
        directory: Where it lies; made if missing.
        account: AWS account id for a new journal.

    Attributes:
        sequence: Of the last request read or appended; 0 before the first.
        dropped: Bytes of an unfinished last line that reading removed.

    Raises:
        LocalCloudError: It is in use, belongs to another account, or cannot be read.
    """

    def __init__(self, directory: Path, account: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = directory / "journal"
        self.sequence = 0
        self.dropped = 0
        self._read = False
        self._written = self._synced = 0
        self._syncing = threading.Lock()
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._lock()
            fresh = os.fstat(self._file).st_size == 0
            self._fernet = fernet(directory / "key", protects=self.path, fresh=fresh)
            self.header = self._open(account)
        except BaseException:
            os.close(self._file)
            raise

    def count(self) -> int:
        """How many requests the file holds, by its line ends."""
        with self.path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b"")) - 1

    def entries(self) -> Iterator[Entry]:
        """All requests in order.

        A last line that was cut off or spoilt (the machine lost power while it was written) is dropped for good.

        Raises:
            LocalCloudError: A line before the last one is damaged or missing.
        """
        with self.path.open("rb") as file:
            offset = len(file.readline())
            for number, line in enumerate(file, start=2):
                data = self._decrypt(line)
                if data is None:
                    if not file.read(1):
                        self.dropped = len(line)
                        os.ftruncate(self._file, offset)
                        break
                    raise self._damaged(f"line {number} does not decrypt")
                entry = Entry.decode(data)
                if entry.sequence != number - 1:
                    raise self._damaged(f"line {number} holds request {entry.sequence} instead of {number - 1}")
                self.sequence = entry.sequence
                yield entry
                offset += len(line)
        self._read = True

    def append(self, entry: Entry) -> None:
        """Writes the next request down. Survives the death of this process, not yet that of the machine.

        Raises:
            OSError: The disk refused. Nothing of the entry is left behind.
        """
        if not self._read or entry.sequence != self.sequence + 1:
            raise ValueError(f"request {entry.sequence} does not follow {self.sequence}")
        self._write(entry.encode())
        self.sequence = entry.sequence

    def sync(self) -> None:
        """Returns when all that was appended so far survives the death of the machine too.

        Callers that wait together share one write to the disk.
        """
        target = self._written
        with self._syncing:
            if self._synced < target:
                reached = self._written
                os.fdatasync(self._file)
                self._synced = reached

    def close(self) -> None:
        self.sync()
        os.close(self._file)

    def _write(self, data: bytes) -> None:
        line = self._fernet.encrypt(zlib.compress(data, 1)) + b"\n"
        end = os.fstat(self._file).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, end)
            raise
        self._written += 1

    def _decrypt(self, line: bytes) -> bytes | None:
        if not line.endswith(b"\n"):
            return None
        try:
            return zlib.decompress(self._fernet.decrypt(line[:-1]))
        except InvalidToken:
            return None

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalCloudError(
                f"{self.path} is in use",
                why="another process of the local cloud has it open",
                remedy="`docsearch local status` tells which; `docsearch local stop` ends it",
            ) from None

    def _open(self, account: str) -> Header:
        with self.path.open("rb") as file:
            line = file.readline()
            following = file.read(1)
        data = self._decrypt(line)
        if data is None and following:
            raise self._damaged("line 1 does not decrypt")
        if data is None:
            os.ftruncate(self._file, 0)
            header = Header(format=FORMAT, account=account, salt=secrets.token_hex(16), born=time.time())
            self._write(json.dumps(asdict(header)).encode())
            os.fsync(self._file)
            return header
        fields = json.loads(data)
        if fields["format"] != FORMAT:
            raise LocalCloudError(
                f"{self.path} has format {fields['format']}, this docsearch reads {FORMAT}",
                why="it was written by another version",
                remedy=f"Use that version; or {RESET}",
            )
        header = Header(**fields)
        if header.account != account:
            raise LocalCloudError(
                f"{self.path} belongs to account {header.account}, not {account}",
                why="the ARNs in it hold the account",
                remedy=f"Ask for account {header.account}; or {RESET}",
            )
        return header

    def _damaged(self, what: str) -> LocalCloudError:
        return LocalCloudError(
            f"{self.path} is damaged ({what})",
            why="it was changed from outside, or the disk failed; the requests after that line build on it",
            remedy=f"Restore the file from a copy; or {RESET}",
        )
