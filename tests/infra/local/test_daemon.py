"""The daemon: what it starts, finds again, refuses and ends."""

import dataclasses
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.errors import LocalCloudError
from infra.local import daemon
from infra.local.daemon import PROCESSES, Process, Settings, endpoints, reset, start, status, stop
from infra.local.processes import find

# Answers on its port after `delay` seconds; a file `crash` in its folder ends it at once.
SERVER = """
import argparse, http.server, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--root", type=pathlib.Path)
parser.add_argument("--port", type=int)
parser.add_argument("--account")
options = parser.parse_args()
(options.root / "starts").open("a").write("x")
if (options.root / "crash").exists():
    sys.exit("the disk\\nis on fire")
if (options.root / "hang").exists():
    time.sleep(60)
server = http.server.HTTPServer(("127.0.0.1", options.port), http.server.BaseHTTPRequestHandler)
server.serve_forever()
"""


def _answers(folder: Path, settings: Settings, name: str) -> str:
    socket.create_connection(("127.0.0.1", settings.ports[name]), timeout=5).close()
    return ""


def fake(name: str) -> Process:
    return Process(
        name=name,
        module="steady_server",
        ports=(name,),
        options=lambda it: ["--port", str(it.ports[name]), "--account", it.account],
        ready=lambda folder, settings: _answers(folder, settings, name),
    )


