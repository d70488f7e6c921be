import sys
from pathlib import Path

import pytest

from infra.cache import silent
from infra.errors import EngineError
from infra.gobuild import ENGINE_MODULE, ensure_go, find_go, go_build, module_source, needed_version


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH; the cache is empty, too."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DOCSEARCH_CACHE", str(tmp_path / "cache"))
    return folder


def put_go(folder: Path, version: str, does: str = "exit 9") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go").write_text(
        f"#!/bin/sh\nif [ $1 = version ]; then echo go version go{version} linux/amd64; exit; fi\n{does}"
    )
    (folder / "go").chmod(0o755)
    return folder / "go"


def put_installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """A `uv` beside the interpreter that notes its arguments; `$target` is the folder that it installs into."""
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    find = 'for word in "$@"; do [ "$before" = --target ] && target=$word; before=$word; done\n'
    (python.parent / "uv").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n{find}{does}')
    (python.parent / "uv").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


def test_the_pinned_modules_say_which_go_they_need() -> None:
    assert needed_version(ENGINE_MODULE) == "1.26"
    assert needed_version(ENGINE_MODULE / "language") == "1.26"


def test_a_module_that_does_not_say_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module x\n")
    with pytest.raises(EngineError, match=r"go\.mod does not say which Go it needs\. Restore"):
        needed_version(tmp_path)


@pytest.mark.parametrize("version", ["1.26", "1.26.0", "1.27rc1", "1.100.2", "2.0"])
def test_go_on_path_is_used_when_it_is_new_enough(on_path: Path, version: str) -> None:
    go = find_go("1.26")
    assert go is None
    put_go(on_path, version)
    go = find_go("1.26")
    assert go is not None
    assert go.command == on_path / "go"
    assert "GOROOT" not in go.environment


@pytest.mark.parametrize("version", ["1.9.7", "1.25.9", "of the devil"])
def test_go_on_path_that_is_too_old_is_not_used(on_path: Path, version: str) -> None:
    put_go(on_path, version)
    assert find_go("1.26") is None


def test_go_is_fetched_by_hash_where_there_is_none(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_go(on_path, "1.20.1")
    made = put_go(tmp_path / "made", "1.27.3")
    put_installer(
        tmp_path, monkeypatch, f"/bin/mkdir -p $target/go/bin && /bin/cp {made} $target/go/bin/go && echo noise"
    )
    lines: list[str] = []
    go = ensure_go("1.26", lines.append)
    assert go.version == "1.27.3"
    assert go.command == tmp_path / "cache/go/1.27.3/go/bin/go"
    assert go.environment["GOROOT"] == str(tmp_path / "cache/go/1.27.3/go")
    assert lines == ["fetching Go 1.27.3: this machine has none that is 1.26 or newer"]
    assert "--require-hashes" in (tmp_path / "arguments").read_text()
    assert "--hash=sha256:" in (ENGINE_MODULE / "go.lock").read_text()
    (tmp_path / "arguments").unlink()
    assert ensure_go("1.26", lines.append) == go
    assert not (tmp_path / "arguments").exists()


def test_go_that_cannot_be_fetched_leaves_nothing(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_installer(tmp_path, monkeypatch, "/bin/mkdir -p $target/go/bin; echo no such host >&2; exit 2")
    with pytest.raises(EngineError, match=r"^fetching Go 1\.27\.3 failed: no such host\.$"):
        ensure_go("1.26", silent)
    assert not (tmp_path / "cache/go/1.27.3").exists()


def test_fetched_go_that_does_not_run_is_named_with_the_remedy(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_installer(tmp_path, monkeypatch, "/bin/mkdir -p $target/go/bin && echo broken > $target/go/bin/go")
    with pytest.raises(
        EngineError, match=r"1\.27\.3/go/bin/go does not run\. Delete it, or put Go 1\.26 or newer on PATH"
    ):
        ensure_go("1.26", silent)


def test_a_build_is_pinned_stamped_and_static(on_path: Path, tmp_path: Path) -> None:
    put_go(on_path, "1.26.8", f'echo "$@" > {tmp_path}/said; echo "$CGO_ENABLED $GOTOOLCHAIN $PWD" >> {tmp_path}/said')
    go = find_go("1.26")
    assert go is not None
    module = tmp_path / "module"
    module.mkdir()
    go_build(go, "x.org/cmd", tmp_path / "out", module=module, doing="building", report=silent, stamp="x.v=1")
    assert (tmp_path / "said").read_text().splitlines() == [
        f"build -buildvcs=false -ldflags -s -w -X x.v=1 -o {tmp_path}/out x.org/cmd",
        f"0 local {module}",
    ]


def test_a_build_that_fails_is_told_by_what_go_says(on_path: Path, tmp_path: Path) -> None:
    put_go(on_path, "1.26.8", "echo dial: no route to host >&2; exit 1")
    go = find_go("1.26")
    assert go is not None
    with pytest.raises(EngineError, match=r"^building failed: dial: no route to host\.$"):
        go_build(go, "x.org/cmd", tmp_path / "out", module=tmp_path, doing="building", report=silent)


def test_the_source_of_a_module_is_where_go_says(on_path: Path, tmp_path: Path) -> None:
    put_go(on_path, "1.26.8", """echo "{\\"Path\\": \\"$4\\", \\"Dir\\": \\"/sources/$4\\"}" """)
    go = find_go("1.26")
    assert go is not None
    assert module_source(go, "x.org/sdk", module=tmp_path, report=silent) == Path("/sources/x.org/sdk")
