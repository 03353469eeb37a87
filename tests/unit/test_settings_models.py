"""The catalog's file: read as it is meant, and refused with file, place and reason where it is wrong."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from service.domain.catalog import Policy, ReferencesAs, SizeAs, SizeRule, check_spec
from service.domain.errors import InvalidValue, ModelNotFound
from service.domain.image_spec import REQUIRED_FEATURES, Size
from service.domain.routing import SANDBOX, find_candidates
from service.domain.team_access import Team
from service.settings.models import read_catalog
from service.settings.yaml_file import SettingsError
from tests.fakes.backends import FakeBackend
from tests.fakes.builders import KEY, SQUARE, TODAY, build_generation, caller, spec
from tests.fakes.gateway import images_from
from tests.fakes.models_yaml import YAML, reading

SHIPPED = Path(__file__).parents[2] / "config" / "models.yaml"


def test_a_model_is_read_with_all_that_it_refers_to(tmp_path: Path) -> None:
    catalog = reading(tmp_path, YAML)
    painter = catalog.models["painter"]

    assert (catalog.default_model, list(catalog.models)) == ("painter", ["painter", "sketcher"])
    assert (painter.id, painter.owned_by, painter.created) == ("painter", "us", date(2026, 1, 1))
    assert painter.sizes == SizeRule(
        multiple_of=16, max_edge=3840, min_pixels=1024, max_ratio=65_536, max_pixels=1_000_000_000
    )
    assert (painter.tiers, painter.formats, painter.aliases) == (("low", "high"), ("png", "jpeg"), ("artist",))
    assert (painter.fields, painter.max_references) == (frozenset({"quality", "image"}), 4)
    assert (painter.shutdown_date, painter.successor) == (date(2027, 6, 1), "sketcher")
    assert catalog.models["sketcher"].sizes.choices == (Size(1024, 1024), Size(1536, 1024))
    assert (catalog.retired["scribbler"].since, catalog.retired["scribbler"].successor) == (
        date(2025, 1, 1),
        "painter",
    )


def test_a_route_is_read_with_all_that_it_refers_to(tmp_path: Path) -> None:
    alpha, beta, _ = reading(tmp_path, YAML).models["painter"].routes

    assert (alpha.backend, alpha.model, alpha.max_n, alpha.sizes) == ("alpha", "alpha/painter", 2, None)
    assert alpha.carries == {"quality", "image"}
    assert alpha.formats == beta.formats | {"jpeg"} == {"png", "jpeg"}
    assert (alpha.size_as, alpha.references_as) == (SizeAs.PIXELS, ReferencesAs.PARTS)
    assert (beta.size_as, beta.references_as) == (SizeAs.ASPECT_RATIO, ReferencesAs.IMAGE_URL)
    assert beta.sizes is not None
    assert beta.sizes.choices == (Size(1024, 1024), Size(1536, 1024))


def test_how_a_model_is_routed_is_read(tmp_path: Path) -> None:
    edited = YAML.replace("max_n: 2 }", "max_n: 2, weight: 3 }").replace(
        "sizes: classic, size_as", "sizes: classic, delivers: high, size_as"
    )
    models = reading(
        tmp_path, edited.replace("    tiers: [low, high]", "    tiers: [low, high]\n    policy: weighted")
    ).models
    alpha, beta, _ = models["painter"].routes

    assert (models["painter"].policy, models["sketcher"].policy) == (Policy.WEIGHTED, Policy.PRIORITY)
    assert (alpha.weight, beta.weight, alpha.delivers, beta.delivers) == (3, 1, None, "high")


LAST = "sizes: classic, size_as"


@pytest.mark.parametrize(
    ("right", "wrong", "place", "reason"),
    [
        ("max_n: 2 }", "max_n: 2, weight: -1 }", "routes[0].weight", "Expected `int` >= 0"),
        ("max_n: 2 }", "max_n: 2, weight: 1000001 }", "routes[0].weight", "Expected `int` <= 1000000"),
        ("max_n: 2 }", "max_n: 2, weight: 0.5 }", "routes[0].weight", "Expected `int`, got `float`"),
        ("max_n: 2 }", "max_n: 2, delivers: low }", "routes[0].delivers", "the route carries quality"),
        (LAST, f"delivers: ultra, {LAST}", "routes[1].delivers", "'ultra' is no tier of the model; it has low, high"),
        ("tiers: [low, high]", "policy: dearest", "policy", "Invalid enum value 'dearest'"),
        ("fields: []", "fields: []\n    policy: fair", "policy", "Invalid enum value 'fair'"),
    ],
)
def test_a_wrong_way_to_route_stops_the_start(tmp_path: Path, right: str, wrong: str, place: str, reason: str) -> None:
    model = "sketcher" if right == "fields: []" else "painter"
    assert YAML.count(right) == 1

    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, YAML.replace(right, wrong))

    assert str(refused.value).startswith(f"{tmp_path / 'models.yaml'}: $.models.{model}.{place}: ")
    assert reason in str(refused.value)


def test_a_model_without_tiers_delivers_none(tmp_path: Path) -> None:
    untiered = YAML.replace("    tiers: [fine]\n", "").replace("price: listed", "price: listed, delivers: fine")

    with pytest.raises(
        SettingsError, match=r"sketcher\.routes\[0\]\.delivers: 'fine' is no tier of the model; it has none"
    ):
        reading(tmp_path, untiered)


def test_a_weighted_model_needs_a_weight_above_0(tmp_path: Path) -> None:
    weighted = YAML.replace("fields: []", "fields: []\n    policy: weighted")

    assert reading(tmp_path, weighted).models["sketcher"].policy is Policy.WEIGHTED
    with pytest.raises(
        SettingsError, match=r"\$\.models\.sketcher\.routes: policy weighted needs a route with a weight"
    ):
        reading(tmp_path, weighted.replace("price: listed", "price: listed, weight: 0"))


def test_a_route_may_lead_to_a_backend_that_is_off_or_unknown(tmp_path: Path) -> None:
    painter = reading(tmp_path, YAML).models["painter"]

    candidates = find_candidates(spec(), painter, {"beta"}, TODAY)

    assert [plan.route.backend for plan in candidates.plans] == ["beta"]
    assert candidates.rejected[0].error.message == "The backend 'alpha' is not switched on."


def test_every_model_can_be_drawn_in_the_sandbox_at_the_price_of_its_first_route(tmp_path: Path) -> None:
    alpha, _, sandbox = reading(tmp_path, YAML).models["painter"].routes

    assert (sandbox.backend, sandbox.model, sandbox.prices) == (SANDBOX, "painter", alpha.prices)
    assert (sandbox.carries, sandbox.formats) == (frozenset(REQUIRED_FEATURES), alpha.formats)
    assert sandbox.max_references == 4


WRONG = [
    ("default_model: painter", "default_model: unknown", "$.default_model", "'unknown' is not defined; defined are"),
    ("default_model: painter", "default_model: artist", "$.default_model", "'artist' is not defined; defined are"),
    ("default_model: painter\n", "", "$", "Object missing required field `default_model`"),
    ("retired:", "retierd:", "$", "Object contains unknown field `retierd`"),
    ("  words: []", "  words: []\n  words: []", "line 8, column 3", 'found duplicate key "words"'),
    ("multiple_of: 16", "multiple_of: 0", "$.sizes.free.multiple_of", "Expected `int` >= 1"),
    ("multiple_of: 16", "min_edge: -1", "$.sizes.free.min_edge", "Expected `int` >= 1"),
    ("max_edge: 3840", "max_edge: 0", "$.sizes.free.max_edge", "Expected `int` >= 1"),
    ("max_edge: 3840", "max_ratio: 0", "$.sizes.free.max_ratio", "Expected `int` >= 1"),
    ("max_edge: 3840", "max_edge: .nan", "$.sizes.free.max_edge", "Expected `int`, got `float`"),
    ("max_edge: 3840", "max_egde: 3840", "$.sizes.free", "Object contains unknown field `max_egde`"),
    ("min_pixels: 1024", "min_pixels: 0", "$.sizes.free.min_pixels", "Expected `int` >= 1"),
    ("min_pixels: 1024", "max_pixels: 0", "$.sizes.free.max_pixels", "Expected `int` >= 1"),
    ("[1024x1024, 1536x1024]", "[1024]", "$.sizes.classic.choices[0]", "Expected `str`, got `int`"),
    ("[1024x1024, 1536x1024]", "[wide]", "$.sizes.classic.choices", "Invalid size 'wide'."),
    ("all: [quality, image]", "all: [qualty]", "$.carries.all", "unknown field 'qualty'; known are background, "),
    ("all: [quality, image]", "all: quality", "$.carries.all", "Expected `array`, got `str`"),
    ("price: tokens", "price: token", "$.models.painter.routes[0].price", "'token' is not defined; defined are area, "),
    (", price: tokens", "", "$.models.painter.routes[0]", "Object missing required field `price`"),
    ("carries: all", "carries: al", "$.models.painter.routes[0].carries", "'al' is not defined; defined are all"),
    ("sizes: classic, ", "sizes: x, ", "$.models.painter.routes[1].sizes", "'x' is not defined; defined are classic"),
    ("sizes: free", "sizes: fre", "$.models.painter.sizes", "'fre' is not defined; defined are classic, free"),
    ("backend: beta", "backend: sandbox", "$.models.painter.routes[1].backend", "every model has a sandbox route"),
    ("max_n: 2", "max_n: 0", "$.models.painter.routes[0].max_n", "Expected `int` >= 1"),
    ("max_n: 2", "max_n: 1e309", "$.models.painter.routes[0].max_n", "Expected `int`, got `float`"),
    ("max_n: 2", "max_references: -1", "$.models.painter.routes[0].max_references", "Expected `int` >= 0"),
    ("size_as: aspect_ratio", "size_as: inches", "$.models.painter.routes[1].size_as", "Invalid enum value 'inches'"),
    ("as: image_url", "as: post", "$.models.painter.routes[1].references_as", "Invalid enum value 'post'"),
    ("fields: [quality, image]", "fields: [style]", "$.models.painter.fields", "unknown field 'style'; known are"),
    ("max_references: 4", "max_references: -1", "$.models.painter.max_references", "Expected `int` >= 0"),
    ("max_references: 4", "max_n: 0", "$.models.painter.max_n", "Expected `int` >= 1"),
    ("tiers: [low, high]", "tiers: low", "$.models.painter.tiers", "Expected `array`, got `str`"),
    ("tiers: [low, high]", "teirs: [low]", "$.models.painter", "Object contains unknown field `teirs`"),
    ("[artist]", "[sketcher]", "$.models.painter.aliases", "'sketcher' is taken by another model"),
    ("[artist]", "[artist, artist]", "$.models.painter.aliases", "'artist' is taken by another model, which does not"),
    ("successor: sketcher", "successor: drawer", "$.models.painter.successor", "'drawer' is not defined"),
    ("successor: painter", "successor: artist", "$.retired.scribbler.successor", "'artist' is not defined"),
    ("since: 2025-01-01, ", "", "$.retired.scribbler", "Object missing required field `since`"),
    (
        YAML[YAML.index("      - { backend: alpha, model: alpha/sk") :],
        "      []\n",
        "$.models.sketcher.routes",
        "one route",
    ),
    (YAML, "", "$", "is empty"),
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


def test_the_shipped_file_is_accepted() -> None:
    catalog = read_catalog(SHIPPED, TODAY)

    assert catalog.get(None, TODAY).id == "gpt-image-2"
    assert {model.id for model in catalog.available(TODAY)} == set(catalog.models)
    for model in catalog.models.values():
        backends = {route.backend for route in model.routes}
        plans = find_candidates(spec(model=model.id), model, backends, TODAY).plans
        assert SANDBOX not in {plan.route.backend for plan in plans}
        assert find_candidates(spec(model=model.id), model, {SANDBOX}, TODAY).plans


@pytest.mark.parametrize(
    ("name", "successor"),
    [
        ("gpt-image-1.5", "gpt-image-2"),
        ("openai/gpt-image-1.5", "gpt-image-2"),
        ("gpt-image-1-mini", "gpt-image-2.5-flare"),
        ("chatgpt-image-latest", "gpt-image-2"),
    ],
)
def test_models_that_end_in_december_serve_until_then_and_name_their_successor(name: str, successor: str) -> None:
    eve, end = date(2026, 11, 30), date(2026, 12, 1)

    assert read_catalog(SHIPPED, eve).get(name, eve).successor == successor
    with pytest.raises(ModelNotFound) as refused:
        read_catalog(SHIPPED, end).get(name, end)

    assert refused.value.message == f"The model '{name}' was shut down on 2026-12-01. Use '{successor}' instead."


@pytest.mark.parametrize("name", ["gpt-image-1", "dall-e-2", "dall-e-3"])
def test_models_that_are_gone_name_their_successor(name: str) -> None:
    with pytest.raises(ModelNotFound, match=r"was shut down on 2026-.* Use 'gpt-image-2' instead\."):
        read_catalog(SHIPPED, TODAY).get(name, TODAY)


def test_a_new_model_with_a_new_tier_is_an_edit_of_models_yaml_only(tmp_path: Path) -> None:
    shipped = SHIPPED.read_text("utf-8")
    price = """
  gpt-image-3:
    - effective: 2026-11-20
      source: https://example.com/prices
      read: 2026-11-20
      per_million_tokens: { text_in: 5, image_in: 8, image_out: 30 }
      grid: { low: 16, ultra: 128 }
