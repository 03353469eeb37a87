"""The vendor's token arithmetic and prices, against every number that is published or was seen."""

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.catalog import Catalog
from service.domain.image_spec import Size
from service.domain.pricing import Price, TokenRates, Tokens, current_price, grid_bound, grid_tokens
from service.settings.models import read_catalog
from tests.fakes.builders import SQUARE, TODAY, price

SHIPPED = Path(__file__).parents[2] / "config" / "models.yaml"

COLUMNS = {
    "low": [("gpt-image-2", "low"), ("gpt-image-2.5-flare", "low"), ("gpt-image-2.5-sunburst", "low")],
    "2.5 medium": [("gpt-image-2.5-flare", "medium"), ("gpt-image-2.5-sunburst", "medium")],
    "2 medium": [("gpt-image-2", "medium"), ("gpt-image-2.5-flare", "high"), ("gpt-image-2.5-sunburst", "high")],
    "xhigh": [("gpt-image-2.5-flare", "xhigh"), ("gpt-image-2.5-sunburst", "xhigh")],
    "2 high": [("gpt-image-2", "high"), ("gpt-image-2.5-flare", "max"), ("gpt-image-2.5-sunburst", "max")],
}

# Tokens, and US dollars at 30 a million in units of 0.00001, for each column above.
GOLDEN = {
    ("816x816",): ((171, 513), (384, 1152), (1536, 4608), (2730, 8190), (6143, 18429)),
    ("1024x768",): ((134, 402), (301, 903), (1204, 3612), (2140, 6420), (4815, 14445)),
    ("1024x1024",): ((196, 588), (439, 1317), (1756, 5268), (3122, 9366), (7024, 21072)),
    ("1536x1024", "1024x1536"): ((158, 474), (343, 1029), (1372, 4116), (2459, 7377), (5488, 16464)),
    ("2048x1152", "1152x2048"): ((157, 471), (367, 1101), (1413, 4239), (2511, 7533), (5650, 16950)),
    ("2560x1440",): ((205, 615), (478, 1434), (1843, 5529), (3276, 9828), (7370, 22110)),
    ("2048x2048",): ((397, 1191), (892, 2676), (3568, 10704), (6343, 19029), (14272, 42816)),
    ("3840x2160", "2160x3840"): ((371, 1113), (865, 2595), (3336, 10008), (5930, 17790), (13342, 40026)),
    ("3840x1280",): ((139, 417), (332, 996), (1328, 3984), (2324, 6972), (5311, 15933)),
    ("2880x2880",): ((659, 1977), (1483, 4449), (5930, 17790), (10542, 31626), (23719, 71157)),
}
CELLS = [
    (size, name, tier, tokens, hundred_thousandths)
    for sizes, row in GOLDEN.items()
    for size in sizes
    for column, (tokens, hundred_thousandths) in zip(COLUMNS.values(), row, strict=True)
    for name, tier in column
]


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    return read_catalog(SHIPPED, TODAY)


def openai_price(catalog: Catalog, name: str) -> tuple[TokenRates, Tokens]:
    """Rates and tokens of a model's way to OpenAI, as of today."""
    current_one = next(route for route in catalog.get(name, TODAY).routes if route.backend == "openai")
    current = current_price(current_one.prices, TODAY)
    assert current is not None
    assert current.rates is not None
    return current.rates, current.tokens


@pytest.mark.parametrize(("size", "name", "tier", "tokens", "hundred_thousandths"), CELLS)
def test_a_picture_takes_the_tokens_and_dollars_of_the_vendors_calculator(
    shipped: Catalog, size: str, name: str, tier: str, tokens: int, hundred_thousandths: int
) -> None:
    rates, counts = openai_price(shipped, name)

    assert counts.output_tokens(tier, Size.parse(size)) == tokens
    assert tokens * rates.image_out == hundred_thousandths * 10_000


OLDER = {
    ("low", "1024x1024"): 272,
    ("low", "1024x1536"): 408,
    ("low", "1536x1024"): 400,
    ("medium", "1024x1024"): 1056,
    ("medium", "1024x1536"): 1584,
    ("medium", "1536x1024"): 1568,
    ("high", "1024x1024"): 4160,
    ("high", "1024x1536"): 6240,
    ("high", "1536x1024"): 6208,
}


@pytest.mark.parametrize("name", ["gpt-image-1.5", "chatgpt-image-latest", "gpt-image-1-mini"])
@pytest.mark.parametrize(("tier", "size"), OLDER)
def test_older_models_take_the_tokens_of_the_vendors_table(shipped: Catalog, name: str, tier: str, size: str) -> None:
    _, counts = openai_price(shipped, name)

    assert counts.output_tokens(tier, Size.parse(size)) == OLDER[tier, size]


