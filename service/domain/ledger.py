"""Holds, limits and entries: how money and quota are set aside before a vendor is called, and booked afterwards.

Rule: a hold ends exactly once, along `LIFE`; whatever may have been billed is booked, at worst as an estimate. A claim
is admitted only if *all* limits have room for it. Pure: the table decides, the port `Ledger` acts, both the fake and
the real one obey it.

    PENDING ── send ──▶ SENT ── post ──▶ POSTED      the vendor was called; an entry says what it cost
       │                 ├───── void ──▶ VOIDED      certainly not billed
       │                 └──── expire ─▶ EXPIRED     nobody knows; an entry at the quote says `unconfirmed`
       └─ void, expire ────────────────▶ VOIDED      never left the house
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.catalog import Model
from service.domain.images import Spec
from service.domain.limits import MEASURES, TEAM, Limit, Limits, Standing
from service.domain.teams import Key


class HoldState(StrEnum):
    """Where a hold is in its life."""

    PENDING = "pending"
    SENT = "sent"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Verb(StrEnum):
    """What can happen to a hold."""

    SEND = "send"
    POST = "post"
    VOID = "void"
    EXPIRE = "expire"


LIFE: Mapping[tuple[HoldState, Verb], HoldState] = {
    (HoldState.PENDING, Verb.SEND): HoldState.SENT,
    (HoldState.PENDING, Verb.VOID): HoldState.VOIDED,
    (HoldState.PENDING, Verb.EXPIRE): HoldState.VOIDED,
    (HoldState.SENT, Verb.POST): HoldState.POSTED,
    (HoldState.SENT, Verb.VOID): HoldState.VOIDED,
    (HoldState.SENT, Verb.EXPIRE): HoldState.EXPIRED,
}
"""What is not here does not happen: the hold stays as it is, and whoever asked is told what it is."""


class Basis(StrEnum):
    """What a cost rests on."""

    USAGE = "usage"
    TABLE = "table"
    ESTIMATED = "estimated"
    UNCONFIRMED = "unconfirmed"
    CACHE = "cache"


class Status(StrEnum):
    """How the attempt of an entry ended."""

    DELIVERED = "delivered"
    FAILED = "failed"  # billed, or possibly billed, and nothing was delivered
    LOST = "lost"  # its gateway went away before it knew


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the ledger: one attempt that was, or may have been, billed; or one cache hit. Written once.

    `cost` and `saved` are nano-USD, `held_at` and `posted_at` microseconds since 1970 by the clock of the store; the
    windows that the cost counts in are those of `held_at`. `tier` was asked for, `resolved_tier` was drawn.
    """

    hold_id: str
    request_id: str
    team: str
    key: str
    operation: str
    model: str
    backend: str
    upstream_model: str
    price_version: str
    output_format: str
    n: int
    cost: int
    basis: Basis
    status: Status
    tier: str | None = None
    resolved_tier: str | None = None
    size: str | None = None
    text_in: int = 0
    image_in: int = 0
    text_cached: int = 0
    image_cached: int = 0
    text_out: int = 0
    image_out: int = 0
    saved: int = 0
    cache: str = "bypass"
    tags: Mapping[str, str] = field(default_factory=dict)
    held_at: int = 0
    posted_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One hold that is wanted: `quote` nano-USD and `images` in each of the `scopes`.

    `entry` is what goes into the ledger if nobody comes back to say how it ended: at the quote, unconfirmed.
    """

    hold_id: str
    quote: int
    images: int
    scopes: tuple[str, ...]
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Every claim is held. `held_at` is microseconds since 1970 by the clock of the store."""

    held_at: int
    standings: tuple[Standing, ...]


def scopes_of(key: Key, spec: Spec, model: Model) -> tuple[str, ...]:
    """Every scope that a request is held in.

    A tier left to the vendor may turn out to be any of the model's, so it is held in all of them.
    """
    tiers = (spec.tier,) if spec.tier in model.tiers else model.tiers
    return (TEAM, f"key:{key.id}", f"model:{model.id}", *(f"tier:{tier}" for tier in tiers))


def scopes_posted(entry: Entry) -> tuple[str, ...]:
    """The scopes that an entry's cost counts in."""
    tier = (f"tier:{entry.resolved_tier}",) if entry.resolved_tier else ()
    return (TEAM, f"key:{entry.key}", f"model:{entry.model}", *tier)


def limits_of(key: Key, scopes: Iterable[str]) -> tuple[Limit, ...]:
    """Every limit that applies to a request with these scopes."""
    return tuple(limit for scope in scopes for limit in _spelled(scope, _of_scope(key, scope)))


def all_limits(key: Key) -> tuple[Limit, ...]:
    """Every limit there is for a key and its team, whatever is asked for."""
    team = key.team
    named = (*(f"model:{name}" for name in team.limits_by_model), *(f"tier:{name}" for name in team.limits_by_tier))
    return limits_of(key, (TEAM, f"key:{key.id}", *named))


def _of_scope(key: Key, scope: str) -> Limits | None:
    kind, _, name = scope.partition(":")
    match kind:
        case "key":
            return key.limits
        case "model":
            return key.team.limits_by_model.get(name)
        case "tier":
            return key.team.limits_by_tier.get(name)
        case _:
            return key.team.limits


def _spelled(scope: str, limits: Limits | None) -> tuple[Limit, ...]:
    if limits is None:
        return ()
    numbers = ((measure, getattr(limits, name)) for name, measure in MEASURES.items())
    return tuple(Limit(scope, measure, most) for measure, most in numbers if most is not None)
