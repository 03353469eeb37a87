"""Single flight: one purchase for all identical requests, whatever happens to the request that leads it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from service.domain.catalog import Route
from service.domain.errors import (
    BackendFailed,
    Failure,
    FailureKind,
    LimitExceeded,
    OutcomeUnknown,
    StateUnavailable,
)
from service.domain.ledger import CacheStatus
from service.domain.quota_limits import Limit, LimitStatus, Measure
from service.usecases.generate.delivery import Delivery
from service.usecases.generate.flight_names import CacheKey
from service.usecases.generate.single_flight import Flight, Leader, Membership, SingleFlight
from service.usecases.ports.admission_control import Slot
from service.usecases.ports.events import FlightResolved
from service.usecases.ports.flights import JoinRules, Role
from service.usecases.ports.result_store import Result
from tests.fakes.admission_control import FakeAdmissionControl
from tests.fakes.builders import failure, result
from tests.fakes.flights import FakeFlights
from tests.fakes.gateway import Scene, build_single_flight, drawn
from tests.fakes.observer import Recorder
from tests.fakes.steps import Steps, delay

FULL = LimitExceeded("No.", LimitStatus(limit=Limit("team", Measure.DAY, 1), used=1, resets_in=1))
CRASH = StateUnavailable("The backend's state burns.")
KEY = CacheKey("search", "fox")
SHARED = Flight(
    key=KEY, shared_seconds=60, retry_seconds=60, keep_seconds=60, is_cached=True, is_local=True, repeats_expired=True
)
OWN = replace(SHARED, is_cached=False, is_local=False, join_rules=JoinRules(is_retry=True), repeats_expired=False)


async def test_sixty_four_requests_at_once_on_two_replicas_are_one_purchase() -> None:
    scene = Scene()
    scene.alpha.gate.clear()
    replicas = [scene.gateway.replica() for _ in range(2)]

    asking = [scene.start(replica=replicas[number % 2]) for number in range(64)]
    await scene.reached(1)
    scene.alpha.gate.set()
    deliveries = await asyncio.gather(*asking)

    assert {image for delivery in deliveries for image in drawn(delivery)} == {b"fox1"}
    assert sorted(delivery.source for delivery in deliveries) == [CacheStatus.JOINED] * 63 + [CacheStatus.MISS]
    assert scene.alpha.calls == 1
    assert sorted(entry.cost for entry in await scene.gateway.entries()) == [0] * 63 + [10_000_000]


@pytest.mark.parametrize("kind", [FailureKind.MODERATION_BLOCKED, FailureKind.TIMED_OUT])
async def test_a_final_failure_ends_all_requests_that_joined(kind: FailureKind) -> None:
    scene = Scene(failure(kind))
    scene.alpha.gate.clear()
    here, there = scene.gateway.replica(), scene.gateway.replica()

    asking = [scene.start(replica=replica) for replica in (here, here, there)]
    await scene.reached(1)
    scene.alpha.gate.set()
    ends = await asyncio.gather(*asking, return_exceptions=True)

    assert sorted(type(end).__name__ for end in ends) == ["BackendFailed", "FailureShared", "FailureShared"]
    assert scene.alpha.calls == 1


async def test_requests_that_joined_a_refused_leader_buy() -> None:
    scene, decided = Scene(admission=FakeAdmissionControl(refusals=[FULL])), asyncio.Event()
    delay(scene.gateway.quotas, "hold", decided)
    replica = scene.gateway.replica()

    asking = [scene.start(replica=replica) for _ in range(3)]
    await asyncio.sleep(0.01)
    decided.set()
    ends = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(end) for end in ends] == [LimitExceeded, Delivery, Delivery]
    assert scene.alpha.calls == 1


class GatedAdmission(FakeAdmissionControl):
    """Decides about each slot once `moment` is set."""

    moment: asyncio.Event

    @asynccontextmanager
    async def slot(self, route: Route, calls: int, images: int) -> AsyncIterator[Slot | Failure]:
        await self.moment.wait()
        async with FakeAdmissionControl.slot(self, route, calls, images) as slot:
            yield slot


async def test_requests_that_arrive_at_the_very_moment_of_a_refusal_buy() -> None:
    admission = GatedAdmission(refusals=[FULL])
    admission.moment = asyncio.Event()
    scene = Scene(admission=admission)
    scene.alpha.gate.clear()
    replica = scene.gateway.replica()

    async def arrive_at_that_moment() -> Delivery:
        await admission.moment.wait()
        return await scene.ask(replica=replica)

    leading = scene.start(replica=replica)
    await asyncio.sleep(0.01)
    arriving = [asyncio.create_task(arrive_at_that_moment()) for _ in range(2)]
    await asyncio.sleep(0.01)
    admission.moment.set()
    with pytest.raises(LimitExceeded):
        await leading
    await asyncio.sleep(0.01)
    scene.alpha.gate.set()

    assert sorted([(await request).source for request in arriving]) == [CacheStatus.JOINED, CacheStatus.MISS]
    assert scene.alpha.calls == 1


async def test_a_caller_that_hangs_up_does_not_waste_the_image() -> None:
    scene = Scene()
    scene.alpha.gate.clear()
    replica = scene.gateway.replica()

    leading = scene.start(replica=replica)
    await scene.reached(1)
    leading.cancel()
    scene.alpha.gate.set()
    delivery = await scene.ask(replica=replica)

    assert (drawn(delivery), scene.alpha.calls) == ([b"fox1"], 1)


async def test_a_purchase_whose_leader_ended_without_a_result_is_not_made_again() -> None:
    scene = Scene(CRASH)
    with pytest.raises(StateUnavailable):
        await scene.ask()
    scene.flights.now += 31_000_000
    answered = asyncio.Event()
    delay(scene.flights, "acquire", answered)
    replica = scene.gateway.replica()

    asking = [scene.start(replica=replica) for _ in range(3)]
    await asyncio.sleep(0.01)
    answered.set()
    ends = await asyncio.gather(*asking, return_exceptions=True)

    assert [type(end) for end in ends] == [OutcomeUnknown] * 3
    assert scene.alpha.calls == 1


async def test_a_purchase_with_an_unknown_outcome_is_made_again_if_the_operator_wants_it() -> None:
    scene = Scene(CRASH, flights=FakeFlights(lost_are_led=True))
    with pytest.raises(StateUnavailable):
        await scene.ask()
    scene.flights.now += 31_000_000

    assert (await scene.ask()).source is CacheStatus.MISS


async def test_a_result_that_no_store_takes_is_bought_by_each_replica() -> None:
    scene = Scene()
    scene.results.down = True

    await scene.ask()
    second = await scene.ask()

    assert (drawn(second), scene.alpha.calls) == ([b"fox2"], 2)


async def test_a_result_that_no_store_takes_reaches_the_requests_that_wait() -> None:
    scene = Scene()
    scene.results.down = True
    scene.alpha.gate.clear()
    replicas = [scene.gateway.replica() for _ in range(3)]

    asking = [scene.start(replica=replica) for replica in replicas for _ in range(4)]
    await scene.reached(1)
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()
    deliveries = await asyncio.gather(*asking)

    assert scene.alpha.calls == 1
    assert {image for delivery in deliveries for image in drawn(delivery)} == {b"fox1"}
    assert sorted(delivery.source for delivery in deliveries) == [CacheStatus.JOINED] * 11 + [CacheStatus.MISS]
    assert not scene.flights.shared_results


async def test_requests_after_the_hand_over_buy_once_more_together() -> None:
    scene = Scene()
    scene.results.down = True
    await scene.ask()
    scene.alpha.gate.clear()

    asking = [scene.start() for _ in range(3)]
    await scene.reached(2)
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()
    deliveries = await asyncio.gather(*asking)

    assert {image for delivery in deliveries for image in drawn(delivery)} == {b"fox2"}
    assert scene.alpha.calls == 2


class NothingHandedOver(FakeFlights):
    async def share_result(self, *_: object) -> bool:
        raise StateUnavailable("away")


class NothingTakenOver(FakeFlights):
    async def take_shared_result(self, *_: object, **__: object) -> Result | None:
        raise StateUnavailable("away")


@pytest.mark.parametrize("flights", [NothingHandedOver, NothingTakenOver])
async def test_without_a_hand_over_the_leader_is_served_and_another_replica_buys(flights: type[FakeFlights]) -> None:
    scene = Scene(flights=flights())
    scene.results.down = True
    scene.alpha.gate.clear()

    asking = [scene.start() for _ in range(2)]
    await scene.reached(1)
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()
    deliveries = await asyncio.gather(*asking)

    assert {image for delivery in deliveries for image in drawn(delivery)} == {b"fox1", b"fox2"}


@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_leader_extends_its_lease_even_if_the_store_was_away_for_a_while(*, interrupted: bool) -> None:
    scene = Scene()
    scene.alpha.gate.clear()

    leading = scene.start(replica=scene.gateway.replica(lease_seconds=0.003))
    await scene.reached(1)
    scene.flights.down = interrupted
    await asyncio.sleep(0.01)
    scene.flights.down = False
    scene.flights.now += 29_000_000
    await asyncio.sleep(0.02)
    scene.flights.now += 29_000_000
    other = scene.start()
    await asyncio.sleep(0.01)
    scene.alpha.gate.set()

    assert ((await leading).source, (await other).source) == (CacheStatus.MISS, CacheStatus.JOINED)


async def test_a_store_that_goes_away_during_the_call_does_not_cost_the_image() -> None:
    scene = Scene()
    scene.alpha.gate.clear()

    asking = scene.start()
    await scene.reached(1)
    scene.flights.down = True
    scene.alpha.gate.set()

    assert (await asking).source is CacheStatus.MISS


async def test_after_a_failure_that_cost_nothing_the_next_request_buys() -> None:
    scene = Scene(failure(FailureKind.OVERLOADED))
    with pytest.raises(BackendFailed):
        await scene.ask()

    assert (await scene.ask()).source is CacheStatus.MISS
    assert scene.alpha.calls == 2


async def test_a_local_leader_that_another_replica_serves_serves_those_that_wait_for_it() -> None:
    scene, owners = Scene(), Steps()
    owners.watch(scene.flights, "acquire", lambda _, __, owner, *___: owner)
    scene.alpha.gate.clear()
    here, there = scene.gateway.replica(), scene.gateway.replica()

    asking = [scene.start(replica=there)]
    await scene.reached(1)
    asking += [scene.start(replica=here) for _ in range(3)]
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()
    deliveries = await asyncio.gather(*asking)

    assert [delivery.source for delivery in deliveries] == [CacheStatus.MISS] + [CacheStatus.JOINED] * 3
    assert len(owners.done) == 2


async def attempt(single_flight: SingleFlight, flight: Flight = SHARED) -> Membership:
    """Lead a flight to a result, unless another request did."""
    async with single_flight.join(flight) as member:
        if member.earlier is None:
            await member.mark_sent()
            await member.finish(result())
    return member


async def test_each_role_on_a_flight_is_observed() -> None:
    observer = Recorder()
    single_flight = build_single_flight(FakeFlights(), observer=observer)

    await attempt(single_flight)
    await attempt(single_flight)

    assert [event.role for event in observer.of(FlightResolved)] == [Role.LEADER, Role.FINISHED]


async def test_a_lost_flight_is_observed() -> None:
    observer, flights = Recorder(), FakeFlights(lease_seconds=0)
    await flights.acquire(KEY.scope, KEY.name, "another")
    await flights.mark_sent(KEY.scope, KEY.name, "another")

    with pytest.raises(OutcomeUnknown):
        await attempt(build_single_flight(flights, observer=observer))

    assert [event.role for event in observer.of(FlightResolved)] == [Role.LOST]


async def test_a_flight_without_a_key_is_led_without_the_store() -> None:
    flights = FakeFlights()
    flights.down = True

    member = await attempt(build_single_flight(flights), Flight())

    assert (member.earlier, member.result) == (None, result())


async def test_a_leader_that_lost_its_flight_may_not_call_a_backend() -> None:
    flights = FakeFlights(lease_seconds=0, lost_are_led=True)

    async with build_single_flight(flights).join(OWN) as member:
        await flights.acquire(KEY.scope, KEY.name, "another")
        with pytest.raises(StateUnavailable, match="not led by this request"):
            await member.mark_sent()

    assert isinstance(member, Leader)
    assert not member.sent


async def test_a_mistake_of_ours_reaches_local_requests_and_leaves_the_flight_to_its_lease() -> None:
    flights, entered = FakeFlights(), asyncio.Event()
    single_flight = build_single_flight(flights)

    async def fail() -> None:
        async with single_flight.join(SHARED) as member:
            await member.mark_sent()
            entered.set()
            await asyncio.sleep(0.01)
            raise ZeroDivisionError

    leading = asyncio.create_task(fail())
    await entered.wait()
    ends = await asyncio.gather(leading, attempt(single_flight), return_exceptions=True)

    assert [type(end) for end in ends] == [ZeroDivisionError] * 2
    assert (await flights.acquire(KEY.scope, KEY.name, "another")).role is Role.FOLLOWER


async def test_a_replica_that_stops_cancels_the_requests_that_wait_in_it() -> None:
    flights, entered = FakeFlights(), asyncio.Event()
    single_flight = build_single_flight(flights)

    async def hang() -> None:
        async with single_flight.join(SHARED):
            entered.set()
            await asyncio.Event().wait()

    leading = asyncio.create_task(hang())
    await entered.wait()
    joining = asyncio.create_task(attempt(single_flight))
    await asyncio.sleep(0)
    leading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await leading
    with pytest.raises(asyncio.CancelledError):
        await joining
    assert (await flights.acquire(KEY.scope, KEY.name, "another")).role is Role.FOLLOWER


async def test_a_block_that_ends_without_a_result_releases_local_requests() -> None:
    single_flight = build_single_flight(FakeFlights())

    async with single_flight.join(SHARED):
        joining = asyncio.create_task(attempt(single_flight))
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await joining
