"""What an issued key may use of what its team may: models, tiers and limits of its own, as one JSON value.

Keys of before have none, and are restricted by nothing but their team. A gateway of an older revision goes on beside a
newer one: it leaves the column as it is, and does not hold the key to it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column("keys", sa.Column("allowance", sa.JSON))
