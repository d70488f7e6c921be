"""The commands that say whether a change is safe: what they show, what they refuse, how they exit."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from components.errors import ConfigError
from infra import base as bases
from infra import check as checks
from infra import console
from infra.check import Check, StackCheck
from infra.findings import Finding, Place, rules
from policies.rule import Severity
from tests.infra.command import Deployments, plan_of, run

URN = "urn:pulumi:prod::docsearch::docsearch:rds:Rds$aws:rds/instance:Instance::database"


def finding(kind: Any = "violation", severity: Severity = Severity.CRITICAL) -> Finding:
    return Finding(
        stack="prod",
        rule="rds-backups",
        severity=severity,
        kind=kind,
        urn=URN,
        path="backupRetentionPeriod",
        message="is 0, must be at least 7",
        why="Without them a wrong delete is final",
        remedy="Keep them longer",
        place=Place("Pulumi.prod.yaml", 12, "database.backup_days"),
    )


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> Deployments:
    found = Deployments()
    monkeypatch.setattr(console, "deployment", found)
    return found


# preview and up


@pytest.mark.parametrize("line", [("preview", "prod"), ("up", "prod", "--yes"), ("up", "prod")], ids=" ".join)
@pytest.mark.parametrize("json_", [(), ("--json",)], ids=["tables", "json"])
def test_a_broken_rule_stops_a_change_before_anything_is_made(
    stacks: Deployments, line: tuple[str, ...], json_: tuple[str, ...]
) -> None:
    stacks.findings = (finding(),)
    result = run(*line, *json_)
    assert result.exit_code == 9
    assert stacks.done == [("preview", "prod")]
    assert "rds-backups critical: database: backupRetentionPeriod is 0, must be at least 7" in result.output
    assert "Pulumi.prod.yaml:12 database.backup_days: Keep them longer" in result.output


@pytest.mark.parametrize("harmless", [finding(severity=Severity.MEDIUM), finding("unverified"), finding("waived")])
def test_advice_is_shown_and_stops_nothing(stacks: Deployments, harmless: Finding) -> None:
    stacks.findings = (harmless,)
    result = run("up", "prod", "--yes")
    assert result.exit_code == 0, result.output
    shown = "1 values are not known before" if harmless.kind == "unverified" else "rds-backups"
    assert shown in result.output
    assert ("up, judged", "prod") in stacks.done


@pytest.mark.parametrize("line", [("preview", "prod"), ("up", "prod", "--yes")], ids=" ".join)
def test_something_stateful_that_would_go_stops_a_change(
    stacks: Deployments, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...]
) -> None:
    stacks.op = "delete"
    monkeypatch.setattr("tests.infra.command.TOPIC", "aws:rds/instance:Instance")
    result = run(*line)
    assert result.exit_code == 10
    assert stacks.done == [("preview", "prod")]
    assert "destructive urn:pulumi:prod::docsearch::aws:rds/instance:Instance::alarms" in result.output
    assert "policies/waivers.yaml" in result.stderr


def test_the_base_of_a_change_comes_up_as_it_is_and_only_on_a_local_cloud(
    stacks: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(console.AS_BASE, "1")
    stacks.findings = (finding(),)
    assert run("up", "prod", "--local", "--yes").exit_code == 0
    assert stacks.done == [("up", "prod")]
    assert run("up", "prod", "--yes").exit_code == 9


# verify


def test_verify_says_how_many_rules_looked_at_how_many_resources(stacks: Deployments) -> None:
    stacks.resources = [{"type": "aws:rds/instance:Instance"}] * 3
    result = run("verify", "prod", "--local")
    assert result.exit_code == 0
    assert result.stdout.endswith(f"prod: 0 findings, 0 unverified: {len(rules())} rules looked at 3 resources\n")


@pytest.mark.parametrize(("found", "code"), [(finding(), 9), (finding("unverified"), 12), (finding("waived"), 0)])
def test_verify_exits_by_what_it_found(stacks: Deployments, found: Finding, code: int) -> None:
    stacks.resources = [{}]
    stacks.findings = (found,)
    assert run("verify", "prod").exit_code == code


def test_what_is_not_up_cannot_be_verified(stacks: Deployments) -> None:
    result = run("verify", "prod", "--local")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "prod is not up" in result.stderr


# policies


def test_policies_lists_every_rule() -> None:
    listed = json.loads(run("policies", "--json").stdout)
    assert [one["id"] for one in listed] == list(rules())
    assert all(one["why"] and one["remedy"] and one["reference"].startswith("https://") for one in listed)
    assert run("policies").stdout.rstrip().endswith(f"{len(listed)} rules")


def test_policies_explains_one_and_corrects_a_slip() -> None:
    said = run("policies", "rds-backups").stdout
    assert rules()["rds-backups"].reference in said
    assert "days 7 (1 to 35)" in said
    result = run("policies", "rds-bakups")
    assert result.exit_code == 2
    assert "rds-backups" in result.stderr


# check


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a check was asked for; it finds nothing, unless told."""
    seen: dict[str, Any] = {"result": Check("c" * 40, (StackCheck("prod", "us-east-1", plan_of("prod", "same")),))}

    def check(names: list[str], base: str, opened: Any, **options: Any) -> Check:
        seen.update(names=names, base=base, **options)
        found: Check = seen["result"]
        return found

    monkeypatch.setattr(checks, "check", check)
    monkeypatch.setattr(bases, "commit", lambda ref: "c" * 40 if ref is None else ref * 40)
    return seen


