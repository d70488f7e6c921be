"""What a document may be, and what a patch makes of it."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.document import CLOCK_SKEW, MAX_INDEXED, SAFE_INTEGER, Document, as_given, check, decode, merged, pointer
from app.errors import InvalidDocumentError

NOW = datetime(2026, 1, 1, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
documents = st.builds(
    Document,
    title=texts.filter(bool),
    content=texts,
    author=texts,
    tags=st.lists(texts.filter(bool), max_size=4).map(tuple),
    metadata=st.dictionaries(
        st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), texts | st.integers(-5, 5) | st.booleans(), max_size=4
    ),
    published_at=st.none() | st.datetimes(max_value=NOW.replace(tzinfo=None), timezones=st.just(UTC)),
)


@given(documents)
def test_a_document_that_was_checked_is_read_back_as_it_is(document: Document) -> None:
    found = check(document, max_bytes=10_000, now=NOW)
    assert decode(msgspec.json.encode(found)) == found
    assert check(found, max_bytes=10_000, now=NOW) == found
    assert found.digest() == check(document, max_bytes=10_000, now=NOW).digest()


@given(documents, documents)
def test_documents_that_say_the_same_have_one_digest(one: Document, other: Document) -> None:
    same = msgspec.structs.replace(one, published_at=other.published_at)
    assert one.digest() == same.digest()
    assert (one.digest() == other.digest()) is (msgspec.structs.replace(other, published_at=one.published_at) == one)


@given(documents, documents)
def test_a_patch_that_is_a_whole_document_replaces_it(one: Document, other: Document) -> None:
    patch = msgspec.to_builtins(other)
    patch["metadata"] = {**dict.fromkeys(one.metadata), **other.metadata}
    assert merged(one, patch) == other


@given(documents)
def test_an_empty_patch_changes_nothing(document: Document) -> None:
    assert merged(document, {}) == document


@pytest.mark.parametrize("patch", [None, 1, [], "x", {"title": None}, {"title": 1}, {"unknown": 1}, {"tags": {"a": 1}}])
def test_a_patch_of_which_no_document_comes_is_refused(patch: Any) -> None:
    with pytest.raises(InvalidDocumentError):
        merged(Document(title="a"), patch)


def test_a_patch_that_is_nested_without_end_is_refused() -> None:
    patch: dict[str, Any] = {}
    for _ in range(5_000):
        patch = {"metadata": patch}
    with pytest.raises(InvalidDocumentError, match="cannot be read"):
        merged(Document(title="a"), patch)


@given(st.integers(-SAFE_INTEGER, SAFE_INTEGER))
def test_a_whole_number_is_the_same_however_it_is_written(number: int) -> None:
    whole, written = (
        check(Document(title="a", metadata={"user_id": value}), max_bytes=1000, now=NOW)
        for value in (number, float(number))
    )
    assert orjson.dumps(written.metadata) == orjson.dumps(whole.metadata)
    assert written.digest() == whole.digest()


@pytest.mark.parametrize("number", [4.2, -0.5, 2.0**53, 1e300])
def test_a_number_that_is_not_whole_or_not_exact_stays_as_it_is(number: float) -> None:
    found = check(Document(title="a", metadata={"n": number}), max_bytes=1000, now=NOW)
    assert found.metadata == {"n": number}
    assert isinstance(found.metadata["n"], float)


@pytest.mark.parametrize("field", ["title", "metadata/user_id"])
def test_what_an_index_of_the_database_holds_is_bounded_in_bytes(field: str) -> None:
    def given(text: str) -> Document:
        return Document(title=text) if field == "title" else Document(title="a", metadata={"user_id": text})

    most = "茶" * (MAX_INDEXED // 3) + "a" * (MAX_INDEXED % 3)
    check(given(most), max_bytes=10_000, now=NOW)
    with pytest.raises(InvalidDocumentError, match="has 2,501 bytes as UTF-8: 2,500 is the most") as refused:
        check(given(most + "a"), max_bytes=10_000, now=NOW)
    assert refused.value.pointer == f"/{field}"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-SAFE_INTEGER, SAFE_INTEGER) | st.booleans())
def test_a_number_comes_out_of_the_database_as_it_was_given(number: float | bool) -> None:
    # jsonb keeps a number's digits, and no exponent.
    kept = number if isinstance(number, bool) else json.loads(f"{Decimal(repr(number)):f}")
    (found,) = as_given({"n": kept}).values()
    assert found == number
    check(Document(title="a", metadata={"n": found}), max_bytes=10_000, now=NOW)


def test_a_date_may_be_ahead_by_what_clocks_differ() -> None:
    check(Document(title="a", published_at=NOW + CLOCK_SKEW), max_bytes=1000, now=NOW)
    with pytest.raises(InvalidDocumentError, match="in the future"):
        check(Document(title="a", published_at=NOW + CLOCK_SKEW + timedelta(seconds=1)), max_bytes=1000, now=NOW)


def test_a_document_beyond_its_bounds_is_refused() -> None:
    check(Document(title="a", content="é" * 400), max_bytes=1000, now=NOW)
    with pytest.raises(InvalidDocumentError, match=r"the document has 1,\d+ bytes"):
        check(Document(title="a", content="é" * 500), max_bytes=1000, now=NOW)


@pytest.mark.parametrize(
    ("place", "found"),
    [("$", ""), ("$.title", "/title"), ("$.tags[0]", "/tags/0"), ("$.metadata[...]", "/metadata"), ("", "")],
)
def test_places_become_pointers(place: str, found: str) -> None:
    assert pointer(place) == found
