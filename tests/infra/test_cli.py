"""The command: what it does, what it prints where, and how it exits. Nothing here reaches an engine or a cloud."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from components.errors import ArgsError, ConfigError, DocsearchError
from infra import cli as command
from infra import clouds, console, doctor, engine
from infra.clouds import Cloud
from infra.doctor import Check
from infra.engine import Engine
from infra.errors import (
    BudgetError,
    DestructiveError,
    DriftError,
    EngineError,
    IncompleteError,
    InterruptedUpdateError,
    LocalCloudError,
    LockedStackError,
    PendingOperationsError,
    PlanError,
    PolicyError,
    UpdateError,
)
from infra.local import coverage, daemon
from infra.local.daemon import ProcessStatus, Status
from infra.local.resource import Coverage
from infra.manual import commands
from infra.program import PROJECT, read_config
from infra.reconcile import Leftover, Reconciler
from tests.infra.command import SECRET, TOPIC, Deployments, document, plan_of, run

COMMANDS = dict(commands(command.cli))
STACKS = {"prod", "dr"}


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> Deployments:
    found = Deployments()
    monkeypatch.setattr(console, "deployment", found)
    return found


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine whose local cloud does nothing but note what was asked of it."""
    asked: list[str] = []
    process = ProcessStatus(
        name="moto", pid=1, ports={"moto": 5000}, healthy=True, detail="", uptime_s=2, memory_mb=3, log="log"
    )

    def start(*given: Any, **more: Any) -> Status:
        asked.append(" ".join(["start", *(f"{name}={port}" for name, port in more.get("ports", {}).items())]))
        return Status(processes=(process,))

    def stop(root: Path) -> tuple[str, ...]:
        asked.append("stop")
        return ("moto",)

    monkeypatch.setattr(daemon, "start", start)
    monkeypatch.setattr(daemon, "stop", stop)
    monkeypatch.setattr(daemon, "reset", lambda root: asked.append("reset"))
    monkeypatch.setattr(daemon, "status", lambda root: Status(processes=(process,)))
    monkeypatch.setattr(coverage, "coverage", lambda: [Coverage(TOPIC, "executed", "a note")])
    monkeypatch.setattr(doctor, "checks", lambda: [Check("engine", ok=True, detail="3.250.0")])
    monkeypatch.setattr(engine, "ensure_engine", lambda report: Engine(tmp_path / "pulumi", "3.250.0", "path"))
    monkeypatch.setattr(engine, "ensure_language_host", lambda report: tmp_path)
    monkeypatch.setattr(clouds, "local", lambda account, tell: Cloud("local", tmp_path))
    monkeypatch.setattr(clouds, "local_env", lambda: {"PULUMI_BACKEND_URL": "http://127.0.0.1:1"})
    return asked


# Help


@pytest.mark.parametrize("path", COMMANDS)
def test_help_ends_with_examples(path: str) -> None:
    words = path.split()[1:]
    text = run(*words, "--help").stdout
    assert "Examples:\n  " in text
    assert f"docsearch {' '.join(words)}" in text.partition("Examples:")[2]


@pytest.mark.parametrize("path", COMMANDS)
def test_help_explains_every_option(path: str) -> None:
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path} {parameter.name}"


def test_help_is_not_indented_where_its_source_is() -> None:
    assert "\n  Shows the plan and asks first" in run("up", "--help").stdout


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_prints_json_on_request(path: str) -> None:
    """But for those that print nothing else."""
    assert "--json" in {name for parameter in COMMANDS[path].params for name in parameter.opts}


def test_help_and_configuration_do_not_wait_for_the_sdks() -> None:
    code = "import sys, infra.cli; print(sorted({'grpc', 'moto', 'pulumi', 'pulumi_aws', 'boto3'} & {*sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# Errors

ERRORS: Mapping[type[DocsearchError], int] = {
    DocsearchError: 1,
    ConfigError: 2,
    ArgsError: 2,
    EngineError: 3,
    LocalCloudError: 4,
    PendingOperationsError: 5,
    LockedStackError: 5,
    UpdateError: 6,
    PlanError: 7,
    DriftError: 8,
    PolicyError: 9,
    DestructiveError: 10,
    BudgetError: 11,
    IncompleteError: 12,
    InterruptedUpdateError: 130,
}


@pytest.mark.parametrize("json_", [(), ("--json",)], ids=["tables", "json"])
@pytest.mark.parametrize(("cls", "code"), ERRORS.items())
def test_an_error_says_what_why_and_remedy_on_stderr_and_nothing_on_stdout(
    stacks: Deployments, cls: type[DocsearchError], code: int, json_: tuple[str, ...]
) -> None:
    stacks.error = cls("tags[owner] is [red]", why="line 1\nline [2]", remedy="Write [blue]")
    result = run("preview", "prod", *json_)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == ("error: tags[owner] is [red]\n  why:    line 1\nline [2]\n  remedy: Write [blue]\n")


