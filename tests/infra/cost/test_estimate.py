"""What the estimate of any plan holds to: sums, bounds, gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import ConfigError
from infra.cost.estimate import estimate, why_free
from infra.cost.free import FREE, OUTSIDE
from infra.cost.model import Confidence, Estimate, Line, Range, total
from infra.cost.pricing import PRICERS
from infra.cost.usage import Usage
from infra.plan import MASKED, UNKNOWN, Change, Plan
from tests.infra.cost.priced import figures, made, peer, plan_of, priced, shipped, snapshot
from tests.policies.anything import ANYTHING
from tests.regions import STACKS, plan

DOMAIN = "aws:opensearch/domain:Domain"
GROUP = "aws:eks/nodeGroup:NodeGroup"
INSTANCE = "aws:rds/instance:Instance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
NAT = "aws:ec2/natGateway:NatGateway"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"

GROUPINGS: Mapping[str, Callable[[Line], Any]] = {
    "resource": lambda line: line.urn,
    "component": lambda line: line.component,
    "service": lambda line: line.price.service,
    "type": lambda line: line.type,
    "tag": lambda line: line.tags.get("owner", ""),
    "confidence": lambda line: line.price.confidence,
}


@cache
def whole(stack: str) -> Estimate:
    return estimate(plan(stack), snapshot(), shipped())


def some(stack: str, kept: Callable[[Change], bool]) -> Plan:
    return replace(plan(stack), changes=tuple(change for change in plan(stack).changes if kept(change)))


# Every type


@pytest.mark.parametrize("stack", STACKS)
def test_every_type_of_a_region_is_priced_or_free_for_a_reason(stack: str) -> None:
    types = {change.type for change in plan(stack).changes}
    for type_ in types:
        assert bool(why_free(type_)) != (type_ in PRICERS), type_
    assert {type_ for type_ in types if type_.startswith("aws:")} <= FREE.keys() | PRICERS.keys()
    assert whole(stack).free == {type_: why_free(type_) for type_ in types - PRICERS.keys()}


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_of_a_region_is_without_a_figure(stack: str) -> None:
    assert whole(stack).unpriced == ()
    assert whole(stack).unknown == ()
    assert whole(stack).complete
    assert whole(stack).monthly.expected > 10_000


@pytest.mark.parametrize("stack", STACKS)
def test_every_type_with_a_pricer_has_a_line(stack: str) -> None:
    """But for those whose charges are another resource's here."""
    elsewhere = {
        "aws:ec2/flowLog:FlowLog",
        "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration",
        "kubernetes:core/v1:Service",
    }
    types = {change.type for change in plan(stack).changes} & PRICERS.keys()
    assert types - {line.type for line in whole(stack).lines} == elsewhere


def test_reasons_are_given_after_it() -> None:
    assert all(why[0].islower() and not why.endswith(".") for why in (*FREE.values(), *OUTSIDE.values()))


def test_no_type_is_free_and_priced() -> None:
    assert not FREE.keys() & PRICERS.keys()


def test_a_type_that_nobody_knows_is_unpriced_and_not_free() -> None:
    found = priced(made("aws:sagemaker/endpoint:Endpoint"))
    (gap,) = found.unpriced
    assert (gap.type, gap.what) == ("aws:sagemaker/endpoint:Endpoint", "aws:sagemaker/endpoint:Endpoint")
    assert gap.why == "nobody has said what this type costs"
    assert not found.free
    assert not found.complete


@pytest.mark.parametrize("type_", ["kubernetes:karpenter.sh/v1:NodePool", "kubernetes:networking.k8s.io/v1:Ingress"])
def test_what_kubernetes_makes_on_aws_is_unpriced_and_not_free(type_: str) -> None:
    found = priced(made(type_))
    assert len(found.unpriced) == 1
    assert type_ not in found.free


