"""Routes that a team's request may take, reasons against the others, and routes with one tier."""

from collections.abc import Collection
from datetime import date

import pytest

from service.domain.errors import GatewayError, InvalidValue, ModelNotFound, NotAllowed, UnknownParameter
from service.domain.image_spec import REQUIRED_FEATURES
from service.domain.routing import (
    SANDBOX,
    Plan,
    build_plan,
    find_candidates,
    find_unsupported,
    require_plans,
    serving_routes,
    split,
    upstream_specs,
)
from service.domain.team_access import Team
from tests.fakes.builders import TODAY, model, price, route, spec

ALPHA, BETA = route(backend="alpha"), route(backend="beta")
BOX = route(backend=SANDBOX)
EVERYWHERE = model(routes=(ALPHA, BETA, BOX))


def plan_backends(plans: tuple[Plan, ...]) -> list[str]:
    return [plan.route.backend for plan in plans]


def team(*backends: str, barred: Collection[str] = ()) -> Team:
    return Team(name="search", backends=frozenset(backends), barred_backends=frozenset(barred))


ALL = {"alpha", "beta", SANDBOX}
MAY_USE = [
    (ALL, team(), ["alpha", "beta"]),
    (ALL, team("alpha"), ["alpha"]),
    (ALL, team("beta"), ["beta"]),
    (ALL, team("beta", "alpha"), ["alpha", "beta"]),
    (ALL, team(barred={"alpha"}), ["beta"]),
    (ALL, team(barred={SANDBOX}), ["alpha", "beta"]),
    (ALL, team("alpha", "beta", barred={"beta"}), ["alpha"]),
    (ALL, team(SANDBOX), [SANDBOX]),
    (ALL, team(SANDBOX, "alpha"), ["alpha"]),
    (ALL, team(SANDBOX, "alpha", barred={"alpha"}), [SANDBOX]),
    ({SANDBOX, "beta"}, team(SANDBOX, "alpha"), [SANDBOX]),
    ({SANDBOX}, team(), [SANDBOX]),
    ({SANDBOX}, team(SANDBOX), [SANDBOX]),
    ({SANDBOX}, team("alpha"), []),
    ({SANDBOX}, team(barred={SANDBOX}), []),
    (ALL, team(barred={"alpha", "beta"}), []),
    ({"beta"}, team("alpha"), []),
    ({"alpha", SANDBOX}, team("beta"), []),
    ({"alpha", SANDBOX}, team(barred={"alpha"}), []),
    (set(), team("alpha"), []),
]


@pytest.mark.parametrize(("on", "who", "backends"), MAY_USE)
def test_a_team_is_served_by_the_backends_that_it_may_use(on: set[str], who: Team, backends: list[str]) -> None:
    looked = find_candidates(spec(), EVERYWHERE, on, TODAY, who)

    assert plan_backends(looked.plans) == backends
    assert [route.backend for route, _ in serving_routes(EVERYWHERE, on, TODAY, who)] == backends
    assert len(looked.plans) + len(looked.rejected) == len(EVERYWHERE.routes)


@pytest.mark.parametrize(("on", "who"), [(on, who) for on, who, backends in MAY_USE if on and not backends])
def test_a_team_that_may_use_no_backend_gets_that_error(on: set[str], who: Team) -> None:
    with pytest.raises(NotAllowed) as refused:
        require_plans(spec(), EVERYWHERE, find_candidates(spec(), EVERYWHERE, on, TODAY, who))

    assert refused.value.param == "model"
    assert refused.value.message.startswith("Team 'search' may not use the backend '")
    assert refused.value.message.endswith("', and no other one can draw this.")


SEEDLESS = frozenset(REQUIRED_FEATURES) - {"seed"}


@pytest.mark.parametrize(
    ("alpha", "beta", "kind", "message"),
    [
        (SEEDLESS, frozenset(REQUIRED_FEATURES), NotAllowed, "may not use the backend 'beta'"),
        (SEEDLESS, SEEDLESS, UnknownParameter, "'seed'. It is not supported by provider alpha"),
    ],
)
def test_a_bar_is_reported_only_if_it_is_the_obstacle(
    alpha: frozenset[str], beta: frozenset[str], kind: type[GatewayError], message: str
) -> None:
    asked = model(routes=(route(backend="alpha", carries=alpha), route(backend="beta", carries=beta)))

    looked = find_candidates(spec(seed=1), asked, {"alpha", "beta"}, TODAY, team("alpha"))

    with pytest.raises(kind) as refused:
        require_plans(spec(seed=1), asked, looked)

    assert message in refused.value.message


def test_every_route_that_is_out_says_why() -> None:
    later = route(backend="delta", prices=(price(effective=date(2026, 11, 22)),))
    unable = route(backend="epsilon", carries=frozenset())
    asked = model(routes=(ALPHA, BETA, route(backend="gamma"), later, unable, BOX))

    looked = find_candidates(
        spec(tier="low"), asked, {"alpha", "gamma", "delta", "epsilon", SANDBOX}, TODAY, team(barred={"gamma"})
    )

    assert plan_backends(looked.plans) == ["alpha"]
    assert [(out.route.backend, type(out.error), out.error.message) for out in looked.rejected] == [
        ("beta", ModelNotFound, "The backend 'beta' is not switched on."),
        ("gamma", NotAllowed, "Team 'search' may not use the backend 'gamma'."),
        ("delta", ModelNotFound, "The backend 'delta' has no price that is in effect."),
        ("epsilon", InvalidValue, "quality is not supported by provider epsilon."),
        (SANDBOX, ModelNotFound, "The sandbox stands in only where no other backend serves the model."),
    ]


MEDIUM = route(carries=frozenset({"seed"}), delivers="medium", max_n=2)


def test_a_tier_that_a_route_delivers_may_be_asked_for_and_no_other() -> None:
    assert find_unsupported(spec(tier="medium"), MEDIUM) is None
    assert find_unsupported(spec(), MEDIUM) is None
    for tier in ("low", "high"):
        refused = find_unsupported(spec(tier=tier), MEDIUM)
        assert isinstance(refused, InvalidValue)
        assert (refused.param, refused.message) == (
            "quality",
            f"quality is not supported by provider alpha with the value '{tier}'.",
        )


def test_the_tier_that_a_route_delivers_is_not_sent_and_not_forgotten() -> None:
    request_spec = spec(tier="medium", n=3, seed=1)
    going = build_plan(request_spec, MEDIUM, price())

    assert upstream_specs(request_spec, going) == (spec(n=2, seed=1), spec(n=1, seed=1))
    assert split(request_spec, going) == (spec(tier="medium", n=2, seed=1), spec(tier="medium", n=1, seed=1))
