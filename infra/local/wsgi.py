"""The HTTP server in front of the local cloud: werkzeug's, with connections that stay open.

werkzeug closes each connection and lingers 10 ms over it, because it cannot know whether an application read the whole
request. Ours always does, and always answers with a complete body.
"""

import socket
import sys
import traceback
from functools import cache
from http import HTTPStatus
from importlib import import_module
from typing import Any

import boto3
import moto.kms.models as kms
from moto.core.utils import get_service_model
from moto.kms.utils import generate_private_key
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import ThreadedWSGIServer

from infra.errors import LocalCloudError
from infra.local.amend import amend
from infra.local.chance import Chance

HOST = "127.0.0.1"


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    # With small answers in two packets, Nagle's algorithm and delayed acknowledgement add 40 ms.
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def handle_expect_100(self) -> bool:
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def run_wsgi(self) -> None:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
            started.append((status, headers))

        environ = self.make_environ()
        try:
            body = b"".join(self.server.app(environ, start_response))
            status, headers = started[-1]
        except Exception:  # noqa: BLE001 (the connection must be answered whatever happens)
            # No message: it may quote a secret of the request.
            print("".join(traceback.format_tb(sys.exc_info()[2])), file=sys.stderr, flush=True)
            body, status, headers = b"", "500 Internal Server Error", []
            self.close_connection = True
        code = int(status.split()[0])
        self.send_response_only(code, status.partition(" ")[2])
        bare = self.command == "HEAD" or code < 200 or code in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding") and (bare or name.lower() != "content-length"):
                self.send_header(name, value)
        if not bare:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not bare:
            self.wfile.write(body)
        self.wfile.flush()


class Server(ThreadedWSGIServer):
    """Listens at once; answers when `serve_forever` runs.

    Args:
        port: TCP port on 127.0.0.1.

    Attributes:
        app: The application; to be set before `serve_forever`.

    Raises:
        LocalCloudError: The port is taken.
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        try:
            listener = socket.create_server((HOST, port), backlog=128)
        except OSError as error:
            raise LocalCloudError(
                f"port {port} cannot be used", why=error.strerror or str(error), remedy="Choose another port"
            ) from None
        with listener:
            super().__init__(HOST, port, _refuse_all, handler=_Handler, fd=listener.fileno())


def _refuse_all(environ: Any, start_response: Any) -> "list[bytes]":
    start_response("503 Service Unavailable", [])
    return []


class Moto(DomainDispatcherApplication):
    """moto's server application for all services.

    Args:
        chance: Decides what a service draws when it is first used.
    """

    def __init__(self, chance: Chance) -> None:
        def create(backend: Any) -> Any:
            with chance.apart(f"load {backend}"):
                # First: the app takes the routes that there are when it is made.
                amend(backend)
                return create_backend_app(backend)

        super().__init__(create)
        # moto makes an RSA key (100 ms) for each KMS key, symmetric ones too, which never use it.
        kms.generate_private_key = _private_key
        _import_ec2()
        # Draws the address of all clusters when it is imported, and other services import it too.
        with chance.apart("import eks"):
            import_module("moto.eks.models")
        # moto lists its own directories for each request.
        self._backend_for_host = cache(super().get_backend_for_host)

    def get_backend_for_host(self, host: str | None) -> Any:
        return self._backend_for_host(host)

    def load(self, signing_name: str) -> None:
        """Imports a service, so that its first caller need not wait."""
        backend = self.get_backend_for_host(f"{signing_name}.us-east-1.amazonaws.com")
        with self.lock:
            if backend not in self.app_instances:
                self.app_instances[backend] = self.create_app(backend)
        get_service_model(backend)


def _private_key(key_spec: str) -> Any:
    return generate_private_key(key_spec) if key_spec.startswith(("RSA_", "ECC_")) else None


def _import_ec2() -> None:
    """Imports `moto.ec2` with one session of boto3 instead of three, each of which parses 5 MB of JSON (0.3 s)."""
    original = boto3.Session
    boto3.Session = cache(original)  # type: ignore[misc, assignment]
    try:
        import_module("moto.ec2.models")
    finally:
        boto3.Session = original  # type: ignore[misc]
