"""What a process of the service is told: from its environment, every option with its unit.

The platform sets the names (`DATABASE_HOST`, `OPENSEARCH_HOST`, ...; those that begin with `DOCSEARCH_` are this
program's own). Nothing has to be set: without a `DATABASE_HOST` the service is *embedded*, with a PostgreSQL of its own
under `DOCSEARCH_HOME`.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import SettingsError

Role = Literal["search", "document", "index", "all"]

Login = Literal["password", "iam"]
"""How a process logs in: by a password (or without any), or by what its role in AWS signs."""

SECRETS: Final = ("cursor_key", "api_key_pepper", "tenant_token_key")
"""What the service signs and hashes with."""

MIN_SECRET: Final = 32
"""Characters that a secret has at least: as many bytes as the digest of HMAC-SHA256 (RFC 2104, section 3)."""

_FORMER: Final = "Former ones, with blanks between, the newest first: they open what they signed, and sign nothing new"


def _option(default: Any, name: str, description: str, **bounds: Any) -> Any:
    return Field(default, validation_alias=name, description=description, **bounds)


class Settings(BaseSettings):
    """All options. Each is an environment variable; its name, unit and default are in docs/api.md."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    # This process
    port: int = _option(8080, "DOCSEARCH_PORT", "TCP port that requests are answered at", ge=0, le=65535)
    address: str = _option("", "DOCSEARCH_ADDRESS", "IP address to listen at; 127.0.0.1 if embedded, otherwise all")
    tls: Literal["files", "ephemeral"] = _option(
        "files", "DOCSEARCH_TLS", "ephemeral: a certificate that this process makes for itself, and nobody can check"
    )
    tls_certificate: Path | None = _option(
        None, "DOCSEARCH_TLS_CERTIFICATE", "File with the certificate that is shown, and its chain; none: no TLS"
    )
    tls_key: Path | None = _option(None, "DOCSEARCH_TLS_KEY", "File with the certificate's private key")
    tls_client_ca: Path | None = _option(
        None, "DOCSEARCH_TLS_CLIENT_CA", "File with the certificates that each client's is checked by; none: no mTLS"
    )
    probe_port: int | None = _option(
        None, "DOCSEARCH_PROBE_PORT", "TCP port for health and metrics alone, without TLS; none: none", ge=1, le=65535
    )
    home: Path = _option(Path(".docsearch"), "DOCSEARCH_HOME", "Folder of the embedded default's files")
    trust_forwarded: bool = _option(
        False, "DOCSEARCH_TRUST_FORWARDED", "Whether the last X-Forwarded-For is a load balancer's, and true"
    )
    release: str = _option("stable", "DOCSEARCH_RELEASE", "What this process calls itself in metrics")
    notice_seconds: float = _option(
        0.0, "DOCSEARCH_NOTICE_SECONDS", "Time to answer on at the end, not ready any more, s", ge=0
    )
    drain_seconds: float = _option(30.0, "DOCSEARCH_DRAIN_SECONDS", "Time to finish requests at the end, s", ge=0)
    standby_of: str = _option("", "DOCSEARCH_STANDBY_OF", "URL of the primary region; this one then takes no writes")
    log_level: Literal["debug", "info", "warning", "error"] = _option(
        "info", "DOCSEARCH_LOG_LEVEL", "The least important log line that is written"
    )
    log_format: Literal["json", "console"] = _option("json", "DOCSEARCH_LOG_FORMAT", "How log lines are written")
    trace_ratio: float = _option(0.1, "DOCSEARCH_TRACE_RATIO", "Share of traces that are kept", ge=0, le=1)
    allowed_origins: str = _option("", "DOCSEARCH_ALLOWED_ORIGINS", "Origins that browsers may call from, by commas")

    # PostgreSQL
    database_host: str = _option("", "DATABASE_HOST", "Host of the primary, or folder of its socket; none: embedded")
    database_readers: str = _option("", "DATABASE_READERS", "Hosts of read replicas, by commas")
    replica_lag_seconds: float = _option(
        30.0, "DATABASE_REPLICA_LAG_SECONDS", "A replica that is further behind is not read from, s", gt=0
    )
    database_port: int = _option(5432, "DATABASE_PORT", "TCP port of PostgreSQL", ge=1, le=65535)
    database_name: str = _option("docsearch", "DATABASE_NAME", "Database")
    database_user: str = _option("", "DATABASE_USER", "Login; by default docsearch_ROLE")
    database_password: SecretStr | None = _option(None, "DATABASE_PASSWORD", "Password; none if the login needs none")
    database_password_arn: str = _option(
        "", "DATABASE_PASSWORD_ARN", "Where in AWS Secrets Manager the password is, or a login as RDS writes it"
    )
    database_login: Login = _option(
        "password", "DATABASE_LOGIN", "iam: whoever has no password logs in with a token of RDS"
    )
    database_tls: Literal["disable", "require", "verify-full"] = _option(
        "verify-full", "DATABASE_TLS", "TLS to PostgreSQL: libpq's sslmode"
    )
    database_ca: Path | None = _option(None, "DATABASE_CA", "File with the certificates that verify-full trusts")
    pool_min: int = _option(10, "DATABASE_POOL_MIN", "Connections that are kept open", ge=0, le=1000)
    pool_max: int = _option(50, "DATABASE_POOL_MAX", "Connections at most, per process and host", ge=1, le=1000)
    pool_wait_seconds: float = _option(5.0, "DATABASE_POOL_WAIT_SECONDS", "Wait for a free connection, s", gt=0)
    connect_seconds: float = _option(30.0, "DATABASE_CONNECT_SECONDS", "Time to open a connection, s", gt=0)
    idle_seconds: float = _option(600.0, "DATABASE_IDLE_SECONDS", "Idle connections are closed after, s", gt=0)
    lifetime_seconds: float = _option(
        1800.0, "DATABASE_LIFETIME_SECONDS", "A connection in use is closed at this age, s", gt=0
    )
    statement_seconds: float = _option(10.0, "DATABASE_STATEMENT_SECONDS", "A statement is ended after, s", gt=0)

    # OpenSearch, Redis, RabbitMQ
    opensearch_host: str = _option("", "OPENSEARCH_HOST", "Host of the domain; none: PostgreSQL's full text")
    opensearch_port: int = _option(443, "OPENSEARCH_PORT", "TCP port of the domain", ge=1, le=65535)
    opensearch_tls: bool = _option(True, "OPENSEARCH_TLS", "Whether the domain is spoken to by TLS")
    opensearch_login: Login = _option("password", "OPENSEARCH_LOGIN", "iam: requests are signed for AWS")
    opensearch_role_arn: str = _option(
        "", "OPENSEARCH_ROLE_ARN", "Role in AWS that is taken to sign them, as migrate does; none: this process's own"
    )
    opensearch_readers: str = _option(
        "", "OPENSEARCH_READER_ARNS", "Roles in AWS that may search, by commas: migrate lets them in"
    )
    opensearch_writers: str = _option(
        "", "OPENSEARCH_WRITER_ARNS", "Roles in AWS that may write to the index, likewise"
    )
    opensearch_lacking: Literal["say", "fail"] = _option(
        "say", "OPENSEARCH_LACKING", "What migrate does if OpenSearch lacks a plugin: say so and go on, or fail"
    )
    snapshot_bucket: str = _option("", "OPENSEARCH_SNAPSHOT_BUCKET", "Bucket of snapshots; none: no repository of ours")
    snapshot_role: str = _option("", "OPENSEARCH_SNAPSHOT_ROLE_ARN", "Role by which OpenSearch gets to the bucket")
    snapshot_path: str = _option("", "OPENSEARCH_SNAPSHOT_PATH", "Where in the bucket this domain writes")
    cache_host: str = _option("", "CACHE_HOST", "Host of Redis; none: the cache in this process only")
    cache_port: int = _option(6379, "CACHE_PORT", "TCP port of Redis", ge=1, le=65535)
    cache_name: str = _option("", "CACHE_NAME", "Identifier of the cache, which a login token is for")
    cache_user: str = _option("", "CACHE_USER", "Login at Redis")
    cache_password: SecretStr | None = _option(None, "CACHE_PASSWORD", "Password at Redis")
    cache_login: Login = _option("password", "CACHE_LOGIN", "iam: CACHE_USER logs in with a token of ElastiCache")
    cache_tls: bool = _option(True, "CACHE_TLS", "Whether Redis is spoken to by TLS")
    cache_seconds: float = _option(300.0, "DOCSEARCH_CACHE_SECONDS", "Time to live of a cached answer, s", gt=0)
    broker_host: str = _option("", "BROKER_HOST", "Host of RabbitMQ; none: the outbox is the queue")
    broker_port: int = _option(5671, "BROKER_PORT", "TCP port of RabbitMQ", ge=1, le=65535)
    broker_user: str = _option("", "BROKER_USER", "Login at RabbitMQ")
    broker_password: SecretStr | None = _option(None, "BROKER_PASSWORD", "Password at RabbitMQ")
    broker_password_arn: str = _option(
        "", "BROKER_PASSWORD_ARN", "Where in AWS Secrets Manager the password is, or a login with username and password"
    )
    broker_login_folder: Path | None = _option(
        None, "BROKER_LOGIN_FOLDER", "Folder with the files username and password: a Secret of Kubernetes, mounted"
    )
    broker_tls: bool = _option(True, "BROKER_TLS", "Whether RabbitMQ is spoken to by TLS")
    broker_ca: Path | None = _option(None, "BROKER_CA", "File with the certificates that are trusted at RabbitMQ")

    # AWS
    aws_region: str = _option("", "AWS_REGION", "Region that requests, tokens and logins are signed for")

    # Secrets: a value, a file that holds it, or where it is in AWS Secrets Manager
    cursor_key: SecretStr | None = _option(None, "CURSOR_KEY", "Signs cursors; at least 32 characters")
    cursor_key_file: Path | None = _option(None, "CURSOR_KEY_FILE", "File that holds it")
    cursor_key_arn: str = _option("", "CURSOR_KEY_ARN", "Where in AWS Secrets Manager it is, and the one before it")
    cursor_key_previous: SecretStr | None = _option(None, "CURSOR_KEY_PREVIOUS", _FORMER)
    api_key_pepper: SecretStr | None = _option(None, "API_KEY_PEPPER", "HMAC key over API keys; at least 32 characters")
    api_key_pepper_file: Path | None = _option(None, "API_KEY_PEPPER_FILE", "File that holds it")
    api_key_pepper_arn: str = _option(
        "", "API_KEY_PEPPER_ARN", "Where in AWS Secrets Manager it is, and the one before it"
    )
    api_key_pepper_previous: SecretStr | None = _option(None, "API_KEY_PEPPER_PREVIOUS", _FORMER)
    tenant_token_key: SecretStr | None = _option(
        None, "TENANT_TOKEN_KEY", "Signs tenant tokens; at least 32 characters"
    )
    tenant_token_key_file: Path | None = _option(None, "TENANT_TOKEN_KEY_FILE", "File that holds it")
    tenant_token_key_arn: str = _option(
        "", "TENANT_TOKEN_KEY_ARN", "Where in AWS Secrets Manager it is, and the one before it"
    )
    tenant_token_key_previous: SecretStr | None = _option(None, "TENANT_TOKEN_KEY_PREVIOUS", _FORMER)

    # Users of an identity provider
    oidc_issuer: str = _option(
        "", "OIDC_ISSUER", "URL of the issuer of access tokens, as in `iss`; none: no such login"
    )
    oidc_audience: str = _option(
        "", "OIDC_AUDIENCE", "What `aud` of an access token has to name; needed with an issuer"
    )
    oidc_keys_url: str = _option(
        "", "OIDC_KEYS_URL", "URL of the issuer's keys (JWKS); by default as its metadata says"
    )
    oidc_ca: Path | None = _option(None, "OIDC_CA", "File with the certificates that the issuer's is checked by")
    oidc_tenant_claim: str = _option(
        "tenant", "OIDC_TENANT_CLAIM", "Claim with the id of the tenant; with a / in front a JSON Pointer", min_length=1
    )
    oidc_subject_claim: str = _option("sub", "OIDC_SUBJECT_CLAIM", "Claim that says who it is, likewise", min_length=1)
    oidc_roles_claim: str = _option(
        "roles", "OIDC_ROLES_CLAIM", "Claim with the roles, likewise; a list, or words between blanks", min_length=1
    )
    oidc_role_prefix: str = _option("", "OIDC_ROLE_PREFIX", "What stands before the name of each role there")
    oidc_leeway_seconds: float = _option(
        30.0, "OIDC_LEEWAY_SECONDS", "How far the issuer's clock may be off, s", ge=0, le=120
    )
    oidc_refresh_seconds: float = _option(
        300.0, "OIDC_REFRESH_SECONDS", "The issuer's keys are fetched again at this age, s", gt=0
    )
    oidc_interval_seconds: float = _option(
        30.0, "OIDC_INTERVAL_SECONDS", "The issuer is asked at most once in so long, s", ge=1
    )
    oidc_max_age_seconds: float = _option(
        86_400.0,
        "OIDC_MAX_AGE_SECONDS",
        "While the issuer is away its keys are used up to this age, s",
        gt=0,
        le=604_800,
    )
    oidc_fetch_seconds: float = _option(5.0, "OIDC_FETCH_SECONDS", "The issuer has to answer within, s", gt=0, le=30)

    # Bounds
    max_body_bytes: int = _option(10 * 2**20, "DOCSEARCH_MAX_BODY_BYTES", "Largest body of a request, bytes", gt=0)
    max_bodies: int = _option(
        8, "DOCSEARCH_MAX_BODIES", "Bodies of that size that a process holds at once; a tenant gets half", ge=2
    )
    max_document_bytes: int = _option(2**20, "DOCSEARCH_MAX_DOCUMENT_BYTES", "Largest document, bytes", gt=0)
    max_query_bytes: int = _option(64 * 2**10, "DOCSEARCH_MAX_QUERY_BYTES", "Largest body of a query, bytes", gt=0)
    max_bulk_lines: int = _option(10_000, "DOCSEARCH_MAX_BULK_LINES", "Most lines of a bulk request", gt=0)
    max_clauses: int = _option(64, "DOCSEARCH_MAX_CLAUSES", "Most clauses and filters of a query", gt=0)
    max_depth: int = _option(5, "DOCSEARCH_MAX_DEPTH", "Deepest nesting of a query", gt=0)
    max_page: int = _option(100, "DOCSEARCH_MAX_PAGE", "Most hits of a page", gt=0, le=1000)
    deadline_seconds: float = _option(10.0, "DOCSEARCH_DEADLINE_SECONDS", "A request is answered within, s", gt=0)
    cursor_seconds: float = _option(3600.0, "DOCSEARCH_CURSOR_SECONDS", "A cursor can be used for, s", gt=0)
    key_per_minute: int = _option(
        6_000, "DOCSEARCH_KEY_PER_MINUTE", "Requests of an API key, or a user, per minute", gt=0
    )
    tenant_per_minute: int = _option(60_000, "DOCSEARCH_TENANT_PER_MINUTE", "Requests of a tenant per minute", gt=0)
    failures_per_minute: int = _option(
        120, "DOCSEARCH_FAILURES_PER_MINUTE", "Requests with wrong credentials from one address per minute", gt=0
    )

    # Erasure
    erasure_ledger: str = _option(
        "",
        "DOCSEARCH_ERASURE_LEDGER",
        "File, or s3://BUCKET/PREFIX, with all erasures; an older database is not served",
    )

    # Dependencies that fail
    breaker_open_seconds: float = _option(
        60.0, "DOCSEARCH_BREAKER_OPEN_SECONDS", "A dependency that fails is left alone for, s", gt=0, le=3600
    )

    # Index work
    worker_batch: int = _option(500, "DOCSEARCH_WORKER_BATCH", "Documents that a worker takes at once", gt=0, le=5000)
    worker_batches: int = _option(
        4, "DOCSEARCH_WORKER_BATCHES", "Messages of the broker that a worker works on at once", gt=0, le=20
    )
    worker_attempts: int = _option(5, "DOCSEARCH_WORKER_ATTEMPTS", "Attempts until a document is a dead letter", gt=0)

    @property
    def embedded(self) -> bool:
        """Whether this process runs a PostgreSQL of its own."""
        return not self.database_host

    @property
    def folder(self) -> Path:
        """Where the embedded default keeps its files."""
        return self.home / "api"

    @property
    def listen_at(self) -> str:
        """The IP address to listen at. A pod is called from outside of itself; an embedded one is nobody's business."""
        return self.address or ("127.0.0.1" if self.embedded else "0.0.0.0")  # noqa: S104 - meant

    def readers(self) -> tuple[str, ...]:
        """The hosts of read replicas."""
        return _words(self.database_readers)

    def origins(self) -> tuple[str, ...]:
        """The origins that browsers may call from."""
        return _words(self.allowed_origins)

    def let_in(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The roles that OpenSearch lets in: those that search, and those that write."""
        return _words(self.opensearch_readers), _words(self.opensearch_writers)

    def arn(self, name: str) -> str:
        """Where in AWS Secrets Manager one of `SECRETS` is; empty if it is elsewhere.

        Raises:
            SettingsError: It is given in more than one way.
        """
        variable = name.upper()
        ways = {variable: name, f"{variable}_FILE": f"{name}_file", f"{variable}_ARN": f"{name}_arn"}
        given = [way for way, attribute in ways.items() if getattr(self, attribute)]
        if len(given) > 1:
            raise SettingsError(f"{' and '.join(given)} are both set", why="a secret has one value")
        return str(getattr(self, f"{name}_arn"))

    def secret(self, name: str) -> bytes:
        """One of `SECRETS`: its value, or what its file holds; embedded, one that is made once and kept.

        Raises:
            SettingsError: It is not given, cannot be read, or is too short.
        """
        variable = name.upper()
        value: SecretStr | None = getattr(self, name)
        file: Path | None = getattr(self, f"{name}_file")
        assert not self.arn(name), "app.aws.logins.with_secrets has read it"
        if value is not None:
            return _long_enough(variable, value.get_secret_value().strip())
        if file is not None:
            return _long_enough(f"{variable}_FILE", _read(variable, file))
        if not self.embedded:
            raise SettingsError(
                f"{variable} is not set",
                why="keys and cursors of one process must open at every other",
                remedy=f"Set {variable}, {variable}_FILE or {variable}_ARN",
            )
        return _kept(self.folder / "secrets" / name).encode()

    def secrets(self, name: str) -> tuple[bytes, ...]:
        """One of `SECRETS`, and former ones that still open what they signed, the newest first.

        Raises:
            SettingsError: As `secret`, or a former one is too short.
        """
        former: SecretStr | None = getattr(self, f"{name}_previous")
        texts = former.get_secret_value().split() if former else []
        return self.secret(name), *(_long_enough(f"{name.upper()}_PREVIOUS", text) for text in texts)


def load(**given: Any) -> Settings:
    """The settings of this process.

    Args:
        given: What is set by an option of the command line, by attribute; it comes before the environment.

    Raises:
        SettingsError: An option has a value that it cannot have. Values are not repeated: one may be a secret.
    """
    try:
        # By variable: a field's own name would be looked for in the environment as well, and HOME is something else.
        return Settings(**{str(Settings.model_fields[name].validation_alias): value for name, value in given.items()})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise SettingsError(f"{name} cannot be used", why=str(first["msg"]), remedy="docs/api.md has all") from None


def options() -> list[tuple[str, FieldInfo]]:
    """Every option by the name of its variable: what docs/api.md is written from."""
    return [(str(field.validation_alias), field) for field in Settings.model_fields.values()]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _read(variable: str, file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable}_FILE cannot be read", why=str(error)) from error


def _long_enough(variable: str, value: str) -> bytes:
    if len(value) < MIN_SECRET:
        raise SettingsError(
            f"{variable} has {len(value)} characters",
            why=f"a key that can be guessed signs for everybody; {MIN_SECRET} is the least",
        )
    return value.encode()


def _kept(file: Path) -> str:
    """A secret of the embedded default: made on first use, readable by its owner only."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, draft = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(secrets.token_urlsafe(48))
        try:
            # Whoever links first has made it: two processes that start together keep one secret.
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return file.read_text(encoding="utf-8")
