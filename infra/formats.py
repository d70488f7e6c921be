"""A check as text: for a terminal, for a pull request, for code scanning (SARIF), for what reads test results (JUnit).

Nothing here prints or writes. Each function is one format.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree

from rich.console import Group, RenderableType
from rich.text import Text

from infra import report
from infra.check import Check, StackCheck, Status
from infra.cost.budget import MONTH, Reason
from infra.cost.charts import money
from infra.cost.table import DIFFERENCE, beside_rows, difference_line, difference_rows, sure
from infra.findings import Finding, Place, place, rules
from infra.gate import Objection
from infra.plan import OPS
from policies.rule import Rule, Severity

MARKER: Final = "<!-- docsearch-check -->"
"""The first line of the comment: by it the comment is found again, to be updated in place."""

MOST: Final = 65_535
"""Bytes of the comment. GitHub refuses a body of more than 65,536 characters; bytes are never fewer than those."""

MOST_OF_A_CELL: Final = 1_000
"""Characters of one value in a table, so that no single one pushes all others out."""

GATE: Final = "destructive-change"
"""The rule under which SARIF lists what the gate has to say."""

BUDGET: Final = "over-budget"
"""The rule under which SARIF lists budgets that are not kept."""

# XML 1.0, production 2: what is none of these cannot be written, escaped or not. No text is worse for the lack of it.
_NO_TEXT: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_VERDICT: Final = {
    Status.OK: "nothing stops this change",
    Status.POLICY: "a rule stops this change",
    Status.DESTRUCTIVE: "this change would destroy something stateful",
    Status.OVER_BUDGET: "this change would cost more than its budget",
    Status.INCOMPLETE: "not everything could be looked at",
}


def said(finding: Finding) -> str:
    """What is wrong with which property."""
    return f"{finding.path} {finding.message}".strip()


def known(check: Check) -> list[Finding]:
    """What would stop the change, were it not in the base already."""
    stopping = {finding for _, finding in check.blocking}
    return [finding for _, finding in check.violations if finding.blocks and finding not in stopping]


def advice(check: Check) -> list[Finding]:
    """Violations that stop nothing."""
    return [finding for _, finding in check.violations if not finding.blocks]


def allowed(check: Check) -> list[tuple[StackCheck, Objection]]:
    """What the gate would stop, were it not waived."""
    return [(one, its) for one in check.stacks for its in one.objections if its.waiver is not None]


def prices(check: Check) -> list[tuple[str, ...]]:
    """What the change does to the month, by stack and component."""
    return [(one.stack, *row) for one in check.stacks if one.price for row in difference_rows(one.price)]


def beside(check: Check) -> list[tuple[str, ...]]:
    """What it costs besides the month."""
    return [(one.stack, *row) for one in check.stacks if one.price for row in beside_rows(one.price)]


def gaps(check: Check) -> list[tuple[str, ...]]:
    """What has no figure, and why."""
    found: list[tuple[str, ...]] = [
        (one.stack, gap.urn.split("::", 3)[-1], gap.what, gap.why)
        for one in check.stacks
        if one.price
        for gap in one.price.gaps
    ]
    return found + [(one.stack, "", "everything", one.priceless) for one in check.stacks if one.priceless]


def budgets(check: Check) -> list[tuple[str, ...]]:
    """Budgets that are not kept, or may not be, and whether the change is to blame."""
    return [
        (one.stack, str(reason).removeprefix(f"{one.stack}: "), "the change" if one.introduces(reason) else "the base")
        for one in check.stacks
        for reason in one.over
    ]


def sureness(check: Check) -> tuple[str, ...]:
    """How sure the prices are."""
    said = [sure(one.price) for one in check.stacks if one.price]
    return (*said, check.prices.age) if said and check.prices else tuple(said)


# For a terminal


def terminal(check: Check) -> RenderableType:
    """For people: what stops the change first, then the rest, then a line for each stack and one for the whole."""
    stopping = [finding for _, finding in check.blocking]
    objections = [its for _, its in check.objections]
    waived = [finding for _, finding in check.of_kind("waived")]
    exempt = [(its.urn, its.what, _waived(its)) for _, its in allowed(check)]
    # A new stack has hundreds of them: each is in the JSON document.
    unverified = Counter((one.stack, finding.rule) for one, finding in check.of_kind("unverified"))
    counted = [(stack, rule, str(count)) for (stack, rule), count in unverified.items()]
    moved = prices(check) if any(one.price and one.price.shifts for one in check.stacks) else []
    sections: tuple[tuple[str, Sequence[Any], RenderableType], ...] = (
        ("findings", stopping, report.findings_table(stopping)),
        ("destructive changes", objections, report.objections_table(objections)),
        ("budgets", budgets(check), report.rows_table(("stack", "budget", "because of"), budgets(check))),
        ("in the base already", known(check), report.findings_table(known(check))),
        ("advice", advice(check), report.findings_table(advice(check))),
        ("waived", waived, report.findings_table(waived)),
        ("destructive changes that are waived", exempt, report.rows_table(("urn", "what", "waiver"), exempt)),
        ("not known before the update", counted, report.rows_table(("stack", "rule", "values"), counted)),
        ("price of a month", moved, report.rows_table(("stack", *DIFFERENCE), moved)),
        ("besides the month", beside(check), report.rows_table(("stack", "what", "dollars", "why"), beside(check))),
        ("without a figure", gaps(check), report.rows_table(("stack", "resource", "what", "why"), gaps(check))),
    )
    parts: list[RenderableType] = []
    for title, rows, table in sections:
        if rows:
            parts += [Text(title, "bold"), table, Text()]
    for one in check.stacks:
        if one.plan is not None:
            parts.append(report.summary_line(one.plan))
        if one.price is not None:
            parts.append(Text(difference_line(one.price), "" if one.price.complete else "yellow"))
        if one.failed:
            parts.append(Text(f"{one.stack} ({one.region}): {_unplanned(one)}", "red"))
    parts += (Text(line, "dim") for line in sureness(check))
    parts.append(Text(check.summary, "bold green" if check.status is Status.OK else "bold red"))
    return Group(*parts)


def _unplanned(one: StackCheck) -> str:
    return f"{'no whole plan' if one.plan else 'no plan'}: {one.failed}"


def _waived(its: Objection) -> str:
    return f"until {its.waiver.expires}, {its.waiver.owner}: {its.waiver.reason}" if its.waiver else ""


def _remedy(its: Objection) -> str:
    late = f". The waiver of {its.expired.owner} expired on {its.expired.expires}" if its.expired else ""
    return f"{its.remedy}{late}"


def _sort(its: Objection) -> str:
    """What kind of loss it is, without the values."""
    return its.what.partition(": ")[0]


# For a pull request


@dataclass(frozen=True)
class _Section:
    """A table under a title.

    Attributes:
        title: What it lists.
        columns: Titles of the columns.
        rows: Cells, as Markdown already.
        folded: Whether it is shown only when somebody asks.
        notes: Lines below the table, few and short.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False
    notes: tuple[str, ...] = ()

    def text(self, count: int) -> str:
        """The first rows, and how many more there are."""
        if not self.rows:
            return ""
        lines = [_row(self.columns), _row("---" for _ in self.columns), *map(_row, self.rows[:count])]
        if more := len(self.rows) - count:
            lines += ["", f"and {more} more: `docsearch check --json` has them all."]
        for note in self.notes:
            lines += ["", _cell(note)]
        title = f"{self.title} ({len(self.rows)})" if self.folded else f"### {self.title}"
        if self.folded:
            return "\n".join([f"<details><summary>{title}</summary>", "", *lines, "", "</details>", "", ""])
        return "\n".join([title, "", *lines, "", ""])

    def fitting(self, room: int) -> str:
        """With as many rows as have room."""
        whole = self.text(len(self.rows))
        if _size(whole) <= room:
            return whole
        used = _size(self.text(0))
        for count, row in enumerate(self.rows):
            used += _size(_row(row)) + 1
            if used > room:
                return self.text(count)
        return self.text(len(self.rows) - 1)


