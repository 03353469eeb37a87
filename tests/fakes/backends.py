"""Backends that deliver what they are told to, in order, and remember what they were asked."""

import asyncio
from collections import deque
from collections.abc import Iterable

from service.domain.outcomes import Outcome, Partial
from service.usecases.ports import Order


class FakeBackend:
    """Answers with `outcomes`, one per order. `turns`: how many turns of the loop each answer takes.

    Of the previews that are asked for it shows at most `previews`.
    """

    def __init__(
        self, *outcomes: Outcome, relays_links: bool = False, turns: Iterable[int] = (), previews: int = 0
    ) -> None:
        self.relays_links = relays_links
        self.orders: list[Order] = []
        self._outcomes = deque(outcomes)
        self._turns = deque(turns)
        self._previews = previews

    def tell(self, outcome: Outcome) -> None:
        """Come to this outcome next."""
        self._outcomes.appendleft(outcome)

    async def buy(self, order: Order) -> Outcome:
        """The next outcome; to be asked more often than outcomes were given is an error of the test."""
        self.orders.append(order)
        outcome = self._outcomes.popleft()
        for _ in range(self._turns.popleft() if self._turns else 0):
            await asyncio.sleep(0)
        for index in range(min(order.partials, self._previews)):
            await order.show(Partial(base64=b"sketch", index=index))
        return outcome
