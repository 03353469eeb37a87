"""The uploaded files of teams, for their lists. Older versions do not use them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "files",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("mark", TEXT, nullable=False),
        sa.Column("filename", TEXT, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger()),
        sa.Column("deleted", sa.Integer(), nullable=False),
    )
    op.create_index("files_team", "files", ["mark", "created_at", "id"])
