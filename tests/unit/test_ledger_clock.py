"""Effects of the clock on the fake: rates, midnights, leases. The real store obeys the contract suite."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import LimitExceeded, StateUnavailable
from service.domain.ledger import HoldState
from service.domain.limit_errors import SECOND
from service.domain.quota_limits import TEAM, Limit, Measure
from service.usecases.ports.ledger import Spent
from service.usecases.ports.quota_store import PostResult
from tests.fakes.quota_store import TOMBSTONE, FakeQuotaStore
from tests.support.quota_stores import CENT, FakeStore, QuotaHarness

SENT = HoldState.SENT
DAILY, MONTHLY = Limit(TEAM, Measure.DAY, 30 * CENT), Limit(TEAM, Measure.MONTH, 50 * CENT)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * SECOND)


@pytest.fixture
def fake() -> FakeQuotaStore:
    return FakeQuotaStore(counted=True)


@pytest.fixture
def stage(fake: FakeQuotaStore) -> QuotaHarness:
    return QuotaHarness(FakeStore(fake), "search", fake)


@given(most=st.integers(1, 100), images=st.lists(st.integers(0, 9), max_size=20), later=st.integers(0, 62 * SECOND))
async def test_a_rate_gives_all_of_it_at_once_and_again_when_a_minute_is_over(
    most: int, images: list[int], later: int
) -> None:
    fake = FakeQuotaStore(counted=True)
    stage, limit = QuotaHarness(FakeStore(fake), "search", fake), Limit(TEAM, Measure.IMAGES, most)
    taken = 0
    for number in images:
        try:
            await fake.hold("search", [stage.hold_request(images=number)], [limit], state=SENT)
        except LimitExceeded:
            assert taken + number > most
            continue
        taken += number
        assert taken <= most
    assert (await stage.limit_status(limit)).used == taken
    fake.now += later
    left = most if later >= 60 * SECOND else most - taken
    assert (await stage.limit_status(limit)).remaining == left
    await fake.hold("search", [stage.hold_request(images=left)], [limit], state=SENT)
    with pytest.raises(LimitExceeded):
        await fake.hold("search", [stage.hold_request(images=1)], [limit], state=SENT)


async def test_a_refused_claim_fits_after_the_wait_and_not_before(fake: FakeQuotaStore, stage: QuotaHarness) -> None:
    limit = Limit(TEAM, Measure.IMAGES, 7)
    await fake.hold("search", [stage.hold_request(images=7)], [limit], state=SENT)
    with pytest.raises(LimitExceeded) as refused:
        await fake.hold("search", [stage.hold_request(images=2)], [limit], state=SENT)
    wait = round((refused.value.limit_status.wait_seconds or 0) * SECOND)
    assert refused.value.limit_status.resets_in == refused.value.limit_status.wait_seconds == 60
    fake.now += wait - 1
    with pytest.raises(LimitExceeded):
        await fake.hold("search", [stage.hold_request(images=2)], [limit], state=SENT)
    fake.now += 1
    await fake.hold("search", [stage.hold_request(images=2)], [limit], state=SENT)


async def test_a_day_and_a_month_begin_anew_at_midnight(fake: FakeQuotaStore, stage: QuotaHarness) -> None:
    fake.now = at("2026-11-29T23:59:59")
    limits = [DAILY, MONTHLY]
    admission = await fake.hold("search", [stage.hold_request(quote=30 * CENT)], limits, state=SENT)
    assert [standing.resets_in for standing in admission.limit_status] == [1, 86_401]
    fake.now = at("2026-11-30T00:00:00")
    assert [standing.used for standing in await fake.limit_status("search", limits)] == [0, 30 * CENT]
    with pytest.raises(LimitExceeded) as refused:
        await fake.hold("search", [stage.hold_request(quote=30 * CENT)], limits, state=SENT)
    assert (refused.value.limit_status.limit, refused.value.limit_status.wait_seconds) == (MONTHLY, 86_400)
    fake.now = at("2026-12-01T00:00:00")
    await fake.hold("search", [stage.hold_request(quote=30 * CENT)], limits, state=SENT)


async def test_a_hold_is_booked_in_the_windows_it_was_made_in(fake: FakeQuotaStore, stage: QuotaHarness) -> None:
    fake.now = at("2026-11-30T23:59:59")
    first, second = stage.hold_request(), stage.hold_request()
    await fake.hold("search", [first, second], [], state=SENT)
    fake.now = at("2026-12-01T00:00:01")
    posted = await fake.post(first.entry)
    await fake.void("search", second.hold_id)
    assert (posted.held_at, posted.posted_at) == (at("2026-11-30T23:59:59"), fake.now)
    assert (await stage.used(), await stage.used(Measure.MONTH)) == (0, 0)
    fake.now = at("2026-11-30T23:59:59")
    assert (await stage.used(), await stage.used(Measure.MONTH)) == (20 * CENT, 20 * CENT)


async def test_a_rebuild_takes_the_open_holds_of_its_windows(fake: FakeQuotaStore, stage: QuotaHarness) -> None:
    for day in ("2026-10-31T12:00:00", "2026-11-20T12:00:00", "2026-11-21T12:00:00"):
        fake.now = at(day)
        await fake.hold("search", [stage.hold_request()], [], state=SENT)
    fake.restart()
    assert await stage.rebuild({TEAM: 1}, {TEAM: 2})
    assert (await stage.used(), await stage.used(Measure.MONTH)) == (20 * CENT + 1, 40 * CENT + 2)
    audit = await fake.snapshot("search")
    fake.now = at("2026-11-22T00:00:00")
    assert not await fake.rebuild("search", audit, Spent(at=audit.at, day={}, month={}), ())


async def test_a_lease_is_over_when_its_time_is(fake: FakeQuotaStore, stage: QuotaHarness) -> None:
    claim = stage.hold_request()
    await fake.hold("search", [claim], [], state=SENT)
    fake.now += 60 * SECOND - 1
    assert await fake.sweep("search") == ()
    await fake.extend("search", [claim])
    fake.now += 60 * SECOND - 1
    assert await fake.sweep("search") == ()
    fake.now += 1
    assert await fake.sweep("search") == (HoldState.EXPIRED,)


async def test_what_ended_is_remembered_for_an_hour(fake: FakeQuotaStore, stage: QuotaHarness) -> None:
    claim = stage.hold_request()
    await fake.hold("search", [claim], [], state=SENT)
    await fake.post(claim.entry)
    fake.now += TOMBSTONE - 1
    assert await fake.post(claim.entry) == PostResult(state=HoldState.POSTED)
    fake.now += 1
    assert (await fake.post(claim.entry)).outbox_id


async def test_who_leads_leads_until_its_time_is_over(fake: FakeQuotaStore) -> None:
    assert await fake.acquire_leadership("one", 10)
    fake.now += 10 * SECOND - 1
    assert not await fake.acquire_leadership("other", 10)
    assert await fake.acquire_leadership("one", 10)
    fake.now += 10 * SECOND
    assert await fake.acquire_leadership("other", 10)


async def test_a_store_that_is_down_is_unavailable_in_every_verb(fake: FakeQuotaStore, stage: QuotaHarness) -> None:
    fake.down = True
    for call in (
        fake.hold("search", [stage.hold_request()], [], state=SENT),
        fake.post(stage.hold_request().entry),
        fake.limit_status("search", []),
        fake.register_teams([]),
        fake.acquire_leadership("one", 1),
    ):
        with pytest.raises(StateUnavailable, match="does not answer"):
            await call
