"""What was planned is there: each service is asked what it has, and its answers are held against the stack files.

The engine's state is not looked at, and no plan either: whoever has only credentials and boto3 sees the same.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.kms import DATA_CLASSES
from components.storage_plan import LEDGER_PREFIX
from infra.program import read_config
from stacks.config import StackConfig
from tests.regions import STACKS

pytestmark = pytest.mark.engine


@dataclass
class Confirmations:
    """What was compared, and what was not as planned.

    Attributes:
        counted: Comparisons by service.
        missed: What differs, by name.
    """

    service: str = ""
    counted: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def __call__(self, actual: object, expected: object, what: str) -> None:
        """Compare, go on whatever comes of it, and keep the name of what differs."""
        self.counted[self.service] = self.counted.get(self.service, 0) + 1
        if actual != expected:
            self.missed.append(f"{self.service}: {what} is {actual!r}, planned is {expected!r}")


@dataclass(frozen=True)
class Region:
    """One region, as its services show it.

    Attributes:
        stack: Name of its stack.
        config: What its stack file says.
        cloud: The local cloud.
    """

    stack: str
    config: StackConfig
    cloud: Any

    def ask(self, service: str) -> Any:
        """A client of a service in this region."""
        return self.cloud.client(service, self.config.region)

    def key(self, data_class: str) -> str:
        """ARN of our key for a class of data."""
        aliases = {item["AliasName"]: item for item in self.ask("kms").list_aliases()["Aliases"]}
        id = aliases[f"alias/docsearch/{data_class}"]["TargetKeyId"]
        return f"arn:aws:kms:{self.config.region}:{self.config.account_id}:key/{id}"

    def subnets(self, tier: str) -> set[str]:
        """Ids of the subnets of a tier."""
        found = self.ask("ec2").describe_subnets()["Subnets"]
        return {item["SubnetId"] for item in found if named(item).startswith(f"network-{tier}-")}

    def group(self, name: str) -> str:
        """Id of a security group."""
        (found,) = (
            item for item in self.ask("ec2").describe_security_groups()["SecurityGroups"] if named(item) == name
        )
        return str(found["GroupId"])

    def buckets(self) -> dict[str, str]:
        """This region's buckets by kind."""
        client = self.ask("s3")
        # The first of all regions has no name there.
        here = None if self.config.region == "us-east-1" else self.config.region
        names = [item["Name"] for item in client.list_buckets()["Buckets"]]
        mine = [name for name in names if client.get_bucket_location(Bucket=name).get("LocationConstraint") == here]
        return {name.split("-")[1]: name for name in mine}

    @property
    def other(self) -> "Region":
        """The region that this one follows, or is followed by."""
        (stack,) = {*STACKS} - {self.stack}
        return Region(stack, read_config(stack), self.cloud)


def named(item: dict[str, Any]) -> str:
    """The logical name, by its tag."""
    return next((tag["Value"] for tag in item.get("Tags", ()) if tag["Key"] == "Name"), "")


