"""HTTP face of the local state service, on a loopback port."""

import contextlib
import gzip
import logging
import logging.handlers
import re
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from infra.local.state.api import Api, Request, compact
from infra.local.state.files import read_secret
from infra.local.state.journal import StateError
from infra.local.state.service import ACCESS_FILE, GRACE_S, RefusedError, Service

LOG_BYTES = 5_000_000

BATCH_PERIOD_MS = 5
"""For how long the engine gathers journal entries while steps wait. With its own default, 50, `up` of 200 resources
took 5.4 s; with 10, 2 and 1 between 3.3 and 3.8 s (one run each, on two shared cores)."""

_ENGINE = re.compile(r"pulumi-cli/1 \(([^;)]+)")

log = logging.getLogger("docsearch.local.state")


class Access(NamedTuple):
    """What a client needs to know of a service.

    Attributes:
        root: Folder of the state.
        url: Of the service.
        token: Its access token.
    """

    root: Path
    url: str
    token: str


def access(root: Path, port: int) -> Access:
    """Access to a service that another process runs.

    Raises:
        StateError: The folder was never served, or its token can be read by others.
    """
    try:
        token = read_secret(root / ACCESS_FILE).decode()
    except FileNotFoundError as missing:
        raise StateError(
            f"{missing.filename} does not exist", why="no state service has served this folder yet"
        ) from missing
    return Access(root, f"http://127.0.0.1:{port}", token)


class StateServer:
    """The state service on a loopback port.

    Args:
        root: Folder of the state; made if absent.
        port: To listen on; 0 picks a free one.
        grace_s: For how long, in seconds, an update is kept for a client that has gone away.

    Raises:
        StateError: The port is taken, or the folder cannot be served.
    """

    def __init__(self, root: Path, port: int, *, grace_s: float = GRACE_S) -> None:
        self._service = Service(root, grace_s=grace_s)
        try:
            self._http = _Http(("127.0.0.1", port), _Handler)
        except OSError as taken:
            self._service.close()
            raise StateError(
                f"port {port} cannot be used for the local state",
                why=str(taken),
                remedy="Stop what uses it, or choose another port",
            ) from taken
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._http.service = self._service
        self._http.api = Api(self._service, self.url)
        self._log = logging.handlers.RotatingFileHandler(root / "service.log", maxBytes=LOG_BYTES, backupCount=1)
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._thread = threading.Thread(target=self._http.serve_forever, name="docsearch-state", daemon=True)

    @property
    def root(self) -> Path:
        """Folder of the state."""
        return self._service.root

    @property
    def token(self) -> str:
        """The access token that clients must show."""
        return self._service.token

    def start(self) -> None:
        """Serve, on a thread of its own, until `stop`."""
        log.addHandler(self._log)
        log.setLevel(logging.INFO)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, close connections and release the folder; what was acknowledged is on disk."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.close_connections()
        self._http.server_close()
        self._service.close()
        log.removeHandler(self._log)
        self._log.close()


def serve(root: Path, port: int = 0, *, grace_s: float = GRACE_S) -> StateServer:
    """A state service, bound to its port; `StateServer.start` makes it answer.

    Raises:
        StateError: The port is taken, or the folder cannot be served.
    """
    return StateServer(root, port, grace_s=grace_s)


def client_env(server: StateServer | Access) -> dict[str, str]:
    """Environment with which an engine uses this service, with no login and without touching the user's own."""
    return {
        "PULUMI_BACKEND_URL": server.url,
        "PULUMI_ACCESS_TOKEN": server.token,
        # Else a login here would replace the one that the user has with Pulumi Cloud.
        "PULUMI_CREDENTIALS_PATH": str(server.root / ".client"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_JOURNALING_BATCH_PERIOD": str(BATCH_PERIOD_MS),
    }


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    api: Api
    service: Service

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed resets its connection: usual here, and no reason to print a traceback."""
        log.info("connection of %s ended: %r", client_address, sys.exc_info()[1])

    def close_connections(self) -> None:
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def setup(self) -> None:
        super().setup()
        self._last = time.monotonic()

    def finish(self) -> None:
        self.server.service.disconnected(id(self), idle_s=time.monotonic() - self._last)
        super().finish()

    def _serve(self) -> None:
        started = time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if len(body) < int(self.headers.get("Content-Length") or 0):
            self.close_connection = True  # the client died while it was sending: it was told nothing
            return
        code, answer = self._answer(body)
        self._last = time.monotonic()
        log.info("%s %s %d %.1f ms", self.command, self.path, code, 1000 * (self._last - started))
        head = (
            f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + (b"" if self.command == "HEAD" or code == 204 else answer))

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 (http.server names them)

    def _answer(self, body: bytes) -> tuple[int, bytes]:
        try:
            content = self.server.api.answer(self._request(body))
        except RefusedError as refused:
            return refused.code, _error(refused.code, str(refused))
        except StateError as broken:
            log.warning("%s %s: %s", self.command, self.path, broken)
            # Not a 5xx: the engine would repeat the request.
            return 422, _error(422, str(broken))
        except (KeyError, TypeError, ValueError) as malformed:
            log.warning("%s %s: malformed", self.command, self.path, exc_info=True)
            return 400, _error(400, f"Bad Request: {type(malformed).__name__} on a field of the body: {malformed}")
        except Exception as failure:
            log.exception("%s %s failed", self.command, self.path)
            return 500, _error(500, f"Internal Server Error: {type(failure).__name__}: {failure}")
        if content is None:
            return 204, b""
        return 200, content if isinstance(content, bytes) else compact(content)

    def _request(self, body: bytes) -> Request:
        url = urlsplit(self.path)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        engine = _ENGINE.match(self.headers.get("User-Agent", ""))
        return Request(
            method=self.command,
            parts=[unquote(part) for part in url.path.removeprefix("/api/").strip("/").split("/")],
            query={key: values[0] for key, values in parse_qs(url.query).items()},
            body=gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body,
            scheme=scheme,
            token=token,
            engine=engine[1] if engine else "",
            connection=id(self),
        )

    def log_message(self, format: str, *args: object) -> None:
        """Requests are logged by `_serve`; this is what the base class says of unreadable ones."""
        log.warning(format, *args)


def _error(code: int, message: str) -> bytes:
    return compact({"code": code, "message": message})
