"""How a body has to arrive."""

import pytest

from service.api.http.bodies import ArrivalLimits, BodyArrival
from service.domain.errors import BodyTimeout

PACE = ArrivalLimits(idle_seconds=30, body_seconds=3600, min_bytes_per_second=4096)
MEGABIT = 125_000  # bytes a second


def arrive(size: int, piece: int, seconds: float) -> None:
    """A body of that size, in pieces so many seconds apart. Raises `BodyTimeout`."""
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
def test_slow_and_honest(size: int, piece: int, seconds: float) -> None:
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
def test_too_slow(size: int, piece: int, seconds: float, reason: str) -> None:
    with pytest.raises(BodyTimeout, match=reason):
        arrive(size, piece, seconds)


def test_what_came_fast_pays_for_no_drip() -> None:
    progress = BodyArrival(PACE)
    progress.record_chunk(100_000_000, 30)
    progress.record_chunk(1, 29)
    with pytest.raises(BodyTimeout):
        progress.record_chunk(1, 1)


def test_the_last_wait_is_no_longer_than_what_is_left() -> None:
    progress = BodyArrival(ArrivalLimits(idle_seconds=30, body_seconds=40, min_bytes_per_second=0))
    progress.record_chunk(1, 29)
    assert progress.seconds_left == 11
    assert "within 40 seconds" in progress.timeout_error().message
