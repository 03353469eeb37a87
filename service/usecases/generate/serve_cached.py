"""Service of a cached result: count the request, and book the saved amount.

Rule: a cached result costs nothing and passes the limits nevertheless. Its images keep their ids while they are stored
for this team.

Fails with: `LimitExceeded` or `StateUnavailable`; the request is not served then.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from service.domain.booking import Delivered, ImageSource, build_cached_hold_request
from service.domain.ledger import (
    Basis,
    CacheStatus,
    HoldRequest,
    applicable_limits,
)
from service.domain.quotes import Charge
from service.usecases.generate.delivery import Delivery
from service.usecases.generate.result_cache import MICROSECONDS
from service.usecases.images.image_storage import ImageStorage, StoredImages
from service.usecases.money.hold_quota import HoldQuota
from service.usecases.ports.requests import ImageRequest, RequestListener
from service.usecases.ports.result_store import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeCached:
    """The use case. `new_id` gives 32 random hex digits, `now` an aware UTC time."""

    hold_quota: HoldQuota
    image_storage: ImageStorage
    new_id: Callable[[], str]
    now: Callable[[], datetime]

    async def serve(
        self, request: ImageRequest, result: Result, source: CacheStatus, listener: RequestListener, age: int = 0
    ) -> Delivery:
        """Build the delivery of a result that is `age` seconds old.

        Raises:
            LimitExceeded, StateUnavailable: the request is not admitted.
        """
        hold_request = _build_hold_request(self.new_id(), request, result, source)
        limits = applicable_limits(request.caller.key, hold_request.scopes)
        async with self.hold_quota.hold(request.caller.key.team.name, [hold_request], limits) as hold:
            listener.on_admitted(hold.admission)
            await hold.mark_sent()
            await hold.post(replace(hold_request.entry, held_at=hold.admission.held_at))
        stored = await self.image_storage.reuse_or_store(result, request, age)
        replayed = source is CacheStatus.REPLAYED
        return Delivery(
            result=with_ids(result, stored),
            spec=request.spec,
            source=source,
            cost=0,
            at=result.stored_at // MICROSECONDS if replayed else int(self.now().timestamp()),
            request_id=result.request_id if replayed else request.caller.request_id,
            age=age,
        )


def with_ids(result: Result, stored: StoredImages) -> Result:
    """Build the result with the ids that its images have for this team."""
    if (result.ids, result.images_stored) == (stored.ids, stored.are_stored):
        return result
    return replace(result, ids=stored.ids, images_stored=stored.are_stored)


def _build_hold_request(hold_id: str, request: ImageRequest, result: Result, cache_status: CacheStatus) -> HoldRequest:
    generation = result.generation
    source = ImageSource(
        backend=result.backend,
        upstream_model=result.upstream_model,
        price_version=result.price_version,
        output_format=generation.output_format or request.spec.output_format,
    )
    charge = Charge(nano=0, basis=Basis.CACHE)
    delivered = Delivered(model=request.model, generation=generation, charge=charge, saved=result.cost)
    return build_cached_hold_request(
        hold_id, request.spec, request.caller, source, delivered, cache_status=cache_status
    )
