"""Fixtures of every suite: the vendors as servers, gateways in front of them, and a real Redis.

Rule: a server that cannot be started fails the run. No test is skipped for lack of a server.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.simulators import openai, together
from tests.simulators.server import Simulator
from tests.support.cluster import valkey_cluster
from tests.support.gateway import GatewayProcess, with_lenient_health, with_slow_stores
from tests.support.object_server import ObjectServer, object_server
from tests.support.profiles import load_profile
from tests.support.servers import real_redis

# Hundreds of processes start in a run. Without its bytecode on disk each of them compiles 1,800 modules: 2 s of CPU.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

load_profile()
STARTED = time.monotonic()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the CPU and the time of the run. A busy machine makes a run longer, not more expensive."""
    cpu, load = sum(os.times()[:4]), " ".join(f"{average:.1f}" for average in os.getloadavg())
    took = time.monotonic() - STARTED
    terminalreporter.write_line(f"{cpu:.0f} s of CPU in {took:.0f} s; load {load} on {os.cpu_count()} processors")


def for_tests(folder: Path) -> None:
    """Adapt the settings to tests. Most of them repeat one prompt and need a new image each time."""
    gateway = folder / "gateway.yaml"
    gateway.write_text(with_lenient_health(gateway.read_text()).replace("  seconds: 3600 #", "  seconds: 0 #"))


CONFIG = Path(__file__).parent.parent / "config"


@pytest.fixture(scope="session")
def openai_server() -> Iterator[Simulator]:
    with openai.simulator() as server:
        yield server


@pytest.fixture(scope="session")
def together_server() -> Iterator[Simulator]:
    with together.simulator() as server:
        yield server


@pytest.fixture
def openai_sim(openai_server: Simulator) -> Iterator[Simulator]:
    openai_server.reset()
    yield openai_server
    openai_server.reset()


@pytest.fixture
def together_sim(together_server: Simulator) -> Iterator[Simulator]:
    together_server.reset()
    yield together_server
    together_server.reset()


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped settings with later shutdown dates of models, which must not end these tests."""
    folder = tmp_path_factory.mktemp("settings") / "config"
    shutil.copytree(CONFIG, folder, ignore=shutil.ignore_patterns("grafana", "prometheus"))
    models = folder / "models.yaml"
    models.write_text(models.read_text().replace("shutdown_date: 2026-12-01", "shutdown_date: 2999-12-01"))
    for_tests(folder)
    return folder


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped settings with longer timeouts of the stores of a busy machine."""
    folder = tmp_path_factory.mktemp("shipped") / "config"
    shutil.copytree(CONFIG, folder, ignore=shutil.ignore_patterns("grafana", "prometheus"))
    gateway = folder / "gateway.yaml"
    gateway.write_text(with_slow_stores(gateway.read_text()))
    return folder


@pytest.fixture(scope="session")
def sandbox_gateway(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[GatewayProcess]:
    """A gateway with its sandbox alone."""
    with GatewayProcess(tmp_path_factory.mktemp("sandbox"), {"IMAGE_GATEWAY_CONFIG": str(config)}) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def openai_gateway(
    tmp_path_factory: pytest.TempPathFactory, config: Path, openai_server: Simulator
) -> Iterator[GatewayProcess]:
    """A gateway in front of OpenAI alone."""
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(config),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_server.base_url,
    }
    with GatewayProcess(tmp_path_factory.mktemp("openai"), environment) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def together_gateway(
    tmp_path_factory: pytest.TempPathFactory, config: Path, together_server: Simulator
) -> Iterator[GatewayProcess]:
    """A gateway in front of Together alone. Its address has no /v1, as Together's newest SDK expects."""
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(config),
        "TOGETHER_API_KEY": "tgp-operator",
        "TOGETHER_BASE_URL": together_server.url,
    }
    with GatewayProcess(tmp_path_factory.mktemp("together"), environment) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def http() -> Iterator[httpx2.Client]:
    """A client with a timeout of a minute."""
    with httpx2.Client(timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server of the Redis protocol."""
    with real_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real cluster of three servers."""
    with valkey_cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.fixture(scope="session")
def objects() -> Iterator[ObjectServer]:
    """A real S3 server."""
    with object_server() as server:
        yield server
