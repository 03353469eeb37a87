"""Read every few seconds how things stand, so that whoever asks for metrics waits for nothing.

Rule: budgets are those of the counters that admit requests, made right first where they are lost, one team after
another; of very many teams some in each round, so that those of others are some rounds old. Where the store does not
answer there are none in this round; everything else is at hand.
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
"""Keys that end later are not told yet: there may be very many."""


@dataclass(slots=True, kw_only=True)
class CollectGauges:
    """The use case. `now` gives an aware UTC time, `interval_seconds` lie between two rounds."""

    config: ConfigSource
    settlement: Settlement
    read_limits: ReadLimits
    observe: Observer
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    interval_seconds: float
    _last_team: str = ""
    _status_by_team: dict[str, Sequence[LimitStatus]] = field(default_factory=dict)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.collect()
            await self.sleep(self.interval_seconds)

    async def collect(self) -> None:
        """One round."""
        snapshot = self.config.snapshot()
        budgets = await self._budgets(snapshot.teams)
        now = self.now()
        self.observe(
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
                self._status_by_team[name] = await self.read_limits(name, money_limits(teams[name]))
        except StateUnavailable:
            return None
        return {**self._status_by_team}


def money_limits(team: Team) -> tuple[Limit, ...]:
    """A team's limits in money; not those of its keys."""
    return tuple(limit for limit in all_limits(Key(id="", team=team, digest="")) if limit.measure in MONEY)


def expiring_keys(keys: Iterable[Key], now: datetime) -> tuple[KeyExpiry, ...]:
    """The keys that end soon and have not yet."""
    soon = ((key, key.expires_at) for key in keys if key.expires_at and now < key.expires_at < now + EXPIRY_HORIZON)
    return tuple(KeyExpiry(team=key.team.name, key=key.id, expires_at=at) for key, at in soon)


def upcoming_shutdowns(catalog: Catalog, today: date) -> Mapping[str, date]:
    """The announced ends of models that are still served."""
    alive = ((model.id, model.shutdown_date) for model in catalog.models.values() if not is_shut_down(model, today))
    return {name: day for name, day in alive if day}


def model_names(catalog: Catalog) -> Mapping[tuple[str, str], str]:
    """What the catalog calls a model of a backend; of several names for the same, the first."""
    names: dict[tuple[str, str], str] = {}
    for model in catalog.models.values():
        for route in model.routes:
            names.setdefault((route.backend, route.model), model.id)
    return names
