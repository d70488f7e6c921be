"""Brokers, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal

import pytest

from infra.cost.model import Range
from infra.cost.of_broker import BROKER, CLUSTER
from infra.plan import Change
from tests.infra.cost.priced import figures, made, priced


def broker(mode: str = "SINGLE_INSTANCE", engine: str = "RabbitMQ") -> Change:
    return made(BROKER, engineType=engine, hostInstanceType="mq.m7g.large", deploymentMode=mode)


@pytest.mark.parametrize(("mode", "nodes"), [("SINGLE_INSTANCE", 1), ("CLUSTER_MULTI_AZ", 3)])
def test_every_node_is_paid_for_with_its_volume(mode: str, nodes: int) -> None:
    found = priced(broker(mode), use=figures(broker__stored_gb=100))
    assert [line.quantity for line in found.lines] == [Range.of(nodes * 730), Range.of(nodes * 100)]


def test_a_mode_that_is_not_known_is_unpriced() -> None:
    found = priced(broker("TEN_AZ"))
    assert {gap.why for gap in found.unpriced} == {"the deployment mode TEN_AZ is not known"}


def test_activemq_has_one_file_system_and_instances_without_a_price_here() -> None:
    found = priced(broker("ACTIVE_STANDBY_MULTI_AZ", "ActiveMQ"), use=figures(broker__stored_gb=100))
    assert [(line.price.sku, line.quantity.expected) for line in found.lines] == [
        ("storage:activemq:efs", Decimal(100))
    ]
    assert [gap.what for gap in found.unpriced] == ["nodes, 2 x mq.m7g.large"]


def test_traffic_of_a_broker_in_the_cluster_is_billed_on_both_sides() -> None:
    found = priced(made(CLUSTER, spec={"replicas": 0}), use=figures(traffic__broker_cross_zone_gb=50))
    (line,) = (line for line in found.lines if "zones" in line.what)
    assert line.monthly == Range.of(1)
