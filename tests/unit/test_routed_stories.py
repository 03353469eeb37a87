"""Routes in the one story: what is sent, booked, shown and noted, and whom a bound team is served by."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.booking import Caller
from service.domain.catalog import Catalog
from service.domain.errors import FailureKind, NotAllowed
from service.domain.images import Spec
from service.domain.ledger import Basis, Entry, Source
from service.domain.outcomes import Partial
from service.domain.routing import SANDBOX
from service.domain.teams import Team
from service.domain.terms import Terms
from service.usecases.accounts import Span
from service.usecases.buy_once import Policy, place_of
from service.usecases.buy_pictures import Counted, Wish
from service.usecases.make_images import Asked, MakeImages, nobody
from tests.fakes.backends import FakeBackend
from tests.fakes.books import FakeBooks
from tests.fakes.builders import (
    KEY,
    accounts,
    caller,
    catalog,
    failure,
    maker,
    model,
    price,
    purchase,
    route,
    spec,
    story,
)
from tests.fakes.ledger import FakeLedger

MEDIUM = catalog(
    model(
        routes=(
            route(backend="alpha", carries=frozenset(), delivers="medium", prices=(price(per_image=53_000_000),)),
            route(backend="beta"),
        )
    )
)


def of(**bounds: Any) -> Caller:
    """Somebody of a team that may not use every backend."""
    return caller(key=replace(KEY, team=Team(name="search", **bounds)))


class Books:
    """What is booked by a story."""

    def __init__(self) -> None:
        self._books = FakeBooks()
        self.hold = accounts(FakeLedger(counted=True), self._books)

    async def entries(self) -> list[Entry]:
        await self.hold.keep.write()
        return [entry async for entry in self._books.entries(Span(since=0, until=2**62))]


@pytest.mark.parametrize(("said", "drawn"), [(None, "medium"), ("medium", "medium"), ("low", "low")])
async def test_the_tier_of_a_route_is_told_and_booked_where_the_vendor_leaves_it_unsaid(
    said: str | None, drawn: str
) -> None:
    alpha, books = FakeBackend(purchase(tier=said)), Books()

    made = await story({"alpha": alpha}, hold=books.hold)(spec(tier="medium"), caller(), MEDIUM)

    (entry,) = await books.entries()
    assert (alpha.orders[0].spec.tier, made.purchase.tier) == (None, drawn)
    assert (entry.tier, entry.resolved_tier, entry.cost, entry.basis) == ("medium", drawn, 53_000_000, Basis.TABLE)


async def test_a_tier_left_open_is_booked_as_the_one_that_the_route_delivers() -> None:
    books = Books()

    made = await story({"alpha": FakeBackend(purchase())}, hold=books.hold)(spec(), caller(), MEDIUM)

    (entry,) = await books.entries()
    assert (entry.tier, entry.resolved_tier, made.purchase.tier, made.notes) == (None, "medium", "medium", ())


async def test_what_was_lost_on_the_way_is_booked_as_that_tier_too() -> None:
    books, broken = Books(), FakeBackend(failure(FailureKind.TIMED_OUT))

    with pytest.raises(Exception, match="It did not work"):
        await story({"alpha": broken}, hold=books.hold)(spec(tier="medium"), caller(), MEDIUM)

    (entry,) = await books.entries()
    assert (entry.tier, entry.resolved_tier, entry.basis) == ("medium", "medium", Basis.UNCONFIRMED)


async def test_another_tier_goes_elsewhere() -> None:
    alpha, beta = FakeBackend(), FakeBackend(purchase())

    made = await story({"alpha": alpha, "beta": beta})(spec(tier="high"), caller(), MEDIUM)

    assert (made.backend, beta.orders[0].spec.tier, made.notes) == ("beta", "high", ())


NOTED = catalog(
    model(
        routes=(
            route(backend="alpha", carries=frozenset(), formats=frozenset({"png"}), delivers="medium", max_n=4),
            route(backend="beta"),
        )
    )
)


@pytest.mark.parametrize(
    ("wish", "drawn", "told"),
    [
        (spec(), [purchase()], ()),
        (spec(tier="medium"), [purchase()], ("tier=medium by route",)),
        (spec(output_format="webp"), [purchase()], ("transcoded=webp",)),
        (spec(), [purchase(output_format="jpeg")], ("transcoded=png",)),
        (spec(n=10), [purchase(*"abcd"), purchase(*"efgh"), purchase(*"ij")], ("n=3 calls",)),
        (
            spec(n=5, output_format="jpeg"),
            [failure(FailureKind.BUSY), purchase("e"), purchase("a", "b", "c", "d")],
            ("transcoded=jpeg", "n=2 calls"),
        ),
    ],
)
async def test_what_was_emulated_is_noted(wish: Spec, drawn: list[Any], told: tuple[str, ...]) -> None:
    made = await story({"alpha": FakeBackend(*drawn)})(wish, caller(), NOTED)

    assert made.notes == told


async def test_what_is_noted_is_what_the_route_did_that_served() -> None:
    alpha, beta = FakeBackend(failure(FailureKind.OVERLOADED)), FakeBackend(purchase(output_format="webp"))

    made = await story({"alpha": alpha, "beta": beta})(spec(output_format="webp", tier="medium"), caller(), NOTED)

    assert (made.backend, made.notes) == ("beta", ())


class Asking:
    """A use case that keeps what it buys, with all that can be asked of it."""

    def __init__(self, known: Catalog, shared: bool = False, **backends: FakeBackend) -> None:
        self._make: MakeImages = maker(backends, policy=Policy(seconds=60, shared=shared))
        self._known = known
        self.shown: list[Partial] = []

    async def __call__(self, wish: Spec, who: Caller, partials: int = 0) -> Any:
        async def show(partial: Partial) -> None:
            self.shown.append(partial)

        return await self._make(
            Asked(spec=wish, caller=who, catalog=self._known, terms=Terms(), partials=partials, show=show)
        )


@pytest.mark.parametrize(
    ("wanted", "has", "n", "shown", "told"),
    [
        (0, 3, 1, 0, ()),
        (2, 3, 1, 2, ()),
        (2, 1, 1, 1, ()),
        (2, 0, 1, 0, ("partials=none",)),
        (2, 3, 2, 0, ("partials=none",)),
    ],
)
async def test_previews_that_did_not_come_are_noted(
    wanted: int, has: int, n: int, shown: int, told: tuple[str, ...]
) -> None:
    ask = Asking(catalog(), alpha=FakeBackend(purchase(*"ab"[:n]), previews=has))

    share = await ask(spec(n=n), caller(), wanted)

    assert (len(ask.shown), share.notes) == (shown, told)


async def test_a_hit_carries_no_notes() -> None:
    ask = Asking(NOTED, alpha=FakeBackend(purchase("Zm94")))

    first, second = [await ask(spec(tier="medium"), caller()) for _ in range(2)]

    assert (first.source, first.notes) == (Source.MISS, ("tier=medium by route",))
    assert (second.source, second.notes, second.result.purchase.tier) == (Source.HIT, (), "medium")


TWO_WAYS = catalog(model(routes=(route(backend="alpha"), route(backend="beta"), route(backend=SANDBOX))))


@pytest.mark.parametrize(
    ("bounds", "backend"),
    [
        ({}, "alpha"),
        ({"backends": frozenset({"beta"})}, "beta"),
        ({"barred_backends": frozenset({"alpha"})}, "beta"),
        ({"backends": frozenset({SANDBOX})}, SANDBOX),
    ],
)
async def test_a_bound_team_is_served_by_whom_it_may_use(bounds: dict[str, Any], backend: str) -> None:
    backends = {name: FakeBackend(purchase()) for name in ("alpha", "beta", SANDBOX)}

    made = await story(backends)(spec(), of(**bounds), TWO_WAYS)

    assert made.backend == backend
    assert [name for name, each in backends.items() if each.orders] == [backend]


async def test_a_bound_team_is_not_served_by_another_when_its_own_fails() -> None:
    alpha, beta = FakeBackend(*[failure(FailureKind.OVERLOADED)] * 2), FakeBackend()

    with pytest.raises(Exception, match="It did not work"):
        await story({"alpha": alpha, "beta": beta})(spec(), of(backends=frozenset({"alpha"})), TWO_WAYS)

    assert beta.orders == []


async def test_who_may_use_nobody_is_refused_before_anything_is_bought() -> None:
    alpha = FakeBackend()

    with pytest.raises(NotAllowed, match="may not use the backend 'alpha', and no other one can draw this"):
        await story({"alpha": alpha})(spec(), of(barred_backends=frozenset({"alpha"})), TWO_WAYS)

    assert alpha.orders == []


async def test_where_teams_share_a_bound_one_is_not_served_with_what_another_backend_drew() -> None:
    alpha, beta = FakeBackend(purchase("Zm94")), FakeBackend(purchase("b3ds"), purchase("Y2F0"))
    ask = Asking(TWO_WAYS, shared=True, alpha=alpha, beta=beta)

    free = await ask(spec(), caller())
    pinned = await ask(spec(), of(backends=frozenset({"beta"})))
    again = await ask(spec(), of(backends=frozenset({"beta"})))
    barred = await ask(spec(), of(barred_backends=frozenset({"alpha"})))

    assert [each.result.backend for each in (free, pinned, again, barred)] == ["alpha", "beta", "beta", "beta"]
    assert [each.source for each in (free, pinned, again, barred)] == [
        Source.MISS,
        Source.MISS,
        Source.HIT,
        Source.MISS,
    ]


def test_a_team_without_bounds_has_the_names_that_it_always_had() -> None:
    wish = Wish(spec=spec(), model=model(), caller=caller(), admitted=nobody)
    bound = replace(wish, caller=of(backends=frozenset({"alpha", "beta"})))

    assert place_of(wish, Terms(), shared=True) != place_of(bound, Terms(), shared=True)
    assert place_of(wish, Terms(), shared=True) == place_of(replace(wish, caller=of()), Terms(), shared=True)


async def test_every_preview_is_counted_and_shown() -> None:
    seen = []

    async def show(partial: Partial) -> None:
        seen.append(partial.index)

    counted = Counted(show)
    for index in range(3):
        await counted(Partial(base64=b"", index=index))

    assert (counted.shown, seen) == (3, [0, 1, 2])
