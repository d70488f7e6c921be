"""The workflows and hooks are well-formed, give no more than they need, and say only commands that there are."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pre_commit.clientlib import load_config  # type: ignore[import-untyped]

from infra.formats import MARKER, MOST
from infra.program import PROJECT
from tests.infra.test_manual import parse

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((PROJECT / ".github" / "actions").glob("*/action.yml"))

PERMISSIONS = {
    "comment.yml comment": {"actions": "read", "pull-requests": "write"},
    "comment.yml code-scanning": {"actions": "read", "security-events": "write"},
    "comment.yml find": {"pull-requests": "read"},
    "deploy.yml check": {"contents": "read"},
    "deploy.yml code-scanning": {"actions": "read", "security-events": "write"},
    "deploy.yml dr": {"contents": "read", "id-token": "write"},
    "deploy.yml prod": {"contents": "read", "id-token": "write"},
    "drift.yml issue": {"actions": "read", "issues": "write"},
    "drift.yml refresh": {"contents": "read", "id-token": "write"},
    "pull-request.yml check": {"contents": "read"},
    "test.yml test": {"contents": "read"},
}
"""What each job may do: one that needs more is written down here, where it is seen."""


def loaded(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def named(name: str) -> dict[str, Any]:
    return loaded(PROJECT / ".github" / "workflows" / name)


def events(workflow: Mapping[Any, Any]) -> Mapping[str, Any]:
    """What starts it; YAML 1.1 reads the key `on` as true."""
    return workflow[True]  # type: ignore[no-any-return]


def steps(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every step of a workflow or of a composite action."""
    jobs = document["jobs"].values() if "jobs" in document else [document["runs"]]
    for job in jobs:
        yield from job["steps"]


def commands(script: str) -> Iterator[list[str]]:
    """The commands of a script, up to where their output goes elsewhere."""
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[();<>|&]+", word):
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def given(script: str, program: str) -> list[list[str]]:
    """The arguments with which a script calls a program."""
    return [words[1:] for words in commands(script) if Path(words[0]).name == program]


def complaints(workflow: Mapping[Any, Any]) -> list[str]:
    """What is wrong with a workflow that no schema knows."""
    found = []
    if workflow.get("permissions") != {}:
        found.append("the workflow gives every job a permission")
    if workflow.get("defaults") != {"run": {"shell": "bash"}}:
        found.append("a broken pipe is not seen")
    starts = events(workflow)
    for name, job in workflow["jobs"].items():
        if "timeout-minutes" not in job:
            found.append(f"{name} has no limit")
        may = job.get("permissions")
        if not isinstance(may, dict):
            found.append(f"{name} does not say what it may do")
        elif may.get("id-token") == "write" and "environment" not in job:
            found.append(f"{name} takes a role without an environment")
    for step in steps(workflow):
        if "uses" in step and not pinned(step["uses"]):
            found.append(f"{step['uses']} is not pinned")
        # A branch or a title in a script is a script of somebody else's: values come by the environment.
        found += [f"{value} is in a script" for value in re.findall(r"\$\{\{.*?\}\}", step.get("run", ""))]
        if "uses" in step and step["uses"].startswith("actions/checkout@"):
            if {"pull_request_target", "workflow_run"} & set(starts):
                found.append("what was not reviewed is checked out beside a token that writes")
            if step.get("with", {}).get("persist-credentials") is not False:
                found.append("the token stays on the disk")
    text = yaml.safe_dump(workflow)
    if "pull_request" in starts and re.search(r"secrets\.|secrets\[|id-token|github\.token|: write\b", text):
        found.append("a pull request has credentials")
    return found


def pinned(action: str) -> bool:
    """An action of this repository, of GitHub's own organisation, or at a full commit id."""
    return bool(re.fullmatch(r"\./\.github/actions/[\w-]+|actions/[\w-]+@v\d+|[\w.-]+/[\w./-]+@[0-9a-f]{40}", action))


