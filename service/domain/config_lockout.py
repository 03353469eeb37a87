"""Changes of the settings that are refused while the gateway runs, although a start would accept them.

Rule: a change is refused if it removes all current teams, keys or models, because it would lock every caller out. A
lost file, or that of another environment, is a likelier cause than intent; a restart accepts the file. A single key may
be replaced, because a leaked key has to go; so may a single team or model.

Fails with: nothing; the reason is returned.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from service.domain.catalog import Catalog, is_shut_down
from service.domain.team_access import Key

RESTART = "It is refused while the gateway runs; a restart takes it."


@dataclass(frozen=True, slots=True, kw_only=True)
class UsableConfig:
    """The parts of the settings that callers can use.

    Attributes:
        teams: Names of teams.
        keys: Digests of valid keys.
        models: Ids of models that an enabled backend serves.
    """

    teams: frozenset[str]
    keys: frozenset[str]
    models: frozenset[str]


def find_usable(
    teams: Iterable[str], keys: Iterable[Key], catalog: Catalog, enabled_backends: frozenset[str], now: datetime
) -> UsableConfig:
    """Return the parts that callers can use at `now`."""
    return UsableConfig(
        teams=frozenset(teams),
        keys=frozenset(key.digest for key in keys if key.expires_at is None or now < key.expires_at),
        models=frozenset(
            model.id
            for model in catalog.models.values()
            if not is_shut_down(model, now.date()) and any(route.backend in enabled_backends for route in model.routes)
        ),
    )


def find_lockout(before: UsableConfig, after: UsableConfig) -> str | None:
    """Return why a change is refused, or None."""
    for file, kind, was, will in (
        ("teams.yaml: $.teams", "teams that are there now", before.teams, after.teams),
        ("teams.yaml: $.teams", "keys that let callers in now, issued ones included", before.keys, after.keys),
        ("models.yaml: $.models", "models that a backend can draw now", before.models, after.models),
    ):
        if was and (not will or (len(was) > 1 and was.isdisjoint(will))):
            return f"{file}: leaves none of the {len(was)} {kind}. {RESTART}"
    return None
