"""The local cloud's processes: start them, see how they are, end them.

    <root>/local/daemon.json    account and ports, as chosen at the first start
    <root>/local/daemon.lock    held while processes are started or ended
    <root>/local/log/*.log      what each process prints
    <root>/local/data/<name>/   what each process keeps

Which processes there are is said in `PROCESSES`; whether they run is read from `/proc`.
"""

import fcntl
import hashlib
import http.client
import itertools
import json
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import LocalCloudError
from infra.local.processes import Running, end, find, port_holder, port_is_free, spawn

HOST = "127.0.0.1"
DEFAULT_ACCOUNT = "123456789012"
Tell = Callable[[str], None]

# Below the range from which Linux takes the ports of outgoing connections (32768 to 60999).
_PORTS = range(20000, 30000)
_LOG_BYTES = 5_000_000
_STOP_S = 10.0
_CLOSE_S = 2.0
# Without any progress; a replay that goes on may take as long as it wants.
_START_S = 60.0
_LOCK_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the local cloud, run as `python -m <module> --root <folder> <options>`.

    Attributes:
        name: Its folder and its log are called so.
        module: What to run.
        ports: Names of the ports that it listens on.
        options: Further command line, given the settings.
        ready: Tells what the process waits for, given its folder and the settings; empty when it answers.
    """

    name: str
    module: str
    ports: tuple[str, ...]
    options: Callable[["Settings"], Sequence[str]]
    ready: Callable[[Path, "Settings"], str]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What stays the same from one start to the next.

    Attributes:
        account: AWS account id that the local cloud answers as.
        ports: TCP port on 127.0.0.1 by name.
    """

    account: str
    ports: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """How one process is.

    Attributes:
        name: As in `PROCESSES`.
        pid: Process id; None when it does not run.
        ports: TCP port by name.
        healthy: Whether it answers.
        detail: What it waits for, or why it does not run.
        uptime_s: Seconds since its start.
        memory_mb: Resident memory in megabytes.
        log: Path of what it prints.
    """

    name: str
    pid: int | None
    ports: Mapping[str, int]
    healthy: bool
    detail: str
    uptime_s: float
    memory_mb: float
    log: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """How the local cloud is."""

    processes: tuple[ProcessStatus, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything answers."""
        return all(process.healthy for process in self.processes)

    @property
    def running(self) -> bool:
        """Whether anything runs."""
        return any(process.pid is not None for process in self.processes)


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where the local cloud answers.

    Attributes:
        aws_url: AWS APIs.
        aws_port: Provider `aws` (gRPC).
        kubernetes_port: Provider `kubernetes` (gRPC).
        random_port: Provider `random` (gRPC).
        state_url: State service.
        state_token: Its access token. Secret.
    """

    aws_url: str
    aws_port: int
    kubernetes_port: int
    random_port: int
    state_url: str
    state_token: str

    def __repr__(self) -> str:
        return f"Endpoints(aws_url={self.aws_url!r}, state_url={self.state_url!r})"


def _get(port: int, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _moto_ready(folder: Path, settings: Settings) -> str:
    _, body = _get(settings.ports["moto"], "/docsearch/health", {})
    health = json.loads(body)
    if health["ready"]:
        return ""
    return f"replaying its journal ({health['replayed']} of {health['entries']})" if health["entries"] else "starting"


def _state_token(folder: Path) -> str:
    return (folder / ".token").read_text().strip()


def _state_ready(folder: Path, settings: Settings) -> str:
    headers = {"Authorization": f"token {_state_token(folder)}"}
    status, _ = _get(settings.ports["state"], "/api/capabilities", headers)
    return "" if status == 200 else f"answers with HTTP {status}"


def _providers_ready(folder: Path, settings: Settings) -> str:
    for name in ("aws", "kubernetes", "random"):
        socket.create_connection((HOST, settings.ports[name]), timeout=5).close()
    return ""


PROCESSES = (
    Process(
        name="moto",
        module="infra.local.cloud",
        ports=("moto",),
        options=lambda it: ["--port", str(it.ports["moto"]), "--account", it.account],
        ready=_moto_ready,
    ),
    Process(
        name="state",
        module="infra.local.state",
        ports=("state",),
        options=lambda it: ["--port", str(it.ports["state"])],
        ready=_state_ready,
    ),
    Process(
        name="providers",
        module="infra.local.server",
        ports=("aws", "kubernetes", "random"),
        options=lambda it: [
            *("--aws-port", str(it.ports["aws"])),
            *("--kubernetes-port", str(it.ports["kubernetes"])),
            *("--random-port", str(it.ports["random"])),
            *("--moto-url", f"http://{HOST}:{it.ports['moto']}"),
        ],
        ready=_providers_ready,
    ),
)

PORTS = tuple(port for process in PROCESSES for port in process.ports)
"""Every port of the local cloud by name."""


def start(
    root: Path,
    *,
    account: str | None = None,
    ports: Mapping[str, int] | None = None,
    processes: Sequence[Process] = PROCESSES,
    tell: Tell = lambda line: None,
) -> Status:
    """Starts what does not run, and returns when all of it answers. What runs already is left alone.

    Args:
        root: The project's folder for local files.
        account: AWS account id; by default that of the last start.
        ports: Ports by name (`moto`, `state`, `aws`, `kubernetes`, `random`); by default those of the last start, at
            the first start free ones. A process that listens elsewhere is restarted.
        processes: What belongs to the local cloud.
        tell: Takes lines of progress.

    Raises:
        LocalCloudError: A port is taken, or a process ended or made no progress for a minute.
    """
    place = _Place(root)
    with place.locked(tell):
        settings = place.choose(account, ports or {}, processes)
        missing = []
        for process in processes:
            running = place.find(process)
            right = [it for it in running if it.argv[1:] == place.argv(process, settings)[1:]][:1]
            end([it for it in running if it not in right], _STOP_S)
            if not right:
                missing.append(process)
        for process in missing:
            _check_ports(process, settings)
        marks = {process.name: place.spawn(process, settings) for process in missing}
        for process in processes:
            _await(place, process, settings, marks.get(process.name), tell)
        return _status(place, settings, processes)


def stop(root: Path, *, processes: Sequence[Process] = PROCESSES) -> tuple[str, ...]:
    """Ends everything that runs; what it keeps stays.

    Returns:
        Names of the processes that were ended.
    """
    place = _Place(root)
    with place.locked():
        return place.end_all(processes)


def reset(root: Path, *, processes: Sequence[Process] = PROCESSES) -> None:
    """Ends everything and forgets all that the local cloud holds: resources and state. Ports stay."""
    place = _Place(root)
    with place.locked():
        place.end_all(processes)
        # By renaming, it is forgotten as a whole or not at all.
        forgotten = place.folder / "forgotten"
        shutil.rmtree(forgotten, ignore_errors=True)
        if place.data.exists():
            place.data.rename(forgotten)
        shutil.rmtree(forgotten, ignore_errors=True)


def status(root: Path, *, processes: Sequence[Process] = PROCESSES) -> Status:
    """How every process is. Changes nothing."""
    place = _Place(root)
    return _status(place, place.settings(), processes)


def endpoints(root: Path) -> Endpoints:
    """Where the local cloud answers.

    Raises:
        LocalCloudError: It does not run, or not all of it.
    """
    place = _Place(root)
    settings = place.settings()
    down = [process.name for process in PROCESSES if not place.find(process)]
    if settings is None or down:
        raise LocalCloudError(
            "the local cloud does not run",
            why=f"there is no process for {', '.join(down)}" if settings else "it was never started",
            remedy="`docsearch local start` starts it",
        )
    return Endpoints(
        aws_url=f"http://{HOST}:{settings.ports['moto']}",
        aws_port=settings.ports["aws"],
        kubernetes_port=settings.ports["kubernetes"],
        random_port=settings.ports["random"],
        state_url=f"http://{HOST}:{settings.ports['state']}",
        state_token=_state_token(place.data / "state"),
    )


class _Place:
    """The files of one local cloud."""

    def __init__(self, root: Path) -> None:
        self.folder = root.resolve() / "local"
        self.data = self.folder / "data"
        self.file = self.folder / "daemon.json"

    def log(self, process: Process) -> Path:
        return self.folder / "log" / f"{process.name}.log"

    def argv(self, process: Process, settings: Settings) -> tuple[str, ...]:
        folder = str(self.data / process.name)
        return (sys.executable, "-m", process.module, "--root", folder, *process.options(settings))

    def find(self, process: Process) -> list[Running]:
        return find(process.module, self.data / process.name)

    def end_all(self, processes: Sequence[Process]) -> tuple[str, ...]:
        running = {process.name: self.find(process) for process in processes}
        end(list(itertools.chain.from_iterable(running.values())), _STOP_S)
        return tuple(name for name, found in running.items() if found)

    def spawn(self, process: Process, settings: Settings) -> int:
        """Starts it; gives the size of its log before that."""
        (self.data / process.name).mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self.log(process)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        size = log.stat().st_size if log.exists() else 0
        spawn(self.argv(process, settings), _environment(), log)
        return size

    @contextmanager
    def locked(self, tell: Tell = lambda line: None) -> Iterator[None]:
        """Only one `docsearch` at a time starts or ends processes. The kernel unlocks if it dies."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "daemon.lock").open("w") as file:
            begun, waits = time.monotonic(), False
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    waited = time.monotonic() - begun
                    if waited > _LOCK_S:
                        raise LocalCloudError(
                            f"{file.name} is locked for {_LOCK_S:.0f} s",
                            why="another docsearch is starting or stopping the local cloud",
                            remedy="Wait for it, or end it",
                        ) from None
                    if waited > 1 and not waits:
                        waits = True
                        tell("waiting for another docsearch that starts or stops the local cloud")
                    time.sleep(0.1)
            yield

    def settings(self) -> Settings | None:
        """Those of the last start; None before the first.

        Raises:
            LocalCloudError: The file cannot be understood.
        """
        try:
            return Settings(**json.loads(self.file.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise LocalCloudError(
                f"{self.file} cannot be read",
                why=str(error),
                remedy="Delete it: ports are then chosen anew",
            ) from None

    def choose(self, account: str | None, given: Mapping[str, int], processes: Sequence[Process]) -> Settings:
        """What was asked for, else what was used last, else something free; written down."""
        last = self.settings() or Settings(account=DEFAULT_ACCOUNT, ports={})
        ports = {**last.ports, **given}
        _check_choice(account or last.account, ports)
        offset = int.from_bytes(hashlib.blake2b(os.fsencode(self.folder), digest_size=4).digest()) % len(_PORTS)
        candidates = itertools.chain(_PORTS[offset:], _PORTS[:offset])
        for name in (name for process in processes for name in process.ports):
            if name not in ports:
                ports[name] = next(port for port in candidates if port not in ports.values() and port_is_free(port))
        settings = Settings(account=account or last.account, ports=ports)
        fresh = self.file.with_suffix(".json.new")
        fresh.write_text(json.dumps(asdict(settings), indent=2) + "\n")
        fresh.replace(self.file)
        return settings


def _environment() -> dict[str, str]:
    """Ours, without anything that could lead to a real cloud."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PULUMI_", "MOTO_"))}
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": f"{HOST},localhost",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _check_choice(account: str, ports: Mapping[str, int]) -> None:
    if not re.fullmatch(r"\d{12}", account):
        raise LocalCloudError(f"{account!r} is no AWS account id", why="that has 12 digits", remedy="Correct it")
    users: dict[int, str] = {}
    for name, port in ports.items():
        if not 0 < port < 65536:
            raise LocalCloudError(
                f"{port} is no port for {name}", why="ports go from 1 to 65535", remedy="Choose another one"
            )
        if (other := users.setdefault(port, name)) != name:
            raise LocalCloudError(
                f"port {port} is meant for both {other} and {name} of the local cloud",
                why="each listens on its own",
                remedy="Choose another one",
            )


