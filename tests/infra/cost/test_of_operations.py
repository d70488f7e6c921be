"""Logs, alarms, keys and notifications, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal

import pytest

from infra.cost.model import Estimate, Range
from infra.cost.of_operations import ALARM, FLOW_LOG, KEY, LOG_GROUP, REPLICA_KEY, SECRET, TOPIC
from tests.infra.cost.priced import figures, made, priced

LOGS = figures(logs__ingested_gb={"app": Range.of(100)})


def skus(found: Estimate) -> list[str]:
    return [line.price.sku for line in found.lines]


def test_logs_that_services_deliver_are_known_by_name_or_by_their_flow_log() -> None:
    plain = made(LOG_GROUP, "app", retentionInDays=1)
    assert skus(priced(plain, use=LOGS))[0] == "logs:ingest:standard"
    assert skus(priced(plain, made(FLOW_LOG, "app"), use=LOGS))[0] == "logs:vended:first-10TB"
    named = made(LOG_GROUP, "app", retentionInDays=1, name="/aws/vendedlogs/x")
    assert skus(priced(named, use=LOGS))[0] == "logs:vended:first-10TB"


def test_infrequent_access_is_written_for_less() -> None:
    its = made(LOG_GROUP, "app", retentionInDays=1, logGroupClass="INFREQUENT_ACCESS")
    assert skus(priced(its, use=LOGS))[0] == "logs:ingest:infrequent-access"


def test_logs_without_a_retention_are_kept_for_ten_years() -> None:
    kept = priced(made(LOG_GROUP, "app"), use=LOGS).lines[1]
    assert kept.what == "logs kept for 3,653 days"
    assert kept.usage == "logs.ingested_gb.app"


def test_a_log_group_that_the_usage_file_does_not_name_is_a_gap() -> None:
    found = priced(made(LOG_GROUP, "other"), use=LOGS)
    assert [gap.what for gap in found.unknown] == [
        "ingestion: logs.ingested_gb.other",
        "storage: logs.ingested_gb.other",
    ]


def test_an_alarm_whose_metrics_are_found_later_is_a_gap() -> None:
    found = priced(made(ALARM, metricQueries=[{"id": "a", "expression": "SELECT AVG(x) FROM y"}]))
    assert [gap.what for gap in found.unknown] == ["alarm: metricQueries"]


def test_keys_and_their_replicas_share_the_requests() -> None:
    use = figures(requests__kms_thousands=60)
    found = priced(made(KEY, "a"), made(KEY, "b"), made(REPLICA_KEY), use=use)
    assert [line.quantity.expected for line in found.lines if line.what == "requests"] == [2, 2, 2]


def test_a_key_that_is_not_rotated_stays_at_its_price() -> None:
    assert priced(made(KEY)).monthly == Range.of(1)


@pytest.mark.parametrize(("type_", "figure"), [(SECRET, "secrets_thousands"), (TOPIC, "emails_thousands")])
def test_what_is_used_of_all_is_shared(type_: str, figure: str) -> None:
    use = figures(**{f"requests__{figure}": 1000})
    found = priced(made(type_, "a"), made(type_, "b"), use=use)
    used = [line.quantity.expected for line in found.lines if line.usage]
    assert len(used) == 2
    assert sum(used) == (100 if type_ == SECRET else 10)


def test_a_dashboard_is_priced() -> None:
    assert priced(made("aws:cloudwatch/dashboard:Dashboard")).monthly == Range.of(Decimal(3))
