"""`make soak`: the promises of the search API, held to their pass marks in full, against real services.

A row is a module of `tests/soak/rows/`. What a row starts it stops again, whatever happens; one that breaks keeps no
other from being done.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import random
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from infra import report
from tests.soak.model import Row, Scale, Verdict

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ROWS = Path(__file__).with_name("rows")
BROKEN, INTERRUPTED = 1, 130

EXAMPLES = """
examples:
  python -m tests.soak                         every row, in full: hours
  python -m tests.soak --list                  the rows, and what each is held to
  python -m tests.soak kills rolling           two rows
  python -m tests.soak --quick                 every row in the form that make test runs
  python -m tests.soak kills --seed 7 --json   the same schedule again, for a program

exit codes: 0 every promise held, 1 one is broken, 2 the command line is wrong, 130 interrupted
"""


def rows() -> dict[str, Row]:
    """Every row by its name: the modules of the folder that make a promise."""
    found: dict[str, Row] = {}
    for path in sorted(ROWS.glob("[!_]*.py")):
        if not path.stem.startswith("test_"):
            module = importlib.import_module(f"tests.soak.rows.{path.stem}")
            if hasattr(module, "PROMISE"):
                found[path.stem] = module
    return found


def hold(name: str, row: Row, scale: Scale, seed: int) -> Verdict:
    """Does a row. One that cannot be done has not held, and says why."""
    began = time.monotonic()

    def tell(line: str) -> None:
        err.print(f"[dim]{time.monotonic() - began:6.0f} s[/]  {name}: {line.removeprefix(f'{name}: ')}")

    try:
        return row.run(scale, seed, tell)
    except Exception as error:  # noqa: BLE001 # whatever it is, the other rows are done
        err.print(traceback.format_exc(), markup=False)
        return Verdict(name, row.PROMISE, {}, (f"it could not be done: {type(error).__name__}: {error}",), seed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does the rows that are asked for.

    Returns:
        The exit code.
    """
    known = rows()
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("row", nargs="*", help=f"which; by default all: {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="the short form, which judges no time")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of every schedule")
    parser.add_argument("--list", action="store_true", help="say what rows there are, and do none")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    args = parser.parse_args(arguments)
    if unknown := {*args.row} - {*known}:
        parser.error(f"there is no row {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    chosen = {name: row for name, row in known.items() if name in args.row or not args.row}
    if args.list:
        _list(chosen, as_json=args.json)
        return 0
    scale = Scale.QUICK if args.quick else Scale.FULL
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    verdicts: list[Verdict] = []
    interrupted = False
    err.print(f"{scale.value} form of {', '.join(chosen)}; seed {args.seed}")
    try:
        for name, row in chosen.items():
            verdicts.append(hold(name, row, scale, args.seed))
            if not args.json:
                _show(verdicts[-1])
    except KeyboardInterrupt:
        interrupted = True
        err.print(f"interrupted: {len(verdicts)} of {len(chosen)} rows were done")
    if args.json:
        done = [{**asdict(one), "held": one.held} for one in verdicts]
        out.print_json(
            json.dumps({"machine": _machine(), "scale": scale.value, "interrupted": interrupted, "rows": done})
        )
    elif verdicts:
        _sum_up(verdicts, scale)
    if interrupted:
        return INTERRUPTED
    return 0 if all(one.held for one in verdicts) else BROKEN


def _list(known: dict[str, Row], *, as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps({name: row.PROMISE for name, row in known.items()}))
    else:
        out.print(report.rows_table(["row", "held to"], [[name, row.PROMISE] for name, row in known.items()]))


def _show(verdict: Verdict) -> None:
    out.print(f"\n[bold]{verdict.row}[/]  held to: {verdict.promise}")
    table = [[name.replace("_", " "), _figure(value)] for name, value in verdict.figures.items()]
    if table:
        out.print(report.rows_table(["figure", "value"], table))
    for note in verdict.notes:
        out.print(f"note: {note}", markup=False)
    for line in verdict.broken:
        out.print(f"broken: {line}", markup=False)


def _sum_up(verdicts: Sequence[Verdict], scale: Scale) -> None:
    out.print(f"\n[bold]{scale.value} form[/]  {'  '.join(f'{name} {value}' for name, value in _machine().items())}")
    table = [[one.row, "held" if one.held else "BROKEN", str(len(one.broken)), str(one.seed)] for one in verdicts]
    out.print(report.rows_table(["row", "", "findings", "seed"], table))


def _figure(value: float | int | str) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value


def _machine() -> dict[str, str]:
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cores": str(os.cpu_count()),
        "load average": " ".join(f"{one:.1f}" for one in os.getloadavg()),
        "Python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
