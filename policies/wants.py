"""What rules of several modules ask of a value, and how a rule excepts what is something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from policies.rule import GIVEN, UNKNOWN, Finding, Resource, Want, number, unverified

OWN_KEY: Final = Want(
    "a key of ours", lambda value: isinstance(value, str) and value.strip() != "" and "alias/aws/" not in value
)
"""A customer key. AWS's own (`alias/aws/rds`) can be used by everybody in the account whom the service lets in."""

NAMED: Final = Want("given", lambda value: isinstance(value, str) and value.strip() != "")
"""A text that is not blank."""

TEXTS: Final = Want(
    "a list with an entry",
    lambda value: isinstance(value, list) and any(item is UNKNOWN or NAMED.holds(item) for item in value),
)
"""A list of names; one that is not known yet is one."""


def exactly(wanted: int) -> Want:
    """This number."""
    return Want(str(wanted), lambda value: number(value) == wanted)


def different(least: int) -> Want:
    """A list of so many different names; those that are not known yet are taken to differ."""

    def holds(value: Any) -> bool:
        if not isinstance(value, list):
            return False
        unknown = sum(item is UNKNOWN for item in value)
        return len({item for item in value if isinstance(item, str) and item}) + unknown >= least

    return Want(f"a list of {least} or more different ones", holds)


def unless(exception: Any, path: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Findings, unless what is excepted from them is given.

    Args:
        exception: The value that excepts: while it is not known, what breaks the rule is not verified, and what does
            not is let be.
        path: Where it stands.
        findings: What there is to say otherwise.
    """
    if exception is UNKNOWN:
        found = list(findings)
        yield from (finding for finding in found if not finding.verified)
        if any(finding.verified for finding in found):
            yield unverified(path)
    elif not GIVEN.holds(exception):
        yield from findings


def no_secret(resource: Resource, path: str, *, why: str) -> Iterator[Finding]:
    """Says so if a secret is given at a path, without showing it."""
    value = resource.get(path)
    if value is UNKNOWN:
        yield unverified(path)
    elif GIVEN.holds(value):
        yield Finding(path, f"is given, must be absent: {why}")
