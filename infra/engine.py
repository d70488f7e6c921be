"""Finds the Pulumi engine, or obtains it.

In this order: the one that DOCSEARCH_PULUMI names, `pulumi` on PATH, the project's cache, Pulumi's own installer, a
build from source. An engine is used when its version is a release with the major and minor number of `VERSION`
(3.250.x): the plans, events and state formats that docsearch reads were tested with those, and the Python SDK is pinned
to them too. One named by DOCSEARCH_PULUMI that does not fit is an error; one on PATH that does not fit is passed over,
and said so.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from infra.cache import Report, cache_folder, made_once, run_watched, silent
from infra.errors import EngineError
from infra.gobuild import ENGINE_MODULE, ensure_go, go_build, module_source, needed_version

VERSION = "3.250.0"
"""The engine that is installed or built. pyproject.toml and infra/engine/go.mod say the same; a test compares them."""

ENVIRONMENT = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
"""What every call of the engine needs: without it, it asks the network for a newer one each time."""

Source = Literal["env", "path", "cache", "installed", "built"]

_MINOR = VERSION.rpartition(".")[0]
_INSTALL_SECONDS = 300
_ANSWER_SECONDS = 30
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_HOST = "pulumi-language-python"

# In a process of its own: the installer sets no time limit, so where names resolve and nothing answers it would wait
# for minutes; and what it downloads and runs writes to the terminal.
_INSTALL = """
import socket, subprocess, sys
from pulumi.automation import PulumiCommand
from semver import VersionInfo
socket.setdefaulttimeout(10)
try:
    PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
except subprocess.CalledProcessError as error:
    sys.exit((error.output or b"").decode(errors="replace") or str(error))
except OSError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class Engine:
    """A Pulumi engine that can be used.

    Attributes:
        command: The program.
        version: What it says of itself, such as ``3.250.0``.
        source: Where it was found, or how it was just obtained.
    """

    command: Path
    version: str
    source: Source


@dataclass(frozen=True)
class Maker:
    """One way to obtain an engine.

    Attributes:
        source: What an engine obtained so is called.
        name: What it does, for progress and errors.
        make: Puts ``bin/pulumi`` into an empty folder, or raises EngineError.
    """

    source: Source
    name: str
    make: Callable[[Path, Report], None]


def find_engine(report: Report = silent) -> Engine | None:
    """Looks for a usable engine on this machine.

    Args:
        report: Told of every engine that is there and cannot be used, and why.

    Raises:
        EngineError: DOCSEARCH_PULUMI names one that cannot be used.
    """
    if named := os.environ.get("DOCSEARCH_PULUMI"):
        command = Path(named).expanduser().absolute()
        try:
            return Engine(command, _usable(command), "env")
        except EngineError as error:
            raise EngineError(
                f"DOCSEARCH_PULUMI={named} cannot be used",
                why=str(error).rstrip("."),
                remedy=f"Name a Pulumi {_MINOR}, or unset it",
            ) from error
    on_path = shutil.which("pulumi")
    candidates: list[tuple[Source, Path | None]] = [("path", Path(on_path).absolute() if on_path else None)]
    candidates.append(("cache", _cached() if _cached().exists() else None))
    for source, candidate in candidates:
        if candidate is None:
            continue
        try:
            return Engine(candidate, _usable(candidate), source)
        except EngineError as error:
            report(f"not using {candidate}: {error}")
    return None


def verify(engine: Engine) -> str:
    """Runs ``pulumi version``.

    Returns:
        The version, without a leading v.

    Raises:
        EngineError: It does not run, or answers with something else.
    """
    return _version_of(engine.command)


def ensure_engine(report: Report = silent, *, makers: Sequence[Maker] | None = None) -> Engine:
    """Finds the engine, or obtains it and keeps it in the cache.

    Takes a third of a second when it is there, about 8 minutes by a first build on two cores.

    Args:
        report: Takes the progress.
        makers: The ways to obtain one, best first; `MAKERS` unless told.

    Raises:
        EngineError: None can be used and none can be obtained: it says what each step came to.
    """
    refused: list[str] = []

    def refuse(why: str) -> None:
        refused.append(why.rstrip("."))
        report(why)

    if found := find_engine(refuse):
        return found
    folder = _cached().parents[1]
    for maker in MAKERS if makers is None else makers:
        report(f"{maker.name} {VERSION}")
        try:
            made_once(folder, partial(_make, maker, report), whole=_holds_engine, report=report)
            return Engine(_cached(), _usable(_cached()), maker.source)
        except EngineError as error:
            refuse(str(error))
    raise EngineError(
        f"there is no Pulumi engine {_MINOR} on this machine and none can be obtained",
        why="; ".join(["no `pulumi` on PATH" if shutil.which("pulumi") is None else "", *refused]).lstrip("; "),
        remedy=f"Install Pulumi {_MINOR} and put it on PATH, or set DOCSEARCH_PULUMI to it",
    )


