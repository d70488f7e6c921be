"""The ledger of erasures: kept outside of the database and its backups, and asked before one is served.

A file for who has a disk that is not restored; a prefix of a bucket in S3 for pods, which have none. There each erasure
is an object of its own, ``PREFIX/DEPLOYMENT/ERASURE.json``, with one line of a logbook (`app.logbook`), and is written
by a conditional put: what is there is never written over, and two that write at once write it once. That nothing is
deleted is up to the bucket: who notes erasures needs no right to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from app import logbook
from app.aws.bucket import Bucket
from app.errors import SettingsError
from app.settings import Settings

VARIABLE: Final = "DOCSEARCH_ERASURE_LEDGER"


class _Entry(msgspec.Struct):
    """What an entry has (`app.store.erasures.entries`)."""

    erasure_id: UUID
    tenant_id: UUID
    field: str
    subject: str
    key: str
    asked_at: str


class Ledger(Protocol):
    """Where erasures are noted. Every method raises SettingsError if it is broken or another deployment's."""

    async def ids(self, deployment: UUID) -> list[UUID]:
        """Which erasures are noted."""
        ...

    async def read(self, deployment: UUID) -> list[dict[str, Any]]:
        """All that is noted, the oldest first. All of it has to be whole: half a ledger erases half."""
        ...

    async def add(self, deployment: UUID, entries: Sequence[Mapping[str, Any]]) -> int:
        """Notes what is not noted yet, and says how much that was. It is safe once this returns."""
        ...


def ledger_at(place: str, settings: Settings) -> Ledger:
    """The ledger at a place.

    Args:
        place: A file, or ``s3://BUCKET/PREFIX``.
        settings: Say in which region the bucket is.

    Raises:
        SettingsError: There can be none.
    """
    if "://" in place or place.startswith("s3:"):
        return BucketLedger(Bucket(place, variable=VARIABLE, region=settings.aws_region))
    return FileLedger(Path(place))


def ledger_of(settings: Settings) -> Ledger | None:
    """The ledger of this process, if it has one."""
    return ledger_at(settings.erasure_ledger, settings) if settings.erasure_ledger else None


class FileLedger:
    """A ledger in a file.

    Args:
        file: A logbook.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def __str__(self) -> str:
        return str(self._file)

    async def ids(self, deployment: UUID) -> list[UUID]:
        """Which erasures are noted."""
        return [UUID(entry["erasure_id"]) for entry in await self.read(deployment)]

    async def read(self, deployment: UUID) -> list[dict[str, Any]]:
        """All that is noted, the oldest first."""
        entries = await asyncio.to_thread(logbook.read, self._file, "erasures", deployment)
        for number, entry in enumerate(entries, 1):
            _check(f"line {number} of {self._file}", entry)
        return entries

    async def add(self, deployment: UUID, entries: Sequence[Mapping[str, Any]]) -> int:
        """Notes what is not noted yet."""
        return await asyncio.to_thread(logbook.add, self._file, "erasures", deployment, entries, key="erasure_id")


class BucketLedger:
    """A ledger in a bucket.

    Args:
        bucket: The prefix that holds it and nothing else.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._noted: set[UUID] = set()

    def __str__(self) -> str:
        return str(self._bucket)

    async def ids(self, deployment: UUID) -> list[UUID]:
        """Which erasures are noted: their names say so, and nothing has to be read."""
        return [self._id(name, deployment) for name in await self._bucket.names()]

    async def read(self, deployment: UUID) -> list[dict[str, Any]]:
        """All that is noted, the oldest first."""
        entries = await self._read(deployment, await self.ids(deployment))
        return sorted(entries, key=lambda entry: (entry["asked_at"], entry["erasure_id"]))

    async def add(self, deployment: UUID, entries: Sequence[Mapping[str, Any]]) -> int:
        """Notes what is not noted yet."""
        wanted = {UUID(entry["erasure_id"]): entry for entry in entries}
        if wanted.keys() <= self._noted:
            return 0
        self._noted.update(await self.ids(deployment))
        new = {
            _name(deployment, one): logbook.first_line("erasures", deployment, wanted[one])
            for one in wanted.keys() - self._noted
        }
        late = await self._bucket.write_once(new)
        # Who was first is taken at its word only if that can be read.
        await self._read(deployment, [self._id(name, deployment) for name in late])
        self._noted |= wanted.keys()
        return len(new) - len(late)

    async def _read(self, deployment: UUID, ids: Sequence[UUID]) -> list[dict[str, Any]]:
        names = [_name(deployment, one) for one in ids]
        raw = await self._bucket.read(names)
        return [self._entry(*one, deployment) for one in zip(names, ids, raw, strict=True)]

    def _entry(self, name: str, erasure_id: UUID, raw: bytes, deployment: UUID) -> dict[str, Any]:
        place = f"{self._bucket}{name}"
        found = logbook.parse(place, raw, "erasures", deployment)
        if len(found) != 1:
            raise _broken(place, f"it has {len(found):,} entries and not one")
        _check(place, found[0])
        if UUID(found[0]["erasure_id"]) != erasure_id:
            raise _broken(place, f"it is about {found[0]['erasure_id']}")
        return found[0]

    def _id(self, name: str, deployment: UUID) -> UUID:
        of, _, rest = name.partition("/")
        try:
            whose, found = UUID(of), UUID(rest.removesuffix(".json"))
        except ValueError:
            whose = found = deployment
        if name != _name(whose, found):
            raise _broken(f"{self._bucket}{name}", "it is no entry of a ledger, by its name")
        if whose != deployment:
            raise SettingsError(
                f"{self._bucket}{name} is of the deployment {whose}",
                why=f"this is {deployment}",
                remedy="Name the prefix that was kept for this database",
            )
        return found


def _name(deployment: UUID, erasure_id: UUID) -> str:
    return f"{deployment}/{erasure_id}.json"


def _check(what: str, entry: dict[str, Any]) -> None:
    try:
        its = msgspec.convert(entry, _Entry)
        bytes.fromhex(its.subject)
    except (msgspec.ValidationError, ValueError) as error:
        raise _broken(what, f"it is no erasure: {error}") from error


def _broken(what: str, why: str) -> SettingsError:
    return SettingsError(f"{what} is broken", why=why, remedy="Take an older version of it, or another copy")
