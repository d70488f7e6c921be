"""The quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import audit

pytestmark = pytest.mark.services


def test_every_tampering_shows() -> None:
    verdict = audit.run(Scale.QUICK, 14, print)
    assert verdict.broken == ()
    assert int(verdict.figures["tamperings"]) > 150
