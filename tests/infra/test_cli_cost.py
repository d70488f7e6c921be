"""The commands that say what it costs: what they show, what they refuse, how they exit."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from components.errors import ConfigError, DocsearchError
from infra import base as bases
from infra import check as checks
from infra import cli_cost, clouds, console
from infra.clouds import Cloud
from infra.cost import prices, refresh
from infra.cost.model import Price
from infra.cost.rates import Rates
from infra.cost.refresh import Kept, Renewal, Renewed
from infra.deploy import Judged
from infra.plan import Plan
from infra.program import PROJECT
from tests import regions
from tests.infra.command import Deployments, document, plan_of, run

SCHEMA = json.loads((PROJECT / "docs" / "schemas" / "cost.json").read_text(encoding="utf-8"))
SNAPSHOT = prices.load()
BESIDE = ("--against-requirement", "--levers", "--curve", "--workloads")


@pytest.fixture(autouse=True)
def day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day of the snapshot: prices are never older than what these tests say."""
    on(monkeypatch, SNAPSHOT.day)


def on(monkeypatch: pytest.MonkeyPatch, today: date) -> None:
    monkeypatch.setattr(cli_cost, "today", lambda: today)


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> Deployments:
    """Stacks of one topic each."""
    found = Deployments()
    monkeypatch.setattr(console, "deployment", found)
    return found


class Regions:
    """Both regions as they are planned, without an engine."""

    def preview(self) -> Plan:
        return self.its

    def __init__(self, its: Plan) -> None:
        self.its = its


