"""Rights in AWS: named actions on named resources, roles that only their own users take, and no way to more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from policies.actions import exists, glob, global_key, matching, understood, whole
from policies.document import Statement, parsed, statements
from policies.escalation import RHINO, Grant, open_ways
from policies.links import refers
from policies.rule import (
    UNKNOWN,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    items,
    judge,
    must,
    rule,
    shown,
    stack_rule,
    unverified,
)

ROLE: Final = "aws:iam/role:Role"
ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
POLICY: Final = "aws:iam/policy:Policy"
ATTACHMENT: Final = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
ATTACHMENTS: Final = (ATTACHMENT, "aws:iam/policyAttachment:PolicyAttachment")

DOCUMENTS: Final = (ROLE, ROLE_POLICY, POLICY)
"""What holds documents that give rights."""

PEOPLE: Final = tuple(
    f"aws:iam/{name[0].lower()}{name[1:]}:{name}"
    for name in (
        "User UserPolicy UserPolicyAttachment UserGroupMembership UserLoginProfile AccessKey SshKey "
        "ServiceSpecificCredential SigningCertificate Group GroupPolicy GroupPolicyAttachment GroupMembership"
    ).split()
)

GUIDE: Final = "https://docs.aws.amazon.com/IAM/latest/UserGuide"

_REMEDY: Final = "Name the actions and the resources in the component's policy (a role is made in components/)"


def documents(resource: Resource) -> list[str]:
    """The paths of the documents by which a resource gives rights."""
    if resource.type != ROLE:
        return ["policy"]
    return [path if policy is UNKNOWN else f"{path}.policy" for path, policy in items(resource, "inlinePolicies")]


def allowing(resource: Resource, path: str) -> tuple[list[Statement], list[Finding]]:
    """The statements of a document that allow something, and what of it is not known; its grammar is `iam-lint`'s."""
    found, problems = statements(resource, path)
    unread = [one for one in problems if not one.verified]
    unread += [unverified(statement.path) for statement in found if _unread(statement)]
    return [one for one in found if one.says.get("Effect") == "Allow"], unread


def _unread(statement: Statement) -> bool:
    return any(one is UNKNOWN for value in statement.says.values() for one in _several(value))


def words(values: list[Any]) -> list[str]:
    """Those that are text."""
    return [value for value in values if isinstance(value, str)]


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# What is allowed

_BY_NAME: Final = frozenset({"iam", "kms", "secretsmanager", "ssm", "sts"})
"""Services whose every resource of one type is as good as all: keys, secrets, roles."""


def wide(resource: str) -> bool:
    """Whether a pattern of a resource stands for more than one names: all, all of a service, or all of a kind."""
    parts = resource.split(":", 5)
    if len(parts) < 6:
        return bool(resource) and not resource.strip("*?")
    _, _, prefix, _, account, its = parts
    kind, name = re.fullmatch(r"([^:/]*[:/])?(.*)", its, re.DOTALL).groups()  # type: ignore[union-attr]
    if name.strip("*?:/"):
        return False
    return not kind or not kind.strip("*?:/") or "*" in account or prefix in _BY_NAME


@rule(
    "iam-wildcard",
    on=DOCUMENTS,
    severity=Severity.CRITICAL,
    why="A role that may do everything, or something to everything, turns one hole into the loss of the account",
    remedy=_REMEDY,
    reference=f"{GUIDE}/best-practices.html#grant-least-privilege",
)
def wildcard(resource: Resource) -> Iterator[Finding]:
    """No whole service is allowed, and no resource left open where a name or a condition could close it.

    Actions that only list are let be, since what they are asked for is everything there is; so are those that IAM
    cannot limit to a resource.
    """
    for path in documents(resource):
        found, unread = allowing(resource, path)
        yield from unread
        for statement in found:
            yield from _open(statement)


