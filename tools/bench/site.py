"""Everybody who is compared, before one vendor.

Rule: all are started at the beginning and stay until the block is left; a peer that cannot be started ends the run with
what to do about it. nginx comes twice under one name: what is a hit goes to the one that keeps.
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
    """The vendor, and who stands before it."""

    vendor: Peer
    peers: Sequence[Peer]

    def who_can(self, case: Case) -> list[Peer]:
        """The vendor first, then the peers that answer such a request."""
        return [self.vendor, *(peer for peer in self.peers if case.kind not in peer.unable)]


@contextmanager
def site(folder: Path, names: Collection[str]) -> Iterator[Site]:
    """Start them."""
    with ExitStack() as stack:
        vendor = stack.enter_context(nginx.vendor(folder))
        slow = stack.enter_context(_slow(folder))
        starts = [start for name in STARTS if name in names for start in STARTS[name]]
        peers = [stack.enter_context(start(folder, vendor.url, slow)) for start in starts]
        yield Site(vendor=vendor, peers=peers)


@contextmanager
def _slow(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tools.bench.slow", str(port), str(DELAY_SECONDS)]
    with running(command, port, folder / "slow.log"):
        yield f"http://127.0.0.1:{port}"
