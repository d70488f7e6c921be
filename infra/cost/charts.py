"""Charts as inline SVG: bars with their bounds, and curves on logarithmic axes. Pure: figures in, SVG out.

By hand, as `infra.graph` is: two kinds of chart need 150 lines, and a library's SVG brings colours, styles and often
scripts of its own. What is drawn here takes its colours from the style of the page, dark or light, and needs neither.
Every drawing has a title and a description for those who do not see it; the figures stand in a table beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from math import ceil, floor, log10
from typing import Final

from infra.cost.model import Range

WIDTH: Final = 720
LABEL: Final = 204
"""Width of the column of labels; a longer one is cut, and stands whole in the table."""

VALUE: Final = 84
"""Room to the right of the longest bar for its figure."""

BAR: Final = 18
THIN: Final = 14
"""Height of a bar that stands alone, and of one among those that it is compared with."""

GAP: Final = 10
LEGEND: Final = 28
AXIS: Final = 26
HEIGHT: Final = 340
"""Of a curve."""


@dataclass(frozen=True)
class Bar:
    """One row of a chart.

    Attributes:
        label: What it is.
        parts: A figure for each series, in dollars; None where that series has none.
        bounds: Its least and most; drawn over a stack only.
    """

    label: str
    parts: tuple[Decimal | None, ...]
    bounds: Range | None = None


# XML 1.0, production 2: what is none of these cannot be written, escaped or not. No text is worse for the lack of it.
_NO_TEXT: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def safe(text: str) -> str:
    """Text as HTML and XML hold it."""
    return escape(_NO_TEXT.sub("\ufffd", text))


def money(value: Decimal, places: int = 0) -> str:
    """Dollars for people: `$12,345`, `-$3`."""
    shown = f"{abs(value):,.{places}f}"
    return f"{'-' if value < 0 and shown.strip('0.,') else ''}${shown}"


def short(value: Decimal) -> str:
    """Dollars on an axis: `$20k`, `$2.5M`, `$0.05`."""
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if abs(value) >= unit:
            return f"{'-' if value < 0 else ''}${format((abs(value) / unit).normalize(), 'f')}{name}"
    return f"{'-' if value < 0 else ''}${format(abs(value).normalize(), 'f')}"


def bars(name: str, title: str, about: str, rows: Sequence[Bar], series: Sequence[str], *, stacked: bool) -> str:
    """Horizontal bars.

    Args:
        name: Unique within the page.
        title: What the chart shows.
        about: What is to be seen in it, for those who do not see it.
        rows: From the top down.
        series: What the parts of each row are.
        stacked: Whether the parts add up; otherwise they stand below each other, to be compared.
    """
    thick = 1 if stacked else len(series)
    each = (BAR if stacked else THIN) * thick + GAP
    head = LEGEND if len(series) > 1 else 4
    height = head + len(rows) * each + AXIS
    x = _scale(rows, stacked=stacked)
    drawn = [*_legend(series)] if len(series) > 1 else []
    for tick in _ticks(x.low, x.high):
        at = x(tick)
        drawn.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{head}" y2="{height - AXIS}"/>')
        drawn.append(f'<text class="tick" x="{at}" y="{height - 8}" text-anchor="middle">{short(tick)}</text>')
    for index, row in enumerate(rows):
        top = head + index * each + GAP / 2
        drawn.append(
            f'<text class="label" x="{LABEL - 10}" y="{top + (each - GAP) / 2 + 4:.1f}" text-anchor="end">'
            f"{safe(_cut(row.label))}</text>"
        )
        drawn += _stack(row, top, x) if stacked else _beside(row, top, x)
    return _svg(name, title, about, height, drawn)


@dataclass(frozen=True)
class _Axis:
    """From dollars to places across the drawing."""

    low: Decimal
    high: Decimal

    def __call__(self, value: Decimal) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{LABEL + float(share) * (WIDTH - LABEL - VALUE):.1f}"


def _scale(rows: Iterable[Bar], *, stacked: bool) -> _Axis:
    ends = [Decimal(0)]
    for row in rows:
        parts = [part for part in row.parts if part is not None]
        ends += [sum(parts, start=Decimal(0))] if stacked else parts
        if row.bounds is not None and stacked:
            ends += [row.bounds.min, row.bounds.max]
    low, high = min(ends), max(ends)
    return _Axis(low, high if high > low else low + 1)


def _ticks(low: Decimal, high: Decimal) -> Iterator[Decimal]:
    """Four to eight round figures within the axis."""
    rough = (high - low) / 6
    power = Decimal(10) ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    tick = step * ceil(low / step)
    while tick <= high:
        yield tick
        tick += step


def _stack(row: Bar, top: float, x: _Axis) -> Iterator[str]:
    start = Decimal(0)
    for index, part in enumerate(row.parts):
        if part:
            yield _rect(start, start + part, top, BAR, x, index)
            start += part
    end = start
    if row.bounds is not None and row.bounds.min != row.bounds.max:
        left, right, middle = x(row.bounds.min), x(row.bounds.max), top + BAR / 2
        drawn = f"M{left},{middle - 5:.1f} v10 M{left},{middle:.1f} H{right} M{right},{middle - 5:.1f} v10"
        # Twice: on a bar as dark as the line, only its rim is seen.
        yield f'<path class="rim" d="{drawn}"/><path class="bounds" d="{drawn}"/>'
        end = max(end, row.bounds.max)
    yield _figure(start, end, top + BAR / 2 + 4, x)


def _beside(row: Bar, top: float, x: _Axis) -> Iterator[str]:
    for index, part in enumerate(row.parts):
        if part is not None:
            y = top + index * THIN
            yield _rect(Decimal(0), part, y, THIN - 2, x, index)
            yield _figure(part, max(part, Decimal(0)), y + 10, x)


def _rect(start: Decimal, end: Decimal, top: float, height: int, x: _Axis, index: int) -> str:
    left, right = sorted((float(x(start)), float(x(end))))
    return (
        f'<rect class="s{index % 4}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" '
        f'height="{height}"/>'
    )


def _figure(value: Decimal, end: Decimal, y: float, x: _Axis) -> str:
    return f'<text class="figure" x="{float(x(end)) + 8:.1f}" y="{y:.1f}">{money(value)}</text>'


def _cut(label: str, most: int = 26) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _legend(series: Sequence[str]) -> Iterator[str]:
    x = LABEL
    for index, name in enumerate(series):
        yield f'<rect class="s{index % 4}" x="{x}" y="4" width="12" height="12"/>'
        yield f'<text class="label" x="{x + 18}" y="14">{safe(name)}</text>'
        x += 42 + 7 * len(name)


def curves(
    name: str,
    title: str,
    about: str,
    series: Mapping[str, Sequence[tuple[Decimal, Decimal]]],
    *,
    across: Callable[[Decimal], str],
    below: str,
) -> str:
    """Curves on two logarithmic axes, on which everything that grows evenly is a straight line.

    Args:
        name: Unique within the page.
        title: What the chart shows.
        about: What is to be seen in it, for those who do not see it.
        series: Points of each curve, above zero, from left to right.
        across: How a value of the horizontal axis is written.
        below: What the horizontal axis is.
    """
    points = [point for its in series.values() for point in its]
    xs = sorted({x for x, _ in points})
    left, right, top, bottom = 64.0, WIDTH - 150.0, LEGEND + 8.0, HEIGHT - 44.0
    low, high = min(y for _, y in points) / Decimal("1.6"), max(y for _, y in points) * Decimal("1.6")

    def at(x: Decimal, y: Decimal) -> tuple[float, float]:
        share = log10(x / xs[0]) / log10(xs[-1] / xs[0]) if len(xs) > 1 else 0.5
        return left + share * (right - left), bottom - log10(y / low) / log10(high / low) * (bottom - top)

    drawn = [*_legend(tuple(series))]
    for tick in _decades(low, high):
        _, y = at(xs[0], tick)
        drawn.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text class="tick" x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    for value in xs:
        x, _ = at(value, low)
        drawn.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        drawn.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{safe(across(value))}</text>'
        )
    drawn.append(
        f'<text class="tick" x="{(left + right) / 2:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{safe(below)}</text>'
    )
    for index, its in enumerate(series.values()):
        placed = [at(*point) for point in its]
        path = " L".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        drawn.append(f'<path class="c{index % 4}" d="M{path}"/>')
        drawn += (f'<circle class="s{index % 4}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in placed)
        drawn += (
            f'<text class="figure" x="{x + 8:.1f}" y="{y - 8:.1f}">{money(value, 2)}</text>'
            for (x, y), (_, value) in zip(placed, its, strict=True)
        )
    return _svg(name, title, about, HEIGHT, drawn)


def _decades(low: Decimal, high: Decimal) -> Iterator[Decimal]:
    """1, 2, 5, 10 and so on, as far as they are within the axis; of a long one, powers of ten only."""
    long = log10(high / low) > 3
    for power in range(floor(log10(low)), ceil(log10(high)) + 1):
        for factor in (1,) if long else (1, 2, 5):
            tick = factor * Decimal(10) ** power
            if low <= tick <= high:
                yield tick


def _svg(name: str, title: str, about: str, height: float, drawn: Iterable[str]) -> str:
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
                f'aria-labelledby="{name}-title {name}-about">'
            ),
            f'<title id="{name}-title">{safe(title)}</title>',
            f'<desc id="{name}-about">{safe(about)}</desc>',
            *drawn,
            "</svg>",
        ]
    )
