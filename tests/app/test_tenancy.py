"""Nothing reaches data without a scope, and a scope allows what it says."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ForbiddenError
from app.index.model import Query, Suggest, Term
from app.search.model import key_of
from app.tenancy import Right, Scope, ScopedQuery, ScopedSuggest, internal

TENANT = uuid4()
FORCED = (Term("author", ("ada",)),)


def test_a_scoped_query_is_made_by_a_scope_alone() -> None:
    with pytest.raises(ForbiddenError, match="made without a scope"):
        ScopedQuery(TENANT, Query(), (), object())
    with pytest.raises(ForbiddenError, match="made without a scope"):
        ScopedSuggest(TENANT, Suggest("a"), (), object())


def test_a_scope_puts_its_tenant_and_forced_filters_into_a_query() -> None:
    scope = Scope(tenant_id=TENANT, actor="key:x", rights=frozenset({Right.READ}), forced=FORCED)
    asked = Query(filters=(Term("tags", ("a",)),))
    scoped = scope.query(asked)
    assert scoped.tenant_id == TENANT
    assert scoped.filters == (*FORCED, *asked.filters)
    assert scope.suggest(Suggest("a")).forced == FORCED


@given(st.frozensets(st.sampled_from(Right)), st.sampled_from(Right))
def test_no_right_includes_another(rights: frozenset[Right], wanted: Right) -> None:
    scope = Scope(tenant_id=TENANT, actor="key:x", rights=rights)
    if wanted in rights:
        scope.require(wanted)
    else:
        with pytest.raises(ForbiddenError, match=f"needs the scope '{wanted.value}'"):
            scope.require(wanted)


def test_a_scope_without_read_makes_no_query() -> None:
    scope = Scope(tenant_id=TENANT, actor="key:x", rights=frozenset({Right.WRITE, Right.ADMIN}))
    with pytest.raises(ForbiddenError):
        scope.query(Query())
    with pytest.raises(ForbiddenError):
        scope.suggest(Suggest("a"))


@pytest.mark.parametrize("right", [Right.WRITE, Right.ADMIN])
def test_a_token_that_is_bound_to_some_documents_only_reads(right: Right) -> None:
    scope = Scope(tenant_id=TENANT, actor="token:x", rights=frozenset(Right), forced=FORCED)
    scope.require(Right.READ)
    with pytest.raises(ForbiddenError, match="only reads"):
        scope.require(right)


def test_answers_are_kept_apart_by_tenant_generation_forced_filter_and_query() -> None:
    mine, theirs = internal(TENANT, "a"), internal(uuid4(), "a")
    bound = Scope(tenant_id=TENANT, actor="b", rights=frozenset(Right), forced=FORCED)
    asked, other = Query(), Query(size=11)
    same = {key_of(mine.query(asked), 1), key_of(internal(TENANT, "b").query(Query()), 1)}
    assert len(same) == 1
    keys = [
        key_of(mine.query(asked), 1),
        key_of(mine.query(asked), 2),
        key_of(mine.query(other), 1),
        key_of(theirs.query(asked), 1),
        key_of(bound.query(asked), 1),
        # The same filter, asked for instead of forced.
        key_of(mine.query(Query(filters=FORCED)), 1),
    ]
    assert len(set(keys)) == len(keys)
