"""What a caller gets: a result, where it came from, and what it cost this caller.

Rule: pure values; raises nothing. What an answer shows (id, addresses) follows from them alone, so that an answer that
is given again is the same to the last byte.
"""

from dataclasses import dataclass

from service.domain.images import Spec
from service.domain.ledger import Source
from service.usecases.buy_pictures import Wish
from service.usecases.flights import Result

MICROSECONDS = 1_000_000


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
