"""The image repositories of a region, and the copies that a standby has of the primary's.

A standby's pods must start while the primary's region is down, so it keeps every image itself. Replication is a setting
of the *source* registry, one per account and region, and ECR makes repositories that it does not find at the other end
by itself: mutable, and without our key. So the standby sets it, with an explicit provider for the primary's region,
once its own repositories exist. ECR copies what is pushed from then on; what was pushed before is fetched once by
``aws ecr start-replication-backfill``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

from components.errors import ArgsError
from components.kms import CustomerKey, check_account_id

Scanning = Literal["basic", "enhanced"]

#: How often each kind of scan looks (ECR API reference, RegistryScanningRule): when an image comes, or for as long as
#: it stays, whenever a new vulnerability becomes known.
FREQUENCY: Mapping[Scanning, str] = {"basic": "SCAN_ON_PUSH", "enhanced": "CONTINUOUS_SCAN"}

#: Filters of one rule, for scanning and for replication (ECR API reference, RegistryScanningRule, ReplicationRule).
MAX_REPOSITORIES = 100


@dataclass(frozen=True, kw_only=True)
class RegistrySource:
    """The primary region's registry, as a standby follows it.

    Attributes:
        region: The primary's region.
        provider: A provider for it.
    """

    region: str
    provider: aws.Provider


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """What the repositories of a region need.

    Attributes:
        account_id: The account, 12 digits; nobody else may pull or push.
        region: Where they are.
        key: Encrypts the images (class ``data``). A change replaces the repositories.
        repositories: Their names, such as ``docsearch/search``.
        untagged_days: How long an image without a tag is kept: half of a push that failed, or a manifest's parts.
        keep_images: How many images are kept; the oldest go first. It must hold every one that may still run or be
            gone back to.
        scanning: ``basic`` looks for known vulnerabilities when an image comes; ``enhanced`` (Amazon Inspector, paid
            per image) goes on looking. It is one setting for the account's whole registry in this region.
        replicate_from: The registry to follow; ``None`` in a primary region.
        locked: Pulumi's ``protect``, and ECR's refusal to delete a repository that holds images.

    Raises:
        ArgsError: A plain value cannot work.
    """

    account_id: str
    region: str
    key: CustomerKey
    repositories: Sequence[str]
    untagged_days: int = 14
    keep_images: int = 200
    scanning: Scanning = "basic"
    replicate_from: RegistrySource | None = None
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        check_repositories(self.repositories)
        for name, value in (("untagged_days", self.untagged_days), ("keep_images", self.keep_images)):
            if value < 1:
                raise ArgsError(f"{name} is {value}", why="a lifecycle policy of ECR counts from 1")
        if self.replicate_from is not None and self.replicate_from.region == self.region:
            raise ArgsError(
                f"replicate_from is in {self.region}",
                why="a registry cannot be copied onto itself",
                remedy="Point the standby at the primary's region",
            )


def check_repositories(names: Sequence[str]) -> None:
    """Refuses names that ECR would refuse (API reference, CreateRepository).

    Raises:
        ArgsError: A name is malformed or there twice, or there are none or too many.
    """
    part = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
    for name in names:
        if not re.fullmatch(rf"{part}(/{part})*", name) or not 2 <= len(name) <= 256:
            raise ArgsError(
                f"repository is {name!r}",
                why="a name has 2 to 256 lowercase letters, digits and .-_ between them, in parts that / separates",
            )
    if len({*names}) < len(names):
        raise ArgsError("a repository is named twice", why="it would be made twice", remedy="Name each once")
    if not 1 <= len(names) <= MAX_REPOSITORIES:
        raise ArgsError(
            f"{len(names)} repositories are named", why=f"scanning and replication take 1 to {MAX_REPOSITORIES} filters"
        )


class Registry(pulumi.ComponentResource):
    """The image repositories of one region.

    Attributes:
        urls: Where to push and pull, by name of the repository.
        arns: ARN by name of the repository: what a role that pulls or pushes is allowed.
    """

    urls: Mapping[str, pulumi.Output[str]]
    arns: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:registry:Registry", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        repositories = {path: self._repository(f"{name}-{plan_key(path)}", path, args) for path in args.repositories}
        aws.ecr.RegistryScanningConfiguration(
            name,
            scan_type=args.scanning.upper(),
            rules=[
                {
                    "scan_frequency": FREQUENCY[args.scanning],
                    "repository_filters": [{"filter": path, "filter_type": "WILDCARD"} for path in args.repositories],
                }
            ],
            opts=child,
        )
        if args.replicate_from is not None:
            rule: Any = {
                "destinations": [{"region": args.region, "registry_id": args.account_id}],
                "repository_filters": [{"filter": path, "filter_type": "PREFIX_MATCH"} for path in args.repositories],
            }
            aws.ecr.ReplicationConfiguration(
                name,
                replication_configuration={"rules": [rule]},
                opts=pulumi.ResourceOptions(
                    parent=self, provider=args.replicate_from.provider, depends_on=[*repositories.values()]
                ),
            )
        self.urls = {path: repository.repository_url for path, repository in repositories.items()}
        self.arns = {path: repository.arn for path, repository in repositories.items()}
        self.register_outputs({"urls": self.urls})

    def _repository(self, name: str, path: str, args: RegistryArgs) -> aws.ecr.Repository:
        child = pulumi.ResourceOptions(parent=self)
        repository = aws.ecr.Repository(
            name,
            name=path,
            # A tag says which release an image is: it must go on saying the same.
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": args.key.arn}],
            force_delete=not args.locked,
            opts=pulumi.ResourceOptions(parent=self, protect=args.locked),
        )
        policies = (
            (aws.ecr.RepositoryPolicy, plan_repository_policy(args.account_id)),
            (
                aws.ecr.LifecyclePolicy,
                plan_lifecycle(untagged_days=args.untagged_days, keep_images=args.keep_images),
            ),
        )
        for type_, policy in policies:
            type_(name, repository=repository.name, policy=json.dumps(policy, sort_keys=True), opts=child)
        return repository


def plan_key(path: str) -> str:
    """What ends the logical names of a repository: its name without slashes."""
    return path.replace("/", "-")


def plan_repository_policy(account_id: str) -> dict[str, Any]:
    """Nobody of another account, whatever another policy may say.

    Within the account IAM decides. Services of AWS that act for it (replication, scans) have roles of the account.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "NobodyElse",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "ecr:*",
                "Condition": {
                    "StringNotEquals": {"aws:PrincipalAccount": account_id},
                    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
                },
            }
        ],
    }


def plan_lifecycle(*, untagged_days: int, keep_images: int) -> dict[str, Any]:
    """What is deleted by itself. The rule on every image has to come last (ECR user guide, "Lifecycle policies")."""
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days"}
    rows: tuple[tuple[str, dict[str, Any]], ...] = (
        ("Images without a tag", untagged | {"countNumber": untagged_days}),
        ("All but the newest", {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": keep_images}),
    )
    return {
        "rules": [
            {"rulePriority": priority, "description": description, "selection": selection, "action": {"type": "expire"}}
            for priority, (description, selection) in enumerate(rows, start=1)
        ]
    }
