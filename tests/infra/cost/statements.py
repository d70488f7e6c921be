"""Statements to show, made of lines that tests name."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from infra.cost.model import Confidence, Estimate, Gap, Line, Price, Range
from infra.cost.statement import Basis, Bill, Statement

DAY = date(2026, 11, 20)
BASIS = Basis(DAY, age_days=7, usage="stacks/usage.yaml", commitments="stacks/commitments.yaml")


def price(**changes: Any) -> Price:
    given: dict[str, Any] = {
        "service": "AmazonES",
        "sku": "instance:m6g.4xlarge.search",
        "region": "us-east-1",
        "unit": "Hrs",
        "usd": Decimal("1.021"),
        "as_of": "2026-10",
        "source": "aws-price-list",
        "confidence": Confidence.EXACT,
    }
    return Price(**given | changes)


def line(**changes: Any) -> Line:
    given: dict[str, Any] = {
        "stack": "prod",
        "urn": "urn:pulumi:prod::docsearch::docsearch:opensearch:OpenSearch$aws:opensearch/domain:Domain::search",
        "type": "aws:opensearch/domain:Domain",
        "component": "search",
        "what": "hot nodes, 21 x m6g.4xlarge.search",
        "quantity": Range(Decimal(14600), Decimal(15330), Decimal(16060)),
        "price": price(),
        "tags": {"owner": "search-platform"},
    }
    return Line(**given | changes)


def database(**changes: Any) -> Line:
    given: dict[str, Any] = {
        "urn": "urn:pulumi:prod::docsearch::docsearch:rds:Rds$aws:rds/instance:Instance::database",
        "type": "aws:rds/instance:Instance",
        "component": "database",
        "what": "db.m7g.4xlarge, Multi-AZ",
        "quantity": Range.of(730),
        "price": price(service="AmazonRDS", sku="instance:db.m7g.4xlarge", usd=Decimal("2.698")),
        "tags": {},
    }
    return line(**given | changes)


def gap(**changes: Any) -> Gap:
    given: dict[str, Any] = {
        "stack": "prod",
        "urn": "urn:pulumi:prod::docsearch::aws:mq/broker:Broker::queue",
        "type": "aws:mq/broker:Broker",
        "component": "queue",
        "what": "broker hours",
        "why": "the snapshot has no mq.m7g.large in us-east-1",
    }
    return Gap(**given | changes)


def estimate(*lines: Line, **changes: Any) -> Estimate:
    given: dict[str, Any] = {
        "stack": "prod",
        "region": "us-east-1",
        "lines": lines,
        "free": {"aws:iam/role:Role": "IAM costs nothing"},
        "snapshot_date": DAY.isoformat(),
    }
    return Estimate(**given | changes)


def halved(its: Estimate) -> Estimate:
    """With a commitment that takes half of everything off."""
    lines = (replace(one, factor=one.factor / 2, assumed="50% less for 3 years") for one in its.lines)
    return replace(its, lines=tuple(lines))


def bill(*lines: Line, **changes: Any) -> Bill:
    """One stack, with what a test says of it or of its estimate."""
    of_bill = {name: changes.pop(name) for name in ("over", "difference") if name in changes}
    listed = estimate(*(lines or (line(), database())), **changes)
    return Bill(listed, halved(listed), **of_bill)


def statement(*bills: Bill, **changes: Any) -> Statement:
    given: dict[str, Any] = {"bills": bills or (bill(),), "basis": BASIS}
    return Statement(**given | changes)
