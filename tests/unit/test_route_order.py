"""The order of routes: as listed, at random, or by the maximum price."""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import pytest

from service.domain.catalog import Model, Policy
from service.domain.image_spec import Size, Spec
from service.domain.pricing import Price, TokenRates
from service.domain.routing import (
    Plan,
    find_candidates,
    max_price,
    order_plans,
    preview_count,
    request_hash,
    weighted_order,
)
from tests.fakes.backends import FakeBackend
from tests.fakes.builders import SQUARE, TODAY, build_generation, caller, catalog, model, price, route, spec
from tests.fakes.gateway import images_from
from tests.fakes.models_yaml import reading

BACKENDS = {"alpha", "beta", "gamma"}


def order(request_spec: Spec, asked: Model, number: int = 0, partials: int = 0) -> list[str]:
    plans = order_plans(
        find_candidates(request_spec, asked, BACKENDS, TODAY).plans, request_spec, asked, number, partials
    )
    return [item.route.backend for item in plans]


@pytest.mark.parametrize("names", list(permutations(sorted(BACKENDS))))
def test_priority_is_the_order_of_the_catalog(names: Sequence[str]) -> None:
    asked = model(routes=tuple(route(backend=name, weight=place) for place, name in enumerate(names)))

    assert [order(spec(), asked, number) for number in range(7)] == [list(names)] * 7


@pytest.mark.parametrize(
    ("weights", "firsts"),
    [
        ((1,), {0: 1}),
        ((5,), {0: 5}),
        ((1, 1), {0: 1, 1: 1}),
        ((3, 1), {0: 3, 1: 1}),
        ((1, 3), {0: 1, 1: 3}),
        ((2, 0, 5), {0: 2, 2: 5}),
        ((1, 2, 3), {0: 1, 1: 2, 2: 3}),
        ((0, 1), {1: 1}),
    ],
)
def test_lots_fall_exactly_as_the_weights_say(weights: tuple[int, ...], firsts: dict[int, int]) -> None:
    assert Counter(weighted_order(weights, number)[0] for number in range(sum(weights))) == firsts


def test_the_rest_is_drawn_by_its_weights_as_well() -> None:
    """60 numbers are a whole round of the totals 6, then 5, 4 or 3."""
    orders = Counter(weighted_order((1, 2, 3), number) for number in range(6 * 60))

    assert orders == {
        (0, 1, 2): 60 * 2 / 5,
        (0, 2, 1): 60 * 3 / 5,
        (1, 0, 2): 120 * 1 / 4,
        (1, 2, 0): 120 * 3 / 4,
        (2, 0, 1): 180 * 1 / 3,
        (2, 1, 0): 180 * 2 / 3,
    }


@pytest.mark.parametrize(
    ("weights", "last"),
    [((0, 3, 0, 1), (0, 2)), ((0, 0), (0, 1)), ((), ()), ((1, 0), (1,))],
)
def test_what_has_no_weight_comes_last_as_it_stands(weights: tuple[int, ...], last: tuple[int, ...]) -> None:
    for number in (*range(20), 2**256 - 1):
        places = weighted_order(weights, number)
        assert sorted(places) == list(range(len(weights)))
        assert places[len(weights) - len(last) :] == last


def test_a_request_has_one_lot_and_requests_have_many() -> None:
    assert request_hash("req_1") == request_hash("req_1")
    assert request_hash("req_1") < 2**256
    firsts = Counter(weighted_order((3, 1), request_hash(f"req_{number}"))[0] for number in range(4000))
    assert firsts == {0: 2983, 1: 1017}


def test_weights_count_among_those_that_can_honour_the_request() -> None:
    routes = (
        route(backend="alpha", weight=1_000_000, carries=frozenset()),
        route(backend="beta", weight=1),
        route(backend="gamma", weight=2),
    )
    asked = model(routes=routes, policy=Policy.WEIGHTED)

    assert [order(spec(tier="low"), asked, number)[0] for number in range(3)] == ["beta", "gamma", "gamma"]
    assert order(spec(), asked, 0)[0] == "alpha"


def cheap(*nanos: int) -> Model:
    names = ("alpha", "beta", "gamma")
    prices = [price(per_image=nano) for nano in nanos]
    pairs = zip(names, prices, strict=False)
    return model(routes=tuple(route(backend=name, prices=(it,)) for name, it in pairs), policy=Policy.CHEAPEST)


@pytest.mark.parametrize(
    ("nanos", "names"),
    [
        ((10, 20, 30), ["alpha", "beta", "gamma"]),
        ((30, 20, 10), ["gamma", "beta", "alpha"]),
        ((20, 10, 20), ["beta", "alpha", "gamma"]),
        ((20, 20, 20), ["alpha", "beta", "gamma"]),
        ((20, 20, 10), ["gamma", "alpha", "beta"]),
    ],
)
def test_the_cheapest_is_first_and_the_catalog_settles_ties(nanos: tuple[int, ...], names: list[str]) -> None:
    assert order(spec(), cheap(*nanos)) == names