def test_a_sku_that_has_no_price_is_named_with_what_is_near() -> None:
    found = priced(made("aws:ec2/instance:Instance", instanceType="m5.huge"))
    (gap,) = found.unpriced
    assert gap.what == "instance, m5.huge"
    assert "has no AmazonEC2 instance:m5.huge:linux:on-demand in us-east-1; it has instance:m5" in gap.why
    assert [line.what for line in found.lines] == ["root volume, gp2, 8 GiB each"]


def test_a_region_without_prices_is_an_error() -> None:
    with pytest.raises(ConfigError, match="there are no prices of region 'eu-west-9'"):
        priced(made(NAT), region="eu-west-9")


def test_a_charge_in_a_region_without_prices_is_a_gap() -> None:
    found = priced(
        made("aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"),
        use=figures(cache__replicated_gb=5, peer=peer("eu-west-9")),
    )
    assert [gap.what for gap in found.unpriced] == ["Global Datastore"]


# Sums


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("stack", STACKS)
def test_the_parts_are_the_whole(stack: str, grouping: str) -> None:
    assert total(whole(stack).by(GROUPINGS[grouping]).values()) == whole(stack).monthly


def test_confidence_is_a_grouping_with_every_level() -> None:
    assert list(whole("prod").confidence) == list(Confidence)
    assert total(whole("prod").confidence.values()) == whole("prod").monthly


@settings(max_examples=25)
@given(
    kept=st.integers(0, 2**64),
    searches=st.decimals(0, 1000, places=3),
    documents=st.decimals(0, 1000, places=3),
    stack=st.sampled_from(STACKS),
)
def test_the_parts_are_the_whole_and_in_order_whatever_is_there_and_used(
    kept: int, searches: Decimal, documents: Decimal, stack: str
) -> None:
    it = iter(range(10**6))
    part = some(stack, lambda change: bool(kept >> (next(it) % 64) & 1))
    found = estimate(part, snapshot(), shipped().grown(searches=searches, documents=documents))
    for grouping in GROUPINGS.values():
        assert total(found.by(grouping).values()) == found.monthly
    assert found.monthly.min <= found.monthly.expected <= found.monthly.max


@pytest.mark.parametrize("stack", STACKS)
def test_each_resource_costs_at_least_its_least_and_at_most_its_most(stack: str) -> None:
    for urn, cost in whole(stack).by(lambda line: line.urn).items():
        assert 0 <= cost.min <= cost.expected <= cost.max, urn


def test_quantities_have_few_enough_digits_for_exact_sums() -> None:
    for line in whole("prod").lines:
        for amount in (line.monthly.min, line.monthly.expected, line.monthly.max):
            assert len(amount.as_tuple().digits) < 25, line.what


@given(count=st.integers(1, 200), gib=st.integers(10, 4000), iops=st.integers(3000, 16000))
def test_twice_the_nodes_are_twice_all_that_nodes_have(count: int, gib: int, iops: int) -> None:
    def domain(nodes: int) -> Range:
        data = {"instanceType": "m6g.large.search", "instanceCount": nodes}
        storage = {"ebsEnabled": True, "volumeType": "gp3", "volumeSize": gib, "iops": iops, "throughput": 700}
        return priced(made(DOMAIN, engineVersion="OpenSearch_3.3", clusterConfig=data, ebsOptions=storage)).monthly

    assert domain(2 * count) == domain(count) * 2


@given(low=st.integers(0, 50), more=st.integers(0, 50), most=st.integers(0, 50))
def test_twice_the_nodes_of_a_group_are_twice_its_cost(low: int, more: int, most: int) -> None:
    def group(times: int) -> Range:
        bounds = {"minSize": low, "desiredSize": low + more, "maxSize": low + more + most}
        scaling = {name: times * count for name, count in bounds.items()}
        return priced(made(GROUP, instanceTypes=["m5.xlarge", "m7a.xlarge"], scalingConfig=scaling)).monthly

    assert group(2) == group(1) * 2