def confirm_opensearch(region: Region, confirm: Confirmations) -> None:
    planned, client = region.config.opensearch, region.ask("opensearch")
    names = [item["DomainName"] for item in client.list_domain_names()["DomainNames"]]
    confirm(len(names), 1, "number of domains")
    domain = client.describe_domain(DomainName=names[0])["DomainStatus"]
    nodes = domain["ClusterConfig"]
    confirm(domain["EngineVersion"], planned.engine_version, "version")
    confirm(nodes["InstanceCount"], planned.hot.count, "data nodes")
    confirm(nodes["InstanceType"], planned.hot.instance_type, "class of data nodes")
    confirm(nodes["DedicatedMasterEnabled"], True, "dedicated masters")
    confirm(nodes["DedicatedMasterCount"], 3, "masters")
    confirm(nodes["DedicatedMasterType"], planned.master_type, "class of masters")
    confirm(nodes["WarmEnabled"], True, "the warm tier")
    confirm(nodes["WarmCount"], planned.warm.count, "warm nodes")
    confirm(nodes["WarmType"], planned.warm.instance_type, "class of warm nodes")
    confirm(nodes["ColdStorageOptions"], {"Enabled": planned.cold}, "the cold tier")
    (coordinators,) = nodes["NodeOptions"]
    confirm(coordinators["NodeType"], "coordinator", "further nodes")
    confirm(coordinators["NodeConfig"]["Count"], planned.coordinators.count, "coordinators")
    confirm(coordinators["NodeConfig"]["Type"], planned.coordinators.instance_type, "class of coordinators")
    confirm(nodes["ZoneAwarenessConfig"], {"AvailabilityZoneCount": 3}, "zones")
    confirm(nodes["MultiAZWithStandbyEnabled"], True, "Multi-AZ with standby")
    confirm({*domain["VPCOptions"]["AvailabilityZones"]}, {*region.config.network.zones[:3]}, "names of zones")
    confirm({*domain["VPCOptions"]["SubnetIds"]}, region.subnets("data"), "subnets")
    confirm(domain["VPCOptions"]["SecurityGroupIds"], [region.group("network-search")], "security groups")
    confirm(domain["EBSOptions"]["VolumeType"], "gp3", "kind of storage")
    confirm(domain["EBSOptions"]["VolumeSize"], planned.hot.storage_gib, "storage, GiB")
    confirm(domain["EBSOptions"]["Throughput"], planned.hot.throughput_mibps, "throughput, MiB/s")
    encrypted = domain["EncryptionAtRestOptions"]
    confirm(encrypted, {"Enabled": True, "KmsKeyId": region.key("data")}, "encryption at rest")
    confirm(domain["NodeToNodeEncryptionOptions"], {"Enabled": True}, "encryption between nodes")
    confirm(domain["DomainEndpointOptions"]["EnforceHTTPS"], True, "HTTPS alone")
    confirm(domain["AdvancedSecurityOptions"]["Enabled"], True, "fine-grained access")
    confirm(domain["AdvancedSecurityOptions"]["InternalUserDatabaseEnabled"], False, "passwords")
    logs = {"AUDIT_LOGS", "ES_APPLICATION_LOGS", "INDEX_SLOW_LOGS", "SEARCH_SLOW_LOGS"}
    confirm({log for log, said in domain["LogPublishingOptions"].items() if said["Enabled"]}, logs, "logs")
    window = domain["OffPeakWindowOptions"]["OffPeakWindow"]["WindowStartTime"]
    confirm(f"{window['Hours']:02}:{window['Minutes']:02}", planned.off_peak_start, "off-peak window")


