"""What OpenSearch refuses."""

import json
from typing import Any

import pytest

from infra.local.aws import opensearch
from infra.local.aws.opensearch_rules import domain_replaces, domain_rules, upgrades
from infra.local.resource import UNKNOWN, Props
from tests.infra.local.aws.cases_opensearch import cluster
from tests.infra.local.aws.world import document, refusals

DOMAIN: Props = {
    "domainName": "opensearch-0badcafe",
    "engineVersion": "OpenSearch_3.3",
    "clusterConfig": cluster(),
    "ebsOptions": {"ebsEnabled": True, "volumeType": "gp3", "volumeSize": 2048, "iops": 6144, "throughput": 250},
    "encryptAtRest": {"enabled": True, "kmsKeyId": UNKNOWN},
    "nodeToNodeEncryption": {"enabled": True},
    "domainEndpointOptions": {"enforceHttps": True, "tlsSecurityPolicy": "Policy-Min-TLS-1-2-PFS-2023-10"},
    "vpcOptions": {"subnetIds": [UNKNOWN, UNKNOWN, UNKNOWN], "securityGroupIds": [UNKNOWN]},
    "accessPolicies": UNKNOWN,
    "advancedSecurityOptions": {
        "enabled": True,
        "internalUserDatabaseEnabled": False,
        "masterUserOptions": {"masterUserArn": UNKNOWN},
    },
    "logPublishingOptions": [{"logType": "AUDIT_LOGS", "cloudwatchLogGroupArn": UNKNOWN, "enabled": True}],
    "autoTuneOptions": {"desiredState": "ENABLED", "rollbackOnDisable": "NO_ROLLBACK", "useOffPeakWindow": True},
    "offPeakWindowOptions": {"enabled": True, "offPeakWindow": {"windowStartTime": {"hours": 3, "minutes": 0}}},
}
ADDRESS = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}


def without(config: Props, *names: str) -> Props:
    return {name: value for name, value in config.items() if name not in names}


def merged(block: str, **more: Any) -> Props:
    return {block: {**DOMAIN[block], **more}}


@pytest.mark.parametrize(
    "said",
    [
        DOMAIN,
        dict.fromkeys(DOMAIN, UNKNOWN),
        {**DOMAIN, "clusterConfig": dict.fromkeys(cluster(), UNKNOWN)},
        {"domainName": "public", "ebsOptions": {"ebsEnabled": True, "volumeType": "gp2", "volumeSize": 10}},
        merged("ebsOptions", volumeSize=6144, iops=32000, throughput=2000),
    ],
    ids=["ours", "unknown", "unknown-nodes", "least", "large"],
)
def test_domain_that_is_taken(said: Props) -> None:
    assert [*domain_rules(said)] == []


