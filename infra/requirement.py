"""The requirement's infrastructure figures beside what a plan holds, each with the reason where they differ.

A `Row` asks one figure of a plan. `docsearch requirement` prints the table and writes
`docs/architecture/requirement.md`; a test holds every row against the programs: a row without a reason must be met, a
row with one must differ. Sections are those of the requirement ("Production Readiness Analysis").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from components.opensearch_plan import capacity
from infra.facts import Facts
from stacks.offers import INSTANCE_SIZES

HPA: Final = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
DEPLOYMENT: Final = "kubernetes:apps/v1:Deployment"
DOMAIN: Final = "aws:opensearch/domain:Domain"
INSTANCE: Final = "aws:rds/instance:Instance"
CACHE: Final = "aws:elasticache/replicationGroup:ReplicationGroup"
BROKER: Final = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"
HEALTH: Final = "aws:route53/healthCheck:HealthCheck"


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        section: Of the requirement.
        what: What it is of.
        asked: The requirement's figure, in its words.
        find: What the plan holds instead, as text.
        met: What the text must be; by default what is asked.
        differs: Why it is not what is asked; empty if it is.
    """

    section: str
    what: str
    asked: str
    find: Callable[[Facts], str]
    met: str = ""
    differs: str = ""


@dataclass(frozen=True)
class Answer:
    """A row with the plan's figure.

    Attributes:
        row: The row.
        planned: What the plan holds.
    """

    row: Row
    planned: str

    @property
    def holds(self) -> bool:
        """Whether the plan is what the row says that it is: as asked, or else as reasoned."""
        return self.planned == (self.row.met or self.row.asked)

    def as_json(self) -> dict[str, str | bool]:
        """The form that `--json` prints."""
        row = self.row
        return {
            "section": row.section,
            "what": row.what,
            "asked": row.asked,
            "planned": self.planned,
            "holds": self.holds,
            "differs": row.differs,
        }


def answers(facts: Facts, rows: Iterable[Row] | None = None) -> list[Answer]:
    """Every figure of the requirement with the plan's."""
    return [Answer(row, row.find(facts)) for row in (ROWS if rows is None else rows)]


def markdown(found: Iterable[Answer]) -> str:
    """The table of `docs/architecture/requirement.md`."""
    lines = [
        "# The requirement's figures, and what the plan holds",
        "",
        "Written by `docsearch requirement --local --out docs/architecture/requirement.md` from the plans of prod",
        "and dr. Section numbers are those of the requirement. A difference is said with its reason.",
        "",
        "| § | what | asked | planned | why it differs |",
        "|---|---|---|---|---|",
    ]
    for answer in found:
        row = answer.row
        lines.append(f"| {row.section} | {row.what} | {row.asked} | {answer.planned} | {row.differs} |")
    return "\n".join(lines) + "\n"


# What is asked of a plan


def _replicas(name: str) -> Callable[[Facts], str]:
    def find(facts: Facts) -> str:
        spec = facts.one(HPA, name)["spec"]
        return f"{spec['minReplicas']} to {spec['maxReplicas']}"

    return find


def _targets(facts: Facts) -> str:
    metrics = facts.one(HPA, "search")["spec"]["metrics"]
    found = {item["resource"]["name"]: item["resource"]["target"]["averageUtilization"] for item in metrics}
    return f"CPU {found['cpu']}%, memory {found['memory']}%"


def _scale_down(facts: Facts) -> str:
    down = facts.one(HPA, "search")["spec"]["behavior"]["scaleDown"]
    policy = down["policies"][0]
    return f"after {down['stabilizationWindowSeconds']} s, {policy['value']}% in {policy['periodSeconds']} s"


def _cluster(key: str) -> Callable[[Facts], str]:
    return lambda facts: str(facts.one(DOMAIN)["clusterConfig"][key])


def _coordinators(facts: Facts) -> str:
    options = facts.one(DOMAIN)["clusterConfig"]["nodeOptions"]
    return str(next(item["nodeConfig"]["count"] for item in options if item["nodeType"] == "coordinator"))


def _data_node(facts: Facts) -> str:
    domain = facts.one(DOMAIN)
    size = capacity(domain["clusterConfig"]["instanceType"])
    volume = domain["ebsOptions"]["volumeSize"]
    return f"{size.vcpus} vCPU, {size.memory_gib} GiB ({size.heap_gib} GiB heap), {volume / 1024:g} TiB gp3"


