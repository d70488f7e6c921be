"""EC2: the VPC and everything in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Type, ec2_tags
from infra.local.resource import Failure, Props

ARN = "arn:{partition}:ec2:{region}:{account}:"


def _attribute(name: str, parameter: str) -> Setting:
    """A VPC attribute, which EC2 sets and reads one at a time."""
    answer = parameter.split(".")[0]
    return Setting(
        set=Call("ModifyVpcAttribute", (), {name: parameter}, {"VpcId": "{id}"}),
        get=Call(
            "DescribeVpcAttribute",
            (),
            fixed={"VpcId": "{id}", "Attribute": f"{answer[0].lower()}{answer[1:]}"},
        ),
    )


def _tenancy(old: Props, new: Props) -> Iterable[str]:
    """EC2 can only turn dedicated tenancy off."""
    if new.get("instanceTenancy", "default") != "default":
        yield "instanceTenancy"


VPC = Type(
    "aws:ec2/vpc:Vpc",
    "ec2",
    id="Vpc.VpcId",
    create=Call("CreateVpc", ("cidrBlock", "instanceTenancy", "ipv4IpamPoolId", "ipv4NetmaskLength")),
    read=Call("DescribeVpcs", fixed={"VpcIds": ["{id}"]}, at="Vpcs[0]"),
    delete=[Call("DeleteVpc", fixed={"VpcId": "{id}"})],
    settings=[
        _attribute("enableDnsSupport", "EnableDnsSupport.Value"),
        _attribute("enableDnsHostnames", "EnableDnsHostnames.Value"),
    ],
    update=Call("ModifyVpcTenancy", ("instanceTenancy",), fixed={"VpcId": "{id}"}),
    tagging=ec2_tags("vpc"),
    replaces=_tenancy,
    outputs={
        "arn": ARN + "vpc/{id}",
        "ownerId": "OwnerId",
        "defaultSecurityGroupId": lambda region, props, _: _default_group(region, props["id"])["GroupId"],
        "mainRouteTableId": lambda region, props, _: region.call(
            "ec2",
            "DescribeRouteTables",
            Filters=[_filter("vpc-id", props["id"]), _filter("association.main", "true")],
        )["RouteTables"][0]["RouteTableId"],
    },
    missing=("InvalidVpcID.NotFound",),
)

SUBNET = Type(
    "aws:ec2/subnet:Subnet",
    "ec2",
    id="Subnet.SubnetId",
    create=Call("CreateSubnet", ("vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId")),
    read=Call("DescribeSubnets", fixed={"SubnetIds": ["{id}"]}, at="Subnets[0]"),
    delete=[Call("DeleteSubnet", fixed={"SubnetId": "{id}"})],
    settings=[
        Setting(
            Call(
                "ModifySubnetAttribute",
                (),
                {"mapPublicIpOnLaunch": "MapPublicIpOnLaunch.Value"},
                {"SubnetId": "{id}"},
            )
        ),
        Setting(
            Call(
                "ModifySubnetAttribute",
                (),
                {"assignIpv6AddressOnCreation": "AssignIpv6AddressOnCreation.Value"},
                {"SubnetId": "{id}"},
            )
        ),
    ],
    shows={
        "mapPublicIpOnLaunch": "MapPublicIpOnLaunch",
        "assignIpv6AddressOnCreation": "AssignIpv6AddressOnCreation",
    },
    recorded=frozenset(
        {"enableDns64", "enableResourceNameDnsARecordOnLaunch", "enableResourceNameDnsAaaaRecordOnLaunch"}
    ),
    tagging=ec2_tags("subnet"),
    outputs={"arn": "SubnetArn", "ownerId": "OwnerId"},
    missing=("InvalidSubnetID.NotFound",),
)


def _attach(region: Region, props: Props) -> None:
    if props.get("vpcId"):
        region.call("ec2", "AttachInternetGateway", InternetGatewayId=props["id"], VpcId=props["vpcId"])


def _detach(region: Region, props: Props) -> None:
    if props.get("vpcId"):
        region.call("ec2", "DetachInternetGateway", InternetGatewayId=props["id"], VpcId=props["vpcId"])


INTERNET_GATEWAY = Type(
    "aws:ec2/internetGateway:InternetGateway",
    "ec2",
    id="InternetGateway.InternetGatewayId",
    create=Call("CreateInternetGateway", ()),
    read=Call("DescribeInternetGateways", fixed={"InternetGatewayIds": ["{id}"]}, at="InternetGateways[0]"),
    delete=[Call("DeleteInternetGateway", fixed={"InternetGatewayId": "{id}"})],
    settings=[Setting(Call("AttachInternetGateway", ("vpcId",), fixed={"InternetGatewayId": "{id}"}))],
    before_delete=_detach,
    shows={"vpcId": "Attachments[0].VpcId"},
    tagging=ec2_tags("internet-gateway"),
    outputs={"arn": ARN + "internet-gateway/{id}", "ownerId": "OwnerId"},
    missing=("InvalidInternetGatewayID.NotFound", "Gateway.NotAttached"),
)

EIP = Type(
    "aws:ec2/eip:Eip",
    "ec2",
    id="AllocationId",
    create=Call("AllocateAddress", ("domain", "publicIpv4Pool", "networkBorderGroup", "address")),
    read=Call("DescribeAddresses", fixed={"AllocationIds": ["{id}"]}, at="Addresses[0]"),
    delete=[Call("ReleaseAddress", fixed={"AllocationId": "{id}"})],
    tagging=ec2_tags("elastic-ip"),
    outputs={"allocationId": "AllocationId", "publicIp": "PublicIp", "arn": ARN + "elastic-ip/{id}"},
    missing=("InvalidAllocationID.NotFound", "InvalidAddress.NotFound"),
)

NAT_GATEWAY = Type(
    "aws:ec2/natGateway:NatGateway",
    "ec2",
    id="NatGateway.NatGatewayId",
    create=Call("CreateNatGateway"),
    read=Call(
        "DescribeNatGateways",
        fixed={"NatGatewayIds": ["{id}"]},
        at="NatGateways[?State != 'deleted' && State != 'deleting'] | [0]",
    ),
    delete=[Call("DeleteNatGateway", fixed={"NatGatewayId": "{id}"})],
    recorded=frozenset(
        {
            "availabilityZoneAddresses",
            "secondaryAllocationIds",
            "secondaryPrivateIpAddressCount",
            "secondaryPrivateIpAddresses",
        }
    ),
    shows={"allocationId": "NatGatewayAddresses[0].AllocationId", "privateIp": "NatGatewayAddresses[0].PrivateIp"},
    tagging=ec2_tags("natgateway"),
    outputs={
        "publicIp": "NatGatewayAddresses[0].PublicIp",
        "privateIp": "NatGatewayAddresses[0].PrivateIp",
        "networkInterfaceId": "NatGatewayAddresses[0].NetworkInterfaceId",
        "associationId": "NatGatewayAddresses[0].AssociationId",
    },
    missing=("NatGatewayNotFound", "InvalidNatGatewayID.NotFound"),
)

ROUTE_TABLE = Type(
    "aws:ec2/routeTable:RouteTable",
    "ec2",
    id="RouteTable.RouteTableId",
    create=Call("CreateRouteTable", ("vpcId",)),
    read=Call("DescribeRouteTables", fixed={"RouteTableIds": ["{id}"]}, at="RouteTables[0]"),
    delete=[Call("DeleteRouteTable", fixed={"RouteTableId": "{id}"})],
    tagging=ec2_tags("route-table"),
    # Routes are resources of their own here; as an output they would change with every one that comes.
    outputs={"arn": ARN + "route-table/{id}", "ownerId": "OwnerId", "routes": lambda *_: None},
    missing=("InvalidRouteTableID.NotFound",),
)

_ROUTE_KEY = {"RouteTableId": "{routeTableId}", "DestinationCidrBlock": "{destinationCidrBlock}"}

ROUTE = Type(
    "aws:ec2/route:Route",
    "ec2",
    id="r-{routeTableId}_{destinationCidrBlock}",
    create=Call("CreateRoute"),
    read=Call(
        "DescribeRouteTables",
        fixed={"RouteTableIds": ["{routeTableId}"]},
        at="RouteTables[0].Routes[?DestinationCidrBlock == '{destinationCidrBlock}'] | [0]",
    ),
    delete=[Call("DeleteRoute", fixed=_ROUTE_KEY)],
    update=Call(
        "ReplaceRoute",
        (
            "carrierGatewayId",
            "coreNetworkArn",
            "gatewayId",
            "localGatewayId",
            "natGatewayId",
            "networkInterfaceId",
            "odbNetworkArn",
            "transitGatewayId",
            "vpcEndpointId",
            "vpcPeeringConnectionId",
        ),
        fixed=_ROUTE_KEY,
    ),
    missing=("InvalidRoute.NotFound", "InvalidRouteTableID.NotFound"),
)

ROUTE_TABLE_ASSOCIATION = Type(
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "ec2",
    id="AssociationId",
    create=Call("AssociateRouteTable", ("subnetId", "gatewayId", "routeTableId")),
    read=Call(
        "DescribeRouteTables",
        fixed={"Filters": [{"Name": "association.route-table-association-id", "Values": ["{id}"]}]},
        at="RouteTables[0].Associations[?RouteTableAssociationId == '{id}'] | [0]",
    ),
    delete=[Call("DisassociateRouteTable", fixed={"AssociationId": "{id}"})],
    # The provider swaps the table in place, which gives the association a new id; here it is made anew.
    replaces=lambda old, new: ["routeTableId"],
    delete_first=True,
    missing=("InvalidAssociationID.NotFound",),
    note="a change of routeTableId replaces (the real provider swaps it in place)",
)


def _no_egress(region: Region, props: Props) -> None:
    """A new group lets everything out; the provider takes that rule away at once, so that only stated rules count."""
    group = region.call("ec2", "DescribeSecurityGroups", GroupIds=[props["id"]])["SecurityGroups"][0]
    if group["IpPermissionsEgress"]:
        region.call("ec2", "RevokeSecurityGroupEgress", GroupId=props["id"], IpPermissions=group["IpPermissionsEgress"])


SECURITY_GROUP = Type(
    "aws:ec2/securityGroup:SecurityGroup",
    "ec2",
    id="GroupId",
    create=Call("CreateSecurityGroup", ("description", "vpcId"), {"name": "GroupName"}),
    read=Call("DescribeSecurityGroups", fixed={"GroupIds": ["{id}"]}, at="SecurityGroups[0]"),
    delete=[Call("DeleteSecurityGroup", fixed={"GroupId": "{id}"})],
    after_create=_no_egress,
    recorded=frozenset({"revokeRulesOnDelete"}),
    autoname="name",
    tagging=ec2_tags("security-group"),
    outputs={
        "arn": ARN + "security-group/{id}",
        "ownerId": "OwnerId",
        "ingress": lambda *_: None,
        "egress": lambda *_: None,
    },
    missing=("InvalidGroup.NotFound", "InvalidGroupId.NotFound"),
)


def _filter(name: str, value: str) -> dict[str, Any]:
    return {"Name": name, "Values": [value]}


def _default_group(region: Region, vpc: str) -> dict[str, Any]:
    found = region.call(
        "ec2", "DescribeSecurityGroups", Filters=[_filter("vpc-id", vpc), _filter("group-name", "default")]
    )
    group: dict[str, Any] = found["SecurityGroups"][0]
    return group


def _strip(region: Region, props: Props) -> None:
    """Adopting the default group takes all its rules away."""
    group = _default_group(region, props["vpcId"])
    for operation, rules in (
        ("RevokeSecurityGroupIngress", group["IpPermissions"]),
        ("RevokeSecurityGroupEgress", group["IpPermissionsEgress"]),
    ):
        if rules:
            region.call("ec2", operation, GroupId=group["GroupId"], IpPermissions=rules)


DEFAULT_SECURITY_GROUP = Type(
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    "ec2",
    id="SecurityGroups[0].GroupId",
    create=Call(
        "DescribeSecurityGroups",
        (),
        fixed={"Filters": [_filter("vpc-id", "{vpcId}"), _filter("group-name", "default")]},
        at="SecurityGroups[0]",
    ),
    read=Call("DescribeSecurityGroups", fixed={"GroupIds": ["{id}"]}, at="SecurityGroups[0]"),
    after_create=_strip,
    recorded=frozenset({"vpcId", "revokeRulesOnDelete", "ingress", "egress"}),
    tagging=ec2_tags(),
    outputs={"arn": ARN + "security-group/{id}", "ownerId": "OwnerId", "name": "GroupName"},
    missing=("InvalidGroup.NotFound", "InvalidGroupId.NotFound"),
    note="adopts the group that the VPC was born with; deleting only lets go of it",
)


def _permission(region: Region, props: Props) -> Props:
    """A rule's flat properties as the nested permission that authorising takes."""
    permission: Props = {name: props[name] for name in ("ipProtocol", "fromPort", "toPort") if name in props}
    ends = {
        "cidrIpv4": ("ipRanges", "cidrIp"),
        "cidrIpv6": ("ipv6Ranges", "cidrIpv6"),
        "prefixListId": ("prefixListIds", "prefixListId"),
        "referencedSecurityGroupId": ("userIdGroupPairs", "groupId"),
    }
    for name, (ranges, member) in ends.items():
        if name in props:
            said = {"description": props["description"]} if props.get("description") else {}
            permission[ranges] = [{member: props[name], **said}]
    return {**props, "ipPermissions": [permission]}


