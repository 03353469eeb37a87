"""Admission to backends, by a clock that the tests set: refusals, shared changes, and released slots."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.domain.circuit_breaker import BreakerState
from service.domain.errors import Failure, FailureKind, StateUnavailable
from service.domain.vendor_rate_limits import RateLimit
from service.usecases.ports.admission_control import AdmissionControl, Slot
from service.usecases.ports.events import RateLimitObserved
from service.usecases.ports.shared_health import Cap, CapReached, Caps, HealthUpdate, SharedHealth, SlotRequest
from service.usecases.upstream.backend_health import BackendStatus
from service.usecases.upstream.probe_backends import ProbeBackends
from service.usecases.upstream.upstream_admission import UpstreamAdmission
from tests.fakes.builders import build_generation, failure
from tests.fakes.shared_health import AwaitedSharedHealth, FakeSharedHealth
from tests.support.admission_replicas import ALPHA, BETA, SANDBOX, Replica, Site

DOWN, BUSY, ASIDE = FailureKind.UNREACHABLE, FailureKind.BUSY, FailureKind.SET_ASIDE
AUTH, USED_UP, LIMITED = FailureKind.AUTH_FAILED, FailureKind.QUOTA_EXHAUSTED, FailureKind.RATE_LIMITED


async def test_it_is_the_port() -> None:
    admission: AdmissionControl = Site().replica().admission
    async with admission.slot(ALPHA, 2, 3) as slot:
        assert slot == Slot(name="r0", route=ALPHA, calls=2)


async def test_a_healthy_backend_admits_from_memory() -> None:
    site = Site()
    replica = site.replica()
    await replica.succeed()
    await replica.call(FailureKind.INVALID_REQUEST, DOWN, LIMITED, along=BETA)
    assert site.store.asked == []
    assert replica.changes() == []


async def test_a_backend_without_an_account_is_always_admitted() -> None:
    site = Site(Caps(concurrent=1))
    replica = site.replica()
    await replica.call(*[AUTH] * 10, *[LIMITED] * 10, along=SANDBOX)
    replica.record(
        await replica.slot(SANDBOX), build_generation(), RateLimit(measure="images", remaining=0, resets_in=60)
    )
    assert replica.admission.blocked_by(SANDBOX) is None
    await replica.slot(SANDBOX)
    assert site.store.asked == []
    assert replica.observer.of(RateLimitObserved)


async def test_a_failing_backend_opens_its_own_breaker_only() -> None:
    site = Site()
    replica = site.replica()
    await replica.call(*[DOWN] * 5)
    assert await replica.refused() == (ASIDE, 5)
    assert replica.admission.blocked_by(ALPHA) == await replica.acquire()
    site.advance(2)
    assert await replica.refused() == (ASIDE, 3)
    assert replica.admission.blocked_by(BETA) is None
    assert replica.changes() == [("open", DOWN, 5)]


@pytest.mark.parametrize(("kind", "words"), [(AUTH, "credentials are refused"), (USED_UP, "out of credit")])
async def test_a_refused_account_is_blocked_with_its_reason(kind: FailureKind, words: str) -> None:
    replica = Site().replica()
    await replica.call(kind)
    found = replica.admission.blocked_by(ALPHA)
    assert found
    assert words in found.message
    assert await replica.refused() == (kind, 60)


async def test_calls_that_began_before_do_not_count() -> None:
    replica = Site().replica()
    slots = [await replica.slot() for _ in range(20)]
    for slot in slots:
        replica.record(slot, failure(DOWN))
    assert replica.status() == BackendStatus(
        backend="alpha", state=BreakerState.OPEN, since_seconds=0, open_seconds=5, reason=DOWN, openings=1
    )


async def test_one_probe_at_a_time_and_its_image_closes_the_breaker() -> None:
    site = Site()
    replica = site.replica()
    await replica.call(*[DOWN] * 5)
    site.advance(5)
    probe = await replica.slot()
    assert await replica.refused() == (ASIDE, 1)
    assert replica.admission.blocked_by(ALPHA)
    replica.record(probe, build_generation())
    await replica.release(probe)
    assert isinstance(await replica.slot(), Slot)
    assert replica.changes() == [("open", DOWN, 5), ("half_open", DOWN, 0), ("closed", None, 0)]


async def test_failed_probes_open_the_breaker_for_longer_each_time() -> None:
    site = Site()
    replica = site.replica()
    await replica.call(*[DOWN] * 5)
    for seconds in (5, 5, 10, 20, 40):
        assert await replica.refused() == (ASIDE, seconds)
        site.advance(seconds)
        await replica.call(DOWN)
        await replica.admission.sync(only_changed=True)
    assert replica.status().openings == 6


async def test_a_probe_whose_outcome_does_not_count_is_followed_by_the_next() -> None:
    site = Site()
    replica = site.replica()
    await replica.call(AUTH)
    site.advance(60)
    for _ in range(3):
        await replica.call(FailureKind.MODERATION_BLOCKED)
        assert await replica.refused() == (ASIDE, 1)  # the store has not heard yet that it is over
        await replica.admission.sync()
        site.advance(1)
    assert replica.status().state is BreakerState.HALF_OPEN


async def test_a_probe_that_is_not_released_ends_with_its_lease() -> None:
    site = Site()
    replica = site.replica()
    await replica.call(AUTH)
    site.advance(60)
    await replica.slot()
    for _ in range(33):
        await replica.admission.sync()
        assert await replica.refused() == (ASIDE, 1)
        site.advance(10)
    site.advance(15)
    await replica.slot()


async def test_a_probe_of_a_dead_replica_ends_soon() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(AUTH)
    for replica in (one, other):
        await replica.admission.sync()
    site.advance(60)
    await one.slot()
    assert await other.refused() == (ASIDE, 1)
    asked = len(site.store.asked)
    assert await other.refused() == (ASIDE, 1)
    assert len(site.store.asked) == asked
    site.advance(15)
    assert isinstance(await other.slot(), Slot)


async def test_a_newer_shared_state_is_merged_before_a_probe() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(AUTH)
    for replica in (one, other):
        await replica.admission.sync()
    site.advance(60)
    await one.call(AUTH)
    await one.admission.sync(only_changed=True)
    assert await other.refused() == (ASIDE, 1)
    await other.admission.sync()
    assert await other.refused() == (AUTH, 60)
    assert other.changes() == [("open", AUTH, 60), ("half_open", AUTH, 0), ("open", AUTH, 60)]


async def test_replicas_share_a_change_once() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    for replica in (one, other):
        await replica.call(*[DOWN] * 4)
    await one.call(AUTH)
    await one.admission.sync(only_changed=True)
    for _ in range(3):
        await other.admission.sync()
    assert one.changes() == other.changes() == [("open", AUTH, 60)]
    site.advance(60)
    await one.succeed()
    for replica in (one, other):
        await replica.admission.sync()
    assert one.changes() == other.changes() == [("open", AUTH, 60), ("half_open", AUTH, 0), ("closed", None, 0)]


async def test_of_concurrent_openings_the_longer_one_is_shared() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(*[DOWN] * 5)
    await other.call(AUTH)
    for replica in (one, other, one):
        await replica.admission.sync()
    assert one.status() == other.status()
    assert one.changes() == [("open", DOWN, 5), ("open", AUTH, 60)]
    assert other.changes() == [("open", AUTH, 60)]


async def test_an_opening_that_other_replicas_closed_again_changes_nothing() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    slot = await other.slot()
    await one.call(AUTH)
    await one.admission.sync()
    site.advance(60)
    await one.succeed()
    for replica in (one, other):
        await replica.admission.sync()
    for _ in range(5):
        other.record(slot, failure(DOWN))
    assert other.status().state is BreakerState.OPEN


async def test_an_opening_on_an_old_version_gives_way_to_a_newer_change() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(AUTH)
    await one.admission.sync()
    site.advance(60)
    await one.succeed()
    await one.admission.sync()
    await other.call(AUTH)
    await other.admission.sync()
    assert other.status().state is BreakerState.CLOSED


async def test_without_the_store_each_replica_goes_on_by_itself_and_shares_later() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    site.store.down = True
    for replica in (one, other):
        await replica.admission.sync()
    await one.call(AUTH)
    await one.admission.sync()
    assert await one.refused() == (AUTH, 60)
    site.advance(60)
    await one.call(AUTH)
    await one.admission.sync()
    site.store.down = False
    site.advance(59)
    for replica in (one, other):
        await replica.admission.sync()
    assert await other.refused() == (AUTH, 1)
    assert one.status().open_seconds == 1


async def test_an_emptied_store_gets_the_opening_again() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(AUTH)
    await one.admission.sync()
    site.store.forget()
    for _ in range(2):
        await one.admission.sync()
    await other.admission.sync()
    assert await other.refused() == (AUTH, 60)
    assert one.changes() == [("open", AUTH, 60)]


class SlowStore(FakeSharedHealth):
    """Something happens between what it is told and what it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Slot] = []
        self.replica: Replica | None = None

    async def sync(self, backend: str, update: HealthUpdate) -> SharedHealth:
        shared = await super().sync(backend, update)
        while self.meanwhile and self.replica:
            self.replica.record(self.meanwhile.pop(), build_generation())
        return shared

    async def claim_probe(self, backend: str, name: str, version: int) -> bool:
        if self.replica and backend == "alpha":
            self.replica.admission.record_probe(backend, failure(AUTH))
        return await super().claim_probe(backend, name, version)


