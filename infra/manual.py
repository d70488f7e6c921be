"""The reference of the command, docs/commands.md: `python -m infra.manual > docs/commands.md`. Pure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import click

import infra.errors
from infra.cli import cli

STREAMS = """\
Tables, outputs and JSON go to stdout; progress, questions and errors to stderr. With `--json`, stdout is exactly one
JSON document. An error names what is wrong, why, and the remedy."""


def manual() -> str:
    """Every command with its arguments, options and examples, and every exit code, as Markdown."""
    parts = [
        "# The docsearch command",
        "Generated from `infra/cli.py` by `python -m infra.manual`; a test fails when it is stale.",
        inspect.cleandoc(cli.help or ""),
        STREAMS,
    ]
    for path, command in commands(cli):
        parts += _section(path, command)
    parts += ["## Exit codes", f"```\n{_exit_codes()}\n```"]
    return "\n\n".join(parts) + "\n"


def commands(group: click.Group, above: str = "docsearch") -> Iterator[tuple[str, click.Command]]:
    """Every command below a group, and the words that start it."""
    for name, command in group.commands.items():
        path = f"{above} {name}"
        if isinstance(command, click.Group):
            yield from commands(command, path)
        else:
            yield path, command


def _section(path: str, command: click.Command) -> Iterator[str]:
    text, _, examples = inspect.cleandoc(command.help or "").partition("\n\n\b\nExamples:\n")
    context = click.Context(command, info_name=path)
    yield f"## {path}"
    yield f"    {path} {' '.join(command.collect_usage_pieces(context))}"
    yield text
    options = [option for option in command.params if isinstance(option, click.Option)]
    records = [found for option in options if (found := option.get_help_record(context))]
    rows = [f"| `{name}` | {meaning.replace('<', '&lt;')} |" for name, meaning in records]
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows])
    yield f"```sh\n{inspect.cleandoc(examples)}\n```"


def _exit_codes() -> str:
    """The tree of errors, as their module draws it."""
    return inspect.cleandoc(infra.errors.__doc__ or "").partition("\n\n")[2]


if __name__ == "__main__":
    sys.stdout.write(manual())
