"""Models, teams and keys in force: what a reload replaces as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from service.domain.catalog import Catalog
from service.domain.team_access import Key, Team, TeamDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the settings files say. `version` is another one as soon as they say it in other words."""

    catalog: Catalog
    team_directory: TeamDirectory
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSnapshot:
    """One version of models, teams and keys. `keys` is by digest, `version` that of the files."""

    catalog: Catalog
    teams: Mapping[str, Team]
    keys: Mapping[str, Key]
    version: str = ""


class ConfigSource(Protocol):
    """Has the configuration in force."""

    def snapshot(self) -> ConfigSnapshot:
        """Return the version in force."""
        ...


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
