"""The one statement that a search on PostgreSQL's full text is. Pure: names are of this module, values parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import UUID

from app.errors import InvalidQueryError
from app.index.model import (
    DATE_FIELDS,
    KEYWORD_FIELDS,
    METADATA,
    Bool,
    Clause,
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
    Range,
    Scalar,
    Sort,
    Term,
)
from app.index.words import Variants, compile_clause, quoted, split, words_of
from app.tenancy import ScopedQuery

MAX_MARKED: Final = 100_000
"""Characters of a content that are looked through for what to mark."""

SNIPPET: Final = 240
"""Characters of a content that a hit shows."""

_WEIGHTS: Final = "'{0.1, 0.2, 0.4, 1.0}'"
"""What a word counts in the rank by its label, D to A: PostgreSQL's defaults, a title ten times a content."""

_RETURNED: Final = {
    "title": "f.title",
    "snippet": f"left(d.content, {SNIPPET})",
    "content": "d.content",
    "author": "f.author",
    "language": "f.language",
    "tags": "to_jsonb(f.tags)",
    "metadata": "f.metadata",
    "created_at": "f.created_at",
    "published_at": "f.published_at",
    "updated_at": "f.updated_at",
}


class Parameters(list[Any]):
    """The values of a statement, in order."""

    def add(self, value: Any, cast: str) -> str:
        """The placeholder of a value."""
        self.append(value)
        return f"${len(self)}::{cast}"


@dataclass(frozen=True)
class Plan:
    """A statement and its values.

    Attributes:
        statement: Answers with one row: ``total``, ``hits`` as JSON, and ``facet_N`` as JSON for each facet.
        parameters: Its values.
    """

    #: What ts_headline puts around what it marks and between pieces: of Unicode's private use area, taken out of texts
    #: before, so that a text cannot bring marks of its own.
    OPEN: ClassVar[str] = "\ue000"
    CLOSE: ClassVar[str] = "\ue001"
    BETWEEN: ClassVar[str] = "\ue002"

    statement: str
    parameters: Sequence[Any]


def plan_search(scoped: ScopedQuery, variants: Variants) -> Plan:
    """The statement of a query. It runs in a transaction that sees the tenant.

    Raises:
        InvalidQueryError: A field cannot be used like that.
    """
    query, values = scoped.query, Parameters()
    if _has_filter(query.clause, conjunctive=True):
        source, score = "full_text AS f", _score(mark_words(query.clause, variants), values)
        held = [compile_filter(one, values) for one in scoped.filters]
        held.append(_condition(query.clause, variants, scoped.tenant_id, values))
    else:
        source, score = _source(query.clause, compile_clause(query.clause, variants, scoped.tenant_id), values)
        held = [compile_filter(one, values) for one in (*scoped.filters, *conjunctive_filters(query.clause))]
    wanted = [f"{score} AS score", *_matched_columns(query)]
    where = " AND ".join(["f.tenant_id = current_tenant()", "NOT f.deleted", *held])
    order = ", ".join(f"{_column(one)} {'DESC' if one.descending else 'ASC'}" for one in query.sort)
    order = f"{order}, document_id ASC" if order else "document_id ASC"
    after = f"WHERE {_after(query, values)}" if query.after else ""
    hits = [f"'document_id', p.document_id, 'score', p.score, 'version', f.version, {_sorted_by(query.sort)}"]
    hits += [f"'{name}', {_RETURNED[name]}" for name in query.fields]
    if query.highlight:
        hits += _marked(query.highlight, mark_words(query.clause, variants), values)
    # jsonb_build_object takes 100 arguments at most: two of them, joined, hold any number of fields here.
    built = " || ".join(f"jsonb_build_object({part})" for part in hits)
    facets = [f"{_facet(facet, values)} AS facet_{at}" for at, facet in enumerate(query.facets)]
    size, offset = values.add(query.size, "int"), values.add(query.offset, "int")
    statement = f"""
        WITH matched AS MATERIALIZED (SELECT f.document_id, {", ".join(wanted)} FROM {source} WHERE {where}),
        page AS (SELECT * FROM matched {after} ORDER BY {order} LIMIT {size} OFFSET {offset})
        SELECT (SELECT count(*) FROM matched) AS total,
            (SELECT coalesce(jsonb_agg(hit), '[]') FROM (
                SELECT {built} AS hit FROM page AS p
                JOIN full_text AS f ON f.tenant_id = current_tenant() AND f.document_id = p.document_id
                LEFT JOIN documents AS d ON d.tenant_id = current_tenant() AND d.document_id = p.document_id
                ORDER BY {", ".join(f"p.{part}" for part in order.split(", "))}
            ) AS ordered) AS hits
            {"".join(f", {facet}" for facet in facets)}
    """
    return Plan(statement, values)


def _has_filter(clause: Clause, *, conjunctive: bool) -> bool:
    """Whether there is a filter where it would hold for some of what is found only."""
    if not isinstance(clause, Bool):
        return False
    if clause.filter and not conjunctive:
        return True
    parts = [(part, conjunctive) for part in clause.must]
    parts += [(part, False) for part in (*clause.should, *clause.must_not)]
    return any(_has_filter(part, conjunctive=inside) for part, inside in parts)


