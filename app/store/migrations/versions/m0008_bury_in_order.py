"""Documents are buried in the order in which all others lock: neither then waits for the other."""

from alembic import op

revision = "0008"
down_revision = "0007"

_BURY = """
    CREATE OR REPLACE FUNCTION bury_documents(its uuid, ids uuid[], task uuid) RETURNS integer
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
    DECLARE buried uuid[];
    BEGIN
        -- As the worker does when documents are in the index (`app.store.outbox.settle`): rows of the outbox, tasks,
        -- documents, and of each the lowest id first. What is changed is looked for again when all is locked.
        PERFORM FROM outbox WHERE tenant_id = its AND document_id = ANY(ids) AND last_error IS NOT NULL
        ORDER BY outbox_id FOR UPDATE;
        PERFORM FROM tasks WHERE tenant_id = its AND errors <> '[]'
          AND EXISTS (SELECT FROM jsonb_array_elements(errors) AS one WHERE one ->> 'document_id' = ANY(ids::text[]))
        ORDER BY task_id FOR NO KEY UPDATE;
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
        UPDATE outbox SET last_error = NULL WHERE tenant_id = its AND document_id = ANY(ids) AND last_error IS NOT NULL;
        UPDATE dead_letters SET reason = 'erased' WHERE tenant_id = its AND document_id = ANY(ids);
        UPDATE tasks SET errors = (
            SELECT jsonb_agg(CASE WHEN one ->> 'document_id' = ANY(ids::text[]) THEN
                jsonb_set(one, '{reason}', '"erased"') ELSE one END)
            FROM jsonb_array_elements(errors) AS one)
        WHERE tenant_id = its AND errors <> '[]'
          AND EXISTS (SELECT FROM jsonb_array_elements(errors) AS one WHERE one ->> 'document_id' = ANY(ids::text[]));
        RETURN cardinality(buried);
    END $$
"""


def upgrade() -> None:
    """Applies it."""
    op.execute(_BURY)
