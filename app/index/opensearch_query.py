"""What a search is in OpenSearch's query language. Pure: texts of a caller are values of the JSON, never a part of it.

`guard` is the one place in which tenant and forced filters come into a request: whatever is sent to search, count or
delete goes through it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from app.document import SAFE_INTEGER
from app.index.model import (
    DATE_FIELDS,
    METADATA,
    Bool,
    Clause,
    Entry,
    Everything,
    Exists,
    FacetRequest,
    Filter,
    Highlight,
    Match,
    Not,
    Phrase,
    Prefix,
    Query,
    Scalar,
    Sort,
    Term,
    Write,
)
from app.index.words import split
from app.tenancy import ScopedQuery, ScopedSuggest

Json = dict[str, Any]
Synonyms = Mapping[str, Sequence[str]]

SNIPPET: Final = 240
"""Characters of a content that a hit shows."""

MAX_EXPANSIONS: Final = 10
"""Words that a misspelt one may be, in each field: with what `app.search.parse` lets through, 960 of the 1,024 clauses
that OpenSearch takes (`indices.query.bool.max_clause_count`). They are looked for in the words of all tenants."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

TITLE_BOOST: Final = 4
"""A word in a title counts as much as four in a content."""


def guard(tenant_id: UUID, filters: Sequence[Filter], clause: Json | None = None) -> Json:
    """A query of one tenant: whatever the clause is, it finds nothing of another and nothing that was deleted."""
    must = [clause] if clause else []
    held = [{"term": {"tenant_id": str(tenant_id)}}, *(compile_filter(one) for one in filters)]
    return {"bool": {"must": must, "filter": held, "must_not": [{"term": {"deleted": True}}]}}


def search_body(scoped: ScopedQuery, synonyms: Synonyms) -> Json:
    """The body of a search."""
    query = scoped.query
    body: Json = {
        "query": guard(scoped.tenant_id, scoped.filters, compile_clause(query.clause, synonyms)),
        "size": query.size,
        "sort": [*map(_sort, query.sort), {"document_id": "asc"}],
        "_source": sorted({"version", *query.fields, *(one.field for one in query.sort if one.field != "score")}),
        "track_total_hits": query.count,
        "track_scores": True,
    }
    if query.after is None:
        body["from"] = query.offset
    else:
        body["search_after"] = _after(query)
    if query.facets:
        body["aggs"] = {f"facet_{at}": _facet(one) for at, one in enumerate(query.facets)}
    if query.highlight:
        body["highlight"] = _highlight(query.highlight, compile_clause(query.clause, synonyms, marking=True))
    return body


def suggest_body(scoped: ScopedSuggest, *, opening: str, closing: str) -> Json:
    """The body of a search for documents that hold what is being typed, with the words marked."""
    fields = ("title", "content")
    clause = compile_clause(Prefix(scoped.suggest.prefix, fields), {})
    marks = Highlight(fields=fields, fragments=1, length=100, pre=opening, post=closing)
    return {
        "query": guard(scoped.tenant_id, scoped.forced, clause),
        "size": 50,
        "_source": ["title"],
        "highlight": {**_highlight(marks, clause), "encoder": "default"},
        "track_total_hits": False,
    }


def compile_clause(clause: Clause, synonyms: Synonyms, *, marking: bool = False) -> Json:
    """A clause.

    Args:
        clause: The clause.
        synonyms: Of the words in it.
        marking: Whether it is for marking what was found, which looks at stems alone.
    """
    if isinstance(clause, Everything):
        return {"match_all": {}}
    if isinstance(clause, Bool):
        return _bool(clause, synonyms, marking)
    words = split(clause.text)
    if not words:
        return {"match_none": {}}
    exact = [*clause.fields] if marking else [f"{name}.exact" for name in clause.fields]
    if isinstance(clause, Phrase):
        return {"multi_match": {"query": clause.text, "type": "phrase", "fields": exact}}
    if isinstance(clause, Prefix):
        *before, last = words
        whole = [_word(word, clause.fields, fuzzy=False) for word in before]
        begun = {"multi_match": {"query": last, "type": "bool_prefix", "operator": "and", "fields": exact}}
        return {"bool": {"must": [*whole, begun]}}
    parts = [_either(word, clause, synonyms) for word in words]
    return {"bool": {"must": parts}} if clause.operator == "and" else _any_of(parts)


def compile_filter(one: Filter) -> Json:
    """A filter."""
    if isinstance(one, Not):
        return {"bool": {"must_not": [compile_filter(one.filter)]}}
    if isinstance(one, Term):
        if one.field.startswith(METADATA):
            return {"terms": {"metadata_terms": [_named(one.field, value) for value in one.values]}}
        return {"terms": {one.field: [*one.values]}}
    if isinstance(one, Exists):
        if one.field.startswith(METADATA):
            return {"term": {"metadata_names": one.field.removeprefix(METADATA)}}
        return {"exists": {"field": one.field}}
    bounds = {name: _plain(bound) for name in ("gte", "gt", "lte", "lt") if (bound := getattr(one, name)) is not None}
    if one.field in DATE_FIELDS:
        return {"range": {one.field: bounds}}
    named = [
        {"term": {"metadata_numbers.name": one.field.removeprefix(METADATA)}},
        {"range": {"metadata_numbers.value": bounds}},
    ]
    return {"nested": {"path": "metadata_numbers", "query": {"bool": {"filter": named}}}}


