import pytest
from hypothesis import given, settings

from policies import eks
from policies.eks import ADDON, CLUSTER, NODE_GROUP
from policies.network import LAUNCH_TEMPLATE, SUBNET
from policies.rule import UNKNOWN, Finding, Resource, Stack
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_eks import GOOD
from tests.policies.plans import RULES, broken, changed, everything, judge, of

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == eks.__name__]
IT = of("prod", CLUSTER)[0]


def group(name: str) -> Resource:
    return next(one for one in of("prod", NODE_GROUP) if one.name == name)


def addon(name: str) -> Resource:
    return next(one for one in of("prod", ADDON) if one.get("addonName") == name)


@pytest.mark.parametrize("rule", MINE)
def test_the_cluster_as_it_is_breaks_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def test_a_public_api_needs_known_addresses() -> None:
    public = broken(IT, "vpcConfig.endpointPublicAccess", True)
    assert judge("eks-endpoint", public) == [
        Finding("vpcConfig.endpointPublicAccess", "is true, must be false, or publicAccessCidrs be given")
    ]
    assert judge("eks-endpoint", broken(public, "vpcConfig.publicAccessCidrs", ["192.0.2.0/24"])) == []
    opened = broken(public, "vpcConfig.publicAccessCidrs", ["192.0.2.0/24", "0.0.0.0/0"])
    assert [one.path for one in judge("eks-endpoint", opened)] == ["vpcConfig.publicAccessCidrs[1]"]


def test_an_api_that_may_be_public_is_not_verified() -> None:
    found = judge("eks-endpoint", broken(IT, "vpcConfig.endpointPublicAccess", UNKNOWN))
    assert found == [Finding("vpcConfig.endpointPublicAccess", "is not known before the update", verified=False)]


def test_a_log_type_that_is_missing_is_found() -> None:
    found = judge("eks-logs", broken(IT, "enabledClusterLogTypes", ["api", "audit"]))
    assert [one.path for one in found] == ["enabledClusterLogTypes"]
    assert not judge("eks-logs", broken(IT, "enabledClusterLogTypes", ["api", UNKNOWN]))[0].verified


def test_a_pool_is_judged_over_its_groups() -> None:
    one = group("cluster-general-a")
    assert judge("nodes-min", changed("prod", one.urn, lambda _: None)) == [
        Finding("subnetIds", "puts pool general into 2 zones, not 3", urn=group("cluster-general-b").urn)
    ]
    emptied = changed("prod", one.urn, lambda its: broken(its, "scalingConfig.minSize", 0))
    assert judge("nodes-min", emptied) == [Finding("scalingConfig.minSize", "is 0, must be at least 1", urn=one.urn)]
    assert [one.message for one in judge("nodes-min", "prod", nodes=10)] == ["leaves pool brokers 6 nodes, not 10"]


def test_one_group_over_three_zones_is_enough() -> None:
    one = group("cluster-general-a")
    spread = Resource(
        one.urn,
        one.type,
        {**one.props, "subnetIds": ["a", "b", "c"], "scalingConfig": {"minSize": 3}},
        links={"subnetIds": [its.urn for its in of("prod", SUBNET) if "private" in its.name]},
    )
    assert judge("nodes-min", Stack([spread, *of("prod", SUBNET)])) == []


def test_three_subnets_of_one_zone_are_not_three_zones() -> None:
    one = group("cluster-general-a")
    same = [Resource(its.urn, its.type, {**its.props, "availabilityZone": "us-east-1a"}) for its in of("prod", SUBNET)]
    props = {**one.props, "subnetIds": ["a", "b", "c"], "scalingConfig": {"minSize": 3}}
    spread = Resource(one.urn, one.type, props, links={"subnetIds": [its.urn for its in same[:3]]})
    assert [found.message for found in judge("nodes-min", Stack([spread, *same]))] == [
        "puts pool general into 1 zones, not 3"
    ]


def test_only_indexing_may_be_on_spot() -> None:
    assert judge("nodes-on-demand", broken(group("cluster-brokers-a"), "capacityType", "SPOT")) == [
        Finding("capacityType", "is SPOT, must be ON_DEMAND or absent")
    ]
    unlabelled = broken(group("cluster-indexing"), "labels", {})
    assert [one.path for one in judge("nodes-on-demand", unlabelled)] == ["capacityType"]
    hidden = broken(group("cluster-indexing"), "labels", UNKNOWN)
    assert [one.verified for one in judge("nodes-on-demand", hidden)] == [False]


def test_a_group_can_take_its_share_of_a_lost_zone() -> None:
    one = group("cluster-general-a")
    assert judge("nodes-spare", broken(one, "scalingConfig.maxSize", 11)) == [
        Finding("scalingConfig.maxSize", "is 11, must be at least 12: 8 are the least")
    ]
    assert judge("nodes-spare", broken(one, "scalingConfig.maxSize", 12)) == []
    assert len(judge("nodes-spare", broken(one, "scalingConfig.maxSize", 12), zones=2)) == 1


def test_nodes_in_public_subnets_are_found() -> None:
    one = group("cluster-general-a")
    public = next(its for its in of("prod", SUBNET) if its.name == "network-public-a")

    def moved(its: Resource) -> Resource:
        return Resource(its.urn, its.type, its.props, links={**its.links, "subnetIds": [public.urn]})

    assert judge("nodes-private", changed("prod", one.urn, moved)) == [
        Finding("subnetIds", "holds network-public-a, which is public", urn=one.urn)
    ]


def test_ssh_keys_are_found_on_groups_and_templates() -> None:
    assert len(judge("eks-node-exposure", broken(group("cluster-general-a"), "remoteAccess", {"ec2SshKey": "k"}))) == 1
    template = of("prod", LAUNCH_TEMPLATE)[0]
    assert [one.path for one in judge("eks-node-exposure", broken(template, "keyName", "k"))] == ["keyName"]


def test_policies_of_the_network_that_nobody_enforces_are_found() -> None:
    off = broken(addon("vpc-cni"), "configurationValues", '{"enableNetworkPolicy": "false"}')
    assert judge("eks-network-policy", off) == [
        Finding("configurationValues.enableNetworkPolicy", "is false, must be true")
    ]
    later = broken(addon("vpc-cni"), "configurationValues", UNKNOWN)
    assert [one.verified for one in judge("eks-network-policy", later)] == [False]


def test_the_name_service_has_as_many_replicas_as_is_asked_for() -> None:
    assert judge("eks-dns", addon("coredns"), replicas=3) == []
    assert [one.path for one in judge("eks-dns", addon("coredns"), replicas=4)] == [
        "configurationValues.autoScaling.minReplicas"
    ]


@settings(max_examples=150)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
