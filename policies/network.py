"""The network: nothing is open that need not be, and no zone depends on another."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final, Literal

from policies.links import referred, referring, refers
from policies.rule import (
    ABSENT,
    FALSE,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    items,
    judge,
    look,
    must,
    number,
    one_of,
    rule,
    shown,
    stack_rule,
    unverified,
)
from policies.wants import NAMED, TEXTS, different

VPC: Final = "aws:ec2/vpc:Vpc"
SUBNET: Final = "aws:ec2/subnet:Subnet"
GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_GROUP: Final = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
GROUP_RULE: Final = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS: Final = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS: Final = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
PREFIX_LIST: Final = "aws:ec2/managedPrefixList:ManagedPrefixList"
FLOW_LOG: Final = "aws:ec2/flowLog:FlowLog"
NAT: Final = "aws:ec2/natGateway:NatGateway"
ROUTE: Final = "aws:ec2/route:Route"
ROUTE_TABLE: Final = "aws:ec2/routeTable:RouteTable"
ASSOCIATION: Final = "aws:ec2/routeTableAssociation:RouteTableAssociation"
ENDPOINT: Final = "aws:ec2/vpcEndpoint:VpcEndpoint"
LAUNCH_TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
INSTANCE: Final = "aws:ec2/instance:Instance"
LOAD_BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"

GUIDE: Final = "https://docs.aws.amazon.com/vpc/latest/userguide"

PUBLIC_PORTS: Final = (80, 443)
"""What a load balancer answers to everybody: HTTPS, and HTTP, which redirects."""

WAY_OUT: Final = 443
"""The one port on which anything may reach the internet."""

WIDEST: Final = {4: 16, 6: 32}
"""Prefix length, by version of IP, below which a block of public addresses counts as everybody."""

INTERFACES: Final = (
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "eks",
    "eks-auth",
    "elasticloadbalancing",
    "kms",
    "logs",
    "monitoring",
    "secretsmanager",
    "ssm",
    "ssmmessages",
    "sts",
)
"""What nodes call while a NAT gateway is down (EKS user guide, "Deploy private clusters with limited internet access");
Secrets Manager, KMS and CloudWatch for the service, Session Manager for operators."""

Tier = Literal["public", "private", "isolated"]

# Addresses


def anywhere(block: Any) -> bool:
    """Whether a CIDR block holds so many public addresses that it means everybody; what is no block counts too."""
    found = _block(block)
    if found is None:
        return True
    if found.prefixlen == 0:
        return True
    return not found.is_private and found.prefixlen < WIDEST[found.version]


def _block(block: Any) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(block, strict=False) if isinstance(block, str) else None
    except ValueError:
        return None


SOMEBODY: Final = Want("a block of known addresses, not everybody's", lambda value: not anywhere(value))


class _Opening:
    """What one rule of a security group lets through: its sources, protocol and ports, each with its path."""

    def __init__(self, values: Any, sources: list[tuple[str, Any]], path: str, protocol: str) -> None:
        self.sources = [(where, block) for where, block in sources if block is UNKNOWN or anywhere(block)]
        self.path = path
        self.protocol_path, self.first_path, self.last_path = (
            f"{path}.{key}" if path else key for key in (protocol, "fromPort", "toPort")
        )
        self.protocol = look(values, protocol)
        self.first, self.last = look(values, "fromPort"), look(values, "toPort")

    def only(self, *ports: int) -> bool:
        """Whether it is one of these TCP ports, and no other."""
        return self.protocol in ("tcp", "6") and number(self.first) in ports and self.first == self.last

    def unknown(self) -> list[str]:
        """The paths of what is not known yet."""
        parts = (
            (self.protocol_path, self.protocol),
            (self.first_path, self.first),
            (self.last_path, self.last),
        )
        return [path for path, value in parts if value is UNKNOWN]


def _openings(resource: Resource, direction: Literal["ingress", "egress"]) -> Iterator[_Opening]:
    """What a resource opens to everybody, or to somebody not known yet."""
    found: list[_Opening] = []
    if resource.type == (INGRESS if direction == "ingress" else EGRESS):
        sources = [(path, resource.get(path)) for path in ("cidrIpv4", "cidrIpv6")]
        found.append(_Opening(resource.props, [one for one in sources if one[1] is not None], "", "ipProtocol"))
    elif resource.type == GROUP_RULE:
        if resource.get("type") in (direction, UNKNOWN):
            sources = [*items(resource, "cidrBlocks"), *items(resource, "ipv6CidrBlocks")]
            found.append(_Opening(resource.props, sources, "", "protocol"))
    else:
        for path, inline in items(resource, direction):
            blocks = [
                *items(resource, f"{path}.cidrBlocks"),
                *items(resource, f"{path}.ipv6CidrBlocks"),
            ]
            found.append(_Opening(inline, [(path, UNKNOWN)] if inline is UNKNOWN else blocks, path, "protocol"))
    yield from (one for one in found if one.sources)


def _judge_openings(resource: Resource, direction: Literal["ingress", "egress"], *ports: int) -> Iterator[Finding]:
    allowed = " or ".join(f"TCP port {port}" for port in ports)
    for opening in _openings(resource, direction):
        if opening.only(*ports):
            continue
        unknown = opening.unknown()
        for path, block in opening.sources:
            if block is UNKNOWN:
                yield unverified(path)
            elif unknown:
                yield from (unverified(one) for one in unknown)
            else:
                yield Finding(path, f"is {shown(block)}, and everybody may only have {allowed}")


@rule(
    "sg-open",
    on=(GROUP, GROUP_RULE, INGRESS, PREFIX_LIST),
    severity=Severity.CRITICAL,
    why="A port that is open to the internet is attacked within minutes",
    remedy="Let in a security group instead of addresses: FLOWS in components/network_plan.py",
    reference=f"{GUIDE}/security-group-rules.html",
)
def open_to_everybody(resource: Resource) -> Iterator[Finding]:
    """Everybody gets in on the ports of a load balancer only, one port at a time."""
    for path, entry in items(resource, "entries") if resource.type == PREFIX_LIST else ():
        if entry is UNKNOWN:
            yield unverified(path)
        else:
            yield from judge(look(entry, "cidr"), f"{path}.cidr", SOMEBODY)
    yield from _judge_openings(resource, "ingress", *PUBLIC_PORTS)


@stack_rule(
    "sg-public",
    on=(GROUP, GROUP_RULE, INGRESS, LOAD_BALANCER),
    severity=Severity.CRITICAL,
    why="HTTPS from everybody is meant for the load balancer; OpenSearch answers on the same port",
    remedy="Let in the load balancer's group instead of addresses: FLOWS in components/network_plan.py",
    reference="https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-update-security-groups.html",
)
def public_is_load_balancer(stack: Stack) -> Iterator[Finding]:
    """Only the groups of load balancers are open to everybody."""
    balancers = stack.of(LOAD_BALANCER)
    public = {one.urn for balancer in balancers for one in referred(stack, balancer, "securityGroups", GROUP)}
    for resource in stack.of(GROUP, GROUP_RULE, INGRESS):
        groups = [resource] if resource.type == GROUP else referred(stack, resource, "securityGroupId", GROUP)
        for opening in _openings(resource, "ingress"):
            # What it lets through otherwise is `sg-open`'s to say.
            if not opening.only(*PUBLIC_PORTS) or (groups and all(one.urn in public for one in groups)):
                continue
            if not groups and resource.get("securityGroupId") is UNKNOWN:
                yield unverified("securityGroupId", urn=resource.urn)
            for path, block in opening.sources:
                if block is UNKNOWN:
                    yield unverified(path, urn=resource.urn)
                elif groups or resource.get("securityGroupId") is not UNKNOWN:
                    yield Finding(
                        path, f"is {shown(block)}, and the group is not that of a load balancer", urn=resource.urn
                    )


@rule(
    "sg-egress",
    on=(GROUP, GROUP_RULE, EGRESS),
    severity=Severity.HIGH,
    why="Whoever gets into a pod sends out what it finds by any port that is open",
    remedy="Let out to a security group, or to the internet on 443 alone: FLOWS in components/network_plan.py",
    reference=f"{GUIDE}/security-group-rules.html",
)
def egress(resource: Resource) -> Iterator[Finding]:
    """The internet can be reached by HTTPS only."""
    yield from _judge_openings(resource, "egress", WAY_OUT)


@rule(
    "default-sg-empty",
    on=DEFAULT_GROUP,
    severity=Severity.HIGH,
    why="What is started without a group of its own lands in the default one",
    remedy="Leave ingress and egress of the default group empty: Network in components/network.py",
    reference=f"{GUIDE}/default-security-group.html",
)
def default_group(group: Resource) -> Iterator[Finding]:
    """The default group of a VPC has no rules."""
    yield from must(group, "ingress", ABSENT)
    yield from must(group, "egress", ABSENT)


@stack_rule(
    "default-sg-adopted",
    on=(VPC, DEFAULT_GROUP),
    severity=Severity.HIGH,
    why="AWS lets the members of a VPC's default group talk to each other and to everybody until somebody says no",
    remedy="Declare an empty DefaultSecurityGroup for the VPC: Network in components/network.py",
    reference=f"{GUIDE}/default-security-group.html",
)
def default_group_adopted(stack: Stack) -> Iterator[Finding]:
    """The default group of every VPC is in the program's hands."""
    for vpc in stack.of(VPC):
        found, maybe = referring(stack, "vpcId", vpc, (DEFAULT_GROUP,))
        if not found:
            yield _missing("has no DefaultSecurityGroup", vpc, maybe)


