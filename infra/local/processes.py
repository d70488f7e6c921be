"""Other processes of this machine, as `/proc` tells them: which are ours, how they are, who holds a port.

A process is ours if its command line says so. No file of process ids can go stale, and a process that was started by
a `docsearch` which died before writing anything down is found all the same.
"""

import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_LISTEN = "0A"


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process that was alive when it was looked at.

    Attributes:
        pid: Process id.
        argv: Its command line.
        started: Clock ticks from boot to its start; with `pid` it identifies the process for good.
    """

    pid: int
    argv: tuple[str, ...]
    started: int

    @classmethod
    def look(cls, pid: int) -> "Running | None":
        """The process with that id, or None if there is none, it is a zombie, or is another user's."""
        folder = PROC / str(pid)
        try:
            if folder.stat().st_uid != os.geteuid():
                return None
            argv = (folder / "cmdline").read_bytes()
            started = int(_stat(folder)[19])
        except (OSError, IndexError):
            return None
        return cls(pid=pid, argv=tuple(os.fsdecode(argv).split("\0")[:-1]), started=started) if argv else None

    @property
    def alive(self) -> bool:
        """Whether it still runs; a new process with the same id does not count."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # If it is our child and dead, it would stay a zombie.
        now = Running.look(self.pid)
        return now is not None and now.started == self.started

    @property
    def uptime_s(self) -> float:
        """Seconds since its start."""
        up = float((PROC / "uptime").read_text().split()[0])
        return max(0.0, up - self.started / os.sysconf("SC_CLK_TCK"))

    @property
    def memory_mb(self) -> float:
        """Resident memory in megabytes (2^20 bytes)."""
        try:
            pages = int((PROC / str(self.pid) / "statm").read_text().split()[1])
        except OSError:
            return 0.0
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def _stat(folder: Path) -> list[str]:
    """Fields of `/proc/<pid>/stat` from the third on: the second, a name, may hold anything (man 5 proc)."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _lives(pid: int) -> bool:
    try:
        return _stat(PROC / str(pid))[0] not in "ZX"
    except OSError:
        return False


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def find(module: str, root: Path) -> list[Running]:
    """Processes of this user that run `python -m <module> --root <root> ...`."""
    found = []
    for pid in _pids():
        running = Running.look(pid)
        if running is not None and running.argv[1:5] == ("-m", module, "--root", str(root)):
            found.append(running)
    return found


def spawn(argv: Sequence[str], env: Mapping[str, str], log: Path) -> Running | None:
    """Starts a process in a session of its own, with its output appended to a file.

    Returns:
        The process, or None if it ended at once.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in ((null, 0), (output, 1), (output, 2))]
        pid = os.posix_spawn(argv[0], list(argv), env, file_actions=actions, setsid=True)
    finally:
        os.close(null)
        os.close(output)
    # For a moment of `exec` a process has no command line, and would not be found.
    while (running := Running.look(pid)) is None and _lives(pid):
        time.sleep(0.001)
    return running


def end(processes: Sequence[Running], patience_s: float) -> None:
    """Asks processes to end, and kills what does not within that many seconds, with all that they started."""
    processes = [process for process in processes if process.alive]
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while any(process.alive for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in processes:
        _signal(process, signal.SIGKILL)
        # Its session may have members left even if it has ended itself; while it has, the id is not given to others.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    while any(process.alive for process in processes):
        time.sleep(0.02)


def _signal(process: Running, number: signal.Signals) -> None:
    if process.alive:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1 at that port."""
    with socket.socket() as probe:
        # As servers do: connections of a server that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def port_holder(port: int) -> str:
    """Who listens on a TCP port: `process 71 (nginx -g daemon off;)`, or what can be said of it."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for pid in _pids():
        with suppress(OSError):
            for handle in (PROC / str(pid) / "fd").iterdir():
                with suppress(OSError):
                    if str(handle.readlink()) in inodes:
                        argv = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ")
                        return f"process {pid} ({os.fsdecode(argv).strip()[:80]})"
    return "a process of another user" if inodes else "a process that cannot be seen from here"