@cache
def planned(stack: str) -> Plan:
    return regions.plan(stack)


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of everything that the stack files plan."""

    @contextmanager
    def deployment(stack: str, *given: Any, **more: Any) -> Iterator[Regions]:
        yield Regions(planned(stack))

    monkeypatch.setattr(console, "deployment", deployment)


# What it costs


def test_a_region_is_priced_by_component_with_its_total(whole: None) -> None:
    result = run("cost", "prod", "--local")
    assert result.exit_code == 0, result.output
    rows = [line.split("  ")[0] for line in result.stdout.splitlines()]
    assert {"opensearch", "database", "cluster", "cache", "total per month"} <= set(rows)
    assert re.search(r"^confidence: [\d.]+% source-exact", result.stdout, re.MULTILINE)
    assert f"list prices of {SNAPSHOT.day}, 0 days old" in result.stdout
    assert re.search(r"^ok: prod: \$\d\d,\d{3} a month \(\$", result.stdout.splitlines()[-1])


def test_nothing_of_either_region_is_without_a_price_and_the_document_is_as_its_schema_says(whole: None) -> None:
    found = document(run("cost", "--all", "--local", "--json", *BESIDE))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    assert (found["status"], found["unpriced"], found["unknown"]) == ("ok", [], [])
    assert [one["stack"] for one in found["stacks"]] == ["prod", "dr"]
    for case in ("min", "expected", "max"):
        whole_ = Decimal(found["monthly"][case])
        assert sum(Decimal(one[case]) for one in found["components"].values()) == whole_
        assert sum(Decimal(one["committed"][case]) for one in found["requirement"]) == whole_
    assert all(line["source"] for line in found["lines"])
    assert len(found["levers"]) >= 5
    assert [point["scale"] for point in found["curve"]["points"]] == [1, 10, 100]
    assert [one["unplaced"] for one in found["workloads"]] == [[], []]


def test_the_total_that_is_printed_is_that_of_the_document(whole: None) -> None:
    its = Decimal(document(run("cost", "prod", "--local", "--json"))["monthly"]["expected"])
    (total,) = [line for line in run("cost", "prod", "--local").stdout.splitlines() if line.startswith("total")]
    assert f"${its:,.2f}" in total.split()


def test_list_prices_are_those_without_commitments(whole: None) -> None:
    committed = document(run("cost", "prod", "--json"))
    listed = json.loads(run("cost", "prod", "--json", "--commitments", "none").stdout)
    assert listed["monthly"] == listed["list"] == committed["list"]
    assert (listed["commitments"], committed["commitments"]) == ("", "stacks/commitments.yaml")
    assert Decimal(committed["monthly"]["expected"]) < Decimal(committed["list"]["expected"])


@pytest.mark.parametrize("by", ["component", "service", "resource", "tag=component", "tag=owner"])
def test_every_grouping_has_the_same_total(whole: None, by: str) -> None:
    found = document(run("cost", "prod", "--json", "--by", by))
    assert found["groups"]["by"] == by
    rows = found["groups"]["rows"]
    assert sum(Decimal(row["monthly"]["max"]) for row in rows) == Decimal(found["monthly"]["max"])


def test_the_csv_has_one_row_for_each_line(whole: None) -> None:
    result = run("cost", "prod", "--csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    found = document(run("cost", "prod", "--json"))
    assert len(rows) == len(found["lines"]) > 100
    assert sum(Decimal(row["monthly_expected"]) for row in rows) == Decimal(found["monthly"]["expected"])


def test_the_page_is_written_where_it_was_asked_for(whole: None, tmp_path: Path) -> None:
    file = tmp_path / "cost.html"
    result = run("cost", "--all", "--local", *BESIDE, "--format", "html", "--out", str(file))
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}svg"))) == 8
    assert f"wrote {file}" in result.stderr.replace("\n", "")


def test_the_table_can_be_written_to_a_file(stacks: Deployments, tmp_path: Path) -> None:
    file = tmp_path / "cost.txt"
    assert run("cost", "prod", "--out", str(file)).exit_code == 0
    assert file.read_text().splitlines()[-1].startswith("ok: prod: $")


def test_the_requirement_levers_and_curve_are_shown_on_request(whole: None) -> None:
    shown = run("cost", "--all", "--local", *BESIDE).stdout
    assert re.search(r"^Elasticsearch .*\$16,000 ", shown, re.MULTILINE)
    assert "above the $25,000 to $40,000 of the requirement" in shown
    assert "One demand alone makes it impossible: " in shown
    assert re.search(r"^per million searches +\$[\d.]+ +\$[\d.]+ +\$[\d.]+$", shown, re.MULTILINE)
    assert "way to save" in shown
    assert re.search(r"^docsearch/search +prod +docsearch/pool=general +21 ", shown, re.MULTILINE)
    plain = run("cost", "--all", "--local").stdout
    assert not {"Elasticsearch", "way to save", "per million searches", "docsearch/search"} & set(
        re.split(r"  +|\n", plain)
    )


# Budgets and doubts


def test_over_a_budget_it_exits_with_11_and_shows_by_how_much(whole: None) -> None:
    result = run("cost", "prod", "--budget", "1000 USD")
    assert result.exit_code == 11
    assert result.stdout.splitlines()[-1].startswith("over budget: prod: $")
    assert re.search(r"error: together: the month is \$[\d,.]+, \$[\d,.]+ over its limit of \$1,000.00", result.stderr)
    assert json.loads(run("cost", "prod", "--budget", "1000 USD", "--json").stdout)["exit_code"] == 11
    assert run("cost", "prod", "--budget", "9999999 USD").exit_code == 0


@pytest.mark.parametrize("amount", ["1000", "1000 EUR", "much", "-5 USD", "1,000 USD", ""])
def test_an_amount_that_is_none_is_refused_before_the_engine_starts(stacks: Deployments, amount: str) -> None:
    result = run("cost", "prod", f"--budget={amount}")
    assert (result.exit_code, result.stdout, stacks.done) == (2, "", [])
    assert "remedy:" in result.stderr


def test_stale_prices_make_it_incomplete_and_the_limit_can_be_raised(
    stacks: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, date.fromordinal(SNAPSHOT.day.toordinal() + 91))
    result = run("cost", "prod", "--budget", "1 USD")
    assert result.exit_code == 12
    assert "91 days old, which is stale (limit 90); docsearch cost refresh renews them" in result.stdout
    assert "remedy: docsearch cost refresh" in result.stderr
    assert run("cost", "prod", "--max-age", "91").exit_code == 0
    assert run("cost", "prod", "--max-age", "-1").exit_code == 2


def test_what_has_no_price_is_named_and_exits_with_12(stacks: Deployments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.infra.command.TOPIC", "aws:quantum/computer:Computer")
    result = run("cost", "prod")
    assert result.exit_code == 12
    assert "alarms (aws:quantum/computer:Computer)" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("incomplete: prod: $0 a month")
    found = json.loads(run("cost", "prod", "--json").stdout)
    assert [one["type"] for one in found["unpriced"]] == ["aws:quantum/computer:Computer"]
    assert (found["status"], found["exit_code"]) == ("incomplete", 12)


# Bad input


def test_a_grouping_that_there_is_not_is_refused_before_the_engine_starts(stacks: Deployments) -> None:
    result = run("cost", "prod", "--by", "colour")
    assert (result.exit_code, result.stdout, stacks.done) == (2, "", [])
    assert "--by colour: there is no such grouping" in result.stderr
    assert "component, service, resource, tag=KEY" in result.stderr


@pytest.mark.parametrize("option", ["--usage", "--commitments", "--snapshot"])
@pytest.mark.parametrize("text", [None, "", "- [", "searches: -1\n", "{}x"])
def test_a_file_that_is_missing_or_malformed_is_refused_before_the_engine_starts(
    stacks: Deployments, tmp_path: Path, option: str, text: str | None
) -> None:
    file = tmp_path / "file.yaml"
    if text is not None:
        file.write_text(text)
    result = run("cost", "prod", option, str(file))
    assert (result.exit_code, result.stdout, stacks.done) == (2, "", [])
    assert "file.yaml" in result.stderr


def test_no_stack_at_all_is_refused(stacks: Deployments) -> None:
    assert run("cost").exit_code == 2
    assert stacks.done == []


@pytest.mark.parametrize("line", [("--json", "--csv"), ("--csv", "--format", "html"), ("--json", "--format", "csv")])
def test_two_formats_exclude_each_other(stacks: Deployments, line: tuple[str, ...]) -> None:
    result = run("cost", "prod", *line)
    assert (result.exit_code, stacks.done) == (2, [])
    assert "exclude each other" in result.stderr


def test_a_format_may_be_said_twice(stacks: Deployments) -> None:
    assert document(run("cost", "prod", "--json", "--format", "json"))["currency"] == "USD"


@pytest.mark.parametrize("line", [("--out", "/no/such/folder/x"), ("--format", "pdf"), ("--max-age", "soon")])
def test_what_cannot_be_is_refused_before_the_engine_starts(stacks: Deployments, line: tuple[str, str]) -> None:
    assert run("cost", "prod", *line).exit_code == 2
    assert stacks.done == []


# Against a base


@pytest.fixture
def based(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A base on which everything of a plan is there already, but for what a test adds."""
    seen: dict[str, Any] = {"plan": plan_of("prod")}

    @contextmanager
    def running(commit: str, **given: Any) -> Iterator[Path]:
        seen["commit"] = commit
        yield tmp_path

    def looked_at(name: str, cloud: Cloud, opened: Any) -> Any:
        return Judged(seen["plan"], ()), ()

    monkeypatch.setattr(bases, "running", running)
    monkeypatch.setattr(bases, "commit", lambda ref: ref * 40)
    monkeypatch.setattr(checks, "looked_at", looked_at)
    monkeypatch.setattr(clouds, "local", lambda account, **given: Cloud("local", tmp_path))
    return seen


