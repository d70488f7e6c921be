"""A proxy that delays: what is sent to the service is late, whole and in order, and what it says is not."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.soak.proxy import DelayingProxy

pytestmark = pytest.mark.services


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a service that says what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while chunk := connection.recv(2**16):
                    connection.sendall(chunk)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo: int) -> Iterator[DelayingProxy]:
    its = DelayingProxy(echo, re.compile(rb"GET \S+"))
    yield its
    its.stop()


def call(proxy: DelayingProxy, said: bytes) -> tuple[bytes, float]:
    """What the service answers to something, and after how long, s."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as connection:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        heard = b"".join(iter(lambda: connection.recv(2**16), b""))
    return heard, time.monotonic() - began


def test_what_is_sent_arrives_whole_and_requests_are_counted(proxy: DelayingProxy) -> None:
    long = bytes(range(256)) * 4096
    assert call(proxy, long)[0] == long
    assert call(proxy, b"GET /a GET /b")[0] == b"GET /a GET /b"
    assert (proxy.connections, proxy.requests) == (2, 2)


def test_it_is_late_by_the_delay_that_was_set_when_it_was_sent(proxy: DelayingProxy) -> None:
    proxy.delay = 0.5
    heard, seconds = call(proxy, b"GET /late")
    assert heard == b"GET /late"
    assert seconds >= 0.5


def test_what_is_sent_later_without_a_delay_overtakes_nothing(proxy: DelayingProxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as connection:
        proxy.delay = 0.5
        connection.sendall(b"GET /first ")
        end = time.monotonic() + 10
        while proxy.requests < 1 and time.monotonic() < end:
            time.sleep(0.01)
        proxy.delay = 0.0
        connection.sendall(b"GET /second")
        connection.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: connection.recv(2**16), b"")) == b"GET /first GET /second"


def test_a_service_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    proxy = DelayingProxy(port, re.compile(b"x"))
    try:
        assert call(proxy, b"")[0] == b""
    finally:
        proxy.stop()
