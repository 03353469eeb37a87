"""Process that has imported the gateway, and forks one process per order. Run as `python -m tests.support.fork_server`.

Rule: a fork has its own arguments, environment, folder and three streams. It shares only the imported modules with
other forks, and leaves through the interpreter's ordinary end. The server itself imports, forks and reaps.

Fails with: an exit code of 1 and the reason, if an import started a thread, because a fork would lack it.

Descriptor 0 is a socket. A client sends one byte with four descriptors: a socket for the conversation, and the streams.
The conversation is a line of JSON (`Order`), then two lines of the server: the process id, and the exit code. When the
client ends, the server ends its children and itself.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

IMPORTED = (
    "service.__main__",
    "service.commands.cli",
    # modules that other commands never import, so a start imports them late
    "aiosqlite",
    "alembic.command",
    "anyio._backends._asyncio",
    "litestar.plugins.attrs",
    "litestar.plugins.pydantic",
    "service.adapters.backends.sandbox.backend",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)
END_SECONDS = 10
"""Seconds that a child has to end after the client."""
TASKS = Path("/proc/self/task")


class Order(TypedDict):
    """One process to fork. `module` has a `main()` that reads `sys.argv`."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str


class Forked(BaseException):
    """Raised in the child, so that it leaves the server's frames before it runs."""

    def __init__(self, order: Order, streams: list[int]) -> None:
        super().__init__()
        self.order = order
        self.streams = streams


class ForkServer:
    """Loop that forks and reaps until its client ends."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, socket.socket] = {}
        self._woken, self._wakes = socket.socketpair()
        self._woken.setblocking(False)
        self._wakes.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._interrupt: Any = signal.SIG_DFL

    def serve(self) -> None:
        """Serve until the client ends. Raises `Forked` in each child."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal signals the client, which decides
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._reap()
                elif not self._accept():
                    self._end_children()
                    return

    def _accept(self) -> bool:
        """Fork for one order. Returns False if the client has ended."""
        request, descriptors, _, _ = socket.recv_fds(self._control, 1, 4)
        if not request:
            return False
        talk, streams = socket.socket(fileno=descriptors[0]), descriptors[1:]
        with talk.makefile("rb") as lines:
            order: Order = json.loads(lines.readline())
        pid = os.fork()
        if pid == 0:
            self._become_child(talk)
            raise Forked(order, streams)
        for stream in streams:
            os.close(stream)
        self._children[pid] = talk
        with suppress(BrokenPipeError):
            talk.sendall(b"%d\n" % pid)
        return True

    def _become_child(self, talk: socket.socket) -> None:
        """Close the server's descriptors and reset its signal handlers."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, self._interrupt)
        self._selector.close()
        for inherited in (self._control, self._woken, self._wakes, talk, *self._children.values()):
            inherited.close()

    def _reap(self) -> None:
        """Report the ended children to their clients."""
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        for pid in [*self._children]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._children.pop(pid) as talk, suppress(BrokenPipeError):
                    talk.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))

    def _end_children(self) -> None:
        """Terminate every child, and kill it if it does not end."""
        self._selector.unregister(self._control)
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)
        last = time.monotonic() + END_SECONDS
        while self._children and (left := last - time.monotonic()) > 0:
            if self._selector.select(left):
                self._reap()
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def run(order: Order, streams: list[int]) -> None:
    """Run as the ordered process. Returns or exits as the command line does."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    os.chdir(order["folder"])
    module = importlib.import_module(order["module"])
    sys.argv = [str(module.__file__), *order["arguments"]]
    module.main()


def main() -> None:
    """Import, then serve."""
    gc.disable()
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    if threading.active_count() > 1 or len([*TASKS.glob("*")]) > 1:
        sys.exit(f"An import started a thread: {threading.enumerate()}")
    with socket.socket(fileno=os.dup(0)) as control:
        try:
            ForkServer(control).serve()
        except Forked as forked:
            order, streams = forked.order, forked.streams
        else:
            return
    run(order, streams)


if __name__ == "__main__":
    main()
