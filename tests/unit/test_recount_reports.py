"""After a loss of Redis every live replica reports before a request is admitted."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.ledger import HoldState
from service.domain.quota_limits import TEAM, Limit, Measure
from service.usecases.money.hold_quota import Hold, HoldQuota
from service.usecases.money.recount_reports import ALIVE_SECONDS, RecountReports
from service.usecases.money.settlement import Intervals
from service.usecases.ports.replica_registry import Recount
from tests.fakes.builders import build_money
from tests.fakes.ledger import FakeLedger
from tests.fakes.quota_store import FakeQuotaStore
from tests.fakes.replica_registry import FakeReplicaRegistry
from tests.support.quota_stores import CENT, FakeStore, QuotaHarness

DAY = Limit(TEAM, Measure.DAY, 50 * CENT)
SENT = HoldState.SENT


class Site:
    """Two replicas on one store, one database and one clock. While one waits, the others in `awake` go on."""

    def __init__(self) -> None:
        self.ledger, self.entry_ledger, self.replicas = (
            FakeQuotaStore(counted=True),
            FakeLedger(),
            FakeReplicaRegistry(),
        )
        self.stage = QuotaHarness(FakeStore(self.ledger), "search", self.ledger)
        self.one, self.other = (self.replica(name) for name in ("one", "other"))
        self.awake: list[HoldQuota] = [self.one, self.other]
        self.open: list[AbstractAsyncContextManager[Hold]] = []  # a hold without a reference is ended

    def replica(self, name: str) -> HoldQuota:
        money = build_money(self.ledger, self.entry_ledger, intervals=Intervals(), replicas=self.replicas, name=name)
        money.recount_reports.monotonic = lambda: self.replicas.now
        money.recount_reports.sleep = self.go_on
        return money

    async def go_on(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.replicas.now += seconds
        for money in self.awake:
            await money.recount_reports.heartbeat()

    async def begin(self) -> None:
        for money in (self.one, self.other):
            await money.recount_reports.heartbeat()
        await self.go_on(ALIVE_SECONDS)

    async def hold_and_post(self, money: HoldQuota) -> None:
        """Hold 20 cents, and leave the hold open."""
        holding = money.hold("search", [self.stage.hold_request()], [DAY], SENT)
        self.open.append(holding)
        await holding.__aenter__()


@pytest.fixture
async def site() -> Site:
    site = Site()
    await site.begin()
    return site


async def test_calls_under_way_elsewhere_are_counted_after_a_wipe(site: Site) -> None:
    for _ in range(2):
        await site.hold_and_post(site.one)
    site.ledger.forget()
    with pytest.raises(LimitExceeded):
        await site.hold_and_post(site.other)
    assert await site.stage.used() == 40 * CENT
    assert site.replicas.recounts == {}


async def test_entries_that_are_not_written_elsewhere_are_counted_after_a_wipe(site: Site) -> None:
    for _ in range(2):
        claim = site.stage.hold_request()
        async with site.one.hold("search", [claim], [DAY], SENT) as held:
            await held.post(claim.entry)
    site.ledger.forget()
    assert site.entry_ledger.written == {}
    with pytest.raises(LimitExceeded):
        await site.hold_and_post(site.other)
    assert len(site.entry_ledger.written) == 2


async def test_what_is_owed_elsewhere_is_counted_after_a_wipe(site: Site) -> None:
    claims = [site.stage.hold_request() for _ in range(2)]
    async with site.one.hold("search", claims, [DAY], SENT) as held:
        site.ledger.down = True
        for claim in claims:
            await held.post(claim.entry)
        site.ledger.down = False
        site.ledger.forget()
        with pytest.raises(LimitExceeded):
            await site.hold_and_post(site.other)


async def test_no_request_is_admitted_while_a_report_is_missing(site: Site) -> None:
    await site.hold_and_post(site.one)
    site.ledger.forget()

    site.one.settlement.quotas = unreachable = FakeQuotaStore()
    unreachable.down = True
    with pytest.raises(StateUnavailable, match="other replicas have not reported"):
        await site.hold_and_post(site.other)


async def test_a_replica_that_is_dead_is_waited_for_no_longer_than_it_takes_to_know(site: Site) -> None:
    await site.hold_and_post(site.one)
    site.ledger.forget()
    site.awake.remove(site.one)
    before = site.replicas.now
    await site.hold_and_post(site.other)
    assert site.replicas.now - before <= ALIVE_SECONDS + 1


async def test_a_replica_that_went_in_order_is_not_waited_for(site: Site) -> None:
    await site.one.recount_reports.close()
    site.awake.remove(site.one)
    site.ledger.forget()
    before = site.replicas.now
    await site.hold_and_post(site.other)
    assert site.replicas.now == before


async def test_after_the_database_was_away_others_are_given_time_to_show_themselves(site: Site) -> None:
    """All signs of life are old then. A replica that took the others for dead would rebuild without them."""
    for _ in range(2):
        await site.hold_and_post(site.one)
    site.ledger.forget()
    site.replicas.down = True
    with pytest.raises(StateUnavailable):
        await site.hold_and_post(site.other)
    site.awake.remove(site.one)
    await site.go_on(60)
    site.replicas.down = False
    await site.other.recount_reports.heartbeat()
    rebuilding = asyncio.create_task(site.hold_and_post(site.other))
    await asyncio.sleep(0)
    site.awake.append(site.one)
    with pytest.raises(LimitExceeded):
        await rebuilding


class LateAnswer(FakeQuotaStore):
    """Answers a hold only when it is allowed to."""

    def __init__(self) -> None:
        super().__init__(counted=True)
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.late = False

    async def hold(self, team, hold_requests, limits, *, state):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
        admission = await super().hold(team, hold_requests, limits, state=state)
        if self.late:
            self.asked.set()
            await self.answer.wait()
        return admission


async def test_a_hold_whose_answer_is_on_its_way_is_waited_for() -> None:
    ledger = LateAnswer()
    stage = QuotaHarness(FakeStore(ledger), "search", ledger)
    money = build_money(ledger, FakeLedger())
    ledger.late = True
    block = money.hold("search", [stage.hold_request()], [DAY], SENT)
    holding = asyncio.create_task(block.__aenter__())
    await ledger.asked.wait()
    ledger.forget()
    reporting = asyncio.create_task(money.settlement.publish_team_state("search"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not reporting.done()
    ledger.answer.set()
    await holding
    await reporting
    assert len((await ledger.snapshot("search")).open_holds) == 1


async def test_a_replica_with_its_own_redis_asks_no_other() -> None:
    money = build_money()
    recounts: RecountReports = money.recount_reports
    await recounts.heartbeat()
    assert not await recounts.wait_for_reports(Recount(team="search", epoch="1"))
    await recounts.finish(Recount(team="search", epoch="1"))
    await recounts.close()


async def test_all_who_need_a_rebuild_wait_for_the_same(site: Site) -> None:
    site.ledger.forget()
    outcomes = await asyncio.gather(*(site.hold_and_post(site.other) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(item, LimitExceeded) for item in outcomes) == 3
    assert sum(item is None for item in outcomes) == 2


async def test_a_store_that_is_emptied_while_others_report_is_counted_once_more(site: Site) -> None:
    for _ in range(2):
        await site.hold_and_post(site.one)
    site.ledger.forget()
    waits = 0

    async def emptied_at_first(seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 1:
            site.ledger.forget()
        await site.go_on(seconds)

    site.other.recount_reports.sleep = emptied_at_first
    with pytest.raises(LimitExceeded):
        await site.hold_and_post(site.other)
    assert await site.stage.used() == 40 * CENT


async def test_life_is_shown_again_and_again(site: Site) -> None:
    beats = 0

    async def until_the_third(seconds: float) -> None:
        nonlocal beats
        beats += 1
        site.replicas.now += seconds
        if beats == 3:
            raise asyncio.CancelledError

    site.one.recount_reports.sleep = until_the_third
    with pytest.raises(asyncio.CancelledError):
        await site.one.recount_reports.run()
    assert beats == 3