def _cold(facts: Facts) -> str:
    cold = facts.one(DOMAIN)["clusterConfig"]["coldStorageOptions"]["enabled"]
    return "cold storage in S3" if cold else "none"


def _database(facts: Facts) -> str:
    instances = facts.all(INSTANCE)
    replicas = [item for item in instances if item.name.rpartition("-")[2].isdigit()]
    return f"{len(instances) - len(replicas)} primary, {len(replicas)} read replicas"


def _instance(name: str) -> Callable[[Facts], str]:
    def find(facts: Facts) -> str:
        instance = facts.one(INSTANCE, name)
        size = INSTANCE_SIZES[instance["instanceClass"]]
        # A replica's storage is its source's.
        storage = instance.get("allocatedStorage") or facts.one(INSTANCE, "database")["allocatedStorage"]
        return f"{size.vcpus} vCPU, {size.memory_gib:g} GiB, {storage} GiB"

    return find


def _connections(facts: Facts) -> str:
    return f"{facts.one('kubernetes:core/v1:ConfigMap', 'search')['data']['DATABASE_POOL_MAX']} per pod and server"


def _cache(facts: Facts) -> str:
    group = facts.one(CACHE)
    shards, replicas = group["numNodeGroups"], group["replicasPerNodeGroup"]
    return f"{shards * (1 + replicas)} ({shards} masters, {shards * replicas} replicas)"


def _cache_memory(facts: Facts) -> str:
    return f"{INSTANCE_SIZES[facts.one(CACHE)['nodeType']].memory_gib:g} GiB per node"


def _eviction(facts: Facts) -> str:
    parameters = facts.one("aws:elasticache/parameterGroup:ParameterGroup")["parameters"]
    return str(next(item["value"] for item in parameters if item["name"] == "maxmemory-policy"))


def _cache_snapshots(facts: Facts) -> str:
    return f"daily snapshots, kept {facts.one(CACHE)['snapshotRetentionLimit']} days"


def _broker(facts: Facts) -> str:
    return f"{facts.one(BROKER)['spec']['replicas']} nodes"


def _broker_size(facts: Facts) -> str:
    limits = facts.one(BROKER)["spec"]["resources"]["requests"]
    return f"{limits['cpu']} vCPU, {limits['memory']}"


def _queues(facts: Facts) -> str:
    text = facts.one(BROKER)["spec"]["rabbitmq"]["additionalConfig"]
    lines = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    return f"{lines['default_queue_type']} queues, {lines['quorum_queue.initial_cluster_size']} copies"


def _regions(facts: Facts) -> str:
    return f"{facts.primary.region}, {facts.standby.region}"


def _writes(facts: Facts) -> str:
    kinds = [
        policy["type"]
        for plan in (facts.primary, facts.standby)
        for record in facts.all("aws:route53/record:Record", plan=plan)
        for policy in record.inputs.get("failoverRoutingPolicies") or ()
    ]
    return " and ".join(kinds)


def _reads(facts: Facts) -> str:
    found = [
        policy["region"]
        for plan in (facts.primary, facts.standby)
        for record in facts.all("aws:route53/record:Record", plan=plan)
        for policy in record.inputs.get("latencyRoutingPolicies") or ()
    ]
    return f"latency records in {len(found)} regions"


def _failover_seconds(facts: Facts) -> str:
    check = facts.one(HEALTH)
    found = check["requestInterval"] * check["failureThreshold"]
    # An alias record's TTL is that of the load balancer: 60 s (Route 53 developer guide, "Choosing between alias and
    # non-alias records").
    return f"{found} s until the records change, 60 s until caches do"


def _standby_database(facts: Facts) -> str:
    head = facts.one(INSTANCE, "database", plan=facts.standby)
    return "streaming replica in the standby region" if head.get("replicateSourceDb") else "none"


def _search_copy(facts: Facts) -> str:
    connections = facts.all("aws:opensearch/outboundConnection:OutboundConnection", plan=facts.standby)
    return "connection for cross-cluster replication" if connections else "none"


def _encrypted(type_: str, key: str) -> Callable[[Facts], str]:
    def find(facts: Facts) -> str:
        value: Any = facts.one(type_)
        for part in key.split("."):
            value = value[part]
        return "customer key" if value else "none"

    return find


