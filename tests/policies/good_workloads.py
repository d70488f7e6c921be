"""What is good about pods and the objects around them."""

from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

DEPLOYMENT: Final = "kubernetes:apps/v1:Deployment"
RABBITMQ: Final = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"
AUTOSCALER: Final = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
BUDGET: Final = "kubernetes:policy/v1:PodDisruptionBudget"
SERVICE: Final = "kubernetes:core/v1:Service"
ACCOUNT: Final = "kubernetes:core/v1:ServiceAccount"
NAMESPACE: Final = "kubernetes:core/v1:Namespace"
SECRET: Final = "kubernetes:core/v1:Secret"
CONFIG_MAP: Final = "kubernetes:core/v1:ConfigMap"
NETWORK_POLICY: Final = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
TARGETS: Final = "kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding"
RBAC: Final = "kubernetes:rbac.authorization.k8s.io/v1"

POD: Final = "spec.template.spec"
CONTAINER: Final = f"{POD}.containers[*]"
OVERRIDE: Final = "spec.override.statefulSet.spec.template.spec"

IMAGE: Final = "123456789012.dkr.ecr.us-east-1.amazonaws.com/docsearch/search"
DIGEST: Final = f"@sha256:{'0' * 64}"


def served(resource: Resource) -> bool:
    """What a Service reaches: the parts of the application."""
    return bool(resource.get("metadata.namespace") == "docsearch")


def controller(resource: Resource) -> bool:
    return not served(resource)


def closing(resource: Resource) -> bool:
    return bool(resource.get("metadata.name") == "deny-all")


def to_everywhere(resource: Resource) -> bool:
    return "0.0.0.0/0" in str(resource.get("spec.egress"))


def with_(key: str, value: Any) -> Any:
    """Changes one entry of a map whose keys hold dots."""
    return lambda good: {**good, key: value}


def without(key: str) -> Any:
    return lambda good: {name: value for name, value in good.items() if name != key}


def more(*items: Any) -> Any:
    return lambda good: [*good, *items]


SECURITY: Final = tuple(
    Good(DEPLOYMENT, f"{where}.{path}", "k8s-security-context", to=to, unknown=unknown)
    for where, path, to, unknown in (
        (f"{CONTAINER}.securityContext", "allowPrivilegeEscalation", (GONE, True, None, "false"), True),
        (f"{CONTAINER}.securityContext", "readOnlyRootFilesystem", (GONE, False, None), True),
        (f"{CONTAINER}.securityContext", "runAsNonRoot", (False, "true"), True),
        (f"{CONTAINER}.securityContext", "capabilities", (GONE, {}, {"drop": ["NET_RAW"]}), False),
        (f"{CONTAINER}.securityContext", "capabilities.drop", (GONE, [], ["NET_RAW"], ["all"]), True),
        (f"{CONTAINER}.securityContext", "capabilities", (with_("add", ["SYS_ADMIN"]), with_("add", ["ALL"])), False),
        (f"{POD}.securityContext", "runAsNonRoot", (False,), True),
        (f"{POD}.securityContext", "runAsUser", (0, -1, "0"), True),
        (f"{POD}.securityContext", "seccompProfile", (GONE, {"type": "Unconfined"}), False),
        (f"{POD}.securityContext", "seccompProfile.type", (GONE, "Unconfined", ""), True),
    )
) + tuple(
    Good(DEPLOYMENT, path, "k8s-security-context", to=tuple(with_(key, bad) for bad in values), unknown=False)
    for path, key, values in (
        (f"{CONTAINER}.securityContext", "privileged", (True,)),
        (f"{CONTAINER}.securityContext", "procMount", ("Unmasked",)),
        (f"{CONTAINER}.securityContext", "runAsUser", (0,)),
        (f"{CONTAINER}.securityContext", "seccompProfile", ({"type": "Unconfined"},)),
        (f"{CONTAINER}.securityContext", "appArmorProfile", ({"type": "Unconfined"},)),
        (f"{CONTAINER}.securityContext", "seLinuxOptions", ({"type": "spc_t"}, {"user": "root"}, {"role": "sysadm_r"})),
        (f"{CONTAINER}.securityContext", "windowsOptions", ({"hostProcess": True},)),
        (f"{POD}.securityContext", "sysctls", ([{"name": "kernel.msgmax", "value": "65536"}],)),
        (f"{POD}.securityContext", "appArmorProfile", ({"type": "Unconfined"},)),
        (f"{POD}.securityContext", "seLinuxOptions", ({"type": "spc_t"},)),
        (f"{POD}.securityContext", "windowsOptions", ({"hostProcess": True},)),
    )
)

