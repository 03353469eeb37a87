"""Portkey's gateway from npm: one Node process, with the vendor and its address in headers.

Rule: it has its own folder (`make .venv-portkey`) and runs with the Node of the SDK tests. By default it has no keys,
budgets, ledger or cache: the vendor's key passes through. It cannot listen on loopback only. With @hono/node-server
1.14.2 and later it answers edits and streams with 500. package.json therefore holds it back:
https://github.com/Portkey-AI/gateway/issues/1389
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tools.bench.cases import SLOW, Case, Kind
from tools.bench.peers.nginx import KEY
from tools.bench.peers.peer import Peer
from tools.bench.peers.running import NotRunning, free_port, running

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / ".venv-portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
NODE = ROOT / ".venv-sdk" / "js" / "bin" / "node"


@contextmanager
def portkey(folder: Path, vendor: str, slow: str) -> Iterator[Peer]:
    """Run the gateway."""
    if not PROGRAM.is_file() or not NODE.exists():
        raise NotRunning("Portkey is needed: make .venv-portkey")
    place, port = folder / "portkey", free_port()
    place.mkdir()
    command = [str(NODE), str(PROGRAM), f"--port={port}", "--headless"]
    with running(command, port, place / "log", {"NODE_ENV": "production"}, place) as pid:
        url, headers = f"http://127.0.0.1:{port}", partial(_headers, vendor, slow)
        yield Peer(name="Portkey", url=url, headers=headers, own=(pid,), unable=(Kind.HIT,))


def _headers(vendor: str, slow: str, case: Case) -> dict[str, str]:
    return {
        "authorization": f"Bearer {KEY}",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{slow if case is SLOW else vendor}/{case.slug}/v1",
    }
