"""The image, as far as that can be proved without containers: its build steps give an API that serves."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import requires
from pathlib import Path

import pytest

from tests.app.services.server import free_port

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "app/Dockerfile"
SECONDS = 60


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile and what they say, in order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(one.partition(" ")[0], one.partition(" ")[2]) for one in lines if one]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        elif found:
            found[-1].append((name, rest))
    return found


def test_the_base_is_an_argument_without_a_default_and_the_image_runs_as_nobody_known() -> None:
    assert instructions()[0] == ("ARG", "PYTHON")
    assert [rest for name, rest in instructions() if name == "FROM"] == ["${PYTHON} AS build", "${PYTHON}"]
    _, last = stages()
    said = dict(last)
    assert said["USER"] == "10001:10001"
    assert json.loads(said["ENTRYPOINT"]) == ["docsearch-api"]
    assert not [rest for name, rest in last if name == "RUN"], "the image is what was built before, and nothing more"


def test_what_is_installed_is_held_to_the_hashes_of_the_lock() -> None:
    build, _ = stages()
    installing = [
        command
        for name, rest in build
        if name == "RUN"
        for command in rest.split("&&")
        if re.search(r"\bpip install\b", command)
    ]
    assert len(installing) == 3
    for command in installing:
        ours = "--no-index" in command and "--no-deps" in command
        assert ours or "--require-hashes" in command, command


def test_the_context_is_the_api_and_nothing_of_the_platform() -> None:
    rules = (ROOT / "app/Dockerfile.dockerignore").read_text().splitlines()
    assert rules[1] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {part for name, rest in stages()[0] if name == "COPY" for part in shlex.split(rest)[:-1]}
    assert copied == allowed == {"app", "pyproject.toml", "requirements.lock", "README.md"}


def test_the_tools_of_the_build_are_all_that_they_need() -> None:
    (step,) = (rest for name, rest in stages()[0] if name == "RUN" and "tools.lock" in rest)
    match = re.search(r"/\^\(([a-z|-]+)\)==/", step)
    assert match
    tools = {*match[1].split("|")}
    for tool in tools:
        # Of 3.11 and newer, as the project is: what is for older ones has a marker.
        needed = (one for one in requires(tool) or () if ";" not in one)
        assert {re.split(r"[\[<>=~! ]", one)[0] for one in needed} <= tools


@contextmanager
def running(command: list[str], environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(SECONDS) == 0, (folder / "log").read_text()


@pytest.mark.services
def test_the_build_steps_give_an_api_that_serves_and_holds_nothing_of_the_platform(tmp_path: Path) -> None:
    source, image = tmp_path / "src", tmp_path / "opt/docsearch"
    (tmp_path / "opt").mkdir()
    tmp_path.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    for name, rest in stages()[0]:
        if name == "COPY":
            *files, target = shlex.split(rest)
            source.mkdir(exist_ok=True)
            for file in files:
                if (ROOT / file).is_dir():
                    shutil.copytree(ROOT / file, source / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / file, source / target)
        elif name == "RUN" and "/build/tools.lock" not in rest and "truststore" not in rest:
            # The tools are this environment's, which are of the same lock; compiling takes as long as all the rest.
            command = rest.replace("/build/bin/", f"{Path(sys.executable).parent}/").partition(" && python -m compile")[
                0
            ]
            command = command.replace("/opt/docsearch", str(image)).replace("/build/", f"{tmp_path}/")
            subprocess.run(["sh", "-euc", command], cwd=source, env=environment, check=True, timeout=300)

    packages = {path.name.lower() for path in next(image.glob("lib/python3*/site-packages")).iterdir()}
    assert {"app", "botocore", "asyncpg", "uvicorn"} <= packages
    banned = ("pulumi", "boto3", "moto", "grpc", "kubernetes", "infra", "stacks", "components", "policies", "pytest")
    assert not [name for name in packages if name.startswith(banned)]
    bare = {"PATH": f"{image}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    helped = subprocess.run(["docsearch-api", "--help"], env=bare, cwd="/", capture_output=True, text=True, check=True)
    assert "search" in helped.stdout
    assert not (image / "bin/docsearch").exists()

    port = free_port()
    with running([f"{image}/bin/docsearch-api", "serve", "--port", str(port)], bare, tmp_path):
        end = time.monotonic() + SECONDS
        answer = None
        while answer is None and time.monotonic() < end:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as found:
                answer = json.load(found)
            time.sleep(0.1)
        assert answer == {"status": "UP"}, (tmp_path / "log").read_text()
