"""What clients are shown follows its files, and nothing that is wrong with them harms; outgoing TLS is 1.2 at least."""

import re
import ssl
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from structlog.testing import capture_logs

from app.cli import cli
from app.errors import SettingsError
from app.index.opensearch_client import connect as connect_search
from app.queue.rabbitmq import RabbitQueue
from app.redis_client import open_client
from app.settings import load, options
from app.store.database import _tls
from app.tls import CERTIFICATE, CLIENT_CA, KEY, Ephemeral, Inbound, trusting
from tests.app.certificates import DAY, Authority, Pair


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _ in options():
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def shown(authority: Authority) -> Pair:
    return authority.issue("shown")


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def files(pair: Pair, ca: Path | None = None) -> dict[str, Path]:
    return {CERTIFICATE: pair.certificate, KEY: pair.key, **({CLIENT_CA: ca} if ca else {})}


def client(authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    context = trusting(authority.file)
    if pair:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def handshake(inbound: Inbound, context: ssl.SSLContext, name: str | None = "127.0.0.1") -> ssl.SSLObject:
    """Both sides in this process, without a socket: what the client has then, after each has sent the other a byte."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = inbound.context.wrap_bio(to_server, to_client, server_side=True)
    ours = context.wrap_bio(to_client, to_server, server_hostname=name)

    def talk(side: ssl.SSLObject) -> None:
        side.do_handshake()
        side.write(b"x")
        side.read(1)

    waiting = [ours, theirs]
    for _ in range(10):
        for side in [*waiting]:
            with suppress(ssl.SSLWantReadError):
                talk(side)
                waiting.remove(side)
        if not waiting:
            return ours
    raise AssertionError("they wait for each other")


def serial(connection: ssl.SSLObject) -> int:
    certificate = connection.getpeercert(binary_form=True)
    assert certificate
    return x509.load_der_x509_certificate(certificate).serial_number


def tickets(connection: ssl.SSLObject) -> bool:
    return connection.session is not None and connection.session.has_ticket


def test_nothing_older_than_tls_1_3_is_spoken(authority: Authority, shown: Pair) -> None:
    inbound, context = Inbound(files(shown)), client(authority)
    assert handshake(inbound, context).version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL"):
        handshake(inbound, context)


def test_only_clients_with_a_certificate_of_theirs_come_in(authority: Authority, shown: Pair, tmp_path: Path) -> None:
    ours = Authority(tmp_path, "clients")
    inbound = Inbound(files(shown, ours.file))
    assert handshake(inbound, client(authority, ours.issue("known"))).version() == "TLSv1.3"
    refused = {
        "did not return a certificate": None,
        "self-signed certificate in certificate chain": authority.issue("foreign"),
        "certificate has expired": ours.issue("expired", ends=-DAY),
    }
    for why, pair in refused.items():
        with pytest.raises(ssl.SSLError, match=why):
            handshake(inbound, client(authority, pair))


def test_no_session_is_resumed_where_certificates_of_clients_are_checked(authority: Authority, shown: Pair) -> None:
    anybody, known = Inbound(files(shown)), Inbound(files(shown, authority.file))
    mine = client(authority, authority.issue("mine"))
    assert tickets(handshake(anybody, mine))
    assert not tickets(handshake(known, mine))


def unchecked() -> ssl.SSLContext:
    """As a load balancer connects that checks no certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_a_process_shows_a_certificate_of_its_own_and_another_one_in_a_month() -> None:
    clock, day = Clock(), DAY.total_seconds()
    inbound, other = Ephemeral(clock), Ephemeral(clock)
    first = handshake(inbound, unchecked(), None)
    assert first.version() == "TLSv1.3"
    assert serial(first) != serial(handshake(other, unchecked(), None))
    assert 89 * day < inbound.expires_at() - time.time() < 90 * day
    clock.now = 29 * day
    assert serial(handshake(inbound, unchecked(), None)) == serial(first)
    clock.now = 31 * day
    with capture_logs() as logs:
        assert serial(handshake(inbound, unchecked(), None)) != serial(first)
    assert [one["event"] for one in logs] == ["certificate_renewed"]
    old = unchecked()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL"):
        handshake(inbound, old, None)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(inbound, ssl.create_default_context(), "127.0.0.1")


def test_no_key_is_left_on_the_disk_and_without_one_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    inbound = Ephemeral(clock)
    assert [*tmp_path.iterdir()] == []
    before = serial(handshake(inbound, unchecked(), None))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match=r"no certificate can be made: .*No such file.* Let the process write"):
        Ephemeral(clock)
    clock.now = 31 * DAY.total_seconds()
    with capture_logs() as logs:
        assert serial(handshake(inbound, unchecked(), None)) == before
    assert [one["event"] for one in logs] == ["certificate_not_renewed"]