def document(write: Write) -> Json:
    """A document as it is indexed. One that was deleted is kept as such: nothing older can take its place."""
    found: Json = {
        "tenant_id": str(write.tenant_id),
        "document_id": str(write.document_id),
        "version": write.version,
        "deleted": write.entry is None,
    }
    if write.entry is None:
        return found
    entry: Entry = write.entry
    numbers = {
        key: value
        for key, value in entry.metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    found |= {
        "title": entry.title,
        "content": entry.content,
        "snippet": entry.content[:SNIPPET],
        "language": entry.language,
        "tags": [*entry.tags],
        "metadata": dict(entry.metadata),
        "metadata_terms": [_named(METADATA + key, value) for key, value in entry.metadata.items()],
        "metadata_names": [*entry.metadata],
        "metadata_numbers": [{"name": key, "value": value} for key, value in numbers.items()],
        "created_at": entry.created_at.isoformat(),
        "published_at": entry.published_at.isoformat(),
        "updated_at": entry.updated_at.isoformat(),
    }
    return found | ({"author": entry.author} if entry.author else {})


def named_value(term: str) -> Scalar:
    """The value in one of the terms that metadata is kept as."""
    found: Scalar = orjson.loads(term.partition("=")[2])
    return found


def words_in(clause: Clause) -> Iterator[str]:
    """The words of a clause that may have synonyms."""
    if isinstance(clause, Match) and clause.synonyms:
        yield from split(clause.text)
    elif isinstance(clause, Bool):
        for part in (*clause.must, *clause.should, *clause.must_not):
            yield from words_in(part)


def _bool(clause: Bool, synonyms: Synonyms, marking: bool) -> Json:
    def parts(clauses: Sequence[Clause]) -> list[Json]:
        return [compile_clause(one, synonyms, marking=marking) for one in clauses]

    found: Json = {"must": parts(clause.must), "should": parts(clause.should)}
    if not marking:
        found["must_not"] = parts(clause.must_not)
        found["filter"] = [compile_filter(one) for one in clause.filter]
        found["minimum_should_match"] = clause.needed
    return {"bool": found}


def _either(word: str, clause: Match, synonyms: Synonyms) -> Json:
    """A word, or one of its synonyms, which may be several words beside each other."""
    found = [_word(word, clause.fields, fuzzy=clause.fuzzy == "auto")]
    if clause.synonyms:
        found += [
            {"multi_match": {"query": other, "type": "phrase", "fields": _boosted(clause.fields)}}
            for other in synonyms.get(word, ())
        ]
    return found[0] if len(found) == 1 else _any_of(found)


def _word(word: str, fields: Sequence[str], *, fuzzy: bool) -> Json:
    found: Json = {"query": word, "operator": "and", "fields": _boosted(fields)}
    if fuzzy:
        found |= {"fuzziness": "AUTO", "prefix_length": 1, "max_expansions": MAX_EXPANSIONS}
    return {"multi_match": found}


def _boosted(fields: Sequence[str]) -> list[str]:
    return [f"{name}^{TITLE_BOOST}" if name == "title" else name for name in fields]


def _any_of(parts: list[Json]) -> Json:
    return {"bool": {"should": parts, "minimum_should_match": 1}}


def _sort(one: Sort) -> Json:
    name = {"score": "_score", "title": "title.sort"}.get(one.field, one.field)
    return {name: {"order": "desc" if one.descending else "asc"}}


def _after(query: Query) -> list[Scalar]:
    assert query.after is not None
    found: list[Scalar] = []
    for one, value in zip(query.sort, query.after.values, strict=True):
        if one.field in DATE_FIELDS:
            # A date is sorted by its milliseconds, in whole numbers: a float is one too low for some.
            found.append((datetime.fromisoformat(str(value)) - _EPOCH) // timedelta(milliseconds=1))
        else:
            found.append(value)
    return [*found, str(query.after.document_id)]


def _facet(one: FacetRequest) -> Json:
    terms: Json = {"field": one.field, "size": one.size, "order": [{"_count": "desc"}, {"_key": "asc"}]}
    if one.field.startswith(METADATA):
        # A name is letters, digits and _: nothing in it means something to a regular expression.
        terms |= {"field": "metadata_terms", "include": f"{one.field.removeprefix(METADATA)}=.*"}
    return {"terms": terms}


def _highlight(marks: Highlight, clause: Json) -> Json:
    pieces = {"number_of_fragments": marks.fragments, "fragment_size": marks.length}
    return {
        "encoder": "html",
        "pre_tags": [marks.pre],
        "post_tags": [marks.post],
        "require_field_match": False,
        "highlight_query": clause,
        "fields": {name: {"number_of_fragments": 0} if name == "title" else pieces for name in marks.fields},
    }


def _named(field: str, value: Scalar) -> str:
    """A name of the metadata with a value: equal numbers are equal texts.

    A number beyond what a float counts by ones is written as a float: what PostgreSQL gives back of one may be either.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= SAFE_INTEGER:
        value = int(value)
    elif isinstance(value, int) and abs(value) > SAFE_INTEGER:
        value = float(value)
    return f"{field.removeprefix(METADATA)}={orjson.dumps(value).decode()}"


def _plain(bound: datetime | float) -> str | float:
    # To the end: OpenSearch takes a bound that lacks its last digits for the last moment that begins like it.
    return bound.isoformat(timespec="microseconds") if isinstance(bound, datetime) else bound
