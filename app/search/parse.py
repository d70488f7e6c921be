"""From what a caller sends to a typed query: every part checked, every size bounded. Pure.

    {"q": "green tea", "fuzzy": "auto",               words, or with "query" a clause
     "filters": [{"kind": "term", "field": "author", "values": ["ada", "bob"]},
                 {"kind": "range", "field": "published_at", "gte": "2024-01-01T00:00:00Z"}],
     "facets": ["tags"], "highlight": true, "sort": ["-published_at"], "fields": ["title"],
     "size": 10, "from": 0}                           or "cursor" instead of "from"

What is wrong is named by its JSON Pointer (RFC 6901), with what it may be instead. Nothing unknown is ignored.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from app.document import KEY, MAX_VALUE, SAFE_INTEGER, pointer, storable
from app.errors import InvalidQueryError
from app.index.model import (
    DATE_FIELDS,
    KEYWORD_FIELDS,
    MAX_WINDOW,
    METADATA,
    RETURNED_FIELDS,
    SELECTABLE_FIELDS,
    SORT_FIELDS,
    TEXT_FIELDS,
    Bool,
    Clause,
    Everything,
    Exists,
    FacetRequest,
    Filter,
    Highlight,
    Match,
    Not,
    Query,
    Range,
    Scalar,
    Sort,
    Suggest,
    Term,
)
from app.index.words import split

MAX_TEXT: Final = 1_000
MAX_WORDS: Final = 300
MAX_FUZZY_WORDS: Final = 20
MAX_VALUES: Final = 100
MAX_FACETS: Final = 10
MAX_BUCKETS: Final = 100
MAX_SORT: Final = 4
MAX_SUGGESTIONS: Final = 20
MAX_PREFIX: Final = 100
MAX_MARK: Final = 40
MAX_CURSOR: Final = 32_768
MAX_WHOLE: Final = 10
"""Bounds of the parts of a query, characters and counts: what costs an engine more is no search."""


@dataclass(frozen=True)
class Bounds:
    """What a query may be at most.

    Attributes:
        page: Hits of a page.
        clauses: Clauses and filters, all together.
        depth: Clauses within clauses, and filters within filters.
    """

    page: int = 100
    clauses: int = 64
    depth: int = 5


class SearchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A search.

    Attributes:
        q: Words, of which a document needs all; nothing finds everything.
        query: A clause, instead of words.
        fuzzy: Whether the words may be misspelt: of 20 words at most.
        filters: What has to hold besides.
        facets: What is counted: fields, or objects with a size.
        highlight: Whether to mark what was found, and how.
        sort: Fields in their order, with ``-`` in front for descending; by default ``-score``.
        fields: What each hit holds.
        size: Hits of a page; with ``content`` among the fields 10 at most.
        offset: Hits before the page.
        cursor: The ``next`` of the page before.
    """

    q: str = ""
    query: Clause | None = None
    fuzzy: Literal["off", "auto"] = "off"
    filters: tuple[Filter, ...] = ()
    facets: tuple[str | FacetRequest, ...] = ()
    highlight: bool | Highlight = False
    sort: tuple[str, ...] = ()
    fields: tuple[str, ...] = RETURNED_FIELDS
    size: int = 10
    offset: int = field(default=0, name="from")
    cursor: str = ""


def decode(body: bytes) -> SearchRequest:
    """Reads a search from JSON.

    Raises:
        InvalidQueryError: It is none.
    """
    try:
        return _DECODER.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error) from error


def unreadable(error: Exception) -> InvalidQueryError:
    """What is wrong with a JSON that is no query, with the place that msgspec names as a pointer."""
    what, _, place = str(error).partition(" - at `")
    return InvalidQueryError("the query cannot be read", why=what[:300], pointer=pointer(place.rstrip("`"))[:300])


