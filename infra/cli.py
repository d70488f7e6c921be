"""The `docsearch` command; the only place that prints."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.text import Text

from components.errors import ConfigError, DocsearchError
from infra import clouds, report
from infra.errors import DriftError, InterruptedUpdateError
from infra.program import PROJECT, read_config
from infra.progress import Progress
from stacks.fleet import read_fleet, stack_file

F = TypeVar("F", bound=Callable[..., Any])

WIDE = 10_000
"""Columns where there is no terminal: a URN that is folded cannot be searched for."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)

EPILOG = """Exit codes: 0 well; 1 unexpected; 2 wrong configuration or command line; 3 no engine; 4 local cloud;
5 pending operations or a locked stack; 6 the update failed; 7 unreadable plan; 8 changes where none were expected;
130 interrupted."""


def show(what: RenderableType) -> None:
    """Print a table or a line for people."""
    out.print(what)


def show_json(value: object) -> None:
    """Print for programs: one JSON document, nothing else on stdout."""
    click.echo(json.dumps(value, indent=2, sort_keys=False, default=str))


class Group(click.Group):
    """Turns docsearch's own errors into one message and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: D102 - click's own
        try:
            return super().invoke(ctx)
        except DocsearchError as error:
            err.print(f"[bold red]error:[/] {escape(error.what)}", markup=True)
            if error.why:
                err.print(f"  why:    {error.why}", markup=False)
            if error.remedy:
                err.print(f"  remedy: {error.remedy}", markup=False)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            err.print("interrupted")
            ctx.exit(InterruptedUpdateError.exit_code)


local_option = click.option("--local", "is_local", is_flag=True, help="Use the local cloud; otherwise AWS.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
all_option = click.option("--all", "every", is_flag=True, help="Every stack of the project, primary first.")


def examples(*lines: str) -> Callable[[F], F]:
    """Put examples at the end of a command's help."""

    def decorate(function: F) -> F:
        text = "\n".join(f"  {line}" for line in lines)
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n\b\nExamples:\n{text}\n"
        return function

    return decorate


@click.group(cls=Group, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="docsearch")
def cli() -> None:
    """A multi-tenant document search service in two AWS regions, as code.

    STACK is a region's stack: prod (us-east-1, primary) or dr (us-west-2, standby).
    """


def stacks_of(named: Sequence[str], every: bool) -> list[str]:
    """The stacks that a command is about, primary first; every name is checked before anything is done."""
    if not named and not every:
        raise ConfigError("no stack is named", remedy="Name one (docsearch up prod), or say --all")
    configs = {name: read_config(name) for name in (read_fleet(PROJECT) if every else named)}
    return sorted(configs, key=lambda name: (configs[name].role != "primary", name))


@contextmanager
def deployment(
    stack: str, is_local: bool, title: str, *, locked: bool | None = None, program: bool = True
) -> Iterator[Any]:
    """A stack on its cloud, with live progress on stderr.

    Without `program` it is for what only reads or deletes, which a standby can do without its primary.
    """
    from infra import engine  # noqa: PLC0415 - the Automation API takes a second to import, and `--help` needs none
    from infra.deploy import Deployment  # noqa: PLC0415

    config = read_config(stack, locked=locked)
    with Progress(err, f"{title} {stack}").shown() as progress:
        found = engine.ensure_engine(progress.tell)
        cloud = clouds.local(config.account_id, tell=progress.tell) if is_local else clouds.aws()
        subject = Deployment(stack, config, cloud, found, listener=progress.hear)
        if config.peer and program:
            check_peer(config.peer, cloud, found)
        yield subject


def check_peer(peer: str, cloud: clouds.Cloud, found: Any) -> None:
    """Say before the engine runs that a standby's primary is missing or older."""
    from infra.deploy import Deployment  # noqa: PLC0415
    from stacks.peer import check_outputs  # noqa: PLC0415

    outputs = Deployment(peer, read_config(peer), cloud, found).outputs()
    check_outputs(peer, outputs)


