"""Teams and the digests of their keys, and every mistake that can be made with them."""

from pathlib import Path

import pytest

from service.domain.quota_limits import Limits
from service.domain.team_access import Key, Team, TeamDirectory, key_digest
from service.settings.models import read_catalog
from service.settings.teams import read_teams
from service.settings.yaml_file import SettingsError
from tests.fakes.builders import TODAY, catalog, model

CONFIG = Path(__file__).parents[2] / "config"
CATALOG = catalog(model(aliases=("artist",)), model(id="sketcher", tiers=("low", "xhigh")))
ONE, TWO = key_digest("one"), key_digest("two")

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


def reading(folder: Path, text: str) -> TeamDirectory:
    file = folder / "teams.yaml"
    file.write_text(text)
    return read_teams(file, CATALOG, {"alpha", "beta", "sandbox"})


def test_keys_are_found_by_digest_and_know_their_team(tmp_path: Path) -> None:
    search = Team(name="search", models=frozenset({"painter"}), tiers=frozenset({"low", "xhigh"}))

    ads, idle = Team(name="ads.eu_2"), Team(name="idle")
    assert reading(tmp_path, YAML) == TeamDirectory(
        teams={"search": search, "ads.eu_2": ads, "idle": idle},
        keys={ONE: Key(id="search-1", team=search, digest=ONE), TWO: Key(id="ads-1", team=ads, digest=TWO)},
    )


def test_a_team_is_pinned_to_backends_and_barred_from_others(tmp_path: Path) -> None:
    bound = reading(
        tmp_path, "teams: {search: {backends: [alpha, sandbox], barred_backends: [beta, sandbox]}, ads: {}}"
    )

    assert bound.teams["search"].backends == {"alpha", "sandbox"}
    assert bound.teams["search"].barred_backends == {"beta", "sandbox"}
    assert bound.teams["ads"] == Team(name="ads")


LIMITED = f"""\
teams:
  search:
    limits: {{ requests_per_minute: 600, usd_per_day: 0.5 }}
    limits_by_tier: {{ low: {{ usd_per_day: 20, concurrent_images: 2 }} }}
    limits_by_model: {{ painter: {{ images_per_minute: 6, usd_per_month: 1e3 }} }}
    keys:
      - {{ id: search-1, sha256: "{ONE}", limits: {{ usd_per_day: 0 }} }}
"""


def test_limits_are_read_in_counts_and_nano_dollars(tmp_path: Path) -> None:
    directory = reading(tmp_path, LIMITED)

    team = directory.teams["search"]
    assert team.limits == Limits(requests_per_minute=600, usd_per_day=500_000_000)
    assert team.limits_by_tier == {"low": Limits(usd_per_day=20_000_000_000, concurrent_images=2)}
    assert team.limits_by_model == {"painter": Limits(images_per_minute=6, usd_per_month=1_000_000_000_000)}
    assert directory.keys[ONE].limits == Limits(usd_per_day=0)


LEASHED = f"""\
teams:
  search:
    tiers: [low, xhigh]
    keys:
      - id: search-1
        sha256: "{ONE}"
        models: [painter]
        tiers: [low]
        limits_by_tier: {{ low: {{ usd_per_day: 2 }} }}
"""


def test_a_key_may_use_a_part_of_what_its_team_may(tmp_path: Path) -> None:
    key = reading(tmp_path, LEASHED).keys[ONE]

    assert (key.models, key.tiers) == (frozenset({"painter"}), frozenset({"low"}))
    assert key.limits_by_tier == {"low": Limits(usd_per_day=2_000_000_000)}


@pytest.mark.parametrize(
    ("good", "bad", "place", "reason"),
    [
        ("[painter]", "[drawer]", "models", "'drawer' is not in models.yaml"),
        ("tiers: [low]", "tiers: [ultra]", "tiers", "'ultra' is not in models.yaml"),
        ("tiers: [low]", "tiers: [high]", "tiers", "team 'search' may not use 'high'"),
        ("{ low:", "{ high:", "limits_by_tier", "team 'search' may not use 'high'"),
        ("usd_per_day: 2", "usd_per_day: -2", "limits_by_tier.low.usd_per_day", "-2 is not an amount"),
        ("usd_per_day: 2", "usd: 2", "limits_by_tier.low", "unknown field `usd`"),
    ],
)
def test_a_key_that_names_more_stops_the_start(tmp_path: Path, good: str, bad: str, place: str, reason: str) -> None:
    assert LEASHED.count(good) == 1
    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, LEASHED.replace(good, bad))
    assert str(refused.value).startswith(f"{tmp_path / 'teams.yaml'}: $.teams.search.keys[0].{place}: ")
    assert reason in str(refused.value)


