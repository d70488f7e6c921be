"""What stands beside the price: the requirement's own bill, the levers, and what it costs at other sizes.

Each is one section: a chart, what to read in it, and its figures. The page shows all of it, the terminal all but the
chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from infra.cost.charts import Bar, bars, curves, money
from infra.cost.model import total

if TYPE_CHECKING:
    from infra.cost.curve import Curve, Point
    from infra.cost.levers import Lever
    from infra.cost.relief import Verdict
    from infra.cost.requirement import Row
    from infra.cost.statement import Statement
    from infra.cost.workloads import Attribution


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        about: What it lists.
        titles: Of the columns.
        rows: Cells, as text.
        words: The columns that are words; the others are figures.
        total: Whether the last row is the sum of the others.
    """

    about: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[int, ...] = (0,)
    total: bool = False


@dataclass(frozen=True)
class Section:
    """A chart, what to read in it, and its figures.

    Attributes:
        title: Its title.
        text: What is to be seen in it.
        chart: The SVG.
        sheet: The figures.
    """

    title: str
    text: str
    chart: str
    sheet: Sheet


def sections_of(statement: Statement) -> tuple[Section, ...]:
    """What was asked for besides the price."""
    found = []
    if statement.requirement is not None and statement.verdict is not None:
        found.append(requirement_section(statement.requirement, statement.verdict))
        if statement.verdict.alone:
            found.append(demands_section(statement.verdict))
    if statement.levers is not None:
        found.append(levers_section(statement.levers))
    if statement.curve is not None:
        found.append(curve_section(statement.curve))
    if statement.workloads is not None:
        found.append(workloads_section(statement.workloads))
    return tuple(found)


def requirement_section(rows: Sequence[Row], verdict: Verdict) -> Section:
    """The requirement's own bill beside ours; its lines are together the whole of ours."""
    listed, primary, committed = (
        total(its) for its in zip(*((row.listed, row.primary, row.committed) for row in rows), strict=True)
    )
    asked = _sum(row.asked for row in rows)
    text = (
        f"{verdict.text} At list price they cost {money(listed.expected)}, and the primary region alone "
        f"{money(primary.expected)}. The requirement's own lines add up to {money(asked)}."
    )
    sheet = Sheet(
        "Dollars in an expected month",
        (
            *("the requirement's line", "its instances", "its figure", "the same at list price"),
            *("ours, one region, list", "ours, list", "ours, committed", "why ours differ"),
        ),
        (
            *(
                (
                    row.component,
                    row.instances,
                    _or_none(row.asked),
                    _or_none(row.asked_at_list),
                    money(row.primary.expected),
                    money(row.listed.expected),
                    money(row.committed.expected),
                    row.why,
                )
                for row in rows
            ),
            (
                *("total", "", money(asked), money(_sum(row.asked_at_list for row in rows))),
                *(money(primary.expected), money(listed.expected), money(committed.expected), ""),
            ),
        ),
        words=(0, 1, 7),
        total=True,
    )
    drawn = [Bar(row.component, (row.asked, row.listed.expected, row.committed.expected)) for row in rows]
    series = ("the requirement", "ours, list", "ours, committed")
    title = "The requirement's bill beside ours"
    return Section(title, text, bars("requirement", title, text, drawn, series, stacked=False), sheet)


def demands_section(verdict: Verdict) -> Section:
    """What each demand costs that keeps the service above what the requirement says that it costs."""
    title = "What keeps it above the requirement's figure"
    text = (
        "What a month would cost less without each demand, everything else as it is planned, and what would be left. "
        "That one costs much does not say that it should go."
    )
    sheet = Sheet(
        "Dollars in an expected month, with commitments",
        ("without", "instead", "costs", "left without it"),
        tuple((str(step.demand), step.demand.instead, money(step.saves), money(step.left)) for step in verdict.alone),
        words=(0, 1),
    )
    drawn = [Bar(step.demand.asked, (step.saves,)) for step in verdict.alone]
    return Section(title, text, bars("demands", title, text, drawn, ("costs",), stacked=False), sheet)


def levers_section(levers: Sequence[Lever]) -> Section:
    """What each way to save is worth."""
    text = (
        "What a month costs with and without each of the requirement's ways to save (section 8), everything else as it "
        "is planned. A way that is not counted is one that our total does not rely on."
    )
    rows = tuple(
        (
            one.way.name,
            "yes" if one.way.counted else "no",
            money(one.used.expected),
            money(one.unused.expected),
            money(one.saves.expected),
            f"{one.share * 100:.0f}% of {money(one.of.expected)}",
            one.way.claimed,
            one.about,
        )
        for one in levers
    )
    titles = ("way to save", "counted", "with", "without", "saves", "which is", "the requirement says", "what differs")
    sheet = Sheet("Dollars in an expected month, all regions", titles, rows, words=(0, 1, 6, 7))
    drawn = [Bar(one.way.name, (one.saves.expected,), one.saves) for one in levers]
    title = "What each way to save is worth"
    return Section(title, text, bars("levers", title, text, drawn, ("saves",), stacked=True), sheet)


