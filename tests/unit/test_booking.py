"""Hold requests of calls, and entries of their outcomes."""

from dataclasses import replace

import pytest

from service.domain.booking import (
    Delivered,
    ImageSource,
    build_cached_hold_request,
    build_entry,
    build_hold_request,
    resolved_tier,
)
from service.domain.generation import Usage
from service.domain.image_spec import Size
from service.domain.ledger import Basis, CacheStatus, EntryStatus
from service.domain.pricing import TokenRates, Tokens
from service.domain.quota_limits import Limits
from service.domain.quotes import Charge
from service.domain.routing import Plan, Transcode
from tests.fakes.builders import KEY, SQUARE, build_generation, caller, model, price, route, spec

PLAN = Plan(route=route(), price=price())
CHARGE = Charge(nano=7, basis=Basis.USAGE)
USAGE = Usage(text_in=1, image_in=2, text_cached=3, image_cached=4, text_out=5, image_out=6)


def test_a_claim_knows_the_worst_case_and_already_has_its_entry() -> None:
    hold_request = build_hold_request(
        "h1",
        spec(n=3, tier="low", size=SQUARE),
        PLAN,
        model(),
        caller(tags={"env": "ci"}),
        cache_status=CacheStatus.MISS,
    )

    assert (hold_request.hold_id, hold_request.quote, hold_request.images) == ("h1", 30_000_000, 3)
    assert hold_request.scopes == ("team", "key:search-1", "model:painter", "tier:low")
    booked = hold_request.entry
    assert (booked.cost, booked.basis, booked.status) == (30_000_000, Basis.UNCONFIRMED, EntryStatus.LOST)
    assert (booked.team, booked.key, booked.request_id, booked.tags) == ("search", "search-1", "req_1", {"env": "ci"})
    assert (booked.backend, booked.upstream_model, booked.price_version) == ("alpha", "alpha/painter", price().version)
    assert (booked.tier, booked.resolved_tier, booked.size, booked.n) == ("low", "low", "1024x1024", 3)


GRID = Tokens(grid={"low": 16, "medium": 48, "high": 96})
RATES = TokenRates(text_in=5_000, image_in=8_000, image_out=30_000)
METERED = price(per_image=None, rates=RATES, tokens=GRID)


@pytest.mark.parametrize("tier", [None, "auto"])
def test_a_tier_left_to_the_vendor_is_held_at_what_each_may_cost(tier: str | None) -> None:
    plan = Plan(route=route(), price=METERED)
    left = build_hold_request(
        "h1", spec(n=2, tier=tier, size=SQUARE), plan, model(), caller(), partials=1, cache_status=CacheStatus.MISS
    )
    for name in ("low", "medium", "high"):
        named = build_hold_request(
            "h1", spec(n=2, tier=name, size=SQUARE), plan, model(), caller(), partials=1, cache_status=CacheStatus.MISS
        )
        assert left.quote_in(f"tier:{name}") == named.quote == named.quote_in(f"tier:{name}") == named.quote_in("team")
    assert left.quote_in("tier:low") < left.quote_in("tier:medium") < left.quote_in("tier:high") == left.quote
    assert left.quote_in("team") == left.quote_in("key:search-1") == left.quote_in("model:painter") == left.quote
    assert (left.entry.cost, left.entry.resolved_tier) == (left.quote, "high")


def test_a_key_that_is_limited_in_a_tier_is_held_there_at_that_tiers_price() -> None:
    plan, limits = Plan(route=route(), price=METERED), {"low": Limits(usd_per_day=1), "high": Limits(usd_per_day=1)}
    who = caller(key=replace(KEY, limits_by_tier=limits))
    left = build_hold_request("h1", spec(size=SQUARE), plan, model(), who, cache_status=CacheStatus.MISS)
    assert left.scopes[-2:] == ("key:search-1:tier:low", "key:search-1:tier:high")
    for tier in ("low", "high"):
        assert left.quote_in(f"key:search-1:tier:{tier}") == left.quote_in(f"tier:{tier}")
    assert set(left.quotes) <= set(left.scopes)


def test_a_claim_that_runs_out_is_booked_in_the_tier_that_may_cost_most() -> None:
    plan = Plan(route=route(), price=METERED)
    left = build_hold_request(
        "h1", spec(size=SQUARE), plan, model(tiers=("high", "low", "medium")), caller(), cache_status=CacheStatus.MISS
    )
    assert left.entry.resolved_tier == "high"


def test_a_route_with_one_tier_is_held_in_that_one() -> None:
    plan = Plan(route=route(delivers="low"), price=METERED)
    left = build_hold_request("h1", spec(size=SQUARE), plan, model(), caller(), cache_status=CacheStatus.MISS)
    assert (left.scopes[3:], left.quotes, left.entry.resolved_tier) == (("tier:low",), {}, "low")


