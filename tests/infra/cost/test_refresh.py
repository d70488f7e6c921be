"""What is asked of AWS's price list, what is taken from its answers, and what keeps its price and its date."""

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ConfigError, DocsearchError
from infra.cost import prices, refresh
from infra.cost.model import Confidence, Price
from infra.cost.price_list import RefusedError, pick, question
from infra.cost.prices import Bounds, Snapshot
from infra.cost.refresh import SOURCE, renew
from tests.infra.cost.answers import ATTRIBUTES, M5, PriceList, m5, out, product

TODAY = date(2026, 12, 24)

OUT = "internet-out"


@pytest.fixture
def aws() -> Iterator[PriceList]:
    price_list = PriceList()
    yield price_list
    price_list.stub.assert_no_pending_responses()


def price(service: str, sku: str, usd: str, unit: str = "Hrs", region: str = "us-east-1") -> Price:
    return Price(service, sku, region, unit, Decimal(usd), "2026-07", "a list", Confidence.DERIVED, "from a bill")


def snapshot(*listed: Price, about: str = "") -> Snapshot:
    return Snapshot(
        date(2026, 11, 28),
        {(each.service, each.sku, each.region): each for each in listed},
        {(each.service, each.sku): about for each in listed} if about else {},
        {"list": "a list"},
    )


ONE = snapshot(price("AmazonEC2", M5, "0.192"))

TIERS = snapshot(
    *(
        price("AWSDataTransfer", f"{OUT}:{tier}", usd, "GB")
        for tier, usd in (
            ("first-10TB", "0.09"),
            ("next-40TB", "0.085"),
            ("next-100TB", "0.07"),
            ("over-150TB", "0.05"),
        )
    )
)


def asked_for(aws: PriceList, *products: str, had: Snapshot = ONE) -> refresh.Renewal:
    (service, sku, region), *_ = had.prices
    aws.answers(service, sku, region, list(products))
    return refresh.refresh(had, aws.client, TODAY)


def why_kept(renewal: refresh.Renewal) -> str:
    assert renewal.changes == ()
    (kept,) = renewal.kept
    assert kept.price in renewal.snapshot.prices.values()
    assert kept.price.as_of == "2026-07"
    return kept.why


# Found


def test_a_price_that_is_found_gets_the_day_and_the_product_that_it_was_read_from(aws: PriceList) -> None:
    renewal = asked_for(aws, m5("0.2016000000"), had=snapshot(price("AmazonEC2", M5, "0.192"), about="on demand"))
    (change,) = renewal.changes
    assert change.new == Price(
        "AmazonEC2",
        M5,
        "us-east-1",
        "Hrs",
        Decimal("0.2016"),
        "2026-12-24",
        SOURCE[1],
        Confidence.EXACT,
        "on demand; AWS SKU AAAA",
    )
    assert str(change) == f"AmazonEC2 {M5} us-east-1: 0.192 -> 0.2016 per Hrs (+5.0%)"
    assert renewal.snapshot.day == TODAY
    assert (renewal.read, renewal.kept) == (1, ())


def test_a_price_that_is_the_same_is_no_change_and_is_of_today(aws: PriceList) -> None:
    renewal = asked_for(aws, m5("0.1920000000"))
    assert renewal.changes == ()
    assert [each.as_of for each in renewal.snapshot.prices.values()] == ["2026-12-24"]


def test_every_page_is_read(aws: PriceList) -> None:
    aws.answers("AmazonEC2", M5, "us-east-1", [m5("0.3", capacitystatus="UnusedCapacityReservation")], [m5("0.2")])
    renewal = refresh.refresh(ONE, aws.client, TODAY)
    assert [f"{change.new.usd}" for change in renewal.changes] == ["0.2"]


def test_each_tier_takes_its_own_range_from_one_answer(aws: PriceList) -> None:
    renewal = asked_for(aws, out("0.09", "0.08", "0.06", "0.04"), had=TIERS)
    assert [(change.new.sku, f"{change.new.usd}") for change in renewal.changes] == [
        ("internet-out:next-40TB", "0.08"),
        ("internet-out:next-100TB", "0.06"),
        ("internet-out:over-150TB", "0.04"),
    ]


def test_ranges_that_were_moved_are_refused(aws: PriceList) -> None:
    moved = asked_for(aws, out("0.09", "0.085", "0.05", ends=("10240", "61440", "Inf")), had=TIERS)
    assert [kept.price.sku for kept in moved.kept] == [f"{OUT}:next-40TB", f"{OUT}:next-100TB", f"{OUT}:over-150TB"]
    assert moved.kept[0].why == "OUT has no range 10240 to 51200; it has 0 to 10240, 10240 to 61440, 61440 to Inf"


