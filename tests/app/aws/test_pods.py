"""The pods that the platform deploys, from the real stack files, and the service that has to start in them.

Neither side imports the other: here both are read, and what one says is what the other takes.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app import process
from app.cli import cli
from app.http import health
from app.index.opensearch_setup import Snapshots
from app.ledger import BucketLedger, ledger_of
from app.settings import SECRETS, Settings, load, options
from app.tls import Ephemeral, Inbound
from components.ingress import DEREGISTRATION_SECONDS
from components.rds_plan import MASTER_USER
from components.search_service_plan import BROKER_FOLDER, STORE_PORTS, USER_ID
from components.search_service_rights import database_user
from stacks.arguments import Arguments
from stacks.cluster import OidcConfig
from stacks.fleet import read_fleet
from tests.regions import PROJECT, STACKS, region

ROLES = ("search", "document", "index")
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
JOB = "kubernetes:batch/v1:Job"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
DOCKERFILE = PROJECT / "app/Dockerfile"
VARIABLES = {name for name, _ in options()}

EACH = pytest.mark.parametrize(("stack", "role"), [(stack, role) for stack in STACKS for role in ROLES])


@dataclass(frozen=True)
class Pod:
    """A pod as Kubernetes would get it.

    Attributes:
        spec: Its specification.
        environment: All that its process finds in its environment, of ours.
    """

    spec: Mapping[str, Any]
    environment: Mapping[str, str]

    @property
    def container(self) -> Mapping[str, Any]:
        (container,) = self.spec["containers"]
        return container  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Started:
    """What the command of a pod would serve with."""

    settings: Settings
    with_worker: bool
    probes_only: bool


@cache
def pod(stack: str, role: str) -> Pod:
    """The pods of a role, or of the Job that goes before them."""
    found = region(stack)
    kind = JOB if role == "migrate" else DEPLOYMENT
    spec = found.one(kind, f"search-{role}").inputs["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (reference,) = (one["configMapRef"]["name"] for one in container["envFrom"])
    (config,) = (
        one
        for one in found.of("kubernetes:core/v1:ConfigMap")
        if one.inputs["metadata"]["name"] == reference and one.inputs["metadata"]["namespace"] == "docsearch"
    )
    own = {one["name"]: one["value"] for one in container["env"]}
    return Pod(spec, {**config.inputs["data"], **own})


@cache
def image() -> dict[str, str]:
    """What the image sets."""
    (text,) = re.findall(r"^ENV (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    return dict(one.split("=", 1) for one in text.split(" "))


def rights(stack: str, role: str) -> list[dict[str, Any]]:
    """The policy of a role's pods."""
    policies = [one for one in region(stack).resources if one.type.startswith("aws:iam/") and "policy" in one.inputs]
    (its,) = (one for one in policies if re.fullmatch(rf"search-{role}", one.name))
    found: list[dict[str, Any]] = json.loads(its.inputs["policy"])["Statement"]
    return found


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Any:
    def start(stack: str, role: str) -> Started:
        caught: list[Started] = []

        async def serve(settings: Settings, *, with_worker: bool, ready: object, probes_only: bool = False) -> None:
            caught.append(Started(settings, with_worker, probes_only))

        its = pod(stack, role)
        monkeypatch.setattr(process, "serve", serve)
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        ours = {name: value for name, value in image().items() if name in VARIABLES}
        result = CliRunner().invoke(cli, its.container["args"], env={**ours, **its.environment})
        assert result.exit_code == 0, result.output
        (started,) = caught
        return started

    return start


@EACH
def test_every_variable_of_a_pod_is_read_and_none_is_missing(stack: str, role: str, start: Any) -> None:
    its = pod(stack, role)
    assert {*its.environment} <= VARIABLES
    settings = start(stack, role).settings
    assert not settings.embedded
    for name in ("database_host", "opensearch_host", "cache_host", "broker_host", "cache_name", "cache_user"):
        assert getattr(settings, name), name
    assert len(settings.readers()) == read_fleet(PROJECT)[stack].database.replicas.count
    assert settings.aws_region == read_fleet(PROJECT)[stack].region
    assert (settings.database_login, settings.opensearch_login, settings.cache_login) == ("iam", "iam", "iam")
    assert settings.database_tls == "verify-full"
    assert (settings.opensearch_tls, settings.cache_tls, settings.broker_tls) == (True, True, True)


