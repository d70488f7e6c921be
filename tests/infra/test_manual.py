"""What is written about the command is true."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from infra.cli import cli
from infra.manual import commands, manual, rules_reference
from infra.program import PROJECT
from policies.catalogue import every_rule

COMMANDS = dict(commands(cli))
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


def test_the_reference_is_current() -> None:
    written = (PROJECT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == manual(), "Write it again: python -m infra.manual > docs/commands.md"


def test_the_reference_of_the_rules_is_current() -> None:
    written = (PROJECT / "docs" / "policies.md").read_text(encoding="utf-8")
    assert written == rules_reference(every_rule()), "Write it again: docsearch policies --markdown > docs/policies.md"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_is_in_the_reference(path: str) -> None:
    section = re.search(rf"^## {path}\n(.*?)(?=^## )", manual(), re.MULTILINE | re.DOTALL)
    assert section, path
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert re.search(rf"^\| `{parameter.opts[0]}\b.*` \| \S", section[1], re.MULTILINE), parameter.opts
        else:
            assert str(parameter.name).upper() in section[1]


def test_every_command_is_reached() -> None:
    def count(group: click.Group) -> int:
        return sum(count(c) if isinstance(c, click.Group) else 1 for c in group.commands.values())

    assert len(COMMANDS) == count(cli)


def told(text: str, word: str) -> Iterator[list[str]]:
    """Command lines that start with a word, in code spans and blocks, up to where their output goes elsewhere."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    code = [
        *fenced,
        *re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text),
        *re.findall(r"^(?: {4}|\t)(.*)$", text, re.MULTILINE),
    ]
    for line in (re.sub(r"\s#.*", "", line) for block in code for line in block.splitlines()):
        for found in re.findall(rf"(?:^|[\s(\"/]){word} ([^#|;>)\"]*)", line):
            yield shlex.split(found)


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_every_command_line_in_the_documents_can_be_given(file: Path) -> None:
    for words in told(file.read_text(encoding="utf-8"), "docsearch"):
        if "[OPTIONS]" not in words:  # The usage lines of the reference are click's own.
            parse(words)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_example_can_be_given(path: str) -> None:
    examples = str(COMMANDS[path].help).partition("Examples:\n")[2]
    lines = list(told(f"```\n{examples}```\n", "docsearch"))
    assert lines
    for words in lines:
        parse(words)


def parse(words: list[str]) -> None:
    """Read a command line as the command would, without running it; a bare name only has to exist."""
    group: click.Command = cli
    context = click.Context(cli, info_name="docsearch")
    while isinstance(group, click.Group) and words:
        if words[0] in ("-h", "--help", "--version"):
            return
        name, found, words = group.resolve_command(context, words)
        assert found is not None, name
        group = found
    if words:
        group.make_context(group.name, [*words])


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_every_make_target_in_the_documents_exists(file: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in told(file.read_text(encoding="utf-8"), "make"):
        assert {word for word in words if "=" not in word} <= targets, words


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_every_file_that_the_documents_link_to_exists(file: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), target


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_every_source_file_that_the_documents_name_exists(file: Path) -> None:
    named = re.findall(r"`((?:infra|stacks|components|tests|docs)/[\w/.*-]*)`", file.read_text(encoding="utf-8"))
    assert [name for name in named if not list(PROJECT.glob(name.rstrip("/")))] == []
