"""The shipped prices: the vendors' worked examples exactly, and for every route no cost above its quote."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.backends.sandbox.backend import DEFAULT_SIZE, count_tokens, resolve_tier
from service.domain.catalog import Catalog, Model, Route
from service.domain.generation import Generation, Usage
from service.domain.image_spec import Size, Spec
from service.domain.ledger import Basis
from service.domain.pricing import Price, current_price
from service.domain.quotes import Charge, cost, quote
from service.domain.routing import SANDBOX
from service.settings.models import read_catalog
from service.usecases.ports.requests import UpstreamRequest
from tests.fakes.builders import FREE, SQUARE, TODAY, build_generation, edit, spec, upload
from tests.support.profiles import examples

SHIPPED = read_catalog(Path(__file__).parents[2] / "config" / "models.yaml", TODAY)


def shipped(name: str, backend: str = "openai", catalog: Catalog = SHIPPED) -> tuple[Model, Route, Price]:
    shipped_model = catalog.get(name, TODAY)
    way = next(route for route in shipped_model.routes if route.backend == backend)
    current = current_price(way.prices, TODAY)
    assert current is not None
    return shipped_model, way, current


@pytest.mark.parametrize(
    ("name", "backend", "request_spec", "generated", "charge"),
    [
        (
            "gpt-image-2",
            "openai",
            spec(tier="medium", size=SQUARE),
            build_generation(usage=Usage(text_in=40, image_out=1756)),
            Charge(nano=52_880_000, basis=Basis.USAGE),
        ),
        (
            "gpt-image-2",
            "openai",
            edit(tier="high", size=Size(3840, 2160), prompt="p" * 900),
            build_generation(usage=Usage(text_in=228, image_in=1450, image_out=13_342), tier="high"),
            Charge(nano=413_000_000, basis=Basis.USAGE),
        ),
        (
            "gpt-image-2.5-flare",
            "openai",
            edit(upload(), upload(b"other"), tier="high", size=Size(1024, 1536), prompt="p" * 240),
            build_generation(usage=Usage(text_in=60, image_in=2900, image_out=1372 + 200)),
            Charge(nano=70_660_000, basis=Basis.USAGE),
        ),
        (
            "gpt-image-2",
            "together",
            spec(size=SQUARE),
            build_generation(usage=None),
            Charge(nano=53_000_000, basis=Basis.ESTIMATED),
        ),
    ],
)
def test_worked_examples_come_out_to_the_nano_dollar(
    name: str, backend: str, request_spec: Spec, generated: Generation, charge: Charge
) -> None:
    known = shipped(name, backend)

    assert cost(request_spec, *known, generated) == charge
    assert charge.nano <= quote(request_spec, *known, 2)


MULTIPLES = st.integers(1, 240).map(lambda times: 16 * times)
FREE_SIZES = st.builds(Size, MULTIPLES, MULTIPLES).filter(lambda size: FREE.problem(size) is None)
WISHES = st.builds(
    spec,
    prompt=st.text(max_size=80),
    n=st.integers(1, 10),
    output_format=st.sampled_from(["png", "gif", "svg"]),
    references=st.lists(st.builds(upload), max_size=16).map(tuple),
    mask=st.one_of(st.none(), st.builds(upload)),
)
BY_TOKEN = sorted(name for name in SHIPPED.models if shipped(name, SANDBOX)[2].rates)


@settings(max_examples=examples(300))
@given(name=st.sampled_from(BY_TOKEN), request_spec=WISHES, chance=st.data())
def test_what_the_sandbox_counts_is_never_above_the_quote(name: str, request_spec: Spec, chance: st.DataObject) -> None:
    shipped_model, way, current = shipped(name, SANDBOX)
    sizes = st.sampled_from(shipped_model.sizes.choices) if shipped_model.sizes.choices else FREE_SIZES
    tier, size = chance.draw(st.sampled_from([None, *shipped_model.tiers])), chance.draw(st.one_of(st.none(), sizes))
    request_spec = replace(request_spec, model=name, tier=tier, size=size)
    order = UpstreamRequest(spec=request_spec, route=way, price=current, request_id="req_1")
    drawn = size or DEFAULT_SIZE
    usage = count_tokens(order, drawn, resolve_tier(order, drawn))

    booked = cost(request_spec, shipped_model, way, current, build_generation(usage=usage, tier=tier, size=drawn))

    assert usage is not None
    assert booked.basis is Basis.USAGE
    assert 0 < booked.nano <= quote(request_spec, shipped_model, way, current)


@pytest.mark.parametrize("name", sorted(SHIPPED.models))
def test_every_route_of_the_shipped_file_can_be_quoted_and_booked(name: str) -> None:
    shipped_model = SHIPPED.get(name, TODAY)
    for way in shipped_model.routes:
        for current in way.prices:
            request_spec = spec(n=min(2, way.max_n))
            held = quote(request_spec, shipped_model, way, current)
            booked = cost(
                request_spec, shipped_model, way, current, build_generation(*["fox"] * request_spec.n, size=SQUARE)
            )

            assert 0 < booked.nano <= held
            assert held < 30_000_000_000


def test_what_together_hands_through_is_booked_as_an_estimate() -> None:
    partners = {"openai", "google"}
    for name in SHIPPED.models:
        shipped_model = SHIPPED.get(name, TODAY)
        for way in (way for way in shipped_model.routes if way.backend == "together"):
            (current,) = way.prices

            assert current.approximate is (way.model.split("/")[0] in partners), way.model
