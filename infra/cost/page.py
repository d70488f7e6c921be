"""The price as one HTML file: charts with their figures beside them. Pure: a statement in, text out.

The file opens from disk and asks nothing of any network: no script, no font, no picture, and a content security policy
that would refuse them. It follows the reader's choice of dark or light, and is well-formed XML, too.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from hashlib import sha256
from html import escape
from typing import Final

from infra.cost.charts import Bar, bars, money, safe
from infra.cost.model import Line, Range
from infra.cost.sections import Section, Sheet
from infra.cost.statement import Grouping, Statement, Status, grouping
from infra.cost.table import footing, named, percent

STYLE: Final = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1f2937; --soft: #5b6472; --rule: #d8dee6; --panel: #f6f8fa;
  --s0: #0067a8; --s1: #c27400; --s2: #00845f; --s3: #a8477f; --good: #00704a; --bad: #b42318; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --ink: #e6e9ee; --soft: #a3acb9; --rule: #343c47; --panel: #1a2028;
    --s0: #58b4ee; --s1: #f2b03d; --s2: #3cc79b; --s3: #e08fbd; --good: #4fd0a0; --bad: #ff8a7a; } }
body { margin: 0 auto; max-width: 88rem; padding: 1.5rem 2rem 4rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { margin: .25rem 0; max-width: 52rem; }
.soft, caption { color: var(--soft); }
.ok { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.25rem 0; padding: 0; list-style: none; }
.cards li { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: .75rem 1.25rem; }
.cards b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
figure { display: grid; grid-template-columns: minmax(0, 11fr) minmax(0, 9fr); gap: 2rem; margin: .5rem 0;
  align-items: start; }
@media (max-width: 70rem) { figure { grid-template-columns: minmax(0, 1fr); } }
figure.below { grid-template-columns: minmax(0, 1fr); }
figure.below svg { max-width: 48rem; }
.wide { overflow-x: auto; }
svg { width: 100%; height: auto; background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .tick { fill: var(--soft); }
svg .figure { font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--rule); }
svg .rim { stroke: var(--panel); stroke-width: 4; fill: none; }
svg .bounds { stroke: var(--ink); stroke-width: 1.5; fill: none; }
svg .s0 { fill: var(--s0); } svg .s1 { fill: var(--s1); } svg .s2 { fill: var(--s2); } svg .s3 { fill: var(--s3); }
svg .c0 { stroke: var(--s0); } svg .c1 { stroke: var(--s1); } svg .c2 { stroke: var(--s2); }
svg .c3 { stroke: var(--s3); }
svg .c0, svg .c1, svg .c2, svg .c3 { fill: none; stroke-width: 2.5; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
td.n + td:not(.n), th.n + th:not(.n) { padding-left: 1rem; }
thead th { vertical-align: bottom; }
tr.total { font-weight: 600; }
summary { cursor: pointer; margin: 2.5rem 0 .5rem; font-size: 1.2rem; font-weight: 600; }
"""

POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing but this one style: neither a script nor anything from elsewhere, whatever the figures' names hold."""


def _sheet(its: Sheet) -> str:
    def kind(index: int) -> str:
        return "" if index in its.words else ' class="n"'

    def row(cells: Sequence[str]) -> str:
        first, *others = map(safe, cells)
        row_kind = ' class="total"' if its.total and cells is its.rows[-1] else ""
        tail = "".join(f"<td{kind(index)}>{cell}</td>" for index, cell in enumerate(others, 1))
        return f'<tr{row_kind}><th scope="row">{first}</th>{tail}</tr>'

    head = "".join(f'<th scope="col"{kind(index)}>{safe(title)}</th>' for index, title in enumerate(its.titles))
    body = "\n".join(map(row, its.rows))
    return f"<table><caption>{safe(its.about)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def _section(its: Section) -> str:
    wide = ' class="below"' if its.sheet.words != (0,) else ""
    return (
        f"<section><h2>{safe(its.title)}</h2>\n<p>{safe(its.text)}</p>\n"
        f'<figure{wide}><div>{its.chart}</div><div class="wide">{_sheet(its.sheet)}</div></figure></section>'
    )


def page(statement: Statement, by: Grouping, more: Iterable[Section] = ()) -> str:
    """The whole file.

    Args:
        statement: The price.
        by: What its first chart adds up by.
        more: Further sections: the requirement, the levers, the scaling curve.
    """
    names = [bill.listed.stack for bill in statement.bills]
    title = f"docsearch: what {' and '.join(names)} cost{'s' if len(names) == 1 else ''} in a month"
    parts = [
        _head(statement, title),
        _section(_groups(statement, by)),
        *([_section(_groups(statement, grouping("service")))] if by.name != "service" else []),
        *map(_section, more),
        _section(_confidence(statement)),
        *_gaps(statement),
        _lines(statement),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            '<meta name="referrer" content="no-referrer"/>',
            f"<title>{safe(title)}</title>",
            f"<style>{STYLE}</style></head>",
            "<body><main>",
            *parts,
            "</main></body></html>",
            "",
        ]
    )


