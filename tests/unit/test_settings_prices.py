"""The prices in the catalog's file: read to the nano-dollar, and refused where they would leave something unpriced."""

from datetime import date
from pathlib import Path

import pytest

from service.domain.image_spec import Size
from service.domain.pricing import current_price
from service.settings.yaml_file import SettingsError
from tests.fakes.builders import SQUARE
from tests.fakes.models_yaml import YAML, reading


def test_prices_are_read_in_nano_dollars_with_their_origin(tmp_path: Path) -> None:
    alpha, beta, _ = reading(tmp_path, YAML).models["painter"].routes
    tokens, letter = alpha.prices
    (area,) = beta.prices

    assert tokens.rates is not None
    assert (tokens.rates.text_in, tokens.rates.image_out, tokens.rates.text_cached) == (5000, 30_000, 1250)
    assert (tokens.rates.image_cached, tokens.rates.text_out) == (tokens.rates.image_in, 0)
    assert (tokens.tokens.output_tokens("low", SQUARE), tokens.tokens.output_tokens("high", SQUARE)) == (196, 7024)
    assert (tokens.tokens.image_in_per_reference, tokens.tokens.text_out_per_image) == (2200, 0)
    assert (tokens.version, tokens.source, tokens.read_on) == ("tokens@2026-01-01", "a list", date(2026, 11, 20))
    assert (letter.per_image, letter.per_megapixel, letter.rates) == (50_000_000, None, None)
    assert (area.per_megapixel, area.default_steps, area.per_image) == (30_000_000, 28, None)
    assert (tokens.approximate, letter.approximate, area.approximate) == (False, False, True)
    assert current_price(alpha.prices, date(2027, 1, 1)) is letter


def test_a_table_is_read_by_tier_and_size(tmp_path: Path) -> None:
    (listed,) = reading(tmp_path, YAML).models["sketcher"].routes[0].prices

    assert listed.rates is not None
    assert (listed.rates.text_cached, listed.rates.text_out) == (2000, 10_000)
    assert listed.tokens.table == {"fine": {SQUARE: 4160, Size(1536, 1024): 6208}}
    assert listed.tokens.text_out_per_image == 1000


FIRST, LISTED, SOLD = "$.prices.tokens[0]", "$.prices.listed[0]", "$.models.sketcher.routes[0].price"
TOKENS = "'tokens@2026-01-01' has no"
PRICES = "  area:\n    - { effective: 2026-01-01,"

