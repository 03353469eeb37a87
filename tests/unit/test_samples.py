"""Samples: identical requests side by side get different images, and the numbers of samples go round."""

import asyncio
from dataclasses import replace

import pytest

from service.domain.cache_directives import CacheDirectives
from service.domain.errors import BackendFailed, FailureKind, FailureShared, LimitExceeded, StateUnavailable
from service.domain.ledger import CacheStatus
from service.domain.quota_limits import Limit, LimitStatus, Measure
from service.usecases.generate.delivery import Delivery
from service.usecases.ports.events import FlightResolved
from service.usecases.ports.flights import Role
from tests.fakes.admission_control import FakeAdmissionControl
from tests.fakes.builders import KEY, caller, edit, failure, linked
from tests.fakes.flights import FakeFlights
from tests.fakes.gateway import UNCACHED, Scene, drawn, until
from tests.fakes.reference_fetcher import FakeReferenceFetcher
from tests.fakes.steps import delay

VARY = CacheDirectives(is_varied=True)
FULL = LimitExceeded("No.", LimitStatus(limit=Limit("team", Measure.DAY, 1), used=1, resets_in=1))


def images(deliveries: list[Delivery]) -> set[bytes]:
    return {image for delivery in deliveries for image in drawn(delivery)}


async def side_by_side(scene: Scene, count: int, terms: CacheDirectives = VARY, replicas: int = 2) -> list[Delivery]:
    """Send identical requests at once to several replicas; all are under way before the backend replies."""
    there = [scene.gateway.replica() for _ in range(replicas)]
    scene.alpha.gate.clear()
    asking = [scene.start(terms, replica=there[number % replicas]) for number in range(count)]
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()
    return [*await asyncio.gather(*asking)]


async def test_requests_side_by_side_get_different_images() -> None:
    scene = Scene()

    first = await side_by_side(scene, 4)
    second = await side_by_side(scene, 4)

    assert images(first) == images(second) == {b"fox1", b"fox2", b"fox3", b"fox4"}
    assert {delivery.source for delivery in second} == {CacheStatus.HIT}
    assert scene.alpha.calls == 4


async def test_a_sample_is_cached_as_the_variant_of_its_number() -> None:
    scene = Scene()
    samples = images(await side_by_side(scene, 3))

    cached = [await scene.ask(CacheDirectives(variant=number)) for number in range(3)]

    assert images(cached) == samples
    assert {delivery.source for delivery in cached} == {CacheStatus.HIT}


async def test_after_ten_samples_the_first_is_dealt_again() -> None:
    scene = Scene()

    deliveries = await side_by_side(scene, 12)

    assert (scene.alpha.calls, len(images(deliveries))) == (10, 10)
    assert [delivery.source for delivery in deliveries].count(CacheStatus.JOINED) == 2


async def test_requests_one_after_the_other_are_the_plain_request() -> None:
    scene = Scene()
    replica = scene.gateway.replica()

    sources = [(await scene.ask(terms, replica=replica)).source for terms in (VARY, VARY, VARY, CacheDirectives())]

    assert sources == [CacheStatus.MISS, CacheStatus.HIT, CacheStatus.HIT, CacheStatus.HIT]


async def test_the_requests_of_another_key_are_another_series() -> None:
    scene = Scene()
    scene.alpha.gate.clear()
    other = caller(key=replace(KEY, id="search-2"))

    asking = [scene.start(VARY, who) for who in (caller(), other)]
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()

    assert images([*await asyncio.gather(*asking)]) == {b"fox1"}


async def test_the_number_of_a_caller_that_hung_up_is_dealt_again_and_joins() -> None:
    scene = Scene()
    replica = scene.gateway.replica()
    scene.alpha.gate.clear()

    asking = [scene.start(VARY, replica=replica) for _ in range(3)]
    await scene.reached(3)
    asking[1].cancel()
    await asyncio.sleep(0.01)
    again = scene.start(VARY)
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()
    deliveries = [await asking[0], await again, await asking[2]]

    assert images(deliveries) == {b"fox1", b"fox2", b"fox3"}
    assert (deliveries[1].source, scene.alpha.calls) == (CacheStatus.JOINED, 3)


