"""An embedded server that ends by itself is started again, on its files and its socket, or given up with a reason."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import psutil
import pytest
import redis

from service.adapters import embedded_valkey
from service.adapters.embedded_valkey import STATE_OPTIONS, Supervision, start_valkey
from service.usecases.background.supervisor import FatalReport
from service.usecases.ports.events import EmbeddedStoreRestarted, ProcessFailing
from service.usecases.ports.observer import Event
from tests.support.gateway import TIMEOUT_SECONDS


class Watched:
    """A supervised server, and the events about it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restarts = Queue[EmbeddedStoreRestarted]()
        self.reasons = Queue[str]()

    def record(self, event: Event) -> None:
        match event:
            case EmbeddedStoreRestarted():
                self.restarts.put(event)
            case ProcessFailing(reason=reason):
                self.reasons.put(reason)
            case _:
                raise AssertionError(event)

    def process(self) -> psutil.Process:
        """The server that runs just now."""
        children = psutil.Process().children()
        (process_found,) = (child for child in children if Path(child.cwd()) == self.folder)
        return process_found

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.process().kill()


@contextmanager
def watched(folder: Path) -> Iterator[tuple[Watched, str]]:
    server = Watched(folder)
    with start_valkey(folder, STATE_OPTIONS, Supervision(server, FatalReport(server))) as ready:
        yield server, ready()


@pytest.mark.parametrize("name", ["short", "long" * 30])
def test_a_server_that_was_killed_comes_back_with_what_it_kept(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with watched(folder) as (server, url), redis.Redis.from_url(url) as client:
        client.set("key", "1")
        run = client.info("server")["run_id"]
        server.kill()
        assert server.restarts.get(timeout=TIMEOUT_SECONDS) == EmbeddedStoreRestarted(
            folder=str(folder), exit_code=-signal.SIGKILL, restarts=1
        )
        assert client.get("key") == b"1"
        assert client.info("server")["run_id"] != run, "counters of another run are rebuilt"
    assert server.reasons.empty()


def test_a_server_that_ends_again_and_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "FIRST_PAUSE_SECONDS", 0.0)
    with watched(tmp_path) as (server, _):
        for times in range(1, embedded_valkey.MAX_ENDS):
            server.kill()
            assert server.restarts.get(timeout=TIMEOUT_SECONDS).restarts == times
        server.kill()
        reason = server.reasons.get(timeout=TIMEOUT_SECONDS)
    assert reason == (
        f"The embedded Valkey in {tmp_path} ended 5 times within a minute and is not started again; "
        f"{tmp_path / 'valkey.log'} says why."
    )


def test_a_server_that_cannot_be_started_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "FIRST_PAUSE_SECONDS", 0.0)
    folder = tmp_path / "data"
    with watched(folder) as (server, _):
        shutil.rmtree(folder / "appendonlydir")
        (folder / "appendonlydir").write_text("a file where a folder should be")
        server.kill()
        assert "is not started again" in server.reasons.get(timeout=TIMEOUT_SECONDS)
    assert server.restarts.empty()


def test_ends_that_lie_apart_are_not_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "ENDS_WINDOW_SECONDS", 0.0)
    with watched(tmp_path) as (server, _):
        for _ in range(embedded_valkey.MAX_ENDS + 1):
            server.kill()
            assert server.restarts.get(timeout=TIMEOUT_SECONDS).restarts == 1
    assert server.reasons.empty()


def test_a_server_that_is_stopped_is_not_started_again(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, _):
        last = server.process()
    assert not last.is_running()
    assert server.restarts.empty()
    assert not [thread for thread in threading.enumerate() if thread.name == embedded_valkey.SUPERVISOR]


def test_a_restarted_server_dies_with_its_parent_as_the_first_did(tmp_path: Path) -> None:
    """In a process of its own: the supervisor's thread is the parent that the kernel knows."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with watched(tmp_path) as (server, _):
            server.kill()
            server.restarts.get(timeout=TIMEOUT_SECONDS)
            os.write(write, str(server.process().pid).encode())
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    process = psutil.Process(int(os.read(read, 20)))
    process.wait(timeout=TIMEOUT_SECONDS)
