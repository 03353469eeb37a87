"""One attempt: what is held before its calls, and what is posted after them, for every outcome."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from service.domain.booking import Caller
from service.domain.cache_directives import CacheDirectives
from service.domain.errors import MAY_BE_BILLED, BackendFailed, Failure, FailureKind, LimitExceeded, StateUnavailable
from service.domain.generation import CallOutcome, Usage
from service.domain.image_spec import Size
from service.domain.ledger import Admission, Basis, EntryStatus
from service.domain.limit_errors import SECOND
from service.domain.pricing import TokenRates, Tokens
from service.domain.quota_limits import Limit, Limits, Measure
from service.domain.routing import Plan
from service.domain.team_access import Team
from service.domain.vendor_rate_limits import RateLimit
from service.usecases.generate.attempt import AttemptResult
from service.usecases.generate.delivery import Delivery
from service.usecases.generate.single_flight import Membership
from service.usecases.ports.backends import Reply
from service.usecases.ports.events import InFlightChanged, QuoteExceeded
from service.usecases.ports.requests import NullListener, RequestListener, UpstreamRequest
from tests.fakes.backends import FakeBackend
from tests.fakes.builders import (
    KEY,
    SQUARE,
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
from tests.fakes.gateway import Gateway
from tests.fakes.image_codec import FakeImageCodec
from tests.fakes.quota_store import FakeQuotaStore

CENT = 10_000_000
TWO_ROUTES = catalog(model(routes=(route(), route(backend="beta", prices=(price(per_image=3 * CENT),)))))
FOUR_AT_ONCE = catalog(model(routes=(route(max_n=4),)))
GRID = price(
    per_image=None, rates=TokenRates(text_in=5_000, image_in=8_000, image_out=30_000), tokens=Tokens(grid={"low": 16})
)
BY_TOKENS = catalog(model(tiers=("low",), routes=(route(prices=(GRID,)),)))
PLAN = Plan(route=route(), price=price())
UNSHARED = CacheDirectives(allow_cached=False)


def limited(**limits: int) -> Caller:
    return caller(key=replace(KEY, team=Team(name="search", limits=Limits(**limits))))


class Listener(NullListener):
    """Records what it hears."""

    def __init__(self) -> None:
        self.admissions: list[Admission] = []
        self.calls = 0

    def on_admitted(self, admission: Admission) -> None:
        self.admissions.append(admission)

    def on_sent(self) -> None:
        self.calls += 1


class Scene:
    """A gateway whose ledger, counters and events can be read."""

    def __init__(self, **backends: FakeBackend) -> None:
        self.gateway = Gateway(backends=backends, codec=FakeImageCodec(broken=[b"garbage"]))
        self.admission, self.ledger, self.listener = self.gateway.admission, self.gateway.quotas, Listener()

    async def ask(self, *about: Any, **changes: Any) -> Delivery:
        """Send a request that shares with none: its spec, caller and catalog."""
        return await self.gateway.replica().make(image_request(*about, terms=UNSHARED, **changes), self.listener)

    async def attempt(self, flight: Membership | None = None, n: int = 1) -> AttemptResult:
        """Make one attempt."""
        request, flights = image_request(spec(n=n)), [flight or Membership()]
        return await self.gateway.replica().attempt.run(request, PLAN, flights, self.listener, first=True)

    async def held(self) -> int:
        """Return the nano-USD that are held or spent today."""
        (standing,) = await self.ledger.limit_status("search", [Limit("team", Measure.DAY, CENT)])
        return standing.used

    def drawing(self) -> list[tuple[str, int]]:
        return [(event.backend, event.images) for event in self.gateway.observer.of(InFlightChanged)]


async def test_a_delivery_is_posted_at_its_cost() -> None:
    scene = Scene(alpha=FakeBackend(build_generation("a", "b")))

    delivery = await scene.ask(spec(n=2), caller(tags={"env": "ci"}))

    (entry,) = await scene.gateway.entries()
    assert (delivery.cost, entry.cost, entry.basis, entry.status) == (
        2 * CENT,
        2 * CENT,
        Basis.TABLE,
        EntryStatus.DELIVERED,
    )
    assert (entry.n, entry.tags, entry.request_id) == (2, {"env": "ci"}, "req_1")


@pytest.mark.parametrize("kind", sorted(MAY_BE_BILLED))
async def test_a_failure_that_may_have_been_billed_is_posted_at_the_quote(kind: FailureKind) -> None:
    scene = Scene(alpha=FakeBackend(failure(kind)))

    with pytest.raises(BackendFailed):
        await scene.ask(spec(n=2))

    (entry,) = await scene.gateway.entries()
    assert (entry.cost, entry.basis, entry.status) == (2 * CENT, Basis.UNCONFIRMED, EntryStatus.FAILED)


@pytest.mark.parametrize("kind", sorted(set(FailureKind) - MAY_BE_BILLED))
async def test_a_failure_that_was_certainly_not_billed_costs_nothing(kind: FailureKind) -> None:
    scene = Scene(alpha=FakeBackend(failure(kind), failure(kind)))

    with pytest.raises(BackendFailed):
        await scene.ask(spec(), limited(usd_per_day=CENT))

    assert (await scene.gateway.entries(), await scene.held()) == ([], 0)


async def test_each_call_has_an_entry_of_its_own() -> None:
    outcomes = (build_generation("a", "b", "c", "d"), failure(FailureKind.TIMED_OUT), failure(FailureKind.OVERLOADED))
    scene = Scene(alpha=FakeBackend(*outcomes))

    with pytest.raises(BackendFailed):
        await scene.ask(spec(n=10), caller(), FOUR_AT_ONCE)

    assert [(entry.n, entry.cost, entry.status) for entry in await scene.gateway.entries()] == [
        (4, 4 * CENT, EntryStatus.DELIVERED),
        (4, 4 * CENT, EntryStatus.FAILED),
    ]


async def test_a_delivery_that_is_no_image_is_paid_for() -> None:
    scene = Scene(alpha=FakeBackend(build_generation("garbage", size=None)))

    with pytest.raises(BackendFailed):
        await scene.ask()

    (entry,) = await scene.gateway.entries()
    assert (entry.cost, entry.status) == (CENT, EntryStatus.FAILED)


async def test_the_next_route_is_held_at_its_own_price_and_is_no_second_request() -> None:
    scene = Scene(alpha=FakeBackend(failure(FailureKind.OVERLOADED)), beta=FakeBackend(build_generation("a")))
    who = limited(usd_per_day=3 * CENT, requests_per_minute=1, concurrent_images=1)

    delivery = await scene.ask(spec(), who, TWO_ROUTES)

    assert delivery.cost == 3 * CENT
    assert [entry.backend for entry in await scene.gateway.entries()] == ["beta"]
    assert (len(scene.listener.admissions), scene.listener.calls) == (1, 2)


async def test_a_route_that_is_too_dear_is_refused() -> None:
    scene = Scene(alpha=FakeBackend(failure(FailureKind.OVERLOADED)), beta=FakeBackend())

    with pytest.raises(LimitExceeded):
        await scene.ask(spec(), limited(usd_per_day=2 * CENT), TWO_ROUTES)

    assert await scene.gateway.entries() == []


async def test_a_cost_beyond_the_quote_is_observed() -> None:
    cheap = price(per_image=None, rates=TokenRates(text_in=1, image_in=1, image_out=1), tokens=Tokens(grid={"low": 16}))
    known = catalog(model(tiers=("low",), routes=(route(prices=(cheap,)),)))
    scene = Scene(alpha=FakeBackend(build_generation("a", usage=Usage(image_out=10**6))))

    delivery = await scene.ask(spec(tier="low", size=SQUARE), caller(), known)

    assert delivery.cost == 10**6
    assert [event.cost for event in scene.gateway.observer.of(QuoteExceeded)] == [10**6]


async def test_the_size_and_tier_of_the_reply_are_posted() -> None:
    scene = Scene(alpha=FakeBackend(build_generation("a", tier="medium", size=Size(640, 480))))

    await scene.ask()

    (entry,) = await scene.gateway.entries()
    assert (entry.tier, entry.resolved_tier, entry.size) == (None, "medium", "640x480")


class LostFlight(Membership):
    """A flight that is not led by this request any more."""

    async def mark_sent(self) -> None:
        raise StateUnavailable("The gateway's state does not answer.")


async def test_a_flight_that_cannot_be_marked_as_sent_voids_the_hold_and_calls_no_backend() -> None:
    scene = Scene(alpha=FakeBackend())

    with pytest.raises(StateUnavailable):
        await scene.attempt(LostFlight())

    assert (await scene.held(), await scene.gateway.entries(), scene.admission.out) == (0, [], set())
    assert (scene.listener.calls, scene.drawing()) == (0, [])


@pytest.mark.parametrize("refusal", [failure(FailureKind.BUSY), StateUnavailable("The gateway's state is away.")])
async def test_an_attempt_without_a_slot_calls_no_backend_and_voids_its_hold(
    refusal: Failure | StateUnavailable,
) -> None:
    scene = Scene(alpha=FakeBackend())
    scene.admission.refusals.append(refusal)

    if isinstance(refusal, Failure):
        assert await scene.attempt() == AttemptResult(failure=refusal)
    else:
        with pytest.raises(StateUnavailable):
            await scene.attempt()

    assert (await scene.held(), await scene.gateway.entries()) == (0, [])
    assert (len(scene.listener.admissions), scene.listener.calls, scene.drawing()) == (1, 0, [])


async def test_a_slot_is_for_all_calls_of_an_attempt_and_records_the_outcome_of_each() -> None:
    outcomes = build_generation("a", "b", "c", "d"), build_generation("e", "f", "g", "h"), build_generation("i", "j")
    scene = Scene(alpha=FakeBackend(*outcomes))

    await scene.ask(spec(n=10), caller(), FOUR_AT_ONCE)

    assert (scene.admission.taken, scene.admission.out) == ([("alpha", 3, 10)], set())
    assert scene.admission.replies == [("slot-1", Reply(outcome=outcome)) for outcome in outcomes]


@pytest.mark.parametrize("outcome", [build_generation("a"), failure(FailureKind.MODERATION_BLOCKED)])
async def test_the_limits_that_a_vendor_sends_with_its_reply_are_recorded(outcome: CallOutcome) -> None:
    rooms = [RateLimit(measure="images", remaining=3, limit=5)]
    scene = Scene(alpha=FakeBackend(outcome, rate_limits=rooms))

    with suppress(BackendFailed):
        await scene.ask()

    assert scene.admission.replies == [("slot-1", Reply(outcome=outcome, rate_limits=rooms))]


class Hanging(FakeBackend):
    """Draws until it is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> NoReturn:
        del request, listener
        self.called.set()
        await asyncio.Event().wait()
        raise AssertionError


