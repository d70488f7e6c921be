"""Every part is killed once: the quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import kills


@pytest.mark.services
def test_nothing_acknowledged_is_lost_and_nothing_is_there_twice() -> None:
    verdict = kills.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    for victim in kills.VICTIMS:
        assert int(verdict.figures[f"{victim}_kills"]) == 1
        assert int(verdict.figures[f"{victim}_acknowledged"]) >= 200
