"""Where each tenant's documents are in OpenSearch, and how far a move has come.

A tenant without a row is small, and in the index that all small ones share. That index has a row of its own, under the
id of nobody: it is moved as a whole, to have more shards or to be made again.
"""

from alembic import op

from app.store.migrations.versions.m0001_documents import secure

revision = "0006"
down_revision = "0005"

_TABLE = """
    CREATE TABLE placements (
        tenant_id uuid PRIMARY KEY,
        tier text NOT NULL DEFAULT 'small' CHECK (tier IN ('small', 'medium', 'large')),
        primaries integer NOT NULL DEFAULT 3 CHECK (primaries BETWEEN 1 AND 1024),
        step text NOT NULL DEFAULT 'settled' CHECK (step IN ('settled', 'make', 'copy', 'check', 'swap', 'leave')),
        next_tier text CHECK (next_tier IN ('small', 'medium', 'large')),
        next_primaries integer CHECK (next_primaries BETWEEN 1 AND 1024),
        old_index text NOT NULL DEFAULT '',
        new_index text NOT NULL DEFAULT '',
        copied_tenant uuid,
        copied_document uuid,
        step_at timestamptz NOT NULL DEFAULT now(),
        CHECK ((step = 'settled') = (next_tier IS NULL) AND (next_tier IS NULL) = (next_primaries IS NULL))
    )
"""


def upgrade() -> None:
    """Applies it."""
    op.execute(_TABLE)
    secure("placements", app="SELECT", worker="SELECT", partitioned=False)
    op.execute(
        """
        CREATE POLICY shared ON placements FOR SELECT TO docsearch_app, docsearch_worker
        USING (tenant_id = '00000000-0000-0000-0000-000000000000')
        """
    )
    # A tenant's tier is said in one place.
    op.execute("ALTER TABLE tenants DROP COLUMN tier")
