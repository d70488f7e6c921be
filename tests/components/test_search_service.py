"""The service's Kubernetes objects and rights, as the engine receives them."""

import json
from dataclasses import replace
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pulumi
import pytest

from components.alarms import Alarms, AlarmsArgs
from components.eks import Eks, EksArgs
from components.eks_plan import Pool as NodePool
from components.errors import ArgsError
from components.ingress import DEREGISTRATION_SECONDS, PROBE_PORT
from components.kms import Kms, KmsArgs
from components.load_balancer_controller import NAME as CONTROLLER
from components.load_balancer_controller import LoadBalancerController, LoadBalancerControllerArgs
from components.network import Network, NetworkArgs
from components.search_service import (
    DOCUMENT,
    DRAIN_SECONDS,
    INDEX,
    SEARCH,
    Access,
    Candidate,
    SearchService,
    SearchServiceArgs,
    fingerprint,
    role_labels,
)
from infra.local.kubernetes_custom import CUSTOM
from infra.local.kubernetes_objects import Kind
from infra.local.kubernetes_schema import Schemas

ACCOUNT = "012345678901"
REGION = "us-east-1"
IMAGE = f"012345678901.dkr.ecr.us-east-1.amazonaws.com/docsearch@sha256:{'0a' * 32}"
NEXT = f"012345678901.dkr.ecr.us-east-1.amazonaws.com/docsearch@sha256:{'0b' * 32}"
CIDR = "10.0.0.0/16"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
JOB = "kubernetes:batch/v1:Job"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
BINDING = "kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding"
ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
SECRETS = {name: f"arn:{name.lower()}" for name in ("CURSOR_KEY_ARN", "API_KEY_PEPPER_ARN", "TENANT_TOKEN_KEY_ARN")}
THREE = (SEARCH, DOCUMENT, INDEX)
OUTPUTS = {
    "random:index/randomPassword:RandomPassword": {"result": "x" * 64},
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    "aws:eks/cluster:Cluster": {"endpoint": "https://api.internal", "certificateAuthority": {"data": "Y2E="}},
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 3},
}


def group_arn(name: str) -> str:
    return f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/{name}/1"


def args(**changes: Any) -> SearchServiceArgs:
    fields: dict[str, Any] = {
        "image": IMAGE,
        "cidr": CIDR,
        "settings": {"DATABASE_HOST": pulumi.Output.from_input("db.internal")},
        "secrets": {name: pulumi.Output.from_input(arn) for name, arn in SECRETS.items()},
    }
    return SearchServiceArgs(**(fields | changes))


def service(**changes: Any) -> dict[str, Any]:
    made = SearchService("service", args(**changes))
    return {name: getattr(made, name) for name in ("namespace", "service_accounts", "services", "role_arns")}


def whole(**changes: Any) -> dict[str, Any]:
    """All three roles, with rights and behind a load balancer."""
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=REGION, role="primary"))
    network = Network(
        "network",
        NetworkArgs(
            account_id=ACCOUNT,
            region=REGION,
            cidr=CIDR,
            zones=("us-east-1a", "us-east-1b", "us-east-1c"),
            flow_log_key=keys["logs"],
        ),
    )
    made = EksArgs(
        account_id=ACCOUNT,
        network=network,
        keys=keys,
        alarms=Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
        version="1.35",
        admin_role_arns=(f"arn:aws:iam::{ACCOUNT}:role/operators",),
        general=NodePool(instance_types=("m6i.xlarge",), min=24, desired=42, max=84),
    )
    cluster = Eks("cluster", made)
    groups = {name: pulumi.Output.from_input(group_arn(name)) for name in ("search", "document")}
    controller = LoadBalancerControllerArgs(
        image=IMAGE,
        network=network,
        cluster=cluster,
        target_groups=list(groups.values()),
    )
    given: dict[str, Any] = {
        "roles": THREE,
        "access": Access(
            account_id=ACCOUNT,
            region=REGION,
            cluster=cluster,
            keys=keys,
            search_arn="arn:search",
            cache_arns=("arn:cache", "arn:cache-user"),
            database_owner_arn=pulumi.Output.from_input("arn:owner"),
            search_master_arn="arn:master",
        ),
        "controller": LoadBalancerController("controller", controller),
        "target_groups": groups,
    }
    return service(**(given | changes))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(service)


