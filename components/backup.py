"""The vault of a region, what is backed up into it, and the weekly proof that it can be restored.

A primary region backs up its database and its documents. A standby keeps copies of both in a vault of its own, which
whoever takes the primary's region over cannot reach from there. A copy is part of a rule in the *source* region, which
the primary's program does not know how to write (it never reads a standby), so the standby writes it: a plan of its own
in the primary's region, with an explicit provider. Nothing in a standby is backed up a second time: what it holds is a
copy already. Once promoted it has RDS's own backups, to any second of 35 days, and no plan here: those are a primary's.

Selections name what they are of: what is named is backed up whether or not the account has opted in to its service,
which what is found by tags is not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.alarms import Alarm, Alarms, Severity, watch
from components.backup_plan import (
    ALARMS,
    RESOURCE_TYPES,
    RESTORE_ALARM,
    Retention,
    VaultLock,
    check_windows,
    plan_backup_policy,
    plan_copies,
    plan_restore_policy,
    plan_rules,
    plan_trust,
)
from components.kms import DataClass, Kms, Role, check_account_id, check_follows
from components.network import Network
from components.rds import Rds
from components.rds_plan import WINDOWS, Windows
from components.storage import Storage
from components.storage_plan import bucket_arn

#: What a vault reports that no metric shows. The other events are of every job that ends, whether well or not.
EVENTS = ("CONTINUOUS_BACKUP_INTERRUPTED", "COPY_JOB_FAILED", "S3_BACKUP_OBJECT_FAILED", "S3_RESTORE_OBJECT_FAILED")

#: Weekly, on a weekday on which somebody is there to look: Tuesday 12:00 UTC.
RESTORE_SCHEDULE = "cron(0 12 ? * TUE *)"
#: What is restored: the newest backup of the last days.
RESTORE_WINDOW_DAYS = 7
#: How long what was restored stays to be looked at, h.
VALIDATION_HOURS = 4

#: Of hours without a finished backup, before somebody is told: a day and the time that a backup may take.
SILENCE_HOURS = 30


@dataclass(frozen=True, kw_only=True)
class BackupSource:
    """What a primary region holds, as a standby keeps copies of it.

    Attributes:
        vault: Name of its vault.
        database_arn: ARN of its database.
        documents: Name of its bucket of documents.
        key_arns: ARN of its keys; ``data`` and ``backup`` are used.
        provider: A provider for its region.
    """

    vault: pulumi.Input[str]
    database_arn: pulumi.Input[str]
    documents: pulumi.Input[str]
    key_arns: Mapping[DataClass, pulumi.Input[str]]
    provider: aws.Provider


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """What the backups of a region need.

    Attributes:
        account_id: The account, 12 digits.
        role: ``primary`` backs up, ``standby`` keeps copies.
        network: Gives the data subnets that a restored database is tested in.
        keys: Classes ``backup`` (vault) and ``data`` (what is backed up).
        alarms: Hears what fails.
        database: Backed up by a primary region.
        storage: Its documents are backed up by a primary region.
        copies_of: The region to keep copies of; required for a standby, refused for a primary.
        windows: When RDS backs up and maintains this region's database; ``None`` for the role's own. Backups keep away
            from them.
        retention: For how long backups are kept.
        lock: How the vault refuses to give them up.
        restore_class: Class of the database that a test restores: nobody uses it, so it is small.
        locked: The vault's lock, Pulumi's ``protect`` on the vault, and AWS Backup's refusal to delete a vault that
            holds something. A lock in compliance mode stays, whatever this says.

    Raises:
        ArgsError: A plain value cannot work.
    """

    account_id: str
    role: Role
    network: Network
    keys: Kms
    alarms: Alarms
    database: Rds
    storage: Storage
    copies_of: BackupSource | None = None
    windows: Windows | None = None
    retention: Retention = field(default_factory=Retention)
    lock: VaultLock = field(default_factory=VaultLock)
    restore_class: str = "db.m7g.large"
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        check_follows(
            self.role, "copies_of", self.copies_of, leads="it follows nobody", follows="its vault would stay empty"
        )
        self.lock.check(self.retention)
        check_windows(self.windows or WINDOWS[self.role])


class Backup(pulumi.ComponentResource):
    """The vault and the backups of one region.

    Attributes:
        vault: Name of the vault: what a standby takes of its primary.
        vault_arn: Its ARN.
        restore_plan: Name of the restore testing plan, as operators look for it.
    """

    vault: pulumi.Output[str]
    vault_arn: pulumi.Output[str]
    restore_plan: pulumi.Output[str]

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:backup:Backup", name, None, opts)
        self._prefix, self._args = name, args
        vault = self._vault()
        self.vault, self.vault_arn = vault.name, vault.arn
        if args.copies_of is None:
            self._own(vault)
            self._silence(vault)
        else:
            self._copies(args.copies_of, vault)
        self.restore_plan = self._restore_tests(vault)
        self._watch(ALARMS, {"BackupVaultName": vault.name})
        self.register_outputs({"vault": self.vault, "restore_plan": self.restore_plan})

    def _child(self, **more: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, **more)

    def _vault(self) -> aws.backup.Vault:
        args = self._args
        vault = aws.backup.Vault(
            self._prefix,
            kms_key_arn=args.keys["backup"].arn,
            force_destroy=not args.locked,
            opts=self._child(protect=args.locked),
        )
        if args.locked:
            # Without `protect`: the very update that unlocks a stack has to delete it.
            aws.backup.VaultLockConfiguration(
                self._prefix,
                backup_vault_name=vault.name,
                min_retention_days=args.lock.min_days,
                max_retention_days=args.lock.max_days,
                changeable_for_days=args.lock.cooling_off_days,
                opts=self._child(),
            )
        aws.backup.VaultNotifications(
            self._prefix,
            backup_vault_name=vault.name,
            sns_topic_arn=args.alarms["ticket"],
            backup_vault_events=list(EVENTS),
            opts=self._child(),
        )
        return vault

    def _own(self, vault: aws.backup.Vault) -> None:
        """Backs up what this region holds."""
        args = self._args
        sources: dict[Any, pulumi.Output[str]] = {
            "database": args.database.arn,
            "documents": args.storage.documents.arn,
        }
        role, rights = self._backup_role(
            sources["database"],
            sources["documents"],
            vaults=[vault.arn],
            keys=[args.keys["data"].arn, args.keys["backup"].arn],
        )
        for kind, source in sources.items():
            rules: Any = [rule.inputs(vault.name) for rule in plan_rules(kind, args.retention)]
            name = f"{self._prefix}-{kind}"
            plan = aws.backup.Plan(name, rules=rules, opts=self._child())
            # AWS Backup tries the role at once.
            aws.backup.Selection(
                name, plan_id=plan.id, iam_role_arn=role.arn, resources=[source], opts=self._child(depends_on=[rights])
            )

    def _copies(self, source: BackupSource, vault: aws.backup.Vault) -> None:
        """Keeps copies of what the primary region holds: snapshots there, which are copied here."""
        args = self._args
        database = pulumi.Output.from_input(source.database_arn)
        documents = pulumi.Output.from_input(source.documents).apply(bucket_arn)
        there = pulumi.Output.all(database, source.vault).apply(
            lambda both: f"arn:aws:backup:{both[0].split(':')[3]}:{args.account_id}:backup-vault:{both[1]}"
        )
        role, rights = self._backup_role(
            database,
            documents,
            vaults=[there, vault.arn],
            keys=[source.key_arns["data"], source.key_arns["backup"], args.keys["data"].arn, args.keys["backup"].arn],
        )
        rules: Any = [plan_copies(args.retention).inputs(source.vault, vault.arn)]
        name = f"{self._prefix}-copies"
        plan = aws.backup.Plan(name, rules=rules, opts=self._child(provider=source.provider))
        aws.backup.Selection(
            name,
            plan_id=plan.id,
            iam_role_arn=role.arn,
            resources=[database, documents],
            opts=self._child(provider=source.provider, depends_on=[rights]),
        )

    def _backup_role(
        self,
        database: pulumi.Output[str],
        documents: pulumi.Output[str],
        *,
        vaults: Sequence[pulumi.Output[str]],
        keys: Sequence[pulumi.Input[str]],
    ) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        policy = pulumi.Output.all(database=database, bucket=documents, vaults=list(vaults), keys=list(keys)).apply(
            lambda known: json.dumps(plan_backup_policy(account_id=self._args.account_id, **known), sort_keys=True)
        )
        return self._role(self._prefix, "AWS Backup of the database and the documents", policy)

    def _role(self, name: str, description: str, policy: pulumi.Output[str]) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        role = aws.iam.Role(
            name,
            description=description,
            assume_role_policy=json.dumps(plan_trust(), sort_keys=True),
            opts=self._child(),
        )
        return role, aws.iam.RolePolicy(name, role=role.id, policy=policy, opts=self._child())

    def _restore_tests(self, vault: aws.backup.Vault) -> pulumi.Output[str]:
        """Every week the newest backup of each kind is restored, looked at, and deleted again."""
        args, name = self._args, f"{self._prefix}-restore"
        region = args.network.region
        policy = pulumi.Output.all(args.keys["data"].arn, args.keys["backup"].arn).apply(
            lambda keys: json.dumps(
                plan_restore_policy(account_id=args.account_id, region=region, keys=keys), sort_keys=True
            )
        )
        role, rights = self._role(name, "Restore tests of AWS Backup", policy)
        suffix = random.RandomId(f"{name}-suffix", byte_length=4, opts=self._child())
        plan = aws.backup.RestoreTestingPlan(
            name,
            # Only letters, digits and underscores, which the name that Pulumi would make is not.
            name=pulumi.Output.concat("docsearch_", suffix.hex),
            schedule_expression=RESTORE_SCHEDULE,
            recovery_point_selection={
                "algorithm": "LATEST_WITHIN_WINDOW",
                "include_vaults": [vault.arn],
                "recovery_point_types": ["CONTINUOUS", "SNAPSHOT"],
                "selection_window_days": RESTORE_WINDOW_DAYS,
            },
            opts=self._child(),
        )
        overrides: Mapping[str, Mapping[str, pulumi.Input[str]]] = {
            "database": self._place(name),
            # Or what was restored would be under S3's own key.
            "documents": {"encryptionType": "SSE-KMS", "kmsKey": args.keys["data"].arn},
        }
        for kind, resource_type in RESOURCE_TYPES.items():
            aws.backup.RestoreTestingSelection(
                f"{name}-{kind}",
                name=kind,
                restore_testing_plan_name=plan.name,
                protected_resource_type=resource_type,
                # Whatever of this type the vault holds.
                protected_resource_arns=["*"],
                iam_role_arn=role.arn,
                restore_metadata_overrides=overrides[kind],
                validation_window_hours=VALIDATION_HOURS,
                opts=self._child(depends_on=[rights]),
            )
            alarm = replace(RESTORE_ALARM, name=f"{RESTORE_ALARM.name}-{kind}")
            self._watch((alarm,), {"ResourceType": resource_type})
        return plan.name

    def _place(self, name: str) -> dict[str, pulumi.Input[str]]:
        """Where a database is restored: beside the real one, and reachable by nobody.

        AWS Backup would take the region's default VPC, if there is one.
        """
        network = self._args.network
        subnets = aws.rds.SubnetGroup(
            name,
            description="Restore tests: data subnets of every zone",
            subnet_ids=network.subnets("data"),
            opts=self._child(),
        )
        group = aws.ec2.SecurityGroup(
            name,
            vpc_id=network.vpc_id,
            description="Restored databases: nobody reaches them, and they reach nobody",
            opts=self._child(),
        )
        return {
            "dbInstanceClass": self._args.restore_class,
            "dbSubnetGroupName": subnets.name,
            "vpcSecurityGroupIds": group.id.apply(lambda id: json.dumps([id])),
        }

    def _silence(self, vault: aws.backup.Vault) -> None:
        """Tells when backups simply stop: a job that is never begun does not fail."""
        aws.cloudwatch.MetricAlarm(
            f"{self._prefix}-none",
            alarm_description=f"No backup was finished for {SILENCE_HOURS} hours",
            namespace="AWS/Backup",
            metric_name="NumberOfBackupJobsCompleted",
            dimensions={"BackupVaultName": vault.name},
            statistic="Sum",
            period=3600,
            evaluation_periods=SILENCE_HOURS,
            datapoints_to_alarm=SILENCE_HOURS,
            threshold=1,
            comparison_operator="LessThanThreshold",
            treat_missing_data="breaching",
            alarm_actions=[self._args.alarms["ticket"]],
            ok_actions=[self._args.alarms["ticket"]],
            opts=self._child(),
        )

    def _watch(self, rows: Sequence[Alarm], dimensions: Mapping[str, pulumi.Input[str]]) -> None:
        topics: Mapping[Severity, pulumi.Input[str]] = self._args.alarms.topics
        watch(self, self._prefix, rows, namespace="AWS/Backup", dimensions=dimensions, topics=topics)
