import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import LocalCloudError
from infra.local.kubernetes_objects import Kind
from infra.local.kubernetes_schema import CustomKind, Schemas
from infra.local.resource import UNKNOWN, Failure

SCHEMAS = Schemas("1.35")
DEPLOYMENT = Kind("apps", "v1", "Deployment")


def deployment() -> dict[str, Any]:
    """A Deployment that uses what ours use."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "search", "labels": {"app.kubernetes.io/name": "api"}},
        "spec": {
            "replicas": 3,
            "selector": {
                "matchLabels": {"app": "api"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}],
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "api", "tier": "web"}, "annotations": {"sha/config": "1"}},
                "spec": {
                    "serviceAccountName": "api",
                    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
                    "containers": [
                        {
                            "name": "api",
                            "image": "registry/api:1",
                            "imagePullPolicy": "IfNotPresent",
                            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                            "resources": {
                                "requests": {"cpu": "500m", "memory": "1Gi"},
                                "limits": {"memory": 2147483648},
                            },
                            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
                        }
                    ],
                },
            },
        },
    }


def put(object_: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one value at a dotted path changed; `...` removes it."""
    changed = copy.deepcopy(object_)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inside: Any = changed
    for part in way:
        inside = inside[part]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return changed


def test_a_good_object_passes() -> None:
    assert SCHEMAS.failures(DEPLOYMENT, deployment()) == []


CONTAINER = "spec.template.spec.containers.0"
SHOWN = "spec.template.spec.containers[0]"


@pytest.mark.parametrize(
    ("path", "value", "failure"),
    [
        ("spec.replcas", 3, Failure("spec.replcas", "unknown field; did you mean replicas?")),
        ("zzz", 3, Failure("zzz", "unknown field")),
        ("metadata.Labels", {}, Failure("metadata.Labels", "unknown field; did you mean labels?")),
        ("spec.template", ..., Failure("spec.template", "required value is missing")),
        (f"{CONTAINER}.name", ..., Failure(f"{SHOWN}.name", "required value is missing")),
        ("spec.replicas", "3", Failure("spec.replicas", 'invalid type: string "3", expected integer')),
        ("spec.replicas", 2**31, Failure("spec.replicas", "2147483648 is no 32-bit integer")),
        ("spec.paused", 1, Failure("spec.paused", "invalid type: integer 1, expected boolean")),
        (
            "spec.strategy.rollingUpdate.maxSurge",
            [1],
            Failure("spec.strategy.rollingUpdate.maxSurge", "invalid type: array , expected string or integer"),
        ),
        (
            f"{CONTAINER}.resources.limits.memory",
            "2 GB",
            Failure(f"{SHOWN}.resources.limits.memory", '"2 GB" is no quantity such as 500m, 2 or 4Gi'),
        ),
        ("apiVersion", "apps/v2", Failure("apiVersion", 'unsupported value "apps/v2", supported values: "apps/v1"')),
        (
            "metadata.creationTimestamp",
            "yesterday",
            Failure("metadata.creationTimestamp", '"yesterday" is no RFC 3339 time'),
        ),
        (
            "spec.template.metadata.labels",
            {"a.b/c": 1},
            Failure('spec.template.metadata.labels["a.b/c"]', "invalid type: integer 1, expected string"),
        ),
    ],
)
def test_names_the_field_and_what_is_wrong(path: str, value: object, failure: Failure) -> None:
    assert SCHEMAS.failures(DEPLOYMENT, put(deployment(), path, value)) == [failure]


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = put(put(deployment(), "spec.replicas", "3"), f"{CONTAINER}.immage", "x")
    assert [item.property for item in SCHEMAS.failures(DEPLOYMENT, wrong)] == ["spec.replicas", f"{SHOWN}.immage"]


def test_data_of_a_secret_has_to_be_base64() -> None:
    kind = Kind("", "v1", "Secret")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "plain text"}}
    assert SCHEMAS.failures(kind, secret) == [Failure("data.key", '"plain text" is no base64')]
    assert SCHEMAS.failures(kind, {**secret, "data": {"key": "cGxhaW4="}}) == []


def paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    if path:
        yield ".".join(path)
    if isinstance(value, dict):
        for key, item in value.items():
            if "." not in key:
                yield from paths(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*path, str(index)))


