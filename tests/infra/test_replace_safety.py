"""Whatever would replace something stateful meets the gate: every property that the provider replaces for, one by one.

The resources are those of prod and dr; the local provider's own Check and Diff say what a change means, and the gate
judges the plan that follows. What depends on values, or shows nowhere in the program, is a case of its own.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import pytest

from infra.gate import judge
from infra.local.aws import TYPES, facts
from infra.local.aws.cloud import Clients, Region
from infra.local.aws.plan import Plan as TypePlan
from infra.local.aws.session import AwsSession
from infra.local.kubernetes import KubernetesPackage
from infra.local.kubernetes_custom import CUSTOM
from infra.local.kubernetes_objects import _REPLACED_BY, Kind
from infra.local.random import RandomPackage, _kind
from infra.local.resource import Diff, Props, Ref, Session
from infra.local.store import Store
from infra.plan import Change, Op, Plan
from infra.stateful import STATEFUL
from tests.regions import STACKS, region

AWS = sorted({type_.token for type_ in TYPES} & {*STATEFUL})
RANDOM = sorted(type_ for type_ in STATEFUL if type_.startswith("random:"))
KUBERNETES = sorted(type_ for type_ in STATEFUL if type_.startswith("kubernetes:"))

TODAY = date(2026, 1, 1)

# What the stacks have none of.

PODS = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "gp3"}

BUILT: Mapping[str, Props] = {
    "aws:mq/broker:Broker": {
        "brokerName": "queue",
        "engineType": "RabbitMQ",
        "engineVersion": "4.2",
        "hostInstanceType": "mq.m7g.large",
        "deploymentMode": "CLUSTER_MULTI_AZ",
        "autoMinorVersionUpgrade": True,
        "publiclyAccessible": False,
        "subnetIds": ["subnet-a", "subnet-b", "subnet-c"],
        "securityGroups": ["sg-1"],
        "encryptionOptions": {"useAwsOwnedKey": False, "kmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/k"},
        "users": [{"username": "service", "password": "twelve characters"}],
    },
    "kubernetes:apps/v1:StatefulSet": {
        "metadata": {"name": "a", "namespace": "b"},
        "spec": {
            "serviceName": "a",
            "selector": {"matchLabels": {"app": "a"}},
            "template": PODS,
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 10,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": CLAIM}],
        },
    },
    "kubernetes:core/v1:PersistentVolumeClaim": {"metadata": {"name": "a", "namespace": "b"}, "spec": CLAIM},
    "kubernetes:core/v1:PersistentVolume": {
        "metadata": {"name": "a"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"},
        },
    },
}


@dataclass(frozen=True)
class Sample:
    """A resource as it stands: what the program says, and what the provider knows of it."""

    stack: str
    type: str
    name: str
    inputs: Props

    @property
    def ref(self) -> Ref:
        return Ref(f"urn:pulumi:{self.stack}::docsearch::{self.type}::{self.name}", self.type, self.name, bytes(20))

    @property
    def place(self) -> str:
        return {"prod": "us-east-1", "dr": "us-west-2"}[self.stack]


def plain(value: Any) -> Any:
    """A value as providers get it: no marks of secrets, whole numbers as such."""
    if isinstance(value, Mapping):
        return plain(value["value"]) if "4dabf18193072939515e22adb298388d" in value else dict_of(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def dict_of(value: Mapping[str, Any]) -> Props:
    return {key: plain(item) for key, item in value.items()}


@cache
def samples(type_: str) -> tuple[Sample, ...]:
    """The resources of a type in both regions, one for each set of properties that are given."""
    if type_ in BUILT:
        return (Sample("prod", type_, "built", BUILT[type_]),)
    found: dict[tuple[str, ...], Sample] = {}
    for stack in STACKS:
        for one in region(stack).resources:
            if one.type == type_:
                sample = Sample(stack, type_, one.name, dict_of(one.inputs))
                found.setdefault((stack, *sorted(sample.inputs)), sample)
    return tuple(found.values())


Sessions = Callable[[str, str], Session]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    """The local providers in this process, by type and region; no cloud stands behind them."""
    store = Store(tmp_path_factory.mktemp("store") / "none.sqlite")
    described = {one.token: TypePlan(one) for one in TYPES}
    clients = Clients("http://127.0.0.1:9")
    kubernetes, random = KubernetesPackage(store, custom=CUSTOM).configure({}), RandomPackage().configure({})

    def session(type_: str, place: str) -> Session:
        package = type_.split(":")[0]
        if package == "aws":
            return AwsSession(Region(place, clients, account="123456789012"), {}, described, store)
        return {"kubernetes": kubernetes, "random": random}[package]

    yield session
    clients.close()
    store.close()


# What becomes of a change


def diffed(
    session: Session, sample: Sample, old: Props, new: Props, outputs: Props | None = None
) -> tuple[Props, Props, Diff]:
    """Checked inputs before and after, and what the provider makes of the difference."""
    before, _ = session.check(sample.ref, {}, old)
    # What Check refuses never comes to a plan; that Diff would replace it all the same does no harm to prove.
    after, _ = session.check(sample.ref, before, new)
    return before, after, session.diff(sample.ref, "id", before, {**before, **(outputs or {})}, after)


def planned(sample: Sample, before: Props, after: Props, diff: Diff) -> Change:
    """The change as a plan has it."""
    op: Op = "replace" if diff.replaces else "update" if diff.changes else "same"
    by = tuple(change.path for change in diff.changes if change.replaces)
    return Change(urn=sample.ref.urn, type=sample.type, op=op, inputs=after, before=before, replaced_by=by)


def fires(change: Change, path: str) -> bool:
    """Whether the gate stops the change, and names the property."""
    objections = judge(Plan("prod", "us-east-1", "local", (change,)), (), today=TODAY)
    top = path.split(".")[0]
    return any(its.stops and its.what.startswith("replaced by ") and top in its.what for its in objections)


# Each property that replaces


def replacing(type_: str) -> tuple[str, ...]:
    """The property paths whose change replaces a resource of the type."""
    if type_.startswith("aws:"):
        about = facts.all_facts()[type_]
        return tuple(sorted({*about.replaces, *(["region"] if "region" in facts.inputs(type_) else [])}))
    if type_.startswith("random:"):
        return tuple(_kind(Ref("", type_, "")).types)
    kind = Kind.of(type_)
    return ("metadata.name", *(["metadata.namespace"] if namespaced(type_) else []), *_REPLACED_BY.get(kind.path, ()))


def namespaced(type_: str) -> bool:
    return any("namespace" in sample.inputs["metadata"] for sample in samples(type_))


def varied(inputs: Props, type_: str, path: str) -> Props:
    """The inputs with another value at one path, or with one where there was none."""
    changed: Props = with_value(inputs, path.split("."), lambda now: another(now, type_, path))
    return changed


def with_value(value: Any, path: list[str], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    if isinstance(value, list):
        return [with_value(value[0], path, change), *value[1:]] if value else [with_value({}, path, change)]
    inner = value or {}
    changed = with_value(inner.get(path[0]), path[1:], change)
    rest = {key: item for key, item in inner.items() if key != path[0]}
    return rest if changed is None else {**rest, path[0]: changed}


def another(now: Any, type_: str, path: str) -> Any:
    """Another value than this one; a block goes, or comes."""
    if isinstance(now, bool):
        return not now
    if isinstance(now, int):
        return now + 1
    if isinstance(now, str):
        return next((one for one in allowed(type_, path) if one != now), f"{now}x")
    if isinstance(now, list):
        return [*now, *now[:1]] if now and isinstance(now[0], dict) else [*now, "other"]
    return None if now is not None else fresh(type_, path)


def allowed(type_: str, path: str) -> tuple[Any, ...]:
    about = facts.all_facts().get(type_)
    return about.enums.get(path, ()) if about else ()


def fresh(type_: str, path: str) -> Any:
    """A value for a property that is not given."""
    if not type_.startswith("aws:"):
        return {"a": "b"} if path == "keepers" else not_default(type_, path)
    schema, about = facts.inputs(type_), None
    for step in path.split("."):
        about = schema[step]
        schema = about.fields
    assert about is not None
    default = facts.all_facts()[type_].defaults.get(path)
    value = next((one for one in allowed(type_, path) if one != default), None) or {bool: True, int: 7, float: 7.0}.get(
        about.scalar or str, "other"
    )
    if about.object:
        value = {name: "other" for name, its in about.fields.items() if its.scalar is str} or {"other": "other"}
    return [value] if about.list else value


def not_default(type_: str, path: str) -> Any:
    if type_.startswith("kubernetes:"):
        return {"matchLabels": {"a": "b"}} if path == "spec.selector" else "other"
    kind = _kind(Ref("", type_, ""))
    default = kind.complete({}).get(path)
    return (not default) if kind.types[path] is bool else 7 if kind.types[path] is int else "-"


@dataclass(frozen=True)
class Case:
    """One property of one resource."""

    sample: Sample
    path: str

    def __str__(self) -> str:
        return f"{self.sample.stack} {self.sample.type} {self.sample.name}: {self.path}"


def cases() -> list[Case]:
    return [
        Case(sample, path)
        for type_ in (*AWS, *RANDOM, *KUBERNETES)
        for sample in samples(type_)
        for path in replacing(type_)
    ]


def test_every_stateful_type_has_a_sample_that_the_provider_takes(sessions: Sessions) -> None:
    for type_ in (*AWS, *RANDOM, *KUBERNETES):
        assert samples(type_), type_
        for sample in samples(type_):
            before, after, diff = diffed(sessions(type_, sample.place), sample, sample.inputs, sample.inputs)
            assert planned(sample, before, after, diff).op == "same", sample


def test_every_replacement_of_something_stateful_meets_the_gate(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    passed, every = [], cases()
    for case in every:
        sample = case.sample
        new = varied(sample.inputs, sample.type, case.path)
        change = planned(sample, *diffed(sessions(sample.type, sample.place), sample, sample.inputs, new))
        if not fires(change, case.path):
            passed.append(f"{case}: {change.op} {change.replaced_by}")
    with capsys.disabled():
        sys.stdout.write(f"\n{len(every) - len(passed)} of {len(every)} replacements meet the gate\n")
    assert passed == []
    assert len({case.sample.type for case in every}) == len({*AWS, *RANDOM, *KUBERNETES})


# What depends on values


@dataclass(frozen=True)
class Turn:
    """A change that replaces by its values: what a resource of the type says over its sample, and then says.

    None takes a property away; `outputs` is what AWS has beside what was said.
    """

    type: str
    path: str
    old: Props
    new: Props
    outputs: Props | None = None
    stack: str = "prod"

    def __str__(self) -> str:
        return f"{self.type.split(':')[-1]} {self.path} {self.new.get(self.path.split('.')[0], '')}"


DOMAIN = "aws:opensearch/domain:Domain"
INSTANCE = "aws:rds/instance:Instance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
CLUSTER = "aws:eks/cluster:Cluster"
SHARD = {"nodeGroupId": "0001", "slots": "0-16383", "replicaCount": 1}
ROLE = "arn:aws:iam::123456789012:role/nodes"
COMPUTE = {"enabled": True, "nodePools": ["system"], "nodeRoleArn": ROLE}
OFF, ON = {"enabled": False}, {"enabled": True}

TURNS = [
    # Said nowhere: a replica has its source's encryption, and the provider takes silence for "no".
    Turn(
        INSTANCE, "storageEncrypted", {"storageEncrypted": None}, {"storageEncrypted": None}, {"storageEncrypted": True}
    ),
    Turn(
        INSTANCE,
        "storageEncrypted",
        {"storageEncrypted": None},
        {"storageEncrypted": None},
        {"storageEncrypted": True},
        stack="dr",
    ),
    Turn(INSTANCE, "storageEncrypted", {}, {"storageEncrypted": None}),
    Turn(INSTANCE, "restoreToPointInTime", {}, {"restoreToPointInTime": {"useLatestRestorableTime": True}}),
    Turn(INSTANCE, "s3Import", {}, {"s3Import": {"bucketName": "a", "ingestionRole": "b", "sourceEngine": "mysql"}}),
    # The provider itself is in another region now.
    *(Turn(type_, "region", {}, {}, {"region": "eu-west-1"}) for type_ in (DOMAIN, INSTANCE, CACHE, CLUSTER)),
    Turn(DOMAIN, "engineVersion", {"engineVersion": "OpenSearch_3.1"}, {"engineVersion": "OpenSearch_2.19"}),
    Turn(DOMAIN, "engineVersion", {"engineVersion": "OpenSearch_3.3"}, {"engineVersion": "OpenSearch_3.1"}),
    Turn(DOMAIN, "engineVersion", {"engineVersion": "OpenSearch_1.3"}, {"engineVersion": "OpenSearch_3.1"}),
    Turn(DOMAIN, "engineVersion", {"engineVersion": "Elasticsearch_7.10"}, {"engineVersion": "OpenSearch_3.1"}),
    Turn(DOMAIN, "encryptAtRest", {"encryptAtRest": ON}, {"encryptAtRest": OFF}),
    Turn(DOMAIN, "nodeToNodeEncryption", {"nodeToNodeEncryption": ON}, {"nodeToNodeEncryption": OFF}),
    Turn(DOMAIN, "advancedSecurityOptions", {"advancedSecurityOptions": ON}, {"advancedSecurityOptions": OFF}),
    *(
        Turn(
            DOMAIN,
            path,
            {"engineVersion": "Elasticsearch_6.5", path: OFF},
            {"engineVersion": "Elasticsearch_6.5", path: ON},
        )
        for path in ("encryptAtRest", "nodeToNodeEncryption")
    ),
    Turn(DOMAIN, "ipAddressType", {"ipAddressType": "dualstack"}, {"ipAddressType": "ipv4"}),
    Turn(CACHE, "engine", {"engine": "valkey"}, {"engine": "redis"}),
    Turn(CACHE, "engine", {"engine": "redis"}, {"engine": "memcached"}),
    Turn(CACHE, "engineVersion", {"engineVersion": "8.2"}, {"engineVersion": "8.1"}),
    Turn(
        CACHE,
        "transitEncryptionEnabled",
        {"engine": "redis", "engineVersion": "6.2", "transitEncryptionEnabled": False},
        {"engine": "redis", "engineVersion": "6.2", "transitEncryptionEnabled": True},
    ),
    Turn(CACHE, "nodeGroupConfigurations", {}, {"nodeGroupConfigurations": [SHARD]}),
    Turn(CACHE, "nodeGroupConfigurations", {"nodeGroupConfigurations": [SHARD]}, {"nodeGroupConfigurations": None}),
    Turn(
        CACHE,
        "nodeGroupConfigurations",
        {"nodeGroupConfigurations": [SHARD]},
        {"nodeGroupConfigurations": [{**SHARD, "replicaCount": 2}]},
    ),
    Turn(CACHE, "port", {"port": 6379}, {"port": 6380}),
    Turn(CLUSTER, "encryptionConfig", {}, {"encryptionConfig": None}),
    Turn(
        CLUSTER, "computeConfig", {"computeConfig": COMPUTE}, {"computeConfig": {**COMPUTE, "nodeRoleArn": f"{ROLE}-2"}}
    ),
    Turn(
        CLUSTER,
        "vpcConfig",
        {"vpcConfig": {"controlPlaneEgressMode": "CUSTOMER_ROUTED"}},
        {"vpcConfig": {"controlPlaneEgressMode": "AWS_MANAGED"}},
    ),
    Turn("aws:kms/key:Key", "multiRegion", {"multiRegion": True}, {"multiRegion": False}),
    Turn("aws:s3/bucket:Bucket", "bucket", {}, {"bucket": "another-name"}),
    Turn("aws:s3/bucket:Bucket", "objectLockEnabled", {"objectLockEnabled": False}, {"objectLockEnabled": True}),
    *(
        Turn("aws:backup/vaultLockConfiguration:VaultLockConfiguration", name, {}, {name: days})
        for name, days in (("changeableForDays", 3), ("minRetentionDays", 1), ("maxRetentionDays", 30))
    ),
    Turn("aws:ec2/vpc:Vpc", "instanceTenancy", {}, {"instanceTenancy": "dedicated"}),
]


def said(inputs: Props, over: Props) -> Props:
    return {key: value for key, value in {**inputs, **over}.items() if value is not None}


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_a_replacement_by_value_meets_the_gate(sessions: Sessions, turn: Turn) -> None:
    sample = next(one for one in samples(turn.type) if one.stack == turn.stack)
    old, new = said(sample.inputs, turn.old), said(sample.inputs, turn.new)
    change = planned(sample, *diffed(sessions(turn.type, sample.place), sample, old, new, turn.outputs))
    assert change.op == "replace"
    assert fires(change, turn.path)


NO_REPLACEMENT = {
    "NOT": "names what is in place",
    "EVERY": "every input is among `replaces`",
    "any": "the property is among `replaces`",
    "a": "secretString and secretBinary are among `replaces`",
    "replicateSourceDb": "promotes, or fails",
    "storageType": "plans an update for ever",
    "users": "is not compared",
    "dataReplicationMode": "is not compared while it is pending",
    "cidrBlock": "is among `replaces`",
}
"""Sentences of the facts that name no replacement of their own, by their first word."""

IN_PLACE = {("aws:elasticache/globalReplicationGroup:GlobalReplicationGroup", "engineVersion"): "an error at preview"}


def test_every_condition_of_the_facts_is_tried() -> None:
    tried = {(turn.type, turn.path) for turn in TURNS}
    for type_ in AWS:
        about = facts.all_facts()[type_]
        for sentence in about.conditional:
            match = re.match(r"[\w.]+", sentence)
            assert match, sentence
            subject = match[0].split(".")[0]
            known = subject in NO_REPLACEMENT or subject == "region" or (type_, subject) in IN_PLACE
            listed = any(path.split(".")[0] == subject for path in about.replaces)
            assert known or listed or (type_, subject) in tried, f"{type_}: {sentence}"


def test_a_region_that_is_only_written_out_replaces_nothing(sessions: Sessions) -> None:
    for sample in samples(INSTANCE):
        new = {**sample.inputs, "region": sample.place}
        before, after, diff = diffed(sessions(INSTANCE, sample.place), sample, sample.inputs, new)
        assert planned(sample, before, after, diff).op == "same"
