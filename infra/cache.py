"""What takes minutes to make is made once per machine, watched while it is made, and never half there."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from infra.errors import EngineError

Report = Callable[[str], None]
"""Takes one line of progress, in plain words, without a newline."""

REPORT_SECONDS = 10
"""How often work that goes on says so."""

_ADVICE = "Set DOCSEARCH_CACHE to a folder that you can write to, with room for it"


def silent(_line: str) -> None:
    """A `Report` for callers with nobody watching."""


def cache_folder() -> Path:
    """``$DOCSEARCH_CACHE``, otherwise ``~/.cache/docsearch``. It can be deleted: all in it is made again."""
    return Path(os.environ.get("DOCSEARCH_CACHE") or "~/.cache/docsearch").expanduser().absolute()


def made_once(target: Path, make: Callable[[Path], None], *, whole: Callable[[Path], bool], report: Report) -> None:
    """Sees to it that a folder of the cache is there, whole.

    It is made under another name and renamed at the end, so an interruption at any moment leaves nothing that could be
    taken for the result. Of several processes one makes it and the others wait.

    Args:
        target: The folder.
        make: Fills an empty folder, or raises.
        whole: Whether a folder has everything; a folder that has not is made again.
        report: Told when another process has to be waited for.

    Raises:
        EngineError: The cache cannot be written. What `make` raises goes through.
    """
    if whole(target):
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target, report):
            if whole(target):
                return
            # Whoever left these was killed: nobody else writes here while the lock is ours.
            for stale in target.parent.glob(f".{target.name}-*"):
                shutil.rmtree(stale, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as shell:
                draft = Path(shell) / "draft"
                draft.mkdir()
                make(draft)
                if target.exists():
                    shutil.rmtree(target)
                draft.rename(target)
    except OSError as error:
        raise EngineError(f"{target} cannot be written", why=str(error), remedy=_ADVICE) from error


@contextmanager
def _alone(target: Path, report: Report) -> Iterator[None]:
    with (target.parent / f".{target.name}.lock").open("a") as lock:
        began = time.monotonic()
        spoken = -REPORT_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = int(time.monotonic() - began)
                if waited >= spoken + REPORT_SECONDS:
                    report(f"another docsearch is making {target}: waiting for it, {waited} s")
                    spoken = waited
                time.sleep(0.2)
        yield


def run_watched(
    command: Sequence[str | Path],
    *,
    doing: str,
    report: Report,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    limit_seconds: float | None = None,
) -> str:
    """Runs a command to its end, saying every 10 s that it is still at work, and keeping its noise out.

    Args:
        command: What to run.
        doing: What it does, for progress and errors: "building the Pulumi engine".
        report: Takes the progress.
        folder: Where to run it.
        environment: What differs from this process's environment.
        limit_seconds: How long it may take.

    Returns:
        What it wrote to stdout.

    Raises:
        EngineError: It is not there, failed, or took too long. Neither it nor its children are left running, which also
            holds for an interruption by Ctrl-C.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"{doing} failed", why=str(error)) from error
        try:
            while True:
                left = REPORT_SECONDS if limit_seconds is None else limit_seconds - (time.monotonic() - began)
                try:
                    process.wait(max(0.0, min(REPORT_SECONDS, left)))
                    break
                except subprocess.TimeoutExpired:
                    if limit_seconds is not None and time.monotonic() - began >= limit_seconds:
                        raise EngineError(f"{doing} failed", why=f"not done after {limit_seconds:.0f} s") from None
                    report(f"{doing}: {time.monotonic() - began:.0f} s")
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if process.returncode:
            raise EngineError(
                f"{doing} failed", why=_last_words(err) or _last_words(out) or f"exit {process.returncode}"
            )
        out.seek(0)
        return out.read().decode(errors="replace")


def _last_words(stream: IO[bytes], lines: int = 3) -> str:
    stream.seek(0)
    said = stream.read().decode(errors="replace").strip().splitlines()
    return " / ".join(line.strip() for line in said[-lines:] if line.strip())