@stack_rule(
    "flow-logs",
    on=(VPC, FLOW_LOG),
    severity=Severity.MEDIUM,
    why="Without them nobody can tell later who talked to whom",
    remedy="Keep the FlowLog of the VPC, with traffic_type ALL: Network in components/network.py",
    reference=f"{GUIDE}/flow-logs.html",
)
def flow_logs(stack: Stack) -> Iterator[Finding]:
    """Every VPC logs what it lets through and what it refuses."""
    for vpc in stack.of(VPC):
        found, maybe = referring(stack, "vpcId", vpc, (FLOW_LOG,))
        if not found:
            yield _missing("has no FlowLog", vpc, maybe)
        for log in found:
            yield from judge(log.get("trafficType"), "trafficType", one_of("ALL"), urn=log.urn)


@rule(
    "vpc-dns",
    on=VPC,
    severity=Severity.HIGH,
    why="Without DNS in the VPC, private endpoints have no names and nodes do not join",
    remedy="Set enable_dns_support and enable_dns_hostnames: Network in components/network.py",
    reference=f"{GUIDE}/vpc-dns.html",
)
def vpc_dns(vpc: Resource) -> Iterator[Finding]:
    """Names are resolved and given inside the VPC."""
    yield from must(vpc, "enableDnsSupport", Want("true or absent", lambda value: value is None or value is True))
    yield from must(vpc, "enableDnsHostnames", TRUE)


