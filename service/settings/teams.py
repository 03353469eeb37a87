"""Teams with their allowances, limits and digests of keys, read from `teams.yaml`.

Rule: models and tiers must be in the catalog, and backends in gateway.yaml. Ids and digests of keys are unique.

Fails with: `SettingsError`.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from service.domain.catalog import Catalog
from service.domain.did_you_mean import did_you_mean
from service.domain.errors import InvalidValue
from service.domain.quota_limits import NO_LIMITS, Limits
from service.domain.team_access import InFlightPolicy, Key, Team, TeamDirectory, check_allowance
from service.settings.yaml_file import (
    CacheSeconds,
    Count,
    Dollars,
    Entry,
    FilePlace,
    SettingsErrors,
    open_place,
    read_yaml,
)

DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class LimitsEntry(Entry, frozen=True):
    """Limits of a team or a key. All limits that match a request apply."""

    requests_per_minute: Annotated[Count | None, Meta(description="Maximum number of requests in any minute.")] = None
    images_per_minute: Annotated[
        Count | None, Meta(description="Maximum number of images requested in any minute.")
    ] = None
    concurrent_images: Annotated[Count | None, Meta(description="Maximum number of images under way at a time.")] = None
    usd_per_day: Annotated[
        Dollars | None,
        Meta(description="Maximum US dollars in a UTC day, the worst case of requests under way included."),
    ] = None
    usd_per_month: Annotated[
        Dollars | None,
        Meta(description="Maximum US dollars in a UTC month, the worst case of requests under way included."),
    ] = None


class KeyEntry(Entry, frozen=True):
    """Key of a team."""

    id: Annotated[str, Meta(description="Name of the key in logs, ledger and metrics; unique among all keys.")]
    sha256: Annotated[
        str, Meta(description="Digest of the key, as `image-gateway keys new` prints it: 64 lower-case hex digits.")
    ]
    models: Annotated[
        frozenset[str], Meta(description="Only models of the team that the key may use; all of them by default.")
    ] = frozenset()
    tiers: Annotated[
        frozenset[str], Meta(description="Only tiers of the team that the key may use; all of them by default.")
    ] = frozenset()
    limits: Annotated[LimitsEntry, Meta(description="Limits of this key alone.")] = LimitsEntry()
    limits_by_tier: Annotated[
        dict[str, object],
        Meta(description="Limits of this key alone on a tier, by tier.", extra={"of": LimitsEntry}),
    ] = {}
    in_flight: Annotated[
        Literal["join", "vary"] | None,
        Meta(
            description="Handling of identical concurrent requests of this key, `join` or `vary`; by default that of "
            "its team."
        ),
    ] = None


class TeamEntry(Entry, frozen=True):
    """Team whose keys may call."""

    models: Annotated[
        frozenset[str], Meta(description="Only models that the team may use; all of them by default.")
    ] = frozenset()
    tiers: Annotated[frozenset[str], Meta(description="Only tiers that the team may use; all of them by default.")] = (
        frozenset()
    )
    limits: Annotated[LimitsEntry, Meta(description="Limits of all keys of the team together.")] = LimitsEntry()
    limits_by_tier: Annotated[
        dict[str, object], Meta(description="Limits of the team on a tier, by tier.", extra={"of": LimitsEntry})
    ] = {}
    limits_by_model: Annotated[
        dict[str, object], Meta(description="Limits of the team on a model, by model.", extra={"of": LimitsEntry})
    ] = {}
    cache_seconds: Annotated[
        CacheSeconds,
        Meta(
            description="Lifetime of the team's cached results; 0 switches its cache off. By default that of the model "
            "or of gateway.yaml."
        ),
    ] = None
    in_flight: Annotated[
        Literal["join", "vary"] | None,
        Meta(
            description="Handling of identical concurrent requests of one key: one call for all (`join`), or another "
            "sample for each (`vary`); by default that of gateway.yaml."
        ),
    ] = None
    keepalive: Annotated[
        bool,
        Meta(
            description="Whether JSON responses begin before the result is known, as with `x-gateway-keepalive: true`."
        ),
    ] = False
    backends: Annotated[
        frozenset[str],
        Meta(
            description="Only backends that may generate for the team (gateway.yaml's, or sandbox); all of them by "
            "default."
        ),
    ] = frozenset()
    barred_backends: Annotated[
        frozenset[str],
        Meta(description="Backends that never generate for the team, and whose cached results it never gets."),
    ] = frozenset()
    keys: Annotated[
        list[KeyEntry],
        Meta(description="List of the team's keys in this file; others are issued with `image-gateway keys issue`."),
    ] = []


class TeamsFile(Entry, frozen=True):
    """Teams that may call, with their limits and keys."""

    teams: Annotated[dict[str, object], Meta(description="Teams by their names.", extra={"of": TeamEntry})] = {}


def read_teams(file: Path, catalog: Catalog, backends: Collection[str] | None) -> TeamDirectory:
    """Read teams and keys. `backends` are the names in gateway.yaml and the sandbox, or None if they are unknown."""
    with open_place(file) as top:
        teams: dict[str, Team] = {}
        keys: dict[str, Key] = {}
        ids = set[str]()
        for name, entry in _entries(top, file).items():
            place = top / "teams" / name
            with place.collecting():
                _check_backends(place, entry, backends)
                teams[name] = _to_team(place, name, entry, catalog)
            for index, key in enumerate(entry.keys if name in teams else ()):
                with place.collecting():
                    _add_key(
                        place / "keys" / index, keys, ids, _to_key(place / "keys" / index, key, teams[name], catalog)
                    )
    return TeamDirectory(teams=teams, keys=keys)


def check_structure(file: Path) -> None:
    """Raise `SettingsError` for mistakes that do not depend on models."""
    with open_place(file) as top:
        _entries(top, file)


def _entries(top: FilePlace, file: Path) -> dict[str, TeamEntry]:
    return (top / "teams").table(top.decode(read_yaml(file), TeamsFile).teams, TeamEntry)


def _to_key(place: FilePlace, entry: KeyEntry, team: Team, catalog: Catalog) -> Key:
    key = Key(
        id=entry.id,
        team=team,
        digest=entry.sha256,
        models=entry.models,
        tiers=entry.tiers,
        limits=_to_limits(place / "limits", entry.limits),
        in_flight=_to_in_flight(entry.in_flight),
        limits_by_tier={
            tier: _to_limits(place / "limits_by_tier" / tier, limits)
            for tier, limits in (place / "limits_by_tier").table(entry.limits_by_tier, LimitsEntry).items()
        },
    )
    try:
        check_allowance(key, team, catalog)
    except InvalidValue as wrong:
        raise (place / str(wrong.param)).error(wrong.message) from None
    return key


def _to_team(place: FilePlace, name: str, entry: TeamEntry, catalog: Catalog) -> Team:
    if not NAME.fullmatch(name):
        raise place.error("a team's name is 1 to 63 letters, digits, dots, dashes and underscores")
    tiers = catalog.tiers
    with place.collecting():
        _check_known(place / "models", entry.models, catalog.models)
    with place.collecting():
        _check_known(place / "tiers", entry.tiers, tiers)
    return Team(
        name=name,
        models=entry.models,
        tiers=entry.tiers,
        limits=_to_limits(place / "limits", entry.limits),
        limits_by_tier=_to_limits_by_name(place / "limits_by_tier", entry.limits_by_tier, tiers),
        limits_by_model=_to_limits_by_name(place / "limits_by_model", entry.limits_by_model, catalog.models),
        cache_seconds=entry.cache_seconds,
        in_flight=_to_in_flight(entry.in_flight),
        keepalive=entry.keepalive,
        backends=entry.backends,
        barred_backends=entry.barred_backends,
    )


def _to_in_flight(value: str | None) -> InFlightPolicy | None:
    return None if value is None else InFlightPolicy(value)


def _check_backends(place: FilePlace, entry: TeamEntry, known: Collection[str] | None) -> None:
    known = entry.backends | entry.barred_backends if known is None else known
    with place.collecting():
        _check_known(place / "backends", entry.backends, known, "gateway.yaml")
    with place.collecting():
        _check_known(place / "barred_backends", entry.barred_backends, known, "gateway.yaml")
    if entry.backends and entry.backends <= entry.barred_backends:
        raise (place / "barred_backends").error("nothing is left of backends")


def _to_limits_by_name(place: FilePlace, entries: Mapping[str, object], known: Iterable[str]) -> Mapping[str, Limits]:
    with place.collecting():
        _check_known(place, entries, known)
    return {name: _to_limits(place / name, entry) for name, entry in place.table(entries, LimitsEntry).items()}


def _to_limits(place: FilePlace, entry: LimitsEntry) -> Limits:
    """Return the limits of an entry, with money in nano-USD. A count of 0 is refused: `models` and `tiers` exclude."""
    numbers: dict[str, int] = {}
    for name in entry.__struct_fields__:
        value = getattr(entry, name)
        if isinstance(value, Decimal):
            numbers[name] = (place / name).to_nano_usd(value)
        elif value is not None:
            numbers[name] = value
    return Limits(**numbers) if numbers else NO_LIMITS


def _check_known(place: FilePlace, named: Iterable[str], known: Iterable[str], where: str = "models.yaml") -> None:
    unknown = sorted(set(named) - set(known))
    if unknown:
        reasons = (
            f"'{name}' is not in {where}" + (f".{suggestion}" if (suggestion := did_you_mean(name, known)) else "")
            for name in unknown
        )
        raise SettingsErrors([place.error(reason) for reason in reasons])


def _add_key(place: FilePlace, keys: dict[str, Key], ids: set[str], key: Key) -> None:
    if not NAME.fullmatch(key.id):
        raise (place / "id").error("an id is 1 to 63 letters, digits, dots, dashes and underscores")
    if not DIGEST.fullmatch(key.digest):
        raise (place / "sha256").error("not a SHA-256 digest: 64 lower-case hex digits")
    if key.digest in keys or key.id in ids:
        raise place.error(f"key '{key.id}' stands twice")
    keys[key.digest] = key
    ids.add(key.id)
