"""The base of a change: a commit, brought up by its own code on a local cloud of its own.

Bringing both regions up takes a minute, so it is done once per commit and kept; a check works on a copy. Nothing here
needs credentials, and nothing of what the base's code does reaches anything but that local cloud.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from components.errors import ConfigError
from infra import clouds
from infra.cache import Report, made_once, run_watched, silent
from infra.console import AS_BASE
from infra.errors import EngineError, IncompleteError
from infra.local import daemon
from infra.program import PROJECT

MAIN: Final = ("origin/main", "main")
"""The branches that a change is meant for, the first that exists."""

KEEP: Final = 3
"""Bases that are kept: 30 MB each."""

LIMIT_SECONDS: Final = 900
"""For bringing a base up, the engine not included; it takes one minute on two cores."""

_GIT: Final = shutil.which("git") or "git"
_UP: Final = "from infra.cli import cli; cli(['up', '--all', '--local', '--yes'])"


def commit(ref: str | None, *, folder: Path = PROJECT) -> str:
    """The commit that a change starts from.

    Args:
        ref: A commit, branch or tag; None for the merge base of the files here and the main branch.
        folder: Anywhere in the repository.

    Raises:
        ConfigError: There is no such commit, or no repository.
    """
    if ref is not None:
        found = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if not found:
            raise ConfigError(
                f"--base {ref}: there is no such commit",
                why=_git_trouble(folder) or "git does not know it",
                remedy="Name a commit, branch or tag that is fetched (git fetch origin main)",
            )
        return found
    for branch in MAIN:
        if found := _git(folder, "merge-base", "HEAD", branch):
            return found
    raise ConfigError(
        "there is nothing to compare with",
        why=_git_trouble(folder) or f"neither {' nor '.join(MAIN)} shares a commit with what is here",
        remedy="Name the base: docsearch check --base REF",
    )


@contextmanager
def running(base: str, *, root: Path = clouds.ROOT, tell: Report = silent) -> Iterator[Path]:
    """A local cloud on which a base is up, to be used and thrown away.

    Args:
        base: The full id of the commit.
        root: Where bases are kept.
        tell: Takes lines of progress.

    Yields:
        The folder of the local cloud, for `clouds.local(root=...)`.

    Raises:
        IncompleteError: The base cannot be brought up.
    """
    kept = root / "base" / base
    made_once(kept, lambda draft: _bring_up(base, draft, tell), whole=_whole, report=tell)
    os.utime(kept)
    _forget_others(kept)
    working = root / "check" / str(os.getpid())
    shutil.rmtree(working, ignore_errors=True)
    shutil.copytree(kept, working)
    try:
        yield working
    finally:
        daemon.stop(working)
        shutil.rmtree(working, ignore_errors=True)


def stacks(base: str, *, folder: Path = PROJECT) -> set[str]:
    """The stacks that a commit has files for."""
    names = _git(folder, "ls-tree", "--name-only", base).splitlines()
    return {
        name.removeprefix("Pulumi.").removesuffix(".yaml")
        for name in names
        if name.startswith("Pulumi.") and name.endswith(".yaml") and name != "Pulumi.yaml"
    }


def _bring_up(base: str, draft: Path, tell: Report) -> None:
    tree = draft / "tree"
    tree.mkdir()
    packed = subprocess.run(
        [_GIT, "-C", str(PROJECT), "archive", "--format=tar", base], capture_output=True, check=False
    )
    if packed.returncode:
        raise IncompleteError(
            f"the base {base[:12]} cannot be read", why=packed.stderr.decode(errors="replace").strip()
        )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(tree, filter="data")
    tell(f"bringing the base {base[:12]} up on a local cloud of its own (a minute, once per commit)")
    home = draft / "home"
    try:
        run_watched(
            [sys.executable, "-P", "-c", _UP],
            doing=f"bringing the base {base[:12]} up",
            report=tell,
            # Its local cloud, too, is started from its own code: `python -m` looks here first.
            folder=tree,
            environment={"PYTHONPATH": str(tree), "DOCSEARCH_HOME": str(home), AS_BASE: "1"},
            limit_seconds=LIMIT_SECONDS,
        )
    except EngineError as error:
        raise IncompleteError(
            f"the base {base[:12]} cannot be brought up",
            why=str(error),
            remedy="Name another one: --base REF. It runs with the packages that are installed here",
        ) from error
    finally:
        daemon.stop(home)
        shutil.rmtree(tree)
    # Only what the local cloud holds: a copy chooses ports of its own.
    (draft / "local").mkdir()
    (home / "local/data").rename(draft / "local/data")
    shutil.rmtree(home)
    (draft / "whole").touch()


def _whole(folder: Path) -> bool:
    return (folder / "whole").is_file()


def _forget_others(kept: Path) -> None:
    by_age = sorted((one for one in kept.parent.iterdir() if _whole(one)), key=lambda one: one.stat().st_mtime)
    for one in by_age[:-KEEP]:
        shutil.rmtree(one, ignore_errors=True)


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run([_GIT, "-C", str(folder), *arguments], capture_output=True, check=False, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _git_trouble(folder: Path) -> str:
    if shutil.which("git") is None:
        return "git is not installed"
    return "" if _git(folder, "rev-parse", "--git-dir") else f"{folder} is in no git repository"
