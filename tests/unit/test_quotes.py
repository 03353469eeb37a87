"""Quotes and costs: the vendors' numbers exactly, and no cost above its quote."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.catalog import SizeAs, SizeRule
from service.domain.generation import Generation, Usage
from service.domain.image_spec import Size, Spec
from service.domain.ledger import Basis
from service.domain.pricing import Price, TokenRates, Tokens
from service.domain.quotes import MAX_FRAMES, TEXT_OVERHEAD, Charge, cost, quote
from service.domain.routing import find_candidates, upstream_specs
from tests.fakes.builders import FREE, SQUARE, TODAY, build_generation, edit, model, price, route, spec, upload

WIDE = Size(1536, 1024)
CLASSIC = SizeRule(choices=(SQUARE, WIDE))

RATES = TokenRates(text_in=5_000, text_cached=1_250, image_in=8_000, image_cached=2_000, image_out=30_000)
WRITING = replace(RATES, text_out=10_000)
GRID = Tokens(grid={"low": 16, "medium": 48, "high": 96}, image_in_per_reference=2_200)
TABLE = Tokens(
    table={"low": {SQUARE: 272, WIDE: 400}, "medium": {SQUARE: 1_056, WIDE: 1_568}, "high": {SQUARE: 4_160}},
    image_in_per_reference=6_821,
    text_out_per_image=1_000,
)
BY_GRID = price(per_image=None, rates=RATES, tokens=GRID)
BY_TABLE = price(per_image=None, rates=WRITING, tokens=TABLE)
BY_AREA = price(per_image=None, per_megapixel=30_000_000, default_steps=28)
BY_IMAGE = price(per_image=53_000_000)

PAINTER, WAY = model(), route()


def quoted(request_spec: Spec, paid: Price = BY_GRID, **changes: Any) -> int:
    return quote(request_spec, PAINTER, replace(WAY, **changes), paid)


def charged(request_spec: Spec, generated: Generation, paid: Price = BY_GRID, **changes: Any) -> Charge:
    return cost(request_spec, PAINTER, replace(WAY, **changes), paid, generated)


def text_tokens(request_spec: Spec) -> int:
    input_images = len(request_spec.references) + (request_spec.mask is not None)
    return len(request_spec.prompt.encode()) + TEXT_OVERHEAD * (1 + input_images)


# What the vendor counted.


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (Usage(text_in=100, image_out=10), 100 * 5_000 + 10 * 30_000),
        (Usage(text_in=100, text_cached=60, image_out=10), 40 * 5_000 + 60 * 1_250 + 10 * 30_000),
        (Usage(image_in=100, image_cached=99, image_out=1), 8_000 + 99 * 2_000 + 30_000),
        (Usage(text_in=5, text_cached=9, image_in=5, image_cached=9, image_out=1), 5 * 1_250 + 5 * 2_000 + 30_000),
        (Usage(image_out=3, text_out=7), 3 * 30_000 + 7 * 10_000),
        (Usage(text_out=7), 70_000),
    ],
)
def test_every_kind_of_token_has_its_rate(usage: Usage, nano: int) -> None:
    paid = replace(BY_GRID, rates=WRITING)

    assert charged(spec(), build_generation(usage=usage), paid) == Charge(nano=nano, basis=Basis.USAGE)


def test_usage_of_several_orders_keeps_what_was_cached() -> None:
    one = Usage(text_in=1, text_cached=2, image_cached=3)

    assert (one + one).text_cached == 4
    assert (one + one).image_cached == 6


# Quotes: what is left open is quoted at its dearest.


def test_a_quote_covers_words_references_picture_and_previews_for_each_picture() -> None:
    request_spec = edit(
        upload(), upload(b"other"), mask=upload(b"mask"), n=3, tier="medium", size=SQUARE, prompt="żółw 🐢"
    )
    run = (12 + 4 * TEXT_OVERHEAD) * 5_000 + 3 * 2_200 * 8_000 + (1756 + 200) * 30_000

    assert quote(request_spec, PAINTER, WAY, BY_GRID, 2) == 3 * run
    assert quoted(replace(request_spec, mask=None, markup=upload(b"markup"))) == 3 * (run - 200 * 30_000)


def test_what_the_vendor_may_write_is_quoted_too() -> None:
    request_spec = spec(tier="low", size=SQUARE)

    assert quoted(request_spec, BY_TABLE) == text_tokens(request_spec) * 5_000 + 272 * 30_000 + 1_000 * 10_000


def test_half_a_surrogate_pair_is_text_too() -> None:
    assert quoted(spec(prompt="\ud83e")) - quoted(spec(prompt="")) == 3 * 5_000


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        ({"tier": "low", "size": SQUARE}, 196),
        ({"tier": None, "size": SQUARE}, 7024),
        ({"tier": "unheard of", "size": SQUARE}, 7024),
        ({"tier": "low", "size": None}, 659),
        ({"tier": None, "size": None}, 23_719),
        ({"tier": "low", "size": SQUARE, "output_format": "svg"}, 7024),
        ({"tier": "low", "size": SQUARE, "output_format": "gif", "frame_count": 2}, 2 * 196),
        ({"tier": "low", "size": SQUARE, "output_format": "gif"}, MAX_FRAMES * 196),
        ({"tier": "low", "size": None, "output_format": "gif", "frame_count": 3}, 3 * 659),
        ({"tier": "low", "size": Size(3072, 1024), "output_format": "gif", "frame_count": 2}, 2 * 330),
    ],
)
def test_what_is_left_open_is_quoted_at_its_dearest(asked: dict[str, Any], tokens: int) -> None:
    request_spec = spec(**asked)

    assert quoted(request_spec) == text_tokens(request_spec) * 5_000 + tokens * 30_000


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        ({"tier": "low", "size": WIDE}, 400),
        ({"tier": "low", "size": None}, 400),
        ({"tier": None, "size": None}, 4_160),
        ({"tier": "low", "size": Size(999, 999)}, 400),
        ({"tier": "high", "size": WIDE}, 4_160),
        ({"tier": "low", "size": SQUARE, "output_format": "gif", "frame_count": 2}, 800),
    ],
)
def test_by_table_the_dearest_is_the_largest_number_of_the_tier(asked: dict[str, Any], tokens: int) -> None:
    request_spec = spec(**asked)
    charge = quote(request_spec, replace(PAINTER, sizes=CLASSIC), WAY, replace(BY_TABLE, rates=RATES))

    assert charge == text_tokens(request_spec) * 5_000 + tokens * 30_000


def test_a_model_without_tiers_is_quoted_at_the_dearest_of_its_price() -> None:
    request_spec = spec(size=SQUARE)

    assert quote(request_spec, replace(PAINTER, tiers=()), WAY, BY_GRID) == quoted(request_spec)
    assert quote(request_spec, replace(PAINTER, tiers=("low",)), WAY, BY_GRID) == quoted(
        replace(request_spec, tier="low")
    )


def test_a_price_by_token_without_any_count_sells_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        quoted(spec(), replace(BY_GRID, tokens=Tokens()))


@pytest.mark.parametrize(
    ("asked", "sizes", "nano"),
    [
        ({"size": SQUARE}, None, 31_457_280),
        ({"size": SQUARE, "n": 3}, None, 3 * 31_457_280),
        ({"size": SQUARE, "steps": 28}, None, 31_457_280),
        ({"size": SQUARE, "steps": 1}, None, 31_457_280),
        ({"size": SQUARE, "steps": 42}, None, 47_185_920),
        ({"size": SQUARE, "steps": 29}, None, 32_580_755),  # 32,580,754.28…
        ({"size": None}, None, 8_294_400 * 30),
        ({"size": None}, CLASSIC, 1536 * 1024 * 30),
        ({"size": None}, SizeRule(multiple_of=8, min_edge=256, max_edge=1920), 1920 * 1920 * 30),
    ],
)
def test_areas_are_quoted_by_the_megapixel_and_step(asked: dict[str, Any], sizes: SizeRule | None, nano: int) -> None:
    assert quoted(spec(**asked), BY_AREA, sizes=sizes) == nano


def test_without_usual_steps_the_steps_do_not_count() -> None:
    flat = replace(BY_AREA, default_steps=None)

    assert quoted(spec(size=SQUARE, steps=50), flat) == quoted(spec(size=SQUARE), flat) == 31_457_280


def test_a_route_that_hands_on_a_mere_ratio_is_quoted_at_its_largest_size() -> None:
    small = spec(size=Size(1024, 768))
    by_ratio = {"size_as": SizeAs.ASPECT_RATIO}

    assert quoted(small, BY_AREA, **by_ratio) == quoted(spec(), BY_AREA)
    assert charged(small, build_generation(size=None), BY_AREA, **by_ratio) == Charge(
        nano=quoted(spec(), BY_AREA), basis=Basis.ESTIMATED
    )
    assert charged(small, build_generation(size=SQUARE), BY_AREA, **by_ratio) == Charge(
        nano=31_457_280, basis=Basis.TABLE
    )


def test_pictures_at_a_fixed_price_cost_that() -> None:
    assert quoted(edit(n=4), BY_IMAGE) == 212_000_000
    assert quoted(spec(), price(per_image=0)) == 0


# Costs without the vendor's count.


def test_a_fixed_price_is_booked_for_every_picture_that_came() -> None:
    request_spec = spec(n=4)

    assert charged(request_spec, build_generation("a", "b"), BY_IMAGE) == Charge(nano=106_000_000, basis=Basis.TABLE)
    assert charged(request_spec, build_generation("a", size=None), BY_IMAGE) == Charge(
        nano=53_000_000, basis=Basis.TABLE
    )
    assert charged(request_spec, build_generation("a"), replace(BY_IMAGE, approximate=True)).basis is Basis.ESTIMATED


@pytest.mark.parametrize(
    ("asked", "drawn", "nano", "basis"),
    [
        (SQUARE, None, 31_457_280, Basis.TABLE),
        (None, SQUARE, 31_457_280, Basis.TABLE),
        (WIDE, SQUARE, 31_457_280, Basis.TABLE),
        (None, None, 8_294_400 * 30, Basis.ESTIMATED),
    ],
)
def test_areas_are_booked_at_the_size_that_was_drawn(
    asked: Size | None, drawn: Size | None, nano: int, basis: Basis
) -> None:
    assert charged(spec(size=asked), build_generation(size=drawn), BY_AREA) == Charge(nano=nano, basis=basis)


@pytest.mark.parametrize("usage", [None, Usage(), Usage(text_in=40)])
@pytest.mark.parametrize(
    ("asked", "drawn", "tokens"),
    [
        ({"tier": "low", "size": SQUARE}, {"tier": None, "size": None}, 196),
        ({"tier": None, "size": None}, {"tier": "medium", "size": SQUARE}, 1756),
        ({"tier": "low", "size": SQUARE}, {"tier": "unheard of", "size": SQUARE}, 196),
        ({"tier": None, "size": None}, {"tier": None, "size": None}, 23_719),
    ],
)
def test_without_a_count_tokens_are_estimated_and_never_none(
    usage: Usage | None, asked: dict[str, Any], drawn: dict[str, Any], tokens: int
) -> None:
    request_spec = edit(prompt="a red fox", n=4, **asked)
    run = 3 * 5_000 + 2_200 * 8_000 + tokens * 30_000

    charge = charged(request_spec, build_generation("a", "b", usage=usage, **drawn))

    assert charge == Charge(nano=2 * run, basis=Basis.ESTIMATED)


def test_a_vendor_that_counts_only_text_has_counted() -> None:
    assert charged(spec(), build_generation(usage=Usage(text_out=1)), BY_TABLE).basis is Basis.USAGE


@pytest.mark.parametrize(("tokens", "covered"), [(1_000, True), (1_000_000, False)])
def test_an_svg_whose_author_was_paid_is_booked_at_no_less_than_the_quote(tokens: int, covered: bool) -> None:
    request_spec = spec(output_format="svg", size=SQUARE)
    usage = Usage(text_in=1, image_out=tokens)
    written = build_generation(usage=usage, svg_usage={"model": "author", "total_tokens": 9})

    charge = charged(request_spec, written)

    assert charge == Charge(nano=quoted(request_spec) if covered else 5_000 + tokens * 30_000, basis=Basis.ESTIMATED)
    assert charged(request_spec, replace(written, svg_usage=None)).basis is Basis.USAGE


# For every wish: no cost above its quote, and more is never quoted at less.

MULTIPLES = st.integers(1, 240).map(lambda times: 16 * times)
FREE_SIZES = st.builds(Size, MULTIPLES, MULTIPLES).filter(lambda size: FREE.problem(size) is None)
SIZES = st.one_of(st.none(), st.sampled_from([SQUARE, WIDE, Size(2880, 2880), Size(3840, 2160)]), FREE_SIZES)
TIERS = st.sampled_from([None, "low", "medium", "high"])
FORMATS = st.sampled_from(["png", "webp", "gif", "svg"])
IMAGES = st.lists(st.binary(max_size=2), max_size=3).map(lambda charge: tuple(map(upload, charge)))
WISHES = st.builds(
    spec,
    prompt=st.text(max_size=80),
    n=st.integers(1, 10),
    size=SIZES,
    tier=TIERS,
    output_format=FORMATS,
    frame_count=st.one_of(st.none(), st.integers(2, 16)),
    references=IMAGES,
    mask=st.one_of(st.none(), st.builds(upload)),
    steps=st.one_of(st.none(), st.integers(1, 50)),
)
PAID = st.sampled_from([BY_GRID, BY_AREA, BY_IMAGE, replace(BY_GRID, rates=WRITING)])


@given(request_spec=WISHES, partials=st.integers(0, 3), chance=st.data())
def test_no_count_within_the_physical_bounds_costs_more_than_the_quote(
    request_spec: Spec, partials: int, chance: st.DataObject
) -> None:
    size = request_spec.size or chance.draw(FREE_SIZES)
    tier = request_spec.tier or chance.draw(st.sampled_from(["low", "medium", "high"]))
    frames = chance.draw(st.integers(1, request_spec.frame_count or 16)) if request_spec.output_format == "gif" else 1
    input_images = len(request_spec.references) + (request_spec.mask is not None)
    text_in = chance.draw(st.integers(0, request_spec.n * text_tokens(request_spec)))
    image_in = chance.draw(st.integers(0, request_spec.n * input_images * 2_200))
    drawn = GRID.output_tokens(tier, size) or 0
    usage = Usage(
        text_in=text_in,
        text_cached=chance.draw(st.integers(0, text_in)),
        image_in=image_in,
        image_cached=chance.draw(st.integers(0, image_in)),
        image_out=request_spec.n * (frames * drawn + 100 * chance.draw(st.integers(0, partials))),
    )

    charge = charged(request_spec, build_generation(usage=usage))

    assert charge.nano <= quote(request_spec, PAINTER, WAY, BY_GRID, partials)


@given(request_spec=WISHES, paid=PAID, tier=TIERS, size=st.one_of(st.none(), FREE_SIZES), chance=st.data())
def test_no_estimate_is_above_the_quote_or_nothing(
    request_spec: Spec, paid: Price, tier: str | None, size: Size | None, chance: st.DataObject
) -> None:
    count = chance.draw(st.integers(1, request_spec.n))
    generated = build_generation(*["fox"] * count, tier=request_spec.tier or tier, size=request_spec.size or size)

    assert 0 < charged(request_spec, generated, paid).nano <= quoted(request_spec, paid)


@given(request_spec=WISHES, size=FREE_SIZES, paid=PAID)
def test_a_size_left_open_is_quoted_at_no_less_than_any_size_on_offer(
    request_spec: Spec, size: Size, paid: Price
) -> None:
    assert quoted(replace(request_spec, size=None), paid) >= quoted(replace(request_spec, size=size), paid)


@given(request_spec=WISHES, choice=st.sampled_from(CLASSIC.choices), paid=st.sampled_from([BY_GRID, BY_TABLE, BY_AREA]))
def test_a_size_left_open_is_quoted_at_no_less_than_any_choice(request_spec: Spec, choice: Size, paid: Price) -> None:
    some = replace(PAINTER, sizes=CLASSIC)

    assert quote(replace(request_spec, size=None), some, WAY, paid) >= quote(
        replace(request_spec, size=choice), some, WAY, paid
    )


@given(request_spec=WISHES, paid=PAID)
def test_a_quote_grows_with_everything_that_is_asked_for(request_spec: Spec, paid: Price) -> None:
    low, medium, high, free = (
        quoted(replace(request_spec, tier=tier), paid) for tier in ("low", "medium", "high", None)
    )
    now = quoted(request_spec, paid)

    assert 0 < low <= medium <= high <= free
    assert quoted(replace(request_spec, n=request_spec.n + 1), paid) * request_spec.n == now * (request_spec.n + 1)
    assert quoted(replace(request_spec, prompt=request_spec.prompt + "x"), paid) >= now
    assert quoted(replace(request_spec, references=(*request_spec.references, upload())), paid) >= now
    assert quoted(replace(request_spec, steps=(request_spec.steps or 0) + 1), paid) >= now
    assert quoted(replace(request_spec, frame_count=16), paid) >= now
    assert quote(request_spec, PAINTER, WAY, paid, 3) >= now


@given(request_spec=WISHES, most=st.integers(1, 10))
def test_orders_side_by_side_are_quoted_at_what_the_request_is(request_spec: Spec, most: int) -> None:
    painter = replace(PAINTER, routes=(route(prices=(BY_GRID,), max_n=most),))
    (plan,) = find_candidates(request_spec, painter, {"alpha"}, TODAY).plans
    parts = [quote(order, painter, plan.route, plan.price) for order in upstream_specs(request_spec, plan)]

    assert sum(parts) == quote(request_spec, painter, plan.route, plan.price)