def _buckets(facts: Facts) -> str:
    rules = facts.all("aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration")
    kinds = {
        rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] for item in rules for rule in item.inputs["rules"]
    }
    return ", ".join(sorted(kinds))


def _tls(facts: Facts) -> str:
    policies = {
        item.inputs["sslPolicy"] for item in facts.all("aws:lb/listener:Listener") if item.inputs.get("sslPolicy")
    }
    return ", ".join(sorted(policies))


def _database_tls(facts: Facts) -> str:
    parameters = facts.one("aws:rds/parameterGroup:ParameterGroup")["parameters"]
    found = {item["name"]: item["value"] for item in parameters}
    return f"rds.force_ssl {found['rds.force_ssl']}, from {found['ssl_min_protocol_version']} on"


def _cache_tls(facts: Facts) -> str:
    return f"TLS {facts.one(CACHE)['transitEncryptionMode']}"


def _pods_tls(facts: Facts) -> str:
    spoken = {group.inputs["protocol"] for group in facts.all("aws:lb/targetGroup:TargetGroup")}
    pods = [facts.one(DEPLOYMENT, role)["spec"]["template"]["spec"] for role in ("search", "document")]
    told = [{one["name"]: one["value"] for one in pod["containers"][0]["env"]} for pod in pods]
    # A process that speaks TLS speaks 1.3 alone.
    return "TLS 1.3" if spoken == {"HTTPS"} and all("DOCSEARCH_TLS" in one for one in told) else "none"


def _certificates(facts: Facts) -> str:
    found = facts.all("aws:acm/certificate:Certificate")
    return "ACM, renewed by itself" if all(item.inputs["validationMethod"] == "DNS" for item in found) else "by hand"


def _pod_logs(facts: Facts) -> str:
    shipped = "amazon-cloudwatch-observability" in {its.inputs["addonName"] for its in facts.all("aws:eks/addon:Addon")}
    return "CloudWatch" if shipped else "standard output, kept on the node alone"


def _platform_logs(facts: Facts) -> str:
    groups = facts.all("aws:cloudwatch/logGroup:LogGroup") + facts.all(
        "aws:cloudwatch/logGroup:LogGroup", plan=facts.standby
    )
    return f"CloudWatch, {', '.join(sorted({str(its.inputs['retentionInDays']) for its in groups}))} days"


def _scanning(facts: Facts) -> str:
    repositories = facts.all("aws:ecr/repository:Repository")
    scanned = all(item.inputs["imageScanningConfiguration"]["scanOnPush"] for item in repositories)
    return "at each push" if scanned else "no"


def _policies(facts: Facts) -> str:
    names = {item.name for item in facts.all("kubernetes:networking.k8s.io/v1:NetworkPolicy")}
    return "deny by default, a policy per role" if len(names) > 1 else "none"


def _rolling(facts: Facts) -> str:
    found = facts.one(DEPLOYMENT, "search")["spec"]["strategy"]["rollingUpdate"]
    return f"maxSurge {found['maxSurge']}, maxUnavailable {found['maxUnavailable']}"


def _probes(facts: Facts) -> str:
    container = facts.one(DEPLOYMENT, "search")["spec"]["template"]["spec"]["containers"][0]
    return " and ".join(kind for kind in ("readiness", "liveness") if f"{kind}Probe" in container)


def _point_in_time(facts: Facts) -> str:
    head = facts.one(INSTANCE, "database")
    return f"daily, and to any second of {head['backupRetentionPeriod']} days"


def _away(facts: Facts) -> str:
    types = {
        "point-in-time backups": "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication",
        "objects": "aws:s3/bucketReplicationConfig:BucketReplicationConfig",
        "snapshots in a locked vault": "aws:backup/plan:Plan",
    }
    found = [what for what, type_ in types.items() if facts.all(type_, plan=facts.standby)]
    return f"replicated: {', '.join(found)}"


def _restore_tests(facts: Facts) -> str:
    found = facts.all("aws:backup/restoreTestingPlan:RestoreTestingPlan")
    return "restore-testing plan" if found else "none"


def _zones(facts: Facts) -> str:
    zones = {item.inputs["availabilityZone"] for item in facts.all("aws:ec2/subnet:Subnet")}
    return f"{len(zones)} zones"


