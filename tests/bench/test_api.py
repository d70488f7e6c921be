"""What is measured is what the service does: documents are written as its worker writes them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.index.placement import Place, Tier, layout_of
from tests.bench import __main__, api
from tests.bench.driver import Driver, Orders
from tests.bench.load import Corpus
from tests.bench.wire import request

TENANT_ID = UUID(int=7)


@pytest.mark.parametrize("tier", Tier)
def test_documents_go_where_the_service_looks_for_them(tier: Tier) -> None:
    layout = layout_of(Place(tier), TENANT_ID)
    sent = api._bulk([*Corpus(1).documents(3)], api.Target(TENANT_ID, layout))
    actions, documents = [orjson.loads(line) for line in sent.splitlines()[::2]], sent.splitlines()[1::2]
    assert [one["index"]["_index"] for one in actions] == [layout.alias] * 3
    assert {one["index"].get("routing") for one in actions} == {layout.routing}
    assert len({one["index"]["_id"] for one in actions}) == 3
    assert {orjson.loads(one)["tenant_id"] for one in documents} == {str(TENANT_ID)}


def test_nothing_is_said_about_writing_when_nothing_is_written_through_the_api(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--parts", "indexing,misses", "--straight"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 2
    assert "--straight writes past the API" in capsys.readouterr().err


BUSY = {"errors": True, "items": [{"index": {"status": 201}}, {"index": {"status": 429, "error": {"type": "busy"}}}]}
ALL_THERE = {"errors": True, "items": [{"index": {"status": 409}}, {"index": {"status": 201}}]}


def answered(*answers: object, run: Callable[[int], Awaitable[object]], seconds: float = 0.0) -> int:
    """Has a server give some answers in turn, the last one for ever, each after a time, and says how many it gave."""
    given = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal given
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                await reader.readexactly(length)
                body = orjson.dumps(answers[min(given, len(answers) - 1)])
                given += 1
                await asyncio.sleep(seconds)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    async def both() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            try:
                await run(server.sockets[0].getsockname()[1])
            finally:
                # Its connections hear that the other side has ended them.
                await asyncio.sleep(0.05)

    asyncio.run(both())
    return given


@pytest.mark.services
def test_what_is_refused_for_being_busy_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "REFUSED_SECONDS", 0.0)
    sent = [request("POST", api.BULK, b"{}")]
    assert answered(BUSY, ALL_THERE, run=lambda port: api._taken(port, iter(sent))) == 2
    with pytest.raises(ExceptionGroup) as ended:
        answered(BUSY, run=lambda port: api._taken(port, iter(sent)))
    assert "'type': 'busy'" in str(ended.value.exceptions[0])


@pytest.mark.services
@pytest.mark.parametrize(("whole", "failed"), [(True, {"degraded": 3}), (False, {})])
def test_the_engine_that_stands_in_is_no_answer_where_the_other_one_is_measured(
    whole: bool, failed: dict[str, int]
) -> None:
    found: list[dict[str, object]] = []

    async def drive(port: int) -> None:
        orders = Orders(port=port, key="k", rate=0, known=3, connections=1, whole=whole)
        found.append(await Driver(orders).run())

    answered({"level": "full_text", "degraded": True}, run=drive)
    assert found[0]["failed"] == failed


@pytest.mark.services
def test_what_was_sent_is_waited_for_and_what_never_was_is_counted_apart() -> None:
    found: list[dict[str, Any]] = []

    async def drive(port: int) -> None:
        orders = Orders(port=port, key="k", rate=200, seconds=0.1, connections=2, patience=0.5)
        found.append(await Driver(orders).run())

    served = answered({"level": "memory"}, run=drive, seconds=0.3)
    assert found[0]["all"]["count"] == served > 0
    assert found[0]["failed"] == {"not sent": found[0]["sent"] - served}
