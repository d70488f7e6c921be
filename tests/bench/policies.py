"""What the policy pack costs: a preview with it against one without, and the rules against ever more resources."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.program import PROJECT
from policies.rule import Resource
from tests.policies.packed import Pack, of_stack, request
from tests.policies.plans import resources

SIZES = (500, 1000, 2000, 5000)

# As people run it: a process that begins with nothing imported. What the command shows takes no part.
_PREVIEW = """
import sys, time
from infra import console
with console.deployment("prod", True, "preview") as subject:
    {"with": subject.judged, "without": subject.preview}[sys.argv[1]]()
"""


def preview(root: Path, runs: int) -> list[dict[str, Any]]:
    """Previews of a region that is not up, with and without the pack in turn, so that both see the same machine."""
    pairs = [(_seconds(root, "without"), _seconds(root, "with")) for _ in range(runs)]
    return [
        {
            "runs": runs,
            "without pack, s": f"{statistics.median(without for without, _ in pairs):.1f}",
            "with pack, s": f"{statistics.median(judged for _, judged in pairs):.1f}",
            "ratio": f"{statistics.median(judged / without for without, judged in pairs):.2f}",
        }
    ]


def _seconds(root: Path, how: str) -> float:
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", _PREVIEW, how],
        cwd=PROJECT,
        env={**os.environ, "DOCSEARCH_HOME": str(root)},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - started


def rules() -> list[dict[str, Any]]:
    """All rules over prod's resources, and over ever more copies of them."""
    pack = Pack()
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        every = copies(size)
        alone = [request(one) for one in every]
        together = [of_stack(one) for one in every]
        started = time.monotonic()
        for one in alone:
            pack.server.Analyze(one, None)
        pack.of_stack(together)
        seconds = time.monotonic() - started
        each = seconds / size * 1e3
        first = float(rows[0]["ms each"]) if rows else each
        rows.append(
            {
                "resources": size,
                "rules, s": f"{seconds:.2f}",
                "ms each": f"{each:.3f}",
                "against linear": f"{each / first:.2f}",
            }
        )
    return rows


def copies(size: int) -> list[Resource]:
    """So many resources: prod's, and copies of them that belong together as those do."""
    found: list[Resource] = []
    every = resources("prod")
    for copy in range(1 + size // len(every)):
        found += [replace(one, urn=_moved(one.urn, copy), links=_links(one.links, copy)) for one in every]
    return found[:size]


def _moved(urn: str, copy: int) -> str:
    return f"{urn}-{copy}" if copy else urn


def _links(links: Mapping[str, Any], copy: int) -> dict[str, tuple[str, ...]]:
    return {path: tuple(_moved(urn, copy) for urn in urns) for path, urns in links.items()}
