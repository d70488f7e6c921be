"""The kinds of the AWS Load Balancer Controller as this program uses them: what their CustomResourceDefinitions say.

Plain data and no imports: the local cloud validates with it, too. Written for our own use: of a `TargetGroupBinding`
only the fields that we set are described, and all of them are required, so that nothing is left to a webhook that would
fill it in. Field names: elbv2.k8s.aws/v1beta1, "TargetGroupBinding", of the controller's reference.
"""

from typing import Any

GROUP = "elbv2.k8s.aws"
VERSION = "v1beta1"
KIND = "TargetGroupBinding"
PLURAL = "targetgroupbindings"

#: Nobody makes any, but the controller watches the kind and does not start without it.
PARAMETERS_KIND = "IngressClassParams"
PARAMETERS_PLURAL = "ingressclassparams"

Schema = dict[str, Any]

_OPAQUE: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


_SPEC: Schema = _object(
    targetGroupARN={"type": "string", "pattern": "^arn:aws[a-z-]*:elasticloadbalancing:"},
    targetType={"type": "string", "enum": ["ip"]},
    ipAddressType={"type": "string", "enum": ["ipv4"]},
    serviceRef=_object(
        name={"type": "string", "minLength": 1},
        port={"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
    ),
)

SCHEMA: Schema = {"type": "object", "required": ["spec"], "properties": {"spec": _SPEC, "status": _OPAQUE}}

PARAMETERS_SCHEMA: Schema = {"type": "object", "properties": {"spec": _OPAQUE}}
