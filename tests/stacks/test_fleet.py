from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.config import StackConfig
from stacks.fleet import check_fleet, read_fleet, stack_file
from stacks.stack_file import Problem, StackFileError

Write = Callable[..., Path]
Fleet = Callable[..., dict[str, StackConfig]]

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fleet(write: Write) -> Fleet:
    """Reads a fleet of changed stacks: `fleet(prod={}, dr={"network.cidr": "10.0.0.0/16"})`."""

    def fleet(**stacks: dict[str, Any]) -> dict[str, StackConfig]:
        return {name: StackConfig.parse(write(name, changes)) for name, changes in stacks.items()}

    return fleet


def disagreements(configs: dict[str, StackConfig]) -> dict[str, Problem]:
    with pytest.raises(StackFileError) as caught:
        check_fleet(configs)
    return {problem.key: problem for problem in caught.value.problems}


EUROPE = {
    "region": "eu-west-1",
    "failover": False,
    "network.cidr": "10.2.0.0/16",
    "network.zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"],
    **{
        key: "registry.example.com/image@sha256:" + "0" * 64
        for key, _ in read_fleet(Path(__file__).resolve().parents[2])["dr"].images()
    },
    "database.maintenance_window": "fri:09:00-fri:10:00",
}


def third(write: Write, **changes: Any) -> StackConfig:
    """A further standby, as somebody would write it: a copy of dr's file."""
    file = write("dr", EUROPE | changes)
    return StackConfig.parse(file.rename(file.with_name("Pulumi.eu.yaml")))


def test_the_shipped_stacks_are_a_fleet() -> None:
    assert {name: config.role for name, config in read_fleet(PROJECT).items()} == {"prod": "primary", "dr": "standby"}


def test_a_stacks_file_is_found_by_name() -> None:
    assert stack_file(PROJECT, "prod").is_file()


def test_a_third_region_is_one_more_file(write: Write, fleet: Fleet) -> None:
    check_fleet(fleet(prod={}, dr={}) | {"eu": third(write)})


@pytest.mark.parametrize(
    ("dr", "key", "values", "reason"),
    [
        ({"network.cidr": "10.0.0.0/16"}, "network.cidr", "10.0.0.0/16", "overlap"),
        ({"account_id": "210987654321"}, "account_id", "123456789012 and 210987654321", "one account"),
        ({"domain": "other.example.com"}, "domain", "docsearch.example.com and other.example.com", "one zone"),
        (
            {"database.maintenance_window": "sun:09:59-sun:11:00"},
            "database.maintenance_window",
            "sun:09:00-sun:10:00 and sun:09:59-sun:11:00",
            "at the same time",
        ),
        ({"peer": "prd"}, "peer", "prd", "no Pulumi.prd.yaml"),
        ({"peer": "dr"}, "peer", "dr", "not another standby"),
        ({"database.engine_version": "17.10"}, "database.engine_version", "17.10 and 17.11", "upgraded before it"),
        ({"database.engine_version": "18.6"}, "database.engine_version", "18.6 and 17.11", "major version"),
        ({"database.primary.allocated_gib": 1023}, "database.primary.allocated_gib", "1023 and 1024", "full before"),
        (
            {"database.primary.max_allocated_gib": 2048},
            "database.primary.max_allocated_gib",
            "2048 and 4096",
            "full before",
        ),
        (
            {"database.primary.instance_class": "db.m7g.2xlarge"},
            "database.primary.instance_class",
            "db.m7g.2xlarge and db.m7g.4xlarge",
            "after promotion",
        ),
        (
            {"opensearch.engine_version": "OpenSearch_3.1"},
            "opensearch.engine_version",
            "OpenSearch_3.1 and OpenSearch_3.3",
            "upgraded before it",
        ),
        ({"cache.engine_version": "9.0"}, "cache.engine_version", "9.0 and 8.2", "members of a Global Datastore"),
        ({"cache.shards": 4}, "cache.shards", "4 and 3", "members of a Global Datastore"),
        (
            {"opensearch.service_linked_role": True},
            "opensearch.service_linked_role",
            "true",
            "two stacks would make it",
        ),
        # As much memory, fewer vCPUs.
        (
            {"database.primary.instance_class": "db.r7g.2xlarge"},
            "database.primary.instance_class",
            "",
            "after promotion",
        ),
    ],
)
def test_regions_that_disagree_are_refused_at_the_key(
    fleet: Fleet, dr: Any, key: str, values: str, reason: str
) -> None:
    found = disagreements(fleet(prod={}, dr=dr))
    assert list(found) == [key]
    assert values in found[key].value
    assert reason in found[key].reason
    assert "Pulumi.dr.yaml" in found[key].file


def test_two_standbys_that_would_both_take_the_writes_are_refused(write: Write, fleet: Fleet) -> None:
    configs = fleet(prod={}, dr={}) | {"eu": third(write, failover=True)}
    problem = disagreements(configs)["failover"]
    assert "writes fail over to one standby" in problem.reason
    assert "Pulumi.dr.yaml and Pulumi.eu.yaml" in str(problem)