async def test_a_change_during_an_update_is_in_the_next_update() -> None:
    store = SlowStore()
    site = Site(store=store)
    one, other = site.replica("a"), site.replica("b")
    await one.call(AUTH)
    site.advance(60)
    store.meanwhile, store.replica = [await one.slot()], one
    await one.admission.sync()
    await other.admission.sync()
    assert (one.status().state, other.status().state) == (BreakerState.CLOSED, BreakerState.HALF_OPEN)
    for replica in (one, other):
        await replica.admission.sync()
    assert (one.status().state, other.status().state) == (BreakerState.CLOSED, BreakerState.CLOSED)


async def test_a_local_change_during_a_sync_gives_way_to_the_shared_one() -> None:
    store = SlowStore()
    site = Site(store=store)
    one, other = site.replica("a"), site.replica("b")
    await one.call(AUTH)
    for replica in (one, other):
        await replica.admission.sync()
    site.advance(60)
    probe = await other.slot()
    site.advance(15)
    await one.call(AUTH)
    await one.admission.sync()
    store.meanwhile, store.replica = [probe], other
    await other.admission.sync()
    assert other.status().state is BreakerState.CLOSED
    await other.admission.sync()
    assert other.status() == one.status()
    assert other.status().state is BreakerState.OPEN


async def test_a_probe_after_another_replicas_change_is_refused() -> None:
    store = SlowStore()
    site = Site(store=store)
    replica = site.replica()
    await replica.call(AUTH)
    site.advance(60)
    store.replica = replica
    assert await replica.refused() == (ASIDE, 1)
    assert await replica.refused() == (AUTH, 60)
    store.replica = None
    await replica.admission.sync()
    assert "release_slots" in store.asked


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 1), (7, 7), (1e9, 3600)])
async def test_a_used_up_rate_limit_blocks_the_account_on_all_replicas(
    retry_after: float | None, seconds: float
) -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    one.record(await one.slot(), replace(failure(LIMITED), retry_after=retry_after))
    await one.admission.sync(only_changed=True)
    await other.admission.sync()
    assert await one.refused() == await other.refused() == (LIMITED, seconds)
    assert isinstance(await one.acquire(replace(ALPHA, model="sketcher")), Slot)
    assert isinstance(await one.acquire(BETA), Slot)
    site.advance(seconds)
    assert isinstance(await one.acquire(), Slot)
    await one.admission.sync()
    assert one.status().blocked == {}


