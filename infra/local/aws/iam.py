"""IAM: roles and what they may do."""

from __future__ import annotations

from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.resource import Props

_ROLE = {"RoleName": "{id}"}


def _let_go(region: Region, props: Props) -> None:
    """IAM deletes no role that holds policies; those put there behind the program's back go with it when asked for."""
    if not props.get("forceDetachPolicies"):
        return
    role = props["id"]
    for policy in region.call("iam", "ListAttachedRolePolicies", RoleName=role)["AttachedPolicies"]:
        region.call("iam", "DetachRolePolicy", RoleName=role, PolicyArn=policy["PolicyArn"])


ROLE = Type(
    "aws:iam/role:Role",
    "iam",
    id="{name}",
    create=Call(
        "CreateRole",
        ("path", "description", "maxSessionDuration", "permissionsBoundary"),
        {"name": "RoleName", "assumeRolePolicy": "AssumeRolePolicyDocument"},
        at="Role",
    ),
    read=Call("GetRole", fixed=_ROLE, at="Role"),
    delete=[Call("DeleteRole", fixed=_ROLE)],
    settings=[
        Setting(
            Call("UpdateAssumeRolePolicy", (), {"assumeRolePolicy": "PolicyDocument"}, _ROLE),
            at_create=False,
        ),
        Setting(Call("UpdateRole", ("description", "maxSessionDuration"), fixed=_ROLE), at_create=False),
        Setting(
            Call("PutRolePermissionsBoundary", ("permissionsBoundary",), fixed=_ROLE),
            unset=Call("DeleteRolePermissionsBoundary", (), fixed=_ROLE),
            at_create=False,
        ),
    ],
    before_delete=_let_go,
    recorded=frozenset({"forceDetachPolicies"}),
    shows={"permissionsBoundary": "PermissionsBoundary.PermissionsBoundaryArn"},
    tagging=Tagging(
        create="Tags",
        add=Call("TagRole", (), fixed=_ROLE),
        remove=Call("UntagRole", (), fixed=_ROLE),
        get=Call("ListRoleTags", (), fixed=_ROLE, at="Tags"),
    ),
    outputs={"uniqueId": "RoleId", "createDate": "CreateDate", "managedPolicyArns": lambda *_: None},
    autoname="name",
    autoname_limit=64,
    missing=("NoSuchEntity",),
)

_INLINE = {"RoleName": "{role}", "PolicyName": "{name}"}

ROLE_POLICY = Type(
    "aws:iam/rolePolicy:RolePolicy",
    "iam",
    id="{role}:{name}",
    create=Call("PutRolePolicy", (), {"role": "RoleName", "name": "PolicyName", "policy": "PolicyDocument"}),
    upsert=True,
    read=Call("GetRolePolicy", fixed=_INLINE),
    delete=[Call("DeleteRolePolicy", fixed=_INLINE)],
    autoname="name",
    autoname_limit=128,
    missing=("NoSuchEntity",),
)

_ATTACHED = {"RoleName": "{role}", "PolicyArn": "{policyArn}"}

ROLE_POLICY_ATTACHMENT = Type(
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "iam",
    id="{role}/{policyArn}",
    create=Call("AttachRolePolicy", (), {"role": "RoleName", "policyArn": "PolicyArn"}),
    read=Call(
        "ListAttachedRolePolicies",
        fixed={"RoleName": "{role}"},
        at="AttachedPolicies[?PolicyArn == '{policyArn}'] | [0]",
    ),
    delete=[Call("DetachRolePolicy", fixed=_ATTACHED)],
    missing=("NoSuchEntity",),
)

TYPES = (ROLE, ROLE_POLICY, ROLE_POLICY_ATTACHMENT)
