"""The smallest relay that the product's own libraries allow: `tools/bench/floor.py`.

Rule: not part of what is compared by default; it says how much of a figure is Python's and not the product's.
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
    """The relay; it knows one vendor."""
    place, port = folder / "floor", free_port()
    place.mkdir()
    command = [sys.executable, "-m", "tools.bench.floor", vendor, str(port)]
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