def confirm_rds(region: Region, confirm: Confirmations) -> None:
    planned, client = region.config.database, region.ask("rds")
    instances = client.describe_db_instances()["DBInstances"]
    heads = [item for item in instances if ":" in item.get("ReadReplicaSourceDBInstanceIdentifier", ":")]
    replicas = [item for item in instances if item not in heads]
    confirm(len(heads), 1, "instances that lead the region")
    confirm(len(replicas), planned.replicas.count, "read replicas")
    (head,) = heads
    confirm(head["DBInstanceClass"], planned.primary.instance_class, "class of the head")
    confirm(head["EngineVersion"], planned.engine_version, "version of the head")
    confirm(head["MultiAZ"], True, "Multi-AZ of the head")
    confirm(head["MaxAllocatedStorage"], planned.primary.max_allocated_gib, "where its storage stops growing, GiB")
    confirm(head["BackupRetentionPeriod"], 35, "days that can be gone back to")
    confirm(head["PreferredBackupWindow"], planned.backup_window, "backup window")
    confirm(head["PreferredMaintenanceWindow"], planned.maintenance_window, "maintenance window of the head")
    for replica in replicas:
        name = replica["DBInstanceIdentifier"]
        version = planned.replicas.engine_version or planned.engine_version
        confirm(replica["DBInstanceClass"], planned.replicas.instance_class, f"class of {name}")
        confirm(replica["EngineVersion"], version, f"version of {name}")
        source = replica["ReadReplicaSourceDBInstanceIdentifier"]
        confirm(source, head["DBInstanceIdentifier"], f"source of {name}")
    zones = {item["AvailabilityZone"] for item in replicas}
    confirm(len(zones), min(len(replicas), len(region.config.network.zones)), "zones of the read replicas")
    for item in instances:
        name = item["DBInstanceIdentifier"]
        confirm(item["Engine"], "postgres", f"engine of {name}")
        confirm(item["AllocatedStorage"], planned.primary.allocated_gib, f"storage of {name}, GiB")
        confirm(item["StorageType"], "gp3", f"kind of storage of {name}")
        confirm(item["Iops"], planned.primary.iops or 12000, f"IOPS of {name}")
        confirm(item["StorageEncrypted"], True, f"encryption of {name}")
        confirm(item["KmsKeyId"], region.key("data"), f"key of {name}")
        confirm(item["PubliclyAccessible"], False, f"public access to {name}")
        confirm(item["DeletionProtection"], region.config.locked, f"deletion protection of {name}")
        confirm(item["IAMDatabaseAuthenticationEnabled"], True, f"IAM logins to {name}")
        confirm(item["AutoMinorVersionUpgrade"], False, f"minor upgrades of {name} by AWS")
        confirm({*item["EnabledCloudwatchLogsExports"]}, {"postgresql", "upgrade"}, f"logs of {name}")
        groups = [group["VpcSecurityGroupId"] for group in item["VpcSecurityGroups"]]
        confirm(groups, [region.group("network-database")], f"security groups of {name}")
        subnets = {subnet["SubnetIdentifier"] for subnet in item["DBSubnetGroup"]["Subnets"]}
        confirm(subnets, region.subnets("data"), f"subnets of {name}")
    (settings,) = head["DBParameterGroups"]
    found = client.describe_db_parameters(DBParameterGroupName=settings["DBParameterGroupName"])["Parameters"]
    values = {item["ParameterName"]: item.get("ParameterValue") for item in found}
    confirm(values["rds.force_ssl"], "1", "TLS alone")
    confirm(values["password_encryption"], "scram-sha-256", "how passwords are kept")
    (events,) = client.describe_event_subscriptions()["EventSubscriptionsList"]
    ids = {item["DBInstanceIdentifier"] for item in instances}
    confirm({*events["SourceIdsList"]}, ids, "instances whose events are heard")
    confirm("MasterUserSecret" in head, False, "a master password that RDS manages: there would be no replicas")
    kept = [
        item
        for item in region.ask("secretsmanager").list_secrets()["SecretList"]
        if item.get("Description") == "Master user of the database"
    ]
    confirm(len(kept), int(region.config.role == "primary"), "secrets of the master user")
    if region.config.role == "primary":
        confirm(kept[0]["KmsKeyId"], region.key("secrets"), "key of the master password")
        followers = [item for item in head["ReadReplicaDBInstanceIdentifiers"] if item.startswith("arn:")]
        confirm([arn.split(":")[3] for arn in followers], [region.other.config.region], "regions that follow")
    else:
        source = head["ReadReplicaSourceDBInstanceIdentifier"]
        confirm(source.split(":")[3], region.other.config.region, "region that is followed")


