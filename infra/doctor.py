"""What docsearch needs of a machine, checked one by one; nothing is changed, installed or started."""

import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from infra import clouds
from infra.cache import cache_folder
from infra.engine import VERSION, Engine, find_engine, find_language_host
from infra.errors import EngineError
from infra.gobuild import ENGINE_MODULE, find_go, needed_version
from infra.local import daemon

LEAST_PYTHON = (3, 11)
BUILD_GB = 6.0
"""Disk that a source build takes: sources 2 GB, Go's build cache 2.5 GB (both measured), Go itself and the results."""
WORK_GB = 1.0
"""Disk that daily work takes: state and logs of the local cloud, with room to spare."""

_OBTAIN = "`make up` obtains it: by download, or by a source build of about 8 minutes"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        ok: Whether docsearch can work with it. A part that docsearch obtains by itself when first needed is ok.
        detail: What was found.
        remedy: What to do when it is not ok; empty when it is.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def checks() -> list[Check]:
    """Everything: the machine, the engine, the local cloud."""
    return [*engine_checks(), local_cloud_check()]


def engine_checks() -> list[Check]:
    """Python, the engine and what obtaining it takes."""
    passed_over: list[str] = []
    try:
        engine = find_engine(passed_over.append)
        found = _engine_check(engine, passed_over)
    except EngineError as error:
        engine = None
        found = Check("engine", ok=False, detail=f"{error.what}: {error.why}", remedy=error.remedy)
    return [_python_check(), _sdk_check(), found, _go_check(engine), _host_check(engine), _disk_check(engine)]


def local_cloud_check() -> Check:
    """The local cloud: down is fine, since it starts when it is needed; half up is not."""
    status = daemon.status(clouds.ROOT)
    if not status.running:
        return Check("local cloud", ok=True, detail="not running; starts when it is needed")
    if status.healthy:
        return Check("local cloud", ok=True, detail=f"running, {len(status.processes)} processes")
    ill = "; ".join(f"{process.name}: {process.detail}" for process in status.processes if not process.healthy)
    return Check("local cloud", ok=False, detail=ill, remedy="`docsearch local stop`, then `docsearch local start`")


def _python_check() -> Check:
    have = ".".join(map(str, sys.version_info[:3]))
    needed = ".".join(map(str, LEAST_PYTHON))
    ok = sys.version_info[:2] >= LEAST_PYTHON
    return Check("python", ok, f"{have} at {sys.executable}", "" if ok else f"Make .venv again with Python {needed}")


def _sdk_check() -> Check:
    """The SDK in the program and the engine speak the same protocol version."""
    try:
        have = version("pulumi")
    except PackageNotFoundError:
        have = "not installed"
    ok = have == VERSION
    return Check("pulumi SDK", ok, have, "" if ok else f"{VERSION} is needed: `make setup` installs what is locked")


def _engine_check(engine: Engine | None, passed_over: list[str]) -> Check:
    aside = "".join(f"; {line}" for line in passed_over)
    if engine is None:
        return Check("engine", ok=False, detail=f"none found{aside}", remedy=_OBTAIN)
    origin = {"env": "named by DOCSEARCH_PULUMI", "path": "on PATH"}.get(engine.source, "in the cache")
    return Check("engine", ok=True, detail=f"{engine.version} at {engine.command}, {origin}{aside}")


def _go_check(engine: Engine | None) -> Check:
    needed = needed_version(ENGINE_MODULE)
    if go := find_go(needed):
        return Check("go", ok=True, detail=f"{go.version} at {go.command}")
    use = "fetched when the engine has to be built" if engine is None else "not needed: the engine is here"
    return Check("go", ok=True, detail=f"none that is {needed} or newer; {use}")


def _host_check(engine: Engine | None) -> Check:
    folder = find_language_host() if engine else None
    detail = str(folder) if folder else "not here; built when plain `pulumi` is first set up by `docsearch local env`"
    return Check("language host", ok=True, detail=detail)


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder."""
    return shutil.disk_usage(folder).free


def _disk_check(engine: Engine | None) -> Check:
    needed = WORK_GB if engine else BUILD_GB
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    free = free_bytes(folder) / 1e9
    ok = free >= needed
    remedy = "" if ok else f"Free {needed - free:.1f} GB, or set DOCSEARCH_CACHE to a larger disk"
    return Check("disk space", ok, f"{free:.1f} GB free at {folder}, {needed:.0f} GB needed", remedy)
