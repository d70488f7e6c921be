"""What the real AWS provider does with each type: defaults, enumerations, what a change replaces.

`facts.json` was read from the public source of the Terraform AWS provider that pulumi-aws 7.51.1 is bridged from; each
entry names its file there. Property paths are Pulumi's, without list indexes. `inputs` comes from the SDK itself.
"""

from __future__ import annotations

import collections.abc
import importlib
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = Path(__file__).with_name("facts.json")


@dataclass(frozen=True)
class Facts:
    """The provider's rules for one type.

    Attributes:
        source: Terraform type and the file in the provider's source.
        replaces: Property paths whose change replaces the resource.
        required: Top-level inputs that must be given.
        computed: Outputs that the cloud decides (also inputs it fills in when they are left out).
        defaults: Top-level inputs and the value that the provider sends when they are left out.
        enums: Property path to the values that are allowed.
        conflicts: Groups of property paths of which one at most may be given.
        conditional: Rules of replacement that depend on values, in words.
    """

    source: str
    replaces: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    enums: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    conflicts: tuple[tuple[str, ...], ...] = ()
    conditional: tuple[str, ...] = ()


@cache
def all_facts() -> Mapping[str, Facts]:
    """Every type's facts by token."""

    def read(entry: dict[str, Any]) -> Facts:
        return Facts(
            source=entry["source"],
            replaces=frozenset(entry.get("replaces", ())),
            required=tuple(entry.get("required", ())),
            computed=tuple(entry.get("computed", ())),
            defaults=entry.get("defaults", {}),
            enums={path: tuple(values) for path, values in entry.get("enums", {}).items()},
            conflicts=tuple(tuple(group) for group in entry.get("conflicts", ())),
            conditional=tuple(entry.get("conditional", ())),
        )

    return {token: read(entry) for token, entry in json.loads(FILE.read_text()).items()}


Schema = Mapping[str, "Property"]


@dataclass(frozen=True)
class Property:
    """One input: whether it is a list, and what it holds.

    Attributes:
        list: Whether it is a list.
        object: The class of its object (or of the list's), if it holds one.
        scalar: `bool`, `int`, `float` or `str`, where it holds nothing else.
    """

    list: bool
    object: type | None
    scalar: type | None = None

    @property
    def fields(self) -> Schema:
        return _fields(self.object) if self.object else {}


def inputs(token: str) -> Schema:
    """The inputs that the pulumi-aws SDK has for a type. Raises `KeyError` for a type that it does not have."""
    _, module, name = token.split(":")
    try:
        package = importlib.import_module(f"pulumi_aws.{module.split('/')[0]}")
        # Called so where `BucketVersioningArgs` is a block of another type.
        arguments = getattr(package, f"{name}InitArgs", None) or getattr(package, f"{name}Args")
    except (ImportError, AttributeError):
        raise KeyError(token) from None
    return _fields(arguments)


@cache
def _fields(arguments: type) -> Schema:
    package = importlib.import_module(".".join(arguments.__module__.split(".")[:2]))
    blocks = getattr(package, "_inputs", package)
    found = {}
    for name, member in vars(arguments).items():
        if isinstance(member, property) and member.fget is not None:
            hint = member.fget.__annotations__["return"]
            found[getattr(member.fget, "_pulumi_name", name)] = _property(hint, blocks)
    return found


def _property(hint: Any, blocks: ModuleType) -> Property:
    """Strip Optional, Input, Awaitable and Output from a hint, down to what it holds."""
    is_list, held = False, None
    scalars: set[type] = set()
    pending = [hint]
    while pending:
        hint = pending.pop()
        origin = typing.get_origin(hint)
        if origin is collections.abc.Sequence:
            is_list = True
        if isinstance(hint, typing.ForwardRef) and hint.__forward_arg__.endswith("Args"):
            held = getattr(blocks, hint.__forward_arg__, None)
        elif hint in (bool, int, float, str):
            scalars.add(hint)
        elif origin is not collections.abc.Mapping:
            pending.extend(typing.get_args(hint))
    return Property(is_list, held, scalars.pop() if len(scalars) == 1 and held is None else None)
