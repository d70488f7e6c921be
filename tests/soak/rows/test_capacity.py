"""What the API takes is found, and taken: the quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import capacity


@pytest.mark.services
def test_what_the_api_takes_is_found_and_taken() -> None:
    verdict = capacity.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    assert int(verdict.figures["requests"]) > 0
