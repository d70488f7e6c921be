"""The program: its configuration, and what it declares for each role."""

import shutil
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.errors import ConfigError
from infra.program import PROJECT, read_config, run
from stacks.config import StackConfig
from stacks.peer import NoPeer, Peer
from tests.recording import record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped stack files, to break."""
    for file in PROJECT.glob("Pulumi.*.yaml"):
        shutil.copy(file, tmp_path)
    return tmp_path


def edit(folder: Path, stack: str, old: str, new: str) -> None:
    file = folder / f"Pulumi.{stack}.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_the_project_is_where_its_file_is_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (PROJECT / "Pulumi.yaml").is_file()
    assert read_config("prod").role == "primary"


def test_the_shipped_stacks_are_as_their_files_say() -> None:
    assert (read_config("prod").region, read_config("prod").peer) == ("us-east-1", None)
    assert (read_config("dr").region, read_config("dr").peer) == ("us-west-2", "prod")


def test_an_unknown_stack_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        read_config("pord")
    assert error.value.what == "there is no stack 'pord'"
    assert error.value.why == f"{PROJECT / 'Pulumi.pord.yaml'} does not exist"
    assert error.value.remedy == "The stacks are dr, prod"


def test_a_folder_without_stacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no stack takes the writes"):
        read_config("prod", folder=tmp_path)


def test_a_mistake_in_another_stack_is_one_in_this_stack_too(folder: Path) -> None:
    edit(folder, "dr", "10.1.0.0/16", "10.0.0.0/16")
    with pytest.raises(ConfigError, match="overlap"):
        read_config("prod", folder=folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("locked: true", "lockd: true", "lockd"),
        ("min: 21", 'min: "21"', "21"),
        ("db.m7g.4xlarge", "db.m7g.5xlarge", "db.m7g.5xlarge"),
        ("10.0.0.0/16", "10.0.0.0/20", "10.0.0.0/20"),
    ],
)
def test_a_value_that_cannot_work_is_named(folder: Path, old: str, new: str, message: str) -> None:
    edit(folder, "prod", old, new)
    with pytest.raises(ConfigError) as error:
        read_config("prod", folder=folder)
    assert message in str(error.value)
    assert "Pulumi.prod.yaml" in str(error.value)
    assert error.value.exit_code == 2


def test_locks_are_released_for_one_run_and_nothing_else_changes(folder: Path) -> None:
    locked, unlocked = read_config("prod", folder=folder), read_config("prod", folder=folder, locked=False)
    assert locked.locked
    assert not unlocked.locked
    assert unlocked.model_copy(update={"locked": True}) == locked
    edit(folder, "prod", "locked: true", "locked: false")
    assert not read_config("prod", folder=folder).locked
    assert read_config("prod", folder=folder, locked=True).locked


def declared(monkeypatch: pytest.MonkeyPatch, stack: str) -> tuple[Any, dict[str, Any]]:
    """The peer that a stack's region is built with, and what the program exports."""
    built: list[tuple[StackConfig, Any, str]] = []
    exported: dict[str, Any] = {}

    def build(config: StackConfig, peer: Any, *, stack: str) -> dict[str, Any]:
        built.append((config, peer, stack))
        return {"region": config.region, "role": config.role}

    monkeypatch.setattr("stacks.region.build", build)
    monkeypatch.setattr(pulumi, "export", exported.__setitem__)
    record(lambda: run(stack, read_config(stack)))
    ((config, peer, name),) = built
    assert config == read_config(stack)
    assert name == stack
    return peer, exported


def test_a_primary_is_built_without_a_peer_and_its_outputs_are_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    peer, exported = declared(monkeypatch, "prod")
    assert isinstance(peer, NoPeer)
    assert exported == {"region": "us-east-1", "role": "primary"}


def test_a_standby_is_built_with_the_region_of_its_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, str]] = []

    def reading(stack: str, *, region: str) -> str:
        given.append((stack, region))
        return "the peer"

    monkeypatch.setattr(Peer, "read", reading)
    peer, exported = declared(monkeypatch, "dr")
    assert given == [("prod", "us-east-1")]
    assert peer == "the peer"
    assert exported["role"] == "standby"
