"""A version says which later one is the same again, so that changes are taken back in whatever order that is asked."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Applies it."""
    op.execute("ALTER TABLE document_versions ADD COLUMN restored_as bigint")
    op.execute("GRANT UPDATE (restored_as) ON document_versions TO docsearch_app")