def test_overlapping_networks_name_both_files(fleet: Fleet) -> None:
    with pytest.raises(StackFileError) as caught:
        check_fleet(fleet(prod={}, dr={"network.cidr": "10.0.0.0/16"}))
    assert str(caught.value) == (
        "Pulumi.prod.yaml and Pulumi.dr.yaml: network.cidr is 10.0.0.0/16: "
        "the networks overlap, so no route between the regions can tell them apart. Give each its own /16."
    )


def test_a_peer_that_is_misspelt_is_suggested(fleet: Fleet) -> None:
    assert disagreements(fleet(prod={}, dr={"peer": "prd"}))["peer"].remedy == "Perhaps `prod` is meant"


def test_a_standby_in_the_primarys_region_is_refused(write: Write, fleet: Fleet) -> None:
    same = {"region": "us-east-1", "network.zones": ["us-east-1d", "us-east-1e", "us-east-1f"]}
    found = disagreements(fleet(prod={}) | {"eu": third(write, **same)})
    assert list(found) == ["region"]
    assert found["region"].value == "us-east-1"


def test_two_primaries_are_refused(fleet: Fleet) -> None:
    here = {"region": "us-east-1", "network.zones": ["us-east-1a", "us-east-1b", "us-east-1c"]}
    images = {key: value for key, value in EUROPE.items() if key.endswith(("image", "controller", "autoscaler"))}
    found = disagreements(fleet(prod={}, dr={"role": "primary", "peer": ..., **here, **images}))
    assert found["role"].file == "Pulumi.prod.yaml and Pulumi.dr.yaml"
    assert "two primaries" in found["role"].reason


def test_a_standby_takes_over_from_a_primary_that_is_out(fleet: Fleet) -> None:
    configs = fleet(prod={"serving": False}, dr={"promoted": True})
    check_fleet(configs)
    assert {name: config.takes_writes for name, config in configs.items()} == {"prod": False, "dr": True}
    check_fleet(fleet(prod={"serving": False}, dr={}))


def test_two_regions_that_take_writes_are_refused(fleet: Fleet) -> None:
    found = disagreements(fleet(prod={}, dr={"promoted": True}))
    assert list(found) == ["promoted"]
    assert found["promoted"].file == "Pulumi.prod.yaml and Pulumi.dr.yaml"
    assert "never meet" in found["promoted"].reason
    assert found["promoted"].remedy == "Write `serving: false` in Pulumi.prod.yaml, or promote none"


@pytest.mark.parametrize("change", [{"failover": False}, {"serving": False}])
def test_a_standby_that_nobody_writes_to_is_not_promoted(fleet: Fleet, change: dict[str, Any]) -> None:
    with pytest.raises(StackFileError, match="no user is sent here to write"):
        fleet(prod={"serving": False}, dr={"promoted": True, **change})


def test_a_standby_alone_is_refused(fleet: Fleet) -> None:
    found = disagreements(fleet(dr={}))
    assert set(found) == {"role", "peer"}
    assert "no stack takes the writes" in found["role"].reason


def test_no_stack_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackFileError, match="no stack takes the writes"):
        read_fleet(tmp_path)


def test_a_standby_of_a_standby_is_refused(write: Write, fleet: Fleet) -> None:
    found = disagreements(fleet(prod={}, dr={}) | {"eu": third(write, peer="dr")})
    assert list(found) == ["peer"]
    assert "not another standby" in found["peer"].reason


def test_a_standby_may_be_newer_and_larger(fleet: Fleet) -> None:
    larger = {
        "database.primary.instance_class": "db.r7g.4xlarge",
        "database.primary.allocated_gib": 2048,
        "database.primary.max_allocated_gib": 8192,
    }
    check_fleet(fleet(prod={"database.engine_version": "17.10"}, dr=larger))


def test_all_disagreements_are_told_at_once(fleet: Fleet) -> None:
    changes = {"network.cidr": "10.0.0.0/16", "domain": "a.example.com", "database.engine_version": "16.15"}
    assert set(disagreements(fleet(prod={}, dr=changes))) == {"network.cidr", "domain", "database.engine_version"}


def test_problems_of_all_files_are_told_before_those_between_them(write: Write) -> None:
    write("prod", {"locked": "true"})
    file = write("dr", {"region": "nowhere", "network.cidr": "10.0.0.0/16"})
    with pytest.raises(StackFileError) as caught:
        read_fleet(file.parent)
    assert [(p.file, p.key) for p in caught.value.problems] == [
        ("Pulumi.dr.yaml", "region"),
        ("Pulumi.prod.yaml", "locked"),
    ]


@given(prod=st.integers(0, 255), dr=st.integers(0, 255))
def test_networks_are_refused_exactly_when_they_overlap(prod: int, dr: Any) -> None:
    def with_cidr(stack: str, second: int) -> StackConfig:
        config = StackConfig.parse(stack_file(PROJECT, stack))
        return StackConfig.model_validate_json(
            config.model_copy(
                update={"network": config.network.model_copy(update={"cidr": f"10.{second}.0.0/16"})}
            ).model_dump_json(warnings=False)
        )

    configs = {"prod": with_cidr("prod", prod), "dr": with_cidr("dr", dr)}
    if prod == dr:
        assert list(disagreements(configs)) == ["network.cidr"]
    else:
        check_fleet(configs)
