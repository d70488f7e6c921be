"""The rules of the house that no linter knows. Each rule is shown to find what it is for."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLATFORM = ("infra", "stacks", "components", "policies")
PACKAGES = (*PLATFORM, "app")
MOST_LINES = 600

# Written so that none of them finds itself here.
REGISTRIES = re.compile(
    r"\b(?:pypi|pythonhosted|npmjs|crates|rubygems|maven|jfrog)\.(?:org|com|io)\b"
    r"|\b(?:proxy|sum)\.golang\b"
    r"|https?://[^\s/\"'<>]*/(?:[^\s\"'<>]*/)?(?:simple|goproxy|artifactory|nexus)\b"
    r"|https?://[^\s/\"'<>@]+:[^\s/\"'<>@]+@"
    r"|--(?:extra-|default-)?index(?:-url)?[ =]\S|--find-links[ =]\S|--trusted-host[ =]\S"
    r"|\b(?:GOPROXY|GONOSUMDB|(?:PIP|UV)_(?:EXTRA_|DEFAULT_)?INDEX(?:_URL)?)="
    r"|^\s*\[\[?tool\.uv\.(?:index|sources)",
    re.MULTILINE,
)


@cache
def tracked() -> tuple[Path, ...]:
    """The text files that are in git, or will be; without git, those that are no build products."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        found = [
            path for path in ROOT.rglob("*") if not re.search(r"/(\.\w+|__pycache__)/", f"/{path.relative_to(ROOT)}")
        ]
    return tuple(path for path in found if path.is_file() and path.suffix not in {".png", ".gz", ".ico"})


def python_files(*folders: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def requirements(lock: str) -> dict[str, int]:
    """The number of hashes of each requirement of a lock."""
    found: dict[str, int] = {}
    for line in lock.splitlines():
        if line and not line[0].isspace():
            found[line.removesuffix(" \\")] = 0
        elif line.strip().startswith("--hash=sha256:"):
            found[list(found)[-1]] += 1
    return found


def needs(*extras: str) -> list[str]:
    """What the project asks for with some of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *(need for extra in extras for need in project["optional-dependencies"][extra])]


def canonical(need: str) -> str:
    """The name of the package that a requirement is for, spelt as in a lock."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", need)[0]).lower()


