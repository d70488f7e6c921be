"""What the policy pack said in a run, read from the engine's events, with the place where each can be put right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from infra.errors import PlanError
from infra.program import PROJECT
from policies.catalogue import every_rule
from policies.pack import NAME, UNVERIFIED, WAIVED
from policies.rule import Rule, Severity
from stacks.fleet import stack_file
from stacks.stack_file import StackFile

if TYPE_CHECKING:
    from pulumi.automation import EngineEvent

Kind = Literal["violation", "unverified", "waived"]

_COMPONENT: Final = re.compile(r"(?:^|\$)docsearch:([a-z_]+):")
_ADVICE: Final = re.compile(rf"^(?:.* during preview: )?({UNVERIFIED}|{WAIVED}) (\S*) (\S+) ?(.*)$")


@dataclass(frozen=True)
class Place:
    """Where to change something.

    Attributes:
        file: Path from the project's folder.
        line: From 1.
        key: Key of the stack file; empty in code.
    """

    file: str
    line: int = 1
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f" {self.key}" if self.key else "")


@dataclass(frozen=True)
class Finding:
    """What a rule said of a resource.

    Attributes:
        stack: Name of the stack.
        rule: The rule's id.
        severity: How grave it is.
        kind: A violation; a value that could not be judged before the update; or a violation that is waived.
        urn: The resource; empty for the stack as a whole.
        path: The property.
        message: What is wrong with it.
        why: Why the rule is there.
        remedy: What to do.
        place: Where to do it.
    """

    stack: str
    rule: str
    severity: Severity
    kind: Kind
    urn: str
    path: str
    message: str
    why: str
    remedy: str
    place: Place

    @property
    def resource(self) -> str:
        """The logical name; the stack's for the whole of it."""
        return self.urn.split("::", 3)[-1] if self.urn else self.stack

    @property
    def blocks(self) -> bool:
        """Whether it stops the change."""
        return self.kind == "violation" and self.severity.blocks

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it the same finding in two plans; figures in the message may differ."""
        return self.stack, self.rule, self.kind, self.urn, self.path

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "stack": self.stack,
            "rule": self.rule,
            "severity": self.severity.value,
            "kind": self.kind,
            "urn": self.urn,
            "path": self.path,
            "message": self.message,
            "why": self.why,
            "remedy": self.remedy,
            "place": {"file": self.place.file, "line": self.place.line, "key": self.place.key},
        }


def read(events: Iterable[EngineEvent], *, stack: str, folder: Path = PROJECT) -> tuple[Finding, ...]:
    """What the pack said, in the engine's order; what other packs said is left out.

    Raises:
        PlanError: The pack reports a rule that this program does not know, or in a form that it cannot read.
    """
    found: dict[tuple[str, ...], Finding] = {}
    for event in events:
        said = event.policy_event
        if said is None or said.policy_pack_name != NAME:
            continue
        its = rules().get(said.policy_name)
        if its is None:
            raise PlanError(
                f"the policy pack reports the rule {said.policy_name!r}, which does not exist",
                why="the pack that the engine started is not the one beside this program",
                remedy="Run docsearch from the project's own environment: make setup",
            )
        for finding in _findings(its, said.message, said.resource_urn or "", stack, folder):
            found.setdefault((*finding.identity, finding.message), finding)
    return tuple(found.values())


@cache
def rules() -> Mapping[str, Rule]:
    """All rules by id."""
    return {rule.id: rule for rule in every_rule()}


def _findings(rule: Rule, message: str, urn: str, stack: str, folder: Path) -> list[Finding]:
    said = message.strip().removeprefix(rule.why).strip()
    urn = "" if urn.endswith(f"::docsearch-{stack}") else urn
    rows: list[tuple[Kind, str, str, str]] = []
    for row in said.splitlines():
        if advice := _ADVICE.match(row.strip()):
            kind: Kind = "waived" if advice[1] == WAIVED else "unverified"
            rows.append((kind, advice[2] or urn, advice[3], advice[4] or "is not known before the update"))
    if not rows:
        what = said.removesuffix(rule.remedy).strip()
        path, _, problem = what.partition(" ")
        if not problem:
            raise PlanError(f"the policy pack says of {rule.id} what cannot be read", why=message)
        rows.append(("violation", urn, path, problem))
    return [
        Finding(
            stack=stack,
            rule=rule.id,
            severity=rule.severity,
            kind=kind,
            urn=its,
            path="" if path == "it" else path,
            message=problem,
            why=rule.why,
            remedy=rule.remedy,
            place=place(its, stack, key=rule.key, folder=folder),
        )
        for kind, its, path, problem in rows
    ]


def place(urn: str, stack: str, *, key: str = "", folder: Path = PROJECT) -> Place:
    """Where a resource can be changed: a key of its stack file, or the module of its component.

    Args:
        urn: The resource; empty for the stack as a whole.
        stack: Name of the stack.
        key: The stack file's key that decides it, if one does.
        folder: Where the project is.
    """
    file = stack_file(folder, stack)
    if key:
        path = tuple(key.split("."))
        lines = StackFile.read(file).lines
        near = next((lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines), 1)
        return Place(file.name, near, key)
    # The innermost component made it.
    made_by = _COMPONENT.findall(urn.split("::")[2] if urn.count("::") >= 3 else "")
    if made_by:
        return Place(f"components/{made_by[-1]}.py")
    return Place("stacks/region.py")
