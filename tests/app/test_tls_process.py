"""A process that speaks TLS, over loopback: who gets in, what its port of probes answers, renewals, and its end."""

import asyncio
import http.client
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from app.administration import create_key
from app.client import Client
from app.http import health
from app.http.app import OPERATIONS
from app.settings import Settings
from app.store.embedded import Embedded
from app.tls import trusting
from tests.app.certificates import DAY, Authority, Pair
from tests.app.services.server import free_port, listens
from tests.app.world import copy_of
from tests.bench.plant import Process

pytestmark = pytest.mark.services

SECONDS = 60.0
"""What is waited for is there by then, on a machine that has other things to do."""

KEY: dict[str, Any] = {"new_tenant": True, "scopes": ["read"], "name": "", "rate_limit": None, "expires_at": None}

GET = b"GET /v1/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


class Secured(Process):
    """A process that asks its clients for certificates, and has a port for probes."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.probes = free_port()
        super().__init__(folder, ["serve"], settings.model_copy(update={"probe_port": self.probes}))

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            return self.probe("/health/ready").status_code == 200
        return False

    def probe(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        return httpx.request(method, f"http://127.0.0.1:{self.probes}{path}", timeout=10, **more)

    @property
    def child(self) -> Any:
        """Its process."""
        return self._process


@dataclass
class Site:
    """Everything that a process and its clients have."""

    folder: Path
    settings: Settings
    key: str
    servers: Authority
    clients: Authority
    shown: Pair
    process: Secured
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def mine(self, signer: Authority | None = None, **more: Any) -> Pair:
        return (signer or self.clients).issue(f"client{next(self.numbers)}", **more)

    def client(self) -> Client:
        pair = self.mine()
        where = f"https://127.0.0.1:{self.process.port}"
        return Client(where, self.key, ca=self.servers.file, certificate=pair.certificate, key=pair.key)

    def context(self, pair: Pair | None) -> ssl.SSLContext:
        context = trusting(self.servers.file)
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    @contextmanager
    def connection(self, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection(("127.0.0.1", self.process.port), SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as secured,
        ):
            yield secured

    def answer(self, context: ssl.SSLContext) -> bytes:
        """All that is answered to a request."""
        with self.connection(context) as secured:
            secured.sendall(GET)
            return b"".join(iter(lambda: secured.recv(4096), b""))

    def serial(self) -> int:
        """Of the certificate that is shown now."""
        with self.connection(self.context(self.mine())) as secured:
            return serial(secured)


def serial(secured: ssl.SSLSocket) -> int:
    certificate = secured.getpeercert(binary_form=True)
    assert certificate
    return x509.load_der_x509_certificate(certificate).serial_number


@pytest.fixture(scope="module")
def started(migrated: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """Starts processes over one database."""
    with asyncio.Runner() as runner, ExitStack() as stack:
        its = copy_of(migrated)
        settings = runner.run(its.__aenter__())
        stack.callback(lambda: runner.run(its.__aexit__(None, None, None)))
        key, _ = runner.run(create_key(settings, "acme", **KEY))

        def start(**more: Any) -> Site:
            folder = tmp_path_factory.mktemp("tls")
            servers, clients = Authority(folder, "servers"), Authority(folder, "clients")
            shown = servers.issue("shown")
            files = {"tls_certificate": shown.certificate, "tls_key": shown.key, "tls_client_ca": clients.file}
            told: dict[str, Any] = {**({} if "tls" in more else files), **more}
            # Requests go on as fast as they can: none of them is to be refused for that.
            told |= {"address": "127.0.0.1", "pool_max": 4, "key_per_minute": 10**9, "tenant_per_minute": 10**9}
            process = Secured(folder, settings.model_copy(update=told))
            stack.callback(process.stop)
            process.start()
            return Site(folder, settings, key, servers, clients, shown, process)

        yield start


@pytest.fixture(scope="module")
def site(started: Callable[..., Site]) -> Site:
    return started()


def comes(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.1)


def test_clients_with_a_certificate_are_answered_by_tls_1_3_and_not_by_1_2(site: Site) -> None:
    with site.client() as client:
        assert client.whoami().scopes == ["read"]
    context = site.context(site.mine())
    with site.connection(context) as secured:
        assert secured.version() == "TLSv1.3"
    assert site.answer(context).startswith(b"HTTP/1.1 401 ")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.answer(context)
    assert b"unsupported protocol" in site.process.log.read_bytes()
    assert b"Search page: https://127.0.0.1:" in site.process.log.read_bytes()


def test_who_has_no_certificate_a_foreign_or_an_expired_one_gets_no_answer(site: Site) -> None:
    foreign = Authority(site.folder, "foreign")
    for pair, why in [
        (None, b"peer did not return a certificate"),
        (site.mine(foreign), b"unable to get local issuer certificate"),
        (site.mine(site.servers), b"self-signed certificate in certificate chain"),
        (site.mine(ends=-DAY), b"certificate has expired"),
    ]:
        # A client of TLS 1.3 believes that it is let in, until it reads.
        with pytest.raises((ssl.SSLError, ConnectionError)):
            site.answer(site.context(pair))
        assert why in site.process.log.read_bytes().splitlines()[-1]
    with site.client() as client:
        assert client.whoami().scopes == ["read"]


@pytest.mark.parametrize(
    "sent", [GET, b"\x16\x03\x01\xff\xff" + b"\x00" * 70_000, b""], ids=["HTTP", "rubbish", "silence"]
)
def test_what_is_not_tls_gets_no_answer_and_harms_nobody(site: Site, sent: bytes) -> None:
    got = b""
    with socket.create_connection(("127.0.0.1", site.process.port), SECONDS) as plain, site.client() as client:
        if sent:
            with suppress(ConnectionError):
                plain.sendall(sent)
                got = b"".join(iter(lambda: plain.recv(4096), b""))
        assert client.whoami().scopes == ["read"]
    assert b"HTTP" not in got
    assert len(got) < 16, "more than an alert"


def test_the_port_of_probes_answers_probes_and_metrics_and_nothing_else(site: Site) -> None:
    for one in health.OPERATIONS:
        assert site.process.probe(one.path).status_code == 200, one.path
    headers = {"authorization": f"Bearer {site.key}"}
    others = [(one.method, one.path) for one in OPERATIONS if one not in health.OPERATIONS]
    others += [("GET", path) for path in ("/", "/docs", "/openapi.json", "/page/search.js", "/v1/search?q=x")]
    assert ("POST", "/v1/search") in others
    for method, path in others:
        found = site.process.probe(path, method, headers=headers)
        assert (found.status_code, found.json()["code"]) == (404, "not-found"), path
    assert site.process.probe("/metrics", headers={"x-forwarded-for": "192.0.2.1"}).status_code == 404


def test_certificates_are_renewed_while_requests_go_on_and_a_renewal_that_fails_changes_nothing(site: Site) -> None:
    failed: list[Exception] = []
    answered = [0, 0]
    stop = threading.Event()

    def ask(kept: bool) -> None:
        # One client keeps its connection, the other one makes a new one for each request.
        while not stop.is_set():
            with site.client() as client:
                while not stop.is_set():
                    try:
                        client._http.get("/v1/me").raise_for_status()
                        answered[kept] += 1
                    except Exception as error:  # noqa: BLE001 - judged below
                        failed.append(error)
                    if not kept:
                        break

    asking = [threading.Thread(target=ask, args=(kept,)) for kept in (True, False)]
    first = site.shown.serial
    with site.connection(site.context(site.mine())) as before:
        for thread in asking:
            thread.start()
        try:
            for number in range(2):
                renewed = site.servers.issue(f"renewed{number}", ends=(20 + number) * DAY)
                site.shown.certificate.write_bytes(renewed.certificate.read_bytes())
                time.sleep(1.2)  # Half a renewal is seen, too.
                site.shown.key.write_bytes(renewed.key.read_bytes())
                comes(lambda: site.serial() == renewed.serial)  # noqa: B023 - called at once
            said = site.process.log.stat().st_size
            site.shown.key.write_text("none")
            comes(lambda: b"shown.key is not the key of" in site.process.log.read_bytes()[said:])
            assert site.serial() == renewed.serial
        finally:
            stop.set()
            for thread in asking:
                thread.join()
        assert serial(before) == first != renewed.serial
        before.sendall(GET)
        assert before.recv(9) == b"HTTP/1.1 ", "what is open stays open"
    assert failed == []
    assert min(answered) > 0
    (line,) = [one for one in site.process.probe("/metrics").text.splitlines() if one.startswith("tls_certificate_exp")]
    its = x509.load_pem_x509_certificate(renewed.certificate.read_bytes())
    assert float(line.split()[1]) == its.not_valid_after_utc.timestamp()


def test_a_certificate_of_its_own_encrypts_for_who_checks_none_and_probes_are_plain(
    started: Callable[..., Site],
) -> None:
    site = started(tls="ephemeral")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with site.connection(context) as secured:
        assert secured.version() == "TLSv1.3"
    assert site.answer(context).startswith(b"HTTP/1.1 401 ")
    with pytest.raises(ssl.SSLCertVerificationError):
        site.answer(site.context(None))
    with socket.create_connection(("127.0.0.1", site.process.port), SECONDS) as plain:
        plain.sendall(GET)
        with suppress(ConnectionError):
            assert b"HTTP" not in plain.recv(4096)
    assert site.process.probe("/health/ready").status_code == 200
    (line,) = [one for one in site.process.probe("/metrics").text.splitlines() if one.startswith("tls_certificate_exp")]
    assert float(line.split()[1]) > time.time() + 80 * DAY.total_seconds()


def test_the_end_waits_for_what_was_begun_not_for_who_is_silent_and_probes_stay_until_then(
    started: Callable[..., Site],
) -> None:
    site = started(notice_seconds=1.0, drain_seconds=600.0)
    process = site.process
    slow = http.client.HTTPSConnection("127.0.0.1", process.port, context=site.context(site.mine()), timeout=SECONDS)
    with (
        socket.create_connection(("127.0.0.1", process.port)),
        site.connection(site.context(site.mine())),
        httpx.Client(base_url=f"http://127.0.0.1:{process.probes}") as probes,
    ):
        slow.putrequest("POST", "/v1/search")
        for name, value in {"authorization": f"Bearer {site.key}", "content-length": "11"}.items():
            slow.putheader(name, value)
        slow.endheaders()
        slow.send(b'{"q":')
        assert probes.get("/health/ready").status_code == 200
        process.child.send_signal(signal.SIGTERM)
        comes(lambda: probes.get("/health/ready").status_code == 503)
        assert listens(process.port), "it is not ready, and takes connections"
        comes(lambda: not listens(process.port))
        assert probes.get("/health/live").status_code == 200
        assert probes.get("/health/ready").json() == {"status": "LEAVING"}
        slow.send(b'"tea"}')
        assert slow.getresponse().status == 200
        assert process.child.wait(SECONDS) == 0
    assert not listens(process.probes)
