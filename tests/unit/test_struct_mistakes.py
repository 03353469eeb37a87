"""All mistakes of settings are reported at once, with their lines and similar known names."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.settings.line_numbers import with_lines
from service.settings.store_urls import NO_STORE
from service.settings.struct_mistakes import decode
from service.settings.teams import TeamEntry, TeamsFile
from service.settings.yaml_file import FilePlace, SettingsError, SettingsErrors, open_place, read_yaml, to_problems
from tests.unit.test_settings_start import Site

TEAMS = """\
# what may be wrong with a file of teams
teams:
  search:
    modles: [gpt-image-2]
    limits: { usd_per_day: lots, usd_per_moth: 3 }
    keys:
      - id: search-1
        sha256: abc
      - { id: search-2 }
  ads:
    models: [gpt-imag-2, nope]
    backends: [opnai]
    tiers: [hihg]
  "bad name": {}
"""
OF_STRUCTURE = [
    "line 4: $.teams.search: Object contains unknown field `modles`. Did you mean 'models'?",
    "line 5: $.teams.search.limits.usd_per_day: Invalid decimal string",
    (
        "line 5: $.teams.search.limits: Object contains unknown field `usd_per_moth`. "
        "Did you mean 'usd_per_month' or 'usd_per_day'?"
    ),
    "line 9: $.teams.search.keys[1]: Object missing required field `sha256`",
]
OF_MEANING = [
    "line 8: $.teams.search.keys[0].sha256: not a SHA-256 digest: 64 lower-case hex digits",
    "line 12: $.teams.ads.backends: 'opnai' is not in gateway.yaml. Did you mean 'openai'?",
    "line 11: $.teams.ads.models: 'gpt-imag-2' is not in models.yaml. Did you mean 'gpt-image-2' or 'gpt-image-1.5'?",
    "line 11: $.teams.ads.models: 'nope' is not in models.yaml",
    "line 13: $.teams.ads.tiers: 'hihg' is not in models.yaml. Did you mean 'high' or 'xhigh'?",
    "line 14: $.teams.bad name: a team's name is 1 to 63 letters, digits, dots, dashes and underscores",
]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("REDIS_URL", "DATABASE_URL", "STORAGE_URL", "OPENAI_BASE_URL", "ADMIN_API_KEY", "TOGETHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Site(tmp_path)


@pytest.mark.parametrize("command", ["check", "serve"])
def test_everything_that_is_wrong_is_told_at_once(site: Site, command: str) -> None:
    (site.config / "teams.yaml").write_text(TEAMS)
    gateway = site.config / "gateway.yaml"
    gateway.write_text(gateway.read_text().replace("\ncache:\n", "\ncahce:\n", 1))
    environment = {"REDIS_URL": "mysql://x", "METRICS_PORT": "70000", "STORAGE_URL": "gopher://x"}

    lines = site.refusal_lines(command, environment, ("--port", "70000"))

    line = gateway.read_text().partition("\ncahce:")[0].count("\n") + 2
    assert lines == [
        f"{gateway}: line {line}: $: Object contains unknown field `cahce`. Did you mean 'cache'?",
        "METRICS_PORT: '70000' is not a port",
        f"REDIS_URL: {NO_STORE}",
        "STORAGE_URL: 'gopher' is not offered; give a folder or s3://bucket/prefix",
        *(f"{site.config / 'teams.yaml'}: {mistake}" for mistake in OF_STRUCTURE + OF_MEANING),
    ]


def test_where_models_are_wrong_teams_are_told_what_does_not_depend_on_them(site: Site) -> None:
    (site.config / "teams.yaml").write_text(TEAMS)
    models = site.config / "models.yaml"
    text = models.read_text()
    assert text.count("carries: gpt-image-2.6,") == 2
    models.write_text(
        text.replace("carries: gpt-image-2.6,", "carries: gpt-image-26,").replace("  free: {", "  fre: {")
    )

    lines = site.refusal_lines("check", {}, ())

    assert lines[-4:] == [f"{site.config / 'teams.yaml'}: {mistake}" for mistake in OF_STRUCTURE]
    assert any(
        "'free' is not defined; defined are classic, fre, together. Did you mean 'fre'?" in mistake for mistake in lines
    )


def test_what_follows_from_another_mistake_is_not_told(site: Site) -> None:
    models = site.config / "models.yaml"
    text = models.read_text()
    models.write_text(text.replace("  free: { multiple_of: 16,", "  free: { multiple_of: 0,", 1))

    lines = site.refusal_lines("check", {}, ())

    assert lines == [f"{models}: line 11: $.sizes.free.multiple_of: Expected `int` >= 1"]


def test_stores_and_folders_are_told_together(site: Site) -> None:
    lines = site.refusal_lines(
        "check", {"REDIS_URL": "redis://h?socket_timeout=x", "STORAGE_URL": "/dev/null/pictures"}, ()
    )

    assert [mistake.partition(":")[0] for mistake in lines] == [
        "REDIS_URL",
        "DATABASE_URL",
        "STORAGE_URL",
        "URL_SIGNING_KEY",
    ]


def test_every_mistake_in_a_value_is_found_at_its_place() -> None:
    value = {
        "keys": [{"id": 1}, {"id": "a", "sha256": "x", "lmits": {}}, 3, {"idd": 2, "sha256": 1}],
        "models": ["a", 1, 2, "b"],
        "keepalive": "yes",
    }

    decoded = decode(value, TeamEntry)

    assert [(mistake.path, mistake.steps) for mistake in decoded.mistakes] == [
        (".keys[0].id", ("keys", 0, "id")),
        (".keys[0]", ("keys", 0, "sha256")),
        (".keys[1]", ("keys", 1, "lmits")),
        (".keys[2]", ("keys", 2)),
        (".keys[3]", ("keys", 3, "idd")),
        (".keys[3].sha256", ("keys", 3, "sha256")),
        (".keys[3]", ("keys", 3, "id")),
        (".models[1]", ("models", 1)),
        (".models[2]", ("models", 2)),
        (".keepalive", ("keepalive",)),
    ]
    assert decoded.value is not None
    assert (decoded.value.models, [key.id for key in decoded.value.keys]) == (frozenset({"a", "b"}), ["a"])


def test_a_key_that_is_no_text_is_told_where_it_is() -> None:
    decoded = decode({"limits_by_tier": {1: {}}, "keepalive": "yes"}, TeamEntry)

    assert decoded.value is not None
    assert [(mistake.path, mistake.reason) for mistake in decoded.mistakes] == [
        (".limits_by_tier", "a key is wrong: Expected `str`, got `int`"),
        (".keepalive", "Expected `bool`, got `str`"),
    ]


@pytest.mark.parametrize("value", [None, 3, [], "x"])
def test_of_what_is_nothing_of_the_kind_nothing_is_left(value: object) -> None:
    decoded = decode(value, TeamsFile)

    assert (decoded.value, len(decoded.mistakes)) == (None, 1)


def test_alone_a_place_raises_all_of_its_mistakes(tmp_path: Path) -> None:
    with pytest.raises(SettingsErrors) as refused:
        FilePlace(tmp_path / "x.yaml").decode({"a": 1, "b": 2}, TeamsFile)

    assert [str(mistake) for mistake in to_problems(refused.value)] == [
        f"{tmp_path / 'x.yaml'}: $: Object contains unknown field `a`",
        f"{tmp_path / 'x.yaml'}: $: Object contains unknown field `b`",
    ]
    assert str(refused.value) == str(refused.value.problems[0])


def test_a_reader_that_found_something_never_gives_an_answer(tmp_path: Path) -> None:
    def reads() -> str:
        with open_place(tmp_path / "x.yaml") as top:
            top.attempt(lambda: top.lookup({}, "x"))
            return "an answer"

    with pytest.raises(SettingsError, match=r"x\.yaml: \$: 'x' is not defined"):
        reads()


@pytest.mark.parametrize(
    ("text", "lead", "line"),
    [
        ("a:\n  b: 1\n  c: 2\n", lambda top: top / "a" / "c", 3),
        ("a:\n  - 1\n  - b: 2\n", lambda top: top / "a" / 1 / "b", 3),
        ("a: &x\n  b: 1\nc:\n  <<: *x\n  d: 2\n", lambda top: top / "c" / "b", 2),
        ("a: &x\n  b: 1\nc:\n  <<: [*x]\n", lambda top: top / "c" / "b", 2),
        ("a: &x\n  b: 1\nc: *x\n", lambda top: top / "c" / "b", 2),
        ("a:\n  b: 1\n", lambda top: top / "a" / "z" / "y", 1),
        ("1: {b: 1}\n", lambda top: top / "1" / "b", 1),
    ],
)
def test_a_place_has_the_line_of_its_key(
    tmp_path: Path, text: str, lead: Callable[[FilePlace], FilePlace], line: int
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)

    (message,) = with_lines([lead(FilePlace(file)).error("is wrong")])

    assert message.startswith(f"{file}: line {line}: $.")


def test_what_is_of_no_file_or_of_one_that_cannot_be_read_has_no_line(tmp_path: Path) -> None:
    gone, broken = FilePlace(tmp_path / "gone.yaml") / "a", tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(SettingsError) as unread:
        read_yaml(broken)

    assert list(with_lines([SettingsError("PORT: no"), ValueError("x"), gone.error("is wrong"), unread.value])) == [
        "PORT: no",
        "x",
        f"{tmp_path / 'gone.yaml'}: $.a: is wrong",
        str(unread.value),
    ]
