"""The service's Kubernetes objects, as the engine receives them."""

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.ingress import DEREGISTRATION_SECONDS
from components.network_plan import FLOWS
from components.search_service import (
    DRAIN_SECONDS,
    POD_IDENTITY_AGENT,
    SEARCH,
    VPC_PORTS,
    RoleSpec,
    SearchService,
    SearchServiceArgs,
    fingerprint,
    plan_network_policies,
    role_labels,
)

IMAGE = f"012345678901.dkr.ecr.us-east-1.amazonaws.com/docsearch@sha256:{'0a' * 32}"
CIDR = "10.0.0.0/16"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
DOCUMENT = RoleSpec(name="document", min_replicas=10, max_replicas=20, port=8081)


def args(**changes: Any) -> SearchServiceArgs:
    fields: dict[str, Any] = {
        "image": IMAGE,
        "cidr": CIDR,
        "settings": {"DATABASE_HOST": pulumi.Output.from_input("db.internal")},
        "secrets": {"CURSOR_KEY_ARN": pulumi.Output.from_input("arn:cursor-key")},
    }
    return SearchServiceArgs(**(fields | changes))


def service(**changes: Any) -> dict[str, Any]:
    made = SearchService("service", args(**changes))
    return {name: getattr(made, name) for name in ("namespace", "service_accounts", "services")}


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(service)


@pytest.fixture(scope="module")
def pair(recorded: Any) -> Any:
    return recorded(lambda: service(roles=(SEARCH, DOCUMENT)))


def pod(run: Any, role: str = "search") -> dict[str, Any]:
    spec: dict[str, Any] = run.one(DEPLOYMENT, f"service-{role}").inputs["spec"]["template"]["spec"]
    return spec


def test_every_object_fits_the_schema_of_kubernetes(pair: Any) -> None:
    assert len(pair.managed) == 17
    for resource in pair.managed:
        kubernetes_validate.validate(dict(resource.inputs), "1.35", strict=True)


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
    assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "http"}

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
    assert config["data"] == {"DATABASE_HOST": "db.internal", "CURSOR_KEY_ARN": "arn:cursor-key"}
    (container,) = pod(run)["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]

    def version(found: Any) -> str:
        return str(found.one(DEPLOYMENT).inputs["spec"]["template"]["metadata"]["annotations"]["docsearch/settings"])

    other = recorded(lambda: service(settings={"DATABASE_HOST": "db2.internal"}))
    assert version(run) == fingerprint(config["data"])
    assert version(other) != version(run)


@given(settings=st.dictionaries(st.text(), st.text()))
def test_a_fingerprint_follows_values_not_their_order(settings: dict[str, str]) -> None:
    assert fingerprint(settings) == fingerprint(dict(reversed(settings.items())))
    assert fingerprint(settings | {"KEY": "old"}) != fingerprint(settings | {"KEY": "new"})
    assert len(fingerprint(settings)) == 16


def test_nothing_gets_in_or_out_that_no_role_asks_for(run: Any) -> None:
    policies = {policy.inputs["metadata"]["name"]: policy.inputs["spec"] for policy in run.of(POLICY)}
    assert set(policies) == {"deny-all", "allow-needs", "allow-search", "allow-search-out"}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (inside,) = policies["allow-search"]["ingress"]
    assert inside == {"from": [{"ipBlock": {"cidr": CIDR}}], "ports": [{"protocol": "TCP", "port": 8080}]}
    (out,) = policies["allow-search-out"]["egress"]
    assert out["ports"] == [{"protocol": "TCP", "port": 443}]
    # The address range of every VPC of ours, and the node's own credentials.
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(out["to"][0]["ipBlock"]["except"])


def test_pods_may_open_what_the_network_opens_for_their_nodes() -> None:
    stores = {"database", "cache", "search", "broker", "endpoints"}
    opened = {flow.ports[0] for flow in FLOWS if flow.source == "nodes" and flow.target in stores and flow.ports}
    assert set(VPC_PORTS) == opened
    needs: Any = plan_network_policies(CIDR, ())["allow-needs"]
    _dns, identity, _inside = needs["egress"]
    assert identity["to"] == [{"ip_block": {"cidr": POD_IDENTITY_AGENT}}]


def test_the_rules_stand_before_any_pod_runs(run: Any) -> None:
    names = {urn.rsplit("::", 1)[-1] for urn in run.one(DEPLOYMENT).depends_on_urns}
    assert {"service", "service-deny-all", "service-allow-needs", "service-allow-search"} <= names


def test_another_role_is_another_spec(pair: Any) -> None:
    assert [deployment.name for deployment in pair.of(DEPLOYMENT)] == ["service-document", "service-search"]
    (container,) = pod(pair, "document")["containers"]
    assert container["args"] == ["document"]
    assert container["ports"][0]["containerPort"] == 8081
    selectors = [str(deployment.inputs["spec"]["selector"]) for deployment in pair.of(DEPLOYMENT)]
    assert len(set(selectors)) == 2
    # It asked for no way out.
    assert "allow-document-out" not in {policy.inputs["metadata"]["name"] for policy in pair.of(POLICY)}


def test_outputs_by_role(pair: Any) -> None:
    names = {"search": "search", "document": "document"}
    assert pair.result == {"namespace": "docsearch", "service_accounts": names, "services": names}


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
        ({"roles": ()}, "roles are none: each needs a name of its own."),
        ({"roles": (SEARCH, SEARCH)}, "roles are search, search: each needs a name of its own."),
    ],
)
def test_bad_input_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        args(**changes)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Search"}, "a role is called 'Search': it becomes a DNS label."),
        (
            {"min_replicas": 2},
            (
                "role search has 2 replicas at least: with one zone lost and one pod being replaced, none of two "
                "is left. Take 3 or more."
            ),
        ),
        ({"max_replicas": 4}, "role search has at least 5 and at most 4 replicas: the autoscaler refuses it."),
        (
            {"port": 80},
            "role search listens on 80: the security groups let the load balancer reach 8080 to 8089.",
        ),
        ({"memory_mib": 0}, "role search reserves memory_mib 0: the autoscaler divides by it."),
        ({"target_cpu_percent": 101}, "role search is scaled at 101% CPU: it must be 1 to 100."),
    ],
)
def test_a_role_that_cannot_work_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"name": "search", "min_replicas": 5, "max_replicas": 50}
    with pytest.raises(ArgsError) as error:
        RoleSpec(**(fields | changes))
    assert str(error.value) == message
