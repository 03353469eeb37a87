"""The tables, as the migrations leave them; a test holds the two together.

Rule: `entries` and `audit` are only ever added to, triggers refuse everything else. Times are microseconds since 1970,
money is nano-USD. Text is compared byte by byte on both databases, so that order does not depend on a locale.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Computed,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
    case,
    literal,
)
from sqlalchemy.types import TypeEngine

from service.domain.ledger import CacheStatus

DAY_MICROSECONDS = 86_400_000_000

TEXT: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
BIG: TypeEngine[int] = BigInteger()
NUMBER: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows in this type only

metadata = MetaData()

entries = Table(
    "entries",
    metadata,
    Column("hold_id", TEXT, primary_key=True),
    *(
        Column(name, TEXT, nullable=False)
        for name in ("request_id", "team", "key", "operation", "model", "backend", "upstream_model", "price_version")
    ),
    Column("output_format", TEXT, nullable=False),
    Column("n", Integer, nullable=False),
    Column("cost", BIG, nullable=False),
    Column("basis", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    *(Column(name, TEXT) for name in ("tier", "resolved_tier", "size")),
    *(
        Column(name, BIG, nullable=False)
        for name in ("text_in", "image_in", "text_cached", "image_cached", "text_out", "image_out", "saved")
    ),
    Column("cache", TEXT, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("held_at", BIG, nullable=False),
    Column("posted_at", BIG, nullable=False),
    Column("day", Integer, Computed(f"held_at / {DAY_MICROSECONDS}", persisted=True), nullable=False),
    Column("version", Integer),
)

SOURCE = case(
    (
        and_(entries.c.cache == CacheStatus.BYPASS.value, entries.c.version.is_(None)),
        literal(CacheStatus.UNKNOWN.value, TEXT),
    ),
    else_=entries.c.cache,
)
"""`to_cache_status` of `domain/ledger.py`, in SQL. The columns `cache` and `version` have it in two parts."""

Index("entries_time", entries.c.held_at, entries.c.hold_id)
Index("entries_team", entries.c.team, entries.c.held_at)

sqlite_metadata = MetaData()
"""What only SQLite has: it sorts what it groups, and takes seconds for a million entries; PostgreSQL does without."""

daily = Table(
    "daily",
    sqlite_metadata,
    Column("day", Integer, primary_key=True),
    *(Column(name, TEXT, primary_key=True) for name in ("team", "resolved_tier", "model", "key")),
    *(
        Column(name, BIG, nullable=False)
        for name in ("entries", "images", "cost", "saved", "uncertain", "tokens_in", "tokens_out")
    ),
    sqlite_with_rowid=False,
)
"""Sums of the entries, kept by a trigger in the transaction that adds them. No tier is the empty word here."""

keys = Table(
    "keys",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("team", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    Column("note", TEXT, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("expires_at", BIG),
    Column("revoked_at", BIG),
    Column("allowance", JSON(none_as_null=True)),
    UniqueConstraint("digest", name="keys_digest"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("seen_at", BIG, nullable=False),
)
"""The replicas that share a store, and when each last showed itself."""

recounts = Table(
    "recounts",
    metadata,
    Column("team", TEXT, primary_key=True),
    Column("life", TEXT, nullable=False),
)
"""Lost counters that are about to be rebuilt."""

reports = Table(
    "reports",
    metadata,
    Column("team", TEXT, primary_key=True),
    Column("replica", TEXT, primary_key=True),
    Column("life", TEXT, nullable=False),
)
"""The replicas that have put all they know of a team into the store and the books, for such a rebuild."""

facts = Table(
    "facts",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)
"""What all replicas have to know alike."""

files = Table(
    "files",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("mark", TEXT, nullable=False),
    Column("filename", TEXT, nullable=False),
    Column("bytes", BIG, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("seconds", BIG),
    Column("deleted", Integer, nullable=False),
)
"""The files that teams brought, by the mark of the team; `seconds` is how long they may be kept, if that was said.

A deleted file keeps its row, without its name, until its time is over: lists go on behind it.
"""

Index("files_team", files.c.mark, files.c.created_at, files.c.id)

audit = Table(
    "audit",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("at", BIG, nullable=False),
    *(Column(name, TEXT, nullable=False) for name in ("actor", "action", "subject", "detail", "request_id")),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("lease", TEXT, primary_key=True),
    *(Column(name, TEXT, nullable=False) for name in ("place", "token", "name")),
    *(Column(name, Integer, nullable=False) for name in ("shared", "leaving")),
    *(Column(name, BIG, nullable=False) for name in ("since", "until")),
)
"""One row: whose counters stand for this ledger, until when."""
