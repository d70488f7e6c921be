"""Networks and load balancers, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal

from infra.cost.model import Estimate, Range
from infra.cost.of_network import BALANCER, ENDPOINT, INGRESS, NAT, RULE, SERVICE
from infra.plan import UNKNOWN
from tests.infra.cost.priced import figures, made, priced


def gaps(found: Estimate) -> list[str]:
    return [f"{gap.what}: {gap.why}" for gap in (*found.unknown, *found.unpriced)]


def hours(found: Estimate, sku: str) -> list[Decimal]:
    return [line.quantity.expected / 730 for line in found.lines if line.price.sku == sku]


def test_gateways_share_what_goes_through_them() -> None:
    use = figures(traffic__nat_gb=300, traffic__nat_out_gb=30)
    found = priced(*(made(NAT, zone) for zone in "abc"), use=use)
    assert [line.quantity.expected for line in found.lines if "data" in line.what] == [100] * 3
    assert [line.quantity.expected for line in found.lines if "internet" in line.what] == [10] * 3


def test_a_private_gateway_sends_nothing_to_the_internet() -> None:
    found = priced(made(NAT, connectivityType="private"), use=figures(traffic__nat_gb=30, traffic__nat_out_gb=30))
    assert not [line for line in found.lines if "internet" in line.what]


def test_our_own_addresses_are_free() -> None:
    assert not priced(made("aws:ec2/eip:Eip", publicIpv4Pool="ipv4pool-1")).lines
    assert priced(made("aws:ec2/eip:Eip", publicIpv4Pool="amazon")).lines


def test_interface_endpoints_share_the_data_and_gateways_take_none() -> None:
    two = [made(ENDPOINT, name, vpcEndpointType="Interface", subnetIds=[UNKNOWN] * 3) for name in ("a", "b")]
    found = priced(*two, made(ENDPOINT, "s3"), use=figures(traffic__endpoints_gb=10))
    assert [line.quantity.expected for line in found.lines if "data" in line.what] == [5, 5]
    assert hours(found, "interface-endpoint:hour-per-az") == [3, 3]


def test_an_endpoint_in_zones_that_nobody_knows_is_a_gap() -> None:
    assert gaps(priced(made(ENDPOINT, vpcEndpointType="Interface"))) == ["hours: subnetIds: it is missing"]
    assert gaps(priced(made(ENDPOINT, vpcEndpointType="Interface", subnetIds=UNKNOWN))) == [
        "hours: subnetIds: it is not known before the update"
    ]


def test_an_endpoint_of_another_type_is_unpriced() -> None:
    found = priced(made(ENDPOINT, vpcEndpointType="GatewayLoadBalancer"))
    assert {gap.why for gap in found.unpriced} == {"endpoints of type GatewayLoadBalancer are not priced here"}


def test_flow_logs_are_the_price_of_their_log_group() -> None:
    log = "aws:ec2/flowLog:FlowLog"
    assert priced(made(log)).complete
    assert gaps(priced(made(log, logDestinationType="s3"))) == [
        "delivery of flow logs: only CloudWatch Logs as their destination is priced here"
    ]


def test_units_are_counted_from_what_needs_the_most() -> None:
    balancer = made(BALANCER, internal=True)
    for use, units in (
        (figures(load_balancer__connections_per_second=50), 2),
        (figures(load_balancer__connections=9000), 3),
        (figures(load__documents_per_second=1, load__document_kb=Decimal(2**20) / 900), 4),
    ):
        assert abs(hours(priced(balancer, use=use), "alb:lcu")[0] - units) < Decimal("0.0001")


def test_rules_beyond_ten_are_counted() -> None:
    rules = [made(RULE, f"{index}") for index in range(13)]
    use = figures(load__searches_per_second=1000)
    assert hours(priced(made(BALANCER, internal=True), *rules, use=use), "alb:lcu") == [3]
    assert hours(priced(made(BALANCER, internal=True), *rules[:10], use=use), "alb:lcu") == []


def test_a_network_load_balancer_has_units_of_its_own() -> None:
    use = figures(load_balancer__connections_per_second=1600)
    found = priced(made(BALANCER, loadBalancerType="network", internal=True), use=use)
    assert hours(found, "nlb:nlcu") == [2]
    assert hours(found, "nlb:hour") == [1]


def test_a_load_balancer_of_another_type_is_unpriced() -> None:
    found = priced(made(BALANCER, loadBalancerType="gateway", internal=True))
    assert {gap.why for gap in found.unpriced} == {"load balancers of type gateway are not priced here"}


def test_addresses_that_a_load_balancer_was_given_are_charges_of_their_own() -> None:
    mapped = [{"subnetId": "a", "allocationId": "eip"}, {"subnetId": "b"}]
    found = priced(made(BALANCER, loadBalancerType="network", subnetMappings=mapped))
    assert hours(found, "public-ipv4:in-use") == [1]


def test_an_internal_load_balancer_has_no_public_address_and_sends_nothing_out() -> None:
    found = priced(
        made(BALANCER, "in", internal=True),
        made(BALANCER, "out", subnets=["a"]),
        use=figures(traffic__internet_out_gb=9),
    )
    assert [(line.urn[-3:], line.quantity) for line in found.lines if "internet" in line.what] == [("out", Range.of(9))]


def test_a_public_load_balancer_in_zones_that_nobody_knows_is_a_gap() -> None:
    assert gaps(priced(made(BALANCER))) == ["public addresses: subnets: it is missing"]


def test_a_service_that_asks_for_a_load_balancer_is_not_free() -> None:
    found = priced(made(SERVICE, spec={"type": "LoadBalancer"}))
    assert hours(found, "nlb:hour") == [1]
    assert gaps(found) == ["capacity units and traffic of the Service: the usage file has no figures of it"]
    plain = priced(made(SERVICE, spec={"type": "ClusterIP"}))
    assert plain.complete
    assert not plain.lines


def test_an_ingress_of_kubernetes_is_not_free() -> None:
    assert gaps(priced(made(INGRESS))) == ["load balancer of the Ingress: the usage file has no figures of it"]
