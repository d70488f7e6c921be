"""The `docsearch` command: what is done to a stack. The rest: `cli_check`, `cli_cost`, `cli_local`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from components.errors import ConfigError
from infra import console, report
from infra.cli_check import check, policies, refuse, verify
from infra.cli_cost import cost, cost_refresh, difference_of, statement_of
from infra.cli_local import local
from infra.console import (
    AS_BASE,
    Group,
    all_option,
    err,
    examples,
    json_option,
    local_option,
    out,
    show,
    show_json,
    stacks_of,
    yes_option,
)
from infra.cost.statement import difference_json, grouping
from infra.cost.table import difference_line, statement_table
from infra.errors import DriftError
from infra.program import PROJECT, read_config
from stacks.fleet import stack_file

EPILOG = """Exit codes: 0 well; 1 unexpected; 2 wrong configuration or command line; 3 no engine; 4 local cloud;
5 pending operations or a locked stack; 6 the update failed; 7 unreadable plan; 8 changes where none were expected;
9 a rule stops the change; 10 it would destroy something; 11 over budget; 12 not everything could be looked at;
130 interrupted."""


@click.group(cls=Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="docsearch")
def cli() -> None:
    """A multi-tenant document search service in two AWS regions, as code.

    STACK is a region's stack: prod (us-east-1, primary) or dr (us-west-2, standby).
    """


@cli.command()
@click.argument("stack", nargs=-1)
@all_option
@local_option
@yes_option
@json_option
@examples("docsearch up prod --local", "docsearch up --all --local --yes", "docsearch up prod   # AWS, asks first")
def up(stack: tuple[str, ...], every: bool, is_local: bool, yes: bool, as_json: bool) -> None:
    """Bring regions up: create what is missing, change what differs.

    Shows the plan and asks first, unless --yes. Stops where a rule of the policy pack is broken or something stateful
    would be destroyed. Refuses to go on over the remains of an interrupted run.
    """
    outcomes = {}
    # What a change starts from comes up as it is, whatever the rules say of it: only on a local cloud, to be compared.
    judge = not (is_local and os.environ.get(AS_BASE))
    for name in stacks_of(stack, every):
        if judge:
            with console.deployment(name, is_local, "preview") as subject:
                judged = subject.judged()
            if not yes:
                (err if as_json else out).print(report.changes_table(judged.plan))
                if adds := difference_of(judged.plan):
                    (err if as_json else out).print(difference_line(adds), markup=False)
            refuse(judged, as_json)
            if not yes and not (judged.plan.changing and click.confirm(f"Bring {name} up like this?", err=True)):
                continue
        with console.deployment(name, is_local, "up") as subject:
            outcomes[name] = subject.up(judged=judge)
    if as_json:
        documents = {name: report.outcome_json(outcome) for name, outcome in outcomes.items()}
        if judge:
            for name, outcome in outcomes.items():
                price = statement_of([outcome.plan])
                documents[name]["price"] = price.summary_json() if price else None
        show_json(documents)
        return
    for name, outcome in outcomes.items():
        show(f"\n[bold]{name}[/] outputs")
        show(report.outputs_table(outcome.outputs))
    if outcomes:
        show("\n[bold]resources by component[/]")
        show(report.resources_table(outcomes))
        for outcome in outcomes.values():
            show(report.summary_line(outcome.plan))
        if judge and (price := statement_of([outcome.plan for outcome in outcomes.values()])):
            show("\n[bold]price of a month[/]")
            show(statement_table(price, grouping("component")))


@cli.command()
@click.argument("stack")
@local_option
@json_option
@click.option("--expect-no-changes", is_flag=True, help="Exit 8 if anything would change.")
@examples("docsearch preview prod --local", "docsearch preview dr --local --json | jq .summary")
def preview(stack: str, is_local: bool, as_json: bool, expect_no_changes: bool) -> None:
    """Show what `up` would do, what it adds to the month's price, what the rules say, and what it would destroy."""
    with console.deployment(stack, is_local, "preview") as subject:
        judged = subject.judged()
    plan = judged.plan
    price = difference_of(plan)
    if as_json:
        show_json({**plan.as_json(), "price": difference_json(price) if price else None})
    else:
        show(report.changes_table(plan))
        if price:
            show(Text(difference_line(price)))
    refuse(judged, as_json)
    if expect_no_changes and plan.changing:
        raise DriftError(f"{stack} has {len(plan.changing)} changes", why="no changes were expected")


