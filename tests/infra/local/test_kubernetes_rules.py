from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.kubernetes_objects import Kind
from infra.local.kubernetes_rules import failures, quantity
from infra.local.resource import UNKNOWN, Failure

DEPLOYMENT = Kind("apps", "v1", "Deployment")


def pod(**changes: Any) -> dict[str, Any]:
    return {"containers": [{"name": "api", "image": "api:1"}], **changes}


def workload(
    labels: Any = None, selector: Any = None, pod_spec: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    template = {"metadata": {"labels": labels or {"app": "api"}}, "spec": pod_spec or pod()}
    selector = {"matchLabels": {"app": "api"}} if selector is None else selector
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api"},
        "spec": {"selector": selector, "template": template, **spec},
    }


def found(object_: dict[str, Any], kind: Kind = DEPLOYMENT) -> list[Failure]:
    return list(failures(kind, object_))


def named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


@pytest.mark.parametrize(
    ("token", "name", "says"),
    [
        ("core/v1:ConfigMap", "a.b-c.1", ""),
        ("core/v1:ConfigMap", "My_App", 'Invalid value: "My_App": a lowercase RFC 1123 subdomain must consist of'),
        ("core/v1:ConfigMap", "a" * 254, "must be no more than 253 characters"),
        ("core/v1:Namespace", "search", ""),
        ("core/v1:Namespace", "a.b", "a lowercase RFC 1123 label must consist of"),
        ("core/v1:Namespace", "a" * 64, "must be no more than 63 characters"),
        ("core/v1:Service", "1api", "a DNS-1035 label must consist of"),
        ("core/v1:Service", "api-1", ""),
        ("apps/v1:StatefulSet", "a.b", "a lowercase RFC 1123 label must consist of"),
        ("rbac.authorization.k8s.io/v1:Role", "system:My_Role", ""),
        ("rbac.authorization.k8s.io/v1:Role", "a/b", "or contain '/' or '%'"),
    ],
)
def test_names_have_the_form_of_their_kind(token: str, name: str, says: str) -> None:
    problems = [item for item in found(named(name), Kind.of(f"kubernetes:{token}")) if item.property == "metadata.name"]
    assert [says in item.reason for item in problems] == ([True] if says else [])


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({"app.kubernetes.io/name": "api", "empty": ""}, ""),
        ({"-app": "x"}, 'Invalid value: "-app": name part must consist of'),
        ({"a/b/c": "x"}, "prefix part a lowercase RFC 1123 subdomain"),
        ({"app": "not allowed"}, 'Invalid value: "not allowed": a valid label must be'),
        ({"app": "x" * 64}, "must be no more than 63 characters"),
        ({"app": UNKNOWN}, ""),
    ],
)
def test_labels_have_their_form_everywhere(labels: dict[str, Any], says: str) -> None:
    at_object = {"metadata": {"name": "x", "labels": labels}}
    in_template = workload(
        labels={"app": "api", **labels}, selector={"matchExpressions": [{"key": "app", "operator": "Exists"}]}
    )
    for object_, path in ((at_object, "metadata.labels"), (in_template, "spec.template.metadata.labels")):
        kind = DEPLOYMENT if object_ is in_template else Kind("", "v1", "ConfigMap")
        problems = found(object_, kind)
        assert [(item.property, says in item.reason) for item in problems] == ([(path, True)] if says else [])


def test_annotations_may_hold_any_text_but_not_too_much() -> None:
    kind = Kind("", "v1", "ConfigMap")
    assert found({"metadata": {"name": "x", "annotations": {"Example.com/Note": "any text: ä"}}}, kind) == []
    assert found({"metadata": {"name": "x", "annotations": {"note": "ä" * 140_000}}}, kind) == [
        Failure("metadata.annotations", "Too long: may not be more than 262144 bytes")
    ]


def test_a_selector_has_to_match_its_own_pods() -> None:
    (failure,) = found(workload(selector={"matchLabels": {"app": "web"}}))
    assert failure.property == "spec.template.metadata.labels"
    assert "`selector` does not match template `labels`" in failure.reason


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "app", "operator": "In", "values": ["api", "web"]}, True),
        ({"key": "app", "operator": "In", "values": ["web"]}, False),
        ({"key": "app", "operator": "NotIn", "values": ["api"]}, False),
        ({"key": "tier", "operator": "NotIn", "values": ["api"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "Exists"}, False),
        ({"key": "app", "operator": "DoesNotExist"}, False),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
        ({"key": UNKNOWN, "operator": "Exists"}, True),
    ],
)
def test_selectors_match_by_expression(expression: dict[str, Any], matches: bool) -> None:
    assert (found(workload(selector={"matchExpressions": [expression]})) == []) is matches


def test_an_empty_selector_is_refused() -> None:
    assert found(workload(selector={})) == [
        Failure("spec.selector", "Invalid value: empty selector is invalid for deployment")
    ]


