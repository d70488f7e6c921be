"""Whether a new policy document allows more than the old one: compared by what statements mean, not by their text.

A document is taken apart into *grants*: one principal, one action, one resource, and the conditions of the statement.
The new document is looser if it allows something that no single old grant covers, or no longer denies something that
the old one did. What cannot be decided counts as looser: `covers` is true only where it certainly is so (Service
Authorization and IAM user guide, "IAM JSON policy element reference").
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

Conditions = Mapping[tuple[str, str], frozenset[str]]
"""Operator and lower-case key to values."""

_EVERY: Final = "*"

_NARROWS: Final = re.compile(
    r"(For(Any|All)Values:)?(String|Arn)(Equals|Like|EqualsIgnoreCase)|(For(Any|All)Values:)?(IpAddress|NumericEquals)"
)
"""Operators with which fewer values let fewer requests through."""

_WIDENS: Final = re.compile(r"(String|Arn)Not(Equals|Like|EqualsIgnoreCase)|NotIpAddress|NumericNotEquals")
"""Operators with which more values let fewer requests through."""


class UnreadableError(ValueError):
    """The text is no policy document; the message says why."""


@dataclass(frozen=True)
class Part:
    """One principal, action or resource of a statement, or all but some (`NotAction`).

    Attributes:
        value: What it is, with wildcards; a principal is `AWS <arn>`, everyone `*`.
        but: With `value` `*`: what is left out.
    """

    value: str
    but: frozenset[str] = frozenset()

    def covers(self, other: Part) -> bool:
        """Whether it certainly is, or holds, the other one."""
        if self.but:
            return bool(other.but) and self.but <= other.but
        return _matches(self.value, other.value)

    def __str__(self) -> str:
        return f"all but {', '.join(sorted(self.but))}" if self.but else self.value


@dataclass(frozen=True)
class Grant:
    """What a statement says of one principal, action and resource."""

    principal: Part
    action: Part
    resource: Part
    conditions: tuple[tuple[tuple[str, str], frozenset[str]], ...]

    def covers(self, other: Grant) -> bool:
        """Whether it applies wherever the other one does."""
        theirs = dict(other.conditions)
        return (
            self.principal.covers(other.principal)
            and self.action.covers(other.action)
            and self.resource.covers(other.resource)
            and all(key in theirs and _as_strict(key[0], values, theirs[key]) for key, values in self.conditions)
        )

    def __str__(self) -> str:
        where = f" on {self.resource}" if self.resource.value else ""
        who = f" for {self.principal}" if self.principal.value else ""
        keys = ", ".join(sorted({key for (_, key), _ in self.conditions}))
        return f"{self.action}{where}{who}" + (f" under conditions on {keys}" if keys else "")


def loosened(before: str | Mapping[str, Any] | None, after: str | Mapping[str, Any] | None) -> list[str]:
    """What the new document allows, or no longer denies, beside the old one; nothing for one that is as tight.

    Args:
        before: The old document, as JSON text or read; None for none at all.
        after: The new one.

    Raises:
        UnreadableError: One of them is no policy document.
    """
    old_version, allowed, denied = _read(before)
    new_version, allows, denies = _read(after)
    if old_version != new_version and (allowed or denied) and "${" in f"{before}{after}":
        raise UnreadableError("its version decides what a policy variable means, and differs")
    new = [grant for grant in allows if not any(old.covers(grant) for old in allowed)]
    lost = [grant for grant in denied if not any(now.covers(grant) for now in denies)]
    return [*(f"allows {grant}" for grant in new), *(f"no longer denies {grant}" for grant in lost)]


def _read(document: str | Mapping[str, Any] | None) -> tuple[str, list[Grant], list[Grant]]:
    """A document's version, what it allows and what it denies, without what is said twice."""
    if isinstance(document, str):
        try:
            document = json.loads(document) if document.strip() else None
        except ValueError:
            raise UnreadableError("it is not JSON") from None
    if document is None:
        document = {"Statement": []}
    if not isinstance(document, Mapping):
        raise UnreadableError("it is no JSON object")
    statements = document.get("Statement", [] if not document else None)
    found: dict[str, dict[Grant, None]] = {"Allow": {}, "Deny": {}}
    for statement in [statements] if isinstance(statements, Mapping) else _listed(statements):
        effect = statement.get("Effect")
        if effect not in found:
            raise UnreadableError(f"a statement has the effect {effect!r}")
        found[effect].update(dict.fromkeys(_taken_apart(statement)))
    return str(document.get("Version", "2008-10-17")), [*found["Allow"]], [*found["Deny"]]


