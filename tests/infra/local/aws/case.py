"""What the shared life-cycle test has to know about a type."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.local.resource import Props, State
from tests.infra.local.aws.world import Place, World

GONE = ""
"""In place of a drifted input: the resource itself is gone."""


@dataclass(frozen=True)
class Case:
    """How one type is exercised.

    Attributes:
        token: The type.
        inputs: What a program would say.
        change: Inputs to change in place afterwards; none for a type that cannot be changed.
        behind: Changes it behind the program's back.
        drifts: The input that has to show that change, or `GONE`.
        unseen: Inputs that an import cannot tell, or tells in more words than the program.
        region: Where it is made.
        remains: Whether deleting it leaves something to read: the setting of something that lives on.
        imports: Whether its id is enough to read it.
        name: Tells cases of one type apart.
    """

    token: str
    inputs: Callable[[Place, World], Props]
    behind: Callable[[Place, State], Any]
    drifts: str
    change: Callable[[Place, World], Props] | None = None
    unseen: frozenset[str] = frozenset()
    region: str = "east"
    remains: bool = False
    imports: bool = True
    name: str = ""

    def __str__(self) -> str:
        return f"{self.token.split(':')[-1]}{self.name and '-'}{self.name}"


def tag(resource: str) -> Callable[[Place, State], Any]:
    """Puts a tag on a resource as EC2 does it."""
    return lambda place, state: place.call(
        "ec2", "CreateTags", Resources=[state.id], Tags=[{"Key": resource, "Value": "changed"}]
    )


def attribute(service: str, operation: str, **params: Any) -> Callable[[Place, State], Any]:
    """One call, with `{}` for the id."""

    def fill(value: Any, id: str) -> Any:
        if isinstance(value, dict):
            return {key: fill(item, id) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item, id) for item in value]
        return id if value == "{}" else value

    return lambda place, state: place.call(service, operation, **fill(params, state.id))
