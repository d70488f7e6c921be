"""What a plan costs in a month: every resource through its pricers, every charge at its price.

Prices are looked up here and nowhere else. What has no price, and what no pricer knows, is a gap that is `unpriced`; a
value that cannot be used is one that is `unknown`; neither is ever zero, and the rest of the resource is priced all the
same. Free allowances of a whole account (such as 100 GB to the internet) are left out: others in it may use them.

Tiers by volume are filled in the plan's order over the whole stack, as AWS fills them over the account.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from infra.cost import (
    of_backup,
    of_broker,
    of_edge,
    of_eks,
    of_elasticache,
    of_network,
    of_opensearch,
    of_operations,
    of_rds,
    of_storage,
    of_volumes,
)
from infra.cost.free import FREE, MADE_ON_AWS, OUTSIDE
from infra.cost.model import Charge, Estimate, Gap, Line, Price, Range
from infra.cost.prices import Snapshot, Tiers
from infra.cost.pricing import PRICERS, Around, NoFigureError, OneOf, Resource, UnpricedError, resource
from infra.cost.usage import Usage
from infra.plan import Change, Plan
from infra.report import components

MODULES: Final = (
    of_eks,
    of_volumes,
    of_opensearch,
    of_rds,
    of_elasticache,
    of_broker,
    of_network,
    of_edge,
    of_storage,
    of_operations,
    of_backup,
)
"""Where the pricers are."""

PROVIDER: Final = "pulumi:providers:aws"

_QUANTUM: Final = Decimal("0.000001")
"""Quantities have six digits behind the point: amounts then fit a Decimal's 28, and sums are exact in any order."""

_MOST: Final = Decimal(10**15)


def estimate(
    plan: Plan, snapshot: Snapshot, usage: Usage, *, before: bool = False, others: Iterable[Plan] = ()
) -> Estimate:
    """What a stack costs in a month, at list price.

    Args:
        plan: What the stack holds, and becomes.
        snapshot: Prices.
        usage: What the plan cannot know.
        before: Price what there was before the change, and not what there is after it.
        others: Plans of the other stacks. A standby's database and cache take their sizes from the primary's; without
            its plan they are taken from the usage file.

    Raises:
        ConfigError: The snapshot has no prices of the plan's region.
    """
    changes = [change for change in plan.changes if change.op != ("create" if before else "delete")]
    around = Around(
        plan.region,
        [resource(change, before=before) for change in changes],
        usage.of(plan.stack),
        day=snapshot.day.isoformat(),
        others=[
            resource(change, before=before)
            for other in others
            if other.stack != plan.stack
            for change in other.changes
            if change.op != ("create" if before else "delete")
        ],
    )
    bill = _Bill(plan, snapshot, _default_tags(changes, plan.region))
    for its in around.resources:
        bill.add(its, around)
    return Estimate(
        stack=plan.stack,
        region=plan.region,
        lines=tuple(bill.lines),
        unpriced=tuple(bill.unpriced),
        unknown=tuple(bill.unknown),
        free=bill.free,
        snapshot_date=snapshot.day.isoformat(),
    )


def why_free(type_: str) -> str:
    """Why a type costs nothing by itself; empty if it may cost something."""
    if type_ in FREE:
        return FREE[type_]
    if type_ in PRICERS or any(type_.startswith(prefix) for prefix in MADE_ON_AWS):
        return ""
    return next((why for prefix, why in OUTSIDE.items() if type_.startswith(prefix)), "")


