"""The cluster of a region, as the engine receives it."""

import json
from typing import Any

import pulumi
import pytest

from components.alarms import Alarms, AlarmsArgs
from components.eks import Eks, EksArgs
from components.eks_plan import POOL_LABEL, Pool
from components.eks_policies import NODE_POLICY, plan_cluster_trust, plan_pod_trust, plan_volume_key_policy
from components.errors import ArgsError
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs

ACCOUNT = "012345678901"
REGION = "us-east-1"
OPERATORS = f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/operators"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:role/deployer"
CLUSTER = "aws:eks/cluster:Cluster"
NODES = "aws:eks/nodeGroup:NodeGroup"
ADDON = "aws:eks/addon:Addon"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
ENTRY = "aws:eks/accessEntry:AccessEntry"
GRANT = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
ROLE = "aws:iam/role:Role"
RIGHTS = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
POLICY = "aws:iam/rolePolicy:RolePolicy"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
OUTPUTS = {
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    CLUSTER: {"endpoint": "https://api.internal", "certificateAuthority": {"data": "Y2E="}},
    TEMPLATE: {"latestVersion": 3},
}
SPOT = ("m5.xlarge", "m6a.xlarge", "m6i.xlarge", "m7i.xlarge")


def args(*, cidr: str = "10.0.0.0/16", **changes: Any) -> EksArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=REGION, role="primary"))
    network = NetworkArgs(
        account_id=ACCOUNT,
        region=REGION,
        cidr=cidr,
        zones=("us-east-1a", "us-east-1b", "us-east-1c"),
        flow_log_key=keys["logs"],
    )
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "network": Network("network", network),
        "keys": keys,
        "alarms": Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
        "version": "1.35",
        "admin_role_arns": (OPERATORS, DEPLOYER),
        "general": Pool(instance_types=("m6i.xlarge", "m5.xlarge"), min=24, desired=42, max=84),
        "indexing": Pool(instance_types=SPOT, min=0, desired=3, max=30),
        "tags": {"owner": "search"},
    }
    return EksArgs(**(given | changes))


def outputs(cluster: Eks) -> dict[str, Any]:
    names = ("name", "arn", "endpoint", "certificate_authority_data", "kubeconfig", "node_role_arn")
    return {name: getattr(cluster, name) for name in names}


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: outputs(Eks("cluster", args())), outputs=OUTPUTS)


@pytest.fixture(scope="module")
def unlocked(recorded: Any) -> Any:
    return recorded(lambda: Eks("cluster", args(locked=False, indexing=None)), outputs=OUTPUTS)


def test_the_control_plane_is_private_encrypted_logged_and_locked(run: Any) -> None:
    assert run.one(CLUSTER).inputs == {
        "name": "cluster-0badcafe",
        "version": "1.35",
        "roleArn": "arn:aws:iam:::cluster-control-plane",
        "vpcConfig": {
            "subnetIds": ["network-private-a-id", "network-private-b-id", "network-private-c-id"],
            "securityGroupIds": ["network-control-plane-id"],
            "endpointPrivateAccess": True,
            "endpointPublicAccess": False,
        },
        "kubernetesNetworkConfig": {"ipFamily": "ipv4", "serviceIpv4Cidr": "172.20.0.0/16"},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        "bootstrapSelfManagedAddons": False,
        "encryptionConfig": {"provider": {"keyArn": "arn:aws:kms:::keys-secrets"}, "resources": ["secrets"]},
        "enabledClusterLogTypes": ["api", "audit", "authenticator", "controllerManager", "scheduler"],
        "upgradePolicy": {"supportType": "STANDARD"},
        "zonalShiftConfig": {"enabled": True},
        "deletionProtection": True,
    }
    assert run.one(CLUSTER).protect


def test_logs_are_ours_before_eks_could_make_them(run: Any) -> None:
    logs = run.one("aws:cloudwatch/logGroup:LogGroup", "cluster-control-plane")
    assert logs.inputs == {
        "name": "/aws/eks/cluster-0badcafe/cluster",
        "kmsKeyId": "arn:aws:kms:::keys-logs",
        "retentionInDays": 365,
        "deletionProtectionEnabled": True,
    }
    assert logs.protect
    assert {logs.urn, run.one(RIGHTS, "cluster-control-plane").urn} <= run.one(CLUSTER).depends_on_urns


def test_unlocked_everything_can_go(unlocked: Any) -> None:
    assert unlocked.one(CLUSTER).inputs["deletionProtection"] is False
    logs = unlocked.one("aws:cloudwatch/logGroup:LogGroup", "cluster-control-plane")
    assert logs.inputs["deletionProtectionEnabled"] is False
    assert not [r.name for r in unlocked.managed if r.protect and r.name.startswith("cluster")]