def confirm_elasticache(region: Region, confirm: Confirmations) -> None:
    planned, client = region.config.cache, region.ask("elasticache")
    groups = client.describe_replication_groups()["ReplicationGroups"]
    confirm(len(groups), 1, "number of clusters")
    (group,) = groups
    confirm(group["Engine"], "valkey", "engine")
    confirm(group["CacheNodeType"], planned.node_type, "class of nodes")
    confirm(len(group["NodeGroups"]), planned.shards, "shards")
    for shard in group["NodeGroups"]:
        members, name = shard["NodeGroupMembers"], shard["NodeGroupId"]
        confirm(len(members), 1 + planned.replicas, f"nodes of shard {name}")
        zones = {member["PreferredAvailabilityZone"] for member in members}
        confirm(len(zones), min(len(members), 3), f"zones of shard {name}")
    confirm(group["MultiAZ"], "enabled", "Multi-AZ")
    confirm(group["AutomaticFailover"], "enabled", "failover")
    confirm(group["ClusterMode"], "enabled", "cluster mode")
    confirm(group["AtRestEncryptionEnabled"], True, "encryption at rest")
    confirm(group["KmsKeyId"], region.key("messages"), "key")
    confirm(group["TransitEncryptionEnabled"], True, "TLS")
    confirm(group["TransitEncryptionMode"], "required", "TLS alone")
    confirm(group["AuthTokenEnabled"], False, "a shared password")
    confirm(len(group["UserGroupIds"]), 1, "user groups")
    confirm(group["SnapshotRetentionLimit"], 35, "days that snapshots are kept")
    logs = {item["LogType"] for item in group["LogDeliveryConfigurations"]}
    confirm(logs, {"slow-log", "engine-log"}, "logs")
    nodes = client.describe_cache_clusters()["CacheClusters"]
    confirm(len(nodes), planned.shards * (1 + planned.replicas), "nodes")
    confirm({node["EngineVersion"] for node in nodes}, {planned.engine_version}, "version of all nodes")
    found = {item["SecurityGroupId"] for node in nodes for item in node["SecurityGroups"]}
    confirm(found, {region.group("network-cache")}, "security groups")
    role = group["GlobalReplicationGroupInfo"]["GlobalReplicationGroupMemberRole"]
    confirm(role, "PRIMARY" if region.config.role == "primary" else "SECONDARY", "role in the Global Datastore")
    (store,) = client.describe_global_replication_groups(ShowMemberInfo=True)["GlobalReplicationGroups"]
    regions = {member["ReplicationGroupRegion"] for member in store["Members"]}
    confirm(regions, {read_config(stack).region for stack in STACKS}, "regions of the Global Datastore")
    confirm(store["EngineVersion"], planned.engine_version, "version of the Global Datastore")


def confirm_eks(region: Region, confirm: Confirmations) -> None:
    planned, client, zones = region.config.kubernetes, region.ask("eks"), region.config.network.zones
    names = client.list_clusters()["clusters"]
    confirm(len(names), 1, "number of clusters")
    (name,) = names
    cluster = client.describe_cluster(name=name)["cluster"]
    confirm(cluster["version"], planned.version, "version")
    network = cluster["resourcesVpcConfig"]
    confirm(network["endpointPublicAccess"], False, "public endpoint")
    confirm(network["endpointPrivateAccess"], True, "private endpoint")
    confirm({*network["subnetIds"]}, region.subnets("private"), "subnets")
    confirm(network["securityGroupIds"], [region.group("network-control-plane")], "security groups")
    (encrypted,) = cluster["encryptionConfig"]
    confirm(encrypted["provider"]["keyArn"], region.key("secrets"), "key of Kubernetes' secrets")
    confirm(encrypted["resources"], ["secrets"], "what is encrypted with it")
    (logging,) = cluster["logging"]["clusterLogging"]
    confirm(logging["enabled"], True, "logs")
    confirm(len(logging["types"]), 5, "kinds of logs")
    confirm(cluster["accessConfig"]["authenticationMode"], "API", "who may enter")
    confirm(cluster["upgradePolicy"]["supportType"], "STANDARD", "support")
    confirm(cluster["zonalShiftConfig"], {"enabled": True}, "zonal shift")
    confirm(cluster["deletionProtection"], region.config.locked, "deletion protection")
    names = client.list_nodegroups(clusterName=name)["nodegroups"]
    groups = [client.describe_nodegroup(clusterName=name, nodegroupName=each)["nodegroup"] for each in names]
    pools = {"general": planned.general, "brokers": planned.brokers, "indexing": planned.indexing}
    for pool, its in pools.items():
        mine = [group for group in groups if group["labels"]["docsearch/pool"] == pool]
        spot = pool == "indexing"
        confirm(len(mine), 1 if spot else len(zones), f"groups of {pool} nodes")
        subnets = sorted(subnet for group in mine for subnet in group["subnets"])
        confirm(subnets, sorted(region.subnets("private")), f"subnets of {pool} nodes")
        for size in ("min", "desired", "max"):
            total = sum(group["scalingConfig"][f"{size}Size"] for group in mine)
            confirm(total, getattr(its, size), f"{size} of {pool} nodes")
        for group in mine:
            what = group["nodegroupName"]
            confirm(tuple(group["instanceTypes"]), its.instance_types, f"classes of {what}")
            confirm(group["capacityType"], "SPOT" if spot else "ON_DEMAND", f"capacity of {what}")
            confirm(group["version"], planned.version, f"version of {what}")
            confirm(bool(group["taints"]), pool != "general", f"whether others stay off {what}")
    confirm(len(groups), 2 * len(zones) + 1, "node groups")
    ec2 = region.ask("ec2")
    for id in {group["launchTemplate"]["id"] for group in groups}:
        (template,) = ec2.describe_launch_template_versions(LaunchTemplateId=id, Versions=["$Latest"])[
            "LaunchTemplateVersions"
        ]
        what, said = template["LaunchTemplateName"], template["LaunchTemplateData"]
        (disk,) = said["BlockDeviceMappings"]
        confirm(disk["Ebs"]["Encrypted"], True, f"encryption of {what}")
        confirm(disk["Ebs"]["KmsKeyId"], region.key("data"), f"key of {what}")
        confirm(said["MetadataOptions"]["HttpTokens"], "required", f"IMDSv2 of {what}")


