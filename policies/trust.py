"""Who takes a role: services on our behalf, pods of one account of theirs, tokens of one subject."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policies.document import Statement, own_accounts, statements
from policies.iam import GUIDE, ROLE, words
from policies.rule import UNKNOWN, Finding, Resource, Severity, Want, judge, rule, shown, unverified

_NO_SOURCE: Final[Mapping[str, str]] = {
    "ec2.amazonaws.com": "an instance takes the role of its own profile, for nobody else",
    "backup.amazonaws.com": "AWS Backup names no source when it takes a role",
    "s3.amazonaws.com": "S3 names no source when it takes the role of a replication",
}
"""Services that take a role without saying for whom.

With a condition on the source they would not get it. A role can only be passed within its account, so that they take it
for its own account alone (IAM user guide, "The confused deputy problem").
"""

_PODS: Final = "pods.eks.amazonaws.com"
_POD_TAGS: Final = ("aws:requesttag/kubernetes-namespace", "aws:requesttag/kubernetes-service-account")
_TAKE: Final = frozenset(
    "sts:AssumeRole sts:TagSession sts:SetSourceIdentity sts:SetContext sts:AssumeRoleWithWebIdentity "
    "sts:AssumeRoleWithSAML".split()
)
_POSITIVE: Final = re.compile(r"(StringEquals|StringEqualsIgnoreCase|StringLike|ArnEquals|ArnLike)")
_PIN: Final = re.compile(r"[^*?]+")


@rule(
    "iam-trust",
    on=ROLE,
    severity=Severity.CRITICAL,
    why="Whom a role trusts has all its rights: a service that acts for strangers, any pod, or anybody",
    remedy="Name the principal, and bind it by aws:SourceAccount, by the pod's account or by the token's subject",
    reference=f"{GUIDE}/confused-deputy.html",
)
def trust(role: Resource) -> Iterator[Finding]:
    """Each principal is named, is ours or bound to us, and takes the role in the ways there are."""
    path = "assumeRolePolicy"
    if role.get(path) is None:
        yield Finding(path, "is absent")
        return
    found, problems = statements(role, path)
    yield from problems
    if not found and not problems:
        yield Finding(f"{path}.Statement", "is empty")
    accounts = own_accounts(role)
    for statement in found:
        says = statement.says
        if says.get("Effect") == "Deny":
            continue
        if UNKNOWN in (says.get("Effect"), says.get("Condition")):
            yield unverified(statement.path)
            continue
        if says.get("Effect") != "Allow":
            yield Finding(f"{statement.path}.Effect", "must be Allow or Deny")
        if "NotPrincipal" in says:
            yield Finding(f"{statement.path}.NotPrincipal", "lets in everybody who is not named")
            continue
        yield from judge(
            says.get("Action"),
            f"{statement.path}.Action",
            Want(
                "ways to take a role, by name",
                lambda value: set(words(_several(value))) <= _TAKE and value not in _NONE,
            ),
        )
        for kind, who in statement.principals:
            yield from _principal(statement, kind, who, accounts)


_NONE: Final[tuple[Any, ...]] = (None, "", [])


def _principal(statement: Statement, kind: str, who: Any, accounts: frozenset[str] | None) -> Iterator[Finding]:
    path = f"{statement.path}.Principal"
    conditions = f"{statement.path}.Condition"
    if who is UNKNOWN:
        yield unverified(path)
    elif not isinstance(who, str) or not who:
        yield Finding(path, "names nobody")
    elif "*" in who:
        yield Finding(path, "lets everybody in")
    elif kind == "Service":
        if not re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", who):
            yield Finding(path, f"is {shown(who)}, which is no service of AWS")
        elif who not in _NO_SOURCE and not _sourced(statement, accounts):
            yield Finding(conditions, f"lets {who} act for any account, must name ours in aws:SourceAccount")
        if who == _PODS:
            for tag in _POD_TAGS:
                if not _pinned(statement, tag):
                    yield Finding(conditions, f"lets any pod in, must give {tag}")
    elif kind == "Federated":
        yield from _federated(statement, who, conditions)
    elif kind == "AWS":
        account = re.fullmatch(r"(?:arn:aws[\w-]*:(?:iam|sts)::)?(\d{12})(?::.+)?", who)
        if account is None:
            yield Finding(path, f"is {shown(who)}, must be of an account")
        elif accounts is None:
            yield Finding(path, "cannot be judged: the provider does not say which accounts are ours", verified=False)
        elif account[1] not in accounts and not _pinned(statement, "sts:externalid"):
            yield Finding(path, f"lets account {account[1]} in, which is not ours, without sts:ExternalId")
    else:
        yield Finding(path, f"is of the kind {shown(kind)}, must be AWS, Service or Federated")


def _federated(statement: Statement, who: str, path: str) -> Iterator[Finding]:
    if ":saml-provider/" in who:
        wanted = ["saml:aud"]
    else:
        host = who.partition(":oidc-provider/")[2] or who
        wanted = [f"{host.lower()}:aud", f"{host.lower()}:sub"]
    for key in wanted:
        if not _pinned(statement, key):
            yield Finding(path, f"takes any token of {shown(who)}, must give {key} without a wildcard")


def _pinned(statement: Statement, key: str) -> bool:
    """Whether a condition gives a key values without a wildcard."""
    return any(
        its == key and _POSITIVE.fullmatch(operator) and values and all(_fixed(one) for one in values)
        for operator, its, values in statement.conditions()
    )


def _fixed(value: Any) -> bool:
    return isinstance(value, str) and _PIN.fullmatch(value) is not None


def _sourced(statement: Statement, accounts: frozenset[str] | None) -> bool:
    """Whether a condition on the source names accounts of ours only."""
    for operator, key, values in statement.conditions():
        if not _POSITIVE.fullmatch(operator) or not values:
            continue
        if key == "aws:sourceaccount":
            named = [value if isinstance(value, str) and re.fullmatch(r"\d{12}", value) else "" for value in values]
        elif key == "aws:sourcearn":
            parts = [value.split(":", 5) if isinstance(value, str) else [] for value in values]
            named = [part[4] if len(part) == 6 and re.fullmatch(r"\d{12}", part[4]) else "" for part in parts]
        else:
            continue
        if all(named) and (accounts is None or set(named) <= accounts):
            return True
    return False


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
