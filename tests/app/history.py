"""A history of writes as their callers saw them, and what has to hold of what is there in the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True)
class Attempt:
    """A write of one document, by the one caller that writes it.

    Attributes:
        text: What was written; None for a deletion.
        version: The version that was acknowledged; None if nothing was: then it may have happened, or not.
    """

    text: str | None
    version: int | None


@dataclass
class History:
    """What was asked for, document by document, in order.

    Attributes:
        attempts: Writes of each document.
    """

    attempts: dict[UUID, list[Attempt]] = field(default_factory=dict)

    def note(self, document_id: UUID, text: str | None, version: int | None) -> None:
        """Adds a write."""
        self.attempts.setdefault(document_id, []).append(Attempt(text, version))

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged."""
        return sum(one.version is not None for tries in self.attempts.values() for one in tries)

    def violations(self, there: Mapping[UUID, str], versions: Mapping[UUID, int]) -> list[str]:
        """What is not as it was acknowledged.

        Args:
            there: The text of every document that is there.
            versions: Its version.
        """
        found = [f"{one} is there, and nobody wrote it" for one in there if one not in self.attempts]
        for document_id, tries in self.attempts.items():
            last = max((at for at, one in enumerate(tries) if one.version is not None), default=-1)
            # What was acknowledged last, or anything after it that was not.
            possible = (
                {one.text for one in tries[max(last, 0) :]} if last >= 0 else {None, *(one.text for one in tries)}
            )
            text = there.get(document_id)
            if text not in possible:
                found.append(f"{document_id} is {text!r}, and may only be one of {sorted(map(str, possible))}")
            acknowledged = [one.version for one in tries if one.version is not None]
            if acknowledged != sorted(set(acknowledged)):
                found.append(f"{document_id} was acknowledged at {acknowledged}: two writes had one version")
            if last >= 0 and text is not None and versions[document_id] < max(acknowledged):
                found.append(f"{document_id} has version {versions[document_id]}, and {max(acknowledged)} was promised")
        return found
