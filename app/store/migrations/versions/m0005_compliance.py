"""Erasure of a person's documents, and deletion of old ones: what one statement each has to do.

Both bury documents as a request that deletes them does: versions go, the row stays empty with a version that is newer
than any before, and the outbox brings that into every index. They are functions of the owner because they are run by
who may do nothing else of it: by the worker, and by pg_cron.
"""

from alembic import op

from app.store.migrations.versions.m0001_documents import secure

revision = "0005"
down_revision = "0004"

_TABLES = (
    # Which deployment's data this is, wherever it is restored to: a logbook of another one is told by it.
    """
    DO $$ BEGIN
        EXECUTE format('CREATE FUNCTION deployment_id() RETURNS uuid LANGUAGE sql IMMUTABLE AS %L',
                       format('SELECT %L::uuid', gen_random_uuid()));
    END $$
    """,
    "ALTER TABLE erasures ADD COLUMN task_id uuid, ADD COLUMN hash_key text NOT NULL DEFAULT ''",
    "CREATE INDEX idx_erasures_open ON erasures (asked_at) WHERE finished_at IS NULL",
    # What an erasure is about: ids, which say nothing of anybody.
    """
    CREATE TABLE erased_documents (
        tenant_id uuid NOT NULL,
        erasure_id uuid NOT NULL,
        document_id uuid NOT NULL,
        buried boolean NOT NULL DEFAULT false,
        PRIMARY KEY (tenant_id, erasure_id, document_id)
    )
    """,
    "CREATE INDEX idx_docs_user ON documents (tenant_id, (metadata ->> 'user_id')) WHERE metadata ? 'user_id'",
    """
    CREATE INDEX idx_versions_user ON document_versions (tenant_id, (body -> 'metadata' ->> 'user_id'))
    WHERE body -> 'metadata' ? 'user_id'
    """,
)

