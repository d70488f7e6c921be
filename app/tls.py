"""TLS of both sides: what the service shows to who connects and whom it lets in, and whom it trusts itself."""

from __future__ import annotations

import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.errors import SettingsError
from app.settings import Settings

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
"""Whether files were renewed is looked at no more often, s: a handshake takes longer than that look, but not much."""

EPHEMERAL_DAYS: Final = 90
"""How long a certificate is good for that a process makes for itself (requirement, section 3: rotated in 90 days)."""

RENEWED_DAYS: Final = 30
"""It makes another one after so long."""

CERTIFICATE: Final = "DOCSEARCH_TLS_CERTIFICATE"
KEY: Final = "DOCSEARCH_TLS_KEY"
CLIENT_CA: Final = "DOCSEARCH_TLS_CLIENT_CA"


def trusting(ca: Path | None = None) -> ssl.SSLContext:
    """How a connection that we open is secured: TLS 1.2 at least, and a certificate of that host by who is trusted.

    Args:
        ca: File with the certificates that are trusted; by default those of the system.

    Raises:
        OSError: The file cannot be read, or holds none.
    """
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Handshake(ssl.SSLObject):
    """A connection that says why it was not made: event loops drop that, and the alert to the client, too."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            log.warning("handshake_failed", reason=str(error))
            raise


@dataclass(frozen=True)
class _Loaded:
    context: ssl.SSLContext
    expires_at: float


class Inbound:
    """How connections that others open are secured: TLS 1.3, by files that may be renewed at any time.

    Each handshake has what was in the files a second ago. What does not work there is logged, and what worked before
    goes on. Connections that are open stay so.

    Args:
        files: By variable: the certificate with those between it and its root, its key, and maybe the certificates
            that clients' are checked by. Without those everybody may connect.
        clock: Seconds of the monotonic clock.

    Raises:
        SettingsError: The files do not work.
    """

    def __init__(self, files: Mapping[str, Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._files, self._clock = files, clock
        self._seen, self._look_at = self._state(), clock() + LOOK_SECONDS
        self._now = self._load()
        self.context: Final = self._now.context
        self.context.sni_callback = self._choose
        self.context.sslobject_class = _Handshake

    @classmethod
    def of(cls, settings: Settings) -> Inbound | None:
        """As the settings have it; None without TLS.

        Raises:
            SettingsError: Something is missing, or the files do not work.
        """
        said = {CERTIFICATE: settings.tls_certificate, KEY: settings.tls_key, CLIENT_CA: settings.tls_client_ca}
        files = {variable: file for variable, file in said.items() if file is not None}
        if settings.tls == "ephemeral":
            if files:
                raise SettingsError(
                    f"DOCSEARCH_TLS is ephemeral, and {' and '.join(files)} is set",
                    why="a process shows one certificate",
                    remedy="Set DOCSEARCH_TLS=files, or none of the files",
                )
            return Ephemeral()
        if not files:
            return None
        for variable in (CERTIFICATE, KEY):
            if variable not in files:
                raise SettingsError(
                    f"{' and '.join(files)} cannot be used without {variable}",
                    why="TLS needs a certificate and its key, and without them everything would go in clear text",
                    remedy=f"Set {variable}, or none of the three",
                )
        return cls(files)

    def expires_at(self) -> float:
        """When the certificate ends that the next handshake has, s since 1970."""
        self._renew()
        return self._now.expires_at

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Is asked in each handshake, whether the client names a host or not."""
        del name, context
        self._renew()
        connection.context = self._now.context

    def _renew(self) -> None:
        if self._clock() < self._look_at:
            return
        self._look_at = self._clock() + LOOK_SECONDS
        # Before they are read: what is written meanwhile is seen the next time.
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            self._now = self._load()
        except SettingsError as error:
            log.error("certificate_not_renewed", reason=str(error), expires=_day(self._now.expires_at))
        else:
            log.info("certificate_renewed", expires=_day(self._now.expires_at))

    def _state(self) -> Any:
        """What differs once there is something new."""
        return [_stamp(file) for file in self._files.values()]

    def _load(self) -> _Loaded:
        certificate, key, ca = self._files[CERTIFICATE], self._files[KEY], self._files.get(CLIENT_CA)
        held = {variable: _read(variable, file) for variable, file in self._files.items()}
        try:
            its, *_ = x509.load_pem_x509_certificates(held[CERTIFICATE])
        except (ValueError, x509.InvalidVersion) as error:
            raise SettingsError(f"{CERTIFICATE}: {certificate} holds no certificate", why=str(error)) from error
        ends = its.not_valid_after_utc
        if ends <= datetime.now(UTC):
            raise SettingsError(
                f"{CERTIFICATE}: {certificate} expired at {_day(ends.timestamp())}",
                why="no client would take it",
                remedy="Have it renewed, and look at what should have done so",
            )
        context = _tls_1_3()
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{KEY}: {key} is not the key of {certificate}",
                why=str(error),
                remedy="Put the private key there that the certificate was made for, as PEM and without a password",
            ) from error
        if ca is not None:
            try:
                context.load_verify_locations(ca)
            except OSError as error:
                raise SettingsError(f"{CLIENT_CA}: {ca} holds no certificate", why=str(error)) from error
            context.verify_mode = ssl.CERT_REQUIRED
            # Who resumes a session shows no certificate: one that has expired since would still open.
            context.num_tickets = 0
        return _Loaded(context, ends.timestamp())


class Ephemeral(Inbound):
    """The same, by certificates that the process makes for itself: one when it starts, and another one in time.

    For a load balancer that checks none. Who listens on the way reads nothing, and there is no key that anybody has to
    keep, hand over or renew. It proves nothing: who can put himself in between is not found out.

    Args:
        clock: Seconds of the monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__({}, clock)

    def _state(self) -> Any:
        return int(self._clock() // timedelta(days=RENEWED_DAYS).total_seconds())

    def _load(self) -> _Loaded:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "docsearch")])
        # An hour back: clocks differ.
        begins = datetime.now(UTC) - timedelta(hours=1)
        ends = begins + timedelta(days=EPHEMERAL_DAYS)
        made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
        certificate = made.sign(key, hashes.SHA256())
        plain = serialization.NoEncryption()
        context = _tls_1_3()
        try:
            # OpenSSL takes both from a file only. It is its owner's, and gone at once.
            with tempfile.NamedTemporaryFile(suffix=".pem") as file:
                file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
                file.write(certificate.public_bytes(serialization.Encoding.PEM))
                file.flush()
                context.load_cert_chain(file.name)
        except OSError as error:
            raise SettingsError(
                "no certificate can be made", why=str(error), remedy="Let the process write to TMPDIR, or to /tmp"
            ) from error
        return _Loaded(context, certificate.not_valid_after_utc.timestamp())


def _tls_1_3() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written, moved to, or linked to another one, as a Secret of Kubernetes is."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(variable: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{variable} cannot be read", why=str(error)) from error


def _no_password() -> str:
    """Is asked for a key's password: OpenSSL itself would ask at the terminal, and wait."""
    raise ValueError("it is encrypted")


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
