"""The commands of the local cloud: `docsearch local ...`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from infra import clouds, console, report
from infra.console import err, examples, json_option, show, show_json, yes_option
from infra.program import PROJECT
from infra.progress import Progress
from stacks.fleet import read_fleet


@click.group()
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
            with console.deployment(name, True, "coverage of", program=False) as subject:
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
