"""The messages of limit errors, and the ends of windows."""

from datetime import UTC, datetime

import pytest

from service.domain.ledger import HoldRequest
from service.domain.limit_errors import SECOND, build_limit_error, find_refusal, format_dollars, window_end
from service.domain.quota_limits import TEAM, Limit, LimitStatus, Measure
from tests.fakes.builders import NOW, entry

CENT = 10_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * SECOND)


NOON = at("2026-11-21T12:00:00")


@pytest.mark.parametrize(
    ("limit", "used", "wait", "asked", "words"),
    [
        (
            Limit(TEAM, Measure.DAY, 5_000 * CENT),
            4_990 * CENT,
            43_200,
            21 * CENT,
            (
                "Team 'search' has used $49.90 of $50.00 per day; this request may cost up to $0.21. "
                "The limit resets at 2026-11-22T00:00:00Z."
            ),
        ),
        (
            Limit("tier:high", Measure.MONTH, 5_000 * CENT),
            4_999_999_999 * 10,
            777_600,
            CENT // 4,
            (
                "Team 'search' has used $49.99999999 of $50.00 per month (scope tier:high); "
                "this request may cost up to $0.0025. The limit resets at 2026-12-01T00:00:00Z."
            ),
        ),
        (
            Limit("key:k1", Measure.DAY, 10 * CENT),
            0,
            None,
            21 * CENT,
            (
                "Key 'k1' has used $0.00 of $0.10 per day; this request may cost up to $0.21, "
                "which is more than the whole limit."
            ),
        ),
        (
            Limit("key:k1", Measure.REQUESTS, 1),
            1,
            1.0,
            1,
            "Key 'k1' may make 1 request per minute; try again in 1 second.",
        ),
        (
            Limit("key:k1:tier:high", Measure.CONCURRENT, 1),
            1,
            None,
            1,
            (
                "Key 'k1' may have 1 image made at the same time (scope tier:high); 1 is being made, "
                "and this request asks for 1 image."
            ),
        ),
        (
            Limit("tier:high", Measure.REQUESTS, 600),
            600,
            1.2,
            1,
            "Team 'search' may make 600 requests per minute (scope tier:high); try again in 2 seconds.",
        ),
        (
            Limit(TEAM, Measure.REQUESTS, 1),
            1,
            0.0001,
            1,
            "Team 'search' may make 1 request per minute; try again in 1 second.",
        ),
        (
            Limit(TEAM, Measure.IMAGES, 4),
            0,
            None,
            5,
            "Team 'search' may make 4 images per minute; this request asks for 5 images.",
        ),
        (
            Limit("model:painter", Measure.CONCURRENT, 2),
            1,
            None,
            2,
            (
                "Team 'search' may have 2 images made at the same time (scope model:painter); 1 is being made, "
                "and this request asks for 2 images."
            ),
        ),
        (
            Limit(TEAM, Measure.CONCURRENT, 1),
            0,
            None,
            2,
            (
                "Team 'search' may have 1 image made at the same time; 0 are being made, "
                "and this request asks for 2 images."
            ),
        ),
    ],
)
def test_a_refusal_names_the_limit_and_the_way_out(
    limit: Limit, used: int, wait: float | None, asked: int, words: str
) -> None:
    standing = LimitStatus(limit=limit, used=used, resets_in=1, wait_seconds=wait)
    error = build_limit_error("search", standing, asked, NOON)
    assert error.message == words
    assert error.limit_status is standing


@pytest.mark.parametrize(
    ("measure", "now", "end"),
    [
        (Measure.DAY, "2026-11-21T00:00:00", "2026-11-22T00:00:00"),
        (Measure.DAY, "2026-12-31T23:59:59.999999", "2027-01-01T00:00:00"),
        (Measure.MONTH, "2026-11-21T12:00:00", "2026-12-01T00:00:00"),
        (Measure.MONTH, "2026-12-31T23:59:59.999999", "2027-01-01T00:00:00"),
        (Measure.MONTH, "2028-02-29T12:00:00", "2028-03-01T00:00:00"),
        (Measure.MONTH, "2026-01-31T12:00:00", "2026-02-01T00:00:00"),
    ],
)
def test_windows_end_by_the_utc_calendar(measure: Measure, now: str, end: str) -> None:
    assert window_end(measure, at(now)) == at(end)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "$0.00"), (1, "$0.000000001"), (25_000, "$0.000025"), (413_000_000, "$0.413"), (10**15, "$1000000.00")],
)
def test_dollars_are_written_to_the_last_digit(nanos: int, text: str) -> None:
    assert format_dollars(nanos) == text


def claimed_in(*scopes: str) -> HoldRequest:
    """A claim of a cent and one image."""
    return HoldRequest(hold_id="a", quote=10_000_000, images=1, scopes=scopes, entry=entry())


def state(measure: Measure, most: int, used: int, *, resets: float = 7.0, scope: str = TEAM) -> LimitStatus:
    return LimitStatus(limit=Limit(scope, measure, most), used=used, resets_in=resets)


def test_limits_with_room_refuse_nothing() -> None:
    standings = [state(Measure.REQUESTS, 1, 0), state(Measure.DAY, 10_000_000, 0), state(Measure.CONCURRENT, 1, 0)]

    assert find_refusal("search", standings, [claimed_in(TEAM)], NOW) is None


def test_a_limit_in_whose_scope_nothing_is_claimed_has_room() -> None:
    full = state(Measure.CONCURRENT, 1, 1, scope="tier:high")

    assert find_refusal("search", [full], [claimed_in(TEAM)], NOW) is None


def test_of_several_limits_without_room_the_one_that_lasts_longest_is_named() -> None:
    minute = state(Measure.IMAGES, 1, 1, resets=40)
    day = state(Measure.DAY, 10_000_000, 1, resets=4000)
    at_once = state(Measure.CONCURRENT, 1, 1, resets=0)

    refused = find_refusal("search", [minute, at_once, day], [claimed_in(TEAM)], NOW)

    assert refused is not None
    assert (refused.limit_status.limit.measure, refused.limit_status.wait_seconds) == (Measure.DAY, 4000)


@pytest.mark.parametrize("measure", [Measure.IMAGES, Measure.DAY, Measure.CONCURRENT])
def test_a_claim_that_never_has_room_has_no_wait(measure: Measure) -> None:
    never, full = state(measure, 0, 0, resets=9), state(Measure.MONTH, 10_000_000, 1, resets=9000)

    refused = find_refusal("search", [full, never], [claimed_in(TEAM)], NOW)

    assert refused is not None
    assert (refused.limit_status.limit, refused.limit_status.wait_seconds) == (never.limit, None)


def test_claims_of_one_request_are_added_up() -> None:
    two = state(Measure.IMAGES, 1, 0)

    assert find_refusal("search", [two], [claimed_in(TEAM), claimed_in(TEAM)], NOW)
    assert find_refusal("search", [state(Measure.REQUESTS, 1, 0)], [claimed_in(TEAM), claimed_in(TEAM)], NOW) is None