def confirm_route53(region: Region, confirm: Confirmations) -> None:
    config, client = region.config, region.ask("route53")
    zones = client.list_hosted_zones()["HostedZones"]
    confirm([zone["Name"] for zone in zones], [f"{config.domain}."], "zones")
    records = client.list_resource_record_sets(HostedZoneId=zones[0]["Id"])["ResourceRecordSets"]
    (balancer,) = region.ask("elbv2").describe_load_balancers()["LoadBalancers"]
    host = f"{config.region}.{config.domain}"
    checks = client.list_health_checks()["HealthChecks"]
    (check,) = (item for item in checks if item["HealthCheckConfig"]["FullyQualifiedDomainName"] == host)
    said = check["HealthCheckConfig"]
    confirm(len(checks), len(STACKS), "health checks")
    confirm((said["Type"], said["Port"]), ("HTTPS", 443), "how health is asked for")
    confirm((said["RequestInterval"], said["FailureThreshold"]), (10, 3), "seconds and failures until a region is lost")
    confirm(said["MeasureLatency"], True, "latency from outside")
    confirm(said["Disabled"] or said["Inverted"], False, "a check that is none")

    def answer(name: str) -> dict[str, Any]:
        mine = [item for item in records if item["Name"] == f"{name}.{config.domain}." and item["Type"] == "A"]
        (found,) = (item for item in mine if item.get("SetIdentifier", config.region) == config.region)
        return dict(found)

    read, write, own = answer("api"), answer("write"), answer(config.region)
    confirm(read["Region"], config.region, "reads go to the nearest region")
    confirm(write["Failover"], "PRIMARY" if config.role == "primary" else "SECONDARY", "writes fail over")
    for what, item in (("reads", read), ("writes", write)):
        confirm(item["HealthCheckId"], check["Id"], f"health check of {what}")
        confirm(item["AliasTarget"]["EvaluateTargetHealth"], True, f"health of the targets of {what}")
    confirm("HealthCheckId" in own, False, "a check that withdraws the regional name")
    for what, item in (("reads", read), ("writes", write), ("the region", own)):
        confirm(item["AliasTarget"]["DNSName"], balancer["DNSName"], f"where {what} go")
    authorities = [item["ResourceRecords"][0]["Value"] for item in records if item["Type"] == "CAA"]
    confirm(authorities, ['0 issue "amazon.com"'], "who may issue certificates")


