"""What can be asked of an index and what it answers: the typed query, and the protocol that every engine follows.

A `Query` is what a caller asked for, checked and within bounds (`app.search.parse`). An engine never takes one: it
takes a `ScopedQuery`, which only `app.tenancy.Scope` makes, with the tenant and the forced filters in it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

if TYPE_CHECKING:
    from app.tenancy import ScopedQuery, ScopedSuggest

TEXT_FIELDS: Final = ("title", "content")
"""What words are searched in."""

KEYWORD_FIELDS: Final = ("author", "language", "tags")
"""What is compared as a whole; `metadata.KEY` beside them."""

DATE_FIELDS: Final = ("created_at", "published_at", "updated_at")

SORT_FIELDS: Final = ("score", "title", *DATE_FIELDS)

METADATA: Final = "metadata."
"""Prefix of a caller's own fields: text, numbers and booleans, one level deep."""

RETURNED_FIELDS: Final = ("title", "snippet", *KEYWORD_FIELDS, "metadata", *DATE_FIELDS)
"""What a hit holds unless fields are selected. The content is not among them: it is asked for, or read by its id."""

SELECTABLE_FIELDS: Final = (*RETURNED_FIELDS, "content")

MAX_WINDOW: Final = 10_000
"""`from` and `size` reach so far (requirement, section 5: `index.max_result_window`); a cursor goes on from there."""

Scalar = str | int | float | bool


# Filters: a document matches or not, and no score comes of it.


class Term(Struct, frozen=True, tag="term", tag_field="kind", forbid_unknown_fields=True):
    """A keyword field holds one of some values."""

    field: str
    values: tuple[Scalar, ...]


class Range(Struct, frozen=True, tag="range", tag_field="kind", forbid_unknown_fields=True):
    """A date or a number of the metadata lies between bounds, of which at least one is given."""

    field: str
    gte: datetime | float | None = None
    gt: datetime | float | None = None
    lte: datetime | float | None = None
    lt: datetime | float | None = None


class Exists(Struct, frozen=True, tag="exists", tag_field="kind", forbid_unknown_fields=True):
    """A field holds something."""

    field: str


class Not(Struct, frozen=True, tag="not", tag_field="kind", forbid_unknown_fields=True):
    """A filter does not hold."""

    filter: Filter


Filter = Term | Range | Exists | Not


# Clauses: what is searched for, with a score.


class Everything(Struct, frozen=True, tag="everything", tag_field="kind", forbid_unknown_fields=True):
    """Every document, all with the same score."""


class Match(Struct, frozen=True, tag="match", tag_field="kind", forbid_unknown_fields=True):
    """Words.

    Attributes:
        text: The words.
        fields: Where they are looked for.
        operator: Whether a document needs all of them.
        fuzzy: Whether a word may be misspelt: ``auto`` is no edit up to 2 letters, one up to 5, two from there
            (the rule of OpenSearch's ``fuzziness: AUTO``); the first letter has to be right.
        synonyms: Whether the tenant's synonyms count as the word.
    """

    text: str
    fields: tuple[str, ...] = TEXT_FIELDS
    operator: Literal["and", "or"] = "and"
    fuzzy: Literal["off", "auto"] = "off"
    synonyms: bool = True


class Phrase(Struct, frozen=True, tag="phrase", tag_field="kind", forbid_unknown_fields=True):
    """Words that stand beside each other, in this order."""

    text: str
    fields: tuple[str, ...] = TEXT_FIELDS


class Prefix(Struct, frozen=True, tag="prefix", tag_field="kind", forbid_unknown_fields=True):
    """Words of which the last one may go on."""

    text: str
    fields: tuple[str, ...] = TEXT_FIELDS


class Bool(Struct, frozen=True, tag="bool", tag_field="kind", forbid_unknown_fields=True):
    """Clauses together.

    Attributes:
        must: All have to match.
        should: At least ``minimum_should_match`` of them have to match; each raises the score.
        must_not: None may match.
        filter: All have to hold.
        minimum_should_match: By default 1 if there is nothing in ``must`` and ``filter``, otherwise 0. In the first
            case it is never less: what nothing asks for is not found (Lucene's ``BooleanQuery``).
    """

    must: tuple[Clause, ...] = ()
    should: tuple[Clause, ...] = ()
    must_not: tuple[Clause, ...] = ()
    filter: tuple[Filter, ...] = ()
    minimum_should_match: int | None = None

    @property
    def needed(self) -> int:
        """How many of ``should`` have to match."""
        least = 1 if self.should and not self.must and not self.filter else 0
        return least if self.minimum_should_match is None else max(least, self.minimum_should_match)


