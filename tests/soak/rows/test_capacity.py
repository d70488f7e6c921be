"""What the API takes is found, and taken: the quick form of the row."""

from typing import Any, cast

import pytest

from tests.bench.plant import Plant
from tests.soak.model import Scale
from tests.soak.rows import capacity


class Taking:
    """A plant that takes so many requests per second."""

    def __init__(self, most: float) -> None:
        self._most = most

    def drive(self, *, rate: float, **_: Any) -> dict[str, Any]:
        return {"failed": {}, "all": {"p99": 0.01 if rate <= self._most else 1.0}}


@pytest.mark.parametrize("most", [50.0, 75.0, 333.0, 2000.0])
def test_the_most_that_holds_is_found_to_a_tenth(most: float) -> None:
    found = capacity.find(cast("Plant", Taking(most)), capacity.SIZES[Scale.FULL], 1, lambda _: None)
    assert most / 1.1 <= found <= most


def test_if_not_even_the_first_rate_holds_there_is_none() -> None:
    assert capacity.find(cast("Plant", Taking(49.0)), capacity.SIZES[Scale.FULL], 1, lambda _: None) == 0


@pytest.mark.services
def test_what_the_api_takes_is_found_and_taken() -> None:
    verdict = capacity.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    assert int(verdict.figures["requests"]) > 0