@pytest.fixture(scope="module")
def three(recorded: Any) -> Any:
    return recorded(whole, outputs=OUTPUTS)


def pod(run: Any, role: str = "search") -> dict[str, Any]:
    spec: dict[str, Any] = run.one(DEPLOYMENT, f"service-{role}").inputs["spec"]["template"]["spec"]
    return spec


def test_every_object_fits_the_schema_of_kubernetes(three: Any) -> None:
    schemas, seen = Schemas("1.35", CUSTOM), 0
    for resource in three.managed:
        if resource.type.startswith("kubernetes:") and resource.name.startswith("service"):
            seen += 1
            if Kind.of(resource.type) in CUSTOM:
                assert schemas.failures(Kind.of(resource.type), dict(resource.inputs)) == []
            else:
                kubernetes_validate.validate(dict(resource.inputs), "1.35", strict=True)
    assert seen == 34


def test_the_namespace_takes_restricted_pods_only(run: Any) -> None:
    namespace = run.one("kubernetes:core/v1:Namespace").inputs["metadata"]
    assert namespace["name"] == "docsearch"
    for mode in ("enforce", "audit", "warn"):
        assert namespace["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_pods_meet_the_restricted_standard(run: Any) -> None:
    spec = pod(run)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]


def test_the_image_is_pinned_and_memory_is_limited_to_what_is_reserved(run: Any) -> None:
    (container,) = pod(run)["containers"]
    assert container["image"] == IMAGE
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert requests["cpu"] == "1000m"
    assert requests["memory"] == limits["memory"] == "2048Mi"
    assert "cpu" not in limits


def test_probes_are_separate_and_the_slow_one_restarts(run: Any) -> None:
    (container,) = pod(run)["containers"]
    # Ready is who answers where users are sent to; a restart heals no certificate.
    assert container["readinessProbe"]["httpGet"] == {"path": "/health/startup", "port": "https", "scheme": "HTTPS"}
    for name in ("startupProbe", "livenessProbe"):
        assert container[name]["httpGet"] == {"path": "/health/live", "port": "probes", "scheme": "HTTP"}

    def patience(probe: str) -> float:
        return float(container[probe]["periodSeconds"] * container[probe]["failureThreshold"])

    assert patience("readinessProbe") < patience("livenessProbe")
    assert patience("startupProbe") >= 60


def test_a_pod_that_leaves_finishes_what_it_has(run: Any) -> None:
    spec = pod(run)
    (container,) = spec["containers"]
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}}
    assert spec["terminationGracePeriodSeconds"] > DRAIN_SECONDS + DEREGISTRATION_SECONDS


