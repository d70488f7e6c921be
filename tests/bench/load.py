"""What the API is loaded with: when requests are sent, what they ask, and what is made of their times. Pure.

All of it follows from a seed: the same seed asks the same of the same corpus.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

VOCABULARY = 20_000
"""Words of the corpus. How often each is used follows Zipf's law, as in natural language."""

_SYLLABLES = tuple(f"{consonant}{vowel}" for consonant in "bdfgklmnprstv" for vowel in "aeiou")


def arrivals(rate: float, seconds: float, chance: random.Random) -> list[float]:
    """When requests are meant to be sent: a Poisson process, whose callers know nothing of each other.

    Args:
        rate: Requests per second, on average.
        seconds: For how long.
        chance: Where chance comes from.

    Returns:
        Seconds from the beginning, ascending.
    """
    if rate <= 0:
        raise ValueError(f"the rate is {rate}: nothing would ever be sent")
    times, now = [], chance.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += chance.expovariate(rate)
    return times


class Zipf:
    """Ranks from 0 whose probability falls with a power: rank k has a weight of 1 / (k + 1) ** s.

    Args:
        size: How many ranks there are.
        s: The exponent. 0 makes all equal; about 1 is what logs of web queries and words of a language show.
    """

    def __init__(self, size: int, s: float) -> None:
        if size < 1 or s < 0:
            raise ValueError(f"there is no such distribution: size {size}, s {s}")
        self._bounds = list(itertools.accumulate((rank + 1) ** -s for rank in range(size)))

    def rank(self, chance: random.Random) -> int:
        """A rank, by chance."""
        return bisect_left(self._bounds, chance.random() * self._bounds[-1])


def percentile(times: Sequence[float], share: float) -> float:
    """The smallest of some ascending times that so great a share does not exceed (nearest rank); NaN of none."""
    if not times:
        return math.nan
    return times[max(0, math.ceil(share * len(times)) - 1)]


@cache
def word(rank: int) -> str:
    """The word of a rank: each rank has its own, and frequent ones are short, as in a language."""
    text = ""
    rank += len(_SYLLABLES)
    while rank:
        rank, at = divmod(rank, len(_SYLLABLES))
        text += _SYLLABLES[at]
    return text


class Corpus:
    """Documents of a vocabulary whose words are used by Zipf's law.

    Args:
        seed: The same one makes the same documents.
        words: Words of a content.
    """

    def __init__(self, seed: int, *, words: int = 60) -> None:
        self._seed, self._words, self._zipf = seed, words, Zipf(VOCABULARY, 1.0)

    def documents(self, count: int, first: int = 0) -> Iterator[dict[str, object]]:
        """Documents, as the API takes them; no two are the same."""
        chance = random.Random(f"{self._seed} {first}")
        for number in range(first, first + count):
            text = [word(self._zipf.rank(chance)) for _ in range(self._words + 5)]
            yield {
                "title": f"{' '.join(text[:5])} {number}",
                "content": " ".join(text[5:]),
                "author": f"author-{chance.randrange(200)}",
                "tags": [f"tag-{chance.randrange(50)}"],
                "metadata": {"pages": chance.randrange(1, 500)},
            }


def query(number: int, salt: int) -> dict[str, object]:
    """The query of a number, as the API takes it: two words that documents use, and a page of ten.

    Args:
        number: Which. Numbers are as good as queries: no two of one salt ask the same.
        salt: Another one makes other queries of the same numbers.
    """
    chance = random.Random(f"{salt} {number}")
    # Not the most frequent words: who searches for "the" finds everything.
    first, second = (word(100 + int(4_900 * chance.random() ** 2)) for _ in range(2))
    # All documents meet the filter: it makes the query another one, not a cheaper one.
    since = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)
    return {"q": f"{first} {second}", "filters": [{"kind": "range", "field": "published_at", "gte": since.isoformat()}]}
