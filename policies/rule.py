"""What a rule is: a pure function from a resource, or a whole stack, to findings.

    @rule(
        "rds-backups",
        on=INSTANCE,
        severity=Severity.CRITICAL,
        why="Without backups a wrong delete is final.",
        remedy="Keep backups longer",
        key="database.backup_days",
        reference="https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithAutomatedBackups.html",
    )
    def backups(instance: Resource, *, days: Annotated[int, Bounds(1, 35)] = 7) -> Iterator[Finding]:
        yield from must(instance, "backupRetentionPeriod", at_least(days))

What can be configured is a keyword of the function: its default holds unless the stack's file of thresholds says more
(`policies/prod.json`). A value that is not known before the update is never judged: `must` then says *unverified*.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

Limits = Mapping[str, float]


T = TypeVar("T")


class Severity(StrEnum):
    """How grave a finding is: critical and high stop a change, medium advises."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"

    @property
    def blocks(self) -> bool:
        """Whether a finding stops the change."""
        return self is not Severity.MEDIUM


class _Unknown:
    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = _Unknown()
"""In place of a value that the cloud makes up later."""


@dataclass(frozen=True)
class Finding:
    """What a rule has to say of a resource.

    Attributes:
        path: Property path; empty for the resource as a whole.
        message: What is wrong, for example `is false, and must be true`; with `verified` False: what is not known yet.
        verified: False where the rule met a value that is not known before the update.
        urn: The resource, if it is not the one that the rule was called for.
    """

    path: str
    message: str
    verified: bool = True
    urn: str = ""


@dataclass(frozen=True)
class Resource:
    """A resource as the engine shows it.

    Attributes:
        urn: Its identity.
        type: Its type token.
        props: Its properties as plain values; `UNKNOWN` for what is not known before the update.
        protect: Whether Pulumi refuses to delete it.
        provider: The properties of its provider.
        links: By property: the URNs of the resources whose outputs it was made of; only stack rules have it.
    """

    urn: str
    type: str
    props: Mapping[str, Any]
    protect: bool = False
    provider: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.split("::", 3)[-1]

    def get(self, path: str) -> Any:
        """The value at a path such as `vpcConfig.subnetIds[0]`; None where there is none, `UNKNOWN` where not known."""
        return look(self.props, path)


