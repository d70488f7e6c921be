"""offers.json against its sources, the development dependencies cfn-lint and moto.

Write it anew after an upgrade of either with `python -m tests.stacks.test_offers`.
"""

import gzip
import importlib.resources
import json
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

from stacks import offers

OFFERS = Path(offers.__file__).with_name("offers.json")
OTHER_PARTITIONS = ("cn-", "us-gov-")
STANDARD_SUPPORT_FROM = 14  # RDS ended standard support of PostgreSQL 13 in February 2026


def _cfn_lint(name: str) -> Any:
    folder = importlib.resources.files("cfnlint") / "data/schemas/extensions/aws_rds_dbinstance"
    return json.loads((folder / name).read_text(encoding="utf-8"))


def _postgres_rules(schema: Any) -> Iterator[tuple[Any, Any]]:
    for rule in schema["allOf"]:
        when = rule["if"]["properties"]
        if when.get("Engine", {}).get("const") == "postgres":
            yield when, rule["then"] and rule["then"]["properties"]


def _numeric(minor_version: str) -> tuple[int, ...]:
    return tuple(map(int, minor_version.split(".")))


def _versions() -> list[str]:
    known = {v for _, then in _postgres_rules(_cfn_lint("engine_version.json")) for v in then["EngineVersion"]["enum"]}
    gone = {
        v
        for when, _ in _postgres_rules(_cfn_lint("engine_version_deprecated.json"))
        for v in when["EngineVersion"]["enum"]
    }
    minors = (v for v in known - gone if re.fullmatch(r"\d+\.\d+", v))
    return sorted((v for v in minors if _numeric(v)[0] >= STANDARD_SUPPORT_FROM), key=_numeric)


def _classes_of_every(versions: Iterable[str]) -> set[str]:
    by_version = {}
    for when, then in _postgres_rules(_cfn_lint("db_instance_class.json")):
        plain = when["EngineVersion"]["pattern"].removeprefix("^(").split(r"\..+")[0].replace("\\", "")
        by_version[plain] = set(then["DBInstanceClass"]["enum"])
    return set.intersection(*(by_version[v] for v in versions))


def _classes_by_region() -> dict[str, set[str]]:
    classes: dict[str, set[str]] = {}
    for region, schema in _cfn_lint("dbinstanceclass_enum.json").items():
        if not region.startswith(OTHER_PARTITIONS):
            for _, then in _postgres_rules(schema):
                classes.setdefault(region, set()).update(then["DBInstanceClass"]["enum"])
    return classes


def _ec2_types() -> Any:
    with (importlib.resources.files("moto") / "ec2/resources/instance_types.json.gz").open("rb") as packed:
        return json.loads(gzip.decompress(packed.read()))


def _families(classes: Iterable[str]) -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for name in sorted(classes):
        family, size = name.rsplit(".", 1)
        families.setdefault(family, []).append(size)
    return families


def current() -> dict[str, Any]:
    """What offers.json should hold."""
    versions = _versions()
    orderable = _classes_of_every(versions)
    regions = {region: found & orderable for region, found in sorted(_classes_by_region().items())}
    ec2 = _ec2_types()
    sizes: dict[str, dict[str, list[float]]] = {}
    for family, names in _families(set().union(*regions.values())).items():
        for size in names:
            if kind := ec2.get(f"{family}.{size}".removeprefix("db.")):
                gib = kind["MemoryInfo"]["SizeInMiB"] / 1024
                row = [kind["VCpuInfo"]["DefaultVCpus"], int(gib) if gib.is_integer() else gib]
                sizes.setdefault(family, {})[size] = row
    return {
        "source": f"cfn-lint {version('cfn-lint')} (classes, versions), moto {version('moto')} (zones, sizes)",
        "postgres": versions,
        "sizes": sizes,
        "regions": {
            region: {"zones": "".join(sorted(zone.name[-1] for zone in RegionsAndZonesBackend.zones[region]))}
            | {family: " ".join(names) for family, names in _families(found).items()}
            for region, found in regions.items()
        },
    }


def text() -> str:
    """offers.json: one line per family, so that an upgrade reads well in review."""

    def block(entries: dict[str, Any], indent: str) -> str:
        rows = [f"{indent} {json.dumps(key)}: {row(value, indent + ' ')}" for key, value in entries.items()]
        return "{\n" + ",\n".join(rows) + "\n" + indent + "}"

    def row(value: Any, indent: str) -> str:
        nested = isinstance(value, dict) and not any(isinstance(inner, list) for inner in value.values())
        return block(value, indent) if nested else json.dumps(value)

    return block(current(), "") + "\n"


def test_shipped_offers_equal_what_the_installed_sources_say() -> None:
    shipped, now = json.loads(OFFERS.read_text(encoding="utf-8")), current()
    for part in ("postgres", "sizes", "regions"):
        assert shipped[part] == now[part], "stale: run `python -m tests.stacks.test_offers`"


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_gib"), [("db.m7g.4xlarge", 16, 64), ("db.m7g.2xlarge", 8, 32), ("db.r7g.large", 2, 16)]
)
def test_sizes_are_those_that_aws_publishes(name: str, vcpus: int, memory_gib: int) -> None:
    assert offers.INSTANCE_SIZES[name] == offers.InstanceSize(vcpus, memory_gib)


def test_both_regions_offer_the_requirements_classes() -> None:
    for region in ("us-east-1", "us-west-2"):
        assert {"db.m7g.4xlarge", "db.m7g.2xlarge"} <= offers.REGIONS[region].db_classes


def test_zones_carry_their_regions_name() -> None:
    assert offers.REGIONS["us-west-2"].zones == ("us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d")
    for region, offer in offers.REGIONS.items():
        assert all(re.fullmatch(re.escape(region) + "[a-z]", zone) for zone in offer.zones)


def test_previous_generations_and_other_engines_are_left_out() -> None:
    families = {name.rsplit(".", 1)[0] for offer in offers.REGIONS.values() for name in offer.db_classes}
    assert "db.m7g" in families
    assert not families & {"db", "db.m4", "db.r4", "db.t2", "db.c6gd"}


def test_versions_are_in_standard_support_and_sorted() -> None:
    assert "17.11" in offers.POSTGRES_VERSIONS
    assert not [v for v in offers.POSTGRES_VERSIONS if _numeric(v)[0] < STANDARD_SUPPORT_FROM]
    assert list(offers.POSTGRES_VERSIONS) == sorted(offers.POSTGRES_VERSIONS, key=_numeric)


if __name__ == "__main__":
    OFFERS.write_text(text(), encoding="utf-8")