@pytest.mark.parametrize(
    ("container", "path", "reason"),
    [
        ({"name": "Api"}, "name", 'Invalid value: "Api": a lowercase RFC 1123 label'),
        ({"image": ""}, "image", "Required value"),
        (
            {"imagePullPolicy": "Sometimes"},
            "imagePullPolicy",
            'Unsupported value: "Sometimes": supported values: "Always"',
        ),
        ({"ports": [{"containerPort": 0}]}, "ports[0].containerPort", "must be between 1 and 65535, inclusive"),
        ({"ports": [{"containerPort": 1, "protocol": "tcp"}]}, "ports[0].protocol", 'Unsupported value: "tcp"'),
        ({"volumeMounts": [{"name": "tmp", "mountPath": "/"}]}, "volumeMounts[0].name", 'Not found: "tmp"'),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}},
            "resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1500m',
        ),
    ],
)
def test_containers_are_looked_into(container: dict[str, Any], path: str, reason: str) -> None:
    for field in ("containers", "initContainers"):
        spec = pod(containers=[{"name": "other", "image": "x"}])
        spec[field] = [{"name": "api", "image": "api:1", **container}]
        (failure,) = found(workload(pod_spec=spec))
        assert failure.property == f"spec.template.spec.{field}[0].{path}"
        assert reason in failure.reason


def test_good_containers_pass() -> None:
    container = {
        "name": "api",
        "image": UNKNOWN,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "resources": {"requests": {"cpu": "500m", "memory": UNKNOWN}, "limits": {"cpu": 1, "memory": "1Gi"}},
    }
    assert found(workload(pod_spec=pod(containers=[container], volumes=[{"name": "tmp"}]))) == []


@pytest.mark.parametrize("template", [{}, {"spec": {}}, {"spec": {"containers": []}}])
def test_a_pod_needs_a_container(template: dict[str, Any]) -> None:
    template = {"metadata": {"labels": {"app": "api"}}, **template}
    assert found(workload(template=template)) == [Failure("spec.template.spec.containers", "Required value")]


def test_containers_share_their_names() -> None:
    spec = pod(initContainers=[{"name": "api", "image": "x"}])
    assert found(workload(pod_spec=spec)) == [
        Failure("spec.template.spec.initContainers[0].name", 'Duplicate value: "api"')
    ]


def test_mounts_of_a_stateful_set_may_name_its_claims() -> None:
    container = {"name": "db", "image": "x", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    object_ = {**workload(pod_spec=pod(containers=[container])), "kind": "StatefulSet"}
    assert found(object_, Kind("apps", "v1", "StatefulSet")) == []


def test_mounts_are_not_looked_up_in_volumes_that_are_not_known() -> None:
    container = {"name": "api", "image": "x", "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}
    for volumes in (UNKNOWN, [UNKNOWN], [{"name": UNKNOWN}]):
        assert found(workload(pod_spec=pod(containers=[container], volumes=volumes))) == []


@pytest.mark.parametrize(
    ("token", "policy", "says"),
    [
        ("batch/v1:Job", None, "Required value"),
        ("batch/v1:Job", "Always", 'Unsupported value: "Always"'),
        ("batch/v1:Job", "OnFailure", ""),
        ("apps/v1:Deployment", "Never", 'Unsupported value: "Never": supported values: "Always"'),
        ("apps/v1:Deployment", None, ""),
    ],
)
def test_pods_restart_as_their_kind_allows(token: str, policy: str | None, says: str) -> None:
    problems = found(workload(pod_spec=pod(restartPolicy=policy)), Kind.of(f"kubernetes:{token}"))
    assert [(item.property, says in item.reason) for item in problems] == (
        [("spec.template.spec.restartPolicy", True)] if says else []
    )


def test_jobs_of_a_cron_job_are_looked_into() -> None:
    template = {"spec": pod(restartPolicy="Never", containers=[{"name": "a", "image": ""}])}
    object_ = {"kind": "CronJob", "metadata": {"name": "x"}, "spec": {"jobTemplate": {"spec": {"template": template}}}}
    assert found(object_, Kind("batch", "v1", "CronJob")) == [
        Failure("spec.jobTemplate.spec.template.spec.containers[0].image", "Required value")
    ]


@pytest.mark.parametrize(
    ("kind", "spec", "path"),
    [
        (DEPLOYMENT, {"strategy": {"type": "BlueGreen"}}, "spec.strategy.type"),
        (DEPLOYMENT, {"replicas": -1}, "spec.replicas"),
        (Kind("", "v1", "Service"), {"type": "Ingress"}, "spec.type"),
    ],
)
def test_fields_with_a_few_values_allow_no_others(kind: Kind, spec: dict[str, Any], path: str) -> None:
    assert [item.property for item in found(workload(**spec), kind)] == [path]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("2", "2"),
        (3, "3"),
        ("1k", "1000"),
        ("1Ki", "1024"),
        ("2Gi", "2147483648"),
        ("1e3", "1000"),
        ("12E", "12000000000000000000"),
        ("-1", "-1"),
    ],
)
def test_quantities_are_numbers(text: str | int, value: str) -> None:
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1gi", "1GB", "one", "1.2.3", "0x10", "1Mi "])
def test_other_texts_are_no_quantities(text: str) -> None:
    assert quantity(text) is None


@given(st.integers(0, 10**6))
def test_a_thousand_thousandths_are_one(number: int) -> None:
    assert quantity(f"{number}m") == Decimal(number) / 1000
    assert quantity(f"{number}Mi") == quantity(f"{number * 1024}Ki") == number * 1024**2