def workloads_section(found: Mapping[str, Attribution]) -> Section:
    """Where the nodes of each stack go: what each workload requests of them, and what nobody requests."""
    rows: list[tuple[str, ...]] = []
    dollars: dict[str, dict[str, Decimal]] = {}
    for stack, its in found.items():
        for one in its.workloads:
            figures = (one.replicas, one.cpu, one.memory_gib)
            rows.append(
                (
                    *(f"{one.namespace}/{one.name}", stack, one.pool, *(_figure(each.expected) for each in figures)),
                    *(money(one.monthly.min), money(one.monthly.expected), money(one.monthly.max)),
                )
            )
            dollars.setdefault(one.name, {})[stack] = one.monthly.expected
        for pool, idle in its.idle.items():
            rows.append(("idle", stack, pool, "", "", "", money(idle.min), money(idle.expected), money(idle.max)))
            own = dollars.setdefault("idle", {})
            own[stack] = own.get(stack, Decimal(0)) + idle.expected
        rows += ((urn.split("::", 3)[-1], stack, f"nowhere: {why}", *[""] * 6) for urn, why in its.unplaced)
    whole = total(its.monthly for its in found.values())
    rows.append(("total", "", "", "", "", "", money(whole.min), money(whole.expected), money(whole.max)))
    text = (
        "What the nodes of the clusters cost, by who requests them; it is in the total already. A workload has as much "
        "of its nodes as it requests of what is scarcer there, CPU or memory; what nobody requests is idle."
    )
    titles = ("workload", "stack", "nodes", "pods", "CPUs", "GiB", "min", "expected", "max")
    sheet = Sheet("Dollars in a month, with commitments", titles, tuple(rows), words=(0, 1, 2), total=True)
    drawn = [Bar(name, tuple(its.get(stack) for stack in found)) for name, its in dollars.items()]
    drawn.sort(key=lambda bar: -sum(part for part in bar.parts if part is not None))
    title = "Where the nodes go"
    return Section(title, text, bars("workloads", title, text, drawn, tuple(found), stacked=True), sheet)


def _figure(value: Decimal) -> str:
    return f"{value:,.1f}".removesuffix(".0")


SEARCHES, DOCUMENTS = "per million searches", "per million documents"


def curve_section(its: Curve) -> Section:
    """What a search and a document cost as the service grows."""
    growth = "; ".join(f"from {one.before}x to {one.after}x it grows {_words(one.word)}" for one in its.growth)
    parts = [
        f"{row} ({' and '.join(dict.fromkeys(one.word for one in growths))})"
        for row, growths in its.by_part.items()
        if any(one.word != "sub-linear" for one in growths) and any(point.parts[row] for point in its.points)
    ]
    text = (
        f"Dollars of a month for each million searches and each million documents, at {_scales(its.points)} times the "
        f"smallest size. The whole: {growth}. Where a curve falls, growing is cheaper than linear. "
        f"What does not simply grow less than its size: {', '.join(parts) or 'nothing'}."
    )
    names = list(its.points[0].parts)
    sheet = Sheet(
        "Dollars in an expected month, with commitments",
        ("", *(f"{point.scale}x" for point in its.points)),
        (
            ("documents", *(f"{point.documents:,}" for point in its.points)),
            ("searches a second", *(f"{point.searches_per_second:,}" for point in its.points)),
            (SEARCHES, *(money(point.per_million_searches, 2) for point in its.points)),
            (DOCUMENTS, *(money(point.per_million_documents, 2) for point in its.points)),
            *((name, *(money(point.parts[name]) for point in its.points)) for name in names),
            ("total", *(money(point.monthly.expected) for point in its.points)),
        ),
        total=True,
    )
    series = {
        SEARCHES: [(Decimal(point.scale), point.per_million_searches) for point in its.points],
        DOCUMENTS: [(Decimal(point.scale), point.per_million_documents) for point in its.points],
    }
    title = "What it costs at 1, 10 and 100 times the size"
    chart = curves("curve", title, text, series, across=lambda scale: f"{scale:f}x", below="times the smallest size")
    return Section(title, text, chart, sheet)


_GROWS: Final = {"fixed": "hardly at all", "linear": "linearly", "more than linear": "more than linearly"}


def _words(word: str) -> str:
    return _GROWS.get(word, "less than linearly")


def _scales(points: Sequence[Point]) -> str:
    return ", ".join(str(point.scale) for point in points)


def _sum(values: Iterable[Decimal | None]) -> Decimal:
    return sum((value for value in values if value is not None), start=Decimal(0))


def _or_none(value: Decimal | None) -> str:
    return "-" if value is None else money(value)