def test_every_variable_of_the_pods_is_used_by_the_service() -> None:
    sources = "\n".join(path.read_text() for path in (PROJECT / "app").rglob("*.py") if path.name != "settings.py")
    used = {str(field.validation_alias): f".{name}" for name, field in Settings.model_fields.items()}
    used |= {"DATABASE_READERS": ".readers()"} | {f"{name.upper()}_ARN": ".arn(" for name in SECRETS}
    used |= dict.fromkeys(("OPENSEARCH_READER_ARNS", "OPENSEARCH_WRITER_ARNS"), ".let_in()")
    for stack in STACKS:
        for role in (*ROLES, "migrate"):
            unused = [name for name in pod(stack, role).environment if used[name] not in sources]
            assert not unused


@EACH
def test_the_service_listens_where_it_is_called_and_probed(stack: str, role: str, start: Any) -> None:
    container, started = pod(stack, role).container, start(stack, role)
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert (started.settings.port, started.settings.probe_port) == (ports["https"], ports["probes"])
    assert isinstance(Inbound.of(started.settings), Ephemeral)
    assert started.settings.listen_at == "0.0.0.0"
    answered = {one.path for one in health.OPERATIONS if one.right is None}
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["path"] for probe in probes} <= answered
    assert [(probe["port"], probe["scheme"]) for probe in probes] == [
        ("probes", "HTTP"),
        ("https", "HTTPS"),
        ("probes", "HTTP"),
    ]
    if role != "index":
        (group,) = (
            one.inputs
            for one in region(stack).of("aws:lb/targetGroup:TargetGroup")
            if one.inputs["port"] == ports["https"]
        )
        assert group["protocol"] == "HTTPS"
        check = group["healthCheck"]
        assert (check["protocol"], check["port"]) == ("HTTP", str(int(ports["probes"])))
        assert check["path"] in answered
        (allowed,) = region(stack).one(POLICY, f"search-allow-{role}").inputs["spec"]["ingress"]
        assert {one["port"] for one in allowed["ports"]} == {*ports.values()}
    assert started.settings.trust_forwarded, "what calls it is the load balancer"


@EACH
def test_each_role_does_its_own_work_as_its_own_user(stack: str, role: str, start: Any) -> None:
    started = start(stack, role)
    assert (started.with_worker, started.probes_only) == ((True, True) if role == "index" else (False, False))
    user = started.settings.database_user
    (roles,) = [one for one in Arguments(read_fleet(PROJECT)[stack], None, None)._roles() if one.name == role]  # type: ignore[arg-type]
    assert user == database_user(roles)
    (login,) = (one for one in rights(stack, role) if one["Action"] == ["rds-db:connect"])
    assert login["Resource"][0].endswith(f"/{user}")


@EACH
def test_a_role_may_do_what_the_service_does_in_it(stack: str, role: str, start: Any) -> None:
    started = start(stack, role)
    allowed = {action: one["Resource"] for one in rights(stack, role) for action in one["Action"]}
    readable = allowed.get("secretsmanager:GetSecretValue", [])
    if started.probes_only:
        assert readable == [], "what answers nobody needs no secret"
    else:
        assert {started.settings.arn(name) for name in SECRETS} == {*readable}
    assert "elasticache:Connect" in allowed
    if role != "document":
        assert {"es:ESHttpGet", "es:ESHttpPost", "es:ESHttpHead"} <= {*allowed}
    assert ("es:ESHttpPut" in allowed) == started.with_worker


