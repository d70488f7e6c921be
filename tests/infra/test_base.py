"""The base of a change: which commit it is, and what becomes of its local cloud."""

import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

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

    monkeypatch.setattr(base, "_bring_up", bring_up)
    # 0.1 s each time.
    monkeypatch.setattr(metadata, "distributions", list)
    return made


def test_a_base_is_brought_up_once_and_used_as_a_copy(tmp_path: Path, brought: list[str]) -> None:
    for _ in range(2):
        with base.running("one", root=tmp_path) as working:
            assert (working / "local/data").read_text() == "one"
            (working / "local/data").write_text("used")
        assert not working.exists()
    assert brought == ["one"]


def test_a_base_that_cannot_be_brought_up_leaves_nothing(tmp_path: Path, brought: list[str]) -> None:
    for kept in (True, True, False):
        with pytest.raises(IncompleteError), base.running("broken", root=tmp_path, kept=kept):
            pass
    assert brought == ["broken"] * 3
    assert bases_in(tmp_path) == set()
    assert list((tmp_path / "check").iterdir()) == []


def test_old_bases_are_forgotten(tmp_path: Path, brought: list[str]) -> None:
    for commit in "abcdefg":
        with base.running(commit, root=tmp_path):
            pass
    assert bases_in(tmp_path) == {base.key(commit) for commit in "efg"}
    assert base.KEEP == 3


def bases_in(root: Path) -> set[str]:
    return {one.name for one in (root / "base").iterdir() if one.is_dir()}


@pytest.mark.parametrize("file", ["local/data", "sha256"])
@pytest.mark.parametrize("damage", [b"", b"\xff\x00", None], ids=["cut", "overwritten", "gone"])
def test_a_base_that_is_damaged_is_brought_up_again(
    tmp_path: Path, brought: list[str], file: str, damage: bytes | None
) -> None:
    with base.running("one", root=tmp_path):
        pass
    damaged = tmp_path / "base" / base.key("one") / file
    damaged.unlink() if damage is None else damaged.write_bytes(damage)
    for _ in range(2):
        with base.running("one", root=tmp_path) as working:
            assert (working / "local/data").read_text() == "one"
    assert brought == ["one", "one"]


def test_a_base_that_another_one_brings_up_is_waited_for(tmp_path: Path, brought: list[str]) -> None:
    entered, together = list[Path](), threading.Barrier(2, timeout=20)

    def use() -> None:
        with base.running("one", root=tmp_path) as working:
            # Both are inside at once, each with a copy of its own.
            together.wait()
            assert (working / "local/data").read_text() == "one"
            entered.append(working)

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert brought == ["one"]
    assert len({*entered}) == 2


def test_without_the_cache_a_base_is_brought_up_for_once(tmp_path: Path, brought: list[str]) -> None:
    for kept in (True, False, False, True):
        with base.running("one", root=tmp_path, kept=kept) as working:
            assert (working / "local/data").read_text() == "one"
    assert brought == ["one"] * 3


# Under what it is kept


@pytest.mark.parametrize("file", ["README.md", "docs/check.md", "tests/test_it.py", "app/main.py", ".github/ci.yml"])
def test_what_no_program_reads_makes_no_other_base(repository: Path, file: str) -> None:
    before = base.key(git(repository, "rev-parse", "HEAD"), folder=repository)
    assert base.key(committed(repository, file), folder=repository) == before


@pytest.mark.parametrize(
    "file", ["Pulumi.prod.yaml", "stacks/region.py", "policies/waivers.yaml", "components/app/a.py"]
)
def test_another_program_is_another_base(repository: Path, file: str) -> None:
    before = base.key(git(repository, "rev-parse", "HEAD"), folder=repository)
    assert base.key(committed(repository, file), folder=repository) != before


def committed(repository: Path, file: str) -> str:
    (repository / file).parent.mkdir(parents=True, exist_ok=True)
    (repository / file).write_text("other\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "other")
    return git(repository, "rev-parse", "HEAD")


def test_the_folder_from_which_it_is_asked_makes_no_other_base(repository: Path) -> None:
    commit = committed(repository, "stacks/region.py")
    assert base.key(commit, folder=repository / "stacks") == base.key(commit, folder=repository)


@pytest.mark.parametrize(
    ("of", "name", "value"),
    [
        pytest.param(base, "VERSION", "3.999.0", id="engine"),
        pytest.param(sys, "version", "3.99", id="python"),
        pytest.param(
            metadata, "distributions", lambda: [SimpleNamespace(name="pulumi-aws", version="9.9")], id="provider"
        ),
    ],
)
def test_other_versions_make_another_base(
    repository: Path, monkeypatch: pytest.MonkeyPatch, of: object, name: str, value: object
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    before = base.key(commit, folder=repository)
    monkeypatch.setattr(of, name, value)
    assert base.key(commit, folder=repository) != before