def test_prices_of_one_thing_are_read_as_prices_of_our_unit(aws: PriceList) -> None:
    had = snapshot(price("awskms", "requests:symmetric", "0.03", "10000 requests"))
    ranges = {("0", "20000"): "0.0000000000", ("20000", "Inf"): "0.0000040000"}
    answer = product("KMS", "us-east-1-KMS-Requests", ranges, unit="Requests", regionCode="us-east-1")
    (change,) = asked_for(aws, answer, had=had).changes
    assert change.new.usd == Decimal("0.04")


def test_bounds_are_compared_in_the_units_of_the_price_list(aws: PriceList) -> None:
    zones = [
        price("AmazonRoute53", f"queries:standard:{tier}", usd, "1M queries")
        for tier, usd in (("first-1B", "0.4"), ("over-1B", "0.2"))
    ]
    ranges = {("0", "1000000000"): "0.0000004000", ("1000000000", "Inf"): "0.0000003000"}
    answer = product("DNS", "DNS-Queries", ranges, unit="Queries", family="DNS Query", routingType="Standard")
    (change,) = asked_for(aws, answer, had=snapshot(*zones)).changes
    assert (change.new.sku, change.new.usd) == ("queries:standard:over-1B", Decimal("0.3"))


def test_throughput_that_aws_lists_by_the_gib_is_ours_by_the_mib(aws: PriceList) -> None:
    had = snapshot(price("AmazonEC2", "ebs:gp3:throughput", "0.05", "MiBps-Mo"))
    answer = product(
        "EBS",
        "EBS:VolumeP-Throughput.gp3",
        {("0", "Inf"): "40.9600000000"},
        unit="GiBps-mo",
        family="Provisioned Throughput",
        regionCode="us-east-1",
        volumeApiName="gp3",
    )
    (change,) = asked_for(aws, answer, had=had).changes
    assert f"{change.new.usd}" == "0.04"


def test_the_same_filters_are_asked_once(aws: PriceList) -> None:
    had = snapshot(price("AWSELB", "alb:hour", "0.0225"), price("AWSELB", "alb:lcu", "0.008", "LCU-Hrs"))
    family = {"family": "Load Balancer-Application", "regionCode": "us-east-1"}
    hour = product("HOUR", "LoadBalancerUsage", {("0", "Inf"): "0.0225"}, **family)
    lcu = product("LCU", "LCUUsage", {("0", "Inf"): "0.008"}, unit="LCU-Hrs", **family)
    assert asked_for(aws, hour, lcu, had=had).read == 2


def test_products_that_agree_are_one_answer(aws: PriceList) -> None:
    assert asked_for(aws, m5("0.2", "BBBB"), m5("0.2", "AAAA")).changes[0].new.note == "AWS SKU AAAA"


# Not found, or not to be trusted


def test_a_price_that_is_not_there_keeps_its_date_and_is_named(aws: PriceList) -> None:
    renewal = asked_for(aws)
    assert str(renewal.kept[0]) == (
        f"AmazonEC2 {M5} us-east-1 stays 0.192 of 2026-07: the price list has no such product"
    )
    assert why_kept(renewal) == "the price list has no such product"
    assert renewal.snapshot.prices == ONE.prices


def test_products_that_disagree_are_ambiguous(aws: PriceList) -> None:
    assert why_kept(asked_for(aws, m5("0.2", "BBBB"), m5("0.3", "AAAA"))) == (
        "2 products match at different prices: AAAA, BBBB"
    )


def test_a_product_that_was_not_asked_for_is_passed_over(aws: PriceList) -> None:
    assert why_kept(asked_for(aws, m5("0.2", tenancy="Dedicated"))) == "the price list has no such product"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (m5("1.4", currency="CNY"), "AAAA is priced in CNY, not in USD"),
        (
            m5("0.2", unit="Quantity"),
            "AAAA is priced per 'Quantity', which is not the unit that the snapshot counts in",
        ),
        (m5("-0.2"), "AAAA costs -0.2"),
        (m5("NaN"), "AAAA costs NaN"),
        (m5("free"), "AAAA has no on-demand price that can be read"),
        (m5("0.9"), "AAAA costs 0.9, too far from 0.192 to be the same thing"),
        (m5("0"), "AAAA costs 0, too far from 0.192 to be the same thing"),
        (
            product(
                "AAAA",
                "BoxUsage:m5.xlarge",
                {("0", "5"): "1", ("5", "Inf"): "2"},
                regionCode="us-east-1",
                **ATTRIBUTES["m5"],
            ),
            "AAAA is charged by volume, which the snapshot does not expect: 0 to 5, 5 to Inf",
        ),
        ("{", "the answer has an entry that is no product: '{'"),
        ("[]", "the answer has an entry that is no product: '[]'"),
        ('{"product": {}}', "the answer has an entry that is no product: '{\"product\": {}}'"),
        (json.dumps({**json.loads(m5("1")), "terms": {}}), "AAAA has no on-demand price that can be read"),
        (json.dumps({**json.loads(m5("1")), "terms": {"OnDemand": {}}}), "AAAA has 0 on-demand terms"),
    ],
)
def test_an_answer_that_is_no_price_is_refused_with_the_reason(aws: PriceList, answer: str, why: str) -> None:
    assert why_kept(asked_for(aws, answer)) == why


