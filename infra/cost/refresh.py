"""Renew the price snapshot from AWS's price list.

Every price of the snapshot is asked for again (`asks.py` says how). One that is found gets today's date; one that is
not keeps its price *and its date*, and is named with the reason. So the file may hold prices of several days, and says
so of each.

Nothing is guessed: no answer, several answers, another unit, another currency, or a price so far from the old one that
it is more likely something else, all keep what there was. The file is replaced in one step at the end, or not at all.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from components.errors import ConfigError, DocsearchError
from infra.cost import prices
from infra.cost.model import Confidence, Price
from infra.cost.price_list import Question, RefusedError, pick, question, reason
from infra.cost.prices import DEFAULT, Key, Snapshot

REGION: Final = "us-east-1"
"""Where the API is; it answers for every region.

Source: AWS Price List API reference, service endpoints.
"""

SOURCE: Final = ("aws-price-list", "AWS Price List API, GetProducts")
"""Key and text of the source of a price that was renewed."""

FACTOR: Final = Decimal(4)
"""A price that is more than this many times the old one, or less than that part of it, is taken for something else."""

_CONFIG: Final = Config(retries={"mode": "standard", "total_max_attempts": 10}, connect_timeout=10, read_timeout=60)
_PAGE: Final = 100
"""Products of a page: the most that GetProducts gives."""


@dataclass(frozen=True)
class Renewed:
    """A price that is another now.

    Attributes:
        old: What the snapshot had.
        new: What the price list says.
    """

    old: Price
    new: Price

    @property
    def percent(self) -> Decimal | None:
        """By how much it rose, in per cent to one place; None for what was free."""
        if not self.old.usd:
            return None
        return ((self.new.usd / self.old.usd - 1) * 100).quantize(Decimal("0.1"))

    def __str__(self) -> str:
        by = "" if self.percent is None else f" ({self.percent:+}%)"
        old, new = self.old, self.new
        return f"{new.service} {new.sku} {new.region}: {old.usd:f} -> {new.usd:f} per {new.unit}{by}"

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            **_named(self.new),
            "unit": self.new.unit,
            "old": f"{self.old.usd:f}",
            "old_as_of": self.old.as_of,
            "new": f"{self.new.usd:f}",
            "percent": None if self.percent is None else f"{self.percent}",
        }


@dataclass(frozen=True)
class Kept:
    """A price that stays as it was, with its date.

    Attributes:
        price: The price.
        why: Why it could not be renewed.
    """

    price: Price
    why: str

    def __str__(self) -> str:
        price = self.price
        return f"{price.service} {price.sku} {price.region} stays {price.usd:f} of {price.as_of}: {self.why}"

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {**_named(self.price), "usd": f"{self.price.usd:f}", "as_of": self.price.as_of, "why": self.why}


@dataclass(frozen=True)
class Renewal:
    """What came of asking again.

    Attributes:
        snapshot: The snapshot as it is now.
        changes: Prices that are others now.
        kept: Prices that stay as they were, with their dates.
        previous: Day of the snapshot before.
    """

    snapshot: Snapshot
    changes: tuple[Renewed, ...]
    kept: tuple[Kept, ...]
    previous: date

    @property
    def read(self) -> int:
        """How many prices the price list had, changed or not."""
        return len(self.snapshot.prices) - len(self.kept)

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "snapshot_date": f"{self.snapshot.day}",
            "previous_date": f"{self.previous}",
            "prices": len(self.snapshot.prices),
            "read": self.read,
            "changes": [change.as_json() for change in self.changes],
            "kept": [kept.as_json() for kept in self.kept],
        }


def _named(price: Price) -> dict[str, Any]:
    return {"service": price.service, "sku": price.sku, "region": price.region}


def renew(
    file: Path = DEFAULT,
    *,
    today: date,
    client: Any = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Renewal:
    """Renew a snapshot's file.

    Args:
        file: The file.
        today: The day that prices which are read now are of.
        client: A boto3 client of `pricing`; by default one with the environment's credentials.
        tell: Takes lines of progress.

    Raises:
        ConfigError: The file is no snapshot, or is of a day after today.
        DocsearchError: AWS does not answer or has no price at all, or the file cannot be written; it is as it was.
    """
    renewal = refresh(prices.load(file), client or connect(), today, tell=tell)
    if not renewal.read:
        raise DocsearchError(
            "AWS's price list has none of the prices",
            why=renewal.kept[0].why if renewal.kept else "the snapshot is empty",
            remedy=f"{file.name} is as it was. See that infra/cost/asks.py still asks for what AWS has",
        )
    _write(file, prices.dump(renewal.snapshot))
    return renewal


def connect() -> Any:
    """A client of the price list that waits and asks again when it is told that it asks too often.

    Raises:
        DocsearchError: There is no such client with this environment's settings.
    """
    try:
        return boto3.client("pricing", region_name=REGION, config=_CONFIG)
    except BotoCoreError as error:
        raise _unanswered(error) from None


def refresh(
    snapshot: Snapshot, client: Any, today: date, *, tell: Callable[[str], None] = lambda line: None
) -> Renewal:
    """Ask for every price of a snapshot again.

    Args:
        snapshot: What there is.
        client: A boto3 client of `pricing`.
        today: The day that prices which are read now are of.
        tell: Takes a line of progress for each service and region.

    Raises:
        ConfigError: The snapshot is of a day after today.
        DocsearchError: AWS does not answer.
    """
    if today < snapshot.day:
        raise ConfigError(
            f"today is {today}",
            why=f"the snapshot is of {snapshot.day}, and prices would get an earlier date than those that are kept",
            remedy="Set this machine's clock",
        )
    ask = _Asker(client)
    found: dict[Key, Price] = {}
    changes: list[Renewed] = []
    kept: list[Kept] = []
    counts = Counter((service, region) for service, _, region in snapshot.prices)
    for key, old in snapshot.prices.items():
        if count := counts.pop((old.service, old.region), 0):
            tell(f"{old.service} in {old.region}: {count} prices")
        try:
            new = _renewed(snapshot, old, ask, today)
        except RefusedError as refusal:
            kept.append(Kept(old, str(refusal)))
            new = old
        if new.usd != old.usd:
            changes.append(Renewed(old, new))
        found[key] = new
    return Renewal(
        snapshot=Snapshot(today, found, snapshot.about, {**snapshot.sources, **dict([SOURCE])}),
        changes=tuple(changes),
        kept=tuple(kept),
        previous=snapshot.day,
    )


def _renewed(snapshot: Snapshot, old: Price, ask: _Asker, today: date) -> Price:
    """A price as the price list has it.

    Raises:
        RefusedError: It has none that can be taken.
    """
    asked = question(old.service, old.sku, old.region)
    if asked is None:
        raise RefusedError(reason(old.service, old.sku) or "infra/cost/asks.py does not ask for it")
    new = pick(asked, ask(asked), snapshot.bounds(old))
    # One of them free is as far apart as can be; both free is no change.
    if new.usd * FACTOR < old.usd or new.usd > old.usd * FACTOR:
        raise RefusedError(f"{new.sku} costs {new.usd.normalize():f}, too far from {old.usd:f} to be the same thing")
    about = snapshot.about.get((old.service, old.sku), "")
    return replace(
        old,
        usd=Decimal(f"{new.usd.normalize():f}"),
        as_of=f"{today}",
        source=SOURCE[1],
        confidence=Confidence.EXACT,
        note="; ".join(filter(None, (about, f"AWS SKU {new.sku}"))),
    )


class _Asker:
    """Asks the price list, once for the same filters."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._answers: dict[tuple[str, tuple[tuple[str, str], ...]], Sequence[str]] = {}

    def __call__(self, asked: Question) -> Sequence[str]:
        """Products, each a JSON text.

        Raises:
            DocsearchError: AWS does not answer.
        """
        key = asked.code, asked.terms
        if key not in self._answers:
            filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in asked.terms]
            try:
                pages = self._client.get_paginator("get_products").paginate(
                    ServiceCode=asked.code,
                    Filters=filters,
                    FormatVersion="aws_v1",
                    PaginationConfig={"PageSize": _PAGE},
                )
                self._answers[key] = [product for page in pages for product in page["PriceList"]]
            except (BotoCoreError, ClientError) as error:
                raise _unanswered(error) from None
        return self._answers[key]


def _unanswered(error: BotoCoreError | ClientError) -> DocsearchError:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    remedy = {
        "AccessDeniedException": "Allow the caller `pricing:GetProducts` on `*`",
        "ThrottlingException": "Run it again later; it asks slowly, but others of the account may not",
        "NoCredentialsError": "Give this shell credentials of any account: prices are the same for all",
    }.get(code, "See that this shell reaches AWS and its credentials are valid")
    return DocsearchError(
        f"AWS's price list does not answer: {code}", why=str(error), remedy=f"{remedy}. The snapshot is as it was"
    )


def _write(file: Path, text: str) -> None:
    """Replace a file in one step: whoever reads it, or a run that is stopped, leaves the old one or the new one."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as error:
        raise DocsearchError(
            f"{file} cannot be written", why=str(error), remedy="It is as it was. Name another file, or free this one"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