def test_a_certificate_is_made_or_read_from_files_and_not_both(shown: Pair) -> None:
    assert isinstance(Inbound.of(load(tls="ephemeral")), Ephemeral)
    with pytest.raises(SettingsError) as refused:
        Inbound.of(load(tls="ephemeral", tls_key=shown.key))
    assert str(refused.value) == (
        "DOCSEARCH_TLS is ephemeral, and DOCSEARCH_TLS_KEY is set: a process shows one certificate. Set "
        "DOCSEARCH_TLS=files, or none of the files."
    )


@pytest.mark.parametrize("name", ["127.0.0.1", None], ids=["by name", "without a name"])
def test_renewed_files_are_shown_a_second_later(authority: Authority, shown: Pair, name: str | None) -> None:
    clock, context = Clock(), client(authority)
    context.check_hostname = False
    inbound, before = Inbound(files(shown), clock), shown.serial
    renewed = authority.issue("renewed", ends=20 * DAY)
    was = inbound.expires_at()
    renewed.over(shown)
    clock.now = 0.9
    assert serial(handshake(inbound, context, name)) == before
    clock.now = 1.0
    with capture_logs() as logs:
        assert serial(handshake(inbound, context, name)) == renewed.serial
        assert serial(handshake(inbound, context, name)) == renewed.serial
    assert [one["event"] for one in logs] == ["certificate_renewed"]
    assert inbound.expires_at() - was == pytest.approx((10 * DAY).total_seconds(), abs=60)


def test_a_mounted_secret_that_is_linked_anew_is_seen(authority: Authority, tmp_path: Path) -> None:
    """As Kubernetes does it: files are links into a folder that is a link, and that one is replaced."""
    folders = []
    for number in (1, 2):
        folders.append(tmp_path / f"..{number}")
        folders[-1].mkdir()
        authority.issue(f"at{number}").over(Pair(folders[-1] / "tls.crt", folders[-1] / "tls.key"))
    data, mounted = tmp_path / "..data", Pair(tmp_path / "tls.crt", tmp_path / "tls.key")
    data.symlink_to(folders[0])
    for file in (mounted.certificate, mounted.key):
        file.symlink_to(data / file.name)
    clock = Clock()
    inbound, before = Inbound(files(mounted), clock), mounted.serial
    (tmp_path / "..tmp").symlink_to(folders[1])
    (tmp_path / "..tmp").rename(data)
    clock.now = 2.0
    assert before != mounted.serial == serial(handshake(inbound, client(authority)))


def test_who_may_come_in_can_be_replaced(authority: Authority, shown: Pair, tmp_path: Path) -> None:
    clock, old, new = Clock(), Authority(tmp_path, "old"), Authority(tmp_path, "new")
    theirs, mine = old.issue("theirs"), new.issue("mine")
    inbound = Inbound(files(shown, old.file), clock)
    handshake(inbound, client(authority, theirs))
    old.file.write_bytes(new.file.read_bytes())
    clock.now = 2.0
    handshake(inbound, client(authority, mine))
    with pytest.raises(ssl.SSLError, match="unable to get local issuer certificate"):
        handshake(inbound, client(authority, theirs))


def _missing(pair: Pair, ca: Path, authority: Authority) -> None:
    pair.key.unlink()


def _no_certificate(pair: Pair, ca: Path, authority: Authority) -> None:
    pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")