WRONG = [
    ("text_in: 5", "text_in: .nan", "$.prices.tokens[0].per_million_tokens.text_in", "NaN is not an amount"),
    ("text_in: 5", "text_in: -5", "$.prices.tokens[0].per_million_tokens.text_in", "-5 is not an amount"),
    ("text_in: 5", "text_in: 0.0001", "$.prices.tokens[0].per_million_tokens.text_in", "0.0001 is finer than"),
    ("text_in: 5", "txt_in: 5", "$.prices.tokens[0].per_million_tokens", "unknown field `txt_in`"),
    ("text_in: 5, ", "", "$.prices.tokens[0].per_million_tokens", "missing required field `text_in`"),
    ("low: 16", "low: 0", "$.prices.tokens[0].grid.low", "0 is not a number between 1 and 1000000"),
    ("low: 16", "low: -16", "$.prices.tokens[0].grid.low", "-16 is not a number between 1 and 1000000"),
    ("low: 16", "low: 1000001", "$.prices.tokens[0].grid.low", "1000001 is not a number between 1 and 1000000"),
    ("low: 16", "low: 1.5", "$.prices.tokens[0].grid[...]", "Expected `int`, got `float`"),
    ("low: 16", "low: .nan", "$.prices.tokens[0].grid[...]", "Expected `int`, got `float`"),
    ("low: 16", "low: .inf", "$.prices.tokens[0].grid[...]", "Expected `int`, got `float`"),
    ("low: 16", "low: 1e309", "$.prices.tokens[0].grid[...]", "Expected `int`, got `float`"),
    (
        "low: 16, high: 96",
        "high: 96",
        "$.models.painter.routes[0].price",
        f"{TOKENS} grid and no table for the tier 'low'",
    ),
    ("      grid: { low: 16, high: 96 }\n", "", "$.models.painter.routes[0].price", "no table for the tier 'low'"),
    ("tiers: [low, high]", "tiers: [low, high, ultra]", "$.models.painter.routes[0].price", "for the tier 'ultra'"),
    (
        "image_in_per_reference: 2200",
        "image_in_per_reference: -1",
        f"{FIRST}.image_in_per_reference",
        "Expected `int` >= 1",
    ),
    (
        "image_in_per_reference: 2200",
        "image_in_per_reference: 0",
        f"{FIRST}.image_in_per_reference",
        "Expected `int` >= 1",
    ),
    (
        "image_in_per_reference: 2200",
        "image_in_per_reference: .nan",
        f"{FIRST}.image_in_per_reference",
        "Expected `int",
    ),
    (
        "image_in_per_reference: 2200",
        "image_in_per_reference: 1e309",
        f"{FIRST}.image_in_per_reference",
        "Expected `int",
    ),
    (
        "      image_in_per_reference: 2200\n",
        "",
        "$.models.painter.routes[0].price",
        f"{TOKENS} image_in_per_reference",
    ),
    (
        "per_reference: 2200",
        "per_reference: 1\n      approximate: true",
        f"{FIRST}.approximate",
        "the vendor counts tokens",
    ),
    ("text_out_per_image: 1000", "text_out_per_image: 0", f"{LISTED}.text_out_per_image", "Expected `int` >= 1"),
    ("text_out_per_image: 1000", "text_out_per_image: -1", f"{LISTED}.text_out_per_image", "Expected `int` >= 1"),
    ("      text_out_per_image: 1000\n", "", f"{LISTED}.text_out_per_image", "a bound of at least 1"),
    ("text_out: 10", "text_out: .inf", f"{LISTED}.per_million_tokens.text_out", "Infinity is not an amount"),
    ("text_in: 2,", "text_in: 2, text_cached: -1,", f"{LISTED}.per_million_tokens.text_cached", "-1 is not an amount"),
    ("text_in: 2,", "text_in: 2, image_cached: .nan,", f"{LISTED}.per_million_tokens.image_cached", "NaN is not an"),
    ("1024x1024: 4160", "1024x1024: -1", f"{LISTED}.table.fine.1024x1024", "-1 is not a number between 1 and 1000000"),
    (
        "1024x1024: 4160",
        "1024x1024: 1000001",
        f"{LISTED}.table.fine.1024x1024",
        "1000001 is not a number between 1 and 1000000",
    ),
    ("1024x1024: 4160", "square: 4160", f"{LISTED}.table.fine", "Invalid size 'square'."),
    ("{ 1024x1024: 4160, 1536x1024: 6208 }", "{}", f"{LISTED}.table.fine", "a table needs at least one size"),
    (", 1536x1024: 6208", "", SOLD, "'listed@2026-01-01' has no tokens for the tier 'fine' at 1536x1024"),
    ("table: { fine", "table: { coarse", SOLD, "no grid and no table for the tier 'fine'"),
    ("    sizes: classic\n", "    sizes: free\n", SOLD, "grid for the tier 'fine': a table needs sizes with choices"),
    (
        "table: { fine",
        "grid: { fine: 16 }\n      table: { fine",
        f"{LISTED}.table.fine",
        "this tier has a grid already",
    ),
    (
        "per_image: 0.05",
        "per_image: 1, grid: { low: 1 }",
        "$.prices.tokens[1].grid",
        "goes with per_million_tokens only",
    ),
    (
        "per_image: 0.05",
        "per_image: 1, default_steps: 1",
        "$.prices.tokens[1].default_steps",
        "goes with per_megapixel",
    ),
    ("per_image: 0.05", "per_image: 1e-30", "$.prices.tokens[1].per_image", "is finer than"),
    (", per_megapixel: 0.03", "", "$.prices.area[0]", "exactly one of per_million_tokens"),
    (", approximate: true", ", approximate: perhaps", "$.prices.area[0].approximate", "Expected `bool`, got `str`"),
    ("per_image: 0.05", "per_image: -0.05", "$.prices.tokens[1].per_image", "-0.05 is not an amount"),
    ("per_image: 0.05", "per_image: 1e309", "$.prices.tokens[1].per_image", "Infinity is not an amount"),
    ("per_image: 0.05", "per_image: .inf", "$.prices.tokens[1].per_image", "Infinity is not an amount"),
    ("per_image: 0.05", "per_image: .nan", "$.prices.tokens[1].per_image", "NaN is not an amount"),
    ("per_image: 0.05", "per_image: 1000001", "$.prices.tokens[1].per_image", "1000001 is not an amount"),
    ("per_image: 0.05", "per_image: cheap", "$.prices.tokens[1].per_image", "Invalid decimal string"),
    ("per_image: 0.05", "per_image: true", "$.prices.tokens[1].per_image", "Expected `decimal | null`, got"),
    (", per_image: 0.05", "", "$.prices.tokens[1]", "exactly one of per_million_tokens, per_image and per_megapixel"),
    ("per_image: 0.05", "per_image: 1, per_megapixel: 1", "$.prices.tokens[1]", "exactly one of per_million_tokens"),
    ("per_megapixel: 0.03", "per_megapixel: -1", "$.prices.area[0].per_megapixel", "-1 is not an amount"),
    ("default_steps: 28", "default_steps: 0", "$.prices.area[0].default_steps", "Expected `int` >= 1"),
    ("effective: 2027-01-01", "effective: 2026-01-01", "$.prices.tokens", "two versions take effect on the same day"),
    ("effective: 2027-01-01", "effective: soon", "$.prices.tokens[1].effective", "Invalid RFC3339"),
    ("effective: 2027-01-01", "effective: 2027-02-29", "line 16, column 20", "day is out of range for month"),
    ("source: a letter, ", "", "$.prices.tokens[1]", "Object missing required field `source`"),
    (PRICES, PRICES.replace("2026", "2027"), "$.prices.area", "no version is in effect yet"),
    ("words: []\nprices:", "words: []\nprices:\n  gratis: []", "$.prices.gratis", "no version is in effect yet"),
]


