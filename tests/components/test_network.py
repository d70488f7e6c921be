"""The VPC of a region, as the engine receives it."""

import json
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.kms import CustomerKey
from components.network import (
    INTERFACE_SERVICES,
    RETENTION_DAYS,
    Network,
    NetworkArgs,
    check_retention,
    plan_flow_log_policy,
    plan_flow_log_trust,
)
from components.network_plan import GROUPS, plan_rules, plan_subnets

ACCOUNT = "012345678901"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
LOGS_KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/mrk-logs"


def args(**changes: Any) -> NetworkArgs:
    key = CustomerKey(arn=pulumi.Output.from_input(LOGS_KEY), id=pulumi.Output.from_input("mrk-logs"))
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "region": "us-east-1",
        "cidr": "10.0.0.0/16",
        "zones": ZONES,
        "flow_log_key": key,
    }
    return NetworkArgs(**(given | changes))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: Network("network", args()))


def test_the_vpc_resolves_names_so_that_private_endpoints_work(run: Any) -> None:
    vpc = run.one("aws:ec2/vpc:Vpc", "network")
    assert vpc.inputs == {"cidrBlock": "10.0.0.0/16", "enableDnsSupport": True, "enableDnsHostnames": True}


def test_subnets_are_those_of_the_plan_and_give_out_no_public_address(run: Any) -> None:
    plan = plan_subnets(args().block, ZONES)
    for subnet in plan:
        inputs = run.one("aws:ec2/subnet:Subnet", f"network-{subnet.name}").inputs
        assert inputs == {
            "vpcId": "network-id",
            "availabilityZone": subnet.zone,
            "cidrBlock": str(subnet.block),
            "mapPublicIpOnLaunch": False,
        }
    assert len(run.of("aws:ec2/subnet:Subnet")) == len(plan) == 9


def test_each_zone_has_its_own_nat_gateway_and_address_in_its_public_subnet(run: Any) -> None:
    for letter in "abc":
        nat = run.one("aws:ec2/natGateway:NatGateway", f"network-{letter}")
        assert nat.inputs["subnetId"] == f"network-public-{letter}-id"
        assert nat.inputs["allocationId"] == f"network-nat-{letter}-id"
        assert nat.inputs["connectivityType"] == "public"
        assert "network-internet" in nat.depends_on
        assert run.one("aws:ec2/eip:Eip", f"network-nat-{letter}").inputs == {"domain": "vpc"}
    assert len(run.of("aws:ec2/natGateway:NatGateway")) == len(run.of("aws:ec2/eip:Eip")) == 3


def test_public_subnets_leave_by_the_internet_gateway_and_private_ones_by_the_nat_of_their_zone(run: Any) -> None:
    routes = {route.name: route.inputs for route in run.of("aws:ec2/route:Route")}
    everywhere = {"destinationCidrBlock": "0.0.0.0/0"}
    assert routes == {
        "network-public": everywhere | {"routeTableId": "network-public-id", "gatewayId": "network-internet-id"},
    } | {
        f"network-private-{letter}": everywhere
        | {"routeTableId": f"network-private-{letter}-id", "natGatewayId": f"network-{letter}-id"}
        for letter in "abc"
    }


def test_data_subnets_have_route_tables_without_a_route(run: Any) -> None:
    routed = {route.inputs["routeTableId"] for route in run.of("aws:ec2/route:Route")}
    gateways = [e for e in run.of("aws:ec2/vpcEndpoint:VpcEndpoint") if e.inputs["vpcEndpointType"] == "Gateway"]
    routed |= {table for endpoint in gateways for table in endpoint.inputs["routeTableIds"]}
    for letter in "abc":
        table = run.one("aws:ec2/routeTable:RouteTable", f"network-data-{letter}")
        assert "routes" not in table.inputs
        assert f"{table.name}-id" not in routed


def test_every_subnet_is_associated_with_the_table_of_its_tier_and_zone(run: Any) -> None:
    tables = {
        link.inputs["subnetId"]: link.inputs["routeTableId"]
        for link in run.of("aws:ec2/routeTableAssociation:RouteTableAssociation")
    }
    assert tables == {
        f"network-{tier}-{letter}-id": "network-public-id" if tier == "public" else f"network-{tier}-{letter}-id"
        for tier in ("public", "private", "data")
        for letter in "abc"
    }


def test_the_default_security_group_is_emptied(run: Any) -> None:
    group = run.one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert group.inputs == {"vpcId": "network-id", "ingress": [], "egress": []}


def test_security_groups_carry_no_rule_of_their_own(run: Any) -> None:
    groups = run.of("aws:ec2/securityGroup:SecurityGroup")
    assert {group.inputs["description"] for group in groups} == set(GROUPS.values())
    assert all(set(group.inputs) == {"vpcId", "description"} for group in groups)


