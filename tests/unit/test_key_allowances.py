"""Allowances of keys: parsing, checks and their description."""

from decimal import Decimal

import pytest

from service.domain.errors import InvalidValue
from service.domain.key_allowances import UNRESTRICTED, Allowance, describe, parse_limits
from service.domain.quota_limits import NO_LIMITS, Limits
from service.domain.team_access import Team, check_allowance
from tests.fakes.builders import catalog, model

CATALOG = catalog(model(), model(id="sketcher", tiers=("low", "xhigh")))


def test_limits_are_counts_and_nano_dollars() -> None:
    numbers: dict[str, Decimal | int] = {
        "usd_per_day": Decimal("0.5"),
        "usd_per_month": 20,
        "requests_per_minute": Decimal(600),
    }

    parsed_limits = parse_limits(numbers, "limits")

    assert parsed_limits == Limits(usd_per_day=500_000_000, usd_per_month=20_000_000_000, requests_per_minute=600)
    assert parse_limits({}, "limits") == NO_LIMITS


@pytest.mark.parametrize(
    ("name", "number", "param", "reason"),
    [
        ("usd", "1", "limits", "'usd' is not a limit; limits are requests_per_minute, "),
        ("usd_per_day", "-1", "limits.usd_per_day", "-1 is not an amount between 0 and 1000000 US dollars"),
        ("usd_per_day", "NaN", "limits.usd_per_day", "NaN is not an amount between 0 and 1000000 US dollars"),
        ("usd_per_month", "1e-10", "limits.usd_per_month", "1E-10 is finer than a billionth of a US dollar"),
        ("requests_per_minute", "0", "limits.requests_per_minute", "0 is not a whole number from 1 to 1000000"),
        ("images_per_minute", "1.5", "limits.images_per_minute", "1.5 is not a whole number from 1 to 1000000"),
        ("concurrent_images", "Infinity", "limits.concurrent_images", "Infinity is not a whole number from 1"),
        ("concurrent_images", "1000001", "limits.concurrent_images", "1000001 is not a whole number from 1"),
    ],
)
def test_a_wrong_limit_is_named(name: str, number: str, param: str, reason: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_limits({name: Decimal(number)}, "limits")

    assert refused.value.param == param
    assert refused.value.message.startswith(reason)


@pytest.mark.parametrize(
    ("allowance", "text"),
    [
        (UNRESTRICTED, ""),
        (Allowance(limits=Limits(usd_per_day=5_000_000_000)), "usd_per_day=5"),
        (
            Allowance(limits=Limits(usd_per_day=1, requests_per_minute=30)),
            "requests_per_minute=30 usd_per_day=0.000000001",
        ),
        (
            Allowance(
                models=frozenset({"sketcher", "painter"}),
                tiers=frozenset({"low"}),
                limits=Limits(usd_per_month=100_000_000_000),
                limits_by_tier={"low": Limits(concurrent_images=2), "high": Limits(usd_per_day=0)},
            ),
            "usd_per_month=100 high:usd_per_day=0 low:concurrent_images=2 models=painter,sketcher tiers=low",
        ),
    ],
)
def test_it_is_shown_in_one_line(allowance: Allowance, text: str) -> None:
    assert describe(allowance) == text


BOUND = Team(name="search", models=frozenset({"painter"}), tiers=frozenset({"low", "medium"}))


@pytest.mark.parametrize(
    ("allowance", "param", "reason"),
    [
        (Allowance(models=frozenset({"painter", "drawer"})), "models", "'drawer' is not in models.yaml"),
        (Allowance(tiers=frozenset({"ultra"})), "tiers", "'ultra' is not in models.yaml"),
        (Allowance(limits_by_tier={"ultra": NO_LIMITS}), "limits_by_tier", "'ultra' is not in models.yaml"),
        (Allowance(models=frozenset({"sketcher"})), "models", "team 'search' may not use 'sketcher'"),
        (Allowance(tiers=frozenset({"high"})), "tiers", "team 'search' may not use 'high'"),
        (Allowance(limits_by_tier={"xhigh": NO_LIMITS}), "limits_by_tier", "team 'search' may not use 'xhigh'"),
    ],
)
def test_it_names_nothing_that_is_not_there_or_not_its_teams(allowance: Allowance, param: str, reason: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_allowance(allowance, BOUND, CATALOG)

    assert (refused.value.param, refused.value.message) == (param, reason)


def test_a_part_of_what_the_team_may_use_passes() -> None:
    part = Allowance(models=BOUND.models, tiers=frozenset({"low"}), limits_by_tier={"medium": NO_LIMITS})
    check_allowance(part, BOUND, CATALOG)
    everything = Allowance(models=frozenset({"sketcher"}), tiers=frozenset({"xhigh"}))
    check_allowance(everything, Team(name="ads"), CATALOG)
