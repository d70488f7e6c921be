"""Cases: backups, image repositories, and the web firewall."""

import json
from typing import Any

from infra.local.resource import Props, State
from tests.infra.local.aws.case import GONE, Case, attribute
from tests.infra.local.aws.world import ACCOUNT, Place, document


def _vault(place: Place, name: str) -> str:
    place.call("backup", "CreateBackupVault", BackupVaultName=name)
    return name


def _rule(days: int) -> Props:
    return {
        "ruleName": "daily",
        "targetVaultName": "some",
        "schedule": "cron(0 3 * * ? *)",
        "scheduleExpressionTimezone": "Etc/UTC",
        "startWindow": 60,
        "completionWindow": 10080,
        "enableContinuousBackup": True,
        "lifecycle": {"deleteAfter": days},
        "copyActions": [
            {
                "destinationVaultArn": f"arn:aws:backup:us-west-2:{ACCOUNT}:backup-vault:some",
                "lifecycle": {"deleteAfter": 35},
            }
        ],
    }


def _shorter(place: Place, state: State) -> Any:
    """Keeps backups for a day only."""
    plan = place.call("backup", "GetBackupPlan", BackupPlanId=state.id)["BackupPlan"]
    rules = [{name: value for name, value in rule.items() if name != "RuleId"} for rule in plan["Rules"]]
    rules[0]["Lifecycle"] = {"DeleteAfterDays": 1}
    changed = {"BackupPlanName": plan["BackupPlanName"], "Rules": rules}
    return place.call("backup", "UpdateBackupPlan", BackupPlanId=state.id, BackupPlan=changed)


BACKUP = (
    Case(
        "aws:backup/vault:Vault",
        lambda place, world: {"kmsKeyArn": place.key, "tags": {"a": "b"}},
        change=lambda place, world: {"forceDestroy": True, "tags": {"c": "d"}},
        behind=lambda place, state: place.call(
            "backup", "TagResource", ResourceArn=state.outputs["arn"], Tags={"c": "changed"}
        ),
        drifts="tags",
        unseen=frozenset({"forceDestroy"}),
    ),
    Case(
        "aws:backup/vaultLockConfiguration:VaultLockConfiguration",
        lambda place, world: {
            "backupVaultName": _vault(place, "locked"),
            "minRetentionDays": 7,
            "maxRetentionDays": 400,
        },
        behind=attribute(
            "backup",
            "PutBackupVaultLockConfiguration",
            BackupVaultName="{}",
            MinRetentionDays=1,
            MaxRetentionDays=400,
        ),
        drifts="minRetentionDays",
    ),
    Case(
        "aws:backup/plan:Plan",
        lambda place, world: {"rules": [_rule(7)]},
        change=lambda place, world: {"rules": [_rule(14)], "tags": {"c": "d"}},
        behind=_shorter,
        drifts="rules",
    ),
)


def _repository(place: Place, name: str) -> str:
    place.call("ecr", "CreateRepository", repositoryName=name)
    return name


