"""The full-text index: words of every document, and a vocabulary per tenant.

Words are kept as they are written (configuration ``simple``). What a word may also be, another ending, a typing
mistake, a synonym, is looked up in the vocabulary when a query comes, so one index serves all of it.

PostgreSQL lets no operator that is not leakproof use an index below row-level security, and ``@@`` is not one. So what
matches is found by ``matching``, which its owner runs: it takes the tenant from where row-level security takes it, and
gives out ids alone. Every row that comes of them is read under row-level security again.
"""

from alembic import op

from app.store.migrations.versions.m0001_documents import secure

revision = "0002"
down_revision = "0001"

_TABLES = (
    """
    CREATE TABLE full_text (
        tenant_id uuid NOT NULL,
        document_id uuid NOT NULL,
        version bigint NOT NULL,
        deleted boolean NOT NULL,
        words tsvector NOT NULL,
        title text NOT NULL,
        author text NOT NULL,
        language text NOT NULL,
        tags text[] NOT NULL,
        metadata jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        published_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, document_id)
    ) PARTITION BY HASH (tenant_id)
    """,
    "CREATE INDEX idx_full_text_words ON full_text USING gin (words)",
    "CREATE INDEX idx_full_text_published ON full_text (tenant_id, published_at DESC) WHERE NOT deleted",
    # Collation "C": ranges of it are prefixes, whatever the database's language is.
    """
    CREATE TABLE vocabulary (
        tenant_id uuid NOT NULL,
        word text COLLATE "C" NOT NULL,
        stem text COLLATE "C" NOT NULL,
        documents bigint NOT NULL,
        PRIMARY KEY (tenant_id, word)
    ) PARTITION BY HASH (tenant_id)
    """,
    "CREATE INDEX idx_vocabulary_stem ON vocabulary (tenant_id, stem)",
)


def upgrade() -> None:
    """Applies it."""
    for statement in _TABLES:
        op.execute(statement)
    for table in ("full_text", "vocabulary"):
        secure(table, app="SELECT", worker="SELECT, INSERT, UPDATE, DELETE", partitioned=True)
    # In every document of a tenant: with it, the words of one tenant are one intersection in the index.
    op.execute(
        """
        CREATE FUNCTION tenant_lexeme(tenant_id uuid) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
        AS $$ SELECT 't' || replace(tenant_id::text, '-', '') $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION matching(query tsquery) RETURNS TABLE (document_id uuid)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
            SELECT document_id FROM full_text
            WHERE tenant_id = current_tenant() AND NOT deleted AND numnode(query) > 0
              AND words @@ (quote_literal(tenant_lexeme(current_tenant()))::tsquery && query)
        $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION matching(tsquery) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION matching(tsquery) TO docsearch_app, docsearch_worker, docsearch_admin")
