"""The command and its processes, as an operator has them: embedded, killed, stopped, asked for nonsense."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.client import Client, Document, Line, ProblemError, SearchRequest, State
from app.process import url_of
from app.store.embedded import Embedded

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(embedded_home: Path) -> Iterator[Path]:
    """A home whose PostgreSQL goes on between commands: they join it, as an operator's do beside a running service."""
    its = Embedded.start(embedded_home / "api/postgres")
    yield embedded_home
    its.stop()


@pytest.fixture(scope="module")
def embedded_home() -> Iterator[Path]:
    with folder() as its:
        yield its


@pytest.fixture
def empty_home() -> Iterator[Path]:
    with folder() as its:
        yield its


@contextmanager
def folder() -> Iterator[Path]:
    # Not below pytest's folder: PostgreSQL runs as a user of its own, who has to get there.
    its = Path(tempfile.mkdtemp(prefix="docsearch-cli-"))
    try:
        yield its
    finally:
        shutil.rmtree(its)


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DOCSEARCH_", "DATABASE_"))}
    return {**clean, "DOCSEARCH_HOME": str(home), **more}


def run(home: Path, *words: str, stdin: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app", *words]
    return subprocess.run(
        command, cwd=ROOT, env=environment(home, **more), input=stdin, capture_output=True, text=True, check=False
    )


@contextmanager
def serving(home: Path, *words: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server at a free port: its process, its URL, and a key if it prints one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "serve", "--port", "0", *words],
        cwd=ROOT,
        env=environment(home, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    key = url = ""
    assert process.stdout is not None
    try:
        for line in process.stdout:
            key = key or (found[0] if (found := re.search(r"dsk_\S+", line)) else "")
            if match := re.search(r"Search page: (http://[\d.:]+/)", line):
                url = match[1]
                break
        yield process, url, key
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()
        process.stdout.close()


@pytest.mark.parametrize(
    ("host", "secure", "url"),
    [
        ("0.0.0.0", False, "http://127.0.0.1:8080/"),
        ("192.0.2.7", True, "https://192.0.2.7:8080/"),
        ("::", False, "http://[::1]:8080/"),
        ("2001:db8::7", True, "https://[2001:db8::7]:8080/"),
    ],
)
def test_where_it_answers_is_an_url_that_can_be_called(host: str, secure: bool, url: str) -> None:
    assert url_of(host, 8080, secure=secure) == url
    assert httpx.URL(url).port == 8080


def test_the_sample_is_served_survives_a_kill_and_is_stopped_in_good_order(empty_home: Path) -> None:
    postgres = empty_home / "api/postgres"
    with serving(empty_home, "--sample") as (process, url, key):
        use(url, key)
        before = (postgres / "postmaster.pid").read_text().split()[0]
        process.kill()
        process.wait()
    # Nobody stopped PostgreSQL: the next process takes it over, and stops it at the end.
    with serving(empty_home, "--sample") as (process, url, second):
        assert (postgres / "postmaster.pid").read_text().split()[0] == before
        with Client(url, second) as client:
            assert client.search(SearchRequest(q="runs")).total == 1
        listed = run(empty_home, "keys", "list", "--tenant", "sample")
        assert len(listed.stdout.splitlines()) == 2, listed.stderr
        assert not {key, second} & {*listed.stdout.split()}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert not (postgres / "postmaster.pid").exists()


def use(url: str, key: str) -> None:
    with Client(url, key) as client:
        answer = client.search(SearchRequest(q="cofee machine", fuzzy="auto"))
        assert answer.corrected == {"cofee": ["coffee"]}
        assert 0 < answer.total < 600
        whole = [hit.document_id for hit in client.hits(SearchRequest(sort=("title",), size=100, fields=("title",)))]
        assert len({*whole}) == len(whole) == 600
        assert client.suggest("cof").suggestions[0].text == "coffee"
        written = client.add(Document(title="Written while it runs"))
        ended = client.wait(written.task_id)
        assert ended
        assert ended.state is State.SUCCEEDED
        assert client.get(written.document_id).status == "INDEXED"
        token = client.token("u").token
        with Client(url, token) as bearer, pytest.raises(ProblemError, match="needs the scope 'write'") as refused:
            bearer.add(Document(title="x"))
        assert (refused.value.status, refused.value.code) == (403, "forbidden")
        with pytest.raises(ProblemError, match="version 1, not 7"):
            client.put(written.document_id, Document(title="x"), version=7)


def test_a_key_is_made_used_and_revoked(home: Path) -> None:
    made = run(home, "keys", "create", "--tenant", "acme", "--new-tenant", "--scope", "read", "--days", "1")
    assert re.fullmatch(r"dsk_[a-z0-9]{12}_\S{43}\n", made.stdout), made.stderr
    with serving(home) as (_, url, _), Client(url, made.stdout.strip()) as client:
        assert client.whoami().scopes == ["read"]
    prefix = made.stdout.split("_")[1]
    assert run(home, "keys", "revoke", "--tenant", "acme", prefix).returncode == 0
    again = run(home, "keys", "revoke", "--tenant", "acme", "nobody")
    assert again.returncode == 1
    assert "there is no API key 'nobody'" in again.stderr


def test_a_tenant_is_limited_suspended_and_served_again(home: Path) -> None:
    made = run(home, "keys", "create", "--tenant", "bound", "--new-tenant", "--scope", "read").stdout.strip()
    assert run(home, "tenants", "limit", "--tenant", "bound", "--per-minute", "2").stdout.startswith(
        "bound may ask 2 a"
    )
    assert run(home, "tenants", "suspend", "--tenant", "bound").stdout == "bound is suspended.\n"
    with serving(home) as (_, url, _), Client(url, made) as client, pytest.raises(ProblemError, match="is suspended"):
        client.whoami()
    assert run(home, "tenants", "resume", "--tenant", "bound").stdout == "bound is served.\n"
    assert "no tenant 'nobody'" in run(home, "tenants", "suspend", "--tenant", "nobody").stderr


def test_documents_are_loaded_and_the_index_is_made_again(home: Path) -> None:
    lines = [json.dumps({"document": {"title": f"Number {number}"}}) for number in range(20)]
    loaded = run(home, "load", "--tenant", "loaded", "--new-tenant", "-", stdin="\n".join([*lines, "{", ""]))
    assert loaded.returncode == 1
    assert "Loaded 20 documents, 1 failed." in loaded.stdout
    assert "line 21: the document cannot be read" in loaded.stderr
    rebuilt = run(home, "rebuild-index")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert re.search(r"^loaded +full_text +20 +([0-9a-f]{16}) +20 +\1 +equal$", rebuilt.stdout, re.MULTILINE)
    missing = run(home, "rebuild-index", "--tenant", "nobody")
    assert (missing.returncode, "there is no tenant 'nobody'" in missing.stderr) == (1, True)


def test_migrating_says_what_it_did(home: Path) -> None:
    assert run(home, "migrate").stdout == "The schema is current.\nOld documents are deleted by the worker.\n"


def test_a_port_that_is_taken_is_said_so(home: Path) -> None:
    with serving(home) as (_, url, _):
        port = url.rstrip("/").rpartition(":")[2]
        second = run(home, "serve", "--port", port)
        assert second.returncode == 2
        assert f"127.0.0.1:{port} cannot be listened at: Address already in use" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_process_that_leaves_says_so_answers_on_and_can_be_hurried(home: Path) -> None:
    key = run(home, "keys", "create", "--tenant", "left", "--new-tenant", "--scope", "read").stdout.strip()
    with serving(home, DOCSEARCH_NOTICE_SECONDS="600") as (process, url, _), Client(url, key) as client:
        assert readiness(url) == (200, {"status": "UP"})
        process.send_signal(signal.SIGTERM)
        while readiness(url)[0] == 200:
            time.sleep(0.05)
        assert readiness(url) == (503, {"status": "LEAVING"})
        assert client.whoami().scopes == ["read"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def readiness(url: str) -> tuple[int, Any]:
    found = httpx.get(f"{url}health/ready")
    return found.status_code, found.json()


def test_settings_that_cannot_work_end_the_command_by_name(home: Path) -> None:
    wrong = run(home, "serve", DATABASE_POOL_MAX="none")
    assert wrong.returncode == 2
    assert "DATABASE_POOL_MAX cannot be used" in wrong.stderr
    nowhere = run(home, "serve", DATABASE_HOST="/nowhere", API_KEY_PEPPER="x" * 40)
    assert nowhere.returncode == 1
    assert "PostgreSQL does not answer" in nowhere.stderr


def test_a_server_that_is_killed_loses_and_doubles_nothing(home: Path) -> None:
    """kill -9 in the middle of writing and indexing, three times: what was acknowledged is there, once."""
    made = run(home, "keys", "create", "--tenant", "killed", "--new-tenant", "--scope", "read", "--scope", "write")
    key = made.stdout.strip()
    acknowledged: set[str] = set()
    for _ in range(3):
        with serving(home, DOCSEARCH_WORKER_BATCH="7") as (process, url, _), Client(url, key) as client:
            lines = [Line(id=uuid4(), document={"title": f"Kept {number}"}) for number in range(100)]
            answer = client.bulk(lines)
            acknowledged |= {str(one.document_id) for one in answer.results}
            time.sleep(0.05)
            process.kill()
            process.wait()
    with serving(home) as (_, url, _), Client(url, key) as client:
        end = time.monotonic() + 60
        request = SearchRequest(q="kept", size=100, fields=("title",), sort=("created_at",))
        while (found := [str(hit.document_id) for hit in client.hits(request)]) and len(found) < len(acknowledged):
            assert time.monotonic() < end, len(found)
            time.sleep(0.1)
    assert len(acknowledged) == 300
    assert sorted(found) == sorted(acknowledged)
    rebuilt = run(home, "rebuild-index", "--tenant", "killed")
    assert re.search(r"^killed +full_text +300 ", rebuilt.stdout, re.MULTILINE)