@cli.command()
@click.argument("stack")
@local_option
@json_option
@click.option("--save", is_flag=True, help="Write what the cloud holds into the state.")
@click.option("--expect-no-changes", is_flag=True, help="Exit 8 if anything differs.")
@examples("docsearch refresh prod --local", "docsearch refresh prod --save")
def refresh(stack: str, is_local: bool, as_json: bool, save: bool, expect_no_changes: bool) -> None:
    """Show where the cloud differs from the state (drift), resource by resource."""
    with console.deployment(stack, is_local, "refresh", program=False) as subject:
        plan = subject.refresh(save=save)
    if as_json:
        show_json(plan.as_json())
    else:
        show(report.drift_table(plan))
    if expect_no_changes and plan.changing:
        raise DriftError(f"{len(plan.changing)} resources of {stack} differ", why="no changes were expected")


@cli.command()
@click.argument("stack", nargs=-1)
@all_option
@local_option
@yes_option
@json_option
@click.option(
    "--release-locks", is_flag=True, help="First release the deletion locks of everything stateful, on purpose."
)
@examples("docsearch destroy dr --local --release-locks", "docsearch destroy --all --local --release-locks --yes")
def destroy(stack: tuple[str, ...], every: bool, is_local: bool, yes: bool, as_json: bool, release_locks: bool) -> None:
    """Delete regions, standby first.

    Everything stateful is locked (Pulumi's protect, AWS's deletion protection), so this fails unless the stack file
    says `locked: false` and was brought up so, or --release-locks does the same for this run.
    """
    outcomes = {}
    names = stacks_of(stack, every)
    for name in names:
        if read_config(name).locked and not release_locks:
            raise ConfigError(
                f"{name} is locked",
                why="its databases, keys and buckets refuse deletion",
                remedy="Say --release-locks if you mean it; nothing was changed",
            )
    for name in reversed(names):
        if not yes:
            click.confirm(f"Delete everything of {name}, its data included?", abort=True, err=True)
        locked = False if release_locks else None
        with console.deployment(name, is_local, "destroy", locked=locked, program=release_locks) as subject:
            if release_locks and subject.state().get("resources"):
                subject.up()
            outcomes[name] = subject.destroy()
    if as_json:
        show_json({name: report.outcome_json(outcome) for name, outcome in outcomes.items()})
        return
    for outcome in outcomes.values():
        show(report.summary_line(outcome.plan))


@cli.command()
@click.argument("stack")
@local_option
@json_option
@click.option("--show-secrets", is_flag=True, help="Print secret outputs in clear.")
@examples("docsearch outputs prod --local", "docsearch outputs prod --local --json | jq -r .read_host")
def outputs(stack: str, is_local: bool, as_json: bool, show_secrets: bool) -> None:
    """Print a region's outputs."""
    with console.deployment(stack, is_local, "outputs of", program=False) as subject:
        values = subject.outputs(secrets=show_secrets)
    if as_json:
        show_json(values)
    else:
        show(report.outputs_table(values))


@cli.command()
@click.argument("stack")
@json_option
@examples("docsearch config prod", "docsearch config dr --json")
def config(stack: str, as_json: bool) -> None:
    """Print each value of a stack's configuration and where it came from."""
    from stacks.settings import provenance  # noqa: PLC0415

    read_config(stack)
    settings = provenance(stack_file(PROJECT, stack))
    if as_json:
        show_json([asdict(setting) for setting in settings])
        return
    rows = [
        (setting.key, json.dumps(setting.value) + (f" {setting.unit}" if setting.unit else ""), setting.source)
        for setting in settings
    ]
    show(report.rows_table(("key", "value", "from"), rows))


@cli.command()
@click.argument("one")
@click.argument("other")
@local_option
@json_option
@examples("docsearch diff prod dr --local")
def diff(one: str, other: str, is_local: bool, as_json: bool) -> None:
    """List every difference between two regions' plans, with its reason."""
    from infra.parity import compare  # noqa: PLC0415

    found = compare(*both_plans(one, other, is_local))
    if as_json:
        show_json([asdict(item) for item in found])
    else:
        rows = [(item.resource, item.path, item.one, item.other, item.reason or "NOT EXPLAINED") for item in found]
        show(report.rows_table(("resource", "property", one, other, "reason"), rows))
    unexplained = [item for item in found if not item.reason]
    if unexplained:
        raise DriftError(
            f"{len(unexplained)} differences have no reason", remedy="List them in infra/parity.py, or remove them"
        )


def both_plans(one: str, other: str, is_local: bool) -> list[Any]:
    """Plans of two stacks; both names are looked at before the first engine starts."""
    plans = []
    for name in (one, other):
        read_config(name)
    for name in (one, other):
        with console.deployment(name, is_local, "preview") as subject:
            plans.append(subject.preview())
    return plans


