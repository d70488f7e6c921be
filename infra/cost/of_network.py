"""What a network costs: NAT gateways, endpoints, public addresses, load balancers, and what leaves for the internet."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from infra.cost.model import HOURS, Charge, Range
from infra.cost.of_opensearch import KB_PER_GB
from infra.cost.pricing import Around, Charges, NoFigureError, Resource, UnpricedError, prices
from infra.cost.usage import SECONDS

VPC: Final = "AmazonVPC"
ELB: Final = "AWSELB"
TRANSFER: Final = "AWSDataTransfer"

NAT: Final = "aws:ec2/natGateway:NatGateway"
ENDPOINT: Final = "aws:ec2/vpcEndpoint:VpcEndpoint"
BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
RULE: Final = "aws:lb/listenerRule:ListenerRule"
SERVICE: Final = "kubernetes:core/v1:Service"
INGRESS: Final = "kubernetes:networking.k8s.io/v1:Ingress"


@prices(NAT, "hours")
def nat_hours(nat: Resource, around: Around) -> Charges:
    """The gateway; its public address is the address's own charge."""
    yield Charge("NAT gateway", VPC, "nat-gateway:hour", Range.of(HOURS))


@prices(NAT, "data")
def nat_data(nat: Resource, around: Around) -> Charges:
    """What goes through it, both ways."""
    moved = around.share(around.figures.traffic.nat_gb, NAT)
    yield Charge("data through the NAT gateway", VPC, "nat-gateway:data-processed", moved, "traffic.nat_gb")


@prices(NAT, "traffic to the internet")
def nat_out(nat: Resource, around: Around) -> Charges:
    """What of it leaves for the internet."""
    if nat.text("connectivityType", "public") == "public":
        moved = around.share(around.figures.traffic.nat_out_gb, NAT)
        yield Charge("to the internet, by NAT", TRANSFER, "internet-out", moved, "traffic.nat_out_gb")


@prices("aws:ec2/eip:Eip", "public address")
def address(eip: Resource, around: Around) -> Charges:
    """A public IPv4 address, at the same price whether it is in use or not; our own pools are free."""
    if not eip.has("publicIpv4Pool") or eip.text("publicIpv4Pool") == "amazon":
        yield Charge("public IPv4 address", VPC, "public-ipv4:in-use", Range.of(HOURS))


@prices(ENDPOINT, "hours")
def endpoint_hours(endpoint: Resource, around: Around) -> Charges:
    """An interface endpoint in each of its zones; gateway endpoints are free."""
    if _is_interface(endpoint):
        zones = len(endpoint.each("subnetIds")) or len(endpoint.each("subnetConfigurations"))
        if not zones:
            raise NoFigureError("subnetIds", "is missing")
        yield Charge(f"endpoint in {zones} zones", VPC, "interface-endpoint:hour-per-az", Range.of(zones * HOURS))


@prices(ENDPOINT, "data")
def endpoint_data(endpoint: Resource, around: Around) -> Charges:
    """What goes through it."""
    if _is_interface(endpoint):
        count: int = around.kept(ENDPOINT, lambda: sum(map(_is_surely_interface, around.all(ENDPOINT))))
        moved = around.figures.traffic.endpoints_gb.each(lambda whole: whole / count)
        yield Charge("data through the endpoint", VPC, "interface-endpoint:data", moved, "traffic.endpoints_gb")


def _is_interface(endpoint: Resource) -> bool:
    kind = endpoint.text("vpcEndpointType", "Gateway")
    if kind not in ("Gateway", "Interface"):
        raise UnpricedError("endpoint", f"endpoints of type {kind[:60]} are not priced here")
    return kind == "Interface"


def _is_surely_interface(endpoint: Resource) -> bool:
    return endpoint.props.get("vpcEndpointType") == "Interface"


@prices("aws:ec2/flowLog:FlowLog", "delivery")
def flow_log(log: Resource, around: Around) -> Charges:
    """Records that go to CloudWatch Logs are paid for as what the log group takes in."""
    if log.text("logDestinationType", "cloud-watch-logs") != "cloud-watch-logs":
        raise UnpricedError("delivery of flow logs", "only CloudWatch Logs as their destination is priced here")
    return ()


# Load balancers

LCU_CONNECTIONS: Final = Decimal(25)
LCU_OPEN: Final = Decimal(3000)
LCU_GB: Final = Decimal(1)
LCU_RULES: Final = Decimal(1000)
FREE_RULES: Final = 10
"""What one load balancer capacity unit of an Application Load Balancer holds: new connections a second, open
connections, GB an hour, evaluations of rules a second, of which the first ten rules are free (ELB pricing)."""