async def test_a_block_is_never_shortened() -> None:
    site = Site()
    replica = site.replica()
    for retry_after in (20, 5, 0):
        replica.record(Slot(name="t", route=ALPHA, calls=1), replace(failure(LIMITED), retry_after=retry_after))
    assert await replica.refused() == (LIMITED, 20)
    assert replica.status().blocked == {"painter": 20}


async def test_rate_limits_of_vendors_block_calls_and_are_observed() -> None:
    site = Site()
    replica = site.replica()
    some, none = (
        RateLimit(measure="requests", remaining=3, limit=5),
        RateLimit(measure="images", remaining=0, resets_in=12),
    )
    slot = await replica.slot()
    replica.record(slot, build_generation())
    replica.record(slot, build_generation(), some)
    assert replica.admission.blocked_by(ALPHA) is None
    replica.record(slot, build_generation(), some, none)
    assert await replica.refused() == (LIMITED, 12)
    told = [(each.measure, each.remaining, each.limit) for each in replica.observer.of(RateLimitObserved)]
    assert told == [("requests", 3, 5), ("requests", 3, 5), ("images", 0, None)]


async def test_a_rate_limit_during_an_update_is_in_the_next_update() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    for retry_after in (5, 9):
        one.record(await one.slot(), replace(failure(LIMITED), retry_after=retry_after))
        site.store.down = True
        await one.admission.sync()
        site.store.down = False
        site.advance(5)
    await one.admission.sync()
    await other.admission.sync()
    assert await other.refused() == (LIMITED, 4)


