"""Limits of the time that a body takes."""

import pytest

from service.api.http.bodies import ArrivalLimits, BodyArrival
from service.domain.errors import BodyTimeout

PACE = ArrivalLimits(idle_seconds=30, body_seconds=3600, min_bytes_per_second=4096)
MEGABIT = 125_000  # bytes a second


def arrive(size: int, piece: int, seconds: float) -> None:
    """Let a body arrive in chunks, with a wait of `seconds` before each. Raises `BodyTimeout`."""
    progress = BodyArrival(PACE)
    while size > piece:
        assert progress.seconds_left <= PACE.idle_seconds
        progress.record_chunk(piece, seconds)
        size -= piece


@pytest.mark.parametrize(
    ("size", "piece", "seconds"),
    [
        (100_000_000, MEGABIT, 1),
        (100_000_000, MEGABIT // 4, 1),
        (100_000_000, 1_000_000, 29),
        (800_000_000, 65_536, 0.05),
        (200, 100, 29),
        (10_000, 100, 0.1),
        (14_000_000, 4100, 1),
    ],
)
def test_a_body_within_the_limits_arrives(size: int, piece: int, seconds: float) -> None:
    arrive(size, piece, seconds)


@pytest.mark.parametrize(
    ("size", "piece", "seconds", "reason"),
    [
        (100, 1, 2, "less than 4096 bytes per second"),
        (100_000_000, 1, 0.01, "less than 4096 bytes per second"),
        (100_000_000, 4000, 1, "less than 4096 bytes per second"),
        (100_000_000, 100_000, 29.9, "less than 4096 bytes per second"),
        (100_000_000, 4100, 1, "within 3600 seconds"),
        (800_000_000, MEGABIT, 1, "within 3600 seconds"),
    ],
)
def test_a_body_that_is_too_slow_is_refused(size: int, piece: int, seconds: float, reason: str) -> None:
    with pytest.raises(BodyTimeout, match=reason):
        arrive(size, piece, seconds)


def test_bytes_of_an_earlier_period_do_not_count() -> None:
    progress = BodyArrival(PACE)
    progress.record_chunk(100_000_000, 30)
    progress.record_chunk(1, 29)
    with pytest.raises(BodyTimeout):
        progress.record_chunk(1, 1)


def test_the_last_wait_is_at_most_the_remaining_time() -> None:
    progress = BodyArrival(ArrivalLimits(idle_seconds=30, body_seconds=40, min_bytes_per_second=0))
    progress.record_chunk(1, 29)
    assert progress.seconds_left == 11
    assert "within 40 seconds" in progress.timeout_error().message
