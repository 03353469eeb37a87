"""The ledger of record in SQL, and the statement of a usage query.

Rule: entries are only added, in one transaction for each call, and an existing entry stays as it is. So a writer that
is not sure about a write repeats it. A reader has no connection between two chunks. On SQLite, `usage` reads whole days
from `daily` where the groups allow it. The first and last day, and all other groups, are summed up from the entries.

Fails with: `LedgerUnavailable`; `InvalidValue` for an unknown group of usage.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Row, Text, case, cast, func, literal_column, select, tuple_, union_all
from sqlalchemy.sql.selectable import Subquery

from service.adapters.sql.database import POSTGRESQL, SQLITE, Database, Query
from service.adapters.sql.schema import DAY_MICROSECONDS, SOURCE, daily, entries
from service.domain.errors import InvalidValue
from service.domain.ledger import ENTRY_VERSION, Basis, Entry, EntryStatus, key_tier_scope
from service.domain.quota_limits import TEAM
from service.usecases.ports.ledger import GROUPS, EntryFilter, Ledger, Spent, UsageQuery, UsageRow

MAX_LISTED = 500
CHUNK = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIELDS = tuple(field.name for field in fields(Entry))


TAG = re.compile(r"tag:([A-Za-z0-9_.-]{1,64})")
UNCERTAIN = (Basis.ESTIMATED.value, Basis.UNCONFIRMED.value)
SUMS = ("entries", "images", "cost", "saved", "uncertain", "tokens_in", "tokens_out")
COLUMNS = {"tier": "resolved_tier", "month": "day"}
CALENDAR = {"day": ("%Y-%m-%d", "YYYY-MM-DD"), "month": ("%Y-%m", "YYYY-MM")}


class SqlLedger(Ledger):
    """The ledger in a migrated database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = database.insert(entries).on_conflict_do_nothing(index_elements=[entries.c.hold_id])

    async def write(self, entries: Sequence[Entry]) -> None:
        """Add entries, sorted, so that two writers of equal entries cannot deadlock."""
        if not entries:
            return
        rows = [_row(entry) for entry in sorted(entries, key=attrgetter("hold_id"))]
        await self._database.execute(self._insert, rows=rows)

    async def spent(self, team: str, at: int) -> Spent:
        """Sum up by scope, in one statement and so at one moment."""
        today = at // DAY_MICROSECONDS
        by_day, by_month = Counter[str](), Counter[str]()
        for day, key, model, tier, cost in await self._database.query(_spent_statement(team, at)):
            tier_scopes = (f"tier:{tier}", key_tier_scope(key, tier)) if tier else ()
            for scope in (TEAM, f"key:{key}", f"model:{model}", *tier_scopes):
                by_month[scope] += int(cost)
                by_day[scope] += int(cost) if day == today else 0
        return Spent(at=at, day=+by_day, month=by_month)

    async def find_settled(self, hold_ids: Collection[str]) -> Collection[str]:
        ids, settled_ids = list(hold_ids), set[str]()
        for start in range(0, len(ids), MAX_LISTED):
            listed = entries.c.hold_id.in_(ids[start : start + MAX_LISTED])
            settled_ids.update(
                row.hold_id for row in await self._database.query(select(entries.c.hold_id).where(listed))
            )
        return settled_ids

    async def usage(self, query: UsageQuery) -> Sequence[UsageRow]:
        rows_of_groups = await self._database.query(usage_statement(query, self._database.kind))
        rows = [_usage_row(row, len(query.group_by)) for row in rows_of_groups if row.entries]
        return sorted(rows, key=lambda row: [(value is not None, value or "") for value in row.group])

    async def entries(self, entry_filter: EntryFilter) -> AsyncIterator[Entry]:
        """Yield entries by time and then hold id. Each chunk is a transaction of its own."""
        position = tuple_(entries.c.held_at, entries.c.hold_id)
        statement = _entries_statement(entry_filter)
        chunk = await self._database.query(statement.where(entries.c.held_at >= entry_filter.since))
        while chunk:
            for row in chunk:
                yield _entry(row)
            last = chunk[-1]
            full = len(chunk) == CHUNK
            chunk = await self._database.query(statement.where(position > (last.held_at, last.hold_id))) if full else ()


def _spent_statement(team: str, at: int) -> Query:
    """Build the sums by day and by the parts of scopes."""
    c = entries.c
    since, until = _month_bounds(at)
    groups = (c.day, c.key, c.model, c.resolved_tier)
    where = (c.team == team, c.held_at >= since, c.held_at < until, c.cost != 0)
    return select(*groups, func.sum(c.cost)).where(*where).group_by(*groups)


