"""Changed settings that are refused while the gateway runs, although a start would accept them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.config_lockout import UsableConfig, find_lockout, find_usable
from service.domain.team_access import Key, Team
from tests.fakes.builders import KEY, NOW, catalog, model, route

ON = frozenset({"alpha"})


def have(teams: str = "a b", keys: str = "1 2", models: str = "x y") -> UsableConfig:
    return UsableConfig(teams=frozenset(teams.split()), keys=frozenset(keys.split()), models=frozenset(models.split()))


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (have(teams=""), "teams.yaml: $.teams: leaves none of the 2 teams that are there now."),
        (have(teams="c d"), "teams.yaml: $.teams: leaves none of the 2 teams that are there now."),
        (
            have(keys=""),
            "teams.yaml: $.teams: leaves none of the 2 keys that let callers in now, issued ones included.",
        ),
        (have(keys="3 4"), "leaves none of the 2 keys"),
        (have(models=""), "models.yaml: $.models: leaves none of the 2 models that a backend can draw now."),
        (have(models="z"), "leaves none of the 2 models"),
    ],
)
def test_a_change_that_locks_every_caller_out_is_refused(after: UsableConfig, reason: str) -> None:
    refusal = find_lockout(have(), after)

    assert refusal is not None
    assert reason in refusal
    assert refusal.endswith("It is refused while the gateway runs; a restart takes it.")


@pytest.mark.parametrize("after", [have(), have(teams="b c"), have(keys="2"), have(models="y z")])
def test_a_change_that_leaves_one_of_each_is_taken(after: UsableConfig) -> None:
    assert find_lockout(have(), after) is None


def test_the_only_one_may_be_replaced_but_not_taken_away() -> None:
    before = have("a", "1", "x")

    assert find_lockout(before, have("b", "2", "y")) is None
    assert find_lockout(before, have("b", "", "y")) is not None


def test_where_nothing_was_nothing_can_be_lost() -> None:
    assert find_lockout(have("a b", "", ""), have("a", "", "")) is None


def test_an_expired_key_an_ended_model_and_a_backend_that_is_off_are_of_no_use() -> None:
    later = NOW + timedelta(seconds=1)
    keys = [
        KEY,
        Key(id="old", team=KEY.team, digest="old", expires_at=NOW),
        replace(KEY, digest="new", expires_at=later),
    ]
    ended = model(id="ended", shutdown_date=NOW.date())
    away = model(id="away", routes=(route(backend="beta"),))

    usable = find_usable({"search": Team(name="search")}, keys, catalog(model(), ended, away), ON, NOW)

    assert usable == UsableConfig(
        teams=frozenset({"search"}), keys=frozenset({KEY.digest, "new"}), models=frozenset({"painter"})
    )
