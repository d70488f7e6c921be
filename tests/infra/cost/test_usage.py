"""The usage file: what it says, and how it says what is wrong with it."""

from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import ConfigError
from infra.cost import usage
from infra.cost.model import Range
from infra.cost.usage import DEFAULT
from tests.regions import STACKS, plan

GIVEN: dict[str, Any] = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))


def written(folder: Path, change: Any = None, text: str = "") -> Path:
    """A usage file: the project's own with something changed, or a text."""
    file = folder / "usage.yaml"
    if not text:
        data = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
        change(data)
        text = yaml.safe_dump(data)
    file.write_text(text, encoding="utf-8")
    return file


def wrong(folder: Path, path: str, value: Any) -> str:
    """What is said of a value at a path."""

    def change(data: dict[str, Any]) -> None:
        *above, last = path.split("/")
        for key in above:
            data = data[key]
        data[last] = value

    with pytest.raises(ConfigError) as error:
        usage.load(written(folder, change))
    return str(error.value)


def test_a_number_is_the_same_figure_in_every_case() -> None:
    assert usage.load().of("prod").load.document_kb == Range.of(5000)


def test_a_figure_with_bounds_is_read_exactly() -> None:
    assert usage.load().of("prod").load.searches_per_second == Range(Decimal(150), Decimal(500), Decimal(1000))
    assert usage.load().of("prod").database.monitoring_gb.expected == Decimal("0.3")


def test_a_stack_says_only_what_differs() -> None:
    its, all_ = usage.load().of("dr"), usage.load().all
    assert its.load.documents_per_second == Range.of(0)
    assert its.load.searches_per_second == all_.load.searches_per_second
    assert its.buckets["storage-documents"].stored_gb == all_.buckets["storage-documents"].stored_gb
    assert its.buckets["storage-documents"].replicated_gb != all_.buckets["storage-documents"].replicated_gb


def test_a_stack_that_is_not_named_has_what_holds_for_all() -> None:
    assert usage.load().of("another") == usage.load().all


def test_the_requirement_figures_are_the_defaults() -> None:
    """Section 8: 10 TB sent, 50 TB of S3, 500 GB of logs, all in both regions together or in the first."""
    prod, dr = usage.load().of("prod"), usage.load().of("dr")
    assert (prod.traffic.internet_out_gb + dr.traffic.internet_out_gb).expected == 10 * 1024
    assert prod.buckets["storage-documents"].stored_gb.expected == 50 * 1024
    assert prod.compute.spot_saving == Decimal("0.70")
    assert prod.load.cache_hit_rate == Decimal("0.70")
    searches = prod.load.searches_per_second + dr.load.searches_per_second
    assert searches.expected == 1000
    logs = Range()
    for stack in STACKS:
        for change in plan(stack).changes:
            if change.type == "aws:cloudwatch/logGroup:LogGroup":
                found = usage.load().of(stack).logs.of(change.name)
                assert found is not None, change.name
                logs += found
    assert abs(logs.expected - 500) < 1


def test_what_the_usage_file_names_is_in_a_plan() -> None:
    """A figure of a resource that is gone, or was renamed, would be left lying."""
    names = {(change.type, change.name) for stack in STACKS for change in plan(stack).changes}
    all_ = usage.load().all
    stacks = [usage.load().of(stack) for stack in STACKS]
    assert {("aws:s3/bucket:Bucket", name) for name in all_.buckets} <= names
    for figures in stacks:
        assert {("aws:backup/plan:Plan", name) for name in figures.backup.plans} <= names
        tested = "aws:backup/restoreTestingSelection:RestoreTestingSelection"
        assert {(tested, name) for name in figures.backup.restored_gb} <= names
    groups = [name for type_, name in names if type_ == "aws:cloudwatch/logGroup:LogGroup"]
    for pattern in all_.logs.ingested_gb:
        assert any(fnmatchcase(group, pattern) for group in groups), pattern


def test_what_a_standby_takes_from_its_primary_is_as_in_the_primary() -> None:
    peer = usage.load().of("dr").peer
    assert peer is not None
    assert peer.database is not None
    assert peer.cache is not None
    (database,) = (
        change.inputs
        for change in plan("prod").changes
        if change.type == "aws:rds/instance:Instance" and "allocatedStorage" in change.inputs
    )
    (cache,) = (
        change.inputs
        for change in plan("prod").changes
        if change.type == "aws:elasticache/replicationGroup:ReplicationGroup"
    )
    assert peer.region == plan("prod").region
    assert (peer.database.engine, peer.database.allocated_gib) == (database["engine"], database["allocatedStorage"])
    assert (peer.cache.engine, peer.cache.node_type, peer.cache.shards) == (
        cache["engine"],
        cache["nodeType"],
        cache["numNodeGroups"],
    )


def test_a_log_group_is_found_by_its_name_before_a_pattern() -> None:
    logs = (
        usage.load()
        .of("prod")
        .logs.model_copy(update={"ingested_gb": {"data*": Range.of(1), "database": Range.of(2), "*": Range.of(3)}})
    )
    assert [logs.of(name) for name in ("database", "database-2", "other")] == [Range.of(2), Range.of(1), Range.of(3)]


