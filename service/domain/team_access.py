"""Teams and keys, and the models, tiers and backends that they may use.

Rule: a key is known by the SHA-256 digest of its text and belongs to one team. A team may use the models, tiers and
backends that its entry lists; an empty list means all. It may never use a backend that it is barred from. Pure.

Fails with: `NotAuthenticated` and `NotAllowed`.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.domain import errors
from service.domain.catalog import Catalog, Model
from service.domain.did_you_mean import did_you_mean
from service.domain.image_spec import Spec
from service.domain.key_allowances import Allowance
from service.domain.quota_limits import NO_LIMITS, Limits


class InFlightPolicy(StrEnum):
    """The meaning of an identical request while another one is under way."""

    JOIN = "join"  # one purchase serves all of them
    VARY = "vary"  # each request gets its own sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A holder of a budget. Empty `models`, `tiers` or `backends` mean no restriction; limits hold side by side.

    Attributes:
        cache_seconds: Seconds for which its results are cached; None: the setting of the model, else of the gateway; 0:
            never.
        in_flight: Policy for identical requests; None: the gateway's.
        keepalive: Its JSON responses begin before their outcome is known.
    """

    name: str
    models: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    limits: Limits = NO_LIMITS
    limits_by_tier: Mapping[str, Limits] = field(default_factory=dict)
    limits_by_model: Mapping[str, Limits] = field(default_factory=dict)
    cache_seconds: int | None = None
    in_flight: InFlightPolicy | None = None
    keepalive: bool = False
    backends: frozenset[str] = frozenset()
    barred_backends: frozenset[str] = frozenset()


KEY_PREFIX = "igw_"
"""The beginning of every key that a gateway makes."""

UNRESTRICTED_TEAM = Team(name="anybody")
"""A team that may use everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Allowance):
    """One credential of a team, known by its digest only. `id` is shown in logs.

    `in_flight` comes before the team's setting.
    """

    id: str
    team: Team
    digest: str
    expires_at: datetime | None = None
    in_flight: InFlightPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamDirectory:
    """Teams by name, and keys by digest."""

    teams: Mapping[str, Team]
    keys: Mapping[str, Key]


def key_digest(secret: str) -> str:
    """Return the SHA-256 of a key's text, as 64 hex digits. Keys are random, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def authenticate(header: str | None, keys: Mapping[str, Key], now: datetime) -> Key:
    """Return the key of an `Authorization: Bearer` header if it is valid at `now`; `keys` is by digest.

    The secret is hashed before the lookup, and digests are compared in constant time. So the time taken says nothing
    about the correct part of a guess.
    """
    scheme, _, secret = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise errors.NotAuthenticated("No API key was given. Send it as 'Authorization: Bearer <key>'.")
    digest = key_digest(secret.strip())
    key = keys.get(digest)
    if not hmac.compare_digest(key.digest if key else "", digest) or key is None:
        raise errors.NotAuthenticated("Incorrect API key provided.", code="invalid_api_key")
    if key.expires_at and now >= key.expires_at:
        raise errors.NotAuthenticated("This API key has expired.", code="invalid_api_key")
    return key


def authorize(holder: Team | Key, spec: Spec, model: Model) -> None:
    """Raise `NotAllowed` unless a team, or a key by its own allowance, may use the spec's model and tier.

    A tier that is left to the vendor may be any tier. So a holder that is restricted to tiers has to name one.
    """
    authorize_model(holder, spec.model)
    if not holder.tiers or not model.tiers or spec.tier in holder.tiers:
        return
    who, offered = _describe_holder(holder), ", ".join(sorted(holder.tiers))
    if spec.tier is None:
        raise errors.NotAllowed(f"{who} has to name a quality: {offered}.", param="quality")
    raise errors.NotAllowed(f"{who} may not use the quality '{spec.tier}'; it may use {offered}.", param="quality")


def authorize_model(holder: Team | Key, model: str) -> None:
    """Raise `NotAllowed` unless a team, or a key by its own allowance, may use a model."""
    if holder.models and model not in holder.models:
        raise errors.NotAllowed(f"{_describe_holder(holder)} may not use the model '{model}'.", param="model")


def _describe_holder(holder: Team | Key) -> str:
    return f"Key '{holder.id}'" if isinstance(holder, Key) else f"Team '{holder.name}'"


def check_allowance(allowance: Allowance, team: Team, catalog: Catalog) -> None:
    """Raise `InvalidValue` if an allowance names a model or tier that the catalog lacks or the team may not use."""
    tiers = catalog.tiers
    for param, named, known, allowed in (
        ("models", allowance.models, catalog.models.keys(), team.models),
        ("tiers", allowance.tiers, tiers, team.tiers),
        ("limits_by_tier", allowance.limits_by_tier, tiers, team.tiers),
    ):
        for name in sorted(named):
            if name not in known:
                near = did_you_mean(name, known)
                raise errors.InvalidValue(f"'{name}' is not in models.yaml{near and f'.{near}'}", param=param)
            if allowed and name not in allowed:
                raise errors.InvalidValue(f"team '{team.name}' may not use '{name}'", param=param)


def may_use_backend(team: Team, backend: str) -> bool:
    """Tell whether requests of a team may go to this backend."""
    return backend not in team.barred_backends and (not team.backends or backend in team.backends)


def pseudonym(team: Team, user: str) -> str:
    """Return a stable pseudonym of an end user's id, so that neither logs nor vendors see the id itself."""
    return hashlib.sha256(f"{team.name}\n{user}".encode()).hexdigest()[:32]
