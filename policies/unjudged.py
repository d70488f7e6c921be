"""What no rule looks at is not passed in silence: a new type needs a rule, or a reason why it needs none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from policies.rule import ANY, Finding, Resource, Severity, rule

HARMLESS: Final[Mapping[str, str]] = {
    "aws:acm/certificateValidation:CertificateValidation": "Waits for a certificate, which has rules",
    "aws:kms/alias:Alias": "A name of a key, which has rules",
    "random:index/randomId:RandomId": "A suffix of names",
}
"""Types that need no rule, and why."""

OURS: Final = ("docsearch:", "pulumi:")
"""Components, stacks and providers: what they hold is judged for itself."""


@rule(
    "type-judged",
    on=ANY,
    severity=Severity.HIGH,
    why="What no rule looks at can be unencrypted, public or alone in its zone, and nobody would notice",
    remedy="Write a rule for the type (CONTRIBUTING.md), or say in policies/unjudged.py why it needs none",
    reference="https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_detect_investigate_events_noncompliant_resources.html",
)
def judged(resource: Resource) -> Iterator[Finding]:
    """Every resource is of a type that some rule looks at, or that needs none."""
    if resource.type not in HARMLESS and not resource.type.startswith(OURS):
        yield Finding("", f"is a {resource.type}, at which no rule looks")