def test_with_a_base_the_difference_is_shown_and_is_that_of_the_totals(based: dict[str, Any]) -> None:
    based["plan"] = planned("prod")
    result = run("cost", "prod", "--base", "d", "--json", "--budget", "9999999 USD")
    found = document(result)
    (stack,) = found["stacks"]
    assert (based["commit"], found["base"]) == ("d" * 40, "d" * 40)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    # All of it is new.
    assert stack["difference"]["before"] == {"min": "0", "expected": "0", "max": "0"}
    assert stack["difference"]["monthly"] == stack["monthly"] == found["monthly"]
    result = run("cost", "prod", "--base", "d")
    assert result.exit_code == 11
    assert "error: prod: the increase is $" in result.stderr
    shown = result.stdout
    assert "prod: the change" in shown
    assert re.search(r"^prod: \$0 -> \$[\d,]+ a month, \+\$", shown, re.MULTILINE)


def test_what_stays_the_same_adds_nothing(based: dict[str, Any]) -> None:
    based["plan"] = plan_of("prod", "same")
    found = document(run("cost", "prod", "--base", "d", "--json"))
    assert found["stacks"][0]["difference"]["monthly"] == {"min": "0", "expected": "0", "max": "0"}
    assert found["stacks"][0]["difference"]["changes"] == []


