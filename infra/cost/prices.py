"""The price snapshot: AWS list prices of one day, shipped with the program, each with its source.

`prices.json` holds them. `docsearch cost refresh` (`refresh.py`) renews it from the AWS Pricing API. Nothing here asks
the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from infra.cost.model import Price


@dataclass(frozen=True)
class Snapshot:
    """Prices by service, sku and region.

    Attributes:
        day: When the snapshot was made.
        prices: Every price, by (service, sku, region).
    """

    day: date
    prices: dict[tuple[str, str, str], Price]

    def find(self, service: str, sku: str, region: str) -> Price | None:
        """A price; None where the snapshot has none."""
        return self.prices.get((service, sku, region))
