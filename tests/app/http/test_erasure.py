"""Erasure over HTTP and from the command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import cli
from tests.app.http.conftest import Api, problem

pytestmark = [pytest.mark.services, pytest.mark.anyio]


async def test_a_user_is_erased_by_a_task_and_answers_that_were_kept_go(api: Api) -> None:
    caller = await api.tenant("mine")
    gone = await caller.add(title="Diary", metadata={"user_id": "grace"})
    kept = await caller.add(title="Note", metadata={"user_id": "bob"})
    await api.index_all()
    assert sorted(await caller.found()) == sorted([gone, kept])
    asked = await caller("POST", "/v1/erasures", json={"user_id": "grace"})
    assert asked.status_code == 202, asked.text
    assert asked.json()["documents"] == 1
    assert asked.headers["location"] == f"/v1/tasks/{asked.json()['task_id']}"
    cache = api.service.cache
    held = cache._memory  # type: ignore[attr-defined]
    assert any(b"Diary" in raw for _, raw in held.values())
    house = api.worker.house
    assert house
    assert await house.step() == 1
    await api.index_all()
    assert await house.step() == 0
    assert not any(b"Diary" in raw for _, raw in held.values())
    task = (await caller("GET", asked.headers["location"])).json()
    assert (task["kind"], task["state"]) == ("erasure", "succeeded")
    assert await caller.found() == [kept]
    problem(await caller("GET", f"/v1/documents/{gone}"), 404, "not-found")
    rows = (await caller("GET", "/v1/audit")).json()["rows"]
    assert [row["action"] for row in rows[:2]] == ["finish_erasure", "erase_user"]
    assert "grace" not in str([row["detail"] for row in rows])
    assert (await caller("GET", "/v1/audit/verify")).json()["whole"] is True
    canceled = await caller("DELETE", asked.headers["location"])
    assert canceled.status_code in (404, 405, 409)


@pytest.mark.parametrize(
    "body", ["{}", '{"user_id": null}', '{"user_id": ""}', '{"user_id": 1.5}', '{"user_id": "a\\u0000"}', "[]", "x"]
)
async def test_what_names_no_user_is_refused(body: str, api: Api) -> None:
    caller = await api.tenant("mine")
    problem(await caller("POST", "/v1/erasures", content=body), 400, "invalid-request")


async def test_who_only_writes_or_follows_another_region_erases_nobody(api: Api) -> None:
    caller = await api.tenant("mine", "read", "write")
    problem(await caller("POST", "/v1/erasures", json={"user_id": "grace"}), 403, "forbidden")
    admin = await api.key(caller.tenant_id, "admin")
    api.service.settings = api.service.settings.model_copy(update={"standby_of": "https://primary"})
    problem(await admin("POST", "/v1/erasures", json={"user_id": "grace"}), 307, "standby")


def test_commands_say_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCSEARCH_HOME", str(tmp_path / "home"))
    found = CliRunner().invoke(cli, ["audit", "verify", "--keep"])
    assert found.exit_code == 2
    assert "--keep needs --heads FILE" in found.output
