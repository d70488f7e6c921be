"""What registers pods in the load balancer's target groups: the AWS Load Balancer Controller, for that and no more.

The load balancer itself, its listeners and its security groups are the program's own (`components.ingress`,
`components.network_plan`). So the controller may neither make nor change any of them: it watches one namespace for
`TargetGroupBinding`, and its role can register and deregister in the target groups that it is given.

It runs without its webhooks. They would fill in what a binding leaves out (ours leave nothing out), put readiness gates
into pods (`components.search_service_plan` writes them), and refuse pods of the whole cluster while the controller is
down. It still insists on a certificate for them. It gets one that nobody trusts: made from a random value in the state,
valid for longer than anyone will look at it, and behind a network policy that lets no connection in.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes
import pulumi_random as random
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from pulumi_kubernetes.apiextensions.v1 import CustomResourceDefinitionSpecArgsDict, JSONSchemaPropsArgsDict
from pulumi_kubernetes.core.v1 import ContainerArgsDict, PodSpecArgsDict
from pulumi_kubernetes.rbac.v1 import PolicyRuleArgsDict

from components import target_group_crd
from components.controller import LOOK, Controller, plan_binding, plan_pod
from components.eks import Eks
from components.errors import ArgsError
from components.kms import Policy
from components.network import Network
from components.pods import DNS_LABEL, check_image

#: Its namespace, and its objects in it.
NAME = "load-balancer-controller"
#: The lock by which one pod of it works at a time.
LEADER = f"{NAME}-leader"
#: What it may do in a namespace that it watches: bound there, by whoever makes the namespace (`plan_watch`).
WATCHER = f"{NAME}-watcher"
#: The Secret with its certificate.
CERTIFICATE = f"{NAME}-certificate"

#: With one zone lost and one pod being replaced, one is left.
REPLICAS = 3

#: Where it answers probes (AWS Load Balancer Controller, "Controller command line flags").
PROBE_PORT = 61779

CERTIFICATES = "/etc/serving-certificates"

#: All that it could do beside binding target groups, switched off (same page, "Feature Gates").
GATES = ("EnableServiceController", "GlobalAcceleratorController", "NLBGatewayAPI", "ALBGatewayAPI")


@dataclass(frozen=True, kw_only=True)
class LoadBalancerControllerArgs:
    """What the controller of a region needs.

    Attributes:
        image: The controller's image (3.0 or newer), pinned by digest.
        network: Gives the VPC.
        cluster: Where it runs, and who gives it its role.
        target_groups: ARNs of the target groups that it may register in.
        namespace: The one that it watches, where `TargetGroupBinding` objects are.

    Raises:
        ArgsError: A plain value cannot work.
    """

    image: str
    network: Network
    cluster: Eks
    target_groups: Sequence[pulumi.Input[str]]
    namespace: str = "docsearch"

    def __post_init__(self) -> None:
        check_image(self.image)
        if not self.target_groups:
            raise ArgsError("target_groups are none", why="the controller would have nothing to do")
        if not re.fullmatch(DNS_LABEL, self.namespace):
            raise ArgsError(f"namespace is {self.namespace!r}", why="it must be a DNS label")
        if self.namespace == NAME:
            raise ArgsError(f"namespace is {NAME!r}", why="it is the controller's own")


class LoadBalancerController(pulumi.ComponentResource):
    """The controller in one cluster. Whatever is to be registered depends on the whole of it.

    Attributes:
        namespace: Where it runs.
    """

    namespace: str = NAME

    def __init__(self, name: str, args: LoadBalancerControllerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:load_balancer_controller:LoadBalancerController", name, None, opts)
        network = args.network
        controller = Controller(
            self,
            name,
            NAME,
            network=network,
            cluster=args.cluster,
            policy=pulumi.Output.all(*args.target_groups).apply(
                lambda arns: json.dumps(plan_registration(arns), sort_keys=True)
            ),
            rules=CLUSTER_RULES,
        )
        controller.allow(f"{name}-leader", LEADER, LEADER_RULES)
        alone = pulumi.ResourceOptions(parent=self)
        watcher = kubernetes.rbac.v1.ClusterRole(
            f"{name}-watcher", metadata={"name": WATCHER}, rules=WATCHER_RULES, opts=alone
        )
        definitions = [
            kubernetes.apiextensions.v1.CustomResourceDefinition(
                f"{name}-{plural}", metadata={"name": f"{plural}.{target_group_crd.GROUP}"}, spec=spec, opts=alone
            )
            for plural, spec in plan_definitions().items()
        ]
        seed = random.RandomPassword(f"{name}-certificate", length=64, special=False, opts=alone)
        certificate = kubernetes.core.v1.Secret(
            f"{name}-certificate",
            metadata=controller.metadata(CERTIFICATE),
            type="kubernetes.io/tls",
            string_data=seed.result.apply(self_signed),
            opts=controller.child(),
        )
        flags: list[pulumi.Input[str]] = [
            pulumi.Output.concat("--cluster-name=", args.cluster.name),
            pulumi.Output.concat("--aws-vpc-id=", network.vpc_id),
            *plan_flags(region=network.region, namespace=args.namespace),
        ]
        container: ContainerArgsDict = {
            "name": "controller",
            "image": args.image,
            "args": flags,
            "volume_mounts": [{"name": "certificate", "mount_path": CERTIFICATES, "read_only": True}],
        }
        pod: PodSpecArgsDict = {
            **plan_pod(NAME, container, memory="256Mi", port=PROBE_PORT, ready="/readyz", live="/healthz"),
            "volumes": [{"name": "certificate", "secret": {"secret_name": CERTIFICATE}}],
        }
        controller.run(pod, replicas=REPLICAS, after=[watcher, *definitions, certificate])
        self.register_outputs({"namespace": self.namespace})


def plan_definitions() -> dict[str, CustomResourceDefinitionSpecArgsDict]:
    """The specs of its CustomResourceDefinitions, by plural."""
    kinds = (
        (target_group_crd.KIND, target_group_crd.PLURAL, "Namespaced", target_group_crd.SCHEMA),
        (
            target_group_crd.PARAMETERS_KIND,
            target_group_crd.PARAMETERS_PLURAL,
            "Cluster",
            target_group_crd.PARAMETERS_SCHEMA,
        ),
    )
    return {
        plural: {
            "group": target_group_crd.GROUP,
            "scope": scope,
            "names": {"kind": kind, "list_kind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": target_group_crd.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"open_apiv3_schema": cast("JSONSchemaPropsArgsDict", schema)},
                    # It writes there how far it has come.
                    "subresources": {"status": {}},
                }
            ],
        }
        for kind, plural, scope, schema in kinds
    }


CHANGE = ["patch", "update"]

#: In the whole cluster: what belongs to no namespace.
CLUSTER_RULES: list[PolicyRuleArgsDict] = [
    {"api_groups": [""], "resources": ["namespaces", "nodes"], "verbs": LOOK},
    {"api_groups": ["networking.k8s.io"], "resources": ["ingressclasses"], "verbs": LOOK},
    {"api_groups": [target_group_crd.GROUP], "resources": [target_group_crd.PARAMETERS_PLURAL], "verbs": LOOK},
]

#: In a namespace that it watches.
WATCHER_RULES: list[PolicyRuleArgsDict] = [
    {"api_groups": [""], "resources": ["endpoints", "pods", "services"], "verbs": LOOK},
    {"api_groups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": LOOK},
    {"api_groups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": LOOK},
    # A pod's readiness gate is a condition in its status.
    {"api_groups": [""], "resources": ["pods/status"], "verbs": CHANGE},
    {"api_groups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"api_groups": [target_group_crd.GROUP], "resources": [target_group_crd.PLURAL], "verbs": [*LOOK, *CHANGE]},
    {"api_groups": [target_group_crd.GROUP], "resources": [f"{target_group_crd.PLURAL}/status"], "verbs": CHANGE},
]

#: In its own namespace: who of its pods works.
LEADER_RULES: list[PolicyRuleArgsDict] = [
    {"api_groups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "api_groups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resource_names": [LEADER],
        "verbs": ["get", *CHANGE],
    },
    {"api_groups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]


def plan_watch() -> dict[str, Any]:
    """What lets the controller work in a namespace: ``role_ref`` and ``subjects`` of a binding there."""
    return plan_binding("ClusterRole", WATCHER, to=NAME)


def plan_registration(target_groups: Sequence[str]) -> Policy:
    """What it may do in AWS: register pods in these target groups, and look at what it needs for that.

    Describing cannot be limited to a resource (Service authorization reference, "Elastic Load Balancing V2", "EC2").
    """
    look = [
        "ec2:DescribeInstances",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeVpcs",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
    ]
    register = ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Look", "Effect": "Allow", "Action": look, "Resource": ["*"]},
            {"Sid": "Register", "Effect": "Allow", "Action": register, "Resource": list(target_groups)},
        ],
    }


def plan_flags(*, region: str, namespace: str) -> list[str]:
    """What the controller is told, beside its cluster and VPC: without these two it would ask a node's metadata."""
    return [
        f"--aws-region={region}",
        f"--watch-namespace={namespace}",
        f"--leader-election-id={LEADER}",
        f"--webhook-cert-dir={CERTIFICATES}",
        # Web ACLs are attached by the program; a controller that may not look at them would fail.
        "--enable-shield=false",
        "--enable-waf=false",
        "--enable-wafv2=false",
        f"--feature-gates={','.join(f'{gate}=false' for gate in GATES)}",
    ]


def self_signed(seed: str) -> Mapping[str, str]:
    """A certificate that nobody has to trust, and its key: data of a Secret, the same whenever it is made.

    Args:
        seed: What the key is made from: as hard to guess as the key is to be.
    """
    digest = hashlib.sha256(seed.encode()).digest()
    key = Ed25519PrivateKey.from_private_bytes(digest)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(digest).digest()[:8]) | 1)
        .not_valid_before(parsedate_to_datetime("Thu, 01 Jan 2026 00:00:00 +0000"))
        .not_valid_after(parsedate_to_datetime("Fri, 01 Jan 2100 00:00:00 +0000"))
        .sign(key, algorithm=None)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"tls.crt": certificate.public_bytes(serialization.Encoding.PEM).decode(), "tls.key": private.decode()}
