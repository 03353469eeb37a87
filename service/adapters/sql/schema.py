"""The tables, as the migrations leave them. A test compares the two.

Rule: `entries` and `audit` are append-only, and triggers refuse every other change. Times are microseconds since 1970,
money is nano-USD. Both databases compare text byte by byte, so that no order depends on a locale. Columns keep the
names that older replicas read: `files.mark` is the team's digest, `leases.place` the location, `leaving` draining, and
`life` the epoch of counters.
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
NUMBER: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's only type of row numbers

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
"""`to_cache_status` of `domain/ledger.py`, in SQL, from the columns `cache` and `version`."""

Index("entries_time", entries.c.held_at, entries.c.hold_id)
Index("entries_team", entries.c.team, entries.c.held_at)

sqlite_metadata = MetaData()
"""Tables of SQLite alone. SQLite sorts rows to group them, which takes seconds for a million entries."""

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
"""Sums of the entries. A trigger adds to them in the transaction of an entry. The empty string stands for no tier."""

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
"""The replicas that share a store, and the time of each one's last heartbeat."""

recounts = Table(
    "recounts",
    metadata,
    Column("team", TEXT, primary_key=True),
    Column("life", TEXT, nullable=False),
)
"""Lost counters that are to be rebuilt."""

reports = Table(
    "reports",
    metadata,
    Column("team", TEXT, primary_key=True),
    Column("replica", TEXT, primary_key=True),
    Column("life", TEXT, nullable=False),
)
"""The replicas that have put their holds and entries of a team into store and ledger, for a rebuild."""

facts = Table(
    "facts",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)
"""Values that all replicas share."""

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
"""Uploaded files of teams, by the team's digest. `seconds` is a file's own lifetime, if it has one.

A deleted file keeps its row without the name until its lifetime is over, so that lists continue behind it.
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
"""One row: the replica, or the store of replicas, whose counters count for this ledger, and until when."""
