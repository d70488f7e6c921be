"""Kubernetes objects as plain values: what they are called, what replaces them, what of them drifted. Pure.

Naming and replacement follow pulumi-kubernetes 4.34 (`provider/pkg/metadata/naming.go`, `provider/pkg/provider/diff.go`
in its source), so that a plan against the local cloud is the plan against a cluster.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.resource import Change, Diff, Props, ProviderError, Ref, Tree

AUTONAMED = "pulumi.com/autonamed"
"""Annotation of objects whose name was made up here, as the real provider sets it."""

DEFAULT_NAMESPACE = "default"

_SET_BY_SERVER = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)

_CLUSTER_SCOPED = frozenset(
    """
    admissionregistration.k8s.io/MutatingAdmissionPolicy admissionregistration.k8s.io/MutatingAdmissionPolicyBinding
    admissionregistration.k8s.io/MutatingWebhookConfiguration admissionregistration.k8s.io/ValidatingAdmissionPolicy
    admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding
    admissionregistration.k8s.io/ValidatingWebhookConfiguration apiextensions.k8s.io/CustomResourceDefinition
    apiregistration.k8s.io/APIService certificates.k8s.io/CertificateSigningRequest
    certificates.k8s.io/ClusterTrustBundle flowcontrol.apiserver.k8s.io/FlowSchema
    flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration internal.apiserver.k8s.io/StorageVersion
    networking.k8s.io/IPAddress networking.k8s.io/IngressClass networking.k8s.io/ServiceCIDR node.k8s.io/RuntimeClass
    rbac.authorization.k8s.io/ClusterRole rbac.authorization.k8s.io/ClusterRoleBinding resource.k8s.io/DeviceClass
    resource.k8s.io/DeviceTaintRule resource.k8s.io/ResourceSlice scheduling.k8s.io/PriorityClass
    storage.k8s.io/CSIDriver storage.k8s.io/CSINode storage.k8s.io/StorageClass storage.k8s.io/VolumeAttachment
    storage.k8s.io/VolumeAttributesClass storagemigration.k8s.io/StorageVersionMigration
    /Namespace /Node /PersistentVolume
    """.split()
)
"""Built-in kinds without a namespace (`kubectl api-resources --namespaced=false`)."""


@dataclass(frozen=True, order=True)
class Kind:
    """A kind of object at one version of its API group.

    Attributes:
        group: API group; empty for the core group.
        version: Version of the group.
        name: The kind's name.
    """

    group: str
    version: str
    name: str

    @classmethod
    def of(cls, token: str) -> Kind:
        """The kind that a type token of pulumi-kubernetes means.

        Raises:
            ProviderError: The token names no kind of object.
        """
        match token.split(":"):
            case ["kubernetes", module, name] if name and module.count("/") == 1:
                group, version = module.split("/")
                return cls("" if group == "core" else group, version, name)
        raise ProviderError(f"{token} is no kind of Kubernetes object: kubernetes:<group>/<version>:<Kind> is expected")

    @property
    def token(self) -> str:
        """The type token, the other way round."""
        return f"kubernetes:{self.group or 'core'}/{self.version}:{self.name}"

    @property
    def api_version(self) -> str:
        """As objects give it in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The plural that API servers name the kind by in messages, for example `deployments.apps`."""
        lower = self.name.lower()
        if lower == "endpoints":
            plural = lower
        elif lower.endswith(("s", "x", "ch")):
            plural = f"{lower}es"
        elif lower.endswith("y") and lower[-2] not in "aeiou":
            plural = f"{lower[:-1]}ies"
        else:
            plural = f"{lower}s"
        return f"{plural}.{self.group}" if self.group else plural

    @property
    def cluster_scoped(self) -> bool:
        """Whether this is a built-in kind without a namespace."""
        return f"{self.group}/{self.name}" in _CLUSTER_SCOPED

    @property
    def path(self) -> str:
        """Kind with its group but without its version: what an object stays when the API moves on."""
        return f"{self.name}.{self.group}" if self.group else self.name


@dataclass(frozen=True)
class Mutable:
    """Which objects may change their data in place; the real provider replaces both kinds unless told otherwise."""

    config_maps: bool = False
    secrets: bool = False


def without_nulls(value: Any) -> Any:
    """The value without map entries that are null: to an API server they mean the same as absent ones."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