@rule(
    "public-ip",
    on=(SUBNET, LAUNCH_TEMPLATE, INSTANCE),
    severity=Severity.HIGH,
    why="A machine with a public address is reached from outside as soon as one group is too wide",
    remedy="Leave public addresses to the load balancer and the NAT gateways: components/network.py, components/eks.py",
    reference=f"{GUIDE}/vpc-ip-addressing.html",
)
def public_ip(resource: Resource) -> Iterator[Finding]:
    """Nothing gets a public address by being started."""
    no = Want("false or absent", lambda value: value in (None, "false") or value is False)
    if resource.type == SUBNET:
        yield from must(resource, "mapPublicIpOnLaunch", FALSE)
        yield from must(resource, "assignIpv6AddressOnCreation", FALSE)
    elif resource.type == INSTANCE:
        yield from must(resource, "associatePublicIpAddress", FALSE)
    else:
        for path, interface in items(resource, "networkInterfaces"):
            where = f"{path}.associatePublicIpAddress"
            yield from judge(UNKNOWN if interface is UNKNOWN else resource.get(where), where, no)


# Zones

TARGETS: Final = (
    "carrierGatewayId",
    "coreNetworkArn",
    "egressOnlyGatewayId",
    "gatewayId",
    "localGatewayId",
    "natGatewayId",
    "networkInterfaceId",
    "transitGatewayId",
    "vpcEndpointId",
    "vpcPeeringConnectionId",
)
"""Where a route may lead (pulumi_aws, `ec2.Route`)."""