def conjunctive_filters(clause: Clause) -> Iterator[Filter]:
    """The filters inside of a clause that hold for everything it matches."""
    if isinstance(clause, Bool):
        yield from clause.filter
        for part in clause.must:
            yield from conjunctive_filters(part)


def compile_filter(one: Filter, values: Parameters) -> str:
    """The condition of a filter.

    Raises:
        InvalidQueryError: Its field cannot be filtered like that.
    """
    if isinstance(one, Not):
        return f"NOT coalesce({compile_filter(one.filter, values)}, false)"
    if isinstance(one, Term):
        return _term(one, values)
    if isinstance(one, Exists):
        return _exists(one, values)
    column = _number_or_date(one, values)
    bounds = {">=": one.gte, ">": one.gt, "<=": one.lte, "<": one.lt}
    cast = "timestamptz" if one.field in DATE_FIELDS else "float8"
    parts = [f"{column} {sign} {values.add(bound, cast)}" for sign, bound in bounds.items() if bound is not None]
    return f"({' AND '.join(parts)})" if parts else "true"


def mark_words(clause: Clause, variants: Variants) -> str:
    """The ``tsquery`` of what is marked: every word that was searched for, whether or not it was needed."""
    return " | ".join(dict.fromkeys(_positive(clause, variants)))


def _positive(clause: Clause, variants: Variants) -> Iterator[str]:
    if isinstance(clause, Phrase):
        if words := split(clause.text):
            yield f"({' <-> '.join(quoted(word) for word in words)})"
    elif isinstance(clause, Match | Prefix):
        for lookup in words_of(clause):
            yield quoted(lookup.word) + (":*" if lookup.prefix else "")
            yield from (quoted(word) for word in variants.get(lookup, ()))
    elif isinstance(clause, Bool):
        for part in (*clause.must, *clause.should):
            yield from _positive(part, variants)


def _source(clause: Clause, text: str, values: Parameters) -> tuple[str, str]:
    """Where what matches comes from, and its score."""
    if isinstance(clause, Everything) or clause == Bool(filter=clause.filter if isinstance(clause, Bool) else ()):
        return "full_text AS f", "0.0::float8"
    query = f"to_tsquery('simple', {values.add(text, 'text')})"
    join = "f.tenant_id = current_tenant() AND f.document_id = m.document_id"
    return f"matching({query}) AS m JOIN full_text AS f ON {join}", _rank(query)


def _score(text: str, values: Parameters) -> str:
    return _rank(f"to_tsquery('simple', {values.add(text, 'text')})") if text else "0.0::float8"


def _rank(query: str) -> str:
    # 1: a long text is not better for being long (PostgreSQL manual, "Ranking Search Results").
    return f"ts_rank_cd({_WEIGHTS}, f.words, {query}, 1)::float8"


def _condition(clause: Clause, variants: Variants, tenant_id: UUID, values: Parameters) -> str:
    """The condition of a clause whose filters hold for some of what is found only: one query of words cannot say it.

    Words between filters are looked up in the index, each group by itself, and the rest is decided row by row.
    """
    if isinstance(clause, Everything):
        return "true"
    if not isinstance(clause, Bool) or not _any_filter(clause):
        text = values.add(compile_clause(clause, variants, tenant_id), "text")
        return f"f.document_id IN (SELECT document_id FROM matching(to_tsquery('simple', {text})))"

    def conditions(parts: Sequence[Clause]) -> list[str]:
        return [_condition(part, variants, tenant_id, values) for part in parts]

    held = conditions(clause.must)
    # What a field that is not there is compared to is neither true nor false, until something is made of it.
    held += [f"coalesce({compile_filter(one, values)}, false)" for one in clause.filter]
    held += [f"NOT {one}" for one in conditions(clause.must_not)]
    if clause.needed == 1 and clause.should:
        held.append(f"({' OR '.join(conditions(clause.should))})")
    elif clause.needed:
        counted = [f"({one})::int" for one in conditions(clause.should)]
        held.append(f"({' + '.join(counted or ['0'])} >= {clause.needed:d})")
    return f"({' AND '.join(held)})" if held else "true"


def _any_filter(clause: Clause) -> bool:
    if not isinstance(clause, Bool):
        return False
    return bool(clause.filter) or any(_any_filter(part) for part in (*clause.must, *clause.should, *clause.must_not))


def _matched_columns(query: Query) -> list[str]:
    names = {one.field for one in query.sort} - {"score"}
    names |= {"metadata" if one.field.startswith(METADATA) else one.field for one in query.facets}
    return [f"f.{name}" for name in sorted(names)]


def _column(one: Sort) -> str:
    # By code points, as OpenSearch has it, whatever the database's language is: a cursor may be gone on with there.
    return 'title COLLATE "C"' if one.field == "title" else one.field


def _sorted_by(sort: Sequence[Sort]) -> str:
    pairs = [f"'sort_{one.field}', f.{one.field}" for one in sort if one.field != "score"]
    return ", ".join(pairs) or "'sort', null"


