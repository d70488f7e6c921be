"""Names, health checks and the firewall, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from infra.cost.model import Estimate
from infra.cost.of_edge import CHECK, RECORD, WEB_ACL, ZONE
from infra.plan import UNKNOWN
from tests.infra.cost.priced import figures, made, priced


def skus(found: Estimate) -> list[str]:
    return [line.price.sku for line in found.lines]


def managed(name: str, vendor: str = "AWS") -> dict[str, Any]:
    return {"name": name, "statement": {"managedRuleGroupStatement": {"name": name, "vendorName": vendor}}}


def test_zones_beyond_25_are_cheaper() -> None:
    found = priced(*(made(ZONE, f"{index}") for index in range(27)))
    assert found.monthly.expected == 25 * Decimal("0.5") + 2 * Decimal("0.1")


def test_an_endpoint_is_of_aws_if_the_plan_makes_it_an_alias() -> None:
    alias, plain = made(RECORD, name="a.example.com", aliases=[{}]), made(RECORD, name="a.example.com", records=["x"])
    check = made(CHECK, type="TCP", fqdn="a.example.com.")
    assert skus(priced(alias, check)) == ["health-check:aws-endpoint"]
    assert skus(priced(plain, check)) == ["health-check:non-aws-endpoint"]


@pytest.mark.parametrize("type_", ["CALCULATED", "CLOUDWATCH_METRIC"])
def test_a_check_that_asks_no_endpoint_has_no_options(type_: str) -> None:
    assert skus(priced(made(CHECK, type=type_, measureLatency=True))) == ["health-check:aws-endpoint"]


def test_each_option_has_the_price_of_its_kind_of_endpoint() -> None:
    found = priced(made(CHECK, type="HTTP_STR_MATCH", fqdn="x", requestInterval=10, measureLatency=True))
    assert skus(found)[1:] == [
        f"health-check-option:{option}:non-aws-endpoint"
        for option in ("fast-interval", "latency-measurement", "string-match")
    ]


def test_a_check_of_a_kind_that_is_not_known_yet_is_a_gap() -> None:
    found = priced(made(CHECK, type=UNKNOWN))
    assert [gap.what for gap in found.unknown] == ["health check: type", "options: type"]


@pytest.mark.parametrize(
    "rule", [managed("AWSManagedRulesBotControlRuleSet"), managed("AWSManagedRulesATPRuleSet"), managed("X", "F5")]
)
def test_rule_groups_that_cost_more_are_unpriced(rule: dict[str, Any]) -> None:
    found = priced(made(WEB_ACL, rules=[rule]))
    assert [gap.why for gap in found.unpriced] == ["groups for bots, fraud and of vendors cost more"]


def test_capacity_beyond_what_is_included_makes_every_request_dearer() -> None:
    use = figures(load__searches_per_second=1000)
    common = managed("AWSManagedRulesCommonRuleSet")  # 700 WCU
    within, beyond = (
        priced(made(WEB_ACL, rules=[common] * 2), use=use),
        priced(made(WEB_ACL, rules=[common] * 3), use=use),
    )
    assert "requests:per-500-wcu-over-1500" not in skus(within)
    (line,) = (one for one in beyond.lines if one.price.sku == "requests:per-500-wcu-over-1500")
    assert line.quantity.expected == 2 * 1000 * Decimal("2.628")
