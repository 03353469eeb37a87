"""The port of what replicas share about backends: in memory, on one server, and on a cluster."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from service.adapters.redis.shared_health import RedisSharedHealth
from service.domain.circuit_breaker import BreakerRules, BreakerState
from service.domain.errors import Failure, FailureKind, StateUnavailable
from service.domain.generation import CallOutcome
from service.domain.vendor_rate_limits import RateLimit
from service.usecases.ports.admission_control import Slot
from service.usecases.ports.backends import Reply
from service.usecases.ports.shared_health import (
    BreakerChange,
    Cap,
    CapReached,
    Caps,
    HealthUpdate,
    SharedHealth,
    SharedHealthStore,
    SharedOpening,
    SlotRequest,
)
from service.usecases.upstream.upstream_admission import AccountLimits, UpstreamAdmission
from tests.fakes.builders import build_generation, failure, route
from tests.fakes.observer import Recorder
from tests.fakes.shared_health import FakeSharedHealth
from tests.support.cluster import CLUSTER
from tests.support.shared_health_stores import SharedHealthHarness, open_shared_health

LEASE, OVER = 60.0, 0.0  # one that is over when it begins
DOWN, REFUSED = FailureKind.UNREACHABLE, FailureKind.AUTH_FAILED
RACERS = 64


@pytest.fixture(params=["fake", "server", CLUSTER])
async def gate(request: pytest.FixtureRequest) -> AsyncIterator[SharedHealthHarness]:
    url = {"fake": "", "server": "redis_url", "cluster": "cluster_url"}[request.param]
    async with open_shared_health(request.param, request.getfixturevalue(url) if url else "") as gate:
        yield gate


def opening(seconds: float = 30, reason: FailureKind = DOWN, in_a_row: int = 1) -> SharedOpening:
    return SharedOpening(reason=reason, seconds=seconds, openings=in_a_row)


async def read_shared(gate: SharedHealthHarness) -> SharedHealth:
    return await gate.store.sync(gate.backend, HealthUpdate())


async def share(gate: SharedHealthHarness, base: int, opened: SharedOpening | None) -> SharedHealth:
    return await gate.store.sync(gate.backend, HealthUpdate(change=BreakerChange(base_version=base, opening=opened)))


def says(shared: SharedHealth) -> tuple[bool, SharedOpening | None]:
    """Return whether the change was accepted, and the opening with rounded seconds."""
    known = shared.opening
    return shared.is_accepted, known and replace(known, seconds=round(known.seconds))


async def test_of_a_new_backend_nothing_is_known(gate: SharedHealthHarness) -> None:
    assert await read_shared(gate) == SharedHealth()
    await share(gate, 0, opening())
    assert await read_shared(replace(gate, backend=f"{gate.backend}-2")) == SharedHealth()


@pytest.mark.parametrize("reason", FailureKind)
async def test_an_opening_is_shared_with_all_replicas(gate: SharedHealthHarness, reason: FailureKind) -> None:
    shared = await share(gate, 0, opening(30, reason, 3))
    assert says(shared) == (True, opening(30, reason, 3))
    read = await read_shared(gate)
    assert (read.version, says(read)) == (shared.version, (False, opening(30, reason, 3)))
    assert read.version > 0


async def test_a_closing_is_shared_with_all_replicas(gate: SharedHealthHarness) -> None:
    first = await share(gate, 0, opening())
    second = await share(gate, first.version, None)
    assert says(second) == (True, None)
    assert second.version > first.version
    assert await read_shared(gate) == replace(second, is_accepted=False)


async def test_a_change_with_an_old_base_version_is_not_accepted(gate: SharedHealthHarness) -> None:
    first = await share(gate, 0, opening(30))
    assert says(await share(gate, 1, opening(20, REFUSED))) == (False, opening(30))
    assert says(await share(gate, 1, None)) == (False, opening(30))
    second = await share(gate, first.version, None)
    for opened in (opening(90), None):
        shared = await share(gate, first.version, opened)
        assert (shared.version, says(shared)) == (second.version, (False, None))


async def test_of_two_openings_the_longer_one_counts(gate: SharedHealthHarness) -> None:
    first = await share(gate, 0, opening(5))
    second = await share(gate, 0, opening(60, REFUSED))
    assert says(second) == (True, opening(60, REFUSED))
    assert says(await share(gate, first.version, opening(10))) == (False, opening(60, REFUSED))


async def test_an_opening_whose_time_is_up_is_known(gate: SharedHealthHarness) -> None:
    first = await share(gate, 0, opening(0))
    assert says(await read_shared(gate)) == (False, opening(0))
    assert says(await share(gate, first.version, opening(10, DOWN, 2))) == (True, opening(10, DOWN, 2))


async def test_an_emptied_store_accepts_every_change(gate: SharedHealthHarness) -> None:
    shared = await share(gate, 0, opening())
    await gate.empty()
    assert await read_shared(gate) == SharedHealth()
    assert says(await share(gate, shared.version, opening(9, REFUSED, 2))) == (True, opening(9, REFUSED, 2))


async def test_a_model_is_blocked_until_the_latest_time_that_a_replica_knows(gate: SharedHealthHarness) -> None:
    async def blocked(**models: float) -> Mapping[str, float]:
        shared = await gate.store.sync(gate.backend, HealthUpdate(blocked=models))
        return {model: round(seconds) for model, seconds in shared.blocked.items()}

    assert await blocked(painter=30, sketcher=40) == {"painter": 30, "sketcher": 40}
    assert await blocked(painter=20, sketcher=50) == {"painter": 30, "sketcher": 50}
    assert await blocked(gone=0) == {"painter": 30, "sketcher": 50}
    assert await blocked() == {"painter": 30, "sketcher": 50}
    assert (await read_shared(replace(gate, backend=f"{gate.backend}-2"))).blocked == {}


async def probe(gate: SharedHealthHarness, name: str, version: int = 0) -> bool:
    return await gate.store.claim_probe(gate.backend, name, version)


async def test_one_replica_probes_at_a_time(gate: SharedHealthHarness) -> None:
    results = await asyncio.gather(*(probe(gate, f"t{number}") for number in range(RACERS)))
    assert sum(results) == 1
    winner = f"t{results.index(True)}"
    await gate.store.release_slots(gate.backend, [("somebody", 1)])
    assert not await probe(gate, "late")
    await gate.store.release_slots(gate.backend, [("somebody", 1), (winner, 1)])
    assert await probe(gate, "late")
    assert await probe(replace(gate, backend=f"{gate.backend}-2"), "late")


async def test_no_probe_is_granted_on_an_old_version(gate: SharedHealthHarness) -> None:
    shared = await share(gate, 0, opening(0))
    assert not await probe(gate, "t1", 1)
    assert await probe(gate, "t1", shared.version)
    await gate.empty()
    assert await probe(gate, "t2", shared.version)


async def test_a_probe_that_is_under_way_goes_on(gate: SharedHealthHarness) -> None:
    assert await probe(gate, "t1")
    for name in ("t1", "t2"):
        await gate.store.sync(gate.backend, HealthUpdate(probe=name))
        assert not await probe(gate, "t3")


async def enter(
    gate: SharedHealthHarness, name: str, calls: int = 1, images: int = 1, lease: float = LEASE, **caps: int
) -> CapReached | None:
    slot_request = SlotRequest(name=name, calls=calls, images=images, lease_seconds=lease)
    return await gate.store.acquire_slots(gate.backend, slot_request, Caps(**caps))


CROWDED, TOO_MANY = CapReached(cap=Cap.CONCURRENT, wait_seconds=0), CapReached(cap=Cap.CONCURRENT)


async def test_without_caps_every_call_is_admitted(gate: SharedHealthHarness) -> None:
    assert [await enter(gate, f"t{number}", 100, 100) for number in range(10)] == [None] * 10


async def test_no_more_calls_than_the_cap_are_under_way(gate: SharedHealthHarness) -> None:
    results = await asyncio.gather(*(enter(gate, f"t{number}", concurrent=10) for number in range(RACERS)))
    assert (results.count(None), results.count(CROWDED)) == (10, RACERS - 10)


async def test_calls_of_a_slot_are_admitted_together_or_not_at_all(gate: SharedHealthHarness) -> None:
    assert await enter(gate, "t1", 3, concurrent=4) is None
    assert await enter(gate, "t2", 2, concurrent=4) == CROWDED
    assert await enter(gate, "t3", 1, concurrent=4) is None
    assert await enter(gate, "t4", 5, concurrent=4) == TOO_MANY


async def test_a_released_slot_makes_room(gate: SharedHealthHarness) -> None:
    for name in ("t1", "t2"):
        assert await enter(gate, name, 2, concurrent=4) is None
    await gate.store.release_slots(gate.backend, [("t1", 2), ("nobody", 3)])
    assert await enter(gate, "t3", 3, concurrent=4) == CROWDED
    assert await enter(gate, "t3", 2, concurrent=4) is None
    await gate.store.release_slots(gate.backend, [("t2", 2), ("t3", 2)])
    assert await enter(gate, "t4", 4, concurrent=4) is None


async def test_calls_that_are_not_released_end_with_their_lease(gate: SharedHealthHarness) -> None:
    assert await enter(gate, "t1", 2, lease=OVER, concurrent=2) is None
    assert await enter(gate, "t2", 1, concurrent=2) is None
    assert await enter(gate, "t3", 2, lease=OVER, concurrent=2) == CROWDED
    assert await enter(gate, "t4", 1, lease=OVER, concurrent=2) is None
    assert await enter(gate, "t5", 1, concurrent=2) is None


def waits(full: CapReached | None, cap: Cap, seconds: float) -> bool:
    """Is it that cap, for so long? Time goes by meanwhile."""
    return (
        full is not None
        and full.cap is cap
        and full.wait_seconds is not None
        and seconds - 5 < full.wait_seconds <= seconds
    )


async def test_a_rate_is_whole_at_first_and_comes_back_after_a_minute(gate: SharedHealthHarness) -> None:
    assert [await enter(gate, f"t{number}", 2, requests_per_minute=6) for number in range(3)] == [None] * 3
    assert waits(await enter(gate, "t4", 1, requests_per_minute=6), Cap.REQUESTS, 60)
    assert waits(await enter(gate, "t5", 6, requests_per_minute=6), Cap.REQUESTS, 60)
    assert await enter(gate, "t6", 7, requests_per_minute=6) == CapReached(cap=Cap.REQUESTS)


async def test_images_are_counted_beside_calls(gate: SharedHealthHarness) -> None:
    assert await enter(gate, "t1", 1, 10, images_per_minute=12) is None
    assert waits(await enter(gate, "t2", 1, 4, images_per_minute=12), Cap.IMAGES, 60)
    assert await enter(gate, "t3", 1, 13, images_per_minute=12) == CapReached(cap=Cap.IMAGES)
    assert await enter(gate, "t4", 1, 2, images_per_minute=12) is None


async def test_nothing_is_counted_if_one_cap_has_no_room(gate: SharedHealthHarness) -> None:
    caps = {"concurrent": 2, "requests_per_minute": 2, "images_per_minute": 4}
    assert await enter(gate, "t1", 1, 5, **caps) == CapReached(cap=Cap.IMAGES)
    assert await enter(gate, "t2", 3, 1, **caps) == TOO_MANY
    assert await enter(gate, "t3", 2, 4, **caps) is None
    assert await enter(gate, "t4", 1, 1, **caps) == CROWDED
    await gate.store.release_slots(gate.backend, [("t3", 2)])
    assert waits(await enter(gate, "t5", 1, 1, **caps), Cap.REQUESTS, 60)
    assert waits(await enter(gate, "t6", 1, 4, images_per_minute=4), Cap.IMAGES, 60)
    assert await enter(gate, "t7", 1, 5, **caps) == CapReached(cap=Cap.IMAGES)
    assert await enter(gate, "t8", 2, 4, concurrent=2) is None


async def test_rates_are_not_overshot_by_many_at_once(gate: SharedHealthHarness) -> None:
    results = await asyncio.gather(*(enter(gate, f"t{number}", 1, 3, images_per_minute=30) for number in range(RACERS)))
    assert results.count(None) == 10


@pytest.mark.parametrize("kind", ["fake", "server", CLUSTER])
async def test_without_the_store_nothing_is_known(kind: str) -> None:
    scheme = "redis+cluster" if kind == "cluster" else "redis"
    store: SharedHealthStore = FakeSharedHealth() if kind == "fake" else RedisSharedHealth(f"{scheme}://127.0.0.1:9")
    if isinstance(store, FakeSharedHealth):
        store.down = True
    slot_request = SlotRequest(name="t1", calls=1, images=1, lease_seconds=LEASE)
    for call in (
        store.sync("alpha", HealthUpdate()),
        store.claim_probe("alpha", "t1", 0),
        store.acquire_slots("alpha", slot_request, Caps(concurrent=1)),
        store.release_slots("alpha", [("t1", 1)]),
    ):
        with pytest.raises(StateUnavailable, match="does not answer"):
            await call
    if isinstance(store, RedisSharedHealth):
        await store.close()


class Replica:
    """A gateway's admission to one backend. Its clock stands still unless a test moves it."""

    def __init__(self, gate: SharedHealthHarness, name: str, caps: Caps | None = None) -> None:
        self.now = 1000.0
        self.route = route(backend=gate.backend)
        self._numbers = iter(range(10_000))
        self.slots: dict[str, AsyncExitStack] = {}
        self.admission = UpstreamAdmission(
            shared_health=gate.store,
            accounts={gate.backend: AccountLimits(caps=caps or Caps(), lease_seconds=LEASE)},
            rules=BreakerRules(),
            observer=Recorder(),
            new_id=lambda: f"{name}-{next(self._numbers)}",
            monotonic=lambda: self.now,
        )

    async def take(self, calls: int = 1, images: int = 0) -> Slot | Failure:
        slot = AsyncExitStack()
        taken = await slot.enter_async_context(self.admission.slot(self.route, calls, images or calls))
        if isinstance(taken, Slot):
            self.slots[taken.name] = slot
        return taken

    def record(self, slot: Slot, outcome: CallOutcome, *rooms: RateLimit) -> None:
        self.admission.record(slot, Reply(outcome=outcome, rate_limits=rooms))

    async def leave(self, slot: Slot) -> None:
        await self.slots.pop(slot.name).aclose()

    async def call(self, kind: FailureKind | None = None) -> None:
        slot = await self.take()
        assert isinstance(slot, Slot)
        self.record(slot, failure(kind) if kind else build_generation())
        await self.leave(slot)

    def state(self) -> BreakerState:
        (standing,) = self.admission.status()
        return standing.state


