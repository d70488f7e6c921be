"""What a stack file says of the cluster and of the service that runs in it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

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