def _rule(direction: str) -> Type:
    flag = "true" if direction == "Egress" else "false"
    inner = "SecurityGroupRules.SecurityGroupRule"
    return Type(
        f"aws:vpc/securityGroup{direction}Rule:SecurityGroup{direction}Rule",
        "ec2",
        id="SecurityGroupRules[0].SecurityGroupRuleId",
        prepare=_permission,
        create=Call(f"AuthorizeSecurityGroup{direction}", ("ipPermissions",), {"securityGroupId": "GroupId"}),
        read=Call(
            "DescribeSecurityGroupRules",
            fixed={"SecurityGroupRuleIds": ["{id}"]},
            at=f"SecurityGroupRules[?IsEgress == `{flag}`] | [0]",
        ),
        update=Call(
            "ModifySecurityGroupRules",
            (),
            {
                "ipProtocol": f"{inner}.IpProtocol",
                "fromPort": f"{inner}.FromPort",
                "toPort": f"{inner}.ToPort",
                "cidrIpv4": f"{inner}.CidrIpv4",
                "cidrIpv6": f"{inner}.CidrIpv6",
                "prefixListId": f"{inner}.PrefixListId",
                "referencedSecurityGroupId": f"{inner}.ReferencedGroupId",
                "description": f"{inner}.Description",
            },
            {"GroupId": "{securityGroupId}", "SecurityGroupRules": [{"SecurityGroupRuleId": "{id}"}]},
            whole=True,
        ),
        shows={"referencedSecurityGroupId": "ReferencedGroupInfo.GroupId"},
        delete=[
            Call(
                f"RevokeSecurityGroup{direction}",
                fixed={"GroupId": "{securityGroupId}", "SecurityGroupRuleIds": ["{id}"]},
            )
        ],
        outputs={"securityGroupRuleId": "{id}", "arn": ARN + "security-group-rule/{id}"},
        tagging=ec2_tags("security-group-rule"),
        missing=("InvalidSecurityGroupRuleId.NotFound", "InvalidGroup.NotFound", "InvalidPermission.NotFound"),
    )


