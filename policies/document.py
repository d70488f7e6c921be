"""Policy documents: who a resource's own policy lets in, and under which conditions.

The grammar is that of https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from policies.rule import UNKNOWN, Finding, Resource, unverified

LIMITING: Final = frozenset(
    {
        "aws:sourceaccount",
        "aws:sourceowner",
        "aws:sourcearn",
        "aws:sourceorgid",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "kms:calleraccount",
    }
)
"""Condition keys that say whose request it is; keys have no case."""

_ENCRYPTION_CONTEXT: Final = "kms:encryptioncontext:"
_OPERATORS: Final = re.compile(r"(ForAnyValue:)?(StringEquals|StringEqualsIgnoreCase|StringLike|ArnEquals|ArnLike)")
_ACCOUNT: Final = re.compile(r"(?<!\d)\d{12}(?!\d)")
_ORGANIZATION: Final = re.compile(r"o-[a-z0-9]{10,32}")
_DELIVERY: Final = re.compile(r"/AWSLogs/(\d{12})/")
"""Where load balancers write: the service itself puts the owner's account into the key."""


@dataclass(frozen=True)
class Statement:
    """One statement of a policy document.

    Attributes:
        path: Where it stands, such as `policy.Statement[1]`.
        says: Its members.
    """

    path: str
    says: Mapping[str, Any]

    @property
    def denies(self) -> bool:
        """Whether it takes rights away; anything else is treated as giving some."""
        return self.says.get("Effect") == "Deny"

    @cached_property
    def principals(self) -> list[tuple[str, Any]]:
        """Kind and value of each principal; everybody is `AWS`, `*`."""
        principal = self.says.get("Principal")
        if isinstance(principal, Mapping):
            return [(str(kind), one) for kind, values in principal.items() for one in _several(values)]
        return [("AWS", principal)]

    @property
    def actions(self) -> list[Any]:
        """What it is about."""
        return _several(self.says.get("Action", []))

    @property
    def resources(self) -> list[Any]:
        """On what."""
        return _several(self.says.get("Resource", []))

    def conditions(self) -> Iterator[tuple[str, str, list[Any]]]:
        """Operator, key in small letters, and values of each condition."""
        block = self.says.get("Condition")
        for operator, keys in block.items() if isinstance(block, Mapping) else ():
            for key, values in keys.items() if isinstance(keys, Mapping) else ():
                yield str(operator), str(key).lower(), _several(values)

    def limited(self, accounts: Collection[str] | None) -> bool:
        """Whether a condition, or the place that it writes to, keeps other accounts out.

        Args:
            accounts: Our own; None if they are not known, and any account limits.
        """
        for operator, key, values in self.conditions():
            known = key in LIMITING or key.startswith(_ENCRYPTION_CONTEXT)
            if known and _OPERATORS.fullmatch(operator) and values and all(_narrow(one, accounts) for one in values):
                return True
        places = [_DELIVERY.search(one) if isinstance(one, str) else None for one in self.resources]
        return bool(places) and all(place is not None and _ours([place[1]], accounts) for place in places)


def statements(resource: Resource, path: str) -> tuple[list[Statement], list[Finding]]:
    """The statements of the document at a path, and what keeps it from being read; an absent one has neither."""
    value = resource.get(path)
    if value is None:
        return [], []
    if value is UNKNOWN:
        return [], [unverified(path)]
    document = parsed(value)
    if not isinstance(document, Mapping):
        return [], [Finding(path, "is no JSON object, and must be a policy document")]
    found: list[Statement] = []
    problems: list[Finding] = []
    for index, one in enumerate(_several(document.get("Statement", []))):
        where = f"{path}.Statement[{index}]"
        if one is UNKNOWN:
            problems.append(unverified(where))
        elif isinstance(one, Mapping):
            found.append(Statement(where, one))
        else:
            problems.append(Finding(where, "is no statement"))
    return found, problems


def parsed(value: Any) -> Any:
    """A JSON text as values, or values as they are; None for what is neither."""
    if isinstance(value, Mapping | list):
        return value
    if not isinstance(value, str):
        return None
    try:
        # Numbers of any length, where int would refuse or not fit.
        return json.loads(value, parse_int=float)
    except (ValueError, RecursionError):
        return None


def own_accounts(resource: Resource) -> frozenset[str] | None:
    """The accounts that the resource's provider may touch; None if it does not say, or not yet."""
    accounts = parsed(resource.provider.get("allowedAccountIds"))
    found = frozenset(one for one in accounts if isinstance(one, str)) if isinstance(accounts, list) else frozenset()
    return found or None


def others(resource: Resource, path: str) -> Iterator[Finding]:
    """Says so of each statement of the document at a path that lets in somebody outside our accounts."""
    found, problems = statements(resource, path)
    yield from problems
    accounts = own_accounts(resource)
    for statement in found:
        if not statement.denies:
            yield from _let_in(statement, accounts)


def _let_in(statement: Statement, accounts: frozenset[str] | None) -> Iterator[Finding]:
    if statement.says.get("Condition") is UNKNOWN or statement.says.get("Effect") is UNKNOWN:
        yield unverified(statement.path)
        return
    if "NotPrincipal" in statement.says:
        yield Finding(f"{statement.path}.NotPrincipal", "lets in everybody who is not named")
        return
    limited = statement.limited(accounts)
    for kind, who in statement.principals:
        path = f"{statement.path}.Principal"
        if who is UNKNOWN:
            yield unverified(path)
        elif not isinstance(who, str):
            yield Finding(path, "names nobody")
        elif kind == "Service":
            if not limited:
                yield Finding(path, f"lets {who} in on behalf of any account: add a condition on aws:SourceAccount")
        elif "*" in who:
            if not limited:
                yield Finding(path, "lets everybody in, and no condition names our account")
        elif kind != "AWS" or not (account := _ACCOUNT.search(who)):
            yield Finding(path, f"lets in a {kind} principal of no account")
        elif accounts is None:
            yield Finding(path, "cannot be judged: the provider does not say which accounts are ours", verified=False)
        elif account[0] not in accounts:
            yield Finding(path, f"lets in account {account[0]}, which is not ours")


def _narrow(value: Any, accounts: Collection[str] | None) -> bool:
    if not isinstance(value, str):
        return False
    if named := _ACCOUNT.findall(value):
        return _ours(named, accounts)
    whole = value.startswith("arn:") and not {"*", "?"} & set(value)
    return whole or _ORGANIZATION.fullmatch(value) is not None


def _ours(named: Collection[str], accounts: Collection[str] | None) -> bool:
    return accounts is None or all(one in accounts for one in named)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
