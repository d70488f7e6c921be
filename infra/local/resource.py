"""What a local provider is asked about: plain values, one resource at a time.

`provider` speaks gRPC and turns requests into these; a *package* (aws, kubernetes, random) answers them. Property
values are JSON-like Python values; a value the engine does not know yet is `UNKNOWN`. Secrets never reach a package
as secrets: the engine strips the mark from inputs and puts it back on the outputs of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


class Unknown:
    """The value of an output that is not known before the update runs."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()

Props = dict[str, Any]


def has_unknown(value: object) -> bool:
    """Whether the value is, or holds, an unknown."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return isinstance(value, Unknown)


@dataclass(frozen=True)
class Ref:
    """The resource that a request is about.

    Attributes:
        urn: The engine's identity of the resource.
        type: Its type token, for example `aws:ec2/vpc:Vpc`.
        name: Its logical name.
        seed: Random bytes that the engine gives for automatic names; empty outside `check`.
    """

    urn: str
    type: str
    name: str
    seed: bytes = b""


@dataclass(frozen=True)
class Failure:
    """An input that was refused: which property, and why."""

    property: str
    reason: str


@dataclass(frozen=True)
class Change:
    """One property path that differs.

    Attributes:
        path: Dotted path with `[n]` for list items, as the engine prints it.
        kind: `add`, `delete` or `update`.
        replaces: Whether the resource has to be replaced because of it.
    """

    path: str
    kind: str
    replaces: bool = False


@dataclass(frozen=True)
class Diff:
    """How new inputs differ from what is there."""

    changes: tuple[Change, ...] = ()
    delete_before_replace: bool = False

    @property
    def replaces(self) -> bool:
        return any(change.replaces for change in self.changes)


@dataclass(frozen=True)
class State:
    """A resource as its cloud knows it."""

    id: str
    inputs: Props
    outputs: Props


class ProviderError(Exception):
    """A request that the cloud refused, in the cloud's own words."""


class Session(Protocol):
    """One configured provider (a region, a cluster) of a package."""

    def check(self, ref: Ref, old: Props, new: Props) -> tuple[Props, list[Failure]]:
        """Fill in names and defaults, and refuse what cannot work."""

    def diff(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props) -> Diff:
        """Compare new inputs with what is there."""

    def create(self, ref: Ref, inputs: Props, preview: bool) -> tuple[str, Props]:
        """Create and return (id, outputs); at preview return what is already known."""

    def read(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> State | None:
        """What is there now, or None when nothing is."""

    def update(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props, preview: bool) -> Props:
        """Change in place and return the outputs."""

    def delete(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> None:
        """Delete; deleting what is gone is no error."""


class Package(Protocol):
    """A provider package: aws, kubernetes or random."""

    name: str
    version: str

    def configure(self, config: Props) -> Session:
        """Open a session for one provider resource of the program. Raises `ProviderError`."""


@dataclass
class Tree:
    """Walks two values side by side and yields the paths at which they differ."""

    ignored: frozenset[str] = field(default_factory=frozenset)

    def changes(self, old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
        """Yield (path, kind) for each difference, the deepest path that names it."""
        if path in self.ignored:
            return
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            for key in [*old, *(key for key in new if key not in old)]:
                if key.startswith("__"):
                    continue
                inner = f"{path}.{key}" if path else key
                if key not in new:
                    yield from self._gone(old[key], inner)
                elif key not in old:
                    if new[key] is not None:
                        yield inner, "add"
                else:
                    yield from self.changes(old[key], new[key], inner)
        elif _is_list(old) and _is_list(new):
            for index in range(max(len(old), len(new))):
                inner = f"{path}[{index}]"
                if index >= len(new):
                    yield inner, "delete"
                elif index >= len(old):
                    yield inner, "add"
                else:
                    yield from self.changes(old[index], new[index], inner)
        elif isinstance(old, Unknown) or isinstance(new, Unknown) or not _same(old, new):
            yield path, "update"

    def _gone(self, old: Any, path: str) -> Iterator[tuple[str, str]]:
        if path not in self.ignored and old is not None:
            yield path, "delete"


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, bool) is not isinstance(new, bool):
        return False
    return bool(old == new)


@dataclass(frozen=True)
class Coverage:
    """How far the local cloud goes for one resource type.

    Attributes:
        token: Its type token.
        mode: `executed`, really done; or `recorded`, validated and kept without behaviour.
        note: What is particular, for `docsearch local coverage`.
    """

    token: str
    mode: Literal["executed", "recorded"]
    note: str