def _endpoint_rules(props: Props) -> Iterable[Failure]:
    if props.get("vpcEndpointType") == "Gateway" and props.get("subnetIds"):
        yield Failure("subnetIds", "InvalidParameter: Subnets are not supported for endpoints of type Gateway")
    if props.get("vpcEndpointType") == "Interface" and props.get("routeTableIds"):
        yield Failure(
            "routeTableIds", "InvalidParameter: Route tables are not supported for endpoints of type Interface"
        )


_ENDPOINT = {"VpcEndpointId": "{id}"}


def _endpoint_members(name: str, parameter: str) -> Setting:
    """A list of an endpoint, whose items EC2 adds and removes."""

    def change(region: Region, context: Props, old: Props, new: Props) -> None:
        before, after = old.get(name) or [], new.get(name) or []
        lists = {
            f"Add{parameter}": [item for item in after if item not in before],
            f"Remove{parameter}": [item for item in before if item not in after],
        }
        region.call("ec2", "ModifyVpcEndpoint", VpcEndpointId=context["id"], **lists)

    return Setting(Call("CreateVpcEndpoint", (name,)), at_create=False, apply=change)


VPC_ENDPOINT = Type(
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "ec2",
    id="VpcEndpoint.VpcEndpointId",
    create=Call(
        "CreateVpcEndpoint",
        None,
        {"policy": "PolicyDocument", "privateDnsEnabled": "PrivateDnsEnabled"},
    ),
    read=Call(
        "DescribeVpcEndpoints",
        fixed={"VpcEndpointIds": ["{id}"]},
        at="VpcEndpoints[?State != 'deleted'] | [0]",
    ),
    delete=[Call("DeleteVpcEndpoints", fixed={"VpcEndpointIds": ["{id}"]})],
    settings=[
        _endpoint_members("routeTableIds", "RouteTableIds"),
        _endpoint_members("subnetIds", "SubnetIds"),
        _endpoint_members("securityGroupIds", "SecurityGroupIds"),
        Setting(
            Call("ModifyVpcEndpoint", (), {"policy": "PolicyDocument"}, _ENDPOINT),
            unset=Call("ModifyVpcEndpoint", (), fixed={**_ENDPOINT, "ResetPolicy": True}),
            at_create=False,
        ),
    ],
    # moto takes private DNS when an endpoint is made, and never again.
    recorded=frozenset({"autoAccept", "dnsOptions", "ipAddressType", "privateDnsEnabled", "subnetConfigurations"}),
    shows={"securityGroupIds": "Groups[].GroupId", "privateDnsEnabled": "NotShown"},
    validate=_endpoint_rules,
    tagging=ec2_tags("vpc-endpoint"),
    outputs={"arn": ARN + "vpc-endpoint/{id}", "ownerId": "OwnerId", "policy": lambda *_: None},
    missing=("InvalidVpcEndpointId.NotFound",),
)