Clause = Everything | Match | Phrase | Prefix | Bool


class FacetRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Count a field's values among all that matches.

    Attributes:
        field: A keyword field, or one of the metadata.
        size: So many values at most, the most frequent first.
    """

    field: str
    size: int = 10


class Highlight(Struct, frozen=True, forbid_unknown_fields=True):
    """Mark what was found.

    Attributes:
        fields: Where.
        fragments: So many pieces of a field at most.
        length: About so long each, characters.
        pre: Put before what was found.
        post: Put behind it. Everything else in a fragment is escaped for HTML.
    """

    fields: tuple[str, ...] = TEXT_FIELDS
    fragments: int = 2
    length: int = 160
    pre: str = "<mark>"
    post: str = "</mark>"


class Sort(Struct, frozen=True):
    """One key of the order. The document's id is always the last one: an order without ties can be gone on with."""

    field: str
    descending: bool = False


class Query(Struct, frozen=True):
    """A search, checked and within its bounds.

    Attributes:
        clause: What is searched for.
        filters: What has to hold besides.
        facets: What is counted.
        highlight: What is marked, if anything.
        sort: The order; by default the best score first.
        fields: What each hit holds.
        size: Hits of a page.
        offset: Hits before the page; 0 with ``after``.
        after: The position that a cursor holds: the sort values of the last hit of the page before, its id last.
        count: Hits are counted up to here; beyond it ``Result.total`` is a lower bound.
    """

    clause: Clause = Everything()
    filters: tuple[Filter, ...] = ()
    facets: tuple[FacetRequest, ...] = ()
    highlight: Highlight | None = None
    sort: tuple[Sort, ...] = (Sort("score", descending=True),)
    fields: tuple[str, ...] = RETURNED_FIELDS
    size: int = 10
    offset: int = 0
    after: Position | None = None
    count: int = MAX_WINDOW


class Position(Struct, frozen=True):
    """Where a page ended.

    Attributes:
        values: The last hit's sort values in the order of ``Query.sort``; dates as ISO 8601.
        document_id: The last hit.
        snapshot: What the engine calls the point in time that pages are read from; empty if it has none.
        snapshot_at: When that was, s since 1970.
        engine: The level of the engine whose page it was: a score is its own, and compares with no other's.
    """

    values: tuple[Scalar, ...]
    document_id: UUID
    snapshot: str = ""
    snapshot_at: float = 0.0
    engine: str = ""


class Suggest(Struct, frozen=True):
    """What a word that is being typed may become.

    Attributes:
        prefix: What was typed.
        size: So many suggestions at most.
    """

    prefix: str
    size: int = 5


# Answers.


class Hit(Struct, frozen=True, omit_defaults=True):
    """A document that matches.

    Attributes:
        document_id: Its id.
        score: How well it matches; comparable within one answer only.
        version: Its version when it was indexed.
        fields: What was asked for.
        highlights: By field: pieces with what was found marked.
        position: The sort values, for a cursor.
    """

    document_id: UUID
    score: float
    version: int
    fields: dict[str, Any]
    highlights: dict[str, list[str]]
    position: tuple[Scalar, ...] = ()


class Bucket(Struct, frozen=True):
    """A value and how many of the matching documents have it."""

    value: Scalar
    count: int


class Facet(Struct, frozen=True):
    """The most frequent values of a field.

    Attributes:
        field: The field.
        buckets: The most frequent first, equal ones by value.
        others: How often further values occur.
    """

    field: str
    buckets: list[Bucket]
    others: int = 0


