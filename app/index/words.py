"""From a clause to PostgreSQL's ``tsquery``: the words that it needs looked up, and the query that comes of them. Pure.

The full-text index holds words as they are written. What else a word may be comes from the tenant's vocabulary, in one
query for all words of a clause: other endings of its stem, words that it may be a misspelling of, words that it begins,
and its synonyms. `words_of` says what to look up, `compile_clause` puts the findings together.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final
from uuid import UUID

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

from app.errors import InvalidQueryError
from app.index.model import Bool, Clause, Everything, Match, Phrase, Prefix

_JOINERS: Final = "\u200c\u200d"
_MARKS: Final = "".join(one for one in map(chr, range(0x300, 0x1F000)) if unicodedata.category(one)[0] == "M")
"""Accents and vowels that are characters of their own, up to the last script that has any: ``\\w`` has none."""

WORD: Final = re.compile(rf"\w[\w{_MARKS}{_JOINERS}'\u2019.@/&+-]*")
"""What a word of a query is. OpenSearch's tokenizer keeps a letter and its marks together; PostgreSQL's parser takes a
query apart in the same way as the text."""

LABELS: Final = {"title": "A", "content": "D"}
"""The weight that a field's words have in the index: a query for one field asks for its label."""

MAX_VARIANTS: Final = 50
"""Words that one word of a query becomes, at most: the most frequent of the vocabulary."""

MAX_COMBINATIONS: Final = 100

MAX_TEXT: Final = 2**20
"""Characters of a query as it is written out: clauses in clauses multiply."""


@dataclass(frozen=True)
class Lookup:
    """A word to look up.

    Attributes:
        word: The word, in lower case.
        prefix: Whether it may go on.
        fuzzy: Whether it may be misspelt.
        synonyms: Whether the tenant's synonyms count.
    """

    word: str
    prefix: bool = False
    fuzzy: bool = False
    synonyms: bool = False


Variants = Mapping[Lookup, tuple[str, ...]]
"""What was found for each word; the word itself need not be among them."""


def split(text: str) -> list[str]:
    """The words of a text, in lower case and without the punctuation behind them."""
    return [found.rstrip("'\u2019.@/&+-").lower() for found in WORD.findall(text)]


def words_of(clause: Clause) -> Iterator[Lookup]:
    """The words of a clause that are to be looked up."""
    if isinstance(clause, Match):
        for word in split(clause.text):
            yield Lookup(word, fuzzy=clause.fuzzy == "auto", synonyms=clause.synonyms)
    elif isinstance(clause, Prefix):
        *before, last = split(clause.text) or [""]
        yield from (Lookup(word) for word in before)
        if last:
            yield Lookup(last, prefix=True)
    elif isinstance(clause, Bool):
        for part in (*clause.must, *clause.should, *clause.must_not):
            yield from words_of(part)


def compile_clause(clause: Clause, variants: Variants, tenant_id: UUID) -> str:
    """The text of the ``tsquery`` of a clause.

    Args:
        clause: The clause.
        variants: What was found for its words.
        tenant_id: Every document of it has one lexeme in common: what matches everything.

    Raises:
        InvalidQueryError: ``minimum_should_match`` of so many clauses cannot be written out.
    """
    everything = quoted(f"t{tenant_id.hex}")

    def build(part: Clause) -> str:
        if isinstance(part, Everything):
            return everything
        if isinstance(part, Bool):
            return combine(part)
        if isinstance(part, Phrase):
            # Field by field: the first word of a content stands behind the last one of its title.
            words = [quoted(word) for word in split(part.text)]
            phrases = [" <-> ".join(f"{word}:{LABELS[field]}" for word in words) for field in part.fields]
            return f"({' | '.join(phrases)})" if words else f"!{everything}"
        label = _label(part.fields)
        lookups = [*words_of(part)]
        if not lookups:
            return f"!{everything}"
        operator = " | " if isinstance(part, Match) and part.operator == "or" else " & "
        return f"({operator.join(_word(lookup, variants.get(lookup, ()), label) for lookup in lookups)})"

    def combine(part: Bool) -> str:
        should = [build(one) for one in part.should]
        all_of = [*(build(one) for one in part.must), *(f"!{build(one)}" for one in part.must_not)]
        if part.needed:
            all_of.append(_at_least(part.needed, should, everything))
        elif should:
            # They need not match, but raise the rank of what has them: everything, with or without.
            all_of.append(f"({everything} | {' | '.join(should)})")
        return f"({' & '.join(all_of)})" if all_of else everything

    return build(clause)


def quoted(word: str) -> str:
    """A word as a literal of ``to_tsquery``: nothing in it is an operator."""
    return "'" + word.replace("\\", "").replace("'", "''") + "'"


def nearest(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    """The words that one may be a misspelling of, `MAX_VARIANTS` at most: the nearest, and of these the most frequent.

    By the optimal string alignment distance (letters inserted, deleted or replaced, or neighbours swapped), which is
    what Lucene's automata count with transpositions.

    Args:
        word: In lower case.
        vocabulary: Words, and how many documents have each.
    """
    found = extract(word, [*vocabulary], scorer=OSA.distance, score_cutoff=edits(word), limit=None)
    ranked = sorted((far, -vocabulary[near], near) for near, far, _ in found)
    return [near for _, _, near in ranked[:MAX_VARIANTS]]


def edits(word: str) -> int:
    """The edits that a misspelt word may have: none up to 2 letters, one up to 5, two from there."""
    return 0 if len(word) <= 2 else 1 if len(word) <= 5 else 2


def _word(lookup: Lookup, variants: tuple[str, ...], label: str) -> str:
    words = dict.fromkeys((lookup.word, *variants))
    # What the vocabulary knows of a prefix is a part of it: the words that go on are matched as such.
    texts = [quoted(word) + (_prefix(label) if lookup.prefix and word == lookup.word else label) for word in words]
    return f"({' | '.join(texts)})" if len(texts) > 1 else texts[0]


def _prefix(label: str) -> str:
    return f":*{label.removeprefix(':')}"


def _label(fields: tuple[str, ...]) -> str:
    labels = sorted(LABELS[field] for field in fields)
    return "" if len(labels) == len(LABELS) else f":{''.join(labels)}"


def _at_least(needed: int, clauses: list[str], everything: str) -> str:
    if needed > len(clauses):
        return f"!{everything}"
    # By arithmetic: to make them in order to count them is what they are refused for.
    number = comb(len(clauses), needed)
    length = sum(map(len, clauses)) * comb(len(clauses) - 1, needed - 1)
    if number > MAX_COMBINATIONS or length > MAX_TEXT:
        raise InvalidQueryError(
            f"minimum_should_match is {needed} of {len(clauses)} clauses",
            why=f"that is {number:,} combinations of {length:,} characters, and {MAX_COMBINATIONS} combinations of"
            f" {MAX_TEXT:,} characters can be written out",
            remedy="Use fewer clauses",
        )
    return "(" + " | ".join(f"({' & '.join(one)})" for one in combinations(clauses, needed)) + ")"