def test_an_error_without_reason_and_remedy_is_one_line(stacks: Deployments) -> None:
    stacks.error = UpdateError("up of prod failed")
    assert run("up", "prod", "--yes").stderr == "error: up of prod failed\n"


def test_an_interruption_exits_as_shells_do(stacks: Deployments) -> None:
    stacks.error = KeyboardInterrupt()
    result = run("preview", "prod")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_what_nobody_foresaw_is_not_hidden(stacks: Deployments) -> None:
    stacks.error = ZeroDivisionError("a bug")
    result = run("preview", "prod")
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


ON_STACKS = [
    ("up", "{}", "--yes"),
    ("up", "prod", "{}", "--yes"),
    ("preview", "{}"),
    ("refresh", "{}"),
    ("destroy", "{}", "--release-locks", "--yes"),
    ("destroy", "prod", "{}", "--release-locks", "--yes"),
    ("outputs", "{}"),
    ("config", "{}"),
    ("diff", "{}", "dr"),
    ("diff", "prod", "{}"),
    ("graph", "{}"),
    ("reconcile", "{}", "--adopt"),
    ("requirement", "{}", "dr"),
    ("requirement", "prod", "{}"),
    ("local", "coverage", "{}"),
    ("verify", "{}"),
    ("check", "{}"),
    ("cost", "{}"),
]


@pytest.mark.parametrize("line", ON_STACKS, ids=" ".join)
def test_an_unknown_stack_is_refused_before_anything_is_done(stacks: Deployments, line: tuple[str, ...]) -> None:
    result = run(*(word.format("pord") for word in line))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "error: there is no stack 'pord'\n" in result.stderr
    assert "remedy: The stacks are dr, prod\n" in result.stderr
    assert stacks.done == []


def test_every_command_on_a_stack_is_held_against_an_unknown_one() -> None:
    taking = {
        path.removeprefix("docsearch ")
        for path, found in COMMANDS.items()
        if any(parameter.name in ("stack", "one", "primary") for parameter in found.params)
    }
    assert taking == {" ".join(word for word in line if word.isalpha() and word not in STACKS) for line in ON_STACKS}


@pytest.mark.parametrize("line", [("up",), ("destroy", "--release-locks"), ("up", "--yes", "--json")], ids=" ".join)
def test_a_run_without_a_stack_is_refused(stacks: Deployments, line: tuple[str, ...]) -> None:
    result = run(*line)
    assert result.exit_code == 2
    assert "remedy: Name one (docsearch up prod), or say --all" in result.stderr
    assert stacks.done == []


@pytest.mark.parametrize(
    "line", [("up", "prod", "--lokal"), ("preview",), ("frobnicate",), ("diff", "prod")], ids=" ".join
)
def test_a_wrong_command_line_exits_2(stacks: Deployments, line: tuple[str, ...]) -> None:
    result = run(*line)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr
    assert stacks.done == []


# up


def test_up_shows_outputs_components_and_what_was_done(stacks: Deployments) -> None:
    result = run("up", "prod", "--local", "--yes")
    assert result.exit_code == 0
    assert stacks.done == [("preview", "prod"), ("up, judged", "prod")]
    assert stacks.is_local is True
    assert "[secret]" in result.stdout
    assert "1.5" in result.stdout
    assert "\nprod (us-east-1, local): 1 create\n" in result.stdout


def test_up_goes_to_aws_unless_told_otherwise(stacks: Deployments) -> None:
    run("up", "prod", "--yes")
    assert stacks.is_local is False


@pytest.mark.parametrize("named", [("--all",), ("prod", "dr"), ("dr", "prod"), ("dr", "prod", "dr")], ids=" ".join)
def test_up_begins_with_the_primary_and_takes_each_stack_once(stacks: Deployments, named: tuple[str, ...]) -> None:
    run("up", *named, "--yes")
    assert stacks.done == [(what, name) for name in ("prod", "dr") for what in ("preview", "up, judged")]


def test_up_shows_the_plan_and_asks_first(stacks: Deployments) -> None:
    result = run("up", "prod", answer="y\n")
    assert stacks.done == [("preview", "prod"), ("up, judged", "prod")]
    assert "+  alarms" in result.stdout
    assert "Bring prod up like this? [y/N]" in result.stderr


