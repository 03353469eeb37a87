"""All compared peers before one vendor.

Rule: all start at the beginning and run until the block ends. A peer that does not start ends the run with advice.
nginx runs twice under one name: hits go to its cache.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.bench.cases import Case
from tools.bench.peers import nginx, product
from tools.bench.peers.floor import floor
from tools.bench.peers.litellm import litellm
from tools.bench.peers.peer import Peer
from tools.bench.peers.portkey import portkey
from tools.bench.peers.running import free_port, running

DELAY_SECONDS = 10.0
Start = Callable[[Path, str, str], AbstractContextManager[Peer]]
STARTS: Mapping[str, Sequence[Start]] = {
    "gateway": (product.with_postgres,),
    "sqlite": (product.with_sqlite,),
    "litellm": (litellm,),
    "portkey": (portkey,),
    "nginx": (nginx.proxy, nginx.cache),
    "floor": (floor,),
}
USUAL = ("gateway", "sqlite", "litellm", "portkey", "nginx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The vendor, and the peers before it."""

    vendor: Peer
    peers: Sequence[Peer]

    def who_can(self, case: Case) -> list[Peer]:
        """Return the vendor, then the peers that answer such requests."""
        return [self.vendor, *(peer for peer in self.peers if case.kind not in peer.unable)]


@contextmanager
def site(folder: Path, names: Collection[str]) -> Iterator[Site]:
    """Start the vendor and the peers."""
    with ExitStack() as stack:
        vendor = stack.enter_context(nginx.vendor(folder))
        slow = stack.enter_context(_slow(folder))
        starts = [start for name in STARTS if name in names for start in STARTS[name]]
        peers = [stack.enter_context(start(folder, vendor.url, slow)) for start in starts]
        yield Site(vendor=vendor, peers=peers)


@contextmanager
def _slow(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tools.bench.slow_vendor", str(port), str(DELAY_SECONDS)]
    with running(command, port, folder / "slow.log"):
        yield f"http://127.0.0.1:{port}"
