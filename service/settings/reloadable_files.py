"""Files that may change while the gateway runs: `models.yaml` and `teams.yaml`.

Rule: both are read together, because teams.yaml names models that models.yaml defines.

Fails with: `SettingsError` at the start. Later `reread` returns the reason, and the version before stays.
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
    """Content of both files, and their stamp from before the reading, so that a change meanwhile is noticed."""

    config: Config
    stamp: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadableFiles:
    """Reader of both files.

    Attributes:
        backends: Names of the backends in gateway.yaml; None if that cannot be read.
        dev_key: Key of `serve --dev`, which no file has.
        admin_digest: Digest of the admin key, which must not be the key of a team.
    """

    folder: Path
    today: Callable[[], date]
    backends: Collection[str] | None
    dev_key: Key | None = None
    admin_digest: Secret[str] | None = None

    def read(self) -> Config:
        """Read both files. Raises `SettingsError`."""
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
        if self.admin_digest and self.admin_digest.current() in team_directory.keys:
            raise SettingsError(f"{self.admin_digest.name}: {SAME_AS_TEAM_KEY}")
        return Config(catalog=catalog, team_directory=team_directory, version=self._digest())

    def _with_team_errors(self, wrong: SettingsError) -> SettingsError:
        """Return the error with the mistakes of teams.yaml that do not depend on models."""
        try:
            check_structure(self.folder / "teams.yaml")
        except SettingsError as other:
            return SettingsErrors((*to_problems(wrong), *to_problems(other)))
        return wrong

    def read_first(self) -> StampedConfig:
        """Read both files for a start. Raises `SettingsError`."""
        stamp = self.stamp()
        return StampedConfig(config=self.read(), stamp=stamp)

    def _digest(self) -> str:
        """Return 12 hex digits of the digest of both files."""
        digest = hashlib.sha256()
        for name in FILE_NAMES:
            try:
                digest.update((self.folder / name).read_bytes())
            except OSError as error:  # removed after the reading
                raise SettingsError(f"{self.folder / name}: cannot be read: {error}") from None
        return digest.hexdigest()[:12]

    def reread(self) -> Config | str:
        """Read both files, or return their mistake."""
        try:
            return self.read()
        except SettingsError as wrong:
            return str(wrong)

    def stamp(self) -> tuple[FileStamp | None, ...]:
        """Return a value that changes with each of the files, also if a link leads to another file."""
        return tuple(file_stamp(self.folder / name) for name in FILE_NAMES)
