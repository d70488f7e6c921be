"""Rules for the database."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_rds import BACKUPS, GOOD, INSTANCE, PARAMETERS, SUBNETS, VERSION, follows_afar, primary, reader
from tests.policies.good_rds import head as head_of_region
from tests.policies.plans import broken, changed, everything, judge, of

(PRIMARY,) = filter(primary, of("prod", INSTANCE))
READERS = list(filter(reader, of("prod", INSTANCE)))
READER = READERS[0]
(AFAR,) = filter(follows_afar, of("dr", INSTANCE))
(GROUP,) = of("prod", PARAMETERS)
(COPY,) = of("dr", BACKUPS)
MANAGED = "manageMasterUserPassword"
IDS = sorted({good.rule for good in GOOD})


@pytest.mark.parametrize("rule", IDS)
def test_the_plans_break_no_rule(rule: str) -> None:
    assert list(everything(rule)) == []


@pytest.mark.parametrize(
    ("rule", "its", "path", "value", "message"),
    [
        ("rds-cmk", PRIMARY, "storageEncrypted", False, "is false, must be true"),
        ("rds-cmk", READER, "kmsKeyId", "alias/aws/rds", "is alias/aws/rds, must be a key of ours"),
        ("rds-cmk", COPY, "kmsKeyId", ..., "is absent, must be a key of ours"),
        (
            "rds-force-ssl",
            PRIMARY,
            "parameterGroupName",
            "default.postgres17",
            "is default.postgres17, must be a group of ours",
        ),
        ("rds-multi-az", PRIMARY, "multiAz", False, "is false, must be true"),
        ("rds-multi-az", AFAR, "multiAz", ..., "is absent, must be true"),
        ("rds-backups", PRIMARY, "backupRetentionPeriod", 6, "is 6, must be at least 7"),
        ("rds-backups", PRIMARY, "deleteAutomatedBackups", ..., "is absent, must be false"),
        ("rds-backups", PRIMARY, "skipFinalSnapshot", True, "is true, must be false or absent"),
        ("rds-backups", AFAR, "backupRetentionPeriod", 0, "is 0, must be at least 7"),
        ("rds-backups", COPY, "retentionPeriod", 1, "is 1, must be at least 7"),
        ("rds-private", READER, "publiclyAccessible", True, "is true, must be false or absent"),
        ("rds-private", PRIMARY, "dbSubnetGroupName", ..., "is absent, must be given"),
        ("rds-iam-auth", AFAR, "iamDatabaseAuthenticationEnabled", ..., "is absent, must be true"),
        (
            "rds-class",
            READER,
            "instanceClass",
            "db.t4g.large",
            "is db.t4g.large, must be a class that is not burstable",
        ),
        ("rds-monitoring", PRIMARY, "monitoringInterval", 0, "is 0, must be 1 to 60"),
        (
            "rds-storage-autoscaling",
            PRIMARY,
            "maxAllocatedStorage",
            1100,
            "is 1100, must be 10% or more above the first size",
        ),
        ("rds-change-window", READER, "autoMinorVersionUpgrade", ..., "is absent, must be false"),
    ],
)
def test_a_broken_setting_is_named(rule: str, its: Resource, path: str, value: Any, message: str) -> None:
    assert judge(rule, broken(its, path, value)) == [Finding(path, message)]
    assert judge(rule, broken(its, path, UNKNOWN)) == [Finding(path, "is not known before the update", False)]


@pytest.mark.parametrize("rule", ["rds-multi-az", "rds-backups", "rds-extended-support"])
def test_a_source_that_is_not_known_excuses_nothing(rule: str) -> None:
    hidden = broken(READER, "replicateSourceDb", UNKNOWN)
    found = judge(rule, hidden)
    assert found
    assert {(one.path, one.verified) for one in found} == {("replicateSourceDb", False)}
    assert judge(rule, broken(PRIMARY, "replicateSourceDb", UNKNOWN)) == []


@pytest.mark.parametrize(
    ("name", "value", "rule", "found"),
    [
        ("rds.force_ssl", "0", "rds-force-ssl", Finding("parameters[0].value", "is 0, must be 1: rds.force_ssl")),
        (
            "ssl_min_protocol_version",
            "TLSv1.1",
            "rds-force-ssl",
            Finding("parameters[1].value", "is TLSv1.1, must be TLSv1.2 or TLSv1.3: ssl_min_protocol_version"),
        ),
        (
            "password_encryption",
            None,
            "rds-scram",
            Finding("parameters", "have no password_encryption, must have it: scram-sha-256"),
        ),
    ],
)
def test_parameters_are_found_by_name(name: str, value: str | None, rule: str, found: Finding) -> None:
    every = [
        {**one, "value": value} if one["name"] == name else one
        for one in GROUP.props["parameters"]
        if value is not None or one["name"] != name
    ]
    assert judge(rule, broken(GROUP, "parameters", every)) == [found]
    if value is None:
        hidden = broken(GROUP, "parameters", [UNKNOWN, *every])
        assert judge(rule, hidden) == [Finding("parameters[0]", "is not known before the update", False)]


def test_a_parameter_that_is_given_twice_must_be_right_twice() -> None:
    every = [*GROUP.props["parameters"], {"name": "rds.force_ssl", "value": "0"}]
    (found,) = judge("rds-force-ssl", broken(GROUP, "parameters", every))
    assert found.path == f"parameters[{len(every) - 1}].value"


def test_recorded_queries_need_a_key_only_while_they_are_recorded() -> None:
    bare = broken(PRIMARY, "performanceInsightsKmsKeyId", ...)
    assert [found.path for found in judge("rds-cmk", bare)] == ["performanceInsightsKmsKeyId"]
    assert judge("rds-cmk", broken(bare, "performanceInsightsEnabled", False)) == []
    assert judge("rds-cmk", broken(bare, "performanceInsightsEnabled", UNKNOWN)) == [
        Finding("performanceInsightsEnabled", "is not known before the update", False)
    ]


def test_a_replica_beside_its_source_has_its_key_unless_it_names_one() -> None:
    assert "kmsKeyId" not in READER.props
    assert judge("rds-cmk", READER) == []
    assert judge("rds-cmk", broken(READER, "kmsKeyId", "arn:aws:kms:us-east-1:1:key/ours")) == []
    hidden = broken(READER, "replicateSourceDb", UNKNOWN)
    assert judge("rds-cmk", hidden) == [Finding("replicateSourceDb", "is not known before the update", False)]
    afar = broken(READER, "replicateSourceDb", AFAR.props["replicateSourceDb"])
    assert judge("rds-cmk", afar) == [Finding("kmsKeyId", "is absent, must be a key of ours")]


def test_backups_are_kept_as_long_as_a_stack_asks_for() -> None:
    assert judge("rds-backups", PRIMARY, days=35) == []
    week = broken(PRIMARY, "backupRetentionPeriod", 34)
    assert judge("rds-backups", week, days=35) == [Finding("backupRetentionPeriod", "is 34, must be at least 35")]


def test_a_subnet_group_reaches_as_many_zones_as_a_stack_asks_for() -> None:
    group = of("prod", SUBNETS)[0]
    message = "is 3 items, must be a list of 4 or more different ones"
    assert judge("rds-multi-az", group, zones=4) == [Finding("subnetIds", message)]


def test_a_primary_has_as_many_replicas_as_a_stack_asks_for() -> None:
    assert judge("rds-replicas", "prod", replicas=3) == []
    assert judge("rds-replicas", "prod", replicas=4) == [
        Finding("", "has 3 read replicas, must have 4 or more", urn=PRIMARY.urn)
    ]
    one_gone = changed("prod", READER.urn, lambda _: None)
    assert judge("rds-replicas", one_gone, replicas=3) == [
        Finding("", "has 2 read replicas, must have 3 or more", urn=PRIMARY.urn)
    ]


def test_a_standby_region_needs_no_replicas_beside_its_own() -> None:
    assert judge("rds-replicas", "dr", replicas=3) == []


def test_replicas_are_counted_by_what_they_follow() -> None:
    def astray(instance: Resource) -> Resource:
        return replace(broken(instance, "replicateSourceDb", "elsewhere"), links={})

    found = judge("rds-replicas", changed("prod", READER.urn, astray), replicas=3)
    assert found == [
        Finding("replicateSourceDb", "names no database of this stack, and no ARN of another region's", urn=READER.urn),
        Finding("", "has 2 read replicas, must have 3 or more", urn=PRIMARY.urn),
    ]
    hidden = changed("prod", READER.urn, lambda one: replace(broken(one, "replicateSourceDb", UNKNOWN), links={}))
    assert not any(found.verified for found in judge("rds-replicas", hidden, replicas=3))
    literal = changed("prod", READER.urn, lambda one: replace(one, links={}))
    assert judge("rds-replicas", literal, replicas=3) == []


def test_a_password_that_rds_manages_is_refused() -> None:
    found = judge("rds-managed-secret", changed("prod", PRIMARY.urn, lambda one: broken(one, MANAGED, True)))
    message = "is true, must be false or absent: RDS then makes no read replica of it"
    assert found == [Finding(MANAGED, message, urn=PRIMARY.urn)]


@pytest.mark.parametrize("path", ["password", "passwordWo"])
@pytest.mark.parametrize("stack", ["prod", "dr"])
def test_a_password_that_somebody_typed_is_refused_and_not_shown(stack: str, path: str) -> None:
    (head,) = filter(head_of_region, of(stack, INSTANCE))

    def typed(value: Any) -> list[Finding]:
        bare = changed(
            stack, head.urn, lambda one: replace(broken(broken(one, "password", ...), path, value), links={})
        )
        return judge("rds-managed-secret", bare)

    message = "is no random password of this stack: whoever reads the program knows it"
    assert typed("canary-canary") == [Finding(path, message, urn=head.urn)]
    assert typed(UNKNOWN) == [Finding(path, "is not known before the update", False, urn=head.urn)]


def test_a_random_password_that_is_not_known_yet_is_one() -> None:
    hidden = changed("prod", PRIMARY.urn, lambda one: broken(one, "password", UNKNOWN))
    assert judge("rds-managed-secret", hidden) == []


def test_a_password_that_is_in_no_secret_is_refused() -> None:
    (version,) = [one for one in of("prod", VERSION) if one.name == "database-master"]
    lost = changed("prod", version.urn, lambda one: replace(one, links={}))
    message = "is in no secret of this stack: nobody could log in with it"
    assert judge("rds-managed-secret", lost) == [Finding("password", message, urn=PRIMARY.urn)]


def test_a_source_that_is_not_known_excuses_no_missing_password() -> None:
    bare = broken(broken(PRIMARY, "password", ...), "replicateSourceDb", UNKNOWN)
    found = judge("rds-managed-secret", changed("prod", PRIMARY.urn, lambda _: bare))
    assert found == [Finding("replicateSourceDb", "is not known before the update", False, urn=PRIMARY.urn)]
    gone = changed("prod", PRIMARY.urn, lambda one: broken(one, "password", ...))
    assert judge("rds-managed-secret", gone) == [Finding("password", "is absent, must be given", urn=PRIMARY.urn)]


def test_replicas_are_spread_over_the_zones() -> None:
    urns = [its.urn for its in READERS]
    same = changed("prod", urns[1], lambda one: broken(one, "availabilityZone", READERS[0].props["availabilityZone"]))
    message = "is one of 2 for 3 replicas"
    assert judge("rds-replica-zones", same) == [Finding("availabilityZone", message, urn=urns[0])]
    assert judge("rds-replica-zones", same, zones=2) == []
    anywhere = changed("prod", urns[1], lambda one: broken(one, "availabilityZone", ...))
    message = "is absent, must be given: RDS would put it anywhere"
    assert judge("rds-replica-zones", anywhere) == [Finding("availabilityZone", message, urn=urns[1])]


@given(places(GOOD), ANYTHING)
def test_no_value_makes_a_rule_raise(place: tuple[str, Resource, str], value: Any) -> None:
    judged(*place, value)
