"""What holds data: databases, caches, buckets, backups."""

from __future__ import annotations

from typing import Any

from infra.plan import Change
from tests.infra.cost.golden import Case
from tests.infra.cost.priced import backup_plan, bucket, figures, made, peer

RDS = "aws:rds/instance:Instance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
GLOBAL = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"
BUCKET = "aws:s3/bucket:Bucket"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
REPLICATION = "aws:s3/bucketReplicationConfig:BucketReplicationConfig"
ECR = "aws:ecr/repository:Repository"
BACKUP = "aws:backup/plan:Plan"
TESTING = "aws:backup/restoreTestingPlan:RestoreTestingPlan"
TESTED = "aws:backup/restoreTestingSelection:RestoreTestingSelection"
RDS_PRICES = "aws.amazon.com/rds/postgresql/pricing"
CACHE_PRICES = "aws.amazon.com/elasticache/pricing"
S3_PRICES = "aws.amazon.com/s3/pricing"
WATCH_PRICES = "aws.amazon.com/cloudwatch/pricing"
BACKUP_PRICES = "aws.amazon.com/backup/pricing"


def database(class_: str, gib: int, *, name: str = "it", multi: bool = False, **more: Any) -> Change:
    inputs = {"engine": "postgres", "engineVersion": "17.5", "storageType": "gp3", "allocatedStorage": gib}
    return made(RDS, name, instanceClass=class_, multiAz=multi, **{**inputs, **more})


def lifecycle(*moves: tuple[str, int], expires: int) -> dict[str, Any]:
    transitions = [{"storageClass": class_, "days": days} for class_, days in moves]
    rule = {"status": "Enabled", "filter": {"prefix": ""}, "transitions": transitions, "expiration": {"days": expires}}
    return {"bucket": "b", "rules": [rule]}


