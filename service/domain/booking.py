"""Hold requests of calls, and the entries that book their outcomes.

Rule: a hold request already has the entry for the worst case, at the quote and unconfirmed. Known outcomes replace
parts of it. `build_entry` is the only constructor of an entry in the gateway's own code. Pure.

Fails with: nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from service.domain.catalog import Model
from service.domain.generation import Generation, Usage
from service.domain.image_spec import Spec
from service.domain.ledger import (
    Basis,
    CacheStatus,
    Entry,
    EntryStatus,
    HoldRequest,
    hold_scopes,
    key_tier_scope,
    possible_tiers,
    tier_scope,
)
from service.domain.quotes import Charge, quote
from service.domain.routing import Plan
from service.domain.team_access import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The key, request and tags that a cost is booked under. `hops` are the gateways that the request has passed."""

    key: Key
    request_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    hops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """The origin of the images of an entry, and the format in which they are delivered."""

    backend: str
    upstream_model: str
    price_version: str
    output_format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Delivered images of a model and their cost. `saved` is the nano-USD that a cache hit saved."""

    model: Model
    generation: Generation
    charge: Charge
    saved: int = 0


def build_hold_request(  # noqa: PLR0913, PLR0917 (all that a hold is about)
    hold_id: str, spec: Spec, plan: Plan, model: Model, caller: Caller, partials: int = 0, *, cache_status: CacheStatus
) -> HoldRequest:
    """Build the hold of one call with `partials` previews: in each tier at the maximum price of that tier."""
    max_cost = quote(spec, model, plan.route, plan.price, partials)
    tiers = possible_tiers(spec, model, plan.route.delivers)
    scopes = hold_scopes(caller.key, model, tiers)
    by_tier = dict.fromkeys(tiers, max_cost)
    if len(tiers) > 1:
        by_tier |= {tier: quote(replace(spec, tier=tier), model, plan.route, plan.price, partials) for tier in tiers}
    key = caller.key.id
    quotes = {
        scope: nano
        for tier, nano in by_tier.items()
        for scope in (tier_scope(tier), key_tier_scope(key, tier))
        if nano != max_cost and scope in scopes
    }
    source = ImageSource(
        backend=plan.route.backend,
        upstream_model=plan.route.model,
        price_version=plan.price.version,
        output_format=plan.transcode.output_format if plan.transcode else spec.output_format,
    )
    dearest_tier = max(reversed(tiers), key=by_tier.__getitem__, default=None)
    entry = _unsettled_entry(hold_id, spec, model, caller, source, dearest_tier, max_cost, cache_status)
    return HoldRequest(hold_id=hold_id, quote=max_cost, images=spec.n, scopes=scopes, entry=entry, quotes=quotes)


def build_cached_hold_request(  # noqa: PLR0913 (all that a hold is about)
    hold_id: str,
    spec: Spec,
    caller: Caller,
    source: ImageSource,
    delivered: Delivered,
    *,
    cache_status: CacheStatus,
) -> HoldRequest:
    """Build a hold of nothing for a cached result: it counts as a request, and its entry has the saved amount."""
    model = delivered.model
    unsettled = _unsettled_entry(hold_id, spec, model, caller, source, resolved_tier(spec, model), 0, cache_status)
    scopes = hold_scopes(caller.key, model, possible_tiers(spec, model))
    entry = _delivered_entry(unsettled, 0, delivered)
    return HoldRequest(hold_id=hold_id, quote=0, images=0, scopes=scopes, entry=entry)


def _unsettled_entry(  # noqa: PLR0913, PLR0917 (the identity of an entry)
    hold_id: str,
    spec: Spec,
    model: Model,
    caller: Caller,
    source: ImageSource,
    tier: str | None,
    cost: int,
    cache_status: CacheStatus,
) -> Entry:
    """Build the entry of a hold that expires: at this cost, unconfirmed."""
    return Entry(
        hold_id=hold_id,
        request_id=caller.request_id,
        team=caller.key.team.name,
        key=caller.key.id,
        tags=caller.tags,
        operation=spec.operation.value,
        model=model.id,
        backend=source.backend,
        upstream_model=source.upstream_model,
        price_version=source.price_version,
        output_format=source.output_format,
        n=spec.n,
        tier=spec.tier,
        resolved_tier=tier,
        size=str(spec.size) if spec.size else None,
        cost=cost,
        basis=Basis.UNCONFIRMED,
        status=EntryStatus.LOST,
        cache=cache_status.value,
    )


def build_entry(hold_request: HoldRequest, held_at: int, delivered: Delivered | None = None) -> Entry:
    """Build the entry of a settled hold: with its delivered images, else failed and booked at the quote."""
    if delivered is None:
        return replace(hold_request.entry, held_at=held_at, status=EntryStatus.FAILED)
    return _delivered_entry(hold_request.entry, held_at, delivered)


def _delivered_entry(entry: Entry, held_at: int, delivered: Delivered) -> Entry:
    """Build the entry of delivered images from the one of their hold."""
    model, generation, charge = delivered.model, delivered.generation, delivered.charge
    usage = generation.usage or generation.partial_usage or Usage()
    if charge.basis is Basis.CACHE:  # the vendor counted its tokens for the request that generated it
        usage = Usage()
    return replace(
        entry,
        held_at=held_at,
        status=EntryStatus.DELIVERED,
        cost=charge.nano,
        saved=delivered.saved,
        basis=charge.basis,
        n=len(generation.images),
        resolved_tier=generation.tier if generation.tier in model.tiers else entry.resolved_tier,
        size=str(generation.size) if generation.size else entry.size,
        text_in=usage.text_in,
        image_in=usage.image_in + usage.other_in,
        text_cached=usage.text_cached,
        image_cached=usage.image_cached,
        text_out=usage.text_out,
        image_out=usage.image_out,
    )


def resolved_tier(spec: Spec, model: Model) -> str | None:
    """Return the tier that a cost is booked under until the vendor reports one: the requested, else the dearest."""
    if spec.tier in model.tiers:
        return spec.tier
    return model.tiers[-1] if model.tiers else None
