"""The question of `usage`, as one statement.

Rule: SQLite sorts what it groups, which costs more than all else; so a question about the columns that the index
`entries_sums` begins with is answered from that index alone, in its order: first sums of each day, then sums of those.
PostgreSQL groups by hashing and reads the entries themselves. One team's entries are found by the index on both. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Subquery, Text, case, cast, func, literal_column, select

from service.adapters.sql.engine import POSTGRESQL, SQLITE, Question
from service.adapters.sql.schema import COVERED, DAY_MICROSECONDS, entries
from service.domain.errors import InvalidValue
from service.domain.ledger import Basis
from service.usecases.accounts import GROUPS, Span, UsageQuery

TAG = re.compile(r"tag:([A-Za-z0-9_.-]{1,64})")
MOST_LISTED_DAYS = 400
UNCERTAIN = (Basis.ESTIMATED.value, Basis.UNCONFIRMED.value)
SUMS = ("entries", "images", "cost", "saved", "uncertain", "tokens_in", "tokens_out")
COLUMN_OF = {"tier": "resolved_tier", "month": "day"}
CALENDAR = {"day": ("%Y-%m-%d", "YYYY-MM-DD"), "month": ("%Y-%m", "YYYY-MM")}


def usage_statement(query: UsageQuery, kind: str) -> Question:
    """Rows of one value for each name of `query.by`, then one for each of `SUMS`."""
    columns = _columns(query.by)
    covered = kind == SQLITE and set(columns) <= set(COVERED)
    if covered:
        depth = max((COVERED.index(name) + 1 for name in columns), default=0)
        columns = {name: entries.c[name] for name in COVERED[:depth]}
    days = _sums_of(columns, _within(query.span, covered=covered))
    groups = [_shown(name, days, kind).label(f"group_{at}") for at, name in enumerate(query.by)]
    sums = [func.sum(days.c[f"sum_{name}"]).label(name) for name in SUMS]
    return select(*groups, *sums).group_by(*groups)


def _columns(by: tuple[str, ...]) -> dict[str, ColumnElement[Any]]:
    """What the entries have to be grouped by first."""
    return {COLUMN_OF.get(name, name): _column(name) for name in by}


def _column(name: str) -> ColumnElement[Any]:
    tag = TAG.fullmatch(name)
    if tag:
        value: ColumnElement[str] = entries.c.tags[tag[1]].as_string()
        return value
    if name not in GROUPS:
        offered = ", ".join(sorted(GROUPS))
        raise InvalidValue(
            f"Usage cannot be grouped by '{name}'; it can by {offered} and tag:<name>.", param="group_by"
        )
    return entries.c[COLUMN_OF.get(name, name)]


def _sums_of(columns: Mapping[str, ColumnElement[Any]], where: list[ColumnElement[bool]]) -> Subquery:
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
    labelled = [column.label(name) for name, column in columns.items()]
    counted = [value.label(f"sum_{name}") for name, value in sums.items()]
    return select(*labelled, *counted).where(*where).group_by(*labelled).subquery()


def _within(span: Span, *, covered: bool) -> list[ColumnElement[bool]]:
    """The entries of a span. `held_at + 0` is of no use to an index, so that the index on days is taken."""
    c = entries.c
    first, last = span.since // DAY_MICROSECONDS, (span.until - 1) // DAY_MICROSECONDS
    exactly = [c.held_at + 0 >= span.since, c.held_at + 0 < span.until]
    if span.team is not None and last - first < MOST_LISTED_DAYS:
        return [c.team == span.team, c.day.in_(range(first, last + 1)), *exactly]
    team = [c.team == span.team] if span.team is not None else []
    if covered:
        return [*team, c.day.between(first, last), *exactly]
    return [*team, c.held_at >= span.since, c.held_at < span.until]


def _shown(name: str, days: Subquery, kind: str) -> ColumnElement[Any]:
    if name not in CALENDAR:
        return days.c[COLUMN_OF.get(name, name)]
    sqlite, postgresql = (literal_column(f"'{pattern}'", Text()) for pattern in CALENDAR[name])
    if kind == POSTGRESQL:
        date = cast(func.date("1970-01-01") + days.c.day, DateTime)
        return func.to_char(date, postgresql)
    return func.strftime(sqlite, days.c.day * 86_400, "unixepoch")
