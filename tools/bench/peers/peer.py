"""A measured peer: address, headers, and ids of its processes.

Rule: the path or the model of a call tells the peer its case. Headers carry the rest.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tools.bench.cases import Case, Kind

Headers = Callable[[Case], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One target. `own`, `redis` and `sql` are ids of processes, which count with their children.

    `unable` has the kinds of requests that it cannot answer. `waits` is true if it has the slow vendor.
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
        """Path of the call for a case."""
        return f"/{case.slug}{case.path}" if self.by_path else case.path


def bearer(key: str) -> Headers:
    """Build headers with a key for all cases."""
    return lambda _: {"authorization": f"Bearer {key}"}
