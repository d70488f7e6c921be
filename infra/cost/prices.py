"""The price snapshot: AWS list prices of one day, shipped with the program, each with its source.

    prices.json
    ├── snapshot_date, currency, regions
    ├── sources       key -> where it was read
    └── services      service -> sku
        └── unit, about
            ├── regions   region -> usd, as_of, source, confidence, note
            ├── assumed   region -> the region whose price it is taken to have
            └── without   regions that the sku does not exist in

An entry names every region of the snapshot once: a price that is missing is said to be missing. `docsearch cost
refresh` (`refresh.py`) renews the file from the AWS Pricing API. Nothing here asks the network.

A sku may be one tier of a family: `standard:storage:first-50TB`, `...:next-450TB`, `...:over-500TB`. Tiers join without
a gap; AWS counts 1,024 GB to the TB.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from components.errors import ConfigError
from infra.cost.model import CURRENCY, Confidence, Price

DEFAULT: Final = Path(__file__).resolve().with_name("prices.json")

Key = tuple[str, str, str]
"""Service, sku, region."""


class Bounds(NamedTuple):
    """From which quantity in a month on a price holds, and up to which (None: without end), in units of the price."""

    start: Decimal
    end: Decimal | None


Tiers = tuple[tuple[Decimal | None, Price], ...]
"""Prices by volume: up to which quantity in a month, in units of the price (None: all that is above), and the price."""

_REMEDY: Final = "Correct the entry, or take the file of the repository again: git checkout -- infra/cost/prices.json"


@dataclass(frozen=True)
class Snapshot:
    """Prices by service, sku and region.

    Attributes:
        day: When the snapshot was made; each price also says when it was read itself.
        prices: Every price, by (service, sku, region).
        about: What is always true of a sku, such as what is free, by (service, sku); each price's note starts with it.
        sources: Key of every source in the file, and its text.
    """

    day: date
    prices: Mapping[Key, Price]
    about: Mapping[tuple[str, str], str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def find(self, service: str, sku: str, region: str) -> Price | None:
        """A price; None where the snapshot has none.

        Raises:
            ConfigError: The snapshot has no prices of this region at all.
        """
        self._known(region)
        return self.prices.get((service, sku, region))

    def tiers(self, service: str, family: str, region: str) -> Tiers:
        """The prices of a family of tiers by volume, the first first; a sku without tiers is one tier without end.

        Args:
            service: AWS's service code.
            family: The sku without its last part, such as `standard:storage`.
            region: Region.

        Returns:
            Nothing where the snapshot has no such price. The last bound is None, unless what is above has no price.

        Raises:
            ConfigError: The snapshot has no prices of this region at all.
        """
        self._known(region)
        if single := self.prices.get((service, family, region)):
            return ((None, single),)
        return self._families.get((service, family, region), ())

    def bounds(self, price: Price) -> Bounds | None:
        """The volume that a price is for; None if it is not one of several tiers."""
        start = Decimal(0)
        for end, each in self._families.get((price.service, price.sku.rpartition(":")[0], price.region), ()):
            if each.sku == price.sku:
                return Bounds(start, end)
            start = end or start
        return None

    def age(self, today: date) -> int:
        """Days since the snapshot was made."""
        return (today - self.day).days

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """The regions that there are prices of."""
        return tuple(sorted({region for _, _, region in self.prices}))

    def similar(self, sku: str, service: str = "") -> tuple[str, ...]:
        """Up to three skus that may have been meant, the nearest first.

        Args:
            sku: What is not there.
            service: Look only among this service's; empty for all.
        """
        known = {other for of, other, _ in self.prices if service in {"", of}}
        return tuple(difflib.get_close_matches(sku, sorted(known), n=3, cutoff=0.7))

    def _known(self, region: str) -> None:
        if region not in self.regions:
            raise ConfigError(
                f"there are no prices of region {region!r}",
                why=f"the snapshot of {self.day} holds {', '.join(self.regions) or 'no region'}",
                remedy="Name one of those, or add it to `regions` and to the entries of infra/cost/prices.json",
            )

    @cached_property
    def _families(self) -> dict[Key, Tiers]:
        found: dict[Key, list[tuple[_Tier, Price]]] = {}
        for (service, sku, region), price in self.prices.items():
            family, _, last = sku.rpartition(":")
            if tier := _Tier.read(last, price.unit):
                found.setdefault((service, family, region), []).append((tier, price))
        return {key: _joined(key, tiers) for key, tiers in found.items()}


# Tiers

_COUNTS: Final = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "GB": 1, "TB": 2**10, "PB": 2**20}
"""What a suffix of a bound multiplies by; data in GB, as AWS counts it."""

_BOUND = r"(\d+)(GB|TB|PB|k|M|B|)"
_RELATIVE: Final = re.compile(rf"(first|next|over)-{_BOUND}")
_BETWEEN: Final = re.compile(rf"{_BOUND}-{_BOUND}")
_PER: Final = re.compile(r"(\d+)(k|M|B|) ")


class _Tier(NamedTuple):
    """What a sku says of its tier, in units of its price."""

    kind: str
    quantity: Decimal
    start: Decimal = Decimal(0)

    @classmethod
    def read(cls, suffix: str, unit: str) -> _Tier | None:
        per = _PER.match(unit)
        of_one = _count(*per.groups()) if per else Decimal(1)
        if match := _RELATIVE.fullmatch(suffix):
            return cls(match[1], _count(match[2], match[3]) / of_one)
        if match := _BETWEEN.fullmatch(suffix):
            return cls("between", _count(match[3], match[4]) / of_one, _count(match[1], match[2]) / of_one)
        return None

    @property
    def order(self) -> tuple[bool, bool, Decimal]:
        """The first first, what is over last; AWS's tiers grow, so the others follow their size."""
        return self.kind != "first", self.kind == "over", self.quantity


