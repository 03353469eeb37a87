"""Say how much is kept for whoever asks the same again, and forget it: the operator's side of the cache.

Rule: a team or model that neither the settings know nor anything is kept for is a slip of the pen, told as
`InvalidValue`; those that left the settings can be named for as long as something of theirs is kept. A store that does
not answer is `StateUnavailable`. Who forgets is written down first, because one that goes away in between has forgotten
some: while the record cannot be written (`LedgerUnavailable`) nothing is forgotten.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.domain.catalog import Catalog
from service.domain.did_you_mean import did_you_mean
from service.domain.errors import InvalidValue, StateUnavailable
from service.usecases.ports.config import ConfigSnapshot
from service.usecases.ports.key_store import Actor, AuditRecord, KeyStore
from service.usecases.ports.result_store import ResultStats, ResultStore

UNAVAILABLE = "The cache does not answer."
SHARED_MESSAGE = "Teams share what is kept (cache.shared in gateway.yaml), so it cannot be chosen by team."


@dataclass(frozen=True, slots=True, kw_only=True)
class CountCachedResults:
    """The use case that looks. `live` gives teams and models; `shared`: what is kept belongs to no team."""

    results: ResultStore
    live: Callable[[], ConfigSnapshot]
    shared: bool

    async def __call__(self, team: str | None, model: str | None) -> ResultStats:
        """What is kept for a team, of a model (or alias), of both or in all."""
        return await self._stats(team, await self.model_of(team, model))

    async def model_of(self, team: str | None, model: str | None) -> str | None:
        """The id of the model that is meant. Raises `InvalidValue` for a team or model that is none."""
        live = self.live()
        if team is not None and self.shared:
            raise InvalidValue(SHARED_MESSAGE, param="team")
        if not (team in {None, *live.teams} or await self._is_kept(team, None)):
            near = did_you_mean(team or "", live.teams)
            raise InvalidValue(f"There is no such team, nor is anything kept for it.{near}", param="team")
        found = _model_id(model, live.catalog)
        if not (found in {None, *live.catalog.models, *live.catalog.retired} or await self._is_kept(None, found)):
            near = did_you_mean(model or "", live.catalog.models)
            raise InvalidValue(f"There is no such model, nor is anything kept of it.{near}", param="model")
        return found

    async def _is_kept(self, team: str | None, model: str | None) -> bool:
        return (await self._stats(team, model)).results > 0

    async def _stats(self, team: str | None, model: str | None) -> ResultStats:
        found = await self.results.stats(team, model)
        if found is None:
            raise StateUnavailable(UNAVAILABLE)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeCache:
    """The use case that forgets. `now` gives an aware UTC time."""

    count: CountCachedResults
    key_store: KeyStore
    now: Callable[[], datetime]

    async def __call__(self, actor: Actor, team: str | None, model: str | None) -> int:
        """Forget what is kept for a team, of a model (or alias), of both or in all. How many."""
        found = await self.count.model_of(team, model)
        await self.key_store.note(self._record(actor, team, found))
        gone = await self.count.results.purge(team, found)
        if gone is None:
            raise StateUnavailable(UNAVAILABLE)
        return gone

    def _record(self, actor: Actor, team: str | None, model: str | None) -> AuditRecord:
        whose = "every team" if team is None else f"team {team}"
        which = "every model" if model is None else f"model {model}"
        return AuditRecord(
            at=self.now(),
            actor=actor.name,
            action="cache.purge",
            subject="cache",
            detail=f"{whose}; {which}",
            request_id=actor.request_id,
        )


def _model_id(model: str | None, catalog: Catalog) -> str | None:
    """The name under which results of a model are kept, also where an alias is asked for."""
    if model in catalog.models:
        return model
    return next((each.id for each in catalog.models.values() if model in each.aliases), model)
