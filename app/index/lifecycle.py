"""How indexes of OpenSearch are laid out: their settings and fields, templates, the policy of their age. Pure."""

from __future__ import annotations

from typing import Any, Final

from app.document import MAX_TITLE
from app.index.placement import PREFIX, SCHEMA

REPOSITORY: Final = "s3_repository"
"""Where snapshots are (requirement, section 1)."""

REFRESH_SECONDS: Final = 30
"""What was written can be found after so long (requirement, section 5)."""

TITLE_UNITS: Final = 2 * MAX_TITLE
"""OpenSearch counts in units of UTF-16, of which a character has two at most. What is longer would have no order."""


def settings(primaries: int, *, replicas: int = 2, refresh_seconds: int = REFRESH_SECONDS) -> dict[str, Any]:
    """Settings of an index (requirement, sections 1 and 5)."""
    return {
        "number_of_shards": primaries,
        "number_of_replicas": replicas,
        "refresh_interval": f"{refresh_seconds}s",
        "codec": "best_compression",
        "queries.cache.enabled": True,
        "max_result_window": 10_000,
        # What was deleted stays as a document that says so, for good; what is erased may come back as of any version.
        "gc_deletes": "0s",
        "analysis": {
            "filter": {"english_stem": {"type": "stemmer", "language": "english"}},
            "analyzer": {
                "words": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", "english_stem"]},
                "exact": {"type": "custom", "tokenizer": "standard", "filter": ["lowercase"]},
            },
        },
    }


def mappings() -> dict[str, Any]:
    """Fields of an index. A field that is not here is refused, metadata is flattened into names and values."""
    text: dict[str, Any] = {
        "type": "text",
        "analyzer": "words",
        "index_options": "offsets",
        "fields": {"exact": {"type": "text", "analyzer": "exact", "index_options": "offsets"}},
    }
    keyword = {"type": "keyword"}
    return {
        "dynamic": "strict",
        "properties": {
            "tenant_id": keyword,
            "document_id": keyword,
            "version": {"type": "long"},
            "deleted": {"type": "boolean"},
            "title": {**text, "fields": {**text["fields"], "sort": {"type": "keyword", "ignore_above": TITLE_UNITS}}},
            "content": text,
            "snippet": {"type": "keyword", "index": False, "doc_values": False},
            "author": keyword,
            "language": keyword,
            "tags": keyword,
            # As it was sent, to give back; what is searched is below.
            "metadata": {"type": "object", "enabled": False},
            # KEY=VALUE: what a name holds, without a field for each name of each tenant.
            "metadata_terms": keyword,
            "metadata_names": keyword,
            "metadata_numbers": {
                "type": "nested",
                "properties": {"name": keyword, "value": {"type": "double"}},
            },
            **{name: {"type": "date"} for name in ("created_at", "published_at", "updated_at")},
        },
    }


def template(*, prefix: str = PREFIX, replicas: int = 2, refresh_seconds: int = REFRESH_SECONDS) -> dict[str, Any]:
    """What an index gets that is made by its name alone."""
    found = settings(3, replicas=replicas, refresh_seconds=refresh_seconds)
    return {
        "index_patterns": [f"{prefix}-*"],
        "priority": 100,
        "template": {"settings": found, "mappings": mappings()},
        "_meta": {"schema": SCHEMA},
    }


def archive_template(
    *, prefix: str = PREFIX, replicas: int = 2, refresh_seconds: int = REFRESH_SECONDS
) -> dict[str, Any]:
    """What an index of the archive gets: one primary, so that there is nothing to shrink, and the policy's alias."""
    found = template(prefix=prefix, replicas=replicas, refresh_seconds=refresh_seconds)
    found["index_patterns"], found["priority"] = [f"{prefix}-archive-*"], 200
    alias = {"plugins.index_state_management.rollover_alias": f"{prefix}-archive"}
    found["template"]["settings"] |= {"number_of_shards": 1, **alias}
    return found


def policy(*, prefix: str = PREFIX, managed: bool = False) -> dict[str, Any]:
    """The policy of index state management (requirement, section 1): hot, warm at 30 d, cold at 90 d, deleted at 2 y.

    It is for indexes that are only added to and age as a whole, ``docsearch-archive-*``. An index that documents are
    changed in is never deleted by its age: what is too old there is deleted document by document. The service writes no
    such index itself: they are for what somebody moves out of those that are searched. The requirement's shrinking to
    one shard is done beforehand: an index of the archive has one.

    Args:
        prefix: What names of indexes begin with.
        managed: Whether the domain is Amazon's. Then warm is UltraWarm, and cold is cold storage, which wants to be
            told the field that holds the time, and has a deletion of its own (Amazon OpenSearch Service guide, "Index
            State Management", sample policies). Elsewhere an index that is cold is in a snapshot as well.
    """

    def state(name: str, actions: list[dict[str, Any]], after: str, following: str) -> dict[str, Any]:
        move = [{"state_name": following, "conditions": {"min_index_age": after}}] if following else []
        return {"name": name, "actions": actions, "transitions": move}

    hot: list[dict[str, Any]] = [{"rollover": {"min_size": "50gb", "min_index_age": "7d"}}]
    warm: list[dict[str, Any]] = [{"force_merge": {"max_num_segments": 1}}]
    if managed:
        warm.append({"warm_migration": {}})
        cold: dict[str, Any] = {"cold_migration": {"timestamp_field": "created_at"}}
        end: dict[str, Any] = {"cold_delete": {}}
    else:
        cold, end = {"snapshot": {"repository": REPOSITORY, "snapshot": prefix}}, {"delete": {}}
    return {
        "policy": {
            "description": f"{prefix}: from hot to cold, and deleted after two years",
            "default_state": "hot",
            "states": [
                state("hot", hot, "30d", "warm"),
                state("warm", warm, "90d", "cold"),
                state("cold", [cold], "730d", "delete"),
                state("delete", [end], "", ""),
            ],
            "ism_template": [{"index_patterns": [f"{prefix}-archive-*"], "priority": 100}],
        }
    }