def _check_ports(process: Process, settings: Settings) -> None:
    # A process that was killed a moment ago has no command line any more, but may still have its sockets.
    deadline = time.monotonic() + _CLOSE_S
    for name in process.ports:
        port = settings.ports[name]
        while not port_is_free(port):
            if time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            raise LocalCloudError(
                f"port {port}, for {name} of the local cloud, is taken",
                why=f"{port_holder(port)} listens on it",
                remedy=f"Stop that process, or choose another port with `docsearch local start --port {name}=N`",
            )


def _await(place: _Place, process: Process, settings: Settings, mark: int | None, tell: Tell) -> None:
    """Waits until it answers, as long as it lives and makes progress."""
    seen, since = "", time.monotonic()
    while True:
        running = place.find(process)
        waiting = _waiting(place, process, settings)
        if running and not waiting:
            return
        if not running:
            if mark is None:
                # It was there when it was looked for, but killed already: the kernel ends a process in its own time.
                _check_ports(process, settings)
                mark = place.spawn(process, settings)
                continue
            raise LocalCloudError(
                f"{process.name}, a process of the local cloud, ended",
                why=_tail(place.log(process), mark) or "it printed nothing",
                remedy=f"See {place.log(process)}",
            )
        if waiting != seen:
            seen, since = waiting, time.monotonic()
            tell(f"{process.name}: {waiting}")
        if time.monotonic() - since > _START_S:
            raise LocalCloudError(
                f"{process.name}, a process of the local cloud, does not answer",
                why=f"for {_START_S:.0f} s it was {waiting}",
                remedy=f"See {place.log(process)}; `docsearch local stop` ends it",
            )
        time.sleep(0.05)


def _waiting(place: _Place, process: Process, settings: Settings) -> str:
    try:
        return process.ready(place.data / process.name, settings)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return "starting"


def _tail(log: Path, mark: int) -> str:
    """The last lines printed after `mark`, in one."""
    with log.open("rb") as file:
        file.seek(mark)
        return " / ".join(
            line.strip() for line in file.read().decode(errors="replace").splitlines()[-5:] if line.strip()
        )


def _status(place: _Place, settings: Settings | None, processes: Sequence[Process]) -> Status:
    found = []
    for process in processes:
        running = next(iter(place.find(process)), None)
        waiting = "not running" if running is None or settings is None else _waiting(place, process, settings)
        found.append(
            ProcessStatus(
                name=process.name,
                pid=running.pid if running else None,
                ports={name: settings.ports[name] for name in process.ports} if settings else {},
                healthy=not waiting,
                detail=waiting,
                uptime_s=running.uptime_s if running else 0.0,
                memory_mb=running.memory_mb if running else 0.0,
                log=str(place.log(process)),
            )
        )
    return Status(processes=tuple(found))
