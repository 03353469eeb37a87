"""Read every few seconds how things stand, so that whoever asks for metrics waits for nothing.

Rule: budgets are those of the counters that admit requests, made right first where they are lost, one team after
another. Where the store does not answer there are none in this round; everything else is at hand.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from service.domain.catalog import Catalog, is_gone
from service.domain.errors import StateUnavailable
from service.domain.ledger import all_limits
from service.domain.limits import MONEY, Limit, Standing
from service.domain.readings import Backlog, Expiry, Readings
from service.domain.teams import Key, Team
from service.usecases.events import ReadingsTaken
from service.usecases.know_callers import Live
from service.usecases.ports import Observer
from service.usecases.read_limits import ReadLimits

AHEAD = timedelta(days=60)
"""Keys that end later are not told yet: there may be very many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeReadings:
    """The use case. `now` gives an aware UTC time, `sleep` waits for seconds; `seconds` lie between two rounds."""

    live: Callable[[], Live]
    backlog: Callable[[], Backlog]
    standings: ReadLimits
    observe: Observer
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    seconds: float

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.take()
            await self.sleep(self.seconds)

    async def take(self) -> None:
        """One round."""
        live = self.live()
        budgets = await self._budgets(live.teams.values())
        now = self.now()
        self.observe(
            ReadingsTaken(
                readings=Readings(
                    at=now.timestamp(),
                    teams=tuple(live.teams),
                    backlog=self.backlog(),
                    budgets=budgets,
                    expiries=expiries(live.keys.values(), now),
                    shutdowns=shutdowns(live.catalog, now.date()),
                    models=models(live.catalog),
                    version=live.version,
                )
            )
        )

    async def _budgets(self, teams: Iterable[Team]) -> Mapping[str, Sequence[Standing]] | None:
        try:
            return {team.name: await self.standings(team.name, budgets_of(team)) for team in teams}
        except StateUnavailable:
            return None


def budgets_of(team: Team) -> tuple[Limit, ...]:
    """A team's limits in money; not those of its keys."""
    return tuple(limit for limit in all_limits(Key(id="", team=team, digest="")) if limit.measure in MONEY)


def expiries(keys: Iterable[Key], now: datetime) -> tuple[Expiry, ...]:
    """The keys that end soon and have not yet."""
    soon = ((key, key.expires) for key in keys if key.expires and now < key.expires < now + AHEAD)
    return tuple(Expiry(team=key.team.name, key=key.id, at=at) for key, at in soon)


def shutdowns(catalog: Catalog, today: date) -> Mapping[str, date]:
    """The announced ends of models that are still served."""
    alive = ((model.id, model.shutdown_date) for model in catalog.models.values() if not is_gone(model, today))
    return {name: day for name, day in alive if day}


def models(catalog: Catalog) -> Mapping[tuple[str, str], str]:
    """What the catalog calls a model of a backend; of several names for the same, the first."""
    named: dict[tuple[str, str], str] = {}
    for model in catalog.models.values():
        for route in model.routes:
            named.setdefault((route.backend, route.model), model.id)
    return named