@dataclass
class _Bill:
    plan: Plan
    snapshot: Snapshot
    tags: Mapping[str, str]
    lines: list[Line] = field(default_factory=list)
    unpriced: list[Gap] = field(default_factory=list)
    unknown: list[Gap] = field(default_factory=list)
    free: dict[str, str] = field(default_factory=dict)
    filled: dict[tuple[str, str, str], Range] = field(default_factory=dict)
    """What each family of tiers has taken so far."""

    def __post_init__(self) -> None:
        self.snapshot.tiers("", "", self.plan.region)  # A region without prices is an error, and no list of gaps.
        self.components = components(self.plan)

    def add(self, its: Resource, around: Around) -> None:
        """A resource's lines and gaps."""
        if why := why_free(its.type):
            self.free[its.type] = why
            return
        pricers = PRICERS.get(its.type)
        if pricers is None:
            known = (why for prefix, why in MADE_ON_AWS.items() if its.type.startswith(prefix))
            self.unpriced.append(self._gap(its, its.type, next(known, "nobody has said what this type costs")))
            return
        for pricer in pricers:
            try:
                charges = list(pricer.charges(its, around))
                for charge in charges:
                    self.lines += self._one_of(its, charge) if isinstance(charge, OneOf) else self._lines(its, charge)
            except NoFigureError as gap:
                self.unknown.append(self._gap(its, f"{pricer.what}: {gap.path}", f"it {gap.why}"))
            except UnpricedError as gap:
                self.unpriced.append(self._gap(its, gap.what, gap.why))

    def _lines(self, its: Resource, charge: Charge) -> Iterator[Line]:
        """A charge at its price: one line for each tier that it reaches."""
        quantity = _exact(charge.quantity)
        if not quantity:
            return
        region = charge.region or self.plan.region
        tiers = self._tiers(its, charge, region)
        if len(tiers) == 1 and tiers[0][0] is None:
            yield self._line(its, charge, quantity, tiers[0][1])
            return
        key = (charge.service, charge.sku, region)
        filled = self.filled.get(key, Range())
        self.filled[key] = filled + quantity
        floor = Decimal(0)
        for top, price in tiers:
            part = _between(filled + quantity, floor, top) - _between(filled, floor, top)
            if part:
                yield self._line(its, charge, part, price)
            if top is not None:
                floor = top

    def _one_of(self, its: Resource, choice: OneOf) -> Iterator[Line]:
        """Alternatives: the cheapest at least, the dearest at most, an equal share of each as expected."""
        priced: list[tuple[Charge, Price]] = []
        for charge in choice.charges:
            try:
                # Instances have no tiers.
                priced.append((charge, self._tiers(its, charge, charge.region or self.plan.region)[0][1]))
            except UnpricedError as gap:
                self.unpriced.append(self._gap(its, gap.what, gap.why))
        if not priced:
            return
        cheapest = min(range(len(priced)), key=lambda index: priced[index][1].usd)
        dearest = max(range(len(priced)), key=lambda index: priced[index][1].usd)
        for index, (charge, price) in enumerate(priced):
            quantity = Range(
                charge.quantity.min if index == cheapest else Decimal(0),
                charge.quantity.expected / len(choice.charges),
                charge.quantity.max if index == dearest else Decimal(0),
            )
            if quantity := _exact(quantity):
                yield self._line(its, charge, quantity, price)

    def _tiers(self, its: Resource, charge: Charge, region: str) -> Tiers:
        if region in self.snapshot.regions and (found := self.snapshot.tiers(charge.service, charge.sku, region)):
            return found
        similar = self.snapshot.similar(charge.sku, charge.service)
        near = f"; it has {', '.join(similar)}" if similar else ""
        raise UnpricedError(
            charge.what,
            f"the snapshot of {self.snapshot.day} has no {charge.service} {charge.sku} in {region}{near}",
        )

    def _line(self, its: Resource, charge: Charge, quantity: Range, price: Price) -> Line:
        return Line(
            stack=self.plan.stack,
            urn=its.urn,
            type=its.type,
            component=self.components[its.urn],
            what=charge.what,
            quantity=quantity,
            price=price,
            usage=charge.usage,
            factor=charge.factor,
            assumed=charge.assumed,
            tags=self._tags(its),
        )

    def _gap(self, its: Resource, what: str, why: str) -> Gap:
        return Gap(self.plan.stack, its.urn, its.type, self.components[its.urn], what, why)

    def _tags(self, its: Resource) -> Mapping[str, str]:
        if not its.type.startswith("aws:"):
            return {}
        own = its.props.get("tags")
        return {**self.tags, **_texts(own)} if isinstance(own, Mapping) else self.tags


def _exact(quantity: Range) -> Range:
    """A quantity with as many digits as sums stay exact with.

    Raises:
        NoFigureError: It is more than anything comes to.
    """
    if not max(quantity.min, quantity.expected, quantity.max) <= _MOST:
        raise NoFigureError("quantity", "is more than anything comes to")
    return quantity.each(lambda value: value.quantize(_QUANTUM))


def _between(quantity: Range, floor: Decimal, top: Decimal | None) -> Range:
    """What of a quantity is in a tier."""
    return quantity.each(lambda value: max(Decimal(0), (value if top is None else min(value, top)) - floor))


def _default_tags(changes: Iterable[Change], region: str) -> Mapping[str, str]:
    """What the stack's provider puts on every resource."""
    for change in changes:
        if change.type == PROVIDER and change.inputs.get("region") == region:
            tags = _json(change.inputs.get("defaultTags"))
            return _texts(tags.get("tags")) if isinstance(tags, Mapping) else {}
    return {}


def _json(value: Any) -> Any:
    """What a provider's setting holds: the engine shows them as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _texts(tags: Any) -> dict[str, str]:
    if not isinstance(tags, Mapping):
        return {}
    return {str(key): value for key, value in tags.items() if isinstance(value, str)}