@cli.command()
@click.argument("primary", default="prod")
@click.argument("standby", default="dr")
@local_option
@json_option
@click.option("--out", "file", type=click.Path(path_type=Path, dir_okay=False), help="Also write it, as Markdown.")
@examples("docsearch requirement --local", "docsearch requirement --local --out docs/architecture/requirement.md")
def requirement(primary: str, standby: str, is_local: bool, as_json: bool, file: Path | None) -> None:
    """Put the requirement's infrastructure figures beside what the plans hold, with the reason where they differ."""
    from infra.facts import Facts  # noqa: PLC0415
    from infra.requirement import answers, markdown  # noqa: PLC0415

    found = answers(Facts(*both_plans(primary, standby, is_local)))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(markdown(found), encoding="utf-8")
    if as_json:
        show_json([answer.as_json() for answer in found])
    else:
        titles = ("section", "what", "asked", "planned", "why it differs")
        rows = [
            (answer.row.section, answer.row.what, answer.row.asked, answer.planned, answer.row.differs)
            if answer.holds
            else (answer.row.section, answer.row.what, answer.row.asked, answer.planned, "NOT EXPLAINED")
            for answer in found
        ]
        show(report.rows_table(titles, rows))
    missed = [answer for answer in found if not answer.holds]
    if missed:
        raise DriftError(
            f"{len(missed)} figures of the requirement are not what the plan holds",
            why=", ".join(answer.row.what for answer in missed[:5]),
            remedy="Change the stack file, or say the reason in infra/requirement.py",
        )


@cli.command()
@click.argument("stack")
@local_option
@json_option
@click.option("--out", "file", type=click.Path(path_type=Path, dir_okay=False), help="Where; default <stack>.svg.")
@examples("docsearch graph prod --local --out docs/architecture/region.svg")
def graph(stack: str, is_local: bool, as_json: bool, file: Path | None) -> None:
    """Draw a region by component, as SVG, from what is up."""
    from infra.graph import svg  # noqa: PLC0415

    with console.deployment(stack, is_local, "graph of", program=False) as subject:
        resources = subject.state().get("resources") or []
    if not resources:
        raise ConfigError(f"{stack} is not up", remedy=f"Bring it up first: docsearch up {stack}")
    target = file or Path(f"{stack}.svg")
    region = read_config(stack).region
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(svg(f"{stack} ({region}): {len(resources)} resources", resources))
    if as_json:
        show_json({"file": str(target), "resources": len(resources)})
    else:
        show(Text(f"wrote {target}"))


@cli.command()
@click.argument("stack")
@local_option
@json_option
@click.option("--adopt", is_flag=True, help="Take into the state what exists in the cloud and is missing there.")
@click.option("--delete", is_flag=True, help="Delete it instead.")
@examples("docsearch reconcile prod --local", "docsearch reconcile prod --local --adopt")
def reconcile(stack: str, is_local: bool, as_json: bool, adopt: bool, delete: bool) -> None:
    """After a killed run: find what exists in the cloud and not in the state.

    Releases the killed run's lock, looks each unfinished operation up in the cloud (by name or by tag, the same way on
    AWS and locally) and, with --adopt or --delete, settles it.
    """
    from infra.reconcile import Reconciler  # noqa: PLC0415

    if adopt and delete:
        raise ConfigError("--adopt and --delete exclude each other", remedy="Say one of them")
    with console.deployment(stack, is_local, "reconcile", program=False) as subject:
        reconciler = Reconciler(subject)
        found = reconciler.find()
        if adopt or delete:
            reconciler.settle(found, delete=delete)
    if as_json:
        show_json([item.as_json() for item in found])
        return
    if found:
        rows = [(item.operation, item.urn or item.arn, item.id or "not in the cloud", item.verdict) for item in found]
        show(report.rows_table(("operation", "resource", "in the cloud as", "verdict"), rows))
    else:
        show(f"{stack}: nothing is left over")
    if found and not (adopt or delete):
        show(f"settle it: docsearch reconcile {stack}{' --local' if is_local else ''} --adopt (or --delete)")


@cli.command()
@json_option
@examples("docsearch doctor")
def doctor(as_json: bool) -> None:
    """Check this machine: Python, the engine, Go, the language host, disk space, the local cloud."""
    from infra import doctor as checks  # noqa: PLC0415

    found = checks.checks()
    if as_json:
        show_json([asdict(check) for check in found])
    else:
        rows = [
            ("ok" if check.ok else "FAIL", check.name, check.detail, "" if check.ok else check.remedy)
            for check in found
        ]
        show(report.rows_table(("", "check", "found", "remedy"), rows))
    if not all(check.ok for check in found):
        sys.exit(3)


for one in (check, verify, policies, cost, cost_refresh, local):
    cli.add_command(one)


def main() -> None:
    """Entry point of the `docsearch` command."""
    cli()
