"""A tenant can be suspended: it keeps what it has, and is answered nothing."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Applies it."""
    op.execute("ALTER TABLE tenants ADD COLUMN suspended_at timestamptz")