def test_the_format_is_the_one_that_is_delivered() -> None:
    developed = Plan(route=route(), price=price(), transcode=Transcode(output_format="webp", quality=80))
    for asked, plan, booked in (("png", developed, "webp"), ("jpeg", PLAN, "jpeg")):
        hold_request = build_hold_request(
            "h1", spec(output_format=asked), plan, model(), caller(), cache_status=CacheStatus.MISS
        )
        assert hold_request.entry.output_format == booked


@pytest.mark.parametrize(
    ("tier", "tiers", "resolved"),
    [("low", ("low", "high"), "low"), (None, ("low", "high"), "high"), (None, (), None), ("auto", ("low",), "low")],
)
def test_a_tier_left_open_is_booked_as_the_dearest(tier: str | None, tiers: tuple[str, ...], resolved: str) -> None:
    assert resolved_tier(spec(tier=tier), model(tiers=tiers)) == resolved


@pytest.mark.parametrize("source", [CacheStatus.MISS, CacheStatus.BYPASS])
def test_the_source_is_known_before_the_outcome(source: CacheStatus) -> None:
    hold_request = build_hold_request("h1", spec(), PLAN, model(), caller(), cache_status=source)
    booked = build_entry(hold_request, 99, Delivered(model=model(), generation=build_generation("a"), charge=CHARGE))
    assert {hold_request.entry.cache, booked.cache, build_entry(hold_request, 99).cache} == {source.value}


def test_a_delivery_is_booked_as_it_was_drawn() -> None:
    hold_request = build_hold_request("h1", spec(n=2), PLAN, model(), caller(), cache_status=CacheStatus.MISS)
    delivered_images = build_generation("a", tier="medium", size=Size(640, 480), usage=USAGE)

    booked = build_entry(hold_request, 99, Delivered(model=model(), generation=delivered_images, charge=CHARGE))

    assert (booked.cost, booked.basis, booked.status, booked.held_at) == (7, Basis.USAGE, EntryStatus.DELIVERED, 99)
    assert (booked.n, booked.tier, booked.resolved_tier, booked.size) == (1, None, "medium", "640x480")
    assert (booked.text_in, booked.image_in, booked.text_cached) == (1, 2, 3)
    assert (booked.image_cached, booked.text_out, booked.image_out) == (4, 5, 6)


@pytest.mark.parametrize("reported", [None, "ultra"])
def test_what_the_vendor_did_not_say_stays_what_was_asked_for(reported: str | None) -> None:
    hold_request = build_hold_request(
        "h1", spec(tier="low", size=SQUARE), PLAN, model(), caller(), cache_status=CacheStatus.MISS
    )
    unnamed = build_generation("a", tier=reported, size=None)
    booked = build_entry(hold_request, 99, Delivered(model=model(), generation=unnamed, charge=CHARGE))
    assert (booked.resolved_tier, booked.size, booked.image_out) == ("low", "1024x1024", 0)


def test_what_may_have_been_billed_is_booked_at_the_quote() -> None:
    hold_request = build_hold_request("h1", spec(), PLAN, model(), caller(), cache_status=CacheStatus.MISS)
    booked = build_entry(hold_request, 99)
    assert (booked.cost, booked.basis, booked.status) == (hold_request.quote, Basis.UNCONFIRMED, EntryStatus.FAILED)
    assert booked.held_at == 99


def test_a_cached_result_is_held_at_nothing_and_booked_with_the_saved_amount() -> None:
    source = ImageSource(
        backend="alpha", upstream_model="alpha/painter", price_version=price().version, output_format="png"
    )
    cached = Delivered(
        model=model(),
        generation=build_generation("a", "b", tier="medium", size=None, usage=USAGE),
        charge=Charge(nano=0, basis=Basis.CACHE),
        saved=40,
    )

    hit = build_cached_hold_request("h1", spec(size=SQUARE), caller(), source, cached, cache_status=CacheStatus.HIT)

    booked = hit.entry
    assert (hit.quote, hit.images, hit.scopes[:3]) == (0, 0, ("team", "key:search-1", "model:painter"))
    assert (booked.status, booked.basis, booked.cost, booked.saved) == (EntryStatus.DELIVERED, Basis.CACHE, 0, 40)
    assert (booked.n, booked.tier, booked.resolved_tier, booked.size) == (2, None, "medium", "1024x1024")
    assert (booked.cache, booked.held_at, booked.text_in, booked.image_out) == ("hit", 0, 0, 0)
