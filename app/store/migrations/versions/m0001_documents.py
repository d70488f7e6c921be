"""Tenants, documents and all that belongs to them, with row-level security.

Three group roles: ``docsearch_app`` answers requests and sees the tenant that its transaction names,
``docsearch_worker`` brings the outbox into the index, ``docsearch_admin`` is who migrates. Nobody bypasses row-level
security: it is forced on owners, too, and the login roles own nothing.
"""

from alembic import op

revision = "0001"
down_revision = None

#: Partitions of a table by hash of its tenant (requirement, section 1).
PARTITIONS = 10

_ROLES = """
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['docsearch_app', 'docsearch_worker', 'docsearch_admin'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOBYPASSRLS', name);
        END IF;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['docsearch_search', 'docsearch_document', 'docsearch_index'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOBYPASSRLS', name);
        END IF;
        -- On RDS who logs in with a token has this role (RDS user guide, "IAM database authentication").
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
            EXECUTE format('GRANT rds_iam TO %I', name);
        END IF;
    END LOOP;
    -- The master user of RDS has that very name, and nobody can be given to himself.
    IF current_user <> 'docsearch_admin' THEN
        EXECUTE format('GRANT docsearch_admin TO %I', current_user);
    END IF;
END $$
"""

_TABLES = (
    """
    CREATE TABLE tenants (
        tenant_id uuid PRIMARY KEY,
        name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
        tier text NOT NULL DEFAULT 'small' CHECK (tier IN ('small', 'medium', 'large')),
        data_retention_years integer NOT NULL DEFAULT 2 CHECK (data_retention_years BETWEEN 1 AND 100),
        per_minute integer CHECK (per_minute > 0),
        generation bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE api_keys (
        key_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
        prefix text NOT NULL UNIQUE,
        key_hash text NOT NULL UNIQUE,
        name text NOT NULL DEFAULT '',
        scopes text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write', 'admin'] AND cardinality(scopes) > 0),
        rate_limit integer CHECK (rate_limit > 0),
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        last_used_at timestamptz,
        is_active boolean NOT NULL DEFAULT true
    )
    """,
    "CREATE INDEX idx_api_keys_hash ON api_keys (key_hash)",
    "CREATE INDEX idx_api_keys_tenant ON api_keys (tenant_id)",
    """
    CREATE TABLE documents (
        tenant_id uuid NOT NULL REFERENCES tenants (tenant_id),
        document_id uuid NOT NULL,
        version bigint NOT NULL,
        status text NOT NULL CHECK (status IN ('PENDING', 'INDEXED', 'FAILED', 'DELETED')),
        title text NOT NULL,
        content text NOT NULL,
        author text NOT NULL DEFAULT '',
        language text NOT NULL DEFAULT 'en',
        tags text[] NOT NULL DEFAULT '{}',
        metadata jsonb NOT NULL DEFAULT '{}',
        content_hash bytea NOT NULL,
        size_bytes integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        published_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, document_id)
    ) PARTITION BY HASH (tenant_id)
    """,
    # The requirement's indexes, section 5.
    "CREATE INDEX idx_docs_tenant_created ON documents (tenant_id, created_at DESC)",
    "CREATE INDEX idx_docs_tenant_status ON documents (tenant_id, status)",
    "CREATE INDEX idx_docs_hash ON documents (content_hash)",
    "CREATE INDEX idx_docs_active ON documents (tenant_id, created_at) WHERE status = 'INDEXED'",
    """
    CREATE INDEX idx_docs_covering ON documents (tenant_id, status, created_at) INCLUDE (document_id, title)
    """,
    """
    CREATE TABLE document_versions (
        tenant_id uuid NOT NULL,
        document_id uuid NOT NULL,
        version bigint NOT NULL,
        body jsonb NOT NULL,
        replaced_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, document_id, version),
        FOREIGN KEY (tenant_id, document_id) REFERENCES documents (tenant_id, document_id) ON DELETE CASCADE
    ) PARTITION BY HASH (tenant_id)
    """,
    """
    CREATE TABLE tasks (
        tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
        task_id uuid NOT NULL,
        kind text NOT NULL,
        state text NOT NULL DEFAULT 'enqueued'
            CHECK (state IN ('enqueued', 'processing', 'succeeded', 'failed', 'canceled')),
        total integer NOT NULL,
        done integer NOT NULL DEFAULT 0,
        failed integer NOT NULL DEFAULT 0,
        errors jsonb NOT NULL DEFAULT '[]',
        created_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        finished_at timestamptz,
        PRIMARY KEY (tenant_id, task_id)
    )
    """,
    "CREATE INDEX idx_tasks_created ON tasks (tenant_id, created_at DESC)",
    """
    CREATE TABLE outbox (
        outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
        document_id uuid NOT NULL,
        version bigint NOT NULL,
        task_id uuid NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        written_at timestamptz NOT NULL DEFAULT now(),
        available_at timestamptz NOT NULL DEFAULT now(),
        published_at timestamptz,
        last_error text
    )
    """,
    "CREATE INDEX idx_outbox_tenant ON outbox (tenant_id, available_at, outbox_id)",
    """
    CREATE TABLE dead_letters (
        outbox_id bigint PRIMARY KEY,
        tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
        document_id uuid NOT NULL,
        version bigint NOT NULL,
        task_id uuid NOT NULL,
        attempts integer NOT NULL,
        reason text NOT NULL,
        died_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX idx_dead_letters_tenant ON dead_letters (tenant_id, died_at DESC)",
    # A chain per tenant: each row's hash covers the row and the hash before it (`app.store.audit`).
    """
    CREATE TABLE audit (
        tenant_id uuid NOT NULL,
        seq bigint NOT NULL,
        at timestamptz NOT NULL,
        actor text NOT NULL,
        action text NOT NULL,
        resource text NOT NULL,
        address text NOT NULL,
        user_agent text NOT NULL,
        correlation_id text NOT NULL,
        detail jsonb NOT NULL,
        previous bytea NOT NULL,
        hash bytea NOT NULL,
        PRIMARY KEY (tenant_id, seq)
    )
    """,
    # No foreign key: what was erased has to be erased from a restored backup, too.
    """
    CREATE TABLE erasures (
        tenant_id uuid NOT NULL,
        erasure_id uuid NOT NULL DEFAULT gen_random_uuid(),
        field text NOT NULL,
        subject_hash bytea NOT NULL,
        documents integer NOT NULL DEFAULT 0,
        asked_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz,
        PRIMARY KEY (tenant_id, erasure_id)
    )
    """,
    """
    CREATE TABLE synonyms (
        tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
        word text NOT NULL,
        alternatives text[] NOT NULL CHECK (cardinality(alternatives) BETWEEN 1 AND 20),
        PRIMARY KEY (tenant_id, word)
    )
    """,
    """
    CREATE TABLE popular_queries (
        tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
        digest bytea NOT NULL,
        query jsonb NOT NULL,
        asked bigint NOT NULL,
        found_nothing bigint NOT NULL,
        last_at timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, digest)
    )
    """,
    "CREATE INDEX idx_popular_queries ON popular_queries (tenant_id, asked DESC)",
)

_PARTITIONED = ("documents", "document_versions")

#: By table: what requests may do, and what the worker may. Nobody but an administrator alters or deletes the trail.
_GRANTS = {
    "tenants": ("SELECT", "SELECT, UPDATE (generation)"),
    "api_keys": ("SELECT, INSERT, UPDATE (last_used_at, is_active)", ""),
    "documents": ("SELECT, INSERT, UPDATE", "SELECT, UPDATE (status)"),
    "document_versions": ("SELECT, INSERT, DELETE", ""),
    "tasks": ("SELECT, INSERT", "SELECT, UPDATE"),
    "outbox": ("INSERT", "SELECT, UPDATE, DELETE"),
    "dead_letters": ("SELECT", "SELECT, INSERT"),
    "audit": ("SELECT, INSERT", ""),
    "erasures": ("SELECT, INSERT", "SELECT, UPDATE (documents, finished_at)"),
    "synonyms": ("SELECT, INSERT, UPDATE, DELETE", "SELECT"),
    "popular_queries": ("SELECT, INSERT, UPDATE", "SELECT"),
}

_OWN = "tenant_id = current_tenant()"


def upgrade() -> None:
    """Applies it."""
    op.execute(_ROLES)
    op.execute(
        """
        CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
        AS $$ SELECT nullif(current_setting('docsearch.tenant_id', true), '')::uuid $$
        """
    )
    for statement in _TABLES:
        op.execute(statement)
    for table, (app, worker) in _GRANTS.items():
        secure(table, app=app, worker=worker, partitioned=table in _PARTITIONED)
    # Before a key is found nobody knows its tenant: a transaction that names a prefix sees the one key that has it.
    op.execute(
        """
        CREATE POLICY by_prefix ON api_keys FOR SELECT TO docsearch_app
        USING (prefix = nullif(current_setting('docsearch.key_prefix', true), ''))
        """
    )
    op.execute("CREATE POLICY every_tenant ON outbox TO docsearch_worker USING (true)")
    op.execute("GRANT SELECT ON alembic_version TO docsearch_app, docsearch_worker")
    op.execute("GRANT USAGE ON SCHEMA public TO docsearch_app, docsearch_worker, docsearch_admin")
    op.execute("GRANT docsearch_app TO docsearch_search, docsearch_document")
    op.execute("GRANT docsearch_worker TO docsearch_index")


def secure(table: str, *, app: str, worker: str, partitioned: bool) -> None:
    """Puts a table under row-level security, and says who may do what."""
    tables = [table]
    if partitioned:
        tables += [f"{table}_p{number}" for number in range(PARTITIONS)]
        for number in range(PARTITIONS):
            bounds = f"MODULUS {PARTITIONS}, REMAINDER {number}"
            op.execute(f"CREATE TABLE {table}_p{number} PARTITION OF {table} FOR VALUES WITH ({bounds})")
    for name in tables:
        op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    roles = {"docsearch_app": app, "docsearch_worker": worker}
    for role, rights in roles.items():
        if rights:
            op.execute(f"GRANT {rights} ON {table} TO {role}")
    op.execute(f"CREATE POLICY own ON {table} TO docsearch_app, docsearch_worker USING ({_OWN}) WITH CHECK ({_OWN})")
    op.execute(f"GRANT ALL ON {table} TO docsearch_admin")
    op.execute(f"CREATE POLICY administration ON {table} TO docsearch_admin USING (true) WITH CHECK (true)")