@pytest.mark.parametrize(
    ("broken", "property_", "message"),
    [
        ({"domainName": "a" * 29}, "domainName", "Member must have length less than or equal to 28"),
        ({"domainName": "ab"}, "domainName", "Member must have length greater than or equal to 3"),
        ({"domainName": "Search"}, "domainName", "Member must satisfy regular expression pattern"),
        ({"engineVersion": "2.19"}, "engineVersion", "Invalid engine version: 2.19"),
        ({"engineVersion": "OpenSearch_1.2"}, "clusterConfig", "only supported for OpenSearch version 1.3 and later"),
        ({"clusterConfig": cluster(instanceCount=20)}, "clusterConfig", "The number of data nodes must be a multiple"),
        ({"clusterConfig": cluster(warmCount=10)}, "clusterConfig", "The number of warm nodes must be a multiple"),
        ({"clusterConfig": cluster(dedicatedMasterCount=5)}, "clusterConfig", "must have 3 nodes that are eligible"),
        (
            {"clusterConfig": cluster(dedicatedMasterType="t3.medium.search")},
            "clusterConfig",
            "do not support the t3.medium.search instance type",
        ),
        ({"clusterConfig": cluster(instanceCount=72)}, "clusterConfig", "84 instances are more than the 80"),
        ({"clusterConfig": cluster(warmType="ultrawarm1.xlarge.search")}, "clusterConfig", "Invalid instance type"),
        ({"clusterConfig": without(cluster(), "warmType")}, "clusterConfig", "WarmType and WarmCount must be given"),
        (
            {"clusterConfig": cluster(warmEnabled=False, coldStorageOptions={"enabled": False})},
            "clusterConfig",
            "can only be given when warm storage is enabled",
        ),
        (
            {"clusterConfig": without(cluster(), "warmEnabled", "warmType", "warmCount")},
            "clusterConfig",
            "To use cold storage, your domain must have warm storage",
        ),
        (
            {
                "clusterConfig": cluster(
                    nodeOptions=[{"nodeType": "coordinator", "nodeConfig": {"enabled": True, "count": 0}}]
                )
            },
            "clusterConfig",
            "The number of coordinator nodes must be at least 1",
        ),
        (merged("ebsOptions", volumeType="gp2", iops=None, throughput=None), "ebsOptions", "GP3 and io1 volume types"),
        (merged("ebsOptions", volumeType="io1"), "ebsOptions", "Throughput is only valid when volume type is GP3"),
        (
            merged("ebsOptions", volumeSize=6145, iops=18435, throughput=750),
            "ebsOptions",
            "Volume size must be between 10 and 6144 for m6g.4xlarge.search instance type",
        ),
        (merged("ebsOptions", iops=6143), "ebsOptions", "IOPS must be between 6144 and 16000"),
        (merged("ebsOptions", iops=16001), "ebsOptions", "IOPS must be between 6144 and 16000"),
        (merged("ebsOptions", throughput=125), "ebsOptions", "Throughput must be between 250 and 1000"),
        (merged("ebsOptions", throughput=1001), "ebsOptions", "Throughput must be between 250 and 1000"),
        ({"ebsOptions": {"ebsEnabled": False}}, "ebsOptions", "EBS storage must be selected for m6g.4xlarge.search"),
        (
            {"clusterConfig": cluster(instanceType="r6gd.2xlarge.search")},
            "ebsOptions",
            "EBS storage is not supported for the r6gd.2xlarge.search instance type",
        ),
        (
            {"encryptAtRest": {"enabled": False}},
            "advancedSecurityOptions",
            "You must enable encryption at rest to use advanced security options.",
        ),
        (
            {"nodeToNodeEncryption": {"enabled": False}},
            "advancedSecurityOptions",
            "You must enable node-to-node encryption to use advanced security options.",
        ),
        (
            {"domainEndpointOptions": {"enforceHttps": False}},
            "advancedSecurityOptions",
            "You must enable EnforceHTTPS in the domain endpoint options to use advanced security.",
        ),
        (
            merged("advancedSecurityOptions", masterUserOptions={}),
            "advancedSecurityOptions",
            "you must provide a master user ARN",
        ),
        (
            merged("advancedSecurityOptions", internalUserDatabaseEnabled=True),
            "advancedSecurityOptions",
            "You must provide a master username and password",
        ),
        (
            merged(
                "advancedSecurityOptions",
                internalUserDatabaseEnabled=True,
                masterUserOptions={"masterUserName": "me", "masterUserPassword": "canary-canary"},
            ),
            "advancedSecurityOptions",
            "at least one uppercase letter",
        ),
        (
            merged("domainEndpointOptions", customEndpointEnabled=True, customEndpoint="a.b"),
            "domainEndpointOptions",
            "Please provide both CustomEndpoint and CustomEndpointCertificateArn",
        ),
        (
            merged("vpcOptions", subnetIds=[UNKNOWN]),
            "vpcOptions",
            "You must specify exactly three subnets because you've set zone count to three.",
        ),
        (
            {"advancedSecurityOptions": {"enabled": False}},
            "logPublishingOptions",
            "audit log publishing cannot be enabled",
        ),
        (
            {"logPublishingOptions": [{"logType": "INDEX_SLOW_LOGS", "enabled": True}]},
            "logPublishingOptions",
            "Log publishing option is misconfigured",
        ),
        (merged("autoTuneOptions", desiredState="DISABLED"), "autoTuneOptions", "must have Auto-Tune enabled"),
        (
            merged("autoTuneOptions", rollbackOnDisable="DEFAULT_ROLLBACK"),
            "autoTuneOptions",
            "A maintenance schedule is required",
        ),
        (
            merged("autoTuneOptions", maintenanceSchedules=[{}]),
            "autoTuneOptions",
            "cannot be given when the off-peak window is used",
        ),
        (merged("offPeakWindowOptions", enabled=False), "offPeakWindowOptions", "cannot be disabled"),
        (
            merged("offPeakWindowOptions", offPeakWindow={"windowStartTime": {"hours": 24, "minutes": 0}}),
            "offPeakWindowOptions",
            "hours must be between 0 and 23, not 24",
        ),
        (
            {"accessPolicies": document("es:*", Principal="*", Condition=ADDRESS)},
            "accessPolicies",
            "You can't attach an IP-based policy to a domain that has a VPC endpoint",
        ),
        ({"accessPolicies": "everybody"}, "accessPolicies", "no JSON document"),
        ({"accessPolicies": json.dumps({"Statement": "x" * 102_400})}, "accessPolicies", "at most 100 KiB"),
    ],
)
def test_domain_that_is_refused(broken: Props, property_: str, message: str) -> None:
    (failure,) = domain_rules({**DOMAIN, **broken})
    assert failure.property == property_
    assert message in failure.reason


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"zoneAwarenessConfig": {"availabilityZoneCount": 2}}, "Domains with standby must use 3 Availability Zones."),
        ({"zoneAwarenessEnabled": False}, "Domains with standby must use 3 Availability Zones."),
        ({"dedicatedMasterEnabled": False}, "To use warm storage, your domain must have dedicated master nodes."),
        ({"dedicatedMasterEnabled": False}, "To use coordinator nodes, your domain must have dedicated master nodes."),
        ({"dedicatedMasterCount": 4}, "You must choose 3 or 5 dedicated master nodes, not 4"),
        ({"dedicatedMasterCount": 7}, "A domain has at most 5 dedicated master nodes"),
        ({"warmCount": 153}, "WarmCount must be between 2 and 150, not 153"),
        ({"instanceType": "t3.medium.search"}, "Warm storage is not available for the t3.medium.search instance type"),
        ({"instanceType": "t3.medium.search"}, "Autotune is not supported in t2/t3 instance types"),
    ],
)
def test_nodes_that_are_refused_for_more_than_one_reason(config: Props, message: str) -> None:
    reasons = [failure.reason for failure in domain_rules({**DOMAIN, "clusterConfig": cluster(**config)})]
    assert any(message in reason for reason in reasons)


