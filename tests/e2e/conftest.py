"""Servers and replicas of several end-to-end tests."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.e2e.replicas import TEAMS, Start
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess, with_lenient_health

ROOT = Path(__file__).parents[2]


@pytest.fixture
def redis_url(redis_url: str) -> str:
    """The session's server, emptied: counters of a team and a vendor's breaker belong to one test."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


@pytest.fixture
def start(tmp_path: Path, redis_url: str, new_database: Callable[[str], str], openai_sim: Simulator) -> Start:
    """Function that starts a replica, with additions to its environment."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "teams.yaml").write_text(TEAMS)
    settings = tmp_path / "config" / "gateway.yaml"
    quick = with_lenient_health(settings.read_text()).replace("lease_seconds: 60", "lease_seconds: 2")
    settings.write_text(quick.replace("grace_seconds: 5", "grace_seconds: 0"))
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(tmp_path / "config"),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_sim.base_url,
        "REDIS_URL": redis_url,
        "DATABASE_URL": new_database("sqlite"),
        "STORAGE_URL": str(tmp_path / "pictures"),
        "URL_SIGNING_KEY": "0123456789abcdef" * 2,
    }
    return lambda **more: GatewayProcess(tmp_path / "data", environment | more, options=())