async def test_calls_beyond_the_concurrency_cap_are_refused_until_a_release() -> None:
    site = Site(Caps(concurrent=3))
    one, other = site.replica("a"), site.replica("b")
    slot = await one.acquire(calls=2)
    assert isinstance(slot, Slot)
    assert isinstance(await other.acquire(calls=1), Slot)
    assert await other.refused() == (BUSY, 1)
    await one.release(slot)
    await one.admission.close()
    assert isinstance(await other.acquire(calls=2), Slot)
    never = await other.acquire(calls=4)
    assert isinstance(never, Failure)
    assert (never.kind, never.retry_after) == (BUSY, None)


async def test_a_refusal_by_a_rate_cap_says_when_there_is_room() -> None:
    site = Site(Caps(requests_per_minute=6, images_per_minute=20))
    replica = site.replica()
    slot = await replica.acquire(calls=3, images=20)
    assert isinstance(slot, Slot)
    assert await replica.refused() == (LIMITED, 60)
    site.advance(60)
    await replica.release(slot)
    await replica.admission.close()
    assert isinstance(await replica.acquire(), Slot)
    assert isinstance(await replica.acquire(calls=7), Failure)
    assert "release_slots" not in site.store.asked


async def test_without_the_store_an_account_with_caps_is_unavailable() -> None:
    site = Site(Caps(concurrent=3))
    replica = site.replica()
    site.store.down = True
    with pytest.raises(StateUnavailable):
        await replica.acquire()
    assert isinstance(await replica.acquire(BETA), Slot)


async def test_slots_released_without_the_store_are_released_there_later() -> None:
    site = Site(Caps(concurrent=2))
    replica = site.replica()
    slots = [await replica.slot() for _ in range(2)]
    site.store.down = True
    for slot in slots:
        await replica.release(slot)
        await replica.admission.sync()
    site.store.down = False
    assert await replica.refused() == (BUSY, 1)
    await replica.admission.sync()
    assert isinstance(await replica.acquire(calls=2), Slot)


async def test_a_probe_that_finds_no_room_ends() -> None:
    site = Site(Caps(concurrent=1))
    replica = site.replica()
    under_way = await replica.slot()
    for _ in range(5):
        replica.record(under_way, failure(DOWN))
    site.advance(5)
    assert await replica.refused() == (BUSY, 1)
    await replica.release(under_way)
    await replica.admission.sync()
    assert isinstance(await replica.acquire(), Slot)


class StuckStore(AwaitedSharedHealth):
    """Takes what is asked for, and never says so."""

    async def acquire_slots(self, backend: str, request: SlotRequest, caps: Caps) -> CapReached | None:
        await super().acquire_slots(backend, request, caps)
        await asyncio.Event().wait()
        return None


async def test_a_cancelled_acquisition_leaves_no_slot() -> None:
    store = StuckStore("acquire_slots")
    site = Site(Caps(concurrent=1), store)
    replica = site.replica()
    asking = asyncio.create_task(replica.acquire())
    await store.reached()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await replica.admission.sync()
    slot_request = SlotRequest(name="t", calls=1, images=1, lease_seconds=1)
    assert await FakeSharedHealth.acquire_slots(site.store, "alpha", slot_request, site.caps) is None


async def test_all_backends_are_listed_for_operators() -> None:
    site = Site()
    replica = site.replica()
    await replica.call(USED_UP, along=BETA)
    replica.record(await replica.slot(), replace(failure(LIMITED), retry_after=9))
    site.advance(4)
    assert replica.admission.status() == (
        BackendStatus(backend="alpha", state=BreakerState.CLOSED, since_seconds=4, blocked={"painter": 5}),
        BackendStatus(
            backend="beta", state=BreakerState.OPEN, since_seconds=4, open_seconds=56, reason=USED_UP, openings=1
        ),
    )


