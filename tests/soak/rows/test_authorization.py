"""The quick form of row 13, and that it finds what it is for."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.http.app import openapi
from app.resilience.limits import Limiter
from app.settings import Settings
from app.store.database import connect
from app.store.embedded import SUPERUSER
from app.tenancy import ROLES, Right, Role, Scope
from tests.app.http.matrix import CREDENTIALS, EXPECTED, RIGHTS, listed, matrix_of, unexpected
from tests.app.world import embedded, migrated, settings
from tests.soak.model import Scale
from tests.soak.rows import authorization

__all__ = ["embedded", "migrated", "settings"]

pytestmark = pytest.mark.services

SPEC: dict[str, Any] = json.loads(openapi())


def test_nobody_does_or_sees_what_is_not_theirs() -> None:
    verdict = authorization.run(Scale.QUICK, 13, lambda _: None)
    assert verdict.broken == ()
    assert verdict.figures["cells"] == len(listed(SPEC)) * len(RIGHTS) * len(CREDENTIALS)
    asked = int(verdict.figures["queries"]) + int(verdict.figures["changes"])
    assert asked == authorization.STATEMENTS[Scale.QUICK]
    assert int(verdict.figures["answered_as_own_rows_give"]) > asked / 2


def test_what_is_written_down_is_what_roles_may() -> None:
    for role in Role:
        assert RIGHTS[f"user:{role}"] == ROLES[role]
    assert all(RIGHTS[f"key:{right}"] == {right} for right in Right)


def test_an_operation_that_nobody_wrote_down_is_found() -> None:
    new = {"operationId": "erase", "x-scope": "admin"}
    changed = {**SPEC, "paths": {**SPEC["paths"], "/v1/new": {"post": new}}}
    assert unexpected(changed) == ["erase is in no row of EXPECTED: say there who may use it"]
    assert unexpected(SPEC) == []


def test_one_that_is_gone_or_takes_another_scope_is_found() -> None:
    paths = {path: its for path, its in SPEC["paths"].items() if path != "/v1/me"}
    paths["/v1/keys"] = {"get": {**SPEC["paths"]["/v1/keys"]["get"], "x-scope": "read"}}
    assert unexpected({"paths": paths}) == [
        "create_key is expected, and there is none",
        "whoami is expected, and there is none",
        "list_keys takes read, and admin is expected",
    ]


def no_check(self: Scope, right: Right) -> None:
    del self, right


@pytest.mark.anyio
async def test_a_service_that_checks_no_right_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("list_keys", "add_document")
    monkeypatch.setattr(Scope, "require", no_check)
    async with matrix_of(settings) as matrix:
        await matrix.hold([one for one in listed(SPEC) if one.name in names])
    refused = sum(EXPECTED[name].right not in its for its in RIGHTS.values() for name in names)
    # Each is seen with what is one's own and with what is another's.
    assert sum("instead of 403" in one for one in matrix.broken) == 2 * refused > 0


@pytest.mark.anyio
async def test_a_service_that_forgets_the_tenant_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with matrix_of(settings) as matrix:
        await matrix.api.world.admin("ALTER TABLE documents DISABLE ROW LEVEL SECURITY")
        theirs = matrix.theirs

        def foreign(authenticate: Callable[..., Any]) -> Callable[..., Any]:
            async def wrong(key: str) -> Scope:
                found: Scope = await authenticate(key)
                return Scope(tenant_id=theirs.tenant_id, actor=found.actor, rights=found.rights)

            return wrong

        monkeypatch.setattr(matrix.api.service.keys, "authenticate", foreign(matrix.api.service.keys.authenticate))
        matrix.api.service.limits = Limiter(None)
        await matrix.hold([one for one in listed(SPEC) if one.name in ("search", "get_document", "delete_document")])
    assert any("LEAK" in one for one in matrix.broken)
    assert any(one.startswith("delete_document changed the other tenant's") for one in matrix.broken)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fault",
    [
        "ALTER TABLE documents DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY wide ON synonyms TO docsearch_app USING (true)",
        "ALTER POLICY own ON api_keys USING (tenant_id = current_tenant() OR name LIKE '%e%')",
    ],
)
async def test_a_table_that_is_open_is_found(fault: str, settings: Settings) -> None:
    admin = await connect(settings, SUPERUSER)
    await admin.execute(fault)
    await admin.close()
    found = await authorization.statements(settings, 150, 1, lambda _: None)
    assert found.leaks