def test_what_is_not_asked_for_says_why() -> None:
    had = snapshot(price("AWSCertificateManager", "certificate:public", "0", "Certificate"))
    assert why_kept(refresh.refresh(had, None, TODAY)) == "it is free, and the price list has no product for it"


def test_one_region_can_be_renewed_without_the_other(aws: PriceList) -> None:
    had = snapshot(price("AmazonEC2", M5, "0.192"), price("AmazonEC2", M5, "0.192", region="us-west-2"))
    aws.answers("AmazonEC2", M5, "us-east-1", [m5("0.2")])
    aws.answers("AmazonEC2", M5, "us-west-2", [])
    renewal = refresh.refresh(had, aws.client, TODAY)
    assert [(each.region, f"{each.usd}", each.as_of) for each in renewal.snapshot.prices.values()] == [
        ("us-east-1", "0.2", "2026-12-24"),
        ("us-west-2", "0.192", "2026-07"),
    ]


@given(st.decimals("0.0001", "10000", places=4), st.decimals("0.0001", "10000", places=4))
def test_a_price_is_either_taken_as_it_is_or_kept_as_it_was(old: Decimal, new: Decimal) -> None:
    asked = question("AmazonEC2", M5, "us-east-1")
    assert asked is not None
    assert pick(asked, [m5(f"{new}")], None).usd == new
    price_list = PriceList()
    renewal = asked_for(price_list, m5(f"{new}"), had=snapshot(price("AmazonEC2", M5, f"{old}")))
    (now,) = renewal.snapshot.prices.values()
    assert (now.usd, now.as_of) == ((old, "2026-07") if renewal.kept else (new, "2026-12-24"))
    assert bool(renewal.kept) == (new > 4 * old or old > 4 * new)


# AWS does not answer


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AccessDeniedException", "Allow the caller `pricing:GetProducts` on `*`"),
        ("ThrottlingException", "Run it again later; it asks slowly, but others of the account may not"),
        ("InternalErrorException", "See that this shell reaches AWS and its credentials are valid"),
    ],
)
def test_an_error_of_aws_ends_the_renewal(aws: PriceList, code: str, remedy: str) -> None:
    aws.stub.add_client_error("get_products", code, "no", http_status_code=400)
    with pytest.raises(DocsearchError) as error:
        refresh.refresh(ONE, aws.client, TODAY)
    assert str(error.value) == (
        f"AWS's price list does not answer: {code}: An error occurred ({code}) when calling the GetProducts operation: "
        f"no. {remedy}. The snapshot is as it was."
    )


@pytest.mark.parametrize(
    "error", [NoCredentialsError(), EndpointConnectionError(endpoint_url="https://api.pricing.us-east-1.amazonaws.com")]
)
def test_aws_that_is_out_of_reach_ends_the_renewal(error: Exception) -> None:
    class Silent:
        def get_paginator(self, operation: str) -> Any:
            return self

        def paginate(self, **asked: Any) -> Any:
            raise error

    with pytest.raises(DocsearchError, match=f"does not answer: {type(error).__name__}: .*The snapshot is as it was"):
        refresh.refresh(ONE, Silent(), TODAY)


def test_the_client_waits_when_it_is_told_that_it_asks_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = refresh.connect()
    assert client.meta.region_name == "us-east-1"
    assert client.meta.config.retries == {"mode": "standard", "total_max_attempts": 10}


# The file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    path.write_text(prices.dump(ONE), encoding="utf-8")
    return path


def test_the_file_that_is_shipped_is_written_as_it_is_read() -> None:
    assert prices.dump(prices.load()) == prices.DEFAULT.read_text(encoding="utf-8")


def test_a_snapshot_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(prices.dump(TIERS), encoding="utf-8")
    assert prices.load(path) == TIERS


def test_a_renewal_replaces_the_file(aws: PriceList, file: Path) -> None:
    aws.answers("AmazonEC2", M5, "us-east-1", [m5("0.2016")])
    told: list[str] = []
    renewal = renew(file, today=TODAY, client=aws.client, tell=told.append)
    assert prices.load(file) == Snapshot(TODAY, renewal.snapshot.prices, renewal.snapshot.about, dict([SOURCE]))
    assert told == ["AmazonEC2 in us-east-1: 1 prices"]
    assert [path.name for path in file.parent.iterdir()] == ["prices.json"]