FLOW_LOG = Type(
    "aws:ec2/flowLog:FlowLog",
    "ec2",
    id="FlowLogIds[0]",
    create=Call(
        "CreateFlowLogs",
        ("trafficType", "logDestinationType", "logDestination", "logFormat", "maxAggregationInterval"),
        {"iamRoleArn": "DeliverLogsPermissionArn", "vpcId": "ResourceIds"},
        {"ResourceType": "VPC"},
    ),
    read=Call("DescribeFlowLogs", fixed={"FlowLogIds": ["{id}"]}, at="FlowLogs[0]"),
    delete=[Call("DeleteFlowLogs", fixed={"FlowLogIds": ["{id}"]})],
    shows={"vpcId": "[ResourceId]"},
    tagging=ec2_tags("vpc-flow-log"),
    outputs={"arn": ARN + "vpc-flow-log/{id}", "logDestination": "LogDestination", "logFormat": "LogFormat"},
    missing=("InvalidFlowLogId.NotFound",),
)

TYPES = (
    VPC,
    SUBNET,
    INTERNET_GATEWAY,
    EIP,
    NAT_GATEWAY,
    ROUTE_TABLE,
    ROUTE,
    ROUTE_TABLE_ASSOCIATION,
    SECURITY_GROUP,
    DEFAULT_SECURITY_GROUP,
    _rule("Ingress"),
    _rule("Egress"),
    VPC_ENDPOINT,
    FLOW_LOG,
)
