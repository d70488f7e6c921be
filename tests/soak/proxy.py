"""A slow network before a service, simulated: a TCP proxy that holds for a while what is sent to the service."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from contextlib import suppress
from typing import Final

CHUNK: Final = 2**16
"""Bytes that are read at once."""


class DelayingProxy:
    """A proxy at a port of 127.0.0.1, in a thread of its own. What the service says passes at once.

    `delay` may be set at any time, and counts for what is sent from then on: what is held already stays so, as on a
    way that has become shorter. Nothing overtakes anything within a connection.

    Args:
        port: The service's TCP port at 127.0.0.1.
        request: What a request of the protocol looks like; each match in what is read at once counts as one.
    """

    def __init__(self, port: int, request: re.Pattern[bytes]) -> None:
        self._service, self._request = port, request
        self.delay = 0.0
        self.requests = 0
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="delaying proxy", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it, and all connections through it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._listener))
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError):
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._service)
            held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._take(reader, held))
                    ways.create_task(self._give(held, ours))
                    ways.create_task(_pass(theirs, writer))
            except* OSError:
                pass  # one side has ended it, and so both have
            finally:
                ours.close()
        writer.close()

    async def _take(self, reader: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Reads what comes, and says when it is due; nothing at all is the end."""
        due, chunk = 0.0, b"."
        while chunk:
            chunk = await reader.read(CHUNK)
            self.requests += len(self._request.findall(chunk))
            due = max(due, self._loop.time() + self.delay)
            held.put_nowait((due, chunk))

    async def _give(self, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """Sends on what is due."""
        while True:
            due, chunk = await held.get()
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends on what comes until it ends."""
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
    writer.close()
