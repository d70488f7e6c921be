"""What the API is loaded with follows from a seed, and has the distribution that it says."""

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.document import check, convert
from app.search import parse
from app.search.parse import Bounds
from tests.bench.driver import Orders
from tests.bench.load import Corpus, Zipf, arrivals, percentile, query, word


@given(st.floats(1, 500), st.floats(0, 3), st.integers())
def test_arrivals_ascend_within_their_time(rate: float, seconds: float, seed: int) -> None:
    times = arrivals(rate, seconds, random.Random(seed))
    assert times == sorted(times)
    assert all(0 < one < seconds for one in times)
    assert times == arrivals(rate, seconds, random.Random(seed))


def test_arrivals_come_at_their_rate_and_by_chance() -> None:
    times = arrivals(1000, 20, random.Random(1))
    # A Poisson process: the variance of a count is its mean, so this is five standard deviations.
    assert abs(len(times) - 20_000) < 5 * math.sqrt(20_000)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    # Gaps are exponential: a share of 1 / e is longer than the mean.
    assert sum(gap > 1 / 1000 for gap in gaps) / len(gaps) == pytest.approx(1 / math.e, abs=0.02)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rate is 0"):
        arrivals(0, 1, random.Random(1))


@pytest.mark.parametrize("s", [0.0, 0.6, 1.0, 1.4])
def test_ranks_are_as_frequent_as_zipf_says(s: float) -> None:
    chance, zipf, draws = random.Random(2), Zipf(50, s), 40_000
    found = Counter(zipf.rank(chance) for _ in range(draws))
    weights = [(rank + 1) ** -s for rank in range(50)]
    for rank, weight in enumerate(weights):
        expected = draws * weight / sum(weights)
        assert abs(found[rank] - expected) < 5 * math.sqrt(expected), rank
    assert max(found) < 50


@pytest.mark.parametrize(("size", "s"), [(0, 1.0), (5, -0.1)])
def test_a_distribution_that_there_is_not_is_refused(size: int, s: float) -> None:
    with pytest.raises(ValueError, match="no such distribution"):
        Zipf(size, s)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_the_least_time_that_so_many_do_not_exceed(times: list[float], share: float) -> None:
    times.sort()
    found = percentile(times, share)
    assert sum(one <= found for one in times) >= share * len(times) - 1e-9
    assert sum(one < found for one in times) < share * len(times)


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


def test_each_rank_has_a_word_of_its_own() -> None:
    assert len({word(rank) for rank in range(20_000)}) == 20_000


def test_documents_can_be_stored_and_follow_from_the_seed() -> None:
    made = [*Corpus(3).documents(20)]
    assert made == [*Corpus(3).documents(20)] != [*Corpus(4).documents(20)]
    stored = [check(convert(one), max_bytes=2**20) for one in made]
    assert len({one.digest() for one in stored}) == 20


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_each_number_is_a_query_of_its_own(one: int, other: int) -> None:
    assert (query(one, 1) == query(other, 1)) == (one == other)


def test_queries_can_be_asked() -> None:
    request = parse.decode(repr(query(5, 1)).replace("'", '"').encode())
    assert parse.to_query(request, Bounds(100, 64, 5)).filters


def test_a_plan_asks_as_many_fresh_queries_as_it_is_told_to_and_none_twice() -> None:
    orders = Orders(port=1, key="", rate=1000, seconds=10, fresh=0.3, known=100, first_fresh=10**6, seed=4)
    plan = orders.plan()
    assert plan == orders.plan()
    fresh = [number for _, number in plan if number >= 10**6]
    assert len({*fresh}) == len(fresh)
    assert len(fresh) / len(plan) == pytest.approx(0.3, abs=0.03)
    assert {number for _, number in plan if number < 10**6} <= {*range(100)}


def test_a_plan_that_warms_the_cache_asks_everything_once() -> None:
    assert [number for _, number in Orders(port=1, key="", rate=0, known=5).plan()] == [0, 1, 2, 3, 4]
