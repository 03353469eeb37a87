"""What is held before a call, and what is booked after it, for everything that a call can come to."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import NoReturn

import pytest

from service.domain.booking import Caller
from service.domain.errors import (
    MAY_BE_BILLED,
    CallFailed,
    Failure,
    FailureKind,
    LimitExceeded,
    StateUnavailable,
    UnreachableLink,
)
from service.domain.images import Size
from service.domain.ledger import Admission, Basis, Entry, Status
from service.domain.limits import Limit, Limits, Measure
from service.domain.outcomes import Outcome, Usage
from service.domain.pricing import TokenRates, Tokens
from service.domain.refusals import SECOND
from service.domain.routing import Plan
from service.domain.teams import Team
from service.usecases.accounts import Span
from service.usecases.buy_pictures import Bought, BuyPictures, Wish
from service.usecases.develop import Develop
from service.usecases.events import DrawingChanged, QuoteExceeded
from service.usecases.make_images import nobody
from service.usecases.ports import Order
from service.usecases.traces import Untraced
from tests.fakes.backends import FakeBackend
from tests.fakes.books import FakeBooks
from tests.fakes.builders import (
    KEY,
    SQUARE,
    accounts,
    caller,
    catalog,
    edit,
    failure,
    linked,
    model,
    price,
    purchase,
    route,
    spec,
    story,
)
from tests.fakes.darkroom import FakeDarkroom
from tests.fakes.ledger import FakeLedger
from tests.fakes.links import FakeLinks
from tests.fakes.observer import Recorder
from tests.fakes.turns import FakeTurns

CENT = 10_000_000
TWO_WAYS = catalog(model(routes=(route(backend="alpha"), route(backend="beta", prices=(price(per_image=3 * CENT),)))))
FOUR_AT_ONCE = catalog(model(routes=(route(max_n=4),)))


def limited(**limits: int) -> Caller:
    return caller(key=replace(KEY, team=Team(name="search", limits=Limits(**limits))))


def buying(scene: "Scene") -> BuyPictures:
    return BuyPictures(
        backends={"alpha": FakeBackend()},
        develop=Develop(darkroom=FakeDarkroom()),
        hold=scene.hold,
        turns=scene.turns,
        observe=scene.observe,
        trace=Untraced(),
        mint=lambda: "hold-1",
        elapsed=lambda: 0.0,
    )


RATES = TokenRates(text_in=5_000, image_in=8_000, image_out=30_000)
GRID = price(per_image=None, rates=RATES, tokens=Tokens(grid={"low": 16}))
BY_TOKENS = catalog(model(tiers=("low",), routes=(route(prices=(GRID,)),)))


class Scene:
    """A use case with books that can be looked into."""

    def __init__(self, **backends: FakeBackend) -> None:
        self.ledger, self.books, self.observe = FakeLedger(counted=True), FakeBooks(), Recorder()
        self.links, self.turns = FakeLinks(), FakeTurns()
        self.hold = accounts(self.ledger, self.books, self.observe)
        self.make = story(
            backends,
            observe=self.observe,
            hold=self.hold,
            links=self.links,
            turns=self.turns,
            darkroom=FakeDarkroom(broken=[b"garbage"]),
        )

    async def booked(self) -> list[Entry]:
        await self.hold.keep.write()
        return [entry async for entry in self.books.entries(Span(since=0, until=2**62))]


async def test_a_delivery_is_booked_at_what_it_cost() -> None:
    scene = Scene(alpha=FakeBackend(purchase("a", "b")))
    made = await scene.make(spec(n=2), caller(tags={"env": "ci"}), catalog())
    (entry,) = await scene.booked()
    assert (made.cost, entry.cost, entry.basis, entry.status) == (2 * CENT, 2 * CENT, Basis.TABLE, Status.DELIVERED)
    assert (entry.n, entry.tags, entry.request_id) == (2, {"env": "ci"}, "req_1")


@pytest.mark.parametrize("kind", sorted(MAY_BE_BILLED))
async def test_what_may_have_been_billed_is_booked_at_the_quote(kind: FailureKind) -> None:
    scene = Scene(alpha=FakeBackend(failure(kind)))
    with pytest.raises(CallFailed):
        await scene.make(spec(n=2), caller(), catalog())
    (entry,) = await scene.booked()
    assert (entry.cost, entry.basis, entry.status) == (2 * CENT, Basis.UNCONFIRMED, Status.FAILED)


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - MAY_BE_BILLED))
async def test_what_was_certainly_not_billed_costs_nothing(kind: FailureKind) -> None:
    scene = Scene(alpha=FakeBackend(failure(kind), failure(kind)))
    with pytest.raises(CallFailed):
        await scene.make(spec(), limited(usd_per_day=CENT), catalog())
    assert await scene.booked() == []
    again = Scene(alpha=FakeBackend(purchase("a")))
    assert (await again.make(spec(), limited(usd_per_day=CENT), catalog())).cost == CENT


async def test_each_order_has_an_entry_of_its_own() -> None:
    outcomes = (purchase("a", "b", "c", "d"), failure(FailureKind.TIMED_OUT), failure(FailureKind.OVERLOADED))
    scene = Scene(alpha=FakeBackend(*outcomes))
    with pytest.raises(CallFailed):
        await scene.make(spec(n=10), caller(), FOUR_AT_ONCE)
    assert [(entry.n, entry.cost, entry.status) for entry in await scene.booked()] == [
        (4, 4 * CENT, Status.DELIVERED),
        (4, 4 * CENT, Status.FAILED),
    ]


async def test_a_delivery_that_is_no_picture_is_paid_for() -> None:
    scene = Scene(alpha=FakeBackend(purchase("garbage", size=None)))
    with pytest.raises(CallFailed):
        await scene.make(spec(), caller(), catalog())
    (entry,) = await scene.booked()
    assert (entry.cost, entry.status) == (CENT, Status.FAILED)


async def test_the_next_route_is_held_at_its_own_price_and_is_no_second_request() -> None:
    told: list[Admission] = []
    scene = Scene(alpha=FakeBackend(failure(FailureKind.OVERLOADED)), beta=FakeBackend(purchase("a")))
    who = limited(usd_per_day=3 * CENT, requests_per_minute=1, concurrent_images=1)
    made = await scene.make(spec(), who, TWO_WAYS, told.append)
    assert made.cost == 3 * CENT
    assert [entry.backend for entry in await scene.booked()] == ["beta"]
    assert len(told) == 1


async def test_a_route_that_is_too_dear_is_not_gone_down() -> None:
    scene = Scene(alpha=FakeBackend(failure(FailureKind.OVERLOADED)), beta=FakeBackend())
    with pytest.raises(LimitExceeded):
        await scene.make(spec(), limited(usd_per_day=2 * CENT), TWO_WAYS)
    assert await scene.booked() == []


async def test_nothing_is_fetched_for_who_may_not_draw() -> None:
    scene = Scene(alpha=FakeBackend())
    with pytest.raises(LimitExceeded):
        await scene.make(edit(linked()), limited(usd_per_day=0), catalog())
    assert scene.links.fetched == []


async def test_what_cannot_be_fetched_gives_the_hold_back() -> None:
    scene = Scene(alpha=FakeBackend())
    with pytest.raises(UnreachableLink):
        await scene.make(edit(linked("https://gone.test/")), limited(usd_per_day=CENT), catalog())
    (standing,) = await scene.ledger.standings("search", [Limit("team", Measure.DAY, CENT)])
    assert standing.used == 0


async def test_a_price_that_was_too_low_is_told() -> None:
    dear = price(per_image=None, rates=TokenRates(text_in=1, image_in=1, image_out=1), tokens=Tokens(grid={"low": 16}))
    known = catalog(model(tiers=("low",), routes=(route(prices=(dear,)),)))
    bought = purchase("a", usage=Usage(image_out=10**6))
    scene = Scene(alpha=FakeBackend(bought))
    made = await scene.make(spec(tier="low", size=SQUARE), caller(), known)
    assert made.cost == 10**6
    assert [event.cost for event in scene.observe.events if isinstance(event, QuoteExceeded)] == [10**6]


async def test_the_drawn_size_and_tier_are_booked() -> None:
    scene = Scene(alpha=FakeBackend(purchase("a", tier="medium", size=Size(640, 480))))
    await scene.make(spec(), caller(), catalog())
    (entry,) = await scene.booked()
    assert (entry.tier, entry.resolved_tier, entry.size) == (None, "medium", "640x480")


async def test_when_the_vendor_may_not_be_asked_the_hold_is_given_back() -> None:
    async def refuse() -> None:
        raise StateUnavailable("The gateway's state does not answer.")

    scene = Scene(alpha=FakeBackend())
    plan = Plan(route=route(), price=price())
    asked = Wish(spec=spec(), model=model(), caller=caller(), admitted=nobody, depart=refuse)
    with pytest.raises(StateUnavailable):
        await buying(scene)(asked, plan, None, first=True)
    (standing,) = await scene.ledger.standings("search", [Limit("team", Measure.DAY, CENT)])
    assert standing.used == 0
    assert await scene.booked() == []
    assert scene.turns.out == set()


@pytest.mark.parametrize("refusal", [failure(FailureKind.BUSY), StateUnavailable("The gateway's state is away.")])
async def test_who_gets_no_turn_asks_nobody_and_holds_nothing(refusal: Failure | StateUnavailable) -> None:
    scene, told = Scene(), list[str]()
    scene.turns.refusals.append(refusal)

    async def depart() -> None:
        told.append("departed")

    asked = Wish(spec=spec(), model=model(), caller=caller(), admitted=nobody, depart=depart)
    if isinstance(refusal, Failure):
        _, bought = await buying(scene)(asked, Plan(route=route(), price=price()), None, first=True)
        assert bought == Bought(failure=refusal)
    else:
        with pytest.raises(StateUnavailable):
            await buying(scene)(asked, Plan(route=route(), price=price()), None, first=True)
    (standing,) = await scene.ledger.standings("search", [Limit("team", Measure.DAY, CENT)])
    assert (standing.used, told, await scene.booked()) == (0, [], [])
    assert drawing(scene) == []


async def test_a_turn_is_for_all_calls_of_a_plan_and_is_told_what_each_came_to() -> None:
    outcomes = purchase("a", "b", "c", "d"), purchase("e", "f", "g", "h"), purchase("i", "j")
    scene = Scene(alpha=FakeBackend(*outcomes))
    await scene.make(spec(n=10), caller(), FOUR_AT_ONCE)
    assert (scene.turns.taken, scene.turns.out) == ([("alpha", 3, 10)], set())
    assert scene.turns.outcomes == [("turn-1", outcome) for outcome in outcomes]


class Hanging(FakeBackend):
    """Draws until it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def buy(self, order: Order) -> NoReturn:
        self.orders.append(order)
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


