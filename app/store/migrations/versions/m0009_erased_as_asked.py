"""An erasure takes what was the user's when it was asked for, and still is; and tasks that ended long ago go.

What was written for somebody else between the request and the worker's turn is theirs, and stays.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

_TABLES = (
    # `version` is the document's when the erasure was asked for and, once it is buried, the one that every index has to
    # get. `subject` tells whether a document is still the user's, and goes when it is buried: until then the document
    # itself says more.
    "ALTER TABLE erased_documents ADD COLUMN version bigint, ADD COLUMN subject bytea",
    # Nobody knows any more what they were when it was asked: they are taken as they are.
    """
    UPDATE erased_documents AS noted SET version = its.version, subject = CASE WHEN NOT buried THEN
        sha256(convert_to(noted.erasure_id || ' ' || (its.metadata ->> 'user_id'), 'UTF8')) END
    FROM documents AS its WHERE its.tenant_id = noted.tenant_id AND its.document_id = noted.document_id
    """,
    "CREATE INDEX idx_tasks_errors ON tasks (tenant_id, task_id) WHERE errors <> '[]'",
    "CREATE INDEX idx_tasks_state ON tasks (tenant_id, state, created_at DESC)",
    "CREATE INDEX idx_tasks_finished ON tasks (finished_at) WHERE finished_at IS NOT NULL",
)

_FUNCTIONS = (
    """
    CREATE FUNCTION erased_subject(erasure uuid, subject text) RETURNS bytea LANGUAGE sql STABLE
    AS $$ SELECT sha256(convert_to(erasure || ' ' || subject, 'UTF8')) $$
    """,
    # As the worker locks when documents are in the index (`app.store.outbox.settle`): rows of the outbox, tasks, and
    # then documents, of each the lowest id first. Neither then waits for the other.
    """
    CREATE FUNCTION lock_refusals(its uuid, ids uuid[]) RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
    BEGIN
        PERFORM FROM outbox WHERE tenant_id = its AND document_id = ANY(ids) AND last_error IS NOT NULL
        ORDER BY outbox_id FOR UPDATE;
        PERFORM FROM tasks WHERE tenant_id = its AND errors <> '[]'
          AND EXISTS (SELECT FROM jsonb_array_elements(errors) AS one WHERE one ->> 'document_id' = ANY(ids::text[]))
        ORDER BY task_id FOR NO KEY UPDATE;
    END $$
    """,
    # Errors of an index may hold a piece of what it refused.
    """
    CREATE FUNCTION forget_refusals(its uuid, ids uuid[]) RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
    BEGIN
        UPDATE outbox SET last_error = NULL WHERE tenant_id = its AND document_id = ANY(ids) AND last_error IS NOT NULL;
        UPDATE dead_letters SET reason = 'erased' WHERE tenant_id = its AND document_id = ANY(ids);
        UPDATE tasks SET errors = (
            SELECT jsonb_agg(CASE WHEN one ->> 'document_id' = ANY(ids::text[]) THEN
                jsonb_set(one, '{reason}', '"erased"') ELSE one END)
            FROM jsonb_array_elements(errors) AS one)
        WHERE tenant_id = its AND errors <> '[]'
          AND EXISTS (SELECT FROM jsonb_array_elements(errors) AS one WHERE one ->> 'document_id' = ANY(ids::text[]));
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION bury_documents(its uuid, ids uuid[], task uuid) RETURNS integer
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
    DECLARE buried uuid[];
    BEGIN
        PERFORM lock_refusals(its, ids);
        PERFORM FROM documents WHERE tenant_id = its AND document_id = ANY(ids)
        ORDER BY document_id FOR NO KEY UPDATE;
        WITH emptied AS (
            UPDATE documents SET version = version + 1, status = 'DELETED', title = '', content = '', author = '',
                language = 'en', tags = '{}', metadata = '{}', content_hash = '', size_bytes = 0,
                published_at = created_at, updated_at = now()
            WHERE tenant_id = its AND document_id = ANY(ids) AND status <> 'DELETED'
            RETURNING document_id, version
        ), queued AS (
            INSERT INTO outbox (tenant_id, document_id, version, task_id)
            SELECT its, document_id, version, task FROM emptied
        )
        SELECT coalesce(array_agg(document_id), '{}') INTO buried FROM emptied;
        DELETE FROM document_versions WHERE tenant_id = its AND document_id = ANY(ids);
        PERFORM forget_refusals(its, ids);
        RETURN cardinality(buried);
    END $$
    """,
    # As before (m0005), and besides which version it is, and whose. Of a document of which only versions were the
    # user's, what an index said of them is forgotten with the others.
    """
    CREATE OR REPLACE FUNCTION note_erasure(erasure uuid, subject text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE its uuid := current_tenant(); noted integer;
    BEGIN
        INSERT INTO erased_documents (tenant_id, erasure_id, document_id, version, subject)
        SELECT its, erasure, document_id, documents.version, erased_subject(erasure, note_erasure.subject)
        FROM documents
        WHERE tenant_id = its AND metadata ? 'user_id' AND metadata ->> 'user_id' = note_erasure.subject
          AND status <> 'DELETED'
        ON CONFLICT DO NOTHING;
        SELECT count(*) INTO noted FROM erased_documents AS its_own
        WHERE tenant_id = its AND erasure_id = erasure AND its_own.subject IS NOT NULL;
        WITH gone AS (
            DELETE FROM document_versions AS old
            WHERE tenant_id = its AND body -> 'metadata' ? 'user_id'
              AND body -> 'metadata' ->> 'user_id' = note_erasure.subject
              AND NOT EXISTS (SELECT FROM erased_documents AS whole WHERE whole.tenant_id = its
                              AND whole.erasure_id = erasure AND whole.document_id = old.document_id)
            RETURNING document_id
        )
        INSERT INTO erased_documents (tenant_id, erasure_id, document_id)
        SELECT DISTINCT its, erasure, document_id FROM gone ON CONFLICT DO NOTHING;
        RETURN noted;
    END $$
    """,
    # Some of what an erasure has noted. Writers of the tenant wait meanwhile: whose a document is, it stays.
    """
    CREATE OR REPLACE FUNCTION erase_documents(its uuid, erasure uuid, task uuid, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE ids uuid[]; still_theirs uuid[]; others uuid[];
    BEGIN
        -- What users search for may be a person's name, and nobody can tell: all of it is forgotten.
        DELETE FROM popular_queries WHERE tenant_id = its;
        PERFORM pg_advisory_xact_lock(hashtextextended('docsearch write ' || its, 0));
        SELECT array_agg(document_id) INTO ids FROM (
            SELECT document_id FROM erased_documents
            WHERE tenant_id = its AND erasure_id = erasure AND NOT buried LIMIT most) AS chosen;
        IF ids IS NULL THEN RETURN 0; END IF;
        SELECT coalesce(array_agg(document_id) FILTER (WHERE same), '{}'),
               coalesce(array_agg(document_id) FILTER (WHERE NOT same), '{}')
        INTO still_theirs, others FROM (
            SELECT document_id, coalesce(subject = erased_subject(erasure, metadata ->> 'user_id'), false) AS same
            FROM erased_documents LEFT JOIN documents USING (tenant_id, document_id)
            WHERE tenant_id = its AND erasure_id = erasure AND document_id = ANY(ids)) AS noted;
        IF others <> '{}' THEN PERFORM lock_refusals(its, ids); END IF;
        PERFORM bury_documents(its, still_theirs, task);
        IF others <> '{}' THEN
            DELETE FROM document_versions AS old USING erased_documents AS noted
            WHERE noted.tenant_id = its AND noted.erasure_id = erasure AND noted.document_id = ANY(others)
              AND old.tenant_id = its AND old.document_id = noted.document_id
              AND (old.version <= noted.version
                   OR noted.subject = erased_subject(erasure, old.body -> 'metadata' ->> 'user_id'));
            PERFORM forget_refusals(its, others);
        END IF;
        UPDATE erased_documents AS noted SET buried = true, subject = NULL, version = (
            SELECT documents.version FROM documents
            WHERE documents.tenant_id = its AND documents.document_id = noted.document_id)
        WHERE tenant_id = its AND erasure_id = erasure AND document_id = ANY(ids);
        RETURN cardinality(ids);
    END $$
    """,
    # Tasks that ended so long ago that nobody asks for them, so many at a time.
    """
    CREATE FUNCTION delete_old_tasks(most integer DEFAULT 1000) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
        WITH gone AS (
            DELETE FROM tasks WHERE (tenant_id, task_id) IN (
                SELECT tenant_id, task_id FROM tasks WHERE finished_at < now() - interval '30 days'
                ORDER BY finished_at LIMIT most FOR UPDATE SKIP LOCKED)
            RETURNING task_id
        )
        SELECT count(*)::integer FROM gone
    $$
    """,
    # What pg_cron calls every night (m0005).
    """
    CREATE OR REPLACE PROCEDURE delete_all_old_documents() LANGUAGE plpgsql AS $$
    BEGIN
        WHILE public.delete_old_documents() > 0 LOOP
            COMMIT;
        END LOOP;
        WHILE public.delete_old_tasks() > 0 LOOP
            COMMIT;
        END LOOP;
    END $$
    """,
)

_RIGHTS = {
    "delete_old_tasks(integer)": "docsearch_worker",
    "erased_subject(uuid, text)": "",
    "lock_refusals(uuid, uuid[])": "",
    "forget_refusals(uuid, uuid[])": "",
}


def upgrade() -> None:
    """Applies it."""
    for statement in (*_TABLES, *_FUNCTIONS):
        op.execute(statement)
    for function, roles in _RIGHTS.items():
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {roles + ', ' if roles else ''}docsearch_admin")
