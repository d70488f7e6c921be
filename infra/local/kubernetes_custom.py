"""The kinds that the program adds to Kubernetes by CustomResourceDefinitions of its own.

They are the very schemas that the program sends: what the local cloud takes, a cluster with the program's definitions
takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from components import rabbitmq_crd, target_group_crd
from infra.local.kubernetes_objects import Kind
from infra.local.kubernetes_schema import CustomKind
from infra.local.resource import Coverage

RABBITMQ_CLUSTER: Final = Kind(rabbitmq_crd.GROUP, rabbitmq_crd.VERSION, rabbitmq_crd.KIND)
TARGET_GROUP_BINDING: Final = Kind(target_group_crd.GROUP, target_group_crd.VERSION, target_group_crd.KIND)

CUSTOM: Final[Mapping[Kind, CustomKind]] = {
    RABBITMQ_CLUSTER: CustomKind(rabbitmq_crd.SCHEMA, namespaced=True),
    TARGET_GROUP_BINDING: CustomKind(target_group_crd.SCHEMA, namespaced=True),
}
"""What `KubernetesPackage` takes as `custom`: a new kind of the program is a new entry."""


def coverage() -> list[Coverage]:
    """The program's own kinds: validated by its own definitions, with no operator that would act on them."""
    note = "validated against the program's own CustomResourceDefinition; no operator acts on it"
    return [Coverage(kind.token, "recorded", note) for kind in sorted(CUSTOM)]
