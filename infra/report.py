"""What the commands show: tables and lines, made from plans. Nothing here prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.plan import OPS, Change, Plan

if TYPE_CHECKING:
    from infra.deploy import Outcome
    from infra.findings import Finding
    from infra.gate import Objection

_STYLE = {"create": "green", "update": "yellow", "replace": "magenta", "delete": "red", "same": "dim"}
_GRAVITY = {"critical": "bold red", "high": "red", "medium": "yellow"}
_SIGN = {"create": "+", "update": "~", "replace": "±", "delete": "-", "same": " "}

STACK_TYPE = "pulumi:pulumi:Stack"

CONTRACT = ("peer", "peer_secrets")
"""Outputs between stacks, not for people; `--json` has them."""


def components(plan: Plan) -> dict[str, str]:
    """The top-level component that each resource belongs to, by URN; `stack` for what belongs to none."""
    by_urn = {change.urn: change for change in plan.changes}

    def top(change: Change) -> str:
        parent = by_urn.get(change.parent)
        if parent is None or parent.type == STACK_TYPE:
            return change.name if change.type.startswith("docsearch:") else "stack"
        return top(parent)

    return {change.urn: top(change) for change in plan.changes}


def summary_line(plan: Plan) -> Text:
    """One line: how many of each."""
    line = Text(f"{plan.stack} ({plan.region}, {plan.cloud}): ")
    parts = [(f"{count} {op}", _STYLE[op]) for op, count in plan.summary.items() if count]
    for index, (text, style) in enumerate(parts):
        line.append(", " if index else "").append(text, style)
    if not plan.changing:
        line.append("; no changes", "bold")
    return line


def changes_table(plan: Plan) -> RenderableType:
    """What changes, resource by resource."""
    if not plan.changing:
        return summary_line(plan)
    table = Table(box=None, pad_edge=False)
    for title in ("", "resource", "type", "what"):
        table.add_column(title, overflow="fold")
    for change in plan.changing:
        what = ", ".join(change.replaced_by or change.paths)
        if change.replaced_by:
            what = f"replaced by {what}"
        _add(table, _SIGN[change.op], change.name, change.type, what, style=_STYLE[change.op])
    return Group(table, summary_line(plan))


def drift_table(plan: Plan) -> RenderableType:
    """What the cloud holds otherwise than the state, by URN."""
    if not plan.changing:
        return Text(f"{plan.stack} ({plan.region}, {plan.cloud}): the cloud is as the state says")
    table = Table(box=None, pad_edge=False)
    for title in ("urn", "what", "properties"):
        table.add_column(title, overflow="fold")
    for change in plan.changing:
        what = "gone" if change.op == "delete" else "changed"
        _add(table, change.urn, what, ", ".join(change.paths), style=_STYLE[change.op])
    return Group(table, Text(f"{plan.stack}: {len(plan.changing)} resources differ from the state"))


def resources_table(outcomes: Mapping[str, Outcome]) -> RenderableType:
    """Per region: resources by component, and how long it took."""
    counts = {stack: Counter(components(outcome.plan).values()) for stack, outcome in outcomes.items()}
    table = Table(box=None, pad_edge=False)
    table.add_column("component")
    for stack, outcome in outcomes.items():
        table.add_column(f"{stack} ({outcome.plan.region})", justify="right")
    for name in dict.fromkeys(name for counted in counts.values() for name in counted):
        table.add_row(name, *(str(counted[name] or "-") for counted in counts.values()))
    table.add_row("resources", *(str(sum(counted.values())) for counted in counts.values()), style="bold")
    for op in OPS:
        row = [outcome.plan.summary[op] for outcome in outcomes.values()]
        if any(row):
            table.add_row(f"  {op}", *map(str, row), style=_STYLE[op])
    table.add_row("seconds", *(f"{outcome.seconds:.1f}" for outcome in outcomes.values()))
    return table


def outputs_table(outputs: Mapping[str, Any]) -> RenderableType:
    """A stack's outputs."""
    table = Table(box=None, pad_edge=False)
    table.add_column("output")
    table.add_column("value", overflow="fold")
    for name, value in sorted(outputs.items()):
        if name in CONTRACT:
            continue
        _add(table, name, value if isinstance(value, str) else json.dumps(value, sort_keys=True))
    return table


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """What `up` and `destroy` print with `--json`."""
    counted = Counter(components(outcome.plan).values())
    return {
        **outcome.plan.as_json(),
        "components": dict(counted),
        "outputs": dict(outcome.outputs),
        "seconds": round(outcome.seconds, 3),
    }


def findings_table(findings: Iterable[Finding]) -> RenderableType:
    """What the rules say: one row for what is wrong, one below it for what to do."""
    rows: list[RenderableType] = []
    for finding in findings:
        line = Text()
        line.append(f"{finding.rule} ", _GRAVITY[finding.severity] if finding.kind == "violation" else "dim")
        line.append(f"{finding.severity.value if finding.kind == 'violation' else finding.kind}: ")
        line.append(f"{finding.resource}: {finding.path} {finding.message}".replace(":  ", ": "))
        rows.append(line)
        if finding.kind == "violation":
            rows.append(Text(f"    why:    {finding.why}\n    remedy: {finding.place}: {finding.remedy}"))
    return Group(*rows)


def objections_table(objections: Iterable[Objection]) -> RenderableType:
    """What would be destroyed, and the remedy."""
    rows = []
    for its in objections:
        row = Text("destructive ", "bold red").append(its.urn, "default")
        row.append(f"\n    what:   {its.what}\n    remedy: {its.remedy}", "default")
        if its.expired:
            row.append(f"\n    its waiver expired on {its.expired.expires} ({its.expired.owner})", "default")
        rows.append(row)
    return Group(*rows)


def rows_table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A plain table."""
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        _add(table, *row)
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    # As they are: in a plain string, Rich takes `[secret]` or `tags[owner]` for markup and drops it.
    table.add_row(*map(Text, cells), style=style)