class Broken(FakeBackend):
    """Has a mistake of ours in it."""

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> NoReturn:
        del listener
        raise KeyError(request.request_id)


async def test_the_begin_and_the_end_of_each_call_are_observed() -> None:
    outcomes = build_generation("a", "b", "c", "d"), build_generation("e", "f", "g", "h"), build_generation("i", "j")
    scene = Scene(alpha=FakeBackend(*outcomes, admission=(2, 3, 1)))

    await scene.ask(spec(n=10), caller(), FOUR_AT_ONCE)

    assert scene.drawing() == [("alpha", n) for n in (4, 4, 2, -2, -4, -4)]


async def test_the_end_of_a_call_that_failed_is_observed() -> None:
    scene = Scene(alpha=FakeBackend(failure(FailureKind.OVERLOADED)), beta=FakeBackend(build_generation("a", "b")))

    await scene.ask(spec(n=2), caller(), TWO_ROUTES)

    assert scene.drawing() == [("alpha", 2), ("alpha", -2), ("beta", 2), ("beta", -2)]


async def test_a_mistake_of_ours_ends_the_call_gives_the_slot_back_and_leaves_the_hold_to_its_lease() -> None:
    scene = Scene(alpha=Broken())

    with pytest.raises(KeyError):
        await scene.ask(spec(n=2))

    assert (scene.drawing(), scene.admission.out) == ([("alpha", 2), ("alpha", -2)], set())
    assert await scene.held() == 2 * CENT


