"""The kinds that the program itself defines."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.rabbitmq_plan import ClusterSpec, plan_cluster
from infra.local.kubernetes import KubernetesPackage
from infra.local.kubernetes_custom import CUSTOM, RABBITMQ_CLUSTER, coverage
from infra.local.resource import Failure, Ref, Session
from infra.local.store import Store

NAMESPACE = "kubernetes:core/v1:Namespace"
PINNED = f"rabbitmq@sha256:{'0a' * 32}"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    store = Store(tmp_path / "recorded.sqlite")
    yield KubernetesPackage(store, custom=CUSTOM).configure({})
    store.close()


def ref(type_: str) -> Ref:
    return Ref(f"urn:pulumi:prod::docsearch::{type_}::x", type_, "x", b"seed")


def cluster(**spec: Any) -> dict[str, Any]:
    planned = plan_cluster(
        "rabbitmq", ClusterSpec(image=PINNED, operator_image=PINNED), storage_class="rabbitmq", locked=True
    )
    return {"metadata": {"name": "rabbitmq", "namespace": "rabbitmq"}, "spec": {**copy.deepcopy(planned), **spec}}


def failures(session: Session, object_: dict[str, Any]) -> list[Failure]:
    return session.check(ref(RABBITMQ_CLUSTER.token), {}, object_)[1]


def test_a_planned_cluster_is_kept_and_can_be_changed(session: Session) -> None:
    about = ref(RABBITMQ_CLUSTER.token)
    namespace, _ = session.check(ref(NAMESPACE), {}, {"metadata": {"name": "rabbitmq"}})
    session.create(ref(NAMESPACE), namespace, False)
    inputs, refused = session.check(about, {}, cluster())
    assert refused == []
    id_, outputs = session.create(about, inputs, False)
    assert id_ == "rabbitmq/rabbitmq"
    new, _ = session.check(about, inputs, cluster(replicas=7))
    diff = session.diff(about, id_, inputs, outputs, new)
    assert diff.changes
    assert not diff.replaces
    assert session.update(about, id_, inputs, outputs, new, False)["spec"]["replicas"] == 7


@pytest.mark.parametrize(
    ("changes", "property_", "says"),
    [
        ({"replicas": 4}, "spec.replicas", "unsupported value 4"),
        ({"delayStartSeconds": "30"}, "spec.delayStartSeconds", "expected integer"),
        ({"image": "rabbitmq:4"}, "spec.image", "does not match"),
        ({"imagePullSecret": "x"}, "spec.imagePullSecret", "unknown field"),
        ({"service": {"type": "LoadBalancer"}}, "spec.service.type", "unsupported value"),
        ({"tls": {"secretName": "x"}}, "spec.tls.disableNonTLSListeners", "required value is missing"),
        ({"persistence": {"storage": "1Gi"}}, "spec.persistence.storageClassName", "required value is missing"),
        ({"rabbitmq": {"additionalConfig": ""}}, "spec.rabbitmq.additionalConfig", "should be non-empty"),
    ],
)
def test_a_cluster_that_the_definition_refuses(
    session: Session, changes: dict[str, Any], property_: str, says: str
) -> None:
    (failure,) = failures(session, cluster(**changes))
    assert failure.property == property_
    assert says in failure.reason


def test_nothing_is_left_to_the_operator_s_defaults(session: Session) -> None:
    for field in cluster()["spec"]:
        object_ = cluster()
        del object_["spec"][field]
        assert failures(session, object_) == [Failure(f"spec.{field}", "required value is missing")]


def test_a_cluster_lives_in_a_namespace(session: Session) -> None:
    checked, _ = session.check(ref(RABBITMQ_CLUSTER.token), {}, {**cluster(), "metadata": {"name": "rabbitmq"}})
    assert checked["metadata"]["namespace"] == "default"


def test_coverage_says_that_nothing_acts_on_them() -> None:
    assert [(row.token, row.mode) for row in coverage()] == [(kind.token, "recorded") for kind in sorted(CUSTOM)]
    assert all("no operator" in row.note for row in coverage())
