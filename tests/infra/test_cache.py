import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infra import cache
from infra.cache import cache_folder, made_once, run_watched, silent
from infra.errors import EngineError


def whole(folder: Path) -> bool:
    return (folder / "result").is_file()


def fill(folder: Path) -> None:
    (folder / "result").write_text("done")


def never(_folder: Path) -> None:
    raise AssertionError("it was made again")


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def test_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCSEARCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_cache_is_in_the_home_folder_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCSEARCH_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/docsearch"


def test_what_is_whole_is_not_made_again(tmp_path: Path) -> None:
    made_once(tmp_path / "a/b/target", fill, whole=whole, report=silent)
    made_once(tmp_path / "a/b/target", never, whole=whole, report=silent)
    assert (tmp_path / "a/b/target/result").read_text() == "done"


def test_what_is_not_whole_is_made_again(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "half").touch()
    made_once(target, fill, whole=whole, report=silent)
    assert left_in(target) == ["result"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), EngineError("no"), MemoryError()])
def test_an_interruption_leaves_nothing(tmp_path: Path, failure: BaseException) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise failure

    with pytest.raises(type(failure)):
        made_once(tmp_path / "target", fail, whole=whole, report=silent)
    assert left_in(tmp_path) == []


def test_an_interruption_keeps_what_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target/half").touch()

    def fail(_folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once(tmp_path / "target", fail, whole=whole, report=silent)
    assert left_in(tmp_path / "target") == ["half"]


def test_what_a_killed_process_left_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from infra.cache import made_once, silent\n"
        "def make(folder): (folder / 'result').touch(); print('at work', flush=True); time.sleep(60)\n"
        "made_once(Path(sys.argv[1]), make, whole=lambda folder: (folder / 'result').is_file(), report=silent)"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "target"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at work\n"
        process.kill()
    assert len(left_in(tmp_path)) == 1
    assert not (tmp_path / "target").exists()
    made_once(tmp_path / "target", fill, whole=whole, report=silent)
    assert left_in(tmp_path) == ["target"]


def test_of_two_at_once_one_makes_it_and_the_other_says_that_it_waits(tmp_path: Path) -> None:
    at_work, waiting, lines = threading.Event(), threading.Event(), list[str]()

    def slowly(folder: Path) -> None:
        at_work.set()
        assert waiting.wait(20)
        fill(folder)

    def tell(line: str) -> None:
        lines.append(line)
        waiting.set()

    first = threading.Thread(
        target=made_once, args=(tmp_path / "target", slowly), kwargs={"whole": whole, "report": silent}
    )
    first.start()
    assert at_work.wait(20)
    made_once(tmp_path / "target", never, whole=whole, report=tell)
    first.join()
    assert lines == [f"another docsearch is making {tmp_path / 'target'}: waiting for it, 0 s"]


def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match=r"file/target cannot be written: .*\. Set DOCSEARCH_CACHE to a folder"):
        made_once(tmp_path / "file/target", fill, whole=whole, report=silent)


def test_a_command_gives_its_output_and_sees_its_environment() -> None:
    program = "import os; print(os.environ['WORD'])"
    assert run_watched([sys.executable, "-c", program], doing="x", report=silent, environment={"WORD": "hi"}) == "hi\n"


def test_a_command_at_work_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "REPORT_SECONDS", 0.05)
    lines: list[str] = []
    run_watched(["/bin/sleep", "0.5"], doing="building it", report=lines.append)
    assert len(lines) >= 2
    assert all(re.fullmatch(r"building it: \d+ s", line) for line in lines)


def test_a_command_that_fails_is_told_by_its_last_words() -> None:
    with pytest.raises(EngineError, match=r"^building it failed: b / c / d\.$"):
        run_watched(["/bin/sh", "-c", "printf 'a\nb\nc\nd\n' >&2; exit 3"], doing="building it", report=silent)


def test_a_command_that_fails_in_silence_is_told_by_its_exit_code() -> None:
    with pytest.raises(EngineError, match=r"^building it failed: exit 3\.$"):
        run_watched(["/bin/sh", "-c", "exit 3"], doing="building it", report=silent)


def test_a_command_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^building it failed: .*No such file"):
        run_watched([tmp_path / "nothing"], doing="building it", report=silent)


def test_a_command_beyond_its_limit_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^building it failed: not done after 1 s\.$"):
        run_watched(
            ["/bin/sh", "-c", "/bin/sleep 60 & echo $! > child; wait"],
            doing="building it",
            report=silent,
            folder=tmp_path,
            limit_seconds=0.6,
        )
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while not gone(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_ends_the_command_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(cache, "REPORT_SECONDS", 0.05)

    def interrupt_once_the_child_is_there(_line: str) -> None:
        if (tmp_path / "child").exists() and (tmp_path / "child").read_text():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    # A test run that was started in the background inherits that Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(KeyboardInterrupt):
        run_watched(
            ["/bin/sh", "-c", "/bin/sleep 60 & echo $! > child; wait"],
            doing="building it",
            report=interrupt_once_the_child_is_there,
            folder=tmp_path,
        )
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while not gone(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)
