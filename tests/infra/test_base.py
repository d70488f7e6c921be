"""The base of a change: which commit it is, and what becomes of its local cloud."""

import subprocess
from pathlib import Path

import pytest

from components.errors import ConfigError
from infra import base
from infra.cache import Report
from infra.errors import IncompleteError

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit on main."""
    git(tmp_path, "init", "-q")
    (tmp_path / "Pulumi.yaml").write_text("name: docsearch\n")
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {}\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        [*GIT, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_change_starts_where_it_left_main(repository: Path) -> None:
    left = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-qb", "change")
    git(repository, "commit", "-qm", "two", "--allow-empty")
    assert base.commit(None, folder=repository) == left
    assert base.commit("main", folder=repository) == left
    assert base.commit("HEAD", folder=repository) != left


@pytest.mark.parametrize("ref", ["nowhere", "", "--all", "HEAD^{tree}", "main; ls"])
def test_a_base_that_does_not_exist_is_named(repository: Path, ref: str) -> None:
    with pytest.raises(ConfigError) as caught:
        base.commit(ref, folder=repository)
    assert caught.value.what == f"--base {ref}: there is no such commit"


def test_a_repository_without_main_says_that_a_base_must_be_named(repository: Path) -> None:
    git(repository, "branch", "-m", "trunk")
    with pytest.raises(ConfigError, match="neither origin/main nor main shares a commit"):
        base.commit(None, folder=repository)


def test_where_there_is_no_repository_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is in no git repository"):
        base.commit("main", folder=tmp_path)


def test_the_stacks_of_a_commit_are_those_with_a_file(repository: Path) -> None:
    assert base.stacks(git(repository, "rev-parse", "HEAD"), folder=repository) == {"prod"}


# Kept and copied


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The bases that were brought up, by a stand-in that only writes a file."""
    made: list[str] = []

    def bring_up(commit: str, draft: Path, tell: Report) -> None:
        made.append(commit)
        if commit == "broken":
            raise IncompleteError("the base broken cannot be brought up")
        (draft / "local").mkdir()
        (draft / "local/data").write_text(commit)
        (draft / "whole").touch()

    monkeypatch.setattr(base, "_bring_up", bring_up)
    return made


def test_a_base_is_brought_up_once_and_used_as_a_copy(tmp_path: Path, brought: list[str]) -> None:
    for _ in range(2):
        with base.running("one", root=tmp_path) as working:
            assert (working / "local/data").read_text() == "one"
            (working / "local/data").write_text("used")
        assert not working.exists()
    assert brought == ["one"]


def test_a_base_that_cannot_be_brought_up_leaves_nothing(tmp_path: Path, brought: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(IncompleteError), base.running("broken", root=tmp_path):
            pass
    assert brought == ["broken", "broken"]
    assert not (tmp_path / "base/broken").exists()


def test_old_bases_are_forgotten(tmp_path: Path, brought: list[str]) -> None:
    for commit in "abcdefg":
        with base.running(commit, root=tmp_path):
            pass
    assert len([one for one in (tmp_path / "base").iterdir() if one.is_dir()]) == base.KEEP
    assert (tmp_path / "base/g").is_dir()