def _month_bounds(at: int) -> tuple[int, int]:
    """Return the start of the UTC month of a moment, and of the next month."""
    first = (EPOCH + timedelta(microseconds=at)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = (first + timedelta(days=31)).replace(day=1)
    return (first - EPOCH) // timedelta(microseconds=1), (after - EPOCH) // timedelta(microseconds=1)


def _entries_statement(entry_filter: EntryFilter) -> Query:
    columns = (SOURCE.label(name) if name == "cache" else entries.c[name] for name in FIELDS)
    statement = select(*columns).where(entries.c.held_at < entry_filter.until)
    if entry_filter.team is not None:
        statement = statement.where(entries.c.team == entry_filter.team)
    return statement.order_by(entries.c.held_at, entries.c.hold_id).limit(CHUNK)


def _row(entry: Entry) -> dict[str, Any]:
    row = {name: getattr(entry, name) for name in FIELDS}
    words = {"basis": entry.basis.value, "status": entry.status.value, "tags": dict(entry.tags)}
    return row | words | {"version": ENTRY_VERSION}


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    known = dict(zip(FIELDS, row, strict=True))
    return Entry(**known | {"basis": Basis(row.basis), "status": EntryStatus(row.status)})


def _usage_row(row: Row[*tuple[Any, ...]], names: int) -> UsageRow:
    """Convert a row. PostgreSQL sums whole numbers to decimals."""
    sums = {name: int(value) for name, value in zip(SUMS, row[names:], strict=True)}
    return UsageRow(group=tuple(row[:names]), **sums)


def usage_statement(query: UsageQuery, kind: str) -> Query:
    """Build rows of one value for each name of `query.group_by`, then one for each of `SUMS`."""
    names = dict.fromkeys(COLUMNS.get(name, name) for name in query.group_by if _is_known(name))
    parts = union_all(*_parts(tuple(names), query.entry_filter, kind)).subquery()
    groups = [_format_group(name, parts, kind).label(f"group_{at}") for at, name in enumerate(query.group_by)]
    sums = [func.sum(parts.c[f"sum_{name}"]).label(name) for name in SUMS]
    return select(*groups, *sums).group_by(*groups)


def _is_known(name: str) -> bool:
    """Return True, or raise `InvalidValue`."""
    if name in GROUPS or TAG.fullmatch(name):
        return True
    offered = ", ".join(sorted(GROUPS))
    raise InvalidValue(f"Usage cannot be grouped by '{name}'; it can by {offered} and tag:<name>.", param="group_by")


def _parts(names: tuple[str, ...], entry_filter: EntryFilter, kind: str) -> Iterator[Query]:
    """Yield sums that together cover the range once."""
    first, after = -(-entry_filter.since // DAY_MICROSECONDS), entry_filter.until // DAY_MICROSECONDS
    if kind != SQLITE or first >= after or not {*names} <= {*daily.primary_key.columns.keys()}:
        yield _from_entries(names, entry_filter.since, entry_filter.until, entry_filter.team)
        return
    yield _from_daily(names, first, after, entry_filter.team)
    if entry_filter.since < first * DAY_MICROSECONDS:
        yield _from_entries(names, entry_filter.since, first * DAY_MICROSECONDS, entry_filter.team)
    if after * DAY_MICROSECONDS < entry_filter.until:
        yield _from_entries(names, after * DAY_MICROSECONDS, entry_filter.until, entry_filter.team)


def _from_daily(names: tuple[str, ...], first: int, after: int, team: str | None) -> Query:
    columns = [func.nullif(daily.c[name], "") if name == "resolved_tier" else daily.c[name] for name in names]
    groups = [column.label(name) for name, column in zip(names, columns, strict=True)]
    statement = select(*groups, *(daily.c[name].label(f"sum_{name}") for name in SUMS))
    statement = statement.where(daily.c.day >= first, daily.c.day < after)
    return statement if team is None else statement.where(daily.c.team == team)


def _from_entries(names: tuple[str, ...], since: int, until: int, team: str | None) -> Query:
    c = entries.c
    sums = {
        "entries": func.count(),
        "images": func.sum(c.n),
        "cost": func.sum(c.cost),
        "saved": func.sum(c.saved),
        "uncertain": func.sum(case((c.basis.in_(UNCERTAIN), c.cost), else_=0)),
        "tokens_in": func.sum(c.text_in + c.image_in),
        "tokens_out": func.sum(c.text_out + c.image_out),
    }
    groups = [_column(name).label(name) for name in names]
    statement = select(*groups, *(sums[name].label(f"sum_{name}") for name in SUMS)).group_by(*groups)
    statement = statement.where(c.held_at >= since, c.held_at < until)
    return statement if team is None else statement.where(c.team == team)


def _column(name: str) -> ColumnElement[Any]:
    if name == "cache":
        return SOURCE
    tag = TAG.fullmatch(name)
    column: ColumnElement[Any] = entries.c.tags[tag[1]].as_string() if tag else entries.c[name]
    return column


def _format_group(name: str, parts: Subquery, kind: str) -> ColumnElement[Any]:
    """Format a group. Days are numbers before that."""
    if name not in CALENDAR:
        return parts.c[COLUMNS.get(name, name)]
    sqlite, postgresql = (literal_column(f"'{pattern}'", Text()) for pattern in CALENDAR[name])
    if kind == POSTGRESQL:
        return func.to_char(cast(func.date("1970-01-01") + parts.c.day, DateTime), postgresql)
    return func.strftime(sqlite, parts.c.day * 86_400, "unixepoch")
