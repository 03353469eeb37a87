"""Routes that serve a request: what is sent, posted, shown and noted, and which backends serve a restricted team."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.booking import Caller
from service.domain.cache_directives import CacheDirectives
from service.domain.catalog import Catalog
from service.domain.errors import FailureKind, NotAllowed
from service.domain.generation import Preview
from service.domain.image_spec import Spec
from service.domain.ledger import Basis, CacheStatus
from service.domain.routing import SANDBOX
from service.domain.team_access import Team
from service.usecases.generate.delivery import Delivery
from service.usecases.generate.flight_names import cache_key
from service.usecases.generate.result_cache import CachePolicy
from service.usecases.ports.requests import NullListener
from tests.fakes.backends import FakeBackend
from tests.fakes.builders import (
    KEY,
    build_generation,
    caller,
    catalog,
    failure,
    image_request,
    model,
    price,
    route,
    spec,
)
from tests.fakes.gateway import Gateway, images_from

MEDIUM = catalog(
    model(
        routes=(
            route(backend="alpha", carries=frozenset(), delivers="medium", prices=(price(per_image=53_000_000),)),
            route(backend="beta"),
        )
    )
)


def bounded(**bounds: Any) -> Caller:
    """A caller of a team that may not use every backend."""
    return caller(key=replace(KEY, team=Team(name="search", **bounds)))


async def ask(gateway: Gateway, request_spec: Spec, known: Catalog) -> Delivery:
    """Send a request that shares with none."""
    return await gateway.replica().make(
        image_request(request_spec, None, known, terms=CacheDirectives(allow_cached=False))
    )


@pytest.mark.parametrize(("reported", "drawn"), [(None, "medium"), ("medium", "medium"), ("low", "low")])
async def test_the_tier_of_a_route_is_shown_and_posted_where_the_vendor_does_not_report_it(
    reported: str | None, drawn: str
) -> None:
    alpha = FakeBackend(build_generation(tier=reported))
    gateway = Gateway(backends={"alpha": alpha})

    made = await ask(gateway, spec(tier="medium"), MEDIUM)

    (entry,) = await gateway.entries()
    assert (alpha.requests[0].spec.tier, made.result.generation.tier) == (None, drawn)
    assert (entry.tier, entry.resolved_tier, entry.cost, entry.basis) == ("medium", drawn, 53_000_000, Basis.TABLE)


async def test_a_tier_left_open_is_booked_as_the_one_that_the_route_delivers() -> None:
    gateway = Gateway(backends={"alpha": FakeBackend(build_generation())})

    made = await ask(gateway, spec(), MEDIUM)

    (entry,) = await gateway.entries()
    assert (entry.tier, entry.resolved_tier, made.result.generation.tier, made.notes) == (None, "medium", "medium", ())


async def test_what_was_lost_on_the_way_is_booked_as_that_tier_too() -> None:
    gateway = Gateway(backends={"alpha": FakeBackend(failure(FailureKind.TIMED_OUT))})

    with pytest.raises(Exception, match="It did not work"):
        await ask(gateway, spec(tier="medium"), MEDIUM)

    (entry,) = await gateway.entries()
    assert (entry.tier, entry.resolved_tier, entry.basis) == ("medium", "medium", Basis.UNCONFIRMED)


async def test_another_tier_goes_elsewhere() -> None:
    alpha, beta = FakeBackend(), FakeBackend(build_generation())

    made = await images_from({"alpha": alpha, "beta": beta})(spec(tier="high"), caller(), MEDIUM)

    assert (made.result.backend, beta.requests[0].spec.tier, made.notes) == ("beta", "high", ())


NOTED = catalog(
    model(
        routes=(
            route(backend="alpha", carries=frozenset(), formats=frozenset({"png"}), delivers="medium", max_n=4),
            route(backend="beta"),
        )
    )
)


@pytest.mark.parametrize(
    ("request_spec", "drawn", "noted"),
    [
        (spec(), [build_generation()], ()),
        (spec(tier="medium"), [build_generation()], ("tier=medium by route",)),
        (spec(output_format="webp"), [build_generation()], ("transcoded=webp",)),
        (spec(), [build_generation(output_format="jpeg")], ("transcoded=png",)),
        (spec(n=10), [build_generation(*"abcd"), build_generation(*"efgh"), build_generation(*"ij")], ("n=3 calls",)),
        (
            spec(n=5, output_format="jpeg"),
            [failure(FailureKind.BUSY), build_generation("e"), build_generation("a", "b", "c", "d")],
            ("transcoded=jpeg", "n=2 calls"),
        ),
    ],
)
async def test_what_was_emulated_is_noted(request_spec: Spec, drawn: list[Any], noted: tuple[str, ...]) -> None:
    made = await images_from({"alpha": FakeBackend(*drawn)})(request_spec, caller(), NOTED)

    assert made.notes == noted


async def test_what_is_noted_is_what_the_route_did_that_served() -> None:
    alpha, beta = FakeBackend(failure(FailureKind.OVERLOADED)), FakeBackend(build_generation(output_format="webp"))

    made = await images_from({"alpha": alpha, "beta": beta})(spec(output_format="webp", tier="medium"), caller(), NOTED)

    assert (made.result.backend, made.notes) == ("beta", ())


class Previews(NullListener):
    """Keeps the previews that it is sent."""

    def __init__(self) -> None:
        self.shown: list[Preview] = []

    async def on_preview(self, preview: Preview) -> None:
        self.shown.append(preview)


@pytest.mark.parametrize(
    ("expected", "has", "n", "shown", "noted"),
    [
        (0, 3, 1, 0, ()),
        (2, 3, 1, 2, ()),
        (2, 1, 1, 1, ()),
        (2, 0, 1, 0, ("partials=none",)),
        (2, 3, 2, 0, ("partials=none",)),
    ],
)
async def test_previews_that_did_not_come_are_noted(
    expected: int, has: int, n: int, shown: int, noted: tuple[str, ...]
) -> None:
    listener, alpha = Previews(), FakeBackend(build_generation(*"ab"[:n]), previews=has)
    replica = Gateway(backends={"alpha": alpha}).replica()

    delivery = await replica.make(image_request(spec(n=n), partials=expected), listener)

    assert ([preview.index for preview in listener.shown], delivery.notes) == ([*range(shown)], noted)


async def test_a_hit_carries_no_notes() -> None:
    replica = Gateway(backends={"alpha": FakeBackend(build_generation("Zm94"))}).replica()

    first, second = [await replica.make(image_request(spec(tier="medium"), None, NOTED)) for _ in range(2)]

    assert (first.source, first.notes) == (CacheStatus.MISS, ("tier=medium by route",))
    assert (second.source, second.notes, second.result.generation.tier) == (CacheStatus.HIT, (), "medium")


TWO_ROUTES = catalog(model(routes=(route(backend="alpha"), route(backend="beta"), route(backend=SANDBOX))))


@pytest.mark.parametrize(
    ("bounds", "backend"),
    [
        ({}, "alpha"),
        ({"backends": frozenset({"beta"})}, "beta"),
        ({"barred_backends": frozenset({"alpha"})}, "beta"),
        ({"backends": frozenset({SANDBOX})}, SANDBOX),
    ],
)
async def test_a_restricted_team_is_served_by_its_backends(bounds: dict[str, Any], backend: str) -> None:
    backends = {name: FakeBackend(build_generation()) for name in ("alpha", "beta", SANDBOX)}

    made = await images_from(backends)(spec(), bounded(**bounds), TWO_ROUTES)

    assert made.result.backend == backend
    assert [name for name, backend in backends.items() if backend.requests] == [backend]


async def test_a_bound_team_is_not_served_by_another_when_its_own_fails() -> None:
    alpha, beta = FakeBackend(*[failure(FailureKind.OVERLOADED)] * 2), FakeBackend()

    with pytest.raises(Exception, match="It did not work"):
        await images_from({"alpha": alpha, "beta": beta})(spec(), bounded(backends=frozenset({"alpha"})), TWO_ROUTES)

    assert beta.requests == []


async def test_a_team_without_any_backend_is_refused_before_anything_is_bought() -> None:
    alpha = FakeBackend()

    with pytest.raises(NotAllowed, match="may not use the backend 'alpha', and no other one can draw this"):
        await images_from({"alpha": alpha})(spec(), bounded(barred_backends=frozenset({"alpha"})), TWO_ROUTES)

    assert alpha.requests == []


async def test_where_teams_share_a_bound_one_is_not_served_with_what_another_backend_drew() -> None:
    alpha, beta = FakeBackend(build_generation("Zm94")), FakeBackend(build_generation("b3ds"), build_generation("Y2F0"))
    gateway = Gateway(backends={"alpha": alpha, "beta": beta}, cache=CachePolicy(seconds=60, shared=True))
    replica = gateway.replica()

    free = await replica.make(image_request(spec(), caller(), TWO_ROUTES))
    pinned = await replica.make(image_request(spec(), bounded(backends=frozenset({"beta"})), TWO_ROUTES))
    again = await replica.make(image_request(spec(), bounded(backends=frozenset({"beta"})), TWO_ROUTES))
    barred = await replica.make(image_request(spec(), bounded(barred_backends=frozenset({"alpha"})), TWO_ROUTES))

    assert [delivery.result.backend for delivery in (free, pinned, again, barred)] == ["alpha", "beta", "beta", "beta"]
    assert [delivery.source for delivery in (free, pinned, again, barred)] == [
        CacheStatus.MISS,
        CacheStatus.MISS,
        CacheStatus.HIT,
        CacheStatus.MISS,
    ]


def test_a_team_without_bounds_has_the_cache_keys_that_it_always_had() -> None:
    plain, restricted = image_request(), image_request(None, bounded(backends=frozenset({"alpha", "beta"})))

    assert cache_key(plain, shared=True) != cache_key(restricted, shared=True)
    assert cache_key(plain, shared=True) == cache_key(image_request(None, bounded()), shared=True)