_ALONE = st.one_of(
    st.builds(lambda gib: made("aws:ebs/volume:Volume", size=gib, type="gp3"), st.integers(1, 16000)),
    st.builds(
        lambda count: made(GROUP, scalingConfig={"minSize": 0, "desiredSize": count, "maxSize": 2 * count}),
        st.integers(0, 100),
    ),
    st.builds(
        lambda gib: made(
            INSTANCE,
            engine="postgres",
            engineVersion="17.5",
            instanceClass="db.m6g.large",
            allocatedStorage=gib,
            storageType="gp3",
        ),
        st.integers(20, 4000),
    ),
    st.just(made("aws:eks/cluster:Cluster", version="1.35")),
    st.just(made("aws:ec2/eip:Eip")),
)


@given(st.lists(_ALONE, max_size=8))
def test_a_plan_costs_what_its_resources_cost_where_no_tier_is_shared(alone: list[Change]) -> None:
    several = [replace(change, urn=f"{change.urn}-{index}") for index, change in enumerate(alone)]
    assert priced(*several).monthly == total(priced(one).monthly for one in several)


# Tiers


def test_a_tier_is_filled_by_all_resources_of_the_stack_in_order() -> None:
    balancers = [made(BALANCER, name, subnets=["a"]) for name in ("one", "two")]
    found = priced(*balancers, use=figures(traffic__internet_out_gb=24_576))
    sent = [(line.urn[-3:], line.price.usd, line.quantity.expected) for line in found.lines if "internet" in line.what]
    assert sent == [
        ("one", Decimal("0.09"), Decimal(10_240)),
        ("one", Decimal("0.085"), Decimal(2_048)),
        ("two", Decimal("0.085"), Decimal(12_288)),
    ]


def test_each_case_fills_tiers_by_itself() -> None:
    found = priced(made(BALANCER, subnets=["a"]), use=figures(traffic__internet_out_gb=(5_120, 10_240, 20_480)))
    sent = [(line.price.usd, line.quantity) for line in found.lines if "internet" in line.what]
    assert sent == [
        (Decimal("0.09"), Range(Decimal(5_120), Decimal(10_240), Decimal(10_240))),
        (Decimal("0.085"), Range(Decimal(0), Decimal(0), Decimal(10_240))),
    ]


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=5))
def test_tiers_come_to_the_same_however_many_share_them(parts: list[int]) -> None:
    group = "aws:cloudwatch/logGroup:LogGroup"
    groups = [made(group, f"g{index}", name="aws-waf-logs-x", retentionInDays=1) for index in range(len(parts))]
    written = {f"g{index}": Range.of(gb) for index, gb in enumerate(parts)}
    several = priced(*groups, use=figures(logs__ingested_gb=written))
    one = priced(groups[0], use=figures(logs__ingested_gb={"g0": Range.of(sum(parts))}))

    def ingested(found: Estimate) -> Range:
        return total(line.monthly for line in found.lines if line.what == "logs written")

    assert ingested(several) == ingested(one)


# What is not known


def changed(change: Change, path: tuple[str | int, ...], value: Any) -> Change:
    """A change with a value put at a path."""

    def put(inner: Any, at: tuple[str | int, ...]) -> Any:
        if not at:
            return value
        key, rest = at[0], at[1:]
        if isinstance(key, int):
            return [put(item, rest) if index == key else item for index, item in enumerate(inner)]
        return {**inner, key: put(inner.get(key, {}), rest)}

    return replace(change, inputs=put(change.inputs, path))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))


