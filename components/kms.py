"""Customer keys: one per class of data, the same key material in every region.

The primary region holds the multi-region primaries; every other region holds a replica of each, so that what was
encrypted in one region can be read in another. Nothing else shares a key: who may read logs may not read secrets.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pulumi
import pulumi_aws as aws

from components.errors import ArgsError

DataClass = Literal["data", "logs", "secrets", "messages", "backup"]
DATA_CLASSES: tuple[DataClass, ...] = get_args(DataClass)

Role = Literal["primary", "standby"]
Policy = dict[str, Any]

#: What a deletion by mistake leaves to notice it: the longest that KMS offers (7 to 30 days).
DELETION_WINDOW_DAYS = 30

_PURPOSE: dict[DataClass, str] = {
    "data": "documents, snapshots, database, search index, volumes",
    "logs": "log groups",
    "secrets": "secrets",
    "messages": "cache, broker and its volumes, alarm topics",
    "backup": "backup vault",
}

#: With these volumes of pods are encrypted, each by the class of what is in it: all that a StorageClass may name.
VOLUME_KEYS: tuple[DataClass, ...] = ("data", "messages")


@dataclass(frozen=True)
class CustomerKey:
    """One customer key, as other components take it.

    Attributes:
        arn: Its ARN in this region.
        id: Its key id; a replica has the id of its primary.
    """

    arn: pulumi.Output[str]
    id: pulumi.Output[str]


def check_account_id(account_id: str) -> None:
    """Refuses what is no AWS account: an ARN with it would name nobody, and AWS would not say so.

    Raises:
        ArgsError: It is not 12 digits.
    """
    if not re.fullmatch(r"\d{12}", account_id):
        raise ArgsError(
            f"account_id is {account_id!r}",
            why="an AWS account id is 12 digits",
            remedy="Quote it in the stack file, so that YAML keeps a leading zero",
        )


def check_follows(role: Role, name: str, value: object, *, leads: str, follows: str) -> None:
    """Refuses what a standby takes of its primary, if a primary is given it or a standby is not.

    Args:
        role: Of the region.
        name: Of the argument.
        value: What it is given; ``None`` for nothing.
        leads: Why a primary takes none.
        follows: Why a standby needs it.

    Raises:
        ArgsError: Role and argument do not agree.
    """
    if role == "primary" and value is not None:
        raise ArgsError(
            f"{name} is given to a primary region", why=leads, remedy=f"Set role to standby, or leave {name} out"
        )
    if role == "standby" and value is None:
        raise ArgsError(
            f"{name} is not given to a standby region", why=follows, remedy="Bring the primary region up first"
        )


def plan_key_policy(data_class: DataClass, *, account_id: str, region: str) -> Policy:
    """Who may use a key, beyond those that the account's own IAM policies allow.

    Most services (S3, RDS, OpenSearch, Secrets Manager, ElastiCache, AWS Backup) use a key with the rights of the
    caller or by a grant of the caller's, so they need no statement here. Three act on their own and do.

    Args:
        data_class: What the key is for.
        account_id: The account of the key, 12 digits.
        region: The region of this key or replica; each has its own policy.

    Returns:
        The policy document. Source of each statement: AWS KMS developer guide, "Default key policy"; CloudWatch Logs
        user guide, "Encrypt log data"; EC2 Auto Scaling user guide, "Required key policy"; SNS developer guide,
        "Key management".
    """
    statements = [
        {
            # Without it a mistake in this policy would leave a key that nobody can manage, for ever.
            "Sid": "AccountAdministration",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    if data_class == "logs":
        statements.append(
            {
                "Sid": "LogGroupsOfThisAccount",
                "Effect": "Allow",
                "Principal": {"Service": f"logs.{region}.amazonaws.com"},
                "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                "Resource": "*",
                "Condition": {
                    "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{region}:{account_id}:log-group:*"}
                },
            }
        )
    if data_class == "data":
        statements += _volumes_of_nodes(account_id)
    if data_class == "messages":
        statements.append(
            {
                "Sid": "AlarmsOfThisAccount",
                "Effect": "Allow",
                "Principal": {
                    "Service": ["backup.amazonaws.com", "cloudwatch.amazonaws.com", "events.rds.amazonaws.com"]
                },
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


def _volumes_of_nodes(account_id: str) -> list[dict[str, Any]]:
    """Lets the Auto Scaling service role open the encrypted volumes of the nodes that it starts."""
    # By condition, not as principal: KMS refuses a policy that names a role which does not exist yet, and a new
    # account has this service-linked role only after its first Auto Scaling group.
    role = f"arn:aws:iam::{account_id}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    caller: dict[str, dict[str, Any]] = {
        "StringEquals": {"kms:CallerAccount": account_id},
        "ArnEquals": {"aws:PrincipalArn": role},
    }
    return [
        {
            "Sid": "VolumesOfNodes",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": caller,
        },
        {
            "Sid": "GrantsForVolumesOfNodes",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": "kms:CreateGrant",
            "Resource": "*",
            "Condition": caller | {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        },
    ]


@dataclass(frozen=True, kw_only=True)
class KmsArgs:
    """What the keys of a region need.

    Attributes:
        account_id: The account, 12 digits.
        region: The region that these keys live in.
        role: ``primary`` creates the keys, ``standby`` replicates them.
        replica_of: ARN of the primary region's key per data class; required for a standby, refused for a primary.
        locked: Pulumi's ``protect``. AWS's own lock, the 30-day deletion window, is always on.

    Raises:
        ArgsError: The account id is malformed, or role and replica_of do not agree.
    """

    account_id: str
    region: str
    role: Role
    replica_of: Mapping[DataClass, pulumi.Input[str]] | None = None
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        if self.role not in get_args(Role):
            raise ArgsError(f"role is {self.role!r}", why="a region is one of primary, standby")
        if self.role == "primary" and self.replica_of is not None:
            raise ArgsError(
                "replica_of is given to a primary region",
                why="its keys are the originals",
                remedy="Set role to standby, or leave replica_of out",
            )
        if self.role == "standby":
            missing = [name for name in DATA_CLASSES if name not in (self.replica_of or {})]
            if missing:
                raise ArgsError(
                    f"replica_of has no key for {', '.join(missing)}",
                    why="a standby replicates every key of the primary, or it could not read its data",
                    remedy="Bring the primary region up first, with this version of the program",
                )


class Kms(pulumi.ComponentResource):
    """The customer keys of one region: ``keys["data"].arn``.

    Attributes:
        keys: The key of each data class.
    """

    keys: Mapping[DataClass, CustomerKey]

    def __init__(self, name: str, args: KmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:kms:Kms", name, None, opts)
        self.keys = {data_class: self._key(name, data_class, args) for data_class in DATA_CLASSES}
        self.register_outputs({"arns": self.arns})

    def __getitem__(self, data_class: DataClass) -> CustomerKey:
        return self.keys[data_class]

    @property
    def arns(self) -> dict[DataClass, pulumi.Output[str]]:
        """What a standby region takes as ``replica_of``."""
        return {data_class: key.arn for data_class, key in self.keys.items()}

    def _key(self, name: str, data_class: DataClass, args: KmsArgs) -> CustomerKey:
        description = f"docsearch: {_PURPOSE[data_class]}"
        policy = json.dumps(plan_key_policy(data_class, account_id=args.account_id, region=args.region), sort_keys=True)
        locked = pulumi.ResourceOptions(parent=self, protect=args.locked)
        key: aws.kms.Key | aws.kms.ReplicaKey
        if args.replica_of is None:
            key = aws.kms.Key(
                f"{name}-{data_class}",
                description=description,
                multi_region=True,
                enable_key_rotation=True,
                deletion_window_in_days=DELETION_WINDOW_DAYS,
                policy=policy,
                opts=locked,
            )
        else:
            # Rotation is a shared property of a multi-region key: a replica follows its primary.
            key = aws.kms.ReplicaKey(
                f"{name}-{data_class}",
                description=description,
                primary_key_arn=args.replica_of[data_class],
                deletion_window_in_days=DELETION_WINDOW_DAYS,
                policy=policy,
                opts=locked,
            )
        aws.kms.Alias(
            f"{name}-{data_class}",
            name=f"alias/docsearch/{data_class}",
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return CustomerKey(arn=key.arn, id=key.key_id)
