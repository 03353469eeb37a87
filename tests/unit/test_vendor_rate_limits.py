"""Rate limits in vendors' headers."""

import pytest

from service.adapters.backends import openai, together
from service.adapters.backends.dialect import parse_duration, read_rate_limits
from service.domain.vendor_rate_limits import RateLimit

RATE = "x-ratelimit"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("120ms", 0.12),
        ("0s", 0),
        ("1.5", 1.5),
        ("60", 60),
        ("", None),
        ("soon", None),
        ("-1s", None),
        ("1s later", None),
        ("\N{ARABIC-INDIC DIGIT ONE}s", None),
        ("9" * 400, None),
    ],
)
def test_how_long_until_all_is_back(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_openai_says_it_for_each_measure() -> None:
    headers = {
        f"{RATE}-limit-requests": "500",
        f"{RATE}-remaining-requests": "499",
        f"{RATE}-reset-requests": "120ms",
        f"{RATE}-limit-images": "5",
        f"{RATE}-remaining-images": "0",
        f"{RATE}-reset-images": "1m0s",
    }
    assert read_rate_limits(openai.LIMITS, headers) == (
        RateLimit(measure="requests", limit=500, remaining=499, resets_in=0.12),
        RateLimit(measure="images", limit=5, remaining=0, resets_in=12),
    )


def test_together_says_it_in_plain_seconds() -> None:
    headers = {f"{RATE}-limit": "10", f"{RATE}-remaining": "0", f"{RATE}-reset": "3"}
    assert read_rate_limits(together.LIMITS, headers) == (
        RateLimit(measure="requests", limit=10, remaining=0, resets_in=3),
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {f"{RATE}-remaining-requests": "many"},
        {f"{RATE}-remaining-requests": "-1"},
        {f"{RATE}-remaining-requests": "²"},
        {f"{RATE}-limit-requests": "5"},
        {f"{RATE}-limit-tokens": "0", f"{RATE}-remaining-tokens": "0", f"{RATE}-reset-tokens": "6m0s"},
    ],
)
def test_what_nobody_understands_was_not_said(headers: dict[str, str]) -> None:
    assert read_rate_limits(openai.LIMITS, headers) == ()


def test_what_is_all_there_is_not_waited_for() -> None:
    full = {f"{RATE}-limit-requests": "5", f"{RATE}-remaining-requests": "5", f"{RATE}-reset-requests": "1s"}
    assert read_rate_limits(openai.LIMITS, full) == (RateLimit(measure="requests", limit=5, remaining=5, resets_in=1),)


def test_a_vendor_may_leave_half_of_it_out() -> None:
    assert read_rate_limits(openai.LIMITS, {f"{RATE}-remaining-requests": "7"}) == (
        RateLimit(measure="requests", remaining=7),
    )
