"""Rules for the search index."""

import json
from typing import Any

import pytest
from hypothesis import given

from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_opensearch import DOMAIN, GOOD
from tests.policies.plans import broken, everything, judge, of

(INDEX,) = of("prod", DOMAIN)
IDS = sorted({good.rule for good in GOOD})


@pytest.mark.parametrize("rule", IDS)
def test_the_plans_break_no_rule(rule: str) -> None:
    assert list(everything(rule)) == []


@pytest.mark.parametrize(
    ("rule", "path", "value", "message"),
    [
        ("os-cmk", "encryptAtRest.kmsKeyId", "alias/aws/es", "is alias/aws/es, must be a key of ours"),
        ("os-cmk", "encryptAtRest.enabled", ..., "is absent, must be true"),
        ("os-node-to-node", "nodeToNodeEncryption.enabled", False, "is false, must be true"),
        ("os-tls", "domainEndpointOptions.enforceHttps", False, "is false, must be true"),
        ("os-fgac", "advancedSecurityOptions.internalUserDatabaseEnabled", True, "is true, must be false or absent"),
        ("os-fgac", "accessPolicies", ..., "is absent, must be given"),
        ("os-vpc", "vpcOptions.securityGroupIds", [], "is empty, must be a list with an entry"),
        (
            "os-standby",
            "vpcOptions.subnetIds",
            ["a", "a", "b"],
            "is 3 items, must be a list of 3 or more different ones",
        ),
        ("os-standby", "engineVersion", "OpenSearch_1.2", "is OpenSearch_1.2, must be OpenSearch_1.3 or later"),
        ("os-masters", "clusterConfig.dedicatedMasterCount", 4, "is 4, must be 3"),
        (
            "os-masters",
            "clusterConfig.dedicatedMasterType",
            "t3.medium.search",
            "is t3.medium.search, must be a type that is neither burstable nor of an old generation",
        ),
        ("os-tier-shape", "clusterConfig.instanceCount", 20, "is 20, must be a multiple of 3"),
        ("os-storage", "ebsOptions.volumeType", ..., "is absent, must be gp3"),
        ("os-auto-tune", "autoTuneOptions.desiredState", "DISABLED", "is DISABLED, must be ENABLED"),
        ("os-off-peak", "offPeakWindowOptions.enabled", False, "is false, must be true"),
    ],
)
def test_a_broken_setting_is_named(rule: str, path: str, value: Any, message: str) -> None:
    assert judge(rule, broken(INDEX, path, value)) == [Finding(path, message)]
    unknown = judge(rule, broken(INDEX, path, UNKNOWN))
    # Who the subnets are is `os-vpc`'s to ask.
    assert unknown == (
        [] if path == "vpcOptions.subnetIds" else [Finding(path, "is not known before the update", False)]
    )


def test_what_is_not_known_hides_no_violation() -> None:
    domain = broken(broken(INDEX, "encryptAtRest.enabled", UNKNOWN), "encryptAtRest.kmsKeyId", "")
    assert [(found.path, found.verified) for found in judge("os-cmk", domain)] == [
        ("encryptAtRest.enabled", False),
        ("encryptAtRest.kmsKeyId", True),
    ]


def test_five_masters_are_for_domains_without_standby() -> None:
    five = broken(INDEX, "clusterConfig.dedicatedMasterCount", 5)
    assert [found.message for found in judge("os-masters", five)] == ["is 5, must be 3"]
    assert judge("os-masters", broken(five, "clusterConfig.multiAzWithStandbyEnabled", False)) == []
    assert judge("os-masters", broken(five, "clusterConfig.multiAzWithStandbyEnabled", UNKNOWN)) != []


def test_cold_storage_needs_warm_nodes() -> None:
    bare = {key: value for key, value in INDEX.props["clusterConfig"].items() if not key.startswith("warm")}
    domain = broken(INDEX, "clusterConfig", bare)
    assert judge("os-tier-shape", domain) == [
        Finding(
            "clusterConfig.coldStorageOptions.enabled",
            "is true, must be false or absent: cold storage needs warm nodes",
        )
    ]


def test_a_type_with_disks_of_its_own_takes_no_volume() -> None:
    local = broken(INDEX, "clusterConfig.instanceType", "i4i.4xlarge.search")
    path = "ebsOptions.ebsEnabled"
    assert [found.path for found in judge("os-storage", local)] == [path]
    assert judge("os-storage", broken(local, "ebsOptions", ...)) == []
    unknown = broken(INDEX, "clusterConfig.instanceType", UNKNOWN)
    assert judge("os-storage", unknown) == []
    assert judge("os-storage", broken(unknown, "ebsOptions", ...)) == [
        Finding("clusterConfig.instanceType", "is not known before the update", False)
    ]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({}, []),
        ({"hot": 21, "warm": 12, "coordinators": 6}, []),
        ({"hot": 22}, [Finding("clusterConfig.instanceCount", "is 21, must be at least 22")]),
        ({"warm": 13}, [Finding("clusterConfig.warmCount", "is 12, must be at least 13")]),
        ({"coordinators": 7}, [Finding("clusterConfig.nodeOptions", "have 6 coordinating nodes, must have 7 or more")]),
    ],
)
def test_tiers_have_as_many_nodes_as_a_stack_asks_for(limits: dict[str, int], found: list[Finding]) -> None:
    assert judge("os-nodes", INDEX, **limits) == found


def test_a_missing_log_is_named() -> None:
    logs = [log for log in INDEX.props["logPublishingOptions"] if log["logType"] != "AUDIT_LOGS"]
    domain = broken(INDEX, "logPublishingOptions", logs)
    assert judge("os-logs", domain) == [Finding("logPublishingOptions", "have no AUDIT_LOGS, must have them")]
    hidden = broken(INDEX, "logPublishingOptions", [*logs, UNKNOWN])
    path = "logPublishingOptions[3]"
    assert judge("os-logs", hidden) == [Finding(path, "is not known before the update", False)]


def test_a_policy_that_lets_everybody_in_is_found() -> None:
    policy = {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "es:*", "Resource": "*"}}
    (found,) = judge("os-fgac", broken(INDEX, "accessPolicies", json.dumps(policy)))
    assert found.verified
    assert found.path.startswith("accessPolicies")


@given(places(GOOD), ANYTHING)
def test_no_value_makes_a_rule_raise(place: tuple[str, Resource, str], value: Any) -> None:
    judged(*place, value)
