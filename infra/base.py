"""The base of a change: a commit, brought up by its own code on a local cloud of its own.

Bringing both regions up takes a minute, so it is done once for a program and kept; a check works on a copy. Commits
that differ only in what no program reads have one base (`key`). Nothing here needs credentials, and nothing of what the
base's code does reaches anything but that local cloud.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Final

from components.errors import ConfigError
from infra import clouds
from infra.cache import Report, made_once, run_watched, silent
from infra.console import AS_BASE
from infra.engine import VERSION
from infra.errors import EngineError, IncompleteError
from infra.local import daemon
from infra.program import PROJECT

MAIN: Final = ("origin/main", "main")
"""The branches that a change is meant for, the first that exists."""

KEEP: Final = 3
"""Bases that are kept: 30 MB each."""

UNREAD: Final = frozenset({".ci", ".github", "app", "docs", "tests"})
"""Folders that no program reads, as Markdown is not: `infra`, `stacks`, `components` and `policies` import neither the
search API nor tests (import-linter)."""

LIMIT_SECONDS: Final = 900
"""For bringing a base up, the engine not included; it takes one minute on two cores."""

_GIT: Final = shutil.which("git") or "git"
_SEAL: Final = "sha256"
"""Holds the digest of all other files of a base that is kept: one that does not match it is brought up again."""

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
def running(base: str, *, root: Path = clouds.ROOT, kept: bool = True, tell: Report = silent) -> Iterator[Path]:
    """A local cloud on which a base is up, to be used and thrown away.

    Args:
        base: The full id of the commit.
        root: Where bases are kept.
        kept: Whether one that was kept will do; otherwise it is brought up for this time only.
        tell: Takes lines of progress.

    Yields:
        The folder of the local cloud, for `clouds.local(root=...)`.

    Raises:
        IncompleteError: The base cannot be brought up.
    """
    (root / "check").mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root / "check"))
    try:
        if kept:
            _copy(base, root / "base", working, tell)
        else:
            _bring_up(base, working, tell)
        yield working
    finally:
        daemon.stop(working)
        shutil.rmtree(working, ignore_errors=True)


def key(base: str, *, folder: Path = PROJECT) -> str:
    """What a base is kept under: what its program consists of, and all that is installed for it to run with.

    Args:
        base: The full id of the commit.
        folder: Anywhere in the repository.
    """
    listed = (line.partition("\t") for line in _git(folder, "ls-tree", "--full-tree", base).splitlines())
    read = [f"{what} {name}" for what, _, name in listed if name not in UNREAD and not name.endswith(".md")]
    installed = sorted({f"{its.name} {its.version}" for its in metadata.distributions()})
    said = "\n".join((*(read or [base]), sys.version, f"engine {VERSION}", *installed))
    return hashlib.sha256(said.encode()).hexdigest()[:40]


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
    tell(f"bringing the base {base[:12]} up on a local cloud of its own (a minute, once per program)")
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


def _copy(base: str, bases: Path, working: Path, tell: Report) -> None:
    def make(draft: Path) -> None:
        _bring_up(base, draft, tell)
        (draft / _SEAL).write_text(_digest(draft))

    kept = bases / key(base)
    made_once(kept, make, whole=_whole, report=tell)
    os.utime(kept)
    by_age = sorted((one for one in bases.iterdir() if one.is_dir() and one.name[0] != "."), key=_age)
    for one in by_age[:-KEEP]:
        shutil.rmtree(one, ignore_errors=True)
    shutil.copytree(kept, working, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_SEAL))


def _age(folder: Path) -> float:
    return folder.stat().st_mtime


def _whole(folder: Path) -> bool:
    try:
        return (folder / _SEAL).read_text() == _digest(folder)
    except (OSError, ValueError):
        return False


def _digest(folder: Path) -> str:
    """Of all files that a base consists of, in hexadecimal digits."""
    found = hashlib.sha256()
    for file in sorted(one for one in folder.rglob("*") if one.is_file() and one != folder / _SEAL):
        with file.open("rb") as content:
            its = hashlib.file_digest(content, "sha256").hexdigest()
        found.update(f"{its} {file.relative_to(folder)}\n".encode())
    return found.hexdigest()


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