def test_pods_are_spread_over_zones_and_nodes(run: Any) -> None:
    zone, node = pod(run)["topologySpreadConstraints"]
    assert (zone["topologyKey"], zone["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "DoNotSchedule")
    assert (node["topologyKey"], node["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    for constraint in (zone, node):
        assert constraint["maxSkew"] == 1
        assert constraint["labelSelector"]["matchLabels"] == role_labels(SEARCH)
        assert constraint["nodeTaintsPolicy"] == "Honor"


def test_a_rollout_takes_no_capacity_away(run: Any) -> None:
    deployment = run.one(DEPLOYMENT)
    strategy = deployment.inputs["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}
    assert deployment.inputs["spec"]["minReadySeconds"] > 0


def test_the_autoscaler_owns_the_number_of_replicas(run: Any) -> None:
    deployment = run.one(DEPLOYMENT)
    assert deployment.ignore_changes == ("spec.replicas",)
    scaler = run.one("kubernetes:autoscaling/v2:HorizontalPodAutoscaler").inputs["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "search"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (20, 50)
    assert deployment.inputs["spec"]["replicas"] == scaler["minReplicas"]
    targets = {
        metric["resource"]["name"]: metric["resource"]["target"]["averageUtilization"] for metric in scaler["metrics"]
    }
    assert targets == {"cpu": 70, "memory": 80}
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_a_disruption_budget_covers_the_pods_and_still_lets_a_node_be_drained(run: Any) -> None:
    budget = run.one("kubernetes:policy/v1:PodDisruptionBudget").inputs["spec"]
    assert budget["selector"]["matchLabels"] == run.one(DEPLOYMENT).inputs["spec"]["selector"]["matchLabels"]
    # Kubernetes rounds it up: never none.
    assert budget["maxUnavailable"] == "10%"
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_settings_and_where_secrets_are_reach_the_pod_and_new_ones_make_new_pods(recorded: Any, run: Any) -> None:
    config = run.one("kubernetes:core/v1:ConfigMap").inputs
    assert config["data"] == {"DATABASE_HOST": "db.internal", **SECRETS}
    (container,) = pod(run)["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]

    def version(found: Any) -> str:
        return str(found.one(DEPLOYMENT).inputs["spec"]["template"]["metadata"]["annotations"]["docsearch/settings"])

    other = recorded(lambda: service(settings={"DATABASE_HOST": "db2.internal"}))
    assert version(run) == fingerprint(config["data"])
    assert version(other) != version(run)


def test_the_rules_stand_before_any_pod_runs(run: Any) -> None:
    names = {urn.rsplit("::", 1)[-1] for urn in run.one(DEPLOYMENT).depends_on_urns}
    assert {"service", "service-deny-all", "service-allow-needs", "service-allow-search"} <= names


def test_three_roles_are_three_specs(three: Any) -> None:
    names = ("document", "index", "search")
    found = [deployment for deployment in three.of(DEPLOYMENT) if deployment.name.startswith("service-")]
    assert [deployment.name for deployment in found] == [f"service-{name}" for name in names]
    assert len({str(deployment.inputs["spec"]["selector"]) for deployment in found}) == 3
    for name, least, most, port in (("document", 10, 20, 8081), ("index", 10, 15, 8083), ("search", 20, 50, 8080)):
        scaler = three.one("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", f"service-{name}").inputs["spec"]
        assert (scaler["minReplicas"], scaler["maxReplicas"]) == (least, most)
        (container,) = pod(three, name)["containers"]
        assert container["args"] == [name]
        assert container["ports"][0]["containerPort"] == port
        assert three.one("kubernetes:core/v1:Service", f"service-{name}").inputs["spec"]["selector"] == {
            "app.kubernetes.io/name": "docsearch",
            "app.kubernetes.io/component": name,
        }
        assert three.one("kubernetes:policy/v1:PodDisruptionBudget", f"service-{name}")


def test_the_index_role_prefers_spare_nodes_and_runs_without_them(three: Any) -> None:
    spec = pod(three, "index")
    assert spec["tolerations"] == [
        {"key": "docsearch/pool", "operator": "Equal", "value": "indexing", "effect": "NoSchedule"}
    ]
    affinity = spec["affinity"]["nodeAffinity"]
    assert set(affinity) == {"preferredDuringSchedulingIgnoredDuringExecution"}
    (wanted,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert wanted["preference"]["matchExpressions"] == [
        {"key": "docsearch/pool", "operator": "In", "values": ["indexing"]}
    ]
    for name in ("search", "document"):
        assert not {"tolerations", "affinity"} & pod(three, name).keys()


def test_public_roles_register_with_the_load_balancer_and_wait_for_it(three: Any) -> None:
    assert [binding.name for binding in three.of(BINDING)] == ["service-document", "service-search"]
    for name in ("search", "document"):
        assert three.one(BINDING, f"service-{name}").inputs["spec"] == {
            "targetGroupARN": group_arn(name),
            "targetType": "ip",
            "ipAddressType": "ipv4",
            "serviceRef": {"name": name, "port": 443},
        }
        (port,) = three.one("kubernetes:core/v1:Service", f"service-{name}").inputs["spec"]["ports"]
        assert (port["port"], port["targetPort"]) == (443, "https")
        assert pod(three, name)["readinessGates"] == [{"conditionType": f"target-health.elbv2.k8s.aws/{name}"}]
        assert f"service-{name}" in three.one(DEPLOYMENT, f"service-{name}").depends_on
    assert "readinessGates" not in pod(three, "index")


def test_nothing_is_bound_before_the_controller_runs_with_its_rights(three: Any) -> None:
    binding = three.one(BINDING, "service-search")
    assert {"controller", "service-controller", "service-search"} <= binding.depends_on
    assert any("Deployment::controller" in urn for urn in binding.depends_on_urns)
    rights = three.one("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding", "service-controller").inputs
    assert rights["metadata"]["namespace"] == "docsearch"
    assert rights["roleRef"]["kind"] == "ClusterRole"
    assert rights["subjects"] == [{"kind": "ServiceAccount", "name": CONTROLLER, "namespace": CONTROLLER}]


def test_without_a_load_balancer_no_pod_waits_for_one(run: Any) -> None:
    assert run.of(BINDING) == []
    assert "readinessGates" not in pod(run)


def test_each_role_is_an_iam_role_of_its_own_before_its_pods_start(three: Any) -> None:
    for name in ("document", "index", "search"):
        role = three.one("aws:iam/role:Role", f"service-{name}")
        (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        assert statement["Condition"]["StringEquals"]["aws:RequestTag/kubernetes-service-account"] == name
        association = three.one(ASSOCIATION, f"service-{name}")
        assert association.inputs["serviceAccount"] == name
        assert association.inputs["namespace"] == "docsearch"
        assert association.inputs["roleArn"] == f"arn:aws:iam:::service-{name}"
        urns = three.one(DEPLOYMENT, f"service-{name}").depends_on_urns
        assert any(f"PodIdentityAssociation::service-{name}" in urn for urn in urns)
        assert any(f"RolePolicy::service-{name}" in urn for urn in association.depends_on_urns)


def test_rights_name_what_the_region_has(three: Any) -> None:
    document = json.loads(three.one("aws:iam/rolePolicy:RolePolicy", "service-search").inputs["policy"])
    by_name = {statement["Sid"]: statement for statement in document["Statement"]}
    assert by_name["ReadSecrets"]["Resource"] == sorted(SECRETS.values())
    assert by_name["UseSearch"]["Resource"] == ["arn:search/*"]
    assert by_name["ConnectToCache"]["Resource"] == ["arn:cache", "arn:cache-user"]
    assert by_name["DecryptSecrets"]["Resource"] == ["arn:aws:kms:::keys-secrets"]


def test_the_stores_are_migrated_before_any_pod_of_the_image_starts(three: Any) -> None:
    job = three.one(JOB)
    assert (job.name, job.inputs["metadata"]["name"]) == ("service-migrate", "migrate-0a0a0a0a0a0a")
    (container,) = job.inputs["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"]) == (IMAGE, ["migrate"])
    assert container["envFrom"] == [{"configMapRef": {"name": "settings"}}]
    assert {one["name"]: one["value"] for one in container["env"]} == {
        "DATABASE_POOL_MIN": "0",
        "DATABASE_USER": "docsearch_admin",
        "DATABASE_PASSWORD_ARN": "arn:owner",
        "OPENSEARCH_ROLE_ARN": "arn:master",
        "OPENSEARCH_READER_ARNS": "arn:aws:iam:::service-search",
        "OPENSEARCH_WRITER_ARNS": "arn:aws:iam:::service-index",
    }
    for name in ("search", "document", "index"):
        assert any(
            "batch/v1:Job::service-migrate" in urn for urn in three.one(DEPLOYMENT, f"service-{name}").depends_on_urns
        )
    needed = {"service-migrate", "service-allow-migrate", "service-deny-all", "service"}
    assert needed <= {urn.rsplit("::", 1)[-1] for urn in job.depends_on_urns}
    assert any(ASSOCIATION in urn for urn in job.depends_on_urns)


def test_a_job_that_is_done_stays_so_that_it_is_not_done_again(recorded: Any, three: Any) -> None:
    spec = three.one(JOB).inputs["spec"]
    assert "ttlSecondsAfterFinished" not in spec
    assert three.one(JOB).inputs["metadata"]["annotations"] == {"pulumi.com/replaceUnready": "true"}
    assert spec["activeDeadlineSeconds"] < 70 * 60
    again = recorded(whole, outputs=OUTPUTS)
    assert again.one(JOB).inputs == three.one(JOB).inputs
    other = recorded(lambda: whole(image=NEXT), outputs=OUTPUTS).one(JOB)
    assert (other.name, other.inputs["metadata"]["name"]) == ("service-migrate", "migrate-0b0b0b0b0b0b")
    moved = recorded(lambda: whole(settings={"DATABASE_HOST": "db2.internal"}), outputs=OUTPUTS).one(JOB)
    assert moved.inputs["metadata"] == three.one(JOB).inputs["metadata"]
    assert moved.inputs["spec"]["template"] != spec["template"]


def test_a_candidate_waits_for_the_job_of_its_own_image(recorded: Any) -> None:
    tried = replace(SEARCH, candidate=Candidate(image=NEXT))
    groups = {name: group_arn(name) for name in ("search", "search-candidate")}
    found = recorded(lambda: whole(roles=(tried,), target_groups=groups), outputs=OUTPUTS)
    assert [one.inputs["metadata"]["name"] for one in found.of(JOB)] == [
        "migrate-0a0a0a0a0a0a",
        "migrate-search-candidate-0b0b0b0b0b0b",
    ]
    for name, job in (
        ("service-search", "service-migrate"),
        ("service-search-candidate", "service-migrate-search-candidate"),
    ):
        urns = found.one(DEPLOYMENT, name).depends_on_urns
        assert [urn.rsplit("::", 1)[-1] for urn in urns if "batch/v1:Job" in urn] == [job]


def test_only_the_job_is_the_owner_of_the_database_and_the_master_of_search(three: Any) -> None:
    policies = {
        one.name: json.loads(one.inputs["policy"])["Statement"]
        for one in three.of("aws:iam/rolePolicy:RolePolicy")
        if one.name.startswith("service-")
    }
    by_name = {statement["Sid"]: statement for statement in policies.pop("service-migrate")}
    assert by_name["ReadSecrets"]["Resource"] == ["arn:owner"]
    assert by_name["BecomeMasterOfSearch"]["Resource"] == ["arn:master"]
    assert "owner" not in str(policies)
    assert "master" not in str(policies)


def test_outputs_by_role(three: Any, run: Any) -> None:
    names = {name: name for name in ("search", "document", "index")}
    assert three.result == {
        "namespace": "docsearch",
        "service_accounts": names,
        "services": names,
        "role_arns": {name: f"arn:aws:iam:::service-{name}" for name in names},
    }
    assert run.result["role_arns"] == {}


def test_pods_speak_tls_where_they_are_called_and_clear_text_where_they_are_probed(three: Any) -> None:
    for role in THREE:
        (container,) = pod(three, role.name)["containers"]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        assert ports == {"https": role.port, "probes": PROBE_PORT}
        told = {one["name"]: one["value"] for one in container["env"]}
        assert (told["DOCSEARCH_TLS"], told["DOCSEARCH_PROBE_PORT"]) == ("ephemeral", str(PROBE_PORT))


def test_another_target_group_is_another_binding_since_the_controller_changes_none(three: Any) -> None:
    binding = three.one(BINDING, "service-search")
    assert binding.replace_on_changes == ("spec.targetGroupARN",)
    assert binding.delete_before_replace


def test_a_candidate_comes_up_beside_the_first_with_a_target_group_of_its_own(recorded: Any) -> None:
    tried = replace(SEARCH, candidate=Candidate(image=NEXT, percent=20))
    names = ("search", "search-candidate")
    groups = {name: group_arn(name) for name in names}
    found = recorded(lambda: whole(roles=(tried,), target_groups=groups), outputs=OUTPUTS)
    assert pod(found, "search")["containers"][0]["image"] == IMAGE
    second = pod(found, "search-candidate")
    assert second["containers"][0]["image"] == NEXT
    # The same work, the same rights; it only calls itself otherwise.
    assert second["containers"][0]["args"] == ["search"]
    assert second["serviceAccountName"] == "search"
    assert second["readinessGates"] == [{"conditionType": "target-health.elbv2.k8s.aws/search-candidate"}]
    assert [role.name for role in found.of("aws:iam/role:Role") if role.name.startswith("service")] == [
        "service-migrate",
        "service-search",
    ]
    for name in names:
        assert found.one(BINDING, f"service-{name}").inputs["spec"]["targetGroupARN"] == group_arn(name)
        labels = found.one(DEPLOYMENT, f"service-{name}").inputs["spec"]["selector"]["matchLabels"]
        assert labels["app.kubernetes.io/component"] == name
        assert found.one("kubernetes:core/v1:Service", f"service-{name}").inputs["spec"]["selector"] == labels
        budget = found.one("kubernetes:policy/v1:PodDisruptionBudget", f"service-{name}").inputs["spec"]
        assert budget["selector"]["matchLabels"] == labels
        for constraint in pod(found, name)["topologySpreadConstraints"]:
            assert constraint["labelSelector"]["matchLabels"] == labels
    scalers = [scaler.inputs["spec"] for scaler in found.of("kubernetes:autoscaling/v2:HorizontalPodAutoscaler")]
    assert [(s["scaleTargetRef"]["name"], s["minReplicas"]) for s in scalers] == [
        ("search", 20),
        ("search-candidate", 4),
    ]


def test_a_candidate_changes_nothing_of_the_first(recorded: Any, run: Any) -> None:
    tried = recorded(lambda: service(roles=(replace(SEARCH, candidate=Candidate(image=NEXT)),)))
    for resource in run.managed:
        if resource.type != POLICY:
            assert tried.one(resource.type, resource.name).inputs == resource.inputs, resource.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"image": "docsearch:latest"},
            (
                "image is 'docsearch:latest': a tag can be moved: what was tested and what runs would differ. "
                "Pin it as <repository>@sha256:<64 hexadecimal digits>."
            ),
        ),
        ({"namespace": "Doc_Search"}, "namespace is 'Doc_Search': it must be a DNS label."),
        ({"broker_secret": "Broker!"}, "broker_secret is 'Broker!': it must be a DNS label."),
        ({"settings": {"host": "x"}}, "a setting is called 'host': it becomes an environment variable."),
        (
            {"settings": {"CURSOR_KEY_ARN": "x"}},
            "CURSOR_KEY_ARN is both a setting and a secret: a pod has one value of it.",
        ),
        (
            {"secrets": {"CURSOR_KEY": "x"}},
            (
                "the secret CURSOR_KEY does not end in _ARN: a pod gets where a secret is, never what it is. "
                "Call it CURSOR_KEY_ARN, and pass the ARN."
            ),
        ),
        (
            {"roles": (replace(SEARCH, secrets=("OTHER_ARN",)),)},
            (
                "role search reads the secret OTHER_ARN: the service has API_KEY_PEPPER_ARN, CURSOR_KEY_ARN, "
                "TENANT_TOKEN_KEY_ARN."
            ),
        ),
        (
            {"roles": (SEARCH, INDEX), "target_groups": {"index": "arn"}},
            "a target group is for 'index': what the load balancer calls is search.",
        ),
        (
            {"target_groups": {"search": "arn"}},
            "target_groups are given without a controller: nobody would register a pod in them.",
        ),
        ({"roles": ()}, "roles are none: each needs a name of its own."),
        ({"roles": (SEARCH, SEARCH)}, "roles are search, search: each needs a name of its own."),
        (
            {"roles": (replace(SEARCH, name="migrate"),)},
            "a role is called 'migrate': the Job that goes before all pods is.",
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        args(**changes)
    assert str(error.value) == message


def test_a_candidate_without_a_target_group_is_refused(recorded: Any) -> None:
    tried = replace(SEARCH, candidate=Candidate(image=NEXT))
    with pytest.raises(ArgsError) as error:
        recorded(lambda: whole(roles=(tried,), target_groups={"search": group_arn("search")}), outputs=OUTPUTS)
    assert str(error.value) == (
        "of search and search-candidate only one has a target group: the listener could not move requests from one to "
        "the other."
    )


def test_an_account_that_is_none_is_refused() -> None:
    with pytest.raises(ArgsError, match="account_id is '1'"):
        Access(account_id="1", region=REGION, cluster=None, keys=None)  # type: ignore[arg-type]
