"""Models, teams and keys in force: what a reload replaces as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass

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