CROSSING = """\
default_model: painter
sizes:
  free: { multiple_of: 16, max_edge: 3840, max_ratio: 3, min_pixels: 655360, max_pixels: 8294400 }
carries:
  all: [quality, image]
prices:
  tokens:
    - effective: 2026-01-01
      source: a list
      read: 2026-11-20
      per_million_tokens: { text_in: 5, image_in: 8, image_out: 30 }
      image_in_per_reference: 2200
      grid: { low: 16, medium: 48, high: 96 }
  flat:
    - { effective: 2026-01-01, source: a list, read: 2026-11-20, per_image: 0.02 }
models:
  painter:
    owned_by: us
    created: 2026-01-01
    sizes: free
    tiers: [low, medium, high]
    formats: [png]
    fields: [quality, image]
    policy: cheapest
    routes:
      - { backend: alpha, model: alpha/painter, carries: all, formats: [png], price: tokens }
      - { backend: beta, model: beta/painter, carries: all, formats: [png], price: flat }
"""
LARGE = Size(3840, 2160)


@pytest.mark.parametrize(
    ("request_spec", "names"),
    [
        (spec(tier="low", size=SQUARE), ["alpha", "beta"]),
        (spec(tier="medium", size=SQUARE), ["beta", "alpha"]),
        (spec(tier="high", size=SQUARE), ["beta", "alpha"]),
        (spec(size=SQUARE), ["beta", "alpha"]),
        (spec(tier="low", size=LARGE), ["alpha", "beta"]),
        (spec(tier="low", size=SQUARE, prompt="fox " * 1000), ["beta", "alpha"]),
        (spec(tier="low", size=SQUARE, n=7), ["alpha", "beta"]),
    ],
)
async def test_cheapest_switches_backends_between_tiers_where_prices_cross(
    tmp_path: Path, request_spec: Spec, names: list[str]
) -> None:
    """By tokens a square costs $0.006 in low and $0.053 in medium; flat it is $0.02."""
    known = reading(tmp_path, CROSSING)
    drawn = [f"picture {number}" for number in range(request_spec.n)]
    backends = {name: FakeBackend(build_generation(*drawn)) for name in ("alpha", "beta")}

    made = await images_from(backends)(request_spec, caller(), known)

    assert order(request_spec, known.models["painter"]) == names
    assert (made.result.backend, len(backends[names[0]].requests), len(backends[names[1]].requests)) == (names[0], 1, 0)


def test_the_order_of_cheapest_is_that_of_the_quotes(tmp_path: Path) -> None:
    painter = reading(tmp_path, CROSSING).models["painter"]
    request_spec = spec(tier="low", size=SQUARE)
    alpha, beta = find_candidates(request_spec, painter, BACKENDS, TODAY).plans

    assert max_price(request_spec, painter, alpha, 0) < max_price(request_spec, painter, beta, 0) == 20_000_000
    assert order(request_spec, painter, partials=0) == ["alpha", "beta"]
    assert max_price(request_spec, painter, alpha, 3) == max_price(request_spec, painter, alpha, 0) + 300 * 30_000
    assert max_price(spec(tier="low", size=SQUARE, n=2), painter, alpha, 3) == 2 * max_price(
        request_spec, painter, alpha, 0
    )


def test_previews_that_would_have_to_be_paid_for_count(tmp_path: Path) -> None:
    edited = CROSSING.replace("per_image: 0.02", "per_image: 0.01")
    painter = reading(tmp_path, edited).models["painter"]
    request_spec = spec(tier="low", size=SQUARE)

    assert (order(request_spec, painter), order(request_spec, painter, partials=3)) == (
        ["alpha", "beta"],
        ["beta", "alpha"],
    )


def test_only_one_picture_that_is_not_developed_has_previews() -> None:
    native, developed = route(), route(formats=frozenset({"png"}), carries=frozenset())
    (one,) = find_candidates(spec(), model(routes=(native,)), BACKENDS, TODAY).plans
    (webp,) = find_candidates(spec(output_format="webp"), model(routes=(developed,)), BACKENDS, TODAY).plans

    assert preview_count(spec(), one, 3) == 3
    assert preview_count(spec(n=2), one, 3) == 0
    assert preview_count(spec(output_format="webp"), webp, 3) == 0


@pytest.mark.parametrize(
    ("paid", "shown"),
    [
        (price(), 0),
        (price(per_image=None, per_megapixel=30_000_000), 0),
        (price(per_image=None, rates=TokenRates(text_in=1, image_in=1, image_out=1)), 3),
    ],
)
def test_the_sandbox_has_previews_of_models_whose_vendor_has_them(paid: Price, shown: int) -> None:
    assert preview_count(spec(), Plan(route=route(backend="sandbox"), price=paid), 3) == shown
    assert preview_count(spec(), Plan(route=route(backend="alpha"), price=paid), 3) == 3


def test_a_policy_changes_with_the_file(tmp_path: Path) -> None:
    request_spec = spec(tier="medium", size=SQUARE)

    before = reading(tmp_path, CROSSING).models["painter"]
    after = reading(tmp_path, CROSSING.replace("cheapest", "priority")).models["painter"]

    assert (order(request_spec, before), order(request_spec, after)) == (["beta", "alpha"], ["alpha", "beta"])


async def test_a_weighted_model_is_served_by_whom_the_lot_of_the_request_names() -> None:
    routes = (route(backend="alpha", weight=3), route(backend="beta"))
    known = catalog(model(routes=routes, policy=Policy.WEIGHTED))
    backends = {name: FakeBackend(*[build_generation()] * 40) for name in ("alpha", "beta")}
    ids = [f"req_{number}" for number in range(40)]

    served = [(await images_from(backends)(spec(), caller(request_id=item), known)).result.backend for item in ids]

    assert served == [("alpha", "beta")[weighted_order((3, 1), request_hash(item))[0]] for item in ids]
    assert set(served) == {"alpha", "beta"}
