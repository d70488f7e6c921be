"""A key that was hashed with a former pepper is hashed again by whoever finds it used."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Applies it."""
    op.execute("GRANT UPDATE (key_hash) ON api_keys TO docsearch_app")
