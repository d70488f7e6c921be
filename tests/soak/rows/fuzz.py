"""Whatever is sent, in whatever order, the answer is as the description has it, and never a server error.

Schemathesis sends a served process what the description allows and what it does not, operation by operation, then in
sequences along the description's links. Hypothesis goes through the query parser and through every other property of
the API by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import httpx

from tests.app.test_process import ROOT, folder, serving
from tests.soak.model import Scale, Tell, Verdict

PROMISE: Final = (
    "0 answers of 5xx and 0 against the description over >= 1,000 examples per operation and sequences along links; "
    ">= 100,000 examples of each property of the query parser and >= 10,000 of each other one"
)


@dataclass(frozen=True)
class Size:
    """How much is sent.

    Attributes:
        examples: Of each operation, and of sequences.
        parser: Examples of each property of the query parser.
        others: Examples of each other property.
        phases: What Schemathesis does.
    """

    examples: int
    parser: int
    others: int
    phases: str


SIZES: Final = {
    Scale.QUICK: Size(examples=10, parser=100, others=0, phases="fuzzing,stateful"),
    Scale.FULL: Size(examples=1_000, parser=100_000, others=10_000, phases="coverage,fuzzing,stateful"),
}

CONFIG: Final = """
[checks]
# The description says what a request is made of; its bounds, and unknown fields, are a 400 with a reason.
positive_data_acceptance.expected-statuses = ["2XX", "304", "400", "401", "403", "404", "409", "412"]

[[operations]]
include-name = "POST /v1/documents/bulk"
# What is wrong with a line is said in the result of the line.
checks.negative_data_rejection.enabled = false
"""

UNLIMITED: Final = tuple(f"DOCSEARCH_{name}_PER_MINUTE" for name in ("KEY", "TENANT", "FAILURES"))

PARSER: Final = ("tests/app/search/test_parse.py",)
OTHERS: Final = ("tests/app", *(f"--ignore={path}" for path in PARSER))
"""All that there are: a property that is added is not forgotten."""


def run(scale: Scale, seed: int, tell: Tell) -> Verdict:
    """Serves the sample, sends it what nobody would, and goes through the properties."""
    size = SIZES[scale]
    broken: list[str] = []
    figures: dict[str, float | int | str] = {}
    with folder() as home:
        limits = dict.fromkeys(UNLIMITED, "100000000")
        with serving(home, "--sample", **limits) as (process, url, key):
            if not url:
                return Verdict("fuzz", PROMISE, {}, ("the API did not start",), seed)
            tell(f"fuzz: Schemathesis, {size.examples} examples per operation, seed {seed}")
            found, wrong = _schemathesis(url, key, size, seed)
            figures |= found
            broken += wrong
            if process.poll() is not None:
                broken.append(f"the API ended with {process.returncode}")
            elif _own(url, key) is None:
                broken.append("the key was revoked meanwhile: what was sent since shows nothing")
    for name, paths, examples in (("parser", PARSER, size.parser), ("other", OTHERS, size.others)):
        if examples:
            tell(f"fuzz: {examples:,} examples of each {name} property, seed {seed}")
            count, wrong = _properties(paths, examples, seed)
            figures |= {f"{name}_properties": count, f"{name}_examples_per_property": examples}
            broken += wrong
    return Verdict("fuzz", PROMISE, figures, tuple(broken), seed)


def _schemathesis(url: str, key: str, size: Size, seed: int) -> tuple[dict[str, int], list[str]]:
    with tempfile.TemporaryDirectory() as place:
        config, report = Path(place, "schemathesis.toml"), Path(place, "report.json")
        config.write_text(CONFIG, encoding="utf-8")
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{url}openapi.json"),
            *("--header", f"Authorization: Bearer {key}", "--phases", size.phases),
            *("--max-examples", str(size.examples), "--seed", str(seed), "--continue-on-failure", "--no-shrink"),
            *("--suppress-health-check", "all", "--warnings", "off", "--generation-database", "none", "--no-color"),
            *("--report", "json", "--report-json-path", str(report)),
        ]
        hooks = {
            "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("_fuzz_hooks.py")),
            "DOCSEARCH_OWN_KEY": " ".join(_own(url, key) or ()),
        }
        done = subprocess.run(
            command,
            cwd=place,
            env={**os.environ, **hooks, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.exists():
            return {}, [f"Schemathesis made no report: {(done.stdout + done.stderr)[-2000:]}"]
        return _read(json.loads(report.read_text(encoding="utf-8")), done, size.phases)


def _own(url: str, key: str) -> tuple[str, str] | None:
    """By what a key can be revoked: its prefix and its id; None if it opens nothing any more."""
    listed = httpx.get(f"{url}v1/keys", headers={"authorization": f"Bearer {key}"})
    if listed.status_code == 401:
        return None
    (own,) = [one for one in listed.json()["keys"] if one["prefix"] == key.split("_")[1]]
    return own["prefix"], own["key_id"]


def _read(
    report: dict[str, Any], done: subprocess.CompletedProcess[str], phases: str
) -> tuple[dict[str, int], list[str]]:
    cases, operations = report["test_cases"], report["operations"]
    figures = {"operations": operations["tested"], "requests": cases["generated"]}
    wrong = [f"{one['title']}: {', '.join(one['operations'])}" for one in report["failures"]]
    wrong += [f"not sent: {one}"[:600] for one in report["errors"]]
    if operations["tested"] != operations["total"]:
        wrong.append(f"{operations['tested']} of {operations['total']} operations were asked")
    for name, its in report["phases"].items():
        if name in phases.split(",") and its["status"] not in ("success", "failure", "error"):
            wrong.append(f"{name} was not done: {its}")
    if wrong or done.returncode:
        wrong.append(f"Schemathesis ended with {done.returncode}: {done.stdout.partition('= FAILURES =')[2][:20_000]}")
    return figures, wrong


def _properties(paths: Sequence[str], examples: int, seed: int) -> tuple[int, list[str]]:
    """Goes through all properties of some tests, and says how many they are and which do not hold."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place, "report.xml")
        command = [
            *(sys.executable, "-m", "pytest", "-q", f"--hypothesis-seed={seed}"),
            *(f"--junit-xml={report}", *paths),
        ]
        environment = {**os.environ, "DOCSEARCH_EXAMPLES": str(examples)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if not report.exists():
            return 0, [f"pytest made no report: {(done.stdout + done.stderr)[-2000:]}"]
        cases = [*ElementTree.parse(report).getroot().iter("testcase")]
    wrong = [f"{one.get('name')}: {said}" for one in cases if (said := _text(one)) is not None]
    if done.returncode and not wrong:
        wrong.append(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return len(cases), wrong


def _text(case: ElementTree.Element) -> str | None:
    """What is wrong with a case; None if nothing is."""
    found = [one for kind in ("failure", "error") for one in case.iter(kind)]
    return " ".join((one.text or "")[-500:] for one in found) if found else None
