"""What OpenSearch Service refuses and moto does not, in its own words where they are known.

Sources, where nothing else is said: botocore's documentation of CreateDomain and the developer guide ("Quotas",
"Multi-AZ domains", "UltraWarm", "Fine-grained access control"). A value that is not known yet breaks no rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props

_BURSTABLE = ("t2.", "t3.", "t4g.")
_LOCAL_DISKS = ("i2.", "i3.", "i4g.", "i4i.", "im4gn.", "r6gd.", "r7gd.")

_WARM_STORAGE = {"ultrawarm1.medium.search": 1.5, "ultrawarm1.large.search": 20}
"""TiB that a warm node addresses; the API knows one type more, for which there is no quota."""

_M = {"large": 1, "xlarge": 2, "2xlarge": 3, "4xlarge": 6, "8xlarge": 12, "12xlarge": 18}
_R = {"large": 2, "xlarge": 3, "2xlarge": 6, "4xlarge": 12, "8xlarge": 16, "12xlarge": 24}
_LARGEST: Mapping[str, Mapping[str, float]] = {
    "m5": _M,
    "m6g": _M,
    "r5": _R,
    "r6g": _R,
    "c5": {"large": 0.25, "xlarge": 0.5, "2xlarge": 1, "4xlarge": 1.5, "9xlarge": 3.5, "18xlarge": 7},
    "c6g": {"large": 0.25, "xlarge": 0.5, "2xlarge": 1, "4xlarge": 1.5, "8xlarge": 3, "12xlarge": 4.5},
}
"""The largest gp3 volume of a node by family and size, TiB ("EBS volume size quotas"); what is not here is let be."""

_LAST_MINOR = {1: 3, 2: 19}
"""The minor version from which a major one leads on to the next."""


def _block(props: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = props.get(name)
    return value if isinstance(value, Mapping) else {}


def _number(block: Mapping[str, Any], name: str) -> int | None:
    value = block.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(block: Mapping[str, Any], name: str) -> str:
    value = block.get(name)
    return value if isinstance(value, str) else ""


def version_of(text: str) -> tuple[int, int] | None:
    """Major and minor of `OpenSearch_<major>.<minor>`; None for anything else."""
    match = re.fullmatch(r"OpenSearch_(\d{1,2})\.(\d{1,2})", text)
    return (int(match[1]), int(match[2])) if match else None


def upgrades(old: str, new: str) -> bool:
    """Whether a domain of one version can become one of another where it stands (GetCompatibleVersions)."""
    before, after = version_of(old), version_of(new)
    if before is None or after is None or after <= before:
        return False
    return after[0] == before[0] or (after[0] == before[0] + 1 and _LAST_MINOR.get(before[0]) == before[1])


def domain_replaces(old: Props, new: Props) -> Iterator[str]:
    """The properties whose change replaces, by their values (provider: `domain.go`, CustomizeDiff)."""
    before, after = _text(old, "engineVersion"), _text(new, "engineVersion")
    if before and after and before != after and not upgrades(before, after):
        yield "engineVersion"
    for name in ("encryptAtRest", "nodeToNodeEncryption", "advancedSecurityOptions"):
        if _block(old, name).get("enabled") is True and _block(new, name).get("enabled") is False:
            yield name
    # Elasticsearch learnt it with 6.7.
    if after and not after.startswith("OpenSearch_") and _numbers(after) < (6, 7):
        for name in ("encryptAtRest", "nodeToNodeEncryption"):
            if _block(old, name).get("enabled") is False and _block(new, name).get("enabled") is True:
                yield name
    if old.get("ipAddressType") == "dualstack" and new.get("ipAddressType") not in (None, "dualstack"):
        yield "ipAddressType"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def domain_rules(props: Props) -> Iterator[Failure]:
    """Rules for one domain."""
    yield from _name(props)
    yield from _version(props)
    yield from _cluster(props)
    yield from _standby(props)
    yield from _tiers(_block(props, "clusterConfig"))
    yield from _storage(props)
    yield from _security(props)
    yield from _endpoint(props)
    yield from _network(props)
    yield from _rest(props)


def _refuse(path: str, message: str) -> Failure:
    return Failure(path, f"ValidationException: {message}")


def _name(props: Props) -> Iterator[Failure]:
    name = props.get("domainName")
    if not isinstance(name, str):
        return
    constraint = ""
    if not 3 <= len(name) <= 28:
        constraint = "length less than or equal to 28" if len(name) > 28 else "length greater than or equal to 3"
    elif not re.fullmatch(r"[a-z][a-z0-9\-]+", name):
        constraint = "regular expression pattern: [a-z][a-z0-9\\-]+"
    if constraint:
        verb = "satisfy" if "pattern" in constraint else "have"
        yield _refuse(
            "domainName",
            f"1 validation error detected: Value '{name}' at 'domainName' failed to satisfy constraint: Member must "
            f"{verb} {constraint}",
        )


def _version(props: Props) -> Iterator[Failure]:
    version = _text(props, "engineVersion")
    if version and not re.fullmatch(r"Elasticsearch_\d\.\d{1,2}|OpenSearch_\d{1,2}\.\d{1,2}", version):
        yield _refuse("engineVersion", f"Invalid engine version: {version}")


def _cluster(props: Props) -> Iterator[Failure]:
    config = _block(props, "clusterConfig")
    where = "clusterConfig"
    if config.get("dedicatedMasterEnabled") is True:
        masters = _number(config, "dedicatedMasterCount")
        if masters is not None and (masters < 3 or masters == 4):
            yield _refuse(where, f"You must choose 3 or 5 dedicated master nodes, not {masters}")
        if masters is not None and masters > 5:
            yield Failure(where, "LimitExceededException: A domain has at most 5 dedicated master nodes")
    count = _number(config, "instanceCount")
    zones = _number(_block(config, "zoneAwarenessConfig"), "availabilityZoneCount")
    if config.get("zoneAwarenessEnabled") is True and zones is not None:
        if zones not in (2, 3):
            yield _refuse(where, "NumberOfAvailabilityZones should be either 2 or 3")
        elif count is not None and count < zones:
            words = {2: "two", 3: "three"}[zones]
            yield _refuse(
                where, f"You must choose a minimum of {words} data nodes for a {words} Availability Zone deployment"
            )
    warm = _number(config, "warmCount") or 0
    if count is not None and count + warm > 80:
        yield Failure(where, f"LimitExceededException: {count + warm} instances are more than the 80 of this account")


def _standby(props: Props) -> Iterator[Failure]:
    config = _block(props, "clusterConfig")
    where = "clusterConfig"
    if config.get("multiAzWithStandbyEnabled") is not True:
        return
    version = version_of(_text(props, "engineVersion"))
    if version is not None and version < (1, 3):
        yield _refuse(where, "Domains with standby are only supported for OpenSearch version 1.3 and later.")
    zones = _number(_block(config, "zoneAwarenessConfig"), "availabilityZoneCount")
    if config.get("zoneAwarenessEnabled") is False or (zones is not None and zones != 3):
        yield _refuse(where, "Domains with standby must use 3 Availability Zones.")
        return
    masters = _number(config, "dedicatedMasterCount")
    if config.get("dedicatedMasterEnabled") is False or (masters is not None and masters != 3):
        yield _refuse(where, "Domains with standby must have 3 nodes that are eligible to be master nodes.")
    for name, what in (("instanceCount", "data"), ("warmCount", "warm")):
        count = _number(config, name)
        if count is not None and count % 3:
            yield _refuse(
                where,
                f"The number of {what} nodes must be a multiple of the number of Availability Zones configured for the "
                "domain.",
            )
    for name in ("instanceType", "dedicatedMasterType"):
        if _text(config, name).startswith(_BURSTABLE):
            yield _refuse(where, f"Domains with standby do not support the {config[name]} instance type.")
    if _block(props, "ebsOptions").get("volumeType") in ("standard", "gp2"):
        yield _refuse("ebsOptions", "Domains with standby only support the GP3 and io1 volume types of EBS storage.")
    if _block(props, "autoTuneOptions").get("desiredState") == "DISABLED":
        yield _refuse("autoTuneOptions", "Domains with standby must have Auto-Tune enabled.")


def _tiers(config: Mapping[str, Any]) -> Iterator[Failure]:
    """Warm, cold and coordinating nodes."""
    where = "clusterConfig"
    warm, masters = config.get("warmEnabled"), config.get("dedicatedMasterEnabled", False)
    count, kind, data = _number(config, "warmCount"), _text(config, "warmType"), _text(config, "instanceType")
    if warm is True:
        if masters is False:
            yield _refuse(where, "To use warm storage, your domain must have dedicated master nodes.")
        if data.startswith(_BURSTABLE):
            yield _refuse(
                where,
                f"Warm storage is not available for the {data} instance type. Select a different instance type.",
            )
        if "warmType" not in config or "warmCount" not in config:
            yield _refuse(where, "WarmType and WarmCount must be given when warm storage is enabled.")
        elif count is not None and not 2 <= count <= 150:
            yield _refuse(where, f"WarmCount must be between 2 and 150, not {count}")
        if kind and kind not in _WARM_STORAGE:
            yield _refuse(where, f"Invalid instance type: {kind}")
    elif warm is False and ("warmType" in config or "warmCount" in config):
        yield _refuse(where, "WarmType and WarmCount can only be given when warm storage is enabled.")
    if _block(config, "coldStorageOptions").get("enabled") is True and not config.get("warmEnabled"):
        yield _refuse(where, "To use cold storage, your domain must have warm storage.")
    for option in shapes.blocks(config, "nodeOptions"):
        node = _block(option, "nodeConfig")
        if node.get("enabled") is not True:
            continue
        if masters is False:
            yield _refuse(where, "To use coordinator nodes, your domain must have dedicated master nodes.")
        count = _number(node, "count")
        if count is not None and count < 1:
            yield _refuse(where, f"The number of coordinator nodes must be at least 1, not {count}")


def _storage(props: Props) -> Iterator[Failure]:
    ebs, kind = _block(props, "ebsOptions"), _text(_block(props, "clusterConfig"), "instanceType")
    where = "ebsOptions"
    if kind and ebs.get("ebsEnabled") is True and kind.startswith(_LOCAL_DISKS):
        yield _refuse(where, f"EBS storage is not supported for the {kind} instance type.")
        return
    if ebs.get("ebsEnabled") is not True:
        if ebs.get("ebsEnabled") is False and kind and not kind.startswith(_LOCAL_DISKS):
            yield _refuse(where, f"EBS storage must be selected for {kind}")
        return
    volume, iops, throughput = ebs.get("volumeType"), _number(ebs, "iops"), _number(ebs, "throughput")
    if volume in ("standard", "gp2", "io1") and throughput is not None:
        yield _refuse(where, "Throughput is only valid when volume type is GP3.")
    if volume in ("standard", "gp2") and iops is not None:
        yield _refuse(where, "IOPS is only valid when volume type is Provisioned IOPS or GP3.")
    if volume == "gp3":
        yield from _gp3(kind, _number(ebs, "volumeSize"), iops, throughput)


def _gp3(kind: str, size: int | None, iops: int | None, throughput: int | None) -> Iterator[Failure]:
    where = "ebsOptions"
    family, _, rest = kind.partition(".")
    most = _LARGEST.get(family, {}).get(rest.removesuffix(".search"))
    if size is not None and (size < 10 or (most is not None and size > most * 1024)):
        top = "..." if most is None else f"{most * 1024:g}"
        yield Failure(
            where, f"LimitExceededException: Volume size must be between 10 and {top} for {kind} instance type"
        )
    # A volume that would be given more by itself takes no less; each 3 TiB may have another volume's worth.
    given = size or 0
    volumes = max(1, -(-given // 3072))
    included = min(16000, max(3000, 3 * given)), min(1000, 250 * max(1, -(-given // 3000)))
    if iops is not None and not included[0] <= iops <= 16000 * volumes:
        yield Failure(where, f"LimitExceededException: IOPS must be between {included[0]} and {16000 * volumes}")
    if throughput is not None and not included[1] <= throughput <= 1000 * volumes:
        yield Failure(where, f"LimitExceededException: Throughput must be between {included[1]} and {1000 * volumes}")


def _security(props: Props) -> Iterator[Failure]:
    options = _block(props, "advancedSecurityOptions")
    where = "advancedSecurityOptions"
    if options.get("enabled") is not True:
        return
    if _block(props, "encryptAtRest").get("enabled", False) is False:
        yield _refuse(where, "You must enable encryption at rest to use advanced security options.")
    if _block(props, "nodeToNodeEncryption").get("enabled", False) is False:
        yield _refuse(where, "You must enable node-to-node encryption to use advanced security options.")
    if _block(props, "domainEndpointOptions").get("enforceHttps", False) is False:
        yield _refuse(where, "You must enable EnforceHTTPS in the domain endpoint options to use advanced security.")
    master = _block(options, "masterUserOptions")
    inside = options.get("internalUserDatabaseEnabled", False)
    if inside is False and "masterUserArn" not in master:
        yield _refuse(where, "If you don't enable the internal user database, you must provide a master user ARN.")
    if inside is True:
        if not {"masterUserName", "masterUserPassword"} <= {*master}:
            yield _refuse(
                where,
                "You must provide a master username and password when the internal user database is enabled.",
            )
        password = master.get("masterUserPassword")
        strong = ("[a-z]", "[A-Z]", r"\d", r"[^a-zA-Z0-9]")
        if isinstance(password, str) and (
            not 8 <= len(password) <= 128 or not all(re.search(part, password) for part in strong)
        ):
            yield _refuse(
                where,
                "The master user password must contain at least one uppercase letter, one lowercase letter, one number "
                "and one special character.",
            )


def _endpoint(props: Props) -> Iterator[Failure]:
    options = _block(props, "domainEndpointOptions")
    if options.get("customEndpointEnabled") is True and not (
        {"customEndpoint", "customEndpointCertificateArn"} <= {*options}
    ):
        yield _refuse(
            "domainEndpointOptions",
            "Please provide both CustomEndpoint and CustomEndpointCertificateArn fields to create a custom endpoint.",
        )


def _network(props: Props) -> Iterator[Failure]:
    subnets = _block(props, "vpcOptions").get("subnetIds")
    if not isinstance(subnets, list):
        return
    config = _block(props, "clusterConfig")
    zones: int | None = 1
    if config.get("zoneAwarenessEnabled") is True:
        zones = _number({"count": 2, **_counted(config)}, "count")
    if zones is None or config.get("zoneAwarenessEnabled") not in (None, True, False):
        return
    if len(subnets) != zones:
        words = {1: "one subnet", 2: "two subnets", 3: "three subnets"}.get(zones, f"{zones} subnets")
        yield _refuse(
            "vpcOptions",
            f"You must specify exactly {words} because you've set zone count to {words.split(maxsplit=1)[0]}.",
        )


def _counted(config: Mapping[str, Any]) -> dict[str, Any]:
    """The number of zones, if the program says one."""
    block = config.get("zoneAwarenessConfig")
    if block is None:
        return {}
    return {"count": block.get("availabilityZoneCount", 2) if isinstance(block, Mapping) else block}


def _rest(props: Props) -> Iterator[Failure]:
    """Logs, tuning, the off-peak window and the access policy."""
    protected = _block(props, "advancedSecurityOptions").get("enabled", False)
    for option in shapes.blocks(props, "logPublishingOptions"):
        if option.get("enabled", True) is not True:
            continue
        if option.get("logType") == "AUDIT_LOGS" and protected is False:
            yield _refuse(
                "logPublishingOptions",
                "audit log publishing cannot be enabled as you do not have advanced security options configured.",
            )
        if not option.get("cloudwatchLogGroupArn"):
            yield _refuse(
                "logPublishingOptions",
                "Log publishing option is misconfigured. Enter valid CloudWatch Logs Arn and Enable flag for LogType",
            )
    tuning, kind = _block(props, "autoTuneOptions"), _text(_block(props, "clusterConfig"), "instanceType")
    if tuning.get("desiredState") == "ENABLED" and kind.startswith(("t2.", "t3.")):
        yield _refuse(
            "autoTuneOptions",
            "Autotune is not supported in t2/t3 instance types. Disable autotune or change your instance type.",
        )
    if tuning.get("rollbackOnDisable") == "DEFAULT_ROLLBACK" and not tuning.get("maintenanceSchedules"):
        yield _refuse("autoTuneOptions", "A maintenance schedule is required when RollbackOnDisable is set.")
    if tuning.get("useOffPeakWindow") is True and tuning.get("maintenanceSchedules"):
        yield _refuse("autoTuneOptions", "Maintenance schedules cannot be given when the off-peak window is used.")
    window = _block(props, "offPeakWindowOptions")
    if window.get("enabled") is False:
        yield _refuse("offPeakWindowOptions", "The off-peak window cannot be disabled.")
    start = _block(_block(window, "offPeakWindow"), "windowStartTime")
    for name, most in (("hours", 23), ("minutes", 59)):
        value = _number(start, name)
        if value is not None and not 0 <= value <= most:
            yield _refuse("offPeakWindowOptions", f"{name} must be between 0 and {most}, not {value}")
    yield from _access(props)


def _access(props: Props) -> Iterator[Failure]:
    text = _text(props, "accessPolicies")
    if not text:
        return
    if len(text.encode()) > 102_400:
        yield Failure("accessPolicies", "LimitExceededException: An access policy has at most 100 KiB")
    try:
        policy = json.loads(text)
    except ValueError:
        yield Failure("accessPolicies", "InvalidTypeException: Error setting policy: the policy is no JSON document")
        return
    statements = policy.get("Statement", []) if isinstance(policy, dict) else []
    conditions = [statement.get("Condition", {}) for statement in statements if isinstance(statement, dict)]
    if props.get("vpcOptions") and any({"IpAddress", "NotIpAddress"} & {*condition} for condition in conditions):
        yield _refuse("accessPolicies", "You can't attach an IP-based policy to a domain that has a VPC endpoint")


def connection_rules(props: Props) -> Iterator[Failure]:
    """Rules for one connection between domains."""
    alias = _text(props, "connectionAlias")
    if alias and not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9\-_]{1,99}", alias):
        yield _refuse(
            "connectionAlias",
            f"1 validation error detected: Value '{alias}' at 'connectionAlias' failed to satisfy constraint: Member "
            "must satisfy regular expression pattern: [a-zA-Z][a-zA-Z0-9\\-\\_]+",
        )
    ends = [_block(props, name) for name in ("localDomainInfo", "remoteDomainInfo")]
    if ends[0] and ends[0] == ends[1]:
        yield _refuse("remoteDomainInfo", "A domain cannot be connected to itself")


def log_policy_rules(props: Props) -> Iterator[Failure]:
    """Rules for one resource policy of CloudWatch Logs."""
    text = _text(props, "policyDocument")
    if len(text) > 5120:
        yield Failure(
            "policyDocument", "InvalidParameterException: Resource policy document has more than 5120 characters"
        )
    if text and not text.lstrip().startswith("{"):
        yield Failure("policyDocument", "InvalidParameterException: Unable to parse policy document")