def valid(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_there_is_a_workflow_for_each_purpose() -> None:
    assert {file.name for file in WORKFLOWS} == {
        "comment.yml",
        "deploy.yml",
        "drift.yml",
        "pull-request.yml",
        "test.yml",
    }


def test_workflows_and_actions_are_as_their_schema_says() -> None:
    for schema, files in (("vendor.github-workflows", WORKFLOWS), ("vendor.github-actions", ACTIONS)):
        done = valid(schema, *files)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_workflow_that_is_not_as_its_schema_says_is_found(tmp_path: Path) -> None:
    workflow = named("test.yml")
    workflow["jobs"]["test"]["timeout"] = 5
    file = tmp_path / "broken.yml"
    file.write_text(yaml.safe_dump(workflow).replace("true:", "on:"))
    done = valid("vendor.github-workflows", file)
    assert done.returncode == 1
    assert "timeout" in done.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_is_careful(file: Path) -> None:
    assert complaints(loaded(file)) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"permissions": {"contents": "read"}},
        {"permissions": None},
        {"defaults": None},
        {"job": {"timeout-minutes": ...}},
        {"job": {"permissions": ...}},
        {"job": {"permissions": "write-all"}},
        {"job": {"permissions": {"id-token": "write"}}},
        {"step": {"uses": "actions/checkout@v6"}},
        {"step": {"uses": "actions/cache@main"}},
        {"step": {"uses": "somebody/else@v1"}},
        {"step": {"run": "echo ${{ github.head_ref }}"}},
        {"starts": "workflow_run", "step": {"uses": "actions/checkout@v6", "with": {"persist-credentials": False}}},
        {
            "starts": "pull_request_target",
            "step": {"uses": "actions/checkout@v6", "with": {"persist-credentials": False}},
        },
        {"starts": "pull_request", "step": {"run": "x", "env": {"KEY": "${{ secrets.KEY }}"}}},
        {"starts": "pull_request", "step": {"run": "x", "env": {"KEY": "${{ github.token }}"}}},
        {"starts": "pull_request", "job": {"permissions": {"contents": "write"}}},
    ],
)
def test_a_workflow_that_is_not_careful_is_found(broken: dict[str, Any]) -> None:
    def workflow(starts: str = "push", job: Any = None, step: Any = None, **changes: Any) -> dict[Any, Any]:
        one = {"timeout-minutes": 5, "permissions": {"contents": "read"}, "steps": [step or {"run": "x"}]} | (job or {})
        return {
            True: {starts: None},
            "permissions": {},
            "defaults": {"run": {"shell": "bash"}},
            "jobs": {"job": {key: value for key, value in one.items() if value is not ...}},
        } | changes

    assert complaints(workflow()) == []
    assert complaints(workflow(**broken))


@pytest.mark.parametrize("file", ACTIONS, ids=lambda file: file.parent.name)
def test_an_action_is_careful(file: Path) -> None:
    for step in steps(loaded(file)):
        assert "uses" not in step or pinned(step["uses"])
        assert "${{" not in step.get("run", "")


def test_no_job_may_do_more_than_it_needs() -> None:
    found = {
        f"{file.name} {name}": job["permissions"] for file in WORKFLOWS for name, job in loaded(file)["jobs"].items()
    }
    assert found == PERMISSIONS


def test_every_script_is_one_that_bash_can_read() -> None:
    for file in (*WORKFLOWS, *ACTIONS):
        for step in steps(loaded(file)):
            done = subprocess.run(
                ["bash", "-n"], input=step.get("run", ""), capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, ""), file


def test_the_commands_of_a_script_are_found() -> None:
    script = (
        'a/docsearch up prod --yes > "x y" || status=$?\nif true; then docsearch check \\\n  --base "$A"; fi | cat\n'
    )
    assert given(script, "docsearch") == [["up", "prod", "--yes"]]
    assert given("docsearch check \\\n  --base '$A' && docsearch doctor # docsearch nothing", "docsearch") == [
        ["check", "--base", "$A"],
        ["doctor"],
    ]


def test_every_docsearch_command_can_be_given() -> None:
    called = {
        file.name: [words for step in steps(loaded(file)) for words in given(step.get("run", ""), "docsearch")]
        for file in WORKFLOWS
    }
    # None is missed: each place where a script says the word and an argument is one of those.
    for file in WORKFLOWS:
        scripts = "\n".join(step.get("run", "") for step in steps(loaded(file)))
        assert len(called[file.name]) == len(re.findall(r"bin/docsearch ", scripts))
    for words in [words for every in called.values() for words in every]:
        parse(words)
    assert [words[0] for words in called["pull-request.yml"]] == ["check"]
    assert [words[:2] for words in called["deploy.yml"]] == [["check", "--new-only"], ["up", "prod"], ["up", "dr"]]
    assert called["drift.yml"] == [["refresh", "prod", "--expect-no-changes"]]


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = [
        words
        for file in (*WORKFLOWS, *ACTIONS)
        for step in steps(loaded(file))
        for words in given(step.get("run", ""), "make")
    ]
    assert called
    assert {word for words in called for word in words} <= targets


def test_every_local_action_and_script_exists() -> None:
    used = {step["uses"] for file in WORKFLOWS for step in steps(loaded(file)) if step.get("uses", "").startswith("./")}
    assert used == {f"./{file.parent.relative_to(PROJECT)}" for file in ACTIONS}
    assert [step["run"] for step in steps(named("test.yml")) if "run" in step] == [".ci/run"]
    assert (PROJECT / ".ci" / "run").exists()


