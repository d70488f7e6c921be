"""Schemathesis and Hypothesis find nothing, in the quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import fuzz


@pytest.mark.services
def test_whatever_is_sent_the_answer_is_as_described() -> None:
    verdict = fuzz.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    assert int(verdict.figures["operations"]) >= 29
    assert int(verdict.figures["requests"]) >= 200