@pytest.mark.parametrize(
    ("tier", "size", "thousandths"),
    [
        ("low", "1024x1024", 9),
        ("low", "1024x1536", 13),
        ("low", "1536x1024", 13),
        ("medium", "1024x1024", 34),
        ("medium", "1024x1536", 50),
        ("medium", "1536x1024", 50),
        ("high", "1024x1024", 133),
        ("high", "1024x1536", 200),
        ("high", "1536x1024", 200),
    ],
)
def test_the_guides_dollars_for_1_5_follow_from_its_tokens(
    shipped: Catalog, tier: str, size: str, thousandths: int
) -> None:
    rates, counts = openai_price(shipped, "gpt-image-1.5")
    tokens = counts.output_tokens(tier, Size.parse(size))

    assert tokens is not None
    assert abs(tokens * rates.image_out - thousandths * 1_000_000) < 1_500_000  # the guide rounds loosely


@pytest.mark.parametrize(
    ("tier", "size", "ten_thousandths"),
    [
        ("low", "1024x1024", 22),
        ("medium", "1024x1024", 84),
        ("high", "1024x1024", 333),
    ],
)
def test_1_mini_is_billed_by_its_tokens_and_not_by_the_guides_table(
    shipped: Catalog, tier: str, size: str, ten_thousandths: int
) -> None:
    rates, counts = openai_price(shipped, "gpt-image-1-mini")
    tokens = counts.output_tokens(tier, Size.parse(size))

    assert tokens is not None
    assert abs(tokens * rates.image_out - ten_thousandths * 100_000) < 50_000


@pytest.mark.parametrize(
    ("tier", "size", "thousandths"),
    [
        ("low", "1024x1024", 6),
        ("low", "1024x1536", 5),
        ("low", "1536x1024", 5),
        ("medium", "1024x1024", 53),
        ("medium", "1024x1536", 41),
        ("medium", "1536x1024", 41),
        ("high", "1024x1024", 211),
        ("high", "1024x1536", 165),
        ("high", "1536x1024", 165),
    ],
)
def test_the_guides_dollars_for_2_follow_from_the_formula(
    shipped: Catalog, tier: str, size: str, thousandths: int
) -> None:
    rates, counts = openai_price(shipped, "gpt-image-2")
    tokens = counts.output_tokens(tier, Size.parse(size))

    assert tokens is not None
    assert abs(tokens * rates.image_out - thousandths * 1_000_000) <= 500_000


@pytest.mark.parametrize("name", ["gpt-image-1.5", "chatgpt-image-latest", "gpt-image-1-mini"])
@pytest.mark.parametrize(
    ("width", "height"), [(512, 512), (2048, 512), (511, 2048), (64, 64), (2048, 2048), (20_000, 300), (2049, 511)]
)
def test_a_reference_to_an_older_model_takes_no_more_than_its_bound(
    shipped: Catalog, name: str, width: int, height: int
) -> None:
    """The vendor scales down to fit 2048x2048, then to a short side of 512, and counts tiles of 512."""
    _, counts = openai_price(shipped, name)
    fit = min(1.0, 2048 / max(width, height))
    short = min(width, height) * fit
    scale = fit * min(1.0, 512 / short)
    tiles = -(-round(width * scale) // 512) * -(-round(height * scale) // 512)

    assert 65 + 129 * tiles + max(4160, 6240) <= counts.image_in_per_reference


@pytest.mark.parametrize("name", ["gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.6-sunburst"])
def test_a_reference_to_a_newer_model_takes_no_more_than_was_ever_seen(shipped: Catalog, name: str) -> None:
    _, counts = openai_price(shipped, name)

    assert counts.image_in_per_reference == 2200
    assert max(1450, 1840, 2200) <= counts.image_in_per_reference


def test_what_1_5_writes_beside_a_picture_is_bounded_above_what_was_seen(shipped: Catalog) -> None:
    _, counts = openai_price(shipped, "gpt-image-1.5")

    assert counts.text_out_per_image >= 209


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("gpt-image-2", (5000, 1250, 8000, 2000, 30_000, 0)),
        ("gpt-image-2-2026-04-21", (5000, 1250, 8000, 2000, 30_000, 0)),
        ("gpt-image-2.5-sunburst", (5000, 1250, 8000, 2000, 30_000, 0)),
        ("gpt-image-2.5-flare-2026-09-08", (5000, 1250, 8000, 2000, 30_000, 0)),
        ("gpt-image-2.6-sunburst", (5000, 1250, 8000, 2000, 30_000, 0)),
        ("gpt-image-2.6-flare", (5000, 1250, 8000, 2000, 30_000, 0)),
        ("gpt-image-1.5", (5000, 1250, 8000, 2000, 32_000, 10_000)),
        ("chatgpt-image-latest", (5000, 1250, 8000, 2000, 32_000, 10_000)),
        ("gpt-image-1-mini", (2000, 200, 2500, 250, 8000, 0)),
    ],
)
def test_tokens_cost_what_the_vendor_charges(shipped: Catalog, name: str, rates: tuple[int, ...]) -> None:
    current_one, _ = openai_price(shipped, name)

    assert rates == (
        *(current_one.text_in, current_one.text_cached),
        *(current_one.image_in, current_one.image_cached),
        *(current_one.image_out, current_one.text_out),
    )


