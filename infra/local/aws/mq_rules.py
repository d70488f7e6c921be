"""What Amazon MQ refuses and moto does not.

Source, where nothing else is said: botocore's documentation of CreateBroker and CreateConfiguration, and the Amazon MQ
developer guide ("RabbitMQ 4", "Managing engine versions", "Sizing guidelines", "Configurable values"). A value that is
not known yet breaks no rule, and no message repeats a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props, has_unknown

_MODES = {
    "RabbitMQ": ("SINGLE_INSTANCE", "CLUSTER_MULTI_AZ"),
    "ActiveMQ": ("SINGLE_INSTANCE", "ACTIVE_STANDBY_MULTI_AZ"),
}

_FAMILIES = {"3.13": ("mq.t3", "mq.m5", "mq.m7g"), "4.2": ("mq.m7g",), "4.3": ("mq.m7g",)}
"""Families that each version of RabbitMQ runs on; other versions are not made any more."""

_CLUSTER_FROM = ("mq.m5", "mq.m7g")
"""Families that a cluster can have: its nodes need more than a mq.t3.micro."""

_KEYS = frozenset(
    """
    channel_max_per_node cluster_exchange_limit cluster_queue_limit connection_max consumer_max_per_channel
    consumer_timeout heartbeat management.restrictions.operator_policy_changes.disabled max_message_size
    quorum_queue.property_equivalence.relaxed_checks_on_redeclaration runtime_parameters.limits.shovel
    secure.management.http.headers.enabled vhost_max
    """.split()
)
"""What a configuration of RabbitMQ may set, without the keys for logging in by LDAP, HTTP, OAuth or certificates."""

_HEARTBEAT = (60, 3600)
_TIMEOUT_MS = (0, 2**31 - 1)

_BAD = "BadRequestException: "


def _text(props: Mapping[str, Any], name: str) -> str:
    value = props.get(name)
    return value if isinstance(value, str) else ""


def _block(props: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = props.get(name)
    return value if isinstance(value, Mapping) else {}


def broker_rules(props: Props) -> Iterator[Failure]:
    """Rules for one broker."""
    name = _text(props, "brokerName")
    if name and not re.fullmatch(r"[A-Za-z0-9_-]{1,50}", name):
        yield Failure(
            "brokerName",
            f"{_BAD}Broker name [{name}] is invalid. It must be 1-50 characters long and hold only letters, digits, "
            "dashes and underscores.",
        )
    engine, mode = _text(props, "engineType"), _text(props, "deploymentMode")
    if engine in _MODES and mode and mode not in _MODES[engine]:
        yield Failure(
            "deploymentMode",
            f"{_BAD}Broker deployment mode [{mode}] is not supported for engine type [{engine.upper()}]. "
            f"Valid values are: [{', '.join(_MODES[engine])}]",
        )
    else:
        yield from _subnets(props, engine, mode)
    groups = props.get("securityGroups")
    if isinstance(groups, list) and len(groups) > 5:
        yield Failure("securityGroups", f"{_BAD}A broker takes at most 5 security groups, not {len(groups)}.")
    encryption = _block(props, "encryptionOptions")
    # The provider says true where a program says nothing.
    if encryption.get("kmsKeyId") and encryption.get("useAwsOwnedKey", True) is True:
        yield Failure(
            "encryptionOptions.useAwsOwnedKey",
            f"{_BAD}Encryption options are invalid: useAwsOwnedKey must be false when kmsKeyId is given.",
        )
    time = _block(props, "maintenanceWindowStartTime").get("timeOfDay")
    if isinstance(time, str) and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", time):
        yield Failure(
            "maintenanceWindowStartTime.timeOfDay", f"{_BAD}Time of day [{time}] is invalid: it must be HH:MM."
        )
    if engine == "RabbitMQ":
        yield from _rabbit(props, mode)


def _subnets(props: Props, engine: str, mode: str) -> Iterator[Failure]:
    subnets = props.get("subnetIds")
    count = len(subnets) if isinstance(subnets, list) else 0
    public = props.get("publiclyAccessible")
    if engine == "RabbitMQ" and public is True:
        for name in ("securityGroups", "subnetIds"):
            if props.get(name):
                yield Failure(name, f"{_BAD}{name} must not be given for a public broker of engine type [RABBITMQ].")
        return
    if not isinstance(subnets, list) and subnets is not None:
        return
    wanted: Mapping[str, Iterable[int]] = {
        "SINGLE_INSTANCE": (1,),
        "ACTIVE_STANDBY_MULTI_AZ": (2,),
        "CLUSTER_MULTI_AZ": (1, 2, 3),
    }
    if public is not True and mode in wanted and count not in wanted[mode]:
        needs = "at least one and at most three" if mode == "CLUSTER_MULTI_AZ" else f"exactly {min(wanted[mode])}"
        yield Failure(
            "subnetIds",
            f"{_BAD}Specify {needs} subnets, in different zones, for deployment mode [{mode}], not {count}.",
        )


def _rabbit(props: Props, mode: str) -> Iterator[Failure]:
    version, type_ = _text(props, "engineVersion"), _text(props, "hostInstanceType")
    family, _, size = type_.rpartition(".")
    if version and version not in _FAMILIES:
        yield Failure(
            "engineVersion",
            f"{_BAD}Broker engine version [{version}] is invalid. Valid values are: [{', '.join(_FAMILIES)}]",
        )
    elif version and type_ and family not in _FAMILIES[version]:
        yield Failure(
            "hostInstanceType",
            f"{_BAD}Broker host instance type [{type_}] is not supported for engine version [{version}].",
        )
    elif type_ and mode == "CLUSTER_MULTI_AZ" and (family not in _CLUSTER_FROM or size == "micro"):
        yield Failure(
            "hostInstanceType",
            f"{_BAD}Broker host instance type [{type_}] is not supported for deployment mode [{mode}].",
        )
    if props.get("autoMinorVersionUpgrade") is False:
        yield Failure(
            "autoMinorVersionUpgrade",
            f"{_BAD}Automatic minor version upgrade must be on for RabbitMQ 3.13 and later.",
        )
    if _block(props, "logs").get("audit") is True:
        yield Failure("logs.audit", "logs.audit: Can not be configured when engine is RabbitMQ")
    if _text(props, "storageType").lower() == "efs":
        yield Failure("storageType", f"{_BAD}Broker storage type [EFS] is not supported for engine type [RABBITMQ].")
    for name in ("ldapServerMetadata", "dataReplicationMode", "dataReplicationPrimaryBrokerArn"):
        if props.get(name) not in (None, "NONE"):
            yield Failure(name, f"{_BAD}{name} is not supported for engine type [RABBITMQ].")
    yield from _users(props)


def _users(props: Props) -> Iterator[Failure]:
    users = props.get("users")
    if not isinstance(users, list) and users is not None:
        return
    if len(users or ()) != 1:
        yield Failure("users", f"{_BAD}Specify exactly one user for engine type [RABBITMQ].")
    for user in shapes.blocks(props, "users"):
        name, password = user.get("username"), user.get("password")
        if isinstance(name, str) and (not 2 <= len(name) <= 100 or "~" in name or name == "guest"):
            yield Failure(
                "users.username", f"{_BAD}Username [{name}] is invalid: 2-100 characters, no tilde, not guest."
            )
        if isinstance(password, str) and (
            not 12 <= len(password) <= 250 or len({*password}) < 4 or {*",:="} & {*password}
        ):
            yield Failure(
                "users.password",
                f"{_BAD}Password is invalid. It must be 12-250 characters long, with at least four different ones, and "
                "hold no comma, colon or equal sign.",
            )
        for member in ("consoleAccess", "groups", "replicationUser"):
            if user.get(member):
                yield Failure(f"users.{member}", f"{_BAD}{member} is not supported for engine type [RABBITMQ].")


def configuration_rules(props: Props) -> Iterator[Failure]:
    """Rules for one configuration."""
    name = _text(props, "name")
    if name and not re.fullmatch(r"[A-Za-z0-9._~-]{1,150}", name):
        yield Failure(
            "name",
            f"{_BAD}Configuration name [{name}] is invalid. It must be 1-150 characters long and hold only letters, "
            "digits, dashes, periods, underscores and tildes.",
        )
    data = props.get("data")
    if props.get("engineType") != "RabbitMQ" or has_unknown(data) or not isinstance(data, str):
        return
    for line in data.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if not key or key.startswith(("#", "[")):
            continue
        if not equals or key not in _KEYS:
            yield Failure("data", f"{_BAD}Configuration key [{key}] is not supported for engine type [RABBITMQ].")
            continue
        least, most = {"heartbeat": _HEARTBEAT, "consumer_timeout": _TIMEOUT_MS}.get(key, (0, 0))
        if most and not (value.isdigit() and least <= int(value) <= most):
            yield Failure("data", f"{_BAD}Configuration key [{key}] takes {least} to {most}, not [{value}].")