def _count(digits: str, suffix: str) -> Decimal:
    return Decimal(digits) * _COUNTS[suffix]


def _joined(key: Key, tiers: Iterable[tuple[_Tier, Price]]) -> Tiers:
    """Tiers in their order, with where each ends.

    Raises:
        ConfigError: One does not begin where the one before it ends.
    """
    found: list[tuple[Decimal | None, Price]] = []
    end = Decimal(0)
    for tier, price in sorted(tiers, key=lambda each: each[0].order):
        start = {"first": Decimal(0), "next": end, "between": tier.start, "over": tier.quantity}[tier.kind]
        if start != end or bool(found) == (tier.kind == "first"):
            raise ConfigError(
                f"the tiers of {key[0]} {key[1]} in {key[2]} do not join at {price.sku!r}",
                why=f"it begins at {start:f}, where the tiers before it end at {end:f} (in {price.unit})"
                if start != end
                else "one tier is the first",
                remedy="Name them first-N, next-N and over-N, or A-B, so that each begins where the last one ends",
            )
        end = tier.quantity + (end if tier.kind == "next" else 0)
        found.append((None if tier.kind == "over" else end, price))
    return tuple(found)


# The file


def _exact(value: Any) -> Decimal:
    """A price is text: a JSON number is read as a binary fraction by other programs."""
    if not isinstance(value, str) or not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise ValueError('a price is a decimal number as text, such as "0.192"')
    return Decimal(value)


def _when(value: str) -> str:
    if value != "unknown" and not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?", value):
        raise ValueError("it is a month or a day, such as 2026-07 or 2026-07-20, or `unknown`")
    return value


_Word = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Listed(_Strict):
    usd: Annotated[Decimal, BeforeValidator(_exact), Field(ge=0)]
    as_of: Annotated[str, AfterValidator(_when)]
    source: _Word
    confidence: Confidence
    note: str = ""


class _Entry(_Strict):
    unit: _Word
    about: str = ""
    regions: dict[str, _Listed] = Field(min_length=1)
    assumed: dict[str, str] = {}
    without: tuple[str, ...] = ()


class _File(_Strict):
    snapshot_date: date
    currency: Literal["USD"]
    regions: tuple[str, ...] = Field(min_length=1)
    sources: dict[str, _Word]
    services: dict[str, dict[str, _Entry]]


class _EntryError(Exception):
    """What is wrong, at which entry."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what)
        self.what, self.why = what, why


def load(file: Path = DEFAULT) -> Snapshot:
    """Read a snapshot.

    Args:
        file: Where it is.

    Raises:
        ConfigError: It is not there, or not a snapshot; the message names file, entry, value and remedy.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read", why=str(error), remedy=_REMEDY) from None
    try:
        return _snapshot(text)
    except _EntryError as fault:
        raise ConfigError(f"{file.name}: {fault.what}", why=fault.why, remedy=_REMEDY) from None