def test_up_does_nothing_when_the_answer_is_no(stacks: Deployments) -> None:
    result = run("up", "prod", answer="n\n")
    assert (result.exit_code, stacks.done) == (0, [("preview", "prod")])


def test_up_does_not_ask_when_nothing_would_change(stacks: Deployments) -> None:
    stacks.op = "same"
    result = run("up", "prod")
    assert (result.exit_code, stacks.done) == (0, [("preview", "prod")])
    assert "no changes" in result.stdout


def test_up_that_asks_keeps_stdout_for_the_document(stacks: Deployments) -> None:
    result = run("up", "--all", "--json", answer="y\ny\n")
    found = document(result)
    assert list(found) == ["prod", "dr"]
    assert found["prod"]["summary"]["create"] == 1
    assert found["prod"]["outputs"] == {"region": "here", "key": "[secret]"}
    assert "+  alarms" in result.stderr


# preview, refresh, diff


def test_preview_prints_the_plan_that_programs_were_promised(stacks: Deployments) -> None:
    found = document(run("preview", "prod", "--json"))
    price = found.pop("price")
    assert found == plan_of("prod").as_json()
    assert set(price["monthly"]) == {"min", "expected", "max"}


@pytest.mark.parametrize("name", ["preview", "refresh"])
def test_expected_changes_are_no_error_and_unexpected_ones_exit_8(stacks: Deployments, name: str) -> None:
    assert run(name, "prod").exit_code == 0
    result = run(name, "prod", "--expect-no-changes", "--json")
    assert result.exit_code == 8
    assert json.loads(result.stdout)["summary"]["create"] == 1
    assert "no changes were expected" in result.stderr
    stacks.op = "same"
    assert run(name, "prod", "--expect-no-changes").exit_code == 0


def test_refresh_changes_the_state_only_on_request(stacks: Deployments) -> None:
    run("refresh", "prod")
    run("refresh", "prod", "--save")
    assert stacks.done == [("refresh", "prod"), ("refresh and save", "prod")]


def test_drift_is_told_by_whole_urns(stacks: Deployments) -> None:
    stacks.op = "update"
    urn = plan_of("prod").changes[0].urn
    assert f"{urn}  changed  a" in run("refresh", "prod").stdout


def test_a_difference_without_a_reason_exits_8(stacks: Deployments) -> None:
    stacks.inputs = {"prod": {"size": 3}, "dr": {"size": 2}}
    result = run("diff", "prod", "dr")
    assert result.exit_code == 8
    assert "NOT EXPLAINED" in result.stdout
    assert "1 differences have no reason" in result.stderr
    as_json = run("diff", "prod", "dr", "--json")
    assert json.loads(as_json.stdout) == [
        {"resource": f"{TOPIC} alarms", "path": "size", "one": "3", "other": "2", "reason": ""}
    ]


def test_regions_that_do_not_differ_are_well(stacks: Deployments) -> None:
    assert document(run("diff", "prod", "dr", "--json")) == []


# destroy


@pytest.mark.parametrize("named", [("prod",), ("dr", "prod"), ("--all",)], ids=" ".join)
def test_a_locked_stack_is_not_destroyed(stacks: Deployments, named: tuple[str, ...]) -> None:
    result = run("destroy", *named, "--yes")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "prod is locked" in result.stderr
    assert "remedy: Say --release-locks if you mean it; nothing was changed" in result.stderr
    assert stacks.done == []


