"""What AWS's price list is asked for: by which attributes each sku of the snapshot is found, and in which unit priced.

Sources: AWS, Price List API reference, GetProducts; Infracost, `internal/resources/aws` (2026-08), whose product
filters name product families and usage types; public code that was held against the price list in July and September
2026. None of it could be tried against AWS here: what does not match is kept and named (`refresh.py`), never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

HOURS: Final = r"hrs|hours?"
VCPU_HOURS: Final = r"vcpu-h(ou)?rs?"
GB: Final = r"gb|gigabytes?"
GB_MONTH: Final = r"gb-mo(nth)?s?"
IOPS_MONTH: Final = r"iops-mo(nth)?s?"
GIB_PER_SECOND: Final = r"gibps-mo(nth)?s?"
MIB_PER_SECOND: Final = r"mi?bps-mo(nth)?s?"
COUNT: Final = r"[a-z][a-z -]*"
"""Whatever is counted one by one: requests, keys, alarms. A unit with a number in it is something else."""


@dataclass(frozen=True)
class Ask:
    """How the price list is asked for the skus of one pattern.

    Attributes:
        service: Service of the snapshot.
        skus: Pattern of the skus; its named groups fill `terms` and `usage`, as `region` does.
        usage: Pattern of the usage type, without what it begins with in a region.
        unit: Pattern of the unit in which AWS prices it.
        terms: Attributes that the product must have.
        code: AWS's service code, where it is not the snapshot's.
        per: How many of AWS's units make one of ours.
        first: Take the first range that is charged: what is dearer or cheaper beyond it is not in the snapshot.
        regional: Whether it is asked for by region; global services have one price.
    """

    service: str
    skus: str
    usage: str
    unit: str
    terms: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    per: Decimal = Decimal(1)
    first: bool = False
    regional: bool = True


_THOUSAND: Final = Decimal(1000)
_MILLION: Final = Decimal(1_000_000)
_BETWEEN_REGIONS: Final = r"(?P<a>[a-z0-9-]+)->(?P<b>[a-z0-9-]+)"
_TIER: Final = r"(first|next|over)-\w+|\w+-\w+"


def _family(name: str, **more: str) -> dict[str, str]:
    return {"productFamily": name, **more}


def _between(service: str, before: str) -> Ask:
    """Data that leaves for another region, whoever bills it."""
    terms = {"transferType": "InterRegion Outbound", "fromRegionCode": "{a}", "toRegionCode": "{b}"}
    skus, usage = f"{before}:{_BETWEEN_REGIONS}", r"[A-Z0-9]+-[A-Z0-9]+-AWS-Out-Bytes"
    return Ask(service, skus, usage, GB, terms, "AWSDataTransfer", regional=False)


def _requests(class_: str, sku: str, usage: str, code: str = "", **terms: str) -> Ask:
    return Ask("AmazonS3", f"{class_}:{sku}", usage, COUNT, terms, code, _THOUSAND)


_INSTANCE: Final = {
    "instanceType": "{type}",
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}
_POSTGRES: Final = {"databaseEngine": "PostgreSQL", "deploymentOption": "{az}", "locationType": "AWS Region"}
_ANY_ENGINE: Final = {"databaseEngine": "Any", "deploymentOption": "{az}"}
_AZ: Final = r"(?P<az>single-az|multi-az|multi-az-readable)"
_GLOBAL: Final[dict[str, Any]] = {"regional": False}

ASKS: Final = (
    # Instances and volumes
    Ask("AmazonEC2", r"instance:(?P<type>[\w.-]+):linux:on-demand", "BoxUsage:{type}", HOURS, _INSTANCE),
    Ask(
        "AmazonEC2",
        r"cpu-credits:(?P<family>\w+):linux",
        "CPUCredits:{family}",
        VCPU_HOURS,
        _family("CPU Credits", operatingSystem="Linux"),
    ),
    Ask(
        "AmazonEC2",
        r"ebs:(?P<volume>\w+):storage",
        r"EBS:VolumeUsage(\.\w+)?",
        GB_MONTH,
        _family("Storage", volumeApiName="{volume}"),
    ),
    Ask(
        "AmazonEC2",
        r"ebs:(?P<volume>io1|io2|gp3):iops(:tier1)?",
        r"EBS:VolumeP-IOPS\.(piops|io2|gp3)",
        IOPS_MONTH,
        _family("System Operation", volumeApiName="{volume}"),
        first=True,
    ),
    Ask(
        "AmazonEC2",
        "ebs:gp3:throughput",
        r"EBS:VolumeP-Throughput\.gp3",
        GIB_PER_SECOND,
        _family("Provisioned Throughput", volumeApiName="gp3"),
        per=1 / Decimal(1024),
    ),
    Ask("AmazonEC2", "ebs:snapshot:standard", "EBS:SnapshotUsage", GB_MONTH, _family("Storage Snapshot")),
    Ask(
        "AWSBackup",
        "warm:ebs-snapshot",
        "EBS:SnapshotUsage",
        GB_MONTH,
        _family("Storage Snapshot"),
        "AmazonEC2",
    ),
    # Network
    Ask("AmazonVPC", "nat-gateway:hour", "NatGateway-Hours", HOURS, _family("NAT Gateway"), "AmazonEC2"),
    Ask("AmazonVPC", "nat-gateway:data-processed", "NatGateway-Bytes", GB, _family("NAT Gateway"), "AmazonEC2"),
    Ask("AmazonVPC", "interface-endpoint:hour-per-az", "VpcEndpoint-Hours", HOURS, _family("VpcEndpoint")),
    Ask("AmazonVPC", f"interface-endpoint:data:({_TIER})", "VpcEndpoint-Bytes", GB, _family("VpcEndpoint")),
    Ask("AmazonVPC", "public-ipv4:in-use", "PublicIPv4:InUseAddress", HOURS),
    Ask("AmazonVPC", "public-ipv4:idle", "PublicIPv4:IdleAddress", HOURS),
    Ask("AWSELB", "alb:hour", "LoadBalancerUsage", HOURS, _family("Load Balancer-Application")),
    Ask("AWSELB", "alb:lcu", "LCUUsage", r"lcu-h(ou)?rs?", _family("Load Balancer-Application")),
    Ask("AWSELB", "nlb:hour", "LoadBalancerUsage", HOURS, _family("Load Balancer-Network")),
    Ask("AWSELB", "nlb:nlcu", "LCUUsage", r"n?lcu-h(ou)?rs?", _family("Load Balancer-Network")),
    Ask("AWSELB", "clb:hour", "LoadBalancerUsage", HOURS, _family("Load Balancer")),
    Ask("AWSELB", "clb:data", "DataProcessing-Bytes", GB, _family("Load Balancer")),
    Ask(
        "AWSDataTransfer",
        f"internet-out:({_TIER})",
        "DataTransfer-Out-Bytes",
        GB,
        {"transferType": "AWS Outbound", "fromRegionCode": "{region}"},
    ),
    Ask(
        "AWSDataTransfer",
        "inter-az:each-direction",
        "DataTransfer-Regional-Bytes",
        GB,
        {"transferType": "IntraRegion", "fromRegionCode": "{region}"},
    ),
    _between("AWSDataTransfer", "inter-region"),
    _between("AWSBackup", "cross-region-copy"),
    _between("AmazonRDS", "replication"),
    _between("AmazonElastiCache", "global-datastore"),
    _between("AmazonES", "cross-cluster"),
    _between("AmazonECR", "replication"),
    _between("AmazonS3", "replication:cross-region:transfer"),
    # Stores
    Ask(
        "AmazonES",
        r"instance:(?P<type>[\w.]+)\.search",
        r"ESInstance:{type}(\.search)?",
        HOURS,
        {"instanceType": "{type}.search"},
    ),
    Ask("AmazonES", "storage:gp2", "ES:GP2-Storage", GB_MONTH),
    Ask("AmazonES", "storage:gp3", "ES:GP3-Storage", GB_MONTH),
    Ask("AmazonES", "storage:io1", ".*", GB_MONTH, {"storageMedia": "PIOPS-Storage"}),
    Ask("AmazonES", "storage:magnetic", ".*", GB_MONTH, {"storageMedia": "Magnetic"}),
    Ask("AmazonES", "storage:gp3:iops", "ES:GP3-PIOPS", IOPS_MONTH),
    Ask("AmazonES", "storage:io1:iops", "ES:PIOPS", IOPS_MONTH, {"storageMedia": "PIOPS"}),
    Ask("AmazonES", "storage:gp3:throughput", ".*", MIB_PER_SECOND, {"storageMedia": "GP3-ThroughPut-Storage"}),
    Ask("AmazonES", "storage:(ultrawarm|cold)-managed", "ES:Managed-Storage", GB_MONTH),
    Ask(
        "AmazonElastiCache",
        r"node:(?P<type>cache\.[\w.]+):(?P<engine>redis|valkey)",
        "NodeUsage:{type}",
        HOURS,
        {"instanceType": "{type}", "cacheEngine": "{engine}", "locationType": "AWS Region"},
    ),
    Ask("AmazonElastiCache", "backup:(redis|valkey)", ".*BackupUsage.*", GB_MONTH, _family("Storage Snapshot")),
    Ask(
        "AmazonRDS",
        rf"instance:(?P<type>db\.[\w.]+):postgres:{_AZ}",
        "(InstanceUsage|Multi-AZUsage):{type}",
        HOURS,
        {**_POSTGRES, "instanceType": "{type}"},
    ),
    Ask(
        "AmazonRDS",
        rf"storage:gp2:{_AZ}",
        "RDS:(Multi-AZ-)?GP2-Storage",
        GB_MONTH,
        {**_POSTGRES, **_family("Database Storage")},
    ),
    Ask(
        "AmazonRDS",
        rf"storage:gp3:{_AZ}",
        r"RDS:(Multi-AZ\w*-)?GP3-Storage",
        GB_MONTH,
        {**_POSTGRES, **_family("Database Storage")},
    ),
    Ask(
        "AmazonRDS",
        rf"storage:io1:{_AZ}",
        "RDS:(Multi-AZ-)?PIOPS-Storage",
        GB_MONTH,
        {**_POSTGRES, **_family("Database Storage")},
    ),
    Ask(
        "AmazonRDS",
        rf"storage:gp3:iops:{_AZ}",
        "RDS:(Multi-AZ-)?GP3-PIOPS",
        IOPS_MONTH,
        {**_ANY_ENGINE, **_family("Provisioned IOPS")},
    ),
    Ask(
        "AmazonRDS",
        rf"storage:io1:iops:{_AZ}",
        "RDS:(Multi-AZ-)?PIOPS",
        IOPS_MONTH,
        {**_ANY_ENGINE, **_family("Provisioned IOPS")},
    ),
    Ask(
        "AmazonRDS",
        rf"storage:gp3:throughput:{_AZ}",
        "RDS:(Multi-AZ-)?GP3-Throughput",
        MIB_PER_SECOND,
        {**_ANY_ENGINE, **_family("Provisioned Throughput")},
    ),
    Ask(
        "AmazonRDS",
        "backup:additional",
        "RDS:ChargedBackupUsage",
        GB_MONTH,
        _family("Storage Snapshot", databaseEngine="Any"),
    ),
    Ask(
        "AWSBackup",
        "warm:rds-snapshot",
        "RDS:ChargedBackupUsage",
        GB_MONTH,
        _family("Storage Snapshot", databaseEngine="Any"),
        "AmazonRDS",
    ),
    Ask("AmazonRDS", "proxy:provisioned", "RDS:ProxyUsage", VCPU_HOURS, {"databaseEngine": "PostgreSQL"}),
    Ask("AmazonRDS", "snapshot-export", "RDS:SnapshotExportToS3", GB, {"databaseEngine": "PostgreSQL"}),
    Ask(
        "AmazonRDS",
        "extended-support:year1-2",
        r"ExtendedSupport:Yr1-Yr2:PostgreSQL\d+",
        VCPU_HOURS,
        {"databaseEngine": "PostgreSQL"},
    ),
    Ask(
        "AmazonRDS",
        "extended-support:year3",
        r"ExtendedSupport:Yr3:PostgreSQL\d+",
        VCPU_HOURS,
        {"databaseEngine": "PostgreSQL"},
    ),
    Ask(
        "AmazonMQ",
        r"broker:(?P<type>mq\.[\w.]+):rabbitmq:(?P<az>per-node|cluster-3-node)",
        ".*{type}.*",
        HOURS,
        _family("Broker Instances", brokerEngine="RabbitMQ", deploymentOption="{az}"),
    ),
    Ask("AmazonMQ", "storage:rabbitmq:ebs", "TimedStorage-RabbitMQ-ByteHrs", GB_MONTH, _family("Broker Storage")),
    Ask("AmazonMQ", "storage:activemq:efs", "TimedStorage-ByteHrs", GB_MONTH, _family("Broker Storage")),
    # Objects
    Ask("AmazonS3", f"standard:storage:({_TIER})", "TimedStorage-ByteHrs", GB_MONTH, {"volumeType": "Standard"}),
    Ask("AmazonS3", "standard-ia:storage", "TimedStorage-SIA-ByteHrs", GB_MONTH),
    Ask("AmazonS3", "onezone-ia:storage", "TimedStorage-ZIA-ByteHrs", GB_MONTH),
    Ask("AmazonS3", "glacier-ir:storage", "TimedStorage-GIR-ByteHrs", GB_MONTH),
    Ask("AmazonS3", "glacier-flexible:storage", "TimedStorage-ByteHrs", GB_MONTH, code="AmazonGlacier"),
    Ask("AmazonS3", "deep-archive:storage", "TimedStorage-GDA-ByteHrs", GB_MONTH, code="AmazonS3GlacierDeepArchive"),
    Ask(
        "AmazonS3",
        f"intelligent-tiering:storage:frequent-access:({_TIER})",
        "TimedStorage-INT-FA-ByteHrs",
        GB_MONTH,
    ),
    Ask("AmazonS3", "intelligent-tiering:storage:infrequent-access", "TimedStorage-INT-IA-ByteHrs", GB_MONTH),
    Ask("AmazonS3", "intelligent-tiering:storage:archive-instant", "TimedStorage-INT-AIA-ByteHrs", GB_MONTH),
    _requests("intelligent-tiering", "monitoring", "Monitoring-Automation-INT"),
    _requests("standard", "put-copy-post-list", "Requests-Tier1", group="S3-API-Tier1"),
    _requests("standard", "get", "Requests-Tier2", group="S3-API-Tier2"),
    _requests("standard-ia", "put", "Requests-SIA-Tier1"),
    _requests("standard-ia", "get", "Requests-SIA-Tier2"),
    _requests("onezone-ia", "put", "Requests-ZIA-Tier1"),
    _requests("onezone-ia", "get", "Requests-ZIA-Tier2"),
    _requests("(standard|onezone)-ia", "lifecycle-transition", "Requests-Tier4"),
    _requests("glacier-ir", "(put|lifecycle-transition)", "Requests-GIR-Tier1"),
    _requests("glacier-ir", "get", "Requests-GIR-Tier2"),
    _requests("intelligent-tiering", "put", "Requests-INT-Tier1"),
    _requests("intelligent-tiering", "get", "Requests-INT-Tier2"),
    _requests("glacier-flexible", "put-lifecycle", "Requests-Tier3", operation="S3-GlacierTransition"),
    _requests("glacier-flexible", "get", "Requests-GLACIER-Tier2"),
    _requests("glacier-flexible", "retrieval-requests:standard", "Requests-Tier1", "AmazonGlacier"),
    _requests("deep-archive", "put-lifecycle", "Requests-Tier3", operation="S3-GDATransition"),
    _requests("deep-archive", "get", "Requests-GDA-Tier2"),
    Ask("AmazonS3", "standard-ia:retrieval", "Retrieval-SIA", GB),
    Ask("AmazonS3", "onezone-ia:retrieval", "Retrieval-ZIA", GB),
    Ask("AmazonS3", "glacier-ir:retrieval", "Retrieval-(SIA-)?GIR", GB),
    Ask("AmazonS3", "glacier-flexible:retrieval:standard", "Standard-Retrieval-Bytes", GB, code="AmazonGlacier"),
    Ask(
        "AmazonS3",
        "deep-archive:retrieval:standard",
        "Standard-Retrieval-Bytes",
        GB,
        code="AmazonS3GlacierDeepArchive",
    ),
    Ask("AmazonS3", "replication:rtc", "S3RTC-Out-Bytes", GB),
    Ask("AWSBackup", "warm:efs", "WarmStorage-ByteHrs-EFS", GB_MONTH),
    Ask("AWSBackup", "cold:efs", "ColdStorage-ByteHrs-EFS", GB_MONTH),
    Ask("AWSBackup", "warm:s3", "WarmStorage-ByteHrs-S3", GB_MONTH),
    Ask("AWSBackup", "warm:dynamodb", "TimedBackupStorage-ByteHrs", GB_MONTH, code="AmazonDynamoDB"),
    Ask("AmazonECR", "storage:private", "TimedStorage-ByteHrs", GB_MONTH, _family("EC2 Container Registry")),
    # The cluster, names, keys and secrets
    Ask("AmazonEKS", "cluster:standard-support", "AmazonEKS-Hours:perCluster", HOURS),
    Ask("AmazonEKS", "cluster:extended-support:surcharge", "AmazonEKS-Hours:extendedSupport", HOURS),
    Ask("AmazonRoute53", f"hosted-zone:({_TIER})", "HostedZone", COUNT, _family("DNS Zone"), **_GLOBAL),
    Ask(
        "AmazonRoute53",
        f"queries:standard:({_TIER})",
        "DNS-Queries",
        COUNT,
        _family("DNS Query", routingType="Standard"),
        per=_MILLION,
        regional=False,
    ),
    Ask(
        "AmazonRoute53",
        f"queries:latency:({_TIER})",
        "LBR-Queries",
        COUNT,
        _family("DNS Query"),
        per=_MILLION,
        regional=False,
    ),
    Ask(
        "AmazonRoute53",
        f"queries:geo:({_TIER})",
        "Geo-Queries",
        COUNT,
        _family("DNS Query"),
        per=_MILLION,
        regional=False,
    ),
    Ask(
        "AmazonRoute53",
        "health-check:(?P<of>aws|non-aws)-endpoint",
        "Health-Check-{of}",
        COUNT,
        _family("DNS Health Check"),
        **_GLOBAL,
    ),
    Ask(
        "AmazonRoute53",
        r"health-check-option:[\w-]+:(?P<of>aws|non-aws)-endpoint",
        "Health-Check-Option-{of}",
        COUNT,
        _family("DNS Health Check"),
        **_GLOBAL,
    ),
    Ask("awskms", "key:(customer-managed|rotation)", "KMS-Keys", COUNT, _family("Encryption Key")),
    Ask("awskms", "requests:symmetric", "KMS-Requests", COUNT, per=Decimal(10_000)),
    Ask("awskms", "requests:asymmetric-other", "KMS-Requests-Asymmetric", COUNT, per=Decimal(10_000)),
    Ask("awskms", "requests:rsa-2048", "KMS-Requests-Asymmetric-RSA_2048", COUNT, per=Decimal(10_000)),
    Ask(
        "awskms",
        "requests:generate-data-key-pair:ecc",
        "KMS-Requests-GenerateDatakeyPair-ECC",
        COUNT,
        per=Decimal(10_000),
    ),
    Ask("AWSSecretsManager", "secret", "AWSSecretsManager-Secrets", COUNT),
    Ask("AWSSecretsManager", "api-requests", "AWSSecretsManagerAPIRequest", COUNT, per=Decimal(10_000)),
    # The firewall, messages, watching
    Ask("awswaf", "web-acl", "WebACLV2", COUNT, _family("Web Application Firewall")),
    Ask("awswaf", "rule(:managed-rule-group)?", "RuleV2", COUNT, _family("Web Application Firewall")),
    Ask("awswaf", "requests", "RequestV2-Tier1", COUNT, _family("Web Application Firewall"), per=_MILLION),
    Ask("AmazonSNS", "api-requests:standard", "Requests-Tier1", COUNT, per=_MILLION),
    Ask("AmazonSNS", "notifications:email", "DeliveryAttempts-SMTP", COUNT, per=Decimal(100_000)),
    Ask("AmazonSNS", "notifications:http", "DeliveryAttempts-HTTP", COUNT, per=Decimal(100_000)),
    Ask(
        "AWSQueueService",
        "requests:standard",
        r"Requests.*",
        COUNT,
        {"queueType": "Standard"},
        per=_MILLION,
        first=True,
    ),
    Ask(
        "AWSQueueService",
        "requests:fifo",
        r"Requests.*",
        COUNT,
        {"queueType": "FIFO (first-in, first-out)"},
        per=_MILLION,
        first=True,
    ),
    Ask("AmazonCloudWatch", "alarm:standard", "CW:AlarmMonitorUsage", COUNT, _family("Alarm", alarmType="Standard")),
    Ask("AmazonCloudWatch", "alarm:high-resolution", "CW:HighResAlarmMonitorUsage", COUNT, _family("Alarm")),
    Ask("AmazonCloudWatch", "alarm:composite", "CW:CompositeAlarmMonitorUsage", COUNT, _family("Alarm")),
    Ask("AmazonCloudWatch", "dashboard", "DashboardsUsageHour", COUNT, _family("Dashboard"), **_GLOBAL),
    Ask("AmazonCloudWatch", f"metric:({_TIER})", "CW:MetricMonitorUsage", COUNT, _family("Metric")),
    Ask("AmazonCloudWatch", "logs:ingest:standard", "DataProcessing-Bytes", GB, _family("Data Payload")),
    Ask("AmazonCloudWatch", "logs:ingest:infrequent-access", "DataProcessingIA-Bytes", GB, _family("Data Payload")),
    Ask("AmazonCloudWatch", f"logs:vended:({_TIER})", "VendedLog-Bytes", GB, _family("Data Payload")),
    Ask("AmazonCloudWatch", "logs:insights-scanned", "DataScanned-Bytes", GB, _family("Data Payload")),
    Ask("AmazonCloudWatch", "logs:storage", "TimedStorage-ByteHrs", GB_MONTH, _family("Storage Snapshot")),
    Ask("AmazonCloudWatch", "api:get-metric-data", "CW:GMD-Metrics", COUNT, per=_THOUSAND),
    Ask("AmazonCloudWatch", "api:requests", "CW:Requests", COUNT, per=_THOUSAND),
    Ask("AmazonCloudWatch", "synthetics:canary-run", "CW:Canary-runs", COUNT),
    Ask(
        "AWSCloudTrail",
        "management-events:additional-copies",
        ".*PaidEventsRecorded",
        COUNT,
        _family("Management Tools - AWS CloudTrail Paid Events Recorded"),
        per=Decimal(100_000),
    ),
    Ask(
        "AWSCloudTrail",
        "data-events",
        ".*DataEventsRecorded",
        COUNT,
        _family("Management Tools - AWS CloudTrail Data Events Recorded"),
        per=Decimal(100_000),
    ),
    Ask(
        "AWSCloudTrail",
        "insight-events",
        "InsightsEvents",
        COUNT,
        _family("Management Tools - AWS CloudTrail Insights Events"),
        per=Decimal(100_000),
    ),
    Ask(
        "AWSConfig",
        "configuration-item",
        "ConfigurationItemRecorded",
        COUNT,
        _family("Management Tools - AWS Config"),
    ),
    Ask(
        "AWSConfig",
        f"rule-evaluation:({_TIER})",
        "ConfigRuleEvaluations",
        COUNT,
        _family("Management Tools - AWS Config Rules"),
    ),
    Ask("AmazonGrafana", "editor", "Grafana:EditorUser", COUNT, _family("User Fees")),
    Ask("AmazonGrafana", "viewer", "Grafana:ViewerUser", COUNT, _family("User Fees")),
)

_UNREAD: Final = "no source says which usage type it has"

NOT_ASKED: Final = (
    ("AWSCertificateManager", "certificate:public", "it is free, and the price list has no product for it"),
    ("AWSBackup", "restore:rds", "it is free, and the price list has no product for it"),
    ("AmazonECR", "scan:basic", "it is free, and the price list has no product for it"),
    ("AWSDataTransfer", "internet-in", "it is free everywhere"),
    ("AmazonEKS", "cluster:extended-support:total", "the sum of two prices that are asked for"),
    ("AmazonCloudWatch", "alarm:anomaly-detection:standard", "three times a price that is asked for"),
    ("AmazonES", "extended-support:nih", "each engine version has a product of its own"),
    ("AmazonRDS", "performance-insights:.*", "AWS retired it in mid-2026"),
    ("AWSBackup", "restore-testing|restore:s3", _UNREAD),
    ("awswaf", "requests:per-500-wcu-over-1500", _UNREAD),
    ("AmazonCloudWatch", "database-insights:.*|logs:data-protection-scanned|metric-streams", _UNREAD),
    ("AWSXRay", ".*", _UNREAD),
    ("AmazonGuardDuty", ".*", _UNREAD),
    ("AmazonPrometheus", ".*", _UNREAD),
)
"""What the price list is not asked for: service, pattern of skus, and why."""
