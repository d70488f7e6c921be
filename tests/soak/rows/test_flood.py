"""A tenant that floods is refused, and the other one is served: the quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import flood


@pytest.mark.services
def test_a_tenant_that_floods_is_refused_and_the_others_are_served() -> None:
    verdict = flood.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    assert int(verdict.figures["calm_requests"]) > 0
