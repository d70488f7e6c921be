"""Amazon MQ: brokers and their configurations."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.aws.mq_rules import broker_rules, configuration_rules
from infra.local.resource import Props

_TAGS = Tagging(
    create="Tags",
    add=Call("CreateTags", (), fixed={"ResourceArn": "{arn}"}),
    remove=Call("DeleteTags", (), fixed={"ResourceArn": "{arn}"}),
    get=Call("ListTags", (), fixed={"ResourceArn": "{arn}"}, at="Tags"),
    key="",
)

_ENGINES = {"ACTIVEMQ": "ActiveMQ", "RABBITMQ": "RabbitMQ"}
"""How the provider spells what the API writes in capitals."""


def _engine(description: Any) -> str | None:
    return _ENGINES.get(str(description.get("EngineType", "")).upper())


def _in_capitals(region: Region, props: Props) -> Props:
    if isinstance(engine := props.get("engineType"), str):
        return {**props, "engineType": engine.upper()}
    return props


def _upload(region: Region, context: Props, old: Props, new: Props) -> None:
    """A configuration is made with the service's own content; each upload is a new revision."""
    region.call(
        "mq",
        "UpdateConfiguration",
        ConfigurationId=context["id"],
        Data=base64.b64encode(str(new["data"]).encode()).decode(),
        Description=new.get("description") or "",
    )


_CONFIGURATION = {"ConfigurationId": "{id}"}

CONFIGURATION = Type(
    "aws:mq/configuration:Configuration",
    "mq",
    id="Id",
    prepare=_in_capitals,
    create=Call("CreateConfiguration", ("name", "engineType", "engineVersion")),
    read=Call("DescribeConfiguration", fixed=_CONFIGURATION),
    settings=[Setting(Call("UpdateConfiguration", ("data", "description"), fixed=_CONFIGURATION), apply=_upload)],
    delete=[Call("DeleteConfiguration", fixed=_CONFIGURATION)],
    shows={"engineType": _engine, "description": "LatestRevision.Description"},
    recorded=frozenset({"skipDestroy"}),
    tagging=_TAGS,
    outputs={"arn": "Arn", "latestRevision": "LatestRevision.Revision", "authenticationStrategy": lambda *_: "simple"},
    validate=configuration_rules,
    autoname="name",
    autoname_limit=150,
    missing=("NotFoundException",),
    note="data is not read back: what was changed behind the program's back shows as another latestRevision",
)

_BROKER = {"BrokerId": "{id}"}


def _instances(region: Region, props: Props, description: Mapping[str, Any]) -> list[Props]:
    """Without addresses for RabbitMQ: its nodes stand behind a load balancer of the service."""
    shown = []
    for instance in description.get("BrokerInstances") or ():
        address = {} if _engine(description) == "RabbitMQ" else {"ipAddress": instance.get("IpAddress")}
        shown.append({"consoleUrl": instance["ConsoleURL"], "endpoints": instance["Endpoints"], **address})
    return shown


BROKER = Type(
    "aws:mq/broker:Broker",
    "mq",
    id="BrokerId",
    prepare=_in_capitals,
    create=Call(
        "CreateBroker",
        (
            "brokerName",
            "autoMinorVersionUpgrade",
            "configuration",
            "deploymentMode",
            "encryptionOptions",
            "engineType",
            "engineVersion",
            "hostInstanceType",
            "logs",
            "maintenanceWindowStartTime",
            "publiclyAccessible",
            "securityGroups",
            "subnetIds",
            "users",
        ),
    ),
    read=Call("DescribeBroker", fixed=_BROKER),
    update=Call(
        "UpdateBroker",
        (
            "autoMinorVersionUpgrade",
            "configuration",
            "engineVersion",
            "hostInstanceType",
            "logs",
            "maintenanceWindowStartTime",
            "securityGroups",
        ),
        fixed=_BROKER,
    ),
    delete=[Call("DeleteBroker", fixed=_BROKER)],
    # The service tells nothing of RabbitMQ's users.
    shows={"engineType": _engine, "configuration": "Configurations.Current", "users": lambda _: None},
    recorded=frozenset({"applyImmediately", "users"}),
    tagging=_TAGS,
    outputs={"arn": "BrokerArn", "instances": _instances, "configuration": lambda *_: None},
    validate=broker_rules,
    autoname="brokerName",
    autoname_limit=55,
    missing=("NotFoundException",),
    note="there at once, with no broker behind it; changes apply at once, whatever applyImmediately says",
)

TYPES = (BROKER, CONFIGURATION)