def markdown(check: Check) -> str:
    """One comment of a pull request, which is updated in place."""
    head = (
        f"{MARKER}\n## docsearch check: {_VERDICT[check.status]}\n\n{_cell(check.summary)}\n\n"
        f"Compared with {_code(check.base[:12])}.\n\n"
    )
    sections = tuple(_sections(check))
    room = MOST - _size(head) - sum(_size(section.text(0)) for section in sections)
    parts = [head]
    for section in sections:
        # Each has its title and its "and N more" for certain; the first ones take what is left.
        least = _size(section.text(0))
        parts.append(section.fitting(room + least))
        room -= _size(parts[-1]) - least
    return "".join(parts).rstrip() + "\n"


def _sections(check: Check) -> Iterator[_Section]:
    changes = tuple(
        (_code(one.stack), _cell(one.region), *(str(one.plan.summary[op]) if one.plan else "-" for op in OPS))
        for one in check.stacks
    )
    failed = tuple((_code(one.stack), _cell(_unplanned(one))) for one in check.failed)
    objected = ("stack", "resource", "what", "where", "remedy")
    yield _Section("Changes", ("stack", "region", *OPS), changes)
    yield _Section("Without a whole plan", ("stack", "why"), failed)
    yield _of_findings("Findings", [finding for _, finding in check.blocking])
    yield _Section("Destructive changes", objected, tuple(_objected(one, its) for one, its in check.objections))
    yield _Section("Budgets", ("stack", "budget", "because of"), _cells(budgets(check)))
    yield _Section("Price of a month", ("stack", *DIFFERENCE), _cells(prices(check)), notes=sureness(check))
    yield _Section("Besides the month", ("stack", "what", "dollars", "why"), _cells(beside(check)))
    yield _Section("Without a figure", ("stack", "resource", "what", "why"), _cells(gaps(check)))
    yield _of_findings("In the base already", known(check), folded=True)
    yield _of_findings("Advice", advice(check), folded=True)
    yield _of_findings("Waived", [finding for _, finding in check.of_kind("waived")], folded=True)
    waived = tuple((*_objected(one, its)[:-1], _cell(_waived(its))) for one, its in allowed(check))
    yield _Section("Destructive changes that are waived", (*objected[:-1], "waiver"), waived, folded=True)
    unverified = [finding for _, finding in check.of_kind("unverified")]
    yield _of_findings("Not known before the update", unverified, folded=True)


