"""Runs the command with stacks that only note what is done to them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from click.testing import CliRunner, Result

from infra.cli import cli
from infra.clouds import Cloud
from infra.deploy import Judged, Outcome
from infra.findings import Finding
from infra.plan import Change, Op, Plan
from infra.program import read_config

SECRET = "canary-7f3a"
TOPIC = "aws:sns/topic:Topic"


def plan_of(stack: str, op: Op = "create", **inputs: Any) -> Plan:
    urn = f"urn:pulumi:{stack}::docsearch::{TOPIC}::alarms"
    return Plan(stack, read_config(stack).region, "local", (Change(urn, TOPIC, op, inputs, paths=("a",)),))


@dataclass
class Deployments:
    """Stands in for every stack: notes what is done to which, and does nothing."""

    done: list[tuple[str, str]] = field(default_factory=list)
    locks: dict[str, bool | None] = field(default_factory=dict)
    programs: dict[str, bool] = field(default_factory=dict)
    is_local: bool | None = None
    op: Op = "create"
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    resources: list[dict[str, Any]] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    error: BaseException | None = None

    @contextmanager
    def __call__(
        self,
        stack: str,
        is_local: bool,
        title: str,
        *,
        locked: bool | None = None,
        program: bool = True,
        on: Cloud | None = None,
    ) -> Iterator["Fake"]:
        read_config(stack)
        self.locks[stack], self.programs[title], self.is_local = locked, program, is_local
        yield Fake(self, stack)


@dataclass
class Fake:
    """One stack."""

    all: Deployments
    stack: str

    def _note(self, what: str) -> None:
        self.all.done.append((what, self.stack))
        if self.all.error is not None:
            raise self.all.error

    def _plan(self) -> Plan:
        return plan_of(self.stack, self.all.op, **self.all.inputs.get(self.stack, {}))

    def preview(self) -> Plan:
        self._note("preview")
        return self._plan()

    def judged(self) -> Judged:
        self._note("preview")
        return Judged(self._plan(), self.all.findings)

    def verify(self) -> tuple[Finding, ...]:
        self._note("verify")
        return self.all.findings

    def refresh(self, *, save: bool) -> Plan:
        self._note("refresh and save" if save else "refresh")
        return self._plan()

    def up(self, *, judged: bool = False) -> Outcome:
        self._note("up, judged" if judged else "up")
        return Outcome(self._plan(), 1.5, {"region": "here", "key": "[secret]"})

    def destroy(self) -> Outcome:
        self._note("destroy")
        return Outcome(self._plan(), 1.5, {})

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        self._note("outputs")
        return {"region": "here", "key": SECRET if secrets else "[secret]"}

    def state(self) -> dict[str, Any]:
        return {"resources": self.all.resources}


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=answer)


def document(result: Result) -> Any:
    """The one JSON document on stdout."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