def test_the_newest_family_is_quoted_at_four_times_the_tokens_where_the_vendor_is_silent() -> None:
    for older, newer in ((16, 32), (24, 48)):
        assert grid_tokens(newer, SQUARE) >= 4 * grid_tokens(older, SQUARE) - 4


EDGES = st.integers(1, 4000)


@given(grid=st.integers(1, 200), width=EDGES, height=EDGES)
def test_turning_a_picture_does_not_change_its_price(grid: int, width: int, height: int) -> None:
    assert grid_tokens(grid, Size(width, height)) == grid_tokens(grid, Size(height, width))


@given(grid=st.integers(1, 200), edge=EDGES)
def test_a_square_fills_the_whole_grid(grid: int, edge: int) -> None:
    assert (grid_tokens(grid, Size(edge, edge)) - 1) * 4_000_000 < grid * grid * (2_000_000 + edge * edge)
    assert grid_tokens(grid, Size(edge, edge)) * 4_000_000 >= grid * grid * (2_000_000 + edge * edge)


@given(grid=st.integers(1, 200), width=EDGES, height=EDGES, spare=st.integers(0, 1_000_000))
def test_no_shape_takes_more_than_the_bound_of_its_area(grid: int, width: int, height: int, spare: int) -> None:
    assert grid_tokens(grid, Size(width, height)) <= grid_bound(grid, width * height + spare)


@given(grid=st.integers(1, 200), edge=EDGES)
def test_a_square_reaches_the_bound_of_its_area(grid: int, edge: int) -> None:
    assert grid_tokens(grid, Size(edge, edge)) == grid_bound(grid, edge * edge)


@given(grid=st.integers(1, 200), width=EDGES, height=EDGES, frames=st.integers(2, 16))
def test_frames_one_by_one_take_no_less_than_any_sheet_of_them(grid: int, width: int, height: int, frames: int) -> None:
    assert frames * grid_bound(grid, width * height) >= grid_bound(grid, frames * width * height)


def test_a_bound_is_known_by_grid_or_table_or_not_at_all() -> None:
    known = Tokens(grid={"low": 16}, table={"high": {SQUARE: 5, Size(16, 16): 7}})

    assert (known.max_output_tokens("low", SQUARE.pixels), known.max_output_tokens("high", SQUARE.pixels)) == (196, 7)
    assert known.tiers == {"low", "high"}
    with pytest.raises(ValueError, match="empty"):
        known.max_output_tokens("ultra", SQUARE.pixels)


@pytest.mark.parametrize(
    ("tier", "size", "tokens"),
    [("low", SQUARE, 196), ("high", SQUARE, 5), ("high", Size(16, 16), None), ("ultra", SQUARE, None)],
)
def test_tokens_are_known_by_grid_or_table_or_not_at_all(tier: str, size: Size, tokens: int | None) -> None:
    known = Tokens(grid={"low": 16}, table={"high": {SQUARE: 5}})

    assert known.output_tokens(tier, size) == tokens


JANUARY, JUNE = date(2026, 1, 1), date(2026, 6, 1)
VERSIONS = (price(version="june", effective=JUNE), price(version="january", effective=JANUARY))


@pytest.mark.parametrize(
    ("day", "version"),
    [
        (date(2025, 12, 31), None),
        (JANUARY, "january"),
        (date(2026, 5, 31), "january"),
        (JUNE, "june"),
        (date(2030, 1, 1), "june"),
    ],
)
@pytest.mark.parametrize("versions", [VERSIONS, VERSIONS[::-1]])
def test_the_latest_version_in_effect_counts(day: date, version: str | None, versions: tuple[Price, ...]) -> None:
    current_one = current_price(versions, day)

    assert (current_one and current_one.version) == version


def test_without_versions_there_is_no_price() -> None:
    assert current_price((), TODAY) is None
