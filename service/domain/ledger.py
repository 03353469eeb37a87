"""Holds, limits and entries: how money and quota are set aside before a vendor is called, and booked afterwards.

Rule: a hold ends exactly once, along `HOLD_TRANSITIONS`; whatever may have been billed is booked, at worst as an
estimate. A claim is admitted only if *all* limits have room for it. Pure: the table decides, the port `Ledger` acts,
both the fake and the real one obey it.

    PENDING ── send ──▶ SENT ── post ──▶ POSTED      the vendor was called; an entry says what it cost
       │                 ├───── void ──▶ VOIDED      certainly not billed
       │                 └──── expire ─▶ EXPIRED     nobody knows; an entry at the quote says `unconfirmed`
       └─ void, expire ────────────────▶ VOIDED      never left the house
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.catalog import Model
from service.domain.image_spec import Spec
from service.domain.quota_limits import MEASURES, MONEY, TEAM, Limit, Limits, LimitStatus, Measure
from service.domain.team_access import Key


class HoldState(StrEnum):
    """Where a hold is in its life."""

    PENDING = "pending"
    SENT = "sent"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class HoldAction(StrEnum):
    """What can happen to a hold."""

    SEND = "send"
    POST = "post"
    VOID = "void"
    EXPIRE = "expire"


HOLD_TRANSITIONS: Mapping[tuple[HoldState, HoldAction], HoldState] = {
    (HoldState.PENDING, HoldAction.SEND): HoldState.SENT,
    (HoldState.PENDING, HoldAction.VOID): HoldState.VOIDED,
    (HoldState.PENDING, HoldAction.EXPIRE): HoldState.VOIDED,
    (HoldState.SENT, HoldAction.POST): HoldState.POSTED,
    (HoldState.SENT, HoldAction.VOID): HoldState.VOIDED,
    (HoldState.SENT, HoldAction.EXPIRE): HoldState.EXPIRED,
}
"""What is not here does not happen: the hold stays as it is, and whoever asked is told what it is."""


class Basis(StrEnum):
    """What a cost rests on."""

    USAGE = "usage"
    TABLE = "table"
    ESTIMATED = "estimated"
    UNCONFIRMED = "unconfirmed"
    CACHE = "cache"


class EntryStatus(StrEnum):
    """How the attempt of an entry ended."""

    DELIVERED = "delivered"
    FAILED = "failed"  # billed, or possibly billed, and nothing was delivered
    LOST = "lost"  # its gateway went away before it knew


class CacheStatus(StrEnum):
    """Where a picture came from: one word in `x-gateway-cache`, log, metrics and ledger."""

    MISS = "miss"  # bought, and might have come from the cache
    HIT = "hit"
    JOINED = "joined"
    REPLAYED = "replayed"
    BYPASS = "bypass"  # bought, and could not have been shared
    UNKNOWN = "unknown"  # bought; an older gateway did not write it down


ENTRY_VERSION = 2
"""Written with each entry. Entries without a version are from gateways that wrote `bypass` for every purchase."""


def to_cache_status(written: str, version: int | None) -> str:
    """What an entry of that version tells about its source."""
    return CacheStatus.UNKNOWN.value if version is None and written == CacheStatus.BYPASS.value else written


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the ledger: one attempt that was, or may have been, billed; or one cache hit. Written once.

    `cost` and `saved` are nano-USD, `held_at` and `posted_at` microseconds since 1970 by the clock of the store; the
    windows that the cost counts in are those of `held_at`. `tier` was asked for, `resolved_tier` was drawn. `cache` is
    a `CacheStatus`.
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
    status: EntryStatus
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
    cache: str = CacheStatus.UNKNOWN.value
    tags: Mapping[str, str] = field(default_factory=dict)
    held_at: int = 0
    posted_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """One hold that is wanted: `images` and nano-USD in each of the `scopes`.

    `quote` is the worst price. A tier's scope is held at the worst price of that tier, in `quotes` if it differs.
    `entry` goes into the ledger if the hold runs out: at the quote, unconfirmed.
    """

    hold_id: str
    quote: int
    images: int
    scopes: tuple[str, ...]
    entry: Entry
    quotes: Mapping[str, int] = field(default_factory=dict)

    def quote_in(self, scope: str) -> int:
        """The nano-USD that are held in a scope."""
        return self.quotes.get(scope, self.quote)


def claimed(limit: Limit, claims: Sequence[HoldRequest]) -> int | None:
    """Return how much of a limit claims take, as one request; None where none is in its scope."""
    inside = [claim for claim in claims if limit.scope in claim.scopes]
    if not inside:
        return None
    if limit.measure is Measure.REQUESTS:
        return 1
    return sum(claim.quote_in(limit.scope) if limit.measure in MONEY else claim.images for claim in inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Every claim is held. `held_at` is microseconds since 1970 by the clock of the store."""

    held_at: int
    limit_status: tuple[LimitStatus, ...]