class SlowDeal(FakeFlights):
    """Deals a number once `open_gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.dealing, self.open_gate = asyncio.Event(), asyncio.Event()
        self.offered: list[int] = []

    async def assign_sample(self, *about: object, **more: object) -> int:
        self.dealing.set()
        await self.open_gate.wait()
        return await super().assign_sample(*about, **more)  # type: ignore[arg-type,return-value]

    async def release_sample(self, *about: object) -> None:
        self.offered.append(about[-1])  # type: ignore[arg-type]
        await super().release_sample(*about)  # type: ignore[arg-type]


@pytest.mark.parametrize(("key", "offered"), [(None, [0]), ("8e03", [])])
async def test_a_number_that_is_dealt_after_its_caller_hung_up_is_the_next_ones(
    key: str | None, offered: list[int]
) -> None:
    flights = SlowDeal()
    scene = Scene(flights=flights)

    asking = scene.start(replace(VARY, idempotency_key=key))
    await flights.dealing.wait()
    asking.cancel()
    await asyncio.sleep(0)
    flights.open_gate.set()
    await scene.reached(1)
    await asyncio.sleep(0.01)

    assert flights.offered == offered


@pytest.mark.parametrize("key", [None, "8e03"])
async def test_a_number_of_a_purchase_that_failed_after_its_caller_hung_up_is_offered_once(key: str | None) -> None:
    flights = SlowDeal()
    flights.open_gate.set()
    scene = Scene(failure(FailureKind.OVERLOADED), flights=flights)
    scene.alpha.gate.clear()

    asking = scene.start(replace(VARY, idempotency_key=key))
    await scene.reached(1)
    asking.cancel()
    await asyncio.sleep(0.01)
    scene.alpha.gate.set()
    await until(lambda: flights.offered)
    await asyncio.sleep(0.01)

    assert flights.offered == [0]


async def test_a_request_whose_caller_hung_up_before_it_got_a_number_counts_no_more() -> None:
    flights = SlowDeal()
    scene = Scene(flights=flights)
    replica = scene.gateway.replica()

    asking = scene.start(VARY, replica=replica)
    await flights.dealing.wait()
    assert [*replica.samples.callers.values()] == [1]
    asking.cancel()
    await asyncio.sleep(0)
    assert not replica.samples.callers

    flights.open_gate.set()
    await scene.reached(1)
    assert not replica.samples.callers


async def test_a_caller_that_hangs_up_while_its_references_are_fetched_leaves_its_number_to_the_next() -> None:
    flights, fetched = SlowDeal(), asyncio.Event()
    flights.open_gate.set()
    scene = Scene(flights=flights, links=FakeReferenceFetcher({"https://pictures.test/fox.png": b"fox"}))
    delay(scene.gateway.links, "fetch", fetched)
    replica = scene.gateway.replica()

    asking = scene.start(VARY, replica=replica, spec=edit(linked()))
    await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.sleep(0)
    fetched.set()
    await scene.reached(1)
    await asyncio.sleep(0.01)

    assert (flights.offered, replica.samples.callers) == ([0], {})


async def test_a_retry_joins_though_requests_vary() -> None:
    scene = Scene()
    scene.alpha.gate.clear()

    asking = [scene.start(CacheDirectives(retry_count=0, is_varied=True)) for _ in range(2)]
    await scene.reached(2)
    retries = [scene.start(CacheDirectives(retry_count=1, is_varied=True)) for _ in range(2)]
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()

    assert images([*await asyncio.gather(*retries)]) == {b"fox1", b"fox2"}
    assert scene.alpha.calls == 2
    await asyncio.gather(*asking)


async def test_a_failure_that_may_have_been_billed_is_remembered_whichever_number_comes_next() -> None:
    scene = Scene(failure(FailureKind.TIMED_OUT))
    scene.alpha.gate.clear()

    asking = [scene.start(VARY) for _ in range(3)]
    await scene.reached(3)
    scene.alpha.gate.set()
    ends = await asyncio.gather(*asking, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["BackendFailed", "Delivery", "Delivery"]

    for seconds in (2, 4, 23):
        scene.flights.now += seconds * 1_000_000
        with pytest.raises(FailureShared):
            await scene.ask(VARY)
    assert scene.alpha.calls == 3
    assert Role.FINISHED in [event.role for event in scene.gateway.observer.of(FlightResolved)]

    scene.flights.now += 2_000_000
    await scene.ask(VARY)


@pytest.mark.parametrize("admission", [FakeAdmissionControl(), FakeAdmissionControl(refusals=[FULL])])
async def test_a_number_for_which_nothing_was_bought_is_the_next_ones(admission: FakeAdmissionControl) -> None:
    scene = Scene(admission=admission)
    if not admission.refusals:
        scene.alpha.outcomes.append(failure(FailureKind.OVERLOADED))
    with pytest.raises((BackendFailed, LimitExceeded)):
        await scene.ask(VARY)
    await asyncio.sleep(0.01)

    await scene.ask(VARY)

    assert (await scene.ask(CacheDirectives(variant=0))).source is CacheStatus.HIT


async def test_a_number_that_cannot_be_offered_costs_the_caller_nothing() -> None:
    scene = Scene(failure(FailureKind.OVERLOADED))
    scene.alpha.gate.clear()

    asking = scene.start(VARY)
    await scene.reached(1)
    scene.flights.down = True
    scene.alpha.gate.set()

    with pytest.raises(BackendFailed):
        await asking
    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "terms", [CacheDirectives(is_varied=True, allow_cached=False), CacheDirectives(is_varied=True, max_age=0)]
)
async def test_without_cached_results_each_request_that_varies_is_a_purchase(terms: CacheDirectives) -> None:
    scene = Scene()

    deliveries = await side_by_side(scene, 3, terms)

    assert (len(images(deliveries)), scene.alpha.calls) == (3, 3)


async def test_without_a_cache_each_request_that_varies_is_a_purchase() -> None:
    scene = Scene(cache=UNCACHED)

    assert len(images(await side_by_side(scene, 12))) == 12


async def test_if_no_number_can_be_dealt_nothing_is_bought_and_nothing_offered() -> None:
    scene = Scene()
    scene.flights.down = True
    with pytest.raises(StateUnavailable):
        await scene.ask(VARY)
    scene.flights.down = False

    delivery = await scene.ask(VARY)

    assert (drawn(delivery), scene.alpha.calls) == ([b"fox1"], 1)