HOST: Final = (
    *(
        Good(DEPLOYMENT, POD, "k8s-host-access", to=(with_(name, True),), unknown=False)
        for name in ("hostNetwork", "hostPID", "hostIPC")
    ),
    Good(
        DEPLOYMENT,
        f"{POD}.volumes",
        "k8s-host-access",
        to=(
            more({"name": "node", "hostPath": {"path": "/"}}),
            more({"name": "share", "nfs": {"server": "10.0.0.9", "path": "/"}}),
            more({"name": "old", "awsElasticBlockStore": {"volumeID": "vol-1"}}),
        ),
        unknown=False,
    ),
    Good(DEPLOYMENT, f"{CONTAINER}.ports[*]", "k8s-host-access", to=(with_("hostPort", 8080),), unknown=False),
    Good(
        DEPLOYMENT,
        f"{CONTAINER}.livenessProbe.httpGet",
        "k8s-host-access",
        to=(with_("host", "10.0.0.9"),),
        unknown=False,
    ),
    Good(DEPLOYMENT, f"{CONTAINER}.readinessProbe.httpGet", "k8s-host-access", to=(with_("host", "x"),), unknown=False),
    Good(RABBITMQ, OVERRIDE, "k8s-host-access", to=(with_("hostNetwork", True), with_("hostPID", True)), unknown=False),
    Good(
        RABBITMQ,
        f"{OVERRIDE}.containers",
        "k8s-security-context",
        to=([{"name": "rabbitmq", "securityContext": {"privileged": True}}],),
        unknown=False,
    ),
)

PODS: Final = (
    Good(DEPLOYMENT, f"{CONTAINER}.readinessProbe", "k8s-probes", to=(GONE, None, {}, {"periodSeconds": 5})),
    Good(DEPLOYMENT, f"{CONTAINER}.livenessProbe", "k8s-probes", to=(GONE, None, {}, {"periodSeconds": 5})),
    Good(DEPLOYMENT, f"{CONTAINER}.resources", "k8s-resources", to=(GONE, {})),
    Good(DEPLOYMENT, f"{CONTAINER}.resources.requests.cpu", "k8s-resources", to=(GONE, "0", "0m", 0, "much")),
    Good(DEPLOYMENT, f"{CONTAINER}.resources.requests.memory", "k8s-resources", to=(GONE, "0", "0Mi", "")),
    Good(DEPLOYMENT, f"{CONTAINER}.resources.limits.memory", "k8s-resources", to=(GONE, "0", None)),
    Good(DEPLOYMENT, f"{POD}.volumes[*].emptyDir.sizeLimit", "k8s-resources", to=(GONE, "0")),
    Good(
        DEPLOYMENT,
        f"{CONTAINER}.image",
        "k8s-image-digest",
        to=(f"{IMAGE}:1.2", IMAGE, f"{IMAGE}:latest", f"{IMAGE}@sha256:{'0' * 63}"),
    ),
    Good(
        DEPLOYMENT,
        f"{CONTAINER}.image",
        "k8s-image-registry",
        to=(f"docker.io/library/search{DIGEST}", f"ghcr.io/{IMAGE}{DIGEST}", f"public.ecr.aws/x/search{DIGEST}"),
        unknown=False,
    ),
    Good(DEPLOYMENT, f"{POD}.topologySpreadConstraints", "k8s-spread", to=(GONE, []), unknown=False),
    Good(
        DEPLOYMENT, f"{POD}.topologySpreadConstraints[0].topologyKey", "k8s-spread", to=("kubernetes.io/hostname", "x")
    ),
    Good(
        DEPLOYMENT, f"{POD}.topologySpreadConstraints[0].whenUnsatisfiable", "k8s-spread", to=("ScheduleAnyway", GONE)
    ),
    Good(DEPLOYMENT, f"{POD}.topologySpreadConstraints[0].maxSkew", "k8s-spread", to=(2, 100, 0, GONE)),
    Good(DEPLOYMENT, f"{POD}.topologySpreadConstraints[0].nodeTaintsPolicy", "k8s-spread", to=("Ignore", GONE)),
    Good(
        DEPLOYMENT,
        f"{POD}.topologySpreadConstraints[0].labelSelector",
        "k8s-spread",
        to=(GONE, {"matchLabels": {"app.kubernetes.io/name": "other"}}),
    ),
)