def dotted(node: ast.AST) -> str:
    """``a.b.c`` for an expression of that shape, otherwise nothing."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def used(source: str) -> Iterator[tuple[int, str]]:
    """Every dotted name that a module uses, with its line, under the name that it was imported from."""
    tree = ast.parse(source)
    origin: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                origin[name.asname or name.name.partition(".")[0]] = (
                    name.name if name.asname else name.name.split(".")[0]
                )
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            for member in node.names:
                origin[member.asname or member.name] = f"{node.module}.{member.name}"
                yield node.lineno, f"{node.module}.{member.name}"
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            first, dot, rest = dotted(node).partition(".")
            if first in origin:
                yield node.lineno, origin[first] + dot + rest


# A plan depends on configuration alone: it is the same on every machine, without credentials, at any time.
FORBIDDEN = re.compile(
    r"(boto3|botocore)\b"
    r"|os\.(environ|getenv)\b"
    r"|pulumi\.(Config|get_stack)\b"
    r"|pulumi_(aws|kubernetes|random)(\.\w+)*\.get_\w+$"
    r"|(time|random|secrets|uuid|datetime)\b"
)


def forbidden(source: str) -> list[str]:
    return sorted({f"line {line}: {name}" for line, name in used(source) if FORBIDDEN.match(name)})


@pytest.mark.parametrize(
    "broken",  # by bars, so that this file passes its own test
    [
        "see https://py|pi.org/project/x",
        "files.python|hosted.org",
        "GO|PROXY=direct",
        "UV_|INDEX_URL=x",
        "pip install --index-|url https://mirror",
        "pip install --extra-|index-url=https://mirror",
        "https:/|/mirror.example/python/simple/",
        "https:/|/mirror.example/goproxy",
        "https:/|/me:secret@mirror.example/x",
        "[[tool.|uv.index]]",
        "proxy.|golang.org",
    ],
)
def test_an_address_of_a_registry_is_found(broken: str) -> None:
    assert not REGISTRIES.search(broken)
    assert REGISTRIES.search(broken.replace("|", ""))


@pytest.mark.parametrize(
    "text",
    ["golang.org/x/net v0.56.0", "uv pip compile --no-emit-index-url --no-header", "https://aws.amazon.com/kms/"],
)
def test_what_is_no_address_of_a_registry_is_let_be(text: str) -> None:
    assert not REGISTRIES.search(text)


def test_no_file_names_a_registry() -> None:
    assert len(tracked()) > 50
    hits = [
        f"{name_of(path)}: {hit[0]}"
        for path in tracked()
        for hit in REGISTRIES.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert hits == []


def test_a_requirement_without_hash_is_found() -> None:
    assert requirements("a==1 \\\n    --hash=sha256:0 \\\n    --hash=sha256:1\nb==2\n") == {"a==1": 2, "b==2": 0}


@pytest.mark.parametrize("lock", ["requirements.lock", "infra/engine/go.lock"])
def test_every_requirement_is_pinned_with_a_hash(lock: str) -> None:
    found = requirements((ROOT / lock).read_text())
    assert found
    assert [name for name, hashes in found.items() if not hashes or not re.match(r"[a-z0-9-]+==\d", name)] == []
    assert "://" not in (ROOT / lock).read_text()


def test_the_lock_holds_all_that_the_project_asks_for() -> None:
    asked = {canonical(need) for need in needs("app", "platform", "dev")}
    locked = {name.partition("==")[0] for name in requirements((ROOT / "requirements.lock").read_text())}
    assert asked - locked == set()


def test_every_package_that_is_imported_is_asked_for() -> None:
    own = {*PACKAGES, "tests", *sys.stdlib_module_names}
    providers = packages_distributions()

    def missing(folders: tuple[str, ...], wanted: list[str]) -> set[str]:
        asked = {canonical(need) for need in wanted}
        roots = {name.partition(".")[0] for path in python_files(*folders) for name in imported(path)} - own
        return {root for root in roots if not asked & {canonical(name) for name in providers.get(root, [])}}

    assert missing(("app",), needs("app")) == set()
    assert missing(PLATFORM, needs("platform")) == set()
    assert missing(("tests",), needs("app", "platform", "dev")) <= {path.stem for path in python_files("tests")}


def test_the_search_api_starts_without_the_platform() -> None:
    # The two that do something when they are imported: one is for Alembic, the other the command itself.
    paths = [name_of(path) for path in python_files("app") if path.name not in ("env.py", "__main__.py")]
    modules = [path.removesuffix(".py").replace("/", ".") for path in paths]
    source = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "app" in loaded
    assert not {name for name in loaded if name.startswith("pulumi")}
    assert not loaded & {*PLATFORM, "boto3", "botocore", "moto", "kubernetes", "grpc"}


def imported(path: Path) -> Iterator[str]:
    """The absolute imports of a module that happen at run time."""
    tree = ast.parse(path.read_text())
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize(
    "source",
    [
        "import boto3",
        "from botocore.session import Session",
        "import os\nos.environ['X']",
        "from os import getenv as look",
        "import pulumi\npulumi.Config('aws')",
        "from pulumi import Config",
        "import pulumi as p\np.get_stack()",
        "import pulumi_aws as aws\naws.get_caller_identity()",
        "import pulumi_aws as aws\naws.ec2.get_ami_output()",
        "from pulumi_aws import ec2\nec2.get_vpc()",
        "from pulumi_aws.ec2 import get_vpc",
        "import datetime",
        "from time import sleep",
        "import random",
    ],
)
def test_what_makes_a_plan_depend_on_the_machine_is_found(source: str) -> None:
    assert forbidden(source)


@pytest.mark.parametrize(
    "source",
    [
        "import os.path\nos.path.join('a')",
        "import pulumi_aws as aws\naws.ec2.Vpc('x')",
        "import pulumi_random as random\nrandom.RandomId('x')",
        "secrets = mapping.get_x()\nself.get_y(secrets.time)",
        "import pulumi\npulumi.Output.all()",
    ],
)
def test_what_leaves_a_plan_alone_is_let_be(source: str) -> None:
    assert forbidden(source) == []


@pytest.mark.parametrize("path", python_files("stacks", "components"), ids=name_of)
def test_stacks_and_components_depend_on_their_arguments_alone(path: Path) -> None:
    assert forbidden(path.read_text()) == []


@pytest.mark.parametrize("path", python_files(*PACKAGES, "tests"), ids=name_of)
def test_modules_stay_within_their_length(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", python_files(*PACKAGES), ids=name_of)
def test_modules_are_named_for_what_they_are(path: Path) -> None:
    assert not re.search(r"utils?$|helpers?$|common$|^lib$|misc$", path.stem)
