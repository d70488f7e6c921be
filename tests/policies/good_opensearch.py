"""What is good about the search index in both plans."""

import json
from collections.abc import Callable
from typing import Any, Final

from tests.policies.good import GONE, Good

DOMAIN: Final = "aws:opensearch/domain:Domain"

OLD_TLS: Final = ("Policy-Min-TLS-1-0-2019-07", "Policy-Min-TLS-1-2-2019-07")


def on(path: str, rule: str, *more: Any) -> Good:
    """A switch that must be on."""
    return Good(DOMAIN, path, rule, (False, GONE, "true", *more))


def number(path: str, rule: str, *bad: Any) -> Good:
    """A number, and worse ones."""
    return Good(DOMAIN, path, rule, (GONE, *bad))


def statement(**changes: Any) -> Callable[[str], str]:
    """The policy with another first statement; None takes a member away."""

    def change(text: str) -> str:
        policy = json.loads(text)
        first = {**policy["Statement"][0], **changes}
        policy["Statement"][0] = {key: value for key, value in first.items() if value is not None}
        return json.dumps(policy)

    return change


def without_log(kind: str) -> Callable[[list[Any]], list[Any]]:
    """The logs without one."""
    return lambda logs: [log for log in logs if log["logType"] != kind]


EVERYBODY: Final = {"AWS": "*"}
ANY_ROLE: Final = {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/*"}}
NO_CLEAR_TEXT: Final = {"Bool": {"aws:SecureTransport": "true"}}

GOOD: tuple[Good, ...] = (
    Good("aws:opensearch/domain:Domain", "clusterConfig.coldStorageOptions.enabled", "os-cold", (False, GONE)),
    on("encryptAtRest.enabled", "os-cmk"),
    Good(DOMAIN, "encryptAtRest.kmsKeyId", "os-cmk", (GONE, "", "alias/aws/es")),
    Good(DOMAIN, "encryptAtRest", "os-cmk", (GONE, {}), unknown=True),
    on("nodeToNodeEncryption.enabled", "os-node-to-node"),
    Good(DOMAIN, "nodeToNodeEncryption", "os-node-to-node"),
    on("domainEndpointOptions.enforceHttps", "os-tls"),
    Good(DOMAIN, "domainEndpointOptions.tlsSecurityPolicy", "os-tls", (GONE, *OLD_TLS)),
    Good(DOMAIN, "domainEndpointOptions", "os-tls"),
    on("advancedSecurityOptions.enabled", "os-fgac"),
    Good(DOMAIN, "advancedSecurityOptions.internalUserDatabaseEnabled", "os-fgac", (True,)),
    Good(DOMAIN, "advancedSecurityOptions.masterUserOptions.masterUserArn", "os-fgac", (GONE, "")),
    Good(
        DOMAIN,
        "advancedSecurityOptions.masterUserOptions",
        "os-fgac",
        (GONE, lambda it: {**it, "masterUserName": "admin"}, lambda it: {**it, "masterUserPassword": "canary"}),
    ),
    Good(DOMAIN, "advancedSecurityOptions", "os-fgac", (GONE, lambda it: {**it, "anonymousAuthEnabled": True})),
    Good(
        DOMAIN,
        "accessPolicies",
        "os-fgac",
        (
            GONE,
            "",
            "everybody",
            statement(Principal=EVERYBODY, Condition=None),
            statement(Principal="*", Condition=None),
            statement(Principal=EVERYBODY, Condition=ANY_ROLE),
            statement(Principal=EVERYBODY, Condition=NO_CLEAR_TEXT),
            statement(Principal={"AWS": "arn:aws:iam::999999999999:root"}),
            statement(Principal=None, NotPrincipal={"AWS": "arn:aws:iam::999999999999:root"}),
        ),
    ),
    Good(DOMAIN, "vpcOptions", "os-vpc"),
    Good(DOMAIN, "vpcOptions.subnetIds", "os-vpc", (GONE, [])),
    Good(DOMAIN, "vpcOptions.securityGroupIds", "os-vpc", (GONE, [])),
    Good(
        DOMAIN,
        "vpcOptions.subnetIds",
        "os-standby",
        (lambda ids: ids[:2], lambda ids: ids[:1], lambda ids: [ids[0], ids[0], ids[1]]),
        unknown=False,
    ),
    on("clusterConfig.multiAzWithStandbyEnabled", "os-standby"),
    on("clusterConfig.zoneAwarenessEnabled", "os-standby"),
    number("clusterConfig.zoneAwarenessConfig.availabilityZoneCount", "os-standby", 1, 2),
    Good(DOMAIN, "clusterConfig.zoneAwarenessConfig", "os-standby"),
    Good(DOMAIN, "engineVersion", "os-standby", (GONE, "OpenSearch_1.2", "Elasticsearch_7.10")),
    on("clusterConfig.dedicatedMasterEnabled", "os-masters"),
    number("clusterConfig.dedicatedMasterCount", "os-masters", 0, 1, 2, 4, 5),
    Good(DOMAIN, "clusterConfig.dedicatedMasterType", "os-masters", (GONE, "t3.medium.search", "m3.medium.search")),
    Good(DOMAIN, "clusterConfig.instanceType", "os-node-types", (GONE, "t3.medium.search", "m3.medium.search")),
    Good(DOMAIN, "clusterConfig.nodeOptions[*].nodeConfig.type", "os-node-types", (GONE, "t3.medium.search")),
    number("clusterConfig.instanceCount", "os-tier-shape", 20, 22, 21.5),
    number("clusterConfig.warmCount", "os-tier-shape", 11, 13),
    Good(DOMAIN, "clusterConfig.warmType", "os-tier-shape", (GONE, "m6g.large.search")),
    Good(DOMAIN, "clusterConfig.warmEnabled", "os-tier-shape", (GONE, False)),
    Good(DOMAIN, "clusterConfig.nodeOptions[*].nodeConfig.count", "os-tier-shape", (GONE, 5, 7)),
    Good(DOMAIN, "clusterConfig.nodeOptions[*].nodeType", "os-tier-shape", (GONE, "data")),
    Good(DOMAIN, "clusterConfig.nodeOptions", "os-nodes", (GONE, []), unknown=False),
    Good(DOMAIN, "clusterConfig.nodeOptions[*].nodeConfig.enabled", "os-nodes", (False,), unknown=False),
    Good(
        DOMAIN,
        "clusterConfig",
        "os-nodes",
        (
            lambda it: {key: value for key, value in it.items() if key[:4] not in ("warm", "cold")},
            lambda it: {
                **{key: value for key, value in it.items() if key not in ("warmCount", "warmType")},
                "warmEnabled": False,
                "coldStorageOptions": {"enabled": False},
            },
        ),
        unknown=False,
    ),
    on("ebsOptions.ebsEnabled", "os-storage"),
    Good(DOMAIN, "ebsOptions.volumeType", "os-storage", (GONE, "gp2", "standard", "io1")),
    number("ebsOptions.volumeSize", "os-storage", 0, 9),
    Good(DOMAIN, "ebsOptions", "os-storage"),
    Good(
        DOMAIN,
        "logPublishingOptions",
        "os-logs",
        (
            GONE,
            [],
            *map(without_log, ("AUDIT_LOGS", "ES_APPLICATION_LOGS", "INDEX_SLOW_LOGS", "SEARCH_SLOW_LOGS")),
        ),
    ),
    Good(DOMAIN, "logPublishingOptions[*].enabled", "os-logs", (False,)),
    Good(DOMAIN, "logPublishingOptions[*].cloudwatchLogGroupArn", "os-logs", (GONE, "")),
    Good(DOMAIN, "autoTuneOptions.desiredState", "os-auto-tune", (GONE, "DISABLED")),
    on("autoTuneOptions.useOffPeakWindow", "os-auto-tune"),
    Good(DOMAIN, "autoTuneOptions", "os-auto-tune"),
    on("softwareUpdateOptions.autoSoftwareUpdateEnabled", "os-off-peak"),
    Good(DOMAIN, "softwareUpdateOptions", "os-off-peak"),
    on("offPeakWindowOptions.enabled", "os-off-peak"),
    Good(DOMAIN, "offPeakWindowOptions.offPeakWindow.windowStartTime.hours", "os-off-peak"),
    Good(DOMAIN, "offPeakWindowOptions", "os-off-peak"),
)
