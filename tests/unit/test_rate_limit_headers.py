"""Headers of rate limits, and the fields of a refusal."""

from service.api.http.rate_limit_headers import limit_name, rate_limit_headers, reset_time, to_amount
from service.domain.quota_limits import Limit, LimitStatus, Measure
from tests.fakes.builders import NOW


def standing(scope: str, measure: Measure, most: int, used: int, resets_in: float = 1.2) -> LimitStatus:
    return LimitStatus(limit=Limit(scope, measure, most), used=used, resets_in=resets_in)


def test_headers_show_the_limit_with_the_least_remaining() -> None:
    headers = rate_limit_headers(
        [
            standing("team", Measure.REQUESTS, 600, 1, 0.1),
            standing("key:ci", Measure.REQUESTS, 10, 8, 48),
            standing("team", Measure.IMAGES, 60, 10, 10),
            standing("team", Measure.DAY, 5, 1),
        ]
    )
    assert headers == {
        "ratelimit-policy": '"images";q=60;w=60, "requests";q=10;w=60',
        "ratelimit": '"images";r=50;t=10, "requests";r=2;t=48',
        "x-ratelimit-limit-images": "60",
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-images": "50",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-images": "10s",
        "x-ratelimit-reset-requests": "48s",
    }


def test_without_limits_per_minute_there_are_no_headers() -> None:
    assert rate_limit_headers([standing("team", Measure.DAY, 5, 1)]) == {}
    assert rate_limit_headers([]) == {}


def test_money_is_in_dollars() -> None:
    money = standing("tier:high", Measure.DAY, 20_000_000_000, 1)
    assert (to_amount(money, money.limit.maximum), limit_name(money)) == (20.0, "tier:high usd_per_day")
    crowd = standing("team", Measure.CONCURRENT, 2, 2)
    assert (to_amount(crowd, 2), limit_name(crowd)) == (2, "team concurrent_images")


def test_times_are_rounded_up_to_seconds() -> None:
    assert reset_time(standing("team", Measure.DAY, 5, 1, 42.2), NOW) == "2026-11-21T12:00:43Z"
