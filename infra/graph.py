"""A region as a picture: its components, what they hold, and who needs whom. Pure: state in, SVG out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any, Final

from infra.report import STACK_TYPE

BOX: Final = (210, 96)
GAP: Final = (36, 64)
MARGIN: Final = 40
FONT: Final = 'font-family="system-ui, sans-serif" font-size="12"'
LINES: Final = 4
"""Kinds of resource named in a box; the rest is counted."""


@dataclass(frozen=True)
class Node:
    """One component.

    Attributes:
        name: Its logical name.
        kinds: How many resources of each type, the most frequent first.
        needs: Names of the components that it needs directly.
    """

    name: str
    kinds: tuple[tuple[str, int], ...]
    needs: frozenset[str]


def nodes(resources: Iterable[Mapping[str, Any]]) -> list[Node]:
    """The components of a stack, from the resources of its state."""
    by_urn = {resource["urn"]: resource for resource in resources}
    owner = {urn: _owner(urn, by_urn) for urn in by_urn}
    kinds: dict[str, Counter[str]] = {}
    needs: dict[str, set[str]] = {}
    for urn, resource in by_urn.items():
        name = owner[urn]
        if not name:
            continue
        if not resource["type"].startswith("docsearch:"):
            kinds.setdefault(name, Counter())[resource["type"].split(":")[-1]] += 1
        for needed in resource.get("dependencies") or ():
            if owner.get(needed) not in ("", None, name):
                needs.setdefault(name, set()).add(owner[needed])
    reduced = _reduced({name: needs.get(name, set()) & kinds.keys() for name in kinds})
    # The engine registers in another order each time; the same region makes the same picture.
    return [
        Node(name, tuple(sorted(counted.items(), key=lambda kind: (-kind[1], kind[0]))), frozenset(reduced[name]))
        for name, counted in sorted(kinds.items())
    ]


def _owner(urn: str, by_urn: Mapping[str, Mapping[str, Any]]) -> str:
    """The top-level component that a resource belongs to; empty for providers and the stack itself."""
    resource = by_urn[urn]
    parent = by_urn.get(resource.get("parent") or "")
    if parent is None or parent["type"] == STACK_TYPE:
        return urn.split("::", 3)[-1] if resource["type"].startswith("docsearch:") else ""
    return _owner(parent["urn"], by_urn)


def _reduced(needs: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that longer ways already say.

    Resources never need each other in a circle, but components can, by resources of theirs: of such a circle, the arrow
    that closes it is left out.
    """
    below: dict[str, set[str]] = {}
    open_: set[str] = set()
    direct: dict[str, set[str]] = {}

    def reachable(name: str) -> set[str]:
        if name not in below:
            open_.add(name)
            direct[name] = {other for other in sorted(needs[name]) if other not in open_}
            below[name] = direct[name].union(*map(reachable, sorted(direct[name])))
            open_.remove(name)
        return below[name]

    for name in sorted(needs):
        reachable(name)
    return {
        name: {other for other in found if not any(other in below[third] for third in found - {other})}
        for name, found in direct.items()
    }


def layers(found: Sequence[Node]) -> list[list[Node]]:
    """Components in rows: each below everything that it needs."""
    by_name = {node.name: node for node in found}

    @cache
    def depth(name: str) -> int:
        return 1 + max((depth(other) for other in by_name[name].needs), default=-1)

    rows: dict[int, list[Node]] = {}
    for node in found:
        rows.setdefault(depth(node.name), []).append(node)
    return [rows[index] for index in sorted(rows)]


def svg(title: str, resources: Iterable[Mapping[str, Any]]) -> str:
    """Draw a region.

    Args:
        title: What stands above it.
        resources: The `resources` of the stack's state.
    """
    rows = layers(nodes(resources))
    widest = max((len(row) for row in rows), default=1)
    width = 2 * MARGIN + widest * BOX[0] + (widest - 1) * GAP[0]
    height = 2 * MARGIN + 40 + len(rows) * BOX[1] + max(0, len(rows) - 1) * GAP[1]
    at: dict[str, tuple[float, float]] = {}
    for index, row in enumerate(rows):
        start = (width - len(row) * BOX[0] - (len(row) - 1) * GAP[0]) / 2
        for place, node in enumerate(row):
            at[node.name] = start + place * (BOX[0] + GAP[0]), MARGIN + 40 + index * (BOX[1] + GAP[1])
    drawn = [_arrow(at[other], at[node.name]) for row in rows for node in row for other in sorted(node.needs)]
    drawn += [_box(node, at[node.name]) for row in rows for node in row]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {FONT}>',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            f'<text x="{MARGIN}" y="{MARGIN}" font-size="18" font-weight="600" fill="#1f2937">{escape(title)}</text>',
            *drawn,
            "</svg>",
            "",
        ]
    )


def _arrow(above: tuple[float, float], below: tuple[float, float]) -> str:
    x1, y1 = above[0] + BOX[0] / 2, above[1] + BOX[1]
    x2, y2 = below[0] + BOX[0] / 2, below[1]
    bend = (y2 - y1) / 2
    return (
        f'<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{y1 + bend:.0f} {x2:.0f},{y2 - bend:.0f} {x2:.0f},{y2:.0f}" '
        'fill="none" stroke="#94a3b8" stroke-width="1.5"/>'
        f'<circle cx="{x2:.0f}" cy="{y2:.0f}" r="3" fill="#94a3b8"/>'
    )


def _box(node: Node, at: tuple[float, float]) -> str:
    x, y = at
    shown = [f"{count} {kind}" for kind, count in node.kinds[:LINES]]
    rest = sum(count for _, count in node.kinds[LINES:])
    if rest:
        shown[-1] += f"  + {rest} more"
    lines = "".join(
        f'<text x="{x + 12:.0f}" y="{y + 42 + 14 * index:.0f}" fill="#475569">{escape(line)}</text>'
        for index, line in enumerate(shown)
    )
    total = sum(count for _, count in node.kinds)
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="8" fill="#f1f5f9" stroke="#64748b"/>'
        f'<text x="{x + 12:.0f}" y="{y + 22:.0f}" font-size="14" font-weight="600" fill="#0f172a">'
        f"{escape(node.name)}</text>"
        f'<text x="{x + BOX[0] - 12:.0f}" y="{y + 22:.0f}" text-anchor="end" fill="#64748b">{total}</text>{lines}'
    )
