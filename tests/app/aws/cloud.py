"""An AWS to ask: moto's, which checks signatures and rights if it is told to."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from app.aws.identity import identity

REGION = "us-west-2"


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """An AWS with nothing in it; this process is whoever the environment says."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    identity.cache_clear()
    async with httpx.AsyncClient() as http:
        await http.post(f"{moto}/moto-api/reset")
        yield moto
        await http.post(f"{moto}/moto-api/reset-auth", content="1000000000")
    identity.cache_clear()


@contextmanager
def checking(url: str) -> Iterator[None]:
    """From here on moto checks who asks, and what for."""
    httpx.post(f"{url}/moto-api/reset-auth", content="0")
    try:
        yield
    finally:
        httpx.post(f"{url}/moto-api/reset-auth", content="1000000000")


def client(service: str, url: str) -> Any:
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, region_name=REGION, endpoint_url=url, **keys)  # type: ignore[call-overload]