@given(st.sets(st.sampled_from(sorted(paths(deployment()))), min_size=1, max_size=4))
def test_nothing_is_said_of_what_is_not_known_yet(unknown: set[str]) -> None:
    object_ = deployment()
    for path in sorted(unknown, key=len, reverse=True):
        object_ = put(object_, path, UNKNOWN)
    assert SCHEMAS.failures(DEPLOYMENT, object_) == []


def test_the_rest_of_an_object_is_checked_beside_an_unknown() -> None:
    object_ = put(put(deployment(), "spec.replicas", UNKNOWN), f"{CONTAINER}.image", 7)
    assert [item.property for item in SCHEMAS.failures(DEPLOYMENT, object_)] == [f"{SHOWN}.image"]


@pytest.mark.parametrize("version", ["1.35", "v1.35", "1.35.4", "v1.35.4-eks-1"])
def test_a_version_may_be_written_in_full(version: str) -> None:
    assert Schemas(version).version == "1.35"


@pytest.mark.parametrize("version", ["1.2", "2.0", "latest", ""])
def test_a_version_without_schemas_is_refused(version: str) -> None:
    with pytest.raises(LocalCloudError, match=r"there are no schemas of Kubernetes.*knows 1\.\d+.*1\.35"):
        Schemas(version)


def test_each_version_has_its_own_kinds() -> None:
    new, old = set(Schemas("1.35").kinds()), set(Schemas("1.25").kinds())
    assert Kind("networking.k8s.io", "v1", "ServiceCIDR") in new - old
    assert DEPLOYMENT in new & old


def test_only_what_is_kept_counts_as_a_kind() -> None:
    kinds = {kind.name for kind in SCHEMAS.kinds()}
    assert {"Namespace", "RoleBinding", "CustomResourceDefinition", "PodDisruptionBudget"} <= kinds
    assert not {"PodList", "Status", "TokenReview", "Eviction", "Binding", "Scale", "APIGroup"} & kinds


def test_the_schema_of_every_kind_can_be_used() -> None:
    for kind in SCHEMAS.kinds():
        bare = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "x"}}
        assert not [item for item in SCHEMAS.failures(kind, bare) if "unknown field" in item.reason]
        assert Failure("metadata.nme", "unknown field; did you mean name?") in SCHEMAS.failures(
            kind, {**bare, "metadata": {"nme": "x"}}
        )


def test_kinds_know_whether_they_have_a_namespace() -> None:
    assert not SCHEMAS.namespaced(Kind("", "v1", "Namespace"))
    assert not SCHEMAS.namespaced(Kind("storage.k8s.io", "v1", "StorageClass"))
    assert SCHEMAS.namespaced(DEPLOYMENT)


def test_a_group_that_only_sounds_alike_is_another_group() -> None:
    assert Kind("apps.example.com", "v1", "Deployment") not in SCHEMAS
    assert Kind("apps", "v1beta1", "Deployment") not in SCHEMAS


POOL = Kind("karpenter.sh", "v1", "NodePool")
POOL_SCHEMA = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {
                "weight": {"type": "integer", "minimum": 1, "maximum": 100},
                "limits": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": True}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
    },
}


def test_custom_kinds_are_as_strict_as_built_in_ones() -> None:
    schemas = Schemas("1.35", {POOL: CustomKind(POOL_SCHEMA, namespaced=False)})
    pool = {"apiVersion": POOL.api_version, "kind": "NodePool", "metadata": {"name": "default"}}
    good = {**pool, "spec": {"weight": 10, "limits": {"cpu": 100, "memory": "1Gi"}, "free": {"x": 1}}}
    assert POOL in schemas
    assert not schemas.namespaced(POOL)
    assert schemas.failures(POOL, good) == []
    assert schemas.failures(POOL, pool) == [Failure("spec", "required value is missing")]
    assert schemas.failures(POOL, put(good, "spec.wieght", 1)) == [
        Failure("spec.wieght", "unknown field; did you mean weight?")
    ]
    assert schemas.failures(POOL, put(good, "metadata.nmae", "x")) == [
        Failure("metadata.nmae", "unknown field; did you mean name?")
    ]
    assert schemas.failures(POOL, put(good, "spec.weight", 101)) == [
        Failure("spec.weight", "101 is greater than the maximum of 100")
    ]
    assert schemas.failures(POOL, put(good, "spec.weight", UNKNOWN)) == []
