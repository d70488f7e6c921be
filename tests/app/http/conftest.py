"""The whole API over a real PostgreSQL, without a socket: requests go straight to the application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app.http.app import application
from app.runtime import Service, open_service
from app.settings import Settings
from app.store.database import connect
from app.store.embedded import SUPERUSER
from app.worker import Worker
from tests.app.world import World, world_of


@dataclass
class Api:
    """The API and what is behind it."""

    http: httpx.AsyncClient
    service: Service
    worker: Worker
    world: World

    async def tenant(self, name: str, *scopes: str) -> "Caller":
        scope = await self.world.tenant(name)
        return await self.key(scope.tenant_id, *scopes)

    async def key(self, tenant_id: Any, *scopes: str, **more: Any) -> "Caller":
        admin = await connect(self.world.settings, SUPERUSER)
        try:
            key, made = await self.service.keys.create(
                admin, tenant_id, scopes=scopes or ("read", "write", "admin"), **more
            )
        finally:
            await admin.close()
        return Caller(self, key, tenant_id, made.prefix)

    async def index_all(self) -> None:
        while await self.worker.step():
            pass


@dataclass
class Caller:
    """Somebody with a key or a token."""

    api: Api
    credential: str
    tenant_id: Any
    prefix: str = ""

    async def __call__(self, method: str, path: str, /, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.credential}", **more.pop("headers", {})}
        return await self.api.http.request(method, path, headers=headers, **more)

    async def add(self, **document: Any) -> str:
        answer = await self("POST", "/v1/documents", json=document)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["document_id"])

    async def found(self, q: str = "", **more: Any) -> list[str]:
        answer = await self("POST", "/v1/search", json={"q": q, "size": 100, **more})
        assert answer.status_code == 200, answer.text
        return [hit["document_id"] for hit in answer.json()["hits"]]


@asynccontextmanager
async def api_of(settings: Settings, **changes: Any) -> AsyncIterator[Api]:
    settings = settings.model_copy(update=changes)
    async with world_of(settings) as world, open_service(settings, with_worker=True) as (service, worker):
        assert worker
        transport = httpx.ASGITransport(app=application(service), client=("192.0.2.7", 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
            yield Api(http, service, worker, world)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with api_of(settings) as its:
        yield its


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """What is wrong, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["correlation_id"] == answer.headers["x-correlation-id"]
    return body
