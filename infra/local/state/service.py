"""The local state service without its HTTP face: stacks, secrets, and who may run an update.

An update belongs to the client that started it: it gets a lease token, and a second update is refused while the first
client is there. Whether it is there needs no timer. Every client talks over connections that it keeps open, and the
kernel closes them when the process dies, so an update whose client was killed is free for the next one after a few
seconds instead of the five minutes for which the engine holds a lease.
"""

import hashlib
import hmac
import os
import re
import secrets
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.fernet import Fernet, InvalidToken

from infra.local.state.files import lock_folder, read_secret, write_secret
from infra.local.state.journal import Json, StateError
from infra.local.state.ledger import Ledger, Update

ORGANIZATION = "organization"
"""The engine's own name for the only organization of a self-managed state, so that stack names are the same on both."""

GRACE_S = 5.0
"""For how long, in seconds, an update is kept for a client that has gone away."""

TERM_S = 300.0
"""For how long the engine takes out a lease (``newUpdate`` in backend/httpstate/state.go); it renews at half."""

IDLE_CLOSE_S = 85.0
"""Go closes a connection that was idle for 90 s (``http.DefaultTransport``): no sign that the client has gone."""

PROPOSALS_KEPT = 256
"""Updates and previews announced but not finished that are remembered; a killed preview never finishes."""

