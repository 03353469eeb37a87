"""Whose turn it is at a backend: what an account can take, on all replicas together, and whether it is well.

Rule: whoever is about to call a vendor takes a turn first, and says afterwards what came of it. A turn that cannot be
had is a `Failure` that was not `asked`: nothing was sent, and `retry_after` says when it may be had.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from service.domain.catalog import Route
from service.domain.errors import Failure
from service.usecases.ports.backends import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Leave to make `calls` calls along a route. `epoch` counts how often the backend was set aside."""

    name: str
    route: Route
    calls: int
    epoch: int = 0


class AdmissionControl(Protocol):
    """Gives turns."""

    def blocked_by(self, route: Route) -> Failure | None:
        """What this replica knows to be in the way just now: no call, no waiting, nothing is taken."""
        ...

    def consecutive_failures(self, route: Route) -> int:
        """How many calls in a row failed there, as far as this replica knows."""
        ...

    def slot(self, route: Route, calls: int, pictures: int) -> AbstractAsyncContextManager[Slot | Failure]:
        """Hold leave for all the calls for the length of a block, or what is in the way.

        Raises:
            StateUnavailable: nothing is known of what the account can take.
        """
        ...

    def record(self, turn: Slot, reply: Reply) -> None:
        """Record the outcome of one call, and what the vendor said about its limits."""
        ...
