"""Estimates made by hand, and hypothesis strategies for them."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from infra.cost.model import HOURS, Confidence, Estimate, Line, Price, Range

EC2, RDS, CACHE, SEARCH, S3 = "AmazonEC2", "AmazonRDS", "AmazonElastiCache", "AmazonES", "AmazonS3"

NODES = "instance:m7i.xlarge:linux:on-demand"
DATABASE = "instance:db.m7g.4xlarge:postgres:multi-az"
CACHE_NODES = "node:cache.r7g.xlarge:redis"
HOT = "instance:m6g.4xlarge.search"
OBJECTS = "standard:storage:first-50TB"

SKUS = {NODES: EC2, DATABASE: RDS, CACHE_NODES: CACHE, HOT: SEARCH, OBJECTS: S3}


def price(sku: str = NODES, usd: str | Decimal = "0.2", *, service: str = "", unit: str = "") -> Price:
    return Price(
        service=service or SKUS[sku],
        sku=sku,
        region="us-east-1",
        unit=unit or ("GB-Mo" if "storage" in sku else "Hrs"),
        usd=Decimal(usd),
        as_of="2026-11",
        source="made up",
        confidence=Confidence.EXACT,
    )


def hours(least: int | str, expected: int | str | None = None, most: int | str | None = None) -> Range:
    """That many instances all month."""
    middle = Decimal(least if expected is None else expected)
    return Range(Decimal(least), middle, middle if most is None else Decimal(most)) * HOURS


def line(
    sku: str = NODES, quantity: Range | None = None, usd: str | Decimal = "0.2", *, name: str = "a", **values: Any
) -> Line:
    its = {"stack": "prod", "component": "eks", "type": "aws:eks/nodeGroup:NodeGroup"} | values
    stack = its["stack"]
    return Line(
        urn=its.pop("urn", f"urn:pulumi:{stack}::docsearch::{its['type']}::{name}"),
        what=its.pop("what", "nodes"),
        quantity=hours(1) if quantity is None else quantity,
        price=its.pop("price", None) or price(sku, usd),
        **its,
    )


def estimate(*lines: Line, stack: str = "prod", **values: Any) -> Estimate:
    return Estimate(stack=stack, region="us-east-1", lines=lines, **values)


# Of few digits, so that products are exact in the 28 of `Decimal`.
amounts = st.decimals(0, 100_000, places=2)
ranges = st.lists(amounts, min_size=3, max_size=3).map(lambda three: Range(*sorted(three)))
lines = st.builds(
    lambda sku, quantity, usd, factor, stack, component, name: line(
        sku, quantity, usd, factor=factor, stack=stack, component=component, name=name
    ),
    st.sampled_from(list(SKUS)),
    ranges,
    st.decimals(0, 100, places=4),
    st.sampled_from([Decimal(1), Decimal(1), Decimal("0.3")]),
    st.sampled_from(["prod", "dr"]),
    st.sampled_from(["eks", "database", "search"]),
    st.sampled_from("abc"),
)
estimates = st.lists(lines, max_size=8).map(lambda some: estimate(*some))