def _policy(account: str) -> str:
    statement = {
        "Sid": "NobodyElse",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "ecr:*",
        "Condition": {"StringNotEquals": {"aws:PrincipalAccount": account}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _expire(days: int) -> str:
    selection = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days}
    rule = {"rulePriority": 1, "description": "Untagged", "selection": selection, "action": {"type": "expire"}}
    return json.dumps({"rules": [rule]})


def _scan(*filters: str) -> list[Props]:
    named = [{"filter": name, "filterType": "WILDCARD"} for name in filters]
    return [{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": named}]


def _copy(*filters: str) -> Props:
    named = [{"filter": name, "filterType": "PREFIX_MATCH"} for name in filters]
    end = {"region": "us-west-2", "registryId": ACCOUNT}
    return {"rules": [{"destinations": [end], "repositoryFilters": named}]}


REGISTRY = (
    Case(
        "aws:ecr/repository:Repository",
        lambda place, world: {
            "name": "docsearch/life",
            "imageTagMutability": "IMMUTABLE",
            "imageScanningConfiguration": {"scanOnPush": True},
            "encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": place.key}],
        },
        change=lambda place, world: {
            "imageTagMutability": "MUTABLE",
            "imageScanningConfiguration": {"scanOnPush": False},
            "forceDelete": True,
            "tags": {"c": "d"},
        },
        behind=attribute("ecr", "PutImageTagMutability", repositoryName="{}", imageTagMutability="IMMUTABLE"),
        drifts="imageTagMutability",
        unseen=frozenset({"forceDelete"}),
    ),
    Case(
        "aws:ecr/repositoryPolicy:RepositoryPolicy",
        lambda place, world: {"repository": _repository(place, "docsearch/guarded"), "policy": _policy(ACCOUNT)},
        change=lambda place, world: {"repository": "docsearch/guarded", "policy": _policy("2" * 12)},
        behind=attribute(
            "ecr", "SetRepositoryPolicy", repositoryName="{}", policyText=document("ecr:*", Principal="*")
        ),
        drifts="policy",
    ),
    Case(
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        lambda place, world: {"repository": _repository(place, "docsearch/expiring"), "policy": _expire(14)},
        behind=attribute("ecr", "PutLifecyclePolicy", repositoryName="{}", lifecyclePolicyText=_expire(1)),
        drifts="policy",
    ),
    Case(
        "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration",
        lambda place, world: {"scanType": "BASIC", "rules": _scan("docsearch/life")},
        change=lambda place, world: {"rules": _scan("docsearch/life", "docsearch/other")},
        behind=attribute("ecr", "PutRegistryScanningConfiguration", scanType="BASIC", rules=[]),
        drifts="rules",
        remains=True,
    ),
    Case(
        "aws:ecr/replicationConfiguration:ReplicationConfiguration",
        lambda place, world: {"replicationConfiguration": _copy("docsearch/life")},
        change=lambda place, world: {"replicationConfiguration": _copy("docsearch/life", "docsearch/other")},
        behind=attribute("ecr", "PutReplicationConfiguration", replicationConfiguration=_copy("docsearch")),
        drifts="replicationConfiguration",
    ),
)


def _shown(metric: str) -> Props:
    return {"metricName": metric, "cloudwatchMetricsEnabled": True, "sampledRequestsEnabled": True}


def _rules(limit: int) -> list[Props]:
    """A rule of each shape that the firewall has."""
    body = {"labelMatchStatement": {"scope": "LABEL", "key": "awswaf:managed:aws:core-rule-set:GenericLFI_Body"}}
    path = {
        "regexMatchStatement": {
            "fieldToMatch": {"uriPath": {}},
            "regexString": "^/api(/|$)",
            "textTransformations": [
                {"priority": 0, "type": "URL_DECODE"},
                {"priority": 1, "type": "NORMALIZE_PATH"},
            ],
        }
    }
    rate = {"limit": limit, "aggregateKeyType": "IP", "evaluationWindowSec": 300}
    managed = {
        "vendorName": "AWS",
        "name": "AWSManagedRulesCommonRuleSet",
        "ruleActionOverrides": [{"name": "GenericLFI_BODY", "actionToUse": {"count": {}}}],
    }
    refused = {"block": {"customResponse": {"responseCode": 429}}}
    suspect = {"andStatement": {"statements": [body, {"notStatement": {"statement": path}}]}}
    return [
        {
            "name": "common",
            "priority": 0,
            "overrideAction": {"none": {}},
            "statement": {"managedRuleGroupStatement": managed},
            "visibilityConfig": _shown("common"),
        },
        {
            "name": "rate",
            "priority": 1,
            "action": refused,
            "statement": {"rateBasedStatement": rate},
            "visibilityConfig": _shown("rate"),
        },
        {
            "name": "bodies",
            "priority": 2,
            "action": {"block": {}},
            "statement": suspect,
            "visibilityConfig": _shown("bodies"),
        },
    ]


def _allow_all(place: Place, state: State) -> Any:
    """Takes every rule but one away."""
    about = {"Name": state.inputs["name"], "Scope": "REGIONAL", "Id": state.id}
    found = place.call("wafv2", "GetWebACL", **about)
    acl = found["WebACL"]
    return place.call(
        "wafv2",
        "UpdateWebACL",
        **about,
        LockToken=found["LockToken"],
        Rules=acl["Rules"][:1],
        DefaultAction=acl["DefaultAction"],
        VisibilityConfig=acl["VisibilityConfig"],
    )


def _acl(place: Place, name: str) -> str:
    made = place.call(
        "wafv2",
        "CreateWebACL",
        Name=name,
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig={"MetricName": name, "CloudWatchMetricsEnabled": True, "SampledRequestsEnabled": True},
    )
    arn: str = made["Summary"]["ARN"]
    return arn


def _logging(place: Place) -> Props:
    return {
        "logDestinationConfigs": [f"arn:aws:logs:{place.name}:{ACCOUNT}:log-group:aws-waf-logs-some"],
        "redactedFields": [{"singleHeader": {"name": "authorization"}}],
        "loggingFilter": {
            "defaultBehavior": "DROP",
            "filters": [
                {
                    "behavior": "KEEP",
                    "requirement": "MEETS_ANY",
                    "conditions": [{"actionCondition": {"action": "BLOCK"}}, {"actionCondition": {"action": "COUNT"}}],
                }
            ],
        },
    }


def _show_everything(place: Place, state: State) -> Any:
    """Redacts what nobody sends."""
    configuration = {
        "ResourceArn": state.id,
        "LogDestinationConfigs": state.inputs["logDestinationConfigs"],
        "RedactedFields": [{"SingleHeader": {"Name": "x-none"}}],
    }
    return place.call("wafv2", "PutLoggingConfiguration", LoggingConfiguration=configuration)


FIREWALL = (
    Case(
        "aws:wafv2/webAcl:WebAcl",
        lambda place, world: {
            "scope": "REGIONAL",
            "description": "docsearch - one",
            "defaultAction": {"allow": {}},
            "rules": _rules(2000),
            "visibilityConfig": _shown("docsearch"),
        },
        change=lambda place, world: {
            "description": "docsearch - two",
            "rules": _rules(4000),
            "tags": {"c": "d"},
        },
        behind=_allow_all,
        drifts="rules",
        imports=False,
    ),
    Case(
        "aws:wafv2/webAclAssociation:WebAclAssociation",
        lambda place, world: {"webAclArn": _acl(place, "attached"), "resourceArn": place.balancer},
        behind=lambda place, state: place.call("wafv2", "DisassociateWebACL", ResourceArn=state.inputs["resourceArn"]),
        drifts=GONE,
    ),
    Case(
        "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration",
        lambda place, world: {"resourceArn": _acl(place, "logged"), **_logging(place)},
        change=lambda place, world: {"redactedFields": [{"singleHeader": {"name": "cookie"}}, {"queryString": {}}]},
        behind=_show_everything,
        drifts="redactedFields",
    ),
)
