"""Count and purge of cached results by operators.

Rule: a team or model that left the settings can be named as long as the cache has results of it. The audit record is
written before the purge, because a purge that is interrupted has deleted a part.

Fails with: `InvalidValue` for an unknown team or model; `StateUnavailable` while the cache does not answer;
`LedgerUnavailable` while the audit record cannot be written, and then nothing is purged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.domain.catalog import Catalog
from service.domain.did_you_mean import did_you_mean
from service.domain.errors import InvalidValue, StateUnavailable
from service.usecases.ports.config import ConfigSource
from service.usecases.ports.key_store import Actor, AuditRecord, KeyStore
from service.usecases.ports.result_store import ResultStats, ResultStore

UNAVAILABLE = "The cache does not answer."
SHARED_MESSAGE = "Teams share what is kept (cache.shared in gateway.yaml), so it cannot be chosen by team."


@dataclass(frozen=True, slots=True, kw_only=True)
class CountCachedResults:
    """The count of cached results.

    Attributes:
        config: Teams and models in force.
        shared: Whether all teams share the cache, so that a result belongs to no team.
    """

    results: ResultStore
    config: ConfigSource
    shared: bool

    async def count(self, team: str | None, model: str | None) -> ResultStats:
        """Count the results of a team, of a model or alias, of both or all."""
        return await self._stats(team, await self.resolve_model(team, model))

    async def resolve_model(self, team: str | None, model: str | None) -> str | None:
        """Return the id of a model or alias. Raises `InvalidValue` for an unknown team or model."""
        snapshot = self.config.snapshot()
        if team is not None and self.shared:
            raise InvalidValue(SHARED_MESSAGE, param="team")
        if not (team in {None, *snapshot.teams} or await self._has_results(team, None)):
            hint = did_you_mean(team or "", snapshot.teams)
            raise InvalidValue(f"There is no such team, nor is anything kept for it.{hint}", param="team")
        model_id = _model_id(model, snapshot.catalog)
        if not (
            model_id in {None, *snapshot.catalog.models, *snapshot.catalog.retired}
            or await self._has_results(None, model_id)
        ):
            hint = did_you_mean(model or "", snapshot.catalog.models)
            raise InvalidValue(f"There is no such model, nor is anything kept of it.{hint}", param="model")
        return model_id

    async def _has_results(self, team: str | None, model: str | None) -> bool:
        return (await self._stats(team, model)).results > 0

    async def _stats(self, team: str | None, model: str | None) -> ResultStats:
        stats = await self.results.stats(team, model)
        if stats is None:
            raise StateUnavailable(UNAVAILABLE)
        return stats


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeCache:
    """The purge of cached results. `now` returns an aware UTC time."""

    cached: CountCachedResults
    key_store: KeyStore
    now: Callable[[], datetime]

    async def purge(self, actor: Actor, team: str | None, model: str | None) -> int:
        """Delete the results of a team, of a model or alias, of both or all. Returns their number."""
        model_id = await self.cached.resolve_model(team, model)
        await self.key_store.add_record(self._record(actor, team, model_id))
        deleted = await self.cached.results.purge(team, model_id)
        if deleted is None:
            raise StateUnavailable(UNAVAILABLE)
        return deleted

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
    """Return the id of the model that an alias stands for."""
    if model in catalog.models:
        return model
    return next((known_model.id for known_model in catalog.models.values() if model in known_model.aliases), model)
