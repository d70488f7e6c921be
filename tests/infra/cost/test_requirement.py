import re
from dataclasses import replace
from decimal import Decimal

import pytest

from components.errors import ConfigError
from infra.cost.case import DOMAIN
from infra.cost.commitments import NONE
from infra.cost.model import Line, total
from infra.cost.requirement import ASKED, INDEX, LEAST, MOST, OTHER, PODS, QUEUE, TRANSFER, WHY, Facts, Row, rows, whole
from tests.infra.cost.service import at, dollars, service, without_price


def row(component: str, *, of: tuple[Row, ...] | None = None) -> Row:
    return next(one for one in (rows(service()) if of is None else of) if one.component == component)


# The requirement's own


def test_its_ten_lines_are_those_of_section_8() -> None:
    assert [(one.component, one.instances, int(one.monthly)) for one in ASKED] == [
        ("Kubernetes (EKS)", "3 master nodes", 219),
        ("Application Pods", "40 instances (m5.xlarge)", 4800),
        ("Elasticsearch", "20 data nodes (r5.2xlarge)", 16000),
        ("PostgreSQL (RDS)", "1 primary + 3 replicas", 3200),
        ("Redis (ElastiCache)", "6 nodes (r5.large)", 1800),
        ("RabbitMQ (EC2)", "5 nodes (m5.large)", 600),
        ("Load Balancer (ALB)", "2", 50),
        ("Data Transfer", "10TB/month", 900),
        ("S3 Storage", "50TB", 1150),
        ("CloudWatch Logs", "500GB", 250),
    ]
    assert (int(LEAST), int(MOST)) == (25_000, 40_000)


@pytest.mark.parametrize(
    ("component", "today"),
    [
        ("Kubernetes (EKS)", "219"),  # 3 x 730 h x 0.10
        ("Application Pods", "5606.4"),  # 40 x 730 h x 0.192
        ("Elasticsearch", "15844.92"),  # 20 x 730 h x 0.743 + 20 x 2,048 GB x 0.122
        ("PostgreSQL (RDS)", "2889.06"),  # 730 h x (1.424 + 3 x 0.712) + 2,524 GB x 0.115
        ("Redis (ElastiCache)", "946.08"),  # 6 x 730 h x 0.216
        ("RabbitMQ (EC2)", "350.4"),  # 5 x 730 h x 0.096
        ("Load Balancer (ALB)", "32.85"),  # 2 x 730 h x 0.0225
        ("Data Transfer", "921.6"),  # 10,240 GB x 0.09
        ("S3 Storage", "1177.6"),  # 51,200 GB x 0.023
        ("CloudWatch Logs", "250"),  # 500 GB x 0.50
    ],
)
def test_what_it_names_has_a_price_today(component: str, today: str) -> None:
    assert row(component).asked_at_list == Decimal(today)


# Ours beside it


def test_the_lines_and_what_it_leaves_out_are_together_the_whole() -> None:
    found, its = rows(service()), service()
    assert [one.component for one in found] == [*(asked.component for asked in ASKED), OTHER]
    sums = whole(found)
    assert sums.listed == total(one.monthly for one in its.listed)
    assert sums.committed == its.monthly
    assert sums.primary == its.listed[0].monthly
    assert sums.asked == 28_969


def test_every_line_of_ours_is_in_one_of_its_lines() -> None:
    facts = Facts(service())
    assert sum(len(lines) for lines in facts.listed.values()) == sum(len(one.lines) for one in service().listed)
    for name, lines in facts.listed.items():
        assert lines, name


@pytest.mark.parametrize(
    ("start", "component"),
    [("hot nodes", INDEX), ("nodes, 14 x", PODS), ("nodes, 2 x m7i.2xlarge", QUEUE), ("volumes, one to each", QUEUE)],
)
def test_nodes_and_volumes_are_told_apart_by_what_they_run(start: str, component: str) -> None:
    facts = Facts(service())
    found = {facts.row_of(line) for one in service().listed for line in one.lines if line.what.startswith(start)}
    assert found == {component}


def test_transfer_is_in_its_own_line_whoever_causes_it() -> None:
    facts = Facts(service())

    def moved(lines: list[Line]) -> int:
        return sum(line.price.service == "AWSDataTransfer" for line in lines)

    assert {name for name, lines in facts.listed.items() if moved(lines)} == {TRANSFER}


def test_list_prices_are_those_without_commitments() -> None:
    for one in rows(service().under(NONE)):
        assert one.listed == one.committed


def test_one_region_is_a_row_without_a_second() -> None:
    alone = rows(service().primary_alone())
    assert whole(alone).primary == whole(alone).listed
    assert "There is no second region" in row(INDEX, of=alone).why


# Why they differ


@pytest.mark.parametrize("component", list(WHY))
def test_every_amount_in_a_reason_is_of_the_estimate(component: str) -> None:
    """At twice the prices, each is twice as much: none is written into the text."""
    once, twice = (dollars(row(component, of=rows(at(times))).why) for times in ("1", "2"))
    assert once
    assert len(once) == len(twice)
    for before, after in zip(once, twice, strict=True):
        assert abs(after - 2 * before) <= 1


def test_a_reason_follows_the_plan() -> None:
    more = service().domain(instanceCount=24)
    before, after = row(INDEX).why, row(INDEX, of=rows(more)).why
    assert "21 of 16 vCPU" in before
    assert "24 of 16 vCPU" in after
    assert dollars(before) != dollars(after)


def test_a_reason_says_what_its_own_figure_does_not_hold() -> None:
    why = row(INDEX).why
    for part in ("masters", "coordinators", "warm nodes", "section 1", "section 2"):
        assert part in why
    hot = total(line.monthly for line in service().listed[0].lines if line.what.startswith("hot nodes"))
    assert int(hot.expected.to_integral_value()) in dollars(why)


def test_the_second_region_is_a_reason_of_every_store() -> None:
    for one in rows(service()):
        if one.component in (PODS, INDEX, QUEUE):
            left = int((one.listed - one.primary).expected.to_integral_value())
            assert f"dr has ${left:,} more" in one.why


def test_what_it_leaves_out_is_named_with_its_dollars() -> None:
    its = row(OTHER)
    assert "backups and their restore tests (section 6)" in its.why
    assert its.asked is None
    assert its.asked_at_list is None
    assert abs(sum(dollars(its.why)) - its.listed.expected) < 6


def test_reasons_are_whole_sentences_without_a_hole() -> None:
    for one in rows(service()):
        assert not re.search(r"None|\{|\}|  |\$nan|\$0[,.; ]", one.why), one.why


def test_json_is_exact_text() -> None:
    found = row("Application Pods").as_json()
    assert found["asked"] == "4800"
    assert found["asked_at_list"] == "5606.400"
    assert set(found["list"]) == {"min", "expected", "max"}
    assert row(OTHER).as_json()["asked"] is None


# What cannot be compared


def test_a_price_that_is_missing_is_named_and_not_left_out() -> None:
    with pytest.raises(ConfigError, match=r"no price of AmazonEC2 instance:m5\.xlarge:linux:on-demand in us-east-1"):
        rows(without_price("instance:m5.xlarge:linux:on-demand"))


def test_a_plan_without_what_a_line_is_of_is_an_error() -> None:
    with pytest.raises(ConfigError, match="the plan of prod has no aws:opensearch/domain:Domain"):
        rows(service().without(DOMAIN))


def test_a_reason_of_one_region_needs_no_other() -> None:
    alone = replace(service(), plans=service().plans[:1])
    assert len(rows(alone)) == 11
