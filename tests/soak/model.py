"""What a row of the soak is: a promise of the service, held to a pass mark, in a quick form and in a full one.

The quick form runs in `make test`, the full one in `make soak`. Both are the same code: only counts and times differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

Tell = Callable[[str], None]
"""Takes a line of progress."""


class Scale(Enum):
    """How much of a row is done."""

    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True)
class Verdict:
    """What a row found.

    Attributes:
        row: Name of the row, as `python -m tests.soak ROW` takes it.
        promise: What was held to, with its pass mark.
        figures: What was measured or counted, each with its unit in its name.
        broken: What did not hold, each with what was seen; empty if all did.
        notes: What a reader has to know besides, such as what one machine cannot show.
        seed: What the run's chance came from: given again, the schedule is the same.
    """

    row: str
    promise: str
    figures: Mapping[str, float | int | str]
    broken: tuple[str, ...] = ()
    seed: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def held(self) -> bool:
        """Whether the promise held."""
        return not self.broken


class Row(Protocol):
    """A module of `tests/soak/rows/`: its name is the row's."""

    PROMISE: str

    def run(self, scale: Scale, seed: int, tell: Tell) -> Verdict:
        """Starts what it needs, does the row, and stops all of it again, whatever happens."""
        ...