def find_language_host() -> Path | None:
    """The folder of a Python language host on this machine: beside the engine, or in the cache.

    Raises:
        EngineError: DOCSEARCH_PULUMI names an engine that cannot be used.
    """
    engine = find_engine()
    beside = (engine.command.parent, engine.command.resolve().parent) if engine else ()
    return next((folder for folder in (*beside, host_folder()) if _holds_host(folder)), None)


def ensure_language_host(report: Report = silent) -> Path:
    """Finds or builds what plain ``pulumi`` starts for a Python program; docsearch itself does not need it.

    The official distribution has it beside the engine. Otherwise it is built from SDK 3.78.0, whose Go module still
    holds it, with the starter script of the pinned SDK (under two minutes). That old host cannot run policy packs and
    would be preferred to the script that can, so it gets a folder of its own, never the engine's.

    Returns:
        The folder to put on PATH, behind the ``bin`` folder of the virtual environment with the Python SDK.

    Raises:
        EngineError: It is not there and cannot be built.
    """
    ensure_engine(report)
    if found := find_language_host():
        return found

    def build(draft: Path) -> None:
        module = ENGINE_MODULE / "language"
        go = ensure_go(needed_version(module), report)
        report("building the Python language host from source (under two minutes)")
        go_build(
            go,
            f"{_SDK}/python/cmd/{_HOST}",
            draft / _HOST,
            module=module,
            doing="building the Python language host",
            report=report,
        )
        starter = module_source(go, _SDK, module=ENGINE_MODULE, report=report) / f"python/cmd/{_HOST}-exec"
        shutil.copyfile(starter, draft / starter.name)
        (draft / starter.name).chmod(0o755)

    made_once(host_folder(), build, whole=_holds_host, report=report)
    return host_folder()


def _install(draft: Path, report: Report) -> None:
    run_watched(
        [sys.executable, "-c", _INSTALL, draft, VERSION],
        doing="Pulumi's installer",
        report=report,
        environment=ENVIRONMENT,
        limit_seconds=_INSTALL_SECONDS,
    )


def _build(draft: Path, report: Report) -> None:
    go = ensure_go(needed_version(ENGINE_MODULE), report)
    report(f"compiling with Go {go.version}: about 8 minutes on two cores the first time")
    go_build(
        go,
        "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        draft / "bin/pulumi",
        module=ENGINE_MODULE,
        doing="building the Pulumi engine",
        report=report,
        stamp=f"{_SDK}/go/common/version.Version=v{VERSION}",
    )


MAKERS = (
    Maker("installed", "installing the Pulumi engine", _install),
    Maker("built", "building the Pulumi engine from source:", _build),
)
"""The official installer, then a build from the sources pinned in infra/engine/."""


def _make(maker: Maker, report: Report, draft: Path) -> None:
    (draft / "bin").mkdir()
    maker.make(draft, report)
    _usable(draft / "bin/pulumi")


def _usable(command: Path) -> str:
    version = _version_of(command)
    if not re.fullmatch(rf"{re.escape(_MINOR)}\.\d+", version):
        raise EngineError(f"it is Pulumi {version}", why=f"docsearch is tested with {_MINOR}.x")
    return version


def _version_of(command: Path) -> str:
    try:
        answer = subprocess.run(
            [command, "version"],
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command} does not run", why=str(error)) from error
    said = re.fullmatch(r"v?(\d+\.\d+\.\d+\S*)", answer.stdout.strip())
    if answer.returncode or said is None:
        words = (answer.stdout + answer.stderr).strip()[:200]
        raise EngineError(
            f"{command} is not a Pulumi engine", why=f"`pulumi version` says {words!r}, exit {answer.returncode}"
        )
    return said[1]


def _cached() -> Path:
    return cache_folder() / "engine" / VERSION / "bin/pulumi"


def _holds_engine(folder: Path) -> bool:
    try:
        return bool(_usable(folder / "bin/pulumi"))
    except EngineError:
        return False


def host_folder() -> Path:
    """Where the language host is that `ensure_language_host` builds."""
    return cache_folder() / "language" / VERSION


def _holds_host(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) and (folder / name).is_file() for name in (_HOST, f"{_HOST}-exec"))
