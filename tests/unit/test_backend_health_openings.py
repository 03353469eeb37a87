"""Openings for the network stay with the replica that saw it; openings for the account are shared beside them."""

from service.domain.circuit_breaker import BreakerState
from service.domain.errors import FailureKind
from service.usecases.ports.admission_control import Slot
from tests.support.admission_replicas import Site

DOWN, ASIDE, AUTH = FailureKind.UNREACHABLE, FailureKind.SET_ASIDE, FailureKind.AUTH_FAILED


async def test_an_opening_for_the_network_stays_with_the_replica_that_saw_it() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(*[DOWN] * 5)
    for replica in (one, other):
        await replica.admission.sync()

    assert await one.refused() == (ASIDE, 5)
    await other.succeed()
    assert other.changes() == []


async def test_each_replica_probes_its_own_opening_one_at_a_time_without_the_store() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    for replica in (one, other):
        await replica.call(*[DOWN] * 5)
    site.advance(5)
    probes = [await replica.slot() for replica in (one, other)]
    for replica in (one, other):
        assert await replica.refused() == (ASIDE, 1)

    for replica, probe in zip((one, other), probes, strict=True):
        await replica.release(probe)
        assert isinstance(await replica.slot(), Slot)
    assert site.store.asked == []


async def test_an_account_opening_that_is_closed_elsewhere_leaves_the_local_one() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(*[DOWN] * 5)
    await other.call(AUTH)
    for replica in (other, one):
        await replica.admission.sync()
    assert await one.refused() == (AUTH, 60)

    site.advance(60)
    await other.succeed()
    for replica in (other, one):
        await replica.admission.sync()
    assert other.status().state is BreakerState.CLOSED
    assert (one.status().state, one.status().reason) == (BreakerState.HALF_OPEN, DOWN)
    await one.succeed()
    assert one.status().state is BreakerState.CLOSED


async def test_a_replica_that_cannot_reach_the_vendor_leaves_the_probe_of_the_account_to_others() -> None:
    site = Site()
    one, other = site.replica("a"), site.replica("b")
    await one.call(AUTH)
    for replica in (one, other):
        await replica.admission.sync()
    site.advance(60)

    await one.call(DOWN)
    await one.admission.sync()
    await other.admission.sync()
    assert (await one.refused())[0] is ASIDE
    await other.succeed()
    for replica in (other, one):
        await replica.admission.sync()
    assert (other.status().state, one.status().reason) == (BreakerState.CLOSED, DOWN)