class Stack:
    """All resources of a stack that a rule asked for.

    Args:
        resources: In the engine's order.
    """

    def __init__(self, resources: Sequence[Resource]) -> None:
        self.resources = tuple(resources)
        self._kept: dict[Any, Any] = {}

    @cached_property
    def by_urn(self) -> Mapping[str, Resource]:
        """Resources by identity."""
        return {resource.urn: resource for resource in self.resources}

    @cached_property
    def _by_type(self) -> Mapping[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.type, []).append(resource)
        return found

    def kept(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, worked out once: a rule grows with its resources then, and not with their square."""
        if key not in self._kept:
            self._kept[key] = make()
        found: T = self._kept[key]
        return found

    def of(self, *types: str) -> list[Resource]:
        """The resources of these types."""
        return [resource for type_ in types for resource in self._by_type.get(type_, ())]

    def linked(self, resource: Resource, path: str, *types: str) -> list[Resource]:
        """The resources, of these types if given, that a property was made of."""
        found = [self.by_urn[urn] for urn in resource.links.get(path, ()) if urn in self.by_urn]
        return [other for other in found if not types or other.type in types]


class Bounds(NamedTuple):
    """What a threshold may be, both ends included."""

    least: int
    most: int


@dataclass(frozen=True)
class Rule:
    """One rule; `rule` and `stack_rule` make them.

    Attributes:
        id: Its name, for ever: waivers and thresholds refer to it.
        types: The type tokens that it looks at.
        severity: How grave a finding is.
        why: One line: what goes wrong without it.
        remedy: What to do.
        key: The key of the stack file that decides it; empty where the component does.
        reference: Where it is said.
        whole: Whether it looks at the stack as a whole.
        check: The function.
    """

    id: str
    types: tuple[str, ...]
    severity: Severity
    why: str
    remedy: str
    key: str
    reference: str
    whole: bool
    check: Callable[..., Iterator[Finding]] = field(repr=False, compare=False)

    @cached_property
    def defaults(self) -> Limits:
        """Its thresholds where nobody says otherwise."""
        found = inspect.signature(self.check).parameters.values()
        return {one.name: one.default for one in found if one.kind is inspect.Parameter.KEYWORD_ONLY}

    @cached_property
    def schema(self) -> Mapping[str, Mapping[str, Any]]:
        """JSON schema of each threshold."""
        hints = get_type_hints(self.check, include_extras=True)
        return {
            name: {"type": "integer", "minimum": bounds.least, "maximum": bounds.most, "default": default}
            for name, default in self.defaults.items()
            for bounds in [_bounds(self.id, name, hints[name])]
        }

    def described(self) -> list[tuple[str, str]]:
        """All that a person asks of a rule, as rows."""
        limits = [
            f"{name} {self.defaults[name]:g} ({its['minimum']} to {its['maximum']})"
            for name, its in self.schema.items()
        ]
        return [
            ("rule", self.id),
            ("severity", f"{self.severity.value}: {'stops a change' if self.severity.blocks else 'advises'}"),
            ("looks at", ", ".join(self.types) + (" of the whole stack" if self.whole else "")),
            ("why", self.why),
            ("remedy", self.remedy),
            ("set by", self.key or "the component"),
            ("thresholds", ", ".join(limits) or "none"),
            ("reference", self.reference),
        ]

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "types": list(self.types),
            "whole_stack": self.whole,
            "why": self.why,
            "remedy": self.remedy,
            "key": self.key,
            "thresholds": {name: dict(its) for name, its in self.schema.items()},
            "reference": self.reference,
        }

    def judge(self, subject: Resource | Stack, limits: Limits | None = None) -> list[Finding]:
        """What it has to say, with these thresholds above its own."""
        # Thresholds come through JSON, where whole numbers are floats.
        return list(
            self.check(subject, **{**self.defaults, **{name: int(limit) for name, limit in (limits or {}).items()}})
        )


ANY: Final = "*"
"""In place of a type: every resource of a type that no other rule looks at."""

RULES: Final[dict[str, Rule]] = {}
"""All rules by id; filled by importing the modules that hold them (`policies.all_rules`)."""

F = TypeVar("F", bound=Callable[..., Iterator[Finding]])


def rule(
    id_: str, *, on: str | Collection[str], severity: Severity, why: str, remedy: str, reference: str, key: str = ""
) -> Callable[[F], F]:
    """Makes a rule of a function that looks at one resource of the types `on`."""
    return _rule(id_, on, severity, why, remedy, reference, key, whole=False)


def stack_rule(
    id_: str, *, on: str | Collection[str], severity: Severity, why: str, remedy: str, reference: str, key: str = ""
) -> Callable[[F], F]:
    """Makes a rule of a function that looks at a `Stack` that holds all resources of the types `on`."""
    return _rule(id_, on, severity, why, remedy, reference, key, whole=True)


def _rule(
    id_: str,
    on: str | Collection[str],
    severity: Severity,
    why: str,
    remedy: str,
    reference: str,
    key: str,
    *,
    whole: bool,
) -> Callable[[F], F]:
    def register(check: F) -> F:
        if id_ in RULES:
            raise ValueError(f"two rules are called {id_}")
        types = (on,) if isinstance(on, str) else tuple(on)
        RULES[id_] = Rule(id_, types, severity, why, remedy, key, reference, whole, check)
        return check

    return register


def _bounds(id_: str, name: str, hint: Any) -> Bounds:
    if get_origin(hint) is Annotated and get_args(hint)[0] is int:
        for note in get_args(hint)[1:]:
            if isinstance(note, Bounds):
                return note
    raise TypeError(f"the threshold {name} of {id_} is not Annotated[int, Bounds(...)]")


# Reading properties

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def look(value: Any, path: str) -> Any:
    """The value at a path; None where there is none, `UNKNOWN` where it, or what holds it, is not known."""
    for key, index in _STEP.findall(path):
        if value is UNKNOWN:
            return UNKNOWN
        if index:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
    return value


def items(resource: Resource, path: str) -> list[tuple[str, Any]]:
    """The path and value of each item of a list; an unknown list is one unknown item, anything else none."""
    value = resource.get(path)
    if value is UNKNOWN:
        return [(path, UNKNOWN)]
    return [(f"{path}[{index}]", item) for index, item in enumerate(value)] if isinstance(value, list) else []


class Want(NamedTuple):
    """What a value must be.

    Attributes:
        text: In words, after "must be".
        holds: Whether a known value is so; total, whatever the value is.
    """

    text: str
    holds: Callable[[Any], bool]


TRUE: Final = Want("true", lambda value: value is True)
FALSE: Final = Want("false or absent", lambda value: value is None or value is False)
GIVEN: Final = Want("given", lambda value: value not in (None, "", [], {}))
ABSENT: Final = Want("absent", lambda value: value in (None, "", [], {}))


def number(value: Any) -> float | None:
    """A value as a number, if it is one; true, false, text and NaN are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return value


def at_least(least: int) -> Want:
    """A number that is not smaller."""
    return Want(f"at least {least}", lambda value: (found := number(value)) is not None and found >= least)


def one_of(*values: str) -> Want:
    """One of these texts."""
    return Want(" or ".join(values), lambda value: isinstance(value, str) and value in values)


def multiple_of(factor: int) -> Want:
    """A whole positive number of groups."""
    return Want(
        f"a multiple of {factor}",
        lambda value: (found := number(value)) is not None and found >= factor and found % factor == 0,
    )


def must(resource: Resource, path: str, want: Want, *, why: str = "") -> Iterator[Finding]:
    """Says so if the value at a path is not what it must be, or is not known yet.

    Args:
        resource: Of which.
        path: Property path.
        want: What it must be.
        why: What is added to the message.
    """
    yield from judge(resource.get(path), path, want, why=why)


def judge(value: Any, path: str, want: Want, *, why: str = "", urn: str = "") -> Iterator[Finding]:
    """The same for a value that was read already."""
    if value is UNKNOWN:
        yield unverified(path, urn=urn)
    elif not want.holds(value):
        yield Finding(path, f"is {shown(value)}, must be {want.text}" + (f": {why}" if why else ""), urn=urn)


def unverified(path: str, *, urn: str = "") -> Finding:
    """That the value at a path is not known before the update."""
    return Finding(path, "is not known before the update", verified=False, urn=urn)


_LARGE: Final = 10**15
_WORD = re.compile(r"[A-Za-z0-9*][A-Za-z0-9_.:/*-]{0,47}")


def shown(value: Any) -> str:
    """A value for people; only what looks like a setting: text may be a secret, and rules read settings."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) < _LARGE else "a huge number"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | Mapping):
        return f"{len(value)} items" if value else "empty"
    return value if isinstance(value, str) and _WORD.fullmatch(value) else "something else"