"""
    newest = """
  gpt-image-3:
    owned_by: openai
    created: 2026-11-20
    sizes: free
    tiers: [low, ultra]
    formats: [png, jpeg, webp]
    fields: [quality]
    routes:
      - { backend: openai, model: gpt-image-3, carries: gpt-image-2, formats: [png, jpeg, webp], price: gpt-image-3 }
"""
    edited = shipped.replace("\nprices:\n", f"\nprices:{price}").replace("\nmodels:\n", f"\nmodels:{newest}")

    catalog = reading(tmp_path, edited)
    request_spec = spec(model="gpt-image-3", tier="ultra", size=SQUARE)
    model = catalog.get("gpt-image-3", TODAY)
    check_spec(request_spec, model)
    (plan,) = find_candidates(request_spec, model, {"openai", SANDBOX}, TODAY).plans

    assert (plan.route.model, plan.price.version) == ("gpt-image-3", "gpt-image-3@2026-11-20")
    assert plan.price.tokens.output_tokens("ultra", SQUARE) == 12_487
    with pytest.raises(InvalidValue, match="'ultra'"):
        check_spec(spec(tier="ultra"), catalog.get("gpt-image-2", TODAY))


async def test_a_new_tier_reaches_the_backend(tmp_path: Path) -> None:
    edited = YAML.replace("tiers: [low, high]", "tiers: [low, high, ultra]").replace("high: 96", "high: 96, ultra: 128")
    alpha, key = FakeBackend(build_generation()), replace(KEY, team=Team(name="search", tiers=frozenset({"ultra"})))
    request_spec = spec(tier="ultra", size=SQUARE)

    made = await images_from({"alpha": alpha})(request_spec, caller(key=key), reading(tmp_path, edited))

    assert (made.result.upstream_model, [order.spec.tier for order in alpha.requests]) == ("alpha/painter", ["ultra"])


def test_the_commented_aliases_make_retired_names_work(tmp_path: Path) -> None:
    """Chat front ends ask for names that they have built in; the line stands ready for them."""
    file, comment = tmp_path / "models.yaml", "    aliases: [openai/gpt-image-2]\n    # aliases: "
    text = SHIPPED.read_text()
    assert text.count(comment) == 1
    file.write_text(text.replace(comment, "    aliases: "))
    for name in ("gpt-image-1", "dall-e-3", "openai/gpt-image-2"):
        assert read_catalog(file, TODAY).get(name, TODAY).id == "gpt-image-2"
    with pytest.raises(ModelNotFound, match="Use 'gpt-image-2' instead"):
        read_catalog(SHIPPED, TODAY).get("gpt-image-1", TODAY)
