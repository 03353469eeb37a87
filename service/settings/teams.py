"""Reads `teams.yaml`: teams, what they may use and how much of it, and the digests of their keys.

Rule: a team that names a model or tier the catalog lacks, a backend that nobody defined, a limit that is no number, or
a key that stands twice, is a mistake and stops the start. Fails with `SettingsError`.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from service.domain.catalog import Catalog
from service.domain.limits import NO_LIMITS, Limits
from service.domain.teams import Key, Roster, Team
from service.settings.files import CacheSeconds, Entry, Place, read_yaml

DIGEST = re.compile(r"[0-9a-f]{64}")
MOST_COUNT = 1_000_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class _File(Entry, frozen=True):
    teams: dict[str, object] = {}


class _Limits(Entry, frozen=True):
    requests_per_minute: int | None = None
    images_per_minute: int | None = None
    concurrent_images: int | None = None
    usd_per_day: Decimal | None = None
    usd_per_month: Decimal | None = None


class _Key(Entry, frozen=True):
    id: str
    sha256: str
    limits: _Limits = _Limits()


class _Team(Entry, frozen=True):
    models: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    limits: _Limits = _Limits()
    limits_by_tier: dict[str, object] = {}
    limits_by_model: dict[str, object] = {}
    cache_seconds: CacheSeconds = None
    keepalive: bool = False
    backends: frozenset[str] = frozenset()
    barred_backends: frozenset[str] = frozenset()
    keys: list[_Key] = []


def read_teams(file: Path, catalog: Catalog, backends: Collection[str]) -> Roster:
    """Every team and key in a file; `backends` are those of gateway.yaml and the sandbox, on or off."""
    top = Place(file)
    entries = (top / "teams").table(top.decode(read_yaml(file), _File).teams, _Team)
    teams: dict[str, Team] = {}
    keys: dict[str, Key] = {}
    for name, entry in entries.items():
        place = top / "teams" / name
        _check_backends(place, entry, backends)
        teams[name] = _team(place, name, entry, catalog)
        for index, key in enumerate(entry.keys):
            limits = _limits(place / "keys" / index / "limits", key.limits)
            _add(place / "keys" / index, keys, Key(id=key.id, team=teams[name], digest=key.sha256, limits=limits))
    return Roster(teams=teams, keys=keys)


def _team(place: Place, name: str, entry: _Team, catalog: Catalog) -> Team:
    if not NAME.fullmatch(name):
        raise place.error("a team's name is 1 to 63 letters, digits, dots, dashes and underscores")
    tiers = {tier for model in catalog.models.values() for tier in model.tiers}
    _check_known(place / "models", entry.models, catalog.models)
    _check_known(place / "tiers", entry.tiers, tiers)
    return Team(
        name=name,
        models=entry.models,
        tiers=entry.tiers,
        limits=_limits(place / "limits", entry.limits),
        limits_by_tier=_limits_by(place / "limits_by_tier", entry.limits_by_tier, tiers),
        limits_by_model=_limits_by(place / "limits_by_model", entry.limits_by_model, catalog.models),
        cache_seconds=entry.cache_seconds,
        keepalive=entry.keepalive,
        backends=entry.backends,
        barred_backends=entry.barred_backends,
    )


def _check_backends(place: Place, entry: _Team, known: Collection[str]) -> None:
    _check_known(place / "backends", entry.backends, known, "gateway.yaml")
    _check_known(place / "barred_backends", entry.barred_backends, known, "gateway.yaml")
    if entry.backends and entry.backends <= entry.barred_backends:
        raise (place / "barred_backends").error("nothing is left of backends")


def _limits_by(place: Place, entries: Mapping[str, object], known: Iterable[str]) -> Mapping[str, Limits]:
    _check_known(place, entries, known)
    return {name: _limits(place / name, entry) for name, entry in place.table(entries, _Limits).items()}


def _limits(place: Place, entry: _Limits) -> Limits:
    """The limits of an entry; money in nano-USD. A count of none would be a refusal, which `models` and `tiers` say."""
    numbers: dict[str, int] = {}
    for name in entry.__struct_fields__:
        value = getattr(entry, name)
        if isinstance(value, Decimal):
            numbers[name] = (place / name).dollars(value)
        elif value is not None:
            if not 0 < value <= MOST_COUNT:
                raise (place / name).error(f"{value} is not a number between 1 and {MOST_COUNT}")
            numbers[name] = value
    return Limits(**numbers) if numbers else NO_LIMITS


def _check_known(place: Place, named: Iterable[str], known: Iterable[str], where: str = "models.yaml") -> None:
    unknown = sorted(set(named) - set(known))
    if unknown:
        raise place.error(f"'{unknown[0]}' is not in {where}")


def _add(place: Place, keys: dict[str, Key], key: Key) -> None:
    if not NAME.fullmatch(key.id):
        raise (place / "id").error("an id is 1 to 63 letters, digits, dots, dashes and underscores")
    if not DIGEST.fullmatch(key.digest):
        raise (place / "sha256").error("not a SHA-256 digest: 64 lower-case hex digits")
    if key.digest in keys or any(other.id == key.id for other in keys.values()):
        raise place.error(f"key '{key.id}' stands twice")
    keys[key.digest] = key