WORKLOADS: Final = (
    Good(DEPLOYMENT, "spec.replicas", "k8s-replicas-pdb", to=(0, 1), where=controller),
    Good(DEPLOYMENT, "spec.replicas", "k8s-replicas-pdb", to=(0, 1, 2), where=served),
    Good(DEPLOYMENT, "spec.replicas", "k8s-replicas-pdb", to=(GONE,), where=controller, unknown=False),
    Good(AUTOSCALER, "spec.minReplicas", "k8s-replicas-pdb", to=(GONE, 1, 2)),
    Good(AUTOSCALER, "spec.maxReplicas", "k8s-autoscaling", to=(GONE, 1, 12)),
    Good(AUTOSCALER, "spec.scaleTargetRef.name", "k8s-autoscaling", to=("other", GONE)),
    Good(AUTOSCALER, "spec.scaleTargetRef.kind", "k8s-autoscaling", to=("StatefulSet", GONE)),
    Good(AUTOSCALER, "", "k8s-autoscaling"),
    Good(BUDGET, "", "k8s-replicas-pdb"),
    Good(BUDGET, "spec.maxUnavailable", "k8s-replicas-pdb", to=(GONE, 0, "0%", "100%", 100)),
    Good(BUDGET, "spec.selector", "k8s-replicas-pdb", to=(GONE, {"matchLabels": {"app.kubernetes.io/name": "other"}})),
    Good(BUDGET, "spec", "k8s-replicas-pdb", to=(with_("minAvailable", 1),), unknown=False),
    Good(
        BUDGET,
        "spec",
        "k8s-replicas-pdb",
        to=(lambda good: {"selector": good["selector"], "minAvailable": "100%"},),
        unknown=False,
    ),
    Good(
        SERVICE,
        "spec.selector",
        "k8s-service-target",
        to=(GONE, {}, {"app.kubernetes.io/name": "other"}),
        unknown=False,
    ),
    Good(SERVICE, "", "k8s-service-target", where=lambda one: one.get("metadata.name") in ("search", "document")),
    Good(TARGETS, "spec.serviceRef.name", "k8s-service-target", to=("other", GONE)),
    Good(TARGETS, "spec.serviceRef.port", "k8s-service-target", to=(81, GONE)),
    Good(DEPLOYMENT, f"{POD}.terminationGracePeriodSeconds", "k8s-grace", to=(GONE, 0, 10, 30, 44), where=served),
    Good(DEPLOYMENT, f"{CONTAINER}.lifecycle", "k8s-grace", to=(GONE, {}), where=served),
    Good(DEPLOYMENT, f"{CONTAINER}.lifecycle.preStop", "k8s-grace", to=(GONE, {}), where=served),
    Good(DEPLOYMENT, f"{CONTAINER}.lifecycle.preStop.sleep.seconds", "k8s-grace", to=(0, 1), where=served),
    Good(DEPLOYMENT, f"{POD}.automountServiceAccountToken", "k8s-automount", to=(GONE, True), where=served),
    Good(DEPLOYMENT, f"{POD}.automountServiceAccountToken", "k8s-automount", to=(GONE,), where=controller),
    Good(DEPLOYMENT, f"{POD}.serviceAccountName", "k8s-automount", to=(GONE, "default", "")),
    Good(ACCOUNT, "automountServiceAccountToken", "k8s-automount", to=(GONE, True)),
    Good(NETWORK_POLICY, "", "k8s-network-policy", where=closing),
    Good(
        NETWORK_POLICY, "spec.policyTypes", "k8s-network-policy", to=(GONE, [], ["Ingress"], ["Egress"]), where=closing
    ),
    Good(
        NETWORK_POLICY, "spec.podSelector", "k8s-network-policy", to=({"matchLabels": {"app": "one"}},), where=closing
    ),
)