def _open(statement: Statement) -> Iterator[Finding]:
    for name in ("NotAction", "NotResource"):
        if name in statement.says:
            yield Finding(f"{statement.path}.{name}", "allows all but what it names")
    patterns = words(statement.actions)
    for pattern in patterns:
        if whole(pattern):
            yield Finding(f"{statement.path}.Action", f"allows {shown(pattern)}, must name actions")
    open_resources = [one for one in words(statement.resources) if wide(one)]
    if not open_resources or _narrowed(statement):
        return
    # The recorded order, each once.
    limitable = [
        action.name
        for pattern in patterns
        if not whole(pattern)
        for action in matching(pattern)
        if action.limitable and not action.lists
    ]
    if limitable:
        some = ", ".join(dict.fromkeys(limitable[:3])) + (" and more" if len(limitable) > 3 else "")
        yield Finding(f"{statement.path}.Resource", f"is {shown(open_resources[0])}, and {some} can be limited to some")


_NARROW: Final = re.compile(r"(ForAnyValue:)?(StringEquals|StringEqualsIgnoreCase|StringLike|ArnEquals|ArnLike|Bool)")
_OF_RESOURCE: Final = ("aws:resourcetag/", "aws:requesttag/", "aws:resourceorgid")


def _narrowed(statement: Statement) -> bool:
    """Whether a condition limits it to some resources or to a service that asks: one that holds only if the key is."""
    for operator, key, values in statement.conditions():
        limits = key.startswith(_OF_RESOURCE) or not global_key(key)
        known = bool(values) and all(isinstance(one, str) and one.strip("*?") for one in values)
        if limits and known and _NARROW.fullmatch(operator):
            return True
    return False


# Grammar

_MEMBERS: Final = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})
_OPERATOR: Final = re.compile(
    r"(?:(?:ForAnyValue|ForAllValues):)?"
    r"(?:String(?:Not)?Equals(?:IgnoreCase)?|String(?:Not)?Like|Arn(?:Not)?(?:Equals|Like)"
    r"|(?:Numeric|Date)(?:(?:Not)?Equals|(?:Less|Greater)Than(?:Equals)?)|Bool|BinaryEquals|(?:Not)?IpAddress)"
    r"(?:IfExists)?|Null"
)

SIZES: Final[Mapping[str, int]] = {ROLE: 10240, ROLE_POLICY: 10240, POLICY: 6144}
"""Most characters of a document, spaces left out (IAM user guide, "IAM and AWS STS quotas")."""


@rule(
    "iam-lint",
    on=DOCUMENTS,
    severity=Severity.HIGH,
    why="IAM refuses a malformed document half way through an update; a misspelt name allows or forbids nothing",
    remedy="Spell actions and conditions as the service's own table does",
    reference="https://docs.aws.amazon.com/service-authorization/latest/reference/",
)
def lint(resource: Resource) -> Iterator[Finding]:
    """Documents are as IAM's grammar wants them, and say what exists."""
    for path in documents(resource):
        value = resource.get(path)
        if value is UNKNOWN:
            yield unverified(path)
            continue
        document = parsed(value)
        if not isinstance(document, Mapping):
            yield Finding(path, "is no JSON object, and must be a policy document")
            continue
        if isinstance(value, str) and len("".join(value.split())) > SIZES[resource.type]:
            yield Finding(path, f"is longer than the {SIZES[resource.type]} characters that IAM takes")
        if document.get("Version") != "2012-10-17":
            yield Finding(f"{path}.Version", f"is {shown(document.get('Version'))}, must be 2012-10-17")
        yield from (
            Finding(f"{path}.{_name(name)}", "is no member of a document") for name in document if name not in _TOP
        )
        yield from _statements(resource, path)


_TOP: Final = ("Version", "Id", "Statement")


