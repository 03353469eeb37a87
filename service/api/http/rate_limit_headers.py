"""Headers of rate limits, and the fields of a refusal by a limit.

Rule: of several limits on one measure, the headers show the one with the least remaining. Names and forms are those of
the RateLimit header draft (draft-ietf-httpapi-ratelimit-headers) and of OpenAI's `x-ratelimit-*`.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import ceil

from service.domain.errors import LimitExceeded
from service.domain.pricing import NANO
from service.domain.quota_limits import MONEY, LimitStatus, Measure

WINDOW_SECONDS = 60
MEASURE_NAMES: Mapping[Measure, str] = {Measure.REQUESTS: "requests", Measure.IMAGES: "images"}


def rate_limit_headers(statuses: Iterable[LimitStatus]) -> dict[str, str]:
    """Build the headers of limits per minute. Other limits have none."""
    # The status with the least remaining comes last, and replaces the others on its measure.
    tightest: dict[str, LimitStatus] = {}
    for status in sorted(statuses, key=lambda limit_status: limit_status.remaining, reverse=True):
        if status.limit.measure in MEASURE_NAMES:
            tightest[MEASURE_NAMES[status.limit.measure]] = status
    if not tightest:
        return {}
    return {
        "ratelimit-policy": ", ".join(
            f'"{name}";q={tightest[name].limit.maximum};w={WINDOW_SECONDS}' for name in sorted(tightest)
        ),
        "ratelimit": ", ".join(
            f'"{name}";r={tightest[name].remaining};t={ceil(tightest[name].resets_in)}' for name in sorted(tightest)
        ),
        **{f"x-ratelimit-limit-{name}": str(status.limit.maximum) for name, status in tightest.items()},
        **{f"x-ratelimit-remaining-{name}": str(status.remaining) for name, status in tightest.items()},
        **{f"x-ratelimit-reset-{name}": f"{ceil(status.resets_in)}s" for name, status in tightest.items()},
    }


def to_amount(status: LimitStatus, nano_or_count: int) -> float | int:
    """Convert a number of a limit into US dollars or a count."""
    return nano_or_count / NANO if status.limit.measure in MONEY else nano_or_count


def limit_name(status: LimitStatus) -> str:
    """Return scope and measure of a limit, such as `team usd_per_day` or `tier:high concurrent_images`."""
    return f"{status.limit.scope} {status.limit.measure.value}"


def reset_time(status: LimitStatus, now: datetime) -> str:
    """Return the time at which the whole limit is available again."""
    return (now + timedelta(seconds=ceil(status.resets_in))).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_budget(error: LimitExceeded) -> bool:
    """Whether a budget refused the request, so that no retry helps."""
    return error.limit_status.limit.measure in MONEY
