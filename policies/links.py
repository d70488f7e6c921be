"""Which resource refers to which: by the outputs that it was made of, or, for a literal, by its value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from policies.rule import UNKNOWN, Resource, Stack

IDENTITIES: Final = ("id", "arn", "name", "bucket")
"""The outputs by which other resources name one."""

NOTHING: Final = (None, "", [])
"""What was emptied may have left its link."""


class Referring(NamedTuple):
    """Who refers to a resource.

    Attributes:
        found: Those that do.
        maybe: Whether another may: what it refers to is not known before the update, and is nothing of this stack.
    """

    found: list[Resource]
    maybe: bool


def refers(resource: Resource, path: str, target: Resource) -> bool:
    """Whether a property was made of the target, or, as a literal, names it."""
    value = resource.get(path)
    if value not in NOTHING and target.urn in resource.links.get(_property(path), ()):
        return True
    return any(text in _names(target) for text in _texts(value))


def referring(stack: Stack, path: str, target: Resource, types: Collection[str]) -> Referring:
    """The resources of these types whose property refers to the target."""
    every, maybe = stack.kept(("referring", path, *types), lambda: _referring(stack, path, types))
    return Referring(_both(every, [target.urn], _names(target)), maybe)


def referred(stack: Stack, resource: Resource, path: str, *types: str) -> list[Resource]:
    """The resources of these types that a property refers to."""
    value = resource.get(path)
    if value in NOTHING:
        return []
    every = stack.kept(("referred", *types), lambda: _indexed(stack.of(*types), lambda one: ([one.urn], _names(one))))
    return _both(every, resource.links.get(_property(path), ()), _texts(value))


class _Index(NamedTuple):
    """Resources, in the stack's order, by URN and by text."""

    by_urn: Mapping[str, Mapping[int, Resource]]
    by_text: Mapping[str, Mapping[int, Resource]]


def _indexed(resources: Iterable[Resource], keys: Callable[[Resource], tuple[Iterable[str], Iterable[str]]]) -> _Index:
    by_urn: dict[str, dict[int, Resource]] = {}
    by_text: dict[str, dict[int, Resource]] = {}
    for place, resource in enumerate(resources):
        urns, texts = keys(resource)
        for urn in urns:
            by_urn.setdefault(urn, {})[place] = resource
        for text in texts:
            by_text.setdefault(text, {})[place] = resource
    return _Index(by_urn, by_text)


def _both(index: _Index, urns: Iterable[str], texts: Iterable[str]) -> list[Resource]:
    found: dict[int, Resource] = {}
    for urn in urns:
        found |= index.by_urn.get(urn, {})
    for text in texts:
        found |= index.by_text.get(text, {})
    return [found[place] for place in sorted(found)]


def _referring(stack: Stack, path: str, types: Collection[str]) -> tuple[_Index, bool]:
    given = [one for one in stack.of(*types) if one.get(path) not in NOTHING]
    maybe = any(one.get(path) is UNKNOWN and not one.links.get(_property(path)) for one in given)
    return _indexed(given, lambda one: (one.links.get(_property(path), ()), _texts(one.get(path)))), maybe


def _texts(value: object) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str) and text]


def _property(path: str) -> str:
    # The engine notes dependencies of whole properties only.
    return path.replace("[", ".").partition(".")[0]


def _names(target: Resource) -> list[str]:
    return [name for key in IDENTITIES if isinstance(name := target.get(key), str)]