async def test_a_call_that_is_cancelled_ends_and_leaves_the_hold_to_its_lease() -> None:
    alpha = Hanging()
    scene = Scene(alpha=alpha)

    task = asyncio.create_task(scene.attempt(n=2))
    await alpha.called.wait()
    assert scene.drawing() == [("alpha", 2)]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert (scene.drawing(), scene.admission.out) == ([("alpha", 2), ("alpha", -2)], set())
    assert await scene.held() == 2 * CENT


class SlowBackend(FakeBackend):
    """Takes longer than the lease of every hold, and the holds are swept meanwhile."""

    def __init__(self, ledger: FakeQuotaStore, *outcomes: CallOutcome) -> None:
        super().__init__(*outcomes)
        self.ledger = ledger

    async def generate(self, request: UpstreamRequest, listener: RequestListener) -> Reply:
        self.ledger.now += 61 * SECOND
        await self.ledger.sweep("search")
        return await super().generate(request, listener)


async def test_after_a_lease_ran_out_the_cost_of_the_response_is_that_of_the_ledger() -> None:
    scene = Scene()
    scene.gateway.backends = {"alpha": SlowBackend(scene.ledger, build_generation("a"))}

    delivery = await scene.ask(spec(tier="low", size=SQUARE), caller(), BY_TOKENS)

    await scene.gateway.hold_quota.settlement.drain_outbox("search")
    (entry,) = await scene.gateway.entries()
    assert (entry.basis, entry.status, delivery.cost) == (Basis.UNCONFIRMED, EntryStatus.LOST, entry.cost)


async def test_after_a_lease_ran_out_so_is_the_cost_of_a_call_that_was_not_billed() -> None:
    scene = Scene()
    slow = SlowBackend(scene.ledger, failure(FailureKind.OVERLOADED))
    scene.gateway.backends = {"alpha": slow, "beta": FakeBackend(build_generation("b"))}

    delivery = await scene.ask(spec(), caller(), TWO_ROUTES)

    await scene.gateway.hold_quota.settlement.drain_outbox("search")
    assert delivery.cost == sum(entry.cost for entry in await scene.gateway.entries()) == 4 * CENT


async def test_previews_are_part_of_an_estimate() -> None:
    costs = []
    for partials in (0, 3):
        scene = Scene(alpha=FakeBackend(build_generation("a"), previews=partials))
        delivery = await scene.ask(spec(tier="low", size=SQUARE), caller(), BY_TOKENS, partials=partials)
        (entry,) = await scene.gateway.entries()
        assert (entry.basis, entry.cost) == (Basis.ESTIMATED, delivery.cost)
        costs.append(delivery.cost)

    assert costs[1] - costs[0] == 3 * 100 * 30_000
