"""Who is measured: where it answers, what is sent along, and which processes are its own.

Rule: a peer is told the case either by the path of the call or by its model; headers say the rest.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tools.bench.cases import Case, Kind

Headers = Callable[[Case], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One target. `own`, `redis` and `sql` are ids of processes, which count with their children.

    `unable` has the kinds of requests that it cannot answer; `waits`: it knows the vendor that takes its time.
    """

    name: str
    url: str
    headers: Headers
    by_path: bool = False
    own: Sequence[int] = ()
    redis: Sequence[int] = ()
    sql: Sequence[int] = ()
    unable: Collection[Kind] = ()
    waits: bool = True

    def path(self, case: Case) -> str:
        """Of the call."""
        return f"/{case.slug}{case.path}" if self.by_path else case.path


def bearer(key: str) -> Headers:
    """A key, whatever the case."""
    return lambda _: {"authorization": f"Bearer {key}"}