def confirm_kms(region: Region, confirm: Confirmations) -> None:
    client = region.ask("kms")
    aliases = {item["AliasName"] for item in client.list_aliases()["Aliases"]}
    ours = {alias for alias in aliases if alias.startswith("alias/docsearch/")}
    confirm(ours, {f"alias/docsearch/{name}" for name in DATA_CLASSES}, "keys")
    primary = region.config.role == "primary"
    for name in DATA_CLASSES:
        arn = region.key(name)
        key = client.describe_key(KeyId=arn)["KeyMetadata"]
        confirm(key["KeyState"], "Enabled", f"state of {name}")
        confirm(key["KeyManager"], "CUSTOMER", f"whose key {name} is")
        confirm(key["MultiRegion"], True, f"other regions of {name}")
        confirm(client.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"], True, f"rotation of {name}")
        about = key["MultiRegionConfiguration"]
        leader = region if primary else region.other
        confirm(about["PrimaryKey"]["Region"], leader.config.region, f"region that leads {name}")
        confirm(arn.rpartition("/")[2], region.other.key(name).rpartition("/")[2], f"key id of {name} in both regions")
        policy = json.loads(client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
        public = [item for item in policy["Statement"] if item["Principal"] == "*" and not item.get("Condition")]
        confirm([item for item in public if item["Effect"] == "Allow"], [], f"everybody's rights to {name}")


def confirm_s3(region: Region, confirm: Confirmations) -> None:
    client, buckets = region.ask("s3"), region.buckets()
    confirm({*buckets}, {"documents", "snapshots", "logs"}, "buckets")
    tiers = {
        "documents": ([(30, "STANDARD_IA"), (90, "GLACIER_IR")], 730),
        "snapshots": ([(90, "STANDARD_IA")], None),
        "logs": ([(30, "STANDARD_IA"), (90, "GLACIER")], 365),
    }
    for kind, name in buckets.items():
        confirm(client.get_bucket_versioning(Bucket=name)["Status"], "Enabled", f"versions of {kind}")
        block = client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
        confirm([*block.values()], [True] * 4, f"what keeps the public out of {kind}")
        (owner,) = client.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
        confirm(owner["ObjectOwnership"], "BucketOwnerEnforced", f"who owns {kind}")
        (rule,) = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
        said = rule["ApplyServerSideEncryptionByDefault"]
        confirm(said.get("KMSMasterKeyID"), None if kind == "logs" else region.key("data"), f"key of {kind}")
        confirm(said["SSEAlgorithm"], "AES256" if kind == "logs" else "aws:kms", f"encryption of {kind}")
        (rule,) = client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        steps = [(step["Days"], step["StorageClass"]) for step in rule["Transitions"]]
        confirm(steps, tiers[kind][0], f"tiers of {kind}")
        confirm(rule["Expiration"].get("Days"), tiers[kind][1], f"days until {kind} are gone")
        policy = json.loads(client.get_bucket_policy(Bucket=name)["Policy"])
        denied = [item for item in policy["Statement"] if item["Effect"] == "Deny"]
        confirm("aws:SecureTransport" in json.dumps(denied), True, f"whether {kind} take TLS alone")
        never = [(item["Action"], item["Resource"]) for item in denied if "Condition" not in item]
        ledger = ["s3:DeleteObject", "s3:DeleteObjectVersion"], [f"arn:aws:s3:::{name}/{LEDGER_PREFIX}/*"]
        confirm(never, [ledger] if kind == "snapshots" else [], f"what nobody may do to {kind}")
        if kind != "logs":
            target = client.get_bucket_logging(Bucket=name)["LoggingEnabled"]["TargetBucket"]
            confirm(target, buckets["logs"], f"where access to {kind} is logged")
    if region.config.role == "primary":
        there = region.other.buckets()
        for kind in ("documents", "snapshots"):
            copied = client.get_bucket_replication(Bucket=buckets[kind])["ReplicationConfiguration"]
            (rule,) = copied["Rules"]
            to = rule["Destination"]
            confirm(rule["Status"], "Enabled", f"replication of {kind}")
            confirm(to["Bucket"], f"arn:aws:s3:::{there[kind]}", f"where {kind} are copied")
            key = to["EncryptionConfiguration"]["ReplicaKmsKeyID"]
            confirm(key, region.other.key("data"), f"key of the copies of {kind}")
            confirm(to["ReplicationTime"], {"Status": "Enabled", "Time": {"Minutes": 15}}, f"RPO of {kind}")


def confirm_backup(region: Region, confirm: Confirmations) -> None:
    client = region.ask("backup")
    vaults = client.list_backup_vaults()["BackupVaultList"]
    confirm(len(vaults), 1, "vaults")
    name = vaults[0]["BackupVaultName"]
    vault = client.describe_backup_vault(BackupVaultName=name)
    confirm(vault["EncryptionKeyArn"], region.key("backup"), "key of the vault")
    confirm(vault["Locked"], region.config.locked, "lock of the vault")
    confirm(vault["MinRetentionDays"], 7, "days that nothing is deleted before")
    confirm(vault["MaxRetentionDays"], 400, "days that nothing is kept beyond")
    # Compliance mode has a date; without one, whoever has the right can still open the lock.
    confirm("LockDate" in vault, region.config.backup.compliance_after_days is not None, "compliance mode")
    plans = [
        client.get_backup_plan(BackupPlanId=item["BackupPlanId"])["BackupPlan"]
        for item in client.list_backup_plans()["BackupPlansList"]
    ]
    # The plan of a standby's copies is where what it copies is.
    primary = region.config.role == "primary"
    kinds = {plan["BackupPlanName"].split("-")[1]: plan for plan in plans}
    confirm({*kinds}, {"database", "documents", "copies"} if primary else set(), "plans")
    for kind, plan in kinds.items():
        rules = {rule["RuleName"]: rule for rule in plan["Rules"]}
        kept = {rule: said["Lifecycle"]["DeleteAfterDays"] for rule, said in rules.items()}
        confirm(kept, {"copies": 7} if kind == "copies" else {"daily": 35, "monthly": 366}, f"days of {kind}")
        confirm({rule["TargetBackupVaultName"] for rule in rules.values()}, {name}, f"vault of {kind}")
        continuous = {rule for rule, said in rules.items() if said["EnableContinuousBackup"]}
        confirm(continuous, {"daily"} if kind == "documents" else set(), f"continuous backups of {kind}")
    if primary:
        (rule,) = kinds["copies"]["Rules"]
        (copy,) = rule["CopyActions"]
        (there,) = region.other.ask("backup").list_backup_vaults()["BackupVaultList"]
        confirm(copy["DestinationBackupVaultArn"], there["BackupVaultArn"], "where copies go")
        confirm(copy["Lifecycle"]["DeleteAfterDays"], 35, "days of copies")


def confirm_ecr(region: Region, confirm: Confirmations) -> None:
    config, client = region.config, region.ask("ecr")
    found = {item["repositoryName"]: item for item in client.describe_repositories()["repositories"]}
    images = {image.partition("/")[2].partition("@")[0] for _, image in config.images()}
    confirm({*found}, images, "repositories")
    for name, repository in found.items():
        confirm(repository["encryptionConfiguration"]["kmsKey"], region.key("data"), f"key of {name}")
        confirm(repository["imageTagMutability"], "IMMUTABLE", f"tags of {name}")
        confirm(repository["imageScanningConfiguration"], {"scanOnPush": True}, f"scans of {name}")
        confirm(repository["repositoryUri"].split(".")[3], config.region, f"region of {name}")
    rules = client.describe_registry()["replicationConfiguration"]["rules"]
    targets = [target["region"] for rule in rules for target in rule["destinations"]]
    confirm(targets, [region.other.config.region] if config.role == "primary" else [], "where images are copied")


def confirm_waf(region: Region, confirm: Confirmations) -> None:
    planned, client = region.config.waf, region.ask("wafv2")
    acls = client.list_web_acls(Scope="REGIONAL")["WebACLs"]
    confirm(len(acls), 1, "firewalls")
    (acl,) = acls
    said = client.get_web_acl(Scope="REGIONAL", Name=acl["Name"], Id=acl["Id"])["WebACL"]
    rules = {rule["Name"]: rule for rule in sorted(said["Rules"], key=lambda rule: int(rule["Priority"]))}
    confirm([*rules], ["reputation", "rate", "size", "known-bad", "common", "bodies"], "rules in their order")
    limit = rules["rate"]["Statement"]["RateBasedStatement"]["Limit"]
    confirm(limit, planned.requests_per_address, "requests of one address")
    confirm(rules["rate"]["Action"]["Block"]["CustomResponse"]["ResponseCode"], 429, "answer to too many")
    told = {"Name": "Retry-After", "Value": "60"}
    confirm(rules["rate"]["Action"]["Block"]["CustomResponse"]["ResponseHeaders"], [told], "when to ask again")
    confirm(rules["size"]["Action"]["Block"]["CustomResponse"]["ResponseCode"], 413, "answer to too long")
    groups = {
        rule["Statement"]["ManagedRuleGroupStatement"]["Name"]
        for rule in rules.values()
        if "ManagedRuleGroupStatement" in rule["Statement"]
    }
    confirm(len(groups), 3, "groups of AWS's rules")
    paths = json.dumps(rules["bodies"]["Statement"])
    confirm(all(path in paths for path in planned.upload_paths), True, "where documents are taken")
    (balancer,) = region.ask("elbv2").describe_load_balancers()["LoadBalancers"]
    before = client.get_web_acl_for_resource(ResourceArn=balancer["LoadBalancerArn"])["WebACL"]
    confirm(before["ARN"], acl["ARN"], "what stands in front of the load balancer")
    logging = client.get_logging_configuration(ResourceArn=acl["ARN"])["LoggingConfiguration"]
    confirm(len(logging["LogDestinationConfigs"]), 1, "logs")
    hidden = {item["SingleHeader"]["Name"] for item in logging["RedactedFields"]}
    confirm(hidden, {"authorization", "cookie", "x-api-key"}, "what is kept out of the log")


SERVICES: dict[str, Callable[[Region, Confirmations], None]] = {
    "OpenSearch": confirm_opensearch,
    "RDS": confirm_rds,
    "ElastiCache": confirm_elasticache,
    "EKS": confirm_eks,
    "Route 53": confirm_route53,
    "KMS": confirm_kms,
    "S3": confirm_s3,
    "Backup": confirm_backup,
    "ECR": confirm_ecr,
    "WAF": confirm_waf,
}


@pytest.fixture(scope="module")
def regions(local_cloud: Any) -> Iterator[list[Region]]:
    """Both regions up as their files say, locks and all; unlocked in the end, so that they go down again."""
    for stack in STACKS:
        local_cloud.deployment(stack).up()
    yield [Region(stack, read_config(stack), local_cloud) for stack in STACKS]
    for stack in reversed(STACKS):
        unlocked = local_cloud.deployment(stack, locked=False)
        unlocked.up()
        unlocked.destroy()


def test_what_is_planned_is_there(regions: list[Region], capsys: pytest.CaptureFixture[str]) -> None:
    confirm = Confirmations()
    for service, look in SERVICES.items():
        for region in regions:
            confirm.service = f"{service} in {region.config.region}"
            look(region, confirm)
    total = sum(confirm.counted.values())
    each = "".join(f"  {what}: {count}\n" for what, count in confirm.counted.items())
    with capsys.disabled():
        sys.stdout.write(f"\n{total} values of {len(SERVICES)} services looked at in {len(regions)} regions\n{each}")
    assert confirm.missed == []
    assert total >= 80


def test_a_value_that_differs_is_found_and_named() -> None:
    confirm = Confirmations("EKS in us-east-1")
    confirm("1.35", "1.35", "version")
    confirm(41, 42, "nodes")
    assert confirm.missed == ["EKS in us-east-1: nodes is 41, planned is 42"]
    assert confirm.counted == {"EKS in us-east-1": 2}
