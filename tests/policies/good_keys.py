"""Keys', secrets' and topics' good settings."""

from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good
from tests.policies.good_storage import also, said, without

KEY: Final = "aws:kms/key:Key"
REPLICA: Final = "aws:kms/replicaKey:ReplicaKey"
SECRET: Final = "aws:secretsmanager/secret:Secret"
TOPIC: Final = "aws:sns/topic:Topic"
TOPIC_POLICY: Final = "aws:sns/topicPolicy:TopicPolicy"
REPOSITORY_POLICY: Final = "aws:ecr/repositoryPolicy:RepositoryPolicy"
LOG_POLICY: Final = "aws:cloudwatch/logResourcePolicy:LogResourcePolicy"


def named(*parts: str) -> Any:
    return lambda resource: any(part in resource.name for part in parts)


def encrypted(resource: Resource) -> bool:
    return "kmsMasterKeyId" in resource.props


def let_in(action: str) -> tuple[Any, ...]:
    allow = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return (
        also(**allow, Principal="*"),
        also(**allow, Principal={"AWS": "*"}),
        also(**allow, Principal={"AWS": ["arn:aws:iam::999999999999:root"]}),
        also(**allow, Principal={"AWS": "999999999999"}),
        also(**allow, Principal={"AWS": "*"}, Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}}),
        also(**allow, NotPrincipal={"AWS": "arn:aws:iam::123456789012:root"}),
    )


GOOD: Final = (
    Good(KEY, "enableKeyRotation", "kms-rotation", (False, GONE)),
    Good(KEY, "multiRegion", "kms-multi-region", (False, GONE)),
    Good(KEY, "deletionWindowInDays", "kms-window", (7, 13)),
    Good(REPLICA, "deletionWindowInDays", "kms-window", (7, 13)),
    *(
        good
        for type_ in (KEY, REPLICA)
        for good in (
            Good(type_, "policy", "kms-policy", (*let_in("kms:*"), without("AccountAdministration"), "not JSON")),
            Good(
                type_,
                "policy",
                "kms-policy",
                (said("VolumesOfNodes", Condition={}), said("GrantsForVolumesOfNodes", Condition={})),
                where=named("-data"),
            ),
            Good(type_, "policy", "kms-policy", (said("LogGroupsOfThisAccount", Condition={}),), where=named("-logs")),
            Good(type_, "policy", "kms-policy", (said("AlarmsOfThisAccount", Condition={}),), where=named("-messages")),
        )
    ),
    Good(SECRET, "kmsKeyId", "secret-kms", ("", "alias/aws/secretsmanager", GONE)),
    Good(SECRET, "recoveryWindowInDays", "secret-window", (0, 6)),
    Good(TOPIC, "kmsMasterKeyId", "sns-kms", ("", "alias/aws/sns", GONE), where=encrypted),
    Good(TOPIC_POLICY, "policy", "resource-policy-public", let_in("sns:Publish"), unknown=False),
    Good(
        TOPIC_POLICY,
        "policy",
        "resource-policy-public",
        (said("AlarmsOfThisAccount", Condition={}),),
        unknown=False,
        where=named("alarms-"),
    ),
    Good(
        TOPIC_POLICY,
        "policy",
        "resource-policy-public",
        (said("EventsOfThisAccount", Condition={}),),
        unknown=False,
        where=named("cache-"),
    ),
    Good(
        TOPIC_POLICY,
        "policy",
        "sns-tls",
        (
            without("NobodyInClearText"),
            said("NobodyInClearText", Condition={"Bool": {"aws:SecureTransport": "true"}}),
            said("NobodyInClearText", Principal={"AWS": "arn:aws:iam::123456789012:root"}),
        ),
        unknown=False,
    ),
    Good(REPOSITORY_POLICY, "policy", "resource-policy-public", let_in("ecr:BatchGetImage")),
    Good(LOG_POLICY, "policyDocument", "resource-policy-public", let_in("logs:PutLogEvents")),
    Good(LOG_POLICY, "policyDocument", "resource-policy-public", (said("LogsOfOpenSearch", Condition={}),)),
    Good(KEY, "isEnabled", "kms-enabled", (False,), absent=True),
    Good(REPLICA, "enabled", "kms-enabled", (False,), absent=True),
)