def _half_written(pair: Pair, ca: Path, authority: Authority) -> None:
    whole = pair.certificate.read_bytes()
    pair.certificate.write_bytes(whole[: len(whole) // 2])


def _empty(pair: Pair, ca: Path, authority: Authority) -> None:
    pair.certificate.write_bytes(b"")


def _key_of_another(pair: Pair, ca: Path, authority: Authority) -> None:
    pair.key.write_bytes(authority.issue("another").key.read_bytes())


def _no_key(pair: Pair, ca: Path, authority: Authority) -> None:
    pair.key.write_bytes(b"\xff\x00 no key")


def _encrypted_key(pair: Pair, ca: Path, authority: Authority) -> None:
    authority.issue("encrypted", password=b"hunter2").over(pair)


def _expired(pair: Pair, ca: Path, authority: Authority) -> None:
    authority.issue("expired", ends=-timedelta(seconds=1)).over(pair)


def _no_authority(pair: Pair, ca: Path, authority: Authority) -> None:
    ca.write_text("none")


def _folder(pair: Pair, ca: Path, authority: Authority) -> None:
    ca.unlink()
    ca.mkdir()


BROKEN: dict[Callable[[Pair, Path, Authority], None], str] = {
    _missing: f"{KEY} cannot be read: .*No such file",
    _no_certificate: f"{CERTIFICATE}: .*shown.pem holds no certificate",
    _half_written: f"{CERTIFICATE}: .*shown.pem holds no certificate",
    _empty: f"{CERTIFICATE}: .*shown.pem holds no certificate",
    _key_of_another: f"{KEY}: .*shown.key is not the key of .*shown.pem: .*mismatch",
    _no_key: f"{KEY}: .*shown.key is not the key of",
    _encrypted_key: f"{KEY}: .* it is encrypted.* without a password",
    _expired: f"{CERTIFICATE}: .*shown.pem expired at 20..-..-..T.* no client would take it",
    _no_authority: f"{CLIENT_CA}: .*clients.pem holds no certificate",
    _folder: f"{CLIENT_CA} cannot be read: .*Is a directory",
}

EACH = pytest.mark.parametrize("spoil", BROKEN, ids=lambda its: its.__name__.strip("_"))


@EACH
def test_files_that_do_not_work_are_refused_at_the_start(
    authority: Authority, shown: Pair, tmp_path: Path, spoil: Callable[[Pair, Path, Authority], None]
) -> None:
    ca = Authority(tmp_path, "clients").file
    spoil(shown, ca, authority)
    with pytest.raises(SettingsError) as refused:
        Inbound(files(shown, ca))
    assert re.search(BROKEN[spoil], str(refused.value), re.DOTALL), refused.value
    assert "hunter2" not in str(refused.value)


@EACH
def test_a_renewal_that_does_not_work_is_logged_once_and_what_worked_goes_on(
    authority: Authority, shown: Pair, tmp_path: Path, spoil: Callable[[Pair, Path, Authority], None]
) -> None:
    clock, clients = Clock(), Authority(tmp_path, "clients")
    mine = client(authority, clients.issue("mine"))
    inbound, before, whole = Inbound(files(shown, clients.file), clock), shown.serial, clients.file.read_bytes()
    spoil(shown, clients.file, authority)
    with capture_logs() as logs:
        for clock.now in (2.0, 4.0, 6.0):
            assert serial(handshake(inbound, mine)) == before
    (said,) = logs
    assert (said["event"], said["log_level"]) == ("certificate_not_renewed", "error")
    assert said["expires"].startswith("20")
    if clients.file.is_dir():
        clients.file.rmdir()
    clients.file.write_bytes(whole)
    renewed = authority.issue("renewed")
    renewed.over(shown)
    clock.now = 8.0
    assert serial(handshake(inbound, mine)) == renewed.serial


def test_without_files_there_is_no_tls_and_with_some_of_them_no_start(authority: Authority, shown: Pair) -> None:
    assert Inbound.of(load()) is None
    certificate, key, ca = shown.certificate, shown.key, authority.file
    for given, lacking in [
        ({"tls_client_ca": ca}, CERTIFICATE),
        ({"tls_key": key, "tls_client_ca": ca}, CERTIFICATE),
        ({"tls_certificate": certificate}, KEY),
        ({"tls_certificate": certificate, "tls_client_ca": ca}, KEY),
    ]:
        with pytest.raises(SettingsError, match=f"cannot be used without {lacking}: .*in clear text"):
            Inbound.of(load(**given))
    assert Inbound.of(load(tls_certificate=certificate, tls_key=key))


@pytest.mark.parametrize("role", ["serve", "search", "document", "index"])
def test_every_command_that_answers_ends_with_what_is_wrong(shown: Pair, role: str) -> None:
    told = {"DATABASE_HOST": "db.invalid", CERTIFICATE: str(shown.certificate), KEY: str(shown.certificate)}
    done = CliRunner().invoke(cli, [role], env=told)
    assert done.exit_code == 2
    assert f"{KEY}: {shown.certificate} is not the key of" in done.output


@pytest.mark.anyio
async def test_every_connection_that_is_opened_is_tls_1_2_at_least(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    async def connect(**options: Any) -> None:
        asked.append(options)
        raise ConnectionError

    monkeypatch.setattr("app.queue.rabbitmq.aio_pika.connect", connect)
    queue = RabbitQueue(load(broker_host="broker", broker_user="u"), database=None)  # type: ignore[arg-type]
    assert not (await queue.health()).ok
    async with connect_search(load(opensearch_host="search")) as search:
        opensearch = search.transport.get_connection()._ssl_context
    contexts = {
        "PostgreSQL": _tls(load(database_host="db", database_ca=authority.file)),
        "RabbitMQ": asked[0]["ssl"] and asked[0]["ssl_context"],
        "OpenSearch": opensearch,
        "others": trusting(),
    }
    for name, context in contexts.items():
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2, name
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True), name
    redis = open_client(load(cache_host="cache")).connection_pool.connection_kwargs  # type: ignore[union-attr]
    assert (redis["ssl_min_version"], redis["ssl_cert_reqs"]) == (ssl.TLSVersion.TLSv1_2, "required")
