"""Reads `teams.yaml`: teams, what they may use, and the digests of their keys.

Rule: a team that names a model or tier the catalog lacks, or a key that stands twice, is a mistake and stops the start.
Fails with `SettingsError`.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from service.domain.catalog import Catalog
from service.domain.teams import Key, Team
from service.settings.files import Entry, Place, read_yaml

DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class _File(Entry, frozen=True):
    teams: dict[str, object] = {}


class _Key(Entry, frozen=True):
    id: str
    sha256: str


class _Team(Entry, frozen=True):
    models: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    keys: list[_Key] = []


def read_keys(file: Path, catalog: Catalog) -> Mapping[str, Key]:
    """Every key in a file, by digest."""
    top = Place(file)
    entries = (top / "teams").table(top.decode(read_yaml(file), _File).teams, _Team)
    keys: dict[str, Key] = {}
    for name, entry in entries.items():
        place = top / "teams" / name
        team = _team(place, name, entry, catalog)
        for index, key in enumerate(entry.keys):
            _add(place / "keys" / index, keys, Key(id=key.id, team=team, digest=key.sha256))
    return keys


def _team(place: Place, name: str, entry: _Team, catalog: Catalog) -> Team:
    if not NAME.fullmatch(name):
        raise place.error("a team's name is 1 to 63 letters, digits, dots, dashes and underscores")
    _check_known(place / "models", entry.models, catalog.models)
    _check_known(place / "tiers", entry.tiers, {tier for model in catalog.models.values() for tier in model.tiers})
    return Team(name=name, models=entry.models, tiers=entry.tiers)


def _check_known(place: Place, named: frozenset[str], known: Iterable[str]) -> None:
    unknown = sorted(named - set(known))
    if unknown:
        raise place.error(f"'{unknown[0]}' is not in models.yaml")


def _add(place: Place, keys: dict[str, Key], key: Key) -> None:
    if not NAME.fullmatch(key.id):
        raise (place / "id").error("an id is 1 to 63 letters, digits, dots, dashes and underscores")
    if not DIGEST.fullmatch(key.digest):
        raise (place / "sha256").error("not a SHA-256 digest: 64 lower-case hex digits")
    if key.digest in keys or any(other.id == key.id for other in keys.values()):
        raise place.error(f"key '{key.id}' stands twice")
    keys[key.digest] = key