class Result(Struct, frozen=True):
    """What an engine found.

    Attributes:
        total: How many documents match.
        exact: Whether that is all of them, or a lower bound.
        hits: The page.
        facets: What was counted.
        snapshot: The point in time that the next page is to be read from; empty if the engine has none.
        snapshot_at: When that was, s since 1970.
        engine: The level of the engine that found it.
        corrected: Words that were taken for others because they were not found: misspelt word to what was searched.
    """

    total: int
    exact: bool
    hits: list[Hit]
    facets: list[Facet]
    snapshot: str = ""
    snapshot_at: float = 0.0
    engine: str = ""
    corrected: dict[str, list[str]] = {}


class Suggestion(Struct, frozen=True):
    """What may be meant.

    Attributes:
        text: A word, or a document's title.
        kind: Which of both.
        document_id: The document, of a title.
    """

    text: str
    kind: Literal["word", "title"]
    document_id: UUID | None = None


def suggestions(words: Sequence[Suggestion], titles: Sequence[Suggestion], size: int) -> list[Suggestion]:
    """Words first, but never so many that no title is seen."""
    kept = max(1, size - max(1, size // 2)) if titles else size
    return [*words[:kept], *titles][:size]


# Writes.


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A document as it is indexed."""

    title: str
    content: str
    author: str = ""
    language: str = "en"
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    created_at: datetime
    published_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class Write:
    """Put a document into the index, or take it out.

    Attributes:
        tenant_id: Whose it is.
        document_id: Which.
        version: The document's version in the database, which only grows. An engine keeps the highest that it has seen
            (OpenSearch: ``version_type: external``), so writes may come late, twice and in any order.
        entry: What to put in; None takes it out.
    """

    tenant_id: UUID
    document_id: UUID
    version: int
    entry: Entry | None


class Outcome(StrEnum):
    """What became of a write."""

    APPLIED = "applied"
    STALE = "stale"
    """The index has this version or a newer one: nothing is left to do."""
    REFUSED = "refused"
    """The engine will never take it (a poison document)."""
    FAILED = "failed"
    """It may work another time."""


@dataclass(frozen=True)
class Written:
    """What became of one write of a batch.

    Attributes:
        write: The write.
        outcome: What became of it.
        reason: Why, if it was refused or failed.
    """

    write: Write
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Health:
    """How a dependency does.

    Attributes:
        ok: Whether it answers as it should.
        detail: Figures, for the detailed health; no secrets and no addresses.
        reason: Why not.
    """

    ok: bool
    detail: Mapping[str, Scalar] = field(default_factory=dict)
    reason: str = ""


class Index(Protocol):
    """An engine. Its methods raise `app.errors.UnavailableError` if it does not answer in time.

    Attributes:
        level: What answers call it: ``opensearch`` or ``full_text``.
    """

    level: str

    async def search(self, query: ScopedQuery) -> Result:
        """Finds documents of one tenant."""

    async def suggest(self, suggest: ScopedSuggest) -> Sequence[Suggestion]:
        """Completes what is being typed, from one tenant's documents and within the forced filters."""

    async def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Writes a batch, of any tenants. One outcome per write, in order; a bad document fails alone."""

    async def delete_tenant(self, tenant_id: UUID) -> int:
        """Takes everything of a tenant out, and says how many documents that were."""

    async def expunge(self, tenant_id: UUID, gone: Sequence[UUID]) -> None:
        """Sees to it that nothing is left of documents that the database no longer has, on disk neither."""

    async def versions(self, tenant_id: UUID) -> Mapping[UUID, int]:
        """Version by document of all that is in the index: what is compared with the database."""

    async def versions_of(self, tenant_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, int]:
        """Version by document of those of some documents that are in the index, as of now."""

    async def refresh(self) -> None:
        """Makes all that was written visible to searches."""

    async def health(self) -> Health:
        """Whether it can be searched."""

    async def close(self) -> None:
        """Lets go of connections."""


class Comparable(Index, Protocol):
    """An engine whose content can be compared with the database, and put right where it is."""

    def entries(self, tenant_id: UUID) -> AsyncGenerator[tuple[UUID, int], None]:
        """Every document of a tenant and its version, as of now, in the order of their ids."""

    async def restore(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Writes a batch again, over what has the same versions or older ones."""

    async def remove(self, tenant_id: UUID, ids: Collection[UUID]) -> None:
        """Takes documents of a tenant out, with all that is known of their versions."""