def test_an_unknown_value_takes_its_lines_away_and_no_others() -> None:
    (domain,) = (change for change in plan("prod").changes if change.type == DOMAIN)
    known, missing = (
        priced(one, use=shipped().of("prod"))
        for one in (domain, changed(domain, ("clusterConfig", "instanceCount"), UNKNOWN))
    )
    gone = {line.what.split(",")[0] for line in known.lines} - {line.what.split(",")[0] for line in missing.lines}
    assert gone == {"hot nodes", "storage of hot nodes", "MiB/s of hot nodes beyond 250"}
    assert {gap.what for gap in missing.unknown} == {
        "hot nodes: clusterConfig.instanceCount",
        "hot storage: clusterConfig.instanceCount",
        "hot IOPS and throughput: clusterConfig.instanceCount",
    }
    assert {gap.why for gap in missing.unknown} == {"it is not known before the update"}
    assert not missing.unpriced


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (MASKED, "it is secret"),
        ({"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}, "it is secret"),
        (UNKNOWN, "it is not known before the update"),
        ("many", "it is 'many', not a number"),
        (True, "it is True, not a number"),
        (-3, "it is -3, which cannot be billed"),
        (float("inf"), "it is inf, which cannot be billed"),
        (float("nan"), "it is nan, not a number"),
        (2**1000, None),
        ([], "it is [], not a number"),
    ],
)
def test_a_value_that_cannot_be_counted_with_is_a_gap(value: Any, why: str | None) -> None:
    found = priced(made("aws:ebs/volume:Volume", size=value, type="gp3"))
    (gap,) = found.unknown
    assert gap.what == "storage, IOPS and throughput: size"
    assert why is None or gap.why == why
    assert not found.lines
    assert not found.complete


def test_a_number_as_text_is_a_number() -> None:
    assert priced(made("aws:ebs/volume:Volume", size="500", type="gp3")).monthly == Range.of(40)


