"""Every sku of the snapshot is asked for in one way, in the words of the price list, or has a reason why not."""

import re

import pytest

from infra.cost import prices
from infra.cost.asks import ASKS, NOT_ASKED
from infra.cost.price_list import RefusedError, question, reason
from tests.infra.cost.answers import M5


def test_every_sku_of_the_snapshot_is_asked_for_or_has_a_reason() -> None:
    both_or_neither = [key for key in prices.load().prices if bool(question(*key)) == bool(reason(key[0], key[1]))]
    assert both_or_neither == []


def test_no_row_asks_for_what_the_snapshot_does_not_hold() -> None:
    skus = {(service, sku) for service, sku, _ in prices.load().prices}
    rows = [(ask.service, ask.skus) for ask in ASKS] + [(service, pattern) for service, pattern, _ in NOT_ASKED]
    unused = [row for row in rows if not any(row[0] == of and re.fullmatch(row[1], sku) for of, sku in skus)]
    assert unused == []


def test_no_sku_is_asked_for_in_two_ways() -> None:
    skus = {(service, sku) for service, sku, _ in prices.load().prices}
    twice = [
        (service, sku)
        for service, sku in skus
        if sum(ask.service == service and bool(re.fullmatch(ask.skus, sku)) for ask in ASKS) > 1
    ]
    assert twice == []


@pytest.mark.parametrize(
    ("service", "sku", "region", "code", "terms", "usage"),
    [
        (
            "AmazonRDS",
            "instance:db.m7g.4xlarge:postgres:multi-az",
            "us-west-2",
            "AmazonRDS",
            {
                "databaseEngine": "PostgreSQL",
                "deploymentOption": "Multi-AZ",
                "instanceType": "db.m7g.4xlarge",
                "locationType": "AWS Region",
                "regionCode": "us-west-2",
            },
            "USW2-Multi-AZUsage:db.m7g.4xlarge",
        ),
        (
            "AmazonElastiCache",
            "node:cache.r7g.xlarge:valkey",
            "us-east-1",
            "AmazonElastiCache",
            {
                "cacheEngine": "Valkey",
                "instanceType": "cache.r7g.xlarge",
                "locationType": "AWS Region",
                "regionCode": "us-east-1",
            },
            "NodeUsage:cache.r7g.xlarge",
        ),
        (
            "AmazonES",
            "instance:m6g.4xlarge.search",
            "us-east-1",
            "AmazonES",
            {"instanceType": "m6g.4xlarge.search", "regionCode": "us-east-1"},
            "ESInstance:m6g.4xlarge",
        ),
        (
            "AmazonRDS",
            "replication:us-east-1->us-west-2",
            "us-east-1",
            "AWSDataTransfer",
            {"fromRegionCode": "us-east-1", "toRegionCode": "us-west-2", "transferType": "InterRegion Outbound"},
            "USE1-USW2-AWS-Out-Bytes",
        ),
        (
            "awskms",
            "requests:symmetric",
            "us-east-1",
            "awskms",
            {"regionCode": "us-east-1"},
            "us-east-1-KMS-Requests",
        ),
        (
            "AmazonRoute53",
            "hosted-zone:over-25",
            "us-west-2",
            "AmazonRoute53",
            {"productFamily": "DNS Zone"},
            "HostedZone",
        ),
        (
            "AmazonVPC",
            "public-ipv4:in-use",
            "us-east-1",
            "AmazonVPC",
            {"regionCode": "us-east-1"},
            "USE1-PublicIPv4:InUseAddress",
        ),
    ],
)
def test_a_sku_is_asked_for_in_the_words_of_the_price_list(
    service: str, sku: str, region: str, code: str, terms: dict[str, str], usage: str
) -> None:
    asked = question(service, sku, region)
    assert asked is not None
    assert (asked.code, dict(asked.terms)) == (code, terms)
    assert asked.usage.fullmatch(usage)


@pytest.mark.parametrize(
    ("service", "sku", "usage"),
    [
        ("AWSELB", "alb:hour", "TS-LoadBalancerUsage"),
        ("AmazonCloudWatch", "logs:vended:first-10TB", "USE1-VendedLog-Bytes-WAFLogs"),
        ("awskms", "requests:symmetric", "us-east-1-KMS-Requests-Asymmetric"),
        ("awswaf", "web-acl", "USE1-ShieldProtected-WebACLV2"),
        ("AmazonEC2", M5, "UnusedBox:m5.xlarge"),
        ("AmazonEC2", M5, "BoxUsage:m5axlarge"),
        ("AmazonElastiCache", "node:cache.r7g.xlarge:redis", "USE1-ExtendedSupport:Yr1-Yr2:NodeUsage:cache.r7g.xlarge"),
    ],
)
def test_what_only_looks_alike_is_not_taken(service: str, sku: str, usage: str) -> None:
    asked = question(service, sku, "us-east-1")
    assert asked is not None
    assert not asked.usage.fullmatch(usage)


def test_a_region_whose_usage_types_are_not_known_is_refused() -> None:
    with pytest.raises(RefusedError, match="how usage types begin in ap-southeast-3 is not known"):
        question("AmazonEC2", M5, "ap-southeast-3")
