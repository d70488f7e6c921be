"""Clusters: their locks, their versions one after the other, and what EKS makes along with them."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.local.aws.cloud import AwsError
from infra.local.resource import Props
from tests.infra.local.aws.cases_eks import EKS
from tests.infra.local.aws.world import Place, World, checked, make, ref

pytestmark = pytest.mark.engine

CLUSTER = "aws:eks/cluster:Cluster"
NODES = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
CASES = {case.token: case for case in EKS}


def said(world: World, token: str, **changes: Any) -> Props:
    return {**CASES[token].inputs(world.east, world), **changes}


def groups(place: Place, name: str) -> list[dict[str, Any]]:
    filters = [{"Name": "group-name", "Values": [name]}]
    found: list[dict[str, Any]] = place.call("ec2", "DescribeSecurityGroups", Filters=filters)["SecurityGroups"]
    return found


def test_protected_cluster_is_not_deleted_and_takes_its_own_group_with_it(world: World) -> None:
    session, about = world.east.session, ref(CLUSTER, "locked")
    id, inputs, outputs = make(world.east, about, said(world, CLUSTER, name="locked"))
    (group,) = groups(world.east, "eks-cluster-sg-locked")
    assert outputs["vpcConfig"]["clusterSecurityGroupId"] == group["GroupId"]
    assert outputs["vpcConfig"]["vpcId"] == world.east.vpc
    with pytest.raises(AwsError, match="deletion protection is enabled"):
        session.delete(about, id, inputs, outputs)
    new = checked(world.east, about, {**inputs, "deletionProtection": False}, inputs)
    outputs = session.update(about, id, inputs, outputs, new, False)
    session.delete(about, id, new, outputs)
    assert groups(world.east, "eks-cluster-sg-locked") == []


def test_nothing_can_be_sent_to_the_api_server_of_a_cluster(world: World) -> None:
    _, _, outputs = make(world.east, ref(CLUSTER, "quiet"), said(world, CLUSTER, name="quiet"))
    assert str(urlsplit(outputs["endpoint"]).hostname).endswith(".us-east-1.eks.invalid")
    assert outputs["certificateAuthority"]["data"]


@pytest.mark.parametrize("version", ["1.36", "1.33"])
def test_cluster_goes_up_one_version_at_a_time(world: World, version: str) -> None:
    name = f"at-{version[2:]}"
    session, about = world.east.session, ref(CLUSTER, name)
    id, inputs, outputs = make(world.east, about, said(world, CLUSTER, name=name))
    new = checked(world.east, about, {**inputs, "version": version}, inputs)
    with pytest.raises(AwsError, match=rf"minor version update from 1\.34 to {re.escape(version)}"):
        session.update(about, id, inputs, outputs, new, False)


def test_nodes_are_never_newer_than_their_cluster(world: World) -> None:
    session, about = world.east.session, ref(NODES, "eager")
    id, inputs, outputs = make(world.east, about, said(world, NODES))
    new = checked(world.east, about, {**inputs, "version": "1.35"}, inputs)
    with pytest.raises(AwsError, match=r"version 1\.35 is above the cluster's 1\.34"):
        session.update(about, id, inputs, outputs, new, False)
    with pytest.raises(AwsError, match="Cluster has nodegroups attached"):
        world.east.call("eks", "DeleteCluster", name=world.east.cluster)
    session.delete(about, id, inputs, outputs)


def test_cluster_needs_two_zones(world: World) -> None:
    subnets = [world.east.subnets[0], world.east.subnet("10.0.90.0/24", "a")]
    with pytest.raises(AwsError, match="at least two different AZs"):
        make(world.east, ref(CLUSTER, "flat"), said(world, CLUSTER, name="flat", vpcConfig={"subnetIds": subnets}))
    with pytest.raises(AwsError, match="subnet ID does not exist"):
        make(world.east, ref(CLUSTER, "lost"), said(world, CLUSTER, name="lost", vpcConfig={"subnetIds": ["a", "b"]}))
    assert not {"flat", "lost"} & {*world.east.call("eks", "ListClusters")["clusters"]}


@pytest.mark.parametrize(
    ("changes", "replaced"),
    [
        ({"version": "1.35", "deletionProtection": False}, set()),
        ({"bootstrapSelfManagedAddons": True}, {"bootstrapSelfManagedAddons"}),
        ({"encryptionConfig": None}, {"encryptionConfig"}),
        (
            {"kubernetesNetworkConfig": {"ipFamily": "ipv4", "serviceIpv4Cidr": "172.21.0.0/16"}},
            {"kubernetesNetworkConfig.serviceIpv4Cidr"},
        ),
    ],
)
def test_what_replaces_a_cluster(world: World, changes: Props, replaced: set[str]) -> None:
    about = ref(CLUSTER, "cluster")
    old = checked(world.east, about, said(world, CLUSTER))
    kept = {name: value for name, value in {**said(world, CLUSTER), **changes}.items() if value is not None}
    new = checked(world.east, about, kept, old)
    diff = world.east.session.diff(about, "cluster-0badcafe", old, old, new)
    assert {change.path for change in diff.changes if change.replaces} == replaced
    assert diff.changes


def test_logs_that_are_not_wanted_any_more_go_off(world: World) -> None:
    session, about = world.east.session, ref(CLUSTER, "logs")
    id, inputs, outputs = make(world.east, about, said(world, CLUSTER, name="logs"))
    new = checked(world.east, about, {**inputs, "enabledClusterLogTypes": ["audit"]}, inputs)
    session.update(about, id, inputs, outputs, new, False)
    setup = world.east.call("eks", "DescribeCluster", name=id)["cluster"]["logging"]["clusterLogging"]
    assert {(kind, item["enabled"]) for item in setup for kind in item["types"]} == {("audit", True), ("api", False)}


def test_secrets_can_be_encrypted_later(world: World) -> None:
    session, about = world.east.session, ref(CLUSTER, "plain")
    plain = {name: value for name, value in said(world, CLUSTER, name="plain").items() if name != "encryptionConfig"}
    id, inputs, outputs = make(world.east, about, plain)
    new = checked(world.east, about, said(world, CLUSTER, name="plain"), inputs)
    outputs = session.update(about, id, inputs, outputs, new, False)
    state = session.read(about, id, new, outputs)
    assert state is not None
    assert state.inputs == new


def test_each_change_of_a_launch_template_is_a_version_that_becomes_the_default(world: World) -> None:
    session, about = world.east.session, ref(TEMPLATE, "nodes")
    id, inputs, outputs = make(world.east, about, said(world, TEMPLATE))
    assert (outputs["latestVersion"], outputs["defaultVersion"]) == (1, 1)
    new = checked(world.east, about, {**inputs, "monitoring": {"enabled": False}}, inputs)
    outputs = session.update(about, id, inputs, outputs, new, False)
    assert (outputs["latestVersion"], outputs["defaultVersion"]) == (2, 2)
    tagged = checked(world.east, about, {**new, "tags": {"a": "b"}}, new)
    assert session.update(about, id, new, outputs, tagged, False)["latestVersion"] == 2


RECORDED: dict[str, tuple[Props, str]] = {
    "aws:eks/addon:Addon": (
        {
            "clusterName": "some",
            "addonName": "vpc-cni",
            "addonVersion": "v1.22.4-eksbuild.3",
            "configurationValues": '{"enableNetworkPolicy": "true"}',
            "podIdentityAssociations": [{"serviceAccount": "aws-node", "roleArn": "arn:aws:iam::123456789012:role/a"}],
            "resolveConflictsOnCreate": "OVERWRITE",
            "resolveConflictsOnUpdate": "OVERWRITE",
        },
        "some:vpc-cni",
    ),
    "aws:eks/accessEntry:AccessEntry": (
        {"clusterName": "some", "principalArn": "arn:aws:iam::123456789012:role/a", "type": "STANDARD"},
        "some:arn:aws:iam::123456789012:role/a",
    ),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": (
        {
            "clusterName": "some",
            "principalArn": "arn:aws:iam::123456789012:role/a",
            "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
            "accessScope": {"type": "cluster"},
        },
        "some#arn:aws:iam::123456789012:role/a#arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": (
        {
            "clusterName": "some",
            "namespace": "docsearch",
            "serviceAccount": "search",
            "roleArn": "arn:aws:iam::123456789012:role/a",
        },
        "a-",
    ),
}


@pytest.mark.parametrize("token", RECORDED)
def test_what_moto_does_not_have_is_kept(world: World, token: str) -> None:
    inputs, id_ = RECORDED[token]
    session, about = world.east.session, ref(token)
    _, preview = session.create(about, checked(world.east, about, inputs), True)
    id, kept, outputs = make(world.east, about, inputs)
    assert id.startswith(id_)
    assert {*outputs} <= {*preview, "id"}
    state = session.read(about, id, kept, outputs)
    assert state is not None
    assert (state.inputs, state.outputs) == (kept, outputs)
    session.delete(about, id, kept, outputs)
    assert session.read(about, id, kept, outputs) is None
