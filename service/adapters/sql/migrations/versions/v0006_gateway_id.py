"""Values that all replicas share, by name, such as the gateway's id."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table("facts", sa.Column("name", TEXT, primary_key=True), sa.Column("value", TEXT, nullable=False))
