"""What is written about the search API is true."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli import cli
from app.errors import every_error
from app.http.app import OPERATIONS
from app.manual import commands, manual
from app.settings import options

ROOT = Path(__file__).parents[2]
COMMANDS = dict(commands(cli))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_reference_is_current() -> None:
    written = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert written == manual(), "Write it again: python -m app.manual > docs/api.md"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_option_and_argument_is_in_the_reference(path: str) -> None:
    section = re.search(rf"^### {path}\n(.*?)(?=^##)", manual(), re.MULTILINE | re.DOTALL)
    assert section, path
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert re.search(rf"^\| `{parameter.opts[0]}\b.*` \| \S", section[1], re.MULTILINE), parameter.opts
        else:
            assert str(parameter.name).upper() in section[1]
    assert f"\n{path}" in section[1].partition("```sh")[2], "no example"


def test_every_endpoint_option_and_error_is_in_the_reference() -> None:
    text = manual()
    for one in OPERATIONS:
        assert f"### {one.method} {one.path}\n" in text
    for name, _ in options():
        assert f"| `{name}` |" in text
    for kind in every_error():
        assert kind.code == "settings" or f"`{kind.code}`" in text


def test_every_table_of_the_reference_has_rows_that_are_as_wide_as_its_head() -> None:
    """A line break in a cell ends the table: what stands below is shown as text."""
    width = 0
    for line in manual().splitlines():
        if not line.startswith("|"):
            assert not line.endswith("|"), line
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line)) - 1
        assert line.endswith("|"), line
        assert cells == (width or cells), line
        width = cells


def test_a_member_of_a_type_has_a_type_and_not_its_meaning_twice() -> None:
    types = manual().partition("\n## Types\n")[2].partition("\n## Errors\n")[0]
    rows = re.findall(r"^\| `\w+` \| (.+?) \| (.+) \|$", types, re.MULTILINE)
    assert len(rows) > 50
    assert [row for row in rows if row[0] == row[1]] == []
    assert ("uuid", "The document; of a duplicate, the one that is there.") in rows


def told(text: str) -> Iterator[list[str]]:
    """The command lines of a document, up to where their output goes elsewhere."""
    code = [
        *re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL),
        *re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text),
        *re.findall(r"^(?: {4}|\t)(.*)$", text, re.MULTILINE),
    ]
    for line in (re.sub(r"\s#.*", "", line) for block in code for line in block.splitlines()):
        for found in re.findall(r"(?:^|[\s(\"/])docsearch-api ([^#|;>)\"\[]*)", line):
            yield shlex.split(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_in_the_documents_can_be_given(document: Path) -> None:
    for words in told(document.read_text(encoding="utf-8")):
        command: click.Command = cli
        rest = list(words)
        while isinstance(command, click.Group) and rest:
            found = command.commands.get(rest.pop(0))
            assert found, words
            command = found
        if isinstance(command, click.Group) or not rest:
            continue
        given = [str(Path(__file__)) if word.endswith(".ndjson") else word for word in rest]
        command.make_context("docsearch-api", given)


def test_the_help_of_the_command_has_examples() -> None:
    for path, command in COMMANDS.items():
        assert "Examples:" in (command.help or ""), path