NLCU_CONNECTIONS: Final = Decimal(800)
NLCU_OPEN: Final = Decimal(100_000)
"""The same of a Network Load Balancer, for TCP."""


@prices(BALANCER, "hours")
def balancer_hours(balancer: Resource, around: Around) -> Charges:
    """The load balancer itself."""
    kind = _kind(balancer)
    yield Charge(f"{'application' if kind == 'alb' else 'network'} load balancer", ELB, f"{kind}:hour", Range.of(HOURS))


@prices(BALANCER, "capacity")
def balancer_units(balancer: Resource, around: Around) -> Charges:
    """Capacity units: of what they are counted from, what needs the most."""
    kind = _kind(balancer)
    count = len(around.all(BALANCER))
    units = around.kept(("units", kind), lambda: _alb_units(around) if kind == "alb" else _nlb_units(around))
    sku = "alb:lcu" if kind == "alb" else "nlb:nlcu"
    hours = units.each(lambda value: value / count) * HOURS
    yield Charge("load balancer capacity units", ELB, sku, hours, "load.searches_per_second")


def _alb_units(around: Around) -> Range:
    rules = max(0, len(around.all(RULE)) - FREE_RULES)
    evaluated = requests(around) * rules
    use = around.figures.load_balancer
    return _most(
        use.connections_per_second * (1 / LCU_CONNECTIONS),
        use.connections * (1 / LCU_OPEN),
        _gb_per_hour(around) * (1 / LCU_GB),
        evaluated * (1 / LCU_RULES),
    )


def _nlb_units(around: Around) -> Range:
    use = around.figures.load_balancer
    return _most(
        use.connections_per_second * (1 / NLCU_CONNECTIONS), use.connections * (1 / NLCU_OPEN), _gb_per_hour(around)
    )


def _gb_per_hour(around: Around) -> Range:
    load = around.figures.load
    received = load.documents_per_second * load.document_kb * (SECONDS / KB_PER_GB)
    return (around.figures.traffic.internet_out_gb + received).each(lambda gb: gb / HOURS)


def requests(around: Around) -> Range:
    """Requests of users a second."""
    return around.figures.load.searches_per_second + around.figures.load.documents_per_second


def _most(*figures: Range) -> Range:
    return Range(
        max(figure.min for figure in figures),
        max(figure.expected for figure in figures),
        max(figure.max for figure in figures),
    )


def _kind(balancer: Resource) -> str:
    kind = balancer.text("loadBalancerType", "application")
    if kind not in ("application", "network"):
        raise UnpricedError("load balancer", f"load balancers of type {kind[:60]} are not priced here")
    return "alb" if kind == "application" else "nlb"


@prices(BALANCER, "public addresses")
def balancer_addresses(balancer: Resource, around: Around) -> Charges:
    """A public address in each zone; those that it was given are charges of their own."""
    if balancer.flag("internal"):
        return
    mapped = balancer.each("subnetMappings")
    own = [at for at in mapped if balancer.has(f"{at}.allocationId")]
    count = len(balancer.each("subnets")) + len(mapped) - len(own)
    if not count and not own:
        raise NoFigureError("subnets", "is missing")
    yield Charge(f"public IPv4 addresses in {count} zones", VPC, "public-ipv4:in-use", Range.of(count * HOURS))


@prices(BALANCER, "traffic to the internet")
def balancer_out(balancer: Resource, around: Around) -> Charges:
    """What users get."""
    if balancer.flag("internal"):
        return
    count: int = around.kept(
        BALANCER, lambda: sum(one.props.get("internal") is not True for one in around.all(BALANCER))
    )
    moved = around.figures.traffic.internet_out_gb.each(lambda whole: whole / count)
    yield Charge("to the internet", TRANSFER, "internet-out", moved, "traffic.internet_out_gb")


@prices(SERVICE, "load balancer")
def service(resource: Resource, around: Around) -> Charges:
    """A Service may ask for a load balancer, which the cluster's controller makes."""
    if resource.text("spec.type", "ClusterIP") == "LoadBalancer":
        yield Charge("network load balancer of the Service", ELB, "nlb:hour", Range.of(HOURS))


@prices(SERVICE, "capacity")
def service_units(resource: Resource, around: Around) -> Charges:
    """Nobody says what goes through it."""
    if resource.text("spec.type", "ClusterIP") == "LoadBalancer":
        raise UnpricedError("capacity units and traffic of the Service", "the usage file has no figures of it")
    return ()


@prices(INGRESS, "load balancer")
def ingress(resource: Resource, around: Around) -> Charges:
    """An Ingress asks for a load balancer, which the cluster's controller makes."""
    raise UnpricedError("load balancer of the Ingress", "the usage file has no figures of it")
