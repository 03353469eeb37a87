"""The amounts of a minute, by the rule of `clock.lua`: those of a second count until 60 s after the last of them."""

from dataclasses import dataclass, field

from service.domain.limit_errors import SECOND

MINUTE = 60 * SECOND


@dataclass(slots=True)
class Minute:
    """Amounts by the time of the last one in a second, oldest first. Times are microseconds since 1970."""

    amounts: dict[int, int] = field(default_factory=dict)

    def counted(self, now: int) -> dict[int, int]:
        """The amounts that still count; one ahead of the clock is moved to now."""
        found: dict[int, int] = {}
        for at, amount in self.amounts.items():
            if at + MINUTE > now:
                found[min(at, now)] = found.get(min(at, now), 0) + amount
        return found

    def used(self, now: int) -> int:
        """Their sum."""
        return sum(self.counted(now).values())

    def whole_in(self, now: int) -> int:
        """How long until none of them counts any more."""
        return max((at + MINUTE - now for at in self.counted(now)), default=0)

    def wait(self, amount: int, most: int, now: int) -> int | None:
        """How long until there is room for an amount that is no larger than the limit."""
        over = self.used(now) + amount - most
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
