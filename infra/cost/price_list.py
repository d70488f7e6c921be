"""AWS's price list: how a sku of the snapshot is asked for, and how its price is picked from the answer.

The Price List API (`pricing:GetProducts`) answers with products, each a JSON text of attributes and terms. The table
`asks.py` says what to ask for. A price is taken only if there is one answer: products that match must agree in ranges,
unit and price.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from infra.cost.asks import ASKS, NOT_ASKED, Ask
from infra.cost.model import CURRENCY
from infra.cost.prices import Bounds

PREFIXES: Final[Mapping[str, str]] = {
    "us-east-1": "USE1",
    "us-east-2": "USE2",
    "us-west-1": "USW1",
    "us-west-2": "USW2",
    "eu-west-1": "EU|EUW1",
    "eu-central-1": "EUC1",
}
"""How usage types begin in a region; in us-east-1 most have no prefix, and KMS writes the region itself.

Source: AWS Billing, usage types in cost and usage reports.
"""

_WORDS: Final = {
    "single-az": "Single-AZ",
    "multi-az": "Multi-AZ",
    "multi-az-readable": "Multi-AZ (readable standbys)",
    "redis": "Redis",
    "valkey": "Valkey",
    "per-node": "Single-AZ",
    "cluster-3-node": "Multi-AZ",
}
"""What the price list calls what a sku says."""


class Question(NamedTuple):
    """One sku in one region, as it is asked for.

    Attributes:
        code: AWS's service code.
        terms: Attributes to filter by, sorted.
        usage: What the usage type has to match.
        ask: Where it comes from.
    """

    code: str
    terms: tuple[tuple[str, str], ...]
    usage: re.Pattern[str]
    ask: Ask


class Found(NamedTuple):
    """A price as the list has it, in our unit, and AWS's own id of the product."""

    usd: Decimal
    sku: str


class RefusedError(Exception):
    """There is no one answer to a question; the message says why."""


def question(service: str, sku: str, region: str) -> Question | None:
    """How to ask for a sku in a region; None if it is not asked for.

    Raises:
        RefusedError: How usage types begin in that region is not known.
    """
    for ask in ASKS:
        if ask.service == service and (match := re.fullmatch(ask.skus, sku)):
            groups = {key: value for key, value in match.groupdict().items() if value is not None} | {"region": region}
            terms = {key: value.format_map(_Named(groups)) for key, value in ask.terms.items()}
            usage = ask.usage.format_map({key: re.escape(value) for key, value in groups.items()})
            if ask.regional:
                if region not in PREFIXES:
                    raise RefusedError(f"how usage types begin in {region} is not known: infra/cost/price_list.py")
                usage = f"(?:(?:{PREFIXES[region]}|{region})-)?(?:{usage})"
                if "fromRegionCode" not in terms:
                    terms["regionCode"] = region
            return Question(ask.code or service, tuple(sorted(terms.items())), re.compile(usage, re.IGNORECASE), ask)
    return None


def reason(service: str, sku: str) -> str:
    """Why a sku is not asked for; empty if it is not in the list."""
    return next((why for of, skus, why in NOT_ASKED if of == service and re.fullmatch(skus, sku)), "")


class _Named(dict[str, str]):
    """Groups of a sku in the price list's words."""

    def __getitem__(self, key: str) -> str:
        value = super().__getitem__(key)
        return _WORDS.get(value, value)


# Answers


class _Range(NamedTuple):
    begin: Decimal
    end: Decimal | None
    unit: str
    usd: Decimal


def pick(asked: Question, products: Iterable[str], bounds: Bounds | None) -> Found:
    """The price that an answer has for a question.

    Args:
        asked: The question.
        products: The price list's entries, each a JSON text.
        bounds: The tier that is asked for; None if the sku has no tiers.

    Raises:
        RefusedError: There is none, or more than one, or it is in another unit or currency.
    """
    matching = [product for product in map(_parsed, products) if _matches(asked, product)]
    if not matching:
        raise RefusedError("the price list has no such product")
    priced = {_sku(product): _ranges(product) for product in matching}
    if len(set(priced.values())) > 1:
        raise RefusedError(f"{len(priced)} products match at different prices: {', '.join(sorted(priced))}")
    sku, ranges = min(priced.items())
    for each in ranges:
        if not re.fullmatch(asked.ask.unit, each.unit, re.IGNORECASE):
            raise RefusedError(f"{sku} is priced per {each.unit!r}, which is not the unit that the snapshot counts in")
    return Found(_one(asked.ask, sku, ranges, bounds).usd * asked.ask.per, sku)


def _one(ask: Ask, sku: str, ranges: tuple[_Range, ...], bounds: Bounds | None) -> _Range:
    """The range that is asked for."""
    if bounds is not None:
        start, end = bounds.start * ask.per, bounds.end and bounds.end * ask.per
        for each in ranges:
            if (each.begin, each.end) == (start, end):
                return each
        wanted = f"{start:f} to {'Inf' if end is None else f'{end:f}'}"
        raise RefusedError(f"{sku} has no range {wanted}; it has {_shown(ranges)}")
    charged = [each for each in ranges if each.usd] or list(ranges)
    if len(charged) > 1 and not ask.first:
        raise RefusedError(f"{sku} is charged by volume, which the snapshot does not expect: {_shown(ranges)}")
    return charged[0]


def _shown(ranges: Iterable[_Range]) -> str:
    return ", ".join(f"{each.begin:f} to {'Inf' if each.end is None else f'{each.end:f}'}" for each in ranges)


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        product = json.loads(text)
        _sku(product), _usage(product)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RefusedError(f"the answer has an entry that is no product: {text[:60]!r}") from None
    return dict(product)


def _matches(asked: Question, product: Mapping[str, Any]) -> bool:
    """Whether a product is what was asked for; the service has filtered already, and is not taken at its word."""
    has = {**product["product"]["attributes"], "productFamily": product["product"].get("productFamily", "")}
    return bool(asked.usage.fullmatch(_usage(product))) and all(has.get(key) == value for key, value in asked.terms)


def _sku(product: Mapping[str, Any]) -> str:
    return str(product["product"]["sku"])


def _usage(product: Mapping[str, Any]) -> str:
    return str(product["product"]["attributes"].get("usagetype", ""))


def _ranges(product: Mapping[str, Any]) -> tuple[_Range, ...]:
    """The ranges of the one on-demand term, in their order."""
    sku = _sku(product)
    try:
        terms = list(product["terms"]["OnDemand"].values())
        if len(terms) != 1:
            raise RefusedError(f"{sku} has {len(terms)} on-demand terms")
        return tuple(sorted(_range(sku, each) for each in terms[0]["priceDimensions"].values()))
    except (KeyError, TypeError, AttributeError, InvalidOperation):
        raise RefusedError(f"{sku} has no on-demand price that can be read") from None


def _range(sku: str, dimension: Mapping[str, Any]) -> _Range:
    price = dimension["pricePerUnit"]
    if CURRENCY not in price:
        raise RefusedError(f"{sku} is priced in {', '.join(sorted(price)) or 'no currency'}, not in {CURRENCY}")
    end = dimension["endRange"]
    usd = Decimal(price[CURRENCY])
    if not usd.is_finite() or usd < 0:
        raise RefusedError(f"{sku} costs {usd}")
    return _Range(Decimal(dimension["beginRange"]), None if end == "Inf" else Decimal(end), str(dimension["unit"]), usd)
