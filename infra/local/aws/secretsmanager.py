"""Secrets Manager: secrets, their values, and who may read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.resource import Failure, Props

_SECRET = {"SecretId": "{id}"}
_MISSING = ("ResourceNotFoundException", "ResourceNotFound")


def _window(region: Region, props: Props) -> Props:
    """How a delete is asked for: a window in which the secret can be had back, or none (a window of 0)."""
    days = props.get("recoveryWindowInDays", 30)
    return {**props, "window": days or None, "forced": None if days else True}


def _check(props: Props) -> Iterable[Failure]:
    days = props.get("recoveryWindowInDays")
    if isinstance(days, int) and days != 0 and not 7 <= days <= 30:
        yield Failure(
            "recoveryWindowInDays",
            "InvalidParameterException: The RecoveryWindowInDays value must be between 7 and 30 days (inclusive): "
            f"{days}",
        )
    name = props.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[\w/+=.@-]{1,512}", name, re.ASCII):
        yield Failure(
            "name",
            "ValidationException: Invalid name. Must be a valid name containing alphanumeric characters, or any of the "
            f"following: -/_+=.@!: {name}",
        )


def _regions(properties: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(replica["region"]): replica for replica in shapes.blocks(properties, "replicas") if "region" in replica}


def _replicate(region: Region, context: Props, old: Props, new: Props) -> None:
    """Replicas come and go one by one: a region that has one takes no other."""
    before, after = _regions(old), _regions(new)
    gone = [name for name in before if before[name] != after.get(name)]
    if gone:
        region.call("secretsmanager", "RemoveRegionsFromReplication", SecretId=context["id"], RemoveReplicaRegions=gone)
    added = [
        {"Region": name, **({"KmsKeyId": replica["kmsKeyId"]} if replica.get("kmsKeyId") else {})}
        for name, replica in after.items()
        if replica != before.get(name)
    ]
    if added:
        region.call(
            "secretsmanager",
            "ReplicateSecretToRegions",
            SecretId=context["id"],
            AddReplicaRegions=added,
            ForceOverwriteReplicaSecret=bool(new.get("forceOverwriteReplicaSecret")),
        )


def _without_replicas(region: Region, props: Props) -> None:
    _replicate(region, props, props, {})


SECRET = Type(
    "aws:secretsmanager/secret:Secret",
    "secretsmanager",
    id="ARN",
    prepare=_window,
    create=Call(
        "CreateSecret",
        ("name", "description", "kmsKeyId", "forceOverwriteReplicaSecret", "type"),
        {"replicas": "AddReplicaRegions"},
    ),
    # A secret that waits for its deletion is gone as far as a program is concerned.
    read=Call("DescribeSecret", fixed=_SECRET, at="[@][?!DeletedDate] | [0]"),
    update=Call("UpdateSecret", ("description", "kmsKeyId"), fixed=_SECRET),
    settings=[
        Setting(
            Call("PutResourcePolicy", (), {"policy": "ResourcePolicy"}, _SECRET),
            get=Call("GetResourcePolicy", (), fixed=_SECRET),
            unset=Call("DeleteResourcePolicy", (), fixed=_SECRET),
        ),
        Setting(
            Call("ReplicateSecretToRegions", (), {"replicas": "AddReplicaRegions"}), at_create=False, apply=_replicate
        ),
    ],
    before_delete=_without_replicas,
    delete=[
        Call(
            "DeleteSecret",
            (),
            {"window": "RecoveryWindowInDays", "forced": "ForceDeleteWithoutRecovery"},
            _SECRET,
        )
    ],
    shows={"replicas": "ReplicationStatus[].{Region: Region, KmsKeyId: KmsKeyId}"},
    recorded=frozenset({"recoveryWindowInDays", "forceOverwriteReplicaSecret"}),
    tagging=Tagging(
        create="Tags",
        add=Call("TagResource", (), fixed=_SECRET),
        remove=Call("UntagResource", (), fixed=_SECRET),
    ),
    outputs={"arn": "ARN", "policy": lambda *_: None, "replicas": lambda *_: None},
    validate=_check,
    autoname="name",
    autoname_limit=512,
    # Both describe and delete answer so for a secret whose deletion is under way.
    missing=(*_MISSING, "InvalidRequestException"),
)

_VERSION = {"SecretId": "{secretId}", "VersionId": "{versionId}"}
_CURRENT = "AWSCURRENT"


def _move(region: Region, context: Props, label: str, **versions: str) -> None:
    region.call(
        "secretsmanager", "UpdateSecretVersionStage", SecretId=context["secretId"], VersionStage=label, **versions
    )


def _labels(region: Region, context: Props, old: Props, new: Props) -> None:
    """Move labels to this version, and take away those that the program no longer says (the current one stays)."""
    holders = region.call("secretsmanager", "DescribeSecret", SecretId=context["secretId"])["VersionIdsToStages"]
    version, wanted = context["versionId"], new.get("versionStages") or []
    mine = holders.get(version, [])
    for label in [label for label in wanted if label not in mine]:
        holder = next((other for other, labels in holders.items() if label in labels), None)
        _move(region, context, label, MoveToVersionId=version, **({"RemoveFromVersionId": holder} if holder else {}))
    for label in [label for label in mine if label not in wanted and label != _CURRENT]:
        _move(region, context, label, RemoveFromVersionId=version)


def _let_go(region: Region, props: Props) -> None:
    """A version cannot be deleted: without labels it is forgotten in time. The current one keeps its label."""
    _labels(region, props, {}, {})


VERSION = Type(
    "aws:secretsmanager/secretVersion:SecretVersion",
    "secretsmanager",
    id="join('|', [ARN, VersionId])",
    import_id=r"(?P<secretId>[^|]+)\|(?P<versionId>[^|]+)",
    create=Call(
        "PutSecretValue",
        ("secretString", "secretBinary", "versionStages"),
        {"secretId": "SecretId", "secretStringWo": "SecretString"},
        at="@",
    ),
    read=Call("GetSecretValue", fixed=_VERSION),
    settings=[Setting(Call("PutSecretValue", ("versionStages",)), at_create=False, apply=_labels)],
    before_delete=_let_go,
    # What is only written must not come back.
    shows={"secretId": "ARN", "secretStringWo": "WriteOnly"},
    recorded=frozenset({"secretStringWo", "secretStringWoVersion"}),
    outputs={
        "arn": "ARN",
        "secretArn": "ARN",
        "versionId": "VersionId",
        "versionStages": "VersionStages",
        "hasSecretStringWo": lambda region, props, _: "secretStringWo" in props,
    },
    missing=(*_MISSING, "InvalidRequestException"),
    note="deleting only takes labels off: the value lives as long as its secret, as on AWS",
)

POLICY = Type(
    "aws:secretsmanager/secretPolicy:SecretPolicy",
    "secretsmanager",
    id="{secretArn}",
    create=Call("PutResourcePolicy", None, {"secretArn": "SecretId", "policy": "ResourcePolicy"}),
    upsert=True,
    read=Call("GetResourcePolicy", fixed=_SECRET, at="[@][?ResourcePolicy] | [0]"),
    delete=[Call("DeleteResourcePolicy", fixed=_SECRET)],
    shows={"secretArn": "ARN"},
    missing=(*_MISSING, "InvalidRequestException"),
)

TYPES = (SECRET, VERSION, POLICY)
