"""A server of the tests: a process at a port of its own, which can be killed at any moment and started again."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

START_SECONDS = 120
"""A server answers by then, on a machine that has other things to do."""


class DeadError(Exception):
    """A server does not answer."""


class Server:
    """A server.

    Args:
        folder: Where it keeps everything; it is its alone.
    """

    name = "server"
    polite = signal.SIGTERM
    """What asks it to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> Sequence[str | Path]:
        """What to run. It stays in the foreground."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """What differs from this process's environment."""
        return {}

    def answers(self) -> bool:
        """Whether it is ready for work."""
        raise NotImplementedError

    @property
    def log(self) -> Path:
        """What it said."""
        return self.folder / "log"

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Starts it, and returns at once. Only the main thread may: a process ends with the thread that made it."""
        assert not self.runs, f"{self.name} runs already"
        command = self.command()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                # A test run that is killed leaves no server behind.
                ["setpriv", "--pdeathsig", "KILL", *command],
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Returns when it answers.

        Raises:
            DeadError: It has ended, or does not answer in time.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.runs:
                raise DeadError(f"{self.name} has ended: {self.last_words()}")
            if self.answers():
                return
            time.sleep(0.05)
        raise DeadError(f"{self.name} does not answer after {seconds:g} s: {self.last_words()}")

    def kill(self) -> None:
        """Ends it as a crash does: by SIGKILL, with all that it started."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in order, or by force after 20 s."""
        self._end(self.polite)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        # Its children may outlive it by a moment, and with them its port.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process = None

    def last_words(self) -> str:
        """What it said last."""
        said = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " / ".join(line for line in said[-8:] if line.strip()) or "it has said nothing"


def free_port(low: int = 20_000, high: int = 32_000) -> int:
    """A TCP port of 127.0.0.1 that nobody listens at, and that the system gives to nobody who asks for any.

    Linux gives out ports from 32768 on (net.ipv4.ip_local_port_range).
    """
    for port in random.SystemRandom().sample(range(low, high), min(100, high - low)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise DeadError(f"no port from {low} to {high} is free")


def listens(port: int) -> bool:
    """Whether somebody accepts connections at a port of 127.0.0.1."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
