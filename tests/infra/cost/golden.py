"""What a total that was worked out by hand is; `golden_*.py` hold them, `test_golden.py` compares them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from infra.plan import Change


@dataclass(frozen=True)
class Case:
    """One total.

    Attributes:
        name: What is priced.
        sum: The arithmetic.
        expected: Its result.
        source: Where the prices are published.
        resources: What is priced.
        use: What the usage file says; everything else is zero.
        least: The arithmetic of the least, if it is another.
        most: The arithmetic of the most, if it is another.
    """

    name: str
    sum: str
    expected: str
    source: str
    resources: tuple[Change, ...]
    use: Mapping[str, Any] = field(default_factory=dict)
    least: str = ""
    most: str = ""


def worked_out(arithmetic: str) -> Decimal:
    """The result of an arithmetic of plain numbers, exactly."""
    assert re.fullmatch(r"[\d\s.+*/()-]+", arithmetic)
    result = eval(re.sub(r"\d+(\.\d+)?", lambda number: f"Decimal('{number[0]}')", arithmetic), {"Decimal": Decimal})
    assert isinstance(result, Decimal)
    return result