def _after(query: Query, values: Parameters) -> str:
    """What comes behind a position: further on by one key of the order, and level by all before it."""
    assert query.after is not None
    keys: list[tuple[str, bool, str]] = []
    for one, value in zip(query.sort, query.after.values, strict=True):
        cast = {"score": "float8", "title": "text"}.get(one.field, "timestamptz")
        held: Any = datetime.fromisoformat(str(value)) if cast == "timestamptz" else value
        keys.append((_column(one), one.descending, values.add(held, cast)))
    keys.append(("document_id", False, values.add(query.after.document_id, "uuid")))
    further = []
    for at, (column, descending, value) in enumerate(keys):
        level = [f"{name} = {same}" for name, _, same in keys[:at]]
        sign = "<" if descending else ">"
        further.append(f"({' AND '.join([*level, f'{column} {sign} {value}'])})")
    return f"({' OR '.join(further)})"


def _marked(marks: Highlight, text: str, values: Parameters) -> list[str]:
    if not text:
        return [f"'marked_{field}', ''" for field in marks.fields]
    query = f"to_tsquery('simple', {values.add(text, 'text')})"
    # About six characters a word: English prose, with the space behind it.
    most = max(10, marks.length // 6)
    edges = f"StartSel={Plan.OPEN}, StopSel={Plan.CLOSE}, FragmentDelimiter={Plan.BETWEEN}"
    pieces = f"MaxFragments={marks.fragments}, MaxWords={most}, MinWords={most // 2}"
    options = {"title": f"HighlightAll=true, {edges}", "content": f"{pieces}, {edges}"}
    texts = {"title": "f.title", "content": f"left(d.content, {MAX_MARKED})"}
    private = values.add(Plan.OPEN + Plan.CLOSE + Plan.BETWEEN, "text")
    return [
        f"'marked_{field}', ts_headline('simple', translate({texts[field]}, {private}, ''), {query}, "
        f"{values.add(options[field], 'text')})"
        for field in marks.fields
    ]


def _facet(facet: FacetRequest, values: Parameters) -> str:
    if facet.field == "tags":
        found = "SELECT to_jsonb(tag) AS value FROM matched, unnest(tags) AS tag"
    elif facet.field.startswith(METADATA):
        key = values.add(facet.field.removeprefix(METADATA), "text")
        found = f"SELECT metadata -> {key} AS value FROM matched WHERE metadata ? {key}"
    elif facet.field in KEYWORD_FIELDS:
        found = f"SELECT to_jsonb({facet.field}) AS value FROM matched WHERE {facet.field} <> ''"
    else:
        raise InvalidQueryError(f"{facet.field} has no facet", why="it is no keyword field", pointer="/facets")
    return f"""
        (WITH counts AS (SELECT value, count(*) AS number FROM ({found}) AS found GROUP BY value)
        SELECT jsonb_build_object(
            'buckets', (SELECT coalesce(jsonb_agg(jsonb_build_array(value, number)), '[]') FROM (
                SELECT value, number FROM counts ORDER BY number DESC, value LIMIT {values.add(facet.size, "int")}
            ) AS top),
            'all', (SELECT coalesce(sum(number), 0) FROM counts)))"""


def _term(one: Term, values: Parameters) -> str:
    if one.field.startswith(METADATA):
        key = values.add(one.field.removeprefix(METADATA), "text")
        return f"f.metadata -> {key} = ANY({values.add(list(one.values), 'jsonb[]')})"
    texts = values.add([_text(one.field, value) for value in one.values], "text[]")
    if one.field == "tags":
        return f"f.tags && {texts}"
    if one.field in KEYWORD_FIELDS:
        # What is empty is not there, and nobody's value.
        return f"(f.{one.field} = ANY({texts}) AND f.{one.field} <> '')"
    raise InvalidQueryError(f"{one.field} is no keyword field", why="a term is compared as a whole", pointer="/filters")


def _text(field: str, value: Scalar) -> str:
    if isinstance(value, str):
        return value
    raise InvalidQueryError(f"{field} is compared with {value!r}", why="it holds text", pointer="/filters")


def _exists(one: Exists, values: Parameters) -> str:
    if one.field.startswith(METADATA):
        return f"f.metadata ? {values.add(one.field.removeprefix(METADATA), 'text')}"
    if one.field == "tags":
        return "cardinality(f.tags) > 0"
    if one.field in KEYWORD_FIELDS:
        return f"f.{one.field} <> ''"
    if one.field in DATE_FIELDS:
        return "true"
    raise InvalidQueryError(f"{one.field} cannot be asked for", why="it is no field", pointer="/filters")


def _number_or_date(one: Range, values: Parameters) -> str:
    if one.field in DATE_FIELDS:
        return f"f.{one.field}"
    if one.field.startswith(METADATA):
        field = f"f.metadata -> {values.add(one.field.removeprefix(METADATA), 'text')}"
        return f"(CASE WHEN jsonb_typeof({field}) = 'number' THEN ({field})::float8 END)"
    raise InvalidQueryError(f"{one.field} has no range", why="it is no date and no number", pointer="/filters")
