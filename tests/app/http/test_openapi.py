"""The description of the API is valid, complete, and says what is answered."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from app.http.app import OPERATIONS, openapi
from app.http.page import reference
from tests.app.http.conftest import Api

SPEC: dict[str, Any] = json.loads(openapi())
SCHEMAS = SPEC["components"]["schemas"]


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    resource = Resource.from_contents({"$schema": SPEC["jsonSchemaDialect"], **SPEC})
    return Draft202012Validator(
        {"$ref": f"urn:spec{schema['$ref']}"} if "$ref" in schema else schema,
        registry=Registry().with_resource("urn:spec", resource),
    )


def test_every_operation_is_described_once() -> None:
    described = {
        (method.upper(), path): one["operationId"] for path, its in SPEC["paths"].items() for method, one in its.items()
    }
    assert described == {(one.method, one.path): one.name for one in OPERATIONS}
    assert len({*described.values()}) == len(described)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_says_what_it_is(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name].get("description") or "enum" in SCHEMAS[name], name
    assert "Attributes:" not in json.dumps(SCHEMAS[name])


def test_every_reference_leads_somewhere() -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(its := value.get("$ref"), str):
                where: Any = SPEC
                for step in its.removeprefix("#/").split("/"):
                    where = where[step]
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(SPEC)


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.name)
def test_what_needs_a_scope_says_so(one: Any) -> None:
    its = SPEC["paths"][one.path][one.method.lower()]
    assert its.get("x-scope") == one.right
    assert ("401" in its["responses"]) is (one.right is not None)
    assert (its.get("security") == []) is (one.right is None)
    assert its["summary"]
    assert its["description"]


def test_the_page_shows_every_operation_and_type() -> None:
    page = reference(SPEC)
    for one in OPERATIONS:
        assert f"id='{one.name}'" in page
    for name in SCHEMAS:
        assert f"id='{name}'" in page


@pytest.mark.services
@pytest.mark.anyio
async def test_answers_are_as_described(api: Api) -> None:
    caller = await api.tenant("mine")
    document = await caller.add(title="Tea", author="ada", tags=["x"], metadata={"n": 1})
    await api.index_all()
    asked: list[tuple[str, str, str, Any]] = [
        ("POST", "/v1/search", "/v1/search", {"q": "te", "facets": ["tags"], "highlight": True, "size": 1}),
        ("POST", "/v1/search", "/v1/search", {"q": "tea", "facets": ["metadata.n"], "highlight": True, "size": 1}),
        ("GET", "/v1/search", "/v1/search?q=tea", None),
        ("POST", "/v1/multi-search", "/v1/multi-search", {"searches": [{"q": "tea"}, {"size": -1}]}),
        ("GET", "/v1/suggest", "/v1/suggest?q=te", None),
        ("GET", "/v1/documents/{document_id}", f"/v1/documents/{document}", None),
        ("PATCH", "/v1/documents/{document_id}", f"/v1/documents/{document}", {"title": "T"}),
        ("GET", "/v1/documents/{document_id}/versions", f"/v1/documents/{document}/versions", None),
        ("POST", "/v1/documents", "/v1/documents", {"title": "New"}),
        ("GET", "/v1/tasks", "/v1/tasks", None),
        ("GET", "/v1/popular-queries", "/v1/popular-queries", None),
        ("GET", "/v1/me", "/v1/me", None),
        ("POST", "/v1/tokens", "/v1/tokens", {"subject": "u"}),
        ("POST", "/v1/keys", "/v1/keys", {"scopes": ["read"]}),
        ("GET", "/v1/keys", "/v1/keys", None),
        ("GET", "/v1/audit", "/v1/audit", None),
        ("GET", "/v1/audit/verify", "/v1/audit/verify", None),
        ("PUT", "/v1/synonyms/{word}", "/v1/synonyms/a", {"alternatives": ["b"]}),
        ("GET", "/v1/synonyms", "/v1/synonyms", None),
        ("GET", "/health", "/health", None),
        ("DELETE", "/v1/documents/{document_id}", f"/v1/documents/{document}", None),
        ("GET", "/v1/documents/{document_id}", f"/v1/documents/{document}", None),
    ]
    for method, path, url, body in asked:
        answer = await caller(method, url, json=body)
        its = SPEC["paths"][path][method.lower()]
        response = its["responses"][str(answer.status_code)]
        if "$ref" in response:
            response = SPEC["components"]["responses"]["Problem"]
        (media, content), *_ = response["content"].items()
        assert answer.headers["content-type"] == media
        errors = [*validator(content["schema"]).iter_errors(answer.json())]
        assert not errors, (url, errors[0].message, answer.text)
        if body is not None and answer.status_code < 400:
            for one in its["requestBody"]["content"].values():
                assert validator(one["schema"]).is_valid(body), (url, body)
