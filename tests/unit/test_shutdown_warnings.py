"""Warnings for operators about the end of a model."""

from datetime import date

from service.domain.catalog import Retired
from service.domain.shutdown_warnings import build_shutdown_warnings
from service.domain.team_access import Team
from tests.fakes.builders import catalog, model

TODAY = date(2026, 11, 30)
END = date(2026, 12, 1)
OLD = model(id="old", aliases=("elder", "eldest"), shutdown_date=END, successor="new")
NEW = model(id="new")
SHUT = "models.yaml: $.models.old.shutdown_date: ends on 2026-12-01, in 1 day: "


def test_a_model_that_ends_is_named_with_its_aliases_and_its_successor() -> None:
    assert build_shutdown_warnings(catalog(NEW, OLD), (), TODAY) == [
        f"{SHUT}then the name is a 404; aliases that become 404s: elder, eldest; its successor is 'new'"
    ]


def test_an_heir_is_named() -> None:
    heir = model(id="new", aliases=("old", "elder"))

    assert build_shutdown_warnings(catalog(heir, OLD), (), TODAY) == [
        f"{SHUT}then 'new' answers to the name; aliases that become 404s: eldest; its successor is 'new'"
    ]


def test_what_leads_to_a_model_that_ends_is_named() -> None:
    known = catalog(OLD, NEW, model(id="other", successor="old"), retired={"gone": Retired(since=END, successor="old")})

    _, *warnings = build_shutdown_warnings(known, (), END)

    assert warnings == [
        "models.yaml: $.default_model: 'old' ended on 2026-12-01: then a request that names no model is a 404",
        "models.yaml: $.models.other.successor: 'old' ended on 2026-12-01 itself",
        "models.yaml: $.retired.gone.successor: 'old' ended on 2026-12-01 itself",
    ]


def test_a_team_that_may_use_nothing_else_is_named() -> None:
    teams = [
        Team(name="both", models=frozenset({"old", "new"})),
        Team(name="bound", models=frozenset({"old"})),
        Team(name="free"),
    ]

    _, *warnings = build_shutdown_warnings(catalog(NEW, OLD), teams, TODAY)

    assert warnings == [
        "teams.yaml: $.teams.bound.models: from 2026-12-01 on the team may use no model: all of these end"
    ]
