"""Port of the admission to backends: slots within the caps of an account, behind its circuit breaker.

Rule: a slot is taken before each call of a vendor, and the outcome is recorded afterwards. A refusal is a `Failure`
that was not `asked`: nothing was sent. Its `retry_after` says when a slot may be free.

Fails with: `StateUnavailable` where an account has caps and the store does not answer.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from service.domain.catalog import Route
from service.domain.errors import Failure
from service.usecases.ports.backends import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Admission of `calls` calls along a route.

    Attributes:
        epoch: Epoch of the backend's breaker when the slot was taken. Outcomes of an earlier epoch do not count.
    """

    name: str
    route: Route
    calls: int
    epoch: int = 0


class AdmissionControl(Protocol):
    """Admits calls to backends."""

    def blocked_by(self, route: Route) -> Failure | None:
        """Return why a route is blocked, as far as this replica knows. Takes nothing and calls nothing."""
        ...

    def consecutive_failures(self, route: Route) -> int:
        """Return the number of consecutive failed calls that this replica saw at the route's backend."""
        ...

    def slot(self, route: Route, calls: int, images: int) -> AbstractAsyncContextManager[Slot | Failure]:
        """Hold a slot for all the calls during a block, or return why there is none.

        Raises:
            StateUnavailable: the account has caps, and the store does not answer.
        """
        ...

    def record(self, slot: Slot, reply: Reply) -> None:
        """Record the outcome of one call, and the rate limits in the vendor's reply."""
        ...