AMOUNT = "is not an amount between 0 and 1000000 US dollars"
WRONG_LIMITS = [
    ("usd_per_day: 0.5", "usd_per_day: -1", "$.teams.search.limits.usd_per_day", f"-1 {AMOUNT}"),
    ("usd_per_day: 0.5", "usd_per_day: .nan", "$.teams.search.limits.usd_per_day", f"NaN {AMOUNT}"),
    ("usd_per_day: 0.5", "usd_per_day: 1e309", "$.teams.search.limits.usd_per_day", f"Infinity {AMOUNT}"),
    ("usd_per_day: 0.5", "usd_per_day: 1e-10", "$.teams.search.limits.usd_per_day", "finer than a billionth"),
    ("usd_per_day: 0.5", "usd: 1", "$.teams.search.limits", "unknown field `usd`"),
    ("600", "0", "$.teams.search.limits.requests_per_minute", "Expected `int` >= 1"),
    ("600", "-5", "$.teams.search.limits.requests_per_minute", "Expected `int` >= 1"),
    ("600", "1.5", "$.teams.search.limits.requests_per_minute", "Expected `int | null`, got `float`"),
    ("{ low:", "{ ultra:", "$.teams.search.limits_by_tier", "'ultra' is not in models.yaml"),
    ("usd_per_day: 20", "usd_per_day: -20", "$.teams.search.limits_by_tier.low.usd_per_day", f"-20 {AMOUNT}"),
    ("{ painter:", "{ drawer:", "$.teams.search.limits_by_model", "'drawer' is not in models.yaml"),
    ("6, usd", "0, usd", "$.teams.search.limits_by_model.painter.images_per_minute", "Expected `int` >= 1"),
    ("usd_per_day: 0 ", "usd_per_day: .inf ", "$.teams.search.keys[0].limits.usd_per_day", f"Infinity {AMOUNT}"),
]


@pytest.mark.parametrize(("good", "bad", "place", "reason"), WRONG_LIMITS)
def test_a_wrong_limit_stops_the_start(tmp_path: Path, good: str, bad: str, place: str, reason: str) -> None:
    assert good in LIMITED
    with pytest.raises(SettingsError) as refused:
        reading(tmp_path, LIMITED.replace(good, bad, 1))
    assert str(refused.value).startswith(f"{tmp_path / 'teams.yaml'}: {place}: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize("text", ["{}\n", "teams: {}\n", "teams: {idle: {}}\n"])
def test_there_may_be_no_keys(tmp_path: Path, text: str) -> None:
    assert reading(tmp_path, text).keys == {}


def test_the_shipped_file_is_accepted() -> None:
    catalog = read_catalog(CONFIG / "models.yaml", TODAY)

    assert read_teams(CONFIG / "teams.yaml", catalog, ()) == TeamDirectory(teams={}, keys={})


NAMED = "is 1 to 63 letters, digits, dots, dashes and underscores"

WRONG = [
    ("models: [painter]", "models: [drawer]", "$.teams.search.models", "'drawer' is not in models.yaml"),
    ("models: [painter]", "models: [artist]", "$.teams.search.models", "'artist' is not in models.yaml"),
    ("models: [painter]", "model: painter", "$.teams.search", "Object contains unknown field `model`"),
    ("models: [painter]", "models: painter", "$.teams.search.models", "Expected `array`, got `str`"),
    ("tiers: [low, xhigh]", "tiers: [ultra]", "$.teams.search.tiers", "'ultra' is not in models.yaml"),
    ("tiers: [low, xhigh]", "backends: [gamma]", "$.teams.search.backends", "'gamma' is not in gateway.yaml"),
    ("tiers: [low, xhigh]", "backends: alpha", "$.teams.search.backends", "Expected `array`, got `str`"),
    (
        "tiers: [low, xhigh]",
        "barred_backends: [beta, gamma]",
        "$.teams.search.barred_backends",
        "'gamma' is not in gateway.yaml",
    ),
    (
        "tiers: [low, xhigh]",
        "backends: [beta]\n    barred_backends: [alpha, beta]",
        "$.teams.search.barred_backends",
        "nothing is left of backends",
    ),
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
    ("  search:", "  7:", "$.teams", "a key is wrong: Expected `str`, got `int`"),
    ("  idle: {}", "  idle:", "$.teams.idle", "Expected `object`, got `null`"),
    ("teams:", "team:", "$", "Object contains unknown field `team`"),
    (YAML, "teams:", "$.teams", "Expected `object`, got `null`"),
    (YAML, "", "$", "is empty"),
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
