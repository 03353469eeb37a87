"""How things stand, read for whoever watches."""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest

from service.domain.catalog import Catalog
from service.domain.quota_limits import Limits, Measure
from service.domain.state_snapshot import Backlog, KeyExpiry
from service.domain.team_access import Key, Team
from service.usecases.admin.collect_gauges import CollectGauges
from service.usecases.background.loop_lag import LoopLagMonitor
from service.usecases.background.round_robin import BATCH_SIZE
from service.usecases.money.read_limits import ReadLimits
from service.usecases.ports.config import ConfigSnapshot, FixedConfig
from service.usecases.ports.events import GaugesCollected, LoopLagged
from tests.fakes.builders import NOW, build_money, catalog, model, route
from tests.fakes.observer import Recorder
from tests.fakes.quota_store import FakeQuotaStore

DOLLAR = 1_000_000_000
MONEY = Limits(requests_per_minute=9, usd_per_day=DOLLAR, usd_per_month=2 * DOLLAR)
ADS = Team(name="ads", limits=MONEY, limits_by_tier={"high": Limits(usd_per_day=7)})
IDLE = Backlog(open_holds={}, held_amounts={}, outbox_entries=0, oldest_posted_at=None, pending_settlements=0)


def key(name: str, expires: datetime | None) -> Key:
    return Key(id=name, team=ADS, digest=name, expires_at=expires, limits=Limits(usd_per_day=1))


def live(*keys: Key, models: Catalog | None = None) -> ConfigSnapshot:
    known = {each.digest: each for each in keys}
    return ConfigSnapshot(
        catalog=models or catalog(), teams={"ads": ADS, "free": Team(name="free")}, keys=known, version="v1"
    )


class Waits:
    """Takes the place of sleeping: notes how long, and ends the story after so many times."""

    def __init__(self, times: int, wake: Callable[[float], None] = lambda _: None) -> None:
        self.asked: list[float] = []
        self._times = times
        self._wake = wake

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._wake(seconds)
        if len(self.asked) == self._times:
            raise asyncio.CancelledError


def story(
    observer: Recorder, now: ConfigSnapshot, ledger: FakeQuotaStore | None = None, waits: Waits | None = None
) -> CollectGauges:
    store = ledger or FakeQuotaStore()
    money = build_money(store)
    return CollectGauges(
        config=FixedConfig(now),
        settlement=money.settlement,
        read_limits=ReadLimits(quotas=store, hold_quota=money),
        observer=observer,
        now=lambda: NOW,
        sleep=waits or Waits(1),
        interval_seconds=3,
    )


async def test_budgets_are_those_of_teams_in_money_and_counters_are_made_right_first() -> None:
    observer = Recorder()
    await story(observer, live()).collect()
    (event,) = observer.of(GaugesCollected)
    read = event.snapshot
    assert read.budgets is not None
    assert [(one.limit.scope, one.limit.measure, one.limit.maximum) for one in read.budgets["ads"]] == [
        ("team", Measure.DAY, DOLLAR),
        ("team", Measure.MONTH, 2 * DOLLAR),
        ("tier:high", Measure.DAY, 7),
    ]
    assert read.budgets["free"] == ()
    assert (read.teams, read.version, read.backlog) == (("ads", "free"), "v1", IDLE)
    assert read.taken_at == NOW.timestamp()


async def test_of_very_many_teams_some_are_read_in_each_round_and_all_in_the_end() -> None:
    names = [f"team-{number:03}" for number in range(BATCH_SIZE + 2)]
    teams = {name: Team(name=name, limits=MONEY) for name in names}
    now = ConfigSnapshot(catalog=catalog(), teams=teams, keys={}, version="v1")
    observer = Recorder()
    reading = story(observer, now)
    await reading.collect()
    now.teams.pop(names[0])  # type: ignore[attr-defined]  # a dict here
    await reading.collect()
    first, second = (event.snapshot.budgets for event in observer.of(GaugesCollected))
    assert (first and [*first], second and sorted(second)) == (names[:BATCH_SIZE], names[1:])


async def test_without_the_store_the_rest_is_read() -> None:
    observer, ledger = Recorder(), FakeQuotaStore()
    ledger.down = True
    await story(observer, live(), ledger).collect()
    (event,) = observer.of(GaugesCollected)
    assert event.snapshot.budgets is None
    assert event.snapshot.teams == ("ads", "free")


async def test_keys_that_end_soon_and_have_not_yet() -> None:
    observer, soon = Recorder(), NOW + timedelta(days=59)
    known = (key("soon", soon), key("later", NOW + timedelta(days=61)), key("over", NOW), key("never", None))
    await story(observer, live(*known)).collect()
    (event,) = observer.of(GaugesCollected)
    assert event.snapshot.key_expiries == (KeyExpiry(team="ads", key="soon", expires_at=soon),)


async def test_models_that_are_to_end_and_what_backends_call_them() -> None:
    ends = model(id="old", shutdown_date=date(2999, 1, 1), routes=(route(backend="alpha", model="a/old"),))
    gone = model(id="gone", shutdown_date=date(2020, 1, 1), routes=(route(backend="alpha", model="a/old"),))
    observer = Recorder()
    await story(observer, live(models=catalog(model(), ends, gone))).collect()
    (event,) = observer.of(GaugesCollected)
    assert event.snapshot.shutdowns == {"old": date(2999, 1, 1)}
    assert event.snapshot.model_names["alpha", "a/old"] == "old"


async def test_it_is_read_again_and_again() -> None:
    observer, waits = Recorder(), Waits(2)
    with pytest.raises(asyncio.CancelledError):
        await story(observer, live(), waits=waits).run()
    assert (len(observer.of(GaugesCollected)), waits.asked) == (2, [3, 3])


async def test_the_loop_is_as_late_as_a_timer() -> None:
    observer, clock = Recorder(), [0.0]

    def wake(seconds: float) -> None:
        clock[0] += seconds + 0.25

    with pytest.raises(asyncio.CancelledError):
        await LoopLagMonitor(observer=observer, monotonic=lambda: clock[0], sleep=Waits(3, wake)).run()
    assert observer.of(LoopLagged) == [LoopLagged(lag_seconds=0.25)] * 2
