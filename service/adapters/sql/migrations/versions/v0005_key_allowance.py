"""The allowance of an issued key: models, tiers and limits of its own within its team's, as one JSON value.

Older keys have none, and only their team restricts them. An older gateway beside a newer one leaves the column as it
is, and does not apply it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column("keys", sa.Column("allowance", sa.JSON))