def test_every_planned_rule_exists_and_no_other(run: Any) -> None:
    tokens = {
        "ingress": "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "egress": "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    }
    for rule in plan_rules():
        inputs = dict(run.one(tokens[rule.direction], f"network-{rule.name}").inputs)
        assert inputs.pop("description") == rule.why
        assert inputs.pop("securityGroupId") == f"network-{rule.group.replace('_', '-')}-id"
        if rule.peer == "internet":
            assert inputs.pop("cidrIpv4") == "0.0.0.0/0"
        else:
            assert inputs.pop("referencedSecurityGroupId") == f"network-{rule.peer.replace('_', '-')}-id"
        if rule.ports is None:
            assert inputs == {"ipProtocol": "-1"}
        else:
            assert inputs == {"ipProtocol": "tcp", "fromPort": rule.ports[0], "toPort": rule.ports[1]}
    assert sum(len(run.of(token)) for token in tokens.values()) == len(plan_rules())


def test_s3_is_reached_without_nat(run: Any) -> None:
    endpoint = run.one("aws:ec2/vpcEndpoint:VpcEndpoint", "network-s3")
    assert endpoint.inputs == {
        "vpcId": "network-id",
        "vpcEndpointType": "Gateway",
        "serviceName": "com.amazonaws.us-east-1.s3",
        "routeTableIds": [f"network-private-{letter}-id" for letter in "abc"],
    }


@pytest.mark.parametrize("service", INTERFACE_SERVICES)
def test_aws_services_answer_inside_the_vpc_in_every_zone(run: Any, service: str) -> None:
    endpoint = run.one("aws:ec2/vpcEndpoint:VpcEndpoint", f"network-{service.replace('.', '-')}")
    assert endpoint.inputs == {
        "vpcId": "network-id",
        "vpcEndpointType": "Interface",
        "serviceName": f"com.amazonaws.us-east-1.{service}",
        "subnetIds": [f"network-private-{letter}-id" for letter in "abc"],
        "securityGroupIds": ["network-endpoints-id"],
        "privateDnsEnabled": True,
    }


def test_operators_come_in_by_session_manager() -> None:
    assert {"ssm", "ssmmessages", "kms", "logs"} <= set(INTERFACE_SERVICES)
    assert not [rule for rule in plan_rules() if rule.ports and rule.ports[0] <= 22 <= rule.ports[1]]


def test_flow_logs_keep_all_traffic_for_a_year_under_the_logs_key(run: Any) -> None:
    group = run.one("aws:cloudwatch/logGroup:LogGroup")
    assert group.inputs == {"kmsKeyId": LOGS_KEY, "retentionInDays": 365, "deletionProtectionEnabled": True}
    flow_log = run.one("aws:ec2/flowLog:FlowLog")
    assert flow_log.inputs == {
        "vpcId": "network-id",
        "trafficType": "ALL",
        "logDestinationType": "cloud-watch-logs",
        "logDestination": "arn:aws:cloudwatch:::network-flow-logs",
        "iamRoleArn": "arn:aws:iam:::network-flow-logs",
        "maxAggregationInterval": 600,
    }
    assert run.one("aws:iam/rolePolicy:RolePolicy").urn in flow_log.depends_on_urns


