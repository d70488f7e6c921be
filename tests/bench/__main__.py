"""`make bench`: the platform against the engine's floor, and the search API against OpenSearch's. It judges nothing.

Each table is shown as soon as it is measured. Nothing is written into the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from infra import report
from tests.bench import api, region

# Into a file, a table is as wide as it needs to be.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True)

PARTS = ("platform", "indexing", "singles", "misses", "searches", "curve")

EXAMPLES = """
examples:
  python -m tests.bench                                        everything
  python -m tests.bench --parts platform                       what docsearch costs on top of the engine
  python -m tests.bench --parts searches --rates 1000,1500     searches alone, at two rates
  python -m tests.bench --parts misses,searches --documents 1000000 --rates 200,500
  python -m tests.bench --parts misses,searches --documents 10000000 --straight --rates 10,25 --seconds 120
  python -m tests.bench --parts misses --seed 7 --json         the same again, for a program
"""


def main() -> None:
    """Run the benchmarks that are asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--parts", type=_words, default=[*PARTS], help=f"by commas: {', '.join(PARTS)}; by default all")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the API's load")
    group = parser.add_argument_group("platform")
    group.add_argument("--runs", type=int, default=1, help="how often the region and the floor take turns")
    group.add_argument("--regions", type=int, default=8, help="growth: up to this many regions (0 skips)")
    group.add_argument("--resources", default="200,400,600,1000", help="growth: floor stacks of these sizes")
    group = parser.add_argument_group("search API")
    group.add_argument("--documents", type=int, default=20_000, help="documents of the tenant (20000)")
    group.add_argument("--singles", type=int, default=4_000, help="documents that are written one by one (4000)")
    group.add_argument("--queries", type=int, default=400, help="misses that are asked one after the other (400)")
    group.add_argument("--rates", type=_numbers, default=[250, 500, 1000, 1500], help="searches/s (250,500,1000,1500)")
    group.add_argument("--seconds", type=float, default=15.0, help="of each run of searches (15)")
    group.add_argument("--zipf", type=_numbers, default=[0.6, 0.8, 1.0, 1.2, 1.4], help="exponents (0.6,...,1.4)")
    group.add_argument(
        "--straight",
        action="store_true",
        help="put the documents straight into the index by _bulk, past the API: sooner, for searches alone",
    )
    args = parser.parse_args()
    # Whoever ends it leaves no service and no index behind, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.straight and {"indexing", "singles"} & {*args.parts}:
        parser.error("--straight writes past the API: there is nothing to measure of indexing and singles")
    if unknown := {*args.parts} - {*PARTS}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    results: dict[str, list[dict[str, Any]]] = {}

    def show(title: str, rows: list[dict[str, Any]]) -> None:
        """Each as soon as it is measured: a long run that is broken off has shown something."""
        results[title] = rows
        if not args.json:
            titles = list(dict.fromkeys(name for row in rows for name in row))
            out.print(f"\n[bold]{title}[/]")
            out.print(report.rows_table(titles, [[str(row.get(name, "")) for name in titles] for row in rows]))

    show("machine", [_machine(args.seed)])
    if "platform" in args.parts:
        region.run(args.runs, args.regions, [int(size) for size in _numbers(args.resources)], show)
    if parts := {*args.parts} - {"platform"}:
        sizes = api.Sizes(
            documents=args.documents,
            rates=args.rates,
            seconds=args.seconds,
            exponents=args.zipf,
            singles=args.singles,
            queries=args.queries,
            seed=args.seed,
            straight=args.straight,
        )
        api.run(parts, sizes, show, err.print)
        show("machine, afterwards", [_machine(args.seed)])
    if args.json:
        out.print_json(json.dumps(results))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[float]:
    return [float(word) for word in _words(text)]


def _machine(seed: int) -> dict[str, Any]:
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cores": os.cpu_count(),
        "load average": " ".join(f"{one:.1f}" for one in os.getloadavg()),
        "Python": platform.python_version(),
        "seed": seed,
    }


if __name__ == "__main__":
    main()
