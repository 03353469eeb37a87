"""Turns that are given unless a test says otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.catalog import Route
from service.domain.errors import Failure, GatewayError
from service.domain.headroom import Headroom
from service.domain.outcomes import Outcome
from service.usecases.turns import Turn


@dataclass(slots=True, kw_only=True)
class FakeTurns:
    """Refuses who is in `hindrances` (by backend) at once, and whoever else while there are `refusals` left.

    Notes what it is told; `out` are the turns that nobody gave back.
    """

    hindrances: dict[str, Failure] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    refusals: list[Failure | GatewayError] = field(default_factory=list)
    taken: list[tuple[str, int, int]] = field(default_factory=list)
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    headrooms: list[tuple[str, Headroom]] = field(default_factory=list)
    out: set[str] = field(default_factory=set)

    def hindrance(self, route: Route) -> Failure | None:
        return self.hindrances.get(route.backend)

    def streak(self, route: Route) -> int:
        return self.streaks.get(route.backend, 0)

    async def take(self, route: Route, calls: int, pictures: int) -> Turn | Failure:
        if self.refusals:
            refusal = self.refusals.pop(0)
            if isinstance(refusal, GatewayError):
                raise refusal
            return refusal
        self.taken.append((route.backend, calls, pictures))
        turn = Turn(name=f"turn-{len(self.taken)}", route=route, calls=calls)
        self.out.add(turn.name)
        return turn

    def heard(self, route: Route, headrooms: Sequence[Headroom]) -> None:
        self.headrooms.extend((route.backend, each) for each in headrooms)

    def told(self, turn: Turn, outcome: Outcome) -> None:
        self.outcomes.append((turn.name, outcome))

    async def leave(self, turn: Turn) -> None:
        self.out.remove(turn.name)