@cli.command()
@click.argument("stack", nargs=-1)
@all_option
@local_option
@yes_option
@json_option
@examples("docsearch up prod --local", "docsearch up --all --local --yes", "docsearch up prod   # AWS, asks first")
def up(stack: tuple[str, ...], every: bool, is_local: bool, yes: bool, as_json: bool) -> None:
    """Bring regions up: create what is missing, change what differs.

    Shows the plan and asks first, unless --yes. Refuses to go on over the remains of an interrupted run.
    """
    outcomes = {}
    for name in stacks_of(stack, every):
        if not yes:
            with deployment(name, is_local, "preview") as subject:
                plan = subject.preview()
            (err if as_json else out).print(report.changes_table(plan))
            if not plan.changing or not click.confirm(f"Bring {name} up like this?", err=True):
                continue
        with deployment(name, is_local, "up") as subject:
            outcomes[name] = subject.up()
    if as_json:
        show_json({name: report.outcome_json(outcome) for name, outcome in outcomes.items()})
        return
    for name, outcome in outcomes.items():
        show(f"\n[bold]{name}[/] outputs")
        show(report.outputs_table(outcome.outputs))
    if outcomes:
        show("\n[bold]resources by component[/]")
        show(report.resources_table(outcomes))
        for outcome in outcomes.values():
            show(report.summary_line(outcome.plan))


@cli.command()
@click.argument("stack")
@local_option
@json_option
@click.option("--expect-no-changes", is_flag=True, help="Exit 8 if anything would change.")
@examples("docsearch preview prod --local", "docsearch preview dr --local --json | jq .summary")
def preview(stack: str, is_local: bool, as_json: bool, expect_no_changes: bool) -> None:
    """Show what `up` would do."""
    with deployment(stack, is_local, "preview") as subject:
        plan = subject.preview()
    if as_json:
        show_json(plan.as_json())
    else:
        show(report.changes_table(plan))
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
    with deployment(stack, is_local, "refresh", program=False) as subject:
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
        with deployment(name, is_local, "destroy", locked=locked, program=release_locks) as subject:
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
    with deployment(stack, is_local, "outputs of", program=False) as subject:
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
        with deployment(name, is_local, "preview") as subject:
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
    from infra.requirement import Facts, answers, markdown  # noqa: PLC0415

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

    with deployment(stack, is_local, "graph of", program=False) as subject:
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
    with deployment(stack, is_local, "reconcile", program=False) as subject:
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


@cli.group()
def local() -> None:
    """The local cloud: moto, a state service and the providers, on this machine."""


