"""The lease on the ledger: names the replica, or the replicas of one store, whose counters count for it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BIG = sa.BigInteger()


def upgrade() -> None:
    """Make the table, which is empty until a gateway starts."""
    op.create_table(
        "leases",
        sa.Column("lease", TEXT, primary_key=True),
        sa.Column("place", TEXT, nullable=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("shared", sa.Integer, nullable=False),
        sa.Column("leaving", sa.Integer, nullable=False),
        sa.Column("since", BIG, nullable=False),
        sa.Column("until", BIG, nullable=False),
    )