OBJECTS: Final = (
    Good(NETWORK_POLICY, "spec", "k8s-network-open", to=(with_("ingress", [{}]), with_("egress", [{}])), unknown=False),
    Good(NETWORK_POLICY, "spec.egress[*]", "k8s-network-open", to=({},)),
    Good(NETWORK_POLICY, "spec.egress[*].to", "k8s-network-open", to=(GONE, [], [{}], [{"namespaceSelector": {}}])),
    Good(NETWORK_POLICY, "spec.egress[*].ports", "k8s-network-open", to=(GONE, [])),
    Good(
        NETWORK_POLICY,
        "spec.ingress[*].from",
        "k8s-network-open",
        to=(GONE, [], [{"ipBlock": {"cidr": "0.0.0.0/0"}}], [{"ipBlock": {"cidr": "::/0"}}]),
    ),
    Good(NETWORK_POLICY, "spec.ingress[*].ports", "k8s-network-open", to=(GONE, [])),
    Good(
        NETWORK_POLICY,
        "spec.egress[*].to[*].ipBlock.cidr",
        "k8s-network-open",
        to=("::/0",),
        where=lambda one: not to_everywhere(one),
    ),
    Good(NETWORK_POLICY, "spec.egress[*].to[*].ipBlock.except", "k8s-network-open", to=(GONE, [], ["10.0.0.0/8"])),
    Good(SERVICE, "spec.type", "k8s-service-exposure", to=("LoadBalancer", "NodePort", "ExternalName")),
    Good(SERVICE, "spec", "k8s-service-exposure", to=(with_("externalIPs", ["198.51.100.7"]),), unknown=False),
    Good(
        NAMESPACE,
        "metadata.labels",
        "k8s-namespace-psa",
        to=(
            GONE,
            {},
            with_("pod-security.kubernetes.io/enforce", "baseline"),
            with_("pod-security.kubernetes.io/enforce", "privileged"),
            with_("pod-security.kubernetes.io/enforce-version", "v1.24"),
            without("pod-security.kubernetes.io/enforce"),
        ),
    ),
    *(
        Good(f"{RBAC}:{kind}", f"rules[*].{name}", "k8s-rbac", to=(["*"], more("*"), more("deployments/*")))
        for kind in ("Role", "ClusterRole")
        for name in ("apiGroups", "resources", "verbs")
    ),
    *(
        Good(
            f"{RBAC}:{kind}",
            "rules[*].verbs",
            "k8s-rbac",
            to=(more("escalate"), more("bind"), more("impersonate")),
            unknown=False,
        )
        for kind in ("Role", "ClusterRole")
    ),
    Good(
        f"{RBAC}:ClusterRole",
        "rules",
        "k8s-rbac",
        to=(
            *(
                more({"apiGroups": [group], "resources": [name], "verbs": [verb]})
                for group, name, verb in (
                    ("", "secrets", "list"),
                    ("", "secrets", "get"),
                    ("", "pods", "create"),
                    ("", "pods/exec", "create"),
                    ("", "nodes/proxy", "get"),
                    ("", "serviceaccounts/token", "create"),
                    ("apps", "daemonsets", "patch"),
                    ("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
                    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "update"),
                    ("certificates.k8s.io", "certificatesigningrequests/approval", "update"),
                )
            ),
            more({"nonResourceURLs": ["*"], "verbs": ["get"]}),
        ),
        unknown=False,
    ),
    *(
        Good(f"{RBAC}:{kind}", "roleRef.name", "k8s-rbac", to=("cluster-admin", "admin", "edit"))
        for kind in ("RoleBinding", "ClusterRoleBinding")
    ),
    *(
        Good(
            f"{RBAC}:{kind}",
            "subjects",
            "k8s-rbac",
            to=(
                more({"kind": "Group", "name": "system:authenticated"}),
                more({"kind": "User", "name": "somebody"}),
                more({"kind": "ServiceAccount", "name": "default", "namespace": "docsearch"}),
            ),
            unknown=False,
        )
        for kind in ("RoleBinding", "ClusterRoleBinding")
    ),
    Good(SECRET, "stringData", "k8s-secret-plain", to=({"tls.key": "plain", "tls.crt": "plain"},), unknown=True),
    Good(
        CONFIG_MAP,
        "data",
        "k8s-secret-plain",
        to=(
            with_("DATABASE_PASSWORD", "hunter2"),
            with_("file", "-----BEGIN RSA PRIVATE KEY-----"),
            with_("x", "AKIA" + "A" * 16),
        ),
        unknown=False,
    ),
    Good(
        DEPLOYMENT,
        f"{CONTAINER}.env",
        "k8s-secret-plain",
        to=(more({"name": "CACHE_TOKEN", "value": "hunter2"}), more({"name": "AWS_SECRET_ACCESS_KEY", "value": "x"})),
        unknown=False,
    ),
)

GOOD: Final[tuple[Good, ...]] = SECURITY + HOST + PODS + WORKLOADS + OBJECTS
