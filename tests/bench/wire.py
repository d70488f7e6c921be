"""The least of HTTP/1.1: requests over a connection that is kept, so that measuring costs little itself."""

from __future__ import annotations

import asyncio
import re

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def request(method: str, path: str, body: bytes = b"", key: str = "", media: str = "application/json") -> bytes:
    """A request as it is sent."""
    credentials = f"authorization: Bearer {key}\r\n" if key else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{credentials}content-type: {media}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Wire:
    """A connection to 127.0.0.1, made when it is needed. `head` is that of the last answer.

    Args:
        port: TCP port.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.head = b""

    async def send(self, sent: bytes) -> tuple[int, bytes]:
        """Sends a request, and returns the status and the body of its answer.

        Raises:
            OSError: There is no connection.
            asyncio.IncompleteReadError: It has ended before the answer was there.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._streams
        try:
            writer.write(sent)
            self.head = head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            return int(head[9:12]), await reader.readexactly(int(length[1])) if length else b""
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