def test_growth_multiplies_what_grows_and_nothing_else() -> None:
    its, grown = usage.load().of("prod"), usage.load().grown(searches=Decimal(10), documents=Decimal(3)).of("prod")
    assert grown.load.searches_per_second == its.load.searches_per_second * 10
    assert grown.buckets["storage-documents"].stored_gb == its.buckets["storage-documents"].stored_gb * 3
    assert grown.logs.ingested_gb["waf"] == its.logs.ingested_gb["waf"] * 10
    assert grown.backup.restored_gb["backup-restore-documents"].expected == 3 * 51200
    assert grown.load.document_kb == its.load.document_kb
    assert grown.compute == its.compute
    assert grown.peer == its.peer


@pytest.mark.parametrize("value", [0, 0.5, 7, {"min": 0, "expected": 0, "max": 0}, {"min": 1, "expected": 2, "max": 3}])
def test_good_figures_are_taken(tmp_path: Path, value: Any) -> None:
    def change(data: dict[str, Any]) -> None:
        data["all"]["traffic"]["endpoints_gb"] = value

    assert usage.load(written(tmp_path, change)).all.traffic.endpoints_gb.min in {0, 1, 7, Decimal("0.5")}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (-1, "is negative"),
        ({"min": -1, "expected": 2, "max": 3}, "is negative"),
        (1e12, "is more than 100,000,000, which nothing here comes to"),
        ({"min": 3, "expected": 2, "max": 4}, "is not in order: min <= expected <= max"),
        ({"min": 1, "expected": 5, "max": 4}, "is not in order: min <= expected <= max"),
        ({"min": 1, "max": 4}, "has other keys than `min`, `expected` and `max`, or not all of them"),
        ({"min": 1, "expected": 2, "max": 4, "most": 5}, "has other keys than `min`, `expected` and `max`"),
        ("7", "is not a number, or `min`, `expected` and `max`"),
        (True, "is not a number, or `min`, `expected` and `max`"),
        ([1], "is not a number, or `min`, `expected` and `max`"),
        (None, "is empty"),
        ({"min": 1, "expected": "2", "max": 4}, "is not a number, or `min`, `expected` and `max`"),
    ],
)
def test_a_figure_that_cannot_be_is_refused_with_its_place(tmp_path: Path, value: Any, reason: str) -> None:
    said = wrong(tmp_path, "all/traffic/nat_gb", value)
    assert reason in said
    assert "usage.yaml:" in said
    assert "all.traffic.nat_gb" in said
    assert "Expected: data through all NAT gateways, both ways (in GB a month)" in said


def test_an_unknown_key_is_refused_with_what_may_be_meant(tmp_path: Path) -> None:
    said = wrong(tmp_path, "all/traffic/nat_bg", 1)
    assert "all.traffic.nat_bg is 1: there is no such key. Perhaps `nat_gb` is meant" in said


def test_an_unknown_key_of_a_map_value_is_refused(tmp_path: Path) -> None:
    said = wrong(tmp_path, "all/buckets/storage-logs/stored", 1)
    assert "all.buckets.storage-logs.stored is 1: there is no such key. Perhaps `stored_gb` is meant" in said


def test_a_figure_of_a_map_says_what_is_expected(tmp_path: Path) -> None:
    said = wrong(tmp_path, "all/logs/ingested_gb/waf", -3)
    assert "all.logs.ingested_gb.waf is -3" in said
    assert "what is written, by the log group's logical name" in said


@pytest.mark.parametrize("value", [1.01, -0.1, "0.7", {"min": 0, "expected": 0, "max": 1}])
def test_a_share_is_from_0_to_1(tmp_path: Path, value: Any) -> None:
    assert "all.load.cache_hit_rate" in wrong(tmp_path, "all/load/cache_hit_rate", value)


def test_what_is_wrong_for_all_is_said_once(tmp_path: Path) -> None:
    said = wrong(tmp_path, "all/traffic/nat_gb", -1)
    assert said.count("nat_gb") == 1


def test_what_is_wrong_in_a_stack_is_said_there(tmp_path: Path) -> None:
    said = wrong(tmp_path, "stacks/dr/load", {"documents_per_second": -1})
    assert "stacks.dr.load.documents_per_second is -1: is negative" in said


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    said = wrong(tmp_path, "all/traffic/nat_out_gb", 5000)
    assert "all.traffic.nat_out_gb is 5000: is more than goes through the NAT gateways" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("all: [1]", "all is [1]: is not a group of keys"),
        ("", "is empty"),
        ("all: {load: {", "is not YAML"),
        ("stacks: {}", "all: is required and missing"),
        ("- 1", "is not a group of keys"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "usage.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"usage\.yaml") as error:
        usage.load(file)
    assert reason in str(error.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"usage\.yaml: cannot be read"):
        usage.load(tmp_path / "usage.yaml")
