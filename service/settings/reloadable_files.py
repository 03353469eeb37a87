"""The two files that may change while the gateway runs, `models.yaml` and `teams.yaml`, read together.

Rule: together, because the one names what the other defines. Fails with `SettingsError` at the start; later a wrong
file is told in words and the version before stays.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from service.domain.team_access import Key, TeamDirectory
from service.settings.admin_key import SAME_AS_TEAM_KEY
from service.settings.models import read_catalog
from service.settings.secret_sources import Secret
from service.settings.teams import check_structure, read_teams
from service.settings.yaml_file import FileStamp, SettingsError, SettingsErrors, file_stamp, to_problems
from service.usecases.ports.config import Config

FILE_NAMES = ("models.yaml", "teams.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedConfig:
    """What both said, and the stamp from before they were asked: who changes them meanwhile is noticed."""

    known: Config
    stamp: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadableFiles:
    """Where they are, and the names of the backends, None where they cannot be read.

    `extra` is a key that no file has, that of `serve --dev`.

    `admin` says the digest of the admin key, if there is one: nobody's key opens two doors.
    """

    folder: Path
    today: Callable[[], date]
    backends: Collection[str] | None
    extra: Key | None = None
    admin: Secret[str] | None = None

    def read(self) -> Config:
        """Both files. Raises `SettingsError`."""
        try:
            catalog = read_catalog(self.folder / "models.yaml", self.today())
        except SettingsError as wrong:
            raise self._with_teams(wrong) from None
        roster = read_teams(self.folder / "teams.yaml", catalog, self.backends)
        if self.extra:
            team = self.extra.team
            roster = TeamDirectory(
                teams={**roster.teams, team.name: roster.teams.get(team.name, team)},
                keys={**roster.keys, self.extra.digest: replace(self.extra, team=roster.teams.get(team.name, team))},
            )
        if not roster.teams:
            raise SettingsError(f"{self.folder / 'teams.yaml'}: $.teams: no team, so no caller could be let in")
        if self.admin and self.admin() in roster.keys:
            raise SettingsError(f"{self.admin.name}: {SAME_AS_TEAM_KEY}")
        return Config(catalog=catalog, roster=roster, version=self._version())

    def _with_teams(self, wrong: SettingsError) -> SettingsError:
        """The same, with what is wrong with teams whatever models there are."""
        try:
            check_structure(self.folder / "teams.yaml")
        except SettingsError as other:
            return SettingsErrors((*to_problems(wrong), *to_problems(other)))
        return wrong

    def first(self) -> StampedConfig:
        """Both files, for a start. Raises `SettingsError`."""
        stamp = self.stamp()
        return StampedConfig(known=self.read(), stamp=stamp)

    def _version(self) -> str:
        """12 hex digits of what both files say."""
        digest = hashlib.sha256()
        for name in FILE_NAMES:
            try:
                digest.update((self.folder / name).read_bytes())
            except OSError as gone:  # since it was read
                raise SettingsError(f"{self.folder / name}: cannot be read: {gone}") from None
        return digest.hexdigest()[:12]

    def again(self) -> Config | str:
        """Both files, or what is wrong with them."""
        try:
            return self.read()
        except SettingsError as wrong:
            return str(wrong)

    def stamp(self) -> tuple[FileStamp | None, ...]:
        """Something that changes when one of the files does, also by way of a link to another file."""
        return tuple(file_stamp(self.folder / name) for name in FILE_NAMES)