def to_query(request: SearchRequest, bounds: Bounds) -> Query:
    """The query of a request, without the position that its cursor holds.

    Raises:
        InvalidQueryError: Something in it cannot be searched, or is beyond the bounds.
    """
    marks = request.highlight
    found = Query(
        clause=_clause(request),
        filters=request.filters,
        facets=tuple(FacetRequest(one) if isinstance(one, str) else one for one in request.facets),
        highlight=(Highlight() if marks else None) if isinstance(marks, bool) else marks,
        sort=_sort(request.sort),
        fields=tuple(dict.fromkeys(request.fields)),
        size=request.size,
        offset=request.offset,
    )
    # Whole documents are up to 1 MiB each, and a page of them is in memory several times.
    _between("/size", request.size, 0, min(bounds.page, MAX_WHOLE) if "content" in request.fields else bounds.page)
    _between("/from", request.offset, 0, MAX_WINDOW)
    if request.cursor and request.offset:
        raise InvalidQueryError(
            "from and cursor are both given", why="a cursor holds where it goes on", pointer="/from"
        )
    if request.offset + request.size > MAX_WINDOW:
        raise InvalidQueryError(
            f"from and size reach to {request.offset + request.size:,}",
            why=f"{MAX_WINDOW:,} is the most",
            remedy="Go on with the cursor of the page before",
            pointer="/from",
        )
    _text("/cursor", request.cursor, MAX_CURSOR)
    if not request.fields:
        raise InvalidQueryError("fields is empty", why=f"there is {', '.join(SELECTABLE_FIELDS)}", pointer="/fields")
    for at, name in enumerate(request.fields):
        _choice(f"/fields/{at}", name, SELECTABLE_FIELDS)
    _facets(found.facets)
    if found.highlight:
        _highlight(found.highlight)
    check = _Check(bounds)
    check.clause(found.clause, "/query" if request.query else "/q", 1)
    check.filters(found.filters, "/filters", 1)
    return msgspec.structs.replace(found, clause=in_utc(found.clause), filters=tuple(map(filter_in_utc, found.filters)))


def check_filters(filters: Sequence[Filter], bounds: Bounds) -> None:
    """Checks filters that a token is to force, as those of a query are checked.

    Raises:
        InvalidQueryError: They cannot be searched, or are beyond the bounds.
    """
    _Check(bounds).filters(filters, "/filters", 1)


def from_parameters(pairs: Iterable[tuple[str, str]]) -> SearchRequest:
    """Reads a search from the parameters of an address.

    A filter is ``author:ada``, ``metadata.pages>=12`` or ``metadata.shelf:*`` (it is there), with ``-`` in front if it
    may not hold.

    Raises:
        InvalidQueryError: One of them is not known, is given twice, or cannot be read.
    """
    found: dict[str, Any] = {}
    filters: list[Filter] = []
    for name, value in pairs:
        if name == "filter":
            filters.append(_filter(value, f"/filter/{len(filters)}"))
            continue
        _choice(f"/{name[:80]}", name, _PARAMETERS)
        if name in found:
            raise InvalidQueryError(f"{name} is given twice", pointer=f"/{name}")
        if name in ("size", "from"):
            found[name] = _whole(f"/{name}", value)
        elif name == "highlight":
            found[name] = _choice("/highlight", value, ("true", "false")) == "true"
        elif name == "fuzzy":
            found[name] = _choice("/fuzzy", value, ("off", "auto"))
        elif name in ("facets", "sort", "fields"):
            found[name] = tuple(part.strip() for part in value.split(","))
        else:
            found[name] = value
    offset = found.pop("from", 0)
    return SearchRequest(**found, filters=tuple(filters), offset=offset)


def parameters(given: Mapping[str, str]) -> tuple[str, int]:
    """Reads prefix and size of a suggestion from the parameters of an address.

    Raises:
        InvalidQueryError: One of them is not known, or size is no number.
    """
    for name in given:
        _choice(f"/{name[:80]}", name, ("q", "size"))
    return given.get("q", ""), _whole("/size", given["size"]) if "size" in given else 5


def to_suggest(prefix: str, size: int) -> Suggest:
    """What is being typed, checked.

    Raises:
        InvalidQueryError: It is empty or too long, or there would be too many suggestions.
    """
    _between("/size", size, 1, MAX_SUGGESTIONS)
    _text("/q", prefix, MAX_PREFIX, blank=False)
    return Suggest(prefix, size)


