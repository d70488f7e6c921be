"""Databases and what they follow, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from infra.cost.model import Estimate, Range
from infra.cost.of_rds import BACKUPS, INSTANCE
from infra.cost.usage import PeerDatabase
from infra.plan import UNKNOWN, Change
from tests.infra.cost.priced import figures, made, peer, priced

HEAD: dict[str, Any] = {"engine": "postgres", "engineVersion": "17.5", "allocatedStorage": 500, "storageType": "gp3"}
FOLLOWS = figures(
    database__replicated_gb=100,
    peer=peer().model_copy(update={"database": PeerDatabase(engine="postgres", allocated_gib=700)}),
)


def head(name: str = "head", **inputs: Any) -> Change:
    return made(INSTANCE, name, **{"instanceClass": "db.m6g.large", "identifier": name, **HEAD, **inputs})


def replica(of: Any, name: str = "replica", **inputs: Any) -> Change:
    its = {"instanceClass": "db.m6g.large", "storageType": "gp3", "replicateSourceDb": of}
    return made(INSTANCE, name, **{**its, **inputs})


def stored(found: Estimate, name: str = "replica") -> list[str]:
    return [line.what for line in found.lines if line.urn.endswith(name) and line.what.startswith("storage")]


def gaps(found: Estimate) -> set[str]:
    return {f"{gap.what}: {gap.why}" for gap in (*found.unknown, *found.unpriced)}


@pytest.mark.parametrize("of", ["head", UNKNOWN])
def test_a_replica_takes_its_storage_from_its_source_in_the_plan(of: str) -> None:
    identifier = UNKNOWN if of == UNKNOWN else "head"
    assert stored(priced(head(identifier=identifier), replica(of))) == ["storage, 500 GiB gp3"]


def test_a_replica_of_one_of_several_is_found_by_its_identifier() -> None:
    found = priced(head("one"), head("two", allocatedStorage=900), replica("two"))
    assert stored(found) == ["storage, 900 GiB gp3"]


def test_a_replica_of_one_of_several_that_are_not_known_yet_is_a_gap() -> None:
    found = priced(head("one", identifier=UNKNOWN), head("two", identifier=UNKNOWN), replica(UNKNOWN))
    assert stored(found) == []
    assert "storage: replicateSourceDb: it is not known before the update" in gaps(found)


def test_a_replica_of_a_database_that_is_not_there_is_a_gap() -> None:
    found = priced(head(), replica("other"))
    assert "storage: replicateSourceDb: it is other, which is 0 instances of the plan" in gaps(found)


@pytest.mark.parametrize("of", ["arn:aws:rds:us-west-2:1:db:far", UNKNOWN])
def test_a_replica_of_another_region_takes_its_storage_from_the_usage_file(of: str) -> None:
    found = priced(replica(of), use=FOLLOWS)
    assert stored(found) == ["storage, 700 GiB gp3"]
    (moved,) = (line for line in found.lines if "region" in line.what)
    assert (moved.price.sku, moved.price.region) == ("replication:us-west-2->us-east-1", "us-west-2")
    assert moved.monthly == Range.of(2)


def test_a_replica_in_the_same_region_moves_nothing_between_regions() -> None:
    found = priced(head(), replica("head"), use=FOLLOWS)
    assert not [line for line in found.lines if "->" in line.price.sku]


def test_a_replica_of_the_wrong_type_is_a_gap() -> None:
    assert any("replicateSourceDb: it is ['head'], not text" in gap for gap in gaps(priced(head(), replica(["head"]))))


def test_a_replica_of_another_region_that_nobody_knows_is_a_gap() -> None:
    found = priced(replica("arn:aws:rds:us-west-2:1:db:far"))
    assert any("the usage file has no peer.database" in gap for gap in gaps(found))


def test_an_engine_without_prices_is_unpriced() -> None:
    found = priced(head(engine="oracle-ee"))
    assert any("instance:db.m6g.large:oracle-ee:single-az" in gap for gap in gaps(found))


def test_storage_may_grow_and_never_shrinks() -> None:
    for most, expected in ((2000, 2000), (100, 500)):
        (line,) = (one for one in priced(head(maxAllocatedStorage=most)).lines if one.what.startswith("storage"))
        assert line.quantity == Range(Decimal(500), Decimal(500), Decimal(expected))


def test_storage_is_gp2_or_with_iops_io1_unless_told() -> None:
    plain = {key: value for key, value in HEAD.items() if key != "storageType"}
    its: dict[str, Any] = {**plain, "instanceClass": "db.m6g.large"}
    assert priced(made(INSTANCE, **its)).lines[1].price.sku == "storage:gp2:single-az"
    skus = [line.price.sku for line in priced(made(INSTANCE, **its, iops=1000)).lines]
    assert skus[1:] == ["storage:io1:single-az", "storage:io1:iops:single-az"]


def test_backups_below_the_size_of_all_databases_are_free() -> None:
    found = priced(head(backupRetentionPeriod=7), use=figures(database__backup_gb=500))
    assert not [line for line in found.lines if "backups" in line.what]


def test_two_databases_share_what_is_free() -> None:
    pair = [head(name, backupRetentionPeriod=7) for name in ("one", "two")]
    found = priced(*pair, use=figures(database__backup_gb=800))
    assert [line.quantity.expected for line in found.lines if "backups" in line.what] == [300, 300]


def test_replicated_backups_are_not_free() -> None:
    use = figures(database__backup_gb=100, database__backups_replicated_gb=50, peer=peer())
    found = priced(made(BACKUPS), use=use)
    assert found.monthly == Range.of(100 * Decimal("0.095") + 50 * Decimal("0.02"))


def test_history_that_aws_sells_no_more_is_unpriced() -> None:
    found = priced(head(performanceInsightsEnabled=True, performanceInsightsRetentionPeriod=93))
    assert gaps(found) == {"Performance Insights beyond 7 days: AWS sells it no more; take Database Insights"}


def test_shorter_intervals_of_monitoring_write_more() -> None:
    use = figures(database__monitoring_gb=Decimal("0.3"))
    written = [
        line.quantity.expected
        for seconds in (60, 15)
        for line in priced(head(monitoringInterval=seconds), use=use).lines
        if "Monitoring" in line.what
    ]
    assert written == [Decimal("0.3"), Decimal("1.2")]


def test_virtual_cpus_of_a_class_that_is_not_known_are_a_gap() -> None:
    found = priced(head(instanceClass="db.x9.huge", databaseInsightsMode="advanced"))
    assert "Database Insights: instanceClass: it is db.x9.huge, whose virtual CPUs are not known" in gaps(found)


def test_what_pods_and_databases_send_is_shared_by_all_databases() -> None:
    use = figures(traffic__database_cross_zone_gb=100)
    moved = [line.quantity.expected for line in priced(head(), replica("head"), use=use).lines if "zones" in line.what]
    assert moved == [100, 100]
