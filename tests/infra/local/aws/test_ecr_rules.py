"""What ECR refuses."""

import json
from typing import Any

import pytest

from infra.local.aws.ecr_rules import lifecycle_rules, replication_rules, repository_rules, scanning_rules
from infra.local.resource import UNKNOWN, Props

UNTAGGED = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}
ANY = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 100}


def policy(*selections: dict[str, Any], first: int = 1) -> Props:
    rules = [
        {"rulePriority": priority, "description": "x" * 40, "selection": each, "action": {"type": "expire"}}
        for priority, each in enumerate(selections, start=first)
    ]
    return {"policy": json.dumps({"rules": rules})}


def scan(type_: str, *frequencies: str, filters: int = 1, text: str = "docsearch/*") -> Props:
    each = [{"filter": text, "filterType": "WILDCARD"}] * filters
    rules = [{"scanFrequency": frequency, "repositoryFilters": each} for frequency in frequencies]
    return {"scanType": type_, "rules": rules}


def copy(*ends: tuple[Any, Any], filters: int = 1, rules: int = 1, text: str = "docsearch") -> Props:
    rule = {
        "destinations": [{"region": region, "registryId": registry} for region, registry in ends],
        "repositoryFilters": [{"filter": text, "filterType": "PREFIX_MATCH"}] * filters,
    }
    return {"replicationConfiguration": {"rules": [rule] * rules}}


WEST = ("us-west-2", "1" * 12)


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (repository_rules, {"name": "docsearch/search-1"}),
        (repository_rules, {"name": UNKNOWN, "encryptionConfigurations": UNKNOWN}),
        (repository_rules, {"encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": UNKNOWN}]}),
        (lifecycle_rules, policy(UNTAGGED, ANY)),
        (lifecycle_rules, policy({**UNTAGGED, "tagStatus": "tagged", "tagPrefixList": ["a"]}, ANY)),
        (lifecycle_rules, {"policy": UNKNOWN}),
        (scanning_rules, scan("BASIC", "SCAN_ON_PUSH")),
        (scanning_rules, scan("ENHANCED", "SCAN_ON_PUSH", "CONTINUOUS_SCAN")),
        (replication_rules, copy(WEST)),
        (replication_rules, copy((UNKNOWN, UNKNOWN))),
        (replication_rules, {"replicationConfiguration": UNKNOWN}),
    ],
)
def test_what_is_taken(check: Any, said: Props) -> None:
    assert [*check(said)] == []


@pytest.mark.parametrize(
    ("check", "said", "message"),
    [
        (repository_rules, {"name": "a"}, "no repository name"),
        (repository_rules, {"name": "Docsearch"}, "no repository name"),
        (repository_rules, {"encryptionConfigurations": [{}, {}]}, "there can be one"),
        (
            repository_rules,
            {"encryptionConfigurations": [{"encryptionType": "AES256", "kmsKey": "arn"}]},
            "kmsKey is not allowed for AES256",
        ),
        (repository_rules, {"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}, "and only then"),
        (
            repository_rules,
            {"imageTagMutability": "MUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": [{}] * 6},
            "at most 5",
        ),
        (lifecycle_rules, {"policy": "{" + " " * 100}, "Lifecycle policy validation failure"),
        (lifecycle_rules, {"policy": json.dumps({"rules": [{"selection": "x" * 100}]})}, "validation failure"),
        (lifecycle_rules, {"policy": json.dumps({"rules": [], "x": "x" * 100})}, "1 to 50 rules"),
        (lifecycle_rules, policy(ANY, UNTAGGED), "must have the highest rulePriority"),
        (lifecycle_rules, policy(UNTAGGED, {**UNTAGGED, "tagStatus": "tagged"}), "tagPrefixList or tagPatternList"),
        (lifecycle_rules, policy({**ANY, "countUnit": "days"}), "countUnit"),
        (lifecycle_rules, policy({**UNTAGGED, "countNumber": 0}), "countNumber must be 1 or more"),
        (scanning_rules, scan("BASIC", "CONTINUOUS_SCAN"), "is none of SCAN_ON_PUSH, MANUAL"),
        (scanning_rules, scan("ENHANCED", "MANUAL"), "is none of SCAN_ON_PUSH, CONTINUOUS_SCAN"),
        (scanning_rules, scan("BASIC", "SCAN_ON_PUSH", "MANUAL"), "at most 1"),
        (scanning_rules, scan("BASIC", "SCAN_ON_PUSH", filters=101), "at most 100"),
        (scanning_rules, scan("BASIC", "SCAN_ON_PUSH", text="Docsearch"), "is no filter"),
        (replication_rules, copy(WEST, rules=11), "at most 10"),
        (replication_rules, copy(*((f"eu-{number}", "1" * 12) for number in range(26))), "at most 25"),
        (replication_rules, copy(("us-west-2", "1")), "is no account"),
        (replication_rules, copy(("US", "1" * 12)), "is no region"),
        (replication_rules, copy(WEST, filters=101), "at most 100"),
        (replication_rules, copy(WEST, text="a"), "2 to 256"),
    ],
)
def test_what_is_refused(check: Any, said: Props, message: str) -> None:
    (failure,) = check(said)
    assert message in failure.reason


def test_a_policy_has_a_length_and_its_priorities_are_unique() -> None:
    short = json.dumps({"rules": [{"rulePriority": 1, "selection": {**ANY}}]})[:99]
    assert any("100 to 30720" in failure.reason for failure in lifecycle_rules({"policy": short}))
    twice = json.loads(policy(UNTAGGED, ANY)["policy"])
    twice["rules"][0]["rulePriority"] = 2
    assert any("must be unique" in failure.reason for failure in lifecycle_rules({"policy": json.dumps(twice)}))
