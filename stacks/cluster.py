"""What a stack file says of the cluster and of the service that runs in it."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from stacks.offers import KUBERNETES_SUPPORT
from stacks.stack_file import DnsLabel, Fault, Image, Mib, Strict, Unit


class NodePool(Strict):
    """Nodes of one kind, in all zones together."""

    instance_types: tuple[str, ...] = Field(
        min_length=1,
        max_length=20,
        description="EC2 instance types of one size; on demand the first that can be had, on Spot any",
    )
    min: int = Field(ge=0, le=1800, description="nodes that always run; on demand the zones divide it")
    desired: int = Field(ge=0, le=1800, description="nodes at first; then the autoscaler's")
    max: int = Field(ge=1, le=1800, description="nodes at which autoscaling stops; on demand enough without one zone")


class KubernetesConfig(Strict):
    """The cluster that the service runs in."""

    version: str = Field(pattern=r"^1\.\d{2}$", description="Kubernetes version, as 1.35; upgrade the standby's first")
    namespace: DnsLabel = Field(default="docsearch", description="namespace of the service")
    admin_role_arns: tuple[str, ...] = Field(
        min_length=1, description="IAM roles that administer the cluster: the operators' and the one that deploys"
    )
    general: NodePool = Field(description="nodes on demand, for everything that must not be interrupted")
    brokers: NodePool = Field(description="nodes on demand, for RabbitMQ alone; unused with amazon_mq")
    indexing: NodePool = Field(description="Spot nodes, for indexing alone; four types or more")
    architecture: Literal["amd64", "arm64"] = Field(default="amd64", description="what container images are built for")
    node_release: str | None = Field(
        default=None,
        description="release of the nodes' image, as 1.35.2-20261019; absent means the latest when a group is made",
    )
    container_insights: bool = Field(
        default=False, description="metrics and logs of pods in CloudWatch, paid by volume"
    )
    load_balancer_controller: Image = Field(description="AWS Load Balancer Controller 3.0 or newer, by digest")
    cluster_autoscaler: Image = Field(description="Cluster Autoscaler of the cluster's minor version, by digest")

    def _faults(self) -> Iterator[Fault]:
        if self.version not in KUBERNETES_SUPPORT:
            reason = "EKS does not have it in standard support; extended support costs six times as much"
            yield Fault("version", reason, f"Write one of {', '.join(KUBERNETES_SUPPORT)}")


class ReplicaRange(Strict):
    """Bounds of autoscaling."""

    min: int = Field(ge=1, le=1000, description="pods that always run; the zones must divide it")
    max: int = Field(ge=1, le=1000, description="pods at which autoscaling stops")

    def _faults(self) -> Iterator[Fault]:
        if self.max < self.min:
            yield Fault("max", f"it is less than min ({self.min})", f"Write at least {self.min}")


class Requests(Strict):
    """What one pod reserves on its node."""

    cpu_millicores: Annotated[int, Unit("thousandths of a vCPU")] = Field(
        ge=50, le=64000, description="processor share"
    )
    memory_mib: Mib = Field(ge=64, le=262144, description="memory, also its limit")


class RoleConfig(Strict):
    """One role of the service."""

    replicas: ReplicaRange = Field(description="bounds of autoscaling")
    requests: Requests = Field(description="what one pod reserves")


HTTPS_URL: Final = r"^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[A-Za-z0-9._~%/-]*)?$"
"""An URL at the port of HTTPS: a pod may open no other one out of the VPC."""

Origin = Annotated[
    str, StringConstraints(pattern=r"^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{2,5})?$", max_length=300)
]
"""What a browser calls the origin of a page: without a path, and without a slash at its end."""


class OidcConfig(Strict):
    """Users of an identity provider, who log in with its access tokens. Without an issuer there is no such login."""

    issuer: str | None = Field(
        default=None, pattern=HTTPS_URL, max_length=500, description="URL of the issuer, letter for letter as in `iss`"
    )
    audience: str | None = Field(
        default=None, pattern=r"^\S+$", description="what `aud` of an access token has to name; needed with an issuer"
    )
    keys_url: str | None = Field(
        default=None,
        pattern=HTTPS_URL,
        max_length=500,
        description="URL of the issuer's keys (JWKS); absent means what its metadata says",
    )
    tenant_claim: str = Field(
        default="tenant",
        pattern=r"^\S+$",
        description="claim with the id of the tenant; with a / in front a JSON Pointer",
    )
    subject_claim: str = Field(default="sub", pattern=r"^\S+$", description="claim that says who it is, likewise")
    roles_claim: str = Field(default="roles", pattern=r"^\S+$", description="claim with the roles, likewise")
    role_prefix: str | None = Field(
        default=None, pattern=r"^\S+$", description="what stands before the name of each role there"
    )

    def environment(self) -> dict[str, str]:
        """The variables of the service: none without an issuer."""
        if self.issuer is None:
            return {}
        return {f"OIDC_{name.upper()}": value for name, value in self.model_dump().items() if value is not None}

    def _faults(self) -> Iterator[Fault]:
        if self.issuer is not None and self.audience is None:
            reason = "a token that the issuer made for another service would be let in"
            yield Fault("audience", reason, "Write what the issuer puts into `aud` for this one")
        if self.issuer is None and self != type(self).model_construct():
            yield Fault("issuer", "what is said beside it has no effect without it", "Write the issuer, or nothing")


class ServiceConfig(Strict):
    """The search service: one image, three roles."""

    image: Image = Field(description="container image by digest: a tag could change under us")
    http_port: int = Field(
        default=8082,
        ge=1024,
        le=65535,
        description="port of the search role (requirement, section 3); above 1023, as it runs without root",
    )
    search: RoleConfig = Field(description="answers searches")
    document: RoleConfig = Field(description="takes documents")
    index: RoleConfig = Field(description="indexes what is queued")
    oidc: OidcConfig = Field(default=OidcConfig(), description="users of an identity provider")
    allowed_origins: tuple[Origin, ...] = Field(
        default=(), description="origins of pages from which browsers may call, as `https://app.example.com`"
    )

    def environment(self) -> dict[str, str]:
        """The variables of the service that are said here as they are."""
        origins = {"DOCSEARCH_ALLOWED_ORIGINS": ",".join(self.allowed_origins)} if self.allowed_origins else {}
        return {**self.oidc.environment(), **origins}