class Broken(FakeBackend):
    """Has a mistake of ours in it."""

    async def buy(self, order: Order) -> NoReturn:
        raise KeyError(order.request_id)


def drawing(scene: Scene) -> list[tuple[str, int]]:
    return [(event.backend, event.pictures) for event in scene.observe.of(DrawingChanged)]


async def test_pictures_that_are_drawn_are_told_and_told_to_be_over() -> None:
    outcomes = purchase("a", "b", "c", "d"), purchase("e", "f", "g", "h"), purchase("i", "j")
    scene = Scene(alpha=FakeBackend(*outcomes, turns=(2, 3, 1)))
    await scene.make(spec(n=10), caller(), FOUR_AT_ONCE)
    assert drawing(scene) == [("alpha", n) for n in (4, 4, 2, -2, -4, -4)]


async def test_they_are_over_at_each_backend_that_failed() -> None:
    scene = Scene(alpha=FakeBackend(failure(FailureKind.OVERLOADED)), beta=FakeBackend(purchase("a", "b")))
    await scene.make(spec(n=2), caller(), TWO_WAYS)
    assert drawing(scene) == [("alpha", 2), ("alpha", -2), ("beta", 2), ("beta", -2)]


async def test_they_are_over_when_the_gateway_makes_a_mistake() -> None:
    scene = Scene(alpha=Broken())
    with pytest.raises(KeyError):
        await scene.make(spec(n=2), caller(), catalog())
    assert drawing(scene) == [("alpha", 2), ("alpha", -2)]


