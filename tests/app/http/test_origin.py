"""From where a request is, as the trail has it: through the application as a process serves it, without a socket."""

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from app.http.call import Call, Operation, answer
from app.observe import Metrics
from app.process import _Server
from app.settings import load

pytestmark = pytest.mark.anyio


async def tell(call: Call) -> Any:
    return answer(call.origin.address)


ADDRESS = Operation(method="GET", path="/address", handler=tell, right=None, name="tell", summary="", tag="")


async def address(caller: str, *lines: str, trusted: bool) -> str:
    service: Any = SimpleNamespace(settings=load(trust_forwarded=trusted), metrics=Metrics())
    config = _Server(service, [ADDRESS], cast(Any, None)).config
    config.load()
    transport = httpx.ASGITransport(app=config.loaded_app, client=(caller, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        found = await http.get("/address", headers=[("x-forwarded-for", line) for line in lines])
    assert found.status_code == 200, found.text
    return str(found.json())


@pytest.mark.parametrize("caller", ["127.0.0.1", "::1", "192.0.2.7"])
@pytest.mark.parametrize(
    "lines", [(), ("203.0.113.9",), ("198.51.100.1, 203.0.113.9",), ("198.51.100.1", "203.0.113.9")]
)
async def test_nobody_chooses_an_address_by_forwarding_unless_that_is_trusted(
    caller: str, lines: tuple[str, ...]
) -> None:
    assert await address(caller, *lines, trusted=False) == caller


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((), "192.0.2.7"),
        (("203.0.113.9",), "203.0.113.9"),
        (("198.51.100.1, 203.0.113.9",), "203.0.113.9"),
        (("198.51.100.1", "203.0.113.9"), "203.0.113.9"),
        (("198.51.100.1, 198.51.100.2", "198.51.100.3,2001:db8::9"), "2001:db8::9"),
    ],
)
async def test_the_address_is_what_the_load_balancer_put_last(lines: tuple[str, ...], found: str) -> None:
    assert await address("192.0.2.7", *lines, trusted=True) == found
