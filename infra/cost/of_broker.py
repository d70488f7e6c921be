"""What a message broker costs: Amazon MQ by node, or the traffic of one in the cluster.

Nodes and volumes of a broker in the cluster are those of its node group (`of_eks`) and of its claims (`of_volumes`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from infra.cost.model import HOURS, Charge, Range
from infra.cost.of_eks import crossed
from infra.cost.pricing import Around, Charges, Resource, UnpricedError, plain, prices

BROKER: Final = "aws:mq/broker:Broker"
CLUSTER: Final = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"

NODES: Final = {"SINGLE_INSTANCE": 1, "ACTIVE_STANDBY_MULTI_AZ": 2, "CLUSTER_MULTI_AZ": 3}
"""By deployment mode (Amazon MQ API, DeploymentMode)."""


def _count(broker: Resource) -> Decimal:
    mode = broker.text("deploymentMode", "SINGLE_INSTANCE")
    if mode not in NODES:
        raise UnpricedError("nodes", f"the deployment mode {mode[:60]} is not known")
    return Decimal(NODES[mode])


@prices(BROKER, "nodes")
def nodes(broker: Resource, around: Around) -> Charges:
    """Every node."""
    count, type_ = _count(broker), broker.text("hostInstanceType")
    sku = f"broker:{type_}:{broker.text('engineType').lower()}:per-node"
    yield Charge(f"nodes, {plain(count)} x {type_}", "AmazonMQ", sku, Range.of(count * HOURS))


@prices(BROKER, "storage")
def storage(broker: Resource, around: Around) -> Charges:
    """A volume of each node of RabbitMQ; one file system of all nodes of ActiveMQ."""
    stored = around.figures.broker.stored_gb
    if broker.text("engineType").lower() == "rabbitmq":
        yield Charge("storage", "AmazonMQ", "storage:rabbitmq:ebs", stored * _count(broker), "broker.stored_gb")
    else:
        yield Charge("storage", "AmazonMQ", "storage:activemq:efs", stored, "broker.stored_gb")


@prices(BROKER, "traffic between zones")
@prices(CLUSTER, "traffic between zones")
def between_zones(broker: Resource, around: Around) -> Charges:
    """What brokers, and pods and brokers, send to each other across zones, billed on both sides."""
    moved = around.share(around.figures.traffic.broker_cross_zone_gb, broker.type) * 2
    yield crossed("brokers and pods", moved, "traffic.broker_cross_zone_gb")