async def test_they_are_over_when_the_call_is_cancelled() -> None:
    scene, alpha = Scene(), Hanging()
    buy = replace(buying(scene), backends={"alpha": alpha})
    asked = Wish(spec=spec(n=2), model=model(), caller=caller(), admitted=nobody)
    task = asyncio.create_task(buy(asked, Plan(route=route(), price=price()), None, first=True))
    await alpha.asked.wait()
    assert drawing(scene) == [("alpha", 2)]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert drawing(scene) == [("alpha", 2), ("alpha", -2)]


class LongDrawing(FakeBackend):
    """Takes so long that the lease of every hold runs out meanwhile, and the sweeper comes by."""

    def __init__(self, ledger: FakeLedger, *outcomes: Outcome) -> None:
        super().__init__(*outcomes)
        self.ledger = ledger

    async def buy(self, order: Order) -> Outcome:
        self.ledger.now += 61 * SECOND
        await self.ledger.sweep("search")
        return await super().buy(order)


async def test_after_a_lease_ran_out_the_cost_that_is_told_is_the_one_in_the_books() -> None:
    scene = Scene()
    scene.make = story(
        {"alpha": LongDrawing(scene.ledger, purchase("a"))}, observe=scene.observe, hold=scene.hold, links=scene.links
    )
    made = await scene.make(spec(tier="low", size=SQUARE), caller(), BY_TOKENS)
    await scene.hold.keep.drain("search")
    (entry,) = await scene.booked()
    assert (entry.basis, entry.status, made.cost) == (Basis.UNCONFIRMED, Status.LOST, entry.cost)


async def test_so_is_that_of_a_call_that_was_not_billed() -> None:
    scene = Scene()
    failed = LongDrawing(scene.ledger, failure(FailureKind.OVERLOADED))
    scene.make = story(
        {"alpha": failed, "beta": FakeBackend(purchase("b"))}, observe=scene.observe, hold=scene.hold, links=scene.links
    )
    made = await scene.make(spec(), caller(), TWO_WAYS)
    await scene.hold.keep.drain("search")
    assert made.cost == sum(entry.cost for entry in await scene.booked()) == 4 * CENT


async def test_previews_are_part_of_an_estimate() -> None:
    costs = []
    for partials in (0, 3):
        scene = Scene(alpha=FakeBackend(purchase("a"), previews=partials))
        made = await scene.make(spec(tier="low", size=SQUARE), caller(), BY_TOKENS, partials=partials)
        (entry,) = await scene.booked()
        assert (entry.basis, entry.cost) == (Basis.ESTIMATED, made.cost)
        costs.append(made.cost)
    assert costs[1] - costs[0] == 3 * 100 * 30_000