async def test_the_shared_health_is_read_repeatedly() -> None:
    store = AwaitedSharedHealth("sync", 6)
    replica = Site(store=store).replica()
    running = asyncio.create_task(replica.admission.run())
    await store.reached()
    running.cancel()
    assert set(store.asked) == {"sync"}


async def test_a_change_is_shared_at_once() -> None:
    store = AwaitedSharedHealth("release_slots")
    site = Site(Caps(concurrent=1), store)
    one, other = site.replica("a"), site.replica("b")
    one.admission.sync_seconds = 3600
    running = asyncio.create_task(one.admission.run())
    await asyncio.sleep(0)
    await one.call(AUTH)
    await store.reached()
    running.cancel()
    await other.admission.sync()
    assert await other.refused() == (AUTH, 60)


class Asked:
    """A backend that answers what is free."""

    def __init__(self, *answers: Failure | None) -> None:
        self.answers = [*answers]
        self.done = asyncio.Event()

    async def probe(self) -> Failure | None:
        answer = self.answers.pop(0)
        if not self.answers:
            self.done.set()
        return answer


def asking(
    admission: UpstreamAdmission, answers: Sequence[Failure | None], seconds: float = 0.001
) -> tuple[ProbeBackends, Asked]:
    alpha = Asked(*answers)
    return ProbeBackends(admission=admission, backends={"alpha": alpha}, interval_seconds=seconds), alpha


async def test_a_healthy_backend_is_not_probed() -> None:
    ask, _ = asking(Site().replica().admission, [])
    await ask.probe_unhealthy()


async def test_an_answered_probe_allows_a_call_and_does_not_close_the_breaker() -> None:
    replica = Site().replica()
    await replica.call(*[DOWN] * 5)
    ask, _ = asking(replica.admission, [failure(DOWN), failure(FailureKind.NOT_PERMITTED), None])
    for _ in range(2):
        await ask.probe_unhealthy()
        assert await replica.refused() == (ASIDE, 5)
    await ask.probe_unhealthy()
    assert replica.status().state is BreakerState.HALF_OPEN
    assert isinstance(await replica.acquire(), Slot)


async def test_a_refused_account_stays_blocked_with_that_reason() -> None:
    site = Site()
    replica = site.replica()
    await replica.call(*[DOWN] * 5)
    ask, _ = asking(replica.admission, [failure(AUTH)] * 3)
    for _ in range(3):
        await ask.probe_unhealthy()
        assert await replica.refused() == (AUTH, 60)
        site.advance(30)
    assert replica.changes() == [("open", DOWN, 5), ("open", AUTH, 60)]


async def test_an_unhealthy_backend_is_probed_repeatedly() -> None:
    replica = Site().replica()
    await replica.call(*[DOWN] * 5)
    ask, alpha = asking(replica.admission, [failure(DOWN)] * 3, 0)
    running = asyncio.create_task(ask.run())
    async with asyncio.timeout(10):
        await alpha.done.wait()
    running.cancel()


def test_caps_are_named_as_in_the_settings() -> None:
    assert {cap.value for cap in Cap} == set(Caps.__dataclass_fields__)


async def test_another_key_unblocks_the_account_on_the_replica_that_has_it() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(AUTH)
    for replica in (one, other):
        await replica.admission.sync()
        assert (await replica.refused())[0] is AUTH
    late = Slot(name="late", route=ALPHA, calls=1, epoch=1)

    one.admission.credentials_changed("alpha")
    assert one.status().state is BreakerState.HALF_OPEN
    await one.admission.sync()
    assert other.status().state is BreakerState.OPEN
    one.record(late, failure(AUTH))
    await one.succeed()
    await one.admission.sync()
    await other.admission.sync()
    assert (one.status().state, other.status().state) == (BreakerState.CLOSED, BreakerState.CLOSED)


async def test_failures_in_a_row_are_counted_for_each_backend() -> None:
    replica = Site().replica()
    await replica.call(DOWN, DOWN)
    assert [replica.admission.consecutive_failures(along) for along in (ALPHA, BETA, SANDBOX)] == [2, 0, 0]
    await replica.succeed()
    assert replica.admission.consecutive_failures(ALPHA) == 0
