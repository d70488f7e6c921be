"""Schemathesis and Hypothesis find nothing, in the quick form of the row."""

from pathlib import Path

import pytest

from tests.soak.model import Scale
from tests.soak.rows import fuzz


@pytest.mark.services
def test_whatever_is_sent_the_answer_is_as_described() -> None:
    verdict = fuzz.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    assert int(verdict.figures["operations"]) >= 29
    assert int(verdict.figures["requests"]) >= 200


WRONG = {
    "it does not hold": "@given(integers())\ndef test_it(number):\n    assert number < 9, 'it does not hold'",
    "nowhere": "from nowhere import nothing",
    "no tests ran": "",
}


@pytest.mark.services
@pytest.mark.parametrize("said", WRONG)
def test_a_property_that_does_not_hold_is_found_and_one_that_cannot_be_asked_too(said: str, tmp_path: Path) -> None:
    file = tmp_path / "test_wrong.py"
    file.write_text(f"from hypothesis import given\nfrom hypothesis.strategies import integers\n\n\n{WRONG[said]}\n")
    _, wrong = fuzz._properties((str(file),), 200, 1)
    assert said in " ".join(wrong)