@pytest.mark.parametrize(("role", "arn"), [("operators", OPERATORS), ("deployer", DEPLOYER)])
def test_administrators_are_those_that_are_named(run: Any, role: str, arn: str) -> None:
    entry, grant = run.one(ENTRY, f"cluster-admin-{role}"), run.one(GRANT, f"cluster-admin-{role}")
    common = {"clusterName": "cluster-0badcafe", "principalArn": arn}
    assert entry.inputs == common | {"type": "STANDARD"}
    assert grant.inputs == common | {
        "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        "accessScope": {"type": "cluster"},
    }
    assert entry.urn in grant.depends_on_urns
    assert len(run.of(ENTRY)) == len(run.of(GRANT)) == 2


def test_each_zone_has_a_group_of_nodes(run: Any) -> None:
    groups = [group for group in run.of(NODES) if group.name != "cluster-indexing"]
    assert [group.inputs["subnetIds"] for group in groups] == [[f"network-private-{zone}-id"] for zone in "abc"]
    for group in groups:
        assert {name: value for name, value in group.inputs.items() if name != "subnetIds"} == {
            "clusterName": "cluster-0badcafe",
            "nodeRoleArn": "arn:aws:iam:::cluster-nodes",
            "version": "1.35",
            "amiType": "AL2023_x86_64_STANDARD",
            "capacityType": "ON_DEMAND",
            "instanceTypes": ["m6i.xlarge", "m5.xlarge"],
            "launchTemplate": {"id": "cluster-general-id", "version": "3"},
            "scalingConfig": {"minSize": 8, "desiredSize": 14, "maxSize": 28},
            "updateConfig": {"maxUnavailablePercentage": 33},
            "nodeRepairConfig": {"enabled": True},
            "labels": {POOL_LABEL: "general"},
            "taints": [],
        }


def test_indexing_has_spot_nodes_of_its_own(run: Any) -> None:
    spot = run.one(NODES, "cluster-indexing").inputs
    assert spot["capacityType"] == "SPOT"
    assert spot["instanceTypes"] == list(SPOT)
    assert spot["subnetIds"] == ["network-private-a-id", "network-private-b-id", "network-private-c-id"]
    assert spot["labels"] == {POOL_LABEL: "indexing"}
    assert spot["taints"] == [{"key": POOL_LABEL, "value": "indexing", "effect": "NO_SCHEDULE"}]
    assert spot["scalingConfig"] == {"minSize": 0, "desiredSize": 3, "maxSize": 30}


def test_a_region_without_indexing_has_no_spot_nodes(unlocked: Any) -> None:
    assert [group.name for group in unlocked.of(NODES)] == [f"cluster-general-{zone}" for zone in "abc"]
    assert [template.name for template in unlocked.of(TEMPLATE)] == ["cluster-general"]


def test_the_number_of_nodes_is_the_autoscalers(run: Any) -> None:
    assert all(group.ignore_changes == ("scalingConfig.desiredSize",) for group in run.of(NODES))


def test_what_nodes_are_made_of(run: Any) -> None:
    tags = {"owner": "search", "Name": "cluster-general"}
    assert run.one(TEMPLATE, "cluster-general").inputs == {
        "updateDefaultVersion": True,
        "blockDeviceMappings": [
            {
                "deviceName": "/dev/xvda",
                "ebs": {
                    "volumeType": "gp3",
                    "volumeSize": 100,
                    "encrypted": "true",
                    "kmsKeyId": "arn:aws:kms:::keys-data",
                    "deleteOnTermination": "true",
                },
            }
        ],
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        "monitoring": {"enabled": True},
        "vpcSecurityGroupIds": ["network-nodes-id"],
        "tagSpecifications": [
            {"resourceType": kind, "tags": tags} for kind in ("instance", "volume", "network-interface")
        ],
    }


def test_nodes_may_do_no_more_than_be_nodes(run: Any) -> None:
    attached = [r.inputs["policyArn"] for r in run.of(RIGHTS) if r.inputs["role"] == "cluster-nodes"]
    assert sorted(arn.rpartition("/")[2] for arn in attached) == [
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEKSWorkerNodeMinimalPolicy",
        "AmazonSSMManagedInstanceCore",
    ]
    assert json.loads(run.one(POLICY, "cluster-nodes").inputs["policy"]) == NODE_POLICY
    (statement,) = NODE_POLICY["Statement"]
    assert all(action.startswith("ec2:Describe") for action in statement["Action"])