def test_check_takes_all_stacks_and_the_merge_base_unless_told(asked: dict[str, Any]) -> None:
    assert run("check").exit_code == 0
    assert (asked["names"], asked["base"], asked["whole"], asked["new_only"]) == (
        ["prod", "dr"], "c" * 40, True, False,
    )  # fmt: skip
    assert run("check", "dr", "--base", "d", "--new-only").exit_code == 0
    assert (asked["names"], asked["base"], asked["whole"], asked["new_only"]) == (["dr"], "d" * 40, False, True)


def test_check_takes_a_base_that_was_kept_unless_told(asked: dict[str, Any]) -> None:
    assert run("check").exit_code == 0
    assert asked["kept"] is True
    assert run("check", "--no-cache").exit_code == 0
    assert asked["kept"] is False


def test_check_prints_one_format_and_writes_others(asked: dict[str, Any], tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("markdown", "sarif", "junit", "json")}
    result = run("check", *(word for name, file in files.items() for word in ("--out", f"{name}={file}")))
    assert result.exit_code == 0, result.output
    assert "ok: 0 findings" in result.stdout
    assert json.loads(files["json"].read_text())["status"] == "ok"
    assert json.loads(files["sarif"].read_text())["version"] == "2.1.0"
    assert files["markdown"].read_text().startswith("<!--")
    assert files["junit"].read_text().startswith("<testsuites ")
    assert json.loads(run("check", "--json").stdout) == json.loads(run("check", "--format", "json").stdout)


def test_check_exits_by_what_it_found_and_still_prints_it(asked: dict[str, Any]) -> None:
    asked["result"] = Check("c" * 40, (StackCheck("prod", "us-east-1", plan_of("prod"), (finding(),)),))
    result = run("check", "--json")
    assert result.exit_code == 9
    assert json.loads(result.stdout)["status"] == "policy"


@pytest.mark.parametrize(
    "given", [("--out", "pdf=x"), ("--out", "sarif"), ("--out", "sarif=/no/such/folder/x"), ("--format", "pdf")]
)
def test_a_format_or_file_that_cannot_be_is_refused_before_the_check(
    asked: dict[str, Any], given: tuple[str, str]
) -> None:
    assert run("check", *given).exit_code == 2
    assert "names" not in asked


# Waivers

GOOD = f"""\
- waives: rds-backups
  urn: {URN}
  reason: A copy that is thrown away every night
  owner: search@example.com
  expires: 2026-12-31
"""


def usable(tmp_path: Path, text: str, today: str = "2026-11-23") -> Any:
    file = tmp_path / "waivers.yaml"
    file.write_text(text)
    return checks.usable_waivers(date.fromisoformat(today), file)


def test_a_waiver_holds_until_its_last_day(tmp_path: Path) -> None:
    assert usable(tmp_path, GOOD, "2026-12-31")[0].owner == "search@example.com"
    with pytest.raises(ConfigError) as caught:
        usable(tmp_path, GOOD, "2027-01-01")
    assert caught.value.what == "waivers.yaml: entry 1 expired on 2026-12-31"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  reason: A copy that is thrown away every night\n", "", "entry 1: reason: Field required"),
        ("A copy that is thrown away every night", "why not", "entry 1: reason: String should have at least 10"),
        ("  owner: search@example.com\n", "", "entry 1: owner: Field required"),
        ("search@example.com", "somebody", "entry 1: owner: String should match"),
        ("  expires: 2026-12-31\n", "", "entry 1: expires: Field required"),
        ("2026-12-31", "never", "entry 1: expires:"),
        ("waives: rds-backups", "waives: no-such-rule", "entry 1: there is no rule 'no-such-rule'"),
        ("::database", "::*", "entry 1: urn: String should match"),
        ("- waives", "- for: all\n  waives", "entry 1: for: Extra inputs"),
        (GOOD, GOOD + GOOD, "entry 2: rds-backups is waived twice"),
        (GOOD, "waives: all", "the file: it: Input should be a valid list"),
        (GOOD, "- [", "waivers.yaml is not YAML"),
    ],
)
def test_a_waiver_that_cannot_be_used_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        usable(tmp_path, GOOD.replace(old, new))
    assert message in str(caught.value)


def test_our_own_waivers_can_be_used() -> None:
    checks.usable_waivers(datetime.now(tz=UTC).date())
