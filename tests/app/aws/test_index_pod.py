"""The index role as its pods run it: probes at its port, its work from the broker, its login from a mounted Secret."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import process
from app.document import Document
from app.errors import UnavailableError
from app.queue.rabbitmq import RabbitQueue
from app.settings import Settings
from tests.app.services.servers import RabbitMQ
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]

SECONDS = 60


def login(folder: Path, password: str) -> Path:
    """A Secret of Kubernetes, as it is mounted."""
    (folder / "username").write_text("guest")
    (folder / "password").write_text(password)
    return folder


async def test_it_brings_the_outbox_to_the_broker_and_from_there_into_the_index(
    settings: Settings, world: World, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    scope = await world.tenant("mine")
    await world.put(scope, Document(title="Green tea"))
    where = {**rabbitmq.settings(), "broker_user": "", "broker_password": None}
    changes: dict[str, Any] = {"broker_login_folder": login(tmp_path, "guest"), "database_user": "docsearch_index"}
    its = settings.model_copy(update={**where, **changes, "port": 0, "address": "127.0.0.1"})
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    pod = asyncio.create_task(process.serve(its, with_worker=True, probes_only=True, ready=url.set_result))
    try:
        async with asyncio.timeout(SECONDS), httpx.AsyncClient(base_url=await url) as http:
            for path in ("/health/live", "/health/ready", "/health/startup"):
                assert (await http.get(path)).status_code == 200
            health = (await http.get("/health")).json()
            assert health["components"]["message_queue"]["detail"]["kind"] == "rabbitmq"
            assert (await http.post("/v1/search", json={})).status_code == 404
            while (await world.admin("SELECT count(*) FROM outbox"))[0][0]:
                await asyncio.sleep(0.1)
        (row,) = await world.admin("SELECT status FROM documents")
        assert row["status"] == "INDEXED"
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(pod, SECONDS)


async def test_a_login_that_the_broker_refuses_is_looked_up_again(
    settings: Settings, world: World, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    where = {**rabbitmq.settings(), "broker_user": "", "broker_login_folder": login(tmp_path, "hunter2")}
    queue = RabbitQueue(settings.model_copy(update=where), world.work)
    try:
        with pytest.raises(UnavailableError, match="RabbitMQ") as refused:
            await queue.publish([])
        assert "hunter2" not in str(refused.value)
        login(tmp_path, "guest")
        await queue.publish([])
        assert (await queue.health()).ok
    finally:
        await queue.close()