_DASHED = {
    "x_kubernetes_" + name.replace("-", "_"): "x-kubernetes-" + name
    for name in (
        "embedded-resource int-or-string list-map-keys list-type map-type preserve-unknown-fields validations"
    ).split()
}


def wire(kind: Kind, inputs: Props) -> Props:
    """An object as servers read it: no nulls, and the names that the SDK cannot spell as they are."""
    object: Props = without_nulls(inputs)
    if kind.path == "CustomResourceDefinition.apiextensions.k8s.io":
        object = _dashed(object)
    return object


def _dashed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_DASHED.get(key, key): _dashed(item) for key, item in value.items()}
    return [_dashed(item) for item in value] if isinstance(value, list) else value


def identity(object: Mapping[str, Any]) -> str:
    """The id of an object: `namespace/name`, or `name` where there is no namespace."""
    metadata = object["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def parse_identity(id: str) -> tuple[str, str]:
    """(namespace or "", name) of an id."""
    namespace, _, name = id.rpartition("/")
    return namespace, name


def named(ref: Ref, old: Mapping[str, Any], new: Props) -> Props:
    """The object with a name: its own, else the one that was made up for it before, else a new one.

    Args:
        ref: Its seed decides a new name.
        old: The inputs before, empty for a new object.
        new: The object.
    """
    metadata = new.get("metadata", {})
    if not isinstance(metadata, dict) or "name" in metadata or "generateName" in metadata:
        return new
    if _autonamed(old.get("metadata")):
        name = old["metadata"]["name"]
    else:
        name = f"{ref.name}-{hashlib.sha256(ref.seed or ref.urn.encode()).hexdigest()[:8]}"
    annotations = {**(metadata.get("annotations") or {}), AUTONAMED: "true"}
    return {**new, "metadata": {**metadata, "name": name, "annotations": annotations}}


def _autonamed(metadata: Any) -> bool:
    if not isinstance(metadata, Mapping):
        return False
    annotations = metadata.get("annotations")
    return isinstance(annotations, Mapping) and annotations.get(AUTONAMED) == "true"


# What a change means

_SELECTOR = ("spec.selector",)
_REPLACED_BY: Mapping[str, tuple[str, ...]] = {
    "ClusterRoleBinding.rbac.authorization.k8s.io": ("roleRef",),
    "DaemonSet.apps": _SELECTOR,
    "Deployment.apps": _SELECTOR,
    "Job.batch": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "PersistentVolume": tuple(
        f"spec.{source}"
        for source in (
            "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk"
            " glusterfs hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos"
            " vsphereVolume"
        ).split()
    ),
    "PersistentVolumeClaim": ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    "Pod": (
        "spec.containers",
        "spec.initContainers",
        *(
            f"spec.{field}"
            for field in (
                "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC"
                " hostNetwork hostPID hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy"
                " priority priorityClassName readinessGates restartPolicy runtimeClassName schedulerName"
                " securityContext serviceAccount serviceAccountName shareProcessNamespace subdomain"
                " terminationGracePeriodSeconds volumes"
            ).split()
        ),
    ),
    "ResourceQuota": ("spec.scopes",),
    "RoleBinding.rbac.authorization.k8s.io": ("roleRef",),
    "Secret": ("type",),
    "Service": ("spec.clusterIP",),
    "StatefulSet.apps": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "StorageClass.storage.k8s.io": ("parameters", "provisioner"),
}
"""What the real provider replaces an object for, beside its name and namespace."""

_FIXED: Mapping[str, tuple[str, ...]] = {
    "CSIDriver.storage.k8s.io": ("spec.attachRequired", "spec.volumeLifecycleModes"),
    "EndpointSlice.discovery.k8s.io": ("addressType",),
    "IngressClass.networking.k8s.io": ("spec.controller",),
    "Job.batch": tuple(
        f"spec.{field}"
        for field in "backoffLimitPerIndex completionMode managedBy podFailurePolicy successPolicy".split()
    ),
    "PersistentVolume": ("spec.volumeMode",),
    "PersistentVolumeClaim": ("spec.dataSource", "spec.dataSourceRef", "spec.volumeMode"),
    "PriorityClass.scheduling.k8s.io": ("preemptionPolicy", "value"),
    "ReplicaSet.apps": _SELECTOR,
    "RuntimeClass.node.k8s.io": ("handler",),
    "StorageClass.storage.k8s.io": ("reclaimPolicy", "volumeBindingMode"),
    "VolumeAttributesClass.storage.k8s.io": ("driverName", "parameters"),
}
"""What API servers refuse to change although the real provider does not replace for it (`ValidateImmutableField` and
`Forbidden` in `pkg/apis/*/validation` of Kubernetes 1.35)."""


def compare(kind: Kind, old: Props, new: Props, mutable: Mutable) -> Diff:
    """How new inputs differ from old ones, and what that means for the object."""
    replaced_by = ("kind", "metadata.name", "metadata.namespace", *_replaced_by(kind, new, mutable))
    changes = tuple(
        Change(path, how, replaces=_below(path, replaced_by) or (path == "apiVersion" and _other_group(old, new)))
        for path, how in Tree().changes(without_nulls(old), without_nulls(new))
    )
    before, after = (props["metadata"] if isinstance(props.get("metadata"), dict) else {} for props in (old, new))
    same_place = all(before.get(field) == after.get(field) for field in ("name", "namespace"))
    replaces = any(change.replaces for change in changes)
    return Diff(changes, delete_before_replace=replaces and same_place and not _autonamed(after))


def fixed_fields(kind: Kind, old: Props, new: Props) -> Iterator[str]:
    """The paths that differ although an API server would not have them changed in place."""
    for path, _ in Tree().changes(without_nulls(old), without_nulls(new)):
        if _below(path, _FIXED.get(kind.path, ())):
            yield path


def _replaced_by(kind: Kind, new: Props, mutable: Mutable) -> tuple[str, ...]:
    fields = _REPLACED_BY.get(kind.path, ())
    if kind.path == "Secret" and (not mutable.secrets or new.get("immutable") is True):
        return (*fields, "data", "stringData")
    if kind.path == "ConfigMap" and (not mutable.config_maps or new.get("immutable") is True):
        return (*fields, "binaryData", "data")
    return fields


def _below(path: str, fields: tuple[str, ...]) -> bool:
    return any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in fields)


