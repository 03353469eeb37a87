"""Hold requests of calls, and the entries that book their outcomes.

Rule: a hold request already has the entry for the worst case, at the quote and unconfirmed. Known outcomes replace
parts of it. Pure.

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


def build_hold_request(  # noqa: PLR0913, PLR0917 (all that a hold is about)
    hold_id: str, spec: Spec, plan: Plan, model: Model, caller: Caller, partials: int = 0, *, cache_status: CacheStatus
) -> HoldRequest:
    """The hold that one order needs, with so many previews: in each tier at what that tier may cost."""
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
    entry = Entry(
        hold_id=hold_id,
        request_id=caller.request_id,
        team=caller.key.team.name,
        key=key,
        tags=caller.tags,
        operation=spec.operation.value,
        model=model.id,
        backend=plan.route.backend,
        upstream_model=plan.route.model,
        price_version=plan.price.version,
        output_format=plan.transcode.output_format if plan.transcode else spec.output_format,
        n=spec.n,
        tier=spec.tier,
        resolved_tier=max(reversed(tiers), key=by_tier.__getitem__, default=None),
        size=str(spec.size) if spec.size else None,
        cost=max_cost,
        basis=Basis.UNCONFIRMED,
        status=EntryStatus.LOST,
        cache=cache_status.value,
    )
    return HoldRequest(hold_id=hold_id, quote=max_cost, images=spec.n, scopes=scopes, entry=entry, quotes=quotes)


def entry_delivered(
    hold_request: HoldRequest, held_at: int, generation: Generation, charge: Charge, model: Model
) -> Entry:
    """The entry of an order that brought pictures."""
    tier = generation.tier if generation.tier in model.tiers else None
    usage = generation.usage or generation.partial_usage or Usage()
    return replace(
        hold_request.entry,
        held_at=held_at,
        status=EntryStatus.DELIVERED,
        cost=charge.nano,
        basis=charge.basis,
        n=len(generation.images),
        resolved_tier=tier or hold_request.entry.resolved_tier,
        size=str(generation.size) if generation.size else hold_request.entry.size,
        text_in=usage.text_in,
        image_in=usage.image_in + usage.other_in,
        text_cached=usage.text_cached,
        image_cached=usage.image_cached,
        text_out=usage.text_out,
        image_out=usage.image_out,
    )


def entry_failed(hold_request: HoldRequest, held_at: int) -> Entry:
    """The entry of an order that brought nothing and may have been billed: at the quote."""
    return replace(hold_request.entry, held_at=held_at, status=EntryStatus.FAILED)


def resolved_tier(spec: Spec, model: Model) -> str | None:
    """The tier that a cost is booked under until the vendor says which it drew: the one asked for, else the dearest."""
    if spec.tier in model.tiers:
        return spec.tier
    return model.tiers[-1] if model.tiers else None
