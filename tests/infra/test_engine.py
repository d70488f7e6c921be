import re
import subprocess
import sys
import tomllib
from importlib.metadata import version as installed_version
from pathlib import Path

import pytest

from infra.cache import Report
from infra.engine import (
    ENVIRONMENT,
    MAKERS,
    VERSION,
    Engine,
    Maker,
    ensure_engine,
    ensure_language_host,
    find_engine,
    find_language_host,
    verify,
)
from infra.errors import EngineError
from infra.gobuild import ENGINE_MODULE

ROOT = Path(__file__).parents[2]
BUILD = [maker for maker in MAKERS if maker.source == "built"]
INSTALL = [maker for maker in MAKERS if maker.source == "installed"]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A machine with nothing on it: PATH is one empty folder, which this is, and the cache is empty."""
    folder = tmp_path / "path"
    folder.mkdir()
    if not request.node.get_closest_marker("engine"):
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("DOCSEARCH_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("DOCSEARCH_PULUMI", raising=False)
    return folder


def script(file: Path, does: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{does}\n")
    file.chmod(0o755)
    return file


def pulumi(file: Path, version: str = VERSION) -> Path:
    """An engine that knows its version, as long as it is not made to ask the network for a newer one."""
    return script(file, f'[ "$1 $PULUMI_SKIP_UPDATE_CHECK" = "version true" ] && echo v{version}')


def cached(tmp_path: Path) -> Path:
    return tmp_path / f"cache/engine/{VERSION}/bin/pulumi"


def maker(version: str = VERSION, *, fails: BaseException | None = None) -> Maker:
    def make(draft: Path, _report: Report) -> None:
        pulumi(draft / "bin/pulumi", version)
        if fails:
            raise fails

    return Maker("built", "making the engine", make)


def kept(tmp_path: Path) -> list[str]:
    """What is in the cache's folder for engines, but for locks."""
    folder = tmp_path / "cache/engine"
    return [path.name for path in folder.iterdir() if path.suffix != ".lock"] if folder.exists() else []


def test_the_engine_is_pinned_to_one_version_everywhere() -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["platform"]
    assert f"pulumi=={VERSION}" in needs
    assert f"\npulumi=={VERSION} " in (ROOT / "requirements.lock").read_text()
    assert installed_version("pulumi") == VERSION
    assert re.search(rf"pulumi/pkg/v3 v{re.escape(VERSION)}$", (ENGINE_MODULE / "go.mod").read_text(), re.MULTILINE)
    assert f"pulumi/sdk/v3 v{VERSION} " in (ENGINE_MODULE / "go.mod").read_text()


def test_an_empty_machine_has_no_engine() -> None:
    assert find_engine() is None


def test_the_named_engine_comes_before_all_others(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = pulumi(tmp_path / "mine/pulumi-of-mine")
    pulumi(machine / "pulumi")
    pulumi(cached(tmp_path))
    monkeypatch.setenv("DOCSEARCH_PULUMI", str(named))
    assert find_engine() == Engine(named, VERSION, "env")


def test_a_named_engine_of_another_version_is_an_error_even_where_another_would_do(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulumi(machine / "pulumi")
    named = pulumi(tmp_path / "mine/pulumi", "3.100.0")
    monkeypatch.setenv("DOCSEARCH_PULUMI", str(named))
    expected = (
        f"DOCSEARCH_PULUMI={named} cannot be used: it is Pulumi 3.100.0: docsearch is tested with 3.250.x. "
        "Name a Pulumi 3.250, or unset it."
    )
    for attempt in (find_engine, ensure_engine):
        with pytest.raises(EngineError) as caught:
            attempt()
        assert str(caught.value) == expected


def test_a_named_engine_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCSEARCH_PULUMI", str(tmp_path / "nothing"))
    with pytest.raises(EngineError, match=r"nothing cannot be used: .*nothing does not run: .*No such file"):
        find_engine()


def test_the_engine_on_path_comes_before_the_cache(machine: Path, tmp_path: Path) -> None:
    pulumi(machine / "pulumi")
    pulumi(cached(tmp_path))
    assert find_engine() == Engine(machine / "pulumi", VERSION, "path")


@pytest.mark.parametrize("version", ["3.250.0", "3.250.1", "3.250.17"])
def test_any_patch_release_will_do(machine: Path, version: str) -> None:
    pulumi(machine / "pulumi", version)
    assert find_engine() == Engine(machine / "pulumi", version, "path")


@pytest.mark.parametrize("version", ["3.249.9", "3.251.0", "4.250.0", "3.25.0", "3.250.0-alpha.1", "3.250.0+dirty"])
def test_another_version_on_path_is_passed_over_and_said_so(machine: Path, tmp_path: Path, version: str) -> None:
    pulumi(machine / "pulumi", version)
    pulumi(cached(tmp_path))
    lines: list[str] = []
    assert find_engine(lines.append) == Engine(cached(tmp_path), VERSION, "cache")
    assert lines == [f"not using {machine / 'pulumi'}: it is Pulumi {version}: docsearch is tested with 3.250.x."]


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("echo hello", "is not a Pulumi engine: `pulumi version` says 'hello', exit 0."),
        ("echo v3.250.0; echo broken >&2; exit 7", "says 'v3.250.0\\nbroken', exit 7."),
    ],
)
def test_what_only_has_the_name_is_passed_over_and_said_so(machine: Path, does: str, why: str) -> None:
    script(machine / "pulumi", does)
    lines: list[str] = []
    assert find_engine(lines.append) is None
    assert lines[0].startswith(f"not using {machine / 'pulumi'}: ")
    assert lines[0].endswith(why)


