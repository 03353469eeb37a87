"""Gateways with their own counters on one ledger: one at a time.

The tests change the end of a lease in the ledger's row instead of waiting for it.
"""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.e2e.replicas import EVER, TEAMS, ask
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess, becomes_true, clean_environment


@pytest.fixture
def environment(tmp_path: Path, config: Path, openai_sim: Simulator) -> dict[str, str]:
    """Environment with a shared ledger and without REDIS_URL."""
    folder = shutil.copytree(config, tmp_path / "config")
    (folder / "teams.yaml").write_text(TEAMS)
    settings = (folder / "gateway.yaml").read_text().replace("grace_seconds: 5", "grace_seconds: 0")
    (folder / "gateway.yaml").write_text(settings)
    return {
        "IMAGE_GATEWAY_CONFIG": str(folder),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_sim.base_url,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
    }


@contextmanager
def starting(folder: Path, environment: dict[str, str]) -> Iterator["Starting"]:
    """Start a gateway without waiting for `listening`."""
    process = Starting(folder, environment)
    try:
        yield process
    finally:
        process.end()


class Starting(GatewayProcess):
    """A gateway that may not reach `listening`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        super().__init__(folder, environment, options=())
        self._reader.start()

    def end(self) -> None:
        """Terminate it, unless it has ended."""
        if self._child.poll() is None:
            self.signal(signal.SIGTERM)
        self.wait()


def change(tmp_path: Path, statement: str) -> None:
    """Change the lease's row."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger, ledger:
        ledger.execute(statement)


def test_a_second_replica_waits_until_the_first_has_ended(
    tmp_path: Path, environment: dict[str, str], http: httpx2.Client
) -> None:
    with GatewayProcess(tmp_path / "one", environment, options=()) as one:
        assert ask(http, one, "a fox").status_code == 200
        with starting(tmp_path / "other", environment) as other:
            waiting = other.await_logged("waiting for the lease")
            assert f"process {one.pid}" in waiting["holder"]
            one.signal()
            assert one.wait() == 0
            other.await_logged("listening")
            assert ask(http, other, "a hare").status_code == 200
            headers = {"authorization": "Bearer igw_search"}

            def booked() -> bool:
                return bool(http.get(f"{other.url}/v1/usage?{EVER}", headers=headers).json()["total"]["entries"] == 2)

            assert becomes_true(booked)


def test_after_a_kill_the_same_folder_starts_at_once_and_another_after_the_lease(
    tmp_path: Path, environment: dict[str, str], http: httpx2.Client
) -> None:
    for _ in range(2):
        with GatewayProcess(tmp_path / "one", environment, options=()) as killed:
            assert not [line for line in killed.logged() if line["event"] == "waiting for the lease"]
            killed.signal(signal.SIGKILL)
            killed.wait()
    with starting(tmp_path / "other", environment) as other:
        other.await_logged("waiting for the lease")
        change(tmp_path, "UPDATE leases SET until = 0")
        other.await_logged("listening")
        assert ask(http, other, "a fox").status_code == 200


def test_a_replica_that_lost_the_lease_ends_and_names_the_holder(tmp_path: Path, environment: dict[str, str]) -> None:
    with GatewayProcess(tmp_path / "one", environment, options=()) as one:
        change(tmp_path, "UPDATE leases SET token = 'x', place = 'y', name = 'gw-2, process 9', until = until * 2")
        assert one.wait() == 1
        (line,) = [line for line in one.lines if not line.startswith("{")]
        assert "This replica has lost its lease. Another replica counts for the SQLite file" in line
        assert "gw-2, process 9" in line
        assert one.await_logged("fatal error")


def test_a_replica_without_redis_url_waits_for_the_lease_of_replicas_with_one(
    tmp_path: Path, environment: dict[str, str], redis_url: str
) -> None:
    with (
        GatewayProcess(tmp_path / "one", environment | {"REDIS_URL": redis_url}, options=()),
        GatewayProcess(tmp_path / "two", environment | {"REDIS_URL": redis_url}, options=()),
        starting(tmp_path / "other", environment) as other,
    ):
        other.await_logged("waiting for the lease")
    change(tmp_path, "UPDATE leases SET until = 0")
    with GatewayProcess(tmp_path / "other", environment, options=()):
        pass


def test_a_refused_start_is_one_line(tmp_path: Path, environment: dict[str, str]) -> None:
    """Its waiting time is zero, so no test waits for it."""
    with GatewayProcess(tmp_path / "one", environment, options=()):
        code = (
            "import sys\nfrom service.usecases.money import ledger_lease\nledger_lease.WAIT_SECONDS = 0.0\n"
            "from service.commands.cli import run_cli\nsys.argv[0] = 'image-gateway'\nrun_cli()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "serve", "--port", "0", "--data-dir", str(tmp_path / "other")],
            env=clean_environment(**environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "image-gateway: Another replica counts for the SQLite file" in line
    assert "give all of them the same REDIS_URL" in line
