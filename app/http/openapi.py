"""The description of the API, OpenAPI 3.1, made of the operations that are routed: it cannot say what is not there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from app.errors import MEDIA_TYPE, SettingsError, every_error
from app.http.call import JSON, MERGE_PATCH, NDJSON, Operation
from app.tenancy import Right

EVERY: Final = (400, 401, 403, 429, 500, 503, 504)
BODY: Final = (408, 413, 415)
"""What every operation with credentials may answer beside its own."""

_TEXT: Final = {
    200: "Done",
    201: "Made",
    202: "Taken: it will be in the index once the task has ended",
    204: "Done",
    304: "It is as the caller has it",
    503: "Not now",
}

_TASK: Final = tuple((name, "task_id", "$response.body#/task_id") for name in ("get_task", "cancel_task"))

_DOCUMENT: Final = tuple(
    (name, "document_id", "$response.body#/document_id")
    for name in ("get_document", "put_document", "patch_document", "get_versions", "delete_document")
)

_LINKS: Final = {
    ("Accepted", 200): _DOCUMENT,
    ("Accepted", 202): (*_DOCUMENT, *_TASK),
    ("BulkAnswer", 202): _TASK,
    ("SearchAnswer", 200): (("search_by_url", "cursor", "$response.body#/next"),),
    ("NewKey", 201): (("revoke_key", "prefix", "$response.body#/key/prefix"),),
    ("put_synonym", 200): (("delete_synonym", "word", "$request.path.word"),),
}
"""What an answer leads to, by type or operation and status: operation, parameter, and where its value is."""

_INTRODUCTION: Final = """\
A multi-tenant document search. A key or a token says which tenant a request is for; nothing of any other tenant is ever
seen. Writes are safe once they are answered, and found once their task has succeeded. Errors are problems of RFC 9457
with a `code`; `x-correlation-id` of an answer finds its log lines."""

_CREDENTIALS: Final = """\
An API key, a tenant token or, where the service has an identity provider, an access token of it. `x-scope` of an
operation is what it needs."""


def description(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The whole description."""
    types = {kind for one in operations for kind in (one.body, *one.answers.values()) if _named(kind)}
    _, components = msgspec.json.schema_components(
        sorted(types, key=lambda kind: kind.__name__), ref_template="#/components/schemas/{name}"
    )
    schemas = {name: _tidy(schema) for name, schema in components.items()}
    schemas["Problem"] = _problem()
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "docsearch", "version": version, "description": _INTRODUCTION},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {"header": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": _CREDENTIALS},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "responses": {
                "Problem": {
                    "description": "What is wrong, why, and what to do",
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": inspect.cleandoc(one.handler.__doc__ or ""),
        "tags": [one.tag],
        "responses": _responses(one),
    }
    if one.right is None:
        found["security"] = []
    else:
        found["x-scope"] = one.right.value
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        for name in re.findall(r"{(\w+)}", one.path)
    ]
    parameters += [
        {
            "name": its.name,
            "in": its.where,
            "required": its.required,
            "description": its.text,
            "schema": dict(its.schema),
        }
        for its in one.parameters
    ]
    if parameters:
        found["parameters"] = parameters
    if one.body is not None:
        content = {media: {"schema": _body_schema(one, media)} for media in one.media}
        found["requestBody"] = {"required": one.body_needed, "content": content}
    return found


def _responses(one: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, kind in one.answers.items():
        response: dict[str, Any] = {"description": _TEXT[status]}
        if kind is str:
            response["content"] = {"text/plain": {"schema": {"type": "string"}}}
        elif kind is not None:
            response["content"] = {JSON: {"schema": _schema(kind)}}
        if links := {
            name: {"operationId": name, "parameters": {parameter: where}}
            for name, parameter, where in _LINKS.get((one.name, status), _LINKS.get((_name(kind), status), ()))
        }:
            response["links"] = links
        found[str(status)] = response
    errors = (*one.errors, *(EVERY if one.right else (500, 504)), *(BODY if one.body is not None else ()))
    if one.method != "GET" and one.right in (Right.WRITE, Right.ADMIN):
        errors = (*errors, 307)
    return found | {
        str(status): {"$ref": "#/components/responses/Problem"}
        for status in sorted({*errors})
        if status not in one.answers
    }


def _body_schema(one: Operation, media: str) -> dict[str, Any]:
    if media == NDJSON:
        return {"type": "string", "description": "A `Line` as JSON per line", "contentMediaType": NDJSON}
    return {"type": "object"} if media == MERGE_PATCH else _schema(one.body)


def _path_schema(name: str) -> dict[str, Any]:
    return {"type": "string", "format": "uuid"} if name.endswith("_id") else {"type": "string"}


def _name(kind: Any) -> str:
    return kind.__name__ if _named(kind) else ""


def _named(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _schema(kind: Any) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"} if _named(kind) else {"type": "object"}


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """A docstring's attributes become the descriptions of their properties."""
    text = inspect.cleandoc(schema.get("description", ""))
    head, _, attributes = text.partition("\n\nAttributes:\n")
    found = {**schema, "description": " ".join(head.split())} if head else dict(schema)
    for attribute, said in _attributes(attributes):
        name = "from" if attribute == "offset" else attribute
        if name in found.get("properties", {}):
            its = found["properties"][name]
            found["properties"][name] = {**its, "description": said}
    return found


def _attributes(text: str) -> list[tuple[str, str]]:
    parts = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", text, re.MULTILINE)
    return [(name, " ".join(said.replace("``", "`").split())) for name, said in parts]


def _problem() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "What is wrong (RFC 9457)",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {**text, "description": "Names the kind of problem"},
            "title": {**text, "description": "The kind of problem, for people"},
            "status": {"type": "integer"},
            "detail": {**text, "description": "What is wrong, and why"},
            "code": {**text, "enum": sorted(kind.code for kind in every_error() if kind is not SettingsError)},
            "remedy": {**text, "description": "What to do about it"},
            "pointer": {**text, "description": "Where in the body (RFC 6901)"},
            "correlation_id": {**text, "description": "Finds the log lines of the request"},
        },
    }
