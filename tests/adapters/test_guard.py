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

from service.adapters.embedded import process_supervisor
from service.adapters.embedded.valkey import STATE_OPTIONS, RestartListener, start_valkey
from service.usecases.ports.events import EmbeddedStoreRestarted
from tests.support.gateway import TIMEOUT_SECONDS


class Watched:
    """A server under guard, and what was said of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.restarts = Queue[EmbeddedStoreRestarted]()
        self.reasons = Queue[str]()

    def process(self) -> psutil.Process:
        """The server that runs just now."""
        children = psutil.Process().children()
        (found,) = (child for child in children if Path(child.cwd()) == self.folder)
        return found

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.process().kill()


@contextmanager
def watched(folder: Path) -> Iterator[tuple[Watched, str]]:
    told = Watched(folder)
    with start_valkey(
        folder, STATE_OPTIONS, RestartListener(on_restart=told.restarts.put, on_give_up=told.reasons.put)
    ) as ready:
        yield told, ready()


@pytest.mark.parametrize("name", ["short", "long" * 30])
def test_a_server_that_was_killed_comes_back_with_what_it_kept(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with watched(folder) as (told, url), redis.Redis.from_url(url) as client:
        client.set("key", "1")
        run = client.info("server")["run_id"]
        told.kill()
        assert told.restarts.get(timeout=TIMEOUT_SECONDS) == EmbeddedStoreRestarted(
            folder=str(folder), exit_code=-signal.SIGKILL, restarts=1
        )
        assert client.get("key") == b"1"
        assert client.info("server")["run_id"] != run, "counters of another run are rebuilt"
    assert told.reasons.empty()


def test_a_server_that_ends_again_and_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_supervisor, "FIRST_PAUSE_SECONDS", 0.0)
    with watched(tmp_path) as (told, _):
        for times in range(1, process_supervisor.MAX_ENDS):
            told.kill()
            assert told.restarts.get(timeout=TIMEOUT_SECONDS).restarts == times
        told.kill()
        reason = told.reasons.get(timeout=TIMEOUT_SECONDS)
    assert reason == (
        f"The embedded Valkey in {tmp_path} ended 5 times within a minute and is not started again; "
        f"{tmp_path / 'valkey.log'} says why."
    )


def test_a_server_that_cannot_be_started_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_supervisor, "FIRST_PAUSE_SECONDS", 0.0)
    folder = tmp_path / "data"
    with watched(folder) as (told, _):
        shutil.rmtree(folder / "appendonlydir")
        (folder / "appendonlydir").write_text("a file where a folder should be")
        told.kill()
        assert "is not started again" in told.reasons.get(timeout=TIMEOUT_SECONDS)
    assert told.restarts.empty()


def test_ends_that_lie_apart_are_not_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_supervisor, "ENDS_WINDOW_SECONDS", 0.0)
    with watched(tmp_path) as (told, _):
        for _ in range(process_supervisor.MAX_ENDS + 1):
            told.kill()
            assert told.restarts.get(timeout=TIMEOUT_SECONDS).restarts == 1
    assert told.reasons.empty()


def test_a_server_that_is_stopped_is_not_started_again(tmp_path: Path) -> None:
    with watched(tmp_path) as (told, _):
        last = told.process()
    assert not last.is_running()
    assert told.restarts.empty()
    assert not [thread for thread in threading.enumerate() if thread.name == "guard"]


def test_a_restarted_server_dies_with_its_parent_as_the_first_did(tmp_path: Path) -> None:
    """In a process of its own: the guard's thread is the parent that the kernel knows."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with watched(tmp_path) as (told, _):
            told.kill()
            told.restarts.get(timeout=TIMEOUT_SECONDS)
            os.write(write, str(told.process().pid).encode())
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    server = psutil.Process(int(os.read(read, 20)))
    server.wait(timeout=TIMEOUT_SECONDS)