class PortOf(click.ParamType[tuple[str, int]]):
    """`moto=20140`: the port of one process of the local cloud."""

    name = "name=number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """A name that the local cloud has, and a port that a user may open."""
        from infra.local import daemon  # noqa: PLC0415

        name, _, number = value.partition("=")
        if name not in daemon.PORTS:
            self.fail(f"{value!r}: the local cloud has the ports {', '.join(daemon.PORTS)}")
        if not number.isdecimal() or not 1024 <= int(number) <= 65535:
            self.fail(f"{value!r}: a port is a number from 1024 to 65535")
        return name, int(number)


@local.command("start")
@json_option
@click.option(
    "--port", "ports", type=PortOf(), multiple=True, help="Where a process listens; without it, where it did last."
)
@examples("docsearch local start", "docsearch local start --port moto=24566")
def local_start(as_json: bool, ports: tuple[tuple[str, int], ...]) -> None:
    """Start it; what runs already is left alone."""
    accounts = {config.account_id for config in read_fleet(PROJECT).values()}
    with Progress(err, "local cloud").shown() as progress:
        from infra.local import daemon  # noqa: PLC0415

        status = daemon.start(clouds.ROOT, account=min(accounts), ports=dict(ports), tell=progress.tell)
    show_status(status, as_json)


@local.command("stop")
@json_option
@examples("docsearch local stop")
def local_stop(as_json: bool) -> None:
    """Stop it; what it holds is kept and is there again after the next start."""
    from infra.local import daemon  # noqa: PLC0415

    ended = daemon.stop(clouds.ROOT)
    if as_json:
        show_json({"stopped": list(ended)})
    else:
        show(f"stopped: {', '.join(ended) or 'nothing ran'}")


@local.command("reset")
@yes_option
@json_option
@examples("docsearch local reset --yes")
def local_reset(yes: bool, as_json: bool) -> None:
    """Stop it and forget everything it holds, its state files included."""
    from infra.local import daemon  # noqa: PLC0415

    if not yes:
        click.confirm("Forget everything that the local cloud holds?", abort=True, err=True)
    daemon.reset(clouds.ROOT)
    if as_json:
        show_json({"reset": True})
    else:
        show("the local cloud is empty")


@local.command("status")
@json_option
@examples("docsearch local status --json")
def local_status(as_json: bool) -> None:
    """Show its processes."""
    from infra.local import daemon  # noqa: PLC0415

    show_status(daemon.status(clouds.ROOT), as_json)


@local.command("coverage")
@click.argument("stack", nargs=-1)
@json_option
@examples("docsearch local coverage", "docsearch local coverage prod dr")
def local_coverage(stack: tuple[str, ...], as_json: bool) -> None:
    """List the resource types that it answers for: executed (real API calls) or recorded (validated and kept).

    Of stacks that are up on it, say how much of their AWS resources is executed.
    """
    from infra.local.coverage import coverage, share  # noqa: PLC0415

    if stack:
        shares = {}
        for name in stack:
            with deployment(name, True, "coverage of", program=False) as subject:
                shares[name] = share(item["type"] for item in subject.state().get("resources") or ())
        if as_json:
            show_json(
                [
                    {"stack": name, "executed": its.executed, "recorded": dict(its.recorded), "percent": its.percent}
                    for name, its in shares.items()
                ]
            )
            return
        types = [(name, type_, str(count)) for name, its in shares.items() for type_, count in its.recorded.items()]
        show(report.rows_table(("stack", "recorded only", "resources"), types))
        for name, its in shares.items():
            total = its.executed + sum(its.recorded.values())
            show(f"{name}: {its.executed} of {total} AWS resources are executed ({its.percent:.1f}%)")
        return
    found = coverage()
    if as_json:
        show_json([asdict(item) for item in found])
        return
    show(report.rows_table(("type", "mode", "note"), [(item.token, item.mode, item.note) for item in found]))
    executed = sum(item.mode == "executed" for item in found)
    show(f"{executed} of {len(found)} types are executed")


@local.command("env")
@json_option
@examples('eval "$(docsearch local env)"; pulumi preview --stack prod')
def local_env(as_json: bool) -> None:
    """Print the environment in which plain `pulumi` works on the local cloud, for a shell to evaluate."""
    import shlex  # noqa: PLC0415

    from infra import engine  # noqa: PLC0415

    with Progress(err, "local env").shown() as progress:
        found = engine.ensure_engine(progress.tell)
        host = engine.ensure_language_host(progress.tell)
        clouds.local(min(config.account_id for config in read_fleet(PROJECT).values()), tell=progress.tell)
    path = ":".join([str(Path(sys.executable).parent), str(found.command.parent), str(host)])
    if as_json:
        show_json({**clouds.local_env(), "PATH": f"{path}:{os.environ.get('PATH', '')}"})
        return
    click.echo("unset KUBECONFIG")
    for name, value in clouds.local_env().items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f'export PATH={shlex.quote(path)}:"$PATH"')


def show_status(status: Any, as_json: bool) -> None:
    """Print how the local cloud is."""
    if as_json:
        show_json(asdict(status))
        return
    rows = [
        (
            process.name,
            "healthy" if process.healthy else process.detail or "down",
            str(process.pid or "-"),
            ", ".join(f"{name} {port}" for name, port in process.ports.items()),
            f"{process.uptime_s:.0f} s",
            f"{process.memory_mb:.0f} MB",
        )
        for process in status.processes
    ]
    show(report.rows_table(("process", "state", "pid", "ports", "up", "memory"), rows))


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


def main() -> None:
    """Entry point of the `docsearch` command."""
    cli()
