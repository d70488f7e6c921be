"""Words of a query, and how far apart two of them are."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidQueryError
from app.index.model import Bool, Clause, Everything, Match, Phrase, Prefix
from app.index.words import MAX_TEXT, MAX_VARIANTS, Lookup, compile_clause, edits, nearest, quoted, split, words_of

TENANT = UUID(int=1)
ALL = f"'t{TENANT.hex}'"

letters = st.text("abc", max_size=6)


def compiled(clause: Clause, **variants: tuple[str, ...]) -> str:
    found = {lookup: variants.get(lookup.word, ()) for lookup in words_of(clause)}
    return compile_clause(clause, found, TENANT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Green tea", ["green", "tea"]),
        ("  (tea), & coffee! ", ["tea", "coffee"]),
        ("it's e-mail@example.com.", ["it's", "e-mail@example.com"]),
        ("Grüße naïve 北京", ["grüße", "naïve", "北京"]),
        ("हिन्दी, தமிழ்; שָׁלוֹם", ["हिन्दी", "தமிழ்", "שָׁלוֹם"]),
        ("cafe\u0301 नमस्\u200dते", ["cafe\u0301", "नमस्\u200dते"]),
        ("?! ...", []),
    ],
)
def test_a_text_is_split_into_words(text: str, words: list[str]) -> None:
    assert split(text) == words


@pytest.mark.parametrize(
    ("clause", "text"),
    [
        (Everything(), ALL),
        (Bool(), ALL),
        (Match("tea"), "'tea'"),
        (Match("green tea"), "('green' & 'tea')"),
        (Match("green tea", operator="or"), "('green' | 'tea')"),
        (Match("tea", fields=("title",)), "'tea':A"),
        (Match("?!"), f"!{ALL}"),
        (Phrase("green tea"), "('green':A <-> 'tea':A) | ('green':D <-> 'tea':D)"),
        (Phrase("green tea", fields=("content",)), "('green':D <-> 'tea':D)"),
        (Prefix("green te"), "('green' & 'te':*)"),
        (Prefix("te", fields=("content",)), "('te':*D)"),
        (Bool(must_not=(Match("tea"),)), "(!('tea'))"),
        (Bool(should=(Match("a"), Match("b"))), "((('a') | ('b')))"),
    ],
)
def test_a_clause_becomes_a_tsquery(clause: Clause, text: str) -> None:
    def bare(value: str) -> str:
        return value.replace("(", "").replace(")", "").replace(" ", "")

    assert bare(compiled(clause)) == bare(text)


def test_variants_stand_beside_their_word() -> None:
    assert compiled(Match("tea runs"), runs=("run", "running")) == "('tea' & ('runs' | 'run' | 'running'))"
    assert [*words_of(Prefix("green te"))] == [Lookup("green"), Lookup("te", prefix=True)]


def test_too_many_combinations_are_refused() -> None:
    clauses = tuple(Match(letter) for letter in "abcdefghijkl")
    with pytest.raises(InvalidQueryError, match="combinations"):
        compiled(Bool(should=clauses, minimum_should_match=6))
    assert compiled(Bool(should=clauses[:2], minimum_should_match=2)).count("&") == 1


def test_combinations_are_refused_before_they_are_made() -> None:
    """30 of 60 are 10 to the 17th: whoever makes them in order to count them never ends."""
    with pytest.raises(InvalidQueryError, match="118,264,581,564,861,424 combinations"):
        compiled(Bool(should=(Everything(),) * 60, minimum_should_match=30))


def test_clauses_in_clauses_are_refused_when_they_are_too_long_to_be_written() -> None:
    clause: Clause = Match("tea")
    for depth in range(6):
        clause = Bool(should=(clause,) * 9, minimum_should_match=3)
        try:
            assert len(compiled(clause)) < 2 * MAX_TEXT
        except InvalidQueryError as error:
            assert "characters" in str(error)  # noqa: PT017 (which depth it is at is not what counts)
            assert depth > 1
            return
    pytest.fail("nothing was refused")


@given(st.text())
def test_nothing_in_a_quoted_word_is_an_operator(word: str) -> None:
    text = quoted(word)
    inner = text[1:-1].replace("''", "")
    assert text[0] == text[-1] == "'"
    assert "'" not in inner
    assert "\\" not in inner


def one_edit(word: str) -> set[str]:
    """All that one mistake makes of a word of the letters a, b and c."""
    found = {word[:at] + letter + word[at:] for at in range(len(word) + 1) for letter in "abc"}
    found |= {word[:at] + letter + word[at + 1 :] for at in range(len(word)) for letter in ("", *"abc")}
    found |= {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    return found - {word}


@given(st.text("abc", min_size=3, max_size=5), st.sets(st.text("abc", max_size=6), max_size=30), st.data())
def test_a_word_of_up_to_five_letters_has_one_mistake(word: str, others: set[str], data: st.DataObject) -> None:
    one = one_edit(word)
    vocabulary = dict.fromkeys(others | data.draw(st.sets(st.sampled_from(sorted(one)))), 1)
    assert {*nearest(word, vocabulary)} == {*vocabulary} & {word, *one}


@given(st.text("abc", min_size=6, max_size=8), st.data())
def test_the_nearest_come_first_and_of_these_the_most_frequent(word: str, data: st.DataObject) -> None:
    rare, frequent = data.draw(st.lists(st.sampled_from(sorted(one_edit(word))), min_size=2, max_size=2, unique=True))
    vocabulary = {f"{word}zz": 9, rare: 2, frequent: 3, word: 1, f"{word}zzz": 9}
    assert nearest(word, vocabulary) == [word, frequent, rare, f"{word}zz"]


def test_of_many_near_words_fifty_are_taken() -> None:
    assert len(nearest("abcabc", dict.fromkeys(one_edit("abcabc") | one_edit("abcab"), 1))) == MAX_VARIANTS


def test_longer_words_may_have_more_mistakes() -> None:
    assert [edits("x" * length) for length in (1, 2, 3, 5, 6, 20)] == [0, 0, 1, 1, 2, 2]
