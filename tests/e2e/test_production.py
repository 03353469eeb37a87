"""Parts of production together: Redis and PostgreSQL as servers, two replicas, one team."""

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from service.domain.team_access import key_digest
from tests.e2e.replicas import EVER
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess
from tests.support.gateway_site import await_true

pytest_plugins = ["tests.support.databases"]

TEAMS = f"teams: {{search: {{limits: {{requests_per_minute: 2}}, keys: [{{id: k, sha256: {key_digest('igw_k')}}}]}}}}"


def test_replicas_share_limits_and_ledger(
    tmp_path: Path,
    config: Path,
    redis_url: str,
    new_database: Callable[[str], str],
    openai_sim: Simulator,
    http: httpx2.Client,
) -> None:
    shutil.copytree(config, tmp_path / "config")
    (tmp_path / "config" / "teams.yaml").write_text(TEAMS)
    environment = {
        "IMAGE_GATEWAY_CONFIG": str(tmp_path / "config"),
        "OPENAI_API_KEY": "sk-operator",
        "OPENAI_BASE_URL": openai_sim.base_url,
        "REDIS_URL": redis_url,
        "DATABASE_URL": new_database("postgresql"),
    }
    body = {"prompt": "fox", "quality": "low", "size": "1024x1024"}
    headers = {"authorization": "Bearer igw_k"}
    with (
        GatewayProcess(tmp_path / "one", environment, options=()) as one,
        GatewayProcess(tmp_path / "two", environment, options=()) as two,
    ):
        replies = [
            http.post(f"{gateway.url}/v1/images/generations", json=body, headers=headers) for gateway in (one, two, one)
        ]
        assert [reply.status_code for reply in replies] == [200, 200, 429], [reply.text[:300] for reply in replies]

        def booked() -> bool:
            total = http.get(f"{two.url}/v1/usage?{EVER}", headers=headers).json()["total"]
            return bool(total["entries"] == 2)

        await_true(booked)
        total = http.get(f"{two.url}/v1/usage?{EVER}", headers=headers).json()["total"]
    spent = sum(float(reply.headers["x-gateway-cost-usd"]) for reply in replies[:2])
    assert total["cost_usd"] == pytest.approx(spent)
