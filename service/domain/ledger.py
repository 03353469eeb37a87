"""Holds and entries: money and quota that are held before a vendor is called, and booked afterwards.

Rule: a hold ends exactly once, along `HOLD_TRANSITIONS`. A call that may have been billed is booked, at worst as an
estimate. A hold is admitted only if *all* limits have room for it. Pure: the table decides, the port `QuotaStore` acts.

    PENDING ── send ──▶ SENT ── post ──▶ POSTED      the vendor was called; an entry has the cost
       │                 ├───── void ──▶ VOIDED      certainly not billed
       │                 └──── expire ─▶ EXPIRED     outcome unknown; an `unconfirmed` entry at the quote
       └─ void, expire ────────────────▶ VOIDED      never sent
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.catalog import Model
from service.domain.image_spec import Spec
from service.domain.quota_limits import MEASURES, MONEY, TEAM, Limit, Limits, LimitStatus, Measure
from service.domain.team_access import Key


class HoldState(StrEnum):
    """The state of a hold."""

    PENDING = "pending"
    SENT = "sent"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class HoldAction(StrEnum):
    """An action on a hold."""

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
"""Any other action leaves the hold as it is; the store returns its state."""


class Basis(StrEnum):
    """The source of a cost."""

    USAGE = "usage"
    TABLE = "table"
    ESTIMATED = "estimated"
    UNCONFIRMED = "unconfirmed"
    CACHE = "cache"


class EntryStatus(StrEnum):
    """The end of the attempt of an entry."""

    DELIVERED = "delivered"
    FAILED = "failed"  # billed, or possibly billed, without an image
    LOST = "lost"  # its replica went away before the outcome


class CacheStatus(StrEnum):
    """The origin of an image: one word in `x-gateway-cache`, log, metrics and ledger."""

    MISS = "miss"  # bought, although it could have come from the cache
    HIT = "hit"
    JOINED = "joined"
    REPLAYED = "replayed"
    BYPASS = "bypass"  # bought, and could not have been shared
    UNKNOWN = "unknown"  # bought; an older gateway recorded no cache status


ENTRY_VERSION = 2
"""Written with each entry. An entry without a version is from a gateway that wrote `bypass` for every purchase."""


def to_cache_status(written: str, version: int | None) -> str:
    """Return the cache status of an entry of that version."""
    return CacheStatus.UNKNOWN.value if version is None and written == CacheStatus.BYPASS.value else written


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the ledger, written once: a call that was or may have been billed, or a cache hit.

    Field names are written to Redis and are columns of the ledger; older replicas read both.

    Attributes:
        cost: Nano-USD.
        tier: The requested tier.
        resolved_tier: The tier that the vendor generated.
        saved: Nano-USD that a cache hit saved.
        cache: A `CacheStatus`.
        held_at: Microseconds since 1970 by the store's clock. The cost counts in the windows of this time.
        posted_at: Microseconds since 1970 by the store's clock.
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
    """One requested hold: `images` and nano-USD in each of the `scopes`.

    Attributes:
        quote: The maximum price in nano-USD.
        scopes: Every scope that the hold counts in.
        entry: The entry for the ledger if the hold expires: at the quote, unconfirmed.
        quotes: Maximum prices of scopes that differ from `quote`, such as the scope of a tier.
    """

    hold_id: str
    quote: int
    images: int
    scopes: tuple[str, ...]
    entry: Entry
    quotes: Mapping[str, int] = field(default_factory=dict)

    def quote_in(self, scope: str) -> int:
        """Return the nano-USD that are held in a scope."""
        return self.quotes.get(scope, self.quote)


def requested_amount(limit: Limit, hold_requests: Sequence[HoldRequest]) -> int | None:
    """Return how much of a limit the holds of one request take; None if none is in its scope."""
    inside = [hold_request for hold_request in hold_requests if limit.scope in hold_request.scopes]
    if not inside:
        return None
    if limit.measure is Measure.REQUESTS:
        return 1
    if limit.measure in MONEY:
        return sum(hold_request.quote_in(limit.scope) for hold_request in inside)
    return sum(hold_request.images for hold_request in inside)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer of the store that every hold is made. `held_at` is microseconds since 1970 by the store's clock."""

    held_at: int
    limit_status: tuple[LimitStatus, ...]


def booked_cost(state: HoldState | None, cost: int, quote: int) -> int:
    """Return the nano-USD that the ledger has for a settled hold: its quote if its lease had run out before."""
    return quote if state is HoldState.EXPIRED else cost


def possible_tiers(spec: Spec, model: Model, delivers: str | None = None) -> tuple[str, ...]:
    """Return the tiers that the vendor may generate: the requested one, else the one that the route `delivers`.

    A tier that is left to the vendor may be any tier of the model.
    """
    if spec.tier in model.tiers:
        return (spec.tier,)
    return (delivers,) if delivers else model.tiers


def hold_scopes(key: Key, model: Model, tiers: Collection[str]) -> tuple[str, ...]:
    """Return every scope that a request is held in if the vendor may generate these tiers.

    A key's scope of a tier is held only if it has a limit. It is always posted, so that a later limit counts earlier
    costs.
    """
    limited = (key_tier_scope(key.id, tier) for tier in tiers if tier in key.limits_by_tier)
    return (TEAM, f"key:{key.id}", f"model:{model.id}", *map(tier_scope, tiers), *limited)


def tier_scope(tier: str) -> str:
    """Return the scope of a tier."""
    return f"tier:{tier}"


def key_tier_scope(key_id: str, tier: str) -> str:
    """Return the scope of one key's use of a tier."""
    return f"key:{key_id}:tier:{tier}"


def posted_scopes(entry: Entry) -> tuple[str, ...]:
    """Return the scopes that an entry's cost counts in."""
    tier_name = entry.resolved_tier
    tier = (tier_scope(tier_name), key_tier_scope(entry.key, tier_name)) if tier_name else ()
    return (TEAM, f"key:{entry.key}", f"model:{entry.model}", *tier)


def applicable_limits(key: Key, scopes: Iterable[str]) -> tuple[Limit, ...]:
    """Return every limit of a request with these scopes."""
    return tuple(limit for scope in scopes for limit in _to_limits(scope, _scope_limits(key, scope)))


def other_tier_limits(key: Key, model: Model, scopes: Collection[str]) -> tuple[Limit, ...]:
    """Return the money limits of the model's other tiers, because the vendor may generate one of them instead.

    Nothing is held there. Such a limit refuses only if images of its tier have exceeded it.
    """
    key_scopes = (key_tier_scope(key.id, tier) for tier in model.tiers)
    other_scopes = [scope for scope in (*map(tier_scope, model.tiers), *key_scopes) if scope not in scopes]
    return tuple(limit for limit in applicable_limits(key, other_scopes) if limit.measure in MONEY)


def all_limits(key: Key) -> tuple[Limit, ...]:
    """Return every limit of a key and its team, whatever the request."""
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