async def test_what_one_replica_opens_is_open_for_the_other(gate: SharedHealthHarness) -> None:
    one, other = Replica(gate, "one"), Replica(gate, "other")
    await one.call(REFUSED)
    assert (one.state(), other.state()) == (BreakerState.OPEN, BreakerState.CLOSED)
    for replica in (one, other):
        await replica.admission.sync()
    refused = await other.take()
    assert isinstance(refused, Failure)
    assert (refused.kind, refused.asked) == (REFUSED, False)
    assert 50 < (refused.retry_after or 0) <= 60


async def test_an_opening_for_the_network_is_not_shared(gate: SharedHealthHarness) -> None:
    one, other = Replica(gate, "one"), Replica(gate, "other")
    for _ in range(5):
        await one.call(DOWN)
    for replica in (one, other):
        await replica.admission.sync()
    assert (one.state(), other.state()) == (BreakerState.OPEN, BreakerState.CLOSED)
    assert await read_shared(gate) == SharedHealth()


async def test_what_a_replica_of_the_version_before_shares_of_the_network_is_neither_adopted_nor_erased(
    gate: SharedHealthHarness,
) -> None:
    replica = Replica(gate, "new")
    await share(gate, 0, opening(30, DOWN, 2))
    await replica.admission.sync()
    assert replica.state() is BreakerState.CLOSED

    for _ in range(5):
        await replica.call(DOWN)
    await replica.admission.sync()
    replica.now += 5
    await replica.call()
    await replica.admission.sync()
    assert replica.state() is BreakerState.CLOSED
    assert says(await read_shared(gate)) == (False, opening(30, DOWN, 2))


