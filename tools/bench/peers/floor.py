"""Smallest relay that the product's libraries allow: `tools/bench/smallest_relay.py`.

Rule: the default comparison leaves it out. It shows which part of a figure is the cost of Python.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bench.cases import Kind
from tools.bench.peers.nginx import KEY
from tools.bench.peers.peer import Peer, bearer
from tools.bench.peers.running import free_port, running


@contextmanager
def floor(folder: Path, vendor: str, _slow: str) -> Iterator[Peer]:
    """Run the relay. It has one vendor."""
    place, port = folder / "floor", free_port()
    place.mkdir()
    command = [sys.executable, "-m", "tools.bench.smallest_relay", vendor, str(port)]
    with running(command, port, place / "log") as pid:
        yield Peer(
            name="floor",
            url=f"http://127.0.0.1:{port}",
            headers=bearer(KEY),
            by_path=True,
            own=(pid,),
            unable={Kind.HIT},
            waits=False,
        )