def test_a_region_that_was_only_assumed_keeps_its_price_when_the_other_changes(aws: PriceList, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    west = price("AmazonEC2", M5, "0.192", region="us-west-2")
    note = "not read in us-west-2, taken to be as in us-east-1; from a bill"
    path.write_text(prices.dump(snapshot(price("AmazonEC2", M5, "0.192"), west)), encoding="utf-8")
    assumed = json.loads(path.read_text())
    entry = assumed["services"]["AmazonEC2"][M5]
    entry["regions"].pop("us-west-2")
    entry["assumed"] = {"us-west-2": "us-east-1"}
    path.write_text(json.dumps(assumed), encoding="utf-8")
    aws.answers("AmazonEC2", M5, "us-east-1", [m5("0.2")])
    aws.answers("AmazonEC2", M5, "us-west-2", [])
    renew(path, today=TODAY, client=aws.client)
    found = prices.load(path).find("AmazonEC2", M5, "us-west-2")
    assert found is not None
    assert (f"{found.usd}", found.as_of, found.confidence, found.note) == ("0.192", "2026-07", Confidence.DERIVED, note)


def test_a_renewal_says_what_changed_and_what_stayed(aws: PriceList, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    had = snapshot(price("AmazonEC2", M5, "0.192"), price("AWSXRay", "traces:recorded", "5", "1M traces"))
    path.write_text(prices.dump(had), encoding="utf-8")
    aws.answers("AmazonEC2", M5, "us-east-1", [m5("0.2016")])
    assert renew(path, today=TODAY, client=aws.client).as_json() == {
        "snapshot_date": "2026-12-24",
        "previous_date": "2026-11-28",
        "prices": 2,
        "read": 1,
        "changes": [
            {
                "service": "AmazonEC2",
                "sku": M5,
                "region": "us-east-1",
                "unit": "Hrs",
                "old": "0.192",
                "old_as_of": "2026-07",
                "new": "0.2016",
                "percent": "5.0",
            }
        ],
        "kept": [
            {
                "service": "AWSXRay",
                "sku": "traces:recorded",
                "region": "us-east-1",
                "usd": "5",
                "as_of": "2026-07",
                "why": "no source says which usage type it has",
            }
        ],
    }


def test_a_renewal_that_finds_nothing_leaves_the_file(aws: PriceList, file: Path) -> None:
    was = file.read_bytes()
    aws.answers("AmazonEC2", M5, "us-east-1", [])
    with pytest.raises(DocsearchError, match="has none of the prices: the price list has no such product"):
        renew(file, today=TODAY, client=aws.client)
    assert file.read_bytes() == was


@pytest.mark.parametrize("moment", ["asking", "writing"])
def test_ctrl_c_leaves_the_old_file_whole(
    aws: PriceList, file: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    was = file.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if moment == "writing":
        aws.answers("AmazonEC2", M5, "us-east-1", [m5("0.2")])
        monkeypatch.setattr(Path, "replace", interrupt)
    tell = interrupt if moment == "asking" else lambda _: None
    with pytest.raises(KeyboardInterrupt):
        renew(file, today=TODAY, client=aws.client, tell=tell)
    assert [path.name for path in file.parent.iterdir()] == ["prices.json"]
    assert file.read_bytes() == was


def test_a_file_that_cannot_be_written_is_left(aws: PriceList, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    aws.answers("AmazonEC2", M5, "us-east-1", [m5("0.2")])
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DocsearchError, match=r"prices\.json cannot be written: .*No space left.*It is as it was"):
        renew(file, today=TODAY, client=aws.client)
    assert [path.name for path in file.parent.iterdir()] == ["prices.json"]


def test_a_clock_that_is_behind_the_snapshot_is_refused() -> None:
    with pytest.raises(ConfigError, match="today is 2026-11-01: the snapshot is of 2026-11-28, and prices would get"):
        refresh.refresh(ONE, None, date(2026, 11, 1))


def test_a_tier_that_has_no_bounds_is_not_picked_by_chance() -> None:
    asked = question("AWSDataTransfer", f"{OUT}:first-10TB", "us-east-1")
    assert asked is not None
    with pytest.raises(RefusedError, match="charged by volume"):
        pick(asked, [out("0.09", "0.085", "0.07", "0.05")], None)
    assert pick(asked, [out("0.09", "0.085", "0.07", "0.05")], Bounds(Decimal(0), Decimal(10240))).usd == Decimal(
        "0.09"
    )
