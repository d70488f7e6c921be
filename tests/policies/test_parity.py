"""Rules for what ties two regions together."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from policies.rule import UNKNOWN, Finding, Resource, Stack
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_parity import ACCEPTER, BACKUPS, GLOBAL, GOOD, INSTANCE, OUTBOUND, REPLICA_KEY
from tests.policies.plans import broken, changed, everything, judge, of, resources

GROUP = "aws:elasticache/replicationGroup:ReplicationGroup"
DOMAIN = "aws:opensearch/domain:Domain"
KEY = "aws:kms/key:Key"


def put(path: str, value: Any) -> Callable[[Resource], Resource]:
    """Breaks one property."""
    return lambda resource: broken(resource, path, value)


def test_the_plans_break_no_rule() -> None:
    assert list(everything("dr-parity")) == []


@pytest.mark.parametrize(
    ("type_", "blamed", "message"),
    [
        (BACKUPS, INSTANCE, "has no replicated backups of its source beside it"),
        (OUTBOUND, DOMAIN, "has no connection to the primary's, must have one to follow it"),
        (ACCEPTER, OUTBOUND, "is accepted by nobody"),
    ],
)
def test_what_a_standby_lacks_is_said_of_what_should_follow(type_: str, blamed: str, message: str) -> None:
    gone = changed("dr", of("dr", type_)[0].urn, lambda _: None)
    assert judge("dr-parity", gone) == [Finding("", message, urn=of("dr", blamed)[0].urn)]


@pytest.mark.parametrize(
    ("type_", "path", "here", "message"),
    [
        (INSTANCE, "replicateSourceDb", "arn:aws:rds:us-west-2:1:db:x", "must be an ARN of another region"),
        (BACKUPS, "sourceDbInstanceArn", "arn:aws:rds:us-west-2:1:db:x", "must be an ARN of another region"),
        (REPLICA_KEY, "primaryKeyArn", "arn:aws:kms:us-west-2:1:key/x", "must be an ARN of another region"),
        (OUTBOUND, "remoteDomainInfo.region", "us-west-2", "must be another region"),
    ],
)
def test_what_is_followed_is_elsewhere(type_: str, path: str, here: str, message: str) -> None:
    its = of("dr", type_)[0]
    (found,) = judge("dr-parity", changed("dr", its.urn, put(path, here)))
    assert (found.path, found.urn) == (path, its.urn)
    assert found.message.endswith(message)


def test_a_database_that_follows_nobody_in_a_standby_is_found() -> None:
    its = of("dr", INSTANCE)[0]
    assert judge("dr-parity", changed("dr", its.urn, put("replicateSourceDb", ...))) == [
        Finding("replicateSourceDb", "is absent, must be the primary's: the rest of the stack follows", urn=its.urn)
    ]


def test_a_standby_has_no_keys_of_its_own() -> None:
    key = replace(of("prod", KEY)[0], urn="urn:pulumi:dr::docsearch::aws:kms/key:Key::own")
    found = judge("dr-parity", Stack([*resources("dr"), key]))
    assert found == [Finding("", "is a key of this region's own, must be a replica of the primary's", urn=key.urn)]


def test_a_cache_leads_a_datastore_or_is_in_one() -> None:
    its = of("prod", GLOBAL)[0]
    message = "neither leads a global datastore nor is in one"
    assert judge("dr-parity", changed("prod", its.urn, lambda _: None)) == [
        Finding("", message, urn=of("prod", GROUP)[0].urn)
    ]
    literal = changed("prod", its.urn, lambda one: replace(one, links={}))
    assert judge("dr-parity", literal) == []
    hidden = changed("prod", its.urn, lambda one: replace(broken(one, "primaryReplicationGroupId", UNKNOWN), links={}))
    assert [found.verified for found in judge("dr-parity", hidden)] == [False]


@given(places(GOOD), ANYTHING)
def test_no_value_makes_a_rule_raise(place: tuple[str, Resource, str], value: Any) -> None:
    judged(*place, value)