@pytest.mark.parametrize("stack", STACKS)
def test_no_server_of_the_database_is_asked_for_more_connections_than_it_takes(stack: str, start: Any) -> None:
    found = region(stack)
    (group,) = found.of("aws:rds/parameterGroup:ParameterGroup")
    (taken,) = (int(one["value"]) for one in group.inputs["parameters"] if one["name"] == "max_connections")
    asked = 0
    for role in ROLES:
        its = found.one(DEPLOYMENT, f"search-{role}").inputs["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        most = found.one("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", f"search-{role}").inputs["spec"]
        pods = math.ceil(most["maxReplicas"] * (1 + int(its.removesuffix("%")) / 100))
        started = start(stack, role)
        # One login: its process has one pool of each host (`test_a_login_that_reads_and_indexes_has_one_pool`).
        assert started.settings.database_user
        asked += pods * started.settings.pool_max
    assert taken - 400 < asked <= taken - 200, "as many as fit, beside the servers' own and who looks by hand"


@EACH
def test_the_network_lets_a_role_reach_what_it_needs(stack: str, role: str, start: Any) -> None:
    settings = start(stack, role).settings
    policy = region(stack).one(POLICY, f"search-allow-{role}-stores")
    opened = {port["port"] for rule in policy.inputs["spec"]["egress"] for port in rule["ports"]}
    assert {settings.database_port, settings.cache_port} <= opened
    assert (settings.broker_port in opened) == (role == "index"), "the outbox is the queue of all others"
    assert (STORE_PORTS["database"], STORE_PORTS["cache"]) == (settings.database_port, settings.cache_port)
    assert (STORE_PORTS["broker"], STORE_PORTS["search"]) == (settings.broker_port, settings.opensearch_port)


@EACH
def test_a_pod_has_the_time_to_finish_what_it_has(stack: str, role: str, start: Any) -> None:
    settings, spec = start(stack, role).settings, pod(stack, role).spec
    sleep = pod(stack, role).container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert settings.drain_seconds == DEREGISTRATION_SECONDS
    assert sleep + settings.drain_seconds < spec["terminationGracePeriodSeconds"]


@EACH
def test_the_image_is_the_one_that_pods_run(stack: str, role: str, start: Any) -> None:
    its = pod(stack, role)
    security = its.spec["securityContext"]
    text = DOCKERFILE.read_text()
    assert f"\nUSER {USER_ID}:{USER_ID}\n" in text
    assert (security["runAsUser"], security["runAsGroup"]) == (USER_ID, USER_ID)
    assert "command" not in its.container, "the image's entry point is the command"
    assert its.container["args"][0] in cli.commands
    # The root is read-only: what the service may write is what is mounted, and what it reads is there.
    assert its.container["securityContext"]["readOnlyRootFilesystem"]
    writable = {one["mountPath"] for one in its.container["volumeMounts"] if not one.get("readOnly")}
    assert writable == {image()["HOME"]} == {"/tmp"}
    settings = start(stack, role).settings
    assert settings.database_ca == Path("/etc/docsearch/rds.pem")
    assert f" {settings.database_ca}\n" in text
    if role == "index":
        assert settings.broker_login_folder == Path(BROKER_FOLDER)
        assert settings.broker_ca == Path(BROKER_FOLDER) / "ca.crt"
        (mounted,) = (one for one in its.container["volumeMounts"] if one["mountPath"] == BROKER_FOLDER)
        (volume,) = (one for one in its.spec["volumes"] if one["name"] == mounted["name"])
        assert volume["secret"]["secretName"] == "broker"
    else:
        assert settings.broker_login_folder is None


@pytest.mark.parametrize("stack", STACKS)
def test_the_job_before_the_pods_is_owner_of_the_database_where_it_is_no_replica(
    stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = pod(stack, "migrate")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**image(), **its.environment}.items():
        if name in VARIABLES:
            monkeypatch.setenv(name, value)
    assert {*its.environment} <= VARIABLES
    assert its.container["args"][0] in cli.commands
    settings = load()
    allowed = {action: one["Resource"] for one in rights(stack, "migrate") for action in one["Action"]}
    assert allowed["sts:AssumeRole"] == [settings.opensearch_role_arn]
    readers, writers = settings.let_in()
    assert (readers, writers) == (("arn:aws:iam:::search-search",), ("arn:aws:iam:::search-index",))
    assert allowed["rds-db:connect"][0].endswith("/docsearch_index")
    if settings.standby_of:
        assert (settings.database_user, settings.database_password_arn) == ("", "")
        assert "secretsmanager:GetSecretValue" not in allowed
    else:
        assert settings.database_user == MASTER_USER
        assert allowed["secretsmanager:GetSecretValue"] == [settings.database_password_arn]
    policy = region(stack).one(POLICY, "search-allow-migrate")
    (rule,) = policy.inputs["spec"]["egress"]
    assert [one["port"] for one in rule["ports"]] == [settings.database_port]


@pytest.mark.parametrize("role", ROLES)
def test_a_standby_knows_its_primary(role: str, start: Any) -> None:
    domain = read_fleet(PROJECT)["dr"].domain
    assert start("dr", role).settings.standby_of == f"https://write.{domain}"
    assert start("prod", role).settings.standby_of == ""


@EACH
def test_a_pod_finds_the_erasures_where_its_role_may_and_the_bucket_keeps_them(
    stack: str, role: str, start: Any
) -> None:
    settings = start(stack, role).settings
    assert isinstance(ledger_of(settings), BucketLedger)
    bucket, _, prefix = settings.erasure_ledger.removeprefix("s3://").partition("/")
    allowed = {one["Sid"]: one for one in rights(stack, role)}
    # What is listed is what stands before the names, with its slash.
    assert f"{prefix}/*" in allowed["ListErasures"]["Condition"]["StringLike"]["s3:prefix"]
    assert allowed["ListErasures"]["Resource"] == [f"arn:aws:s3:::{bucket}"]
    assert ("NoteErasures" in allowed) == (role == "index"), "who keeps house"
    if role == "index":
        assert allowed["NoteErasures"]["Resource"] == [f"arn:aws:s3:::{bucket}/{prefix}/*"]
    kept = region(stack).one("aws:s3/bucketPolicy:BucketPolicy", "storage-snapshots").inputs
    assert kept["bucket"] == bucket
    refused = {one["Sid"]: one["Resource"] for one in json.loads(kept["policy"])["Statement"]}
    assert refused["RefuseDeletionFromLedger"] == [f"arn:aws:s3:::{bucket}/{prefix}/*"]


@EACH
def test_migrate_finds_where_snapshots_go(stack: str, role: str, start: Any) -> None:
    settings, its = start(stack, role).settings, region(stack)
    wanted = Snapshots(settings.snapshot_bucket, settings.snapshot_role, settings.snapshot_path, settings.aws_region)
    assert {"bucket", "role_arn", "base_path"} < {*wanted.body()["settings"]}
    written = json.loads(its.one("aws:iam/rolePolicy:RolePolicy", "opensearch-snapshots").inputs["policy"])["Statement"]
    (where,) = [one["Resource"] for one in written if "s3:PutObject" in one["Action"]]
    assert where == f"arn:aws:s3:::{settings.snapshot_bucket}/{settings.snapshot_path}/*"
    master = json.loads(its.one("aws:iam/rolePolicy:RolePolicy", "opensearch-master").inputs["policy"])["Statement"]
    assert settings.snapshot_role in [one["Resource"] for one in master if one["Action"] == "iam:PassRole"]


def test_with_amazon_mq_the_index_role_alone_reads_the_login_from_secrets_manager() -> None:
    cfg = read_fleet(PROJECT)["prod"]
    amazon = cfg.model_copy(update={"broker": cfg.broker.model_copy(update={"kind": "amazon_mq"})})
    secrets = {one.name: one.secrets for one in Arguments(amazon, None, None)._roles()}  # type: ignore[arg-type]
    assert secrets["index"] == ("BROKER_PASSWORD_ARN",)
    assert not any("BROKER_PASSWORD_ARN" in (secrets[role] or ()) for role in ("search", "document"))
    assert "BROKER_PASSWORD_ARN" in VARIABLES


DEFAULT = "its default is right in every region: a change of it is one of the code, with its tests"
LOCAL_ONLY: Mapping[str, str] = {
    **dict.fromkeys(
        ("API_KEY_PEPPER", "CURSOR_KEY", "TENANT_TOKEN_KEY", "BROKER_PASSWORD", "CACHE_PASSWORD", "DATABASE_PASSWORD"),
        "no environment holds a secret: pods log in by what their role signs, or read Secrets Manager",
    ),
    **dict.fromkeys(
        (f"{name.upper()}{kind}" for name in SECRETS for kind in ("_FILE", "_PREVIOUS")),
        "Secrets Manager has the current version and the one before it",
    ),
    **dict.fromkeys(("BROKER_PASSWORD_ARN",), "set where Amazon MQ is the broker"),
    **dict.fromkeys(("BROKER_USER",), "the login is read with its password"),
    **dict.fromkeys(
        ("BROKER_TLS", "CACHE_TLS", "DATABASE_TLS", "OPENSEARCH_TLS", "DATABASE_PORT", "OPENSEARCH_PORT"),
        "every store in AWS is spoken to by TLS, at its usual port: the default",
    ),
    **dict.fromkeys(
        ("DOCSEARCH_TLS_CERTIFICATE", "DOCSEARCH_TLS_CLIENT_CA", "DOCSEARCH_TLS_KEY"),
        "pods make a certificate for themselves: the load balancer checks none",
    ),
    **dict.fromkeys(("OIDC_CA",), "an issuer that pods reach outside of the VPC has a public certificate"),
    **dict.fromkeys(("DOCSEARCH_ADDRESS", "DOCSEARCH_HOME"), "a matter of the embedded default"),
    **dict.fromkeys(("DOCSEARCH_TRUST_FORWARDED",), "the command sets it for roles that the load balancer calls"),
    **dict.fromkeys(("OPENSEARCH_LACKING",), "the managed domain has its plugins"),
    **dict.fromkeys(
        (
            *(
                f"DATABASE_{name}_SECONDS"
                for name in ("CONNECT", "IDLE", "LIFETIME", "POOL_WAIT", "REPLICA_LAG", "STATEMENT")
            ),
            *(f"DOCSEARCH_{name}_SECONDS" for name in ("BREAKER_OPEN", "CACHE", "CURSOR", "DEADLINE", "NOTICE")),
            *(f"DOCSEARCH_{name}_PER_MINUTE" for name in ("FAILURES", "KEY", "TENANT")),
            *(f"DOCSEARCH_MAX_{name}" for name in ("BODIES", "BODY_BYTES", "BULK_LINES", "CLAUSES", "DEPTH")),
            *(f"DOCSEARCH_MAX_{name}" for name in ("DOCUMENT_BYTES", "PAGE", "QUERY_BYTES")),
            *(f"DOCSEARCH_{name}" for name in ("LOG_FORMAT", "LOG_LEVEL", "TRACE_RATIO")),
            *(f"DOCSEARCH_WORKER_{name}" for name in ("ATTEMPTS", "BATCH", "BATCHES")),
            *(f"OIDC_{name}_SECONDS" for name in ("FETCH", "INTERVAL", "LEEWAY", "MAX_AGE", "REFRESH")),
        ),
        DEFAULT,
    ),
}
"""Options that nobody sets in AWS, each with the reason."""

OIDC = OidcConfig(
    issuer="https://login.example.com/tenants/1/",
    audience="docsearch",
    keys_url="https://login.example.com/keys",
    role_prefix="docsearch-",
)


def asked_for(stack: str, **changes: Any) -> dict[str, str]:
    """The settings of a region whose stack file asks for more."""
    service = read_fleet(PROJECT)[stack].service.model_copy(update=changes)
    (found,) = (
        one.inputs["data"]
        for one in region(stack, service=service).of("kubernetes:core/v1:ConfigMap")
        if "DATABASE_HOST" in one.inputs.get("data", {})
    )
    return dict(found)


def test_every_option_is_set_by_the_platform_or_the_stack_file_or_has_a_reason_why_not() -> None:
    given = {name for stack in STACKS for role in (*ROLES, "migrate") for name in pod(stack, role).environment}
    given |= {*image()} | {*asked_for("prod", oidc=OIDC, allowed_origins=("https://app.example.com",))}
    assert VARIABLES - given - {*LOCAL_ONLY} == set()
    assert {*LOCAL_ONLY} - (VARIABLES - given) == set()


def test_users_of_an_identity_provider_and_pages_of_others_are_let_in_by_the_stack_file() -> None:
    found = asked_for("dr", oidc=OIDC, allowed_origins=("https://a.example.com", "https://b.example.com:8443"))
    given: dict[str, Any] = {name: value for name, value in found.items() if name in VARIABLES}
    settings = Settings(**given)
    assert (settings.oidc_issuer, settings.oidc_audience) == (OIDC.issuer, "docsearch")
    assert (settings.oidc_keys_url, settings.oidc_role_prefix) == (OIDC.keys_url, "docsearch-")
    assert settings.origins() == ("https://a.example.com", "https://b.example.com:8443")
    for stack in STACKS:
        assert not [name for name in pod(stack, "search").environment if name.startswith("OIDC_")]


def test_claims_are_read_as_the_service_does_by_default() -> None:
    for name in ("tenant_claim", "subject_claim", "roles_claim"):
        assert getattr(OidcConfig(), name) == Settings.model_fields[f"oidc_{name}"].default
