"""Idempotency-Key: one key is one purchase, and its response is replayed."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from service.domain.cache_directives import CacheDirectives
from service.domain.errors import (
    BackendFailed,
    FailureKind,
    FailureReplayed,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    LimitExceeded,
    OutcomeUnknown,
    ResultExpired,
    StateUnavailable,
)
from service.domain.ledger import CacheStatus
from service.domain.quota_limits import Limit, Limits, LimitStatus, Measure
from service.domain.team_access import Team
from service.usecases.generate.delivery import Delivery
from service.usecases.ports.events import FlightResolved
from service.usecases.ports.flights import Role
from tests.fakes.admission_control import FakeAdmissionControl
from tests.fakes.builders import KEY, caller, failure, spec
from tests.fakes.flights import FakeFlights
from tests.fakes.gateway import IDEMPOTENCY, UNCACHED, Scene, drawn
from tests.fakes.image_store import FakeImageStore

TERMS = CacheDirectives(idempotency_key="8e03")
OWL = spec(prompt="an owl")
DAY = 86_400_000_000
FULL = LimitExceeded("No.", LimitStatus(limit=Limit("team", Measure.DAY, 1), used=1, resets_in=1))


def shown(delivery: Delivery) -> tuple[object, ...]:
    """Return all that a response shows."""
    return delivery.request_id, delivery.at, delivery.result.ids, delivery.result.generation


def keyed(*outcomes: Any, **parts: Any) -> Scene:
    """A gateway that caches nothing, so that only keys can be replayed."""
    return Scene(*outcomes, **{"cache": UNCACHED, **parts})


async def test_without_a_key_every_request_is_a_purchase() -> None:
    scene = keyed()

    sources = [(await scene.ask(CacheDirectives())).source for _ in range(2)]

    assert (sources, scene.alpha.calls) == ([CacheStatus.BYPASS] * 2, 2)


async def test_a_second_request_with_the_key_is_a_replay_of_the_first_response() -> None:
    scene = keyed()

    first = await scene.ask(TERMS)
    again = await scene.ask(TERMS, caller(request_id="req_2"))

    assert (again.source, again.cost, scene.alpha.calls) == (CacheStatus.REPLAYED, 0, 1)
    assert shown(again) == shown(first)
    assert first.request_id == "req_1"


@pytest.mark.parametrize(
    ("terms", "changes"), [(TERMS, {"spec": OWL}), (TERMS, {"linked": True}), (replace(TERMS, variant=1), {})]
)
async def test_a_key_belongs_to_one_request(terms: CacheDirectives, changes: dict[str, Any]) -> None:
    scene = keyed()
    await scene.ask(TERMS)

    with pytest.raises(IdempotencyKeyReused):
        await scene.ask(terms, **changes)

    assert scene.alpha.calls == 1
    assert [event.role for event in scene.gateway.observer.of(FlightResolved)] == [Role.LEADER]


async def test_another_team_has_keys_of_its_own() -> None:
    scene, stranger = keyed(), caller(key=replace(KEY, team=Team(name="ads")))
    await scene.ask(TERMS)

    assert (await scene.ask(TERMS, stranger, spec=OWL)).source is CacheStatus.BYPASS


async def test_a_key_is_forgotten_after_a_day() -> None:
    scene = keyed()
    await scene.ask(TERMS)
    scene.flights.now += DAY - 1
    scene.results.now += DAY - 1
    assert (await scene.ask(TERMS)).source is CacheStatus.REPLAYED

    scene.flights.now += 1
    assert (await scene.ask(TERMS, spec=OWL)).source is CacheStatus.BYPASS


async def test_a_second_request_waits_for_the_first_even_if_its_caller_hangs_up() -> None:
    scene = keyed()
    scene.alpha.gate.clear()
    impatient = scene.gateway.replica(idempotency=replace(IDEMPOTENCY, waits=False))

    first = scene.start(TERMS)
    await scene.reached(1)
    with pytest.raises(IdempotencyKeyReused):
        await scene.ask(TERMS, spec=OWL)
    with pytest.raises(IdempotencyKeyInUse):
        await scene.ask(TERMS, replica=impatient)
    first.cancel()
    second = scene.start(TERMS)
    await asyncio.sleep(0.01)
    scene.alpha.gate.set()

    assert ((await second).source, scene.alpha.calls) == (CacheStatus.REPLAYED, 1)


@pytest.mark.parametrize("kind", [FailureKind.TIMED_OUT, FailureKind.BROKEN_REPLY])
async def test_a_failure_that_may_have_been_billed_is_replayed(kind: FailureKind) -> None:
    scene = keyed(failure(kind))
    with pytest.raises(BackendFailed) as first:
        await scene.ask(TERMS)
    assert not isinstance(first.value, FailureReplayed)

    with pytest.raises(FailureReplayed) as again:
        await scene.ask(TERMS)

    assert (again.value.failure, scene.alpha.calls) == (first.value.failure, 1)


@pytest.mark.parametrize("refusal", [None, FULL, StateUnavailable("Away.")])
async def test_a_request_that_cost_nothing_leaves_its_key_free(
    refusal: LimitExceeded | StateUnavailable | None,
) -> None:
    scene = keyed(admission=FakeAdmissionControl(refusals=[refusal] if refusal else []))
    if refusal is None:
        scene.alpha.outcomes.append(failure(FailureKind.OVERLOADED))
    with pytest.raises((BackendFailed, LimitExceeded, StateUnavailable)):
        await scene.ask(TERMS)

    assert (await scene.ask(TERMS, spec=OWL)).source is CacheStatus.BYPASS


async def test_a_final_failure_that_was_not_billed_leaves_the_key_free() -> None:
    scene = keyed(failure(FailureKind.MODERATION_BLOCKED))
    with pytest.raises(BackendFailed):
        await scene.ask(TERMS)

    assert (await scene.ask(TERMS, spec=OWL)).source is CacheStatus.BYPASS


async def test_a_key_whose_outcome_is_unknown_is_not_bought_again() -> None:
    scene = keyed(flights=FakeFlights(lease_seconds=0))
    scene.alpha.gate.clear()

    leading = scene.start(TERMS)
    await scene.reached(1)
    with pytest.raises(OutcomeUnknown):
        await scene.ask(TERMS)

    scene.alpha.gate.set()
    await leading


async def test_images_in_the_image_store_are_not_cached_a_second_time() -> None:
    scene = keyed(store=FakeImageStore(), keep_all=True)

    first = await scene.ask(TERMS)
    again = await scene.ask(TERMS)

    assert drawn(again) == drawn(first)
    stats = await scene.results.stats(None, None)
    assert stats is not None
    assert stats.results == 0


async def test_a_result_that_no_store_takes_reaches_the_requests_that_wait_with_the_key() -> None:
    scene = keyed()
    scene.results.down = True
    scene.alpha.gate.clear()

    asking = [scene.start(TERMS, caller(request_id=f"req_{number}")) for number in range(12)]
    await scene.reached(1)
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()
    deliveries = await asyncio.gather(*asking)

    assert scene.alpha.calls == 1
    assert len({shown(delivery) for delivery in deliveries}) == 1
    assert sorted(delivery.source for delivery in deliveries) == [CacheStatus.BYPASS] + [CacheStatus.REPLAYED] * 11


@pytest.mark.parametrize("has_store", [False, True])
async def test_a_result_that_is_nowhere_any_more_is_not_bought_again(*, has_store: bool) -> None:
    scene = keyed(store=FakeImageStore() if has_store else None)
    scene.results.down = True
    await scene.ask(TERMS)

    with pytest.raises(ResultExpired):
        await scene.ask(TERMS)

    assert scene.alpha.calls == 1


async def test_a_replay_counts_as_a_request() -> None:
    limits = Limits(requests_per_minute=2, images_per_minute=1)
    scene, who = keyed(), caller(key=replace(KEY, team=Team(name="search", limits=limits)))
    await scene.ask(TERMS, who)
    await scene.ask(TERMS, who)

    with pytest.raises(LimitExceeded):
        await scene.ask(TERMS, who)


async def cached(scene: Scene, count: int) -> int:
    """Put a result into the cache that a request without a key finds. Returns the number of cached results."""
    assert (await scene.ask(CacheDirectives())).source is CacheStatus.MISS
    stats = await scene.results.stats(None, None)
    assert stats is not None
    assert stats.results == count
    return count


async def test_a_free_result_is_remembered_without_its_images_and_bought_again_if_they_are_gone() -> None:
    scene = Scene()
    number = await cached(scene, 1)

    first = await scene.ask(TERMS)
    again = await scene.ask(TERMS, caller(request_id="req_2"))

    assert [first.source, again.source] == [CacheStatus.HIT, CacheStatus.HIT]
    assert (drawn(again), again.cost, again.request_id) == (drawn(first), 0, "req_2")
    stats = await scene.results.stats(None, None)
    assert stats is not None
    assert stats.results == number
    with pytest.raises(IdempotencyKeyReused):
        await scene.ask(TERMS, spec=OWL)


async def test_a_free_result_that_is_nowhere_any_more_is_bought_once_under_its_key() -> None:
    scene = Scene()
    await scene.ask(CacheDirectives())
    await scene.ask(TERMS)
    await scene.results.purge(None, None)
    scene.alpha.gate.clear()

    asking = [scene.start(TERMS, caller(request_id=f"req_{number}")) for number in range(3)]
    await scene.reached(2)
    await asyncio.sleep(0.03)
    scene.alpha.gate.set()
    deliveries = await asyncio.gather(*asking)

    assert sorted(delivery.source for delivery in deliveries) == [CacheStatus.MISS] + [CacheStatus.REPLAYED] * 2
    assert {image for delivery in deliveries for image in drawn(delivery)} == {b"fox2"}
    assert scene.alpha.calls == 2


async def test_a_free_result_whose_images_are_stored_is_replayed_as_it_was_shown() -> None:
    scene = Scene(store=FakeImageStore(), keep_all=True)
    await scene.ask(CacheDirectives())

    first = await scene.ask(TERMS, caller(request_id="req_2"))
    again = await scene.ask(TERMS, caller(request_id="req_3"))

    assert (first.source, again.source) == (CacheStatus.HIT, CacheStatus.REPLAYED)
    assert shown(again)[:3] == shown(first)[:3]
    assert drawn(again) == drawn(first)


async def test_many_free_results_leave_a_bounded_number_of_flights() -> None:
    scene = Scene()
    replica = scene.gateway.replica()
    await scene.ask(CacheDirectives())

    for number in range(300):
        await scene.ask(CacheDirectives(idempotency_key=f"key {number}"), replica=replica)

    names = [name for _, name in scene.flights.known()]
    assert len([name for name in names if name.startswith("key-")]) == 256


async def test_a_key_that_joins_a_failure_may_be_forgotten_early_because_the_call_was_anothers() -> None:
    scene = Scene(failure(FailureKind.TIMED_OUT))
    scene.alpha.gate.clear()
    replica = scene.gateway.replica()

    leading = scene.start(CacheDirectives(), replica=replica)
    await scene.reached(1)
    joining = scene.start(TERMS, replica=replica)
    await asyncio.sleep(0.01)
    scene.alpha.gate.set()
    ends = await asyncio.gather(leading, joining, return_exceptions=True)

    assert [type(end).__name__ for end in ends] == ["BackendFailed", "FailureShared"]
    assert scene.flights.free("search") == [name for _, name in scene.flights.known() if name.startswith("key-")]
    with pytest.raises(FailureReplayed):
        await scene.ask(TERMS)