def urns(run: Any, *names: str) -> set[str]:
    return {r.urn for r in run.of(ADDON) if r.name in {f"cluster-{name}" for name in names}}


FIRST = ("eks-pod-identity-agent", "vpc-cni", "kube-proxy", "eks-node-monitoring-agent")


def test_addons_and_nodes_come_in_the_order_in_which_they_need_each_other(run: Any) -> None:
    groups = {group.name: group for group in run.of(NODES)}
    for group in groups.values():
        assert urns(run, *FIRST) <= group.depends_on_urns
    for before, after in (("a", "b"), ("b", "c")):
        assert groups[f"cluster-general-{before}"].urn in groups[f"cluster-general-{after}"].depends_on_urns
    steady = {group.urn for name, group in groups.items() if name != "cluster-indexing"}
    for name in ("coredns", "aws-ebs-csi-driver", "metrics-server"):
        addon = run.one(ADDON, f"cluster-{name}")
        assert steady <= addon.depends_on_urns
        # There may be no Spot capacity for days.
        assert groups["cluster-indexing"].urn not in addon.depends_on_urns
    for name in FIRST[1:]:
        assert urns(run, FIRST[0]) <= run.one(ADDON, f"cluster-{name}").depends_on_urns


def test_addon_acts_with_a_role_of_its_own(run: Any) -> None:
    cni = run.one(ADDON, "cluster-vpc-cni")
    assert cni.inputs == {
        "clusterName": "cluster-0badcafe",
        "addonName": "vpc-cni",
        "addonVersion": "v1.22.4-eksbuild.3",
        "configurationValues": '{"enableNetworkPolicy": "true"}',
        "resolveConflictsOnCreate": "OVERWRITE",
        "resolveConflictsOnUpdate": "OVERWRITE",
        "podIdentityAssociations": [{"serviceAccount": "aws-node", "roleArn": "arn:aws:iam:::cluster-vpc-cni"}],
    }
    assert run.one(RIGHTS, "cluster-vpc-cni-AmazonEKS_CNI_Policy").urn in cni.depends_on_urns
    assert "podIdentityAssociations" not in run.one(ADDON, "cluster-kube-proxy").inputs


def test_the_volume_driver_may_use_the_keys_of_volumes(run: Any) -> None:
    policy = run.one(POLICY, "cluster-aws-ebs-csi-driver")
    its = ["arn:aws:kms:::keys-data", "arn:aws:kms:::keys-messages"]
    assert json.loads(policy.inputs["policy"]) == plan_volume_key_policy(its)
    assert all(one["Resource"] == its for one in plan_volume_key_policy(its)["Statement"])
    assert policy.urn in run.one(ADDON, "cluster-aws-ebs-csi-driver").depends_on_urns


def test_container_insights_are_there_when_asked_for(recorded: Any) -> None:
    run = recorded(lambda: Eks("cluster", args(observability=True)), outputs=OUTPUTS)
    (identity,) = run.one(ADDON, "cluster-amazon-cloudwatch-observability").inputs["podIdentityAssociations"]
    assert identity["serviceAccount"] == "cloudwatch-agent"
    trust = json.loads(run.one(ROLE, "cluster-amazon-cloudwatch-observability").inputs["assumeRolePolicy"])
    names = trust["Statement"][0]["Condition"]["StringEquals"]
    assert names["aws:RequestTag/kubernetes-namespace"] == "amazon-cloudwatch"


def test_alarms_are_about_this_cluster(run: Any) -> None:
    alarms = [r for r in run.of(ALARM) if r.name.startswith("cluster-")]
    assert len(alarms) == 7
    pending = run.one(ALARM, "cluster-many-pods-pending").inputs
    assert pending["namespace"] == "AWS/EKS"
    assert pending["dimensions"] == {"ClusterName": "cluster-0badcafe"}
    assert pending["alarmActions"] == ["arn:aws:sns:::alarms-page"]


def test_outputs(run: Any) -> None:
    kubeconfig = json.loads(run.result.pop("kubeconfig"))
    assert run.result == {
        "name": "cluster-0badcafe",
        "arn": "arn:aws:eks:::cluster",
        "endpoint": "https://api.internal",
        "certificate_authority_data": "Y2E=",
        "node_role_arn": "arn:aws:iam:::cluster-nodes",
    }
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://api.internal"


def test_children_belong_to_their_component(run: Any) -> None:
    owned = [r for r in run.managed if r.name.startswith("cluster")]
    assert all(r.parent.endswith("docsearch:eks:Eks::cluster") for r in owned)


