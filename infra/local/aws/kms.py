"""KMS: customer keys, their replicas in other regions, and aliases."""

from __future__ import annotations

from dataclasses import replace

from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.resource import Props

_KEY = {"KeyId": "{id}"}

_TAGS = Tagging(
    create="Tags",
    add=Call("TagResource", (), fixed=_KEY),
    remove=Call("UntagResource", (), fixed=_KEY),
    get=Call("ListResourceTags", (), fixed=_KEY, at="Tags"),
    key="TagKey",
    value="TagValue",
)

# A key that is scheduled for deletion cannot be used and is gone as far as a program is concerned.
_READ = Call("DescribeKey", fixed=_KEY, at="[KeyMetadata][?KeyState != 'PendingDeletion'] | [0]")

_POLICY = Setting(
    Call("PutKeyPolicy", ("policy",), fixed={**_KEY, "PolicyName": "default"}),
    get=Call("GetKeyPolicy", fixed={**_KEY, "PolicyName": "default"}),
    at_create=False,
)
_DESCRIPTION = Setting(Call("UpdateKeyDescription", ("description",), fixed=_KEY), at_create=False)
_DELETE = Call("ScheduleKeyDeletion", fixed={**_KEY, "PendingWindowInDays": "{deletionWindowInDays}"})
_MISSING = ("NotFoundException", "KMSInvalidStateException")


def _window(region: Region, props: Props) -> Props:
    return {"deletionWindowInDays": 30, **props}


KEY = Type(
    "aws:kms/key:Key",
    "kms",
    id="KeyMetadata.KeyId",
    prepare=_window,
    create=Call(
        "CreateKey",
        ("description", "keyUsage", "customerMasterKeySpec", "multiRegion", "policy", "customKeyStoreId", "xksKeyId"),
        {"bypassPolicyLockoutSafetyCheck": "BypassPolicyLockoutSafetyCheck"},
    ),
    read=_READ,
    delete=[_DELETE],
    settings=[
        Setting(
            Call("EnableKeyRotation", (), {"rotationPeriodInDays": "RotationPeriodInDays"}, _KEY),
            get=Call("GetKeyRotationStatus", fixed=_KEY),
            unset=Call("DisableKeyRotation", (), fixed=_KEY),
            switches=("enableKeyRotation",),
        ),
        Setting(Call("EnableKey", (), fixed=_KEY), unset=Call("DisableKey", (), fixed=_KEY), switches=("isEnabled",)),
        _POLICY,
        _DESCRIPTION,
    ],
    shows={"enableKeyRotation": "KeyRotationEnabled", "isEnabled": "Enabled"},
    recorded=frozenset({"bypassPolicyLockoutSafetyCheck", "deletionWindowInDays"}),
    tagging=_TAGS,
    outputs={"arn": "Arn", "keyId": "KeyId"},
    missing=_MISSING,
)


def _from_primary(region: Region, props: Props) -> Props:
    """Replicating is asked for in the primary key's region, which its ARN names."""
    arn = str(props["primaryKeyArn"])
    return {**_window(region, props), "primaryRegion": arn.split(":")[3], "primaryKeyId": arn.split("/")[-1]}


REPLICA_KEY = Type(
    "aws:kms/replicaKey:ReplicaKey",
    "kms",
    id="ReplicaKeyMetadata.KeyId",
    prepare=_from_primary,
    create=Call(
        "ReplicateKey",
        ("bypassPolicyLockoutSafetyCheck",),
        fixed={"KeyId": "{primaryKeyId}", "ReplicaRegion": "{region}"},
        region="{primaryRegion}",
    ),
    read=_READ,
    delete=[_DELETE],
    settings=[
        Setting(Call("EnableKey", (), fixed=_KEY), unset=Call("DisableKey", (), fixed=_KEY), switches=("enabled",)),
        # moto copies both from the primary, whatever the call says.
        replace(_POLICY, at_create=True),
        replace(_DESCRIPTION, at_create=True),
    ],
    shows={"enabled": "Enabled", "primaryKeyArn": "MultiRegionConfiguration.PrimaryKey.Arn"},
    recorded=frozenset({"bypassPolicyLockoutSafetyCheck", "deletionWindowInDays", "primaryKeyArn"}),
    # moto forgets the tags that replicating is given.
    tagging=replace(_TAGS, create=""),
    outputs={"arn": "Arn", "keyId": "KeyId"},
    missing=_MISSING,
)

ALIAS = Type(
    "aws:kms/alias:Alias",
    "kms",
    id="{name}",
    create=Call("CreateAlias", (), {"name": "AliasName", "targetKeyId": "TargetKeyId"}),
    update=Call("UpdateAlias", (), {"targetKeyId": "TargetKeyId"}, {"AliasName": "{id}"}),
    read=Call("ListAliases", at="Aliases[?AliasName == '{id}'] | [0]"),
    delete=[Call("DeleteAlias", fixed={"AliasName": "{id}"})],
    outputs={
        "arn": "AliasArn",
        "targetKeyArn": lambda region, props, _: (
            f"arn:aws:kms:{region.name}:{region.account}:key/{props['targetKeyId']}"
        ),
    },
    autoname="name",
    missing=("NotFoundException",),
)

TYPES = (KEY, REPLICA_KEY, ALIAS)
