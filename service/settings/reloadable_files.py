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

    config: Config
    stamp: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadableFiles:
    """Where they are, and the names of the backends, None where they cannot be read.

    `dev_key` is a key that no file has, that of `serve --dev`.

    `admin_digest` says the digest of the admin key, if there is one: nobody's key opens two doors.
    """

    folder: Path
    today: Callable[[], date]
    backends: Collection[str] | None
    dev_key: Key | None = None
    admin_digest: Secret[str] | None = None

    def read(self) -> Config:
        """Both files. Raises `SettingsError`."""
        try:
            catalog = read_catalog(self.folder / "models.yaml", self.today())
        except SettingsError as wrong:
            raise self._with_team_errors(wrong) from None
        team_directory = read_teams(self.folder / "teams.yaml", catalog, self.backends)
        if self.dev_key:
            team = self.dev_key.team
            team_directory = TeamDirectory(
                teams={**team_directory.teams, team.name: team_directory.teams.get(team.name, team)},
                keys={
                    **team_directory.keys,
                    self.dev_key.digest: replace(self.dev_key, team=team_directory.teams.get(team.name, team)),
                },
            )
        if not team_directory.teams:
            raise SettingsError(f"{self.folder / 'teams.yaml'}: $.teams: no team, so no caller could be let in")
        if self.admin_digest and self.admin_digest() in team_directory.keys:
            raise SettingsError(f"{self.admin_digest.name}: {SAME_AS_TEAM_KEY}")
        return Config(catalog=catalog, team_directory=team_directory, version=self._digest())

    def _with_team_errors(self, wrong: SettingsError) -> SettingsError:
        """The same, with what is wrong with teams whatever models there are."""
        try:
            check_structure(self.folder / "teams.yaml")
        except SettingsError as other:
            return SettingsErrors((*to_problems(wrong), *to_problems(other)))
        return wrong

    def read_first(self) -> StampedConfig:
        """Both files, for a start. Raises `SettingsError`."""
        stamp = self.stamp()
        return StampedConfig(config=self.read(), stamp=stamp)

    def _digest(self) -> str:
        """12 hex digits of what both files say."""
        digest = hashlib.sha256()
        for name in FILE_NAMES:
            try:
                digest.update((self.folder / name).read_bytes())
            except OSError as error:  # since it was read
                raise SettingsError(f"{self.folder / name}: cannot be read: {error}") from None
        return digest.hexdigest()[:12]

    def reread(self) -> Config | str:
        """Both files, or what is wrong with them."""
        try:
            return self.read()
        except SettingsError as wrong:
            return str(wrong)

    def stamp(self) -> tuple[FileStamp | None, ...]:
        """Something that changes when one of the files does, also by way of a link to another file."""
        return tuple(file_stamp(self.folder / name) for name in FILE_NAMES)
