"""Collection of the gauges of metrics every few seconds, so that a scrape waits for no store.

Rule: budgets are read from the counters that admit requests. Lost counters are rebuilt first, one team after another. A
round reads a batch of the teams, so budgets may be some rounds old.

Fails with: nothing. While the store does not answer, a round has no budgets; the other gauges are in memory.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from service.domain.catalog import Catalog, is_shut_down
from service.domain.errors import StateUnavailable
from service.domain.ledger import all_limits
from service.domain.quota_limits import MONEY, Limit, LimitStatus
from service.domain.state_snapshot import KeyExpiry, StateSnapshot
from service.domain.team_access import Key, Team
from service.usecases.background.round_robin import next_batch
from service.usecases.money.read_limits import ReadLimits
from service.usecases.money.settlement import Settlement
from service.usecases.ports.config import ConfigSource
from service.usecases.ports.events import GaugesCollected
from service.usecases.ports.observer import Observer

EXPIRY_HORIZON = timedelta(days=60)
"""Keys that expire later have no metric, because there may be thousands."""


@dataclass(slots=True, kw_only=True)
class CollectGauges:
    """The collection, with `interval_seconds` between two rounds. `now` returns an aware UTC time."""

    config: ConfigSource
    settlement: Settlement
    read_limits: ReadLimits
    observer: Observer
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    interval_seconds: float
    _last_team: str = ""
    _status_by_team: dict[str, Sequence[LimitStatus]] = field(default_factory=dict)

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            await self.collect()
            await self.sleep(self.interval_seconds)

    async def collect(self) -> None:
        """Collect once."""
        snapshot = self.config.snapshot()
        budgets = await self._budgets(snapshot.teams)
        now = self.now()
        self.observer.record(
            GaugesCollected(
                snapshot=StateSnapshot(
                    taken_at=now.timestamp(),
                    teams=tuple(snapshot.teams),
                    backlog=self.settlement.backlog(),
                    budgets=budgets,
                    key_expiries=expiring_keys(snapshot.keys.values(), now),
                    shutdowns=upcoming_shutdowns(snapshot.catalog, now.date()),
                    model_names=model_names(snapshot.catalog),
                    version=snapshot.version,
                )
            )
        )

    async def _budgets(self, teams: Mapping[str, Team]) -> Mapping[str, Sequence[LimitStatus]] | None:
        self._status_by_team = {name: status for name, status in self._status_by_team.items() if name in teams}
        try:
            for name in next_batch(teams, self._last_team):
                self._last_team = name
                self._status_by_team[name] = await self.read_limits.read(name, money_limits(teams[name]))
        except StateUnavailable:
            return None
        return {**self._status_by_team}


def money_limits(team: Team) -> tuple[Limit, ...]:
    """Return a team's limits in money, without those of its keys."""
    return tuple(limit for limit in all_limits(Key(id="", team=team, digest="")) if limit.measure in MONEY)


def expiring_keys(keys: Iterable[Key], now: datetime) -> tuple[KeyExpiry, ...]:
    """Return the keys that expire within the horizon."""
    soon = ((key, key.expires_at) for key in keys if key.expires_at and now < key.expires_at < now + EXPIRY_HORIZON)
    return tuple(KeyExpiry(team=key.team.name, key=key.id, expires_at=at) for key, at in soon)


def upcoming_shutdowns(catalog: Catalog, today: date) -> Mapping[str, date]:
    """Return the announced shutdowns of models that are still served."""
    alive = ((model.id, model.shutdown_date) for model in catalog.models.values() if not is_shut_down(model, today))
    return {name: day for name, day in alive if day}


def model_names(catalog: Catalog) -> Mapping[tuple[str, str], str]:
    """Return the catalog's name of each model of a backend; the first one if there are several."""
    names: dict[tuple[str, str], str] = {}
    for model in catalog.models.values():
        for route in model.routes:
            names.setdefault((route.backend, route.model), model.id)
    return names