def tiers(stack: Stack) -> dict[str, Tier]:
    """By URN of each subnet whose table says so: where its default route leads to. Others are isolated."""
    return stack.kept("tiers", lambda: _tiers(stack))


def _tiers(stack: Stack) -> dict[str, Tier]:
    leads: dict[str, Tier] = {}
    for route in stack.of(ROUTE):
        ways = ("destinationCidrBlock", "destinationIpv6CidrBlock")
        if any(route.get(path) in ("0.0.0.0/0", "::/0", UNKNOWN) for path in ways) and any(
            route.get(path) is not None for path in TARGETS
        ):
            inward = route.get("gatewayId") is not None
            for table in referred(stack, route, "routeTableId", ROUTE_TABLE):
                if inward or table.urn not in leads:
                    leads[table.urn] = "public" if inward else "private"
    found: dict[str, Tier] = {}
    for one in stack.of(ASSOCIATION):
        for table in referred(stack, one, "routeTableId", ROUTE_TABLE):
            for subnet in referred(stack, one, "subnetId", SUBNET):
                found[subnet.urn] = leads.get(table.urn, "isolated")
    return found


@stack_rule(
    "subnets-zones",
    on=(SUBNET, ROUTE, ROUTE_TABLE, ASSOCIATION),
    severity=Severity.HIGH,
    why="A tier that is in fewer zones than the rest is lost with one of them",
    remedy="Give every tier a subnet in at least three zones, with the tier's own route table",
    key="network.zones",
    reference="https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/availability-zones.html",
)
def subnets_zones(stack: Stack, *, zones: Annotated[int, Bounds(2, 6)] = 3) -> Iterator[Finding]:
    """Public, private and isolated subnets are in every zone that is used, and in enough of them."""
    subnets, tier = stack.of(SUBNET), tiers(stack)
    for subnet in subnets:
        yield from judge(subnet.get("availabilityZone"), "availabilityZone", NAMED, urn=subnet.urn)
    if any(not isinstance(subnet.get("availabilityZone"), str) for subnet in subnets):
        return
    every = {subnet.get("availabilityZone") for subnet in subnets}
    names: tuple[Tier, ...] = ("public", "private", "isolated")
    for name in names:
        of_tier = [subnet for subnet in subnets if tier.get(subnet.urn, "isolated") == name]
        there = {subnet.get("availabilityZone") for subnet in of_tier}
        # Reported for a resource that a person can find: one of the tier, or any subnet if it has none.
        urn = next((subnet.urn for subnet in [*of_tier, *subnets]), "")
        if subnets and len(there) < zones:
            yield Finding("", f"is one of the {name} subnets, which are in {len(there)} zones, not {zones}", urn=urn)
        elif there != every:
            missing = ", ".join(sorted(every - there))
            yield Finding("", f"is one of the {name} subnets, of which there is none in {missing}", urn=urn)


