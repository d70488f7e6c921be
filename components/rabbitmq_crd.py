"""The kind `RabbitmqCluster` as this program uses it: what its CustomResourceDefinition says.

Plain data and no imports: the local cloud validates with it, too. Written for our own use: only the fields that we set
are described, and all but what the operator fills in itself are required, so that nothing is left to a default that a
later operator may change. Field names: rabbitmq.com/v1beta1 of the RabbitMQ cluster operator, API reference.
"""

from typing import Any

GROUP = "rabbitmq.com"
VERSION = "v1beta1"
KIND = "RabbitmqCluster"
PLURAL = "rabbitmqclusters"

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_SECONDS: Schema = {"type": "integer", "format": "int32", "minimum": 0}
_QUANTITY: Schema = {"x-kubernetes-int-or-string": True}
#: Kubernetes' own types, which the operator hands on to the StatefulSet: the API server checks them there.
_OPAQUE: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _object(required: bool = True, /, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return schema | ({"required": sorted(properties)} if required else {})


SPEC: Schema = _object(
    replicas={"type": "integer", "format": "int32", "enum": [3, 5, 7]},
    image={"type": "string", "pattern": "@sha256:[0-9a-f]{64}$"},
    service=_object(type={"type": "string", "enum": ["ClusterIP"]}),
    persistence=_object(storageClassName=_TEXT, storage=_QUANTITY),
    resources=_object(requests=_object(cpu=_QUANTITY, memory=_QUANTITY), limits=_object(memory=_QUANTITY)),
    affinity=_OPAQUE,
    tolerations={"type": "array", "items": _OPAQUE},
    rabbitmq=_object(additionalConfig={"type": "string", "minLength": 1, "maxLength": 100_000}),
    tls=_object(secretName=_TEXT, disableNonTLSListeners={"type": "boolean"}),
    override=_object(
        statefulSet=_object(
            spec=_object(
                persistentVolumeClaimRetentionPolicy=_object(
                    whenDeleted={"type": "string", "enum": ["Delete", "Retain"]},
                    whenScaled={"type": "string", "enum": ["Delete", "Retain"]},
                ),
                template=_object(
                    spec=_object(
                        containers={"type": "array", "items": _OPAQUE},
                        topologySpreadConstraints={"type": "array", "items": _OPAQUE},
                    )
                ),
            )
        )
    ),
    delayStartSeconds=_SECONDS,
    terminationGracePeriodSeconds={"type": "integer", "format": "int64", "minimum": 0},
)

#: The operator adds a whole object of its own here; nobody else writes it.
SCHEMA: Schema = {"type": "object", "required": ["spec"], "properties": {"spec": SPEC, "status": _OPAQUE}}
