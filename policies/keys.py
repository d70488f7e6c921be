"""Keys, secrets and topics: ours, rotated, and nobody else's to use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from policies.document import others, statements
from policies.rule import FALSE, TRUE, Bounds, Finding, Resource, Severity, Want, at_least, must, number, rule
from policies.wants import OWN_KEY

KEY: Final = "aws:kms/key:Key"
REPLICA_KEY: Final = "aws:kms/replicaKey:ReplicaKey"
KEY_POLICY: Final = "aws:kms/keyPolicy:KeyPolicy"
SECRET: Final = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type, not a secret
TOPIC: Final = "aws:sns/topic:Topic"
TOPIC_POLICY: Final = "aws:sns/topicPolicy:TopicPolicy"

GUIDE: Final = "https://docs.aws.amazon.com/kms/latest/developerguide"

DOCUMENTS: Final = {
    TOPIC: "policy",
    TOPIC_POLICY: "policy",
    SECRET: "policy",
    "aws:secretsmanager/secretPolicy:SecretPolicy": "policy",
    "aws:sqs/queue:Queue": "policy",
    "aws:sqs/queuePolicy:QueuePolicy": "policy",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "policy",
    "aws:ecr/registryPolicy:RegistryPolicy": "policy",
    "aws:backup/vaultPolicy:VaultPolicy": "policy",
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": "policyDocument",
}
"""Where a resource says itself who may use it. Keys, buckets and search domains have rules of their own."""

_NOT_FALSE: Final = Want("true or absent", lambda value: value is None or value is True)


@rule(
    "kms-rotation",
    on=KEY,
    severity=Severity.HIGH,
    why="A key that never changes protects everything that was ever written, and one leak opens it all",
    remedy="Keep enable_key_rotation: Kms in components/kms.py",
    reference=f"{GUIDE}/rotate-keys.html",
)
def rotation(key: Resource, *, days: Annotated[int, Bounds(90, 2560)] = 365) -> Iterator[Finding]:
    """Keys rotate, once in days at least; a replica rotates with its primary."""
    yield from must(key, "enableKeyRotation", TRUE)
    # AWS rotates once a year when nothing is said.
    often = Want(
        f"at most {days}, or absent",
        lambda value: value is None or ((found := number(value)) is not None and found <= days),
    )
    yield from must(key, "rotationPeriodInDays", often)


@rule(
    "kms-window",
    on=(KEY, REPLICA_KEY),
    severity=Severity.HIGH,
    why="What is encrypted with a deleted key is gone for ever: the window is the time to notice",
    remedy="Keep DELETION_WINDOW_DAYS in components/kms.py",
    reference=f"{GUIDE}/deleting-keys.html",
)
def window(key: Resource, *, days: Annotated[int, Bounds(7, 30)] = 14) -> Iterator[Finding]:
    """A key that was deleted can be had back for days; AWS gives 30 when nothing is said."""
    long = Want(f"at least {days}, or absent", lambda value: value is None or at_least(days).holds(value))
    yield from must(key, "deletionWindowInDays", long)


@rule(
    "kms-enabled",
    on=(KEY, REPLICA_KEY),
    severity=Severity.CRITICAL,
    why="Everything that is encrypted with a disabled key stops at once",
    remedy="Leave it enabled, and its policy one that the account can change: Kms in components/kms.py",
    reference=f"{GUIDE}/enabling-keys.html",
)
def enabled(key: Resource) -> Iterator[Finding]:
    """Keys are on, and can always be administered."""
    yield from must(key, "isEnabled" if key.type == KEY else "enabled", _NOT_FALSE)
    yield from must(key, "bypassPolicyLockoutSafetyCheck", FALSE)


@rule(
    "kms-multi-region",
    on=KEY,
    severity=Severity.HIGH,
    why="A standby cannot read what was encrypted with a key of one region, and a key never becomes another kind",
    remedy="Keep multi_region: Kms in components/kms.py",
    reference=f"{GUIDE}/multi-region-keys-overview.html",
)
def multi_region(key: Resource) -> Iterator[Finding]:
    """Keys can be replicated."""
    yield from must(key, "multiRegion", TRUE)


@rule(
    "kms-policy",
    on=(KEY, REPLICA_KEY, KEY_POLICY),
    severity=Severity.CRITICAL,
    why="A key's policy decides alone who can decrypt: one principal too many and encryption protects nothing",
    remedy="Name our own account in the principal or the condition: plan_key_policy in components/kms.py",
    reference=f"{GUIDE}/key-policies.html",
)
def policy(key: Resource) -> Iterator[Finding]:
    """Nobody outside our accounts may use a key, and our own account can always administer it."""
    yield from others(key, "policy")
    found, problems = statements(key, "policy")
    administered = any(
        not one.denies
        and any(kind == "AWS" and isinstance(who, str) and who.endswith(":root") for kind, who in one.principals)
        and "kms:*" in one.actions
        for one in found
    )
    # Without a policy AWS gives one that does.
    if key.get("policy") is not None and not problems and not administered:
        yield Finding("policy", "gives the account itself no kms:*: a mistake in it could never be put right")


# Secrets and topics


@rule(
    "secret-kms",
    on=SECRET,
    severity=Severity.HIGH,
    why="Under AWS's own key a secret is readable to whoever may call the service",
    remedy="Pass the region's key for secrets: Secrets in components/secrets.py",
    reference="https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html",
)
def secret_kms(secret: Resource) -> Iterator[Finding]:
    """Secrets are encrypted with a key of ours."""
    yield from must(secret, "kmsKeyId", OWN_KEY)


@rule(
    "secret-window",
    on=SECRET,
    severity=Severity.HIGH,
    why="Without a window a secret that is deleted by mistake is gone at once, and with it what it signed",
    remedy="Keep recovery_window_in_days: Secrets in components/secrets.py",
    reference="https://docs.aws.amazon.com/secretsmanager/latest/userguide/manage_delete-secret.html",
)
def secret_window(secret: Resource, *, days: Annotated[int, Bounds(7, 30)] = 7) -> Iterator[Finding]:
    """A secret that was deleted can be had back for days; AWS gives 30 when nothing is said."""
    long = Want(f"at least {days}, or absent", lambda value: value is None or at_least(days).holds(value))
    yield from must(secret, "recoveryWindowInDays", long)


@rule(
    "sns-kms",
    on=TOPIC,
    severity=Severity.HIGH,
    why="Messages of alarms name what is broken; under AWS's own key CloudWatch cannot even publish them",
    remedy="Pass the region's key for messages: Alarms in components/alarms.py",
    reference="https://docs.aws.amazon.com/sns/latest/dg/sns-server-side-encryption.html",
)
def sns_kms(topic: Resource) -> Iterator[Finding]:
    """Topics are encrypted with a key of ours."""
    yield from must(topic, "kmsMasterKeyId", OWN_KEY)


@rule(
    "sns-tls",
    on=TOPIC_POLICY,
    severity=Severity.MEDIUM,
    why="SNS takes messages without TLS unless the topic's policy refuses",
    remedy="Keep the statement that denies it: components/alarms.py",
    reference="https://docs.aws.amazon.com/sns/latest/dg/sns-security-best-practices.html",
)
def sns_tls(topic_policy: Resource) -> Iterator[Finding]:
    """Topics refuse messages without TLS."""
    found, problems = statements(topic_policy, "policy")
    if unknown := [one for one in problems if not one.verified]:
        yield from unknown
    elif not any(
        one.denies
        and one.principals == [("AWS", "*")]
        and any(action in ("sns:Publish", "sns:*", "*") for action in one.actions)
        and list(one.conditions()) == [("Bool", "aws:securetransport", ["false"])]
        for one in found
    ):
        yield Finding("policy", "does not deny sns:Publish without TLS")


@rule(
    "resource-policy-public",
    on=tuple(DOCUMENTS),
    severity=Severity.CRITICAL,
    why="A resource's own policy can let in other accounts, or everybody, whatever IAM says",
    remedy="Name our own account in the principal or the condition",
    reference="https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_identity-vs-resource.html",
)
def resource_policy(resource: Resource) -> Iterator[Finding]:
    """No resource lets in anybody outside our accounts."""
    yield from others(resource, DOCUMENTS[resource.type])