@stack_rule(
    "subnet-size",
    on=(SUBNET, ROUTE, ROUTE_TABLE, ASSOCIATION),
    severity=Severity.HIGH,
    why="Pods take addresses of their subnet: when they run out nothing scales, and a subnet never grows",
    remedy="Keep the subnet as large as it is: plan_subnets in components/network_plan.py",
    reference="https://docs.aws.amazon.com/eks/latest/best-practices/ip-opt.html",
)
def subnet_size(
    stack: Stack,
    *,
    public: Annotated[int, Bounds(16, 28)] = 24,
    private: Annotated[int, Bounds(16, 28)] = 20,
    isolated: Annotated[int, Bounds(16, 28)] = 24,
) -> Iterator[Finding]:
    """No subnet has fewer addresses than its tier needs: the longest prefix of each."""
    longest: dict[Tier, int] = {"public": public, "private": private, "isolated": isolated}
    # Where a route is missing a subnet looks isolated: while `subnets-zones` has something to say, nobody knows tiers.
    if any(True for _ in subnets_zones(stack, zones=1)):
        return
    tier = tiers(stack)
    for subnet in stack.of(SUBNET):
        name = tier.get(subnet.urn, "isolated")
        want = _at_most(longest[name])
        yield from judge(subnet.get("cidrBlock"), "cidrBlock", want, why=f"it is {name}", urn=subnet.urn)


def _at_most(prefix: int) -> Want:
    def holds(value: Any) -> bool:
        block = _block(value)
        return block is not None and block.prefixlen <= prefix

    return Want(f"a /{prefix} or larger", holds)


@stack_rule(
    "nat-ha",
    on=(NAT, ROUTE, ROUTE_TABLE, ASSOCIATION, SUBNET),
    severity=Severity.HIGH,
    why="A zone whose way out leads through another zone is lost with it",
    remedy="Give each zone a NAT gateway, and its private route table a route to it: components/network.py",
    key="network.zones",
    reference=f"{GUIDE}/nat-gateway-basics.html",
)
def nat(stack: Stack) -> Iterator[Finding]:
    """Private subnets leave by a NAT gateway of their own zone, or by a regional one."""
    for gateway in stack.of(NAT):
        want = Want("public or absent", lambda value: value in (None, "public"))
        yield from judge(gateway.get("connectivityType"), "connectivityType", want, urn=gateway.urn)
    for route in stack.of(ROUTE):
        if route.get("natGatewayId") is None:
            continue
        gateways = referred(stack, route, "natGatewayId", NAT)
        if not gateways and route.get("natGatewayId") is UNKNOWN and not route.links.get("natGatewayId"):
            yield unverified("natGatewayId", urn=route.urn)
        elif not gateways:
            yield Finding("natGatewayId", "leads to no NAT gateway of this stack", urn=route.urn)
        for gateway in gateways:
            yield from _same_zone(stack, route, gateway)


def _same_zone(stack: Stack, route: Resource, gateway: Resource) -> Iterator[Finding]:
    if gateway.get("availabilityMode") == "regional":
        return
    its = [one.get("availabilityZone") for one in referred(stack, gateway, "subnetId", SUBNET)]
    for table in referred(stack, route, "routeTableId", ROUTE_TABLE):
        for association in referring(stack, "routeTableId", table, (ASSOCIATION,)).found:
            for subnet in referred(stack, association, "subnetId", SUBNET):
                zone = subnet.get("availabilityZone")
                # A zone that is absent or not known is `subnets-zones`' to say.
                if all(NAMED.holds(one) for one in (zone, *its)) and zone not in its:
                    where = ", ".join(map(shown, its)) or "no subnet of this stack"
                    yield Finding(
                        "natGatewayId", f"leads {shown(zone)} through a NAT gateway in {where}", urn=route.urn
                    )


# Private endpoints


