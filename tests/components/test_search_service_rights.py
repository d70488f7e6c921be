"""What each role of the service may do in AWS, as IAM documents."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.search_service_plan import DOCUMENT, INDEX, SEARCH, RoleSpec
from components.search_service_rights import Things, database_user, plan_migration_rights, plan_rights

THINGS = Things(
    account_id="012345678901",
    region="us-east-1",
    secrets={name: f"arn:{name}" for name in ("CURSOR_KEY_ARN", "API_KEY_PEPPER_ARN", "TENANT_TOKEN_KEY_ARN")},
    secrets_key="arn:key/secrets",
    data_key="arn:key/data",
    search="arn:domain",
    cache=("arn:cache", "arn:user"),
    ledger="arn:aws:s3:::snapshots/erasures",
)
THREE = (SEARCH, DOCUMENT, INDEX)


def rights(role: RoleSpec, things: Things = THINGS) -> dict[str, Any]:
    return {statement["Sid"]: statement for statement in plan_rights(role, things)["Statement"]}


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (
            SEARCH,
            {
                *("ReadSecrets", "DecryptSecrets", "UseSearch", "EndPointInTime"),
                *("ConnectToCache", "ConnectToDatabase", "ListErasures"),
            },
        ),
        (
            DOCUMENT,
            {
                *("ReadSecrets", "DecryptSecrets"),
                *("ConnectToCache", "ConnectToDatabase", "ListErasures"),
            },
        ),
        (
            INDEX,
            {
                *("UseSearch", "ConnectToCache", "ConnectToDatabase"),
                *("ListErasures", "NoteErasures", "UseKeyOfErasures"),
            },
        ),
    ],
)
def test_a_role_may_do_what_it_needs_and_no_more(role: RoleSpec, names: set[str]) -> None:
    assert set(rights(role)) == names


def test_a_role_reads_its_own_secrets() -> None:
    narrow = replace(DOCUMENT, secrets=("API_KEY_PEPPER_ARN", "TENANT_TOKEN_KEY_ARN"))
    assert rights(narrow)["ReadSecrets"]["Resource"] == ["arn:API_KEY_PEPPER_ARN", "arn:TENANT_TOKEN_KEY_ARN"]
    assert len(rights(SEARCH)["ReadSecrets"]["Resource"]) == len(rights(DOCUMENT)["ReadSecrets"]["Resource"]) == 3
    assert "ReadSecrets" not in rights(INDEX)


def test_only_the_index_role_writes_to_the_index() -> None:
    assert "es:ESHttpPut" in rights(INDEX)["UseSearch"]["Action"]
    searching = rights(SEARCH)
    assert not {"es:ESHttpPut", "es:ESHttpDelete", "es:ESHttpPatch"} & set(searching["UseSearch"]["Action"])
    assert searching["EndPointInTime"]["Resource"] == ["arn:domain/_search/point_in_time*"]


def test_erasures_are_looked_at_by_all_noted_by_the_index_role_and_deleted_by_nobody() -> None:
    for role in THREE:
        assert rights(role)["ListErasures"] == {
            "Sid": "ListErasures",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": ["arn:aws:s3:::snapshots"],
            "Condition": {"StringLike": {"s3:prefix": ["erasures/*"]}},
        }
        about = [one for one in rights(role).values() if any("snapshots" in where for where in one["Resource"])]
        assert not [action for one in about for action in one["Action"] if "Delete" in action]
    noted = rights(INDEX)["NoteErasures"]
    assert noted["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert noted["Resource"] == ["arn:aws:s3:::snapshots/erasures/*"]
    assert rights(INDEX)["UseKeyOfErasures"]["Resource"] == ["arn:key/data"]


def test_keys_can_be_used_through_one_service_only() -> None:
    for role in THREE:
        for statement in rights(role).values():
            if any(action.startswith("kms:") for action in statement["Action"]):
                assert statement["Condition"]["StringEquals"]["kms:ViaService"].endswith(".us-east-1.amazonaws.com")


def test_each_role_is_a_user_of_its_own_in_the_database() -> None:
    assert [database_user(role) for role in THREE] == ["docsearch_search", "docsearch_document", "docsearch_index"]
    assert rights(SEARCH)["ConnectToDatabase"]["Resource"] == [
        "arn:aws:rds-db:us-east-1:012345678901:dbuser:*/docsearch_search"
    ]


@given(role=st.sampled_from(THREE))
def test_no_right_is_over_everything(role: RoleSpec) -> None:
    for statement in plan_rights(role, THINGS)["Statement"]:
        assert statement["Resource"]
        assert "*" not in statement["Resource"]
        assert not [action for action in statement["Action"] if "*" in action]


def test_a_migration_may_be_owner_and_master_and_nothing_of_what_roles_may() -> None:
    things = replace(THINGS, database_owner="arn:owner", search_master="arn:master")
    document = plan_migration_rights("docsearch_index", things)
    found = {statement["Sid"]: statement for statement in document["Statement"]}
    assert set(found) == {"ReadSecrets", "DecryptSecrets", "ConnectToDatabase", "BecomeMasterOfSearch"}
    assert found["ReadSecrets"]["Resource"] == ["arn:owner"]
    assert found["ConnectToDatabase"]["Resource"] == ["arn:aws:rds-db:us-east-1:012345678901:dbuser:*/docsearch_index"]
    # EKS Pod Identity's tags are handed on to the role that is taken.
    assert found["BecomeMasterOfSearch"]["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert found["BecomeMasterOfSearch"]["Resource"] == ["arn:master"]


def test_a_migration_where_the_database_is_a_replica_reads_no_secret() -> None:
    (statement,) = plan_migration_rights("docsearch_index", THINGS)["Statement"]
    assert statement["Sid"] == "ConnectToDatabase"


def test_what_the_region_does_not_have_gives_no_right() -> None:
    bare = Things(
        account_id="012345678901",
        region="us-east-1",
        secrets={},
        secrets_key="arn:key",
        data_key="arn:key",
    )
    assert set(rights(SEARCH, bare)) == {"ConnectToDatabase"}
