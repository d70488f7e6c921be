"""Both API processes are restarted once: the quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import rolling


@pytest.mark.services
def test_no_request_fails_while_processes_are_restarted_in_turn() -> None:
    verdict = rolling.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    assert int(verdict.figures["requests"]) >= 400
    assert int(verdict.figures["acknowledged_writes"]) > 0
