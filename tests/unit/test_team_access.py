"""Authentication, and the models and tiers that a team may use."""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain.errors import NotAllowed, NotAuthenticated
from service.domain.image_spec import Spec
from service.domain.team_access import Key, Team, authenticate, authorize, key_digest, pseudonym
from tests.fakes.builders import NOW, model, spec

SEARCH = Team(name="search")
KEY = Key(id="search-prod", team=SEARCH, digest=key_digest("sk-right"))
KEYS = {KEY.digest: KEY}


def test_a_digest_is_sha256() -> None:
    assert key_digest("sk-right") == hashlib.sha256(b"sk-right").hexdigest()


@pytest.mark.parametrize("header", ["Bearer sk-right", "bearer sk-right", "BEARER sk-right", "Bearer  sk-right "])
def test_a_known_key_is_let_in(header: str) -> None:
    assert authenticate(header, KEYS, NOW) is KEY


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer   ", "Basic sk-right", "sk-right"])
def test_without_a_key_no_caller_is_let_in(header: str | None) -> None:
    with pytest.raises(NotAuthenticated, match="No API key was given") as refused:
        authenticate(header, KEYS, NOW)

    assert refused.value.code is None


@pytest.mark.parametrize(
    "secret", ["sk-wrong", "SK-RIGHT", "sk-righ", "sk-right sk-right", KEY.digest, "search-prod", "ключ", "\xff"]
)
def test_a_wrong_key_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        authenticate(f"Bearer {secret}", KEYS, NOW)

    assert (refused.value.message, refused.value.code) == ("Incorrect API key provided.", "invalid_api_key")


def test_a_key_filed_under_a_digest_that_is_not_its_own_opens_nothing() -> None:
    with pytest.raises(NotAuthenticated):
        authenticate("Bearer sk-other", {key_digest("sk-other"): KEY}, NOW)


def test_a_key_is_good_until_it_expires() -> None:
    ending = replace(KEY, expires_at=NOW)
    assert authenticate("Bearer sk-right", {KEY.digest: ending}, NOW - timedelta(seconds=1)) is ending
    with pytest.raises(NotAuthenticated, match="has expired"):
        authenticate("Bearer sk-right", {KEY.digest: ending}, NOW)


BOUND = Team(name="search", models=frozenset({"painter"}), tiers=frozenset({"medium", "low"}))


@pytest.mark.parametrize(
    ("team", "request_spec"),
    [
        (SEARCH, spec()),
        (SEARCH, spec(model="other", tier="high")),
        (BOUND, spec(tier="low")),
        (BOUND, spec(tier="medium")),
    ],
)
def test_what_a_team_may_use_passes(team: Team, request_spec: Spec) -> None:
    authorize(team, request_spec, model())


def test_a_model_without_tiers_is_open_to_a_team_bound_to_tiers() -> None:
    authorize(BOUND, spec(), model(tiers=()))


@pytest.mark.parametrize(
    ("request_spec", "param", "message"),
    [
        (spec(model="other", tier="low"), "model", "Team 'search' may not use the model 'other'."),
        (spec(tier="high"), "quality", "Team 'search' may not use the quality 'high'; it may use low, medium."),
        (spec(), "quality", "Team 'search' has to name a quality: low, medium."),
    ],
)
def test_what_a_team_may_not_use_is_refused_by_name(request_spec: Spec, param: str, message: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        authorize(BOUND, request_spec, model())

    assert (refused.value.param, refused.value.message) == (param, message)


LEASHED = Key(id="k1", team=SEARCH, digest="", models=frozenset({"painter"}), tiers=frozenset({"low"}))


@pytest.mark.parametrize(
    ("request_spec", "param", "message"),
    [
        (spec(model="other", tier="low"), "model", "Key 'k1' may not use the model 'other'."),
        (spec(tier="high"), "quality", "Key 'k1' may not use the quality 'high'; it may use low."),
        (spec(), "quality", "Key 'k1' has to name a quality: low."),
    ],
)
def test_what_a_key_may_not_use_is_refused_by_its_name(request_spec: Spec, param: str, message: str) -> None:
    authorize(LEASHED, spec(tier="low"), model())
    with pytest.raises(NotAllowed) as refused:
        authorize(LEASHED, request_spec, model())

    assert (refused.value.param, refused.value.message) == (param, message)


def test_an_end_user_is_the_same_stranger_every_time() -> None:
    stranger = pseudonym(SEARCH, "anna@example.com")

    assert stranger == pseudonym(SEARCH, "anna@example.com")
    assert len(stranger) == 32
    assert "anna" not in stranger
    assert stranger != pseudonym(SEARCH, "otto@example.com")
    assert stranger != pseudonym(Team(name="ads"), "anna@example.com")
