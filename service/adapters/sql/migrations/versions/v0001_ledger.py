"""The ledger, issued keys and the audit trail. The ledger and the trail are append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BIG = sa.BigInteger()

APPEND_ONLY = ("entries", "audit")


def upgrade() -> None:
    """Make all tables."""
    _make_entries()
    _make_keys()
    if op.get_bind().dialect.name == "postgresql":
        _refuse_changes_in_postgresql()
    else:
        _make_daily()
        _refuse_changes_in_sqlite()


def _make_entries() -> None:
    op.create_table(
        "entries",
        sa.Column("hold_id", TEXT, primary_key=True),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("team", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("operation", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("backend", TEXT, nullable=False),
        sa.Column("upstream_model", TEXT, nullable=False),
        sa.Column("price_version", TEXT, nullable=False),
        sa.Column("output_format", TEXT, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("cost", BIG, nullable=False),
        sa.Column("basis", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("tier", TEXT),
        sa.Column("resolved_tier", TEXT),
        sa.Column("size", TEXT),
        sa.Column("text_in", BIG, nullable=False),
        sa.Column("image_in", BIG, nullable=False),
        sa.Column("text_cached", BIG, nullable=False),
        sa.Column("image_cached", BIG, nullable=False),
        sa.Column("text_out", BIG, nullable=False),
        sa.Column("image_out", BIG, nullable=False),
        sa.Column("saved", BIG, nullable=False),
        sa.Column("cache", TEXT, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("held_at", BIG, nullable=False),
        sa.Column("posted_at", BIG, nullable=False),
        sa.Column("day", sa.Integer, sa.Computed("held_at / 86400000000", persisted=True), nullable=False),
    )
    op.create_index("entries_time", "entries", ["held_at", "hold_id"])
    op.create_index("entries_team", "entries", ["team", "held_at"])


def _make_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("team", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("note", TEXT, nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("expires_at", BIG),
        sa.Column("revoked_at", BIG),
        sa.UniqueConstraint("digest", name="keys_digest"),
    )
    op.create_table(
        "audit",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", BIG, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sqlite_autoincrement=True,
    )


def _make_daily() -> None:
    """Make the sums of entries. A trigger adds to them in the transaction of an entry."""
    op.create_table(
        "daily",
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("team", TEXT, primary_key=True),
        sa.Column("resolved_tier", TEXT, primary_key=True),
        sa.Column("model", TEXT, primary_key=True),
        sa.Column("key", TEXT, primary_key=True),
        sa.Column("entries", BIG, nullable=False),
        sa.Column("images", BIG, nullable=False),
        sa.Column("cost", BIG, nullable=False),
        sa.Column("saved", BIG, nullable=False),
        sa.Column("uncertain", BIG, nullable=False),
        sa.Column("tokens_in", BIG, nullable=False),
        sa.Column("tokens_out", BIG, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute("""
        CREATE TRIGGER entries_daily AFTER INSERT ON entries BEGIN
            INSERT INTO daily VALUES (
                NEW.held_at / 86400000000, NEW.team, coalesce(NEW.resolved_tier, ''), NEW.model, NEW.key,
                1, NEW.n, NEW.cost, NEW.saved,
                CASE WHEN NEW.basis IN ('estimated', 'unconfirmed') THEN NEW.cost ELSE 0 END,
                NEW.text_in + NEW.image_in, NEW.text_out + NEW.image_out
            )
            ON CONFLICT (day, team, resolved_tier, model, key) DO UPDATE SET
                entries = entries + 1,
                images = images + excluded.images,
                cost = cost + excluded.cost,
                saved = saved + excluded.saved,
                uncertain = uncertain + excluded.uncertain,
                tokens_in = tokens_in + excluded.tokens_in,
                tokens_out = tokens_out + excluded.tokens_out;
        END
    """)


def _refuse_changes_in_sqlite() -> None:
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _refuse_changes_in_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in APPEND_ONLY:
        for verbs, event in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER {table}_append_only_{event.lower()} BEFORE {verbs} ON {table} "
                f"FOR EACH {event} EXECUTE FUNCTION append_only()"
            )