def test_the_flow_log_role_writes_to_its_own_group_for_this_account_only(run: Any) -> None:
    role, policy = run.one("aws:iam/role:Role"), run.one("aws:iam/rolePolicy:RolePolicy")
    assert json.loads(role.inputs["assumeRolePolicy"]) == plan_flow_log_trust(account_id=ACCOUNT, region="us-east-1")
    document = json.loads(policy.inputs["policy"])
    assert document == plan_flow_log_policy("network-flow-logs", account_id=ACCOUNT, region="us-east-1")
    write, find = document["Statement"]
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:network-flow-logs"
    assert write["Resource"] == [group, f"{group}:*"]
    assert find["Action"] == "logs:DescribeLogGroups"
    trust = json.loads(role.inputs["assumeRolePolicy"])["Statement"][0]
    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/*"},
    }


@pytest.mark.parametrize("locked", [True, False])
def test_what_cannot_be_had_back_is_locked_until_unlocked_on_purpose(recorded: Any, locked: bool) -> None:
    run = recorded(lambda: Network("network", args(locked=locked)))
    protected = {resource.type for resource in run.resources if resource.protect}
    stateful = {"aws:ec2/vpc:Vpc", "aws:ec2/eip:Eip", "aws:cloudwatch/logGroup:LogGroup"}
    assert protected == (stateful if locked else set())
    assert run.one("aws:cloudwatch/logGroup:LogGroup").inputs["deletionProtectionEnabled"] is locked


def test_each_nat_gateway_raises_an_alarm_when_it_runs_out_of_ports(recorded: Any) -> None:
    run = recorded(lambda: Network("network", args(alarms_topic="arn:aws:sns:us-east-1:1:alarms")))
    alarms = run.of("aws:cloudwatch/metricAlarm:MetricAlarm")
    assert [alarm.inputs["dimensions"]["NatGatewayId"] for alarm in alarms] == [f"network-{x}-id" for x in "abc"]
    for alarm in alarms:
        assert alarm.inputs["metricName"] == "ErrorPortAllocation"
        assert alarm.inputs["namespace"] == "AWS/NATGateway"
        assert alarm.inputs["alarmActions"] == ["arn:aws:sns:us-east-1:1:alarms"]


def test_alarms_without_a_topic_only_show(run: Any) -> None:
    assert [alarm.inputs["alarmActions"] for alarm in run.of("aws:cloudwatch/metricAlarm:MetricAlarm")] == [[]] * 3


def test_a_fourth_zone_adds_resources_and_changes_none_that_is_bound_to_a_zone(recorded: Any) -> None:
    before = recorded(lambda: Network("network", args()))
    after = recorded(lambda: Network("network", args(zones=(*ZONES, "us-east-1d"))))
    then, now = ({r.urn: r.inputs for r in run.managed} for run in (before, after))
    assert {urn for urn in now if urn not in then} == {urn for urn in now if urn.endswith("-d")}
    # Endpoints stretch into the new zone; their subnets and tables change in place.
    changed = {urn.split("$")[-1].split("::")[0] for urn in then if then[urn] != now[urn]}
    assert changed == {"aws:ec2/vpcEndpoint:VpcEndpoint"}
    assert len(now) - len(then) == 12


def test_logical_names_hold_neither_region_nor_account(recorded: Any) -> None:
    east = recorded(lambda: Network("network", args()))
    west = recorded(
        lambda: Network(
            "network", args(region="us-west-2", cidr="10.1.0.0/16", zones=[f"us-west-2{letter}" for letter in "abc"])
        )
    )
    assert {r.urn for r in east.managed} == {r.urn for r in west.managed}
    assert len(east.managed) == 88


def test_all_resources_are_children_of_the_component(run: Any) -> None:
    assert {resource.parent.rsplit("::", 1)[-1] for resource in run.managed} == {"network"}


def test_outputs_are_what_other_components_ask_for(recorded: Any) -> None:
    def program() -> dict[str, Any]:
        network = Network("network", args())
        assert (network.cidr, network.region, network.zones) == ("10.0.0.0/16", "us-east-1", ZONES)
        return {
            "vpc": network.vpc_id,
            "data": network.subnets("data"),
            "by_zone": network.subnet_ids["private"],
            "groups": network.security_group_ids,
            "tables": network.route_table_ids,
            "nat": network.nat_addresses,
        }

    result = recorded(program, outputs={"aws:ec2/eip:Eip": {"publicIp": "192.0.2.1"}}).result
    assert result["vpc"] == "network-id"
    assert result["data"] == [f"network-data-{letter}-id" for letter in "abc"]
    assert result["by_zone"] == {f"us-east-1{letter}": f"network-private-{letter}-id" for letter in "abc"}
    assert set(result["groups"]) == set(GROUPS)
    assert set(result["tables"]) == {"public"} | {f"{tier}-{x}" for tier in ("private", "data") for x in "abc"}
    assert result["nat"] == ["192.0.2.1"] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cidr": "10.0.0.0/20"}, r"cidr is 10\.0\.0\.0/20: a region takes a /16"),
        ({"cidr": "10.0.0.1/16"}, r"cidr is '10\.0\.0\.1/16': .*host bits set.*Write it like 10\.0\.0\.0/16"),
        ({"cidr": "ten"}, "cidr is 'ten'"),
        ({"cidr": "52.0.0.0/16"}, r"cidr is 52\.0\.0\.0/16: these are public addresses"),
        ({"cidr": "fd00::/16"}, "cidr is 'fd00::/16'"),
        ({"zones": ["us-east-1a", "us-west-2a"]}, "zones name 'us-west-2a': it is no availability zone of us-east-1"),
        ({"zones": ["us-east-1a", "us-east-1-bos-1a"]}, "zones name 'us-east-1-bos-1a'"),
        ({"zones": ["us-east-1a", "us-east-1b2"]}, "zones name 'us-east-1b2'"),
        ({"zones": ["us-east-1a", "us-east-1a"]}, "more than once"),
        ({"zones": ["us-east-1a"]}, "2 to 4 zones, these are 1"),
        ({"zones": []}, "zones are none"),
        ({"flow_log_retention_days": 0}, "flow_log_retention_days is 0: CloudWatch Logs keeps logs for 1, 3, 5"),
        ({"flow_log_retention_days": 364}, "flow_log_retention_days is 364"),
        ({"account_id": "1234"}, "account_id is '1234'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_built(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError, match=message):
        args(**changes)


@given(days=st.integers(-1, 4000))
def test_logs_are_kept_as_long_as_cloudwatch_can(days: int) -> None:
    if days in RETENTION_DAYS:
        check_retention("log_retention_days", days)
    else:
        with pytest.raises(ArgsError) as error:
            check_retention("log_retention_days", days)
        assert str(error.value) == (
            f"log_retention_days is {days}: CloudWatch Logs keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, "
            "365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653 days."
        )


@pytest.mark.parametrize("days", sorted(RETENTION_DAYS))
def test_each_time_that_cloudwatch_offers_is_taken(days: int) -> None:
    check_retention("log_retention_days", days)