_FUNCTIONS = (
    # As `app.store.audit.record` does it, byte for byte: one verification goes through rows of both.
    """
    CREATE FUNCTION record_audit(its uuid, actor text, action text, resource text, detail text) RETURNS void
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
    DECLARE
        at timestamptz := clock_timestamp();
        last record;
        said text;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('docsearch write ' || its, 0));
        SELECT seq, hash INTO last FROM audit WHERE tenant_id = its ORDER BY seq DESC LIMIT 1;
        said := to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
            || CASE WHEN extract(microseconds FROM at)::bigint % 1000000 = 0 THEN ''
                    ELSE to_char(at AT TIME ZONE 'UTC', '.US') END || '+00:00';
        INSERT INTO audit (tenant_id, seq, at, actor, action, resource, address, user_agent, correlation_id, detail,
                           previous, hash)
        SELECT its, number, at, actor, action, resource, '', '', '', detail::jsonb, previous,
               sha256(previous || convert_to(
                   '{"action":' || to_json(action) || ',"actor":' || to_json(actor) || ',"address":"","at":"' || said
                   || '","correlation_id":"","detail":' || detail || ',"resource":' || to_json(resource)
                   || ',"seq":' || number || ',"tenant_id":"' || its || '","user_agent":""}', 'UTF8'))
        FROM (SELECT coalesce(last.seq, 0) + 1 AS number,
                     coalesce(last.hash, decode(repeat('00', 32), 'hex')) AS previous) AS follows;
    END $$
    """,
    # Documents and all that was kept beside them. Errors of an index may hold a piece of what it refused.
    """
    CREATE FUNCTION bury_documents(its uuid, ids uuid[], task uuid) RETURNS integer
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
    DECLARE buried uuid[];
    BEGIN
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
    """,
    # What is a user's, noted for an erasure of the transaction's tenant. A version that was the user's, of a document
    # that no longer is, goes at once: nobody would find it later without the name. Its document is noted to be waited
    # for: until its last version is in the index, the one before may be.
    """
    CREATE FUNCTION note_erasure(erasure uuid, subject text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE its uuid := current_tenant(); noted integer;
    BEGIN
        INSERT INTO erased_documents (tenant_id, erasure_id, document_id)
        SELECT its, erasure, document_id FROM documents
        WHERE tenant_id = its AND metadata ? 'user_id' AND metadata ->> 'user_id' = subject AND status <> 'DELETED'
        ON CONFLICT DO NOTHING;
        SELECT count(*) INTO noted FROM erased_documents
        WHERE tenant_id = its AND erasure_id = erasure AND NOT buried;
        WITH gone AS (
            DELETE FROM document_versions AS old
            WHERE tenant_id = its AND body -> 'metadata' ? 'user_id' AND body -> 'metadata' ->> 'user_id' = subject
              AND NOT EXISTS (SELECT FROM erased_documents AS whole WHERE whole.tenant_id = its
                              AND whole.erasure_id = erasure AND whole.document_id = old.document_id)
            RETURNING document_id
        )
        INSERT INTO erased_documents (tenant_id, erasure_id, document_id, buried)
        SELECT DISTINCT its, erasure, document_id, true FROM gone ON CONFLICT DO NOTHING;
        RETURN noted;
    END $$
    """,
    # Some of what an erasure has noted.
    """
    CREATE FUNCTION erase_documents(its uuid, erasure uuid, task uuid, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE ids uuid[];
    BEGIN
        -- What users search for may be a person's name, and nobody can tell: all of it is forgotten.
        DELETE FROM popular_queries WHERE tenant_id = its;
        PERFORM pg_advisory_xact_lock(hashtextextended('docsearch write ' || its, 0));
        SELECT array_agg(document_id) INTO ids FROM (
            SELECT document_id FROM erased_documents
            WHERE tenant_id = its AND erasure_id = erasure AND NOT buried LIMIT most) AS chosen;
        IF ids IS NULL THEN RETURN 0; END IF;
        PERFORM bury_documents(its, ids, task);
        UPDATE erased_documents SET buried = true
        WHERE tenant_id = its AND erasure_id = erasure AND document_id = ANY(ids);
        RETURN cardinality(ids);
    END $$
    """,
    """
    CREATE FUNCTION finish_erasure(its uuid, erasure uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE number integer;
    BEGIN
        SELECT count(*) INTO number FROM erased_documents WHERE tenant_id = its AND erasure_id = erasure;
        DELETE FROM popular_queries WHERE tenant_id = its;
        PERFORM record_audit(its, 'worker', 'finish_erasure', 'erasure/' || erasure, '{"documents":' || number || '}');
        UPDATE erasures SET documents = number, finished_at = now() WHERE tenant_id = its AND erasure_id = erasure;
        DELETE FROM erased_documents WHERE tenant_id = its AND erasure_id = erasure;
    END $$
    """,
    # Which of some erasures this database knows nothing of: it is older than they are.
    """
    CREATE FUNCTION unknown_erasures(ids uuid[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
        SELECT id FROM unnest(ids) AS id WHERE NOT EXISTS (SELECT FROM erasures WHERE erasure_id = id)
    $$
    """,
    # What is older than its tenant keeps it: so many documents of one tenant, in one transaction; 0 if there are none.
    """
    CREATE FUNCTION delete_old_documents(most integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
        its record;
        ids uuid[];
        task uuid := gen_random_uuid();
        buried integer;
    BEGIN
        FOR its IN SELECT tenant_id, data_retention_years AS years FROM tenants ORDER BY tenant_id LOOP
            CONTINUE WHEN NOT EXISTS (SELECT FROM documents WHERE tenant_id = its.tenant_id AND status <> 'DELETED'
                                      AND created_at < now() - make_interval(years => its.years));
            -- A document that is deleted and written again meanwhile is young: nobody writes while this is decided.
            PERFORM pg_advisory_xact_lock(hashtextextended('docsearch write ' || its.tenant_id, 0));
            SELECT array_agg(document_id) INTO ids FROM (
                SELECT document_id FROM documents WHERE tenant_id = its.tenant_id AND status <> 'DELETED'
                  AND created_at < now() - make_interval(years => its.years) ORDER BY created_at LIMIT most) AS old;
            CONTINUE WHEN ids IS NULL;
            INSERT INTO tasks (tenant_id, task_id, kind, total)
            VALUES (its.tenant_id, task, 'retention', cardinality(ids));
            buried := bury_documents(its.tenant_id, ids, task);
            PERFORM record_audit(its.tenant_id, 'retention', 'delete_old_documents', 'task/' || task,
                                 '{"documents":' || buried || ',"years":' || its.years || '}');
            RETURN buried;
        END LOOP;
        RETURN 0;
    END $$
    """,
    # Batch after batch, each in a transaction of its own: what pg_cron calls.
    """
    CREATE PROCEDURE delete_all_old_documents() LANGUAGE plpgsql AS $$
    BEGIN
        WHILE public.delete_old_documents() > 0 LOOP
            COMMIT;
        END LOOP;
    END $$
    """,
    # Every night at 2, where pg_cron is there: it is loaded at start, and works from one database alone.
    """
    CREATE FUNCTION schedule_retention() RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('cron.database_name', true) IS DISTINCT FROM current_database()::text
           OR NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_cron') THEN
            RETURN false;
        END IF;
        CREATE EXTENSION IF NOT EXISTS pg_cron;
        PERFORM cron.schedule('delete-old-docs', '0 2 * * *', 'CALL public.delete_all_old_documents()');
        RETURN true;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'pg_cron is there, and % may not create it: the worker deletes what is old', current_user;
        RETURN false;
    END $$
    """,
    """
    CREATE FUNCTION retention_is_scheduled() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE found boolean := false;
    BEGIN
        IF to_regclass('cron.job') IS NOT NULL THEN
            EXECUTE 'SELECT EXISTS (SELECT FROM cron.job WHERE jobname = ''delete-old-docs'' AND active)' INTO found;
        END IF;
        RETURN found;
    END $$
    """,
)

_RIGHTS = {
    "retention_is_scheduled()": "docsearch_worker",
    "note_erasure(uuid, text)": "docsearch_app",
    "erase_documents(uuid, uuid, uuid, integer)": "docsearch_worker",
    "finish_erasure(uuid, uuid)": "docsearch_worker",
    "unknown_erasures(uuid[])": "docsearch_app, docsearch_worker",
    "delete_old_documents(integer)": "docsearch_worker",
    "record_audit(uuid, text, text, text, text)": "",
    "bury_documents(uuid, uuid[], uuid)": "",
    "schedule_retention()": "",
}


def upgrade() -> None:
    """Applies it."""
    for statement in _TABLES:
        op.execute(statement)
    secure("erased_documents", app="", worker="SELECT", partitioned=False)
    # An erasure says nothing of anybody; the worker finishes those of all tenants.
    op.execute("CREATE POLICY every_tenant ON erasures FOR SELECT TO docsearch_worker USING (true)")
    for statement in _FUNCTIONS:
        op.execute(statement)
    for function, roles in _RIGHTS.items():
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {roles + ', ' if roles else ''}docsearch_admin")
    op.execute("REVOKE ALL ON PROCEDURE delete_all_old_documents() FROM PUBLIC")
    op.execute("SELECT schedule_retention()")
