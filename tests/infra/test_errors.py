"""The tree of errors at the top of `infra.errors` is the truth about the classes."""

import re
from collections.abc import Iterator

import pytest

import infra.errors
from components.errors import ArgsError, ConfigError, DocsearchError
from infra import cli

TREE = str(infra.errors.__doc__)
ROW = re.compile(
    r"^ +(?P<bars>[│├└─ ]*)(?P<names>\w+Error(?:, \w+Error)*) +(?:\([\w.]+\) )?(?P<code>\d+) +\S", re.MULTILINE
)


def own(cls: type[DocsearchError]) -> Iterator[type[DocsearchError]]:
    """A class and everything below it that belongs to the tree of the two modules."""
    yield cls
    for below in cls.__subclasses__():
        if below.__module__ in ("components.errors", "infra.errors"):
            yield from own(below)


def drawn() -> dict[str, int]:
    return {name: int(row["code"]) for row in ROW.finditer(TREE) for name in row["names"].split(", ")}


def test_the_tree_shows_every_class_with_its_exit_code() -> None:
    assert drawn() == {cls.__name__: cls.exit_code for cls in own(DocsearchError)}


def test_a_class_stands_below_its_base() -> None:
    above = {}
    path: list[tuple[int, str]] = []
    for row in ROW.finditer(TREE):
        depth = len(row["bars"])
        while path and path[-1][0] >= depth:
            path.pop()
        for name in row["names"].split(", "):
            above[name] = path[-1][1] if path else None
        path.append((depth, row["names"].split(", ")[0]))
    assert above == {
        cls.__name__: cls.__base__.__name__ if cls is not DocsearchError and cls.__base__ else None
        for cls in own(DocsearchError)
    }


def test_only_configuration_and_arguments_share_a_code_besides_bases_and_their_own() -> None:
    classes = [cls for cls in own(DocsearchError) if cls.exit_code != DocsearchError.exit_code]
    for one in classes:
        for other in classes:
            if one.exit_code == other.exit_code and {one, other} != {ConfigError, ArgsError}:
                assert issubclass(one, other) or issubclass(other, one)


def test_the_help_names_every_exit_code() -> None:
    named = {int(code) for code in re.findall(r"\b(\d+) [a-z]", cli.EPILOG)}
    assert named == {0, *drawn().values()}


@pytest.mark.parametrize("cls", list(own(DocsearchError)))
def test_every_error_keeps_value_reason_and_remedy(cls: type[DocsearchError]) -> None:
    error = cls("a is 3", why="b is 2", remedy="Write 2")
    assert (error.what, error.why, error.remedy) == ("a is 3", "b is 2", "Write 2")
    assert str(error) == "a is 3: b is 2. Write 2."
