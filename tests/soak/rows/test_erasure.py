"""The quick form of the row."""

import pytest

from tests.soak.model import Scale
from tests.soak.rows import erasure

pytestmark = pytest.mark.services


def test_an_erased_user_is_nowhere_and_comes_back_by_no_restore() -> None:
    verdict = erasure.run(Scale.QUICK, 13, print)
    assert verdict.broken == ()
    assert int(verdict.figures["documents_erased"]) == 22