def _other_group(old: Props, new: Props) -> bool:
    before, after = (str(props.get("apiVersion", "")).rpartition("/")[0] for props in (old, new))
    return before != after


# What is there


def adopted(live: Mapping[str, Any]) -> Props:
    """The inputs that an object found in a cluster would have."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _SET_BY_SERVER}
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}


def drifted(kind: Kind, inputs: Props, known: Mapping[str, Any], live: Mapping[str, Any]) -> Props:
    """The inputs as they would read if they had asked for what is there now.

    A server spells values its own way (`1000m` as `1`), drops what is only written (`stringData`) and adds defaults. So
    an input stays as it was written for as long as the server's answer to it stays what it was.

    Args:
        kind: Of the object.
        inputs: As written.
        known: The object as the server answered when it was last looked at.
        live: The object as it is now.
    """
    if kind.path == "Secret" and isinstance(written := inputs.get("stringData"), Mapping):
        known, live = _with_string_data(known, written), _with_string_data(live, written)
    result: Props = _drifted(inputs, known, live)
    return result


_ABSENT = object()


def _drifted(given: Any, known: Any, live: Any) -> Any:
    if isinstance(given, Mapping) and isinstance(live, Mapping):
        before = known if isinstance(known, Mapping) else {}
        pairs = {key: (before.get(key, _ABSENT), live.get(key, _ABSENT)) for key in given}
        return {
            key: _drifted(given[key], *pair) for key, pair in pairs.items() if pair[1] is not _ABSENT or _unseen(pair)
        }
    if isinstance(given, list) and isinstance(known, list) and isinstance(live, list):
        if len(given) == len(known) == len(live):
            return [_drifted(*items) for items in zip(given, known, live, strict=True)]
        return given if known == live else live
    if live is _ABSENT or live == known:
        return given
    return live


def _unseen(pair: tuple[Any, Any]) -> bool:
    """Whether the server never showed the field, so that its absence says nothing."""
    return pair == (_ABSENT, _ABSENT)


def _with_string_data(object: Mapping[str, Any], written: Mapping[str, Any]) -> Mapping[str, Any]:
    data = object.get("data") or {}
    return {**object, "stringData": {key: _decoded(data[key]) for key in written if key in data}}


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return value


def with_data(object: Props) -> Props:
    """A Secret as a server keeps it: `stringData` written into `data`."""
    if not (text := object.get("stringData")):
        return object
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
    kept = {key: value for key, value in object.items() if key != "stringData"}
    return {**kept, "data": {**(object.get("data") or {}), **encoded}}
