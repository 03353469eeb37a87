"""Port of the configuration: models, teams and keys in force, and the files and secrets that are reloaded.

Rule: a reload replaces the configuration as a whole, so a request sees one version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.domain.catalog import Catalog
from service.domain.team_access import Key, Team, TeamDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Content of `models.yaml` and `teams.yaml`. `version` is a digest of both files."""

    catalog: Catalog
    team_directory: TeamDirectory
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSnapshot:
    """One version of models, teams and keys.

    Attributes:
        keys: Keys of `teams.yaml` and issued keys, by digest.
        version: Version of the files.
    """

    catalog: Catalog
    teams: Mapping[str, Team]
    keys: Mapping[str, Key]
    version: str = ""


class ConfigSource(Protocol):
    """Has the configuration in force."""

    def snapshot(self) -> ConfigSnapshot:
        """Return the version in force."""
        ...


@dataclass(frozen=True, slots=True)
class FixedConfig:
    """A configuration that is never reloaded, as commands have it."""

    current: ConfigSnapshot

    def snapshot(self) -> ConfigSnapshot:
        return self.current


class ConfigFiles(Protocol):
    """The settings files that may change while the gateway runs."""

    def reread(self) -> Config | str:
        """Read the files. Returns the problem if they are wrong. Blocks for seconds with thousands of teams."""
        ...

    def stamp(self) -> object:
        """Return a value that differs as soon as a file has changed."""
        ...


class ReloadableSecret(Protocol):
    """A secret that can be read again.

    Attributes:
        name: The setting or variable that gave the secret.
        file: The file that holds the secret, if one does.
    """

    @property
    def name(self) -> str: ...
    @property
    def file(self) -> Path | None: ...

    def reload(self) -> bool | str:
        """Read the file. Returns whether the secret has changed, or why the new one is refused."""
        ...
