"""The replicas that are alive, in memory, by a clock that tests set."""

from collections.abc import Sequence

from service.domain.errors import LedgerUnavailable
from service.usecases.ports.replica_registry import Recount


class FakeReplicaRegistry:
    """Keeps heartbeats, recounts and reports. `now` is its clock in seconds; while `down` it is unavailable."""

    def __init__(self) -> None:
        self.now = 0.0
        self.down = False
        self.seen: dict[str, float] = {}
        self.recounts: dict[str, str] = {}
        self.reports: dict[tuple[str, str], str] = {}

    async def heartbeat(self, name: str) -> Sequence[Recount]:
        self._answer()
        self.seen[name] = self.now
        return [
            Recount(team=team, epoch=life)
            for team, life in self.recounts.items()
            if self.reports.get((team, name)) != life
        ]

    async def report(self, name: str, recount: Recount) -> None:
        self._answer()
        self.reports[recount.team, name] = recount.epoch

    async def request_reports(self, name: str, recount: Recount, alive_seconds: float | None) -> int:
        self._answer()
        self.recounts[recount.team] = recount.epoch
        self.reports[recount.team, name] = recount.epoch
        waited_for = [
            other for other, at in self.seen.items() if alive_seconds is None or at > self.now - alive_seconds
        ]
        return sum(self.reports.get((recount.team, other)) != recount.epoch for other in waited_for if other != name)

    async def finish(self, recount: Recount) -> None:
        self._answer()
        if self.recounts.get(recount.team) == recount.epoch:
            del self.recounts[recount.team]
        self.reports = {
            key: life for key, life in self.reports.items() if (key[0], life) != (recount.team, recount.epoch)
        }

    async def unregister(self, name: str) -> None:
        self._answer()
        self.seen.pop(name, None)

    def _answer(self) -> None:
        if self.down:
            raise LedgerUnavailable("The ledger of record does not answer.")