@pytest.mark.parametrize(("right", "wrong", "place", "reason"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_value_stops_the_start_with_its_place(
    tmp_path: Path, right: str, wrong: str, place: str, reason: str
) -> None:
    assert YAML.count(right) == 1

    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, YAML.replace(right, wrong))

    assert str(refused.value).startswith(f"{tmp_path / 'models.yaml'}: {place}: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize("tiers", ["", "    tiers: [fine]\n"])
def test_every_size_on_offer_needs_its_tokens_whatever_the_tiers_are_called(tmp_path: Path, tiers: str) -> None:
    untiered = YAML.replace("    tiers: [fine]\n", tiers)

    assert reading(tmp_path, untiered).models["sketcher"].tiers == (("fine",) if tiers else ())
    with pytest.raises(SettingsError, match="no tokens for the tier 'fine' at 1536x1024"):
        reading(tmp_path, untiered.replace(", 1536x1024: 6208", ""))


def test_a_model_without_tiers_needs_some_count_of_tokens(tmp_path: Path) -> None:
    bare = YAML.replace("    tiers: [fine]\n", "").replace("      table: { fine", "      # table: { fine")

    with pytest.raises(SettingsError, match="'listed@2026-01-01' has no grid and no table"):
        reading(tmp_path, bare)


def test_a_version_that_takes_effect_later_must_cover_everything_too(tmp_path: Path) -> None:
    later = (
        "per_million_tokens: { text_in: 5, image_in: 8, image_out: 30 }, image_in_per_reference: 1, grid: { low: 16 }"
    )

    with pytest.raises(SettingsError, match="'tokens@2027-01-01' has no grid and no table for the tier 'high'"):
        reading(tmp_path, YAML.replace("per_image: 0.05", later))


def test_steps_that_a_route_carries_need_their_default(tmp_path: Path) -> None:
    stepped = YAML.replace("words: []", "words: [steps]").replace(
        "fields: [quality, image]", "fields: [quality, image, steps]"
    )

    reading(tmp_path, stepped)
    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, stepped.replace(", default_steps: 28", ""))

    assert "$.models.painter.routes[1].price: 'area@2026-01-01' has no default_steps" in str(refused.value)


def test_the_sandbox_sells_at_the_first_routes_price_only_what_that_covers(tmp_path: Path) -> None:
    narrow = YAML.replace(
        "carries: all, formats: [png, jpeg], price: tokens", "carries: words, formats: [png, jpeg], price: tokens"
    )

    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, narrow.replace("      image_in_per_reference: 2200\n", ""))

    assert "$.models.painter.routes[0].price: 'tokens@2026-01-01' has no image_in_per_reference" in str(refused.value)


def test_a_price_may_be_nothing_if_it_says_so(tmp_path: Path) -> None:
    _, letter = reading(tmp_path, YAML.replace("per_image: 0.05", "per_image: 0")).models["painter"].routes[0].prices

    assert letter.per_image == 0
