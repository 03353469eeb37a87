"""What a caller gets: a result, where it came from, and what it cost this caller.

Rule: pure values; raises nothing. What an answer shows (id, addresses) follows from them alone, so that an answer that
is given again is the same to the last byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.domain.images import Spec
from service.domain.ledger import Source
from service.domain.outcomes import Usage
from service.usecases.buy_pictures import Wish
from service.usecases.flights import Result

MICROSECONDS = 1_000_000
FREE = frozenset({Source.HIT, Source.JOINED})
"""Where an answer comes from that was bought for another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the caller gets. `cost` is in nano-USD, `age` in seconds.

    `request_id` is the id that the answer shows; its addresses are good from `at`, in Unix seconds. `notes` say what
    was emulated, where it was bought for this caller.
    """

    result: Result
    spec: Spec
    source: Source
    cost: int
    at: int
    request_id: str
    age: int = 0
    notes: tuple[str, ...] = ()


def bought(result: Result, wish: Wish) -> Share:
    """What the caller had bought."""
    return Share(
        result=result,
        spec=wish.spec,
        source=wish.source,
        cost=result.cost,
        at=result.kept_at // MICROSECONDS,
        request_id=wish.caller.request_id,
        notes=result.notes,
    )


def without_tokens(share: Share) -> Share:
    """A share that says of every count of tokens that it is 0, if it was bought for another request."""
    if share.source not in FREE:
        return share
    bought_before = share.result.purchase
    purchase = replace(
        bought_before,
        usage=Usage() if bought_before.usage else None,
        svg_usage=_zeros(bought_before.svg_usage) if bought_before.svg_usage else None,
    )
    return replace(share, result=replace(share.result, purchase=purchase))


def _zeros(counts: Mapping[str, object]) -> dict[str, object]:
    """The same with 0 for every number, whatever else stands beside it."""
    return {
        name: 0 if type(value) in {int, float} else _zeros(value) if isinstance(value, Mapping) else value
        for name, value in counts.items()
    }
