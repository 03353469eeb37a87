"""A failure that may have been billed is replayed to a client that repeats the request by itself."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.replicas import EVER, Start, ask, change
from tests.simulators.openai_faults import FAULTS
from tests.simulators.server import Answer, Simulator
from tests.support.gateway import GatewayProcess
from tests.support.gateway_site import await_true
from tests.support.images import png

pytest_plugins = ["tests.support.databases"]

BROKEN = Answer(fault="close_mid_body")


@pytest.fixture
def remembering(start: Start, tmp_path: Path) -> Start:
    """Function that starts replicas with the shipped time of remembered failures."""
    change(tmp_path, "failure_seconds: 0 #", "failure_seconds: 30 #")
    return start


def describe(reply: httpx2.Response) -> tuple[int, str | None, str | None, Any]:
    return (
        reply.status_code,
        reply.headers.get("x-gateway-cache"),
        reply.headers.get("x-should-retry"),
        reply.json()["error"]["may_be_billed"],
    )


def booked(http: httpx2.Client, gateway: GatewayProcess) -> int:
    usage = http.get(f"{gateway.url}/v1/usage?{EVER}&group_by=basis", headers={"authorization": "Bearer igw_search"})
    return sum(row["entries"] for row in usage.json()["data"])


@pytest.mark.parametrize("seconds", [3600, 0])
@pytest.mark.parametrize("more", [{}, {"stream": True}])
def test_a_repeated_request_gets_its_failure_on_every_replica(
    remembering: Start,
    http: httpx2.Client,
    openai_sim: Simulator,
    tmp_path: Path,
    seconds: int,
    more: dict[str, object],
) -> None:
    change(tmp_path, "  seconds: 3600 #", f"  seconds: {seconds} #")
    openai_sim.answer(BROKEN)
    fox = f"a fox {tmp_path}"
    with remembering() as one, remembering() as two:
        first = ask(http, one, fox, more=more)
        again = [ask(http, gateway, fox, more=more) for gateway in (one, two, two)]

        if not more:
            assert describe(first) == (502, None, "false", True)
        for reply in again:
            assert describe(reply) == (502, "joined", "false", True)
            assert reply.json() == again[0].json()
        assert len(openai_sim.requests) == 1
        await_true(lambda: booked(http, one) == 1)
        joined = [line for line in one.logged() + two.logged() if line.get("cache") == "joined"]
        assert [line["error"] for line in joined] == ["upstream_broken_reply"] * 3


def test_a_repeated_edit_gets_its_failure(
    remembering: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path
) -> None:
    openai_sim.answer(BROKEN)
    image = png(color=(1, 2, len(str(tmp_path)) % 255))
    with remembering() as gateway:
        first, again = (
            http.post(
                f"{gateway.url}/v1/images/edits",
                data={"prompt": f"a fox {tmp_path}", "quality": "low", "size": "1024x1024"},
                files={"image": ("fox.png", image, "image/png")},
                headers={"authorization": "Bearer igw_search"},
            )
            for _ in range(2)
        )
    assert (describe(first)[:2], describe(again)[:2]) == ((502, None), (502, "joined"))
    assert len(openai_sim.requests) == 1


@pytest.mark.parametrize(
    "otherwise", [{"cache_control": "no-store"}, {"x_gateway_variant": "1"}, {"idempotency_key": "new"}]
)
def test_a_caller_that_asks_for_a_new_result_gets_a_new_call(
    remembering: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path, otherwise: dict[str, Any]
) -> None:
    openai_sim.answer(BROKEN)
    with remembering() as gateway:
        first = ask(http, gateway, f"a fox {tmp_path}")
        other = ask(http, gateway, f"a fox {tmp_path}", **otherwise)
    assert (first.status_code, other.status_code) == (502, 200)
    assert len(openai_sim.requests) == 2


@pytest.mark.parametrize(("fault", "status"), [("moderation_blocked", 400), ("slow_down", 429)])
def test_a_failure_without_cost_is_not_remembered(
    remembering: Start, http: httpx2.Client, openai_sim: Simulator, tmp_path: Path, fault: str, status: int
) -> None:
    openai_sim.answer(FAULTS[fault])
    with remembering() as gateway:
        first = ask(http, gateway, f"a fox {tmp_path}")
        # a moderation is replayed to all for a second, so that waiting callers get it; a new key has waited for nothing
        other = ask(http, gateway, f"a fox {tmp_path}", idempotency_key="new")
    assert (first.status_code, other.status_code) == (status, 200)