def _snapshot(text: str) -> Snapshot:
    try:
        json.loads(text, object_pairs_hook=_once)
        found = _File.model_validate_json(text)
    except json.JSONDecodeError as error:
        raise _EntryError(f"line {error.lineno} is not JSON", f"{error.msg}, column {error.colno}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(map(str, first["loc"])) or "the whole"
        given = "" if first["type"] == "missing" else f" is {_short(first['input'])}"
        raise _EntryError(f"{where}{given}", first["msg"].removeprefix("Value error, ")) from None
    prices = {
        (service, sku, region): price
        for service, entries in found.services.items()
        for sku, entry in entries.items()
        for region, price in _priced(found, service, sku, entry)
    }
    about = {
        (service, sku): entry.about
        for service, entries in found.services.items()
        for sku, entry in entries.items()
        if entry.about
    }
    snapshot = Snapshot(found.snapshot_date, prices, about, found.sources)
    try:
        snapshot._families  # noqa: B018 -- tiers that do not join are found here, not in the middle of an estimate
    except ConfigError as error:
        raise _EntryError(error.what, error.why) from None
    return snapshot


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _EntryError(f"{twice!r} is there twice", "which of the two holds would be chance")
    return found


def _short(value: Any) -> str:
    shown = json.dumps(value, default=str)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _priced(file: _File, service: str, sku: str, entry: _Entry) -> Iterator[tuple[str, Price]]:
    """The price of an entry in each region that it has one in."""
    where = f"{service} {sku}"
    for region in file.regions:
        times = (region in entry.regions) + (region in entry.assumed) + entry.without.count(region)
        if times != 1:
            raise _EntryError(
                f"{where} names {region} {times} times",
                "each region of the snapshot is once in `regions`, `assumed` or `without`",
            )
    if other := {*entry.regions, *entry.assumed, *entry.without} - {*file.regions}:
        raise _EntryError(f"{where} names {min(other)}", f"the snapshot's regions are {', '.join(file.regions)}")
    for region, listed in entry.regions.items():
        if listed.source not in file.sources:
            raise _EntryError(f"{where} {region}: source is {listed.source!r}", "it is not in `sources`")
        if not listed.usd and not (entry.about or listed.note):
            raise _EntryError(f"{where} {region}: usd is 0 without a note", "what is free says why")
        if listed.as_of != "unknown" and listed.as_of[:7] > f"{file.snapshot_date:%Y-%m}":
            raise _EntryError(f"{where} {region}: as_of is {listed.as_of}", f"the snapshot is of {file.snapshot_date}")
        yield region, _price(service, sku, region, entry, listed, file.sources[listed.source])
    for region, like in entry.assumed.items():
        if like not in entry.regions:
            raise _EntryError(f"{where} assumes {region} to be like {like}", f"{like} has no price of its own")
        listed = entry.regions[like]
        yield region, _price(service, sku, region, entry, _taken(listed, region, like), file.sources[listed.source])


def _price(service: str, sku: str, region: str, entry: _Entry, listed: _Listed, source: str) -> Price:
    note = "; ".join(filter(None, (entry.about, listed.note)))
    return Price(service, sku, region, entry.unit, listed.usd, listed.as_of, source, listed.confidence, note)


def _taken(listed: _Listed, region: str, like: str) -> _Listed:
    """The price of one region, taken for another's."""
    surest = Confidence.DERIVED if listed.confidence is Confidence.EXACT else listed.confidence
    note = "; ".join(filter(None, (f"not read in {region}, taken to be as in {like}", listed.note)))
    return listed.model_copy(update={"confidence": surest, "note": note})


def dump(snapshot: Snapshot) -> str:
    """A snapshot as its file: a line for each price, so that a renewal is read as a diff.

    Prices are in the snapshot's order. What a region is only taken to cost is written as that, as long as it still
    costs the same.
    """
    keys = {text: key for key, text in snapshot.sources.items()}
    entries: dict[str, dict[str, dict[str, Price]]] = {}
    for (service, sku, region), price in snapshot.prices.items():
        entries.setdefault(service, {}).setdefault(sku, {})[region] = price
    used = {keys[price.source] for price in snapshot.prices.values()}
    top = {"snapshot_date": f"{snapshot.day}", "currency": CURRENCY, "regions": list(snapshot.regions)}
    sources = {key: text for key, text in sorted(snapshot.sources.items()) if key in used}
    parts = [f"{_json(key)}: {_json(value)}" for key, value in top.items()]
    parts.append(f'"sources": {_block([f"  {_json(key)}: {_json(text)}" for key, text in sources.items()], " ")}')
    services = []
    for service, skus in entries.items():
        about = snapshot.about
        rows = [
            _row(sku, prices, about.get((service, sku), ""), snapshot.regions, keys) for sku, prices in skus.items()
        ]
        services.append(f"  {_json(service)}: {_block(rows, '  ')}")
    parts.append(f'"services": {_block(services, " ")}')
    return _block([f" {part}" for part in parts], "") + "\n"


def _row(sku: str, prices: Mapping[str, Price], about: str, regions: Sequence[str], keys: Mapping[str, str]) -> str:
    """An entry of the file."""
    own: dict[str, _Listed] = {}
    assumed: dict[str, str] = {}
    unit = next(iter(prices.values())).unit
    for region, price in prices.items():
        listed = _Listed.model_validate(
            {
                "usd": f"{price.usd:f}",
                "as_of": price.as_of,
                "source": keys[price.source],
                "confidence": price.confidence,
                "note": price.note.removeprefix(about).removeprefix("; "),
            }
        )
        like = next((other for other, given in own.items() if _taken(given, region, other) == listed), None)
        if like is None:
            own[region] = listed
        else:
            assumed[region] = like
    lines = [
        f"    {_json(region)}: {_json(listed.model_dump(mode='json', exclude_defaults=True))}"
        for region, listed in own.items()
    ]
    head = {"unit": unit} | ({"about": about} if about else {})
    tail = {"assumed": assumed, "without": [region for region in regions if region not in prices]}
    written = [f"{_json(key)}: {_json(value)}" for key, value in head.items()]
    written.append(f'"regions": {_block(lines, "   ")}')
    written += [f"{_json(key)}: {_json(value)}" for key, value in tail.items() if value]
    return f"   {_json(sku)}: {{{', '.join(written)}}}"


def _block(lines: Iterable[str], indent: str) -> str:
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
