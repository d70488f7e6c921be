"""The network's good settings."""

from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

VPC: Final = "aws:ec2/vpc:Vpc"
SUBNET: Final = "aws:ec2/subnet:Subnet"
DEFAULT_GROUP: Final = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
INGRESS: Final = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS: Final = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
FLOW_LOG: Final = "aws:ec2/flowLog:FlowLog"
NAT: Final = "aws:ec2/natGateway:NatGateway"
ROUTE: Final = "aws:ec2/route:Route"
ASSOCIATION: Final = "aws:ec2/routeTableAssociation:RouteTableAssociation"
ENDPOINT: Final = "aws:ec2/vpcEndpoint:VpcEndpoint"

OPEN: Final = {"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}


def anywhere(resource: Resource) -> bool:
    return resource.props.get("cidrIpv4") == "0.0.0.0/0"


def interface(resource: Resource) -> bool:
    return bool(resource.props["vpcEndpointType"] == "Interface")


def gateway(resource: Resource) -> bool:
    return not interface(resource)


def private_way(resource: Resource) -> bool:
    return "natGatewayId" in resource.props


def of(*tiers: str) -> Any:
    return lambda resource: any(f"-{tier}-" in resource.name for tier in tiers)


def shorter(some: list[Any]) -> list[Any]:
    return some[:-1]


GOOD: Final = (
    Good(INGRESS, "fromPort", "sg-open", (0, 22, GONE), where=anywhere),
    Good(INGRESS, "toPort", "sg-open", (65535, 8443, GONE), where=anywhere),
    Good(INGRESS, "ipProtocol", "sg-open", ("-1", "udp", GONE), where=anywhere),
    Good(EGRESS, "fromPort", "sg-egress", (0, 25, GONE), where=anywhere),
    Good(EGRESS, "toPort", "sg-egress", (65535, GONE), where=anywhere),
    Good(EGRESS, "ipProtocol", "sg-egress", ("-1", "udp", GONE), where=anywhere),
    Good(DEFAULT_GROUP, "ingress", "default-sg-empty", ([OPEN], [{"protocol": "-1", "self": True}])),
    Good(DEFAULT_GROUP, "egress", "default-sg-empty", ([OPEN],)),
    Good(DEFAULT_GROUP, "", "default-sg-adopted"),
    Good(FLOW_LOG, "", "flow-logs"),
    Good(FLOW_LOG, "vpcId", "flow-logs", unknown=False),
    Good(FLOW_LOG, "trafficType", "flow-logs", ("ACCEPT", "REJECT", GONE)),
    Good(VPC, "enableDnsSupport", "vpc-dns", (False,)),
    Good(VPC, "enableDnsHostnames", "vpc-dns", (False, GONE)),
    Good(SUBNET, "mapPublicIpOnLaunch", "public-ip", (True,)),
    Good(SUBNET, "cidrBlock", "subnet-size", ("10.0.0.0/28", "10.0.0.0/25", GONE)),
    Good(SUBNET, "availabilityZone", "subnets-zones", (GONE, ""), where=of("public", "private", "data")),
    Good(SUBNET, "", "subnets-zones", where=of("private")),
    Good(ASSOCIATION, "", "subnets-zones", where=of("public", "private")),
    Good(ASSOCIATION, "routeTableId", "subnets-zones", unknown=False, where=of("public", "private")),
    Good(ROUTE, "", "subnets-zones"),
    Good(ROUTE, "natGatewayId", "subnets-zones", unknown=False, where=private_way),
    Good(ROUTE, "gatewayId", "subnets-zones", unknown=False),
    Good(NAT, "", "nat-ha"),
    Good(NAT, "connectivityType", "nat-ha", ("private",)),
    Good(ENDPOINT, "", "vpc-endpoints"),
    Good(ENDPOINT, "serviceName", "vpc-endpoints", ("com.amazonaws.us-east-1.sns", GONE)),
    Good(ENDPOINT, "vpcId", "vpc-endpoints", unknown=False),
    Good(ENDPOINT, "vpcEndpointType", "vpc-endpoints", ("Gateway", GONE), unknown=False, where=interface),
    Good(ENDPOINT, "subnetIds", "vpc-endpoints", (shorter, [], GONE), where=interface),
    Good(ENDPOINT, "securityGroupIds", "vpc-endpoints", ([], GONE), where=interface),
    Good(ENDPOINT, "routeTableIds", "vpc-endpoints", (shorter, [], GONE), where=gateway),
    Good(ENDPOINT, "privateDnsEnabled", "endpoint-private-dns", (False, GONE)),
)