@rule(
    "endpoint-private-dns",
    on=ENDPOINT,
    severity=Severity.HIGH,
    why="Without private names clients go on calling the public address, past the endpoint",
    remedy="Set private_dns_enabled: Network in components/network.py",
    reference="https://docs.aws.amazon.com/vpc/latest/privatelink/manage-dns-names.html",
)
def endpoint_dns(endpoint: Resource) -> Iterator[Finding]:
    """Interface endpoints answer to the service's own name."""
    kind = endpoint.get("vpcEndpointType")
    if kind == "Interface":
        yield from must(endpoint, "privateDnsEnabled", TRUE)
    elif kind is UNKNOWN:
        yield unverified("vpcEndpointType")


@stack_rule(
    "vpc-endpoints",
    on=(VPC, ENDPOINT, ROUTE, ROUTE_TABLE, ASSOCIATION, SUBNET),
    severity=Severity.HIGH,
    why="Without endpoints, nodes neither join nor pull images nor decrypt while a NAT gateway is down",
    remedy="Keep the S3 gateway and INTERFACE_SERVICES, each in every zone: components/network.py",
    reference="https://docs.aws.amazon.com/eks/latest/userguide/private-clusters.html",
)
def endpoints(stack: Stack, *, zones: Annotated[int, Bounds(1, 6)] = 3) -> Iterator[Finding]:
    """Every service that nodes need has an endpoint, reached from each private subnet."""
    for vpc in stack.of(VPC):
        there, maybe = referring(stack, "vpcId", vpc, (ENDPOINT,))
        unknown = maybe or any(one.get("serviceName") is UNKNOWN for one in there)
        by_service = {_service(one): one for one in there}
        gateway = by_service.get("s3")
        if gateway is None:
            yield _missing("has no endpoint for s3", vpc, unknown)
        else:
            yield from _gateway(stack, gateway)
        for service in INTERFACES:
            if (one := by_service.get(service)) is None:
                yield _missing(f"has no endpoint for {service}", vpc, unknown)
                continue
            yield from judge(one.get("vpcEndpointType"), "vpcEndpointType", _INTERFACE, urn=one.urn)
            yield from judge(one.get("securityGroupIds"), "securityGroupIds", TEXTS, urn=one.urn)
            yield from judge(one.get("subnetIds"), "subnetIds", different(zones), urn=one.urn)


_INTERFACE: Final = one_of("Interface")


def _gateway(stack: Stack, gateway: Resource) -> Iterator[Finding]:
    kind = Want("Gateway or absent", lambda value: value in (None, "Gateway"))
    yield from judge(gateway.get("vpcEndpointType"), "vpcEndpointType", kind, urn=gateway.urn)
    tables = stack.kept("private tables", lambda: _private_tables(stack))
    ids = gateway.get("routeTableIds")
    for table in tables.values():
        if not refers(gateway, "routeTableIds", table):
            if ids is UNKNOWN and not gateway.links.get("routeTableIds"):
                yield unverified("routeTableIds", urn=gateway.urn)
            else:
                yield Finding("routeTableIds", f"is without {table.name}", urn=gateway.urn)
    few = Want(f"{len(tables)} route tables", lambda value: isinstance(value, list) and len(value) >= len(tables))
    # Links are of the property as a whole: a shorter list with a link that is left over is seen by its length.
    yield from judge(ids, "routeTableIds", few, urn=gateway.urn)


def _private_tables(stack: Stack) -> dict[str, Resource]:
    tier = tiers(stack)
    private = {subnet.urn for subnet in stack.of(SUBNET) if tier.get(subnet.urn) == "private"}
    return {
        table.urn: table
        for one in stack.of(ASSOCIATION)
        if any(subnet.urn in private for subnet in referred(stack, one, "subnetId", SUBNET))
        for table in referred(stack, one, "routeTableId", ROUTE_TABLE)
    }


def _service(endpoint: Resource) -> str:
    name = endpoint.get("serviceName")
    return ".".join(name.split(".")[3:]) if isinstance(name, str) and name.startswith("com.amazonaws.") else ""


def _missing(what: str, resource: Resource, maybe: bool) -> Finding:
    """That something is not there; unverified if it may be, with a value that is not known yet."""
    return Finding("", what, verified=not maybe, urn=resource.urn)
