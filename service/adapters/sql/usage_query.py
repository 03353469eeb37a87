"""The question of `usage`, as one statement.

Rule: on SQLite, what `daily` can answer is read from there, and only what a span has of its first and last day is read
from the entries. Everything else, and everything on PostgreSQL, is summed up from the entries themselves. Pure.
"""

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Text, case, cast, func, literal_column, select, union_all
from sqlalchemy.sql.selectable import Subquery

from service.adapters.sql.database import POSTGRESQL, SQLITE, Question
from service.adapters.sql.schema import DAY_MICROSECONDS, SOURCE, daily, entries
from service.domain.errors import InvalidValue
from service.domain.ledger import Basis
from service.usecases.ports.ledger import GROUPS, EntryFilter, UsageQuery

TAG = re.compile(r"tag:([A-Za-z0-9_.-]{1,64})")
UNCERTAIN = (Basis.ESTIMATED.value, Basis.UNCONFIRMED.value)
SUMS = ("entries", "images", "cost", "saved", "uncertain", "tokens_in", "tokens_out")
COLUMNS = {"tier": "resolved_tier", "month": "day"}
CALENDAR = {"day": ("%Y-%m-%d", "YYYY-MM-DD"), "month": ("%Y-%m", "YYYY-MM")}


def usage_statement(query: UsageQuery, kind: str) -> Question:
    """Rows of one value for each name of `query.by`, then one for each of `SUMS`."""
    names = dict.fromkeys(COLUMNS.get(name, name) for name in query.group_by if _is_known(name))
    parts = union_all(*_parts(tuple(names), query.entry_filter, kind)).subquery()
    groups = [_format_group(name, parts, kind).label(f"group_{at}") for at, name in enumerate(query.group_by)]
    sums = [func.sum(parts.c[f"sum_{name}"]).label(name) for name in SUMS]
    return select(*groups, *sums).group_by(*groups)


def _is_known(name: str) -> bool:
    """True, or `InvalidValue`."""
    if name in GROUPS or TAG.fullmatch(name):
        return True
    offered = ", ".join(sorted(GROUPS))
    raise InvalidValue(f"Usage cannot be grouped by '{name}'; it can by {offered} and tag:<name>.", param="group_by")


def _parts(names: tuple[str, ...], entry_filter: EntryFilter, kind: str) -> Iterator[Question]:
    """Sums that cover the span once."""
    first, after = -(-entry_filter.since // DAY_MICROSECONDS), entry_filter.until // DAY_MICROSECONDS
    if kind != SQLITE or first >= after or not {*names} <= {*daily.primary_key.columns.keys()}:
        yield _from_entries(names, entry_filter.since, entry_filter.until, entry_filter.team)
        return
    yield _from_daily(names, first, after, entry_filter.team)
    if entry_filter.since < first * DAY_MICROSECONDS:
        yield _from_entries(names, entry_filter.since, first * DAY_MICROSECONDS, entry_filter.team)
    if after * DAY_MICROSECONDS < entry_filter.until:
        yield _from_entries(names, after * DAY_MICROSECONDS, entry_filter.until, entry_filter.team)


def _from_daily(names: tuple[str, ...], first: int, after: int, team: str | None) -> Question:
    columns = [func.nullif(daily.c[name], "") if name == "resolved_tier" else daily.c[name] for name in names]
    groups = [column.label(name) for name, column in zip(names, columns, strict=True)]
    statement = select(*groups, *(daily.c[name].label(f"sum_{name}") for name in SUMS))
    statement = statement.where(daily.c.day >= first, daily.c.day < after)
    return statement if team is None else statement.where(daily.c.team == team)


def _from_entries(names: tuple[str, ...], since: int, until: int, team: str | None) -> Question:
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
    """A group as it is told. Days are numbers until then."""
    if name not in CALENDAR:
        return parts.c[COLUMNS.get(name, name)]
    sqlite, postgresql = (literal_column(f"'{pattern}'", Text()) for pattern in CALENDAR[name])
    if kind == POSTGRESQL:
        return func.to_char(cast(func.date("1970-01-01") + parts.c.day, DateTime), postgresql)
    return func.strftime(sqlite, parts.c.day * 86_400, "unixepoch")
