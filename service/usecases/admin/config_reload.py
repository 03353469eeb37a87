"""Know which models and teams there are and whose key is whose, also when that changes while running.

Rule: a request sees one version of it all. Files that have changed are read again; one that is wrong is refused, told,
and the version before stays. So is one that would lock every caller out (`domain/config_lockout.py`). Keys that were
issued are asked for every few seconds; while the store is away, those known last count.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.config_lockout import UsableConfig, find_lockout, find_usable
from service.domain.errors import LedgerUnavailable
from service.domain.team_access import Key, Team
from service.usecases.ports.config import Config, ConfigSnapshot
from service.usecases.ports.events import SettingsReloaded
from service.usecases.ports.key_store import IssuedKey, KeyStore
from service.usecases.ports.observer import Observer

UNEXPECTED_ERROR = "They could not be read: a mistake of the gateway's own. A line `crash` says where."


@dataclass(slots=True, kw_only=True)
class ConfigReload:
    """The use case. `read` gives what the files say, or what is wrong with them; `stamp` changes when they do.

    It begins with `known`, and with `seen`, the stamp from before that was read. `on` are the backends that are on.
    """

    known: Config
    seen: object
    read: Callable[[], Config | str]
    stamp: Callable[[], object]
    key_store: KeyStore
    observe: Observer
    on: frozenset[str]
    now: Callable[[], datetime]
    seconds: float = 2.0
    _issued: Sequence[IssuedKey] = ()
    _live: ConfigSnapshot = field(init=False)

    def __post_init__(self) -> None:
        """Begin with what the files say."""
        self._live = build_snapshot(self.known, self._issued)

    def live(self) -> ConfigSnapshot:
        """The version in force."""
        return self._live

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self.seconds)

    async def refresh(self) -> None:
        """Look once."""
        await self._read_again()
        try:
            self._issued = await self.key_store.keys()
        except LedgerUnavailable:
            return
        self._live = build_snapshot(self.known, self._issued)

    async def _read_again(self) -> None:
        """In a thread: files of thousands of teams take seconds, in which requests go on."""
        stamp = self.stamp()
        if stamp == self.seen:
            return
        self.seen = stamp
        try:
            found = await asyncio.to_thread(self.read)
        except Exception:
            self.observe(SettingsReloaded(problem=UNEXPECTED_ERROR))
            raise
        if self.stamp() != stamp:
            return  # the files were being changed: the next look reads them whole
        self.observe(SettingsReloaded(problem=self._take(found)))

    def _take(self, found: Config | str) -> str | None:
        """Put what the files say in force, or return why not."""
        if isinstance(found, str):
            return found
        live = build_snapshot(found, self._issued)
        problem = find_lockout(self._usable(self._live), self._usable(live))
        if problem is None:
            self.known, self._live = found, live
        return problem

    def _usable(self, live: ConfigSnapshot) -> UsableConfig:
        return find_usable(live.teams, live.keys.values(), live.catalog, self.on, self.now())


def build_snapshot(known: Config, issued: Iterable[IssuedKey]) -> ConfigSnapshot:
    """Keys of the file and issued ones; an issued key of a team that is gone lets nobody in, a revoked one neither."""
    teams = known.roster.teams
    keys = {key.digest: _to_key(key, teams[key.team]) for key in issued if key.team in teams and key.revoked_at is None}
    return ConfigSnapshot(catalog=known.catalog, teams=teams, keys={**keys, **known.roster.keys}, version=known.version)


def _to_key(key: IssuedKey, team: Team) -> Key:
    allowance = key.allowance
    return Key(
        id=key.id,
        team=team,
        digest=key.digest,
        expires=key.expires_at,
        models=allowance.models,
        tiers=allowance.tiers,
        limits=allowance.limits,
        limits_by_tier=allowance.limits_by_tier,
    )
