"""Prices for a terminal: tables and lines, made from statements. Nothing here prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from infra.cost.charts import money
from infra.cost.model import Confidence, Gap, Range
from infra.cost.sections import Section, Sheet
from infra.cost.statement import Grouping, Statement, Status

if TYPE_CHECKING:
    from infra.cost.change import Difference

MOST: Final = 40
"""Rows of a table by resource: the rest is one row, and `--json` and `--csv` have it all."""

_STYLE: Final = {Status.OK: "bold green", Status.OVER_BUDGET: "bold red", Status.INCOMPLETE: "bold red"}


def statement_table(statement: Statement, by: Grouping, more: Iterable[Section] = ()) -> RenderableType:
    """The price: groups, stacks, total, what stands beside it, and below that how sure it is."""
    parts: list[RenderableType] = [_groups(statement, by)]
    if statement.unpriced or statement.unknown:
        parts += [Text(), gaps_table([*statement.unpriced, *statement.unknown])]
    for bill in statement.bills:
        if bill.difference:
            parts += [Text(), difference_table(bill.difference)]
    for section in more:
        parts += [Text(), Text(section.title, "bold"), sheet_table(section.sheet), Text(section.text)]
    parts += [Text(), *footing(statement)]
    return Lines(*parts)


def _groups(statement: Statement, by: Grouping) -> Table:
    committed = bool(statement.basis.commitments)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(by.name, overflow="fold")
    for title in ("min", "expected", "max"):
        table.add_column(title if not committed else f"list {title}", justify="right", no_wrap=True)
    for title in ("min", "expected", "max") if committed else ():
        table.add_column(f"committed {title}", justify="right", no_wrap=True)

    def row(name: str, listed: Range, its: Range, style: str = "") -> None:
        figures = [*_cells(listed), *(_cells(its) if committed else ())]
        # As it is: in a plain string, Rich takes `tags[owner]` for markup and drops it.
        table.add_row(Text(name), *figures, style=style)

    groups = statement.by(by)
    shown, rest = groups[:MOST], groups[MOST:]
    for group in shown:
        row(named(group.name), group.listed, group.committed)
    if rest:
        listed = sum((group.listed for group in rest), start=Range())
        row(f"{len(rest)} more", listed, sum((group.committed for group in rest), start=Range()), "dim")
    if len(statement.bills) > 1:
        for bill in statement.bills:
            row(f"{bill.listed.stack} ({bill.listed.region})", bill.listed.monthly, bill.committed.monthly, "dim")
    row("total per month", statement.listed, statement.monthly, "bold")
    return table


def named(group: str) -> str:
    """A group for people: of a URN, its stack, name and type."""
    if not group.startswith("urn:pulumi:"):
        return group
    stack, _, types, name = group.removeprefix("urn:pulumi:").split("::", 3)
    return f"{stack}: {name} ({types.rpartition('$')[2]})"


def _cells(its: Range) -> tuple[str, str, str]:
    return money(its.min, 2), money(its.expected, 2), money(its.max, 2)


def gaps_table(gaps: Sequence[Gap]) -> RenderableType:
    """What has no figure, by name; alike ones are counted."""
    counted = Counter((gap.stack, gap.component, gap.type, gap.what, gap.why) for gap in gaps)
    first = {(gap.stack, gap.component, gap.type, gap.what, gap.why): gap.urn for gap in reversed(gaps)}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("without a figure", "resource", "why"):
        table.add_column(title, overflow="fold")
    for key, count in counted.items():
        stack, component, type_, what, why = key
        name = first[key].split("::", 3)[-1]
        more = f" and {count - 1} more" if count > 1 else ""
        table.add_row(Text(f"{stack}: {component}: {what}"), Text(f"{name} ({type_}){more}"), Text(why))
    return table


def footing(statement: Statement) -> list[Text]:
    """How sure it is, what it rests on, and how it ended: a line each."""
    basis = statement.basis
    shares = ", ".join(
        f"{percent(statement.share(part))} {level.value} ({_count(statement.prices[level], 'price')})"
        for level, part in statement.confidence.items()
    )
    found = [Text(f"confidence: {shares}")]
    if recalled := statement.prices[Confidence.RECALLED]:
        found.append(Text(f"{_count(recalled, 'price')} {'is' if recalled == 1 else 'are'} only recalled", "yellow"))
    if statement.assumed:
        share = percent(statement.share(statement.assumed))
        found.append(Text(f"{share} of it is a list price times an assumed factor (commitments, Spot)"))
    renew = "; docsearch cost refresh renews them" if basis.stale else ""
    found.append(Text(f"prices: {basis.age}{renew}", "bold red" if basis.stale else ""))
    free = _count(len(statement.free), "type")
    found.append(Text(f"usage: {basis.usage}; commitments: {basis.commitments or 'none'}; {free} free of charge"))
    found += (Text(f"budget: {reason}", "bold red") for reason in statement.exceeded)
    found.append(total_line(statement))
    return found


def total_line(statement: Statement) -> Text:
    """The price in one line, which never looks more certain than it is."""
    its = statement.monthly
    said = f"{', '.join(bill.listed.stack for bill in statement.bills)}: {monthly(its)}"
    if statement.basis.commitments:
        said += f", {money(statement.listed.expected)} at list price"
    if statement.doubts:
        return Text(
            f"incomplete: {said}, for what has a figure; {', '.join(statement.doubts)}", _STYLE[Status.INCOMPLETE]
        )
    return Text(f"{statement.status.value}: {said}", _STYLE[statement.status])


def percent(share: Decimal) -> str:
    """`97.3%`."""
    return f"{share * 100:.1f}%"


def monthly(its: Range) -> str:
    """`$40,000 a month ($35,000 to $52,000)`."""
    return f"{money(its.expected)} a month ({money(its.min)} to {money(its.max)})"


DIFFERENCE: Final = ("component", "before", "after", "adds", "least to most")
"""Columns of a difference."""


def difference_rows(its: Difference) -> list[tuple[str, ...]]:
    """What a change does to the month: a row for each component that it touches, and one for the whole stack."""
    before, after = (one.by(lambda line: line.component) for one in (its.before, its.after))
    rows = [
        (name, money(before.get(name, Range()).expected), money(after.get(name, Range()).expected), *_adds(difference))
        for name, difference in its.by_component.items()
        if difference
    ]
    whole = (money(its.before.monthly.expected), money(its.after.monthly.expected), *_adds(its.monthly))
    return [*rows, ("total", *whole)]


def _adds(its: Range) -> tuple[str, str]:
    return plus(its.expected), f"{plus(its.min)} to {plus(its.max)}"


def difference_table(its: Difference) -> RenderableType:
    """What a change does to the month, and what it costs besides."""
    parts: list[RenderableType] = [Text(f"{its.after.stack}: the change", "bold")]
    if its.shifts:
        parts.append(sheet_table(Sheet("", DIFFERENCE, tuple(difference_rows(its)), total=True)))
    parts += (Text(f"{what}: {dollars}: {why}") for what, dollars, why in beside_rows(its))
    parts.append(Text(difference_line(its), "" if its.complete else "yellow"))
    return Lines(*parts)


def difference_line(its: Difference) -> str:
    """The difference in one line, which never looks more certain than it is."""
    adds, bounds = _adds(its.monthly)
    said = (
        f"{its.after.stack}: {money(its.before.monthly.expected)} -> {money(its.after.monthly.expected)} a month, "
        f"{adds} ({bounds})"
    )
    return said if its.complete else f"{said}; incomplete, {_count(len(its.gaps), 'charge')} without a figure"


def beside_rows(its: Difference) -> list[tuple[str, str, str]]:
    """What a change costs besides the month: what is paid once, and what is paid for nothing, with the reason."""
    once = [
        (
            f"replacing {one.urn.split('::', 3)[-1]}",
            f"{money(one.once.expected)} once ({money(one.once.min)} to {money(one.once.max)})",
            f"it {one.why}; both run for a while, {one.assumed}",
        )
        for one in its.replaced
    ]
    return once + [
        (
            f"commitment {one.commitment}{f' for {one.sku}' if one.sku else ''}",
            f"{money(one.monthly)} a month until {one.ends}",
            "it is paid on, and what it covers is no longer there",
        )
        for one in its.stranded
    ]


def sure(its: Difference) -> str:
    """How sure the prices of a stack are, in one line."""
    found = {line.price for line in its.after.lines}
    whole = its.after.monthly.expected
    shares = ", ".join(
        f"{percent(part.expected / whole if whole else whole)} {level.value}"
        for level, part in its.after.confidence.items()
    )
    recalled = sum(price.confidence is Confidence.RECALLED for price in found)
    return f"{its.after.stack}: of the month, {shares}; {_count(recalled, 'price')} only recalled"


def plus(value: Decimal) -> str:
    """A difference of dollars, with its sign."""
    shown = money(value)
    return f"+{shown}" if value > 0 and shown != money(Decimal(0)) else shown


def sheet_table(its: Sheet) -> Table:
    """A table of words and figures."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, title in enumerate(its.titles):
        words = index in its.words
        table.add_column(title, overflow="fold", justify="left" if words else "right", no_wrap=not words)
    for row in its.rows:
        table.add_row(*map(Text, row), style="bold" if its.total and row is its.rows[-1] else "")
    return table


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
