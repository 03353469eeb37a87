"""Time ranges and groups of usage queries: every accepted form, and every refusal by name."""

from datetime import UTC, datetime

import pytest

from service.domain.errors import InvalidValue
from service.domain.time_ranges import (
    from_micros,
    month_range,
    parse_groups,
    parse_moment,
    parse_time_bounds,
    to_micros,
)
from service.usecases.ports.ledger import GROUPS

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # year, month, day and what follows


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-01", at(2026, 11, 1)),
        ("2024-02-29", at(2024, 2, 29)),
        ("2026-11-01T12:00:00Z", at(2026, 11, 1, 12)),
        ("2026-11-01t12:00:00z", at(2026, 11, 1, 12)),
        ("2026-11-01T12:00:00.25Z", at(2026, 11, 1, 12, 0, 0, 250_000)),
        ("2026-11-01T12:00:00.123456789Z", at(2026, 11, 1, 12, 0, 0, 123_456)),
        ("2026-11-01T00:30:00+02:00", at(2026, 10, 31, 22, 30)),
        ("2026-11-01T00:30:00-05:30", at(2026, 11, 1, 6)),
    ],
)
def test_a_moment_is_a_date_or_a_date_time(text: str, meant: datetime) -> None:
    moment = parse_moment(text, "since")

    assert (moment, moment.tzinfo) == (meant, UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-02-30",
        "2026-13-01",
        "2026-11",
        "20261101",
        "2026-W45-1",
        " 2026-11-01",
        "2026-11-01\n",
        "٢٠٢٦-11-01",
        "2026-11-01T12:00:00",
        "2026-11-01 12:00:00Z",
        "2026-11-01T12:00Z",
        "2026-11-01T25:00:00Z",
        "2026-11-01T23:59:60Z",
        "2026-11-01T12:00:00+02",
        "2026-11-01T12:00:00 02:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1795262400",
        "x" * 10_000,
    ],
)
def test_what_is_no_moment_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_moment(text, "until")

    assert refused.value.param == "until"
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("since", "until", "begin", "end"),
    [
        (None, None, at(2026, 11, 1), NOW),
        ("2026-11-20", None, at(2026, 11, 20), NOW),
        (None, "2026-11-05", at(2026, 11, 1), at(2026, 11, 5)),
        (None, "2026-11-01", at(2026, 10, 1), at(2026, 11, 1)),
        (None, "2026-01-01", at(2025, 12, 1), at(2026, 1, 1)),
        ("2025-12-31", "2026-01-01T00:00:00.000001Z", at(2025, 12, 31), at(2026, 1, 1, 0, 0, 0, 1)),
        ("0001-01-01", None, at(1, 1, 1), NOW),
    ],
)
def test_a_span_is_the_month_until_now_unless_it_is_said(
    since: str | None, until: str | None, begin: datetime, end: datetime
) -> None:
    assert parse_time_bounds(since, until, NOW) == (to_micros(begin), to_micros(end))


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-20", "2026-11-20"),
        ("2026-11-21", "2026-11-20"),
        ("2026-11-22", None),
        (None, "1900-01-01"),
        ("9999-12-31", None),
    ],
)
def test_a_span_that_ends_before_it_begins_is_refused(since: str | None, until: str | None) -> None:
    with pytest.raises(InvalidValue, match="has to lie before until") as refused:
        parse_time_bounds(since, until, NOW)

    assert refused.value.param == "since"


def test_moments_and_microseconds_are_the_same() -> None:
    assert to_micros(at(1970, 1, 1)) == 0
    assert to_micros(at(1969, 12, 31, 23, 59, 59, 999_999)) == -1
    assert from_micros(to_micros(at(2026, 11, 21, 12, 0, 0, 1))) == at(2026, 11, 21, 12, 0, 0, 1)


@pytest.mark.parametrize(
    ("day", "begin", "end"),
    [
        (at(2026, 11, 21, 12), at(2026, 11, 1), at(2026, 12, 1)),
        (at(2026, 12, 31, 23, 59, 59), at(2026, 12, 1), at(2027, 1, 1)),
        (at(2024, 2, 29), at(2024, 2, 1), at(2024, 3, 1)),
        (at(2026, 1, 1), at(2026, 1, 1), at(2026, 2, 1)),
    ],
)
def test_a_month_is_that_of_the_calendar(day: datetime, begin: datetime, end: datetime) -> None:
    assert month_range(day) == (begin, end)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, ()),
        ("team", ("team",)),
        ("day,model,tier,backend,tag:project", ("day", "model", "tier", "backend", "tag:project")),
        (" tier , team ", ("tier", "team")),
        ("tag:a,tag:b_c-1", ("tag:a", "tag:b_c-1")),
    ],
)
def test_groups_are_names_in_order(text: str | None, names: tuple[str, ...]) -> None:
    assert parse_groups(text, GROUPS) == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is none of backend, basis"),
        ("colour", "'colour' is none of"),
        ("team,", "'' is none of"),
        ("Team", "'Team' is none of"),
        ("tag:", "'tag:' is none of"),
        ("tag:Project", "'tag:Project' is none of"),
        ("tag:" + "a" * 33, "is none of"),
        ("tag:a'--", "is none of"),
        ("x" * 10_000, "is none of"),
        ("team,team", "given twice"),
        ("team,key,model,tier,backend,day,month", "At most 6"),
    ],
)
def test_other_groups_are_refused_by_the_name_of_the_parameter(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue, match=reason) as refused:
        parse_groups(text, GROUPS, "by")

    assert refused.value.param == "by"
    assert len(refused.value.message) < 250
