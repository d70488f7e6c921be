"""One stack on disk: its checkpoint, the journal of an update under way, its history.

    <root>/<org>/<project>/<stack>/
        stack.json            tags, version, and the update under way, if any
        state.json            the checkpoint: the deployment after the last update that ended
        state.previous.json   the checkpoint before it
        update.journal        what the update under way has told so far, on top of state.json
        last.journal          the journal that turned state.previous.json into state.json
        history.log           every update that ended

While an update runs, its journal only grows. Whoever asks for the state meanwhile, or after the client was killed, gets
checkpoint and journal combined. When the update ends, or is given up, the combination becomes the checkpoint. Each step
of that can be cut off and is completed when the stack is next opened.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from infra.local.state.files import CorruptFileError, Log, read_log, read_seal, read_sealed, write_sealed
from infra.local.state.journal import SCHEMA_VERSION, JournalError, Json, Kind, Stamp, StateError, replay

EMPTY = {"manifest": Stamp(engine="", time="0001-01-01T00:00:00Z").manifest(), "metadata": {}}
"""Deployment of a stack that was never updated, as the engine itself writes it."""

_KINDS = frozenset(int(kind) for kind in Kind)
_WHOLE = b'{"checkpoint":'


@dataclass(frozen=True, kw_only=True)
class Update:
    """An update under way.

    Attributes:
        id: Names it in the API.
        kind: ``update``, ``refresh``, ``destroy`` or ``import``.
        version: Of the stack, once this update ends.
        started: Seconds since the epoch.
        token_sha256: Hash of the lease token of the client that runs it.
        engine: Version of that client's engine.
        about: Message, environment and configuration, as the client gave them (secrets are ciphertext).
        changes: Number of resources by kind of change, from the engine's summary.
    """

    id: str
    kind: str
    version: int
    started: int
    token_sha256: str
    engine: str
    about: Json = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A deployment as the engine reads it.

    Attributes:
        body: The deployment, JSON.
        schema: Its schema version.
        features: What an engine must know to read it.
        resources: How many it holds.
        sha256: Hash of ``body``; empty for a combination that is not on disk.
        update: Id of the update that made it.
        version: Of the stack when that update ended.
    """

    body: bytes
    schema: int = SCHEMA_VERSION
    features: tuple[str, ...] = ()
    resources: int = 0
    sha256: str = ""
    update: str = ""
    version: int = 0

    def untyped(self) -> bytes:
        """What the export call answers; spliced, since a large deployment need not be parsed to be sent."""
        facts = {"version": self.schema, **({"features": self.features} if self.features else {})}
        return json.dumps(facts).encode()[:-1] + b', "deployment": ' + self.body + b"}"