def _of_findings(title: str, findings: Iterable[Finding], *, folded: bool = False) -> _Section:
    columns = ("rule", "severity", "stack", "resource", "property", "what", "where", "remedy")
    rows = tuple(
        (
            f"[{_cell(finding.rule)}]({_reference(finding.rule)})",
            finding.severity.value,
            _code(finding.stack),
            _code(finding.resource),
            _code(finding.path),
            _cell(finding.message),
            _where(finding.place),
            _cell(finding.remedy),
        )
        for finding in findings
    )
    return _Section(title, columns, rows, folded)


def _reference(rule: str) -> str:
    return quote(rules()[rule].reference, safe=":/#?&=%")


def _objected(one: StackCheck, its: Objection) -> tuple[str, ...]:
    resource = its.urn.split("::", 3)[-1]
    return _code(one.stack), _code(resource), _cell(its.what), _where(place(its.urn, one.stack)), _cell(_remedy(its))


def _where(there: Place) -> str:
    return f"{_code(f'{there.file}:{there.line}')} {_code(there.key)}".strip()


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(rows: Iterable[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(_cell, row)) for row in rows)


def _code(text: str) -> str:
    return f"<code>{_cell(text)}</code>" if text else ""


def _cell(text: str) -> str:
    """Text as it is, in one line of a table: everything that Markdown, HTML or a table would read is an entity."""
    line = " ".join(_text(text).split())
    if len(line) > MOST_OF_A_CELL:
        line = f"{line[:MOST_OF_A_CELL]}…"
    return re.sub(r"[\\`*_{}\[\]|~$#]", lambda found: f"&#{ord(found[0])};", html.escape(line, quote=False))


def _size(text: str) -> int:
    return len(text.encode())


def _text(text: str) -> str:
    """Without what no text may hold."""
    return _NO_TEXT.sub("\ufffd", text)


# For code scanning

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_SECURITY: Final = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5"}
"""The middle of GitHub's ranges: critical above 9.0, high from 7.0, medium from 4.0 (its page on SARIF support)."""