def test_an_obtained_engine_is_kept(tmp_path: Path) -> None:
    assert ensure_engine(makers=[maker()]) == Engine(cached(tmp_path), VERSION, "built")
    assert ensure_engine(makers=[]) == Engine(cached(tmp_path), VERSION, "cache")


def test_the_next_way_is_tried_when_one_fails(tmp_path: Path) -> None:
    lines: list[str] = []
    ways = [maker(fails=EngineError("the network is down")), maker()]
    assert ensure_engine(lines.append, makers=ways).command == cached(tmp_path)
    assert lines == [f"making the engine {VERSION}", "the network is down.", f"making the engine {VERSION}"]


def test_an_obtained_engine_of_another_version_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"it is Pulumi 3\.249\.0"):
        ensure_engine(makers=[maker("3.249.0")])
    assert kept(tmp_path) == []


def test_where_none_can_be_obtained_every_step_is_named(machine: Path) -> None:
    pulumi(machine / "pulumi", "3.1.0")
    ways = [maker(fails=EngineError("the installer failed", why="no host")), maker(fails=EngineError("no Go"))]
    with pytest.raises(EngineError) as caught:
        ensure_engine(makers=ways)
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "there is no Pulumi engine 3.250 on this machine and none can be obtained: "
        f"not using {machine / 'pulumi'}: it is Pulumi 3.1.0: docsearch is tested with 3.250.x; "
        "the installer failed: no host; no Go. "
        "Install Pulumi 3.250 and put it on PATH, or set DOCSEARCH_PULUMI to it."
    )


def test_where_there_is_nothing_at_all_the_error_says_that_path_was_looked_at() -> None:
    with pytest.raises(EngineError, match=r"none can be obtained: no `pulumi` on PATH; no Go\. Install"):
        ensure_engine(makers=[maker(fails=EngineError("no Go"))])


def test_an_interrupted_build_leaves_no_half_file_and_is_no_obstacle(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ensure_engine(makers=[maker(fails=KeyboardInterrupt())])
    assert kept(tmp_path) == []
    assert ensure_engine(makers=[maker()]).command == cached(tmp_path)


def test_a_broken_engine_in_the_cache_is_replaced(tmp_path: Path) -> None:
    script(cached(tmp_path), "exit 1")
    lines: list[str] = []
    assert ensure_engine(lines.append, makers=[maker()]).source == "built"
    assert lines[0].startswith(f"not using {cached(tmp_path)}: ")
    assert verify(Engine(cached(tmp_path), VERSION, "cache")) == VERSION


def test_the_source_build_is_the_pinned_package_with_the_version_stamped(machine: Path, tmp_path: Path) -> None:
    made = pulumi(tmp_path / "made")
    script(
        machine / "go",
        f"""[ $1 = version ] && {{ echo go version go1.26.0 linux/amd64; exit; }}
        echo "$@ in $PWD" > {tmp_path}/said
        for word in "$@"; do [ "$before" = -o ] && out=$word; before=$word; done
        /bin/cp {made} $out""",
    )
    assert ensure_engine(makers=BUILD) == Engine(cached(tmp_path), VERSION, "built")
    said = (tmp_path / "said").read_text()
    assert f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{VERSION} -o " in said
    assert said.endswith(f"github.com/pulumi/pulumi/pkg/v3/cmd/pulumi in {ENGINE_MODULE}\n")


def fake_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: str) -> None:
    """Pulumi's installer, replaced: it is run in a process of its own, so it is replaced on that process's path."""
    package = tmp_path / "sdk/pulumi/automation"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text(
        f"import os, subprocess\nclass PulumiCommand:\n  @staticmethod\n  def install(root, version):\n    {install}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "sdk"))


def test_the_official_installer_installs_the_pinned_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pulumi(tmp_path / "made")
    fake_sdk(
        tmp_path,
        monkeypatch,
        f"print('noise'); assert str(version) == {VERSION!r}; os.rename({str(made)!r}, f'{{root}}/bin/pulumi')",
    )
    assert ensure_engine(makers=INSTALL) == Engine(cached(tmp_path), VERSION, "installed")


@pytest.mark.parametrize(
    ("install", "why"),
    [
        ("raise OSError('name not known')", r"Pulumi's installer failed: name not known"),
        (
            "subprocess.check_output(['/bin/sh', '-c', 'echo cannot download; exit 1'])",
            r"Pulumi's installer failed: cannot download",
        ),
    ],
)
def test_a_failing_official_installer_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: str, why: str
) -> None:
    fake_sdk(tmp_path, monkeypatch, install)
    with pytest.raises(EngineError, match=why):
        ensure_engine(makers=INSTALL)
    assert kept(tmp_path) == []


