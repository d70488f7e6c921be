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


def test_what_does_without_it_may_not_be_turned_away() -> None:
    refused = [latency.Asked(float(at), "write", 503, 0.005, told=True) for at in range(3)]
    assert latency._strange(refused, ("fresh",)) == ["3 times write was answered 503"]
    assert latency._strange(refused, ("write",)) == []
    silent = [latency.Asked(0.0, "fresh", 503, 0.005)]
    assert latency._strange(silent, ("fresh",)) == ["1 times fresh was answered 503"]
