"""Rules for the cache."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_elasticache import GLOBAL, GOOD, GROUP, PARAMETERS, SUBNETS, USER, USERS, nobody, somebody
from tests.policies.plans import broken, changed, everything, judge, of

(LEADER,) = of("prod", GROUP)
(MEMBER,) = of("dr", GROUP)
(WHOLE,) = of("prod", GLOBAL)
(SETTINGS,) = of("prod", PARAMETERS)
(NETS,) = of("prod", SUBNETS)
(TEAM,) = of("prod", USERS)
(NOBODY,) = filter(nobody, of("prod", USER))
(SOMEBODY,) = filter(somebody, of("prod", USER))
IDS = sorted({good.rule for good in GOOD})


@pytest.mark.parametrize("rule", IDS)
def test_the_plans_break_no_rule(rule: str) -> None:
    assert list(everything(rule)) == []


@pytest.mark.parametrize(
    ("rule", "its", "path", "value", "message"),
    [
        ("redis-encryption", LEADER, "atRestEncryptionEnabled", False, "is false, must be true"),
        ("redis-encryption", LEADER, "transitEncryptionMode", "preferred", "is preferred, must be required"),
        ("redis-encryption", MEMBER, "kmsKeyId", ..., "is absent, must be a key of ours"),
        ("redis-auth", MEMBER, "userGroupIds", [], "is empty, must be a list with an entry"),
        (
            "redis-auth",
            LEADER,
            "authToken",
            "[secret]",
            "is given, must be absent: it is one password for all",
        ),
        (
            "redis-auth",
            SOMEBODY,
            "authenticationMode.type",
            "no-password-required",
            "is no-password-required, must be iam",
        ),
        ("redis-auth", NOBODY, "accessString", "-@all", "is something else, must be off, and nothing else"),
        ("redis-private", LEADER, "subnetGroupName", ..., "is absent, must be given"),
        ("redis-ha", LEADER, "replicasPerNodeGroup", 0, "is 0, must be at least 1"),
        ("redis-ha", MEMBER, "multiAzEnabled", ..., "is absent, must be true"),
        ("redis-ha", WHOLE, "automaticFailoverEnabled", False, "is false, must be true"),
        ("redis-ha", NETS, "subnetIds", ["a", "b"], "is 2 items, must be a list of 3 or more different ones"),
        ("redis-backup", MEMBER, "snapshotRetentionLimit", 6, "is 6, must be at least 7"),
        (
            "redis-shape",
            LEADER,
            "nodeType",
            "cache.t4g.small",
            "is cache.t4g.small, must be an m or r type, of generation 5 or later",
        ),
        ("redis-shape", LEADER, "clusterMode", "disabled", "is disabled, must be enabled"),
        ("redis-logs", LEADER, "logDeliveryConfigurations[0].destination", ..., "is absent, must be given"),
        ("redis-change-window", MEMBER, "applyImmediately", True, "is true, must be false or absent"),
    ],
)
def test_a_broken_setting_is_named(rule: str, its: Resource, path: str, value: Any, message: str) -> None:
    assert judge(rule, broken(its, path, value)) == [Finding(path, message)]
    assert judge(rule, broken(its, path, UNKNOWN)) == [Finding(path, "is not known before the update", False)]


@pytest.mark.parametrize(
    "name", ["nodeType", "engine", "engineVersion", "parameterGroupName", "transitEncryptionEnabled"]
)
def test_a_member_is_not_told_what_it_inherits(name: str) -> None:
    told = broken(MEMBER, name, "x")
    assert judge("redis-shape", told) == [Finding(name, "is x, must be absent: a member inherits it")]


@pytest.mark.parametrize("rule", ["redis-encryption", "redis-shape"])
def test_a_datastore_that_is_not_known_excuses_nothing(rule: str) -> None:
    found = judge(rule, broken(MEMBER, "globalReplicationGroupId", UNKNOWN))
    assert found
    assert {(one.path, one.verified) for one in found} == {("globalReplicationGroupId", False)}
    assert judge(rule, broken(LEADER, "globalReplicationGroupId", UNKNOWN)) == []


def test_the_built_in_user_is_in_no_group() -> None:
    assert judge("redis-auth", broken(TEAM, "userIds[0]", "default")) == [
        Finding("userIds[0]", "is default, must be a user of ours: the built-in one may do everything")
    ]


def test_a_group_has_a_default_user_of_ours() -> None:
    lone = [Finding("userIds", "have none who is called default", urn=TEAM.urn)]
    assert judge("redis-default-user", changed("prod", NOBODY.urn, lambda _: None)) == lone
    assert judge("redis-default-user", changed("prod", TEAM.urn, lambda its: broken(its, "userIds[0]", ...))) == lone
    hidden = changed("prod", TEAM.urn, lambda its: replace(broken(its, "userIds", UNKNOWN), links={}))
    assert [found.verified for found in judge("redis-default-user", hidden)] == [False]


def test_a_user_of_unknown_name_may_be_the_one_who_is_off() -> None:
    hidden = broken(NOBODY, "userName", UNKNOWN)
    assert {(found.path, found.verified) for found in judge("redis-auth", hidden)} == {("userName", False)}


@pytest.mark.parametrize(
    ("access", "messages"),
    [
        ("on ~* +@all -@admin -@dangerous +info", []),
        ("on ~* +@read", []),
        ("on ~* +@all -@admin", ["allows @dangerous, must not"]),
        ("on ~* -@admin -@dangerous +@ALL", ["allows @admin, must not", "allows @dangerous, must not"]),
        ("on ~* -@all +@admin", ["allows @admin, must not"]),
    ],
)
def test_commands_are_read_from_left_to_right(access: str, messages: list[str]) -> None:
    assert [found.message for found in judge("redis-acl", broken(SOMEBODY, "accessString", access))] == messages


def test_clusters_by_number_of_nodes_need_a_replica_too() -> None:
    nodes = broken(broken(LEADER, "replicasPerNodeGroup", ...), "numCacheClusters", 1)
    assert judge("redis-ha", nodes) == [Finding("numCacheClusters", "is 1, must be at least 2")]


def test_thresholds_are_those_of_a_stack() -> None:
    assert judge("redis-ha", LEADER, replicas=2) == [Finding("replicasPerNodeGroup", "is 1, must be at least 2")]
    assert judge("redis-backup", LEADER, days=35) == []
    assert judge("redis-shape", LEADER, shards=4) == [Finding("numNodeGroups", "is 3, must be 4 to 500")]
    assert judge("redis-shape", MEMBER, shards=4) == []


def test_a_cluster_needs_parameters_of_a_cluster() -> None:
    assert judge("redis-shape", broken(SETTINGS, "parameters", [])) == [
        Finding("parameters", "have no cluster-enabled, must have it: yes")
    ]


@given(places(GOOD), ANYTHING)
def test_no_value_makes_a_rule_raise(place: tuple[str, Resource, str], value: Any) -> None:
    judged(*place, value)