def booked_cost(state: HoldState | None, cost: int, quote: int) -> int:
    """What the books have of a hold that was to be ended at a cost: its quote, if its lease had run out before."""
    return quote if state is HoldState.EXPIRED else cost


def possible_tiers(spec: Spec, model: Model, delivers: str | None = None) -> tuple[str, ...]:
    """The tiers that a request may be drawn in: the one that was asked for, else the one that its route `delivers`.

    A tier left to the vendor may turn out to be any of the model's.
    """
    if spec.tier in model.tiers:
        return (spec.tier,)
    return (delivers,) if delivers else model.tiers


def hold_scopes(key: Key, model: Model, tiers: Collection[str]) -> tuple[str, ...]:
    """Every scope that a request is held in, which may be drawn in these tiers.

    A key's share of a tier is held where it is limited, and always posted, so that a limit counts what was spent before
    it was set.
    """
    limited = (key_tier_scope(key.id, tier) for tier in tiers if tier in key.limits_by_tier)
    return (TEAM, f"key:{key.id}", f"model:{model.id}", *map(tier_scope, tiers), *limited)


def tier_scope(tier: str) -> str:
    """The scope of a tier."""
    return f"tier:{tier}"


def key_tier_scope(key_id: str, tier: str) -> str:
    """The scope of what one key uses of a tier."""
    return f"key:{key_id}:tier:{tier}"


def posted_scopes(entry: Entry) -> tuple[str, ...]:
    """The scopes that an entry's cost counts in."""
    tier_name = entry.resolved_tier
    tier = (tier_scope(tier_name), key_tier_scope(entry.key, tier_name)) if tier_name else ()
    return (TEAM, f"key:{entry.key}", f"model:{entry.model}", *tier)


def applicable_limits(key: Key, scopes: Iterable[str]) -> tuple[Limit, ...]:
    """Every limit that applies to a request with these scopes."""
    return tuple(limit for scope in scopes for limit in _to_limits(scope, _scope_limits(key, scope)))


def other_tier_limits(key: Key, model: Model, scopes: Collection[str]) -> tuple[Limit, ...]:
    """The limits in money of the model's other tiers: the vendor may draw one of them instead.

    Nothing is held there. A limit refuses only where such pictures have taken the window beyond it.
    """
    key_scopes = (key_tier_scope(key.id, tier) for tier in model.tiers)
    other_scopes = [scope for scope in (*map(tier_scope, model.tiers), *key_scopes) if scope not in scopes]
    return tuple(limit for limit in applicable_limits(key, other_scopes) if limit.measure in MONEY)


def all_limits(key: Key) -> tuple[Limit, ...]:
    """Every limit there is for a key and its team, whatever is asked for."""
    team = key.team
    named_scopes = (*(f"model:{name}" for name in team.limits_by_model), *map(tier_scope, team.limits_by_tier))
    key_scopes = (key_tier_scope(key.id, tier) for tier in key.limits_by_tier)
    return applicable_limits(key, (TEAM, f"key:{key.id}", *key_scopes, *named_scopes))


def _scope_limits(key: Key, scope: str) -> Limits | None:
    kind, _, name = scope.partition(":")
    match kind:
        case "key":
            _, is_tier_limit, tier = name.partition(":tier:")
            return key.limits_by_tier.get(tier) if is_tier_limit else key.limits
        case "model":
            return key.team.limits_by_model.get(name)
        case "tier":
            return key.team.limits_by_tier.get(name)
        case _:
            return key.team.limits


def _to_limits(scope: str, limits: Limits | None) -> tuple[Limit, ...]:
    if limits is None:
        return ()
    numbers = ((measure, getattr(limits, name)) for name, measure in MEASURES.items())
    return tuple(Limit(scope, measure, maximum) for measure, maximum in numbers if maximum is not None)