def test_pods_of_another_component_get_a_role(recorded: Any) -> None:
    def program() -> pulumi.Output[str]:
        cluster = Eks("cluster", args())
        owner = pulumi.ComponentResource("docsearch:test:Owner", "owner")
        document = pulumi.Output.from_input('{"Statement": []}')
        association = cluster.pod_role(
            "search", namespace="docsearch", service_account="search", policy=document, parent=owner
        )
        return association.role_arn

    run = recorded(program, outputs=OUTPUTS)
    association = run.one(ASSOCIATION, "search")
    assert association.inputs == {
        "clusterName": "cluster-0badcafe",
        "namespace": "docsearch",
        "serviceAccount": "search",
        "roleArn": "arn:aws:iam:::search",
    }
    assert association.parent.endswith("docsearch:test:Owner::owner")
    policy = run.one(POLICY, "search")
    assert policy.inputs["policy"] == '{"Statement": []}'
    assert policy.urn in association.depends_on_urns
    trust = json.loads(run.one(ROLE, "search").inputs["assumeRolePolicy"])
    assert trust == plan_pod_trust("cluster", "docsearch", "search", account_id=ACCOUNT, region=REGION)
    assert run.result == "arn:aws:iam:::search"


def test_roles_are_for_this_cluster_alone() -> None:
    (pods,) = plan_pod_trust("cluster", "a", "b", account_id=ACCOUNT, region=REGION)["Statement"]
    assert pods["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert pods["Condition"]["StringEquals"] == {
        "aws:SourceAccount": ACCOUNT,
        "aws:RequestTag/kubernetes-namespace": "a",
        "aws:RequestTag/kubernetes-service-account": "b",
    }
    (plane,) = plan_cluster_trust("cluster", account_id=ACCOUNT, region=REGION)["Statement"]
    for statement in (pods, plane):
        assert statement["Condition"]["ArnLike"] == {
            "aws:SourceArn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/cluster-*"
        }


def test_release_is_pinned_when_it_is_given(recorded: Any) -> None:
    run = recorded(lambda: Eks("cluster", args(release_version="1.35.2-20261019")), outputs=OUTPUTS)
    assert {group.inputs["releaseVersion"] for group in run.of(NODES)} == {"1.35.2-20261019"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"account_id": "1"},
            (
                "account_id is '1': an AWS account id is 12 digits. Quote it in the stack file, so that YAML keeps a "
                "leading zero."
            ),
        ),
        (
            {"cidr": "172.20.0.0/16"},
            (
                "the network is 172.20.0.0/16: Services have 172.20.0.0/16, and EKS refuses a cluster where the two "
                "overlap. Give the region another /16."
            ),
        ),
        (
            {"admin_role_arns": ()},
            (
                "admin_role_arns is empty: whoever creates the cluster gets no right in it, so nobody could ever "
                "enter. Name the operators' role and the one that deploys."
            ),
        ),
        (
            {"admin_role_arns": (f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/me",)},
            (
                f"admin_role_arns names 'arn:aws:sts::{ACCOUNT}:assumed-role/deployer/me': it is not the ARN of an IAM "
                "role. Write it like arn:aws:iam::123456789012:role/operators, with its path if it has one."
            ),
        ),
        (
            {"admin_role_arns": (DEPLOYER, f"arn:aws:iam::{ACCOUNT}:role/ci/deployer")},
            "admin_role_arns names two roles deployer: an access entry is named after one.",
        ),
        ({"volume_gib": 19}, "volume_gib is 19: a node's gp3 volume has 20 to 65536 GiB."),
        (
            {"release_version": "1.34.2-20261019"},
            (
                "release_version is '1.34.2-20261019': an image for Kubernetes 1.35 is named 1.35.<patch>-<date>. "
                "Take one from the releases of the EKS optimized AMI."
            ),
        ),
        ({"max_unavailable_percent": 0}, "max_unavailable_percent is 0: EKS takes 1 to 100."),
        (
            {"log_retention_days": 2},
            (
                "log_retention_days is 2: CloudWatch Logs keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, "
                "365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653 days."
            ),
        ),
        (
            {"version": "1.30"},
            (
                "kubernetes version is '1.30': add-on versions are known for 1.34, 1.35, 1.36. Add its row to "
                "ADDON_VERSIONS from `aws eks describe-addon-versions --kubernetes-version`."
            ),
        ),
        (
            {"general": Pool(instance_types=("m6i.xlarge",), min=24, desired=40, max=84)},
            (
                "general nodes: desired is 40: 3 zones do not divide it, and each gets as many as the others. "
                "Take 39 or 42."
            ),
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes), outputs=OUTPUTS)
    assert str(error.value) == message
