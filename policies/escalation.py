"""Ways in which a role can get more rights than it was given.

Facts from public research, each named with its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from policies.actions import glob

RHINO: Final = "https://github.com/RhinoSecurityLabs/AWS-IAM-Privilege-Escalation"
"""Rhino Security Labs, "AWS IAM Privilege Escalation Methods"; the numbers below are its own."""
RHINO_2: Final = "https://rhinosecuritylabs.com/aws/aws-privilege-escalation-methods-mitigation-part-2/"
CLOUD: Final = "https://hackingthe.cloud/aws/exploitation/iam_privilege_escalation/"
"""Hacking the Cloud, "AWS IAM Privilege Escalation Techniques"."""
BISHOP: Final = "https://github.com/BishopFox/iam-vulnerable"
"""Bishop Fox, "IAM Vulnerable", supported privilege escalation paths."""
AWS: Final = "https://docs.aws.amazon.com/service-authorization/latest/reference/"
"""Service Authorization Reference: what writes trust, and what takes `iam:PassRole` along as a dependent action."""


class Way(NamedTuple):
    """One way.

    Attributes:
        actions: All of them are needed.
        source: Where it is described.
        pivot: The action that is harmless when it is limited to named resources; empty where none is.
    """

    actions: tuple[str, ...]
    source: str
    pivot: str = ""


def _alone(source: str, *actions: str) -> list[Way]:
    return [Way((action,), source) for action in actions]


def _wide(source: str, *actions: str) -> list[Way]:
    return [Way((action,), source, pivot=action) for action in actions]


def _pass(source: str, *rest: str) -> Way:
    return Way(("iam:PassRole", *rest), source, pivot="iam:PassRole")


WAYS: Final[tuple[Way, ...]] = (
    # Rhino 1, 2, 4 to 13.
    *_alone(
        RHINO,
        "iam:CreatePolicyVersion",
        "iam:SetDefaultPolicyVersion",
        "iam:CreateAccessKey",
        "iam:CreateLoginProfile",
        "iam:UpdateLoginProfile",
        "iam:AttachUserPolicy",
        "iam:AttachGroupPolicy",
        "iam:AttachRolePolicy",
        "iam:PutUserPolicy",
        "iam:PutGroupPolicy",
        "iam:PutRolePolicy",
        "iam:AddUserToGroup",
        # 14; to assume a role, a trust that names the caller is enough within an account.
        "iam:UpdateAssumeRolePolicy",
    ),
    *_alone(
        CLOUD,
        "iam:DeleteRolePermissionsBoundary",
        "iam:DeleteUserPermissionsBoundary",
        "iam:DeleteRolePolicy",
        "iam:DeleteUserPolicy",
        "iam:DetachRolePolicy",
        "iam:DetachUserPolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:PutUserPermissionsBoundary",
    ),
    *_alone(
        AWS,
        "iam:CreateOpenIDConnectProvider",
        "iam:AddClientIDToOpenIDConnectProvider",
        "iam:UpdateOpenIDConnectProviderThumbprint",
        "iam:CreateSAMLProvider",
        "iam:UpdateSAMLProvider",
    ),
    # Rhino 18, 20, and what runs code where a role is already.
    *_wide(RHINO, "lambda:UpdateFunctionCode", "glue:UpdateDevEndpoint"),
    *_wide(CLOUD, "lambda:UpdateFunctionConfiguration"),
    *_wide(
        BISHOP,
        "sts:AssumeRole",
        "ssm:SendCommand",
        "ssm:StartSession",
        "ec2-instance-connect:SendSSHPublicKey",
        "cloudformation:UpdateStack",
    ),
    *_wide(RHINO_2, "sagemaker:CreatePresignedNotebookInstanceUrl"),
    # Rhino 3, 15 to 17, 19, 21.
    _pass(RHINO, "ec2:RunInstances"),
    _pass(RHINO, "lambda:CreateFunction", "lambda:InvokeFunction"),
    _pass(RHINO, "lambda:CreateFunction", "lambda:AddPermission"),
    _pass(RHINO, "lambda:CreateFunction", "lambda:CreateEventSourceMapping"),
    _pass(RHINO, "glue:CreateDevEndpoint"),
    _pass(RHINO, "cloudformation:CreateStack"),
    _pass(CLOUD, "glue:CreateJob"),
    _pass(CLOUD, "glue:UpdateJob"),
    _pass(CLOUD, "datapipeline:CreatePipeline", "datapipeline:PutPipelineDefinition", "datapipeline:ActivatePipeline"),
    _pass(CLOUD, "autoscaling:CreateLaunchConfiguration", "autoscaling:CreateAutoScalingGroup"),
    _pass(CLOUD, "autoscaling:CreateLaunchConfiguration", "autoscaling:UpdateAutoScalingGroup"),
    _pass(CLOUD, "ec2:CreateLaunchTemplate", "autoscaling:CreateAutoScalingGroup"),
    _pass(CLOUD, "ec2:CreateLaunchTemplate", "autoscaling:UpdateAutoScalingGroup"),
    _pass(RHINO_2, "sagemaker:CreateNotebookInstance"),
    _pass(BISHOP, "sagemaker:CreateTrainingJob"),
    _pass(BISHOP, "sagemaker:CreateProcessingJob"),
    _pass(BISHOP, "codebuild:CreateProject"),
    _pass(AWS, "ecs:RegisterTaskDefinition", "ecs:RunTask"),
    _pass(AWS, "ecs:RegisterTaskDefinition", "ecs:CreateService"),
    _pass(AWS, "ec2:AssociateIamInstanceProfile"),
    _pass(AWS, "eks:CreatePodIdentityAssociation"),
)

NAMED: Final = tuple(sorted({action for way in WAYS for action in way.actions}))
"""Every action that is part of some way."""


class Grant(NamedTuple):
    """What a statement allows.

    Attributes:
        patterns: Of actions.
        inverted: Whether it allows all but these.
        wide: Whether it is about more than named resources.
    """

    patterns: tuple[str, ...]
    inverted: bool
    wide: bool


def open_ways(grants: Iterable[Grant]) -> Iterator[Way]:
    """The ways that lie open to who has these grants; of several through the same door only the first."""
    allowed: dict[str, bool] = {}
    for grant in grants:
        for action in NAMED:
            named = any(glob(pattern).fullmatch(action.lower()) for pattern in grant.patterns)
            if named is not grant.inverted:
                allowed[action] = allowed.get(action, False) or grant.wide
    for way in WAYS:
        if all(action in allowed for action in way.actions) and (not way.pivot or allowed[way.pivot]):
            yield way
