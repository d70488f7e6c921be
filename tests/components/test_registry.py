"""The image repositories, as the engine receives them."""

import json
from typing import Any

import pulumi_aws as aws
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.kms import Kms, KmsArgs
from components.registry import (
    FREQUENCY,
    Registry,
    RegistryArgs,
    RegistrySource,
    check_repositories,
    plan_key,
    plan_lifecycle,
)

ACCOUNT = "012345678901"
REPOSITORY = "aws:ecr/repository:Repository"
SCANNING = "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration"
REPLICATION = "aws:ecr/replicationConfiguration:ReplicationConfiguration"
OUTPUTS: dict[str, dict[str, Any]] = {REPOSITORY: {"repositoryUrl": "registry/docsearch"}}


def args(**changes: Any) -> RegistryArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region="us-east-1", role="primary"))
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "region": "us-east-1",
        "key": keys["data"],
        "repositories": ("docsearch/search", "docsearch/ingest"),
    }
    return RegistryArgs(**(given | changes))


def standby() -> Registry:
    source = RegistrySource(region="us-east-1", provider=aws.Provider("peer", region="us-east-1"))
    return Registry("registry", args(region="us-west-2", replicate_from=source))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    def program() -> dict[str, Any]:
        registry = Registry("registry", args())
        return {"urls": registry.urls, "arns": registry.arns}

    return recorded(program, outputs=OUTPUTS)


def test_a_tag_is_never_moved_and_images_are_under_our_key(run: Any) -> None:
    repository = run.one(REPOSITORY, "registry-docsearch-search")
    assert repository.inputs == {
        "name": "docsearch/search",
        "imageTagMutability": "IMMUTABLE",
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfigurations": [{"encryptionType": "KMS", "kmsKey": "arn:aws:kms:::keys-data"}],
        "forceDelete": False,
    }
    assert repository.protect


def test_nobody_of_another_account_pulls_or_pushes(run: Any) -> None:
    for policy in run.of("aws:ecr/repositoryPolicy:RepositoryPolicy"):
        (statement,) = json.loads(policy.inputs["policy"])["Statement"]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "ecr:*")
        assert statement["Condition"]["StringNotEquals"] == {"aws:PrincipalAccount": ACCOUNT}
    assert len(run.of("aws:ecr/repositoryPolicy:RepositoryPolicy")) == 2


@given(st.integers(1, 1000), st.integers(1, 10_000))
def test_what_has_no_tag_goes_and_the_newest_stay(days: int, images: int) -> None:
    untagged, every = plan_lifecycle(untagged_days=days, keep_images=images)["rules"]
    assert (untagged["selection"]["tagStatus"], untagged["selection"]["countNumber"]) == ("untagged", days)
    assert (every["selection"]["tagStatus"], every["selection"]["countNumber"]) == ("any", images)
    # ECR asks for it.
    assert every["rulePriority"] > untagged["rulePriority"]


def test_every_image_is_scanned_when_it_comes(run: Any, recorded: Any) -> None:
    scanning = run.one(SCANNING).inputs
    filters = [
        {"filter": "docsearch/search", "filterType": "WILDCARD"},
        {"filter": "docsearch/ingest", "filterType": "WILDCARD"},
    ]
    assert scanning == {
        "scanType": "BASIC",
        "rules": [{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": filters}],
    }
    more = recorded(lambda: Registry("registry", args(scanning="enhanced")), outputs=OUTPUTS).one(SCANNING).inputs
    assert (more["scanType"], more["rules"][0]["scanFrequency"]) == ("ENHANCED", FREQUENCY["enhanced"])


def test_a_primary_copies_nothing_by_itself(run: Any) -> None:
    assert run.of(REPLICATION) == []


def test_a_standby_has_the_primary_copy_to_it_once_its_own_repositories_exist(recorded: Any) -> None:
    run = recorded(standby, outputs=OUTPUTS)
    replication = run.one(REPLICATION)
    assert "::peer::" in replication.provider
    (rule,) = replication.inputs["replicationConfiguration"]["rules"]
    assert rule["destinations"] == [{"region": "us-west-2", "registryId": ACCOUNT}]
    assert [each["filter"] for each in rule["repositoryFilters"]] == ["docsearch/search", "docsearch/ingest"]
    # Or ECR would make them itself, and this region's program could not.
    assert replication.depends_on >= {"registry-docsearch-search", "registry-docsearch-ingest"}
    assert all(repository.provider == "" for repository in run.of(REPOSITORY))


def test_outputs(run: Any) -> None:
    assert run.result["urls"] == dict.fromkeys(("docsearch/search", "docsearch/ingest"), "registry/docsearch")
    assert run.result["arns"]["docsearch/search"] == "arn:aws:ecr:::registry-docsearch-search"


def test_locks_are_released_on_purpose(recorded: Any) -> None:
    run = recorded(lambda: Registry("registry", args(locked=False)), outputs=OUTPUTS)
    assert all(not each.protect and each.inputs["forceDelete"] for each in run.of(REPOSITORY))


names = st.from_regex(r"[a-z0-9]+((\.|_|__|-)[a-z0-9]+)*(/[a-z0-9]+)*", fullmatch=True).filter(
    lambda x: 1 < len(x) < 99
)


@given(st.lists(names, min_size=1, max_size=5, unique=True))
def test_names_that_ecr_takes_are_taken(given_: list[str]) -> None:
    check_repositories(given_)
    assert all("/" not in plan_key(name) for name in given_)


_NAME = "a name has 2 to 256 lowercase letters, digits and .-_ between them, in parts that / separates."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"account_id": "1"}, "account_id is '1': an AWS account id is 12 digits"),
        ({"repositories": ("Docsearch",)}, f"repository is 'Docsearch': {_NAME}"),
        ({"repositories": ("a/",)}, f"repository is 'a/': {_NAME}"),
        ({"repositories": ("a",)}, f"repository is 'a': {_NAME}"),
        ({"repositories": ("aa", "aa")}, "a repository is named twice: it would be made twice. Name each once."),
        ({"repositories": ()}, "0 repositories are named: scanning and replication take 1 to 100 filters."),
        ({"untagged_days": 0}, "untagged_days is 0: a lifecycle policy of ECR counts from 1."),
        ({"keep_images": 0}, "keep_images is 0: a lifecycle policy of ECR counts from 1."),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes))
    assert str(error.value).startswith(message)


def test_a_registry_is_not_copied_onto_itself(recorded: Any) -> None:
    def program() -> None:
        args(replicate_from=RegistrySource(region="us-east-1", provider=aws.Provider("peer", region="us-east-1")))

    with pytest.raises(ArgsError) as error:
        recorded(program)
    assert str(error.value) == (
        "replicate_from is in us-east-1: a registry cannot be copied onto itself. Point the standby at the primary's "
        "region."
    )