def sarif(check: Check) -> str:
    """SARIF 2.1.0 (OASIS), within what GitHub's code scanning reads of it."""
    descriptors = [*map(_descriptor, rules().values()), _GATE_DESCRIPTOR, _BUDGET_DESCRIPTOR]
    index = {descriptor["id"]: number for number, descriptor in enumerate(descriptors)}
    results = [
        *(_result(finding, is_new=one.is_new(finding)) for one in check.stacks for finding in one.findings),
        *(_objection(one, its) for one in check.stacks for its in one.objections),
        *(_budget(one, reason) for one in check.stacks for reason in one.over),
    ]
    # Two values of one property: the second is another result, today and tomorrow.
    times: Counter[str] = Counter()
    for result in results:
        result["ruleIndex"] = index[result["ruleId"]]
        # The only fingerprint that GitHub reads. It is made of no line, so a result stays itself when lines move.
        mark = result["partialFingerprints"]["primaryLocationLineHash"]
        times[mark] += 1
        result["partialFingerprints"]["primaryLocationLineHash"] = f"{mark}:{times[mark]}"
    run = {
        "tool": {
            "driver": {"name": "docsearch", "semanticVersion": version("docsearch"), "rules": descriptors},
        },
        "automationDetails": {"id": "docsearch-check/"},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The folder of the project"}}},
        "invocations": [
            {
                "executionSuccessful": not check.failed,
                "exitCode": check.exit_code,
                "toolExecutionNotifications": [
                    {"level": "error", "message": {"text": f"{one.stack}: {_unplanned(one)}"}} for one in check.failed
                ],
            }
        ],
        "results": results,
        "properties": {"base": check.base},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _descriptor(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.why},
        "fullDescription": {"text": _sentences(rule.why, rule.remedy)},
        "help": {"text": rule.remedy},
        "helpUri": rule.reference,
        "defaultConfiguration": {"level": _level(rule.severity)},
        "properties": {"security-severity": _SECURITY[rule.severity], "tags": ["security"]},
    }


_GATE_DESCRIPTOR: Final[Mapping[str, Any]] = {
    "id": GATE,
    "shortDescription": {"text": "What is stateful is neither replaced, deleted nor unlocked by accident"},
    "fullDescription": {"text": "The change would replace, delete or unlock something that holds data or identity."},
    "help": {"text": "Change it in place, or waive it for a while in policies/waivers.yaml"},
    "defaultConfiguration": {"level": "error"},
}


_BUDGET_DESCRIPTOR: Final[Mapping[str, Any]] = {
    "id": BUDGET,
    "shortDescription": {"text": "A region costs no more than its budget"},
    "fullDescription": {"text": "The month at expected use, or what the change adds to it, is beyond the stack file."},
    "help": {"text": "Make the change cheaper, or raise `cost` in the stack file, and say in the change why"},
    "defaultConfiguration": {"level": "error"},
}


def _level(severity: Severity) -> str:
    return "error" if severity.blocks else "warning"


def _result(finding: Finding, *, is_new: bool) -> dict[str, Any]:
    verified = finding.kind != "unverified"
    its = _located(finding.rule, finding.urn, finding.stack, finding.path, finding.place)
    return {
        **its,
        # SARIF 2.1.0, 3.27.10: what is no failure has the level "none".
        "kind": "fail" if verified else "open",
        "level": _level(finding.severity) if verified else "none",
        "message": {"text": _sentences(f"{finding.resource}: {said(finding)}", finding.remedy)},
        "baselineState": "new" if is_new else "unchanged",
        "suppressions": _suppressions(finding.message) if finding.kind == "waived" else [],
    }


def _objection(one: StackCheck, its: Objection) -> dict[str, Any]:
    name = its.urn.split("::", 3)[-1]
    return {
        **_located(GATE, its.urn, one.stack, _sort(its), place(its.urn, one.stack)),
        "kind": "fail",
        "level": "error",
        "message": {"text": _sentences(f"{name}: {its.what}", _remedy(its))},
        "baselineState": "new",
        "suppressions": _suppressions(_waived(its)) if its.waiver else [],
    }


def _budget(one: StackCheck, reason: Reason) -> dict[str, Any]:
    key = f"cost.monthly_{'budget' if reason.what == MONTH else 'increase'}"
    exceeded = reason.over > 0
    return {
        **_located(BUDGET, "", one.stack, key, place("", one.stack, key=key)),
        "kind": "fail" if exceeded else "open",
        "level": "error" if exceeded else "none",
        "message": {"text": _sentences(str(reason), _BUDGET_DESCRIPTOR["help"]["text"])},
        "baselineState": "new" if one.introduces(reason) else "unchanged",
        "suppressions": [],
    }


def _sentences(*parts: str) -> str:
    return _text(" ".join(f"{part.rstrip('.')}." for part in parts))


