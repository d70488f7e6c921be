"""Who is too much is turned away, and told when to come again: the quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import overload


@pytest.mark.services
def test_an_overload_is_turned_away_and_leaves_nothing_behind() -> None:
    verdict = overload.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    assert int(verdict.figures["shed"]) > 0
    assert int(verdict.figures["served"]) > 0