def _head(statement: Statement, title: str) -> str:
    its, listed = statement.monthly, statement.listed
    cards = [("expected in a month", money(its.expected)), ("least to most", f"{money(its.min)} to {money(its.max)}")]
    if statement.basis.commitments:
        cards.append(("expected at list price", money(listed.expected)))
    if len(statement.bills) > 1:
        cards += (
            (f"{bill.listed.stack} ({bill.listed.region})", money(bill.committed.monthly.expected))
            for bill in statement.bills
        )
    *rest, last = [line.plain for line in footing(statement)]
    mood = "ok" if statement.status is Status.OK else "bad"
    notes = "\n".join(f"<p>{safe(line)}</p>" for line in rest)
    listed_cards = "".join(f"<li>{safe(name)}<b>{safe(figure)}</b></li>" for name, figure in cards)
    return (
        f'<h1>{safe(title)}</h1>\n<p class="{mood}">{safe(last)}</p>\n'
        f'<ul class="cards">{listed_cards}</ul>\n'
        f'<div class="soft">{notes}</div>'
    )


def _groups(statement: Statement, by: Grouping) -> Section:
    """Bars of each stack on top of each other, with the bounds of both."""
    parts = {bill.listed.stack: _by(bill.committed.lines, by) for bill in statement.bills}
    groups = statement.by(by)
    shown, rest = groups[:MOST], groups[MOST:]
    rows = [
        Bar(named(group.name), tuple(its.get(group.name, Range()).expected for its in parts.values()), group.committed)
        for group in shown
    ]
    if rest:
        names = [group.name for group in rest]
        left = tuple(
            sum((its.get(name, Range()).expected for name in names), start=Decimal(0)) for its in parts.values()
        )
        rows.append(Bar(f"{len(rest)} more", left))
    text = "A bar, and the figure behind it, is the expected month; the line across goes from the least to the most."
    if groups:
        text += f" The dearest is {named(groups[0].name)}, {money(groups[0].committed.expected)}."
    cells = [(named(group.name), *_bounds(group.committed), money(group.listed.expected)) for group in groups]
    cells.append(("total", *_bounds(statement.monthly), money(statement.listed.expected)))
    sheet = Sheet(
        "Dollars in a month, with commitments; the last column without",
        (by.name, "min", "expected", "max", "at list price"),
        tuple(cells),
        total=True,
    )
    name = "by-" + "".join(letter if letter.isalnum() else "-" for letter in by.name)
    chart = bars(name, f"Expected cost of a month by {by.name}", text, rows, tuple(parts), stacked=True)
    return Section(f"By {by.name}", text, chart, sheet)


MOST: Final = 24
"""Bars of a chart; the table beside it has every row."""


def _by(lines: Iterable[Line], its: Grouping) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for line in lines:
        found[its.key(line)] = found.get(its.key(line), Range()) + line.monthly
    return found


def _confidence(statement: Statement) -> Section:
    parts = statement.confidence
    rows = [Bar(level.value, (part.expected,)) for level, part in parts.items()]
    text = (
        "How far the prices can be trusted: read at their source, derived from others, or only recalled. "
        f"{percent(statement.share(statement.assumed))} of the month is a list price times an assumed factor."
    )
    sheet = Sheet(
        "Dollars in a month by how sure their price is",
        ("confidence", "expected", "share", "prices"),
        tuple(
            (level.value, money(part.expected), percent(statement.share(part)), str(statement.prices[level]))
            for level, part in parts.items()
        ),
    )
    return Section("How sure", text, bars("sure", "How sure the prices are", text, rows, ("",), stacked=True), sheet)


def _gaps(statement: Statement) -> Iterator[str]:
    gaps = (*statement.unpriced, *statement.unknown)
    if gaps:
        rows = tuple((gap.stack, gap.component, gap.urn.split("::", 3)[-1], gap.what, gap.why) for gap in gaps)
        sheet = Sheet(
            "Never counted as zero", ("stack", "component", "resource", "what", "why"), rows, words=(0, 1, 2, 3, 4)
        )
        yield f'<section><h2>Without a figure</h2><div class="wide">{_sheet(sheet)}</div></section>'


def _lines(statement: Statement) -> str:
    """Everything that is billed, with the source of its price."""
    rows = tuple(
        (
            line.what,
            line.stack,
            line.component,
            line.urn.split("::", 3)[-1],
            f"{line.price.service} {line.price.sku}",
            f"{line.price.confidence.value}: {line.price.source} ({line.price.as_of})",
            line.assumed or line.usage,
            f"{_plain(line.quantity.expected)} {line.price.unit}",
            f"${line.price.usd.normalize():f}",
            money(line.monthly.expected, 2),
        )
        for line in sorted(statement.lines, key=lambda line: (-line.monthly.expected, line.urn, line.what))
    )
    sheet = Sheet(
        "At expected use, the dearest first",
        ("what", "stack", "component", "resource", "price of", "source", "rests on", "quantity", "list price", "month"),
        rows,
        words=(0, 1, 2, 3, 4, 5, 6),
    )
    return f'<details><summary>Every line ({len(rows)})</summary><div class="wide">{_sheet(sheet)}</div></details>'


def _bounds(its: Range) -> Sequence[str]:
    return money(its.min), money(its.expected), money(its.max)


def _plain(value: Decimal) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".")
