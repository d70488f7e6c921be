"""The commands that say whether a change is safe: `docsearch check`, `verify` and `policies`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.errors import ConfigError
from infra import clouds, console, report
from infra.console import err, examples, json_option, local_option, show, show_json, stacks_of
from infra.errors import DestructiveError, PolicyError
from infra.progress import Progress

if TYPE_CHECKING:
    from infra.deploy import Judged

FORMATS = ("terminal", "json", "markdown", "sarif", "junit")


def today() -> date:
    """The day by which waivers are judged."""
    return datetime.now(tz=UTC).date()


class FormatFile(click.ParamType[tuple[str, Path]]):
    """`sarif=check.sarif`: a format, and the file that gets it."""

    name = "format=file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        """A format that there is, and a file whose folder exists."""
        format_, _, file = value.partition("=")
        if format_ not in FORMATS[1:]:
            self.fail(f"{value!r}: the formats are {', '.join(FORMATS[1:])}")
        if not file or not Path(file).absolute().parent.is_dir():
            self.fail(f"{value!r}: name a file in a folder that exists")
        return format_, Path(file)


@click.command()
@click.argument("stack", nargs=-1)
@click.option("--base", "ref", metavar="REF", help="Compare with this commit; default: the merge base with main.")
@click.option("--new-only", is_flag=True, help="Fail only because of what the change introduces.")
@click.option("--no-cache", is_flag=True, help="Bring the base up again, although one is kept.")
@click.option("--format", "shape", type=click.Choice(FORMATS), default="terminal", help="What is printed.")
@click.option("--out", "files", type=FormatFile(), multiple=True, help="Also write it to a file in another format.")
@json_option
@examples(
    "docsearch check",
    "docsearch check prod --base HEAD~1",
    "docsearch check --new-only --base origin/main --out markdown=check.md --out sarif=check.sarif",
)
def check(
    stack: tuple[str, ...],
    ref: str | None,
    new_only: bool,
    no_cache: bool,
    shape: str,
    files: tuple[tuple[str, Path], ...],
    as_json: bool,
) -> None:
    """Check a change before it merges: what the rules say of it, what it would destroy, what it costs.

    Brings the base up on a local cloud of its own, plans every stack against it and runs the policy pack and the
    destructive-change gate, and prices both ends. It needs no credentials. The three bases that were used last are kept
    in .docsearch/base; one serves all commits that differ only in app, docs, tests and Markdown. A wrong command line
    or file exits with 2, a rule that stops the change with 9, a destructive change with 10, a budget that is exceeded
    with 11, and what could not be looked at, or not be priced where there is a budget, with 12.
    """
    from infra import base as bases  # noqa: PLC0415
    from infra import check as checks  # noqa: PLC0415
    from infra.formats import formatted  # noqa: PLC0415

    names = stacks_of(stack, every=not stack)
    commit = bases.commit(ref)

    def opened(name: str, cloud: clouds.Cloud) -> AbstractContextManager[Any]:
        return console.deployment(name, True, "check", program=False, on=cloud)

    with Progress(err, f"check against {commit[:12]}").shown() as progress:
        found = checks.check(
            names,
            commit,
            opened,
            whole=not stack,
            new_only=new_only,
            tell=progress.tell,
            today=today(),
            kept=not no_cache,
        )
    for format_, file in files:
        file.write_text(str(formatted(found, format_)), encoding="utf-8")
    shape = "json" if as_json else shape
    if shape == "terminal":
        show(formatted(found, shape))
    else:
        click.echo(formatted(found, shape), nl=False)
    sys.exit(found.exit_code)


@click.command()
@click.argument("stack")
@local_option
@json_option
@examples("docsearch verify prod --local", "docsearch verify prod --json")
def verify(stack: str, is_local: bool, as_json: bool) -> None:
    """Run the policy pack over what is up: the same rules, now that every value is known.

    Exits with 9 if a rule is broken, with 12 if a value cannot be judged even now.
    """
    from infra.errors import IncompleteError  # noqa: PLC0415
    from infra.findings import rules  # noqa: PLC0415

    with console.deployment(stack, is_local, "verify", program=False) as subject:
        resources = subject.state().get("resources") or ()
        if not resources:
            raise ConfigError(f"{stack} is not up", remedy=f"Bring it up first: docsearch up {stack}")
        found = subject.verify()
    unverified = [finding for finding in found if finding.kind == "unverified"]
    violations = [finding for finding in found if finding.kind == "violation"]
    if as_json:
        show_json({"rules": len(rules()), "resources": len(resources), "findings": [one.as_json() for one in found]})
    else:
        show(report.findings_table(found))
        show(
            f"{stack}: {len(violations)} findings, {len(unverified)} unverified: "
            f"{len(rules())} rules looked at {len(resources)} resources"
        )
    refuse_findings(stack, found)
    if unverified:
        raise IncompleteError(f"{len(unverified)} values of {stack} are not known, although it is up")


@click.command()
@click.argument("rule", required=False)
@json_option
@click.option("--markdown", "as_markdown", is_flag=True, help="Print docs/policies.md.")
@examples(
    "docsearch policies",
    "docsearch policies rds-backups",
    "docsearch policies --json | jq '.[].id'",
    "docsearch policies --markdown > docs/policies.md",
)
def policies(rule: str | None, as_json: bool, as_markdown: bool) -> None:
    """List the rules of the policy pack, or explain one."""
    from infra.findings import rules  # noqa: PLC0415
    from infra.manual import rules_reference  # noqa: PLC0415
    from stacks.stack_file import suggest  # noqa: PLC0415

    every = rules()
    if rule is not None and rule not in every:
        raise ConfigError(f"there is no rule {rule!r}", remedy=suggest(rule, every))
    chosen = [every[rule]] if rule is not None else list(every.values())
    if as_json:
        show_json([one.as_json() for one in chosen])
    elif as_markdown:
        click.echo(rules_reference(chosen), nl=False)
    elif rule is None:
        show(report.rows_table(("rule", "severity", "why"), [(one.id, one.severity.value, one.why) for one in chosen]))
        show(f"{len(chosen)} rules")
    else:
        show(report.rows_table(("", ""), chosen[0].described()))


def refuse(judged: Judged, as_json: bool) -> None:
    """Stop what the rules or the gate stop, and say everything that they say.

    Raises:
        PolicyError: A rule stops it.
        DestructiveError: It would destroy something, and no waiver allows it.
    """
    from infra.check import usable_waivers  # noqa: PLC0415
    from infra.gate import judge  # noqa: PLC0415

    console_ = err if as_json else console.out
    known = [finding for finding in judged.findings if finding.kind != "unverified"]
    if known:
        console_.print(report.findings_table(known))
    if unverified := len(judged.findings) - len(known):
        name = judged.plan.stack
        console_.print(f"{name}: {unverified} values are not known before the update, and unverified until then")
    if judged.stopped:
        console_.print(
            "rules of the whole stack did not look: what is protected would go, and the engine stopped there"
        )
    objections = [one for one in judge(judged.plan, usable_waivers(today()), today=today()) if one.waiver is None]
    if objections:
        console_.print(report.objections_table(objections))
    refuse_findings(judged.plan.stack, judged.findings)
    if objections:
        raise DestructiveError(
            f"{judged.plan.stack}: {len(objections)} destructive changes",
            why=f"{objections[0].urn}: {objections[0].what}",
            remedy=objections[0].remedy,
        )
    if judged.stopped:
        raise DestructiveError(
            f"{judged.plan.stack}: something protected would be deleted or replaced",
            remedy=f"See what: docsearch check {judged.plan.stack}",
        )


def refuse_findings(stack: str, findings: Any) -> None:
    """Stop what the rules stop.

    Raises:
        PolicyError: There is one that blocks.
    """
    stopping = [finding for finding in findings if finding.blocks]
    if stopping:
        first = stopping[0]
        raise PolicyError(
            f"{stack}: {len(stopping)} findings stop it",
            why=f"{first.rule}: {first.resource}: {first.path} {first.message}",
            remedy=f"{first.place}: {first.remedy}",
        )