CASES = [
    # Databases
    Case(
        "a database in one zone",
        "730 * 0.636 + 100 * 0.115",
        "475.78",
        RDS_PRICES,
        (database("db.m6g.2xlarge", 100),),
    ),
    Case(
        "prod's database: both copies of Multi-AZ, and what its storage may grow to",
        "730 * 2.696 + 1024 * 0.23",
        "2203.60",
        RDS_PRICES,
        (database("db.m7g.4xlarge", 1024, multi=True, iops=12000, storageThroughput=500, maxAllocatedStorage=4096),),
        most="730 * 2.696 + 4096 * 0.23",
    ),
    Case(
        "gp3 below 400 GiB includes 3,000 IOPS and 125 MiB/s (Infracost: throughput not priced)",
        "730 * 0.318 + 200 * 0.115 + 2000 * 0.02 + 125 * 0.08",
        "305.14",
        f"{RDS_PRICES}; throughput recalled",
        (database("db.m6g.xlarge", 200, iops=5000, storageThroughput=250),),
    ),
    Case(
        "gp3 from 400 GiB on includes 12,000 IOPS and 500 MiB/s",
        "730 * 0.318 + 400 * 0.115",
        "278.14",
        f"{RDS_PRICES}; Infracost golden db_instance 46.00 for 400 GB",
        (database("db.m6g.xlarge", 400, iops=12000, storageThroughput=500),),
    ),
    Case(
        "IOPS and throughput of both copies (Infracost: throughput not priced)",
        "730 * 0.636 + 400 * 0.23 + 2000 * 0.04 + 100 * 0.16",
        "652.28",
        f"{RDS_PRICES}; Infracost golden db_instance 92.00 for 400 GB, 80.00 for 2,000 IOPS; throughput recalled",
        (database("db.m6g.xlarge", 400, multi=True, iops=14000, storageThroughput=600),),
    ),
    Case(
        "backups beyond the size of the database",
        "730 * 0.318 + 100 * 0.115 + (250 - 100) * 0.095",
        "257.89",
        RDS_PRICES,
        (database("db.m6g.xlarge", 100, backupRetentionPeriod=7),),
        {"database__backup_gb": 250},
    ),
    Case(
        "a replica has as much storage as its source, and its size makes backups free",
        "730 * 0.318 + 500 * 0.115 + 730 * 0.159 + 500 * 0.115 + (1100 - 1000) * 0.095",
        "472.71",
        RDS_PRICES,
        (
            database("db.m6g.xlarge", 500, name="head", identifier="head", backupRetentionPeriod=7),
            made(RDS, "replica", instanceClass="db.m6g.large", storageType="gp3", replicateSourceDb="head"),
        ),
        {"database__backup_gb": 1100},
    ),
    Case(
        "extended support of PostgreSQL 12, in its first two years",
        "730 * 0.178 + 20 * 0.115 + 2 * 730 * 0.10",
        "278.24",
        f"{RDS_PRICES}, extended support; Infracost golden db_instance 146.00 for two virtual CPUs",
        (database("db.m5.large", 20, engineVersion="12.22"),),
    ),
    Case(
        "extended support of PostgreSQL 11, in its third year",
        "730 * 0.178 + 20 * 0.115 + 2 * 730 * 0.20",
        "424.24",
        f"{RDS_PRICES}, extended support",
        (database("db.m5.large", 20, engineVersion="11.22"),),
    ),
    Case(
        "extended support of both copies",
        "730 * 0.356 + 20 * 0.23 + 2 * 2 * 730 * 0.10",
        "556.48",
        f"{RDS_PRICES}, extended support",
        (database("db.m5.large", 20, multi=True, engineVersion="13.20"),),
    ),
    Case(
        "no extended support where AWS may upgrade the database",
        "730 * 0.178 + 20 * 0.115",
        "132.24",
        RDS_PRICES,
        (
            database(
                "db.m5.large",
                20,
                engineVersion="12.22",
                engineLifecycleSupport="open-source-rds-extended-support-disabled",
            ),
        ),
    ),
    Case(
        "Database Insights, advanced",
        "730 * 0.478 + 100 * 0.115 + 4 * 730 * 0.0125",
        "396.94",
        f"{RDS_PRICES}, {WATCH_PRICES}",
        (database("db.r7g.xlarge", 100, databaseInsightsMode="advanced"),),
    ),
    Case(
        "a database whose password RDS keeps in a secret",
        "730 * 0.159 + 20 * 0.115 + 0.40",
        "118.77",
        f"{RDS_PRICES}, aws.amazon.com/secrets-manager/pricing",
        (database("db.m6g.large", 20, manageMasterUserPassword=True),),
    ),
    # Caches
    Case(
        "prod's cache: primaries and replicas of three shards, with Valkey's price",
        "3 * (1 + 1) * 730 * 0.3496",
        "1531.248",
        f"{CACHE_PRICES}: Valkey 20% below Redis OSS, 0.437",
        (made(CACHE, engine="valkey", nodeType="cache.r7g.xlarge", numNodeGroups=3, replicasPerNodeGroup=1),),
    ),
    Case(
        "the same with Redis OSS",
        "3 * (1 + 1) * 730 * 0.437",
        "1914.06",
        CACHE_PRICES,
        (made(CACHE, engine="redis", nodeType="cache.r7g.xlarge", numNodeGroups=3, replicasPerNodeGroup=1),),
    ),
    Case(
        "snapshots of Redis OSS beyond the first",
        "2 * 730 * 0.149 + (5 - 1) * 100 * 0.085",
        "251.54",
        f"{CACHE_PRICES}; Infracost golden elasticache_replication_group 0.085 per GB",
        (made(CACHE, engine="redis", nodeType="cache.m6g.large", numCacheClusters=2, snapshotRetentionLimit=5),),
        {"cache__snapshot_gb": 100},
    ),
    Case(
        "snapshots of Valkey (Infracost: not priced)",
        "2 * 730 * 0.1264 + (35 - 1) * 30 * 0.085",
        "271.244",
        CACHE_PRICES,
        (made(CACHE, engine="valkey", nodeType="cache.m7g.large", numCacheClusters=2, snapshotRetentionLimit=35),),
        {"cache__snapshot_gb": 30},
    ),
    Case(
        "what a Global Datastore sends to another region",
        "1500 * 0.02",
        "30.00",
        f"{CACHE_PRICES}, data transfer",
        (made(GLOBAL),),
        {"cache__replicated_gb": 1500, "peer": peer()},
    ),
    # Storage
    Case(
        "60 TB in S3, by tier",
        "51200 * 0.023 + 10240 * 0.022",
        "1402.88",
        S3_PRICES,
        (made(BUCKET, "docs"),),
        {"buckets": {"docs": bucket(stored_gb=61440)}},
    ),
    Case(
        "a lifecycle: 30 days in Standard, 60 in Infrequent Access, the rest of two years in Glacier",
        "300 * 0.023 + 600 * 0.0125 + 6400 * 0.004"
        " + 7300 * (730 / 24) / 730 * 1024 / 1000 * 0.01 + 7300 * (730 / 24) / 730 * 1024 / 1000 * 0.02",
        "49.344",
        S3_PRICES,
        (
            made(BUCKET, "docs"),
            made(LIFECYCLE, "docs", **lifecycle(("STANDARD_IA", 30), ("GLACIER_IR", 90), expires=730)),
        ),
        {"buckets": {"docs": bucket(stored_gb=7300, object_kb=1024)}},
    ),
    Case(
        "requests to a bucket",
        "100 * 0.005 + 100 * 0.0004",
        "0.54",
        f"{S3_PRICES}; Infracost golden s3_bucket 0.50 and 0.04",
        (made(BUCKET, "docs"),),
        {"buckets": {"docs": bucket(puts_thousands=100, gets_thousands=100)}},
    ),
    Case(
        "replication from another region, with time control",
        "500 * 0.02 + 500 * 0.015",
        "17.50",
        f"{S3_PRICES}; time control recalled",
        (
            made(
                REPLICATION,
                "docs-replication",
                rules=[{"destination": {"replicationTime": {"status": "Enabled"}}}],
            ),
        ),
        {"buckets": {"docs": bucket(replicated_gb=500)}, "peer": peer()},
    ),
    Case(
        "container images",
        "50 * 0.10",
        "5.00",
        "aws.amazon.com/ecr/pricing",
        (made(ECR, "a"), made(ECR, "b")),
        {"registry__stored_gb": 50},
    ),
    # Backups
    Case(
        "backups of a database and of a bucket",
        "1000 * 0.095 + 10000 * 0.05",
        "595.00",
        f"{BACKUP_PRICES}; of buckets recalled",
        (made(BACKUP, "daily", rules=[{}]),),
        {"backup__plans": {"daily": backup_plan(rds_gb=1000, s3_gb=10_000)}},
    ),
    Case(
        "copies of them in another region",
        "1000 * 0.095 + 1000 * 0.095 + 300 * 0.02",
        "196.00",
        BACKUP_PRICES,
        (made(BACKUP, "daily", rules=[{"copyActions": [{}]}]),),
        {
            "backup__plans": {"daily": backup_plan(rds_gb=1000, rds_copies_gb=1000, copied_gb=300)},
            "peer": peer(),
        },
    ),
    Case(
        "a weekly restore test of a bucket of 1,000 GB that stays for four hours",
        "730 / 24 / 7 * (1.50 + 1000 * 0.02 + 1000 * 4 / 730 * 0.023)",
        "93.973",
        f"{BACKUP_PRICES} (recalled), {S3_PRICES}",
        (
            made(TESTING, scheduleExpression="cron(0 12 ? * TUE *)"),
            made(TESTED, "docs", protectedResourceType="S3", validationWindowHours=4),
        ),
        {"backup__restored_gb": {"docs": figures(traffic__nat_gb=1000).traffic.nat_gb}},
    ),
    Case(
        "a daily restore test of a database of 1,000 GB that runs for an hour",
        "730 / 24 * (1.50 + 0.168 + 1000 * 1 / 730 * 0.115)",
        "55.528",
        f"{BACKUP_PRICES} (recalled), {RDS_PRICES}",
        (
            made(TESTING, scheduleExpression="cron(0 12 * * ? *)"),
            made(
                TESTED,
                "db",
                protectedResourceType="RDS",
                validationWindowHours=1,
                restoreMetadataOverrides={"dbInstanceClass": "db.m7g.large"},
            ),
        ),
        {"backup__restored_gb": {"db": figures(traffic__nat_gb=1000).traffic.nat_gb}},
    ),
]
