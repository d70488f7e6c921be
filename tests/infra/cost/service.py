"""The whole service, both regions at full size, and the same at other prices."""

import re
from dataclasses import replace
from decimal import Decimal
from functools import cache

from infra.cost import commitments, prices, usage
from infra.cost.case import Case
from infra.cost.prices import Snapshot
from tests.regions import plan


@cache
def service() -> Case:
    """Prod and dr as they are planned, with the project's own prices, usage and commitments."""
    return Case((plan("prod"), plan("dr")), prices.load(), usage.load(), commitments.load())


@cache
def at(times: str) -> Case:
    """The same at so many times every price."""
    its = service()
    dearer = {key: replace(price, usd=price.usd * Decimal(times)) for key, price in its.snapshot.prices.items()}
    return replace(its, snapshot=Snapshot(its.snapshot.day, dearer))


def without_price(sku: str) -> Case:
    """The same, where the snapshot has no price of something."""
    its = service()
    left = {key: price for key, price in its.snapshot.prices.items() if key[1] != sku}
    return replace(its, snapshot=Snapshot(its.snapshot.day, left))


def dollars(text: str) -> list[int]:
    """The amounts in a text, in its order."""
    return [int(found.replace(",", "")) for found in re.findall(r"\$([\d,]*\d)", text)]
