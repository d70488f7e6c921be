"""Checks to show and to judge, made of findings and objections that tests name."""

from datetime import date
from decimal import Decimal
from typing import Any

from infra.check import Check, StackCheck
from infra.cost.budget import Budget
from infra.cost.change import Difference
from infra.cost.model import Gap, Range
from infra.findings import Finding, Place
from infra.gate import Objection
from infra.plan import OPS, Change, Plan
from policies.rule import Severity
from policies.waivers import Waiver
from tests.infra.cost.lines import estimate, line

BASE = "0123456789abcdef0123456789abcdef01234567"
RULE, OTHER_RULE = "rds-cmk", "rds-backups"
DATABASE = "urn:pulumi:prod::docsearch::docsearch:rds:Rds$aws:rds/instance:Instance::database"
WAIVER = Waiver(
    waives="destroy",
    urn=DATABASE,
    reason="moves to the new cluster",
    owner="search@example.com",
    expires=date(2030, 1, 31),
)


def finding(**changes: Any) -> Finding:
    given: dict[str, Any] = {
        "stack": "prod",
        "rule": RULE,
        "severity": Severity.CRITICAL,
        "kind": "violation",
        "urn": DATABASE,
        "path": "storageEncrypted",
        "message": "is false, must be true",
        "why": "A disk is readable",
        "remedy": "Pass the key",
        "place": Place("Pulumi.prod.yaml", 42, "database.replicas.count"),
    }
    return Finding(**given | changes)


def objection(**changes: Any) -> Objection:
    given: dict[str, Any] = {
        "urn": DATABASE,
        "type": "aws:rds/instance:Instance",
        "what": "replaced by engine",
        "remedy": "Put engine back as it was",
    }
    return Objection(**given | changes)


def plan(*ops: str, stack: str = "prod", region: str = "us-east-1") -> Plan:
    type_ = "aws:kms/key:Key"
    changes = tuple(
        Change(f"urn:pulumi:{stack}::docsearch::{type_}::key-{number}", type_, op)
        for number, op in enumerate(ops)
        if op in OPS
    )
    assert len(changes) == len(ops)
    return Plan(stack, region, "local", changes)


def price(before: int | str, after: int | str, *missing: Gap, missed: tuple[Gap, ...] = (), **more: Any) -> Difference:
    """A change of the month from one figure to another; `missing` has none afterwards, `missed` had none before."""
    was, now = (line(quantity=Range.of(1), usd=str(usd), component="search") for usd in (before, after))
    return Difference(estimate(was, unpriced=missed), estimate(now, unpriced=missing), **more)


def gap(**changes: Any) -> Gap:
    given: dict[str, Any] = {
        "stack": "prod",
        "urn": "urn:pulumi:prod::docsearch::aws:mq/broker:Broker::queue",
        "type": "aws:mq/broker:Broker",
        "component": "queue",
        "what": "broker hours",
        "why": "there is no price of mq.m9.large",
    }
    return Gap(**given | changes)


MONTHLY, INCREASE = Budget(monthly=Decimal(1000)), Budget(increase=Decimal(100))


def stack(*said: Finding | Objection, **changes: Any) -> StackCheck:
    given: dict[str, Any] = {
        "stack": "prod",
        "region": "us-east-1",
        "plan": plan("create", "update", "update", "same"),
        "findings": tuple(one for one in said if isinstance(one, Finding)),
        "objections": tuple(one for one in said if isinstance(one, Objection)),
    }
    return StackCheck(**given | changes)


def check(*said: Finding | Objection | StackCheck, **changes: Any) -> Check:
    """A check of stacks, or of prod with what is said of it."""
    stacks = tuple(one for one in said if isinstance(one, StackCheck))
    rest = [one for one in said if not isinstance(one, StackCheck)]
    given: dict[str, Any] = {"base": BASE, "stacks": (stack(*rest), *stacks) if rest or not stacks else stacks}
    return Check(**given | changes)
