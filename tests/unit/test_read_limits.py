"""The status of limits: read from the counters, which are rebuilt first if they are lost."""

import pytest

from service.domain.errors import StateUnavailable
from service.domain.ledger import HoldState
from service.domain.quota_limits import TEAM, Limit, Measure
from service.usecases.money.read_limits import ReadLimits
from tests.fakes.builders import build_money
from tests.fakes.quota_store import FakeQuotaStore

A_DOLLAR = Limit(TEAM, Measure.DAY, 1_000_000_000)


async def test_the_status_is_that_of_the_counters() -> None:
    ledger = FakeQuotaStore(counted=True)
    await ledger.hold("search", [], [A_DOLLAR], state=HoldState.SENT)

    (status,) = await ReadLimits(quotas=ledger, hold_quota=build_money(ledger)).read("search", [A_DOLLAR])

    assert (status.limit, status.used, status.remaining) == (A_DOLLAR, 0, 1_000_000_000)


async def test_counters_that_were_lost_are_rebuilt_first() -> None:
    ledger = FakeQuotaStore()

    (status,) = await ReadLimits(quotas=ledger, hold_quota=build_money(ledger)).read("search", [A_DOLLAR])

    assert status.used == 0


async def test_counters_that_stay_lost_are_not_shown() -> None:
    elsewhere = build_money(FakeQuotaStore())

    with pytest.raises(StateUnavailable, match="lost again"):
        await ReadLimits(quotas=FakeQuotaStore(), hold_quota=elsewhere).read("search", [A_DOLLAR])


async def test_no_limits_cost_no_read() -> None:
    ledger = FakeQuotaStore()
    ledger.down = True

    assert await ReadLimits(quotas=ledger, hold_quota=build_money(ledger)).read("search", []) == ()