def test_of_several_stacks_none_is_destroyed_when_one_is_locked(
    stacks: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standby, which is unlocked here, would go first."""

    def config(stack: str, **given: Any) -> Any:
        return read_config(stack, locked=stack == "prod")

    monkeypatch.setattr(command, "read_config", config)
    assert run("destroy", "--all", "--yes").exit_code == 2
    assert stacks.done == []


@pytest.mark.parametrize("named", [("--all",), ("prod", "dr"), ("dr", "prod")], ids=" ".join)
def test_the_standby_goes_first_and_locks_are_released_before(stacks: Deployments, named: tuple[str, ...]) -> None:
    stacks.resources = [{"urn": "u", "type": TOPIC}]
    run("destroy", *named, "--release-locks", "--yes")
    assert stacks.done == [("up", "dr"), ("destroy", "dr"), ("up", "prod"), ("destroy", "prod")]
    assert stacks.locks == {"prod": False, "dr": False}


def test_an_empty_stack_is_not_brought_up_to_release_its_locks(stacks: Deployments) -> None:
    run("destroy", "prod", "--release-locks", "--yes")
    assert stacks.done == [("destroy", "prod")]


def test_destroy_does_nothing_when_the_answer_is_no(stacks: Deployments) -> None:
    result = run("destroy", "prod", "--release-locks", answer="n\n")
    assert (result.exit_code, stacks.done) == (1, [])


def test_a_standby_can_be_destroyed_without_its_primary(stacks: Deployments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "read_config", lambda stack, **given: read_config(stack, locked=False))
    run("destroy", "dr", "--yes")
    assert stacks.programs == {"destroy": False}


# outputs, config, graph


def test_secrets_are_shown_on_request_only(stacks: Deployments) -> None:
    for arguments in (("outputs", "prod"), ("outputs", "prod", "--json")):
        assert SECRET not in run(*arguments).output
        assert "[secret]" in run(*arguments).stdout
        assert SECRET in run(*arguments, "--show-secrets").stdout


def test_configuration_names_where_each_value_came_from() -> None:
    text = run("config", "prod").stdout
    assert "Pulumi.prod.yaml:" in text
    settings = {item["key"]: item for item in document(run("config", "prod", "--json"))}
    assert settings["region"]["value"] == "us-east-1"
    assert settings["region"]["source"].startswith("Pulumi.prod.yaml:")
    assert "default" in {item["source"] for item in settings.values()}


def test_a_graph_is_written_where_it_was_asked_for(stacks: Deployments, tmp_path: Path) -> None:
    root = "urn:pulumi:prod::docsearch::pulumi:pulumi:Stack::docsearch-prod"
    component = "urn:pulumi:prod::docsearch::docsearch:alarms:Alarms::alarms"
    stacks.resources = [
        {"urn": root, "type": "pulumi:pulumi:Stack"},
        {"urn": component, "type": "docsearch:alarms:Alarms", "parent": root},
        {"urn": f"urn:pulumi:prod::docsearch::{TOPIC}::page", "type": TOPIC, "parent": component},
    ]
    file = tmp_path / "new" / "[region].svg"
    result = run("graph", "prod", "--out", str(file))
    assert result.stdout == f"wrote {file}\n"
    assert "prod (us-east-1): 3 resources" in file.read_text(encoding="utf-8")
    assert document(run("graph", "prod", "--out", str(file), "--json")) == {"file": str(file), "resources": 3}


def test_a_graph_of_nothing_is_refused(stacks: Deployments, tmp_path: Path) -> None:
    file = tmp_path / "region.svg"
    result = run("graph", "prod", "--out", str(file))
    assert result.exit_code == 2
    assert "remedy: Bring it up first: docsearch up prod" in result.stderr
    assert not file.exists()


# reconcile

LEFT = Leftover(
    "creating", "urn:pulumi:prod::docsearch::x::a", TOPIC, "id-1", "", "adopt", {"inputs": {"password": SECRET}}
)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a killed run left, and below it how it was settled."""
    settled: list[Any] = []
    monkeypatch.setattr(Reconciler, "find", lambda self: [LEFT])
    monkeypatch.setattr(
        Reconciler, "settle", lambda self, found, *, delete: settled.append((found, "delete" if delete else "adopt"))
    )
    return settled


def test_both_ways_to_settle_exclude_each_other(stacks: Deployments, left: list[Any]) -> None:
    result = run("reconcile", "prod", "--adopt", "--delete")
    assert result.exit_code == 2
    assert result.stderr == ("error: --adopt and --delete exclude each other\n  remedy: Say one of them\n")
    assert stacks.programs == {}
    assert left == []


def test_what_is_left_over_is_shown_with_the_way_to_settle_it(stacks: Deployments, left: list[Any]) -> None:
    result = run("reconcile", "prod", "--local")
    assert "creating   urn:pulumi:prod::docsearch::x::a  id-1" in result.stdout
    assert "settle it: docsearch reconcile prod --local --adopt (or --delete)" in result.stdout
    assert left == []
    assert stacks.programs == {"reconcile": False}


@pytest.mark.parametrize("way", ["adopt", "delete"])
def test_it_is_settled_on_request(stacks: Deployments, left: list[Any], way: str) -> None:
    assert run("reconcile", "prod", f"--{way}").exit_code == 0
    assert left == [([LEFT], way)]


def test_what_the_engine_knows_of_a_leftover_is_not_printed(stacks: Deployments, left: list[Any]) -> None:
    for arguments in ((), ("--json",)):
        assert SECRET not in run("reconcile", "prod", *arguments).output
    assert document(run("reconcile", "prod", "--json")) == [
        {"operation": "creating", "urn": LEFT.urn, "type": TOPIC, "id": "id-1", "arn": "", "verdict": "adopt"}
    ]


def test_nothing_left_over_is_said(stacks: Deployments, left: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reconciler, "find", lambda self: [])
    assert run("reconcile", "prod").stdout == "prod: nothing is left over\n"
    assert document(run("reconcile", "prod", "--json")) == []


# The local cloud, the machine


@pytest.mark.parametrize(
    ("line", "text", "value"),
    [
        (("local", "start"), "moto     healthy  1    moto 5000", {"processes"}),
        (("local", "status"), "moto     healthy  1    moto 5000", {"processes"}),
        (("local", "stop"), "stopped: moto", {"stopped"}),
        (("local", "reset", "--yes"), "the local cloud is empty", {"reset"}),
        (("local", "coverage"), "1 of 1 types are executed", None),
        (("local", "env"), "export PULUMI_BACKEND_URL=http://127.0.0.1:1\n", {"PULUMI_BACKEND_URL", "PATH"}),
        (("doctor",), "ok  engine  3.250.0", None),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, tuple) else "",
)
def test_the_local_cloud_and_the_machine_are_told_in_both_forms(
    line: tuple[str, ...], text: str, value: set[str] | None
) -> None:
    assert text in run(*line).stdout
    found = document(run(*line, "--json"))
    assert (set(found) == value) if value else isinstance(found, list)


def test_the_local_cloud_forgets_only_when_the_answer_is_yes(machine: list[str]) -> None:
    assert run("local", "reset", answer="n\n").exit_code == 1
    assert machine == []
    assert run("local", "reset", answer="y\n").exit_code == 0
    assert machine == ["reset"]


def test_a_machine_that_lacks_something_exits_3_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Check("disk space", ok=False, detail="0.1 GB free", remedy="Free 1 GB")
    monkeypatch.setattr(doctor, "checks", lambda: [lacking])
    result = run("doctor")
    assert result.exit_code == 3
    assert "FAIL  disk space  0.1 GB free  Free 1 GB" in result.stdout
    assert json.loads(run("doctor", "--json").stdout)[0]["remedy"] == "Free 1 GB"


# A stack on its cloud


@dataclass
class Opened:
    """Which stacks were opened, and what the primary shows."""

    stacks: list[tuple[str, bool]] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    found = Opened()

    def deployment(stack: str, config: Any, cloud: Cloud, engine: Engine, *, listener: Any = None) -> Any:
        found.stacks.append((stack, config.locked))
        return SimpleNamespace(outputs=lambda: found.shown, stack=stack)

    monkeypatch.setattr("infra.deploy.Deployment", deployment)
    return found


def test_a_stack_that_the_engine_cannot_open_is_an_answer_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on AWS before the first login."""
    broken = tmp_path / "pulumi"
    broken.write_text("#!/bin/sh\necho 'error: this command requires logging in' >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(clouds, "aws", lambda: Cloud("aws", tmp_path))
    result = run("preview", "prod")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.endswith(
        "error: stack prod cannot be opened\n"
        "  why:    this command requires logging in\n"
        "  remedy: Log in to the state backend (docs/going-to-aws.md)\n"
    )


def test_a_standby_waits_for_its_primary_before_the_engine_runs(opened: Opened) -> None:
    result = run("preview", "dr", "--local")
    assert result.exit_code == 2
    assert "stack prod shows no output `peer`" in result.stderr
    assert "remedy: Bring it up first: docsearch up prod" in result.stderr


def test_what_does_not_run_the_program_needs_no_primary(opened: Opened) -> None:
    with console.deployment("dr", True, "outputs of", program=False) as subject:
        assert subject.stack == "dr"
    assert opened.stacks == [("dr", True)]


def test_locks_are_released_for_one_run(opened: Opened) -> None:
    with console.deployment("prod", True, "destroy", locked=False):
        pass
    assert opened.stacks == [("prod", False)]


def test_a_port_of_the_local_cloud_can_be_chosen(machine: list[str]) -> None:
    assert run("local", "start", "--port", "moto=24566", "--port", "aws=24567").exit_code == 0
    assert machine == ["start moto=24566 aws=24567"]


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("mooto=24566", "'mooto=24566': the local cloud has the ports moto, state, aws, kubernetes, random"),
        ("moto", "'moto': a port is a number from 1024 to 65535"),
        ("moto=80", "'moto=80': a port is a number from 1024 to 65535"),
        ("moto=x", "'moto=x': a port is a number from 1024 to 65535"),
    ],
)
def test_a_port_that_cannot_be_is_refused(machine: list[str], given: str, answer: str) -> None:
    result = run("local", "start", "--port", given)
    assert result.exit_code != 0
    assert answer in " ".join(result.stderr.split())
    assert machine == []
