"""offers.json against its sources, the development dependencies cfn-lint and moto.

Write it anew after an upgrade of either with `python -m tests.stacks.test_offers`.
"""

import gzip
import importlib.resources
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

from stacks import offers

OFFERS = Path(offers.__file__).with_name("offers.json")
OTHER_PARTITIONS = ("cn-", "us-gov-")
STANDARD_SUPPORT_FROM = 14  # RDS ended standard support of PostgreSQL 13 in February 2026
NODE_FAMILIES = re.compile(r"(?:[cmrx](?:[5-9]|\d\d)|(?:t|i)(?:[3-9]|\d\d)|i[ms]\d)[a-z]*(?:-flex)?")

#: Families of OpenSearch that EC2 does not have, and the EC2 family with the same vCPUs and memory (OpenSearch Service
#: pricing, November 2026).
SEARCH_LIKE_EC2 = {"or1": "r6g", "or2": "r7g", "om2": "m7g", "oi2": "i8g"}

#: Sizes of those that are like none: vCPUs and GiB (same page).
SEARCH_ALONE: Mapping[str, Mapping[str, list[float]]] = {"ultrawarm1": {"medium": [2, 15.25], "large": [16, 122]}}

#: `maxmemory` of a cache node, bytes by size (ElastiCache user guide, "Valkey node-type specific parameters", read in
#: November 2026). Nodes of several families have the same.
MAXMEMORY: Mapping[tuple[str, ...], Mapping[str, int]] = {
    ("m5", "m6g", "m7g"): {
        "large": 6854542746,
        "xlarge": 13891921715,
        "2xlarge": 27966669210,
        "4xlarge": 56116178125,
        "8xlarge": 111325552312,
        "12xlarge": 168715971994,
        "16xlarge": 225000375228,
        "24xlarge": 337500562842,
    },
    ("m8g",): {
        "large": 7294178820,
        "xlarge": 15222495510,
        "2xlarge": 31866224640,
        "4xlarge": 65856864256,
        "8xlarge": 133838143488,
        "12xlarge": 201819422720,
        "16xlarge": 269800701952,
    },
    ("r5", "r6g", "r6gd", "r7g"): {
        "large": 14037181030,
        "xlarge": 28261849702,
        "2xlarge": 56711183565,
        "4xlarge": 113609865216,
        "8xlarge": 225000375228,
        "12xlarge": 341206346547,
        "16xlarge": 450000750456,
        "24xlarge": 682485973811,
    },
    ("r8g",): {
        "large": 15222495510,
        "xlarge": 31866224640,
        "2xlarge": 65856864256,
        "4xlarge": 133838143488,
        "8xlarge": 269800701952,
        "12xlarge": 405763260416,
        "16xlarge": 541725818880,
    },
    ("t3", "t4g"): {"micro": 536870912, "small": 1471026299, "medium": 3317862236},
}

Classes = dict[str, dict[str, set[str]]]
"""Sizes by family, by region."""


def _cfn_lint(name: str) -> Any:
    folder = importlib.resources.files("cfnlint") / "data/schemas/extensions"
    return json.loads((folder / name).read_text(encoding="utf-8"))


def _engine_rules(name: str, engine: str) -> Iterator[tuple[Any, Any]]:
    for rule in _cfn_lint(name)["allOf"]:
        when = rule["if"]["properties"]
        if when.get("Engine", {}).get("const") == engine:
            yield when, rule["then"] and rule["then"]["properties"]


def _numeric(minor_version: str) -> tuple[int, ...]:
    return tuple(map(int, minor_version.split(".")))


def _postgres_versions() -> list[str]:
    known = {
        v
        for _, then in _engine_rules("aws_rds_dbinstance/engine_version.json", "postgres")
        for v in then["EngineVersion"]["enum"]
    }
    gone = {
        v
        for when, _ in _engine_rules("aws_rds_dbinstance/engine_version_deprecated.json", "postgres")
        for v in when["EngineVersion"]["enum"]
    }
    minor = {v for v in known - gone if re.fullmatch(r"\d+\.\d+", v)}
    return sorted((v for v in minor if _numeric(v)[0] >= STANDARD_SUPPORT_FROM), key=_numeric)


