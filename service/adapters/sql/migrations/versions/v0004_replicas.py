"""The living replicas, and recounts of counters that a store has lost. Older versions do not use them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "replicas",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "recounts",
        sa.Column("team", TEXT, primary_key=True),
        sa.Column("life", TEXT, nullable=False),
    )
    op.create_table(
        "reports",
        sa.Column("team", TEXT, primary_key=True),
        sa.Column("replica", TEXT, primary_key=True),
        sa.Column("life", TEXT, nullable=False),
    )
