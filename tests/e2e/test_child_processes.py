"""A gateway whose child process or background task ends while it runs."""

import asyncio
import shutil
import signal
import sqlite3
import threading
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil
import pytest
import redis

from service.adapters.sql.migrate import migrate
from service.app import assemble
from service.commands.startup import dev_settings, today
from service.composition.api import dev_key
from service.composition.app_config import AppConfig, StoreAddresses
from service.settings.gateway import read_gateway
from service.settings.reloadable_files import ReloadableFiles
from service.usecases.background.supervisor import TASK_NAME_PREFIX, FatalReport
from service.usecases.ports.events import Crashed
from tests.e2e.replicas import EVER, TEAMS, ask
from tests.e2e.test_process import command
from tests.fakes.observer import Recorder
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess, becomes_true

NOWHERE = "unix:///nowhere/valkey.sock"
TASKS = (
    "settle holds",
    "report to recounts",
    "reload settings",
    "reload secrets",
    "check eviction",
    "check stores",
    "collect gauges",
    "measure loop lag",
    "sync backend health",
    "probe backends",
    "delete expired images",
)


@pytest.fixture
def environment(tmp_path: Path, config: Path, openai_sim: Simulator) -> dict[str, str]:
    """Environment of a gateway on embedded stores with short leases."""
    folder = shutil.copytree(config, tmp_path / "config")
    (folder / "teams.yaml").write_text(TEAMS)
    settings = (folder / "gateway.yaml").read_text().replace("lease_seconds: 60", "lease_seconds: 3")
    (folder / "gateway.yaml").write_text(settings.replace("grace_seconds: 5", "grace_seconds: 0"))
    return {
        "IMAGE_GATEWAY_CONFIG": str(folder),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_sim.base_url,
    }


def server(gateway: GatewayProcess, folder: str) -> psutil.Process:
    """Return the embedded server of that folder."""
    children = psutil.Process(gateway.pid).children()
    (process,) = (child for child in children if Path(child.cwd()).name == folder)
    return process


def end_leases(data: Path) -> None:
    """Set the leases of all open holds to an end in the past."""
    with redis.Redis(unix_socket_path=str(data / "valkey" / "valkey.sock")) as store:
        holds = store.zrange("igw:{search}:holds", 0, -1)
        assert holds
        store.zadd("igw:{search}:holds", dict.fromkeys(holds, 0))


def entries(http: httpx2.Client, gateway: GatewayProcess) -> list[dict[str, Any]]:
    reply = http.get(f"{gateway.url}/v1/usage?{EVER}&group_by=basis", headers={"authorization": "Bearer igw_search"})
    assert reply.status_code == 200, reply.text
    rows: list[dict[str, Any]] = reply.json()["data"]
    return rows


def open_holds(http: httpx2.Client, gateway: GatewayProcess) -> float | None:
    """Return the open holds of all teams, or None before gauges have been collected."""
    lines = http.get(f"{gateway.url}/metrics").text.splitlines()
    if not any(line.startswith("gateway_gauges_collected_timestamp_seconds ") for line in lines):
        return None
    return sum(float(line.split()[-1]) for line in lines if line.startswith("gateway_open_holds{"))


def test_a_killed_store_is_restarted_and_no_entry_becomes_unconfirmed(
    tmp_path: Path, environment: dict[str, str], openai_sim: Simulator, http: httpx2.Client
) -> None:
    openai_sim.answer(Answer(hold=True))
    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway:
        replies: list[httpx2.Response] = []
        caller = threading.Thread(target=lambda: replies.append(ask(http, gateway, "under way")))
        caller.start()
        openai_sim.await_in_flight(1)
        for folder in ("valkey", "cache"):
            server(gateway, folder).kill()
            gateway.await_logged("embedded store restarted", exit_code=-signal.SIGKILL)
        openai_sim.release()
        caller.join()
        assert [reply.status_code for reply in replies] == [200]
        assert becomes_true(lambda: http.get(f"{gateway.url}/health/ready").status_code == 200)
        assert becomes_true(lambda: ask(http, gateway, "after it").status_code == 200)
        assert becomes_true(lambda: sum(row["entries"] for row in entries(http, gateway)) == 2)
        assert "gateway_embedded_restarts_total 2" in http.get(f"{gateway.url}/metrics").text
    with GatewayProcess(tmp_path / "data", environment, options=()) as gateway:
        assert [row["group"]["basis"] for row in entries(http, gateway)] == ["usage"]
        assert becomes_true(lambda: open_holds(http, gateway) == 0)


