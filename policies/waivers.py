"""Waivers: what may break a rule, or be replaced or deleted, for a while, and who said so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

FILE: Final = Path(__file__).resolve().parent / "waivers.yaml"

DESTROY: Final = "destroy"
"""What a waiver waives when it is not a rule: the destructive-change gate."""


class WaiverError(Exception):
    """The file of waivers cannot be used; the message names file, entry and reason."""


class Waiver(BaseModel):
    """One exception, for one resource.

    Attributes:
        waives: A rule's id, or `destroy` for the gate.
        urn: The resource; no patterns, so that nothing is waived by accident.
        reason: Why.
        owner: Who answers for it: a person's or a team's address.
        expires: The last day on which it holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    waives: str = Field(min_length=1)
    urn: str = Field(pattern=r"^urn:pulumi:[^:*]+::[^:*]+::[^*]+$")
    reason: str = Field(min_length=10)
    owner: str = Field(pattern=r"^\S+@\S+$")
    expires: date

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return today > self.expires


_FILE = TypeAdapter(list[Waiver])


def read_waivers(file: Path = FILE, *, rules: Sequence[str]) -> tuple[Waiver, ...]:
    """All waivers of a file, those that have expired included.

    Args:
        file: A YAML list; a file that is not there holds none.
        rules: The ids that there are.

    Raises:
        WaiverError: It is not YAML, misses a field, names a rule that does not exist, or says the same twice.
    """
    if not file.exists():
        return ()
    try:
        found = _FILE.validate_python(yaml.safe_load(file.read_text(encoding="utf-8")) or [])
    except yaml.YAMLError as error:
        raise WaiverError(f"{file.name} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        entry, *path = first["loc"] or ("",)
        where = f"entry {int(entry) + 1}" if isinstance(entry, int) else "the file"
        raise WaiverError(f"{file.name}: {where}: {'.'.join(map(str, path)) or 'it'}: {first['msg']}") from None
    known = {*rules, DESTROY}
    seen: set[tuple[str, str]] = set()
    for number, waiver in enumerate(found, 1):
        if waiver.waives not in known:
            raise WaiverError(f"{file.name}: entry {number}: there is no rule {waiver.waives!r}")
        if (waiver.waives, waiver.urn) in seen:
            raise WaiverError(f"{file.name}: entry {number}: {waiver.waives} is waived twice for {waiver.urn}")
        seen.add((waiver.waives, waiver.urn))
    return tuple(found)
