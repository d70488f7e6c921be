"""Cases: the broker."""

from infra.local.resource import Props
from tests.infra.local.aws.case import Case, attribute
from tests.infra.local.aws.world import Place, World

_DATA = "consumer_timeout = 1800000\n"


def _broker(place: Place, world: World) -> Props:
    return {
        "brokerName": "broker",
        "engineType": "RabbitMQ",
        "engineVersion": "4.2",
        "hostInstanceType": "mq.m7g.large",
        "deploymentMode": "CLUSTER_MULTI_AZ",
        "autoMinorVersionUpgrade": True,
        "publiclyAccessible": False,
        "subnetIds": place.subnets,
        "securityGroups": place.groups[:1],
        "encryptionOptions": {"useAwsOwnedKey": False, "kmsKeyId": place.key},
        "configuration": place.broker_configuration,
        "logs": {"general": True},
        "maintenanceWindowStartTime": {"dayOfWeek": "SUNDAY", "timeOfDay": "11:00", "timeZone": "UTC"},
        "users": [{"username": "docsearch", "password": "correct-horse-battery"}],
    }


MQ = (
    Case(
        "aws:mq/configuration:Configuration",
        lambda place, world: {
            "engineType": "RabbitMQ",
            "engineVersion": "4.2",
            "description": "one",
            "data": _DATA,
        },
        change=lambda place, world: {"data": f"{_DATA}heartbeat = 90\n", "description": "two", "tags": {"c": "d"}},
        behind=attribute("mq", "UpdateConfiguration", ConfigurationId="{}", Data="", Description="changed"),
        drifts="description",
        unseen=frozenset({"data"}),
    ),
    Case(
        "aws:mq/broker:Broker",
        _broker,
        change=lambda place, world: {
            "hostInstanceType": "mq.m7g.xlarge",
            "securityGroups": place.groups,
            "maintenanceWindowStartTime": {"dayOfWeek": "MONDAY", "timeOfDay": "12:00", "timeZone": "UTC"},
            "tags": {"c": "d"},
        },
        behind=attribute("mq", "UpdateBroker", BrokerId="{}", HostInstanceType="mq.m7g.2xlarge"),
        drifts="hostInstanceType",
        unseen=frozenset({"users"}),
    ),
)
