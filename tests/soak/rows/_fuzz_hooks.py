"""What Schemathesis has to know of this API beside its description: a body of NDJSON is a list of lines."""

import json
from typing import Any

import schemathesis
from schemathesis import HookContext, SerializationContext

NDJSON = "application/x-ndjson"


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