def _valkey_versions() -> list[str]:
    rules = _engine_rules("aws_elasticache_cachecluster/engine_version.json", "valkey")
    return sorted({v for _, then in rules for v in then["EngineVersion"]["enum"]}, key=_numeric)


def _orderable(versions: Iterable[str]) -> set[str]:
    """RDS classes that every one of the versions runs on."""
    by_version = {}
    for when, then in _engine_rules("aws_rds_dbinstance/db_instance_class.json", "postgres"):
        plain = when["EngineVersion"]["pattern"].removeprefix("^(").split(r"\..+")[0].replace("\\", "")
        by_version[plain] = set(then["DBInstanceClass"]["enum"])
    return set.intersection(*(by_version[v] for v in versions))


def _rds() -> dict[str, set[str]]:
    orderable, classes = _orderable(_postgres_versions()), {}
    for region, schema in _cfn_lint("aws_rds_dbinstance/dbinstanceclass_enum.json").items():
        if not region.startswith(OTHER_PARTITIONS):
            rules = (r["then"] for r in schema["allOf"] if r["if"]["properties"]["Engine"].get("const") == "postgres")
            classes[region] = {n for then in rules for n in then["properties"]["DBInstanceClass"]["enum"]} & orderable
    return classes


def _enumerated(name: str) -> dict[str, set[str]]:
    return {
        region: set(schema["enum"])
        for region, schema in _cfn_lint(name).items()
        if region not in {"all", "description"} and not region.startswith(OTHER_PARTITIONS)
    }


def _classes() -> dict[str, Classes]:
    """By service, then region."""
    return {
        "db": _split(_rds()),
        "search": _split(_enumerated("aws_opensearchservice_domain/clusterconfig_instancetype_enum.json")),
        "cache": _split(_enumerated("aws_elasticache_cachecluster/cachenodetype_enum.json")),
        "mq": _split(_enumerated("aws_amazonmq_broker/instancetype_enum.json")),
        "ec2": _split(_enumerated("aws_ec2_instance/instancetype_enum.json"), NODE_FAMILIES),
    }


def _split(by_region: Mapping[str, Iterable[str]], only: re.Pattern[str] | None = None) -> Classes:
    """Names without what is the same in each of a service, by family and size."""
    split: Classes = {}
    for region, names in by_region.items():
        families = split.setdefault(region, {})
        for name in names:
            family, size = re.sub(r"^(db|cache|mq)\.|\.search$", "", name).rsplit(".", 1)
            if only is None or only.fullmatch(family):
                # The price list, which cfn-lint reads, says 2xl where the API of Amazon MQ says 2xlarge.
                families.setdefault(family, set()).add(re.sub(r"^(\d+xl)$", r"\1arge", size))
    return split


def _by_size(size: str) -> tuple[int, int, str]:
    """`large` before `2xlarge` before `12xlarge`."""
    order = ("nano", "micro", "small", "medium", "large", "xlarge")
    if size in order:
        return order.index(size), 0, size
    number = re.match(r"\d+", size)
    return len(order), int(number[0]) if number else 10**6, size


def _places(classes: Classes) -> dict[str, dict[str, str]]:
    """By family: which sizes are offered where."""
    families = sorted({family for found in classes.values() for family in found})
    places: dict[str, dict[str, str]] = {}
    for family in families:
        where: dict[str, list[str]] = {}
        for region in sorted(classes):
            if sizes := classes[region].get(family):
                where.setdefault(" ".join(sorted(sizes, key=_by_size)), []).append(region)
        places[family] = {sizes: _where(regions, sorted(classes)) for sizes, regions in where.items()}
    return places


def _where(regions: list[str], every: list[str]) -> str:
    """The shorter of the regions and of all but the others."""
    others = [region for region in every if region not in regions]
    if not others:
        return "all"
    named, inverse = " ".join(regions), f"all but {' '.join(others)}"
    return named if len(named) <= len(inverse) else inverse


@cache
def _ec2_types() -> Any:
    with (importlib.resources.files("moto") / "ec2/resources/instance_types.json.gz").open("rb") as packed:
        return json.loads(gzip.decompress(packed.read()))


