"""Whose turn it is at a backend: what an account can take, on all replicas together, and whether it is well.

Rule: whoever is about to call a vendor takes a turn first, and says afterwards what came of it. A turn that cannot be
had is a `Failure` that was not `asked`: nothing was sent, and `retry_after` says when it may be had.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.catalog import Route
from service.domain.errors import Failure
from service.domain.headroom import Headroom
from service.domain.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Leave to make so many calls along a route. `name` is its own; `era` says how often the backend was set aside."""

    name: str
    route: Route
    calls: int
    era: int = 0


class Turns(Protocol):
    """Gives turns."""

    def hindrance(self, route: Route) -> Failure | None:
        """What this replica knows to be in the way just now: no call, no waiting, nothing is taken."""
        ...

    def streak(self, route: Route) -> int:
        """How many calls in a row failed there, as far as this replica knows."""
        ...

    async def take(self, route: Route, calls: int, pictures: int) -> Turn | Failure:
        """Leave for all the calls, or what is in the way. A turn is given back with `leave`.

        Raises:
            StateUnavailable: nobody can say what the account can take.
        """
        ...

    def heard(self, route: Route, headrooms: Sequence[Headroom]) -> None:
        """What the vendor said about its limits."""
        ...

    def told(self, turn: Turn, outcome: Outcome) -> None:
        """What came of one call."""
        ...

    async def leave(self, turn: Turn) -> None:
        """The calls are over. Never raises."""
        ...
