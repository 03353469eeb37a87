"""Teams and the digests of their keys, and every mistake that can be made with them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from service.domain.teams import Key, Team, digest_of
from service.settings.files import SettingsError
from service.settings.models import read_catalog
from service.settings.teams import read_keys
from tests.fakes.builders import TODAY, catalog, model

CONFIG = Path(__file__).parents[2] / "config"
CATALOG = catalog(model(aliases=("artist",)), model(id="sketcher", tiers=("low", "xhigh")))
ONE, TWO = digest_of("one"), digest_of("two")

YAML = f"""\
teams:
  search:
    models: [painter]
    tiers: [low, xhigh]
    keys:
      - {{ id: search-1, sha256: "{ONE}" }}
  ads.eu_2:
    keys:
      - {{ id: ads-1, sha256: "{TWO}" }}
  idle: {{}}
"""


def reading(folder: Path, text: str) -> Mapping[str, Key]:
    file = folder / "teams.yaml"
    file.write_text(text)
    return read_keys(file, CATALOG)


def test_keys_are_found_by_digest_and_know_their_team(tmp_path: Path) -> None:
    search = Team(name="search", models=frozenset({"painter"}), tiers=frozenset({"low", "xhigh"}))

    assert reading(tmp_path, YAML) == {
        ONE: Key(id="search-1", team=search, digest=ONE),
        TWO: Key(id="ads-1", team=Team(name="ads.eu_2"), digest=TWO),
    }


@pytest.mark.parametrize("text", ["{}\n", "teams: {}\n", "teams: {idle: {}}\n"])
def test_there_may_be_no_keys(tmp_path: Path, text: str) -> None:
    assert reading(tmp_path, text) == {}


def test_the_shipped_file_is_accepted() -> None:
    assert read_keys(CONFIG / "teams.yaml", read_catalog(CONFIG / "models.yaml", TODAY)) == {}


NAMED = "is 1 to 63 letters, digits, dots, dashes and underscores"

WRONG = [
    ("models: [painter]", "models: [drawer]", "$.teams.search.models", "'drawer' is not in models.yaml"),
    ("models: [painter]", "models: [artist]", "$.teams.search.models", "'artist' is not in models.yaml"),
    ("models: [painter]", "model: painter", "$.teams.search", "Object contains unknown field `model`"),
    ("models: [painter]", "models: painter", "$.teams.search.models", "Expected `array`, got `str`"),
    ("tiers: [low, xhigh]", "tiers: [ultra]", "$.teams.search.tiers", "'ultra' is not in models.yaml"),
    ("search-1", "ads-1", "$.teams.ads.eu_2.keys[0]", "key 'ads-1' stands twice"),
    (TWO, ONE, "$.teams.ads.eu_2.keys[0]", "key 'ads-1' stands twice"),
    (ONE, ONE[:-1], "$.teams.search.keys[0].sha256", "not a SHA-256 digest: 64 lower-case hex digits"),
    (ONE, ONE.upper(), "$.teams.search.keys[0].sha256", "not a SHA-256 digest"),
    (ONE, "sk-plain", "$.teams.search.keys[0].sha256", "not a SHA-256 digest"),
    (f'"{ONE}"', "0" * 64, "$.teams.search.keys[0].sha256", "Expected `str`, got `int`"),
    (f', sha256: "{ONE}"', "", "$.teams.search.keys[0]", "Object missing required field `sha256`"),
    ("search-1", '"-search"', "$.teams.search.keys[0].id", NAMED),
    ("search-1", '""', "$.teams.search.keys[0].id", NAMED),
    ("search-1", "x" * 64, "$.teams.search.keys[0].id", NAMED),
    ("  search:", "  se arch:", "$.teams.se arch", NAMED),
    ("  search:", f"  {'x' * 64}:", f"$.teams.{'x' * 64}", NAMED),
    ("  search:", "  ads.eu_2:", "line 7, column 3", 'found duplicate key "ads.eu_2"'),
    ("  search:", "  7:", "$", "Expected `str`, got `int` - at `key` in `$.teams`"),
    ("  idle: {}", "  idle:", "$.teams.idle", "Expected `object`, got `null`"),
    ("teams:", "team:", "$", "Object contains unknown field `team`"),
    (YAML, "teams:", "$.teams", "Expected `object`, got `null`"),
    (YAML, "", "$", "Expected `object`, got `null`"),
]


@pytest.mark.parametrize(("right", "wrong", "place", "reason"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_value_stops_the_start_with_its_place(
    tmp_path: Path, right: str, wrong: str, place: str, reason: str
) -> None:
    assert YAML.count(right) == 1

    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, YAML.replace(right, wrong))

    assert str(refused.value).startswith(f"{tmp_path / 'teams.yaml'}: {place}: ")
    assert reason in str(refused.value)
