"""Which resource types the local cloud answers for, and how honestly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.local import aws, kubernetes, kubernetes_custom, random
from infra.local.resource import Coverage


def coverage() -> list[Coverage]:
    """Every type by token: executed (real calls) or recorded (checked and kept)."""
    return [*aws.coverage(), *random.coverage(), *kubernetes.coverage(), *kubernetes_custom.coverage()]


@dataclass(frozen=True)
class Share:
    """How much of a stack's AWS resources is executed.

    Attributes:
        executed: Resources whose type is executed against moto.
        recorded: Number of resources by type that is only recorded.
    """

    executed: int
    recorded: Mapping[str, int]

    @property
    def percent(self) -> float:
        """Executed ones, of all AWS resources; 100 for none at all."""
        total = self.executed + sum(self.recorded.values())
        return 100 * self.executed / total if total else 100.0


def share(types: Iterable[str]) -> Share:
    """How much of these resources, given by type token, is executed; what is not AWS's does not count."""
    executed = {item.token for item in aws.coverage() if item.mode == "executed"}
    counted = Counter(type_ for type_ in types if type_.startswith("aws:"))
    recorded = {type_: count for type_, count in sorted(counted.items()) if type_ not in executed}
    return Share(counted.total() - sum(recorded.values()), recorded)
