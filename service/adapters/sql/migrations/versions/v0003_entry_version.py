"""Each entry says by which version it was written, so that an old `bypass` can be told from a right one.

Gateways of revision 0001 wrote `bypass` for every purchase, and go on to do so beside newer ones. What they write has
no version, before this step and after it, and is read as `unknown`. No row is changed: adding an empty column takes
the same short time whatever the number of entries.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("entries", sa.Column("version", sa.Integer))
