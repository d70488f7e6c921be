"""Cases: the network."""

from tests.infra.local.aws.case import GONE, Case, attribute, tag

NETWORK = (
    Case(
        "aws:ec2/vpc:Vpc",
        lambda place, world: {"cidrBlock": "10.9.0.0/16", "enableDnsHostnames": False, "tags": {"a": "b"}},
        change=lambda place, world: {"enableDnsHostnames": True, "tags": {"c": "d"}},
        behind=attribute("ec2", "ModifyVpcAttribute", VpcId="{}", EnableDnsHostnames={"Value": False}),
        drifts="enableDnsHostnames",
    ),
    Case(
        "aws:ec2/subnet:Subnet",
        lambda place, world: {"vpcId": place.vpc, "cidrBlock": "10.0.90.0/24", "availabilityZone": "us-east-1b"},
        change=lambda place, world: {"mapPublicIpOnLaunch": True},
        behind=attribute("ec2", "ModifySubnetAttribute", SubnetId="{}", MapPublicIpOnLaunch={"Value": False}),
        drifts="mapPublicIpOnLaunch",
    ),
    Case(
        "aws:ec2/internetGateway:InternetGateway",
        lambda place, world: {"vpcId": place.call("ec2", "CreateVpc", CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]},
        change=lambda place, world: {"tags": {"c": "d"}},
        behind=tag("c"),
        drifts="tags",
    ),
    Case(
        "aws:ec2/eip:Eip",
        lambda place, world: {"domain": "vpc"},
        change=lambda place, world: {"tags": {"c": "d"}},
        behind=tag("c"),
        drifts="tags",
    ),
    Case(
        "aws:ec2/natGateway:NatGateway",
        lambda place, world: {
            "subnetId": place.subnets[1],
            "allocationId": place.call("ec2", "AllocateAddress", Domain="vpc")["AllocationId"],
        },
        change=lambda place, world: {"tags": {"c": "d"}},
        behind=tag("c"),
        drifts="tags",
    ),
    Case(
        "aws:ec2/routeTable:RouteTable",
        lambda place, world: {"vpcId": place.vpc},
        change=lambda place, world: {"tags": {"c": "d"}},
        behind=tag("c"),
        drifts="tags",
    ),
    Case(
        "aws:ec2/route:Route",
        lambda place, world: {
            "routeTableId": place.tables[0],
            "destinationCidrBlock": "0.0.0.0/0",
            "natGatewayId": place.nat,
        },
        change=lambda place, world: {"natGatewayId": None, "gatewayId": place.gateway},
        behind=lambda place, state: place.call(
            "ec2", "DeleteRoute", RouteTableId=place.tables[0], DestinationCidrBlock="0.0.0.0/0"
        ),
        drifts=GONE,
    ),
    Case(
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        lambda place, world: {"routeTableId": place.tables[0], "subnetId": place.subnets[2]},
        behind=attribute("ec2", "DisassociateRouteTable", AssociationId="{}"),
        drifts=GONE,
    ),
    Case(
        "aws:ec2/securityGroup:SecurityGroup",
        lambda place, world: {"vpcId": place.vpc, "description": "nodes"},
        change=lambda place, world: {"tags": {"c": "d"}},
        behind=tag("c"),
        drifts="tags",
    ),
    Case(
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        lambda place, world: {"vpcId": place.call("ec2", "CreateVpc", CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]},
        change=lambda place, world: {"tags": {"c": "d"}},
        behind=tag("c"),
        drifts="tags",
        unseen=frozenset({"vpcId"}),
        remains=True,
    ),
    Case(
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        lambda place, world: {
            "securityGroupId": place.groups[0],
            "ipProtocol": "tcp",
            "fromPort": 443,
            "toPort": 443,
            "referencedSecurityGroupId": place.groups[1],
        },
        change=lambda place, world: {"description": "TLS"},
        behind=lambda place, state: place.call(
            "ec2", "RevokeSecurityGroupIngress", GroupId=place.groups[0], SecurityGroupRuleIds=[state.id]
        ),
        drifts=GONE,
    ),
    Case(
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        lambda place, world: {
            "securityGroupId": place.groups[0],
            "ipProtocol": "tcp",
            "fromPort": 5432,
            "toPort": 5432,
            "cidrIpv4": "10.0.0.0/16",
        },
        change=lambda place, world: {"description": "PostgreSQL"},
        behind=lambda place, state: place.call(
            "ec2", "RevokeSecurityGroupEgress", GroupId=place.groups[0], SecurityGroupRuleIds=[state.id]
        ),
        drifts=GONE,
    ),
    Case(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        lambda place, world: {
            "vpcId": place.vpc,
            "serviceName": "com.amazonaws.us-east-1.s3",
            "vpcEndpointType": "Gateway",
            "routeTableIds": [place.tables[0]],
        },
        change=lambda place, world: {"routeTableIds": place.tables},
        behind=lambda place, state: place.call(
            "ec2", "ModifyVpcEndpoint", VpcEndpointId=state.id, RemoveRouteTableIds=[place.tables[0]]
        ),
        drifts="routeTableIds",
    ),
    Case(
        "aws:ec2/flowLog:FlowLog",
        lambda place, world: {
            "vpcId": place.vpc,
            "trafficType": "ALL",
            "logDestinationType": "cloud-watch-logs",
            "logDestination": place.log_group,
            "iamRoleArn": place.role,
        },
        change=lambda place, world: {"tags": {"c": "d"}},
        behind=attribute("ec2", "DeleteFlowLogs", FlowLogIds=["{}"]),
        drifts=GONE,
    ),
)