def test_an_official_installer_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sdk(tmp_path, monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr("infra.engine._INSTALL_SECONDS", 0.5)
    with pytest.raises(EngineError, match=r"Pulumi's installer failed: not done after 0 s"):
        ensure_engine(makers=INSTALL)


def put_language_host(folder: Path) -> None:
    script(folder / "pulumi-language-python", "")
    script(folder / "pulumi-language-python-exec", "")


def test_the_language_host_beside_the_engine_is_used(machine: Path, tmp_path: Path) -> None:
    pulumi(tmp_path / "official/pulumi")
    put_language_host(tmp_path / "official")
    (machine / "pulumi").symlink_to(tmp_path / "official/pulumi")
    assert ensure_language_host() == tmp_path / "official"


def test_the_language_host_is_built_apart_from_the_engine(machine: Path, tmp_path: Path) -> None:
    pulumi(cached(tmp_path))
    source = tmp_path / "sources/python/cmd/pulumi-language-python-exec"
    source.parent.mkdir(parents=True)
    source.write_text("starter")
    go = f"""case $1 in
        version) echo go version go1.26.0 linux/amd64 ;;
        mod) echo "{{\\"Dir\\": \\"{tmp_path}/sources\\"}}" ;;
        build) for word in "$@"; do [ "$before" = -o ] && out=$word; before=$word; done
            echo "$@ in $PWD" > {tmp_path}/said; /bin/cp /bin/true $out ;;
        esac"""
    script(machine / "go", go)
    assert find_language_host() is None
    folder = ensure_language_host()
    assert folder == find_language_host()
    assert not folder.is_relative_to(cached(tmp_path).parent)
    assert (folder / "pulumi-language-python-exec").read_text() == "starter"
    assert (tmp_path / "said").read_text().endswith(f"/cmd/pulumi-language-python in {ENGINE_MODULE}/language\n")
    (machine / "go").unlink()
    assert ensure_language_host() == folder


def test_half_a_language_host_is_none(machine: Path, tmp_path: Path) -> None:
    pulumi(machine / "pulumi")
    script(machine / "pulumi-language-python", "")
    assert find_language_host() is None


@pytest.mark.engine
def test_the_real_engine_says_the_pinned_version() -> None:
    engine = ensure_engine()
    assert re.fullmatch(r"3\.250\.\d+", verify(engine))
    assert verify(engine) == engine.version


@pytest.mark.engine
def test_plain_pulumi_runs_a_python_program_with_the_real_language_host(tmp_path: Path) -> None:
    engine, host = ensure_engine(), ensure_language_host()
    (tmp_path / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
    (tmp_path / "__main__.py").write_text("import pulumi\npulumi.export('answer', 6 * 7)\n")
    (tmp_path / "state").mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{host}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        "PULUMI_CONFIG_PASSPHRASE": "for this test",
        **ENVIRONMENT,
    }

    def run(*words: str) -> str:
        command = [str(engine.command), *words, "--non-interactive"]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("stack", "init", "dev")
    run("up", "--stack", "dev", "--yes", "--skip-preview")
    assert run("stack", "output", "answer", "--stack", "dev").strip() == "42"
