"""Each end of a hold emits one event, whatever the store does meanwhile: metrics equal the ledger."""

import asyncio

import pytest

from service.domain.booking import build_entry, build_hold_request
from service.domain.errors import StateUnavailable
from service.domain.ledger import CacheStatus, Entry, EntryStatus, HoldRequest
from service.domain.routing import Plan
from service.usecases.money.hold_quota import Hold, HoldQuota
from service.usecases.ports.events import EntriesWritten, EntryPosted, HoldVoided
from service.usecases.ports.ledger import EntryFilter
from service.usecases.ports.quota_store import PostResult
from tests.fakes.builders import build_money, caller, model, price, route, spec
from tests.fakes.ledger import FakeLedger
from tests.fakes.observer import Recorder
from tests.fakes.quota_store import FakeQuotaStore

PLAN = Plan(route=route(), price=price())
EVER = EntryFilter(since=0, until=2**62)


def hold_request(hold_id: str) -> HoldRequest:
    return build_hold_request(hold_id, spec(), PLAN, model(), caller(), cache_status=CacheStatus.MISS)


def paid(held: Hold, name: str) -> Entry:
    return build_entry(hold_request(name), held.admission.held_at)


class Mute(FakeQuotaStore):
    """Does a command, and loses its first answer."""

    mute = 1

    async def post(self, entry: Entry) -> PostResult:
        done = await super().post(entry)
        self.mute -= 1
        if self.mute >= 0:
            raise StateUnavailable("The answer is lost.")
        return done


class Slow(FakeQuotaStore):
    """Lets others go first."""

    async def post(self, entry: Entry) -> PostResult:
        done = await super().post(entry)
        await asyncio.sleep(0)
        return done


def scene(quotas: FakeQuotaStore) -> tuple[HoldQuota, FakeLedger, Recorder]:
    ledger, observer = FakeLedger(), Recorder()
    return build_money(quotas, ledger, observer), ledger, observer


async def agreed(money: HoldQuota, ledger: FakeLedger, observer: Recorder) -> list[str]:
    """Return the holds of the observed entries, which are those of the ledger."""
    await money.settlement.write_outbox()
    await money.settlement.sweep()
    observed = [event.entry.hold_id for event in observer.of(EntryPosted)]
    assert sorted(observed) == sorted([entry.hold_id async for entry in ledger.entries(EVER)])
    return observed


async def test_posted_and_voided() -> None:
    money, ledger, observer = scene(FakeQuotaStore(counted=True))
    async with money.hold("search", [hold_request("a"), hold_request("b")], []) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
        await held.void("b")
    assert await agreed(money, ledger, observer) == ["a"]
    assert observer.of(HoldVoided) == [HoldVoided(team="search")]
    assert sum(event.count for event in observer.of(EntriesWritten)) == 1


async def test_an_answer_that_was_lost_is_no_second_entry() -> None:
    money, ledger, observer = scene(Mute(counted=True))
    async with money.hold("search", [hold_request("a")], []) as held:
        await held.mark_sent()
        await held.post(paid(held, "a"))
    assert observer.of(EntryPosted) == []
    await money.settlement.extend_leases()
    assert await agreed(money, ledger, observer) == ["a"]


async def test_two_that_try_at_once_tell_once() -> None:
    quotas = Slow(counted=True)
    money, ledger, observer = scene(quotas)
    async with money.hold("search", [hold_request("a")], []) as held:
        await held.mark_sent()
        quotas.down = True
        await held.post(paid(held, "a"))
        quotas.down = False
        await asyncio.gather(money.settlement.extend_leases(), money.settlement.extend_leases())
    assert await agreed(money, ledger, observer) == ["a"]


async def test_who_comes_too_late_has_posted_nothing() -> None:
    quotas = FakeQuotaStore(counted=True)
    money, ledger, observer = scene(quotas)
    async with money.hold("search", [hold_request("a")], []) as held:
        await held.mark_sent()
        quotas.now += 61_000_000
        await money.settlement.sweep()
        await held.post(paid(held, "a"))
    assert await agreed(money, ledger, observer) == ["a"]
    assert [event.entry.status for event in observer.of(EntryPosted)] == [EntryStatus.LOST]


@pytest.mark.parametrize("fails_first", [False, True])
async def test_an_expired_entry_is_observed_by_the_replica_that_drains_it(fails_first: bool) -> None:
    quotas = FakeQuotaStore(counted=True)
    money, ledger, observer = scene(quotas)
    async with money.hold("search", [hold_request("a"), hold_request("b")], []) as held:
        await held.mark_sent()
        await held.post(paid(held, "b"))
    quotas.now += 61_000_000
    ledger.down = fails_first
    if fails_first:
        with pytest.raises(Exception, match="ledger"):
            await money.settlement.sweep()
        assert [event.entry.hold_id for event in observer.of(EntryPosted)] == ["b"]
    ledger.down = False
    await money.settlement.sweep()
    await money.settlement.drain_outbox("search")
    assert await agreed(money, ledger, observer) == ["b", "a"]


async def test_the_backlog_is_by_team() -> None:
    quotas = FakeQuotaStore(counted=True)
    money, _, _ = scene(quotas)
    async with money.hold("search", [hold_request("a"), hold_request("b")], []) as held:
        await held.mark_sent()
        backlog = money.settlement.backlog()
        assert (backlog.open_holds, backlog.held_amounts) == ({"search": 2}, {"search": 2 * hold_request("a").quote})
        assert (backlog.outbox_entries, backlog.oldest_posted_at, backlog.pending_settlements) == (0, None, 0)
        await held.post(paid(held, "a"))
        quotas.down = True
        await held.post(paid(held, "b"))
    backlog = money.settlement.backlog()
    assert (backlog.outbox_entries, backlog.oldest_posted_at, backlog.pending_settlements) == (
        1,
        quotas.now / 1_000_000,
        1,
    )