@pytest.mark.parametrize(
    ("zones", "count", "message"),
    [
        (3, 2, "You must choose a minimum of three data nodes for a three Availability Zone deployment"),
        (2, 1, "You must choose a minimum of two data nodes for a two Availability Zone deployment"),
        (4, 4, "NumberOfAvailabilityZones should be either 2 or 3"),
    ],
)
def test_zones_need_nodes_without_standby_too(zones: int, count: int, message: str) -> None:
    config = {
        "zoneAwarenessEnabled": True,
        "zoneAwarenessConfig": {"availabilityZoneCount": zones},
        "instanceCount": count,
    }
    (failure,) = domain_rules({"clusterConfig": config})
    assert failure.reason == f"ValidationException: {message}"


def test_standby_is_what_makes_a_count_uneven() -> None:
    """CreateDomain takes four nodes in three zones, if none of them stands by."""
    config = cluster(instanceCount=4, multiAzWithStandbyEnabled=False)
    assert [*domain_rules({**DOMAIN, "clusterConfig": config})] == []


def test_refused_password_is_not_repeated() -> None:
    options = {"internalUserDatabaseEnabled": True, "masterUserOptions": {"masterUserPassword": "canary"}}
    assert all(
        "canary" not in failure.reason
        for failure in domain_rules({**DOMAIN, **merged("advancedSecurityOptions", **options)})
    )