def _multi_az(facts: Facts) -> str:
    head = facts.one(INSTANCE, "database")["multiAz"]
    cache = facts.one(CACHE)["multiAzEnabled"]
    standby = facts.one(DOMAIN)["clusterConfig"]["multiAzWithStandbyEnabled"]
    return "database, cache, index" if head and cache and standby else "not all"


def _nats(facts: Facts) -> str:
    return f"{len(facts.all('aws:ec2/natGateway:NatGateway'))} NAT gateways"


_ZONES_DIVIDE: Final = "three zones must divide it, so that the loss of one takes a third and no more"

ROWS: Final[tuple[Row, ...]] = (
    Row("1", "document service, pods", "10 to 20", _replicas("document"), "12 to 20", _ZONES_DIVIDE),
    Row("1", "search service, pods", "20 to 50", _replicas("search"), "21 to 50", _ZONES_DIVIDE),
    Row("1", "index service, pods", "10 to 15", _replicas("index"), "12 to 15", _ZONES_DIVIDE),
    Row("1", "autoscaling target", "CPU 70%, memory 80%", _targets),
    Row("1", "OpenSearch masters", "3", _cluster("dedicatedMasterCount")),
    Row("1", "OpenSearch hot nodes", "20 to 50", _cluster("instanceCount"), "21", _ZONES_DIVIDE),
    Row(
        "1",
        "OpenSearch warm nodes",
        "10 to 20",
        _cluster("warmCount"),
        "12",
        _ZONES_DIVIDE,
    ),
    Row("1", "OpenSearch coordinating nodes", "5", _coordinators, "6", _ZONES_DIVIDE),
    Row(
        "1",
        "OpenSearch data node",
        "16 to 32 cores, 64 GB (32 GB heap), 2 TB NVMe",
        _data_node,
        "16 vCPU, 64 GiB (32 GiB heap), 2 TiB gp3",
        "types with local NVMe are not offered with Multi-AZ with standby; gp3 survives the loss of a node",
    ),
    Row(
        "1",
        "OpenSearch machine-learning nodes",
        "3, optional",
        lambda facts: "none",
        "none",
        "optional, and the service runs models on its data nodes; nothing here uses them",
    ),
    Row(
        "1",
        "OpenSearch cold phase",
        "searchable snapshots after 90 days",
        _cold,
        "cold storage in S3",
        "what the managed service has for it; indexes of an archive move by their age, and the service writes none",
    ),
    Row(
        "1",
        "PostgreSQL",
        "1 primary, 3 read replicas",
        _database,
    ),
    Row(
        "1",
        "PostgreSQL primary",
        "16 vCPU, 64 GB, 1 TB",
        _instance("database"),
        "16 vCPU, 64 GiB, 1024 GiB",
        "the same in binary units, as AWS counts",
    ),
    Row(
        "1",
        "PostgreSQL replicas",
        "8 vCPU, 32 GB, 500 GB",
        _instance("1"),
        "8 vCPU, 32 GiB, 1024 GiB",
        "RDS gives a replica the storage of its source",
    ),
    Row(
        "1",
        "PostgreSQL connections",
        "50 per service instance",
        _connections,
        "26 per pod and server",
        "107 pods, the most in a rolling update, share the 3,000 of a server with room for others",
    ),
    Row("1", "Redis nodes", "6 (3 masters, 3 replicas)", _cache),
    Row(
        "1",
        "Redis memory",
        "16 GB per node",
        _cache_memory,
        "26.32 GiB per node",
        "the next class up: 16 GB is not offered",
    ),
    Row("1", "Redis eviction", "allkeys-lru", _eviction),
    Row(
        "1",
        "Redis persistence",
        "AOF and daily snapshots",
        _cache_snapshots,
        "daily snapshots, kept 35 days",
        "ElastiCache has no AOF on these node types; replicas in other zones take its place",
    ),
    Row("1", "RabbitMQ", "5 nodes", _broker),
    Row(
        "1",
        "RabbitMQ node",
        "8 vCPU, 16 GB",
        _broker_size,
        "7 vCPU, 16Gi",
        "reserved; the machine has 8 vCPU and no other pod, and keeps a tenth of one for itself",
    ),
    Row("1", "RabbitMQ queues", "quorum queues, 3 copies", _queues),
    Row("2", "regions", "us-east-1, us-west-2", _regions),
    Row("2", "reads", "active in both regions, by latency", _reads, "latency records in 2 regions"),
    Row(
        "2",
        "writes",
        "active in one, automatic failover",
        _writes,
        "PRIMARY and SECONDARY",
        "names change over by themselves; people promote the database, since two that take writes are worse",
    ),
    Row(
        "2",
        "failover of DNS",
        "less than 300 s",
        _failover_seconds,
        "30 s until the records change, 60 s until caches do",
    ),
    Row(
        "2",
        "database in the second region",
        "streaming replication",
        _standby_database,
        "streaming replica in the standby region",
    ),
    Row(
        "2",
        "index in the second region",
        "cross-cluster replication",
        _search_copy,
        "connection for cross-cluster replication",
    ),
    Row("3", "OpenSearch at rest", "KMS", _encrypted(DOMAIN, "encryptAtRest.kmsKeyId"), "customer key"),
    Row("3", "PostgreSQL at rest", "encrypted", _encrypted(INSTANCE, "kmsKeyId"), "customer key"),
    Row("3", "Redis at rest", "encrypted", _encrypted(CACHE, "kmsKeyId"), "customer key"),
    Row(
        "3",
        "S3",
        "aws:kms",
        _buckets,
        "AES256, aws:kms",
        "load balancers write their logs into buckets with S3's own keys only",
    ),
    Row(
        "3",
        "TLS of users",
        "TLS 1.3",
        _tls,
        "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
        "TLS 1.3 first; 1.2 with forward secrecy for clients that have no 1.3",
    ),
    Row(
        "3",
        "TLS of PostgreSQL",
        "TLS 1.3",
        _database_tls,
        "rds.force_ssl 1, from TLSv1.2 on",
        "1.3 is used where both have it, as the service has; RDS documents no higher minimum",
    ),
    Row("3", "TLS of Redis", "TLS 1.3", _cache_tls, "TLS required"),
    Row("3", "TLS from load balancer to pods", "TLS 1.3", _pods_tls),
    Row(
        "3",
        "mutual TLS between services",
        "mTLS",
        lambda facts: "none",
        "none",
        "the roles do not call each other: they meet in the stores, each of which asks for credentials over TLS",
    ),
    Row(
        "3",
        "certificates",
        "rotated every 90 days",
        _certificates,
        "ACM, renewed by itself",
        "ACM decides: it renews public certificates before they expire, at times of its own",
    ),
    Row("3", "scanning of images", "at each push", _scanning),
    Row("3", "network policies", "per service", _policies, "deny by default, a policy per role"),
    Row(
        "4",
        "logs of pods",
        "in one place: 30 days hot, 90 days warm, 1 year cold",
        _pod_logs,
        "standard output, kept on the node alone",
        "JSON with the ids of request and trace, which nothing collects: `kubernetes.container_insights` does, is paid "
        "by volume, and is off by default",
    ),
    Row(
        "4",
        "logs of the platform",
        "30 days hot, 90 days warm, 1 year cold",
        _platform_logs,
        "CloudWatch, 365 days",
        "database, cache, index, control plane, firewall and network; CloudWatch has no tiers: all of it is "
        "searched the same for the year",
    ),
    Row("6", "rolling updates", "maxSurge 25%, maxUnavailable 0", _rolling),
    Row("6", "probes", "readiness and liveness", _probes),
    Row("6", "PostgreSQL backups", "daily, point in time", _point_in_time, "daily, and to any second of 35 days"),
    Row(
        "6",
        "backups away from the region",
        "RPO below 15 minutes",
        _away,
        "replicated: point-in-time backups, objects, snapshots in a locked vault",
    ),
    Row("6", "test of backups", "automated", _restore_tests, "restore-testing plan"),
    Row("7", "zones", "several", _zones, "3 zones"),
    Row("7", "survive a zone", "every store", _multi_az, "database, cache, index"),
    Row("7", "ways out", "no single point of failure", _nats, "3 NAT gateways"),
    Row("8", "scale-down", "after 300 s, 50% in 60 s", _scale_down),
)
"""Sections 1, 2, 3, 6 and 7, of 4 where logs go, and what section 8 asks of autoscaling; the rest of 8 is
prices, of 4 and 5 the service's."""
