"""ECR: repositories and their policies, and what is set for a whole registry."""

from __future__ import annotations

from infra.local.aws.cloud import Region
from infra.local.aws.ecr_rules import lifecycle_rules, replication_rules, repository_rules, scanning_rules
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.resource import Props

_MISSING = ("RepositoryNotFoundException",)
_ARN = {"resourceArn": "{arn}"}
_REPOSITORY = {"repositoryName": "{id}"}
_ENCRYPTION = {"encryptionConfigurations": "encryptionConfiguration"}
_MUTABILITY = {"imageTagMutabilityExclusionFilters": "imageTagMutabilityExclusionFilters"}


def _force(region: Region, props: Props) -> None:
    region.call("ecr", "DeleteRepository", repositoryName=props["id"], force=bool(props.get("forceDelete")))


REPOSITORY = Type(
    "aws:ecr/repository:Repository",
    "ecr",
    id="{name}",
    create=Call(
        "CreateRepository",
        ("imageScanningConfiguration", "imageTagMutability"),
        {"name": "repositoryName", **_ENCRYPTION, **_MUTABILITY},
    ),
    read=Call("DescribeRepositories", fixed={"repositoryNames": ["{id}"]}, at="repositories[0]"),
    settings=[
        Setting(
            Call("PutImageTagMutability", ("imageTagMutability",), _MUTABILITY, fixed=_REPOSITORY), at_create=False
        ),
        Setting(
            Call("PutImageScanningConfiguration", ("imageScanningConfiguration",), fixed=_REPOSITORY), at_create=False
        ),
    ],
    before_delete=_force,
    recorded=frozenset({"forceDelete"}),
    tagging=Tagging(
        create="tags",
        add=Call("TagResource", (), fixed=_ARN),
        remove=Call("UntagResource", (), fixed=_ARN),
        get=Call("ListTagsForResource", (), fixed=_ARN, at="tags"),
        add_tags="tags",
        remove_keys="tagKeys",
    ),
    outputs={"arn": "repositoryArn", "registryId": "registryId", "repositoryUrl": "repositoryUri"},
    validate=repository_rules,
    missing=_MISSING,
    autoname="name",
    autoname_limit=256,
    note="images come by a protocol that moto does not have",
)

_NAMED = {"repositoryName": "{repository}"}
_NAMED_BY_ID = {"repositoryName": "{id}"}

REPOSITORY_POLICY = Type(
    "aws:ecr/repositoryPolicy:RepositoryPolicy",
    "ecr",
    id="{repository}",
    create=Call("SetRepositoryPolicy", (), {"policy": "policyText", "repository": "repositoryName"}),
    upsert=True,
    read=Call("GetRepositoryPolicy", fixed=_NAMED_BY_ID),
    delete=[Call("DeleteRepositoryPolicy", fixed=_NAMED_BY_ID)],
    outputs={"registryId": "registryId"},
    missing=(*_MISSING, "RepositoryPolicyNotFoundException"),
)

LIFECYCLE_POLICY = Type(
    "aws:ecr/lifecyclePolicy:LifecyclePolicy",
    "ecr",
    id="{repository}",
    create=Call("PutLifecyclePolicy", (), {"policy": "lifecyclePolicyText", "repository": "repositoryName"}),
    read=Call("GetLifecyclePolicy", fixed=_NAMED_BY_ID),
    delete=[Call("DeleteLifecyclePolicy", fixed=_NAMED_BY_ID)],
    outputs={"registryId": "registryId"},
    validate=lifecycle_rules,
    missing=(*_MISSING, "LifecyclePolicyNotFoundException"),
)

SCANNING = Type(
    "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration",
    "ecr",
    id="{account}",
    create=Call("PutRegistryScanningConfiguration", ("scanType", "rules")),
    upsert=True,
    read=Call("GetRegistryScanningConfiguration"),
    # There is always one: without rules and BASIC is how a registry begins.
    delete=[Call("PutRegistryScanningConfiguration", fixed={"scanType": "BASIC", "rules": []})],
    shows={"scanType": "scanningConfiguration.scanType", "rules": "scanningConfiguration.rules"},
    outputs={"registryId": "registryId"},
    validate=scanning_rules,
    note="moto scans nothing",
)

REPLICATION = Type(
    "aws:ecr/replicationConfiguration:ReplicationConfiguration",
    "ecr",
    id="{account}",
    create=Call("PutReplicationConfiguration", ("replicationConfiguration",)),
    upsert=True,
    read=Call("DescribeRegistry", at="[@][?replicationConfiguration.rules] | [0]"),
    delete=[Call("PutReplicationConfiguration", fixed={"replicationConfiguration": {"rules": []}})],
    outputs={"registryId": "registryId"},
    validate=replication_rules,
    note="moto copies no images",
)

TYPES = (REPOSITORY, REPOSITORY_POLICY, LIFECYCLE_POLICY, SCANNING, REPLICATION)
