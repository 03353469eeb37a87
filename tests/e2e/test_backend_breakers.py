"""A vendor at two replicas: a refused account blocks both, a broken network only the replica that has it."""

import secrets
import time
from pathlib import Path
from typing import Any

import httpx2
import redis

from tests.e2e.replicas import Start, ask, change
from tests.simulators import openai
from tests.simulators.server import Simulator
from tests.support.gateway import GatewayProcess, becomes_true

pytest_plugins = ["tests.support.databases"]

ADMIN = secrets.token_hex(32)
REFUSING = "http://127.0.0.1:9/v1"


def read_status(http: httpx2.Client, gateway: GatewayProcess) -> dict[str, Any]:
    """Return the status of the backend at a replica."""
    headers = {"authorization": f"Bearer {ADMIN}"}
    (backend,) = http.get(f"{gateway.url}/admin/v1/backends", headers=headers).json()["data"]
    status: dict[str, Any] = backend
    return status


def await_update(http: httpx2.Client, gateway: GatewayProcess, redis_url: str) -> None:
    """Wait until a replica has read the store: a model at its limit is added there."""
    model = secrets.token_hex(4)
    with redis.Redis.from_url(redis_url) as client:
        client.hset("igw:turn:{openai}:blocked", model, str(round((time.time() + 60) * 1_000_000)))
    assert becomes_true(lambda: model in read_status(http, gateway)["blocked"])


def test_a_replica_that_cannot_reach_the_vendor_opens_only_its_own_breaker(
    http: httpx2.Client, start: Start, redis_url: str, tmp_path: Path
) -> None:
    change(tmp_path, "  consecutive_failures: 1000 #", "  consecutive_failures: 5 #")
    change(tmp_path, "max_blocked_seconds: 0.001 #", "max_blocked_seconds: 60 #")
    change(tmp_path, "  open_seconds: 0.001 #", "  open_seconds: 60 #")
    change(tmp_path, "max_open_seconds: 0.001 #", "max_open_seconds: 60 #")
    with start(ADMIN_API_KEY=ADMIN, OPENAI_BASE_URL=REFUSING) as broken, start(ADMIN_API_KEY=ADMIN) as well:
        for number in range(5):
            assert ask(http, broken, f"a fox {number}").status_code >= 500
        broken.await_logged("breaker", backend="openai", state="open", reason="unreachable", level="warning")
        assert read_status(http, broken)["reason"] == "unreachable"

        for gateway in (broken, well):  # the first sync writes the shared state, the second reads it
            await_update(http, gateway, redis_url)
        assert read_status(http, well)["state"] == "closed"
        assert ask(http, well, "a fox").status_code == 200
        assert read_status(http, broken)["state"] == "open"


def test_a_refused_account_is_blocked_on_all_replicas_until_it_is_accepted(
    http: httpx2.Client, start: Start, openai_sim: Simulator, tmp_path: Path
) -> None:
    change(tmp_path, "  probe: false", "  probe: true")
    change(tmp_path, "  open_seconds: 0.001 #", "  open_seconds: 0.5 #")
    change(tmp_path, "max_open_seconds: 0.001 #", "max_open_seconds: 60 #")
    openai_sim.answer(openai.FAULTS["invalid_api_key"])
    with start(ADMIN_API_KEY=ADMIN) as one, start(ADMIN_API_KEY=ADMIN) as other:
        fine = read_status(http, one)
        assert (fine["name"], fine["state"], fine["reason"], fine["blocked"]) == ("openai", "closed", None, {})

        refused = ask(http, one, "a fox")
        assert (refused.status_code, refused.json()["error"]["code"]) == (502, "upstream_auth_error")
        one.await_logged("breaker", backend="openai", state="open", reason="auth_failed", level="warning")
        other.await_logged("breaker", backend="openai", state="open", reason="auth_failed", level="warning")

        for gateway in (one, other):
            gateway.await_logged("breaker", state="half_open", level="info")
            assert read_status(http, gateway)["state"] == "half_open"
        assert sum(request.method == "POST" for request in openai_sim.requests) == 1

        assert ask(http, other, "a fox").status_code == 200
        assert becomes_true(lambda: read_status(http, one)["state"] == "closed")
        assert read_status(http, other)["state"] == "closed"
        one.await_logged("breaker", state="closed", level="info")