def test_iops_of_an_older_kind_of_volume_are_refused() -> None:
    ebs = {"ebsEnabled": True, "volumeType": "gp2", "volumeSize": 100, "iops": 3000}
    (failure,) = domain_rules({"ebsOptions": ebs})
    assert "IOPS is only valid when volume type is Provisioned IOPS or GP3" in failure.reason


@pytest.mark.parametrize(
    ("old", "new", "possible"),
    [
        ("OpenSearch_2.11", "OpenSearch_2.19", True),
        ("OpenSearch_2.19", "OpenSearch_3.3", True),
        ("OpenSearch_1.3", "OpenSearch_2.19", True),
        ("OpenSearch_2.17", "OpenSearch_3.3", False),
        ("OpenSearch_1.3", "OpenSearch_3.3", False),
        ("OpenSearch_3.3", "OpenSearch_2.19", False),
        ("Elasticsearch_7.10", "OpenSearch_2.19", False),
    ],
)
def test_a_domain_that_cannot_be_upgraded_is_replaced(old: str, new: str, possible: bool) -> None:
    assert upgrades(old, new) is possible
    assert [*domain_replaces({"engineVersion": old}, {"engineVersion": new})] == ([] if possible else ["engineVersion"])


@pytest.mark.parametrize("name", ["encryptAtRest", "nodeToNodeEncryption", "advancedSecurityOptions"])
def test_what_cannot_be_switched_off_replaces(name: str) -> None:
    on, off = {name: {"enabled": True}}, {name: {"enabled": False}}
    assert [*domain_replaces(on, off)] == [name]
    assert [*domain_replaces(off, on)] == []


@pytest.mark.parametrize("name", ["encryptAtRest", "nodeToNodeEncryption"])
@pytest.mark.parametrize(
    ("version", "replaced"), [("Elasticsearch_6.5", True), ("Elasticsearch_6.7", False), ("OpenSearch_1.3", False)]
)
def test_an_old_domain_cannot_be_encrypted_afterwards(name: str, version: str, replaced: bool) -> None:
    off, on = ({"engineVersion": version, name: {"enabled": enabled}} for enabled in (False, True))
    assert [*domain_replaces(off, on)] == [name] * replaced


def test_two_kinds_of_addresses_do_not_become_one_again() -> None:
    both, one = ({"ipAddressType": kind} for kind in ("dualstack", "ipv4"))
    assert [*domain_replaces(both, one)] == ["ipAddressType"]
    assert [*domain_replaces(one, both)] == []
    assert [*domain_replaces(both, {})] == []


def test_connection_that_is_refused() -> None:
    ends = {"ownerId": "123456789012", "region": "us-east-1", "domainName": "one"}
    said = {"connectionAlias": "primary", "localDomainInfo": ends, "remoteDomainInfo": {**ends, "domainName": "two"}}
    assert refusals(opensearch.OUTBOUND_CONNECTION, said) == []
    assert refusals(opensearch.OUTBOUND_CONNECTION, dict.fromkeys(said, UNKNOWN)) == []
    assert "pattern" in refusals(opensearch.OUTBOUND_CONNECTION, {**said, "connectionAlias": "1"})[0]
    assert "itself" in refusals(opensearch.OUTBOUND_CONNECTION, {**said, "remoteDomainInfo": ends})[0]


def test_log_policy_that_is_refused() -> None:
    assert refusals(opensearch.LOG_RESOURCE_POLICY, {"policyDocument": "{}"}) == []
    assert refusals(opensearch.LOG_RESOURCE_POLICY, {"policyDocument": UNKNOWN}) == []
    assert "Unable to parse" in refusals(opensearch.LOG_RESOURCE_POLICY, {"policyDocument": "all"})[0]
    assert "5120" in refusals(opensearch.LOG_RESOURCE_POLICY, {"policyDocument": "{" + " " * 5120})[0]
