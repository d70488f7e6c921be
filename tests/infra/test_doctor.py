from collections.abc import Mapping
from pathlib import Path

import pytest

from infra import clouds, doctor
from infra.doctor import Check, checks, engine_checks, local_cloud_check
from infra.engine import VERSION
from infra.local import daemon

NAMES = ["python", "pulumi SDK", "engine", "go", "language host", "disk space"]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it: PATH is one empty folder, which this is, the cache is empty, nothing runs."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DOCSEARCH_CACHE", str(tmp_path / "cache/not yet"))
    monkeypatch.delenv("DOCSEARCH_PULUMI", raising=False)
    monkeypatch.setattr(clouds, "ROOT", tmp_path / ".docsearch")
    return folder


def says(file: Path, line: str) -> Path:
    file.write_text(f"#!/bin/sh\necho {line}\n")
    file.chmod(0o755)
    return file


def by_name() -> Mapping[str, Check]:
    found = engine_checks()
    assert [check.name for check in found] == NAMES
    return {check.name: check for check in found}


def test_a_machine_without_engine_is_told_how_to_get_one(machine: Path) -> None:
    says(machine / "pulumi", "v3.9.0")
    check = by_name()["engine"]
    assert not check.ok
    assert check.detail == (
        f"none found; not using {machine / 'pulumi'}: it is Pulumi 3.9.0: docsearch is tested with 3.250.x."
    )
    assert check.remedy.startswith("`make up` obtains it")


def test_what_docsearch_brings_by_itself_is_no_failure() -> None:
    found = by_name()
    assert found["go"] == Check("go", True, "none that is 1.26 or newer; fetched when the engine has to be built")
    assert found["language host"].ok


def test_an_engine_is_named_with_its_version_and_origin(machine: Path) -> None:
    says(machine / "pulumi", f"v{VERSION}")
    found = by_name()
    assert found["engine"] == Check("engine", True, f"{VERSION} at {machine / 'pulumi'}, on PATH")
    assert found["go"].detail.endswith("not needed: the engine is here")


def test_an_engine_named_in_vain_fails_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCSEARCH_PULUMI", str(tmp_path / "nothing"))
    check = by_name()["engine"]
    assert not check.ok
    assert check.detail.startswith(f"DOCSEARCH_PULUMI={tmp_path / 'nothing'} cannot be used: ")
    assert check.remedy == "Name a Pulumi 3.250, or unset it"


def test_go_on_path_is_named(machine: Path) -> None:
    says(machine / "go", "go version go1.26.3 linux/amd64")
    assert by_name()["go"] == Check("go", True, f"1.26.3 at {machine / 'go'}")


def test_a_python_that_is_too_old_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_PYTHON", (9, 0))
    check = by_name()["python"]
    assert not check.ok
    assert check.remedy == "Make .venv again with Python 9.0"


@pytest.mark.parametrize(("free_gb", "with_engine", "ok"), [(5.9, False, False), (6.1, False, True), (1.1, True, True)])
def test_a_source_build_needs_more_disk(
    machine: Path, monkeypatch: pytest.MonkeyPatch, free_gb: float, with_engine: bool, ok: bool
) -> None:
    if with_engine:
        says(machine / "pulumi", f"v{VERSION}")
    monkeypatch.setattr(doctor, "free_bytes", lambda _folder: int(free_gb * 1e9))
    check = by_name()["disk space"]
    assert check.ok is ok
    assert bool(check.remedy) is not ok


def test_the_disk_is_that_of_the_cache_even_before_there_is_one(tmp_path: Path) -> None:
    assert f"free at {tmp_path}, " in by_name()["disk space"].detail


def test_a_local_cloud_that_is_down_is_fine() -> None:
    assert local_cloud_check() == Check("local cloud", True, "not running; starts when it is needed")


def test_a_local_cloud_that_is_half_up_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def process(name: str, pid: int | None, detail: str) -> daemon.ProcessStatus:
        return daemon.ProcessStatus(
            name=name, pid=pid, ports={}, healthy=not detail, detail=detail, uptime_s=1, memory_mb=1, log="log"
        )

    status = daemon.Status(processes=(process("moto", 1, ""), process("state", None, "not running")))
    monkeypatch.setattr(daemon, "status", lambda _root: status)
    check = checks()[-1]
    assert not check.ok
    assert check.detail == "state: not running"
    assert "docsearch local start" in check.remedy