def in_utc(clause: Clause) -> Clause:
    """A clause with the dates of its filters in UTC: equal queries are then kept under one key."""
    if not isinstance(clause, Bool):
        return clause
    return msgspec.structs.replace(
        clause,
        must=tuple(map(in_utc, clause.must)),
        should=tuple(map(in_utc, clause.should)),
        must_not=tuple(map(in_utc, clause.must_not)),
        filter=tuple(map(filter_in_utc, clause.filter)),
    )


def filter_in_utc(one: Filter) -> Filter:
    """A filter with its dates in UTC."""
    if isinstance(one, Not):
        return Not(filter_in_utc(one.filter))
    if not isinstance(one, Range):
        return one
    dates = {name: value.astimezone(UTC) for name, value in _bounds(one).items() if isinstance(value, datetime)}
    return msgspec.structs.replace(one, **dates) if dates else one


class _Check:
    """Goes through clauses and filters, and counts them."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self._count = bounds, 0
        self._words = self._fuzzy = 0

    def clause(self, clause: Clause, at: str, depth: int) -> None:
        self._one_more(at, depth)
        if isinstance(clause, Everything):
            return
        if isinstance(clause, Bool):
            for name in ("must", "should", "must_not"):
                for number, part in enumerate(getattr(clause, name)):
                    self.clause(part, f"{at}/{name}/{number}", depth + 1)
            self.filters(clause.filter, f"{at}/filter", depth + 1)
            if clause.minimum_should_match is not None:
                _between(f"{at}/minimum_should_match", clause.minimum_should_match, 0, len(clause.should))
            return
        place = at if at == "/q" else f"{at}/text"
        _text(place, clause.text, MAX_TEXT, blank=False)
        _fields(f"{at}/fields", clause.fields)
        self._more_words(place, len(split(clause.text)), fuzzy=isinstance(clause, Match) and clause.fuzzy == "auto")

    def filters(self, filters: Sequence[Filter], at: str, depth: int) -> None:
        for number, one in enumerate(filters):
            self.filter(one, f"{at}/{number}", depth)

    def filter(self, one: Filter, at: str, depth: int) -> None:
        self._one_more(at, depth)
        if isinstance(one, Not):
            self.filter(one.filter, f"{at}/filter", depth + 1)
        elif isinstance(one, Exists):
            _field(f"{at}/field", one.field, (*KEYWORD_FIELDS, *DATE_FIELDS))
        elif isinstance(one, Range):
            _field(f"{at}/field", one.field, DATE_FIELDS)
            _range(one, at)
        else:
            _field(f"{at}/field", one.field, KEYWORD_FIELDS)
            _between(f"{at}/values", len(one.values), 1, MAX_VALUES)
            for number, value in enumerate(one.values):
                _value(f"{at}/values/{number}", one.field, value)

    def _more_words(self, at: str, count: int, *, fuzzy: bool) -> None:
        """Words of all clauses together: each is a clause of its own in an engine, for each field."""
        self._words += count
        self._fuzzy += count if fuzzy else 0
        if self._words > MAX_WORDS:
            raise InvalidQueryError("the query has too many words", why=f"{MAX_WORDS} are the most", pointer=at)
        if self._fuzzy > MAX_FUZZY_WORDS:
            raise InvalidQueryError(
                "too many words may be misspelt", why=f"{MAX_FUZZY_WORDS} are the most with fuzzy", pointer=at
            )

    def _one_more(self, at: str, depth: int) -> None:
        self._count += 1
        if self._count > self._bounds.clauses:
            raise InvalidQueryError(
                "the query is too large", why=f"{self._bounds.clauses} clauses and filters are the most", pointer=at
            )
        if depth > self._bounds.depth:
            raise InvalidQueryError(
                "the query is nested too deeply", why=f"{self._bounds.depth} levels are the most", pointer=at
            )


_DECODER: Final = msgspec.json.Decoder(SearchRequest)

_PARAMETERS: Final = ("q", "fuzzy", "filter", "facets", "highlight", "sort", "fields", "size", "from", "cursor")

_BOUNDS: Final = ("gte", "gt", "lte", "lt")

_COMPARED: Final = re.compile(r"(?P<not>-?)(?P<field>[\w.]+)(?P<sign>:|<=|>=|<|>)(?P<value>.*)", re.DOTALL)

_SIGNS: Final = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}


def _clause(request: SearchRequest) -> Clause:
    if request.query is not None:
        if request.q:
            raise InvalidQueryError(
                "q and query are both given", remedy="Put the words into a match clause", pointer="/q"
            )
        return request.query
    return Match(request.q, fuzzy=request.fuzzy) if request.q.strip() else Everything()


def _sort(names: Sequence[str]) -> tuple[Sort, ...]:
    _between("/sort", len(names), 0, MAX_SORT)
    found: dict[str, Sort] = {}
    for at, name in enumerate(names):
        key = _choice(f"/sort/{at}", name.removeprefix("-"), SORT_FIELDS)
        if key in found:
            raise InvalidQueryError(f"{key} is in the order twice", pointer=f"/sort/{at}")
        found[key] = Sort(key, descending=name.startswith("-"))
    return tuple(found.values()) or (Sort("score", descending=True),)


def _facets(facets: Sequence[FacetRequest]) -> None:
    _between("/facets", len(facets), 0, MAX_FACETS)
    seen: set[str] = set()
    for at, one in enumerate(facets):
        _field(f"/facets/{at}", one.field, KEYWORD_FIELDS)
        _between(f"/facets/{at}/size", one.size, 1, MAX_BUCKETS)
        if one.field in seen:
            raise InvalidQueryError(f"there are two facets of {one.field}", pointer=f"/facets/{at}")
        seen.add(one.field)


def _highlight(marks: Highlight) -> None:
    _fields("/highlight/fields", marks.fields)
    _between("/highlight/fragments", marks.fragments, 1, 10)
    _between("/highlight/length", marks.length, 20, 1000)
    _text("/highlight/pre", marks.pre, MAX_MARK)
    _text("/highlight/post", marks.post, MAX_MARK)


def _fields(at: str, names: Sequence[str]) -> None:
    _between(at, len(names), 1, len(TEXT_FIELDS))
    for number, name in enumerate(names):
        _choice(f"{at}/{number}", name, TEXT_FIELDS)


def _field(at: str, name: str, known: Sequence[str]) -> None:
    """One of some fields, or one of the metadata."""
    if not name.startswith(METADATA):
        _choice(at, name, (*known, f"{METADATA}KEY"))
    elif not KEY.fullmatch(name.removeprefix(METADATA)):
        raise InvalidQueryError(
            f"{_shown(name)} is no metadata field",
            why="behind metadata. there is a letter or _, then up to 63 letters, digits and _",
            pointer=at,
        )


def _value(at: str, name: str, value: Scalar) -> None:
    if isinstance(value, str):
        _text(at, value, MAX_VALUE)
    elif not name.startswith(METADATA):
        raise InvalidQueryError(f"{name} is compared with {_shown(value)}", why="it holds text", pointer=at)
    elif isinstance(value, int) and abs(value) > SAFE_INTEGER:
        raise InvalidQueryError(f"{_shown(value)} is beyond 2^53 - 1", why="no metadata holds such", pointer=at)


def _bounds(one: Range) -> dict[str, Any]:
    return {name: bound for name in _BOUNDS if (bound := getattr(one, name)) is not None}


def _range(one: Range, at: str) -> None:
    given = _bounds(one)
    if not given:
        raise InvalidQueryError("a range has no bound", why=f"it has one of {', '.join(_BOUNDS)}", pointer=at)
    for name, bound in given.items():
        if (one.field in DATE_FIELDS) != isinstance(bound, datetime):
            kind = "a date and time with its zone" if one.field in DATE_FIELDS else "a number"
            raise InvalidQueryError(
                f"{one.field} is compared with {_shown(bound)}", why=f"it holds {kind}", pointer=f"{at}/{name}"
            )
        if isinstance(bound, datetime):
            _date(f"{at}/{name}", bound)
        elif not isfinite(bound):
            raise InvalidQueryError(f"{_shown(bound)} is no number", pointer=f"{at}/{name}")
    for pair in (("gte", "gt"), ("lte", "lt")):
        if len(given.keys() & {*pair}) == 2:
            raise InvalidQueryError(f"a range has {' and '.join(pair)}", why="a side has one bound", pointer=at)
    low, high = given.get("gte", given.get("gt")), given.get("lte", given.get("lt"))
    if low is not None and high is not None and low > high:
        raise InvalidQueryError("a range begins after its end", why="nothing lies in it", pointer=at)


def _date(at: str, value: datetime) -> None:
    if value.tzinfo is None:
        raise InvalidQueryError(f"{value.isoformat()} has no time zone", remedy="Add Z, or as +01:00", pointer=at)
    try:
        value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidQueryError(f"{value.isoformat()} lies outside of the calendar in UTC", pointer=at) from error


def _filter(text: str, at: str) -> Filter:
    """A filter of an address."""
    found = _COMPARED.fullmatch(text)
    if not found:
        raise InvalidQueryError(
            f"{_shown(text)} is no filter",
            remedy="Write author:ada, metadata.pages>=12 or metadata.shelf:*",
            pointer=at,
        )
    name, sign, value = found["field"], found["sign"], found["value"]
    one: Filter
    if sign != ":":
        one = Range(name, **{_SIGNS[sign]: _bound(at, name, value)})
    else:
        one = Exists(name) if value == "*" else Term(name, tuple(_read(name, value)))
    return Not(one) if found["not"] else one


def _read(name: str, value: str) -> Iterable[Scalar]:
    """What a value of an address may mean: in metadata, a number and a truth as well as a text."""
    yield value
    if name.startswith(METADATA):
        if value in ("true", "false"):
            yield value == "true"
        elif re.fullmatch(r"-?\d{1,15}", value, re.ASCII):
            yield int(value)
        elif re.fullmatch(r"-?\d{1,15}\.\d{1,15}", value, re.ASCII):
            yield float(value)


def _bound(at: str, name: str, value: str) -> datetime | float:
    try:
        if name.startswith(METADATA):
            return (
                msgspec.convert(float(value), float) if re.fullmatch(r"[-+.\deE]{1,40}", value, re.ASCII) else float("")
            )
        found = datetime.fromisoformat(value)
    except ValueError as error:
        kind = "number" if name.startswith(METADATA) else "date"
        raise InvalidQueryError(f"{_shown(value)} is no {kind}", pointer=at) from error
    # A day begins in UTC.
    return found.replace(tzinfo=UTC) if len(value) == 10 else found


def _choice(at: str, value: str, known: Sequence[str]) -> str:
    if value in known:
        return value
    near = difflib.get_close_matches(value[:100], known, n=1)
    raise InvalidQueryError(
        f"{_shown(value)} cannot be used here",
        why=f"there is {', '.join(known)}",
        remedy=f"Did you mean {near[0]}?" if near else "",
        pointer=at,
    )


def _between(at: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        what = at.rpartition("/")[2]
        raise InvalidQueryError(f"{what} is {_shown(value)}", why=f"it is {least} to {most:,}", pointer=at)


def _text(at: str, value: str, most: int, *, blank: bool = True) -> None:
    if len(value) > most:
        raise InvalidQueryError(f"the text has {len(value):,} characters", why=f"{most:,} is the most", pointer=at)
    if not blank and not value.strip():
        raise InvalidQueryError("the text is empty", pointer=at)
    if not storable(value):
        raise InvalidQueryError("the text holds U+0000 or half of a surrogate pair", pointer=at)


def _whole(at: str, value: str) -> int:
    if re.fullmatch(r"\d{1,9}", value, re.ASCII):
        return int(value)
    raise InvalidQueryError(f"{_shown(value)} is no whole number", pointer=at)


def _shown(value: object) -> str:
    """A value as an error shows it: short."""
    text = repr(value) if isinstance(value, str) else f"{value}".lower()
    return text if len(text) <= 60 else f"{text[:57]}..."
