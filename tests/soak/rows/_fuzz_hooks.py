"""What Schemathesis has to know of this API beside its description: bodies of NDJSON, and what its own key is."""

import json
import os
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, SerializationContext

NDJSON = "application/x-ndjson"

OWN = {*os.environ.get("DOCSEARCH_OWN_KEY", "").split()}
"""By what the key can be revoked that all is sent with. It finds both in answers, and does it: then all that follows is
answered 401, and shows nothing."""


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    del context
    lines = {"type": "array", "items": {"$ref": "#/components/schemas/Line"}, "minItems": 1, "maxItems": 5}
    for path in raw_schema["paths"].values():
        for operation in path.values():
            content = operation.get("requestBody", {}).get("content", {})
            if NDJSON in content:
                content[NDJSON] = {"schema": lines}


@schemathesis.serializer(NDJSON)
def ndjson(context: SerializationContext, value: Any) -> bytes:
    del context
    if isinstance(value, bytes):
        return value
    lines = value if isinstance(value, list) else [value]
    return b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    del context, kwargs
    if str(case.path_parameters.get("prefix", "")).removeprefix("dsk_") in OWN:
        case.path_parameters["prefix"] = "nobody"