def _ec2_size(name: str) -> list[float] | None:
    if kind := _ec2_types().get(name):
        gib = kind["MemoryInfo"]["SizeInMiB"] / 1024
        return [kind["VCpuInfo"]["DefaultVCpus"], int(gib) if gib.is_integer() else gib]
    return None


def _sizes(classes: Mapping[str, Classes]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Sizes of EC2 families, which other services rent out under their own names, and of cache nodes."""
    ec2: dict[str, dict[str, list[float]]] = {family: dict(sizes) for family, sizes in SEARCH_ALONE.items()}
    caches: dict[str, dict[str, list[float]]] = {}
    bytes_by_node = {
        (f, size): b for families, nodes in MAXMEMORY.items() for f in families for size, b in nodes.items()
    }
    for service, by_region in classes.items():
        for family, size in _every(by_region):
            found = _ec2_size(f"{SEARCH_LIKE_EC2.get(family, family)}.{size}")
            if found and service == "cache" and (family, size) in bytes_by_node:
                caches.setdefault(family, {})[size] = [found[0], round(bytes_by_node[family, size] / 2**30, 2)]
            elif found and service != "cache":
                ec2.setdefault(family, {})[size] = found
    return {"cache": _sorted(caches), "ec2": _sorted(ec2)}


def _every(by_region: Classes) -> list[tuple[str, str]]:
    return sorted({(f, size) for families in by_region.values() for f, sizes in families.items() for size in sizes})


def _sorted(families: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, list[float]]]:
    return {f: {size: families[f][size] for size in sorted(families[f], key=_by_size)} for f in sorted(families)}


def current() -> dict[str, Any]:
    """What offers.json should hold."""
    classes = _classes()
    return {
        "source": f"cfn-lint {version('cfn-lint')} (classes, versions), moto {version('moto')} (zones, sizes)",
        "versions": {
            "postgres": _postgres_versions(),
            "valkey": _valkey_versions(),
        },
        "zones": {
            region: "".join(sorted(zone.name[-1] for zone in RegionsAndZonesBackend.zones[region]))
            for region in sorted(classes["db"])
        },
        "sizes": _sizes(classes),
        "classes": {service: _places(by_region) for service, by_region in classes.items()},
    }


def text() -> str:
    """offers.json: one line per family, so that an upgrade reads well in review."""

    def block(value: Any, depth: int) -> str:
        # The third level is a family: its line.
        if depth == 3 or not isinstance(value, dict):
            return json.dumps(value)
        rows = [f"{' ' * (depth + 1)}{json.dumps(key)}: {block(inner, depth + 1)}" for key, inner in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + " " * depth + "}"

    return block(current(), 0) + "\n"


def test_shipped_offers_equal_what_the_installed_sources_say() -> None:
    shipped, now = json.loads(OFFERS.read_text(encoding="utf-8")), current()
    for part in ("versions", "zones", "sizes", "classes"):
        assert shipped[part] == now[part], "stale: run `python -m tests.stacks.test_offers`"


def test_what_is_read_back_is_what_the_sources_list() -> None:
    sources = {
        "db_classes": _rds(),
        "search_classes": _enumerated("aws_opensearchservice_domain/clusterconfig_instancetype_enum.json"),
        "cache_classes": _enumerated("aws_elasticache_cachecluster/cachenodetype_enum.json"),
    }
    for field, by_region in sources.items():
        for region, names in by_region.items():
            assert getattr(offers.REGIONS[region], field) == names, (field, region)
    for region, names in _enumerated("aws_ec2_instance/instancetype_enum.json").items():
        kept = {name for name in names if NODE_FAMILIES.fullmatch(name.split(".")[0])}
        assert offers.REGIONS[region].instance_types == kept


@pytest.mark.parametrize(
    ("name", "vcpus", "memory_gib"),
    [
        ("db.m7g.4xlarge", 16, 64),
        ("db.m7g.2xlarge", 8, 32),
        ("db.r7g.large", 2, 16),
        ("m7g.2xlarge", 8, 32),
        ("r7g.2xlarge.search", 8, 64),
        ("or2.2xlarge.search", 8, 64),
        ("om2.2xlarge.search", 8, 32),
        ("oi2.24xlarge.search", 96, 768),
        ("ultrawarm1.large.search", 16, 122),
        ("mq.m7g.medium", 1, 4),
        ("mq.m7g.2xlarge", 8, 32),
        ("cache.m7g.xlarge", 4, 12.94),
        ("cache.r7g.xlarge", 4, 26.32),
        ("cache.r8g.large", 2, 14.18),
    ],
)
def test_sizes_are_those_that_aws_publishes(name: str, vcpus: int, memory_gib: float) -> None:
    assert offers.INSTANCE_SIZES[name] == offers.InstanceSize(vcpus, memory_gib)


def test_both_regions_offer_the_requirements_classes() -> None:
    for region in ("us-east-1", "us-west-2"):
        offer = offers.REGIONS[region]
        assert {"db.m7g.4xlarge", "db.m7g.2xlarge"} <= offer.db_classes
        assert {"r7g.4xlarge.search", "m7g.large.search", "ultrawarm1.large.search"} <= offer.search_classes
        assert {"cache.m7g.2xlarge", "cache.r7g.xlarge"} <= offer.cache_classes
        assert {"mq.m7g.large", "mq.m7g.2xlarge", "mq.m5.large"} <= offer.broker_classes
        assert {"m7g.2xlarge", "c7g.4xlarge", "m7i.2xlarge", "r8g.large"} <= offer.instance_types


def test_regions_differ_in_what_they_offer() -> None:
    assert "m7g.2xlarge" not in offers.REGIONS["ca-west-1"].instance_types
    assert "cache.m7g.2xlarge" not in offers.REGIONS["ca-west-1"].cache_classes
    assert "mq.m7i.large" in offers.REGIONS["ap-east-2"].broker_classes - offers.REGIONS["us-east-1"].broker_classes
    for field in ("db_classes", "search_classes", "cache_classes", "broker_classes", "instance_types"):
        assert len({getattr(offer, field) for offer in offers.REGIONS.values()}) > 1, field


def test_zones_carry_their_regions_name() -> None:
    assert offers.REGIONS["us-west-2"].zones == ("us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d")
    for region, offer in offers.REGIONS.items():
        assert all(re.fullmatch(re.escape(region) + "[a-z]", zone) for zone in offer.zones)


def test_previous_generations_and_other_engines_are_left_out() -> None:
    families = {name.rsplit(".", 1)[0] for offer in offers.REGIONS.values() for name in offer.db_classes}
    assert "db.m7g" in families
    assert not families & {"db", "db.m4", "db.r4", "db.t2", "db.c6gd"}
    nodes = {name.split(".")[0] for offer in offers.REGIONS.values() for name in offer.instance_types}
    assert {"m7g", "c8g", "r7i", "t4g", "i4i", "im4gn", "m7i-flex"} <= nodes
    assert not nodes & {"m4", "c4", "t2", "i2", "p5", "g6", "inf2", "trn1", "hpc7g", "x1", "mac2", "cc2", "cr1"}


def test_versions_are_in_standard_support_and_sorted() -> None:
    assert "17.11" in offers.POSTGRES_VERSIONS
    assert not [v for v in offers.POSTGRES_VERSIONS if _numeric(v)[0] < STANDARD_SUPPORT_FROM]
    assert {"7.2", "8.2", "9.0"} <= set(offers.VALKEY_VERSIONS)
    for versions in (
        offers.POSTGRES_VERSIONS,
        offers.VALKEY_VERSIONS,
        offers.OPENSEARCH_VERSIONS,
        offers.RABBITMQ_VERSIONS,
        tuple(offers.KUBERNETES_SUPPORT),
    ):
        assert list(versions) == sorted(versions, key=_numeric)


def test_a_day_on_which_support_ends_is_a_day() -> None:
    for until in offers.KUBERNETES_SUPPORT.values():
        assert re.fullmatch(r"(20\d\d-[01]\d-[0-3]\d)?", until)


if __name__ == "__main__":
    OFFERS.write_text(text(), encoding="utf-8")
