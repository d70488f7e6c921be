"""What all commands share: how they print, how they fail, their common options, and opening a stack."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.markup import escape

from components.errors import ConfigError, DocsearchError
from infra import clouds
from infra.errors import InterruptedUpdateError
from infra.program import PROJECT, read_config
from infra.progress import Progress
from stacks.fleet import read_fleet

F = TypeVar("F", bound=Callable[..., Any])

AS_BASE = "DOCSEARCH_AS_BASE"
"""Set by `docsearch check` for the base of a change, which its own code brings up; older commits ignore it."""

WIDE = 10_000
"""Columns where there is no terminal: a URN that is folded cannot be searched for."""

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def show(what: RenderableType) -> None:
    """Print a table or a line for people."""
    out.print(what)


def show_json(value: object) -> None:
    """Print for programs: one JSON document, nothing else on stdout."""
    click.echo(json.dumps(value, indent=2, sort_keys=False, default=str))


class Group(click.Group):
    """Turns docsearch's own errors into one message and their exit code."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A command by its name, which may be two words: `cost refresh` stands beside `cost`."""
        if " ".join(args[:2]) in self.commands:
            args = [" ".join(args[:2]), *args[2:]]
        return super().resolve_command(ctx, args)

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


def stacks_of(named: Sequence[str], every: bool) -> list[str]:
    """The stacks that a command is about, primary first; every name is checked before anything is done."""
    if not named and not every:
        raise ConfigError("no stack is named", remedy="Name one (docsearch up prod), or say --all")
    configs = {name: read_config(name) for name in (read_fleet(PROJECT) if every else named)}
    return sorted(configs, key=lambda name: (configs[name].role != "primary", name))


@contextmanager
def deployment(
    stack: str,
    is_local: bool,
    title: str,
    *,
    locked: bool | None = None,
    program: bool = True,
    on: clouds.Cloud | None = None,
) -> Iterator[Any]:
    """A stack on its cloud, with live progress on stderr.

    Args:
        stack: Its name.
        is_local: Whether its cloud is the local one.
        title: What is being done, for the progress.
        locked: Goes over what its file says.
        program: False for what only reads or deletes, which a standby can do without its primary.
        on: Another cloud than these two.
    """
    from infra import engine  # noqa: PLC0415 - the Automation API takes a second to import, and `--help` needs none
    from infra.deploy import Deployment  # noqa: PLC0415

    config = read_config(stack, locked=locked)
    with Progress(err, f"{title} {stack}").shown() as progress:
        found = engine.ensure_engine(progress.tell)
        cloud = on or (clouds.local(config.account_id, tell=progress.tell) if is_local else clouds.aws())
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