def test_the_comment_follows_the_check_and_finds_itself_by_its_marker() -> None:
    comment = named("comment.yml")
    assert events(comment)["workflow_run"]["workflows"] == [named("pull-request.yml")["name"]]
    (step,) = comment["jobs"]["comment"]["steps"]
    assert step["env"]["MARKER"] == MARKER


COMMENT = f"{MARKER}\n## docsearch check: nothing stops this change\n"

GH = """#!/bin/sh
echo "$*" >> calls
case "$1 $2" in
  "run download") if [ -f artifact ]; then cp artifact check.md; else exit 1; fi ;;
  "api --paginate") cat ids ;;
esac
"""
"""Stands in for GitHub: hands out the artifact and the ids of comments, and notes what it is asked for."""


def comment(folder: Path, artifact: str | None, ids: str = "") -> tuple[int, list[str]]:
    """The script's exit code, and what it wrote to the pull request."""
    (folder / "bin").mkdir()
    (folder / "bin" / "gh").write_text(GH)
    (folder / "bin" / "gh").chmod(0o755)
    (folder / "ids").write_text(ids)
    if artifact is not None:
        (folder / "artifact").write_text(artifact)
    (step,) = named("comment.yml")["jobs"]["comment"]["steps"]
    env = {"MARKER": MARKER, "RUN_ID": "7", "NUMBER": "5", "GITHUB_REPOSITORY": "a/b"}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**env, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        check=False,
    )
    calls = (folder / "calls").read_text().splitlines()
    return done.returncode, [line for line in calls if re.search(r"PATCH|POST", line)]


def test_the_first_comment_is_new(tmp_path: Path) -> None:
    assert comment(tmp_path, COMMENT) == (
        0,
        ["api --method POST repos/a/b/issues/5/comments -F body=@check.md --silent"],
    )


def test_the_next_comment_takes_the_place_of_the_first(tmp_path: Path) -> None:
    assert comment(tmp_path, COMMENT, "12\n34\n") == (
        0,
        ["api --method PATCH repos/a/b/issues/comments/12 -F body=@check.md --silent"],
    )


def test_without_anything_to_say_there_is_no_comment(tmp_path: Path) -> None:
    assert comment(tmp_path, None) == (0, [])


@pytest.mark.parametrize("artifact", ["## docsearch check", f"x{COMMENT}", COMMENT + "x" * 65_536])
def test_what_the_check_did_not_write_is_no_comment(tmp_path: Path, artifact: str) -> None:
    assert comment(tmp_path, artifact) == (1, [])


def test_the_longest_comment_that_the_check_writes_is_taken() -> None:
    (step,) = named("comment.yml")["jobs"]["comment"]["steps"]
    assert f"-gt {MOST} ]" in step["run"]


def test_what_is_deployed_is_checked_first_and_never_stopped_half_way() -> None:
    deploy = named("deploy.yml")
    jobs = deploy["jobs"]
    assert events(deploy)["push"] == {"branches": ["main"]}
    assert deploy["concurrency"]["cancel-in-progress"] is False
    assert (jobs["prod"]["needs"], jobs["dr"]["needs"]) == ("check", "prod")
    assert (jobs["prod"]["environment"], jobs["dr"]["environment"]) == ("prod", "dr")


def test_credentials_hold_as_long_as_the_job() -> None:
    default = int(loaded(PROJECT / ".github/actions/aws/action.yml")["inputs"]["seconds"]["default"])
    held = 0
    for file in WORKFLOWS:
        for job in loaded(file)["jobs"].values():
            for step in job["steps"]:
                if step.get("uses") == "./.github/actions/aws":
                    held += 1
                    assert int(step["with"].get("seconds", default)) >= job["timeout-minutes"] * 60
    assert held == 3


# Hooks


def test_the_hooks_are_as_pre_commit_reads_them() -> None:
    config = load_config(PROJECT / ".pre-commit-config.yaml")
    (repository,) = config["repos"]
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert repository["repo"] == "local"
    assert {id_: hook["stages"] for id_, hook in hooks.items()} == {
        "ruff-format": ["pre-commit"],
        "ruff-check": ["pre-commit"],
        "docsearch-check": ["pre-push"],
    }
    assert {stage for hook in hooks.values() for stage in hook["stages"]} == set(config["default_install_hook_types"])
    (words,) = given(hooks["docsearch-check"]["entry"], "docsearch")
    parse(words)


def test_a_hook_that_pre_commit_cannot_read_is_found(tmp_path: Path) -> None:
    text = (PROJECT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    file = tmp_path / ".pre-commit-config.yaml"
    file.write_text(text.replace("stages: [pre-push]", "stages: [before-push]"))
    with pytest.raises(Exception, match="before-push"):
        load_config(file)
