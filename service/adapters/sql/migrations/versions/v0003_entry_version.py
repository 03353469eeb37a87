"""The version of the gateway that wrote an entry, so that an old `bypass` differs from a correct one.

Gateways of revision 0001 wrote `bypass` for every generation, and still do so beside newer ones. Their entries have no
version, before this step and after it, and are read as `unknown`. No row is changed: an empty column is added in the
same short time for any number of entries.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("entries", sa.Column("version", sa.Integer))