def _statements(resource: Resource, path: str) -> Iterator[Finding]:
    found, problems = statements(resource, path)
    yield from problems
    if not found and not problems:
        yield Finding(f"{path}.Statement", "is empty")
    sids = [one.says["Sid"] for one in found if isinstance(one.says.get("Sid"), str)]
    for statement in found:
        if _unread(statement):
            yield unverified(statement.path)
            continue
        sid = statement.says.get("Sid")
        if sid is not None and (not isinstance(sid, str) or not re.fullmatch(r"[A-Za-z0-9]*", sid)):
            yield Finding(f"{statement.path}.Sid", "must be letters and digits")
        elif sids.count(sid) > 1:
            yield Finding(f"{statement.path}.Sid", "is the Sid of another statement")
        for where, text in _errors(statement):
            yield Finding(f"{statement.path}{where}", text)


def _errors(statement: Statement) -> Iterator[tuple[str, str]]:
    says = statement.says
    for name in says:
        if name not in _MEMBERS:
            yield f".{_name(name)}", "is no member of a statement that gives rights"
    if says.get("Effect") not in ("Allow", "Deny"):
        yield ".Effect", "must be Allow or Deny"
    for name in ("Action", "Resource"):
        given = [one for one in (name, f"Not{name}") if one in says]
        if len(given) != 1:
            yield f".{name}", f"must be given once, as {name} or Not{name}"
        for one in given:
            values = says[one] if isinstance(says[one], list) else [says[one]]
            if not values or not all(isinstance(value, str) and value for value in values):
                yield f".{one}", "must be text, or a list of texts"
            elif name == "Action":
                yield from ((f".{one}", text) for value in values for text in _unknown(value))
    yield from _conditions(statement)


@cache
def _unknown(pattern: str) -> tuple[str, ...]:
    """What is wrong with the name of an action."""
    if pattern == "*" or matching(pattern):
        return ()
    prefix = pattern.partition(":")[0].lower()
    if not exists(prefix):
        return (f"names {shown(pattern)}, and IAM knows no such service",)
    return (f"names {shown(pattern)}, and its service has no such action",)


def _conditions(statement: Statement) -> Iterator[tuple[str, str]]:
    block = statement.says.get("Condition")
    if block is None:
        return
    if not isinstance(block, Mapping):
        yield ".Condition", "must be operators with keys"
        return
    actions = [action for pattern in words(statement.actions) for action in matching(pattern)]
    for operator, keys in block.items():
        where = f".Condition.{_name(operator)}"
        if not isinstance(operator, str) or not _OPERATOR.fullmatch(operator):
            yield where, "is no operator of IAM's"
        elif not isinstance(keys, Mapping) or not keys:
            yield where, "must have keys"
        else:
            for key in keys:
                known = global_key(str(key)) or any(understood(str(key), action) for action in actions)
                if actions and not known:
                    yield f"{where}.{_name(key)}", "is a key that none of the actions knows"


