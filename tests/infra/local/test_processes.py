"""What `/proc` tells about processes and ports."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import processes
from infra.local.processes import Running, end, find, port_holder, port_is_free, spawn

SLEEP = "import time\ntime.sleep(60)\n"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)\n"
)
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    """Runs a module of that source as `python -m module --root <tmp_path>/data`."""
    started: list[Running] = []

    def start(source: str) -> Running:
        (tmp_path / "some_module.py").write_text(source)
        argv = (sys.executable, "-m", "some_module", "--root", str(tmp_path / "data"), "--port", "1")
        running = spawn(argv, os.environ | {"PYTHONPATH": str(tmp_path)}, tmp_path / "log")
        assert running is not None
        started.append(running)
        return running

    yield start
    end(started, 0)


def wait_for(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_is_found_by_its_module_and_folder_only(run: Callable[[str], Running], tmp_path: Path) -> None:
    running = run(SLEEP)
    assert find("some_module", tmp_path / "data") == [running]
    assert find("some_module", tmp_path) == []
    assert find("other_module", tmp_path / "data") == []
    assert running.alive
    assert 0 <= running.uptime_s < 60
    assert 1 < running.memory_mb < 200
    assert os.getsid(running.pid) == running.pid != os.getsid(0)


def test_an_ended_process_is_neither_alive_nor_found(run: Callable[[str], Running], tmp_path: Path) -> None:
    running = run(SLEEP)
    end([running], 5)
    assert not running.alive
    assert find("some_module", tmp_path / "data") == []
    assert running.memory_mb == 0


def test_a_zombie_is_not_alive(run: Callable[[str], Running], tmp_path: Path) -> None:
    running = run(SLEEP)
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: find("some_module", tmp_path / "data") == [])
    assert not running.alive


def test_another_process_with_the_same_id_is_not_the_one_that_was_meant(run: Callable[[str], Running]) -> None:
    running = run(SLEEP)
    earlier = Running(pid=running.pid, argv=running.argv, started=running.started - 1)
    assert not earlier.alive
    end([earlier], 0)
    time.sleep(0.2)
    assert running.alive


def test_a_process_that_ignores_the_request_is_killed(run: Callable[[str], Running], tmp_path: Path) -> None:
    running = run(STUBBORN)
    wait_for(lambda: "up" in (tmp_path / "log").read_text())
    before = time.monotonic()
    end([running], 0.3)
    assert 0.3 <= time.monotonic() - before < 10
    assert not running.alive


def test_what_a_process_started_ends_with_it(run: Callable[[str], Running], tmp_path: Path) -> None:
    running = run(PARENT)
    wait_for(lambda: (tmp_path / "log").read_text().endswith("\n"))
    child = int((tmp_path / "log").read_text())
    assert Running.look(child) is not None
    end([running], 5)
    wait_for(lambda: Running.look(child) is None)


def test_output_is_appended_to_a_log_that_only_we_may_read(run: Callable[[str], Running], tmp_path: Path) -> None:
    (tmp_path / "log").write_text("earlier\n")
    run("import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr)\n")
    wait_for(lambda: (tmp_path / "log").read_text() == "earlier\nout\nerr\n")
    run("print('new')\n")
    (tmp_path / "log").unlink()
    run("print('again')\n")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_name_with_a_bracket_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) b (c"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as process:
        wait_for(lambda: Running.look(process.pid))
        running = Running.look(process.pid)
        process.kill()
    assert running is not None
    assert running.uptime_s < 120


@pytest.mark.engine
def test_the_holder_of_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not port_is_free(port)
        assert port_holder(port).startswith(f"process {os.getpid()} (")
    assert port_is_free(port)


@pytest.mark.engine
def test_a_port_is_free_right_after_its_server_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()
    assert port_is_free(port)


def test_an_unknown_holder_is_said_to_be_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert port_holder(1) == "a process that cannot be seen from here"
    (tmp_path / "net").mkdir()
    line = "0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 0 100 0 0 10 0"
    (tmp_path / "net" / "tcp").write_text(f"header\n{line}\n")
    assert port_holder(80) == "a process of another user"
    assert port_holder(81) == "a process that cannot be seen from here"
