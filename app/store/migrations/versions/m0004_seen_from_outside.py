"""Tasks can be canceled, the outbox carries traces, and popular queries are warmed by one process at a time.

Whoever answers requests still reads no outbox, and no row of another tenant: the two functions are run by their owner.
``cancel_task`` takes the tenant from where row-level security takes it. ``next_to_warm`` gives out the id of a tenant
and nothing of it.
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Applies it."""
    op.execute("ALTER TABLE outbox ADD COLUMN trace text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE tenants ADD COLUMN warmed_at timestamptz")
    op.execute("GRANT DELETE ON popular_queries TO docsearch_app")
    # A worker holds the rows that it is at: where one is held, work has begun. Deletions stay: they are carried out.
    op.execute(
        """
        CREATE FUNCTION cancel_task(asked uuid) RETURNS TABLE (document_id uuid, version bigint)
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
        #variable_conflict use_column
        DECLARE
            expected bigint;
            held bigint[];
        BEGIN
            SELECT total INTO expected FROM tasks
            WHERE tenant_id = current_tenant() AND task_id = asked AND state = 'enqueued' FOR UPDATE;
            IF NOT FOUND THEN RETURN; END IF;
            SELECT array_agg(outbox_id) INTO held FROM (
                SELECT outbox_id FROM outbox WHERE tenant_id = current_tenant() AND task_id = asked
                FOR UPDATE SKIP LOCKED
            ) AS waiting;
            IF cardinality(held) IS DISTINCT FROM expected THEN RETURN; END IF;
            RETURN QUERY
                DELETE FROM outbox USING documents
                WHERE outbox.outbox_id = ANY (held) AND documents.tenant_id = outbox.tenant_id
                  AND documents.document_id = outbox.document_id AND documents.status <> 'DELETED'
                RETURNING outbox.document_id, outbox.version;
            IF NOT FOUND THEN RETURN; END IF;
            UPDATE tasks SET state = 'canceled', finished_at = now()
            WHERE tenant_id = current_tenant() AND task_id = asked;
        END $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION next_to_warm(every interval) RETURNS uuid
        LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
            UPDATE tenants SET warmed_at = now() WHERE tenant_id = (
                SELECT tenant_id FROM tenants
                WHERE suspended_at IS NULL AND (warmed_at IS NULL OR warmed_at <= now() - every)
                  AND EXISTS (SELECT FROM popular_queries WHERE popular_queries.tenant_id = tenants.tenant_id)
                ORDER BY warmed_at NULLS FIRST LIMIT 1 FOR UPDATE SKIP LOCKED
            ) RETURNING tenant_id
        $$
        """
    )
    for function in ("cancel_task(uuid)", "next_to_warm(interval)"):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO docsearch_app, docsearch_admin")
