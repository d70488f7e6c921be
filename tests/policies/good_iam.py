"""What is good about rights in AWS."""

import json
from collections.abc import Callable
from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

ROLE: Final = "aws:iam/role:Role"
ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT: Final = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"

NO_SOURCE: Final = ("ec2.amazonaws.com", "backup.amazonaws.com", "s3.amazonaws.com")
PODS: Final = "pods.eks.amazonaws.com"


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    """Changes a document."""

    def edit(text: str) -> str:
        document = json.loads(text)
        change(document)
        return json.dumps(document)

    return edit


def first(**members: Any) -> Callable[[str], str]:
    """Changes the first statement; `...` takes a member away."""

    def change(document: dict[str, Any]) -> None:
        statement = document["Statement"][0]
        for name, value in members.items():
            if value is ...:
                statement.pop(name, None)
            else:
                statement[name] = value

    return edited(change)


def also(actions: Any, resources: Any, **members: Any) -> Callable[[str], str]:
    """Adds a statement."""
    return edited(
        lambda document: document["Statement"].append(
            {"Effect": "Allow", "Action": actions, "Resource": resources, **members}
        )
    )


def top(**members: Any) -> Callable[[str], str]:
    return edited(lambda document: document.update(members))


def unconditional(key: str) -> Callable[[str], str]:
    """Takes a condition key out of every statement."""

    def change(document: dict[str, Any]) -> None:
        for statement in document["Statement"]:
            for keys in statement["Condition"].values():
                keys.pop(key, None)
            statement["Condition"] = {operator: keys for operator, keys in statement["Condition"].items() if keys}

    return edited(change)


def trusted(resource: Resource) -> str:
    return str(json.loads(resource.get("assumeRolePolicy"))["Statement"][0]["Principal"].get("Service"))


def sourced(resource: Resource) -> bool:
    return trusted(resource) not in ("None", *NO_SOURCE)


def of_pods(resource: Resource) -> bool:
    return trusted(resource) == PODS


SECRETS: Final = "arn:aws:secretsmanager:us-east-1:123456789012:secret:*"
A_ROLE: Final = "arn:aws:iam::123456789012:role/one"

