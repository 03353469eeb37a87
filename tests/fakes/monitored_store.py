"""A store that answers its monitors with what a test lays ready."""

from collections import deque
from collections.abc import Iterable, Sequence

from service.usecases.ports.monitored_store import ServerMemory


class FakeMonitoredStore:
    """Answers with the next problem or memory; with none, and with no memory, once they are used up."""

    def __init__(self, problems: Iterable[str | None] = (), memories: Iterable[Sequence[ServerMemory]] = ()) -> None:
        self.problems = deque(problems)
        self.memories = deque(memories)

    async def problem(self, timeout_seconds: float) -> str | None:  # noqa: ARG002 (a fake answers at once)
        return self.problems.popleft() if self.problems else None

    async def memory(self) -> Sequence[ServerMemory]:
        return self.memories.popleft() if self.memories else []
