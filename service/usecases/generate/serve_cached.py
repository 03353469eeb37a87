"""Serve a result that was bought for another request: count the request, and book what it saved.

Rule: it costs nothing and passes the limits all the same. Its images keep their ids as long as they are stored for this
team.

Fails with: `LimitExceeded` or `StateUnavailable`; nothing is served then.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from service.domain.booking import resolved_tier
from service.domain.ledger import (
    Basis,
    CacheStatus,
    Entry,
    EntryStatus,
    HoldRequest,
    applicable_limits,
    hold_scopes,
    possible_tiers,
)
from service.usecases.generate.delivery import Delivery
from service.usecases.generate.result_cache import MICROSECONDS
from service.usecases.images.image_storage import ImageStorage, StoredImages
from service.usecases.money.hold_quota import HoldQuota
from service.usecases.ports.requests import ImageRequest, RequestListener
from service.usecases.ports.result_store import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeCached:
    """Serves results. `mint` gives 32 random hex digits, `now` an aware UTC time."""

    hold: HoldQuota
    keep: ImageStorage
    mint: Callable[[], str]
    now: Callable[[], datetime]

    async def serve(
        self, request: ImageRequest, result: Result, source: CacheStatus, listener: RequestListener, age: int = 0
    ) -> Delivery:
        """Build the delivery of a result that is `age` seconds old.

        Raises:
            LimitExceeded, StateUnavailable: the request is not admitted.
        """
        claim = build_claim(self.mint(), request, result, source)
        limits = applicable_limits(request.caller.key, claim.scopes)
        async with self.hold(request.caller.key.team.name, [claim], limits) as held:
            listener.on_admitted(held.admission)
            await held.mark_sent()
            await held.post(replace(claim.entry, held_at=held.admission.held_at))
        keeping = await self.keep.reuse_or_store(result, request, age)
        replayed = source is CacheStatus.REPLAYED
        return Delivery(
            result=with_ids(result, keeping),
            spec=request.spec,
            source=source,
            cost=0,
            at=result.stored_at // MICROSECONDS if replayed else int(self.now().timestamp()),
            request_id=result.request_id if replayed else request.caller.request_id,
            age=age,
        )


def with_ids(result: Result, keeping: StoredImages) -> Result:
    """Build the result with the ids that its images have for this team."""
    if (result.ids, result.images_stored) == (keeping.ids, keeping.are_stored):
        return result
    return replace(result, ids=keeping.ids, images_stored=keeping.are_stored)


def build_claim(hold_id: str, request: ImageRequest, result: Result, source: CacheStatus) -> HoldRequest:
    """Build a hold of nothing, which counts as a request; its entry says what was saved."""
    purchase, spec, model = result.generation, request.spec, request.model
    entry = Entry(
        hold_id=hold_id,
        request_id=request.caller.request_id,
        team=request.caller.key.team.name,
        key=request.caller.key.id,
        tags=request.caller.tags,
        operation=spec.operation.value,
        model=model.id,
        backend=result.backend,
        upstream_model=result.upstream_model,
        price_version=result.price_version,
        output_format=purchase.output_format or spec.output_format,
        n=len(purchase.images),
        tier=spec.tier,
        resolved_tier=purchase.tier if purchase.tier in model.tiers else resolved_tier(spec, model),
        size=str(purchase.size or spec.size or "") or None,
        cost=0,
        saved=result.cost,
        basis=Basis.CACHE,
        cache=source.value,
        status=EntryStatus.DELIVERED,
    )
    scopes = hold_scopes(request.caller.key, model, possible_tiers(spec, model))
    return HoldRequest(hold_id=hold_id, quote=0, images=0, scopes=scopes, entry=entry)
