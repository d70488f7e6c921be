"""The service over real sockets, and as a process."""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.state import StateError, StateServer, access, client_env, serve
from infra.local.state.__main__ import main

pytestmark = pytest.mark.engine

STACK = "/api/stacks/organization/docsearch/prod"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StateServer]:
    server = serve(tmp_path / "state", grace_s=0.2)
    server.start()
    yield server
    server.stop()


class Client:
    """One connection, kept open, as the engine keeps its own."""

    def __init__(self, server: StateServer) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        self.token = f"token {server.token}"

    def __call__(self, method: str, path: str, content: object = None, *, token: str = "") -> tuple[int, bytes]:
        body = gzip.compress(json.dumps(content).encode())
        headers = {"Authorization": token or self.token, "Content-Encoding": "gzip"}
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return response.status, response.read()

    def start(self) -> tuple[str, str]:
        update = json.loads(self("POST", f"{STACK}/update", {})[1])["updateID"]
        status, answer = self("POST", f"{STACK}/update/{update}", {"journalVersion": 1})
        assert status == 200, answer
        return f"{STACK}/update/{update}", f"update-token {json.loads(answer)['token']}"


@pytest.fixture
def client(server: StateServer) -> Iterator[Client]:
    client = Client(server)
    assert client("POST", "/api/stacks/organization/docsearch", {"stackName": "prod"})[0] == 200
    yield client
    client.connection.close()


def test_one_connection_carries_many_compressed_requests(client: Client) -> None:
    client("GET", "/api/user")
    opened = client.connection.sock
    for method, path, status in (
        ("GET", "/api/nothing", 404),
        ("HEAD", "/api/stacks/organization/docsearch", 204),
        ("HEAD", "/api/stacks/organization/nothing", 404),
        ("PATCH", f"{STACK}/tags", 204),
        ("GET", STACK, 200),
    ):
        assert client(method, path, {"a": "b"})[0] == status
    assert client.connection.sock is opened


def test_errors_are_told_in_the_form_that_the_engine_prints(client: Client) -> None:
    status, answer = client("GET", "/api/stacks/organization/docsearch/nothing")
    assert (status, json.loads(answer)["code"]) == (404, 404)
    assert "Stack 'organization/docsearch/nothing' not found" in json.loads(answer)["message"]
    assert client("GET", "/api/user", token="token wrong")[0] == 401
    assert client("POST", f"{STACK}/encrypt", {})[0] == 400
    assert client("POST", f"{STACK}/encrypt", ["x"])[0] == 400


def test_fault_of_the_service_itself_is_a_500_and_logged(
    client: Client, server: StateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("infra.local.state.service.Service.names", broken)
    status, answer = client("GET", "/api/user/stacks")
    assert (status, json.loads(answer)["message"]) == (
        500,
        "Internal Server Error: OSError: [Errno 28] No space left on device",
    )
    assert "No space left" in (server.root / "service.log").read_text()


def test_connection_that_closes_frees_the_update_after_the_grace(client: Client, server: StateServer) -> None:
    killed = Client(server)
    killed.start()
    with pytest.raises(AssertionError, match="Another update is currently in progress"):
        client.start()
    killed.connection.close()
    deadline = time.monotonic() + 10
    while json.loads(client("GET", STACK)[1]).get("currentOperation"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    client.start()


def test_request_that_was_cut_off_is_not_carried_out(client: Client, server: StateServer) -> None:
    at, lease = client.start()
    body = json.dumps({"entries": [{"kind": 0, "sequenceID": 1, "operationID": 1}]}).encode()
    with socket.create_connection(("127.0.0.1", server.port)) as dying:
        head = (
            f"PATCH {at}/journalentries HTTP/1.1\r\nAuthorization: {lease}\r\nContent-Length: {len(body) + 9}\r\n\r\n"
        )
        dying.sendall(head.encode() + body)
    journal = server.root / "organization/docsearch/prod/update.journal"
    assert client("PATCH", f"{at}/journalentries", {"entries": []}, token=lease)[0] == 204
    assert b"sequenceID" not in journal.read_bytes()


def test_log_tells_requests_and_no_secrets(client: Client, server: StateServer) -> None:
    _, lease = client.start()
    client("POST", f"{STACK}/encrypt", {"plaintext": "Y2FuYXJ5"})
    told = (server.root / "service.log").read_text()
    assert f"POST {STACK}/encrypt 200" in told
    for secret in (server.token, lease, "Y2FuYXJ5", "canary"):
        assert secret not in told


def test_port_that_is_taken_is_an_error_and_frees_the_folder(server: StateServer, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with pytest.raises(StateError, match=rf"port {server.port} cannot be used.*already in use.*choose another"):
        serve(other, server.port)
    serve(other).stop()


def test_client_env_isolates_the_client(server: StateServer) -> None:
    env = client_env(server)
    assert env == client_env(access(server.root, server.port))
    assert env["PULUMI_BACKEND_URL"] == f"http://127.0.0.1:{server.port}"
    assert Path(env["PULUMI_CREDENTIALS_PATH"]).parent == server.root


def test_access_to_a_folder_that_was_never_served_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no state service has served this folder yet"):
        access(tmp_path, 1)


def test_process_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.local.state", "--root", str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        at = access(tmp_path / "state", int(url.rpartition(":")[2]))
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request("GET", "/api/user", headers={"Authorization": f"token {at.token}"})
        assert connection.getresponse().status == 200
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        connection.close()


def test_command_reports_errors_with_their_exit_code(
    server: StateServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(server.root)]) == 4
    assert "is in use" in capsys.readouterr().err
    assert main(["--root", str(tmp_path / "new"), "--restore", "organization/docsearch/prod"]) == 4
    assert "not found" in capsys.readouterr().err
    assert main(["--root", str(tmp_path / "new"), "--restore", "prod"]) == 4
    assert "ORG/PROJECT/STACK" in capsys.readouterr().err


def test_command_restores_a_damaged_checkpoint(
    server: StateServer, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    restore = ["--root", str(server.root), "--restore", "organization/docsearch/prod"]
    state = server.root / "organization/docsearch/prod/state.json"
    server.stop()
    assert main(restore) == 4
    assert "had fewer than two updates" in capsys.readouterr().err
    again = serve(server.root)
    again.start()
    client = Client(again)
    for resources in ([{"urn": "a"}], [{"urn": "a"}, {"urn": "b"}]):
        assert client("POST", f"{STACK}/import", {"version": 3, "deployment": {"resources": resources}})[0] == 200
    again.stop()
    client.connection.close()
    state.write_bytes(b"damaged")
    assert main(restore) == 0
    assert "version 1, 1 resources" in capsys.readouterr().out
