"""Amounts of a minute, by the rule of `clock.lua`: the amounts of a second count until 60 s after the last of them."""

from dataclasses import dataclass, field

from service.domain.limit_errors import SECOND

MINUTE = 60 * SECOND


@dataclass(slots=True)
class Minute:
    """Amounts by the time of the last one in a second, oldest first. Times are microseconds since 1970."""

    amounts: dict[int, int] = field(default_factory=dict)

    def counted(self, now: int) -> dict[int, int]:
        """Return the amounts that still count. An amount ahead of the clock is moved to now."""
        amounts: dict[int, int] = {}
        for at, amount in self.amounts.items():
            if at + MINUTE > now:
                amounts[min(at, now)] = amounts.get(min(at, now), 0) + amount
        return amounts

    def used(self, now: int) -> int:
        return sum(self.counted(now).values())

    def whole_in(self, now: int) -> int:
        """Return the microseconds until no amount counts."""
        return max((at + MINUTE - now for at in self.counted(now)), default=0)

    def wait(self, amount: int, maximum: int, now: int) -> int | None:
        """Return the microseconds until an amount has room. The amount is no larger than the maximum."""
        over = self.used(now) + amount - maximum
        if amount == 0 or over <= 0:
            return None
        for at, taken in self.counted(now).items():
            over -= taken
            if over <= 0:
                return at + MINUTE - now
        raise AssertionError

    def add(self, amount: int, now: int) -> None:
        """Add an amount to this second."""
        if amount:
            counted = self.counted(now)
            this_second = [at for at in counted if at // SECOND == now // SECOND]
            amount += sum(counted.pop(at) for at in this_second)
            self.amounts = {**counted, now: amount}