def _suppressions(why: str) -> list[dict[str, str]]:
    return [{"kind": "external", "status": "accepted", "justification": _text(why)}]


def _located(rule: str, urn: str, stack: str, path: str, there: Place) -> dict[str, Any]:
    identity = f"{rule}\n{stack}\n{urn}\n{path}".encode(errors="replace")
    logical = {"name": urn.split("::", 3)[-1] or stack, "fullyQualifiedName": urn or stack, "kind": "resource"}
    return {
        "ruleId": rule,
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(_text(there.file)), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": there.line},
                },
                "logicalLocations": [{key: _text(value) for key, value in logical.items()}],
            }
        ],
        "partialFingerprints": {"primaryLocationLineHash": sha256(identity).hexdigest()[:32]},
    }


# For what reads test results


def junit(check: Check) -> str:
    """JUnit's XML: a suite for each stack, in it a case for each rule and for each destructive change."""
    root = ElementTree.Element("testsuites", name="docsearch check")
    stopping = {finding for _, finding in check.blocking}
    for one in check.stacks:
        suite = ElementTree.SubElement(root, "testsuite", name=_text(f"{one.stack} ({one.region})"))
        if one.failed:
            _tell(_case(suite, one, "plan"), "error", "no plan", one.failed)
        for id_ in rules():
            found = [finding for finding in one.findings if finding.rule == id_]
            case = _case(suite, one, id_)
            if failing := [finding for finding in found if finding in stopping]:
                _tell(case, "failure", f"{len(failing)} findings", _lines(failing))
            elif open_ := [finding for finding in found if finding.kind == "unverified"]:
                _tell(case, "skipped", f"{len(open_)} values are not known before the update", _lines(open_))
            elif one.failed:
                _tell(case, "skipped", "there is no whole plan to look at", one.failed)
            if rest := [f for f in found if f.kind != "unverified" and f not in stopping]:
                ElementTree.SubElement(case, "system-out").text = _text(_lines(rest))
        for its in one.objections:
            case = _case(suite, one, f"{_sort(its)} {its.urn}")
            if its.waiver is None:
                _tell(case, "failure", its.what, f"{its.urn}: {its.what}\nremedy: {_remedy(its)}")
            else:
                _tell(case, "skipped", f"waived {_waived(its)}", its.what)
        if one.budget:
            _budget_case(check, suite, one)
        _count(suite, suite)
    _count(root, root)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _budget_case(check: Check, suite: ElementTree.Element, one: StackCheck) -> None:
    case = _case(suite, one, BUDGET)
    counting = [reason for its, reason in check.budgets if its is one]
    text = "\n".join(map(str, one.over))
    if over := [reason for reason in counting if reason.over > 0]:
        _tell(case, "failure", f"{money(max(reason.over for reason in over))} over budget", text)
    elif counting or one.priceless:
        _tell(case, "error", "nobody knows whether the budget is kept", text or one.priceless)
    elif one.failed:
        _tell(case, "skipped", "there is no whole plan to price", one.failed)


def _case(suite: ElementTree.Element, one: StackCheck, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=_text(f"docsearch.{one.stack}"), name=_text(name))


def _tell(case: ElementTree.Element, how: str, message: str, text: str) -> None:
    ElementTree.SubElement(case, how, message=_text(message)).text = _text(text)


def _count(element: ElementTree.Element, within: ElementTree.Element) -> None:
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(name, str(sum(1 for _ in within.iter(tag))))


def _lines(findings: Iterable[Finding]) -> str:
    return "\n".join(
        f"{finding.kind}: {finding.urn or finding.stack}: {said(finding)}\n  {finding.place}: {finding.remedy}"
        for finding in findings
    )


def document(check: Check) -> str:
    """The JSON document: docs/schemas/check.json."""
    return json.dumps(check.as_json(), indent=2) + "\n"


FORMATS: Final[Mapping[str, Callable[[Check], RenderableType]]] = {
    "terminal": terminal,
    "json": document,
    "markdown": markdown,
    "sarif": sarif,
    "junit": junit,
}
"""By the name that the command knows them under; all but the first are text."""


def formatted(check: Check, name: str) -> RenderableType:
    """A check in one of the formats: something to print for `terminal`, otherwise text that ends with a line's end."""
    return FORMATS[name](check)
