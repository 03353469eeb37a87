"""The delivery of a request: a result, and its origin as the response shows it.

Rule: a response is a pure function of its delivery, so that a replay is equal to the last byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.domain.generation import Usage
from service.domain.image_spec import Spec
from service.domain.ledger import CacheStatus
from service.usecases.generate.result_cache import MICROSECONDS
from service.usecases.ports.requests import ImageRequest
from service.usecases.ports.result_store import Result

FREE = frozenset({CacheStatus.HIT, CacheStatus.JOINED})
"""Cache statuses of results that were bought for another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A result for one caller.

    Attributes:
        result: Images, backend and usage.
        spec: The requested images.
        source: The cache status.
        cost: Nano-USD of this request.
        at: Unix seconds from which the addresses of its images are valid.
        request_id: The id that the response shows.
        age: Seconds since the result was cached.
        notes: Emulations, if the result was bought for this request.
    """

    result: Result
    spec: Spec
    source: CacheStatus
    cost: int
    at: int
    request_id: str
    age: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether the result was bought for another request."""
        return self.source in FREE


def build_delivery(result: Result, request: ImageRequest) -> Delivery:
    """Build the delivery of a result that was bought for this request."""
    return Delivery(
        result=result,
        spec=request.spec,
        source=request.source,
        cost=result.cost,
        at=result.stored_at // MICROSECONDS,
        request_id=request.caller.request_id,
        notes=result.notes,
    )


def to_replay_result(delivery: Delivery) -> Result:
    """Build the result that a replay of this delivery needs: with the id and time of this response."""
    return replace(delivery.result, request_id=delivery.request_id, stored_at=delivery.at * MICROSECONDS)


def without_tokens(delivery: Delivery) -> Delivery:
    """Set every count of tokens to 0, if the result was bought for another request."""
    if not delivery.is_free:
        return delivery
    zeroed = delivery.result.generation
    zeroed = replace(
        zeroed,
        usage=Usage() if zeroed.usage else None,
        svg_usage=_zeros(zeroed.svg_usage) if zeroed.svg_usage else None,
    )
    return replace(delivery, result=replace(delivery.result, generation=zeroed))


def _zeros(counts: Mapping[str, object]) -> dict[str, object]:
    """Replace every number by 0, and leave other values as they are."""
    return {
        name: 0 if type(value) in {int, float} else _zeros(value) if isinstance(value, Mapping) else value
        for name, value in counts.items()
    }