async def test_a_replica_of_the_version_before_understands_what_is_shared_and_may_replace_it(
    gate: SharedHealthHarness,
) -> None:
    replica = Replica(gate, "new")
    await replica.call(REFUSED)
    await replica.admission.sync()
    shared = await read_shared(gate)
    assert says(shared) == (False, opening(60, REFUSED))

    await share(gate, shared.version, opening(30, DOWN, 2))
    await replica.admission.sync()
    await replica.call()
    await replica.admission.sync()
    assert replica.state() is BreakerState.CLOSED
    assert says(await read_shared(gate)) == (False, opening(30, DOWN, 2))


async def test_one_replica_probes_for_all(gate: SharedHealthHarness) -> None:
    replicas = [Replica(gate, f"r{number}") for number in range(4)]
    await replicas[0].call(REFUSED)
    for replica in replicas:
        await replica.admission.sync()
        replica.now += 61
    taken = await asyncio.gather(*(replica.take() for replica in replicas for _ in range(4)))
    (probe,) = [slot for slot in taken if isinstance(slot, Slot)]
    refusals = [refusal for refusal in taken if isinstance(refusal, Failure)]
    assert {(refusal.kind, refusal.asked) for refusal in refusals} == {(FailureKind.SET_ASIDE, False)}
    prober = replicas[int(probe.name.partition("-")[0].removeprefix("r"))]
    prober.record(probe, build_generation())
    await prober.leave(probe)
    for replica in (prober, *replicas):
        await replica.admission.sync()
        assert replica.state() is BreakerState.CLOSED


async def test_caps_hold_for_all_replicas_together(gate: SharedHealthHarness) -> None:
    replicas = [Replica(gate, f"r{number}", Caps(concurrent=10)) for number in range(4)]
    racers = [replica for replica in replicas for _ in range(16)]
    taken = await asyncio.gather(*(replica.take() for replica in racers))
    slots = [(replica, slot) for replica, slot in zip(racers, taken, strict=True) if isinstance(slot, Slot)]
    assert len(slots) == 10
    assert {refusal.kind for refusal in taken if isinstance(refusal, Failure)} == {FailureKind.BUSY}
    for replica, slot in slots:
        await replica.leave(slot)
        await replica.admission.sync(only_changed=True)
    assert isinstance(await replicas[0].take(10), Slot)
