"""`docsearch check` on branches of a repository of its own, by the real engine: from nothing but files and git."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from infra.program import PROJECT

pytestmark = pytest.mark.engine

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]


class Branch:
    """A checkout whose main branch holds the project as it is here, and whatever is changed on top."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            [*GIT, "-C", str(self.folder), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} holds no {old!r}"
        path.write_text(text.replace(old, new, 1))

    def check(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
        return subprocess.run(
            [sys.executable, "-P", "-c", "from infra.cli import main; main()", "check", *arguments],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(self.folder), "DOCSEARCH_HOME": str(self.home)},
            check=False,
            capture_output=True,
            text=True,
            timeout=900,
        )


@pytest.fixture(scope="module")
def main(tmp_path_factory: pytest.TempPathFactory) -> Branch:
    """The project as it is here, committed."""
    folder = tmp_path_factory.mktemp("main")
    listed = subprocess.run(
        ["git", "-C", str(PROJECT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, folder / name)
    branch = Branch(folder, tmp_path_factory.mktemp("home"))
    branch.git("init", "-q")
    branch.git("add", "-A")
    branch.git("commit", "-qm", "as it is")
    return branch


@pytest.fixture
def branch(main: Branch) -> Iterator[Branch]:
    """A branch of it, forgotten afterwards."""
    main.git("checkout", "-q", "-b", "change")
    yield main
    main.git("checkout", "-q", "-f", "main")
    main.git("clean", "-qfd")
    main.git("branch", "-qD", "change")


def test_a_change_that_changes_nothing_passes_and_says_who_looked_at_what(main: Branch) -> None:
    done = main.check("--json")
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["status"] == "ok"
    assert found["rules"] > 50
    assert found["resources"] > 900
    assert [stack["findings"] + stack["objections"] for stack in found["stacks"]] == [[], []]
    assert [stack["unverified"] for stack in found["stacks"]] == [[], []]


def test_one_replica_fewer_is_stopped_by_a_rule_with_file_and_key(branch: Branch) -> None:
    branch.edit("Pulumi.prod.yaml", "count: 3\n        instance_class: db", "count: 2\n        instance_class: db")
    done = branch.check("prod", "--base", "main")
    assert done.returncode == 9, done.stderr + done.stdout
    line = 1 + (branch.folder / "Pulumi.prod.yaml").read_text().splitlines().index("        count: 2")
    assert "rds-replicas" in done.stdout
    assert re.search(rf"Pulumi\.prod\.yaml:{line} database\.replicas\.count", done.stdout)


def test_a_renamed_database_is_stopped_by_the_gate_with_the_alias_as_remedy(branch: Branch) -> None:
    branch.edit("stacks/region.py", 'Rds("database"', 'Rds("datastore"')
    done = branch.check("prod", "--base", "main")
    assert done.returncode == 10, done.stderr + done.stdout
    assert "urn:pulumi:prod::docsearch::docsearch:rds:Rds$aws:rds/instance:Instance::database" in done.stdout
    assert 'pulumi.Alias(name="database")' in done.stdout


def test_what_the_base_has_already_fails_no_change_that_is_judged_by_what_is_new(branch: Branch) -> None:
    branch.edit("Pulumi.prod.yaml", "count: 3\n        instance_class: db", "count: 2\n        instance_class: db")
    branch.git("commit", "-qam", "a replica fewer")
    branch.edit("Pulumi.prod.yaml", "page: [search-oncall@example.com]", "page: [oncall@example.com]")
    assert branch.check("prod", "--base", "HEAD").returncode == 9
    done = branch.check("prod", "--base", "HEAD", "--new-only")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "rds-replicas" in done.stdout


def test_three_more_hot_nodes_show_what_they_add_and_stop_at_a_budget(branch: Branch) -> None:
    branch.edit("Pulumi.prod.yaml", "count: 21", "count: 24")
    done = branch.check("prod", "--base", "main", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    price = json.loads(done.stdout)["stacks"][0]["price"]
    assert price["complete"]
    assert list(price["components"]) == ["opensearch"]
    assert price["components"]["opensearch"] == price["monthly"]
    adds = Decimal(price["monthly"]["expected"])
    assert adds == Decimal(price["after"]["expected"]) - Decimal(price["before"]["expected"])
    # The nodes, and their disks with throughput.
    assert len(price["changes"]) >= 2
    assert 500 < adds < 5000
    branch.edit("Pulumi.prod.yaml", "monthly_increase: 5000 USD", "monthly_increase: 500 USD")
    done = branch.check("prod", "--base", "main")
    assert done.returncode == 11, done.stderr + done.stdout
    assert f"the increase is ${adds:,.2f}, ${adds - 500:,.2f} over its limit of $500.00" in done.stdout
    assert re.search(r"^prod +opensearch +\$", done.stdout, re.MULTILINE)
    assert "over budget: " in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("broken", "remedy"),
    [
        pytest.param("raise RuntimeError('half-way')", "half-way", id="half-way"),
        pytest.param("raise ArgsError('the cidr is 7')", "the cidr is 7", id="on purpose"),
    ],
)
def test_a_plan_that_fails_half_way_passes_nothing(branch: Branch, broken: str, remedy: str) -> None:
    branch.edit("components/rds.py", "        super().__init__(", f"        {broken}\n        super().__init__(")
    done = branch.check("prod", "--base", "main")
    assert done.returncode == 12, done.stderr + done.stdout
    assert remedy in done.stdout
    assert "incomplete" in done.stdout


def test_a_base_that_does_not_build_is_named(branch: Branch) -> None:
    branch.edit("stacks/region.py", "def build(", "def build_nothing(")
    branch.git("commit", "-qam", "broken")
    broken = branch.git("rev-parse", "HEAD")
    branch.git("revert", "--no-edit", "HEAD")
    done = branch.check("prod", "--base", broken)
    assert done.returncode == 12, done.stderr + done.stdout
    assert broken[:12] in done.stderr
    assert "cannot be brought up" in done.stderr


def test_a_base_that_does_not_exist_is_named(main: Branch) -> None:
    done = main.check("prod", "--base", "nowhere")
    assert done.returncode == 2
    assert "--base nowhere: there is no such commit" in done.stderr
