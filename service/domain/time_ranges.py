"""The time range and the groups of a usage query.

Rule: a moment is an RFC 3339 date-time, or a date, which stands for its first instant in UTC. A range begins with
`since` and ends just before `until`. The default is the current UTC month until now. Pure.

Fails with: `InvalidValue`, which names the parameter that cannot be read.
"""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from service.domain.errors import InvalidValue

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
DATE_TIME = re.compile(DATE.pattern + r"[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})")
TAG = re.compile(r"tag:[a-z][a-z0-9_-]{0,31}")
MAX_GROUPS = 6
MAX_SHOWN = 40  # characters of a wrong value that are shown again


def to_micros(at: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def from_micros(at: int) -> datetime:
    """Return the moment of microseconds since 1970, in UTC."""
    return EPOCH + at * MICROSECOND


def month_range(at: datetime) -> tuple[datetime, datetime]:
    """Return the first instants of the UTC month that contains a moment, and of the next month."""
    begin = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begin, (begin + timedelta(days=31)).replace(day=1)


def parse_moment(text: str, param: str) -> datetime:
    """Parse a date or a date-time into a moment in UTC. Raises `InvalidValue`."""
    try:
        if DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if DATE_TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # a 30th of February, an hour before the year 1
        pass
    raise InvalidValue(
        f"'{text[:MAX_SHOWN]}' is not a date such as 2026-11-01, nor a date-time such as 2026-11-01T12:00:00Z.",
        param=param,
    )


def parse_time_bounds(since: str | None, until: str | None, now: datetime) -> tuple[int, int]:
    """Return the first microsecond of a range, and the one after its last. Raises `InvalidValue`.

    Without `since`, the range begins with the month of its end.
    """
    end = now if until is None else parse_moment(until, "until")
    begin = _month_start(end) if since is None else parse_moment(since, "since")
    if begin >= end:
        raise InvalidValue(f"since ({begin:%Y-%m-%dT%H:%M:%SZ}) has to lie before until.", param="since")
    return to_micros(begin), to_micros(end)


def _month_start(end: datetime) -> datetime:
    """Return the beginning of the month that contains the last instant before `end`."""
    return month_range(max(end, EPOCH) - MICROSECOND)[0]


def parse_groups(text: str | None, offered: Collection[str], param: str = "group_by") -> tuple[str, ...]:
    """Parse names separated by commas: offered names, or `tag:<name>`. Raises `InvalidValue`."""
    names = () if text is None else tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in offered and not TAG.fullmatch(name):
            known = ", ".join(sorted(offered))
            raise InvalidValue(f"'{name[:MAX_SHOWN]}' is none of {known} or tag:<name>.", param=param)
    if len(set(names)) < len(names):
        raise InvalidValue("A name is given twice.", param=param)
    if len(names) > MAX_GROUPS:
        raise InvalidValue(f"At most {MAX_GROUPS} names can be given.", param=param)
    return names