FAKES = (fake("one"), fake("two"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "steady_server.py").write_text(SERVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    root = tmp_path / "project" / ".docsearch"
    yield root
    stop(root, processes=(*FAKES, *PROCESSES))


def data(root: Path, name: str) -> Path:
    return root.resolve() / "local" / "data" / name


def pids(root: Path, processes: Sequence[Process] = FAKES) -> list[int | None]:
    return [process.pid for process in status(root, processes=processes).processes]


def starts(root: Path, name: str) -> int:
    return len((data(root, name) / "starts").read_text())


@pytest.mark.engine
def test_start_starts_everything_once_and_stop_ends_it(root: Path) -> None:
    first = start(root, processes=FAKES)
    assert first.healthy
    assert first.running
    for process in first.processes:
        assert process.pid is not None
        assert os.getsid(process.pid) == process.pid
        assert process.memory_mb > 1
        assert process.uptime_s < 60
        assert Path(process.log).exists()
    again = start(root, processes=FAKES)
    assert [it.pid for it in again.processes] == [it.pid for it in first.processes]
    assert stop(root, processes=FAKES) == ("one", "two")
    after = status(root, processes=FAKES)
    assert not after.running
    assert [process.detail for process in after.processes] == ["not running"] * 2
    assert stop(root, processes=FAKES) == ()


@pytest.mark.engine
def test_ports_stay_the_same_from_start_to_start(root: Path) -> None:
    first = [process.ports for process in start(root, processes=FAKES).processes]
    stop(root, processes=FAKES)
    assert [process.ports for process in start(root, processes=FAKES).processes] == first
    for ports in first:
        assert all(20000 <= port < 30000 for port in ports.values())


@pytest.mark.engine
def test_a_dead_process_is_started_again_and_the_others_are_left_alone(root: Path) -> None:
    start(root, processes=FAKES)
    one, two = pids(root)
    assert one is not None
    os.kill(one, signal.SIGKILL)
    while pids(root)[0] is not None:
        time.sleep(0.01)
    assert [process.healthy for process in status(root, processes=FAKES).processes] == [False, True]
    start(root, processes=FAKES)
    assert pids(root)[1] == two
    assert pids(root)[0] not in (None, one)


@pytest.mark.engine
def test_a_process_that_is_about_to_end_is_started_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start(root, processes=FAKES).processes[0]
    dying = find(FAKES[0].module, data(root, "one"))
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    while pids(root)[0] is not None:
        time.sleep(0.01)
    looks = iter([dying])  # As the kernel shows it for a moment more.
    monkeypatch.setattr(daemon, "find", lambda module, folder: next(looks, None) or find(module, folder))
    assert start(root, processes=FAKES).healthy
    assert starts(root, "one") == 2
    assert starts(root, "two") == 1


@pytest.mark.engine
def test_another_port_restarts_the_process_that_listens_on_it(root: Path) -> None:
    before = start(root, processes=FAKES)
    port = before.processes[0].ports["one"] + 100
    after = start(root, ports={"one": port}, processes=FAKES)
    assert after.processes[0].ports == {"one": port}
    assert after.processes[0].pid != before.processes[0].pid
    assert after.processes[1].pid == before.processes[1].pid
    assert start(root, processes=FAKES).processes[0].ports == {"one": port}


@pytest.mark.engine
def test_a_taken_port_is_an_error_that_names_port_process_and_remedy(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalCloudError) as raised:
            start(root, ports={"two": port}, processes=FAKES)
    assert raised.value.what == f"port {port}, for two of the local cloud, is taken"
    assert raised.value.why.startswith(f"process {os.getpid()} (")
    assert "docsearch local start --port two=N" in raised.value.remedy
    assert raised.value.exit_code == 4
    assert pids(root) == [None, None]


@pytest.mark.engine
def test_a_process_that_ends_is_an_error_with_its_last_words(root: Path) -> None:
    start(root, processes=FAKES)
    stop(root, processes=FAKES)
    (data(root, "two") / "crash").touch()
    with pytest.raises(LocalCloudError) as raised:
        start(root, processes=FAKES)
    assert raised.value.what == "two, a process of the local cloud, ended"
    assert raised.value.why == "the disk / is on fire"
    (data(root, "two") / "crash").unlink()
    assert start(root, processes=FAKES).healthy
    assert (starts(root, "one"), starts(root, "two")) == (2, 3)


@pytest.mark.engine
def test_a_process_that_does_not_answer_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_START_S", 0.5)
    data(root, "one").mkdir(parents=True)
    (data(root, "one") / "hang").touch()
    told: list[str] = []
    with pytest.raises(LocalCloudError, match="one, a process of the local cloud, does not answer"):
        start(root, processes=FAKES, tell=told.append)
    assert told == ["one: starting"]
    stop(root, processes=FAKES)
    assert pids(root) == [None, None]


@pytest.mark.engine
def test_concurrent_starts_start_everything_once(root: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        import test_daemon
        print(test_daemon.start(Path(sys.argv[1]), processes=test_daemon.FAKES).healthy)
        """
    )
    command = [sys.executable, "-c", program, str(root), str(Path(__file__).parent)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(Path(__file__).parents[3])])}
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) for _ in range(4)]
    assert [starter.communicate(timeout=120)[0] for starter in starters] == ["True\n"] * 4
    assert (starts(root, "one"), starts(root, "two")) == (1, 1)
    # The starters are gone, and what they started is not.
    assert status(root, processes=FAKES).healthy


@pytest.mark.engine
def test_processes_of_a_start_that_was_killed_are_found_and_ended(root: Path) -> None:
    start(root, processes=FAKES)
    before = pids(root)
    (root / "local" / "daemon.json").unlink()
    assert pids(root) == before
    assert not status(root, processes=FAKES).healthy
    assert stop(root, processes=FAKES) == ("one", "two")
    for name in ("one", "two"):
        assert find("steady_server", data(root, name)) == []


@pytest.mark.engine
def test_reset_forgets_what_is_kept_but_not_the_ports(root: Path) -> None:
    ports = [process.ports for process in start(root, processes=FAKES).processes]
    reset(root, processes=FAKES)
    assert pids(root) == [None, None]
    assert not data(root, "one").exists()
    assert sorted(path.name for path in (root / "local").iterdir()) == ["daemon.json", "daemon.lock", "log"]
    assert [process.ports for process in start(root, processes=FAKES).processes] == ports
    assert starts(root, "one") == 1


@pytest.mark.engine
def test_an_overlong_log_is_put_aside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_LOG_BYTES", 10)
    log = root / "local" / "log" / "one.log"
    log.parent.mkdir(parents=True)
    log.write_text("x" * 11)
    start(root, processes=FAKES)
    assert log.with_suffix(".log.1").read_text() == "x" * 11
    assert log.read_text() == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"account": "12"}, "'12' is no AWS account id: that has 12 digits"),
        ({"ports": {"one": 0}}, "0 is no port for one"),
        ({"ports": {"one": 99999}}, "99999 is no port for one"),
        ({"ports": {"one": 4000, "two": 4000}}, "port 4000 is meant for both one and two"),
    ],
)
def test_a_choice_that_cannot_work_is_refused(root: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalCloudError, match=re.escape(message)):
        start(root, processes=FAKES, **given)
    assert not (root / "local" / "daemon.json").exists()


def test_settings_that_cannot_be_read_are_an_error(root: Path) -> None:
    file = root / "local" / "daemon.json"
    file.parent.mkdir(parents=True)
    for content in ("{", '{"account": "1"}', '{"account": "1", "ports": {}, "more": 1}'):
        file.write_text(content)
        with pytest.raises(LocalCloudError, match="cannot be read") as raised:
            status(root, processes=FAKES)
        assert str(file) in raised.value.what
        assert "Delete it" in raised.value.remedy


def test_a_cloud_that_was_never_started_has_a_status_but_no_endpoints(root: Path) -> None:
    assert not status(root).running
    assert [process.name for process in status(root).processes] == ["moto", "state", "providers"]
    with pytest.raises(LocalCloudError, match="it was never started"):
        endpoints(root)
    assert not root.exists()


def test_processes_inherit_nothing_that_leads_to_a_real_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", "PULUMI_ACCESS_TOKEN", "MOTO_PORT"):
        monkeypatch.setenv(name, "real")
    environment = daemon._environment()
    assert "real" not in environment.values()
    assert environment["PYTHONHASHSEED"] == "0"


def test_a_start_waits_for_another_one_and_then_gives_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "_LOCK_S", 3.0)
    told: list[str] = []
    with daemon._Place(root).locked(), pytest.raises(LocalCloudError, match="is locked"):
        start(root, processes=FAKES, tell=told.append)
    assert told == ["waiting for another docsearch that starts or stops the local cloud"]


def get(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@pytest.mark.engine
def test_the_real_local_cloud_starts_answers_survives_and_stops(root: Path) -> None:
    begun = start(root, account="210987654321")
    assert begun.healthy, begun
    where = endpoints(root)
    assert where.state_token not in repr(where)
    assert dataclasses.asdict(where)["state_token"]
    sns = boto3.client(
        "sns",
        region_name="us-west-2",
        endpoint_url=where.aws_url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    arn = sns.create_topic(Name="alarms")["TopicArn"]
    assert arn == "arn:aws:sns:us-west-2:210987654321:alarms"
    moto = begun.processes[0]
    assert moto.pid is not None
    os.kill(moto.pid, signal.SIGKILL)
    after = start(root)
    assert after.healthy
    assert [it.pid for it in after.processes[1:]] == [it.pid for it in begun.processes[1:]]
    assert endpoints(root) == where
    assert sns.list_topics()["Topics"] == [{"TopicArn": arn}]
    assert get(moto.ports["moto"], "/docsearch/health")["replayed"] == 1
    assert stop(root) == ("moto", "state", "providers")
    with pytest.raises(LocalCloudError, match="there is no process for moto, state, providers"):
        endpoints(root)
