"""How a resource becomes charges: pricers, and what they see of a plan.

A pricer is one line of the bill: a pure function from a resource, and what stands around it in its plan, to charges. A
type has as many as its bill has lines, so that a value that is not known takes one line away and not the resource.

    @prices("aws:ec2/natGateway:NatGateway", "hours")
    def hours(nat: Resource, around: Around) -> Iterator[Charge]:
        yield Charge("NAT gateway hours", "AmazonVPC", "nat-gateway:hour", Range.of(HOURS))

Values are read by `Resource`, which never lets anything through that is not what it was asked for: what is not known
before the update, secret, of the wrong type, negative or absurd raises `NoFigureError` and becomes a gap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, TypeVar

from infra.cost.model import Charge, Range
from infra.cost.usage import Figures
from infra.plan import UNKNOWN, Change, is_secret

MOST: Final = Decimal(10**9)
"""More than any number of a resource is."""

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_WHOLE: Final = re.compile(r"[0-9]{1,12}")

V = TypeVar("V")


class NoFigureError(Exception):
    """A value that decides a charge cannot be used.

    Attributes:
        path: Property path, or key of the usage file.
        why: Why not.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} {why}")
        self.path, self.why = path, why


class NotKnownError(NoFigureError):
    """A value that decides a charge is not known before the update."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "is not known before the update")


class UnpricedError(Exception):
    """There is a charge, and nobody has said how it is priced.

    Attributes:
        what: Which.
        why: Why not.
    """

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what, self.why = what, why


@dataclass(frozen=True)
class OneOf:
    """Alternatives, of which AWS picks as it goes.

    The cheapest is what it costs at least, the dearest at most, and an equal share of each is expected.

    Attributes:
        charges: The same quantity of each.
    """

    charges: tuple[Charge, ...]


Charges = Iterable[Charge | OneOf]


@dataclass(frozen=True)
class Resource:
    """A resource as pricers see it.

    Attributes:
        urn: Its identity.
        type: Its type token.
        props: Its inputs.
        parent: URN of its parent.
    """

    urn: str
    type: str
    props: Mapping[str, Any] = field(default_factory=dict)
    parent: str = ""

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.split("::", 3)[-1]

    def has(self, path: str) -> bool:
        """Whether there is anything at a path, known or not."""
        try:
            return self._at(path) is not None
        except NoFigureError:
            return True

    def number(self, path: str, default: Decimal | int | None = None) -> Decimal:
        """The number at a path.

        Raises:
            NoFigureError: It is not a number that can be counted with, or is missing and has no default.
        """
        value = self._given(path, default)
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)  # Pulumi and Kubernetes take numbers as text, too.
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != value:
            raise NoFigureError(path, f"is {_shown(value)}, not a number")
        if not 0 <= value <= MOST:
            raise NoFigureError(path, f"is {_shown(value)}, which cannot be billed")
        return value if isinstance(value, Decimal) else Decimal(str(value))

    def text(self, path: str, default: str | None = None) -> str:
        """The text at a path.

        Raises:
            NoFigureError: It is not text, or is missing and has no default.
        """
        value = self._given(path, default)
        if not isinstance(value, str) or not value:
            raise NoFigureError(path, f"is {_shown(value)}, not text")
        return value

    def flag(self, path: str, *, default: bool = False) -> bool:
        """The truth at a path.

        Raises:
            NoFigureError: It is neither true nor false.
        """
        value = self._given(path, default)
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise NoFigureError(path, f"is {_shown(value)}, not true or false")
        return value

    def each(self, path: str) -> list[str]:
        """The paths of a list's items; none where there is no list.

        Raises:
            NoFigureError: It is not a list.
        """
        value = self._at(path)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise NoFigureError(path, f"is {_shown(value)}, not a list")
        return [f"{path}[{index}]" for index in range(len(value))]

    def group(self, path: str) -> Mapping[str, Any]:
        """The keys and values at a path; none where there is nothing.

        Raises:
            NoFigureError: It is not a group of keys.
        """
        value = self._at(path)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise NoFigureError(path, f"is {_shown(value)}, not a group of keys")
        return value

    def _given(self, path: str, default: Any) -> Any:
        value = self._at(path)
        if value is None and default is None:
            raise NoFigureError(path, "is missing")
        return default if value is None else value

    def _at(self, path: str) -> Any:
        value: Any = self.props
        for key, index in _STEP.findall(path):
            if value == UNKNOWN:
                break
            if is_secret(value):
                raise NoFigureError(path, "is secret")
            if index:
                value = value[int(index)] if isinstance(value, list | tuple) and int(index) < len(value) else None
            elif isinstance(value, Mapping):
                value = value.get(key)
            elif value is not None:
                raise NoFigureError(path, f"has {_shown(value)} above it, not a group of keys")
        if value == UNKNOWN:
            raise NotKnownError(path)
        if is_secret(value):
            raise NoFigureError(path, "is secret")
        return value


def plain(value: Decimal) -> str:
    """A number for people: 21, and not 21.0."""
    return format(value.normalize(), ",f")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class Around:
    """What stands around a resource: the rest of its plan, the figures of its stack, the other regions' plans.

    Args:
        region: The stack's region.
        changes: What the plan holds.
        figures: What the usage file says of the stack.
        day: Of the price snapshot, `YYYY-MM-DD`: versions are in extended support as of that day.
        others: What other stacks hold: a member of theirs takes its size from there.
    """

    def __init__(
        self,
        region: str,
        changes: Iterable[Resource],
        figures: Figures,
        *,
        day: str,
        others: Iterable[Resource] = (),
    ) -> None:
        self.region, self.figures, self.day = region, figures, day
        self.resources = tuple(changes)
        self._others = tuple(others)
        self._kept: dict[Any, Any] = {}

    @cached_property
    def _by_type(self) -> Mapping[str, list[Resource]]:
        return _by_type(self.resources)

    @cached_property
    def _others_by_type(self) -> Mapping[str, list[Resource]]:
        return _by_type(self._others)

    def all(self, type_: str) -> list[Resource]:
        """The plan's resources of a type."""
        return self._by_type.get(type_, [])

    def elsewhere(self, type_: str) -> list[Resource]:
        """The other stacks' resources of a type."""
        return self._others_by_type.get(type_, [])

    def share(self, figure: Range, type_: str) -> Range:
        """A figure of the whole stack, spread evenly over its resources of a type."""
        return figure.each(lambda value: value / max(1, len(self.all(type_))))

    def beside(self, resource: Resource, type_: str) -> Resource | None:
        """The resource of a type that belongs to another one: made by the same component under the same name.

        Ids are made up by the cloud, and not known when a plan is made.
        """
        found: dict[tuple[str, str], Resource] = self.kept(
            ("beside", type_), lambda: {(one.parent, one.name): one for one in self.all(type_)}
        )
        return found.get((resource.parent, resource.name))

    def peer_region(self) -> str:
        """The region that data is replicated with.

        Raises:
            NoFigureError: The usage file does not say.
        """
        if self.figures.peer is None:
            raise NoFigureError("peer.region", "is missing in the usage file")
        return self.figures.peer.region

    @cached_property
    def crossing(self) -> Decimal:
        """The part of what clients in every zone send that goes to another zone: two thirds with three."""
        named = (subnet.props.get("availabilityZone") for subnet in self.all("aws:ec2/subnet:Subnet"))
        zones = len({zone for zone in named if isinstance(zone, str)})
        return Decimal(zones - 1) / zones if zones else Decimal(0)

    def kept(self, key: Any, make: Callable[[], V]) -> V:
        """What `make` gives, worked out once: an estimate grows with its resources then, and not with their square."""
        if key not in self._kept:
            self._kept[key] = make()
        found: V = self._kept[key]
        return found


def _by_type(resources: Iterable[Resource]) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for one in resources:
        found.setdefault(one.type, []).append(one)
    return found


def resource(change: Change, *, before: bool = False) -> Resource:
    """A change as pricers see it, after the change or before it."""
    props = (change.before or change.inputs) if before else change.inputs
    return Resource(change.urn, change.type, props, change.parent)


Pricing = Callable[[Resource, Around], Charges]


@dataclass(frozen=True)
class Pricer:
    """One line of the bill of a type.

    Attributes:
        what: Which, for people.
        charges: The charges of a resource.
    """

    what: str
    charges: Pricing


PRICERS: Final[dict[str, list[Pricer]]] = {}
"""Every pricer by type token, in the order of the bill."""

F = TypeVar("F", bound=Pricing)


def prices(type_: str, what: str) -> Callable[[F], F]:
    """Makes a pricer of a function, for one type; a function may price several."""

    def register(charges: F) -> F:
        PRICERS.setdefault(type_, []).append(Pricer(what, charges))
        return charges

    return register