def _listed(statements: Any) -> list[Mapping[str, Any]]:
    if not isinstance(statements, list) or not all(isinstance(one, Mapping) for one in statements):
        raise UnreadableError("it has no list of statements")
    return statements


def _taken_apart(statement: Mapping[str, Any]) -> Iterator[Grant]:
    unknown = {*statement} - _ELEMENTS
    if unknown:
        raise UnreadableError(f"a statement has {', '.join(sorted(map(str, unknown)))}")
    conditions = tuple(sorted(_conditions(statement.get("Condition") or {}).items()))
    parts = [
        _parts(_principals(statement.get("Principal")), _principals(statement.get("NotPrincipal"))),
        _parts(_texts(statement.get("Action"), str.lower), _texts(statement.get("NotAction"), str.lower)),
        _parts(_texts(statement.get("Resource")), _texts(statement.get("NotResource"))),
    ]
    for principal, action, resource in product(*parts):
        yield Grant(principal, action, resource, conditions)


_ELEMENTS: Final = frozenset(
    "Sid Effect Principal NotPrincipal Action NotAction Resource NotResource Condition".split()
)


def _parts(given: list[str] | None, left_out: list[str] | None) -> list[Part]:
    """One part for each value; with `Not...` one for all the rest; a nameless one where neither is said."""
    if left_out is not None:
        return [Part(_EVERY, frozenset(left_out))]
    return [Part("")] if given is None else [Part(value) for value in given]


def _texts(value: Any, change: Callable[[str], str] = str) -> list[str] | None:
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int | float) for one in values):
        raise UnreadableError("a statement holds what is no text")
    return [change(_plain(one)) for one in values]


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _principals(value: Any) -> list[str] | None:
    """Principals as `<kind> <id>`; everyone is `*`, however it is written; an account is its root."""
    if not isinstance(value, Mapping):
        found = _texts(value)
        if found not in (None, [_EVERY]):
            raise UnreadableError("a principal is neither * nor of a kind")
        return found
    return [
        _EVERY if (kind, id_) == ("AWS", _EVERY) else f"{kind} {re.sub(_ACCOUNT, _ROOT, id_)}"
        for kind, ids in value.items()
        for id_ in _texts(ids) or ()
    ]


_ACCOUNT: Final = r"^(\d{12})$"
_ROOT: Final = r"arn:aws:iam::\1:root"


def _conditions(value: Any) -> Conditions:
    if not isinstance(value, Mapping) or not all(isinstance(its, Mapping) for its in value.values()):
        raise UnreadableError("a statement has conditions that are no objects")
    found = {
        (str(operator), str(key).lower()): frozenset(_texts(values) or ())
        for operator, keys in value.items()
        for key, values in keys.items()
    }
    if len(found) != sum(map(len, value.values())):
        raise UnreadableError("a statement has one condition twice")
    return found


def _as_strict(operator: str, wide: frozenset[str], narrow: frozenset[str]) -> bool:
    """Whether a condition with the narrow values holds only where one with the wide values does."""
    if _NARROWS.fullmatch(operator):
        return narrow <= wide
    if _WIDENS.fullmatch(operator):
        return narrow >= wide
    return narrow == wide


def _matches(pattern: str, text: str) -> bool:
    """Whether a text, itself with wildcards or without, is among what a pattern stands for."""
    return bool(_expression(pattern).fullmatch(text))


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    # A `?` stands for one character: not for a `*` of the other text.
    parts = (".*" if one == "*" else "[^*]" if one == "?" else re.escape(one) for one in pattern)
    return re.compile("".join(parts), re.DOTALL)