def test_quantities_that_nothing_comes_to_are_gaps() -> None:
    data = {"instanceType": "m6g.large.search", "instanceCount": 10**9}
    storage = {"ebsEnabled": True, "volumeType": "gp3", "volumeSize": 10**9}
    found = priced(made(DOMAIN, engineVersion="OpenSearch_3.3", clusterConfig=data, ebsOptions=storage))
    assert ("hot storage: quantity", "it is more than anything comes to") in [
        (gap.what, gap.why) for gap in found.unknown
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_what_the_cloud_makes_up_is_not_needed(stack: str) -> None:
    """A first plan knows no id, no ARN and no name that holds a random part."""

    def hidden(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: hidden(item) for key, item in value.items()}
        if isinstance(value, list):
            return [hidden(item) for item in value]
        made_up = isinstance(value, str) and (
            value.startswith(("arn:", "mrk-")) or value.endswith("-id") or "0badcafe" in value
        )
        return UNKNOWN if made_up else value

    first = replace(plan(stack), changes=tuple(replace(one, inputs=hidden(one.inputs)) for one in plan(stack).changes))
    found = estimate(first, snapshot(), shipped())
    assert found.complete
    assert found.monthly == whole(stack).monthly


@cache
def places() -> list[tuple[str, int, tuple[str | int, ...]]]:
    """Stack, resource and path of every value that a pricer may look at."""
    return [
        (stack, index, path)
        for stack in STACKS
        for index, change in enumerate(plan(stack).changes)
        if change.type in PRICERS
        for path in leaves(change.inputs)
        if path[0] != "tags"
    ]


@settings(max_examples=150)
@given(
    place=st.deferred(lambda: st.sampled_from(places())),
    value=ANYTHING | st.sampled_from([UNKNOWN, MASKED, "STANDARD", "1.35"]),
)
def test_whatever_stands_in_a_plan_there_are_figures_or_gaps(
    place: tuple[str, int, tuple[str | int, ...]], value: Any
) -> None:
    stack, at, path = place
    near = plan(stack).changes[at]
    changes = [changed(one, path, value) if one is near else one for one in plan(stack).changes]
    # What is read of others beside it is of its own component, or of its own kind.
    around = [one for one in changes if one.parent == near.parent or one.type == near.type]
    found = estimate(replace(plan(stack), changes=tuple(around)), snapshot(), shipped())
    assert found.monthly.min <= found.monthly.expected <= found.monthly.max
    for grouping in GROUPINGS.values():
        assert total(found.by(grouping).values()) == found.monthly


# Before and after


def test_before_a_change_there_was_what_was_there_before_it() -> None:
    def volume(name: str, op: Any, after: int, before: int = 0) -> Change:
        its = made("aws:ebs/volume:Volume", name, size=after, type="gp3")
        was = {**its.inputs, "size": before} if before else {}
        return replace(its, op=op, before=was)

    changing = plan_of(
        volume("new", "create", 100),
        volume("grown", "update", 300, 200),
        volume("gone", "delete", 400),
        volume("same", "same", 500),
        volume("other", "replace", 600, 700),
    )
    before = estimate(changing, snapshot(), Usage(all=figures()), before=True)
    after = estimate(changing, snapshot(), Usage(all=figures()))
    assert before.monthly.expected == Decimal("0.08") * (200 + 400 + 500 + 700)
    assert after.monthly.expected == Decimal("0.08") * (100 + 300 + 500 + 600)


# Between regions


def grown_cache() -> Plan:
    return replace(
        plan("prod"),
        changes=tuple(
            changed(one, ("nodeType",), "cache.r7g.2xlarge") if one.type == CACHE else one
            for one in plan("prod").changes
        ),
    )


def test_a_standby_costs_the_same_with_its_primary_at_hand_and_without() -> None:
    assert estimate(plan("dr"), snapshot(), shipped(), others=[plan("prod")]).monthly == whole("dr").monthly


def test_a_standby_follows_its_primary_when_that_is_at_hand() -> None:
    found = estimate(plan("dr"), snapshot(), shipped(), others=[grown_cache()])
    assert [line.what for line in found.lines if "cache.r7g" in line.what] == ["nodes, 6 x cache.r7g.2xlarge, valkey"]


def test_without_a_primary_or_a_word_of_it_a_standby_has_gaps() -> None:
    alone = Usage(all=shipped().of("dr").model_copy(update={"peer": None}))
    found = estimate(plan("dr"), snapshot(), alone)
    lost = {gap.what for gap in found.unknown}
    assert "nodes: globalReplicationGroupId" in lost
    assert "instance: replicateSourceDb" in lost
    assert "traffic between regions: peer.region" in lost
    assert found.monthly.expected > 10_000


def test_data_is_priced_where_it_leaves() -> None:
    moved = [line for line in whole("dr").lines if "->" in line.price.sku]
    assert len(moved) >= 5
    for line in moved:
        assert line.price.sku.rpartition(":")[2].startswith(f"{line.price.region}->"), line.what


# What a line says


def test_lines_have_the_tags_of_their_provider_and_their_own() -> None:
    lines = [line for line in whole("prod").lines if line.type == DOMAIN]
    assert lines[0].tags["owner"] == "search-platform"
    assert lines[0].tags["Name"] == "opensearch"
    assert all(not line.tags for line in whole("prod").lines if line.type.startswith("kubernetes:"))


def test_lines_say_their_component() -> None:
    found = {line.component for line in whole("prod").lines}
    assert {"opensearch", "database", "cluster", "network", "storage", "queue"} <= found


def test_a_quantity_from_the_usage_file_names_its_key() -> None:
    """And every key that is named is in the file."""
    keys = {line.usage for line in whole("prod").lines} | {line.usage for line in whole("dr").lines}
    assert {"traffic.internet_out_gb", "search.warm_gb", "buckets.storage-documents.stored_gb"} <= keys
    for key in keys - {""}:
        names = key.split(".")
        found: Any = shipped().of("dr") if "backup-copies" in key else shipped().of("prod")
        for name in names:
            if isinstance(found, Mapping):
                assert name in found or names[0] == "logs", key
                found = found.get(name)
            else:
                found = getattr(found, name)


def test_a_factor_says_what_it_rests_on() -> None:
    spot = [line for line in whole("prod").lines if line.factor != 1]
    assert {line.factor for line in spot} == {Decimal("0.30")}
    assert {line.assumed for line in spot} == {"Spot at 0.3 of the price on demand (usage: compute.spot_saving)"}


def test_the_estimate_is_of_the_day_of_its_prices() -> None:
    assert whole("prod").snapshot_date == snapshot().day.isoformat()