ACCESS_FILE = ".token"
KEY_FILE = ".key"

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class RefusedError(StateError):
    """A request that the service does not carry out.

    Attributes:
        code: HTTP status.
    """

    def __init__(self, code: int, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.code = code


class StackName(NamedTuple):
    """Full name of a stack."""

    org: str
    project: str
    stack: str


@dataclass(kw_only=True)
class Lease:
    """A client's hold on an update.

    Attributes:
        token_sha256: Hash of the token that proves it.
        connections: Connections on which that token was shown.
        expires: When it ends, on the monotonic clock; None while a connection is open.
    """

    token_sha256: str
    connections: set[int] = field(default_factory=set)
    expires: float | None = None


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """An update that a client has announced.

    Attributes:
        name: Stack.
        kind: ``update``, ``preview``, ``refresh`` or ``destroy``.
        dry_run: It changes nothing, so that it needs no lease and leaves no history.
        about: Message, environment and configuration.
    """

    name: StackName
    kind: str
    dry_run: bool
    about: Json


class Service:
    """State of all stacks below one folder, which it holds for itself until closed.

    Args:
        root: Folder; made if absent.
        grace_s: See `GRACE_S`.
        clock: Seconds since the epoch.
        monotonic: Seconds on a clock that never goes back.

    Raises:
        StateError: Another process holds the folder, or the key to its secrets is gone.
    """

    def __init__(
        self,
        root: Path,
        *,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root = root
        self._grace_s, self._clock, self._monotonic = grace_s, clock, monotonic
        self._folder_lock = lock_folder(root)
        try:
            self.token = self._secret(ACCESS_FILE, lambda: b"local-" + secrets.token_hex(20).encode()).decode()
            self._fernet = Fernet(self._secret(KEY_FILE, self._new_key))
        except BaseException:
            os.close(self._folder_lock)
            raise
        self._mutex = threading.RLock()
        self._ledgers: dict[StackName, Ledger] = {}
        self._proposals: dict[str, Proposal] = {}
        self._leases: dict[str, Lease] = {}

    def close(self) -> None:
        """Release files and the folder; a second call does nothing."""
        with self._mutex:
            for ledger in self._ledgers.values():
                ledger.close()
            self._ledgers.clear()
            if self._folder_lock >= 0:
                os.close(self._folder_lock)
                self._folder_lock = -1

    def _secret(self, name: str, make: Callable[[], bytes]) -> bytes:
        path = self.root / name
        if not path.exists():
            write_secret(path, make())
        return read_secret(path)

    def _new_key(self) -> bytes:
        if stack := next(self.root.glob("*/*/*/stack.json"), None):
            raise StateError(
                f"{self.root / KEY_FILE} is missing",
                why=f"the secrets in the state of {stack.parent} are encrypted with it, and a new one cannot read them",
                remedy="Put it back, or move the whole folder away to begin anew",
            )
        return Fernet.generate_key()

    # Stacks

    def stack(self, name: StackName) -> Ledger:
        """The ledger of a stack.

        Raises:
            RefusedError: 404, there is no such stack.
        """
        with self._mutex:
            if ledger := self._ledgers.get(name):
                return ledger
            folder = self._folder(name)
            if not (folder / "stack.json").exists():
                raise RefusedError(404, f"Not Found: Stack '{'/'.join(name)}' not found")
            ledger = self._ledgers[name] = Ledger(folder, self._clock)
            if running := ledger.running:
                # This service was restarted under the client, which shows its token again if it still lives.
                expires = self._monotonic() + self._grace_s
                self._leases[running.id] = Lease(token_sha256=running.token_sha256, expires=expires)
            return ledger

    def create(self, name: StackName, *, tags: dict[str, str], state: Json | None) -> None:
        """Make a stack, perhaps with a first state.

        Raises:
            RefusedError: 409, it is there already.
        """
        with self._mutex:
            try:
                self._ledgers[name] = Ledger.create(self._folder(name), self._clock, tags=tags, state=state)
            except FileExistsError:
                raise RefusedError(409, f"Conflict: Stack '{'/'.join(name)}' already exists") from None

    def delete(self, name: StackName, *, force: bool) -> None:
        """Remove a stack and its state.

        Raises:
            RefusedError: 409, an update is under way; 400, it has resources and this is not forced.
        """
        with self._mutex:
            ledger = self.stack(name)
            self._refuse_if_busy(ledger)
            if not force and ledger.export().resources:
                # The engine knows this case by exactly this text.
                raise RefusedError(400, "Bad Request: Stack still contains resources.")
            ledger.close()
            del self._ledgers[name]
            shutil.rmtree(ledger.folder)

    def names(self) -> list[StackName]:
        """All stacks."""
        return sorted(StackName(*path.parent.parts[-3:]) for path in self.root.glob("*/*/*/stack.json"))

    def _folder(self, name: StackName) -> Path:
        for part in name:
            if not _NAME.fullmatch(part):
                raise RefusedError(400, f"Bad Request: {part!r} cannot name an organization, project or stack")
        return self.root.joinpath(*name)

    # Secrets

    def encrypt(self, plaintext: bytes) -> bytes:
        """Encrypt a secret value of a stack."""
        return self._fernet.encrypt(plaintext)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Decrypt what `encrypt` gave.

        Raises:
            RefusedError: 400, it was not encrypted here.
        """
        try:
            return self._fernet.decrypt(ciphertext)
        except InvalidToken:
            raise RefusedError(
                400,
                "Bad Request: a secret cannot be decrypted",
                why=f"it was not encrypted with {self.root / KEY_FILE}",
                remedy="Set it again with `pulumi config set --secret`, or put the key of that time back",
            ) from None

    # Updates

    def propose(self, proposal: Proposal) -> str:
        """Announce an update or preview; gives its id."""
        self.stack(proposal.name)
        with self._mutex:
            update = str(uuid.uuid4())
            self._proposals[update] = proposal
            while len(self._proposals) > PROPOSALS_KEPT:
                oldest = next(iter(self._proposals))
                del self._proposals[oldest]
                self._leases.pop(oldest, None)
            return update

    def start(self, update_id: str, *, tags: dict[str, str] | None, engine: str, connection: int) -> tuple[int, str]:
        """Start an announced update.

        Returns:
            The version that the stack will have, and the lease token.

        Raises:
            RefusedError: 404, it was not announced; 409, another one is under way.
        """
        with self._mutex:
            if (proposal := self._proposals.get(update_id)) is None:
                raise RefusedError(404, f"Not Found: no update {update_id} was announced")
            ledger = self.stack(proposal.name)
            token = secrets.token_urlsafe(24)
            lease = Lease(token_sha256=_sha256(token), connections={connection})
            if proposal.dry_run:
                self._leases[update_id] = lease
                return ledger.version, token
            self._refuse_if_busy(ledger)
            self._end(ledger, succeeded=False)
            update = Update(
                id=update_id,
                kind=proposal.kind,
                version=0,
                started=int(self._clock()),
                token_sha256=lease.token_sha256,
                engine=engine,
                about=proposal.about,
            )
            version = ledger.begin(update, tags).version
            self._leases[update_id] = lease
            del self._proposals[update_id]
            return version, token

    def hold(self, name: StackName, update_id: str, token: str, connection: int) -> Ledger | None:
        """Check that a client holds an update, and note that it is there.

        Returns:
            The ledger that the update writes to; None for a preview.

        Raises:
            RefusedError: 403, it does not hold it, or not any more.
        """
        with self._mutex:
            proposal = self._proposals.get(update_id)
            ledger = None if proposal else self.stack(name)
            current = proposal is not None or (ledger and ledger.running and ledger.running.id == update_id)
            lease = self._leases.get(update_id)
            if not current or lease is None or not hmac.compare_digest(lease.token_sha256, _sha256(token)):
                raise RefusedError(
                    403,
                    f"Forbidden: this client does not hold update {update_id}",
                    why="it has ended, was cancelled, or was given up when its client seemed gone",
                    remedy="Run the command again; what it had reported before is in the state",
                )
            lease.connections.add(connection)
            lease.expires = None
            return ledger

    def complete(self, name: StackName, update_id: str, *, succeeded: bool) -> None:
        """End an update that its client holds."""
        with self._mutex:
            if self._proposals.pop(update_id, None) is None:
                self._end(self.stack(name), succeeded=succeeded)
            self._leases.pop(update_id, None)

    def cancel(self, name: StackName, update_id: str) -> None:
        """Take an update away from its client; what it had reported stays.

        Raises:
            RefusedError: 409, it is not under way.
        """
        with self._mutex:
            ledger = self.stack(name)
            if ledger.running is None or ledger.running.id != update_id:
                raise RefusedError(409, "Conflict: The update has already completed")
            self._end(ledger, succeeded=False)

    def overwrite(self, name: StackName, state: Json) -> str:
        """Replace the state of a stack; gives the id of the update that this is.

        Raises:
            RefusedError: 409, an update is under way.
        """
        with self._mutex:
            ledger = self.stack(name)
            self._refuse_if_busy(ledger)
            self._end(ledger, succeeded=False)
            now = int(self._clock())
            update = Update(id=str(uuid.uuid4()), kind="import", version=0, started=now, token_sha256="", engine="")
            ledger.overwrite(update, state)
            return update.id

    def busy(self, ledger: Ledger) -> Update | None:
        """The update under way whose client is there, if any."""
        with self._mutex:
            running = ledger.running
            lease = self._leases.get(running.id) if running else None
            alive = lease is not None and (lease.expires is None or self._monotonic() < lease.expires)
            return running if alive else None

    def disconnected(self, connection: int, *, idle_s: float) -> None:
        """Note that a client closed a connection, ``idle_s`` seconds after its last request on it."""
        with self._mutex:
            for lease in self._leases.values():
                if connection in lease.connections:
                    lease.connections.discard(connection)
                    if not lease.connections:
                        kept_s = self._grace_s if idle_s < IDLE_CLOSE_S else TERM_S
                        lease.expires = self._monotonic() + kept_s

    def _refuse_if_busy(self, ledger: Ledger) -> None:
        if running := self.busy(ledger):
            # The engine and its Automation API know this case by the first sentence.
            raise RefusedError(
                409,
                f"Conflict: Another update is currently in progress. It is a {running.kind}, started "
                f"{int(self._clock()) - running.started} s ago, by a client that is still connected",
                remedy="Wait for it, or take it away from that client with `pulumi cancel`",
            )

    def _end(self, ledger: Ledger, *, succeeded: bool) -> None:
        if running := ledger.running:
            ledger.end(succeeded=succeeded)
            self._leases.pop(running.id, None)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
