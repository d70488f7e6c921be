"""What an estimate costs: prod's resources and ever more copies of them, against the preview that makes the plan."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any

from infra.cost import prices, usage
from infra.cost.estimate import estimate
from infra.plan import Change, Plan
from tests.regions import plan

SIZES = (500, 1000, 2000, 5000)
RUNS = 5


def estimates(preview_ms: float | None = None) -> list[dict[str, Any]]:
    """Estimates of ever more resources.

    Args:
        preview_ms: What a preview took for one resource, in ms, on the same machine; without it there is no ratio.
    """
    snapshot, figures = prices.load(), usage.load()
    rows: list[dict[str, Any]] = []
    first = 0.0
    for size in SIZES:
        subject = copies(size)
        seconds = []
        for _ in range(RUNS):
            started = time.monotonic()
            found = estimate(subject, snapshot, figures)
            seconds.append(time.monotonic() - started)
        each = statistics.median(seconds) / size * 1e3
        first = first or each
        row = {
            "resources": size,
            "lines": len(found.lines),
            "gaps": len(found.unpriced) + len(found.unknown),
            "estimate, s": f"{statistics.median(seconds):.3f}",
            "ms each": f"{each:.4f}",
            "against linear": f"{each / first:.2f}",
        }
        if preview_ms is not None:
            row["of the preview"] = f"{each / preview_ms:.2%}"
        rows.append(row)
    return rows


def copies(size: int) -> Plan:
    """So many resources: prod's, and copies of them that belong together as those do."""
    every = plan("prod")
    found: list[Change] = []
    for copy in range(1 + size // len(every.changes)):
        found += [_copied(change, copy) for change in every.changes]
    return replace(every, changes=tuple(found[:size]))


def _copied(change: Change, copy: int) -> Change:
    """A resource under another stack of components: what belongs to it does so by parent and name."""
    if not copy:
        return change
    return replace(change, urn=_moved(change.urn, copy), parent=_moved(change.parent, copy))


def _moved(urn: str, copy: int) -> str:
    return urn.replace("pulumi:pulumi:Stack$", f"pulumi:pulumi:Stack$docsearch:copy:Copy{copy}$")