def test_a_store_that_cannot_be_restarted_ends_the_process_and_delivered_images_are_booked(
    tmp_path: Path, environment: dict[str, str], openai_sim: Simulator, http: httpx2.Client
) -> None:
    settings = tmp_path / "config" / "gateway.yaml"  # with leases of 3 s a busy gateway loses its own hold
    settings.write_text(settings.read_text().replace("lease_seconds: 3 ", "lease_seconds: 60 "))
    openai_sim.answer(Answer(hold=True))
    data = tmp_path / "data"
    with GatewayProcess(data, environment, options=()) as gateway:
        replies: list[httpx2.Response] = []
        caller = threading.Thread(target=lambda: replies.append(ask(http, gateway, "under way")))
        caller.start()
        openai_sim.await_in_flight(1)
        appendonly = data / "valkey" / "appendonlydir"
        appendonly.rename(data / "valkey" / "aside")
        appendonly.write_text("a file where a folder should be")
        server(gateway, "valkey").kill()
        gateway.await_logged("fatal error")
        openai_sim.release()
        caller.join()
        assert [reply.status_code for reply in replies] == [200]
        assert gateway.wait() == 1
        (line,) = [line for line in gateway.lines if not line.startswith("{")]
        assert "image-gateway: The embedded Valkey in" in line
    appendonly.unlink()
    (data / "valkey" / "aside").rename(appendonly)
    with GatewayProcess(data, environment, options=()) as gateway:
        end_leases(data)
        gateway.await_logged("hold expired", booked=True)
        assert becomes_true(lambda: ask(http, gateway, "after it").status_code == 200)
        assert becomes_true(lambda: sum(row["entries"] for row in entries(http, gateway)) == 2)
        assert [row["group"]["basis"] for row in entries(http, gateway)] == ["usage"]


def test_an_error_in_a_background_task_is_logged_and_the_task_goes_on(
    tmp_path: Path, environment: dict[str, str], http: httpx2.Client
) -> None:
    """Issued keys are read every 2 s, from a table that is renamed and restored meanwhile."""
    data = tmp_path / "data"
    with GatewayProcess(data, environment, options=()) as gateway:
        with sqlite3.connect(data / "ledger.db") as ledger:
            ledger.execute("ALTER TABLE keys RENAME TO aside")
        crash = gateway.await_logged("crash", task="reload settings")
        assert (crash["request_id"], crash["error"]) == ("background", "OperationalError")
        assert any("config_reload.py" in place for place in crash["trace"])
        with sqlite3.connect(data / "ledger.db") as ledger:
            ledger.execute("ALTER TABLE aside RENAME TO keys")
        ledger.close()
        issued = command("keys", "issue", "search", "--data-dir", str(data), environment=environment)
        key = next(line.split()[1] for line in issued.stdout.splitlines() if line.startswith("key:"))
        headers = {"authorization": f"Bearer {key}"}
        assert becomes_true(lambda: http.get(f"{gateway.url}/v1/models", headers=headers).status_code == 200)


@pytest.mark.parametrize("name", TASKS)
async def test_each_background_task_that_ends_also_ends_the_process(name: str, config: Path, tmp_path: Path) -> None:
    recorder, fatal, over = Recorder(), FatalReport(), asyncio.Event()
    settings = dev_settings(read_gateway(config / "gateway.yaml", {"OPENAI_API_KEY": "sk-operator"}))
    settings = msgspec.structs.replace(settings, health=msgspec.structs.replace(settings.health, probe=True))
    files = ReloadableFiles(folder=config, today=today, backends=settings.all_backends, dev_key=dev_key("igw_secret"))
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    await migrate(url)
    stores = StoreAddresses(redis_url=NOWHERE, cache_url=NOWHERE, database_url=url, data=tmp_path)
    plans = AppConfig(
        settings=settings, files=files, initial_files=files.read_first(), stores=stores, observer=recorder, fatal=fatal
    )
    gateway = assemble(plans)
    assert set(gateway.tasks) == set(TASKS)
    fatal.on_report(over.set)
    async with asyncio.timeout(10), gateway.litestar.lifespan():
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == TASK_NAME_PREFIX + name)
        task.cancel()
        await over.wait()
    assert fatal.reason == f"The background task {name} has ended, and cannot be started again."
    assert name in [crash.task for crash in recorder.of(Crashed)]