GOOD: Final[tuple[Good, ...]] = (
    Good(
        ROLE_POLICY,
        "policy",
        "iam-wildcard",
        to=(
            also("s3:*", "arn:aws:s3:::one/*"),
            also(["s3:GetObject", "kms:**"], "arn:aws:s3:::one/*"),
            also("s3:GetObject", "*"),
            also("s3:GetObject", "arn:aws:s3:::*"),
            also("s3:PutObject", "arn:aws:s3:::*/*"),
            also("kms:Decrypt", "arn:aws:kms:*:*:key/*"),
            also("kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/*"),
            also("secretsmanager:GetSecretValue", SECRETS),
            also("rds:DeleteDBInstance", ["arn:aws:rds:us-east-1:123456789012:db:one", "*"]),
            also("dynamodb:GetItem", "*", Condition={"Bool": {"aws:SecureTransport": "true"}}),
            also("dynamodb:GetItem", "*", Condition={"StringLike": {"dynamodb:LeadingKeys": "*"}}),
            also("dynamodb:GetItem", "*", Condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": "one"}}),
            first(Resource=..., NotResource="arn:aws:s3:::one"),
        ),
        unknown=False,
    ),
    Good(
        ROLE_POLICY,
        "policy",
        "iam-lint",
        to=(
            "",
            "{",
            "[]",
            "{}",
            "null",
            top(Version="2008-10-17"),
            top(Statement=[]),
            top(Statements=[]),
            first(Effect="allow"),
            first(Effect="Permit"),
            first(Effect=...),
            first(Action=...),
            first(Action=[]),
            first(Resource=...),
            first(Principal={"AWS": "*"}),
            first(Sid="with space"),
            also("s3:GetObjct", "arn:aws:s3:::one/*"),
            also("s4:GetObject", "arn:aws:s3:::one/*"),
            also("GetObject", "arn:aws:s3:::one/*"),
            also("s3:GetObject", "arn:aws:s3:::one/*", Condition={"StringEqual": {"aws:SourceVpce": "vpce-1"}}),
            also("s3:GetObject", "arn:aws:s3:::one/*", Condition={"StringEquals": {"s3:prefix": "one"}}),
            also("s3:GetObject", "arn:aws:s3:::one/*", Condition={"StringEquals": {"aws:SourceVpcEndpoint": "vpce-1"}}),
            also("s3:GetObject", [f"arn:aws:s3:::{'a' * 60}{i}/*" for i in range(200)]),
        ),
        unknown=False,
    ),
    Good(
        ROLE_POLICY,
        "policy",
        "iam-escalation",
        to=(
            *(
                also(action, A_ROLE)
                for action in (
                    "iam:PutRolePolicy",
                    "iam:AttachRolePolicy",
                    "iam:UpdateAssumeRolePolicy",
                    "iam:CreatePolicyVersion",
                    "iam:SetDefaultPolicyVersion",
                    "iam:CreateAccessKey",
                    "iam:CreateLoginProfile",
                    "iam:UpdateLoginProfile",
                    "iam:AddUserToGroup",
                    "iam:PutUser*",
                    "iam:DeleteRolePermissionsBoundary",
                )
            ),
            also(["iam:PassRole", "ec2:RunInstances"], "arn:aws:iam::123456789012:role/app-*"),
            also(
                ["iam:Pass*", "lambda:CreateFunction", "lambda:InvokeFunction"], "arn:aws:iam::123456789012:role/app-*"
            ),
            also(["iam:PassRole", "cloudformation:CreateStack"], "arn:aws:iam::123456789012:role/app-*"),
            also("sts:AssumeRole", "arn:aws:iam::123456789012:role/app-*"),
            also("ssm:StartSession", "arn:aws:ec2:us-east-1:123456789012:instance/*"),
            also("lambda:UpdateFunctionCode", "arn:aws:lambda:us-east-1:123456789012:function:app-*"),
        ),
        unknown=False,
    ),
    Good(
        ROLE,
        "assumeRolePolicy",
        "iam-trust",
        to=(
            "",
            "{",
            "{}",
            first(Principal="*"),
            first(Principal={"AWS": "*"}),
            first(Principal={"AWS": "arn:aws:iam::999999999999:root"}),
            first(Principal={"AWS": "999999999999"}),
            first(
                Principal={"Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/A"}
            ),
            first(Principal={"Federated": "arn:aws:iam::123456789012:saml-provider/one"}),
            first(Principal={"Service": "lambda.amazonaws.com"}, Condition=...),
            first(Principal={"Service": "example.com"}),
            first(Principal=..., NotPrincipal={"AWS": "arn:aws:iam::123456789012:root"}),
            first(Action="sts:*"),
            first(Action="*"),
            first(Action=...),
            first(Principal=...),
            first(Principal={"AWS": "*"}, Condition={"StringEquals": {"aws:SourceAccount": "123456789012"}}),
            edited(
                lambda document: document["Statement"].append(
                    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
                )
            ),
        ),
    ),
    Good(
        ROLE,
        "assumeRolePolicy",
        "iam-trust",
        to=(
            first(Condition=...),
            first(Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}}),
            first(Condition={"StringLike": {"aws:SourceAccount": "*"}}),
            first(Condition={"StringEqualsIfExists": {"aws:SourceAccount": "123456789012"}}),
            first(Condition={"StringNotEquals": {"aws:SourceAccount": "123456789012"}}),
            first(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:eks:*:*:cluster/*"}}),
        ),
        where=sourced,
        unknown=False,
    ),
    Good(
        ROLE,
        "assumeRolePolicy",
        "iam-trust",
        to=(
            unconditional("aws:RequestTag/kubernetes-namespace"),
            unconditional("aws:RequestTag/kubernetes-service-account"),
        ),
        where=of_pods,
        unknown=False,
    ),
    Good(
        ATTACHMENT,
        "policyArn",
        "iam-managed",
        to=(
            "arn:aws:iam::aws:policy/AdministratorAccess",
            "arn:aws:iam::aws:policy/PowerUserAccess",
            "arn:aws:iam::aws:policy/IAMFullAccess",
            "arn:aws:iam::aws:policy/AmazonS3FullAccess",
            "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy",
            "",
            GONE,
        ),
    ),
)
