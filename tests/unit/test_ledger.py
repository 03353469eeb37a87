"""The life of a hold as a table, the scopes of a request, and the limits that apply to it."""

import itertools
from dataclasses import replace

import pytest

from service.domain.ledger import (
    HOLD_TRANSITIONS,
    HoldAction,
    HoldState,
    all_limits,
    applicable_limits,
    hold_scopes,
    other_tier_limits,
    possible_tiers,
    posted_scopes,
)
from service.domain.quota_limits import Limit, Limits, LimitStatus, Measure
from service.domain.team_access import Key, Team
from tests.fakes.builders import entry, model, spec

TEAM = Team(
    name="search",
    limits=Limits(requests_per_minute=600, usd_per_day=50),
    limits_by_tier={"high": Limits(usd_per_day=20, concurrent_images=2), "low": Limits(images_per_minute=9)},
    limits_by_model={"painter": Limits(usd_per_month=7), "sketcher": Limits(usd_per_month=8)},
)
KEY = Key(id="ci", team=TEAM, digest="d", limits=Limits(images_per_minute=3))

ENDED = {HoldState.POSTED, HoldState.VOIDED, HoldState.EXPIRED}


def test_a_hold_ends_once() -> None:
    for state, verb in itertools.product(HoldState, HoldAction):
        assert (
            (state, verb) in HOLD_TRANSITIONS
            or state in ENDED
            or (state, verb)
            in {
                (HoldState.PENDING, HoldAction.POST),  # what was never sent cannot have cost anything
                (HoldState.SENT, HoldAction.SEND),
            }
        )
    assert not [state for state, _ in HOLD_TRANSITIONS if state in ENDED]


def test_what_was_sent_is_never_forgotten_by_itself() -> None:
    assert HOLD_TRANSITIONS[HoldState.SENT, HoldAction.EXPIRE] is HoldState.EXPIRED
    assert HOLD_TRANSITIONS[HoldState.PENDING, HoldAction.EXPIRE] is HoldState.VOIDED


@pytest.mark.parametrize(
    ("tier", "tiers", "scopes"),
    [
        ("high", ("low", "high"), ("tier:high",)),
        (None, ("low", "high"), ("tier:low", "tier:high")),
        ("auto", ("low", "high"), ("tier:low", "tier:high")),
        (None, (), ()),
    ],
)
def test_a_tier_left_to_the_vendor_is_held_in_all_of_them(
    tier: str | None, tiers: tuple[str, ...], scopes: tuple[str, ...]
) -> None:
    actual = hold_scopes(KEY, model(tiers=tiers), possible_tiers(spec(tier=tier), model(tiers=tiers)))
    assert actual == ("team", "key:ci", "model:painter", *scopes)


@pytest.mark.parametrize(("tier", "tiers"), [(None, ("low",)), ("auto", ("low",)), ("high", ("high",))])
def test_a_tier_left_to_a_route_with_one_is_held_in_that_one(tier: str | None, tiers: tuple[str, ...]) -> None:
    assert possible_tiers(spec(tier=tier), model(tiers=("low", "high")), "low") == tiers


def test_beside_the_tier_that_was_asked_for_the_others_are_watched() -> None:
    scopes = hold_scopes(KEY, model(), possible_tiers(spec(tier="low"), model()))
    assert other_tier_limits(KEY, model(), scopes) == (Limit("tier:high", Measure.DAY, 20),)
    assert other_tier_limits(KEY, model(), hold_scopes(KEY, model(), model().tiers)) == ()


def test_a_cost_counts_in_the_tier_that_was_drawn() -> None:
    assert posted_scopes(entry(key="ci", model="painter", resolved_tier="low")) == (
        "team",
        "key:ci",
        "model:painter",
        "tier:low",
        "key:ci:tier:low",
    )
    assert posted_scopes(entry(key="ci", model="painter", resolved_tier=None)) == ("team", "key:ci", "model:painter")


def test_every_limit_that_applies_applies() -> None:
    assert applicable_limits(KEY, hold_scopes(KEY, model(), possible_tiers(spec(tier="high"), model()))) == (
        Limit("team", Measure.REQUESTS, 600),
        Limit("team", Measure.DAY, 50),
        Limit("key:ci", Measure.IMAGES, 3),
        Limit("model:painter", Measure.MONTH, 7),
        Limit("tier:high", Measure.CONCURRENT, 2),
        Limit("tier:high", Measure.DAY, 20),
    )


def test_a_tier_or_model_without_an_entry_has_no_limit_of_its_own() -> None:
    assert applicable_limits(KEY, ("model:other", "tier:max")) == ()


def test_all_limits_of_a_key_are_listed() -> None:
    actual = all_limits(KEY)
    assert Limit("model:sketcher", Measure.MONTH, 8) in actual
    assert Limit("tier:low", Measure.IMAGES, 9) in actual
    assert len(actual) == 8


LEASHED = replace(KEY, limits_by_tier={"high": Limits(usd_per_day=2)})


def test_a_key_is_held_in_the_tiers_in_which_it_is_limited() -> None:
    assert hold_scopes(LEASHED, model(), ("high",))[-2:] == ("tier:high", "key:ci:tier:high")
    assert hold_scopes(LEASHED, model(), ("low",))[-1] == "tier:low"
    assert hold_scopes(LEASHED, model(), model().tiers)[-1] == "key:ci:tier:high"


def test_a_limit_of_a_key_in_a_tier_applies_there_only() -> None:
    assert applicable_limits(LEASHED, hold_scopes(LEASHED, model(), ("high",)))[-1] == Limit(
        "key:ci:tier:high", Measure.DAY, 2
    )
    assert applicable_limits(LEASHED, ("key:ci:tier:low",)) == ()
    beside = other_tier_limits(LEASHED, model(), hold_scopes(LEASHED, model(), ("low",)))
    assert beside[-1] == Limit("key:ci:tier:high", Measure.DAY, 2)
    assert Limit("key:ci:tier:high", Measure.DAY, 2) in all_limits(LEASHED)


@pytest.mark.parametrize(("used", "remaining"), [(0, 5), (3, 2), (5, 0), (7, 0)])
def test_what_is_left_is_never_negative(used: int, remaining: int) -> None:
    assert LimitStatus(limit=Limit("team", Measure.DAY, 5), used=used, resets_in=1).remaining == remaining
