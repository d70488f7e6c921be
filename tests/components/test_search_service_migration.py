"""The Job that goes before all pods: what it is called, and what of it may change."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from components.search_service_migration import (
    DATABASE_USER,
    DEADLINE_SECONDS,
    RETRIES,
    plan_environment,
    plan_job,
    plan_let_in,
    plan_migrations,
    plan_network_policy,
)
from components.search_service_plan import DOCUMENT, INDEX, SEARCH, Candidate
from components.search_service_rights import database_user

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
IMAGES = DIGESTS.map(lambda digest: f"registry/docsearch@sha256:{digest}")
ONE = f"registry/docsearch@sha256:{'0a' * 32}"


@given(image=IMAGES, tried=st.lists(st.none() | IMAGES, min_size=3, max_size=3))
def test_each_image_is_migrated_once_and_by_a_job_of_its_own_name(image: str, tried: list[str | None]) -> None:
    roles = [
        replace(role, candidate=Candidate(image=its) if its else None)
        for role, its in zip((SEARCH, DOCUMENT, INDEX), tried, strict=True)
    ]
    found = plan_migrations(image, roles)
    assert [one.image for one in found] == [*dict.fromkeys([image, *filter(None, tried)])]
    assert found[0].key == "migrate"
    assert len({one.key for one in found}) == len({one.name for one in found}) == len(found)
    for one in found:
        assert len(one.name) <= 63
        assert one.name == f"{one.key}-{one.image[-64:][:12]}"


@given(one=IMAGES, other=IMAGES)
def test_the_name_of_a_job_changes_with_its_image_and_its_logical_name_never(one: str, other: str) -> None:
    (first,), (second,) = plan_migrations(one, ()), plan_migrations(other, ())
    assert first.key == second.key
    assert (first.name == second.name) == (one[-64:][:12] == other[-64:][:12])


def test_a_candidate_that_becomes_the_image_has_a_job_of_another_name() -> None:
    """Both are there for a moment: the new Job of the image is made before that of the candidate goes."""
    next_ = ONE.replace("0a", "0b")
    during = plan_migrations(ONE, [replace(SEARCH, candidate=Candidate(image=next_))])
    after = plan_migrations(next_, [SEARCH])
    assert not {one.name for one in during} & {one.name for one in after}


def test_where_the_database_is_a_replica_nobody_is_its_owner() -> None:
    def told(*given: Any) -> dict[str, Any]:
        return {one["name"]: one["value"] for one in plan_environment(*given)}  # type: ignore[misc]

    assert told(None, "", {"OPENSEARCH_READER_ARNS": "arn:search"}) == {"DATABASE_POOL_MIN": "0"}
    assert told("arn:owner", "arn:master", {"OPENSEARCH_READER_ARNS": "arn:search"}) == {
        "DATABASE_POOL_MIN": "0",
        "DATABASE_USER": "docsearch_admin",
        "DATABASE_PASSWORD_ARN": "arn:owner",
        "OPENSEARCH_ROLE_ARN": "arn:master",
        "OPENSEARCH_READER_ARNS": "arn:search",
    }


def test_who_is_let_into_the_index_is_who_has_rights_there() -> None:
    let_in = plan_let_in((SEARCH, DOCUMENT, INDEX))
    assert let_in == {"OPENSEARCH_READER_ARNS": ["search"], "OPENSEARCH_WRITER_ARNS": ["index"]}
    assert plan_let_in((DOCUMENT,)) == {}


def test_it_logs_in_besides_as_a_user_that_a_role_has() -> None:
    assert database_user(INDEX) == DATABASE_USER


def test_a_job_ends_and_its_failures_are_kept() -> None:
    (migration,) = plan_migrations(ONE, ())
    job: Any = plan_job(migration, [], "s")
    assert (job["backoff_limit"], job["active_deadline_seconds"]) == (RETRIES, DEADLINE_SECONDS)
    assert job["template"]["spec"]["restart_policy"] == "Never"
    # The waits between attempts double from 10 s on, to 6 minutes at most.
    assert sum(min(10 * 2**attempt, 360) for attempt in range(RETRIES)) < DEADLINE_SECONDS


def test_nobody_calls_it_and_it_opens_the_database_alone() -> None:
    policy: Any = plan_network_policy("10.0.0.0/16")
    assert policy["ingress"] == []
    (rule,) = policy["egress"]
    assert rule == {"to": [{"ip_block": {"cidr": "10.0.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 5432}]}
    assert policy["policy_types"] == ["Ingress", "Egress"]