# Where stacks come up


def test_up_ends_with_the_price_of_all_that_it_brought_up(stacks: Deployments) -> None:
    result = run("up", "--all", "--local", "--yes")
    assert result.exit_code == 0
    price = result.stdout.partition("price of a month\n")[2].splitlines()
    assert price[0].split()[0] == "component"
    assert any(line.startswith("total per month") for line in price)
    assert "prod, dr: $" in price[-1]
    documents = document(run("up", "--all", "--yes", "--json"))
    assert {name: one["price"]["currency"] for name, one in documents.items()} == {"prod": "USD", "dr": "USD"}


def test_a_price_that_cannot_be_said_keeps_nothing_from_coming_up(
    stacks: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **more: Any) -> None:
        raise ConfigError("usage.yaml:3: searches is -1", why="is negative", remedy="Write 0 or more")

    monkeypatch.setattr(Rates, "load", broken)
    for line in (("up", "prod", "--yes", "--json"), ("preview", "prod", "--json")):
        result = run(*line)
        found = json.loads(result.stdout)
        assert (result.exit_code, found.get("prod", found)["price"]) == (0, None)
        assert "the price is not known: usage.yaml:3: searches is -1: is negative. Write 0 or more." in result.stderr
    assert run("up", "prod", "--yes").exit_code == 0
    assert run("preview", "prod").exit_code == 0


def test_what_a_change_starts_from_comes_up_without_a_price(
    stacks: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(console.AS_BASE, "1")
    assert "price of a month" not in run("up", "prod", "--local", "--yes").stdout


def test_preview_says_what_the_change_adds_to_the_month(stacks: Deployments) -> None:
    shown = run("preview", "prod").stdout
    assert re.search(r"^prod: \$0 -> \$\d[\d,]* a month, ", shown, re.MULTILINE)
    assert re.search(r"^prod: \$0 -> \$\d[\d,]* a month, ", run("up", "prod", answer="n\n").stdout, re.MULTILINE)


# Renewing the prices


def renewed() -> Renewal:
    old = next(iter(SNAPSHOT.prices.values()))
    new = Price(**{**old.__dict__, "usd": old.usd * 2})
    return Renewal(SNAPSHOT, (Renewed(old, new),), (Kept(old, "AWS lists several"),), date(2026, 11, 1))


def test_a_refresh_shows_what_changed_and_what_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}

    def renew(file: Path, **given: Any) -> Renewal:
        asked.update(file=file, **given)
        return renewed()

    monkeypatch.setattr(refresh, "renew", renew)
    shown = run("cost", "refresh").stdout
    assert (asked["file"], asked["today"]) == (prices.DEFAULT, SNAPSHOT.day)
    assert "+100.0%" in shown
    assert "AWS lists several" in shown
    assert shown.splitlines()[-1].endswith("1 changed since 2026-11-01, 1 as they were")
    assert document(run("cost", "refresh", "--json"))["changes"][0]["percent"] == "100.0"
    other = tmp_path / "prices.json"
    other.write_text("{}")
    run("cost", "refresh", "--snapshot", str(other))
    assert asked["file"] == other


def test_a_refresh_that_aws_does_not_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def renew(file: Path, **given: Any) -> Renewal:
        raise DocsearchError("AWS's price list does not answer", why="no credentials")

    monkeypatch.setattr(refresh, "renew", renew)
    result = run("cost", "refresh")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "AWS's price list does not answer" in result.stderr


def test_the_help_of_the_price_tells_of_the_refresh() -> None:
    assert "docsearch cost refresh" in " ".join(run("cost", "--help").stdout.split())
    assert run("cost", "refresh", "--help").stdout.startswith("Usage: cli cost refresh [OPTIONS]")
    listed = run("--help").stdout
    assert re.search(r"^  cost +Say what stacks cost", listed, re.MULTILINE)
    assert re.search(r"^  cost refresh +Renew the price", listed, re.MULTILINE)
