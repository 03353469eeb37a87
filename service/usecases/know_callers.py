"""Know which models and teams there are and whose key is whose, also when that changes while running.

Rule: a request sees one version of it all. Files that have changed are read again; one that is wrong is refused, told,
and the version before stays. So is one that would lock every caller out (`domain/reloads.py`). Keys that were issued
are asked for every few seconds; while the store is away, those known last count.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.catalog import Catalog
from service.domain.errors import BooksUnavailable
from service.domain.reloads import Usable, lockout, usable
from service.domain.teams import Key, Roster, Team
from service.usecases.accounts import IssuedKey, KeyStore
from service.usecases.events import SettingsReloaded
from service.usecases.ports import Observer

UNFORESEEN = "They could not be read: a mistake of the gateway's own. A line `crash` says where."


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the settings files say. `version` is another one as soon as they say it in other words."""

    catalog: Catalog
    roster: Roster
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """One version of models, teams and keys. `keys` is by digest, `version` that of the files."""

    catalog: Catalog
    teams: Mapping[str, Team]
    keys: Mapping[str, Key]
    version: str = ""


@dataclass(slots=True, kw_only=True)
class KnowCallers:
    """The use case. `read` gives what the files say, or what is wrong with them; `stamp` changes when they do.

    It begins with `known`, and with `seen`, the stamp from before that was read. `on` are the backends that are on.
    """

    known: Known
    seen: object
    read: Callable[[], Known | str]
    stamp: Callable[[], object]
    key_store: KeyStore
    observe: Observer
    on: frozenset[str]
    now: Callable[[], datetime]
    seconds: float = 2.0
    _issued: Sequence[IssuedKey] = ()
    _live: Live = field(init=False)

    def __post_init__(self) -> None:
        """Begin with what the files say."""
        self._live = merge(self.known, self._issued)

    def live(self) -> Live:
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
        except BooksUnavailable:
            return
        self._live = merge(self.known, self._issued)

    async def _read_again(self) -> None:
        """In a thread: files of thousands of teams take seconds, in which requests go on."""
        stamp = self.stamp()
        if stamp == self.seen:
            return
        self.seen = stamp
        try:
            found = await asyncio.to_thread(self.read)
        except Exception:
            self.observe(SettingsReloaded(problem=UNFORESEEN))
            raise
        if self.stamp() != stamp:
            return  # the files were being changed: the next look reads them whole
        self.observe(SettingsReloaded(problem=self._take(found)))

    def _take(self, found: Known | str) -> str | None:
        """Put what the files say in force, or return why not."""
        if isinstance(found, str):
            return found
        live = merge(found, self._issued)
        problem = lockout(self._usable(self._live), self._usable(live))
        if problem is None:
            self.known, self._live = found, live
        return problem

    def _usable(self, live: Live) -> Usable:
        return usable(live.teams, live.keys.values(), live.catalog, self.on, self.now())


def merge(known: Known, issued: Iterable[IssuedKey]) -> Live:
    """Keys of the file and issued ones; an issued key of a team that is gone lets nobody in, a revoked one neither."""
    teams = known.roster.teams
    keys = {key.digest: _issued(key, teams[key.team]) for key in issued if key.team in teams and key.revoked_at is None}
    return Live(catalog=known.catalog, teams=teams, keys={**keys, **known.roster.keys}, version=known.version)


def _issued(key: IssuedKey, team: Team) -> Key:
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