def _name(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[\w:./*-]{1,80}", value) else "something else"


# Ways to more


@stack_rule(
    "iam-escalation",
    on=(*DOCUMENTS, ATTACHMENT),
    severity=Severity.CRITICAL,
    why="A role that can change rights, or hand itself another role, has every right of the account",
    remedy="Take the action away, or limit iam:PassRole to the roles that it is for, by name",
    reference=RHINO,
)
def escalation(stack: Stack) -> Iterator[Finding]:
    """No role can get more than it was given, by all its policies together."""
    homes: dict[str, list[tuple[Resource, str]]] = {}
    for holder in stack.of(*DOCUMENTS):
        for path in documents(holder):
            for owner in _owners(stack, holder) or [holder.urn]:
                homes.setdefault(owner, []).append((holder, path))
    said: set[tuple[str, str, str]] = set()
    for places in homes.values():
        for finding in _ways(places):
            if (finding.urn, finding.path, finding.message) not in said:
                said.add((finding.urn, finding.path, finding.message))
                yield finding


def _owners(stack: Stack, holder: Resource) -> list[str]:
    """The roles that have a document."""
    roles = stack.of(ROLE)
    if holder.type == ROLE:
        return [holder.urn]
    if holder.type == ROLE_POLICY:
        return [role.urn for role in roles if refers(holder, "role", role)]
    attached = [one for one in stack.of(ATTACHMENT) if refers(one, "policyArn", holder)]
    return [role.urn for one in attached for role in roles if refers(one, "role", role)]


def _ways(places: list[tuple[Resource, str]]) -> Iterator[Finding]:
    grants = []
    for holder, path in places:
        found, unread = allowing(holder, path)
        for one in unread:
            yield Finding(one.path, one.message, verified=False, urn=holder.urn)
        grants += [(holder, statement.path, _grant(statement)) for statement in found]
    seen: set[str] = set()
    for way in open_ways([grant for _, _, grant in grants]):
        key = way.pivot or way.actions[0]
        if key in seen:
            continue
        seen.add(key)
        for holder, path, grant in grants:
            if any(glob(pattern).fullmatch(key.lower()) for pattern in grant.patterns) is not grant.inverted:
                text = f"gives {' with '.join(way.actions)}, by which it gets other rights ({way.source})"
                yield Finding(f"{path}.{'NotAction' if grant.inverted else 'Action'}", text, urn=holder.urn)
                break


def _grant(statement: Statement) -> Grant:
    inverted = "NotAction" in statement.says
    actions = words(_several(statement.says.get("NotAction"))) if inverted else words(statement.actions)
    resources = words(statement.resources)
    named = bool(resources) and not any("*" in one.split(":", 5)[-1] or "?" in one for one in resources)
    return Grant(tuple(action.lower() for action in actions), inverted, wide=not named)


# AWS's own policies, and people

MANAGED: Final[Mapping[str, str]] = {
    "AmazonEKSClusterPolicy": "the control plane's own, which EKS requires of its role",
    "AmazonEKS_CNI_Policy": "network interfaces for pods, taken by kube-system/aws-node alone",
    "AmazonEBSCSIDriverPolicyV2": "volumes that carry the driver's tag, taken by its controller alone",
    "AmazonEKSWorkerNodeMinimalPolicy": "lets a node join by Pod Identity, and nothing else",
    "AmazonEC2ContainerRegistryPullOnly": "lets a node pull images",
    "AmazonSSMManagedInstanceCore": "lets people reach a node by Session Manager, without SSH",
    "service-role/AmazonRDSEnhancedMonitoringRole": "writes to the log group of RDS, and nothing else",
}
"""Policies of AWS that say what we would, and why each is taken as it is.

AWS widens its policies without asking; an attachment that is not here needs a policy of ours.
"""

_AWS_OWN: Final = re.compile(r"arn:aws[\w-]*:iam::aws:policy/(.+)")


@rule(
    "iam-managed",
    on=(ROLE, *ATTACHMENTS),
    severity=Severity.CRITICAL,
    why="AWS's own policies are written for everybody, and AWS widens them later",
    remedy="Write a policy of our own, or add AWS's to MANAGED with the reason (policies/iam.py)",
    reference=f"{GUIDE}/access_policies_managed-vs-inline.html",
)
def managed(resource: Resource) -> Iterator[Finding]:
    """Policies of AWS are those that were looked at."""
    if resource.type == ROLE:
        for path, arn in items(resource, "managedPolicyArns"):
            yield from judge(arn, path, _EXPLAINED)
    else:
        yield from must(resource, "policyArn", _EXPLAINED)


def _explained(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"arn:aws[\w-]*:iam::[^:]*:policy/.+|[\w-]*", value):
        return False
    its = _AWS_OWN.fullmatch(value)
    return value != "" and (its is None or its[1] in MANAGED)


_EXPLAINED: Final = Want("a policy of ours, or one of AWS's that policies/iam.py explains", _explained)


@rule(
    "iam-users",
    on=PEOPLE,
    severity=Severity.CRITICAL,
    why="Keys of a user never end, and are found in laptops, images and logs",
    remedy="Let people come through IAM Identity Center, and programs through a role",
    reference=f"{GUIDE}/best-practices.html#bp-users-federation-idp",
)
def users(resource: Resource) -> Iterator[Finding]:
    """There are roles only."""
    yield Finding("", f"is a {resource.type.rpartition(':')[2]}, and must be a role")