class Ledger:
    """A stack's state, guarded by a lock: any thread may call any method."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._journal: Log | None = None
        self._closed = False
        facts = json.loads(read_sealed(folder / "stack.json", remedy=self._remedy_stack).body)
        self.tags: dict[str, str] = facts["tags"]
        self.version: int = facts["version"]
        self.last_update: str = facts["last_update"]
        self.running: Update | None = Update(**facts["running"]) if facts["running"] else None
        if self.running and (result := self._result_of(self.running)):
            self._close(self.running, result=result)

    @classmethod
    def create(cls, folder: Path, clock: Callable[[], float], *, tags: dict[str, str], state: Json | None) -> Self:
        """Make a new stack, perhaps with a deployment (``UntypedDeployment``) to begin with.

        A checkpoint that lies in the folder already (its stack.json was lost) is taken over.

        Raises:
            FileExistsError: The stack is there already.
        """
        if (folder / "stack.json").exists():
            raise FileExistsError(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "state.json"
        version = 0
        if path.exists():
            version = read_seal(path, remedy=f"Move {path} away")["version"]
        elif state is not None:
            _write_checkpoint(path, _from_untyped(state))
        blank = {"tags": tags, "version": version, "last_update": "", "running": None}
        write_sealed(folder / "stack.json", json.dumps(blank).encode())
        return cls(folder, clock)

    def tag(self, tags: dict[str, str]) -> None:
        """Replace the tags."""
        with self._lock:
            self.tags = tags
            self._write()

    def begin(self, update: Update, tags: dict[str, str] | None) -> Update:
        """Start an update; its version is the next one.

        Raises:
            StateError: The checkpoint is corrupt: better to know before anything changes.
        """
        with self._lock:
            if self.running:
                raise RuntimeError(f"update {self.running.id} has not ended")
            base = self._checkpoint()
            update = replace(update, version=self.version + 1)
            self._set_stray_aside()
            time = datetime.fromtimestamp(update.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            head = {
                "base": base.sha256,
                "update": update.id,
                "version": update.version,
                "engine": update.engine,
                "time": time,
            }
            self._open_journal().append(json.dumps(head).encode())
            self.running, self.version, self.last_update = update, update.version, update.id
            self.tags = self.tags if tags is None else tags
            self._write()
            return update

    def append(self, batch: bytes) -> None:
        """Keep a batch of journal entries (``JournalEntries``, one line); durable when this returns.

        Raises:
            StateError: It is no such batch.
        """
        entries = _entries(batch)
        if not all(entry.get("kind") in _KINDS for entry in entries):
            raise StateError("the batch holds an entry of a kind that engine journal version 1 does not know")
        with self._lock:
            self._open_journal().append(batch)

    def checkpoint(self, state: Json) -> None:
        """Keep a whole deployment in place of journal entries, from an engine that does not journal."""
        with self._lock:
            self._open_journal().append(_WHOLE + json.dumps(state, separators=(",", ":")).encode() + b"}")

    def count(self, changes: dict[str, int]) -> None:
        """Keep the engine's own count of what the update changed."""
        with self._lock:
            if self.running:
                self.running = replace(self.running, changes=changes)

    def end(self, *, succeeded: bool) -> None:
        """End the update under way: what its journal says becomes the checkpoint."""
        with self._lock:
            if update := self.running:
                result = "succeeded" if succeeded else "failed"
                self._keep(self.export(), update=update, result=result)
                self._close(update, result=result)

    def overwrite(self, update: Update, state: Json) -> None:
        """Make a given deployment (``UntypedDeployment``) the checkpoint, as an update of its own."""
        with self._lock:
            self._set_stray_aside()
            update = replace(update, version=self.version + 1)
            self.running, self.version, self.last_update = update, update.version, update.id
            self._write()
            (self.folder / "last.journal").unlink(missing_ok=True)  # it does not lead to the state given here
            self._keep(_from_untyped(state), update=update, result="succeeded")
            self._close(update, result="succeeded")

    def export(self, version: int | None = None) -> Checkpoint:
        """The state as of now (what a running or killed update has told included), or as of a version.

        Raises:
            StateError: A file is corrupt.
            KeyError: That version is not kept.
        """
        with self._lock:
            if version is not None:
                return self._version(version)
            base = self._checkpoint()
            if self.running is None or base.update == self.running.id:
                return base
            return self._combined(base, "update.journal")

    def history(self) -> list[Json]:
        """Updates (``UpdateInfo``), latest first, the one under way included."""
        with self._lock:
            infos: list[Json] = [
                json.loads(record) for record in read_log(self.folder / "history.log", remedy=self._remedy_history)
            ]
            if self.running:
                infos.append(self._info(self.running, result="in-progress", end=0))
        by_version = {info["version"]: info for info in infos}
        return [by_version[version] for version in sorted(by_version, reverse=True)]

    def restore(self) -> Checkpoint:
        """Rebuild a damaged checkpoint from the one before it and the journal between them.

        Returns:
            The rebuilt checkpoint; or, where no journal leads to it, the one before, which then is the checkpoint.

        Raises:
            StateError: The checkpoint before it is damaged too.
            FileNotFoundError: There is none.
        """
        with self._lock:
            previous = _read_checkpoint(self.folder / "state.previous.json", remedy=self._remedy_by_hand)
            rebuilt = self._combined(previous, "last.journal")
            damaged = self.folder / "state.json"
            if damaged.exists():
                damaged.replace(self.folder / "state.damaged.json")
            _write_checkpoint(damaged, rebuilt)
            return self._checkpoint()

    def resources(self) -> int:
        """How many resources the checkpoint holds."""
        try:
            return int(read_seal(self.folder / "state.json", remedy=self._remedy_restore)["resources"])
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Release files, and take no more entries."""
        with self._lock:
            self._closed = True
            self._close_journal()

    @property
    def _remedy_restore(self) -> str:
        root, (org, project, stack) = self.folder.parents[2], self.folder.parts[-3:]
        return (
            f"`python -m infra.local.state --root {root} --restore {org}/{project}/{stack}` rebuilds it from "
            f"state.previous.json and last.journal beside it"
        )

    @property
    def _remedy_by_hand(self) -> str:
        return f"Restore {self.folder} from a backup"

    @property
    def _remedy_stack(self) -> str:
        return (
            f"Move {self.folder / 'stack.json'} away and run `pulumi stack init` again, "
            f"which takes over the state.json beside it"
        )

    @property
    def _remedy_journal(self) -> str:
        return (
            f"Moving {self.folder / 'update.journal'} away goes back to the state before that update; "
            f"then look for what the update created with `docsearch reconcile`"
        )

    @property
    def _remedy_history(self) -> str:
        return f"The state does not depend on it: move {self.folder / 'history.log'} away"

    def _write(self) -> None:
        facts = {
            "tags": self.tags,
            "version": self.version,
            "last_update": self.last_update,
            "running": asdict(self.running) if self.running else None,
        }
        write_sealed(self.folder / "stack.json", json.dumps(facts).encode())

    def _close_journal(self) -> None:
        if self._journal:
            self._journal.close()
            self._journal = None

    def _open_journal(self) -> Log:
        if self._closed:
            raise StateError(f"{self.folder} takes no more entries", why="the state service is stopping")
        if self._journal is None:
            self._journal = Log.open(self.folder / "update.journal", remedy=self._remedy_journal)
        return self._journal

    def _set_stray_aside(self) -> None:
        """Keep, but out of the way, the journal of a start that was cut off or that a lost stack.json knew of."""
        stray = self.folder / "update.journal"
        if stray.exists():
            stray.replace(self.folder / "stray.journal")

    def _checkpoint(self) -> Checkpoint:
        try:
            return _read_checkpoint(self.folder / "state.json", remedy=self._remedy_restore)
        except FileNotFoundError:
            return Checkpoint(body=json.dumps(EMPTY).encode())

    def _version(self, version: int) -> Checkpoint:
        for name in ("state.json", "state.previous.json"):
            path = self.folder / name
            if path.exists() and read_seal(path, remedy=self._remedy_restore)["version"] == version:
                return _read_checkpoint(path, remedy=self._remedy_restore)
        raise KeyError(version)

    def _combined(self, base: Checkpoint, journal: str) -> Checkpoint:
        path = self.folder / journal
        records = read_log(path, remedy=self._remedy_journal)
        if not records:
            return base
        head = json.loads(records[0])
        if head["base"] != base.sha256:
            raise CorruptFileError(
                f"journal {path} does not belong to the checkpoint",
                why="it was begun on top of another one, so its entries would mean other resources",
                remedy=self._remedy_journal,
            )
        facts = {"update": head["update"], "version": head["version"], "sha256": ""}
        entries: list[Json] = []
        for record in records[1:]:
            if record.startswith(_WHOLE):
                base, entries = _from_untyped(json.loads(record)["checkpoint"]), []
            else:
                entries += _entries(record)
        if not entries:
            return replace(base, **facts)
        # Nothing but files decides the result, so that a damaged checkpoint can be rebuilt byte for byte.
        stamp = Stamp(engine=head["engine"], time=head["time"])
        try:
            result = replay(json.loads(base.body), entries, stamp)
        except JournalError as broken:
            raise StateError(f"journal {path}: {broken.what}", why=broken.why, remedy=self._remedy_journal) from broken
        return Checkpoint(
            body=json.dumps(result.deployment, separators=(",", ":"), ensure_ascii=False).encode(),
            schema=result.version,
            features=result.features,
            resources=len(result.deployment.get("resources", [])),
            **facts,
        )

    def _result_of(self, update: Update) -> str:
        """How an update ended that has become the checkpoint, though stack.json says it is under way; else empty."""
        try:
            seal = read_seal(self.folder / "state.json", remedy=self._remedy_restore)
        except (FileNotFoundError, CorruptFileError):
            return ""
        return str(seal["result"]) if seal["update"] == update.id else ""

    def _keep(self, checkpoint: Checkpoint, *, update: Update, result: str) -> None:
        """Make this the checkpoint and the present one the previous; at every instant there is a checkpoint."""
        path = self.folder / "state.json"
        draft = self.folder / "state.previous.json.draft"
        if path.exists():
            draft.unlink(missing_ok=True)
            draft.hardlink_to(path)
            draft.replace(self.folder / "state.previous.json")
        made = replace(checkpoint, update=update.id, version=update.version)
        _write_checkpoint(path, made, result=result)

    def _close(self, update: Update, *, result: str) -> None:
        info = self._info(update, result=result, end=int(self._clock()))
        history = Log.open(self.folder / "history.log", remedy=self._remedy_history)
        history.append(json.dumps(info).encode())
        history.close()
        self._close_journal()
        journal = self.folder / "update.journal"
        if journal.exists():
            journal.replace(self.folder / "last.journal")
        self.running = None
        self._write()

    def _info(self, update: Update, *, result: str, end: int) -> Json:
        return {
            "id": update.id,
            "kind": update.kind,
            "startTime": update.started,
            "endTime": end,
            "version": update.version,
            "result": result,
            "resourceChanges": update.changes,
            "message": update.about.get("message", ""),
            "environment": update.about.get("environment", {}),
            "config": update.about.get("config", {}),
        }


def _entries(batch: bytes) -> list[Json]:
    try:
        entries = json.loads(batch).get("entries") or []
    except (ValueError, AttributeError) as unreadable:
        raise StateError("the batch is not a JSON object of journal entries") from unreadable
    if not all(isinstance(entry, dict) for entry in entries):
        raise StateError("the batch holds something that is not a journal entry")
    return list(entries)


def _from_untyped(state: Json) -> Checkpoint:
    deployment = state.get("deployment") or EMPTY
    return Checkpoint(
        body=json.dumps(deployment, separators=(",", ":"), ensure_ascii=False).encode(),
        schema=state.get("version") or SCHEMA_VERSION,
        features=tuple(state.get("features") or ()),
        resources=len(deployment.get("resources") or ()),
    )


def _write_checkpoint(path: Path, checkpoint: Checkpoint, result: str = "succeeded") -> None:
    write_sealed(
        path,
        checkpoint.body,
        schema=checkpoint.schema,
        features=checkpoint.features,
        resources=checkpoint.resources,
        update=checkpoint.update,
        version=checkpoint.version,
        result=result,
    )


def _read_checkpoint(path: Path, *, remedy: str) -> Checkpoint:
    sealed = read_sealed(path, remedy=remedy)
    return Checkpoint(
        body=sealed.body,
        schema=sealed.facts["schema"],
        features=tuple(sealed.facts["features"]),
        resources=sealed.facts["resources"],
        sha256=sealed.sha256,
        update=sealed.facts["update"],
        version=sealed.facts["version"],
    )
