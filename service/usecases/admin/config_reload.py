"""Reload of models, teams and keys while the gateway runs.

Rule: a request sees one version of all three. Changed files are read again, and issued keys are read every few seconds.

Fails with: nothing. A wrong file is reported and refused, and so is one that would lock out every caller
(`domain/config_lockout.py`); the version before stays. While the key store is away, the last known keys stay.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.config_lockout import UsableConfig, find_lockout, find_usable
from service.domain.errors import LedgerUnavailable
from service.domain.team_access import Key, Team
from service.usecases.ports.config import Config, ConfigFiles, ConfigSnapshot
from service.usecases.ports.events import SettingsReloaded
from service.usecases.ports.key_store import IssuedKey, KeyStore
from service.usecases.ports.observer import Observer

UNEXPECTED_ERROR = "They could not be read: a mistake of the gateway's own. A line `crash` says where."


@dataclass(slots=True, kw_only=True)
class ConfigReload:
    """The reload, and the port `ConfigSource`.

    Attributes:
        config: Content of the files in force; at first that of the start.
        seen_stamp: Stamp of the files when they were last read, taken before the read.
        enabled_backends: Names of the backends that are on.
        now: Returns an aware UTC time.
    """

    config: Config
    seen_stamp: object
    files: ConfigFiles
    key_store: KeyStore
    observer: Observer
    enabled_backends: frozenset[str]
    now: Callable[[], datetime]
    interval_seconds: float = 2.0
    _issued_keys: Sequence[IssuedKey] = ()
    _snapshot: ConfigSnapshot = field(init=False)

    def __post_init__(self) -> None:
        self._snapshot = build_snapshot(self.config, self._issued_keys)

    def snapshot(self) -> ConfigSnapshot:
        return self._snapshot

    async def run(self) -> None:
        """Reload until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self.interval_seconds)

    async def refresh(self) -> None:
        """Read changed files and the issued keys once."""
        await self._reload_files()
        try:
            self._issued_keys = await self.key_store.list_keys()
        except LedgerUnavailable:
            return
        self._snapshot = build_snapshot(self.config, self._issued_keys)

    async def _reload_files(self) -> None:
        """Read changed files in a thread, because files with thousands of teams take seconds."""
        stamp = self.files.stamp()
        if stamp == self.seen_stamp:
            return
        self.seen_stamp = stamp
        try:
            loaded = await asyncio.to_thread(self.files.reread)
        except Exception:
            self.observer.record(SettingsReloaded(problem=UNEXPECTED_ERROR))
            raise
        if self.files.stamp() != stamp:
            return  # changed during the read: the next round reads them again
        self.observer.record(SettingsReloaded(problem=self._apply(loaded)))

    def _apply(self, loaded: Config | str) -> str | None:
        """Put the files in force, or return the problem."""
        if isinstance(loaded, str):
            return loaded
        snapshot = build_snapshot(loaded, self._issued_keys)
        problem = find_lockout(self._usable_config(self._snapshot), self._usable_config(snapshot))
        if problem is None:
            self.config, self._snapshot = loaded, snapshot
        return problem

    def _usable_config(self, snapshot: ConfigSnapshot) -> UsableConfig:
        return find_usable(snapshot.teams, snapshot.keys.values(), snapshot.catalog, self.enabled_backends, self.now())


def build_snapshot(config: Config, issued: Iterable[IssuedKey]) -> ConfigSnapshot:
    """Build a snapshot. Revoked keys, and issued keys of teams that are gone, are left out."""
    teams = config.team_directory.teams
    keys = {key.digest: _to_key(key, teams[key.team]) for key in issued if key.team in teams and key.revoked_at is None}
    return ConfigSnapshot(
        catalog=config.catalog, teams=teams, keys={**keys, **config.team_directory.keys}, version=config.version
    )


def _to_key(key: IssuedKey, team: Team) -> Key:
    allowance = key.allowance
    return Key(
        id=key.id,
        team=team,
        digest=key.digest,
        expires_at=key.expires_at,
        models=allowance.models,
        tiers=allowance.tiers,
        limits=allowance.limits,
        limits_by_tier=allowance.limits_by_tier,
    )
