"""OpenSearch and Redis are late once each: the quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import latency


@pytest.mark.services
def test_what_is_late_is_left_alone_and_nothing_is_lost() -> None:
    verdict = latency.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    for name in ("opensearch", "redis"):
        assert float(verdict.figures[f"{name}_opened_after_s"]) > 0
        assert float(verdict.figures[f"{name}_closed_after_s"]) > 0
        assert int(verdict.figures[f"{name}_acknowledged_writes"]) > 0
    assert int(verdict.figures["opensearch_degraded"]) > 0
